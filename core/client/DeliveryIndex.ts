/** `Delivery` of `ottla/client`: the semantics, and what consumes and relays by them. */
export * from "./Delivery.ts"
export * from "./DeliveryConsume.ts"
export * from "./DeliveryRelay.ts"
