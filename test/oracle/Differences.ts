/** Where two canonical answers differ, and which of that docs/compatibility.md accepts. */
import type { Tree } from "./Canonical.ts"

export interface Difference {
  /** With the names of list items: `.responses[t].partitions[0].errorCode`. */
  readonly path: string
  /** Fields alone: `responses.partitions.errorCode`. */
  readonly fields: string
  readonly kafka: string
  readonly ottla: string
}

const isMap = (value: Tree | undefined): value is { readonly [key: string]: Tree } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const show = (value: Tree | undefined): string => value === undefined ? "(nothing)" : JSON.stringify(value)

const walk = (a: Tree | undefined, b: Tree | undefined, path: string, found: Array<Difference>): void => {
  if (isMap(a) && isMap(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      walk(a[key], b[key], key.startsWith("[") ? `${path}${key}` : `${path}.${key}`, found)
    }
    return
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    // how many batches an answer carries is up to the broker, as long as it is one when there is one
    if (path.endsWith(".records.batches") && a.length !== b.length && a.length > 0 && b.length > 0) {
      found.push({ path: `${path}.length`, fields: fieldsOf(`${path}.length`), kafka: `${a.length}`, ottla: `${b.length}` })
      const common = Math.min(a.length, b.length)
      return walk(a.slice(0, common), b.slice(0, common), path, found)
    }
    for (let i = 0; i < Math.max(a.length, b.length); i++) walk(a[i] as Tree | undefined, b[i] as Tree | undefined, `${path}[${i}]`, found)
    return
  }
  // an empty list and a list of named items meet as [] and a map
  if (Array.isArray(a) && a.length === 0 && isMap(b)) return walk({}, b, path, found)
  if (Array.isArray(b) && b.length === 0 && isMap(a)) return walk(a, {}, path, found)
  if (a !== b) found.push({ path, fields: fieldsOf(path), kafka: show(a), ottla: show(b) })
}

const fieldsOf = (path: string): string => path.replace(/\[[^\]]*\](#\d+)?/g, "").replace(/^\./, "")

export const differences = (kafka: Tree, ottla: Tree): ReadonlyArray<Difference> => {
  const found: Array<Difference> = []
  walk(kafka, ottla, "", found)
  return found
}

/** Both sides explain in words of their own: a difference of words alone is listed, not counted. */
export const isMessage = (difference: Difference): boolean =>
  /message$/i.test(difference.fields) && difference.kafka.startsWith("\"") && difference.ottla.startsWith("\"")

// -- what is accepted -------------------------------------------------------------------------------------------

/**
 * A row of the table in docs/compatibility.md. `*` stands for anything in each of its patterns. A field with brackets is
 * that of some items of a list, by their names: `configs[a,b].value`, all by `[*]`; without them it is that of every item.
 */
export interface Accepted {
  readonly api: string
  readonly versions: string
  readonly fields: string
  readonly kafka: string
  readonly ottla: string
  readonly why: string
}

/** Rows of the table under the line `<!-- oracle -->`: six cells each, backticks around patterns are left out. */
export const parseAccepted = (markdown: string): ReadonlyArray<Accepted> => {
  const lines = markdown.slice(Math.max(0, markdown.indexOf("<!-- oracle -->"))).split("\n")
  const first = lines.findIndex((line) => line.startsWith("|"))
  const end = lines.findIndex((line, at) => at > first && !line.startsWith("|"))
  return lines.slice(first, end).slice(2).map((line) => {
    const cells = line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replace(/^`(.*)`$/, "$1").replace(/\\\|/g, "|"))
    const [api = "", versions = "", fields = "", kafka = "", ottla = "", why = ""] = cells
    if (cells.length !== 6 || why === "") throw new RangeError(`docs/compatibility.md: a row needs six cells: ${line}`)
    return { api, versions, fields, kafka, ottla, why }
  })
}

const matches = (pattern: string, text: string): boolean =>
  pattern === "*" || new RegExp(`^${pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "s").test(text)

/** Names with commas between stand for each of them. */
const fieldsMatch = (pattern: string, { fields, path }: Difference): boolean => {
  if (!pattern.includes("[")) return matches(pattern, fields)
  const names = /\[([^\]]*,[^\]]*)\]/.exec(pattern)
  if (names === null) return matches(pattern, path.replace(/^\./, ""))
  return names[1]!.split(",").some((name) => fieldsMatch(pattern.replace(names[0], `[${name}]`), { fields, path, kafka: "", ottla: "" }))
}

const inVersions = (versions: string, version: number): boolean => {
  if (versions === "*") return true
  const [low = "0", high = low] = versions.split("-")
  return version >= Number(low) && version <= Number(high === "" ? 999 : high)
}

export const isAccepted = (rows: ReadonlyArray<Accepted>, api: string, version: number, difference: Difference): Accepted | undefined =>
  rows.find((row) =>
    matches(row.api, api) && inVersions(row.versions, version) && fieldsMatch(row.fields, difference) &&
    matches(row.kafka, difference.kafka) && matches(row.ottla, difference.ottla)
  )
