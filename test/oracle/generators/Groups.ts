/**
 * Members of classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup at all versions, mostly in the order of the
 * protocol, at times out of it, with wrong generations, ids and instances.
 *
 * Kafka elects a leader by the order of a hash map of random ids. So a leader leaves only when at most one other
 * member could follow it, and groups with short timeouts have two members.
 */
import { ByteWriter } from "../../../core/protocol/ByteWriter.ts"
import { encodeConsumerProtocolSubscription } from "../../../core/protocol/generated/records/ConsumerProtocolSubscription.ts"
import { counted, type GroupState, isWaiting, type MemberState } from "../Groups.ts"
import { type Fields, type Generator, liveTopics, type Request, type Side, someVersion, type World } from "../World.ts"

const MAX_GROUPS = 4
/** Longer than a sequence takes. */
const LONG_MS = 90_000
/** A few requests take less, a pause of PAUSE_MS more. */
const SHORT_MS = 1500
const PAUSE_MS = 2500

const utf8 = new TextEncoder()

export const UNKNOWN_MEMBER = "nobody"

const newGroup = (world: World): GroupState => {
  const { random } = world
  const kind = random.weighted<"usual" | "short" | "fleeting">([[7, "usual"], [2, "short"], [1, "fleeting"]])
  const group: GroupState = {
    id: `${world.prefix}-g${world.groups.length}`,
    protocolType: random.weighted([[10, "consumer"], [1, "connect"]]),
    protocolNames: random.pick([["range"], ["range", "roundrobin"], ["roundrobin", "range"], ["cooperative-sticky", "range", "roundrobin"]]),
    sessionTimeoutMs: kind === "fleeting" ? SHORT_MS : LONG_MS,
    rebalanceTimeoutMs: kind === "short" ? SHORT_MS : LONG_MS,
    maxMembers: kind === "usual" ? 4 : kind === "short" ? 2 : 1,
    members: [],
    subscribes: liveTopics(world).slice(0, random.int(0, 2)).map(({ name }) => name)
  }
  world.groups.push(group)
  return group
}

/** A group for a request: mostly one that has members. */
export const someGroup = (world: World): GroupState =>
  world.groups.length === 0 || world.groups.length < MAX_GROUPS && world.random.chance(6) ? newGroup(world) : world.random.pick(world.groups)

const subscription = (world: World, group: GroupState): Uint8Array => {
  const { random } = world
  if (group.protocolType !== "consumer") return random.bytes(random.int(0, 20))
  // cut off, it is no subscription, and Kafka takes it all the same; it fails on one that counts topics wrongly
  if (random.chance(4)) return new Uint8Array(random.int(0, 4))
  const version = random.int(0, 3)
  const writer = new ByteWriter(256)
  writer.int16(random.chance(3) ? 7 : version)
  encodeConsumerProtocolSubscription(writer, version, {
    topics: group.subscribes,
    userData: random.pick([null, random.bytes(4)]),
    ...(version >= 1 ? { ownedPartitions: [] } : {}),
    ...(version >= 2 ? { generationId: random.pick([-1, 3]) } : {}),
    ...(version >= 3 ? { rackId: random.pick([null, "r1"]) } : {})
  })
  return writer.toBytes()
}

const newMember = (world: World, group: GroupState): MemberState => {
  const { random } = world
  const index = group.members.length
  const names = random.chance(5) ? ["unheard-of"] : group.protocolNames.length > 1 && random.chance(30) ? group.protocolNames.toReversed() : group.protocolNames
  const member: MemberState = {
    name: `${group.id.split("-")[1]}.m${index}`,
    instance: group.maxMembers > 2 && random.chance(30) ? `i${random.int(0, 2)}` : null,
    protocols: names.map((name) => ({ name, metadata: subscription(world, group) })),
    phase: "new",
    generation: -1,
    isLeader: false,
    protocolName: names[0] ?? ""
  }
  group.members.push(member)
  return member
}

export const idOf = (side: Side, member: MemberState): string => side.memberIds.get(member.name) ?? ""

/** Who calls, rightly or not. */
export interface Caller {
  readonly memberId: (side: Side) => string
  readonly generation: number
  readonly instance: string | null
  /** Nothing is wrong with it on purpose. */
  readonly isRight: boolean
}

/** A member as it should call, at times with something wrong. */
export const someCaller = (world: World, group: GroupState, member: MemberState, version: { readonly hasInstance: boolean; readonly ownId?: boolean }): Caller => {
  const { random } = world
  const other = version.ownId === true ? member : random.pick(group.members)
  const right = !random.chance(15)
  const memberId = right ? idOf : random.pick<(side: Side, member: MemberState) => string>([() => UNKNOWN_MEMBER, () => "", (side) => idOf(side, other)])
  const generation = right || random.chance(60) ? member.generation : random.pick([member.generation - 1, member.generation + 1, -1, 0, 99])
  const instance = !version.hasInstance ? null : right || random.chance(60) ? member.instance : random.pick([null, "i0", "i1", "i9"])
  return { memberId: (side) => memberId(side, member), generation, instance, isRight: right }
}

/** What an error tells a member that called rightly. */
const noted = (member: MemberState, errorCode: number): void => {
  // UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID: the id is worth nothing; a new one comes with a new join
  if (errorCode === 25 || errorCode === 82) member.phase = "gone"
  if (errorCode === 22 || errorCode === 27) member.phase = "mustJoin"
}

const join = (world: World, group: GroupState, member: MemberState): Request => {
  const { random } = world
  // some of what a member may do wrong in a join would change what the next requests rely on: only new members do it
  const isNew = member.phase === "new"
  const version = member.instance === null ? someVersion(world, "JoinGroup") : Math.max(5, someVersion(world, "JoinGroup"))
  // version 0 has one timeout only, which must not be a short one
  const atLeast = group.rebalanceTimeoutMs === group.sessionTimeoutMs ? version : Math.max(1, version)
  const wrong = isNew ? random.weighted<string>([[25, ""], [1, "protocolType"], [1, "noType"], [1, "noProtocols"], [1, "session"], [1, "member"], [1, "instance"], [1, "group"]]) : ""
  const phase = member.phase
  const sessionTimeoutMs = wrong === "session" ? random.pick([0, -1, 1_900_000]) : group.sessionTimeoutMs
  const fields = (side: Side): Fields => ({
    groupId: wrong === "group" ? "" : group.id,
    sessionTimeoutMs,
    rebalanceTimeoutMs: group.rebalanceTimeoutMs,
    memberId: wrong === "member" ? UNKNOWN_MEMBER : idOf(side, member),
    groupInstanceId: wrong === "instance" ? "bad instance/ü" : member.instance,
    protocolType: wrong === "protocolType" ? "other" : wrong === "noType" ? "" : group.protocolType,
    protocols: wrong === "noProtocols" ? [] : member.protocols,
    reason: "for the oracle"
  })
  member.phase = "joining"
  return {
    api: "JoinGroup",
    version: wrong === "instance" ? Math.max(5, atLeast) : atLeast,
    fields,
    line: member.name,
    group: group.id,
    untilAnswered: group.rebalanceTimeoutMs === SHORT_MS && random.chance(40),
    learn: (answer, side, isJudge) => {
      const errorCode = answer["errorCode"] as number
      if (answer["memberId"] !== "" && answer["memberId"] !== UNKNOWN_MEMBER) side.memberIds.set(member.name, answer["memberId"])
      if (!isJudge) return
      if (errorCode === 79) {
        // MEMBER_ID_REQUIRED: the same again, with the id
        member.phase = "mustJoin"
        return
      }
      if (errorCode !== 0) {
        member.phase = phase === "new" ? "gone" : phase
        return noted(member, errorCode)
      }
      member.phase = "joined"
      member.generation = answer["generationId"]
      member.protocolName = answer["protocolName"] ?? ""
      // a static member that came back: the one before it is no more, and its successor leads if it led, told or not
      const before = group.members.filter((other) => other !== member && other.instance !== null && other.instance === member.instance)
      const isLeader = answer["leader"] === answer["memberId"] || before.some((other) => other.isLeader && other.phase !== "gone")
      for (const other of before) other.phase = "gone"
      if (isLeader) for (const other of group.members) other.isLeader = false
      member.isLeader = isLeader
    }
  }
}

const sync = (world: World, group: GroupState, member: MemberState): Request => {
  const { random } = world
  const version = member.instance === null ? someVersion(world, "SyncGroup") : Math.max(3, someVersion(world, "SyncGroup"))
  // of two syncs under one id Kafka never answers the first; ottla tells it to join again
  const caller = someCaller(world, group, member, { hasInstance: version >= 3, ownId: true })
  const protocol = random.weighted([[12, member.protocolName], [1, "other"]])
  const protocolType = random.weighted([[12, group.protocolType], [1, "other"]])
  const named = random.chance(85)
  const left = random.chance(8) ? random.pick(group.members) : undefined
  const round = world.random.int(0, 999)
  const assigned = member.isLeader || random.chance(5) ? counted(group).filter((one) => one !== left) : []
  const before = member.phase
  member.phase = "syncing"
  return {
    api: "SyncGroup",
    version,
    fields: (side) => ({
      groupId: group.id,
      generationId: caller.generation,
      memberId: caller.memberId(side),
      groupInstanceId: caller.instance,
      protocolType: named ? protocolType : null,
      protocolName: named ? protocol : null,
      assignments: assigned.map((one) => ({ memberId: idOf(side, one), assignment: utf8.encode(`${one.name} ${round}`) }))
        .filter(({ memberId }) => memberId !== "")
    }),
    line: member.name,
    group: group.id,
    untilAnswered: group.rebalanceTimeoutMs === SHORT_MS && random.chance(40),
    learn: (answer, _side, isJudge) => {
      if (!isJudge) return
      const errorCode = answer["errorCode"] as number
      member.phase = errorCode === 0 ? "stable" : before
      if (caller.isRight) noted(member, errorCode)
    }
  }
}

const heartbeat = (world: World, group: GroupState, member: MemberState, pauseMs?: number): Request => {
  const version = member.instance === null ? someVersion(world, "Heartbeat") : Math.max(3, someVersion(world, "Heartbeat"))
  const caller = someCaller(world, group, member, { hasInstance: version >= 3 })
  return {
    api: "Heartbeat",
    version,
    fields: (side) => ({ groupId: group.id, generationId: caller.generation, memberId: caller.memberId(side), groupInstanceId: caller.instance }),
    group: group.id,
    ...(pauseMs === undefined ? {} : { pauseMs, untilAnswered: true }),
    learn: (answer, _side, isJudge) => {
      const errorCode = answer["errorCode"] as number
      if (isJudge && caller.isRight && !isWaiting(member)) noted(member, errorCode)
    }
  }
}

/** Kafka finds the next leader among several by chance. */
const mayLeave = (group: GroupState, member: MemberState): boolean => !member.isLeader || counted(group).length <= 2

const leave = (world: World, group: GroupState, member: MemberState): Request => {
  const { random } = world
  const version = someVersion(world, "LeaveGroup")
  const byInstance = version >= 3 && member.instance !== null && random.chance(50)
  const wrong = random.chance(15)
  const isEmpty = random.chance(4)
  const others = version >= 3 && random.chance(25) ? group.members.filter((other) => other !== member && mayLeave(group, other) && !other.isLeader).slice(0, 1) : []
  const identity = (side: Side, one: MemberState): Fields => ({
    memberId: wrong ? UNKNOWN_MEMBER : byInstance && one === member ? "" : idOf(side, one),
    groupInstanceId: one.instance,
    reason: "done"
  })
  return {
    api: "LeaveGroup",
    version,
    fields: (side) => ({
      groupId: group.id,
      ...(version < 3
        ? { memberId: wrong ? UNKNOWN_MEMBER : idOf(side, member) }
        : { members: isEmpty ? [] : [member, ...others].map((one) => identity(side, one)) })
    }),
    group: group.id,
    learn: (answer, _side, isJudge) => {
      if (!isJudge || wrong || isEmpty && version >= 3) return
      const results = (answer["members"] ?? []) as ReadonlyArray<Fields>
      const all = [member, ...others]
      all.forEach((one, index) => {
        const errorCode = answer["errorCode"] || results[index]?.["errorCode"] || 0
        if (errorCode === 0 && !isWaiting(one)) one.phase = "gone"
      })
    }
  }
}

const isCalled = (group: GroupState, phase: MemberState["phase"]): MemberState | undefined => group.members.find((member) => member.phase === phase)

/** The next request of a group, mostly what its protocol wants next. */
const next = (world: World, group: GroupState): Request => {
  const { random } = world
  const known = group.members.filter((member) => !isWaiting(member) && member.phase !== "new")
  // where the timeouts are short, the leader may be given up while others wait: then only one of them
  const wouldLead = group.rebalanceTimeoutMs === SHORT_MS && group.members.some((member) => isWaiting(member) && !member.isLeader)
  const grow = !wouldLead && counted(group).length < group.maxMembers && random.chance(counted(group).length < 2 ? 45 : 15)
  if (group.members.length === 0 || grow && counted(group).length < group.maxMembers) return join(world, group, newMember(world, group))
  const due = isCalled(group, "mustJoin") ?? isCalled(group, "joined")
  if (due !== undefined && random.chance(70)) return due.phase === "joined" ? sync(world, group, due) : join(world, group, due)
  const member = known.length > 0 && !random.chance(4) ? random.pick(known) : group.members[0]!
  const canSend = !isWaiting(member) && member.phase !== "new"
  const short = group.rebalanceTimeoutMs === SHORT_MS
  return random.weighted<() => Request>([
    [8, () => heartbeat(world, group, member, short && random.chance(30) ? PAUSE_MS : undefined)],
    [canSend ? 3 : 0, () => join(world, group, member)],
    [canSend ? 4 : 0, () => sync(world, group, member)],
    [mayLeave(group, member) ? 3 : 0, () => leave(world, group, member)]
  ])()
}

/** A group whose timeouts are short is not left alone while somebody has to come, and a member alone is let expire. */
const keepGoing = (world: World, group: GroupState): void => {
  if (group.sessionTimeoutMs === SHORT_MS) {
    const member = (): MemberState => group.members[0]!
    const step = (): Request => member().phase === "joined" ? sync(world, group, member()) : join(world, group, member())
    world.script.push(step, step, step, () => heartbeat(world, group, member(), PAUSE_MS))
  } else if (group.rebalanceTimeoutMs === SHORT_MS && group.members.some(({ phase }) => /^(joining|syncing|joined|mustJoin)$/.test(phase))) {
    world.script.push(() => {
      const request = next(world, group)
      keepGoing(world, group)
      return request
    })
  }
}

export const membership: Generator = {
  api: "JoinGroup",
  weight: 30,
  make: (world) => {
    const group = someGroup(world)
    // a fleeting group lives through one script
    if (group.sessionTimeoutMs === SHORT_MS && group.members.length > 0) return heartbeat(world, group, group.members[0]!)
    const request = next(world, group)
    keepGoing(world, group)
    return request
  }
}
