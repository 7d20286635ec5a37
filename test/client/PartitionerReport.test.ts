import { describe, expect, it } from "vitest"
import { Partitioner } from "../../core/client/Partitioner.ts"
import { measurePartitioner, partitionerSvg, partitionerText } from "../../core/client/PartitionerReport.ts"
import { consistentHashPartitioner, kafkaPartitioner, partitionForKey, roundRobinPartitioner } from "../../core/client/partitioners/index.ts"

const lopsided = Partitioner.fromFunction("<lopsided>", ({ key }, { partitions }) =>
  key === null ? 1 : Math.min(partitionForKey(key, partitions.length + 1), partitions.length - 1))

describe("the report", () => {
  it("measures skew and movement", () => {
    const even = measurePartitioner(kafkaPartitioner, { partitions: 4 })
    expect(even.keyShares).toHaveLength(4)
    for (const share of [...even.keyShares, ...even.keylessShares]) expect(Math.abs(share - 1)).toBeLessThan(0.1)
    expect(even.movements.map(({ from, to }) => [from, to])).toEqual([[4, 5], [4, 6], [4, 8]])
    expect(even.movements[0]!.moved).toBeGreaterThan(0.7)

    // the last of 4 gets two of five equal parts
    const skewed = measurePartitioner(lopsided, { partitions: 4 })
    expect(skewed.keyShares[3]).toBeCloseTo(1.6, 1)
    expect(skewed.keylessShares).toEqual([0, 4, 0, 0])

    const few = measurePartitioner(consistentHashPartitioner, { partitions: 4, grownTo: [5] })
    expect(few.movements[0]!.least).toBeCloseTo(0.2)
    expect(few.movements[0]!.moved).toBeCloseTo(0.2, 1)
  })

  it("says nothing of movement for a partitioner that does not place by key", () => {
    expect(measurePartitioner(roundRobinPartitioner, { partitions: 5, keys: 1000 }).movements).toEqual([])
  })

  it("prints a table, and a bar for each partition", () => {
    const text = partitionerText([kafkaPartitioner, roundRobinPartitioner, lopsided].map((one) => measurePartitioner(one, { partitions: 4 })))
    const lines = text.split("\n")
    expect(lines[0]).toMatch(/^partitioner +keys: skew +emptiest +fullest .*moved 4->5 +moved 4->6 +moved 4->8$/)
    expect(lines[2]).toMatch(/^round-robin +0\.0 % +100\.0 % +100\.0 % .* - +- +-$/)
    expect(lines[4]).toMatch(/^\(an even spread\) .*20\.0 % +33\.3 % +50\.0 %$/)
    expect(text).toContain("  1 ############################################################ 400.0 %")
    expect(text).toMatch(/^[\n\x20-\x7e]*$/)
  })

  it("of many partitions prints groups", () => {
    const text = partitionerText([measurePartitioner(roundRobinPartitioner, { partitions: 500, keys: 5000 })])
    expect(text.split("\n").length).toBeLessThan(120)
    expect(text).toContain("~47 ######################## 10")
  })

  it("draws well-formed SVG with each bar once, whatever the name is", () => {
    const svg = partitionerSvg([measurePartitioner(lopsided, { partitions: 4 })])
    expect(svg).toContain("&#60;lopsided&#62;")
    expect(svg.match(/<title>partition \d/g)).toHaveLength(8)
    const open: Array<string> = []
    for (const [, close, name, selfClosing] of svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)) {
      if (close === "/") expect(open.pop()).toBe(name)
      else if (selfClosing === "") open.push(name!)
    }
    expect(open).toEqual([])
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })
})
