/** One of the two brokers under comparison: its connection, and what it names in its own way. */
import { type Answer, Caller, decodeAnswer, encodeRequest, type Fields } from "../../scripts/peers/Calls.ts"
import { PeerError, sleep } from "../../scripts/peers/Processes.ts"
import { sized, WireClient } from "../../scripts/peers/Wire.ts"
import { apis } from "../../core/protocol/Apis.ts"
import { Lines } from "./Lines.ts"
import { emptySide, isRaw, type Side, type Step, type World } from "./World.ts"

/** How long a broker may take to answer anything. */
const ANSWER_MS = 30_000
/** How long one may take to answer or to close on what is no request. */
const RAW_MS = 3000
/** Configurations reach a Kafka broker's logs after the answer, with nothing that tells when. */
const CONFIG_SETTLE_MS = 25

export type Result = Answer | { readonly _tag: "Silent" } | { readonly _tag: "Sent" } | { readonly _tag: "Opaque"; readonly frame: Uint8Array }

export class Broker {
  readonly name: string
  readonly #host: string
  readonly #port: number
  side: Side = emptySide()
  #caller: Caller | undefined
  #correlation = 0
  readonly lines: Lines

  constructor(name: string, host: string, port: number) {
    this.name = name
    this.#host = host
    this.#port = port
    this.lines = new Lines(host, port)
  }

  reset(): void {
    this.side = emptySide()
    this.lines.close()
  }

  async #connection(): Promise<Caller> {
    if (this.#caller === undefined || this.#caller.wire.isClosed) this.#caller = await Caller.connect(this.#host, this.#port)
    return this.#caller
  }

  close(): void {
    this.#caller?.close()
    this.#caller = undefined
  }

  async ask(api: string, version: number, fields: Fields): Promise<Fields> {
    return (await this.#connection()).ask(api, version, fields)
  }

  /** `[min, max]` of each API that it advertises. */
  async versions(): Promise<ReadonlyMap<string, readonly [number, number]>> {
    const answer = await this.ask("ApiVersions", 0, {})
    return new Map((answer["apiKeys"] as ReadonlyArray<Fields>).map((one) =>
      [apis.get(one["apiKey"])?.name ?? `${one["apiKey"]}`, [one["minVersion"], one["maxVersion"]]] as const
    ))
  }

  /** Sends a step and gives what came of it. A connection that got no answer is not used again. */
  async perform(step: Step): Promise<Result> {
    if (isRaw(step)) return this.#performRaw(step.raw(this.side), step.bare === true)
    if (step.pauseMs !== undefined) await sleep(step.pauseMs)
    const fields = step.fields(this.side)
    if (step.line !== undefined) {
      await this.lines.send(step.line, step, fields)
      return { _tag: "Sent" }
    }
    const caller = await this.#connection()
    if (step.noAnswer !== true) {
      const answer = await caller.call(step.api, step.version, fields, step.answerMs ?? ANSWER_MS)
      if (answer._tag !== "Answer") this.close()
      return answer
    }
    // acks=0: what is answered next must be the request behind it, unless the connection ends
    const correlation = 0x40000000 + ++this.#correlation
    caller.wire.send(encodeRequest(step.api, step.version, fields, correlation - 1))
    caller.wire.send(encodeRequest("ApiVersions", 0, {}, correlation))
    const outcome = await caller.wire.receive(ANSWER_MS)
    if (outcome._tag !== "Answer") {
      this.close()
      return outcome
    }
    if (Buffer.from(outcome.frame).readInt32BE(0) === correlation) return { _tag: "Silent" }
    this.close()
    return decodeAnswer(step.api, step.version, outcome.frame)
  }

  async #performRaw(bytes: Uint8Array, bare: boolean): Promise<Result> {
    const wire = await WireClient.connect(this.#host, this.#port)
    try {
      wire.send(bare ? bytes : sized(bytes))
      const outcome = await wire.receive(RAW_MS)
      if (outcome._tag !== "Answer" || bytes.length < 4) return outcome as Result
      const view = Buffer.from(bytes)
      const [key, version] = [view.readInt16BE(0), view.readInt16BE(2)]
      const codec = apis.get(key)
      const inRange = codec !== undefined && version >= codec.minVersion && version <= codec.maxVersion
      if (key === 18) return decodeAnswer("ApiVersions", inRange ? version : 0, outcome.frame)
      return inRange ? decodeAnswer(codec.name, version, outcome.frame) : { _tag: "Opaque", frame: outcome.frame }
    } finally {
      wire.destroy()
    }
  }

  /** Waits until topics are as the judge said and their partitions answer; learns the topics' ids. */
  async settle(world: World): Promise<void> {
    await sleep(CONFIG_SETTLE_MS)
    const deadline = performance.now() + 15_000
    while (world.topics.length > 0) {
      const waiting = await this.#unsettled(world)
      if (waiting === undefined) return
      if (performance.now() > deadline) throw new PeerError(`${this.name}: ${waiting} did not settle within 15 s`)
      await sleep(10)
    }
  }

  async #unsettled(world: World): Promise<string | undefined> {
    const answer = await this.ask("Metadata", 12, {
      topics: world.topics.map(({ name }) => ({ topicId: "AAAAAAAAAAAAAAAAAAAAAA", name })),
      allowAutoTopicCreation: false,
      includeTopicAuthorizedOperations: false
    })
    for (const topic of answer["topics"] as ReadonlyArray<Fields>) {
      const expected = world.topics.find(({ name }) => name === topic["name"])
      if (expected === undefined) continue
      const partitions = topic["partitions"] as ReadonlyArray<Fields>
      if (expected.partitions === 0 ? topic["errorCode"] !== 3 : partitions.length !== expected.partitions) {
        return `${expected.name} (${partitions.length} partitions, not ${expected.partitions})`
      }
      if (partitions.some((partition) => partition["leaderId"] < 0)) return `${expected.name} (no leader)`
      if (expected.partitions > 0) this.side.topicIds.set(expected.name, topic["topicId"])
    }
    const live = world.topics.filter(({ partitions }) => partitions > 0)
    if (live.length === 0) return undefined
    const offsets = await this.ask("ListOffsets", 6, {
      replicaId: -1,
      isolationLevel: 0,
      topics: live.map(({ name, partitions }) => ({
        name,
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp: -1 }))
      }))
    })
    for (const topic of offsets["topics"] as ReadonlyArray<Fields>) {
      for (const partition of topic["partitions"] as ReadonlyArray<Fields>) {
        if (partition["errorCode"] !== 0) return `${topic["name"]}-${partition["partitionIndex"]} (error ${partition["errorCode"]})`
      }
    }
    return undefined
  }
}
