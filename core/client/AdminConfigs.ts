/** The Admin's configurations: of topics, brokers, loggers and groups. */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { describeConfigsApi, type DescribeConfigsResponseDescribeConfigsResourceResult } from "../protocol/generated/DescribeConfigs.ts"
import * as IncrementalAlterConfigs from "../protocol/generated/IncrementalAlterConfigs.ts"
import type { Admin, ConfigEntry, ConfigResource } from "./Admin.ts"
import { type ClientError, errorOfCode, FatalError } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import { isError, settleEach } from "./internal/Settle.ts"

/** ConfigResource.Type of Kafka. */
const resourceTypes = { "topic": 2, "broker": 4, "broker-logger": 8, "group": 32 } as const
const operations = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const
/** ConfigSource.DEFAULT_CONFIG of Kafka. */
const DEFAULT_CONFIG = 5
/** From this version on brokers send documentation (KIP-569). */
const DOCUMENTATION_VERSION = 3

const show = ({ name, type }: ConfigResource): string => `configuration of ${type} ${JSON.stringify(name)}`
const keyOf = (type: number, name: string): string => `${type}:${name}`

/** What only a broker itself knows is asked of it; anyone answers the rest. Undefined: anyone. */
const nodeOf = ({ name, type }: ConfigResource): number | undefined | FatalError => {
  if (type === "topic" || type === "group" || (type === "broker" && name === "")) return undefined
  return /^\d+$/.test(name) ? Number(name) : new FatalError("INVALID_ARGUMENT", `${type} takes a broker's id, not ${JSON.stringify(name)}`)
}

const entryOf = (config: DescribeConfigsResponseDescribeConfigsResourceResult): ConfigEntry => ({
  name: config.name,
  value: config.value,
  source: config.configSource,
  isDefault: config.configSource === DEFAULT_CONFIG,
  isSensitive: config.isSensitive,
  isReadOnly: config.readOnly,
  type: config.configType,
  documentation: config.documentation,
  synonyms: config.synonyms.map(({ name, source, value }) => ({ name, source, value }))
})

export const configsAdmin = (cluster: Cluster): Pick<Admin, "describeConfigs" | "alterConfigs"> => {
  /** Asks about resources, each at the node that knows it. */
  const settleResources = <A>(
    resources: ReadonlyArray<ConfigResource>,
    ask: (nodeId: number, resources: ReadonlyArray<ConfigResource>) => Effect.Effect<ReadonlyMap<string, A | ClientError>, ClientError>
  ): Effect.Effect<ReadonlyMap<string, A | ClientError>, ClientError> => {
    const byKey = new Map(resources.map((resource) => [keyOf(resourceTypes[resource.type], resource.name), resource]))
    return settleEach(cluster, [...byKey.keys()], (keys) =>
      Effect.gen(function*() {
        const ends = new Map<string, A | ClientError>()
        const byNode = new Map<number | undefined, Array<ConfigResource>>()
        for (const key of keys) {
          const resource = byKey.get(key)!
          const nodeId = nodeOf(resource)
          if (nodeId instanceof FatalError) ends.set(key, nodeId)
          else byNode.set(nodeId, [...byNode.get(nodeId) ?? [], resource])
        }
        // A broker named by its id is found in metadata only.
        if ([...byNode.keys()].some((nodeId) => nodeId !== undefined && !cluster.view().nodes.has(nodeId))) {
          yield* cluster.controller
        }
        yield* Effect.forEach(byNode, ([nodeId, asked]) =>
          Effect.gen(function*() {
            for (const [key, end] of yield* ask(nodeId ?? (yield* cluster.anyNode), asked)) ends.set(key, end)
          }), { concurrency: "unbounded", discard: true })
        return ends
      }))
  }

  const describeConfigs: Admin["describeConfigs"] = (resources, options = {}) =>
    Effect.map(
      settleResources<ReadonlyArray<ConfigEntry>>(resources, (nodeId, asked) =>
        Effect.map(
          cluster.call(nodeId, "data", describeConfigsApi, (version) => ({
            resources: asked.map(({ name, type }) => ({
              resourceType: resourceTypes[type],
              resourceName: name,
              configurationKeys: null
            })),
            includeSynonyms: options.synonyms ?? false,
            ...version >= DOCUMENTATION_VERSION ? { includeDocumentation: options.documentation ?? false } : {}
          })),
          ({ results }) =>
            new Map(results.map(({ configs, errorCode, errorMessage, resourceName, resourceType }) => [
              keyOf(resourceType, resourceName),
              errorCode === ErrorCode.NONE
                ? configs.map(entryOf)
                : errorOfCode(errorCode, `describe configs of ${JSON.stringify(resourceName)}`, errorMessage)
            ]))
        )),
      (ends) =>
        resources.map((resource) => ({ resource, result: ends.get(keyOf(resourceTypes[resource.type], resource.name))! }))
    )

  const alterConfigs: Admin["alterConfigs"] = (changes, options = {}) => {
    const byKey = new Map(changes.map((change) => [keyOf(resourceTypes[change.resource.type], change.resource.name), change]))
    return Effect.map(
      settleResources<undefined>(changes.map(({ resource }) => resource), (nodeId, asked) =>
        Effect.map(
          cluster.call(nodeId, "data", IncrementalAlterConfigs.incrementalAlterConfigsApi, {
            resources: asked.map(({ name, type }) => ({
              resourceType: resourceTypes[type],
              resourceName: name,
              configs: byKey.get(keyOf(resourceTypes[type], name))!.alterations.map((alteration) => ({
                name: alteration.name,
                configOperation: operations[alteration.operation],
                value: alteration.operation === "DELETE" ? null : alteration.value ?? null
              }))
            })),
            validateOnly: options.validateOnly ?? false
          }),
          ({ responses }) =>
            new Map(responses.map(({ errorCode, errorMessage, resourceName, resourceType }) => {
              const key = keyOf(resourceType, resourceName)
              const change = byKey.get(key)
              const context = `alter ${change === undefined ? JSON.stringify(resourceName) : show(change.resource)}`
              return [key, errorCode === ErrorCode.NONE ? undefined : errorOfCode(errorCode, context, errorMessage)]
            }))
        )),
      (ends) =>
        changes.map(({ resource }) => {
          const end = ends.get(keyOf(resourceTypes[resource.type], resource.name))
          return { resource, error: isError(end) ? end : undefined }
        })
    )
  }

  return { describeConfigs, alterConfigs }
}
