import type { CreateTableCommandInput, DynamoDBClient, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { closest, distance } from 'fastest-levenshtein'
import type { CookieOptions } from '../types/cookie.js'
import type { CacheOptions, DynamoSessionOptions } from '../types/options.js'
import type { SessionReader } from '../types/import.js'
import type { Repository } from '../types/repository.js'
import { CACHE_CHECKS, CHECKS, isObject, USER_INDEX_CHECKS } from './checks.js'
import { createFormats } from './codec.js'
import { COMPANION_SUFFIX, COOKIE_OPTIONS, resolveCookie, type CookieSettings } from './cookie.js'
import { errors } from './errors.js'
import { withIndex } from './indexing.js'
import { createEnvelope, type Envelope } from './envelope.js'
import { ATTRIBUTES, type Layout } from './item.js'
import { Sealer } from './seal.js'
import type { SessionSettings } from './session.js'
import { LARGEST_ITEM } from './size.js'
import { Tokens } from './token.js'
import { assertRoomForLists, userIndexOf } from './naming.js'

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
  readonly batchReads: boolean
  readonly cache: false | Readonly<CacheOptions>
  readonly verify: boolean
  readonly createTable: false | Partial<CreateTableCommandInput>
  readonly importFrom: readonly SessionReader[]
  readonly sessionName: string
  readonly now: () => number
}

const DEFAULTS = {
  client: {},
  partitionKey: 'id',
  keyPrefix: '',
  ttlAttribute: 'expires',
  idleTimeout: 7200,
  absoluteTimeout: 43_200,
  idleTracking: 'table',
  idBytes: 32,
  consistentRead: false,
  conflict: 'merge',
  format: 'json',
  compress: false,
  maxSize: LARGEST_ITEM,
  timeout: 3,
  readFailure: 'error',
  saveOnServerError: false,
  batchReads: true,
  cache: false,
  verify: true,
  createTable: false,
  userIndex: false,
  indexKeys: [],
  importFrom: [],
  sessionName: 'session',
  now: Date.now
} as const

/** Reads options at the door: throws here or never. The caller's object is not changed and not kept. */
export function resolveOptions (given: unknown): Settings {
  const options = { ...DEFAULTS, ...checked(typeof given === 'string' ? { table: given } : given) }
  const { client, consistentRead, conflict, maxSize, timeout, readFailure, saveOnServerError, batchReads, verify, sessionName, now } = options
  const { idleTimeout, absoluteTimeout, idleTracking, cookie, header } = options
  assertTrackable(options)
  const tokens = new Tokens(options.idBytes, secretsOf(options.secrets))
  const sealer = sealerOf(options)
  const form = { formats: createFormats(options.format), envelope: envelopeOf(options, sealer) }
  const layout = withIndex(layoutOf(options), options, form)
  return Object.freeze({
    layout,
    client,
    idleTimeout,
    absoluteTimeout,
    idleTracking,
    reissueTime: resolveReissueTime(options.reissueTime, idleTimeout),
    cookie: cookieOf(cookie, sessionName, tokens),
    usesCookie: header === undefined || cookie !== undefined,
    header: header?.toLowerCase(),
    tokens,
    ...form,
    consistentRead,
    conflict,
    maxSize,
    timeout,
    readFailure,
    saveOnServerError,
    batchReads,
    cache: cacheOf(options.cache, consistentRead),
    verify,
    createTable: createTableOf(options.createTable),
    userIndex: resolveUserIndex(options, layout, sealer),
    importFrom: Object.freeze([...options.importFrom]),
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

/** Refuses a name that is not among those that are known, and says which may have been meant. */
export function assertKnown (name: string, known: readonly string[], path: string): void {
  if (known.includes(name)) return
  const nearest = closest(name, known as string[])
  const isTypo = distance(name, nearest) <= Math.max(1, Math.floor(name.length * 0.4))
  throw new errors.UnknownOption(path + name, isTypo ? ` Did you mean "${path}${nearest}"?` : ` Known are ${known.join(', ')}.`)
}

function resolveReissueTime (given: number | undefined, idleTimeout: number | false): number {
  // Without an idle timeout there is nothing to renew, save for sessions that have one of their own.
  if (idleTimeout === false) return given ?? Infinity
  const reissueTime = given ?? idleTimeout / 10
  if (reissueTime >= idleTimeout) throw new errors.BadOption('reissueTime', 'must be less than "idleTimeout", or sessions in use would die')
  return reissueTime
}

function assertTrackable ({ idleTracking, secrets, absoluteTimeout }: Pick<Given<DynamoSessionOptions>, 'idleTracking' | 'secrets' | 'absoluteTimeout'>): void {
  if (idleTracking !== 'cookie') return
  if (secrets === undefined) throw new errors.BadOption('idleTracking', 'can be "cookie" with "secrets" only, which sign the last activity')
  if (absoluteTimeout === false) throw new errors.BadOption('idleTracking', 'can be "cookie" with an "absoluteTimeout" only, or records would stay for ever')
}

function layoutOf ({ table, partitionKey: given, keyPrefix, ttlAttribute }: Required<Given<Pick<DynamoSessionOptions, Exclude<keyof Layout, 'index'>>>>): Layout {
  const partitionKey = typeof given === 'string' ? { name: given, type: 'S' as const } : { name: given.name, type: given.type ?? 'S' }
  const taken: readonly string[] = Object.values(ATTRIBUTES)
  if (taken.includes(partitionKey.name)) throw new errors.BadOption('partitionKey', 'is the name of an attribute that records have')
  if (taken.includes(ttlAttribute)) throw new errors.BadOption('ttlAttribute', 'is the name of an attribute that records have')
  if (ttlAttribute === partitionKey.name) throw new errors.BadOption('ttlAttribute', 'cannot be the partition key')
  if (partitionKey.type === 'B' && keyPrefix !== '') throw new errors.BadOption('keyPrefix', 'goes with a partition key of type S only')
  return Object.freeze({ table, partitionKey: Object.freeze(partitionKey), keyPrefix, ttlAttribute })
}

function envelopeOf (
  { acceptPlainUntil, compress, now }: Pick<Given<DynamoSessionOptions>, 'acceptPlainUntil'> & Required<Given<Pick<DynamoSessionOptions, 'compress' | 'now'>>>,
  sealer: Sealer | undefined
): Envelope {
  if (acceptPlainUntil !== undefined && sealer === undefined) throw new errors.BadOption('acceptPlainUntil', 'goes with "encryptionKeys" only')
  return createEnvelope({ sealer, compress, acceptPlainUntil: acceptPlainUntil?.getTime() ?? -Infinity, now })
}

function sealerOf ({ encryptionKeys, keyPrefix }: Pick<Given<DynamoSessionOptions>, 'encryptionKeys'> & { keyPrefix: string }): Sealer | undefined {
  const [newest, ...older] = encryptionKeys instanceof Uint8Array ? [encryptionKeys] : encryptionKeys ?? []
  return newest === undefined ? undefined : new Sealer([newest, ...older], keyPrefix)
}

function secretsOf (given: DynamoSessionOptions['secrets']): readonly string[] | undefined {
  return typeof given === 'string' ? [given] : given
}

function cookieOf (given: CookieOptions | undefined, sessionName: string, tokens: Tokens): CookieSettings {
  for (const name of Object.keys(given ?? {})) assertKnown(name, COOKIE_OPTIONS, 'cookie.')
  if (`-${sessionName}` === COMPANION_SUFFIX) throw new errors.BadOption('sessionName', 'cannot be "v", which names the companion cookie')
  return resolveCookie(given ?? {}, sessionName === 'session' ? '' : `-${sessionName}`, tokens.length)
}

function cacheOf (given: false | CacheOptions, consistentRead: boolean): Settings['cache'] {
  if (given === false) return false
  checkedMembers('cache', given, CACHE_CHECKS)
  if (consistentRead) throw new errors.BadOption('cache', 'goes without "consistentRead": what is kept is older than what that asks for')
  return Object.freeze({ ttl: given.ttl, max: given.max })
}

function resolveUserIndex (
  { userIndex: given, acceptPlainUntil, now }: Given<DynamoSessionOptions> & { now: () => number }, layout: Layout, sealer: Sealer | undefined
): Settings['userIndex'] {
  if (given === undefined || given === false) return false
  const { maxSessions } = checkedMembers('userIndex', given === true ? {} : given, USER_INDEX_CHECKS)
  assertRoomForLists(layout)
  const plainUntil = acceptPlainUntil?.getTime() ?? -Infinity
  return userIndexOf(maxSessions, sealer, () => now() < plainUntil)
}

/** The members of an option that is an object. */
function checkedMembers<Members extends object> (option: string, given: Members, checks: Readonly<Record<keyof Members & string, readonly [(value: unknown) => boolean, string]>>): Members {
  for (const name of Object.keys(given)) assertKnown(name, Object.keys(checks), `${option}.`)
  for (const [name, [accepts, remark]] of Object.entries<readonly [(value: unknown) => boolean, string]>(checks)) {
    if (!accepts(given[name as keyof Members])) throw new errors.BadOption(`${option}.${name}`, remark)
  }
  return given
}

function createTableOf (given: NonNullable<DynamoSessionOptions['createTable']>): Settings['createTable'] {
  if (typeof given === 'boolean') return given ? Object.freeze({}) : false
  if ('TableName' in given || 'KeySchema' in given) throw new errors.BadOption('createTable', 'takes neither TableName nor KeySchema: those are "table" and "partitionKey"')
  return Object.freeze(structuredClone(given))
}
