/**
 * Java's properties format, as Kafka's server.properties has it: `key=value`, `key:value` or `key value`, lines that
 * start with `#` or `!` are comments, a backslash at a line's end continues it (the next line's indentation is
 * dropped), `\t \n \r \f \uXXXX` are escapes and any other escaped character is itself.
 */

/** A line that is not legal. */
export class PropertiesError {
  readonly _tag = "PropertiesError"
  /** From 1. */
  readonly line: number
  readonly message: string
  constructor(line: number, message: string) {
    this.line = line
    this.message = `line ${line}: ${message}`
  }
}

const isBlank = (c: string): boolean => c === " " || c === "\t" || c === "\f"

/** An odd number of backslashes at the end: the line goes on. */
const continues = (line: string): boolean => {
  let count = 0
  for (let at = line.length - 1; at >= 0 && line[at] === "\\"; at -= 1) count += 1
  return count % 2 === 1
}

const escapes: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" }

const unescape = (text: string, line: number): string | PropertiesError => {
  if (!text.includes("\\")) return text
  let result = ""
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at] as string
    if (c !== "\\") {
      result += c
      continue
    }
    at += 1
    const escaped = text[at]
    if (escaped === undefined) break // a lone backslash at the end of the file is dropped
    if (escaped === "u") {
      const hex = text.slice(at + 1, at + 5)
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) return new PropertiesError(line, `malformed \\uxxxx encoding: \\u${hex}`)
      result += String.fromCharCode(Number.parseInt(hex, 16))
      at += 4
    } else {
      result += escapes[escaped] ?? escaped
    }
  }
  return result
}

/** Where the key of a logical line ends: at the first unescaped `=`, `:` or blank. */
const keyEnd = (line: string): number => {
  let at = 0
  for (; at < line.length; at += 1) {
    const c = line[at] as string
    if (c === "\\") at += 1
    else if (c === "=" || c === ":" || isBlank(c)) break
  }
  return Math.min(at, line.length)
}

/** Keys and values in the order of the text; of a key that is there twice the last value counts. */
export const parseProperties = (text: string): ReadonlyMap<string, string> | PropertiesError => {
  const properties = new Map<string, string>()
  const lines = text.split(/\r\n|\r|\n/)
  for (let at = 0; at < lines.length; at += 1) {
    const first = at + 1
    let line = (lines[at] as string).replace(/^[ \t\f]+/, "")
    if (line === "" || line[0] === "#" || line[0] === "!") continue
    while (continues(line)) {
      at += 1
      line = line.slice(0, -1) + (lines[at] ?? "").replace(/^[ \t\f]+/, "")
      if (at >= lines.length) break
    }
    const end = keyEnd(line)
    const separator = /^[ \t\f]*[=:]?[ \t\f]*/.exec(line.slice(end))?.[0].length ?? 0
    const key = unescape(line.slice(0, end), first)
    const value = unescape(line.slice(end + separator), first)
    if (key instanceof PropertiesError) return key
    if (value instanceof PropertiesError) return value
    properties.set(key, value)
  }
  return properties
}
