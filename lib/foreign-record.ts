import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { errors } from './errors.js'
import { membersOfJson, membersOfMap, numberIn, type Members } from './members.js'

/** What connect-dynamodb and dynamodb-session-store left in a table, of every age. Pure. */

/** A living session of one of them. */
export interface ForeignRecord {
  /** The application's data, and its cookie as that was. */
  readonly members: ReadonlyMap<string, unknown>
  /** Epoch seconds; undefined where it has no end. */
  readonly expiresAt: number | undefined
  /** Seconds, at least one, for which its cookie was to live; undefined where it ends with the browser. */
  readonly maxAge: number | undefined
}

/** Where hosts keep the attributes of a cookie in a session. */
export const COOKIE = 'cookie'

/** DynamoDB's limit for a partition key, in bytes. No other store has a session under a longer one. */
const LONGEST_KEY = 2048

/** Greater than any epoch in seconds that is meant, and less than any in milliseconds. */
const LEAST_MILLISECONDS = 1e11

/** Seconds by which clocks may differ, before an end beyond the cookie's age is taken for one of connect-dynamodb 3.0.2. */
const SLACK = 60

export function canBeKey (key: string): boolean {
  return Buffer.byteLength(key) <= LONGEST_KEY
}

/** Whether an item is a session of theirs, dead or alive. */
export function isForeignRecord ({ sess }: Readonly<Record<string, AttributeValue>>): boolean {
  return sess?.S !== undefined || sess?.M !== undefined
}

/**
 * The living session of an item; undefined for a dead one, for a ghost, and for what cannot be read. `now`: epoch seconds.
 *
 * @throws `FST_DYNAMODB_SESSION_NOT_IMPORTABLE`
 */
export function foreignRecordIn ({ sess, expires }: Readonly<Record<string, AttributeValue>>, now: number): ForeignRecord | undefined {
  const isText = sess?.S !== undefined
  const storedEnd = endIn(expires, isText)
  // Before its values are looked at: of a dead session, nothing is refused.
  if (storedEnd !== undefined && now >= storedEnd) return undefined
  const members = membersIn(sess)
  if (members === undefined) return undefined
  const maxAge = maxAgeOf(members.get(COOKIE))
  const expiresAt = isText ? mended(storedEnd, maxAge, now) : storedEnd
  if (expiresAt !== undefined && now >= expiresAt) return undefined
  return { members: isText ? members : withoutStamp(members), expiresAt, maxAge }
}

/** What is done with a value of another store: a refusal of it, by name and reason, leaves its record as it is. */
export function unlessNotImportable<T> (work: () => T): T {
  try {
    return work()
  } catch (error) {
    // Of a key or a value, and so without either's content.
    throw new errors.NotImportable((error as Error).message.replace(/^./, first => first.toLowerCase()).replace(/\.$/, ''), { cause: error })
  }
}

function membersIn (sess: AttributeValue | undefined): Members {
  if (sess?.S !== undefined) return membersOfJson(sess.S)
  return sess?.M === undefined ? undefined : membersOfMap(sess.M)
}

/** dynamodb-session-store keeps there when it last renewed the session. */
function withoutStamp (members: ReadonlyMap<string, unknown>): ReadonlyMap<string, unknown> {
  return typeof members.get('lastModified') === 'string' ? without(members, 'lastModified') : members
}

/** The members without those that are the old store's own. */
export function without (members: ReadonlyMap<string, unknown>, ...names: string[]): ReadonlyMap<string, unknown> {
  return new Map([...members].filter(([name]) => !names.includes(name)))
}

/** Epoch seconds, whatever the era; undefined for a session without an end. */
function endIn (expires: AttributeValue | undefined, isText: boolean): number | undefined {
  const number = numberIn(expires)
  // For dynamodb-session-store, zero is no end.
  if (number === undefined || (number === 0 && !isText)) return undefined
  return number > LEAST_MILLISECONDS ? number / 1000 : number
}

/** connect-dynamodb 3.0.2 took the milliseconds of the cookie's age for seconds. */
function mended (end: number | undefined, maxAge: number | undefined, now: number): number | undefined {
  if (end === undefined || maxAge === undefined) return end
  return end - now > maxAge + SLACK ? end - maxAge * 1000 + maxAge : end
}

function maxAgeOf (cookie: unknown): number | undefined {
  if (typeof cookie !== 'object' || cookie === null) return undefined
  const { originalMaxAge, maxAge } = cookie as Readonly<Record<string, unknown>>
  const age = originalMaxAge ?? maxAge
  return typeof age === 'number' && Number.isFinite(age) ? Math.max(1, age / 1000) : undefined
}
