/** Makes `connect` for a runtime's ports; `ottla/node`, `ottla/bun` and `ottla/deno` export theirs. */
import * as Effect from "effect/Effect"
import type { Layer } from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Admins from "../Admin.ts"
import { FatalError } from "../ClientError.ts"
import * as Clusters from "../Cluster.ts"
import * as Consumers from "../Consumer.ts"
import { Partitioner } from "../Partitioner.ts"
import * as Producers from "../Producer.ts"
import { makeAdminClient } from "./AdminClient.ts"
import type { Client, Closable, Connect, ProducerClient, ProducerOptions } from "./Client.ts"
import { makeConsumerClient } from "./ConsumerClient.ts"
import { Part, type Ports, run } from "./Host.ts"
import { makeProducerClient } from "./ProducerClient.ts"

/** @param ports this runtime's layer of the ports */
export const connectWith = (ports: Layer<Ports>): Connect => async (config): Promise<Client> => {
  const runtime = ManagedRuntime.make(ports)
  // Producers and admins share connections; a consumer's long polls would make them wait, so it has its own.
  const shared = new Part(runtime, Clusters.make(config))
  try {
    const cluster = await shared.get()
    await run(runtime, cluster.retry(cluster.anyNode))
  } catch (error) {
    await shared.close()
    await runtime.dispose()
    throw error
  }
  const cluster = Effect.promise(shared.get)
  /** What was made and not closed yet. */
  const open = new Set<Closable>()
  let closed: Promise<void> | undefined
  /** @param forget is called once, when somebody begins to close it */
  const keep = <A extends Closable>(make: () => A, forget: () => void = () => {}): A => {
    if (closed !== undefined) throw new FatalError("CLOSED", "this client is closed: connect again")
    const part = make()
    let ended: Promise<void> | undefined
    const close = (): Promise<void> => {
      if (ended === undefined) {
        forget()
        // It stays open until it has ended: what it still sends needs the connections that the client would close.
        ended = part.close().finally(() => open.delete(kept))
      }
      return ended
    }
    const kept: A = { ...part, close, [Symbol.asyncDispose]: close }
    open.add(kept)
    return kept
  }
  /** One for all who ask; whoever asks after it was closed gets the next. */
  const oneOf = <A extends Closable>(make: () => A): () => A => {
    let one: A | undefined
    return () => (one ??= keep(make, () => (one = undefined)))
  }
  const closeAll = async (): Promise<void> => {
    const results = await Promise.allSettled(Array.from(open, (part) => part.close()))
    await shared.close()
    await runtime.dispose()
    for (const result of results) if (result.status === "rejected") throw result.reason
  }
  const close = (): Promise<void> => (closed ??= closeAll())
  const makeProducer = ({ partitioner, ...options }: ProducerOptions): ProducerClient => {
    const make = Effect.flatMap(cluster, (shared) => Producers.makeWith(shared, { ...config, ...options }))
    return makeProducerClient(
      runtime,
      partitioner === undefined ? make : Effect.provideService(make, Partitioner, partitioner)
    )
  }
  const plainProducer = oneOf(() => makeProducer({}))
  return {
    producer: (options) => (options === undefined ? plainProducer() : keep(() => makeProducer(options))),
    consumer: (options = {}) =>
      keep(() => makeConsumerClient(runtime, (chosen) => Consumers.make({ ...config, ...chosen }), options)),
    admin: oneOf(() => makeAdminClient(runtime, Effect.flatMap(cluster, Admins.makeWith))),
    close,
    [Symbol.asyncDispose]: close
  }
}
