/** Marks the describe blocks whose tests hold with every broker: `npm run test:client` runs them against Apache Kafka. */
export const OVER_BROKER = "(over a broker)"
