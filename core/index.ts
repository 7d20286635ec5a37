/**
 * Apache Kafka as a library. A broker inside this process, on this runtime's files and sockets:
 *
 * ```ts
 * import { Broker, BrokerConfig, brokerLayer, journalLayer } from "ottla"
 * import { layer } from "ottla/node"
 * ```
 *
 * docs/embedding.md shows it whole. Rooms have entries of their own: `ottla/ports`, `ottla/protocol`, `ottla/records`,
 * `ottla/memory`.
 */
export { Broker, type BrokerOptions, type BrokerStartError, layer as brokerLayer } from "./broker/Broker.ts"
export { BrokerConfig, BrokerConfigError, type ConfigSource } from "./broker/config/BrokerConfig.ts"
export { type ClusterConfig, loadCluster } from "./broker/config/ClusterConfig.ts"
export {
  type BrokerDescription,
  type BrokerStatus,
  type ClusterDescription,
  ClusterRefusal,
  type ClusterStartError,
  layer as localClusterLayer,
  LocalCluster
} from "./broker/LocalCluster.ts"
export { journalLayer } from "./broker/Standalone.ts"
export * from "./model/index.ts"
export * as RpcConnection from "./rpc/RpcConnection.ts"
