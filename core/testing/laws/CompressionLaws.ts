/**
 * What every layer of the Compression port keeps, whatever it is made of. That it reads what other Kafka clients write
 * takes bytes of their making: test/ports/Compression.test.ts has those of native packages.
 */
import { type Compression, type CompressionCodec, CompressionError, type CompressionErrorKind } from "../../ports/Compression.ts"
import { BLOCK_SIZES, concat, noise } from "./Bytes.ts"
import { type Dice, ensure, ensureSame, ensureSameBytes, forSequences, type Law, law } from "./Law.ts"

const codecs: ReadonlyArray<readonly [string, CompressionCodec]> = [["gzip", 1], ["snappy", 2], ["lz4", 3], ["zstd", 4]]
const MAX_BYTES = 16 * 1024 * 1024

/** Bytes with repetitions near and far. */
const makePieces = (dice: Dice): ReadonlyArray<Uint8Array> => {
  const once = dice.list(60, () => {
    const piece = dice.bytes(dice.below(41))
    return concat(Array.from({ length: dice.between(1, 200) }, () => piece))
  })
  return dice.isOneIn(2) ? [...once, ...once] : once
}

const kindOf = (run: () => unknown): CompressionErrorKind | "none" => {
  try {
    run()
    return "none"
  } catch (error) {
    ensure(error instanceof CompressionError, () => `a CompressionError is thrown, not ${String(error)}`)
    return error.kind
  }
}

interface Mutation {
  readonly which: number
  readonly changes: ReadonlyArray<readonly [at: number, value: number]>
  /** Length that is left; undefined: all. */
  readonly cut: number | undefined
}

const makeMutations = (dice: Dice): ReadonlyArray<Mutation> =>
  Array.from({ length: 30 }, () => ({
    which: dice.below(3),
    changes: Array.from({ length: dice.between(1, 4) }, () => [dice.below(0x7fff_ffff), dice.below(256)] as const),
    cut: dice.isOneIn(2) ? undefined : dice.below(0x7fff_ffff)
  }))

const lawsOf = (compression: Compression, codecName: string, codec: CompressionCodec): ReadonlyArray<Law> => {
  const back = (bytes: Uint8Array): Uint8Array => compression.decompress(codec, compression.compress(codec, bytes), MAX_BYTES)
  return [
    law(`${codecName}: decompress after compress gives the same bytes`, () => {
      for (const size of BLOCK_SIZES) {
        for (const bytes of [noise(size), new Uint8Array(size), noise(size).map((byte) => byte & 3)]) {
          ensureSameBytes(back(bytes), bytes, `${size} bytes and back`)
        }
      }
      return forSequences({ seed: 41, runs: 60, make: makePieces }, (pieces) => {
        const bytes = concat(pieces)
        ensureSameBytes(back(bytes), bytes, `${bytes.length} bytes and back`)
      })
    }),

    law(`${codecName}: output up to the bound and no byte more`, () => {
      for (const size of [1, 1000, 70_000, 5_000_000]) {
        const packed = compression.compress(codec, new Uint8Array(size))
        ensureSame(compression.decompress(codec, packed, size).length, size, "output within the bound")
        ensureSame(kindOf(() => compression.decompress(codec, packed, size - 1)), "TooLong", "an output of one byte more than the bound")
      }
    }),

    law(`${codecName}: mutated bytes give some bytes within the bound or a CompressionError`, () => {
      const texts = [concat([noise(50), new Uint8Array(500), noise(50)]), noise(700).map((byte) => byte & 7), new Uint8Array(0)]
      const packed = texts.map((bytes) => compression.compress(codec, bytes))
      return forSequences({ seed: 42, runs: 50, make: makeMutations }, (mutations) => {
        for (const { changes, cut, which } of mutations) {
          let bytes: Uint8Array = packed[which]!.slice()
          for (const [at, value] of changes) bytes[at % bytes.length] = value
          if (cut !== undefined) bytes = bytes.subarray(0, cut % (bytes.length + 1))
          let output: Uint8Array | undefined
          kindOf(() => output = compression.decompress(codec, bytes, 10_000))
          ensure(output === undefined || output.length <= 10_000, () => `${output?.length} bytes, the bound is 10000`)
        }
      })
    }),

    law(`${codecName}: what is cut short is malformed`, () => {
      const packed = compression.compress(codec, noise(2000))
      for (const length of [1, 5, packed.length >>> 1, packed.length - 1]) {
        ensureSame(kindOf(() => compression.decompress(codec, packed.subarray(0, length), MAX_BYTES)), "Malformed", `cut to ${length}`)
      }
    })
  ]
}

/** The laws of the Compression port, for each of the four codecs. */
export const compressionLaws = (compression: Compression): ReadonlyArray<Law> => [
  ...codecs.flatMap(([name, codec]) => lawsOf(compression, name, codec)),

  law("levels give the same bytes back, and higher ones no more than the least", () => {
    const encoder = new TextEncoder()
    const bytes = concat(Array.from({ length: 400 }, (_, i) => encoder.encode(`{"n":${i * i},"name":"n${i % 17}"}`)))
    const levels: ReadonlyArray<readonly [CompressionCodec, ReadonlyArray<number>]> = [
      [1, [-1, 1, 6, 9]],
      [3, [1, 9, 12, 17]],
      [4, [-131072, -5, 1, 3, 22]]
    ]
    for (const [codec, of] of levels) {
      for (const level of of) {
        const packed = compression.compress(codec, bytes, level)
        ensureSameBytes(compression.decompress(codec, packed, MAX_BYTES), bytes, `codec ${codec}, level ${level}`)
      }
    }
    const size = (codec: CompressionCodec, level: number): number => compression.compress(codec, bytes, level).length
    ensure(size(3, 17) < size(3, 9), "lz4 of level 17 is smaller than of level 9")
    ensure(size(4, 22) < size(4, -5), "zstd of level 22 is smaller than of level -5")
    ensure(size(1, 9) <= size(1, 1), "gzip of level 9 is no larger than of level 1")
  }),

  law("snappy: a short block that claims a long output is refused without the memory for it", () => {
    const claim = Uint8Array.of(0x80, 0x80, 0x80, 0x40, 0, 0) // 128 MiB
    ensureSame(kindOf(() => compression.decompress(2, claim, 256 * 1024 * 1024)), "Malformed", "the claim")
  })
]
