import { EventEmitter } from 'node:events'
import { Keeper } from '../lib/keeper.js'
import { SessionManager } from '../lib/manager.js'
import { createProcessLog } from '../lib/report.js'
import type { DynamoStoreOptions, StoredSession } from '../types/store.js'
import { answer, type Callback } from './callbacks.js'
import { ExpressSessions, type HostRequest } from './express.js'
import { FormerItems } from './former.js'
import { HostSessions } from './host-sessions.js'
import { resolveStoreOptions } from './store-options.js'

/**
 * Keeps the sessions of express-session and of @fastify/session in a DynamoDB table: `session({ store: new DynamoStore({ table }) })`.
 *
 * Each method takes a callback, called once; without one it returns a promise. Their error is `FST_DYNAMODB_SESSION_UNAVAILABLE`,
 * a 503, where DynamoDB does not answer. What lists or counts all sessions (`all`, `length`, `clear`) is not there: it would
 * read the whole table.
 */
export class DynamoStore extends EventEmitter {
  /** Given by express-session: makes a new session of its own and puts it on a request. */
  generate: ((request: object) => void) | undefined
  readonly #manager: SessionManager
  readonly #sessions: HostSessions
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #express = new ExpressSessions()

  /** @throws `FST_DYNAMODB_SESSION_BAD_OPTION`, `FST_DYNAMODB_SESSION_UNKNOWN_OPTION` */
  constructor (options: DynamoStoreOptions | string) {
    super()
    const resolved = resolveStoreOptions(options)
    const { settings, formerPrefixes } = resolved
    const log = createProcessLog()
    const keeper = new Keeper(settings, log)
    const { layout, timeout } = settings
    const reads = formerPrefixes.length > 0 && keeper.dynamo !== undefined
    const former = reads ? new FormerItems(keeper.dynamo, { layout, timeout, prefixes: formerPrefixes }) : undefined
    this.#manager = new SessionManager(keeper, log)
    this.#sessions = new HostSessions(keeper, resolved, former, log)
  }

  /**
   * The session of an id, null for an unknown and for an expired one: one strongly consistent GetItem, or its share of a batch.
   * With `formerPrefixes`, one more for each where there is none, and a last one where they have none either.
   *
   * Errors: `FST_DYNAMODB_SESSION_UNREADABLE`, and `FST_DYNAMODB_SESSION_NOT_IMPORTABLE` for what another store left that the format cannot carry.
   */
  get<Data = StoredSession> (sid: string, callback: (error: unknown, session?: Data | null) => void): void
  get<Data = StoredSession> (sid: string): Promise<Data | null>
  get (sid: string, callback?: Callback<StoredSession | null>): Promise<StoredSession | null> | undefined {
    return this.#answer(this.#sessions.get(sid), callback)
  }

  /**
   * Stores a session: a new one by one PutItem, of another the keys that differ from what was read for this request, by one
   * UpdateItem. Where nothing differs, a renewal at most. A session that was destroyed meanwhile is not written, and that is no
   * error; one whose cookie has ended is destroyed.
   *
   * Errors: `FST_DYNAMODB_SESSION_TOO_LARGE`, `FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE`, `FST_DYNAMODB_SESSION_BAD_KEY`,
   * `FST_DYNAMODB_SESSION_CONFLICT`.
   */
  set (sid: string, session: object, callback: ((error?: unknown) => void) | undefined): void
  set (sid: string, session: object): Promise<void>
  set (sid: string, session: object, callback?: (error?: unknown) => void): Promise<void> | undefined {
    return this.#answer(this.#sessions.set(sid, session), callback)
  }

  /**
   * Renews a living session: one UpdateItem, at most once per reissue time. It brings nothing back, and its failure is logged
   * and is no error, since what the visitor asked for was done.
   */
  touch (sid: string, session: object, callback: ((error?: unknown) => void) | undefined): void
  touch (sid: string, session: object): Promise<void>
  touch (sid: string, session: object, callback?: (error?: unknown) => void): Promise<void> | undefined {
    return this.#answer(this.#sessions.touch(sid, session), callback)
  }

  /** Deletes a session, if there is one: one DeleteItem, and one more for each of `formerPrefixes`. */
  destroy (sid: string, callback: ((error?: unknown) => void) | undefined): void
  destroy (sid: string): Promise<void>
  destroy (sid: string, callback?: (error?: unknown) => void): Promise<void> | undefined {
    return this.#answer(this.#sessions.destroy(sid), callback)
  }

  /** For express-session: destroys the session of a request and puts a new one in its place. */
  regenerate (request: object, callback: (error?: unknown) => void): void
  regenerate (request: object): Promise<void>
  regenerate (request: HostRequest, callback?: (error?: unknown) => void): Promise<void> | undefined {
    return this.#answer(this.#regenerate(request), callback)
  }

  /** For express-session: the session of an id outside a request, as one of its own; undefined where there is none. */
  load<Session = object> (sid: string, callback: (error: unknown, session?: Session) => void): void
  load<Session = object> (sid: string): Promise<Session | undefined>
  load (sid: string, callback?: Callback<object | undefined>): Promise<object | undefined> | undefined {
    return this.#answer(this.#load(sid), callback)
  }

  /** For express-session: makes a session of its own of what `get()` gave, and puts it on the request. */
  createSession<Session = object> (request: object, data: object): Session
  createSession (request: HostRequest, data: StoredSession): object {
    const session = this.#express.make(this.generate, request, data)
    this.#sessions.follow(session, data)
    return session
  }

  /**
   * Creates the table where it is missing, waits until it is active and enables TTL. For trials and tests.
   *
   * @throws `FST_DYNAMODB_SESSION_PERMISSION_MISSING`, `FST_DYNAMODB_SESSION_UNAVAILABLE`
   */
  async createTable (): Promise<void> { await this.#manager.createTable() }

  /**
   * Finds out by one read whether the table is there, has the right key and may be read. Nothing else does: await it before the
   * application listens.
   *
   * @throws `FST_DYNAMODB_SESSION_TABLE_MISSING`, `FST_DYNAMODB_SESSION_TABLE_MISMATCH`,
   * `FST_DYNAMODB_SESSION_PERMISSION_MISSING`, `FST_DYNAMODB_SESSION_UNAVAILABLE`
   */
  async verifyTable (): Promise<void> { await this.#manager.verifyTable() }

  /** Destroys the client that the store made, once what is under way has ended; one that was handed in is left. */
  async close (): Promise<void> {
    // An act may take several calls, and between two of them none is under way.
    await Promise.allSettled(this.#underWay)
    await this.#manager.close()
  }

  #answer<T> (work: Promise<T>, callback: unknown): Promise<T> | undefined {
    const ended = work.then(() => {}, () => {}).then(() => { this.#underWay.delete(ended) })
    this.#underWay.add(ended)
    return answer(work, callback)
  }

  async #regenerate (request: HostRequest): Promise<void> {
    try {
      await this.#sessions.destroy(String(request.sessionID))
    } finally {
      // The visitor has a new session also where the old one could not be destroyed, of which the application is told.
      this.generate?.(request)
    }
  }

  async #load (sid: string): Promise<object | undefined> {
    const data = await this.#sessions.get(sid)
    // What express-session looks for on a request.
    return data === null ? undefined : this.createSession({ sessionID: sid, sessionStore: this, headers: {} }, data)
  }
}
