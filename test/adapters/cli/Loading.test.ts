/** What a command loads: a broker starts without a client, a client without a broker. */
import { readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { expect, it } from "vitest"

/** All modules that one imports statically, itself too; types cost nothing. */
const loaded = (entry: string): ReadonlySet<string> => {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    const source = readFileSync(path, "utf8")
    for (const [, keyword, specifier] of source.matchAll(/^(import type|import|export type|export)\b[^;"']*?\bfrom "(\.[^"]+)"/gm)) {
      if (!keyword!.endsWith("type")) visit(normalize(join(dirname(path), specifier!)))
    }
  }
  visit(entry)
  return seen
}

const under = (modules: ReadonlySet<string>, folder: string): ReadonlyArray<string> => [...modules].filter((path) => path.startsWith(folder)).sort()

it("a broker starts without a client", () => {
  const modules = loaded("adapters/cli/Start.ts")
  expect(modules.size).toBeGreaterThan(100)
  expect(under(modules, "core/client/")).toEqual([])
})

it("a client's command starts without a broker, a log and the other commands", () => {
  const own = { Topics: "Admin", ConsoleProducer: "Producer", ConsoleConsumer: "Consumer", ConsumerGroups: "Admin" }
  for (const [command, client] of Object.entries(own)) {
    const modules = loaded(`adapters/cli/${command}.ts`)
    expect([...modules], command).toContain(`core/client/${client}.ts`)
    expect(under(modules, "core/broker/"), command).toEqual(["core/broker/config/Properties.ts"])
    for (const room of ["log", "cluster", "replication", "coordinator", "groups"]) expect(under(modules, `core/${room}/`), command).toEqual([])
    for (const other of Object.keys(own)) if (other !== command) expect([...modules], command).not.toContain(`adapters/cli/${other}.ts`)
  }
})

it("asking a cluster needs neither a client nor a broker", () => {
  const modules = loaded("adapters/cli/Cluster.ts")
  expect([...modules]).toContain("adapters/cli/ClusterControl.ts")
  expect(under(modules, "core/")).toEqual(["core/broker/config/Listeners.ts"])
})

it("finding the command loads neither", () => {
  const modules = loaded("adapters/cli/Main.ts")
  expect(under(modules, "core/")).toEqual([])
  expect(modules.size).toBeLessThan(10)
})
