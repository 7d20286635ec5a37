/** Fills topics for the consumer's tests, by a connection of its own and without our producer. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Consumer, ConsumerRecord } from "../../core/client/Consumer.ts"
import type { ClientError } from "../../core/client/ClientError.ts"
import type { Network } from "../../core/ports/Network.ts"
import { ErrorCode, errorName } from "../../core/protocol/ErrorCode.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import { produceApi } from "../broker/Apis.ts"
import { batchOf, type ProduceOptions, produceRequest } from "../broker/TestBroker.ts"
import type { TestBroker } from "./TestBrokers.ts"

const text = new TextDecoder()

export const valueOf = ({ value }: ConsumerRecord): string => value === null ? "" : text.decode(value)

/** `from` to `to`, exclusive, as values. */
export const numbers = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from }, (_, index) => String(from + index))

export const addressOf = ({ bootstrap }: TestBroker): { readonly host: string; readonly port: number } => {
  const colon = bootstrap.lastIndexOf(":")
  return { host: bootstrap.slice(0, colon), port: Number(bootstrap.slice(colon + 1)) }
}

export interface TopicWriter {
  /** A batch of these values. */
  readonly write: (topic: string, values: ReadonlyArray<string>, options?: ProduceOptions) => Effect.Effect<void>
  readonly writeBytes: (topic: string, bytes: Uint8Array, options?: ProduceOptions) => Effect.Effect<void>
  readonly rpc: RpcConnection.RpcConnection
}

export const topicWriter = (broker: TestBroker): Effect.Effect<TopicWriter, never, Network | Scope> =>
  Effect.gen(function*() {
    const rpc = yield* RpcConnection.connect(addressOf(broker), { clientId: "test-writer" })
    const writeBytes: TopicWriter["writeBytes"] = (topic, bytes, options = {}) =>
      Effect.gen(function*() {
        // A topic that was only just created may have no leader for a moment.
        for (;;) {
          const { responses } = yield* rpc.call(produceApi, produceRequest(topic, bytes, options), { version: Math.min(12, rpc.versionOf(produceApi)!) })
          const { errorCode } = responses[0]!.partitionResponses[0]!
          if (errorCode === ErrorCode.NONE) return
          const isEarly = errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER
          if (!isEarly) return yield* Effect.die(new Error(`produce to ${topic}: ${errorName(errorCode)}`))
          yield* Effect.sleep(10)
        }
      }).pipe(Effect.orDie)
    return {
      rpc,
      writeBytes,
      write: (topic: string, values: ReadonlyArray<string>, options: ProduceOptions = {}) => writeBytes(topic, batchOf(values, options), options)
    }
  }).pipe(Effect.orDie)

/** Polls until that many records came; the test's own timeout is its limit. */
export const pollUntil = (
  consumer: Consumer,
  count: number
): Effect.Effect<ReadonlyArray<ConsumerRecord>, ClientError> =>
  Effect.gen(function*() {
    const records: Array<ConsumerRecord> = []
    while (records.length < count) {
      for (const one of yield* consumer.poll({ timeoutMs: 100 })) records.push(...one.records)
    }
    return records
  })
