import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"
import { describe, expect, it } from "vitest"
import * as MemoryNetwork from "../../core/memory/MemoryNetwork.ts"
import type { ConnectionHandler } from "../../core/ports/Network.ts"
import { networkLaws } from "../../core/testing/index.ts"

const memoryFile = (bytes: Uint8Array) =>
  Effect.succeed({
    path: "/memory",
    descriptor: -1,
    read: (target: Uint8Array, position: number) => {
      const found = bytes.subarray(position, position + target.length)
      target.set(found)
      return found.length
    }
  })

const layers = [
  ["memory", MemoryNetwork.layer()],
  ["memory, small buffers", MemoryNetwork.layer({ bufferBytes: 20_000, segmentBytes: 7_000 })],
  ["memory, arrivals that take turns", MemoryNetwork.layer({ segmentBytes: 50_000, transmit: () => Effect.yieldNow })]
] as const
for (const [name, layer] of layers) {
  describe(`laws of Network: ${name}`, () => {
    for (const law of networkLaws(layer, memoryFile)) it(law.name, law.run)
  })
}

/** One run queue; a linear congruential generator picks the next task. */
const seeded = (seed: number): Scheduler.Scheduler => {
  let state = seed
  const tasks: Array<() => void> = []
  let armed = false
  const drain = (): void => {
    armed = false
    while (tasks.length > 0) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      const i = Math.floor((state / 0x1_0000_0000) * tasks.length)
      tasks.splice(i, 1)[0]!()
    }
  }
  return {
    executionMode: "async",
    shouldYield: () => false,
    makeDispatcher: () => ({
      scheduleTask: (task) => {
        tasks.push(task)
        if (!armed) {
          armed = true
          queueMicrotask(drain)
        }
      },
      flush: drain
    })
  }
}

/** Three clients that each send numbered bytes; what happened, in its order. */
const trace = (seed: number): Promise<ReadonlyArray<string>> =>
  Effect.runPromise(
    Effect.scoped(Effect.gen(function*() {
      const network = yield* MemoryNetwork.make({ segmentBytes: 2 })
      const happened: Array<string> = []
      let open = 6
      let finish: (effect: Effect.Effect<void>) => void
      const done = Effect.callback<void>((resume) => {
        finish = resume
      })
      const end = (name: string): ConnectionHandler => ({
        onData: (bytes) => void happened.push(`${name} ${bytes.join()}`),
        onDrained: () => void happened.push(`${name} drained`),
        onClosed: () => {
          happened.push(`${name} closed`)
          if (--open === 0) finish(Effect.void)
        }
      })
      const listener = yield* network.listen({ host: "a", port: 0 }, (connection) => {
        connection.send([Uint8Array.of(9, 9, 9)])
        return end(`server:${connection.remote.port}`)
      })
      const client = Effect.gen(function*() {
        const connection = yield* network.connect(listener.address, (connection) => end(`client:${connection.local.port}`))
        connection.send([Uint8Array.of(1, 2, 3), Uint8Array.of(4)])
        connection.end()
      })
      const waiting = yield* Effect.forkChild(done, { startImmediately: true })
      yield* Effect.all([client, client, client], { concurrency: 3 })
      yield* Fiber.join(waiting)
      return happened
    })).pipe(Effect.provideService(Scheduler.Scheduler, seeded(seed)))
  )

describe("memory network", () => {
  it("gives the same run for the same seed, and other interleavings for others", async () => {
    const runs = new Set<string>()
    for (let seed = 0; seed < 30; seed++) {
      const run = await trace(seed)
      expect(await trace(seed)).toEqual(run)
      runs.add(run.join("\n"))
      for (const port of [49153, 49154, 49155]) {
        const read = run.filter((line) => /^server:\d+ \d/.test(line) && line.startsWith(`server:${port}`))
        expect(read.map((line) => line.split(" ")[1]).join()).toBe("1,2,3,4")
      }
    }
    expect(runs.size).toBeGreaterThan(5)
  })

  it("withholds arrivals for as long as transmit takes, on the virtual clock", () =>
    Effect.runPromise(
      Effect.scoped(Effect.gen(function*() {
        const network = yield* MemoryNetwork.make({ transmit: () => Effect.sleep("3 seconds") })
        let received = 0
        const quiet: ConnectionHandler = { onData: () => {}, onDrained: () => {}, onClosed: () => {} }
        const listener = yield* network.listen({ host: "a", port: 9092 }, () => ({
          ...quiet,
          onData: (bytes) => {
            received += bytes.length
          }
        }))
        const client = yield* network.connect(listener.address, () => quiet)
        client.send([new Uint8Array(10)])
        yield* TestClock.adjust("2 seconds")
        expect([received, client.queuedBytes]).toEqual([0, 10])
        yield* TestClock.adjust("2 seconds")
        expect([received, client.queuedBytes]).toEqual([10, 0])
      })).pipe(Effect.provide(TestClock.layer()))
    ))
})
