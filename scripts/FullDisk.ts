/**
 * A real full disk: a small tmpfs holds the broker's directory, and a producer of numbered records writes until there
 * is no space left. What is refused is refused with KAFKA_STORAGE_ERROR, everything acknowledged stays readable, and
 * with new space the same process takes records again.
 *
 *   npm run full-disk -- [--runtime node|bun|deno|all]
 *
 * Needs the right to mount (root on Linux); without it the script fails and says so.
 */
import { execFileSync } from "node:child_process"
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import { ErrorCode, errorName } from "../core/protocol/ErrorCode.ts"
import { type Lane, valueOf } from "../test/crash/NumberedProducer.ts"
import { verifyLane } from "../test/crash/Verify.ts"
import { buildBatch } from "../test/oracle/Batches.ts"
import { Caller, type Fields } from "./peers/Calls.ts"
import { parseRuntimes, type Runtime, startOttla } from "./peers/Ottla.ts"
import { type Peer, PeerError, removeDirectory, temporaryDirectory, waitFor } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, { options: { runtime: { type: "string", default: "all" } } })
const print = (line: string): void => void process.stdout.write(`${line}\n`)

const DISK_MIB = 24
/** Written to the topic that makes room later, in bytes. */
const BALLAST_BYTES = 8 * 1024 * 1024
/** Batches of about 18 KB: the last free bytes are smaller. */
const RECORDS_PER_BATCH = 100
const TOPIC = "numbers"
const BALLAST = "ballast"
const PARTITIONS = 2
/** Refusals in a row that say: it stays refused. */
const REFUSALS = 20
/** In the broker's log about them: far fewer than there are. */
const MOST_LINES = 3 * PARTITIONS
const WAIT_MS = 30_000
const NO_TOPIC_ID = "A".repeat(22)

// the smallest segments and indexes that Kafka allows, so that what fills the disk is records
const topicConfigs = [["segment.bytes", "1048576"], ["segment.index.bytes", "4096"], ["file.delete.delay.ms", "100"]] as const
const overrides = [
  "node.id=1",
  "log.segment.bytes=1048576",
  "log.index.size.max.bytes=4096",
  "log.retention.ms=-1",
  "log.retention.check.interval.ms=500",
  "log.initial.task.delay.ms=100"
]

// -- the disk ------------------------------------------------------------------------------------------------------

const mounted = new Set<string>()
const unmount = (path: string): void => {
  // lazy: a broker that is being killed may still hold files
  execFileSync("umount", ["-l", path], { stdio: "ignore" })
  mounted.delete(path)
}
// registered before the first temporary directory is made: a mount point must be free before it can be removed
process.on("exit", () => {
  for (const path of mounted) unmount(path)
})

const mount = (path: string): void => {
  mkdirSync(path)
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "ottla-full-disk", path], { stdio: "pipe" })
  } catch (error) {
    throw new PeerError(`a tmpfs cannot be mounted (${String(error).trim()}): run this as root on Linux, where mounts are allowed`)
  }
  mounted.add(path)
}
/** Takes the last pages too, those that are too few for a batch: no file can grow, none can be made larger than nothing. */
const stuff = (path: string): void => {
  const file = openSync(join(path, "stuffing"), "a")
  const page = Buffer.alloc(4096)
  try {
    for (;;) writeSync(file, page)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error
  } finally {
    closeSync(file)
  }
}
const resize = (path: string, mib: number): void => void execFileSync("mount", ["-o", `remount,size=${mib}m`, path], { stdio: "pipe" })

// -- requests --------------------------------------------------------------------------------------------------------

const createTopic = async (caller: Caller, name: string, partitions: number): Promise<number> => {
  const answer = await caller.ask("CreateTopics", 7, {
    topics: [{ name, numPartitions: partitions, replicationFactor: 1, assignments: [], configs: topicConfigs.map(([key, value]) => ({ name: key, value })) }],
    timeoutMs: WAIT_MS,
    validateOnly: false
  })
  return (answer["topics"] as ReadonlyArray<Fields>)[0]?.["errorCode"] as number
}

const expectCode = (what: string, got: number, expected: number): void => {
  if (got !== expected) throw new PeerError(`${what}: ${errorName(got)}, not ${errorName(expected)}`)
}

interface Producer {
  readonly id: number
  readonly lanes: ReadonlyArray<Lane>
}

const newProducerId = async (caller: Caller): Promise<number> => {
  const answer = await caller.ask("InitProducerId", 4, { transactionalId: null, transactionTimeoutMs: WAIT_MS, producerId: -1, producerEpoch: -1 })
  expectCode("InitProducerId", answer["errorCode"] as number, ErrorCode.NONE)
  return Number(answer["producerId"])
}

/** Sends the next numbers of a lane. Acknowledged: they count. Refused: the next batch has the same numbers. */
const produce = async (caller: Caller, producer: Producer, lane: Lane, acks = -1): Promise<number> => {
  const first = lane.acked
  const records = Array.from({ length: RECORDS_PER_BATCH }, (_, i) => ({
    key: Buffer.from(`${first + i}`),
    value: Buffer.from(valueOf(lane, first + i)),
    timestamp: Date.now()
  }))
  // partition 0 is written idempotently: a refused batch must leave no sequence behind. Partition 1 plainly.
  const identity = lane.partition === 0 ? { producerId: producer.id, producerEpoch: 0, baseSequence: first } : {}
  const answer = await caller.ask("Produce", 9, {
    transactionalId: null,
    acks,
    timeoutMs: WAIT_MS,
    topicData: [{ name: lane.topic, partitionData: [{ index: lane.partition, records: buildBatch({ records, ...identity }) }] }]
  })
  const result = (answer["responses"] as ReadonlyArray<Fields>)[0]?.["partitionResponses"][0] as Fields
  const code = result["errorCode"] as number
  if (code !== ErrorCode.NONE) return code
  if (Number(result["baseOffset"]) !== first) throw new PeerError(`${lane.topic}-${lane.partition}: record ${first} is acknowledged at offset ${result["baseOffset"]}`)
  lane.acked = lane.next = first + RECORDS_PER_BATCH
  return code
}

/** Until every lane has been refused for lack of space. */
const fill = async (caller: Caller, producer: Producer): Promise<void> => {
  for (let refused = 0; refused < producer.lanes.length;) {
    refused = 0
    for (const lane of producer.lanes) {
      const code = await produce(caller, producer, lane)
      if (code === ErrorCode.NONE) continue
      expectCode("the first refusal", code, ErrorCode.KAFKA_STORAGE_ERROR)
      refused++
    }
  }
}

/** That there is space again: records come through, on the same connection. */
const succeedsAgain = async (caller: Caller, producer: Producer): Promise<void> => {
  for (const lane of producer.lanes) {
    await waitFor(`${lane.topic}-${lane.partition} takes records again`, WAIT_MS, async () => {
      const code = await produce(caller, producer, lane)
      if (code === ErrorCode.NONE) return true
      expectCode("until there is space", code, ErrorCode.KAFKA_STORAGE_ERROR)
      return undefined
    })
  }
}

/** All that was acknowledged, once, in order; nothing that was refused. */
const verify = async (caller: Caller, producer: Producer): Promise<void> => {
  for (const lane of producer.lanes) {
    await waitFor(`the leader of ${lane.topic}-${lane.partition}`, WAIT_MS, async () => {
      const answer = await caller.ask("ListOffsets", 6, {
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ name: lane.topic, partitions: [{ partitionIndex: lane.partition, currentLeaderEpoch: -1, timestamp: -1 }] }]
      })
      return (answer["topics"] as ReadonlyArray<Fields>)[0]?.["partitions"][0]["errorCode"] === 0 ? true : undefined
    })
    const end = await verifyLane(caller, lane, 0)
    if (end !== lane.acked) throw new PeerError(`${lane.topic}-${lane.partition} ends at ${end}, acknowledged were ${lane.acked}`)
  }
}

// -- the run ---------------------------------------------------------------------------------------------------------

let passed = 0
let failed = 0

const runOn = async (runtime: Runtime): Promise<void> => {
  const disk = join(temporaryDirectory("full-disk"), "disk")
  let peer: Peer | undefined
  let caller: Caller | undefined
  const check = async (what: string, work: () => Promise<void>): Promise<void> => {
    await work().catch((error: unknown) => {
      throw new PeerError(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    })
    passed++
    print(`pass  ${runtime}: ${what}`)
  }
  const start = async (): Promise<Caller> => {
    peer = await startOttla({ runtime, dataDirectory: join(disk, "data"), overrides })
    return caller = await Caller.connect(peer.host, peer.port)
  }
  try {
    mount(disk)
    let to = await start()
    expectCode("creating topics", await createTopic(to, TOPIC, PARTITIONS), ErrorCode.NONE)
    expectCode("creating topics", await createTopic(to, BALLAST, 1), ErrorCode.NONE)
    const lanes = Array.from({ length: PARTITIONS }, (_, partition): Lane => ({ topic: TOPIC, partition, acked: 0, next: 0, open: [] }))
    const producer: Producer = { id: await newProducerId(to), lanes }
    const ballast: Lane = { topic: BALLAST, partition: 0, acked: 0, next: 0, open: [] }
    const other: Producer = { id: await newProducerId(to), lanes: [ballast] }
    const batchBytes = RECORDS_PER_BATCH * valueOf(ballast, 20).length
    while (ballast.acked / RECORDS_PER_BATCH * batchBytes < BALLAST_BYTES) expectCode("ballast", await produce(to, other, ballast), ErrorCode.NONE)

    await check("a full disk refuses with KAFKA_STORAGE_ERROR", async () => {
      await fill(to, producer)
      stuff(disk)
    })
    await check("and goes on refusing, with acks 1 too", async () => {
      for (let i = 0; i < REFUSALS; i++) {
        for (const lane of lanes) {
          expectCode(`refusal ${i}`, await produce(to, producer, lane, i % 2 === 0 ? -1 : 1), ErrorCode.KAFKA_STORAGE_ERROR)
        }
      }
    })
    await check("its log tells of the refusals, and not of each", async () => {
      const lines = peer?.log().split("\n").filter((line) => line.includes("storage error")) ?? []
      if (lines.length === 0) throw new PeerError("not a word of them")
      if (lines.length > MOST_LINES) throw new PeerError(`${lines.length} lines for ${(REFUSALS + 1) * PARTITIONS} refusals`)
    })
    await check("everything acknowledged is served meanwhile", () => verify(to, { ...producer, lanes: [...lanes, ballast] }))

    await check("deleting records of another topic makes room, without a restart", async () => {
      const answer = await to.ask("DeleteRecords", 2, { topics: [{ name: BALLAST, partitions: [{ partitionIndex: 0, offset: ballast.acked >> 1 }] }], timeoutMs: WAIT_MS })
      expectCode("DeleteRecords", (answer["topics"] as ReadonlyArray<Fields>)[0]?.["partitions"][0]["errorCode"] as number, ErrorCode.NONE)
      await succeedsAgain(to, producer)
    })
    await check("deleting another topic makes room", async () => {
      await fill(to, producer)
      stuff(disk)
      // its few bytes may find the disk full themselves: then that is said, and nothing is half done
      await waitFor("deletion of a topic", WAIT_MS, async () => {
        const answer = await to.ask("DeleteTopics", 6, { topics: [{ name: BALLAST, topicId: NO_TOPIC_ID }], timeoutMs: WAIT_MS })
        const code = (answer["responses"] as ReadonlyArray<Fields>)[0]?.["errorCode"] as number
        if (code === ErrorCode.NONE) return true
        expectCode("DeleteTopics", code, ErrorCode.KAFKA_STORAGE_ERROR)
        resize(disk, DISK_MIB + 1)
        return undefined
      })
      await succeedsAgain(to, producer)
    })
    await check("topics are created or refused on the full disk, and what was answered holds", async () => {
      await fill(to, producer)
      stuff(disk)
      const code = await createTopic(to, "late", 1)
      if (code !== ErrorCode.NONE) expectCode("CreateTopics", code, ErrorCode.KAFKA_STORAGE_ERROR)
    })

    await check("SIGTERM on the full disk ends the broker in order", async () => {
      const code = await peer?.stop()
      if (code !== 0) throw new PeerError(`exit code ${code}\n${peer?.log().slice(-1500)}`)
    })
    await check("a start on the full disk serves, or says that there is no space", async () => {
      try {
        to = await start()
      } catch (error) {
        if (!/no space/i.test(String(error)) || /\n\s+at /.test(String(error))) throw error
        resize(disk, DISK_MIB + 4)
        to = await start()
      }
      await verify(to, producer)
    })
    await check("a larger disk takes records again, without a restart", async () => {
      resize(disk, DISK_MIB + 4)
      await succeedsAgain(to, producer)
      await fill(to, producer)
      stuff(disk)
    })
    await check("after kill -9 on the full disk nothing is missing or twice", async () => {
      await peer?.kill()
      try {
        to = await start()
      } catch (error) {
        if (!/no space/i.test(String(error)) || /\n\s+at /.test(String(error))) throw error
        resize(disk, DISK_MIB + 8)
        to = await start()
      }
      await verify(to, producer)
      resize(disk, DISK_MIB + 8)
      await succeedsAgain(to, producer)
      await verify(to, producer)
    })
    await check("and it stops and starts with all of it", async () => {
      await peer?.stop()
      to = await start()
      await verify(to, producer)
    })
    print(`${runtime}: ${lanes.map(({ acked }) => acked).join(" + ")} records acknowledged and found once`)
  } catch (error) {
    failed++
    print(`FAIL  ${runtime}: ${error instanceof Error ? error.message : String(error)}`)
    if (peer !== undefined) print(peer.log().slice(-2000))
  } finally {
    caller?.close()
    await peer?.kill()
    if (mounted.has(disk)) unmount(disk)
    removeDirectory(join(disk, ".."))
  }
}

for (const runtime of parseRuntimes(values.runtime)) await runOn(runtime)
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
