/**
 * The same command lines to Kafka's tools and to ours, with the same broker: what they print on standard output must be
 * the same to the byte. Exit codes are compared where Kafka's tell a failure; its consumer-groups gives 0 for some.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { kafkaTool } from "../../scripts/peers/Kafka.ts"
import { eachAtOnce, PeerError, temporaryDirectory, waitFor } from "../../scripts/peers/Processes.ts"
import { type Check, same } from "./Check.ts"
import type { Shell } from "./Shell.ts"

/** Kafka's tools that run at a time: each keeps a core busy. */
const TOOLS_AT_ONCE = 2

type Tool = "kafka-topics" | "kafka-console-producer" | "kafka-console-consumer" | "kafka-consumer-groups"

const everyProperty = ["timestamp", "partition", "offset", "headers", "key", "delivery", "epoch"]
  .flatMap((name) => ["--formatter-property", `print.${name}=true`])
const words = (line: string): ReadonlyArray<string> => line.split(" ")

/** Command lines that change nothing, after `prepare`. `{plan}` is a file of offsets. */
const unchanging: ReadonlyArray<readonly [Tool, ReadonlyArray<string>]> = [
  ["kafka-topics", words("--list")],
  ["kafka-topics", words("--list --exclude-internal")],
  ["kafka-topics", words("--list --topic comp.*,none")],
  ["kafka-topics", words("--describe")],
  ["kafka-topics", words("--describe --topic compared")],
  ["kafka-topics", words("--describe --topic none")],
  ["kafka-topics", words("--describe --topic none --if-exists")],
  ["kafka-topics", words("--describe --topics-with-overrides --exclude-internal")],
  ["kafka-topics", words("--describe --under-replicated-partitions")],
  ["kafka-topics", words("--describe --at-min-isr-partitions --topic compared")],
  ["kafka-topics", words("--create --topic compared")],
  ["kafka-topics", words("--create --topic compared --if-not-exists")],
  ["kafka-topics", words("--create --topic other --config foo=1")],
  ["kafka-topics", words("--create --topic other --config foo")],
  ["kafka-topics", words("--create --topic other --partitions 0")],
  ["kafka-topics", words("--create --topic other --replication-factor 0")],
  ["kafka-topics", ["--create", "--topic", "bad name"]],
  ["kafka-topics", words("--create --topic other --replica-assignment 1:1")],
  ["kafka-topics", words("--alter --topic compared --partitions 1")],
  ["kafka-topics", words("--alter --topic none --partitions 5")],
  ["kafka-topics", words("--delete --topic none")],
  ["kafka-topics", words("--delete --topic none --if-exists")],
  ["kafka-console-consumer", words("--topic compared --partition 0 --from-beginning --max-messages 4")],
  ["kafka-console-consumer", [...words("--topic compared --partition 0 --from-beginning --max-messages 4"), ...everyProperty]],
  ["kafka-console-consumer", words("--topic compared --partition 0 --offset 2 --max-messages 2 --formatter-property print.value=false --formatter-property print.offset=true --formatter-property key.separator=| --formatter-property line.separator=;")],
  ["kafka-console-consumer", words("--topic numbers --partition 0 --offset earliest --max-messages 2 --value-deserializer org.apache.kafka.common.serialization.LongDeserializer")],
  ["kafka-console-consumer", words("--topic numbers --partition 0 --offset earliest --max-messages 2 --value-deserializer org.apache.kafka.common.serialization.DoubleDeserializer")],
  ["kafka-consumer-groups", words("--list")],
  ["kafka-consumer-groups", words("--list --state --type")],
  ["kafka-consumer-groups", words("--list --state stable")],
  ["kafka-consumer-groups", words("--describe --group readers")],
  ["kafka-consumer-groups", words("--describe --group readers --offsets --verbose")],
  ["kafka-consumer-groups", words("--describe --group readers --members")],
  ["kafka-consumer-groups", words("--describe --group none")],
  ["kafka-consumer-groups", words("--describe --all-groups")],
  ["kafka-consumer-groups", words("--describe --all-groups --members --verbose")],
  ["kafka-consumer-groups", words("--describe --all-groups --state --verbose")],
  ["kafka-consumer-groups", words("--describe --group members --state")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --all-topics --to-earliest --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --to-latest --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --group others --topic compared --topic numbers:0 --to-latest --dry-run --export")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared:0 --to-offset 1 --dry-run --export")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --to-offset 1000 --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --shift-by -1 --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --to-current --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --to-datetime 2020-01-01T00:00:00.000 --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --to-datetime 2099-01-01T00:00:00.000+01:00 --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --to-datetime yesterday --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared --by-duration P1DT2H --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --from-file {plan} --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic compared:99 --to-earliest --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group readers --topic none --to-earliest --dry-run")],
  ["kafka-consumer-groups", words("--reset-offsets --group members --topic compared --to-earliest --dry-run")],
  ["kafka-consumer-groups", words("--delete --group members --group none")],
  ["kafka-consumer-groups", words("--delete-offsets --group members --topic compared:0")],
  ["kafka-consumer-groups", words("--delete-offsets --group none --topic compared:0")],
  ["kafka-consumer-groups", words("--validate-regex a.*")]
]

/** Bytes that are two longs, or the doubles 100.0 and 2.43…E11. */
const numbers = "@Y\u0000\u0000\u0000\u0000\u0000\u0000\nBLLLLLLL\n"

/** Topics with records, a group with offsets. By our own tools. */
const prepare = async (shell: Shell, servers: ReadonlyArray<string>): Promise<void> => {
  const steps: ReadonlyArray<readonly [line: ReadonlyArray<string>, input?: string]> = [
    [words("topics --create --topic compared --partitions 3 --config retention.ms=86400000 --config segment.bytes=2000000")],
    [words("topics --create --topic compared-too --partitions 12")],
    [words("topics --create --topic numbers")],
    [
      words("console-producer --topic compared --reader-property parse.key=true --reader-property parse.headers=true --reader-property null.marker=NULL"),
      Array.from({ length: 20 }, (_, index) => `h:${index},i:NULL\tkey-${index}\tvalue ${index}\nNULL\tkey-${index}\tNULL\n`).join("")
    ],
    [words("console-producer --topic numbers"), numbers],
    [words("console-consumer --topic compared --from-beginning --group readers --max-messages 25")]
  ]
  for (const [line, input] of steps) {
    const { code, stderr, stdout } = await shell.run([...line, ...servers], input)
    if (code !== 0) throw new PeerError(`ottla ${line.join(" ")}: exit code ${code}\n${stdout}${stderr}`)
  }
}

const key = (tool: Tool, line: ReadonlyArray<string>): string => `${tool} ${line.join(" ")}`

/** A group with two members while `act` runs, one of them static. */
const withMembers = (shell: Shell, servers: ReadonlyArray<string>, act: () => Promise<void>): Promise<unknown> => {
  const member = [...words("console-consumer --topic compared-too --group members"), ...servers]
  return shell.during(member, () =>
    shell.during([...member, ...words("--command-property group.instance.id=static --command-property client.id=other")], async () => {
      await waitFor("a group with two members", 30_000, async () => {
        const { stdout } = await shell.run(["consumer-groups", "--describe", "--group", "members", "--state", ...servers])
        return /Stable +2\n/.test(stdout) ? true : undefined
      })
      await act()
    }).then(() => undefined))
}

/**
 * Prepares the broker and compares, on each runtime.
 * @param told what was found of each check, as it is found
 */
export const compare = async (
  shells: ReadonlyArray<Shell>,
  bootstrap: string,
  told: (shell: Shell, check: Check) => Promise<void>
): Promise<void> => {
  const [first] = shells
  if (first === undefined) throw new PeerError("no runtime to compare on")
  const servers = ["--bootstrap-server", bootstrap]
  const plan = join(temporaryDirectory("plan"), "plan.csv")
  writeFileSync(plan, "compared,0,1\ncompared-too,11,99\n")
  await prepare(first, servers)
  await withMembers(first, servers, async () => {
    // Kafka's answers are asked for once, for all runtimes
    const expected = new Map<string, { readonly stdout: string; readonly code: number }>()
    await eachAtOnce(TOOLS_AT_ONCE, unchanging, async ([tool, template]) => {
      const line = template.map((word) => word.replace("{plan}", plan))
      expected.set(key(tool, template), await kafkaTool(tool, [...line, ...servers]))
    })
    // the command lines change nothing, so that no runtime is in another's way
    await eachAtOnce(shells.length, shells, async (shell) => {
      for (const [tool, template] of unchanging) {
        const line = template.map((word) => word.replace("{plan}", plan))
        await told(shell, {
          name: key(tool, template),
          run: async () => {
            const ours = await shell.run([tool, ...line, ...servers])
            const kafkas = expected.get(key(tool, template))!
            same("standard output", ours.stdout, kafkas.stdout)
            if (kafkas.code !== 0) same("exit code", ours.code, kafkas.code)
          }
        })
      }
    })
  })
}
