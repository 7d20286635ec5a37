/**
 * How evenly partitioners spread and how many keys move when a topic grows, as a table with bars and as a picture:
 *
 *     node scripts/PartitionerReport.ts --partitions 12 --keys 24000 --svg report.svg default consistent-hash
 *     node scripts/PartitionerReport.ts ./mine.ts     (a module that exports Partitioners)
 *
 * Without names, all that come with the client.
 */
import { writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { Partitioner } from "../core/client/Partitioner.ts"
import { measurePartitioner, partitionerSvg, partitionerText } from "../core/client/PartitionerReport.ts"
import { partitioners } from "../core/client/partitioners/index.ts"
import { scriptOptions } from "./Usage.ts"

const fail = (message: string): never => {
  console.error(message)
  process.exit(2)
}

const isPartitioner = (value: unknown): value is Partitioner =>
  typeof value === "object" && value !== null && "name" in value && typeof (value as { make?: unknown }).make === "function"

const find = async (name: string): Promise<ReadonlyArray<Partitioner>> => {
  const known = partitioners.get(name)
  if (known !== undefined) return [known]
  if (!/\.[cm]?[jt]s$/.test(name)) fail(`no partitioner is called "${name}"; there are ${[...partitioners.keys()].join(", ")}, or name a module`)
  const exported: Array<unknown> = Object.values((await import(pathToFileURL(resolve(name)).href)) as Record<string, unknown>)
  const found = exported.filter(isPartitioner)
  return found.length > 0 ? found : fail(`${name} exports no Partitioner: it has a name and a function make`)
}

const { positionals, values } = scriptOptions(import.meta.url, {
  allowPositionals: true,
  options: { partitions: { type: "string" }, keys: { type: "string" }, seed: { type: "string" }, svg: { type: "string" } }
})
const number = (name: "partitions" | "keys" | "seed"): number | undefined => {
  const given = values[name]
  if (given === undefined) return undefined
  return /^[1-9]\d*$/.test(given) ? Number(given) : fail(`--${name} takes a whole number from 1, not "${given}"`)
}
const [partitions = 12, keys, seed = 1] = [number("partitions"), number("keys"), number("seed")]

const chosen = positionals.length === 0 ? [...partitioners.values()] : (await Promise.all(positionals.map(find))).flat()
const measures = chosen.map((one) =>
  measurePartitioner(one, { partitions, seed, ...(keys === undefined ? {} : { keys }) })
)
console.log(partitionerText(measures))
if (values.svg !== undefined) writeFileSync(values.svg, partitionerSvg(measures))
