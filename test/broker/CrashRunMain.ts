/** Prints `seed hash` of the seeds given: what a runtime made of them. */
import process from "node:process"
import { crashRun } from "./CrashRun.ts"

for (const seed of process.argv.slice(2)) console.log(`${seed} ${(await crashRun(Number(seed))).hash}`)
