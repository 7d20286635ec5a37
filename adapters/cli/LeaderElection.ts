/** `ottla leader-election`: does what LeaderElectionCommand.ts reads from the command line, and prints its lines. */
import * as Effect from "effect/Effect"
import { make } from "../../core/client/Admin.ts"
import { clientConfig, type Command, DONE, FAILED, readProperties, readText, usage } from "./Command.ts"
import { electionOutcome, flags, parseLeaderElection, parsePartitions } from "./LeaderElectionCommand.ts"

export const command: Command = {
  name: "leader-election",
  usage: "--bootstrap-server HOST:PORT --election-type TYPE --all-topic-partitions | --topic NAME --partition N | --path-to-json-file FILE",
  summary: "Elects leaders of partitions, as Kafka's kafka-leader-election.",
  flags,
  run: (parsed, terminal) =>
    Effect.gen(function*() {
      const request = yield* usage(() => parseLeaderElection(parsed))
      const { file } = request
      const partitions = file === undefined ? request.partitions : yield* usage(() => parsePartitions(readText(file)))
      const properties = new Map(yield* usage(() => readProperties(request.commandConfig)))
      const { config, warnings } = yield* usage(() =>
        clientConfig("admin", properties.set("bootstrap.servers", request.bootstrapServer))
      )
      for (const warning of warnings) yield* terminal.err(warning, "yellow")
      const admin = yield* make(config)
      const { failure, lines } = electionOutcome(request.type, yield* admin.electLeaders(request.type, partitions))
      if (lines.length > 0) yield* terminal.out(`${lines.join("\n")}\n`)
      if (failure === undefined) return DONE
      yield* terminal.err(failure, "red")
      return FAILED
    })
}
