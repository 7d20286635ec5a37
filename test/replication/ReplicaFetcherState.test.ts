import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { LeaderEpochCache } from "../../core/log/LeaderEpochCache.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { FetchResponse, FetchResponsePartitionData } from "../../core/protocol/generated/Fetch.ts"
import { type FollowedId, type LogPosition, ReplicaFetcherState, truncationOffset } from "../../core/replication/ReplicaFetcherState.ts"

const TOPICS = ["AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAAg"]
const LIMITS = { partitionMaxBytes: 1000, backoffMs: 100 }

const id = (partition: number, topic = 0): FollowedId => ({ topicId: TOPICS[topic]!, partition })
const at = (fetchOffset: number, lastFetchedEpoch = 0): LogPosition => ({ fetchOffset, lastFetchedEpoch, logStartOffset: 0 })
const data = (partitionIndex: number, errorCode = 0): FetchResponsePartitionData => ({
  partitionIndex,
  errorCode,
  highWatermark: 0,
  lastStableOffset: 0,
  logStartOffset: 0,
  divergingEpoch: { epoch: -1, endOffset: -1 },
  currentLeader: { leaderId: -1, leaderEpoch: -1 },
  snapshotId: { endOffset: -1, epoch: -1 },
  abortedTransactions: null,
  preferredReadReplica: -1,
  records: null
})
const answer = (sessionId: number, ids: ReadonlyArray<FollowedId> = [], errorCode = 0): FetchResponse => ({
  throttleTimeMs: 0,
  errorCode,
  sessionId,
  responses: ids.map(({ partition, topicId }) => ({ topic: "", topicId, partitions: [data(partition)] })),
  nodeEndpoints: []
})

/** The fields of a request as plain text: what is named with its offset, what is forgotten. */
const shown = (fields: ReturnType<ReplicaFetcherState["request"]>): unknown =>
  fields && {
    session: [fields.sessionId, fields.sessionEpoch],
    named: fields.topics.flatMap(({ partitions, topicId }) =>
      partitions.map(({ currentLeaderEpoch, fetchOffset, lastFetchedEpoch, partition }) =>
        `${TOPICS.indexOf(topicId ?? "")}-${partition}@${fetchOffset} epoch ${currentLeaderEpoch} last ${lastFetchedEpoch}`)),
    forgotten: fields.forgottenTopicsData.flatMap(({ partitions, topicId }) =>
      partitions.map((partition) => `${TOPICS.indexOf(topicId ?? "")}-${partition}`))
  }

describe("What a fetcher asks for", () => {
  it("is everything first, then what changed", () => {
    const state = new ReplicaFetcherState(LIMITS)
    expect(state.request(0, () => at(0))).toBeUndefined()
    state.follow(id(0), 3)
    state.follow(id(1), 4)
    expect(shown(state.request(0, ({ partition }) => at(partition * 10)))).toEqual({
      session: [0, 0],
      named: ["0-0@0 epoch 3 last 0", "0-1@10 epoch 4 last 0"],
      forgotten: []
    })
    expect(state.answered(answer(77, [id(0), id(1)]), 0)).toMatchObject([{ leaderEpoch: 3, fetchOffset: 0 }, { leaderEpoch: 4, fetchOffset: 10 }])
    expect(shown(state.request(0, ({ partition }) => at(partition === 0 ? 5 : 10)))).toEqual({
      session: [77, 1],
      named: ["0-0@5 epoch 3 last 0"],
      forgotten: []
    })
    state.answered(answer(77), 0)
    state.unfollow(id(0))
    expect(shown(state.request(0, () => at(10)))).toEqual({ session: [77, 2], named: [], forgotten: ["0-0"] })
  })

  it("goes on with everything when the leader's broker has no room for a session or has lost it", () => {
    const state = new ReplicaFetcherState(LIMITS)
    state.follow(id(0), 3)
    state.request(0, () => at(0))
    expect(state.answered(answer(0, [id(0)]), 0)).toHaveLength(1)
    expect(shown(state.request(0, () => at(0)))).toMatchObject({ session: [0, 0], named: ["0-0@0 epoch 3 last 0"] })
    state.answered(answer(5), 0)
    state.request(0, () => at(0))
    state.answered(answer(0, [], ErrorCode.FETCH_SESSION_ID_NOT_FOUND), 0)
    // At once: nothing failed.
    expect(shown(state.request(0, () => at(0)))).toMatchObject({ session: [0, 0], named: ["0-0@0 epoch 3 last 0"] })
  })

  it("lets what failed wait, and only that", () => {
    const state = new ReplicaFetcherState(LIMITS)
    state.follow(id(0), 3)
    state.follow(id(1), 3)
    state.request(0, () => at(0))
    state.answered(answer(5), 0)
    state.failed(id(0), 3, 0)
    expect(shown(state.request(50, () => at(0)))).toEqual({ session: [5, 1], named: [], forgotten: ["0-0"] })
    state.answered(answer(5), 50)
    expect(shown(state.request(100, () => at(0)))).toMatchObject({ session: [5, 2], named: ["0-0@0 epoch 3 last 0"] })
    state.disconnected(100)
    expect(state.nextDueMs()).toBe(200)
    expect(state.request(199, () => at(0))).toBeUndefined()
    expect(shown(state.request(200, () => at(0)))).toMatchObject({ session: [0, 0] })
  })

  it("never takes an answer for another leader epoch than it asked in", () => {
    const state = new ReplicaFetcherState(LIMITS)
    state.follow(id(0), 3)
    state.request(0, () => at(0))
    state.follow(id(0), 4)
    expect(state.answered(answer(5, [id(0)]), 0)).toEqual([])
    expect(shown(state.request(0, () => at(0)))).toMatchObject({ named: ["0-0@0 epoch 4 last 0"] })
  })

  it("is, session by session, what a broker that follows KIP-227 knows to be followed", () => {
    const move = fc.oneof(
      fc.record({ kind: fc.constant("follow" as const), partition: fc.nat(3), topic: fc.nat(1), epoch: fc.nat(3) }),
      fc.record({ kind: fc.constant("unfollow" as const), partition: fc.nat(3), topic: fc.nat(1) }),
      fc.record({ kind: fc.constant("fail" as const), partition: fc.nat(3), topic: fc.nat(1) }),
      fc.record({ kind: fc.constant("append" as const), partition: fc.nat(3), topic: fc.nat(1) }),
      fc.record({ kind: fc.constant("fetch" as const), answer: fc.constantFrom("answered", "lost", "forgotten", "no room") })
    )
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        const state = new ReplicaFetcherState(LIMITS)
        const followed = new Map<string, number>()
        const waits = new Map<string, number>()
        const ends = new Map<string, number>()
        /** The broker's session: what it knows, and which epoch it expects. */
        let session: { id: number; epoch: number; known: Map<string, string> } | undefined
        let sessions = 0
        let nowMs = 0
        const key = ({ partition, topicId }: { partition: number; topicId?: string | undefined }): string => `${topicId}/${partition}`
        for (const one of moves) {
          nowMs += 30
          if (one.kind === "follow") {
            const name = key(id(one.partition, one.topic))
            if (state.follow(id(one.partition, one.topic), one.epoch)) waits.delete(name)
            followed.set(name, one.epoch)
          } else if (one.kind === "unfollow") {
            state.unfollow(id(one.partition, one.topic))
            followed.delete(key(id(one.partition, one.topic)))
            waits.delete(key(id(one.partition, one.topic)))
          } else if (one.kind === "fail") {
            const epoch = followed.get(key(id(one.partition, one.topic)))
            if (epoch === undefined) continue
            state.failed(id(one.partition, one.topic), epoch, nowMs)
            waits.set(key(id(one.partition, one.topic)), nowMs + LIMITS.backoffMs)
          } else if (one.kind === "append") {
            const name = key(id(one.partition, one.topic))
            ends.set(name, (ends.get(name) ?? 0) + 1)
          } else {
            const fields = state.request(nowMs, (asked) => at(ends.get(key(asked)) ?? 0))
            const due = new Map([...followed].filter(([name]) => (waits.get(name) ?? 0) <= nowMs)
              .map(([name, epoch]) => [name, `${ends.get(name) ?? 0} in ${epoch}`]))
            if (fields === undefined) {
              expect(due.size).toBe(0)
              continue
            }
            if (fields.sessionEpoch === 0) session = { id: ++sessions, epoch: 1, known: new Map() }
            else {
              expect([fields.sessionId, fields.sessionEpoch]).toEqual([session?.id, session?.epoch])
              session!.epoch++
            }
            for (const { partitions, topicId } of fields.topics) {
              for (const asked of partitions) {
                session!.known.set(key({ ...asked, topicId }), `${asked.fetchOffset} in ${asked.currentLeaderEpoch}`)
              }
            }
            for (const { partitions, topicId } of fields.forgottenTopicsData) {
              for (const partition of partitions) session!.known.delete(key({ partition, topicId }))
            }
            expect(session!.known).toEqual(due)
            switch (one.answer) {
              case "answered":
                state.answered(answer(session!.id), nowMs)
                break
              case "no room":
                state.answered(answer(0), nowMs)
                session = undefined
                break
              case "forgotten":
                state.answered(answer(0, [], ErrorCode.FETCH_SESSION_ID_NOT_FOUND), nowMs)
                session = undefined
                break
              case "lost":
                state.disconnected(nowMs)
                for (const name of followed.keys()) waits.set(name, nowMs + LIMITS.backoffMs)
            }
          }
        }
      }),
      { seed: 227, numRuns: 500 }
    )
  })
})

/** A log as the epochs of its records: the epoch at index n wrote offset n. */
const cacheOf = (epochs: ReadonlyArray<number>): LeaderEpochCache => {
  const cache = new LeaderEpochCache()
  epochs.forEach((epoch, offset) => {
    if (epoch !== cache.latestEpoch) cache.assign(epoch, offset)
  })
  return cache
}

describe("How far a follower goes back", () => {
  it("is to the end of what it has in common with its leader, in as many steps as it has epochs", () => {
    const grown = (from: number) => fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 8 })
      .map((steps) => steps.reduce<Array<number>>((epochs, step) => [...epochs, (epochs.at(-1) ?? from) + step], []))
    fc.assert(
      fc.property(grown(0), grown(0), grown(0), fc.array(fc.nat({ max: 16 }), { maxLength: 2 }), (common, a, b, deleted) => {
        // An epoch has one leader: behind what is common each epoch is of one of the two alone.
        const base = (common.at(-1) ?? 0) + 1
        const follower = [...common, ...a.map((epoch) => base + 2 * epoch)]
        const leader = [...common, ...b.map((epoch) => base + 2 * epoch + 1)]
        const leaderCache = cacheOf(leader)
        // Every leader begins its epoch before it is fetched from.
        leaderCache.assign(100, leader.length)
        // Also where the leader has deleted what parts the two.
        for (const upTo of deleted) leaderCache.truncateFromStart(Math.min(upTo, leader.length))
        let log = follower
        for (let round = 0;; round++) {
          expect(round).toBeLessThanOrEqual(new Set(follower).size + 1)
          const cache = cacheOf(log)
          if (cache.latestEpoch === -1) break
          const end = leaderCache.endOffsetFor(cache.latestEpoch, leader.length)
          if (end.leaderEpoch >= cache.latestEpoch && end.endOffset >= log.length) break
          const own = cache.endOffsetFor(end.leaderEpoch, log.length)
          const offset = truncationOffset({ epoch: end.leaderEpoch, endOffset: end.endOffset }, own, log.length)
          expect(offset).toBeLessThan(log.length)
          log = log.slice(0, offset)
        }
        expect(log).toEqual(common)
      }),
      { seed: 279, numRuns: 1000 }
    )
  })
})
