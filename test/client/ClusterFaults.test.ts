/** The Cluster when brokers fail, move, are silent or old: under TestClock, against brokers that the test plays. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { ClientConfig } from "../../core/client/ClientConfig.ts"
import { errorOfCode, RetriableError } from "../../core/client/ClientError.ts"
import * as Cluster from "../../core/client/Cluster.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { FindCoordinatorRequest } from "../../core/protocol/generated/FindCoordinator.ts"
import { listOffsetsApi } from "../../core/protocol/generated/ListOffsets.ts"
import type { MetadataRequest } from "../../core/protocol/generated/Metadata.ts"
import { advance, type FakeBrokers, fakeBrokers, type FakeRequest, settle } from "./FakeBrokers.ts"

/** The answer tells which broker gave it. */
const whoAmI = (request: FakeRequest): object => ({
  topics: [{ name: "", partitions: [{ partitionIndex: 0, errorCode: 0, offset: request.nodeId }] }]
})
const ask = (cluster: Cluster.Cluster, nodeId: number, lane: Cluster.Lane = "data", timeoutMs?: number) =>
  Effect.map(
    cluster.call(nodeId, lane, listOffsetsApi, { replicaId: -1, topics: [] }, timeoutMs === undefined ? {} : { timeoutMs }),
    ({ topics }) => Number(topics[0]!.partitions[0]!.offset)
  )

const connect = (brokers: FakeBrokers, config: Partial<ClientConfig> = {}) => {
  brokers.on(ApiKey.ListOffsets, whoAmI)
  return Cluster.make({ "bootstrap.servers": brokers.bootstrap, ...config }).pipe(Effect.provideContext(brokers.context))
}
const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })
const names = ({ body }: FakeRequest): ReadonlyArray<string | null> =>
  ((body as MetadataRequest).topics ?? []).map(({ name }) => name)
const leaderOf = (cluster: Cluster.Cluster, topic: string, partition = 0): number =>
  cluster.topic(topic)!.partitions[partition]!.leader

describe("Cluster: connections", () => {
  it.effect("connects to nothing before it is asked", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      yield* connect(brokers)
      yield* TestClock.adjust("1 hour")
      expect(brokers.network.attempts).toEqual([])
    }))

  it.effect("has one connection per node and lane, however many ask at once", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.addTopic("t", [1, 2])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      const answers = yield* Effect.all(
        [1, 2, 1, 2, 1].flatMap((nodeId) => [ask(cluster, nodeId), ask(cluster, nodeId, "fetch")]),
        { concurrency: "unbounded" }
      )
      expect(answers).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 1, 1])
      // The one to the bootstrap server, which had no id then, is among them.
      expect(brokers.network.connections.size).toBe(4)
    }))

  it.effect("asks each bootstrap server until one answers", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2, 3)
      yield* brokers.stop(1)
      yield* brokers.stop(2)
      brokers.addTopic("t", [3])
      const cluster = yield* connect(brokers)
      expect((yield* cluster.topics(["t"])).get("t")!.partitions[0]!.leader).toBe(3)
    }))

  it.effect("says why no bootstrap server answers, once the time is over", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      yield* brokers.stop(1)
      yield* brokers.stop(2)
      const cluster = yield* connect(brokers)
      const failed = yield* fork(Effect.flip(cluster.topics(["t"], { timeoutMs: 5000 })))
      yield* advance(5000)
      expect(yield* Fiber.join(failed)).toMatchObject({
        _tag: "RetriableError",
        reason: "DISCONNECTED",
        message: expect.stringMatching(/connect to node[12]:900[12]: nothing listens there/)
      })
    }))

  it.effect("waits longer before each attempt to reach a broker, with 20 % jitter, and no longer than the maximum", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers, { "reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 1000 })
      yield* cluster.topics(["t"])
      yield* brokers.stop(1)
      brokers.network.refuses = () => true
      const pauses: Array<number> = []
      for (let i = 0; i < 7; i++) {
        const before = brokers.network.attempts.length
        const failed = yield* fork(Effect.flip(ask(cluster, 1, "fetch")))
        let pause = 0
        const isTried = () => brokers.network.attempts.slice(before).some(({ port }) => port === brokers.port(1))
        // The data lane, which looks for metadata meanwhile, is another connection with a backoff of its own.
        yield* settle
        while (failed.pollUnsafe() === undefined && pause < 5000) {
          yield* TestClock.adjust(1)
          pause += 1
        }
        expect(isTried()).toBe(true)
        expect(yield* Fiber.join(failed)).toMatchObject({ reason: "DISCONNECTED" })
        pauses.push(pause)
      }
      const [first, ...rest] = pauses
      expect(first).toBe(0)
      const within = [[80, 120], [160, 240], [320, 480], [640, 960], [800, 1000], [800, 1000]]
      expect(rest.map((pause, i) => pause >= within[i]![0]! - 1 && pause <= within[i]![1]! + 1), String(pauses)).toEqual(rest.map(() => true))
    }).pipe(Random.withSeed("backoff")))

  it.effect("connects again after a connection ended, and fails who waited for an answer", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      brokers.on(ApiKey.ListOffsets, () => undefined)
      const waiting = yield* fork(Effect.flip(ask(cluster, 1)))
      yield* settle
      brokers.dropConnections(1)
      expect(yield* Fiber.join(waiting)).toMatchObject({ _tag: "RetriableError", reason: "DISCONNECTED" })
      brokers.on(ApiKey.ListOffsets, whoAmI)
      const again = yield* fork(ask(cluster, 1))
      yield* advance(1000)
      expect(yield* Fiber.join(again)).toBe(1)
    }))

  it.effect("ends a connection that does not answer in time, with all who wait on it", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers, { "request.timeout.ms": 2000 })
      yield* cluster.topics(["t"])
      brokers.on(ApiKey.ListOffsets, () => undefined)
      const short = yield* fork(Effect.flip(ask(cluster, 1, "data", 500)))
      const long = yield* fork(Effect.flip(ask(cluster, 1)))
      yield* settle
      yield* TestClock.adjust(499)
      expect(short.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      expect(yield* Fiber.join(short)).toMatchObject({ reason: "TIMED_OUT", message: expect.stringContaining("ListOffsets within 500 ms") })
      expect(yield* Fiber.join(long)).toMatchObject({ reason: "TIMED_OUT" })
    }))

  it.effect("lets the answer of an interrupted call come and go", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      const held: Array<FakeRequest> = []
      brokers.on(ApiKey.ListOffsets, (request) => void held.push(request))
      const given = yield* fork(ask(cluster, 1))
      yield* settle
      yield* Fiber.interrupt(given)
      const second = yield* fork(ask(cluster, 1))
      yield* settle
      for (const request of held) request.answer(whoAmI(request))
      expect(yield* Fiber.join(second)).toBe(1)
      expect(brokers.accepted(1)).toBeGreaterThan(0)
    }))

  it.effect("takes nonsense for the end of a connection, not of the client", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      brokers.on(ApiKey.ListOffsets, (request) => void request.connection.send([Uint8Array.of(0, 0, 0, 5, 9, 9, 9, 9, 9)]))
      expect(yield* Effect.flip(ask(cluster, 1))).toMatchObject({ _tag: "FatalError", reason: "CORRUPT" })
      brokers.on(ApiKey.ListOffsets, whoAmI)
      const again = yield* fork(ask(cluster, 1))
      yield* advance(1000)
      expect(yield* Fiber.join(again)).toBe(1)
    }))

  it.effect("speaks what an old broker speaks, and says so when that is nothing", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      for (const [apiKey, version] of [[ApiKey.ApiVersions, 0], [ApiKey.Metadata, 0], [ApiKey.ListOffsets, 0]] as const) {
        brokers.maxVersions.set(apiKey, version)
      }
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      expect((yield* cluster.topics(["t"])).get("t")).toMatchObject({ partitions: [{ leader: 1, leaderEpoch: -1 }] })
      expect([...(yield* cluster.allTopics).keys()]).toEqual(["t"])
      expect(yield* Effect.flip(ask(cluster, 1))).toMatchObject({ _tag: "FatalError", reason: "UNSUPPORTED" })
      expect(brokers.asked(ApiKey.ListOffsets)).toEqual([])
    }))

  it.effect("closes what was idle for connections.max.idle.ms, and connects again when asked", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers, { "connections.max.idle.ms": 60_000, "metadata.max.age.ms": 10_000_000 })
      yield* cluster.topics(["t"])
      yield* ask(cluster, 1, "fetch")
      yield* TestClock.adjust(40_000)
      yield* ask(cluster, 1, "fetch")
      yield* TestClock.adjust(40_000)
      expect(brokers.network.connections.size).toBe(1)
      yield* TestClock.adjust(40_000)
      expect(brokers.network.connections.size).toBe(0)
      const again = yield* ask(cluster, 1, "fetch")
      expect(again).toBe(1)
      expect(brokers.asked(ApiKey.Metadata).length).toBe(1)
    }))

  it.effect("follows a broker that has moved to another address", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.addTopic("t", [1, 2])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      expect(yield* ask(cluster, 2)).toBe(2)
      yield* brokers.stop(2)
      yield* brokers.start(2, 9500)
      cluster.invalidate()
      yield* advance(2000)
      const moved = yield* fork(ask(cluster, 2))
      yield* advance(2000)
      expect(yield* Fiber.join(moved)).toBe(2)
      expect(brokers.network.attempts.at(-1)).toMatchObject({ host: "node2", port: 9500 })
    }))

  it.effect("goes back to the bootstrap servers when no broker that it knows answers", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.addTopic("t", [2])
      yield* brokers.stop(1)
      const cluster = yield* connect(brokers, { "bootstrap.servers": `${brokers.host(1)}:${brokers.port(1)},${brokers.host(2)}:${brokers.port(2)}` })
      yield* cluster.topics(["t"])
      expect([...cluster.view().nodes.keys()]).toEqual([2])
      yield* brokers.stop(2)
      yield* brokers.start(1)
      brokers.moveLeader("t", 0, 1)
      cluster.invalidate()
      yield* advance(10_000)
      expect(leaderOf(cluster, "t")).toBe(1)
    }))
})

describe("Cluster: metadata", () => {
  it.effect("asks once for all who wait for the same topic, and for all new topics together", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      for (const name of ["a", "b", "c"]) brokers.addTopic(name, [1])
      const cluster = yield* connect(brokers)
      yield* Effect.all(["a", "b", "a", "c", "b", "a"].map((name) => cluster.topics([name])), { concurrency: "unbounded" })
      const asked = brokers.asked(ApiKey.Metadata)
      expect(asked.length).toBeLessThanOrEqual(2)
      expect(asked.flatMap(names).sort()).toEqual(["a", "b", "c"])
      yield* cluster.topics(["a", "b", "c"])
      expect(brokers.asked(ApiKey.Metadata).length).toBe(asked.length)
    }))

  it.effect("asks again for a topic that is being created, ever more slowly", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      const cluster = yield* connect(brokers)
      const waiting = yield* fork(cluster.topics(["late"]))
      yield* advance(4000)
      const asked = brokers.asked(ApiKey.Metadata).length
      // 0, 100, 300, 700, 1500, 2500, 3500 ms with 20 % jitter.
      expect(asked).toBeGreaterThanOrEqual(6)
      expect(asked).toBeLessThanOrEqual(9)
      brokers.addTopic("late", [1])
      yield* advance(1500)
      expect([...(yield* Fiber.join(waiting)).keys()]).toEqual(["late"])
    }))

  it.effect("asks about every topic of interest when the view is stale, at most once per backoff", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.addTopic("t", [1])
      brokers.addTopic("u", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t", "u"])
      brokers.moveLeader("t", 0, 2)
      for (let i = 0; i < 10; i++) cluster.invalidate()
      expect(leaderOf(cluster, "t")).toBe(1)
      const seen = yield* fork(cluster.viewAfter(cluster.view().version))
      yield* advance(120)
      expect((yield* Fiber.join(seen)).topics.get("t")!.partitions[0]).toMatchObject({ leader: 2, leaderEpoch: 1 })
      expect(brokers.asked(ApiKey.Metadata).map(names)).toEqual([["t", "u"], ["t", "u"]])
      yield* advance(5000)
      expect(brokers.asked(ApiKey.Metadata).length).toBe(2)
    }))

  it.effect("asks once more when the view became stale while its renewal was on the way", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      const held: Array<FakeRequest & { readonly was: object }> = []
      brokers.on(ApiKey.Metadata, (request) => void held.push({ ...request, was: brokers.metadata(request) }))
      cluster.invalidate()
      yield* advance(200)
      expect(held.length).toBe(1)
      brokers.moveLeader("t", 0, 2)
      cluster.invalidate()
      brokers.on(ApiKey.Metadata, (request) => brokers.metadata(request))
      held[0]!.answer(held[0]!.was)
      yield* advance(200)
      expect(leaderOf(cluster, "t")).toBe(2)
    }))

  it.effect("takes a hint of the new leader at once, and none that is older", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      const views: Array<number> = []
      cluster.onView((view) => void views.push(view.topics.get("t")!.partitions[0]!.leader))
      cluster.invalidate({ topic: "t", partition: 0, leader: 2, leaderEpoch: 5 })
      expect(leaderOf(cluster, "t")).toBe(2)
      cluster.invalidate({ topic: "t", partition: 0, leader: 1, leaderEpoch: 4 })
      cluster.invalidate({ topic: "t", partition: 0, leader: 9, leaderEpoch: 6 })
      expect(leaderOf(cluster, "t")).toBe(2)
      cluster.invalidate({ topic: "t", partition: 0, leader: 9, leaderEpoch: 6, node: { id: 9, host: "node9", port: 1, rack: null } })
      expect(leaderOf(cluster, "t")).toBe(9)
      expect(views).toEqual([2, 9])
      // A broker that lags behind does not undo it.
      yield* advance(1000)
      expect(brokers.asked(ApiKey.Metadata).length).toBeGreaterThan(1)
      expect(leaderOf(cluster, "t")).toBe(9)
    }))

  it.effect("renews its view when it is older than metadata.max.age.ms, and forgets topics that nobody looks at", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("used", [1])
      brokers.addTopic("idle", [1])
      const cluster = yield* connect(brokers, { "metadata.max.age.ms": 120_000 })
      yield* cluster.topics(["used", "idle"])
      for (let i = 0; i < 4; i++) {
        yield* TestClock.adjust(121_000)
        expect(cluster.topic("used")).toBeDefined()
      }
      const asked = brokers.asked(ApiKey.Metadata).map(names)
      expect(asked.slice(0, 3)).toEqual([["used", "idle"], ["used", "idle"], ["used", "idle"]])
      expect(asked.at(-1)).toEqual(["used"])
      expect(cluster.topic("idle")).toBeUndefined()
    }))

  it.effect("tells what it knows, however old, while no broker can be reached", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers, { "metadata.max.age.ms": 60_000 })
      const known = yield* cluster.topics(["t"])
      yield* brokers.stop(1)
      yield* advance(100_000, 500)
      expect(yield* cluster.topics(["t"], { timeoutMs: 0 })).toEqual(known)
    }))

  it.effect("drops a topic that is gone", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      brokers.topics.delete("t")
      cluster.invalidate()
      yield* advance(200)
      expect(cluster.topic("t")).toBeUndefined()
    }))

  it.effect("lets brokers create only topics whose asker lets them", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("a", [1])
      brokers.addTopic("b", [1])
      const cluster = yield* connect(brokers)
      yield* Effect.all([cluster.topics(["a"]), cluster.topics(["b"], { allowAutoCreate: false })], { concurrency: "unbounded" })
      const flags = new Map(brokers.asked(ApiKey.Metadata).flatMap((request) =>
        names(request).map((name) => [name, (request.body as MetadataRequest).allowAutoTopicCreation] as const)))
      expect(flags).toEqual(new Map([["a", true], ["b", false]]))
    }))

  it.effect("says at once what no time will heal", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.topicErrors.set("secret", ErrorCode.TOPIC_AUTHORIZATION_FAILED)
      const cluster = yield* connect(brokers)
      expect(yield* Effect.flip(cluster.topics(["secret"]))).toMatchObject({ _tag: "FatalError", reason: "TOPIC_AUTHORIZATION_FAILED" })
    }))

  it.effect("asks again when a broker knows of no broker yet, and believes no partition beyond reason", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      let empty = 2
      brokers.on(ApiKey.Metadata, (request) => {
        const answer = brokers.metadata(request) as { brokers: ReadonlyArray<object>; topics: ReadonlyArray<object> }
        if (empty-- > 0) return { ...answer, brokers: [] }
        return { ...answer, topics: [...answer.topics, { name: "mad", errorCode: 0, partitions: [{ errorCode: 0, partitionIndex: 2 ** 31 - 1, leaderId: 1, replicaNodes: [], isrNodes: [] }] }] }
      })
      const cluster = yield* connect(brokers)
      const known = yield* fork(cluster.topics(["t"]))
      yield* advance(1000)
      expect([...(yield* Fiber.join(known)).keys()]).toEqual(["t"])
      expect(cluster.topic("mad")).toBeUndefined()
    }))

  it.effect("finds the controller again after it moved", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      const cluster = yield* connect(brokers)
      expect(yield* cluster.controller).toBe(1)
      brokers.controllerId = 2
      cluster.invalidate()
      const moved = yield* fork(cluster.controller)
      yield* advance(200)
      expect(yield* Fiber.join(moved)).toBe(2)
    }))
})

describe("Cluster: coordinators", () => {
  for (const version of [0, 1, 2, 3, 4, 5, 6]) {
    it.effect(`finds coordinators with FindCoordinator ${version}`, () =>
      Effect.gen(function*() {
        const brokers = yield* fakeBrokers(1, 2)
        brokers.maxVersions.set(ApiKey.FindCoordinator, version)
        for (const [key, nodeId] of [["group:a", 1], ["group:b", 2], ["transaction:a", 2]] as const) brokers.coordinators.set(key, nodeId)
        const cluster = yield* connect(brokers)
        const find = (kind: "group" | "transaction", key: string) => cluster.coordinator({ kind, key })
        expect(yield* Effect.all([find("group", "a"), find("group", "b"), find("group", "a")], { concurrency: "unbounded" })).toEqual([1, 2, 1])
        expect(brokers.asked(ApiKey.FindCoordinator).length).toBe(version >= 4 ? 1 : 2)
        if (version === 0) expect(yield* Effect.flip(find("transaction", "a"))).toMatchObject({ reason: "UNSUPPORTED" })
        else expect(yield* find("transaction", "a")).toBe(2)
      }))
  }

  it.effect("remembers a coordinator until it is told to forget, and finds where it moved", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.coordinators.set("group:g", 1)
      const cluster = yield* connect(brokers)
      const key = { kind: "group", key: "g" } as const
      expect(yield* cluster.coordinator(key)).toBe(1)
      brokers.coordinators.set("group:g", 2)
      expect(yield* cluster.coordinator(key)).toBe(1)
      cluster.forgetCoordinator(key)
      expect(yield* cluster.coordinator(key)).toBe(2)
      // Its connection is lost: so is what is known of it.
      expect(yield* ask(cluster, 2, "coordinator")).toBe(2)
      brokers.coordinators.set("group:g", 1)
      brokers.dropConnections(2)
      yield* settle
      expect(yield* cluster.coordinator(key)).toBe(1)
    }))

  it.effect("waits for a coordinator that is not there yet", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      const cluster = yield* connect(brokers)
      const found = yield* fork(cluster.coordinator({ kind: "group", key: "g" }))
      yield* advance(500)
      expect(found.pollUnsafe()).toBeUndefined()
      brokers.coordinators.set("group:g", 1)
      yield* advance(1200)
      expect(yield* Fiber.join(found)).toBe(1)
      const never = yield* fork(Effect.flip(cluster.coordinator({ kind: "group", key: "none" })))
      yield* advance(60_000, 100)
      expect(yield* Fiber.join(never)).toMatchObject({ reason: "COORDINATOR_NOT_AVAILABLE" })
    }))

  it.effect("asks for others when who asked first gives up", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      const held: Array<FakeRequest> = []
      brokers.on(ApiKey.FindCoordinator, (request) => void held.push(request))
      const cluster = yield* connect(brokers)
      const first = yield* fork(cluster.coordinator({ kind: "group", key: "g" }))
      yield* settle
      const second = yield* fork(cluster.coordinator({ kind: "group", key: "g" }))
      yield* Fiber.interrupt(first)
      expect(held.length).toBe(1)
      expect((held[0]!.body as FindCoordinatorRequest).coordinatorKeys).toEqual(["g"])
      held[0]!.answer({ coordinators: [{ key: "g", nodeId: 1, host: "node1", port: 9001, errorCode: 0, errorMessage: null }] })
      expect(yield* Fiber.join(second)).toBe(1)
    }))
})

describe("Cluster: retries and the end", () => {
  it.effect("tries again with Kafka's backoff until the time is over, then fails with the last error", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      const cluster = yield* connect(brokers)
      let attempts = 0
      const failing = Effect.suspend(() => Effect.fail(new RetriableError("TIMED_OUT", `attempt ${++attempts}`)))
      const ended = yield* fork(Effect.flip(cluster.retry(failing, { timeoutMs: 10_000 })))
      yield* TestClock.adjust(9999)
      // Pauses of 100, 200, 400, 800, then 1000 ms, each with 20 % jitter.
      expect(attempts).toBeGreaterThanOrEqual(12)
      expect(attempts).toBeLessThanOrEqual(17)
      expect(ended.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      expect((yield* Fiber.join(ended)).message).toBe(`attempt ${attempts}`)

      const fatal = Effect.fail(errorOfCode(ErrorCode.GROUP_AUTHORIZATION_FAILED, "join"))
      expect(yield* Effect.flip(cluster.retry(fatal))).toMatchObject({ _tag: "FatalError", reason: "GROUP_AUTHORIZATION_FAILED" })
      const hanging = yield* fork(Effect.flip(cluster.retry(Effect.never, { timeoutMs: 1000 })))
      yield* TestClock.adjust(1000)
      expect(yield* Fiber.join(hanging)).toMatchObject({ reason: "TIMED_OUT" })
    }))

  it.effect("fails everyone who waits, and whoever comes later, once it is closed", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      brokers.addTopic("t", [1])
      const cluster = yield* connect(brokers)
      yield* cluster.topics(["t"])
      brokers.on(ApiKey.ListOffsets, () => undefined)
      const key = { kind: "group", key: "g" } as const
      const waiting = yield* Effect.forEach([
        ask(cluster, 1, "coordinator"),
        ask(cluster, 1, "fetch"),
        cluster.topics(["none"]),
        cluster.viewAfter(cluster.view().version + 5),
        cluster.coordinator(key)
      ], (effect) => fork(Effect.flip(effect as Effect.Effect<unknown, { readonly reason: string }>)))
      yield* settle
      expect(waiting.map((fiber) => fiber.pollUnsafe())).toEqual(waiting.map(() => undefined))
      yield* cluster.close
      yield* advance(2000)
      for (const fiber of waiting) expect((yield* Fiber.join(fiber)).reason).toBe("CLOSED")
      for (const late of [ask(cluster, 1), cluster.topics(["t"]), cluster.allTopics, cluster.coordinator(key), cluster.anyNode]) {
        expect(yield* Effect.flip(late as Effect.Effect<unknown, { readonly reason: string }>)).toMatchObject({ reason: "CLOSED" })
      }
      yield* settle
      expect(brokers.network.connections.size).toBe(0)
      yield* cluster.close
    }))

  it.effect("leaves no connection and nothing that wakes up behind its scope, wherever it is interrupted", () =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1, 2)
      brokers.addTopic("t", [1])
      for (let steps = 0; steps < 60; steps++) {
        const scope = yield* Scope.make()
        const work = yield* fork(
          Effect.gen(function*() {
            const cluster = yield* connect(brokers)
            yield* cluster.topics(["t"])
            yield* Effect.all([ask(cluster, 1), ask(cluster, 2, "fetch"), cluster.topics(["none"])], { concurrency: "unbounded" })
          }).pipe(Scope.provide(scope))
        )
        for (let i = 0; i < steps; i++) yield* Effect.yieldNow
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.interrupt(work)
        yield* settle
        expect(brokers.network.connections.size, `after ${steps} steps`).toBe(0)
        const attempts = brokers.network.attempts.length
        const requests = brokers.requests.length
        yield* TestClock.adjust("1 hour")
        expect(brokers.network.attempts.length).toBe(attempts)
        expect(brokers.requests.length).toBe(requests)
      }
    }))
})

describe("Cluster: configuration", () => {
  const refused = (config: Partial<ClientConfig>) =>
    Effect.gen(function*() {
      const brokers = yield* fakeBrokers(1)
      return (yield* Effect.flip(connect(brokers, config))).message
    })
  it.effect("refuses what makes no sense, by name", () =>
    Effect.gen(function*() {
      expect(yield* refused({ "bootstrap.servers": "nowhere" })).toMatch(/bootstrap.servers is "nowhere"; it takes host:port/)
      expect(yield* refused({ "request.timeout.ms": -1 })).toBe("request.timeout.ms is -1; it takes an integer from 0 to 2147483647")
      expect(yield* refused({ "retry.backoff.ms": Number.NaN })).toMatch(/retry.backoff.ms/)
    }))
})
