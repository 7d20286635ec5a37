/**
 * Whole clusters under seeds: brokers are killed, lose power, are cut off, while producers and groups work; KIP-966's
 * invariants are looked at after every step, and what clients saw is judged when all has healed.
 *
 *   npm run simulate -- [--seeds 200] [--first 1] [--jobs 2] [--model processes|machines] [--brokers N]
 *                       [--duration ms] [--faults N] [--keep 0,2,5|none] [--timeline lines] [--no-shrink] [--go-on] [--clients-only]
 *
 * Prints progress, steps per second and virtual time per second. On failure: the seed, what broke, a line that replays it,
 * the schedule shrunk to what the failure needs, and the timeline; exit code 1. `--go-on` runs the other seeds all the same.
 * A series of 100 seeds or more fails too unless it has seen everything that is counted at least once.
 * `--clients-only` goes on when an invariant is broken, and judges by what clients saw alone.
 * `--keep` runs a seed with only these faults of its schedule, `--timeline` shows what happened in a run that went well.
 * The long form is 10,000 seeds.
 */
import { type ChildProcess, fork } from "node:child_process"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import type { FaultModel } from "../core/testing/Faults.ts"
import { scenarioOf, type Scenario } from "../core/testing/Scenario.ts"
import { addCounters, MIN_STEPS, runScenario, shrinkFailure, type SimulationOptions, type SimulationResult } from "../core/testing/Simulation.ts"
import { noCounters, type SimulationCounters } from "../core/testing/SimulationObserver.ts"
import { renderFailure } from "../core/testing/SimulationReport.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    seeds: { type: "string", default: "200" },
    first: { type: "string", default: "1" },
    jobs: { type: "string", default: String(Math.min(2, availableParallelism())) },
    model: { type: "string" },
    brokers: { type: "string" },
    duration: { type: "string" },
    faults: { type: "string" },
    keep: { type: "string" },
    timeline: { type: "string" },
    "no-shrink": { type: "boolean", default: false },
    "go-on": { type: "boolean", default: false },
    "clients-only": { type: "boolean", default: false },
    worker: { type: "boolean", default: false }
  }
})

/** Series of at least so many seeds must have seen everything. */
const COUNTED_FROM = 100
/** Runs for shrinking one failure. */
const MAX_SHRINK_RUNS = 60
const PROGRESS_EVERY_MS = 5000

const numberOption = (name: "seeds" | "first" | "jobs" | "brokers" | "duration" | "faults" | "timeline"): number | undefined => {
  const value = values[name]
  if (value === undefined) return undefined
  const number = Number(value)
  if (Number.isSafeInteger(number) && number >= 0) return number
  process.stderr.write(`--${name} ${value}: a whole number\n`)
  return process.exit(2)
}
if (values.model !== undefined && values.model !== "processes" && values.model !== "machines") {
  process.stderr.write(`--model ${values.model}: processes or machines\n`)
  process.exit(2)
}

const scenarioFor = (seed: number): Scenario => {
  const [brokers, durationMs, faults] = [numberOption("brokers"), numberOption("duration"), numberOption("faults")]
  const scenario = scenarioOf(seed, {
    ...(values.model === undefined ? {} : { model: values.model as FaultModel }),
    ...(brokers === undefined ? {} : { brokers }),
    ...(durationMs === undefined ? {} : { durationMs }),
    ...(faults === undefined ? {} : { faults })
  })
  if (values.keep === undefined) return scenario
  const kept = new Set(values.keep === "none" ? [] : values.keep.split(",").map(Number))
  return { ...scenario, faults: scenario.faults.filter((_, at) => kept.has(at)) }
}

/** What shapes a scenario beside its seed: part of a replay line. */
const shape: ReadonlyArray<string> = (["model", "brokers", "duration", "faults"] as const).flatMap((name) =>
  values[name] === undefined ? [] : [`--${name} ${values[name]}`]
).concat(values["clients-only"] ? ["--clients-only"] : [])
const options: SimulationOptions = { judgedBy: values["clients-only"] ? "clients" : "invariants" }

interface Outcome {
  readonly seed: number
  readonly steps: number
  readonly virtualMs: number
  readonly hash: string
  readonly counters: SimulationCounters
  readonly acknowledged: number
  readonly refused: number
  /** Of the failure, whole. */
  readonly report: string | undefined
  readonly failure: string | undefined
}

const runSeed = async (seed: number): Promise<Outcome> => {
  const result = await runScenario(scenarioFor(seed), options)
  const failed = tooShort(result)
  const isShrunk = failed.failure !== undefined && !values["no-shrink"] && values.keep === undefined
  const shrunk = isShrunk ? await shrinkFailure(failed, MAX_SHRINK_RUNS, options) : undefined
  const lines = numberOption("timeline")
  const replay = values.keep === undefined ? shape : [...shape, `--keep ${values.keep}`]
  return {
    seed,
    steps: result.steps,
    virtualMs: result.virtualMs,
    hash: result.hash,
    counters: result.counters,
    acknowledged: result.acknowledged,
    refused: result.refused,
    failure: failed.failure?.name,
    report: failed.failure !== undefined
      ? renderFailure(failed, shrunk, { replay, ...(lines === undefined ? {} : { lines }) })
      : lines === undefined
      ? undefined
      : `seed ${seed}, trace ${result.hash}\n${result.timeline.render({ last: lines })}`
  }
}

const tooShort = (result: SimulationResult): SimulationResult =>
  result.failure !== undefined || result.steps >= MIN_STEPS
    ? result
    : { ...result, failure: { name: "TooShort", message: `${result.steps} steps, at least ${MIN_STEPS} are a run`, atMs: result.virtualMs } }

const serve = (): void => {
  const send = (message: unknown): void => void process.send?.(message)
  process.on("message", (seed: number) => {
    runSeed(seed).then(send, (error: unknown) => send({ crashed: error instanceof Error ? error.stack : String(error) }))
  })
  process.on("disconnect", () => process.exit(0))
  send("ready")
}

const print = (line: string): void => void process.stdout.write(`${line}\n`)

class Series {
  readonly #first: number = numberOption("first")!
  readonly #end: number = this.#first + numberOption("seeds")!
  #next: number = this.#first
  #done = 0
  #steps = 0
  #virtualMs = 0
  #acknowledged = 0
  #refused = 0
  readonly #counters: SimulationCounters = noCounters()
  readonly #failures: Array<string> = []
  readonly #startMs: number = performance.now()
  #saidMs: number = this.#startMs
  #isOver = false

  async run(): Promise<boolean> {
    // One seed runs here, where a debugger looks.
    if (this.#end - this.#first === 1) this.#took(await runSeed(this.#next++))
    const jobs = Math.max(1, Math.min(numberOption("jobs")!, this.#end - this.#first))
    if (this.#next < this.#end) await Promise.all(Array.from({ length: jobs }, () => this.#worker()))
    this.#say()
    return this.#judge()
  }

  #worker(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker: ChildProcess = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), "--worker"])
      const give = (): void => {
        if (this.#isOver || this.#next >= this.#end) worker.disconnect()
        else worker.send(this.#next++)
      }
      worker.on("message", (message: "ready" | { readonly crashed: string } | Outcome) => {
        if (message !== "ready") {
          if ("crashed" in message) return reject(new Error(message.crashed))
          this.#took(message)
        }
        give()
      })
      worker.on("error", reject)
      worker.on("exit", (code, signal) =>
        code === 0 ? resolve() : reject(new Error(`a worker ended with ${signal ?? `code ${code}`}, near seed ${this.#next - 1}`)))
    })
  }

  #took(outcome: Outcome): void {
    this.#done++
    this.#steps += outcome.steps
    this.#virtualMs += outcome.virtualMs
    this.#acknowledged += outcome.acknowledged
    this.#refused += outcome.refused
    addCounters(this.#counters, outcome.counters)
    if (outcome.report !== undefined) print(outcome.report)
    if (outcome.failure !== undefined) {
      this.#failures.push(`${outcome.seed} (${outcome.failure})`)
      if (!values["go-on"]) this.#isOver = true
    }
    if (performance.now() - this.#saidMs < PROGRESS_EVERY_MS) return
    this.#saidMs = performance.now()
    this.#say()
  }

  #say(): void {
    const seconds = (performance.now() - this.#startMs) / 1000
    const perSecond = (count: number): string => Math.round(count / seconds).toLocaleString("en")
    const counted = Object.entries(this.#counters).map(([name, count]) => `${name} ${count}`).join(", ")
    print(
      `${this.#done}/${this.#end - this.#first} seeds, ${this.#steps.toLocaleString("en")} steps (${perSecond(this.#steps)}/s), ` +
        `${(this.#virtualMs / 1000 / seconds).toFixed(1)} virtual seconds per second, ` +
        `${this.#acknowledged} acknowledged, ${this.#refused} refused; ${counted}`
    )
  }

  #judge(): boolean {
    if (this.#failures.length > 0) {
      print(`${this.#failures.length} seed(s) failed: ${this.#failures.join(", ")}`)
      return false
    }
    if (this.#done < COUNTED_FROM) return true
    const missing = Object.entries(this.#counters).filter(([, count]) => count === 0).map(([name]) => name)
    if (missing.length === 0) return true
    print(`${this.#done} seeds saw none of these, so what they show is little: ${missing.join(", ")}`)
    return false
  }
}

if (values.worker) serve()
else process.exitCode = (await new Series().run()) ? 0 : 1
