import { describe, expect, it } from "vitest"
import { MAX_BROKERS, overview, parseCommand } from "../../../adapters/cli/Arguments.ts"
import { commands } from "../../../adapters/cli/Names.ts"
import { MAX_CLUSTER_SIZE } from "../../../core/broker/config/ClusterConfig.ts"

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
    for (const brokers of ["0", "03", "3.5", "three", "-1", "", "33", "10000"]) {
      expect(wrong("start", `--brokers=${brokers}`)).toBe(`--brokers takes how many brokers there shall be, 1 to 32, not "${brokers}"`)
    }
    expect(parseCommand(["start", "--brokers", "32"])).toMatchObject({ brokers: 32 })
    expect(MAX_BROKERS).toBe(MAX_CLUSTER_SIZE)
  })

  it("names what is wrong and what would be right", () => {
    expect(wrong()).toContain("start")
    expect(wrong("stat")).toContain(`"stat"`)
    expect(wrong("start", "a", "b")).toContain(`"b"`)
    expect(wrong("start", "--override", "x")).toContain(`key=value, not "x"`)
    expect(wrong("start", "--overide", "a=b")).toMatch(/--overide[\s\S]*--override/)
    expect(wrong("start", "--log-format", "xml")).toContain("text or json")
    expect(wrong("start", "--brokers", "-1")).toMatch(/^--brokers takes a value; one that begins with a dash is written --brokers=VALUE\nknown flags: /)
    expect(wrong("start", "-daemon", "server.properties")).toMatch(/^-daemon is not there/)
    expect(wrong("start", "--log-level", "loud")).toContain("trace, debug, info, warn, error")
  })

  it("helps", () => {
    expect(parseCommand(["--help"])._tag).toBe("Help")
    expect(parseCommand(["help"])._tag).toBe("Help")
    for (const [name, what] of Object.entries(commands)) expect(overview).toMatch(new RegExp(`^  ${name} {2,}${what}$`, "m"))
    expect(parseCommand(["start", "-h"])._tag).toBe("Help")
    expect(parseCommand(["--version"])._tag).toBe("Version")
  })
})
