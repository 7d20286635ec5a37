/** `ottla topics`: does what TopicCommand.ts reads from the command line, and prints its lines. */
import * as Effect from "effect/Effect"
import { type Admin, makeWith } from "../../core/client/Admin.ts"
import type { ClientConfig } from "../../core/client/ClientConfig.ts"
import { type ClientError, FatalError } from "../../core/client/ClientError.ts"
import * as Cluster from "../../core/client/Cluster.ts"
import type { TopicView } from "../../core/client/ClusterView.ts"
import { clientConfig, type Command, DONE, type ExitCode, FAILED, readProperties, usage } from "./Command.ts"
import { isError, kafkaMessage } from "./KafkaErrors.ts"
import { UsageError } from "./Options.ts"
import type { Terminal } from "./Terminal.ts"
import {
  type AlterTopics,
  COLLISION_WARNING,
  type CreateTopic,
  type DeleteTopics,
  type DescribedTopic,
  describeLines,
  type DescribeTopics,
  flags,
  inHashOrder,
  type ListTopics,
  matching,
  mayCollide,
  parseTopicCommand,
  type TopicAction
} from "./TopicCommand.ts"
import { partitionDetails } from "./TopicPartitions.ts"

type Done<A = void> = Effect.Effect<A, UsageError | ClientError>

interface Context {
  readonly admin: Admin
  readonly cluster: Cluster.Cluster
  readonly terminal: Terminal
}

/** The first failure of several, as Kafka's `all()`. */
const firstError = (results: ReadonlyMap<string, unknown>): Done => {
  for (const result of results.values()) if (isError(result)) return Effect.fail(result)
  return Effect.void
}

const lines = (terminal: Terminal, all: ReadonlyArray<string>): Effect.Effect<unknown> =>
  all.length === 0 ? Effect.void : terminal.out(`${all.join("\n")}\n`)

const create = ({ admin, terminal }: Context, action: CreateTopic): Done =>
  Effect.gen(function*() {
    if (mayCollide(action.topic)) yield* lines(terminal, [COLLISION_WARNING])
    const results = yield* admin.createTopics([{
      name: action.topic,
      configs: action.configs,
      ...(action.partitions === undefined ? {} : { partitions: action.partitions }),
      ...(action.replicationFactor === undefined ? {} : { replicationFactor: action.replicationFactor }),
      ...(action.assignment === undefined ? {} : { replicaAssignment: action.assignment })
    }])
    const result = results.get(action.topic)
    if (isError(result)) {
      if (action.ifNotExists && result.reason === "TOPIC_ALREADY_EXISTS") return
      return yield* Effect.fail(result)
    }
    yield* lines(terminal, [`Created topic ${action.topic}.`])
  })

const namesOf = (topics: ReadonlyArray<TopicView>, excludeInternal: boolean): ReadonlyArray<string> =>
  topics.filter((topic) => !(excludeInternal && topic.isInternal)).map((topic) => topic.name)

/** Names that match, one at least unless that is allowed. */
const existing = (context: Context, expression: string | undefined, ifExists: boolean, excludeInternal: boolean): Done<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const topics = yield* context.admin.listTopics({ includeInternal: !excludeInternal })
    const names = yield* usage(() => matching(namesOf(topics, excludeInternal), expression, excludeInternal))
    if (names.length === 0 && !ifExists && expression !== undefined && expression !== "") {
      return yield* Effect.fail(new UsageError(`Topic '${expression}' does not exist as expected`))
    }
    return names
  })

const list = (context: Context, action: ListTopics): Done =>
  Effect.gen(function*() {
    const names = yield* existing(context, action.topic, true, action.excludeInternal)
    // an empty line where there is none, as Kafka
    yield* context.terminal.out(`${names.join("\n")}\n`)
  })

const alter = (context: Context, action: AlterTopics): Done =>
  Effect.gen(function*() {
    const names = yield* existing(context, action.topic, action.ifExists, false)
    if (names.length === 0) return
    const topics = yield* context.admin.describeTopics(names)
    yield* firstError(topics)
    const changes = names.map((name) => {
      const now = (topics.get(name) as TopicView).partitions.length
      const { assignment, partitions } = action
      return { name, totalCount: partitions, ...(assignment === undefined ? {} : { assignments: assignment.slice(now) }) }
    })
    yield* firstError(yield* context.admin.createPartitions(changes))
  })

const remove = (context: Context, action: DeleteTopics): Done =>
  Effect.gen(function*() {
    const names = yield* existing(context, action.topic, action.ifExists, false)
    if (names.length > 0) yield* firstError(yield* context.admin.deleteTopics(names))
  })

/** By id or by name: the id is stronger. */
const topicsToDescribe = (context: Context, action: DescribeTopics): Done<ReadonlyArray<TopicView>> =>
  Effect.gen(function*() {
    const { admin, terminal } = context
    if (action.topicId !== undefined) {
      if (action.topic !== undefined && action.ifExists) {
        yield* lines(terminal, ["Only topic id will be used when both --topic and --topic-id are specified and topicId is not Uuid.ZERO_UUID"])
      }
      const topics = yield* admin.listTopics({ includeInternal: !action.excludeInternal })
      const found = topics.filter((topic) => topic.id === action.topicId)
      if (found.length === 0 && !action.ifExists) {
        return yield* Effect.fail(new UsageError(`TopicId '${action.topicId}' does not exist as expected`))
      }
      return found
    }
    const names = yield* existing(context, action.topic, action.ifExists, action.excludeInternal)
    if (names.length === 0) return []
    const described = yield* admin.describeTopics(names)
    yield* firstError(described)
    return names.map((name) => described.get(name) as TopicView)
  })

const describe = (context: Context, action: DescribeTopics): Done =>
  Effect.gen(function*() {
    const { admin, cluster, terminal } = context
    const topics = inHashOrder(yield* topicsToDescribe(context, action), (topic) => topic.name)
    if (topics.length === 0) return
    const configs = yield* admin.describeConfigs(topics.map(({ name }) => ({ type: "topic", name })))
    const details = yield* partitionDetails(cluster, topics, action.partitionLimit)
    const described: Array<DescribedTopic> = []
    for (const topic of topics) {
      const result = configs.find(({ resource }) => resource.name === topic.name)?.result
      if (result === undefined || isError(result)) {
        return yield* Effect.fail(result ?? new FatalError("CORRUPT", `the configuration of ${topic.name} is missing in the answer`))
      }
      const partitions = topic.partitions.map((partition) => ({
        ...partition,
        ...details(topic.name, partition.partition)
      }))
      described.push({ name: topic.name, id: topic.id, partitions, configs: result })
    }
    const { nodes } = yield* admin.describeCluster
    yield* lines(terminal, describeLines(action, described, new Set(nodes.keys())))
  })

const perform = (context: Context, action: TopicAction): Done => {
  switch (action._tag) {
    case "Create":
      return create(context, action)
    case "List":
      return list(context, action)
    case "Describe":
      return describe(context, action)
    case "Alter":
      return alter(context, action)
    case "Delete":
      return remove(context, action)
  }
}

export const command: Command = {
  name: "topics",
  usage: "--bootstrap-server HOST:PORT --list | --describe | --create | --alter | --delete [--topic NAME] [flags]",
  summary: "Lists, describes, creates, alters and deletes topics, as Kafka's kafka-topics.",
  flags,
  run: (parsed, terminal) =>
    Effect.gen(function*() {
      const request = yield* usage(() => parseTopicCommand(parsed))
      const properties = new Map(yield* usage(() => readProperties(request.commandConfig)))
      const { config, warnings } = yield* usage(() =>
        clientConfig("admin", properties.set("bootstrap.servers", request.bootstrapServer))
      )
      for (const warning of [...request.warnings, ...warnings]) yield* terminal.err(warning, "yellow")
      const failed = (error: UsageError | ClientError): Effect.Effect<ExitCode> =>
        terminal.out(`Error while executing topic command : ${error._tag === "UsageError" ? error.message : kafkaMessage(error)}\n`).pipe(Effect.as(FAILED))
      const { action } = request
      if (action instanceof UsageError) return yield* failed(action)
      return yield* connect(config).pipe(
        Effect.flatMap(({ admin, cluster }) => perform({ admin, cluster, terminal }, action)),
        Effect.as(DONE),
        Effect.catch(failed)
      )
    })
}

const connect = (config: ClientConfig) =>
  Effect.gen(function*() {
    const cluster = yield* Cluster.make(config)
    return { cluster, admin: yield* makeWith(cluster) }
  })
