import type { CookieAttributes } from './cookie.js'

/**
 * The data of a session, empty here and filled by the application:
 *
 * ```ts
 * declare module 'fastify-dynamodb-session' {
 *   interface SessionData { userId: string, cart: string[] }
 * }
 * ```
 *
 * While it is empty, keys are any string and values are `unknown`. Once it has members, only those keys compile.
 */
export interface SessionData {}

/** What a session holds, as the application declared it. */
export type SessionValues = keyof SessionData extends never ? Record<string, unknown> : SessionData

/** A key that a session may hold. */
export type SessionKey = keyof SessionData extends never ? string : Extract<keyof SessionData, string>

/** The type of the value under a key. */
export type SessionValue<Key extends SessionKey> = Key extends keyof SessionValues ? SessionValues[Key] : unknown

/** What `bind` notes of a session. */
export interface BindOptions {
  /** Tells the user which of their sessions this is: the name of a device, say. 1 to 128 bytes; sealed where values are. */
  label?: string | undefined
}

/** A session in the list of its user. Instants are epoch seconds. */
export interface ListedSession {
  /** For `revoke()`. */
  readonly loggableId: string
  /** When it began. */
  readonly createdAt: number
  /** The last renewal, or an earlier one where telling the list of it failed. */
  readonly lastSeenAt: number
  /** When it is dead unless renewed. */
  readonly expiresAt: number
  /** What `bind()` was told to call it. */
  readonly label: string | undefined
  /** Whether it is the session that was given as `current`. */
  readonly current: boolean
}

/**
 * What a handler holds as `request.session`. Reading and changing are synchronous and cost no DynamoDB call: what was
 * changed is written once, at the end of the request, before any byte of the answer leaves.
 */
export interface SessionMembers {
  /**
   * The value under a key, or undefined. It is decoded when it is first asked for. An object may be changed in place:
   * the change is seen and saved.
   *
   * @throws `FST_DYNAMODB_SESSION_UNREADABLE` where the stored value cannot be decoded.
   */
  get<Key extends SessionKey> (key: Key): SessionValue<Key> | undefined
  /**
   * Puts a value under a key; `undefined` deletes the key. An equal value is no change. On a blank session the first
   * value makes a session, save that an empty object or array alone makes none. Under the key `flash`, where @fastify/flash
   * puts an empty object with every page that finds no messages, it is no change of a stored session either.
   *
   * @throws `FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE` where the format cannot carry the value (for `'json'`: functions,
   * symbols, cycles, bigints, NaN, Date, Map, Set, bytes and class instances), and
   * `FST_DYNAMODB_SESSION_BAD_KEY` for an empty key and for one over 255 bytes. Nothing is changed then.
   */
  set<Key extends SessionKey> (key: Key, value: SessionValue<Key> | undefined): void
  /** Whether there is a value under the key. */
  has (key: SessionKey): boolean
  /** Removes a key; false where it was not there. */
  delete (key: SessionKey): boolean
  /**
   * Gets a value and deletes it: once in this request, such as for a flash message. Strictly once among all requests:
   * `update(key, value => { taken = value; return undefined })`.
   */
  take<Key extends SessionKey> (key: Key): SessionValue<Key> | undefined
  /**
   * Changes one value by what it was, atomically, and resolves with the new value once that is written: of any number of
   * concurrent increments each counts. `fn` gets the stored value, or what this request has put under the key and not
   * written yet, as a copy of its own; it returns the new value, or a promise of it, and `undefined` deletes the key. Where
   * another request gets ahead, `fn` runs again with the value as it is then, so it should have no other effect, and not call
   * the session's methods.
   *
   * Writes at once, this key only: one UpdateItem; one strong GetItem where nothing is to be written; with each repetition
   * one more UpdateItem and one or two more strong GetItems. On a blank session it creates one. After `regenerate()` it first carries that out. Updates of one
   * session wait for each other within a process. What `get` gave before is no longer the session's.
   *
   * @throws `FST_DYNAMODB_SESSION_CONFLICT` (409) where others got ahead a hundred times, `FST_DYNAMODB_SESSION_GONE` where
   * the session has ended meanwhile, and whatever `fn` throws; nothing is written then.
   * `FST_DYNAMODB_SESSION_UNAVAILABLE` (503) where DynamoDB does not answer: it may be written or not.
   */
  update<Key extends SessionKey> (
    key: Key, fn: (value: SessionValue<Key> | undefined) => SessionValue<Key> | undefined | Promise<SessionValue<Key> | undefined>
  ): Promise<SessionValue<Key> | undefined>
  /** The keys that have a value, in the order in which they were stored, then set. */
  keys (): SessionKey[]
  /** A deep copy of all values; changing it changes nothing. */
  data (): Partial<SessionValues>
  /** Deletes every key that this request knows of. The session lives on; to end it, use `destroy()`. */
  clear (): void

  /**
   * Gives the visitor a new id and drops the data, or keeps the named keys, or all of them with `true`. Call it whenever
   * rights change, above all at log-in, so that an id planted before is worthless after (OWASP: renew the session id
   * after any privilege level change). `true` is for a routine change of the id: the age of the session runs on.
   * With a list or without an argument the age begins anew and timeouts of the session's own are dropped.
   *
   * No call is made before `save()` or the end of the request: one PutItem, and one UpdateItem where there was a session
   * before. Where another request replaced the session meanwhile, the answer is a 409
   * (`FST_DYNAMODB_SESSION_CONFLICT`), no token is sent and no record is left; where it was destroyed or has expired
   * meanwhile, likewise with `FST_DYNAMODB_SESSION_GONE`.
   */
  regenerate (keep?: readonly SessionKey[] | boolean): Promise<void>
  /**
   * Deletes the record and clears the token in the answer. The record is gone when the promise resolves. The session is
   * blank then and may be used anew, under a new id. One DeleteItem; none where nothing was stored.
   *
   * @throws `FST_DYNAMODB_SESSION_UNAVAILABLE` (503) where DynamoDB does not answer; the session is as it was.
   */
  destroy (): Promise<void>
  /**
   * Writes now what has changed, for streams, web sockets and hijacked replies, and before effects that must not
   * precede the write. `token` is then what to send. On a blank session it creates one; after `touch()` it renews. One
   * PutItem or UpdateItem, both after `regenerate()`, none where nothing has changed.
   *
   * @throws `FST_DYNAMODB_SESSION_GONE` where the session was destroyed, replaced or has expired meanwhile,
   * `FST_DYNAMODB_SESSION_CONFLICT` (409) where another request came before with `regenerate()` or, under
   * `conflict: 'reject'`, with a change, `FST_DYNAMODB_SESSION_TOO_LARGE` (413), and
   * `FST_DYNAMODB_SESSION_UNAVAILABLE` (503) where DynamoDB does not answer: it may be written or not.
   */
  save (): Promise<void>
  /**
   * Reads the session again, strongly consistent (one GetItem), and drops what was changed and not saved. On a blank
   * session it does nothing.
   *
   * @throws `FST_DYNAMODB_SESSION_GONE` where the session is no longer there.
   */
  reload (): Promise<void>
  /** Renews the idle timeout at the end of this request, whatever the reissue time. At most one UpdateItem. */
  touch (): void
  /**
   * Cookie attributes for this session, over those of the registration, for a token that this request sends. `maxAge`
   * (seconds) is stored with the session, for "remember me". Members that are not cookie attributes are ignored. A
   * cookie sent with a `path` or `domain` of its own is cleared only by a request that names them again.
   *
   * @throws `FST_DYNAMODB_SESSION_BAD_OPTION` for an attribute that browsers would refuse.
   */
  options<Attributes extends CookieAttributes> (attributes: Attributes): void

  /**
   * Puts this session on the list of a user, after log-in, so that it can be listed and ended from elsewhere: see
   * `app.sessions.list` and `revokeAll`. It stays there until it ends, and its successor with it where it is regenerated. To
   * bind it again changes the label, or the user. Needs the option `userIndex`.
   *
   * No call is made before `save()` or the end of the request: one UpdateItem of the list before the session's own write; for
   * the first session of a user one PutItem more; and where `maxSessions` are listed, what it takes to end the oldest.
   * A session that was ended meanwhile answers 409 (`FST_DYNAMODB_SESSION_GONE`); a full list 413 (`FST_DYNAMODB_SESSION_USER_FULL`).
   *
   * @throws `FST_DYNAMODB_SESSION_BAD_OPTION` where `userIndex` is not set, for a user id that is not a text of 1 to 1024
   * bytes, and for a label that is not one of 1 to 128 bytes.
   */
  bind (userId: string, options?: BindOptions): void

  /** The secret id, undefined until something is put into a blank session. Never log it: use `loggableId`. */
  readonly id: string | undefined
  /** SHA-256 of the id, base64url (43 characters): the key under which the record is stored, and fit for logs. */
  readonly loggableId: string | undefined
  /** What the browser holds: the id, signed where `secrets` are set. Undefined while the session is blank. */
  readonly token: string | undefined
  /** True until the session is stored. */
  readonly isNew: boolean
  /** True while there are changes that are not written. Compares what may have changed in place, and throws what no format can carry. */
  readonly isChanged: boolean
  /** Epoch seconds of the creation, undefined until the session is stored. */
  readonly createdAt: number | undefined
  /** Epoch seconds of the last renewal, undefined until the session is stored. At most a reissue time old, not exact. */
  readonly lastSeenAt: number | undefined
  /** Epoch seconds at which the session is dead unless renewed, undefined until the session is stored. */
  readonly expiresAt: number | undefined
  /** 1 at creation, one more with every data write; undefined until the session is stored. */
  readonly version: number | undefined

  /**
   * Seconds of inactivity after which this session is dead, `false` for none; at least 1. Setting it stores it with the
   * session, `undefined` returns to the registration's.
   */
  get idleTimeout (): number | false
  /** Stored with the session; `undefined` returns to the registration's. */
  set idleTimeout (seconds: number | false | undefined)
  /** Seconds of age after which this session is dead, however active; otherwise as `idleTimeout`. */
  get absoluteTimeout (): number | false
  /** Stored with the session; `undefined` returns to the registration's. */
  set absoluteTimeout (seconds: number | false | undefined)

  /**
   * `loggableId` and the names of the keys. Log a session inside an object, `log.info({ session })`, where pino calls this
   * method: `log.info(session)` would write its properties, which are the values. For values, use `data()`.
   */
  toJSON (): {
    /** The hash of the id, undefined while the session is blank. */
    loggableId: string | undefined
    /** The names of the session keys. */
    keys: string[]
  }
}

/**
 * A session: its members, and its data as properties (`session.cart`, `session.cart = []`, `delete session.cart`).
 * `Object.keys(session)` are the data keys. A member cannot be shadowed: data under such a name is reached by
 * `get` and `set`.
 */
export type Session = SessionMembers & {
  [Key in Exclude<keyof SessionValues, keyof SessionMembers>]?: SessionValues[Key] | undefined
}
