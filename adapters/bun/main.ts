/** `ottla` on Bun. */
import process from "node:process"
import { main } from "../cli/Main.ts"
import * as Disk from "./BunDisk.ts"
import * as Network from "./BunNetwork.ts"

main({ runtime: `Bun ${process.versions["bun"]}`, disk: Disk.layer, network: Network.layer })
