/**
 * `npm run check`: everything about the source that can be said without running it. Each check that fails prints why;
 * a check that had nothing to look at fails. `npm run check -- rooms types` runs only those.
 */
import { spawnSync } from "node:child_process"
import { checkRooms } from "./check/Rooms.ts"

interface Outcome {
  readonly ok: boolean
  readonly output: string
}

const run = (command: string, ...args: ReadonlyArray<string>): Outcome => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 })
  return { ok: status === 0, output: error === undefined ? `${stdout}${stderr}` : String(error) }
}

const rooms = (): Outcome => {
  const { findings, modules } = checkRooms(process.cwd())
  if (modules < 20) return { ok: false, output: `only ${modules} modules seen: is this the project's root?` }
  return {
    ok: findings.length === 0,
    output: findings.map((f) => `${f.path}:${f.line}: ${f.message}`).join("\n")
  }
}

const checks: Readonly<Record<string, () => Outcome>> = {
  types: () => run("tsc", "-p", "tsconfig.json"),
  // no DOM, no Node: the compiler itself refuses a host in core
  "core-types": () => run("tsc", "-p", "tsconfig.core.json"),
  rooms,
  lint: () => run("oxlint", "--deny-warnings", "core", "adapters", "test", "scripts"),
  "generated-protocol": () => run("node", "scripts/GenerateProtocol.ts", "--check"),
  "generated-configs": () => run("node", "scripts/GenerateConfigs.ts", "--check"),
  unused: () => run("knip", "--no-progress"),
  // fails on slow types, which JSR would refuse
  jsr: () => run("deno", "publish", "--dry-run", "--allow-dirty", "--quiet")
}

const asked = process.argv.slice(2)
for (const name of asked) {
  if (!(name in checks)) {
    console.error(`no check is called "${name}"; there are ${Object.keys(checks).join(", ")}`)
    process.exit(2)
  }
}
let failures = 0
for (const [name, check] of Object.entries(checks)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  const begin = performance.now()
  const { ok, output } = check()
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`)
  if (!ok) {
    failures += 1
    console.log(output.trimEnd().split("\n").slice(-60).map((line) => `    ${line}`).join("\n"))
  }
}
process.exit(failures === 0 ? 0 : 1)
