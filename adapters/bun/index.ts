/**
 * Bun's layers of the ports, for programs that embed a broker (`brokerLayer(config).pipe(Layer.provide(layer))`) or a
 * client (`Producer.layer(config).pipe(Layer.provide(layer))`), and {@link connect} for clients without Effect.
 */
import * as Layer from "effect/Layer"
import type { Connect } from "../../core/client/facade/Client.ts"
import { connectWith } from "../../core/client/facade/Connect.ts"
import type { Compression as CompressionPort } from "../../core/ports/Compression.ts"
import type { Crypto as CryptoPort } from "../../core/ports/Crypto.ts"
import type { Disk as DiskPort } from "../../core/ports/Disk.ts"
import type { Network as NetworkPort } from "../../core/ports/Network.ts"
import * as Compression from "../shared/Compression.ts"
import * as Crypto from "../shared/Crypto.ts"
import * as Disk from "./BunDisk.ts"
import * as Network from "./BunNetwork.ts"

/** Files, sockets, codecs and checksums of this runtime. */
export const layer: Layer.Layer<DiskPort | NetworkPort | CompressionPort | CryptoPort> = Layer.mergeAll(
  Disk.layer,
  Network.layer,
  Compression.layer,
  Crypto.layer
)
/** Files of this runtime: where a broker keeps its logs, and a client its checkpoints. */
export const disk: Layer.Layer<DiskPort> = Disk.layer
/** TCP sockets of this runtime, with sendfile where it has one. */
export const network: Layer.Layer<NetworkPort> = Network.layer
/** gzip, snappy, lz4 and zstd. */
export const compression: Layer.Layer<CompressionPort> = Compression.layer
/** CRC-32C and random bytes. */
export const crypto: Layer.Layer<CryptoPort> = Crypto.layer

/** A client with promises and async iterables: `const client = await connect({ "bootstrap.servers": "localhost:9092" })`. */
export const connect: Connect = connectWith(layer)
export { FatalError, RetriableError } from "../../core/client/ClientError.ts"
export type * from "../../core/client/facade/Client.ts"
export { text } from "../../core/client/facade/Client.ts"
