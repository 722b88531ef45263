import { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { RecordChange, Renewal, Repository, SessionRecord } from '../types/repository.js'

/** What the contract needs of a test runner: tap's `t` and node:test's context have it. */
export interface TestContext {
  test (title: string, run: () => Promise<void>): unknown
}

const NOW = 1_800_000_000

const text = (value: unknown): { S: string } => ({ S: JSON.stringify(value) })

function aRecord (parts: Partial<SessionRecord> = {}): SessionRecord {
  return {
    key: randomBytes(32).toString('base64url'),
    data: new Map([['user', text('ann')], ['cart', text(['apple'])]]),
    version: 1,
    createdAt: NOW,
    lastSeenAt: NOW,
    expiresAt: NOW + 100,
    writes: new Map(),
    ...parts
  }
}

function aChange (base: SessionRecord, parts: Partial<RecordChange> = {}): RecordChange {
  return { set: new Map(), delete: [], settings: {}, renewal: undefined, base, now: NOW + 1, ...parts }
}

function aRenewal (base: SessionRecord, expiresAt: number, parts: Partial<Renewal> = {}): Renewal {
  const { idleTimeout, absoluteTimeout } = base
  return { lastSeenAt: NOW + 1, expiresAt, idleTimeout, absoluteTimeout, mayShorten: false, ...parts }
}

/** What a record says, without what a repository may add for itself. */
function facts (record: SessionRecord | null): unknown {
  if (record === null) return null
  const { key, data, version, createdAt, lastSeenAt, expiresAt, idleTimeout, absoluteTimeout, cookieMaxAge, next, format } = record
  return { key, data: new Map(data), version, createdAt, lastSeenAt, expiresAt, idleTimeout, absoluteTimeout, cookieMaxAge, next, format }
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
  touching(promise)
  replacing(promise)
  destroying(promise)
}

type Promised = (title: string, run: (repository: Repository) => Promise<void>) => void

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

function saving (promise: Promised): void {
  promise('a save changes the named keys only, and adds 1 to the version', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const set = new Map([['count', text(1)], ['__proto__', text('data')]])
    deepEqual(await repository.save(record.key, aChange(record, { set, delete: ['cart', 'absent'] })), { done: true, version: 2 })
    const stored = await repository.load(record.key, true)
    deepEqual(new Map(stored?.data), new Map([['user', text('ann')], ...set]))
    equal(stored?.version, 2)
    equal(stored?.expiresAt, record.expiresAt)
  })

  promise('two saves of different keys, made on the same state, both survive', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const answers = await Promise.all([
      repository.save(record.key, aChange(record, { set: new Map([['a', text(1)]]) })),
      repository.save(record.key, aChange(record, { set: new Map([['b', text(2)]]) }))
    ])
    deepEqual(answers.map(answer => answer.done && answer.version).sort(), [2, 3])
    const stored = await repository.load(record.key, true)
    deepEqual([stored?.data.get('a'), stored?.data.get('b')], [text(1), text(2)])
  })

  promise('settings of its own are stored, and removed by null', async repository => {
    const record = aRecord({ idleTimeout: 60, cookieMaxAge: 10 })
    await repository.create(record, NOW)
    await repository.save(record.key, aChange(record, { settings: { idleTimeout: null, absoluteTimeout: false, cookieMaxAge: 20 } }))
    const stored = await repository.load(record.key, true)
    deepEqual([stored?.idleTimeout, stored?.absoluteTimeout, stored?.cookieMaxAge], [undefined, false, 20])
  })

  promise('more changed keys than an expression holds are saved all the same', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const set = new Map(Array.from({ length: 300 }, (_, index) => [`key ${index}`, text(index)] as const))
    deepEqual(await repository.save(record.key, aChange(record, { set, delete: ['cart'] })), { done: true, version: 2 })
    deepEqual(new Map((await repository.load(record.key, true))?.data), new Map([['user', text('ann')], ...set]))
  })
}

function refusing (promise: Promised): void {
  promise('what is dead is not written to: missing, replaced, expired at this very second', async repository => {
    const missing = aRecord()
    deepEqual(await repository.save(missing.key, aChange(missing)), { done: false, record: null })
    equal(await repository.load(missing.key, true), null)

    const replaced = aRecord()
    await repository.create(replaced, NOW)
    await repository.replace(replaced.key, { next: aRecord().key, base: replaced, sameVersion: false, now: NOW })
    const answer = await repository.save(replaced.key, aChange(replaced, { set: new Map([['a', text(1)]]) }))
    equal(answer.done, false)
    equal((await repository.load(replaced.key, true))?.data.size, 0)

    const expired = aRecord()
    await repository.create(expired, NOW)
    const late = aChange(expired, { set: new Map([['a', text(1)]]), now: expired.expiresAt })
    equal((await repository.save(expired.key, late)).done, false)
    equal((await repository.save(expired.key, { ...late, now: expired.expiresAt - 1 })).done, true, 'one second before it is alive')
  })

  promise('a save that would shorten the session, or was computed from other timeouts, is refused', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const shorter = aRenewal(record, record.expiresAt - 1)
    const refusal = await repository.save(record.key, aChange(record, { renewal: shorter }))
    deepEqual([refusal.done, refusal.done ? undefined : facts(refusal.record)], [false, facts(record)])
    const other = aRenewal(record, record.expiresAt + 1, { idleTimeout: 5 })
    equal((await repository.save(record.key, aChange(record, { renewal: other }))).done, false)
    const meant = aRenewal(record, record.expiresAt - 50, { mayShorten: true })
    equal((await repository.save(record.key, aChange(record, { renewal: meant, settings: { idleTimeout: 50 } }))).done, true)
    equal((await repository.load(record.key, true))?.expiresAt, record.expiresAt - 50)
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

function replacing (promise: Promised): void {
  promise('a replaced record is dead, without data, and goes within a minute', async repository => {
    const [old, next] = [aRecord({ expiresAt: NOW + 1000 }), aRecord().key]
    await repository.create(old, NOW)
    equal((await repository.replace(old.key, { next, base: old, sameVersion: true, now: NOW })).done, true)
    const stored = await repository.load(old.key, true)
    deepEqual([stored?.next, stored?.data.size], [next, 0])
    ok((stored?.expiresAt ?? Infinity) <= NOW + 60)
    equal(await repository.touch(old.key, aRenewal(old, NOW + 2000), NOW), false)
  })

  promise('the end of a replaced record is never put off', async repository => {
    const old = aRecord({ expiresAt: NOW + 10 })
    await repository.create(old, NOW)
    await repository.replace(old.key, { next: aRecord().key, base: old, sameVersion: false, now: NOW })
    equal((await repository.load(old.key, true))?.expiresAt, NOW + 10)
  })

  promise('of two successors one is taken, and the same one again is done', async repository => {
    const [old, first, second] = [aRecord(), aRecord().key, aRecord().key]
    await repository.create(old, NOW)
    equal((await repository.replace(old.key, { next: first, base: old, sameVersion: false, now: NOW })).done, true)
    const refusal = await repository.replace(old.key, { next: second, base: old, sameVersion: false, now: NOW })
    deepEqual([refusal.done, refusal.done ? undefined : refusal.record?.next], [false, first])
    equal((await repository.replace(old.key, { next: first, base: old, sameVersion: false, now: NOW })).done, true)
  })

  promise('a record that changed since its data was carried over is not replaced, nor is one that is dead', async repository => {
    const old = aRecord()
    await repository.create(old, NOW)
    await repository.save(old.key, aChange(old, { set: new Map([['a', text(1)]]) }))
    const refusal = await repository.replace(old.key, { next: aRecord().key, base: old, sameVersion: true, now: NOW })
    deepEqual([refusal.done, refusal.done ? undefined : refusal.record?.version], [false, 2])
    equal((await repository.replace(old.key, { next: aRecord().key, base: old, sameVersion: false, now: old.expiresAt })).done, false)
    const missing = aRecord()
    deepEqual(await repository.replace(missing.key, { next: old.key, base: missing, sameVersion: false, now: NOW }), { done: false, record: null })
    equal(await repository.load(missing.key, true), null)
  })
}

function destroying (promise: Promised): void {
  promise('a destroyed record is gone and stays gone, and destroying nothing is no error', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    equal(await repository.destroy(record.key), undefined)
    equal(await repository.load(record.key, true), null)
    equal((await repository.save(record.key, aChange(record, { set: new Map([['a', text(1)]]) }))).done, false)
    equal(await repository.load(record.key, true), null)
    equal(await repository.destroy(record.key), undefined)
  })

  promise('destroying a replaced record names its successor', async repository => {
    const [old, next] = [aRecord(), aRecord().key]
    await repository.create(old, NOW)
    await repository.replace(old.key, { next, base: old, sameVersion: false, now: NOW })
    equal(await repository.destroy(old.key), next)
  })
}
