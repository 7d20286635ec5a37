/**
 * What goes wrong in a run, as plain data: each fault begins at a time, ends by itself after another, and makes sense
 * without the others, so that a schedule can be shrunk by leaving faults out.
 *
 * A fault names its victim by the part it plays ("who leads t0-1 now") rather than by its number wherever that matters:
 * a schedule then means the same after it has been shrunk.
 *
 * Fault models (a) "processes": processes and connections end, machines and their page caches stay. (b) "machines": machines lose
 * power too, on fewer than min ISR replicas of any partition, each counted until it is back in the ISR. What would be
 * beyond the model is a kill of the process instead (FaultsDoubts.ts decides when it is due).
 */
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
  /** Both ways, segments get lost: most are sent again and come late, some never do and their connection breaks. 0 to 1, each. */
  | {
    readonly kind: "lossy link"
    readonly from: Target
    readonly to: Target | "clients"
    readonly loss: number
    readonly breaks: number
  }
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

  /** Replicas outside the ISR are copied so fast at most, by who gives them, who takes them, or both. `replicas`: as in `leader.replication.throttled.replicas`. */
  | {
    readonly kind: "throttle"
    readonly topic: string
    readonly replicas: string
    readonly side: "leader" | "follower" | "both"
    readonly bytesPerSecond: number
  }

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
    case "lossy link":
      return `lossy link between ${showTarget(fault.from)} and ${fault.to === "clients" ? fault.to : showTarget(fault.to)}: ` +
        `${Math.round(fault.loss * 100)}% late, ${Math.round(fault.breaks * 100)}% break`
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
    case "throttle":
      return `throttle ${fault.replicas} of ${fault.topic} to ${fault.bytesPerSecond} bytes/s, ${fault.side === "both" ? "both sides" : `${fault.side} side`}`
    case "kill member":
      return `kill member ${fault.nth} of ${fault.group}`
    default:
      return `${fault.kind}: ${showTarget(fault.victim)}`
  }
}
