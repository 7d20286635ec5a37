/**
 * Numbered records through a producer whose connections are cut and whose broker is killed, then read back: each is
 * acknowledged once, is in the log once, at the offset it was said to have, and the records of a key are in order.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import { layer as cryptoLayer } from "../../adapters/shared/Crypto.ts"
import * as Producer from "../../core/client/Producer.ts"
import { type Connection, Network } from "../../core/ports/Network.ts"
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { type Peer, PeerError, sleep } from "../../scripts/peers/Processes.ts"
import { adapters } from "../adapters/Runtime.ts"
import { readBatches, readRecords } from "../oracle/Batches.ts"
import type { Random } from "../oracle/Random.ts"

export const TOPIC = "numbered"
export const PARTITIONS = 6
/** Records with the same key keep their order. */
const KEYS = 1000
const FETCH_BYTES = 8 * 1024 * 1024
const VALUE_BYTES = 100

/** What was told of each record, by its number. */
export class Ledger {
  /** How often its listener was called. */
  readonly told: Uint8Array
  readonly partitions: Int8Array
  /** -1: acknowledged without an offset, as a duplicate may be. */
  readonly offsets: Float64Array
  accepted = 0
  acknowledged = 0
  failed = 0
  firstFailure: Error | undefined

  constructor(records: number) {
    this.told = new Uint8Array(records)
    this.partitions = new Int8Array(records).fill(-1)
    this.offsets = new Float64Array(records).fill(-2)
  }

  tell(number: number, result: Producer.RecordMetadata | Error): void {
    this.told[number]!++
    if (result instanceof Error) {
      this.failed++
      this.firstFailure ??= result
      return
    }
    this.acknowledged++
    this.partitions[number] = result.partition
    this.offsets[number] = result.offset
  }
}

/** The host's network, whose connections can be cut. */
class Cutter {
  readonly open: Set<Connection> = new Set()
  cuts = 0
  readonly layer: Layer.Layer<Network> = Layer.effect(Network, Effect.map(Network, (inner) => ({
    ...inner,
    connect: (address, handle) =>
      inner.connect(address, (connection) => {
        this.open.add(connection)
        const handler = handle(connection)
        return {
          onData: (bytes) => handler.onData(bytes),
          onDrained: () => handler.onDrained(),
          onClosed: (error) => {
            this.open.delete(connection)
            handler.onClosed(error)
          }
        }
      })
  }))).pipe(Layer.provide(adapters.networkLayer))

  cut(): void {
    for (const connection of this.open) {
      this.cuts++
      connection.destroy()
    }
  }
}

export interface RunOptions {
  readonly records: number
  /** How often the broker is killed and started again. */
  readonly restarts: number
  readonly random: Random
  readonly start: (first: boolean) => Promise<Peer>
  readonly config: Partial<Producer.ProducerConfig>
  readonly print: (line: string) => void
}

export interface RunResult {
  readonly peer: Peer
  readonly ledger: Ledger
  readonly cuts: number
  readonly seconds: number
}

const createTopic = async (peer: Peer): Promise<void> => {
  const caller = await Caller.connect(peer.host, peer.port)
  try {
    const answer = await caller.ask("CreateTopics", 5, {
      topics: [{ name: TOPIC, numPartitions: PARTITIONS, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 30_000,
      validateOnly: false
    })
    const error = (answer["topics"] as ReadonlyArray<Fields>)[0]?.["errorCode"]
    if (error !== 0) throw new PeerError(`creating ${TOPIC}: error ${error}`)
  } finally {
    caller.close()
  }
}

const encoder = new TextEncoder()
const padding = ".".repeat(VALUE_BYTES)
const keyOf = (number: number): string => `key-${number * 7919 % KEYS}`

/** @throws PeerError when a record failed or the run does not end */
export const produceNumbered = async (options: RunOptions): Promise<RunResult> => {
  const { print, random, records } = options
  const ledger = new Ledger(records)
  const cutter = new Cutter()
  let peer = await options.start(true)
  await createTopic(peer)
  const begin = performance.now()
  let isDone = false

  const produce = Effect.gen(function*() {
    const producer = yield* Producer.make({
      "bootstrap.servers": peer.bootstrap,
      "delivery.timeout.ms": 600_000,
      "max.block.ms": 600_000,
      "buffer.memory": 4_000_000,
      ...options.config
    })
    for (let number = 0; number < records;) {
      const record = { topic: TOPIC, key: encoder.encode(keyOf(number)), value: encoder.encode(`${number} ${padding}`.slice(0, VALUE_BYTES)) }
      const at = number
      const answer = producer.offer(record, (result) => ledger.tell(at, result))
      if (answer === "Accepted") ledger.accepted = ++number
      else if (answer === "Full") yield* producer.ready(TOPIC)
      else return yield* Effect.fail(answer)
      // Lets answers, cuts and timers in: a loop that offers is not to be the only thing that runs.
      if (number % 500 === 0) yield* Effect.yieldNow
    }
    yield* producer.close
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(cutter.layer, compressionLayer, cryptoLayer)))

  const cuts = async (): Promise<void> => {
    while (!isDone) {
      await sleep(random.int(5, 120))
      if (!isDone && random.chance(80)) cutter.cut()
    }
  }
  const kills = async (): Promise<void> => {
    for (let kill = 1; kill <= options.restarts && !isDone; kill++) {
      const from = Math.floor(kill * records / (options.restarts + 1))
      while (ledger.acknowledged < from && !isDone) await sleep(5)
      if (isDone) return
      await peer.kill()
      await sleep(random.int(0, 300))
      peer = await options.start(false)
      print(`kill ${kill}: ${ledger.acknowledged} acknowledged, ${cutter.cuts} connections cut`)
    }
  }
  const running = Effect.runPromise(produce).finally(() => void (isDone = true))
  await Promise.all([running, cuts(), kills()])
  return { peer, ledger, cuts: cutter.cuts, seconds: (performance.now() - begin) / 1000 }
}

/** Reads everything back and holds it against what was told. @throws PeerError with the first thing that is wrong */
export const verifyNumbered = async (peer: Peer, ledger: Ledger): Promise<void> => {
  const count = ledger.told.length
  const found = new Uint8Array(count)
  const lastOfKey = new Map<string, number>()
  const caller = await Caller.connect(peer.host, peer.port)
  const decoder = new TextDecoder()
  try {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      for (let next = 0;;) {
        const answer = await caller.ask("Fetch", 12, {
          replicaId: -1, maxWaitMs: 100, minBytes: 1, maxBytes: FETCH_BYTES, isolationLevel: 0, sessionId: 0, sessionEpoch: -1, rackId: "",
          forgottenTopicsData: [],
          topics: [{ topic: TOPIC, partitions: [{
            partition, currentLeaderEpoch: -1, fetchOffset: next, lastFetchedEpoch: -1, logStartOffset: -1, partitionMaxBytes: FETCH_BYTES
          }] }]
        }, 60_000)
        const result = (answer["responses"] as ReadonlyArray<Fields>)[0]?.["partitions"][0] as Fields
        if (result["errorCode"] !== 0) throw new PeerError(`fetch of ${TOPIC}-${partition} at ${next}: error ${result["errorCode"]}`)
        const { batches } = readBatches((result["records"] as Uint8Array | null) ?? new Uint8Array())
        if (batches.length === 0) {
          if (next >= Number(result["highWatermark"])) break
          throw new PeerError(`${TOPIC}-${partition}: nothing at ${next}, before the high watermark ${result["highWatermark"]}`)
        }
        for (const batch of batches) {
          if (!batch.crcIsRight) throw new PeerError(`${TOPIC}-${partition}: wrong CRC at ${batch.baseOffset}`)
          for (const { key, offset, value } of readRecords(batch)) {
            if (offset < next) continue
            if (offset !== next) throw new PeerError(`${TOPIC}-${partition}: offset ${offset} instead of ${next}`)
            next++
            const where = `${TOPIC}-${partition}@${offset}`
            const number = Number.parseInt(decoder.decode(value ?? new Uint8Array()), 10)
            const keyText = decoder.decode(key ?? new Uint8Array())
            if (!(number >= 0 && number < count)) throw new PeerError(`${where}: not one of ours`)
            if (keyText !== keyOf(number)) throw new PeerError(`${where}: record ${number} has the key ${keyText}`)
            if (found[number]!++ > 0) throw new PeerError(`${where}: record ${number} is here twice`)
            const before = lastOfKey.get(keyText) ?? -1
            if (before > number) throw new PeerError(`${where}: ${keyText} has ${number} after ${before}`)
            lastOfKey.set(keyText, number)
            if (ledger.offsets[number] === -2) continue
            const { offsets, partitions } = ledger
            if (partitions[number] !== partition || (offsets[number] !== -1 && offsets[number] !== offset)) {
              throw new PeerError(`${where}: record ${number} was acknowledged at ${partitions[number]}@${offsets[number]}`)
            }
          }
        }
      }
    }
  } finally {
    caller.close()
  }
  for (let number = 0; number < count; number++) {
    if (ledger.told[number] !== 1) throw new PeerError(`record ${number} was told of ${ledger.told[number]} times`)
    if (ledger.offsets[number] !== -2 && found[number] !== 1) throw new PeerError(`record ${number} was acknowledged and is not in the log`)
  }
  if (ledger.failed > 0) throw new PeerError(`${ledger.failed} records failed: ${ledger.firstFailure?.message}`)
}
