import { describe, expect, it } from "vitest"
import { modelRun } from "./Model.ts"
import { GroupHistory, RuleBroken } from "./ModelHistory.ts"

const SEEDS = Number(process.env["OTTLA_MODEL_SEEDS"] ?? 12)
const FIRST = Number(process.env["OTTLA_MODEL_FIRST"] ?? 1)

describe("A group under a seeded scheduler and a virtual clock", () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    it(`keeps its rules while members come, go, stall and die and the broker restarts (seed ${seed})`, async () => {
      const run = await modelRun(seed)
      expect(run.generations).toBeGreaterThan(1)
      expect(run.commits).toBeGreaterThan(10)
      expect(run.fetches).toBeGreaterThan(10)
      expect(run.restarts).toBeGreaterThan(0)
    }, 60_000)
  }

  it("runs the same way for the same seed, and another way for another", async () => {
    const [first, again, other] = [await modelRun(2), await modelRun(2), await modelRun(3)]
    expect(again.trace).toEqual(first.trace)
    expect(other.hash).not.toBe(first.hash)
  }, 120_000)
})

describe("The history of a group", () => {
  it("refuses a second owner of a partition in a generation, and takes one in the next", () => {
    const history = new GroupHistory()
    history.assigned(1, "a", [0, 1])
    history.assigned(1, "b", [2])
    history.assigned(2, "b", [0])
    expect(() => history.assigned(1, "b", [1])).toThrow(RuleBroken)
  })

  it("refuses a commit of an older generation that was called when a newer one was in force, not one on its way then", () => {
    const history = new GroupHistory()
    history.assigned(1, "a", [0])
    const onItsWay = history.commitCalled(0, 5, 1)
    history.assigned(2, "b", [0])
    history.commitAnswered(onItsWay, true)
    const late = history.commitCalled(0, 6, 1)
    expect(() => history.commitAnswered(late, true)).toThrow(RuleBroken)
  })

  it("takes any of the commits that overlap a fetch, and no other", () => {
    const history = new GroupHistory()
    const fetchOf = (offset: number) => () => history.fetchAnswered(history.fetchCalled(0), offset)
    fetchOf(-1)()
    history.commitAnswered(history.commitCalled(0, 1, 1), true)
    history.commitAnswered(history.commitCalled(0, 2, 1), true)
    fetchOf(2)()
    expect(fetchOf(1)).toThrow(RuleBroken)
    expect(fetchOf(-1)).toThrow(RuleBroken)
    history.commitAnswered(history.commitCalled(0, 9, 1), false)
    expect(fetchOf(9)).toThrow(RuleBroken)
    // without an answer: it may have happened, or not
    history.commitCalled(0, 3, 1)
    fetchOf(2)()
    fetchOf(3)()
    history.brokerEnded()
    fetchOf(3)()
    history.commitAnswered(history.commitCalled(0, 4, 1), true)
    fetchOf(4)()
    expect(fetchOf(3)).toThrow(RuleBroken)
  })
})
