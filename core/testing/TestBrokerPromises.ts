/** The test broker for tests without Effect: promises, `await using`, thrown errors. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type { LogLevel } from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import type { Broker } from "../broker/Broker.ts"
import type { ClientConfig } from "../client/ClientConfig.ts"
import type { ConsumerRecord } from "../client/Consumer.ts"
import type { Client } from "../client/facade/Client.ts"
import { connectWith } from "../client/facade/Connect.ts"
import type { MemoryDisk } from "../memory/MemoryDisk.ts"
import type { Network } from "../ports/Network.ts"
import type { MemorySocket, SocketFactoryOptions } from "./MemorySocket.ts"
import { noCodec, type TestBroker, TestBrokerError, type TestBrokerFailure, type TestBrokerOptions, type TestTopics } from "./TestBroker.ts"
import { VirtualTime } from "./VirtualTime.ts"

export interface StartOptions extends TestBrokerOptions {
  /**
   * `virtual`: the broker's time begins now and passes only by `advance`: retention, session and request timeouts, long
   * polls. Clients keep their own time. Default `real`.
   */
  readonly time?: "real" | "virtual"
  /** From which level on its log lines are printed. Default "Error". */
  readonly logLevel?: LogLevel
}

/** What is asked of it after `close` rejects with TestBrokerError; `stop`, `kill` and `close` have nothing to do then. */
export interface RunningTestBroker {
  /** 127.0.0.1, or a name that is nowhere else where it listens in memory. */
  readonly host: string
  readonly port: number
  /** `host:port`, for `bootstrap.servers`. */
  readonly bootstrapServers: string
  /** The same as a list, for `new Kafka({ brokers })`. */
  readonly brokers: ReadonlyArray<string>
  /** For kafkajs, `new Kafka({ brokers, socketFactory })`: connections to this broker, wherever it listens. */
  readonly socketFactory: (options: SocketFactoryOptions) => MemorySocket
  /** What it writes to; for faults (a full disk, a failing sync) and to look at. */
  readonly disk: MemoryDisk
  /** What clients connect by, for the services of `ottla/client`. */
  readonly network: Network
  /** A client of `ottla/client` without Effect; it is closed with the broker. */
  readonly connect: (config?: Partial<ClientConfig>) => Promise<Client>
  /** The broker that runs now. @throws TestBrokerError while it is stopped, and when it is closed */
  readonly broker: () => Broker
  readonly createTopics: (topics: TestTopics) => Promise<void>
  /** Every committed record of a topic: by partition, then by offset. */
  readonly records: (topic: string) => Promise<ReadonlyArray<ConsumerRecord>>
  /** The broker's time, in ms since 1970. */
  readonly nowMs: () => number
  /**
   * Lets virtual time pass, in ms; all that becomes due on the way has happened when it is done. Over a long time timers
   * may be late by a 5,000th of it. Rejects with TestBrokerError unless `time` is virtual.
   */
  readonly advance: (ms: number) => Promise<void>
  /** Stops the broker in an orderly way; its disk and its port stay its own. */
  readonly stop: () => Promise<void>
  /**
   * Ends the broker in the middle of whatever it does: its `process` (the default, nothing that was written is lost) or
   * its `machine` (what was not flushed is lost).
   */
  readonly kill: (lost?: "process" | "machine") => Promise<void>
  /** Starts it again where it was. */
  readonly start: () => Promise<void>
  /** Ends it with its clients. Harmless when it has ended. */
  readonly close: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** `Promise` of an effect: what it fails with is thrown as it is. */
const settled = async <A>(exit: Promise<Exit.Exit<A, unknown>>): Promise<A> => {
  const ended = await exit
  if (Exit.isSuccess(ended)) return ended.value
  throw Cause.squash(ended.cause)
}

/** A client whose producers say at once that they cannot compress. */
const withoutCodecs = (client: Client): Client => ({
  ...client,
  producer: (options) => {
    const codec = options?.["compression.type"] ?? "none"
    if (codec !== "none") throw new TestBrokerError(noCodec(codec))
    return client.producer(options)
  }
})

/** @param make of TestBroker.ts, which imports this module */
export const startWith = async (
  make: (options: TestBrokerOptions) => Effect.Effect<TestBroker, TestBrokerFailure, Scope.Scope>,
  { logLevel = "Error", time = "real", ...options }: StartOptions
): Promise<RunningTestBroker> => {
  const logs = Layer.succeed(References.MinimumLogLevel, logLevel)
  const clock = await Effect.runPromise(Clock.Clock)
  const virtual = time === "virtual" ? new VirtualTime(clock.currentTimeMillisUnsafe()) : undefined
  const runtime = ManagedRuntime.make(virtual === undefined ? logs : Layer.merge(logs, virtual.layer))
  const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => settled(runtime.runPromiseExit(effect))
  const scope = Scope.makeUnsafe()
  const clients = new Set<Client>()
  let ending: Promise<void> | undefined
  const end = async (): Promise<void> => {
    await Promise.allSettled(Array.from(clients, (client) => client.close()))
    await run(Scope.close(scope, Exit.void))
    await runtime.dispose()
  }
  const close = (): Promise<void> => (ending ??= end())
  const refuseClosed = (): void => {
    if (ending !== undefined) throw new TestBrokerError("the broker is closed: every test starts one of its own")
  }
  const whileOpen = async <A, E>(effect: () => Effect.Effect<A, E>): Promise<A> => {
    refuseClosed()
    return run(effect())
  }
  const unlessClosed = (effect: Effect.Effect<void>): Promise<void> => ending === undefined ? run(effect) : ending

  let broker: TestBroker
  try {
    broker = await run(Scope.provide(make(options), scope))
  } catch (error) {
    await close()
    throw error
  }
  const { bootstrapServers, disk, host, network, port, ports, socketFactory } = broker
  return {
    host,
    port,
    bootstrapServers,
    brokers: [bootstrapServers],
    socketFactory,
    disk,
    network,
    connect: async (config = {}) => {
      refuseClosed()
      const client = await connectWith(Layer.succeedContext(ports))({ "bootstrap.servers": bootstrapServers, ...config })
      clients.add(client)
      return options.host === undefined ? withoutCodecs(client) : client
    },
    broker: () => {
      refuseClosed()
      return broker.broker()
    },
    createTopics: (topics) => whileOpen(() => broker.createTopics(topics)),
    records: (topic) => whileOpen(() => broker.records(topic)),
    nowMs: () => (virtual ?? clock).currentTimeMillisUnsafe(),
    advance: async (ms) => {
      refuseClosed()
      if (virtual === undefined) throw new TestBrokerError(`time passes by itself here: start the broker with time: "virtual"`)
      if (!(ms >= 0 && ms < Infinity)) throw new TestBrokerError(`advance takes milliseconds, 0 or more, not ${ms}`)
      await virtual.advance(ms)
    },
    stop: () => unlessClosed(broker.stop),
    kill: (lost) => unlessClosed(broker.kill(lost)),
    start: () => whileOpen(() => broker.start),
    close,
    [Symbol.asyncDispose]: close
  }
}
