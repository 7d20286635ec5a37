/** A machine of a simulation: an address, power, and at most one process at a time. What it keeps is on its disk. */
import type { Sim } from "./Sim.ts"
import type { SimProcess } from "./SimProcess.ts"

export class SimHost {
  readonly name: string
  /** Its IPv4 address: the host of what it listens on and connects from. */
  readonly address: string
  readonly #sim: Sim
  /** For the network: it was switched on. */
  onBoot: (() => void) | undefined
  #process: SimProcess | undefined
  #isOn = true

  constructor(sim: Sim, name: string, address: string) {
    this.#sim = sim
    this.name = name
    this.address = address
  }

  /** False: nothing that is sent to it arrives, and nobody tells. */
  get isOn(): boolean {
    return this.#isOn
  }
  /** The one that runs, paused or not. */
  get process(): SimProcess | undefined {
    return this.#process?.state === "dead" ? undefined : this.#process
  }

  /** Begins a process, on a machine that is off by switching it on. The last one must have ended. */
  boot(): SimProcess {
    if (this.process !== undefined) throw new Error(`a process runs on ${this.name} already`)
    const wasOff = !this.#isOn
    this.#isOn = true
    this.#process = this.#sim.process(this.name)
    if (wasOff) this.onBoot?.()
    return this.#process
  }

  /** kill -9: the machine goes on, and its kernel resets the connections. */
  kill(): void {
    this.process?.kill()
  }

  /** The machine stops: nobody is told anything. */
  powerOff(): void {
    // First, so that the kernel of a machine without power resets nothing.
    this.#isOn = false
    this.process?.kill()
  }
}
