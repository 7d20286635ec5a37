import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { tellingNetwork } from "../../../adapters/cli/TellingNetwork.ts"
import type { Terminal } from "../../../adapters/cli/Terminal.ts"
import { Network, NetworkError } from "../../../core/ports/Network.ts"

it.effect("an address that cannot be connected to is told once, and fails as before", () =>
  Effect.gen(function*() {
    const told: Array<string> = []
    const terminal: Terminal = {
      out: () => Effect.succeed(true),
      err: (line) => Effect.sync(() => void told.push(line)),
      input: (async function*() {})(),
      interactive: false
    }
    const refusing: Network = {
      listen: () => Effect.die("not asked for"),
      connect: ({ host, port }) => Effect.fail(new NetworkError("Refused", `connect to ${host}:${port}: refused`)),
      transfer: "none"
    }
    const connect = (port: number) =>
      Effect.flatMap(Network, (network) => Effect.flip(network.connect({ host: "a", port }, () => ({ onData() {}, onDrained() {}, onClosed() {} }))))
    const errors = yield* Effect.all([connect(1), connect(1), connect(2), connect(1)]).pipe(
      Effect.provide(tellingNetwork(Layer.succeed(Network, refusing), terminal))
    )
    expect(errors.map((error) => error.kind)).toEqual(["Refused", "Refused", "Refused", "Refused"])
    expect(told).toEqual([
      "No connection to a:1, trying again: connect to a:1: refused",
      "No connection to a:2, trying again: connect to a:2: refused"
    ])
  }))
