/** `npm run build`: compiles core and adapters to ESM and declarations in dist/, which is what the npm package carries. */
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, rmSync } from "node:fs"

const bin = "dist/adapters/cli/bin.js"

rmSync("dist", { recursive: true, force: true })
const { status } = spawnSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" })
if (status !== 0) process.exit(status ?? 1)
if (!existsSync(bin)) {
  console.error(`the build made no ${bin}`)
  process.exit(1)
}
chmodSync(bin, 0o755)
