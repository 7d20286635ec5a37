import { it } from "vitest"
import { cases, laws } from "./OrderService.cases.ts"

for (const { name, run } of [...cases, ...laws]) it(name, run, 60_000)
