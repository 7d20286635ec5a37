/** Small files that are read and replaced as a whole: a new file, then a rename, so a crash leaves the old or the new. */
import * as Effect from "effect/Effect"
import type { Disk, DiskError } from "../ports/Disk.ts"
import { TEMPORARY_SUFFIX } from "./LogFiles.ts"

/** Beyond this a checkpoint is not one of ours, in bytes. */
const MAX_BYTES = 64 * 1024 * 1024

/** @returns undefined when there is no such file @throws DiskError */
export const readBytes = (disk: Disk, path: string): Uint8Array | undefined => {
  const stat = disk.stat(path)
  if (stat === undefined || stat.kind !== "file") return undefined
  const file = disk.open(path, "read")
  try {
    const bytes = new Uint8Array(Math.min(stat.size, MAX_BYTES))
    return bytes.subarray(0, file.read(bytes, 0))
  } finally {
    file.close()
  }
}

/** @returns undefined when there is no such file @throws DiskError */
export const readText = (disk: Disk, path: string): string | undefined => {
  const bytes = readBytes(disk, path)
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
}

const writeTemporary = (disk: Disk, path: string, content: Uint8Array): string => {
  const temporary = path + TEMPORARY_SUFFIX
  // One that a crash left. A file of its own, not new bytes in the old: another crash might leave some of each.
  if (disk.stat(temporary) !== undefined) disk.remove(temporary)
  const file = disk.open(temporary, "createNew")
  try {
    file.write([content], 0)
  } catch (error) {
    file.close()
    disk.remove(temporary)
    throw error
  }
  file.close()
  return temporary
}

/** Survives a crash of the process; of the machine only after syncs of the file and its directory. @throws DiskError */
export const replaceFile = (disk: Disk, path: string, content: Uint8Array | string): void => {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content
  disk.rename(writeTemporary(disk, path, bytes), path)
}

/**
 * The same, and survives a crash of the machine once done.
 * @param isLatest asked when the new bytes are durable: who replaced the file meanwhile has newer ones, which stay
 */
export const replaceFileDurably = (
  disk: Disk,
  path: string,
  content: Uint8Array | string,
  isLatest: () => boolean = () => true
): Effect.Effect<void, DiskError> =>
  Effect.gen(function*() {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content
    const { file, temporary } = yield* attempt(() => {
      const temporary = writeTemporary(disk, path, bytes)
      return { file: disk.open(temporary, "readWrite"), temporary }
    })
    yield* Effect.ensuring(file.sync, Effect.sync(() => file.close()))
    const isReplaced = yield* attempt(() => {
      if (!isLatest()) return false
      disk.rename(temporary, path)
      return true
    })
    if (isReplaced) yield* disk.syncDirectory(path.slice(0, path.lastIndexOf("/")))
  })

/** A synchronous piece of work with the disk as an effect. */
export const attempt = <A>(run: () => A): Effect.Effect<A, DiskError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (error) {
      if ((error as { readonly _tag?: string })._tag === "DiskError") return Effect.fail(error as DiskError)
      throw error
    }
  })
