import t from 'tap'
import { createFormats } from '../../lib/codec.js'
import { createEnvelope } from '../../lib/envelope.js'
import { Form } from '../../lib/form.js'
import { createIndexing, toIndexKey } from '../../lib/indexing.js'
import { Sealer } from '../../lib/seal.js'
import { changedRecord } from '../../lib/plan.js'
import type { SessionRecord, StoredValue } from '../../types/repository.js'
import { PLAIN } from '../support/forms.js'

const SEALED = createEnvelope({ sealer: new Sealer([new Uint8Array(32).fill(1)], ''), compress: false, acceptPlainUntil: 0, now: Date.now })
const settings = { formats: createFormats('json'), envelope: PLAIN }
const indexing = createIndexing(['user', 'age'], settings)

function record (data: Record<string, StoredValue>, index?: Record<string, StoredValue>, format?: string): SessionRecord {
  const found = index === undefined ? {} : { index: new Map(Object.entries(index)) }
  return { key: 'KEY', data: new Map(Object.entries(data)), version: 1, createdAt: 1, lastSeenAt: 1, expiresAt: 9, format, ...found }
}

function changes (base: SessionRecord, set: Record<string, StoredValue> = {}, deleted: string[] = [], of = indexing) {
  return of.changesOf({ base, set: new Map(Object.entries(set)), delete: deleted })
}

const text = (value: unknown): StoredValue => ({ S: JSON.stringify(value) })

t.test('texts, numbers and bytes are index keys', async t => {
  t.strictSame(toIndexKey('u-1'), { S: 'u-1' })
  t.strictSame(toIndexKey(-0), { N: '0' })
  t.strictSame(toIndexKey(-1.5), { N: '-1.5' })
  t.strictSame(toIndexKey(1e100), { N: '1e+100' })
  t.strictSame(toIndexKey(10n ** 38n - 1n), { N: '9'.repeat(38) })
  t.strictSame(toIndexKey(Uint8Array.of(1)), { B: Uint8Array.of(1) })
  t.strictSame(toIndexKey('ß'.repeat(1024)), { S: 'ß'.repeat(1024) })
})

t.test('what DynamoDB takes for no index key is none', async t => {
  const others = [
    undefined, null, true, false, {}, [], ['u-1'], new Set(['u-1']), new Date(0), () => 'u-1',
    '', 'x'.repeat(2049), 'ß'.repeat(1025), '\ud800', new Uint8Array(0), new Uint8Array(2049),
    Number.NaN, Infinity, 1e126, -1e300, 1e-131, 10n ** 38n, -(10n ** 38n)
  ]
  for (const value of others) t.equal(toIndexKey(value), undefined, String(value).slice(0, 20))
})

t.test('the attributes of a record follow from its values, in its own format and out of their envelopes', async t => {
  t.strictSame(indexing.attributesOf(record({ user: text('u-1'), age: text(41), other: text('x') })), { user: { S: 'u-1' }, age: { N: '41' } })
  t.strictSame(indexing.attributesOf(record({ user: { S: 'u-1' } }, undefined, 'native')), { user: { S: 'u-1' } })
  const sealing = { ...settings, envelope: SEALED }
  const data = { user: Form.of({ key: 'KEY', format: undefined }, sealing).wrap('user', text('u-1')) }
  t.strictSame(createIndexing(['user'], sealing).attributesOf(record(data)), { user: { S: 'u-1' } })
})

t.test('a value that cannot be read has no attribute, and is no failure of the others', async t => {
  t.strictSame(indexing.attributesOf(record({ user: { S: '{' }, age: text(41) })), { age: { N: '41' } })
  t.strictSame(indexing.attributesOf(record({ user: text('u-1') }, undefined, 'unknown')), {})
  t.strictSame(changes(record({}, {}), { user: { S: '{' } }), [{ name: 'user', value: undefined }])
})

t.test('a save writes the attributes of the keys that it changes, and no others', async t => {
  t.strictSame(changes(record({ user: text('u-1') }, { user: { S: 'u-1' } }), { other: text(1) }), [])
  t.strictSame(changes(record({}, {}), { user: text('u-2') }), [{ name: 'user', value: { S: 'u-2' } }])
  t.strictSame(changes(record({ user: text('u-1') }, { user: { S: 'u-1' } }), {}, ['user']), [{ name: 'user', value: undefined }])
  t.strictSame(changes(record({}, {}), { user: text({ name: 'Ann' }) }), [{ name: 'user', value: undefined }])
})

t.test('an attribute that was not in step when it was read is put right, on condition of the value it follows from', async t => {
  const stored = text('u-1')
  t.strictSame(changes(record({ user: stored }, {})), [{ name: 'user', value: { S: 'u-1' }, from: { stored } }])
  t.strictSame(changes(record({ user: stored }, { user: { S: 'u-2' } })), [{ name: 'user', value: { S: 'u-1' }, from: { stored } }])
  t.strictSame(changes(record({ user: stored }, { user: { N: '1' } })), [{ name: 'user', value: { S: 'u-1' }, from: { stored } }])
  t.strictSame(changes(record({}, { user: { S: 'u-2' } })), [{ name: 'user', value: undefined, from: { stored: undefined } }])
  t.strictSame(changes(record({ user: text([]) }, { user: { S: 'u-2' } })), [{ name: 'user', value: undefined, from: { stored: text([]) } }])
})

t.test('it is left where nobody knows what it is to be: of a record that was not just read, and of values that cannot be read or compared', async t => {
  t.strictSame(changes(record({ user: text('u-1') })), [])
  t.strictSame(changes(record({ user: { S: '{' } }, { user: { S: 'u-1' } })), [])
  t.strictSame(changes(record({ user: { L: [] } }, { user: { S: 'u-1' } }, 'native')), [])
  t.strictSame(changes(record({ user: { M: {} } }, { user: { S: 'u-1' } }, 'native')), [])
})

t.test('numbers and bytes are in step as DynamoDB gives them back', async t => {
  const native = createIndexing(['user', 'age'], { formats: createFormats('native'), envelope: PLAIN })
  for (const [value, given] of [[41.5, '41.50'], [1e21, '1000000000000000000000'], [1.5e-7, '0.00000015'], [0, '0']] as const) {
    t.strictSame(changes(record({ age: text(value) }, { age: { N: given } })), [], given)
  }
  const [big, next] = ['12345678901234567890', '12345678901234567891']
  t.strictSame(changes(record({ age: { N: big } }, { age: { N: big } }, 'native'), {}, [], native), [])
  t.strictSame(changes(record({ age: { N: big } }, { age: { N: next } }, 'native'), {}, [], native).length, 1, 'as doubles they are the same')
  t.strictSame(changes(record({ user: { B: Uint8Array.of(1) } }, { user: { B: Buffer.from([1]) } }, 'native'), {}, [], native), [])
  t.strictSame(changes(record({ user: { B: Uint8Array.of(1) } }, { user: { B: Uint8Array.of(2) } }, 'native'), {}, [], native).length, 1)
})

t.test('what was read is not known any more after a save, so the next one does not go by it', async t => {
  const base = record({ user: text('u-1') }, {})
  const saved = changedRecord({ set: new Map([['user', text('u-2')]]), delete: [], settings: {}, renewal: undefined, base, now: 2 }, 2)
  t.notOk('index' in saved)
  t.strictSame(changes(saved), [])
})

t.test('a write without attributes takes away those of the keys that it changes', async t => {
  const { withoutValues } = indexing
  t.strictSame(withoutValues.names, indexing.names)
  t.strictSame(withoutValues.attributesOf(record({ user: text('u-1') })), {})
  t.strictSame(changes(record({ age: text(41) }, {}), { user: text('u-1') }, [], withoutValues), [{ name: 'user', value: undefined }])
  t.equal(withoutValues.withoutValues, withoutValues)
})
