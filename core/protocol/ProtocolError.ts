/**
 * What a codec throws, and all that it throws: bytes that are not the message they claim to be, or a value that the
 * chosen version cannot carry. A peer's malformed bytes end its connection; a value is a mistake of the caller.
 */

/**
 * `Malformed`: the bytes are not a message of that version. `UnsupportedVersion`: the message has no such version, or
 * the version has no field for a value that must not be dropped. `InvalidValue`: a value out of its type's range.
 */
export type ProtocolErrorKind = "Malformed" | "UnsupportedVersion" | "InvalidValue"

export class ProtocolError extends Error {
  readonly _tag = "ProtocolError"
  readonly kind: ProtocolErrorKind
  constructor(kind: ProtocolErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export const malformed = (message: string): ProtocolError => new ProtocolError("Malformed", message)

export const invalidValue = (message: string): ProtocolError => new ProtocolError("InvalidValue", message)

/** The message does not exist in that version. */
export const unsupportedVersion = (message: string, version: number): ProtocolError =>
  new ProtocolError("UnsupportedVersion", `${message} has no version ${version}`)

/** The version has no place for the value, and its receiver would act differently without it. */
export const unsupportedField = (field: string, version: number): ProtocolError =>
  new ProtocolError("UnsupportedVersion", `version ${version} cannot carry the value of ${field}`)

export const notNullable = (field: string, version: number): ProtocolError =>
  new ProtocolError("InvalidValue", `${field} is not nullable in version ${version}`)

/** A known tagged field that came in a version that does not have it yet. */
export const unexpectedTag = (field: string, version: number): ProtocolError =>
  malformed(`tagged field ${field} does not exist in version ${version}`)
