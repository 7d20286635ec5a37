import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { parseFlags } from "../../../adapters/cli/Options.ts"
import { flags, parseProducerCommand } from "../../../adapters/cli/ProducerCommand.ts"

const parse = (...args: ReadonlyArray<string>) =>
  parseProducerCommand(parseFlags(flags, ["--bootstrap-server", "b:1", "--topic", "t", ...args]))

let directory: string
const file = (name: string, text: string): string => {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ottla-producer-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

describe("the command line of kafka-console-producer", () => {
  it("has the defaults of Kafka 4.3.1's tool, which are not the producer's", () => {
    expect(parse()).toMatchObject({
      topic: "t",
      sync: false,
      config: {
        "bootstrap.servers": "b:1",
        "client.id": "console-producer",
        "acks": "-1",
        "linger.ms": 1000,
        "batch.size": 16384,
        "retries": 3,
        "retry.backoff.ms": 100,
        "request.timeout.ms": 1500,
        "max.block.ms": 60000,
        "buffer.memory": 33554432,
        "metadata.max.age.ms": 300000,
        "compression.type": "none"
      },
      warnings: []
    })
  })

  it("lets a flag win over a property, a property over a file, and all over a default", () => {
    const path = file("producer.properties", "linger.ms=7\nbatch.size=9\nclient.id=mine\n")
    const { config } = parse("--command-config", path, "--command-property", "linger.ms=8", "--command-property", "acks=1", "--batch-size", "10")
    expect(config).toMatchObject({ "linger.ms": 8, "batch.size": 10, "client.id": "mine", "acks": "1" })
    expect(parse("--producer-property", "acks=0").config.acks).toBe("0")
    expect(parse("--command-property", "acks=0", "--request-required-acks", "1").config.acks).toBe("1")
  })

  it("compresses by gzip where no codec is named", () => {
    expect(parse("--compression-codec", "--sync")).toMatchObject({ sync: true, config: { "compression.type": "gzip" } })
    expect(parse("--compression-codec", "zstd").config["compression.type"]).toBe("zstd")
    expect(parse("--command-property", "compression.type=lz4").config["compression.type"]).toBe("lz4")
    expect(() => parse("--compression-codec", "zst")).toThrow(/compression\.type.*zst.*snappy/)
  })

  it("takes reader properties from a file and from flags, the older one with a warning", () => {
    const path = file("reader.properties", "parse.key=true\nkey.separator=:\n")
    expect(parse("--reader-config", path, "--reader-property", "ignore.error=true").reader).toMatchObject({ parseKey: true, ignoreError: true })
    expect(parseFlags(flags, ["--property", "a=b"]).warnings).toEqual([expect.stringContaining("--reader-property")])
  })

  it("says what is missing or unknown", () => {
    expect(() => parseProducerCommand(parseFlags(flags, ["--topic", "t"]))).toThrow(`Missing required argument "[bootstrap-server]"`)
    expect(() => parse("--command-config", join(directory, "none"))).toThrow("there is no file")
    expect(() => parse("--line-reader", "x.Y")).toThrow("no line reader x.Y")
    expect(() => parse("--command-property", "lingr.ms=1")).toThrow("linger.ms")
    expect(parse("--command-property", "group.id=g").warnings).toEqual([expect.stringContaining("group.id")])
  })
})
