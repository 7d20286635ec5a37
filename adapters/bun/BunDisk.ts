/** Disk on Bun. */
import * as Layer from "effect/Layer"
import { Disk } from "../../core/ports/Disk.ts"
import { make } from "../shared/NodeDisk.ts"
import { bunLibc } from "./BunLibc.ts"

export const layer: Layer.Layer<Disk> = Layer.sync(Disk, () => make(bunLibc()))
