/**
 * One network, as each machine of a simulation sees it. Segments take their time, drawn per segment, so that what goes
 * over different connections is reordered; links can be blocked in one direction or both, be slow, and lose; connections can
 * be reset or silently lost. Nothing happens but as a task of the process that it happens to.
 *
 * As TCP, a connection keeps its order, and what a blocked link holds up arrives when it is open again.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import {
  type Address,
  type Connection,
  type ConnectionHandler,
  type Listener,
  type ListenOptions,
  type Network,
  NetworkError
} from "../ports/Network.ts"
import type { Sim } from "./Sim.ts"
import { SimConnection, type SimWire } from "./SimConnection.ts"
import type { SimHost } from "./SimHost.ts"
import { DEFAULT_LINK, RETRANSMIT_MS, SimLink, type SimLinkOptions } from "./SimLink.ts"
import type { SimProcess } from "./SimProcess.ts"
import type { SimRandom } from "./SimRandom.ts"

const FIRST_EPHEMERAL_PORT = 49152
const LAST_PORT = 65535
/** A connection is asked for again after these, in milliseconds, and then given up. */
const CONNECT_RETRIES_MS: ReadonlyArray<number> = [1000, 2000, 4000, 8000]

interface Bound {
  readonly host: SimHost
  readonly process: SimProcess
  readonly port: number
  readonly accept: (connection: Connection) => ConnectionHandler
}

export class SimNetwork {
  readonly #sim: Sim
  readonly #dice: SimRandom
  readonly #defaults: SimLinkOptions
  readonly #hosts: Map<string, SimHost> = new Map()
  /** By the names of both machines. */
  readonly #links: Map<SimHost, Map<SimHost, SimLink>> = new Map()
  #listeners: Array<Bound> = []
  /** Ends that are open, or have something on the wire. */
  readonly #ends: Set<SimConnection> = new Set()
  #nextPort = FIRST_EPHEMERAL_PORT
  /** Connections that ended because their link was lossy. */
  broken = 0
  readonly #wire: SimWire

  constructor(sim: Sim, options: Partial<SimLinkOptions> = {}) {
    this.#sim = sim
    this.#dice = sim.dice.fork("network")
    this.#defaults = { ...DEFAULT_LINK, ...options }
    this.#wire = {
      pump: (from) => this.#pump(from),
      arrivalMs: (from, bytes) => this.link(from.host, from.peer.host).arrivalMs(sim.nowMs, bytes),
      closed: (end) => {
        this.#forget(end)
        this.#forget(end.peer)
      }
    }
  }

  /** Makes a machine reachable by its address. */
  add(host: SimHost): void {
    this.#hosts.set(host.address, host)
    // What was sent to it meanwhile is sent again: it knows nothing of those connections.
    host.onBoot = () => {
      for (const from of this.#hosts.values()) this.#release(from, host)
    }
  }

  // -- faults --------------------------------------------------------------------------------------------------

  /** One direction. */
  link(from: SimHost, to: SimHost): SimLink {
    let links = this.#links.get(from)
    if (links === undefined) this.#links.set(from, links = new Map())
    let link = links.get(to)
    if (link === undefined) links.set(to, link = new SimLink(this.#defaults, this.#dice.fork(`${from.name}>${to.name}`)))
    return link
  }

  /** Changes one direction of a link. What a block held up goes on when it ends. */
  change(from: SimHost, to: SimHost, options: Partial<SimLinkOptions>): void {
    const link = this.link(from, to)
    const wasBlocked = link.options.isBlocked
    link.options = { ...link.options, ...options }
    if (wasBlocked && !link.options.isBlocked) this.#release(from, to)
  }

  /** Nothing passes from any of `from` to any of `to`; the other direction is as it was. */
  blockOneWay(from: ReadonlyArray<SimHost>, to: ReadonlyArray<SimHost>): void {
    for (const a of from) for (const b of to) if (a !== b) this.change(a, b, { isBlocked: true })
  }

  /** Nothing passes between the two sides. */
  partition(side: ReadonlyArray<SimHost>, other: ReadonlyArray<SimHost>): void {
    this.blockOneWay(side, other)
    this.blockOneWay(other, side)
  }

  /** Nobody reaches these and they reach nobody else; among each other they do. */
  isolate(hosts: ReadonlyArray<SimHost>): void {
    this.partition(hosts, [...this.#hosts.values()].filter((host) => !hosts.includes(host)))
  }

  /** Every link is as in the beginning. Connections that were lost silently stay lost. */
  heal(): void {
    for (const [from, links] of this.#links) {
      for (const [to, link] of links) {
        const wasBlocked = link.options.isBlocked
        link.options = this.#defaults
        if (wasBlocked) this.#release(from, to)
      }
    }
  }

  /** Resets every connection between the two, for both ends. Gives how many. */
  reset(a: SimHost, b: SimHost): number {
    const ends = this.#between(a, b)
    for (const end of ends) end.break()
    return ends.length
  }

  /** What goes over these connections from now on never arrives, and neither end is told. New ones are well. Gives how many. */
  lose(a: SimHost, b: SimHost): number {
    const ends = this.#between(a, b)
    for (const end of ends) end.isLost = true
    return ends.length
  }

  /** Open ends on a machine. */
  connections(host: SimHost): ReadonlyArray<SimConnection> {
    return [...this.#ends].filter((end) => end.host === host && !end.isClosed)
  }

  #between(a: SimHost, b: SimHost): ReadonlyArray<SimConnection> {
    return [...this.#ends].filter(({ host, isClosed, peer }) =>
      !isClosed && ((host === a && peer.host === b) || (host === b && peer.host === a))
    )
  }

  /** Whether a segment cannot arrive now. */
  #isBlocked(from: SimHost, to: SimHost): boolean {
    return !to.isOn || this.link(from, to).options.isBlocked
  }

  // -- the wire ------------------------------------------------------------------------------------------------

  #pump(from: SimConnection): void {
    const first = from.wire[0]
    if (first === undefined) return
    this.#ends.add(from)
    if (from.isOnTheWay || from.isLost || this.#isBlocked(from.host, from.peer.host)) return
    from.isOnTheWay = true
    this.#sim.after(Math.max(0, first.atMs - this.#sim.nowMs), () => {
      from.isOnTheWay = false
      const { peer } = from
      if (from.isLost || this.#isBlocked(from.host, peer.host)) return
      // The reset that tells of it gets through in the end.
      if (from.wire[0]!.segment !== "reset" && from.host.isOn && this.link(from.host, peer.host).isBreaking()) {
        this.broken++
        this.#sim.say(`${from.host.name} > ${peer.host.name}: a connection breaks`)
        return from.giveUp()
      }
      const { segment } = from.wire.shift()!
      this.#sim.trace.text(from.host.name)
      if (segment instanceof Uint8Array) this.#sim.trace.bytes(segment)
      peer.arrive(segment)
      this.#pump(from)
      this.#forget(from)
    })
  }

  #release(from: SimHost, to: SimHost): void {
    for (const end of [...this.#ends]) {
      if (end.host !== from || end.peer.host !== to || end.wire.length === 0) continue
      const atMs = this.link(from, to).arrivalMs(this.#sim.nowMs, 0) + this.#dice.int(0, RETRANSMIT_MS)
      for (const each of end.wire) each.atMs = Math.max(each.atMs, atMs)
      this.#pump(end)
    }
  }

  #forget(end: SimConnection): void {
    if (end.isClosed && (end.wire.length === 0 || end.peer.isClosed)) this.#ends.delete(end)
  }

  // -- the port ------------------------------------------------------------------------------------------------

  /** The network as a process on a machine sees it. Ends with the process. */
  view(host: SimHost, owner: SimProcess): Network {
    owner.onDeath(() => {
      this.#listeners = this.#listeners.filter((bound) => bound.process !== owner)
      for (const end of [...this.#ends]) if (end.process === owner) end.abandon()
    })
    return {
      listen: (options, accept) => this.#listen(host, owner, options, accept),
      connect: (address, handle) => this.#connect(host, owner, address, handle),
      transfer: "copy"
    }
  }

  #ephemeralPort(): number {
    const port = this.#nextPort
    this.#nextPort = port === LAST_PORT ? FIRST_EPHEMERAL_PORT : port + 1
    return port
  }

  #bound(host: SimHost, port: number): Bound | undefined {
    return this.#listeners.find((bound) => bound.host === host && bound.port === port)
  }

  #listen(
    host: SimHost,
    owner: SimProcess,
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Listener, NetworkError, Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        let { port } = options
        if (port === 0) do port = this.#ephemeralPort(); while (this.#bound(host, port) !== undefined)
        else if (this.#bound(host, port) !== undefined) {
          return Effect.fail(new NetworkError("AddressInUse", `listen on ${options.host}:${port}: address in use`))
        }
        const bound: Bound = { host, process: owner, port, accept }
        this.#listeners.push(bound)
        return Effect.succeed(bound)
      }),
      (bound) => Effect.sync(() => void (this.#listeners = this.#listeners.filter((each) => each !== bound)))
    ).pipe(Effect.map(({ port }) => ({ address: { host: options.host, port } })))
  }

  /** Of a machine by its address; a machine's own by the names that stand for it. */
  #resolve(from: SimHost, name: string): SimHost | undefined {
    return name === "localhost" || name === "127.0.0.1" ? from : this.#hosts.get(name)
  }

  #connect(
    host: SimHost,
    owner: SimProcess,
    address: Address,
    handle: (connection: Connection) => ConnectionHandler
  ): Effect.Effect<Connection, NetworkError> {
    const where = `connect to ${address.host}:${address.port}`
    return Effect.callback((resume) => {
      const target = this.#resolve(host, address.host)
      let isOver = false
      let client: SimConnection | undefined
      const fail = (error: NetworkError): void =>
        owner.scheduleTask(() => {
          if (isOver) return
          isOver = true
          resume(Effect.fail(error))
        })
      const ask = (attempt: number): void => {
        if (isOver || owner.state === "dead" || client !== undefined) return
        const waitMs = CONNECT_RETRIES_MS[attempt]
        if (waitMs === undefined) return fail(new NetworkError("TimedOut", `${where}: no answer`))
        if (target === undefined) return fail(new NetworkError("Unreachable", `${where}: no such host`))
        if (!this.#isBlocked(host, target) && !this.#isBlocked(target, host)) {
          return void this.#sim.after(this.#delay(host, target), () => arrived(target))
        }
        this.#sim.after(waitMs, () => ask(attempt + 1))
      }
      const arrived = (target: SimHost): void => {
        if (isOver || owner.state === "dead") return
        if (!target.isOn) return void this.#sim.after(CONNECT_RETRIES_MS[0]!, () => ask(1))
        const bound = this.#bound(target, address.port)
        if (bound === undefined) {
          return void this.#sim.after(this.#delay(target, host), () => fail(new NetworkError("Refused", `${where}: nothing listens there`)))
        }
        const here: Address = { host: host.address, port: this.#ephemeralPort() }
        const end = client = new SimConnection(this.#wire, host, owner, here, address)
        const server = new SimConnection(this.#wire, target, bound.process, address, here)
        end.peer = server
        server.peer = end
        this.#ends.add(end).add(server)
        bound.process.scheduleTask(() => {
          server.handler = bound.accept(server)
        })
        this.#sim.after(this.#delay(target, host), () => owner.scheduleTask(() => established(end)))
      }
      const established = (end: SimConnection): void => {
        if (isOver) return end.destroy()
        isOver = true
        if (end.isClosed) return resume(Effect.fail(new NetworkError("Reset", `${where}: connection reset by peer`)))
        end.handler = handle(end)
        resume(Effect.succeed(end))
      }
      ask(0)
      return Effect.sync(() => {
        isOver = true
      })
    })
  }

  #delay(from: SimHost, to: SimHost): number {
    return this.link(from, to).arrivalMs(this.#sim.nowMs, 0) - this.#sim.nowMs
  }
}
