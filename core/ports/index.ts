/** What the core asks of a host. Layers: `ottla/node`, `ottla/bun`, `ottla/deno`, `ottla/memory`. */
export * from "./Compression.ts"
export * from "./Crypto.ts"
export * from "./Disk.ts"
export * from "./MetadataStore.ts"
export * from "./Network.ts"
