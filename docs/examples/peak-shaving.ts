/**
 * Peak shaving: for a while a producer is ten times faster than its consumer. The topic takes the peak: nothing is
 * lost, and neither program needs memory for it. Both have a bound that is far below what is on its way:
 * `buffer.memory` in the producer, `fetch.buffer.bytes` and `max.poll.records` in the consumer.
 */
import { connect } from "ottla/node" // or ottla/bun, ottla/deno

const RECORDS = 4000
const RECORD_BYTES = 1000
const BUFFER_BYTES = 256 * 1024
const topic = `orders-${Date.now().toString(36)}`

const client = await connect({ "bootstrap.servers": process.env["BOOTSTRAP_SERVERS"] ?? "localhost:9092" })
await client.admin().createTopics([{ name: topic, partitions: 1 }])

const producer = client.producer({ "buffer.memory": BUFFER_BYTES })
const consumer = client.consumer({
  "auto.offset.reset": "earliest",
  "fetch.buffer.bytes": BUFFER_BYTES,
  "max.partition.fetch.bytes": BUFFER_BYTES / 4,
  "max.poll.records": 50
})
const partition = { topic, partition: 0 }
const records = consumer.assign([{ ...partition, offset: 0 }])

let produced = 0
let mostWaiting = 0
/** The shop on sale day: as fast as the producer's memory allows. */
const peak = (async () => {
  let waiting = 0
  const sends: Array<Promise<unknown>> = []
  for (let n = 0; n < RECORDS; n++) {
    const value = new Uint8Array(RECORD_BYTES)
    new DataView(value.buffer).setUint32(0, n)
    waiting++
    mostWaiting = Math.max(mostWaiting, waiting)
    sends.push(producer.send({ topic, value }).then(() => {
      waiting--
      produced++
    }))
    // what does not fit into the buffer waits for room before more is made
    if (waiting * RECORD_BYTES > BUFFER_BYTES / 2) await sends[sends.length - Math.floor(waiting / 2)]
  }
  await Promise.all(sends)
})()

let consumed = 0
let mostLag = 0
/** The billing system: ten records, then a pause. */
for await (const record of records) {
  const n = new DataView(record.value!.buffer, record.value!.byteOffset).getUint32(0)
  if (n !== consumed) throw new Error(`record ${n} came where ${consumed} was next`)
  consumed++
  mostLag = Math.max(mostLag, produced - consumed)
  if (consumed === RECORDS) break
  if (consumed % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
}
await peak
console.log(`${consumed} of ${RECORDS} records arrived, each once and in order`)
console.log(`the topic held up to ${mostLag > RECORDS / 2 ? "most" : "some"} of them while the peak lasted`)
console.log(`the producer never had more than ${mostWaiting * RECORD_BYTES <= BUFFER_BYTES ? "its buffer" : "too much"} in memory`)
await client.close()
