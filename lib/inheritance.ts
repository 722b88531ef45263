import type { SessionRecord } from '../types/repository.js'
import type { ForeignSession } from '../types/import.js'
import { storedEndOf, timeoutsOf, type Timeouts } from './expiry.js'

/** What a session that is moved here keeps of its life: instants in epoch seconds, and timeouts of its own where it needs them. */
export interface Lifetime {
  readonly createdAt: number
  readonly lastSeenAt: number
  readonly idleTimeout: number | undefined
  readonly absoluteTimeout: number | undefined
}

/**
 * The life of a session of another store under our rules: its own idle timeout, so much used up already that it ends when it
 * would have ended there. Where no age is known of it, it is as new; and our absolute timeout, which it did not have, does not
 * cut off what remained.
 */
export function lifetimeOf (foreign: ForeignSession, defaults: Timeouts, now: number): Lifetime {
  const end = Math.floor(foreign.expiresAt)
  const createdAt = Math.floor(Math.min(foreign.createdAt ?? now, now))
  const lastSeenAt = Math.max(0, Math.floor(Math.min(now, end - foreign.idleTimeout)))
  const { idleTimeout, absoluteTimeout = longEnough(end - createdAt, defaults) } = foreign
  return {
    createdAt,
    lastSeenAt,
    idleTimeout: idleTimeout === defaults.idleTimeout ? undefined : idleTimeout,
    absoluteTimeout: absoluteTimeout === defaults.absoluteTimeout ? undefined : absoluteTimeout
  }
}

function longEnough (remaining: number, { absoluteTimeout }: Timeouts): number | undefined {
  return absoluteTimeout !== false && absoluteTimeout < remaining ? remaining : undefined
}

/** A new record with the life of an old one. */
export function inherited (record: SessionRecord, { createdAt, lastSeenAt }: Lifetime, defaults: Timeouts): SessionRecord {
  return { ...record, createdAt, lastSeenAt, expiresAt: storedEndOf(createdAt, lastSeenAt, timeoutsOf(record, defaults)) }
}
