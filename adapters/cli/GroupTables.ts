/** The tables of `kafka-consumer-groups`, to the byte. */
import { grownCapacity, INITIAL_CAPACITY, javaHash, slotOf } from "../../core/assignors/HashOrder.ts"
import type { GroupDescription, GroupListing, GroupMember } from "../../core/client/Admin.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import type { PartitionOffset } from "../../core/client/Consumer.ts"

const NONE = "-"

/** `%-15s %-10s …`: each cell is as wide at least; the last has no width where `undefined` stands. */
const row = (widths: ReadonlyArray<number | undefined>, cells: ReadonlyArray<string>): string =>
  cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(" ")

/** The longest of them, or the least width. */
const widest = (least: number, cells: Iterable<string>): number => Math.max(least, ...[...cells].map((cell) => cell.length))

const text = (value: number | string | undefined): string => (value === undefined ? NONE : String(value))

/** As a Java `HashMap` gives them back that they were put into one by one. */
export const inMapOrder = <A>(items: ReadonlyArray<A>, hash: (item: A) => number): ReadonlyArray<A> => {
  const capacity = grownCapacity(INITIAL_CAPACITY, items.length)
  return [...items].sort((a, b) => slotOf(hash(a), capacity) - slotOf(hash(b), capacity))
}

/** Of Java's `TopicPartition`. */
export const partitionHash = ({ partition, topic }: TopicPartition): number => (Math.imul(31, 31 + partition) + javaHash(topic)) | 0

// -- list ------------------------------------------------------------------------------------------------------------

const capital = (word: string): string => (word === "" ? "Unknown" : word[0]!.toUpperCase() + word.slice(1))

/** A line each; with states or types a table. */
export const listLines = (groups: ReadonlyArray<GroupListing>, showType: boolean, showState: boolean): ReadonlyArray<string> => {
  const ordered = inMapOrder(groups, (group) => javaHash(group.groupId))
  if (!showType && !showState) return ordered.map((group) => group.groupId)
  const width = widest(15, ordered.map((group) => group.groupId)) + 10
  const line = (group: string, type: string, state: string): string =>
    row([width, 20, 20], [group, ...(showType ? [type] : []), ...(showState ? [state] : [])])
  return [line("GROUP", "TYPE", "STATE"), ...ordered.map(({ groupId, state, type }) => line(groupId, capital(type), capital(state)))]
}

// -- describe --------------------------------------------------------------------------------------------------------

export interface OffsetRow {
  readonly group: string
  readonly topic: string | undefined
  readonly partition: number | undefined
  readonly leaderEpoch: number | undefined
  /** Committed. */
  readonly offset: number | undefined
  /** Undefined: the partition has no leader. */
  readonly endOffset: number | undefined
  readonly memberId: string
  readonly host: string
  readonly clientId: string
}

/**
 * A row for each partition that a member owns, members with many first, then for those with an offset and no owner.
 * @param endOffsets by `topic-partition`
 */
export const offsetRows = (
  group: GroupDescription,
  committed: ReadonlyArray<PartitionOffset>,
  endOffsets: ReadonlyMap<string, number>
): ReadonlyArray<OffsetRow> => {
  const key = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`
  const offsets = new Map(committed.map((offset) => [key(offset), offset]))
  const rowsOf = (partitions: ReadonlyArray<TopicPartition>, member: Pick<OffsetRow, "memberId" | "host" | "clientId">): ReadonlyArray<OffsetRow> =>
    [...partitions].sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1)).map((one) => {
      const saved = offsets.get(key(one))
      const epoch = saved?.leaderEpoch
      return {
        group: group.groupId,
        topic: one.topic,
        partition: one.partition,
        leaderEpoch: epoch === undefined || epoch < 0 ? undefined : epoch,
        offset: saved?.offset,
        endOffset: endOffsets.get(key(one)),
        ...member
      }
    })
  const owners = group.members.filter((member) => member.assignment.length > 0).sort((a, b) => b.assignment.length - a.assignment.length)
  const owned = new Set(owners.flatMap((member) => member.assignment.map(key)))
  return [
    ...owners.flatMap(({ assignment, clientHost, clientId, memberId }) => rowsOf(assignment, { memberId, host: clientHost, clientId })),
    ...rowsOf(committed.filter((offset) => !owned.has(key(offset))), { memberId: NONE, host: NONE, clientId: NONE })
  ]
}

/** What is printed of a group, in pieces for the two outputs: what stands on standard error is about the group's state. */
export const offsetsTable = (rows: ReadonlyArray<OffsetRow>, verbose: boolean): string => {
  const widths = [
    widest(15, rows.map((one) => one.group)),
    widest(15, rows.map((one) => text(one.topic))),
    10,
    ...(verbose ? [15] : []),
    15,
    15,
    15,
    widest(15, rows.map((one) => one.memberId)),
    widest(15, rows.map((one) => one.host))
  ]
  const line = (cells: ReadonlyArray<string>): string => `\n${row(widths, verbose ? cells : cells.filter((_, index) => index !== 3))}`
  const head = ["GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"]
  const lines = rows.map((one) => {
    const lag = one.offset === undefined || one.offset === -1 || one.endOffset === undefined ? undefined : one.endOffset - one.offset
    return line([
      one.group, text(one.topic), text(one.partition), text(one.leaderEpoch), text(one.offset), text(one.endOffset), text(lag),
      one.memberId, one.host, one.clientId
    ])
  })
  return `${line(head)}${lines.join("")}\n`
}

/** `orders:0,1;payments:2` */
const assignmentText = (assignment: ReadonlyArray<TopicPartition>): string => {
  if (assignment.length === 0) return NONE
  const byTopic = new Map<string, Array<number>>()
  for (const { partition, topic } of assignment) byTopic.set(topic, [...byTopic.get(topic) ?? [], partition])
  return [...byTopic].map(([topic, partitions]) => `${topic}:${partitions.sort((a, b) => a - b).join(",")}`).sort().join(";")
}

export const membersTable = (group: Pick<GroupDescription, "groupId" | "members">, verbose: boolean): string => {
  const { groupId, members } = group
  const withInstance = members.some((member) => (member.groupInstanceId ?? "") !== "")
  const of = (least: number, cell: (member: GroupMember) => string): number => widest(least, members.map(cell))
  const widths = [
    members.length === 0 ? 15 : Math.max(15, groupId.length),
    of(15, (member) => member.memberId),
    ...(withInstance ? [of(17, (member) => member.groupInstanceId ?? "")] : []),
    of(15, (member) => member.clientHost),
    of(15, (member) => member.clientId),
    15
  ]
  const assignmentWidth = of(20, (member) => assignmentText(member.assignment))
  const line = (cells: ReadonlyArray<string>, more: ReadonlyArray<string>): string => {
    const shown = withInstance ? cells : cells.filter((_, index) => index !== 2)
    return `${row(widths, shown)} ${verbose ? row([15, assignmentWidth, 15, 20], more) : ""}\n`
  }
  const head = line(
    ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"],
    ["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"]
  )
  const lines = members.map((member) =>
    line(
      [groupId, member.memberId, member.groupInstanceId ?? "", member.clientHost, member.clientId, String(member.assignment.length)],
      // the epochs and the target are those of KIP-848, which classic groups don't have
      [NONE, assignmentText(member.assignment), NONE, NONE]
    )
  )
  return `\n${head}${lines.join("")}`
}

/** @param coordinator `host:port  (id)` */
export const stateTable = (group: GroupDescription, coordinator: string, verbose: boolean): string => {
  const widths = [Math.max(15, group.groupId.length), Math.max(25, coordinator.length), 20, 20, ...(verbose ? [15, 25] : [])]
  const line = (cells: ReadonlyArray<string>): string =>
    `\n${row(widths, verbose ? cells : cells.filter((_, index) => index !== 4 && index !== 5))}`
  return line(["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH", "#MEMBERS"]) +
    line([group.groupId, coordinator, group.protocol === "" ? NONE : group.protocol, group.state, NONE, NONE, String(group.members.length)]) + "\n"
}

/** What is told of a group's state before its table; undefined: nothing. */
export const stateNote = (groupId: string, state: string): { readonly text: string; readonly error: boolean } | undefined => {
  switch (state) {
    case "Dead":
      return { text: `\nError: Consumer group '${groupId}' does not exist.`, error: false }
    case "Empty":
      return { text: `\nConsumer group '${groupId}' has no active members.`, error: true }
    case "PreparingRebalance":
    case "CompletingRebalance":
    case "Assigning":
    case "Reconciling":
      return { text: `\nWarning: Consumer group '${groupId}' is rebalancing.`, error: true }
    default:
      return undefined
  }
}

// -- offsets ---------------------------------------------------------------------------------------------------------

/** By group, in the order of Java's maps. */
export type NewOffsets = ReadonlyMap<string, ReadonlyArray<PartitionOffset>>

const ordered = (offsets: NewOffsets): ReadonlyArray<readonly [string, ReadonlyArray<PartitionOffset>]> =>
  inMapOrder([...offsets], ([group]) => javaHash(group)).map(([group, partitions]) => [group, inMapOrder(partitions, partitionHash)] as const)

export const resetTable = (offsets: NewOffsets): string => {
  const groups = ordered(offsets)
  const widths = [
    widest(15, groups.map(([group]) => group)),
    widest(15, groups.flatMap(([, partitions]) => partitions.map(({ topic }) => topic))),
    10
  ]
  const line = (...cells: ReadonlyArray<string>): string => `\n${row(widths, cells)}`
  const rows = groups.flatMap(([group, partitions]) =>
    partitions.map(({ offset, partition, topic }) => line(group, topic, String(partition), String(offset)))
  )
  return `${groups.length === 0 ? "" : line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")}${rows.join("")}\n`
}

const csvCell = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll("\"", "\"\"")}"` : cell)

/** What `--from-file` reads. @param oneGroup without a column for the group */
export const resetCsv = (offsets: NewOffsets, oneGroup: boolean): string => {
  const lines = ordered(offsets).flatMap(([group, partitions]) =>
    partitions.map(({ offset, partition, topic }) => [...(oneGroup ? [] : [csvCell(group)]), topic, partition, offset].join(","))
  )
  return lines.map((line) => `${line}\n`).join("") + "\n"
}

export interface DeletedOffset {
  readonly topic: string
  /** Undefined: the topic could not be looked at. */
  readonly partition: number | undefined
  /** Undefined: it is deleted. */
  readonly error: string | undefined
}

export const deletedTable = (rows: ReadonlyArray<DeletedOffset>): string => {
  const widths = [widest(15, rows.map(({ topic }) => topic)), 10, 15]
  const line = (...cells: ReadonlyArray<string>): string => `\n${row(widths, cells)}`
  const name = ({ partition, topic }: DeletedOffset): string => `${topic}${partition ?? -1}`
  const sorted = [...rows].sort((a, b) => (name(a) < name(b) ? -1 : 1))
  return line("TOPIC", "PARTITION", "STATUS") +
    sorted.map(({ error, partition, topic }) => line(topic, text(partition), error === undefined ? "Successful" : `Error: ${error}`)).join("") + "\n"
}
