/** What a producer asks of brokers: Produce (versions 3 to 13) and, for idempotence, InitProducerId (KIP-98). */
import type { Crypto } from "../ports/Crypto.ts"
import type { InitProducerIdRequestInput } from "../protocol/generated/InitProducerId.ts"
import type {
  ProduceRequestInput,
  ProduceRequestPartitionProduceDataInput,
  ProduceRequestTopicProduceDataInput,
  ProduceResponse,
  ProduceResponsePartitionProduceResponse,
  ProduceResponseTopicProduceResponse
} from "../protocol/generated/Produce.ts"
import type { PartitionQueue, TopicState } from "./Accumulator.ts"
import type { ProducerSettings } from "./ProducerSettings.ts"
import type { ProduceCall } from "./SenderState.ts"

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
  const topicData: Array<ProduceRequestTopicProduceDataInput> = []
  let partitionsOf: Map<TopicState, Array<ProduceRequestPartitionProduceDataInput>> | undefined
  let last: TopicState | undefined
  let partitions: Array<ProduceRequestPartitionProduceDataInput> = []
  for (let i = 0; i < batches.length; i++) {
    const { partition, topic } = queues[i]!
    if (topic !== last) {
      // Most requests have one topic, and need no map.
      if (last !== undefined) (partitionsOf ??= new Map()).set(last, partitions)
      const known = partitionsOf?.get(topic)
      last = topic
      partitions = known ?? []
      if (known === undefined) topicData.push({ name: topic.name, topicId: topic.view.id, partitionData: partitions })
    }
    partitions.push({ index: partition, records: batches[i]!.toBytes(crypto) })
  }
  return { transactionalId: null, acks, timeoutMs: requestTimeoutMs, topicData }
}

/** From version 13 on topics are named by their ids. */
const isFor = (
  { partition, topic: { name, view } }: PartitionQueue,
  topic: ProduceResponseTopicProduceResponse,
  answer: ProduceResponsePartitionProduceResponse
): boolean => answer.index === partition && (topic.name === "" ? topic.topicId === view.id : topic.name === name)

/** Finds the answers to the partitions of a request, which is asked for in the order of the request. */
export class ProduceAnswers {
  readonly #topics: ReadonlyArray<ProduceResponseTopicProduceResponse>
  #topic = 0
  #partition = 0

  constructor(response: ProduceResponse) {
    this.#topics = response.responses
  }

  /** Undefined when the broker left it out. */
  to(queue: PartitionQueue): ProduceResponsePartitionProduceResponse | undefined {
    // Brokers answer in the order of the request, which nothing promises.
    while (this.#topic < this.#topics.length && this.#partition >= this.#topics[this.#topic]!.partitionResponses.length) {
      this.#topic++
      this.#partition = 0
    }
    const topic = this.#topics[this.#topic]
    const next = topic?.partitionResponses[this.#partition++]
    if (next !== undefined && isFor(queue, topic!, next)) return next
    for (const other of this.#topics) {
      for (const answer of other.partitionResponses) if (isFor(queue, other, answer)) return answer
    }
    return undefined
  }
}
