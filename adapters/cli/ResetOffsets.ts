/** `--reset-offsets`: where a group without members goes on, shown or done. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Admin, OffsetSpec } from "../../core/client/Admin.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import type { PartitionOffset } from "../../core/client/Consumer.ts"
import { DONE, type ExitCode, FAILED, readText, usage } from "./Command.ts"
import type { GroupAction } from "./GroupCommand.ts"
import { clamp, parseDatetime, parseDuration, parsePlan, ResetError } from "./GroupResets.ts"
import { type GroupFailure, groupIds, partitionsOf } from "./GroupScope.ts"
import { inMapOrder, partitionHash, resetCsv, resetTable } from "./GroupTables.ts"
import { isError } from "./KafkaErrors.ts"
import { UsageError } from "./Options.ts"
import type { Terminal } from "./Terminal.ts"

type Reset = Extract<GroupAction, { readonly _tag: "Reset" }>
type Offsets = Effect.Effect<ReadonlyArray<PartitionOffset>, GroupFailure>

const nameOf = ({ partition, topic }: TopicPartition): string => `${topic}-${partition}`

/** Parsing that throws a ResetError, as an Effect that fails with it. */
const reading = <A>(read: () => A): Effect.Effect<A, ResetError | UsageError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(read())
    } catch (error) {
      if (error instanceof ResetError || error instanceof UsageError) return Effect.fail(error)
      throw error
    }
  })

const listed = (admin: Admin, partitions: ReadonlyArray<TopicPartition>, spec: OffsetSpec): Offsets =>
  Effect.gen(function*() {
    if (partitions.length === 0) return []
    const offsets: Array<PartitionOffset> = []
    for (const one of yield* admin.listOffsets(partitions.map(({ partition, topic }) => ({ topic, partition, spec })))) {
      if ("error" in one) return yield* Effect.fail(one.error)
      offsets.push({ topic: one.topic, partition: one.partition, offset: one.offset })
    }
    return offsets
  })

const within = (admin: Admin, terminal: Terminal, wanted: ReadonlyArray<PartitionOffset>): Offsets =>
  Effect.gen(function*() {
    const byName = (offsets: ReadonlyArray<PartitionOffset>): ReadonlyMap<string, number> =>
      new Map(offsets.map((one) => [nameOf(one), one.offset]))
    const starts = byName(yield* listed(admin, wanted, "earliest"))
    const ends = byName(yield* listed(admin, wanted, "latest"))
    const { offsets, warnings } = clamp(wanted, (one) => ({ start: starts.get(nameOf(one))!, end: ends.get(nameOf(one))! }))
    for (const warning of warnings) yield* terminal.err(warning, "yellow")
    return offsets
  })

/** The first record at a time or later; the end where there is none. */
const atTime = (admin: Admin, terminal: Terminal, partitions: ReadonlyArray<TopicPartition>, timestampMs: number): Offsets =>
  Effect.gen(function*() {
    const found = yield* listed(admin, partitions, Math.max(0, timestampMs))
    const none = found.filter(({ offset }) => offset < 0)
    for (const { partition, topic } of inMapOrder(none, partitionHash)) {
      yield* terminal.out(`\nWarn: Partition ${partition} from topic ${topic} is empty. Falling back to latest known offset.\n`)
    }
    return [...found.filter(({ offset }) => offset >= 0), ...yield* listed(admin, none, "latest")]
  })

const prepare = (
  admin: Admin,
  terminal: Terminal,
  group: string,
  action: Reset,
  partitions: ReadonlyArray<TopicPartition>
): Offsets =>
  Effect.gen(function*() {
    const { scenario } = action
    switch (scenario._tag) {
      case "ToEarliest":
        return yield* listed(admin, partitions, "earliest")
      case "ToLatest":
        return yield* listed(admin, partitions, "latest")
      case "ToOffset":
        return yield* within(admin, terminal, partitions.map((one) => ({ ...one, offset: scenario.offset })))
      case "ToDatetime":
        return yield* atTime(admin, terminal, partitions, yield* reading(() => parseDatetime(scenario.text)))
      case "ByDuration": {
        const nowMs = yield* Clock.currentTimeMillis
        return yield* atTime(admin, terminal, partitions, nowMs - (yield* reading(() => parseDuration(scenario.text))))
      }
      case "FromFile": {
        const plan = yield* reading(() => parsePlan(readText(scenario.path), action.ids ?? []))
        const wanted = plan.get(group)
        if (wanted === undefined) {
          yield* terminal.out(`\nError: No reset plan for group ${group} found\n`)
          return []
        }
        yield* check(admin, wanted)
        return yield* within(admin, terminal, wanted)
      }
      case "ShiftBy":
      case "ToCurrent": {
        const committed = new Map((yield* admin.listGroupOffsets(group)).map((one) => [nameOf(one), one.offset]))
        if (scenario._tag === "ToCurrent") {
          const known = partitions.filter((one) => committed.has(nameOf(one)))
          const ends = yield* listed(admin, partitions.filter((one) => !committed.has(nameOf(one))), "latest")
          return [...known.map((one) => ({ ...one, offset: committed.get(nameOf(one))! })), ...ends]
        }
        const without = partitions.find((one) => !committed.has(nameOf(one)))
        if (without !== undefined) {
          return yield* Effect.fail(
            new UsageError(`Cannot shift offset for partition ${nameOf(without)} since there is no current committed offset`)
          )
        }
        return yield* within(admin, terminal, partitions.map((one) => ({ ...one, offset: committed.get(nameOf(one))! + scenario.count })))
      }
    }
  })

/** That partitions exist and have leaders. */
const check = (admin: Admin, partitions: ReadonlyArray<TopicPartition>): Effect.Effect<void, GroupFailure> =>
  Effect.gen(function*() {
    if (partitions.length === 0) return
    const topics = yield* admin.describeTopics([...new Set(partitions.map(({ topic }) => topic))])
    for (const view of topics.values()) if (isError(view)) return yield* Effect.fail(view)
    const leaderOf = ({ partition, topic }: TopicPartition): number | undefined => {
      const view = topics.get(topic)
      return view === undefined || isError(view) ? undefined : view.partitions[partition]?.leader
    }
    const named = (list: ReadonlyArray<TopicPartition>): string => `"${list.map(nameOf).join(",")}"`
    const missing = partitions.filter((one) => leaderOf(one) === undefined)
    if (missing.length > 0) return yield* Effect.fail(new ResetError(`The partitions ${named(missing)} do not exist`))
    const leaderless = partitions.filter((one) => leaderOf(one) === -1)
    if (leaderless.length > 0) return yield* Effect.fail(new ResetError(`The partitions ${named(leaderless)} have no leader`))
  })

const scopeOf = (admin: Admin, group: string, action: Reset): Effect.Effect<ReadonlyArray<TopicPartition>, GroupFailure> =>
  Effect.gen(function*() {
    if (action.topics === undefined) return (yield* admin.listGroupOffsets(group)).map(({ partition, topic }) => ({ topic, partition }))
    const { errors, partitions } = yield* partitionsOf(admin, action.topics)
    for (const error of errors.values()) return yield* Effect.fail(error)
    return partitions
  })

/** States in which a group's offsets are nobody's but the administrator's. */
const inactive: ReadonlySet<string> = new Set(["Empty", "Dead"])

export const resetOffsets = (admin: Admin, terminal: Terminal, action: Reset): Effect.Effect<ExitCode, GroupFailure> =>
  Effect.gen(function*() {
    const { scenario } = action
    // what cannot be read is told before anything is asked
    if (scenario._tag === "FromFile") yield* usage(() => readText(scenario.path))
    const results = new Map<string, ReadonlyArray<PartitionOffset>>()
    let code: ExitCode = DONE
    for (const [group, description] of yield* admin.describeGroups(yield* groupIds(admin, action.ids))) {
      // a group that is not there yet may be given offsets
      if (isError(description) && description.reason !== "GROUP_ID_NOT_FOUND") return yield* Effect.fail(description)
      const state = isError(description) ? "Dead" : description.state
      if (!inactive.has(state)) {
        yield* terminal.out(`\nError: Assignments can only be reset if the group '${group}' is inactive, but the current state is ${state}.\n`)
        results.set(group, [])
        code = FAILED
        continue
      }
      const partitions = yield* scopeOf(admin, group, action)
      yield* check(admin, partitions)
      const offsets = yield* prepare(admin, terminal, group, action, partitions)
      if (action.execute && offsets.length > 0) {
        for (const { error } of yield* admin.alterGroupOffsets(group, offsets)) if (error !== undefined) return yield* Effect.fail(error)
      }
      results.set(group, offsets)
    }
    yield* terminal.out(action.csv ? resetCsv(results, action.ids?.length === 1) : resetTable(results))
    return code
  })
