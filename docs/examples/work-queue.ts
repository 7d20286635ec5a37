/**
 * A queue: workers in one group share a topic's partitions, so that each job is done by one of them. There are more
 * workers than partitions: the surplus one has nothing to do, and takes over when another dies.
 */
import { connect, text } from "ottla/node" // or ottla/bun, ottla/deno

const PARTITIONS = 3
const JOBS = 60
const topic = `jobs-${Date.now().toString(36)}`

const client = await connect({ "bootstrap.servers": process.env["BOOTSTRAP_SERVERS"] ?? "localhost:9092" })
await client.admin().createTopics([{ name: topic, partitions: PARTITIONS }])
const send = (from: number, to: number) =>
  client.producer().sendAll(Array.from({ length: to - from }, (_, n) => ({
    topic,
    partition: (from + n) % PARTITIONS,
    value: `job ${from + n}`
  })))

/** How often each job was done, and by whom. */
const done = new Map<string, Array<string>>()
/** Who dies with the next job. */
let doomed: string | undefined
let changed = () => {}
const until = async (condition: () => boolean) => {
  while (!condition()) {
    await new Promise<void>((resolve) => {
      changed = resolve
    })
  }
}

const start = (name: string) => {
  const owned = new Set<number>()
  const consumer = client.consumer({ "group.id": `workers-${topic}`, "auto.offset.reset": "earliest", "heartbeat.interval.ms": 100 })
  const ended = consumer.run({
    from: topic,
    // its position is saved after each job: another worker begins with the next one
    every: { records: 1 },
    process: (record) => {
      const job = text(record.value)!
      if (doomed === name) throw new Error(`${name} dies with ${job} in hand`)
      done.set(job, [...done.get(job) ?? [], name])
      changed()
    },
    onAssigned: (partitions) => {
      for (const { partition } of partitions) owned.add(partition)
      changed()
    },
    onRevoked: (partitions) => {
      for (const { partition } of partitions) owned.delete(partition)
      changed()
    }
  })
  // a worker that fails is gone: its process would end here
  ended.catch(async () => {
    await consumer.close()
    owned.clear()
    changed()
  })
  return { name, owned, stop: () => consumer.close() }
}

const workers = ["ann", "bob", "cleo", "dan"].map(start)
const balanced = () => workers.reduce((sum, { owned }) => sum + owned.size, 0) === PARTITIONS
const busy = () => workers.filter(({ owned }) => owned.size > 0)
await until(() => balanced() && busy().length === PARTITIONS)
console.log(`${busy().length} workers have a partition, ${workers.length - busy().length} is idle`)

await send(0, JOBS / 2)
await until(() => done.size === JOBS / 2)

// One of them dies in the middle of a job; the idle one takes its partition, with that job.
const idle = workers.find(({ owned }) => owned.size === 0)!
doomed = busy()[0]!.name
await send(JOBS / 2, JOBS)
await until(() => done.size === JOBS && balanced())
console.log(idle.owned.size > 0 ? "one died, the idle one took over" : "nobody took over")
for (const worker of workers) await worker.stop()

const twice = [...done.values()].filter((by) => by.length > 1).length
console.log(`${done.size} jobs are done, ${twice} of them twice`)
await client.close()
