import { deepEqual, equal, ok } from 'node:assert/strict'
import { aChange, aRecord, aRenewal, doneVersion, facts, NOW, refused, text, type Promised } from './records.js'

export function saving (promise: Promised): void {
  promise('a save changes the named keys only, and adds 1 to the version', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const set = new Map([['count', text(1)], ['__proto__', text('data')]])
    equal(doneVersion(await repository.save(record.key, aChange(record, { set, delete: ['cart', 'absent'] }))), 2)
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
    equal(doneVersion(await repository.save(record.key, aChange(record, { set, delete: ['cart'] }))), 2)
    deepEqual(new Map((await repository.load(record.key, true))?.data), new Map([['user', text('ann')], ...set]))
  })
}

export function refusing (promise: Promised): void {
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
    deepEqual(facts(refused(refusal)), facts(record))
    const other = aRenewal(record, record.expiresAt + 1, { idleTimeout: 5 })
    equal((await repository.save(record.key, aChange(record, { renewal: other }))).done, false)
    const meant = aRenewal(record, record.expiresAt - 50, { mayShorten: true })
    equal((await repository.save(record.key, aChange(record, { renewal: meant, settings: { idleTimeout: 50 } }))).done, true)
    equal((await repository.load(record.key, true))?.expiresAt, record.expiresAt - 50)
  })
}

export function replacing (promise: Promised): void {
  promise('a replaced record is dead, without data, and goes within a minute', async repository => {
    const [old, next] = [aRecord({ expiresAt: NOW + 1000 }), aRecord().key]
    await repository.create(old, NOW)
    equal((await repository.replace(old.key, { next, base: old, sameVersion: true, now: NOW })).done, true)
    const stored = await repository.load(old.key, true)
    deepEqual([stored?.next, stored?.data.size], [next, 0])
    ok(stored !== null && stored.expiresAt <= NOW + 60)
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
    equal(refused(refusal)?.next, first)
    equal((await repository.replace(old.key, { next: first, base: old, sameVersion: false, now: NOW })).done, true)
  })

  promise('a record that changed since its data was carried over is not replaced, nor is one that is dead', async repository => {
    const old = aRecord()
    await repository.create(old, NOW)
    await repository.save(old.key, aChange(old, { set: new Map([['a', text(1)]]) }))
    const refusal = await repository.replace(old.key, { next: aRecord().key, base: old, sameVersion: true, now: NOW })
    equal(refused(refusal)?.version, 2)
    equal((await repository.replace(old.key, { next: aRecord().key, base: old, sameVersion: false, now: old.expiresAt })).done, false)
    const missing = aRecord()
    deepEqual(await repository.replace(missing.key, { next: old.key, base: missing, sameVersion: false, now: NOW }), { done: false, record: null })
    equal(await repository.load(missing.key, true), null)
  })
}
