/**
 * Kafka in tests: a broker in this process in a millisecond, and the laws that every partitioner, delivery, disk,
 * network and metadata store keeps. docs/testing.md shows it.
 *
 * @module
 */
export * as TestBroker from "./TestBroker.ts"
export * from "./laws/index.ts"
export { type RunOptions, Sim, SimLimit, type SimOptions, START_MS } from "./Sim.ts"
export { BROKER_PORT, SimBroker, type SimBrokerState } from "./SimBroker.ts"
export { type ClientPorts, SimClient } from "./SimClient.ts"
export { NotReached, SIM_CONFIGS, SimCluster, type SimClusterOptions, type SimResult, simulate } from "./SimCluster.ts"
export { SimHost } from "./SimHost.ts"
export { DEFAULT_LINK, SimLink, type SimLinkOptions } from "./SimLink.ts"
export { NO_STORE_FAULTS, SimMetadataStore, type StoreFaults } from "./SimMetadataStore.ts"
export { SimNetwork } from "./SimNetwork.ts"
export { simCompression, simCrypto } from "./SimPorts.ts"
export { ProcessKilled, SimProcess, type SimProcessState } from "./SimProcess.ts"
export { SimRandom } from "./SimRandom.ts"
export { MAX_TRACE_LINES, Trace, type TraceLine } from "./Trace.ts"
