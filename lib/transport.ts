import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { append } from 'vary'
import { COMPANION_SUFFIX, readCookie, writeCookie, type CookieSettings } from './cookie.js'
import type { Settings } from './options.js'
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

/** Seconds in which an eventually consistent read may lag behind a write. */
const COMPANION_LIFE = 10
const COMPANION = /^([A-Za-z0-9_-]{8})\.([1-9][0-9]{0,14})$/
/** How much of a loggable id names its session: enough that another session's companion is not taken for this one's. */
const NAMING_LENGTH = 8

/** Reads tokens from requests and writes them to answers, by cookie or by header. */
export class Transport {
  readonly #settings: Settings
  #warnedOfHttp = false

  constructor (settings: Settings) {
    this.#settings = settings
  }

  /** A header wins over a cookie; two different ids mean that somebody planted one, so neither counts. */
  read (headers: IncomingHttpHeaders): Arrival {
    const { header, usesCookie, cookie: { name } } = this.#settings
    const fromHeader = header === undefined ? '' : String(headers[header] ?? '')
    const fromCookies = usesCookie && headers.cookie !== undefined ? readCookie(headers.cookie, name) : []
    const way = fromHeader !== '' || !usesCookie ? 'header' : 'cookie'
    const good = this.#check(fromHeader, fromCookies)
    const isAmbiguous = new Set(good.map(({ id }) => id)).size > 1
    return {
      way,
      came: fromHeader !== '' || fromCookies.length > 0,
      // The newest signature of the one id.
      token: isAmbiguous ? undefined : good.find(({ outdated }) => !outdated) ?? good[0],
      isAmbiguous,
      companions: this.#readCompanions(headers, way)
    }
  }

  /**
   * The latest version that a companion names for this session; undefined without any. One of another session says only that
   * something was written a moment ago: the answer to a save may come after that of the log-in that replaced its session.
   */
  writtenVersion ({ companions }: Arrival, key: string): number | undefined {
    const matches = companions.map(companion => COMPANION.exec(companion)).filter(match => match !== null)
    if (matches.length === 0) return undefined
    return Math.max(0, ...matches.filter(([, name]) => name === key.slice(0, NAMING_LENGTH)).map(([, , version]) => Number(version)))
  }

  /** `life`: seconds for which the browser keeps the cookie; undefined until it ends, 0 to clear. */
  sendToken (request: FastifyRequest, reply: FastifyReply, way: Way, cookie: CookieSettings, token: string, life: number | undefined): void {
    const { header } = this.#settings
    if (way === 'header' && header !== undefined) reply.header(header, token)
    else this.#setCookie(request, reply, cookie, cookie.name, token, life)
    this.keepFromCaches(reply)
  }

  sendCompanion (request: FastifyRequest, reply: FastifyReply, way: Way, cookie: CookieSettings, key: string, version: number): void {
    const value = `${key.slice(0, NAMING_LENGTH)}.${version}`
    const { header } = this.#settings
    if (way === 'header' && header !== undefined) reply.header(header + COMPANION_SUFFIX, value)
    else this.#setCookie(request, reply, cookie, cookie.name + COMPANION_SUFFIX, value, COMPANION_LIFE)
    this.keepFromCaches(reply)
  }

  /** Tells caches that the answer depends on the token, by whichever way it may come. */
  vary (reply: FastifyReply): void {
    const { header, usesCookie } = this.#settings
    const fields = [...usesCookie ? ['Cookie'] : [], ...header === undefined ? [] : [header]]
    const present = reply.getHeader('vary')
    reply.header('vary', append(Array.isArray(present) ? present.join(', ') : String(present ?? ''), fields))
  }

  /** The good ones among the tokens that are presented. */
  #check (fromHeader: string, fromCookies: readonly string[]): CheckedToken[] {
    const { tokens } = this.#settings
    const checked = fromHeader === '' ? [] : [tokens.check(fromHeader)]
    // A bad header is not made up for by a cookie: the header wins.
    if (checked[0] === null) return []
    for (const token of new Set(fromCookies)) checked.push(tokens.check(token))
    return checked.filter(token => token !== null)
  }

  #readCompanions (headers: IncomingHttpHeaders, way: Way): readonly string[] {
    const { header, cookie: { name } } = this.#settings
    if (way === 'header' && header !== undefined) return [String(headers[header + COMPANION_SUFFIX] ?? '')]
    return readCookie(headers.cookie ?? '', name + COMPANION_SUFFIX)
  }

  #setCookie (request: FastifyRequest, reply: FastifyReply, cookie: CookieSettings, name: string, value: string, life: number | undefined): void {
    const https = request.protocol === 'https'
    if (cookie.secure === true && !https) this.#warnOfHttp(request.log)
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
