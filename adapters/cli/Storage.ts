/**
 * `ottla storage`, Kafka's kafka-storage as far as its quick start goes: a cluster id, and log directories that belong
 * to it. A broker formats its directories itself when it first starts; this is for who wants to say the id.
 *
 * Left out: info, version-mapping, feature-dependencies, SCRAM credentials and features, for which there is nothing
 * here that they would be about; --standalone and the like are read for Kafka's sake.
 */
import { randomBytes } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { BrokerConfig, BrokerConfigError } from "../../core/broker/config/BrokerConfig.ts"
import { parseProperties, PropertiesError } from "../../core/broker/config/Properties.ts"
import { makeDirectories } from "../shared/Directories.ts"
import { readText } from "./Command.ts"
import { parseArgsProblem, UsageError } from "./Options.ts"

const help = `usage: ottla storage random-uuid
       ottla storage format -t CLUSTER_ID -c server.properties [flags]

Makes ids, and formats the log directories of a broker, as Kafka's kafka-storage.

format:
  --cluster-id, -t ID       the cluster that the directories belong to
  --config, -c FILE         the server.properties file that names them
  --ignore-formatted, -g    leave out directories that are formatted already
  --standalone, -s          changes nothing here, nor do --no-initial-controllers, -N and --release-version, -r
`

const options = {
  "cluster-id": { type: "string", short: "t" },
  config: { type: "string", short: "c" },
  "ignore-formatted": { type: "boolean", short: "g" },
  standalone: { type: "boolean", short: "s" },
  "no-initial-controllers": { type: "boolean", short: "N" },
  "release-version": { type: "string", short: "r" },
  help: { type: "boolean", short: "h" }
} as const

/** As Kafka: 16 random bytes, and none that a command line would take for a flag. */
const randomUuid = (): string => {
  for (;;) {
    const id = randomBytes(16).toString("base64url")
    if (!id.startsWith("-")) return id
  }
}

/** What Kafka 4.3 would format with: told, so that what reads the output finds it. */
const METADATA_VERSION = "4.3-IV0"

interface Format {
  readonly clusterId: string
  readonly config: BrokerConfig
  readonly ignoreFormatted: boolean
  readonly standalone: boolean
}

/** @returns what to print @throws UsageError */
const format = ({ clusterId, config, ignoreFormatted, standalone }: Format): string => {
  const fresh = config.logDirs.filter((directory) => {
    const path = join(directory, "meta.properties")
    if (!existsSync(path)) return true
    const found = parseProperties(readFileSync(path, "utf8"))
    const owner = found instanceof PropertiesError ? undefined : found.get("cluster.id")
    if (owner !== undefined && owner !== clusterId) {
      throw new UsageError(`Invalid cluster.id in: ${path}. Expected ${clusterId}, but read ${owner}`)
    }
    if (!ignoreFormatted) {
      throw new UsageError(`Log directory ${directory} is already formatted. Use --ignore-formatted to ignore this directory and format the others.`)
    }
    return false
  })
  if (fresh.length === 0) return "All of the log directories are already formatted.\n"
  return fresh.map((directory) => {
    makeDirectories(directory)
    writeFileSync(
      join(directory, "meta.properties"),
      `node.id=${config.nodeId}\ndirectory.id=${randomUuid()}\nversion=1\ncluster.id=${clusterId}\n`
    )
    const kind = directory !== config.logDirs[0] ? "data" : standalone ? "dynamic metadata voter" : "metadata"
    return `Formatting ${kind} directory ${directory} with metadata.version ${METADATA_VERSION}.\n`
  }).join("")
}

const parse = (args: ReadonlyArray<string>) => {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(parseArgsProblem(error))
  }
}

/** @returns what to print @throws UsageError */
export const storage = (args: ReadonlyArray<string>): string => {
  const { positionals, values } = parse(args)
  const [action, ...rest] = positionals
  if (values.help === true) return help
  if (rest.length > 0) throw new UsageError(`"${rest[0]}" is one word too many`)
  if (action === "random-uuid") return `${randomUuid()}\n`
  if (action !== "format") throw new UsageError(`storage takes random-uuid or format${action === undefined ? "" : `, not "${action}"`}`)
  const { config: file, "cluster-id": clusterId } = values
  if (file === undefined) throw new UsageError("argument --config/-c is required")
  if (clusterId === undefined || clusterId === "") throw new UsageError("argument --cluster-id/-t is required")
  const config = BrokerConfig.load({ properties: readText(file), environment: {}, overrides: [], hostName: hostname() })
  if (config instanceof BrokerConfigError) throw new UsageError(`the configuration is wrong:\n  ${config.problems.join("\n  ")}`)
  return format({ clusterId, config, ignoreFormatted: values["ignore-formatted"] === true, standalone: values.standalone === true })
}

/** The process ends with it. */
export const runStorage = (args: ReadonlyArray<string>): void => {
  try {
    process.stdout.write(storage(args), () => process.exit(0))
  } catch (error) {
    const message = error instanceof UsageError ? error.message : (error as Error).message
    process.stderr.write(`${message}\nottla storage --help shows what there is\n`, () => process.exit(1))
  }
}
