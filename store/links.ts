/** Where a host that makes a session of its own out of what it was given carries the mark along: a cookie's members are copied. */
const MARK = Symbol('fastify-dynamodb-session.read')

/**
 * What was read for which session, so that a request that comes to write is known by what it has read. A host does not say
 * that: express-session has its sessions made by the store, which knows them then; @fastify/session copies the cookie into a
 * session of its own, and what stands beside its attributes with it. Where a host does neither, nothing is found.
 */
export class Links<Link extends object> {
  readonly #links = new WeakMap<object, Link>()

  /** A session that was handed out. The mark in its cookie tells nothing to who prints it. */
  mark (session: { cookie: object }, link: Link): void {
    const mark = Object.freeze({})
    this.#links.set(mark, link)
    this.#links.set(session, link)
    Object.assign(session.cookie, { [MARK]: mark })
  }

  /** A session that is the host's own. */
  set (session: object, link: Link): void {
    this.#links.set(session, link)
  }

  get (session: object): Link | undefined {
    const known = this.#links.get(session)
    if (known !== undefined) return known
    for (const name of ['cookie', ...Object.getOwnPropertySymbols(session)]) {
      const mark = markIn(Reflect.get(session, name))
      if (mark !== undefined) return this.#links.get(mark)
    }
    return undefined
  }
}

function markIn (value: unknown): object | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const mark: unknown = Reflect.get(value, MARK)
  return typeof mark === 'object' && mark !== null ? mark : undefined
}
