import { expect, it } from "vitest"

it("the suite runs on the runtime that was asked for", () => {
  const here = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"
  expect(here).toBe(process.env["OTTLA_TEST_RUNTIME"] ?? here)
})
