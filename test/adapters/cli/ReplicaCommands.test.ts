/** `reassign-partitions` and `leader-election` whole: on one broker, ours and the one that OTTLA_TEST_BOOTSTRAP names. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { command as elect } from "../../../adapters/cli/LeaderElection.ts"
import { command as reassign } from "../../../adapters/cli/ReassignPartitions.ts"
import { overBroker } from "../../client/TestBrokers.ts"
import { run } from "./Screen.ts"

overBroker("commands about replicas", (test) => {
  test("move nothing where nothing is to be moved, and say so in Kafka's words", (broker) =>
    Effect.gen(function*() {
      const home = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "ottla-commands-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const topic = yield* broker.createTopic("moved", { partitions: 2 })
      const file = (name: string, content: unknown): string => {
        const path = join(home, name)
        writeFileSync(path, JSON.stringify(content))
        return path
      }
      const partitions = (replicas: ReadonlyArray<number>) => [0, 1].map((partition) => ({ topic, partition, replicas }))
      const same = file("same.json", { version: 1, partitions: partitions([1]) })
      const executed = yield* run(broker, reassign, `--execute --reassignment-json-file ${same}`)
      expect(executed.out).toMatch(new RegExp(
        `^Current partition replica assignment\n\n\\{"version":1,"partitions":\\[\\{"topic":"${topic}","partition":0,"replicas":\\[1\\],"log_dirs":\\["[^"]+"\\]\\}.*\n\n` +
          `Save this to use as the --reassignment-json-file option during rollback\n` +
          `Successfully started partition reassignments for ${topic}-0,${topic}-1\n$`
      ))
      expect([executed.code, executed.err]).toEqual([0, ""])
      // What it printed is the way back.
      const back = file("back.json", JSON.parse(executed.out.split("\n")[2]!))
      expect((yield* run(broker, reassign, `--execute --reassignment-json-file ${back}`)).code).toBe(0)
      expect(yield* run(broker, reassign, `--verify --reassignment-json-file ${same}`)).toEqual({
        code: 0,
        out: `Status of partition reassignment:\nReassignment of partition ${topic}-0 is completed.\nReassignment of partition ${topic}-1 is completed.\n\n` +
          `Clearing broker-level throttles on broker 1\nClearing topic-level throttles on topic ${topic}\n`,
        err: ""
      })
      expect((yield* run(broker, reassign, `--cancel --preserve-throttles --reassignment-json-file ${same}`)).out)
        .toBe("None of the specified partition reassignments are active.\nNone of the specified partition moves are active.")
      const away = file("away.json", { version: 1, partitions: partitions([1, 1000]) })
      expect(yield* run(broker, reassign, `--execute --reassignment-json-file ${away}`)).toEqual({ code: 1, out: "Error: Unknown broker id 1000\n", err: "" })
      const topics = file("topics.json", { version: 1, topics: [{ topic }] })
      const generated = yield* run(broker, reassign, `--generate --broker-list 1 --topics-to-move-json-file ${topics}`)
      expect(JSON.parse(generated.out.split("\n")[4]!)).toEqual({
        version: 1,
        partitions: partitions([1]).map((one) => ({ ...one, log_dirs: ["any"] }))
      })
    }).pipe(Effect.scoped))

  test("elect nobody where everybody leads", (broker) =>
    Effect.gen(function*() {
      const topic = yield* broker.createTopic("led")
      expect(yield* run(broker, elect, `--election-type preferred --topic ${topic} --partition 0`)).toEqual({
        code: 0,
        out: `Valid replica already elected for partitions ${topic}-0\n`,
        err: ""
      })
      const wrong = yield* run(broker, elect, `--election-type unclean --topic ${topic} --partition 4`)
      expect([wrong.code, wrong.err]).toEqual([1, "1 replica(s) could not be elected\n"])
      expect(wrong.out).toBe(
        `Error completing leader election (UNCLEAN) for partition: ${topic}-4: ` +
          `org.apache.kafka.common.errors.UnknownTopicOrPartitionException: No such partition as ${topic}-4\n`
      )
    }))
})
