/**
 * Kafka's codecs on whole buffers. Synchronous: one call per record batch.
 *
 * Laws (compressionLaws of `ottla/testing`): decompress after compress gives the same bytes; every form other Kafka clients
 * write is read (snappy raw and xerial framed, lz4 frames, gzip members, zstd frames); no output passes its bound.
 */
import * as Context from "effect/Context"

/** As in a batch's attributes: 1 gzip, 2 snappy, 3 lz4, 4 zstd. 0, none, is not a codec. */
export type CompressionCodec = 1 | 2 | 3 | 4

/**
 * `Malformed`: the bytes are not what the codec writes. `TooLong`: their output would pass the bound. `Failed`: the codec
 * threw something else; core/records/Codec.ts makes this of it, an implementation need not.
 */
export type CompressionErrorKind = "Malformed" | "TooLong" | "Failed"

export class CompressionError extends Error {
  readonly _tag = "CompressionError"
  readonly kind: CompressionErrorKind
  constructor(kind: CompressionErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export interface Compression {
  /** `level` undefined: the codec's default. snappy has none. What it throws fails this batch, and nothing else. */
  readonly compress: (codec: CompressionCodec, bytes: Uint8Array, level?: number) => Uint8Array
  /** @throws CompressionError when malformed or longer than `maxBytes` once decompressed */
  readonly decompress: (codec: CompressionCodec, bytes: Uint8Array, maxBytes: number) => Uint8Array
}
export const Compression: Context.Service<Compression, Compression> = Context.Service("ottla/Compression")
