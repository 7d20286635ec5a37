/** Implementations that break a law: each has to be found, and each law has to find one. */
import { describe, expect, it } from "vitest"
import type { Law } from "../../../core/testing/index.ts"

/** Names of the laws that do not hold. */
export const brokenLaws = async (laws: ReadonlyArray<Law>): Promise<ReadonlyArray<string>> => {
  const names: Array<string> = []
  for (const law of laws) {
    const error = await law.run().then(() => undefined, (error: unknown) => error)
    if (error === undefined) continue
    expect(error).toBeInstanceOf(Error)
    expect((error as Error).message).not.toBe("")
    names.push(law.name)
  }
  return names
}

/**
 * @param cases what is broken, its laws, and the beginnings of the names of those that must find it
 * @param laws of an implementation that keeps them
 */
export const describeBroken = (
  cases: ReadonlyArray<readonly [what: string, laws: () => ReadonlyArray<Law>, found: ReadonlyArray<string>]>,
  laws: ReadonlyArray<Law>
): void => {
  describe("what breaks a law is found", () => {
    for (const [what, make, found] of cases) {
      it(what, async () => {
        expect(found.length).toBeGreaterThan(0)
        const names = await brokenLaws(make().filter(({ name }) => found.some((start) => name.startsWith(start))))
        expect(names.length).toBe(found.length)
      })
    }

    it("by each of the laws", () => {
      const used = cases.flatMap(([, , found]) => found)
      expect(laws.filter(({ name }) => !used.some((start) => name.startsWith(start))).map(({ name }) => name)).toEqual([])
    })

    it("and each has a name of its own", () => expect(new Set(laws.map(({ name }) => name)).size).toBe(laws.length))
  })
}
