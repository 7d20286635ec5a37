/** `blast.c` beside this file: load on a broker that costs little itself. Compiled on first use. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import { cacheDirectory, isInstalled, PeerError, runOrThrow } from "./Processes.ts"

let compiled: Promise<string> | undefined

const compile = async (): Promise<string> => {
  const source = new URL("blast.c", import.meta.url).pathname
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12)
  const program = join(cacheDirectory("blast"), `blast-${digest}`)
  if (existsSync(program)) return program
  if (!isInstalled("gcc")) throw new PeerError("gcc is missing: it compiles the load generator (Debian: gcc libc6-dev)")
  const cpu = process.arch === "x64" ? ["-msse4.2"] : []
  await runOrThrow("gcc", ["-O2", ...cpu, "-o", `${program}.new`, source])
  renameSync(`${program}.new`, program)
  return program
}

/** Path of the program. */
export const blast = (): Promise<string> => compiled ??= compile()
