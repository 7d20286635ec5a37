/**
 * Numbered records through broker restarts and dropped connections: nothing lost, nothing twice, order per key kept.
 *
 *   npm run test:producer -- [--records 1000000] [--restarts 20] [--runtime node|bun|deno|all] [--seed 1]
 *                            [--against kafka] [--compression none] [--quick]
 *
 * The producer runs in this process, the broker in one of its own, which is ended by kill -9 and started again on its
 * port and directory; connections are cut every now and then in between. `--quick`: 100,000 records, 5 restarts.
 */
import type { CompressionType } from "../core/client/Producer.ts"
import { produceNumbered, verifyNumbered } from "../test/client/ProducerRun.ts"
import { Random } from "../test/oracle/Random.ts"
import { startKafka } from "./peers/Kafka.ts"
import { parseRuntimes, startOttla } from "./peers/Ottla.ts"
import { freePort, type Peer, removeDirectory, temporaryDirectory } from "./peers/Processes.ts"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, {
  options: {
    records: { type: "string" },
    restarts: { type: "string" },
    runtime: { type: "string", default: "node" },
    seed: { type: "string", default: "1" },
    against: { type: "string", default: "ottla" },
    compression: { type: "string", default: "none" },
    quick: { type: "boolean", default: false }
  }
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const records = Number(values.records ?? (values.quick ? 100_000 : 1_000_000))
const restarts = Number(values.restarts ?? (values.quick ? 5 : 20))
const seed = Number(values.seed)

type Start = (options: { readonly port: number; readonly dataDirectory: string; readonly first: boolean }) => Promise<Peer>
const contestants: ReadonlyArray<readonly [name: string, start: Start]> = values.against === "kafka"
  ? [["kafka", ({ dataDirectory, first, port }) => startKafka({ port, dataDirectory, format: first })]]
  : parseRuntimes(values.runtime).map((runtime) =>
    [`ottla on ${runtime}`, ({ dataDirectory, port }) => startOttla({ runtime, port, dataDirectory, overrides: ["node.id=1"] })] as const
  )

let passed = 0
for (const [name, start] of contestants) {
  const home = temporaryDirectory("producer")
  const port = await freePort()
  let peer: Peer | undefined
  try {
    const run = await produceNumbered({
      records,
      restarts,
      random: new Random(seed),
      start: async (first) => peer = await start({ port, dataDirectory: `${home}/data`, first }),
      config: { "compression.type": values.compression as CompressionType },
      print: (line) => print(`${name}: ${line}`)
    })
    await verifyNumbered(run.peer, run.ledger)
    print(
      `${name}: ${records} records in ${run.seconds.toFixed(1)} s through ${restarts} kills and ${run.cuts} cut connections: ` +
        "all acknowledged, each in the log once, every key in order"
    )
    passed++
  } catch (error) {
    print(`FAIL  ${name}: seed ${seed}: ${error instanceof Error ? error.message : String(error)}`)
    print(peer?.log().slice(-1500) ?? "")
  } finally {
    await peer?.kill()
    removeDirectory(home)
  }
}
const failed = contestants.length - passed
print(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
