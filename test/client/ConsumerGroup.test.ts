import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Admin from "../../core/client/Admin.ts"
import { FatalError } from "../../core/client/ClientError.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import * as Consumer from "../../core/client/Consumer.ts"
import type { ConsumerConfig, ConsumerRecord } from "../../core/client/Consumer.ts"
import { numbers, pollUntil, topicWriter, valueOf } from "./ConsumerTopic.ts"
import { overBroker, startOwnBroker, type TestBroker } from "./TestBrokers.ts"

const memberOf = (broker: TestBroker, group: string, config: Partial<ConsumerConfig> = {}) =>
  Consumer.make({
    "bootstrap.servers": broker.bootstrap,
    "group.id": group,
    "auto.offset.reset": "earliest",
    "fetch.max.wait.ms": 50,
    "retry.backoff.ms": 20,
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 100,
    ...config
  })

const names = (partitions: ReadonlyArray<TopicPartition>): ReadonlyArray<string> =>
  partitions.map(({ partition, topic }) => `${topic}-${partition}`).sort()

/** Polls all of them, in turn, until it holds. */
const pollAll = (consumers: ReadonlyArray<Consumer.Consumer>, until: () => boolean) =>
  Effect.gen(function*() {
    const records: Array<ConsumerRecord> = []
    while (!until()) {
      for (const consumer of consumers) {
        for (const one of yield* consumer.poll({ timeoutMs: 10 })) records.push(...one.records)
      }
    }
    return records
  })

const strategies = ["range", "roundrobin", "sticky", "cooperative-sticky"]

overBroker("Consumer in a group", (test) => {
  test("reads again what was left unread of a stream that ended, whatever it commits when it is closed", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("left")
      const group = broker.name("group")
      const writer = yield* topicWriter(broker)
      yield* writer.write(topic, numbers(0, 10))
      const read = (count: number) =>
        Effect.gen(function*() {
          const consumer = yield* memberOf(broker, group)
          yield* consumer.subscribe({ topics: [topic] })
          const values = yield* consumer.records.pipe(Stream.take(count), Stream.map(valueOf), Stream.runCollect)
          expect(values).toHaveLength(count)
          return values
        }).pipe(Effect.scoped)
      const first = yield* read(3)
      const second = yield* read(5)
      expect(first).toEqual(numbers(0, 3))
      // Some may come twice, and none never.
      expect(numbers(0, 4)).toContain(second[0])
    }))

  test("reads on after a hook that died, and leaves its group whatever its hook does", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("dies", { partitions: 2 })
      const group = broker.name("group")
      const writer = yield* topicWriter(broker)
      for (const partition of [0, 1]) yield* writer.write(topic, numbers(0, 5), { partition })
      const broken = new Error("this hook is broken")
      yield* Effect.gen(function*() {
        const consumer = yield* memberOf(broker, group)
        yield* consumer.subscribe({ topics: [topic] }, {
          onAssigned: () => Effect.die(broken),
          onRevoked: () => { throw broken }
        })
        const died = yield* Effect.exit(pollUntil(consumer, 1))
        expect(Exit.isFailure(died) ? Cause.squash(died.cause) : died).toBe(broken)
        expect((yield* pollUntil(consumer, 10)).length).toBe(10)
      }).pipe(Effect.scoped)
      const admin = yield* Admin.make({ "bootstrap.servers": broker.bootstrap })
      expect((yield* admin.describeGroups([group])).get(group)).toMatchObject({ members: [] })
    }), 20_000)

  test("two who close it at once await one end, and its hooks run once", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("closed", { partitions: 2 })
      const group = broker.name("group")
      const writer = yield* topicWriter(broker)
      const revoked: Array<ReadonlyArray<string>> = []
      const admin = yield* Admin.make({ "bootstrap.servers": broker.bootstrap })
      const closing = yield* Effect.gen(function*() {
        const consumer = yield* memberOf(broker, group)
        yield* consumer.subscribe({ topics: [topic] }, { onRevoked: (partitions) => Effect.sync(() => void revoked.push(names(partitions))) })
        // There is something to commit at its end.
        yield* writer.write(topic, numbers(0, 5))
        yield* pollUntil(consumer, 5)
        const first = yield* Effect.forkDetach(consumer.close, { startImmediately: true })
        yield* consumer.close
        return first
      }).pipe(Effect.scoped)
      yield* Fiber.join(closing)
      expect(revoked).toEqual([[`${topic}-0`, `${topic}-1`]])
      const described = (yield* admin.describeGroups([group])).get(group)
      expect(described).toMatchObject({ members: [] })
    }))

  test("alone it owns all partitions, and goes on where its group has committed", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("alone", { partitions: 3 })
      const group = broker.name("group")
      const writer = yield* topicWriter(broker)
      for (const partition of [0, 1, 2]) yield* writer.write(topic, numbers(0, 10), { partition })
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(memberOf(broker, group, { "enable.auto.commit": false }), scope)
      yield* first.subscribe({ topics: [topic] })
      expect((yield* pollUntil(first, 30)).length).toBe(30)
      expect(names(first.assignment())).toEqual([0, 1, 2].map((partition) => `${topic}-${partition}`))
      expect(first.groupMetadata()).toMatchObject({ groupId: group, generationId: 1 })
      yield* first.commit([{ topic, partition: 0, offset: 4, metadata: "four" }])
      expect(yield* first.committed([{ topic, partition: 0 }, { topic, partition: 1 }])).toMatchObject([
        { topic, partition: 0, offset: 4, metadata: "four" }
      ])
      yield* first.commit([{ topic, partition: 1, offset: 10 }, { topic, partition: 2, offset: 10 }])
      yield* Scope.close(scope, Exit.void)

      const second = yield* memberOf(broker, group)
      yield* second.subscribe({ topics: [topic] })
      expect((yield* pollUntil(second, 6)).map(valueOf)).toEqual(numbers(4, 10))
      expect(yield* second.poll({ timeoutMs: 0 })).toEqual([])
    }))

  test("auto-commit saves what earlier polls returned when it closes", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("auto")
      const group = broker.name("group")
      const writer = yield* topicWriter(broker)
      yield* writer.write(topic, numbers(0, 10))
      const first = yield* memberOf(broker, group, { "max.poll.records": 7 })
      yield* first.subscribe({ topics: [topic] })
      expect((yield* pollUntil(first, 7)).length).toBe(7)
      yield* first.close
      const second = yield* memberOf(broker, group)
      yield* second.subscribe({ topics: [topic] })
      expect((yield* pollUntil(second, 3)).map(valueOf)).toEqual(numbers(7, 10))
    }))

  for (const strategy of strategies) {
    test(`${strategy}: members share the partitions, and take over from one that leaves`, (broker) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("shared", { partitions: 6 })
        const group = broker.name("group")
        const config = { "partition.assignment.strategy": strategy }
        const writer = yield* topicWriter(broker)
        for (let partition = 0; partition < 6; partition++) yield* writer.write(topic, numbers(0, 20), { partition })
        const one = yield* memberOf(broker, group, config)
        yield* one.subscribe({ topics: [topic] })
        yield* pollAll([one], () => one.assignment().length === 6)
        const two = yield* memberOf(broker, group, config)
        const three = yield* memberOf(broker, group, config)
        yield* two.subscribe({ topics: [topic] })
        yield* three.subscribe({ topics: [topic] })
        const all = [one, two, three]
        yield* pollAll(all, () => all.every((consumer) => consumer.assignment().length === 2))
        expect(names(all.flatMap((consumer) => consumer.assignment()))).toEqual([0, 1, 2, 3, 4, 5].map((partition) => `${topic}-${partition}`))
        yield* two.close
        const rest = [one, three]
        yield* pollAll(rest, () => rest.every((consumer) => consumer.assignment().length === 3))
        expect(names(rest.flatMap((consumer) => consumer.assignment()))).toEqual([0, 1, 2, 3, 4, 5].map((partition) => `${topic}-${partition}`))
      }))
  }

  test("eager members give up all before they join again; hooks hear of it between polls and may commit", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("eager", { partitions: 4 })
      const group = broker.name("group")
      const heard = yield* Ref.make<ReadonlyArray<string>>([])
      const hear = (what: string) => (partitions: ReadonlyArray<TopicPartition>) =>
        Ref.update(heard, (before) => [...before, `${what} ${partitions.map(({ partition }) => partition).sort().join()}`])
      const config = { "enable.auto.commit": false, "partition.assignment.strategy": "range" }
      const one = yield* memberOf(broker, group, config)
      const writer = yield* topicWriter(broker)
      for (let partition = 0; partition < 4; partition++) yield* writer.write(topic, numbers(0, 5), { partition })
      yield* one.subscribe({ topics: [topic] }, {
        onAssigned: hear("assigned"),
        onRevoked: (partitions) => Effect.andThen(one.commit(), hear("revoked")(partitions)),
        onLost: hear("lost")
      })
      yield* pollUntil(one, 20)
      const two = yield* memberOf(broker, group, config)
      yield* two.subscribe({ topics: [topic] })
      const after = yield* pollAll([one, two], () => one.assignment().length === 2 && two.assignment().length === 2)
      expect(yield* Ref.get(heard)).toEqual(["assigned 0,1,2,3", "revoked 0,1,2,3", one.assignment()[0]!.partition === 0 ? "assigned 0,1" : "assigned 2,3"])
      // What the hook committed is where both went on.
      expect(after).toEqual([])
    }))

  test("cooperative members keep what they keep, and read on meanwhile", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("cooperative", { partitions: 4 })
      const group = broker.name("group")
      const heard: Array<string> = []
      const hear = (what: string) => (partitions: ReadonlyArray<TopicPartition>) =>
        Effect.sync(() => void heard.push(`${what} ${partitions.length}`))
      const config = { "partition.assignment.strategy": "cooperative-sticky" }
      const one = yield* memberOf(broker, group, config)
      yield* one.subscribe({ topics: [topic] }, { onAssigned: hear("assigned"), onRevoked: hear("revoked"), onLost: hear("lost") })
      yield* pollAll([one], () => one.assignment().length === 4)
      const two = yield* memberOf(broker, group, config)
      yield* two.subscribe({ topics: [topic] })
      yield* pollAll([one, two], () => {
        // At no time has it less than what it keeps.
        expect(one.assignment().length).toBeGreaterThanOrEqual(2)
        return one.assignment().length === 2 && two.assignment().length === 2
      })
      expect(heard.filter((what) => what.startsWith("revoked"))).toEqual(["revoked 2"])
      expect(heard.filter((what) => what.startsWith("lost"))).toEqual([])
    }))

  test("a static member that comes back gets what it had without a rebalance", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("static", { partitions: 4 })
      const group = broker.name("group")
      const start = (instance: string) =>
        Effect.gen(function*() {
          const consumer = yield* memberOf(broker, group, { "group.instance.id": instance, "session.timeout.ms": 30_000 })
          yield* consumer.subscribe({ topics: [topic] })
          return consumer
        })
      const one = yield* start("one")
      const two = yield* start("two")
      yield* pollAll([one, two], () => one.assignment().length === 2 && two.assignment().length === 2)
      const had = names(two.assignment())
      const generation = one.groupMetadata()!.generationId
      yield* two.close
      const again = yield* start("two")
      yield* pollAll([one, again], () => again.assignment().length > 0)
      expect(names(again.assignment())).toEqual(had)
      expect(one.groupMetadata()!.generationId).toBe(generation)
      // And who has the same id meanwhile is told so.
      const twin = yield* start("one")
      yield* pollAll([twin], () => twin.assignment().length > 0)
      const error = yield* Effect.flip(Effect.forever(one.poll({ timeoutMs: 10 })))
      expect(error).toMatchObject({ _tag: "FatalError", reason: "FENCED_INSTANCE_ID" })
      // It does not read on beside its twin.
      expect(yield* Effect.flip(one.poll())).toMatchObject({ reason: "FENCED_INSTANCE_ID" })
    }))

  test("a poll that waits longer than max.poll.interval.ms keeps its place", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("waits")
      const consumer = yield* memberOf(broker, broker.name("group"), { "max.poll.interval.ms": 400, "enable.auto.commit": false })
      yield* consumer.subscribe({ topics: [topic] })
      yield* pollAll([consumer], () => consumer.assignment().length === 1)
      const before = consumer.groupMetadata()
      expect(yield* consumer.poll({ timeoutMs: 1500 })).toEqual([])
      expect(consumer.groupMetadata()).toEqual(before)
      expect(names(consumer.assignment())).toEqual([`${topic}-0`])
    }))

  test("who does not poll for max.poll.interval.ms loses its partitions, is told, and joins again", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("idle")
      const group = broker.name("group")
      const lost: Array<string> = []
      const slow = yield* memberOf(broker, group, { "max.poll.interval.ms": 500 })
      yield* slow.subscribe({ topics: [topic] }, { onLost: (partitions) => Effect.sync(() => void lost.push(...names(partitions))) })
      yield* pollAll([slow], () => slow.assignment().length === 1)
      const other = yield* memberOf(broker, group)
      yield* other.subscribe({ topics: [topic] })
      yield* pollAll([other], () => other.assignment().length === 1)
      expect(lost).toEqual([])
      yield* pollAll([slow], () => lost.length > 0)
      expect(lost).toEqual([`${topic}-0`])
      yield* pollAll([slow, other], () => slow.assignment().length + other.assignment().length === 1 && slow.groupMetadata()!.memberId !== "")
    }))

  test("a pattern takes in topics that are created later", (broker) =>
    Effect.gen(function*() {
      const prefix = broker.name("pattern")
      const first = yield* broker.createTopic(prefix)
      const group = broker.name("group")
      const consumer = yield* memberOf(broker, group, { "metadata.max.age.ms": 100 })
      yield* consumer.subscribe({ pattern: new RegExp(`${prefix}-.*`) })
      yield* pollAll([consumer], () => consumer.assignment().length === 1)
      const second = yield* broker.createTopic(prefix)
      const other = yield* broker.createTopic("other")
      yield* pollAll([consumer], () => consumer.assignment().length === 2)
      expect(names(consumer.assignment())).toEqual([`${first}-0`, `${second}-0`].sort())
      expect(consumer.subscription()).not.toContain(other)
    }))

  test("a changed subscription is a new assignment; unsubscribing gives up all", (broker) =>
    Effect.gen(function*() {
      const [first, second] = [yield* broker.createTopic("first"), yield* broker.createTopic("second")]
      const consumer = yield* memberOf(broker, broker.name("group"))
      yield* consumer.subscribe({ topics: [first] })
      yield* pollAll([consumer], () => names(consumer.assignment()).join() === `${first}-0`)
      yield* consumer.subscribe({ topics: [second] })
      yield* pollAll([consumer], () => names(consumer.assignment()).join() === `${second}-0`)
      yield* consumer.unsubscribe
      expect(consumer.assignment()).toEqual([])
      yield* consumer.assign([{ topic: first, partition: 0 }])
      expect(names(consumer.assignment())).toEqual([`${first}-0`])
    }))

  test("streams of partitions end when they are revoked, and what they are done with is committed", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("streamed", { partitions: 4 })
      const group = broker.name("group")
      const writer = yield* topicWriter(broker)
      for (let partition = 0; partition < 4; partition++) yield* writer.write(topic, numbers(0, 50), { partition })
      const seen: Array<string> = []
      const run = Effect.gen(function*() {
        const consumer = yield* memberOf(broker, group, { "partition.assignment.strategy": "cooperative-sticky" })
        yield* consumer.subscribe({ topics: [topic] })
        const fiber = yield* consumer.partitionStreams.pipe(
          Stream.flatMap(({ records }) => Stream.tap(records, (record) => Effect.sync(() => void seen.push(`${record.partition}:${valueOf(record)}`))), {
            concurrency: "unbounded"
          }),
          Stream.runDrain,
          Effect.forkScoped
        )
        return { consumer, fiber }
      })
      const one = yield* run
      const two = yield* run
      while (!(one.consumer.assignment().length === 2 && two.consumer.assignment().length === 2 && new Set(seen).size === 200)) yield* Effect.sleep(5)
      for (let partition = 0; partition < 4; partition++) yield* writer.write(topic, numbers(50, 60), { partition })
      while (new Set(seen).size < 240) yield* Effect.sleep(5)
      yield* Fiber.interrupt(one.fiber)
      yield* one.consumer.close
      yield* Fiber.interrupt(two.fiber)
      yield* two.consumer.close
      const last = yield* memberOf(broker, group)
      const offsets = yield* last.committed([0, 1, 2, 3].map((partition) => ({ topic, partition })))
      for (const { offset } of offsets) expect(offset).toBeLessThanOrEqual(60)
    }))

  test("a hook may seek: what is read begins there, also without a committed offset and a policy", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("sought")
      const writer = yield* topicWriter(broker)
      yield* writer.write(topic, numbers(0, 10))
      const consumer = yield* memberOf(broker, broker.name("group"), { "auto.offset.reset": "none" })
      yield* consumer.subscribe({ topics: [topic] }, {
        onAssigned: (partitions) =>
          Effect.andThen(Effect.sleep(50), Effect.forEach(partitions, (partition) => consumer.seek(partition, 6), { discard: true }))
      })
      expect((yield* pollUntil(consumer, 4)).map(valueOf)).toEqual(numbers(6, 10))
    }))

  test("a hook that fails fails the poll, and the rebalance has gone on", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("hook")
      const writer = yield* topicWriter(broker)
      yield* writer.write(topic, numbers(0, 3))
      const consumer = yield* memberOf(broker, broker.name("group"))
      yield* consumer.subscribe({ topics: [topic] }, {
        onAssigned: () => Effect.fail(new FatalError("INVALID_ARGUMENT", "the hook's own"))
      })
      const error = yield* Effect.flip(pollUntil(consumer, 1))
      expect(error.message).toBe("the hook's own")
      expect((yield* pollUntil(consumer, 3)).map(valueOf)).toEqual(numbers(0, 3))
    }))

  test("a group of another protocol refuses, and the consumer says why", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("mixed")
      const group = broker.name("group")
      const one = yield* memberOf(broker, group, { "partition.assignment.strategy": "range" })
      yield* one.subscribe({ topics: [topic] })
      yield* pollAll([one], () => one.assignment().length === 1)
      const two = yield* memberOf(broker, group, { "partition.assignment.strategy": "roundrobin" })
      yield* two.subscribe({ topics: [topic] })
      const error = yield* Effect.flip(Effect.forever(two.poll({ timeoutMs: 50 })))
      expect(error).toMatchObject({ _tag: "FatalError", reason: "INCONSISTENT_GROUP_PROTOCOL" })
    }))

  test("more partitions of a topic are shared among its members", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("more", { partitions: 1 })
      const consumer = yield* memberOf(broker, broker.name("group"), { "metadata.max.age.ms": 100 })
      yield* consumer.subscribe({ topics: [topic] })
      yield* pollAll([consumer], () => consumer.assignment().length === 1)
      const admin = yield* Admin.make({ "bootstrap.servers": broker.bootstrap })
      yield* admin.createPartitions([{ name: topic, totalCount: 3 }])
      yield* pollAll([consumer], () => consumer.assignment().length === 3)
    }))

  test("a commit of who is no member any more is refused", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("commit")
      const group = broker.name("group")
      const consumer = yield* memberOf(broker, group, { "enable.auto.commit": false })
      yield* consumer.subscribe({ topics: [topic] })
      expect(yield* Effect.flip(consumer.commit([{ topic, partition: 0, offset: 1 }]))).toMatchObject({ reason: "UNKNOWN_MEMBER_ID" })
      yield* pollAll([consumer], () => consumer.assignment().length === 1)
      yield* consumer.commit([{ topic, partition: 0, offset: 1 }])
      // Nobody's commit while the group has members.
      const other = yield* memberOf(broker, group, { "enable.auto.commit": false })
      yield* other.assign([{ topic, partition: 0 }])
      expect(yield* Effect.flip(other.commit([{ topic, partition: 0, offset: 9 }]))).toMatchObject({ reason: "UNKNOWN_MEMBER_ID" })
      expect(yield* other.committed([{ topic, partition: 0 }])).toMatchObject([{ offset: 1 }])
    }))
})

describe("A member whose connections end", () => {
  it.live("leaves its group also when its connections have just ended", () =>
    Effect.gen(function*() {
      const broker = yield* startOwnBroker()
      const topic = yield* broker.createTopic("cut")
      const group = broker.name("group")
      yield* Effect.gen(function*() {
        const config = { "session.timeout.ms": 45_000 }
        const one = yield* memberOf(broker, group, config)
        yield* one.subscribe({ topics: [topic] })
        yield* pollAll([one], () => one.assignment().length === 1)
        broker.network.drop()
        yield* one.close
        // Long before the session would end.
        const two = yield* memberOf(broker, group, config)
        yield* two.subscribe({ topics: [topic] })
        yield* pollAll([two], () => two.assignment().length === 1)
      }).pipe(Effect.provideContext(broker.ports))
    }).pipe(Effect.scoped), 20_000)
})
