/**
 * The journal of metadata commits and its snapshots: `__ottla_metadata/REVISION.journal` holds the commits after
 * REVISION, `REVISION.snapshot` all entries as of it (20 digits). Integers are big endian.
 *
 * File header, 20 bytes
 * | offset | size | meaning |
 * |---|---|---|
 * | 0 | 8 | "OTTLAMJ1" for a journal, "OTTLAMS1" for a snapshot |
 * | 8 | 8 | revision of the file's name |
 * | 16 | 4 | CRC-32C of bytes 0 to 15 |
 *
 * Then frames, one for each commit (journal) or group of entries (snapshot)
 * | offset | size | meaning |
 * |---|---|---|
 * | 0 | 4 | length of the body in bytes |
 * | 4 | 4 | CRC-32C of bytes 8 to the end of the body |
 * | 8 | 8 | journal: revision of the commit; snapshot: number of the frame, from 1 |
 * | 16 | 8 | journal: bytes of this file that were known to be on the device when the frame was written; snapshot: 0 |
 * | 24 | n | body, UTF-8 JSON |
 *
 * Body of a commit: `[["key", "value"], ["key", "value", "session"], ["key"]]` for put, put of a session's key, delete.
 * Body of a snapshot's frame: `[["key", "value", createRevision, modRevision, "session"?]]`; its last frame is `[]`.
 */
import type { Operation, Revision } from "../ports/MetadataStore.ts"
import type { StoredEntry } from "../memory/MetadataStoreState.ts"

export const HEADER_BYTES = 20
export const FRAME_BYTES = 24
/** A longer body is no commit of ours, in bytes. */
export const MAX_BODY_BYTES: number = 64 * 1024 * 1024

export type FileKind = "journal" | "snapshot"
const MAGIC: { readonly [kind in FileKind]: string } = { journal: "OTTLAMJ1", snapshot: "OTTLAMS1" }

type Crc = (bytes: Uint8Array) => number

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const fileName = (kind: FileKind, revision: Revision): string => `${String(revision).padStart(20, "0")}.${kind}`

/** Undefined for a name that is neither's. */
export const parseFileName = (name: string): { readonly kind: FileKind; readonly revision: Revision } | undefined => {
  const match = /^(\d{20})\.(journal|snapshot)$/.exec(name)
  return match === null ? undefined : { kind: match[2] as FileKind, revision: Number(match[1]) }
}

export const encodeHeader = (kind: FileKind, revision: Revision, crc: Crc): Uint8Array => {
  const bytes = new Uint8Array(HEADER_BYTES)
  bytes.set(encoder.encode(MAGIC[kind]))
  const view = viewOf(bytes)
  view.setBigUint64(8, BigInt(revision))
  view.setUint32(16, crc(bytes.subarray(0, 16)))
  return bytes
}

export const headerIsValid = (bytes: Uint8Array, kind: FileKind, revision: Revision, crc: Crc): boolean => {
  if (bytes.length < HEADER_BYTES) return false
  const expected = encodeHeader(kind, revision, crc)
  return expected.every((byte, index) => byte === bytes[index])
}

export const encodeFrame = (number: number, syncedBytes: number, body: unknown, crc: Crc): Uint8Array => {
  const json = encoder.encode(JSON.stringify(body))
  const bytes = new Uint8Array(FRAME_BYTES + json.length)
  bytes.set(json, FRAME_BYTES)
  const view = viewOf(bytes)
  view.setUint32(0, json.length)
  view.setBigUint64(8, BigInt(number))
  view.setBigUint64(16, BigInt(syncedBytes))
  view.setUint32(4, crc(bytes.subarray(8)))
  return bytes
}

export interface Frame {
  readonly number: number
  readonly syncedBytes: number
  readonly body: unknown
  /** Position after the frame. */
  readonly end: number
}

/** The frame at a position; undefined when there is no whole, unharmed one. */
export const readFrame = (bytes: Uint8Array, position: number, crc: Crc): Frame | undefined => {
  if (position + FRAME_BYTES > bytes.length) return undefined
  const view = viewOf(bytes)
  const length = view.getUint32(position)
  const end = position + FRAME_BYTES + length
  if (length > MAX_BODY_BYTES || end > bytes.length) return undefined
  if (crc(bytes.subarray(position + 8, end)) !== view.getUint32(position + 4)) return undefined
  return {
    number: Number(view.getBigUint64(position + 8)),
    syncedBytes: Number(view.getBigUint64(position + 16)),
    body: JSON.parse(decoder.decode(bytes.subarray(position + FRAME_BYTES, end))),
    end
  }
}

/**
 * Whether a journal whose frame at `position` is broken was harmed after it had been written: some later frame was
 * written when the device already had this one. Otherwise the broken frame and all after it were never
 * acknowledged (a torn write, or pages lost with the machine), and the file ends here.
 */
export const wasSyncedAt = (bytes: Uint8Array, position: number, afterRevision: Revision, crc: Crc): boolean => {
  for (let at = position + 1; at + FRAME_BYTES <= bytes.length; at++) {
    // The high bytes of length, revision and synced bytes are zero: cheap to look at before a CRC.
    if (bytes[at] !== 0 && bytes[at] !== 1) continue
    const view = viewOf(bytes)
    const revision = view.getBigUint64(at + 8)
    if (revision <= BigInt(afterRevision) || view.getBigUint64(at + 16) > BigInt(at)) continue
    const frame = readFrame(bytes, at, crc)
    if (frame !== undefined && frame.syncedBytes > position) return true
  }
  return false
}

type StoredOperation = readonly [key: string, value?: string, session?: string]

export const commitBody = (operations: ReadonlyArray<Operation>): ReadonlyArray<StoredOperation> =>
  operations.map((operation) =>
    operation._tag === "Delete"
      ? [operation.key]
      : operation.session === undefined
      ? [operation.key, operation.value]
      : [operation.key, operation.value, operation.session]
  )

export const operationsOf = (body: unknown): ReadonlyArray<Operation> =>
  (body as ReadonlyArray<StoredOperation>).map(([key, value, session]) =>
    value === undefined
      ? { _tag: "Delete", key }
      : session === undefined
      ? { _tag: "Put", key, value }
      : { _tag: "Put", key, value, session }
  )

type SnapshotEntry = readonly [key: string, value: string, created: Revision, modified: Revision, session?: string]

/** Entries in one frame of a snapshot. */
const SNAPSHOT_GROUP = 512

export const encodeSnapshot = (revision: Revision, entries: ReadonlyArray<StoredEntry>, crc: Crc): ReadonlyArray<Uint8Array> => {
  const parts = [encodeHeader("snapshot", revision, crc)]
  for (let at = 0; at < entries.length; at += SNAPSHOT_GROUP) {
    const body = entries.slice(at, at + SNAPSHOT_GROUP).map(({ key, value, createRevision, modRevision, session }) =>
      session === undefined
        ? [key, value, createRevision, modRevision]
        : [key, value, createRevision, modRevision, session]
    )
    parts.push(encodeFrame(parts.length, 0, body, crc))
  }
  parts.push(encodeFrame(parts.length, 0, [], crc))
  return parts
}

/** @returns the entries, or the position of what is broken */
export const decodeSnapshot = (
  bytes: Uint8Array,
  revision: Revision,
  crc: Crc
): ReadonlyArray<StoredEntry> | { readonly brokenAt: number } => {
  if (!headerIsValid(bytes, "snapshot", revision, crc)) return { brokenAt: 0 }
  const entries: Array<StoredEntry> = []
  let position = HEADER_BYTES
  for (let number = 1;; number++) {
    const frame = readFrame(bytes, position, crc)
    if (frame === undefined || frame.number !== number) return { brokenAt: position }
    const body = frame.body as ReadonlyArray<SnapshotEntry>
    if (body.length === 0) return entries
    for (const [key, value, createRevision, modRevision, session] of body) {
      entries.push({ key, value, createRevision, modRevision, session })
    }
    position = frame.end
  }
}
