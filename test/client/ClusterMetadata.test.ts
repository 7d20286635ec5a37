/** Laws of the view, whatever brokers answer. */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { MetadataState } from "../../core/client/internal/MetadataState.ts"
import type { MetadataResponse } from "../../core/protocol/generated/Metadata.ts"

const NAMES = ["a", "b", "c", "d"]
const name = fc.constantFrom(...NAMES)
const topicAnswer = fc.record({
  name,
  errorCode: fc.constantFrom(0, 0, 0, 3, 5),
  topicId: fc.constantFrom("AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAAg"),
  isInternal: fc.boolean(),
  topicAuthorizedOperations: fc.constant(0),
  partitions: fc.uniqueArray(
    fc.record({
      errorCode: fc.constant(0),
      partitionIndex: fc.integer({ min: 0, max: 3 }),
      leaderId: fc.integer({ min: -1, max: 3 }),
      leaderEpoch: fc.integer({ min: -1, max: 5 }),
      replicaNodes: fc.constant([]),
      isrNodes: fc.constant([]),
      offlineReplicas: fc.constant([])
    }),
    { maxLength: 4, selector: ({ partitionIndex }) => partitionIndex }
  )
})
const answer: fc.Arbitrary<MetadataResponse> = fc.record({
  throttleTimeMs: fc.constant(0),
  brokers: fc.uniqueArray(
    fc.record({ nodeId: fc.integer({ min: 1, max: 3 }), host: fc.constant("h"), port: fc.integer({ min: 1, max: 9 }), rack: fc.constant(null) }),
    { minLength: 1, maxLength: 3, selector: ({ nodeId }) => nodeId }
  ),
  clusterId: fc.constant("c"),
  controllerId: fc.integer({ min: -1, max: 3 }),
  topics: fc.uniqueArray(topicAnswer, { maxLength: 4, selector: (topic) => topic.name }),
  clusterAuthorizedOperations: fc.constant(0),
  errorCode: fc.constant(0)
})
const step = fc.oneof(
  fc.record({ kind: fc.constant("want" as const), names: fc.uniqueArray(name) }),
  fc.record({ kind: fc.constant("apply" as const), names: fc.option(fc.uniqueArray(name)), answer }),
  fc.record({
    kind: fc.constant("hint" as const),
    hint: fc.record({ topic: name, partition: fc.integer({ min: 0, max: 4 }), leader: fc.integer({ min: -1, max: 5 }), leaderEpoch: fc.integer({ min: -1, max: 7 }) })
  })
)

describe("MetadataState", () => {
  it("counts its views, goes back to no older leader of the same topic, and keeps what was not asked for", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const state = new MetadataState()
      const wanted = new Set<string>()
      for (const one of steps) {
        const before = state.view
        if (one.kind === "want") {
          state.want(one.names, true, 0)
          for (const name of one.names) wanted.add(name)
          expect(state.view).toBe(before)
          continue
        }
        if (one.kind === "hint") {
          const isTaken = state.hint(one.hint)
          expect(state.view.version).toBe(before.version + (isTaken ? 1 : 0))
          if (isTaken) expect(state.topic(one.hint.topic)!.partitions[one.hint.partition]).toMatchObject({ leader: one.hint.leader, leaderEpoch: one.hint.leaderEpoch })
          else expect(state.view).toBe(before)
        } else {
          // A broker answers what it is asked.
          const { names } = one
          const topics = names === null ? one.answer.topics : one.answer.topics.filter((topic) => names.includes(topic.name!))
          const applied = state.apply({ names, autoCreate: false }, { ...one.answer, topics })
          expect(state.view.version).toBe(before.version + 1)
          expect([...applied.errors.keys(), ...applied.topics.keys()].sort()).toEqual(topics.map((topic) => topic.name!).sort())
          expect([...state.view.nodes.keys()]).toEqual(one.answer.brokers.map(({ nodeId }) => nodeId))
          if (names !== null) {
            for (const [name, topic] of before.topics) if (!names.includes(name)) expect(state.view.topics.get(name)).toBe(topic)
            for (const name of names) if (!applied.topics.has(name)) expect(state.view.topics.has(name)).toBe(false)
          }
        }
        for (const [name, topic] of state.view.topics) {
          expect(wanted.has(name)).toBe(true)
          expect(topic.partitions.map(({ partition }) => partition)).toEqual(topic.partitions.map((_, index) => index))
          const known = before.topics.get(name)
          if (known === undefined || known.id !== topic.id) continue
          for (const [index, { leaderEpoch }] of topic.partitions.entries()) {
            const old = known.partitions[index]
            // -1: an answer of a version without epochs decides as it is.
            if (old !== undefined && leaderEpoch >= 0) expect(leaderEpoch).toBeGreaterThanOrEqual(old.leaderEpoch)
          }
        }
      }
    }), { numRuns: 500 })
  })

  it("asks about what is wanted, each name once, by who may create it", () => {
    fc.assert(fc.property(fc.uniqueArray(name), fc.uniqueArray(name), fc.uniqueArray(name), (create, leave, asked) => {
      const state = new MetadataState()
      state.want(create, true, 0)
      state.want(leave, false, 0)
      for (const isFull of [false, true]) {
        const questions = state.plan(asked, isFull, 0)
        expect(questions.length).toBeGreaterThan(0)
        const names = questions.flatMap(({ names }) => names!)
        expect(names.toSorted()).toEqual([...new Set([...asked, ...isFull ? [...create, ...leave] : []])].sort())
        for (const question of questions) {
          for (const name of question.names!) expect(question.autoCreate).toBe(create.includes(name) && !leave.includes(name))
        }
      }
    }))
  })
})
