/** What the log must hold after all kills: each acknowledged record once, no record twice, each producer's in order. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Caller, type Fields } from "../../../scripts/peers/Calls.ts"
import { kcat } from "../../../scripts/peers/Kcat.ts"
import type { ClusterPeer } from "../../../scripts/peers/Clusters.ts"
import { PeerError } from "../../../scripts/peers/Processes.ts"
import type { Told } from "./Producers.ts"
import type { Seen } from "./Readers.ts"

export interface LogRecord {
  readonly partition: number
  readonly offset: number
  readonly value: string
}

/** Every committed record, in the order of its partition, read by librdkafka. @throws PeerError */
export const readLog = async (bootstrap: string, topic: string): Promise<ReadonlyArray<LogRecord>> => {
  const read = await kcat(["-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %s\\n"], { timeoutMs: 120_000 })
  if (read.code !== 0) throw new PeerError(`kcat reads ${topic}: exit code ${read.code}: ${read.stderr}`)
  return read.stdout.split("\n").filter((line) => line !== "").map((line) => {
    const [partition = "", offset = "", value = ""] = line.split(" ")
    return { partition: Number(partition), offset: Number(offset), value }
  })
}

/** The first few of many, so that a failure can be read. */
const some = (problems: ReadonlyArray<string>): ReadonlyArray<string> =>
  problems.length <= 5 ? problems : [...problems.slice(0, 5), `and ${problems.length - 5} more`]

/** What is wrong with the log, given what producers were told. */
export const checkLog = (log: ReadonlyArray<LogRecord>, told: ReadonlyArray<Told>): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const found = new Map<string, string>()
  const twice: Array<string> = []
  const disorder: Array<string> = []
  const newest = new Map<string, number>()
  const ends = new Map<number, number>()
  for (const { offset, partition, value } of log) {
    const where = `${partition} ${offset}`
    const before = found.get(value)
    if (before !== undefined) twice.push(`${value} is at ${before} and at ${where}`)
    found.set(value, where)
    const end = ends.get(partition) ?? 0
    if (offset !== end) disorder.push(`offset ${offset} in partition ${partition} where ${end} was due`)
    ends.set(partition, offset + 1)
    const [prefix = "", number = ""] = value.split(".")
    const lane = `${prefix} ${partition}`
    const last = newest.get(lane) ?? -1
    if (Number(number) <= last) disorder.push(`${value} at ${where} comes after ${prefix}.${last}`)
    newest.set(lane, Number(number))
  }
  for (const one of told) {
    const lost: Array<string> = []
    for (const [number, where] of one.acknowledged) {
      const is = found.get(`${one.prefix}.${number}`)
      const [partition, offset] = where.split(" ")
      if (is === undefined) lost.push(`${one.name}: ${number} was acknowledged at ${where} and is not in the log`)
      else if (offset === "-1" ? is.split(" ")[0] !== partition : is !== where) lost.push(`${one.name}: ${number} was acknowledged at ${where} and is at ${is}`)
    }
    problems.push(...some(lost), ...some(one.complaints))
  }
  return [...problems, ...some(twice), ...some(disorder)]
}

/** What is wrong with what a group has seen, given the log. */
export const checkSeen = (log: ReadonlyArray<LogRecord>, seen: Seen): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const missing: Array<string> = []
  for (const { offset, partition, value } of log) {
    const was = seen.records.get(`${partition} ${offset}`)
    if (was === undefined) missing.push(`group ${seen.group} never saw ${value} at ${partition} ${offset}`)
    else if (was !== value) problems.push(`group ${seen.group} saw ${was} at ${partition} ${offset}, where ${value} is`)
  }
  if (seen.records.size > log.length) problems.push(`group ${seen.group} saw ${seen.records.size - log.length} records that are not in the log`)
  return [...some(problems), ...some(missing), ...some(seen.complaints)]
}

/** What a group has committed, by partition, as its coordinator says; -1: nothing. @throws PeerError */
export const committedBy = async (cluster: ClusterPeer, group: string, topic: string, partitions: number): Promise<ReadonlyArray<number>> => {
  const ask = async (broker: { readonly host: string; readonly port: number }, api: string, version: number, fields: Fields): Promise<Fields> => {
    const caller = await Caller.connect(broker.host, broker.port)
    try {
      return await caller.ask(api, version, fields)
    } finally {
      caller.close()
    }
  }
  const coordinator = await ask(cluster.brokers[0]!, "FindCoordinator", 3, { key: group, keyType: 0 })
  if (coordinator["errorCode"] !== 0) throw new PeerError(`the coordinator of ${group}: error ${coordinator["errorCode"]}`)
  const asked = [{ name: topic, partitionIndexes: Array.from({ length: partitions }, (_, partition) => partition) }]
  const answer = await ask({ host: coordinator["host"], port: coordinator["port"] }, "OffsetFetch", 7, { groupId: group, topics: asked, requireStable: true })
  if (answer["errorCode"] !== 0) throw new PeerError(`the offsets of ${group}: error ${answer["errorCode"]}`)
  const offsets = new Map((answer["topics"] as ReadonlyArray<Fields>)[0]?.["partitions"].map((one: Fields) => [one["partitionIndex"], Number(one["committedOffset"])]))
  return Array.from({ length: partitions }, (_, partition) => Number(offsets.get(partition) ?? -1))
}

/** A group that has read everything and left has committed the end of each partition. */
export const checkCommitted = (log: ReadonlyArray<LogRecord>, group: string, committed: ReadonlyArray<number>): ReadonlyArray<string> =>
  committed.flatMap((offset, partition) => {
    const end = log.filter((record) => record.partition === partition).length
    return Math.max(offset, 0) === end ? [] : [`group ${group} has committed ${offset} of partition ${partition}, which ends at ${end}`]
  })

/** Digest of a replica's records, segment after segment. */
const digestOf = (dataDirectory: string, topic: string, partition: number): string => {
  const directory = join(dataDirectory, `${topic}-${partition}`)
  const hash = createHash("sha256")
  for (const name of readdirSync(directory).filter((one) => one.endsWith(".log")).sort()) hash.update(readFileSync(join(directory, name)))
  return hash.digest("hex")
}

/** All replicas of a partition must be the same bytes, once the brokers have stopped with everybody in sync. */
export const checkReplicas = (cluster: ClusterPeer, topic: string, partitions: number): ReadonlyArray<string> =>
  Array.from({ length: partitions }, (_, partition) => partition).flatMap((partition) => {
    const digests = cluster.brokers.map(({ dataDirectory }) => digestOf(dataDirectory, topic, partition))
    return new Set(digests).size === 1 ? [] : [`the replicas of ${topic}-${partition} differ: ${digests.map((one) => one.slice(0, 8)).join(", ")}`]
  })
