/**
 * ottla against Apache Kafka on the same machine, alternating in one run.
 *
 *   npm run bench -- [produce single consume latency random-fetch partitions startup runtimes client groups replication]
 *                    [--quick] [--rounds 3] [--runtime node] [--against kafka]
 *
 * Without a name all of them run. Each writes docs/benchmarks/<name>.md, .json and .svg; `--quick` only prints, what one
 * round of each says: it is there to see that all of them run.
 * Ratios count, numbers don't: client and brokers share the machine. Topics are deleted between rounds; the largest
 * needs 5 GB of disk for a while.
 */
import { type BenchOptions, benches, releaseAll } from "../test/bench/Benches.ts"
import { writeReport } from "../test/bench/Report.ts"
import { parseRuntimes } from "./peers/Ottla.ts"
import { PeerError } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { positionals, values } = scriptOptions(import.meta.url, {
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    runtime: { type: "string", default: "node" },
    against: { type: "string", default: "ottla" }
  }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const names = positionals.length > 0 ? positionals : Object.keys(benches)
const [runtime = "node"] = parseRuntimes(values.runtime)

const options: BenchOptions = {
  quick: values.quick,
  rounds: Number(values.rounds ?? (values.quick ? 1 : 3)),
  runtime,
  against: values.against === "kafka" ? "kafka" : "ottla",
  print,
  kept: new Map(),
  warmed: new WeakSet()
}

let failed = 0
for (const name of names) {
  const bench = benches[name]
  if (bench === undefined) throw new PeerError(`${name}: not one of ${Object.keys(benches).join(", ")}`)
  print(`-- ${name}`)
  const begin = performance.now()
  try {
    const result = await bench(options)
    if (!values.quick) print(writeReport(result))
    print(`(${((performance.now() - begin) / 1000).toFixed(1)} s)`)
  } catch (error) {
    failed++
    print(`FAIL ${name}: ${error instanceof Error ? error.stack ?? error.message : String(error)}`)
  }
}
await releaseAll(options)
print(`${names.length - failed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)
