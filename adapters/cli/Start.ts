/** `ottla start`: starts a broker, or several that are one cluster, and stops them on a signal. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import { readFileSync } from "node:fs"
import { hostname } from "node:os"
import process from "node:process"
import { Broker as BrokerService, type Broker, layer as brokerLayer } from "../../core/broker/Broker.ts"
import { BrokerConfig, BrokerConfigError, type ConfigSource } from "../../core/broker/config/BrokerConfig.ts"
import { type ClusterConfig, loadCluster } from "../../core/broker/config/ClusterConfig.ts"
import { type ClusterRefusal, type ClusterStartError as StartError, type LocalCluster, make as makeCluster } from "../../core/broker/LocalCluster.ts"
import { journalLayer } from "../../core/broker/Standalone.ts"
import type { Compression as CompressionPort } from "../../core/ports/Compression.ts"
import type { Crypto as CryptoPort } from "../../core/ports/Crypto.ts"
import type { Disk } from "../../core/ports/Disk.ts"
import type { Network } from "../../core/ports/Network.ts"
import * as Compression from "../shared/Compression.ts"
import * as Crypto from "../shared/Crypto.ts"
import type { StartCommand } from "./Arguments.ts"
import { type ControlAnswer, type ControlRequest, serveControl } from "./ClusterControl.ts"
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
const hintFor = (error: StartError | BrokerHalted): string => {
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
      return `; every broker and every cluster has directories of its own: ${CHOOSE_DIRECTORY}`
    case "BrokerHalted":
      return "; see to the disk and start again: the next start recovers"
    case "UnsupportedListener":
      return ""
  }
}

const ready = (broker: Broker, logDirs: ReadonlyArray<string>, host: Host): Effect.Effect<void> => {
  const listeners = broker.listeners.map(({ host: address, name, port }) => `${name}://${address}:${port}`)
  return Effect.logInfo(`ottla ${version} on ${host.runtime}, broker ${broker.brokerId}: listening on ${listeners.join(", ")}`).pipe(
    Effect.annotateLogs({ "cluster.id": broker.clusterId, "log.dirs": logDirs.join(","), transfer: broker.transfer })
  )
}

const tellConfig = ({ notes, warnings }: BrokerConfig | ClusterConfig): Effect.Effect<void> =>
  Effect.andThen(
    Effect.forEach(notes, (note) => Effect.logInfo(note), { discard: true }),
    Effect.forEach(warnings, (warning) => Effect.logWarning(warning), { discard: true })
  )

const portsOf = (host: Host): Layer.Layer<Disk | Network | CompressionPort | CryptoPort> =>
  Layer.mergeAll(host.disk, host.network, Compression.layer, Crypto.layer)

/** A broker alone gave itself up: so does the process, as Kafka's. */
class BrokerHalted extends Error {
  readonly _tag = "BrokerHalted"
}

const serve = (config: BrokerConfig, host: Host): Effect.Effect<never, StartError | BrokerHalted> => {
  const live = brokerLayer(config).pipe(Layer.provide(journalLayer(config)), Layer.provide(portsOf(host)))
  const running = Effect.gen(function*() {
    yield* tellConfig(config)
    const broker = yield* BrokerService
    yield* ready(broker, config.logDirs, host)
    return yield* Effect.flatMap(broker.halted, (reason) => Effect.fail(new BrokerHalted(reason)))
  })
  return Effect.provide(running, live)
}

/** Does what `ottla cluster` asks for. */
const control = (cluster: LocalCluster, config: ClusterConfig, host: Host) => (request: ControlRequest): Effect.Effect<ControlAnswer> => {
  const done = Effect.sync((): ControlAnswer => ({ ok: true, cluster: cluster.describe() }))
  const carryOut = (): Effect.Effect<void, ClusterRefusal | StartError> => {
    switch (request.command) {
      case "describe":
        return Effect.void
      case "kill":
        return Effect.andThen(
          cluster.kill(request.broker, request.session === undefined ? {} : { session: request.session }),
          Effect.logInfo(`broker ${request.broker}: killed`)
        )
      case "stop":
        return Effect.andThen(cluster.stop(request.broker), Effect.logInfo(`broker ${request.broker}: stopped`))
      case "start":
        return Effect.flatMap(cluster.start(request.broker), (broker) => ready(broker, config.broker(request.broker).logDirs, host))
    }
  }
  return Effect.matchEffect(carryOut(), {
    onFailure: (error) => Effect.succeed<ControlAnswer>({ ok: false, error: error._tag === "ClusterRefusal" ? error.message : `${error.message}${hintFor(error)}` }),
    onSuccess: () => done
  })
}

const serveCluster = (config: ClusterConfig, host: Host): Effect.Effect<never, StartError> =>
  Effect.gen(function*() {
    yield* tellConfig(config)
    const cluster = yield* makeCluster(config)
    const context = yield* Effect.context<never>()
    const answer = control(cluster, config, host)
    yield* serveControl(config.logDirs[0]!, (request) => Effect.provideContext(answer(request), context))
    const brokers = cluster.running()
    for (const broker of brokers) yield* ready(broker, config.broker(broker.brokerId).logDirs, host)
    const bootstrap = brokers.map(({ advertised: [first] }) => `${first!.host}:${first!.port}`).join(",")
    yield* Effect.logInfo(`${brokers.length} brokers are one cluster: bootstrap.servers=${bootstrap}; ottla cluster --help says how to kill one and start it again`)
    return yield* Effect.never
  }).pipe(Effect.scoped, Effect.provide(portsOf(host)))

/** Runs a broker or several; the process ends with it. */
export const start = (command: StartCommand, host: Host): void => {
  const source: ConfigSource = {
    ...(command.propertiesFile === undefined ? {} : { properties: readProperties(command.propertiesFile) }),
    environment: process.env,
    overrides: command.overrides,
    hostName: hostname()
  }
  const config = command.brokers === undefined ? BrokerConfig.load(source) : loadCluster(source, command.brokers)
  if (config instanceof BrokerConfigError) return fail(FAILED, `the configuration is wrong:\n  ${config.problems.join("\n  ")}\ndocs/config.md lists every key`)

  const fiber = Effect.runFork((config._tag === "BrokerConfig" ? serve(config, host) : serveCluster(config, host)).pipe(
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
    const error = Cause.squash(exit.cause) as StartError | BrokerHalted | Error
    if ("_tag" in error) fail(FAILED, `${error.message}${hintFor(error)}`)
    fail(FAILED, `this is a mistake of ottla's, please report it:\n${Cause.pretty(exit.cause)}`)
  })
}
