import { expect, it } from "vitest"
import { help, parseCluster, showCluster, showDone } from "../../../adapters/cli/ClusterCommand.ts"

const parse = (line: string) => parseCluster(line.split(" ").filter((word) => word !== ""))

it("asks for what was typed", () => {
  expect(parse("describe")).toEqual({ request: { command: "describe" }, logDirs: undefined, json: false })
  expect(parse("kill 2")).toEqual({ request: { command: "kill", broker: 2, session: "expires" }, logDirs: undefined, json: false })
  expect(parse("kill --session ends 2")).toMatchObject({ request: { command: "kill", broker: 2, session: "ends" } })
  expect(parse("start 12 --log-dirs /a,/b --json")).toEqual({ request: { command: "start", broker: 12 }, logDirs: "/a,/b", json: true })
  expect(parse("stop 1")).toMatchObject({ request: { command: "stop", broker: 1 } })
  expect(parse("kill 2 --help")).toBe("Help")
  expect(help).toContain("usage: ottla cluster")
})

it("says what is wrong and what would be right", () => {
  const wrong = (line: string, message: string): void => expect(() => parse(line)).toThrow(message)
  wrong("", "cluster takes one of the words describe, kill, stop, start, cluster-id, list-endpoints or unregister")
  wrong("restart 2", `not "restart"`)
  wrong("kill", "kill takes the id of a broker: ottla cluster kill 2")
  wrong("start two", `"two" is none`)
  wrong("stop -- -1", `"-1" is none`)
  wrong("kill 1 2", `"2" is one word too many`)
  wrong("describe 1", `"1" is one word too many`)
  wrong("start 1 --session ends", "--session goes with kill")
  wrong("kill 1 --session lives", `--session takes ends or expires, not "lives"`)
  wrong("kill 1 --force", "--force")
})

it("shows brokers in columns, also those that do not run", () => {
  const endpoint = (port: number) => ({ name: "PLAINTEXT", host: "localhost", port, securityProtocol: "PLAINTEXT" })
  const counts = { leads: 2, replicas: 6, outOfSync: 0 }
  expect(showCluster({
    clusterId: "aUuid",
    controllerId: 1,
    partitions: 6,
    withoutLeader: 0,
    brokers: [
      { id: 1, status: "running", advertised: [endpoint(9092)], epoch: 7, fenced: false, ...counts, leads: 4 },
      { id: 2, status: "killed", advertised: [endpoint(9093)], epoch: 4, fenced: false, ...counts },
      { id: 3, status: "stopped", advertised: [], epoch: -1, fenced: true, leads: 0, replicas: 6, outOfSync: 6 }
    ]
  })).toBe(
    "Cluster ID: aUuid\tController: 1\tPartitions: 6\tWithout leader: 0\n" +
      "BROKER  STATUS                  ADVERTISED                  EPOCH  LEADS  REPLICAS  OUT-OF-SYNC\n" +
      "1       running                 PLAINTEXT://localhost:9092  7      4      6         0\n" +
      "2       killed, not fenced yet  PLAINTEXT://localhost:9093  4      2      6         0\n" +
      "3       stopped                 -                           -      0      6         6\n"
  )
  expect(showDone({ command: "start", broker: 2 })).toBe("Broker 2 is started.\n")
})
