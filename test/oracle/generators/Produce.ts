/** Produce with every kind of batch, and InitProducerId, DescribeProducers around it. */
import { buildBatch, type BatchInput, buildMessageSet, type Codec, type RecordInput } from "../Batches.ts"
import {
  type Fields,
  type Generator,
  type ProducerState,
  type Side,
  somePartition,
  someTopic,
  someVersion,
  topicIdOn,
  topicState,
  type World
} from "../World.ts"

const someRecords = (world: World, count: number, keyed: boolean): ReadonlyArray<RecordInput> => {
  const { random } = world
  const base = random.weighted([
    [8, world.nowMs - random.int(0, 3_600_000)],
    [1, world.nowMs - 40 * 86_400_000],
    [1, 0],
    [1, -1]
  ])
  return Array.from({ length: count }, (_, i) => ({
    key: keyed ? random.text(random.int(0, 8)) : null,
    value: random.chance(8) ? null : random.text(random.weighted([[8, random.int(0, 100)], [1, 1500]])),
    timestamp: base < 0 ? base : base + random.int(0, 50) * (i % 3),
    headers: random.chance(10) ? [["h", random.text(3)], ["", null]] : []
  }))
}

/** A request's batch, and what is to be remembered when the judge takes it. */
interface Made {
  readonly bytes: (side: Side) => Uint8Array | null
  readonly count: number
  /** Null records. */
  readonly absent?: boolean
  /** Kafka refuses all partitions of a request for it: it is sent alone. */
  readonly alone?: boolean
  readonly accepted?: () => void
}

const plain = (input: BatchInput): Made => bytesOf(buildBatch(input), input.records.length)

const bytesOf = (bytes: Uint8Array | null, count = 0): Made => ({ bytes: () => bytes, count, absent: bytes === null })

const anyCodec: ReadonlyArray<Codec> = [0, 0, 0, 1, 2, 3, 4]

const rightBatch = (world: World, keyed: boolean): Made => {
  const { random } = world
  const records = someRecords(world, random.weighted([[6, random.int(1, 5)], [1, 40]]), keyed)
  return plain({
    records,
    codec: random.pick(anyCodec),
    rawSnappy: random.chance(30),
    baseOffset: random.weighted([[8, 0], [1, 77]]),
    leaderEpoch: random.weighted([[8, -1], [1, 5]])
  })
}

const wrongBatch = (world: World, topic: string, keyed: boolean): Made => {
  const { random } = world
  const records = someRecords(world, random.int(1, 4), keyed)
  const codec = random.pick(anyCodec)
  const right: BatchInput = { records, codec }
  const last = records.length - 1
  // Kafka looks at inner offsets only in compressed batches that it keeps as they are: it writes uncompressed ones down
  // unseen and numbers those anew that it compresses itself
  const codecs: ReadonlyArray<Codec> = (topicState(world, topic)?.configs.get("compression.type") ?? "producer") === "producer" ? [1, 2, 3, 4] : [0]
  const compressed = codecs.length === 1
    ? { codec: 0 as const, crcXor: 1 }
    : { codec: random.pick(codecs), records: records.map((r) => ({ ...r, timestamp: world.nowMs - 5000 })) }
  return random.pick<() => Made>([
    () => plain({ ...right, crcXor: 1 + random.int(0, 1000) }),
    () => plain({ ...right, count: records.length + random.pick([1, -1, 100]) }),
    () => plain({ ...right, count: 0 }),
    () => plain({ ...right, count: -1 }),
    () => plain({ ...right, lastOffsetDelta: last + random.pick([1, -1, 1000]) }),
    () => plain({ ...right, lastOffsetDelta: -1 }),
    () => plain({ ...right, ...compressed, offsetDeltas: records.map((_, i) => i + 1) }),
    () => plain({ ...right, ...compressed, offsetDeltas: records.map(() => 1) }),
    () => ({ ...plain({ ...right, magic: random.pick([3, -1, 1, 0]) }), alone: true }),
    () => plain({ ...right, lengthPlus: random.pick([1, -1, 1000, -60, 2_000_000_000 - 70_000]) }),
    () => plain({ ...right, codec: 0, section: random.bytes(random.int(0, 40)) }),
    () => plain({ ...right, codec: random.pick<Codec>([1, 2, 3, 4]), section: random.bytes(random.int(0, 40)) }),
    () => ({ ...plain({ ...right, codec: 0, extraAttributes: random.pick([5, 6, 7]) }), alone: true }),
    () => plain({ ...right, extraAttributes: 0x20 }), // a control batch from a client
    () => plain({ ...right, extraAttributes: 0x10 }), // transactional without a transaction
    () => plain({ ...right, extraAttributes: 0x08 }), // claims log append time
    () => plain({ ...right, extraAttributes: 0x40 }), // delete horizon
    // Kafka believes an uncompressed batch's header and later does not find its records by time
    () => plain({ ...right, codec: codec === 0 ? 3 : codec, maxTimestamp: random.pick([-1, 0, world.nowMs + 1]) }),
    () => plain({ ...right, baseTimestamp: 5 }),
    () => plain({ ...right, records: records.map((r) => ({ ...r, timestamp: world.nowMs + 5 * 3_600_000 })) }),
    () => plain({ ...right, records: records.map((r) => ({ ...r, key: null })) }),
    () => plain({ ...right, records: [{ key: keyed ? Uint8Array.of(1) : null, value: random.text(1_100_000), timestamp: world.nowMs }], codec: 0 }),
    () => plain({ ...right, records: [{ key: keyed ? Uint8Array.of(1) : null, value: random.text(3000), timestamp: world.nowMs }], codec: 0 }),
    () => plain({ ...right, records: [] }),
    () => plain({ ...right, producerId: 5, producerEpoch: 0, baseSequence: -1 }),
    () => plain({ ...right, producerId: -1, producerEpoch: 0, baseSequence: 0 }),
    () => bytesOf(Buffer.concat([buildBatch(right), buildBatch(right)]), 2 * records.length),
    () => bytesOf(buildMessageSet(random.pick([0, 1]), records, random.pick([0, 0, 1]))),
    () => bytesOf(buildMessageSet(1, records)),
    () => bytesOf(new Uint8Array()),
    () => bytesOf(null),
    () => bytesOf(buildBatch(right).subarray(0, 61 + random.int(-30, 5))),
    () => bytesOf(Buffer.concat([buildBatch(right), Uint8Array.of(1, 2, 3)]))
  ])()
}

export const producerIdOn = (side: Side, producer: ProducerState): number =>
  producer.index < 0 ? producer.fixedId : side.producerIds[producer.index] ?? 424_242

/** Sequences go on at 0 after the largest int32. */
const wrap = (sequence: number): number => sequence > 2_147_483_647 ? sequence - 2_147_483_648 : sequence

const idempotentBatch = (world: World, topic: string, partition: number, keyed: boolean): Made => {
  const { random } = world
  if (world.producers.length < 4 && random.chance(15)) {
    world.producers.push({ index: -1, fixedId: 900_000 + world.producers.length, epoch: random.int(0, 2), sequences: new Map() })
  }
  if (world.producers.length === 0) return rightBatch(world, keyed)
  const producer = random.pick(world.producers)
  const where = `${topic}-${partition}`
  const next = producer.sequences.get(where) ?? (producer.index < 0 ? random.pick([0, 2_147_483_640, 7]) : 0)
  // a copy of an earlier batch must be that batch: contents follow from producer and sequence
  const count = 1 + (next % 3)
  const records = Array.from({ length: count }, (_, i): RecordInput => ({
    key: keyed ? Uint8Array.of(97 + i) : null,
    value: Buffer.from(`${producer.epoch}/${next + i}`),
    timestamp: world.nowMs - 1000
  }))
  const made = (baseSequence: number, epoch: number, accepted?: () => void): Made => ({
    bytes: (side) => buildBatch({ records, producerId: producerIdOn(side, producer), producerEpoch: epoch, baseSequence }),
    count,
    ...(accepted === undefined ? {} : { accepted })
  })
  return random.weighted<() => Made>([
    [10, () => made(next, producer.epoch, () => producer.sequences.set(where, wrap(next + count)))],
    [4, () => made(Math.max(0, next - count - random.int(0, 8)), producer.epoch)],
    [2, () => made(wrap(next + random.int(1, 5)), producer.epoch)],
    [2, () => made(next, Math.max(0, producer.epoch - 1))],
    [1, () => made(0, producer.epoch + 1, () => {
      producer.epoch++
      producer.sequences.clear()
      producer.sequences.set(where, count)
    })],
    [1, () => made(3, producer.epoch + 1)]
  ])()
}

const isCompacted = (world: World, topic: string): boolean => (topicState(world, topic)?.configs.get("cleanup.policy") ?? "").includes("compact")

export const produce: Generator = {
  api: "Produce",
  weight: 30,
  make: (world) => {
    const { random } = world
    const version = someVersion(world, "Produce")
    const acks = random.weighted([[16, -1], [8, 1], [2, 0], [1, 7], [1, -2]])
    const targets = new Map<string, Array<{ index: number; made: Made }>>()
    for (let i = random.weighted([[8, 1], [2, 2], [1, 3], [1, 0]]); i > 0; i--) {
      const name = someTopic(world)
      if (acks === 0 && topicState(world, name) === undefined) continue
      const index = somePartition(world, name)
      const keyed = random.chance(isCompacted(world, name) ? 90 : 40)
      const partitions = targets.get(name) ?? []
      targets.set(name, partitions)
      if (partitions.some((partition) => partition.index === index)) continue
      const made = random.weighted([
        [6, () => rightBatch(world, keyed)],
        [4, () => wrongBatch(world, name, keyed)],
        [5, () => idempotentBatch(world, name, index, keyed)]
      ])()
      partitions.push({ index, made })
      // what else is in a request that is never answered, or refused as a whole, is not appended either
      if (made.absent === true || made.alone === true) {
        targets.clear()
        targets.set(name, [{ index, made }])
        break
      }
    }
    const transactionalId = random.weighted([[30, null], [1, "tx"]])
    const withoutRecords = Array.from(targets.values()).flat().some(({ made }) => made.absent === true)
    return {
      api: "Produce",
      version,
      fields: (side) => ({
        transactionalId,
        acks,
        timeoutMs: 10_000,
        topicData: Array.from(targets, ([name, partitions]) => ({
          name,
          topicId: topicIdOn(side, name),
          partitionData: partitions.map(({ index, made }) => ({ index, records: made.bytes(side) }))
        }))
      }),
      ...(acks === 0 ? { noAnswer: true } : {}),
      // Kafka 4.3 never answers null records: the thread that handles them fails
      ...(withoutRecords ? { answerMs: 1000 } : {}),
      learn: (answer, side, isJudge) => {
        if (!isJudge) return
        for (const topic of answer["responses"] as ReadonlyArray<Fields>) {
          const name = version >= 13
            ? Array.from(side.topicIds).find(([, id]) => id === topic["topicId"])?.[0] ?? ""
            : topic["name"] as string
          for (const partition of topic["partitionResponses"] as ReadonlyArray<Fields>) {
            const made = targets.get(name)?.find((target) => target.index === partition["index"])?.made
            const state = topicState(world, name)
            if (partition["errorCode"] !== 0 || made === undefined || state === undefined) continue
            made.accepted?.()
            const end = Number(partition["baseOffset"]) + made.count
            state.ends[partition["index"]] = Math.max(state.ends[partition["index"]] ?? 0, end)
          }
        }
      }
    }
  }
}

export const initProducerId: Generator = {
  api: "InitProducerId",
  weight: 2,
  make: (world) => {
    const { random } = world
    const version = someVersion(world, "InitProducerId")
    const known = random.chance(20) && world.producers.length > 0 ? random.pick(world.producers) : undefined
    const bare = known === undefined || version < 3
    const epoch = known === undefined ? -1 : random.pick([known.epoch, -1, 5])
    const transactionalId = random.weighted([[20, null], [1, ""]])
    const pid = (side: Side): number => bare || known === undefined ? -1 : producerIdOn(side, known)
    return {
      api: "InitProducerId",
      version,
      fields: (side) => ({
        transactionalId,
        transactionTimeoutMs: 60_000,
        producerId: pid(side),
        producerEpoch: bare ? -1 : epoch,
        enable2Pc: false,
        keepPreparedTxn: false
      }),
      learn: (answer, side, isJudge) => {
        if (answer["errorCode"] !== 0) return
        side.producerIds.push(Number(answer["producerId"]))
        if (isJudge && world.producers.length < 6) {
          world.producers.push({
            index: side.producerIds.length - 1,
            fixedId: -1,
            epoch: Number(answer["producerEpoch"]),
            sequences: new Map()
          })
        }
      }
    }
  }
}

export const describeProducers: Generator = {
  api: "DescribeProducers",
  weight: 2,
  make: (world) => {
    const name = someTopic(world)
    const partitions = Array.from(new Set([somePartition(world, name), somePartition(world, name)]))
    return {
      api: "DescribeProducers",
      version: someVersion(world, "DescribeProducers"),
      fields: () => ({ topics: [{ name, partitionIndexes: partitions }] })
    }
  }
}
