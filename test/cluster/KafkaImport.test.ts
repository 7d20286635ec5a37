/** The import of Kafka's metadata, from the data directory of a real Kafka 4.3.1 (test/fixtures/kafka-data). */
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type { Scope } from "effect/Scope"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"
import { noLibc } from "../../adapters/shared/Libc.ts"
import * as NodeDisk from "../../adapters/shared/NodeDisk.ts"
import * as JournalMetadataStore from "../../core/cluster/JournalMetadataStore.ts"
import { importKafka } from "../../core/cluster/KafkaImport.ts"
import type { MetadataImage } from "../../core/cluster/MetadataImage.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { Disk } from "../../core/ports/Disk.ts"
import type { MetadataStore, MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import { makeController, registration, seededCrypto } from "./support.ts"

interface Expected {
  readonly producerId: number
  readonly clusterId: string
  readonly topics: ReadonlyArray<{
    readonly name: string
    readonly topicId: string
    readonly partitions: ReadonlyArray<{ readonly partition: number; readonly leaderEpoch: number }>
  }>
  readonly configs: ReadonlyArray<{ readonly type: number; readonly name: string; readonly configs: Record<string, string> }>
}

const fixture = fileURLToPath(new URL("../fixtures/kafka-data", import.meta.url))
const expected = JSON.parse(readFileSync(join(fixture, "expected.json"), "utf8")) as Expected
const root = mkdtempSync(join(tmpdir(), "ottla-import-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let copies = 0
const copy = (): string => {
  const directory = join(root, String(copies++))
  cpSync(join(fixture, "data"), directory, { recursive: true })
  return directory
}

const provided = <A, E>(effect: Effect.Effect<A, E, Disk | Crypto | Scope>): Effect.Effect<A, E, Scope> =>
  effect.pipe(
    Effect.provideService(Disk, NodeDisk.make(noLibc)),
    Effect.provideService(Crypto, seededCrypto()),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
const run = <A>(effect: Effect.Effect<A, unknown, Disk | Crypto | Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(provided(effect)) as Effect.Effect<A>)

/** Imports, starts a controller on it and registers the broker as after a clean stop. */
const imported = (
  directory: string,
  store: MetadataStore = MemoryMetadataStore.make()
): Effect.Effect<MetadataImage, MetadataStoreError, Disk | Crypto | Scope> =>
  Effect.gen(function*() {
    yield* importKafka(store, { logDirs: [directory], nodeId: 1 })
    const controller = yield* makeController(store, { clusterId: undefined })
    yield* controller.registerBroker(registration(1))
    return controller.image()
  })

const configsOf = (type: number, name: string): Record<string, string> =>
  expected.configs.find((one) => one.type === type && one.name === name)?.configs ?? {}

const isAsKafkaSaid = (image: MetadataImage): void => {
  expect(image.clusterId).toBe(expected.clusterId)
  expect([...image.topicsByName.keys()].sort()).toEqual(expected.topics.map(({ name }) => name))
  for (const { name, partitions, topicId } of expected.topics) {
    const topic = image.topicsByName.get(name)
    expect(topic?.id).toBe(topicId)
    expect(topic?.partitions).toMatchObject(partitions.map(({ partition }) => ({ partition, leader: 1, replicas: [1], isr: [1] })))
    for (const [index, one] of (topic?.partitions ?? []).entries()) {
      expect(one.leaderEpoch).toBeGreaterThan(partitions[index]?.leaderEpoch ?? -1)
    }
    // Kafka tells a topic's defaults from the brokers' dynamic configurations beside its own.
    const brokers = new Set(["retention.ms", "max.message.bytes", "min.insync.replicas"])
    const own = Object.fromEntries(image.topicConfigs.get(name) ?? [])
    const told = Object.entries(configsOf(2, name)).filter(([key, value]) => !brokers.has(key) || own[key] === value)
    expect(own).toEqual(Object.fromEntries(told))
  }
  expect(image.topicConfigs.get("orders")?.get("max.message.bytes")).toBe("300000")
  expect(image.topicConfigs.get("payments")?.get("flush.messages")).toBe("9223372036854775807")
  expect(Object.fromEntries(image.brokerConfigs.get("") ?? [])).toEqual(configsOf(4, ""))
  expect(Object.fromEntries([...image.brokerConfigs.get("") ?? [], ...image.brokerConfigs.get("1") ?? []]))
    .toEqual(configsOf(4, "1"))
  expect(image.nextProducerId).toBeGreaterThan(expected.producerId)
}

const files = (path: string): ReadonlyArray<string> => (readdirSync(path, { recursive: true }) as Array<string>).sort()

describe("the import of Kafka's metadata", () => {
  it("has what Kafka answered before its stop, and changes nothing of Kafka's", async () => {
    const directory = copy()
    isAsKafkaSaid(await run(imported(directory)))
    expect(files(directory)).toEqual(files(join(fixture, "data")))
  })

  it("reads a snapshot with the records after it, and the log alone, to the same", async () => {
    const directory = copy()
    const metadata = join(directory, "__cluster_metadata-0")
    const checkpoints = readdirSync(metadata).filter((name) => name.endsWith(".checkpoint")).sort()
    expect(checkpoints.length).toBe(2)
    for (const checkpoint of checkpoints.reverse()) {
      rmSync(join(metadata, checkpoint))
      isAsKafkaSaid(await run(imported(directory)))
    }
  })

  it("imports once, into a journal that goes on from there", async () => {
    const directory = copy()
    const journal = { directory: join(directory, JournalMetadataStore.METADATA_DIRECTORY), maxOperations: 10 }
    isAsKafkaSaid(await run(Effect.flatMap(JournalMetadataStore.make(journal), (store) => imported(directory, store))))
    await run(Effect.gen(function*() {
      const store = yield* JournalMetadataStore.make(journal)
      expect(yield* importKafka(store, { logDirs: [directory], nodeId: 1 })).toBe(undefined)
      const controller = yield* makeController(store)
      yield* controller.deleteTopics([{ name: "orders", topicId: "" }])
    }))
    const later = await run(Effect.gen(function*() {
      const store = yield* JournalMetadataStore.make(journal)
      return yield* imported(directory, store)
    }))
    expect(later.topicsByName.has("orders")).toBe(false)
    expect(later.topicsByName.size).toBe(expected.topics.length - 1)
  })

  it("begins again when it was interrupted at any commit", async () => {
    const directory = copy()
    for (let commits = 0; commits < 6; commits++) {
      await run(Effect.gen(function*() {
        // As few as an election's conditions need.
        const store = MemoryMetadataStore.make({ maxOperations: 6 })
        let left = commits
        const failing: MetadataStore = {
          ...store,
          commit: (comparisons, operations) => left-- > 0 ? store.commit(comparisons, operations) : Effect.interrupt
        }
        yield* Effect.exit(importKafka(failing, { logDirs: [directory], nodeId: 1 }))
        isAsKafkaSaid(yield* imported(directory, store))
      }))
    }
  })

  it("passes over a torn end, and reports what is broken before it", async () => {
    const directory = copy()
    const metadata = join(directory, "__cluster_metadata-0")
    for (const name of readdirSync(metadata)) if (name.endsWith(".checkpoint")) rmSync(join(metadata, name))
    const log = join(metadata, "00000000000000000000.log")
    const bytes = new Uint8Array(readFileSync(log))
    truncateSync(log, bytes.length - 3)
    isAsKafkaSaid(await run(imported(directory)))
    const harmed = bytes.slice()
    harmed[5000] = (harmed[5000] as number) ^ 1
    writeFileSync(log, harmed)
    const error = await run(Effect.flip(imported(directory)))
    expect(error).toMatchObject({ kind: "Corrupt" })
    expect((error as Error).message).toMatch(/00000000000000000000\.log: broken record batch .* at position \d+/)
  })

  it("refuses replicas of other brokers, by name", async () => {
    const directory = copy()
    const error = await run(Effect.flip(importKafka(MemoryMetadataStore.make(), { logDirs: [directory], nodeId: 2 })))
    expect((error as Error).message).toMatch(/-\d+ has replicas on broker\(s\) 1/)
  })

  it("takes the cluster id alone where there is no metadata log, and nothing where there is nothing", async () => {
    const directory = copy()
    rmSync(join(directory, "__cluster_metadata-0"), { recursive: true })
    expect(await run(imported(directory))).toMatchObject({ clusterId: expected.clusterId, topicsByName: new Map() })
    rmSync(join(directory, "meta.properties"))
    const store = MemoryMetadataStore.make()
    expect(await run(importKafka(store, { logDirs: [directory], nodeId: 1 }))).toBe(undefined)
    expect((await run(store.list(""))).revision).toBe(0)
  })
})
