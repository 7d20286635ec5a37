/**
 * Fetches and builds every peer that the other scripts run: Apache Kafka's jars, kcat, Python's and Go's clients,
 * librdkafka's tests, the load generator. What is there already stays as it is.
 *
 *   npm run peers
 *
 * Each script does this for its own peers; all at once, before, the downloads of one pass while another is compiled.
 * Ends with `N passed, N failed`.
 */
import { blast } from "./peers/Blast.ts"
import { installFranz } from "./peers/Go.ts"
import { installKafka, KAFKA_VERSION, OLDER_KAFKA_VERSION } from "./peers/Kafka.ts"
import { installKcat } from "./peers/Kcat.ts"
import { installLibrdkafka } from "./peers/Librdkafka.ts"
import { pythonPath } from "./peers/Python.ts"
import { scriptOptions } from "./Usage.ts"

scriptOptions(import.meta.url, { options: {} })
const print = (line: string): void => void process.stdout.write(`${line}\n`)

type Peers = ReadonlyArray<readonly [name: string, install: () => Promise<unknown>]>

/** Each row one after the other: two of Debian's package manager, or two of Maven, would wait for each other or fail. */
const rows: ReadonlyArray<Peers> = [
  [["kcat", installKcat], ["franz-go", installFranz], ["librdkafka's tests", installLibrdkafka]],
  [[`Apache Kafka ${KAFKA_VERSION}`, () => installKafka()], [`Apache Kafka ${OLDER_KAFKA_VERSION}`, () => installKafka(OLDER_KAFKA_VERSION)]],
  [["Python's clients", pythonPath], ["the load generator", blast]]
]

let passed = 0
let failed = 0

await Promise.all(rows.map(async (row) => {
  for (const [name, install] of row) {
    const begin = performance.now()
    try {
      await install()
      passed++
      print(`ok    ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`)
    } catch (error) {
      failed++
      print(`FAIL  ${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}))

print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)
