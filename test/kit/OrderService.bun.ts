import { test } from "bun:test"
import { cases, laws } from "./OrderService.cases.ts"

for (const { name, run } of [...cases, ...laws]) test(name, run, 60_000)
