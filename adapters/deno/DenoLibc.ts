/** The C library by `Deno.dlopen`, where `--allow-ffi` permits it. */
import process from "node:process"
import { libcNames, LOCK_EXCLUSIVE_NOW, type Libc, noLibc, positionArgument, SEND_BEFORE_FLAGS, setPosition } from "../shared/Libc.ts"

/** What is used of Deno's globals. */
interface DenoFfi {
  readonly dlopen?: (
    name: string,
    symbols: Readonly<Record<string, { readonly parameters: ReadonlyArray<string>; readonly result: string }>>
  ) => { readonly symbols: Readonly<Record<string, (...args: ReadonlyArray<unknown>) => unknown>> }
}

const bind = (): Libc => {
  const dlopen = (globalThis as unknown as { readonly Deno?: DenoFfi }).Deno?.dlopen
  if (dlopen === undefined) return noLibc
  for (const name of libcNames(process.platform)) {
    try {
      const flock = dlopen(name, { flock: { parameters: ["i32", "i32"], result: "i32" } }).symbols["flock"]!
      const lock = (file: number): boolean => flock(file, LOCK_EXCLUSIVE_NOW) === 0
      if (process.platform !== "linux") return { ...noLibc, flock: lock }
      const symbols = dlopen(name, {
        sendfile: { parameters: ["i32", "i32", "buffer", "usize"], result: "isize" },
        send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" }
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
      // not this name, or not permitted
    }
  }
  return noLibc
}

let bound: Libc | undefined
/** Bound at the first call, once for the process. */
export const denoLibc = (): Libc => bound ??= bind()
