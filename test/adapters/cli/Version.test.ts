import { readFileSync } from "node:fs"
import { expect, it } from "vitest"
import { version } from "../../../adapters/cli/Version.ts"

it("every manifest names the version that the program prints", () => {
  for (const manifest of ["package.json", "deno.json"]) {
    expect((JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version, manifest).toBe(version)
  }
})
