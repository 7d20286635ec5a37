/**
 * One run of the production broker with one group whose members come, go, stall and die while the broker restarts, all
 * decided by a seed on a virtual clock. What is held, besides the rules of ModelHistory.ts:
 *  - no join and no sync waits longer than the group's timeouts: every rebalance ends
 *  - when the members behave again, the group becomes stable within its timeouts, has just the members that live, and
 *    each partition has one owner, who knows it
 *  - one that vanishes then is given up, and the others take over
 *  - a restart then changes nothing: members, generation, assignments, offsets, and no member needs to join again
 *  - when all have left, the group is empty, its offsets stay; deleted, they are gone
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { DescribeGroupsResponseDescribedGroup } from "../../core/protocol/generated/DescribeGroups.ts"
import type { RpcConnection, RpcError } from "../../core/rpc/RpcConnection.ts"
import { hashOf, Sim } from "../../core/testing/Sim.ts"
import { makeWorld, type RunningBroker, startBroker } from "../broker/TestBroker.ts"
import * as Apis from "../broker/handlers/GroupClient.ts"
import { GroupHistory, RuleBroken } from "./ModelHistory.ts"
import { fetchOffset, GROUP, leave, live, makeMember, type Member, type ModelRun, partitionsOf, TOPIC } from "./ModelMember.ts"

export interface ModelResult {
  readonly seed: number
  readonly hash: string
  readonly trace: ReadonlyArray<string>
  readonly generations: number
  readonly commits: number
  readonly fetches: number
  readonly restarts: number
  readonly virtualMs: number
}

/** What a run found wrong; the message begins with the seed and ends with what came before. */
export class ModelFailure extends Error {
  readonly _tag = "ModelFailure"
}

const PORT = 9092
const PARTITIONS = 6
const MAX_MEMBERS = 5
const ROUNDS = 40
const START_MS = 1_700_000_000_000

export const modelRun = async (seed: number): Promise<ModelResult> => {
  const sim = new Sim(seed)
  const trace: Array<string> = []
  const state = { restarts: 0 }
  const history = new GroupHistory()
  const failureOf = (message: string): ModelFailure => new ModelFailure(`seed ${seed}: ${message}\n${trace.slice(-80).join("\n")}`)
  const fail = (message: string): never => {
    throw failureOf(message)
  }
  const note = (line: string): void => void trace.push(`${sim.nowMs - START_MS} ${line}`)
  try {
    await sim.run(Effect.scoped(simulate(seed, sim, history, note, fail, state)))
  } catch (error) {
    throw error instanceof RuleBroken ? failureOf(error.message) : error
  }
  return {
    seed,
    hash: hashOf(trace),
    trace,
    generations: history.generation,
    commits: history.commits,
    fetches: history.fetches,
    restarts: state.restarts,
    virtualMs: sim.nowMs - START_MS
  }
}

interface Alive {
  readonly member: Member
  readonly fiber: Fiber.Fiber<void>
}

const simulate = (
  seed: number,
  sim: Sim,
  history: GroupHistory,
  note: (line: string) => void,
  fail: (message: string) => never,
  state: { restarts: number }
) =>
  Effect.gen(function*() {
    const between = (low: number, high: number): number => low + Math.floor(sim.random() * (high - low + 1))
    const world = yield* makeWorld({ seed })
    const start = startBroker(world, {
      listeners: `PLAINTEXT://127.0.0.1:${PORT}`,
      "offsets.topic.num.partitions": "3",
      "group.min.session.timeout.ms": "100",
      "group.initial.rebalance.delay.ms": seed % 3 === 0 ? "1000" : "0"
    })
    let running: RunningBroker = yield* start
    const run: ModelRun = {
      sim, note, fail, history, between,
      chance: (percent) => sim.random() * 100 < percent,
      connect: Effect.suspend(() => Effect.map(running.connect, ({ rpc }) => rpc)),
      partitions: PARTITIONS,
      sessionTimeoutMs: 3000,
      rebalanceTimeoutMs: 5000,
      isCalm: false,
      nextOffset: 1
    }
    /** Calls until it succeeds. */
    const eventually = <A>(use: (rpc: RpcConnection) => Effect.Effect<A, RpcError | "again">): Effect.Effect<A> =>
      Effect.eventually(Effect.catch(Effect.scoped(Effect.flatMap(run.connect, use)), () => Effect.andThen(Effect.sleep(50), Effect.fail("again"))))

    yield* Effect.scoped(Effect.flatMap(running.connect, (client) => client.createTopic(TOPIC, PARTITIONS)))
    yield* eventually((rpc) =>
      Effect.flatMap(rpc.call(Apis.findCoordinatorApi, { key: GROUP }, { version: 3 }), ({ errorCode }) =>
        errorCode === ErrorCode.NONE ? Effect.void : Effect.fail("again" as const)))

    const alive: Array<Alive> = []
    let count = 0
    const add = Effect.gen(function*() {
      const instance = run.chance(35) ? `i${between(0, 2)}` : null
      const member = makeMember(`m${count++}`, instance)
      note(`${member.name} is born${instance === null ? "" : ` as ${instance}`}`)
      alive.push({ member, fiber: yield* Effect.forkChild(live(run, member)) })
    })
    const kill = Effect.gen(function*() {
      const [one] = alive.splice(between(0, alive.length - 1), 1)
      if (one === undefined) return
      note(`${one.member.name} vanishes`)
      yield* Fiber.interrupt(one.fiber)
    })
    const restart = Effect.gen(function*() {
      state.restarts++
      const isStop = run.chance(50)
      note(isStop ? "the broker stops" : "the broker is killed")
      yield* isStop ? running.stop : running.crash({ _tag: "process" })
      history.brokerEnded()
      yield* Effect.sleep(between(0, 500))
      running = yield* start
      note("the broker starts")
    })
    /** A member that failed a rule ends the run. */
    const checkAlive = Effect.gen(function*() {
      for (const { fiber, member } of alive.slice()) {
        const exit = fiber.pollUnsafe()
        if (exit === undefined) continue
        if (exit._tag === "Failure") return yield* exit
        // fenced: its successor lives
        if (member.isFenced) alive.splice(alive.findIndex((one) => one.member === member), 1)
      }
    })

    yield* add
    for (let round = 0; round < ROUNDS; round++) {
      // at times nothing happens for longer than a rebalance may take: then only timeouts end what hangs
      yield* Effect.sleep(run.chance(12) ? between(5000, 20_000) : run.chance(50) ? between(1, 300) : between(300, 2500))
      yield* checkAlive
      const kind = between(0, 9)
      if (alive.length === 0 || kind < 4 && alive.length < MAX_MEMBERS) yield* add
      else if (kind < 7) yield* kill
      else if (kind < 9) yield* restart
    }

    run.isCalm = true
    note("calm")
    const settle = Effect.andThen(Effect.sleep(4 * run.sessionTimeoutMs + 3 * run.rebalanceTimeoutMs), checkAlive)
    yield* settle
    if (alive.length === 0) yield* Effect.andThen(add, settle)

    const describe = eventually((rpc) =>
      Effect.flatMap(rpc.call(Apis.describeGroupsApi, { groups: [GROUP] }, { version: between(0, 5) }), ({ groups }) =>
        groups[0]!.errorCode === ErrorCode.NONE ? Effect.succeed(groups[0]!) : Effect.fail("again" as const)))
    const members = (): ReadonlyArray<Member> => alive.map(({ member }) => member)
    checkStable(yield* describe, members(), fail)

    // one vanishes, and nobody else does anything: its session ends, the others take over
    if (alive.length > 1) yield* Effect.andThen(kill, settle)
    const before = yield* describe
    checkStable(before, members(), fail)

    // a restart is not noticed
    yield* restart
    yield* Effect.sleep(2 * run.sessionTimeoutMs)
    yield* checkAlive
    const after = yield* describe
    checkStable(after, members(), fail)
    if (shown(after) !== shown(before)) fail(`after a restart:\n${shown(after)}\nbefore:\n${shown(before)}`)

    for (let partition = 0; partition < PARTITIONS; partition++) {
      yield* eventually((rpc) => fetchOffset(run, { name: "the end" }, rpc, partition))
    }
    for (const { fiber, member } of alive) {
      yield* Fiber.interrupt(fiber)
      yield* eventually((rpc) => leave(run, member, rpc))
    }
    const empty = yield* describe
    if (empty.groupState !== "Empty" || empty.members.length > 0) fail(`when all have left, the group is ${empty.groupState} with ${empty.members.length} members`)
    for (let partition = 0; partition < PARTITIONS; partition++) {
      yield* eventually((rpc) => fetchOffset(run, { name: "the end" }, rpc, partition))
    }
    const deleted = yield* eventually((rpc) => rpc.call(Apis.deleteGroupsApi, { groupsNames: [GROUP] }, { version: 2 }))
    if (deleted.results[0]?.errorCode !== ErrorCode.NONE) fail(`the empty group is not deleted: ${deleted.results[0]?.errorCode}`)
    const gone = yield* eventually((rpc) => rpc.call(Apis.offsetFetchApi, { groupId: GROUP, topics: null }, { version: 7 }))
    if (gone.topics.length > 0) fail("a deleted group has offsets")
  })

const shown = (group: DescribeGroupsResponseDescribedGroup): string =>
  group.members.map((one) => `${one.memberId}: ${partitionsOf(one.memberAssignment).join(",")}`).sort().join("\n")

/** The group is stable, has just these members, and they know what they own: everything, each partition once. */
const checkStable = (group: DescribeGroupsResponseDescribedGroup, members: ReadonlyArray<Member>, fail: (message: string) => never): void => {
  if (group.groupState !== "Stable") fail(`the group is ${group.groupState}, with ${group.members.length} members`)
  const ids = group.members.map(({ memberId }) => memberId).sort().join(" ")
  const expected = members.map(({ memberId }) => memberId).sort().join(" ")
  if (ids !== expected) fail(`members are ${ids}; those who live are ${expected}`)
  const owned: Array<number> = []
  for (const { memberAssignment, memberId } of group.members) {
    const partitions = partitionsOf(memberAssignment)
    const own = members.find((member) => member.memberId === memberId)?.owned
    if (own?.join() !== partitions.join()) fail(`${memberId} owns ${partitions.join()}, and believes ${own?.join()}`)
    owned.push(...partitions)
  }
  if (owned.sort((a, b) => a - b).join() !== Array.from({ length: PARTITIONS }, (_, p) => p).join()) fail(`owned partitions: ${owned.join()}`)
}
