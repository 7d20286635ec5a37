/**
 * `auto.offset.reset`: where a consumer begins that has no position, or one that is not in the log. `latest`, `earliest`,
 * `none`, or `by_duration:PnDTnHnMn.nS` (KIP-1106): at the first record that is no older than that, at the end of the
 * log when there is none.
 */
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP } from "./SubscriptionState.ts"

export type OffsetResetName = "latest" | "earliest" | "none" | `by_duration:${string}`

export type OffsetReset =
  | { readonly _tag: "None" }
  /** A timestamp of ListOffsets: -1 latest, -2 earliest. */
  | { readonly _tag: "To"; readonly timestamp: number }
  /** In ms before now; not negative. */
  | { readonly _tag: "ByDuration"; readonly durationMs: number }

/** What `auto.offset.reset` takes, for messages. */
export const OFFSET_RESETS = "earliest, latest, none or by_duration:PnDTnHnMn.nS"

const BY_DURATION = "by_duration:"
const DURATION = /^([+-]?)P(?:([+-]?\d+)D)?(T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d+)(?:[.,](\d{0,9}))?S)?)?$/i

/** `PnDTnHnMn.nS` as java.time.Duration reads it, each part with a sign of its own if need be. @returns ms; undefined: it is none */
export const parseDuration = (text: string): number | undefined => {
  const match = DURATION.exec(text)
  if (match === null || match.slice(2).every((part) => part === undefined) || match[3]?.toUpperCase() === "T") return undefined
  const [, sign, days = "0", , hours = "0", minutes = "0", seconds = "0", fraction = ""] = match
  const fractionMs = Number(`0.${fraction === "" ? "0" : fraction}`) * 1000 * (seconds.startsWith("-") ? -1 : 1)
  const ms = ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60_000 + Number(seconds) * 1000 + fractionMs
  return sign === "-" ? -ms : ms
}

/** @returns undefined: it is none of them */
export const parseOffsetReset = (value: unknown): OffsetReset | undefined => {
  switch (value) {
    case "none":
      return { _tag: "None" }
    case "latest":
      return { _tag: "To", timestamp: LATEST_TIMESTAMP }
    case "earliest":
      return { _tag: "To", timestamp: EARLIEST_TIMESTAMP }
  }
  if (typeof value !== "string" || !value.startsWith(BY_DURATION)) return undefined
  const durationMs = parseDuration(value.slice(BY_DURATION.length))
  return durationMs === undefined || durationMs < 0 ? undefined : { _tag: "ByDuration", durationMs }
}

/** The timestamp to ask ListOffsets for; undefined: the application has to say. */
export const resetTimestamp = (reset: OffsetReset, nowMs: number): number | undefined => {
  switch (reset._tag) {
    case "None":
      return undefined
    case "To":
      return reset.timestamp
    case "ByDuration":
      return Math.max(0, Math.floor(nowMs - reset.durationMs))
  }
}
