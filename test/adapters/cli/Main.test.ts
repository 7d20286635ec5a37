/** What a person reads who got something wrong: the program itself, run on this runtime. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import process from "node:process"
import { afterAll, beforeAll, expect, it } from "vitest"

const root = resolve(import.meta.dirname, "../../..")
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"
const args = runtime === "deno" ? ["run", "--allow-all", "adapters/deno/main.ts"] : [`adapters/${runtime}/main.ts`]

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ottla-main-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

interface Ended {
  readonly code: number | null
  readonly output: string
}

// process.kill, not child.kill: Deno then says the exit code, and not the signal that was sent
/** Runs `ottla` to its end; `onOutput` sees all that it has printed so far. */
const ottla = (parameters: ReadonlyArray<string>, onOutput?: (output: string, signal: (name: NodeJS.Signals) => void) => void): Promise<Ended> =>
  new Promise((done, fail) => {
    const child = spawn(process.execPath, [...args, ...parameters], { cwd: root })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes: Buffer) => {
        output += bytes.toString()
        onOutput?.(output, (name) => process.kill(child.pid!, name))
      })
    }
    child.on("error", fail)
    child.on("close", (code) => done({ code, output }))
  })

const override = (...pairs: ReadonlyArray<string>): ReadonlyArray<string> => pairs.flatMap((pair) => ["--override", pair])
const anyPort = "listeners=PLAINTEXT://127.0.0.1:0"

const expectRefusal = ({ code, output }: Ended, expectedCode: number, ...says: ReadonlyArray<string>): void => {
  expect(output).toMatch(/^ottla: /)
  for (const part of says) expect(output).toContain(part)
  expect(output).not.toMatch(/\n\s+at /)
  expect(code).toBe(expectedCode)
}

it("wrong command lines", async () => {
  expectRefusal(await ottla(["start", "--foo"]), 2, "--foo", "--override", "ottla start --help")
  expectRefusal(await ottla(["strt"]), 2, "strt", "start")
  expectRefusal(await ottla(["start", "--override", "foo"]), 2, "key=value")
})

it("commands by Kafka's names, with help of their own", async () => {
  const overview = await ottla(["--help"])
  for (const name of ["start", "topics", "console-producer", "console-consumer", "consumer-groups", "storage"]) expect(overview.output).toContain(`\n  ${name} `)
  expect(overview.code).toBe(0)
  const help = await ottla(["bin/kafka-topics.sh", "--help"])
  expect(help.output).toContain("usage: ottla topics ")
  expect(help.code).toBe(0)
  const wrong = await ottla(["kafka-consumer-groups", "--lst"])
  expect(wrong.output).toMatch(/^lst is not a recognized option\nknown flags: .*--list/)
  expect(wrong.code).toBe(1)
})

it("properties that cannot be read, values that are wrong", async () => {
  expectRefusal(await ottla(["start", join(directory, "none.properties")]), 1, "no properties file", "none.properties")
  expectRefusal(await ottla(["start", directory]), 1, "is a directory")
  expectRefusal(await ottla(["start", ...override("num.partitions=many", "log.retention.ms=long")]), 1, "num.partitions", "log.retention.ms", "docs/config.md")
})

it("an address and directories that cannot be used", async () => {
  const server = createServer()
  const port = await new Promise<number>((done) => {
    server.listen(0, "127.0.0.1", () => done((server.address() as { port: number }).port))
  })
  try {
    expectRefusal(await ottla(["start", ...override(`listeners=PLAINTEXT://127.0.0.1:${port}`, `log.dirs=${directory}/a`)]), 1, String(port), "--override listeners=")
  } finally {
    server.close()
  }
  writeFileSync(join(directory, "file"), "")
  expectRefusal(await ottla(["start", ...override(anyPort, `log.dirs=${directory}/file`)]), 1, "log.dirs", "--override log.dirs=")
})

it("a directory that is in use; one Ctrl-C that arrives twice stops in order", async () => {
  let second: Promise<Ended> | undefined
  const first = await ottla(["start", ...override(anyPort, `log.dirs=${directory}/used`)], (output, signal) => {
    if (!output.includes("listening on") || second !== undefined) return
    second = ottla(["start", ...override(anyPort, `log.dirs=${directory}/used`)])
    void second.finally(() => {
      signal("SIGINT")
      signal("SIGINT")
    })
  })
  expectRefusal(await second!, 1, "another broker uses this directory", "--override log.dirs=")
  expect(first.output).toContain("SIGINT: stopping")
  expect(first.code).toBe(0)
})
