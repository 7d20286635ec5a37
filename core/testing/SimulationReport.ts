/** What is told of a run: a line when it went well; seed, invariant, replay line, shrunk schedule and timeline when not. */
import { showFault } from "./Faults.ts"
import type { Scenario } from "./Scenario.ts"
import type { ShrunkSimulation, SimulationFailure, SimulationResult } from "./Simulation.ts"

/** Command that replays a run with some of its faults, by their places in the seed's schedule. */
export const replayLine = (scenario: Scenario, kept: ReadonlyArray<number> | undefined, options: ReadonlyArray<string> = []): string =>
  ["npm run simulate --", `--first ${scenario.seed} --seeds 1`, ...options, ...(kept === undefined ? [] : [`--keep ${kept.length === 0 ? "none" : kept.join(",")}`])].join(" ")

/** Places in `all` of the faults that are left. */
export const placesOf = (all: Scenario, left: Scenario): ReadonlyArray<number> =>
  left.faults.map((fault) => all.faults.indexOf(fault))

const partitionIn = ({ message }: SimulationFailure): string | undefined => /\b([A-Za-z_][\w.]*-\d+)\b/.exec(message)?.[1]

const describe = ({ brokers, configs, groups, model, producers, racks, topics }: Scenario): string =>
  [
    `${brokers} brokers${racks.length === 0 ? "" : ` in racks ${racks.join()}`}, fault model ${model === "processes" ? "(a) processes" : "(b) machines"}`,
    topics.map(({ name, partitions }) => `${name} (${partitions})`).join(", "),
    `${producers.length} producers`,
    groups.map(({ assignors, members, name }) => `group ${name} of ${members} (${assignors})`).join(", "),
    `session ${configs["broker.session.timeout.ms"]} ms, lag ${configs["replica.lag.time.max.ms"]} ms`
  ].join("; ")

/** Everything that is needed to understand a failure, and to see it again. */
export const renderFailure = (
  failed: SimulationResult,
  shrunk: ShrunkSimulation | undefined,
  options: { readonly replay?: ReadonlyArray<string>; readonly lines?: number } = {}
): string => {
  const result = shrunk?.result ?? failed
  const failure = result.failure ?? failed.failure
  if (failure === undefined) return `seed ${failed.scenario.seed}: nothing broke`
  const { faults } = result.scenario
  const replay = replayLine(failed.scenario, shrunk === undefined ? undefined : placesOf(failed.scenario, result.scenario), options.replay)
  return [
    `seed ${failed.scenario.seed} broke ${failure.name} at ${(failure.atMs / 1000).toFixed(3)}s (step ${result.steps})`,
    `  ${failure.message}`,
    `replay: ${replay}`,
    `scenario: ${describe(result.scenario)}`,
    shrunk === undefined
      ? `schedule of ${faults.length} faults:`
      : `schedule, shrunk from ${failed.scenario.faults.length} to ${faults.length} faults in ${shrunk.runs} runs:`,
    ...faults.map((fault) => `  ${showFault(fault)}`),
    "timeline:",
    result.timeline.render({ last: options.lines ?? 60, partition: partitionIn(failure) })
  ].join("\n")
}
