/** `ottla` on Node. */
import { enableCompileCache } from "node:module"
import process from "node:process"

// What is imported after this starts from compiled code that Node keeps between runs: half of a start's time.
enableCompileCache()
const [{ main }, disk, network] = await Promise.all([
  import("../cli/Main.ts"),
  import("./NodeDisk.ts"),
  import("./NodeNetwork.ts")
])

main({ runtime: `Node ${process.versions.node}`, disk: disk.layer, network: network.layer })
