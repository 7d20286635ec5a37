import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { parseProperties, PropertiesError } from "../../../core/broker/config/Properties.ts"

const parse = (text: string): Record<string, string> => {
  const result = parseProperties(text)
  if (result instanceof PropertiesError) throw new Error(result.message)
  return Object.fromEntries(result)
}

const unit = (code: number): string => `\\u${code.toString(16).padStart(4, "0")}`
/** Every character that is no letter or digit as \uXXXX, by UTF-16 unit. */
const escape = (s: string): string =>
  Array.from({ length: s.length }, (_, i) => (/[a-zA-Z0-9]/.test(s[i] as string) ? (s[i] as string) : unit(s.charCodeAt(i)))).join("")

describe("properties", () => {
  it("takes =, : and blanks between key and value", () => {
    expect(parse("a=1\nb:2\nc 3\nd = 4\ne : 5\n  f\t=6\ng\nh==x\ni=a:b=c")).toEqual({
      a: "1",
      b: "2",
      c: "3",
      d: "4",
      e: "5",
      f: "6",
      g: "",
      h: "=x",
      i: "a:b=c"
    })
  })

  it("skips comments and blank lines, and ends lines with LF, CR or CRLF", () => {
    expect(parse("# a=1\n  ! b=2\n\n\t\nc=3\r\nd=4\re=5 # not a comment")).toEqual({ c: "3", d: "4", e: "5 # not a comment" })
  })

  it("continues a line after a backslash and drops the indentation of the next", () => {
    expect(parse("a=1,\\\n   2,\\\n\t3\nb=x\\\\\nc=y")).toEqual({ a: "1,2,3", b: "x\\", c: "y" })
    expect(parse("a=1\\")).toEqual({ a: "1" })
    expect(parse("a=1\\\n# no comment")).toEqual({ a: "1# no comment" })
  })

  it("knows Java's escapes", () => {
    expect(parse("a\\=b=c\\:d\\u00e9\\t\\n\\q\nk\\ ey=v")).toEqual({ "a=b": "c:dé\t\nq", "k ey": "v" })
  })

  it("names the line of a bad unicode escape", () => {
    expect(parseProperties("a=1\nb=\\u12x4")).toMatchObject({ _tag: "PropertiesError", line: 2 })
  })

  it("keeps the last of two values, and trailing blanks", () => {
    expect(parse("a=1\na=2  ")).toEqual({ a: "2  " })
  })

  it("reads back whatever is written with escapes", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.string()), (wanted) => {
        const text = Object.entries(wanted).map(([k, v]) => `${escape(k)}=${escape(v)}`).join("\n")
        const read = parseProperties(text)
        expect(read instanceof PropertiesError ? read : [...read].sort()).toEqual(Object.entries(wanted).sort())
      }),
      { seed: 1, numRuns: 200 }
    )
  })

  it("never fails but with an error that names its line, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "=", ":", " ", "\\", "\n", "\r", "u", "0", "#", "!") }), (text) => {
        const read = parseProperties(text)
        expect(read instanceof PropertiesError ? read.line : read.size).toBeGreaterThanOrEqual(0)
      }),
      { seed: 2, numRuns: 500 }
    )
  })
})
