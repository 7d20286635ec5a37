/** The C library by `bun:ffi`. */
import process from "node:process"
import { libcNames, LOCK_EXCLUSIVE_NOW, type Libc, noLibc, positionArgument, SEND_BEFORE_FLAGS, setPosition } from "../shared/Libc.ts"

/** What is used of `bun:ffi`, whose types would bring all of Bun's globals with them. */
interface BunFfi {
  readonly dlopen: (
    name: string,
    symbols: Readonly<Record<string, { readonly args: ReadonlyArray<string>; readonly returns: string }>>
  ) => { readonly symbols: Readonly<Record<string, (...args: ReadonlyArray<unknown>) => unknown>> }
}

const bind = (): Libc => {
  const ffi = process.getBuiltinModule("bun:ffi") as BunFfi | undefined
  if (ffi === undefined) return noLibc
  for (const name of libcNames(process.platform)) {
    try {
      const flock = ffi.dlopen(name, { flock: { args: ["int", "int"], returns: "int" } }).symbols["flock"]!
      const lock = (file: number): boolean => flock(file, LOCK_EXCLUSIVE_NOW) === 0
      if (process.platform !== "linux") return { ...noLibc, flock: lock }
      const symbols = ffi.dlopen(name, {
        sendfile: { args: ["int", "int", "ptr", "u64"], returns: "i64_fast" },
        send: { args: ["int", "ptr", "u64", "int"], returns: "i64_fast" }
      }).symbols
      const sendfile = symbols["sendfile"]!
      const send = symbols["send"]!
      return {
        flock: lock,
        sendBefore: (socket, bytes) => Number(send(socket, bytes, bytes.length, SEND_BEFORE_FLAGS)),
        sendfile: (socket, file, position, length) => {
          setPosition(position)
          return Number(sendfile(socket, file, positionArgument, length))
        }
      }
    } catch {
      // not this name
    }
  }
  return noLibc
}

let bound: Libc | undefined
/** Bound at the first call, once for the process. */
export const bunLibc = (): Libc => bound ??= bind()
