/** The programs of docs/examples, on the runtime that the tests run on, against a broker in memory behind a real socket. */
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { layer as compression } from "../../adapters/shared/Compression.ts"
import { layer as crypto } from "../../adapters/shared/Crypto.ts"
import * as Broker from "../../core/broker/Broker.ts"
import { BrokerConfig, BrokerConfigError } from "../../core/broker/config/BrokerConfig.ts"
import * as MemoryDisk from "../../core/memory/MemoryDisk.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { adapters } from "../adapters/Runtime.ts"
import { examples, programsOf, run, typeErrors } from "./Programs.ts"

const config = BrokerConfig.load({
  overrides: [["listeners", "PLAINTEXT://127.0.0.1:0"], ["log.dirs", "/data"], ["group.initial.rebalance.delay.ms", "0"]]
})
if (config instanceof BrokerConfigError) throw config
const host = Layer.mergeAll(MemoryDisk.layer(), MemoryMetadataStore.layer(), adapters.networkLayer, compression, crypto)
const broker = ManagedRuntime.make(Broker.layer(config).pipe(Layer.provide(host), Layer.provide(Logger.layer([]))))

/** What the examples ask for in their environment, which other tests of this process have too. */
const SERVERS = "BOOTSTRAP_SERVERS"
const before = process.env[SERVERS]
beforeAll(async () => {
  const [listener] = (await broker.runPromise(Broker.Broker)).listeners
  process.env[SERVERS] = `127.0.0.1:${listener!.port}`
})
afterAll(() => {
  if (before === undefined) delete process.env[SERVERS]
  else process.env[SERVERS] = before
  return broker.dispose()
})

/** What each prints. */
const printed: Readonly<Record<string, ReadonlyArray<string>>> = {
  "delivery.ts": [
    "consumer, at most once:  a b d",
    "consumer, at least once: a b c c d",
    "producer, send once:     a b d",
    "producer, resend:        a b c c d",
    "producer, idempotent:    a b c c d"
  ],
  "own-partitioner.ts": [
    "by-customer keeps all laws",
    "skewed breaks the spread",
    "20 customers, each in 1 partition; several partitions are used"
  ],
  "peak-shaving.ts": [
    "5000 of 5000 records arrived, each once and in order",
    "at the peak most of them waited in the topic",
    "the producer kept within its buffer"
  ],
  "web-logs.ts": ["real time: 60 errors in 600 requests", "offline: 779700 bytes in 600 requests"],
  "work-queue.ts": [
    "3 workers have a partition, 1 is idle",
    "one died, the idle one took over",
    "60 jobs are done, 0 of them twice"
  ],
  "yesterday.ts": ["yesterday begins at offset 48 and 48", "48 records since then, the last of room 0 is \"room 0, hour 71\""]
}

it("all of them are known here", () => {
  expect(examples.map(({ name }) => name.slice("docs/examples/".length))).toEqual(Object.keys(printed))
})

it("a program that does not type-check is told", async () => {
  expect(await typeErrors([{ name: "wrong.ts", source: "const n: number = \"text\"\nconsole.log(n)\n" }])).toMatch(/^wrong\.ts\(1,7\): error TS2322/)
})

it("they type-check", async () => {
  expect(await typeErrors(examples)).toBe("")
})

it.each(examples)("$name says what it shows", async (example) => {
  expect(await run(example)).toEqual(printed[example.name.slice("docs/examples/".length)])
})

describe("docs/client.md", () => {
  const programs = programsOf("docs/client.md")
  const lines: ReadonlyArray<ReadonlyArray<string>> = [
    ["greetings-0 at offset 0", "hello"],
    ["hello"],
    ["a", "b", "c"],
    ["at-least-once, three tries: every law holds"],
    ["1000 cents, what does not decode is in payments.dead"],
    ["cleanup.policy=compact max.compaction.lag.ms=60000", "visits-0 ends at offset 3", "visits-0: 1"]
  ]
  it("has the programs that are known here", () => expect(programs.length).toBe(lines.length))
  it("its programs type-check", async () => expect(await typeErrors(programs)).toBe(""))
  it.each(programs.map((program, index) => ({ ...program, expected: lines[index] })))("$name does what it says", async ({ expected, ...program }) => {
    expect(await run(program)).toEqual(expected)
  })
})

it("the programs of docs/embedding.md type-check", async () => {
  const programs = programsOf("docs/embedding.md")
  expect(programs.length).toBe(3)
  expect(await typeErrors(programs)).toBe("")
})
