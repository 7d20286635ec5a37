/** The `.snapshot` files of one log, and bringing producers to where the log ends. */
import { records } from "../records/Record.ts"
import { endTransactionMarker } from "../records/ControlRecord.ts"
import { RecordBatch } from "../records/RecordBatch.ts"
import type { LogContext } from "./LogContext.ts"
import { offsetOfName, offsetPath, SNAPSHOT_SUFFIX } from "./LogFiles.ts"
import { decodeProducerSnapshot, encodeProducerSnapshot } from "./ProducerSnapshot.ts"
import type { CompletedTransaction, ProducerState } from "./ProducerState.ts"
import type { Segments } from "./Segments.ts"
import { readBytes, replaceFile } from "./TextFile.ts"

export class ProducerSnapshots {
  private readonly context: LogContext
  private directory: string
  /** Rising. */
  private offsets: Array<number>

  constructor(context: LogContext, directory: string, names: ReadonlyArray<string>) {
    this.context = context
    this.directory = directory
    this.offsets = names
      .map((name) => offsetOfName(name, SNAPSHOT_SUFFIX))
      .filter((offset) => offset !== undefined)
      .sort((a, b) => a - b)
  }

  private pathOf(offset: number): string {
    return offsetPath(this.directory, offset) + SNAPSHOT_SUFFIX
  }

  has(offset: number): boolean {
    return this.offsets.includes(offset)
  }

  encode(producers: ProducerState): Uint8Array {
    return encodeProducerSnapshot([...producers.all()], this.context.crypto)
  }

  /** @throws DiskError */
  write(offset: number, bytes: Uint8Array): void {
    replaceFile(this.context.disk, this.pathOf(offset), bytes)
    if (!this.offsets.includes(offset)) this.offsets = [...this.offsets, offset].sort((a, b) => a - b)
  }

  moved(directory: string): void {
    this.directory = directory
  }

  /** Removes those that `keep` refuses. @throws DiskError */
  removeUnless(keep: (offset: number) => boolean): void {
    for (const offset of this.offsets) if (!keep(offset)) this.context.disk.remove(this.pathOf(offset))
    this.offsets = this.offsets.filter(keep)
  }

  /**
   * Restores the latest snapshot at or below `endOffset` that is whole, and removes later ones and broken ones, and
   * those below the first segment: of the batches in between nobody knows.
   * @returns the offset from which batches must be replayed @throws DiskError
   */
  restore(producers: ProducerState, firstOffset: number, endOffset: number): number {
    this.removeUnless((offset) => offset >= firstOffset && offset <= endOffset)
    for (;;) {
      const offset = this.offsets.at(-1)
      if (offset === undefined) {
        producers.clear(firstOffset)
        return firstOffset
      }
      const bytes = readBytes(this.context.disk, this.pathOf(offset))
      const entries = bytes === undefined ? undefined : decodeProducerSnapshot(bytes, this.context.crypto)
      if (entries === undefined) {
        this.removeUnless((other) => other !== offset)
        continue
      }
      producers.clear(offset)
      for (const entry of entries) producers.restore(entry)
      return offset
    }
  }
}

/**
 * Lets `producers` know of a batch that is in the log.
 * @returns the transaction that it ended @throws RecordError for a control batch that is none
 */
export const observeBatch = (
  producers: ProducerState,
  batch: RecordBatch,
  context: LogContext
): CompletedTransaction | undefined => {
  const { producerId } = batch
  producers.mapEndOffset = batch.nextOffset
  if (producerId < 0) return undefined
  if (batch.isControl) {
    for (const record of records(batch, context.compression)) {
      const marker = endTransactionMarker(record)
      if (marker !== undefined) {
        return producers.endTransaction(producerId, batch.producerEpoch, marker, record.offset, record.timestamp)
      }
    }
    return undefined
  }
  producers.append({
    producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    baseOffset: batch.baseOffset,
    lastOffset: batch.lastOffset,
    maxTimestamp: batch.maxTimestamp,
    isTransactional: batch.isTransactional
  })
  return undefined
}

/**
 * Makes `producers` what the log's batches up to `endOffset` make them: from the latest snapshot, then by the headers
 * of the batches after it. @throws DiskError
 */
export const loadProducers = (
  producers: ProducerState,
  snapshots: ProducerSnapshots,
  segments: Segments,
  endOffset: number,
  context: LogContext
): void => {
  const from = snapshots.restore(producers, segments.first.baseOffset, endOffset)
  const { headers } = context
  for (let index = segments.floor(from); index < segments.all.length; index++) {
    const segment = segments.at(index)!
    if (segment.baseOffset >= endOffset || segment.size === 0) continue
    let position = segment.baseOffset >= from ? 0 : segment.locate(from)?.position ?? segment.size
    if (position >= segment.size) continue
    headers.begin(segment.file)
    while (headers.seek(position, segment.size)) {
      const { batch } = headers
      const { sizeInBytes } = batch
      if (batch.baseOffset >= endOffset) break
      if (batch.isControl) {
        // A control batch's one record is small, but may lie outside the block.
        const bytes = new Uint8Array(sizeInBytes)
        segment.file.read(bytes, position)
        observeBatch(producers, new RecordBatch(bytes), context)
      } else observeBatch(producers, batch, context)
      position += sizeInBytes
    }
  }
  producers.mapEndOffset = endOffset
  producers.commit()
}
