import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as MemoryNetwork from "../../../core/memory/MemoryNetwork.ts"
import { isFileSlice, type Payload, releaseAll } from "../../../core/model/Payload.ts"
import { type Connection, type ConnectionHandler, Network, NetworkError } from "../../../core/ports/Network.ts"
import { type Law, networkLaws } from "../../../core/testing/index.ts"
import { describeBroken } from "./Broken.ts"

const memoryFile = (bytes: Uint8Array) =>
  Effect.succeed({
    path: "/memory",
    descriptor: -1,
    read: (target: Uint8Array, position: number) => {
      const found = bytes.subarray(position, position + target.length)
      target.set(found)
      return found.length
    }
  })

/** For cases in which what a law waits for never comes. */
const HASTY = { patienceMs: 300 }

const lawsOf = (change: (network: Network) => Partial<Network> = () => ({}), options = {}): ReadonlyArray<Law> =>
  networkLaws(
    Layer.effect(Network, Effect.map(MemoryNetwork.make(), (network) => ({ ...network, ...change(network) }))),
    memoryFile,
    options
  )

/** A network whose connections and handlers have some methods of their own, at both ends. */
const withEnds = (
  change: (connection: Connection, handler: () => ConnectionHandler) => {
    readonly connection?: Partial<Connection>
    readonly handler?: Partial<ConnectionHandler>
  }
) =>
(network: Network): Partial<Network> => {
  const wrap = (accept: (connection: Connection) => ConnectionHandler) => (inner: Connection): ConnectionHandler => {
    let handler: ConnectionHandler
    const changed = change(inner, () => handler)
    handler = accept(
      new Proxy(inner, {
        get: (target, key) => {
          const own = changed.connection ?? {}
          if (key in own) return own[key as keyof Connection]
          const value: unknown = target[key as keyof Connection]
          return typeof value === "function" ? value.bind(target) : value
        }
      })
    )
    return {
      onData: (bytes) => handler.onData(bytes),
      onDrained: () => handler.onDrained(),
      onClosed: (error) => handler.onClosed(error),
      ...changed.handler
    }
  }
  return {
    listen: (options, accept) => network.listen(options, wrap(accept)),
    connect: (address, handle) => network.connect(address, wrap(handle))
  }
}
const lengthOf = (payloads: ReadonlyArray<Payload>): number => payloads.reduce((sum, { length }) => sum + length, 0)

describeBroken([
  ["nobody knows the port", () => lawsOf(withEnds((connection) => ({ connection: { local: { ...connection.local, port: 0 } } }))), ["port 0 takes"]],
  ["a taken port is taken again", () => lawsOf(({ listen }) => ({ listen: (options, accept) => listen({ ...options, port: 0 }, accept) })), ["a taken port"]],
  ["an empty host is no host", () => lawsOf(({ listen }) => ({ listen: (options, accept) => listen({ ...options, host: options.host === "" ? "nowhere" : options.host }, accept) })), ["an empty host"]],
  ["a listener never closes", () => lawsOf(({ listen }) => ({
    listen: (options, accept) => Scope.provide(listen(options, accept), Scope.makeUnsafe())
  })), ["when a listener's scope"]],
  ["a connect that goes on when nobody waits for it", () => lawsOf(({ connect }) => ({
    connect: (address, handle) =>
      Effect.callback((resume) => {
        Effect.runFork(connect(address, handle)).addObserver(resume)
      })
  }), HASTY), ["an interrupted connect"]],
  ["sends change places", () => lawsOf(withEnds((connection) => ({ connection: { send: (payloads) => connection.send([...payloads].reverse()) } }))), ["bytes arrive in order", "end sends what is queued"]],
  ["a slice is sent from its file's beginning", () => lawsOf(withEnds((connection) => ({
    connection: { send: (payloads) => connection.send(payloads.map((each) => isFileSlice(each) ? { ...each, position: 0 } : each)) }
  }))), ["bytes arrive in order", "a stalled reader", "no byte of one"]],
  ["a slice is released twice", () => lawsOf(withEnds((connection) => ({
    connection: {
      send: (payloads) =>
        connection.send(payloads.map((each) => isFileSlice(each) ? { ...each, release: () => (each.release(), each.release()) } : each))
    }
  }))), ["bytes arrive in order", "a reader that takes", "a reset in the middle", "destroy drops", "end sends"]],
  ["a slice is released when it is queued", () => lawsOf(withEnds((connection) => ({
    connection: {
      send: (payloads) => {
        releaseAll(payloads)
        connection.send(payloads.map((each) => isFileSlice(each) ? { ...each, release: () => {} } : each))
      }
    }
  }))), ["a stalled reader", "a reset in the middle"]],
  ["everything is taken at once", () => lawsOf(withEnds(() => ({ connection: { queuedBytes: 0 } }))), ["a stalled reader", "queuedBytes counts"]],
  ["what a reader was given in memory of its own is written over", () => lawsOf(withEnds((_, handler) => {
    let before: Uint8Array | undefined
    return {
      handler: {
        onData: (bytes) => {
          before?.fill(0)
          before = undefined
          for (let at = 0; at < bytes.length;) {
            const own = handler().readBuffer?.()
            const piece = bytes.subarray(at, at + (own?.length ?? bytes.length))
            own?.set(piece)
            handler().onData(own?.subarray(0, piece.length) ?? piece)
            at += piece.length
            before = own
          }
        }
      }
    }
  })), ["bytes that come in memory"]],
  ["pause does nothing", () => lawsOf(withEnds(() => ({ connection: { pause: () => {} } }))), ["pause stops"]],
  ["a resume that is lost", () => lawsOf(withEnds(() => ({ connection: { resume: () => {} } })), HASTY), ["a reader that takes", "pause stops"]],
  ["onClosed comes twice", () => lawsOf(withEnds((_, handler) => ({
    handler: {
      onClosed: (error) => {
        handler().onClosed(error)
        handler().onClosed(error)
      }
    }
  }))), ["end sends"]],
  ["onClosed never comes", () => lawsOf(withEnds(() => ({ handler: { onClosed: () => {} } })), HASTY), ["end sends", "a reset in the middle", "what one callback"]],
  ["a reset looks like an end", () => lawsOf(withEnds((_, handler) => ({ handler: { onClosed: () => handler().onClosed(undefined) } }))), ["a reset in the middle"]],
  ["an end looks like a reset", () => lawsOf(withEnds((_, handler) => ({ handler: { onClosed: () => handler().onClosed(new NetworkError("Reset", "")) } }))), ["end sends"]],
  ["end forgets what is queued", () => lawsOf(withEnds((connection) => ({ connection: { end: () => connection.destroy() } }))), ["end sends", "bytes arrive in order"]],
  ["destroy calls back at once", () => lawsOf(withEnds((connection, handler) => ({
    connection: {
      destroy: () => {
        handler().onClosed(undefined)
        connection.destroy()
      }
    }
  }))), ["destroy drops"]],
  ["destroy sends what is queued", () => lawsOf(withEnds((connection) => ({ connection: { destroy: () => connection.end() } }))), ["destroy drops"]],
  ["an empty payload counts", () => lawsOf(withEnds((connection) => {
    let extra = 0
    return {
      connection: {
        send: (payloads: ReadonlyArray<Payload>) => {
          extra += payloads.filter(({ length }) => length === 0).length
          connection.send(payloads)
        },
        get queuedBytes() {
          return connection.queuedBytes + extra
        }
      }
    }
  })), ["queuedBytes counts"]],
  ["what is sent in a callback is lost", () => lawsOf(withEnds((connection, handler) => {
    let inCallback = false
    return {
      handler: {
        onData: (bytes) => {
          inCallback = true
          handler().onData(bytes)
          inCallback = false
        }
      },
      connection: { send: (payloads) => inCallback ? releaseAll(payloads) : connection.send(payloads) }
    }
  }), HASTY), ["what one callback"]],
  ["a connection gets bytes of the one before it", () => lawsOf((network) => {
    let left: Uint8Array | undefined
    return withEnds((connection) => ({
      connection: {
        send: (payloads) => {
          const before = left
          left = payloads.find((each): each is Uint8Array => !isFileSlice(each) && each.length > 1)?.slice()
          const stolen = before !== undefined && left !== undefined && before[0] !== left[0]
          connection.send(stolen ? [before.subarray(0, Math.min(before.length, lengthOf(payloads))), ...payloads] : payloads)
        }
      }
    }))(network)
  }), ["no byte of one"]]
], lawsOf())
