/** A production broker on a machine of a simulation. Its disk outlives its processes. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Broker from "../broker/Broker.ts"
import { BrokerConfig, BrokerConfigError } from "../broker/config/BrokerConfig.ts"
import { MemoryDisk } from "../memory/MemoryDisk.ts"
import { Compression } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import { Disk } from "../ports/Disk.ts"
import { MetadataStore } from "../ports/MetadataStore.ts"
import { Network } from "../ports/Network.ts"
import type { Sim } from "./Sim.ts"
import { SimHost } from "./SimHost.ts"
import type { SimMetadataStore } from "./SimMetadataStore.ts"
import type { SimNetwork } from "./SimNetwork.ts"
import { simCompression, simCrypto } from "./SimPorts.ts"
import type { ProcessKilled, SimProcess } from "./SimProcess.ts"

/** Every broker listens there, on an address of its own. */
export const BROKER_PORT = 9092

export type SimBrokerState = "down" | "starting" | "running" | "stopping"

/** What the brokers of one simulation share. */
export interface SimBrokerWorld {
  readonly sim: Sim
  readonly network: SimNetwork
  readonly store: SimMetadataStore
}

export class SimBroker {
  readonly id: number
  readonly host: SimHost
  readonly disk: MemoryDisk
  /** Virtual milliseconds that each sync of a file or directory takes the device; drawn from 0 to this. */
  syncMs = 0
  /** Its clock is wrong by so many milliseconds, from now on: the machine's, so a new process has it too. Timers are right. */
  set skewMs(skewMs: number) {
    this.#skewMs = skewMs
    const { process: owner } = this
    if (owner !== undefined) owner.skewMs = skewMs
  }
  get skewMs(): number {
    return this.#skewMs
  }
  #skewMs = 0
  /** Processes so far. */
  starts = 0
  /** Of the starts, those that followed a kill, a loss of power, or a process that gave itself up. */
  uncleanStarts = 0
  /** Its present or last process began with what a loss of power had left. */
  beganAfterPowerLoss = false
  #hasLostPower = false
  /** Processes that gave themselves up, as for want of a log directory that works. */
  halts = 0
  readonly #world: SimBrokerWorld
  readonly #configs: Readonly<Record<string, string>>
  #state: SimBrokerState = "down"
  #broker: Broker.Broker | undefined
  #scope: Scope.Closeable | undefined
  #wasKilled = false

  constructor(world: SimBrokerWorld, id: number, configs: Readonly<Record<string, string>>) {
    this.#world = world
    this.id = id
    this.#configs = configs
    const { sim } = world
    this.host = new SimHost(sim, `broker-${id}`, `10.0.0.${id}`)
    world.network.add(this.host)
    const dice = sim.dice.fork(`disk of broker ${id}`)
    this.disk = new MemoryDisk({
      nowMs: () => Math.floor(sim.nowMs),
      device: Effect.suspend(() => this.syncMs === 0 ? Effect.yieldNow : Effect.sleep(dice.int(0, this.syncMs)))
    })
  }

  get state(): SimBrokerState {
    return this.#state
  }
  /** The one that runs: its inner state is in `services`. It is as its process left it while that is paused. */
  get broker(): Broker.Broker | undefined {
    return this.#broker
  }
  get process(): SimProcess | undefined {
    return this.host.process
  }

  /**
   * Starts a process with what is on the disk, on a machine that is switched on by it. Done when it serves; fails when it
   * cannot start or dies first.
   */
  start(configs: Readonly<Record<string, string>> = {}): Effect.Effect<Broker.Broker, Broker.BrokerStartError | ProcessKilled> {
    return Effect.suspend(() => {
      if (this.#state !== "down") throw new Error(`broker ${this.id} is ${this.#state}`)
      const owner = this.host.boot()
      owner.skewMs = this.#skewMs
      const scope = Scope.makeUnsafe()
      this.#state = "starting"
      this.#scope = scope
      this.starts++
      if (this.#wasKilled) this.uncleanStarts++
      this.beganAfterPowerLoss = this.#hasLostPower
      this.#hasLostPower = false
      this.#wasKilled = false
      this.#world.sim.say(`broker ${this.id} starts`)
      const make = Broker.make(this.#config(configs)).pipe(Effect.provideContext(Context.add(this.#ports(owner), Scope.Scope, scope)))
      return owner.run(make).pipe(
        Effect.tap((broker) =>
          Effect.sync(() => {
            this.#broker = broker
            this.#state = "running"
            Effect.runForkWith(owner.context)(Effect.map(broker.halted, (reason) => this.#halt(owner, reason)))
            this.#world.sim.say(`broker ${this.id} serves with epoch ${broker.brokerEpoch}`)
          })
        ),
        // One that could not start is gone as one that was stopped.
        Effect.tapError((error) => error._tag === "ProcessKilled" ? Effect.void : this.#exit(owner, scope))
      )
    })
  }

  #config(configs: Readonly<Record<string, string>>): BrokerConfig {
    const config = BrokerConfig.load({
      overrides: Object.entries({
        listeners: `PLAINTEXT://${this.host.address}:${BROKER_PORT}`,
        "log.dirs": "/data",
        ...this.#configs,
        ...configs,
        "node.id": String(this.id)
      })
    })
    if (config instanceof BrokerConfigError) throw config
    return config
  }

  #ports(owner: SimProcess): Context.Context<Broker.BrokerRequirements> {
    const { network, store } = this.#world
    return Context.make(Network, network.view(this.host, owner)).pipe(
      Context.add(MetadataStore, store.view(this.host, owner)),
      Context.add(Disk, this.disk.disk),
      Context.add(Crypto, simCrypto(owner.random)),
      Context.add(Compression, simCompression)
    )
  }

  /** An orderly stop, as by SIGTERM. Done when the process has ended; nothing when none runs. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    const owner = this.process
    const scope = this.#scope
    if (this.#state !== "running" || owner === undefined || scope === undefined) return Effect.void
    this.#state = "stopping"
    this.#world.sim.say(`broker ${this.id} stops`)
    return this.#exit(owner, scope)
  })

  /** Its finalizers run, then it is gone. */
  #exit(owner: SimProcess, scope: Scope.Closeable): Effect.Effect<void> {
    return owner.run(Scope.close(scope, Exit.void)).pipe(
      Effect.andThen(Effect.sync(() => {
        owner.kill()
        this.disk.crash({ _tag: "process" })
        this.#gone()
      })),
      Effect.catch(() => Effect.void)
    )
  }

  /** It gave itself up: its process ends as Kafka's does, at once. */
  #halt(owner: SimProcess, reason: string): void {
    // Not by this task, which is one of its own.
    this.#world.sim.after(0, () => {
      if (this.process !== owner) return
      this.halts++
      this.#world.sim.say(`broker ${this.id} gives up: ${reason}`)
      this.kill()
    })
  }

  #gone(): void {
    this.#state = "down"
    this.#broker = undefined
    this.#scope = undefined
  }

  /** kill -9. The disk keeps all that was written. Nothing when none runs. */
  kill(): void {
    if (this.process === undefined) return
    this.#world.sim.say(`broker ${this.id} is killed`)
    this.host.kill()
    this.disk.crash({ _tag: "process" })
    this.#wasKilled = true
    this.#gone()
  }

  /**
   * The machine loses its power. The disk keeps what was synced; of the rest any part, torn anywhere, as the seed has
   * it (`"torn"`), or nothing (`"none"`).
   */
  powerOff(unsynced: "torn" | "none" = "torn"): void {
    this.#world.sim.say(`broker ${this.id} loses its power`)
    this.host.powerOff()
    this.#hasLostPower = true
    this.disk.crash({ _tag: "machine", ...(unsynced === "torn" ? { random: this.#world.sim.random } : {}) })
    this.#wasKilled = true
    this.#gone()
  }

  /** It stands still, as while a garbage collector works, and goes on with `resume`; others think what they like. */
  pause(): void {
    const owner = this.process
    if (owner === undefined) return
    this.#world.sim.say(`broker ${this.id} pauses`)
    owner.pause()
    this.#world.store.heard(owner)
  }
  resume(): void {
    const owner = this.process
    if (owner?.state !== "paused") return
    this.#world.sim.say(`broker ${this.id} goes on`)
    owner.resume()
    this.#world.store.heard(owner)
  }
}
