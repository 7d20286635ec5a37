/** `ottla` on Deno. */
import process from "node:process"
import { main } from "../cli/Main.ts"
import * as Disk from "./DenoDisk.ts"
import * as Network from "./DenoNetwork.ts"

main({ runtime: `Deno ${process.versions["deno"]}`, disk: Disk.layer, network: Network.layer })
