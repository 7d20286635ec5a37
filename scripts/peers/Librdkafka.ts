/**
 * librdkafka's own tests: its source ships in the npm package @confluentinc/kafka-javascript, which is fetched without
 * being installed, and built once. Needs a C and C++ compiler, make and Python; Debian's packages are installed when we
 * may.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { installKafka } from "./Kafka.ts"
import { cacheDirectory, isInstalled, type Peer, PeerError, removeDirectory, run, runOrThrow, type RunResult, temporaryDirectory } from "./Processes.ts"

const PACKAGE = "@confluentinc/kafka-javascript@1.10.1"
const INTEGRITY = "KVePUBn21EqCVP9mfxzEuM3SYJHHEF7X+iiC2e43QQgDSyEaksInmCGooT3w5q+cNAdkSCrK71j0ICfqoSqZLw=="
export const LIBRDKAFKA_VERSION = "2.15.1"

const debianPackages = ["g++", "make", "python3-minimal", "zlib1g-dev", "libssl-dev", "rapidjson-dev"]

const hasHeader = async (header: string): Promise<boolean> =>
  (await run("g++", ["-x", "c++", "-E", "-o", "/dev/null", "-"], { input: `#include <${header}>\n` })).code === 0

const installCompilers = async (): Promise<void> => {
  const missing = ["g++", "make", "python3"].filter((name) => !isInstalled(name))
  if (missing.length === 0 && await hasHeader("openssl/ssl.h") && await hasHeader("rapidjson/document.h") && await hasHeader("zlib.h")) return
  if (process.getuid?.() !== 0 || !isInstalled("apt-get")) throw new PeerError(`librdkafka's tests need (Debian): ${debianPackages.join(" ")}`)
  await runOrThrow("apt-get", ["update", "-qq"], { timeoutMs: 300_000 })
  await runOrThrow("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...debianPackages], { timeoutMs: 600_000, env: { DEBIAN_FRONTEND: "noninteractive" } })
}

let built: Promise<string> | undefined

const build = async (): Promise<string> => {
  const home = cacheDirectory(`librdkafka-${LIBRDKAFKA_VERSION}`)
  const source = join(home, "package", "deps", "librdkafka")
  const complete = join(home, ".complete")
  if (existsSync(complete)) return source
  await installCompilers()
  rmSync(join(home, "package"), { recursive: true, force: true })
  const packed = await runOrThrow("npm", ["pack", PACKAGE, "--silent", "--pack-destination", home], { timeoutMs: 300_000 })
  const archive = join(home, packed.stdout.trim().split("\n").at(-1) ?? "")
  const digest = createHash("sha512").update(readFileSync(archive)).digest("base64")
  if (digest !== INTEGRITY) throw new PeerError(`${PACKAGE} is not what it was: sha512 ${digest}`)
  await runOrThrow("tar", ["-xzf", archive, "-C", home, "package/deps/librdkafka"])
  const jobs = `-j${availableParallelism()}`
  await runOrThrow("./configure", ["--disable-gssapi", "--disable-curl"], { cwd: source, timeoutMs: 300_000 })
  await runOrThrow("make", [jobs, "libs"], { cwd: source, timeoutMs: 1_200_000 })
  await runOrThrow("make", [jobs, "-C", "tests", "build"], { cwd: source, timeoutMs: 1_200_000 })
  writeFileSync(complete, "")
  return source
}

/** Some tests run Kafka's `kafka-topics.sh` themselves. */
const kafkaHome = async (directory: string): Promise<string> => {
  const jars = await installKafka()
  mkdirSync(join(directory, "bin"), { recursive: true })
  writeFileSync(join(directory, "bin", "kafka-topics.sh"), [
    "#!/bin/sh",
    `exec java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '${jars}/*' org.apache.kafka.tools.TopicCommand "$@"`,
    ""
  ].join("\n"), { mode: 0o755 })
  return directory
}

/** Runs one test, or one part of it, to its end. The runner's exit code says whether it passed; what it says is in `stdout`. */
export const librdkafkaTest = async (peer: Peer, number: string, part: string | undefined, timeoutMs: number): Promise<RunResult> => {
  const source = await (built ??= build())
  const directory = temporaryDirectory("librdkafka")
  const tests = join(directory, "tests")
  mkdirSync(tests)
  // one test reads the schema of the statistics where it is beside a checkout's tests
  symlinkSync(join(source, "src"), join(directory, "src"))
  const conf = join(directory, "test.conf")
  writeFileSync(conf, [
    `bootstrap.servers=${peer.bootstrap}`,
    "broker.address.family=v4",
    "test.topic.random=true",
    `test.topic.prefix=t${number}`,
    "test.timeout.multiplier=3",
    ""
  ].join("\n"))
  try {
    const log = join(directory, "log")
    // the library and its test plugins are found by LD_LIBRARY_PATH; a shell joins both outputs; -L: no mock clusters
    const result = await run("sh", ["-c", `exec "$0" -p1 -L 2>&1`, join(source, "tests", "test-runner")], {
      cwd: tests,
      timeoutMs,
      outputFile: log,
      env: {
        LD_LIBRARY_PATH: `${join(source, "src")}:${join(source, "src-cpp")}:${join(source, "tests")}`,
        RDKAFKA_TEST_CONF: conf,
        TEST_KAFKA_VERSION: "4.3.1",
        TESTS: number,
        KAFKA_PATH: await kafkaHome(join(directory, "kafka")),
        BROKERS: peer.bootstrap,
        ...(part === undefined ? {} : { SUBTESTS: part })
      }
    })
    // oxlint-disable-next-line no-control-regex
    return { ...result, stdout: readFileSync(log, "utf8").replace(/\x1b\[[0-9;]*m|\x1b\(B/g, "") }
  } finally {
    removeDirectory(directory)
  }
}

/** Fetches and builds before the first test. */
export const installLibrdkafka = async (): Promise<void> => void await (built ??= build())
