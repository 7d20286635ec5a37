/**
 * One holder per path, among processes and among brokers of one process.
 *
 * With flock(2) the kernel keeps it and a crash ends it. Without, the file says who holds it: the process id and, where
 * /proc tells it, when that process started, so that an id used again (every container's first process is 1) is
 * not taken for the holder. Both write the same line, so a runtime with flock also sees a holder without it.
 */
import * as fs from "node:fs"
import process from "node:process"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { DiskError } from "../../core/ports/Disk.ts"
import { toDiskError } from "./DiskErrors.ts"
import type { Libc } from "./Libc.ts"

/** Files (by device and inode) that this process holds: what a file by this process's own id cannot tell. */
const held = new Set<string>()

/** The step takes microseconds. In ms. */
const GUARD_STALE_MS = 10_000

const busy = (path: string, holder: string): DiskError =>
  new DiskError("Busy", "lock", path, `held by ${holder}`)

/** From the third on, of /proc/ID/stat; none where there is no such thing. */
const statFields = (pid: number): ReadonlyArray<string> => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  } catch {
    return []
  }
}

/** When it began, in clock ticks since boot; "" where nobody tells. */
const startOf = (pid: number): string => statFields(pid)[19] ?? ""

const isAlive = (pid: number): boolean => {
  // It has ended, and is there only until its parent asks how: a container's first process may never do so.
  if (/^[ZX]$/.test(statFields(pid)[0] ?? "")) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return (cause as { readonly code?: string }).code === "EPERM"
  }
}

/** The living process other than this one that the file names. */
const otherHolder = (content: string): string | undefined => {
  const [id = "", start = ""] = content.trim().split(" ")
  const pid = Number(id)
  if (!/^\d+$/.test(id) || pid === process.pid || !isAlive(pid)) return undefined
  const startNow = startOf(pid)
  return start !== "" && startNow !== "" && start !== startNow ? undefined : `process ${pid}`
}

/**
 * Without flock, looking and writing must be one step: A and B both see no holder, A writes and looks again, then B
 * writes. A second file that is there for that step alone keeps them apart; one that a crash left is old.
 */
const guarded = <A>(path: string, run: () => A): A => {
  const guard = `${path}.taking`
  const left = fs.statSync(guard, { throwIfNoEntry: false })
  if (left !== undefined && Date.now() - left.mtimeMs > GUARD_STALE_MS) fs.rmSync(guard, { force: true })
  try {
    fs.closeSync(fs.openSync(guard, "wx"))
  } catch (cause) {
    throw (cause as { readonly code?: string }).code === "EEXIST" ? busy(path, "another process") : cause
  }
  try {
    return run()
  } finally {
    fs.rmSync(guard, { force: true })
  }
}

/** Shows who holds a lock, and holds it where there is no flock. */
const writeHolder = (path: string, fd: number): void => {
  const other = otherHolder(fs.readFileSync(path, "utf8"))
  if (other !== undefined) throw busy(path, other)
  const line = new TextEncoder().encode(`${process.pid} ${startOf(process.pid)}\n`)
  fs.ftruncateSync(fd, 0)
  fs.writeSync(fd, line, 0, line.length, 0)
}

const acquire = (libc: Libc, path: string): { readonly fd: number; readonly key: string } => {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644)
  try {
    const { dev, ino } = fs.fstatSync(fd)
    const key = `${dev}:${ino}`
    if (held.has(key)) throw busy(path, "this process")
    if (libc.flock === undefined) guarded(path, () => writeHolder(path, fd))
    else if (libc.flock(fd)) writeHolder(path, fd)
    else throw busy(path, "another process")
    held.add(key)
    return { fd, key }
  } catch (cause) {
    fs.closeSync(fd)
    throw cause
  }
}

/** The file stays, empty, after a release: removing it would let two processes lock two files of one name. */
export const lockFile = (libc: Libc, path: string): Effect.Effect<void, DiskError, Scope> =>
  Effect.acquireRelease(
    Effect.try({ try: () => acquire(libc, path), catch: (cause) => toDiskError(cause, "lock", path) }),
    ({ fd, key }) =>
      Effect.sync(() => {
        held.delete(key)
        try {
          fs.ftruncateSync(fd, 0)
        } finally {
          fs.closeSync(fd)
        }
      })
  ).pipe(Effect.asVoid)
