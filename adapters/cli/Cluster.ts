/** Runs `ottla cluster`: asks the process that runs the brokers, and prints its answer. */
import * as Effect from "effect/Effect"
import process from "node:process"
import { askControl } from "./ClusterControl.ts"
import { help, parseCluster, showCluster, showDone } from "./ClusterCommand.ts"
import { UsageError } from "./Options.ts"

const DEFAULT_LOG_DIRS = "./data"

/** The first of the directories: the control channel is there. */
const controlled = (logDirs: string | undefined): string => {
  const given = logDirs ?? process.env["KAFKA_LOG_DIRS"] ?? process.env["KAFKA_LOG_DIR"] ?? DEFAULT_LOG_DIRS
  return given.split(",")[0]!.trim()
}

/** @returns what to print @throws UsageError, NoCluster, or an Error with the cluster's own refusal */
const cluster = async (args: ReadonlyArray<string>): Promise<string> => {
  const command = parseCluster(args)
  if (command === "Help") return help
  const { json, logDirs, request } = command
  const answer = await Effect.runPromise(askControl(controlled(logDirs), request))
  if (!answer.ok) throw new Error(answer.error)
  if (json) return `${JSON.stringify(answer.cluster)}\n`
  return request.command === "describe" ? showCluster(answer.cluster) : showDone(request)
}

/** The process ends with it. */
export const runCluster = async (args: ReadonlyArray<string>): Promise<void> => {
  try {
    const text = await cluster(args)
    process.stdout.write(text, () => process.exit(0))
  } catch (error) {
    const hint = error instanceof UsageError ? "\nottla cluster --help shows what there is" : ""
    process.stderr.write(`ottla: ${(error as Error).message}${hint}\n`, () => process.exit(1))
  }
}
