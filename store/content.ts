import { errors, safeCause } from '../lib/errors.js'
import { NEVER, type OwnTimeouts } from '../lib/expiry.js'
import { COOKIE } from '../lib/foreign-record.js'
import type { Form } from '../lib/form.js'
import type { StoredCookie, StoredSession } from '../types/store.js'

/** What hosts keep in a session, and what of it is stored. Pure. */

/** A name that hosts would assign by, and so change what a session is instead of what it holds. */
const UNASSIGNABLE = '__proto__'

/** What is kept of a cookie. The rest follows from it, or is a function. */
const ATTRIBUTES = ['path', 'domain', 'secure', 'httpOnly', 'sameSite', 'partitioned', 'priority'] as const

/**
 * A cookie as it is stored. Its end is not among it where it moves with every visit: the record's own end says that, and
 * a session that was only visited is a session that has not changed.
 */
export type CookieContent = Readonly<Partial<Record<typeof ATTRIBUTES[number], unknown>> & {
  /** Milliseconds, whole seconds of them: hosts measure it anew with every visit, and lose one now and then. */
  originalMaxAge?: number
  /** Of a cookie whose end does not move: its instant, as text. */
  expires?: string
}>

/** What a session held when a host handed it in. */
export interface Content {
  /** Copies. Undefined where only the cookie is looked at. */
  readonly values: ReadonlyMap<string, unknown> | undefined
  readonly cookie: CookieContent
}

/** The data of a session, copied: the host goes on to change it. Of what JSON leaves out, nothing is there. */
export function valuesIn (session: object, form: Form): Map<string, unknown> {
  const values = new Map<string, unknown>()
  for (const [key, value] of Object.entries(session)) {
    if (key === COOKIE || key === UNASSIGNABLE) continue
    const copy = copyOf(key, value, form)
    if (copy !== undefined) values.set(key, copy)
  }
  return values
}

/** By JSON where that is how the record is stored: that is what hosts compare by, and what applications have come to rely on. */
function copyOf (key: string, value: unknown, form: Form): unknown {
  if (value === undefined) return undefined
  if (form.format.name !== undefined) return form.decode(form.encode(key, value))
  try {
    const text = JSON.stringify(value) as string | undefined
    return text === undefined ? undefined : JSON.parse(text) as unknown
  } catch (cause) {
    throw new errors.UnsupportedValue(key, 'JSON cannot carry it, and the cause says why', { cause: safeCause(cause) })
  }
}

export function cookieIn (session: object): CookieContent {
  const cookie = plainCookie(Reflect.get(session, COOKIE))
  const content = attributesOf(cookie)
  const maxAge = cookie['originalMaxAge'] ?? cookie['maxAge']
  if (typeof maxAge === 'number' && Number.isFinite(maxAge)) return { ...content, originalMaxAge: wholeSeconds(maxAge) }
  const end = instantOf(cookie['expires'])
  return Number.isFinite(end) ? { ...content, expires: new Date(end).toISOString() } : content
}

function attributesOf (cookie: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(ATTRIBUTES.filter(name => cookie[name] !== undefined && cookie[name] !== null).map(name => [name, cookie[name]]))
}

function wholeSeconds (ms: number): number {
  if (ms <= 0) return 0
  return Math.min(Math.max(1, Math.round(ms / 1000)), NEVER) * 1000
}

function plainCookie (cookie: unknown): Readonly<Record<string, unknown>> {
  if (typeof cookie !== 'object' || cookie === null) return {}
  const { toJSON } = cookie as { toJSON?: unknown }
  return (typeof toJSON === 'function' ? toJSON.call(cookie) : cookie) as Record<string, unknown>
}

/** Epoch milliseconds, or NaN. */
function instantOf (given: unknown): number {
  if (given instanceof Date) return given.getTime()
  return typeof given === 'string' ? Date.parse(given) : Number.NaN
}

/** Whether a cookie has ended, which is how hosts say that its session has. `now`: epoch seconds. */
export function hasEnded ({ originalMaxAge, expires }: CookieContent, now: number): boolean {
  return originalMaxAge === 0 || (expires !== undefined && Date.parse(expires) <= now * 1000)
}

/**
 * The timeouts that a session has by its cookie. `absoluteTimeout`: the one that the application gave, if any; the default is
 * not meant for a cookie that lives longer.
 */
export function timeoutsBy ({ originalMaxAge, expires }: CookieContent, createdAt: number, absoluteTimeout: number | false | undefined): OwnTimeouts {
  if (originalMaxAge !== undefined) {
    return { idleTimeout: originalMaxAge / 1000, absoluteTimeout: absoluteTimeout === undefined ? false : undefined }
  }
  if (expires === undefined) return { idleTimeout: undefined, absoluteTimeout: undefined }
  const age = Math.min(Math.max(1, Math.floor(Date.parse(expires) / 1000) - createdAt), NEVER)
  return { idleTimeout: false, absoluteTimeout: typeof absoluteTimeout === 'number' ? Math.min(absoluteTimeout, age) : age }
}

/** A session for a host. `expiresAt`: epoch seconds, the end of the record. */
export function toSession (values: Iterable<readonly [string, unknown]>, expiresAt: number): StoredSession {
  const session: StoredSession = { cookie: { originalMaxAge: null, expires: null } }
  for (const [key, value] of values) {
    if (key === COOKIE) session.cookie = toCookie(plainCookie(value), expiresAt)
    else if (key !== UNASSIGNABLE) session[key] = value
  }
  return session
}

function toCookie (stored: Readonly<Record<string, unknown>>, expiresAt: number): StoredCookie {
  const attributes = attributesOf(stored)
  const { originalMaxAge, expires } = stored
  if (typeof originalMaxAge === 'number') return { ...attributes, originalMaxAge, expires: new Date(expiresAt * 1000) }
  const end = instantOf(expires)
  return { ...attributes, originalMaxAge: null, expires: Number.isFinite(end) ? new Date(end) : null }
}
