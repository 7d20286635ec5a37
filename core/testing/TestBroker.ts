/**
 * A broker of one's own in a test, ready in a few milliseconds: the production broker on a disk and a metadata store in
 * memory, which nobody else sees and which are gone with it.
 *
 * ```ts
 * import { TestBroker } from "ottla/testing"
 * import { layer as host } from "ottla/node" // or ottla/bun, ottla/deno
 *
 * await using broker = await TestBroker.start({ host })  // on a free port of 127.0.0.1
 * const kafka = new Kafka({ brokers: broker.brokers })
 * ```
 *
 * `host` is this runtime's sockets and codecs, which keeps this module portable. Without it the broker listens in
 * memory: the client of `ottla/client` reaches it by `broker.connect()`, kafkajs by `broker.socketFactory`, and batches
 * have to come uncompressed, because codecs are the host's.
 *
 * With Effect it is a scoped layer: `TestBroker.layer()` gives the service {@link TestBroker} and the ports that clients
 * take, so `Producer.layer(config)` stands on it. Its time is the Clock it is built with, TestClock for one.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type { Broker, BrokerStartError } from "../broker/Broker.ts"
import * as BrokerProcess from "../broker/BrokerProcess.ts"
import { BrokerConfig, BrokerConfigError } from "../broker/config/BrokerConfig.ts"
import { brokerConfigDefs } from "../cluster/configs/ConfigDefs.ts"
import { nearestKey } from "../cluster/configs/Support.ts"
import type { ConsumerRecord } from "../client/Consumer.ts"
import { FetchedRecords } from "../client/FetcherRecords.ts"
import { MemoryDisk } from "../memory/MemoryDisk.ts"
import * as MemoryMetadataStore from "../memory/MemoryMetadataStore.ts"
import * as MemoryNetwork from "../memory/MemoryNetwork.ts"
import { Compression, type CompressionCodec, CompressionError } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import { Disk } from "../ports/Disk.ts"
import { MetadataStore, type MetadataStoreError } from "../ports/MetadataStore.ts"
import { Network } from "../ports/Network.ts"
import { ErrorCode, errorName } from "../protocol/ErrorCode.ts"
import { crc32c } from "../records/Crc32c.ts"
import { MemorySocket, type SocketFactoryOptions } from "./MemorySocket.ts"
import { type RunningTestBroker, startWith, type StartOptions } from "./TestBrokerPromises.ts"

export type { RunningTestBroker, StartOptions }

/** What a runtime gives: `layer` of `ottla/node`, `ottla/bun` or `ottla/deno`, which has a Disk too that is not used here. */
export type TestHost = Layer.Layer<Network | Compression | Crypto>

/** Kafka's keys; values as text or as what they are. */
export type TestConfigs = Readonly<Record<string, string | number | boolean>>

export interface TestTopic {
  /** Default 1. */
  readonly partitions?: number
  /** Keys and values as kafka-topics takes them: `{ "cleanup.policy": "compact", "retention.ms": 60_000 }`. */
  readonly configs?: TestConfigs
}

/** Topics by name, each with its partitions, or more. */
export type TestTopics = Readonly<Record<string, number | TestTopic>>

export interface TestBrokerOptions {
  /** Sockets, codecs and checksums of this runtime. Absent: everything is in memory, batches must not be compressed. */
  readonly host?: TestHost
  /** Where it listens: on a port of 127.0.0.1 ("host", the default where there is a host) or in memory. */
  readonly network?: "host" | "memory"
  /**
   * As in server.properties, over the broker's defaults. Its internal topics have 1 partition unless this says otherwise.
   * A key that Kafka does not have is a BrokerConfigError, where a broker of its own warns: a test would not notice.
   */
  readonly config?: TestConfigs
  /** Made before it is ready. */
  readonly topics?: TestTopics
  /** Of its ids (cluster, topics, sessions): the same seed gives the same ones. Default: unpredictable. */
  readonly seed?: number
}

/** What a test asked for that cannot be: a topic that the broker refuses, a host that is missing, anything of a closed broker. */
export class TestBrokerError extends Error {
  readonly _tag = "TestBrokerError"
}

export type TestBrokerFailure = TestBrokerError | BrokerConfigError | BrokerStartError

/** What clients in the same program stand on. */
export type TestPorts = Network | Compression | Crypto | Disk

export interface TestBroker {
  /** 127.0.0.1, or a name that is nowhere else where it listens in memory. */
  readonly host: string
  readonly port: number
  /** `host:port`, for `bootstrap.servers`. */
  readonly bootstrapServers: string
  /** What clients connect by. */
  readonly network: Network
  /** What it writes to; for faults (a full disk, a failing sync) and to look at. Its log directory is {@link LOG_DIRECTORY}. */
  readonly disk: MemoryDisk
  /** Network, Compression, Crypto and the memory Disk, for clients. */
  readonly ports: Context.Context<TestPorts>
  /** For kafkajs, `new Kafka({ brokers, socketFactory })`: connections to this broker, wherever it listens. */
  readonly socketFactory: (options: SocketFactoryOptions) => MemorySocket
  /** The broker that runs now. @throws TestBrokerError while it is stopped */
  readonly broker: () => Broker
  /** Makes topics and waits until they are served. */
  readonly createTopics: (topics: TestTopics) => Effect.Effect<void, TestBrokerError | MetadataStoreError>
  /**
   * Every committed record of a topic, those of aborted transactions too: by partition, then by offset. Keys and values
   * are copies.
   */
  readonly records: (topic: string) => Effect.Effect<ReadonlyArray<ConsumerRecord>, TestBrokerError>
  /** Stops it in an orderly way; its disk and its port stay its own. Nothing when it is stopped. */
  readonly stop: Effect.Effect<void>
  /**
   * Ends it in the middle of whatever it does. With its `process` (the default) nothing that was written is lost; with
   * its `machine` all is lost that was not flushed, which is nearly everything: Kafka flushes by replication, and this
   * broker is alone. Nothing when it is stopped.
   */
  readonly kill: (lost?: "process" | "machine") => Effect.Effect<void>
  /** Starts it again where it was, on the port that it had. Nothing while it runs. */
  readonly start: Effect.Effect<void, TestBrokerFailure>
}
export const TestBroker: Context.Service<TestBroker, TestBroker> = Context.Service("ottla/testing/TestBroker")

/** On the memory disk. */
export const LOG_DIRECTORY = "/data"
/** Of a broker that listens in memory: every one has a network of its own. */
const MEMORY_PORT = 9092
/**
 * And a name that no resolver knows (RFC 2606): a client that was given no `socketFactory` says so. At 127.0.0.1 it would
 * find the Kafka that runs on a developer's machine, and write there.
 */
const MEMORY_HOST = "in-memory.invalid"
const HOST = "127.0.0.1"

/** Over a broker's own defaults: 50 partitions of offsets are made for a group's first member and cost more than the rest. */
const TEST_CONFIG: Readonly<Record<string, string>> = {
  "offsets.topic.num.partitions": "1",
  "log.dirs": LOG_DIRECTORY
}

/** Codecs come from a host: without one a compressed batch is refused as corrupt, and `tell` gets the reason. */
const noCompression = (tell: (reason: string) => void): Compression => {
  const refuse = (codec: CompressionCodec): never => {
    const reason = noCodec(["none", "gzip", "snappy", "lz4", "zstd"][codec]!)
    tell(reason)
    throw new CompressionError("Malformed", reason)
  }
  return { compress: refuse, decompress: refuse }
}

/** Why a codec is not there. */
export const noCodec = (codec: string): string =>
  `${codec} needs a host, give TestBroker.start({ host }) the layer of ottla/node, ottla/bun or ottla/deno`

/** Checksums in JavaScript; bytes that are the same for the same seed, and no secret. */
const seededCrypto = (seed: number): Crypto => {
  let state = seed | 0
  return {
    crc32c,
    randomBytes: (count) => {
      const bytes = new Uint8Array(count)
      for (let i = 0; i < count; i++) {
        // Mulberry32
        state = (state + 0x6d2b79f5) | 0
        let mixed = Math.imul(state ^ (state >>> 15), state | 1)
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
        bytes[i] = (mixed ^ (mixed >>> 14)) >>> 24
      }
      return bytes
    }
  }
}

const textsOf = (configs: TestConfigs): ReadonlyArray<readonly [key: string, value: string]> =>
  Object.entries(configs).map(([key, value]) => [key, String(value)])

const configOf = ({ config = {} }: TestBrokerOptions, address: string): BrokerConfig | BrokerConfigError => {
  const unknown = Object.keys(config).filter((key) => !brokerConfigDefs.has(key))
  if (unknown.length > 0) {
    return new BrokerConfigError(unknown.map((key) => {
      const nearest = nearestKey("broker", key)
      return `${key} is not a broker configuration of Kafka 4.3${nearest === undefined ? "" : `; did you mean ${nearest}?`}`
    }))
  }
  return BrokerConfig.load({ overrides: textsOf({ ...TEST_CONFIG, listeners: `PLAINTEXT://${address}`, ...config }) })
}

const unpredictable: Effect.Effect<number> = Random.nextInt

const newTopics = (topics: TestTopics) =>
  Object.entries(topics).map(([name, topic]) => {
    const { configs = {}, partitions = 1 }: TestTopic = typeof topic === "number" ? { partitions: topic } : topic
    return {
      name,
      numPartitions: partitions,
      replicationFactor: 1,
      assignments: [],
      configs: textsOf(configs).map(([name, value]) => ({ name, value }))
    }
  })

/** A whole topic's records, straight from the partitions' logs. */
const recordsOf = (broker: Broker, name: string): ReadonlyArray<ConsumerRecord> => {
  const { compression, crypto, image, partitions } = broker.services
  const topic = image().topicsByName.get(name)
  if (topic === undefined) throw new TestBrokerError(`there is no topic ${name}`)
  const found: Array<ConsumerRecord> = []
  for (const { partition } of topic.partitions) {
    const log = partitions.get(name, partition)
    if (log === undefined) continue
    const end = log.readableEnd("HighWatermark")
    for (let next = log.log.logStartOffset; next < end;) {
      const read = log.read(next, MAX_READ_BYTES, true, "HighWatermark")
      if (read.error !== ErrorCode.NONE) throw new TestBrokerError(`${name}-${partition} at offset ${next}: ${errorName(read.error)}`)
      for (const slice of read.slices) {
        const bytes = new Uint8Array(slice.length)
        slice.file.read(bytes, slice.position)
        slice.release()
        const fetched = new FetchedRecords({ topic: name, partition }, bytes, next, undefined, { crypto, compression })
        while (fetched.take(MAX_TAKEN, found));
      }
      if (read.endOffset <= next) break
      next = read.endOffset
    }
  }
  return found
}
const MAX_READ_BYTES = 8 * 1024 * 1024
const MAX_TAKEN = 10_000

/** A broker that runs until the scope ends. */
export const make = (
  options: TestBrokerOptions = {}
): Effect.Effect<TestBroker, TestBrokerFailure, Scope.Scope> =>
  Effect.gen(function*() {
    const inMemory = options.network === "memory" || options.host === undefined
    if (options.network === "host" && options.host === undefined) {
      return yield* Effect.fail(new TestBrokerError(`network "host" needs a host: the layer of ottla/node, ottla/bun or ottla/deno`))
    }
    const scope = yield* Effect.scope
    const clock = yield* Clock.Clock
    const crypto = seededCrypto(options.seed ?? (yield* unpredictable))
    const disk = new MemoryDisk({ nowMs: () => clock.currentTimeMillisUnsafe() })
    const host = options.host === undefined ? Context.empty() : yield* Layer.buildWithScope(options.host, scope)
    const network = inMemory
      ? yield* MemoryNetwork.make()
      : Context.get(host as Context.Context<Network>, Network)
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const ports: Context.Context<TestPorts> = Context.make(Network, network).pipe(
      Context.add(Compression, options.host === undefined ? noCompression((reason) => void runFork(Effect.logError(reason))) : Context.get(host as Context.Context<Compression>, Compression)),
      Context.add(Crypto, options.seed !== undefined || options.host === undefined ? crypto : Context.get(host as Context.Context<Crypto>, Crypto)),
      Context.add(Disk, disk.disk)
    )
    const context = Context.add(ports, MetadataStore, MemoryMetadataStore.make())

    const hostName = inMemory ? MEMORY_HOST : HOST
    let port = inMemory ? MEMORY_PORT : 0
    let life: { readonly current: BrokerProcess.BrokerProcess; readonly scope: Scope.Closeable } | undefined

    const start = Effect.suspend((): Effect.Effect<void, TestBrokerFailure> => {
      if (life !== undefined) return Effect.void
      const config = configOf(options, `${hostName}:${port}`)
      if (config instanceof BrokerConfigError) return Effect.fail(config)
      const own = Scope.forkUnsafe(scope)
      return BrokerProcess.start(config).pipe(
        Scope.provide(own),
        Effect.provideContext(context),
        Effect.onError((cause) => Scope.close(own, Exit.failCause(cause))),
        Effect.map((current) => {
          life = { current, scope: own }
          port = current.broker.listeners[0]!.port
        })
      )
    })
    const end = (how: (current: BrokerProcess.BrokerProcess) => Effect.Effect<void>): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (life === undefined) return Effect.void
        const { current, scope } = life
        life = undefined
        return Effect.andThen(how(current), Scope.close(scope, Exit.void))
      })
    const broker = (): Broker => {
      if (life === undefined) throw new TestBrokerError("the broker is stopped")
      return life.current.broker
    }
    const createTopics = (topics: TestTopics): Effect.Effect<void, TestBrokerError | MetadataStoreError> =>
      Effect.suspend(() => broker().services.controller.createTopics(newTopics(topics))).pipe(
        Effect.flatMap((results) => {
          const refused = results.filter(({ error }) => error !== ErrorCode.NONE)
          return refused.length === 0
            ? Effect.void
            : Effect.fail(new TestBrokerError(refused.map(({ error, message, name }) => `topic ${name}: ${errorName(error)} ${message ?? ""}`.trim()).join("; ")))
        })
      )

    yield* start
    if (options.topics !== undefined) yield* createTopics(options.topics)
    return {
      host: hostName,
      port,
      bootstrapServers: `${hostName}:${port}`,
      network,
      disk,
      ports,
      socketFactory: (asked) => {
        if (asked.ssl !== undefined && asked.ssl !== null && asked.ssl !== false) {
          throw new TestBrokerError("TLS is not served: leave ssl out")
        }
        return new MemorySocket(network, asked, (effect) => {
          const fiber = runFork(effect)
          return () => fiber.interruptUnsafe()
        })
      },
      broker,
      createTopics,
      records: (topic) =>
        Effect.try({
          try: () => recordsOf(broker(), topic),
          catch: (error) => error instanceof TestBrokerError ? error : new TestBrokerError(`records of ${topic}: ${String(error)}`)
        }),
      stop: end(({ stop }) => stop),
      kill: (lost = "process") =>
        end(({ kill }) => Effect.andThen(kill(), Effect.sync(() => lost === "machine" ? disk.crash({ _tag: "machine" }) : undefined))),
      start
    }
  })

/** The broker and the ports that clients stand on, until the layer's scope ends. */
export const layer = (options: TestBrokerOptions = {}): Layer.Layer<TestBroker | TestPorts, TestBrokerFailure> =>
  Layer.effectContext(Effect.map(make(options), (broker) => Context.add(broker.ports, TestBroker, broker)))

/** Without Effect; `await using` ends it, or `stop()`. */
export const start = (options: StartOptions = {}): Promise<RunningTestBroker> => startWith(make, options)
