import { describe, expect, it } from "vitest"
import { flags, parseGroupCommand, parseTopics } from "../../../adapters/cli/GroupCommand.ts"
import { parseFlags } from "../../../adapters/cli/Options.ts"

const parse = (line: string) => parseGroupCommand(parseFlags(flags, ["--bootstrap-server", "b:1", ...line.split(" ")]))

describe("the command line of kafka-consumer-groups", () => {
  it("lists, with states and types on demand", () => {
    expect(parse("--list").action).toEqual({ _tag: "List", states: undefined, types: undefined })
    expect(parse("--list --state --type").action).toEqual({ _tag: "List", states: [], types: [] })
    expect(parse("--list --state stable,EMPTY --type classic").action).toEqual({ _tag: "List", states: ["Stable", "Empty"], types: ["Classic"] })
    expect(() => parse("--list --state foo")).toThrow(
      "Invalid state list 'foo'. Valid states are: Reconciling, PreparingRebalance, CompletingRebalance, Assigning, Stable, Empty, Dead"
    )
    expect(() => parse("--list --type foo")).toThrow("Invalid types list 'foo'. Valid types are: Consumer, Classic")
  })

  it("describes offsets, members or state of some groups or all", () => {
    expect(parse("--describe --group a --group b").action).toEqual({ _tag: "Describe", ids: ["a", "b"], what: "offsets", verbose: false })
    expect(parse("--describe --all-groups --members --verbose").action).toEqual({ _tag: "Describe", ids: undefined, what: "members", verbose: true })
    expect(parse("--describe --all-groups --state").action).toMatchObject({ what: "state" })
    expect(() => parse("--describe")).toThrow("Option [describe] takes one of these options: [group], [all-groups]")
    expect(() => parse("--describe --group a --state --members")).toThrow("Option [describe] takes at most one of these options: [members], [offsets], [state]")
    expect(() => parse("--describe --group a --state stable")).toThrow("Option [describe] does not take a value for [state]")
    expect(() => parse("--list --members")).toThrow("Option(s) [members] are unavailable given other options on the command line")
  })

  it("resets by one scenario in one scope, and only shows it unless told otherwise", () => {
    const dry = parse("--reset-offsets --group a --to-earliest --topic t:0,2 --topic u")
    expect(dry.action).toEqual({
      _tag: "Reset",
      ids: ["a"],
      topics: { partitions: [{ topic: "t", partition: 0 }, { topic: "t", partition: 2 }], topics: ["u"] },
      scenario: { _tag: "ToEarliest" },
      execute: false,
      csv: false
    })
    expect(dry.warnings).toEqual([expect.stringMatching(/^WARN: No action will be performed as the --execute option is missing/)])
    const done = parse("--reset-offsets --all-groups --shift-by -3 --all-topics --execute --export")
    expect(done.action).toMatchObject({ ids: undefined, topics: undefined, scenario: { _tag: "ShiftBy", count: -3 }, execute: true, csv: true })
    expect(done.warnings).toEqual([])
    const scenarios = {
      "--to-latest": { _tag: "ToLatest" },
      "--to-current": { _tag: "ToCurrent" },
      "--to-offset 5": { _tag: "ToOffset", offset: 5 },
      "--to-datetime 2020": { _tag: "ToDatetime", text: "2020" },
      "--by-duration P1D": { _tag: "ByDuration", text: "P1D" },
      "--from-file x.csv": { _tag: "FromFile", path: "x.csv" }
    }
    for (const [flag, scenario] of Object.entries(scenarios)) {
      expect(parse(`--reset-offsets --group a --topic t --dry-run ${flag}`).action).toMatchObject({ scenario })
    }
  })

  it("refuses resets that are not clear", () => {
    expect(() => parse("--reset-offsets --group a --topic t --dry-run --execute")).toThrow("Option [reset-offsets] only accepts one of [execute] and [dry-run]")
    expect(() => parse("--reset-offsets --to-earliest --topic t")).toThrow("takes one of these options: [group], [all-groups]")
    expect(() => parse("--reset-offsets --group a --to-earliest")).toThrow("One of the reset scopes should be defined: --all-topics, --topic.")
    expect(() => parse("--reset-offsets --group a --topic t")).toThrow("Option '[reset-offsets]' requires one of the following scenarios: [")
    expect(() => parse("--reset-offsets --group a --topic t --to-earliest --to-latest")).toThrow(
      `Option "[to-earliest]" can't be used with option "[to-latest]"`
    )
    expect(parse("--reset-offsets --group a --from-file f --dry-run").action).toMatchObject({ topics: { partitions: [], topics: [] } })
  })

  it("deletes groups and offsets", () => {
    expect(parse("--delete --group a --group b").action).toEqual({ _tag: "Delete", ids: ["a", "b"] })
    expect(() => parse("--delete --group a --topic t")).toThrow("does not support topic-specific offset deletion")
    expect(parse("--delete-offsets --group a --topic t").action).toEqual({ _tag: "DeleteOffsets", id: "a", topics: { partitions: [], topics: ["t"] } })
    expect(() => parse("--delete-offsets --group a")).toThrow("Option [delete-offsets] takes the following options: [group], [topic]")
  })

  it("is one action, and needs brokers except for a regular expression", () => {
    expect(() => parse("--group a")).toThrow(
      "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets, --validate-regex"
    )
    expect(() => parse("--list --describe --group a")).toThrow("exactly one action")
    expect(() => parse("--list --group a")).toThrow(`Option "[group]" can't be used with option "[list]"`)
    expect(() => parse("--describe --group a --topic t")).toThrow(`Option "[topic]" can't be used with option "[describe]"`)
    expect(() => parseGroupCommand(parseFlags(flags, ["--list"]))).toThrow(`Missing required argument "[bootstrap-server]"`)
    expect(parseGroupCommand(parseFlags(flags, ["--validate-regex", "a"])).action).toEqual({ _tag: "ValidateRegex", regex: "a" })
  })
})

it("topics name their partitions behind a colon", () => {
  expect(() => parseTopics(["t:"])).toThrow("Invalid topic arg 't:', expected topic name and partitions")
  expect(() => parseTopics(["a:b:c"])).toThrow("Invalid topic arg")
  expect(() => parseTopics(["t:x"])).toThrow("Invalid partition 'x' specified in topic arg 't:x'")
})
