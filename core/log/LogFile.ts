/**
 * An open .log file with the leases on it. Whoever replaces or removes the file retires it: the handle then stays
 * open, and its bytes as they are, until the last lease ends.
 */
import type { FileSlice } from "../model/Payload.ts"
import type { File } from "../ports/Disk.ts"

export class LogFile {
  readonly file: File
  /** Leases that have not ended. */
  leases = 0
  /**
   * No lease ever reached past this position. It never goes back: what sendfile(2) was given is still read from the
   * file's own pages after the lease ended, so bytes that were leased once are never changed in place.
   */
  leasedEnd = 0
  private isRetired = false

  constructor(file: File) {
    this.file = file
  }

  lease(position: number, length: number): FileSlice {
    this.leases++
    if (position + length > this.leasedEnd) this.leasedEnd = position + length
    return new LeasedSlice(this, position, length)
  }

  /** For LeasedSlice. */
  ended(): void {
    if (--this.leases > 0) return
    if (this.isRetired) this.file.close()
  }

  /** Closes the file now, or with its last lease. */
  retire(): void {
    if (this.isRetired) return
    this.isRetired = true
    if (this.leases === 0) this.file.close()
  }
}

class LeasedSlice implements FileSlice {
  readonly file: File
  readonly position: number
  readonly length: number
  private owner: LogFile | undefined

  constructor(owner: LogFile, position: number, length: number) {
    this.owner = owner
    this.file = owner.file
    this.position = position
    this.length = length
  }

  release(): void {
    // A second release would end somebody else's lease.
    const owner = this.owner
    this.owner = undefined
    owner?.ended()
  }
}
