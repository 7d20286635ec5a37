import { describe, expect, it } from "vitest"
import { parseCommand } from "../../../adapters/cli/Arguments.ts"

const wrong = (...argv: ReadonlyArray<string>): string => {
  const command = parseCommand(argv)
  return command._tag === "Wrong" ? command.message : `not wrong: ${command._tag}`
}

describe("the command line", () => {
  it("starts with a properties file and overrides, of which a value may hold =", () => {
    expect(parseCommand(["start", "server.properties", "--override", "log.dirs=/a=b", "--override=node.id=2"])).toEqual({
      _tag: "Start",
      propertiesFile: "server.properties",
      brokers: undefined,
      overrides: [["log.dirs", "/a=b"], ["node.id", "2"]],
      logFormat: "text",
      logLevel: "Info"
    })
  })

  it("starts several brokers", () => {
    expect(parseCommand(["start", "--brokers", "3"])).toMatchObject({ _tag: "Start", brokers: 3 })
    for (const brokers of ["0", "03", "3.5", "three", "-1", ""]) expect(wrong("start", `--brokers=${brokers}`)).toContain("--brokers")
  })

  it("names what is wrong and what would be right", () => {
    expect(wrong()).toContain("start")
    expect(wrong("stat")).toContain(`"stat"`)
    expect(wrong("start", "a", "b")).toContain(`"b"`)
    expect(wrong("start", "--override", "x")).toContain(`key=value, not "x"`)
    expect(wrong("start", "--overide", "a=b")).toMatch(/--overide[\s\S]*--override/)
    expect(wrong("start", "--log-format", "xml")).toContain("text or json")
    expect(wrong("start", "--log-level", "loud")).toContain("trace, debug, info, warn, error")
  })

  it("helps", () => {
    expect(parseCommand(["--help"])._tag).toBe("Help")
    expect(parseCommand(["start", "-h"])._tag).toBe("Help")
    expect(parseCommand(["--version"])._tag).toBe("Version")
  })
})
