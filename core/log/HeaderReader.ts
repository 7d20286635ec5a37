/**
 * Walks the batch headers of a log file without reading the records: one block is read, and as many headers as lie in
 * it cost nothing more.
 */
import type { ReadableFile } from "../model/Payload.ts"
import { RECORD_BATCH_OVERHEAD, RecordBatch } from "../records/RecordBatch.ts"

/** What is read at once, in bytes: about index.interval.bytes, which is how far a scan goes. */
const BLOCK_BYTES = 4096

export class HeaderReader {
  /** The header that `seek` found. Of the batch only the header's bytes are there. */
  readonly batch: RecordBatch
  private readonly block: Uint8Array = new Uint8Array(BLOCK_BYTES)
  private file: ReadableFile | undefined
  private from = 0
  private length = 0

  constructor() {
    this.batch = new RecordBatch(this.block)
  }

  /** Forgets the block: what is in the file may have changed since. Before each walk. */
  begin(file: ReadableFile): void {
    this.file = file
    this.length = 0
  }

  /** As `begin`, but the block stays when it is this file's: for a walk right after another, nothing written between. */
  goOn(file: ReadableFile): void {
    if (file !== this.file) this.begin(file)
  }

  /** Whatever `goOn` comes next reads anew, and no closed file is kept. */
  forget(): void {
    this.file = undefined
    this.length = 0
  }

  /** @returns whether a whole header lies between `position` and `end` @throws DiskError */
  seek(position: number, end: number): boolean {
    if (position + RECORD_BATCH_OVERHEAD > end) return false
    if (position < this.from || position + RECORD_BATCH_OVERHEAD > this.from + this.length) {
      const length = Math.min(BLOCK_BYTES, end - position)
      this.from = position
      this.length = 0
      this.length = this.file!.read(length === BLOCK_BYTES ? this.block : this.block.subarray(0, length), position)
      if (this.length < RECORD_BATCH_OVERHEAD) return false
    }
    this.batch.position = position - this.from
    return true
  }
}
