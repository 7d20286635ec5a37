/**
 * Going back: a topic keeps what was read, so yesterday's records can be read again, from their time on.
 * `offsetsForTimes` says where a time begins, `seek` goes there.
 */
import { connect, text } from "ottla/node" // or ottla/bun, ottla/deno

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const topic = `temperatures-${Date.now().toString(36)}`

const client = await connect({ "bootstrap.servers": process.env["BOOTSTRAP_SERVERS"] ?? "localhost:9092" })
await client.admin().createTopics([{ name: topic, partitions: 2 }])

/** Midnight, at the start of today (UTC). */
const today = Math.floor(Date.now() / DAY_MS) * DAY_MS
// A thermometer in each of two rooms has told its temperature every hour of the last three days.
await client.producer().sendAll(Array.from({ length: 72 }, (_, hour) => [0, 1].map((room) => ({
  topic,
  partition: room,
  timestamp: today - 3 * DAY_MS + hour * HOUR_MS,
  value: `room ${room}, hour ${hour}`
}))).flat())

const rooms = [0, 1].map((partition) => ({ topic, partition }))
const consumer = client.consumer()
const begins = await consumer.offsetsForTimes(rooms.map((room) => ({ ...room, timestamp: today - DAY_MS })))
const ends = await consumer.endOffsets(rooms)
console.log(`yesterday begins at offset ${begins.map(({ offset }) => offset).join(" and ")}`)

let read = 0
let last: string | null = null
const wanted = ends.reduce((sum, { offset }) => sum + offset, 0) - begins.reduce((sum, { offset }) => sum + offset, 0)
for await (const record of consumer.assign(begins)) {
  if (record.timestamp < today - DAY_MS) throw new Error(`${text(record.value)} is older than yesterday`)
  if (record.partition === 0) last = text(record.value)
  if (++read === wanted) break
}
console.log(`${read} records since then, the last of room 0 is "${last}"`)
await client.close()
