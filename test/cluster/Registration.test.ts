/** Two processes with one node id: what one says of itself is not said of the other. */
import { describe, expect, it } from "vitest"
import { liveKey } from "../../core/cluster/Keys.ts"
import { decideLife } from "../../core/cluster/Registration.ts"
import { imageOf, partitionOf } from "./PartitionWorld.ts"
import { broker } from "./support.ts"

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
