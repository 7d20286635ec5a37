/**
 * Runs the fuzzer of the decoders for longer than the tests do:
 * node scripts/protocol/Fuzz.ts [--seed FIRST] [--seeds COUNT] [--inputs PER_SEED]
 */
import { parseArgs } from "node:util"
import { fuzz, loadTargets } from "../../test/protocol/Fuzzer.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1000" },
    seeds: { type: "string", default: "20" },
    inputs: { type: "string", default: "100000" }
  }
})
const first = Number(values.seed)
const targets = await loadTargets()
let decoded = 0
let refused = 0
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const report = fuzz(targets, seed, Number(values.inputs))
  decoded += report.decoded
  refused += report.refused
}
console.log(`${decoded + refused} inputs from ${targets.length} targets: ${decoded} decoded, ${refused} refused`)
