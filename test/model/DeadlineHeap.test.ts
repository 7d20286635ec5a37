/** The heap against a sorted list. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { DeadlineEntry, DeadlineHeap } from "../../core/model/DeadlineHeap.ts"

class Entry extends DeadlineEntry {
  readonly name: number
  constructor(name: number) {
    super()
    this.name = name
  }
}

const command = fc.oneof(
  fc.record({ _tag: fc.constant("insert" as const), atMs: fc.nat(20) }),
  fc.record({ _tag: fc.constant("remove" as const), which: fc.nat() }),
  fc.record({ _tag: fc.constant("advance" as const), which: fc.nat(), byMs: fc.nat(10) }),
  fc.record({ _tag: fc.constant("first" as const) })
)

describe("DeadlineHeap", () => {
  it("has the earliest first and equal times in the order of their coming, whatever leaves or moves ahead", () => {
    fc.assert(fc.property(fc.array(command, { maxLength: 200 }), (script) => {
      const heap = new DeadlineHeap<Entry>()
      /** In the order of their coming. */
      const model: Array<{ readonly entry: Entry; atMs: number }> = []
      const earliest = () => model.reduce<(typeof model)[number] | undefined>((best, one) => best === undefined || one.atMs < best.atMs ? one : best, undefined)
      let names = 0
      const check = (): void => {
        expect(heap.size).toBe(model.length)
        expect(heap.first?.name).toBe(earliest()?.entry.name)
      }
      for (const step of script) {
        if (step._tag === "insert") {
          const entry = new Entry(names++)
          heap.insert(entry, step.atMs)
          model.push({ entry, atMs: step.atMs })
        } else if (model.length > 0 && step._tag !== "first") {
          const one = model[step.which % model.length]!
          if (step._tag === "advance") {
            one.atMs -= step.byMs
            heap.advance(one.entry, one.atMs)
          } else {
            heap.remove(one.entry)
            expect(one.entry.heapIndex).toBe(-1)
            model.splice(model.indexOf(one), 1)
          }
        } else if (model.length > 0) {
          const one = earliest()!
          heap.remove(one.entry)
          model.splice(model.indexOf(one), 1)
        }
        check()
      }
      while (model.length > 0) {
        const one = earliest()!
        expect(heap.first).toBe(one.entry)
        heap.remove(one.entry)
        model.splice(model.indexOf(one), 1)
        check()
      }
    }), { numRuns: 300 })
  })
})
