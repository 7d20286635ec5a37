/** `ottla consumer-groups`: does what GroupCommand.ts reads from the command line. Resets are in ResetOffsets.ts. */
import * as Effect from "effect/Effect"
import { javaHash } from "../../core/assignors/HashOrder.ts"
import { type Admin, type GroupDescription, make } from "../../core/client/Admin.ts"
import type { ClientError } from "../../core/client/ClientError.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import { clientConfig, type Command, DONE, type ExitCode, FAILED, readProperties, usage } from "./Command.ts"
import { flags, type GroupAction, type GroupIds, parseGroupCommand } from "./GroupCommand.ts"
import { consumerGroups, type GroupFailure, groupIds, partitionsOf } from "./GroupScope.ts"
import { deletedTable, type DeletedOffset, inMapOrder, listLines, membersTable, offsetRows, offsetsTable, stateNote, stateTable } from "./GroupTables.ts"
import type { ResetError } from "./GroupResets.ts"
import { isError, kafkaException, kafkaMessage } from "./KafkaErrors.ts"
import { resetOffsets } from "./ResetOffsets.ts"
import type { Terminal } from "./Terminal.ts"

type Done<A = ExitCode> = Effect.Effect<A, GroupFailure>
type ActionOf<Tag extends GroupAction["_tag"]> = Extract<GroupAction, { readonly _tag: Tag }>

/** Kafka prints errors of a group on standard output, behind an empty line. */
const tellError = (terminal: Terminal, message: string): Effect.Effect<unknown> => terminal.out(`\nError: ${message}\n`)

const list = (admin: Admin, terminal: Terminal, { states, types }: ActionOf<"List">): Done =>
  Effect.gen(function*() {
    const groups = yield* consumerGroups(admin, {
      ...(states === undefined || states.length === 0 ? {} : { states }),
      ...(types === undefined || types.length === 0 ? {} : { types })
    })
    const lines = listLines(groups, types !== undefined, states !== undefined)
    if (lines.length > 0) yield* terminal.out(`${lines.join("\n")}\n`)
    return DONE
  })

/** Groups by id in their order; what cannot be described fails the whole, as in Kafka. */
const described = (admin: Admin, ids: GroupIds): Done<ReadonlyArray<GroupDescription>> =>
  Effect.gen(function*() {
    const all = yield* groupIds(admin, ids)
    const groups: Array<GroupDescription> = []
    for (const result of (yield* admin.describeGroups(all)).values()) {
      if (isError(result)) return yield* Effect.fail(result)
      groups.push(result)
    }
    return groups.sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
  })

/** The ends of partitions that have a leader. */
const endOffsets = (admin: Admin, partitions: ReadonlyArray<TopicPartition>): Done<ReadonlyMap<string, number>> =>
  Effect.gen(function*() {
    const topics = yield* admin.describeTopics([...new Set(partitions.map(({ topic }) => topic))])
    const led = partitions.filter(({ partition, topic }) => {
      const view = topics.get(topic)
      return view !== undefined && !isError(view) && (view.partitions[partition]?.leader ?? -1) >= 0
    })
    const ends = new Map<string, number>()
    if (led.length === 0) return ends
    for (const one of yield* admin.listOffsets(led.map(({ partition, topic }) => ({ topic, partition, spec: "latest" as const })))) {
      if ("error" in one) return yield* Effect.fail(one.error)
      ends.set(`${one.topic}-${one.partition}`, one.offset)
    }
    return ends
  })

const describe = (admin: Admin, terminal: Terminal, action: ActionOf<"Describe">): Done =>
  Effect.gen(function*() {
    const groups = yield* described(admin, action.ids)
    const { nodes } = yield* admin.describeCluster
    for (const group of groups) {
      const rows = action.what !== "offsets" ? [] : yield* Effect.gen(function*() {
        const committed = yield* admin.listGroupOffsets(group.groupId)
        const partitions = [...group.members.flatMap((member) => member.assignment), ...committed]
        return offsetRows(group, committed, yield* endOffsets(admin, partitions))
      })
      const note = stateNote(group.groupId, group.state)
      if (note !== undefined) yield* (note.error ? terminal.err(note.text) : terminal.out(`${note.text}\n`))
      const printed = group.state !== "Dead"
      if (action.what === "offsets" && printed && rows.length > 0) yield* terminal.out(offsetsTable(rows, action.verbose))
      if (action.what === "members") yield* terminal.out(membersTable(group, action.verbose))
      if (action.what === "state" && printed) {
        const node = nodes.get(group.coordinator)
        yield* terminal.out(stateTable(group, `${node?.host ?? ""}:${node?.port ?? -1}  (${group.coordinator})`, action.verbose))
      }
    }
    return DONE
  })

const quoted = (ids: ReadonlyArray<string>): string => inMapOrder(ids, javaHash).map((id) => `'${id}'`).join(", ")

const remove = (admin: Admin, terminal: Terminal, action: ActionOf<"Delete">): Done =>
  Effect.gen(function*() {
    const results = yield* admin.deleteGroups(yield* groupIds(admin, action.ids))
    const failed = [...results].filter((entry): entry is [string, ClientError] => isError(entry[1]))
    const deleted = [...results].filter(([, result]) => !isError(result)).map(([id]) => id)
    if (failed.length === 0) {
      yield* terminal.out(`Deletion of requested consumer groups (${quoted(deleted)}) was successful.\n`)
      return DONE
    }
    yield* tellError(terminal, "Deletion of some consumer groups failed:")
    for (const [id, error] of inMapOrder(failed, ([id]) => javaHash(id))) {
      yield* terminal.out(`* Group '${id}' could not be deleted due to: ${kafkaException(error)}\n`)
    }
    if (deleted.length > 0) yield* terminal.out(`\nThese consumer groups were deleted successfully: ${quoted(deleted)}\n`)
    return FAILED
  })

const partitionLevel: ReadonlySet<string> = new Set(["GROUP_SUBSCRIBED_TO_TOPIC", "TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PARTITION"])
const groupLevel: ReadonlySet<string> = new Set(["INVALID_GROUP_ID", "GROUP_ID_NOT_FOUND", "GROUP_AUTHORIZATION_FAILED", "NON_EMPTY_GROUP"])

const deleteOffsets = (admin: Admin, terminal: Terminal, action: ActionOf<"DeleteOffsets">): Done =>
  Effect.gen(function*() {
    const { errors, partitions } = yield* partitionsOf(admin, action.topics)
    // what fails as a whole fails for each partition
    const results = yield* (partitions.length === 0 ? Effect.succeed([]) : admin.deleteGroupOffsets(action.id, partitions)).pipe(
      Effect.catch((error) => Effect.succeed(partitions.map((one) => ({ ...one, error }))))
    )
    const first = results.find(({ error }) => error !== undefined)?.error
    if (first === undefined) yield* terminal.out(`Request succeeded for deleting offsets from group ${action.id}.\n`)
    else if (groupLevel.has(first.reason)) yield* tellError(terminal, kafkaMessage(first))
    else if (partitionLevel.has(first.reason)) yield* tellError(terminal, "Encountered some partition-level error, see the follow-up details.")
    else yield* tellError(terminal, `Encountered some unknown error: ${first.reason}`)
    const rows: ReadonlyArray<DeletedOffset> = [
      ...results.map(({ error, partition, topic }) => ({ topic, partition, error: error === undefined ? undefined : kafkaException(error) })),
      ...[...errors].map(([topic, error]) => ({ topic, partition: undefined, error: kafkaException(error) }))
    ]
    yield* terminal.out(deletedTable(rows))
    return first === undefined && errors.size === 0 ? DONE : FAILED
  })

const validate = (terminal: Terminal, regex: string): Effect.Effect<ExitCode> => {
  try {
    RegExp(regex)
  } catch (error) {
    const why = (error as Error).message.split(": ").at(-1)
    return Effect.as(terminal.out(`The regular expression \`${regex}\` is invalid: ${why}.\n`), FAILED)
  }
  return Effect.as(terminal.out(`The regular expression \`${regex}\` is valid.\n`), DONE)
}

const perform = (admin: Admin, terminal: Terminal, action: GroupAction): Done => {
  switch (action._tag) {
    case "List":
      return list(admin, terminal, action)
    case "Describe":
      return describe(admin, terminal, action)
    case "Delete":
      return remove(admin, terminal, action)
    case "DeleteOffsets":
      return deleteOffsets(admin, terminal, action)
    case "Reset":
      return resetOffsets(admin, terminal, action)
    case "ValidateRegex":
      return validate(terminal, action.regex)
  }
}

/** Describing is asked through Java's futures, which put the exception's name before its words. */
const why = (action: GroupAction, error: ResetError | ClientError): string =>
  error._tag === "ResetError" ? error.message : action._tag === "Reset" ? kafkaMessage(error) : kafkaException(error)

export const command: Command = {
  name: "consumer-groups",
  usage: "--bootstrap-server HOST:PORT --list | --describe | --reset-offsets | --delete | --delete-offsets [flags]",
  summary: "Lists, describes, resets and deletes consumer groups, as Kafka's kafka-consumer-groups. Exit code 1 when something failed.",
  flags,
  run: (parsed, terminal) =>
    Effect.gen(function*() {
      const request = yield* usage(() => parseGroupCommand(parsed))
      const { action } = request
      for (const warning of request.warnings) yield* terminal.err(warning, "yellow")
      if (action._tag === "ValidateRegex") return yield* validate(terminal, action.regex)
      const { config, warnings } = yield* usage(() =>
        clientConfig("admin", new Map([
          ...readProperties(request.commandConfig),
          ["default.api.timeout.ms", String(request.timeoutMs)],
          ["bootstrap.servers", request.bootstrapServer]
        ]))
      )
      for (const warning of warnings) yield* terminal.err(warning, "yellow")
      const admin = yield* make(config)
      return yield* perform(admin, terminal, action).pipe(
        Effect.catch((error) =>
          error._tag === "UsageError"
            ? Effect.fail(error)
            : Effect.as(tellError(terminal, `Executing consumer group command failed due to ${why(action, error)}`), FAILED)
        )
      )
    })
}
