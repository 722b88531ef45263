import { goneReason, presentEndOf } from '../lib/expiry.js'
import { COOKIE, foreignRecordIn } from '../lib/foreign-record.js'
import { Form } from '../lib/form.js'
import { fill } from '../lib/importer.js'
import { inherited, lifetimeOf } from '../lib/inheritance.js'
import { fromItem, type Item } from '../lib/item.js'
import type { Settings } from '../lib/options.js'
import { newRecord } from '../lib/plan.js'
import { SessionState } from '../lib/session.js'
import { hash, Tokens } from '../lib/token.js'
import { cookieIn, hasEnded } from '../store/content.js'
import { recordOfFormer } from '../store/reading.js'
import type { ForeignSession } from '../types/import.js'
import type { SessionRecord } from '../types/repository.js'
import type { Origin } from './origin.js'

/**
 * Why a row is not copied. `others`: no session of that system. `ghosts`: one without what a session needs, or with nothing in it, or
 * damaged. `refused`: alive, and with a value that would become another one. `signed`: alive, under an id with a signature.
 */
export type Obstacle = 'others' | 'ghosts' | 'expired' | 'refused' | 'signed'

/** What becomes of a row: a record of ours, or nothing. */
export type Decision = SessionRecord | Obstacle

export interface RowSettings {
  readonly settings: Settings
  /** As given. */
  readonly absoluteTimeout: number | false | undefined
  readonly idBytes: number
}

/** Bytes of the signature that itsdangerous puts behind an id, with its dot. */
const SIGNATURE = /\.[A-Za-z0-9_-]{27}$/

/** What becomes of a row at an instant, in epoch seconds. Pure. */
export function decide (item: Item, origin: Origin, settings: RowSettings, now: number): Decision {
  const text = item[origin.hashKey]?.S ?? ''
  // Both may be in one table.
  if (!text.startsWith(origin.prefix) || fromItem(item, '', settings.settings.layout) !== null) return 'others'
  const id = text.slice(origin.prefix.length)
  if (id === '') return 'others'
  const decision = origin.target === 'store' ? forStore(item, id, settings, now) : forPlugin(item, id, origin, settings, now)
  return typeof decision === 'object' && goneReason(decision, settings.settings, now) !== undefined ? 'expired' : decision
}

/** What DynamoStore would make of it. */
function forStore (item: Item, id: string, { settings, absoluteTimeout }: RowSettings, now: number): Decision {
  try {
    const found = foreignRecordIn(item, now)
    if (found === undefined) return isDead(() => foreignRecordIn(item, -Infinity)) ? 'expired' : 'ghosts'
    if (hasEnded(cookieIn({ cookie: found.members.get(COOKIE) }), now)) return 'expired'
    const record = { ...recordOfFormer(hash(id), found, { settings, absoluteTimeout }, now), version: 1 }
    return { ...record, expiresAt: presentEndOf(record, settings) }
  } catch {
    // A value that our format cannot carry, or a number that JavaScript has not.
    return 'refused'
  }
}

/** What the plugin would make of it, were the old id one of its own. */
function forPlugin (item: Item, id: string, { reader }: Origin, { settings, idBytes }: RowSettings, now: number): Decision {
  const key = new Tokens(idBytes, undefined).keyOf(id.replace(SIGNATURE, ''))
  if (key === null) return 'others'
  try {
    const foreign = reader.read(item, now)
    if (foreign === null) return isDead(() => reader.read(item, -Infinity)) ? 'expired' : 'ghosts'
    const record = recordOf(key, foreign, settings, now)
    return record === undefined ? 'ghosts' : SIGNATURE.test(id) ? 'signed' : record
  } catch {
    return 'refused'
  }
}

/** Whether a row that is no session now was one at some time: of the living alone the values are looked at. */
function isDead (read: () => object | null | undefined): boolean {
  try {
    return (read() ?? null) !== null
  } catch {
    return true
  }
}

function recordOf (key: string, foreign: ForeignSession, settings: Settings, now: number): SessionRecord | undefined {
  const lifetime = lifetimeOf(foreign, settings, now)
  const { values, own } = fill(new SessionState(settings), foreign, lifetime)
  if (!values.hasSubstance()) return undefined
  const parts = { key, format: values.form.format.name, ...own.get() }
  const data = Form.of(parts, settings).wrapAll(values.all())
  return inherited(newRecord({ ...parts, data }, settings, now, undefined), lifetime, settings)
}
