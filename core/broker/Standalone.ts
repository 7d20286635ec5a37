/** What a broker that stands alone keeps its metadata in. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { METADATA_DIRECTORY } from "../cluster/JournalMetadataStore.ts"
import { layer } from "../cluster/KafkaImport.ts"
import { InconsistentLogDirectory } from "../log/LogManager.ts"
import { attempt } from "../log/TextFile.ts"
import type { Crypto } from "../ports/Crypto.ts"
import { Disk, type DiskError } from "../ports/Disk.ts"
import type { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
import type { BrokerConfig } from "./config/BrokerConfig.ts"
import { clusterOfBrokerDirectory } from "./config/ClusterConfig.ts"
import { brokersIn } from "./LocalCluster.ts"

/** A cluster's directory, or that of one of its brokers, is refused before anything is changed in it. */
const refuseCluster = (logDirs: ReadonlyArray<string>): Effect.Effect<void, DiskError | InconsistentLogDirectory, Disk> =>
  Effect.gen(function*() {
    const disk = yield* Disk
    for (const logDir of logDirs) {
      const brokers = Math.max(0, ...yield* attempt(() => brokersIn(disk, logDir)))
      if (brokers > 0) {
        return yield* Effect.fail(new InconsistentLogDirectory(logDir, `it holds a cluster of ${brokers} brokers, start it with --brokers ${brokers}`))
      }
      const cluster = clusterOfBrokerDirectory(disk.absolute(logDir))
      if (cluster !== undefined && (yield* attempt(() => disk.stat(`${cluster}/${METADATA_DIRECTORY}`))) !== undefined) {
        return yield* Effect.fail(new InconsistentLogDirectory(logDir, `it is a broker's of the cluster in ${cluster}, which starts as a whole`))
      }
    }
  })

/** A journal in the first of `log.dirs`; a first start takes over what a Kafka left in them. */
export const journalLayer = (
  config: BrokerConfig
): Layer.Layer<MetadataStore, MetadataStoreError | DiskError | InconsistentLogDirectory, Disk | Crypto> =>
  Layer.unwrap(Effect.as(
    refuseCluster(config.logDirs),
    layer({ directory: `${config.logDirs[0]}/${METADATA_DIRECTORY}`, logDirs: config.logDirs, nodeId: config.nodeId })
  ))
