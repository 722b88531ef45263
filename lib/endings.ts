import type { Repository, Revoked } from '../types/repository.js'
import { errors } from './errors.js'
import { tellConflict } from './events.js'
import { NO_SUCCESSOR } from './item.js'

/** Records that an end follows, each replaced by the next within a minute. */
const LONGEST_CHAIN = 100

/** What has ended, by key: the users to whom it was bound, as far as anybody tells. */
export type Ends = ReadonlyMap<string, string | undefined>

/**
 * Deletes a session and what has taken its place. Never resolves while a successor may be alive. `boundTo`: to whom it was bound
 * when it was read, for where its deletion does not tell.
 */
export async function destroyKey (repository: Repository, first: string, boundTo: string | undefined): Promise<Ends> {
  const ends = new Map<string, string | undefined>()
  await followed(first, async key => {
    // Another request may have bound it since. A delete that is repeated, because its answer was lost, finds nobody's.
    const { next, user = key === first ? boundTo : undefined } = toRevoked(await repository.destroy(key))
    ends.set(key, user)
    return next
  })
  return ends
}

/** A repository that keeps no lists may give the successor by itself. */
function toRevoked (answer: Revoked | string | undefined): Revoked {
  return typeof answer === 'object' ? answer : { next: answer }
}

/**
 * Puts tombstones in place of a session and of what has taken its place, and resolves when none of them can be alive or come
 * to life.
 */
export async function revokeKey (
  repository: Repository & Required<Pick<Repository, 'revoke'>>, key: string, now: number
): Promise<Ends> {
  const ends = new Map<string, string | undefined>()
  await followed(key, async key => {
    // So that the tombstone names the user, for whoever has to do this again.
    const known = await repository.load(key, true)
    const { next, user = known?.user } = await repository.revoke(key, now, known?.user)
    ends.set(key, user)
    return next
  })
  return ends
}

/** Ends a session and one after the other its successors, each of which `end` gives. */
async function followed (key: string, end: (key: string) => Promise<string | undefined>): Promise<void> {
  const dead = new Set<string>()
  let next: string | undefined = key
  while (next !== undefined && next !== NO_SUCCESSOR && !dead.has(next)) {
    if (dead.size === LONGEST_CHAIN) throw conflict(next)
    dead.add(next)
    next = await end(next)
  }
}

/** The refusal of what others came before with, told to whoever listens. */
export function conflict (key: string): Error {
  tellConflict(key)
  return new errors.Conflict()
}
