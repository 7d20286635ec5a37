/** The simulated network keeps the port's laws, and each fault does what it says. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import { type Connection, Network, NetworkError } from "../../core/ports/Network.ts"
import { networkLaws } from "../../core/testing/laws/NetworkLaws.ts"
import { Sim } from "../../core/testing/Sim.ts"
import { SimHost } from "../../core/testing/SimHost.ts"
import type { SimLinkOptions } from "../../core/testing/SimLink.ts"
import { SimNetwork } from "../../core/testing/SimNetwork.ts"

const memoryFile = (bytes: Uint8Array) =>
  Effect.succeed({
    path: "/memory",
    descriptor: -1,
    read: (target: Uint8Array, position: number) => {
      const found = bytes.subarray(position, position + target.length)
      target.set(found)
      return found.length
    }
  })

const layerOf = (seed: number, link: Partial<SimLinkOptions>): Layer.Layer<Network> =>
  Layer.sync(Network, () => {
    const sim = new Sim(seed)
    const network = new SimNetwork(sim, link)
    const host = new SimHost(sim, "host", "10.0.0.1")
    network.add(host)
    return network.view(host, host.boot())
  })

const layers = [
  ["as it is", layerOf(1, {})],
  ["far away", layerOf(2, { minDelayMs: 30, maxDelayMs: 300 })],
  ["slow", layerOf(3, { bytesPerMs: 10_000 })],
  ["that loses every fifth segment", layerOf(4, { loss: 0.2 })]
] as const
for (const [name, layer] of layers) {
  describe(`laws of Network: simulated, ${name}`, () => {
    for (const law of networkLaws(layer, memoryFile)) it(law.name, law.run)
  })
}

const PORT = 9092
const utf8 = new TextEncoder()
const text = new TextDecoder()

/** One end, and what it was told, with the time. */
class Peer {
  connection!: Connection
  readonly events: Array<string> = []
  readonly #sim: Sim
  constructor(sim: Sim) {
    this.#sim = sim
  }
  #add(event: string): void {
    this.events.push(`${this.#sim.elapsedMs} ${event}`)
  }
  readonly handler = {
    onData: (bytes: Uint8Array): void => this.#add(text.decode(bytes)),
    onDrained: (): void => {},
    onClosed: (error: NetworkError | undefined): void => this.#add(`closed ${error?.kind ?? "well"}`)
  }
  send(what: string): void {
    this.connection.send([utf8.encode(what)])
  }
  /** Without the times. */
  get told(): ReadonlyArray<string> {
    return this.events.map((event) => event.slice(event.indexOf(" ") + 1))
  }
}

/** Machines a and b, b with a listener, and a way to connect from a to it. */
class World {
  readonly sim: Sim
  readonly network: SimNetwork
  readonly a: SimHost
  readonly b: SimHost
  readonly accepted: Array<Peer> = []

  constructor(seed: number, link: Partial<SimLinkOptions> = {}) {
    this.sim = new Sim(seed)
    this.network = new SimNetwork(this.sim, { minDelayMs: 1, maxDelayMs: 1, ...link })
    this.a = new SimHost(this.sim, "a", "10.0.0.1")
    this.b = new SimHost(this.sim, "b", "10.0.0.2")
    this.network.add(this.a)
    this.network.add(this.b)
    this.a.boot()
  }

  listen(): Effect.Effect<void, NetworkError, Scope> {
    const view = this.network.view(this.b, this.b.boot())
    return Effect.asVoid(view.listen({ host: this.b.address, port: PORT }, (connection) => {
      const peer = new Peer(this.sim)
      peer.connection = connection
      this.accepted.push(peer)
      return peer.handler
    }))
  }

  connect(): Effect.Effect<Peer, NetworkError> {
    return Effect.suspend(() => {
      const peer = new Peer(this.sim)
      const view = this.network.view(this.a, this.a.process!)
      return Effect.map(view.connect({ host: this.b.address, port: PORT }, () => peer.handler), (connection) => {
        peer.connection = connection
        return peer
      })
    })
  }
}

const story = (
  name: string,
  run: (world: World) => Effect.Effect<void, NetworkError, Scope>,
  link: Partial<SimLinkOptions> = {}
): void =>
  it(name, async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const world = new World(seed, link)
      await world.sim.run(Effect.scoped(run(world)))
    }
  })

const failure = <A>(effect: Effect.Effect<A, NetworkError>): Effect.Effect<string> =>
  Effect.match(effect, { onSuccess: () => "none", onFailure: ({ kind }) => kind })

describe("A fault of the simulated network", () => {
  story("a full partition holds up what is on its way, both ways, until it heals", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      world.network.partition([world.a], [world.b])
      client.send("there")
      world.accepted[0]!.send("back")
      yield* Effect.sleep(10_000)
      expect([client.told, world.accepted[0]!.told]).toEqual([[], []])
      world.network.heal()
      yield* Effect.sleep(1000)
      expect([client.told, world.accepted[0]!.told]).toEqual([["back"], ["there"]])
    }))

  story("a one-way partition leaves the other direction open", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      world.network.blockOneWay([world.a], [world.b])
      client.send("there")
      world.accepted[0]!.send("back")
      yield* Effect.sleep(10_000)
      expect([client.told, world.accepted[0]!.told]).toEqual([["back"], []])
    }))

  story("nobody connects through a partition: it is tried again, and given up", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      world.network.isolate([world.b])
      const beginMs = world.sim.elapsedMs
      const healing = yield* Effect.forkChild(Effect.andThen(Effect.sleep(2500), Effect.sync(() => world.network.heal())))
      const client = yield* world.connect()
      expect(world.sim.elapsedMs - beginMs).toBeGreaterThanOrEqual(2500)
      expect(healing.pollUnsafe()).toBeDefined()
      client.connection.destroy()
      world.network.blockOneWay([world.b], [world.a])
      expect(yield* failure(world.connect())).toBe("TimedOut")
    }))

  story("a slow link takes its time, byte by byte", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      const beginMs = world.sim.elapsedMs
      world.network.change(world.a, world.b, { bytesPerMs: 1 })
      client.send("x".repeat(1000))
      client.send("y")
      yield* Effect.sleep(900)
      expect(world.accepted[0]!.told).toEqual([])
      yield* Effect.sleep(1000)
      expect(world.accepted[0]!.told.join("")).toHaveLength(1001)
      expect(Number(world.accepted[0]!.events.at(-1)!.split(" ")[0]) - beginMs).toBeGreaterThanOrEqual(1001)
    }))

  it("delays reorder what goes over different connections, and nothing on one", async () => {
    const orders = new Set<string>()
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World(seed, { maxDelayMs: 20 })
      await world.sim.run(Effect.scoped(Effect.gen(function*() {
        yield* world.listen()
        const [first, second] = [yield* world.connect(), yield* world.connect()]
        first.send("1")
        yield* Effect.sleep(0)
        first.send("2")
        second.send("3")
        yield* Effect.sleep(100)
        const [one, other] = world.accepted
        expect([one!.told.join(""), other!.told.join("")]).toEqual(["12", "3"])
        const all = [...one!.events, ...other!.events].map((event) => event.split(" "))
        orders.add(all.sort((a, b) => Number(a[0]) - Number(b[0])).map(([, what]) => what).join(""))
      })))
    }
    expect(orders.size).toBeGreaterThan(1)
  })

  story("a loss delays what is behind it on its connection, and drops nothing", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      for (let i = 0; i < 10; i++) {
        client.send(String(i))
        yield* Effect.sleep(5)
      }
      const beforeMs = world.sim.elapsedMs
      yield* Effect.sleep(60_000)
      expect(world.accepted[0]!.told.join("")).toBe("0123456789")
      expect(Number(world.accepted[0]!.events.at(-1)!.split(" ")[0])).toBeGreaterThan(beforeMs)
    }), { loss: 0.5 })

  it("a connection breaks for both ends, and what arrived of a stream before is its beginning", async () => {
    const arrived = new Set<number>()
    for (let seed = 1; seed <= 40; seed++) {
      const world = new World(seed)
      await world.sim.run(Effect.scoped(Effect.gen(function*() {
        yield* world.listen()
        const client = yield* world.connect()
        world.network.change(world.a, world.b, { loss: 0.2, breaks: 0.1 })
        for (let i = 0; i < 10; i++) {
          client.send(String(i))
          yield* Effect.sleep(5)
        }
        yield* Effect.sleep(60_000)
        const { told } = world.accepted[0]!
        const isBroken = world.network.broken > 0
        expect("0123456789".startsWith(told.join("").replace("closed Reset", ""))).toBe(true)
        expect([told.at(-1), client.told.at(-1)]).toEqual(isBroken ? ["closed Reset", "closed Reset"] : [told.at(-1), undefined])
        expect(told.join("").length).toBe(isBroken ? told.join("").indexOf("closed") + "closed Reset".length : 10)
        arrived.add(told.join("").replace("closed Reset", "").length)
        if (!isBroken) return
        // The next one is not told of it.
        world.network.heal()
        const again = yield* world.connect()
        again.send("well")
        yield* Effect.sleep(10)
        expect(world.accepted[1]!.told).toEqual(["well"])
      })))
    }
    expect(arrived.size).toBeGreaterThan(3)
  })

  story("a reset ends the connections between two machines for both ends", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      expect(world.network.reset(world.a, world.b)).toBe(2)
      yield* Effect.sleep(10)
      expect([client.told, world.accepted[0]!.told]).toEqual([["closed Reset"], ["closed Reset"]])
      yield* world.connect()
    }))

  story("a connection that is lost silently carries nothing any more; a new one does", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      expect(world.network.lose(world.a, world.b)).toBe(2)
      client.send("lost")
      world.network.heal()
      yield* Effect.sleep(60_000)
      const again = yield* world.connect()
      again.send("well")
      yield* Effect.sleep(10)
      expect(world.accepted.map(({ told }) => told)).toEqual([[], ["well"]])
      expect(client.told).toEqual([])
    }))

  story("a killed process resets its connections, and hears of nothing", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      world.b.kill()
      yield* Effect.sleep(10)
      expect([client.told, world.accepted[0]!.told]).toEqual([["closed Reset"], []])
      expect(yield* failure(world.connect())).toBe("Refused")
      yield* world.listen()
      yield* world.connect()
    }))

  story("a machine without power says nothing; who goes on sending to it is told when it is back", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      world.b.powerOff()
      yield* Effect.sleep(10_000)
      client.send("there?")
      yield* Effect.sleep(10_000)
      expect(client.told).toEqual([])
      expect(yield* failure(world.connect())).toBe("TimedOut")
      yield* world.listen()
      yield* Effect.sleep(1000)
      expect([client.told, world.accepted[0]!.told]).toEqual([["closed Reset"], []])
    }))

  story("a paused process reads later", (world) =>
    Effect.gen(function*() {
      yield* world.listen()
      const client = yield* world.connect()
      world.b.process!.pause()
      client.send("hello")
      yield* Effect.sleep(1000)
      expect(world.accepted[0]!.told).toEqual([])
      world.b.process!.resume()
      yield* Effect.sleep(0)
      expect(world.accepted[0]!.told).toEqual(["hello"])
    }))
})
