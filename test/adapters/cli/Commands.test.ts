/** The commands whole, on a terminal of the test's: with our broker, and with the one that OTTLA_TEST_BOOTSTRAP names. */
import { expect } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Ports } from "../../../adapters/cli/Command.ts"
import { command as consumer } from "../../../adapters/cli/ConsoleConsumer.ts"
import { command as producer } from "../../../adapters/cli/ConsoleProducer.ts"
import { command as groups } from "../../../adapters/cli/ConsumerGroups.ts"
import { command as topics } from "../../../adapters/cli/Topics.ts"
import { overBroker } from "../../client/TestBrokers.ts"
import { pieces, type Ran, run, runOn, screen } from "./Screen.ts"

overBroker("commands", (test) => {
  test("the quick start: create, describe, two lines in, two lines out", (broker) =>
    Effect.gen(function*() {
      const topic = broker.name("quickstart-events")
      expect(yield* run(broker, topics, `--create --topic ${topic}`)).toEqual({ code: 0, out: `Created topic ${topic}.\n`, err: "" })
      const { out: described } = yield* run(broker, topics, `--describe --topic ${topic}`)
      expect(described).toMatch(new RegExp(
        `^Topic: ${topic}\tTopicId: [A-Za-z0-9_-]{22}\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: .*\n` +
          `\tTopic: ${topic}\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n$`
      ))
      const lines = "This is my first event\nThis is my second event\n"
      expect(yield* run(broker, producer, `--topic ${topic} --timeout 0`, lines)).toEqual({ code: 0, out: "", err: "" })
      expect(yield* run(broker, consumer, `--topic ${topic} --from-beginning --max-messages 2`)).toEqual({
        code: 0,
        out: lines,
        err: "Processed a total of 2 messages\n"
      })
    }))

  test("topics are listed, altered and deleted, and what cannot be done is said in Kafka's words", (broker) =>
    Effect.gen(function*() {
      const topic = broker.name("commanded")
      const failure = (message: string): Ran => ({ code: 1, out: `Error while executing topic command : ${message}\n`, err: "" })
      yield* run(broker, topics, `--create --topic ${topic} --partitions 2 --config retention.ms=1000`)
      expect(yield* run(broker, topics, `--create --topic ${topic}`)).toEqual(failure(`Topic '${topic}' already exists.`))
      expect(yield* run(broker, topics, `--create --if-not-exists --topic ${topic}`)).toEqual({ code: 0, out: "", err: "" })
      expect(yield* run(broker, topics, `--create --topic x-${topic} --config foo=1`)).toEqual(failure("Unknown topic config name: foo"))
      expect((yield* run(broker, topics, `--list --topic .*${topic}`)).out).toBe(`${topic}\n`)
      expect(yield* run(broker, topics, `--alter --topic ${topic} --partitions 3`)).toEqual({ code: 0, out: "", err: "" })
      const { out } = yield* run(broker, topics, `--describe --topic ${topic}`)
      expect(out).toContain("PartitionCount: 3")
      expect(out).toContain("retention.ms=1000")
      expect(yield* run(broker, topics, `--delete --topic ${topic}`)).toEqual({ code: 0, out: "", err: "" })
      const missing = failure(`Topic '${topic}' does not exist as expected`)
      expect(yield* run(broker, topics, `--describe --topic ${topic}`)).toEqual(missing)
      expect(yield* run(broker, topics, `--delete --topic ${topic}`)).toEqual(missing)
      expect(yield* run(broker, topics, `--delete --if-exists --topic ${topic}`)).toEqual({ code: 0, out: "", err: "" })
    }))

  test("keys, headers and nulls go in and come out", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("parsed")
      const reader = ["parse.key=true", "parse.headers=true", "null.marker=NULL"].map((one) => `--reader-property ${one}`).join(" ")
      const lines = "h1:v1,h2:v2\tk1\tv1\nh3:NULL\tNULL\tNULL\nNULL\tk\tv\n"
      expect((yield* run(broker, producer, `--topic ${topic} --compression-codec zstd ${reader}`, lines)).code).toBe(0)
      const formatter = ["key", "headers", "offset"].map((one) => `--formatter-property print.${one}=true`).join(" ")
      expect((yield* run(broker, consumer, `--topic ${topic} --partition 0 --offset earliest --max-messages 3 ${formatter}`)).out).toBe(
        "Offset:0\th1:v1,h2:v2\tk1\tv1\nOffset:1\th3:null\tnull\tnull\nOffset:2\tNO_HEADERS\tk\tv\n"
      )
      const wrong = yield* run(broker, producer, `--topic ${topic} --reader-property parse.key=true`, "good\tline\nwrong line\nnever\tsent\n")
      expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining("No key separator found on line number 2: 'wrong line'")])
      yield* run(broker, producer, `--topic ${topic} --timeout 0`, "after it\n")
      expect((yield* run(broker, consumer, `--topic ${topic} --partition 0 --offset 3 --max-messages 2`)).out).toBe("line\nafter it\n")
    }))

  test("an input much larger than the producer's memory arrives whole and in order", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("pressed")
      const line = `${"x".repeat(1000)}\n`
      const memory = 64 * 1024
      async function* input(): AsyncGenerator<Uint8Array> {
        for (let count = 0; count < 2000; count++) yield new TextEncoder().encode(line)
      }
      const flags = ["--topic", topic, "--timeout", "0", "--max-memory-bytes", String(memory), "--batch-size", "16384"]
      const { code } = yield* runOn(broker, producer, flags, screen(input()))
      expect(code).toBe(0)
      const { out } = yield* run(broker, consumer, `--topic ${topic} --from-beginning --max-messages 2000 --partition 0`)
      expect(out).toBe(line.repeat(2000))
    }))

  test("--sync sends one by one; a record that is not acknowledged makes the exit code 1", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("refused", { configs: { "max.message.bytes": "100" } })
      expect((yield* run(broker, producer, `--topic ${topic} --sync --timeout 3600000`, "a\nb\n")).code).toBe(0)
      const big = "y".repeat(500)
      const refused = yield* run(broker, producer, `--topic ${topic} --timeout 0`, `${big}\n`)
      expect(refused.code).toBe(1)
      expect(refused.err).toMatch(new RegExp(`Error when sending message to topic ${topic} with key: null, value: 500 bytes with error: .+\n1 records were not acknowledged\n`))
      expect((yield* run(broker, producer, `--topic ${topic} --sync --timeout 3600000`, `${big}\nnever\n`)).code).toBe(1)
      yield* run(broker, producer, `--topic ${topic} --timeout 0`, "c\n")
      expect((yield* run(broker, consumer, `--topic ${topic} --partition 0 --offset earliest --max-messages 3`)).out).toBe("a\nb\nc\n")
    }))

  test("a group goes on where it stopped printing, not where it stopped reading", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("continued")
      const group = broker.name("printers")
      yield* run(broker, producer, `--topic ${topic} --timeout 0`, "1\n2\n3\n4\n5\n")
      const line = `--topic ${topic} --from-beginning --group ${group} --max-messages`
      expect((yield* run(broker, consumer, `${line} 2`)).out).toBe("1\n2\n")
      expect((yield* run(broker, consumer, `${line} 3`)).out).toBe("3\n4\n5\n")
      const { err, out } = yield* run(broker, groups, `--describe --group ${group}`)
      expect(out.split("\n")[2]).toMatch(new RegExp(`^${group} +${topic} +0 +5 +5 +0 +- +- +-$`))
      expect(err).toBe(`\nConsumer group '${group}' has no active members.\n`)
    }))

  test("a consumer ends when it is interrupted, nothing comes or nobody reads, and tells how many it printed", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("ended")
      yield* run(broker, producer, `--topic ${topic} --timeout 0`, "1\n2\n3\n")
      const printed = yield* Deferred.make<void>()
      const waiting = screen(pieces(""), (out) => {
        if (out === "1\n2\n3\n") Deferred.doneUnsafe(printed, Effect.void)
        return true
      })
      const context = yield* Effect.context<Ports>()
      const fiber = yield* Effect.forkChild(Effect.provideContext(
        runOn(broker, consumer, ["--topic", topic, "--from-beginning"], waiting),
        context
      ))
      yield* Deferred.await(printed)
      yield* Fiber.interrupt(fiber)
      expect(waiting.told()).toBe("Processed a total of 3 messages\n")

      const empty = yield* broker.createTopic("empty")
      expect(yield* run(broker, consumer, `--topic ${empty} --partition 0 --from-beginning --timeout-ms 50`)).toEqual({
        code: 0,
        out: "",
        err: "Processed a total of 0 messages\n"
      })

      const gone = screen(pieces(""), () => false)
      yield* runOn(broker, consumer, ["--topic", topic, "--partition", "0", "--offset", "earliest"], gone)
      expect(gone.told()).toBe("Unable to write to standard out, closing consumer.\nProcessed a total of 3 messages\n")
    }))

  test("offsets are shown, reset, deleted; groups are deleted", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("reset", { partitions: 2 })
      const group = broker.name("reset-group")
      yield* run(broker, producer, `--topic ${topic} --timeout 0 --reader-property parse.key=true`, "a\t1\nb\t2\nc\t3\nd\t4\n")
      const reset = `--reset-offsets --group ${group} --topic ${topic}`
      const shown = yield* run(broker, groups, `${reset} --to-latest`)
      expect(shown.err).toContain("WARN: No action will be performed as the --execute option is missing")
      expect((yield* run(broker, groups, "--list")).out.split("\n")).not.toContain(group)
      const done = yield* run(broker, groups, `${reset} --to-latest --execute`)
      expect([done.code, done.out]).toEqual([0, shown.out])
      expect((yield* run(broker, groups, "--list")).out.split("\n")).toContain(group)
      const back = yield* run(broker, groups, `${reset} --shift-by -100 --execute --export`)
      expect(back.out.split("\n").sort()).toEqual(["", "", `${topic},0,0`, `${topic},1,0`])
      expect(back.err).toContain("is lower than earliest offset for topic partition")
      const missing = yield* run(broker, groups, `--reset-offsets --group ${group} --topic ${topic}:9 --to-earliest --dry-run`)
      expect([missing.code, missing.out]).toEqual([
        1,
        `\nError: Executing consumer group command failed due to The partitions "${topic}-9" do not exist\n`
      ])
      const deleted = yield* run(broker, groups, `--delete-offsets --group ${group} --topic ${topic}:1`)
      expect([deleted.code, deleted.out.split("\n")[0]]).toEqual([0, `Request succeeded for deleting offsets from group ${group}.`])
      expect((yield* run(broker, groups, `--describe --group ${group}`)).out.trim().split("\n")).toHaveLength(2)
      expect(yield* run(broker, groups, `--delete --group ${group}`)).toEqual({
        code: 0,
        out: `Deletion of requested consumer groups ('${group}') was successful.\n`,
        err: ""
      })
      const again = yield* run(broker, groups, `--delete --group ${group}`)
      expect([again.code, again.out]).toEqual([1, expect.stringContaining(`* Group '${group}' could not be deleted due to: org.apache.kafka.common.errors.GroupIdNotFoundException:`)])
    }))

  test("a wrong command line is refused with what would be right, help and version are given", (broker) =>
    Effect.gen(function*() {
      const wrong = yield* run(broker, topics, "--lst")
      expect([wrong.code, wrong.out]).toEqual([1, ""])
      expect(wrong.err).toMatch(/^lst is not a recognized option\nknown flags: .*--list.*\nottla topics --help shows what there is\n$/)
      for (const command of [topics, producer, consumer, groups]) {
        const help = yield* run(broker, command, "--help")
        expect([help.code, help.err]).toEqual([0, ""])
        expect(help.out).toContain(`usage: ottla ${command.name} `)
        expect((yield* run(broker, command, "--version")).out).toMatch(/^\d+\.\d+\.\d+\n$/)
      }
    }))
})
