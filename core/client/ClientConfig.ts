/** Configuration that every client shares, under Kafka's names, with Kafka's defaults. */

export interface ClientConfig {
  /** `host:port` of some brokers, separated by commas; one that answers is enough. */
  readonly "bootstrap.servers": string
  /** Told to brokers, in their logs and quotas. Default "ottla". */
  readonly "client.id"?: string
  /** Where this client is, for reads from the nearest replica (KIP-392). Default "". */
  readonly "client.rack"?: string
  /** How long a request may stay unanswered, in ms. Default 30000. */
  readonly "request.timeout.ms"?: number
  /** How long an operation of the Admin, or a consumer's blocking call, may take with its retries, in ms. Default 60000. */
  readonly "default.api.timeout.ms"?: number
  /** How old metadata may be before it is asked for again, in ms. Default 300000. */
  readonly "metadata.max.age.ms"?: number
  /** First pause before a request is tried again, in ms; doubles, with 20 % jitter. Default 100. */
  readonly "retry.backoff.ms"?: number
  /** Longest such pause, in ms. Default 1000. */
  readonly "retry.backoff.max.ms"?: number
  /** First pause before a broker is connected to again, in ms. Default 50. */
  readonly "reconnect.backoff.ms"?: number
  /** Longest such pause, in ms. Default 1000. */
  readonly "reconnect.backoff.max.ms"?: number
  /** How long a connection may take to be accepted, in ms. Default 10000. */
  readonly "socket.connection.setup.timeout.ms"?: number
  /** A connection idle for so long is closed, in ms. Default 540000. */
  readonly "connections.max.idle.ms"?: number
}

/** A configuration with its defaults. */
export type ResolvedClientConfig = Required<ClientConfig>

const defaults: Omit<ResolvedClientConfig, "bootstrap.servers"> = {
  "client.id": "ottla",
  "client.rack": "",
  "request.timeout.ms": 30_000,
  "default.api.timeout.ms": 60_000,
  "metadata.max.age.ms": 300_000,
  "retry.backoff.ms": 100,
  "retry.backoff.max.ms": 1000,
  "reconnect.backoff.ms": 50,
  "reconnect.backoff.max.ms": 1000,
  "socket.connection.setup.timeout.ms": 10_000,
  "connections.max.idle.ms": 540_000
}

/** Only the keys that every client shares; an undefined one has its default. */
export const resolveClientConfig = (config: ClientConfig): ResolvedClientConfig => {
  const resolved: Record<string, unknown> = { ...defaults, "bootstrap.servers": config["bootstrap.servers"] }
  for (const key of Object.keys(defaults) as Array<keyof typeof defaults>) {
    if (config[key] !== undefined) resolved[key] = config[key]
  }
  return resolved as unknown as ResolvedClientConfig
}
