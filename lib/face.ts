import { inspect } from 'node:util'
import type { Session, SessionMembers } from '../types/session.js'
import { createBeside } from './beside.js'
import { bind } from './binding.js'
import { errors } from './errors.js'
import { isTimeout } from './expiry.js'
import { isNoMessages } from './plain.js'
import type { SessionState } from './session.js'

/** What a session can have done for it beyond itself. */
export interface Acts {
  save (): Promise<void>
  update (key: string, fn: (value: unknown) => unknown): Promise<unknown>
  regenerate (keep: readonly string[] | boolean): Promise<void>
  destroy (): Promise<void>
  reload (): Promise<void>
  /** Checks and notes cookie attributes for what this request sends. */
  options (attributes: Readonly<Record<string, unknown>>): void
}

interface Parts { readonly state: SessionState, readonly acts: Acts }

/** Kept beside the sessions, not in them: whatever prints a session, by whatever means, finds nothing to print. */
const parts = createBeside<Parts>()

function partsOf (session: object): Parts {
  const found = typeof session === 'object' && session !== null ? parts.get(session) : undefined
  if (found === undefined) throw new TypeError('A member of a session was called on something else.')
  return found
}

/** The same, for whatever may change something. */
function writable (session: object): Parts {
  const found = partsOf(session)
  found.state.assertReadable()
  return found
}

/** The members of a session. Its data is kept apart, so that no key can take a member's place. */
class Members {
  get (key: string): unknown { return partsOf(this).state.values.get(key) }

  set (key: string, value: unknown): void {
    if (value === undefined) {
      this.delete(key)
      return
    }
    // A page that finds no messages, while it is not known what there is, has nothing to write that could be refused.
    const isNothing = isNoMessages(key, value)
    if (isNothing && partsOf(this).state.unread !== undefined) return
    const { state } = writable(this)
    state.values.set(key, value, isNothing)
    state.change()
  }

  has (key: string): boolean { return partsOf(this).state.values.has(key) }

  delete (key: string): boolean {
    const { state } = writable(this)
    const had = state.values.delete(key)
    if (had) state.change()
    return had
  }

  take (key: string): unknown {
    const value = this.get(key)
    this.delete(key)
    return value
  }

  keys (): string[] { return partsOf(this).state.values.keys() }

  data (): Record<string, unknown> {
    const data = {}
    for (const [key, value] of partsOf(this).state.values.copy()) {
      Object.defineProperty(data, key, { value, configurable: true, enumerable: true, writable: true })
    }
    return data
  }

  clear (): void {
    writable(this)
    for (const key of this.keys()) this.delete(key)
  }

  async update (key: string, fn: unknown): Promise<unknown> {
    if (typeof fn !== 'function') throw new errors.BadOption('update(key, fn)', 'needs a function that returns the new value')
    return await writable(this).acts.update(key, value => fn(value) as unknown)
  }

  async regenerate (keep: unknown = false): Promise<void> {
    if (typeof keep !== 'boolean' && !isTextList(keep)) throw new errors.BadOption('regenerate(keep)', 'must be an array of keys, true or false')
    await writable(this).acts.regenerate(keep)
  }

  async destroy (): Promise<void> { await writable(this).acts.destroy() }
  async save (): Promise<void> { await writable(this).acts.save() }
  async reload (): Promise<void> { await writable(this).acts.reload() }
  bind (userId: string, options?: unknown): void { bind(writable(this).state, userId, options) }
  touch (): void { partsOf(this).state.touch() }
  options (attributes: unknown): void {
    if (typeof attributes !== 'object' || attributes === null) throw new errors.BadOption('options(attributes)', 'must be an object')
    writable(this).acts.options({ ...attributes })
  }

  get id (): string | undefined { return partsOf(this).state.id }
  get loggableId (): string | undefined { return partsOf(this).state.key }

  get token (): string | undefined {
    const { id, settings } = partsOf(this).state
    return id === undefined ? undefined : settings.tokens.sign(id)
  }

  get isNew (): boolean { return partsOf(this).state.record === undefined }
  get isChanged (): boolean { return partsOf(this).state.isChanged() }
  get createdAt (): number | undefined { return partsOf(this).state.record?.createdAt }
  get lastSeenAt (): number | undefined { return partsOf(this).state.record?.lastSeenAt }
  get expiresAt (): number | undefined { return partsOf(this).state.expiresAt }
  get version (): number | undefined { return partsOf(this).state.version }

  get idleTimeout (): number | false { return partsOf(this).state.timeouts().idleTimeout }
  set idleTimeout (seconds: number | false | undefined) { setTimeoutOf(writable(this).state, 'idleTimeout', seconds) }
  get absoluteTimeout (): number | false { return partsOf(this).state.timeouts().absoluteTimeout }
  set absoluteTimeout (seconds: number | false | undefined) { setTimeoutOf(writable(this).state, 'absoluteTimeout', seconds) }

  toJSON (): { loggableId: string | undefined, keys: string[] } {
    return { loggableId: this.loggableId, keys: this.keys() }
  }

  [inspect.custom] (): unknown { return { session: this.toJSON() } }
}

function isTextList (value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(key => typeof key === 'string')
}

function setTimeoutOf (state: SessionState, name: 'idleTimeout' | 'absoluteTimeout', seconds: unknown): void {
  if (seconds !== undefined && !isTimeout(seconds)) throw new errors.BadOption(name, 'must be seconds, at least 1, or false')
  state.own.assign({ [name]: seconds })
  state.change()
}

const MEMBERS: ReadonlySet<PropertyKey> = new Set(
  Object.getOwnPropertyNames(Members.prototype).filter(name => name !== 'constructor'))

const SETTABLE: ReadonlySet<PropertyKey> = new Set(['idleTimeout', 'absoluteTimeout'])

/** Data as properties beside the members: a member wins, and everything else that is a text is a data key. */
const handler: ProxyHandler<Members> = {
  get (members, name) {
    if (typeof name === 'string' && !MEMBERS.has(name) && partsOf(members).state.values.has(name)) return members.get(name)
    const member: unknown = Reflect.get(members, name, members)
    return member
  },
  set (members, name, value) {
    if (typeof name !== 'string') return false
    if (SETTABLE.has(name)) return Reflect.set(members, name, value, members)
    assertFree(name)
    members.set(name, value)
    return true
  },
  has: (members, name) => MEMBERS.has(name) || (typeof name === 'string' && members.has(name)),
  deleteProperty (members, name) {
    if (typeof name !== 'string') return false
    assertFree(name)
    members.delete(name)
    return true
  },
  ownKeys: members => members.keys(),
  getOwnPropertyDescriptor (members, name) {
    if (typeof name !== 'string' || !members.has(name)) return undefined
    return { value: members.get(name), configurable: true, enumerable: true, writable: true }
  },
  defineProperty (members, name, { value }) {
    if (typeof name !== 'string') return false
    assertFree(name)
    members.set(name, value)
    return true
  },
  setPrototypeOf: () => false,
  preventExtensions: () => false
}

function assertFree (name: string): void {
  if (MEMBERS.has(name)) throw new errors.BadKey(`named "${name}" is reached by get("${name}") and set("${name}", value): the name is a member of the session`)
}

/** What a handler holds: members and data of one state. */
export function createSession (state: SessionState, acts: Acts): Session {
  const members = new Members()
  const session = new Proxy(members, handler)
  parts.set(members, { state, acts })
  parts.set(session, { state, acts })
  return session as unknown as SessionMembers as Session
}

/** The state behind a session of ours, or undefined for anything else. */
export function stateOf (session: unknown): SessionState | undefined {
  return typeof session === 'object' && session !== null ? parts.get(session)?.state : undefined
}
