import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { CookieJar } from 'tough-cookie'

const ORIGIN = 'https://shop.example'

/** A browser: keeps cookies as RFC 6265bis says, prefixes included, by the clock of the test. */
export class Visitor {
  readonly #app: FastifyInstance
  readonly #now: () => number
  readonly #jar = new CookieJar(undefined, { prefixSecurity: 'strict' })

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
    const cookie = this.cookieHeader()
    const response = await this.#app.inject({ ...options, headers: { ...cookie === '' ? {} : { cookie }, ...options.headers } })
    for (const text of setCookies(response)) this.#jar.setCookieSync(text, ORIGIN, { now: new Date(this.#now()) })
    return response
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
    return this.#jar.getCookiesSync(ORIGIN, { expire: false })
      .filter(cookie => Number(cookie.expiryTime(cookie.creation instanceof Date ? cookie.creation : undefined)) > this.#now())
  }
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
