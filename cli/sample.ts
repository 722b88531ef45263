import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { NEVER } from '../lib/expiry.js'
import { ATTRIBUTES, fromItem, type Item, type Layout } from '../lib/item.js'
import { sizeOfItem } from '../lib/size.js'
import { kindOf } from './keys.js'

/** What some items of a table tell of all. Counts, but for the sizes, which are bytes of the items of sessions. */
export interface Sample {
  readonly items: number
  readonly sessions: number
  /** Items that are no sessions of this application. */
  readonly others: number
  /** Of the sessions, those that lack what a session needs. */
  readonly ghosts: number
  readonly sizes: { readonly median: number, readonly largest: number }
  readonly expiry: Expiries
  /** Sessions that are alive and that DynamoDB deletes by the attribute on which TTL is enabled. */
  readonly swept: number
}

/** The TTL attribute that the plugin writes, as it stands in sessions. */
export interface Expiries {
  readonly missing: number
  /** Of another type than a number, which TTL passes over. */
  readonly mistyped: number
  /** So far ahead that they can only be milliseconds. */
  readonly milliseconds: number
  /** Past by more than TTL takes to delete what has expired. */
  readonly overdue: number
}

/** AWS promises deletion "within a few days". */
const LATE_SECONDS = 7 * 86_400
/** What expired longer ago than this is not deleted: AWS takes it for a mistake. */
const OLDEST_SECONDS = 5 * 365 * 86_400

/** `sweptBy`: the attribute on which TTL is enabled, if it is on any. `now`: epoch seconds. */
export function takeSample (items: readonly Item[], layout: Layout, sweptBy: string | undefined, now: number): Sample {
  const sessions = items.filter(item => kindOf(item, layout) === 'session')
  const sizes = sessions.map(sizeOfItem).sort((a, b) => a - b)
  const { ttlAttribute } = layout
  return {
    items: items.length,
    sessions: sessions.length,
    others: items.filter(item => kindOf(item, layout) === 'other').length,
    ghosts: sessions.filter(item => fromItem(item, '', layout) === null).length,
    sizes: { median: sizes[Math.floor(sizes.length / 2)] ?? 0, largest: sizes.at(-1) ?? 0 },
    expiry: expiriesOf(sessions.map(item => item[ttlAttribute]), now),
    swept: sweptBy === undefined ? 0 : sessions.filter(item => isAlive(item, layout, now) && isSweptBy(item[sweptBy], now)).length
  }
}

function expiriesOf (values: ReadonlyArray<AttributeValue | undefined>, now: number): Expiries {
  const numbers = values.flatMap(value => value?.N === undefined ? [] : [Number(value.N)])
  const missing = values.filter(value => value === undefined).length
  return {
    missing,
    mistyped: values.length - missing - numbers.length,
    milliseconds: numbers.filter(value => value > NEVER).length,
    overdue: numbers.filter(value => value < now - LATE_SECONDS).length
  }
}

/** Milliseconds count as what they stand for, so that a session that is alive is not taken for a dead one. */
function isAlive (item: Readonly<Item>, { ttlAttribute }: Layout, now: number): boolean {
  const expires = Number(item[ttlAttribute]?.N)
  return item[ATTRIBUTES.next] === undefined && (expires > NEVER ? expires / 1000 : expires) > now
}

/** Whether TTL deletes an item with this value now. */
function isSweptBy (value: AttributeValue | undefined, now: number): boolean {
  const instant = Number(value?.N ?? Number.NaN)
  return instant <= now && instant > now - OLDEST_SECONDS
}
