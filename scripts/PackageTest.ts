/**
 * `npm run test:package`: packs the npm package, installs it in an empty folder as a user would, starts the broker from
 * there with `npx ottla start`, and on Bun and Deno, gets answers, sends and reads a record with the installed client, and
 * type-checks a program that imports it. Then test/kit, a stranger's project, tests a service of its own with
 * `ottla/testing` from there, by node:test, vitest, bun test and deno test. `--only kit` does that alone.
 */
import { spawn, spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { createInterface } from "node:readline"
import { stripVTControlCharacters } from "node:util"
import { scriptOptions } from "./Usage.ts"

const { values } = scriptOptions(import.meta.url, { options: { only: { type: "string" } } })
if (values.only !== undefined && values.only !== "kit") {
  process.stderr.write("--only takes kit\n")
  process.exit(2)
}

let passed = 0
let failed = 0
const check = (name: string, ok: boolean, detail = ""): void => {
  console.log(`${ok ? "ok    " : "FAILED"} ${name}${ok || detail === "" ? "" : `\n${detail}`}`)
  if (ok) passed += 1
  else failed += 1
}

const folder = mkdtempSync(join(tmpdir(), "ottla-package-"))
const sh = (command: string, args: ReadonlyArray<string>, cwd: string) => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { cwd, encoding: "utf8" })
  return { ok: status === 0, output: `${stdout ?? ""}${stderr ?? ""}${error === undefined ? "" : String(error)}`, stdout: stdout ?? "" }
}

/** Sends ApiVersions v0 and gives the error code of the answer. */
const askApiVersions = (port: number): Promise<number> =>
  new Promise((done, fail) => {
    const socket = connect(port, "127.0.0.1", () => {
      //                            size        api 18     version 0  correlation id 7      client id null
      socket.write(Uint8Array.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]))
    })
    const parts: Array<Buffer> = []
    socket.on("data", (part: Buffer) => {
      parts.push(part)
      const all = Buffer.concat(parts)
      if (all.length < 10) return
      socket.destroy()
      if (all.readInt32BE(4) === 7) done(all.readInt16BE(8))
      else fail(new Error("the answer has another correlation id"))
    })
    socket.on("error", fail)
    socket.on("close", () => fail(new Error("closed without an answer")))
  })

/** Without Effect, as the guide to the client begins: arguments are the runtime and a broker. */
const clientProgram = `const [runtime, broker] = process.argv.slice(2)
const { connect, text } = await import("ottla/" + runtime)
await using client = await connect({ "bootstrap.servers": broker })
await client.admin().createTopics([{ name: "packaged", partitions: 3 }])
await client.producer().send({ topic: "packaged", key: "k", value: "hello" })
const consumer = client.consumer({ "group.id": "readers", "auto.offset.reset": "earliest" })
for await (const record of consumer.subscribe(["packaged"])) {
  console.log(text(record.value))
  break
}
`

/** Starts the installed program with `command` and asks it. */
const start = async (name: string, command: string, ...args: ReadonlyArray<string>): Promise<void> => {
  const broker = spawn(
    command,
    [...args, "start", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", `log.dirs=${join(folder, `data-${name.replaceAll(" ", "-")}`)}`],
    { cwd: folder, stdio: ["ignore", "pipe", "inherit"], detached: true }
  )
  const ended = new Promise<number | null>((done) => broker.on("close", done))
  const runtime = command.endsWith("bun") ? "bun" : command.endsWith("deno") ? "deno" : "node"
  const inRuntime = (file: string, ...rest: ReadonlyArray<string>) =>
    sh(runtime === "node" ? "node" : command, [...(runtime === "deno" ? ["run", "--allow-all"] : []), file, ...rest], folder)
  try {
    const lines: Array<string> = []
    let port: number | undefined
    for await (const line of createInterface({ input: broker.stdout })) {
      lines.push(line)
      const match = /listening on PLAINTEXT:\/\/127\.0\.0\.1:(\d+)/.exec(line)
      if (match === null) continue
      port = Number(match[1])
      break
    }
    check(`${name}: says where it listens`, port !== undefined, lines.join("\n"))
    if (port !== undefined) {
      const code = await askApiVersions(port).catch(String)
      check(`${name}: answers ApiVersions without an error`, code === 0, String(code))
      const client = inRuntime("client.js", runtime, `127.0.0.1:${port}`)
      check(`${name}: the installed client sends a record and a group reads it`, client.ok && client.stdout === "hello\n", client.output)
      const topics = sh(command, [...args, "topics", "--list", "--bootstrap-server", `127.0.0.1:${port}`], folder)
      check(`${name}: ottla topics lists the topic`, topics.ok && topics.stdout.split("\n").includes("packaged"), topics.output)
    }
  } finally {
    if (broker.exitCode === null) process.kill(-broker.pid!, "SIGTERM")
    await ended
  }
}

/** The example project, with the package that was installed. */
const testKit = (): void => {
  const kit = join(folder, "kit")
  cpSync("test/kit", kit, { recursive: true })
  const bin = (name: string): string => resolve("node_modules/.bin", name)
  const types = sh(bin("tsc"), ["-p", "."], kit)
  check("the example project type-checks", types.ok, types.output)
  const runners: ReadonlyArray<readonly [string, string, ReadonlyArray<string>, tests: RegExp]> = [
    ["node:test", "node", ["--test", "--test-reporter=tap", "OrderService.node.ts"], /^# pass (\d+)$/m],
    ["vitest", "node", [resolve("node_modules/vitest/vitest.mjs"), "run", "--no-color"], /Tests\s+(\d+) passed/],
    ["bun test", bin("bun"), ["test", "./OrderService.bun.ts"], /^\s*(\d+) pass$/m],
    ["deno test", bin("deno"), ["test", "--allow-all", "--no-check", "--quiet", "OrderService.deno.ts"], /(\d+) passed/]
  ]
  const counts: Array<number> = []
  for (const [name, command, args, tests] of runners) {
    const { ok, output } = sh(command, args, kit)
    const plain = stripVTControlCharacters(output)
    const count = Number(tests.exec(plain)?.[1] ?? 0)
    counts.push(count)
    check(`the example project's tests pass with ${name}: ${count}`, ok && count > 0, plain.split("\n").slice(-80).join("\n"))
  }
  check("each runner ran as many tests", new Set(counts).size === 1, counts.join())
}

try {
  const pack = sh("npm", ["pack", "--silent", "--pack-destination", folder], process.cwd())
  const tarball = pack.stdout.trim().split("\n").at(-1) ?? ""
  check("npm pack", pack.ok && tarball.endsWith(".tgz"), pack.output)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "elsewhere", private: true, type: "module" }))
  const install = sh("npm", ["install", "--no-audit", "--no-fund", `./${tarball}`], folder)
  check("npm install of the tarball in an empty folder", install.ok, install.output)

  mkdirSync(join(folder, "node_modules", "@types"), { recursive: true })
  // What the example and the compiler need beside the package, as this repository has it.
  for (const name of ["@types/node", "undici-types", "kafkajs", "vitest"]) {
    symlinkSync(resolve("node_modules", name), join(folder, "node_modules", name))
  }
  if (values.only === undefined) {
    const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { exports: Record<string, unknown> }
    const entries = Object.keys(manifest.exports).filter((name) => !name.endsWith(".json") && name !== "./bun" && name !== "./deno")
    const source = entries.map((name, i) => `import * as e${i} from "ottla${name.slice(1)}"\nif (Object.keys(e${i}).length === 0) throw new Error("${name} exports nothing")`).join("\n")
    writeFileSync(join(folder, "program.ts"), `${source}\n`)
    const types = sh(resolve("node_modules/.bin/tsc"), ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "--types", "node", "program.ts"], folder)
    check("a program that imports every entry type-checks, declarations too", types.ok, types.output)
    const runs = sh("node", ["program.ts"], folder)
    check("and runs", runs.ok, runs.output)
    writeFileSync(join(folder, "client.js"), clientProgram)
    const program = "node_modules/ottla/dist/cli/bin.js"
    await start("npx ottla start", "npx", "--no-install", "ottla")
    await start("on Bun", resolve("node_modules/.bin/bun"), program)
    await start("on Deno", resolve("node_modules/.bin/deno"), "run", "--allow-all", program)
  }
  testKit()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
