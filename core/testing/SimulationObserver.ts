/**
 * Watches a simulated cluster after every step: keeps the metadata store's truth as an image, gives every partition that
 * changed to the invariants, counts what a run must have seen, and writes the timeline. It changes nothing.
 */
import { replicationConfigFor } from "../cluster/configs/TopicConfigs.ts"
import { emptyImage, type MetadataImage, type PartitionImage, restartedUnclean, type TopicImage, topicConfigOf } from "../cluster/MetadataImage.ts"
import type { Revision } from "../ports/MetadataStore.ts"
import { RECORD_BATCH_OVERHEAD, RecordBatch } from "../records/RecordBatch.ts"
import type { Partition } from "../replication/Partition.ts"
import { type BrokenInvariant, Invariants } from "./Invariants.ts"
import type { BatchIdentity, IsrVersion, PartitionSnapshot, ReplicaSnapshot } from "./InvariantsSnapshot.ts"
import type { SimBroker } from "./SimBroker.ts"
import type { SimCluster } from "./SimCluster.ts"
import type { SimProcess } from "./SimProcess.ts"
import type { Timeline } from "./Timeline.ts"

/** What happened in a run. A whole series of runs must have seen each of these. */
export interface SimulationCounters {
  elections: number
  truncations: number
  isrShrinks: number
  isrExpansions: number
  uncleanRestarts: number
  reassignments: number
  coordinatorMoves: number
  /** Leaders that came out of the ELR. */
  elrElections: number
  /** Of a topic's min.insync.replicas. */
  minIsrChanges: number
  /** Leaders whose log begins later than it did. */
  deletions: number
  /** Members of groups that died. */
  memberKills: number
  /** Connections that lossy links broke. */
  brokenConnections: number
  /** Times that a throttle began to hold back what somebody outside the ISR copies. */
  throttles: number
}

export const noCounters = (): SimulationCounters => ({
  elections: 0,
  truncations: 0,
  isrShrinks: 0,
  isrExpansions: 0,
  uncleanRestarts: 0,
  reassignments: 0,
  coordinatorMoves: 0,
  elrElections: 0,
  minIsrChanges: 0,
  deletions: 0,
  memberKills: 0,
  brokenConnections: 0,
  throttles: 0
})

const OFFSETS_TOPIC = "__consumer_offsets"
/** Bytes that one look at a log reads at most at once. */
const READ_BYTES = 1_048_576

/** A replica's log as a list of its batches, read again only where it may have changed. */
class LogMirror {
  readonly partition: Partition
  readonly incarnation: number
  batches: Array<BatchIdentity> = []
  logEndOffset = 0
  logStartOffset = 0
  /** Of the last look: what lies below was there before, unchanged. */
  stableEnd = 0
  role: ReplicaSnapshot["role"] = "none"
  leaderEpoch = -1
  partitionEpoch = -1
  highWatermark = -1
  isr: ReadonlyArray<number> = []
  isrInFlight: unknown = undefined
  /** Of the metadata that its broker had at the last look. */
  revision: Revision = -1
  /** And at the look before the one that found something new. */
  revisionBefore: Revision = -1

  constructor(partition: Partition, incarnation: number) {
    this.partition = partition
    this.incarnation = incarnation
  }

  /** @returns whether anything is new since the last look */
  look(revision: Revision): boolean {
    const { log, state } = this.partition
    if (
      log.logEndOffset === this.logEndOffset && state.highWatermark === this.highWatermark && state.role === this.role &&
      state.leaderEpoch === this.leaderEpoch && state.partitionEpoch === this.partitionEpoch && state.isr === this.isr &&
      state.isrInFlight === this.isrInFlight && log.logStartOffset === this.logStartOffset
    ) {
      this.revision = revision
      return false
    }
    // In one step a log may lose its end and grow again: the last batch tells, for what goes is always an end.
    const isSameEnd = log.logEndOffset >= this.logEndOffset && this.#hasLast()
    if (!isSameEnd) this.#goBack(log.logEndOffset)
    this.stableEnd = this.logEndOffset
    this.#readOn()
    if (log.logStartOffset !== this.logStartOffset) {
      this.logStartOffset = log.logStartOffset
      const first = this.batches.findIndex(({ lastOffset }) => lastOffset >= log.logStartOffset)
      this.batches.splice(0, first === -1 ? this.batches.length : first)
    }
    this.role = state.role
    this.leaderEpoch = state.leaderEpoch
    this.partitionEpoch = state.partitionEpoch
    this.highWatermark = state.highWatermark
    this.isr = state.isr
    this.isrInFlight = state.isrInFlight
    this.revisionBefore = this.revision
    this.revision = revision
    return true
  }

  #hasLast(): boolean {
    const last = this.batches.at(-1)
    if (last === undefined) return true
    const { log } = this.partition
    if (last.lastOffset < log.logStartOffset) return true
    // A log may begin in the middle of it.
    const found = this.#read(Math.max(last.baseOffset, log.logStartOffset), last.lastOffset + 1)[0]
    return found !== undefined && found.baseOffset === last.baseOffset && found.crc === last.crc && found.leaderEpoch === last.leaderEpoch
  }

  /** Forgets what is not certain to be there still: the batches from the first that differs. */
  #goBack(logEndOffset: number): void {
    while (this.batches.length > 0 && (this.batches.at(-1)!.lastOffset >= logEndOffset || !this.#hasLast())) this.batches.pop()
    this.logEndOffset = (this.batches.at(-1)?.lastOffset ?? this.partition.log.logStartOffset - 1) + 1
  }

  #readOn(): void {
    const { log } = this.partition
    const from = Math.max(this.logEndOffset, log.logStartOffset)
    if (log.logEndOffset > from) {
      for (const batch of this.#read(from, log.logEndOffset)) {
        // A log that begins anew within a batch has that batch whole.
        while ((this.batches.at(-1)?.lastOffset ?? -1) >= batch.baseOffset) this.batches.pop()
        this.batches.push(batch)
      }
    }
    this.logEndOffset = log.logEndOffset
  }

  #read(from: number, endOffset: number): Array<BatchIdentity> {
    const { log } = this.partition
    const found: Array<BatchIdentity> = []
    let next = from
    while (next < endOffset) {
      const read = log.read(next, { maxBytes: READ_BYTES, minOneBatch: true, endOffset })
      if (read._tag !== "Read" || read.slice === undefined) break
      const { slice } = read
      const bytes = new Uint8Array(slice.length)
      slice.file.read(bytes, slice.position)
      slice.release()
      const batch = new RecordBatch(bytes)
      for (let at = 0; at + RECORD_BATCH_OVERHEAD <= bytes.length; at += batch.sizeInBytes) {
        batch.position = at
        found.push({
          baseOffset: batch.baseOffset,
          lastOffset: batch.lastOffset,
          leaderEpoch: batch.partitionLeaderEpoch,
          crc: batch.crc,
          producerId: batch.producerId,
          producerEpoch: batch.producerEpoch,
          baseSequence: batch.baseSequence,
          isControl: batch.isControl
        })
      }
      if (read.nextOffset === undefined || read.nextOffset <= next) break
      next = read.nextOffset
    }
    return found
  }
}

/** What every commit said of one partition's ISR, oldest first: as much as the run is long. */
class IsrHistory {
  readonly #versions: Array<IsrVersion & { readonly since: Revision }> = []

  add(since: Revision, isr: ReadonlyArray<number>, minIsr: number): void {
    this.#versions.push({ since, isr, minIsr })
  }

  /** What held at the one revision, at the other, and in between. */
  between(first: Revision, last: Revision): ReadonlyArray<IsrVersion> {
    const from = this.#versions.findLastIndex(({ since }) => since <= first)
    return this.#versions.slice(Math.max(0, from), this.#versions.findLastIndex(({ since }) => since <= last) + 1)
  }
}

const without = (from: ReadonlyArray<number>, others: ReadonlyArray<number>): ReadonlyArray<number> => from.filter((id) => !others.includes(id))
const list = (ids: ReadonlyArray<number>): string => `{${ids.join(",")}}`

export interface ObserverOptions {
  /** Defaults of the brokers' configuration, for topics without an override. */
  readonly configs: Readonly<Record<string, string>>
  readonly broken: (broken: BrokenInvariant) => void
}

export class SimulationObserver {
  readonly invariants: Invariants = new Invariants()
  readonly counters: SimulationCounters = noCounters()
  readonly #cluster: SimCluster
  readonly #timeline: Timeline
  readonly #options: ObserverOptions
  readonly #defaults: ReadonlyMap<string, string>
  /** Of the last commit. */
  #image: MetadataImage = emptyImage
  /** Partitions that commits touched since the last look, by `topicId-partition`: there may be several commits in one step. */
  #touched: Map<string, readonly [TopicImage, PartitionImage]> = new Map()
  readonly #isrs: Map<string, IsrHistory> = new Map()
  /** By broker id: its partitions by `topicId-partition`. */
  readonly #mirrors: Map<number, Map<string, LogMirror>> = new Map()
  readonly #brokers: Map<SimProcess, SimBroker> = new Map()
  /** Partitions whose move was seen to begin. */
  readonly #moving: Set<string> = new Set()
  readonly #lastLeader: Map<string, number> = new Map()
  readonly #told: Set<string> = new Set()
  readonly #shown: Map<string, string> = new Map()
  /** Replicas, by broker, that no more is copied from or to for now. */
  readonly #heldBack: Set<string> = new Set()
  /** By broker and partition: the ISR that it asks for. */
  readonly #wanted: Map<string, string> = new Map()

  constructor(cluster: SimCluster, timeline: Timeline, options: ObserverOptions) {
    this.#cluster = cluster
    this.#timeline = timeline
    this.#options = options
    this.#defaults = new Map(Object.entries(options.configs))
    cluster.store.onCommit = (image) => this.#follow(image)
  }

  /** What the metadata store holds, whoever knows it. */
  image(): MetadataImage {
    return this.#image
  }

  /** Of a topic by name: what is committed. */
  committedEnd(topic: string, partition: number): number {
    const id = this.image().topicsByName.get(topic)?.id
    return id === undefined ? 0 : this.invariants.committedEnd(id, partition)
  }

  minIsrOf(topic: TopicImage, partition: PartitionImage): number {
    const { minInsyncReplicas } = replicationConfigFor(topicConfigOf(this.#image, topic.name), this.#defaults)
    return Math.min(minInsyncReplicas, Math.max(1, partition.replicas.length))
  }

  /** After a step of that process. */
  look(process: SimProcess): void {
    const dirty = this.#touched
    this.#touched = new Map()
    this.counters.brokenConnections = this.#cluster.network.broken
    const broker = this.#brokerOf(process)
    if (broker !== undefined) this.#lookAt(broker, dirty)
    for (const [key, [topic, partition]] of dirty) {
      for (const broken of this.invariants.observe(this.#snapshot(key, topic, partition))) {
        // A run that goes on tells each once.
        if (!this.#told.has(`${broken.invariant} ${key}`)) {
          this.note("broken", `${broken.invariant}: ${broken.message}`, undefined, `${topic.name}-${partition.partition}`)
        }
        this.#told.add(`${broken.invariant} ${key}`)
        this.#options.broken(broken)
      }
    }
  }

  note(kind: Parameters<Timeline["add"]>[0]["kind"], text: string, broker?: number, partition?: string): void {
    this.#timeline.add({ atMs: this.#cluster.sim.elapsedMs, kind, broker, partition, text })
  }

  #brokerOf(process: SimProcess): SimBroker | undefined {
    const known = this.#brokers.get(process)
    if (known !== undefined) return known
    for (const broker of this.#cluster.brokers.values()) {
      if (broker.process !== process) continue
      this.#brokers.set(process, broker)
      return broker
    }
    return undefined
  }

  // -- the store -----------------------------------------------------------------------------------------------

  /** After each commit. A look shows the newest only; a broker may hear of all that came before it. */
  #follow(image: MetadataImage): void {
    const before = this.#image
    this.#image = image
    const areBrokersNew = image.brokers !== before.brokers
    if (areBrokersNew) this.#followBrokers(before, image)
    const areConfigsNew = image.topicConfigs !== before.topicConfigs
    if (areConfigsNew) this.#followConfigs(before, image)
    if (image.controllerId !== before.controllerId && image.controllerId !== -1) this.note("broker", "is the controller", image.controllerId)
    for (const topic of image.topicsById.values()) {
      const old = before.topicsById.get(topic.id)
      if (old === topic && !areBrokersNew && !areConfigsNew) continue
      for (const partition of topic.partitions) {
        const was = old?.partitions[partition.partition]
        const key = `${topic.id}-${partition.partition}`
        if (was !== partition) this.#followPartition(key, topic, was, partition)
        if (was !== partition || areConfigsNew) this.#rememberIsr(key, topic, partition)
        if (was !== partition || areBrokersNew || areConfigsNew) this.#touched.set(key, [topic, partition])
      }
    }
    for (const [key, [{ id }]] of this.#touched) if (!image.topicsById.has(id)) this.#touched.delete(key)
  }

  #rememberIsr(key: string, topic: TopicImage, partition: PartitionImage): void {
    let history = this.#isrs.get(key)
    if (history === undefined) this.#isrs.set(key, history = new IsrHistory())
    history.add(this.#image.revision, partition.isr, this.minIsrOf(topic, partition))
  }

  #followConfigs(before: MetadataImage, image: MetadataImage): void {
    for (const [topic, configs] of image.topicConfigs) {
      const minIsr = configs.get("min.insync.replicas")
      if (!before.topicsByName.has(topic) || minIsr === before.topicConfigs.get(topic)?.get("min.insync.replicas")) continue
      this.counters.minIsrChanges++
      this.note("isr", `min.insync.replicas of ${topic} is ${minIsr}`)
    }
  }

  #followBrokers(before: MetadataImage, image: MetadataImage): void {
    for (const [id, broker] of image.brokers) {
      const was = before.brokers.get(id)
      if (was?.epoch !== broker.epoch) {
        this.note("broker", `is registered, epoch ${broker.epoch}${broker.uncleanEpoch === broker.epoch ? ", after an unclean stop" : ""}`, id)
        if (broker.uncleanEpoch === broker.epoch) this.counters.uncleanRestarts++
      } else if (broker.fenced && !was.fenced) this.note("broker", "is fenced", id)
    }
  }

  #followPartition(key: string, topic: TopicImage, was: PartitionImage | undefined, now: PartitionImage): void {
    const name = `${topic.name}-${now.partition}`
    if (was === undefined) {
      this.#lastLeader.set(key, now.leader)
      return this.note("leader", `made, replicas ${list(now.replicas)}, leader ${now.leader}`, now.leader, name)
    }
    if (now.leaderEpoch !== was.leaderEpoch && now.leader !== -1) {
      this.counters.elections++
      if (was.elr.includes(now.leader) && !was.isr.includes(now.leader)) this.counters.elrElections++
      const last = this.#lastLeader.get(key)
      if (topic.name === OFFSETS_TOPIC && last !== undefined && last !== now.leader) this.counters.coordinatorMoves++
      this.#lastLeader.set(key, now.leader)
    }
    const gone = without(was.isr, now.isr)
    const come = without(now.isr, was.isr)
    if (gone.length > 0) this.counters.isrShrinks++
    if (come.length > 0) this.counters.isrExpansions++
    if (now.addingReplicas.length > 0) this.#moving.add(key)
    else if (this.#moving.delete(key) && now.replicas.some((id) => !was.replicas.includes(id) || was.addingReplicas.includes(id))) {
      this.counters.reassignments++
    }
    const parts = [`epoch ${now.leaderEpoch}/${now.partitionEpoch}`, `ISR ${list(now.isr)}`]
    if (now.elr.length > 0) parts.push(`ELR ${list(now.elr)}`)
    if (now.lastKnownElr.length > 0) parts.push(`last known ${list(now.lastKnownElr)}`)
    if (now.addingReplicas.length + now.removingReplicas.length > 0) {
      parts.push(`replicas ${list(now.replicas)}, adding ${list(now.addingReplicas)}, removing ${list(now.removingReplicas)}`)
    }
    const isElection = now.leaderEpoch !== was.leaderEpoch || now.leader !== was.leader
    this.note(
      isElection ? "leader" : "isr",
      `${isElection ? now.leader === -1 ? "nobody leads" : `${now.leader} leads` : "ISR change"}, ${parts.join(", ")}`,
      now.leader === -1 ? undefined : now.leader,
      name
    )
  }

  // -- the brokers ---------------------------------------------------------------------------------------------

  #lookAt(broker: SimBroker, dirty: Map<string, readonly [TopicImage, PartitionImage]>): void {
    const running = broker.state === "running" || broker.state === "stopping" ? broker.broker : undefined
    if (running === undefined) return
    let mirrors = this.#mirrors.get(broker.id)
    if (mirrors === undefined) this.#mirrors.set(broker.id, mirrors = new Map())
    const { revision } = running.services.image()
    for (const partition of running.services.partitions.all()) {
      if (partition.isOffline || partition.isDeleted) continue
      if (partition.isLeaderThrottled || partition.isFollowerThrottled) this.#countThrottles(broker, partition)
      const key = `${partition.topicId}-${partition.partition}`
      let mirror = mirrors.get(key)
      if (mirror === undefined || mirror.partition !== partition) {
        mirror = new LogMirror(partition, broker.starts)
        mirrors.set(key, mirror)
      }
      const endBefore = mirror.logEndOffset
      const epochBefore = mirror.leaderEpoch
      const startBefore = mirror.logStartOffset
      let isNew: boolean
      try {
        isNew = mirror.look(revision)
      } catch {
        // Its disk failed under it: nobody can say what it has until it is started again.
        continue
      }
      if (!isNew) continue
      const topic = this.image().topicsById.get(partition.topicId)
      const image = topic?.partitions[partition.partition]
      if (topic === undefined || image === undefined) continue
      if (mirror.stableEnd < endBefore) {
        this.counters.truncations++
        this.note("truncate", `from ${endBefore} to ${mirror.stableEnd} in epoch ${mirror.leaderEpoch}`, broker.id, `${topic.name}-${image.partition}`)
      }
      if (mirror.role === "leader" && mirror.leaderEpoch === epochBefore && mirror.logStartOffset > startBefore) {
        this.counters.deletions++
        this.note("truncate", `begins at ${mirror.logStartOffset}, no longer at ${startBefore}`, broker.id, `${topic.name}-${image.partition}`)
      }
      if (mirror.role === "leader") this.#showLeader(broker.id, `${topic.name}-${image.partition}`, mirror, epochBefore)
      dirty.set(key, [topic, image])
    }
  }

  #countThrottles({ broker, id }: SimBroker, { isFollowerThrottled, isLeaderThrottled, partition, state, topicId }: Partition): void {
    if (state.replicas.length === state.isr.length) return
    const { monotonicMs, replicationQuotas } = broker!.services
    for (const [side, isMeant] of [["leader", isLeaderThrottled], ["follower", isFollowerThrottled]] as const) {
      const key = `${id} ${side} ${topicId}-${partition}`
      if (!isMeant || state.role !== side || !replicationQuotas[side].isExceeded(monotonicMs())) this.#heldBack.delete(key)
      else if (!this.#heldBack.has(key)) {
        this.#heldBack.add(key)
        this.counters.throttles++
      }
    }
  }

  #showLeader(broker: number, name: string, mirror: LogMirror, epochBefore: number): void {
    const text = `HW ${mirror.highWatermark} of ${mirror.logEndOffset}, epoch ${mirror.leaderEpoch}`
    const wanted = mirror.partition.state.isrInFlight
    const wantedText = wanted === undefined ? "" : list(wanted.isr)
    if (wantedText !== (this.#wanted.get(`${broker} ${name}`) ?? "")) {
      this.#wanted.set(`${broker} ${name}`, wantedText)
      this.note("isr", wantedText === "" ? "asks for no change of the ISR any more" : `asks for the ISR ${wantedText}`, broker, name)
    }
    if (mirror.leaderEpoch !== epochBefore) this.note("leader", `begins to lead: ${text}`, broker, name)
    else if (this.#shown.get(`${broker} ${name}`) !== text) this.note("watermark", text, broker, name)
    this.#shown.set(`${broker} ${name}`, text)
  }

  #snapshot(key: string, topic: TopicImage, partition: PartitionImage): PartitionSnapshot {
    const image = this.image()
    const replicas: Array<ReplicaSnapshot> = []
    const unclean = new Set<number>()
    for (const broker of this.#cluster.brokers.values()) {
      if (restartedUnclean(image, broker.id, partition)) unclean.add(broker.id)
      const mirror = this.#mirrors.get(broker.id)?.get(key)
      if (mirror === undefined || broker.broker === undefined || mirror.incarnation !== broker.starts) continue
      if (mirror.partition.isOffline || mirror.partition.isDeleted) continue
      const { isrInFlight, minInsyncReplicas, replicas: known } = mirror.partition.state
      replicas.push({
        brokerId: broker.id,
        incarnation: mirror.incarnation,
        role: mirror.role,
        leaderEpoch: mirror.leaderEpoch,
        partitionEpoch: mirror.partitionEpoch,
        isr: mirror.isr,
        isrInFlight: isrInFlight?.isr,
        minIsr: Math.min(minInsyncReplicas, Math.max(1, known.length)),
        passed: this.#isrs.get(key)?.between(mirror.revisionBefore, mirror.revision) ?? [],
        logStartOffset: mirror.logStartOffset,
        logEndOffset: mirror.logEndOffset,
        highWatermark: mirror.highWatermark,
        isAfterPowerLoss: broker.beganAfterPowerLoss,
        batches: mirror.batches,
        stableEnd: mirror.stableEnd
      })
    }
    return {
      topic: topic.name,
      topicId: topic.id,
      partition: partition.partition,
      isCompacted: topic.name === OFFSETS_TOPIC || (topicConfigOf(this.image(), topic.name).get("cleanup.policy")?.includes("compact") ?? false),
      controller: { ...partition, minIsr: this.minIsrOf(topic, partition) },
      replicas,
      unclean
    }
  }
}
