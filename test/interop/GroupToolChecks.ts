/** Groups with kcat and with Apache Kafka's command-line tools; the tools also read `__consumer_offsets`, its records and its files. */
import { cpSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { kafkaTool } from "../../scripts/peers/Kafka.ts"
import { kcat } from "../../scripts/peers/Kcat.ts"
import type { Peer, RunResult } from "../../scripts/peers/Processes.ts"
import { type Check, expect, expectEqual, expectSays } from "./Check.ts"
import { digestOf, writeLines } from "./Text.ts"

const groupsTool = (peer: Peer, ...args: ReadonlyArray<string>): Promise<RunResult> =>
  kafkaTool("kafka-consumer-groups", ["--bootstrap-server", peer.bootstrap, ...args])

const createTopic = async (peer: Peer, topic: string, partitions: number): Promise<void> => {
  const made = await kafkaTool("kafka-topics", ["--bootstrap-server", peer.bootstrap, "--create", "--topic", topic, "--partitions", `${partitions}`])
  expectSays(made, /Created topic/, `create ${topic}`)
}

/** Rows of `--describe` as `topic partition current end lag`, sorted. */
const offsetRows = (described: RunResult): ReadonlyArray<string> =>
  described.stdout.split("\n").map((line) => line.trim().split(/\s+/)).filter((cells) => /^\d+$/.test(cells[2] ?? ""))
    .map((cells) => cells.slice(1, 6).join(" ")).sort()

/** `kcat -G` does not exit at the end of partitions that it gets later: it is told how many to read. */
const kcatGroup = (peer: Peer, group: string, topic: string, count: number): Promise<RunResult> =>
  kcat(["-b", peer.bootstrap, "-G", group, "-c", `${count}`, "-q", "-X", "auto.offset.reset=earliest", topic], { timeoutMs: 60_000 })

const kcatGroups: Check = {
  name: "kcat -G reads as a group and goes on where it stopped",
  run: async ({ peer }) => {
    await createTopic(peer, "grp-kcat", 3)
    const lines = Array.from({ length: 300 }, (_, i) => `line ${i}`)
    expectSays(await kcat(["-P", "-b", peer.bootstrap, "-t", "grp-kcat"], { input: `${lines.join("\n")}\n` }), /^/, "kcat sends")
    const first = await kcatGroup(peer, "kcat-group", "grp-kcat", 300)
    expectSays(first, /line 0/, "the first read")
    expectEqual(first.stdout.trim().split("\n").sort(), lines.toSorted(), "all lines")
    expectSays(await kcat(["-P", "-b", peer.bootstrap, "-t", "grp-kcat"], { input: "one more\n" }), /^/, "kcat sends one more")
    const next = await kcatGroup(peer, "kcat-group", "grp-kcat", 1)
    expectEqual(next.stdout, "one more\n", "what a second member reads")
  }
}

const consoleGroup: Check = {
  name: "kafka-console-consumer --group reads, kafka-consumer-groups lists, describes, resets and deletes",
  run: async ({ directory, peer }) => {
    const [file, back] = [join(directory, "group.txt"), join(directory, "group-back.txt")]
    await writeLines(file, 900, 3)
    await createTopic(peer, "grp-console", 1)
    expectSays(await kcat(["-P", "-b", peer.bootstrap, "-t", "grp-console", "-p", "0", "-l", file]), /^/, "kcat sends")
    const read = await kafkaTool("kafka-console-consumer", [
      "--bootstrap-server", peer.bootstrap, "--topic", "grp-console", "--group", "console-group", "--from-beginning", "--max-messages", "900", "--timeout-ms", "30000"
    ], { outputFile: back })
    expectSays(read, /^/, "console consumer")
    expectEqual(await digestOf(back), await digestOf(file), "digest of the lines")
    const list = await groupsTool(peer, "--list")
    expect(list.stdout.split("\n").includes("console-group"), `--list: ${list.stdout}${list.stderr}`)
    expectEqual(offsetRows(await groupsTool(peer, "--describe", "--group", "console-group")), ["grp-console 0 900 900 0"], "--describe")
    expectSays(await groupsTool(peer, "--describe", "--group", "console-group", "--state"), /console-group\s.*Empty\s+0/, "--state")
    const members = await groupsTool(peer, "--describe", "--group", "console-group", "--members")
    expect(/has no active members/.test(members.stdout + members.stderr), `--members: ${members.stdout}${members.stderr}`)
    const reset = (...args: ReadonlyArray<string>): Promise<RunResult> =>
      groupsTool(peer, "--group", "console-group", "--topic", "grp-console", "--reset-offsets", ...args)
    expectSays(await reset("--to-earliest", "--dry-run"), /console-group\s+grp-console\s+0\s+0/, "--dry-run")
    expectEqual(offsetRows(await groupsTool(peer, "--describe", "--group", "console-group")), ["grp-console 0 900 900 0"], "after --dry-run")
    expectSays(await reset("--shift-by", "-250", "--execute"), /console-group\s+grp-console\s+0\s+650/, "--execute")
    expectEqual(offsetRows(await groupsTool(peer, "--describe", "--group", "console-group")), ["grp-console 0 650 900 250"], "after --execute")
    const gone = await groupsTool(peer, "--delete-offsets", "--group", "console-group", "--topic", "grp-console")
    expectSays(gone, /grp-console\s+0\s+Successful/, "--delete-offsets")
    expectSays(await groupsTool(peer, "--delete", "--group", "console-group"), /Deletion of requested consumer groups \('console-group'\) was successful/, "--delete")
    const after = await groupsTool(peer, "--list")
    expect(!after.stdout.split("\n").includes("console-group"), `--list after --delete: ${after.stdout}`)
    const unknown = await groupsTool(peer, "--describe", "--group", "no-such-group")
    expect(/does not exist|not found/.test(unknown.stdout + unknown.stderr), `a group that is not there: ${unknown.stdout}${unknown.stderr}`)
  }
}

const offsetsTopic = "__consumer_offsets"
const OFFSETS_PARTITIONS = 50
/** Of ListOffsets. */
const [LATEST, EARLIEST] = [-1, -2]

/** Records in all partitions of the topic. */
const recordsOfOffsets = async (peer: Peer): Promise<number> => {
  const caller = await Caller.connect(peer.host, peer.port)
  try {
    const at = async (timestamp: number): Promise<number> => {
      const partitions = Array.from({ length: OFFSETS_PARTITIONS }, (_, partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp }))
      const answer = await caller.ask("ListOffsets", 6, { replicaId: -1, isolationLevel: 0, topics: [{ name: offsetsTopic, partitions }] })
      const found = (answer["topics"] as ReadonlyArray<Fields>)[0]!["partitions"] as ReadonlyArray<Fields>
      return found.reduce((sum, one) => sum + Number(one["offset"]), 0)
    }
    return await at(LATEST) - await at(EARLIEST)
  } finally {
    caller.close()
  }
}

/** Alone with its broker: it reads as many records as there are. */
export const formatterCheck: Check = {
  name: "kafka-console-consumer reads __consumer_offsets with its formatters",
  run: async ({ peer }) => {
    await createTopic(peer, "grp-formatted", 1)
    expectSays(await kcat(["-P", "-b", peer.bootstrap, "-t", "grp-formatted", "-p", "0"], { input: "a\nb\nc\n" }), /^/, "kcat sends")
    expectEqual((await kcatGroup(peer, "formatted-group", "grp-formatted", 3)).stdout, "a\nb\nc\n", "kcat reads")
    const count = await recordsOfOffsets(peer)
    const format = async (name: string): Promise<string> => {
      const result = await kafkaTool("kafka-console-consumer", [
        "--bootstrap-server", peer.bootstrap, "--topic", offsetsTopic, "--from-beginning", "--max-messages", `${count}`, "--timeout-ms", "20000",
        "--formatter", `org.apache.kafka.tools.consumer.${name}`
      ])
      expectSays(result, /^/, name)
      expect(result.stderr.includes(`Processed a total of ${count} messages`), `${name}: not ${count} records: ${result.stderr}`)
      return result.stdout
    }
    const offsets = await format("OffsetsMessageFormatter")
    expect(/"group":"formatted-group","topic":"grp-formatted","partition":0.*"offset":3/.test(offsets), `offsets: ${offsets.slice(-1500)}`)
    const metadata = await format("GroupMetadataMessageFormatter")
    expect(/"group":"formatted-group".*"protocolType":"consumer".*"generation":1.*"memberId":"rdkafka-/.test(metadata), `metadata: ${metadata.slice(-1500)}`)
  }
}

/** Alone with its broker: it copies the files of all groups. */
export const offsetsFileCheck: Check = {
  name: "kafka-dump-log --offsets-decoder reads the files of __consumer_offsets",
  run: async ({ directory, peer }) => {
    await createTopic(peer, "grp-dumped", 1)
    expectSays(await kcat(["-P", "-b", peer.bootstrap, "-t", "grp-dumped", "-p", "0"], { input: "a\nb\n" }), /^/, "kcat sends")
    expectEqual((await kcatGroup(peer, "dumped-group", "grp-dumped", 2)).stdout, "a\nb\n", "kcat reads")
    const copy = join(directory, "offsets")
    const files: Array<string> = []
    for (const name of readdirSync(peer.dataDirectory).filter((one) => one.startsWith(`${offsetsTopic}-`))) {
      cpSync(join(peer.dataDirectory, name), join(copy, name), { recursive: true })
      for (const file of readdirSync(join(copy, name))) if (file.endsWith(".log")) files.push(join(copy, name, file))
    }
    expectEqual(files.length, OFFSETS_PARTITIONS, `segments of ${offsetsTopic}`)
    const result = await kafkaTool("kafka-dump-log", ["--offsets-decoder", "--print-data-log", "--files", files.join(",")])
    expectSays(result, /"group":"dumped-group","topic":"grp-dumped","partition":0/, "a key")
    expect(/"offset":2/.test(result.stdout) && /"protocolType":"consumer"/.test(result.stdout), `values: ${result.stdout.slice(-2000)}`)
    expect(!/isvalid: false|Exception|Could not/i.test(result.stdout + result.stderr), `complaints: ${result.stdout.slice(-1000)}${result.stderr}`)
  }
}

export const groupToolChecks: ReadonlyArray<Check> = [kcatGroups, consoleGroup]
