/**
 * The client: of our broker, and of any other that speaks Kafka's protocol.
 *
 * ```ts
 * import { Producer } from "ottla/client"
 * import { layer as host } from "ottla/node"
 *
 * const program = Effect.gen(function*() {
 *   const producer = yield* Producer.Producer
 *   yield* producer.send({ topic: "orders", value: new TextEncoder().encode("hello") })
 * })
 * program.pipe(Effect.provide(Producer.layer({ "bootstrap.servers": "localhost:9092" }).pipe(Layer.provide(host))))
 * ```
 *
 * Each service is a module of its own: `Producer.Producer` is its key, `Producer.layer(config)` its layer. Programs
 * that do not use Effect take `connect` of `ottla/node`, `ottla/bun` or `ottla/deno`. docs/client.md shows both.
 *
 * @module
 */
export * as Admin from "./Admin.ts"
export type { ClientConfig } from "./ClientConfig.ts"
export * from "./ClientError.ts"
export * as Cluster from "./Cluster.ts"
export type * from "./ClusterView.ts"
export * as Consumer from "./Consumer.ts"
export * as Delivery from "./DeliveryIndex.ts"
export type * from "./facade/Client.ts"
export { text } from "./facade/Client.ts"
export { connectWith } from "./facade/Connect.ts"
export * as OffsetStore from "./OffsetStore.ts"
export * from "./Partitioner.ts"
export * from "./PartitionerReport.ts"
export * from "./partitioners/index.ts"
export * as Producer from "./Producer.ts"
export * as Serde from "./Serde.ts"
export * as Topic from "./Topic.ts"
