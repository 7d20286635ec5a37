/** Runs one of the commands that are clients; loads only that one. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import process from "node:process"
import * as Compression from "../shared/Compression.ts"
import * as Crypto from "../shared/Crypto.ts"
import { type Command, FAILED, runCommand } from "./Command.ts"
import { errorLogs } from "./Logs.ts"
import type { Host } from "./Main.ts"
import type { CommandName, EndpointWord } from "./Names.ts"
import { tellingNetwork } from "./TellingNetwork.ts"
import { processTerminal } from "./Terminal.ts"

/** Some are the first word behind `ottla cluster`. */
export type ToolName = Exclude<CommandName, "cluster" | "start" | "storage"> | EndpointWord

const endpoints = async (word: EndpointWord): Promise<{ readonly command: Command }> => ({
  command: (await import("./Endpoints.ts")).endpointsCommand(word)
})

const tools: Readonly<Record<ToolName, () => Promise<{ readonly command: Command }>>> = {
  topics: () => import("./Topics.ts"),
  "console-producer": () => import("./ConsoleProducer.ts"),
  "console-consumer": () => import("./ConsoleConsumer.ts"),
  "consumer-groups": () => import("./ConsumerGroups.ts"),
  "reassign-partitions": () => import("./ReassignPartitions.ts"),
  "leader-election": () => import("./LeaderElection.ts"),
  "cluster-id": () => endpoints("cluster-id"),
  "list-endpoints": () => endpoints("list-endpoints"),
  unregister: () => endpoints("unregister")
}

/** What a shell sees of a program that a signal ended: 128 and the signal's number, as it sees of Kafka's tools. */
const INTERRUPTED: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143 }

/** Runs the command; the process ends with it. A signal interrupts it: it closes its client first. */
export const runTool = async (name: ToolName, args: ReadonlyArray<string>, host: Host): Promise<void> => {
  const terminal = processTerminal()
  const { command } = await tools[name]()
  const ports = Layer.mergeAll(tellingNetwork(host.network, terminal), Compression.layer, Crypto.layer)
  const fiber = Effect.runFork(runCommand(command, args, ports, terminal).pipe(
    Effect.provide(errorLogs),
    Effect.provideService(References.MinimumLogLevel, "Warn")
  ))
  let ending: number | undefined
  for (const [signal, code] of Object.entries(INTERRUPTED)) {
    process.on(signal, () => {
      // the second one says that nobody wants to wait
      if (ending !== undefined) process.exit(code)
      ending = code
      Effect.runFork(Fiber.interrupt(fiber))
    })
  }
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit)) return process.exit(ending ?? exit.value)
    if (Cause.hasInterruptsOnly(exit.cause)) return process.exit(ending ?? FAILED)
    process.stderr.write(`ottla: this is a mistake of ottla's, please report it:\n${Cause.pretty(exit.cause)}\n`)
    return process.exit(FAILED)
  })
}
