import { describe, expect, it } from "vitest"
import { Partitioner } from "../../../core/client/Partitioner.ts"
import { LawViolation, partitionerLaws, type PartitionerLawsOptions } from "../../../core/testing/index.ts"
import {
  consistentHashPartitioner,
  kafkaJs,
  kafkaPartitioner,
  keyPartitioner,
  librdkafka,
  partitionForKey,
  partitioners,
  randomPartitioner,
  roundRobinPartitioner,
  smoothWeightedPartitioner,
  stickyPartitioner,
  uniformStickyPartitioner
} from "../../../core/client/partitioners/index.ts"

const held: ReadonlyArray<readonly [Partitioner, PartitionerLawsOptions]> = [
  [kafkaPartitioner, {}],
  [consistentHashPartitioner, { moves: 0.02 }],
  [librdkafka.consistent, { spreadsKeyless: false }],
  [librdkafka.consistentRandom, {}],
  [librdkafka.murmur2, { spreadsKeyless: false }],
  [librdkafka.murmur2Random, {}],
  [librdkafka.fnv1a, { spreadsKeyless: false }],
  [librdkafka.fnv1aRandom, {}],
  [kafkaJs.default, {}],
  [kafkaJs.legacy, {}],
  [stickyPartitioner, { keyed: false }],
  [uniformStickyPartitioner, { keyed: false }],
  [roundRobinPartitioner, { keyed: false, spread: 0.03 }],
  [randomPartitioner, { keyed: false }],
  [smoothWeightedPartitioner(() => 1), { keyed: false }]
]

describe("the laws hold for every partitioner that comes with the client", () => {
  for (const [partitioner, options] of held) {
    for (const law of partitionerLaws(partitioner, options)) it(law.name, law.run)
  }

  it("and none was left out", () => {
    expect(held.map(([{ name }]) => name).sort()).toEqual([...partitioners.keys(), "smooth-weighted"].sort())
  })
})

/** The names of the laws that fail, without the partitioner's. */
const broken = async (partitioner: Partitioner, options: PartitionerLawsOptions = {}): Promise<Array<string>> => {
  const names: Array<string> = []
  for (const law of partitionerLaws(partitioner, options)) {
    const error = await law.run().then(() => undefined, (error: unknown) => error)
    if (error === undefined) continue
    expect(error).toBeInstanceOf(LawViolation)
    names.push(law.name.slice(law.name.indexOf(": ") + 2))
  }
  return names
}

const keyed = (place: (key: Uint8Array, count: number) => number) =>
  Partitioner.fromFunction("mine", (record, topic) => (record.key === null ? 0 : place(record.key, topic.partitions.length)))

describe("a partitioner of one's own", () => {
  // the sum of the key's bytes would be skewed; a hash of one's own is not
  const mine = keyPartitioner({
    name: "mine",
    place: (key, partitions) => {
      let hash = 7
      for (const byte of key) hash = Math.imul(hash ^ byte, 0x85ebca6b) ^ (hash >>> 11)
      return ((hash ^ (hash >>> 16)) >>> 0) % partitions
    },
    keyless: stickyPartitioner
  })
  for (const law of partitionerLaws(mine)) it(law.name, law.run)
})

describe("a partitioner that breaks a law is found", () => {
  const onlyKeys = { spreadsKeyless: false }

  it("when it is skewed: a fifth more for one partition is too much, the fair share is not", async () => {
    // one key in so many goes to partition 0 in place of its own
    const skewed = (share: number) => keyed((key, count) => {
      const own = partitionForKey(key, count)
      return own !== 0 && (partitionForKey(key, 100_003) % 1000) / 1000 < share / (count - 1) ? 0 : own
    })
    expect(await broken(skewed(0), onlyKeys)).toEqual([])
    expect(await broken(skewed(0.22), onlyKeys)).toEqual(["different keys are spread, each partition within 15.0 % of its share"])
    expect(await broken(skewed(0.08), { ...onlyKeys, spread: 0.06 })).toHaveLength(1)
  })

  it("when it looks at one byte of the key alone", async () => {
    expect(await broken(keyed((key, count) => (key[0] ?? 0) % count), onlyKeys)).toHaveLength(1)
  })

  it("when it is off by one", async () => {
    expect(await broken(keyed((key, count) => 1 + partitionForKey(key, count)), onlyKeys)).toContain("every record is placed in range")
    expect(await broken(keyed((key, count) => partitionForKey(key, count) + 0.5), onlyKeys)).toContain("every record is placed in range")
    const spread = partitionerLaws(keyed((_, count) => count), onlyKeys).find(({ name }) => name.includes("are spread"))!
    await expect(spread.run()).rejects.toThrow("a record was placed in partition 1 of 1, of which the last is 0")
    // Java's hash without dropping the sign
    expect(await broken(keyed((key, count) => (partitionForKey(key, 2 ** 31 - 1) - 2 ** 30) % count), onlyKeys)).toContain("every record is placed in range")
  })

  it("when a key's partition depends on what is available, on other records, or on the producer", async () => {
    const equal = "equal keys go to one partition"
    const available = Partitioner.fromFunction("mine", (record, topic) => {
      const { available: choice } = topic
      if (choice.length === 0 || record.key === null) return 0
      return choice[partitionForKey(record.key, choice.length)]!
    })
    expect(await broken(available, onlyKeys)).toEqual([equal])
    expect(await broken(roundRobinPartitioner)).toEqual([equal])
    expect(await broken(randomPartitioner)).toEqual([equal])
  })

  it("when it draws its own random numbers", async () => {
    const own: Partitioner = { name: "mine", make: () => ({ partition: (_record, topic) => Math.floor(Math.random() * topic.partitions.length) }) }
    expect(await broken(own, { keyed: false, spreadsKeyless: false })).toEqual(["the same records and random numbers are placed the same"])
  })

  it("when records without a key all go one way, or wait for a leader", async () => {
    expect(await broken(keyed(partitionForKey))).toEqual([
      "records without a key are spread by bytes, each partition within 15.0 % of its share",
      "records without a key avoid partitions without a leader"
    ])
  })

  it("when more keys move than it says", async () => {
    expect(await broken(kafkaPartitioner, { moves: 0.02 })).toEqual(["added partitions take their share of the keys and little else moves"])
    expect(await broken(smoothWeightedPartitioner(({ partition }) => (partition === 0 ? 2 : 1)), { keyed: false }))
      .toEqual(["records without a key are spread by bytes, each partition within 15.0 % of its share"])
  })
})
