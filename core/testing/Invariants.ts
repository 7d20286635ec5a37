/**
 * What must hold of a partition at every moment, whatever fails within the fault models: the properties of KIP-966's
 * specification in TLA+, and a few that follow from Kafka's rules and tell a mistake nearer to where it is made.
 *
 * | invariant                    | what holds                                                                          |
 * |------------------------------|-------------------------------------------------------------------------------------|
 * | ValidIsrAndElr               | both are replicas, they don't overlap, a leader is in its ISR, no ELR beside a full ISR |
 * | EpochsGrow                   | leader epoch and partition epoch in the metadata store never go back               |
 * | OneLeaderPerEpoch            | in one leader epoch one broker leads                                                |
 * | ReplicationQuorumSuperset    | the maximal ISR of a leader that may commit has all who could be elected           |
 * | HighWatermarkMonotonic       | a leader's high watermark never goes back                                           |
 * | HighWatermarkUnderMinIsr     | and stands still while the ISR is smaller than min.insync.replicas                  |
 * | CommittedOnMinIsr            | what it passes is in the logs of min.insync.replicas replicas                       |
 * | LogMatching                  | below its high watermark every replica has the committed batches (and ConsistentRead with it: these are what consumers read) |
 * | EpochMatching                | one leader epoch writes one batch at an offset                                      |
 * | LeaderCompleteness           | a leader has every committed batch                                                  |
 * | LeaderCandidateCompleteness  | so has every running member of ISR and ELR                                          |
 * | NoDuplicateBatch             | a producer's batch is committed once, where its record was not deleted               |
 *
 * Kafka's words: the ISR are the replicas in sync, which a leader waits for before it lets its high watermark pass a
 * record. The ELR (eligible leader replicas, KIP-966) have left it and have all that is committed, so they may lead when
 * nobody of the ISR can. A leader epoch counts leaders, a partition epoch every change of leader, ISR or replicas.
 *
 * "Committed" is what a leader's high watermark has passed: this class remembers it, not the brokers. Observe a
 * partition after every step that may have changed it: what happens between two looks is seen as one change, but for the
 * ISRs that a leader heard of in between (`passed`), since it may commit under each of them.
 */
import type { BatchIdentity, ControllerPartition, PartitionSnapshot, ReplicaSnapshot } from "./InvariantsSnapshot.ts"

export type InvariantName =
  | "ValidIsrAndElr"
  | "EpochsGrow"
  | "OneLeaderPerEpoch"
  | "ReplicationQuorumSuperset"
  | "HighWatermarkMonotonic"
  | "HighWatermarkUnderMinIsr"
  | "CommittedOnMinIsr"
  | "LogMatching"
  | "EpochMatching"
  | "LeaderCompleteness"
  | "LeaderCandidateCompleteness"
  | "NoDuplicateBatch"

export interface BrokenInvariant {
  readonly invariant: InvariantName
  readonly topic: string
  readonly partition: number
  readonly message: string
}

interface SeenReplica {
  readonly incarnation: number
  readonly role: ReplicaSnapshot["role"]
  readonly leaderEpoch: number
  readonly highWatermark: number
  readonly logEndOffset: number
  /** Where its log ended when its last life did: a leader may hear late of what it had then. */
  readonly lastLifeEnd: number
  /** The high watermark that this life began with. */
  readonly firstHighWatermark: number
  /** Its log has the committed batches below this offset. */
  matchEnd: number
  /** Its batches below this offset went into `written`. */
  writtenEnd: number
}

interface PartitionMemory {
  readonly isCompacted: boolean
  /** All that is committed, from offset 0. */
  readonly committed: Array<BatchIdentity>
  committedEnd: number
  readonly replicas: Map<number, SeenReplica>
  readonly leaders: Map<number, number>
  /** Leader epoch and offset to CRC: what was written there. */
  readonly written: Map<string, number>
  /** Producer id, epoch and sequence to offset. */
  readonly sequences: Map<string, number>
  leaderEpoch: number
  partitionEpoch: number
}

const sameBatch = (a: BatchIdentity, b: BatchIdentity): boolean =>
  a.baseOffset === b.baseOffset && a.lastOffset === b.lastOffset && a.leaderEpoch === b.leaderEpoch && a.crc === b.crc

/** The index of the first batch that ends at or after `offset`. */
const batchFrom = (batches: ReadonlyArray<BatchIdentity>, offset: number): number => {
  let low = 0
  let high = batches.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (batches[middle]!.lastOffset < offset) low = middle + 1
    else high = middle
  }
  return low
}

const list = (ids: ReadonlyArray<number>): string => `{${[...ids].join(",")}}`

// ISR and min ISR change one after the other within one commit's metadata: the old of one may meet the new of the other.
const largestIsr = ({ isr, passed }: ReplicaSnapshot): number => passed.reduce((size, version) => Math.max(size, version.isr.length), isr.length)
const smallestMinIsr = ({ minIsr, passed }: ReplicaSnapshot): number => passed.reduce((size, version) => Math.min(size, version.minIsr), minIsr)

const isrAndElrFault = (controller: ControllerPartition): string | undefined => {
  const { elr, isr, leader, minIsr, replicas } = controller
  if (isr.some((id) => !replicas.includes(id))) return `ISR ${list(isr)} has a member that is no replica (${list(replicas)})`
  if (elr.some((id) => !replicas.includes(id))) return `ELR ${list(elr)} has a member that is no replica (${list(replicas)})`
  if (new Set(isr).size < isr.length || new Set(elr).size < elr.length) return `ISR ${list(isr)} or ELR ${list(elr)} has a member twice`
  if (elr.some((id) => isr.includes(id))) return `ISR ${list(isr)} and ELR ${list(elr)} overlap`
  if (isr.length >= minIsr && elr.length > 0) return `the ISR ${list(isr)} is full (min ISR ${minIsr}), and the ELR is ${list(elr)}`
  return leader !== -1 && !isr.includes(leader) ? `the leader ${leader} is not in its ISR ${list(isr)}` : undefined
}

export class Invariants {
  readonly #partitions: Map<string, PartitionMemory> = new Map()

  /** What is committed: consumers may read and producers may be told of what lies below. */
  committedEnd(topicId: string, partition: number): number {
    return this.#partitions.get(`${topicId}-${partition}`)?.committedEnd ?? 0
  }

  /** The committed batches from the first on, for the comparison in the end. */
  committed(topicId: string, partition: number): ReadonlyArray<BatchIdentity> {
    return this.#partitions.get(`${topicId}-${partition}`)?.committed ?? []
  }

  #memoryOf({ isCompacted, partition, topicId }: PartitionSnapshot): PartitionMemory {
    const key = `${topicId}-${partition}`
    let memory = this.#partitions.get(key)
    if (memory === undefined) {
      memory = {
        isCompacted,
        committed: [],
        committedEnd: 0,
        replicas: new Map(),
        leaders: new Map(),
        written: new Map(),
        sequences: new Map(),
        leaderEpoch: -1,
        partitionEpoch: -1
      }
      this.#partitions.set(key, memory)
    }
    return memory
  }

  /** Looks at a partition. @returns what does not hold; empty when all does */
  observe(snapshot: PartitionSnapshot): ReadonlyArray<BrokenInvariant> {
    const { partition, topic } = snapshot
    const memory = this.#memoryOf(snapshot)
    const broken: Array<BrokenInvariant> = []
    const found = (invariant: InvariantName, message: string): void => {
      broken.push({ invariant, topic, partition, message: `${topic}-${partition}: ${message}` })
    }
    this.#observeController(snapshot, memory, found)
    // Leaders first: what they commit in this look is committed for the others.
    for (const replica of snapshot.replicas) if (replica.role === "leader") this.#observeReplica(replica, snapshot, memory, found)
    for (const replica of snapshot.replicas) if (replica.role !== "leader") this.#observeReplica(replica, snapshot, memory, found)
    this.#observeCandidates(snapshot, memory, found)
    return broken
  }

  #observeController({ controller }: PartitionSnapshot, memory: PartitionMemory, found: Found): void {
    const fault = isrAndElrFault(controller)
    if (fault !== undefined) found("ValidIsrAndElr", fault)
    if (controller.leaderEpoch < memory.leaderEpoch || controller.partitionEpoch < memory.partitionEpoch) {
      found(
        "EpochsGrow",
        `leader epoch ${memory.leaderEpoch} and partition epoch ${memory.partitionEpoch} went back to ` +
          `${controller.leaderEpoch} and ${controller.partitionEpoch}`
      )
    }
    memory.leaderEpoch = controller.leaderEpoch
    memory.partitionEpoch = controller.partitionEpoch
  }

  #observeReplica(replica: ReplicaSnapshot, snapshot: PartitionSnapshot, memory: PartitionMemory, found: Found): void {
    const before = memory.replicas.get(replica.brokerId)
    const { brokerId, highWatermark, incarnation, leaderEpoch, logEndOffset, role } = replica
    const seen: SeenReplica = {
      incarnation,
      role,
      leaderEpoch,
      highWatermark,
      logEndOffset,
      firstHighWatermark: before?.incarnation === incarnation ? before.firstHighWatermark : highWatermark,
      lastLifeEnd: before === undefined ? 0 : before.incarnation === incarnation ? before.lastLifeEnd : before.logEndOffset,
      matchEnd: before === undefined || before.incarnation !== incarnation ? 0 : Math.min(before.matchEnd, replica.stableEnd),
      writtenEnd: before === undefined || before.incarnation !== incarnation ? 0 : Math.min(before.writtenEnd, replica.stableEnd)
    }
    memory.replicas.set(brokerId, seen)
    this.#written(replica, seen, memory, found)
    if (role === "leader") {
      this.#observeLeader(replica, before, snapshot, memory, found)
    } else if (highWatermark > memory.committedEnd && before?.role === "leader" && before.incarnation === incarnation) {
      // It committed and gave up its lead between two looks: a leader that stood still and heard of both at once.
      this.#commit(replica, snapshot, memory, found)
    } else if (highWatermark > memory.committedEnd) {
      found("LogMatching", `${role} ${brokerId} has the high watermark ${highWatermark}, and ${memory.committedEnd} is committed`)
    }
    this.#match(replica, seen, memory)
    // Below its log start it has nothing, and owes nothing.
    const isClaim = role !== "leader" && replica.isAfterPowerLoss && highWatermark <= seen.firstHighWatermark
    const owed = isClaim ? 0 : Math.min(highWatermark, memory.committedEnd)
    if (seen.matchEnd < owed) {
      found(
        "LogMatching",
        `${role} ${brokerId} (epoch ${leaderEpoch}, high watermark ${highWatermark}, log end ${logEndOffset}) has not what is ` +
          `committed at offset ${seen.matchEnd}: ${this.#describe(replica, memory, seen.matchEnd)}`
      )
      // Told once, not at every look from here on.
      seen.matchEnd = owed
    }
  }

  #observeLeader(
    replica: ReplicaSnapshot,
    before: SeenReplica | undefined,
    snapshot: PartitionSnapshot,
    memory: PartitionMemory,
    found: Found
  ): void {
    const { brokerId, highWatermark, leaderEpoch } = replica
    const leader = memory.leaders.get(leaderEpoch)
    if (leader === undefined) memory.leaders.set(leaderEpoch, brokerId)
    else if (leader !== brokerId) found("OneLeaderPerEpoch", `${leader} and ${brokerId} lead in leader epoch ${leaderEpoch}`)

    const isSameLeader = before?.role === "leader" && before.leaderEpoch === leaderEpoch && before.incarnation === replica.incarnation
    if (isSameLeader && highWatermark < before.highWatermark) {
      found("HighWatermarkMonotonic", `leader ${brokerId} took its high watermark back from ${before.highWatermark} to ${highWatermark}`)
    }
    if (isSameLeader && highWatermark > before.highWatermark && largestIsr(replica) < smallestMinIsr(replica)) {
      found(
        "HighWatermarkUnderMinIsr",
        `leader ${brokerId} moved its high watermark from ${before.highWatermark} to ${highWatermark} with the ISR ` +
          `${list(replica.isr)}, and min.insync.replicas is ${replica.minIsr}`
      )
    }
    if (highWatermark > memory.committedEnd) this.#commit(replica, snapshot, memory, found)

    const { controller } = snapshot
    if (leaderEpoch === controller.leaderEpoch && replica.isr.length >= replica.minIsr) {
      const maximal = new Set([...replica.isr, ...replica.isrInFlight ?? []])
      const missing = [...controller.isr, ...controller.elr].filter((id) => !maximal.has(id))
      if (missing.length > 0) {
        found(
          "ReplicationQuorumSuperset",
          `leader ${brokerId} (epoch ${leaderEpoch}) commits without ${list(missing)}: its maximal ISR is ${list([...maximal])}, ` +
            `eligible are ISR ${list(controller.isr)} and ELR ${list(controller.elr)}`
        )
      }
    }
  }

  /** A leader's high watermark has passed what was committed so far. */
  #commit(replica: ReplicaSnapshot, snapshot: PartitionSnapshot, memory: PartitionMemory, found: Found): void {
    const { batches, brokerId, highWatermark, leaderEpoch } = replica
    const minIsr = smallestMinIsr(replica)
    const holders = new Set([brokerId])
    for (const { brokerId, logEndOffset } of snapshot.replicas) if (logEndOffset >= highWatermark) holders.add(brokerId)
    // Who is down, or back from it, had it when it was last seen: its leader cannot know better.
    for (const [id, { lastLifeEnd, logEndOffset }] of memory.replicas) {
      if (Math.max(lastLifeEnd, logEndOffset) >= highWatermark) holders.add(id)
    }
    if (holders.size < minIsr) {
      found(
        "CommittedOnMinIsr",
        `leader ${brokerId} (epoch ${leaderEpoch}) committed up to ${highWatermark}, which only ${list([...holders])} have, and ` +
          `min.insync.replicas is ${minIsr}`
      )
    }
    let end = Math.max(memory.committedEnd, replica.logStartOffset)
    for (let index = batchFrom(batches, memory.committedEnd); index < batches.length; index++) {
      const batch = batches[index]!
      if (batch.lastOffset >= highWatermark) break
      memory.committed.push(batch)
      if (batch.baseOffset <= end) end = batch.lastOffset + 1
      if (batch.producerId < 0 || batch.isControl || batch.baseSequence < 0) continue
      const sequence = `${batch.producerId}/${batch.producerEpoch}/${batch.baseSequence}`
      const earlier = memory.sequences.get(sequence)
      // A leader that has only what was not deleted does not know the others' producers, as in Kafka.
      if (earlier !== undefined && earlier !== batch.baseOffset && earlier >= replica.logStartOffset) {
        found(
          "NoDuplicateBatch",
          `the batch of producer ${batch.producerId} (epoch ${batch.producerEpoch}, sequence ${batch.baseSequence}) is at ${earlier} and at ${batch.baseOffset}`
        )
      }
      memory.sequences.set(sequence, batch.baseOffset)
    }
    // Else there would be nothing to compare the others with.
    if (!memory.isCompacted && end < highWatermark) {
      found("LeaderCompleteness", `leader ${brokerId} of epoch ${leaderEpoch} committed up to ${highWatermark}, and has no batch at ${end}`)
    }
    memory.committedEnd = highWatermark
  }

  /** How far a replica's log is the committed one. */
  #match({ batches, logEndOffset, logStartOffset }: ReplicaSnapshot, seen: SeenReplica, memory: PartitionMemory): void {
    const { committed, committedEnd } = memory
    const limit = Math.min(committedEnd, logEndOffset)
    const from = Math.max(seen.matchEnd, logStartOffset)
    if (from >= limit) {
      seen.matchEnd = Math.max(seen.matchEnd, Math.min(from, committedEnd))
      return
    }
    let mine = batchFrom(batches, from)
    let theirs = batchFrom(committed, from)
    seen.matchEnd = from
    if (memory.isCompacted) {
      for (; mine < batches.length; mine++) {
        const batch = batches[mine]!
        const expected = committed[batchFrom(committed, batch.lastOffset)]
        if (expected?.baseOffset === batch.baseOffset && expected.leaderEpoch !== batch.leaderEpoch) {
          seen.matchEnd = batch.baseOffset
          return
        }
      }
      seen.matchEnd = limit
      return
    }
    for (; theirs < committed.length; mine++, theirs++) {
      const batch = batches[mine]
      const expected = committed[theirs]!
      if (batch === undefined || !sameBatch(batch, expected)) return
      seen.matchEnd = expected.lastOffset + 1
    }
    seen.matchEnd = limit
  }

  #describe({ batches }: ReplicaSnapshot, { committed }: PartitionMemory, offset: number): string {
    const show = (batch: BatchIdentity | undefined): string =>
      batch === undefined ? "nothing" : `${batch.baseOffset}-${batch.lastOffset} of epoch ${batch.leaderEpoch}`
    return `it has ${show(batches[batchFrom(batches, offset)])}, committed is ${show(committed[batchFrom(committed, offset)])}`
  }

  #written({ batches, brokerId }: ReplicaSnapshot, seen: SeenReplica, memory: PartitionMemory, found: Found): void {
    for (let index = memory.isCompacted ? batches.length : batchFrom(batches, seen.writtenEnd); index < batches.length; index++) {
      const { baseOffset, crc, leaderEpoch } = batches[index]!
      const key = `${leaderEpoch}/${baseOffset}`
      const known = memory.written.get(key)
      if (known === undefined) memory.written.set(key, crc)
      else if (known !== crc) {
        found("EpochMatching", `${brokerId} has another batch at offset ${baseOffset} of leader epoch ${leaderEpoch} than was written there first`)
      }
    }
    seen.writtenEnd = seen.logEndOffset
  }

  /** Who leads, and who could. */
  #observeCandidates({ controller, replicas, unclean }: PartitionSnapshot, memory: PartitionMemory, found: Found): void {
    for (const replica of replicas) {
      const { brokerId, leaderEpoch, logEndOffset, role } = replica
      if (unclean.has(brokerId)) continue
      const seen = memory.replicas.get(brokerId)!
      this.#match(replica, seen, memory)
      if (seen.matchEnd >= memory.committedEnd) continue
      const where = `has committed batches only up to ${seen.matchEnd} (log end ${logEndOffset}), committed are those up to ` +
        `${memory.committedEnd}: ${this.#describe(replica, memory, seen.matchEnd)}`
      if (role === "leader" && leaderEpoch === controller.leaderEpoch) {
        found("LeaderCompleteness", `leader ${brokerId} of epoch ${leaderEpoch} ${where}`)
      } else if (controller.isr.includes(brokerId) || controller.elr.includes(brokerId)) {
        const place = controller.isr.includes(brokerId) ? `the ISR ${list(controller.isr)}` : `the ELR ${list(controller.elr)}`
        found("LeaderCandidateCompleteness", `${brokerId}, which is in ${place} of epoch ${controller.leaderEpoch}, ${where}`)
      }
    }
  }
}

type Found = (invariant: InvariantName, message: string) => void
