/** Python with confluent-kafka (librdkafka) and kafka-python in a virtual environment of its own, made on first use. */
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { cacheDirectory, isInstalled, PeerError, run, type RunOptions, runOrThrow, type RunResult } from "./Processes.ts"

const packages: ReadonlyArray<string> = ["confluent-kafka==2.16.0", "kafka-python==3.0.12"]

let installed: Promise<string> | undefined

const install = async (): Promise<string> => {
  if (!isInstalled("python3")) throw new PeerError("Python is missing: install python3 with its venv module (Debian: python3-venv)")
  const home = cacheDirectory(`python-${packages.join("-").replace(/[^a-z0-9.-]/g, "_")}`)
  const python = join(home, "venv", "bin", "python")
  const complete = join(home, ".complete")
  if (existsSync(complete)) return python
  rmSync(join(home, "venv"), { recursive: true, force: true })
  await runOrThrow("python3", ["-m", "venv", join(home, "venv")])
  await runOrThrow(python, ["-m", "pip", "install", "-q", "--disable-pip-version-check", ...packages], { timeoutMs: 300_000 })
  writeFileSync(complete, "")
  return python
}

/** Runs a Python program given as text. */
export const python = async (program: string, args: ReadonlyArray<string>, options: RunOptions = {}): Promise<RunResult> => {
  const path = await (installed ??= install())
  return run(path, ["-c", program, ...args], options)
}

/** The interpreter of that environment, for programs that keep running. */
export const pythonPath = (): Promise<string> => installed ??= install()
