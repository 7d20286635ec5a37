/** What the logs of one broker share. Built once by LogManager; tests build their own. */
import type { Compression } from "../ports/Compression.ts"
import type { Crypto } from "../ports/Crypto.ts"
import type { Disk, DiskError } from "../ports/Disk.ts"
import { HeaderReader } from "./HeaderReader.ts"
import { IndexPages } from "./IndexFile.ts"
import type { PartitionLog } from "./PartitionLog.ts"

export interface LogContext {
  readonly disk: Disk
  readonly crypto: Crypto
  readonly compression: Compression
  readonly pages: IndexPages
  readonly headers: HeaderReader
  /** producer.id.expiration.ms */
  readonly producerIdExpirationMs: () => number
  /** From 0 to 1, for segment.jitter.ms. */
  readonly random: () => number
  /** Runs later, on the broker's clock; failures are its own. */
  readonly schedule: (delayMs: number, run: () => void) => void
  /** A closed segment waits for its sync. */
  readonly rolled: (log: PartitionLog) => void
  /**
   * The log is shorter than its recovery point was: the checkpoint must say so before it grows again. `startsEarlier`:
   * that of log starts, too. @throws DiskError
   */
  readonly truncated: (log: PartitionLog, startsEarlier: boolean) => void
  /** The disk failed it, for anything but lack of space: its directory can't be trusted. */
  readonly failed: (log: PartitionLog, error: DiskError) => void
}

export const makeLogContext = (
  ports: Pick<LogContext, "disk" | "crypto" | "compression">,
  options: Partial<Omit<LogContext, "disk" | "crypto" | "compression" | "pages" | "headers">> = {}
): LogContext => ({
  ...ports,
  pages: new IndexPages(),
  headers: new HeaderReader(),
  producerIdExpirationMs: (): number => 86_400_000,
  random: (): number => 0,
  schedule: (): void => {},
  rolled: (): void => {},
  truncated: (): void => {},
  failed: (): void => {},
  ...options
})
