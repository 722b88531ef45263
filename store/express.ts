import type { StoredCookie } from '../types/store.js'

/** A request as far as express-session and a store share it. */
export interface HostRequest { session?: object | undefined, sessionID?: string | undefined }

/** What express-session gives to its store: makes a new session and puts it on a request. */
export type Generate = (request: object) => void

/** express-session's own classes. */
interface Classes {
  readonly Session: new (request: object, data: object) => object
  /** What its cookies inherit from, since they do not tell their class. */
  readonly cookie: object
}

/**
 * Makes sessions of express-session's classes without importing them: an application of another host has no such package.
 * What express-session generates has them.
 */
export class ExpressSessions {
  readonly #known = new WeakMap<Generate, Classes>()

  make (generate: Generate | undefined, request: HostRequest, data: { readonly cookie: object }): object {
    if (typeof generate !== 'function') throw new TypeError('createSession() is called by express-session, which has not been given this store.')
    const { Session, cookie } = this.#classesOf(generate, request)
    request.session = new Session(request, { ...data, cookie: makeCookie(cookie, data.cookie as StoredCookie) })
    return request.session
  }

  #classesOf (generate: Generate, request: object): Classes {
    const known = this.#known.get(generate)
    if (known !== undefined) return known
    // In the request's place, so that what is generated for the classes' sake does not stay on it.
    const scratch = Object.create(request) as { session: { constructor: Classes['Session'], cookie: object } }
    generate(scratch)
    const { session } = scratch
    const classes = { Session: session.constructor, cookie: Object.getPrototypeOf(session.cookie) as object }
    this.#known.set(generate, classes)
    return classes
  }
}

function makeCookie (prototype: object, { expires, originalMaxAge, ...attributes }: StoredCookie): object {
  const cookie = Object.assign(Object.create(prototype) as Record<string, unknown>, { path: '/', httpOnly: true })
  // What a cookie works out itself cannot be assigned.
  for (const [name, value] of Object.entries(attributes)) if (name !== 'data') cookie[name] = value
  cookie['expires'] = typeof expires === 'string' ? new Date(expires) : expires
  // After the end, from which it would be measured anew.
  cookie['originalMaxAge'] = originalMaxAge
  return cookie
}
