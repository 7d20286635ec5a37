import { cases, laws } from "./OrderService.cases.ts"

for (const { name, run } of [...cases, ...laws]) Deno.test(name, run)
