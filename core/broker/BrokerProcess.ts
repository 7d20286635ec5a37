/**
 * A broker with a process of its own inside this one: it can be stopped as by SIGTERM, and killed as by SIGKILL, and then
 * started again, while the program around it lives on. What `ottla cluster kill`, tests and simulations use.
 *
 * The ports are given to the broker as one process would have them: a kill ends what was opened through them, all in one
 * step, before anything else runs. From then on nothing that is left of the broker reaches a disk, a socket, the metadata
 * store or a log. Its fibers end and its locks are free when `kill` returns.
 *
 * | of the broker | after `stop` | after `kill` |
 * |---|---|---|
 * | connections | answered and closed | closed at once; a peer whose bytes were not read, or not sent, sees a reset |
 * | logs | flushed, marked as cleanly stopped | as the last write left them, in the host's page cache; no mark |
 * | session | ended | ended, or left to time out as that of a machine which is gone |
 *
 * What a machine that lost its power leaves is the disk's to say: kill, then `MemoryDisk.crash` with mode "machine".
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Compression } from "../ports/Compression.ts"
import { Crypto } from "../ports/Crypto.ts"
import { Disk, DiskError, type File } from "../ports/Disk.ts"
import { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
import { type Connection, type ConnectionHandler, Network, NetworkError } from "../ports/Network.ts"
import { Broker, type BrokerOptions, type BrokerRequirements, type BrokerStartError, layer } from "./Broker.ts"
import type { BrokerConfig } from "./config/BrokerConfig.ts"

export interface KillOptions {
  /**
   * What becomes of its session with the metadata store: `ends` at once, as when the store sees the connection break
   * (default), or `expires` after the time to live that it was opened with, as when nobody tells the store.
   */
  readonly session?: "ends" | "expires"
}

export interface BrokerProcess {
  readonly broker: Broker
  /** False once it was stopped, was killed, or ended itself (`Broker.halted`). */
  readonly isRunning: () => boolean
  /** A clean stop, as by SIGTERM. Nothing when it does not run any more. */
  readonly stop: Effect.Effect<void>
  /** The end of its process in the middle of whatever it does, as by SIGKILL. Nothing when it does not run any more. */
  readonly kill: (options?: KillOptions) => Effect.Effect<void>
}

const KILLED = "the process was killed"

/** An open file of the process: its number is the host's as long as the process lives. */
class ProcessFile implements File {
  readonly path: string
  readonly sync: Effect.Effect<void, DiskError>
  readonly #file: File
  readonly #open: Set<File>

  constructor(file: File, open: Set<File>) {
    this.path = file.path
    this.sync = file.sync
    this.#file = file
    this.#open = open
    open.add(this)
  }
  get descriptor(): number {
    return this.#file.descriptor
  }
  read(target: Uint8Array, position: number): number {
    return this.#file.read(target, position)
  }
  write(buffers: ReadonlyArray<Uint8Array>, position: number): void {
    this.#file.write(buffers, position)
  }
  truncate(length: number): void {
    this.#file.truncate(length)
  }
  size(): number {
    return this.#file.size()
  }
  close(): void {
    this.#open.delete(this)
    this.#file.close()
  }
}

/** What one process has of its host, and the way to end all of it. */
class ProcessPorts {
  isAlive = true
  readonly disk: Disk
  readonly network: Network
  readonly store: MetadataStore
  readonly #files = new Set<File>()
  readonly #connections = new Set<Connection>()
  readonly #listeners = new Set<Scope.Closeable>()
  readonly #sessions = new Map<Scope.Closeable, { readonly ttlMs: number }>()
  /** A killed process leaves its sessions to their time to live. */
  #sessionsExpire = false

  constructor(disk: Disk, network: Network, store: MetadataStore) {
    this.disk = this.#diskOf(disk)
    this.network = this.#networkOf(network)
    this.store = this.#storeOf(store)
  }

  /** Ends what it holds of its host, at once; listeners and sessions are left to `release`. */
  kill(options: KillOptions): void {
    this.isAlive = false
    this.#sessionsExpire = options.session === "expires"
    for (const connection of [...this.#connections]) connection.destroy()
    this.#connections.clear()
    for (const file of [...this.#files]) file.close()
  }

  readonly closeListeners: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach([...this.#listeners], (scope) => Scope.close(scope, Exit.void), { discard: true })
  )

  /**
   * The sessions of a killed process that nobody ended: they end when their time is up, and with the scope at the latest.
   * Nothing of them stays in the scope then: a host may kill brokers and start them again for as long as it lives.
   */
  expireSessions(scope: Scope.Scope): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach([...this.#sessions], ([session, { ttlMs }]) =>
        Effect.gen({ self: this }, function*() {
          this.#sessions.delete(session)
          const waiting = yield* Scope.fork(scope)
          yield* Scope.addFinalizer(waiting, Scope.close(session, Exit.void))
          yield* Effect.forkIn(Effect.andThen(Effect.sleep(ttlMs), Scope.close(waiting, Exit.void)), scope)
        }), { discard: true })
    )
  }

  #diskOf(disk: Disk): Disk {
    const sync = <A>(operation: string, run: (path: string) => A) => (path: string): A => {
      if (!this.isAlive) throw new DiskError("Closed", operation, path, KILLED)
      return run(path)
    }
    const effect = <A, R>(operation: string, run: (path: string) => Effect.Effect<A, DiskError, R>) => (path: string) =>
      Effect.suspend(() => this.isAlive ? run(path) : Effect.fail(new DiskError("Closed", operation, path, KILLED)))
    return {
      open: (path, mode) => {
        if (!this.isAlive) throw new DiskError("Closed", "open", path, KILLED)
        return new ProcessFile(disk.open(path, mode), this.#files)
      },
      stat: sync("stat", disk.stat),
      list: sync("list", disk.list),
      makeDirectory: sync("makeDirectory", disk.makeDirectory),
      rename: (from, to) => {
        if (!this.isAlive) throw new DiskError("Closed", "rename", from, KILLED)
        disk.rename(from, to)
      },
      remove: sync("remove", disk.remove),
      syncDirectory: effect("syncDirectory", disk.syncDirectory),
      lock: effect("lock", disk.lock),
      space: disk.space,
      absolute: disk.absolute
    }
  }

  /** Until it is closed. */
  #track(connection: Connection, handler: ConnectionHandler): ConnectionHandler {
    this.#connections.add(connection)
    return {
      ...(handler.readBuffer === undefined ? {} : { readBuffer: () => handler.readBuffer?.() }),
      onData: (bytes) => handler.onData(bytes),
      onDrained: () => handler.onDrained(),
      onClosed: (error) => {
        this.#connections.delete(connection)
        handler.onClosed(error)
      }
    }
  }

  #networkOf(network: Network): Network {
    const dead = Effect.fail(new NetworkError("Io", KILLED))
    return {
      ...network,
      listen: (options, accept) =>
        Effect.suspend(() => {
          if (!this.isAlive) return dead
          const accepted = (connection: Connection): ConnectionHandler => {
            if (this.isAlive) return this.#track(connection, accept(connection))
            connection.destroy()
            return IGNORE
          }
          return this.#held(this.#listeners, network.listen(options, accepted))
        }),
      connect: (address, handle) =>
        Effect.suspend(() =>
          this.isAlive ? network.connect(address, (connection) => {
            if (this.isAlive) return this.#track(connection, handle(connection))
            connection.destroy()
            return IGNORE
          }) : dead
        )
    }
  }

  #storeOf(store: MetadataStore): MetadataStore {
    const dead = Effect.fail(new MetadataStoreError("Unavailable", KILLED))
    return {
      maxOperations: store.maxOperations,
      list: (prefix) => Effect.suspend(() => this.isAlive ? store.list(prefix) : dead),
      commit: (comparisons, operations) =>
        Effect.suspend(() => this.isAlive ? store.commit(comparisons, operations) : dead),
      // Never ended, nor failed: what is dead neither sees more nor begins again.
      watch: (prefix, after) =>
        Stream.suspend(() =>
          this.isAlive ? Stream.filter(store.watch(prefix, after), () => this.isAlive) : Stream.never
        ),
      session: (ttlMs) =>
        Effect.gen({ self: this }, function*() {
          if (!this.isAlive) return yield* dead
          const own = yield* Scope.make()
          const session = yield* Effect.onError(
            Scope.provide(store.session(ttlMs), own),
            () => Scope.close(own, Exit.void)
          )
          this.#sessions.set(own, { ttlMs })
          const ends = Effect.suspend(() => {
            if (this.#sessionsExpire) return Effect.void
            this.#sessions.delete(own)
            return Scope.close(own, Exit.void)
          })
          yield* Effect.addFinalizer(() => ends)
          return session
        }).pipe(Effect.uninterruptible)
    }
  }

  /** In a scope of its own, which ends with the caller's or before it. */
  #held<A, E>(
    held: Set<Scope.Closeable>,
    acquire: Effect.Effect<A, E, Scope.Scope>
  ): Effect.Effect<A, E, Scope.Scope> {
    return Effect.gen(function*() {
      const own = yield* Scope.make()
      held.add(own)
      yield* Effect.addFinalizer(() => {
        held.delete(own)
        return Scope.close(own, Exit.void)
      })
      return yield* Scope.provide(acquire, own)
    })
  }
}

const IGNORE: ConnectionHandler = { onData: () => {}, onDrained: () => {}, onClosed: () => {} }

/**
 * Starts a broker as a process of its own on the ports given. It is stopped cleanly at the latest by the scope's end,
 * which also ends a session that was left to time out.
 */
export const start = (
  config: BrokerConfig,
  options: BrokerOptions = {}
): Effect.Effect<BrokerProcess, BrokerStartError, BrokerRequirements | Scope.Scope> =>
  Effect.gen(function*() {
    const outer = yield* Effect.scope
    const ports = new ProcessPorts(yield* Disk, yield* Network, yield* MetadataStore)
    const context = Context.make(Disk, ports.disk).pipe(
      Context.add(Network, ports.network),
      Context.add(MetadataStore, ports.store),
      Context.add(Crypto, yield* Crypto),
      Context.add(Compression, yield* Compression)
    )
    // A dead process says nothing either.
    const loggers = new Set<Logger.Logger<unknown, unknown>>()
    for (const logger of yield* Logger.CurrentLoggers) {
      loggers.add(Logger.make((line) => ports.isAlive ? logger.log(line) : undefined))
    }
    const inside = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.provideService(effect, Logger.CurrentLoggers, loggers)

    const scope = yield* Scope.fork(outer)
    const built = yield* inside(Layer.buildWithScope(Layer.provide(layer(config, options), Layer.succeedContext(context)), scope))
    let isRunning = true
    const ended = Deferred.makeUnsafe<void>()
    const end = Effect.uninterruptible(inside(Scope.close(scope, Exit.void))).pipe(
      Effect.ensuring(Deferred.succeed(ended, undefined))
    )
    const stop = Effect.suspend(() => {
      if (!isRunning) return Effect.void
      isRunning = false
      return end
    })
    const kill = (killOptions: KillOptions = {}): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (!isRunning) return Effect.void
        isRunning = false
        ports.kill(killOptions)
        return Effect.andThen(ports.closeListeners, Effect.andThen(end, ports.expireSessions(outer)))
      })
    const broker = Context.get(built, Broker)
    // As Kafka ends its process. Waits no longer than the broker runs: what waits keeps all of it in memory.
    yield* Effect.forkIn(
      Effect.raceFirst(Effect.as(broker.halted, true), Effect.as(Deferred.await(ended), false)).pipe(
        Effect.flatMap((hasHalted) => hasHalted ? kill() : Effect.void)
      ),
      outer
    )
    return { broker, isRunning: () => isRunning, stop, kill }
  })
