import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Indexing } from '../types/indexing.js'
import type { RecordChange, SessionRecord, StoredValue } from '../types/repository.js'
import { isTimeout, type OwnTimeouts } from './expiry.js'
import { fromAttributeName, toAttributeName } from './names.js'

export type Item = Record<string, AttributeValue>

/** How a table names and types what differs from table to table. */
export interface Layout {
  readonly table: string
  readonly partitionKey: { readonly name: string, readonly type: 'S' | 'B' }
  readonly keyPrefix: string
  readonly ttlAttribute: string
  /** Undefined where no session keys are to be indexed. */
  readonly index?: Indexing | undefined
}

/** The attributes whose names are the same in every table. */
export const ATTRIBUTES = {
  data: 'data',
  version: 'ver',
  createdAt: 'created',
  lastSeenAt: 'seen',
  idleTimeout: 'idle',
  absoluteTimeout: 'absolute',
  user: 'user',
  next: 'next',
  format: 'fmt',
  writes: 'w',
  cookieMaxAge: 'cookie'
} as const

/** Names of attributes that records have, those of a user's list included, and of the defaults. No session key can be indexed under them. */
export const RESERVED: readonly string[] = [...Object.values(ATTRIBUTES), 'id', 'expires', 'sessions', 'revoking']

/** Bytes of SHA-256. */
const KEY_BYTES = 32

/** The same in base64url. */
const KEY = /^[A-Za-z0-9_-]{43}$/

/** The successor of a record that was revoked: none. */
export const NO_SUCCESSOR = '-'

/** Whether a text can be the key of a session. A key of anything else in the table cannot. */
export function isKey (text: unknown): text is string {
  return typeof text === 'string' && KEY.test(text)
}

export function toKey (key: string, layout: Layout): Item {
  const { name, type } = layout.partitionKey
  return { [name]: type === 'B' ? { B: Buffer.from(key, 'base64url') } : { S: layout.keyPrefix + key } }
}

/** Before the hash of a user, in keys of lists. No key of a session has it there, and a binary one is shorter by it. */
const USER = 'user#'

/** Bytes by which the key of a list is longer than that of a session. */
export const USER_BYTES = USER.length

export function toUserKey (user: string, { partitionKey: { name, type }, keyPrefix }: Layout): Item {
  return { [name]: type === 'B' ? { B: Buffer.concat([Buffer.from(USER), Buffer.from(user, 'base64url')]) } : { S: keyPrefix + USER + user } }
}

/** The key in an item; undefined for one that is not of this table's sessions. */
export function fromKey (item: Readonly<Item>, { partitionKey: { name, type }, keyPrefix }: Layout): string | undefined {
  const { S: text, B: bytes } = item[name] ?? {}
  if (type === 'B') return bytes === undefined || isUserKey(bytes) ? undefined : Buffer.from(bytes).toString('base64url')
  return text?.startsWith(keyPrefix) === true && !text.startsWith(USER, keyPrefix.length) ? text.slice(keyPrefix.length) : undefined
}

function isUserKey (bytes: Uint8Array): boolean {
  return Buffer.from(bytes).subarray(0, USER_BYTES).toString() === USER && bytes.length > KEY_BYTES
}

export function toItem (record: SessionRecord, layout: Layout): Item {
  const item = toKey(record.key, layout)
  item[ATTRIBUTES.data] = toDataMap(record.data)
  item[ATTRIBUTES.version] = toNumber(record.version)
  item[ATTRIBUTES.createdAt] = toNumber(record.createdAt)
  item[ATTRIBUTES.lastSeenAt] = toNumber(record.lastSeenAt)
  item[layout.ttlAttribute] = toNumber(record.expiresAt)
  if (record.idleTimeout !== undefined) item[ATTRIBUTES.idleTimeout] = toTimeout(record.idleTimeout)
  if (record.absoluteTimeout !== undefined) item[ATTRIBUTES.absoluteTimeout] = toTimeout(record.absoluteTimeout)
  if (record.cookieMaxAge !== undefined) item[ATTRIBUTES.cookieMaxAge] = toNumber(record.cookieMaxAge)
  if (record.user !== undefined) item[ATTRIBUTES.user] = { S: record.user }
  if (record.next !== undefined) item[ATTRIBUTES.next] = toSuccessor(record.next, layout)
  if (record.format !== undefined) item[ATTRIBUTES.format] = { S: record.format }
  if (record.writes !== undefined) item[ATTRIBUTES.writes] = toWritesMap(record.writes)
  return layout.index === undefined ? item : { ...item, ...layout.index.attributesOf(record) }
}

export function toNumber (value: number): AttributeValue {
  return { N: String(value) }
}

/** "No timeout" is a choice of the session, so it is stored: as zero, which no timeout can be. */
export function toTimeout (seconds: number | false): AttributeValue {
  return toNumber(seconds === false ? 0 : seconds)
}

export function toSuccessor (next: string, layout: Layout): AttributeValue {
  return { S: next === NO_SUCCESSOR ? next : layout.keyPrefix + next }
}

export function toDataMap (data: ReadonlyMap<string, StoredValue>): AttributeValue {
  return { M: Object.fromEntries([...data].map(([key, value]) => [toAttributeName(key), value])) }
}

export function toWritesMap (writes: ReadonlyMap<string, number>): AttributeValue {
  return { M: Object.fromEntries([...writes].map(([token, instant]) => [token, toNumber(instant)])) }
}

/** The record of an item, or null for a ghost: an item that lacks what a session needs. */
export function fromItem (item: Readonly<Item>, key: string, layout: Layout): SessionRecord | null {
  const record = withoutIndex(item, key, layout)
  return layout.index === undefined || record === null ? record : { ...record, index: fromIndex(item, layout.index) }
}

function withoutIndex (item: Readonly<Item>, key: string, layout: Layout): SessionRecord | null {
  const data = item[ATTRIBUTES.data]?.M
  const version = fromNumber(item[ATTRIBUTES.version])
  const writes = item[ATTRIBUTES.writes]
  const createdAt = fromNumber(item[ATTRIBUTES.createdAt])
  const lastSeenAt = fromNumber(item[ATTRIBUTES.lastSeenAt])
  const expiresAt = fromNumber(item[layout.ttlAttribute])
  if (data === undefined || version === undefined || createdAt === undefined) return null
  if (lastSeenAt === undefined || expiresAt === undefined) return null
  if (!Number.isInteger(version) || (writes !== undefined && writes.M === undefined)) return null
  const own = ownTimeouts(item)
  if (own === null) return null
  return {
    key,
    data: fromDataMap(data),
    version,
    createdAt,
    lastSeenAt,
    expiresAt,
    idleTimeout: own.idleTimeout,
    absoluteTimeout: own.absoluteTimeout,
    cookieMaxAge: fromNumber(item[ATTRIBUTES.cookieMaxAge]),
    user: fromUser(item),
    next: fromSuccessor(item[ATTRIBUTES.next], layout),
    format: item[ATTRIBUTES.format]?.S,
    writes: fromWritesMap(writes)
  }
}

/** The data of a record after a change. */
export function mergedData ({ base, set, delete: deleted }: Pick<RecordChange, 'base' | 'set' | 'delete'>): SessionRecord['data'] {
  const data = new Map([...base.data, ...set])
  for (const key of deleted) data.delete(key)
  return data
}

/** The version that an update returned. */
export function fromVersion (attributes: Readonly<Item> | undefined): number | undefined {
  return fromNumber(attributes?.[ATTRIBUTES.version])
}

/** The user to whom a record was bound. What others keep under this name is none. */
export function fromUser (attributes: Readonly<Item> | undefined): string | undefined {
  const user = attributes?.[ATTRIBUTES.user]?.S
  return isKey(user) ? user : undefined
}

function fromDataMap (data: Readonly<Item>): ReadonlyMap<string, StoredValue> {
  const values = new Map<string, StoredValue>()
  for (const name of Object.keys(data)) values.set(fromAttributeName(name), data[name] as StoredValue)
  return values
}

function fromIndex (item: Readonly<Item>, { names }: Indexing): SessionRecord['index'] {
  const present = names.filter(name => Object.hasOwn(item, name))
  return new Map(present.map(name => [name, item[name] as StoredValue]))
}

function fromSuccessor (stored: AttributeValue | undefined, layout: Layout): string | undefined {
  if (stored === undefined) return undefined
  const { keyPrefix } = layout
  const text = stored.S ?? ''
  // Whatever else stands there, the record is dead; but only a key of ours is followed.
  return text.startsWith(keyPrefix) && isKey(text.slice(keyPrefix.length)) ? text.slice(keyPrefix.length) : NO_SUCCESSOR
}

export function fromNumber (stored: AttributeValue | undefined): number | undefined {
  const value = Number(stored?.N ?? Number.NaN)
  return Number.isFinite(value) && value >= 0 ? value : undefined
}

function ownTimeouts (item: Readonly<Item>): OwnTimeouts | null {
  const idleTimeout = fromTimeout(item[ATTRIBUTES.idleTimeout])
  const absoluteTimeout = fromTimeout(item[ATTRIBUTES.absoluteTimeout])
  return idleTimeout === null || absoluteTimeout === null ? null : { idleTimeout, absoluteTimeout }
}

/** Null for what is no timeout. A write that renews requires the very number, so one that a double cannot hold is none. */
function fromTimeout (stored: AttributeValue | undefined): number | false | undefined | null {
  if (stored === undefined) return undefined
  const seconds = fromNumber(stored)
  if (seconds === 0) return false
  return isTimeout(seconds) && String(seconds) === stored.N ? seconds : null
}

function fromWritesMap (stored: AttributeValue | undefined): ReadonlyMap<string, number> | undefined {
  if (stored?.M === undefined) return undefined
  return new Map(Object.entries(stored.M).map(([token, instant]) => [token, fromNumber(instant) ?? 0]))
}
