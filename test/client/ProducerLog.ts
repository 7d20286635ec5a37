/** Reads logs back over a connection of its own: what producers are held against. */
import * as Effect from "effect/Effect"
import type { Network } from "../../core/ports/Network.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import type { ReadRecord } from "../oracle/Batches.ts"
import { recordsIn, TestClient } from "../broker/TestBroker.ts"

const addressOf = (bootstrap: string): { readonly host: string; readonly port: number } => {
  const colon = bootstrap.lastIndexOf(":")
  return { host: bootstrap.slice(0, colon), port: Number(bootstrap.slice(colon + 1)) }
}

/** Every record of a partition, in the order of offsets. */
export const readLog = (
  bootstrap: string,
  topic: string,
  partition = 0
): Effect.Effect<ReadonlyArray<ReadRecord>, RpcConnection.RpcError, Network> =>
  Effect.gen(function*() {
    const client = new TestClient(yield* RpcConnection.connect(addressOf(bootstrap), { clientId: "test-reader" }))
    const all: Array<ReadRecord> = []
    for (let next = 0;;) {
      const one = yield* client.fetchOne(topic, { partition, offset: next, partitionMaxBytes: 4_000_000 })
      if (one.errorCode !== 0) throw new Error(`fetch of ${topic}-${partition} at ${next}: error ${one.errorCode}`)
      const records = recordsIn(one.records).filter(({ offset }) => offset >= next)
      if (records.length === 0) return all
      for (const record of records) all.push(record)
      next = all.at(-1)!.offset + 1
    }
  }).pipe(Effect.scoped)

const decoder = new TextDecoder()
export const textOf = (bytes: Uint8Array | null): string | null => bytes === null ? null : decoder.decode(bytes)

/** The values of a partition, as text. */
export const readValues = (
  bootstrap: string,
  topic: string,
  partition = 0
): Effect.Effect<ReadonlyArray<string | null>, RpcConnection.RpcError, Network> =>
  Effect.map(readLog(bootstrap, topic, partition), (records) => records.map(({ value }) => textOf(value)))
