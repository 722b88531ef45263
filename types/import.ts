import type { AttributeValue, DynamoDBClient, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'

/** A living session of another store, as its record says. Instants are epoch seconds, durations seconds. */
export interface ForeignSession {
  /** The application's data by key, without what the other store keeps beside it. */
  readonly data: ReadonlyMap<string, unknown>
  /** When it began, where its record knows; its age runs on then. */
  readonly createdAt?: number | undefined
  /** When it is dead unless it is renewed. Later than the moment of reading, and no later than `idleTimeout` from then. */
  readonly expiresAt: number
  /** Inactivity after which it is dead; at least 1. */
  readonly idleTimeout: number
  /** Age after which it is dead, where its record knows one; at least 1. */
  readonly absoluteTimeout?: number | undefined
  /** For how long its cookie was to live, where its record says so; at least 1. */
  readonly cookieMaxAge?: number | undefined
}

/**
 * A reader of another store's sessions, for the option `importFrom`. `connectDynamodb()`, `dynamodbSessionStore()`,
 * `pyramidSession()` and `dynamodbSessionWeb()` of `fastify-dynamodb-session/import` make them; an application may bring one of
 * its own. It decides and calls nothing.
 */
export interface SessionReader {
  /** Name or ARN of the other store's table. */
  readonly table: string
  /** The client for that table; without, the plugin's own. A configuration is made into a client, which is destroyed on close. */
  readonly client?: DynamoDBClient | DynamoDBClientConfig | undefined
  /** The cookie that holds the old token. */
  readonly cookieName: string
  /** The path that cookie was set with: what it is cleared with. */
  readonly cookiePath: string
  /** The domain that cookie was set with, where it had one. */
  readonly cookieDomain?: string | undefined
  /** A request header, in lower case, that may hold the old token instead. */
  readonly header?: string | undefined
  /** Whether the old record and its cookie stay when the session has been moved. */
  readonly keep: boolean
  /** The id in an old token, or undefined for a token that is malformed or not well signed. Costs no call. */
  idOf (token: string): string | undefined
  /** The key of the record of an id. */
  keyOf (id: string): Record<string, AttributeValue>
  /**
   * The session of a record at an instant (epoch seconds), or null for one that is expired, a ghost or broken. Row by row it
   * serves to copy a whole table.
   *
   * @throws `FST_DYNAMODB_SESSION_NOT_IMPORTABLE` for a living session with a value that would become another one.
   */
  read (item: Readonly<Record<string, AttributeValue>>, now: number): ForeignSession | null
}

/** What all readers take. */
export interface ReaderOptions {
  /** Name or ARN of the old table. */
  table?: string | undefined
  /** A `DynamoDBClient` or a `DynamoDBClientConfig` for the old table. Default: the plugin's client. */
  client?: DynamoDBClient | DynamoDBClientConfig | undefined
  /** Name of the old cookie. */
  cookieName?: string | undefined
  /** Path that the old cookie was set with, which it takes to clear it. Default `'/'`. */
  cookiePath?: string | undefined
  /** Domain that the old cookie was set with, which it takes to clear it. Default none. */
  cookieDomain?: string | undefined
  /** Name of a request header that may hold the old token as well. Default none. */
  header?: string | undefined
  /**
   * `true`: the old record stays until it expires, and its cookie too, for as long as servers of the old kind are about. Whoever has
   * its token can move it again. A log-out in the very request that moves it, or in a later one that brings the old cookie, deletes it
   * in any case. Default `false`: it is deleted, by one DeleteItem, before the answer leaves.
   */
  keep?: boolean | undefined
}

/** Options of `connectDynamodb` and `dynamodbSessionStore`, which both keep sessions of express-session. */
export interface ExpressReaderOptions extends ReaderOptions {
  /** The `secret` of express-session or @fastify/session; of an array, any. Required. */
  secret: string | readonly string[]
  /** Text before the id in keys. Default `'sess:'` for connect-dynamodb, `'session#'` for dynamodb-session-store. */
  prefix?: string | undefined
  /** Name of the partition key attribute. Default `'id'`. */
  hashKey?: string | undefined
}

/** Options of `pyramidSession`. */
export interface PyramidReaderOptions extends ReaderOptions {
  /** Name or ARN of the old table. Required. */
  table: string
  /** Name of the partition key attribute, of type B. Default `'sid'`. */
  hashKey?: string | undefined
}

/** Options of `dynamodbSessionWeb`, which reads what dynamodb-session-flask writes as well. */
export interface WebReaderOptions extends ReaderOptions {
  /** The `sid_keys` (`SESSION_DYNAMODB_SID_KEYS`), in any order. Default none: ids are not signed. */
  secret?: string | readonly string[] | undefined
  /** The `sid_byte_length` (`SESSION_DYNAMODB_SID_BYTE_LENGTH`), 16 to 1024. Default `32`. */
  idBytes?: number | undefined
  /** Name of the partition key attribute. Default `'id'`. */
  hashKey?: string | undefined
}
