/**
 * What a run did, as a hash and as lines. Into the hash goes every decision of the scheduler, every step of the clock,
 * every byte that went over the network and every commit of the metadata store: two runs with the same hash did the same.
 * It is made of integer arithmetic, and nothing compressed goes in (runtimes compress differently): the same seed
 * gives the same hash on Node, Bun and Deno.
 */
import { crc32c } from "../records/Crc32c.ts"

/** Lines that are kept; the oldest go first. The hash has them all. */
export const MAX_TRACE_LINES = 20_000

const PRIME = 0x01000193

export interface TraceLine {
  /** Virtual milliseconds since the run's start. */
  readonly atMs: number
  readonly text: string
}

export class Trace {
  #a = 0x811c9dc5
  #b = 0x2c1b3c6d
  #lines: Array<TraceLine> = []

  /** A whole number; its lowest 32 bits count. */
  number(value: number): void {
    this.#a = Math.imul(this.#a ^ value, PRIME)
    this.#b = Math.imul((this.#b << 5 | this.#b >>> 27) ^ value, 0x85ebca6b)
  }

  bytes(bytes: Uint8Array): void {
    this.number(bytes.length)
    this.number(crc32c(bytes) | 0)
  }

  text(text: string): void {
    this.number(text.length)
    for (let i = 0; i < text.length; i++) this.number(text.charCodeAt(i))
  }

  /** For people; into the hash too. */
  line(atMs: number, text: string): void {
    this.text(text)
    this.#keep(atMs, text)
  }

  /** For people only: what may differ between runtimes, such as the text of an error. */
  note(atMs: number, text: string): void {
    this.#keep(atMs, text)
  }

  #keep(atMs: number, text: string): void {
    this.#lines.push({ atMs, text })
    if (this.#lines.length >= 2 * MAX_TRACE_LINES) this.#lines = this.#lines.slice(-MAX_TRACE_LINES)
  }

  /** The newest, oldest first. */
  lines(): ReadonlyArray<TraceLine> {
    return this.#lines.slice(-MAX_TRACE_LINES)
  }

  /** 16 hex digits. */
  hash(): string {
    return (this.#a >>> 0).toString(16).padStart(8, "0") + (this.#b >>> 0).toString(16).padStart(8, "0")
  }
}
