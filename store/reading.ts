import { endOf, timeoutsOf } from '../lib/expiry.js'
import { COOKIE, unlessNotImportable, type ForeignRecord } from '../lib/foreign-record.js'
import { Form } from '../lib/form.js'
import type { Settings } from '../lib/options.js'
import { newRecord, type Plan } from '../lib/plan.js'
import { SessionState } from '../lib/session.js'
import { hash } from '../lib/token.js'
import { Turns } from '../lib/turns.js'
import type { SessionRecord } from '../types/repository.js'
import { cookieIn, timeoutsBy, type Content, type CookieContent } from './content.js'
import type { FormerItems } from './former.js'
import type { StoreSettings } from './store-options.js'

/** Where a session stands that another store has left. */
export interface Former { readonly items: FormerItems, readonly key: string }

/** What one request of a host has read of a session, and what it has handed in since: pure and synchronous. */
export class Reading {
  readonly sid: string
  readonly key: string
  /** What is changed is what differs from this. */
  readonly state: SessionState
  /** Writes of one request go one after the other. */
  readonly turns: Turns
  former: Former | undefined
  /** Names that the host's own session has no place for, whose absence is no deletion. */
  #omitted: ReadonlySet<string> = new Set()
  readonly #absoluteTimeout: number | false | undefined

  /** Of nothing, for a new session, or of a record. The cookie says how often it is to be renewed. */
  constructor (sid: string, key: string, cookie: CookieContent, options: StoreSettings, record?: SessionRecord) {
    this.sid = sid
    this.key = key
    this.state = new SessionState(settingsBy(cookie, options), record && { id: sid, record })
    this.turns = new Turns(options.settings.timeout)
    this.#absoluteTimeout = options.absoluteTimeout
  }

  /** A host has made its own session of what was read, which has these names. */
  presentAs (names: readonly string[]): void {
    this.#omitted = new Set([...this.state.values.keys()].filter(name => !names.includes(name)))
  }

  /** Assigns what a host handed in. What is equal to what is stored is no change. `now`: epoch seconds. */
  assign ({ values, cookie }: Content, now: number): void {
    const { state } = this
    if (values !== undefined) {
      for (const name of state.values.keys()) {
        if (name !== COOKIE && !values.has(name) && !this.#omitted.has(name)) state.values.delete(name)
      }
      for (const [name, value] of values) state.values.set(name, value)
    }
    state.values.set(COOKIE, cookie)
    state.own.assign(timeoutsBy(cookie, state.record?.createdAt ?? Math.floor(now), this.#absoluteTimeout))
  }

  /** A new record with all of it. */
  newRecord (now: number): SessionRecord {
    const { key, state: { own, values, settings } } = this
    const parts = { key, format: values.form.format.name, ...own.get() }
    return newRecord({ ...parts, data: Form.of(parts, settings).wrapAll(values.all()) }, settings, now, undefined)
  }

  /** Goes on with the record that another request has written meanwhile; what the plan was to change of it, as content. */
  rebase (present: SessionRecord, plan: Plan, content: Content): Content {
    const names = plan.kind === 'save' ? [...plan.change.set.keys(), ...plan.change.delete] : []
    const { state } = this
    // A renewal hands in no values, and may still have to make a change that failed before.
    const mine = content.values ?? state.values.copy()
    state.adopt(this.sid, present)
    const values = state.values.copy()
    const cookie = names.includes(COOKIE) ? content.cookie : cookieIn({ cookie: values.get(COOKIE) })
    for (const name of names) {
      const value = mine.get(name)
      if (value === undefined) values.delete(name)
      else values.set(name, value)
    }
    values.delete(COOKIE)
    return { values, cookie }
  }
}

/** The key of the record of a host's id. */
export function keyOf (sid: unknown): string {
  if (typeof sid !== 'string' || sid === '') throw new TypeError('A session id must be a text that is not empty.')
  return hash(sid)
}

function settingsBy ({ originalMaxAge }: CookieContent, { settings, agedSettings }: StoreSettings): Settings {
  return originalMaxAge === undefined ? settings : agedSettings
}

/** What another store left as a record of ours, which is stored nowhere yet. */
export function recordOfFormer (
  key: string, { members, expiresAt }: ForeignRecord, { settings, absoluteTimeout }: Pick<StoreSettings, 'settings' | 'absoluteTimeout'>, now: number
): SessionRecord {
  const cookie = cookieIn({ cookie: members.get(COOKIE) })
  const instant = Math.floor(now)
  const parts = { key, format: settings.formats.preferred.name, ...timeoutsBy(cookie, instant, absoluteTimeout) }
  const form = Form.of(parts, settings)
  const values = new Map(members).set(COOKIE, cookie)
  const idle = endOf(0, 0, { ...timeoutsOf(parts, settings), absoluteTimeout: false })
  const end = Math.floor(expiresAt ?? instant + idle)
  return {
    ...parts,
    data: form.wrapAll(unlessNotImportable(() => new Map([...values].map(([name, value]) => [name, form.encode(name, value)])))),
    version: 0,
    createdAt: instant,
    // As far as its end tells.
    lastSeenAt: Math.min(instant, Math.max(0, end - idle)),
    expiresAt: end
  }
}
