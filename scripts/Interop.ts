/**
 * Clients and tools that others wrote, against our broker on each runtime.
 *
 *   npm run test:interop -- [--runtime node|bun|deno|all] [--short] [--only TEXT] [--against kafka]
 *
 * Long form: 1,000,000 lines of text with each codec, and more of everything; `--short`: 20,000 lines.
 * `--against kafka` runs the checks against Apache Kafka: it must pass them too. Anything missing is a failure.
 */
import { join } from "node:path"
import { type Check, type InteropContext } from "../test/interop/Check.ts"
import { fileChecks } from "../test/interop/FileChecks.ts"
import { groupChaosChecks } from "../test/interop/GroupChaosCheck.ts"
import { groupGoChecks } from "../test/interop/GroupGoChecks.ts"
import { groupLibraryChecks } from "../test/interop/GroupLibraryChecks.ts"
import { groupPythonChecks } from "../test/interop/GroupPythonChecks.ts"
import { groupToolChecks } from "../test/interop/GroupToolChecks.ts"
import { kcatChecks } from "../test/interop/KcatChecks.ts"
import { libraryChecks } from "../test/interop/LibraryChecks.ts"
import { digestOf, writeLines } from "../test/interop/Text.ts"
import { toolChecks } from "../test/interop/ToolChecks.ts"
import { startKafka } from "./peers/Kafka.ts"
import { parseRuntimes, type Runtime, startOttla } from "./peers/Ottla.ts"
import { type Peer, removeDirectory, temporaryDirectory } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    runtime: { type: "string", default: "all" },
    short: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    against: { type: "string", default: "ottla" }
  }
})

const checks: ReadonlyArray<Check> = [
  ...kcatChecks, ...toolChecks, ...libraryChecks,
  ...groupToolChecks, ...groupLibraryChecks, ...groupPythonChecks, ...groupGoChecks, ...groupChaosChecks,
  ...fileChecks
]
const print = (line: string): void => void process.stdout.write(`${line}\n`)

let passed = 0
let failed = 0

const runAll = async (name: string, start: (dataDirectory?: string, overrides?: ReadonlyArray<string>) => Promise<Peer>): Promise<void> => {
  const directory = temporaryDirectory("interop")
  const [textFile, lines] = [join(directory, "text.txt"), values.short ? 20_000 : 1_000_000]
  await writeLines(textFile, lines)
  let context: InteropContext | undefined
  try {
    const peer = await start()
    context = { peer, short: values.short, directory, textFile, textDigest: await digestOf(textFile), lines, startOn: start }
    for (const check of checks.filter((one) => one.name.includes(values.only))) {
      const begin = performance.now()
      try {
        await check.run(context)
        passed++
        print(`ok    ${name}: ${check.name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`)
      } catch (error) {
        failed++
        print(`FAIL  ${name}: ${check.name}\n${error instanceof Error ? error.stack ?? error.message : String(error)}`)
        if (!context.peer.alive()) {
          print(`the broker is gone; its last words:\n${context.peer.log().slice(-3000)}`)
          context.peer = await start(context.peer.dataDirectory)
        }
      }
    }
  } catch (error) {
    failed++
    print(`FAIL  ${name}: the broker does not run\n${error instanceof Error ? error.stack ?? error.message : String(error)}`)
  } finally {
    await context?.peer.kill()
    removeDirectory(directory)
  }
}

const overridesOf = (extra: ReadonlyArray<string> = []): ReadonlyArray<string> => ["node.id=1", ...extra.filter((one) => !one.startsWith("node.id="))]

if (values.against === "kafka") {
  await runAll("kafka", (dataDirectory) => startKafka(dataDirectory === undefined ? {} : { dataDirectory }))
} else {
  for (const runtime of parseRuntimes(values.runtime)) {
    await runAll(runtime, (dataDirectory, overrides) => start(runtime, dataDirectory, overrides))
  }
}

function start(runtime: Runtime, dataDirectory?: string, overrides?: ReadonlyArray<string>): Promise<Peer> {
  return startOttla({ runtime, overrides: overridesOf(overrides), ...(dataDirectory === undefined ? {} : { dataDirectory }) })
}

print(`${values.short ? "short" : "long"} form: ${checks.length} checks`)
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
