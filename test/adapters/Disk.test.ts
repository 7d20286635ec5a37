import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import process from "node:process"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { noLibc } from "../../adapters/shared/Libc.ts"
import { make } from "../../adapters/shared/NodeDisk.ts"
import { Disk, DiskError } from "../../core/ports/Disk.ts"
import { diskLaws, type DiskUnderTest } from "../../core/testing/index.ts"
import { adapters } from "./Runtime.ts"

const { diskLayer, libc, runtime } = adapters

const underTest = (disk: Disk): DiskUnderTest => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "ottla-test-"))
  return { disk, directory, dispose: () => fs.rmSync(directory, { recursive: true, force: true }) }
}
const layerDisk: Disk = Effect.runSync(Effect.provide(Effect.service(Disk), diskLayer))

for (const [name, disk] of [[runtime, layerDisk], [`${runtime} without a C library`, make(noLibc)]] as const) {
  describe(`laws of Disk: ${name}`, () => {
    for (const law of diskLaws(() => underTest(disk))) it(law.name, law.run)
  })
}

const withDirectory = async (run: (directory: string) => Promise<void> | void): Promise<void> => {
  const { directory, dispose } = underTest(layerDisk)
  try {
    await run(directory)
  } finally {
    dispose()
  }
}

it.runIf(process.platform === "linux")("a directory that cannot be made is an error at once: below /proc", () => {
  expect(() => layerDisk.makeDirectory("/proc/ottla/logs")).toThrow(DiskError)
})

const startOf = (pid: number): string => fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[19]!

const lockKind = (disk: Disk, file: string): Promise<string> =>
  Effect.runPromise(
    Effect.scoped(disk.lock(file)).pipe(
      Effect.match({ onSuccess: () => "held", onFailure: (error) => error.kind })
    )
  )

describe(`disk of ${runtime}`, () => {
  it("writes more buffers than one system call takes", () =>
    withDirectory((directory) => {
      const file = layerDisk.open(`${directory}/a`, "createNew")
      const buffers = Array.from({ length: 5000 }, (_, i) => new Uint8Array(i % 7).fill(i))
      file.write(buffers, 3)
      const expected = Buffer.concat([new Uint8Array(3), ...buffers])
      const found = new Uint8Array(expected.length + 10)
      expect(file.read(found, 0)).toBe(expected.length)
      expect(Buffer.compare(found.subarray(0, expected.length), expected)).toBe(0)
      file.close()
    }))

  it.runIf(process.platform === "linux")("a full volume is NoSpace", () => {
    const file = layerDisk.open("/dev/full", "readWrite")
    for (const buffers of [[new Uint8Array(10)], [new Uint8Array(10), new Uint8Array(20)]]) {
      let error: unknown
      try {
        file.write(buffers, 0)
      } catch (cause) {
        error = cause
      }
      expect(error).toBeInstanceOf(DiskError)
      expect((error as DiskError).kind).toBe("NoSpace")
    }
    file.close()
  })

  it("a close while a sync is under way lets the sync finish on its own file", () =>
    withDirectory(async (directory) => {
      for (let i = 0; i < 20; i++) {
        const file = layerDisk.open(`${directory}/a${i}`, "createNew")
        file.write([new Uint8Array(1000)], 0)
        const synced = Promise.all([Effect.runPromise(file.sync), Effect.runPromise(file.sync)])
        file.close()
        expect(file.descriptor).toBe(-1)
        await synced
        const after = await Effect.runPromise(Effect.flip(file.sync))
        expect(after.kind).toBe("Closed")
      }
    }))

  describe.each([["flock", libc.flock === undefined ? undefined : layerDisk], ["a holder file", make(noLibc)]] as const)(
    "lock by %s",
    (_, disk) => {
      if (disk === undefined) return
      it("is Busy while this process holds it, by either kind, and free afterwards", () =>
        withDirectory(async (directory) => {
          const file = `${directory}/.lock`
          await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
            yield* disk.lock(file)
            expect((yield* Effect.flip(Effect.scoped(disk.lock(file)))).kind).toBe("Busy")
            expect((yield* Effect.flip(Effect.scoped(make(noLibc).lock(file)))).kind).toBe("Busy")
            expect((yield* Effect.flip(Effect.scoped(layerDisk.lock(file)))).kind).toBe("Busy")
          })))
          expect(await lockKind(disk, file)).toBe("held")
        }))

      it("passes by a holder that is gone, or whose process id another process has now", () =>
        withDirectory(async (directory) => {
          const file = `${directory}/.lock`
          for (const left of ["4194304 1\n", `${process.pid} 1\n`, `${process.ppid} 1\n`, "garbage", ""]) {
            fs.writeFileSync(file, left)
            expect(await lockKind(disk, file)).toBe("held")
          }
        }))

      it.runIf(process.platform === "linux")("is Busy while the process that the file names lives", () =>
        withDirectory(async (directory) => {
          const file = `${directory}/.lock`
          fs.writeFileSync(file, `${process.ppid} ${startOf(process.ppid)}\n`)
          expect(await lockKind(disk, file)).toBe("Busy")
        }))

      it("a directory that is not there is NotFound", () =>
        withDirectory(async (directory) => {
          expect(await lockKind(disk, `${directory}/missing/.lock`)).toBe("NotFound")
        }))
    }
  )
})
