/**
 * Somebody's codec, called with care. A Compression is a port: anybody may bring one, and it may throw anything. That says
 * that this batch cannot be packed or read; it must not end who packs and reads others beside it. So whatever is thrown
 * becomes the one error that callers know, and so does an answer that is no bytes: a promise, say, of a codec that is
 * asynchronous.
 */
import { type Compression, type CompressionCodec, CompressionError } from "../ports/Compression.ts"

const errorOf = (thrown: unknown): CompressionError =>
  thrown instanceof CompressionError
    ? thrown
    : Object.assign(new CompressionError("Failed", `the codec failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`), { cause: thrown })

/** By name and not by `instanceof`: bytes of another realm (a test runner's, a vm's) are bytes, too. */
const bytesOf = (answer: Uint8Array): Uint8Array => {
  if (ArrayBuffer.isView(answer) && answer[Symbol.toStringTag] === "Uint8Array") return answer
  const what = Object.prototype.toString.call(answer).slice("[object ".length, -1)
  throw new CompressionError("Failed", `the codec failed: it gave ${what}, and a codec gives a Uint8Array at once`)
}

/** @throws CompressionError and nothing else */
export const compressWith = (compression: Compression, codec: CompressionCodec, bytes: Uint8Array, level?: number): Uint8Array => {
  try {
    return bytesOf(compression.compress(codec, bytes, level))
  } catch (error) {
    throw errorOf(error)
  }
}

/** @throws CompressionError and nothing else: malformed, longer than `maxBytes`, or the codec failed */
export const decompressWith = (compression: Compression, codec: CompressionCodec, bytes: Uint8Array, maxBytes: number): Uint8Array => {
  try {
    return bytesOf(compression.decompress(codec, bytes, maxBytes))
  } catch (error) {
    throw errorOf(error)
  }
}
