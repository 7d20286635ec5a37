import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { FetchSessionState, type FetchTarget } from "../../core/client/FetchSessionState.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"

type Request = ReturnType<FetchSessionState["next"]>

/** A broker's side of one session (KIP-227), as small as it can be: what it would fetch. */
class BrokerSession {
  id = 0
  epoch = 0
  readonly partitions: Map<string, string> = new Map()
  #ids = 0

  /** @returns error and session id of the answer */
  receive(request: Request, hasRoom: boolean): { readonly errorCode: number; readonly sessionId: number } {
    if (request.sessionEpoch === 0) {
      this.partitions.clear()
      this.#take(request)
      this.id = hasRoom ? ++this.#ids : 0
      this.epoch = 1
      return { errorCode: ErrorCode.NONE, sessionId: this.id }
    }
    if (request.sessionId !== this.id || this.id === 0) return { errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND, sessionId: 0 }
    if (request.sessionEpoch !== this.epoch) return { errorCode: ErrorCode.INVALID_FETCH_SESSION_EPOCH, sessionId: this.id }
    this.epoch++
    for (const { partitions, topicId } of request.forgottenTopicsData) {
      for (const partition of partitions) this.partitions.delete(`${topicId}/${partition}`)
    }
    this.#take(request)
    return { errorCode: ErrorCode.NONE, sessionId: this.id }
  }

  #take(request: Request): void {
    for (const { partitions, topicId } of request.topics) {
      for (const { currentLeaderEpoch, fetchOffset, partition, partitionMaxBytes } of partitions) {
        this.partitions.set(`${topicId}/${partition}`, `${fetchOffset} ${currentLeaderEpoch} ${partitionMaxBytes}`)
      }
    }
  }
}

const targets: fc.Arbitrary<ReadonlyArray<FetchTarget>> = fc.uniqueArray(
  fc.record({
    topic: fc.constantFrom("a", "b"),
    incarnation: fc.nat(1),
    partition: fc.nat(3),
    fetchOffset: fc.nat(2),
    leaderEpoch: fc.integer({ min: -1, max: 1 })
  }),
  { selector: ({ partition, topic }) => `${topic}-${partition}`, maxLength: 8 }
).map((list) => {
  // A topic has one id at a time.
  const ids = new Map<string, string>()
  return list.map(({ incarnation, topic, ...rest }) => {
    if (!ids.has(topic)) ids.set(topic, `${topic}${incarnation}`)
    return { ...rest, topic, topicId: ids.get(topic)!, key: `${topic}-${rest.partition}`, maxBytes: 1000 }
  })
})

describe("FetchSessionState", () => {
  it("the broker fetches exactly what is wanted, whatever was lost, forgotten or refused before", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ wanted: targets, fate: fc.constantFrom("ok", "ok", "ok", "no room", "request lost", "answer lost", "evicted") }), { maxLength: 30 }),
        (rounds) => {
          const session = new FetchSessionState()
          const broker = new BrokerSession()
          for (const { fate, wanted } of rounds) {
            if (wanted.length === 0) continue
            if (fate === "evicted") broker.id = 0
            const request = session.next(wanted, true)
            if (fate === "request lost") {
              session.failed()
              continue
            }
            const { errorCode, sessionId } = broker.receive(request, fate !== "no room")
            if (fate === "answer lost") {
              session.failed()
              continue
            }
            const holds = session.answered(errorCode, sessionId)
            expect(holds).toBe(errorCode === ErrorCode.NONE)
            if (!holds) continue
            expect([...broker.partitions].sort()).toEqual(
              wanted.map(({ fetchOffset, leaderEpoch, maxBytes, partition, topicId }) => [`${topicId}/${partition}`, `${fetchOffset} ${leaderEpoch} ${maxBytes}`]).sort()
            )
            for (const { topic, topicId } of wanted) expect(session.topicName(topicId)).toBe(topic)
          }
        }
      )
    )
  })

  it("an increment names only what changed", () => {
    const session = new FetchSessionState()
    const target = (partition: number, fetchOffset: number): FetchTarget =>
      ({ key: `t-${partition}`, topic: "t", topicId: "T", partition, fetchOffset, leaderEpoch: 0, maxBytes: 10 })
    expect(session.next([target(0, 5), target(1, 5)], true)).toMatchObject({ sessionId: 0, sessionEpoch: 0 })
    session.answered(ErrorCode.NONE, 77)
    const second = session.next([target(0, 5), target(1, 6)], true)
    expect(second).toMatchObject({ sessionId: 77, sessionEpoch: 1, forgottenTopicsData: [] })
    expect(second.topics).toMatchObject([{ topicId: "T", partitions: [{ partition: 1, fetchOffset: 6 }] }])
    session.answered(ErrorCode.NONE, 77)
    expect(session.next([target(0, 5)], true)).toMatchObject({
      sessionEpoch: 2,
      topics: [],
      forgottenTopicsData: [{ topicId: "T", partitions: [1] }]
    })
    session.answered(ErrorCode.INVALID_FETCH_SESSION_EPOCH, 0)
    // Closes that session and asks for another.
    expect(session.next([target(0, 5)], true)).toMatchObject({ sessionId: 77, sessionEpoch: 0, topics: [{ partitions: [{ partition: 0 }] }] })
    session.answered(ErrorCode.NONE, 78)
    expect(session.close()).toMatchObject({ sessionId: 78, sessionEpoch: -1 })
    expect(session.close()).toBeUndefined()
  })

  it("a session by ids does not go on by names", () => {
    const session = new FetchSessionState()
    const target: FetchTarget = { key: "t-0", topic: "t", topicId: "T", partition: 0, fetchOffset: 0, leaderEpoch: 0, maxBytes: 10 }
    session.next([target], true)
    session.answered(ErrorCode.NONE, 5)
    expect(session.next([target], false)).toMatchObject({ sessionId: 5, sessionEpoch: 0, topics: [{ topic: "t" }] })
  })
})
