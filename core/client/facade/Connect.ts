/** Makes `connect` for a runtime's ports; `ottla/node`, `ottla/bun` and `ottla/deno` export theirs. */
import * as Effect from "effect/Effect"
import type { Layer } from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Admins from "../Admin.ts"
import * as Clusters from "../Cluster.ts"
import * as Consumers from "../Consumer.ts"
import { Partitioner } from "../Partitioner.ts"
import * as Producers from "../Producer.ts"
import { makeAdminClient } from "./AdminClient.ts"
import type { AdminClient, Client, Closable, Connect, ProducerClient, ProducerOptions } from "./Client.ts"
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
  const keep = <A extends Closable>(part: A): A => {
    const close = (): Promise<void> => {
      open.delete(part)
      return part.close()
    }
    open.add(part)
    return { ...part, close, [Symbol.asyncDispose]: close }
  }
  let closed: Promise<void> | undefined
  const closeAll = async (): Promise<void> => {
    const results = await Promise.allSettled(Array.from(open, (part) => part.close()))
    await shared.close()
    await runtime.dispose()
    for (const result of results) if (result.status === "rejected") throw result.reason
  }
  const close = (): Promise<void> => (closed ??= closeAll())
  const makeProducer = ({ partitioner, ...options }: ProducerOptions): ProducerClient => {
    const make = Effect.flatMap(cluster, (shared) => Producers.makeWith(shared, { ...config, ...options }))
    return keep(makeProducerClient(
      runtime,
      partitioner === undefined ? make : Effect.provideService(make, Partitioner, partitioner)
    ))
  }
  let plain: ProducerClient | undefined
  let admin: AdminClient | undefined
  return {
    producer: (options) => (options === undefined ? (plain ??= makeProducer({})) : makeProducer(options)),
    consumer: (options = {}) =>
      keep(makeConsumerClient(runtime, (chosen) => Consumers.make({ ...config, ...chosen }), options)),
    admin: () => (admin ??= keep(makeAdminClient(runtime, Effect.flatMap(cluster, Admins.makeWith)))),
    close,
    [Symbol.asyncDispose]: close
  }
}
