/** A Compression is a port, so anybody's: what it throws, or gives that is no bytes, fails its batch, and nothing else. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { FatalError } from "../../core/client/ClientError.ts"
import * as Consumer from "../../core/client/Consumer.ts"
import * as Producer from "../../core/client/Producer.ts"
import { Compression } from "../../core/ports/Compression.ts"
import { compression } from "../records/Ports.ts"
import { readValues } from "./ProducerLog.ts"
import { type OwnBroker, type Ports, startOwnBroker } from "./TestBrokers.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const bytes = (text: string): Uint8Array => encoder.encode(text)
const BROKEN = new TypeError("this codec is not what it says")

/** Real codecs that throw when they are asked to. */
class Codecs implements Compression {
  throwsOnCompress: (bytes: Uint8Array) => boolean = () => false
  throwsOnDecompress: (bytes: Uint8Array) => boolean = () => false
  /** What it gives instead of bytes; undefined: bytes. */
  givesInstead: unknown
  /** Gives back bytes that nobody gave it, and does not say so. */
  isLying = false
  compressed = 0

  readonly compress: Compression["compress"] = (codec, bytes, level) => {
    this.compressed++
    if (this.throwsOnCompress(bytes)) throw BROKEN
    if (this.givesInstead !== undefined) return this.givesInstead as Uint8Array
    return compression.compress(codec, bytes, level)
  }
  readonly decompress: Compression["decompress"] = (codec, bytes, maxBytes) => {
    if (this.throwsOnDecompress(bytes)) throw BROKEN
    if (this.givesInstead !== undefined) return this.givesInstead as Uint8Array
    const right = compression.decompress(codec, bytes, maxBytes)
    return this.isLying ? right.subarray(0, right.length - 1) : right
  }
}

const test = (title: string, body: (broker: OwnBroker, codecs: Codecs) => Effect.Effect<void, unknown, Ports | Scope>): void =>
  void it.live(title, () =>
    Effect.gen(function*() {
      const broker = yield* startOwnBroker()
      const codecs = new Codecs()
      yield* Effect.provideContext(body(broker, codecs), Context.merge(
        Context.add(broker.ports, Compression, codecs),
        Context.pick()(yield* Effect.context<Scope>())
      ))
    }).pipe(Effect.scoped))

/** Twelve records of `noise` are more than this in one batch, and less in each of its halves. */
const WHOLE_BYTES = 3000
/** 300 characters that hardly compress. */
const noise = (seed: number): string =>
  Array.from({ length: 300 }, () => {
    seed = Math.imul(seed, 1664525) + 1013904223
    return String.fromCharCode(33 + (seed >>> 24) % 90)
  }).join("")

const isBad = (text: string): boolean => text.includes("bad")

/** Sends them all without waiting in between; what became of each, in order. */
const sendAll = (producer: Producer.Producer, topic: string, values: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const results: Array<Producer.RecordMetadata | Error> = []
    for (const [n, value] of values.entries()) {
      yield* producer.ready(topic)
      const accepted = producer.offer({ topic, value: bytes(value) }, (result) => void (results[n] = result))
      expect(accepted).toBe("Accepted")
    }
    yield* producer.flush
    return results
  })

describe("A codec that throws", () => {
  for (const batchRecords of [1, 4, 1000]) {
    for (const lingerMs of [0, 20]) {
      test(`fails the batches it throws for, and the producer goes on (batch.records=${batchRecords}, linger.ms=${lingerMs})`, (broker, codecs) =>
        Effect.gen(function*() {
          codecs.throwsOnCompress = (bytes) => isBad(decoder.decode(bytes))
          const topic = yield* broker.createTopic("codec")
          const producer = yield* Producer.make({
            "bootstrap.servers": broker.bootstrap,
            "compression.type": "gzip",
            "batch.records": batchRecords,
            "linger.ms": lingerMs
          })
          const values = Array.from({ length: 60 }, (_, n) => n % 7 === 3 ? `bad ${n}` : `good ${n}`)
          const results = yield* sendAll(producer, topic, values)
          const good = values.filter((_, n) => !(results[n] instanceof Error))
          for (const [n, value] of values.entries()) {
            const result = results[n]
            if (batchRecords === 1) expect(result instanceof Error, value).toBe(isBad(value))
            if (!(result instanceof Error)) expect(isBad(value)).toBe(false)
            else {
              expect(result).toBeInstanceOf(FatalError)
              expect(result).toMatchObject({ reason: "COMPRESSION", message: expect.stringContaining(BROKEN.message) })
            }
          }
          // Whoever sends next is served as if nothing had been, sequences too.
          expect(yield* producer.send({ topic, value: bytes("good at last") })).toMatchObject({ offset: good.length })
          expect(yield* readValues(broker.bootstrap, topic)).toEqual([...good, "good at last"])
        }))
    }
  }

  test("says what it threw, and that nothing was sent", (broker, codecs) =>
    Effect.gen(function*() {
      codecs.throwsOnCompress = () => true
      const topic = yield* broker.createTopic("codec")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "compression.type": "zstd", "linger.ms": 0 })
      const error = yield* Effect.flip(producer.send({ topic, value: bytes("v") }))
      expect(error).toMatchObject({ _tag: "FatalError", reason: "COMPRESSION" })
      expect(error.message).toBe(`1 record(s) for ${topic}-0 could not be compressed and were not sent: the codec failed: ${BROKEN.message}`)
      expect(error.cause).toMatchObject({ _tag: "CompressionError", kind: "Failed", cause: BROKEN })
      expect(yield* readValues(broker.bootstrap, topic)).toEqual([])
    }))

  for (const [what, gives] of [
    ["a promise", Promise.resolve(new Uint8Array(3))],
    ["null", null],
    ["a text", "packed"],
    ["an array of numbers", [1, 2, 3]],
    ["an ArrayBuffer", new ArrayBuffer(3)],
    ["words", new Uint16Array(3)]
  ] as const) {
    test(`fails the batch for which it gave ${what}, and the producer goes on`, (broker, codecs) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("codec")
        const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "compression.type": "zstd", "linger.ms": 0 })
        codecs.givesInstead = gives
        const error = yield* Effect.flip(producer.send({ topic, value: bytes("v") }))
        expect(error).toMatchObject({ _tag: "FatalError", reason: "COMPRESSION", cause: { kind: "Failed" } })
        expect(error.message).toContain("a codec gives a Uint8Array at once")
        codecs.givesInstead = undefined
        expect(yield* producer.send({ topic, value: bytes("w") })).toMatchObject({ offset: 0 })
        expect(yield* readValues(broker.bootstrap, topic)).toEqual(["w"])
      }))

    test(`is a corrupt record to a consumer to which it gave ${what}`, (broker, codecs) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("codec")
        const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "compression.type": "zstd", "linger.ms": 0 })
        yield* producer.send({ topic, value: bytes("v") })
        const consumer = yield* Consumer.make({ "bootstrap.servers": broker.bootstrap, "auto.offset.reset": "earliest" })
        yield* consumer.assign([{ topic, partition: 0 }])
        codecs.givesInstead = gives
        const poll = consumer.poll().pipe(Effect.repeat({ until: (batches) => batches.length > 0 }))
        expect(yield* Effect.flip(poll)).toMatchObject({ _tag: "FatalError", reason: "CORRUPT", message: expect.stringContaining("Uint8Array") })
        codecs.givesInstead = undefined
        yield* consumer.seek({ topic, partition: 0 }, 0)
        expect((yield* poll).flatMap(({ records }) => records)).toHaveLength(1)
      }))
  }

  test("gives back the memory of what it threw for", (broker, codecs) =>
    Effect.gen(function*() {
      codecs.throwsOnCompress = () => true
      const topic = yield* broker.createTopic("codec")
      const producer = yield* Producer.make({
        "bootstrap.servers": broker.bootstrap,
        "compression.type": "gzip",
        "batch.size": 1000,
        "buffer.memory": 4000,
        "linger.ms": 0
      })
      for (let n = 0; n < 50; n++) {
        const error = yield* Effect.flip(producer.send({ topic, value: new Uint8Array(900) }))
        expect(error).toMatchObject({ reason: "COMPRESSION" })
      }
    }))

  for (const [what, fail] of [
    ["to pack the parts of a batch that was too large", (codecs: Codecs) => codecs.throwsOnCompress = ({ length }) => length < WHOLE_BYTES],
    ["to take a batch apart that was too large", (codecs: Codecs) => codecs.throwsOnDecompress = () => true],
    ["to take a batch apart that was too large, and gave other bytes than it was given", (codecs: Codecs) => codecs.isLying = true]
  ] as const) {
    test(`fails the records where it was ${what}, and the producer goes on`, (broker, codecs) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("codec", { configs: { "max.message.bytes": "1000" } })
        const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "compression.type": "gzip", "linger.ms": 10 })
        expect(yield* producer.send({ topic, value: bytes("first") })).toMatchObject({ offset: 0 })
        fail(codecs)
        const results = yield* sendAll(producer, topic, Array.from({ length: 12 }, (_, n) => noise(n + 1)))
        expect(results.map((result) => result instanceof FatalError ? result.reason : result)).toEqual(results.map(() => "COMPRESSION"))
        expect(codecs.compressed).toBeGreaterThan(1)
        codecs.throwsOnCompress = () => false
        expect(yield* producer.send({ topic, value: bytes("next") })).toMatchObject({ offset: 1 })
        expect(yield* readValues(broker.bootstrap, topic)).toEqual(["first", "next"])
      }))
  }

  test("is a corrupt record to a consumer, which reads on behind it", (broker, codecs) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("codec")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "compression.type": "gzip", "linger.ms": 0 })
      for (const value of ["a", "b", "c"]) yield* producer.send({ topic, value: bytes(value) })
      let left = 2
      codecs.throwsOnDecompress = () => --left === 0
      const consumer = yield* Consumer.make({ "bootstrap.servers": broker.bootstrap, "auto.offset.reset": "earliest" })
      const here = { topic, partition: 0 }
      yield* consumer.assign([here])
      const read: Array<string> = []
      const errors: Array<unknown> = []
      while (read.length < 3) {
        const polled = yield* Effect.result(consumer.poll())
        if (polled._tag === "Success") for (const { value } of polled.success.flatMap(({ records }) => records)) read.push(decoder.decode(value!))
        else {
          errors.push(polled.failure)
          // Another codec than before: the record is there.
          codecs.throwsOnDecompress = () => false
          yield* consumer.seek(here, 1)
        }
      }
      expect(read).toEqual(["a", "b", "c"])
      expect(errors).toMatchObject([{ _tag: "FatalError", reason: "CORRUPT", message: expect.stringContaining(BROKEN.message) }])
    }))

  test("keeps a consumer before what it cannot read, whatever was fetched of what lies behind", (broker, codecs) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("codec")
      const producer = yield* Producer.make({ "bootstrap.servers": broker.bootstrap, "compression.type": "gzip", "linger.ms": 0 })
      const send = (value: string) => producer.send({ topic, value: bytes(value) })
      const consumer = yield* Consumer.make({ "bootstrap.servers": broker.bootstrap, "auto.offset.reset": "earliest" })
      yield* consumer.assign([{ topic, partition: 0 }])
      for (const value of ["a", "b", "c"]) yield* send(value)
      const read: Array<string> = []
      const poll = Effect.result(consumer.poll({ timeoutMs: 50 })).pipe(Effect.map((polled) => {
        if (polled._tag === "Failure") return polled.failure
        for (const { value } of polled.success.flatMap(({ records }) => records)) read.push(decoder.decode(value!))
        return undefined
      }))
      while (read.length < 3) yield* poll
      // A record is buffered, and a fetch of those behind it under way, when it turns out to be unreadable.
      codecs.throwsOnDecompress = () => true
      yield* send("d")
      const error = yield* Effect.repeat(poll, { until: (failure) => failure !== undefined })
      expect(error).toMatchObject({ reason: "CORRUPT" })
      yield* send("e")
      codecs.throwsOnDecompress = () => false
      while (read.at(-1) !== "e") yield* poll
      expect(read).toEqual(["a", "b", "c", "d", "e"])
    }))
})
