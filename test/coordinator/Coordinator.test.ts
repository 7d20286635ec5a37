/** The runtime of coordinators with a machine that keeps registers, on a partition of a real broker in memory. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as References from "effect/References"
import * as TestClock from "effect/testing/TestClock"
import { Coordinator } from "../../core/coordinator/Coordinator.ts"
import { type CoordinatorState, type RecordCodec, type Step, StepBuilder } from "../../core/coordinator/CoordinatorState.ts"
import { LOAD_BYTES } from "../../core/coordinator/LogReplay.ts"
import { Timer, TimerQueue } from "../../core/coordinator/TimerQueue.ts"
import type { Compression } from "../../core/ports/Compression.ts"
import { monotonicNow, type Now, nowOf } from "../../core/model/Time.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { compression } from "../records/Ports.ts"
import { makeWorld, recordsIn, startBroker } from "../broker/TestBroker.ts"

interface Assignment {
  readonly name: string
  readonly value: string | null
}

const utf8 = new TextEncoder()
const text = new TextDecoder()

const codec: RecordCodec<Assignment> = {
  encode: ({ name, value }) => {
    if (name.startsWith("§")) throw new ProtocolError("InvalidValue", "too long")
    return { key: utf8.encode(name), value: value === null ? null : utf8.encode(value) }
  },
  decode: (key, value) => {
    const name = text.decode(key)
    if (name.startsWith("?")) return undefined
    if (name.startsWith("!")) throw new ProtocolError("Malformed", "a bad register")
    return { name, value: value === null ? null : text.decode(value) }
  }
}

/** Registers that are set, read, and set by a timer. */
class Registers implements CoordinatorState<Assignment> {
  readonly values: Map<string, string> = new Map()
  /** Offsets at which records were replayed. */
  readonly offsets: Array<number> = []
  readonly timers: TimerQueue<string> = new TimerQueue()
  unloads = 0

  set(values: Readonly<Record<string, string>>, answer: (result: string) => void): Step<Assignment> {
    const step = new StepBuilder<Assignment>()
    const records = Object.entries(values).map(([name, value]) => ({ name, value }))
    step.replyAfter(records, answer, "done", (error) => `error ${error}`)
    return step
  }

  /** Sets one after the other, each when the one before is committed. */
  chain(names: ReadonlyArray<string>, value: string): Step<Assignment> {
    const [name, ...rest] = names
    const step = new StepBuilder<Assignment>()
    if (name === undefined) return step
    step.append({ records: [{ name, value }], replay: true, settle: () => this.chain(rest, value) })
    return step
  }

  read(name: string, answer: (result: string) => void): Step<Assignment> {
    const step = new StepBuilder<Assignment>()
    step.replyAfter([], answer, this.values.get(name) ?? "", (error) => `error ${error}`)
    return step
  }

  setAt(name: string, dueMs: number): Step<Assignment> {
    this.timers.set(new Timer(name), dueMs)
    return new StepBuilder<Assignment>()
  }

  replay({ name, value }: Assignment, offset: number): () => void {
    const before = this.values.get(name)
    this.offsets.push(offset)
    if (value === null) this.values.delete(name)
    else this.values.set(name, value)
    return () => {
      this.offsets.pop()
      if (before === undefined) this.values.delete(name)
      else this.values.set(name, before)
    }
  }
  loaded(): Step<Assignment> {
    return new StepBuilder<Assignment>()
  }
  unloaded(): Step<Assignment> {
    this.unloads++
    return new StepBuilder<Assignment>()
  }
  get nextDeadlineMs(): number {
    return this.timers.nextMs
  }
  fire({ monotonicMs }: Now): Step<Assignment> | undefined {
    const timer = this.timers.take(monotonicMs)
    if (timer?.event === "bug") throw new Error("a bug")
    return timer === undefined ? undefined : this.set({ [timer.event]: `at ${monotonicMs}` }, () => {})
  }
}

/** Lets everything that can happen without time passing happen. */
const settle = TestClock.adjust(0).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 20 }))

const start = (configs: Readonly<Record<string, string>> = {}, gzip?: Compression) =>
  Effect.gen(function*() {
    const world = yield* makeWorld()
    const running = yield* startBroker(world)
    const client = yield* running.connect
    yield* client.createTopic("t", 1, configs)
    const { services } = running.broker
    const clock = yield* Clock.Clock
    const fork = yield* FiberSet.makeRuntime<never>()
    const states: Array<Registers> = []
    /** How much later it is than timers know: a loop that has much to do. */
    const late = { ms: 0 }
    const make = () =>
      new Coordinator<Registers, Assignment>({
        topic: "t",
        partitions: services.partitions,
        makeState: () => {
          const state = new Registers()
          states.push(state)
          return state
        },
        codec,
        crypto: services.crypto,
        compression: gzip ?? services.compression,
        compressionCodec: gzip === undefined ? 0 : 1,
        now: () => {
          const { monotonicMs, wallMs } = nowOf(clock)
          return { wallMs, monotonicMs: monotonicMs + late.ms }
        },
        fork,
        commitTimeoutMs: () => 1000
      })
    const coordinator = make()
    coordinator.refresh()
    yield* settle
    /** Asks a coordinator; what it answers is put into the list that is given back. */
    const ask = (of: Coordinator<Registers, Assignment>, decide: (state: Registers, answer: (result: string) => void) => Step<Assignment>) => {
      const answers: Array<string> = []
      const shard = of.shard(0)
      if (typeof shard === "number") answers.push(`refused ${shard}`)
      else shard.run((state) => decide(state, (answer) => answers.push(answer)))
      return answers
    }
    return { world, client, services, coordinator, make, ask, states, late, partition: services.partitions.get("t", 0)! }
  })

describe("a coordinator", () => {
  it.effect("writes what is decided in one turn as one batch, and answers when it is committed", () =>
    Effect.gen(function*() {
      const { ask, client, coordinator } = yield* start()
      const answers = ["a", "b", "c"].map((name) => ask(coordinator, (state, answer) => state.set({ [name]: name }, answer)))
      const read = ask(coordinator, (state, answer) => state.read("b", answer))
      expect([...answers, read]).toEqual([[], [], [], []])
      yield* settle
      expect([...answers, read]).toEqual([["done"], ["done"], ["done"], ["b"]])
      const { records } = yield* client.fetchOne("t")
      expect(recordsIn(records)).toHaveLength(3)
      expect(new DataView(records!.buffer, records!.byteOffset).getInt32(8)).toBe(records!.length - 12)
      // Nothing is on its way: a read is answered at once.
      expect(ask(coordinator, (state, answer) => state.read("b", answer))).toEqual(["b"])
    }))

  it.effect("finds everything again, at the same offsets", () =>
    Effect.gen(function*() {
      const { ask, coordinator, make, states } = yield* start()
      ask(coordinator, (state, answer) => state.set({ a: "1", b: "1" }, answer))
      yield* settle
      ask(coordinator, (state, answer) => state.set({ a: "2" }, answer))
      yield* settle
      const again = make()
      again.refresh()
      yield* settle
      expect(ask(again, (state, answer) => state.read("a", answer))).toEqual(["2"])
      expect(states[1]!.offsets).toEqual([0, 1, 2])
      expect(states[0]!.offsets).toEqual(states[1]!.offsets)
    }))

  it.effect("takes back what could not be written, in all requests of the batch", () =>
    Effect.gen(function*() {
      const { ask, coordinator, states, world } = yield* start()
      ask(coordinator, (state, answer) => state.set({ a: "1" }, answer))
      yield* settle
      world.disk.failWhen((operation) => (operation === "write" ? "NoSpace" : undefined))
      const answers = [
        ask(coordinator, (state, answer) => state.set({ a: "2" }, answer)),
        ask(coordinator, (state, answer) => state.set({ a: "3", b: "3" }, answer)),
        ask(coordinator, (state, answer) => state.read("a", answer))
      ]
      expect(states[0]!.values.get("a")).toBe("3")
      yield* settle
      const failed = [`error ${ErrorCode.NOT_COORDINATOR}`]
      expect(answers).toEqual([failed, failed, failed])
      expect([...states[0]!.values]).toEqual([["a", "1"]])
      world.disk.failWhen(undefined)
      const again = ask(coordinator, (state, answer) => state.set({ a: "4" }, answer))
      yield* settle
      expect(again).toEqual(["done"])
      expect(states[0]!.offsets).toEqual([0, 1])
    }))

  it.effect("whose codec throws says so to all requests of the batch, and goes on with what it has", () =>
    Effect.gen(function*() {
      let isBroken = false
      const gzip: Compression = {
        ...compression,
        compress: (codec, bytes) => {
          if (isBroken) throw new RangeError("a codec's bug")
          return compression.compress(codec, bytes)
        }
      }
      const { ask, coordinator, states } = yield* start({}, gzip)
      ask(coordinator, (state, answer) => state.set({ a: "1" }, answer))
      yield* settle
      isBroken = true
      const answers = ["2", "3"].map((value) => ask(coordinator, (state, answer) => state.set({ a: value }, answer)))
      yield* settle
      const failed = [`error ${ErrorCode.UNKNOWN_SERVER_ERROR}`]
      expect(answers).toEqual([failed, failed])
      expect([...states[0]!.values]).toEqual([["a", "1"]])
      expect(states).toHaveLength(1)
      isBroken = false
      const again = ask(coordinator, (state, answer) => state.set({ a: "4" }, answer))
      yield* settle
      expect(again).toEqual(["done"])
    }))

  it.effect("refuses records that no batch can hold, and splits those that don't fit one", () =>
    Effect.gen(function*() {
      const { ask, client, coordinator, states } = yield* start({ "max.message.bytes": "1000" })
      const big = ask(coordinator, (state, answer) => state.set({ big: "x".repeat(2000) }, answer))
      yield* settle
      expect(big).toEqual([`error ${ErrorCode.UNKNOWN_SERVER_ERROR}`])
      expect(states[0]!.values.has("big")).toBe(false)
      const answers = ["a", "b", "c"].map((name) => ask(coordinator, (state, answer) => state.set({ [name]: "x".repeat(400) }, answer)))
      yield* settle
      expect(answers).toEqual([["done"], ["done"], ["done"]])
      expect((yield* client.listOffset("t", -1)).offset).toBe(3)
    }))

  it.effect("writes what follows from a batch that had to make room", () =>
    Effect.gen(function*() {
      const { ask, client, coordinator, make } = yield* start({ "max.message.bytes": "1000" })
      const value = "x".repeat(600)
      ask(coordinator, (state) => state.chain(["a", "b", "c"], value))
      // Does not fit beside "a": the batch is written now, and "b", which follows from it, must not get lost.
      ask(coordinator, (state) => state.chain(["d"], value))
      yield* settle
      expect((yield* client.listOffset("t", -1)).offset).toBe(4)
      const again = make()
      again.refresh()
      yield* settle
      for (const name of ["a", "b", "c", "d"]) {
        expect(ask(again, (state, answer) => state.read(name, answer))).toEqual([value])
      }
    }))

  it.effect("waits for the commit, but not for ever", () =>
    Effect.gen(function*() {
      const { ask, coordinator, partition, states } = yield* start()
      const outcome = partition.appendOutcome.bind(partition)
      partition.appendOutcome = () => undefined
      const answers = ask(coordinator, (state, answer) => state.set({ a: "1" }, answer))
      yield* settle
      // What is not committed yet is not told either.
      const read = ask(coordinator, (state, answer) => state.read("a", answer))
      yield* TestClock.adjust(500)
      yield* settle
      expect([answers, read]).toEqual([[], []])
      yield* TestClock.adjust(500)
      yield* settle
      const late = [`error ${ErrorCode.COORDINATOR_NOT_AVAILABLE}`]
      expect([answers, read]).toEqual([late, late])
      // It is in the log and in the state all the same; the commit that comes late answers nobody twice.
      partition.appendOutcome = outcome
      partition.wake()
      yield* settle
      expect([answers, read]).toEqual([late, late])
      expect(ask(coordinator, (state, answer) => state.read("a", answer))).toEqual(["1"])
      expect(states[0]!.offsets).toEqual([0])
    }))

  it.effect("is gone when another broker leads, and answers everyone", () =>
    Effect.gen(function*() {
      const { ask, coordinator, partition, states } = yield* start()
      partition.appendOutcome = () => undefined
      const written = ask(coordinator, (state, answer) => state.set({ a: "1" }, answer))
      yield* settle
      const open = ask(coordinator, (state, answer) => state.set({ b: "1" }, answer))
      partition.apply({ _tag: "BecomeFollower", leaderId: 2, leaderEpoch: 9, partitionEpoch: 9, replicas: [1, 2], isr: [1, 2] })
      coordinator.refresh()
      const gone = [`error ${ErrorCode.NOT_COORDINATOR}`]
      expect([written, open]).toEqual([gone, gone])
      expect(ask(coordinator, (state, answer) => state.read("a", answer))).toEqual([`refused ${ErrorCode.NOT_COORDINATOR}`])
      expect(states[0]!.unloads).toBe(1)
      // And back: another epoch, loaded anew.
      partition.apply({ _tag: "BecomeLeader", leaderEpoch: 10, partitionEpoch: 10, replicas: [1], isr: [1] })
      coordinator.refresh()
      yield* settle
      expect(states).toHaveLength(2)
      expect(ask(coordinator, (state, answer) => state.read("a", answer))).toEqual(["1"])
    }))

  it.effect("refuses requests while a large log is being loaded, and lets others have their turn", () =>
    Effect.gen(function*() {
      const { ask, coordinator, make, states } = yield* start()
      const value = "x".repeat(100_000)
      const count = Math.ceil((3 * LOAD_BYTES) / value.length)
      for (let i = 0; i < count; i++) {
        ask(coordinator, (state, answer) => state.set({ [`r${i}`]: value }, answer))
        if (i % 8 === 0) yield* settle
      }
      yield* settle
      const again = make()
      again.refresh()
      expect(ask(again, (state, answer) => state.read("r0", answer))).toEqual([`refused ${ErrorCode.COORDINATOR_LOAD_IN_PROGRESS}`])
      yield* settle
      expect(ask(again, (state, answer) => state.read("r0", answer))).toEqual([value])
      expect(states[1]!.offsets).toHaveLength(count)
    }))

  it.effect("skips kinds of records that it does not know", () =>
    Effect.gen(function*() {
      const { ask, coordinator, make } = yield* start()
      ask(coordinator, (state, answer) => state.set({ "?new": "1", a: "1" }, answer))
      yield* settle
      const again = make()
      again.refresh()
      yield* settle
      expect(ask(again, (state, answer) => state.read("?new", answer))).toEqual([""])
      expect(ask(again, (state, answer) => state.read("a", answer))).toEqual(["1"])
    }))

  it.effect("that cannot read its log coordinates nothing", () =>
    Effect.gen(function*() {
      const { ask, coordinator, make } = yield* start()
      ask(coordinator, (state, answer) => state.set({ "!bad": "1" }, answer))
      yield* settle
      const again = make()
      again.refresh()
      yield* settle
      expect(ask(again, (state, answer) => state.read("a", answer))).toEqual([`refused ${ErrorCode.NOT_COORDINATOR}`])
    }))

  it.effect("fires timers at their times, one timer for all", () =>
    Effect.gen(function*() {
      const { ask, coordinator, states } = yield* start()
      const begin = yield* monotonicNow
      for (const [name, inMs] of [["late", 300], ["soon", 100], ["now", 0]] as const) {
        ask(coordinator, (state) => state.setAt(name, begin + inMs))
      }
      yield* settle
      expect([...states[0]!.values.keys()]).toEqual(["now"])
      yield* TestClock.adjust(100)
      yield* settle
      expect([...states[0]!.values]).toEqual([["now", `at ${begin}`], ["soon", `at ${begin + 100}`]])
      yield* TestClock.adjust(1000)
      yield* settle
      expect(states[0]!.values.get("late")).toMatch(/^at \d+$/)
    }))

  it.effect("decides a request after what was due before it, though no timer has had its turn", () =>
    Effect.gen(function*() {
      const { ask, coordinator, late, states } = yield* start()
      const begin = yield* monotonicNow
      ask(coordinator, (state) => state.setAt("a", begin + 100))
      ask(coordinator, (state) => state.setAt("b", begin + 200))
      late.ms = 99
      expect(ask(coordinator, (state, answer) => state.read("a", answer))).toEqual([""])
      expect(states[0]!.values.size).toBe(0)
      late.ms = 150
      const seen: Array<ReadonlyMap<string, string>> = []
      ask(coordinator, (state, answer) => {
        seen.push(new Map(state.values))
        return state.read("a", answer)
      })
      expect(seen).toEqual([new Map([["a", `at ${begin + 150}`]])])
      yield* settle
      expect([...states[0]!.values.keys()]).toEqual(["a"])
    }))

  it.effect("refuses what can't be written down, and changes nothing", () =>
    Effect.gen(function*() {
      const { ask, coordinator, states } = yield* start()
      expect(ask(coordinator, (state, answer) => state.set({ a: "1", "§": "2" }, answer))).toEqual([`error ${ErrorCode.UNKNOWN_SERVER_ERROR}`])
      expect(states[0]!.values.size).toBe(0)
    }))

  it.effect("that fails is loaded anew from its log, and its timers go on", () =>
    Effect.gen(function*() {
      const { ask, coordinator, states } = yield* start()
      const begin = yield* monotonicNow
      ask(coordinator, (state, answer) => state.set({ a: "1" }, answer))
      yield* settle
      const waiting = ask(coordinator, (state, answer) => state.set({ a: "2" }, answer))
      expect(() => ask(coordinator, () => {
        throw new Error("a bug")
      })).toThrow("a bug")
      expect(waiting).toEqual([`error ${ErrorCode.NOT_COORDINATOR}`])
      yield* settle
      expect(states).toHaveLength(2)
      expect(ask(coordinator, (state, answer) => state.read("a", answer))).toEqual(["1"])
      ask(coordinator, (state) => state.setAt("bug", begin + 100))
      yield* TestClock.adjust(100)
      yield* settle
      expect(states).toHaveLength(3)
      ask(coordinator, (state) => state.setAt("b", begin + 200))
      yield* TestClock.adjust(100)
      yield* settle
      expect(states[2]!.values.get("b")).toBe(`at ${begin + 200}`)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("that is closed has written what was open, and takes no more", () =>
    Effect.gen(function*() {
      const { ask, client, coordinator } = yield* start()
      const answers = ask(coordinator, (state, answer) => state.set({ a: "1" }, answer))
      coordinator.close()
      expect(answers).toEqual(["done"])
      expect((yield* client.listOffset("t", -1)).offset).toBe(1)
      expect(ask(coordinator, (state, answer) => state.read("a", answer))).toEqual([`refused ${ErrorCode.NOT_COORDINATOR}`])
    }))
})
