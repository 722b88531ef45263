import { setTimeout as sleep } from 'node:timers/promises'
import type { Repository, UserLists } from '../types/repository.js'
import { errors } from './errors.js'

/** Attempts at a list that others change at the same time, of which each had one more. */
export const ATTEMPTS = 100

/** Milliseconds at most between two attempts. */
const LONGEST_PAUSE = 20

/** Others who try the same come at other moments. */
export async function pause (random: () => number): Promise<void> {
  await sleep(random() * LONGEST_PAUSE)
}

/**
 * Takes a session off the list of a user to whom it is not bound any more, though it may be alive. Another request may be binding it
 * to them again: it lists it before its write and after, so that either its record tells of it here or the version of the list.
 */
export async function leave (
  repository: Pick<Repository, 'load'> & { readonly users: UserLists }, user: string, key: string, random: () => number
): Promise<void> {
  const { users } = repository
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await pause(random)
    const list = await users.load(user)
    if (list?.sessions.has(key) !== true) return
    const record = await repository.load(key, true)
    if (record?.user === user && record.next === undefined) return
    const sessions = new Map(list.sessions)
    sessions.delete(key)
    if (await users.rewrite(user, { sessions, revoking: list.revoking }, list.version)) return
  }
  throw new errors.Conflict()
}
