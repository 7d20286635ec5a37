/**
 * Clients and tools that others wrote, against our broker on each runtime.
 *
 *   npm run test:interop -- [--runtime node|bun|deno|all] [--short] [--only TEXT] [--against kafka] [--parallel 6]
 *
 * Most of what the checks do is to wait, for members that come and go: several run at a time, on all runtimes.
 * Long form: 1,000,000 lines of text with each codec, and more of everything; `--short`: 20,000 lines.
 * `--against kafka` runs the checks against Apache Kafka: it must pass them too. Anything missing is a failure.
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { type Check, type InteropContext } from "../test/interop/Check.ts"
import { fileChecks } from "../test/interop/FileChecks.ts"
import { groupChaosChecks } from "../test/interop/GroupChaosCheck.ts"
import { groupGoChecks } from "../test/interop/GroupGoChecks.ts"
import { groupLibraryChecks } from "../test/interop/GroupLibraryChecks.ts"
import { groupPythonChecks } from "../test/interop/GroupPythonChecks.ts"
import { formatterCheck, groupToolChecks, offsetsFileCheck } from "../test/interop/GroupToolChecks.ts"
import { kcatChecks } from "../test/interop/KcatChecks.ts"
import { libraryChecks } from "../test/interop/LibraryChecks.ts"
import { digestOf, writeLines } from "../test/interop/Text.ts"
import { toolChecks } from "../test/interop/ToolChecks.ts"
import { startKafka } from "./peers/Kafka.ts"
import { parseRuntimes, type Runtime, startOttla } from "./peers/Ottla.ts"
import { eachAtOnce, type Peer, removeDirectory, temporaryDirectory } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    runtime: { type: "string", default: "all" },
    short: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    against: { type: "string", default: "ottla" },
    parallel: { type: "string" }
  }
})
/** Checks at a time. The long form's are busy themselves, and its groups would be timed by that. */
const parallel = Number(values.parallel ?? (values.short ? 6 : 2))

const wanted = (lane: ReadonlyArray<Check>): ReadonlyArray<Check> => lane.filter((one) => one.name.includes(values.only))

/** Lanes run beside each other, the checks of one after each other: some use what another left. Long waits come first. */
const lanes: ReadonlyArray<ReadonlyArray<Check>> = [
  ...[...groupLibraryChecks, ...groupChaosChecks, ...groupPythonChecks, ...groupGoChecks].map((one) => [one]),
  toolChecks,
  ...groupToolChecks.map((one) => [one]),
  kcatChecks,
  ...libraryChecks.map((one) => [one])
].map(wanted).filter((lane) => lane.length > 0)
/** These read what the broker wrote for all groups, stop it and start it again: at the end, alone with it. */
const lastLane: ReadonlyArray<Check> = wanted([formatterCheck, offsetsFileCheck, ...fileChecks])

const print = (line: string): void => void process.stdout.write(`${line}\n`)
const shown = (error: unknown): string => error instanceof Error ? error.stack ?? error.message : String(error)

let passed = 0
let failed = 0

type Start = (dataDirectory?: string, overrides?: ReadonlyArray<string>) => Promise<Peer>

/** A broker with its checks: `kafka`, or ours on a runtime. */
interface Subject {
  readonly name: string
  readonly context: InteropContext
  lanesLeft: number
  /** While a broker that died is started again. */
  reviving: Promise<void> | undefined
}

const revive = async (subject: Subject): Promise<void> => {
  const { context, name } = subject
  print(`${name}: the broker is gone; its last words:\n${context.peer.log().slice(-3000)}`)
  context.peer = await context.startOn(context.peer.dataDirectory)
  subject.reviving = undefined
}

const runLane = async (subject: Subject, lane: ReadonlyArray<Check>): Promise<void> => {
  for (const check of lane) {
    const begin = performance.now()
    try {
      await subject.reviving
      await check.run(subject.context)
      passed++
      print(`ok    ${subject.name}: ${check.name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`)
    } catch (error) {
      failed++
      print(`FAIL  ${subject.name}: ${check.name}\n${shown(error)}`)
      if (!subject.context.peer.alive()) await (subject.reviving ??= revive(subject))
    }
  }
}

const runAll = async (starts: ReadonlyArray<readonly [name: string, start: Start]>): Promise<void> => {
  const directory = temporaryDirectory("interop")
  const [textFile, lines] = [join(directory, "text.txt"), values.short ? 20_000 : 1_000_000]
  await writeLines(textFile, lines)
  const textDigest = await digestOf(textFile)
  const subjects: Array<Subject> = []
  await Promise.all(starts.map(async ([name, startOn]) => {
    const own = join(directory, name)
    mkdirSync(own)
    try {
      const context = { peer: await startOn(), short: values.short, directory: own, textFile, textDigest, lines, startOn }
      subjects.push({ name, context, lanesLeft: lanes.length, reviving: undefined })
    } catch (error) {
      failed++
      print(`FAIL  ${name}: the broker does not run\n${shown(error)}`)
    }
  }))
  const work = lanes.length === 0
    ? subjects.map((subject) => ({ subject, lane: lastLane }))
    : lanes.flatMap((lane) => subjects.map((subject) => ({ subject, lane })))
  await eachAtOnce(parallel, work, async ({ lane, subject }) => {
    try {
      await runLane(subject, lane)
      if (--subject.lanesLeft === 0) await runLane(subject, lastLane)
    } catch (error) {
      failed++
      print(`FAIL  ${subject.name}: the broker does not run again\n${shown(error)}`)
    }
  })
  for (const { context } of subjects) await context.peer.kill()
  removeDirectory(directory)
}

const overridesOf = (extra: ReadonlyArray<string> = []): ReadonlyArray<string> => ["node.id=1", ...extra.filter((one) => !one.startsWith("node.id="))]

const startOurs = (runtime: Runtime): Start => (dataDirectory, overrides) =>
  startOttla({ runtime, overrides: overridesOf(overrides), ...(dataDirectory === undefined ? {} : { dataDirectory }) })

await runAll(values.against === "kafka"
  ? [["kafka", (dataDirectory) => startKafka(dataDirectory === undefined ? {} : { dataDirectory })]]
  : parseRuntimes(values.runtime).map((runtime) => [runtime, startOurs(runtime)] as const))

print(`${values.short ? "short" : "long"} form: ${[...lanes, lastLane].flat().length} checks`)
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
