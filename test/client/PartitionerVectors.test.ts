import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import type { Partitioner, PartitionerTopic } from "../../core/client/Partitioner.ts"
import { recordOf, TRIAL_OPTIONS, trialTopic } from "../../core/client/PartitionerTrial.ts"
import { kafkaJs, kafkaPartitioner, librdkafka, partitionForKey, stickyPartitioner } from "../../core/client/partitioners/index.ts"
import { murmur2, toPositive } from "../../core/client/partitioners/Murmur2.ts"

interface KeyVector {
  readonly key: string
  readonly java: { readonly hash: number; readonly positive: number; readonly partitions: ReadonlyArray<number> }
  readonly librdkafka: Readonly<Record<string, ReadonlyArray<number | null>>>
  readonly kafkajs: Readonly<Record<string, ReadonlyArray<number>>>
}

type Step =
  | readonly ["append", bytes: number, open: boolean, partition: number]
  | readonly ["closed", partition: number]
  | readonly ["load", queueSizes: ReadonlyArray<number>, partitions: ReadonlyArray<number>, partition: number]
  | readonly ["leaders", leaders: ReadonlyArray<boolean>, partition: number]

interface StickyRun {
  readonly partitions: number
  readonly batchSizeBytes: number
  readonly random: ReadonlyArray<number>
  readonly steps: ReadonlyArray<Step>
}

const rows = (name: string): ReadonlyArray<unknown> =>
  readFileSync(new URL(`../fixtures/partitioners/${name}`, import.meta.url), "utf8").trim().split("\n").map((line) => JSON.parse(line))

const [head, ...vectors] = rows("keys.ndjson") as [{ readonly counts: ReadonlyArray<number> }, ...ReadonlyArray<KeyVector>]
const keyOf = ({ key }: KeyVector): Uint8Array => new Uint8Array(Buffer.from(key, "hex"))

/** A partitioner of another client places every key as that client does; a null stands for what it draws at random. */
const expectAgreement = (partitioner: Partitioner, wanted: (vector: KeyVector) => ReadonlyArray<number | null>): void => {
  const topics = head.counts.map((count) => trialTopic(count))
  const one = partitioner.make("trial", () => 0.5, TRIAL_OPTIONS)
  for (const vector of vectors) {
    const record = recordOf(keyOf(vector))
    wanted(vector).forEach((partition, at) => {
      if (partition !== null) {
        expect(one.partition(record, topics[at]!), `${partitioner.name}: key ${vector.key} of ${head.counts[at]}`).toBe(partition)
      }
    })
  }
}

describe("keys are placed as by", () => {
  it("Java's producer, and hashed as by its Utils", () => {
    expect(vectors.length).toBeGreaterThan(300)
    for (const vector of vectors) {
      expect(murmur2(keyOf(vector)), vector.key).toBe(vector.java.hash)
      expect(toPositive(vector.java.hash)).toBe(vector.java.positive)
      expect(head.counts.map((count) => partitionForKey(keyOf(vector), count))).toEqual(vector.java.partitions)
    }
    expect(vectors.filter(({ java }) => java.hash < 0).length).toBeGreaterThan(100)
    expectAgreement(kafkaPartitioner, ({ java }) => java.partitions)
  })

  it.each(Object.values(librdkafka).map((one: Partitioner) => [one.name, one] as const))("%s", (name, partitioner) => {
    expectAgreement(partitioner, (vector) => vector.librdkafka[name.slice("librdkafka.".length)]!)
  })

  it("kafkajs, today and before its version 2", () => {
    expectAgreement(kafkaJs.default, (vector) => vector.kafkajs["default"]!)
    expectAgreement(kafkaJs.legacy, (vector) => vector.kafkajs["legacy"]!)
    expect(vectors.some(({ kafkajs }) => `${kafkajs["default"]}` !== `${kafkajs["legacy"]}`)).toBe(true)
  })
})

describe("records without a key", () => {
  it("are placed as by Java's producer, through batches, queues and lost leaders", () => {
    const runs = rows("sticky.ndjson") as ReadonlyArray<StickyRun>
    expect(runs.length).toBe(60)
    const switches = new Set<string>()
    for (const [at, { batchSizeBytes, partitions, random, steps }] of runs.entries()) {
      let draw = 0
      let topic: PartitionerTopic = trialTopic(partitions)
      const record = recordOf(null)
      const one = stickyPartitioner.make("trial", () => random[draw++]!, { ...TRIAL_OPTIONS, batchSizeBytes })
      for (const [index, step] of steps.entries()) {
        const before = one.partition(record, topic)
        if (step[0] === "append") one.onAppended!(before, step[1], topic, record, step[2])
        else if (step[0] === "closed") one.onBatchClosed!(before, topic)
        else if (step[0] === "load") one.onLoad!(step[1], step[2], topic)
        else topic = trialTopic(partitions, new Set(step[1].flatMap((leads, partition) => (leads ? [] : [partition]))))
        const after = one.partition(record, topic)
        expect(after, `run ${at}, step ${index}: ${JSON.stringify(step)}`).toBe(step.at(-1))
        if (after !== before) switches.add(step[0])
      }
      expect(draw).toBe(random.length)
    }
    expect([...switches].sort()).toEqual(["append", "closed"])
  })
})
