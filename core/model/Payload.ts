/**
 * What is sent or stored: bytes in memory, or a slice of a file that an adapter may hand to sendfile(2).
 * The bytes a peer receives are equal whichever form a payload has: a law of the Network port.
 */

/** The part of a file that a payload needs: positional reads. The Disk port's `File` is one. */
export interface ReadableFile {
  /** For messages. */
  readonly path: string
  /**
   * The host's descriptor for sendfile, or -1 when there is none (memory) or the file is closed. Ask right before
   * every use: the number may belong to another file after a close.
   */
  readonly descriptor: number
  /**
   * Reads into `target` from `position`, as far as the file has bytes.
   * @returns bytes read: fewer than `target.length` at the end of the file only
   * @throws DiskError
   */
  read(target: Uint8Array, position: number): number
}

/**
 * A lease on bytes `[position, position + length)` of a file. As long as it is not released these bytes do not
 * change and the file stays open, whatever happens to its name.
 */
export interface FileSlice {
  readonly file: ReadableFile
  /** Position in the file, in bytes. */
  readonly position: number
  /** In bytes. */
  readonly length: number
  /**
   * Ends the lease. Called exactly once, by whoever consumed the slice: the network when it is sent or its connection ended.
   * The file may be closed then, but bytes that were ever leased must not be overwritten or cut in place: after a
   * sendfile, what a slow reader has still to get lies in the pages of the file itself. Replace the file instead.
   */
  release(): void
}

export type Payload = Uint8Array | FileSlice

export const isFileSlice = (payload: Payload): payload is FileSlice => !(payload instanceof Uint8Array)

/** The bytes of all payloads together. */
export const payloadLength = (payloads: ReadonlyArray<Payload>): number => {
  let total = 0
  for (const payload of payloads) total += payload.length
  return total
}

/** Ends the leases of payloads that will not be sent. */
export const releaseAll = (payloads: ReadonlyArray<Payload>): void => {
  for (const payload of payloads) if (isFileSlice(payload)) payload.release()
}

/**
 * Copies payloads into one array and ends their leases.
 * @throws DiskError when a slice cannot be read; the leases are ended all the same
 */
export const toBytes = (payloads: ReadonlyArray<Payload>): Uint8Array => {
  const only = payloads.length === 1 ? payloads[0] : undefined
  if (only instanceof Uint8Array) return only
  try {
    const bytes = new Uint8Array(payloadLength(payloads))
    let at = 0
    for (const payload of payloads) {
      if (isFileSlice(payload)) payload.file.read(bytes.subarray(at, at + payload.length), payload.position)
      else bytes.set(payload, at)
      at += payload.length
    }
    return bytes
  } finally {
    releaseAll(payloads)
  }
}
