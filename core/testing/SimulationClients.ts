/**
 * The clients of a simulation: producers (acks=all, idempotent) that write down what they were promised, members of groups that
 * read, process and save at least once, and a last reader. All are our own client, each on a machine of its own.
 */
import * as Effect from "effect/Effect"
import * as Admin from "../client/Admin.ts"
import type { ClientError } from "../client/ClientError.ts"
import * as Consumer from "../client/Consumer.ts"
import * as Producer from "../client/Producer.ts"
import type { FinalRead, History, PolledRecord } from "./History.ts"
import type { GroupPlan, ProducerPlan } from "./Scenario.ts"
import type { SimClient } from "./SimClient.ts"
import type { SimCluster } from "./SimCluster.ts"
import type { ProcessKilled } from "./SimProcess.ts"

export interface SavedOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** What a client tells the simulation beside its history. */
export interface ClientWatch {
  readonly history: History
  /** Offsets below this are committed, whoever says so. */
  readonly committedEnd: (topic: string, partition: number) => number
  /** A client was told what it must not be told yet. */
  readonly tooEarly: (invariant: "AcknowledgedUncommitted" | "ReadUncommitted", message: string, topic: string, partition: number) => void
  readonly partitionsOf: (topic: string) => number
  /** Producers stop sending, members stop polling. */
  readonly isProducing: () => boolean
  readonly isConsuming: () => boolean
  /** A member was killed while it saved these: nobody knows whether they are saved. */
  readonly mayHaveSaved: (group: string, offsets: Iterable<SavedOffset>) => void
  /** A client that was killed stays dead for now. */
  readonly isOff: (client: string) => boolean
}

const utf8 = new TextEncoder()
const text = new TextDecoder()

/** Shorter than Kafka's, so that what is lost is found out about within a run. */
const CLIENT_CONFIG = {
  "request.timeout.ms": 2000,
  "default.api.timeout.ms": 6000,
  "metadata.max.age.ms": 10_000,
  "socket.connection.setup.timeout.ms": 1500
} as const
/** From acceptance to an answer, whatever happens. */
export const DELIVERY_TIMEOUT_MS = 25_000
const PAUSE_MS = 200

/** Sends until told to stop; done when everything that it sent was answered. */
export const runProducer = (
  cluster: SimCluster,
  client: SimClient,
  plan: ProducerPlan,
  watch: ClientWatch
): Effect.Effect<void, ClientError | ProcessKilled> =>
  client.run(Effect.gen(function*() {
    const { random } = client.process
    const { history } = watch
    const { sim } = cluster
    const producer = yield* Producer.make({
      "bootstrap.servers": cluster.bootstrap,
      "client.id": plan.name,
      ...CLIENT_CONFIG,
      "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
      "max.block.ms": DELIVERY_TIMEOUT_MS,
      "linger.ms": random.int(0, 10)
    })
    const { topic } = plan
    for (let order = 0; watch.isProducing();) {
      // In bursts now and then: batches of several records, and several batches under way.
      const burst = random.chance(0.2) ? random.int(2, 6) : 1
      for (let n = 0; n < burst; n++, order++) {
        const partition = random.int(0, watch.partitionsOf(topic) - 1)
        const value = `${plan.name}/${order}`
        // Who was not taken in was never sent; of what was sent nobody knows.
        const refused = (isCertain: boolean) => (error: ClientError): void =>
          history.add({ _tag: "Refused", atMs: sim.elapsedMs, topic, partition, value, error: error.reason, isCertain })
        history.add({ _tag: "Sent", atMs: sim.elapsedMs, producer: plan.name, order, topic, partition, value })
        yield* Effect.matchEffect(producer.enqueue({ topic, partition, value: utf8.encode(value) }), {
          onFailure: (error) => Effect.sync(() => refused(true)(error)),
          onSuccess: ({ acknowledged }) =>
            Effect.asVoid(Effect.forkChild(Effect.match(acknowledged, {
              onFailure: refused(false),
              onSuccess: ({ offset }) => {
                history.add({ _tag: "Acknowledged", atMs: sim.elapsedMs, topic, partition, value, offset })
                const end = watch.committedEnd(topic, partition)
                if (offset >= end) {
                  watch.tooEarly(
                    "AcknowledgedUncommitted",
                    `${value} was acknowledged at ${topic}-${partition}@${offset}, and committed is what lies below ${end}`,
                    topic,
                    partition
                  )
                }
              }
            }), { startImmediately: true }))
        })
      }
      yield* Effect.sleep(random.int(1, 2 * plan.everyMs))
    }
    yield* producer.flush
    // The listeners of the last answers have their turn.
    yield* Effect.sleep(1)
  }))

/** A member of a group, until told to stop; a new one takes its place when it cannot go on or was killed. `rack`: where it is. */
export const runMember = (
  cluster: SimCluster,
  client: SimClient,
  group: GroupPlan,
  watch: ClientWatch,
  rack?: string
): Effect.Effect<void, ClientError> => {
  const consumer = client.name
  const { history } = watch
  const { sim } = cluster
  /** Where it stands in what it holds and has not saved yet: what could not be saved is saved with the next. */
  const unsaved = new Map<string, SavedOffset>()
  const life = Effect.gen(function*() {
    const member = yield* Consumer.make({
      "bootstrap.servers": cluster.bootstrap,
      "client.id": consumer,
      ...CLIENT_CONFIG,
      "group.id": group.name,
      "auto.offset.reset": "earliest",
      "enable.auto.commit": false,
      "partition.assignment.strategy": group.assignors,
      "session.timeout.ms": 6000,
      "heartbeat.interval.ms": 1000,
      ...(rack === undefined ? {} : { "client.rack": rack })
    })
    /** Partitions of which something was given out since they were assigned. */
    const reading = new Set<string>()
    unsaved.clear()
    const gone = (partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>): Effect.Effect<void> =>
      Effect.sync(() => {
        for (const { partition, topic } of partitions) {
          reading.delete(`${topic}-${partition}`)
          unsaved.delete(`${topic}-${partition}`)
          history.add({ _tag: "Revoked", atMs: sim.elapsedMs, group: group.name, consumer, topic, partition })
        }
      })
    yield* member.subscribe({ topics: group.topics }, { onAssigned: gone, onRevoked: gone, onLost: gone })
    while (watch.isConsuming()) {
      const polled = yield* member.poll({ timeoutMs: 500 })
      for (const { nextOffset, partition, records, topic } of polled) {
        const first = records[0]
        if (first === undefined) continue
        if (!reading.has(`${topic}-${partition}`)) {
          reading.add(`${topic}-${partition}`)
          history.add({ _tag: "Positioned", atMs: sim.elapsedMs, group: group.name, consumer, topic, partition, offset: first.offset, isCommitted: true })
        }
        history.add({
          _tag: "Polled",
          atMs: sim.elapsedMs,
          group: group.name,
          consumer,
          topic,
          partition,
          records: records.map(({ offset, value }): PolledRecord => ({ offset, value: value === null ? "" : text.decode(value) }))
        })
        const end = watch.committedEnd(topic, partition)
        const last = records.at(-1)!.offset
        if (last >= end) {
          watch.tooEarly("ReadUncommitted", `${consumer} was given ${topic}-${partition}@${last}, and committed is what lies below ${end}`, topic, partition)
        }
        unsaved.set(`${topic}-${partition}`, { topic, partition, offset: nextOffset })
      }
      if (unsaved.size === 0) continue
      const offsets = [...unsaved.values()]
      for (const offset of offsets) history.add({ _tag: "CommitBegun", atMs: sim.elapsedMs, group: group.name, consumer, ...offset })
      const isSaved = yield* Effect.match(member.commit(offsets), { onFailure: () => false, onSuccess: () => true })
      if (!isSaved) continue
      for (const offset of offsets) {
        unsaved.delete(`${offset.topic}-${offset.partition}`)
        history.add({ _tag: "Committed", atMs: sim.elapsedMs, group: group.name, consumer, ...offset })
      }
    }
  })
  const lives: Effect.Effect<void> = Effect.suspend(() =>
    (watch.isOff(consumer) ? Effect.void : client.run(life)).pipe(
      Effect.catch((error) =>
        Effect.sync(() => {
          if (error._tag === "ProcessKilled") watch.mayHaveSaved(group.name, unsaved.values())
        })
      ),
      Effect.andThen(Effect.suspend(() => watch.isConsuming() ? Effect.andThen(Effect.sleep(PAUSE_MS), lives) : Effect.void))
    )
  )
  return lives
}

/** Makes the topics; tried again until it worked, for who asks is told so. */
export const createTopics = (
  cluster: SimCluster,
  client: SimClient,
  topics: ReadonlyArray<Admin.NewTopic>
): Effect.Effect<void, ClientError | ProcessKilled> =>
  client.run(Effect.gen(function*() {
    const admin = yield* Admin.make({ "bootstrap.servers": cluster.bootstrap, ...CLIENT_CONFIG })
    yield* admin.createTopics(topics)
  }))

/** All that consumers can read of a partition, from its start to its end. */
export const readAll = (
  cluster: SimCluster,
  client: SimClient,
  partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>
): Effect.Effect<ReadonlyArray<FinalRead>, ClientError | ProcessKilled> =>
  client.run(Effect.gen(function*() {
    const reader = yield* Consumer.make({ "bootstrap.servers": cluster.bootstrap, ...CLIENT_CONFIG, "auto.offset.reset": "earliest" })
    const starts = yield* reader.beginningOffsets(partitions)
    const ends = yield* reader.endOffsets(partitions)
    yield* reader.assign(partitions)
    yield* reader.seekToBeginning([])
    const finals = partitions.map(({ partition, topic }) => {
      const of = (offsets: typeof starts): number => offsets.find((one) => one.topic === topic && one.partition === partition)?.offset ?? 0
      return { topic, partition, logStartOffset: of(starts), endOffset: of(ends), records: [] as Array<PolledRecord>, next: of(starts) }
    })
    for (let empty = 0; empty < MAX_EMPTY_POLLS && finals.some(({ endOffset, next }) => next < endOffset);) {
      const polled = yield* reader.poll({ timeoutMs: 500 })
      empty = polled.length === 0 ? empty + 1 : 0
      for (const { nextOffset, partition, records, topic } of polled) {
        const final = finals.find((one) => one.topic === topic && one.partition === partition)!
        for (const { offset, value } of records) final.records.push({ offset, value: value === null ? "" : text.decode(value) })
        final.next = nextOffset
      }
    }
    return finals
  }))

/** Polls in a row that bring nothing, after which the last reader takes what it has: 20 s. */
const MAX_EMPTY_POLLS = 40
