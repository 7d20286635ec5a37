/**
 * Delivery semantics, each with a crash in the middle. What is lost or repeated is decided by the order of two
 * effects: saving the position and processing, for a consumer; releasing a record from its source and sending it, for
 * a producer. The order is in the types: see `Delivery.AtMostOnceStep` and its kin.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Admin, Consumer, Delivery, OffsetStore, Producer } from "ottla/client"
import { layer as host } from "ottla/node" // or ottla/bun, ottla/deno

const servers = { "bootstrap.servers": process.env["BOOTSTRAP_SERVERS"] ?? "localhost:9092" }
const run = Date.now().toString(36)
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array | null) => new TextDecoder().decode(bytes ?? undefined)

const inTopic = (name: string, values: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const admin = yield* Admin.Admin
    yield* admin.createTopics([{ name, partitions: 1 }])
    const producer = yield* Producer.Producer
    yield* producer.sendAll(values.map((value) => ({ topic: name, value: bytes(value) })))
  }).pipe(Effect.provide(Layer.merge(Admin.layer(servers), Producer.layer(servers))))

class Crash extends Error {
  readonly _tag = "Crash"
}

/**
 * Processes a, b, c, d; the program crashes between the two effects of c (saved and not processed yet, or processed and
 * not saved yet) and is started again.
 * @returns what was processed
 */
const consumeWithCrash = (delivery: Delivery.ConsumerDelivery) =>
  Effect.gen(function*() {
    const topic = `${delivery.name}-${run}`
    yield* inTopic(topic, ["a", "b", "c", "d"])
    const processed: Array<string> = []
    const done = yield* Deferred.make<void>()
    let isCrashing = true
    const process = (value: string) =>
      Effect.gen(function*() {
        const isNow = isCrashing && value === "c"
        if (isNow) isCrashing = false
        if (isNow && delivery.semantics === "AtMostOnce") return yield* Effect.fail(new Crash())
        processed.push(value)
        if (isNow) return yield* Effect.fail(new Crash())
        if (value === "d") yield* Deferred.succeed(done, undefined)
      })
    const program = Delivery.consume({
      from: { topics: [topic] },
      process: ({ value }) => process(text(value)),
      until: Deferred.await(done)
    }).pipe(
      Effect.provide(OffsetStore.groupLayer),
      Effect.provide(Delivery.consumerLayer(delivery)),
      Effect.provide(Consumer.layer({
        ...servers,
        "group.id": topic,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": false
      })),
      Effect.catch((error) => error instanceof Crash ? Effect.void : Effect.fail(error))
    )
    yield* program
    yield* program
    return processed.join(" ")
  })

/** Relays a, b, c, d from an outbox; the program crashes between the two effects of c and is started again. */
const relayWithCrash = (delivery: Delivery.ProducerDelivery) =>
  Effect.gen(function*() {
    const topic = `${delivery.name}-${run}`
    yield* inTopic(topic, [])
    /** What a table would hold. */
    const outbox = ["a", "b", "c", "d"]
    let isCrashing = true
    const crash = Effect.suspend(() => {
      const isNow = isCrashing && outbox[0] === (delivery.semantics === "AtMostOnce" ? "d" : "c")
      if (isNow) isCrashing = false
      return isNow ? Effect.fail(new Crash()) : Effect.void
    })
    const remove = Effect.sync(() => void outbox.shift())
    const source: Delivery.RelaySource<Crash, never> = {
      next: Effect.sync(() =>
        outbox.length === 0 ? undefined : {
          records: [{ topic, value: bytes(outbox[0]!) }],
          // c is gone and never sent, or sent and not gone
          release: delivery.semantics === "AtMostOnce" ? Effect.andThen(remove, crash) : Effect.andThen(crash, remove)
        }
      )
    }
    const program = Delivery.relay(source).pipe(
      Effect.provide(Delivery.relayLayer(delivery, servers)),
      Effect.catch((error) => error instanceof Crash ? Effect.void : Effect.fail(error))
    )
    yield* program
    yield* program
    // acks=0: that the last record is there is only known by reading it
    const seen: Array<string> = []
    const reader = yield* Consumer.Consumer
    yield* reader.assign([{ topic, partition: 0, offset: 0 }])
    while (seen.at(-1) !== "d") {
      for (const { records } of yield* reader.poll()) seen.push(...records.map(({ value }) => text(value)))
    }
    return seen.join(" ")
  }).pipe(Effect.provide(Consumer.layer(servers)), Effect.scoped)

const program = Effect.gen(function*() {
  console.log(`consumer, at most once:  ${yield* consumeWithCrash(Delivery.atMostOnce())}`)
  console.log(`consumer, at least once: ${yield* consumeWithCrash(Delivery.atLeastOnce({ every: { records: 1 } }))}`)
  console.log(`producer, send once:     ${yield* relayWithCrash(Delivery.sendOnce)}`)
  console.log(`producer, resend:        ${yield* relayWithCrash(Delivery.resend())}`)
  console.log(`producer, idempotent:    ${yield* relayWithCrash(Delivery.idempotent)}`)
})

await Effect.runPromise(Effect.provide(program, host))
