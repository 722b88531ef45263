import type { DynamoSessionOptions } from '../types/options.js'
import type { ListedSession, Session, SessionValues } from '../types/session.js'
import { errors } from './errors.js'
import { stateOf } from './face.js'
import { isKey } from './item.js'
import { Keeper } from './keeper.js'
import { resolveOptions } from './options.js'
import { createProcessLog, type Log } from './report.js'
import type { Users } from './users.js'

/**
 * Sessions outside a request: for jobs, sockets, administration and tests. As `app.sessions` it shares everything with
 * the plugin; by itself it takes the same options and needs no Fastify.
 */
export class SessionManager {
  readonly #keeper: Keeper
  readonly #log: Log

  /** @throws `FST_DYNAMODB_SESSION_BAD_OPTION`, `FST_DYNAMODB_SESSION_UNKNOWN_OPTION` */
  constructor (options: DynamoSessionOptions | string)
  /** @internal */
  constructor (options: Keeper, log: Log)
  constructor (options: DynamoSessionOptions | string | Keeper, log: Log = createProcessLog()) {
    this.#keeper = options instanceof Keeper ? options : new Keeper(resolveOptions(options), log)
    this.#log = log
  }

  /** A new session with this data, stored when the promise resolves: one PutItem. `session.token` is what to send. */
  async create (data?: Partial<SessionValues>): Promise<Session>
  /** @internal `prepare` is called before it is stored. */
  async create (data: Partial<SessionValues>, prepare: (session: Session) => void): Promise<Session>
  async create (data: Partial<SessionValues> = {}, prepare?: (session: Session) => void): Promise<Session> {
    if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new errors.BadOption('create(data)', 'must be an object of session keys')
    const { session, state } = this.#keeper.blank(this.#log)
    for (const [key, value] of Object.entries(data)) if (value !== undefined) state.values.set(key, value)
    prepare?.(session)
    await session.save()
    return session
  }

  /**
   * The session of an id, by one strongly consistent GetItem; null for unknown, malformed, replaced and expired ones
   * alike. An id is the visitor's secret, not the `loggableId` and not the signed token.
   */
  async load (id: string, options?: { required?: false }): Promise<Session | null>
  /** @throws `FST_DYNAMODB_SESSION_GONE` where there is no such session. */
  async load (id: string, options: { required: true }): Promise<Session>
  async load (id: string, options?: { required?: boolean }): Promise<Session | null>
  async load (id: string, { required = false }: { required?: boolean } = {}): Promise<Session | null> {
    const key = this.#keeper.settings.tokens.keyOf(id)
    const visit = key === null ? null : await this.#keeper.openConsistent(id, key, this.#log)
    if (visit === null && required) throw new errors.Gone()
    return visit?.session ?? null
  }

  /** Writes what has changed, as `session.save()` does: at most one UpdateItem. */
  async save (session: Session): Promise<void> {
    if (stateOf(session) === undefined) throw new TypeError('save() takes a session that create() or load() gave.')
    await session.save()
  }

  /** Deletes the session of an id, and what has replaced it: one DeleteItem, none for a malformed id. */
  async destroy (id: string): Promise<void> {
    const key = this.#keeper.settings.tokens.keyOf(id)
    if (key !== null) await this.#keeper.destroyKey(key, this.#log)
  }

  /**
   * Ends the session of a `loggableId`, and what has replaced it: one strong GetItem and one PutItem. Nothing of it can be
   * written any more, not even where it was about to be stored.
   *
   * @throws `FST_DYNAMODB_SESSION_UNAVAILABLE` (503) where DynamoDB does not answer: call it again.
   */
  async revoke (loggableId: string): Promise<void> {
    if (!isKey(loggableId)) throw new errors.BadOption('revoke(loggableId)', 'must be the loggableId of a session, which has 43 characters')
    await this.#keeper.revokeKey(loggableId, this.#log)
  }

  /**
   * The sessions of a user that were bound and have not ended, newest first: one strong GetItem, for each of the
   * `encryptionKeys`. `current` is the session, or its `loggableId`, that is marked in the answer.
   *
   * @throws `FST_DYNAMODB_SESSION_UNREADABLE` where a label cannot be opened.
   */
  async list (userId: string, { current }: { current?: Session | string | undefined } = {}): Promise<ListedSession[]> {
    return await this.#users.list(userId, new Set(keysOf(current, 'list(userId, { current })')))
  }

  /**
   * Ends every session of a user, such as after a change of the password, also those that are being stored or regenerated at the
   * moment; save `except`, sessions or their `loggableId`s. When it resolves, none that was bound before it was called can
   * be read or written any more. One GetItem and two UpdateItems of the list, and for each session a PutItem.
   *
   * @throws `FST_DYNAMODB_SESSION_UNAVAILABLE` (503) where DynamoDB does not answer, `FST_DYNAMODB_SESSION_CONFLICT` (409) where
   * others change the list all the time: some may be alive, so call it again.
   */
  async revokeAll (userId: string, { except }: { except?: Session | string | ReadonlyArray<Session | string> | undefined } = {}): Promise<void> {
    const spared = [except].flat().flatMap(one => keysOf(one as Session | string | undefined, 'revokeAll(userId, { except })'))
    await this.#users.revokeAll(userId, new Set(spared), this.#log)
  }

  get #users (): Users {
    const { users } = this.#keeper
    if (users === undefined) throw new errors.BadOption('userIndex', 'is not set, so sessions have no users: set it to true')
    return users
  }

  /**
   * Creates the table where it is missing (on demand unless the option `createTable` says otherwise), waits until it is
   * active and enables TTL. For trials and tests.
   *
   * @throws `FST_DYNAMODB_SESSION_PERMISSION_MISSING`, `FST_DYNAMODB_SESSION_UNAVAILABLE`
   */
  async createTable (): Promise<void> {
    await this.#keeper.table?.create()
  }

  /**
   * Finds out by one read whether the table is there, has the right key and may be read; and so of each table of `importFrom`.
   *
   * @throws `FST_DYNAMODB_SESSION_TABLE_MISSING`, `FST_DYNAMODB_SESSION_TABLE_MISMATCH`,
   * `FST_DYNAMODB_SESSION_PERMISSION_MISSING`; `FST_DYNAMODB_SESSION_UNAVAILABLE` where the service is out of reach.
   */
  async verifyTable (): Promise<void> {
    const { table, repository } = this.#keeper
    if (table !== undefined) await table.verify()
    else await repository.verify?.()
    await this.#keeper.importer?.verify(this.#log)
  }

  /**
   * Destroys the client that the manager made, once the calls under way have ended (at most `timeout`); one that was handed
   * in is left. The plugin does this on close.
   */
  async close (): Promise<void> {
    await this.#keeper.close()
  }
}

/** The key of a session, and of the one that it is to replace, which is listed until then. */
function keysOf (session: Session | string | undefined, where: string): string[] {
  if (session === undefined) return []
  if (isKey(session)) return [session]
  const state = stateOf(session)
  if (state === undefined) throw new errors.BadOption(where, 'must be a session or a loggableId, which has 43 characters')
  return [state.key, state.replaced?.record.key].filter(key => key !== undefined)
}
