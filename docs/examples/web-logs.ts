/**
 * Publish-subscribe: a web server's log goes to one topic. One group watches it in real time, another reads it when it
 * has the time. Each group gets every record, because a group's positions are its own.
 *
 * Run it with a broker at BOOTSTRAP_SERVERS (`npx ottla start` is one): `node web-logs.ts` where ottla is installed, or
 * `node docs/examples/web-logs.ts` in its repository after `npm run build`. With bun or deno, import their entry.
 */
import { connect, text } from "ottla/node" // or ottla/bun, ottla/deno

const LINES = 600
const topic = `web-logs-${Date.now().toString(36)}`

const client = await connect({ "bootstrap.servers": process.env["BOOTSTRAP_SERVERS"] ?? "localhost:9092" })
await client.admin().createTopics([{ name: topic, partitions: 3 }])

/** What the web server logs: the client's address is the key, so that each visitor's requests stay in order. */
const logLine = (n: number) => ({
  topic,
  key: `10.0.0.${n % 17}`,
  value: JSON.stringify({ n, path: `/item/${n % 40}`, status: n % 10 === 0 ? 500 : 200, bytes: 1000 + n })
})

/** Reads until it has every line; gives what it makes of them. */
const read = async <A>(groupId: string, start: A, add: (sum: A, line: { n: number; status: number; bytes: number }) => A): Promise<A> => {
  const consumer = client.consumer({ "group.id": `${groupId}-${topic}`, "auto.offset.reset": "earliest" })
  const seen = new Set<number>()
  let sum = start
  for await (const record of consumer.subscribe(topic)) {
    const line = JSON.parse(text(record.value)!)
    seen.add(line.n)
    sum = add(sum, line)
    if (seen.size === LINES) break
  }
  await consumer.close()
  return sum
}

// The alarm listens while the web server writes.
const errors = read("alarm", 0, (count, { status }) => (status >= 500 ? count + 1 : count))
await client.producer().sendAll(Array.from({ length: LINES }, (_, n) => logLine(n)))
console.log(`real time: ${await errors} errors in ${LINES} requests`)

// The nightly report comes much later, and misses nothing.
const bytes = await read("report", 0, (sum, line) => sum + line.bytes)
console.log(`offline: ${bytes} bytes in ${LINES} requests`)

await client.close()
