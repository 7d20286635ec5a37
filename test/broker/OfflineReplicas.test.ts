/** What a broker says of replicas that went offline, while the metadata store does not answer and after it. */
import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import * as BrokerProcess from "../../core/broker/BrokerProcess.ts"
import { Disk } from "../../core/ports/Disk.ts"
import { MetadataStore, MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import { Network } from "../../core/ports/Network.ts"
import * as RpcConnection from "../../core/rpc/RpcConnection.ts"
import { settle, until } from "../replication/TestCluster.ts"
import { makeWorld, TestClient, testConfig } from "./TestBroker.ts"

it.effect("they are told to the metadata store when it is there again, and waiting for it is one line of the log", () =>
  Effect.gen(function*() {
    const world = yield* makeWorld()
    const store = Context.get(world.context, MetadataStore)
    let isAway = false
    const mayBeAway: MetadataStore = {
      ...store,
      commit: (comparisons, operations) =>
        Effect.suspend(() => isAway ? Effect.fail(new MetadataStoreError("Unavailable", "away")) : store.commit(comparisons, operations))
    }
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    const running = yield* BrokerProcess.start(testConfig({ "log.dirs": "/a,/b", "log.flush.interval.messages": "1" })).pipe(
      Effect.provideContext(Context.add(Context.add(world.context, Disk, world.disk.disk), MetadataStore, mayBeAway)),
      Effect.provide(compressionLayer),
      Effect.provideService(Logger.CurrentLoggers, new Set([logger]))
    )
    const { host, port } = running.broker.listeners[0]!
    const client = new TestClient(
      yield* RpcConnection.connect({ host, port }, { clientId: "test" }).pipe(
        Effect.provideService(Network, Context.get(world.context, Network))
      )
    )
    const topics = ["t1", "t2", "t3", "t4"]
    for (const topic of topics) yield* client.createTopic(topic)
    const of = (directory: string): ReadonlyArray<string> =>
      topics.filter((topic) => world.disk.disk.stat(`${directory}/${topic}-0`) !== undefined)
    const [lost, kept] = [of("/a"), of("/b")]
    expect([lost.length, kept.length]).toEqual([2, 2])

    isAway = true
    world.disk.failWhen((_, path) => path.startsWith("/a/") ? "Io" : undefined)
    for (const topic of lost) yield* Effect.exit(client.produce(topic, ["x"]))
    yield* settle
    yield* TestClock.adjust("1 minute")
    yield* settle
    const waiting = (): ReadonlyArray<string> => lines.filter((line) => line.startsWith("offline replicas wait"))
    expect(waiting()).toEqual(["offline replicas wait for the metadata store: away"])

    isAway = false
    const leaderOf = (topic: string): number => running.broker.services.image().topicsByName.get(topic)!.partitions[0]!.leader
    yield* until("the store knows", () => lost.every((topic) => leaderOf(topic) === -1))
    expect(kept.map(leaderOf)).toEqual([running.broker.brokerId, running.broker.brokerId])
    expect(waiting()).toHaveLength(1)
  }), 30_000)
