/**
 * Kafka's checkpoint files: text, one fact a line.
 *
 *   0                      version
 *   2                      lines that follow
 *   <line>                 leader-epoch-checkpoint: EPOCH START_OFFSET
 *   <line>                 *-offset-checkpoint: TOPIC PARTITION OFFSET
 */

/** What the lines say, or undefined for a file that isn't whole: a machine's crash may leave one. */
const parseLines = <A>(text: string, parse: (fields: ReadonlyArray<string>) => A | undefined): ReadonlyArray<A> | undefined => {
  const lines = text.split("\n")
  if (lines[0]?.trim() !== "0") return undefined
  const count = Number(lines[1])
  if (lines[1]?.trim() === "" || !Number.isSafeInteger(count) || count < 0) return undefined
  // Each line ends: a last one that does not may have lost digits.
  if (lines.length < count + 3) return undefined
  const parsed: Array<A> = []
  for (let i = 0; i < count; i++) {
    const value = parse(lines[i + 2]!.trim().split(/\s+/))
    if (value === undefined) return undefined
    parsed.push(value)
  }
  return parsed
}

const integer = (text: string | undefined): number | undefined => {
  const value = Number(text)
  return text === undefined || text === "" || !Number.isSafeInteger(value) ? undefined : value
}

export interface EpochEntry {
  readonly epoch: number
  readonly startOffset: number
}

export const parseEpochs = (text: string): ReadonlyArray<EpochEntry> | undefined =>
  parseLines(text, (fields) => {
    const epoch = integer(fields[0])
    const startOffset = integer(fields[1])
    return fields.length !== 2 || epoch === undefined || startOffset === undefined ? undefined : { epoch, startOffset }
  })

export const showEpochs = (entries: ReadonlyArray<EpochEntry>): string =>
  ["0", entries.length, ...entries.map(({ epoch, startOffset }) => `${epoch} ${startOffset}`), ""].join("\n")

/** Offsets by `topic-partition`. */
export type OffsetCheckpoint = ReadonlyMap<string, number>

export const parseOffsets = (text: string): OffsetCheckpoint | undefined => {
  const entries = parseLines(text, (fields): readonly [string, number] | undefined => {
    const partition = integer(fields[1])
    const offset = integer(fields[2])
    if (fields.length !== 3 || partition === undefined || offset === undefined) return undefined
    return [`${fields[0]}-${partition}`, offset]
  })
  return entries === undefined ? undefined : new Map(entries)
}

export interface PartitionOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export const showOffsets = (offsets: ReadonlyArray<PartitionOffset>): string =>
  [
    "0",
    offsets.length,
    ...offsets.map(({ offset, partition, topic }) => `${topic} ${partition} ${offset}`),
    ""
  ].join("\n")

/** partition.metadata: `version: 0` and `topic_id: ` with Kafka's base64url id. */
export const showPartitionMetadata = (topicId: string): string => `version: 0\ntopic_id: ${topicId}`

/** Undefined for a file that isn't whole. */
export const parsePartitionMetadata = (text: string): string | undefined =>
  /^version:\s*0\s+topic_id:\s*([A-Za-z0-9_-]{22})\s*$/.exec(text)?.[1]
