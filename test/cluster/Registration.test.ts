/** What a broker says of itself: of the stop before it, too; and what one process says is not said of another with its id. */
import { describe, expect, it } from "vitest"
import * as fc from "fast-check"
import { ImageState } from "../../core/cluster/ImageApply.ts"
import { liveKey } from "../../core/cluster/Keys.ts"
import { decideLife, decideRegisterBroker } from "../../core/cluster/Registration.ts"
import type { WatchEvent } from "../../core/ports/MetadataStore.ts"
import { imageOf, partitionOf } from "./PartitionWorld.ts"
import { broker, registration } from "./support.ts"

describe("what a broker says of itself", () => {
  const image = imageOf(partitionOf(), [broker(1, { session: "second" }), broker(2, { fenced: true, session: "" })])
  const said = (id: number, session: string) => decideLife(image, id, session, { shuttingDown: true }).change?.operations

  it("is put under its session", () => {
    expect(said(1, "second")).toEqual([
      { _tag: "Put", key: liveKey(1), value: JSON.stringify({ session: "second", shuttingDown: true }), session: "second" }
    ])
  })

  it("is nothing once its id is another process's, or it is fenced", () => {
    expect(said(1, "first")).toBeUndefined()
    expect(said(2, "first")).toBeUndefined()
  })
})

/** Registers broker 1 again and again, as a store would have it. */
const registrations = (areClean: ReadonlyArray<boolean>) => {
  const state = new ImageState()
  const seen: Array<{ readonly epoch: number; readonly uncleanEpoch: number }> = []
  let revision = 0
  for (const isClean of areClean) {
    const previous = state.image.brokers.get(1)?.epoch ?? -1
    const { change } = decideRegisterBroker(state.image, registration(1, isClean ? previous : -1), `session ${revision}`)
    revision++
    const events = change!.operations.map((operation): WatchEvent =>
      operation._tag === "Put"
        ? { _tag: "Put", entry: { key: operation.key, value: operation.value, createRevision: revision, modRevision: revision } }
        : { _tag: "Delete", key: operation.key }
    )
    state.apply({ revision, events })
    seen.push(state.image.brokers.get(1)!)
    state.apply({ revision: ++revision, events: [{ _tag: "Delete", key: liveKey(1) }] })
  }
  return seen
}

describe("A broker's registration", () => {
  it("carries the epoch of the last unclean start: nobody may have acted on it yet", () => {
    fc.assert(fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }), (areClean) => {
      const seen = registrations(areClean)
      let expected = -1
      for (const [at, { epoch, uncleanEpoch }] of seen.entries()) {
        // The first has no log that could lack anything.
        if (at > 0 && !areClean[at]) expected = epoch
        expect(uncleanEpoch).toBe(expected)
      }
    }))
  })
})
