/** Hosts in memory: a whole broker without a file or a socket, for tests, embedding and simulation. */
export * as MemoryDisk from "./MemoryDisk.ts"
export * as MemoryMetadataStore from "./MemoryMetadataStore.ts"
export * as MemoryNetwork from "./MemoryNetwork.ts"
