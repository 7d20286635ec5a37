/** The laws of what others may implement, each a list of named functions for any test runner; {@link Law} shows how. */
export { type Law, LAW_PATIENCE_MS, LawViolation } from "./Law.ts"
export * from "./CompressionLaws.ts"
export { consumerDeliveryLaws, producerDeliveryLaws } from "./DeliveryLaws.ts"
export * from "./DiskLaws.ts"
export * from "./MetadataStoreLaws.ts"
export * from "./NetworkLaws.ts"
export * from "./PartitionerLaws.ts"
