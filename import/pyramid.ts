import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { errors } from '../lib/errors.js'
import { numberIn } from '../lib/members.js'
import type { ForeignSession, PyramidReaderOptions, SessionReader } from '../types/import.js'
import { fromPythonJson } from './payload.js'
import { checked, commonOf } from './settings.js'
import { digestOf } from './signatures.js'

/**
 * `<id>/<version>`. The version is for reads that lag behind, and the old record is read strongly consistent; so one that is no
 * number does no harm.
 */
const TOKEN = /^([A-Za-z0-9_-]{1,128})\//

/**
 * Reads the sessions of pyramid-dynamodb-sessions. `table` is required; cookie `session_id`, key `sid` of type B. Flash
 * messages and the CSRF token stay under the keys that they have there (`_f_…`, `_csrft_`).
 *
 * @throws `FST_DYNAMODB_SESSION_BAD_OPTION`, `FST_DYNAMODB_SESSION_UNKNOWN_OPTION`
 */
export function pyramidSession (given: PyramidReaderOptions): SessionReader {
  const options = checked('pyramidSession', given, ['hashKey'])
  const { hashKey = 'sid' } = options
  if (options.table === undefined) throw new errors.BadOption('pyramidSession.table', 'is required')
  return Object.freeze({
    ...commonOf(options, options.table, 'session_id'),
    idOf: (token: string) => TOKEN.exec(token)?.[1],
    keyOf: (id: string) => ({ [hashKey]: { B: digestOf(id) } }),
    read: readRecord
  })
}

function readRecord ({ dat, ver, iss, exp }: Readonly<Record<string, AttributeValue>>, now: number): ForeignSession | null {
  const [issuedAt, expiresAt] = [numberIn(iss), numberIn(exp)]
  // A renewal after a deletion leaves a record without data and version.
  if (dat?.S === undefined || ver?.N === undefined || issuedAt === undefined || expiresAt === undefined) return null
  const idleTimeout = expiresAt - issuedAt
  if (expiresAt <= now || idleTimeout < 1) return null
  const data = fromPythonJson(dat.S)
  return data === undefined ? null : { data, expiresAt: Math.min(expiresAt, now + idleTimeout), idleTimeout }
}
