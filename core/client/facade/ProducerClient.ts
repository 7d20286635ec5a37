/**
 * {@link ProducerClient} over a Producer: a record is offered by a plain call, an effect runs only where it must wait. Then
 * the record itself waits, in its turn and for `max.block.ms` at most, until the producer takes it.
 */
import type * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { RecordHeader } from "../../records/Record.ts"
import { type ClientError, FatalError } from "../ClientError.ts"
import type { Producer, ProducerRecord, RecordMetadata } from "../Producer.ts"
import type { Bytes, OutgoingRecord, ProducerClient } from "./Client.ts"
import { msOf, Part, type Ports, run, type Runtime } from "./Host.ts"

const encoder = new TextEncoder()

/**
 * What is neither text nor bytes is refused: JSON.parse gives `any`, and an object would be written as a record without
 * bytes. Not by instanceof: a test runner's realm has a Uint8Array of its own.
 * @throws FatalError that names what of the record it was
 */
const bytesOf = (what: string, bytes: Bytes | null | undefined): Uint8Array | null => {
  if (typeof bytes === "string") return encoder.encode(bytes)
  if (bytes === undefined || bytes === null) return null
  if (ArrayBuffer.isView(bytes) && bytes.BYTES_PER_ELEMENT === 1) return bytes
  const given = typeof bytes === "object" ? Object.prototype.toString.call(bytes).slice(8, -1) : typeof bytes
  throw new FatalError("INVALID_ARGUMENT", `${what} takes text, a Uint8Array or null, not ${given}: JSON.stringify makes text of an object`)
}

const headersOf = (headers: NonNullable<OutgoingRecord["headers"]>): ReadonlyArray<RecordHeader> =>
  Array.isArray(headers)
    ? (headers as ReadonlyArray<RecordHeader>).map(({ key, value }) => ({ key, value: bytesOf("a record's header", value) }))
    : Object.entries(headers as Readonly<Record<string, Bytes | null>>).map(([key, value]) => ({ key, value: bytesOf("a record's header", value) }))

/** @throws FatalError */
const recordOf = ({ headers, key, partition, timestamp, topic, value }: OutgoingRecord): ProducerRecord => ({
  topic,
  key: bytesOf("a record's key", key),
  value: bytesOf("a record's value", value),
  ...(partition === undefined ? {} : { partition }),
  ...(headers === undefined ? {} : { headers: headersOf(headers) }),
  ...(timestamp === undefined ? {} : { timestamp: msOf(timestamp) })
})

export const makeProducerClient = (
  runtime: Runtime,
  make: Effect.Effect<Producer, ClientError, Ports | Scope>
): ProducerClient => {
  const part = new Part(runtime, make)
  /** Of records that are not accepted yet: for the producer, its metadata or its memory. */
  const waiting = new Set<Promise<void>>()
  const awaited = (accepted: Promise<void>): Promise<void> => {
    waiting.add(accepted)
    const end = (): void => void waiting.delete(accepted)
    accepted.then(end, end)
    return accepted
  }

  /** Accepts a record; `settle` is called once with its fate. */
  const accept = (record: ProducerRecord, settle: (result: RecordMetadata | ClientError) => void): Promise<void> =>
    awaited(part.use((producer) => producer.enqueue(record)).then(({ acknowledged }) => {
      run(runtime, acknowledged).then(settle, settle)
    }))

  const sendAll: ProducerClient["sendAll"] = async (records) => {
    const producer = await part.get()
    const results: Array<RecordMetadata> = []
    let count = 0
    let settled = 0
    let failure: ClientError | undefined
    let tell: (() => void) | undefined
    /** Undefined: it was accepted. */
    const add = (outgoing: OutgoingRecord): Promise<void> | undefined => {
      const record = recordOf(outgoing)
      const index = count++
      const settle = (result: RecordMetadata | ClientError): void => {
        settled++
        if (result instanceof Error) failure ??= result
        else results[index] = result
        if (settled === count || failure !== undefined) tell?.()
      }
      // Nearly every record is accepted at once, and needs no promise.
      const answer = producer.offer(record, settle)
      return answer === "Accepted" ? undefined : answer === "Full" ? accept(record, settle) : Promise.reject(answer)
    }
    if (Symbol.iterator in records) {
      for (const record of records) {
        const accepted = add(record)
        if (accepted !== undefined) await accepted
        if (failure !== undefined) break
      }
    } else {
      for await (const record of records) {
        const accepted = add(record)
        if (accepted !== undefined) await accepted
        if (failure !== undefined) break
      }
    }
    if (failure === undefined && settled < count) {
      await new Promise<void>((resolve) => {
        tell = resolve
      })
    }
    if (failure !== undefined) throw failure
    return results
  }

  /** What was sent before is sent, whether anybody awaits it or not. */
  const close = async (): Promise<void> => {
    await Promise.allSettled(waiting)
    await part.close()
  }

  return {
    send: (outgoing) => {
      const producer = part.isClosed ? undefined : part.value
      return new Promise((resolve, reject) => {
        const settle = (result: RecordMetadata | ClientError): void =>
          result instanceof Error ? reject(result) : resolve(result)
        const record = recordOf(outgoing)
        // Nearly every record: the producer is made and has room.
        const answer = producer?.offer(record, settle) ?? "Full"
        if (answer === "Full") accept(record, settle).catch(reject)
        else if (answer !== "Accepted") reject(answer)
      })
    },
    sendAll,
    forget: async (outgoing) => {
      const record = recordOf(outgoing)
      await awaited(part.use((producer) => producer.forget(record)))
    },
    flush: async () => {
      await Promise.allSettled(waiting)
      if (part.value !== undefined) await part.use((producer) => producer.flush)
    },
    close,
    [Symbol.asyncDispose]: close
  }
}
