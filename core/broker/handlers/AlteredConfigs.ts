/**
 * What AlterConfigs and IncrementalAlterConfigs have in common: requests are checked for what this broker alone knows,
 * the rest goes to the controller, and answers come in the order of the request.
 *
 * A resource that comes twice is refused each time; so is a key that comes twice in one resource.
 */
import * as Effect from "effect/Effect"
import { type ConfigResult, type ItemResult } from "../../cluster/Commands.ts"
import { ConfigResourceType } from "../../cluster/ConfigDecisions.ts"
import { topicNameError } from "../../model/Ids.ts"
import type { MetadataStoreError } from "../../ports/MetadataStore.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"

/** Resource types of Kafka that have no place among the controller's. */
export const BROKER_LOGGER = 8
export const CLIENT_METRICS = 16
export const GROUP = 32

export interface AlteredEntry {
  readonly name: string
  readonly value: string | null
}

export interface AlteredResource<Entry extends AlteredEntry> {
  readonly resourceType: number
  readonly resourceName: string
  readonly configs: ReadonlyArray<Entry>
}

const refused = (error: number, message: string): ItemResult => ({ error, message })

const isNodeId = (name: string): boolean => /^[+-]?[0-9]+$/.test(name)

/** What is wrong with a resource, whatever is to be changed; undefined for one that the controller shall decide. */
const resourceError = (type: number, name: string, brokerId: number): ItemResult | undefined => {
  switch (type) {
    case ConfigResourceType.TOPIC: {
      if (name === "") return refused(ErrorCode.INVALID_REQUEST, "Default topic resources are not allowed.")
      const wrong = topicNameError(name)
      return wrong === undefined ? undefined : refused(ErrorCode.INVALID_TOPIC_EXCEPTION, wrong)
    }
    case ConfigResourceType.BROKER:
      if (name === "") return undefined
      if (!isNodeId(name)) return refused(ErrorCode.INVALID_REQUEST, `Node id must be an integer, but it is: ${name}`)
      return Number(name) === brokerId
        ? undefined
        : refused(ErrorCode.INVALID_REQUEST, `Unexpected broker id, expected ${brokerId}, but received ${name}`)
    case BROKER_LOGGER:
      if (!isNodeId(name)) return refused(ErrorCode.INVALID_REQUEST, `Node id must be an integer, but it is: ${name}`)
      return Number(name) === brokerId
        ? undefined
        : refused(ErrorCode.INVALID_REQUEST, `Unexpected node id. Expected ${brokerId}, but received ${name}`)
    case CLIENT_METRICS:
    case GROUP:
      return refused(ErrorCode.INVALID_REQUEST, `Configurations of ${type === GROUP ? "groups" : "client metrics"} are not there yet`)
    default:
      return refused(ErrorCode.INVALID_REQUEST, `Unknown resource type ${type}`)
  }
}

/** What is wrong with the entries by themselves. */
const entriesError = (entries: ReadonlyArray<AlteredEntry>, mayBeNull: (entry: never) => boolean): ItemResult | undefined => {
  const names = new Set(entries.map(({ name }) => name))
  if (names.size < entries.length) return refused(ErrorCode.INVALID_REQUEST, "Error due to duplicate config keys")
  const missing = entries.filter((entry) => entry.value === null && !mayBeNull(entry as never)).map(({ name }) => name)
  return missing.length === 0
    ? undefined
    : refused(ErrorCode.INVALID_REQUEST, `Null value not supported for : ${missing.join(", ")}`)
}

export interface AlterRules<Entry extends AlteredEntry> {
  readonly brokerId: number
  /** Entries whose value may be null. */
  readonly mayBeNull: (entry: Entry) => boolean
  /** Answers a resource without the controller; undefined leaves it to the controller. */
  readonly decide: (resource: AlteredResource<Entry>) => ItemResult | undefined
  readonly submit: (
    resources: ReadonlyArray<AlteredResource<Entry>>
  ) => Effect.Effect<ReadonlyArray<ConfigResult>, MetadataStoreError>
}

const keyOf = ({ resourceName, resourceType }: { readonly resourceName: string; readonly resourceType: number }): string =>
  `${resourceType}:${resourceName}`

/** The outcome of each resource, in the order they came. */
export const alterResources = <Entry extends AlteredEntry>(
  resources: ReadonlyArray<AlteredResource<Entry>>,
  rules: AlterRules<Entry>
): Effect.Effect<ReadonlyArray<ConfigResult>> => {
  const counts = new Map<string, number>()
  for (const resource of resources) counts.set(keyOf(resource), (counts.get(keyOf(resource)) ?? 0) + 1)
  const early = resources.map((resource): ItemResult | undefined =>
    counts.get(keyOf(resource)) !== 1
      ? refused(ErrorCode.INVALID_REQUEST, "Each resource must appear at most once.")
      : entriesError(resource.configs, rules.mayBeNull) ??
        resourceError(resource.resourceType, resource.resourceName, rules.brokerId) ??
        rules.decide(resource)
  )
  const left = resources.filter((_, at) => early[at] === undefined)
  const combine = (of: (resource: AlteredResource<Entry>) => ConfigResult): ReadonlyArray<ConfigResult> =>
    resources.map((resource, at) => {
      const { resourceName, resourceType } = resource
      const item = early[at]
      return item === undefined ? of(resource) : { ...item, resourceType, resourceName }
    })
  if (left.length === 0) {
    return Effect.succeed(combine((resource) => ({ ...resource, error: ErrorCode.NONE, message: null })))
  }
  return rules.submit(left).pipe(
    Effect.map((results) => {
      const byKey = new Map(results.map((result) => [keyOf(result), result]))
      return combine((resource) => {
        const { resourceName, resourceType } = resource
        return byKey.get(keyOf(resource)) ?? { resourceType, resourceName, error: ErrorCode.UNKNOWN_SERVER_ERROR, message: null }
      })
    }),
    Effect.catch((error: MetadataStoreError) =>
      Effect.as(
        Effect.logWarning(`the metadata store: ${error.message}`),
        combine(({ resourceName, resourceType }) => ({
          resourceType,
          resourceName,
          error: ErrorCode.REQUEST_TIMED_OUT,
          message: `The metadata store: ${error.message}`
        }))
      )
    )
  )
}
