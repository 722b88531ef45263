import type { CreateTableCommandInput, DynamoDBClient, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { closest, distance } from 'fastest-levenshtein'
import type { Codec, CookieOptions, DynamoSessionOptions } from '../types/options.js'
import type { Repository } from '../types/repository.js'
import { createFormats } from './codec.js'
import { COMPANION_SUFFIX, COOKIE_OPTIONS, resolveCookie, type CookieSettings } from './cookie.js'
import { errors } from './errors.js'
import { isTimeout } from './expiry.js'
import { ATTRIBUTES, type Layout } from './item.js'
import type { SessionSettings } from './session.js'
import { LARGEST_ITEM } from './size.js'
import { Tokens } from './token.js'

/** Options after the door: every default decided, every refusal done, frozen. */
export interface Settings extends SessionSettings {
  readonly layout: Layout
  readonly client: DynamoDBClient | DynamoDBClientConfig | Repository
  readonly cookie: CookieSettings
  /** Whether tokens come and go by cookie. Without, the cookie's settings only serve to check attributes. */
  readonly usesCookie: boolean
  readonly header: string | undefined
  readonly consistentRead: boolean
  readonly maxSize: number
  readonly timeout: number
  readonly readFailure: 'error' | 'anonymous'
  readonly saveOnServerError: boolean
  readonly verify: boolean
  readonly createTable: false | Partial<CreateTableCommandInput>
  readonly sessionName: string
  readonly now: () => number
}

type Check = (value: unknown) => boolean

/** A table's name or the ARN of one (CreateTable, "TableName"). */
const TABLE = /^([a-zA-Z0-9_.-]{3,255}|arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table\/[a-zA-Z0-9_.-]{3,255})$/
/** Not a name that plain objects lose. */
const ATTRIBUTE = /^(?!__proto__$)[\x21-\x7e]{1,255}$/
/** A header's name, save those that have a meaning of their own in requests or answers of every kind. */
const HEADER = /^(?!(?:__proto__|cookie|set-cookie|vary|cache-control|host|connection|transfer-encoding|content-.*)$)[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/i
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_]{0,63}$/
/** DynamoDB's limit for a partition key is 2048 bytes, of which the hash takes 43. */
const LONGEST_PREFIX = 2005

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isBoolean: Check = value => typeof value === 'boolean'
const isText = (pattern: RegExp): Check => value => typeof value === 'string' && pattern.test(value)
const isNumber = (least: number, most = Number.MAX_SAFE_INTEGER): Check =>
  value => typeof value === 'number' && value >= least && value <= most
const isInteger = (least: number, most: number): Check => value => Number.isInteger(value) && isNumber(least, most)(value)
const isSecret: Check = value => typeof value === 'string' && value !== ''

/** Each option with its test and what to say where the test fails. The list of options is this one. */
const CHECKS: { readonly [Name in keyof Required<DynamoSessionOptions>]: readonly [Check, string] } = {
  table: [isText(TABLE), 'must be the name or the ARN of a table: 3 to 255 letters, digits and _.-'],
  client: [value => isObject(value) && !('then' in value), 'must be a DynamoDBClient or its configuration, and no promise of it'],
  partitionKey: [isPartitionKey, 'must be the name of an attribute, or { name, type: "S" | "B" }'],
  keyPrefix: [value => typeof value === 'string' && value.isWellFormed() && Buffer.byteLength(value) <= LONGEST_PREFIX,
    `must be a text of at most ${LONGEST_PREFIX} bytes`],
  ttlAttribute: [isText(ATTRIBUTE), 'must be the name of an attribute'],
  idleTimeout: [isTimeout, 'must be seconds, at least 1, or false'],
  absoluteTimeout: [isTimeout, 'must be seconds, at least 1, or false'],
  reissueTime: [isNumber(0), 'must be seconds, at least 0'],
  idleTracking: [value => value === 'table', 'must be "table"'],
  cookie: [isObject, `must be an object of ${COOKIE_OPTIONS.join(', ')}`],
  header: [isText(HEADER), 'must be the name of a header of your own'],
  secrets: [value => isSecret(value) || (Array.isArray(value) && value.length > 0 && [...value].every(isSecret)),
    'must be a text or an array of texts, newest first, none of them empty'],
  idBytes: [isInteger(16, 1024), 'must be a whole number from 16 to 1024'],
  consistentRead: [isBoolean, 'must be true or false'],
  conflict: [value => value === 'merge' || value === 'reject', 'must be "merge" or "reject"'],
  format: [isFormat, 'must be "json", "native" or a codec { name, encode, decode } with a name of its own, at most 64 characters'],
  maxSize: [isInteger(1, LARGEST_ITEM), `must be a whole number of bytes, at most ${LARGEST_ITEM}`],
  timeout: [isNumber(0.001, 900), 'must be seconds, more than 0 and at most 900'],
  readFailure: [value => value === 'error' || value === 'anonymous', 'must be "error" or "anonymous"'],
  saveOnServerError: [isBoolean, 'must be true or false'],
  verify: [isBoolean, 'must be true or false'],
  createTable: [value => isBoolean(value) || (isObject(value) && isData(value)), 'must be true, false or parts of a CreateTableCommandInput'],
  sessionName: [isText(IDENTIFIER), 'must be a name of letters, digits and _, beginning with a letter'],
  now: [value => typeof value === 'function' && Number.isFinite(value()), 'must be a function that returns epoch milliseconds']
}

const DEFAULTS = {
  client: {},
  partitionKey: 'id',
  keyPrefix: '',
  ttlAttribute: 'expires',
  idleTimeout: 7200,
  absoluteTimeout: 43_200,
  idBytes: 32,
  consistentRead: false,
  conflict: 'merge',
  format: 'json',
  maxSize: LARGEST_ITEM,
  timeout: 3,
  readFailure: 'error',
  saveOnServerError: false,
  verify: true,
  createTable: false,
  sessionName: 'session',
  now: Date.now
} as const

/** Reads options at the door: throws here or never. The caller's object is not changed and not kept. */
export function resolveOptions (given: unknown): Settings {
  const options = { ...DEFAULTS, ...checked(typeof given === 'string' ? { table: given } : given) }
  const { client, consistentRead, conflict, maxSize, timeout, readFailure, saveOnServerError, verify, sessionName, now } = options
  const { idleTimeout, absoluteTimeout, cookie, header } = options
  const tokens = new Tokens(options.idBytes, secretsOf(options.secrets))
  return Object.freeze({
    layout: layoutOf(options),
    client,
    idleTimeout,
    absoluteTimeout,
    reissueTime: resolveReissueTime(options.reissueTime, idleTimeout),
    cookie: cookieOf(cookie, sessionName, tokens),
    usesCookie: header === undefined || cookie !== undefined,
    header: header?.toLowerCase(),
    tokens,
    formats: createFormats(options.format),
    consistentRead,
    conflict,
    maxSize,
    timeout,
    readFailure,
    saveOnServerError,
    verify,
    createTable: createTableOf(options.createTable),
    sessionName,
    now
  })
}

/** Options that were given: what is undefined counts as left out. */
export type Given<Options> = { [Name in keyof Options]: Exclude<Options[Name], undefined> }

function checked (given: unknown): Given<DynamoSessionOptions> {
  if (!isObject(given)) throw new errors.BadOption('table', 'is required: give { table } or the name of the table')
  const options: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    assertKnown(name, Object.keys(CHECKS), '')
    if (value === undefined) continue
    const [accepts, remark] = CHECKS[name as keyof typeof CHECKS]
    if (!accepts(value)) throw new errors.BadOption(name, remark)
    options[name] = value
  }
  if (options['table'] === undefined) throw new errors.BadOption('table', 'is required')
  return options as unknown as Given<DynamoSessionOptions>
}

function assertKnown (name: string, known: readonly string[], path: string): void {
  if (known.includes(name)) return
  const nearest = closest(name, known as string[])
  const isTypo = distance(name, nearest) <= Math.max(1, Math.floor(name.length * 0.4))
  throw new errors.UnknownOption(path + name, isTypo ? ` Did you mean "${path}${nearest}"?` : ` Known are ${known.join(', ')}.`)
}

function isPartitionKey (value: unknown): boolean {
  if (!isObject(value)) return isText(ATTRIBUTE)(value)
  const { name, type, ...others } = value
  return isText(ATTRIBUTE)(name) && (type === undefined || type === 'S' || type === 'B') && Object.keys(others).length === 0
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
  if (typeof name !== 'string' || name === '' || name.length > 64 || name === 'json' || name === 'native') return false
  return typeof encode === 'function' && typeof decode === 'function'
}

function resolveReissueTime (given: number | undefined, idleTimeout: number | false): number {
  // Without an idle timeout there is nothing to renew, save for sessions that have one of their own.
  if (idleTimeout === false) return given ?? Infinity
  const reissueTime = given ?? idleTimeout / 10
  if (reissueTime >= idleTimeout) throw new errors.BadOption('reissueTime', 'must be less than "idleTimeout", or sessions in use would die')
  return reissueTime
}

function layoutOf ({ table, partitionKey: given, keyPrefix, ttlAttribute }: Required<Given<Pick<DynamoSessionOptions, keyof Layout>>>): Layout {
  const partitionKey = typeof given === 'string' ? { name: given, type: 'S' as const } : { name: given.name, type: given.type ?? 'S' }
  const taken: readonly string[] = Object.values(ATTRIBUTES)
  if (taken.includes(partitionKey.name)) throw new errors.BadOption('partitionKey', 'is the name of an attribute that records have')
  if (taken.includes(ttlAttribute)) throw new errors.BadOption('ttlAttribute', 'is the name of an attribute that records have')
  if (ttlAttribute === partitionKey.name) throw new errors.BadOption('ttlAttribute', 'cannot be the partition key')
  if (partitionKey.type === 'B' && keyPrefix !== '') throw new errors.BadOption('keyPrefix', 'goes with a partition key of type S only')
  return Object.freeze({ table, partitionKey: Object.freeze(partitionKey), keyPrefix, ttlAttribute })
}

function secretsOf (given: DynamoSessionOptions['secrets']): readonly string[] | undefined {
  return typeof given === 'string' ? [given] : given
}

function cookieOf (given: CookieOptions | undefined, sessionName: string, tokens: Tokens): CookieSettings {
  for (const name of Object.keys(given ?? {})) assertKnown(name, COOKIE_OPTIONS, 'cookie.')
  if (`-${sessionName}` === COMPANION_SUFFIX) throw new errors.BadOption('sessionName', 'cannot be "v", which names the companion cookie')
  return resolveCookie(given ?? {}, sessionName === 'session' ? '' : `-${sessionName}`, tokens.length)
}

function createTableOf (given: NonNullable<DynamoSessionOptions['createTable']>): Settings['createTable'] {
  if (typeof given === 'boolean') return given ? Object.freeze({}) : false
  if ('TableName' in given || 'KeySchema' in given) throw new errors.BadOption('createTable', 'takes neither TableName nor KeySchema: those are "table" and "partitionKey"')
  return Object.freeze(structuredClone(given))
}
