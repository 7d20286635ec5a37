/** `ottla cluster cluster-id|list-endpoints|unregister`, Kafka's kafka-cluster: asks as EndpointsCommand.ts reads the words. */
import * as Effect from "effect/Effect"
import { makeWith } from "../../core/client/Admin.ts"
import { type ClientError, errorOfCode, FatalError } from "../../core/client/ClientError.ts"
import * as Cluster from "../../core/client/Cluster.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { describeClusterApi } from "../../core/protocol/generated/DescribeCluster.ts"
import { unregisterBrokerApi } from "../../core/protocol/generated/UnregisterBroker.ts"
import { clientConfig, type Command, DONE, type ExitCode, FAILED, readProperties, usage } from "./Command.ts"
import {
  clusterIdLine,
  type Endpoint,
  endpointLines,
  type EndpointsRequest,
  flagsOf,
  NO_UNREGISTERING,
  parseEndpoints,
  unregisteredLine
} from "./EndpointsCommand.ts"
import { kafkaException } from "./KafkaErrors.ts"
import type { EndpointWord } from "./Names.ts"
import type { Terminal } from "./Terminal.ts"

/** From this version on fenced brokers can be asked for (KIP-1073). */
const FENCED_VERSION = 2

/** Of a broker from before Kafka 2.8, which knows DescribeCluster not: as its metadata has them. */
const endpointsByMetadata = (cluster: Cluster.Cluster): Effect.Effect<ReadonlyArray<Endpoint>, ClientError> =>
  Effect.gen(function*() {
    const { nodes } = yield* (yield* makeWith(cluster)).describeCluster
    return [...nodes.values()].map((node) => ({ ...node, isFenced: false }))
  })

const endpointsOf = (cluster: Cluster.Cluster, includeFenced: boolean): Effect.Effect<ReadonlyArray<Endpoint>, ClientError> =>
  cluster.retry(Effect.gen(function*() {
    const node = yield* cluster.anyNode
    const version = yield* cluster.versionOf(node, "data", describeClusterApi).pipe(
      Effect.catchIf(({ reason }) => reason === "UNSUPPORTED", () => Effect.succeed(-1))
    )
    if (includeFenced && version < FENCED_VERSION) {
      return yield* Effect.fail(new FatalError("UNSUPPORTED", "The brokers do not tell of fenced ones: that takes Kafka 4.1 or later."))
    }
    if (version < 0) return yield* endpointsByMetadata(cluster)
    const answer = yield* cluster.call(node, "data", describeClusterApi, {
      includeClusterAuthorizedOperations: false,
      ...version < FENCED_VERSION ? {} : { includeFencedBrokers: includeFenced }
    }, { version })
    if (answer.errorCode !== ErrorCode.NONE) {
      return yield* Effect.fail(errorOfCode(answer.errorCode, "describing the cluster", answer.errorMessage))
    }
    return answer.brokers.map(({ brokerId, host, isFenced, port, rack }) => ({ id: brokerId, host, port, rack, isFenced }))
  }))

const unregister = (cluster: Cluster.Cluster, id: number, terminal: Terminal): Effect.Effect<ExitCode, ClientError> =>
  Effect.gen(function*() {
    yield* cluster.retry(Effect.gen(function*() {
      const answer = yield* cluster.call(yield* cluster.anyNode, "data", unregisterBrokerApi, { brokerId: id })
      if (answer.errorCode !== ErrorCode.NONE) {
        return yield* Effect.fail(errorOfCode(answer.errorCode, `unregistering broker ${id}`, answer.errorMessage))
      }
    }))
    yield* terminal.out(`${unregisteredLine(id)}\n`)
    return DONE
  }).pipe(
    // As Kafka's, which takes it for an answer.
    Effect.catchIf(({ reason }) => reason === "UNSUPPORTED", () => Effect.as(terminal.out(`${NO_UNREGISTERING}\n`), DONE)),
    Effect.catch((error) => Effect.as(terminal.err(kafkaException(error), "red"), FAILED))
  )

const doIt = (word: EndpointWord, request: EndpointsRequest, cluster: Cluster.Cluster, terminal: Terminal) =>
  Effect.gen(function*() {
    if (word === "unregister") return yield* unregister(cluster, request.id, terminal)
    const lines = word === "cluster-id"
      ? [clusterIdLine((yield* (yield* makeWith(cluster)).describeCluster).clusterId)]
      : endpointLines(yield* endpointsOf(cluster, request.includeFenced))
    yield* terminal.out(`${lines.join("\n")}\n`)
    return DONE
  })

const summaries: Readonly<Record<EndpointWord, readonly [words: string, summary: string]>> = {
  "cluster-id": ["", "Prints the id of the cluster"],
  "list-endpoints": [" [--include-fenced-brokers]", "Lists the brokers with their addresses"],
  unregister: [" --id BROKER", "Unregisters a broker, where the cluster can do that (this project's has no need to)"]
}

export const endpointsCommand = (word: EndpointWord): Command => ({
  name: `cluster ${word}`,
  usage: `--bootstrap-server HOST:PORT${summaries[word][0]}`,
  summary: `${summaries[word][1]}, as Kafka's kafka-cluster.`,
  flags: flagsOf[word],
  run: (parsed, terminal) =>
    Effect.gen(function*() {
      const request = yield* usage(() => parseEndpoints(word, parsed))
      const properties = new Map(yield* usage(() => readProperties(request.commandConfig)))
      const { config, warnings } = yield* usage(() =>
        clientConfig("admin", properties.set("bootstrap.servers", request.bootstrapServer))
      )
      for (const warning of warnings) yield* terminal.err(warning, "yellow")
      return yield* doIt(word, request, yield* Cluster.make(config), terminal)
    })
})
