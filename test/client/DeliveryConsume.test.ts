/** What a consumer does around the steps: intervals, rebalances, stores that fail, ends. The laws cover the order. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import type { ConsumerRecord, PartitionOffset, PartitionRecords, RebalanceHooks } from "../../core/client/Consumer.ts"
import * as Delivery from "../../core/client/Delivery.ts"
import { type ConsumeOptions, consumeWith, type DeliveryConsumer } from "../../core/client/DeliveryConsume.ts"
import { type OffsetStore, OffsetStoreError } from "../../core/client/OffsetStore.ts"

const tp = (partition: number): TopicPartition => ({ topic: "t", partition })
const show = ({ offset, partition }: { partition: number; offset: number }): string => `${partition}@${offset}`

const recordAt = (partition: number, offset: number): ConsumerRecord => ({
  ...tp(partition),
  offset,
  timestamp: 0,
  timestampType: "CreateTime",
  leaderEpoch: 4,
  key: null,
  value: null,
  headers: []
})

/** Records of a partition from one offset to before another; the log leaves out nothing but, perhaps, its end. */
const batch = (partition: number, from: number, to: number, nextOffset = to): PartitionRecords => ({
  ...tp(partition),
  records: Array.from({ length: to - from }, (_, n) => recordAt(partition, from + n)),
  nextOffset,
  endOffset: nextOffset
})

type Poll =
  | ReadonlyArray<PartitionRecords>
  | { readonly event: "assigned" | "revoked" | "lost"; readonly partitions: ReadonlyArray<number> }

/** A consumer that follows a script and says, in `log`, what is done with it. */
const scripted = (polls: ReadonlyArray<Poll>) => {
  const log: Array<string> = []
  let hooks: RebalanceHooks = {}
  let next = 0
  let assigned: ReadonlyArray<number> = [0, 1]
  let nowMs = 0
  const ended = Deferred.makeUnsafe<void>()
  const consumer: DeliveryConsumer = {
    config: { "bootstrap.servers": "b:1", "group.id": "g", "enable.auto.commit": false },
    subscribe: (_, given) =>
      Effect.sync(() => {
        hooks = given ?? {}
      }),
    assign: (partitions) =>
      Effect.sync(() => {
        log.push(`assign ${partitions.map((each) => show({ ...each, offset: each.offset ?? -1 })).join(" ")}`)
      }),
    assignment: () => assigned.map(tp),
    seek: (partition, offset) => Effect.sync(() => void log.push(`seek ${show({ ...partition, offset })}`)),
    poll: (options) =>
      Effect.suspend(() => {
        const poll = polls[next++]
        if (poll === undefined) return Effect.andThen(Deferred.succeed(ended, undefined), Effect.never)
        // an empty poll has waited
        if (Array.isArray(poll)) {
          if (poll.length === 0) nowMs += options?.timeoutMs ?? 500
          return Effect.succeed(poll as ReadonlyArray<PartitionRecords>)
        }
        const { event, partitions } = poll as Exclude<Poll, ReadonlyArray<PartitionRecords>>
        log.push(event)
        const hook = event === "assigned" ? hooks.onAssigned : event === "revoked" ? hooks.onRevoked : hooks.onLost
        assigned = event === "assigned"
          ? [...assigned, ...partitions]
          : assigned.filter((partition) => !partitions.includes(partition))
        return Effect.as(hook?.(partitions.map(tp)) ?? Effect.void, [])
      })
  }
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => nowMs,
    currentTimeMillis: Effect.sync(() => nowMs),
    currentTimeNanosUnsafe: () => BigInt(nowMs) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(nowMs) * 1_000_000n),
    monotonicTimeNanosUnsafe: () => BigInt(nowMs) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => BigInt(nowMs) * 1_000_000n),
    sleep: (duration) =>
      Effect.andThen(Effect.yieldNow, Effect.sync(() => {
        nowMs += Duration.toMillis(duration)
        log.push(`slept ${Duration.toMillis(duration)}`)
      }))
  }
  /** `fails` is asked before each save. */
  const store = (fails: (save: number) => OffsetStoreError | undefined = () => undefined): OffsetStore => {
    let saves = 0
    return {
      name: "script",
      load: (partitions) => Effect.succeed(partitions.map((each) => ({ ...each, offset: 100 + each.partition }))),
      save: (offsets: ReadonlyArray<PartitionOffset>) =>
        Effect.suspend(() => {
          const error = fails(saves++)
          log.push(`${error === undefined ? "save" : "no save"} ${offsets.map(show).join(" ")}`)
          return error === undefined ? Effect.void : Effect.fail(error)
        })
    }
  }
  const run = (
    delivery: Delivery.ConsumerDelivery,
    options: Partial<ConsumeOptions<unknown, never>> = {},
    saving: OffsetStore = store()
  ) =>
    Effect.runPromiseExit(
      consumeWith<unknown, never>(consumer, saving, delivery, {
        from: { topics: ["t"] },
        process: (record) => Effect.sync(() => void log.push(show(record))),
        until: Deferred.await(ended),
        ...options
      } as ConsumeOptions<unknown, never>).pipe(Effect.provideService(Clock.Clock, clock), Effect.provide(Logger.layer([])))
    )
  const pass = (ms: number) => {
    nowMs += ms
  }
  return { log, run, store, pass, consumer, clock }
}

const failed = new OffsetStoreError("Failed", "save", "script", "down")
const moved = new OffsetStoreError("NotOwner", "save", "script", "rebalance")
const succeeded = (exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isFailure(exit)) throw new Error(String(exit.cause))
}

it("a consumer that would commit by itself is refused", async () => {
  const { consumer, log, store } = scripted([[batch(0, 0, 1)]])
  const committing = { ...consumer, config: { "bootstrap.servers": "b:1", "group.id": "g" } }
  const error = await Effect.runPromise(Effect.flip(
    consumeWith(committing, store(), Delivery.atLeastOnce(), { from: { topics: ["t"] }, process: () => Effect.void })
  ))
  expect(error).toMatchObject({ _tag: "FatalError", reason: "INVALID_ARGUMENT" })
  expect(log).toEqual([])
})

describe("at most once", () => {
  it("saves what a step has, then processes it; a step may span partitions", async () => {
    const { log, run } = scripted([[batch(0, 0, 2), batch(1, 5, 7)]])
    succeeded(await run(Delivery.atMostOnce({ every: { records: 3 } })))
    expect(log).toEqual(["save 0@2 1@6", "0@0", "0@1", "1@5", "save 1@7", "1@6"])
  })

  it("saves beyond what the log leaves out at the end of a poll", async () => {
    const { log, run } = scripted([[batch(0, 0, 2, 5)], [batch(0, 9, 9, 12)]])
    succeeded(await run(Delivery.atMostOnce()))
    expect(log).toEqual(["save 0@1", "0@0", "save 0@5", "0@1", "save 0@12"])
  })

  it("gives records back when the group has moved on, and reads them again where it still has the partition", async () => {
    const { log, run, store } = scripted([[batch(0, 0, 2), batch(1, 5, 7), batch(2, 1, 2)], [batch(0, 1, 2)]])
    succeeded(await run(Delivery.atMostOnce(), {}, store((save) => (save === 1 ? moved : undefined))))
    // partition 2 is not assigned any more: nothing to seek
    expect(log).toEqual(["save 0@1", "0@0", "no save 0@2", "seek 0@1", "seek 1@5", "save 0@2", "0@1"])
  })

  it("tries a save again as its policy says, then ends and processes nothing", async () => {
    const { log, run, store } = scripted([[batch(0, 0, 1)]])
    const exit = await run(Delivery.atMostOnce({ onSaveFailure: { retries: 2, pauseMs: 50 } }), {}, store(() => failed))
    expect(exit).toEqual(Exit.fail(failed))
    expect(log).toEqual(["no save 0@1", "slept 50", "no save 0@1", "slept 50", "no save 0@1"])
  })
})

describe("at least once", () => {
  it("saves after so many records, over polls, and the rest at the end", async () => {
    const { log, run } = scripted([[batch(0, 0, 2)], [batch(0, 2, 4), batch(1, 0, 1)]])
    succeeded(await run(Delivery.atLeastOnce({ every: { records: 3 } })))
    expect(log).toEqual(["0@0", "0@1", "0@2", "save 0@3", "0@3", "1@0", "save 0@4 1@1"])
  })

  it("saves after so much time, in the middle of what it has in hand", async () => {
    const { log, pass, run } = scripted([[batch(0, 0, 4)]])
    succeeded(await run(Delivery.atLeastOnce({ every: { ms: 1000 } }), {
      process: (record) => Effect.sync(() => {
        log.push(show(record))
        pass(600)
      })
    }))
    expect(log).toEqual(["0@0", "0@1", "save 0@2", "0@2", "0@3", "save 0@4"])
  })

  it("saves in time when no more records come", async () => {
    const { log, run } = scripted([[batch(0, 0, 1)], [], [], [], [batch(0, 1, 2)]])
    succeeded(await run(Delivery.atLeastOnce({ every: { ms: 1200 } })))
    // polls of 500, 500 and the 200 that are left
    expect(log).toEqual(["0@0", "save 0@1", "0@1", "save 0@2"])
  })

  it("saves before a partition is given away, and only that one; a lost one not at all", async () => {
    const { log, run } = scripted([
      [batch(0, 0, 1), batch(1, 0, 1), batch(2, 0, 1)],
      { event: "revoked", partitions: [1] },
      { event: "lost", partitions: [2] }
    ])
    succeeded(await run(Delivery.atLeastOnce(), {
      hooks: {
        onRevoked: (partitions) => Effect.sync(() => void log.push(`told ${partitions.map((p) => p.partition).join()}`))
      }
    }))
    expect(log).toEqual(["0@0", "1@0", "2@0", "revoked", "save 1@1", "told 1", "lost", "told 2", "save 0@1"])
  })

  it("begins where the store says, when partitions are assigned", async () => {
    const group = scripted([{ event: "assigned", partitions: [3] }])
    succeeded(await group.run(Delivery.atLeastOnce()))
    expect(group.log).toEqual(["assigned", "seek 3@103"])
    const byHand = scripted([])
    succeeded(await byHand.run(Delivery.atLeastOnce(), { from: { partitions: [tp(0), { ...tp(1), offset: 7 }] } }))
    expect(byHand.log).toEqual(["assign 0@100 1@7"])
  })

  it("goes on when the group has moved on, and drops what it lost", async () => {
    const { log, run, store } = scripted([[batch(0, 0, 1), batch(1, 0, 1)], { event: "lost", partitions: [0] }, [batch(1, 1, 2)]])
    succeeded(await run(Delivery.atLeastOnce({ every: { records: 2 } }), {}, store((save) => (save === 0 ? moved : undefined))))
    expect(log).toEqual(["0@0", "1@0", "no save 0@1 1@1", "lost", "1@1", "save 1@2"])
  })

  it("ends when a save fails, or goes on where its policy says so", async () => {
    const ending = scripted([[batch(0, 0, 2)]])
    expect(await ending.run(Delivery.atLeastOnce({ every: { records: 1 } }), {}, ending.store(() => failed))).toEqual(Exit.fail(failed))
    expect(ending.log).toEqual(["0@0", "no save 0@1", "no save 0@1", "seek 0@1"])
    const going = scripted([[batch(0, 0, 3)]])
    succeeded(await going.run(
      Delivery.atLeastOnce({ every: { records: 1 }, onSaveFailure: { otherwise: "continue" } }),
      {},
      going.store((save) => (save === 0 ? failed : undefined))
    ))
    expect(going.log).toEqual(["0@0", "no save 0@1", "0@1", "save 0@2", "0@2", "save 0@3"])
  })

  it("ends with a store that fails in a rebalance, and with one that cannot load", async () => {
    const saving = scripted([[batch(0, 0, 1)], { event: "revoked", partitions: [0] }])
    expect(await saving.run(Delivery.atLeastOnce(), {}, saving.store(() => failed))).toEqual(Exit.fail(failed))
    const loading = scripted([{ event: "assigned", partitions: [2] }])
    const store: OffsetStore = { ...loading.store(), load: () => Effect.fail(failed) }
    expect(await loading.run(Delivery.atLeastOnce(), {}, store)).toEqual(Exit.fail(failed))
  })

  it("saves what came before the record that failed, which comes again", async () => {
    const { log, run } = scripted([[batch(0, 0, 3)]])
    const exit = await run(Delivery.atLeastOnce(), {
      process: (record) => record.offset === 2 ? Effect.fail("poison") : Effect.sync(() => void log.push(show(record)))
    })
    expect(exit).toEqual(Exit.fail("poison"))
    expect(log).toEqual(["0@0", "0@1", "save 0@2", "seek 0@2"])
  })

  it("saves what was processed when it is interrupted, and the rest comes again", async () => {
    const { clock, consumer, log, store } = scripted([[batch(0, 0, 3)]])
    const begun = Deferred.makeUnsafe<void>()
    await Effect.runPromise(Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(consumeWith(consumer, store(), Delivery.atLeastOnce(), {
        from: { topics: ["t"] },
        process: ({ offset }) => offset < 2 ? Effect.void : Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provideService(Clock.Clock, clock)))
    expect(log).toEqual(["save 0@2", "seek 0@2"])
  })

  it("processes batches whole", async () => {
    const { log, run } = scripted([[batch(0, 0, 5), batch(1, 0, 1)]])
    succeeded(await run(Delivery.atLeastOnce({ every: { records: 3 } }), {
      process: undefined,
      processBatch: (records: ReadonlyArray<ConsumerRecord>) => Effect.sync(() => void log.push(records.map(show).join("+")))
    } as never))
    expect(log).toEqual(["0@0+0@1+0@2", "save 0@3", "0@3+0@4", "1@0", "save 0@5 1@1"])
  })

  it("works on several partitions at once, in order inside each, and saves only what is done", () =>
    fc.assert(fc.asyncProperty(
      fc.array(fc.array(fc.nat(6), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 4 }),
      fc.option(fc.integer({ min: 1, max: 7 }), { nil: undefined }),
      fc.infiniteStream(fc.integer({ min: 0, max: 3 })),
      async (sizes, concurrency, records, dice) => {
        const offsets = new Map<number, number>()
        const polls = sizes.map((counts) =>
          counts.map((count, partition) => {
            // sometimes the same partition twice in one poll
            const number = partition % 3
            const from = offsets.get(number) ?? 0
            offsets.set(number, from + count)
            return batch(number, from, from + count)
          }))
        const { log, run, store } = scripted(polls)
        const done = new Map<number, number>()
        const saved = new Map<number, number>()
        let working = 0
        let most = 0
        const checked: OffsetStore = {
          ...store(),
          save: (positions) =>
            Effect.sync(() => {
              for (const { offset, partition } of positions) {
                expect(offset).toBe(done.get(partition) ?? 0)
                saved.set(partition, offset)
              }
            })
        }
        succeeded(await run(
          Delivery.atLeastOnce({ every: records === undefined ? { ms: 400 } : { records } }),
          {
            concurrency,
            process: ({ offset, partition }) =>
              Effect.gen(function*() {
                most = Math.max(most, ++working)
                expect(offset).toBe(done.get(partition) ?? 0)
                for (let pause = dice.next().value as number; pause > 0; pause--) yield* Effect.sleep(100)
                done.set(partition, offset + 1)
                working--
              })
          },
          checked
        ))
        expect(log.filter((line) => !line.startsWith("slept"))).toEqual([])
        expect(most).toBeLessThanOrEqual(concurrency)
        const expected = [...offsets].filter(([, offset]) => offset > 0)
        expect([...done].sort()).toEqual(expected.sort())
        expect([...saved].filter(([, offset]) => offset > 0).sort()).toEqual(expected.sort())
      }
    ), { numRuns: 500 }))
})
