/** The production broker on the data directory of a real Kafka 4.3.1 (test/fixtures/kafka-data), on memory layers. */
import { it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect } from "vitest"
import { importKafka } from "../../core/cluster/KafkaImport.ts"
import { Disk } from "../../core/ports/Disk.ts"
import { MetadataStore } from "../../core/ports/MetadataStore.ts"
import { makeWorld, startBroker } from "../broker/TestBroker.ts"
import type { World } from "../broker/TestBroker.ts"
import { GroupClient } from "../broker/handlers/GroupClient.ts"

const data = fileURLToPath(new URL("../fixtures/kafka-data/data", import.meta.url))

/** Puts a directory of the host's into the memory disk. */
const load = (disk: Disk, from: string, to: string): void => {
  disk.makeDirectory(to)
  for (const name of readdirSync(from)) {
    const path = join(from, name)
    if (statSync(path).isDirectory()) load(disk, path, `${to}/${name}`)
    else {
      const file = disk.open(`${to}/${name}`, "create")
      file.write([new Uint8Array(readFileSync(path))], 0)
      file.close()
    }
  }
}

/** Kafka's files in memory, its metadata taken over. */
const worldOfKafka = Effect.gen(function*() {
  const world: World = yield* makeWorld()
  load(world.disk.disk, data, "/data")
  yield* importKafka(Context.get(world.context, MetadataStore), { logDirs: ["/data"], nodeId: 1 }).pipe(
    Effect.provideService(Disk, world.disk.disk),
    Effect.provide(world.context),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
  return world
})

/** As the fixture's README says: by partition, in the order they were produced. */
const orders = Array.from({ length: 40 }, (_, i) => `value ${i + 1}`)
const payments = Array.from({ length: 30 }, (_, i) => `${i + 1}`)

describe("Kafka's data directory", () => {
  it.effect("is served with its records, and goes on from them, over restarts and a crash", () =>
    Effect.gen(function*() {
      const world = yield* worldOfKafka
      for (let start = 0; start < 3; start++) {
        const running = yield* startBroker(world)
        const client = yield* running.connect
        const all: Array<string> = []
        for (const partition of [0, 1, 2]) {
          const values = yield* client.readAll("orders", partition)
          // Each partition keeps the order of its keys' values.
          expect(values).toEqual(orders.filter((value) => values.includes(value)))
          all.push(...values)
        }
        expect(all.sort()).toEqual([...orders].sort())
        const later = Array.from({ length: start }, (_, i) => `later ${i}`)
        expect(yield* client.readAll("payments", 1)).toEqual([...payments, ...later])
        expect(yield* client.readAll("gone")).toEqual([])
        expect(yield* client.listOffset("payments", -1, { partition: 1 })).toEqual({ errorCode: 0, offset: 30 + start })
        expect(yield* client.produce("payments", [`later ${start}`], { partition: 1 }))
          .toMatchObject({ errorCode: 0, baseOffset: 30 + start })
        if (start === 1) yield* running.crash({ _tag: "process" })
        else yield* running.stop
      }
    }))

  it.effect("keeps its groups and what they committed", () =>
    Effect.gen(function*() {
      const running = yield* startBroker(yield* worldOfKafka)
      const group = new GroupClient((yield* running.connect).rpc)
      expect(yield* group.describe("g1")).toMatchObject({ errorCode: 0, groupState: "Empty", protocolType: "consumer", members: [] })
      const committed = { "payments-0": 0, "payments-1": 10, "payments-2": 0, "payments-3": 0 }
      expect(yield* group.committed("g1")).toEqual(committed)
      expect(yield* group.commit("g1", "payments", 1, 11)).toBe(0)
      expect(yield* group.committed("g1")).toEqual({ ...committed, "payments-1": 11 })
      expect((yield* group.joinNew("g1")).generationId).toBe(3)
    }))
})
