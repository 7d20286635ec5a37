/**
 * Does to a simulated cluster what a schedule says, and undoes it when its time is over. Keeps to the fault model: what
 * would go beyond it is left out or made milder (FaultsDoubts.ts), and the timeline says so.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { PartitionImage } from "../cluster/MetadataImage.ts"
import { type Fault, showFault, type Target } from "./Faults.ts"
import { FaultAdmin } from "./FaultsAdmin.ts"
import { FaultDoubts } from "./FaultsDoubts.ts"
import type { SimBroker } from "./SimBroker.ts"
import type { SimClient } from "./SimClient.ts"
import type { SimCluster } from "./SimCluster.ts"
import type { SimHost } from "./SimHost.ts"
import type { SimLinkOptions } from "./SimLink.ts"
import { NO_STORE_FAULTS } from "./SimMetadataStore.ts"
import type { SimulationObserver } from "./SimulationObserver.ts"

/** How long a broker that could not start waits before it tries again, in virtual milliseconds. */
const START_RETRY_MS = 500
const STALE_WATCH_MS = 2500

const groupPartition = (group: string, partitions: number): number => {
  // As Kafka finds a group's partition: Java's hashCode.
  let hash = 0
  for (let i = 0; i < group.length; i++) hash = (Math.imul(31, hash) + group.charCodeAt(i)) | 0
  return (hash & 0x7fff_ffff) % partitions
}

export interface FaultInjectorOptions {
  /** Of every topic in the beginning. */
  readonly minIsr: number
  /** Of every link that no fault slows. */
  readonly link: SimLinkOptions
  /** Client machines that can be cut off; others (the admin's, the last reader's) never are. */
  readonly clients: () => ReadonlyArray<SimClient>
  readonly admin: SimClient
}

export class FaultInjector {
  readonly #cluster: SimCluster
  readonly #observer: SimulationObserver
  readonly #options: FaultInjectorOptions
  readonly #doubts: FaultDoubts
  readonly admin: FaultAdmin
  /** How many faults block a direction. */
  readonly #blocks: Map<string, number> = new Map()
  /** Brokers that a fault keeps down: others do not start them. */
  readonly #down: Map<number, number> = new Map()
  /** Brokers whose disk failed an fsync: they are started again, as an operator would. */
  readonly #distrusted: Set<SimBroker> = new Set()
  /** Brokers that may have lost what they knew of where logs begin: their power went, or their disk was full. */
  readonly forgetful: Set<number> = new Set()
  /** Client machines that a fault keeps off, and how many faults do. */
  readonly #off: Map<string, number> = new Map()
  #isHealed = false

  constructor(cluster: SimCluster, observer: SimulationObserver, options: FaultInjectorOptions) {
    this.#cluster = cluster
    this.#observer = observer
    this.#options = options
    this.#doubts = new FaultDoubts(cluster, observer, options.minIsr)
    this.admin = new FaultAdmin(cluster, observer, this.#doubts, options.admin)
  }

  /** Does all of a schedule in its time; done when the last fault has begun. What is undone later is done in the scope. */
  run(faults: ReadonlyArray<Fault>): Effect.Effect<void, never, Scope> {
    return Effect.gen({ self: this }, function*() {
      const startMs = this.#cluster.sim.nowMs
      for (const fault of faults) {
        const waitMs = startMs + fault.atMs - this.#cluster.sim.nowMs
        if (waitMs > 0) yield* Effect.sleep(waitMs)
        if (this.#isHealed) return
        yield* Effect.forkScoped(this.#inject(fault))
      }
    })
  }

  /** Ends every fault. Done when all brokers serve; throttles are looked for as long as the scope is open. */
  readonly heal: Effect.Effect<void, never, Scope> = Effect.suspend(() => {
    this.#isHealed = true
    this.#observer.note("heal", "all heals")
    // Wrong clocks stay as wrong as they were: one that is set back would be another fault.
    const skews = [...this.#cluster.brokers.values()].map((broker) => [broker, broker.skewMs] as const)
    this.#cluster.heal()
    for (const [broker, skewMs] of skews) broker.skewMs = skewMs
    this.#blocks.clear()
    for (const broker of this.#distrusted) broker.kill()
    this.#distrusted.clear()
    const start = Effect.forEach([...this.#cluster.brokers.values()], (broker) => this.#start(broker), { concurrency: "unbounded", discard: true })
    return this.admin.hasThrottled ? Effect.andThen(start, this.admin.liftAll) : start
  })

  /** Whether a client stays dead for now. */
  isOff(client: string): boolean {
    return !this.#isHealed && (this.#off.get(client) ?? 0) > 0
  }

  #note(kind: "fault" | "heal" | "broker", text: string, broker?: number): void {
    this.#observer.note(kind, text, broker)
  }

  // -- who -----------------------------------------------------------------------------------------------------

  #partitionImage(topic: string, partition: number): PartitionImage | undefined {
    return this.#observer.image().topicsByName.get(topic)?.partitions[partition]
  }

  #find(target: Target): SimBroker | undefined {
    const id = this.#idOf(target)
    return id === undefined ? undefined : this.#cluster.brokers.get(id)
  }

  /** Whom a fault meets, which the timeline says then. */
  #meet(fault: Fault & { readonly victim: Target }): SimBroker | undefined {
    const broker = this.#find(fault.victim)
    if (broker !== undefined) this.#note("fault", showFault(fault), broker.id)
    return broker
  }

  #idOf(target: Target): number | undefined {
    switch (target.by) {
      case "id":
        return target.id
      case "controller":
        return this.#observer.image().controllerId
      case "leader":
        return this.#partitionImage(target.topic, target.partition)?.leader
      case "follower": {
        const image = this.#partitionImage(target.topic, target.partition)
        if (image === undefined) return undefined
        const followers = image.replicas.filter((id) => id !== image.leader)
        const inIsr = followers.filter((id) => image.isr.includes(id))
        return [...inIsr, ...followers.filter((id) => !inIsr.includes(id))][target.nth]
      }
      case "coordinator": {
        const topic = this.#observer.image().topicsByName.get("__consumer_offsets")
        return topic?.partitions[groupPartition(target.group, topic.partitions.length)]?.leader
      }
    }
  }

  // -- what ----------------------------------------------------------------------------------------------------

  #inject(fault: Fault): Effect.Effect<void> {
    return Effect.suspend(() => {
      // Its turn may come in the same moment as the healing, after it.
      if (this.#isHealed) return Effect.void
      const over = (undo: () => void): Effect.Effect<void> =>
        Effect.andThen(
          Effect.sleep(fault.forMs),
          Effect.sync(() => {
            if (!this.#isHealed) undo()
          })
        )
      switch (fault.kind) {
        case "kill":
        case "power loss":
          return this.#crash(fault, this.#find(fault.victim), fault.kind === "power loss", fault.session)
        case "kill all":
          return Effect.forEach(
            [...this.#cluster.brokers.values()],
            (broker) => this.#crash(fault, broker, false, fault.session),
            { concurrency: "unbounded", discard: true }
          )
        case "stop":
          return this.#stop(fault, this.#find(fault.victim))
        case "pause": {
          const broker = this.#find(fault.victim)
          if (broker === undefined || broker.state !== "running") return Effect.void
          this.#note("fault", showFault(fault), broker.id)
          broker.pause()
          return over(() => {
            this.#note("heal", "goes on", broker.id)
            broker.resume()
          })
        }
        case "set clock": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          broker.skewMs += fault.byMs
          return Effect.void
        }
        case "isolate": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          const others = [...this.#cluster.brokers.values()].filter((other) => other !== broker).map(({ host }) => host)
          const clients = this.#options.clients().map(({ host }) => host)
          const from = fault.from === "clients" ? clients : fault.from === "all" ? [...others, ...clients] : others
          const isStoreCut = fault.from === "all" || fault.from === "brokers and store"
          for (const host of from) this.#block(broker.host, host, fault.way, 1)
          if (isStoreCut) this.#cluster.store.change(broker.host, { isUnreachable: true })
          return over(() => {
            this.#note("heal", "is reached again", broker.id)
            for (const host of from) this.#block(broker.host, host, fault.way, -1)
            if (isStoreCut) this.#cluster.store.change(broker.host, { isUnreachable: false })
          })
        }
        case "cut": {
          const from = this.#find(fault.from)
          const to = this.#find(fault.to)
          if (from === undefined || to === undefined || from === to) return Effect.void
          this.#note("fault", `${showFault(fault)} (${from.id}, ${to.id})`)
          this.#block(from.host, to.host, fault.way, 1)
          return over(() => {
            this.#note("heal", `${from.id} and ${to.id} reach each other again`)
            this.#block(from.host, to.host, fault.way, -1)
          })
        }
        case "slow link": {
          const from = this.#find(fault.from)
          const to = this.#find(fault.to)
          if (from === undefined || to === undefined || from === to) return Effect.void
          this.#note("fault", `${showFault(fault)} (${from.id}, ${to.id})`)
          const before = this.#options.link
          const slow = { minDelayMs: Math.floor(fault.delayMs / 2), maxDelayMs: fault.delayMs, bytesPerMs: fault.bytesPerMs }
          this.#cluster.network.change(from.host, to.host, slow)
          this.#cluster.network.change(to.host, from.host, slow)
          return over(() => {
            const { bytesPerMs, maxDelayMs, minDelayMs } = before
            const normal = { minDelayMs, maxDelayMs, bytesPerMs }
            for (const [a, b] of [[from, to], [to, from]] as const) this.#cluster.network.change(a.host, b.host, normal)
          })
        }
        case "lossy link": {
          const from = this.#find(fault.from)
          const to = fault.to === "clients" ? this.#options.clients() : [this.#find(fault.to)].filter((broker) => broker !== undefined)
          const others = to.filter((other) => other !== from)
          if (from === undefined || others.length === 0) return Effect.void
          this.#note("fault", `${showFault(fault)} (${[from, ...to].map(({ host }) => host.name).join()})`)
          const change = ({ breaks, loss }: Pick<SimLinkOptions, "breaks" | "loss">): void => {
            for (const { host } of others) {
              this.#cluster.network.change(from.host, host, { breaks, loss })
              this.#cluster.network.change(host, from.host, { breaks, loss })
            }
          }
          change(fault)
          return over(() => change(this.#options.link))
        }
        case "reset": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          for (const { host } of this.#options.clients()) this.#cluster.network.reset(broker.host, host)
          return Effect.void
        }
        case "disk full": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          broker.disk.limitBytes = broker.disk.usedBytes + 64
          this.forgetful.add(broker.id)
          return over(() => {
            this.#note("heal", "has room again", broker.id)
            broker.disk.limitBytes = Infinity
          })
        }
        case "fsync fails":
          return this.#failSyncs(fault, this.#find(fault.victim), fault.times)
        case "store unreachable": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          this.#cluster.store.change(broker.host, { isUnreachable: true })
          return over(() => this.#cluster.store.change(broker.host, { isUnreachable: false }))
        }
        case "stale watch": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          this.#cluster.store.change(broker.host, { watchLagMs: STALE_WATCH_MS })
          return over(() => this.#cluster.store.change(broker.host, { watchLagMs: 0 }))
        }
        case "slow store": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          const { maxDelayMs, minDelayMs } = NO_STORE_FAULTS
          this.#cluster.store.change(broker.host, { minDelayMs: fault.delayMs, maxDelayMs: Math.ceil(fault.delayMs * 1.2) })
          return over(() => this.#cluster.store.change(broker.host, { minDelayMs, maxDelayMs }))
        }
        case "lose session": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          this.#cluster.store.loseSessions(broker.host)
          return Effect.void
        }
        case "lose commits": {
          const broker = this.#meet(fault)
          if (broker === undefined) return Effect.void
          this.#cluster.store.change(broker.host, fault.done ? { losesAnswers: 0.7 } : { refuses: 1 })
          return over(() => this.#cluster.store.change(broker.host, { refuses: 0, losesAnswers: 0 }))
        }
        case "kill member": {
          const name = `${fault.group}-${fault.nth}`
          const member = this.#options.clients().find((client) => client.name === name)
          if (member === undefined) return Effect.void
          this.#note("fault", showFault(fault))
          this.#off.set(name, (this.#off.get(name) ?? 0) + 1)
          member.kill()
          this.#observer.counters.memberKills++
          return over(() => void this.#off.set(name, this.#off.get(name)! - 1))
        }
        default:
          this.#note("fault", showFault(fault))
          return this.admin.act(fault)
      }
    })
  }

  #block(a: SimHost, b: SimHost, way: "both" | "in" | "out", by: 1 | -1): void {
    const change = (from: SimHost, to: SimHost): void => {
      const key = `${from.name}>${to.name}`
      const count = Math.max(0, (this.#blocks.get(key) ?? 0) + by)
      this.#blocks.set(key, count)
      this.#cluster.network.change(from, to, { isBlocked: count > 0 })
    }
    if (way !== "in") change(a, b)
    if (way !== "out") change(b, a)
  }

  // -- brokers that go and come --------------------------------------------------------------------------------

  #crash(fault: Fault, broker: SimBroker | undefined, losesPower: boolean, session: "ends" | "expires"): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (broker === undefined || broker.state === "down") return Effect.void
      let isPower = losesPower
      if (isPower && !this.#doubts.mayStop(broker.id, true)) isPower = false
      if (!isPower && !this.#doubts.mayStop(broker.id, false)) {
        this.#note("fault", `left out, beyond the fault model: ${showFault(fault)}`, broker.id)
        return Effect.void
      }
      this.#note("fault", losesPower === isPower ? showFault(fault) : `${showFault(fault)}; a kill, to stay within the fault model`, broker.id)
      if (isPower) {
        broker.powerOff()
        this.forgetful.add(broker.id)
      } else broker.kill()
      if (session === "ends") this.#cluster.store.loseSessions(broker.host)
      return this.#comeBack(broker, fault.forMs)
    })
  }

  #comeBack(broker: SimBroker, afterMs: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#down.set(broker.id, (this.#down.get(broker.id) ?? 0) + 1)
      return Effect.andThen(
        Effect.sleep(afterMs),
        Effect.suspend(() => {
          const left = this.#down.get(broker.id)! - 1
          this.#down.set(broker.id, left)
          return left > 0 ? Effect.void : this.#start(broker)
        })
      )
    })
  }

  #stop(fault: Fault, broker: SimBroker | undefined): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (broker === undefined || broker.state !== "running") return Effect.void
      this.#note("fault", showFault(fault), broker.id)
      return Effect.andThen(broker.stop, this.#comeBack(broker, fault.forMs))
    })
  }

  /** A broker whose fsync failed cannot trust its disk; what is in its partitions is looked at when it starts again. */
  #failSyncs(fault: Fault, broker: SimBroker | undefined, times: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { failing } = this.#doubts
      if (broker === undefined || broker.state !== "running" || failing.has(broker.id)) return Effect.void
      if (!this.#doubts.mayStop(broker.id, false)) return Effect.void
      failing.add(broker.id)
      this.#note("fault", showFault(fault), broker.id)
      let left = times
      broker.disk.failWhen((operation) => {
        if (operation !== "sync" || left-- <= 0) return undefined
        this.#distrusted.add(broker)
        return "Io"
      })
      return Effect.andThen(
        Effect.sleep(fault.forMs),
        Effect.suspend(() => {
          broker.disk.failWhen(undefined)
          const isDistrusted = this.#distrusted.delete(broker)
          // It may have given itself up already.
          if (isDistrusted) broker.kill()
          failing.delete(broker.id)
          return isDistrusted ? this.#comeBack(broker, 0) : Effect.void
        })
      )
    })
  }

  /** Until it serves, is killed again, or runs already. */
  #start(broker: SimBroker): Effect.Effect<void> {
    return Effect.suspend(() => {
      // Who is stopping when all heals is started when it has stopped.
      if (broker.state === "stopping") return Effect.andThen(Effect.sleep(START_RETRY_MS), this.#start(broker))
      if (broker.state !== "down") return Effect.void
      return Effect.matchEffect(broker.start(), {
        onSuccess: () => Effect.void,
        onFailure: (error) => {
          if (error._tag === "ProcessKilled") return Effect.void
          this.#note("broker", `cannot start: ${error.message}`, broker.id)
          return Effect.andThen(Effect.sleep(START_RETRY_MS), Effect.suspend(() => this.#start(broker)))
        }
      })
    })
  }
}
