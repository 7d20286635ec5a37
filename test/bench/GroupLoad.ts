/**
 * Members of groups as a load: each has a connection and a group to itself, sends heartbeats and commits, and costs
 * little, for it shares the machine with the broker that is measured. Requests are encoded once; a commit's offset is
 * put into its bytes. Every answer is decoded, and one that carries an error ends the run.
 */
import { connect, type Socket } from "node:net"
import { decodeAnswer, encodeRequest, type Fields } from "../../scripts/peers/Calls.ts"
import { type Peer, PeerError, sleep } from "../../scripts/peers/Processes.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ByteWriter } from "../../core/protocol/ByteWriter.ts"
import { FrameReader } from "../../core/protocol/Framing.ts"
import { decodeHeartbeatResponse } from "../../core/protocol/generated/Heartbeat.ts"
import { decodeOffsetCommitResponse } from "../../core/protocol/generated/OffsetCommit.ts"
import { encodeConsumerProtocolAssignment } from "../../core/protocol/generated/records/ConsumerProtocolAssignment.ts"
import { encodeConsumerProtocolSubscription } from "../../core/protocol/generated/records/ConsumerProtocolSubscription.ts"
import { decodeResponseHeaderOf } from "../../core/protocol/Headers.ts"

/** As Kafka's consumer has them by default. */
const SESSION_TIMEOUT_MS = 45_000
const HEARTBEAT_INTERVAL_MS = 3000
const COMMIT_INTERVAL_MS = 5000

const HEARTBEAT_VERSION = 4
const COMMIT_VERSION = 8
const MEMBER_ID_REQUIRED = 79
/** An offset that occurs nowhere else in a commit's bytes: the place of the real one. */
const PLACEHOLDER = 0x12_3456_789a_bcde

/** How many members join at once, so that none waits longer than its request may. */
const JOINING_AT_ONCE = 50
/** How often what is due is sent. */
const TICK_MS = 10

const joined = (encode: (writer: ByteWriter) => void): Uint8Array => {
  const writer = new ByteWriter()
  writer.int16(0)
  encode(writer)
  return writer.toBytes()
}

class Member {
  readonly groupId: string
  readonly #topic: string
  #socket: Socket | undefined
  readonly #frames: FrameReader
  /** In the order of the requests: a connection's answers keep it. */
  readonly #pending: Array<(frame: Uint8Array) => void> = []
  readonly #onFailure: (error: Error) => void
  #isClosing = false
  #memberId = ""
  #heartbeat: Uint8Array = new Uint8Array(0)
  #commit: Buffer = Buffer.alloc(0)
  #offsetAt = 0
  #offset = 0

  constructor(topic: string, groupId: string, onFailure: (error: Error) => void) {
    this.groupId = groupId
    this.#topic = topic
    this.#onFailure = onFailure
    this.#frames = new FrameReader({ maxBytes: 1 << 20, onFrame: (frame) => this.#pending.shift()?.(frame) })
  }

  connect(peer: Peer): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: peer.host, port: peer.port, noDelay: true }, resolve)
      this.#socket = socket
      socket.on("data", (bytes: Buffer) => this.#frames.push(bytes))
      socket.on("error", (error) => {
        reject(error)
        this.#fail(`its connection failed: ${error.message}`)
      })
      socket.on("close", () => this.#fail("its connection was closed"))
    })
  }

  #fail(what: string): void {
    if (!this.#isClosing) this.#onFailure(new PeerError(`group ${this.groupId}: ${what}`))
  }

  #send(bytes: Uint8Array, onAnswer: (frame: Uint8Array) => void): void {
    this.#pending.push(onAnswer)
    this.#socket?.write(bytes)
  }

  #ask(api: string, version: number, fields: Fields): Promise<Fields> {
    return new Promise((resolve, reject) => {
      this.#send(encodeRequest(api, version, fields, 0), (frame) => {
        const answer = decodeAnswer(api, version, frame)
        if (answer._tag === "Answer") resolve(answer.fields)
        else reject(new PeerError(`${api} of ${this.groupId}: ${answer._tag}`))
      })
    })
  }

  /** As a consumer does: once for its member id, once to join, then it gives itself the partition. */
  async join(): Promise<void> {
    const metadata = joined((writer) => encodeConsumerProtocolSubscription(writer, 0, { topics: [this.#topic] }))
    const join = (): Promise<Fields> =>
      this.#ask("JoinGroup", 7, {
        groupId: this.groupId,
        memberId: this.#memberId,
        sessionTimeoutMs: SESSION_TIMEOUT_MS,
        rebalanceTimeoutMs: 60_000,
        protocolType: "consumer",
        protocols: [{ name: "range", metadata }]
      })
    const first = await join()
    if (first["errorCode"] !== MEMBER_ID_REQUIRED) throw new PeerError(`${this.groupId}: a first JoinGroup: error ${first["errorCode"]}`)
    this.#memberId = first["memberId"] as string
    const second = await join()
    const generationId = second["generationId"] as number
    if (second["errorCode"] !== 0 || second["leader"] !== this.#memberId) throw new PeerError(`${this.groupId}: JoinGroup: error ${second["errorCode"]}`)
    const assignment = joined((writer) =>
      encodeConsumerProtocolAssignment(writer, 0, { assignedPartitions: [{ topic: this.#topic, partitions: [0] }] })
    )
    const identity = { groupId: this.groupId, memberId: this.#memberId }
    const synced = await this.#ask("SyncGroup", 5, {
      ...identity, generationId, protocolType: "consumer", protocolName: "range", assignments: [{ memberId: this.#memberId, assignment }]
    })
    if (synced["errorCode"] !== 0) throw new PeerError(`${this.groupId}: SyncGroup: error ${synced["errorCode"]}`)
    this.#heartbeat = encodeRequest("Heartbeat", HEARTBEAT_VERSION, { ...identity, generationId }, 0)
    this.#commit = Buffer.from(encodeRequest("OffsetCommit", COMMIT_VERSION, {
      ...identity,
      generationIdOrMemberEpoch: generationId,
      topics: [{ name: this.#topic, partitions: [{ partitionIndex: 0, committedOffset: PLACEHOLDER, committedMetadata: "" }] }]
    }, 0))
    const placeholder = Buffer.alloc(8)
    placeholder.writeBigInt64BE(BigInt(PLACEHOLDER))
    this.#offsetAt = this.#commit.indexOf(placeholder)
  }

  heartbeat(): void {
    this.#send(this.#heartbeat, (frame) => {
      const reader = new ByteReader(frame)
      decodeResponseHeaderOf(reader, ApiKey.Heartbeat, HEARTBEAT_VERSION)
      const { errorCode } = decodeHeartbeatResponse(reader, HEARTBEAT_VERSION)
      if (errorCode !== 0) this.#fail(`Heartbeat: error ${errorCode}`)
    })
  }

  /** The next offset. */
  commit(onDone?: () => void): void {
    const bytes = Buffer.from(this.#commit)
    bytes.writeBigInt64BE(BigInt(++this.#offset), this.#offsetAt)
    this.#send(bytes, (frame) => {
      const reader = new ByteReader(frame)
      decodeResponseHeaderOf(reader, ApiKey.OffsetCommit, COMMIT_VERSION)
      const { topics } = decodeOffsetCommitResponse(reader, COMMIT_VERSION)
      const errorCode = topics[0]?.partitions[0]?.errorCode
      if (errorCode !== 0) this.#fail(`OffsetCommit: error ${errorCode}`)
      else onDone?.()
    })
  }

  /** What the broker has as committed is what was committed last. */
  async check(): Promise<void> {
    const answer = await this.#ask("OffsetFetch", 7, { groupId: this.groupId, topics: [{ name: this.#topic, partitionIndexes: [0] }], requireStable: true })
    const committed = Number(answer["topics"][0]["partitions"][0]["committedOffset"])
    if (committed !== this.#offset) throw new PeerError(`${this.groupId}: ${committed} is committed, ${this.#offset} was`)
  }

  async leave(): Promise<void> {
    const answer = await this.#ask("LeaveGroup", 4, { groupId: this.groupId, members: [{ memberId: this.#memberId }] })
    const errorCode = answer["errorCode"] || answer["members"][0]["errorCode"]
    if (errorCode !== 0) throw new PeerError(`${this.groupId}: LeaveGroup: error ${errorCode}`)
    this.#memberId = ""
  }

  close(): void {
    this.#isClosing = true
    this.#socket?.destroy()
  }
}

/** Does something with all, some at a time. */
const forAll = async (members: ReadonlyArray<Member>, work: (member: Member) => Promise<void>): Promise<void> => {
  let next = 0
  await Promise.all(Array.from({ length: JOINING_AT_ONCE }, async () => {
    while (next < members.length) await work(members[next++]!)
  }))
}

export interface CommitRun {
  readonly commits: number
  readonly seconds: number
  /** Of each commit until its answer, sorted. */
  readonly latenciesUs: Float64Array
}

/** Groups of one member each. */
export class GroupLoad {
  readonly #members: ReadonlyArray<Member>
  readonly #failed: Promise<never>
  #failure: Error | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(topic: string, groups: number) {
    let fail: (error: Error) => void = () => undefined
    this.#failed = new Promise((_, reject) => (fail = reject))
    this.#failed.catch(() => undefined) // told by who looks
    this.#members = Array.from({ length: groups }, (_, i) =>
      new Member(topic, `group-${i}`, (error) => {
        this.#failure ??= error
        fail(error)
      }))
  }

  #orThrow(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Some at a time: a broker's queue of connections that it has not accepted is short. */
  async connect(peer: Peer): Promise<void> {
    await forAll(this.#members, (member) => member.connect(peer))
  }

  /** All join, then send heartbeats every three seconds, spread evenly, until they leave. */
  async join(): Promise<void> {
    await forAll(this.#members, (member) => member.join())
    this.#orThrow()
    const begin = performance.now()
    const { length } = this.#members
    let sent = 0
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - begin) / HEARTBEAT_INTERVAL_MS) * length)
      for (; sent < due; sent++) this.#members[sent % length]!.heartbeat()
    }, TICK_MS)
  }

  /** Each commits every five seconds, spread evenly. */
  async rest(seconds: number): Promise<void> {
    const begin = performance.now()
    const { length } = this.#members
    let sent = 0
    for (let elapsedMs = 0; elapsedMs < seconds * 1000; elapsedMs = performance.now() - begin) {
      const due = Math.floor((elapsedMs / COMMIT_INTERVAL_MS) * length)
      for (; sent < due; sent++) this.#members[sent % length]!.commit()
      await sleep(TICK_MS)
      this.#orThrow()
    }
  }

  /** Each commits, and again as soon as it is answered. */
  async commit(seconds: number): Promise<CommitRun> {
    const latencies: Array<number> = []
    const begin = performance.now()
    const end = begin + seconds * 1000
    await Promise.race([
      Promise.all(this.#members.map((member) =>
        new Promise<void>((resolve) => {
          let sentAt = performance.now()
          const again = (): void => {
            const now = performance.now()
            latencies.push((now - sentAt) * 1000)
            if (now >= end) return resolve()
            sentAt = now
            member.commit(again)
          }
          member.commit(again)
        })
      )),
      this.#failed
    ])
    return { commits: latencies.length, seconds: (performance.now() - begin) / 1000, latenciesUs: Float64Array.from(latencies).sort() }
  }

  /** Asks for what is committed, then all leave. */
  async leave(): Promise<void> {
    clearInterval(this.#timer)
    await forAll(this.#members, (member) => member.check())
    await forAll(this.#members, (member) => member.leave())
    this.#orThrow()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const member of this.#members) member.close()
  }
}
