/**
 * Kafka in tests: a broker in this process in a millisecond, and the laws that every partitioner, delivery, disk,
 * network and metadata store keeps. docs/testing.md shows it.
 *
 * @module
 */
export * as TestBroker from "./TestBroker.ts"
export * from "./laws/index.ts"
