/**
 * What the simulation is worth: rules of replication are taken out of a copy of the sources, one at a time, and each has
 * to be found within its number of seeds. The sources as they are have to pass as many.
 *
 *   npm run mutations -- [--only NAME]… [--seeds N] [--first 1] [--jobs 2] [--quick]
 *
 * Prints a table: the mutation, what found it, at which seed, within how many. `--seeds` takes the place of every
 * mutation's own number; `--quick` (for CI, which runs the simulation itself too) leaves out what takes more than a few
 * seeds to find, and the sources as they are. `--only unbroken` runs those alone. Exit code 1 when a mutation was not found, or the unbroken sources broke; 2 when a patch does not
 * fit the sources any more.
 */
import { spawn } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { type Mutation, mutations, patched } from "./mutations/Mutations.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    only: { type: "string", multiple: true },
    seeds: { type: "string" },
    first: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    quick: { type: "boolean", default: false }
  }
})

const root = resolve(import.meta.dirname, "..")
/** What `--quick` runs: mutations that so many seeds find. */
const QUICK_SEEDS = 20

const UNBROKEN: Mutation = { name: "unbroken", rule: "nothing is taken out", patches: [], withinSeeds: Math.max(...mutations.map(({ withinSeeds }) => withinSeeds)) }

const end = (code: number, message: string): never => {
  process.stderr.write(`${message}\n`)
  return process.exit(code)
}
const wholeNumber = (name: "seeds" | "first" | "jobs"): number => {
  const number = Number(values[name])
  return Number.isSafeInteger(number) && number >= 1 ? number : end(2, `--${name} ${values[name]}: a whole number from 1 on`)
}

const all = [...mutations, UNBROKEN]
for (const name of values.only ?? []) {
  if (!all.some((mutation) => mutation.name === name)) end(2, `no mutation is called ${name}; there are ${all.map((one) => one.name).join(", ")}`)
}
const chosen = all.filter(({ name, withinSeeds }) =>
  values.only !== undefined ? values.only.includes(name) : !values.quick || (name !== UNBROKEN.name && withinSeeds <= QUICK_SEEDS)
)
const seedsOf = ({ withinSeeds }: Mutation): number => values.seeds === undefined ? withinSeeds : wholeNumber("seeds")

/** The patched files of a mutation, by path. */
const sourcesOf = ({ name, patches }: Mutation): ReadonlyMap<string, string> => {
  const sources = new Map<string, string>()
  for (const patch of patches) {
    const source = patched(sources.get(patch.file) ?? readFileSync(join(root, patch.file), "utf8"), patch)
    if (source instanceof Error) return end(2, `${name}: ${source.message}`)
    sources.set(patch.file, source)
  }
  return sources
}
// All of them before the first run: a patch that does not fit is known at once.
const patchedSources = new Map(chosen.map((mutation) => [mutation.name, sourcesOf(mutation)]))

interface Verdict {
  readonly mutation: Mutation
  readonly seeds: number
  /** What found it and at which seed; undefined: nothing did. */
  readonly found: { readonly seed: number; readonly by: string } | undefined
  /** The simulation itself could not run. */
  readonly crash: string | undefined
  readonly seconds: number
}

/** What says that a run came to no end, not that it broke a promise: a mutation has to be found by more than that. */
const LIVENESS: ReadonlySet<string> = new Set(["NotSettled", "TooShort"])

/** The first of `seeds` seeds from `first` on that fails, and what the simulation said. */
const simulate = (folder: string, first: number, seeds: number, options: ReadonlyArray<string>): Promise<Pick<Verdict, "found" | "crash">> => {
  const args = ["scripts/Simulate.ts", "--first", String(first), "--seeds", String(seeds), "--jobs", "1", "--no-shrink", ...options]
  return new Promise((done, fail) => {
    const simulation = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    for (const stream of [simulation.stdout, simulation.stderr]) stream.on("data", (bytes: Buffer) => output += bytes.toString())
    simulation.on("error", fail)
    simulation.on("close", (code) => {
      const failed = /^1 seed\(s\) failed: (\d+) \((\w+)\)$/m.exec(output)
      done({
        found: failed === null ? undefined : { seed: Number(failed[1]), by: failed[2]! },
        crash: failed === null && code !== 0 ? output.trimEnd().split("\n").slice(-20).join("\n") : undefined
      })
    })
  })
}

/** Runs the simulation in a copy of the sources that the mutation is made in. */
const run = async (mutation: Mutation): Promise<Verdict> => {
  const begin = performance.now()
  const seeds = seedsOf(mutation)
  const end = wholeNumber("first") + seeds
  const folder = mkdtempSync(join(tmpdir(), `ottla-mutation-${mutation.name}-`))
  try {
    for (const part of ["core", "scripts", "package.json"]) cpSync(join(root, part), join(folder, part), { recursive: true })
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
    for (const [file, source] of patchedSources.get(mutation.name)!) writeFileSync(join(folder, file), source)
    for (let next = wholeNumber("first");;) {
      const result = await simulate(folder, next, end - next, mutation.options ?? [])
      if (mutation.name === UNBROKEN.name || result.found === undefined || !LIVENESS.has(result.found.by) || result.found.seed + 1 >= end) {
        const found = mutation.name !== UNBROKEN.name && LIVENESS.has(result.found?.by ?? "") ? undefined : result.found
        return { mutation, seeds, found, crash: result.crash, seconds: (performance.now() - begin) / 1000 }
      }
      next = result.found.seed + 1
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const isRight = ({ crash, found, mutation }: Verdict): boolean =>
  crash === undefined && (found !== undefined) === (mutation.name !== UNBROKEN.name)

const told = ({ crash, found, mutation, seeds }: Verdict): readonly [by: string, seed: string] => {
  if (crash !== undefined) return ["the simulation did not run", "-"]
  if (found !== undefined) return [found.by, String(found.seed)]
  return [mutation.name === UNBROKEN.name ? `nothing, in ${seeds} seeds` : "NOTHING", "-"]
}

const waiting = [...chosen]
const verdicts: Array<Verdict> = []
const work = async (): Promise<void> => {
  for (let mutation = waiting.shift(); mutation !== undefined; mutation = waiting.shift()) {
    const verdict = await run(mutation)
    verdicts.push(verdict)
    const [by, seed] = told(verdict)
    console.log(`${isRight(verdict) ? "ok    " : "FAILED"} ${mutation.name}: ${by}${seed === "-" ? "" : `, seed ${seed}`} (${verdict.seconds.toFixed(0)} s)`)
    if (verdict.crash !== undefined) console.log(verdict.crash)
  }
}
await Promise.all(Array.from({ length: wholeNumber("jobs") }, work))

const rows = [
  ["mutation", "the rule that is gone", "found by", "at seed", "within"],
  ...chosen.map((mutation) => {
    const verdict = verdicts.find((one) => one.mutation === mutation)!
    return [mutation.name, mutation.rule, ...told(verdict), mutation.name === UNBROKEN.name ? "" : String(verdict.seeds)]
  })
]
const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
console.log("")
rows.forEach((row, index) => {
  console.log(`| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`)
  if (index === 0) console.log(`|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`)
})
const failures = verdicts.filter((verdict) => !isRight(verdict)).length
console.log(`\n${verdicts.length - failures} passed, ${failures} failed`)
process.exitCode = failures === 0 && verdicts.length > 0 ? 0 : 1
