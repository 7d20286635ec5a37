import { describe, expect, it } from "@effect/vitest"
import { MAX_TIMELINE_ENTRIES, Timeline, type TimelineEntry } from "../../core/testing/Timeline.ts"

const entry = (over: Partial<TimelineEntry>): TimelineEntry => ({
  atMs: 0,
  kind: "leader",
  broker: undefined,
  partition: undefined,
  text: "",
  ...over
})

describe("Timeline", () => {
  it("is a table of time, kind, broker, partition and what happened", () => {
    const timeline = new Timeline()
    timeline.add(entry({ atMs: 1250, kind: "fault", broker: 2, text: "killed" }))
    timeline.add(entry({ atMs: 10_001, partition: "orders-0", broker: 3, text: "leads in epoch 4" }))
    timeline.add(entry({ atMs: 10_002, partition: "other-0", broker: 1, text: "leads in epoch 2" }))
    expect(timeline.render({ partition: "orders-0" }).split("\n").slice(1)).toEqual([
      " 1.250s  ×  2           killed",
      "10.001s  ★  3  orders-0 leads in epoch 4"
    ])
    expect(timeline.render({ last: 1 })).toContain("… 2 earlier")
    expect(timeline.render({ without: ["fault"] })).not.toContain("killed")
  })

  it("has one line for a high watermark that moves on undisturbed", () => {
    const timeline = new Timeline()
    for (let at = 1; at <= 5; at++) timeline.add(entry({ atMs: at, kind: "watermark", broker: 1, partition: "t-0", text: `HW ${at}` }))
    expect(timeline.entries()).toMatchObject([{ atMs: 5, text: "HW 5" }])
    timeline.add(entry({ atMs: 6, text: "leads" }))
    timeline.add(entry({ atMs: 7, kind: "watermark", broker: 1, partition: "t-0", text: "HW 6" }))
    expect(timeline.entries().length).toBe(3)
  })

  it("keeps the newest", () => {
    const timeline = new Timeline()
    for (let at = 0; at < 3 * MAX_TIMELINE_ENTRIES; at++) timeline.add(entry({ atMs: at }))
    expect(timeline.entries().length).toBeLessThanOrEqual(MAX_TIMELINE_ENTRIES)
    expect(timeline.entries().at(-1)!.atMs).toBe(3 * MAX_TIMELINE_ENTRIES - 1)
    expect(timeline.render({ last: 10 })).toContain(`… ${3 * MAX_TIMELINE_ENTRIES - 10} earlier`)
  })
})
