/** Requests and answers of several partitions: each batch goes to its partition, each answer to its batch. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type PartitionQueue, TopicState } from "../../core/client/Accumulator.ts"
import { Partitioner } from "../../core/client/Partitioner.ts"
import type { ProducerBatch } from "../../core/client/ProducerBatch.ts"
import { ProduceAnswers, produceRequest } from "../../core/client/ProducerRequests.ts"
import { producerSettings } from "../../core/client/ProducerSettings.ts"
import type { ProduceResponse } from "../../core/protocol/generated/Produce.ts"
import type { Crypto } from "../../core/ports/Crypto.ts"

const PARTITIONS = 4
const kafka = Partitioner.defaultValue()
/** These batches are not real ones. */
const crypto = undefined as unknown as Crypto
const topicOf = (name: string): TopicState => {
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, leader: 1, leaderEpoch: 0, replicas: [1], isr: [1], offlineReplicas: [] }))
  const view = { name, id: `id-of-${name}`, isInternal: false, partitions }
  return new TopicState(view, kafka.make(name, () => 0, { batchSizeBytes: 1, adaptive: false, ignoreKeys: false }))
}
const topics = ["a", "b", "c"].map(topicOf)
const queues: ReadonlyArray<PartitionQueue> = topics.flatMap(({ partitions }) => partitions)
const settings = producerSettings({ "bootstrap.servers": "x:1" })
if (settings instanceof Error) throw settings

const someQueues = fc.shuffledSubarray([...queues], { minLength: 1 })
const batchOf = (queue: PartitionQueue): ProducerBatch =>
  ({ toBytes: () => Uint8Array.of(queues.indexOf(queue)) }) as unknown as ProducerBatch

describe("Produce requests and answers", () => {
  it("has every batch once, in the place of its partition, and each topic once", () => {
    fc.assert(fc.property(someQueues, (chosen) => {
      const request = produceRequest({ nodeId: 1, queues: chosen, batches: chosen.map(batchOf) }, settings, crypto)
      const names = request.topicData!.map(({ name }) => name)
      expect(new Set(names).size).toBe(names.length)
      const sent = request.topicData!.flatMap(({ name, partitionData }) =>
        partitionData!.map(({ index, records }) => [name, index, (records as Uint8Array)[0]]))
      const expected = chosen.map((queue) => [queue.topic.name, queue.partition, queues.indexOf(queue)])
      expect(sent.map(String).sort()).toEqual(expected.map(String).sort())
    }))
  })

  it("finds each answer whatever the order, by name or by id, and says which are missing", () => {
    fc.assert(fc.property(someQueues, someQueues, fc.boolean(), (asked, answered, byId) => {
      const responses = answered.map(({ partition, topic }) => ({
        name: byId ? "" : topic.name,
        topicId: byId ? topic.view.id : "",
        partitionResponses: [{ index: partition, baseOffset: queues.findIndex((one) => one.topic === topic && one.partition === partition) }]
      }))
      const answers = new ProduceAnswers({ responses } as unknown as ProduceResponse)
      for (const queue of asked) {
        const answer = answers.to(queue)
        expect(answer?.baseOffset).toBe(answered.includes(queue) ? queues.indexOf(queue) : undefined)
      }
    }))
  })
})
