/** Prints a line with the trace hash of each seed named on the command line: of a story, and (`s1`) of a scenario. */
import { runScenario } from "../../core/testing/Simulation.ts"
import { scenarioOf } from "../../core/testing/Scenario.ts"
import { simulate } from "../../core/testing/SimCluster.ts"
import { story, STORY_CONFIGS } from "./SimStory.ts"

for (const name of process.argv.slice(2)) {
  const hash = name.startsWith("s")
    ? (await runScenario(scenarioOf(Number(name.slice(1))))).hash
    : (await simulate({ seed: Number(name), maxSteps: 500_000, configs: STORY_CONFIGS! }, story)).hash
  console.log(`${name} ${hash}`)
}
