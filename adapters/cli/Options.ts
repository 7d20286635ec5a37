/**
 * The flags of a command as data, and command lines read by them: as Kafka's tools read theirs (joptsimple), with
 * node:util's parseArgs for the tokens. `--flag value` and `--flag=value`; a value may begin with a dash; flags may be
 * repeated; no abbreviations; words that belong to no flag are passed over.
 */
import { parseArgs } from "node:util"

export interface Flag {
  /** "optional": a text that may be left out, when nothing or another flag follows. */
  readonly takes: "nothing" | "text" | "integer" | "long" | "optional"
  /** What its value is, for the help. */
  readonly value?: string
  /** Told in the help and given by `value`; `has` stays false. */
  readonly default?: string
  readonly help: string
  /** Usable only beside one of these. */
  readonly beside?: ReadonlyArray<string>
  /** One letter that stands for it behind a single dash. */
  readonly short?: string
  /** An older name: read as that flag, with a warning. */
  readonly nowNamed?: string
}

export type Flags = Readonly<Record<string, Flag>>

/** What a person typed is wrong; the message says what, in Kafka's words where it has some. Exit code 1, as Kafka's tools. */
export class UsageError extends Error {
  readonly _tag = "UsageError"
}

/**
 * What `parseArgs` of this runtime refused, without its advice about parseArgs itself. That a value begins with a dash
 * (`--brokers -1`) takes it three lines to say.
 */
export const parseArgsProblem = (error: unknown): string => {
  const [first = ""] = (error instanceof Error ? error.message : String(error)).split(/\n|\. /)
  const dashed = /^Option '(?:-\w, )?(--[\w-]+)[^']*' argument is ambiguous/.exec(first)
  return dashed === null ? first : `${dashed[1]} takes a value; one that begins with a dash is written ${dashed[1]}=VALUE`
}

/** Every command has these. */
const common: Flags = {
  help: { takes: "nothing", help: "Print this text." },
  version: { takes: "nothing", help: "Print the version." }
}

const INT_MAX = 2_147_483_647

export class ParsedFlags {
  /** Told on standard error before anything is done. */
  readonly warnings: ReadonlyArray<string>
  readonly #flags: Flags
  /** An optional value that was left out is undefined. */
  readonly #given: ReadonlyMap<string, ReadonlyArray<string | undefined>>
  constructor(flags: Flags, given: ReadonlyMap<string, ReadonlyArray<string | undefined>>, warnings: ReadonlyArray<string>) {
    this.#flags = flags
    this.#given = given
    this.warnings = warnings
  }

  has(name: string): boolean {
    return this.#given.has(name)
  }

  /** All values, in their order. */
  values(name: string): ReadonlyArray<string> {
    return (this.#given.get(name) ?? []).filter((value) => value !== undefined)
  }

  /** The only value, or the flag's default. @throws UsageError when there are several */
  value(name: string): string | undefined {
    const values = this.values(name)
    if (values.length > 1) throw new UsageError(`Found multiple arguments for option ${name}, but you asked for only one`)
    return values[0] ?? this.#flags[name]?.default
  }

  /** Of a flag that takes a number: its type was checked when it was read. */
  number(name: string): number | undefined {
    const value = this.value(name)
    return value === undefined ? undefined : Number(value)
  }
}

/** Joptsimple's name of an option in messages: `[topic]`. */
export const shown = (name: string): string => `[${name}]`

const knownFlags = (flags: Flags): string =>
  Object.entries({ ...flags, ...common }).filter(([, flag]) => flag.nowNamed === undefined).map(([name]) => `--${name}`).sort().join(", ")

const checkType = (name: string, flag: Flag, value: string): void => {
  if (flag.takes !== "integer" && flag.takes !== "long") return
  const limit = flag.takes === "integer" ? INT_MAX : Number.MAX_SAFE_INTEGER
  const number = Number(value)
  if (!/^[+-]?\d+$/.test(value) || number > limit || number < -limit - 1) {
    throw new UsageError(`Cannot parse argument '${value}' of option ${name}: it takes a whole number`)
  }
}

/**
 * `--flag value` as `--flag=value`, by what each flag takes: then a value may begin with a dash, and a flag whose value
 * is optional does not take the flag behind it.
 */
const joinValues = (flags: Flags, args: ReadonlyArray<string>): Array<string> => {
  const joined: Array<string> = []
  const shorts = new Map(Object.entries(flags).flatMap(([name, { short }]) => short === undefined ? [] : [[`-${short}`, `--${name}`]]))
  for (let at = 0; at < args.length; at += 1) {
    const word = shorts.get(args[at]!) ?? args[at]!
    const name = word.slice(2)
    const takes = word.startsWith("--") && Object.hasOwn(flags, name) ? flags[name]!.takes : "nothing"
    const next = args[at + 1]
    if (takes === "nothing" || (next === undefined && takes !== "optional")) joined.push(word)
    else if (takes === "optional" && (next === undefined || next.startsWith("-"))) joined.push(`${word}=`)
    else joined.push(`${word}=${args[at += 1]}`)
  }
  return joined
}

/** @throws UsageError */
export const parseFlags = (flags: Flags, args: ReadonlyArray<string>): ParsedFlags => {
  const all: Flags = { ...flags, ...common }
  const { tokens } = parseArgs({
    args: joinValues(all, args),
    options: Object.fromEntries(Object.entries(all).map(([name, flag]) => [name, { type: flag.takes === "nothing" ? "boolean" : "string" }])),
    strict: false,
    allowPositionals: true,
    tokens: true
  })
  const given = new Map<string, Array<string | undefined>>()
  const older = new Map<string, string>()
  for (const token of tokens) {
    if (token.kind !== "option") continue
    const flag = Object.hasOwn(all, token.name) ? all[token.name] : undefined
    if (flag === undefined || !token.rawName.startsWith("--")) {
      throw new UsageError(`${token.name} is not a recognized option\nknown flags: ${knownFlags(flags)}`)
    }
    if (flag.takes === "nothing") {
      if (token.value !== undefined) throw new UsageError(`Option ${token.name} takes no value, but was given "${token.value}"`)
    } else if (flag.takes !== "optional") {
      if (token.value === undefined) throw new UsageError(`Option ${token.name} requires an argument`)
      checkType(token.name, flag, token.value)
    }
    const name = flag.nowNamed ?? token.name
    if (flag.nowNamed !== undefined) older.set(token.name, name)
    const values = given.get(name) ?? []
    values.push(token.value === "" && flag.takes === "optional" ? undefined : token.value)
    given.set(name, values)
  }
  const warnings: Array<string> = []
  for (const [old, name] of older) {
    const both = tokens.some((token) => token.kind === "option" && token.name === name)
    if (both) throw new UsageError(`Options --${old} and --${name} cannot be specified together.`)
    warnings.push(`Option --${old} is deprecated and will be removed in a future version. Use --${name} instead.`)
  }
  if (!given.has("help") && !given.has("version")) {
    const alone = Object.entries(flags).filter(([name, flag]) =>
      given.has(name) && flag.beside !== undefined && !flag.beside.some((other) => given.has(other))
    )
    if (alone.length > 0) {
      const names = alone.map(([name]) => name).join(", ")
      throw new UsageError(`Option(s) [${names}] are unavailable given other options on the command line`)
    }
  }
  return new ParsedFlags(flags, given, warnings)
}

/** @throws UsageError naming the first that is missing */
export const needs = (parsed: ParsedFlags, ...names: ReadonlyArray<string>): void => {
  for (const name of names) if (!parsed.has(name)) throw new UsageError(`Missing required argument "${shown(name)}"`)
}

/** @throws UsageError when `used` stands beside one of the others */
export const refuse = (parsed: ParsedFlags, used: string, ...others: ReadonlyArray<string>): void => {
  if (!parsed.has(used)) return
  for (const other of others) {
    if (parsed.has(other)) throw new UsageError(`Option "${shown(used)}" can't be used with option "${shown(other)}"`)
  }
}

/** `key=value` pairs, the last of a key counts; a value may hold `=`. */
export const keyValues = (pairs: ReadonlyArray<string>): ReadonlyMap<string, string> => {
  const result = new Map<string, string>()
  for (const pair of pairs) {
    const at = pair.indexOf("=")
    result.set(at < 0 ? pair : pair.slice(0, at), at < 0 ? "" : pair.slice(at + 1))
  }
  return result
}

// -- help ------------------------------------------------------------------------------------------------------------

const LINE = 100
const COLUMN = 34

const wrapped = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line]
}

const placeholder = (flag: Flag): string => {
  if (flag.takes === "nothing") return ""
  const value = flag.value ?? (flag.takes === "integer" || flag.takes === "long" ? "number" : "text")
  return flag.takes === "optional" ? ` [${value}]` : ` <${value}>`
}

/** What `--help` prints: one flag after the other by name, in two columns. */
export const helpText = (usage: string, summary: string, flags: Flags): string => {
  const rows = Object.entries({ ...flags, ...common }).sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, flag]) => {
    const left = `  --${name}${flag.short === undefined ? "" : `, -${flag.short}`}${placeholder(flag)}`
    const older = flag.nowNamed === undefined ? flag.help : `(deprecated) The older name of --${flag.nowNamed}.`
    const text = flag.default === undefined ? older : `${older} (default: ${flag.default})`
    const [first = "", ...rest] = text.split("\n").flatMap((line) => wrapped(line, LINE - COLUMN))
    const head = left.length + 2 > COLUMN ? [left, " ".repeat(COLUMN) + first] : [left.padEnd(COLUMN) + first]
    return [...head, ...rest.map((line) => " ".repeat(COLUMN) + line)]
  })
  return `usage: ${usage}\n\n${wrapped(summary, LINE).join("\n")}\n\n${rows.join("\n")}\n`
}
