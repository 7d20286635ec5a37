/**
 * What a sequence knows of its groups, and how an exchange with several members is made comparable: after each request
 * both brokers come to rest, then the answers that it released, those who still wait and the group's description are
 * compared. Ids of members have a name on each side; generations must be equal.
 */
import { PeerError, sleep } from "../../scripts/peers/Processes.ts"
import type { Broker, Result } from "./Broker.ts"
import type { Tree } from "./Canonical.ts"
import type { Difference } from "./Differences.ts"
import type { LateAnswer } from "./Lines.ts"
import type { Fields, Request, World } from "./World.ts"

/** Where a member stands, as far as the judge told it. */
export type Phase = "new" | "joining" | "joined" | "syncing" | "stable" | "mustJoin" | "gone"

export interface MemberState {
  /** `g0.m1`: its name in both brokers' answers, and its connection. */
  readonly name: string
  readonly instance: string | null
  readonly protocols: ReadonlyArray<{ readonly name: string; readonly metadata: Uint8Array }>
  phase: Phase
  generation: number
  isLeader: boolean
  protocolName: string
}

export interface GroupState {
  readonly id: string
  readonly protocolType: string
  readonly protocolNames: ReadonlyArray<string>
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly maxMembers: number
  readonly members: Array<MemberState>
  /** Topics that its members subscribe to. */
  readonly subscribes: ReadonlyArray<string>
}

/** Members that the coordinator may count. */
export const counted = (group: GroupState): ReadonlyArray<MemberState> => group.members.filter(({ phase }) => phase !== "new" && phase !== "gone")

export const isWaiting = ({ phase }: MemberState): boolean => phase === "joining" || phase === "syncing"

export const groupApis: ReadonlySet<string> = new Set([
  "FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "OffsetCommit", "OffsetFetch", "OffsetDelete",
  "DescribeGroups", "ListGroups", "DeleteGroups"
])

/** Both brokers answer the same lines when they are at rest; how long the slower one may take. */
const AGREE_MS = 2500
const UNTIL_ANSWERED_MS = 6000

const describe = async (broker: Broker, world: World, group: string): Promise<Fields> => {
  const answer = await broker.ask("DescribeGroups", world.versions("DescribeGroups")[1], { groups: [group], includeAuthorizedOperations: false })
  return (answer["groups"] as ReadonlyArray<Fields>)[0] ?? {}
}

/** Waits until the same lines wait on both sides, and none where a timeout must answer all. */
const rest = async (judge: Broker, subject: Broker, step: Request): Promise<void> => {
  const until = async (timeoutMs: number, isDone: () => boolean): Promise<void> => {
    for (const deadline = performance.now() + timeoutMs; !isDone() && performance.now() < deadline;) await sleep(5)
  }
  const ofGroup = (broker: Broker): ReadonlyArray<string> => broker.lines.waiting().filter((line) => step.group?.endsWith(`-${line.split(".")[0]}`))
  if (step.untilAnswered === true) await until(UNTIL_ANSWERED_MS, () => ofGroup(judge).length + ofGroup(subject).length === 0)
  await until(AGREE_MS, () => judge.lines.waiting().join() === subject.lines.waiting().join())
}

export interface GroupOutcome {
  readonly late: ReadonlyArray<LateAnswer>
  readonly waiting: ReadonlyArray<string>
  readonly description: Fields
}

/** What a request did to a group, on both sides. */
export const groupOutcomes = async (judge: Broker, subject: Broker, world: World, step: Request): Promise<readonly [GroupOutcome, GroupOutcome]> => {
  const group = step.group
  if (group === undefined) throw new PeerError(`${step.api} names no group`)
  // a coordinator answers in the order of requests: what it does after this description is another request's doing
  await Promise.all([describe(judge, world, group), describe(subject, world, group)])
  await rest(judge, subject, step)
  const outcome = async (broker: Broker): Promise<GroupOutcome> => {
    const [late, waiting] = [broker.lines.take(), broker.lines.waiting()]
    return { late, waiting, description: await describe(broker, world, group) }
  }
  return Promise.all([outcome(judge), outcome(subject)])
}

/** Joins what a request did to the group to its own answer; `read` makes an answer's tree. */
export const withOutcome = (own: Tree, outcome: GroupOutcome, read: (result: Result) => Tree): Tree => {
  const answers: Record<string, Record<string, Tree>> = {}
  for (const { answer, line, step } of outcome.late) {
    answers[step.api] = { ...answers[step.api], [`[${line}]`]: { version: step.version, ...read(answer) as object } }
  }
  return {
    ...own as object,
    answers,
    waiting: outcome.waiting,
    group: read({ _tag: "Answer", fields: outcome.description })
  }
}

/** Every member leaves, every group goes: the next run finds nothing of this one. */
export const leaveAll = async (broker: Broker, world: World): Promise<void> => {
  for (const group of world.groups) {
    const members = group.members.map(({ instance, name }) => ({ memberId: broker.side.memberIds.get(name) ?? "", groupInstanceId: instance }))
      .filter(({ memberId }) => memberId !== "")
    if (members.length > 0) await broker.ask("LeaveGroup", 4, { groupId: group.id, members })
  }
  const groupsNames = [...world.groups.map(({ id }) => id), `${world.prefix}-alone`]
  if (world.groups.length > 0) await broker.ask("DeleteGroups", 2, { groupsNames })
}

/** Names of those who lead now, as the judge told. */
export const leaders = (world: World): ReadonlyArray<string> =>
  world.groups.flatMap(({ members }) => members.filter(({ isLeader, phase }) => isLeader && phase !== "gone").map(({ name }) => name))

/**
 * Kafka finds the successor of a leader in the order of a hash map of random ids: both brokers elected, one this member
 * and one that, and the old leader was neither. Nothing else differs; what follows cannot be compared.
 */
export const isElection = (found: ReadonlyArray<Difference>, leadersBefore: ReadonlyArray<string>): boolean =>
  found.length > 0 && found.every(({ fields }) => /^answers\.JoinGroup\.(leader|members)$/.test(fields)) &&
  found.filter(({ fields }) => fields.endsWith("leader")).every(({ kafka, ottla }) =>
    [kafka, ottla].every((leader) => leader.length > 2 && !leadersBefore.some((name) => leader.startsWith(`"${name} `))))
