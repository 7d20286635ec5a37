import { describe, expect, it } from "vitest"
import { checkModule, checkRooms } from "../../scripts/check/Rooms.ts"

const messages = (path: string, source: string) => checkModule(path, source).map((f) => `${f.line}: ${f.message}`)

describe("the check of rooms and purity", () => {
  it("sees the project's modules and finds nothing", () => {
    const { findings, modules } = checkRooms(process.cwd())
    expect(modules).toBeGreaterThan(20)
    expect(findings).toEqual([])
  })

  it("refuses imports that point up, sideways, out of core or at a host", () => {
    expect(messages("core/log/A.ts", `import { a } from "../broker/B.ts"`)).toHaveLength(1)
    expect(messages("core/groups/A.ts", `import { a } from "../transactions/B.ts"`)).toHaveLength(1)
    expect(messages("core/log/A.ts", `\nexport * from "../../adapters/node/B.ts"`)).toEqual([`2: "../../adapters/node/B.ts" leaves core`])
    expect(messages("core/log/A.ts", `import "node:fs"`)).toHaveLength(1)
    expect(messages("core/log/A.ts", `import * as fs from 'node:fs'`)).toHaveLength(1)
    expect(messages("core/log/A.ts", `import {\n  Effect\n} from "effect"`)).toHaveLength(1)
    expect(messages("core/log/A.ts", `import { a } from "./B"`)).toHaveLength(1)
    expect(messages("core/elsewhere/A.ts", ``)).toHaveLength(1)
    expect(messages("adapters/node/A.ts", `import { a } from "../../core/log/B.ts"`)).toHaveLength(1)
  })

  it("refuses clocks, dice and globals of a runtime in core, and nothing that only looks like one", () => {
    for (const line of ["Date.now()", "new Date()", "Math.random()", "setTimeout(f, 1)", "console.log(1)", "process.exit()", "Deno.open()", "f(...process.argv)", "const a = [...Bun.argv]", "globalThis.x", "await import(x)"]) {
      expect(messages("core/log/A.ts", line), line).toHaveLength(1)
      expect(messages("adapters/node/A.ts", line), line).toEqual([])
    }
    expect(messages("core/log/A.ts", "const a = step.process(record)\nconst b = step?.process.name\nconst c = { process(x) { return x } }")).toEqual([])
    expect(messages("core/log/A.ts", `// Date.now()\n/* Math.random() */ const a = "Date" + 'process.x'\nconst updated = 1`)).toEqual([])
  })

  it("allows what points down", () => {
    expect(messages("core/broker/A.ts", `import { a } from "../log/B.ts"\nimport * as Effect from "effect/Effect"`)).toEqual([])
    expect(messages("adapters/node/main.ts", `import { a } from "../../core/broker/B.ts"`)).toEqual([])
  })
})
