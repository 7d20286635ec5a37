/** Disk on Deno. */
import * as Layer from "effect/Layer"
import { Disk } from "../../core/ports/Disk.ts"
import { make } from "../shared/NodeDisk.ts"
import { denoLibc } from "./DenoLibc.ts"

export const layer: Layer.Layer<Disk> = Layer.sync(Disk, () => make(denoLibc()))
