/**
 * What an operator does to a simulated cluster while faults come and go: topics, moves of partitions, configurations,
 * deletions, throttles. By the ordinary client; moves and elections by any broker that runs, as its handlers do. What fails
 * has failed, as it would have for an operator; only a throttle is taken off until it is off.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Admin from "../client/Admin.ts"
import { type AdminAction, type Fault, showFault } from "./Faults.ts"
import type { FaultDoubts } from "./FaultsDoubts.ts"
import type { SimClient } from "./SimClient.ts"
import type { SimCluster } from "./SimCluster.ts"
import type { SimulationObserver } from "./SimulationObserver.ts"

/** Kafka's number of the election type. */
const PREFERRED = 0
/** How often a throttle that must be gone is looked for, in virtual milliseconds. */
const LIFT_RETRY_MS = 500
/** How fast what is throttled is copied (brokers), and what that is (topics). */
const RATES = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"] as const
const REPLICAS = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"] as const

type Act = Fault & AdminAction
type Throttle = Extract<Act, { readonly kind: "throttle" }>

type ConfigChange = Parameters<Admin.Admin["alterConfigs"]>[0][number]

/** A broker's own are changed at that broker: one that is not there keeps nobody else waiting. */
const alterEach = (admin: Admin.Admin, changes: ReadonlyArray<ConfigChange>): Effect.Effect<void> =>
  Effect.forEach(changes, (change) => Effect.ignore(admin.alterConfigs([change])), { concurrency: "unbounded", discard: true })

export class FaultAdmin {
  readonly #cluster: SimCluster
  readonly #observer: SimulationObserver
  readonly #doubts: FaultDoubts
  readonly #client: SimClient
  /** Throttles that an end is waited for. */
  #throttles = 0
  hasThrottled = false
  /** Topics that this run deleted. */
  readonly deletedTopics: Set<string> = new Set()
  /** By `topic-partition`: records below this offset may have been deleted on purpose. */
  readonly deletedBefore: Map<string, number> = new Map()
  /** By broker and `topic-partition`: it was alive when all who were had deleted the records below this offset. */
  readonly #deletedOn: Map<string, number> = new Map()
  /** Partitions that were to move: what a replica has may be what another one had. */
  readonly #moved: Set<string> = new Set()

  constructor(cluster: SimCluster, observer: SimulationObserver, doubts: FaultDoubts, client: SimClient) {
    this.#cluster = cluster
    this.#observer = observer
    this.#doubts = doubts
    this.#client = client
  }

  act(fault: Act): Effect.Effect<void> {
    switch (fault.kind) {
      case "create topic":
        return this.#ask((admin) => admin.createTopics([{ name: fault.topic, partitions: fault.partitions, replicationFactor: 3 }]))
      case "delete topic":
        return this.#ask((admin) => {
          this.deletedTopics.add(fault.topic)
          return admin.deleteTopics([fault.topic])
        })
      case "add partitions":
        return this.#ask((admin) => admin.createPartitions([{ name: fault.topic, totalCount: fault.partitions }]))
      case "change min ISR": {
        const { minIsr, topic } = fault
        if (!this.#doubts.mayChangeMinIsr(topic, minIsr)) {
          return Effect.sync(() => this.#observer.note("fault", `left out, beyond the fault model: ${showFault(fault)}`))
        }
        this.#doubts.lower(topic, minIsr)
        this.#doubts.changing.add(topic)
        const alterations = [{ name: "min.insync.replicas", operation: "SET", value: String(minIsr) }] as const
        return Effect.ensuring(
          this.#ask((admin) => admin.alterConfigs([{ resource: { type: "topic", name: topic }, alterations }])),
          Effect.sync(() => this.#doubts.changing.delete(topic))
        )
      }
      case "delete records":
        return this.#deleteRecords(fault)
      case "throttle":
        return this.#throttle(fault)
      case "reassign":
        if (fault.replicas !== null) this.#doubts.lower(fault.topic, fault.replicas.length)
        this.#moved.add(`${fault.topic}-${fault.partition}`)
        return this.#govern(fault)
      case "elect preferred leaders":
        return this.#govern(fault)
    }
  }

  #deleteRecords({ partition, share, topic }: Extract<Act, { readonly kind: "delete records" }>): Effect.Effect<void> {
    const key = `${topic}-${partition}`
    const alive = (): ReadonlyArray<number> => [...this.#observer.image().brokers].flatMap(([id, { fenced }]) => fenced ? [] : [id])
    const note = (deleted: Map<string, number>, of: string, before: number): void => void deleted.set(of, Math.max(deleted.get(of) ?? 0, before))
    return this.#ask((admin) => {
      const offset = Math.floor(share * this.#observer.committedEnd(topic, partition))
      note(this.deletedBefore, key, offset)
      const before = alive()
      return Effect.tap(admin.deleteRecords([{ topic, partition, offset }]), ([answer]) =>
        Effect.sync(() => {
          const after = alive()
          for (const id of before) if (after.includes(id)) note(this.#deletedOn, `${id} ${key}`, answer!.lowWatermark)
        }))
    })
  }

  /**
   * Whether a leader may begin below an offset although records up to there were deleted: it was not there to hear of it,
   * for a deletion waits for those who are (as in Kafka), or it forgot.
   */
  mayHaveMissedDeletion(leader: number, partition: string, offset: number, forgetful: ReadonlySet<number>): boolean {
    if (offset > (this.deletedBefore.get(partition) ?? 0)) return false
    const missed = (id: number): boolean => forgetful.has(id) || offset > (this.#deletedOn.get(`${id} ${partition}`) ?? 0)
    return missed(leader) || (this.#moved.has(partition) && [...this.#cluster.brokers.keys()].some(missed))
  }

  #ask(act: (admin: Admin.Admin) => Effect.Effect<unknown, unknown>): Effect.Effect<void> {
    const { bootstrap } = this.#cluster
    return Effect.ignore(this.#client.run(Effect.gen(function*() {
      const admin = yield* Admin.make({ "bootstrap.servers": bootstrap, "request.timeout.ms": 3000, "default.api.timeout.ms": 10_000 })
      return yield* act(admin)
    })))
  }

  /** By any broker that runs, as its handlers do. */
  #govern(fault: Extract<Act, { readonly kind: "reassign" | "elect preferred leaders" }>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const broker = this.#cluster.running().find(({ process }) => process?.state === "running")
      const controller = broker?.broker?.services.controller
      if (broker === undefined || controller === undefined) return Effect.void
      if (fault.kind === "reassign") {
        const { partition, replicas, topic } = fault
        return Effect.ignore(broker.process!.run(controller.alterPartitionReassignments([{ topic, partition, replicas }])))
      }
      const all = [...this.#observer.image().topicsById.values()].flatMap(({ name, partitions }) =>
        partitions.map(({ partition }) => ({ topic: name as string, partition }))
      )
      return Effect.ignore(broker.process!.run(controller.electLeaders(all, PREFERRED)))
    })
  }

  // -- throttles -----------------------------------------------------------------------------------------------

  #throttle({ bytesPerSecond, forMs, replicas, side, topic }: Throttle): Effect.Effect<void> {
    const isMeant = (name: string): boolean => side === "both" || name.startsWith(side)
    const set = (names: ReadonlyArray<string>, value: string): ReadonlyArray<Admin.ConfigAlteration> =>
      names.filter(isMeant).map((name) => ({ name, operation: "SET", value }))
    this.#throttles++
    this.hasThrottled = true
    const begin = this.#ask((admin) =>
      // As the tool that moves partitions does: how fast first, then what.
      Effect.andThen(
        alterEach(admin, this.#cluster.running().map(({ id }) => ({
          resource: { type: "broker", name: String(id) },
          alterations: set(RATES, String(bytesPerSecond))
        }))),
        alterEach(admin, [{ resource: { type: "topic", name: topic }, alterations: set(REPLICAS, replicas) }])
      )
    )
    return begin.pipe(
      Effect.andThen(Effect.sleep(forMs)),
      Effect.andThen(Effect.suspend(() => --this.#throttles > 0 ? Effect.void : this.#lift))
    )
  }

  /** What has a throttle now, by the metadata store. */
  #throttled(): ReadonlyArray<ConfigChange> {
    const { brokerConfigs, topicConfigs } = this.#observer.image()
    const all = [
      ...[...topicConfigs].map(([name, configs]) => [{ type: "topic", name }, configs, REPLICAS] as const),
      ...[...brokerConfigs].map(([name, configs]) => [{ type: "broker", name }, configs, RATES] as const)
    ]
    return all.flatMap(([resource, configs, names]) => {
      const alterations = names.filter((name) => configs.has(name)).map((name) => ({ name, operation: "DELETE" }) as const)
      return alterations.length === 0 ? [] : [{ resource, alterations }]
    })
  }

  /** Until none is there, or another begins. */
  readonly #lift: Effect.Effect<void> = Effect.suspend(() => {
    const changes = this.#throttled()
    if (changes.length === 0 || this.#throttles > 0) return Effect.void
    return this.#ask((admin) => alterEach(admin, changes)).pipe(
      Effect.andThen(Effect.sleep(LIFT_RETRY_MS)),
      Effect.andThen(Effect.suspend(() => this.#lift))
    )
  })

  /** Looks for them as long as the scope is open: a request that began one may be on its way for long. */
  readonly liftAll: Effect.Effect<void, never, Scope> = Effect.suspend(() => {
    this.#throttles = 0
    return Effect.asVoid(Effect.forkScoped(Effect.forever(Effect.andThen(this.#lift, Effect.sleep(LIFT_RETRY_MS)))))
  })
}
