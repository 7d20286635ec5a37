/** The expected lines and messages are what Kafka 4.3.1's kafka-topics printed for the same. */
import { describe, expect, it } from "vitest"
import { UsageError } from "../../../adapters/cli/Options.ts"
import {
  type DescribedPartition,
  type DescribedTopic,
  describeLines,
  inHashOrder,
  matching,
  NO_ID,
  parseTopicArguments,
  type TopicAction
} from "../../../adapters/cli/TopicCommand.ts"
import type { ConfigEntry } from "../../../core/client/Admin.ts"

const request = (line: string) => parseTopicArguments(["--bootstrap-server", "b:1", ...line.split(" ")])
const action = (line: string): TopicAction => {
  const { action } = request(line)
  if (action instanceof UsageError) throw action
  return action
}
/** What the command line as a whole is refused for. */
const wrong = (line: string): string => {
  try {
    request(line)
    return "not wrong"
  } catch (error) {
    return (error as UsageError).message
  }
}
/** What the command then fails with. */
const fails = (line: string): string => {
  const { action } = request(line)
  return action instanceof UsageError ? action.message : "no failure"
}

describe("the command line of kafka-topics", () => {
  it("creates with counts, an assignment and configurations", () => {
    expect(action("--create --topic a --partitions 3 --replication-factor 2 --config a=1 --config b=2 --if-not-exists")).toEqual({
      _tag: "Create",
      topic: "a",
      partitions: 3,
      replicationFactor: 2,
      assignment: undefined,
      configs: { a: "1", b: "2" },
      ifNotExists: true
    })
    expect(action("--create --topic a --replica-assignment 1:2,2:3")).toMatchObject({ assignment: [[1, 2], [2, 3]], partitions: undefined })
  })

  it("lists, describes, alters and deletes", () => {
    expect(action("--list --exclude-internal")).toEqual({ _tag: "List", topic: undefined, excludeInternal: true })
    expect(action("--alter --topic a --partitions 5")).toMatchObject({ _tag: "Alter", partitions: 5, ifExists: false })
    expect(action("--delete --topic a --if-exists")).toEqual({ _tag: "Delete", topic: "a", ifExists: true })
    expect(action("--describe --under-min-isr-partitions --at-min-isr-partitions")).toMatchObject({
      _tag: "Describe",
      reports: new Set(["under-min-isr-partitions", "at-min-isr-partitions"])
    })
  })

  it("is refused as a whole when flags are missing or exclude each other", () => {
    expect(wrong("--topic a")).toBe("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
    expect(wrong("--list --create --topic a")).toContain("exactly one action")
    expect(() => parseTopicArguments(["--list"])).toThrow("--bootstrap-server must be specified")
    expect(wrong("--create")).toBe(`Missing required argument "[topic]"`)
    expect(wrong("--alter --topic a")).toBe(`Missing required argument "[partitions]"`)
    expect(wrong("--describe --if-exists")).toBe("--topic or --topic-id is required to describe a topic")
    expect(wrong("--list --config a=1")).toBe(`Option "[config]" can't be used with option "[list]"`)
    expect(wrong("--create --topic a --partitions 1 --replica-assignment 1")).toBe(`Option "[replica-assignment]" can't be used with option "[partitions]"`)
    expect(wrong("--describe --topics-with-overrides --unavailable-partitions")).toContain("can't be used with")
    expect(wrong("--alter --topic a --partitions 2 --config a=1")).toContain(`can't be used with option "[alter]" (To alter topic configurations`)
    expect(wrong("--list --broker-list x:1")).toContain("cannot be specified together")
  })

  it("fails as a command when a value makes no sense", () => {
    expect(fails("--create --topic a --partitions 0")).toBe("The partitions must be greater than 0")
    expect(fails("--create --topic a --replication-factor 0")).toBe("The replication factor must be between 1 and 32767 inclusive")
    const format = "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\"."
    for (const config of ["foo", "a=b=c", "a=", "="]) expect(fails(`--create --topic a --config ${config}`)).toBe(format)
    expect(fails("--create --topic a --replica-assignment 1:1")).toBe("Partition replica lists may not contain duplicate entries: 1")
    expect(fails("--create --topic a --replica-assignment 1:2,3")).toBe("Partition 1 has different replication factor: [3]")
    expect(fails("--describe --topic-id abc")).toBe(
      "Input string `abc` decoded as 2 bytes, which is not equal to the expected 16 bytes of a base64-encoded UUID"
    )
  })

  it("takes the older name of --bootstrap-server with a warning, and says what --delete-config has become", () => {
    expect(parseTopicArguments(["--list", "--broker-list", "b:1"])).toMatchObject({ bootstrapServer: "b:1", warnings: [expect.stringContaining("--bootstrap-server")] })
    expect(request("--describe --delete-config x").warnings).toEqual([expect.stringContaining("no longer supported")])
  })
})

describe("topics by expression", () => {
  const names = ["b", "a.b", "axb", "a", "__consumer_offsets"]

  it("match whole names, sorted, commas as alternatives", () => {
    expect(matching(names, undefined, false)).toEqual(["__consumer_offsets", "a", "a.b", "axb", "b"])
    expect(matching(names, "a", false)).toEqual(["a"])
    expect(matching(names, "a.b", false)).toEqual(["a.b", "axb"])
    expect(matching(names, "\"a\\.b\"", false)).toEqual(["a.b"])
    expect(matching(names, "a, b", false)).toEqual(["a", "b"])
  })

  it("leave internal ones out on demand, and say when there is no such expression", () => {
    expect(matching(names, ".*", true)).toEqual(["a", "a.b", "axb", "b"])
    expect(() => matching(names, "a(", false)).toThrow("a( is an invalid regex.")
  })
})

describe("a description", () => {
  const config = (name: string, value: string, isDefault = false): ConfigEntry => ({
    name,
    value,
    isDefault,
    source: isDefault ? 5 : 1,
    isSensitive: false,
    isReadOnly: false,
    type: 0,
    documentation: null,
    synonyms: []
  })
  const partition = (partition: number, fields: Partial<DescribedPartition> = {}): DescribedPartition => ({
    partition,
    leader: 1,
    replicas: [1],
    isr: [1],
    eligibleLeaderReplicas: [],
    lastKnownElr: [],
    reassignment: undefined,
    ...fields
  })
  const topic = (fields: Partial<DescribedTopic> = {}): DescribedTopic => ({
    name: "quickstart-events",
    id: "nPW6erX-Sk-Xa-tPNKdVNg",
    partitions: [partition(0)],
    configs: [config("min.insync.replicas", "1"), config("retention.ms", "604800000", true)],
    ...fields
  })
  const all = { reports: new Set<never>(), overriddenOnly: false }
  const live = new Set([1])

  it("is Kafka's, to the byte", () => {
    expect(describeLines(all, [topic()], live)).toEqual([
      "Topic: quickstart-events\tTopicId: nPW6erX-Sk-Xa-tPNKdVNg\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: min.insync.replicas=1",
      "\tTopic: quickstart-events\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: "
    ])
  })

  it("says what old brokers do not tell, who leads nothing and what moves", () => {
    const partitions = [partition(0, {
      leader: -1,
      replicas: [1, 2, 3],
      isr: [2],
      eligibleLeaderReplicas: undefined,
      lastKnownElr: undefined,
      reassignment: { adding: [3], removing: [1] }
    })]
    expect(describeLines(all, [topic({ id: NO_ID, partitions })], live)).toEqual([
      "Topic: quickstart-events\tPartitionCount: 1\tReplicationFactor: 2\tConfigs: min.insync.replicas=1",
      "\tTopic: quickstart-events\tPartition: 0\tLeader: none\tReplicas: 1,2,3\tIsr: 2\tAdding Replicas: 3\tRemoving Replicas: 1\tElr: N/A\tLastKnownElr: N/A"
    ])
  })

  it("reports only the partitions or the topics that were asked for", () => {
    const partitions = [partition(0), partition(1, { leader: 2 }), partition(2, { replicas: [1, 2] }), partition(3, { isr: [] })]
    const about = (report: Parameters<typeof describeLines>[0]["reports"]) =>
      describeLines({ reports: report, overriddenOnly: false }, [topic({ partitions })], live).map((line) => /Partition: (\d)/.exec(line)?.[1])
    expect(about(new Set(["unavailable-partitions"]))).toEqual(["1"])
    expect(about(new Set(["under-replicated-partitions"]))).toEqual(["2", "3"])
    expect(about(new Set(["under-min-isr-partitions"]))).toEqual(["3"])
    expect(about(new Set(["at-min-isr-partitions"]))).toEqual(["0", "1", "2"])
    const overridden = { reports: new Set<never>(), overriddenOnly: true }
    expect(describeLines(overridden, [topic(), topic({ name: "plain", configs: [config("a", "1", true)] })], live)).toHaveLength(1)
  })

  it("has topics and configurations in the order of Java's hash maps", () => {
    // as Kafka printed them: min.insync.replicas, segment.bytes, retention.ms among the 36 names of a topic
    const names = ["compression.type", "segment.bytes", "retention.ms", "min.insync.replicas"]
    const others = Array.from({ length: 32 }, (_, index) => `other.${index}`)
    const ordered = inHashOrder([...names, ...others], (name) => name).filter((name) => names.includes(name) && name !== "compression.type")
    expect(ordered).toEqual(["min.insync.replicas", "segment.bytes", "retention.ms"])
  })
})
