/** Bytes that are not what the record format says. `position` is where in the given bytes, in bytes. */
export class RecordError extends Error {
  readonly _tag = "RecordError"
  readonly position: number
  constructor(message: string, position: number) {
    super(`${message} (at byte ${position})`)
    this.position = position
  }
}
