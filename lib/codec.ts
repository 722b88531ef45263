import type { Codec } from '../types/options.js'
import type { StoredValue } from '../types/repository.js'
import { errors, safeCause } from './errors.js'
import { jsonFormat } from './json.js'
import { nativeFormat } from './native.js'
import { Refusal } from './plain.js'

/** A format: one value to one attribute and back. Both directions throw what they cannot do. */
export interface Format {
  /** As stored in `fmt`; undefined for JSON text, the format that needs no name. */
  readonly name: string | undefined
  encode (value: unknown): StoredValue
  decode (stored: StoredValue): unknown
}

/** The formats that an application can read, and the one it writes new records in. */
export interface Formats {
  readonly preferred: Format
  named (name: string | undefined): Format
}

export function createFormats (choice: 'json' | 'native' | Codec): Formats {
  const own = typeof choice === 'string' ? [] : [customFormat(choice)]
  const known = [...own, jsonFormat, nativeFormat]
  const preferred = own[0] ?? (choice === 'native' ? nativeFormat : jsonFormat)
  return {
    preferred,
    named (name) {
      return known.find(candidate => candidate.name === name) ?? unknownFormat(name)
    }
  }
}

/** Encodes a value for a session key; a value that the format cannot carry is named with its reason. */
export function encodeValue (format: Format, key: string, value: unknown): StoredValue {
  try {
    return format.encode(value)
  } catch (cause) {
    if (cause instanceof errors.Unreadable) throw cause
    throw new errors.UnsupportedValue(key, reasonOf(cause), { cause: safeCause(cause) })
  }
}

function reasonOf (cause: unknown): string {
  if (cause instanceof Refusal) return cause.message
  return isOverflow(cause) ? 'it is nested too deeply' : 'its format refused it, and the cause says why'
}

/** Decodes the value of a session key. */
export function decodeValue (format: Format, stored: StoredValue): unknown {
  try {
    return format.decode(stored)
  } catch (cause) {
    if (cause instanceof errors.Unreadable) throw cause
    // The parser's text quotes what it could not parse, which is a value.
    throw new errors.Unreadable('one of its values does not have its format', { cause: new Error(nameOf(cause)) })
  }
}

/** A codec may walk a value until the stack is full. */
function isOverflow (cause: unknown): boolean {
  return cause instanceof RangeError && cause.message.includes('call stack')
}

/** What kind of failure it was, without its text. */
export function nameOf (cause: unknown): string {
  return cause instanceof Error ? cause.name : 'unknown'
}

/**
 * A format that is not configured here, as while a new one is being rolled out: its values cannot be read or written, but
 * the session can be destroyed and replaced. The name is not repeated: what stands in the table is nobody's word.
 */
function unknownFormat (name: string | undefined): Format {
  const refuse = (): never => { throw new errors.Unreadable('it has a format that is not configured here') }
  return { name, encode: refuse, decode: refuse }
}

function customFormat (codec: Codec): Format {
  return {
    name: codec.name,
    encode (value) {
      const stored: unknown = codec.encode(value)
      // DynamoDB keeps text as UTF-8, which has no half surrogate pairs.
      if (typeof stored === 'string' && !stored.isWellFormed()) throw new Refusal('the codec must not encode to text with half a surrogate pair')
      if (typeof stored === 'string') return { S: stored }
      // Copied both ways: a codec may give out the very bytes that it got, and the application may change them in place.
      if (stored instanceof Uint8Array) return { B: new Uint8Array(stored) }
      throw new Refusal('the codec must encode to text or bytes')
    },
    decode (stored) {
      const content = stored.S ?? (stored.B === undefined ? undefined : new Uint8Array(stored.B))
      if (content === undefined) throw new TypeError('neither text nor bytes')
      return codec.decode(content)
    }
  }
}
