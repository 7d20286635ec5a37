import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { brokerConfigDefs, topicConfigDefs } from "../../../core/cluster/configs/ConfigDefs.ts"
import { descriptionOf } from "../../../core/cluster/configs/Descriptions.ts"
import { classifiedKeys, nearestKey, type Scope, supportOf } from "../../../core/cluster/configs/Support.ts"

const fileOf = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))
const scopes: ReadonlyArray<readonly [Scope, ReadonlyMap<string, unknown>]> = [
  ["topic", topicConfigDefs],
  ["broker", brokerConfigDefs]
]

describe.each(scopes)("what is done with %s keys", (scope, defs) => {
  it("is said of every key of Kafka's, and of no other", () => {
    expect([...classifiedKeys(scope)].sort()).toEqual([...defs.keys()].sort())
  })

  it("is shown, where they are honoured, by a test that is there and names the key", () => {
    const missing: Array<string> = []
    for (const key of defs.keys()) {
      const support = supportOf(scope, key)
      if (support?.status !== "honoured") continue
      const file = fileOf(support.test)
      if (!existsSync(file) || !readFileSync(file, "utf8").includes(key)) missing.push(`${key}: ${support.test}`)
    }
    expect(missing).toEqual([])
  })

  it("is described where they are honoured, for DescribeConfigs and docs/config.md", () => {
    const honoured = [...defs.keys()].filter((key) => supportOf(scope, key)?.status === "honoured")
    expect(honoured.length).toBeGreaterThan(0)
    expect(honoured.filter((key) => descriptionOf(key) === "")).toEqual([])
  })

  it("has a reason where they are not", () => {
    for (const key of defs.keys()) {
      const support = supportOf(scope, key)
      if (support !== undefined && support.status !== "honoured") expect(support.reason.length).toBeGreaterThan(5)
    }
  })
})

describe("the nearest key", () => {
  it("is one that the writer may have meant, or none", () => {
    expect(nearestKey("broker", "log.retention.hour")).toBe("log.retention.hours")
    expect(nearestKey("broker", "advertised.listener")).toBe("advertised.listeners")
    expect(nearestKey("topic", "retention")).toBe("retention.ms")
    expect(nearestKey("broker", "zookeeper.connect")).toBeUndefined()
  })
})
