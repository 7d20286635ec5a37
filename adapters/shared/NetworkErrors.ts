/** What a host's error says, by the codes that Node, Bun and Deno share, or by Deno's names. */
import { NetworkError, type NetworkErrorKind } from "../../core/ports/Network.ts"

const kinds: Readonly<Record<string, NetworkErrorKind>> = {
  EADDRINUSE: "AddressInUse",
  AddrInUse: "AddressInUse",
  EADDRNOTAVAIL: "AddressUnavailable",
  AddrNotAvailable: "AddressUnavailable",
  EACCES: "AddressUnavailable",
  PermissionDenied: "AddressUnavailable",
  ECONNREFUSED: "Refused",
  ConnectionRefused: "Refused",
  ECONNRESET: "Reset",
  ConnectionReset: "Reset",
  ECONNABORTED: "Reset",
  ConnectionAborted: "Reset",
  EPIPE: "Reset",
  BrokenPipe: "Reset",
  ENOTCONN: "Reset",
  NotConnected: "Reset",
  EHOSTUNREACH: "Unreachable",
  HostUnreachable: "Unreachable",
  ENETUNREACH: "Unreachable",
  NetworkUnreachable: "Unreachable",
  ENOTFOUND: "Unreachable",
  EAI_AGAIN: "Unreachable",
  DNSException: "Unreachable",
  ETIMEDOUT: "TimedOut",
  TimedOut: "TimedOut"
}

/** `doing` opens the message, for example "listen on host:9092". */
export const toNetworkError = (cause: unknown, doing: string, otherwise: NetworkErrorKind = "Io"): NetworkError => {
  if (cause instanceof NetworkError) return cause
  const { code, name, message } = (typeof cause === "object" && cause !== null ? cause : {}) as {
    readonly code?: unknown
    readonly name?: unknown
    readonly message?: unknown
  }
  const kind = kinds[String(code)] ?? kinds[String(name)] ?? otherwise
  return new NetworkError(kind, `${doing}: ${message === undefined || message === "" ? String(code ?? cause) : String(message)}`)
}

/** Listens on `host`; "" is every address, of IPv6 too where the machine has it. */
export const onAnyHost = <A>(host: string, listen: (host: string) => A): A => {
  if (host !== "") return listen(host)
  try {
    return listen("::")
  } catch (cause) {
    if (toNetworkError(cause, "listen").kind === "AddressInUse") throw cause
    return listen("0.0.0.0")
  }
}
