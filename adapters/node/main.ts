/** `ottla` on Node. */
import process from "node:process"
import { main } from "../cli/Main.ts"
import * as Disk from "./NodeDisk.ts"
import * as Network from "./NodeNetwork.ts"

main({ runtime: `Node ${process.versions.node}`, disk: Disk.layer, network: Network.layer })
