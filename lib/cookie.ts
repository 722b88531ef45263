import { parseCookie, stringifyCookie, stringifySetCookie } from 'cookie'
import type { CookieAttributes, CookieOptions } from '../types/cookie.js'
import { LONGEST_COMPANION } from './companion.js'
import { errors } from './errors.js'

/** A cookie as it is sent: every attribute decided. */
export interface CookieSettings extends CookieAttributes {
  readonly name: string
  readonly path: string
  readonly secure: boolean | 'auto'
  readonly httpOnly: boolean
  readonly sameSite: 'lax' | 'strict' | 'none'
}

/** RFC 6265bis, 5.5: browsers cap a cookie's life at 400 days. */
export const LONGEST_LIFE = 400 * 24 * 60 * 60
/** RFC 6265bis, 5.6: a longer name and value, and a longer attribute value, are ignored. */
const LARGEST_COOKIE = 4096
const LONGEST_ATTRIBUTE = 1024
/** What encoding adds to a token: the signature has 43 characters of base64, and each + and / of them takes 3 bytes. */
const LARGEST_ENCODING = 86

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const PATH = /^\/[\x20-\x3a\x3c-\x7e]*$/
const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const DOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`, 'i')

const isBoolean = (value: unknown): boolean => typeof value === 'boolean'
const isOneOf = (...choices: unknown[]) => (value: unknown): boolean => choices.includes(value)
const isText = (pattern: RegExp) => (value: unknown): boolean =>
  typeof value === 'string' && value.length <= LONGEST_ATTRIBUTE && pattern.test(value)

/** Each attribute with its test and what to say where the test fails. The list of attributes is this one. */
const CHECKS: { readonly [Name in keyof Required<CookieOptions>]: readonly [(value: unknown) => boolean, string] } = {
  name: [isText(NAME), 'must be letters, digits and !#$%&\'*+-.^_`|~ (RFC 6265)'],
  path: [isText(PATH), 'must be a path that begins with "/", at most 1024 characters, without ";" and control characters'],
  domain: [isText(DOMAIN), 'must be a host name without a leading dot'],
  secure: [isOneOf(true, false, 'auto'), 'must be true, false or "auto"'],
  httpOnly: [isBoolean, 'must be true or false'],
  sameSite: [isOneOf('lax', 'strict', 'none'), 'must be "lax", "strict" or "none"'],
  partitioned: [isBoolean, 'must be true or false'],
  priority: [isOneOf('low', 'medium', 'high'), 'must be "low", "medium" or "high"'],
  maxAge: [value => typeof value === 'number' && value >= 1 && value <= LONGEST_LIFE, 'must be seconds, from 1 to 400 days (34560000)']
}

/** What the companion's name ends in. */
export const COMPANION_SUFFIX = '-v'

export const COOKIE_OPTIONS: readonly string[] = Object.keys(CHECKS)

/** The cookie of a registration. `suffix` keeps the default names of several registrations apart. */
export function resolveCookie (given: CookieOptions, suffix: string, tokenLength: number): CookieSettings {
  const known = checked(given)
  const cookie = { path: '/', secure: true, httpOnly: true, sameSite: 'lax', ...known } as const
  const settings = { ...cookie, name: known.name ?? defaultName(cookie) + suffix }
  assertAccepted(settings)
  if (settings.name.length + 2 + Math.max(tokenLength, LONGEST_COMPANION) + LARGEST_ENCODING > LARGEST_COOKIE) {
    throw new errors.BadOption('cookie.name', 'is too long beside the token: browsers take 4096 bytes, name and value')
  }
  return Object.freeze(settings)
}

/** The same cookie with other attributes for one session; what is no attribute is left out. */
export function overrideCookie (cookie: CookieSettings, given: object): CookieSettings {
  const settings = { ...cookie, ...checked(given), name: cookie.name }
  assertAccepted(settings)
  return Object.freeze(settings)
}

function checked (given: object): { [Name in keyof CookieOptions]: Exclude<CookieOptions[Name], undefined> } {
  const known: Record<string, unknown> = {}
  for (const [name, [accepts, remark]] of Object.entries(CHECKS)) {
    const value: unknown = Object.hasOwn(given, name) ? Reflect.get(given, name) : undefined
    if (value === undefined) continue
    if (!accepts(value)) throw new errors.BadOption(`cookie.${name}`, remark)
    known[name] = value
  }
  return known
}

function defaultName ({ secure, path, domain }: Omit<CookieSettings, 'name'>): string {
  if (secure !== true) return 'id'
  return path === '/' && domain === undefined ? '__Host-id' : '__Secure-id'
}

/** What browsers would drop without a word is refused. Prefixes count without regard to case. */
function assertAccepted (cookie: CookieSettings): void {
  const prefix = /^__(?:host-http|host|secure|http)-/i.exec(cookie.name)?.[0].toLowerCase() ?? ''
  if (prefix !== '') assertPrefixAllows(cookie, prefix)
  if (cookie.secure === true) return
  if (cookie.sameSite === 'none') throw new errors.BadOption('cookie.sameSite', 'can be "none" with "secure: true" only')
  if (cookie.partitioned === true) throw new errors.BadOption('cookie.partitioned', 'needs "secure: true"')
}

function assertPrefixAllows ({ name, path, domain, secure, httpOnly }: CookieSettings, prefix: string): void {
  const suffix = `for a name that begins with ${name.slice(0, prefix.length)}`
  if (secure !== true) throw new errors.BadOption('cookie.secure', `must be true ${suffix}`)
  if (prefix.endsWith('http-') && !httpOnly) throw new errors.BadOption('cookie.httpOnly', `must be true ${suffix}`)
  if (!prefix.startsWith('__host-')) return
  if (domain !== undefined) throw new errors.BadOption('cookie.domain', `must be left out ${suffix}`)
  if (path !== '/') throw new errors.BadOption('cookie.path', `must be "/" ${suffix}`)
}

/** One Set-Cookie header. `life` in seconds; 0 clears, undefined lasts until the browser ends. */
export function writeCookie (cookie: CookieSettings, name: string, value: string, https: boolean, life: number | undefined): string {
  const { path, domain, secure, httpOnly, sameSite, partitioned, priority } = cookie
  return stringifySetCookie({
    name,
    value,
    path,
    secure: secure === 'auto' ? https : secure,
    httpOnly,
    sameSite,
    ...(domain !== undefined && { domain }),
    ...(partitioned !== undefined && { partitioned }),
    ...(priority !== undefined && { priority }),
    ...(life !== undefined && { maxAge: life }),
    ...(life === 0 && { expires: new Date(0) })
  })
}

/** The Cookie header of a request that brings these. */
export function writeCookieHeader (cookies: Readonly<Record<string, string>>): string {
  return stringifyCookie(cookies)
}

/**
 * Every value that a Cookie header has under a name. A parser keeps the first of equal names; a value that somebody
 * planted from a sibling host would be that one.
 */
export function readCookie (header: string, name: string): string[] {
  const start = `${name}=`
  if (!header.includes(start)) return []
  // Others are not parsed: a shop's visitor brings many.
  const values: string[] = []
  for (const pair of header.split(';')) {
    const value = pair.includes(start) ? parseCookie(pair)[name] : undefined
    if (value !== undefined) values.push(value)
  }
  return values
}
