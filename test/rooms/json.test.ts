import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createFormats, encodeValue } from '../../lib/codec.js'
import { jsonFormat } from '../../lib/json.js'

const roundTrip = (value: unknown): unknown => jsonFormat.decode(jsonFormat.encode(value))

/** Lists within each other, so many. */
function lists (depth: number): unknown {
  let value: unknown = []
  for (let level = 1; level < depth; level++) value = [value]
  return value
}

t.test('what JSON can say comes back as it was', async t => {
  const values = [
    '', 'text', 'é😀\0\u2028', 'half a pair \ud800', 0, 1.5, -1e-7, Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 53, true, false, null, [], {},
    { a: [{ b: null }, [[]], 'x'], 'a b': { c: { d: [1, 2] } } }, { '': 'empty name' }
  ]
  for (const value of values) t.strictSame(roundTrip(value), value)
})

t.test('a value is stored as JSON text, which needs no name', async t => {
  t.same(jsonFormat.encode({ a: [1, 'x'] }), { S: '{"a":[1,"x"]}' })
  t.equal(jsonFormat.name, undefined)
})

t.test('a member that is undefined is left out, as everywhere in JSON', async t => {
  t.same(jsonFormat.encode({ a: undefined, b: 1 }), { S: '{"b":1}' })
})

class Cart { items = 1 }
const cycle: Record<string, unknown> = {}
cycle['self'] = { again: [cycle] }
const ring: unknown[] = []
ring.push(ring)

const REFUSED: ReadonlyArray<readonly [string, unknown, string]> = [
  ['a function', () => 1, 'it holds a function; store plain data'],
  ['a symbol', Symbol('s'), 'it holds a symbol; store plain data'],
  ['a bigint', 1n, 'it holds a bigint; store a text, or use format "native"'],
  ['NaN', Number.NaN, 'it holds a number that is not finite; store null or a text'],
  ['Infinity', Number.POSITIVE_INFINITY, 'it holds a number that is not finite; store null or a text'],
  ['minus Infinity', Number.NEGATIVE_INFINITY, 'it holds a number that is not finite; store null or a text'],
  ['an object in itself', cycle, 'it holds a reference to itself; store its parts'],
  ['an array in itself', ring, 'it holds a reference to itself; store its parts'],
  ['a Map', new Map([['a', 1]]), 'it holds an instance of Map; store plain data, or use another format'],
  ['a Set', new Set([1]), 'it holds an instance of Set; store plain data, or use another format'],
  ['a Date', new Date(0), 'it holds an instance of Date; store plain data, or use another format'],
  ['a Uint8Array', new Uint8Array(2), 'it holds an instance of Uint8Array; store plain data, or use another format'],
  ['a Buffer', Buffer.from('x'), 'it holds an instance of Buffer; store plain data, or use another format'],
  ['an instance of a class', new Cart(), 'it holds an instance of Cart; store plain data, or use another format'],
  ['an instance of an unnamed class', new (class {})(), 'it holds an instance of an unnamed class; store plain data, or use another format'],
  ['an error', new Error('x'), 'it holds an instance of Error; store plain data, or use another format'],
  ['undefined in an array', [undefined], 'it holds undefined in an array; store null'],
  ['a hole in an array', new Array(1), 'it holds undefined in an array; store null'],
  ['an own toJSON that would be called', { toJSON: () => 'other' }, 'it holds a function; store plain data']
]

for (const [name, value, message] of REFUSED) {
  t.test(`${name} is refused, also deep inside`, async t => {
    for (const holder of [value, [value], { a: { b: [1, { c: value }] } }, [[['x', value]]]]) {
      t.throws(() => jsonFormat.encode(holder), new TypeError(message))
    }
  })
}

t.test('a Date of another realm is refused, a plain object of another realm is not', async t => {
  t.throws(() => jsonFormat.encode(runInNewContext('new Date(0)')), { message: /an instance of Date/ })
  t.same(roundTrip(runInNewContext('({ a: [1] })')), { a: [1] })
})

t.test('one object in two places is no cycle', async t => {
  const shared = { name: 'shared' }
  t.same(roundTrip([shared, shared, { a: shared, b: [shared] }]), [shared, shared, { a: shared, b: [shared] }])
})

t.test('500 levels are stored, one more is a typed refusal, and so are far more', async t => {
  const { preferred } = createFormats('json')
  t.strictSame(roundTrip(lists(500)), lists(500))
  for (const depth of [501, 5000, 200_000]) {
    t.throws(() => encodeValue(preferred, 'tree', lists(depth)), {
      code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE',
      message: 'The value of session key "tree" cannot be stored: it holds more than 500 levels; store it flatter.'
    }, `${depth} levels`)
  }
})

t.test('own members named __proto__, constructor and toJSON are data', async t => {
  const value = JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":1},"toJSON":"text","hasOwnProperty":0}') as Record<string, unknown>
  const back = roundTrip(value) as Record<string, unknown>
  t.same(Object.keys(back), ['__proto__', 'constructor', 'toJSON', 'hasOwnProperty'])
  t.same(Object.entries(back), Object.entries(value))
  t.equal(back['admin'], undefined)
  t.equal(Object.getPrototypeOf(back), Object.prototype)
})

t.test('what is not JSON text is not read', async t => {
  t.throws(() => jsonFormat.decode({ N: '1' }), new TypeError('not text'))
  t.throws(() => jsonFormat.decode({ S: '{' }), { name: 'SyntaxError' })
})

t.test('a hidden toJSON and members named by symbols, which JSON would obey or lose, are refused', async t => {
  const obeyed = Object.defineProperty({ a: 1 }, 'toJSON', { value: () => 'other', enumerable: false })
  t.throws(() => jsonFormat.encode(obeyed), { message: /^it holds a function/ })
  t.throws(() => jsonFormat.encode({ a: { [Symbol('s')]: 1 } }), { message: /^it holds a member with a symbol for its name/ })
})
