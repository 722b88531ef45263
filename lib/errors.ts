import { createError } from '@fastify/error'

const code = (name: string): string => `FST_DYNAMODB_SESSION_${name}`

/**
 * Everything that can go wrong, in one table. A message says the fact and the remedy; it never holds an id, a token, a
 * value, an ARN or an account. What lies behind it is the `cause`, for logs.
 */
export const errors = {
  /** An option has a value that cannot work. Thrown at registration. */
  BadOption: createError<[string, string]>(code('BAD_OPTION'), 'Option "%s" %s.'),
  /** An option that does not exist. Thrown at registration. */
  UnknownOption: createError<[string, string]>(code('UNKNOWN_OPTION'), 'Unknown option "%s".%s'),
  /** The session is used on a route that has switched it off. */
  Disabled: createError<[string, string]>(code('DISABLED'),
    'request.%s is switched off on this route: take "%s: false" out of the route\'s config to use it here.'),
  /** The session is used before the plugin's onRequest hook ran. */
  NotOpen: createError<[string]>(code('NOT_OPEN'),
    'request.%s is not read yet: register fastify-dynamodb-session before whatever uses the session in onRequest.'),
  /** DynamoDB did not answer, or not in time, or not with proof. The session is neither there nor gone: it is unknown. */
  Unavailable: createError<[ErrorOptions?]>(code('UNAVAILABLE'),
    'Sessions cannot be read or written at the moment. Try again in a few seconds; the cause is in the log.', 503),
  /** Another request replaced the session first, or changed it over and over. */
  Conflict: createError<[]>(code('CONFLICT'),
    'Another request changed this session at the same time. Repeat the request.', 409),
  /** The session was destroyed, replaced or has expired meanwhile, so there is nothing left to write to. */
  Gone: createError<[]>(code('GONE'),
    'This session has ended: it was destroyed, replaced or has expired. Begin a new one.', 409),
  /** The item would be larger than `maxSize`, or than DynamoDB takes. Nothing was written. */
  TooLarge: createError<[number, number, string]>(code('TOO_LARGE'),
    'The session would take %d bytes and may take %d. Largest keys: %s. Keep the bulk elsewhere and its key here.', 413),
  /** The list of a user's sessions takes no more. Nothing was written. */
  UserFull: createError<[]>(code('USER_FULL'),
    'The list of this user\'s sessions is full. Limit them with userIndex: { maxSessions }, or end them with revokeAll().', 413),
  /** The format cannot carry a value. Nothing was changed. */
  UnsupportedValue: createError<[string, string, ErrorOptions?]>(code('UNSUPPORTED_VALUE'),
    'The value of session key "%s" cannot be stored: %s.'),
  /** A session key that no record can have, or a member's name given as a property. */
  BadKey: createError<[string]>(code('BAD_KEY'), 'A session key %s.'),
  /** A stored value that cannot be decoded, or a format that is not configured. The record is left as it is. */
  Unreadable: createError<[string, ErrorOptions?]>(code('UNREADABLE'),
    'The stored session cannot be read: %s. Configure the "format" and the "encryptionKeys" it was written with, or destroy the session.'),
  /** A living session of another store holds what would become something else here. Nothing was written or deleted. */
  NotImportable: createError<[string, ErrorOptions?]>(code('NOT_IMPORTABLE'),
    'A session of another store cannot be moved: %s. Its record is left as it is: use a "format" that carries the value, or change it there.'),
  /** The table does not exist. */
  TableMissing: createError<[string, ErrorOptions?]>(code('TABLE_MISSING'),
    'There is no table "%s" in this region. Create it as the README shows, or set "createTable" for a trial.'),
  /** The table has another key than the options say. */
  TableMismatch: createError<[string, string, string, ErrorOptions?]>(code('TABLE_MISMATCH'),
    'Table "%s" must have the partition key "%s" of type %s and no sort key. Name the right table, or its key with "partitionKey".'),
  /** The credentials may not do what the plugin needs. */
  PermissionMissing: createError<[string, ErrorOptions?]>(code('PERMISSION_MISSING'),
    'The credentials do not permit %s. Grant what the README\'s IAM policy names.')
} as const

export function isOurs (error: unknown): boolean {
  return Object.values(errors).some(Kind => error instanceof Kind)
}

/** Failures that trying again would not mend. */
const DEFINITE = [errors.Gone, errors.Conflict, errors.TooLarge, errors.UserFull, errors.UnsupportedValue, errors.Unreadable]

export function isDefinite (error: unknown): boolean {
  return DEFINITE.some(Kind => error instanceof Kind)
}

/** Seconds after which a client may try again: long enough for a failover, short enough for a visitor. */
export const RETRY_AFTER_SECONDS = '1'

const ARN = /arn:[^\s"',)]+/g
const ACCOUNT = /(?<!\d)\d{12}(?!\d)/g

function redact (text: string): string {
  return text.replace(ARN, 'arn:[redacted]').replace(ACCOUNT, '[redacted]')
}

/** Members of errors that say nothing of a session. */
const PLAIN = ['stack', 'message', 'cause', 'name', 'code', 'errno', 'syscall']

/** Causes of causes that are kept. A chain may lead back to its beginning. */
const LONGEST_CHAIN = 10

/**
 * The cause to keep with an error of ours. AWS names roles, accounts and tables in its texts, the SDK hangs whole items and
 * answers to its errors, and Fastify logs the chain of causes with all members. Name, stack, code and request id stay.
 */
export function safeCause (cause: unknown, depth = 1): Error {
  if (!(cause instanceof Error)) return new Error(redact(textOf(cause)))
  const next = cause.cause === undefined || depth === LONGEST_CHAIN ? undefined : safeCause(cause.cause, depth + 1)
  const message = safeText(cause)
  if (next === cause.cause && message === cause.message && saysNoMore(cause)) return cause
  const copy = new Error(message, next === undefined ? undefined : { cause: next })
  copy.name = redact(cause.name)
  copy.stack = `${copy.name}: ${message}${framesOf(cause)}`
  for (const name of ['code', 'errno', 'syscall', '$metadata']) if (name in cause) Object.assign(copy, { [name]: Reflect.get(cause, name) })
  return copy
}

/** Where it was thrown. What stands before that may be an earlier text than the present one: a stack is made once. */
function framesOf ({ stack = '' }: Error): string {
  return redact(/\n {4}at [^]*/.exec(stack)?.[0] ?? '')
}

/** Whether there is nothing in an error beside its message that is not fit for a log. */
function saysNoMore (error: Error): boolean {
  const head = `${error.name}: ${error.message}`
  const { stack = head } = error
  const isPlain = Object.getOwnPropertyNames(error).every(name => PLAIN.includes(name))
  return isPlain && redact(stack) === stack && stack.startsWith(head)
}

/** Anything may be thrown, also what has no text. */
function textOf (thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null ? 'No error was thrown, but an object.' : String(thrown)
}

/** A parser's text quotes what it could not parse, which is a value. */
function safeText (cause: Error): string {
  return cause instanceof SyntaxError ? 'An answer cannot be parsed.' : redact(cause.message)
}
