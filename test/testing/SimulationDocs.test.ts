/** The programs of docs/simulation.md, as they stand there, on the runtime that the tests run on. */
import { describe, expect, it } from "vitest"
import { programsOf, run, typeErrors } from "../examples/Programs.ts"

describe("docs/simulation.md", () => {
  const programs = programsOf("docs/simulation.md")
  const lines: ReadonlyArray<ReadonlyArray<string>> = [["10 seeds"], ["all records were acknowledged"]]
  it("has the programs that are known here", () => expect(programs.length).toBe(lines.length))
  it("its programs type-check", async () => expect(await typeErrors(programs)).toBe(""))
  it.each(programs.map((program, index) => ({ ...program, expected: lines[index] })))("$name does what it says", async ({ expected, ...program }) => {
    expect(await run(program)).toEqual(expected)
  })
})
