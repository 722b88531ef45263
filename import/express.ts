import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { LONGEST_LIFE } from '../lib/cookie.js'
import { errors } from '../lib/errors.js'
import { NEVER } from '../lib/expiry.js'
import { canBeKey, COOKIE, foreignRecordIn, without } from '../lib/foreign-record.js'
import type { ExpressReaderOptions, ForeignSession, SessionReader } from '../types/import.js'
import { checked, commonOf, listOf } from './settings.js'
import { unsignCookie } from './signatures.js'

/** What both stores give a session whose cookie ends with the browser, in seconds. */
const BROWSER_SESSION = 86_400

/**
 * Reads the sessions of connect-dynamodb (0.0 to 3.0.5), with express-session or @fastify/session. Defaults: table `sessions`,
 * cookie `connect.sid`, key `id`, prefix `sess:`. The cookie of @fastify/session is `sessionId`.
 *
 * @throws `FST_DYNAMODB_SESSION_BAD_OPTION`, `FST_DYNAMODB_SESSION_UNKNOWN_OPTION`
 */
export function connectDynamodb (options: ExpressReaderOptions): SessionReader {
  return readerOf('connectDynamodb', options, 'sess:')
}

/**
 * Reads the sessions of dynamodb-session-store (`@pwrdrvr`), also those that connect-dynamodb wrote into the same table under its
 * prefix. Defaults: table `sessions`, cookie `connect.sid`, key `id`, prefix `session#`.
 *
 * @throws `FST_DYNAMODB_SESSION_BAD_OPTION`, `FST_DYNAMODB_SESSION_UNKNOWN_OPTION`
 */
export function dynamodbSessionStore (options: ExpressReaderOptions): SessionReader {
  return readerOf('dynamodbSessionStore', options, 'session#')
}

function readerOf (name: string, given: ExpressReaderOptions, usualPrefix: string): SessionReader {
  const options = checked(name, given, ['secret', 'prefix', 'hashKey'])
  const { prefix = usualPrefix, hashKey = 'id' } = options
  const secrets = listOf(options.secret)
  if (secrets.length === 0) throw new errors.BadOption(`${name}.secret`, 'is required: the old tokens are signed with it')
  return Object.freeze({
    ...commonOf(options, 'sessions', 'connect.sid'),
    idOf (token: string) {
      // Of express-session; @fastify/session has no such beginning unless it is told to.
      const id = unsignCookie(token.startsWith('s:') ? token.slice(2) : token, secrets)
      return id !== undefined && canBeKey(prefix + id) ? id : undefined
    },
    keyOf: (id: string) => ({ [hashKey]: { S: prefix + id } }),
    read: readRecord
  })
}

function readRecord (item: Readonly<Record<string, AttributeValue>>, now: number): ForeignSession | null {
  const record = foreignRecordIn(item, now)
  if (record === undefined) return null
  const { members, expiresAt = Infinity, maxAge } = record
  const idleTimeout = Math.min(maxAge ?? BROWSER_SESSION, NEVER)
  return {
    data: without(members, COOKIE),
    expiresAt: Math.min(expiresAt, now + idleTimeout),
    idleTimeout,
    cookieMaxAge: maxAge === undefined ? undefined : Math.min(maxAge, LONGEST_LIFE)
  }
}
