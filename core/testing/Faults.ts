/**
 * What goes wrong in a run, as plain data: each fault begins at a time, ends by itself after another, and makes sense
 * without the others, so that a schedule can be shrunk by leaving faults out.
 *
 * A fault names its victim by the part it plays ("who leads t0-1 now") rather than by its number wherever that matters:
 * a schedule then means the same after it has been shrunk.
 *
 * Fault models (a) "processes": processes and connections end, machines and their page caches stay. (b) "machines": machines lose
 * power too, on fewer than min ISR replicas of any partition, each counted until it is back in the ISR. What would be
 * beyond the model is a kill of the process instead (FaultInjector.ts decides when it is due).
 */
import type { SimRandom } from "./SimRandom.ts"

export type FaultModel = "processes" | "machines"

export type Target =
  | { readonly by: "id"; readonly id: number }
  | { readonly by: "leader"; readonly topic: string; readonly partition: number }
  /** The `nth` replica that does not lead, in the order of replicas; of the ISR first. */
  | { readonly by: "follower"; readonly topic: string; readonly partition: number; readonly nth: number }
  | { readonly by: "controller" }
  /** Who leads the partition of `__consumer_offsets` of that group. */
  | { readonly by: "coordinator"; readonly group: string }

interface Scheduled {
  /** Virtual milliseconds since the faults began. */
  readonly atMs: number
  /** Until it is over: a process starts again, a link heals, a disk has room. 0: it is over at once. */
  readonly forMs: number
}

export type BrokerFault =
  /** kill -9. Its session ends at once, or when its time is up. */
  | { readonly kind: "kill"; readonly victim: Target; readonly session: "ends" | "expires" }
  /** What was not synced is gone or torn. A store that watches its clients closely ends the session at once. */
  | { readonly kind: "power loss"; readonly victim: Target; readonly session: "ends" | "expires" }
  /** All at the same time; model (a) only. */
  | { readonly kind: "kill all"; readonly session: "ends" | "expires" }
  /** By SIGTERM. */
  | { readonly kind: "stop"; readonly victim: Target }
  /** Its wall clock is set, forward or back, and stays so; what it measures time with goes on. */
  | { readonly kind: "set clock"; readonly victim: Target; readonly byMs: number }
  /** Stands still, as in a long collection of garbage; its clock goes on. */
  | { readonly kind: "pause"; readonly victim: Target }

export type NetworkFault =
  /** From other brokers, from the metadata store, from clients: any of these. `way`: what does not get through. */
  | {
    readonly kind: "isolate"
    readonly victim: Target
    readonly from: "brokers" | "brokers and store" | "clients" | "all"
    readonly way: "both" | "in" | "out"
  }
  | { readonly kind: "cut"; readonly from: Target; readonly to: Target; readonly way: "both" | "out" }
  | { readonly kind: "slow link"; readonly from: Target; readonly to: Target; readonly delayMs: number; readonly bytesPerMs: number }
  /** All connections of a broker with clients are reset: answers under way are lost. */
  | { readonly kind: "reset"; readonly victim: Target }

export type DiskFault =
  | { readonly kind: "disk full"; readonly victim: Target }
  /** The next so many fsyncs fail; the broker is killed and started at the fault's end. */
  | { readonly kind: "fsync fails"; readonly victim: Target; readonly times: number }

export type StoreFault =
  | { readonly kind: "store unreachable"; readonly victim: Target }
  | { readonly kind: "stale watch"; readonly victim: Target }
  /** Each way takes so long, in milliseconds. */
  | { readonly kind: "slow store"; readonly victim: Target; readonly delayMs: number }
  | { readonly kind: "lose session"; readonly victim: Target }
  /** Its commits are refused, or done without its being told. */
  | { readonly kind: "lose commits"; readonly victim: Target; readonly done: boolean }

export type AdminAction =
  | { readonly kind: "create topic"; readonly topic: string; readonly partitions: number }
  | { readonly kind: "delete topic"; readonly topic: string }
  | { readonly kind: "add partitions"; readonly topic: string; readonly partitions: number }
  /** `replicas` null: the move that is under way is called off. */
  | { readonly kind: "reassign"; readonly topic: string; readonly partition: number; readonly replicas: ReadonlyArray<number> | null }
  | { readonly kind: "elect preferred leaders" }
  | { readonly kind: "change min ISR"; readonly topic: string; readonly minIsr: number }
  /** Up to that share of what is committed, from 0 to 1. */
  | { readonly kind: "delete records"; readonly topic: string; readonly partition: number; readonly share: number }

/** kill -9 of the `nth` member of a group; a new one takes its place. */
export type ClientFault = { readonly kind: "kill member"; readonly group: string; readonly nth: number }

export type FaultKind = BrokerFault | NetworkFault | DiskFault | StoreFault | AdminAction | ClientFault

export type Fault = Scheduled & FaultKind

const showTarget = (target: Target): string => {
  switch (target.by) {
    case "id":
      return `broker ${target.id}`
    case "leader":
      return `leader of ${target.topic}-${target.partition}`
    case "follower":
      return `follower ${target.nth} of ${target.topic}-${target.partition}`
    case "controller":
      return "controller"
    case "coordinator":
      return `coordinator of ${target.group}`
  }
}

/** One line: what a failure's schedule is printed as. */
export const showFault = (fault: Fault): string => {
  const when = `${(fault.atMs / 1000).toFixed(2)}s${fault.forMs > 0 ? ` for ${(fault.forMs / 1000).toFixed(2)}s` : ""}`
  return `${when}: ${showKind(fault)}`
}

const showKind = (fault: FaultKind): string => {
  switch (fault.kind) {
    case "kill":
      return `kill the ${showTarget(fault.victim)} (session ${fault.session})`
    case "power loss":
      return `${fault.kind}: ${showTarget(fault.victim)} (session ${fault.session})`
    case "kill all":
      return `kill all (sessions: ${fault.session})`
    case "isolate":
      return `isolate the ${showTarget(fault.victim)} from ${fault.from}, ${fault.way === "both" ? "both ways" : `${fault.way}wards`}`
    case "cut":
      return `cut ${showTarget(fault.from)} ${fault.way === "both" ? "and" : "to"} ${showTarget(fault.to)}`
    case "slow link":
      return `slow link between ${showTarget(fault.from)} and ${showTarget(fault.to)}: ${fault.delayMs} ms, ${fault.bytesPerMs} bytes/ms`
    case "set clock":
      return `set the clock of the ${showTarget(fault.victim)} ${fault.byMs < 0 ? "back" : "forward"} by ${Math.abs(fault.byMs)} ms`
    case "fsync fails":
      return `fsync fails ${fault.times} times: ${showTarget(fault.victim)}`
    case "slow store":
      return `slow store, ${fault.delayMs} ms: ${showTarget(fault.victim)}`
    case "lose commits":
      return `lose commits (${fault.done ? "done" : "not done"}): ${showTarget(fault.victim)}`
    case "create topic":
    case "add partitions":
      return `${fault.kind} ${fault.topic} (${fault.partitions})`
    case "delete topic":
      return `delete topic ${fault.topic}`
    case "reassign":
      return fault.replicas === null
        ? `call off the move of ${fault.topic}-${fault.partition}`
        : `reassign ${fault.topic}-${fault.partition} to ${fault.replicas.join()}`
    case "elect preferred leaders":
      return fault.kind
    case "change min ISR":
      return `min.insync.replicas of ${fault.topic} becomes ${fault.minIsr}`
    case "delete records":
      return `delete ${Math.round(fault.share * 100)}% of the records of ${fault.topic}-${fault.partition}`
    case "kill member":
      return `kill member ${fault.nth} of ${fault.group}`
    default:
      return `${fault.kind}: ${showTarget(fault.victim)}`
  }
}

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

const somePartition = (dice: SimRandom, { topics }: FaultGround): { readonly topic: string; readonly partition: number } => {
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

/**
 * Faults that belong together: each is the way to a mistake that single faults seldom find, as often as it is of use in
 * the fault model. The comment tells the interleaving.
 */
const patterns: ReadonlyArray<readonly [weight: { readonly processes: number; readonly machines: number }, draw: Draw]> = [
  // A leader that nobody but its clients reaches: it takes records while another is elected, then it comes back.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => [{
    kind: "isolate",
    victim: { by: "leader", ...somePartition(dice, ground) },
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
      { kind: "cut", from: { by: "leader", ...of }, to: { by: "follower", ...of, nth: 1 }, way: "both", atMs, forMs: behindMs + 500 },
      { kind: "kill", victim: { by: "follower", ...of, nth: 0 }, session: "ends", atMs: atMs + behindMs, forMs: downMs },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + behindMs + some(dice, 0, 1500), forMs: downMs }
    ]
  }],
  // The ISR goes down to one and the ELR has the others; one of these loses its tail, then the leader goes.
  [{ processes: 1, machines: 3 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const shrunkMs = ground.replicaLagTimeMaxMs * 2
    const lossMs = atMs + shrunkMs + some(dice, 0, 500)
    return [
      { kind: "isolate", victim: { by: "leader", ...of }, from: "brokers", way: "both", atMs, forMs: shrunkMs + some(dice, 500, 2000) },
      { kind: "power loss", victim: { by: "follower", ...of, nth: 0 }, session: "ends", atMs: lossMs, forMs: some(dice, 50, 500) },
      {
        kind: "kill",
        victim: { by: "leader", ...of },
        session: "ends",
        atMs: lossMs + some(dice, 0, 2000),
        forMs: some(dice, ground.sessionTimeoutMs, 2 * ground.sessionTimeoutMs)
      }
    ]
  }],
  // Power is lost just after records were acknowledged, on a follower or the leader, and it is back before its session is over.
  [{ processes: 1, machines: 2 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const victim: Target = dice.chance(0.5) ? { by: "leader", ...of } : { by: "follower", ...of, nth: dice.int(0, 1) }
    return [
      { kind: "power loss", victim, session: sessionOf(dice), atMs, forMs: some(dice, 10, ground.sessionTimeoutMs) },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + some(dice, 100, 3000), forMs: some(dice, 500, 5000) }
    ]
  }],
  // A follower comes back and has caught up, and its leader's request to add it takes its time to the store. Meanwhile
  // the follower loses its tail and registers again: the request names an earlier life of it.
  [{ processes: 0, machines: 4 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const leader: Target = { by: "leader", ...of }
    const follower: Target = { by: "follower", ...of, nth: 1 }
    const delayMs = some(dice, 300, 600)
    const backMs = atMs + some(dice, 300, 1200)
    const lossMs = backMs + delayMs + some(dice, 100, delayMs)
    return [
      { kind: "kill", victim: follower, session: "ends", atMs, forMs: backMs - atMs },
      { kind: "slow store", victim: leader, delayMs, atMs: atMs + 200, forMs: lossMs - atMs + 6 * delayMs },
      { kind: "power loss", victim: follower, session: "ends", atMs: lossMs, forMs: some(dice, 10, 100) },
      { kind: "cut", from: leader, to: follower, way: "both", atMs: lossMs + 1, forMs: 6 * delayMs }
    ]
  }],
  // A leader's answers to the one follower that it commits with are slow, so that one knows a high watermark of before;
  // the other follower goes when it has more than that, and comes back to a new leader that has yet to commit its own.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const leader: Target = { by: "leader", ...of }
    const near: Target = { by: "follower", ...of, nth: 0 }
    const far: Target = { by: "follower", ...of, nth: 1 }
    const delayMs = some(dice, 200, Math.min(700, ground.replicaLagTimeMaxMs / 2))
    const goneMs = atMs + 1000 + some(dice, 0, 500)
    return [
      { kind: "slow link", from: leader, to: near, delayMs, bytesPerMs: 1000, atMs, forMs: 4000 },
      { kind: "kill", victim: far, session: "ends", atMs: goneMs, forMs: some(dice, 300, 800) },
      {
        kind: "kill",
        victim: leader,
        session: "ends",
        atMs: goneMs + some(dice, delayMs / 2, 1.5 * delayMs),
        forMs: some(dice, ground.sessionTimeoutMs, 2 * ground.sessionTimeoutMs)
      }
    ]
  }],
  // Leaders change in quick succession while followers are slow: a new leader's records are not committed when it is asked to expand.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    return [
      {
        kind: "slow link",
        from: { by: "leader", ...of },
        to: { by: "follower", ...of, nth: 1 },
        delayMs: some(dice, 100, 800),
        bytesPerMs: some(dice, 1, 5),
        atMs,
        forMs: some(dice, 3000, 8000)
      },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + some(dice, 200, 1500), forMs: some(dice, 100, 2000) },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + some(dice, 2000, 4000), forMs: some(dice, 100, 2000) },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + some(dice, 4000, 6000), forMs: some(dice, 100, 2000) }
    ]
  }],
  // The answers of appended records are lost, then their leader: the next one must know them when they are sent again.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const cutMs = some(dice, 100, 1000)
    return [
      { kind: "isolate", victim: { by: "leader", ...of }, from: "clients", way: "out", atMs, forMs: cutMs + 500 },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + cutMs, forMs: some(dice, 500, 4000) }
    ]
  }],
  // A controller that does not hear that it is none any more, while brokers come and go.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    return [
      { kind: "stale watch", victim: { by: "controller" }, atMs, forMs: some(dice, 2000, 8000) },
      { kind: "lose session", victim: { by: "controller" }, atMs: atMs + some(dice, 50, 500), forMs: 0 },
      { kind: "power loss", victim: { by: "follower", ...of, nth: 0 }, session: "ends", atMs: atMs + some(dice, 100, 1000), forMs: some(dice, 10, 300) },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + some(dice, 300, 2000), forMs: some(dice, 500, 4000) }
    ]
  }],
  // A move of a partition whose new replicas and old leader die on the way.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const replicas = someReplicas(dice, ground)
    return [
      { kind: "reassign", ...of, replicas, atMs, forMs: 0 },
      { kind: "kill", victim: { by: "id", id: replicas[0]! }, session: sessionOf(dice), atMs: atMs + some(dice, 20, 1500), forMs: some(dice, 300, 4000) },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + some(dice, 500, 3000), forMs: some(dice, 300, 4000) }
    ]
  }],
  // Replicas are eligible under one min ISR, then fewer commit under another: who was eligible is not any more.
  [{ processes: 2, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const shrunkMs = ground.replicaLagTimeMaxMs * 2
    const alteredMs = atMs + shrunkMs + some(dice, 0, 500)
    const backMs = alteredMs + some(dice, 300, 2000)
    return [
      { kind: "isolate", victim: { by: "leader", ...of }, from: "brokers", way: "both", atMs, forMs: backMs - atMs + some(dice, 0, 1000) },
      { kind: "change min ISR", topic: of.topic, minIsr: 1, atMs: alteredMs, forMs: 0 },
      { kind: "change min ISR", topic: of.topic, minIsr: dice.int(2, 3), atMs: backMs, forMs: 0 },
      {
        kind: "kill",
        victim: { by: "leader", ...of },
        session: "ends",
        atMs: backMs + some(dice, 0, 1000),
        forMs: some(dice, ground.sessionTimeoutMs, 2 * ground.sessionTimeoutMs)
      }
    ]
  }],
  // Records are deleted while a follower is down: it comes back to a log that begins after its own end, or leads with a log that begins before.
  [{ processes: 1, machines: 1 }, (dice, ground, atMs) => {
    const of = somePartition(dice, ground)
    const downMs = some(dice, 500, 4000)
    return [
      { kind: "kill", victim: { by: "follower", ...of, nth: dice.int(0, 1) }, session: "ends", atMs, forMs: downMs },
      { kind: "delete records", ...of, share: dice.pick([0.5, 1]), atMs: atMs + some(dice, 100, downMs), forMs: 0 },
      { kind: "kill", victim: { by: "leader", ...of }, session: "ends", atMs: atMs + downMs + some(dice, 0, 1000), forMs: some(dice, 500, 4000) }
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
