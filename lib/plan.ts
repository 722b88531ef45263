import type { RecordChange, Renewal, SessionRecord, SettingsChange } from '../types/repository.js'
import { endOf, presentEndOf, timeoutsOf, type Timeouts } from './expiry.js'
import { Form, isSame, type FormSettings } from './form.js'
import { mergedData } from './item.js'
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
  const expiresAt = endOf(createdAt, lastSeenAt, timeoutsOf(parts, defaults))
  return { ...parts, version: 1, createdAt, lastSeenAt, expiresAt, writes: new Map() }
}

/** New instants, where they prolong the session or its timeouts change. A data write carries them for nothing. */
export function renewalOf (base: SessionRecord, settings: SettingsChange, defaults: Timeouts, now: number): Renewal | undefined {
  const { idleTimeout, absoluteTimeout } = base
  const own = {
    idleTimeout: settings.idleTimeout === undefined ? idleTimeout : settings.idleTimeout ?? undefined,
    absoluteTimeout: settings.absoluteTimeout === undefined ? absoluteTimeout : settings.absoluteTimeout ?? undefined
  }
  const mayShorten = settings.idleTimeout !== undefined || settings.absoluteTimeout !== undefined
  const lastSeenAt = Math.max(base.lastSeenAt, Math.floor(now))
  const end = endOf(base.createdAt, lastSeenAt, timeoutsOf(own, defaults))
  if (mayShorten) return { lastSeenAt, expiresAt: end, idleTimeout, absoluteTimeout, mayShorten }
  if (end <= presentEndOf(base, defaults)) return undefined
  // Where the timeouts were tightened, the stored end is later than the real one, and is not brought forward.
  return { lastSeenAt, expiresAt: Math.max(base.expiresAt, end), idleTimeout, absoluteTimeout, mayShorten }
}

/** Least seconds between two renewals: a session with a shorter idle timeout of its own is renewed within a tenth of it. */
export function reissueTimeOf ({ idleTimeout }: SessionRecord, reissueTime: number): number {
  return typeof idleTimeout === 'number' ? Math.min(reissueTime, idleTimeout / 10) : reissueTime
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
  return { ...base, ...own, data: mergedData(change), version, lastSeenAt, expiresAt, writes: writes ?? new Map() }
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
    if (!isKept || values.isDoubted(key) || !isSame(() => values.get(key), () => read(before, key, settings))) continue
    const value = read(present, key, settings)
    if (value === undefined) values.delete(key)
    else values.set(key, value)
  }
}

function read (record: SessionRecord, key: string, settings: FormSettings): unknown {
  const stored = record.data.get(key)
  return stored === undefined ? undefined : Form.of(record, settings).read(key, stored)
}
