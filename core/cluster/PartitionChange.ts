/**
 * What a change of a partition's replicas or ISR brings with it: ELR, the end of a reassignment, a leader. Pure; the
 * decisions in PartitionDecisions.ts, Reassignments.ts and LeaderElections.ts stand on it. KIP-455 (reassignment),
 * KIP-966 (eligible leader replicas), Kafka's PartitionChangeBuilder.
 *
 * A partition is quorate when ISR and ELR together are at least min(min.insync.replicas, number of replicas): so many
 * replicas surely have every committed record, and fewer may lose their unsynced pages without losing one. What this
 * file decides never makes a quorate partition another, but for replicas that are known to have lost their tail.
 */
import { isActive, type MetadataImage, type PartitionImage, replicaName } from "./MetadataImage.ts"

export type Replicas = ReadonlyArray<number>

export const without = (replicas: Replicas, left: Replicas): Replicas => replicas.filter((id) => !left.includes(id))
export const union = (...lists: ReadonlyArray<Replicas>): Replicas => [...new Set(lists.flat())]
export const same = (a: Replicas, b: Replicas): boolean => a.length === b.length && a.every((id, index) => id === b[index])
const within = (replicas: Replicas, all: Replicas): Replicas => replicas.filter((id) => all.includes(id))
const hasAll = (replicas: Replicas, wanted: Replicas): boolean => wanted.every((id) => replicas.includes(id))

/** May lead and be in an ISR: its session lives, it does not want to stop (KIP-841), and the replica is not offline. */
export const liveIn = (image: MetadataImage, topicId: string, partition: number) => (id: number): boolean => {
  const broker = image.brokers.get(id)
  if (broker === undefined || !isActive(broker)) return false
  return broker.offlineReplicas.size === 0 || !broker.offlineReplicas.has(replicaName(topicId, partition))
}

export const isReassigning = ({ addingReplicas, removingReplicas }: PartitionImage): boolean =>
  addingReplicas.length > 0 || removingReplicas.length > 0

/**
 * ELR after the ISR becomes `isr`: who leaves an ISR below min.insync.replicas stays eligible, since the high
 * watermark stood still from then on; `unclean` are those whose log may have lost its tail. Who is no replica (any
 * more) is not eligible.
 */
export const withIsr = (partition: PartitionImage, isr: Replicas, minIsr: number, unclean: Replicas): PartitionImage => {
  if (isr.length >= Math.min(minIsr, partition.replicas.length)) return { ...partition, isr, elr: [] }
  const candidates = within(union(partition.elr, partition.isr), partition.replicas)
  return { ...partition, isr, elr: without(without(candidates, isr), unclean) }
}

/**
 * Who led when the ISR became empty is known as the last leader, in `lastKnownElr` as in Kafka: when nobody is left who
 * surely has every committed record, it has them all if only processes died, and no machine.
 */
export const withLastLeader = (before: PartitionImage, next: PartitionImage): PartitionImage => {
  const [member] = before.isr
  if (next.isr.length > 0 || member === undefined) return next
  if (before.leader !== -1) return { ...next, lastKnownElr: [before.leader] }
  // Without a leader an ISR has members only where an older version of this broker wrote it.
  return before.lastKnownElr.length === 1 ? next : { ...next, lastKnownElr: [member] }
}

/**
 * The partition with a leader, when it may have one. In this order: the live members of the ISR, of the ELR, the
 * one that was last known when both are empty (its loss is bounded by what it had not synced), any live replica when
 * unclean elections are allowed. An ISR whose members are all gone becomes part of the ELR when one of that leads.
 */
const elect = (partition: PartitionImage, isLive: (id: number) => boolean, unclean: boolean): PartitionImage => {
  const first = (eligible: (id: number) => boolean): number | undefined =>
    partition.replicas.find((id) => eligible(id) && isLive(id))
  const inIsr = first((id) => partition.isr.includes(id))
  if (inIsr !== undefined) return { ...partition, leader: inIsr, lastKnownElr: [] }
  const inElr = first((id) => partition.elr.includes(id))
  if (inElr !== undefined) {
    const elr = without(union(partition.elr, partition.isr), [inElr])
    return { ...partition, leader: inElr, isr: [inElr], elr, lastKnownElr: [] }
  }
  const none = partition.isr.length === 0 && partition.elr.length === 0
  const lastKnown = none && partition.lastKnownElr.length === 1 ? partition.lastKnownElr[0] : undefined
  const last = lastKnown !== undefined && isLive(lastKnown) ? lastKnown : unclean ? first(() => true) : undefined
  if (last !== undefined) return { ...partition, leader: last, isr: [last], elr: [], lastKnownElr: [] }
  return { ...partition, leader: -1 }
}

/** The same, with the ELR as it is after it: a leader out of the ELR may make the ISR large enough again. */
export const electedIn = (
  partition: PartitionImage,
  isLive: (id: number) => boolean,
  unclean: boolean,
  minIsr: number
): PartitionImage => withLeader(elect(partition, isLive, unclean), minIsr)

const withLeader = (elected: PartitionImage, minIsr: number): PartitionImage =>
  withIsr({ ...elected, elr: without(elected.elr, elected.isr) }, elected.isr, minIsr, [])

/** So many replicas surely have every committed record, as far as the partition can be held to it. */
export const quorumOf = ({ elr, isr, replicas }: PartitionImage, minIsr: number): number =>
  Math.min(minIsr, replicas.length, union(isr, elr).length)

/**
 * The partition with that ISR and its reassignment ended; undefined when that cannot be yet. It ends when the ISR has
 * every replica that it adds, and, when it removes more than it adds, every replica that stays. Beyond Kafka's rule
 * those that stay must be a quorum where all were one: with min.insync.replicas=2 a record that replicas 3 and 4
 * acknowledged is not left to 4 alone because 1 and 2 lag while 3 goes.
 */
export const completed = (
  partition: PartitionImage,
  isr: Replicas,
  minIsr: number,
  unclean: Replicas = []
): PartitionImage | undefined => {
  if (!isReassigning(partition)) return undefined
  const { addingReplicas, removingReplicas } = partition
  const replicas = without(partition.replicas, removingReplicas)
  const stays = without(isr, removingReplicas)
  if (stays.length === 0 || replicas.length === 0 || !hasAll(stays, addingReplicas)) return undefined
  if (addingReplicas.length < removingReplicas.length && !hasAll(stays, replicas)) return undefined
  const done = withIsr({ ...partition, replicas, addingReplicas: [], removingReplicas: [] }, stays, minIsr, unclean)
  const wanted = Math.min(Math.max(quorumOf(partition, minIsr), quorumOf({ ...partition, isr }, minIsr)), replicas.length)
  return quorumOf(done, minIsr) >= wanted ? done : undefined
}

export interface ChangeTarget {
  /** Default: as they are. */
  readonly isr?: Replicas
  readonly replicas?: Replicas
  readonly addingReplicas?: Replicas
  readonly removingReplicas?: Replicas
  /** Members of ISR or ELR whose log may have lost its tail, and who are not in `isr`. Default: none. */
  readonly unclean?: Replicas
}

/**
 * `Online` gives a partition a leader that has none, or whose leader is no member of the ISR any more; `Preferred` asks
 * for the first replica besides; `Unclean` takes any live replica rather than none.
 */
export type Election = "Online" | "Preferred" | "Unclean"

export interface ChangeContext {
  readonly minInSyncReplicas: number
  readonly isLive: (id: number) => boolean
  readonly election: Election
}

export interface ChangedPartition {
  readonly before: PartitionImage
  readonly after: PartitionImage
  /** The new leader was in neither ISR nor ELR: acknowledged records may be gone, and whoever commits this says so. */
  readonly unclean: boolean
}

const leadable = (partition: PartitionImage, { election, isLive }: ChangeContext): PartitionImage => {
  const isValid = (id: number | undefined): id is number =>
    id !== undefined && isLive(id) &&
    (partition.isr.includes(id) || (partition.isr.length === 0 && partition.elr.includes(id)))
  const preferred = partition.replicas[0]
  if (election === "Preferred" && isValid(preferred)) {
    return partition.isr.includes(preferred)
      ? { ...partition, leader: preferred }
      : { ...elect({ ...partition, replicas: [preferred] }, isLive, false), replicas: partition.replicas }
  }
  return isValid(partition.leader) ? partition : elect(partition, isLive, election === "Unclean")
}

/**
 * The partition as the target says, its reassignment ended when it can be, with a leader when it may have one;
 * undefined when nothing changes. The leader epoch rises with another leader, and when a replica goes: what it still
 * sends is refused then.
 */
export const changePartition = (
  before: PartitionImage,
  target: ChangeTarget,
  context: ChangeContext
): ChangedPartition | undefined => {
  const { minInSyncReplicas } = context
  const { isr = before.isr, unclean: lost = [], ...replicas } = target
  let next: PartitionImage = { ...before, ...replicas }
  next = completed(next, isr, minInSyncReplicas, lost) ?? withIsr(next, isr, minInSyncReplicas, lost)
  next = withLeader(leadable(next, context), minInSyncReplicas)
  // The leader came out of the ELR, and was what a reassignment waited for.
  const ended = completed(next, next.isr, minInSyncReplicas)
  if (ended !== undefined) next = withLeader(leadable(ended, context), minInSyncReplicas)
  if (samePartition(before, next)) return undefined
  const led = next.leader !== before.leader
  const leaderEpoch = led || !hasAll(next.replicas, before.replicas) ? before.leaderEpoch + 1 : before.leaderEpoch
  const unclean = led && next.leader !== -1 && !before.isr.includes(next.leader) && !before.elr.includes(next.leader)
  return { before, after: { ...next, leaderEpoch, partitionEpoch: before.partitionEpoch + 1 }, unclean }
}

/** In all but the epochs. */
export const samePartition = (a: PartitionImage, b: PartitionImage): boolean =>
  a.leader === b.leader && same(a.replicas, b.replicas) && same(a.isr, b.isr) && same(a.elr, b.elr) &&
  same(a.lastKnownElr, b.lastKnownElr) && same(a.addingReplicas, b.addingReplicas) &&
  same(a.removingReplicas, b.removingReplicas)
