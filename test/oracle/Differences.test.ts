import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { canonical } from "./Canonical.ts"
import { differences, isAccepted, isMessage, parseAccepted } from "./Differences.ts"
import { emptySide, type Side } from "./World.ts"

const side = (ids: ReadonlyArray<readonly [string, string]>, producerIds: Array<number> = []): Side => ({
  ...emptySide(), topicIds: new Map(ids), producerIds
})
const tree = (fields: object, of: Side) => canonical(fields, { api: "X", side: of, runStartMs: Date.now(), sections: new Set(), recompressed: new Set() })

describe("comparing answers", () => {
  it("what each broker names in its own way, and the order of named items, make no difference", () => {
    const kafka = tree({ throttleTimeMs: 0, topics: [{ name: "a", topicId: "idA" }, { name: "b", topicId: "idB" }], producerId: 1000 }, side([["a", "idA"], ["b", "idB"]], [1000]))
    const ottla = tree({ throttleTimeMs: 3, topics: [{ name: "b", topicId: "id2" }, { name: "a", topicId: "id1" }], producerId: 0 }, side([["a", "id1"], ["b", "id2"]], [0]))
    expect(differences(kafka, ottla)).toEqual([])
  })

  it("a swapped id, a missing item and another value are told with their path", () => {
    const kafka = tree({ topics: [{ name: "a", topicId: "idA", errorCode: 0 }, { name: "b", errorCode: 3 }] }, side([["a", "idA"]]))
    const ottla = tree({ topics: [{ name: "a", topicId: "idX", errorCode: 5 }] }, side([["a", "id1"]]))
    expect(differences(kafka, ottla).map(({ fields, path }) => [path, fields])).toEqual([
      [".topics[a].topicId", "topics.topicId"],
      [".topics[a].errorCode", "topics.errorCode"],
      [".topics[b]", "topics"]
    ])
  })

  it("rows of the table accept what they describe and nothing else", () => {
    const rows = parseAccepted("# x\n<!-- oracle -->\n| API | versions | field | Kafka | ottla | why |\n|---|---|---|---|---|---|\n| `Fetch` | 4-7 | `a.*` | * | `5` | because |\n")
    const difference = { path: ".a[1].b", fields: "a.b", kafka: "1", ottla: "5" }
    expect(isAccepted(rows, "Fetch", 7, difference)?.why).toBe("because")
    expect(isAccepted(rows, "Fetch", 8, difference)).toBeUndefined()
    expect(isAccepted(rows, "Produce", 7, difference)).toBeUndefined()
    expect(isAccepted(rows, "Fetch", 7, { ...difference, ottla: "55" })).toBeUndefined()
  })

  it("a field with names in brackets is that of these items alone", () => {
    const rows = parseAccepted("<!-- oracle -->\n| API | versions | field | Kafka | ottla | why |\n|---|---|---|---|---|---|\n| X | * | `topics[*].configs[a,b.c].value` | * | * | because |\n")
    const at = (name: string) => ({ path: `.topics[t].configs[${name}].value`, fields: "topics.configs.value", kafka: "1", ottla: "2" })
    expect(["a", "b.c", "c", "bxc", "a,b.c"].filter((name) => isAccepted(rows, "X", 0, at(name)) !== undefined)).toEqual(["a", "b.c"])
    expect(isAccepted(rows, "X", 0, { ...at("a"), path: ".topics[t].others[a].value" })).toBeUndefined()
  })

  it("docs/compatibility.md parses, and every row has its reason", () => {
    const rows = parseAccepted(readFileSync(new URL("../../docs/compatibility.md", import.meta.url), "utf8"))
    for (const row of rows) expect(row.why.length).toBeGreaterThan(10)
  })

  it("explanations in other words are told apart from a missing one", () => {
    expect(isMessage({ path: "", fields: "topics.errorMessage", kafka: "\"a\"", ottla: "\"b\"" })).toBe(true)
    expect(isMessage({ path: "", fields: "topics.errorMessage", kafka: "\"a\"", ottla: "null" })).toBe(false)
  })
})
