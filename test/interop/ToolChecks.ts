/** Apache Kafka's own command-line tools against the broker. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { kafkaTool } from "../../scripts/peers/Kafka.ts"
import { type Check, expect, expectEqual, expectSays } from "./Check.ts"
import { digestOf, writeLines } from "./Text.ts"

const topicsTool: Check = {
  name: "kafka-topics creates, describes, grows, lists and deletes",
  run: async ({ peer }) => {
    const topics = (...args: ReadonlyArray<string>) => kafkaTool("kafka-topics", ["--bootstrap-server", peer.bootstrap, ...args])
    expectSays(await topics("--create", "--topic", "tools", "--partitions", "2", "--config", "retention.ms=3600000"), /Created topic tools\./, "create")
    expectSays(await topics("--alter", "--topic", "tools", "--partitions", "3"), /^/, "alter")
    const described = await topics("--describe", "--topic", "tools")
    expectSays(described, /Topic: tools\s+TopicId: \S{22}\s+PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention\.ms=3600000/, "describe")
    expect(/Partition: 2\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+/.test(described.stdout), `no third partition: ${described.stdout}`)
    expectSays(await topics("--create", "--topic", "tools-gone", "--partitions", "1"), /Created topic/, "create another")
    expectSays(await topics("--delete", "--topic", "tools-gone"), /^/, "delete")
    const list = (await topics("--list")).stdout.split("\n")
    expect(list.includes("tools") && !list.includes("tools-gone"), `list: ${list.join(" ")}`)
    const again = await topics("--create", "--topic", "tools")
    expect(again.code !== 0 && /already exists/.test(again.stdout + again.stderr), `creating twice: ${again.stdout}${again.stderr}`)
  }
}

const consoleTools: Check = {
  name: "kafka-console-producer sends, kafka-console-consumer --partition reads the same",
  run: async ({ directory, peer, short }) => {
    const [file, back] = [join(directory, "console.txt"), join(directory, "console-back.txt")]
    const lines = short ? 3000 : 100_000
    await writeLines(file, lines, 7)
    const created = await kafkaTool("kafka-topics", ["--bootstrap-server", peer.bootstrap, "--create", "--topic", "console", "--partitions", "1"])
    expectSays(created, /Created topic/, "create")
    const sent = await kafkaTool("kafka-console-producer", [
      "--bootstrap-server", peer.bootstrap, "--topic", "console", "--compression-codec", "zstd"
    ], { inputFile: file })
    expectSays(sent, /^/, "console producer")
    const read = await kafkaTool("kafka-console-consumer", [
      "--bootstrap-server", peer.bootstrap, "--topic", "console", "--partition", "0", "--offset", "earliest",
      "--max-messages", `${lines}`, "--timeout-ms", "30000"
    ], { outputFile: back })
    expectSays(read, /^/, "console consumer")
    expectEqual(await digestOf(back), await digestOf(file), "digest of the lines")
  }
}

const perfTest: Check = {
  name: "kafka-producer-perf-test sends, kafka-get-offsets counts",
  run: async ({ peer, short }) => {
    const count = short ? 20_000 : 1_000_000
    const sent = await kafkaTool("kafka-producer-perf-test", [
      "--topic", "tools", "--num-records", `${count}`, "--record-size", "100", "--throughput", "-1",
      "--producer-props", `bootstrap.servers=${peer.bootstrap}`, "acks=all", "enable.idempotence=true"
    ], { timeoutMs: 300_000 })
    expectSays(sent, new RegExp(`${count} records sent`), "perf test")
    const offsets = await kafkaTool("kafka-get-offsets", ["--bootstrap-server", peer.bootstrap, "--topic", "tools", "--time", "-1"])
    expectSays(offsets, /tools:0:\d+/, "get-offsets")
    const sum = offsets.stdout.trim().split("\n").reduce((total, line) => total + Number(line.split(":")[2]), 0)
    expectEqual(sum, count, "sum of the end offsets")
  }
}

const configsTool: Check = {
  name: "kafka-configs alters and describes topic and broker",
  run: async ({ peer }) => {
    const configs = (...args: ReadonlyArray<string>) => kafkaTool("kafka-configs", ["--bootstrap-server", peer.bootstrap, ...args])
    const topic = ["--entity-type", "topics", "--entity-name", "tools"]
    expectSays(await configs("--alter", ...topic, "--add-config", "max.message.bytes=2000000,cleanup.policy=[compact,delete]"), /Completed updating config for topic tools/, "alter")
    const described = await configs("--describe", ...topic)
    expectSays(described, /max\.message\.bytes=2000000/, "describe")
    expect(/cleanup\.policy=compact,delete/.test(described.stdout), `cleanup.policy: ${described.stdout}`)
    expectSays(await configs("--alter", ...topic, "--delete-config", "cleanup.policy"), /Completed/, "delete")
    const refused = await configs("--alter", ...topic, "--add-config", "retention.bytes=many")
    expect(refused.code !== 0 && /retention\.bytes/.test(refused.stdout + refused.stderr), `a wrong value: ${refused.stdout}${refused.stderr}`)
    expectSays(await configs("--describe", "--entity-type", "brokers", "--entity-name", "1", "--all"), /log\.segment\.bytes=/, "describe the broker")
  }
}

const deleteRecords: Check = {
  name: "kafka-delete-records moves the start, kafka-get-offsets shows it",
  run: async ({ directory, peer }) => {
    const file = join(directory, "delete.json")
    writeFileSync(file, JSON.stringify({ version: 1, partitions: [{ topic: "console", partition: 0, offset: 100 }] }))
    const deleted = await kafkaTool("kafka-delete-records", ["--bootstrap-server", peer.bootstrap, "--offset-json-file", file])
    expectSays(deleted, /partition: console-0\s+low_watermark: 100/, "delete-records")
    const start = await kafkaTool("kafka-get-offsets", ["--bootstrap-server", peer.bootstrap, "--topic", "console", "--time", "-2"])
    expectSays(start, /console:0:100/, "start offset")
  }
}

const logDirs: Check = {
  name: "kafka-log-dirs describes sizes, kafka-broker-api-versions lists APIs",
  run: async ({ peer }) => {
    const described = await kafkaTool("kafka-log-dirs", ["--bootstrap-server", peer.bootstrap, "--describe", "--topic-list", "console"])
    expectSays(described, /"partition":"console-0","size":[1-9]\d*/, "log-dirs")
    const versions = await kafkaTool("kafka-broker-api-versions", ["--bootstrap-server", peer.bootstrap])
    expectSays(versions, /Produce\(0\): 0 to 13/, "broker-api-versions")
  }
}

export const toolChecks: ReadonlyArray<Check> = [topicsTool, consoleTools, perfTest, configsTool, deleteRecords, logDirs]
