import { isDeepStrictEqual } from 'node:util'
import type { SessionRecord, StoredValue } from '../types/repository.js'
import { decodeValue, encodeValue, type Format, type Formats } from './codec.js'
import type { Envelope } from './envelope.js'
import type { Place } from './seal.js'

/** What decides how values are stored. */
export interface FormSettings {
  readonly formats: Formats
  readonly envelope: Envelope
}

/**
 * How the values of one record stand in the table: encoded in its format, and then in an envelope that is bound to the
 * record and the session key. What is compared and copied is encoded; what is stored is in its envelope.
 */
export class Form {
  readonly format: Format
  readonly #envelope: Envelope
  readonly #key: string

  constructor (format: Format, envelope: Envelope, key: string) {
    this.format = format
    this.#envelope = envelope
    this.#key = key
  }

  static of ({ format, key }: Pick<SessionRecord, 'format' | 'key'>, { formats, envelope }: FormSettings): Form {
    return new Form(formats.named(format), envelope, key)
  }

  /** The form of values that are stored nowhere yet, and so are in no envelope. */
  static unstored ({ formats, envelope }: FormSettings): Form {
    return new Form(formats.preferred, envelope, '')
  }

  encode (name: string, value: unknown): StoredValue { return encodeValue(this.format, name, value) }
  decode (encoded: StoredValue): unknown { return decodeValue(this.format, encoded) }
  wrap (name: string, encoded: StoredValue): StoredValue { return this.#envelope.wrap(encoded, this.#place(name)) }
  unwrap (name: string, stored: StoredValue): StoredValue { return this.#envelope.unwrap(stored, this.#place(name)) }
  /** The value of a stored form. */
  read (name: string, stored: StoredValue): unknown { return this.decode(this.unwrap(name, stored)) }

  #place (name: string): Place {
    return { key: this.#key, name, format: this.format.name }
  }

  wrapAll (encoded: ReadonlyMap<string, StoredValue>): Map<string, StoredValue> {
    return new Map([...encoded].map(([name, value]) => [name, this.wrap(name, value)]))
  }
}

/** Whether two encoded forms stand for the same value, or both for none. */
export function isSameEncoded (form: Form, a: StoredValue | undefined, b: StoredValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  if (a.S !== undefined && a.S === b.S) return true
  // Other text may still be the same value: DynamoDB rewrites numbers, and members may stand in another order.
  return isSame(() => form.decode(a), () => form.decode(b))
}

/**
 * Whether two values are equal. What cannot be read or is too deep to compare counts as different: a write too many, not
 * a failure, and a stored value that nobody can read is replaced by the one that is set.
 */
export function isSame (a: () => unknown, b: () => unknown): boolean {
  try {
    return isDeepStrictEqual(a(), b())
  } catch {
    return false
  }
}
