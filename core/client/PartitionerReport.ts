/**
 * How evenly partitioners spread records and how many keys move when partitions are added: measured on made-up records
 * from a seed (as the laws), told as text and drawn as SVG. `scripts/PartitionerReport.ts` runs it.
 */
import type { Partitioner } from "./Partitioner.ts"
import { recordOf, RECORDS_SEED, seeded, TrialProducer, TRIAL_OPTIONS, trialKeys, trialTopic } from "./PartitionerTrial.ts"

export interface PartitionerReportOptions {
  /** Default 12. */
  readonly partitions?: number
  /** How many different keys, and how many batches of records without a key; default 2,000 for each partition. */
  readonly keys?: number
  /** Partition counts that `partitions` grows to; default one more, half as many again and twice as many. */
  readonly grownTo?: ReadonlyArray<number>
  readonly seed?: number
}

/** Keys that moved when the topic grew, as shares of all keys. */
export interface KeyMovement {
  readonly from: number
  readonly to: number
  readonly moved: number
  /** What the new partitions have to get for an even spread: no partitioner that spreads moves fewer. */
  readonly least: number
}

export interface PartitionerMeasures {
  readonly name: string
  /** By partition: 1 is its fair share of the different keys. */
  readonly keyShares: ReadonlyArray<number>
  /** By partition: 1 is its fair share of the bytes of records without a key. */
  readonly keylessShares: ReadonlyArray<number>
  /** Empty for a partitioner that does not place by key. */
  readonly movements: ReadonlyArray<KeyMovement>
}

/** A bar for each partition up to so many; of more, a bar for each of so many groups, emptiest first. */
const MAX_BARS = 48

const sharesOf = (weights: ReadonlyArray<number>): Array<number> => {
  const fair = weights.reduce((sum, weight) => sum + weight, 0) / weights.length
  return weights.map((weight) => weight / fair)
}

export const measurePartitioner = (
  partitioner: Partitioner,
  options: PartitionerReportOptions = {}
): PartitionerMeasures => {
  const { partitions = 12, seed = 1 } = options
  const { grownTo = [partitions + 1, Math.ceil(partitions * 1.5), partitions * 2], keys: keyCount = 2000 * partitions } = options
  const keys = trialKeys(keyCount, seed)
  const place = (of: ReadonlyArray<Uint8Array>, count: number): Array<number> => {
    const producer = new TrialProducer(partitioner, seed)
    const topic = trialTopic(count)
    return of.map((key) => producer.send(recordOf(key), topic, 100))
  }
  const placed = place(keys, partitions)
  const keyCounts = new Array<number>(partitions).fill(0)
  for (const partition of placed) keyCounts[partition]!++

  const random = seeded(seed + RECORDS_SEED)
  const topic = trialTopic(partitions)
  const producer = new TrialProducer(partitioner, seed)
  const bytes = new Array<number>(partitions).fill(0)
  for (let sent = 0; sent < keyCount * TRIAL_OPTIONS.batchSizeBytes;) {
    const sizeBytes = 50 + Math.floor(random() * 300)
    bytes[producer.send(recordOf(null), topic, sizeBytes)]! += sizeBytes
    sent += sizeBytes
  }
  // who goes by the key does not mind the order
  const backwards = place(keys.toReversed(), partitions).reverse()
  const keyed = placed.every((partition, at) => partition === backwards[at])
  const movements = (keyed ? grownTo : []).map((to): KeyMovement => {
    const now = place(keys, to)
    const moved = now.filter((partition, at) => partition !== placed[at]).length / keyCount
    return { from: partitions, to, moved, least: (to - partitions) / to }
  })
  return { name: partitioner.name, keyShares: sharesOf(keyCounts), keylessShares: sharesOf(bytes), movements }
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** Mean deviation from the fair share: 0 for an even spread. */
const skewOf = (shares: ReadonlyArray<number>): number =>
  Math.sqrt(shares.reduce((sum, share) => sum + (share - 1) ** 2, 0) / shares.length)

const barsOf = (shares: ReadonlyArray<number>): ReadonlyArray<{ readonly label: string; readonly share: number }> => {
  if (shares.length <= MAX_BARS) return shares.map((share, partition) => ({ label: String(partition), share }))
  const sorted = shares.toSorted((a, b) => a - b)
  return Array.from({ length: MAX_BARS }, (_, group) => {
    const members = sorted.slice(
      Math.floor((group * sorted.length) / MAX_BARS),
      Math.floor(((group + 1) * sorted.length) / MAX_BARS)
    )
    return { label: `~${group}`, share: members.reduce((sum, share) => sum + share, 0) / members.length }
  })
}

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join("  ").trimEnd())
    .join("\n")
}

/** Bars of 24 characters for a fair share. */
const textBars = (title: string, shares: ReadonlyArray<number>): string => {
  const bars = barsOf(shares)
  const width = Math.max(...bars.map(({ label }) => label.length))
  const lines = bars.map(({ label, share }) => `  ${label.padStart(width)} ${"#".repeat(Math.min(60, Math.round(share * 24)))} ${percent(share)}`)
  return [`  ${title}`, ...lines].join("\n")
}

/** A table of all, then bars for each. ASCII; lines of up to 80 characters for the bars. */
export const partitionerText = (all: ReadonlyArray<PartitionerMeasures>): string => {
  const head = ["partitioner", "keys: skew", "emptiest", "fullest", "no key: skew", "emptiest", "fullest"]
  const growths = all.find(({ movements }) => movements.length > 0)?.movements ?? []
  const rows = all.map(({ keyShares, keylessShares, movements, name }) => [
    name,
    ...[keyShares, keylessShares].flatMap((shares) => [percent(skewOf(shares)), percent(Math.min(...shares)), percent(Math.max(...shares))]),
    ...growths.map((_, at) => (movements[at] === undefined ? "-" : percent(movements[at].moved)))
  ])
  const least = ["(an even spread)", ...Array.from({ length: 6 }, (_, at) => (at % 3 === 0 ? "0.0 %" : "100.0 %")),
    ...growths.map((movement) => percent(movement.least))]
  const bars = all.map(({ keyShares, keylessShares, name }) =>
    [name, textBars("different keys, of a fair share", keyShares), textBars("bytes without a key, of a fair share", keylessShares)].join("\n")
  )
  return [table([[...head, ...growths.map(({ from, to }) => `moved ${from}->${to}`)], ...rows, least]), ...bars].join("\n\n") + "\n"
}

const escape = (text: string): string => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)

const PANEL = { width: 900, height: 150, bars: 300, top: 34, plot: 90 } as const

const svgBars = (x: number, title: string, shares: ReadonlyArray<number>): string => {
  const bars = barsOf(shares)
  const step = PANEL.bars / bars.length
  const top = Math.max(1.25, ...bars.map(({ share }) => share))
  const bottom = PANEL.top + PANEL.plot
  const rects = bars.map(({ label, share }, at) => {
    const height = (share / top) * PANEL.plot
    return `<rect x="${(x + at * step).toFixed(1)}" y="${(bottom - height).toFixed(1)}" width="${(step * 0.8).toFixed(1)}" height="${height.toFixed(1)}"><title>partition ${label}: ${percent(share)}</title></rect>`
  })
  const fair = (bottom - PANEL.plot / top).toFixed(1)
  return `<text x="${x}" y="${PANEL.top - 6}" class="small">${escape(title)}: skew ${percent(skewOf(shares))}</text>` +
    `<g class="bars">${rects.join("")}</g>` +
    `<line x1="${x}" x2="${x + PANEL.bars}" y1="${fair}" y2="${fair}" class="fair"/>`
}

const svgMoves = (x: number, movements: ReadonlyArray<KeyMovement>): string =>
  `<text x="${x}" y="${PANEL.top - 6}" class="small">${movements.length === 0 ? "not placed by key" : "keys that move (dark: must)"}</text>` +
  movements.map(({ from, least, moved, to }, at) => {
    const y = PANEL.top + at * 28
    return `<rect x="${x}" y="${y}" width="${(moved * 180).toFixed(1)}" height="14" class="moved"/>` +
      `<rect x="${x}" y="${y}" width="${(Math.min(moved, least) * 180).toFixed(1)}" height="14" class="least"/>` +
      `<text x="${x}" y="${y + 24}" class="small">${from} to ${to} partitions: ${percent(moved)}</text>`
  }).join("")

/** One picture, a row for each partitioner: keys, records without a key, movement. The line is the fair share. */
export const partitionerSvg = (all: ReadonlyArray<PartitionerMeasures>): string => {
  const rows = all.map(({ keyShares, keylessShares, movements, name }, at) =>
    `<g transform="translate(0 ${at * PANEL.height})"><text x="10" y="15" class="name">${escape(name)}</text>` +
    `${svgBars(10, "different keys", keyShares)}${svgBars(340, "bytes without a key", keylessShares)}${svgMoves(680, movements)}</g>`
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL.width} ${Math.max(1, all.length) * PANEL.height}" font-family="sans-serif">
<style>.name{font-size:14px;font-weight:bold}.small{font-size:11px}.bars{fill:#4a7ebb}.fair{stroke:#c0392b;stroke-dasharray:4 3}.moved{fill:#9bbce0}.least{fill:#2c5282}</style>
<rect width="100%" height="100%" fill="#fff"/>
${rows.join("\n")}
</svg>
`
}
