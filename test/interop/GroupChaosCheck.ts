/**
 * Ten members of one group over 100 partitions while a producer writes: members are killed and added, and nothing is
 * lost: every record is seen at least once, in the order of its partition, and when the producer is done the committed
 * lag comes down to 0.
 *
 * Members are processes of confluent-kafka (librdkafka): a kill takes away what was not committed. Each prints what it
 * saw before it commits it.
 */
import { createInterface } from "node:readline"
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { kafkaTool } from "../../scripts/peers/Kafka.ts"
import type { Peer } from "../../scripts/peers/Processes.ts"
import { sleep, waitFor } from "../../scripts/peers/Processes.ts"
import { python } from "../../scripts/peers/Python.ts"
import { Random } from "../oracle/Random.ts"
import { type Check, CheckFailed, expect, expectSays } from "./Check.ts"
import { startPythonMember } from "./PythonMember.ts"

const PARTITIONS = 100
const MEMBERS = 10
const [topic, group] = ["grp-chaos", "chaos-group"]

const producerProgram = `
import sys, time
from confluent_kafka import Producer
server, topic, count, partitions, perSecond = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
producer = Producer({"bootstrap.servers": server, "linger.ms": 20})
failed = []
begin = time.time()
for i in range(count):
    producer.produce(topic, value=str(i), partition=i % partitions, on_delivery=lambda error, record: failed.append(str(error)) if error else None)
    if i % 200 == 0:
        producer.poll(0)
        ahead = i / perSecond - (time.time() - begin)
        if ahead > 0:
            time.sleep(ahead)
if producer.flush(60) > 0 or failed:
    raise SystemExit(failed[:1] or "not delivered")
print("sent", count)
`

interface Running {
  readonly kill: () => void
  readonly isOver: () => boolean
}

class Seen {
  /** Per partition and offset, how often. */
  readonly times: ReadonlyArray<Map<number, number>> = Array.from({ length: PARTITIONS }, () => new Map<number, number>())
  readonly complaints: Array<string> = []
  count = 0
  again = 0

  /** Lines of one member: inside a stay of a partition each offset follows the one before. */
  reader(name: string): (line: string) => void {
    const last = new Map<number, number>()
    return (line) => {
      if (line.startsWith("=")) return last.clear()
      if (line.startsWith("#")) return
      if (line.startsWith("!")) return void this.complaints.push(`${name}: ${line}`)
      const [partition = -1, offset = -1, value = -1] = line.split(" ").map(Number)
      const before = last.get(partition)
      if (before !== undefined && offset !== before + 1) this.complaints.push(`${name}: partition ${partition}: offset ${offset} after ${before}`)
      if (value !== offset * PARTITIONS + partition) this.complaints.push(`${name}: partition ${partition} at ${offset}: value ${value}`)
      last.set(partition, offset)
      const times = this.times[partition]!.get(offset) ?? 0
      if (times === 0) this.count++
      else this.again++
      this.times[partition]!.set(offset, times + 1)
    }
  }
}

const startMember = async (peer: Peer, name: string, strategy: string, seen: Seen): Promise<Running> => {
  const settings = { "partition.assignment.strategy": strategy, "session.timeout.ms": 6000 }
  const child = await startPythonMember({ bootstrap: peer.bootstrap, topic, group, settings })
  createInterface({ input: child.stdout }).on("line", seen.reader(name))
  let words = ""
  child.stderr.on("data", (bytes: Buffer) => {
    words = (words + bytes.toString()).slice(-2000)
  })
  child.on("exit", (code) => {
    if (code !== null) seen.complaints.push(`${name} ended with ${code}: ${words}`)
  })
  return { kill: () => void child.kill("SIGKILL"), isOver: () => child.exitCode !== null || child.signalCode !== null }
}

/** Records that are not committed yet. */
const lag = async (caller: Caller): Promise<number> => {
  const all = Array.from({ length: PARTITIONS }, (_, partition) => partition)
  const committed = await caller.ask("OffsetFetch", 7, { groupId: group, topics: [{ name: topic, partitionIndexes: all }], requireStable: true })
  const ends = await caller.ask("ListOffsets", 6, { replicaId: -1, isolationLevel: 0, topics: [{ name: topic, partitions: all.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp: -1 })) }] })
  const offsets = new Map((committed["topics"] as ReadonlyArray<Fields>)[0]?.["partitions"].map((one: Fields) => [one["partitionIndex"], Number(one["committedOffset"])]))
  return (ends["topics"] as ReadonlyArray<Fields>)[0]!["partitions"].reduce((sum: number, one: Fields) =>
    sum + Number(one["offset"]) - Math.max(0, Number(offsets.get(one["partitionIndex"]) ?? 0)), 0)
}

const chaos: Check = {
  name: "ten members of one group over 100 partitions, killed and added while a producer writes, see every record in order",
  run: async ({ peer, short }) => {
    const [count, perSecond, kills] = short ? [40_000, 3000, 3] : [600_000, 8000, 12]
    const created = await kafkaTool("kafka-topics", ["--bootstrap-server", peer.bootstrap, "--create", "--topic", topic, "--partitions", `${PARTITIONS}`])
    expectSays(created, /Created topic/, "create")
    const random = new Random(7)
    const seen = new Seen()
    const strategy = short ? "cooperative-sticky" : "range"
    const members: Array<Running> = []
    const caller = await Caller.connect(peer.host, peer.port)
    let born = 0
    const add = async (): Promise<void> => void members.push(await startMember(peer, `member ${born++}`, strategy, seen))
    try {
      for (let i = 0; i < MEMBERS; i++) await add()
      const producer = python(producerProgram, [peer.bootstrap, topic, `${count}`, `${PARTITIONS}`, `${perSecond}`], { timeoutMs: 300_000 })
      for (let i = 0; i < kills; i++) {
        await sleep(short ? 2500 : 4000)
        const [victim] = members.splice(random.int(0, members.length - 1), 1)
        victim?.kill()
        if (random.chance(80) || members.length < MEMBERS - 2) await add()
      }
      expectSays(await producer, new RegExp(`sent ${count}`), "the producer")
      await waitFor("every record seen", 120_000, () => {
        if (seen.complaints.length > 0) throw new CheckFailed(seen.complaints.slice(0, 5).join("\n"))
        return seen.count === count ? true : undefined
      }).catch((error: unknown) => {
        const missing = seen.times.flatMap((times, partition) => times.size < count / PARTITIONS ? [`${partition}: ${times.size}`] : [])
        throw new CheckFailed(`${String(error)}: ${seen.count} of ${count}; partitions ${missing.slice(0, 12).join(", ")}`)
      })
      await waitFor("a committed lag of 0", 60_000, async () => await lag(caller) === 0 ? true : undefined)
      expect(members.every((one) => !one.isOver()), "a member ended by itself")
      expect(seen.complaints.length === 0, seen.complaints.slice(0, 5).join("\n"))
    } finally {
      caller.close()
      for (const one of members) one.kill()
    }
  }
}

export const groupChaosChecks: ReadonlyArray<Check> = [chaos]
