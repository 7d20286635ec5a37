/**
 * IncrementalAlterConfigs, versions 0-1 (KIP-339). Sets, deletes, appends to and subtracts from the configurations of
 * topics, of this broker and of all brokers by default (resource name ""). Each resource is changed whole or refused
 * with an error of its own; a change is durable and effective when it is answered.
 *  - APPEND and SUBTRACT start from the effective list when the resource has none of its own; entries come once.
 *  - BROKER_LOGGER (KIP-412): there is one logger, `root`, and its level is fixed at start.
 * Left out: authorisation, groups, client metrics.
 */
import * as Effect from "effect/Effect"
import { ConfigOperation, type ItemResult } from "../../cluster/Commands.ts"
import { ConfigResourceType } from "../../cluster/ConfigDecisions.ts"
import { brokerConfigDefs } from "../../cluster/configs/ConfigDefs.ts"
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import {
  decodeIncrementalAlterConfigsRequest,
  encodeIncrementalAlterConfigsResponse,
  type IncrementalAlterConfigsRequestAlterableConfig
} from "../../protocol/generated/IncrementalAlterConfigs.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"
import { alterResources, BROKER_LOGGER } from "./AlteredConfigs.ts"

type Entry = IncrementalAlterConfigsRequestAlterableConfig

const ROOT_LOGGER = "root"
const LOG_LEVELS: ReadonlyArray<string> = ["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"]

/** Log levels are no configuration here: every change is answered with why not. */
const loggerAnswer = (entries: ReadonlyArray<Entry>): ItemResult => {
  for (const { configOperation, name, value } of entries) {
    if (configOperation === ConfigOperation.APPEND || configOperation === ConfigOperation.SUBTRACT) {
      const operation = configOperation === ConfigOperation.APPEND ? "APPEND" : "SUBTRACT"
      return { error: ErrorCode.INVALID_REQUEST, message: `${operation} operation is not allowed for the BROKER_LOGGER resource` }
    }
    if (name !== ROOT_LOGGER) return { error: ErrorCode.INVALID_CONFIG, message: `Logger ${name} does not exist!` }
    if (configOperation === ConfigOperation.DELETE) {
      return { error: ErrorCode.INVALID_REQUEST, message: "Removing the log level of the root logger is not allowed" }
    }
    if (!LOG_LEVELS.includes(value ?? "")) {
      return {
        error: ErrorCode.INVALID_CONFIG,
        message: `Cannot set the log level of ${name} to ${value} as it is not a supported log level. Valid log levels are ${LOG_LEVELS.join(", ")}`
      }
    }
    return { error: ErrorCode.INVALID_REQUEST, message: "The log level is fixed at start: --log-level" }
  }
  return { error: ErrorCode.NONE, message: null }
}

const isKnown = (operation: number): boolean => operation >= ConfigOperation.SET && operation <= ConfigOperation.SUBTRACT

/** What Kafka's broker looks at before its controller: operations that a broker's keys have. */
const brokerOperation = (broker: BrokerServices, configs: ReadonlyArray<Entry>): ItemResult | undefined => {
  const unknown = configs.find(({ configOperation }) => !isKnown(configOperation))
  if (unknown !== undefined) {
    return { error: ErrorCode.INVALID_REQUEST, message: `Unknown operations type ${unknown.configOperation}` }
  }
  for (const { configOperation, name } of configs) {
    if (configOperation !== ConfigOperation.APPEND && configOperation !== ConfigOperation.SUBTRACT) continue
    if (broker.config.listDefault(ConfigResourceType.BROKER, name) !== undefined) continue
    const operation = configOperation === ConfigOperation.APPEND ? "append" : "subtract"
    return {
      error: ErrorCode.INVALID_CONFIG,
      message: brokerConfigDefs.has(name)
        ? `Config value ${operation} is not allowed for config key: ${name}`
        : `Unknown config name: ${name}`
    }
  }
  return undefined
}

export const makeIncrementalAlterConfigs = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.IncrementalAlterConfigs,
  minVersion: 0,
  maxVersion: 1,
  handle: ({ apiVersion }, reader) => {
    const { resources, validateOnly } = decodeIncrementalAlterConfigsRequest(reader, apiVersion)
    return Effect.map(
      alterResources<Entry>(resources, {
        brokerId: broker.brokerId,
        mayBeNull: ({ configOperation }) => configOperation === ConfigOperation.DELETE,
        decide: (resource) => {
          if (resource.resourceType === BROKER_LOGGER) return loggerAnswer(resource.configs)
          if (resource.resourceType === ConfigResourceType.BROKER) return brokerOperation(broker, resource.configs)
          return undefined
        },
        submit: (left) => {
          // Kafka's controller fails on these, for all resources and without a word.
          if (left.some(({ configs }) => configs.some(({ configOperation }) => !isKnown(configOperation)))) {
            return Effect.succeed(left.map((resource) => ({ ...resource, error: ErrorCode.UNKNOWN_SERVER_ERROR, message: null })))
          }
          return broker.controller.incrementalAlterConfigs(
            left.map(({ configs, resourceName, resourceType }) => ({
              resourceType,
              resourceName,
              changes: configs.map(({ configOperation, name, value }) => ({ name, operation: configOperation, value }))
            })),
            { validateOnly }
          )
        }
      }),
      (results) => {
        const responses = results.map(({ error, message, resourceName, resourceType }) => ({
          errorCode: error,
          errorMessage: message,
          resourceType,
          resourceName
        }))
        return (writer) => encodeIncrementalAlterConfigsResponse(writer, apiVersion, { throttleTimeMs: 0, responses })
      }
    )
  }
})
