/**
 * A tagged field (KIP-482) that this release does not know, as it came: kept so that encoding a decoded message loses
 * nothing. On the wire: uvarint tag, uvarint size in bytes, data; a section of them starts with their uvarint count
 * and is in the order of the tags.
 */
export interface TaggedField {
  readonly tag: number
  /** A view on the frame it was decoded from. */
  readonly data: Uint8Array
}

/** Adds what was unknown to a decoded struct. Most structs have none and keep one shape. */
export const withUnknownTags = <A extends { readonly unknownTaggedFields?: ReadonlyArray<TaggedField> | undefined }>(
  value: A,
  unknown: ReadonlyArray<TaggedField> | undefined
): A => (unknown === undefined ? value : Object.assign(value, { unknownTaggedFields: unknown }))

export const hasTags = (unknown: ReadonlyArray<TaggedField> | undefined): boolean =>
  unknown !== undefined && unknown.length > 0
