/** The programs of docs/testing.md, as they stand there, on the runtime that the tests run on. */
import { describe, expect, it } from "vitest"
import { programsOf, run, typeErrors } from "../examples/Programs.ts"

describe("docs/testing.md", () => {
  const all = programsOf("docs/testing.md")
  // The one with hooks is a test file of its own: it is type-checked only.
  const programs = all.filter(({ source }) => !source.includes("from \"vitest\""))
  const lines: ReadonlyArray<ReadonlyArray<string>> = [
    ["0 hello"],
    ["orders", "offset 0"],
    ["1 record is left"],
    ["before,meanwhile"],
    ["1 record"],
    ["every law holds"]
  ]
  it("has the programs that are known here", () => expect([programs.length, all.length]).toEqual([lines.length, lines.length + 1]))
  it("its programs type-check", async () => expect(await typeErrors(all)).toBe(""))
  it.each(programs.map((program, index) => ({ ...program, expected: lines[index] })))("$name does what it says", async ({ expected, ...program }) => {
    expect(await run(program)).toEqual(expected)
  })
})
