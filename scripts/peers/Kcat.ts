/** kcat, librdkafka's command line: found on the path, or installed from Debian's packages when we may. */
import { isInstalled, PeerError, run, type RunOptions, runOrThrow, type RunResult } from "./Processes.ts"

let installed: Promise<void> | undefined

const install = async (): Promise<void> => {
  if (isInstalled("kcat")) return
  if (process.getuid?.() !== 0 || !isInstalled("apt-get")) {
    throw new PeerError("kcat is missing: install it (Debian: apt-get install kcat)")
  }
  await runOrThrow("apt-get", ["update", "-qq"], { timeoutMs: 300_000 })
  await runOrThrow("apt-get", ["install", "-y", "-qq", "kcat"], { timeoutMs: 300_000, env: { DEBIAN_FRONTEND: "noninteractive" } })
}

/** Sees to it that kcat is there. */
export const installKcat = (): Promise<void> => installed ??= install()

/** Runs kcat to its end. */
export const kcat = async (args: ReadonlyArray<string>, options: RunOptions = {}): Promise<RunResult> => {
  await installKcat()
  return run("kcat", args, options)
}
