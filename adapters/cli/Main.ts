/**
 * The program `ottla`, given the host's layers: finds the command and loads what it needs, for a broker that starts
 * has no use for a client, and a command none for a broker.
 */
import type { Layer } from "effect/Layer"
import process from "node:process"
import type { Disk } from "../../core/ports/Disk.ts"
import type { Network } from "../../core/ports/Network.ts"
import { overview, parseCommand, usage } from "./Arguments.ts"
import { commandNamed, endpointWord } from "./Names.ts"
import { version } from "./Version.ts"

export interface Host {
  /** For the first line of the log: "Node 26.10.0". */
  readonly runtime: string
  readonly disk: Layer<Disk>
  readonly network: Layer<Network>
}

/** The exit code of a command line that `ottla` itself does not understand. */
const WRONG_USAGE = 2

/** Runs the program; the process ends with it. */
export const main = async (host: Host): Promise<void> => {
  const [word = "", ...args] = process.argv.slice(2)
  const name = commandNamed(word)
  if (name === "storage") return (await import("./Storage.ts")).runStorage(args)
  if (name === "cluster") {
    const asked = endpointWord(args[0])
    if (asked === undefined) return (await import("./Cluster.ts")).runCluster(args)
    return (await import("./Tools.ts")).runTool(asked, args.slice(1), host)
  }
  if (name !== undefined && name !== "start") return (await import("./Tools.ts")).runTool(name, args, host)

  const command = parseCommand(process.argv.slice(2))
  if (command._tag === "Help") return void process.stdout.write(`${name === "start" ? usage : overview}\n`)
  if (command._tag === "Version") return void process.stdout.write(`${version}\n`)
  if (command._tag === "Wrong") {
    process.stderr.write(`ottla: ${command.message}\nottla ${name === "start" ? "start " : ""}--help shows what there is\n`)
    return process.exit(WRONG_USAGE)
  }
  return (await import("./Start.ts")).start(command, host)
}
