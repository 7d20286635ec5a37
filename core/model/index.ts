/** Identifiers, limits and payloads that every room shares. */
export * from "./Ids.ts"
export * from "./Invariant.ts"
export * from "./Payload.ts"
