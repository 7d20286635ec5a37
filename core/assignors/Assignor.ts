/**
 * What an assignor is: it spreads the partitions of a group's topics over the group's members. It runs in the member
 * that the coordinator made the leader of a classic group, on what every member said of itself in JoinGroup.
 *
 * An assignor is pure: the same members and topics, in the same order, give the same assignment in every process.
 * What a member knows from earlier rounds comes in as {@link LastAssignment}; nothing is kept inside.
 */

/** Partitions by topic, as in ConsumerProtocolSubscription and ConsumerProtocolAssignment. */
export interface TopicPartitions {
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
}

/** A member and its ConsumerProtocolSubscription: the decoded message's fields with the member's identity added. */
export interface MemberSubscription {
  readonly memberId: string
  /** `group.instance.id` of a static member (KIP-345), else null. Static members keep their place in the order. */
  readonly groupInstanceId: string | null
  readonly topics: ReadonlyArray<string>
  /** What {@link Assignor.subscriptionUserData} of this member's own assignor wrote. */
  readonly userData: Uint8Array | null
  /** What the member holds as it joins: empty when its protocol is eager. From version 1 of the message. */
  readonly ownedPartitions: ReadonlyArray<TopicPartitions>
  /** The generation in which it owned them; -1 where it does not say (versions 0 and 1). */
  readonly generationId: number
  /** `client.rack` (KIP-881), from version 3; null for none. */
  readonly rackId: string | null
}

export interface AssignorTopic {
  /** How many partitions the topic has; they are 0 to partitions - 1. */
  readonly partitions: number
  /** By partition, the racks of its replicas (KIP-881). Absent or empty: not known. */
  readonly racks?: ReadonlyArray<ReadonlyArray<string>>
}

/** What this member was given when the last round ended. */
export interface LastAssignment {
  readonly generationId: number
  readonly partitions: ReadonlyArray<TopicPartitions>
}

/** By member id (every member is there, also one that gets nothing), by topic, its partitions. */
export type GroupAssignment = ReadonlyMap<string, ReadonlyMap<string, ReadonlyArray<number>>>

/** EAGER: members give up everything before they join. COOPERATIVE (KIP-429): they keep it, and give up what moves. */
export type RebalanceProtocol = "EAGER" | "COOPERATIVE"

export interface Assignor {
  /** The protocol's name in JoinGroup: all members of a group must share one. */
  readonly name: string
  /** The best one first. A member uses the best that all assignors it is configured with support. */
  readonly supportedProtocols: ReadonlyArray<RebalanceProtocol>
  /**
   * The userData of this member's next subscription; null for none.
   * @param last what it was given by this assignor the last time; null before its first round
   */
  readonly subscriptionUserData: (topics: ReadonlyArray<string>, last: LastAssignment | null) => Uint8Array | null
  /**
   * Spreads the partitions. A subscribed topic that `topics` does not name, or that has no partition, is left out.
   * @param topics the subscribed topics that exist
   * @param members in the order of the JoinGroup answer
   */
  readonly assign: (
    topics: ReadonlyMap<string, AssignorTopic>,
    members: ReadonlyArray<MemberSubscription>
  ) => GroupAssignment
}
