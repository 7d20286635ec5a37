/** What a producer asks of brokers: Produce (versions 3 to 13) and, for idempotence, InitProducerId (KIP-98). */
import type { Crypto } from "../ports/Crypto.ts"
import { ApiKey } from "../protocol/ApiKey.ts"
import {
  decodeInitProducerIdResponse,
  encodeInitProducerIdRequest,
  type InitProducerIdRequestInput,
  type InitProducerIdResponse
} from "../protocol/generated/InitProducerId.ts"
import {
  decodeProduceResponse,
  encodeProduceRequest,
  type ProduceRequestInput,
  type ProduceRequestPartitionProduceDataInput,
  type ProduceResponse,
  type ProduceResponsePartitionProduceResponse,
  type ProduceResponseTopicProduceResponse
} from "../protocol/generated/Produce.ts"
import { type RpcApi, rpcApi } from "../rpc/RpcApi.ts"
import type { PartitionQueue, TopicState } from "./Accumulator.ts"
import type { ProducerSettings } from "./ProducerSettings.ts"
import type { ProduceCall } from "./SenderState.ts"

export const produceApi: RpcApi<ProduceRequestInput, ProduceResponse> = rpcApi(
  ApiKey.Produce,
  encodeProduceRequest,
  decodeProduceResponse
)
export const initProducerIdApi: RpcApi<InitProducerIdRequestInput, InitProducerIdResponse> = rpcApi(
  ApiKey.InitProducerId,
  encodeInitProducerIdRequest,
  decodeInitProducerIdResponse
)

/** Without a transactional id the broker looks at no transaction timeout; Kafka's client sends the largest too. */
export const newProducerId: InitProducerIdRequestInput = {
  transactionalId: null,
  transactionTimeoutMs: 0x7fff_ffff,
  producerId: -1,
  producerEpoch: -1
}

/** With names and ids of topics: the version decides which of them is sent. The batches' bytes are views. */
export const produceRequest = (
  { batches, queues }: ProduceCall,
  { acks, requestTimeoutMs }: ProducerSettings,
  crypto: Crypto
): ProduceRequestInput => {
  const topics = new Map<TopicState, Array<ProduceRequestPartitionProduceDataInput>>()
  for (let i = 0; i < batches.length; i++) {
    const { partition, topic } = queues[i]!
    const one = { index: partition, records: batches[i]!.toBytes(crypto) }
    const partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, [one])
    else partitions.push(one)
  }
  const topicData = [...topics].map(([{ name, view }, partitionData]) => ({ name, topicId: view.id, partitionData }))
  return { transactionalId: null, acks, timeoutMs: requestTimeoutMs, topicData }
}

interface Answer {
  readonly topic: ProduceResponseTopicProduceResponse
  readonly answer: ProduceResponsePartitionProduceResponse
}

/** From version 13 on topics are named by their ids. */
const isFor = ({ partition, topic: { name, view } }: PartitionQueue, { answer, topic }: Answer): boolean =>
  answer.index === partition && (topic.name === "" ? topic.topicId === view.id : topic.name === name)

/** Finds the answer to a partition of the request, given its place there; undefined when the broker left it out. */
export const answersOf = (
  response: ProduceResponse
): (queue: PartitionQueue, index: number) => ProduceResponsePartitionProduceResponse | undefined => {
  const answers = response.responses.flatMap((topic) => topic.partitionResponses.map((answer) => ({ topic, answer })))
  return (queue, index) => {
    // Brokers answer in the order of the request, which nothing promises.
    const inPlace = answers[index]
    return (inPlace !== undefined && isFor(queue, inPlace) ? inPlace : answers.find((one) => isFor(queue, one)))?.answer
  }
}
