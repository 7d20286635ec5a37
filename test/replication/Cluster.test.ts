/** What three brokers keep for a client through failures: nothing acknowledged is lost. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { buildBatch } from "../../core/records/BatchBuilder.ts"
import * as Apis from "../broker/Apis.ts"
import { GroupClient } from "../broker/handlers/GroupClient.ts"
import type { Overrides, ProduceOptions, TestClient } from "../broker/TestBroker.ts"
import { crypto } from "../records/Ports.ts"
import { bytesOf, IDS, settle, startCluster, type TestCluster, until, withTime } from "./TestCluster.ts"

/** A topic of one partition with three replicas. */
const create = (cluster: TestCluster, topic: string, configs: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const client = yield* [...cluster.running.values()][0]!.connect
    const { errorCode } = yield* withTime(client.createTopic(topic, 1, configs, 3))
    expect(errorCode).toBe(ErrorCode.NONE)
    yield* until("replicas", () => [...cluster.running.keys()].every((id) => cluster.partition(id, topic) !== undefined))
  })

const LAG = { "replica.lag.time.max.ms": "10000" }
const MIN_ISR_2 = { "min.insync.replicas": "2" }

/** Three brokers and a topic "t": who leads it, who follows, and a client of the leader. */
const startWithTopic = (overrides: Overrides = {}, configs: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const cluster = yield* startCluster(overrides)
    yield* create(cluster, "t", configs)
    const [near, far] = cluster.followers("t") as [number, number]
    return { cluster, leader: cluster.partitionImage("t").leader, near, far, client: yield* cluster.leaderClient("t") }
  })

const produce = (client: TestClient, values: ReadonlyArray<string>, options: ProduceOptions = {}) =>
  Effect.map(withTime(client.produce("t", values, options)), ({ baseOffset, errorCode }) => {
    expect(errorCode).toBe(ErrorCode.NONE)
    return Number(baseOffset)
  })

/** What clients can read. */
const expectValues = (client: TestClient, values: ReadonlyArray<string>) =>
  Effect.map(withTime(client.readAll("t")), (all) => expect(all).toEqual(values))

const expectEqualLogs = (cluster: TestCluster) =>
  until("equal logs", () => new Set(IDS.map((id) => bytesOf(cluster.partition(id, "t")!))).size === 1)

/** Waits for another leader, and gives a client of it. */
const awaitOtherLeader = (cluster: TestCluster, first: number, topic = "t") =>
  Effect.andThen(
    until("another leader", () => ![-1, first].includes(cluster.partitionImage(topic).leader)),
    cluster.leaderClient(topic)
  )

/** The leader deletes what is below `offset` while who was cut off did not see it; that one comes back, and knows it. */
const deleteAndHeal = (cluster: TestCluster, cut: number, offset: number) =>
  Effect.gen(function*() {
    expect(cluster.leading("t").deleteRecords(offset)).toEqual({ error: ErrorCode.NONE, target: offset })
    cluster.heal([cut])
    yield* cluster.isrIs("t", IDS)
    yield* until("the log start", () => IDS.every((id) => cluster.partition(id, "t")!.logStartOffset === offset))
  })

/** Everybody is in the ISR again, and all have the same. */
const expectWhole = (cluster: TestCluster) => Effect.andThen(cluster.isrIs("t", IDS), expectEqualLogs(cluster))

describe("A partition with three replicas", () => {
  it.effect("acknowledges acks=all when every member of the ISR has the records, and tells them what is committed", () =>
    Effect.gen(function*() {
      const { cluster, client } = yield* startWithTopic()
      expect(cluster.partitionImage("t")).toMatchObject({ leaderEpoch: 0, partitionEpoch: 0, elr: [] })
      expect([...cluster.partitionImage("t").replicas].sort()).toEqual(IDS)
      // No time passes: who waits for records is given them when they are written.
      const acknowledged = yield* Effect.forkChild(client.produce("t", ["a", "b"]), { startImmediately: true })
      yield* settle
      expect(acknowledged.pollUnsafe()).toBeDefined()
      expect(yield* Fiber.join(acknowledged)).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 0 })
      for (const id of IDS) expect(cluster.partition(id, "t")!.logEndOffset).toBe(2)
      expect(cluster.leading("t").highWatermark).toBe(2)
      // Without time passing: a follower's fetch is not kept waiting when there is a new high watermark to tell.
      yield* settle
      expect(IDS.map((id) => cluster.partition(id, "t")!.highWatermark)).toEqual([2, 2, 2])
      yield* expectEqualLogs(cluster)
      expect(bytesOf(cluster.leading("t"))).not.toBe("")
      yield* expectValues(client, ["a", "b"])
    }))

  it.effect("goes back to where histories part, not to the high watermark, which may be known late (KIP-101)", () =>
    Effect.gen(function*() {
      const { cluster, near, far, client } = yield* startWithTopic()
      cluster.cut([near])
      for (const value of ["a", "b", "c"]) yield* produce(client, [value], { acks: 1 })
      const follower = cluster.partition(far, "t")!
      yield* until("the records", () => follower.logEndOffset === 3)
      expect(follower.highWatermark).toBe(0)
      expect(follower.follower.truncateToLeader({ epoch: 0, endOffset: 2 })).toBe(ErrorCode.NONE)
      expect(follower).toMatchObject({ logEndOffset: 2, highWatermark: 0 })
      // What went is fetched again.
      cluster.heal([near])
      yield* until("the high watermark", () => cluster.leading("t").highWatermark === 3)
      yield* expectEqualLogs(cluster)
    }))

  it.effect("goes on under another leader when the first is killed; who returns gives up what was not committed", () =>
    Effect.gen(function*() {
      const { cluster, leader: first, client } = yield* startWithTopic({}, MIN_ISR_2)
      const others = cluster.followers("t")
      yield* produce(client, ["a", "b", "c"])

      // In the log of the leader alone.
      cluster.cut(others)
      for (const value of ["lost", "too"]) yield* produce(client, [value], { acks: 1 })
      expect(cluster.leading("t")).toMatchObject({ highWatermark: 3, logEndOffset: 5 })
      yield* cluster.crash(first)
      cluster.heal(others)
      const survivor = yield* awaitOtherLeader(cluster, first)
      const second = cluster.partitionImage("t")
      expect(second).toMatchObject({ leaderEpoch: 1, elr: [] })
      expect([...second.isr].sort()).toEqual(others)

      yield* expectValues(survivor, ["a", "b", "c"])
      // As many records as the other has lost, and more: the end of the log tells nothing of what is in it.
      for (const value of ["d", "e", "f"]) yield* produce(survivor, [value])

      yield* cluster.start(first)
      yield* cluster.isrIs("t", IDS)
      expect(cluster.partitionImage("t")).toMatchObject({ leader: second.leader, leaderEpoch: 1, elr: [] })
      yield* produce(survivor, ["g"])
      yield* expectEqualLogs(cluster)
      yield* expectValues(survivor, ["a", "b", "c", "d", "e", "f", "g"])
    }))

  it.effect("keeps everything acknowledged while each broker in turn is killed and returns", () =>
    Effect.gen(function*() {
      const { cluster } = yield* startWithTopic({}, MIN_ISR_2)
      const acknowledged: Array<string> = []
      for (const victim of [1, 2, 3, 1, 2, 3]) {
        yield* produce(yield* cluster.leaderClient("t"), [`before ${acknowledged.length}`])
        acknowledged.push(`before ${acknowledged.length}`)
        yield* cluster.crash(victim)
        yield* until("a leader that lives", () => cluster.running.has(cluster.partitionImage("t").leader))
        const client = yield* cluster.leaderClient("t")
        yield* produce(client, [`during ${acknowledged.length}`])
        acknowledged.push(`during ${acknowledged.length}`)
        yield* expectValues(client, acknowledged)
        yield* cluster.start(victim)
        yield* cluster.isrIs("t", IDS)
      }
      yield* expectEqualLogs(cluster)
      expect(cluster.partitionImage("t").leaderEpoch).toBeGreaterThan(1)
    }))

  it.effect("is whole again when all processes died and return, one after the other", () =>
    Effect.gen(function*() {
      const { cluster, client } = yield* startWithTopic({}, MIN_ISR_2)
      yield* produce(client, ["a", "b"])
      for (const id of IDS) yield* cluster.crash(id)
      for (const id of IDS) yield* cluster.start(id)
      yield* cluster.isrIs("t", IDS)
      const survivor = yield* cluster.leaderClient("t")
      yield* produce(survivor, ["c"])
      yield* expectValues(survivor, ["a", "b", "c"])
    }))

  it.effect("knows the producers of another leader: what is sent again after a failover is not appended again", () =>
    Effect.gen(function*() {
      const { cluster, leader: first, client } = yield* startWithTopic()
      const batch = { producerId: 7, producerEpoch: 0, baseSequence: 0 }
      expect(yield* produce(client, ["a", "b"], batch)).toBe(0)
      yield* cluster.crash(first)
      const survivor = yield* awaitOtherLeader(cluster, first)
      expect(yield* produce(survivor, ["a", "b"], batch)).toBe(0)
      expect(yield* produce(survivor, ["c"], { ...batch, baseSequence: 2 })).toBe(2)
      yield* expectValues(survivor, ["a", "b", "c"])
    }))

  it.effect("waits for who has all that is committed, unless unclean.leader.election.enable gives up what only that one has", () =>
    Effect.gen(function*() {
      const { cluster, leader: first, client } = yield* startWithTopic(LAG)
      const others = cluster.followers("t")
      yield* produce(client, ["a"])
      cluster.cut(others)
      // Acknowledged by the whole ISR, which is the leader alone by then.
      yield* produce(client, ["b"])
      expect(cluster.partitionImage("t")).toMatchObject({ isr: [first], elr: [] })
      yield* cluster.crash(first)
      cluster.heal(others)
      yield* until("no leader", () => cluster.partitionImage("t").leader === -1)
      yield* TestClock.adjust(60_000)
      yield* settle
      const waiting = cluster.partitionImage("t")
      expect({ leader: waiting.leader, eligible: [...waiting.isr, ...waiting.elr] }).toEqual({ leader: -1, eligible: [first] })

      const admin = yield* cluster.running.get(others[0]!)!.connect
      yield* withTime(admin.rpc.call(Apis.incrementalAlterConfigsApi, {
        resources: [{
          resourceType: 2,
          resourceName: "t",
          configs: [{ name: "unclean.leader.election.enable", configOperation: 0, value: "true" }]
        }],
        validateOnly: false
      }))
      yield* until("a leader", () => cluster.partitionImage("t").leader !== -1)
      const survivor = yield* cluster.leaderClient("t")
      yield* cluster.isrIs("t", others)
      yield* expectValues(survivor, ["a"])
      yield* produce(survivor, ["c"])
      yield* cluster.start(first)
      yield* expectWhole(cluster)
      yield* expectValues(survivor, ["a", "c"])
    }))
})

describe("The ISR", () => {
  it.effect("loses who lags for replica.lag.time.max.ms, stands under min.insync.replicas, and grows again", () =>
    Effect.gen(function*() {
      const { cluster, leader, near, far, client } = yield* startWithTopic(LAG, MIN_ISR_2)
      yield* produce(client, ["a"])

      // Whoever asks for acks=all waits as long as the lagging replica is in the ISR.
      cluster.cut([far])
      const waiting = yield* Effect.forkChild(client.produce("t", ["b"]), { startImmediately: true })
      yield* TestClock.adjust(5000)
      yield* settle
      expect(cluster.leading("t").highWatermark).toBe(1)
      expect(cluster.partitionImage("t").isr).toHaveLength(3)
      yield* cluster.isrIs("t", [leader, near].sort())
      expect(yield* withTime(Fiber.join(waiting))).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 1 })
      expect(cluster.partitionImage("t").elr).toEqual([])

      cluster.cut([near])
      expect(yield* produce(client, ["c"], { acks: 1 })).toBe(2)
      yield* cluster.isrIs("t", [leader])
      expect(cluster.partitionImage("t").elr).toEqual([near])
      expect(yield* withTime(client.produce("t", ["refused"]))).toMatchObject({ errorCode: ErrorCode.NOT_ENOUGH_REPLICAS })
      expect(cluster.leading("t").highWatermark).toBe(2)
      yield* expectValues(client, ["a", "b"])

      cluster.heal([near, far])
      yield* cluster.isrIs("t", IDS)
      expect(cluster.partitionImage("t")).toMatchObject({ leader, leaderEpoch: 0, elr: [] })
      yield* until("the high watermark", () => cluster.leading("t").highWatermark === 3)
      yield* expectValues(client, ["a", "b", "c"])
    }))

  it.effect("leaves acks=all waiting that it falls below min.insync.replicas for: it times out, and is committed when it may be", () =>
    Effect.gen(function*() {
      const { cluster, leader, near, far, client } = yield* startWithTopic(LAG, MIN_ISR_2)
      yield* produce(client, ["a"])
      cluster.cut([near, far])
      const waiting = yield* Effect.forkChild(client.produce("t", ["b"], { timeoutMs: 25_000 }), { startImmediately: true })
      yield* cluster.isrIs("t", [leader])
      yield* settle
      expect(waiting.pollUnsafe()).toBeUndefined()
      expect(yield* withTime(Fiber.join(waiting))).toMatchObject({ errorCode: ErrorCode.REQUEST_TIMED_OUT, baseOffset: 1 })
      yield* expectValues(client, ["a"])
      cluster.heal([near, far])
      yield* cluster.isrIs("t", IDS)
      yield* until("the high watermark", () => cluster.leading("t").highWatermark === 2)
      yield* expectValues(client, ["a", "b"])
    }))

  it.effect("that falls below min.insync.replicas once acks=all was committed, and not answered, makes it NOT_ENOUGH_REPLICAS_AFTER_APPEND", () =>
    Effect.gen(function*() {
      const { cluster, leader, near, far } = yield* startWithTopic(LAG, MIN_ISR_2)
      const partition = cluster.leading("t")
      const batch = buildBatch([{ timestamp: 1, key: null, value: new Uint8Array(1) }], { crypto })
      const staged = partition.appendAsLeader(batch, -1, { nowMs: 1, apiVersion: 12 })
      if (staged._tag !== "Staged") throw new Error(staged.message)
      partition.commitStaged()
      expect(partition.appendOutcome(staged, -1)).toBeUndefined()
      yield* until("the high watermark", () => partition.highWatermark === 1)
      expect(partition.appendOutcome(staged, -1)).toBe(ErrorCode.NONE)
      cluster.cut([near, far])
      const other = buildBatch([{ timestamp: 1, key: null, value: new Uint8Array(1) }], { crypto })
      expect(partition.appendAsLeader(other, 1, { nowMs: 1, apiVersion: 12 })._tag).toBe("Staged")
      partition.commitStaged()
      yield* cluster.isrIs("t", [leader])
      expect(partition.appendOutcome(staged, -1)).toBe(ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND)
      expect(partition.appendOutcome(staged, 1)).toBe(ErrorCode.NONE)
    }))

  it.effect("counts who was to join until it is known whether that was committed, and commits it when the store is back", () =>
    Effect.gen(function*() {
      const { cluster, leader, near, far, client } = yield* startWithTopic(LAG)
      cluster.cut([far])
      yield* produce(client, ["a"])
      expect([...cluster.partitionImage("t").isr].sort()).toEqual([leader, near].sort())

      cluster.link(leader).isWithoutStore = true
      cluster.heal([far])
      yield* until("the change is asked for", () => cluster.leading("t").state.isrInFlight !== undefined)
      cluster.cut([far])
      const waiting = yield* Effect.forkChild(client.produce("t", ["b"]), { startImmediately: true })
      yield* until("the nearer one has it", () => cluster.partition(near, "t")!.logEndOffset === 2)
      yield* TestClock.adjust(1000)
      yield* settle
      expect(cluster.leading("t").highWatermark).toBe(1)

      cluster.link(leader).isWithoutStore = false
      yield* cluster.isrIs("t", IDS)
      cluster.heal([far])
      expect(yield* withTime(Fiber.join(waiting))).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 1 })
      yield* expectEqualLogs(cluster)
    }))

  it.effect("takes a follower back whose leader has deleted what it had, from the log start on", () =>
    Effect.gen(function*() {
      const { cluster, far, client } = yield* startWithTopic(LAG)
      yield* produce(client, ["a"])
      cluster.cut([far])
      yield* produce(client, ["b"])
      yield* produce(client, ["c"])
      yield* deleteAndHeal(cluster, far, 2)
      expect(cluster.partition(far, "t")).toMatchObject({ logStartOffset: 2, logEndOffset: 3 })
    }))

  it.effect("takes a follower back that ends where its leader's log begins, in the middle of a batch", () =>
    Effect.gen(function*() {
      const { cluster, far, client } = yield* startWithTopic(LAG)
      yield* produce(client, ["a"])
      yield* until("the record", () => cluster.partition(far, "t")!.highWatermark === 1)
      cluster.cut([far])
      yield* produce(client, ["b", "c", "d"])
      // As a leader that was cut off appends it: never committed, and where its history parts is deleted.
      const own = buildBatch([{ timestamp: 1, key: null, value: new Uint8Array(1) }], { crypto, baseOffset: 1, leaderEpoch: 0 })
      expect(cluster.partition(far, "t")!.follower.append(own, { highWatermark: 1, logStartOffset: 0 })).toBe(ErrorCode.NONE)
      yield* deleteAndHeal(cluster, far, 2)
      expect(cluster.partition(far, "t")).toMatchObject({ logStartOffset: 2, logEndOffset: 4, highWatermark: 4 })
    }))

  it.effect("keeps what it has when what comes from its leader, in the middle of a batch, is no batch", () =>
    Effect.gen(function*() {
      const { cluster, far, client } = yield* startWithTopic()
      yield* produce(client, ["a", "b"])
      const partition = cluster.partition(far, "t")!
      const [before, { logEndOffset }] = [bytesOf(partition), partition]
      const batchOf = (leaderEpoch: number) =>
        buildBatch(["c", "d", "e"].map(() => ({ timestamp: 1, key: null, value: new Uint8Array(1) })), { crypto, baseOffset: 1, leaderEpoch })
      const leader = { highWatermark: 2, logStartOffset: 2 }
      const flipped = (at: number): Uint8Array => batchOf(0).map((byte, index) => index === at ? byte ^ 0x40 : byte)
      const later = batchOf(1)
      // All that the CRC covers, and the CRC; and what is of another epoch than the leader that it came from.
      for (const wrong of [later, ...Array.from({ length: later.length - 16 }, (_, at) => flipped(16 + at))]) {
        expect(partition.follower.append(wrong, leader)).toBe(ErrorCode.CORRUPT_MESSAGE)
        expect([partition.logStartOffset, partition.logEndOffset, bytesOf(partition)]).toEqual([0, logEndOffset, before])
      }
    }))

  it.effect("tells a follower the high watermark anew in another leader epoch: what came of the old one it may have dropped", () =>
    Effect.gen(function*() {
      const { cluster, far, client } = yield* startWithTopic(LAG)
      yield* produce(client, ["a"])
      yield* until("the high watermark", () => cluster.leading("t").highWatermark === 1)
      cluster.cut([far])
      const { topicId } = cluster.leading("t")
      const { epoch } = cluster.image().brokers.get(far)!
      const fetch = (sessionId: number, sessionEpoch: number, currentLeaderEpochs: ReadonlyArray<number>) =>
        withTime(client.rpc.call(Apis.fetchApi, {
          replicaState: { replicaId: far, replicaEpoch: epoch },
          maxWaitMs: 0,
          minBytes: 1,
          sessionId,
          sessionEpoch,
          topics: currentLeaderEpochs.map((currentLeaderEpoch) => ({
            topicId,
            partitions: [{ partition: 0, fetchOffset: 1, currentLeaderEpoch, partitionMaxBytes: 1000 }]
          }))
        }))
      const told = (answer: { readonly responses: ReadonlyArray<{ readonly partitions: ReadonlyArray<{ readonly highWatermark: bigint | number }> }> }) =>
        answer.responses.flatMap(({ partitions }) => partitions.map(({ highWatermark }) => Number(highWatermark)))
      const first = yield* fetch(0, 0, [-1])
      expect(told(first)).toEqual([1])
      expect(told(yield* fetch(first.sessionId, 1, []))).toEqual([])
      expect(told(yield* fetch(first.sessionId, 2, [0]))).toEqual([1])
      expect(told(yield* fetch(first.sessionId, 3, [0]))).toEqual([])
    }))

  it.effect("takes a follower back whose leader has deleted what it had, up to the middle of a batch", () =>
    Effect.gen(function*() {
      const { cluster, far, client } = yield* startWithTopic(LAG)
      yield* produce(client, ["a"])
      cluster.cut([far])
      yield* produce(client, ["b", "c", "d"])
      yield* deleteAndHeal(cluster, far, 2)
      expect(cluster.partition(far, "t")).toMatchObject({ logStartOffset: 2, logEndOffset: 4, highWatermark: 4 })
    }))

  it.effect("counts no fetch of an earlier life of a broker (KIP-903), nor one in another leader epoch", () =>
    Effect.gen(function*() {
      const { cluster, far, client } = yield* startWithTopic(LAG)
      cluster.cut([far])
      yield* produce(client, ["a"])
      expect(cluster.partitionImage("t").isr).not.toContain(far)
      const { topicId } = cluster.leading("t")
      const { epoch } = cluster.image().brokers.get(far)!
      const fetchAs = (replicaEpoch: number, currentLeaderEpoch: number) =>
        Effect.map(
          withTime(client.rpc.call(Apis.fetchApi, {
            replicaState: { replicaId: far, replicaEpoch },
            maxWaitMs: 0,
            minBytes: 1,
            topics: [{ topicId, partitions: [{ partition: 0, fetchOffset: 1, currentLeaderEpoch, partitionMaxBytes: 1000 }] }]
          })),
          ({ responses }) => responses[0]!.partitions[0]!.errorCode
        )
      const known = () => cluster.leading("t").state.followers.get(far)!.logEndOffset
      const before = known()
      expect(yield* fetchAs(epoch - 1, 0)).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER)
      expect(yield* fetchAs(epoch, 1)).toBe(ErrorCode.UNKNOWN_LEADER_EPOCH)
      expect(known()).toBe(before)
      // The broker that it is today.
      expect(yield* fetchAs(epoch, 0)).toBe(ErrorCode.NONE)
      expect(known()).toBe(1)
      yield* cluster.isrIs("t", IDS)
    }))
})

describe("The cluster", () => {
  it.effect("has another controller when its broker dies, and shows clients who lives", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const first = cluster.image().controllerId
      expect(IDS).toContain(first)
      yield* cluster.crash(first)
      yield* until("another controller", () => ![-1, first].includes(cluster.image().controllerId))
      const others = IDS.filter((id) => id !== first)
      expect(others).toContain(cluster.image().controllerId)
      // All three are registered: the third replica is there once its broker is.
      yield* create(cluster, "t")
      expect([...cluster.partitionImage("t").replicas].sort()).toEqual(IDS)
      expect([...cluster.partitionImage("t").isr].sort()).toEqual(others)
      const client = yield* cluster.leaderClient("t")
      const metadata = yield* withTime(client.rpc.call(Apis.metadataApi, { topics: null }))
      expect(metadata.brokers.map(({ nodeId }) => nodeId)).toEqual(others)
      expect(others).toContain(metadata.controllerId)
      expect(metadata.topics[0]!.partitions[0]).toMatchObject({ errorCode: ErrorCode.NONE, offlineReplicas: [first] })
      yield* produce(client, ["a"])
      yield* cluster.start(first)
      yield* cluster.isrIs("t", IDS)
      yield* expectEqualLogs(cluster)
    }))

  it.effect("moves a group's coordinator with its partition's leader, with what the group has committed", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "offsets.topic.replication.factor": "3", "offsets.topic.num.partitions": "1" })
      yield* create(cluster, "t")
      const find = Effect.gen(function*() {
        const group = new GroupClient((yield* [...cluster.running.values()][0]!.connect).rpc)
        const { coordinators } = yield* withTime(group.find("g"))
        yield* until("a coordinator", () => cluster.partitionImage("__consumer_offsets").leader !== -1)
        const { leader } = cluster.partitionImage("__consumer_offsets")
        return { coordinators, leader, group: new GroupClient((yield* cluster.running.get(leader)!.connect).rpc) }
      })
      yield* find
      const first = yield* find
      expect(first.coordinators[0]).toMatchObject({ errorCode: ErrorCode.NONE, nodeId: first.leader })
      yield* settle
      expect(yield* withTime(first.group.commit("g", "t", 0, 42))).toBe(ErrorCode.NONE)
      yield* cluster.crash(first.leader)
      yield* awaitOtherLeader(cluster, first.leader, "__consumer_offsets")
      const second = yield* find
      expect(second.coordinators[0]).toMatchObject({ errorCode: ErrorCode.NONE, nodeId: second.leader })
      expect(yield* withTime(second.group.committed("g"))).toEqual({ "t-0": 42 })
    }))

  it.effect("leads on where a broker was stopped, which comes back with what it missed", () =>
    Effect.gen(function*() {
      const { cluster, leader: first, client } = yield* startWithTopic()
      yield* produce(client, ["a"])
      yield* cluster.stop(first)
      const survivor = yield* awaitOtherLeader(cluster, first)
      yield* produce(survivor, ["b"])
      yield* cluster.start(first)
      yield* expectWhole(cluster)
      yield* expectValues(survivor, ["a", "b"])
    }))
})
