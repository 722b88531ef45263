/**
 * What a DynamoDB call is made for. Each has a tracing channel of its own, `fastify-dynamodb-session:` and this name; `OPERATIONS`
 * lists them.
 */
export type Operation = 'load' | 'create' | 'save' | 'touch' | 'regenerate' | 'destroy' | 'revoke' | 'bind' | 'list'

/**
 * How a call ended. Of a read: `found` or `missing`; `unprocessed` where a batch left this key to a read of its own. Of a write: `done`, or
 * `refused` because its condition failed, which is an answer. `failed`: the outcome is not known, and `error` says why.
 */
export type CallOutcome = 'found' | 'missing' | 'unprocessed' | 'done' | 'refused' | 'failed'

/**
 * What a subscriber of a tracing channel gets: never an id, a key or a value. One object for each call, filled while it runs: what may be
 * missing here is there from `asyncEnd` on, or `error`, and not before.
 */
export interface CallReport {
  /** The DynamoDB action, such as `GetItem`. */
  readonly action: string
  /** The name of the table, also where the options have its ARN. */
  readonly table: string
  /** Whether a read was strongly consistent. */
  readonly consistent: boolean
  /** Only of a read that travels with others: how many sessions that one `BatchGetItem` reads. Each is told by itself. */
  readonly batchSize?: number
  /** Milliseconds from the call to its answer, retries included. */
  duration?: number
  /** How it ended. */
  outcome?: CallOutcome
  /** Capacity units that DynamoDB charged; of a batch, this session's. Not told by calls that were refused or failed. */
  capacity?: number
  /** Size of the item that was read, or is written whole. */
  itemBytes?: number
  /** The failure: an error of this library, whose `cause` is what lies behind it. */
  error?: unknown
}

/** Why a session could not be written: it is not there, or another took its place or it was revoked, or its time was up. */
export type GoneReason = 'missing' | 'replaced' | 'expired'

/**
 * What a request found under the token that it brought. `found`: a living session. `moved`: one of another store, by `importFrom`. `missing`,
 * `replaced`, `expired`: none, and why. `forged`: the token is malformed or badly signed, so that no call was made. `ambiguous`: it brought
 * tokens of several sessions. `failed`: it is not known.
 */
export type OpenOutcome = 'found' | 'moved' | 'missing' | 'replaced' | 'expired' | 'forged' | 'ambiguous' | 'failed'

/** What a subscriber of `fastify-dynamodb-session:open` gets: one message for each request that brought a token to a route with a session. */
export interface OpenReport {
  /** What was found. */
  readonly outcome: OpenOutcome
  /** How the token came. */
  readonly way: 'cookie' | 'header'
  /** Of the session that the token names; none where it names none. */
  readonly loggableId?: string
}

/** What a subscriber of `fastify-dynamodb-session:gone` gets: a session that could not be written, because it had ended. */
export interface GoneReport {
  /** Of the session that has ended. */
  readonly loggableId: string
  /** How it had ended. */
  readonly reason: GoneReason
}

/** What a subscriber of `fastify-dynamodb-session:conflict` gets: a session on which another request got ahead. */
export interface ConflictReport {
  /** Of the session that another request changed first. */
  readonly loggableId: string
}
