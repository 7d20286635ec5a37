/** Prints a line with the trace hash of each seed's scenario, shortened; driven on each runtime. */
import { scenarioOf } from "../../core/testing/Scenario.ts"
import { runScenario } from "../../core/testing/Simulation.ts"

for (const seed of process.argv.slice(2).map(Number)) {
  const { failure, hash } = await runScenario(scenarioOf(seed, { durationMs: 8000 }))
  console.log(`${seed} ${hash} ${failure?.name ?? "passed"}`)
}
