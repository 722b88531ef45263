import { deepEqual, equal, notEqual } from 'node:assert/strict'
import type { Repository, Revoked } from '../types/repository.js'
import { expecting } from './expecting.js'
import { aChange, aRecord, aRenewal, facts, nextOf, NOW, text, type Promised } from './records.js'
import { listing } from './listing.js'
import { revoking } from './revoking.js'
import { refusing, replacing, saving } from './writing.js'

/** What the contract needs of a test runner: tap's `t` and node:test's context have it. */
export interface TestContext {
  /** Runs a test of this name, by itself or after those before. */
  test (title: string, run: () => Promise<void>): unknown
}

/**
 * The rules that every repository keeps, as tests: each title is a promise. `make` gives the repository to test; records
 * have random keys, so one repository may serve all.
 *
 * ```ts
 * import t from 'tap'
 * import { repositoryContract } from 'fastify-dynamodb-session/testing'
 *
 * repositoryContract(t, async () => myRepository())
 * ```
 */
export function repositoryContract (t: TestContext, make: () => Promise<Repository>): void {
  const promise = (title: string, run: (repository: Repository) => Promise<void>): void => {
    t.test(title, async () => await run(await make()))
  }
  loading(promise)
  creating(promise)
  saving(promise)
  refusing(promise)
  expecting(promise)
  touching(promise)
  replacing(promise)
  destroying(promise)
  revoking(promise)
  listing(promise)
}

function loading (promise: Promised): void {
  promise('an unknown key is null, by either kind of read', async repository => {
    equal(await repository.load(aRecord().key, false), null)
    equal(await repository.load(aRecord().key, true), null)
  })

  promise('a record is read as it was created, settings of its own and odd keys included', async repository => {
    const record = aRecord({
      idleTimeout: 60,
      absoluteTimeout: false,
      cookieMaxAge: 3600,
      format: 'native',
      data: new Map([['__proto__', text(1)], ['constructor', text(2)], ['a.b', text(3)], ['#n0', text(4)], ['ключ', text(5)]])
    })
    equal(await repository.create(record, NOW), true)
    deepEqual(facts(await repository.load(record.key, true)), facts({ ...record, next: undefined }))
  })

  promise('an expired record is still read: whether it is dead is not for the repository to say', async repository => {
    const record = aRecord({ expiresAt: NOW - 1 })
    await repository.create(record, NOW - 10)
    notEqual(await repository.load(record.key, true), null)
  })
}

function creating (promise: Promised): void {
  promise('a key that is taken is refused, and the record under it stays', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    equal(await repository.create({ ...aRecord(), key: record.key, data: new Map() }, NOW), false)
    deepEqual(facts(await repository.load(record.key, true)), facts({ ...record }))
  })
}

function touching (promise: Promised): void {
  promise('a touch moves the instants and nothing else', async repository => {
    const record = aRecord({ idleTimeout: 60 })
    await repository.create(record, NOW)
    equal(await repository.touch(record.key, aRenewal(record, NOW + 200), NOW + 1), true)
    deepEqual(facts(await repository.load(record.key, true)), facts({ ...record, lastSeenAt: NOW + 1, expiresAt: NOW + 200 }))
  })

  promise('a touch never brings a record back, never shortens one, and never goes by outdated timeouts', async repository => {
    const missing = aRecord()
    equal(await repository.touch(missing.key, aRenewal(missing, NOW + 200), NOW), false)
    equal(await repository.load(missing.key, true), null, 'and leaves no ghost')

    const record = aRecord()
    await repository.create(record, NOW)
    equal(await repository.touch(record.key, aRenewal(record, record.expiresAt - 1), NOW), false)
    equal(await repository.touch(record.key, aRenewal(record, NOW + 200, { absoluteTimeout: 9 }), NOW), false)
    equal(await repository.touch(record.key, aRenewal(record, NOW + 200), record.expiresAt), false)
    deepEqual(facts(await repository.load(record.key, true)), facts(record))
  })
}

function destroying (promise: Promised): void {
  promise('a destroyed record is gone and stays gone, and destroying nothing is no error', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    equal(nextOf(await repository.destroy(record.key)), undefined)
    equal(await repository.load(record.key, true), null)
    equal((await repository.save(record.key, aChange(record, { set: new Map([['a', text(1)]]) }))).done, false)
    equal(await repository.load(record.key, true), null)
    equal(nextOf(await repository.destroy(record.key)), undefined)
  })

  promise('destroying a replaced record names its successor, as often as it is asked, and leaves the mark', async repository => {
    const [old, next] = [aRecord(), aRecord().key]
    await repository.create(old, NOW)
    await repository.replace(old.key, { next, base: old, sameVersion: false, now: NOW })
    equal(nextOf(await repository.destroy(old.key)), next)
    equal(nextOf(await repository.destroy(old.key)), next, 'an answer that was lost is not lost for good')
    equal((await repository.load(old.key, true))?.next, next)
  })
  promise('where lists of users are kept, the end of a record tells to whom it was bound: as it is then, and of a replaced one too', async repository => {
    if (repository.users === undefined) return
    const [user, other] = [aRecord().key, aRecord().key]
    const [record, old, next, nobody] = [aRecord(), aRecord({ user }), aRecord().key, aRecord()]
    for (const each of [record, old, nobody]) await repository.create(each, NOW)
    await repository.save(record.key, aChange(record, { settings: { user: other } }))
    await repository.replace(old.key, { next, base: old, sameVersion: false, now: NOW })
    deepEqual(await told(repository, record.key), { next: undefined, user: other })
    deepEqual(await told(repository, record.key), { next: undefined, user: undefined }, 'of what is not there, nothing')
    deepEqual(await told(repository, old.key), { next, user })
    deepEqual(await told(repository, nobody.key), { next: undefined, user: undefined })
  })
}

async function told (repository: Repository, key: string): Promise<object> {
  return { next: undefined, user: undefined, ...await repository.destroy(key) as Revoked }
}
