/**
 * Starts `main.ts` from a checkout. Plain JavaScript, so that Node finds main.ts too in its compile cache and does
 * not load the type stripper for it, which stays in memory (13 MB).
 */
import { enableCompileCache } from "node:module"

enableCompileCache()
await import("./main.ts")
