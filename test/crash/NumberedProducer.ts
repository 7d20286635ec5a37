/**
 * A producer of numbered records whose log must come out as 0, 1, 2, …: record n of a partition has offset n, because
 * nobody else writes there. It is idempotent: a batch without an answer is sent again, with its sequence, after the
 * broker is back, and must be in the log once.
 */
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { PeerError, waitFor } from "../../scripts/peers/Processes.ts"
import { buildBatch, type Codec } from "../oracle/Batches.ts"
import type { Random } from "../oracle/Random.ts"

/** Requests under way per partition: what Kafka's idempotent producers are held to. */
const IN_FLIGHT = 5
const COORDINATOR_LOAD_IN_PROGRESS = 14

interface Batch {
  readonly first: number
  readonly count: number
  readonly bytes: Uint8Array
}

export interface Lane {
  readonly topic: string
  readonly partition: number
  /** Record numbers below it are acknowledged. */
  acked: number
  /** The next number to be made. */
  next: number
  /** Sent or to be sent again, in order of their numbers. */
  readonly open: Array<Batch>
}

export class WrongAnswer extends Error {
  readonly _tag = "WrongAnswer"
}

export const valueOf = (lane: { readonly topic: string; readonly partition: number }, number: number): string =>
  `${lane.topic}/${lane.partition}/${number}/${"abcdefgh".repeat(number % 40)}`

export class NumberedProducer {
  readonly lanes: ReadonlyArray<Lane>
  readonly #random: Random
  #producerId = -1
  #timestamp = Date.now()

  constructor(topics: ReadonlyArray<string>, partitions: number, random: Random) {
    this.#random = random
    this.lanes = topics.flatMap((topic) => Array.from({ length: partitions }, (_, partition) => ({ topic, partition, acked: 0, next: 0, open: [] })))
  }

  async #identify(caller: Caller): Promise<void> {
    if (this.#producerId >= 0) return
    this.#producerId = await waitFor("a producer id", 10_000, async () => {
      const answer = await caller.ask("InitProducerId", 4, { transactionalId: null, transactionTimeoutMs: 60_000, producerId: -1, producerEpoch: -1 })
      const error = answer["errorCode"] as number
      if (error === COORDINATOR_LOAD_IN_PROGRESS) return undefined // Kafka fetches a block of ids first
      if (error !== 0) throw new WrongAnswer(`InitProducerId: error ${error}`)
      return Number(answer["producerId"])
    })
  }

  #make(lane: Lane): Batch {
    const count = this.#random.weighted([[6, this.#random.int(1, 20)], [1, 100], [1, 1]])
    const first = lane.next
    lane.next += count
    const records = Array.from({ length: count }, (_, i) => ({
      key: Buffer.from(`${first + i}`),
      value: Buffer.from(valueOf(lane, first + i)),
      timestamp: this.#timestamp++
    }))
    const codec = this.#random.pick<Codec>([0, 0, 0, 1, 2, 3, 4])
    const batch = { first, count, bytes: buildBatch({ records, codec, producerId: this.#producerId, producerEpoch: 0, baseSequence: first }) }
    lane.open.push(batch)
    return batch
  }

  async #send(caller: Caller, lane: Lane, batch: Batch): Promise<boolean> {
    const answer = await caller.call("Produce", 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: lane.topic, partitionData: [{ index: lane.partition, records: batch.bytes }] }]
    })
    if (answer._tag === "Closed" || answer._tag === "Timeout") return false
    if (answer._tag === "Malformed") throw new WrongAnswer(answer.error)
    const result = (answer.fields["responses"] as ReadonlyArray<Fields>)[0]?.["partitionResponses"][0] as Fields | undefined
    const where = `${lane.topic}-${lane.partition}, records ${batch.first} to ${batch.first + batch.count - 1}`
    if (result?.["errorCode"] !== 0) throw new WrongAnswer(`${where}: error ${result?.["errorCode"]} ${result?.["errorMessage"]}`)
    // a duplicate may be older than the batches whose offsets are remembered: -1 then
    if (Number(result["baseOffset"]) !== batch.first) throw new WrongAnswer(`${where}: acknowledged at offset ${result["baseOffset"]}`)
    if (lane.open[0] !== batch) throw new WrongAnswer(`${where}: acknowledged before ${lane.open[0]?.first}`)
    lane.open.shift()
    lane.acked = batch.first + batch.count
    return true
  }

  /** Sends what is open again, then new batches until `stop` says so or the connection ends. */
  async run(host: string, port: number, stop: () => boolean): Promise<void> {
    const caller = await Caller.connect(host, port)
    try {
      await this.#identify(caller)
      await Promise.all(this.lanes.map((lane) => this.#runLane(caller, lane, stop)))
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
    } finally {
      caller.close()
    }
  }

  async #runLane(caller: Caller, lane: Lane, stop: () => boolean): Promise<void> {
    const under: Array<Promise<boolean>> = lane.open.map((batch) => this.#send(caller, lane, batch))
    for (;;) {
      while (under.length < IN_FLIGHT && !stop()) under.push(this.#send(caller, lane, this.#make(lane)))
      const first = under.shift()
      if (first === undefined) return
      // all are awaited, whichever fails: none may become an unhandled rejection
      if (!await first.catch(async (error: unknown) => {
        await Promise.allSettled(under)
        throw error
      })) {
        await Promise.allSettled(under)
        return
      }
    }
  }
}
