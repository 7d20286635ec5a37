/**
 * A reader that pauses keeps the bytes that it was sent, whatever becomes of the log meanwhile: on a real disk and real
 * sockets. What the host has taken by sendfile still lies in the file's pages, although its lease is over; what it has
 * not taken is leased.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { noLibc } from "../../adapters/shared/Libc.ts"
import { defaultLogConfig } from "../../core/log/LogConfig.ts"
import { makeLogContext } from "../../core/log/LogContext.ts"
import type { PartitionLog } from "../../core/log/PartitionLog.ts"
import { createLog } from "../../core/log/Recovery.ts"
import { Disk } from "../../core/ports/Disk.ts"
import { pair, settle, until } from "../../core/testing/laws/NetworkEnd.ts"
import { append, bytesOf, compression, crypto, TOPIC_ID } from "../log/TestLog.ts"
import { adapters, temporaryDirectory } from "./Runtime.ts"

const { diskLayer, libc, makeNetwork } = adapters

/** Each record's own: bytes of another place are seen. */
const valueOf = (number: number, bytes: number): string => `${number} `.repeat(bytes).slice(0, bytes)

interface Size {
  readonly name: string
  readonly batches: number
  readonly valueBytes: number
  /** Whether the host leaves some of it with us. */
  readonly isStalling: boolean
}

/** Bytes that fit into what a host takes for a connection that nobody reads, and many more. */
const sizes: ReadonlyArray<Size> = [
  { name: "all taken by the host", batches: 40, valueBytes: 3000, isStalling: false },
  { name: "more than the host takes", batches: 80, valueBytes: 300_000, isStalling: true }
]

interface Change {
  readonly name: string
  readonly change: (log: PartitionLog, size: Size) => void
}

const appendOthers = (log: PartitionLog, { batches, valueBytes }: Size): void => {
  for (let i = 0; i < batches; i++) append(log, [valueOf(1_000_000 + i, valueBytes)])
}

const changes: ReadonlyArray<Change> = [
  {
    name: "truncated in its middle and written on",
    change: (log, size) => {
      log.truncateTo(size.batches >> 1)
      appendOthers(log, size)
    }
  },
  {
    name: "truncated to its second batch and written on",
    change: (log, size) => {
      log.truncateTo(1)
      appendOthers(log, size)
    }
  },
  {
    name: "truncated fully and begun elsewhere",
    change: (log, size) => {
      log.truncateFullyAndStartAt(10_000)
      appendOthers(log, size)
    }
  }
]

for (const [how, own] of [["copying", noLibc], ["sendfile", libc]] as const) {
  if (how === "sendfile" && libc.sendfile === undefined) continue
  describe(`a paused reader: ${adapters.runtime}, ${how}`, () => {
    for (const size of sizes) {
      for (const { change, name } of changes) {
        it(`gets what it was sent: ${size.name}, of a log that is ${name}`, () =>
          Effect.runPromise(Effect.scoped(Effect.gen(function*() {
            const directory = yield* temporaryDirectory
            const disk = yield* Disk
            const network = makeNetwork(own)
            const context = makeLogContext({ disk, crypto, compression }, { schedule: (_, run) => run() })
            const log = createLog(context, { topic: "t", partition: 0, topicId: TOPIC_ID, directory: `${directory}/t-0`, config: defaultLogConfig, nowMs: 0 })
            yield* Effect.addFinalizer(() => Effect.sync(() => log.close()))
            for (let i = 0; i < size.batches; i++) append(log, [valueOf(i, size.valueBytes)])
            const read = log.read(0, { maxBytes: 1e9, minOneBatch: true, endOffset: log.logEndOffset })
            if (read._tag !== "Read" || read.slice === undefined) throw new Error("nothing read")
            const before = bytesOf(read.slice)
            const [client, server] = yield* pair(network)
            client.connection.pause()
            server.call((connection) => connection.send([read.slice!]))
            yield* settle(network)
            expect(server.connection.queuedBytes > 0).toBe(size.isStalling)
            change(log, size)
            yield* settle(network)
            client.call((connection) => connection.resume())
            yield* until(() => client.untilReceived(before.length))
            const got = client.bytes()
            const first = got.findIndex((byte, at) => byte !== before[at])
            expect({ length: got.length, firstOther: first }).toEqual({ length: before.length, firstOther: -1 })
          })).pipe(Effect.provide(Layer.fresh(diskLayer)))))
      }
    }
  })
}
