/**
 * One run of a whole cluster by a seed: brokers, clients and faults as Scenario.ts draws them, the invariants after every
 * step, then everything heals and what clients saw is judged.
 *
 * | phase | what |
 * |---|---|
 * | start | all brokers start, topics are made |
 * | work | producers send, groups read, faults come and go, for `durationMs` |
 * | heal | network, disks and store are well, who is down is started; producers stop and wait for their answers |
 * | settle | every partition has a leader, its whole ISR, equal replicas, and the groups have read it all |
 * | judge | everything is read once more, and the checker has the history |
 *
 * The same scenario gives the same run, step by step, on every runtime.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Scope } from "effect/Scope"
import type { Partition } from "../replication/Partition.ts"
import { check, type Violation } from "./Checker.ts"
import type { Fault } from "./Faults.ts"
import { FaultInjector } from "./FaultsInjector.ts"
import { History } from "./History.ts"
import { MIN_ISR, REPLICATION_FACTOR, type Scenario } from "./Scenario.ts"
import { shrink } from "./Shrink.ts"
import { Sim } from "./Sim.ts"
import { DEFAULT_LINK } from "./SimLink.ts"
import { SIM_CONFIGS, SimCluster } from "./SimCluster.ts"
import { createTopics, DELIVERY_TIMEOUT_MS, readAll, runMember, runProducer, type ClientWatch } from "./SimulationClients.ts"
import { noCounters, type SimulationCounters, SimulationObserver } from "./SimulationObserver.ts"
import { Timeline } from "./Timeline.ts"

export interface SimulationFailure {
  /** Of the invariant, of what the checker found, or "NotSettled", "Crashed": what a shrunk schedule must fail with as well. */
  readonly name: string
  readonly message: string
  /** Virtual milliseconds since the start. */
  readonly atMs: number
}

export interface SimulationResult {
  readonly scenario: Scenario
  readonly steps: number
  readonly virtualMs: number
  /** Of all that happened; equal for equal scenarios on every runtime. */
  readonly hash: string
  readonly counters: SimulationCounters
  readonly sent: number
  readonly acknowledged: number
  readonly refused: number
  readonly polled: number
  /** Undefined: every promise was kept. */
  readonly failure: SimulationFailure | undefined
  readonly violations: ReadonlyArray<Violation>
  readonly timeline: Timeline
}

export interface SimulationOptions {
  /**
   * `invariants` (default): the first that is broken ends the run, near to the mistake. `clients`: the run goes on and
   * is judged by what clients were told and given in the end alone, as users of a broker would find out.
   */
  readonly judgedBy?: "invariants" | "clients"
}

/** Of what the checker found, so many are in the timeline. */
const MAX_TOLD_VIOLATIONS = 5
/** A run has at least so many steps: producers send on for so long, even when all is well again. */
export const MIN_STEPS = 5000
const WORK_ON_MS = 500
/** Steps after which a run is given up: something turns without end. */
export const MAX_STEPS = 3_000_000
/** How long a healed cluster may take to be whole and read, in virtual milliseconds. */
export const SETTLE_MS = 90_000

/** Stops a run where it stands. */
class Broken extends Error {
  readonly _tag = "Broken"
  readonly failure: SimulationFailure
  constructor(failure: SimulationFailure) {
    super(failure.message)
    this.failure = failure
  }
}

class Run {
  readonly scenario: Scenario
  readonly sim: Sim
  readonly cluster: SimCluster
  readonly timeline: Timeline = new Timeline()
  readonly history: History = new History()
  readonly observer: SimulationObserver
  readonly injector: FaultInjector
  readonly broken: Deferred.Deferred<never, Broken> = Deferred.makeUnsafe()
  violations: ReadonlyArray<Violation> = []
  #isProducing = true
  #isConsuming = true

  constructor(scenario: Scenario, options: SimulationOptions) {
    this.scenario = scenario
    this.sim = new Sim(scenario.seed)
    this.cluster = new SimCluster(this.sim, {
      brokers: scenario.brokers,
      configs: scenario.configs,
      configsOf: (id): Readonly<Record<string, string>> => {
        const rack = scenario.racks[id - 1]
        return rack === undefined ? {} : { "broker.rack": rack }
      },
      link: { maxDelayMs: scenario.maxDelayMs }
    })
    for (const { id } of this.cluster.brokers.values()) this.cluster.broker(id).skewMs = scenario.skewsMs[id - 1] ?? 0
    this.observer = new SimulationObserver(this.cluster, this.timeline, {
      configs: { ...SIM_CONFIGS, ...scenario.configs },
      broken: ({ invariant, message }) => options.judgedBy === "clients" ? undefined : this.fail(invariant, message)
    })
    this.injector = new FaultInjector(this.cluster, this.observer, {
      minIsr: MIN_ISR,
      link: { ...DEFAULT_LINK, maxDelayMs: scenario.maxDelayMs },
      clients: () => [...this.cluster.clients.values()].filter(({ name }) => name !== "admin" && name !== "reader"),
      admin: this.cluster.client("admin")
    })
    this.sim.onStep = (process) => this.observer.look(process)
  }

  fail(name: string, message: string): void {
    Deferred.doneUnsafe(this.broken, Effect.fail(new Broken({ name, message, atMs: this.sim.elapsedMs })))
  }

  get #watch(): ClientWatch {
    return {
      history: this.history,
      committedEnd: (topic, partition) => this.observer.committedEnd(topic, partition),
      tooEarly: (invariant, message, topic, partition) => {
        this.observer.note("broken", `${invariant}: ${message}`, undefined, `${topic}-${partition}`)
        this.fail(invariant, message)
      },
      partitionsOf: (topic) => this.observer.image().topicsByName.get(topic)?.partitions.length ?? 1,
      isProducing: () => this.#isProducing,
      isConsuming: () => this.#isConsuming,
      mayHaveSaved: (group, offsets) => {
        for (const { offset, partition, topic } of offsets) this.#perhapsSaved.set(`${group} ${topic}-${partition}`, offset)
      },
      isOff: (client) => this.injector.isOff(client)
    }
  }

  readonly program: Effect.Effect<void, unknown, Scope> = Effect.gen({ self: this }, function*() {
    const { cluster, scenario } = this
    yield* cluster.startAll
    const replicas = Math.min(REPLICATION_FACTOR, scenario.brokers)
    yield* createTopics(cluster, cluster.client("admin"), scenario.topics.map(({ configs, name, partitions }) => ({
      name,
      partitions,
      replicationFactor: replicas,
      configs
    })))
    yield* cluster.until("the topics", () => scenario.topics.every(({ name }) => this.observer.image().topicsByName.has(name)))

    const producers: Array<Fiber.Fiber<void, unknown>> = []
    for (const plan of scenario.producers) {
      producers.push(yield* Effect.forkScoped(runProducer(cluster, cluster.client(plan.name), plan, this.#watch)))
    }
    const members: Array<Fiber.Fiber<void, unknown>> = []
    for (const group of scenario.groups) {
      for (let at = 0; at < group.members; at++) {
        const rack = group.readsFollowers ? scenario.racks[at % scenario.racks.length] : undefined
        members.push(yield* Effect.forkScoped(runMember(cluster, cluster.client(`${group.name}-${at}`), group, this.#watch, rack)))
      }
    }

    const untilMs = this.sim.nowMs + scenario.durationMs
    yield* this.injector.run(scenario.faults)
    if (untilMs > this.sim.nowMs) yield* Effect.sleep(untilMs - this.sim.nowMs)

    yield* this.injector.heal
    // A run in which little could happen goes on, well, until it is one.
    while (this.sim.steps < MIN_STEPS) yield* Effect.sleep(WORK_ON_MS)
    this.#isProducing = false
    for (const fiber of producers) yield* this.#within("every record is answered", DELIVERY_TIMEOUT_MS + 20_000, Fiber.join(fiber))
    yield* this.#settle
    this.#isConsuming = false
    for (const fiber of members) yield* this.#within("the members stop", 30_000, Fiber.join(fiber))

    const partitions = scenario.topics.flatMap(({ name }) =>
      this.observer.image().topicsByName.get(name)!.partitions.map(({ partition }) => ({ topic: name, partition }))
    )
    const finals = yield* readAll(cluster, cluster.client("reader"), partitions)
    this.violations = check(this.history.events, finals, {
      deletedTopics: this.injector.admin.deletedTopics,
      keepsRecords: true,
      deletedBefore: this.injector.admin.deletedBefore,
      maxViolations: 1000,
      completeGroups: scenario.groups.map(({ name }) => name)
    })
    // What is lost says more than what else comes of it.
    const first = this.violations.find(({ kind }) => kind === "Lost") ?? this.violations[0]
    if (first === undefined) return
    for (const { kind, message, partition, topic } of this.violations.slice(0, MAX_TOLD_VIOLATIONS)) {
      this.observer.note("broken", `${kind}: ${message}`, undefined, `${topic}-${partition}`)
    }
    return yield* Effect.fail(new Broken({ name: first.kind, message: first.message, atMs: first.atMs ?? this.sim.elapsedMs }))
  })

  #within<A, E>(what: string, timeoutMs: number, effect: Effect.Effect<A, E>): Effect.Effect<A, E | Broken> {
    return Effect.timeoutOrElse(effect, {
      duration: timeoutMs,
      orElse: () => Effect.fail(new Broken({ name: "NotSettled", message: `not within ${timeoutMs} ms: ${what}`, atMs: this.sim.elapsedMs }))
    })
  }

  /** Every partition is whole, and every group has been given and has saved all of it. */
  get #settle(): Effect.Effect<void, Broken> {
    return Effect.gen({ self: this }, function*() {
      const endMs = this.sim.nowMs + SETTLE_MS
      for (;;) {
        const missing = this.#unsettled()
        if (missing === undefined) return
        if (this.sim.nowMs >= endMs) {
          return yield* Effect.fail(new Broken({ name: "NotSettled", message: `not within ${SETTLE_MS} ms: ${missing}`, atMs: this.sim.elapsedMs }))
        }
        yield* Effect.sleep(50)
      }
    })
  }

  #replica(broker: number, topic: string, partition: number): Partition | undefined {
    return this.cluster.broker(broker).broker?.services.partitions.get(topic, partition)
  }

  /** What is not yet as it must be in the end; undefined: nothing. */
  #unsettled(): string | undefined {
    const { admin, forgetful } = this.injector
    const image = this.observer.image()
    for (const topic of image.topicsById.values()) {
      for (const partition of topic.partitions) {
        const name = `${topic.name}-${partition.partition}`
        if (partition.leader === -1) return `${name} has no leader`
        if (partition.addingReplicas.length + partition.removingReplicas.length > 0) return `${name} is being reassigned`
        const missing = partition.replicas.filter((id) => !partition.isr.includes(id))
        if (missing.length > 0) return `${name}: replicas ${missing.join()} are not in the ISR`
        const replicas = partition.replicas.map((id) => [id, this.#replica(id, topic.name, partition.partition)] as const)
        const { logEndOffset: end, logStartOffset: start } = replicas.find(([id]) => id === partition.leader)?.[1] ?? {}
        for (const [id, replica] of replicas) {
          if (replica === undefined) return `${name} is not on broker ${id}`
          if (replica.logEndOffset !== end) return `${name} ends at ${replica.logEndOffset} on broker ${id} and at ${end} on its leader ${partition.leader}`
          // A follower begins no earlier than its leader, which tells it where; it may begin later than one that was not told.
          const isExcused = replica.logStartOffset > start! && admin.mayHaveMissedDeletion(partition.leader, name, replica.logStartOffset, forgetful)
          if (replica.logStartOffset !== start && !isExcused) return `${name} begins at ${replica.logStartOffset} on broker ${id} and at ${start} on its leader ${partition.leader}`
          if (replica.highWatermark !== end) return `${name}: broker ${id} has the high watermark ${replica.highWatermark} of ${end}`
        }
      }
    }
    for (const group of this.scenario.groups) {
      for (const name of group.topics) {
        for (const { leader, partition } of image.topicsByName.get(name)?.partitions ?? []) {
          const end = this.observer.committedEnd(name, partition)
          // A group cannot save what it was never given because all of it was deleted.
          if ((this.#replica(leader, name, partition)?.logStartOffset ?? 0) >= end) continue
          if ((this.#savedOf(group.name, name, partition)) < end) {
            return `group ${group.name} has saved ${this.#savedOf(group.name, name, partition)} of ${end} of ${name}-${partition}`
          }
        }
      }
    }
    return undefined
  }

  readonly #saved: Map<string, number> = new Map()
  /** By members that were killed meanwhile: else they are read and saved again. */
  readonly #perhapsSaved: Map<string, number> = new Map()
  #savedUpTo = 0
  #savedOf(group: string, topic: string, partition: number): number {
    const { events } = this.history
    for (; this.#savedUpTo < events.length; this.#savedUpTo++) {
      const event = events[this.#savedUpTo]!
      if (event._tag !== "Committed") continue
      this.#saved.set(`${event.group} ${event.topic}-${event.partition}`, event.offset)
    }
    const key = `${group} ${topic}-${partition}`
    return Math.max(this.#saved.get(key) ?? 0, this.#perhapsSaved.get(key) ?? 0)
  }

  result(failure: SimulationFailure | undefined): SimulationResult {
    const { history, sim } = this
    return {
      scenario: this.scenario,
      steps: sim.steps,
      virtualMs: sim.elapsedMs,
      hash: sim.trace.hash(),
      counters: this.observer.counters,
      sent: history.count("Sent"),
      acknowledged: history.count("Acknowledged"),
      refused: history.count("Refused"),
      polled: history.count("Polled"),
      failure,
      violations: this.violations,
      timeline: this.timeline
    }
  }
}

/** Runs a scenario to its end, or to what broke first. Never rejects: what went wrong is in the result. */
export const runScenario = async (scenario: Scenario, options: SimulationOptions = {}): Promise<SimulationResult> => {
  const run = new Run(scenario, options)
  const program = Effect.scoped(run.program).pipe(
    Effect.raceFirst(Deferred.await(run.broken)),
    Effect.matchCause({
      onSuccess: () => undefined,
      onFailure: (cause): SimulationFailure => {
        const error = Cause.squash(cause)
        if (error instanceof Broken) return error.failure
        return { name: "Crashed", message: error instanceof Error ? error.stack ?? error.message : String(error), atMs: run.sim.elapsedMs }
      }
    })
  )
  try {
    return run.result(await run.sim.run(program, { maxSteps: MAX_STEPS }))
  } catch (error) {
    return run.result({ name: "Crashed", message: error instanceof Error ? error.stack ?? error.message : String(error), atMs: run.sim.elapsedMs })
  }
}

export interface ShrunkSimulation {
  readonly faults: ReadonlyArray<Fault>
  /** Of the run with these faults. */
  readonly result: SimulationResult
  readonly runs: number
}

/** A schedule with fewer faults that fails with the same name. */
export const shrinkFailure = async (
  failed: SimulationResult,
  maxRuns = 60,
  options: SimulationOptions = {}
): Promise<ShrunkSimulation> => {
  const { failure, scenario } = failed
  let best = failed
  const { items, runs } = await Effect.runPromise(shrink(scenario.faults, (faults) =>
    Effect.promise(async () => {
      const result = await runScenario({ ...scenario, faults }, options)
      if (result.failure?.name !== failure?.name) return false
      best = result
      return true
    }), maxRuns))
  return { faults: items, result: best, runs }
}

/** Adds up what runs counted. */
export const addCounters = (sum: SimulationCounters, more: SimulationCounters): void => {
  for (const key of Object.keys(noCounters()) as Array<keyof SimulationCounters>) sum[key] += more[key]
}
