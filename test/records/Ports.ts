/** The ports that records need, as the runtime under test has them. */
import * as Effect from "effect/Effect"
import { layer as compressionLayer } from "../../adapters/shared/Compression.ts"
import { layer as cryptoLayer } from "../../adapters/shared/Crypto.ts"
import { Compression } from "../../core/ports/Compression.ts"
import { Crypto } from "../../core/ports/Crypto.ts"

export const compression: Compression = Effect.runSync(Effect.provide(Effect.service(Compression), compressionLayer))
export const crypto: Crypto = Effect.runSync(Effect.provide(Effect.service(Crypto), cryptoLayer))
