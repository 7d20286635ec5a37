/**
 * The client's tests that must hold with every broker (`overBroker` in test/client/TestBrokers.ts), against running ones
 * over real sockets: Apache Kafka 4.3.1 and 3.9.2, and ours.
 *
 *   npm run test:client -- [--against kafka-4.3.1,kafka-3.9.2,ottla] [--runtime node|bun|deno] [FILE...]
 *
 * OTTLA_TEST_BOOTSTRAP=host:port in the environment: that broker instead. Ends with `N passed, N failed`; a test that is
 * skipped, a file that has none and a broker that does not start are failures.
 */
import { spawnSync } from "node:child_process"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { OVER_BROKER } from "../test/client/Marks.ts"
import { KAFKA_VERSION, OLDER_KAFKA_VERSION, startKafka } from "./peers/Kafka.ts"
import { startOttla } from "./peers/Ottla.ts"
import { type Peer, removeDirectory, temporaryDirectory } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { positionals, values } = scriptOptions(import.meta.url, {
  options: {
    against: { type: "string", default: `kafka-${KAFKA_VERSION},kafka-${OLDER_KAFKA_VERSION},ottla` },
    runtime: { type: "string", default: "node" }
  },
  allowPositionals: true
})

const runners = {
  node: ["node", "node_modules/vitest/vitest.mjs"],
  bun: ["bun", "--bun", "node_modules/vitest/vitest.mjs"],
  deno: ["deno", "run", "--allow-all", "node_modules/vitest/vitest.mjs"]
} as const
if (!(values.runtime in runners)) {
  console.error(`--runtime takes ${Object.keys(runners).join(", ")}, not "${values.runtime}"`)
  process.exit(2)
}
const runtime = values.runtime as keyof typeof runners

/** Only files with such tests: the others would report what they leave out. */
const files = (positionals.length > 0 ? positionals : [...globSync("test/client/**/*.test.ts"), "test/adapters/cli/Commands.test.ts"])
  .filter((file) => readFileSync(file, "utf8").includes("overBroker(")).sort()

let passed = 0
let failed = 0
const fail = (message: string): void => {
  console.error(message)
  failed += 1
}

interface Assertion {
  readonly fullName: string
  readonly status: string
}
interface Report {
  readonly testResults: ReadonlyArray<{ readonly name: string; readonly message: string; readonly assertionResults: ReadonlyArray<Assertion> }>
}

const runSuite = (name: string, bootstrap: string): void => {
  console.log(`\n== the client's tests on ${runtime} against ${name} at ${bootstrap} ==`)
  const directory = temporaryDirectory("client-suite")
  const report = join(directory, "report.json")
  const [command, ...prefix] = runners[runtime]
  const pool = runtime === "bun" ? ["--pool=threads"] : []
  // One file after the other: a broker that shares two cores with its clients answers late enough as it is.
  spawnSync(command, [
    ...prefix, "run", ...pool, "--no-file-parallelism", "-t", OVER_BROKER.replaceAll(/[()]/g, "\\$&"),
    "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...files
  ], { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, OTTLA_TEST_BOOTSTRAP: bootstrap, OTTLA_TEST_RUNTIME: runtime } })
  try {
    const { testResults } = JSON.parse(readFileSync(report, "utf8")) as Report
    for (const { assertionResults, message, name } of testResults) {
      const marked = assertionResults.filter(({ fullName }) => fullName.includes(OVER_BROKER))
      if (marked.length === 0) fail(`${name}: no test ran ${message}`)
      passed += marked.filter(({ status }) => status === "passed").length
      for (const { fullName, status } of marked) if (status !== "passed") fail(`${status}: ${fullName}`)
    }
    if (testResults.length < files.length) fail(`${files.length - testResults.length} files did not run`)
  } catch (error) {
    fail(`no report: ${String(error)}`)
  } finally {
    removeDirectory(directory)
  }
}

/** Groups begin at once, as ours do by default: waiting three seconds for members tests nothing of the client. */
const properties = ["group.initial.rebalance.delay.ms=0"]

const startPeer = (name: string): Promise<Peer> => {
  if (name === "ottla") return startOttla({ runtime })
  const version = /^kafka-(\d+\.\d+\.\d+)$/.exec(name)?.[1]
  if (version === undefined) throw new Error(`--against takes kafka-VERSION or ottla, not "${name}"`)
  return startKafka({ version, properties })
}

if (files.length === 0) fail("no file has tests over a broker")
else {
  const given = process.env["OTTLA_TEST_BOOTSTRAP"]
  if (given !== undefined) runSuite("the broker given", given)
  else {
    for (const name of values.against.split(",")) {
      try {
        const peer = await startPeer(name)
        try {
          runSuite(name, peer.bootstrap)
          if (!peer.alive()) fail(`${name} is gone; its last words:\n${peer.log().slice(-3000)}`)
        } finally {
          await peer.kill()
        }
      } catch (error) {
        fail(`${name} does not run: ${String(error)}`)
      }
    }
  }
}

console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
