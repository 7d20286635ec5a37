import { describe, expect, it } from "vitest"
import { ReadTurn } from "../../core/rpc/ReadTurn.ts"

describe("ReadTurn", () => {
  it("takes nothing outside of a read", () => {
    const turn = new ReadTurn()
    expect(turn.after(() => expect.fail("ran"))).toBe(false)
    turn.begin()
    turn.end()
    expect(turn.after(() => expect.fail("ran"))).toBe(false)
  })

  it("runs what was put off once, in its order, at the end of the read", () => {
    const turn = new ReadTurn()
    const ran: Array<number> = []
    turn.begin()
    for (const n of [1, 2, 3]) expect(turn.after(() => ran.push(n))).toBe(true)
    expect(ran).toEqual([])
    turn.end()
    expect(ran).toEqual([1, 2, 3])
    turn.begin()
    turn.end()
    expect(ran).toEqual([1, 2, 3])
  })
})
