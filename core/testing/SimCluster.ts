/**
 * A whole cluster in one process, under one seed and a virtual clock: production brokers on machines of their own with
 * memory disks, one network, one metadata store, and any number of clients.
 *
 * ```ts
 * const result = await simulate({ seed: 7 }, (cluster) =>
 *   Effect.gen(function*() {
 *     yield* cluster.startAll
 *     const admin = cluster.client("admin")
 *     yield* admin.run(Effect.gen(function*() { … Admin.make({ "bootstrap.servers": cluster.bootstrap }) … }))
 *     cluster.broker(2).kill()
 *     yield* cluster.until("a new leader", () => …)
 *   }))
 * result.hash // the same for the same seed, on every runtime
 * ```
 */
import * as Effect from "effect/Effect"
import type { BrokerStartError } from "../broker/Broker.ts"
import type { MetadataImage } from "../cluster/MetadataImage.ts"
import { type RunOptions, Sim, type SimOptions } from "./Sim.ts"
import { BROKER_PORT, SimBroker } from "./SimBroker.ts"
import { SimClient } from "./SimClient.ts"
import type { SimHost } from "./SimHost.ts"
import type { SimLinkOptions } from "./SimLink.ts"
import { SimMetadataStore } from "./SimMetadataStore.ts"
import { SimNetwork } from "./SimNetwork.ts"
import type { ProcessKilled } from "./SimProcess.ts"

export interface SimClusterOptions extends SimOptions {
  /** Their ids are 1 to this. Default 3. */
  readonly brokers?: number
  /** Of every broker; over SIM_CONFIGS. */
  readonly configs?: Readonly<Record<string, string>>
  /** Of one broker; over `configs`. */
  readonly configsOf?: (id: number) => Readonly<Record<string, string>>
  /** Of every link in the beginning and after `network.heal()`. */
  readonly link?: Partial<SimLinkOptions>
}

/** What a simulated broker is told unless the options say otherwise: three replicas, and few partitions that nobody asked for. */
export const SIM_CONFIGS: Readonly<Record<string, string>> = {
  "default.replication.factor": "3",
  "min.insync.replicas": "2",
  "offsets.topic.num.partitions": "2",
  "offsets.topic.replication.factor": "3"
}

/** How long `until` waits between two looks, in virtual milliseconds. */
const LOOK_MS = 10

/** What was waited for did not come about. */
export class NotReached extends Error {
  readonly _tag = "NotReached"
}

export class SimCluster {
  readonly sim: Sim
  readonly network: SimNetwork
  readonly store: SimMetadataStore
  /** By id. */
  readonly brokers: ReadonlyMap<number, SimBroker>
  /** By name. */
  readonly clients: ReadonlyMap<string, SimClient>
  /** For `bootstrap.servers`: all brokers. */
  readonly bootstrap: string
  readonly #clients: Map<string, SimClient> = new Map()

  constructor(sim: Sim, options: SimClusterOptions = {}) {
    this.sim = sim
    this.clients = this.#clients
    this.network = new SimNetwork(sim, options.link)
    this.store = new SimMetadataStore(sim)
    const world = { sim, network: this.network, store: this.store }
    const brokers = new Map<number, SimBroker>()
    for (let id = 1; id <= (options.brokers ?? 3); id++) {
      brokers.set(id, new SimBroker(world, id, { ...SIM_CONFIGS, ...options.configs, ...options.configsOf?.(id) }))
    }
    this.brokers = brokers
    this.bootstrap = [...brokers.values()].map(({ host }) => `${host.address}:${BROKER_PORT}`).join()
  }

  /** @throws when there is none with that id */
  broker(id: number): SimBroker {
    const broker = this.brokers.get(id)
    if (broker === undefined) throw new Error(`no broker ${id}: there are ${[...this.brokers.keys()].join()}`)
    return broker
  }
  /** Those that serve. */
  running(): ReadonlyArray<SimBroker> {
    return [...this.brokers.values()].filter(({ state }) => state === "running")
  }

  /** A machine for clients; the same for the same name. */
  client(name: string): SimClient {
    let client = this.#clients.get(name)
    if (client === undefined) {
      const number = this.#clients.size
      client = new SimClient(this.sim, this.network, name, `10.0.${1 + (number >> 8)}.${number & 0xff}`)
      this.#clients.set(name, client)
    }
    return client
  }

  /** Every machine, brokers first. */
  hosts(): ReadonlyArray<SimHost> {
    return [...this.brokers.values(), ...this.#clients.values()].map(({ host }) => host)
  }

  /** Starts all that are down, at the same time. Done when all serve and each knows of all. */
  readonly startAll: Effect.Effect<void, BrokerStartError | ProcessKilled> = Effect.suspend(() =>
    Effect.forEach(
      [...this.brokers.values()].filter(({ state }) => state === "down"),
      (broker) => broker.start(),
      { concurrency: "unbounded", discard: true }
    )
  ).pipe(
    Effect.andThen(
      Effect.orDie(this.until("every broker knows every broker", () =>
        this.running().every(({ broker }) =>
          this.running().every(({ id }) => broker!.services.image().brokers.get(id)?.fenced === false)
        )))
    )
  )

  /** Time passes until something holds. Fails with NotReached after `timeoutMs` (default two virtual minutes). */
  until(what: string, holds: () => boolean, timeoutMs = 120_000): Effect.Effect<void, NotReached> {
    return Effect.suspend(() => {
      const endMs = this.sim.nowMs + timeoutMs
      const look: Effect.Effect<void, NotReached> = Effect.suspend(() => {
        if (holds()) return Effect.void
        if (this.sim.nowMs >= endMs) return Effect.fail(new NotReached(`it did not come about within ${timeoutMs} ms: ${what}`))
        return Effect.andThen(Effect.sleep(LOOK_MS), look)
      })
      return look
    })
  }

  /** What the metadata store holds now, whatever the brokers have seen of it. */
  image(): MetadataImage {
    return this.store.image
  }

  /** All that was wrong with network and metadata store is over, and paused processes go on. Who is down stays down. */
  heal(): void {
    this.network.heal()
    this.store.heal()
    for (const broker of this.brokers.values()) {
      broker.resume()
      broker.syncMs = 0
      broker.skewMs = 0
      broker.disk.failWhen(undefined)
      broker.disk.limitBytes = Infinity
    }
    for (const client of this.#clients.values()) client.resume()
  }
}

export interface SimResult<A> {
  readonly value: A
  /** Of all that happened: equal for the same seed. */
  readonly hash: string
  readonly steps: number
  readonly virtualMs: number
}

/** Runs a program over a cluster of its own. Rejects with what the program fails with, and with SimLimit after `maxSteps`. */
export const simulate = async <A, E>(
  options: SimClusterOptions & RunOptions & { readonly seed: number },
  program: (cluster: SimCluster) => Effect.Effect<A, E>
): Promise<SimResult<A>> => {
  const sim = new Sim(options.seed, options)
  const effect = program(new SimCluster(sim, options))
  if (!Effect.isEffect(effect)) throw new TypeError("simulate takes a program that gives an Effect: a promise would go on outside the simulation")
  const value = await sim.run(effect, options)
  return { value, hash: sim.trace.hash(), steps: sim.steps, virtualMs: sim.elapsedMs }
}
