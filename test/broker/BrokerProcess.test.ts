/** What a kill leaves of a broker, in memory and on the disk and the sockets of the runtime that the tests run on. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { existsSync, readFileSync } from "node:fs"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import { layer as cryptoLayer } from "../../adapters/shared/Crypto.ts"
import * as BrokerProcess from "../../core/broker/BrokerProcess.ts"
import { liveKey } from "../../core/cluster/Keys.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { Disk } from "../../core/ports/Disk.ts"
import { MetadataStore } from "../../core/ports/MetadataStore.ts"
import { Network } from "../../core/ports/Network.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import { adapters, temporaryDirectory } from "../adapters/Runtime.ts"
import { settle, until } from "../replication/TestCluster.ts"
import { makeWorld, startBroker, TestClient, testConfig } from "./TestBroker.ts"

const CLEAN_MARK = "/data/.kafka_cleanshutdown"

/** All bytes under a directory, by path. */
const contentOf = (disk: Disk, path: string, into: Map<string, string> = new Map()): ReadonlyMap<string, string> => {
  const stat = disk.stat(path)
  if (stat?.kind === "directory") for (const name of disk.list(path)) contentOf(disk, `${path}/${name}`, into)
  else if (stat !== undefined) {
    const bytes = new Uint8Array(stat.size)
    const file = disk.open(path, "read")
    file.read(bytes, 0)
    file.close()
    into.set(path, bytes.join())
  }
  return into
}

describe("A broker that is killed", () => {
  it.effect("leaves its disk as it was, and goes on from there", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const first = yield* startBroker(world)
      const client = yield* first.connect
      yield* client.createTopic("t")
      yield* client.produce("t", ["a"])
      const before = contentOf(world.disk.disk, "/data")
      const { operations } = world.disk
      yield* first.kill()
      expect(world.disk.operations).toBe(operations)
      expect(contentOf(world.disk.disk, "/data")).toEqual(before)
      expect(world.disk.disk.stat(CLEAN_MARK)).toBeUndefined()

      const second = yield* startBroker(world)
      expect(second.broker.services.logManager.previousBrokerEpoch).toBe(-1)
      expect(yield* (yield* second.connect).readAll("t")).toEqual(["a"])
      yield* second.stop
      expect(world.disk.disk.stat(CLEAN_MARK)).toBeDefined()
    }))

  it.effect("does nothing more: no answer, no write, no commit, no word", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const lines: Array<unknown> = []
      const logger = Logger.make((line) => void lines.push(line.message))
      const context = Context.add(world.context, Disk, world.disk.disk)
      const running = yield* BrokerProcess.start(testConfig()).pipe(
        Effect.provideContext(context),
        Effect.provide(compressionLayer),
        Effect.provideService(Logger.CurrentLoggers, new Set([logger]))
      )
      const { host, port } = running.broker.listeners[0]!
      const network = Context.get(world.context, Network)
      const client = new TestClient(
        yield* RpcConnection.connect({ host, port }, { clientId: "test" }).pipe(Effect.provideService(Network, network))
      )
      yield* client.createTopic("t")
      // A long poll that a clean stop would answer, and a request that was sent and not read.
      const waiting = yield* Effect.forkChild(Effect.flip(client.fetch("t", { maxWaitMs: 60_000 })), { startImmediately: true })
      yield* settle
      const unread = yield* Effect.forkChild(Effect.flip(client.produce("t", ["a"])), { startImmediately: true })
      const store = Context.get(world.context, MetadataStore)
      const said = lines.length
      const { operations } = world.disk
      const { partitions } = running.broker.services
      const { modRevision } = (yield* store.list("metadata/cluster")).entries[0]!
      yield* running.kill({ session: "expires" })
      yield* running.kill()
      yield* running.stop
      yield* settle
      expect((yield* Fiber.join(waiting)).kind).toBe("Disconnected")
      expect((yield* Fiber.join(unread)).kind).toBe("Disconnected")
      expect(lines.slice(said)).toEqual([])
      expect(partitions.get("t", 0)!.logEndOffset).toBe(0)
      yield* TestClock.adjust("10 minutes")
      expect(world.disk.operations).toBe(operations)
      expect((yield* store.list("metadata/cluster")).entries[0]!.modRevision).toBe(modRevision)
      expect(lines.slice(said)).toEqual([])
      const refused = yield* Effect.flip(Effect.scoped(RpcConnection.connect({ host, port }, { clientId: "test" }).pipe(
        Effect.provideService(Network, network)
      )))
      expect(refused.kind).toBe("Unreachable")
    }))

  it.effect("has its session end at once, or when its time is up, as asked", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const store = Context.get(world.context, MetadataStore)
      const isLive = Effect.map(store.list(liveKey(1)), ({ entries }) => entries.length === 1)
      const overrides = { "broker.session.timeout.ms": "3000" }
      const first = yield* startBroker(world, overrides)
      yield* first.kill({ session: "ends" })
      expect(yield* isLive).toBe(false)

      const second = yield* startBroker(world, overrides)
      yield* second.kill({ session: "expires" })
      yield* TestClock.adjust(2999)
      expect(yield* isLive).toBe(true)
      yield* TestClock.adjust(1)
      expect(yield* isLive).toBe(false)

      // One that comes back before waits for its own old session, as a restarted process does.
      const third = yield* startBroker(world, overrides)
      yield* third.kill({ session: "expires" })
      const fourth = yield* Effect.forkChild(startBroker(world, overrides), { startImmediately: true })
      yield* settle
      expect(fourth.pollUnsafe()).toBeUndefined()
      yield* until("it runs", () => fourth.pollUnsafe() !== undefined)
      expect(yield* isLive).toBe(true)
    }))
})

describe("A host that kills a broker and starts it again", () => {
  for (const session of ["ends", "expires"] as const) {
    it.effect(`keeps nothing of those that are gone, when their session ${session}`, () =>
      Effect.gen(function*() {
        const world = yield* makeWorld()
        const host = yield* Scope.make()
        // An open scope with nothing in it is an empty one.
        expect(host.state._tag).toBe("Empty")
        for (let life = 0; life < 5; life++) {
          const running = yield* Scope.provide(startBroker(world, { "broker.session.timeout.ms": "3000" }), host)
          yield* running.kill({ session })
          yield* TestClock.adjust(3000)
          yield* settle
          expect(host.state._tag, `after ${life + 1} lives`).toBe("Empty")
        }
        yield* Scope.close(host, Exit.void)
      }))
  }

  it.effect("ends a session that was to expire, when it ends before", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const store = Context.get(world.context, MetadataStore)
      const host = yield* Scope.make()
      const running = yield* Scope.provide(startBroker(world), host)
      yield* running.kill({ session: "expires" })
      expect((yield* store.list(liveKey(1))).entries).toHaveLength(1)
      yield* Scope.close(host, Exit.void)
      expect((yield* store.list(liveKey(1))).entries).toHaveLength(0)
    }))
})

describe("A broker that cannot start", () => {
  it.effect("gives back what it had taken by then: its lock, its session, its ports", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const network = Context.get(world.context, Network)
      const nobody = { onData: () => {}, onDrained: () => {}, onClosed: () => {} }
      const { address } = yield* network.listen({ host: "127.0.0.1", port: 0 }, () => nobody)
      const listeners = `PLAINTEXT://127.0.0.1:0,OTHER://127.0.0.1:${address.port}`
      const refused = yield* Effect.flip(startBroker(world, { listeners, "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT" }))
      expect(refused._tag).toBe("NetworkError")
      const second = yield* startBroker(world)
      yield* second.stop
    }))
})

describe("A broker's host", () => {
  it.effect("keeps nothing of those that it stopped or killed", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld()
      const host = yield* Effect.scope
      /** What the host's scope has to end one day. */
      const held = (): number => host.state._tag === "Open" ? host.state.finalizers?.size ?? 1 : -1
      const turn = (ends: "stop" | "kill") =>
        Effect.gen(function*() {
          const running = yield* startBroker(world)
          yield* ends === "stop" ? running.stop : running.kill()
          yield* settle
          return held()
        })
      const first = yield* turn("stop")
      expect([yield* turn("kill"), yield* turn("stop")]).toEqual([first, first])
    }))
})

describe("A broker that is killed on a real disk", () => {
  it.live("leaves what it wrote, no clean mark, a free port and a free lock, and its peers see the end", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const store = MemoryMetadataStore.make()
      const ports = Layer.mergeAll(adapters.diskLayer, adapters.networkLayer, compressionLayer, cryptoLayer, Layer.succeed(MetadataStore, store))
      const context = yield* Layer.build(ports)
      const start = (port: number) =>
        BrokerProcess.start(testConfig({ "log.dirs": directory, listeners: `PLAINTEXT://127.0.0.1:${port}` })).pipe(
          Effect.provideContext(context),
          Effect.provideService(References.MinimumLogLevel, "None")
        )
      const connect = (port: number) =>
        Effect.map(
          RpcConnection.connect({ host: "127.0.0.1", port }, { clientId: "test" }).pipe(Effect.provideContext(context)),
          (rpc) => new TestClient(rpc)
        )
      let port = 0
      for (let round = 0; round < 3; round++) {
        const running = yield* start(port)
        port = running.broker.listeners[0]!.port
        const client = yield* connect(port)
        if (round === 0) expect((yield* client.createTopic("t")).errorCode).toBe(ErrorCode.NONE)
        const { errorCode } = yield* client.produce("t", [`value ${round}`])
        expect(errorCode).toBe(ErrorCode.NONE)
        expect(yield* client.readAll("t")).toEqual(Array.from({ length: round + 1 }, (_, n) => `value ${n}`))
        const waiting = yield* Effect.forkChild(Effect.flip(client.fetch("t", { offset: round + 1, maxWaitMs: 60_000 })), { startImmediately: true })
        yield* running.kill()
        expect((yield* Fiber.join(waiting)).kind).toBe("Disconnected")
        expect(existsSync(`${directory}/.kafka_cleanshutdown`)).toBe(false)
        expect(readFileSync(`${directory}/t-0/00000000000000000000.log`).includes(`value ${round}`)).toBe(true)
      }
    }))
})
