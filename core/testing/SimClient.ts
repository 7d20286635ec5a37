/** A machine of a simulation that runs clients: ours, or anything that speaks over the Network port. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { Compression } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import { Network } from "../ports/Network.ts"
import type { Sim } from "./Sim.ts"
import { SimHost } from "./SimHost.ts"
import type { SimNetwork } from "./SimNetwork.ts"
import { simCompression, simCrypto } from "./SimPorts.ts"
import type { ProcessKilled, SimProcess } from "./SimProcess.ts"

/** What a client asks of its host. */
export type ClientPorts = Network | Crypto | Compression

export class SimClient {
  readonly name: string
  readonly host: SimHost
  readonly #network: SimNetwork
  #ports: Context.Context<ClientPorts> | undefined

  constructor(sim: Sim, network: SimNetwork, name: string, address: string) {
    this.name = name
    this.#network = network
    this.host = new SimHost(sim, name, address)
    network.add(this.host)
  }

  /** The one that runs; a new one begins when none does. */
  get process(): SimProcess {
    const running = this.host.process
    if (running !== undefined) return running
    const owner = this.host.boot()
    this.#ports = Context.make(Network, this.#network.view(this.host, owner)).pipe(
      Context.add(Crypto, simCrypto(owner.random)),
      Context.add(Compression, simCompression)
    )
    return owner
  }

  /**
   * Runs an effect as a program on this machine, with its network, clock and dice, and a scope that ends with it. Fails
   * with ProcessKilled when the process is killed first. Everything of one client has to run in here.
   */
  run<A, E>(effect: Effect.Effect<A, E, ClientPorts | Scope>): Effect.Effect<A, E | ProcessKilled> {
    return Effect.suspend(() => {
      const owner = this.process
      return owner.run(Effect.scoped(effect).pipe(Effect.provideContext(this.#ports!)))
    })
  }

  /** kill -9: what runs in it ends where it is, its connections are reset. */
  kill(): void {
    this.host.kill()
  }
  powerOff(): void {
    this.host.powerOff()
  }
  pause(): void {
    this.host.process?.pause()
  }
  resume(): void {
    this.host.process?.resume()
  }
}
