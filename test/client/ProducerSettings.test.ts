import { describe, expect, it } from "@effect/vitest"
import type { ProducerConfig } from "../../core/client/Producer.ts"
import { producerSettings, type ProducerSettings } from "../../core/client/ProducerSettings.ts"

const of = (config: Partial<ProducerConfig>): ProducerSettings => {
  const settings = producerSettings({ "bootstrap.servers": "h:1", ...config })
  if (settings instanceof Error) throw settings
  return settings
}
const refused = (config: Partial<ProducerConfig>): string => {
  const settings = producerSettings({ "bootstrap.servers": "h:1", ...config })
  if (!(settings instanceof Error)) throw new Error("accepted")
  return settings.message
}

describe("A producer's configuration", () => {
  it("has Kafka 4.3's defaults", () => {
    expect(of({})).toMatchObject({
      acks: -1, isIdempotent: true, lingerMs: 5, batchBytes: 16_384, bufferBytes: 33_554_432, maxBlockMs: 60_000,
      deliveryTimeoutMs: 120_000, retries: 2_147_483_647, maxInFlight: 5, maxRequestBytes: 1_048_576, requestTimeoutMs: 30_000,
      retryBackoff: { initialMs: 100, maxMs: 1000 }, codec: 0, adaptive: true, ignoreKeys: false
    })
  })

  it("gives up idempotence that was not asked for where something rules it out, and refuses where it was", () => {
    const rulesOut: ReadonlyArray<Partial<ProducerConfig>> = [
      { acks: "1" }, { acks: "0" }, { retries: 0 }, { "max.in.flight.requests.per.connection": 6 }
    ]
    for (const config of rulesOut) {
      expect(of(config).isIdempotent).toBe(false)
      expect(refused({ ...config, "enable.idempotence": true })).toContain("enable.idempotence needs")
    }
    expect(of({ acks: "-1" }).isIdempotent).toBe(true)
    expect(of({ "enable.idempotence": false }).isIdempotent).toBe(false)
  })

  it("raises delivery.timeout.ms to what linger and one request take, unless it was said", () => {
    expect(of({ "request.timeout.ms": 200_000 }).deliveryTimeoutMs).toBe(200_005)
    expect(refused({ "delivery.timeout.ms": 30_000 })).toContain("30005")
  })

  it("says which key is wrong and what it takes", () => {
    expect(refused({ "linger.ms": -1 })).toBe("linger.ms is -1; it takes an integer of at least 0")
    expect(refused({ "batch.records": 0.5 })).toContain("batch.records is 0.5")
    expect(refused({ acks: "2" as "1" })).toContain("it takes one of all, -1, 0, 1")
    expect(refused({ "linger": 5 } as Partial<ProducerConfig>)).toContain("linger is no configuration of a producer")
    expect(refused({ "compression.type": "lzma" as "none" })).toContain("none, gzip, snappy, lz4, zstd")
  })
})
