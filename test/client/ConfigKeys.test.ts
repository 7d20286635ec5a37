import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { FatalError } from "../../core/client/ClientError.ts"
import { checkConfig, configKeys, type ConfigOf, parseConfig, parseServers, whatItTakes } from "../../core/client/ConfigKeys.ts"

const servers = ["bootstrap.servers", "localhost:9092"] as const
const parse = (kind: keyof ConfigOf, properties: Readonly<Record<string, string>>) =>
  parseConfig(kind, [servers, ...Object.entries(properties)])
const refusal = (kind: keyof ConfigOf, properties: Readonly<Record<string, string>>): string => {
  const parsed = parse(kind, properties)
  if (!(parsed instanceof FatalError)) throw new Error(`taken: ${JSON.stringify(parsed)}`)
  expect(parsed.reason).toBe("INVALID_ARGUMENT")
  return parsed.message
}

describe("parseConfig", () => {
  it("gives each key the type it has", () => {
    expect(parse("producer", { "acks": "-1", "linger.ms": " 5 ", "enable.idempotence": "TRUE", "compression.type": "zstd" })).toEqual({
      config: { "bootstrap.servers": "localhost:9092", "acks": "-1", "linger.ms": 5, "enable.idempotence": true, "compression.type": "zstd" },
      ignored: []
    })
    expect(parse("consumer", { "group.id": "g", "max.poll.records": "10" })).toMatchObject({ config: { "group.id": "g", "max.poll.records": 10 } })
  })

  it("lets a later entry replace an earlier one", () => {
    const parsed = parseConfig("client", [servers, ["client.id", "a"], ["client.id", "b"]])
    expect(parsed).toMatchObject({ config: { "client.id": "b" } })
  })

  it("names a wrong value and what would be right", () => {
    expect(refusal("producer", { "acks": "2" })).toBe("acks is \"2\"; it takes one of all, -1, 0, 1")
    expect(refusal("producer", { "linger.ms": "soon" })).toBe("linger.ms is \"soon\"; it takes an integer of at least 0")
    expect(refusal("producer", { "linger.ms": "1.5" })).toMatch(/linger.ms/)
    expect(refusal("producer", { "enable.idempotence": "yes" })).toBe("enable.idempotence is \"yes\"; it takes true or false")
    expect(refusal("client", { "security.protocol": "SSL" })).toBe("security.protocol is \"SSL\"; it takes only PLAINTEXT here")
  })

  it("names an unknown key and what was perhaps meant, else what there is", () => {
    expect(refusal("producer", { "linger.mss": "1" })).toBe("linger.mss is no configuration of a producer: did you mean linger.ms?")
    expect(refusal("consumer", { "linger.ms": "1" })).toMatch(/^linger.ms is no configuration of a consumer: it takes allow.auto.create.topics, .*socket.connection.setup.timeout.ms$/)
    for (const name of ["toString", "__proto__", "constructor"]) {
      expect(parseConfig("client", [servers, [name, "x"]])).toBeInstanceOf(FatalError)
    }
  })

  it("tells of keys that Kafka knows and that change nothing here", () => {
    expect(parse("producer", { "key.serializer": "a.b.C", "security.protocol": "PLAINTEXT" }))
      .toMatchObject({ ignored: ["key.serializer", "security.protocol"] })
  })

  it("takes every value within a key's bounds and none beyond", () => {
    for (const kind of Object.keys(configKeys) as Array<keyof ConfigOf>) {
      for (const [name, key] of Object.entries(configKeys[kind])) {
        if (key.type !== "integer") continue
        fc.assert(fc.property(fc.integer({ min: key.min, max: Math.min(key.max, 2 ** 31) }), (value) => {
          expect(parse(kind, { [name]: String(value) })).toMatchObject({ config: { [name]: value } })
        }), { numRuns: 10 })
        expect(refusal(kind, { [name]: String(key.min - 1) })).toContain(whatItTakes(key))
      }
    }
  })

  it("needs to know where brokers are", () => {
    expect(parseConfig("client", [])).toMatchObject({ message: expect.stringMatching(/^bootstrap.servers is missing/) })
    expect(checkConfig("client", { "bootstrap.servers": " , " })).toBeInstanceOf(FatalError)
  })
})

describe("bootstrap.servers", () => {
  it("takes addresses as Kafka does", () => {
    expect(parseServers("a:1, [::1]:9092 ,PLAINTEXT://b.c-d_e:3,1.2.3.4:65535,")).toEqual([
      { host: "a", port: 1 },
      { host: "::1", port: 9092 },
      { host: "b.c-d_e", port: 3 },
      { host: "1.2.3.4", port: 65535 }
    ])
  })

  it("refuses what is none", () => {
    for (const wrong of ["", "a", "a:", ":1", "a:65536", "a:b", "a b:1", "http://a/b:1", "[a:1", "a:1;b:2"]) {
      expect(parseServers(wrong), wrong).toBeInstanceOf(FatalError)
    }
  })
})
