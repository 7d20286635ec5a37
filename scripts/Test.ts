/**
 * `npm test`: every check, then the test suite on Node, Bun and Deno, one after the other.
 *
 *   npm test                          all of it
 *   npm test -- --runtime bun         one runtime, without the checks
 *   npm test -- --runtime node test/log   … and only some files
 *
 * Ends with the line `N passed, N failed`. A runtime that runs no test is a failure.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { scriptOptions } from "./Usage.ts"

const runtimes = {
  node: ["node", "node_modules/vitest/vitest.mjs"],
  bun: ["bun", "--bun", "node_modules/vitest/vitest.mjs"],
  deno: ["deno", "run", "--allow-all", "node_modules/vitest/vitest.mjs"]
} as const
type Runtime = keyof typeof runtimes

const { values, positionals } = scriptOptions(import.meta.url, {
  options: { runtime: { type: "string", multiple: true } },
  allowPositionals: true
})
const chosen = (values.runtime ?? Object.keys(runtimes)) as ReadonlyArray<Runtime>
for (const name of chosen) {
  if (!(name in runtimes)) {
    console.error(`--runtime takes ${Object.keys(runtimes).join(", ")}, not "${name}"`)
    process.exit(2)
  }
}

/**
 * As many workers as cores: vitest itself would leave one idle. They keep what they have loaded from file to file, a
 * third of all time otherwise: nothing of ours has module state, and a test that leaves some behind should be noticed.
 */
const workers: ReadonlyArray<string> = ["--maxWorkers", `${availableParallelism()}`, "--no-isolate"]

let passed = 0
let failed = 0

const suite = (runtime: Runtime): void => {
  const directory = mkdtempSync(join(tmpdir(), "ottla-test-"))
  const report = join(directory, "report.json")
  const [command, ...prefix] = runtimes[runtime]
  console.log(`\n== tests on ${runtime} ==`)
  // Bun has no child processes that vitest could talk to, so it tests in threads
  const pool = runtime === "bun" ? ["--pool=threads"] : []
  const { status } = spawnSync(
    command!,
    [...prefix, "run", ...pool, ...workers, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...positionals],
    { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, OTTLA_TEST_RUNTIME: runtime } }
  )
  try {
    const result = JSON.parse(readFileSync(report, "utf8")) as {
      numPassedTests: number
      numFailedTests: number
      numPendingTests: number
      numTodoTests: number
      numFailedTestSuites: number
    }
    const skipped = result.numPendingTests + result.numTodoTests
    if (skipped > 0) console.error(`${runtime}: ${skipped} tests were skipped, which counts as failed`)
    passed += result.numPassedTests
    failed += result.numFailedTests + skipped
    const nothing = result.numPassedTests + result.numFailedTests === 0
    if (nothing || (status !== 0 && result.numFailedTests === 0)) {
      console.error(`${runtime}: ${nothing ? "no test ran" : "the test run itself failed"}`)
      failed += 1
    }
  } catch (error) {
    console.error(`${runtime}: no report (${String(error)}), exit code ${status}`)
    failed += 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

if (values.runtime === undefined && positionals.length === 0) {
  console.log("== checks ==")
  if (spawnSync("node", ["scripts/Check.ts"], { stdio: ["ignore", "inherit", "inherit"] }).status === 0) passed += 1
  else failed += 1
}
for (const runtime of chosen) suite(runtime)

console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
