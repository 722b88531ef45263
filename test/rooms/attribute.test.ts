import t from 'tap'
import { fromAttributeText, toAttributeText } from '../../lib/attribute.js'
import { nativeFormat } from '../../lib/native.js'
import type { StoredValue } from '../../types/repository.js'

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)

t.test('every kind of attribute goes to text and comes back the same', async t => {
  const attributes: StoredValue[] = [
    { S: 'text "quoted" é 🛒' }, { S: '' }, { N: '12345678901234567890123456789012345678' }, { N: '-0.00000010' }, { BOOL: false }, { NULL: true },
    { B: bytes() }, { B: bytes(0, 1, 254, 255) }, { SS: ['b', 'a'] }, { NS: ['1', '2.50'] }, { BS: [bytes(), bytes(255, 0)] },
    { L: [] }, { L: [{ N: '1' }, { L: [{ B: bytes(9) }] }, { NULL: true }] },
    { M: {} }, { M: { a: { S: 'x' }, b: { M: { c: { BS: [bytes(1), bytes(2)] }, d: { L: [{ M: { e: { B: bytes(3) } } }] } } } } }
  ]
  for (const attribute of attributes) t.strictSame(fromAttributeText(toAttributeText(attribute)), attribute, toAttributeText(attribute))
})

t.test('members that are named as kinds are members, and names that plain objects lose are kept', async t => {
  const members = JSON.parse('{ "B": { "S": "x" }, "BS": { "N": "1" }, "M": { "M": {} }, "L": { "L": [] }, "__proto__": { "S": "y" }, "constructor": { "NULL": true } }')
  const text = toAttributeText({ M: members })
  const back = fromAttributeText(text).M as Record<string, StoredValue>
  t.strictSame(Object.entries(back), Object.entries(members))
  t.equal(Object.getPrototypeOf(back), Object.prototype)
})

t.test('the text is DynamoDB\'s own JSON, with bytes as base64', async t => {
  t.equal(toAttributeText({ M: { b: { B: bytes(251, 255) }, s: { BS: [bytes(1)] }, n: { N: '1.0' } } }), '{"M":{"b":{"B":"+/8="},"s":{"BS":["AQ=="]},"n":{"N":"1.0"}}}')
})

t.test('bytes of every kind are bytes, at the top and below', async t => {
  for (const given of [Buffer.from([1, 2]), bytes(0, 1, 2, 3).subarray(1, 3)]) {
    for (const [attribute, expected] of [
      [{ B: given }, { B: bytes(1, 2) }], [{ BS: [given] }, { BS: [bytes(1, 2)] }], [{ L: [{ B: given }] }, { L: [{ B: bytes(1, 2) }] }]
    ] as const) t.strictSame(fromAttributeText(toAttributeText(attribute as StoredValue)), expected, given.constructor.name)
  }
})

t.test('bytes that come back are nobody else\'s', async t => {
  const stored = fromAttributeText(toAttributeText({ L: [{ B: bytes(1, 2, 3) }] }))
  const [{ B: own } = { B: bytes() }] = stored.L as [{ B: Uint8Array }]
  t.equal(own.buffer.byteLength, 3, 'not a window on shared memory')
  t.equal(own.constructor, Uint8Array)
})

t.test('what the native format makes comes back for it', async t => {
  const value = { list: [1, null, true, 'x', [bytes(1)]], tags: new Set(['a', 'b']), sums: new Set([1, 2]), keys: new Set([bytes(1), bytes(2)]), big: 2n ** 80n, empty: {} }
  t.strictSame(nativeFormat.decode(fromAttributeText(toAttributeText(nativeFormat.encode(value)))), value)
})

t.test('text that is no attribute is refused', async t => {
  for (const text of ['', 'x', '{', 'null', '1', '"S"', '{"L":[null]}', '{"L":["x"]}', '{"L":1}', '{"M":{"a":1}}', '{"M":null}', '{"M":"xy"}', '{"BS":"x"}']) {
    t.throws(() => fromAttributeText(text), text)
  }
})
