/** A network that tells who waits for a broker why: the client tries again for a minute, and a person should know it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Network } from "../../core/ports/Network.ts"
import type { Terminal } from "./Terminal.ts"

/** Tells of each address once that it could not be connected to. */
export const tellingNetwork = (network: Layer.Layer<Network>, terminal: Terminal): Layer.Layer<Network> =>
  Layer.effect(
    Network,
    Effect.gen(function*() {
      const inner = yield* Network
      const told = new Set<string>()
      const outer: Network = {
        ...inner,
        connect: (address, handle) =>
          inner.connect(address, handle).pipe(Effect.tapError((error) => {
            const name = `${address.host}:${address.port}`
            if (told.has(name)) return Effect.void
            told.add(name)
            return terminal.err(`No connection to ${name}, trying again: ${error.message}`, "yellow")
          }))
      }
      return outer
    })
  ).pipe(Layer.provide(network))
