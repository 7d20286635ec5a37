import * as Effect from "effect/Effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Partitioner, type PartitionerOptions, type PartitionerTopic, type TopicPartitioner } from "../../core/client/Partitioner.ts"
import { recordOf, seeded, trialKeys, TRIAL_OPTIONS, trialTopic } from "../../core/client/PartitionerTrial.ts"
import {
  consistentHashPartitioner,
  kafkaJs,
  kafkaPartitioner,
  randomPartitioner,
  roundRobinPartitioner,
  smoothWeightedPartitioner,
  stickyPartitioner,
  uniformStickyPartitioner
} from "../../core/client/partitioners/index.ts"
import { crc32 } from "../../core/client/partitioners/Crc32.ts"
import { jumpHash } from "../../core/client/partitioners/JumpHash.ts"

const keyless = recordOf(null)
const make = (partitioner: Partitioner, options: Partial<PartitionerOptions> = {}, random = seeded(5)): TopicPartitioner =>
  partitioner.make("trial", random, { ...TRIAL_OPTIONS, ...options })
const place = (one: TopicPartitioner, topic: PartitionerTopic, count: number): Array<number> =>
  Array.from({ length: count }, () => one.partition(keyless, topic))

describe("Partitioner", () => {
  it("is Kafka's own where no layer says otherwise", async () => {
    const given = await Effect.runPromise(Effect.gen(function*() {
      return yield* Partitioner
    }))
    expect(given).toBe(kafkaPartitioner)
  })

  it("is what a layer says, also a plain function", async () => {
    const byLength = Partitioner.fromFunction("by-length", (record, topic) => (record.value?.length ?? 0) % topic.partitions.length)
    const given = await Effect.runPromise(Effect.gen(function*() {
      return yield* Partitioner
    }).pipe(Effect.provide(Partitioner.layer(byLength))))
    expect(given.name).toBe("by-length")
    expect(make(given).partition(recordOf(null, new Uint8Array(7)), trialTopic(5))).toBe(2)
  })
})

describe("default", () => {
  const topic = trialTopic(7)
  const keys = trialKeys(50, 3)

  it("ignores keys when it is told so", () => {
    const one = make(kafkaPartitioner, { ignoreKeys: true })
    expect(new Set(keys.map((key) => one.partition(recordOf(key), topic))).size).toBe(1)
    expect(new Set(keys.map((key) => make(kafkaPartitioner).partition(recordOf(key), topic))).size).toBe(7)
  })

  it("does not count the bytes of keyed records", () => {
    const one = make(kafkaPartitioner)
    const first = one.partition(keyless, topic)
    for (let i = 0; i < 20; i++) one.onAppended!(first, 900, topic, recordOf(keys[0]!), false)
    expect(one.partition(keyless, topic)).toBe(first)
  })

  it("draws partitions with shorter queues more often, unless adaptive partitioning is off", () => {
    const draw = (adaptive: boolean): Array<number> => {
      const one = make(kafkaPartitioner, { adaptive })
      const counts = [0, 0, 0]
      const three = trialTopic(3)
      one.onLoad!([0, 3, 1], [0, 1, 2], three)
      for (let i = 0; i < 8000; i++) {
        const partition = one.partition(keyless, three)
        counts[partition]!++
        one.onAppended!(partition, 1000, three, keyless, false)
      }
      return counts.map((count) => count / 1000)
    }
    // 4 : 1 : 3, as in KIP-794
    const [a, b, c] = draw(true)
    expect([a, b, c].map((count) => Math.round(count!))).toEqual([4, 1, 3])
    for (const count of draw(false)) expect(Math.abs(count - 8 / 3)).toBeLessThan(0.2)
  })

  it("never draws a partition that the load leaves out", () => {
    const one = make(kafkaPartitioner)
    one.onLoad!([2, 2], [1, 4], topic)
    const drawn = new Set(Array.from({ length: 500 }, () => {
      const partition = one.partition(keyless, topic)
      one.onAppended!(partition, 1000, topic, keyless, false)
      return partition
    }))
    expect([...drawn].sort()).toEqual([1, 4])
  })

  it("stays while a batch is open, but not beyond twice its size", () => {
    // every draw is another partition
    let draws = 0
    const one = make(stickyPartitioner, {}, () => (draws++ % 7) / 7)
    const append = (sizeBytes: number, open: boolean): number => {
      const partition = one.partition(keyless, topic)
      one.onAppended!(partition, sizeBytes, topic, keyless, open)
      return one.partition(keyless, topic)
    }
    expect(append(1200, true)).toBe(0)
    expect(append(700, true)).toBe(0)
    expect(append(100, true)).toBe(1)
    expect(append(1200, true)).toBe(1)
    one.onBatchClosed!(4, topic)
    expect(one.partition(keyless, topic)).toBe(1)
    one.onBatchClosed!(1, topic)
    expect(one.partition(keyless, topic)).toBe(2)
    one.onBatchClosed!(2, topic)
    expect(append(999, false)).toBe(2)
    expect(append(1, false)).toBe(3)
  })
})

describe("uniform-sticky", () => {
  it("goes to another partition with every batch", () => {
    const topic = trialTopic(4, new Set([2]))
    const one = make(uniformStickyPartitioner)
    const seen = new Set<number>()
    let last = -1
    for (let batch = 0; batch < 200; batch++) {
      const partition = one.partition(recordOf(new Uint8Array(batch)), topic)
      expect(partition).not.toBe(last)
      expect(one.partition(keyless, topic)).toBe(partition)
      one.onAppended!(partition, 10, topic, keyless, true)
      one.onBatchClosed!(partition, topic)
      seen.add(last = partition)
    }
    expect([...seen].sort()).toEqual([0, 1, 3])
  })

  it("stays where there is no other", () => {
    const one = make(uniformStickyPartitioner)
    for (const topic of [trialTopic(1), trialTopic(3, new Set([0, 2])), trialTopic(1, new Set([0]))]) {
      const wanted = topic.available[0] ?? 0
      one.onBatchClosed!(one.partition(keyless, topic), topic)
      one.onAppended!(one.partition(keyless, topic), 5000, topic, keyless, false)
      expect(one.partition(keyless, topic)).toBe(wanted)
    }
  })
})

describe("round-robin and random", () => {
  it("round-robin takes the partitions with a leader in turn, all of them when none has one", () => {
    expect(place(make(roundRobinPartitioner), trialTopic(4, new Set([1])), 7)).toEqual([0, 2, 3, 0, 2, 3, 0])
    expect(place(make(roundRobinPartitioner), trialTopic(2, new Set([0, 1])), 3)).toEqual([0, 1, 0])
  })

  it("random takes any with a leader, the same ones for the same seed", () => {
    const topic = trialTopic(9, new Set([0, 8]))
    const drawn = place(make(randomPartitioner), topic, 500)
    expect([...new Set(drawn)].sort()).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(place(make(randomPartitioner), topic, 500)).toEqual(drawn)
  })
})

describe("partitioners that go by turns", () => {
  it("do not listen to closed batches: they would be asked twice for one record", () => {
    for (const partitioner of [roundRobinPartitioner, randomPartitioner, kafkaJs.default, smoothWeightedPartitioner(() => 1)]) {
      expect(make(partitioner).onBatchClosed).toBeUndefined()
    }
    for (const partitioner of [kafkaPartitioner, stickyPartitioner, uniformStickyPartitioner, consistentHashPartitioner]) {
      expect(make(partitioner).onBatchClosed).toBeDefined()
    }
  })
})

describe("smooth-weighted", () => {
  const weighted = (...weights: ReadonlyArray<number>) => smoothWeightedPartitioner(({ partition }) => weights[partition]!)

  it("takes partitions in nginx's order", () => {
    expect(place(make(weighted(5, 1, 1)), trialTopic(3), 14)).toEqual([0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0])
    expect(place(make(weighted(2, 2)), trialTopic(2), 4)).toEqual([0, 1, 0, 1])
  })

  it("gives each exactly its weight in a round, and nothing for a weight of 0", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 12 }), (weights) => {
      fc.pre(weights.some((weight) => weight > 0))
      const sum = weights.reduce((total, weight) => total + weight, 0)
      const counts = weights.map(() => 0)
      for (const partition of place(make(weighted(...weights)), trialTopic(weights.length), 2 * sum)) counts[partition]!++
      expect(counts).toEqual(weights.map((weight) => 2 * weight))
    }), { seed: 11, numRuns: 200 })
  })

  it("passes over partitions without a leader, and asks for weights once per metadata", () => {
    let asked = 0
    const one = make(smoothWeightedPartitioner(({ leader }) => {
      asked++
      return leader === 1 ? 3 : 1
    }))
    const topic = trialTopic(3)
    expect(place(one, topic, 10).filter((partition) => partition === 1)).toHaveLength(6)
    expect(asked).toBe(3)
    expect(new Set(place(one, trialTopic(3, new Set([1])), 10))).toEqual(new Set([0, 2]))
    expect(asked).toBe(5)
  })

  it("spreads evenly where all weights are 0, and refuses what is no weight", () => {
    expect(new Set(place(make(weighted(0, 0)), trialTopic(2), 4))).toEqual(new Set([0, 1]))
    for (const weight of [-1, Number.NaN, Infinity]) {
      expect(() => place(make(weighted(1, weight)), trialTopic(2), 1)).toThrow(`weight ${weight} for trial-1`)
    }
  })
})

describe("hashes", () => {
  it("jump hash is the paper's", () => {
    const paper = (key: bigint, buckets: number): number => {
      let [state, bucket, next] = [key, -1, 0]
      while (next < buckets) {
        bucket = next
        state = BigInt.asUintN(64, state * 2862933555777941757n + 1n)
        next = Math.floor((bucket + 1) * (2 ** 31 / (Number(state >> 33n) + 1)))
      }
      return bucket
    }
    fc.assert(fc.property(fc.bigInt(0n, 2n ** 64n - 1n), fc.integer({ min: 1, max: 100_000 }), (key, buckets) => {
      expect(jumpHash(Number(key >> 32n), Number(key & 0xffffffffn), buckets)).toBe(paper(key, buckets))
    }), { seed: 3, numRuns: 2000 })
  })

  it("keys of the consistent hash only ever move to the partitions that were added", () => {
    const one = make(consistentHashPartitioner)
    for (const key of trialKeys(300, 9)) {
      let before = 0
      for (let count = 1; count < 60; count++) {
        const now = one.partition(recordOf(key), trialTopic(count))
        expect([before, count - 1]).toContain(now)
        before = now
      }
    }
  })

  it("CRC-32 is zlib's", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926)
  })
})
