/** What handlers are given. One object per broker, built once by Broker.ts. */
import type { Effect } from "effect/Effect"
import type { Controller } from "../cluster/Controller.ts"
import type { MetadataImage } from "../cluster/MetadataImage.ts"
import type { LogManager } from "../log/LogManager.ts"
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Partitions } from "../replication/Partitions.ts"
import type { ReplicationQuotas } from "../replication/ReplicationQuota.ts"
import type { AppendTurn } from "./AppendTurn.ts"
import type { BrokerConfig } from "./config/BrokerConfig.ts"
import type { FetchSessions } from "./FetchSessions.ts"
import type { GroupCoordinators } from "./GroupCoordinators.ts"

export interface BrokerServices {
  readonly brokerId: number
  readonly clusterId: string
  readonly config: BrokerConfig
  readonly controller: Controller
  /** The image that this broker has applied: partitions in it are served here. Same as `controller.image()` on one node. */
  readonly image: () => MetadataImage
  readonly logManager: LogManager
  readonly partitions: Partitions
  readonly crypto: Crypto
  readonly compression: Compression
  /** Milliseconds since 1970 by the Effect Clock the broker was built with. */
  readonly nowMs: () => number
  /** Of a clock that is never set, for what waits: milliseconds since a moment that means nothing. */
  readonly monotonicMs: () => number
  /** Unpredictable (or seeded, in a simulation) non-negative 31-bit integer. */
  readonly randomInt31: () => number
  /** Produce stages here; the connection commits it before its network callback returns. */
  readonly appendTurn: AppendTurn
  readonly fetchSessions: FetchSessions
  readonly groups: GroupCoordinators
  /** `fetch.max.bytes`: no Fetch response is larger, unless a single batch is. */
  readonly fetchMaxBytes: () => number
  readonly replicationQuotas: ReplicationQuotas
  /** replica.selector.class is RackAwareReplicaSelector: consumers are sent to replicas in their rack. */
  readonly selectsByRack: boolean
  /** What ApiVersions answers, in order of api key. */
  readonly advertisedApis: () => ReadonlyArray<{ readonly apiKey: number; readonly minVersion: number; readonly maxVersion: number }>
  /** Starts an effect with the broker's services, ended with the broker; for what handlers leave behind and for log lines. */
  readonly fork: (effect: Effect<unknown>) => void
}
