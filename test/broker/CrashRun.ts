/**
 * One run of the production broker on memory layers through crashes and restarts, decided by a seed: idempotent
 * producers append numbered records and retry what was not answered, consumers read as they come, the broker's process
 * or machine stops at any moment. What is held:
 *  - every acknowledged record is there exactly once, at the offset that was answered, in its producer's order
 *  - an offset that a consumer read keeps its value for ever, and consumers see no gap
 * Machine crashes lose unsynced writes by the seed's choice; then the topic has flush.messages=1, for Kafka promises
 * nothing else without replicas.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { hashOf, Sim } from "../../core/testing/Sim.ts"
import { makeWorld, recordsIn, type RunningBroker, startBroker, type TestClient, type World } from "./TestBroker.ts"

export interface CrashRunResult {
  readonly seed: number
  readonly hash: string
  readonly trace: ReadonlyArray<string>
  readonly acknowledged: number
  readonly crashes: number
  readonly virtualMs: number
  readonly steps: number
}

/** What a run found wrong; the message begins with the seed. */
export class CrashRunFailure extends Error {
  readonly _tag = "CrashRunFailure"
}

export const PRODUCERS = 3
const PARTITIONS = 2
/** Appended by each producer. */
export const RECORDS_PER_PRODUCER = 40
const PORT = 9092
const text = new TextDecoder()

export const crashRun = async (seed: number): Promise<CrashRunResult> => {
  const sim = new Sim(seed)
  const trace: Array<string> = []
  const note = (line: string): void => void trace.push(`${sim.nowMs - 1_700_000_000_000} ${line}`)
  const state = { crashes: 0, acknowledged: 0 }
  const isMachine = seed % 2 === 1
  const fail = (message: string): never => {
    throw new CrashRunFailure(`seed ${seed}: ${message}\n${trace.slice(-60).join("\n")}`)
  }
  const program = Effect.scoped(simulate(sim, seed, isMachine, note, fail, state))
  await sim.run(program)
  note(`end: ${state.acknowledged} acknowledged, ${state.crashes} crashes`)
  return {
    seed,
    hash: hashOf(trace),
    trace,
    acknowledged: state.acknowledged,
    crashes: state.crashes,
    virtualMs: sim.nowMs - 1_700_000_000_000,
    steps: sim.steps
  }
}

const simulate = (
  sim: Sim,
  seed: number,
  isMachine: boolean,
  note: (line: string) => void,
  fail: (message: string) => never,
  state: { crashes: number; acknowledged: number }
) =>
  Effect.gen(function*() {
    const between = (min: number, max: number): number => min + Math.floor(sim.random() * (max - min + 1))
    const world: World = yield* makeWorld({ seed })
    const start = startBroker(world, { listeners: `PLAINTEXT://127.0.0.1:${PORT}` })
    let running: RunningBroker = yield* start
    /** Awaits a broker that answers; a connection ends with `use`. */
    const withClient = <A, E>(use: (client: TestClient) => Effect.Effect<A, E>): Effect.Effect<A> =>
      Effect.scoped(Effect.flatMap(Effect.suspend(() => running.connect), use)).pipe(
        Effect.catch(() => Effect.andThen(Effect.sleep(50), Effect.failSync(() => "again"))),
        Effect.eventually
      )

    yield* withClient((client) =>
      Effect.gen(function*() {
        const { errorCode } = yield* client.createTopic("t", PARTITIONS, isMachine ? { "flush.messages": "1" } : {})
        if (errorCode !== ErrorCode.NONE && errorCode !== ErrorCode.TOPIC_ALREADY_EXISTS) {
          return yield* Effect.fail(`create: ${errorCode}`)
        }
      }))

    /** By partition: the value at each acknowledged offset. */
    const acknowledged = Array.from({ length: PARTITIONS }, () => new Map<number, string>())
    /** By partition: what consumers saw, by offset. */
    const seen = Array.from({ length: PARTITIONS }, () => new Map<number, string>())

    const producer = (id: number) =>
      Effect.gen(function*() {
        const partition = id % PARTITIONS
        let sequence = 0
        while (sequence < RECORDS_PER_PRODUCER) {
          yield* withClient((client) =>
            Effect.gen(function*() {
              while (sequence < RECORDS_PER_PRODUCER) {
                // Up to three batches are on the way at once, in any order; what is refused or not answered is sent
                // again. The first goes alone: of a producer that it does not know a broker takes any sequence.
                const count = sequence === 0 ? 1 : Math.min(between(1, 3), RECORDS_PER_PRODUCER - sequence)
                const batches = Array.from({ length: count }, (_, i) => sequence + i)
                const answers = yield* Effect.all(
                  batches.map((n) =>
                    client.produce("t", [`${id}:${n}`], {
                      partition,
                      acks: between(0, 1) === 0 ? 1 : -1,
                      timeoutMs: 10_000,
                      producerId: 1000 + id,
                      baseSequence: n,
                      timestamp: 1_700_000_000_000
                    })
                  ),
                  { concurrency: "unbounded" }
                )
                for (const [i, { baseOffset, errorCode }] of answers.entries()) {
                  const n = batches[i]!
                  note(`p${id} ${n} ${errorCode} ${String(baseOffset)}`)
                  if (errorCode !== ErrorCode.NONE) return yield* Effect.fail(`error ${errorCode}`)
                  acknowledged[partition]!.set(Number(baseOffset), `${id}:${n}`)
                  state.acknowledged++
                  sequence = n + 1
                }
                yield* Effect.sleep(between(0, 20))
              }
            })
          )
        }
      })

    const consumer = (partition: number) =>
      Effect.gen(function*() {
        let offset = 0
        for (;;) {
          yield* withClient((client) =>
            Effect.gen(function*() {
              for (;;) {
                const one = yield* client.fetchOne("t", { partition, offset, maxWaitMs: 100 })
                if (one.errorCode !== ErrorCode.NONE) {
                  note(`c${partition} error ${one.errorCode} at ${offset}`)
                  if (one.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) fail(`partition ${partition} lost read offset ${offset - 1}`)
                  return yield* Effect.fail("again")
                }
                for (const record of recordsIn(one.records)) {
                  if (record.offset < offset) continue
                  if (record.offset !== offset) fail(`partition ${partition}: ${record.offset} follows ${offset - 1}`)
                  const value = text.decode(record.value!)
                  const before = seen[partition]!.get(record.offset)
                  if (before !== undefined && before !== value) fail(`partition ${partition} at ${offset}: ${before}, then ${value}`)
                  seen[partition]!.set(record.offset, value)
                  offset++
                }
                note(`c${partition} at ${offset} of ${String(one.highWatermark)}`)
              }
            })
          )
        }
      })

    const chaos = Effect.gen(function*() {
      for (;;) {
        yield* Effect.sleep(between(5, 150))
        const kind = between(0, 3)
        state.crashes++
        if (kind === 0) {
          note("stop")
          yield* running.stop
        } else {
          const isProcess = kind === 1 || !isMachine
          note(isProcess ? "process crash" : "machine crash")
          yield* running.crash(isProcess ? { _tag: "process" } : { _tag: "machine", random: sim.random })
        }
        yield* Effect.sleep(between(0, 100))
        running = yield* start
        note(`started, epoch ${running.broker.brokerEpoch}`)
      }
    })

    const background = yield* Effect.forkChild(
      Effect.all([chaos, ...Array.from({ length: PARTITIONS }, (_, p) => consumer(p))], { concurrency: "unbounded" })
    )
    yield* Effect.all(Array.from({ length: PRODUCERS }, (_, id) => producer(id)), { concurrency: "unbounded" })
    yield* Fiber.interrupt(background)

    // The last word: a broker that starts once more on what is there.
    yield* running.stop
    running = yield* start
    const client = yield* running.connect
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const values = yield* client.readAll("t", partition)
      note(`partition ${partition}: ${values.join(" ")}`)
      for (const [offset, value] of acknowledged[partition]!) {
        if (values[offset] !== value) fail(`partition ${partition} at ${offset}: acknowledged ${value}, found ${values[offset]}`)
      }
      for (const [offset, value] of seen[partition]!) {
        if (values[offset] !== value) fail(`partition ${partition} at ${offset}: read ${value}, found ${values[offset]}`)
      }
      if (new Set(values).size !== values.length) fail(`partition ${partition} has a record twice`)
      for (let id = 0; id < PRODUCERS; id++) {
        const own = values.filter((value) => value.startsWith(`${id}:`)).map((value) => Number(value.split(":")[1]))
        const wanted = id % PARTITIONS === partition ? Array.from({ length: RECORDS_PER_PRODUCER }, (_, n) => n) : []
        if (own.join() !== wanted.join()) fail(`partition ${partition}: producer ${id} wrote 0 to ${RECORDS_PER_PRODUCER - 1}, found ${own.join()}`)
      }
    }
  })
