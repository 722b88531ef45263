import type { SessionRecord, UserEntry, UserRecord } from '../types/repository.js'

/** What is decided about the lists of a user: pure, and done by others. */

type Entries = UserRecord['sessions']

/** A list, and under which name of its user it stands. */
export interface NamedList { readonly user: string, readonly list: UserRecord }

/** What a list is to say, and the keys of all that is to be ended then. */
export interface Shelved { readonly lists: { readonly sessions: Entries, readonly revoking: Entries }, readonly ending: readonly string[] }

/** Whether the time of a session is over, as far as its list knows. A renewal may not have been told to it. */
export function seemsOver ({ expiresAt }: UserEntry, now: number): boolean {
  return expiresAt <= now
}

/** Seconds by which the clocks of two servers may differ. What is over for one may be renewed by another until then. */
const CLOCKS_APART = 600

/** Whether a session is dead for every server, whatever its clock says and its timeouts are. */
export function isDead (record: SessionRecord | null, now: number): boolean {
  return record === null || record.next !== undefined || record.expiresAt <= now - CLOCKS_APART
}

/** Moves sessions to those that are being ended, where what is left of earlier attempts stays. */
export function shelve ({ sessions, revoking }: UserRecord, ends: (key: string) => boolean): Shelved {
  const kept = new Map([...sessions].filter(([key]) => !ends(key)))
  const ending = new Map([...revoking, ...[...sessions].filter(([key]) => ends(key))])
  return { lists: { sessions: kept, revoking: ending }, ending: [...ending.keys()] }
}

/**
 * The sessions that have to end so that no more than `most` are left beside and with the one of `key`: first those whose time
 * seems over, then the oldest.
 */
export function surplus (lists: readonly NamedList[], key: string, most: number, now: number): ReadonlySet<string> {
  const all = new Map(lists.flatMap(({ list }) => [...list.sessions]))
  const rank = (entry: UserEntry): number => seemsOver(entry, now) ? 0 : entry.createdAt
  const others = [...all].filter(([other]) => other !== key).sort(([, a], [, b]) => rank(a) - rank(b))
  return new Set(others.slice(0, Math.max(0, all.size - most)).map(([other]) => other))
}

/** Sessions that may be taken off a list when they have proved dead. */
export function candidates (list: UserRecord, now: number): string[] {
  return [...list.sessions].filter(([, entry]) => seemsOver(entry, now - CLOCKS_APART)).map(([key]) => key)
}

/** The sessions to show, newest first. One that is being moved from list to list stands in both. */
export function shown (lists: readonly NamedList[], now: number): Array<{ readonly user: string, readonly key: string, readonly entry: UserEntry }> {
  const all = new Map(lists.flatMap(({ user, list }) => [...list.sessions].map(([key, entry]) => [key, { user, key, entry }] as const)))
  return [...all.values()].filter(({ entry }) => !seemsOver(entry, now)).sort((a, b) => b.entry.createdAt - a.entry.createdAt)
}

/** Whether a renewal is the first of its reissue time, however often data writes carry one: then the list is told. */
export function isTellable (before: number, after: number, reissueTime: number): boolean {
  return reissueTime === 0 || Math.floor(after / reissueTime) > Math.floor(before / reissueTime)
}
