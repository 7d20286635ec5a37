/**
 * `npm run build`: what the npm package carries, in dist/. Core and adapters as ESM modules with their declarations,
 * for programs that import them; and the command line bundled into a few files, because a start that loads 280 modules
 * one by one costs twice the time and a third more memory.
 */
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, rmSync } from "node:fs"

const program = "dist/adapters/cli/bin.js"
const bundle = "dist/cli"
const bin = `${bundle}/bin.js`
/** Native, or of one runtime: found where the program runs. */
const external = ["@node-rs/crc32", "bun:ffi"]

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  const { error, status } = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] })
  if (error !== undefined) console.error(error.message)
  if (status !== 0) process.exit(status ?? 1)
}

rmSync("dist", { recursive: true, force: true })
run("tsc", "-p", "tsconfig.build.json")
run("rolldown", program, "--platform", "node", "--format", "esm", "--dir", bundle, ...external.flatMap((name) => ["--external", name]))
if (!existsSync(bin)) {
  console.error(`the build made no ${bin}`)
  process.exit(1)
}
chmodSync(bin, 0o755)
