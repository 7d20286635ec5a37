/**
 * Changing the configurations of topics and brokers, decided on an image: pure. One key holds all overrides of a
 * resource, so a change of several of them is seen whole. Error codes as in Kafka's ConfigurationControlManager, which
 * judges values before it asks whether a topic is there.
 */
import { ErrorCode } from "../protocol/ErrorCode.ts"
import type { Comparison, Operation } from "../ports/MetadataStore.ts"
import { ConfigOperation } from "./Commands.ts"
import type { ConfigResourceChange, ConfigResourceReplacement, ConfigResult, ItemResult } from "./Commands.ts"
import { changeOf, put, remove } from "./Decision.ts"
import type { Decided } from "./Decision.ts"
import { brokerConfigKey, clearedElrKey, configValue, topicConfigKey, topicKey } from "./Keys.ts"
import { EMPTY_CONFIG } from "./MetadataImage.ts"
import type { ConfigMap, MetadataImage } from "./MetadataImage.ts"

/** Kafka's numbers of the resource types that have configurations here. */
export const ConfigResourceType: { readonly TOPIC: 2; readonly BROKER: 4 } = { TOPIC: 2, BROKER: 4 }

export interface ConfigDecisionContext {
  readonly topicConfigError: (configs: ConfigMap) => string | undefined
  readonly brokerConfigError: (configs: ConfigMap, broker: string) => string | undefined
  /**
   * The static or default value of a list key, which APPEND and SUBTRACT start from when the resource has no
   * override; undefined for a key that is no list (or unknown).
   */
  readonly listDefault: (resourceType: number, name: string) => string | undefined
}

interface Resource {
  readonly key: string
  /** Put when `min.insync.replicas` changes: whoever was eligible to lead may miss what fewer replicas commit now. */
  readonly clearedElr: string
  readonly current: ConfigMap
  readonly comparisons: ReadonlyArray<Comparison>
  /** What answers changes that are right by themselves, because the resource is not there. */
  readonly missing?: ItemResult
  readonly error: (configs: ConfigMap) => string | undefined
  /** What a refused configuration is: Kafka checks those of brokers before it asks its controller. */
  readonly errorCode: number
}

const refuse = (error: number, message: string): ItemResult => ({ error, message })
const DONE: ItemResult = { error: ErrorCode.NONE, message: null }

const MIN_ISR = "min.insync.replicas"
const MAX_NODE_ID = 2_147_483_647

const resourceOf = (
  image: MetadataImage,
  type: number,
  name: string,
  context: ConfigDecisionContext
): Resource | ItemResult => {
  if (type === ConfigResourceType.TOPIC) {
    const topic = image.topicsByName.get(name)
    const key = topicConfigKey(name)
    return {
      key,
      clearedElr: clearedElrKey(name),
      ...(topic === undefined && {
        missing: refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `The topic '${name}' does not exist.`)
      }),
      current: image.topicConfigs.get(name) ?? EMPTY_CONFIG,
      comparisons: [
        { key: topicKey(name), modRevision: topic?.modRevision ?? 0 },
        { key, modRevision: image.revisions.get(key) ?? 0 }
      ],
      error: context.topicConfigError,
      errorCode: ErrorCode.INVALID_CONFIG
    }
  }
  if (type === ConfigResourceType.BROKER) {
    if (name !== "") {
      const id = Number(name)
      if (!/^\d+$/.test(name) || id > MAX_NODE_ID) {
        return refuse(ErrorCode.INVALID_REQUEST, `Invalid broker name ${name}`)
      }
      if (!image.brokers.has(id)) {
        return refuse(ErrorCode.BROKER_ID_NOT_REGISTERED, `No broker with id ${name} found.`)
      }
    }
    const key = brokerConfigKey(name)
    return {
      key,
      clearedElr: clearedElrKey(""),
      current: image.brokerConfigs.get(name) ?? EMPTY_CONFIG,
      comparisons: [{ key, modRevision: image.revisions.get(key) ?? 0 }],
      error: (configs) => context.brokerConfigError(configs, name),
      errorCode: ErrorCode.INVALID_REQUEST
    }
  }
  return refuse(ErrorCode.INVALID_REQUEST, `Unexpected resource type ${type}.`)
}

/**
 * Who is an eligible leader replica follows from min.insync.replicas, so all brokers must mean the same by it: no broker
 * has one of its own, and the cluster's is never removed. Kafka refuses both while eligible.leader.replicas.version is 1,
 * as it is in a new cluster since 4.1; codes and words are its own.
 */
const minIsrError = (type: number, name: string, isAltered: boolean, next: ConfigMap): ItemResult | undefined => {
  if (type !== ConfigResourceType.BROKER || !isAltered) return undefined
  if (name !== "") {
    return refuse(ErrorCode.INVALID_CONFIG, "Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
  }
  if (next.has(MIN_ISR)) return undefined
  return refuse(ErrorCode.INVALID_CONFIG, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
}

/**
 * What a cluster has from its first start: min.insync.replicas as a cluster-wide configuration, from the properties of
 * the broker that starts first, and of no broker by itself. From then on that is what counts, also when the properties
 * say something else at a later start (Kafka's ActivationRecordsGenerator). A store that does not have it, of an older
 * version or imported from an older Kafka, gets it, as Kafka does when the feature is turned on.
 */
export const decideClusterMinIsr = (image: MetadataImage, configured: number): Decided<undefined> => {
  const comparisons: Array<Comparison> = []
  const operations: Array<Operation> = []
  const change = (name: string, next: ConfigMap): void => {
    const key = brokerConfigKey(name)
    comparisons.push({ key, modRevision: image.revisions.get(key) ?? 0 })
    operations.push(next.size === 0 ? remove(key) : put(key, configValue(next)))
  }
  const cluster = image.brokerConfigs.get("") ?? EMPTY_CONFIG
  if (!cluster.has(MIN_ISR)) change("", new Map(cluster).set(MIN_ISR, String(configured)))
  for (const [name, configs] of image.brokerConfigs) {
    if (name !== "" && configs.has(MIN_ISR)) change(name, new Map([...configs].filter(([key]) => key !== MIN_ISR)))
  }
  return { result: undefined, ...(operations.length > 0 && { change: changeOf(comparisons, operations) }) }
}

const isRefusal = (value: object): value is ItemResult => "message" in value

const sameConfigs = (a: ConfigMap, b: ConfigMap): boolean => {
  if (a.size !== b.size) return false
  for (const [name, value] of a) if (b.get(name) !== value) return false
  return true
}

/** The key with its new configurations, or without any. */
const replace = (
  resource: Resource,
  next: ConfigMap,
  wrongMinIsr: ItemResult | undefined,
  resultOf: (item: ItemResult) => ConfigResult
): Decided<ConfigResult> => {
  const wrong = resource.error(next)
  if (wrong !== undefined) return { result: resultOf(refuse(resource.errorCode, wrong)) }
  if (wrongMinIsr !== undefined) return { result: resultOf(wrongMinIsr) }
  if (resource.missing !== undefined) return { result: resultOf(resource.missing) }
  if (sameConfigs(resource.current, next)) return { result: resultOf(DONE) }
  return {
    result: resultOf(DONE),
    change: changeOf(resource.comparisons, [
      next.size === 0 ? remove(resource.key) : put(resource.key, configValue(next)),
      ...(resource.current.get(MIN_ISR) === next.get(MIN_ISR) ? [] : [put(resource.clearedElr, "{}")])
    ])
  }
}

/**
 * What APPEND adds, as Kafka splits it: empty entries count but for those at the end, and make the whole list wrong
 * where it may have none.
 */
const appendedParts = (value: string): ReadonlyArray<string> => {
  const parts = value.split(",").map((part) => part.trim())
  while (parts.length > 1 && parts.at(-1) === "") parts.pop()
  return parts.length === 1 && parts[0] === "" && value !== "" ? [] : parts
}

const listOf = (value: string): ReadonlyArray<string> =>
  value.split(",").map((part) => part.trim()).filter((part) => part !== "")

export const decideIncrementalAlterConfigs = (
  image: MetadataImage,
  resources: ReadonlyArray<ConfigResourceChange>,
  context: ConfigDecisionContext
): ReadonlyArray<Decided<ConfigResult>> =>
  resources.map(({ resourceType, resourceName, changes }) => {
    const resultOf = (item: ItemResult): ConfigResult => ({ ...item, resourceType, resourceName })
    const resource = resourceOf(image, resourceType, resourceName, context)
    if (isRefusal(resource)) return { result: resultOf(resource) }
    const next = new Map(resource.current)
    for (const { name, operation, value } of changes) {
      switch (operation) {
        case ConfigOperation.SET:
          if (value === null) {
            return { result: resultOf(refuse(ErrorCode.INVALID_REQUEST, `Null value not supported for : ${name}`)) }
          }
          next.set(name, value)
          break
        case ConfigOperation.DELETE:
          next.delete(name)
          break
        case ConfigOperation.APPEND:
        case ConfigOperation.SUBTRACT: {
          const appends = operation === ConfigOperation.APPEND
          const start = context.listDefault(resourceType, name)
          if (start === undefined) {
            return {
              result: resultOf(refuse(
                ErrorCode.INVALID_CONFIG,
                `Can't ${appends ? "APPEND" : "SUBTRACT"} to key ${name} because its type is not LIST.`
              ))
            }
          }
          const old = listOf(next.get(name) ?? start)
          const parts = appends ? appendedParts(value ?? "") : listOf(value ?? "")
          next.set(
            name,
            (appends ? [...old, ...parts.filter((part) => !old.includes(part))] : old.filter((part) => !parts.includes(part)))
              .join(",")
          )
          break
        }
        default:
          return { result: resultOf(refuse(ErrorCode.INVALID_REQUEST, `Unknown operations type ${operation}`)) }
      }
    }
    const altersMinIsr = changes.some(({ name }) => name === MIN_ISR)
    return replace(resource, next, minIsrError(resourceType, resourceName, altersMinIsr, next), resultOf)
  })

export const decideAlterConfigs = (
  image: MetadataImage,
  resources: ReadonlyArray<ConfigResourceReplacement>,
  context: ConfigDecisionContext
): ReadonlyArray<Decided<ConfigResult>> =>
  resources.map(({ resourceType, resourceName, configs }) => {
    const resultOf = (item: ItemResult): ConfigResult => ({ ...item, resourceType, resourceName })
    const resource = resourceOf(image, resourceType, resourceName, context)
    if (isRefusal(resource)) return { result: resultOf(resource) }
    const next = new Map<string, string>()
    for (const { name, value } of configs) {
      if (value === null) {
        return { result: resultOf(refuse(ErrorCode.INVALID_REQUEST, `Null value not supported for : ${name}`)) }
      }
      next.set(name, value)
    }
    // What is not named is removed.
    const altersMinIsr = next.has(MIN_ISR) || resource.current.has(MIN_ISR)
    return replace(resource, next, minIsrError(resourceType, resourceName, altersMinIsr, next), resultOf)
  })
