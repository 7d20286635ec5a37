/** What the invariants look at: a partition as the metadata store has it, and each of its replicas as its broker has it. */
import type { PartitionImage } from "../cluster/MetadataImage.ts"

/** A batch, without its records: two with one identity have the same bytes. */
export interface BatchIdentity {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  readonly crc: number
  /** -1 without one. */
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly isControl: boolean
}

/** The ISR and the effective `min.insync.replicas`, as the metadata store had both at one time. */
export interface IsrVersion {
  readonly isr: ReadonlyArray<number>
  readonly minIsr: number
}

/** A replica on a broker whose process runs and has registered. */
export interface ReplicaSnapshot {
  readonly brokerId: number
  /** Counts the starts of this broker's process. */
  readonly incarnation: number
  readonly role: "none" | "leader" | "follower"
  readonly leaderEpoch: number
  readonly partitionEpoch: number
  /** As committed, to its knowledge. */
  readonly isr: ReadonlyArray<number>
  /** The ISR of a change that it asked for and that is not settled. */
  readonly isrInFlight: ReadonlyArray<number> | undefined
  /** Effective: not above the number of replicas. */
  readonly minIsr: number
  /**
   * All that its broker's metadata said in the step that changed the replica last, from what it said before that step on:
   * a broker that hears of several commits at once obeys each of them, one after the other.
   */
  readonly passed: ReadonlyArray<IsrVersion>
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly highWatermark: number
  /** Its process began with what a loss of power had left: what it then knows of committed offsets may be of other records. */
  readonly isAfterPowerLoss: boolean
  /** Of its log, from the one with the log start to the end. */
  readonly batches: ReadonlyArray<BatchIdentity>
  /** What lies below has not changed since the snapshot before; 0 when that is not known. */
  readonly stableEnd: number
}

/** The partition as committed to the metadata store. */
export interface ControllerPartition extends Omit<PartitionImage, "partition"> {
  /** Effective `min.insync.replicas`. */
  readonly minIsr: number
}

export interface PartitionSnapshot {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  /** Batches below the end may be gone or hold fewer records than they did: what is left of them is still in its place. */
  readonly isCompacted: boolean
  readonly controller: ControllerPartition
  readonly replicas: ReadonlyArray<ReplicaSnapshot>
  /** Brokers that registered after the partition's last change, and not after a clean stop: the controller has not looked at them yet. */
  readonly unclean: ReadonlySet<number>
}
