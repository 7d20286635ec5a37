/**
 * Three production brokers in one process: disks of their own, one network, one metadata store. Time is TestClock's and
 * passes only while something is waited for.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { BrokerStartError } from "../../core/broker/Broker.ts"
import type { MetadataImage, PartitionImage } from "../../core/cluster/MetadataImage.ts"
import type { CrashMode } from "../../core/memory/MemoryDisk.ts"
import { MetadataStore, MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import { type Connection, Network, NetworkError } from "../../core/ports/Network.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { decodeFetchRequest, type FetchRequest } from "../../core/protocol/generated/Fetch.ts"
import { decodeRequestHeader } from "../../core/protocol/Headers.ts"
import type { Partition } from "../../core/replication/Partition.ts"
import { makeCluster, type Overrides, type RunningBroker, startBroker, type TestClient, type World } from "../broker/TestBroker.ts"

export const IDS: ReadonlyArray<number> = [1, 2, 3]

const STEP_MS = 50
const MAX_STEPS = 2400

/** Lets everything that can happen without time passing happen. */
export const settle: Effect.Effect<void> = TestClock.adjust(0).pipe(
  Effect.andThen(Effect.yieldNow),
  Effect.repeat({ times: 10 }),
  Effect.asVoid
)

/** Time passes until something holds; fails when it does not within two virtual minutes. */
export const until = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let step = 0; step < MAX_STEPS; step++) {
      yield* settle
      if (holds()) return
      yield* TestClock.adjust(STEP_MS)
    }
    throw new Error(`it did not come about: ${what}`)
  })

/** Time passes until the effect is done. */
export const withTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    let isDone = false
    const fiber = yield* Effect.forkChild(
      Effect.ensuring(effect, Effect.sync(() => {
        isDone = true
      })),
      { startImmediately: true }
    )
    yield* until("an answer", () => isDone)
    return yield* Fiber.join(fiber)
  })

/** A broker's own connections to others, which can be cut: it can be reached then, and reaches nobody. */
class Link {
  readonly world: World
  /** Fetch requests that it sent. */
  readonly fetches: Array<FetchRequest> = []
  /** Where it connected to, or tried to, at which virtual millisecond. */
  readonly attempts: Array<{ readonly atMs: number; readonly port: number }> = []
  /** Its commits fail: the metadata store cannot be reached. Its session lives on. */
  isWithoutStore = false
  /** Its commits are done, and it does not hear so. */
  losesAnswers = false
  /** It hears nothing of the metadata store's changes until this is false again. */
  get isBlind(): boolean {
    return this.#isBlind
  }
  set isBlind(isBlind: boolean) {
    this.#isBlind = isBlind
    if (isBlind) this.#sight.closeUnsafe()
    else this.#sight.openUnsafe()
  }
  #isBlind = false
  readonly #sight: Latch.Latch = Latch.makeUnsafe(true)
  /** What it sends goes nowhere, and nobody tells. */
  isSilent = false
  readonly #open: Set<Connection> = new Set()
  #isCut = false

  constructor(world: World) {
    const shared = Context.get(world.context, Network)
    const network: Network = {
      ...shared,
      connect: (address, handle) =>
        Effect.clockWith((clock) => {
          this.attempts.push({ atMs: clock.currentTimeMillisUnsafe(), port: address.port })
          if (this.#isCut) return Effect.fail(new NetworkError("Unreachable", "the link is cut"))
          return shared.connect(address, (connection) => {
            this.#open.add(connection)
            this.#listenTo(connection)
            return handle(connection)
          })
        })
    }
    const store = Context.get(world.context, MetadataStore)
    const context = Context.add(world.context, Network, network).pipe(Context.add(MetadataStore, {
      ...store,
      list: (prefix) =>
        Effect.suspend(() => this.#isBlind ? Effect.fail(new MetadataStoreError("Unavailable", "the link is cut")) : store.list(prefix)),
      watch: (prefix, after) => Stream.tap(store.watch(prefix, after), () => this.#sight.await),
      commit: (comparisons, operations) =>
        Effect.suspend(() =>
          this.isWithoutStore
            ? Effect.fail(new MetadataStoreError("Unavailable", "the link is cut"))
            : this.losesAnswers
            ? Effect.andThen(store.commit(comparisons, operations), Effect.fail(new MetadataStoreError("Unavailable", "the answer got lost")))
            : store.commit(comparisons, operations)
        )
    }))
    this.world = { disk: world.disk, context, clientNetwork: shared }
  }

  #listenTo(connection: Connection): void {
    const send = connection.send.bind(connection)
    connection.send = (payloads) => {
      for (const payload of payloads) {
        if (!(payload instanceof Uint8Array)) continue
        const reader = new ByteReader(payload.slice(4))
        const { apiKey, apiVersion } = decodeRequestHeader(reader)
        if (apiKey === ApiKey.Fetch) this.fetches.push(decodeFetchRequest(reader, apiVersion))
      }
      if (!this.isSilent) send(payloads)
    }
  }

  cut(): void {
    this.#isCut = true
    for (const connection of this.#open) connection.destroy()
    this.#open.clear()
  }
  heal(): void {
    this.#isCut = false
  }
}

export class TestCluster {
  readonly #links: ReadonlyArray<Link>
  readonly #overridesOf: (id: number) => Overrides
  readonly running: Map<number, RunningBroker> = new Map()

  constructor(worlds: ReadonlyArray<World>, overridesOf: (id: number) => Overrides) {
    this.#links = worlds.map((world) => new Link(world))
    this.#overridesOf = overridesOf
  }

  start(id: number): Effect.Effect<RunningBroker, BrokerStartError, Scope> {
    const started = startBroker(this.#links[id - 1]!.world, { "node.id": String(id), ...this.#overridesOf(id) })
    return Effect.tap(withTime(started), (running) => Effect.sync(() => this.running.set(id, running)))
  }

  /** Its process or its machine dies; what the metadata store knew of it by its session is gone. */
  crash(id: number, mode: CrashMode = { _tag: "process" }): Effect.Effect<void> {
    return Effect.suspend(() => withTime(this.#take(id).crash(mode)))
  }

  /** Its process dies, and its session at once or when its time is up. */
  kill(id: number, session: "ends" | "expires"): Effect.Effect<void> {
    return Effect.suspend(() => withTime(this.#take(id).kill({ session })))
  }

  stop(id: number): Effect.Effect<void> {
    return Effect.suspend(() => withTime(this.#take(id).stop))
  }

  #take(id: number): RunningBroker {
    const running = this.running.get(id)!
    this.running.delete(id)
    return running
  }

  link(id: number): Link {
    return this.#links[id - 1]!
  }

  /** These can fetch from nobody. */
  cut(ids: ReadonlyArray<number>): void {
    for (const id of ids) this.#links[id - 1]!.cut()
  }
  heal(ids: ReadonlyArray<number>): void {
    for (const id of ids) this.#links[id - 1]!.heal()
  }

  /** As one that runs has it. */
  image(): MetadataImage {
    return [...this.running.values()][0]!.broker.services.image()
  }
  partitionImage(topic: string): PartitionImage {
    return this.image().topicsByName.get(topic)!.partitions[0]!
  }
  partition(id: number, topic: string): Partition | undefined {
    return this.running.get(id)?.broker.services.partitions.get(topic, 0)
  }
  /** The leader's own. */
  leading(topic: string): Partition {
    return this.partition(this.partitionImage(topic).leader, topic)!
  }
  followers(topic: string): ReadonlyArray<number> {
    const { leader } = this.partitionImage(topic)
    return IDS.filter((id) => id !== leader)
  }
  /** A client of the leader's broker. */
  leaderClient(topic: string): Effect.Effect<TestClient, never, Scope> {
    return Effect.suspend(() => Effect.orDie(this.running.get(this.partitionImage(topic).leader)!.connect))
  }

  isrIs(topic: string, isr: ReadonlyArray<number>): Effect.Effect<void> {
    return until(`the ISR is ${isr.join()}`, () => [...this.partitionImage(topic).isr].sort().join() === isr.join())
  }
}

/** `overridesOf`: what each broker has beside what all have. */
export const startCluster = (
  overrides: Overrides = {},
  overridesOf: (id: number) => Overrides = () => ({})
): Effect.Effect<TestCluster, BrokerStartError, Scope> =>
  Effect.gen(function*() {
    const cluster = new TestCluster(yield* makeCluster(IDS.length), (id) => ({ ...overrides, ...overridesOf(id) }))
    for (const id of IDS) yield* cluster.start(id)
    const all = [...cluster.running.values()]
    yield* until("all see all", () => all.every(({ broker }) => broker.services.image().brokers.size === IDS.length))
    return cluster
  })

/** A log's bytes, committed or not. */
export const bytesOf = (partition: Partition): string => {
  const { slices } = partition.read(partition.logStartOffset, 1e6, true, "LogEnd")
  return slices.map((slice) => {
    const into = new Uint8Array(slice.length)
    slice.file.read(into, slice.position)
    slice.release()
    return into.join()
  }).join()
}
