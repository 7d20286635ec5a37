/** What a broker that stands alone keeps its metadata in. */
import type * as Layer from "effect/Layer"
import { METADATA_DIRECTORY } from "../cluster/JournalMetadataStore.ts"
import { layer } from "../cluster/KafkaImport.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Disk, DiskError } from "../ports/Disk.ts"
import type { MetadataStore, MetadataStoreError } from "../ports/MetadataStore.ts"
import type { BrokerConfig } from "./config/BrokerConfig.ts"

/** A journal in the first of `log.dirs`; a first start takes over what a Kafka left in them. */
export const journalLayer = (config: BrokerConfig): Layer.Layer<MetadataStore, MetadataStoreError | DiskError, Disk | Crypto> =>
  layer({ directory: `${config.logDirs[0]}/${METADATA_DIRECTORY}`, logDirs: config.logDirs, nodeId: config.nodeId })
