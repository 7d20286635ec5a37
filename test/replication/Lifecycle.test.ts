/** How brokers come, go and lose their sessions, and what the cluster makes of it. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { liveKey } from "../../core/cluster/Keys.ts"
import type { MemoryMetadataStore } from "../../core/memory/MemoryMetadataStore.ts"
import { MetadataStore } from "../../core/ports/MetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import * as Apis from "../broker/Apis.ts"
import type { ProduceOptions, TestClient } from "../broker/TestBroker.ts"
import { bytesOf, IDS, settle, startCluster, type TestCluster, until, withTime } from "./TestCluster.ts"

const create = (cluster: TestCluster, topic: string, partitions = 1, replicationFactor = 3, configs = {}) =>
  Effect.gen(function*() {
    const client = yield* [...cluster.running.values()][0]!.connect
    const { errorCode } = yield* withTime(client.createTopic(topic, partitions, configs, replicationFactor))
    expect(errorCode).toBe(ErrorCode.NONE)
    const topicId = cluster.image().topicsByName.get(topic)!.id
    yield* until("all see it", () => [...cluster.running.values()].every(({ broker }) => broker.services.image().topicsById.has(topicId)))
  })

/** A cluster with the topic `t`. */
const startWith = (overrides = {}, ...topic: readonly [partitions?: number, replicationFactor?: number, configs?: object]) =>
  Effect.tap(startCluster(overrides), (cluster) => create(cluster, "t", ...topic))

const equalLogs = (cluster: TestCluster) =>
  until("equal logs", () => new Set(IDS.map((id) => bytesOf(cluster.partition(id, "t")!))).size === 1)

const produce = (client: TestClient, values: ReadonlyArray<string>, options: ProduceOptions = {}) =>
  Effect.map(withTime(client.produce("t", values, options)), ({ errorCode }) => expect(errorCode).toBe(ErrorCode.NONE))

const storeOf = (cluster: TestCluster): MemoryMetadataStore =>
  Context.get(cluster.link(1).world.context, MetadataStore) as MemoryMetadataStore

/** The store has not heard of the broker for too long. */
const loseSession = (cluster: TestCluster, id: number): Effect.Effect<void> =>
  Effect.sync(() => {
    const store = storeOf(cluster)
    store.loseSession(store.sessionOf(liveKey(id))!)
  })

describe("Controlled shutdown", () => {
  it.effect("moves leaders and leaves the ISR before anything closes, and comes back as one that stopped cleanly", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({}, 6, 3, { "min.insync.replicas": "2" })
      for (const id of IDS) {
        const { broker } = cluster.running.get(id)!
        const { controller, image } = broker.services
        /** What others saw of the broker at the moment its session ended. */
        let led: number | undefined
        let inIsr: number | undefined
        const stopWatching = cluster.running.get(IDS.find((other) => other !== id)!)!.broker.services.controller.onChange((now) => {
          const one = now.brokers.get(id)!
          if (one.inControlledShutdown) {
            const { partitions } = now.topicsByName.get("t")!
            led = partitions.filter(({ leader }) => leader === id).length
            inIsr = partitions.filter(({ isr }) => isr.includes(id)).length
          }
        })
        const epoch = controller.brokerEpoch()
        yield* cluster.stop(id)
        stopWatching()
        expect({ led, inIsr }).toEqual({ led: 0, inIsr: 0 })
        expect(image().brokers.get(id)!.epoch).toBe(epoch)
        const topic = cluster.image().topicsByName.get("t")!
        for (const { isr, leader } of topic.partitions) {
          expect(isr).not.toContain(id)
          expect(cluster.running.has(leader)).toBe(true)
        }
        yield* cluster.start(id)
        expect(cluster.image().brokers.get(id)).toMatchObject({ uncleanEpoch: -1, fenced: false, inControlledShutdown: false })
        yield* until("in every ISR", () => cluster.image().topicsByName.get("t")!.partitions.every(({ isr }) => isr.length === 3))
      }
    }))

  it.effect("has no gap: who waits for acks=all is answered, what comes next finds the new leader at once", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith()
      const first = cluster.partitionImage("t").leader
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a"])
      // Time stands still: nothing of this waits for a timeout.
      yield* cluster.running.get(first)!.stop
      cluster.running.delete(first)
      yield* settle
      expect(cluster.partitionImage("t").leader).not.toBe(first)
      const next = yield* cluster.leaderClient("t")
      yield* produce(next, ["b"])
      expect(yield* withTime(next.readAll("t"))).toEqual(["a", "b"])
    }))

  it.effect("leaves a partition without another replica leaderless, and leads it again after the start", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({}, 3, 1)
      const id = 1
      const own = cluster.image().topicsByName.get("t")!.partitions.find(({ leader }) => leader === id)!.partition
      yield* cluster.stop(id)
      const at = () => cluster.image().topicsByName.get("t")!.partitions[own]!
      yield* until("no leader", () => at().leader === -1)
      expect([...at().isr, ...at().elr]).toEqual([id])
      yield* cluster.start(id)
      yield* until("a leader", () => at().leader === id)
    }))

  it.effect("gives nothing to a broker that is about to stop: no replica in an ISR, no leadership", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({ "replica.lag.time.max.ms": "5000" })
      const follower = cluster.followers("t")[0]!
      const { controller } = cluster.running.get(follower)!.broker.services
      yield* withTime(controller.controlledShutdown)
      yield* until("out of the ISR", () => !cluster.partitionImage("t").isr.includes(follower))
      // It still runs, fetches and is caught up.
      yield* produce(yield* cluster.leaderClient("t"), ["a"])
      yield* until("it has the record", () => cluster.partition(follower, "t")!.logEndOffset === 1)
      yield* TestClock.adjust(30_000)
      yield* settle
      expect(cluster.partitionImage("t").isr).not.toContain(follower)
      yield* create(cluster, "u", 3, 2)
      for (const { leader, isr } of cluster.image().topicsByName.get("u")!.partitions) {
        expect(leader).not.toBe(follower)
        expect(isr).not.toContain(follower)
      }
    }))

  it.effect("holds up nobody when all brokers stop at once, and all come back clean", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({}, 6, 3, { "min.insync.replicas": "2" })
      yield* produce(yield* cluster.leaderClient("t"), ["a"])
      const clock = yield* Clock.Clock
      const before = clock.currentTimeMillisUnsafe()
      yield* withTime(Effect.all(IDS.map((id) => cluster.running.get(id)!.stop), { concurrency: "unbounded", discard: true }))
      expect(clock.currentTimeMillisUnsafe() - before).toBeLessThan(1000)
      cluster.running.clear()
      for (const id of IDS) yield* cluster.start(id)
      for (const id of IDS) expect(cluster.image().brokers.get(id)!.uncleanEpoch).toBe(-1)
      yield* until("in every ISR", () => cluster.image().topicsByName.get("t")!.partitions.every(({ isr }) => isr.length === 3))
      expect(yield* withTime((yield* cluster.leaderClient("t")).readAll("t"))).toEqual(["a"])
    }))

  it.effect("is given up when the metadata store cannot be reached, and left out when controlled.shutdown.enable is false", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({ "controlled.shutdown.enable": "false" })
      yield* produce(yield* cluster.leaderClient("t"), ["a"])
      const first = cluster.partitionImage("t").leader
      let wasSeen = false
      const other = cluster.running.get(cluster.followers("t")[0]!)!.broker.services.controller
      other.onChange((now) => {
        if (now.brokers.get(first)!.inControlledShutdown) wasSeen = true
      })
      yield* cluster.stop(first)
      yield* until("another leader", () => ![-1, first].includes(cluster.partitionImage("t").leader))
      expect(wasSeen).toBe(false)

      const second = yield* startCluster()
      second.link(2).isWithoutStore = true
      yield* second.stop(2)
      second.link(2).isWithoutStore = false
      yield* second.start(2)
      expect(second.image().brokers.get(2)!.uncleanEpoch).toBe(-1)
    }))
})

describe("A start that is given up", () => {
  it.effect("leaves a clean broker clean, and an unclean one unclean", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({ "broker.session.timeout.ms": "9000" })
      yield* produce(yield* cluster.leaderClient("t"), ["a"])
      for (const isClean of [true, false]) {
        if (isClean) yield* cluster.stop(2)
        else yield* cluster.kill(2, "ends")
        // The store does not let it register: it loads its logs and waits.
        cluster.link(2).isWithoutStore = true
        const failed = yield* Effect.flip(Effect.scoped(cluster.start(2)))
        expect(failed._tag).toBe("MetadataStoreError")
        cluster.link(2).isWithoutStore = false
        yield* cluster.start(2)
        const { epoch, uncleanEpoch } = cluster.image().brokers.get(2)!
        expect(uncleanEpoch).toBe(isClean ? -1 : epoch)
        yield* cluster.isrIs("t", IDS)
      }
    }))
})

describe("A broker that loses its session while it lives", () => {
  it.effect("is fenced and loses its leaders, then registers again with a new epoch and joins the ISRs, its log whole", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith()
      for (let round = 0; round < 3; round++) {
        yield* produce(yield* cluster.leaderClient("t"), [`${round}`])
        const { leader, leaderEpoch } = cluster.partitionImage("t")
        const { broker } = cluster.running.get(leader)!
        const before = broker.brokerEpoch
        yield* loseSession(cluster, leader)
        yield* until("registered again", () => broker.brokerEpoch > before && cluster.image().brokers.get(leader)!.fenced === false)
        expect(cluster.image().brokers.get(leader)).toMatchObject({ epoch: broker.brokerEpoch, uncleanEpoch: -1 })
        yield* until("another epoch", () => cluster.partitionImage("t").leaderEpoch > leaderEpoch)
        yield* cluster.isrIs("t", IDS)
      }
      const client = yield* cluster.leaderClient("t")
      expect(yield* withTime(client.readAll("t"))).toEqual(["0", "1", "2"])
      yield* equalLogs(cluster)
      // The mark of a clean stop names the registration that there is now.
      yield* cluster.stop(1)
      yield* cluster.start(1)
      expect(cluster.image().brokers.get(1)!.uncleanEpoch).toBe(-1)
    }))

  it.effect("goes on serving by epochs while it does not know: nothing is acknowledged twice over, nothing is lost", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({ "replica.lag.time.max.ms": "5000" }, 1, 3, { "min.insync.replicas": "2" })
      const first = cluster.partitionImage("t").leader
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a"])
      // The store is gone for it: no commit, no news, no session.
      cluster.link(first).isBlind = true
      cluster.link(first).isWithoutStore = true
      yield* loseSession(cluster, first)
      const survivor = () => IDS.find((id) => id !== first)!
      const imageOfSurvivor = () => cluster.running.get(survivor())!.broker.services.image().topicsByName.get("t")!.partitions[0]!
      yield* until("another leader", () => ![-1, first].includes(imageOfSurvivor().leader))
      const old = cluster.partition(first, "t")!
      expect(old.isLeader).toBe(true)
      // The old leader takes the record, and cannot commit it: nobody of its ISR fetches from it any more.
      const stale = yield* withTime(client.produce("t", ["stale"], { timeoutMs: 1000 }))
      expect(stale.errorCode).toBe(ErrorCode.REQUEST_TIMED_OUT)
      expect(yield* withTime(client.readAll("t"))).toEqual(["a"])
      const { leader } = imageOfSurvivor()
      const next = yield* cluster.running.get(leader)!.connect
      yield* produce(next, ["b"])

      cluster.link(first).isBlind = false
      cluster.link(first).isWithoutStore = false
      yield* until("it follows", () => !old.isLeader)
      yield* cluster.isrIs("t", IDS)
      yield* equalLogs(cluster)
      expect(yield* withTime(next.readAll("t"))).toEqual(["a", "b"])
    }))

  it.effect("is controller no longer: another one is, and what the old one still decides is refused", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const first = cluster.image().controllerId
      cluster.link(first).isBlind = true
      yield* loseSession(cluster, first)
      const other = cluster.running.get(IDS.find((id) => id !== first)!)!
      yield* until("another controller", () => ![-1, first].includes(other.broker.services.image().controllerId))
      cluster.link(first).isBlind = false
      yield* until("it knows", () => cluster.running.get(first)!.broker.services.image().controllerId !== first)
      yield* until("it is back", () => other.broker.services.image().brokers.get(first)!.fenced === false)
      yield* create(cluster, "t")
    }))

  it.effect("tries until it has another session and is registered with it, whatever fails in between", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith()
      const link = cluster.link(2)
      const { broker } = cluster.running.get(2)!
      const before = broker.brokerEpoch
      link.isWithoutStore = true
      yield* loseSession(cluster, 2)
      // A session it gets, a registration it does not; then that session is lost as well.
      yield* TestClock.adjust(5000)
      yield* settle
      const store = storeOf(cluster)
      for (const id of store.openSessions()) if (!IDS.some((one) => store.sessionOf(liveKey(one)) === id)) store.loseSession(id)
      yield* TestClock.adjust(1000)
      link.isWithoutStore = false
      yield* until("registered again", () => broker.brokerEpoch > before)
      yield* cluster.isrIs("t", IDS)
    }))
})

describe("A broker that does not hear that it is registered", () => {
  it.effect("finds that it is, and does not wait for the end of its own session", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith()
      const link = cluster.link(2)
      const { broker } = cluster.running.get(2)!
      const before = broker.brokerEpoch
      link.losesAnswers = true
      yield* loseSession(cluster, 2)
      const other = cluster.running.get(1)!.broker.services
      yield* until("it is registered", () => other.image().brokers.get(2)!.epoch > before)
      link.losesAnswers = false
      const { epoch } = other.image().brokers.get(2)!
      yield* until("it knows", () => broker.brokerEpoch === epoch)
      yield* cluster.isrIs("t", IDS)
      expect(other.image().brokers.get(2)).toMatchObject({ epoch, uncleanEpoch: -1, fenced: false })
    }))
})

describe("A broker whose last log directory fails", () => {
  it.effect("gives itself up: its session ends, others lead, nobody can connect to it, and it comes back as unclean", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith({}, 1, 3, { "min.insync.replicas": "2", "flush.messages": "1" })
      const first = cluster.partitionImage("t").leader
      const client = yield* cluster.leaderClient("t")
      yield* produce(client, ["a"])
      const { disk } = cluster.link(first).world
      disk.failWhen((operation) => operation === "sync" ? "Io" : undefined)
      // Who waits is told, then the connection ends.
      expect((yield* withTime(client.produce("t", ["b"]))).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      const running = cluster.running.get(first)!
      yield* until("it has ended", () => !running.isRunning())
      cluster.running.delete(first)
      expect((yield* Effect.flip(Effect.scoped(running.connect))).kind).toBe("Unreachable")
      yield* until("another leader", () => ![-1, first].includes(cluster.partitionImage("t").leader))
      yield* produce(yield* cluster.leaderClient("t"), ["c"])
      expect(disk.disk.stat("/data/.kafka_cleanshutdown")).toBeUndefined()
      disk.failWhen(undefined)
      yield* cluster.start(first)
      expect(cluster.image().brokers.get(first)).toMatchObject({ uncleanEpoch: cluster.image().brokers.get(first)!.epoch })
      yield* cluster.isrIs("t", IDS)
      yield* equalLogs(cluster)
    }))
})

describe("A broker of whose log directories one fails", () => {
  const directories = { "log.dirs": "/one,/two" }
  /** The partitions that a broker leads and has in a directory. */
  const ledIn = (cluster: TestCluster, id: number, directory: string): ReadonlyArray<number> => {
    const { logManager } = cluster.running.get(id)!.broker.services
    return cluster.image().topicsByName.get("t")!.partitions
      .filter(({ leader, partition }) => leader === id && logManager.directoryOf(logManager.get("t", partition)!) === directory)
      .map(({ partition }) => partition)
  }

  it.effect("leads what lies there no more, is in no ISR of it, and goes on with the rest", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith(directories, 12, 3, { "min.insync.replicas": "2", "flush.messages": "1" })
      const id = 1
      const broken = ledIn(cluster, id, "/one")
      const whole = ledIn(cluster, id, "/two")
      expect([broken.length, whole.length].every((count) => count > 0)).toBe(true)
      const { disk } = cluster.link(id).world
      disk.failWhen((operation, path) => operation === "sync" && path.startsWith("/one") ? "Io" : undefined)
      const client = yield* cluster.running.get(id)!.connect
      expect((yield* withTime(client.produce("t", ["a"], { partition: broken[0]! }))).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
      const partitions = () => cluster.image().topicsByName.get("t")!.partitions
      yield* until("others lead", () => broken.every((one) => ![-1, id].includes(partitions()[one]!.leader)))
      for (const one of broken) {
        expect(partitions()[one]!.isr).not.toContain(id)
        const leader = yield* cluster.running.get(partitions()[one]!.leader)!.connect
        expect((yield* withTime(leader.produce("t", ["b"], { partition: one }))).errorCode).toBe(ErrorCode.NONE)
      }
      for (const one of whole) {
        expect(partitions()[one]).toMatchObject({ leader: id, isr: expect.arrayContaining([id]) })
        expect((yield* withTime(client.produce("t", ["c"], { partition: one }))).errorCode).toBe(ErrorCode.NONE)
      }
      const metadata = yield* withTime(client.rpc.call(Apis.metadataApi, { topics: null }))
      expect(metadata.topics[0]!.partitions.find(({ partitionIndex }) => partitionIndex === broken[0])!.offlineReplicas).toEqual([id])

      // Another session says it again.
      const epoch = cluster.running.get(id)!.broker.brokerEpoch
      yield* loseSession(cluster, id)
      yield* until("registered again", () => cluster.running.get(id)!.broker.brokerEpoch > epoch)
      yield* until("offline again", () => cluster.image().brokers.get(id)!.offlineReplicas.size > 0)
      for (const one of broken) expect(partitions()[one]!.isr).not.toContain(id)

      // With the directory they are back.
      yield* cluster.crash(id)
      disk.failWhen(undefined)
      yield* cluster.start(id)
      yield* until("in every ISR", () => partitions().every(({ isr }) => isr.length === 3))
      expect(cluster.image().brokers.get(id)!.offlineReplicas.size).toBe(0)
    }))

  it.effect("makes no empty log in place of one that it cannot find at its start", () =>
    Effect.gen(function*() {
      const cluster = yield* startWith(directories, 12, 1)
      const id = 1
      const hidden = ledIn(cluster, id, "/one")
      const client = yield* cluster.running.get(id)!.connect
      for (const one of hidden) expect((yield* withTime(client.produce("t", ["a"], { partition: one }))).errorCode).toBe(ErrorCode.NONE)
      yield* cluster.stop(id)
      const { disk } = cluster.link(id).world
      disk.failWhen((_, path) => path.startsWith("/one") ? "Io" : undefined)
      yield* cluster.start(id)
      const again = yield* cluster.running.get(id)!.connect
      yield* until("no leader", () => hidden.every((one) => cluster.image().topicsByName.get("t")!.partitions[one]!.leader === -1))
      for (const one of hidden) {
        expect((yield* again.fetchOne("t", { partition: one })).errorCode).toBe(ErrorCode.KAFKA_STORAGE_ERROR)
        expect(disk.disk.stat(`/two/t-${one}`)).toBeUndefined()
      }
      yield* cluster.stop(id)
      disk.failWhen(undefined)
      yield* cluster.start(id)
      const last = yield* cluster.running.get(id)!.connect
      yield* until("a leader", () => hidden.every((one) => cluster.image().topicsByName.get("t")!.partitions[one]!.leader === id))
      for (const one of hidden) expect(yield* withTime(last.readAll("t", one))).toEqual(["a"])
    }))
})

describe("The controller", () => {
  it.effect("goes over when its broker is stopped, killed or silent, and everything goes on", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster({ "broker.session.timeout.ms": "3000" })
      for (const end of ["stop", "kill", "silence", "stop", "kill", "silence"]) {
        const first = cluster.image().controllerId
        const other = IDS.find((id) => id !== first)!
        if (end === "stop") yield* cluster.stop(first)
        else {
          yield* cluster.kill(first, end === "silence" ? "expires" : "ends")
          if (end === "silence") {
            yield* TestClock.adjust(2900)
            yield* settle
            expect(cluster.running.get(other)!.broker.services.image().controllerId).toBe(first)
          }
        }
        yield* until("another controller", () => ![-1, first].includes(cluster.running.get(other)!.broker.services.image().controllerId))
        yield* create(cluster, `after-${first}-${end}-${cluster.image().revision}`)
        yield* cluster.start(first)
      }
    }))
})

describe("Producer ids", () => {
  it.effect("are never given twice, by no broker, before and after stops, kills and lost sessions", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const given: Array<number> = []
      const ask = (id: number) =>
        Effect.gen(function*() {
          const client = yield* cluster.running.get(id)!.connect
          for (let i = 0; i < 3; i++) {
            const answer = yield* withTime(client.rpc.call(Apis.initProducerIdApi, { transactionalId: null, transactionTimeoutMs: 1000 }))
            expect(answer.errorCode).toBe(ErrorCode.NONE)
            given.push(Number(answer.producerId))
          }
        })
      for (const id of IDS) yield* ask(id)
      yield* cluster.crash(1)
      yield* ask(2)
      yield* cluster.start(1)
      yield* ask(1)
      yield* cluster.stop(2)
      yield* cluster.start(2)
      yield* ask(2)
      yield* loseSession(cluster, 3)
      yield* ask(3)
      expect(new Set(given).size).toBe(given.length)
      expect(given).toHaveLength(21)
    }))
})

describe("DescribeCluster", () => {
  it.effect("names every broker with its address, rack and life, and the controller, the same wherever it is asked", () =>
    Effect.gen(function*() {
      const cluster = yield* startCluster()
      const describe = (id: number, includeFencedBrokers = false) =>
        Effect.gen(function*() {
          const client = yield* cluster.running.get(id)!.connect
          return yield* withTime(client.rpc.call(Apis.describeClusterApi, { endpointType: 1, includeFencedBrokers, includeClusterAuthorizedOperations: false }))
        })
      const listeners = IDS.map((id) => ({ brokerId: id, port: cluster.running.get(id)!.broker.listeners[0]!.port, isFenced: false }))
      for (const id of IDS) {
        const answer = yield* describe(id)
        expect(answer).toMatchObject({ errorCode: ErrorCode.NONE, controllerId: cluster.image().controllerId, clusterId: cluster.image().clusterId })
        expect(answer.brokers.map(({ brokerId, isFenced, port }) => ({ brokerId, port, isFenced }))).toEqual(listeners)
      }
      const gone = IDS.find((id) => id !== cluster.image().controllerId)!
      yield* cluster.crash(gone)
      const asked = IDS.find((id) => id !== gone)!
      yield* until("it is known", () => cluster.image().brokers.get(gone)!.fenced)
      expect((yield* describe(asked)).brokers.map(({ brokerId }) => brokerId)).toEqual(IDS.filter((id) => id !== gone))
      expect((yield* describe(asked, true)).brokers.map(({ brokerId, isFenced }) => [brokerId, isFenced])).toEqual(
        IDS.map((id) => [id, id === gone])
      )
    }))
})
