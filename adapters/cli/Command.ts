/** What the commands have in common: help, version, wrong command lines, configuration of the client, exit codes. */
import * as Effect from "effect/Effect"
import type { Layer } from "effect/Layer"
import type { Scope } from "effect/Scope"
import { readFileSync } from "node:fs"
import { parseProperties, PropertiesError } from "../../core/broker/config/Properties.ts"
import { configKeys, type ConfigOf, parseConfig } from "../../core/client/ConfigKeys.ts"
import type { ClientError } from "../../core/client/ClientError.ts"
import type { Compression } from "../../core/ports/Compression.ts"
import type { Crypto } from "../../core/ports/Crypto.ts"
import type { Network } from "../../core/ports/Network.ts"
import { kafkaMessage } from "./KafkaErrors.ts"
import type { CommandName, EndpointWord } from "./Names.ts"
import { type Flags, helpText, type ParsedFlags, parseFlags, UsageError } from "./Options.ts"
import type { Terminal } from "./Terminal.ts"
import { version } from "./Version.ts"

/** What clients need of the host. */
export type Ports = Network | Compression | Crypto

export type ExitCode = number
export const DONE = 0
export const FAILED = 1

/** How a command ends that cannot do what was asked; an interruption is the caller's. */
export type Failure = UsageError | ClientError

export interface Command {
  readonly name: CommandName | `cluster ${EndpointWord}`
  /** After `ottla NAME `. */
  readonly usage: string
  readonly summary: string
  readonly flags: Flags
  /** Prints on the terminal itself, and also why it failed where that has a form of its own. */
  readonly run: (parsed: ParsedFlags, terminal: Terminal) => Effect.Effect<ExitCode, Failure, Ports | Scope>
}

/** Runs a command with its words; never fails: whatever goes wrong is told on the terminal. */
export const runCommand = (
  command: Command,
  args: ReadonlyArray<string>,
  ports: Layer<Ports>,
  terminal: Terminal
): Effect.Effect<ExitCode> => {
  const help = helpText(`ottla ${command.name} ${command.usage}`, command.summary, command.flags)
  const wrong = ({ message }: UsageError): Effect.Effect<ExitCode> =>
    terminal.err(message, "red").pipe(
      Effect.andThen(terminal.err(`ottla ${command.name} --help shows what there is`)),
      Effect.as(FAILED)
    )
  if (args.length === 0) return Effect.as(terminal.err(help.trimEnd()), FAILED)
  let parsed: ParsedFlags
  try {
    parsed = parseFlags(command.flags, args)
  } catch (error) {
    if (error instanceof UsageError) return wrong(error)
    throw error
  }
  if (parsed.has("help")) return Effect.as(terminal.out(help), DONE)
  if (parsed.has("version")) return Effect.as(terminal.out(`${version}\n`), DONE)
  return Effect.forEach(parsed.warnings, (warning) => terminal.err(warning, "yellow"), { discard: true }).pipe(
    Effect.andThen(Effect.suspend(() => command.run(parsed, terminal))),
    Effect.scoped,
    Effect.provide(ports),
    Effect.catch((error: Failure) =>
      error._tag === "UsageError" ? wrong(error) : Effect.as(terminal.err(kafkaMessage(error), "red"), FAILED)
    )
  )
}

/** Parsing that throws a UsageError, as an Effect that fails with it. */
export const usage = <A>(parse: () => A): Effect.Effect<A, UsageError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(parse())
    } catch (error) {
      if (error instanceof UsageError) return Effect.fail(error)
      throw error
    }
  })

/** @throws UsageError when there is no such file or it cannot be read */
export const readText = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new UsageError(code === "ENOENT" ? `there is no file ${path}` : `${path} cannot be read: ${message}`)
  }
}

/** A properties file; undefined: none was named. @throws UsageError */
export const readProperties = (path: string | undefined): ReadonlyMap<string, string> => {
  if (path === undefined) return new Map()
  const properties = parseProperties(readText(path))
  if (properties instanceof PropertiesError) throw new UsageError(`${path}: ${properties.message}`)
  return properties
}

/**
 * A client's configuration from properties. Keys of other kinds of client are passed over, for one file often serves
 * several tools; what is ignored is told.
 * @throws UsageError
 */
export const clientConfig = <Kind extends keyof ConfigOf>(
  kind: Kind,
  properties: ReadonlyMap<string, string>
): { readonly config: ConfigOf[Kind]; readonly warnings: ReadonlyArray<string> } => {
  const own: Array<readonly [string, string]> = []
  const others: Array<string> = []
  for (const entry of properties) {
    const [key] = entry
    const isOthers = !Object.hasOwn(configKeys[kind], key) && Object.values(configKeys).some((keys) => Object.hasOwn(keys, key))
    if (isOthers) others.push(key)
    else own.push(entry)
  }
  const parsed = parseConfig(kind, own)
  if ("_tag" in parsed) throw new UsageError(parsed.message)
  const ignored = [...others, ...parsed.ignored]
  const warnings = ignored.length === 0 ? [] : [`These configurations change nothing here: ${ignored.join(", ")}`]
  return { config: parsed.config, warnings }
}
