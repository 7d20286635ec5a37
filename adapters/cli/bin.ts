#!/usr/bin/env node
/** `ottla COMMAND…` on whichever runtime runs this file. */
const globals = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown }
if (globals.Bun !== undefined) await import("../bun/main.ts")
else if (globals.Deno !== undefined) await import("../deno/main.ts")
else await import("../node/main.ts")
