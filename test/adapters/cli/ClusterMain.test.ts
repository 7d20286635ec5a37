/** `ottla start --brokers` and `ottla cluster`, as programs of their own on this runtime. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import process from "node:process"
import { afterEach, beforeEach, expect, it } from "vitest"

const root = resolve(import.meta.dirname, "../../..")
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"
const args = runtime === "deno" ? ["run", "--allow-all", "adapters/deno/main.ts"] : [`adapters/${runtime}/main.ts`]
const TIMEOUT_MS = 60_000

let directory: string
const children = new Set<ChildProcess>()
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ottla-cluster-"))
})
afterEach(() => {
  for (const child of children) if (child.pid !== undefined && child.exitCode === null) process.kill(child.pid, "SIGKILL")
  children.clear()
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
})

interface Program {
  readonly pid: number
  readonly output: () => string
  readonly ended: Promise<number | null>
  /** Done when it has printed that; rejects when it ends before. */
  readonly says: (text: string) => Promise<void>
}

const ottla = (...parameters: ReadonlyArray<string>): Program => {
  const child = spawn(process.execPath, [...args, ...parameters], { cwd: root })
  children.add(child)
  let output = ""
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes: Buffer) => {
      output += bytes.toString()
      for (const look of waiting) look()
    })
  }
  const ended = new Promise<number | null>((done) => child.on("close", (code) => {
    children.delete(child)
    done(code)
  }))
  return {
    pid: child.pid!,
    output: () => output,
    ended,
    says: (text) =>
      new Promise((done, fail) => {
        const look = (): void => {
          if (!output.includes(text)) return
          waiting.delete(look)
          done()
        }
        waiting.add(look)
        look()
        void ended.then((code) => fail(new Error(`ended with ${code} before it said "${text}":\n${output}`)))
      })
  }
}

const startCluster = async (...more: ReadonlyArray<string>): Promise<Program> => {
  const overrides = ["listeners=PLAINTEXT://127.0.0.1:0", `log.dirs=${directory}`, "broker.session.timeout.ms=2000", ...more]
  const program = ottla("start", "--brokers", "3", ...overrides.flatMap((one) => ["--override", one]))
  await program.says("3 brokers are one cluster")
  return program
}

const cluster = async (...words: ReadonlyArray<string>): Promise<{ readonly code: number | null; readonly output: string }> => {
  const program = ottla("cluster", ...words, "--log-dirs", directory)
  return { code: await program.ended, output: program.output() }
}

/** Status by broker. */
const statuses = async (): Promise<ReadonlyArray<string>> => {
  const { output } = await cluster("describe", "--json")
  return (JSON.parse(output) as { readonly brokers: ReadonlyArray<{ readonly status: string }> }).brokers.map(({ status }) => status)
}

it("three brokers say where they listen, one is killed and returns, SIGTERM stops all in order", async () => {
  const program = await startCluster()
  const ports = [...program.output().matchAll(/broker (\d): listening on PLAINTEXT:\/\/127\.0\.0\.1:(\d+)/g)]
  expect(ports.map(([, id]) => id)).toEqual(["1", "2", "3"])
  expect(new Set(ports.map(([, , port]) => port)).size).toBe(3)
  expect(program.output()).toContain(`bootstrap.servers=${ports.map(([, , port]) => `127.0.0.1:${port}`).join()}`)

  expect(await cluster("kill", "2")).toEqual({ code: 0, output: "Broker 2 is killed.\n" })
  expect(await statuses()).toEqual(["running", "killed", "running"])
  const table = await cluster("describe")
  expect(table.output).toMatch(/^Cluster ID: \S{22}\tController: [123]\t/)
  expect(table.output).toMatch(new RegExp(`\n2 +killed.* PLAINTEXT://127.0.0.1:${ports[1]![2]} `))
  expect(await cluster("kill", "2")).toEqual({ code: 1, output: "ottla: broker 2 is killed, only one that is running can be killed\n" })
  expect(await cluster("start", "2")).toEqual({ code: 0, output: "Broker 2 is started.\n" })
  expect(await statuses()).toEqual(["running", "running", "running"])
  // on the port that it had
  expect(program.output().match(new RegExp(`broker 2: listening on PLAINTEXT://127.0.0.1:${ports[1]![2]} `, "g"))).toHaveLength(2)

  const refused = ottla("start", "--brokers", "3", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", `log.dirs=${directory}`)
  expect(await refused.ended).toBe(1)
  expect(refused.output()).toContain("another broker uses this directory")

  process.kill(program.pid, "SIGTERM")
  expect(await program.ended).toBe(0)
  const gone = await cluster("describe")
  expect(gone.code).toBe(1)
  expect(gone.output).toContain(`no cluster runs in ${directory}`)
}, TIMEOUT_MS)

it("starts again in the same directory after kill -9, with its locks and its socket left behind", async () => {
  const first = await startCluster()
  const [, id] = /cluster\.id=(\S+)/.exec(first.output())!
  process.kill(first.pid, "SIGKILL")
  await first.ended
  const second = await startCluster()
  expect(second.output()).toContain(`cluster.id=${id}`)
  expect(await statuses()).toEqual(["running", "running", "running"])
  process.kill(second.pid, "SIGTERM")
  expect(await second.ended).toBe(0)
}, TIMEOUT_MS)

it("what does not go together is refused with what would", async () => {
  const refusal = async (...parameters: ReadonlyArray<string>): Promise<string> => {
    const program = ottla("start", ...parameters)
    expect(await program.ended).toBeGreaterThan(0)
    expect(program.output()).toMatch(/^ottla: /)
    expect(program.output()).not.toMatch(/\n\s+at /)
    return program.output()
  }
  expect(await refusal("--brokers", "none")).toContain(`--brokers takes how many brokers there shall be, 1 to 32, not "none"`)
  expect(await refusal("--brokers", "99")).toContain("1 to 32, not \"99\"")
  expect(await refusal("--brokers", "3", "--override", "node.id=2")).toContain("node.id=2 cannot be used for several brokers: their ids are 1 to 3; leave it out")
}, TIMEOUT_MS)
