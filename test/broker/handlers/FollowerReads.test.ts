/** KIP-392: consumers read from the replica in their rack. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { layer as compressionLayer } from "../../../adapters/shared/Compression.ts"
import { BrokerConfig, BrokerConfigError } from "../../../core/broker/config/BrokerConfig.ts"
import { LEADER_SELECTOR, RACK_AWARE_SELECTOR, selectByRack } from "../../../core/broker/ReplicaSelector.ts"
import { emptyImage, type MetadataImage } from "../../../core/cluster/MetadataImage.ts"
import * as Consumer from "../../../core/client/Consumer.ts"
import { Network } from "../../../core/ports/Network.ts"
import { ApiKey } from "../../../core/protocol/ApiKey.ts"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { makePartitionState, type PartitionState, step } from "../../../core/replication/PartitionState.ts"
import { broker as brokerOf } from "../../cluster/support.ts"
import { IDS, settle, startCluster, type TestCluster, until, withTime } from "../../replication/TestCluster.ts"
import { valuesOf } from "../TestBroker.ts"

const rackOf = (id: number): string => `rack-${id}`

const start = (overrides: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const cluster = yield* startCluster(
      { "replica.selector.class": RACK_AWARE_SELECTOR, ...overrides },
      (id) => ({ "broker.rack": rackOf(id) })
    )
    const client = yield* cluster.running.get(1)!.connect
    expect((yield* withTime(client.createTopic("t", 1, {}, 3))).errorCode).toBe(ErrorCode.NONE)
    yield* until("replicas", () => IDS.every((id) => cluster.partition(id, "t") !== undefined))
    const { leader } = cluster.partitionImage("t")
    const [near, far] = cluster.followers("t") as [number, number]
    return { cluster, leader, near, far, client: yield* cluster.leaderClient("t") }
  })

const produce = (cluster: TestCluster, values: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const client = yield* cluster.leaderClient("t")
    expect((yield* withTime(client.produce("t", values))).errorCode).toBe(ErrorCode.NONE)
    yield* settle
  })

/** The clients' network, and how many fetches went to each port. */
const countingNetwork = (cluster: TestCluster) => {
  const shared = cluster.link(1).world.clientNetwork!
  const fetches = new Map<number, number>()
  const network: Network = {
    ...shared,
    connect: (address, handle) =>
      shared.connect(address, (connection) => {
        const send = connection.send.bind(connection)
        connection.send = (payloads) => {
          for (const payload of payloads) {
            // A frame: length, then api key.
            const isFetch = payload instanceof Uint8Array && payload[4] === 0 && payload[5] === ApiKey.Fetch
            if (isFetch) fetches.set(address.port, (fetches.get(address.port) ?? 0) + 1)
          }
          send(payloads)
        }
        return handle(connection)
      })
  }
  const portOf = new Map(IDS.map((id) => [id, cluster.running.get(id)!.broker.listeners[0]!.port]))
  return { network, fetchesOf: (id: number): number => fetches.get(portOf.get(id)!) ?? 0, clear: () => fetches.clear(), portOf }
}

describe("A leader", () => {
  it.effect("sends a consumer to the replica in its rack, at once, and keeps who names none, or another, or its own", () =>
    Effect.gen(function*() {
      const { client, cluster, leader, near } = yield* start()
      yield* produce(cluster, ["a"])
      // Even where there is nothing to read: it is answered without waiting.
      for (const offset of [0, 1]) {
        const sent = yield* client.fetchOne("t", { rackId: rackOf(near), offset, maxWaitMs: 10_000 })
        expect(sent).toMatchObject({ errorCode: ErrorCode.NONE, preferredReadReplica: near, highWatermark: 1, logStartOffset: 0 })
        expect(valuesOf(sent.records)).toEqual([])
      }
      for (const rackId of ["", "rack-9", rackOf(leader)]) {
        const kept = yield* client.fetchOne("t", { rackId })
        expect(kept).toMatchObject({ errorCode: ErrorCode.NONE, preferredReadReplica: -1 })
        expect(valuesOf(kept.records)).toEqual(["a"])
      }
      // Version 10 cannot say where it is, nor be sent away.
      expect(valuesOf((yield* client.fetchOne("t", { version: 10 })).records)).toEqual(["a"])
    }))

  it.effect("sends nobody to a replica that is out of the ISR, is gone, or does not have the offset", () =>
    Effect.gen(function*() {
      const { client, cluster, far, near } = yield* start({ "replica.lag.time.max.ms": "5000" })
      yield* produce(cluster, ["a"])
      const preferred = (id: number, offset: number) =>
        Effect.map(client.fetchOne("t", { rackId: rackOf(id), offset }), ({ preferredReadReplica }) => preferredReadReplica)
      expect(yield* preferred(near, 1)).toBe(near)
      cluster.cut([near])
      const producer = yield* cluster.leaderClient("t")
      const waiting = yield* Effect.forkChild(producer.produce("t", ["b"]), { startImmediately: true })
      yield* until("the record on the farther one", () => cluster.partition(far, "t")!.logEndOffset === 2)
      yield* settle
      expect(yield* preferred(near, 1)).toBe(near)
      expect(yield* preferred(near, 2)).toBe(-1)
      expect(yield* preferred(far, 2)).toBe(far)
      yield* cluster.isrIs("t", IDS.filter((id) => id !== near))
      expect(yield* preferred(near, 0)).toBe(-1)
      expect((yield* withTime(Fiber.join(waiting))).errorCode).toBe(ErrorCode.NONE)
      yield* cluster.crash(far)
      yield* until("it is known", () => cluster.image().brokers.get(far)!.fenced)
      expect(yield* preferred(far, 0)).toBe(-1)
    }))

  it.effect("keeps everybody without a selector, and with Kafka's LeaderSelector", () =>
    Effect.gen(function*() {
      const { client, cluster, near } = yield* start({ "replica.selector.class": LEADER_SELECTOR })
      yield* produce(cluster, ["a"])
      expect((yield* client.fetchOne("t", { rackId: rackOf(near) })).preferredReadReplica).toBe(-1)
      expect(BrokerConfig.load({ overrides: [["replica.selector.class", "com.example.Mine"]] })).toBeInstanceOf(BrokerConfigError)
    }))
})

describe("A follower", () => {
  it.effect("serves consumers from version 11 on, up to the high watermark that it knows, and wakes them when it moves", () =>
    Effect.gen(function*() {
      const { cluster, far, near } = yield* start()
      yield* produce(cluster, ["a"])
      const follower = yield* cluster.running.get(near)!.connect
      expect(valuesOf((yield* follower.fetchOne("t")).records)).toEqual(["a"])
      expect((yield* follower.fetchOne("t", { version: 10 })).errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER)
      expect((yield* follower.fetchOne("t", { currentLeaderEpoch: 0 })).errorCode).toBe(ErrorCode.NONE)
      expect((yield* follower.fetchOne("t", { currentLeaderEpoch: 1 })).errorCode).toBe(ErrorCode.UNKNOWN_LEADER_EPOCH)
      expect((yield* follower.fetchOne("t", { offset: 2 })).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE)
      // Offsets are the leader's to say, as in Kafka.
      expect((yield* follower.listOffset("t", -1)).errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER)

      // What is not committed yet is here and not to be seen.
      cluster.cut([far])
      const client = yield* cluster.leaderClient("t")
      const waiting = yield* Effect.forkChild(client.produce("t", ["b"]), { startImmediately: true })
      yield* until("the follower has it", () => cluster.partition(near, "t")!.logEndOffset === 2)
      yield* settle
      expect(valuesOf((yield* follower.fetchOne("t")).records)).toEqual(["a"])
      const poll = yield* Effect.forkChild(follower.fetchOne("t", { offset: 1, maxWaitMs: 60_000 }), { startImmediately: true })
      yield* settle
      expect(poll.pollUnsafe()).toBeUndefined()
      cluster.heal([far])
      expect(valuesOf((yield* withTime(Fiber.join(poll))).records)).toEqual(["b"])
      expect((yield* withTime(Fiber.join(waiting))).errorCode).toBe(ErrorCode.NONE)
    }))
})

describe("Our consumer", () => {
  it.effect("goes where its rack is, back to the leader when that replica is gone, and there again after a while", () =>
    Effect.gen(function*() {
      const { cluster, leader, near } = yield* start({ "replica.lag.time.max.ms": "5000" })
      const { clear, fetchesOf, network, portOf } = countingNetwork(cluster)
      const context = Context.add(cluster.link(leader).world.context, Network, network)
      const consumer = yield* Consumer.make({
        "bootstrap.servers": `127.0.0.1:${portOf.get(leader)}`,
        "auto.offset.reset": "earliest",
        "client.rack": rackOf(near),
        "metadata.max.age.ms": 20_000,
        "fetch.max.wait.ms": 100,
        "retry.backoff.ms": 100
      }).pipe(Effect.provideContext(context), Effect.provide(compressionLayer))
      yield* withTime(consumer.assign([{ topic: "t", partition: 0 }]))
      const read: Array<string> = []
      const readTo = (count: number) =>
        withTime(Effect.gen(function*() {
          while (read.length < count) {
            for (const { records } of yield* consumer.poll({ timeoutMs: 1000 })) {
              for (const { value } of records) read.push(new TextDecoder().decode(value ?? undefined))
            }
          }
        }))
      yield* produce(cluster, ["a"])
      yield* readTo(1)
      yield* produce(cluster, ["b"])
      yield* readTo(2)
      // The leader was asked once.
      expect(fetchesOf(leader)).toBe(1)
      expect(fetchesOf(near)).toBeGreaterThan(1)

      yield* cluster.crash(near)
      clear()
      yield* produce(cluster, ["c"])
      yield* readTo(3)
      expect(fetchesOf(leader)).toBeGreaterThan(0)

      yield* cluster.start(near)
      portOf.set(near, cluster.running.get(near)!.broker.listeners[0]!.port)
      yield* cluster.isrIs("t", IDS)
      const polling = yield* Effect.forkChild(Effect.forever(consumer.poll({ timeoutMs: 100 })), { startImmediately: true })
      yield* until("reads from the near one again", () => fetchesOf(near) > 2)
      yield* Fiber.interrupt(polling)
      // For metadata.max.age.ms: then it asks the leader again, and is sent there again.
      const fromLeader = fetchesOf(leader)
      yield* produce(cluster, ["d"])
      yield* readTo(4)
      expect(fetchesOf(leader)).toBe(fromLeader)
      expect(read).toEqual(["a", "b", "c", "d"])
      yield* consumer.close
    }))
})

describe("selectByRack", () => {
  const image = (racks: Readonly<Record<number, string>>): MetadataImage => ({
    ...emptyImage,
    brokers: new Map(Object.entries(racks).map(([id, rack]) => [
      Number(id),
      brokerOf(Number(id), { rack, listeners: [{ name: "L", host: "h", port: 1, securityProtocol: "PLAINTEXT" }] })
    ]))
  })
  const leading = (followers: ReadonlyArray<{ readonly id: number; readonly end: number; readonly atMs: number; readonly start?: number }>): PartitionState => {
    const state = makePartitionState(1, { logStartOffset: 0, logEndOffset: 10, highWatermark: 0, minInsyncReplicas: 1 })
    const replicas = [1, ...followers.map(({ id }) => id)]
    step(state, { _tag: "BecomeLeader", leaderEpoch: 0, partitionEpoch: 0, replicas, isr: replicas }, 0)
    for (const { atMs, end, id, start = 0 } of followers) {
      step(state, { _tag: "FollowerFetched", replica: id, brokerEpoch: 1, fetchOffset: end, logStartOffset: start, eligible: true }, atMs)
    }
    return state
  }
  const select = (racks: Readonly<Record<number, string>>, state: PartitionState, fetchOffset = 5) =>
    selectByRack(image(racks), state, fetchOffset, { rack: "r", listenerName: "L" })

  it("takes the leader in the rack, else who has most, else who was caught up last, else the largest id", () => {
    const racks = { 1: "x", 2: "r", 3: "r", 4: "r" }
    expect(select({ ...racks, 1: "r" }, leading([{ id: 2, end: 10, atMs: 9 }]))).toBe(-1)
    expect(select(racks, leading([{ id: 2, end: 8, atMs: 9 }, { id: 3, end: 9, atMs: 1 }]))).toBe(3)
    expect(select(racks, leading([{ id: 2, end: 10, atMs: 9 }, { id: 3, end: 10, atMs: 1 }]))).toBe(2)
    expect(select(racks, leading([{ id: 2, end: 10, atMs: 9 }, { id: 3, end: 10, atMs: 9 }]))).toBe(3)
  })

  it("takes nobody who has not got the offset, or not any more", () => {
    expect(select({ 1: "x", 2: "r" }, leading([{ id: 2, end: 4, atMs: 9 }]))).toBe(-1)
    expect(select({ 1: "x", 2: "r" }, leading([{ id: 2, end: 9, atMs: 9, start: 6 }]))).toBe(-1)
    expect(select({ 1: "x", 2: "r" }, leading([{ id: 2, end: 9, atMs: 9, start: 5 }]))).toBe(2)
  })
})
