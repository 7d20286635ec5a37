/**
 * The laws of delivery, for anyone's {@link ConsumerDelivery} and {@link ProducerDelivery}: a crash and a failure are
 * injected at every step, and at every two of them. Which laws there are depends on the semantics that it claims.
 *
 * A law that does not hold rejects with a LawViolation, whose trace tells what happened. The order that the types ask
 * for can be broken by a cast alone; what the types cannot see (an error that is swallowed, a record processed twice)
 * is what the laws are for.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { type ClientError, RetriableError } from "../../client/ClientError.ts"
import type { ConsumerRecord, PartitionRecords } from "../../client/Consumer.ts"
import type { AtLeastOnce, AtMostOnce, ConsumerDelivery, Processed, ProducerDelivery, Released, Saved, Sent } from "../../client/Delivery.ts"
import { consumeWith, type DeliveryConsumer } from "../../client/DeliveryConsume.ts"
import { type OffsetStore, OffsetStoreError } from "../../client/OffsetStore.ts"
import { explore, type Fault, live, type Plan, World } from "./DeliveryWorld.ts"
import { type Law, lawOf } from "./Law.ts"

/** Records of the partition, or of the source: enough for two steps of two and one that is cut short. */
const RECORDS = 5
/** Of one poll. */
const POLLED = 3
const FAULTS: ReadonlyArray<Fault> = ["crash", "fail"]

interface Step {
  readonly _: unique symbol
}
const token: unknown = Object.freeze({})
const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, n) => n)
const repeated = (of: ReadonlyArray<number>): number | undefined => of.find((n, index) => of.indexOf(n) !== index)

class ProcessingFailed extends Error {
  readonly _tag = "ProcessingFailed"
}

// -- consumers -------------------------------------------------------------------------------------------------

/** What a crash leaves of a consumer: the saved position, and what was done with each record. */
class ConsumerWorld extends World {
  /** The position that is saved: the offset of the next record to read. */
  position = 0
  readonly begun: Array<number> = []
  readonly completed: Array<number> = []
  private readonly semantics: ConsumerDelivery["semantics"]
  constructor(plan: Plan, semantics: ConsumerDelivery["semantics"]) {
    super(plan)
    this.semantics = semantics
  }

  save(position: number): Effect.Effect<void, OffsetStoreError> {
    const failure = () => new OffsetStoreError("Failed", "save", "laws", "injected")
    return Effect.andThen(this.point(`before position ${position} is saved`, failure), () => {
      const unprocessed = numbers(position).find((offset) => !this.completed.includes(offset))
      if (this.semantics === "AtLeastOnce" && unprocessed !== undefined) {
        this.violate(`position ${position} is saved before record ${unprocessed} was processed`)
      }
      this.position = position
      this.note(`position ${position} is saved`)
      return this.point(`after position ${position} is saved, before the answer`, failure)
    })
  }

  process(offset: number): Effect.Effect<void, ProcessingFailed> {
    const failure = () => new ProcessingFailed("injected")
    return Effect.andThen(this.point(`before record ${offset} is processed`, failure), () => {
      if (this.semantics === "AtMostOnce" && this.position <= offset) {
        this.violate(`record ${offset} is processed while position ${this.position} is saved`)
      }
      this.begun.push(offset)
      this.note(`record ${offset} is begun`)
      return Effect.andThen(this.point(`while record ${offset} is processed`, failure), () => {
        this.completed.push(offset)
        this.note(`record ${offset} is processed`)
        return this.point(`after record ${offset} is processed`, failure)
      })
    })
  }
}

type Driver = (world: ConsumerWorld, delivery: ConsumerDelivery) => Effect.Effect<void, unknown>

/** The plainest program: a step is so many records, and each effect does what its name says. */
const plainly: Driver = (world, delivery) =>
  Effect.gen(function*() {
    let position = world.position
    while (position < RECORDS) {
      const end = Math.min(RECORDS, position + (delivery.every.records ?? 2))
      const offsets = numbers(end).slice(position)
      const save = Effect.as(Effect.suspend(() => world.save(end)), token as Saved<Step>)
      const process = Effect.as(
        Effect.forEach(offsets, (offset) => world.process(offset), { discard: true }),
        token as Processed<Step>
      )
      if (delivery.semantics === "AtMostOnce") yield* delivery.run({ save, process: () => process })
      else yield* delivery.run({ process, save: () => save })
      position = end
    }
  })

/** As `Delivery.consume` runs it. */
const asConsumer: Driver = (world, delivery) =>
  Effect.gen(function*() {
    const done = yield* Deferred.make<void>()
    let position = 0
    const consumer: DeliveryConsumer = {
      config: { "bootstrap.servers": "laws:1" },
      subscribe: () => Effect.void,
      assign: ([partition]) =>
        Effect.sync(() => {
          position = partition?.offset ?? 0
        }),
      assignment: () => [{ topic: "laws", partition: 0 }],
      seek: (_, offset) =>
        Effect.sync(() => {
          position = offset
        }),
      poll: () =>
        Effect.andThen(
          world.point<ClientError>("at a poll", () => new RetriableError("DISCONNECTED", "injected")),
          (): Effect.Effect<ReadonlyArray<PartitionRecords>> => {
            if (position >= RECORDS) return Effect.andThen(Deferred.succeed(done, undefined), Effect.never)
            const offsets = numbers(Math.min(RECORDS, position + POLLED)).slice(position)
            position += offsets.length
            return Effect.succeed([
              { topic: "laws", partition: 0, records: offsets.map(recordAt), nextOffset: position, endOffset: RECORDS }
            ])
          }
        )
    }
    const store: OffsetStore = {
      name: "laws",
      load: () => Effect.sync(() => [{ topic: "laws", partition: 0, offset: world.position }]),
      save: ([position]) => position === undefined ? Effect.void : world.save(position.offset)
    }
    yield* consumeWith(consumer, store, delivery, {
      from: { partitions: [{ topic: "laws", partition: 0 }] },
      process: ({ offset }) => world.process(offset),
      until: Deferred.await(done)
    })
  })

const recordAt = (offset: number): ConsumerRecord => ({
  topic: "laws",
  partition: 0,
  offset,
  timestamp: offset,
  timestampType: "CreateTime",
  leaderEpoch: -1,
  key: null,
  value: null,
  headers: []
})

const drivers: ReadonlyArray<readonly [string, Driver]> = [["step by step", plainly], ["in a consumer", asConsumer]]

/** The laws of a consumer's delivery; which ones depends on the semantics that it claims. */
export const consumerDeliveryLaws = (delivery: ConsumerDelivery): ReadonlyArray<Law> =>
  drivers.flatMap(([how, driver]) => {
    const run = (plan: Plan, check: (world: ConsumerWorld, isEnded: boolean) => void): Effect.Effect<ConsumerWorld> =>
      Effect.suspend(() => {
        const world = new ConsumerWorld(plan, delivery.semantics)
        return Effect.map(live(world, driver(world, delivery)), (isEnded) => {
          check(world, isEnded)
          return world
        })
      })
    const law = (
      name: string,
      faults: ReadonlyArray<Fault>,
      check: (world: ConsumerWorld, isEnded: boolean) => void
    ): Law => lawOf(`${name} (${how})`, () => explore((plan) => run(plan, check), faults))

    const plain = law("without a fault every record is processed once, in order, and the last position is saved", [], (world) => {
      if (world.completed.join() !== numbers(RECORDS).join()) world.violate(`processed ${world.completed.join()}`)
      if (world.position !== RECORDS) world.violate(`position ${world.position} is saved at the end`)
    })
    if (delivery.semantics === "AtMostOnce") return [plain, ...atMostOnceLaws(delivery, law, run, how)]
    return [plain, ...atLeastOnceLaws(delivery, law)]
  })

type MakeLaw = (
  name: string,
  faults: ReadonlyArray<Fault>,
  check: (world: ConsumerWorld, isEnded: boolean) => void
) => Law

const atMostOnceLaws = (
  delivery: AtMostOnce,
  law: MakeLaw,
  run: (plan: Plan, check: (world: ConsumerWorld, isEnded: boolean) => void) => Effect.Effect<ConsumerWorld>,
  how: string
): ReadonlyArray<Law> => [
  law("at most once never repeats", FAULTS, (world, isEnded) => {
    const twice = repeated(world.begun)
    if (twice !== undefined) world.violate(`record ${twice} is begun twice`)
    if (!isEnded) world.violate("the consumer never ends")
  }),
  law("at most once loses no more at a crash than a step has", ["crash"], (world) => {
    const crashes = world.trace.filter((line) => line.startsWith("crash ")).length
    const lost = RECORDS - world.completed.length
    if (lost > crashes * delivery.every.records) world.violate(`${lost} records are lost by ${crashes} crashes`)
  }),
  lawOf(`at most once processes nothing while its position cannot be saved (${how})`, () =>
    explore((plan) =>
      run((point, name) => (name.startsWith("before position") ? "fail" : plan(point, name)), (world) => {
        if (world.begun.length > 0) world.violate(`record ${world.begun[0]} is processed`)
      }), []))
]

const atLeastOnceLaws = (delivery: AtLeastOnce, law: MakeLaw): ReadonlyArray<Law> => [
  law("at least once never loses", FAULTS, (world, isEnded) => {
    const lost = numbers(RECORDS).find((offset) => !world.completed.includes(offset))
    if (lost !== undefined) world.violate(`record ${lost} is never processed`)
    if (!isEnded) world.violate("the consumer never ends")
  }),
  law("at least once repeats no more at a crash than its interval has", ["crash"], (world) => {
    const crashes = world.trace.filter((line) => line.startsWith("crash ")).length
    const again = world.begun.length - new Set(world.begun).size
    // By time alone, an interval may have any number of records.
    const bound = delivery.every.records ?? RECORDS
    if (again > crashes * bound) world.violate(`${again} records are repeated by ${crashes} crashes`)
  })
]

// -- producers -------------------------------------------------------------------------------------------------

/** What a crash leaves of a producer: the partition's log, and how many records the source has released. */
class ProducerWorld extends World {
  readonly log: Array<number> = []
  released = 0
  private readonly delivery: ProducerDelivery
  constructor(plan: Plan, delivery: ProducerDelivery) {
    super(plan)
    this.delivery = delivery
  }

  release(end: number): Effect.Effect<void, ProcessingFailed> {
    const failure = () => new ProcessingFailed("injected")
    return Effect.andThen(this.point(`before the records before ${end} are released`, failure), () => {
      const missing = numbers(end).find((n) => !this.log.includes(n))
      if (this.delivery.semantics !== "AtMostOnce" && missing !== undefined) {
        this.violate(`record ${missing} is released and not in the log`)
      }
      this.released = end
      this.note(`the records before ${end} are released`)
      return this.point(`after the records before ${end} are released`, failure)
    })
  }

  /** A send as a producer of this configuration makes it, with its retries. */
  send(n: number): Effect.Effect<void, ClientError> {
    const { config, semantics } = this.delivery
    const lost = () => new RetriableError("DISCONNECTED", "injected")
    let isAppended = false
    const attempt = Effect.andThen(this.point(`before record ${n} arrives`, lost), () => {
      if (semantics === "AtMostOnce" && this.released <= n) this.violate(`record ${n} is sent before it was released`)
      // The broker knows the sequence of what this send brought before.
      if (!(config["enable.idempotence"] && isAppended)) this.log.push(n)
      isAppended = true
      this.note(`record ${n} is appended`)
      return this.point(`after record ${n} is appended, before the answer`, lost)
    })
    const tries = (left: number): Effect.Effect<void, ClientError> =>
      Effect.catch(attempt, (error) => (left > 0 ? tries(left - 1) : Effect.fail(error)))
    // Three are as good as two billion: no plan has more than two faults.
    const sent = tries(Math.min(config.retries, 3))
    // Nobody hears of what went wrong where no answer is awaited.
    return config.acks === "0" ? Effect.catch(sent, () => Effect.void) : sent
  }
}

/** Two records a step, from a source that gives again what it was not told to release. */
const produce = (world: ProducerWorld, delivery: ProducerDelivery): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    let position = world.released
    while (position < RECORDS) {
      const end = Math.min(RECORDS, position + 2)
      const waiting = new Set(numbers(end).slice(position))
      const release = Effect.as(Effect.suspend(() => world.release(end)), token as Released<Step>)
      const send = Effect.as(
        Effect.suspend(() =>
          Effect.forEach(Array.from(waiting), (n) =>
            Effect.map(world.send(n), () => waiting.delete(n)), { discard: true })
        ),
        token as Sent<Step>
      )
      if (delivery.semantics === "AtMostOnce") yield* delivery.run({ release, send: () => send })
      else yield* delivery.run({ send, release: () => release })
      position = end
    }
  })

/** The laws of a producer's delivery, under the configuration that it asks for. */
export const producerDeliveryLaws = (delivery: ProducerDelivery): ReadonlyArray<Law> => {
  const law = (
    name: string,
    faults: ReadonlyArray<Fault>,
    check: (world: ProducerWorld, isEnded: boolean) => void,
    mayFail: (name: string) => boolean = () => true
  ): Law =>
    lawOf(name, () =>
      explore((plan) =>
        Effect.suspend(() => {
          const world = new ProducerWorld((point, name) => (mayFail(name) ? plan(point, name) : undefined), delivery)
          return Effect.map(live(world, produce(world, delivery)), (isEnded) => {
            check(world, isEnded)
            return world
          })
        }), faults))
  const plain = law("without a fault every record is in the log once, in order, and released", [], (world) => {
    if (world.log.join() !== numbers(RECORDS).join()) world.violate(`the log has ${world.log.join()}`)
    if (world.released !== RECORDS) world.violate(`${world.released} records are released at the end`)
  })
  const neverTwice = (world: ProducerWorld) => {
    const twice = repeated(world.log)
    if (twice !== undefined) world.violate(`record ${twice} is in the log twice`)
  }
  if (delivery.semantics === "AtMostOnce") return [plain, law("at most once never repeats", FAULTS, neverTwice)]
  const neverLoses = law("at least once never loses", FAULTS, (world, isEnded) => {
    const lost = numbers(RECORDS).find((n) => !world.log.includes(n))
    if (lost !== undefined) world.violate(`record ${lost} is not in the log`)
    if (!isEnded) world.violate("the producer never ends")
  })
  if (delivery.semantics === "AtLeastOnce") return [plain, neverLoses]
  return [
    plain,
    neverLoses,
    // Of lost requests and lost answers. A release that fails sends again what was answered, as a crash does.
    law("an idempotent producer never repeats while it lives", ["fail"], neverTwice, (name) => !name.includes("released"))
  ]
}
