/**
 * Replicas on three brokers: the same requests to a cluster of Apache Kafka and to one of ottla's brokers, while all
 * live, while one is dead, and after it is back. Each answer is compared, and after it what the cluster has come to.
 *
 * A broker's death takes seconds, so it is one for all sequences: each begins with all brokers alive, goes on when the
 * last broker was killed, and ends when it is back.
 */
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import type { ClusterPeer } from "../../scripts/peers/Clusters.ts"
import { PeerError, sleep, waitFor } from "../../scripts/peers/Processes.ts"
import { apis } from "../../core/protocol/Apis.ts"
import { canonical, type CanonicalContext } from "./Canonical.ts"
import { whileAllLive, whileOneIsDead } from "./ClusterMinIsr.ts"
import { type ClusterRequest, drawRequest } from "./ClusterRequests.ts"
import { isMoving, look, type Seen, treeOf } from "./ClusterState.ts"
import { type Accepted, differences, isAccepted, isMessage } from "./Differences.ts"
import { Random } from "./Random.ts"
import type { Found, Report } from "./Sequence.ts"
import { emptySide, type Side } from "./World.ts"

/** What both clusters must be told, so that only what is asked for happens. */
export const clusterProperties: ReadonlyArray<string> = [
  "auto.leader.rebalance.enable=false",
  "broker.session.timeout.ms=3000",
  "broker.heartbeat.interval.ms=500",
  "default.replication.factor=3",
  "replica.lag.time.max.ms=5000"
]

/** Given up after: both must have come to the same by then. */
const SETTLE_MS = 20_000
/** So long apart, and so often, must both say the same. */
const POLL_MS = 60
const POLLS = 3

interface Party {
  readonly peer: ClusterPeer
  readonly side: Side
  caller: Caller | undefined
}

const callerOf = async (party: Party): Promise<Caller> => {
  const [first] = party.peer.brokers
  if (party.caller === undefined || party.caller.wire.isClosed) party.caller = await Caller.connect(first!.host, first!.port)
  return party.caller
}

export interface ClusterOracleOptions {
  readonly judge: ClusterPeer
  readonly subject: ClusterPeer
  readonly seeds: ReadonlyArray<number>
  /** Of each sequence, in all three parts together. */
  readonly requests: number
  readonly accepted: ReadonlyArray<Accepted>
  readonly report: Report
  readonly print: (line: string) => void
  readonly trace?: (line: string) => void
}

interface Sequence {
  readonly seed: number
  readonly random: Random
  readonly names: Array<string>
  count: number
  /** What the judge has; undefined once both had come to something else. */
  seen: Seen | undefined
}

/** Those of an answer about all topics that belong to a sequence, without topics of which nothing is told. */
const within = (fields: Fields, prefix: string): Fields =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [
    name,
    Array.isArray(value)
      ? value.filter((one: Fields) => {
        const rest = (one["partitions"] ?? one["partitionResult"]) as ReadonlyArray<unknown> | undefined
        return `${one["name"] ?? one["topic"]}`.startsWith(prefix) && rest?.length !== 0
      })
      : value
  ]))

class ClusterOracle {
  readonly #options: ClusterOracleOptions
  readonly #judge: Party
  readonly #subject: Party
  readonly #sequences: ReadonlyArray<Sequence>
  readonly #runStartMs = Date.now() - 2000
  #versions: (api: string) => readonly [number, number] = () => [0, 0]
  #dead: number | undefined

  constructor(options: ClusterOracleOptions) {
    this.#options = options
    this.#judge = { peer: options.judge, side: emptySide(), caller: undefined }
    this.#subject = { peer: options.subject, side: emptySide(), caller: undefined }
    this.#sequences = options.seeds.map((seed) => ({ seed, random: new Random(seed), names: [], count: 0, seen: { brokers: [], topics: [] } }))
  }

  async #bothVersions(): Promise<void> {
    const ranges = await Promise.all([this.#judge, this.#subject].map(async (party) => {
      const answer = await (await callerOf(party)).ask("ApiVersions", 0, {})
      return new Map((answer["apiKeys"] as ReadonlyArray<Fields>).map((one) =>
        [apis.get(one["apiKey"])?.name ?? "", [one["minVersion"], one["maxVersion"]]] as const))
    }))
    this.#versions = (api) => {
      const [a, b] = ranges.map((range) => range.get(api)) as [readonly [number, number] | undefined, readonly [number, number] | undefined]
      if (a === undefined || b === undefined) throw new PeerError(`${api} is not advertised by both`)
      return [Math.max(a[0], b[0]), Math.min(a[1], b[1])]
    }
  }

  /** Both say the same for a while; with everybody alive, or where it is asked for, nothing may be on its way any more. */
  async #settled(sequence: Sequence, isEnded = this.#dead === undefined): Promise<{ readonly theirs: Seen; readonly ours: Seen; readonly isEqual: boolean }> {
    const deadline = performance.now() + SETTLE_MS
    let last = ""
    for (let equal = 0;;) {
      const [theirs, ours] = await Promise.all([this.#judge, this.#subject].map(async (party) => look(await callerOf(party), sequence.names))) as [Seen, Seen]
      const text = JSON.stringify(treeOf(theirs))
      const isEqual = text === JSON.stringify(treeOf(ours))
      equal = isEqual && text === last ? equal + 1 : 0
      last = text
      if (equal >= POLLS && (!isEnded || !isMoving(theirs))) return { theirs, ours, isEqual }
      if (performance.now() > deadline) return { theirs, ours, isEqual: isEqual && !isMoving(theirs) }
      await sleep(POLL_MS)
    }
  }

  #note(found: Omit<Found, "seed" | "request">, sequence: Sequence): boolean {
    const { accepted, report } = this.#options
    const row = isAccepted(accepted, found.api, found.version, found)
    if (row !== undefined) report.accepted.set(row, (report.accepted.get(row) ?? 0) + 1)
    else if (isMessage(found)) report.messages.set(`${found.api} ${found.fields} ${found.kafka.replace(/o\d+-\w+|\d+/g, "_")}`, found)
    else return report.found.push({ ...found, seed: sequence.seed, request: sequence.count }) > 0
    return false
  }

  /** What the clusters have come to, after an answer or after a broker came or went. */
  async #compareStates(sequence: Sequence, api: string, version: number, asked: string, isEnded?: boolean): Promise<void> {
    const { isEqual, ours, theirs } = await this.#settled(sequence, isEnded)
    sequence.seen = theirs
    const found = differences(treeOf(theirs), treeOf(ours))
    const open = found.filter((difference) => this.#note({ ...difference, api: `${api}, then`, version, asked }, sequence))
    if (found.length === 0 && !isEqual) {
      open.push({ path: ".moving", fields: "moving", kafka: JSON.stringify(treeOf(theirs)), ottla: "the same" })
      this.#note({ ...open[0]!, api: `${api}, then`, version, asked }, sequence)
    }
    // What follows would only repeat it.
    if (open.length > 0) sequence.seen = undefined
  }

  async #step(sequence: Sequence): Promise<void> {
    if (sequence.seen === undefined) return
    const prefix = `o${sequence.seed}`
    const draw = { random: sequence.random, prefix, seen: sequence.seen, dead: this.#dead, versions: this.#versions }
    await this.#ask(sequence, drawRequest(draw), prefix)
  }

  async #ask(sequence: Sequence, { api, fields, isAboutAll, makes, version }: ClusterRequest, prefix = ""): Promise<void> {
    const asked = JSON.stringify(fields)
    const { report, trace } = this.#options
    trace?.(`${sequence.seed}/${sequence.count} ${api} ${version} ${asked}`)
    report.requests.set(api, (report.requests.get(api) ?? 0) + 1)
    const [theirs, ours] = await Promise.all([this.#judge, this.#subject].map(async (party) => {
      const answer = await (await callerOf(party)).ask(api, version, fields)
      const context: CanonicalContext = { recompressed: new Set(), api, side: party.side, runStartMs: this.#runStartMs, sections: new Set() }
      // Kafka's brokers name any of them as the controller, ours the one that is.
      const comparable = "controllerId" in answer ? { ...answer, controllerId: "a broker" } : answer
      return canonical(isAboutAll === true ? within(comparable, `${prefix}-`) : comparable, context)
    }))
    for (const [, code] of JSON.stringify(theirs).matchAll(/"errorCode":(-?\d+)/g)) {
      report.errors.set(`${api} ${code}`, (report.errors.get(`${api} ${code}`) ?? 0) + 1)
    }
    if (makes !== undefined && !sequence.names.includes(makes)) sequence.names.push(makes)
    const found = differences(theirs!, ours!)
    if (found.length > 0) trace?.(`  kafka ${JSON.stringify(theirs)}\n  ottla ${JSON.stringify(ours)}`)
    for (const difference of found) this.#note({ ...difference, api, version, asked }, sequence)
    await this.#compareStates(sequence, api, version, asked)
    if (makes !== undefined && sequence.seen?.topics.find(({ name }) => name === makes)?.error !== 0) {
      sequence.names.splice(sequence.names.indexOf(makes), 1)
      if (sequence.seen !== undefined) sequence.seen = { ...sequence.seen, topics: sequence.seen.topics.filter(({ name }) => name !== makes) }
    }
    trace?.(`  ${JSON.stringify(sequence.seen === undefined ? "broken off" : treeOf(sequence.seen))}`)
    sequence.count++
  }

  async #all(what: string, steps: number): Promise<void> {
    const { print } = this.#options
    const begin = performance.now()
    for (const sequence of this.#sequences) {
      if (sequence.seen !== undefined) await this.#compareStates(sequence, what, 0, what)
      for (let step = 0; step < steps; step++) await this.#step(sequence)
    }
    print(`${what}: ${this.#sequences.length} sequences of ${steps} requests, ${((performance.now() - begin) / 1000).toFixed(0)} s`)
  }

  /** About all of the cluster, and so for no sequence. */
  async #script(sequence: Sequence, what: string, requests: ReadonlyArray<ClusterRequest>): Promise<void> {
    if (sequence.seen !== undefined) await this.#compareStates(sequence, what, 0, what)
    for (const request of requests) if (sequence.seen !== undefined) await this.#ask(sequence, request)
    if (sequence.seen !== undefined) await this.#compareStates(sequence, `${what}, in the end`, 0, what, true)
    this.#options.trace?.(`${what}: ${sequence.seen === undefined ? "broken off" : JSON.stringify(treeOf(sequence.seen))}`)
  }

  /** The brokers that are told of, by both. */
  async #brokersAre(ids: ReadonlyArray<number>): Promise<void> {
    await waitFor(`both clusters of brokers ${ids.join()}`, 60_000, async () => {
      const seen = await Promise.all([this.#judge, this.#subject].map(async (party) => (await look(await callerOf(party), [])).brokers.join()))
      return seen.every((brokers) => brokers === ids.join()) ? true : undefined
    })
  }

  async run(): Promise<void> {
    const steps = Math.ceil(this.#options.requests / 3)
    const minIsr: Sequence = { seed: 0, random: new Random(0), names: [], count: 0, seen: { brokers: [], topics: [] } }
    await this.#bothVersions()
    await this.#brokersAre([1, 2, 3])
    await this.#script(minIsr, "all alive", whileAllLive)
    await this.#all("all alive", steps)
    await Promise.all([this.#judge, this.#subject].map(({ peer }) => peer.killBroker(3)))
    this.#dead = 3
    await this.#brokersAre([1, 2])
    await this.#script(minIsr, "broker 3 killed", whileOneIsDead)
    await this.#all("broker 3 killed", steps)
    await Promise.all([this.#judge, this.#subject].map(({ peer }) => peer.startBroker(3)))
    this.#dead = undefined
    await this.#brokersAre([1, 2, 3])
    await this.#script(minIsr, "broker 3 back", [])
    await this.#all("broker 3 back", steps)
    for (const party of [this.#judge, this.#subject]) party.caller?.close()
  }
}

export const runClusterOracle = (options: ClusterOracleOptions): Promise<void> => new ClusterOracle(options).run()
