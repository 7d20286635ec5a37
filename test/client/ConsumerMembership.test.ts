import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import {
  hasGeneration,
  isMember,
  makeMembership,
  type MembershipAction,
  type MembershipEvent,
  type MembershipState,
  nextTickMs,
  step
} from "../../core/client/ClassicMembership.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"

const options = {
  groupInstanceId: undefined,
  sessionTimeoutMs: 1000,
  heartbeatIntervalMs: 100,
  maxPollIntervalMs: 3000,
  retryBackoffMs: 20
}

/** What the coordinator may answer, with the codes of each request. */
const codes = fc.constantFrom(
  ErrorCode.NONE,
  ErrorCode.NONE,
  ErrorCode.NONE,
  ErrorCode.MEMBER_ID_REQUIRED,
  ErrorCode.UNKNOWN_MEMBER_ID,
  ErrorCode.ILLEGAL_GENERATION,
  ErrorCode.REBALANCE_IN_PROGRESS,
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.GROUP_MAX_SIZE_REACHED
)

const moves = fc.array(
  fc.record({
    move: fc.constantFrom("answer", "answer", "answer", "answer late", "lose", "hooks", "hooks", "poll", "rejoin", "commit refused", "unsubscribe", "subscribe"),
    code: codes,
    passMs: fc.constantFrom(0, 0, 5, 50, 120, 1100, 3100),
    isLeader: fc.boolean()
  }),
  { maxLength: 60 }
)

/** Runs a member and keeps what was sent and is not answered. */
class World {
  readonly state: MembershipState
  nowMs = 1000
  generation = 0
  /** What still waits for an answer, in order. */
  sent: Array<MembershipAction> = []
  answered: Array<MembershipAction> = []
  all: Array<MembershipAction> = []

  constructor(instanceId?: string) {
    this.state = makeMembership({ ...options, groupInstanceId: instanceId })
  }

  run(event: MembershipEvent): ReadonlyArray<MembershipAction> {
    const actions = step(this.state, event, this.nowMs)
    for (const action of actions) {
      this.all.push(action)
      if (action._tag === "SendHeartbeat") {
        expect(action.generationId).toBeGreaterThanOrEqual(0)
        expect(action.memberId).not.toBe("")
        expect(this.state.phase === "Stable" || this.state.phase === "Syncing").toBe(true)
      }
      if (action._tag === "SendLeave") expect(action.memberId).not.toBe("")
      if (action._tag.startsWith("Send") && action._tag !== "SendLeave") this.sent.push(action)
    }
    if (this.state.work === "Complete") expect(isMember(this.state)).toBe(true)
    if (this.state.phase === "Stable") expect(hasGeneration(this.state)).toBe(true)
    if (this.state.isSending) expect(this.state.phase === "Joining" || this.state.phase === "Syncing").toBe(true)
    return actions
  }

  /** The coordinator's answer to what was sent. */
  answer(action: MembershipAction, errorCode: number, isLeader: boolean): ReadonlyArray<MembershipAction> {
    switch (action._tag) {
      case "SendJoin": {
        const memberId = action.memberId === "" ? `member-${action.attempt}` : action.memberId
        // Only who has none is asked to come back with one.
        const code = errorCode === ErrorCode.MEMBER_ID_REQUIRED && action.memberId !== "" ? ErrorCode.NONE : errorCode
        return this.run({
          _tag: "JoinAnswered",
          attempt: action.attempt,
          errorCode: code,
          memberId,
          generationId: ++this.generation,
          protocolName: "range",
          leader: isLeader ? memberId : "other",
          skipAssignment: false,
          members: []
        })
      }
      case "SendSync":
        return this.run({ _tag: "SyncAnswered", attempt: action.attempt, errorCode: errorCode === ErrorCode.MEMBER_ID_REQUIRED ? 0 : errorCode, assignment: new Uint8Array([1]) })
      case "SendHeartbeat":
        return this.run({ _tag: "HeartbeatAnswered", generationId: action.generationId, memberId: action.memberId, errorCode: errorCode === ErrorCode.MEMBER_ID_REQUIRED ? 0 : errorCode })
      default:
        return []
    }
  }

  hooks(): void {
    if (this.state.work === "Prepare") this.run({ _tag: "Prepared" })
    else if (this.state.work === "Complete") {
      expect(this.state.assignment).toBeDefined()
      this.run({ _tag: "Completed", rejoin: undefined })
    }
  }

  pass(ms: number): void {
    this.nowMs += ms
    this.run({ _tag: "Tick" })
    // Else it would tick for ever without time passing.
    expect(nextTickMs(this.state)).toBeGreaterThan(this.nowMs)
  }
}

const play = (world: World, script: ReadonlyArray<{ readonly move: string; readonly code: number; readonly passMs: number; readonly isLeader: boolean }>): void => {
  world.run({ _tag: "Subscribed", reason: "test" })
  for (const { code, isLeader, move, passMs } of script) {
    world.pass(passMs)
    switch (move) {
      case "answer": {
        const action = world.sent.shift()
        if (action === undefined) break
        world.answered.push(action)
        world.answer(action, code, isLeader)
        break
      }
      case "answer late": {
        // What was answered or given up before: nobody waits for it any more.
        const action = world.answered.at(-1)
        if (action === undefined || action._tag === "SendHeartbeat") break
        const before = JSON.stringify(world.state)
        world.answer(action, code, isLeader)
        expect(JSON.stringify(world.state)).toBe(before)
        break
      }
      case "lose": {
        const action = world.sent.shift()
        if (action?._tag === "SendHeartbeat") world.run({ _tag: "HeartbeatFailed" })
        else if (action?._tag === "SendJoin" || action?._tag === "SendSync") world.run({ _tag: "JoinFailed", attempt: action.attempt })
        break
      }
      case "hooks":
        world.run({ _tag: "Polled" })
        world.hooks()
        break
      case "poll":
        world.run({ _tag: "Polled" })
        break
      case "rejoin":
        world.run({ _tag: "Rejoin", reason: "test" })
        break
      case "commit refused":
        world.run({ _tag: "CommitRefused", generationId: world.state.generationId, memberId: world.state.memberId, errorCode: code })
        break
      case "unsubscribe": {
        world.run({ _tag: "Leave", reason: "test" })
        expect(nextTickMs(world.state)).toBe(Infinity)
        expect(isMember(world.state)).toBe(false)
        // Whatever comes in now, nothing goes out.
        const silent = [...world.sent.splice(0)]
        for (const action of silent) expect(world.answer(action, code, isLeader)).toEqual([])
        world.pass(10_000)
        expect(world.sent).toEqual([])
        break
      }
      default:
        world.run({ _tag: "Subscribed", reason: "test" })
    }
  }
}

describe("ClassicMembership", () => {
  it("whatever happened, it becomes a member again when its coordinator answers and its application polls", () => {
    fc.assert(
      fc.property(moves, (script) => {
        const world = new World()
        play(world, script)
        world.run({ _tag: "Subscribed", reason: "again" })
        for (let round = 0; round < 100; round++) {
          world.run({ _tag: "Polled" })
          world.hooks()
          for (const action of world.sent.splice(0)) world.answer(action, ErrorCode.NONE, false)
          world.pass(25)
        }
        expect(isMember(world.state)).toBe(true)
        expect(world.state.work).toBe("None")
        expect(world.state.needsRejoin).toBe(false)
      }),
      { numRuns: 500 }
    )
  })

  it("the same events give the same state and the same actions", () => {
    fc.assert(
      fc.property(moves, (script) => {
        const [one, two] = [new World(), new World()]
        play(one, script)
        play(two, script)
        expect(one.state).toEqual(two.state)
        expect(one.all).toEqual(two.all)
      })
    )
  })

  const joined = (instanceId?: string): World => {
    const world = new World(instanceId)
    world.run({ _tag: "Subscribed", reason: "test" })
    world.hooks()
    world.answer(world.sent.shift()!, ErrorCode.NONE, true)
    world.answer(world.sent.shift()!, ErrorCode.NONE, true)
    world.hooks()
    expect(isMember(world.state)).toBe(true)
    return world
  }

  it("comes back with the member id that it is given (KIP-394)", () => {
    const world = new World()
    world.run({ _tag: "Subscribed", reason: "test" })
    world.hooks()
    const first = world.sent.shift()!
    world.answer(first, ErrorCode.MEMBER_ID_REQUIRED, false)
    expect(world.sent).toMatchObject([{ _tag: "SendJoin", memberId: "member-1" }])
  })

  it("sends heartbeats at their interval while its application does not poll, and leaves when that takes too long", () => {
    const world = joined()
    let heartbeats = 0
    for (let passed = 0; passed < 2900; passed += 50) {
      world.pass(50)
      for (const action of world.sent.splice(0)) {
        expect(action._tag).toBe("SendHeartbeat")
        heartbeats++
        world.answer(action, ErrorCode.NONE, false)
      }
    }
    expect(heartbeats).toBeGreaterThanOrEqual(28)
    expect(heartbeats).toBeLessThanOrEqual(29)
    world.pass(200)
    expect(world.all.at(-2)).toMatchObject({ _tag: "SendLeave", reason: "consumer poll timeout has expired." })
    // Its next poll hears that it has lost everything, and joins again as a new member.
    expect(world.state).toMatchObject({ work: "Prepare", memberId: "", generationId: -1 })
    world.hooks()
    expect(world.sent).toMatchObject([{ _tag: "SendJoin", memberId: "" }])
  })

  it("a static member leaves without telling, and one that was replaced says no more (KIP-345)", () => {
    const quiet = joined("one")
    quiet.run({ _tag: "Leave", reason: "close" })
    expect(quiet.all.filter(({ _tag }) => _tag === "SendLeave")).toEqual([])
    const world = joined("one")
    world.pass(150)
    world.answer(world.sent.shift()!, ErrorCode.FENCED_INSTANCE_ID, false)
    expect(world.all.at(-1)).toMatchObject({ _tag: "Fail", errorCode: ErrorCode.FENCED_INSTANCE_ID })
    world.pass(10_000)
    world.run({ _tag: "Polled" })
    world.hooks()
    expect(world.sent).toEqual([])
  })

  it("a rebalance keeps member and generation until the next one is known; an unknown member begins anew", () => {
    const world = joined()
    const { generationId, memberId } = world.state
    world.pass(150)
    world.answer(world.sent.shift()!, ErrorCode.REBALANCE_IN_PROGRESS, false)
    expect(world.state).toMatchObject({ phase: "Stable", work: "Prepare", memberId, generationId })
    world.hooks()
    world.answer(world.sent.shift()!, ErrorCode.UNKNOWN_MEMBER_ID, false)
    // Hooks run once more: what it still holds is lost.
    expect(world.state).toMatchObject({ phase: "Unjoined", work: "Prepare", memberId: "", generationId: -1 })
  })

  it("looks for its coordinator again when no heartbeat is answered for a session", () => {
    const world = joined()
    for (let passed = 0; passed <= 1000; passed += 50) {
      world.pass(50)
      for (const _ of world.sent.splice(0)) world.run({ _tag: "HeartbeatFailed" })
    }
    expect(world.all.some(({ _tag }) => _tag === "ForgetCoordinator")).toBe(true)
  })

  it("looks after a join that is not answered for a session, again and again, and joins anew when it is lost", () => {
    const world = new World()
    world.run({ _tag: "Subscribed", reason: "test" })
    world.hooks()
    const [lost] = world.sent
    const checks = () => world.all.filter(({ _tag }) => _tag === "CheckJoin")
    for (let passed = 0; passed < 2500; passed += 50) {
      world.pass(50)
      world.run({ _tag: "Polled" })
    }
    expect(checks()).toEqual([{ _tag: "CheckJoin", attempt: 1, memberId: "" }, { _tag: "CheckJoin", attempt: 1, memberId: "" }])
    world.run({ _tag: "JoinFailed", attempt: 1 })
    world.pass(50)
    expect(world.sent).toMatchObject([lost, { _tag: "SendJoin", attempt: 2 }])
    // Each join has a session of its own; who has its answer has heartbeats.
    world.pass(950)
    expect(checks()).toHaveLength(2)
    world.answer(world.sent.pop()!, ErrorCode.NONE, false)
    world.pass(1000)
    expect(checks()).toHaveLength(2)
  })
})
