/**
 * What a consumer's delivery holds between polls: records in hand, and positions that were processed but not saved.
 * Pure and synchronous; DeliveryConsume.ts owns one and does the waiting.
 */
import { invariant } from "../model/Invariant.ts"
import type { TopicPartition } from "./ClusterView.ts"
import type { ConsumerRecord, PartitionOffset, PartitionRecords } from "./Consumer.ts"

/** One partition's records of a poll; `at` is the first that was not taken. */
interface Hand {
  readonly from: PartitionRecords
  at: number
}

/** A run of one partition's records, in order. */
export interface Slice extends TopicPartition {
  readonly records: ReadonlyArray<ConsumerRecord>
  /** The position before its first record. */
  readonly startOffset: number
  /** The position after its last record: beyond what the log leaves out, where that is known. */
  readonly end: PartitionOffset
}

export interface DeliveryState {
  /** In the order of their poll; emptied before the next poll, so never more than `max.poll.records`. */
  readonly hand: Array<Hand>
  /** One position for each partition that was processed beyond what is saved. */
  readonly pending: Map<string, PartitionOffset>
  /** Records processed since the last save. */
  unsavedRecords: number
  /** When positions were last saved, or the first unsaved one came. */
  savedAtMs: number
}

export const makeDeliveryState = (nowMs: number): DeliveryState => ({
  hand: [],
  pending: new Map(),
  unsavedRecords: 0,
  savedAtMs: nowMs
})

const keyOf = (partition: TopicPartition): string => `${partition.topic} ${partition.partition}`

/** Takes in what a poll gave. What is in hand must have been taken: order inside a partition depends on it. */
export const polled = (state: DeliveryState, batches: ReadonlyArray<PartitionRecords>): void => {
  invariant(state.hand.length === 0, "a poll before the records in hand were taken")
  for (const from of batches) state.hand.push({ from, at: 0 })
}

export const hasRecords = (state: DeliveryState): boolean => state.hand.length > 0

/** Takes up to `max` records out of the hand, partition by partition. */
export const take = (state: DeliveryState, max: number): ReadonlyArray<Slice> => {
  const slices: Array<Slice> = []
  let room = max
  while (state.hand.length > 0 && room > 0) {
    const hand = state.hand[0]!
    const { nextOffset, partition, records, topic } = hand.from
    const startOffset = hand.at === 0 ? (records[0]?.offset ?? nextOffset) : records[hand.at]!.offset
    const end = Math.min(records.length, hand.at + room)
    const taken = hand.at === 0 && end === records.length ? records : records.slice(hand.at, end)
    const last = taken.at(-1)
    slices.push({
      topic,
      partition,
      records: taken,
      startOffset,
      end: positionAfter({ topic, partition }, last, end === records.length ? nextOffset : undefined)
    })
    room -= taken.length
    hand.at = end
    if (end === records.length) state.hand.shift()
  }
  return slices
}

/** The places of each partition's slices, in their order. */
export const lanesOf = (slices: ReadonlyArray<Slice>): ReadonlyArray<ReadonlyArray<number>> => {
  const lanes = new Map<string, Array<number>>()
  for (const [place, slice] of slices.entries()) {
    const lane = lanes.get(keyOf(slice))
    if (lane === undefined) lanes.set(keyOf(slice), [place])
    else lane.push(place)
  }
  return Array.from(lanes.values())
}

/** Puts back what a step did not come to, from the record at `index` on: it is the next to be taken. */
export const putBack = (state: DeliveryState, slice: Slice, index: number): void => {
  if (index >= slice.records.length) return
  const { end: { offset: nextOffset }, partition, records, topic } = slice
  state.hand.unshift({ from: { topic, partition, records, nextOffset, endOffset: -1 }, at: index })
}

const positionAfter = (
  { partition, topic }: TopicPartition,
  last: ConsumerRecord | undefined,
  nextOffset: number | undefined
): PartitionOffset => {
  const offset = nextOffset ?? (last === undefined ? 0 : last.offset + 1)
  return last === undefined || last.leaderEpoch < 0
    ? { topic, partition, offset }
    : { topic, partition, offset, leaderEpoch: last.leaderEpoch }
}

/** The first `count` records of a slice were processed; the rest is put back or taken again. Once for each slice. */
export const processed = (state: DeliveryState, slice: Slice, count: number): void => {
  const isAll = count >= slice.records.length
  const position = isAll ? slice.end : positionAfter(slice, slice.records[count - 1], undefined)
  state.unsavedRecords += count
  state.pending.set(keyOf(slice), position)
}

/** Whether what was processed should be saved now. */
export const isSaveDue = (
  state: DeliveryState,
  every: { readonly records?: number; readonly ms?: number },
  nowMs: number
): boolean =>
  state.pending.size > 0 && (
    (every.records !== undefined && state.unsavedRecords >= every.records) ||
    (every.ms !== undefined && nowMs - state.savedAtMs >= every.ms)
  )

/** How long until a save is due by time, in ms; undefined when nothing waits or no time is set. */
export const saveDueInMs = (state: DeliveryState, everyMs: number | undefined, nowMs: number): number | undefined =>
  everyMs === undefined || state.pending.size === 0 ? undefined : Math.max(0, everyMs - (nowMs - state.savedAtMs))

/** What waits to be saved: of all partitions, or of these. */
export const unsaved = (state: DeliveryState, partitions?: ReadonlyArray<TopicPartition>): ReadonlyArray<PartitionOffset> =>
  partitions === undefined
    ? Array.from(state.pending.values())
    : partitions.flatMap((partition) => state.pending.get(keyOf(partition)) ?? [])

/** Positions were saved; those that went on meanwhile still wait. */
export const saved = (state: DeliveryState, positions: ReadonlyArray<PartitionOffset>, nowMs: number): void => {
  for (const position of positions) {
    if (state.pending.get(keyOf(position)) === position) state.pending.delete(keyOf(position))
  }
  state.unsavedRecords = 0
  state.savedAtMs = nowMs
}

/** The interval begins anew without a save: nothing waited, or a failed one is put off. */
export const restartInterval = (state: DeliveryState, nowMs: number): void => {
  state.unsavedRecords = 0
  state.savedAtMs = nowMs
}

/** Partitions that are another's now: their positions are not ours to save. */
export const dropPartitions = (state: DeliveryState, partitions: ReadonlyArray<TopicPartition>): void => {
  for (const partition of partitions) state.pending.delete(keyOf(partition))
  if (state.pending.size === 0) state.unsavedRecords = 0
}

/** Empties the hand and gives back these slices too: where each partition would have to be read from again. */
export const giveBack = (
  state: DeliveryState,
  slices: ReadonlyArray<Slice>
): ReadonlyArray<TopicPartition & { readonly offset: number }> => {
  const first = new Map<string, TopicPartition & { readonly offset: number }>()
  for (const { partition, startOffset, topic } of slices) {
    const key = keyOf({ topic, partition })
    if (!first.has(key)) first.set(key, { topic, partition, offset: startOffset })
  }
  for (const { at, from: { nextOffset, partition, records, topic } } of state.hand) {
    const key = keyOf({ topic, partition })
    if (!first.has(key)) first.set(key, { topic, partition, offset: records[at]?.offset ?? nextOffset })
  }
  state.hand.length = 0
  return Array.from(first.values())
}
