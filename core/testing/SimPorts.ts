/** Crypto and Compression of a simulation: the same bytes on every runtime. */
import { type Compression, type CompressionCodec, CompressionError } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { crc32c } from "../records/Crc32c.ts"
import type { SimRandom } from "./SimRandom.ts"

/** Real checksums; "unpredictable" bytes that the seed gives. */
export const simCrypto = (dice: SimRandom): Crypto => ({
  crc32c,
  randomBytes: (count) => {
    const bytes = new Uint8Array(count)
    for (let i = 0; i < count; i++) bytes[i] = dice.int(0, 255)
    return bytes
  }
})

const HEAD_BYTES = 5

/**
 * Stands for every codec without compressing: what zlib makes of bytes differs between runtimes, and a trace must not.
 * What it writes is not the codec's format, so only programs of the same simulation read it.
 *
 * | offset | bytes | what |
 * |---|---|---|
 * | 0 | 1 | the codec, 1 to 4 |
 * | 1 | 4 | bytes that follow, big endian |
 * | 5 | | the bytes as they were |
 */
export const simCompression: Compression = {
  compress: (codec, bytes) => {
    const out = new Uint8Array(HEAD_BYTES + bytes.length)
    out[0] = codec
    new DataView(out.buffer).setUint32(1, bytes.length)
    out.set(bytes, HEAD_BYTES)
    return out
  },
  decompress: (codec: CompressionCodec, bytes, maxBytes) => {
    const length = bytes.length < HEAD_BYTES ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)
    if (bytes[0] !== codec || length !== bytes.length - HEAD_BYTES) {
      throw new CompressionError("Malformed", `codec ${codec}: not what this simulation's codecs write`)
    }
    if (length > maxBytes) throw new CompressionError("TooLong", `codec ${codec}: more than ${maxBytes} bytes`)
    return bytes.slice(HEAD_BYTES)
  }
}
