/** Times, durations and files of `--reset-offsets`, as Kafka reads them. */
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import type { PartitionOffset } from "../../core/client/Consumer.ts"
import { parseDuration as parseIsoDuration } from "../../core/client/OffsetReset.ts"

/** A value of `--reset-offsets` makes no sense; told as the command's failure. */
export class ResetError extends Error {
  readonly _tag = "ResetError"
}

const DATETIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{1,3})(Z|[+-]\d\d(?::?\d\d)?)$/

/** `YYYY-MM-DDTHH:mm:SS.sss` with or without an offset, UTC without. @returns ms since 1970 @throws ResetError */
export const parseDatetime = (text: string): number => {
  if (!text.includes("T")) {
    throw new ResetError("java.text.ParseException: Error parsing timestamp. It does not contain a 'T' according to ISO8601 format")
  }
  const zoned = /[Z+-]/.test(text.slice(text.indexOf("T"))) ? text : `${text}Z`
  const wrong = (): ResetError => new ResetError(`java.text.ParseException: Unparseable date: "${zoned}"`)
  const match = DATETIME.exec(zoned)
  if (match === null) throw wrong()
  const [year, month, day, hour, minute, second, ms] = match.slice(1, 8).map(Number) as [number, number, number, number, number, number, number]
  const time = new Date(Date.UTC(year, month - 1, day, hour, minute, second, ms))
  // a day that its month has not
  const exists = time.getUTCFullYear() === year && time.getUTCMonth() === month - 1 && time.getUTCDate() === day &&
    hour < 24 && minute < 60 && second < 60
  if (!exists) throw wrong()
  const zone = match[8]!
  if (zone === "Z") return time.getTime()
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(3).replace(":", ""))]
  const offsetMs = (hours * 60 + minutes) * 60_000
  return time.getTime() - (zone.startsWith("-") ? -offsetMs : offsetMs)
}

/** `PnDTnHnMn.nS`, each part with a sign of its own if need be. @returns ms @throws ResetError */
export const parseDuration = (text: string): number => {
  const ms = parseIsoDuration(text)
  if (ms === undefined) throw new ResetError("Text cannot be parsed to a Duration")
  return ms
}

/** Cells of a line of CSV; a cell in quotes may hold commas, and quotes twice. */
const cellsOf = (line: string): ReadonlyArray<string> => {
  const cells: Array<string> = []
  const pattern = /(?:"((?:[^"]|"")*)"|([^,]*))(,|$)/y
  for (let more = true; more;) {
    const match = pattern.exec(line)
    if (match === null) return []
    cells.push(match[1]?.replaceAll("\"\"", "\"") ?? match[2] ?? "")
    more = match[3] === ","
  }
  return cells
}

const numberOf = (cell: string | undefined): number | undefined => {
  const text = cell?.trim() ?? ""
  return /^[+-]?\d+$/.test(text) ? Number(text) : undefined
}

/**
 * The plan of a file: `topic,partition,offset` in each line, for the only group that is asked for; or with the group
 * before them.
 * @throws ResetError naming the line
 */
export const parsePlan = (csv: string, groups: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<PartitionOffset>> => {
  const plan = new Map<string, Map<string, PartitionOffset>>()
  for (const [index, line] of csv.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue
    const cells = cellsOf(line).map((cell) => cell.trim())
    const [only] = groups
    const withGroup = cells.length === 3 && groups.length === 1 ? [only!, ...cells] : cells
    const [group = "", topic = ""] = withGroup
    const [partition, offset] = [numberOf(withGroup[2]), numberOf(withGroup[3])]
    if (withGroup.length !== 4 || partition === undefined || offset === undefined) {
      throw new ResetError(`line ${index + 1} of the file is neither "topic,partition,offset" nor "group,topic,partition,offset": ${line}`)
    }
    const offsets = plan.get(group) ?? new Map<string, PartitionOffset>()
    plan.set(group, offsets.set(`${topic}-${partition}`, { topic, partition, offset }))
  }
  return new Map([...plan].map(([group, offsets]) => [group, [...offsets.values()]]))
}

export interface Range {
  readonly start: number
  readonly end: number
}

/** Offsets within their partitions; the ones that were not are told of. */
export const clamp = (
  wanted: ReadonlyArray<PartitionOffset>,
  rangeOf: (partition: TopicPartition) => Range
): { readonly offsets: ReadonlyArray<PartitionOffset>; readonly warnings: ReadonlyArray<string> } => {
  const warnings: Array<string> = []
  const offsets = wanted.map((one) => {
    const { end, start } = rangeOf(one)
    const offset = one.offset > end ? end : one.offset < start ? start : one.offset
    if (offset !== one.offset) {
      const side = offset === end && one.offset > end ? "higher than latest" : "lower than earliest"
      warnings.push(`New offset (${one.offset}) is ${side} offset for topic partition ${one.topic}-${one.partition}. Value will be set to ${offset}`)
    }
    return { topic: one.topic, partition: one.partition, offset }
  })
  return { offsets, warnings }
}
