/** Disk on Node. */
import * as Layer from "effect/Layer"
import { Disk } from "../../core/ports/Disk.ts"
import { make } from "../shared/NodeDisk.ts"
import { nodeLibc } from "./NodeLibc.ts"

export const layer: Layer.Layer<Disk> = Layer.sync(Disk, () => make(nodeLibc()))
