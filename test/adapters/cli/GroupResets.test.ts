import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { clamp, parseDatetime, parseDuration, parsePlan } from "../../../adapters/cli/GroupResets.ts"
import { resetCsv } from "../../../adapters/cli/GroupTables.ts"

describe("--to-datetime", () => {
  it("is UTC unless it says otherwise", () => {
    expect(parseDatetime("2020-01-01T00:00:00.000")).toBe(Date.UTC(2020, 0, 1))
    expect(parseDatetime("2020-01-01T00:00:00.000Z")).toBe(Date.UTC(2020, 0, 1))
    expect(parseDatetime("2020-01-01T00:00:00.123+01:30")).toBe(Date.UTC(2019, 11, 31, 22, 30, 0, 123))
    expect(parseDatetime("2020-02-29T23:59:59.999-08")).toBe(Date.UTC(2020, 2, 1, 7, 59, 59, 999))
  })

  it("is a time that exists, in Kafka's form", () => {
    expect(() => parseDatetime("foo")).toThrow("java.text.ParseException: Error parsing timestamp. It does not contain a 'T' according to ISO8601 format")
    expect(() => parseDatetime("2030-01-01T00:00:00")).toThrow("Unparseable date: \"2030-01-01T00:00:00Z\"")
    for (const wrong of ["2021-02-29T00:00:00.000", "2021-13-01T00:00:00.000", "2021-01-01T24:00:00.000"]) {
      expect(() => parseDatetime(wrong), wrong).toThrow("Unparseable date")
    }
  })

  it("reads back what a clock prints", () => {
    fc.assert(fc.property(fc.date({ min: new Date(0), max: new Date("9999-12-31T00:00:00Z"), noInvalidDate: true }), (date) => {
      expect(parseDatetime(date.toISOString())).toBe(date.getTime())
    }))
  })
})

describe("--by-duration", () => {
  it("adds up its parts, each with a sign", () => {
    const second = 1000
    expect(parseDuration("P1D")).toBe(86_400 * second)
    expect(parseDuration("P1DT2H3M4.5S")).toBe(((24 + 2) * 3600 + 3 * 60 + 4.5) * second)
    expect(parseDuration("PT-6H+3M")).toBe((-6 * 3600 + 180) * second)
    expect(parseDuration("-PT6H")).toBe(-6 * 3600 * second)
    expect(parseDuration("pt0s")).toBe(0)
    expect(parseDuration("PT-0.5S")).toBe(-500)
  })

  it("is refused in Java's words", () => {
    for (const wrong of ["foo", "P", "PT", "P1", "1D", "P1H", "P1DT"]) {
      expect(() => parseDuration(wrong), wrong).toThrow("Text cannot be parsed to a Duration")
    }
  })
})

describe("--from-file", () => {
  it("takes what --export printed, for one group and for several", () => {
    const name = fc.stringMatching(/^[a-zA-Z0-9._,"-]{1,10}$/)
    const offset = fc.record({ topic: fc.stringMatching(/^[a-zA-Z0-9._-]{1,10}$/), partition: fc.nat(20), offset: fc.nat(1_000_000) })
    const offsets = fc.uniqueArray(offset, { minLength: 1, maxLength: 8, selector: ({ partition, topic }) => `${topic}-${partition}` })
    fc.assert(fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 4 }), offsets, (groups, list) => {
      const all = new Map(groups.map((group) => [group, list]))
      const plan = parsePlan(resetCsv(all, groups.length === 1), groups)
      expect([...plan.keys()].sort()).toEqual([...groups].sort())
      for (const planned of plan.values()) expect(new Set(planned)).toEqual(new Set(list))
    }))
  })

  it("names the line that it cannot read", () => {
    expect(() => parsePlan("t,0,1\nt,x,1\n", ["g"])).toThrow("line 2 of the file is neither")
    expect(() => parsePlan("t,0,1\n", ["g", "h"])).toThrow("line 1")
  })
})

it("offsets beyond a partition's ends become its ends, and are told", () => {
  const wanted = [-5, 3, 11].map((offset) => ({ topic: "t", partition: 0, offset }))
  const { offsets, warnings } = clamp(wanted, () => ({ start: 2, end: 10 }))
  expect(offsets.map(({ offset }) => offset)).toEqual([2, 3, 10])
  expect(warnings).toEqual([
    "New offset (-5) is lower than earliest offset for topic partition t-0. Value will be set to 2",
    "New offset (11) is higher than latest offset for topic partition t-0. Value will be set to 10"
  ])
})
