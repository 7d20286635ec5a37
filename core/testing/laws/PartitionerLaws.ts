/**
 * What every partitioner holds, to be run on one's own: `partitionerLaws(mine)`, with what it does not promise left out
 * by options. All numbers come from a seed, so a law that failed fails again.
 */
import type { Partitioner } from "../../client/Partitioner.ts"
import { recordOf, RECORDS_SEED, seeded, TrialProducer, TRIAL_OPTIONS, trialKeys, trialTopic } from "../../client/PartitionerTrial.ts"
import { ensure, type Law, law } from "./Law.ts"

export interface PartitionerLawsOptions {
  /** Whether a key decides its record's partition. Default true. */
  readonly keyed?: boolean
  /** Whether records without a key are spread, over the partitions that have a leader. Default true. */
  readonly spreadsKeyless?: boolean
  /**
   * By how much a partition may be fuller or emptier than its fair share: 0.15 (the default) is from 85 to 115 %. Each
   * is given 2,000 keys or batches on average, so one of a hundred partitions that are drawn at random is beyond 0.15
   * once in a hundred million runs; one that is always 20 % fuller is beyond it in nearly all.
   */
  readonly spread?: number
  /**
   * The largest share of keys that may move when partitions are added, above what the new ones have to get: with 0.02
   * it is (to - from) / to + 0.02. Absent: any number may move, as with a remainder. Needs `keyed`.
   */
  readonly moves?: number
  /** Default 1. */
  readonly seed?: number
}

const COUNTS: ReadonlyArray<number> = [1, 2, 3, 7, 12, 50]
/** Keys, or batches of keyless records, that each partition gets on average. */
const SHARE = 2000
const SIZE_BYTES = 100

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** @returns the partition, which is one of so many */
const ensureInRange = (partition: number, count: number): number => {
  ensure(
    Number.isInteger(partition) && partition >= 0 && partition < count,
    () => `a record was placed in partition ${partition} of ${count}, of which the last is ${count - 1}`
  )
  return partition
}

/** @param weights what each partition got */
const ensureSpread = (weights: ReadonlyArray<number>, spread: number, what: string): void => {
  const fair = weights.reduce((sum, weight) => sum + weight, 0) / weights.length
  weights.forEach((weight, partition) => {
    const share = weight / fair
    ensure(
      Math.abs(share - 1) <= spread,
      () => `partition ${partition} of ${weights.length} got ${percent(share)} of its fair share of ${what}; ${percent(1 - spread)} to ${percent(1 + spread)} are allowed`
    )
  })
}

const inRange = (partitioner: Partitioner, seed: number) => (): void => {
  const random = seeded(seed + RECORDS_SEED)
  const long = new Uint8Array(3000).fill(0xff)
  for (const count of [...COUNTS, 1000]) {
    const topics = [
      trialTopic(count),
      trialTopic(count, new Set([0])),
      trialTopic(count, new Set(Array.from({ length: count }, (_, partition) => partition))),
      // fewer than before: the topic was deleted and created again
      trialTopic(Math.ceil(count / 2))
    ]
    const producer = new TrialProducer(partitioner, seed)
    const keys = [null, new Uint8Array(0), long, ...trialKeys(100, seed)]
    for (const topic of topics) {
      for (const key of keys) {
        const partition = producer.send(recordOf(key, long), topic, 1 + Math.floor(random() * 1500))
        ensureInRange(partition, topic.partitions.length)
        if (random() < 0.1) producer.load(topic.available.map(() => Math.floor(random() * 9)), topic.available, topic)
      }
    }
  }
}

const sameAgain = (partitioner: Partitioner, seed: number) => (): void => {
  const topic = trialTopic(12)
  const run = (): Array<number> => {
    const producer = new TrialProducer(partitioner, seed)
    return trialKeys(500, seed).map((key, at) => producer.send(recordOf(at % 3 === 0 ? null : key), topic, SIZE_BYTES))
  }
  const again = run()
  run().forEach((partition, at) =>
    ensure(partition === again[at], () => `record ${at} went to partition ${partition} and the next time to ${again[at]}: does it use a clock or random numbers of its own?`)
  )
}

const sameKeySamePartition = (partitioner: Partitioner, seed: number) => (): void => {
  const random = seeded(seed + RECORDS_SEED)
  for (const count of COUNTS) {
    const keys = trialKeys(200, seed)
    const topic = trialTopic(count)
    const first = new TrialProducer(partitioner, seed)
    const placed = keys.map((key) => first.send(recordOf(key), topic, SIZE_BYTES))
    // another producer, other values and sizes, records without keys between them, load, a partition without a leader
    const lame = trialTopic(count, new Set([count - 1]))
    const second = new TrialProducer(partitioner, seed + 1)
    for (let at = keys.length - 1; at >= 0; at--) {
      const sizeBytes = 1 + Math.floor(random() * 2000)
      if (random() < 0.5) second.send(recordOf(null), topic, sizeBytes)
      if (random() < 0.1) second.load(topic.available.map(() => Math.floor(random() * 9)), topic.available, topic)
      const partition = second.send(recordOf(keys[at]!.slice(), new Uint8Array(5)), random() < 0.5 ? topic : lame, sizeBytes)
      ensure(
        partition === placed[at],
        () => `one key went to partition ${placed[at]} and to ${partition} of ${count}: its records would lose their order`
      )
    }
  }
}

const spreadsKeys = (partitioner: Partitioner, spread: number, seed: number) => (): void => {
  for (const count of COUNTS) {
    const topic = trialTopic(count)
    const producer = new TrialProducer(partitioner, seed)
    const keys = new Array<number>(count).fill(0)
    for (const key of trialKeys(SHARE * count, seed)) keys[ensureInRange(producer.send(recordOf(key), topic, SIZE_BYTES), count)]!++
    ensureSpread(keys, spread, "different keys")
  }
}

const spreadsKeyless = (partitioner: Partitioner, spread: number, seed: number) => (): void => {
  const random = seeded(seed + RECORDS_SEED)
  for (const count of COUNTS.filter((one) => one < 20)) {
    const topic = trialTopic(count)
    const producer = new TrialProducer(partitioner, seed)
    const bytes = new Array<number>(count).fill(0)
    for (let sent = 0; sent < SHARE * count * TRIAL_OPTIONS.batchSizeBytes;) {
      const sizeBytes = 50 + Math.floor(random() * 300)
      bytes[ensureInRange(producer.send(recordOf(null), topic, sizeBytes), count)]! += sizeBytes
      sent += sizeBytes
    }
    ensureSpread(bytes, spread, "bytes of records without a key")
  }
}

const avoidsLeaderless = (partitioner: Partitioner, seed: number) => (): void => {
  for (const count of COUNTS.filter((one) => one > 1)) {
    const topic = trialTopic(count, new Set([0, count - 2]))
    if (topic.available.length === 0) continue
    const producer = new TrialProducer(partitioner, seed)
    for (let i = 0; i < 1000; i++) {
      const partition = producer.send(recordOf(null), topic, SIZE_BYTES)
      ensure(topic.available.includes(partition), () => `a record without a key waits in partition ${partition}, which has no leader, while others have one`)
    }
  }
}

const movesFew = (partitioner: Partitioner, moves: number, seed: number) => (): void => {
  const keys = trialKeys(4 * SHARE, seed)
  const placeAll = (count: number): Array<number> => {
    const producer = new TrialProducer(partitioner, seed)
    const topic = trialTopic(count)
    return keys.map((key) => producer.send(recordOf(key), topic, SIZE_BYTES))
  }
  for (const [from, to] of [[1, 2], [3, 4], [7, 8], [12, 13], [12, 24], [50, 60]] as const) {
    const before = placeAll(from)
    const moved = placeAll(to).filter((partition, at) => partition !== before[at]).length / keys.length
    const allowed = (to - from) / to + moves
    ensure(moved <= allowed, () => `from ${from} to ${to} partitions ${percent(moved)} of the keys moved; ${percent(allowed)} are allowed`)
  }
}

/** The laws that `partitioner` says it holds by `options`; each is independent of the others. */
export const partitionerLaws = (
  partitioner: Partitioner,
  options: PartitionerLawsOptions = {}
): ReadonlyArray<Law> => {
  const { keyed = true, moves, seed = 1, spread = 0.15, spreadsKeyless: keyless = true } = options
  const of = `partitioner ${partitioner.name}`
  return [
    law(`${of}: every record is placed in range`, inRange(partitioner, seed)),
    law(`${of}: the same records and random numbers are placed the same`, sameAgain(partitioner, seed)),
    ...(keyed
      ? [
        law(`${of}: equal keys go to one partition`, sameKeySamePartition(partitioner, seed)),
        law(`${of}: different keys are spread, each partition within ${percent(spread)} of its share`, spreadsKeys(partitioner, spread, seed))
      ]
      : []),
    ...(keyless
      ? [
        law(`${of}: records without a key are spread by bytes, each partition within ${percent(spread)} of its share`, spreadsKeyless(partitioner, spread, seed)),
        law(`${of}: records without a key avoid partitions without a leader`, avoidsLeaderless(partitioner, seed))
      ]
      : []),
    ...(keyed && moves !== undefined
      ? [law(`${of}: added partitions take their share of the keys and little else moves`, movesFew(partitioner, moves, seed))]
      : [])
  ]
}
