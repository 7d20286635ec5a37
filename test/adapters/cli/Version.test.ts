import { readFileSync } from "node:fs"
import { expect, it } from "vitest"
import { nodeProblem, OLDEST_NODE, version } from "../../../adapters/cli/Version.ts"

it("every manifest names the version that the program prints", () => {
  for (const manifest of ["package.json", "deno.json"]) {
    expect((JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version, manifest).toBe(version)
  }
})

it("a Node that is too old for the package is told which would do", () => {
  const { engines } = JSON.parse(readFileSync("package.json", "utf8")) as { engines: { node: string } }
  expect(engines.node).toBe(`>=${OLDEST_NODE.join(".")}`)
  for (const version of ["20.20.2", "22.17.1", "18.0.0"]) {
    expect(nodeProblem(version)).toBe(`this is Node ${version}, and it takes Node 22.18 or newer, Bun or Deno`)
  }
  for (const version of ["22.18.0", "22.20.0", "24.0.0", "26.10.0"]) expect(nodeProblem(version)).toBeUndefined()
})
