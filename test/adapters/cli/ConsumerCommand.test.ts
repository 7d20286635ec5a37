import { describe, expect, it } from "vitest"
import { flags, parseConsumerCommand } from "../../../adapters/cli/ConsumerCommand.ts"
import { parseFlags } from "../../../adapters/cli/Options.ts"

const parse = (line: string) => parseConsumerCommand(parseFlags(flags, ["--bootstrap-server", "b:1", ...line.split(" ")]), 0.5)

describe("the command line of kafka-console-consumer", () => {
  it("reads a topic with a group of its own that commits nothing", () => {
    expect(parse("--topic t --from-beginning")).toMatchObject({
      source: { _tag: "Topic", topic: "t" },
      maxMessages: undefined,
      timeoutMs: undefined,
      config: {
        "group.id": "console-consumer-50000",
        "client.id": "console-consumer",
        "enable.auto.commit": false,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_uncommitted"
      }
    })
    expect(parse("--topic t").config["auto.offset.reset"]).toBe("latest")
  })

  it("reads as a group that somebody named, which commits", () => {
    const { config } = parse("--topic t --group g --isolation-level read_committed")
    expect(config).toMatchObject({ "group.id": "g", "isolation.level": "read_committed" })
    expect(config["enable.auto.commit"]).toBeUndefined()
    expect(parse("--topic t --command-property group.id=h").config["group.id"]).toBe("h")
    expect(() => parse("--topic t --group g --command-property group.id=h")).toThrow("Detected group ids: 'g', 'h'")
  })

  it("reads topics whose whole name matches", () => {
    const { source } = parse("--include a.*")
    if (source._tag !== "Include") throw new Error(source._tag)
    expect(["abc", "ba"].map((name) => source.pattern.test(name))).toEqual([true, false])
    expect(() => parse("--include (")).toThrow("no regular expression")
  })

  it("reads one partition from an offset, the beginning or the end", () => {
    const offset = (line: string) => {
      const { source } = parse(`--topic t --partition 1 ${line}`)
      return source._tag === "Partition" ? source.offset : undefined
    }
    expect(offset("--offset 5")).toBe(5)
    expect(offset("--offset Earliest")).toBe("earliest")
    expect(offset("--from-beginning")).toBe("earliest")
    expect(offset("--max-messages 1")).toBe("latest")
  })

  it("refuses in Kafka's words", () => {
    expect(() => parse("--group g")).toThrow("Exactly one of the following arguments is required: [topic], [include]")
    expect(() => parse("--topic a --include b")).toThrow("Exactly one of")
    expect(() => parse("--include a --partition 1")).toThrow("The topic is required when partition is specified.")
    expect(() => parse("--topic a --offset 1")).toThrow("The partition is required when offset is specified.")
    expect(() => parse("--topic a --partition 1 --offset 1 --from-beginning")).toThrow("Options from-beginning and offset cannot be specified together.")
    expect(() => parse("--topic a --partition 1 --offset -1")).toThrow(
      "The provided offset value '-1' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long."
    )
    expect(() => parse("--topic a --partition 1 --group g")).toThrow("Options group and partition cannot be specified together.")
    expect(() => parse("--topic a --from-beginning --command-property auto.offset.reset=latest")).toThrow(
      "Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest', please remove one option"
    )
    expect(() => parse("--topic a --formatter x.Y")).toThrow("no formatter x.Y")
    expect(() => parse("--topic a --value-deserializer foo")).toThrow(/no deserializer foo.*StringDeserializer/)
  })

  it("knows the older names", () => {
    expect(parse("--topic t --messages 3").maxMessages).toBe(3)
    expect(parse("--topic t --property print.key=true").formatter).toMatchObject({ key: true, value: true })
    expect(parse("--topic t --consumer-property max.poll.records=3").config["max.poll.records"]).toBe(3)
    expect(parse("--topic t --formatter org.apache.kafka.tools.consumer.NoOpMessageFormatter").formatter).toBeUndefined()
  })
})
