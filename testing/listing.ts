import { deepEqual, equal, notEqual } from 'node:assert/strict'
import type { UserEntry, UserLists, UserRecord } from '../types/repository.js'
import { aRecord, NOW, type Promised } from './records.js'

/** The promises of lists, which a repository may be without. */
type Listing = (title: string, run: (lists: UserLists) => Promise<void>) => void

const anEntry = (parts: Partial<UserEntry> = {}): UserEntry => ({ createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 100, ...parts })

/** A key, as sessions have, and a name, as users have: one is made as the other. */
const aKey = (): string => aRecord().key

function keysOf (list: UserRecord | null): { sessions: string[], revoking: string[] } {
  notEqual(list, null)
  const { sessions, revoking } = list as UserRecord
  return { sessions: [...sessions.keys()].sort(), revoking: [...revoking.keys()].sort() }
}

export function listing (promise: Promised): void {
  const listed: Listing = (title, run) => {
    promise(title, async ({ users }) => { if (users !== undefined) await run(users) })
  }
  adding(listed)
  taking(listed)
  amending(listed)
  rewriting(listed)
}

function adding (promise: Listing): void {
  promise('an unknown user has no list, and the first session makes one', async lists => {
    const [user, key] = [aKey(), aKey()]
    equal(await lists.load(user), null)
    const entry = anEntry({ label: { S: 'desk' } })
    const list = await lists.add(user, key, entry)
    deepEqual([...(list as UserRecord).sessions].map(([key, parts]) => [key, { ...parts }]), [[key, entry]])
    deepEqual(keysOf(await lists.load(user)), { sessions: [key], revoking: [] })
    equal((await lists.load(user))?.version, list?.version)
  })

  promise('a list that is given has all that was listed before, and each addition raises its version', async lists => {
    const [user, one, two] = [aKey(), aKey(), aKey()]
    const first = await lists.add(user, one, anEntry())
    const second = await lists.add(user, two, anEntry())
    deepEqual(keysOf(second).sessions, [one, two].sort())
    equal(Number(second?.version) > Number(first?.version), true)
  })

  promise('sessions that are listed at the same time are all listed, the first of a user too', async lists => {
    const [user, keys] = [aKey(), Array.from({ length: 5 }, aKey)]
    const answers = await Promise.all(keys.map(async key => await lists.add(user, key, anEntry())))
    equal(answers.includes(null), false)
    deepEqual(keysOf(await lists.load(user)).sessions, keys.sort())
  })

  promise('a session that is being ended is not listed again', async lists => {
    const [user, key] = [aKey(), aKey()]
    const { sessions, version } = await lists.add(user, key, anEntry()) as UserRecord
    await lists.rewrite(user, { sessions: new Map(), revoking: sessions }, version)
    equal(await lists.add(user, key, anEntry()), null)
    deepEqual(keysOf(await lists.load(user)), { sessions: [], revoking: [key] })
  })
}

function taking (promise: Listing): void {
  promise('a session takes over the label of the one that it replaces, which stays, or brings its own', async lists => {
    const [user, old, next, other] = [aKey(), aKey(), aKey(), aKey()]
    await lists.add(user, old, anEntry({ label: { S: 'desk' } }))
    const list = await lists.add(user, next, anEntry(), old)
    deepEqual(keysOf(list).sessions, [old, next].sort())
    deepEqual(list?.sessions.get(next)?.label, { S: 'desk' })
    deepEqual((await lists.add(user, other, anEntry({ label: { S: 'lap' } }), next))?.sessions.get(other)?.label, { S: 'lap' })
  })

  promise('where the one before is not listed, or there is no list, nothing is', async lists => {
    const [user, key] = [aKey(), aKey()]
    equal(await lists.add(user, key, anEntry(), aKey()), null)
    equal(await lists.load(user), null)
    await lists.add(user, key, anEntry())
    equal(await lists.add(user, aKey(), anEntry(), aKey()), null)
    equal(await lists.add(user, aKey(), anEntry({ label: { S: 'desk' } }), aKey()), null)
    deepEqual(keysOf(await lists.load(user)).sessions, [key])
  })
}

function amending (promise: Listing): void {
  promise('what has ended is taken off, wherever it stands, and what was not there is no matter', async lists => {
    const [user, one, two, three] = [aKey(), aKey(), aKey(), aKey()]
    for (const key of [one, two, three]) await lists.add(user, key, anEntry())
    const list = await lists.load(user)
    const entry = anEntry()
    await lists.rewrite(user, { sessions: new Map([[one, entry], [two, entry]]), revoking: new Map([[three, entry]]) }, Number(list?.version))
    equal(await lists.amend(user, { remove: [one, three, aKey()] }), true)
    deepEqual(keysOf(await lists.load(user)), { sessions: [two], revoking: [] })
    equal(await lists.amend(aKey(), { remove: [one] }), false)
  })

  promise('a renewal changes the instants of one session, keeps its label, and leaves the version', async lists => {
    const [user, key] = [aKey(), aKey()]
    const before = await lists.add(user, key, anEntry({ label: { S: 'desk' } }))
    const instants = { createdAt: NOW + 1, lastSeenAt: NOW + 5, expiresAt: NOW + 105 }
    equal(await lists.amend(user, { remove: [], renew: { key, ...instants } }), true)
    const list = await lists.load(user)
    deepEqual({ ...list?.sessions.get(key) }, { ...instants, label: { S: 'desk' } })
    equal(list?.version, before?.version)
    equal(await lists.amend(user, { remove: [], renew: { key: aKey(), ...instants } }), false)
    equal(await lists.amend(user, { remove: [key], renew: { key: aKey(), ...instants } }), false)
    deepEqual(keysOf(await lists.load(user)).sessions, [key])
  })
}

function rewriting (promise: Listing): void {
  promise('a list is replaced as long as it is what it was, and not after a session came or went', async lists => {
    const [user, one, two] = [aKey(), aKey(), aKey()]
    const list = await lists.add(user, one, anEntry())
    const empty = { sessions: new Map<string, UserEntry>(), revoking: new Map<string, UserEntry>() }
    await lists.add(user, two, anEntry())
    equal(await lists.rewrite(user, empty, Number(list?.version)), false)
    const present = await lists.load(user)
    await lists.amend(user, { remove: [two] })
    equal(await lists.rewrite(user, empty, Number(present?.version)), false)
    equal(await lists.rewrite(user, empty, Number((await lists.load(user))?.version)), true)
    deepEqual(keysOf(await lists.load(user)), { sessions: [], revoking: [] })
    equal(await lists.rewrite(aKey(), empty, 1), false)
  })
}
