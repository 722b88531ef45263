import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { append } from 'vary'
import type { SessionReader } from '../types/import.js'
import { COMPANION_LIFE, readCompanions, writeCompanion, type Traces } from './companion.js'
import { COMPANION_SUFFIX, readCookie, writeCookie, type CookieSettings } from './cookie.js'
import type { Settings } from './options.js'
import { Renewals } from './renewals.js'
import type { Log } from './report.js'
import type { CheckedToken } from './token.js'

/** By which way a token came, and the answer goes. */
export type Way = 'cookie' | 'header'

/** What a request brought. */
export interface Arrival {
  readonly way: Way
  /** Whether it brought anything as a token, be it good or bad. */
  readonly came: boolean
  /** The one good token, if there is exactly one. */
  readonly token: CheckedToken | undefined
  /** Whether it brought good tokens of several ids, so that none of them counts. */
  readonly isAmbiguous: boolean
  /** The companions as they came, not looked at yet. */
  readonly companions: readonly string[]
}

/** Whether the client has gone, so that no answer reaches it. One over HTTP/2 tells so by its stream. */
export function hasLeft ({ raw }: FastifyReply): boolean {
  const { destroyed, stream } = raw as { destroyed?: boolean, stream?: { destroyed: boolean } }
  return destroyed === true || stream?.destroyed === true
}

/** Reads tokens from requests and writes them to answers, by cookie or by header. */
export class Transport {
  readonly #settings: Settings
  readonly #companionLife: number
  /** What answers depend on. */
  readonly #vary: string[]
  /** The versions that browsers were told of. */
  readonly #versions = new Renewals()
  #warnedOfHttp = false

  constructor (settings: Settings) {
    this.#settings = settings
    const { header, usesCookie, importFrom } = settings
    const ways = [header, ...importFrom.map(reader => reader.header)].filter(name => name !== undefined)
    this.#vary = [...usesCookie || importFrom.length > 0 ? ['Cookie'] : [], ...new Set(ways)]
    this.#companionLife = COMPANION_LIFE + (settings.cache === false ? 0 : Math.ceil(settings.cache.ttl))
  }

  /** A header wins over a cookie; two different ids mean that somebody planted one, so neither counts. */
  read (headers: IncomingHttpHeaders): Arrival {
    const { header, usesCookie, cookie: { name } } = this.#settings
    const fromHeader = header === undefined ? '' : String(headers[header] ?? '')
    const fromCookies = usesCookie && headers.cookie !== undefined ? readCookie(headers.cookie, name) : []
    const way = fromHeader !== '' || !usesCookie ? 'header' : 'cookie'
    const good = this.#check(fromHeader, fromCookies)
    const isAmbiguous = good.some(({ id }) => id !== good[0]?.id)
    return {
      way,
      came: fromHeader !== '' || fromCookies.length > 0,
      // The newest signature of the one id.
      token: isAmbiguous ? undefined : good.find(({ outdated }) => !outdated) ?? good[0],
      isAmbiguous,
      companions: this.#readCompanions(headers, way)
    }
  }

  /** What the companions of a request say of the session of its token. */
  traces ({ companions }: Arrival, key: string): Traces {
    const { tokens, now } = this.#settings
    return readCompanions(tokens, companions, key, now() / 1000, this.#companionLife)
  }

  /** `life`: seconds for which the browser keeps the cookie; undefined until it ends, 0 to clear. */
  sendToken (request: FastifyRequest, reply: FastifyReply, way: Way, cookie: CookieSettings, token: string, life: number | undefined): void {
    const { header } = this.#settings
    if (way === 'header' && header !== undefined) reply.header(header, token)
    else this.#setCookie(request, reply, cookie, cookie.name, token, life)
    this.keepFromCaches(reply)
  }

  /** For the moment in which reads may lag; where the last activity is told, for as long as the token. */
  sendCompanion (
    request: FastifyRequest, reply: FastifyReply, way: Way, cookie: CookieSettings, key: string, version: number,
    activity?: { readonly at: number, readonly life: number | undefined }
  ): void {
    // A renewal, or an answer that was long in the making, may come after that to a later write: what that told is not taken back.
    const latest = Math.max(version, this.#versions.last(key) ?? 0)
    this.#versions.note(key, latest)
    const value = writeCompanion(this.#settings.tokens, key, latest, activity?.at)
    this.#setCompanion(request, reply, way, cookie, value, activity === undefined ? this.#companionLife : activity.life)
  }

  clearCompanion (request: FastifyRequest, reply: FastifyReply, way: Way, cookie: CookieSettings): void {
    this.#setCompanion(request, reply, way, cookie, '', 0)
  }

  /**
   * The cookie of another store, as it was set but for what does not count when it is cleared. One that is ours as well has our
   * token by now, unless that went by a header.
   */
  clearForeign (request: FastifyRequest, reply: FastifyReply, way: Way, cookie: CookieSettings, { cookieName, cookiePath, cookieDomain }: SessionReader): void {
    const isOurs = cookieName === cookie.name && cookiePath === cookie.path && cookieDomain?.toLowerCase() === cookie.domain?.toLowerCase()
    if (isOurs && (way === 'cookie' || this.#settings.header === undefined)) return
    this.#setCookie(request, reply, { ...cookie, path: cookiePath, domain: cookieDomain, partitioned: undefined, priority: undefined }, cookieName, '', 0)
    this.keepFromCaches(reply)
  }

  /** Tells caches that the answer depends on the token, by whichever way it may come. */
  vary (reply: FastifyReply): void {
    const present = reply.getHeader('vary')
    if (present === undefined) reply.header('vary', this.#vary.join(', '))
    else reply.header('vary', append(Array.isArray(present) ? present.join(', ') : String(present), this.#vary))
  }

  /** The good ones among the tokens that are presented. */
  #check (fromHeader: string, fromCookies: readonly string[]): CheckedToken[] {
    const { tokens } = this.#settings
    const good: CheckedToken[] = []
    if (fromHeader !== '') {
      const checked = tokens.check(fromHeader)
      // A bad header is not made up for by a cookie: the header wins.
      if (checked === null) return good
      good.push(checked)
    }
    for (const token of fromCookies.length < 2 ? fromCookies : new Set(fromCookies)) {
      const checked = tokens.check(token)
      if (checked !== null) good.push(checked)
    }
    return good
  }

  #readCompanions (headers: IncomingHttpHeaders, way: Way): readonly string[] {
    const { header, cookie: { name } } = this.#settings
    if (way === 'header' && header !== undefined) return [String(headers[header + COMPANION_SUFFIX] ?? '')]
    return readCookie(headers.cookie ?? '', name + COMPANION_SUFFIX)
  }

  #setCompanion (request: FastifyRequest, reply: FastifyReply, way: Way, cookie: CookieSettings, value: string, life: number | undefined): void {
    const { header } = this.#settings
    if (way === 'header' && header !== undefined) reply.header(header + COMPANION_SUFFIX, value)
    else this.#setCookie(request, reply, cookie, cookie.name + COMPANION_SUFFIX, value, life)
    this.keepFromCaches(reply)
  }

  #setCookie (request: FastifyRequest, reply: FastifyReply, cookie: CookieSettings, name: string, value: string, life: number | undefined): void {
    const https = request.protocol === 'https'
    // Over HTTP/2, what is left of a connection that has ended says nothing of TLS.
    if (cookie.secure === true && !https && !hasLeft(reply)) this.#warnOfHttp(request.log)
    reply.header('set-cookie', writeCookie(cookie, name, value, https, life))
  }

  /** Shared caches keep what says nothing else, and then hand one visitor's token to the next (CVE-2023-30861). */
  keepFromCaches (reply: FastifyReply): void {
    const own = String(reply.getHeader('cache-control') ?? '')
    if (!/(^|[\s,])(no-store|private)($|[\s,])/i.test(own)) reply.header('cache-control', 'no-store')
  }

  #warnOfHttp (log: Log): void {
    if (this.#warnedOfHttp) return
    this.#warnedOfHttp = true
    log.warn({}, 'A Secure session cookie is sent over plain HTTP, where browsers drop it. Behind a proxy that ends TLS, set Fastify\'s trustProxy; for development, set cookie: { secure: "auto" }')
  }
}
