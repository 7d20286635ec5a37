import { describe, expect, it } from "vitest"
import { type Flags, helpText, keyValues, needs, parseFlags, refuse, UsageError } from "../../../adapters/cli/Options.ts"

const flags: Flags = {
  topic: { takes: "text", value: "name", help: "The topic." },
  list: { takes: "nothing", help: "Lists." },
  describe: { takes: "nothing", help: "Describes." },
  partitions: { takes: "integer", help: "How many." },
  "shift-by": { takes: "long", help: "How far." },
  timeout: { takes: "long", default: "5000", help: "How long." },
  state: { takes: "optional", beside: ["list", "describe"], help: "The state." },
  property: { takes: "text", nowNamed: "reader-property", help: "" },
  "reader-property": { takes: "text", help: "A property." }
}

const parse = (...args: ReadonlyArray<string>) => parseFlags(flags, args)
const wrong = (...args: ReadonlyArray<string>): string => {
  try {
    parse(...args)
  } catch (error) {
    if (error instanceof UsageError) return error.message
    throw error
  }
  return "not wrong"
}

describe("flags", () => {
  it("take their value from the next word or behind =, whatever it begins with", () => {
    expect(parse("--topic", "a", "--shift-by", "-5").number("shift-by")).toBe(-5)
    expect(parse("--topic=a=b").value("topic")).toBe("a=b")
    expect(parse("--topic", "--list").value("topic")).toBe("--list")
    expect(parse("--topic", "").value("topic")).toBe("")
  })

  it("may be repeated where several values make sense, and only there", () => {
    expect(parse("--topic", "a", "--topic", "b").values("topic")).toEqual(["a", "b"])
    expect(() => parse("--topic", "a", "--topic", "b").value("topic")).toThrow("multiple arguments for option topic")
  })

  it("have defaults that do not count as given", () => {
    expect(parse("--list").number("timeout")).toBe(5000)
    expect(parse("--list").has("timeout")).toBe(false)
  })

  it("with an optional value do not take the flag behind them", () => {
    const alone = parse("--state", "--list")
    expect([alone.has("state"), alone.value("state"), alone.has("list")]).toEqual([true, undefined, true])
    expect(parse("--list", "--state").has("state")).toBe(true)
    expect(parse("--list", "--state", "stable,empty").value("state")).toBe("stable,empty")
    expect(parse("--list", "--state=dead").value("state")).toBe("dead")
  })

  it("that nobody knows name themselves and those that there are; words between flags are passed over", () => {
    expect(wrong("--topics", "x")).toMatch(/^topics is not a recognized option\nknown flags: .*--help.*--topic/)
    expect(wrong("--topi", "x")).toContain("topi is not")
    expect(wrong("-t", "x")).toContain("t is not a recognized option")
    expect(wrong("--constructor")).toContain("constructor is not")
    expect(wrong("--topics")).not.toContain("--property,")
    expect(parse("word", "--list", "other").has("list")).toBe(true)
  })

  it("say what is wrong with their value", () => {
    expect(wrong("--topic")).toBe("Option topic requires an argument")
    expect(wrong("--partitions", "x")).toContain("Cannot parse argument 'x' of option partitions")
    expect(wrong("--partitions", "3000000000")).toContain("Cannot parse")
    expect(wrong("--shift-by", "3000000000")).toBe("not wrong")
    expect(wrong("--list=yes")).toContain("takes no value")
    expect(wrong("--state")).toBe("Option(s) [state] are unavailable given other options on the command line")
  })

  it("by their older name are the newer ones, with a warning, and not both at once", () => {
    const parsed = parse("--property", "a=1", "--property", "b=2")
    expect(parsed.values("reader-property")).toEqual(["a=1", "b=2"])
    expect(parsed.warnings).toEqual(["Option --property is deprecated and will be removed in a future version. Use --reader-property instead."])
    expect(wrong("--property", "a=1", "--reader-property", "b=2")).toBe("Options --property and --reader-property cannot be specified together.")
  })

  it("are required and exclude each other in Kafka's words", () => {
    expect(() => needs(parse("--list"), "topic")).toThrow(`Missing required argument "[topic]"`)
    expect(() => refuse(parse("--list", "--describe"), "list", "topic", "describe")).toThrow(`Option "[list]" can't be used with option "[describe]"`)
  })
})

it("pairs keep what stands behind the first =, and the last of a key counts", () => {
  expect([...keyValues(["a=1=2", "b", "c=", "a=3"])]).toEqual([["a", "3"], ["b", ""], ["c", ""]])
})

it("help names every flag with what it takes and its default, in lines that fit", () => {
  const text = helpText("ottla x", "Does x.", flags)
  for (const name of [...Object.keys(flags), "help", "version"]) expect(text).toContain(`  --${name}`)
  expect(text).toContain("--topic <name>")
  expect(text).toContain("--state [text]")
  expect(text).toContain("(default: 5000)")
  expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100)
})
