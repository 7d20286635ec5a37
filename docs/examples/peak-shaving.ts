/**
 * Peak shaving: for a while a producer is far faster than its consumer. The topic takes the peak: nothing is lost, and
 * neither program needs memory for it. Both have a bound that is far below what is on its way: `buffer.memory` in the
 * producer, which makes `enqueue` wait, and `fetch.buffer.bytes` and `max.poll.records` in the consumer.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Admin, Consumer, Producer } from "ottla/client"
import { layer as host } from "ottla/node" // or ottla/bun, ottla/deno

const RECORDS = 5000
const RECORD_BYTES = 1000
const BUFFER_BYTES = 256 * 1024
const topic = `orders-${Date.now().toString(36)}`
const servers = { "bootstrap.servers": process.env["BOOTSTRAP_SERVERS"] ?? "localhost:9092" }

let acknowledged = 0
let mostInProducer = 0
/** The shop on sale day: as fast as it can. */
const shop = Effect.gen(function*() {
  const producer = yield* Producer.Producer
  let inProducer = 0
  for (let n = 0; n < RECORDS; n++) {
    const value = new Uint8Array(RECORD_BYTES)
    new DataView(value.buffer).setUint32(0, n)
    // waits here while the buffer is full
    const sent = yield* producer.enqueue({ topic, value })
    mostInProducer = Math.max(mostInProducer, ++inProducer)
    yield* Effect.forkChild(Effect.map(sent.acknowledged, () => {
      inProducer--
      acknowledged++
    }))
  }
  yield* producer.flush
})

let consumed = 0
let mostInTopic = 0
/** The billing system: ten records a millisecond. */
const billing = Effect.gen(function*() {
  const consumer = yield* Consumer.Consumer
  yield* consumer.assign([{ topic, partition: 0, offset: 0 }])
  yield* consumer.records.pipe(
    Stream.take(RECORDS),
    Stream.runForEach(({ value }) => {
      const n = new DataView(value!.buffer, value!.byteOffset).getUint32(0)
      if (n !== consumed) return Effect.die(new Error(`record ${n} came where ${consumed} was next`))
      consumed++
      mostInTopic = Math.max(mostInTopic, acknowledged - consumed)
      return consumed % 10 === 0 ? Effect.sleep(1) : Effect.void
    })
  )
})

const program = Effect.gen(function*() {
  const admin = yield* Admin.Admin
  yield* admin.createTopics([{ name: topic, partitions: 1 }])
  yield* Effect.all([shop, billing], { concurrency: 2 })
  console.log(`${consumed} of ${RECORDS} records arrived, each once and in order`)
  console.log(mostInTopic > RECORDS / 2 ? "at the peak most of them waited in the topic" : "there was no peak")
  console.log(mostInProducer * RECORD_BYTES <= BUFFER_BYTES ? "the producer kept within its buffer" : `${mostInProducer} records were in the producer`)
})

await Effect.runPromise(program.pipe(
  Effect.provide(Layer.mergeAll(
    Admin.layer(servers),
    Producer.layer({ ...servers, "buffer.memory": BUFFER_BYTES }),
    Consumer.layer({ ...servers, "fetch.buffer.bytes": BUFFER_BYTES, "max.partition.fetch.bytes": BUFFER_BYTES / 4, "max.poll.records": 50 })
  )),
  Effect.provide(host)
))
