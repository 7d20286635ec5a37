/**
 * A partitioner of one's own: a plain function. Keys are "customer:order"; all orders of a customer should be in one
 * partition, so that one consumer sees them in their order. The published laws say whether it is a good one.
 */
import { Partitioner, partitionForKey } from "ottla/client"
import { connect } from "ottla/node" // or ottla/bun, ottla/deno
import { partitionerLaws } from "ottla/testing"

const COLON = ":".charCodeAt(0)
const byCustomer = Partitioner.fromFunction("by-customer", ({ key }, { partitions }) => {
  if (key === null) return 0
  const end = key.indexOf(COLON)
  return partitionForKey(end < 0 ? key : key.subarray(0, end), partitions.length)
})

// In range, the same key in the same partition, keys spread evenly. In a test: for (const law of laws) it(law.name, law.run)
const laws = partitionerLaws(byCustomer, { spreadsKeyless: false })
for (const law of laws) await law.run()
console.log(`${byCustomer.name} keeps ${laws.length === 0 ? "no" : "all"} laws`)

// One that puts every other key into partition 0 does not.
const skewed = Partitioner.fromFunction("skewed", ({ key }, { partitions }) =>
  key === null || key[key.length - 1]! % 2 === 0 ? 0 : partitionForKey(key, partitions.length))
const results = await Promise.allSettled(partitionerLaws(skewed, { spreadsKeyless: false }).map((law) => law.run()))
const broken = results.filter(({ status }) => status === "rejected")
console.log(`${skewed.name} breaks ${broken.length > 0 ? "the spread" : "nothing"}`)

const topic = `orders-${Date.now().toString(36)}`
const client = await connect({ "bootstrap.servers": process.env["BOOTSTRAP_SERVERS"] ?? "localhost:9092" })
await client.admin().createTopics([{ name: topic, partitions: 8 }])
const sent = await client.producer({ partitioner: byCustomer }).sendAll(
  Array.from({ length: 200 }, (_, n) => ({ topic, key: `customer-${n % 20}:order-${n}`, value: "paid" }))
)
const places = Array.from({ length: 20 }, (_, customer) => new Set(sent.filter((_, n) => n % 20 === customer).map(({ partition }) => partition)).size)
console.log(`20 customers, each in ${Math.max(...places)} partition; ${new Set(sent.map(({ partition }) => partition)).size > 1 ? "several partitions are used" : "all in one"}`)
await client.close()
