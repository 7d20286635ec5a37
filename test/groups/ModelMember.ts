/**
 * A member of a group as a client would be one, by the classic protocol at random versions: it joins, leads or follows,
 * keeps its session alive, commits and reads offsets; and it misbehaves: it joins and never syncs, or does not
 * join again, with its session alive or not; it falls silent, speaks of an older generation, leaves, comes back. Everything it is told goes to the history, which holds the rules.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { encodeConsumerProtocolSubscription } from "../../core/protocol/generated/records/ConsumerProtocolSubscription.ts"
import type { RpcConnection, RpcError } from "../../core/rpc/RpcConnection.ts"
import type { Sim } from "../../core/testing/Sim.ts"
import * as Apis from "../broker/handlers/GroupClient.ts"
import type { GroupHistory } from "./ModelHistory.ts"

export const TOPIC = "t"
export const GROUP = "g"
/** A call that a broker lost would end here; none may. */
const CALL_MS = 600_000
/** How much longer than the group's timeouts allow an answer may take: the wake-up of a timer. */
const SLACK_MS = 1000

export interface ModelRun {
  readonly sim: Sim
  readonly note: (line: string) => void
  readonly fail: (message: string) => never
  readonly history: GroupHistory
  readonly between: (low: number, high: number) => number
  readonly chance: (percent: number) => boolean
  /** A connection to the broker that runs now. */
  readonly connect: Effect.Effect<RpcConnection, RpcError, Scope>
  readonly partitions: number
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /** From here on nobody misbehaves. */
  isCalm: boolean
  nextOffset: number
}

export interface Member {
  readonly name: string
  readonly instance: string | null
  memberId: string
  generation: number
  /** What it owns; undefined while it is not in a stable group. */
  owned: ReadonlyArray<number> | undefined
  /** It was fenced: another one has its instance id. */
  isFenced: boolean
}

export const makeMember = (name: string, instance: string | null): Member => ({
  name, instance, memberId: "", generation: -1, owned: undefined, isFenced: false
})

const utf8 = new TextEncoder()
const text = new TextDecoder()

const subscription = ((): Uint8Array => {
  const writer = new ByteWriter(64)
  writer.int16(0)
  encodeConsumerProtocolSubscription(writer, 0, { topics: [TOPIC] })
  return writer.toBytes()
})()

/** The partitions of an assignment's bytes. */
export const partitionsOf = (assignment: Uint8Array): ReadonlyArray<number> =>
  text.decode(assignment).split(",").filter((one) => one !== "").map(Number)

/** `undefined` ends the member's life on this connection; it begins another. */
const again = Effect.fail("again" as const)

/** Lives until it is interrupted or fenced. */
export const live = (run: ModelRun, member: Member): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (!member.isFenced) {
      yield* Effect.scoped(Effect.flatMap(run.connect, (rpc) => session(run, member, rpc))).pipe(
        Effect.catch(() => Effect.sleep(run.between(10, 60)))
      )
      member.owned = undefined
    }
  })

/** Calls, and holds the time that the answer took. */
const timed = <A>(run: ModelRun, what: string, limitMs: number, call: Effect.Effect<A, RpcError>): Effect.Effect<A, RpcError> =>
  Effect.suspend(() => {
    const begin = run.sim.nowMs
    return Effect.tap(call, () => {
      const took = run.sim.nowMs - begin
      return took > limitMs ? Effect.sync(() => run.fail(`${what} was answered after ${took} ms, ${limitMs} are allowed`)) : Effect.void
    })
  })

const session = (run: ModelRun, member: Member, rpc: RpcConnection): Effect.Effect<void, RpcError | "again"> =>
  Effect.gen(function*() {
    for (;;) {
      member.owned = undefined
      const joined = yield* join(run, member, rpc)
      if (joined === undefined) {
        if (member.isFenced) return
        continue
      }
      if (!run.isCalm && run.chance(12)) {
        yield* hang(run, member, rpc, "never syncs")
        continue
      }
      const owned = yield* sync(run, member, rpc, joined)
      if (owned === undefined) {
        if (member.isFenced) return
        continue
      }
      member.owned = owned
      for (const partition of owned) if (run.chance(50)) yield* fetchOffset(run, member, rpc, partition)
      yield* work(run, member, rpc)
      if (member.isFenced) return
    }
  })

interface Joined {
  readonly protocolName: string | null
  readonly assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>
}

/** Does not do what the group waits for, with its session kept alive or not: only the rebalance timeout ends that. */
const hang = (run: ModelRun, member: Member, rpc: RpcConnection, what: string): Effect.Effect<void, RpcError> =>
  Effect.gen(function*() {
    const isAlive = run.chance(60)
    const untilMs = run.sim.nowMs + run.between(100, 3 * run.rebalanceTimeoutMs)
    run.note(`${member.name} ${what}, ${isAlive ? "alive" : "silent"}`)
    while (run.sim.nowMs < untilMs) {
      yield* Effect.sleep(Math.min(run.sessionTimeoutMs / 3, untilMs - run.sim.nowMs))
      if (isAlive) yield* heartbeat(run, member, rpc, member.generation)
    }
  })

/** Tells the history when it says that the generation is in force. */
const heartbeat = (run: ModelRun, member: Member, rpc: RpcConnection, generation: number): Effect.Effect<number, RpcError> =>
  Effect.gen(function*() {
    const version = run.between(member.instance === null ? 0 : 3, 4)
    const called = run.history.generation
    const { errorCode } = yield* rpc.call(Apis.heartbeatApi, {
      groupId: GROUP, generationId: generation, memberId: member.memberId, ...(version >= 3 ? { groupInstanceId: member.instance } : {})
    }, { version, timeoutMs: CALL_MS })
    if (errorCode === ErrorCode.NONE && generation < called) run.fail(`${member.name}: a heartbeat of generation ${generation} is fine, though ${called} was in force`)
    return errorCode
  })

const join = (run: ModelRun, member: Member, rpc: RpcConnection): Effect.Effect<Joined | undefined, RpcError | "again"> =>
  Effect.gen(function*() {
    const version = run.between(member.instance === null ? 1 : 5, 9)
    const protocols = ["range", "roundrobin"].map((name) => ({ name, metadata: subscription }))
    const answer = yield* timed(run, `${member.name}'s join`, run.rebalanceTimeoutMs + SLACK_MS, rpc.call(Apis.joinGroupApi, {
      groupId: GROUP,
      sessionTimeoutMs: run.sessionTimeoutMs,
      rebalanceTimeoutMs: run.rebalanceTimeoutMs,
      memberId: member.memberId,
      ...(version >= 5 ? { groupInstanceId: member.instance } : {}),
      protocolType: "consumer",
      protocols
    }, { version, timeoutMs: CALL_MS }))
    run.note(`${member.name} joins (v${version}): ${answer.errorCode}, generation ${answer.generationId}, ${answer.members.length} members`)
    if (answer.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      member.memberId = answer.memberId
      return undefined
    }
    if (answer.errorCode !== ErrorCode.NONE) return yield* refused(run, member, "join", answer.errorCode)
    member.memberId = answer.memberId
    member.generation = answer.generationId
    const others = answer.members.map(({ memberId }) => memberId).sort()
    const assignments = others.map((memberId, index) => ({
      memberId,
      assignment: utf8.encode(Array.from({ length: run.partitions }, (_, p) => p).filter((p) => p % others.length === index).join(","))
    }))
    // a leader from version 9 on may be told that the group has its assignment already (KIP-814)
    return { protocolName: answer.protocolName, assignments: answer.skipAssignment ? [] : assignments }
  })

const sync = (run: ModelRun, member: Member, rpc: RpcConnection, joined: Joined, generation: number = member.generation): Effect.Effect<ReadonlyArray<number> | undefined, RpcError | "again"> =>
  Effect.gen(function*() {
    const version = run.between(member.instance === null ? 0 : 3, 5)
    if (run.chance(20)) yield* Effect.sleep(run.between(1, 200))
    const inForce = run.history.generation
    const answer = yield* timed(run, `${member.name}'s sync`, run.rebalanceTimeoutMs + SLACK_MS, rpc.call(Apis.syncGroupApi, {
      groupId: GROUP,
      generationId: generation,
      memberId: member.memberId,
      ...(version >= 3 ? { groupInstanceId: member.instance } : {}),
      ...(version >= 5 && joined.protocolName !== null ? { protocolType: "consumer", protocolName: joined.protocolName } : {}),
      assignments: joined.assignments
    }, { version, timeoutMs: CALL_MS }))
    run.note(`${member.name} syncs generation ${generation}: ${answer.errorCode} ${text.decode(answer.assignment)}`)
    if (answer.errorCode !== ErrorCode.NONE) return generation < member.generation ? undefined : yield* refused(run, member, "sync", answer.errorCode)
    if (generation < inForce) run.fail(`${member.name}: a sync of generation ${generation} is fine, though ${inForce} was in force`)
    const owned = partitionsOf(answer.assignment)
    run.history.assigned(generation, member.instance ?? member.memberId, owned)
    return owned
  })

/** What a member makes of an error: joins again, with its id or without. */
const refused = (run: ModelRun, member: Member, what: string, errorCode: number): Effect.Effect<undefined, "again"> => {
  switch (errorCode) {
    case ErrorCode.UNKNOWN_MEMBER_ID:
      member.memberId = ""
      return Effect.void as Effect.Effect<undefined>
    case ErrorCode.ILLEGAL_GENERATION:
    case ErrorCode.REBALANCE_IN_PROGRESS:
      return Effect.void as Effect.Effect<undefined>
    case ErrorCode.FENCED_INSTANCE_ID:
      member.isFenced = true
      return Effect.void as Effect.Effect<undefined>
    case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
    case ErrorCode.COORDINATOR_NOT_AVAILABLE:
    case ErrorCode.NOT_COORDINATOR:
      return again
    default:
      return run.fail(`${member.name}: ${what} was answered with error ${errorCode}`)
  }
}

/** Heartbeats, commits and reads until it must join again. */
const work = (run: ModelRun, member: Member, rpc: RpcConnection): Effect.Effect<void, RpcError | "again"> =>
  Effect.gen(function*() {
    for (;;) {
      yield* Effect.sleep(run.between(20, run.sessionTimeoutMs / 4))
      if (!run.isCalm && run.chance(2)) {
        const ms = run.between(run.sessionTimeoutMs, 2 * run.sessionTimeoutMs)
        run.note(`${member.name} is silent for ${ms} ms`)
        yield* Effect.sleep(ms)
      }
      if (!run.isCalm && run.chance(2)) return
      if (!run.isCalm && run.chance(2)) return yield* leave(run, member, rpc)
      const owned = member.owned ?? []
      if (owned.length > 0 && run.chance(50)) {
        const partition = owned[run.between(0, owned.length - 1)]!
        if (run.chance(30)) yield* fetchOffset(run, member, rpc, partition)
        else if (!(yield* commit(run, member, rpc, partition, member.generation))) return
      }
      // a thread of its own that has not heard of the rebalance
      if (!run.isCalm && run.chance(8)) {
        const kind = run.between(0, 2)
        if (kind === 0) yield* commit(run, member, rpc, run.between(0, run.partitions - 1), member.generation - 1)
        else if (kind === 1) yield* heartbeat(run, member, rpc, member.generation - 1)
        else yield* sync(run, member, rpc, { protocolName: null, assignments: [] }, member.generation - 1)
      }
      const errorCode = yield* heartbeat(run, member, rpc, member.generation)
      if (errorCode === ErrorCode.NONE) continue
      if (errorCode === ErrorCode.REBALANCE_IN_PROGRESS && !run.isCalm && run.chance(20)) yield* hang(run, member, rpc, "does not join again")
      run.note(`${member.name} heartbeat of ${member.generation}: ${errorCode}`)
      return yield* refused(run, member, "heartbeat", errorCode)
    }
  })

export const leave = (run: ModelRun, member: Member, rpc: RpcConnection): Effect.Effect<void, RpcError | "again"> =>
  Effect.gen(function*() {
    const version = run.between(0, 5)
    const answer = yield* rpc.call(Apis.leaveGroupApi, {
      groupId: GROUP,
      ...(version >= 3 ? { members: [{ memberId: member.memberId, groupInstanceId: member.instance }] } : { memberId: member.memberId })
    }, { version, timeoutMs: CALL_MS })
    const errorCode = answer.errorCode || (answer.members[0]?.errorCode ?? 0)
    run.note(`${member.name} leaves: ${errorCode}`)
    member.owned = undefined
    if (errorCode === ErrorCode.NONE) member.memberId = ""
    else yield* refused(run, member, "leave", errorCode)
  })

/** True when it was accepted. */
const commit = (run: ModelRun, member: Member, rpc: RpcConnection, partition: number, generation: number): Effect.Effect<boolean, RpcError | "again"> =>
  Effect.gen(function*() {
    const version = run.between(member.instance === null ? 2 : 7, 9)
    const offset = run.nextOffset++
    const call = run.history.commitCalled(partition, offset, generation)
    const answer = yield* rpc.call(Apis.offsetCommitApi, {
      groupId: GROUP,
      generationIdOrMemberEpoch: generation,
      memberId: member.memberId,
      ...(version >= 7 ? { groupInstanceId: member.instance } : {}),
      topics: [{ name: TOPIC, partitions: [{ partitionIndex: partition, committedOffset: offset, committedMetadata: `at ${offset}` }] }]
    }, { version, timeoutMs: CALL_MS })
    const errorCode = answer.topics[0]!.partitions[0]!.errorCode
    run.note(`${member.name} commits ${offset} of ${partition} in generation ${generation}: ${errorCode}`)
    run.history.commitAnswered(call, errorCode === ErrorCode.NONE)
    if (errorCode === ErrorCode.NONE) return true
    if (generation === member.generation) yield* refused(run, member, "commit", errorCode)
    return false
  })

export const fetchOffset = (run: ModelRun, member: Pick<Member, "name">, rpc: RpcConnection, partition: number): Effect.Effect<void, RpcError | "again"> =>
  Effect.gen(function*() {
    const version = run.between(1, 9)
    const call = run.history.fetchCalled(partition)
    const topics = [{ name: TOPIC, partitionIndexes: [partition] }]
    const answer = yield* rpc.call(Apis.offsetFetchApi, version >= 8 ? { groups: [{ groupId: GROUP, topics }] } : { groupId: GROUP, topics }, { version, timeoutMs: CALL_MS })
    const errorCode = version >= 8 ? answer.groups[0]!.errorCode : answer.errorCode
    const one = (version >= 8 ? answer.groups[0]!.topics : answer.topics)[0]?.partitions[0]
    if (errorCode !== ErrorCode.NONE || one === undefined || one.errorCode !== ErrorCode.NONE) {
      yield* refused(run, { name: member.name } as Member, "offset fetch", errorCode || (one?.errorCode ?? -1))
      return
    }
    const offset = Number(one.committedOffset)
    run.note(`${member.name} fetches ${partition}: ${offset}`)
    if (offset !== -1 && one.metadata !== `at ${offset}`) run.fail(`offset ${offset} came with the metadata ${one.metadata}`)
    run.history.fetchAnswered(call, offset)
  })
