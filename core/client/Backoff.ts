/**
 * Exponential backoff as Kafka's clients have it (KIP-580): the pause doubles with each failure, varies by 20 % so that
 * many clients do not come back at once, and never exceeds its maximum.
 */

export interface BackoffPolicy {
  /** Before the first retry, in ms. */
  readonly initialMs: number
  /** In ms; not greater than `initialMs`: every pause is this, without jitter. */
  readonly maxMs: number
}

const JITTER = 0.2

/**
 * The pause after `failures` (1 or more) in a row, in ms.
 * @param random from 0 (inclusive) to 1 (exclusive)
 */
export const backoffMs = ({ initialMs, maxMs }: BackoffPolicy, failures: number, random: number): number => {
  if (maxMs <= initialMs) return maxMs
  // 2^52 times anything is beyond every maximum. Jitter comes after the cap: also at the maximum clients spread.
  const exact = Math.min(initialMs * 2 ** Math.min(Math.max(failures - 1, 0), 52), maxMs)
  return Math.min(Math.floor(exact * (1 - JITTER + 2 * JITTER * random)), maxMs)
}
