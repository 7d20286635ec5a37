/**
 * The quick start of Apache Kafka, typed as it is with `ottla ` before each command, and our commands beside Kafka's.
 *
 *   npm run test:quickstart -- [--runtime node|bun|deno|all] [--only TEXT]
 *
 * On each runtime: the quick start from the storage to the end with our broker, its commands with Apache Kafka, and
 * some sixty command lines whose output must be that of Kafka's tools to the byte, with both brokers. Needs Java and,
 * the first time, Maven; what is missing is a failure. Ends with `N passed, N failed`.
 */
import type { Check } from "../test/quickstart/Check.ts"
import { compare } from "../test/quickstart/Comparison.ts"
import { shell, type Shell } from "../test/quickstart/Shell.ts"
import { quickStart, topicSteps } from "../test/quickstart/Steps.ts"
import { startKafka } from "./peers/Kafka.ts"
import { parseRuntimes, startOttla } from "./peers/Ottla.ts"
import type { Peer } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    runtime: { type: "string", default: "all" },
    only: { type: "string", default: "" }
  }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

let passed = 0
let failed = 0

const perform = async (place: string, { name, run }: Check): Promise<boolean> => {
  const begin = performance.now()
  try {
    await run()
    passed++
    print(`ok    ${place}: ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`)
    return true
  } catch (error) {
    failed++
    print(`FAIL  ${place}: ${name}\n${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}

/** Steps that stand on each other: after one that failed the others count as failed. */
const inOrder = async (place: string, checks: ReadonlyArray<Check>): Promise<void> => {
  for (const [index, check] of checks.entries()) {
    if (await perform(place, check)) continue
    failed += checks.length - index - 1
    return
  }
}

/** What cannot even begin is one failure. */
const attempt = async (place: string, work: () => Promise<void>): Promise<void> => {
  try {
    await work()
  } catch (error) {
    failed++
    print(`FAIL  ${place}\n${error instanceof Error ? error.stack ?? error.message : String(error)}`)
  }
}

/** Whether the part of that name is asked for. */
const wanted = (name: string): boolean => name.includes(values.only)

/** What Kafka says of a topic without configurations: min.insync.replicas comes from its ELR feature. */
const KAFKA_CONFIGS = "min.insync.replicas=1"

const withPeer = async (start: () => Promise<Peer>, work: (peer: Peer) => Promise<void>): Promise<void> => {
  const peer = await start()
  try {
    await work(peer)
  } finally {
    await peer.stop()
  }
}

const shells: ReadonlyArray<Shell> = parseRuntimes(values.runtime).map(shell)

/** The quick start's commands with Apache Kafka. Mostly they wait: for a broker, and for a group's first members. */
const withKafka = async (): Promise<void> => {
  for (const one of shells) {
    const place = `quick start on ${one.runtime} with Apache Kafka`
    if (!wanted(place)) continue
    await attempt(place, () => withPeer(startKafka, (peer) => inOrder(place, topicSteps(one, peer, KAFKA_CONFIGS))))
  }
}

/** The quick start, and the commands' output compared. These are busy all the time. */
const withOurs = async (): Promise<void> => {
  for (const one of shells) {
    const place = `quick start on ${one.runtime}`
    if (wanted(place)) await attempt(place, () => inOrder(place, quickStart(one)))
  }
  const brokers = {
    "Apache Kafka": () => startKafka({ properties: ["group.initial.rebalance.delay.ms=0"] }),
    "our broker": () => startOttla({ overrides: ["node.id=1"] })
  }
  for (const [name, start] of Object.entries(brokers)) {
    const place = `output compared with ${name}`
    if (!wanted(place)) continue
    await attempt(place, () =>
      withPeer(start, (peer) => compare(shells, peer.bootstrap, async (one, check) => void await perform(`${place}, ${one.runtime}`, check))))
  }
}

await Promise.all([withKafka(), withOurs()])

print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
