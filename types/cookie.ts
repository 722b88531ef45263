/** Attributes of the session cookie (RFC 6265bis). */
export interface CookieAttributes {
  /** Paths below which the browser sends the cookie. Default `'/'`, which a `__Host-` name needs. */
  path?: string | undefined
  /** Host and subdomains that get the cookie. Default none: this host alone. A `__Host-` name allows none. */
  domain?: string | undefined
  /**
   * Whether the cookie travels over HTTPS only. Default `true`. `'auto'` follows `request.protocol`, which is the
   * setting for development; behind a proxy that needs Fastify's `trustProxy`.
   */
  secure?: boolean | 'auto' | undefined
  /** Whether scripts are kept from the cookie. Default `true`. */
  httpOnly?: boolean | undefined
  /**
   * Default `'lax'`. With `'strict'`, a visitor who arrives by a link or returns from an identity provider looks logged
   * out. `'none'` needs `secure: true`.
   */
  sameSite?: 'lax' | 'strict' | 'none' | undefined
  /** CHIPS: one cookie jar for each top-level site. Default none; needs `secure: true`. */
  partitioned?: boolean | undefined
  /** Which cookies Chromium evicts first. Default none. */
  priority?: 'low' | 'medium' | 'high' | undefined
  /**
   * Seconds from the creation of the session for which the browser keeps the cookie, at most 400 days. Default none: the
   * cookie ends with the browser. The server's timeouts decide in any case; the cookie is not sent again to prolong it.
   */
  maxAge?: number | undefined
}

/** The session cookie: its name and its attributes. */
export interface CookieOptions extends CookieAttributes {
  /**
   * Default `'__Host-id'` where its rules hold (secure, no domain, path `/`), `'__Secure-id'` where only `secure: true`
   * holds, else `'id'`. A name that breaks the rules of its prefix is refused.
   */
  name?: string | undefined
}
