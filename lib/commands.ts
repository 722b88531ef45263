import type {
  AttributeValue, BatchGetItemCommandInput, DeleteItemCommandInput, GetItemCommandInput, PutItemCommandInput, UpdateItemCommandInput
} from '@aws-sdk/client-dynamodb'
import type { IndexChange } from '../types/indexing.js'
import type { RecordChange, Renewal, Replacement, SessionRecord, SettingsChange } from '../types/repository.js'
import { Expression } from './expression.js'
import {
  ATTRIBUTES, mergedData, NO_SUCCESSOR, toDataMap, toItem, toKey, toNumber, toSuccessor, toTimeout, toWritesMap, type Item, type Layout
} from './item.js'

/**
 * What is said to DynamoDB, as data: nothing here sends. Every write carries a condition.
 */

/** More changed keys than this are written as a whole map: an expression may hold 4 KB and 300 operators. */
export const MOST_NAMED_KEYS = 200

/** Seconds for which a write is recognised by its token. The SDK repeats a write within seconds. */
const WRITE_TOKEN_LIFE = 60

/** Outdated write tokens that one write takes out; what is left over goes with the next. */
const MOST_PRUNED_TOKENS = 50

/** Seconds for which a replaced record stays, so that late requests find out that it was replaced. */
export const REPLACED_LIFE = 60

/** Seconds for which a tombstone stays: longer than the 900 that any call may take, by clocks that are minutes apart. */
const TOMBSTONE_LIFE = 1200

const CAPACITY = { ReturnConsumedCapacity: 'TOTAL' } as const

export function readCommand (key: string, consistent: boolean, layout: Layout): GetItemCommandInput {
  return { TableName: layout.table, Key: toKey(key, layout), ConsistentRead: consistent, ...CAPACITY }
}

export function readTogetherCommand (keys: readonly string[], consistent: boolean, layout: Layout): BatchGetItemCommandInput {
  return { RequestItems: { [layout.table]: { Keys: keys.map(key => toKey(key, layout)), ConsistentRead: consistent } }, ...CAPACITY }
}

export function createCommand (record: SessionRecord, layout: Layout): PutItemCommandInput & { Item: Item } {
  const expression = new Expression()
  expression.require(`attribute_not_exists(${expression.name(layout.partitionKey.name)})`)
  return { TableName: layout.table, Item: toItem(record, layout), ...expression.condition(), ...CAPACITY }
}

/**
 * Deletes a record that has no successor. On this condition, because a delete whose answer was lost is repeated and finds
 * nothing: it could no longer tell of a successor, which would live on. What was there is given back, for it names the user, and
 * costs no unit.
 */
export function destroyCommand (key: string, layout: Layout): DeleteItemCommandInput {
  const expression = new Expression()
  expression.require(`attribute_not_exists(${expression.name(ATTRIBUTES.next)})`)
  return { TableName: layout.table, Key: toKey(key, layout), ...expression.condition(), ReturnValues: 'ALL_OLD', ...CAPACITY }
}

/** A tombstone in place of whatever is there, save of what has a successor, which would live on. */
export function revokeCommand (key: string, now: number, user: string | undefined, layout: Layout): PutItemCommandInput & { Item: Item } {
  const expression = new Expression()
  expression.require(`attribute_not_exists(${expression.name(ATTRIBUTES.next)})`)
  const Item = toItem(tombstone(key, now, user), layout)
  return { TableName: layout.table, Item, ...expression.condition(), ReturnValues: 'ALL_OLD', ...CAPACITY }
}

/** Dead, because it has a successor, though there is none. */
export function tombstone (key: string, now: number, user: string | undefined): SessionRecord {
  const instant = Math.floor(now)
  return {
    key, data: new Map(), version: 1, createdAt: instant, lastSeenAt: instant, expiresAt: instant + TOMBSTONE_LIFE, user, next: NO_SUCCESSOR
  }
}

export function saveCommand (
  key: string, change: RecordChange, writeToken: string, layout: Layout
): UpdateItemCommandInput {
  const expression = alive(change.now, layout)
  const isWhole = change.set.size + change.delete.length > MOST_NAMED_KEYS
  if (isWhole || change.sameVersion === true) requireVersion(expression, change.base)
  if (isWhole) expression.set(expression.name(ATTRIBUTES.data), expression.value(toDataMap(mergedData(change))))
  else mergeData(expression, change)
  for (const [key, value] of change.expected ?? []) requireValue(expression, expression.path(ATTRIBUTES.data, key), value)
  for (const attribute of layout.index?.changesOf(change) ?? []) changeIndexed(expression, attribute)
  changeSettings(expression, change.settings)
  if (change.renewal !== undefined) renew(expression, change.renewal, layout)
  signWrite(expression, writeToken, change)
  expression.add(ATTRIBUTES.version, toNumber(1))
  return update(key, expression, layout, 'UPDATED_NEW')
}

export function touchCommand (key: string, renewal: Renewal, now: number, layout: Layout): UpdateItemCommandInput {
  const expression = alive(now, layout)
  renew(expression, renewal, layout)
  return update(key, expression, layout, 'NONE')
}

export function replaceCommand (key: string, replacement: Replacement, layout: Layout): UpdateItemCommandInput {
  const { base, next, now, sameVersion } = replacement
  const expression = new Expression()
  const successor = expression.value(toSuccessor(next, layout))
  const end = expression.name(layout.ttlAttribute)
  const mark = expression.name(ATTRIBUTES.next)
  requireWhole(expression)
  expression.require(`((attribute_not_exists(${mark}) AND ${end}>${expression.value(toNumber(Math.floor(now)))}) OR ${mark}=${successor})`)
  if (sameVersion) requireVersion(expression, base)
  expression.set(mark, successor)
  expression.set(expression.name(ATTRIBUTES.data), expression.value({ M: {} }))
  for (const name of layout.index?.names ?? []) expression.remove(expression.name(name))
  expression.set(end, expression.value(toNumber(Math.min(base.expiresAt, Math.floor(now) + REPLACED_LIFE))))
  return update(key, expression, layout, 'NONE')
}

function alive (now: number, layout: Layout): Expression {
  const expression = new Expression()
  requireWhole(expression)
  expression.require(`attribute_not_exists(${expression.name(ATTRIBUTES.next)})`)
  expression.require(`${expression.name(layout.ttlAttribute)}>${expression.value(toNumber(Math.floor(now)))}`)
  return expression
}

/** There is an item, and it has what a session needs: a write must not make one of what counts as absent. */
function requireWhole (expression: Expression): void {
  expression.require(`attribute_type(${expression.name(ATTRIBUTES.data)},${expression.value({ S: 'M' })})`)
  const number = expression.value({ S: 'N' })
  for (const attribute of [ATTRIBUTES.version, ATTRIBUTES.createdAt, ATTRIBUTES.lastSeenAt]) {
    expression.require(`attribute_type(${expression.name(attribute)},${number})`)
  }
}

function mergeData (expression: Expression, change: RecordChange): void {
  for (const [key, value] of change.set) expression.set(expression.path(ATTRIBUTES.data, key), expression.value(value))
  for (const key of change.delete) expression.remove(expression.path(ATTRIBUTES.data, key))
}

function changeIndexed (expression: Expression, { name, value, from }: IndexChange): void {
  const attribute = expression.name(name)
  if (from !== undefined) requireValue(expression, expression.path(ATTRIBUTES.data, name), from.stored)
  if (value === undefined) expression.remove(attribute)
  else expression.set(attribute, expression.value(value))
}

function requireVersion (expression: Expression, { version }: SessionRecord): void {
  expression.require(`${expression.name(ATTRIBUTES.version)}=${expression.value(toNumber(version))}`)
}

function requireValue (expression: Expression, target: string, value: AttributeValue | undefined): void {
  expression.require(value === undefined ? `attribute_not_exists(${target})` : `${target}=${expression.value(value)}`)
}

function changeSettings (expression: Expression, settings: SettingsChange): void {
  if (typeof settings.user === 'string') expression.set(expression.name(ATTRIBUTES.user), expression.value({ S: settings.user }))
  for (const name of ['idleTimeout', 'absoluteTimeout', 'cookieMaxAge'] as const) {
    const value = settings[name]
    if (value === undefined) continue
    const attribute = expression.name(ATTRIBUTES[name])
    if (value === null) expression.remove(attribute)
    else expression.set(attribute, expression.value(toTimeout(value)))
  }
}

function renew (expression: Expression, renewal: Renewal, layout: Layout): void {
  const end = expression.name(layout.ttlAttribute)
  const newEnd = expression.value(toNumber(renewal.expiresAt))
  if (!renewal.mayShorten) expression.require(`${end}<=${newEnd}`)
  requireTimeout(expression, ATTRIBUTES.idleTimeout, renewal.idleTimeout)
  requireTimeout(expression, ATTRIBUTES.absoluteTimeout, renewal.absoluteTimeout)
  expression.set(expression.name(ATTRIBUTES.lastSeenAt), expression.value(toNumber(renewal.lastSeenAt)))
  expression.set(end, newEnd)
}

function requireTimeout (expression: Expression, attribute: string, seconds: number | false | undefined): void {
  requireValue(expression, expression.name(attribute), seconds === undefined ? undefined : toTimeout(seconds))
}

function signWrite (expression: Expression, writeToken: string, change: RecordChange): void {
  const { writes } = change.base
  const instant = toNumber(Math.floor(change.now))
  if (writes === undefined) {
    const map = expression.name(ATTRIBUTES.writes)
    expression.require(`attribute_not_exists(${map})`)
    expression.set(map, expression.value(toWritesMap(new Map([[writeToken, Math.floor(change.now)]]))))
    return
  }
  const path = expression.path(ATTRIBUTES.writes, writeToken)
  expression.require(`attribute_not_exists(${path})`)
  expression.set(path, expression.value(instant))
  for (const token of outdated(writes, change.now)) expression.remove(expression.path(ATTRIBUTES.writes, token))
}

/** The write tokens that a save leaves in the record, as far as this process knows. */
export function writesAfter (change: RecordChange, writeToken: string): ReadonlyMap<string, number> {
  const writes = new Map([...change.base.writes ?? [], [writeToken, Math.floor(change.now)]])
  for (const token of outdated(change.base.writes ?? new Map(), change.now)) writes.delete(token)
  return writes
}

/** What a save leaves in the table, as far as its size is concerned. */
export function savedRecord (change: RecordChange, writeToken: string): SessionRecord {
  const { base, now, settings } = change
  const writes = new Map([...base.writes ?? [], [writeToken, Math.floor(now)]])
  return { ...base, user: settings.user ?? base.user, data: mergedData(change), version: base.version + 1, writes }
}

function outdated (writes: ReadonlyMap<string, number>, now: number): string[] {
  return [...writes].filter(([, instant]) => instant < now - WRITE_TOKEN_LIFE)
    .map(([token]) => token).slice(0, MOST_PRUNED_TOKENS)
}

function update (
  key: string, expression: Expression, layout: Layout, returned: 'NONE' | 'UPDATED_NEW'
): UpdateItemCommandInput {
  return {
    TableName: layout.table, Key: toKey(key, layout), ...expression.update(), ReturnValues: returned, ...CAPACITY
  }
}
