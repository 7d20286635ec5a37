import { test } from "node:test"
import { cases, laws } from "./OrderService.cases.ts"

for (const { name, run } of [...cases, ...laws]) test(name, run)
