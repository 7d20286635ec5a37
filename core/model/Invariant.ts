/** A broken invariant is a bug of ours: it ends what is running, it is never an answer to a client. */
export class InvariantViolation extends Error {
  readonly _tag = "InvariantViolation"
}

/** @throws InvariantViolation unless `condition` holds */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message)
}
