/**
 * Lines of bytes as records, as Kafka's LineMessageReader reads them: headers, key and value of a line stand behind
 * each other with separators between them. What Kafka decodes and encodes again we leave as bytes: text that is not
 * UTF-8 arrives as it was.
 */
import { Buffer } from "node:buffer"
import type { RecordHeader } from "../../core/records/Record.ts"
import { UsageError } from "./Options.ts"

export interface LineReaderConfig {
  readonly parseKey: boolean
  readonly parseHeaders: boolean
  /** Without a separator a line is a value alone, and a header a key alone. */
  readonly ignoreError: boolean
  readonly keySeparator: Uint8Array
  readonly headersDelimiter: Uint8Array
  /** A regular expression, as in Kafka. */
  readonly headersSeparator: RegExp
  readonly headersKeySeparator: string
  /** What stands for null. */
  readonly nullMarker: string | undefined
}

export interface LineRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<RecordHeader>
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const bytes = (text: string): Uint8Array => encoder.encode(text)

/** Reader properties by Kafka's names; others are passed over. @throws UsageError */
export const lineReaderConfig = (properties: ReadonlyMap<string, string>): LineReaderConfig => {
  const isTrue = (name: string): boolean => properties.get(name)?.trim().toLowerCase() === "true"
  const keySeparator = properties.get("key.separator") ?? "\t"
  const headersDelimiter = properties.get("headers.delimiter") ?? "\t"
  const headersSeparator = properties.get("headers.separator") ?? ","
  const headersKeySeparator = properties.get("headers.key.separator") ?? ":"
  const nullMarker = properties.get("null.marker")
  const different = (a: string, left: string, b: string, right: string | undefined): void => {
    if (left === right) throw new UsageError(`${a} and ${b} may not be equal`)
  }
  different("headers.delimiter", headersDelimiter, "headers.separator", headersSeparator)
  different("headers.delimiter", headersDelimiter, "headers.key.separator", headersKeySeparator)
  different("headers.separator", headersSeparator, "headers.key.separator", headersKeySeparator)
  different("null.marker", keySeparator, "key.separator", nullMarker)
  different("null.marker", headersSeparator, "headers.separator", nullMarker)
  different("null.marker", headersDelimiter, "headers.delimiter", nullMarker)
  different("null.marker", headersKeySeparator, "headers.key.separator", nullMarker)
  let separator: RegExp
  try {
    separator = new RegExp(headersSeparator)
  } catch {
    throw new UsageError(`headers.separator is no regular expression: ${headersSeparator}`)
  }
  return {
    parseKey: isTrue("parse.key"),
    parseHeaders: isTrue("parse.headers"),
    ignoreError: isTrue("ignore.error"),
    keySeparator: bytes(keySeparator),
    headersDelimiter: bytes(headersDelimiter),
    headersSeparator: separator,
    headersKeySeparator,
    nullMarker
  }
}

const indexOf = (line: Uint8Array, separator: Uint8Array, from: number): number =>
  Buffer.from(line.buffer, line.byteOffset, line.length).indexOf(separator, from)

/** Where a part that begins at `from` ends; -1: it is not there. @throws UsageError unless errors are ignored */
const endOf = (config: LineReaderConfig, line: Uint8Array, from: number, separator: Uint8Array, name: string, lineNumber: number): number => {
  const at = indexOf(line, separator, from)
  if (at >= 0 || config.ignoreError) return at
  throw new UsageError(`No ${name} found on line number ${lineNumber}: '${decoder.decode(line)}'`)
}

const headersOf = (config: LineReaderConfig, text: string, lineNumber: number): ReadonlyArray<RecordHeader> => {
  const pairs = text.split(config.headersSeparator)
  // as Java splits: empty pairs at the end are none, where there is a separator at all
  if (pairs.length > 1) while (pairs.at(-1) === "") pairs.pop()
  return pairs.map((pair) => {
    const at = pair.indexOf(config.headersKeySeparator)
    if (at < 0) {
      if (config.ignoreError) return { key: pair, value: null }
      throw new UsageError(`No header key separator found in pair '${pair}' on line number ${lineNumber}`)
    }
    const key = pair.slice(0, at)
    if (key === config.nullMarker) {
      throw new UsageError(`Header keys should not be equal to the null marker '${key}' as they can't be null`)
    }
    const value = pair.slice(at + config.headersKeySeparator.length)
    return { key, value: value === config.nullMarker ? null : bytes(value) }
  })
}

const NO_HEADERS: ReadonlyArray<RecordHeader> = []

/** @param lineNumber from 1 @returns views on the line @throws UsageError */
export const parseLine = (config: LineReaderConfig, line: Uint8Array, lineNumber: number): LineRecord => {
  const { nullMarker } = config
  const isNull = (part: Uint8Array): boolean =>
    nullMarker !== undefined && part.length <= nullMarker.length * 3 && decoder.decode(part) === nullMarker
  let at = 0
  let headers = NO_HEADERS
  let key: Uint8Array | null = null
  if (config.parseHeaders) {
    const end = endOf(config, line, 0, config.headersDelimiter, "headers delimiter", lineNumber)
    if (end >= 0) {
      const part = line.subarray(0, end)
      if (!isNull(part)) headers = headersOf(config, decoder.decode(part), lineNumber)
      at = end + config.headersDelimiter.length
    }
  }
  if (config.parseKey) {
    const end = endOf(config, line, at, config.keySeparator, "key separator", lineNumber)
    if (end >= 0) {
      const part = line.subarray(at, end)
      if (!isNull(part)) key = part
      at = end + config.keySeparator.length
    }
  }
  const value = line.subarray(at)
  return { key, value: isNull(value) ? null : value, headers }
}

/** The longest line that is taken, in bytes: no broker takes records of that size. */
export const MAX_LINE_BYTES: number = 256 * 1024 * 1024

const LF = 10
const CR = 13

/** Cuts bytes into lines that end with a line feed, a carriage return, or both; the last needs no end. */
export class LineSplitter {
  /** Bytes of a line whose end has not come, and how many they are. */
  #pieces: Array<Uint8Array> = []
  #pending = 0
  /** A line feed that comes first belongs to the carriage return that came last. */
  #skipLineFeed = false

  /** Gives the lines that ended, as views on `chunk` where they can be. @throws UsageError for one beyond MAX_LINE_BYTES */
  push(chunk: Uint8Array, take: (line: Uint8Array) => void): void {
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let from = 0
    if (this.#skipLineFeed && chunk.length > 0) {
      this.#skipLineFeed = false
      if (chunk[0] === LF) from = 1
    }
    let lf = view.indexOf(LF, from)
    let cr = view.indexOf(CR, from)
    while (lf >= 0 || cr >= 0) {
      const atCr = cr >= 0 && (lf < 0 || cr < lf)
      const end = atCr ? cr : lf
      take(this.#join(chunk.subarray(from, end)))
      from = end + 1
      if (atCr) {
        if (from === chunk.length) this.#skipLineFeed = true
        else if (chunk[from] === LF) from += 1
      }
      if (lf >= 0 && lf < from) lf = view.indexOf(LF, from)
      if (cr >= 0 && cr < from) cr = view.indexOf(CR, from)
    }
    if (from < chunk.length) {
      this.#pieces.push(chunk.subarray(from))
      this.#pending += chunk.length - from
      if (this.#pending > MAX_LINE_BYTES) throw new UsageError(`a line is longer than ${MAX_LINE_BYTES} bytes`)
    }
  }

  /** The line that has no end; undefined: there is none. */
  end(): Uint8Array | undefined {
    return this.#pending === 0 ? undefined : this.#join(new Uint8Array(0))
  }

  #join(last: Uint8Array): Uint8Array {
    if (this.#pieces.length === 0) return last
    const line = new Uint8Array(this.#pending + last.length)
    let at = 0
    for (const piece of [...this.#pieces, last]) {
      line.set(piece, at)
      at += piece.length
    }
    this.#pieces = []
    this.#pending = 0
    return line
  }
}
