/**
 * Many members of one group and our whole broker in memory, under a seeded scheduler on a virtual clock: members join,
 * leave, die, stall longer than they may, and their connections are cut. At most one of them owns a partition in a
 * generation, nobody begins above what was processed, records come in order, and in the end everything was seen and
 * committed.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Consumer from "../../core/client/Consumer.ts"
import { Network } from "../../core/ports/Network.ts"
import { Sim } from "../../core/testing/Sim.ts"
import { numbers, topicWriter, valueOf } from "./ConsumerTopic.ts"
import { type OwnBroker, type Ports, startOwnBroker, TestNetwork } from "./TestBrokers.ts"

const PARTITIONS = 5
const RECORDS = 60
const MEMBERS = 4

/** What all members together have done. */
class History {
  /** By partition, the offsets that were processed. */
  readonly processed: ReadonlyArray<Set<number>> = Array.from({ length: PARTITIONS }, () => new Set<number>())
  /** Who owns a partition in a generation. */
  readonly owners: Map<string, string> = new Map()
  /** By partition, who reads it now, as far as it knows. */
  readonly readers: ReadonlyArray<Set<Consumer.Consumer>> = Array.from({ length: PARTITIONS }, () => new Set())
  rebalances = 0
  deaths = 0

  owns(generation: number, partitions: ReadonlyArray<{ readonly partition: number }>, member: string): void {
    this.rebalances++
    for (const { partition } of partitions) {
      const key = `${generation}/${partition}`
      expect(this.owners.get(key) ?? member, `owner of partition ${partition} in generation ${generation}`).toBe(member)
      this.owners.set(key, member)
    }
  }
}

interface Plan {
  readonly strategy: string
  readonly isAuto: boolean
  readonly faults: boolean
  /** The broker is stopped, or killed, and starts again. */
  readonly restarts: boolean
  /** Read by partition streams instead of polls. */
  readonly streams: boolean
}

/** One life of a member: until it is interrupted, closes, dies or its poll fails. */
const life = (broker: OwnBroker, topic: string, group: string, history: History, plan: Plan, random: () => number, isLast: () => boolean) =>
  Effect.gen(function*() {
    const network = new TestNetwork(broker.network.network)
    const ports: Context.Context<Ports> = Context.add(broker.ports, Network, network.network)
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const consumer = yield* Consumer.make({
      "bootstrap.servers": broker.bootstrap,
      "group.id": group,
      "auto.offset.reset": "earliest",
      "partition.assignment.strategy": plan.strategy,
      "enable.auto.commit": plan.isAuto,
      "auto.commit.interval.ms": 300,
      "max.poll.records": 3,
      "max.poll.interval.ms": 4000,
      "session.timeout.ms": 2000,
      "heartbeat.interval.ms": 200,
      "request.timeout.ms": 3000,
      "fetch.max.wait.ms": 100
    }).pipe(Effect.provideContext(ports), Scope.provide(scope))
    const last = new Map<number, number>()
    let hasLost = false
    const forget = (partitions: ReadonlyArray<{ readonly partition: number }>) => {
      for (const { partition } of partitions) {
        last.delete(partition)
        history.readers[partition]!.delete(consumer)
      }
    }
    yield* Effect.addFinalizer(() => Effect.sync(() => forget(history.readers.map((_, partition) => ({ partition })))))
    yield* consumer.subscribe({ topics: [topic] }, {
      onAssigned: (added) =>
        Effect.sync(() => {
          for (const { partition } of added) {
            expect(last.has(partition), `assigned ${partition} twice`).toBe(false)
            // Only who was taken for dead may still believe that it reads what another has got.
            if (!plan.faults) expect(history.readers[partition]!.size, `readers of partition ${partition}`).toBe(0)
            history.readers[partition]!.add(consumer)
          }
          if (hasLost) expect(added).toEqual(consumer.assignment())
          hasLost = false
          const { generationId, memberId } = consumer.groupMetadata()!
          history.owns(generationId, consumer.assignment(), memberId)
        }),
      onRevoked: (partitions) =>
        Effect.andThen(plan.isAuto ? Effect.void : Effect.ignore(consumer.commit()), Effect.sync(() => forget(partitions))),
      onLost: (partitions) =>
        Effect.sync(() => {
          hasLost = true
          forget(partitions)
        })
    })
    // It is dead when its network is: nothing that it still does reaches the broker.
    const die = Effect.gen(function*() {
      history.deaths++
      network.refuses = () => true
      network.drop()
      yield* Effect.forkDetach(Scope.close(scope, Exit.void))
    })
    const process = (partition: number, record: Consumer.ConsumerRecord): void => {
      const before = last.get(partition)
      if (before === undefined) {
        // Whoever begins here relies on others to have processed what lies before.
        for (let offset = 0; offset < record.offset; offset++) {
          expect(history.processed[partition]!.has(offset), `offset ${offset} of partition ${partition}`).toBe(true)
        }
      } else expect(record.offset, `after ${before} of partition ${partition}`).toBe(before + 1)
      expect(valueOf(record)).toBe(String(record.offset))
      last.set(partition, record.offset)
      history.processed[partition]!.add(record.offset)
    }
    if (plan.streams) {
      const reading = consumer.partitionStreams.pipe(
        Stream.flatMap(({ records, topicPartition: { partition } }) =>
          Stream.tap(records, (record) =>
            Effect.andThen(
              Effect.sleep(Math.floor(random() * (random() < 0.1 ? 800 : 30))),
              // Who is dead processes nothing.
              Effect.sync(() => process(partition, record))
            )), { concurrency: "unbounded" }),
        Stream.runDrain
      )
      const fiber = yield* Effect.forkChild(reading)
      while (isLast() || random() > 0.01) {
        const exit = fiber.pollUnsafe()
        if (exit !== undefined) return yield* Effect.asVoid(exit)
        if (plan.faults && !isLast() && random() < 0.03) network.drop()
        yield* Effect.sleep(Math.floor(random() * 100))
      }
      yield* Fiber.interrupt(fiber)
      return yield* Scope.close(scope, Exit.void)
    }
    for (;;) {
      const polled = yield* Effect.exit(consumer.poll({ timeoutMs: Math.floor(random() * 300) }))
      if (Exit.isFailure(polled)) throw new Error(`poll failed: ${String(polled.cause)}`)
      for (const { partition, records } of polled.value) for (const record of records) process(partition, record)
      if (!plan.isAuto && random() < 0.3) yield* Effect.ignore(consumer.commit())
      if (isLast()) {
        yield* Effect.sleep(20)
        continue
      }
      const dice = random()
      if (dice < 0.02) return yield* Scope.close(scope, Exit.void)
      if (plan.faults && dice < 0.03) return yield* die
      if (plan.faults && dice < 0.04) yield* Effect.sleep(Math.floor(random() * 8000))
      if (plan.faults && dice < 0.06) network.drop()
      yield* Effect.sleep(Math.floor(random() * 60))
    }
  }).pipe(Effect.scoped)

const scenario = (random: () => number, plan: Plan): Effect.Effect<History, unknown> =>
  Effect.gen(function*() {
    const history = new History()
    const broker = yield* startOwnBroker({
      "group.min.session.timeout.ms": "100",
      "offsets.topic.num.partitions": "2",
      "group.initial.rebalance.delay.ms": random() < 0.5 ? "0" : "150"
    })
    const topic = yield* broker.createTopic("sim", { partitions: PARTITIONS })
    const group = broker.name("group")
    let isLast = false
    const members: Array<Fiber.Fiber<void, unknown>> = []
    const start = Effect.gen(function*() {
      const again: Effect.Effect<void, unknown> = Effect.suspend(() =>
        Effect.andThen(
          life(broker, topic, group, history, plan, random, () => isLast),
          Effect.andThen(Effect.sleep(Math.floor(random() * 1000)), again)
        )
      )
      members.push(yield* Effect.forkChild(again))
    })
    yield* Effect.gen(function*() {
      for (let member = 0; member < MEMBERS; member++) {
        yield* start
        yield* Effect.sleep(Math.floor(random() * 500))
      }
      for (let at = 0; at < RECORDS; at += 5) {
        yield* Effect.scoped(Effect.gen(function*() {
          const writer = yield* topicWriter(broker)
          for (let partition = 0; partition < PARTITIONS; partition++) yield* writer.write(topic, numbers(at, at + 5), { partition })
        }))
        yield* Effect.sleep(Math.floor(random() * 2000))
        if (!plan.restarts || random() < 0.6) continue
        if (random() < 0.5) yield* broker.restart
        else {
          yield* broker.running().crash({ _tag: "process" })
          yield* Effect.sleep(Math.floor(random() * 500))
          yield* broker.start
        }
      }
    }).pipe(Effect.provideService(Network, Context.get(broker.world.context, Network)))

    // From here on nobody leaves: the group settles, all is seen, all is committed.
    isLast = true
    const observer = yield* Consumer.make({ "bootstrap.servers": broker.bootstrap, "group.id": group }).pipe(Effect.provideContext(broker.ports))
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }))
    const deadline = Date.now() + 20_000
    for (let round = 0;; round++) {
      for (const fiber of members) {
        const exit = fiber.pollUnsafe()
        if (exit !== undefined) yield* exit
      }
      const committed = yield* observer.committed(partitions)
      const isDone = committed.length === PARTITIONS && committed.every(({ offset }) => offset === RECORDS)
      if (isDone && history.readers.every(({ size }) => size === 1)) break
      if (round > 2000 || Date.now() > deadline) throw new Error(`it does not settle: ${JSON.stringify(committed)}`)
      yield* Effect.sleep(100)
    }
    for (const [partition, offsets] of history.processed.entries()) expect(offsets.size, `records of partition ${partition}`).toBe(RECORDS)
    for (const fiber of members) yield* Fiber.interrupt(fiber)
    return history
    // What the cut off members say is no news here.
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

describe("A group whose members come and go", () => {
  const strategies = ["range", "roundrobin", "sticky", "cooperative-sticky"]
  for (let seed = 1; seed <= 16; seed++) {
    const strategy = strategies[seed % strategies.length]!
    const plan: Plan = { strategy, isAuto: seed % 3 !== 0, faults: seed > 4, restarts: seed > 12, streams: false }
    it(`has one owner for each partition and loses nothing: seed ${seed}, ${strategy}`, async () => {
      const sim = new Sim(seed)
      const history = await sim.run(scenario(sim.random, plan))
      expect(history.rebalances).toBeGreaterThan(MEMBERS)
    }, 60_000)
  }

  // The last two: a leader epoch that changed made a reader's progress void.
  for (const seed of [17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 306, 400]) {
    const strategy = strategies[seed % strategies.length]!
    it(`reads by partition streams and loses nothing: seed ${seed}, ${strategy}`, async () => {
      const sim = new Sim(seed)
      await sim.run(scenario(sim.random, { strategy, isAuto: true, faults: seed > 20, restarts: seed > 23, streams: true }))
    }, 60_000)
  }
})
