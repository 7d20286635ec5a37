/** Files: ours read by Kafka's dump tool, Kafka's served by us. These stop and restart the broker: they come last. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { kafkaTool, startKafka } from "../../scripts/peers/Kafka.ts"
import { kcat } from "../../scripts/peers/Kcat.ts"
import type { Peer } from "../../scripts/peers/Processes.ts"
import { type Check, expect, expectEqual, expectSays } from "./Check.ts"
import { readTopic, sendLines } from "./KcatChecks.ts"
import { digestOf } from "./Text.ts"

/** Batches and records that kafka-dump-log sees in a partition's directory, and what it complains about. */
const dump = async (directory: string): Promise<{ readonly batches: number; readonly records: number }> => {
  const names = readdirSync(directory).filter((name) => /\.(log|index|timeindex|snapshot|txnindex)$/.test(name)).sort()
  expect(names.some((name) => name.endsWith(".log")), `no segment in ${directory}`)
  const result = await kafkaTool("kafka-dump-log", [
    "--deep-iteration", "--print-data-log", "--files", names.map((name) => join(directory, name)).join(",")
  ], { timeoutMs: 300_000, heap: "512m", outputFile: join(directory, "dump.txt") })
  const text = readFileSync(join(directory, "dump.txt"), "utf8")
  rmSync(join(directory, "dump.txt"))
  expect(result.code === 0, `kafka-dump-log: ${result.stderr.slice(0, 2000)}`)
  for (const complaint of [/isvalid: false/, /Mismatches in/, /not indexed|Index timestamp of/, /Found (invalid|corrupt)/i, /Exception/]) {
    const found = complaint.exec(text + result.stderr)
    expect(found === null, `kafka-dump-log complains: ${text.slice(Math.max(0, (found?.index ?? 0) - 200), (found?.index ?? 0) + 400)}`)
  }
  return { batches: (text.match(/^baseOffset: /gm) ?? []).length, records: (text.match(/^\| offset: /gm) ?? []).length }
}

const dumpOurs: Check = {
  name: "kafka-dump-log reads the files, and a restart serves the same",
  run: async (context) => {
    const topic = "kcat-zstd"
    const segmented = "segmented"
    const made = await kafkaTool("kafka-topics", [
      "--bootstrap-server", context.peer.bootstrap, "--create", "--topic", segmented, "--config", "segment.bytes=1048576", "--config", "index.interval.bytes=512"
    ])
    expectSays(made, /Created/, "create a topic of small segments")
    await sendLines(context.peer, segmented, context.textFile)
    const directory = context.peer.dataDirectory
    const code = await context.peer.stop()
    expect(code === 0 || code === 143, `the broker ended with ${code} on SIGTERM`)
    expectEqual((await dump(join(directory, `${topic}-0`))).records, context.lines, "records in the dump")
    const { records } = await dump(join(directory, `${segmented}-0`))
    expectEqual(records, context.lines, "records in the dump of many segments")
    const segments = readdirSync(join(directory, `${segmented}-0`)).filter((name) => name.endsWith(".log")).length
    expect(segments > 1, `${segments} segment`)
    context.peer = await context.startOn(directory)
    for (const name of [topic, segmented]) {
      const back = join(context.directory, "restarted.txt")
      await readTopic(context.peer, name, back)
      expectEqual(await digestOf(back), context.textDigest, `digest of ${name} after a restart`)
    }
  }
}

const byName = (a: Fields, b: Fields): number => a["name"] < b["name"] ? -1 : 1

const topicsOf = async (peer: Peer, names: ReadonlyArray<string>): Promise<ReadonlyArray<unknown>> => {
  const caller = await Caller.connect(peer.host, peer.port)
  try {
    const metadata = await caller.ask("Metadata", 12, {
      topics: names.map((name) => ({ topicId: "AAAAAAAAAAAAAAAAAAAAAA", name })), allowAutoTopicCreation: false, includeTopicAuthorizedOperations: false
    })
    const configs = await caller.ask("DescribeConfigs", 4, {
      resources: names.map((resourceName) => ({ resourceType: 2, resourceName, configurationKeys: null })), includeSynonyms: false, includeDocumentation: false
    })
    return [
      (metadata["topics"] as Array<Fields>).toSorted(byName).map((t) => ({ name: t["name"], id: t["topicId"], partitions: t["partitions"].length })),
      (configs["results"] as Array<Fields>).map((r) => ({
        name: r["resourceName"],
        configs: (r["configs"] as Array<Fields>).filter((c) => c["configSource"] === 1).map((c) => `${c["name"]}=${c["value"]}`).sort()
      })).toSorted(byName)
    ]
  } finally {
    caller.close()
  }
}

/** What Kafka left: made once, copied for each runtime. */
interface Left {
  readonly directory: string
  readonly topics: ReadonlyArray<unknown>
}
const leftNames = ["left-text", "left-compact"]
let left: Promise<Left> | undefined

const leave = async (textFile: string): Promise<Left> => {
  const kafka = await startKafka()
  const topics = (...args: ReadonlyArray<string>) => kafkaTool("kafka-topics", ["--bootstrap-server", kafka.bootstrap, ...args])
  expectSays(await topics("--create", "--topic", "left-text", "--partitions", "1", "--config", "segment.bytes=1048576"), /Created/, "create")
  expectSays(await topics("--create", "--topic", "left-compact", "--partitions", "2", "--config", "cleanup.policy=compact", "--config", "min.compaction.lag.ms=5"), /Created/, "create")
  expectSays(await topics("--create", "--topic", "left-gone"), /Created/, "create")
  await sendLines(kafka, "left-text", textFile, "snappy", ["-X", "enable.idempotence=true"])
  expectSays(await kcat(["-P", "-b", kafka.bootstrap, "-t", "left-compact", "-p", "1", "-K", ":"], { input: "a:1\nb:2\na:3\n" }), /^/, "keyed records")
  expectSays(await topics("--delete", "--topic", "left-gone"), /^/, "delete")
  const described = await topicsOf(kafka, leftNames)
  await kafka.stop()
  expect(existsSync(join(kafka.dataDirectory, "meta.properties")), "Kafka left no meta.properties")
  return { directory: kafka.dataDirectory, topics: described }
}

const serveKafkas: Check = {
  name: "a data directory that Kafka left is served: ids, configurations, records",
  run: async (context) => {
    const before = await (left ??= leave(context.textFile))
    const copy = join(context.directory, "left")
    cpSync(before.directory, copy, { recursive: true })
    const ours = await context.startOn(copy)
    try {
      expectEqual(await topicsOf(ours, leftNames), before.topics, "topics, ids and configurations")
      const back = join(context.directory, "left.txt")
      await readTopic(ours, "left-text", back)
      expectEqual(await digestOf(back), context.textDigest, "digest of the records")
      const keyed = await kcat(["-C", "-b", ours.bootstrap, "-t", "left-compact", "-p", "1", "-o", "beginning", "-e", "-q", "-K", ":"])
      expectEqual(keyed.stdout, "a:1\nb:2\na:3\n", "keyed records")
      const gone = await kcat(["-L", "-J", "-b", ours.bootstrap])
      expect(!/"left-gone"/.test(gone.stdout), "left-gone is back")
      expectSays(await kcat(["-P", "-b", ours.bootstrap, "-t", "left-compact", "-p", "1", "-K", ":"], { input: "c:4\n" }), /^/, "a record more")
      const more = await kcat(["-C", "-b", ours.bootstrap, "-t", "left-compact", "-p", "1", "-o", "3", "-e", "-q", "-f", "%o %k %s\\n"])
      expectEqual(more.stdout, "3 c 4\n", "the record behind Kafka's")
    } finally {
      await ours.stop()
    }
    const again = await context.startOn(copy)
    try {
      expectEqual(await topicsOf(again, leftNames), before.topics, "topics after one more restart")
    } finally {
      await again.stop()
    }
  }
}

export const fileChecks: ReadonlyArray<Check> = [dumpOurs, serveKafkas]
