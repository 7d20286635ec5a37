/** The bridge between promises and the effects of the client: one runtime per {@link Client}, one scope per part. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ManagedRuntime } from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import type { Compression } from "../../ports/Compression.ts"
import type { Crypto } from "../../ports/Crypto.ts"
import type { Disk } from "../../ports/Disk.ts"
import type { Network } from "../../ports/Network.ts"
import { FatalError } from "../ClientError.ts"
import type { Timestamp } from "./Client.ts"

export type Ports = Network | Compression | Crypto | Disk
export type Runtime = ManagedRuntime<Ports, never>

/** What an effect fails with is thrown as it is. */
export const run = <A, E>(runtime: Runtime, effect: Effect.Effect<A, E, Ports>): Promise<A> =>
  runtime.runPromiseExit(effect).then((exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    throw Cause.hasInterruptsOnly(exit.cause) ? closedError() : Cause.squash(exit.cause)
  })

export const msOf = (timestamp: Timestamp): number => (typeof timestamp === "number" ? timestamp : timestamp.getTime())

export const closedError = (): FatalError =>
  new FatalError("CLOSED", "this is closed: ask the client for another, or connect again if the client is closed")

/** Something that is made when it is first used and ends once; nobody uses it afterwards. */
export class Part<A> {
  readonly #runtime: Runtime
  readonly #make: Effect.Effect<A, unknown, Ports | Scope.Scope>
  readonly #scope: Scope.Closeable = Scope.makeUnsafe()
  #made: Promise<A> | undefined
  #closed: Promise<void> | undefined
  /** Set when it is made: hot paths need not await it. */
  value: A | undefined

  constructor(runtime: Runtime, make: Effect.Effect<A, unknown, Ports | Scope.Scope>) {
    this.#runtime = runtime
    this.#make = make
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /** One that could not be made is tried again with the next use. */
  readonly get = (): Promise<A> => {
    if (this.#closed !== undefined) return Promise.reject(closedError())
    this.#made ??= run(this.#runtime, Scope.provide(this.#make, this.#scope)).then(
      (value) => (this.value = value),
      (error: unknown) => {
        this.#made = undefined
        throw error
      }
    )
    return this.#made
  }

  readonly use = async <B>(use: (value: A) => Effect.Effect<B, unknown, Ports>): Promise<B> =>
    run(this.#runtime, use(await this.get()))

  readonly close = (): Promise<void> => {
    this.#closed ??= run(this.#runtime, Scope.close(this.#scope, Exit.void))
    return this.#closed
  }
}
