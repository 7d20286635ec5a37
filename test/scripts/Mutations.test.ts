import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { describe, expect, it } from "vitest"
import { mutations, patched } from "../../scripts/mutations/Mutations.ts"

const root = resolve(import.meta.dirname, "../..")

describe("the mutations of npm run mutations", () => {
  it.each(mutations)("$name fits the sources and changes them", ({ patches }) => {
    expect(patches.length).toBeGreaterThan(0)
    const sources = new Map<string, string>()
    for (const patch of patches) {
      const before = sources.get(patch.file) ?? readFileSync(resolve(root, patch.file), "utf8")
      const after = patched(before, patch)
      if (after instanceof Error) throw after
      expect(after).not.toBe(before)
      sources.set(patch.file, after)
    }
  })

  it("have names of their own", () => expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length))
})

describe("a patch", () => {
  const patch = { file: "a.ts", find: "one\ntwo", replace: "$& three" }

  it("takes the place of what it finds, as it is written", () => {
    expect(patched("zero\none\ntwo\n", patch)).toBe("zero\n$& three\n")
  })

  it("fails where the source has its piece no more, or more than once", () => {
    expect(String(patched("one\n\ntwo", patch))).toContain("a.ts has this no more, so the patch must be written anew:\none\ntwo")
    expect(String(patched("one\ntwo\none\ntwo", patch))).toContain("a.ts has this 2 times")
  })
})
