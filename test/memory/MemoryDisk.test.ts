import * as Effect from "effect/Effect"
import { describe, expect, test } from "vitest"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import type { DiskError } from "../../core/ports/Disk.ts"
import { diskLaws, type DiskUnderTest } from "../../core/testing/index.ts"

/** Its directory is there after every crash. */
const underTest = async (): Promise<DiskUnderTest> => {
  const memory = new MemoryDisk()
  memory.disk.makeDirectory("/d")
  await Effect.runPromise(memory.disk.syncDirectory("/"))
  return { disk: memory.disk, directory: "/d", dispose: () => {}, crash: (what) => memory.crash({ _tag: what }) }
}

describe("laws of Disk: memory", () => {
  for (const law of diskLaws(underTest)) test(law.name, law.run)
})

const text = (memory: MemoryDisk, path: string): string | undefined => {
  const stat = memory.disk.stat(path)
  if (stat === undefined) return undefined
  const bytes = new Uint8Array(stat.size)
  memory.disk.open(path, "read").read(bytes, 0)
  return new TextDecoder().decode(bytes)
}
const put = (memory: MemoryDisk, path: string, content: string): void => {
  const file = memory.disk.open(path, "create")
  file.write([new TextEncoder().encode(content)], 0)
  file.close()
}
const sync = (memory: MemoryDisk, path: string): Promise<void> =>
  Effect.runPromise(memory.disk.open(path, "readWrite").sync)
const syncDirectory = (memory: MemoryDisk, path: string): Promise<void> =>
  Effect.runPromise(memory.disk.syncDirectory(path))
const seeded = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

describe("what a crash leaves", () => {
  test("of the process: all that was written", () => {
    const memory = new MemoryDisk()
    put(memory, "/a", "one")
    memory.crash({ _tag: "process" })
    expect(text(memory, "/a")).toBe("one")
  })

  test("of the machine: only what was synced, names too", async () => {
    const memory = new MemoryDisk()
    put(memory, "/a", "one")
    put(memory, "/b", "two")
    await sync(memory, "/a")
    await syncDirectory(memory, "/")
    put(memory, "/a", "ONE and more")
    put(memory, "/c", "three")
    await sync(memory, "/c")
    memory.disk.remove("/b")
    memory.crash({ _tag: "machine" })
    expect(text(memory, "/a")).toBe("one")
    expect(text(memory, "/b")).toBe("")
    expect(text(memory, "/c")).toBeUndefined()
    expect(memory.usedBytes).toBe(3)
  })

  test("a replacing rename is there whole or not at all", async () => {
    const outcomes = new Set<string | undefined>()
    for (let seed = 0; seed < 50; seed++) {
      const memory = new MemoryDisk()
      put(memory, "/a", "old")
      await sync(memory, "/a")
      await syncDirectory(memory, "/")
      put(memory, "/a.tmp", "new")
      await sync(memory, "/a.tmp")
      memory.disk.rename("/a.tmp", "/a")
      memory.crash({ _tag: "machine", random: seeded(seed) })
      outcomes.add(text(memory, "/a"))
    }
    expect([...outcomes].sort()).toEqual(["new", "old"])
  })

  test("unsynced writes are torn, lost and kept, by the random function alone", async () => {
    const run = async (seed: number): Promise<string> => {
      const memory = new MemoryDisk()
      put(memory, "/a", "start")
      await sync(memory, "/a")
      await syncDirectory(memory, "/")
      const file = memory.disk.open("/a", "readWrite")
      for (let i = 0; i < 6; i++) file.write([new Uint8Array(3000).fill(65 + i)], 5 + i * 3000)
      memory.crash({ _tag: "machine", random: seeded(seed) })
      return text(memory, "/a") ?? ""
    }
    const results = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const left = await run(seed)
      expect(left.startsWith("start")).toBe(true)
      expect(await run(seed)).toBe(left)
      results.add(left)
    }
    expect(results.size).toBeGreaterThan(10)
  })

  test("what was opened before fails, and locks are free", async () => {
    const memory = new MemoryDisk()
    const file = memory.disk.open("/a", "create")
    await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      yield* memory.disk.lock("/lock")
      memory.crash({ _tag: "process" })
      yield* Effect.scoped(memory.disk.lock("/lock"))
    })))
    expect(() => file.size()).toThrow("the machine crashed")
  })
})

describe("faults", () => {
  test("the machine stops in the middle of any operation, and nothing works until the crash", () => {
    const memory = new MemoryDisk()
    const file = memory.disk.open("/a", "create")
    memory.stopAtOperation(3, () => 0.5)
    file.write([new Uint8Array(4).fill(65)], 0)
    expect(() => file.write([new Uint8Array(4).fill(66)], 4)).toThrow("stopped")
    expect(() => file.read(new Uint8Array(1), 0)).toThrow("stopped")
    expect(() => memory.disk.list("/")).toThrow("stopped")
    memory.crash({ _tag: "process" })
    expect(text(memory, "/a")).toBe("AAAABB")
  })

  test("a full disk takes what it has room for, and takes more when there is room again", () => {
    const memory = new MemoryDisk({ limitBytes: 10 })
    put(memory, "/a", "123456")
    const file = memory.disk.open("/b", "create")
    let failure: DiskError | undefined
    try {
      file.write([new Uint8Array(6)], 0)
    } catch (error) {
      failure = error as DiskError
    }
    expect(failure?.kind).toBe("NoSpace")
    expect(file.size()).toBe(4)
    file.truncate(0)
    memory.disk.remove("/a")
    file.write([new Uint8Array(10)], 0)
    expect(memory.disk.space("/").usableBytes).toBe(0)
  })

  test("operations fail as a test wants, and bits rot", async () => {
    const memory = new MemoryDisk()
    put(memory, "/a", "AB")
    memory.failWhen((operation) => operation === "sync" ? "Io" : undefined)
    const error = await Effect.runPromise(Effect.flip(memory.disk.open("/a", "readWrite").sync))
    expect(error.kind).toBe("Io")
    memory.failReadsWhen((path) => path === "/a" ? "Io" : undefined)
    expect(() => text(memory, "/a")).toThrow("read /a: fault")
    memory.failReadsWhen(undefined)
    memory.rot("/a", 1, 1)
    expect(text(memory, "/a")).toBe("AC")
  })
})
