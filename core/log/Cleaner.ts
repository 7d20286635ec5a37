/** Compaction (placeholder until the decisions are wired). */
import * as Effect from "effect/Effect"
import type { LogContext } from "./LogContext.ts"
import type { LogDirectory } from "./LogDirectory.ts"
import type { PartitionLog } from "./PartitionLog.ts"

export interface CleanerOptions {
  readonly context: LogContext
  readonly logs: () => ReadonlyArray<PartitionLog>
  readonly directoryOf: (log: PartitionLog) => LogDirectory | undefined
  readonly highWatermark: (log: PartitionLog) => number
  readonly nowMs: () => number
  readonly config: { readonly number: (key: string) => number }
}

export const makeCleaner = (_options: CleanerOptions): Effect.Effect<number> => Effect.succeed(0)
