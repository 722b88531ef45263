import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { StoredValue } from '../types/repository.js'
import { fromAttributeText, toAttributeText } from './attribute.js'
import { nameOf } from './codec.js'
import { errors } from './errors.js'
import { SealError, type Place, type Sealer } from './seal.js'

/** How a value stands in the table: as its format made it, or compressed, or sealed, or both. */
export interface Envelope {
  wrap (value: StoredValue, place: Place): StoredValue
  /** @throws `FST_DYNAMODB_SESSION_UNREADABLE`, and leaves what is stored as it is. */
  unwrap (stored: StoredValue, place: Place): StoredValue
}

export interface EnvelopeSettings {
  readonly sealer: Sealer | undefined
  readonly compress: boolean
  /** Epoch milliseconds until which values that are not sealed are taken. */
  readonly acceptPlainUntil: number
  readonly now: () => number
}

/**
 * The bytes of a value in an envelope: these three, one of the version, one of marks, and the content. No JSON text is taken for
 * one, nor is any text at all: an envelope is stored as bytes.
 */
const MAGIC = Buffer.from([0xfd, 0x53, 0x56])
const VERSION = 1
const HEADER_BYTES = MAGIC.length + 2

const TEXT = 0
const BYTES = 1
const ATTRIBUTE = 2
const CONTENT = 0b11
const COMPRESSED = 0b100
const SEALED = 0b1000
const MARKS = CONTENT | COMPRESSED | SEALED

/** DynamoDB charges writes by the whole KB, so a value that is a KB smaller saves a unit with every write of its item. */
const UNIT = 1024

/** Bytes to which a compressed value may expand, ten times what an item may hold: what expands further is no session. */
const LARGEST_CONTENT = 4 * 1024 * 1024

/** How many times larger it may become, so that many of them in one item do not expand without end. JSON becomes 5 to 20 times. */
const MOST_EXPANSION = 32

export function createEnvelope ({ sealer, compress, acceptPlainUntil, now }: EnvelopeSettings): Envelope {
  return {
    wrap (value, place) {
      if (sealer === undefined && !compress && !isEnvelope(value)) return value
      const { content, marks } = pack(value, compress)
      if (sealer === undefined) {
        // Bytes of the application's that look like an envelope are put into one.
        const isNeeded = (marks & COMPRESSED) !== 0 || isEnvelope(value)
        return isNeeded ? { B: new Uint8Array(Buffer.concat([headerOf(marks), content])) } : value
      }
      const header = headerOf(marks | SEALED)
      return { B: new Uint8Array(Buffer.concat([header, sealer.seal(content, header, place)])) }
    },
    unwrap (stored, place) {
      const isSealed = isEnvelope(stored) && (marksOf(stored) & SEALED) !== 0
      if (isEnvelope(stored) && stored.B[MAGIC.length] !== VERSION) throw refusal('is in an envelope of another version')
      if (sealer !== undefined && !isSealed && !(now() < acceptPlainUntil)) throw refusal('is not sealed, although "encryptionKeys" are set')
      if (sealer === undefined && isSealed) throw refusal('is sealed, and there are no "encryptionKeys"')
      return isEnvelope(stored) ? open(Buffer.from(stored.B), isSealed ? sealer : undefined, place) : stored
    }
  }
}

/** What does not open is a failure, and never read in another way. */
function open (bytes: Buffer, sealer: Sealer | undefined, place: Place): StoredValue {
  const header = bytes.subarray(0, HEADER_BYTES)
  const content = bytes.subarray(HEADER_BYTES)
  try {
    return unpack(sealer === undefined ? content : sealer.open(content, header, place), marksOf({ B: header }))
  } catch (cause) {
    if (cause instanceof SealError) throw refusal(cause.message)
    // The parser's text would quote a value.
    throw new errors.Unreadable('one of its values is damaged', { cause: new Error(nameOf(cause)) })
  }
}

function refusal (fact: string): Error {
  return new errors.Unreadable(`one of its values ${fact}`)
}

/** A value as bytes, compressed where that is worth it, and the marks that tell how to get it back. */
function pack (value: StoredValue, compress: boolean): { readonly content: Buffer, readonly marks: number } {
  const [content, kind] = toBytes(value)
  if (!compress || content.length < UNIT || content.length > LARGEST_CONTENT) return { content, marks: kind }
  const smaller = padded(deflateRawSync(content), Math.ceil(content.length / MOST_EXPANSION))
  return content.length - smaller.length >= UNIT ? { content: smaller, marks: kind | COMPRESSED } : { content, marks: kind }
}

/** What follows the end of what is compressed is not looked at. */
function padded (bytes: Buffer, length: number): Buffer {
  return bytes.length >= length ? bytes : Buffer.concat([bytes], length)
}

function unpack (content: Buffer, marks: number): StoredValue {
  if ((marks & ~MARKS) !== 0) throw new TypeError('unknown marks')
  const whole = (marks & COMPRESSED) === 0 ? content : inflateRawSync(content, { maxOutputLength: mostFrom(content) })
  switch (marks & CONTENT) {
    case TEXT: return { S: whole.toString() }
    case BYTES: return { B: new Uint8Array(whole) }
    case ATTRIBUTE: return fromAttributeText(whole.toString())
    default: throw new TypeError('unknown content')
  }
}

function mostFrom ({ length }: Buffer): number {
  return Math.min(LARGEST_CONTENT, Math.max(1, length) * MOST_EXPANSION)
}

function toBytes (value: StoredValue): readonly [content: Buffer, kind: number] {
  if (value.S !== undefined) return [Buffer.from(value.S), TEXT]
  if (value.B !== undefined) return [Buffer.from(value.B), BYTES]
  return [Buffer.from(toAttributeText(value)), ATTRIBUTE]
}

function headerOf (marks: number): Buffer {
  return Buffer.concat([MAGIC, Buffer.from([VERSION, marks])])
}

function isEnvelope (value: StoredValue): value is { B: Uint8Array } & StoredValue {
  const { B: bytes } = value
  return bytes !== undefined && bytes.length >= HEADER_BYTES && MAGIC.equals(bytes.subarray(0, MAGIC.length))
}

function marksOf ({ B: bytes }: StoredValue): number {
  return Number(bytes?.[MAGIC.length + 1])
}
