/**
 * Which of a partition's storage errors are told in the broker's log. A full disk refuses every append, thousands in a
 * second, and a log that has a line for each fills the same disk: the first of a kind is told, then one in each
 * interval, with the number of those in between.
 */
export const STORAGE_ERROR_INTERVAL_MS = 10_000

export class StorageErrorLog {
  #kind: string | undefined
  #toldMs = 0
  #untold = 0

  /**
   * @param kind of the error: another than the last is told at once
   * @returns how many were not told since the last that was; undefined when this one isn't either
   */
  note(kind: string, nowMs: number): number | undefined {
    if (kind === this.#kind && nowMs - this.#toldMs < STORAGE_ERROR_INTERVAL_MS) {
      this.#untold++
      return undefined
    }
    const untold = this.#untold
    this.#kind = kind
    this.#toldMs = nowMs
    this.#untold = 0
    return untold
  }
}
