/**
 * Answers in a form that two brokers share: what each names in its own way gets a common name, what must differ is
 * masked, lists that stand for sets are keyed by what names their items, records are read.
 */
import { createHash } from "node:crypto"
import { toSafe } from "../../core/protocol/Int64.ts"
import type { Fields } from "../../scripts/peers/Calls.ts"
import { decompress, readBatches, readRecords } from "./Batches.ts"
import { type Side, UNKNOWN_TOPIC_ID, ZERO_TOPIC_ID } from "./World.ts"

export type Tree = string | number | boolean | null | ReadonlyArray<Tree> | { readonly [key: string]: Tree }

export interface CanonicalContext {
  /** Topics whose batches the broker compressed itself at some time: their size depends on its library. */
  readonly recompressed: ReadonlySet<string>
  readonly api: string
  readonly side: Side
  /** Times from here on were taken from a clock during the run. */
  readonly runStartMs: number
  /** Digests of the sections of compressed records that were produced: what comes back unchanged is compared in full. */
  readonly sections: ReadonlySet<string>
  /** The topic that is being read. */
  readonly topic?: string
}

export const digest = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex").slice(0, 12)

/** Values that name a machine, a process or a moment. */
const masked = new Set(["throttleTimeMs", "host", "port", "clusterId", "logDir", "finalizedFeaturesEpoch"])

/** Configurations that name a place or a port of this run, or that Kafka's file must have and ours need not. */
const maskedConfigs = new Set([
  "log.dir", "log.dirs", "listeners", "advertised.listeners", "controller.quorum.voters", "controller.listener.names", "process.roles"
])

/** An item's name among its siblings, by the first of these that it has. */
const keys: ReadonlyArray<string> = [
  "memberId", "groupId", "key", "resourceName", "name", "topic", "topicId", "partitionIndex", "partitionId", "partition", "index", "apiKey", "nodeId", "brokerId", "producerId", "logDir"
]

const time = (ms: number, context: CanonicalContext): Tree => ms > context.runStartMs && ms < Date.now() + 5000 ? "a time of the run" : ms

const topicOf = (id: string, side: Side): string => {
  for (const [name, known] of side.topicIds) if (known === id) return `id of ${name}`
  return id === ZERO_TOPIC_ID || id === UNKNOWN_TOPIC_ID ? id : "an id"
}

const producerOf = (id: number, side: Side): Tree => {
  const index = side.producerIds.indexOf(id)
  return index < 0 ? id : `producer ${index}`
}

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|[\w-]{22}$/

/** A member's name in the sequence and how its id looks; an id that neither broker made is itself. */
const memberOf = (id: string, side: Side): string => {
  for (const [name, known] of side.memberIds) if (known === id) return `${name} ${id.replace(UUID, "<uuid>")}`
  return UUID.test(id) ? `an id ${id.replace(UUID, "<uuid>")}` : id
}

const recordsTree = (bytes: Uint8Array, context: CanonicalContext): Tree => {
  const { batches, partialBytes } = readBatches(bytes)
  const trees = batches.map((batch): Tree => {
    const common = {
      baseOffset: batch.baseOffset,
      leaderEpoch: batch.leaderEpoch,
      magic: batch.magic,
      crcIsRight: batch.crcIsRight,
      attributes: batch.attributes,
      lastOffsetDelta: batch.lastOffsetDelta,
      baseTimestamp: time(batch.baseTimestamp, context),
      maxTimestamp: time(batch.maxTimestamp, context),
      producerId: producerOf(batch.producerId, context.side),
      producerEpoch: batch.producerEpoch,
      baseSequence: batch.baseSequence,
      count: batch.count
    }
    const asSent = batch.codec === 0 || context.sections.has(digest(batch.section))
    // what a broker compressed itself depends on its library: only what comes out of it counts
    if (asSent) return { ...common, section: digest(batch.section), sizeInBytes: batch.sizeInBytes }
    try {
      return { ...common, uncompressed: digest(decompress(batch.codec, batch.section)), records: readRecords(batch).length }
    } catch (error) {
      return { ...common, unreadable: String(error) }
    }
  })
  return { batches: trees, partialBytes }
}

const keyOf = (item: Fields): string | undefined => {
  for (const key of keys) {
    const value = item[key]
    if (value !== undefined && value !== null && (value !== "" || key === "groupId")) return `${value}`
  }
  return undefined
}

const listTree = (items: ReadonlyArray<unknown>, context: CanonicalContext, name: string): Tree => {
  const trees = items.map((item) => tree(item, context, name))
  const named = trees.map((item) => typeof item === "object" && item !== null && !Array.isArray(item) ? keyOf(item as Fields) : undefined)
  if (trees.length === 0 || named.some((key) => key === undefined) || name === "abortedTransactions") return trees
  const map: Record<string, Tree> = {}
  trees.forEach((item, index) => {
    const key = `[${named[index]}]`
    const same = map[key]
    // a topic may come in several items, each with some of its partitions
    const merged = same === undefined ? item : mergePartitions(same, item)
    let free = key
    for (let n = 2; merged === undefined && free in map; n++) free = `${key}#${n}`
    map[free] = merged ?? item
  })
  return map
}

const mergePartitions = (a: Tree, b: Tree): Tree | undefined => {
  const name = ["partitions", "partitionResponses"].find((one) => (a as Fields)[one] !== undefined)
  if (name === undefined) return undefined
  const [first, second] = [(a as Fields)[name] as Tree, (b as Fields)[name] as Tree]
  const maps = [first, second].every((one) => typeof one === "object" && one !== null && !Array.isArray(one))
  if (!maps || Object.keys(first as object).some((key) => key in (second as object))) return undefined
  return { ...a as object, [name]: { ...first as object, ...second as object } } as Tree
}

const tree = (value: unknown, context: CanonicalContext, name: string): Tree => {
  if (value === undefined || value === null) return null
  if (masked.has(name)) return "*"
  if (name === "records" && value instanceof Uint8Array) return recordsTree(value, context)
  if (value instanceof Uint8Array) return digest(value)
  if (Array.isArray(value)) return listTree(value, context, name)
  if (typeof value === "bigint") return toSafe(value) ?? `${value}`
  if (typeof value === "string") {
    if (name === "topicId") return topicOf(value, context.side)
    return name === "memberId" || name === "leader" ? memberOf(value, context.side) : value
  }
  if (typeof value === "number") {
    if (name === "producerId") return producerOf(value, context.side)
    if (name === "partitionSize" && context.topic !== undefined && context.recompressed.has(context.topic)) return value > 0 ? "*" : value
    if (name === "totalBytes" || name === "usableBytes") return value > 0 ? "*" : value
    if (name === "sessionId" && context.api === "Fetch") return value === 0 ? 0 : "a session"
    if (/timestamp|TimeMs$/i.test(name)) return time(value, context)
    return value
  }
  if (typeof value === "boolean") return value
  const fields: Record<string, Tree> = {}
  const item = value as Fields
  if (item["configSource"] !== undefined && maskedConfigs.has(`${item["name"]}`)) return { name: `${item["name"]}`, value: "*" }
  const within = typeof item["name"] === "string" ? { ...context, topic: item["name"] } : context
  for (const [key, field] of Object.entries(value as object)) fields[key] = tree(field, within, key)
  return fields
}

export const canonical = (fields: Fields, context: CanonicalContext): Tree => tree(fields, context, "")
