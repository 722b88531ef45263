import type { AttributeValue } from '@aws-sdk/client-dynamodb'

/** One encoded value, as the table holds it. */
export type StoredValue = AttributeValue

/** A session as it is stored. Instants are whole epoch seconds, durations seconds. */
export interface SessionRecord {
  /** SHA-256 of the id, base64url: never the id itself. */
  readonly key: string
  /** One encoded value for each session key. */
  readonly data: ReadonlyMap<string, StoredValue>
  /** 1 at creation, one more with every save. */
  readonly version: number
  /** When it was created. */
  readonly createdAt: number
  /** The last renewal. */
  readonly lastSeenAt: number
  /** When it is dead unless it is renewed. */
  readonly expiresAt: number
  /** Only where the session has its own. */
  readonly idleTimeout?: number | false | undefined
  /** Only where the session has its own. */
  readonly absoluteTimeout?: number | false | undefined
  /** Only where the session chose the life of its cookie. */
  readonly cookieMaxAge?: number | undefined
  /** Only where the session is bound to a user: under which hash it is listed. */
  readonly user?: string | undefined
  /** Only on a record that was replaced, which is dead: the key of its successor; or that was revoked: `'-'`. */
  readonly next?: string | undefined
  /** The format of the values, where it is not JSON text. */
  readonly format?: string | undefined
  /** Tokens of the writes of the last minute, with their instants. Undefined on a record that somebody else wrote. */
  readonly writes?: ReadonlyMap<string, number> | undefined
  /**
   * The attributes of the option `indexKeys` as they were read. DynamoDB's own repository gives them, keeps them and is the
   * only one that needs them: it makes them of `data`. Another has the values, in their stored form, and no attributes.
   */
  readonly index?: ReadonlyMap<string, StoredValue> | undefined
}

/** New instants of a record, and the timeouts of its own from which they were computed: with others it is refused. */
export interface Renewal {
  /** The instant of this renewal, in epoch seconds. */
  readonly lastSeenAt: number
  /** When the record is dead from then on, in epoch seconds. */
  readonly expiresAt: number
  /** The record's own idle timeout in seconds, as it was read; undefined where it has none. */
  readonly idleTimeout: number | false | undefined
  /** The record's own absolute timeout, likewise. */
  readonly absoluteTimeout: number | false | undefined
  /** Whether an earlier expiry than the stored one is meant. Otherwise it is refused. */
  readonly mayShorten: boolean
}

/** A session's own settings, as far as they change; `null` removes one. */
export interface SettingsChange {
  /** Seconds of inactivity; `false` for none. */
  readonly idleTimeout?: number | false | null
  /** Seconds of age; `false` for none. */
  readonly absoluteTimeout?: number | false | null
  /** Seconds for which the browser keeps the cookie. */
  readonly cookieMaxAge?: number | null
  /** The hash of the user to whom it is bound. */
  readonly user?: string | null
}

/** What a save changes. */
export interface RecordChange {
  /** New values, encoded, by session key. */
  readonly set: ReadonlyMap<string, StoredValue>
  /** The session keys that go. */
  readonly delete: readonly string[]
  /** What becomes of the session's own settings. */
  readonly settings: SettingsChange
  /** New instants, where the save renews. */
  readonly renewal: Renewal | undefined
  /** The record on which the change was made. */
  readonly base: SessionRecord
  /** Whether the record must still have the version of `base`. Without it, changes of different keys go side by side. */
  readonly sameVersion?: boolean | undefined
  /** Values, no lists or maps, that must still be stored as they are here; `undefined` for a key that must not be there. */
  readonly expected?: ReadonlyMap<string, StoredValue | undefined> | undefined
  /** Epoch seconds. */
  readonly now: number
}

/** Marks a record as replaced: it is dead from then on, without data, and goes within a minute. */
export interface Replacement {
  /** The key of the successor. */
  readonly next: string
  /** The record that is replaced. */
  readonly base: SessionRecord
  /** Whether the record must still have the version of `base`, because its data was carried over. */
  readonly sameVersion: boolean
  /** Epoch seconds. */
  readonly now: number
}

/**
 * Done, with the version that the record now has and, where writes leave tokens, those that are in it; or refused, with the
 * record that stood in the way, if any.
 */
export type WriteAnswer =
  | {
    /** It is written. */
    readonly done: true
    /** That of the record as it is now. */
    readonly version: number
    /** The tokens of the writes that are in the record now. */
    readonly writes?: SessionRecord['writes']
  }
  | {
    /** It is refused, and nothing is written. */
    readonly done: false
    /** What stood in the way; null where there is no record. */
    readonly record: SessionRecord | null
  }

/** A session in the list of its user. Instants are whole epoch seconds, as they were when the list was last told. */
export interface UserEntry {
  /** When the session was created. */
  readonly createdAt: number
  /** Its last renewal. */
  readonly lastSeenAt: number
  /** When it is dead unless it is renewed. */
  readonly expiresAt: number
  /** What `bind()` was told to call it, encoded. */
  readonly label?: StoredValue | undefined
}

/** The sessions of one user, by their keys. */
export interface UserRecord {
  /** Those that may be alive. */
  readonly sessions: ReadonlyMap<string, UserEntry>
  /** Those that are being ended. They stay here until nothing of them can be alive. */
  readonly revoking: ReadonlyMap<string, UserEntry>
  /** One more whenever a session comes or goes. */
  readonly version: number
}

/** What changes in a list while its sessions are what they are. */
export interface UserChange {
  /** The keys of sessions that have ended. */
  readonly remove: readonly string[]
  /** New instants of a listed session. */
  readonly renew?: undefined | Omit<UserEntry, 'label'> & {
    /** Its key. */
    readonly key: string
  }
}

/** The lists of users' sessions. A user is named by a hash of 43 characters. Every write is conditional, and may be repeated. */
export interface UserLists {
  /** The list of a user as it is after every acknowledged write, or null where there is none. */
  load (user: string): Promise<UserRecord | null>
  /**
   * Lists a session and gives the list as it is then. With `from`, on condition that the session of that key is listed, whose
   * label it takes over where it has none; it stays listed itself. Null where that is refused, and where the session is being ended.
   *
   * @throws `errors.UserFull` where the list is as long as it can be.
   */
  add (user: string, key: string, entry: UserEntry, from?: string): Promise<UserRecord | null>
  /** False where there is no list, or not the session that is to be renewed. */
  amend (user: string, change: UserChange): Promise<boolean>
  /** Replaces what a list says, on condition that it still has this version. */
  rewrite (user: string, lists: Pick<UserRecord, 'sessions' | 'revoking'>, version: number): Promise<boolean>
}

/** What stood under a key that was revoked or destroyed. */
export interface Revoked {
  /** The key of the successor that it had, for the caller to end that too; `'-'` where it was revoked before. */
  readonly next?: string | undefined
  /** The hash of the user to whom it was bound. */
  readonly user?: string | undefined
}

/**
 * Where records are kept. Absence is an answer. A rejection with `errors.Unavailable` means that the outcome is
 * not known, and is a 503; any other is a fault of the repository itself, and is a 500. Every write is
 * conditional, and none of them brings a record back that is not there. `repositoryContract` of
 * `fastify-dynamodb-session/testing` holds an implementation to this.
 */
export interface Repository {
  /**
   * The record under a key, dead or alive, or null where there is none or where it lacks what a session needs.
   * `consistent` asks for a read that sees every acknowledged write. Requests share the record, and nobody changes it afterwards.
   */
  load (key: string, consistent: boolean): Promise<SessionRecord | null>
  /** Stores a new record. False where there is one under this key already, which is left as it is. */
  create (record: SessionRecord, now: number): Promise<boolean>
  /**
   * Sets and deletes the named keys and adds 1 to the version, on condition that the record is alive: it is there, is
   * not replaced and has not expired, and that it still is what `renewal`, `sameVersion` and `expected` name. Keys that
   * are not named stay as they are.
   */
  save (key: string, change: RecordChange): Promise<WriteAnswer>
  /** Moves the instants of a living record. False where that is refused. */
  touch (key: string, renewal: Renewal, now: number): Promise<boolean>
  /** Marks a living record as replaced. A record already replaced by the same successor is an answer of done. */
  replace (key: string, replacement: Replacement): Promise<WriteAnswer>
  /**
   * Deletes a record, if there is one. A record that was replaced is left, since it is dead and goes by itself, and its
   * successor's key is given, for the caller to destroy that: by itself, or with the user to whom the record was bound, whom a
   * repository that keeps `users` tells also where there is no successor.
   */
  destroy (key: string): Promise<Revoked | string | undefined>
  /**
   * Puts a tombstone under a key, whether or not there is a record: what is there is dead at once and without data, and for
   * a quarter of an hour, which is longer than any call may take, nothing can be created there. It names the user, where one is
   * given. A record that was replaced is left, and its successor's key is given. Without this method nothing can be revoked.
   */
  revoke? (key: string, now: number, user?: string): Promise<Revoked>
  /** The lists of users' sessions, for the option `userIndex`, which needs `revoke` as well. */
  readonly users?: UserLists | undefined
  /** Rejects with what is wrong where records cannot be kept here. Called once, at start. */
  verify? (): Promise<void>
  /** Gives back what it holds. */
  close? (): void | Promise<void>
}
