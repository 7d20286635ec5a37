/** Whatever is commanded, by one broker or by several at once: every way to an image gives the same image. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Controller } from "../../core/cluster/Controller.ts"
import { ImageState } from "../../core/cluster/ImageApply.ts"
import * as ImageFollower from "../../core/cluster/ImageFollower.ts"
import * as JournalMetadataStore from "../../core/cluster/JournalMetadataStore.ts"
import { PREFIX } from "../../core/cluster/Keys.ts"
import type { MetadataImage } from "../../core/cluster/MetadataImage.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import * as MemoryMetadataStore from "../../core/memory/MemoryMetadataStore.ts"
import { Crypto } from "../../core/ports/Crypto.ts"
import { Disk } from "../../core/ports/Disk.ts"
import type { MetadataStore, MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { alterOne, makeController, newTopic, plain, registration, seededCrypto } from "./support.ts"

type Command =
  | { readonly _tag: "Create"; readonly names: ReadonlyArray<number>; readonly partitions: number }
  | { readonly _tag: "Delete"; readonly names: ReadonlyArray<number> }
  | { readonly _tag: "Grow"; readonly name: number; readonly count: number }
  | { readonly _tag: "Config"; readonly name: number; readonly value: number }
  | { readonly _tag: "Allocate" }
  | { readonly _tag: "ShrinkIsr"; readonly name: number }

const names = fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 3 })
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ _tag: fc.constant("Create" as const), names, partitions: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ _tag: fc.constant("Delete" as const), names }),
  fc.record({ _tag: fc.constant("Grow" as const), name: fc.nat(4), count: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ _tag: fc.constant("Config" as const), name: fc.nat(4), value: fc.nat(3) }),
  fc.record({ _tag: fc.constant("Allocate" as const) }),
  fc.record({ _tag: fc.constant("ShrinkIsr" as const), name: fc.nat(4) })
)

const nameOf = (n: number): string => `topic-${n}`

const run = (controller: Controller, command: Command, blocks: Array<number>): Effect.Effect<unknown, MetadataStoreError> => {
  switch (command._tag) {
    case "Create":
      return controller.createTopics(command.names.map((n) =>
        newTopic(nameOf(n), command.partitions, { configs: n % 2 === 0 ? [{ name: "segment.ms", value: `${n}` }] : [] })))
    case "Delete":
      return controller.deleteTopics(command.names.map((n) => ({ name: nameOf(n), topicId: "" })))
    case "Grow":
      return controller.createPartitions([{ name: nameOf(command.name), count: command.count, assignments: null }])
    case "Config":
      return controller.incrementalAlterConfigs([{
        resourceType: command.name === 4 ? 4 : 2,
        resourceName: command.name === 4 ? "" : nameOf(command.name),
        changes: [{ name: "retention.ms", operation: command.value === 0 ? 1 : 0, value: `${command.value}` }]
      }])
    case "Allocate":
      return Effect.map(controller.allocateProducerIds, ({ first }) => blocks.push(first))
    case "ShrinkIsr": {
      const topic = controller.image().topicsByName.get(nameOf(command.name))
      const partition = topic?.partitions[0]
      if (topic === undefined || partition === undefined) return Effect.void
      const brokerEpoch = controller.image().brokers.get(partition.leader)?.epoch ?? -1
      return alterOne(controller, {
        topicId: topic.id,
        partition: 0,
        leader: partition.leader,
        leaderEpoch: partition.leaderEpoch,
        brokerEpoch,
        partitionEpoch: partition.partitionEpoch,
        newIsr: [{ brokerId: partition.leader, brokerEpoch }]
      })
    }
  }
}

const listed = (store: MetadataStore): Effect.Effect<unknown, MetadataStoreError> =>
  Effect.map(store.list(PREFIX), ({ entries, revision }) => plain(new ImageState().reset(revision, entries)))

/** What a restart keeps: all but who holds a session. */
const lasting = (image: MetadataImage): unknown => {
  const brokers = new Map([...image.brokers].map(([id, one]) => [id, { ...one, fenced: true, session: "" }]))
  const revisions = new Map([...image.revisions].filter(([key]) => !/live|controller/.test(key)))
  return plain({ ...image, brokers, revisions, controllerId: -1, revision: 0 })
}

const quiet = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(effect).pipe(Effect.provideService(References.MinimumLogLevel, "None")) as Effect.Effect<A>
  )

describe("an image", () => {
  it("is the same from commands, from a watch, from a listing, and after a restart", () =>
    fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 20 }), fc.constantFrom(1, 3000), (commands, snapshotAfterBytes) =>
        quiet(Effect.gen(function*() {
          const disk = new MemoryDisk()
          const open = JournalMetadataStore.make({ directory: "/data/j", snapshotAfterBytes, maxOperations: 6 }).pipe(
            Effect.provideService(Disk, disk.disk),
            Effect.provideService(Crypto, seededCrypto())
          )
          const life = yield* Scope.make()
          const store = yield* Scope.provide(open, life)
          const watching = yield* Scope.provide(ImageFollower.make(store), life)
          const controller = yield* Scope.provide(makeController(store), life)
          yield* controller.registerBroker(registration(1))
          for (const one of commands) yield* run(controller, one, [])
          const image = controller.image()
          const watched = yield* watching.awaitImage((now) => now.revision >= image.revision)
          expect(plain(watched)).toEqual(plain(image))
          expect(yield* listed(store)).toEqual(plain(image))
          // No partition of a deleted topic is left behind.
          const counted = [...image.topicsByName.values()].reduce((sum, topic) => sum + topic.partitions.length, 0)
          expect((yield* store.list("metadata/partitions/")).entries.length).toBe(counted)
          disk.crash({ _tag: "machine" })
          yield* Effect.exit(Scope.close(life, Exit.void))
          const again = yield* ImageFollower.make(yield* open)
          expect(lasting(again.state.image)).toEqual(lasting(image))
        }))),
      { seed: 21, numRuns: 60 }
    ))

  it("is the same on brokers that command at once, and no id or name is given twice", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(2), command), { maxLength: 24 }), fc.constantFrom(4, 6, 128), (commands, maxOperations) =>
        quiet(Effect.gen(function*() {
          const memory = MemoryMetadataStore.make({ maxOperations })
          // Turns in between, so that decisions meet.
          const store: MetadataStore = {
            ...memory,
            commit: (comparisons, operations) => Effect.andThen(Effect.yieldNow, memory.commit(comparisons, operations))
          }
          const controllers: Array<Controller> = []
          for (const id of [0, 1, 2]) {
            const controller = yield* makeController(store, { brokerId: id, replicationFactor: () => 3 }, id + 1)
            yield* controller.registerBroker(registration(id, -1, `rack-${id}`))
            controllers.push(controller)
          }
          const blocks: Array<number> = []
          yield* Effect.all(
            [0, 1, 2].map((id) =>
              Effect.forEach(commands.filter(([by]) => by === id), ([, one]) => run(controllers[id] as Controller, one, blocks))),
            { concurrency: "unbounded" }
          )
          expect(new Set(blocks).size).toBe(blocks.length)
          const { revision } = yield* store.list("")
          for (const controller of controllers) {
            while (controller.image().revision < revision) yield* Effect.yieldNow
            expect(plain(controller.image())).toEqual(yield* listed(store))
          }
          const [image] = controllers.map((one) => one.image())
          for (const topic of image?.topicsByName.values() ?? []) {
            expect(image?.topicsById.get(topic.id)).toBe(topic)
            for (const partition of topic.partitions) {
              expect([...partition.replicas].sort()).toEqual([0, 1, 2])
              expect(partition.isr).toContain(partition.leader)
            }
          }
        }))),
      { seed: 22, numRuns: 60 }
    ))

  it("answers one of many that create the same topic at once with success", () =>
    quiet(Effect.gen(function*() {
      const memory = MemoryMetadataStore.make({ maxOperations: 4 })
      const store: MetadataStore = {
        ...memory,
        commit: (comparisons, operations) => Effect.andThen(Effect.yieldNow, memory.commit(comparisons, operations))
      }
      const controllers = yield* Effect.all([0, 1].map((id) => makeController(store, { brokerId: id }, id + 1)))
      for (const [id, controller] of controllers.entries()) yield* controller.registerBroker(registration(id))
      const results = yield* Effect.all(
        Array.from({ length: 6 }, (_, i) => (controllers[i % 2] as Controller).createTopics([newTopic("same", 10)])),
        { concurrency: "unbounded" }
      )
      expect(results.map(([one]) => one?.error).sort()).toEqual([ErrorCode.NONE, ...Array.from({ length: 5 }, () => ErrorCode.TOPIC_ALREADY_EXISTS)])
    })))

  it("moves leaders when a broker's session is lost, and frees the controller's place", () =>
    quiet(Effect.gen(function*() {
      const store = MemoryMetadataStore.make()
      const lives: Array<Scope.Closeable> = []
      const controllers: Array<Controller> = []
      for (const id of [0, 1, 2]) {
        const life = yield* Scope.make()
        const controller = yield* Scope.provide(makeController(store, { brokerId: id, replicationFactor: () => 3 }, id + 1), life)
        yield* controller.registerBroker(registration(id))
        lives.push(life)
        controllers.push(controller)
      }
      const survivor = controllers[2] as Controller
      yield* survivor.createTopics([newTopic("t", 9)])
      expect(survivor.image().controllerId).toBe(0)
      yield* Scope.close(lives[0] as Scope.Closeable, Exit.void)
      const settled = (): boolean => {
        const { brokers, controllerId, topicsByName } = survivor.image()
        return [1, 2].includes(controllerId) && brokers.get(0)?.fenced === true &&
          topicsByName.get("t")?.partitions.every(({ isr, leader }) => leader !== 0 && leader !== -1 && !isr.includes(0)) === true
      }
      for (let turn = 0; turn < 10_000 && !settled(); turn++) yield* Effect.yieldNow
      expect(settled()).toBe(true)
    })))
})
