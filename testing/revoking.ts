import { deepEqual, equal, ok } from 'node:assert/strict'
import type { Repository, Revoked } from '../types/repository.js'
import { aChange, aRecord, aRenewal, nextOf, NOW, text, type Promised } from './records.js'

/** A repository may be without the method: then there is nothing to hold it to. */
async function revoke (repository: Repository, key: string, user?: string): Promise<Revoked | undefined> {
  return await repository.revoke?.(key, NOW, user)
}

export function revoking (promise: Promised): void {
  // A hash, as a user's name is. Made when it is asked for: an import does nothing.
  const user = aRecord().key

  promise('a revoked record is dead at once, without data, and every later write of it is refused', async repository => {
    const record = aRecord({ user })
    await repository.create(record, NOW)
    const answer = await revoke(repository, record.key, user)
    if (answer === undefined) return
    deepEqual({ ...answer }, { next: undefined, user })
    const stored = await repository.load(record.key, true)
    deepEqual([stored?.next, stored?.data.size, stored?.user], ['-', 0, user])
    equal((await repository.save(record.key, aChange(record, { set: new Map([['a', text(1)]]) }))).done, false)
    equal(await repository.touch(record.key, aRenewal(record, NOW + 200), NOW), false)
    equal((await repository.replace(record.key, { next: aRecord().key, base: record, sameVersion: false, now: NOW })).done, false)
    equal(nextOf(await repository.destroy(record.key)), '-', 'nor does a deletion make room for a creation')
    equal(await repository.create(record, NOW), false)
  })

  promise('what is revoked before it is created is never created, and again is done', async repository => {
    const record = aRecord()
    if (await revoke(repository, record.key, user) === undefined) return
    equal(await repository.create(record, NOW), false)
    deepEqual({ ...await revoke(repository, record.key) }, { next: '-', user })
    const stored = await repository.load(record.key, true)
    ok(stored !== null && stored.expiresAt >= NOW + 900, 'it stays for longer than a call may take')
  })

  promise('a record that was replaced is not revoked but left, and its successor named', async repository => {
    const [old, next] = [aRecord({ user }), aRecord().key]
    await repository.create(old, NOW)
    await repository.replace(old.key, { next, base: old, sameVersion: false, now: NOW })
    const answer = await revoke(repository, old.key)
    if (answer === undefined) return
    deepEqual({ ...answer }, { next, user })
    equal((await repository.load(old.key, true))?.next, next)
  })
}
