import type { CreateTableCommandInput, DynamoDBClient, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import type { CookieOptions } from './cookie.js'
import type { SessionReader } from './import.js'
import type { Repository } from './repository.js'
import type { SessionKey } from './session.js'

/**
 * A format for stored values. `decode(encode(value))` must equal the value.
 */
export interface Codec {
  /** Stored with each record, so that a reader knows the format. At most 64 characters; not `'json'` or `'native'`. */
  name: string
  /** One value to text or bytes. Throws for a value that it cannot carry. */
  encode (value: unknown): string | Uint8Array
  /** The text or bytes back to the value. */
  decode (stored: string | Uint8Array): unknown
}

/** How long, and how many, sessions are used again without reading them again. */
export interface CacheOptions {
  /** Seconds from the read, more than 0 and at most 10. */
  ttl: number
  /** Sessions at most, up to 1000000; those used longest ago go first. Each takes its stored size of memory, and one to three KB more. */
  max: number
}

/** What holds for the sessions of each user. */
export interface UserIndexOptions {
  /**
   * Sessions that a user may have at once, 1 to 1000: a further `bind()` ends the oldest. Default none: as many as their list
   * takes, which are some thousands.
   */
  maxSessions?: number | undefined
}

/** Options of the plugin and of `SessionManager`. All durations are in seconds; fractions are allowed. */
export interface DynamoSessionOptions {
  /** Name or ARN of the table. Its partition key is `partitionKey`; it has no sort key. Required. */
  table: string
  /**
   * A `DynamoDBClient`, used as it is and never destroyed; or a `DynamoDBClientConfig` (`region`, `endpoint`,
   * `credentials`, …), from which the plugin makes a client with its own time limits and destroys it on close, at half the
   * processor time a call of the SDK's default; a `requestHandler` in it is used instead of the plugin's. Default `{}`:
   * region and credentials from the environment. For tests, a repository such as `memoryRepository()` of
   * `fastify-dynamodb-session/testing` may stand here too.
   */
  client?: DynamoDBClient | DynamoDBClientConfig | Repository | undefined
  /** Name of the partition key attribute, or its name and type (`'S'` or `'B'`). Default `'id'`, of type `'S'`. */
  partitionKey?: string | undefined | {
    /** Name of the attribute. */
    name: string
    /** `'S'` for text, `'B'` for bytes, which are 11 fewer per item. Default `'S'`. */
    type?: 'S' | 'B' | undefined
  }
  /** Text before the hash in string keys: two applications can share a table. Default `''`. */
  keyPrefix?: string | undefined
  /** Name of the attribute on which DynamoDB's TTL is enabled. Default `'expires'`. */
  ttlAttribute?: string | undefined
  /** Seconds of inactivity after which a session is dead; `false` for none; at least 1. Default `7200`. */
  idleTimeout?: number | false | undefined
  /** Seconds of age after which a session is dead, however active; `false` for none; at least 1. Default `43200`. */
  absoluteTimeout?: number | false | undefined
  /**
   * Least seconds between two renewals of the idle timeout: a renewal costs one write. Less than `idleTimeout`; `0`
   * renews on every request. A session with a shorter idle timeout of its own is renewed within a tenth of that.
   * Default `idleTimeout / 10`.
   */
  reissueTime?: number | undefined
  /**
   * Where the last activity of a session is kept. `'table'`: a renewal is one UpdateItem. `'cookie'`: in the companion cookie
   * (in header mode the companion header), signed; a renewal sends it and writes nothing, and the table knows the absolute end
   * only, so that TTL sweeps later. Needs `secrets` and an `absoluteTimeout`; a session without an absolute timeout of its own
   * is kept track of in the table. Default `'table'`.
   */
  idleTracking?: 'table' | 'cookie' | undefined
  /** The session cookie. With `header` and without this option, no cookie is read or sent. */
  cookie?: CookieOptions | undefined
  /**
   * Name of a request and response header that carries the token instead of a cookie. With `cookie` as well, both are
   * accepted and the answer goes the way that the request came. Default none.
   */
  header?: string | undefined
  /**
   * Keys for signing tokens, newest first: the first signs, all are accepted, and a token under an old one is signed
   * anew. With them a forged token costs no DynamoDB call. 32 random bytes or more each. Default none.
   */
  secrets?: string | readonly string[] | undefined
  /** Random bytes in an id, 16 to 1024. Default `32`. */
  idBytes?: number | undefined
  /**
   * `true`: every read is strongly consistent, at twice the price. Default `false`: eventually consistent, and a visitor
   * reads what they wrote all the same.
   */
  consistentRead?: boolean | undefined
  /**
   * What becomes of concurrent changes. `'merge'`: changes of different keys all survive, of the same key the last one.
   * `'reject'`: a save of a session whose data another request has changed since it was read is refused with a 409
   * (`FST_DYNAMODB_SESSION_CONFLICT`). `update()` loses nothing under either. Default `'merge'`.
   */
  conflict?: 'merge' | 'reject' | undefined
  /**
   * How values are stored: `'json'` text for each key, `'native'` DynamoDB values (queryable; bytes, sets and big integers
   * survive), or a codec. It counts for new and regenerated records; a save keeps the format of its record, and a reader
   * goes by the record. Default `'json'`.
   */
  format?: 'json' | 'native' | Codec | undefined
  /**
   * Keys of 32 random bytes, newest first, or one: values are sealed with AES-256-GCM under the first, opened under any, and
   * bound to their session and key, so that they open nowhere else. A value is sealed anew when it is next written. A value
   * that does not open, or is not sealed, is an error (`FST_DYNAMODB_SESSION_UNREADABLE`) and left as it is. Names of keys,
   * instants and sizes are not sealed. 37 bytes a value. Default none.
   */
  encryptionKeys?: Uint8Array | readonly Uint8Array[] | undefined
  /** With `encryptionKeys`: until then, values that are not sealed are read too. Default none: they are refused. */
  acceptPlainUntil?: Date | undefined
  /**
   * Compresses a value (raw deflate) where that makes it at least 1 KB smaller, which saves a write unit with every write of
   * its session. Before sealing. A value expands to 4 MB at most. Default `false`.
   */
  compress?: boolean | undefined
  /**
   * Largest item in bytes, by DynamoDB's rules of size. A larger one is refused with a 413 that names the largest keys,
   * before anything is sent. At most and by default `409600`.
   */
  maxSize?: number | undefined
  /** Most seconds that a DynamoDB operation may take, connection, queue, retries and body included. Default `3`. */
  timeout?: number | undefined
  /**
   * What a request with a token gets while DynamoDB cannot be read. `'error'`: a 503. `'anonymous'`: its handler runs with
   * a blank session, in which every change is refused with a 503 (`FST_DYNAMODB_SESSION_UNAVAILABLE`), and the cookie
   * stays. Default `'error'`.
   */
  readFailure?: 'error' | 'anonymous' | undefined
  /** Whether changes made by a handler that answers 5xx are saved. Default `false`. */
  saveOnServerError?: boolean | undefined
  /**
   * Reads of different sessions that start in the same turn of the event loop travel in one BatchGetItem, up to 100 of them;
   * one by itself is a GetItem. Without `consistentRead`, strongly consistent reads go by themselves. The capacity is the same,
   * and under load the processor time a fraction; the answer to one waits for those that travel with it. Needs the permission
   * `dynamodb:BatchGetItem`: where that is missing, every read is a GetItem, after one warning. Default `true`.
   */
  batchReads?: boolean | undefined
  /**
   * `{ ttl, max }`: sessions that this process has read in the last `ttl` seconds are not read again, `max` of them. What
   * this process writes counts at once, and so does what this visitor has written elsewhere, as the companion tells; but a
   * session that another process destroyed or replaced may be read here for `ttl` seconds more, and other changes of other
   * processes come as late. Writes find out at once. Not with `consistentRead`. Default `false`.
   */
  cache?: false | CacheOptions | undefined
  /**
   * At start, one GetItem of a random key. A missing table, another key or a refused permission stops the start with a
   * message that says what to do; an unreachable service only warns. Default `true`.
   */
  verify?: boolean | undefined
  /**
   * `true`, or parts of a `CreateTableCommandInput`: creates the table at start where it is missing (on demand), waits
   * until it is active and enables TTL. For trials: it needs rights that a web server should not have, and AWS may take
   * longer than Fastify's `pluginTimeout` of 10 seconds. Default `false`.
   */
  createTable?: boolean | Partial<Omit<CreateTableCommandInput, 'TableName' | 'KeySchema'>> | undefined
  /**
   * `true`, or `{ maxSessions }`: `session.bind(userId)` puts a session on its user's list, and `app.sessions` lists a user's
   * sessions and ends them (`list`, `revoke`, `revokeAll`). The lists are items of the same table, one for each user; a
   * session that is not bound costs nothing. Default `false`.
   */
  userIndex?: boolean | UserIndexOptions | undefined
  /**
   * Session keys that are also written as attributes of the item, under the key's own name and as native values, for a secondary
   * index of your own. Each write of the data keeps them in step, without a call of its own; of an index that holds the attribute,
   * DynamoDB charges the write. A text or bytes of 1 to 2048 bytes and a number are written; any other value, and none, is no
   * attribute, so that the index leaves the session out. A replaced session has none. A session that was stored before the option
   * named its key gets its attribute with its next data write.
   *
   * With `encryptionKeys`, a key must be given as `{ key, plain: true }`: its value stands unsealed beside the sealed one. Names of
   * attributes that records have (`id`, `data`, `user`, `cookie` …) are refused. At most 20 keys. Default `[]`.
   */
  indexKeys?: undefined | ReadonlyArray<SessionKey | {
    /** The session key, which is the name of the attribute. */
    readonly key: SessionKey
    /** Says that its value may stand in the table unsealed. */
    readonly plain: true
  }>
  /**
   * Readers of other stores' sessions, from `fastify-dynamodb-session/import`, asked in this order. A request without a living
   * session of ours that brings a good token of theirs has its session moved here: same data, same remaining lifetime, a new id.
   * None without an old token; one strongly consistent GetItem of the old table for one, and with a living session a PutItem here
   * and a DeleteItem there. A read that fails is a 503, like every other. Default `[]`.
   */
  importFrom?: readonly SessionReader[] | undefined
  /**
   * Name of the request decorator, and with an `s` of the manager on the application. A second registration takes
   * another (`'admin'`: `request.admin`, `app.admins`, and a default cookie name that ends in `-admin`).
   * Default `'session'`.
   */
  sessionName?: string | undefined
  /** The clock in epoch milliseconds, for tests. Default `Date.now`. */
  now?: (() => number) | undefined
}
