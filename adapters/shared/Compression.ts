/**
 * The Compression port on Node, Bun and Deno: gzip and zstd by `node:zlib`, loaded when the first batch needs it; snappy
 * and lz4 in JavaScript, which decodes faster than a call into the native packages and stays within its bound
 * (docs/adr/0004).
 *
 * Levels as Kafka's: gzip 1-9 and -1, its default; zstd -131072 to 22, 3 by default; lz4 1-17, 9 is the fast compressor
 * and the default. Snappy has none.
 */
import { createRequire } from "node:module"
import type * as Zlib from "node:zlib"
import * as Layer from "effect/Layer"
import { Compression, type CompressionCodec, CompressionError } from "../../core/ports/Compression.ts"
import { compressLz4Frame, decompressLz4Frame } from "./CompressionLz4.ts"
import { compressSnappy, decompressSnappy } from "./CompressionSnappy.ts"
import { zstdFrames } from "./CompressionZstd.ts"

const require = createRequire(import.meta.url)
let loaded: typeof Zlib | undefined
const zlib = (): typeof Zlib => loaded ??= require("node:zlib") as typeof Zlib

/** Of one output buffer of zlib's, in bytes: its own default of 16 KiB makes many pieces. */
const CHUNK_BYTES = 128 * 1024

/** zlib's own word for "the output passed maxOutputLength". */
const isTooLong = (error: unknown): boolean =>
  error instanceof RangeError || (error as { readonly code?: unknown }).code === "ERR_BUFFER_TOO_LARGE"

const inflate = (name: string, maxBytes: number, run: (maxBytes: number) => Uint8Array): Uint8Array => {
  let output: Uint8Array
  try {
    output = run(Math.max(1, maxBytes)) // zlib takes no bound of 0
  } catch (error) {
    if (isTooLong(error)) throw new CompressionError("TooLong", `${name}: more than ${maxBytes} bytes`)
    throw new CompressionError("Malformed", `${name}: ${String(error)}`)
  }
  if (output.length > maxBytes) throw new CompressionError("TooLong", `${name}: more than ${maxBytes} bytes`)
  return output
}

const chunkFor = (bytes: Uint8Array): number => Math.min(CHUNK_BYTES, Math.max(1024, bytes.length * 4))

const decompressZstd = (bytes: Uint8Array, maxBytes: number): Uint8Array => {
  const parts: Array<Uint8Array> = []
  let total = 0
  for (const frame of zstdFrames(bytes)) {
    const part = inflate("zstd", maxBytes - total, (maxOutputLength) =>
      zlib().zstdDecompressSync(frame, { maxOutputLength, chunkSize: chunkFor(frame) }))
    parts.push(part)
    total += part.length
  }
  return parts.length === 1 ? parts[0]! : concat(parts, total)
}

const concat = (parts: ReadonlyArray<Uint8Array>, total: number): Uint8Array => {
  const all = new Uint8Array(total)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

const decompress = (codec: CompressionCodec, bytes: Uint8Array, maxBytes: number): Uint8Array => {
  switch (codec) {
    case 1:
      return inflate("gzip", maxBytes, (maxOutputLength) =>
        zlib().gunzipSync(bytes, { maxOutputLength, chunkSize: chunkFor(bytes) }))
    case 2:
      return decompressSnappy(bytes, maxBytes)
    case 3:
      return decompressLz4Frame(bytes, maxBytes)
    case 4:
      return decompressZstd(bytes, maxBytes)
  }
}

const compress = (codec: CompressionCodec, bytes: Uint8Array, level?: number): Uint8Array => {
  switch (codec) {
    case 1:
      return zlib().gzipSync(bytes, level === undefined ? {} : { level })
    case 2:
      return compressSnappy(bytes)
    case 3:
      return compressLz4Frame(bytes, level)
    case 4:
      return zlib().zstdCompressSync(
        bytes,
        level === undefined ? {} : { params: { [zlib().constants.ZSTD_c_compressionLevel]: level } }
      )
  }
}

export const layer: Layer.Layer<Compression> = Layer.succeed(Compression, { compress, decompress })
