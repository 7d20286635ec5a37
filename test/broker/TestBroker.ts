/**
 * The production broker on memory layers, and a client that speaks to it with our codecs. Time is the test's
 * (TestClock, or a simulation's clock): nothing waits for the real one.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type { Scope } from "effect/Scope"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import type { Broker, BrokerOptions, BrokerStartError } from "../../core/broker/Broker.ts"
import * as BrokerProcess from "../../core/broker/BrokerProcess.ts"
import { BrokerConfig, BrokerConfigError } from "../../core/broker/config/BrokerConfig.ts"
import { type CrashMode, MemoryDisk, type MemoryDiskOptions } from "../../core/memory/MemoryDisk.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import * as MemoryNetwork from "../../core/memory/MemoryNetwork.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { Disk } from "../../core/ports/Disk.ts"
import { MetadataStore } from "../../core/ports/MetadataStore.ts"
import { Network } from "../../core/ports/Network.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { FetchRequestInput, FetchResponse, FetchResponsePartitionData } from "../../core/protocol/generated/Fetch.ts"
import type { ProduceRequestInput, ProduceResponsePartitionProduceResponse } from "../../core/protocol/generated/Produce.ts"
import { crc32c } from "../../core/records/Crc32c.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import { buildBatch, readBatches, type ReadRecord, readRecords } from "../oracle/Batches.ts"
import * as Apis from "./Apis.ts"

/** Bytes that differ from call to call and are the same in every run. */
const seededCrypto = (seed: number): Crypto => {
  let state = seed | 1
  return {
    crc32c,
    randomBytes: (count) => {
      const bytes = new Uint8Array(count)
      for (let i = 0; i < count; i++) {
        state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0
        bytes[i] = state >>> 24
      }
      return bytes
    }
  }
}

export interface World {
  readonly disk: MemoryDisk
  readonly context: Context.Context<Network | MetadataStore | Crypto>
  /** What clients connect by, when it is not what the broker connects by. */
  readonly clientNetwork?: Network
}

/** What outlives a broker: its disk, the network, the metadata store. */
export const makeWorld = (
  options: { readonly disk?: MemoryDiskOptions; readonly seed?: number } = {}
): Effect.Effect<World> =>
  Effect.gen(function*() {
    const disk = new MemoryDisk(options.disk)
    const network = yield* MemoryNetwork.make()
    const context = Context.make(Network, network).pipe(
      Context.add(MetadataStore, MemoryMetadataStore.make()),
      Context.add(Crypto, seededCrypto(options.seed ?? 1))
    )
    return { disk, context }
  })

/** Worlds of brokers on machines of their own that share network, metadata store and dice: one cluster. */
export const makeCluster = (count: number, options: { readonly seed?: number } = {}): Effect.Effect<ReadonlyArray<World>> =>
  Effect.map(makeWorld(options), (first) => [
    first,
    ...Array.from({ length: count - 1 }, () => ({ disk: new MemoryDisk(), context: first.context }))
  ])

export type Overrides = Readonly<Record<string, string>>

export const testConfig = (overrides: Overrides = {}): BrokerConfig => {
  const config = BrokerConfig.load({
    overrides: Object.entries({ listeners: "PLAINTEXT://127.0.0.1:0", "log.dirs": "/data", ...overrides })
  })
  if (config instanceof BrokerConfigError) throw config
  return config
}

export interface RunningBroker {
  readonly broker: Broker
  /** Stops it as its process would be by a signal. */
  readonly stop: Effect.Effect<void>
  readonly isRunning: () => boolean
  readonly kill: BrokerProcess.BrokerProcess["kill"]
  /** Kills its process, or stops its machine: what the disk keeps is the disk's to say. */
  readonly crash: (mode: CrashMode) => Effect.Effect<void>
  /** A connection of its own; it ends with the scope. */
  readonly connect: Effect.Effect<TestClient, RpcConnection.RpcError, Scope>
}

export const startBroker = (
  world: World,
  overrides: Overrides = {},
  options: BrokerOptions = {}
): Effect.Effect<RunningBroker, BrokerStartError, Scope> =>
  Effect.gen(function*() {
    const context = Context.add(world.context, Disk, world.disk.disk)
    const running = yield* BrokerProcess.start(testConfig(overrides), options).pipe(
      Effect.provideContext(context),
      Effect.provide(compressionLayer),
      // What a broker says when it is crashed and lied to is no news here.
      Effect.provideService(References.MinimumLogLevel, "None")
    )
    const { broker, stop } = running
    const { host, port } = broker.listeners[0]!
    return {
      broker,
      stop,
      isRunning: running.isRunning,
      kill: running.kill,
      crash: (mode) => Effect.andThen(running.kill(), Effect.sync(() => world.disk.crash(mode))),
      connect: RpcConnection.connect({ host, port }, { clientId: "test" }).pipe(
        Effect.provideService(Network, world.clientNetwork ?? Context.get(world.context, Network)),
        Effect.map((rpc) => new TestClient(rpc))
      )
    }
  })

const utf8 = new TextEncoder()
const text = new TextDecoder()

export interface ProduceOptions {
  readonly partition?: number
  readonly acks?: number
  readonly version?: number
  readonly timeoutMs?: number
  readonly timestamp?: number
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
}

export interface FetchOptions extends Partial<FetchRequestInput> {
  readonly partition?: number
  readonly offset?: number
  readonly currentLeaderEpoch?: number
  readonly lastFetchedEpoch?: number
  readonly partitionMaxBytes?: number
  readonly version?: number
}

/** Plain calls for plain tests; `rpc` for the rest. Topics are named by name unless a version demands ids. */
export class TestClient {
  readonly rpc: RpcConnection.RpcConnection
  constructor(rpc: RpcConnection.RpcConnection) {
    this.rpc = rpc
  }

  createTopic(
    name: string,
    partitions = 1,
    configs: Readonly<Record<string, string>> = {},
    replicationFactor = 1
  ): Effect.Effect<{ readonly topicId: string; readonly errorCode: number }, RpcConnection.RpcError> {
    const request = {
      topics: [{
        name,
        numPartitions: partitions,
        replicationFactor,
        assignments: [],
        configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
      }],
      timeoutMs: 30_000,
      validateOnly: false
    }
    return Effect.map(this.rpc.call(Apis.createTopicsApi, request), ({ topics }) => topics[0]!)
  }

  deleteTopic(name: string): Effect.Effect<number, RpcConnection.RpcError> {
    const request = { topics: [{ name, topicId: "AAAAAAAAAAAAAAAAAAAAAA" }], timeoutMs: 30_000 }
    return Effect.map(this.rpc.call(Apis.deleteTopicsApi, request), ({ responses }) => responses[0]!.errorCode)
  }

  /** A batch of the values given. */
  produce(
    topic: string,
    values: ReadonlyArray<string>,
    options: ProduceOptions = {}
  ): Effect.Effect<ProduceResponsePartitionProduceResponse, RpcConnection.RpcError> {
    return this.produceBytes(topic, batchOf(values, options), options)
  }

  produceBytes(
    topic: string,
    records: Uint8Array,
    options: ProduceOptions = {}
  ): Effect.Effect<ProduceResponsePartitionProduceResponse, RpcConnection.RpcError> {
    return Effect.map(
      this.rpc.call(Apis.produceApi, produceRequest(topic, records, options), { version: options.version ?? 12 }),
      ({ responses }) => responses[0]!.partitionResponses[0]!
    )
  }

  fetch(topic: string, options: FetchOptions = {}): Effect.Effect<FetchResponse, RpcConnection.RpcError> {
    return this.rpc.call(Apis.fetchApi, fetchRequest(topic, options), { version: options.version ?? 12 })
  }

  /** The one partition asked for. */
  fetchOne(topic: string, options: FetchOptions = {}): Effect.Effect<FetchResponsePartitionData, RpcConnection.RpcError> {
    return Effect.map(this.fetch(topic, options), ({ responses }) => responses[0]!.partitions[0]!)
  }

  /** Every value of a partition from `offset` to the high watermark. */
  readAll(topic: string, partition = 0, offset = 0): Effect.Effect<ReadonlyArray<string>, RpcConnection.RpcError> {
    return Effect.gen({ self: this }, function*() {
      const values: Array<string> = []
      let next = offset
      for (;;) {
        const one = yield* this.fetchOne(topic, { partition, offset: next })
        if (one.errorCode !== ErrorCode.NONE) throw new Error(`fetch of ${topic} at ${next}: error ${one.errorCode}`)
        const records = recordsIn(one.records).filter((record) => record.offset >= next)
        if (records.length === 0) return values
        for (const { offset, value } of records) {
          values.push(value === null ? "" : text.decode(value))
          next = offset + 1
        }
      }
    })
  }

  listOffset(
    topic: string,
    timestamp: number,
    options: { readonly partition?: number; readonly version?: number; readonly isolationLevel?: number } = {}
  ): Effect.Effect<{ readonly errorCode: number; readonly offset: number }, RpcConnection.RpcError> {
    const request = {
      replicaId: -1,
      isolationLevel: options.isolationLevel ?? 0,
      topics: [{ name: topic, partitions: [{ partitionIndex: options.partition ?? 0, timestamp }] }]
    }
    return Effect.map(
      this.rpc.call(Apis.listOffsetsApi, request, { version: options.version ?? 7 }),
      ({ topics }) => {
        const { errorCode, offset } = topics[0]!.partitions[0]!
        return { errorCode, offset: Number(offset) }
      }
    )
  }
}

export const batchOf = (values: ReadonlyArray<string>, options: ProduceOptions = {}): Uint8Array =>
  buildBatch({
    records: values.map((value) => ({ key: null, value: utf8.encode(value), timestamp: options.timestamp ?? 0 })),
    ...(options.producerId === undefined ? {} : {
      producerId: options.producerId,
      producerEpoch: options.producerEpoch ?? 0,
      baseSequence: options.baseSequence ?? 0
    })
  })

export const produceRequest = (topic: string, records: Uint8Array, options: ProduceOptions = {}): ProduceRequestInput => ({
  transactionalId: null,
  acks: options.acks ?? -1,
  timeoutMs: options.timeoutMs ?? 30_000,
  topicData: [{ name: topic, partitionData: [{ index: options.partition ?? 0, records }] }]
})

export const fetchRequest = (topic: string, options: FetchOptions = {}): FetchRequestInput => {
  const { currentLeaderEpoch, lastFetchedEpoch, offset, partition, partitionMaxBytes, version: _, ...rest } = options
  const request: FetchRequestInput = {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 50_000_000,
    isolationLevel: 0,
    topics: [{
      topic,
      partitions: [{
        partition: partition ?? 0,
        currentLeaderEpoch: currentLeaderEpoch ?? -1,
        fetchOffset: offset ?? 0,
        lastFetchedEpoch: lastFetchedEpoch ?? -1,
        partitionMaxBytes: partitionMaxBytes ?? 1_000_000
      }]
    }],
    ...rest
  }
  return request
}

/** The records of fetched batches, each with its offset in the log. */
export const recordsIn = (records: Uint8Array | null): ReadonlyArray<ReadRecord> =>
  records === null ? [] : readBatches(records).batches.flatMap(readRecords)

/** The values in a fetched set of batches. */
export const valuesOf = (records: Uint8Array | null): ReadonlyArray<string> =>
  recordsIn(records).map(({ value }) => value === null ? "" : text.decode(value))
