/**
 * `listeners`, `advertised.listeners` and `listener.security.protocol.map`: where the broker listens and what it tells
 * clients to connect to. The messages name the listener and what is wrong, so that an operator can act on them.
 */

/** `NAME://host:port`. Host "" is every interface; port 0 is one that the host picks. */
export interface Endpoint {
  /** Upper case, as Kafka keeps it. */
  readonly name: string
  readonly host: string
  readonly port: number
  /** PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. */
  readonly securityProtocol: string
}

export const SECURITY_PROTOCOLS: ReadonlyArray<string> = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]

/** Kafka's map when none is given: each protocol's name, and CONTROLLER in the clear. */
export const DEFAULT_PROTOCOL_MAP: ReadonlyMap<string, string> = new Map(SECURITY_PROTOCOLS.map((p) => [p, p]))

const ENDPOINT = /^([^:/]+):\/\/(?:\[([^\]]*)\]|([^:[\]/]*)):(-?[0-9]+)$/

const show = (e: Endpoint): string => `${e.name}://${e.host.includes(":") ? `[${e.host}]` : e.host}:${e.port}`
export const showEndpoint: (endpoint: Endpoint) => string = show

/** `NAME:PROTOCOL,…`; problems are added to `errors`. */
export const parseProtocolMap = (entries: ReadonlyArray<string>, errors: Array<string>): ReadonlyMap<string, string> => {
  const map = new Map<string, string>()
  for (const entry of entries) {
    const colon = entry.lastIndexOf(":")
    const name = entry.slice(0, Math.max(colon, 0)).trim().toUpperCase()
    const protocol = entry.slice(colon + 1).trim().toUpperCase()
    if (colon <= 0 || name === "") {
      errors.push(`listener.security.protocol.map: "${entry}" is not NAME:PROTOCOL`)
    } else if (!SECURITY_PROTOCOLS.includes(protocol)) {
      errors.push(
        `listener.security.protocol.map: "${entry}": there is no security protocol ${protocol}; there are ${SECURITY_PROTOCOLS.join(", ")}`
      )
    } else if (map.has(name)) {
      errors.push(`listener.security.protocol.map: listener ${name} is there twice`)
    } else {
      map.set(name, protocol)
    }
  }
  return map
}

export interface EndpointRules {
  /** The configuration they come from, for messages. */
  readonly key: string
  readonly protocols: ReadonlyMap<string, string>
  /** Two endpoints may share a port (advertised ones may). */
  readonly samePortAllowed: boolean
}

/** The endpoints of a list; problems are added to `errors`. */
export const parseEndpoints = (
  entries: ReadonlyArray<string>,
  { key, protocols, samePortAllowed }: EndpointRules,
  errors: Array<string>
): ReadonlyArray<Endpoint> => {
  const endpoints: Array<Endpoint> = []
  for (const entry of entries) {
    const match = ENDPOINT.exec(entry.trim())
    if (match === null) {
      errors.push(`${key}: "${entry}" is not NAME://host:port`)
      continue
    }
    const name = (match[1] as string).toUpperCase()
    const host = match[2] ?? match[3] ?? ""
    const port = Number(match[4])
    const securityProtocol = protocols.get(name)
    if (securityProtocol === undefined) {
      errors.push(`${key}: no security protocol is defined for listener ${name}; add ${name}:PLAINTEXT to listener.security.protocol.map`)
      continue
    }
    if (port < 0 || port > 65_535) {
      errors.push(`${key}: "${entry}": the port must be 0 to 65535`)
      continue
    }
    const endpoint: Endpoint = { name, host, port, securityProtocol }
    if (endpoints.some((other) => other.name === name)) {
      errors.push(`${key}: listener ${name} is there twice; each listener must have a different name`)
    }
    const clash = endpoints.find((other) => port !== 0 && other.port === port && sharesAddress(other.host, host))
    if (clash !== undefined && !samePortAllowed) {
      errors.push(`${key}: ${show(clash)} and ${show(endpoint)} have the same port; each listener must have a different port`)
    }
    endpoints.push(endpoint)
  }
  return endpoints
}

const isV6 = (host: string): boolean => host.includes(":")
const isV4 = (host: string): boolean => /^[0-9]+(\.[0-9]+){3}$/.test(host)

/** Kafka allows one port twice when one host is IPv4 and the other IPv6 (KIP-797), and on different addresses not. */
const sharesAddress = (a: string, b: string): boolean => {
  return !((isV6(a) && isV4(b)) || (isV4(a) && isV6(b)))
}

/** A host that stands for every interface: clients cannot connect to it. */
export const isMetaAddress = (host: string): boolean => host === "0.0.0.0" || host === "::" || host === "0:0:0:0:0:0:0:0"
