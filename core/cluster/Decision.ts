/**
 * What a command decided: an answer and a change for each of its items. Pure data; Controller.ts commits it.
 */
import type { Comparison, Operation, Revision } from "../ports/MetadataStore.ts"

/** A change that becomes visible at once or not at all. */
export interface Change {
  /** Written before, invisible until `operations` are (partition keys that no topic counts yet): any split will do. */
  readonly prepare: ReadonlyArray<Operation>
  /** What must still be as the decision saw it. */
  readonly comparisons: ReadonlyArray<Comparison>
  /** One commit. Small, so that several changes share a commit. */
  readonly operations: ReadonlyArray<Operation>
  /** Removed after; what is not is an orphan that the next controller removes. */
  readonly cleanup: ReadonlyArray<Operation>
}

/** One item's outcome; without a change it is only an answer: a refusal, or nothing to do. */
export interface Decided<Result> {
  readonly result: Result
  readonly change?: Change
  /** The answer once the change is committed, where that has to name the revision; used by `Submitter.submit`. */
  readonly committedAt?: (revision: Revision) => Result
}

export const changeOf = (
  comparisons: ReadonlyArray<Comparison>,
  operations: ReadonlyArray<Operation>,
  rest: { readonly prepare?: ReadonlyArray<Operation>; readonly cleanup?: ReadonlyArray<Operation> } = {}
): Change => ({ comparisons, operations, prepare: rest.prepare ?? [], cleanup: rest.cleanup ?? [] })

export const put = (key: string, value: string, session?: string): Operation =>
  session === undefined ? { _tag: "Put", key, value } : { _tag: "Put", key, value, session }

export const remove = (key: string): Operation => ({ _tag: "Delete", key })
