import { type Compression, CompressionError } from "../../../core/ports/Compression.ts"
import { compressionLaws, type Law } from "../../../core/testing/index.ts"
import { compression } from "../../records/Ports.ts"
import { describeBroken } from "./Broken.ts"

const lawsOf = (change: Partial<Compression> = {}): ReadonlyArray<Law> => compressionLaws({ ...compression, ...change })
const names = ["gzip", "snappy", "lz4", "zstd"]

describeBroken([
  ["a byte is lost", () => lawsOf({ decompress: (codec, bytes, max) => compression.decompress(codec, bytes, max).slice(0, -1) }), [
    ...names.map((name) => `${name}: decompress after`),
    ...names.map((name) => `${name}: output up`),
    "levels give"
  ]],
  ["no bound is kept", () => lawsOf({ decompress: (codec, bytes) => compression.decompress(codec, bytes, 256 * 1024 * 1024) }), names.map((name) => `${name}: output up`)],
  ["an error of the codec's own", () => lawsOf({
    decompress: (codec, bytes, max) => {
      try {
        return compression.decompress(codec, bytes, max)
      } catch {
        throw new TypeError("invalid input")
      }
    }
  }), [...names.map((name) => `${name}: mutated`), ...names.map((name) => `${name}: what is cut`), "snappy: a short block"]],
  ["what is cut short is empty", () => lawsOf({
    decompress: (codec, bytes, max) => {
      try {
        return compression.decompress(codec, bytes, max)
      } catch (error) {
        if (error instanceof CompressionError && error.kind === "Malformed") return new Uint8Array(0)
        throw error
      }
    }
  }), [...names.map((name) => `${name}: what is cut`), "snappy: a short block"]],
  ["levels are not looked at", () => lawsOf({ compress: (codec, bytes) => compression.compress(codec, bytes) }), ["levels give"]]
], lawsOf())
