/** Prints a line with the trace hash of each seed named on the command line; driven on each runtime. */
import { simulate } from "../../core/testing/SimCluster.ts"
import { story, STORY_CONFIGS } from "./SimStory.ts"

for (const seed of process.argv.slice(2).map(Number)) {
  const { hash } = await simulate({ seed, maxSteps: 500_000, configs: STORY_CONFIGS! }, story)
  console.log(`${seed} ${hash}`)
}
