import t from 'tap'
import { createFormats } from '../../lib/codec.js'
import { createEnvelope } from '../../lib/envelope.js'
import { Form } from '../../lib/form.js'
import { jsonFormat } from '../../lib/json.js'
import { nativeFormat } from '../../lib/native.js'
import { Sealer } from '../../lib/seal.js'
import type { StoredValue } from '../../types/repository.js'

const sealer = new Sealer([new Uint8Array(32).fill(1)], '')
const envelope = createEnvelope({ sealer, compress: false, acceptPlainUntil: 0, now: Date.now })
const settings = { formats: createFormats('native'), envelope }

t.test('the form of a record is its own format, not the preferred one', async t => {
  t.equal(Form.of({ key: 'a', format: undefined }, settings).format, jsonFormat)
  t.equal(Form.of({ key: 'a', format: 'native' }, settings).format, nativeFormat)
  t.equal(Form.unstored(settings).format, nativeFormat)
})

t.test('a value is encoded, wrapped, and read back', async t => {
  const form = Form.of({ key: 'a', format: undefined }, settings)
  const encoded = form.encode('cart', ['apple'])
  t.strictSame(encoded, { S: '["apple"]' })
  const stored = form.wrap('cart', encoded)
  t.ok(stored.B instanceof Uint8Array)
  t.strictSame(form.unwrap('cart', stored), encoded)
  t.strictSame(form.decode(encoded), ['apple'])
  t.strictSame(form.read('cart', stored), ['apple'])
})

t.test('what is wrapped is bound to the record, its format and the key', async t => {
  const form = Form.of({ key: 'a', format: undefined }, settings)
  const stored = form.wrap('cart', { S: '1' })
  t.throws(() => form.read('other', stored), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  t.throws(() => Form.of({ key: 'b', format: undefined }, settings).read('cart', stored), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  t.throws(() => Form.of({ key: 'a', format: 'native' }, settings).read('cart', stored), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
})

t.test('values that are stored nowhere are bound to no record', async t => {
  const stored = Form.unstored(settings).wrap('cart', { S: '1' })
  t.throws(() => Form.of({ key: 'a', format: undefined }, settings).read('cart', stored), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
})

t.test('many are wrapped each for its key, and what was handed in stays', async t => {
  const form = Form.of({ key: 'a', format: undefined }, settings)
  const encoded = new Map<string, StoredValue>([['x', { S: '1' }], ['__proto__', { S: '2' }]])
  const wrapped = form.wrapAll(encoded)
  t.same([...wrapped.keys()], ['x', '__proto__'])
  t.same([...wrapped].map(([name, stored]) => form.read(name, stored)), [1, 2])
  t.strictSame([...encoded.values()], [{ S: '1' }, { S: '2' }])
})

t.test('a value that its format refuses is named, and one that it cannot read is typed', async t => {
  const form = Form.of({ key: 'a', format: undefined }, settings)
  t.throws(() => form.encode('cart', 1n), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE', message: /"cart"/ })
  t.throws(() => form.decode({ S: '{' }), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  const unknown = Form.of({ key: 'a', format: 'msgpack' }, settings)
  t.throws(() => unknown.read('cart', unknown.wrap('cart', { S: '1' })), { code: 'FST_DYNAMODB_SESSION_UNREADABLE', message: /format that is not configured/ })
})
