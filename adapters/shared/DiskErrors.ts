/** What a failed file operation says, by the error codes that the three runtimes share. */
import { DiskError, type DiskErrorKind } from "../../core/ports/Disk.ts"

const kinds: Readonly<Record<string, DiskErrorKind>> = {
  ENOENT: "NotFound",
  EEXIST: "AlreadyExists",
  ENOTEMPTY: "AlreadyExists",
  ENOSPC: "NoSpace",
  EDQUOT: "NoSpace",
  EACCES: "NotPermitted",
  EPERM: "NotPermitted",
  EROFS: "NotPermitted",
  EBUSY: "Busy",
  EAGAIN: "Busy",
  EWOULDBLOCK: "Busy",
  EBADF: "Closed"
}

export const toDiskError = (cause: unknown, operation: string, path: string): DiskError => {
  if (cause instanceof DiskError) return cause
  const code = String((cause as { readonly code?: unknown } | null)?.code ?? "")
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new DiskError(kinds[code] ?? "Io", operation, path, detail)
}
