/**
 * Holds the rooms of core (ARCHITECTURE.md) apart: a module imports from its own room and from rooms of a lower rank,
 * from `effect/…` modules, and nothing else; adapters import what they translate. And holds core pure: no clock, no
 * dice and no runtime, so that the same code runs in a simulation.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"

export const ranks: Readonly<Record<string, number>> = {
  model: 0,
  ports: 1,
  protocol: 1,
  assignors: 1,
  records: 2,
  rpc: 2,
  memory: 2,
  log: 3,
  cluster: 4,
  replication: 5,
  coordinator: 6,
  groups: 7,
  transactions: 7,
  broker: 8,
  client: 8,
  streams: 9,
  connect: 9,
  testing: 10
}

/** Rooms of core that an adapter may name: what it translates, not what decides. The entry points name the broker. */
const adapterRooms: ReadonlySet<string> = new Set(["model", "ports"])
/** What wires a whole process: a command line or a public entry point. */
const isEntry = (path: string): boolean => path.startsWith("adapters/cli/") || /^adapters\/\w+\/(main|index)\.ts$/.test(path)

export interface Finding {
  readonly path: string
  readonly line: number
  readonly message: string
}

/** Blanks comments and the text of strings, keeping lines and columns, so that words in them are not taken for code. */
export const blank = (source: string): string => {
  const keepLines = (text: string) => text.replace(/[^\n]/g, " ")
  // template literals keep their `${}` parts out of sight too: core has no reason to hide a clock in one
  return source.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g,
    (match) => (/^["'`]/.test(match) ? match[0] + keepLines(match.slice(1, -1)) + match[0] : keepLines(match))
  )
}

const impure: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bDate\b/, "Date: time comes from Effect's Clock"],
  [/\bMath\s*\.\s*random\b/, "Math.random: randomness comes from Effect's Random or the Crypto port"],
  [/\bperformance\b(?!\s*:)/, "performance: time comes from Effect's Clock"],
  [/\b(setTimeout|setInterval|setImmediate)\b/, "timers come from Effect"],
  // `process` is no function: what is called so is a method of ours, as what follows a dot is a property; three dots are a spread
  [/(?<![^.]\.)\b((globalThis|Buffer|Deno|Bun|require)\s*[.[(]|process\s*[.[])/, "a runtime's global: core reaches its host through ports"],
  [/\bconsole\s*\./, "console: log through Effect"],
  [/\bimport\s*\(/, "a dynamic import hides an edge from this check"]
]

const importPattern = /\b(?:import|export)\b[^;"']*?\bfrom\s*(["'])\s*\1|\bimport\s*(["'])\s*\2/g

/** Everything one module breaks. `path` is relative to the project's root, with "/". */
export const checkModule = (path: string, source: string): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  const code = blank(source)
  const lineAt = (index: number) => code.slice(0, index).split("\n").length
  const room = path.split("/")[1]!
  const inCore = path.startsWith("core/")

  for (const match of code.matchAll(importPattern)) {
    const end = match.index + match[0].length
    const quote = match[1] ?? match[2]!
    const open = code.lastIndexOf(quote, end - 2)
    const specifier = source.slice(open + 1, end - 1)
    const report = (message: string) => findings.push({ path, line: lineAt(end), message })
    if (specifier.startsWith(".")) {
      if (!specifier.endsWith(".ts")) report(`"${specifier}": relative imports name their file with .ts`)
      const target = normalize(join(dirname(path), specifier)).replaceAll("\\", "/")
      const targetRoom = target.split("/")[1]!
      if (inCore && !target.startsWith("core/")) report(`"${specifier}" leaves core`)
      else if (inCore && path.split("/").length > 2 && target.split("/").length > 2 && targetRoom !== room) {
        const [from, to] = [ranks[room], ranks[targetRoom]]
        if (to === undefined) report(`"${specifier}": ${targetRoom} is not a room of ARCHITECTURE.md`)
        else if (from !== undefined && to >= from) report(`room ${room} (rank ${from}) imports room ${targetRoom} (rank ${to})`)
      } else if (!inCore && target.startsWith("core/") && !isEntry(path) && !adapterRooms.has(targetRoom)) {
        report(`an adapter imports room ${targetRoom}: it translates for ports and decides nothing`)
      }
    } else if (inCore && specifier === "effect") report(`import the module ("effect/Effect"), not the barrel: it slows every start`)
    else if (inCore && !specifier.startsWith("effect/")) report(`core imports "${specifier}"`)
  }
  if (inCore) {
    if (path.split("/").length > 2 && ranks[room] === undefined) findings.push({ path, line: 1, message: `${room} is not a room of ARCHITECTURE.md` })
    const lines = code.split("\n")
    for (const [index, line] of lines.entries()) {
      for (const [pattern, message] of impure) if (pattern.test(line)) findings.push({ path, line: index + 1, message })
    }
  }
  return findings
}

const modules = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
    .map((name) => join(directory, name))

/** Checks all of core and adapters under `root`. */
export const checkRooms = (root: string): { readonly modules: number; readonly findings: ReadonlyArray<Finding> } => {
  const paths = [...modules(join(root, "core")), ...modules(join(root, "adapters"))]
  const findings = paths.flatMap((path) =>
    checkModule(relative(root, path).replaceAll("\\", "/"), readFileSync(path, "utf8"))
  )
  return { modules: paths.length, findings }
}
