/** The public layer of the runtime that the tests run on: what a program imports from `ottla/node` and its kin. */
import type * as Layer from "effect/Layer"
import type { Compression } from "../../core/ports/Compression.ts"
import type { Crypto } from "../../core/ports/Crypto.ts"
import type { Disk } from "../../core/ports/Disk.ts"
import type { Network } from "../../core/ports/Network.ts"

export const runtime: "node" | "bun" | "deno" = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"

const load = async (): Promise<Layer.Layer<Disk | Network | Compression | Crypto>> => {
  if (runtime === "bun") return (await import("../../adapters/bun/index.ts")).layer
  if (runtime === "deno") return (await import("../../adapters/deno/index.ts")).layer
  return (await import("../../adapters/node/index.ts")).layer
}

export const host: Layer.Layer<Disk | Network | Compression | Crypto> = await load()
