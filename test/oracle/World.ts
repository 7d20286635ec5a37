/**
 * What a sequence of requests knows while it is made. A generator chooses with the world's seeded dice and what the
 * judge (Kafka) answered so far; both sides then get the same request. What each broker names in its own way (topic
 * ids, producer ids, fetch sessions) a request asks its side for.
 */
import type { Fields } from "../../scripts/peers/Calls.ts"
import type { GroupState } from "./Groups.ts"
import type { Random } from "./Random.ts"

export interface TopicState {
  readonly name: string
  /** As far as the judge created them; 0 when it is gone. */
  partitions: number
  readonly configs: Map<string, string>
  /** The log end offset of each partition as the judge told it last. */
  readonly ends: Array<number>
  readonly starts: Array<number>
}

export interface ProducerState {
  /** Index in each side's list of producer ids; -1 for one that no broker gave out: `fixedId` then. */
  readonly index: number
  readonly fixedId: number
  epoch: number
  /** `topic-partition` to the next sequence. */
  readonly sequences: Map<string, number>
}

/** One broker's own names for things. */
export interface Side {
  readonly topicIds: Map<string, string>
  readonly producerIds: Array<number>
  fetchSession: { id: number; epoch: number }
  /** A member's name in this sequence (`g0.m1`) to the id that this broker gave it. */
  readonly memberIds: Map<string, string>
}

export const emptySide = (): Side => ({ topicIds: new Map(), producerIds: [], fetchSession: { id: 0, epoch: -1 }, memberIds: new Map() })

export interface World {
  readonly random: Random
  /** Begins every topic name of this sequence. */
  readonly prefix: string
  /** The clock at the start of the run: what a record's timestamp may be compared with. */
  readonly nowMs: number
  readonly topics: Array<TopicState>
  readonly producers: Array<ProducerState>
  readonly groups: Array<GroupState>
  /** What must come next, one after the other, before anything is drawn again. */
  readonly script: Array<() => Step>
  /** Version range under test per API name. */
  readonly versions: (api: string) => readonly [min: number, max: number]
}


export type { Fields }

export interface Request {
  readonly api: string
  readonly version: number
  readonly fields: (side: Side) => Fields
  /** Told both sides' answers, the judge's first; only the judge's may change the world. */
  readonly learn?: (answer: Fields, side: Side, isJudge: boolean) => void
  /** What must have settled before the next request: metadata and configurations reach a Kafka broker's parts late. */
  readonly settle?: boolean
  /** Milliseconds to wait for an answer that the judge may never give. */
  readonly answerMs?: number
  /** Produce with acks=0: no answer is awaited, an ApiVersions behind it is. */
  readonly noAnswer?: boolean
  /**
   * A connection of its own, for requests whose answer the broker may hold back until others come. What is answered
   * by the time both brokers are at rest is compared, and so is who still waits.
   */
  readonly line?: string
  /** The group that it may change: its description is compared after it, with the answers that it released. */
  readonly group?: string
  /** Sent after a pause of so many milliseconds, on both sides: longer than some timeout of the group. */
  readonly pauseMs?: number
  /** Everybody who waits must be answered before the next request: a timeout of the group sees to that. */
  readonly untilAnswered?: boolean
  /** The part of an answer that belongs to this sequence. */
  readonly view?: (answer: Fields) => Fields
}

/** Bytes that may be no request at all; the frame's size is put before them unless `bare`. */
export interface RawRequest {
  readonly raw: (side: Side) => Uint8Array
  readonly bare?: boolean
  readonly describe: string
}

export type Step = Request | RawRequest
export const isRaw = (step: Step): step is RawRequest => "raw" in step

export interface Generator {
  readonly api: string
  /** How often, relative to the others. */
  readonly weight: number
  readonly make: (world: World) => Step
}

export const liveTopics = (world: World): ReadonlyArray<TopicState> => world.topics.filter((topic) => topic.partitions > 0)

/** A topic for a request: mostly one that lives, at times a deleted, unknown or illegal one. */
export const someTopic = (world: World): string => {
  const { random } = world
  const live = liveTopics(world)
  if (live.length > 0 && !random.chance(8)) return random.pick(live).name
  return random.weighted([
    [3, `${world.prefix}-never`],
    [live.length < world.topics.length ? 3 : 1, world.topics.find((topic) => topic.partitions === 0)?.name ?? `${world.prefix}-none`],
    [1, "bad/name"],
    [1, ""],
    [1, ".."],
    [1, "x".repeat(250)]
  ])
}

export const topicState = (world: World, name: string): TopicState | undefined => world.topics.find((topic) => topic.name === name)

/** A partition index: mostly one that exists. */
export const somePartition = (world: World, name: string): number => {
  const count = topicState(world, name)?.partitions ?? 0
  return count > 0 && !world.random.chance(5) ? world.random.int(0, count - 1) : world.random.pick([-1, count, count + 7, 0])
}

/** An id that no topic has, the same on both sides. */
export const UNKNOWN_TOPIC_ID = "T3R0bGEtdW5rbm93bi1pZA"
export const ZERO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"

export const topicIdOn = (side: Side, name: string): string => side.topicIds.get(name) ?? UNKNOWN_TOPIC_ID

export const someVersion = (world: World, api: string): number => {
  const [min, max] = world.versions(api)
  return world.random.int(min, max)
}
