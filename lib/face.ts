import { inspect } from 'node:util'
import type { Session, SessionMembers } from '../types/session.js'
import { errors } from './errors.js'
import type { SessionState } from './session.js'

/** What a session can have done for it beyond itself. */
export interface Acts {
  save (): Promise<void>
  destroy (): Promise<void>
  reload (): Promise<void>
  /** Checks and notes cookie attributes for what this request sends. */
  options (attributes: Readonly<Record<string, unknown>>): void
}

const kState = Symbol('fastify-dynamodb-session.state')
const kActs = Symbol('fastify-dynamodb-session.acts')

/** The members of a session. Its data is kept apart, so that no key can take a member's place. */
class Members {
  readonly [kState]: SessionState
  readonly [kActs]: Acts

  constructor (state: SessionState, acts: Acts) {
    this[kState] = state
    this[kActs] = acts
  }

  get (key: string): unknown { return this[kState].values.get(key) }

  set (key: string, value: unknown): void {
    if (value === undefined) {
      this.delete(key)
      return
    }
    this[kState].values.set(key, value)
    this[kState].change()
  }

  has (key: string): boolean { return this[kState].values.has(key) }

  delete (key: string): boolean {
    const had = this[kState].values.delete(key)
    if (had) this[kState].change()
    return had
  }

  take (key: string): unknown {
    const value = this.get(key)
    this.delete(key)
    return value
  }

  keys (): string[] { return this[kState].values.keys() }

  data (): Record<string, unknown> {
    const data = {}
    for (const [key, value] of this[kState].values.copy()) {
      Object.defineProperty(data, key, { value, configurable: true, enumerable: true, writable: true })
    }
    return data
  }

  clear (): void { for (const key of this.keys()) this.delete(key) }

  async regenerate (keep: readonly string[] | boolean = false): Promise<void> { this[kState].regenerate(keep) }
  async destroy (): Promise<void> { await this[kActs].destroy() }
  async save (): Promise<void> { await this[kActs].save() }
  async reload (): Promise<void> { await this[kActs].reload() }
  touch (): void { this[kState].touch() }
  options (attributes: Readonly<Record<string, unknown>>): void { this[kActs].options(attributes) }

  get id (): string | undefined { return this[kState].id }
  get loggableId (): string | undefined { return this[kState].key }

  get token (): string | undefined {
    const { id, settings } = this[kState]
    return id === undefined ? undefined : settings.tokens.sign(id)
  }

  get isNew (): boolean { return this[kState].record === undefined }
  get isChanged (): boolean { return this[kState].isChanged() }
  get createdAt (): number | undefined { return this[kState].record?.createdAt }
  get lastSeenAt (): number | undefined { return this[kState].record?.lastSeenAt }
  get expiresAt (): number | undefined { return this[kState].record?.expiresAt }
  get version (): number | undefined { return this[kState].record?.version }

  get idleTimeout (): number | false { return this[kState].timeouts().idleTimeout }
  set idleTimeout (seconds: number | false | undefined) { this.#setTimeout('idleTimeout', seconds) }
  get absoluteTimeout (): number | false { return this[kState].timeouts().absoluteTimeout }
  set absoluteTimeout (seconds: number | false | undefined) { this.#setTimeout('absoluteTimeout', seconds) }

  toJSON (): { loggableId: string | undefined, keys: string[] } {
    return { loggableId: this.loggableId, keys: this.keys() }
  }

  [inspect.custom] (): unknown { return { session: this.toJSON() } }

  #setTimeout (name: 'idleTimeout' | 'absoluteTimeout', seconds: unknown): void {
    const isTimeout = seconds === false || seconds === undefined || (typeof seconds === 'number' && seconds >= 1 && seconds < Infinity)
    if (!isTimeout) throw new errors.BadOption(name, 'must be seconds, at least 1, or false')
    this[kState].own = { ...this[kState].own, [name]: seconds }
    this[kState].change()
  }
}

const MEMBERS: ReadonlySet<PropertyKey> = new Set(
  Object.getOwnPropertyNames(Members.prototype).filter(name => name !== 'constructor'))

const SETTABLE: ReadonlySet<PropertyKey> = new Set(['idleTimeout', 'absoluteTimeout'])

/** Data as properties beside the members: a member wins, and everything else that is a text is a data key. */
const handler: ProxyHandler<Members> = {
  get (members, name) {
    if (typeof name === 'string' && !MEMBERS.has(name) && members[kState].values.has(name)) return members.get(name)
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
  return new Proxy(new Members(state, acts), handler) as unknown as SessionMembers as Session
}

/** The state behind a session of ours, or undefined for anything else. */
export function stateOf (session: unknown): SessionState | undefined {
  if (typeof session !== 'object' || session === null) return undefined
  return (session as Partial<Members>)[kState]
}
