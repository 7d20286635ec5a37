/**
 * `cluster-id`, `list-endpoints` and `unregister`. The lines are what Kafka 4.3.1's kafka-cluster printed for the same
 * brokers; the commands run whole on ours and on the one that OTTLA_TEST_BOOTSTRAP names.
 */
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { endpointsCommand } from "../../../adapters/cli/Endpoints.ts"
import { clusterIdLine, type Endpoint, endpointLines, flagsOf, parseEndpoints } from "../../../adapters/cli/EndpointsCommand.ts"
import { endpointWord, type EndpointWord } from "../../../adapters/cli/Names.ts"
import { parseFlags } from "../../../adapters/cli/Options.ts"
import { overBroker } from "../../client/TestBrokers.ts"
import { run, usageErrorOf } from "./Screen.ts"

const request = (word: EndpointWord, line: string) => parseEndpoints(word, parseFlags(flagsOf[word], line.split(" ")))

describe("the command line", () => {
  it("takes long flags and Kafka's letters for them", () => {
    const asked = { bootstrapServer: "b:1", commandConfig: "file", includeFenced: false, id: -1 }
    expect(request("cluster-id", "--bootstrap-server b:1 --command-config file")).toEqual(asked)
    expect(request("cluster-id", "-b b:1 -c file")).toEqual(asked)
    expect(request("unregister", "-b b:1 -i 7 -c file")).toEqual({ ...asked, id: 7 })
    expect(request("list-endpoints", "-b b:1 -c file --include-fenced-brokers")).toEqual({ ...asked, includeFenced: true })
    // A value is no letter, whatever it looks like.
    expect(request("cluster-id", "-b -c -c -b")).toEqual({ ...asked, bootstrapServer: "-c", commandConfig: "-b" })
  })

  it("takes the older name of --command-config, with a word about it", () => {
    const parsed = parseFlags(flagsOf["cluster-id"], ["-b", "b:1", "--config", "file"])
    expect(parseEndpoints("cluster-id", parsed).commandConfig).toBe("file")
    expect(parsed.warnings).toEqual(["Option --config is deprecated and will be removed in a future version. Use --command-config instead."])
  })

  it("asks for what is missing and refuses what does not go together", () => {
    expect(usageErrorOf(() => request("cluster-id", "-c file"))).toBe("the argument --bootstrap-server/-b is required")
    expect(usageErrorOf(() => request("unregister", "-b b:1"))).toBe("argument --id/-i is required")
    expect(usageErrorOf(() => request("unregister", "-b b:1 --id x"))).toContain("Cannot parse argument 'x' of option id")
    expect(usageErrorOf(() => request("cluster-id", "-b b:1 -C c:1"))).toBe("argument --bootstrap-controller/-C: not allowed with argument --bootstrap-server/-b")
    expect(usageErrorOf(() => request("list-endpoints", "-C c:1"))).toContain("use --bootstrap-server")
    expect(usageErrorOf(() => request("cluster-id", "-b b:1 --id 7"))).toContain("id is not a recognized option")
    expect(usageErrorOf(() => request("cluster-id", "-b b:1 -x"))).toContain("x is not a recognized option")
  })

  it("is told by its first word from the commands about brokers of one process", () => {
    expect(["cluster-id", "list-endpoints", "unregister", "describe", "kill", undefined].map(endpointWord))
      .toEqual(["cluster-id", "list-endpoints", "unregister", undefined, undefined, undefined])
  })
})

describe("the lines", () => {
  const one: Endpoint = { id: 1, host: "127.0.0.1", port: 39717, rack: "r1", isFenced: false }
  it("are Kafka's", () => {
    expect(clusterIdLine("F5-_0JNCRnKftvn6fDeMVw")).toBe("Cluster ID: F5-_0JNCRnKftvn6fDeMVw")
    expect(clusterIdLine(null)).toBe("No cluster ID found. The Kafka version is probably too old.")
    // A rack that is shorter than its heading moves what follows it, in Kafka's too.
    expect(endpointLines([one])).toEqual([
      "ID         HOST      PORT       RACK STATE      ENDPOINT_TYPE  ",
      "1          127.0.0.1 39717      r1 unfenced   broker         "
    ])
    expect(endpointLines([38523, 38524].map((port, i) => ({ ...one, id: i + 1, port, rack: null, isFenced: i === 1 })))).toEqual([
      "ID         HOST      PORT       RACK       STATE      ENDPOINT_TYPE  ",
      "1          127.0.0.1 38523      null       unfenced   broker         ",
      "2          127.0.0.1 38524      null       fenced     broker         "
    ])
  })

  it("have a broker each, in the order of the answer, and all that is known of it", () => {
    const word = fc.stringMatching(/^[a-z0-9.-]{1,20}$/)
    const endpoints = fc.array(fc.record({
      id: fc.nat(), host: word, port: fc.integer({ min: 1, max: 65535 }), rack: fc.option(word), isFenced: fc.boolean()
    }), { minLength: 1, maxLength: 5 })
    fc.assert(fc.property(endpoints, (all) => {
      const [, ...rows] = endpointLines(all)
      expect(rows.map((row) => row.trimEnd().split(/ +/))).toEqual(
        all.map(({ host, id, isFenced, port, rack }) => [`${id}`, host, `${port}`, rack ?? "null", isFenced ? "fenced" : "unfenced", "broker"])
      )
    }))
  })
})

overBroker("commands about a cluster", (test) => {
  test("say its id and where its brokers are", (broker) =>
    Effect.gen(function*() {
      const id = yield* run(broker, endpointsCommand("cluster-id"), "-c /dev/null")
      expect(id).toMatchObject({ code: 0, err: "" })
      expect(id.out).toMatch(/^Cluster ID: [\w-]{22}\n$/)
      const [host, port] = broker.bootstrap.split(":")
      const { code, err, out } = yield* run(broker, endpointsCommand("list-endpoints"), "--include-fenced-brokers")
      expect({ code, err }).toEqual({ code: 0, err: "" })
      const rows = out.trimEnd().split("\n").map((line) => line.trimEnd().split(/ +/))
      expect(rows).toEqual([["ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"], ["1", host, port, "null", "unfenced", "broker"]])
    }))

  test("unregister nobody who is not there, and say so as Kafka's tool says it of such a cluster", (broker) =>
    Effect.gen(function*() {
      const answer = yield* run(broker, endpointsCommand("unregister"), "--id 4711")
      expect(answer).toEqual(broker.kind === "own"
        ? { code: 0, out: "The target cluster does not support the broker unregistration API.\n", err: "" }
        : { code: 1, out: "", err: "org.apache.kafka.common.errors.BrokerIdNotRegisteredException: Broker ID 4711 is not currently registered\n" })
    }))
})
