#!/usr/bin/env node
/** `ottla COMMAND…` on whichever runtime runs this file. */
import process from "node:process"
import { nodeProblem } from "./Version.ts"

const globals = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown }
if (globals.Bun !== undefined) await import("../bun/main.ts")
else if (globals.Deno !== undefined) await import("../deno/main.ts")
else {
  // Before anything is loaded that an older Node has not.
  const problem = nodeProblem(process.versions.node)
  if (problem === undefined) await import("../node/main.ts")
  else {
    process.stderr.write(`ottla: ${problem}\n`)
    process.exitCode = 1
  }
}
