/**
 * The pure core of a producer against a model of brokers that cut connections, answer late, wrongly or not at all, and
 * change leaders, thousands of times over: nothing acknowledged is lost or twice, nothing failed is twice, and order is
 * kept, whatever happens when.
 */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Accumulator } from "../../core/client/Accumulator.ts"
import type { ClusterView, TopicView } from "../../core/client/ClusterView.ts"
import { RetriableError } from "../../core/client/ClientError.ts"
import type { ProducerConfig } from "../../core/client/Producer.ts"
import { maxSizeOfOne } from "../../core/client/ProducerBatch.ts"
import { producerSettings } from "../../core/client/ProducerSettings.ts"
import { type ProduceCall, SenderState } from "../../core/client/SenderState.ts"
import type { Compression } from "../../core/ports/Compression.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import type { ProduceResponse } from "../../core/protocol/generated/Produce.ts"
import { crc32c } from "../../core/records/Crc32c.ts"
import { mulberry32 } from "../../core/testing/Sim.ts"
import { LIES, ModelPartition, partitionAnswer, REFUSALS, responseOf } from "./ProducerModelBroker.ts"

const noCompression: Compression = { compress: (_, bytes) => bytes, decompress: (_, bytes) => bytes }
const crypto = { crc32c, randomBytes: (count: number) => new Uint8Array(count) }
const TOPIC = "t"

interface Faults {
  /** Out of 1 each, per step. */
  readonly cut: number
  readonly refuse: number
  readonly lie: number
  readonly moveLeader: number
  readonly restart: number
  readonly poison: number
  readonly tooLarge: number
}

interface Connection {
  /** Sent, not handled. */
  requests: Array<{ readonly call: ProduceCall; readonly records: ReadonlyArray<Uint8Array> }>
  /** Handled, not delivered. */
  responses: Array<{ readonly call: ProduceCall; readonly response: ProduceResponse }>
}

interface Outcome {
  readonly partition: number
  results: number
  offset: number | undefined
}

const view = (partitions: ReadonlyArray<ModelPartition>, version: number): ClusterView => {
  const topic: TopicView = {
    name: TOPIC,
    id: "AAAAAAAAAAAAAAAAAAAAAA",
    isInternal: false,
    partitions: partitions.map(({ leader, leaderEpoch }, partition) => ({
      partition, leader, leaderEpoch, replicas: [0, 1], isr: [0, 1], offlineReplicas: []
    }))
  }
  const nodes = new Map([0, 1].map((id) => [id, { id, host: "h", port: id, rack: null }]))
  return { version, clusterId: null, controllerId: 0, nodes, topics: new Map([[TOPIC, topic]]) }
}

class World {
  readonly random: () => number
  readonly partitions: ReadonlyArray<ModelPartition>
  readonly accumulator: Accumulator
  readonly sender: SenderState
  readonly outcomes: Array<Outcome> = []
  readonly idempotent: boolean
  nowMs = 0
  faults: Faults
  #version = 1
  #connections: Array<Connection> = [{ requests: [], responses: [] }, { requests: [], responses: [] }]
  #producerIds = 0
  /** Of the first producer id. */
  firstEpoch = 0
  #todo: Array<() => void> = []
  #wakeAtMs = 0
  isFlushing = false

  constructor(seed: number, config: Partial<ProducerConfig>, faults: Faults, partitions = 2) {
    this.random = mulberry32(seed)
    this.faults = faults
    this.partitions = Array.from({ length: partitions }, () => new ModelPartition())
    const settings = producerSettings({ "bootstrap.servers": "h:1", "batch.size": 300, "linger.ms": 5, "request.timeout.ms": 100, ...config })
    if (settings instanceof Error) throw settings
    this.idempotent = settings.isIdempotent
    this.accumulator = new Accumulator(settings, noCompression)
    this.sender = new SenderState(settings, this.accumulator, this.random)
    const state = view(this.partitions, 1)
    this.accumulator.addTopic(state.topics.get(TOPIC)!, { name: "none", make: () => ({ partition: () => 0 }) }, this.random)
    for (const partition of this.partitions) {
      partition.poison = (value) => value.endsWith("poison")
      partition.maxBytes = faults.tooLarge > 0 && this.chance(faults.tooLarge) ? 200 : Infinity
    }
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }
  pick<A>(of: ReadonlyArray<A>): A {
    return of[Math.floor(this.random() * of.length)]!
  }

  offer(): void {
    const id = this.outcomes.length
    const partition = Math.floor(this.random() * this.partitions.length)
    const value = new TextEncoder().encode(`${id}${this.chance(this.faults.poison) ? "poison" : ""}`)
    const queue = this.accumulator.topics.get(TOPIC)!.partitions[partition]!
    const outcome: Outcome = { partition, results: 0, offset: undefined }
    const bytes = this.accumulator.append(queue, this.nowMs, null, value, [], (result) => {
      outcome.results++
      if (!(result instanceof Error)) outcome.offset = result.offset
    }, maxSizeOfOne(null, value, []), () => this.nowMs, true)
    if (bytes > 0) this.outcomes.push(outcome)
  }

  poll(): void {
    const todo = this.sender.poll(this.nowMs, { isExhausted: false, isFlushing: this.isFlushing })
    this.#wakeAtMs = todo.wakeAtMs
    for (const call of todo.calls) {
      const records = call.batches.map((batch) => batch.toBytes(crypto).slice())
      this.#connections[call.nodeId]!.requests.push({ call, records })
    }
    for (const node of todo.connect) this.#todo.push(() => this.sender.onConnected(node))
    if (todo.askProducerId) {
      this.#todo.push(() => this.sender.onProducerId({ producerId: this.#producerIds, producerEpoch: this.#producerIds++ === 0 ? this.firstEpoch : 0 }))
    }
    if (todo.refresh) this.#todo.push(() => this.sender.onView(view(this.partitions, ++this.#version)))
    this.tell()
  }

  tell(): void {
    for (const { batch, result } of this.sender.takeEnded()) batch.tell(result, (error) => { throw error })
  }

  /** The broker takes the next request of a connection. */
  handle(node: number): void {
    const connection = this.#connections[node]!
    const next = connection.requests.shift()
    if (next === undefined) return
    const answers = next.call.batches.map(({ partition: index }, i) => {
      const partition = this.partitions[index]!
      if (partition.leader !== node) {
        const hint = this.chance(0.5) ? { currentLeader: { leaderId: partition.leader, leaderEpoch: partition.leaderEpoch } } : {}
        return partitionAnswer(index, ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, hint)
      }
      if (this.chance(this.faults.refuse)) return partitionAnswer(index, this.pick(REFUSALS), -1)
      const { baseOffset, errorCode, poisoned } = partition.append(next.records[i]!)
      if (errorCode === ErrorCode.NONE && this.chance(this.faults.lie)) return partitionAnswer(index, this.pick(LIES), -1)
      return partitionAnswer(index, errorCode, baseOffset, {
        recordErrors: (poisoned ?? []).map((batchIndex) => ({ batchIndex, batchIndexErrorMessage: "poison" }))
      })
    })
    connection.responses.push({ call: next.call, response: responseOf(TOPIC, answers) })
  }

  deliver(node: number): void {
    const next = this.#connections[node]!.responses.shift()
    if (next === undefined) return
    this.sender.onAnswer(next.call, next.response, this.nowMs)
    this.tell()
  }

  /** The connection ends: some of what was sent is still handled, no answer arrives. */
  cut(node: number): void {
    const connection = this.#connections[node]!
    for (let left = Math.floor(this.random() * (connection.requests.length + 1)); left > 0; left--) this.handle(node)
    const lost = [...connection.responses.map(({ call }) => call), ...connection.requests.map(({ call }) => call)]
    this.#connections[node] = { requests: [], responses: [] }
    for (const call of lost) this.sender.onLost(call, new RetriableError("DISCONNECTED", "cut"), this.nowMs)
    this.sender.onDisconnected(node, this.nowMs)
    this.tell()
  }

  moveLeader(): void {
    const partition = this.pick(this.partitions)
    partition.leader = 1 - partition.leader
    partition.leaderEpoch++
  }

  step(): void {
    const node = this.random() < 0.5 ? 0 : 1
    if (this.chance(this.faults.cut)) this.cut(node)
    if (this.chance(this.faults.moveLeader)) this.moveLeader()
    if (this.chance(this.faults.restart)) {
      this.pick(this.partitions).restart()
      this.cut(node)
    }
    const dice = this.random()
    if (dice < 0.3) this.poll()
    else if (dice < 0.55) this.handle(node)
    else if (dice < 0.8) this.deliver(node)
    else if (dice < 0.9) this.#todo.shift()?.()
    else this.nowMs += Math.floor(this.random() * 20)
  }

  /** Everything goes well from now on; runs until all has ended. */
  heal(): void {
    this.faults = { cut: 0, refuse: 0, lie: 0, moveLeader: 0, restart: 0, poison: this.faults.poison, tooLarge: 0 }
    for (let round = 0; this.accumulator.incomplete.size > 0; round++) {
      if (round > 100_000) throw new Error(`${this.accumulator.incomplete.size} batches never end`)
      this.poll()
      for (const one of this.#todo.splice(0)) one()
      const idle = this.#connections.every(({ requests, responses }) => requests.length + responses.length === 0)
      for (const node of [0, 1]) {
        while (this.#connections[node]!.requests.length > 0) this.handle(node)
        while (this.#connections[node]!.responses.length > 0) this.deliver(node)
      }
      if (idle) this.nowMs = Math.max(this.nowMs + 1, Math.min(this.#wakeAtMs, this.nowMs + 50))
    }
  }

  check(): void {
    for (const [id, { offset, partition, results }] of this.outcomes.entries()) {
      expect(results, `record ${id}`).toBe(1)
      if (offset !== undefined && offset >= 0) expect(Number.parseInt(this.partitions[partition]!.log[offset] ?? "-1", 10), `record ${id} at ${offset}`).toBe(id)
    }
    this.partitions.forEach(({ log }, index) => {
      const ids = log.map((value) => Number.parseInt(value, 10))
      const count = new Map<number, number>()
      for (const id of ids) count.set(id, (count.get(id) ?? 0) + 1)
      for (const [id, { offset, partition }] of this.outcomes.entries()) {
        if (partition !== index) continue
        if (offset !== undefined) expect(count.get(id) ?? 0, `acknowledged record ${id}`).toBeGreaterThanOrEqual(1)
        if (this.idempotent) expect(count.get(id) ?? 0, `record ${id}`).toBeLessThanOrEqual(1)
      }
      if (this.idempotent) expect(ids, `partition ${index}`).toEqual(ids.toSorted((a, b) => a - b))
    })
    expect(this.accumulator.memory.claimedBytes).toBe(0)
    expect(this.accumulator.active.size).toBe(0)
  }
}

const run = (seed: number, config: Partial<ProducerConfig>, faults: Faults, firstEpoch = 0): World => {
  const world = new World(seed, config, faults)
  world.firstEpoch = firstEpoch
  const records = 150
  for (let step = 0; step < 2500; step++) {
    if (world.outcomes.length < records && world.chance(0.15)) for (let n = world.random() * 8; n > 0; n--) world.offer()
    world.step()
  }
  world.heal()
  world.check()
  return world
}

const property = (config: Partial<ProducerConfig>, faults: Faults, then: (world: World) => void = () => {}, numRuns = 100): void =>
  fc.assert(fc.property(fc.integer(), (seed) => then(run(seed, config, faults))), { numRuns })

const none: Faults = { cut: 0, refuse: 0, lie: 0, moveLeader: 0, restart: 0, poison: 0, tooLarge: 0 }
const all = (world: World): void => {
  for (const { offset } of world.outcomes) expect(offset).not.toBe(undefined)
}

describe("A producer's core", () => {
  it("acknowledges everything where nothing goes wrong", () => property({}, none, all))
  it("acknowledges everything once through lost connections", () => property({}, { ...none, cut: 0.02 }, all))
  it("acknowledges everything once through refusals, and errors for what was appended", () =>
    property({}, { ...none, refuse: 0.2, lie: 0.2 }, all))
  it("acknowledges everything once through changes of leaders", () => property({}, { ...none, moveLeader: 0.02, lie: 0.1 }, all))
  it("acknowledges everything once through restarts that forget what was asked", () =>
    property({}, { ...none, cut: 0.01, lie: 0.1, restart: 0.02 }, all))
  it("acknowledges everything once through all of these", () =>
    property({}, { ...none, cut: 0.01, refuse: 0.1, lie: 0.1, moveLeader: 0.01, restart: 0.01 }, all))
  it("splits what is too large, once each", () => property({}, { ...none, cut: 0.01, lie: 0.05, tooLarge: 0.7 }))
  it("sends nothing twice and keeps order where records fail for good", () =>
    property({}, { cut: 0.01, refuse: 0.1, lie: 0.1, moveLeader: 0.01, restart: 0.01, poison: 0.05, tooLarge: 0 }, undefined))
  it("sends nothing twice and keeps order where time runs out", () =>
    property(
      { "delivery.timeout.ms": 150, "linger.ms": 0 },
      { cut: 0.03, refuse: 0.2, lie: 0.2, moveLeader: 0.01, restart: 0.01, poison: 0.02, tooLarge: 0.3 },
      undefined
    ))
  it("sends nothing twice and keeps order where retries run out", () =>
    property({ retries: 2 }, { cut: 0.03, refuse: 0.2, lie: 0.2, moveLeader: 0.01, restart: 0.01, poison: 0.02, tooLarge: 0.3 }, undefined))
  it("takes another producer id when the epochs of one are used up", () => {
    let renewed = 0
    fc.assert(fc.property(fc.integer(), (seed) => {
      const world = run(seed, {}, { ...none, cut: 0.01, poison: 0.1 }, 32_766)
      if (world.sender.identity!.producerId > 0) renewed++
    }), { numRuns: 30 })
    expect(renewed).toBeGreaterThan(0)
  })
  it("loses nothing without idempotence", () =>
    property({ "enable.idempotence": false }, { ...none, cut: 0.01, refuse: 0.1, lie: 0.1, moveLeader: 0.01, restart: 0.01 }, all))
})
