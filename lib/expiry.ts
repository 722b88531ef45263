import type { SessionRecord } from '../types/repository.js'
import { errors } from './errors.js'
import { tellGone, type Ended, type GoneReason } from './events.js'

/** The timeouts that hold for a session, in seconds. */
export interface Timeouts {
  readonly idleTimeout: number | false
  readonly absoluteTimeout: number | false
  /** Where the last activity is kept. In a cookie, the table knows the absolute end only. Default: in the table. */
  readonly idleTracking?: 'table' | 'cookie' | undefined
}

/** The timeouts of a session's own, where it has any. */
export interface OwnTimeouts {
  readonly idleTimeout?: number | false | undefined
  readonly absoluteTimeout?: number | false | undefined
}

/** The end of a session without timeouts: the year 9999. DynamoDB needs a number, and TTL ignores it until then. */
export const NEVER = 253_402_300_799

/** Whether a value can be a timeout: seconds, at least one, or false. */
export function isTimeout (value: unknown): value is number | false {
  return value === false || (typeof value === 'number' && value >= 1 && value <= NEVER)
}

export function timeoutsOf (own: OwnTimeouts, defaults: Timeouts): Timeouts {
  return {
    idleTimeout: own.idleTimeout ?? defaults.idleTimeout,
    absoluteTimeout: own.absoluteTimeout ?? defaults.absoluteTimeout,
    idleTracking: defaults.idleTracking
  }
}

/** Whether a session's last activity is kept in a cookie. One without an absolute end would stay in the table for ever. */
export function isTrackedByCookie ({ idleTracking, absoluteTimeout }: Timeouts): boolean {
  return idleTracking === 'cookie' && absoluteTimeout !== false
}

/** Epoch seconds from which a session is dead, rounded down to whole ones, because DynamoDB's TTL knows no others. */
export function endOf (createdAt: number, lastSeenAt: number, timeouts: Timeouts): number {
  const idleEnd = timeouts.idleTimeout === false ? NEVER : lastSeenAt + timeouts.idleTimeout
  const absoluteEnd = timeouts.absoluteTimeout === false ? NEVER : createdAt + timeouts.absoluteTimeout
  return Math.floor(Math.min(idleEnd, absoluteEnd, NEVER))
}

/** The end that is stored. */
export function storedEndOf (createdAt: number, lastSeenAt: number, timeouts: Timeouts): number {
  return endOf(createdAt, lastSeenAt, isTrackedByCookie(timeouts) ? { ...timeouts, idleTimeout: false } : timeouts)
}

/** The end of a record: the stored one, or an earlier one by the settings of now, which may be tighter than those of then. */
export function presentEndOf (record: SessionRecord, defaults: Timeouts): number {
  return Math.min(record.expiresAt, storedEndOf(record.createdAt, record.lastSeenAt, timeoutsOf(record, defaults)))
}

/** The end of a session whose last activity is known: that of its record, or an earlier one for want of activity. */
export function activeEndOf (record: SessionRecord, defaults: Timeouts): number {
  return Math.min(record.expiresAt, endOf(record.createdAt, record.lastSeenAt, timeoutsOf(record, defaults)))
}

/** Whether a record is expired. */
export function isExpired (record: SessionRecord, defaults: Timeouts, now: number): boolean {
  // So that a clock that tells no time lets nobody in.
  return !(now < presentEndOf(record, defaults))
}

/** Why a record is no session any more, or undefined for a living one. */
export function goneReason (record: SessionRecord | null, defaults: Timeouts, now: number): GoneReason | undefined {
  if (record === null) return 'missing'
  if (record.next !== undefined) return 'replaced'
  return isExpired(record, defaults, now) ? 'expired' : undefined
}

/** A living record as it is; a dead one is told of and refused. */
export function assertAlive (record: SessionRecord | null, key: string, defaults: Timeouts, now: number): SessionRecord {
  const reason = goneReason(record, defaults, now)
  if (record !== null && reason === undefined) return record
  throw gone(key, reason)
}

const ends = new WeakMap<Error, Ended>()

/** The refusal of a session that has ended, told to whoever listens. */
export function gone (key: string, reason: GoneReason = 'missing'): Error {
  tellGone(key, reason)
  const error = new errors.Gone()
  ends.set(error, { key, reason })
  return error
}

/** Which session is gone, and why, by its refusal; undefined where the application itself has ended it. */
export function endOfRefused (error: Error): Ended | undefined {
  return ends.get(error)
}
