/** The expected lines and messages are what Kafka 4.3.1's kafka-reassign-partitions printed for the same. */
import { describe, expect, it } from "vitest"
import { parseFlags } from "../../../adapters/cli/Options.ts"
import {
  cancelledLine,
  clearedLines,
  dirError,
  flags,
  ongoingLines,
  parsePlaces,
  parseReassign,
  parseTargets,
  parseTopics,
  placesJson,
  startedLine,
  throttlesOf,
  verifiedLines,
  withDirs
} from "../../../adapters/cli/ReassignCommand.ts"
import { usageErrorOf } from "./Screen.ts"

const request = (line: string) => parseReassign(parseFlags(flags, line.split(" ")))
const server = "--bootstrap-server b:1"
const place = (partition: number, ...replicas: ReadonlyArray<number>) => ({ topic: "t", partition, replicas })

describe("the command line", () => {
  it("takes one action with what that needs, and nothing that another takes", () => {
    expect(request(`${server} --list`)).toMatchObject({ action: "list", bootstrapServer: "b:1", file: undefined })
    expect(request(`${server} --execute --reassignment-json-file f --throttle 5 --additional`))
      .toMatchObject({ action: "execute", file: "f", throttle: 5, isAdditional: true, allowReplicationFactorChange: true })
    expect(request(`${server} --execute --reassignment-json-file f --disallow-replication-factor-change --timeout 5`))
      .toMatchObject({ allowReplicationFactorChange: false })
    expect(request(`${server} --cancel --reassignment-json-file f --timeout 5`)).toMatchObject({ action: "cancel" })
    expect(usageErrorOf(() => request(`${server} --verify --reassignment-json-file f --timeout 5`))).toBe('Option "[timeout]" can\'t be used with action "[verify]"')
    expect(usageErrorOf(() => request("--bootstrap-controller c:1 --list"))).toContain("use --bootstrap-server")
    expect(usageErrorOf(() => request(`${server} --execute --reassignment-json-file f --replica-alter-log-dirs-throttle 5`))).toContain("leave it out")
    expect(request(`${server} --generate --topics-to-move-json-file f --broker-list 1,2 --disable-rack-aware`))
      .toMatchObject({ action: "generate", brokers: [1, 2], isRackAware: false })
    expect(usageErrorOf(() => request(server))).toBe("Command must include exactly one action: --generate, --execute, --verify, --cancel, --list")
    expect(usageErrorOf(() => request(`${server} --list --verify`))).toContain("exactly one action")
    expect(usageErrorOf(() => request("--list"))).toContain("--bootstrap-server")
    expect(usageErrorOf(() => request(`${server} --execute`))).toBe('Missing required argument "[reassignment-json-file]"')
    expect(usageErrorOf(() => request(`${server} --list --throttle 5`))).toBe('Option "[throttle]" can\'t be used with action "[list]"')
    expect(usageErrorOf(() => request(`${server} --generate --topics-to-move-json-file f --broker-list 1,1`)))
      .toBe("Broker list contains duplicate entries: [1]")
  })
})

describe("files", () => {
  it("name partitions and their replicas, and come out as they go in", () => {
    const places = [place(1, 2, 3), place(0, 1, 2)]
    const json = '{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":["any","any"]},' +
      '{"topic":"t","partition":1,"replicas":[2,3],"log_dirs":["any","any"]}]}'
    expect(placesJson(places)).toBe(json)
    expect(placesJson(parseTargets(json))).toBe(json)
    expect(parseTopics('{"version":1,"topics":[{"topic":"a"},{"topic":"b"}]}')).toEqual(["a", "b"])
  })

  it("are refused with what is wrong", () => {
    const wrong = (...partitions: ReadonlyArray<unknown>): string => usageErrorOf(() => parseTargets(JSON.stringify({ version: 1, partitions })))
    expect(usageErrorOf(() => parseTargets("no json"))).toBe("The input string is not a valid JSON")
    expect(usageErrorOf(() => parseTargets('{"version":2}'))).toBe("Not supported version field value 2")
    expect(wrong()).toBe("Partition reassignment list cannot be empty")
    expect(wrong(place(0))).toBe("Partition replica list cannot be empty")
    expect(wrong(place(0, 1), place(0, 2))).toBe("Partition reassignment contains duplicate topic partitions: t-0")
    expect(wrong(place(0, 1, 1))).toBe("Partition replica lists may not contain duplicate entries: t-0 contains multiple entries for 1")
    expect(wrong({ topic: "t", partition: "x", replicas: [1] })).toContain("A partition takes")
    expect(wrong({ ...place(0, 1, 2), log_dirs: ["any"] })).toContain("is different from size of log dirs list [any] for partition t-0")
    expect(usageErrorOf(() => parseTopics('{"topics":[{"topic":"a"},{"topic":"a"}]}'))).toBe("List of topics to reassign contains duplicate entries: [a]")
  })

  it("may name the only log directory of a broker, as the file for the way back does, and no other", () => {
    const dirs = new Map([
      [1, [{ path: "/a", replicas: new Set(["t-0"]) }]],
      [2, [{ path: "/b", replicas: new Set(["t-0"]) }, { path: "/c", replicas: new Set<string>() }]]
    ])
    expect(withDirs([place(0, 1, 2, 3)], dirs)[0]?.logDirs).toEqual(["/a", "/b", "any"])
    const target = (...logDirs: ReadonlyArray<string>) => parsePlaces(JSON.stringify({ partitions: [{ ...place(0, 1, 2), log_dirs: logDirs }] }))
    expect(dirError(target("/a", "any"), dirs)).toBeUndefined()
    expect(dirError(target("/x", "any"), dirs)).toContain("the log directory on broker 1")
    expect(dirError(target("/a", "/b"), dirs)).toContain("the log directory on broker 2")
  })
})

describe("lines", () => {
  it("tell what is under way, begun, taken back and done", () => {
    expect(ongoingLines([])).toEqual(["No partition reassignments found."])
    expect(ongoingLines([
      { topic: "t", partition: 10, replicas: [3, 1, 2], addingReplicas: [3], removingReplicas: [2] },
      { topic: "t", partition: 9, replicas: [3, 1], addingReplicas: [], removingReplicas: [1] }
    ])).toEqual(["Current partition reassignments:", "t-9: replicas: 3,1. removing: 1.", "t-10: replicas: 3,1,2. adding: 3. removing: 2."])
    expect(startedLine([place(0, 1)])).toBe("Successfully started partition reassignment for t-0")
    expect(startedLine([place(1, 1), place(0, 1)])).toBe("Successfully started partition reassignments for t-0,t-1")
    expect(cancelledLine([])).toBe("None of the specified partition reassignments are active.")
    expect(cancelledLine([place(0)])).toBe("Successfully cancelled partition reassignment for: t-0")
    expect(verifiedLines([
      { target: place(2, 1), now: undefined },
      { target: place(0, 1, 2), now: [1, 2] },
      { target: place(1, 1, 2), now: [2, 1] }
    ])).toEqual([
      "Status of partition reassignment:",
      "Reassignment of partition t-0 is completed.",
      "There is no active reassignment of partition t-1, but replica set is 2,1 rather than 1,2.",
      "Reassignment of partition t-2 is still in progress."
    ])
    expect(clearedLines([1], ["t", "u"])).toEqual([
      "Clearing broker-level throttles on broker 1",
      "Clearing topic-level throttles on topics t,u"
    ])
  })
})

describe("throttles", () => {
  it("are for who is there as leaders, and for who comes as followers", () => {
    const throttles = throttlesOf([place(0, 3, 2), place(1, 2, 1)], [place(0, 1, 2), place(1, 2, 1)], [
      { topic: "u", partition: 4, replicas: [5, 1], addingReplicas: [5], removingReplicas: [] },
      { topic: "t", partition: 0, replicas: [1, 2, 4], addingReplicas: [4], removingReplicas: [] }
    ])
    expect([...throttles.leaders]).toEqual([["u", "4:1"], ["t", "0:1,0:2,1:1,1:2"]])
    expect([...throttles.followers]).toEqual([["u", "4:5"], ["t", "0:3"]])
    expect(throttles.brokers).toEqual([1, 2, 3, 5])
  })
})
