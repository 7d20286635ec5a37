/** Programs of the documents: found, run on the runtime that the tests run on, and type-checked as they stand there. */
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"

export const root: string = resolve(import.meta.dirname, "../..")
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"

/** Entries of the package, before the build. */
const entries: Readonly<Record<string, string>> = {
  "ottla": "core/index.ts",
  "ottla/client": "core/client/index.ts",
  "ottla/memory": "core/memory/index.ts",
  "ottla/testing": "core/testing/index.ts",
  "ottla/node": `adapters/${runtime}/index.ts`
}

export interface DocumentProgram {
  /** docs/client.md, program 2; docs/examples/delivery.ts */
  readonly name: string
  readonly source: string
}

/** The programs of a page: its blocks of TypeScript, in their order. */
export const programsOf = (page: string): ReadonlyArray<DocumentProgram> =>
  Array.from(
    readFileSync(join(root, page), "utf8").matchAll(/^```ts\n([^]*?)^```$/gm),
    ([, source], index) => ({ name: `${page}, program ${index + 1}`, source: source! })
  )

export const examples: ReadonlyArray<DocumentProgram> = readdirSync(join(root, "docs/examples"))
  .filter((name) => name.endsWith(".ts"))
  .sort()
  .map((name) => ({ name: `docs/examples/${name}`, source: readFileSync(join(root, "docs/examples", name), "utf8") }))

/** Its imports of the package, from the sources. */
const resolved = ({ name, source }: DocumentProgram): string =>
  source.replace(/from "(ottla[^"]*)"/g, (_, entry: string) => {
    const path = entries[entry]
    if (path === undefined) throw new Error(`${name} imports ${entry}, which is no entry`)
    return `from ${JSON.stringify(join(root, path))}`
  })

/** A directory in the repository, so that dependencies are found; removed when `use` has ended. */
const inDirectory = async <A>(use: (directory: string) => A | Promise<A>): Promise<A> => {
  const directory = mkdtempSync(join(import.meta.dirname, ".program-"))
  try {
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * Runs a program as a process of its own until it ends by itself: what it leaves open would show.
 * @returns what it printed; rejects with what it says when it fails
 */
export const run = (program: DocumentProgram): Promise<ReadonlyArray<string>> =>
  inDirectory((directory) => {
    const file = join(directory, "Program.ts")
    writeFileSync(file, resolved(program))
    return new Promise((resolve, reject) => {
      const args = runtime === "deno" ? ["run", "--allow-all", "--quiet", file] : [file]
      const child = spawn(process.execPath, args, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] })
      let printed = ""
      let complaints = ""
      child.stdout.on("data", (bytes: Buffer) => (printed += bytes.toString()))
      child.stderr.on("data", (bytes: Buffer) => (complaints += bytes.toString()))
      child.on("error", reject)
      child.on("close", (code) =>
        code === 0
          ? resolve(printed.split("\n").slice(0, -1))
          : reject(new Error(`${program.name} ended with ${code}:\n${printed}${complaints}`)))
    })
  })

/** @returns what the compiler says; "" when it finds nothing */
export const typeErrors = (programs: ReadonlyArray<DocumentProgram>): Promise<string> =>
  inDirectory((directory) => {
    for (const [index, program] of programs.entries()) {
      const file = join(directory, `${index}`, "Program.ts")
      mkdirSync(dirname(file))
      writeFileSync(file, resolved(program))
    }
    const config = {
      extends: relative(directory, join(root, "tsconfig.json")).replaceAll("\\", "/"),
      // a program exports nothing
      compilerOptions: { declaration: false, isolatedDeclarations: false, rewriteRelativeImportExtensions: false },
      include: ["*/Program.ts"],
      exclude: [join(root, "core/globals.d.ts")]
    }
    writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(config))
    const { error, status, stdout, stderr } = spawnSync("tsc", ["-p", directory, "--pretty", "false"], {
      encoding: "utf8",
      cwd: root,
      env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` }
    })
    if (error !== undefined) throw error
    const said = `${stdout}${stderr}`.replaceAll(/^\S*?(\d+)\/Program\.ts/gm, (_, index: string) => programs[Number(index)]!.name)
    return status === 0 ? "" : said
  })
