/**
 * The quick start of Apache Kafka (https://kafka.apache.org/quickstart), each command as it is typed there behind
 * `ottla `: a storage formatted, a broker started, a topic, two events in and out, and what else the commands do with
 * them. Left out is what needs Connect and Streams.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ottlaCommand } from "../../scripts/peers/Ottla.ts"
import { freePort, repository, serve, type Server, temporaryDirectory, waitFor } from "../../scripts/peers/Processes.ts"
import { type Check, holds, same } from "./Check.ts"
import type { Shell } from "./Shell.ts"

/** What Apache Kafka 4.3's own config/server.properties sets. */
const serverProperties = (port: number, controllerPort: number, logDirs: string): string => `
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:${controllerPort}
listeners=PLAINTEXT://:${port},CONTROLLER://:${controllerPort}
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:${port},CONTROLLER://localhost:${controllerPort}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=${logDirs}
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`

const EVENTS = "This is my first event\nThis is my second event\n"

/**
 * Its steps with a broker that runs.
 * @param configs what the broker says of a topic that has none of its own
 */
export const topicSteps = (shell: Shell, broker: { readonly bootstrap: string }, configs: string): ReadonlyArray<Check> => {
  const run: Shell["run"] = (line, input) => shell.run([...line, "--bootstrap-server", broker.bootstrap], input)
  const topic = ["--topic", "quickstart-events"]
  return [
    {
      name: "kafka-topics.sh --create",
      run: async () => {
        const created = await run(["bin/kafka-topics.sh", "--create", ...topic])
        same("standard output", created.stdout, "Created topic quickstart-events.\n")
        same("exit code", created.code, 0)
        const again = await run(["bin/kafka-topics.sh", "--create", ...topic])
        same("the second time", again.stdout, "Error while executing topic command : Topic 'quickstart-events' already exists.\n")
        same("the second exit code", again.code, 1)
      }
    },
    {
      name: "kafka-topics.sh --describe",
      run: async () => {
        const { code, stdout } = await run(["bin/kafka-topics.sh", "--describe", ...topic])
        const id = /TopicId: ([A-Za-z0-9_-]{22})\t/.exec(stdout)?.[1]
        same("standard output", stdout, `Topic: quickstart-events\tTopicId: ${id}\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: ${configs}\n` +
          "\tTopic: quickstart-events\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n")
        same("exit code", code, 0)
      }
    },
    {
      name: "kafka-console-producer.sh",
      run: async () => {
        const { code, stderr, stdout } = await run(["bin/kafka-console-producer.sh", ...topic], EVENTS)
        same("standard output", stdout, "")
        same("standard error", stderr, "")
        same("exit code", code, 0)
      }
    },
    {
      name: "kafka-console-consumer.sh --from-beginning, and Ctrl-C",
      run: async () => {
        const consumed = await shell.interrupt(
          ["bin/kafka-console-consumer.sh", ...topic, "--from-beginning", "--bootstrap-server", broker.bootstrap],
          (text) => text.length >= EVENTS.length
        )
        same("standard output", consumed.stdout, EVENTS)
        same("standard error", consumed.stderr, "Processed a total of 2 messages\n")
        same("exit code", consumed.code, 130)
      }
    },
    {
      name: "the same events again in another terminal",
      run: async () => {
        const consumed = await run(["bin/kafka-console-consumer.sh", ...topic, "--from-beginning", "--max-messages", "2"])
        same("standard output", consumed.stdout, EVENTS)
        same("exit code", consumed.code, 0)
      }
    },
    {
      name: "a file of 100,000 lines through a pipe, read by a group",
      run: async () => {
        const lines = Array.from({ length: 100_000 }, (_, index) => `event ${index}\n`).join("")
        const created = await run(["topics", "--create", "--topic", "quickstart-file"])
        same("creating it", created.code, 0)
        const produced = await run(["console-producer", "--topic", "quickstart-file"], lines)
        same("what the producer told", produced.stderr, "")
        const group = ["--group", "quickstart-group"]
        const consumed = await run(["console-consumer", "--topic", "quickstart-file", "--from-beginning", ...group, "--max-messages", "100000"])
        same("whether all lines came back", consumed.stdout === lines, true)
        const { stdout } = await run(["bin/kafka-consumer-groups.sh", "--describe", ...group])
        holds("the group", stdout, /^\nGROUP .*\nquickstart-group quickstart-file 0 {10}100000 {10}100000 {10}0 .*\n$/)
      }
    }
  ]
}

/** The quick start with our broker, from its storage to its end. */
export const quickStart = (shell: Shell): ReadonlyArray<Check> => {
  const home = temporaryDirectory("quickstart")
  const [logDirs, config] = [join(home, "kraft-combined-logs"), join(home, "config")]
  const file = join(config, "server.properties")
  const broker = { bootstrap: "" }
  let clusterId = ""
  let server: Server | undefined
  return [
    {
      name: "kafka-storage.sh random-uuid",
      run: async () => {
        const { code, stdout } = await shell.run(["bin/kafka-storage.sh", "random-uuid"])
        holds("the id", stdout, /^[A-Za-z0-9_][A-Za-z0-9_-]{21}\n$/)
        same("exit code", code, 0)
        clusterId = stdout.trimEnd()
      }
    },
    {
      name: "kafka-storage.sh format --standalone",
      run: async () => {
        const [port, controllerPort] = [await freePort(), await freePort()]
        broker.bootstrap = `localhost:${port}`
        mkdirSync(config)
        writeFileSync(file, serverProperties(port, controllerPort, logDirs))
        const { code, stdout } = await shell.run(["bin/kafka-storage.sh", "format", "--standalone", "-t", clusterId, "-c", file])
        same("standard output", stdout, `Formatting dynamic metadata voter directory ${logDirs} with metadata.version 4.3-IV0.\n`)
        same("exit code", code, 0)
      }
    },
    {
      name: "kafka-server-start.sh config/server.properties",
      run: async () => {
        const [program, ...args] = ottlaCommand(shell.runtime)
        const started = serve(program, [...args, "bin/kafka-server-start.sh", file], join(home, "broker.log"), {}, repository)
        server = started
        await waitFor("the broker", 30_000, () => started.log().includes("listening on") || !started.alive() ? true : undefined)
        holds("its log", started.log(), new RegExp(`cluster.id=${clusterId} `))
      }
    },
    // the file sets it, so it is not the default, which Kafka shows too
    ...topicSteps(shell, broker, "min.insync.replicas=1,segment.bytes=1073741824"),
    {
      name: "stopping the broker, deleting its data",
      run: async () => {
        same("exit code", await server?.stop(), 0)
        rmSync(logDirs, { recursive: true })
      }
    }
  ]
}
