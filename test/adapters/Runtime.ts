/** The adapters of the runtime that the tests run on. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import type { ReadableFile } from "../../core/model/Payload.ts"
import type { Disk } from "../../core/ports/Disk.ts"
import type { Network } from "../../core/ports/Network.ts"
import { type Libc, noLibc } from "../../adapters/shared/Libc.ts"
import * as NodeDisk from "../../adapters/shared/NodeDisk.ts"

export interface RuntimeAdapters {
  readonly runtime: "node" | "bun" | "deno"
  readonly libc: Libc
  readonly diskLayer: Layer.Layer<Disk>
  readonly networkLayer: Layer.Layer<Network>
  readonly makeNetwork: (libc: Libc) => Network
}

const load = async (): Promise<RuntimeAdapters> => {
  if ("Bun" in globalThis) {
    const { bunLibc } = await import("../../adapters/bun/BunLibc.ts")
    const disk = await import("../../adapters/bun/BunDisk.ts")
    const network = await import("../../adapters/bun/BunNetwork.ts")
    return { runtime: "bun", libc: bunLibc(), diskLayer: disk.layer, networkLayer: network.layer, makeNetwork: network.make }
  }
  if ("Deno" in globalThis) {
    const { denoLibc } = await import("../../adapters/deno/DenoLibc.ts")
    const disk = await import("../../adapters/deno/DenoDisk.ts")
    const network = await import("../../adapters/deno/DenoNetwork.ts")
    return { runtime: "deno", libc: denoLibc(), diskLayer: disk.layer, networkLayer: network.layer, makeNetwork: network.make }
  }
  const { nodeLibc } = await import("../../adapters/node/NodeLibc.ts")
  const disk = await import("../../adapters/node/NodeDisk.ts")
  const network = await import("../../adapters/node/NodeNetwork.ts")
  return { runtime: "node", libc: nodeLibc(), diskLayer: disk.layer, networkLayer: network.layer, makeNetwork: network.make }
}

export const adapters: RuntimeAdapters = await load()

/** A directory that is removed with the scope. */
export const temporaryDirectory: Effect.Effect<string, never, Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "ottla-test-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** A real file, whose descriptor sendfile can use. */
export const makeFile = (bytes: Uint8Array): Effect.Effect<ReadableFile, never, Scope> =>
  Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    return yield* Effect.acquireRelease(
      Effect.sync(() => {
        const file = NodeDisk.make(noLibc).open(`${directory}/slices`, "createNew")
        file.write([bytes], 0)
        return file
      }),
      (file) => Effect.sync(() => file.close())
    )
  })
