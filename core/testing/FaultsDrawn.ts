/**
 * Which faults a scenario has: single ones, each as often as its weight says, and patterns, whose faults belong together.
 * Whatever is added here later draws with dice of its own (Scenario.ts), so that seeds go on to mean what they meant.
 */
import type { Fault, FaultModel, Target } from "./Faults.ts"
import type { SimRandom } from "./SimRandom.ts"

/** Who may be named by faults of a scenario. */
export interface FaultGround {
  readonly model: FaultModel
  readonly brokers: number
  readonly topics: ReadonlyArray<{ readonly name: string; readonly partitions: number }>
  readonly groups: ReadonlyArray<{ readonly name: string; readonly members: number }>
  /** Faults begin before this. */
  readonly durationMs: number
  readonly sessionTimeoutMs: number
  readonly replicaLagTimeMaxMs: number
}

interface SomePartition {
  readonly topic: string
  readonly partition: number
}
const somePartition = (dice: SimRandom, { topics }: FaultGround): SomePartition => {
  const topic = dice.pick(topics)
  return { topic: topic.name, partition: dice.int(0, topic.partitions - 1) }
}

const someTarget = (dice: SimRandom, ground: FaultGround): Target => {
  const choice = dice.int(0, 9)
  if (choice < 4) return { by: "leader", ...somePartition(dice, ground) }
  if (choice < 7) return { by: "follower", ...somePartition(dice, ground), nth: dice.int(0, 1) }
  if (choice === 7) return { by: "controller" }
  if (choice === 8 && ground.groups.length > 0) return { by: "coordinator", group: dice.pick(ground.groups).name }
  return { by: "id", id: dice.int(1, ground.brokers) }
}

const someReplicas = (dice: SimRandom, { brokers }: FaultGround, count = 3): ReadonlyArray<number> => {
  const left = Array.from({ length: brokers }, (_, at) => at + 1)
  return Array.from({ length: Math.min(count, brokers) }, () => left.splice(dice.int(0, left.length - 1), 1)[0]!)
}

type Draw = (dice: SimRandom, ground: FaultGround, atMs: number) => ReadonlyArray<Fault>

const some = (dice: SimRandom, fromMs: number, toMs: number): number => dice.int(Math.round(fromMs), Math.round(toMs))
const deadMs = (dice: SimRandom, { sessionTimeoutMs }: FaultGround): number =>
  dice.chance(0.4) ? some(dice, 50, sessionTimeoutMs / 2) : some(dice, sessionTimeoutMs, 3 * sessionTimeoutMs)
const MAX_CLOCK_STEP_MS = 3_600_000
const sessionOf = (dice: SimRandom): "ends" | "expires" => dice.chance(0.5) ? "ends" : "expires"

/** Single faults, each with how often it is drawn. */
const singles: ReadonlyArray<readonly [weight: number, draw: Draw]> = [
  [8, (dice, ground, atMs) => [{ kind: "kill", victim: someTarget(dice, ground), session: sessionOf(dice), atMs, forMs: deadMs(dice, ground) }]],
  [8, (dice, ground, atMs) => [
    ground.model === "machines"
      ? { kind: "power loss", victim: someTarget(dice, ground), session: sessionOf(dice), atMs, forMs: deadMs(dice, ground) }
      : { kind: "kill", victim: someTarget(dice, ground), session: sessionOf(dice), atMs, forMs: deadMs(dice, ground) }
  ]],
  [1, (dice, ground, atMs) =>
    ground.model === "machines" ? [] : [{ kind: "kill all", session: sessionOf(dice), atMs, forMs: some(dice, 100, ground.sessionTimeoutMs) }]],
  [4, (dice, ground, atMs) => [{ kind: "stop", victim: someTarget(dice, ground), atMs, forMs: some(dice, 50, 2 * ground.sessionTimeoutMs) }]],
  [3, (dice, ground, atMs) => [{ kind: "pause", victim: someTarget(dice, ground), atMs, forMs: deadMs(dice, ground) }]],
  [2, (dice, ground, atMs) => [{
    kind: "set clock",
    victim: someTarget(dice, ground),
    byMs: (dice.chance(0.5) ? 1 : -1) * some(dice, 1, MAX_CLOCK_STEP_MS),
    atMs,
    forMs: 0
  }]],
  [4, (dice, ground, atMs) => [{
    kind: "isolate",
    victim: someTarget(dice, ground),
    from: dice.pick(["brokers", "brokers and store", "clients", "all"] as const),
    way: dice.pick(["both", "both", "in", "out"] as const),
    atMs,
    forMs: deadMs(dice, ground)
  }]],
  [4, (dice, ground, atMs) => [{
    kind: "cut",
    from: someTarget(dice, ground),
    to: someTarget(dice, ground),
    way: dice.pick(["both", "out"] as const),
    atMs,
    forMs: some(dice, 100, 2 * ground.replicaLagTimeMaxMs)
  }]],
  [3, (dice, ground, atMs) => [{
    kind: "slow link",
    from: someTarget(dice, ground),
    to: someTarget(dice, ground),
    delayMs: some(dice, 20, 1500),
    bytesPerMs: some(dice, 1, 50),
    atMs,
    forMs: some(dice, 1000, 2 * ground.replicaLagTimeMaxMs)
  }]],
  [4, (dice, ground, atMs) => [{ kind: "reset", victim: someTarget(dice, ground), atMs, forMs: 0 }]],
  [2, (dice, ground, atMs) => [{ kind: "disk full", victim: someTarget(dice, ground), atMs, forMs: some(dice, 500, 5000) }]],
  [2, (dice, ground, atMs) => [{ kind: "fsync fails", victim: someTarget(dice, ground), times: dice.int(1, 3), atMs, forMs: some(dice, 500, 5000) }]],
  [2, (dice, ground, atMs) => [{ kind: "store unreachable", victim: someTarget(dice, ground), atMs, forMs: deadMs(dice, ground) }]],
  [2, (dice, ground, atMs) => [{ kind: "stale watch", victim: someTarget(dice, ground), atMs, forMs: deadMs(dice, ground) }]],
  [2, (dice, ground, atMs) => [{ kind: "slow store", victim: someTarget(dice, ground), delayMs: some(dice, 50, 800), atMs, forMs: deadMs(dice, ground) }]],
  [2, (dice, ground, atMs) => [{ kind: "lose session", victim: someTarget(dice, ground), atMs, forMs: 0 }]],
  [2, (dice, ground, atMs) => [{ kind: "lose commits", victim: someTarget(dice, ground), done: dice.chance(0.5), atMs, forMs: some(dice, 200, 3000) }]],
  [4, (dice, ground, atMs) => [{
    kind: "reassign",
    ...somePartition(dice, ground),
    replicas: dice.chance(0.15) ? null : someReplicas(dice, ground, dice.pick([1, 2, 3, 3, 3, 4])),
    atMs,
    forMs: 0
  }]],
  [3, (dice, ground, atMs) => [{ kind: "change min ISR", topic: dice.pick(ground.topics).name, minIsr: dice.int(1, 3), atMs, forMs: 0 }]],
  [2, (dice, ground, atMs) => [{ kind: "delete records", ...somePartition(dice, ground), share: dice.pick([0.2, 0.5, 0.9, 1]), atMs, forMs: 0 }]],
  [3, (dice, ground, atMs) => {
    const { members, name } = dice.pick(ground.groups)
    return [{ kind: "kill member", group: name, nth: dice.int(0, members - 1), atMs, forMs: some(dice, 10, 8000) }]
  }],
  [1, (dice, ground, atMs) => [{ kind: "add partitions", topic: dice.pick(ground.topics).name, partitions: dice.int(2, 4), atMs, forMs: 0 }]],
  [1, (_dice, _ground, atMs) => [{ kind: "elect preferred leaders", atMs, forMs: 0 }]]
]

const leaderOf = (of: SomePartition): Target => ({ by: "leader", ...of })
const followerOf = (of: SomePartition, nth: number): Target => ({ by: "follower", ...of, nth })
/** Its session ends at once: somebody takes over without waiting for it. */
const kill = (victim: Target, atMs: number, forMs: number): Fault => ({ kind: "kill", victim, session: "ends", atMs, forMs })

/**
 * Faults that belong together: each is the way to a mistake that single faults seldom find, as often as it is of use in
 * the fault model. The comment tells the interleaving.
 */
const patterns: ReadonlyArray<readonly [weight: { readonly processes: number; readonly machines: number }, draw: Draw]> = [
  // A leader that nobody but its clients reaches: it takes records while another is elected, then it comes back.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => [{
    kind: "isolate",
    victim: leaderOf(somePartition(dice, ground)),
    from: "brokers and store",
    way: "both",
    atMs,
    forMs: some(dice, ground.sessionTimeoutMs, 3 * ground.sessionTimeoutMs)
  }]],
  // A follower falls behind and leaves the ISR, then all others die: it must not lead.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const downMs = some(dice, ground.sessionTimeoutMs, 2 * ground.sessionTimeoutMs)
    const behindMs = ground.replicaLagTimeMaxMs * 2 + some(dice, 0, 1000)
    return [
      { kind: "cut", from: leaderOf(of), to: followerOf(of, 1), way: "both", atMs, forMs: behindMs + 500 },
      kill(followerOf(of, 0), atMs + behindMs, downMs),
      kill(leaderOf(of), atMs + behindMs + some(dice, 0, 1500), downMs)
    ]
  }],
  // The ISR goes down to one and the ELR has the others; one of these loses its tail, then the leader goes.
  [{ processes: 1, machines: 3 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const shrunkMs = ground.replicaLagTimeMaxMs * 2
    const lossMs = atMs + shrunkMs + some(dice, 0, 500)
    return [
      { kind: "isolate", victim: leaderOf(of), from: "brokers", way: "both", atMs, forMs: shrunkMs + some(dice, 500, 2000) },
      { kind: "power loss", victim: followerOf(of, 0), session: "ends", atMs: lossMs, forMs: some(dice, 50, 500) },
      kill(leaderOf(of), lossMs + some(dice, 0, 2000), some(dice, ground.sessionTimeoutMs, 2 * ground.sessionTimeoutMs))
    ]
  }],
  // Power is lost just after records were acknowledged, on a follower or the leader, and it is back before its session is over.
  [{ processes: 1, machines: 2 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const victim: Target = dice.chance(0.5) ? leaderOf(of) : followerOf(of, dice.int(0, 1))
    return [
      { kind: "power loss", victim, session: sessionOf(dice), atMs, forMs: some(dice, 10, ground.sessionTimeoutMs) },
      kill(leaderOf(of), atMs + some(dice, 100, 3000), some(dice, 500, 5000))
    ]
  }],
  // A follower comes back and has caught up, and its leader's request to add it takes its time to the store. Meanwhile
  // the follower loses its tail and registers again: the request names an earlier life of it.
  [{ processes: 0, machines: 4 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const leader: Target = leaderOf(of)
    const follower: Target = followerOf(of, 1)
    const delayMs = some(dice, 300, 600)
    const backMs = atMs + some(dice, 300, 1200)
    const lossMs = backMs + delayMs + some(dice, 100, delayMs)
    return [
      kill(follower, atMs, backMs - atMs),
      { kind: "slow store", victim: leader, delayMs, atMs: atMs + 200, forMs: lossMs - atMs + 6 * delayMs },
      { kind: "power loss", victim: follower, session: "ends", atMs: lossMs, forMs: some(dice, 10, 100) },
      { kind: "cut", from: leader, to: follower, way: "both", atMs: lossMs + 1, forMs: 6 * delayMs }
    ]
  }],
  // A leader's answers to the one follower that it commits with are slow, so that one knows a high watermark of before;
  // the other follower goes when it has more than that, and comes back to a new leader that has yet to commit its own.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const leader: Target = leaderOf(of)
    const near: Target = followerOf(of, 0)
    const far: Target = followerOf(of, 1)
    const delayMs = some(dice, 200, Math.min(700, ground.replicaLagTimeMaxMs / 2))
    const goneMs = atMs + 1000 + some(dice, 0, 500)
    return [
      { kind: "slow link", from: leader, to: near, delayMs, bytesPerMs: 1000, atMs, forMs: 4000 },
      kill(far, goneMs, some(dice, 300, 800)),
      kill(leader, goneMs + some(dice, delayMs / 2, 1.5 * delayMs), some(dice, ground.sessionTimeoutMs, 2 * ground.sessionTimeoutMs))
    ]
  }],
  // Leaders change in quick succession while followers are slow: a new leader's records are not committed when it is asked to expand.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    return [
      {
        kind: "slow link",
        from: leaderOf(of),
        to: followerOf(of, 1),
        delayMs: some(dice, 100, 800),
        bytesPerMs: some(dice, 1, 5),
        atMs,
        forMs: some(dice, 3000, 8000)
      },
      kill(leaderOf(of), atMs + some(dice, 200, 1500), some(dice, 100, 2000)),
      kill(leaderOf(of), atMs + some(dice, 2000, 4000), some(dice, 100, 2000)),
      kill(leaderOf(of), atMs + some(dice, 4000, 6000), some(dice, 100, 2000))
    ]
  }],
  // The answers of appended records are lost, then their leader: the next one must know them when they are sent again.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const cutMs = some(dice, 100, 1000)
    return [
      { kind: "isolate", victim: leaderOf(of), from: "clients", way: "out", atMs, forMs: cutMs + 500 },
      kill(leaderOf(of), atMs + cutMs, some(dice, 500, 4000))
    ]
  }],
  // A controller that does not hear that it is none any more, while brokers come and go.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    return [
      { kind: "stale watch", victim: { by: "controller" }, atMs, forMs: some(dice, 2000, 8000) },
      { kind: "lose session", victim: { by: "controller" }, atMs: atMs + some(dice, 50, 500), forMs: 0 },
      { kind: "power loss", victim: followerOf(of, 0), session: "ends", atMs: atMs + some(dice, 100, 1000), forMs: some(dice, 10, 300) },
      kill(leaderOf(of), atMs + some(dice, 300, 2000), some(dice, 500, 4000))
    ]
  }],
  // A move of a partition whose new replicas and old leader die on the way.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const replicas = someReplicas(dice, ground)
    return [
      { kind: "reassign", ...of, replicas, atMs, forMs: 0 },
      { kind: "kill", victim: { by: "id", id: replicas[0]! }, session: sessionOf(dice), atMs: atMs + some(dice, 20, 1500), forMs: some(dice, 300, 4000) },
      kill(leaderOf(of), atMs + some(dice, 500, 3000), some(dice, 300, 4000))
    ]
  }],
  // Replicas are eligible under one min ISR, then fewer commit under another: who was eligible is not any more.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const shrunkMs = ground.replicaLagTimeMaxMs * 2
    const alteredMs = atMs + shrunkMs + some(dice, 0, 500)
    const backMs = alteredMs + some(dice, 300, 2000)
    return [
      { kind: "isolate", victim: leaderOf(of), from: "brokers", way: "both", atMs, forMs: backMs - atMs + some(dice, 0, 1000) },
      { kind: "change min ISR", topic: of.topic, minIsr: 1, atMs: alteredMs, forMs: 0 },
      { kind: "change min ISR", topic: of.topic, minIsr: dice.int(2, 3), atMs: backMs, forMs: 0 },
      kill(leaderOf(of), backMs + some(dice, 0, 1000), some(dice, ground.sessionTimeoutMs, 2 * ground.sessionTimeoutMs))
    ]
  }],
  // Records are deleted while a follower is down: it comes back to a log that begins after its own end, or leads with a log that begins before.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const downMs = some(dice, 500, 4000)
    return [
      kill(followerOf(of, dice.int(0, 1)), atMs, downMs),
      { kind: "delete records", ...of, share: dice.pick([0.5, 1]), atMs: atMs + some(dice, 100, downMs), forMs: 0 },
      kill(leaderOf(of), atMs + downMs + some(dice, 0, 1000), some(dice, 500, 4000))
    ]
  }]
]

/** One of them, each as often as its weight says. */
const weighted = (dice: SimRandom, draws: ReadonlyArray<readonly [weight: number, draw: Draw]>): Draw => {
  let choice = dice.int(0, draws.reduce((sum, [weight]) => sum + weight, 0) - 1)
  for (const [weight, draw] of draws) {
    choice -= weight
    if (choice < 0) return draw
  }
  return draws.at(-1)![1]
}

const PATTERN_CHANCE = 0.55
/** Most patterns take so long: begun later they would be cut off by the end. */
const PATTERN_MS = 6000

/** A schedule, sorted by time. @param count single faults and patterns */
export const drawFaults = (dice: SimRandom, ground: FaultGround, count: number): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  for (let n = 0; n < count; n++) {
    const isPattern = dice.chance(PATTERN_CHANCE)
    const atMs = dice.int(0, isPattern ? Math.max(0, ground.durationMs - PATTERN_MS) : ground.durationMs)
    if (isPattern) {
      faults.push(...weighted(dice, patterns.map(([weight, draw]) => [weight[ground.model], draw] as const))(dice, ground, atMs))
      continue
    }
    faults.push(...weighted(dice, singles)(dice, ground, atMs))
  }
  const allowed = faults.map((fault): Fault =>
    fault.kind === "power loss" && ground.model === "processes" ? { ...fault, kind: "kill", session: "ends" } : fault
  )
  return allowed.filter(({ atMs }) => atMs <= ground.durationMs).sort((a, b) => a.atMs - b.atMs)
}

/** How often a scenario has lossy links, and how often throttles. */
const LOSSY_CHANCE = 0.25
const THROTTLE_CHANCE = 0.2

/** Links on which segments are lost: of replicas of one partition, of any two brokers, or of a broker and its clients. */
export const drawLossyLinks = (dice: SimRandom, ground: FaultGround): ReadonlyArray<Fault> =>
  !dice.chance(LOSSY_CHANCE) ? [] : Array.from({ length: dice.int(1, 3) }, (): Fault => {
    const of = somePartition(dice, ground)
    const atMs = dice.int(0, ground.durationMs)
    const [from, to] = dice.pick([
      [leaderOf(of), followerOf(of, dice.int(0, 1))],
      [someTarget(dice, ground), someTarget(dice, ground)],
      [someTarget(dice, ground), "clients"]
    ] as const)
    return {
      kind: "lossy link",
      from,
      to,
      loss: dice.pick([0.02, 0.1, 0.3]),
      breaks: dice.pick([0, 0.01, 0.05, 0.2]),
      atMs,
      forMs: some(dice, 500, 3 * ground.sessionTimeoutMs)
    }
  })

/** A throttle, alone or with what has to be copied under it: a move, or a follower that was away. */
export const drawThrottles = (dice: SimRandom, ground: FaultGround): ReadonlyArray<Fault> => {
  if (!dice.chance(THROTTLE_CHANCE)) return []
  const of = somePartition(dice, ground)
  const atMs = dice.int(0, Math.max(0, ground.durationMs - PATTERN_MS))
  const named = someReplicas(dice, ground).map((id) => `${of.partition}:${id}`).join()
  const throttle: Fault = {
    kind: "throttle",
    topic: of.topic,
    replicas: dice.chance(0.5) ? "*" : named,
    side: dice.pick(["leader", "follower", "both"] as const),
    bytesPerSecond: dice.pick([0, 50, 500, 5000]),
    atMs,
    forMs: some(dice, 2000, PATTERN_MS)
  }
  const backMs = some(dice, 100, 2000)
  return [
    throttle,
    ...dice.pick<ReadonlyArray<Fault>>([
      [],
      [{ kind: "reassign", ...of, replicas: someReplicas(dice, ground), atMs: atMs + backMs, forMs: 0 }],
      [kill(followerOf(of, dice.int(0, 1)), atMs + 1, backMs)]
    ])
  ]
}
