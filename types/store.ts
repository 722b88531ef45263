import type { DynamoSessionOptions } from './options.js'

/** The options that a store shares with the plugin. The others are the host's: its cookie, its secrets, its ids. */
type Shared = 'table' | 'client' | 'partitionKey' | 'keyPrefix' | 'ttlAttribute' | 'idleTimeout' | 'absoluteTimeout' | 'reissueTime'
  | 'consistentRead' | 'conflict' | 'format' | 'encryptionKeys' | 'acceptPlainUntil' | 'compress' | 'maxSize' | 'timeout' | 'batchReads'
  | 'createTable' | 'now'

/** Options of `DynamoStore`: those of the plugin, as far as they are not the host's, and what other stores left behind. */
export interface DynamoStoreOptions extends Pick<DynamoSessionOptions, Shared> {
  /**
   * Seconds of inactivity after which a session is dead whose cookie has no age of its own; `false` for none; at least 1. A
   * cookie with a `maxAge` decides for its session. Default `7200`.
   */
  idleTimeout?: number | false | undefined
  /**
   * Seconds of age after which a session is dead, however active; `false` for none; at least 1. Where it is given it holds for
   * every session; the default holds for those whose cookie has no age of its own. Default `43200`.
   */
  absoluteTimeout?: number | false | undefined
  /**
   * Least seconds between two renewals of a session: a renewal costs one write. Default a tenth of the session's idle time, and
   * at most `3600` where that comes from its cookie.
   */
  reissueTime?: number | undefined
  /**
   * `true`: every read is strongly consistent, because a host tells nobody what a visitor has written. `false`: half the price;
   * a read may then miss what was written within the last second, but never takes a session for missing. Default `true`.
   */
  consistentRead?: boolean | undefined
  /**
   * Session keys that are also written as attributes of the item, for a secondary index of your own: as the plugin's option of that
   * name, for keys of the host's sessions. connect-dynamodb has them as `specialKeys`. No call of its own. Default `[]`.
   */
  indexKeys?: undefined | ReadonlyArray<string | {
    /** The session key, which is the name of the attribute. */
    readonly key: string
    /** Says that its value may stand in the table unsealed. */
    readonly plain: true
  }>
  /** What `createTable()` asks for beside the key: parts of a `CreateTableCommandInput`. Default on demand. */
  createTable?: Exclude<DynamoSessionOptions['createTable'], boolean>
  /**
   * Prefixes of the ids under which another store has left sessions in the same table: `'sess:'` for connect-dynamodb,
   * `'session#'` for dynamodb-session-store. Such a session is read where there is none of ours, and moved when it is first
   * written. Where a session is missing, each prefix costs one read, and all together one more; each costs one write for a
   * log-out. Default `[]`.
   */
  formerPrefixes?: readonly string[] | undefined
}

/** The cookie of a session, as hosts keep it. Instants are dates, durations milliseconds. */
export interface StoredCookie {
  /** Null for a cookie that ends with the browser. */
  originalMaxAge: number | null
  /** When the session ends; null where the cookie ends with the browser. */
  expires: Date | null
  [attribute: string]: unknown
}

/** A session as `get()` gives it: its data, and its cookie. */
export interface StoredSession {
  /** Its cookie, which decides when it ends. */
  cookie: StoredCookie
  [key: string]: unknown
}
