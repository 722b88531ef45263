import type { RecordChange, Renewal, SessionRecord, SettingsChange } from '../types/repository.js'
import { isTrackedByCookie, presentEndOf, storedEndOf, timeoutsOf, type Timeouts } from './expiry.js'
import { Form, isSame, type FormSettings } from './form.js'
import { mergedData } from './item.js'
import { isNoMessages } from './plain.js'
import type { ValueChanges, Values } from './values.js'

/** What is to be done about a session. Deciding is here, doing is the writer's. */
export type Plan =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'create', readonly record: SessionRecord, readonly now: number, readonly content: unknown }
  | { readonly kind: 'save', readonly change: RecordChange, readonly content: unknown }
  | {
    readonly kind: 'touch'
    readonly base: SessionRecord
    readonly renewal: Renewal
    readonly now: number
    readonly explicit: boolean
    /** Seconds within which one renewal is enough, whoever made it; 0 where the application asked for this one. */
    readonly reissueTime: number
  }
  /** The last activity is told to the browser, and to nobody else. */
  | { readonly kind: 'renew', readonly record: SessionRecord }
  | {
    readonly kind: 'regenerate'
    readonly record: SessionRecord
    readonly old: SessionRecord
    readonly keep: Keep
    readonly now: number
    readonly content: unknown
  }
  | { readonly kind: 'discard', readonly old: SessionRecord }

/** What the browser is to be told at the end of the request. */
export interface Delivery {
  /** The id that was stored, with its record; or that the token is to be cleared. */
  readonly token?: { readonly id: string, readonly record: SessionRecord } | 'clear'
  /** The data that was written, so that reads which lag behind are noticed. */
  readonly wrote?: { readonly key: string, readonly version: number }
}

/** What `regenerate` keeps: the named keys, all, or none. */
export type Keep = readonly string[] | boolean

/** The record that a regenerated session is to replace, and what is kept of it. */
export interface Replaced { readonly record: SessionRecord, readonly keep: Keep }

/** That a session is to be listed for a user. */
export interface Binding {
  /** The names under which the user's list may stand, the one for new entries first. */
  readonly users: readonly [string, ...string[]]
  readonly label: string | undefined
}

/** Nothing is to be done. */
export const NOTHING: Plan = { kind: 'nothing' }

/**
 * What a plan is to write of the application's, to tell two plans apart; undefined where that is nothing. Not as it is stored,
 * because sealed values differ each time.
 */
export function contentOf (plan: Plan): unknown {
  if (plan.kind === 'discard') return plan.kind
  return 'content' in plan ? plan.content : undefined
}

/** A record under another key, which its values are bound to. */
export function moved (record: SessionRecord, key: string, settings: FormSettings): SessionRecord {
  const from = Form.of(record, settings)
  const to = Form.of({ ...record, key }, settings)
  return { ...record, key, data: new Map([...record.data].map(([name, stored]) => [name, to.wrap(name, from.unwrap(name, stored))])) }
}

/** What a new record is made of beside its instants. */
export type NewParts = Omit<SessionRecord, 'version' | 'createdAt' | 'lastSeenAt' | 'expiresAt' | 'writes' | 'next'>

/** `past`: the record whose age runs on in this one, as a routine change of the id must not prolong a life (NIST SP 800-63B-4, 5.2). */
export function newRecord (parts: NewParts, defaults: Timeouts, now: number, past: SessionRecord | undefined): SessionRecord {
  const instant = Math.floor(now)
  const createdAt = past?.createdAt ?? instant
  const lastSeenAt = Math.max(past?.lastSeenAt ?? 0, instant)
  const expiresAt = storedEndOf(createdAt, lastSeenAt, timeoutsOf(parts, defaults))
  return { ...parts, version: 1, createdAt, lastSeenAt, expiresAt, writes: new Map() }
}

/** A record with the last activity that anybody tells of, where the table knows an earlier one only. */
export type SeenRecord = SessionRecord & { readonly storedSeenAt?: number }

export function withActivity (record: SessionRecord, activeAt: number): SeenRecord {
  return activeAt <= record.lastSeenAt ? record : { ...record, lastSeenAt: activeAt, storedSeenAt: record.lastSeenAt }
}

/**
 * New instants, where they prolong the session or its timeouts change. A data write carries them for nothing, and so also where
 * the end stays, since the last activity is kept in a cookie, which may be lost.
 */
export function renewalOf (base: SeenRecord, settings: SettingsChange, defaults: Timeouts, now: number): Renewal | undefined {
  const { idleTimeout, absoluteTimeout } = base
  const own = {
    idleTimeout: settings.idleTimeout === undefined ? idleTimeout : settings.idleTimeout ?? undefined,
    absoluteTimeout: settings.absoluteTimeout === undefined ? absoluteTimeout : settings.absoluteTimeout ?? undefined
  }
  const mayShorten = settings.idleTimeout !== undefined || settings.absoluteTimeout !== undefined
  const lastSeenAt = Math.max(base.lastSeenAt, Math.floor(now))
  const timeouts = timeoutsOf(own, defaults)
  const end = storedEndOf(base.createdAt, lastSeenAt, timeouts)
  if (mayShorten) return { lastSeenAt, expiresAt: end, idleTimeout, absoluteTimeout, mayShorten }
  const isTold = base.storedSeenAt !== undefined && base.storedSeenAt < lastSeenAt
  if (end <= presentEndOf(base, defaults) && !isTold && !isTrackedByCookie(timeouts)) return undefined
  // Where the timeouts were tightened, the stored end is later than the real one, and is not brought forward.
  return { lastSeenAt, expiresAt: Math.max(base.expiresAt, end), idleTimeout, absoluteTimeout, mayShorten }
}

/** Least seconds between two renewals: a session with a shorter idle timeout of its own is renewed within a tenth of it. */
export function reissueTimeOf ({ idleTimeout }: SessionRecord, reissueTime: number): number {
  return typeof idleTimeout === 'number' ? Math.min(reissueTime, idleTimeout / 10) : reissueTime
}

/** Whether a renewal only tells the browser of an activity, and leaves the table as it is. */
export function isTold (base: SessionRecord, { expiresAt }: Renewal, defaults: Timeouts): boolean {
  return isTrackedByCookie(timeoutsOf(base, defaults)) && expiresAt <= base.expiresAt
}

/** What is known of a renewal that is not part of a data write. */
interface Occasion {
  readonly now: number
  /** Whether the application asked for changes to be written, and is to be told of failures. */
  readonly explicit: boolean
  /** Whether it asked for a renewal. */
  readonly isWanted: boolean
  /** Epoch seconds of the last activity that the browser was told of. */
  readonly toldAt: number | undefined
}

/** A renewal by itself, once per reissue time: in the table, or by what is told to the browser. */
export function planRenewal (base: SessionRecord, renewal: Renewal, settings: RenewalSettings, { now, explicit, isWanted, toldAt }: Occasion): Plan {
  const reissueTime = isWanted ? 0 : reissueTimeOf(base, settings.reissueTime)
  if (isTold(base, renewal, settings)) {
    // By what the browser was told: of an activity that this process alone knows of, other processes know nothing.
    return now - (toldAt ?? base.lastSeenAt) >= reissueTime ? { kind: 'renew', record: { ...base, lastSeenAt: renewal.lastSeenAt } } : NOTHING
  }
  // What the application asks to be saved is its changes; renewing has its own time, or is asked for.
  const mayTouch = isWanted || (now - base.lastSeenAt >= reissueTime && !explicit)
  return mayTouch ? { kind: 'touch', base, renewal, now, explicit, reissueTime } : NOTHING
}

type RenewalSettings = Timeouts & { readonly reissueTime: number }

/** Whether a request that changes nothing renews this record in the table. */
export function isRenewalDue (record: SessionRecord, settings: RenewalSettings, now: number): boolean {
  if (now - record.lastSeenAt < reissueTimeOf(record, settings.reissueTime)) return false
  const renewal = renewalOf(record, {}, settings, now)
  return renewal !== undefined && !isTold(record, renewal, settings)
}

/** The same change on a record that is not the one it was made on, but alive. */
export function rebase (change: RecordChange, base: SessionRecord, defaults: Timeouts): RecordChange {
  return { ...change, base, renewal: renewalOf(base, change.settings, defaults, change.now) }
}

/** The record after a change, as far as this process knows it. */
export function changedRecord (change: RecordChange, version: number, writes = change.base.writes): SessionRecord {
  const { base, settings, renewal } = change
  const own = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, value ?? undefined]))
  const { lastSeenAt, expiresAt } = renewal ?? base
  const { index, ...others } = base
  return { ...others, ...own, data: mergedData(change), version, lastSeenAt, expiresAt, writes: writes ?? new Map() }
}

/**
 * The record after a change, as far as this process knows it, which knew `own` before. Where others have written meanwhile,
 * their data is not known, so the version stays behind: what depends on knowing all of it is refused then, and reads again.
 */
export function knownRecord (own: SessionRecord, change: RecordChange, version: number, writes?: SessionRecord['writes']): SessionRecord {
  const record = changedRecord(change, version, writes)
  if (change.base.version === own.version && version === own.version + 1) return record
  return { ...record, data: mergedData({ ...change, base: own }), version: own.version }
}

/** Whether anything would be written. */
export function isChange (values: ValueChanges, settings: SettingsChange): boolean {
  return values.set.size > 0 || values.delete.length > 0 || Object.keys(settings).length > 0
}

/** What is kept by two that follow each other. */
export function narrower (first: Keep, second: Keep): Keep {
  if (first === true) return second
  if (second === true) return first
  return Array.isArray(first) && Array.isArray(second) ? first.filter(key => second.includes(key)) : false
}

/**
 * Takes the values that are kept of a record anew, because it has changed since it was read; what the application has
 * changed itself meanwhile stands.
 */
export function takeAnew (values: Values, keep: Keep, before: SessionRecord, present: SessionRecord, settings: FormSettings): void {
  for (const key of new Set([...before.data.keys(), ...present.data.keys()])) {
    const isKept = keep === true || (Array.isArray(keep) && keep.includes(key))
    if (!isKept || values.isDoubted(key) || !isUntouched(values, key, before, settings)) continue
    const value = read(present, key, settings)
    if (value === undefined) values.delete(key)
    else values.set(key, value)
  }
}

function isUntouched (values: Values, key: string, before: SessionRecord, settings: FormSettings): boolean {
  if (!before.data.has(key) && isNoMessages(key, values.get(key))) return true
  return isSame(() => values.get(key), () => read(before, key, settings))
}

function read (record: SessionRecord, key: string, settings: FormSettings): unknown {
  const stored = record.data.get(key)
  return stored === undefined ? undefined : Form.of(record, settings).read(key, stored)
}
