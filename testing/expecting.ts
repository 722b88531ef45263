import { deepEqual, equal } from 'node:assert/strict'
import type { StoredValue } from '../types/repository.js'
import { aChange, aRecord, aRenewal, doneVersion, facts, NOW, refused, text, type Promised } from './records.js'

/** Values of each kind that a table holds, and another of the same kind. */
const SIMPLE: ReadonlyArray<readonly [StoredValue, StoredValue]> = [
  [text('a'), text('b')],
  [{ S: '' }, { S: ' ' }],
  [{ N: '12345678901234567890.5' }, { N: '12345678901234567890.6' }],
  [{ BOOL: false }, { BOOL: true }],
  [{ NULL: true }, { BOOL: false }],
  [{ B: Uint8Array.of(0, 255) }, { B: Uint8Array.of(0, 254) }],
  [{ SS: ['b', 'a'] }, { SS: ['a', 'c'] }],
  [{ NS: ['2', '1'] }, { NS: ['1'] }],
  [{ BS: [Uint8Array.of(2), Uint8Array.of(1)] }, { BS: [Uint8Array.of(2)] }]
]

export function expecting (promise: Promised): void {
  promise('a save may require a stored value or its absence, of keys that it changes and of others', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const save = async (expected: Array<[string, StoredValue | undefined]>) =>
      await repository.save(record.key, aChange(record, { set: new Map([['user', text('bob')]]), expected: new Map(expected) }))
    for (const other of [
      [['user', text('eve')]], [['user', undefined]], [['new', text('ann')]], [['cart', text(['pear'])]],
      [['user', text('ann')], ['cart', undefined]], [['user', undefined], ['cart', text(['apple'])]]
    ] as Array<Array<[string, StoredValue | undefined]>>) deepEqual(facts(refused(await save(other))), facts(record))
    deepEqual(facts(await repository.load(record.key, true)), facts(record))
    equal(doneVersion(await save([['user', text('ann')], ['cart', text(['apple'])], ['new', undefined]])), 2)
    deepEqual((await repository.load(record.key, true))?.data.get('user'), text('bob'))
  })

  promise('a required text, number, truth, bytes or set is found to be the stored one, and another is not', async repository => {
    const record = aRecord({ format: 'native', data: new Map(SIMPLE.map(([value], index) => [String(index), value])) })
    await repository.create(record, NOW)
    const stored = await repository.load(record.key, true)
    for (const [index, [value, other]] of SIMPLE.entries()) {
      const [key, title] = [String(index), JSON.stringify(value)]
      equal((await repository.save(record.key, aChange(record, { expected: new Map([[key, other]]) }))).done, false, title)
      const asRead = new Map([[key, stored?.data.get(key)]])
      equal((await repository.save(record.key, aChange(record, { set: new Map([[key, other]]), expected: asRead }))).done, true, title)
    }
    equal((await repository.load(record.key, true))?.version, 1 + SIMPLE.length)
  })

  promise('of many saves that require the same value one is done', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const expected = new Map([['user', text('ann')]])
    const answers = await Promise.all(Array.from({ length: 10 }, async (_, index) =>
      await repository.save(record.key, aChange(record, { set: new Map([['user', text(index)]]), expected }))))
    equal(answers.filter(({ done }) => done).length, 1)
    equal((await repository.load(record.key, true))?.version, 2)
  })

  promise('a key that must not be there makes no record, and a required value none of more keys than an expression holds', async repository => {
    const missing = aRecord()
    deepEqual(await repository.save(missing.key, aChange(missing, { set: new Map([['a', text(1)]]), expected: new Map([['a', undefined]]) })),
      { done: false, record: null })
    equal(await repository.load(missing.key, true), null)
    const record = aRecord()
    await repository.create(record, NOW)
    const set = new Map(Array.from({ length: 300 }, (_, index) => [`key ${index}`, text(index)] as const))
    equal((await repository.save(record.key, aChange(record, { set, expected: new Map([['user', text('eve')]]) }))).done, false)
    equal((await repository.save(record.key, aChange(record, { set, expected: new Map([['user', text('ann')]]) }))).done, true)
  })
  sameVersion(promise)
}

function sameVersion (promise: Promised): void {
  promise('a save may require the version that it was made on, and is refused where anything was written since', async repository => {
    const record = aRecord()
    await repository.create(record, NOW)
    const change = aChange(record, { set: new Map([['a', text(1)]]), sameVersion: true })
    equal(doneVersion(await repository.save(record.key, change)), 2)
    const refusal = refused(await repository.save(record.key, { ...change, set: new Map([['b', text(1)]]) }))
    deepEqual([refusal?.version, refusal?.data.has('b')], [2, false])
    equal(doneVersion(await repository.save(record.key, { ...change, sameVersion: false })), 3)
    equal(await repository.touch(record.key, aRenewal(record, NOW + 200), NOW), true)
    equal((await repository.save(record.key, { ...change, base: { ...record, version: 3 } })).done, true, 'other instants are no other version')
  })
}
