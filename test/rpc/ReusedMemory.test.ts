/** A connection that uses the memory of its answers again: nobody is given bytes that change under them. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { Network } from "../../core/ports/Network.ts"
import { connect, RpcError } from "../../core/rpc/RpcConnection.ts"
import * as Apis from "../broker/Apis.ts"
import { fetchRequest, makeWorld, startBroker, TestClient, valuesOf } from "../broker/TestBroker.ts"

const VERSION = 12
/** Larger than what one read brings, so that it is put together from several. */
const VALUE_BYTES = 300_000

describe("A connection that uses memory again", () => {
  it.effect("copies what a call gives, and shows what is asked for in passing as it came", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const { broker } = yield* startBroker(world)
      const { host, port } = broker.listeners[0]!
      const rpc = yield* connect({ host, port }, { clientId: "test", reusesMemory: true }).pipe(
        Effect.provideService(Network, Context.get(world.context, Network))
      )
      const client = new TestClient(rpc)
      yield* client.createTopic("t")
      const values = ["a", "b", "c", "d"].map((letter) => letter.repeat(VALUE_BYTES))
      for (const value of values) yield* client.produce("t", [value])

      const kept: Array<Uint8Array> = []
      for (const offset of values.keys()) {
        const { records } = yield* client.fetchOne("t", { offset, partitionMaxBytes: 1 })
        kept.push(records!)
      }
      expect(kept.map((records) => valuesOf(records)[0])).toEqual(values)

      const seen: Array<string | undefined> = []
      const memory = new Set<ArrayBufferLike>()
      for (const offset of values.keys()) {
        yield* Effect.callback<void>((resume) => {
          rpc.ask(Apis.fetchApi, VERSION, fetchRequest("t", { offset, partitionMaxBytes: 1 }), { isTransient: true }, (answer) => {
            if (answer instanceof RpcError) return resume(Effect.die(answer))
            const { records } = answer.responses[0]!.partitions[0]!
            seen.push(valuesOf(records)[0])
            memory.add(records!.buffer)
            resume(Effect.void)
          })
        })
      }
      expect(seen).toEqual(values)
      expect(memory.size).toBeLessThan(values.length)
      expect(kept.map((records) => valuesOf(records)[0])).toEqual(values)
    }))
})
