import { describe, expect, it } from "vitest"
import { Offset, topicNameError } from "../../core/model/Ids.ts"

describe("Offset", () => {
  it("is an integer from 0 to 2^53-1", () => {
    for (const good of [0, 1, Number.MAX_SAFE_INTEGER]) expect(Offset(good)).toBe(good)
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) expect(() => Offset(bad)).toThrow(RangeError)
  })
})

describe("topicNameError", () => {
  it("allows 1 to 249 ASCII letters, digits, '.', '_' and '-', and neither '.' nor '..'", () => {
    for (const good of ["a", "A-1_b.c", "__consumer_offsets", "...", "x".repeat(249)]) expect(topicNameError(good)).toBe(undefined)
    for (const bad of ["", ".", "..", "x".repeat(250), "a b", "ü", "a/b", "a\n"]) expect(topicNameError(bad)).toMatch(/^Topic name is invalid: /)
  })
})
