/**
 * Kafka's uuid as text: 22 characters of unpadded base64url for 16 bytes, the spelling of its tools and of TopicId.
 * A fetch names the same few topics again and again, so the last spellings are kept in a direct-mapped cache.
 */
import { invalidValue } from "./ProtocolError.ts"

export const ZERO_UUID = "AAAAAAAAAAAAAAAAAAAAAA"

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

const SEXTETS: Int8Array = new Int8Array(128).fill(-1)
for (let i = 0; i < 64; i++) SEXTETS[ALPHABET.charCodeAt(i)] = i

/** Slots of the cache: 1024 spellings, about 60 KiB. A slot is overwritten by the next uuid that falls on it. */
const SLOTS = 1024
const cachedWords: Int32Array = new Int32Array(SLOTS * 4)
const cachedTexts: Array<string> = Array.from({ length: SLOTS }, () => ZERO_UUID)

/** The text of the 16 bytes at `position`, which the caller has checked are there. */
export const readUuid = (bytes: Uint8Array, position: number): string => {
  const a = word(bytes, position)
  const b = word(bytes, position + 4)
  const c = word(bytes, position + 8)
  const d = word(bytes, position + 12)
  const mixed = Math.imul(a ^ Math.imul(b, 0x9e3779b1) ^ c, 0x85ebca6b) ^ d
  const slot = (mixed ^ (mixed >>> 15)) & (SLOTS - 1)
  const at = slot << 2
  if (cachedWords[at] === a && cachedWords[at + 1] === b && cachedWords[at + 2] === c && cachedWords[at + 3] === d) {
    return cachedTexts[slot]!
  }
  const text = spell(bytes, position)
  cachedWords[at] = a
  cachedWords[at + 1] = b
  cachedWords[at + 2] = c
  cachedWords[at + 3] = d
  cachedTexts[slot] = text
  return text
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

const spell = (bytes: Uint8Array, position: number): string => {
  let text = ""
  for (let i = position; i < position + 15; i += 3) {
    const triple = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!
    text += ALPHABET[triple >> 18]! + ALPHABET[(triple >> 12) & 63]!
    text += ALPHABET[(triple >> 6) & 63]! + ALPHABET[triple & 63]!
  }
  const last = bytes[position + 15]!
  return text + ALPHABET[last >> 2]! + ALPHABET[(last & 3) << 4]!
}

/** Writes the 16 bytes of a uuid's text. @throws ProtocolError when it is not one */
export const writeUuid = (text: string, bytes: Uint8Array, position: number): void => {
  if (text.length !== 22) throw invalidValue(`not a uuid: ${JSON.stringify(text)}`)
  let bits = 0
  let pending = 0
  let at = position
  for (let i = 0; i < 22; i++) {
    const sextet = SEXTETS[text.charCodeAt(i)] ?? -1
    if (sextet < 0) throw invalidValue(`not a uuid: ${JSON.stringify(text)}`)
    pending = ((pending << 6) | sextet) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = pending >> bits
    }
  }
}
