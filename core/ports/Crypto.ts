/** Checksums and unpredictable bytes, as fast as the host has them. */
import * as Context from "effect/Context"

export interface Crypto {
  /** CRC-32C (Castagnoli) as an unsigned 32-bit number; `seed` continues an earlier one. */
  readonly crc32c: (bytes: Uint8Array, seed?: number) => number
  /** Unpredictable bytes. Simulations supply seeded ones. */
  readonly randomBytes: (count: number) => Uint8Array
}
export const Crypto: Context.Service<Crypto, Crypto> = Context.Service("ottla/Crypto")
