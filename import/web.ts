import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { without } from '../lib/foreign-record.js'
import { numberIn } from '../lib/members.js'
import type { ForeignSession, SessionReader, WebReaderOptions } from '../types/import.js'
import { fromPythonJson } from './payload.js'
import { checked, commonOf, listOf } from './settings.js'
import { isSignedByItsdangerous } from './signatures.js'

/** An HMAC-SHA-1 in base64url. */
const SIGNATURE = '\\.[A-Za-z0-9_-]{27}'

/**
 * Reads the sessions of dynamodb-session-web and dynamodb-session-flask. Defaults: table `app_session`, cookie `id`, key `id`, no
 * header (that of dynamodb-session-flask is `x-id`), ids of 32 bytes that are not signed.
 *
 * @throws `FST_DYNAMODB_SESSION_BAD_OPTION`, `FST_DYNAMODB_SESSION_UNKNOWN_OPTION`
 */
export function dynamodbSessionWeb (given: WebReaderOptions = {}): SessionReader {
  const options = checked('dynamodbSessionWeb', given, ['secret', 'idBytes', 'hashKey'])
  const { idBytes = 32, hashKey = 'id' } = options
  const keys = listOf(options.secret)
  const shape = new RegExp(`^[A-Za-z0-9_-]{${Math.ceil(idBytes * 4 / 3)}}${keys.length === 0 ? '' : SIGNATURE}$`)
  return Object.freeze({
    ...commonOf(options, 'app_session', 'id'),
    // The id is the whole token: what is signed is stored with its signature.
    idOf: (token: string) => shape.test(token) && (keys.length === 0 || isSignedByItsdangerous(token, keys)) ? token : undefined,
    keyOf: (id: string) => ({ [hashKey]: { S: id } }),
    read: readRecord
  })
}

function readRecord (item: Readonly<Record<string, AttributeValue>>, now: number): ForeignSession | null {
  const { data, created, expires, idle_timeout: idle, absolute_timeout: absolute } = item
  const createdAt = Date.parse(created?.S ?? '') / 1000
  const [expiresAt, idleTimeout, absoluteTimeout] = [expires, idle, absolute].map(numberOr0) as [number, number, number]
  // A load after a deletion leaves a record without data and timeouts.
  if (data?.S === undefined || Number.isNaN(createdAt) || Math.min(idleTimeout, absoluteTimeout) < 1) return null
  if (expiresAt <= now) return null
  const members = fromPythonJson(data.S)
  if (members === undefined) return null
  return { data: without(members, '_permanent'), createdAt, expiresAt: Math.min(expiresAt, now + idleTimeout), idleTimeout, absoluteTimeout }
}

function numberOr0 (value: AttributeValue | undefined): number {
  return numberIn(value) ?? 0
}
