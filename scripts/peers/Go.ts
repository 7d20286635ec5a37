/**
 * Go programs as peers: the folder `franz` beside this file holds one with franz-go, versions pinned by go.mod and
 * go.sum. Compiled on first use with the Go on the path, or with one of the version that go.mod asks for: a Go of 1.21 or
 * newer fetches that by itself, an older one (Debian's) as a module.
 */
import { createHash } from "node:crypto"
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import { cacheDirectory, isInstalled, PeerError, run, type RunOptions, runOrThrow, type RunResult } from "./Processes.ts"

const TOOLCHAIN = "go1.26.8"
const source = new URL("franz", import.meta.url).pathname

const installGo = async (): Promise<void> => {
  if (isInstalled("go")) return
  if (process.getuid?.() !== 0 || !isInstalled("apt-get")) throw new PeerError("Go is missing: install it (Debian: golang-go)")
  await runOrThrow("apt-get", ["update", "-qq"], { timeoutMs: 300_000 })
  await runOrThrow("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "golang-go", "ca-certificates"], { timeoutMs: 600_000, env: { DEBIAN_FRONTEND: "noninteractive" } })
}

/** A toolchain's files come out of the module cache without the right to be run. */
const makeRunnable = (directory: string): void => {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) makeRunnable(path)
    else chmodSync(path, 0o755)
  }
}

/** The program `go` that can build, and what its environment needs. */
const goProgram = async (): Promise<string> => {
  await installGo()
  const version = /go1\.(\d+)/.exec((await runOrThrow("go", ["version"], { cwd: cacheDirectory("go") })).stdout)
  if (Number(version?.[1] ?? 0) >= 21) return "go"
  const arch = process.arch === "x64" ? "amd64" : process.arch
  const module = `golang.org/toolchain@v0.0.1-${TOOLCHAIN}.${process.platform}-${arch}`
  const downloaded = await runOrThrow("go", ["mod", "download", "-json", module], { cwd: cacheDirectory("go"), timeoutMs: 600_000, env: { GOFLAGS: "-mod=mod" } })
  const { Dir: home } = JSON.parse(downloaded.stdout) as { readonly Dir: string }
  for (const folder of ["bin", join("pkg", "tool")]) {
    // the module cache is read-only, its owner may change that
    await runOrThrow("chmod", ["-R", "u+w", join(home, folder)])
    makeRunnable(join(home, folder))
  }
  return join(home, "bin", "go")
}

let compiled: Promise<string> | undefined

const compile = async (): Promise<string> => {
  const hash = createHash("sha256")
  for (const name of ["go.mod", "go.sum", "main.go"]) hash.update(readFileSync(join(source, name)))
  const program = join(cacheDirectory("franz"), `franz-${hash.digest("hex").slice(0, 12)}`)
  if (existsSync(program)) return program
  await runOrThrow(await goProgram(), ["build", "-o", `${program}.new`, "."], { cwd: source, timeoutMs: 600_000, env: { CGO_ENABLED: "0" } })
  renameSync(`${program}.new`, program)
  return program
}

/** Path of the program with franz-go. */
export const installFranz = (): Promise<string> => compiled ??= compile()

/** Runs the franz-go program to its end. */
export const franz = async (args: ReadonlyArray<string>, options: RunOptions = {}): Promise<RunResult> =>
  run(await installFranz(), args, options)
