import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { OFFSET_MAP_ENTRY_BYTES, OffsetMap } from "../../core/log/OffsetMap.ts"

const SEED = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8])
const makeMap = (memoryBytes: number, loadFactor = 1, seed: Uint8Array = SEED): OffsetMap =>
  new OffsetMap({ memoryBytes, loadFactor, seed })

const put = (map: OffsetMap, key: Uint8Array, offset: number): boolean => map.put(key, 0, key.length, offset)
const get = (map: OffsetMap, key: Uint8Array): number => map.get(key, 0, key.length)

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Longer than a block of the map. */
const large = (last: number): Uint8Array => {
  const key = new Uint8Array(1_500_000)
  key[key.length - 1] = last
  return key
}

describe("OffsetMap", () => {
  it("is a map from whole keys to their last offset, up to its bound", () => {
    const key = fc.oneof(fc.uint8Array({ maxLength: 3, max: 2 }), fc.uint8Array({ maxLength: 40 }))
    fc.assert(
      fc.property(fc.array(key, { maxLength: 120 }), fc.integer({ min: 24, max: 4000 }), (keys, memoryBytes) => {
        const map = makeMap(memoryBytes)
        const model = new Map<string, number>()
        let taken = 0
        keys.forEach((each, offset) => {
          const name = each.join()
          const size = each.length + OFFSET_MAP_ENTRY_BYTES
          const fits = model.has(name) || model.size === 0 || taken + size <= memoryBytes
          expect(put(map, each, offset)).toBe(fits)
          if (!fits) return
          if (!model.has(name)) taken += size
          model.set(name, offset)
          expect(map.latestOffset).toBe(offset)
        })
        expect(map.size).toBe(model.size)
        for (const each of keys) expect(get(map, each)).toBe(model.get(each.join()) ?? -1)
      }),
      { seed: 3101, numRuns: 300 }
    )
  })

  it("finds keys inside larger arrays, whatever lies around them", () => {
    const map = makeMap(10_000)
    const bytes = bytesOf("xxkeyyykeyz")
    map.put(bytes, 2, 3, 5)
    expect(map.get(bytes, 7, 3)).toBe(5)
    expect(map.get(bytes, 7, 4)).toBe(-1)
    expect(map.get(bytes, 2, 2)).toBe(-1)
  })

  it("holds many keys, through growth, and offsets beyond 32 bits", () => {
    const map = makeMap(16 * 1024 * 1024)
    const base = 2 ** 52
    for (let i = 0; i < 100_000; i++) put(map, bytesOf(`key-${i % 50_000}`), base + i)
    expect(map.size).toBe(50_000)
    for (let i = 0; i < 50_000; i += 97) expect(get(map, bytesOf(`key-${i}`))).toBe(base + 50_000 + i)
    expect(get(map, bytesOf("key-50000"))).toBe(-1)
  })

  it("keeps keys larger than its blocks beside small ones", () => {
    const map = makeMap(8 * 1024 * 1024)
    put(map, bytesOf("a"), 1)
    put(map, large(1), 2)
    put(map, bytesOf("b"), 3)
    put(map, large(2), 4)
    expect([bytesOf("a"), large(1), bytesOf("b"), large(2), large(3)].map((key) => get(map, key))).toEqual([1, 2, 3, 4, -1])
  })

  it("takes one key even when that is larger than the buffer, and then only what it has", () => {
    const map = makeMap(50)
    expect(put(map, new Uint8Array(100), 1)).toBe(true)
    expect(map.utilization).toBeGreaterThan(1)
    expect(put(map, new Uint8Array(1), 2)).toBe(false)
    expect(put(map, new Uint8Array(100), 3)).toBe(true)
    expect(get(map, new Uint8Array(100))).toBe(3)
    expect(map.latestOffset).toBe(3)
  })

  it("fills the part of the buffer that the load factor says", () => {
    const map = makeMap(1000 * (OFFSET_MAP_ENTRY_BYTES + 4), 0.9)
    let count = 0
    while (put(map, new Uint8Array([0, 0, count >> 8, count]), count)) count++
    expect(count).toBe(900)
  })

  it("forgets all when cleared", () => {
    const map = makeMap(1_000_000)
    for (let i = 0; i < 5000; i++) put(map, bytesOf(`${i}`), i)
    map.updateLatestOffset(7000)
    expect(map.latestOffset).toBe(7000)
    map.clear()
    expect([map.size, map.latestOffset, map.utilization, get(map, bytesOf("17"))]).toEqual([0, -1, 0, -1])
    put(map, bytesOf("17"), 1)
    expect(get(map, bytesOf("17"))).toBe(1)
  })

  it("gives the same results with any seed", () => {
    const keys = Array.from({ length: 3000 }, (_, i) => bytesOf(`k${(i * 7919) % 1000}`))
    const results = [0, 1, 255].map((byte) => {
      const map = makeMap(20_000, 1, new Uint8Array(8).fill(byte))
      return [keys.map((key, i) => put(map, key, i)), keys.map((key) => get(map, key))]
    })
    expect(results[1]).toEqual(results[0])
    expect(results[2]).toEqual(results[0])
  })
})
