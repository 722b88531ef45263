import { isObject } from '../lib/checks.js'
import { errors } from '../lib/errors.js'
import { assertKnown, resolveOptions, type Settings } from '../lib/options.js'
import type { DynamoStoreOptions } from '../types/store.js'

/** Options of a store after the door. */
export interface StoreSettings {
  readonly settings: Settings
  /** The same, for sessions whose idle time is their cookie's. */
  readonly agedSettings: Settings
  /** As given; the default is not meant for sessions whose cookie lives longer. */
  readonly absoluteTimeout: number | false | undefined
  readonly formerPrefixes: readonly string[]
  /** Epoch milliseconds until which what other stores left is read. */
  readonly readsFormerUntil: number
}

/** The options that a store takes. What is not here is the host's. */
export const STORE_OPTIONS: Readonly<Record<keyof Required<DynamoStoreOptions>, true>> = {
  table: true,
  client: true,
  partitionKey: true,
  keyPrefix: true,
  ttlAttribute: true,
  idleTimeout: true,
  absoluteTimeout: true,
  reissueTime: true,
  consistentRead: true,
  conflict: true,
  format: true,
  encryptionKeys: true,
  acceptPlainUntil: true,
  compress: true,
  maxSize: true,
  timeout: true,
  batchReads: true,
  createTable: true,
  indexKeys: true,
  formerPrefixes: true,
  now: true
}

/** Most seconds between two renewals of a session whose cookie lives for long. */
const LONGEST_REISSUE = 3600

/** Reads options at the door: throws here or never. */
export function resolveStoreOptions (given: unknown): StoreSettings {
  const options = typeof given === 'string' ? { table: given } : given
  if (!isObject(options)) throw new errors.BadOption('table', 'is required: give { table } or the name of the table')
  for (const name of Object.keys(options)) assertKnown(name, Object.keys(STORE_OPTIONS), '')
  const { formerPrefixes, ...shared } = options as Partial<DynamoStoreOptions>
  const settings = resolveOptions({ ...shared, consistentRead: shared.consistentRead ?? true })
  const { absoluteTimeout, reissueTime } = shared
  return Object.freeze({
    settings,
    agedSettings: Object.freeze({ ...settings, reissueTime: reissueTime ?? LONGEST_REISSUE }),
    absoluteTimeout,
    formerPrefixes: prefixesOf(formerPrefixes, settings, shared),
    readsFormerUntil: shared.encryptionKeys === undefined ? Infinity : shared.acceptPlainUntil?.getTime() ?? -Infinity
  })
}

function prefixesOf (given: unknown, { client, layout }: Settings, { encryptionKeys, acceptPlainUntil }: Partial<DynamoStoreOptions>): readonly string[] {
  if (given === undefined) return []
  if (!Array.isArray(given) || ![...given].every(isPrefix)) throw new errors.BadOption('formerPrefixes', 'must be an array of different texts')
  if (given.length === 0) return []
  if (new Set(given).size < given.length) throw new errors.BadOption('formerPrefixes', 'must be an array of different texts')
  if ('load' in client) throw new errors.BadOption('formerPrefixes', 'needs a DynamoDB client, not a repository')
  if (layout.partitionKey.type === 'B') throw new errors.BadOption('formerPrefixes', 'goes with a partition key of type S only, which other stores have')
  if (encryptionKeys !== undefined && acceptPlainUntil === undefined) {
    throw new errors.BadOption('formerPrefixes', 'is for records that are not sealed, so with "encryptionKeys" it needs "acceptPlainUntil"')
  }
  return Object.freeze([...given])
}

function isPrefix (value: unknown): boolean {
  return typeof value === 'string' && value.isWellFormed()
}
