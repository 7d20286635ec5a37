/** Handlers on a controller in memory: what a topic's handler needs of a broker and no more. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { BrokerServices } from "../../../core/broker/BrokerServices.ts"
import { BrokerConfig } from "../../../core/broker/config/BrokerConfig.ts"
import { isEffectReply } from "../../../core/broker/Handler.ts"
import type { Handler, ResponseBody } from "../../../core/broker/Handler.ts"
import { validateTopicConfigs } from "../../../core/cluster/configs/TopicConfigs.ts"
import type { Controller } from "../../../core/cluster/Controller.ts"
import * as MemoryMetadataStore from "../../../core/memory/MemoryMetadataStore.ts"
import { apis } from "../../../core/protocol/Apis.ts"
import { ByteReader } from "../../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../../core/protocol/ByteWriter.ts"
import type { ApiCodec } from "../../../core/protocol/Apis.ts"
import { toBytes } from "../../../core/model/Payload.ts"
import { makeController, registration } from "../../cluster/support.ts"

export interface TestBroker {
  readonly services: BrokerServices
  readonly controller: Controller
  /** Sends a request through the codecs of its version, both ways. */
  // deno-lint-ignore no-explicit-any
  readonly ask: (handler: Handler, version: number, request: object, listenerName?: string) => Effect.Effect<any>
}

const codecOf = (apiKey: number): ApiCodec => {
  const codec = apis.get(apiKey)
  if (codec === undefined) throw new Error(`no api ${apiKey}`)
  return codec
}

export const makeBroker = (overrides: ReadonlyArray<readonly [string, string]> = []): Effect.Effect<TestBroker, unknown, Scope> =>
  Effect.gen(function*() {
    const config = BrokerConfig.load({ overrides })
    if (!(config instanceof BrokerConfig)) throw config
    const controller = yield* makeController(MemoryMetadataStore.make(), {
      numPartitions: () => config.number("num.partitions"),
      replicationFactor: () => config.number("default.replication.factor"),
      topicConfigError: (configs) => validateTopicConfigs(configs, config.texts)[0]?.message
    })
    const listener = { name: "PLAINTEXT", host: "inside", port: 9092, securityProtocol: "PLAINTEXT" }
    yield* controller.registerBroker({
      ...registration(1),
      rack: "a",
      listeners: [listener, { ...listener, name: "OUTSIDE", host: "outside", port: 19092 }]
    })
    const services = {
      brokerId: 1,
      clusterId: controller.image().clusterId,
      config,
      controller,
      image: controller.image
    } as unknown as BrokerServices

    return {
      services,
      controller,
      ask: (handler, apiVersion, request, listenerName = "PLAINTEXT") =>
        Effect.gen(function*() {
          const codec = codecOf(handler.apiKey)
          const writer = new ByteWriter()
          codec.encodeRequest(writer, apiVersion, request)
          const connection = {
            id: "test",
            listenerName,
            securityProtocol: "PLAINTEXT",
            clientAddress: "127.0.0.1",
            principal: "User:ANONYMOUS"
          }
          const context = { connection, apiKey: handler.apiKey, apiVersion, correlationId: 1, clientId: "test", monotonicMs: 0 }
          const reply = handler.handle(context, new ByteReader(toBytes(writer.finish())))
          const body = (isEffectReply(reply) ? yield* reply : reply) as ResponseBody
          const answer = new ByteWriter()
          body(answer)
          const reader = new ByteReader(toBytes(answer.finish()))
          const response = codec.decodeResponse(reader, apiVersion)
          if (reader.remaining !== 0) throw new Error(`${reader.remaining} bytes too many`)
          return response
        })
    }
  })
