/** The numbers of Kafka's APIs, by name. */
import { ApiKey } from "./generated/ApiKeys.ts"

export { ApiKey }

export type ApiName = keyof typeof ApiKey
