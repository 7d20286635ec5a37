/**
 * librdkafka's own tests against our broker: those that one broker without TLS, passwords and transactions can pass.
 *
 *   npm run test:librdkafka -- [--short] [--only 0081,0102] [--runtime node] [--against ottla|kafka] [--at HOST:PORT]
 *                              [--parallel 4]
 *
 * `--against kafka` runs them against Apache Kafka, which has to pass all of them. A test that fails against ours as
 * docs/compatibility.md says counts as passed, and one of those that passes after all as failed: the table is wrong then.
 * A test that the runner skips is a failure. A failed test gets a second try alone, at the end. The short form runs four
 * at a time, the long one two.
 */
import { librdkafkaTests } from "../test/librdkafka/Tests.ts"
import { startKafka } from "./peers/Kafka.ts"
import { installLibrdkafka, librdkafkaTest } from "./peers/Librdkafka.ts"
import { parseRuntimes, startOttla } from "./peers/Ottla.ts"
import { eachAtOnce, type Peer, PeerError } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    short: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    runtime: { type: "string", default: "node" },
    against: { type: "string", default: "ottla" },
    at: { type: "string" },
    parallel: { type: "string" }
  }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** The tests count on four partitions where nobody says how many, and on Kafka's time for a group's first members. */
const properties = ["num.partitions=4", "group.initial.rebalance.delay.ms=3000"]

interface Work {
  readonly number: string
  readonly part: string | undefined
  readonly about: string
  readonly timeoutS: number
  readonly failsBecause: string | undefined
}

/** Tests at a time: most wait, and the short form leaves out those that measure how long. */
const parallel = Number(values.parallel ?? (values.short ? 4 : 2))

const only = values.only.split(",").filter((one) => one !== "")
const work: ReadonlyArray<Work> = librdkafkaTests
  .filter(({ number, short }) => only.length > 0 ? only.includes(number) : !values.short || short === true)
  .flatMap(({ about, failsBecause, number, parts, timeoutS }) =>
    (parts ?? [undefined]).map((part) =>
      ({ number, part, about, timeoutS: timeoutS ?? 200, failsBecause: values.against === "kafka" ? undefined : failsBecause })))

/** What the runner's summary says: a test of that number passed, and nothing failed. */
const isPassed = (code: number, output: string, number: string): boolean =>
  code === 0 && new RegExp(`\\| *${number}_\\w+ *\\| *PASSED`).test(output)

const reasonOf = (output: string, code: number): string => {
  const skipped = /\| *\d{4}_\w+ *\| *SKIPPED.*/.exec(output)
  const failed = /^### Test .* failed at [^\n]*\n[^\n]*/m.exec(output)
  return failed?.[0] ?? skipped?.[0] ?? `exit code ${code}\n${output.slice(-600)}`
}

const startPeer = async (): Promise<Peer> => {
  if (values.against === "kafka") return startKafka({ properties })
  const [runtime = "node"] = parseRuntimes(values.runtime)
  return startOttla({ runtime, overrides: [...properties, "node.id=1"] })
}

let passed = 0
let failed = 0

const main = async (): Promise<void> => {
  await installLibrdkafka()
  const started = values.at === undefined ? await startPeer() : undefined
  const peer = started ?? { bootstrap: values.at } as Peer
  /** True when it came out as it must; what it printed otherwise. */
  const attempt = async ({ failsBecause, number, part, timeoutS }: Work): Promise<{ readonly words: string; readonly isRight: boolean; readonly seconds: number }> => {
    const result = await librdkafkaTest(peer, number, part, timeoutS * 1000)
    if (started !== undefined && !started.alive()) throw new PeerError(`${started.name} died during ${number}:\n${started.log().slice(-3000)}`)
    const isGood = isPassed(result.code, result.stdout, number)
    const isRight = isGood === (failsBecause === undefined)
    const words = isGood ? isRight ? "" : `passes, though it should not: ${failsBecause}` : isRight ? `fails as it must: ${failsBecause}` : reasonOf(result.stdout, result.code)
    return { words, isRight, seconds: result.seconds }
  }
  const nameOf = ({ about, number, part }: Work): string => `${number}${part === undefined ? "" : ` ${part}`} (${about})`
  const count = (one: Work, { isRight, seconds, words }: Awaited<ReturnType<typeof attempt>>, note: string): void => {
    if (isRight) passed++
    else failed++
    print(`${isRight ? "ok   " : "FAIL "} ${nameOf(one)}, ${seconds.toFixed(1)} s${note}${words === "" ? "" : `: ${words}`}`)
  }
  const again: Array<Work> = []
  await eachAtOnce(parallel, work, async (one) => {
    const outcome = await attempt(one)
    if (outcome.isRight) return count(one, outcome, "")
    print(`again ${nameOf(one)}: ${outcome.words}`)
    again.push(one)
  })
  // many tests measure times of 100 or 200 ms, which others on the same machine spoil: what failed runs once more, alone
  for (const one of again) count(one, await attempt(one), ", at the second try")
  await started?.kill()
}

try {
  await main()
} catch (error) {
  failed++
  print(error instanceof PeerError ? error.message : error instanceof Error ? error.stack ?? error.message : String(error))
}
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
