/** `ottla start`: starts a broker and stops it on a signal. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import { readFileSync } from "node:fs"
import { hostname } from "node:os"
import process from "node:process"
import { Broker, type BrokerStartError, layer as brokerLayer } from "../../core/broker/Broker.ts"
import { BrokerConfig, BrokerConfigError } from "../../core/broker/config/BrokerConfig.ts"
import { journalLayer } from "../../core/broker/Standalone.ts"
import type { MetadataStoreError } from "../../core/ports/MetadataStore.ts"
import * as Compression from "../shared/Compression.ts"
import * as Crypto from "../shared/Crypto.ts"
import type { StartCommand } from "./Arguments.ts"
import { jsonLogs, textLogs } from "./Logs.ts"
import type { Host } from "./Main.ts"
import { version } from "./Version.ts"

/** The exit code when it could not be done. */
const FAILED = 1

/** One Ctrl-C reaches the broker twice when a launcher passes on what the terminal sent to both, in milliseconds. */
const SAME_SIGNAL_MS = 300

const fail = (code: number, message: string): never => {
  process.stderr.write(`ottla: ${message}\n`)
  return process.exit(code)
}

const readProperties = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === "ENOENT") return fail(FAILED, `there is no properties file ${path}; ottla start without one takes defaults`)
    if (code === "EISDIR") return fail(FAILED, `${path} is a directory; ottla start takes a server.properties file`)
    return fail(FAILED, `the properties file cannot be read: ${message}`)
  }
}

const CHOOSE_ADDRESS = "choose an address with --override listeners=PLAINTEXT://HOST:PORT"
const CHOOSE_DIRECTORY = "choose another with --override log.dirs=PATH"

/** What the operator can do about an error of the start. */
const hintFor = (error: BrokerStartError | MetadataStoreError): string => {
  switch (error._tag) {
    case "NetworkError":
      return error.kind === "AddressInUse"
        ? "; another program listens there: stop it or choose a port with --override listeners=PLAINTEXT://:PORT"
        : `; it must be an address of this machine and a port that you may use: ${CHOOSE_ADDRESS}`
    case "MetadataStoreError":
      // at a start only the disk can be in its way
      return error.kind === "Unavailable" ? `; log.dirs must name directories that you may write to, on a disk with room: ${CHOOSE_DIRECTORY}` : ""
    case "DiskError":
      if (error.kind === "Busy") return `; another broker uses this directory: stop it or ${CHOOSE_DIRECTORY}`
      if (error.kind === "NoSpace") return "; make room on that disk and start again: nothing is lost"
      return `; log.dirs must name directories that you may write to: ${CHOOSE_DIRECTORY}`
    case "InconsistentLogDirectory":
      return `; start the broker that it belongs to, or ${CHOOSE_DIRECTORY}`
    case "UnsupportedListener":
      return ""
  }
}

const serve = (config: BrokerConfig, host: Host): Effect.Effect<never, BrokerStartError | MetadataStoreError> => {
  const ports = Layer.mergeAll(host.disk, host.network, Compression.layer, Crypto.layer)
  const live = brokerLayer(config).pipe(Layer.provide(journalLayer(config)), Layer.provide(ports))
  const running = Effect.gen(function*() {
    for (const note of config.notes) yield* Effect.logInfo(note)
    for (const warning of config.warnings) yield* Effect.logWarning(warning)
    const broker = yield* Broker
    const listeners = broker.listeners.map(({ host: address, name, port }) => `${name}://${address}:${port}`)
    yield* Effect.logInfo(`ottla ${version} on ${host.runtime}, broker ${broker.brokerId}: listening on ${listeners.join(", ")}`).pipe(
      Effect.annotateLogs({ "cluster.id": broker.clusterId, "log.dirs": config.logDirs.join(","), transfer: broker.transfer })
    )
    return yield* Effect.never
  })
  return Effect.provide(running, live)
}

/** Runs a broker; the process ends with it. */
export const start = (command: StartCommand, host: Host): void => {
  const config = BrokerConfig.load({
    ...(command.propertiesFile === undefined ? {} : { properties: readProperties(command.propertiesFile) }),
    environment: process.env,
    overrides: command.overrides,
    hostName: hostname()
  })
  if (config instanceof BrokerConfigError) return fail(FAILED, `the configuration is wrong:\n  ${config.problems.join("\n  ")}\ndocs/config.md lists every key`)

  const fiber = Effect.runFork(serve(config, host).pipe(
    Effect.provide(command.logFormat === "json" ? jsonLogs : textLogs),
    Effect.provideService(References.MinimumLogLevel, command.logLevel)
  ))
  let stoppingSince: number | undefined
  const stop = (signal: string): void => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince < SAME_SIGNAL_MS) return
      return fail(FAILED, `${signal} again: stopped without flushing; the next start recovers`)
    }
    stoppingSince = performance.now()
    Effect.runFork(Effect.provide(Effect.logInfo(`${signal}: stopping`), command.logFormat === "json" ? jsonLogs : textLogs))
    Effect.runFork(Fiber.interrupt(fiber))
  }
  process.on("SIGINT", () => stop("SIGINT"))
  process.on("SIGTERM", () => stop("SIGTERM"))
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) process.exit(0)
    const error = Cause.squash(exit.cause) as BrokerStartError | MetadataStoreError | Error
    if ("_tag" in error) fail(FAILED, `${error.message}${hintFor(error)}`)
    fail(FAILED, `this is a mistake of ottla's, please report it:\n${Cause.pretty(exit.cause)}`)
  })
}
