/** The C library by `node:ffi` (Node 26 and later, where it is experimental); nothing on older ones. */
import process from "node:process"
import { libcNames, LOCK_EXCLUSIVE_NOW, type Libc, noLibc, positionArgument, SEND_BEFORE_FLAGS, setPosition } from "../shared/Libc.ts"

/** What is used of `node:ffi`; its types are Node's alone, and this file is also checked where they are not known. */
interface Ffi {
  dlopen(
    name: string,
    signatures: { readonly flock: Signature }
  ): { readonly lib: Library; readonly functions: { readonly flock: (file: number, operation: number) => number } }
}
interface Library {
  getFunction(name: string, signature: Signature): (...args: ReadonlyArray<number | bigint | ArrayBufferView>) => number | bigint
}
interface Signature {
  readonly arguments: ReadonlyArray<string>
  readonly return: string
}

/**
 * Loads the module without its ExperimentalWarning: the broker falls back by itself, so the warning asks nothing of
 * an operator. Only this one warning, and only inside this synchronous call.
 */
const loadFfi = (): Ffi | undefined => {
  const emitWarning = process.emitWarning
  process.emitWarning = ((...args: Parameters<typeof emitWarning>) => {
    if (!String(args[0]).startsWith("FFI is an experimental feature")) Reflect.apply(emitWarning, process, args)
  }) as typeof emitWarning
  try {
    return (process.getBuiltinModule as ((name: string) => unknown) | undefined)?.("node:ffi") as Ffi | undefined
  } catch {
    return undefined // built or started without it
  } finally {
    process.emitWarning = emitWarning
  }
}

const bind = (): Libc => {
  const ffi = loadFfi()
  if (ffi === undefined) return noLibc
  for (const name of libcNames(process.platform)) {
    try {
      const { lib, functions } = ffi.dlopen(name, { flock: { arguments: ["int32", "int32"], return: "int32" } })
      const flock = (file: number): boolean => functions.flock(file, LOCK_EXCLUSIVE_NOW) === 0
      if (process.platform !== "linux") return { ...noLibc, flock }
      const call = lib.getFunction("sendfile", { arguments: ["int32", "int32", "buffer", "uint64"], return: "int64" })
      const send = lib.getFunction("send", { arguments: ["int32", "buffer", "uint64", "int32"], return: "int64" })
      return {
        flock,
        sendBefore: (socket, bytes) => Number(send(socket, bytes, BigInt(bytes.length), SEND_BEFORE_FLAGS)),
        sendfile: (socket, file, position, length) => {
          setPosition(position)
          return Number(call(socket, file, positionArgument, BigInt(length)))
        }
      }
    } catch {
      // not this name, or FFI is not permitted here
    }
  }
  return noLibc
}

let bound: Libc | undefined
/** Bound at the first call, once for the process. */
export const nodeLibc = (): Libc => bound ??= bind()
