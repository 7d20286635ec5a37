/** One direction between two machines of a simulation, and what is wrong with it. */
import type { SimRandom } from "./SimRandom.ts"

export interface SimLinkOptions {
  /** Virtual milliseconds on the way: between both, drawn anew for every segment. */
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Of a segment to be lost and sent again: what is behind it on its connection waits with it. 0 to 1. */
  readonly loss: number
  /** Of a segment that is lost every time it is sent: its connection is over, and both ends are told by a reset. 0 to 1. */
  readonly breaks: number
  /** Bytes that pass in a millisecond; Infinity: all of them. */
  readonly bytesPerMs: number
  /** Nothing passes. What is on the way waits, as TCP sends it again, until the link is open. */
  readonly isBlocked: boolean
}

/** A machine room: other connections' segments overtake, little is lost. */
export const DEFAULT_LINK: SimLinkOptions = { minDelayMs: 0, maxDelayMs: 2, loss: 0, breaks: 0, bytesPerMs: Infinity, isBlocked: false }

/** After which TCP sends a lost segment again, in milliseconds; the double after the next loss. */
export const RETRANSMIT_MS = 200

export class SimLink {
  options: SimLinkOptions
  readonly #dice: SimRandom
  /** Until when it carries what it was given, when it is slow. */
  #busyUntilMs = 0

  constructor(options: SimLinkOptions, dice: SimRandom) {
    this.options = options
    this.#dice = dice
  }

  /** Whether a segment that would arrive now never does. */
  isBreaking(): boolean {
    return this.options.breaks > 0 && this.#dice.chance(this.options.breaks)
  }

  /** When a segment given to it now arrives. */
  arrivalMs(nowMs: number, bytes: number): number {
    const { bytesPerMs, loss, maxDelayMs, minDelayMs } = this.options
    let atMs = nowMs
    if (bytesPerMs !== Infinity) {
      this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + Math.ceil(bytes / bytesPerMs)
      atMs = this.#busyUntilMs
    }
    atMs += maxDelayMs > minDelayMs ? this.#dice.int(minDelayMs, maxDelayMs) : minDelayMs
    for (let wait = RETRANSMIT_MS; loss > 0 && wait < 16 * RETRANSMIT_MS && this.#dice.chance(loss); wait *= 2) atMs += wait
    return atMs
  }
}
