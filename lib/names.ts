import { errors } from './errors.js'

/** DynamoDB's limit for a name in an expression. */
const LONGEST_KEY = 255

// Deserialisers that build plain objects lose a member named __proto__, and so do the SDK and the engines on the way. Such
// a name, with any number of further underscores before it, is stored with one underscore more. No two names meet.
const PLAIN = /^_{2,}proto__$/
const STORED = /^_{3,}proto__$/

/** The attribute name for a name that the application chose. */
export function toAttributeName (name: string): string {
  return PLAIN.test(name) ? `_${name}` : name
}

/** The name that the application chose, from the attribute name. */
export function fromAttributeName (attribute: string): string {
  return STORED.test(attribute) ? attribute.slice(1) : attribute
}

/** Refuses what no record can have as a key. */
export function assertKey (key: string): void {
  if (typeof key !== 'string' || key === '') throw new errors.BadKey('must be a text that is not empty')
  if (!key.isWellFormed()) throw new errors.BadKey('must not hold half a surrogate pair, which no table can store')
  if (Buffer.byteLength(toAttributeName(key)) > LONGEST_KEY) throw new errors.BadKey(`may take ${LONGEST_KEY} bytes, DynamoDB's limit for names`)
}

/** A table's name without the account that its ARN tells. */
export function tableName (table: string): string {
  return table.slice(table.lastIndexOf('/') + 1)
}
