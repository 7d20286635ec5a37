/** docs/benchmarks/<what>.md, .json and .svg: medians and ratios. */
import { mkdirSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"
import { repository } from "../../scripts/peers/Processes.ts"
import type { Metrics } from "./Measure.ts"

export interface Row {
  readonly name: string
  /** Medians per contestant; the first is what the others are compared with. */
  readonly results: ReadonlyArray<{ readonly contestant: string; readonly metrics: Metrics }>
}

export interface Bench {
  readonly what: string
  readonly title: string
  readonly about: string
  /** Metrics in the table, the first two of them in the plot. */
  readonly metrics: ReadonlyArray<string>
  readonly rows: ReadonlyArray<Row>
  readonly rounds: number
  /** Markdown behind the table. */
  readonly notes?: string
}

const number = (value: number): string => value >= 1000 ? value.toFixed(0) : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

/** Ratio to the first contestant. */
const ratioOf = (row: Row, index: number, metric: string): number | undefined => {
  const [base, other] = [row.results[0]?.metrics[metric], row.results[index]?.metrics[metric]]
  return base === undefined || other === undefined || base === 0 ? undefined : other / base
}

const table = (bench: Bench): string => {
  const contestants = bench.rows[0]?.results.map(({ contestant }) => contestant) ?? []
  const heads = bench.metrics.flatMap((metric) => contestants.map((contestant, i) => i === 0 ? `${metric} ${contestant}` : `${contestant} (ratio)`))
  const lines = bench.rows.map((row) => {
    const cells = bench.metrics.flatMap((metric) =>
      row.results.map(({ metrics }, i) => {
        const value = metrics[metric]
        if (value === undefined) return ""
        const ratio = ratioOf(row, i, metric)
        return i === 0 || ratio === undefined ? number(value) : `${number(value)} (**${ratio.toFixed(2)}**)`
      })
    )
    return `| ${row.name} | ${cells.join(" | ")} |`
  })
  return [`| | ${heads.join(" | ")} |`, `|---|${heads.map(() => "---:").join("|")}|`, ...lines].join("\n")
}

const escape = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;")

/** Bars of the ratios to the first contestant, a line at 1. Logarithmic: half and double are equally far from it. */
const plot = (bench: Bench): string => {
  const bars = bench.rows.flatMap((row) =>
    row.results.slice(1).flatMap(({ contestant }, i) =>
      bench.metrics.slice(0, 2).flatMap((metric, m) => {
        const ratio = ratioOf(row, i + 1, metric)
        return ratio === undefined ? [] : [{ label: `${row.name}${row.results.length > 2 ? ` · ${contestant}` : ""}`, metric, m, ratio }]
      })
    )
  )
  const [labelWidth, width, rowHeight, top] = [330, 420, 16, 44]
  const extent = Math.max(2, ...bars.map(({ ratio }) => Math.max(ratio, 1 / ratio)))
  const x = (ratio: number): number => labelWidth + width / 2 + (Math.log(ratio) / Math.log(extent)) * (width / 2)
  const colours = ["#3b6ea8", "#c07a2c"]
  const shapes = bars.map(({ label, m, ratio }, i) => {
    const y = top + i * rowHeight
    const [from, to] = [Math.min(x(1), x(ratio)), Math.max(x(1), x(ratio))]
    return `<text x="${labelWidth - 8}" y="${y + 11}" text-anchor="end">${m === 0 ? escape(label) : ""}</text>` +
      `<rect x="${from.toFixed(1)}" y="${y + 2}" width="${Math.max(1, to - from).toFixed(1)}" height="${rowHeight - 4}" fill="${colours[m]}"/>` +
      `<text x="${(ratio >= 1 ? to + 4 : from - 4).toFixed(1)}" y="${y + 11}" text-anchor="${ratio >= 1 ? "start" : "end"}">${ratio.toFixed(2)}</text>`
  })
  const height = top + bars.length * rowHeight + 10
  const legend = bench.metrics.slice(0, 2).map((metric, m) =>
    `<rect x="${labelWidth + m * 180}" y="24" width="10" height="10" fill="${colours[m]}"/><text x="${labelWidth + 14 + m * 180}" y="33">${escape(metric)}</text>`
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${labelWidth + width + 50}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="8" y="16" font-size="13">${escape(bench.title)}: ratio to ${escape(bench.rows[0]?.results[0]?.contestant ?? "")} (logarithmic)</text>`,
    ...legend,
    ...shapes,
    `<line x1="${x(1)}" y1="${top - 4}" x2="${x(1)}" y2="${height - 6}" stroke="#444"/>`,
    "</svg>"
  ].join("\n")
}

export const writeReport = (bench: Bench): string => {
  const directory = join(repository, "docs", "benchmarks")
  mkdirSync(directory, { recursive: true })
  const file = (extension: string): string => join(directory, `${bench.what}.${extension}`)
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? "?"}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB; client and brokers share them`
  const text = [
    `# ${bench.title}`,
    bench.about,
    "",
    `Medians of ${bench.rounds} alternating rounds; in brackets the ratio to the first. Machine: ${machine}. Made by \`npm run bench -- ${bench.what}\`. Compare ratios, not numbers.`,
    "",
    `![ratios](${bench.what}.svg)`,
    "",
    table(bench),
    ...bench.notes === undefined ? [] : ["", bench.notes],
    ""
  ].join("\n")
  writeFileSync(file("md"), text)
  writeFileSync(file("svg"), `${plot(bench)}\n`)
  writeFileSync(file("json"), `${JSON.stringify({ what: bench.what, rounds: bench.rounds, machine, rows: bench.rows }, null, 2)}\n`)
  return text
}
