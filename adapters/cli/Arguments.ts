/** What a command line of `ottla` itself and of `ottla start` says, or what is wrong with it. */
import { parseArgs } from "node:util"
import { commandNamed, commands } from "./Names.ts"
import { parseArgsProblem } from "./Options.ts"

const NAME_WIDTH = 2 + Math.max(...Object.keys(commands).map((name) => name.length))

/** `ottla --help`. */
export const overview: string = `usage: ottla COMMAND [flags]

commands:
${Object.entries(commands).map(([name, what]) => `  ${name.padEnd(NAME_WIDTH)}${what}`).join("\n")}

They go by Kafka's names too (kafka-topics, bin/kafka-topics.sh) and take Kafka's flags; ottla COMMAND --help shows them.`

/** `ottla start --help`. */
export const usage: string = `usage: ottla start [server.properties] [options]

Runs a broker until SIGINT or SIGTERM. Without a file it listens on localhost:9092 and keeps its data in ./data.

options:
  --brokers N             N brokers (1 to 32) in this process that are one cluster: ids 1 to N, ports one after the other from
                          the listener's, directories broker1 to brokerN in log.dirs; ottla cluster --help says more
  --override key=value    a configuration key by Kafka's name; may be given many times, stronger than the file
  --log-format FORMAT     text (default) or json, one object a line
  --log-level LEVEL       trace, debug, info (default), warn, error
  --help, --version

exit code: 0 after a signal, 1 when it could not start or had to give up, 2 for a wrong command line

The environment may set keys too: KAFKA_LOG_RETENTION_MS=1000 is log.retention.ms=1000.
Every key: docs/config.md. One that takes a free port: --override listeners=PLAINTEXT://127.0.0.1:0`

const logLevels = { trace: "Trace", debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const
export type LogLevelName = (typeof logLevels)[keyof typeof logLevels]

export type Command =
  | { readonly _tag: "Help" }
  | { readonly _tag: "Version" }
  /** `message` is complete: it names the flag and what it takes. */
  | { readonly _tag: "Wrong"; readonly message: string }
  | StartCommand

export interface StartCommand {
  readonly _tag: "Start"
  readonly propertiesFile: string | undefined
  /** Undefined: one that stands alone. */
  readonly brokers: number | undefined
  readonly overrides: ReadonlyArray<readonly [key: string, value: string]>
  readonly logFormat: "text" | "json"
  readonly logLevel: LogLevelName
}

const options = {
  brokers: { type: "string" },
  override: { type: "string", multiple: true },
  "log-format": { type: "string" },
  "log-level": { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" }
} as const

const wrong = (message: string): Command => ({ _tag: "Wrong", message })

/** What ClusterConfig.ts allows, which is not loaded to read a command line. */
export const MAX_BROKERS = 32

export const parseCommand = (argv: ReadonlyArray<string>): Command => {
  // Of kafka-server-start.sh; parseArgs would take it for -d -a -e and so on.
  if (argv.includes("-daemon")) return wrong("-daemon is not there: let the shell (&) or a service manager run it in the background")
  let parsed
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true })
  } catch (error) {
    return wrong(`${parseArgsProblem(error)}\nknown flags: ${Object.keys(options).map((name) => `--${name}`).join(", ")}`)
  }
  const { positionals, values } = parsed
  if (values.help === true || positionals[0] === "help") return { _tag: "Help" }
  if (values.version === true) return { _tag: "Version" }
  const [command, propertiesFile, ...rest] = positionals
  const known = Object.keys(commands).join(", ")
  if (command === undefined) return wrong(`a command is missing; there are: ${known}`)
  if (commandNamed(command) !== "start") return wrong(`there is no command "${command}"; there are: ${known}`)
  if (rest.length > 0) return wrong(`start takes one server.properties file; "${rest[0]}" is one too many`)

  const overrides: Array<readonly [string, string]> = []
  for (const pair of values.override ?? []) {
    const at = pair.indexOf("=")
    if (at <= 0) return wrong(`--override takes key=value, not "${pair}"`)
    overrides.push([pair.slice(0, at).trim(), pair.slice(at + 1).trim()])
  }
  const brokers = values.brokers
  if (brokers !== undefined && (!/^[1-9]\d?$/.test(brokers) || Number(brokers) > MAX_BROKERS)) {
    return wrong(`--brokers takes how many brokers there shall be, 1 to ${MAX_BROKERS}, not "${brokers}"`)
  }
  const logFormat = values["log-format"] ?? "text"
  if (logFormat !== "text" && logFormat !== "json") return wrong(`--log-format takes text or json, not "${logFormat}"`)
  const level = values["log-level"] ?? "info"
  if (!(level in logLevels)) return wrong(`--log-level takes ${Object.keys(logLevels).join(", ")}, not "${level}"`)
  return {
    _tag: "Start",
    propertiesFile,
    brokers: brokers === undefined ? undefined : Number(brokers),
    overrides,
    logFormat,
    logLevel: logLevels[level as keyof typeof logLevels]
  }
}
