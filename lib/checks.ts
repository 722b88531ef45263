import type { SessionReader } from '../types/import.js'
import type { Codec, DynamoSessionOptions, UserIndexOptions } from '../types/options.js'
import { COOKIE_OPTIONS } from './cookie.js'
import { isTimeout } from './expiry.js'
import { KEY_BYTES } from './seal.js'
import { LARGEST_ITEM } from './size.js'

type Check = (value: unknown) => boolean

/** A table's name or the ARN of one (CreateTable, "TableName"). */
const TABLE = /^([a-zA-Z0-9_.-]{3,255}|arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table\/[a-zA-Z0-9_.-]{3,255})$/
/** Not a name that plain objects lose. */
const ATTRIBUTE = /^(?!__proto__$)[\x21-\x7e]{1,255}$/
/** A header's name, save those that have a meaning of their own in requests or answers of every kind, or in objects. */
const HEADER = /^(?!(?:__proto__|constructor|cookie|set-cookie|vary|cache-control|expires|etag|last-modified|location|retry-after|host|connection|transfer-encoding|content-.*)$)[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/i
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_]{0,63}$/
/** DynamoDB's limit for a partition key is 2048 bytes, of which the hash takes 43. */
const LONGEST_PREFIX = 2005
/** The secondary indexes that a table may have (default quota). */
const MOST_INDEXED = 20
/** Sessions in a cache, whose lists are made for the most at once. */
const MOST_CACHED = 1_000_000
/** Sessions that a user may be allowed: a list has room for them, with labels. */
const MOST_SESSIONS = 1000

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isBoolean: Check = value => typeof value === 'boolean'
const isText = (pattern: RegExp): Check => value => typeof value === 'string' && pattern.test(value)
const isNumber = (least: number, most = Number.MAX_SAFE_INTEGER): Check =>
  value => typeof value === 'number' && value >= least && value <= most
const isInteger = (least: number, most: number): Check => value => Number.isInteger(value) && isNumber(least, most)(value)
const isKey: Check = value => value instanceof Uint8Array && value.length === KEY_BYTES
const isSecret: Check = value => typeof value === 'string' && value !== ''

/** Each option with its test and what to say where the test fails. The list of options is this one. */
export const CHECKS: { readonly [Name in keyof Required<DynamoSessionOptions>]: readonly [Check, string] } = {
  table: [isText(TABLE), 'must be the name or the ARN of a table: 3 to 255 letters, digits and _.-'],
  client: [value => isObject(value) && !('then' in value), 'must be a DynamoDBClient or its configuration, and no promise of it'],
  partitionKey: [isPartitionKey, 'must be the name of an attribute, or { name, type: "S" | "B" }'],
  keyPrefix: [value => typeof value === 'string' && value.isWellFormed() && Buffer.byteLength(value) <= LONGEST_PREFIX,
    `must be a text of at most ${LONGEST_PREFIX} bytes`],
  ttlAttribute: [isText(ATTRIBUTE), 'must be the name of an attribute'],
  idleTimeout: [isTimeout, 'must be seconds, at least 1, or false'],
  absoluteTimeout: [isTimeout, 'must be seconds, at least 1, or false'],
  reissueTime: [isNumber(0), 'must be seconds, at least 0'],
  idleTracking: [value => value === 'table' || value === 'cookie', 'must be "table" or "cookie"'],
  cookie: [isObject, `must be an object of ${COOKIE_OPTIONS.join(', ')}`],
  header: [isText(HEADER), 'must be the name of a header of your own'],
  secrets: [value => isSecret(value) || (Array.isArray(value) && value.length > 0 && [...value].every(isSecret)),
    'must be a text or an array of texts, newest first, none of them empty'],
  idBytes: [isInteger(16, 1024), 'must be a whole number from 16 to 1024'],
  consistentRead: [isBoolean, 'must be true or false'],
  conflict: [value => value === 'merge' || value === 'reject', 'must be "merge" or "reject"'],
  format: [isFormat, 'must be "json", "native" or a codec { name, encode, decode } with a name of its own, at most 64 characters'],
  encryptionKeys: [value => isKey(value) || (Array.isArray(value) && value.length > 0 && [...value].every(isKey)),
    `must be ${KEY_BYTES} random bytes (Uint8Array), or an array of such keys, newest first`],
  acceptPlainUntil: [value => value instanceof Date && Number.isFinite(value.getTime()), 'must be a Date'],
  compress: [isBoolean, 'must be true or false'],
  maxSize: [isInteger(1, LARGEST_ITEM), `must be a whole number of bytes, at most ${LARGEST_ITEM}`],
  timeout: [isNumber(0.001, 900), 'must be seconds, more than 0 and at most 900'],
  readFailure: [value => value === 'error' || value === 'anonymous', 'must be "error" or "anonymous"'],
  saveOnServerError: [isBoolean, 'must be true or false'],
  batchReads: [isBoolean, 'must be true or false'],
  cache: [value => value === false || isObject(value), 'must be false or { ttl, max }'],
  verify: [isBoolean, 'must be true or false'],
  createTable: [value => isBoolean(value) || (isObject(value) && isData(value)), 'must be true, false or parts of a CreateTableCommandInput'],
  userIndex: [value => isBoolean(value) || isObject(value), 'must be true, false or { maxSessions }'],
  indexKeys: [value => Array.isArray(value) && value.length <= MOST_INDEXED && [...value].every(isIndexKey),
    `must be an array of session keys or of { key, plain: true }, at most ${MOST_INDEXED}, each fit for the name of an attribute`],
  importFrom: [value => Array.isArray(value) && [...value].every(isReader), 'must be an array of readers, which fastify-dynamodb-session/import makes'],
  sessionName: [isText(IDENTIFIER), 'must be a name of letters, digits and _, beginning with a letter'],
  now: [value => typeof value === 'function' && Number.isFinite(value()), 'must be a function that returns epoch milliseconds']
}

/** What the members of `cache` may be. */
export const CACHE_CHECKS: Readonly<Record<'ttl' | 'max', readonly [Check, string]>> = {
  ttl: [isNumber(0.001, 10), 'must be seconds, more than 0 and at most 10'],
  max: [isInteger(1, MOST_CACHED), `must be a whole number of sessions from 1 to ${MOST_CACHED}`]
}

function isReader (value: unknown): boolean {
  if (!isObject(value)) return false
  const { idOf, keyOf, read, cookieName } = value as Partial<SessionReader>
  return [idOf, keyOf, read].every(part => typeof part === 'function') && typeof cookieName === 'string' && isText(TABLE)(value['table'])
}

/** What the members of `userIndex` may be. */
export const USER_INDEX_CHECKS: { readonly [Name in keyof Required<UserIndexOptions>]: readonly [Check, string] } = {
  maxSessions: [value => value === undefined || isInteger(1, MOST_SESSIONS)(value), `must be a whole number from 1 to ${MOST_SESSIONS}`]
}

function isPartitionKey (value: unknown): boolean {
  if (!isObject(value)) return isText(ATTRIBUTE)(value)
  const { name, type, ...others } = value
  return isText(ATTRIBUTE)(name) && (type === undefined || type === 'S' || type === 'B') && Object.keys(others).length === 0
}

function isIndexKey (value: unknown): boolean {
  if (!isObject(value)) return isText(ATTRIBUTE)(value)
  const { key, plain, ...others } = value
  return isText(ATTRIBUTE)(key) && plain === true && Object.keys(others).length === 0
}

/** Whether a value can be copied whole, so that what the caller does with it later has no effect. */
function isData (value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}

function isFormat (value: unknown): boolean {
  if (value === 'json' || value === 'native') return true
  if (!isObject(value)) return false
  const { name, encode, decode } = value as Partial<Codec>
  if (typeof name !== 'string' || name === '' || name.length > 64 || !name.isWellFormed() || name === 'json' || name === 'native') return false
  return typeof encode === 'function' && typeof decode === 'function'
}
