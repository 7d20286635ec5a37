/**
 * The few functions of the C library that no runtime offers. Each runtime binds them through its own FFI
 * (NodeLibc, BunLibc, DenoLibc); without one, slices are copied and directories are locked by pid files.
 */
export interface Libc {
  /**
   * sendfile(2): sends up to `length` bytes of `file` from `position` to `socket`, both descriptors.
   * @returns bytes taken by the kernel; negative when none was (not writable now, or an error: the C library's errno
   * does not survive the way back into JavaScript)
   */
  readonly sendfile: ((socket: number, file: number, position: number, length: number) => number) | undefined
  /**
   * send(2) of what goes right before a file, so that a header does not become a packet (and wake the reader) by itself.
   * @returns bytes taken by the kernel; negative when none was
   */
  readonly sendBefore: ((socket: number, bytes: Uint8Array) => number) | undefined
  /** flock(2), exclusive and not waiting; false when another open file holds it. A close unlocks. */
  readonly flock: ((file: number) => boolean) | undefined
}

export const noLibc: Libc = { sendfile: undefined, sendBefore: undefined, flock: undefined }

/** Where the C library may be, the likeliest first. sendfile(2) takes these arguments on Linux only. */
export const libcNames = (platform: string): ReadonlyArray<string> =>
  platform === "linux"
    ? ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]
    : platform === "darwin"
    ? ["libSystem.B.dylib"]
    : []

/** LOCK_EX | LOCK_NB, on Linux and macOS alike. */
export const LOCK_EXCLUSIVE_NOW: number = 2 | 4

/** MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE, on Linux. */
export const SEND_BEFORE_FLAGS: number = 0x40 | 0x4000 | 0x8000

/** The position argument: 8 bytes that the kernel reads and advances. One for the process: calls are synchronous. */
export const positionArgument: Uint32Array<ArrayBuffer> = new Uint32Array(2)

/** Little-endian, as every platform that the three runtimes support. */
export const setPosition = (position: number): void => {
  positionArgument[0] = position >>> 0
  positionArgument[1] = Math.floor(position / 0x1_0000_0000)
}
