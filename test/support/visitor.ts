import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { Cookie, CookieJar } from 'tough-cookie'

const ORIGIN = 'https://shop.example'

/** Which cookies go with a request, by the SameSite that lets them. */
const SAME_SITE = { 'same site': 'strict', 'navigation from another site': 'lax', 'another site': 'none' } as const

/** A browser: keeps cookies as RFC 6265bis says, prefixes included, by the clock of the test. */
export class Visitor {
  readonly #app: FastifyInstance
  readonly #now: () => number
  readonly #jar = new CookieJar(undefined, { prefixSecurity: 'strict' })
  /** Where requests come from: this site, a link or redirect of another site, or anything else on another site. */
  from: 'same site' | 'navigation from another site' | 'another site' = 'same site'

  constructor (app: FastifyInstance, now: () => number = Date.now) {
    this.#app = app
    this.#now = now
  }

  async get (url: string, options: InjectOptions = {}): Promise<LightMyRequestResponse> {
    return await this.request({ ...options, method: 'GET', url })
  }

  async post (url: string, payload: object = {}, options: InjectOptions = {}): Promise<LightMyRequestResponse> {
    return await this.request({ ...options, method: 'POST', url, payload })
  }

  async request (options: InjectOptions): Promise<LightMyRequestResponse> {
    const response = await this.send(options)
    this.receive(response)
    return response
  }

  /**
   * Sends a request with the cookies of this moment, to this application or to another on the same table. Its answer reaches
   * the jar by `receive()` only, so that a test decides in which order answers arrive.
   */
  async send (options: InjectOptions, app: FastifyInstance = this.#app): Promise<LightMyRequestResponse> {
    const cookie = this.cookieHeader()
    return await app.inject({ ...options, headers: { ...cookie === '' ? {} : { cookie }, ...options.headers } })
  }

  /** Puts the cookies of an answer into the jar. */
  receive (response: LightMyRequestResponse): void {
    for (const text of setCookies(response)) this.#jar.setCookieSync(withExpires(text, this.#now()), ORIGIN, { now: new Date(this.#now()) })
  }

  /** What the browser would send now. */
  cookieHeader (): string {
    return this.#alive().map(cookie => cookie.cookieString()).join('; ')
  }

  /** The names of the cookies that the browser keeps now. */
  cookieNames (): string[] {
    return this.#alive().map(cookie => cookie.key)
  }

  /** The value of a cookie, decoded. */
  cookie (name: string): string | undefined {
    const value = this.#alive().find(cookie => cookie.key === name)?.value
    return value === undefined ? undefined : decodeURIComponent(value)
  }

  /** Puts a cookie into the browser, as somebody who plants one does. */
  plant (name: string, value: string): void {
    this.#jar.setCookieSync(`${name}=${encodeURIComponent(value)}; Path=/; Secure; HttpOnly`, ORIGIN, { now: new Date(this.#now()) })
  }

  #alive () {
    return this.#jar.getCookiesSync(ORIGIN, { expire: false, sameSiteContext: SAME_SITE[this.from] }).filter(cookie => Number(cookie.expiryTime()) > this.#now())
  }
}

/** The jar counts Max-Age from the first time that a cookie of this name was set; browsers count from the last. */
function withExpires (text: string, now: number): Cookie | string {
  const cookie = Cookie.parse(text)
  if (typeof cookie?.maxAge !== 'number') return text
  cookie.expires = new Date(cookie.maxAge <= 0 ? 0 : now + cookie.maxAge * 1000)
  cookie.maxAge = null
  return cookie
}

/** The Set-Cookie headers of an answer. */
export function setCookies (response: LightMyRequestResponse): string[] {
  const value = response.headers['set-cookie']
  return value === undefined ? [] : [value].flat()
}

/** The names of the cookies that an answer sets or clears. */
export function setCookieNames (response: LightMyRequestResponse): string[] {
  return setCookies(response).map(text => text.slice(0, text.indexOf('=')))
}
