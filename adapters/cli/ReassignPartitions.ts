/** `ottla reassign-partitions`: does what ReassignCommand.ts reads from the command line, and prints its lines. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { javaHash } from "../../core/assignors/HashOrder.ts"
import { type Admin, type ConfigResource, make } from "../../core/client/Admin.ts"
import type { ClientError } from "../../core/client/ClientError.ts"
import { type PlaceableBroker, PlacementRefusal, placeReplicas } from "../../core/cluster/Placement.ts"
import { clientConfig, type Command, DONE, type ExitCode, FAILED, readProperties, readText, usage } from "./Command.ts"
import { inMapOrder } from "./GroupTables.ts"
import { isError, kafkaMessage } from "./KafkaErrors.ts"
import { UsageError } from "./Options.ts"
import {
  BROKER_THROTTLES,
  type BrokerDirs,
  cancelledLine,
  clearedLines,
  currentLines,
  dirError,
  EXISTING,
  failedLines,
  flags,
  generatedLines,
  MUST_VERIFY,
  nameOf,
  ongoingLines,
  parsePlaces,
  parseReassign,
  parseTargets,
  parseTopics,
  type Placed,
  type ReassignRequest,
  startedLine,
  throttlesOf,
  TOPIC_THROTTLES,
  type Verified,
  verifiedLines,
  withDirs
} from "./ReassignCommand.ts"
import type { Terminal } from "./Terminal.ts"

type Done<A = ExitCode> = Effect.Effect<A, UsageError | ClientError>

interface Context {
  readonly admin: Admin
  readonly terminal: Terminal
  readonly request: ReassignRequest
}

/** Racks, and where replicas may be placed. */
interface Node {
  readonly id: number
  readonly rack: string | null
}

const print = (terminal: Terminal, lines: ReadonlyArray<string>): Effect.Effect<unknown> => terminal.out(`${lines.join("\n")}\n`)

/** Where these topics' partitions are; partitions that are asked for by name must be there. */
const placesOf = (admin: Admin, topics: ReadonlyArray<string>): Done<ReadonlyArray<Placed>> =>
  Effect.gen(function*() {
    const places: Array<Placed> = []
    for (const [topic, view] of yield* admin.describeTopics([...new Set(topics)])) {
      if (isError(view)) {
        if (view.reason === "UNKNOWN_TOPIC_OR_PARTITION") return yield* Effect.fail(new UsageError(`Topic ${topic} not found.`))
        return yield* Effect.fail(view)
      }
      for (const { partition, replicas } of view.partitions) places.push({ topic, partition, replicas })
    }
    return places
  })

/** Of the brokers that answer. */
const dirsOf = (admin: Admin): Done<BrokerDirs> =>
  Effect.map(admin.describeLogDirs(), (all) => {
    const dirs = new Map<number, Array<{ readonly path: string; readonly replicas: ReadonlySet<string> }>>()
    for (const { nodeId, path, replicas } of all) {
      const own = dirs.get(nodeId) ?? []
      own.push({ path, replicas: new Set(replicas.filter(({ isFuture }) => !isFuture).map(nameOf)) })
      dirs.set(nodeId, own)
    }
    return dirs
  })

const alterConfigs = (
  admin: Admin,
  changes: ReadonlyArray<readonly [ConfigResource, ReadonlyArray<readonly [string, string | undefined]>]>
): Done<void> =>
  Effect.gen(function*() {
    const results = yield* admin.alterConfigs(changes.map(([resource, values]) => ({
      resource,
      alterations: values.map(([name, value]) => value === undefined ? { name, operation: "DELETE" as const } : { name, operation: "SET" as const, value })
    })))
    for (const { error } of results) if (error !== undefined) return yield* Effect.fail(error)
  })

const clearThrottles = ({ admin, terminal }: Context, targets: ReadonlyArray<Placed>): Done<void> =>
  Effect.gen(function*() {
    const { nodes } = yield* admin.describeCluster
    const brokers = [...new Set([...nodes.keys(), ...targets.flatMap(({ replicas }) => replicas)])].sort((a, b) => a - b)
    const topics = inMapOrder([...new Set(targets.map(({ topic }) => topic))], javaHash)
    const [brokerLine = "", topicLine = ""] = clearedLines(brokers, topics)
    yield* print(terminal, [brokerLine])
    yield* alterConfigs(admin, brokers.map((id) => [{ type: "broker", name: `${id}` }, BROKER_THROTTLES.map((name) => [name, undefined])]))
    yield* print(terminal, [topicLine])
    yield* alterConfigs(admin, topics.map((name) => [{ type: "topic", name }, TOPIC_THROTTLES.map((key) => [key, undefined])]))
  })

const generate = ({ admin, request, terminal }: Context, text: string): Done =>
  Effect.gen(function*() {
    const current = yield* placesOf(admin, yield* usage(() => parseTopics(text)))
    const { nodes } = yield* admin.describeCluster
    const brokers = [...nodes.values()].filter(({ id }) => request.brokers.includes(id))
    const rackless = brokers.filter(({ rack }) => rack === null).length
    if (request.isRackAware && rackless !== 0 && rackless !== brokers.length) {
      return yield* Effect.fail(new UsageError(
        "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment without rack information."
      ))
    }
    const proposed: Array<Placed> = []
    for (const topic of new Set(current.map((one) => one.topic))) {
      const partitions = current.filter((one) => one.topic === topic)
      const seed = yield* Random.nextIntBetween(0, 1_000_000)
      const placed = placeReplicas(registered(brokers, request.isRackAware), {
        count: partitions.length,
        replicationFactor: partitions[0]!.replicas.length,
        seed
      })
      if (placed instanceof PlacementRefusal) return yield* Effect.fail(new UsageError(placed.message))
      proposed.push(...placed.map((replicas, partition) => ({ topic, partition, replicas })))
    }
    yield* print(terminal, generatedLines(withDirs(current, yield* dirsOf(admin)), proposed))
    return DONE
  })

/** What placement asks of brokers, of those that answer. */
const registered = (nodes: ReadonlyArray<Node>, isRackAware: boolean): ReadonlyArray<PlaceableBroker> =>
  nodes.map(({ id, rack }) => ({ id, rack: isRackAware ? rack : null, fenced: false, inControlledShutdown: false }))

const throttle = ({ admin, terminal }: Context, rate: number, targets: ReadonlyArray<Placed>, current: ReadonlyArray<Placed>): Done<void> =>
  Effect.gen(function*() {
    yield* print(terminal, [MUST_VERIFY])
    const { brokers, followers, leaders } = throttlesOf(targets, current, yield* admin.listPartitionReassignments())
    const [leaderKey, followerKey] = TOPIC_THROTTLES as readonly [string, string]
    yield* alterConfigs(admin, [...leaders.keys()].map((name) => [{ type: "topic", name }, [
      [leaderKey, leaders.get(name)!],
      [followerKey, followers.get(name) ?? ""]
    ]]))
    yield* alterConfigs(admin, brokers.map((id) => [{ type: "broker", name: `${id}` }, BROKER_THROTTLES.slice(0, 2).map((key) => [key, `${rate}`])]))
    yield* print(terminal, [`The inter-broker throttle limit was set to ${rate} B/s`])
  })

const execute = (context: Context, text: string): Done =>
  Effect.gen(function*() {
    const { admin, request, terminal } = context
    const targets = yield* usage(() => parseTargets(text))
    if (!request.isAdditional && (yield* admin.listPartitionReassignments()).length > 0) {
      yield* print(terminal, [EXISTING])
      return FAILED
    }
    const { nodes } = yield* admin.describeCluster
    const unknown = targets.flatMap(({ replicas }) => replicas).find((id) => !nodes.has(id))
    if (unknown !== undefined) return yield* Effect.fail(new UsageError(`Unknown broker id ${unknown}`))
    const all = yield* placesOf(admin, targets.map(({ topic }) => topic))
    const missing = targets.filter((target) => !all.some((one) => nameOf(one) === nameOf(target)))
    if (missing.length > 0) return yield* Effect.fail(new UsageError(`Unable to find partition: ${missing.map(nameOf).join(", ")}`))
    const wanted = new Set(targets.map(nameOf))
    const dirs = yield* dirsOf(admin)
    const current = withDirs(all.filter((one) => wanted.has(nameOf(one))), dirs)
    const wrongDir = dirError(targets, dirs)
    if (wrongDir !== undefined) return yield* Effect.fail(new UsageError(wrongDir))
    yield* print(terminal, currentLines(current))
    if (request.throttle !== undefined && request.throttle >= 0) yield* throttle(context, request.throttle, targets, current)
    const results = yield* admin.alterPartitionReassignments(targets, { allowReplicationFactorChange: request.allowReplicationFactorChange })
    const failed = results.flatMap(({ error, ...one }) => error === undefined ? [] : [{ ...one, message: kafkaMessage(error) }])
    yield* print(terminal, failed.length > 0 ? failedLines("Error reassigning partition(s):", failed) : [startedLine(targets)])
    return failed.length > 0 ? FAILED : DONE
  })

const verify = (context: Context, text: string): Done =>
  Effect.gen(function*() {
    const { admin, request, terminal } = context
    const targets = yield* usage(() => parsePlaces(text))
    const ongoing = new Set((yield* admin.listPartitionReassignments()).map(nameOf))
    const still = targets.filter((one) => !ongoing.has(nameOf(one)))
    const topics = yield* admin.describeTopics([...new Set(still.map(({ topic }) => topic))])
    const verified = targets.map((target): Verified => {
      if (ongoing.has(nameOf(target))) return { target, now: undefined }
      const view = topics.get(target.topic)
      // As in Kafka, a partition that is not there has no replicas.
      return { target, now: view === undefined || isError(view) ? [] : view.partitions[target.partition]?.replicas ?? [] }
    })
    // The empty line is where Kafka tells of moves between log directories.
    yield* print(terminal, [...verifiedLines(verified), ""])
    if (still.length === targets.length && !request.preservesThrottles) yield* clearThrottles(context, targets)
    return DONE
  })

const cancel = (context: Context, text: string): Done =>
  Effect.gen(function*() {
    const { admin, request, terminal } = context
    const targets = yield* usage(() => parsePlaces(text))
    const moving = yield* admin.listPartitionReassignments(targets)
    const results = yield* admin.alterPartitionReassignments(moving.map(({ partition, topic }) => ({ topic, partition, replicas: null })))
    const failed = results.flatMap(({ error, ...one }) => error === undefined ? [] : [{ ...one, message: kafkaMessage(error) }])
    if (failed.length > 0) {
      yield* print(terminal, failedLines(`Error cancelling partition reassignment${failed.length === 1 ? "" : "s"} for:`, failed))
      return FAILED
    }
    yield* print(terminal, [cancelledLine(moving)])
    // Kafka's sentence about moves between log directories, which end without a new line there.
    yield* terminal.out("None of the specified partition moves are active.")
    if (!request.preservesThrottles) yield* clearThrottles(context, targets)
    return DONE
  })

const perform = (context: Context): Done =>
  Effect.gen(function*() {
    const { action, file } = context.request
    if (action === "list") {
      yield* print(context.terminal, ongoingLines(yield* context.admin.listPartitionReassignments()))
      return DONE
    }
    const text = yield* usage(() => readText(file!))
    return yield* { generate, execute, verify, cancel }[action](context, text)
  })

export const command: Command = {
  name: "reassign-partitions",
  usage: "--bootstrap-server HOST:PORT --generate | --execute | --verify | --cancel | --list [flags]",
  summary: "Moves partitions to other brokers, as Kafka's kafka-reassign-partitions.",
  flags,
  run: (parsed, terminal) =>
    Effect.gen(function*() {
      const request = yield* usage(() => parseReassign(parsed))
      const properties = new Map(yield* usage(() => readProperties(request.commandConfig)))
      const { config, warnings } = yield* usage(() =>
        clientConfig("admin", properties.set("bootstrap.servers", request.bootstrapServer))
      )
      for (const warning of warnings) yield* terminal.err(warning, "yellow")
      const admin = yield* make(config)
      return yield* Effect.catch(perform({ admin, terminal, request }), (error) =>
        print(terminal, [`Error: ${error._tag === "UsageError" ? error.message : kafkaMessage(error)}`]).pipe(Effect.as(FAILED)))
    })
}
