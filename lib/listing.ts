import type { AttributeValue, GetItemCommandInput, PutItemCommandInput, UpdateItemCommandInput } from '@aws-sdk/client-dynamodb'
import type { UserChange, UserEntry, UserRecord } from '../types/repository.js'
import { NEVER } from './expiry.js'
import { Expression } from './expression.js'
import { ATTRIBUTES, fromNumber, toNumber, toUserKey, type Item, type Layout } from './item.js'

/**
 * The list of a user's sessions as an item, and what is said of it to DynamoDB, as data: nothing here sends.
 */

/** The attributes of a list, beside its version and its end. */
export const LIST_ATTRIBUTES = { sessions: 'sessions', revoking: 'revoking' } as const

const { sessions, revoking } = LIST_ATTRIBUTES

/** The members of an entry. They stand there for each session of each user, so they are short. */
const ENTRY = { createdAt: 'c', lastSeenAt: 's', expiresAt: 'e', label: 'l' } as const

/** Seconds for which a list stays after its last session, and at least; between them it is prolonged, once in a while. */
const LIST_LIFE = 30 * 86_400
const LEAST_LIFE = 15 * 86_400

const CAPACITY = { ReturnConsumedCapacity: 'TOTAL' } as const

export function loadCommand (user: string, layout: Layout): GetItemCommandInput {
  return { TableName: layout.table, Key: toUserKey(user, layout), ConsistentRead: true, ...CAPACITY }
}

/** Lists a session, on condition that it is not being ended and, with `from`, that the one which it replaces is listed. */
export function addCommand (user: string, key: string, entry: UserEntry, from: string | undefined, layout: Layout): UpdateItemCommandInput {
  const expression = aList()
  const place = expression.path(sessions, key)
  expression.require(`attribute_not_exists(${expression.path(revoking, key)})`)
  if (from !== undefined) expression.require(`attribute_exists(${expression.path(sessions, from)})`)
  // What the other one's label is, only the table knows; the instants follow when it has taken its place.
  const isCopy = from !== undefined && entry.label === undefined
  expression.set(place, isCopy ? expression.path(sessions, from) : expression.value(toEntry(entry)))
  expression.add(ATTRIBUTES.version, toNumber(1))
  return update(user, expression, layout)
}

/** The first session of a user. */
export function beginCommand (user: string, key: string, entry: UserEntry, layout: Layout): PutItemCommandInput & { Item: Item } {
  const expression = new Expression()
  expression.require(`attribute_not_exists(${expression.name(layout.partitionKey.name)})`)
  const Item = toUserItem(user, { sessions: new Map([[key, entry]]), revoking: new Map(), version: 1 }, layout)
  return { TableName: layout.table, Item, ...expression.condition(), ...CAPACITY }
}

/** Others may be listed or renewed meanwhile; only what comes and goes raises the version. */
export function amendCommand (user: string, { remove, renew }: UserChange, layout: Layout): UpdateItemCommandInput {
  const expression = aList()
  for (const key of remove) {
    expression.remove(expression.path(sessions, key))
    expression.remove(expression.path(revoking, key))
  }
  if (remove.length > 0) expression.add(ATTRIBUTES.version, toNumber(1))
  if (renew === undefined) return update(user, expression, layout)
  const place = expression.path(sessions, renew.key)
  expression.require(`attribute_exists(${place})`)
  for (const name of ['createdAt', 'lastSeenAt', 'expiresAt'] as const) {
    expression.set(`${place}.${expression.name(ENTRY[name])}`, expression.value(toNumber(renew[name])))
  }
  return update(user, expression, layout)
}

export function rewriteCommand (
  user: string, lists: Pick<UserRecord, 'sessions' | 'revoking'>, version: number, layout: Layout
): UpdateItemCommandInput {
  const expression = new Expression()
  expression.require(`${expression.name(ATTRIBUTES.version)}=${expression.value(toNumber(version))}`)
  expression.set(expression.name(sessions), expression.value(toEntries(lists.sessions)))
  expression.set(expression.name(revoking), expression.value(toEntries(lists.revoking)))
  expression.add(ATTRIBUTES.version, toNumber(1))
  return update(user, expression, layout)
}

/** Prolongs a list that has a session in it. Where another has done so meanwhile, that counts. */
export function keepCommand (user: string, key: string, item: Item, layout: Layout): UpdateItemCommandInput {
  const expression = aList()
  const end = expression.name(layout.ttlAttribute)
  const newEnd = expression.value(toNumber(endOfList(latestEnd(item))))
  expression.require(`attribute_exists(${expression.path(sessions, key)})`)
  expression.require(`${end}<${newEnd}`)
  expression.set(end, newEnd)
  return update(user, expression, layout)
}

/** Whether the item outlives its sessions by far, so that none of them is alive without being listed. */
export function staysLongEnough (item: Item, layout: Layout): boolean {
  return Number(fromNumber(item[layout.ttlAttribute])) >= Math.min(NEVER, latestEnd(item) + LEAST_LIFE)
}

export function toUserItem (user: string, record: UserRecord, layout: Layout): Item {
  const latest = Math.max(0, ...[...record.sessions.values()].map(({ expiresAt }) => expiresAt))
  return {
    ...toUserKey(user, layout),
    [sessions]: toEntries(record.sessions),
    [revoking]: toEntries(record.revoking),
    [ATTRIBUTES.version]: toNumber(record.version),
    [layout.ttlAttribute]: toNumber(endOfList(latest))
  }
}

/** Null where there is no list, or what stands there is none. */
export function fromUserItem (item: Readonly<Item> | undefined): UserRecord | null {
  const listed = item?.[sessions]?.M
  const ending = item?.[revoking]?.M
  const version = fromNumber(item?.[ATTRIBUTES.version])
  if (listed === undefined || ending === undefined || version === undefined) return null
  return { sessions: fromEntries(listed), revoking: fromEntries(ending), version }
}

function endOfList (latest: number): number {
  return Math.min(NEVER, latest + LIST_LIFE)
}

function latestEnd (item: Item): number {
  return Math.max(0, ...Object.values(item[sessions]?.M ?? {}).map(entry => fromEntry(entry).expiresAt))
}

function aList (): Expression {
  const expression = new Expression()
  const map = expression.value({ S: 'M' })
  for (const name of [sessions, revoking]) expression.require(`attribute_type(${expression.name(name)},${map})`)
  return expression
}

function toEntries (entries: ReadonlyMap<string, UserEntry>): AttributeValue {
  return { M: Object.fromEntries([...entries].map(([key, entry]) => [key, toEntry(entry)])) }
}

function toEntry ({ createdAt, lastSeenAt, expiresAt, label }: UserEntry): AttributeValue {
  return {
    M: {
      [ENTRY.createdAt]: toNumber(createdAt),
      [ENTRY.lastSeenAt]: toNumber(lastSeenAt),
      [ENTRY.expiresAt]: toNumber(expiresAt),
      ...label !== undefined && { [ENTRY.label]: label }
    }
  }
}

function fromEntries (entries: Readonly<Item>): ReadonlyMap<string, UserEntry> {
  return new Map(Object.entries(entries).map(([key, entry]) => [key, fromEntry(entry)]))
}

/** What somebody else has spoiled still names a session, which can be ended. */
function fromEntry ({ M: parts = {} }: AttributeValue): UserEntry {
  return {
    createdAt: fromNumber(parts[ENTRY.createdAt]) ?? 0,
    lastSeenAt: fromNumber(parts[ENTRY.lastSeenAt]) ?? 0,
    expiresAt: fromNumber(parts[ENTRY.expiresAt]) ?? 0,
    label: parts[ENTRY.label]
  }
}

function update (user: string, expression: Expression, layout: Layout): UpdateItemCommandInput {
  return { TableName: layout.table, Key: toUserKey(user, layout), ...expression.update(), ReturnValues: 'ALL_NEW', ...CAPACITY }
}
