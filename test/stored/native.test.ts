import { DynamoDBClient, GetItemCommand, PutItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { createFormats, encodeValue } from '../../lib/codec.js'
import { nativeFormat } from '../../lib/native.js'
import type { StoredValue } from '../../types/repository.js'
import { clientConfig, createTable, onEachEngine, type Engine } from '../support/engines.js'

const { encode, decode } = nativeFormat

const RICH = {
  text: 'é😀\0',
  empty: '',
  numbers: [0, 1.5, -1e-7, 1e-130, 0.1 + 0.2, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 1767323045.123],
  bigIntegers: [2n ** 53n, -(2n ** 53n), 10n ** 37n, 10n ** 38n - 1n, -(10n ** 38n) + 1n],
  bytes: new Uint8Array([0, 1, 254, 255]),
  noBytes: new Uint8Array(0),
  texts: new Set(['a', '', 'é']),
  numberSet: new Set([1, -2.5, 1e-7]),
  mixedNumbers: new Set<number | bigint>([1, 2n ** 60n]),
  byteSet: new Set([new Uint8Array([1]), new Uint8Array([1, 2])]),
  flags: [true, false, null],
  lists: [[], [[]], {}],
  map: { a: { 'b.c': { '#d': [1, { e: 'x' }] } } }
}

/** Members that belong to every object, as own members. */
const OWN = JSON.parse(`{
  "__proto__": { "admin": true }, "___proto__": 1, "____proto__": 2, "constructor": { "name": "Set", "__proto__": "inner" },
  "toJSON": "text", "hasOwnProperty": 0, "prototype": [{ "__proto__": null, "constructor": "Map" }]
}`) as Record<string, unknown>

/** Lists, or maps, within each other, so many, around a value. */
function wrap (value: unknown, depth: number, kind: 'lists' | 'maps'): unknown {
  let wrapped = value
  for (let level = 0; level < depth; level++) wrapped = kind === 'lists' ? [wrapped] : { a: wrapped }
  return wrapped
}

function storedLists (value: StoredValue, depth: number): StoredValue {
  let wrapped = value
  for (let level = 0; level < depth; level++) wrapped = { L: [wrapped] }
  return wrapped
}

/** Stores values where a session's values are stored, in both ways in which they get there. */
async function openTable (t: Test, engine: Engine) {
  const table = await createTable(engine)
  const client = new DynamoDBClient({ ...clientConfig(engine.endpoint), maxAttempts: 1 })
  t.teardown(() => client.destroy())
  const key = { id: { S: 'a' } }
  const put = async (data: Record<string, StoredValue>): Promise<void> => {
    await client.send(new PutItemCommand({ TableName: table, Item: { ...key, data: { M: data } } }))
  }
  const read = async (): Promise<StoredValue | undefined> => {
    const { Item } = await client.send(new GetItemCommand({ TableName: table, Key: key, ConsistentRead: true }))
    return Item?.['data']?.M?.['value']
  }
  return {
    create: async (value: StoredValue) => { await put({ value }); return await read() },
    save: async (value: StoredValue) => {
      await put({})
      await client.send(new UpdateItemCommand({
        TableName: table,
        Key: key,
        UpdateExpression: 'SET #data.#key=:value',
        ExpressionAttributeNames: { '#data': 'data', '#key': 'value' },
        ExpressionAttributeValues: { ':value': value }
      }))
      return await read()
    }
  }
}

onEachEngine(t, async (t, engine) => {
  const table = await openTable(t, engine)
  const ways = [table.create, table.save]

  await t.test('bytes, sets, big integers and everything nested come back as they were', async t => {
    for (const store of ways) {
      const back = decode(await store(encode(RICH)) as StoredValue) as typeof RICH
      t.strictSame({ ...back, byteSet: undefined, mixedNumbers: undefined }, { ...RICH, byteSet: undefined, mixedNumbers: undefined })
      t.same([...back.byteSet].map(String).sort(), ['1', '1,2'])
      t.ok(back.mixedNumbers.has(1) && back.mixedNumbers.has(2n ** 60n) && back.mixedNumbers.size === 2)
      t.ok(back.bytes instanceof Uint8Array)
    }
  })

  await t.test('members named __proto__ and constructor come back as members, at every level', async t => {
    for (const store of ways) {
      const back = decode(await store(encode(OWN)) as StoredValue) as Record<string, unknown>
      t.same(Object.keys(back).sort(), Object.keys(OWN).sort())
      t.equal(JSON.stringify(sorted(back)), JSON.stringify(sorted(OWN)))
      t.equal(back['admin'], undefined)
      t.equal(Object.getPrototypeOf(back), Object.prototype)
    }
  })

  await t.test('what is nested as deep as we allow is taken', async t => {
    for (const store of ways) {
      for (const deepest of ['text', 1, null, new Set(['a']), new Uint8Array(1), [], {}]) {
        // An empty list or map is a level itself.
        const depth = typeof deepest === 'object' && deepest !== null && encode(deepest).B === undefined && encode(deepest).SS === undefined ? 29 : 30
        for (const kind of ['lists', 'maps'] as const) {
          const value = wrap(deepest, depth, kind)
          t.strictSame(decode(await store(encode(value)) as StoredValue), value)
        }
      }
    }
  })

  if (engine.name === 'DynamoDB Local') {
    await t.test('one level more than we allow is refused by the engine too', async t => {
      for (const store of ways) {
        await t.rejects(store(storedLists({ S: 'text' }, 31)), { name: 'ValidationException', message: /Nesting Levels/ })
        await t.rejects(store(storedLists({ L: [] }, 30)), { name: 'ValidationException', message: /Nesting Levels/ })
      }
    })

    await t.test('an empty member name is refused by the engine too', async t => {
      for (const store of ways) {
        await t.rejects(store({ M: { '': { S: 'x' } } }), { name: 'ValidationException', message: /Empty attribute name/ })
      }
    })
  }
})

/** Members in one order, in a form that keeps __proto__ a member. */
function sorted (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([name, member]) => [name, sorted(member)])
}

t.test('values are stored with DynamoDB\'s own types', async t => {
  t.equal(nativeFormat.name, 'native')
  t.same(encode('x'), { S: 'x' })
  t.same(encode(1.5), { N: '1.5' })
  t.same(encode(-0), { N: '0' })
  t.same(encode(2n ** 60n), { N: '1152921504606846976' })
  t.same(encode(true), { BOOL: true })
  t.same(encode(null), { NULL: true })
  t.same(encode(Buffer.from([1])), { B: new Uint8Array([1]) })
  t.same(encode([1, 'x']), { L: [{ N: '1' }, { S: 'x' }] })
  t.same(encode(new Set(['a', 'b'])), { SS: ['a', 'b'] })
  t.same(encode(new Set([1, 2n ** 60n])), { NS: ['1', '1152921504606846976'] })
  t.same(encode(new Set([2n ** 60n, 1])), { NS: ['1152921504606846976', '1'] })
  t.same(encode(new Set([Buffer.from([1])])), { BS: [new Uint8Array([1])] })
})

t.test('a member that is undefined is left out', async t => {
  t.same(Object.keys(encode({ a: undefined, b: 1 }).M ?? {}), ['b'])
})

t.test('one object in two places is no fault', async t => {
  const shared = ['x']
  t.strictSame(decode(encode({ a: shared, b: [shared] })), { a: ['x'], b: [['x']] })
})

t.test('bytes are not shared with what is stored, so that a change in place is seen', async t => {
  const given = new Uint8Array([1])
  const stored = [encode(given), encode(new Set([given])), encode({ a: [given] })]
  given[0] = 2
  const before = [{ B: new Uint8Array([1]) }, { BS: [new Uint8Array([1])] }]
  t.strictSame(stored.slice(0, 2), before)
  t.strictSame(stored[2]?.M?.['a'], { L: [{ B: new Uint8Array([1]) }] })
  const [bytes, set] = stored.map(decode) as [Uint8Array, Set<Uint8Array>]
  bytes[0] = 3
  for (const member of set) member[0] = 3
  t.strictSame(stored.slice(0, 2), before)
})

class Cart {}
class Tags extends Set {}
const cycle: unknown[] = []
cycle.push(cycle)
const HALF = 'a\ud800'

const REFUSED: ReadonlyArray<readonly [string, unknown, string]> = [
  ['a function', () => 1, 'a function; store plain data'],
  ['a symbol', Symbol('s'), 'a symbol; store plain data'],
  ['a Map', new Map(), 'an instance of Map; store plain data'],
  ['a Date', new Date(0), 'an instance of Date; store plain data'],
  ['an instance of a class', new Cart(), 'an instance of Cart; store plain data'],
  ['an instance of a class of sets', new Tags([1]), 'an instance of Tags; store plain data'],
  ['an array of wider numbers', new Uint16Array(1), 'an instance of Uint16Array; store plain data'],
  ['undefined in an array', [undefined], 'undefined in an array; store null'],
  ['a hole in an array', new Array(1), 'undefined in an array; store null'],
  ['NaN', Number.NaN, 'a number that is not finite; store null or a text'],
  ['Infinity', Number.POSITIVE_INFINITY, 'a number that is not finite; store null or a text'],
  ['a number beyond the safe integers', 2 ** 53, 'a number beyond the safe integers; store a bigint or a text'],
  ['a negative number beyond the safe integers', -(2 ** 53), 'a number beyond the safe integers; store a bigint or a text'],
  ['a number too near to zero', 9e-131, 'a number nearer to zero than 1e-130; store a text'],
  ['a small bigint', 9007199254740991n, 'a bigint that would be read back as a number; store a number'],
  ['a small negative bigint', -1n, 'a bigint that would be read back as a number; store a number'],
  ['a bigint of 39 digits', 10n ** 38n, 'a bigint of more than 38 digits; store a text'],
  ['a negative bigint of 39 digits', -(10n ** 38n), 'a bigint of more than 38 digits; store a text'],
  ['text with half a surrogate pair', HALF, 'text with half a surrogate pair; use format "json"'],
  ['a member name with half a surrogate pair', { [HALF]: 1 }, 'a member name with half a surrogate pair; use format "json"'],
  ['an empty member name', { '': 1 }, 'an empty member name; give it a name'],
  ['a member name over 64 KB', { [`é${'n'.repeat(65_534)}`]: 1 }, 'a member name over 65535 bytes; give it a shorter name'],
  ['an empty set', new Set(), 'a set that is empty or not all of texts, of numbers or of bytes; store an array'],
  ['a set of texts and numbers', new Set(['1', 1]), 'a set that is empty or not all of texts, of numbers or of bytes; store an array'],
  ['a set of booleans', new Set([true]), 'a set that is empty or not all of texts, of numbers or of bytes; store an array'],
  ['a set of arrays', new Set([[1]]), 'an instance of Array; store plain data'],
  ['a set with half a surrogate pair', new Set([HALF]), 'text with half a surrogate pair; use format "json"'],
  ['a set with the same bytes twice', new Set([new Uint8Array([1]), new Uint8Array([1])]), 'a set with the same bytes twice; store an array'],
  ['an array in itself', cycle, 'more than 30 levels; store it flatter']
]

for (const [name, value, reason] of REFUSED) {
  t.test(`${name} is refused, also deep inside`, async t => {
    for (const holder of [value, [value], { a: { b: [1, { c: value }] } }]) {
      t.throws(() => encode(holder), new TypeError(`it holds ${reason}`))
    }
  })
}

t.test('names and numbers at the limits pass', async t => {
  const name = 'n'.repeat(65_535)
  t.strictSame(decode(encode({ [name]: 1 })), { [name]: 1 })
  t.strictSame(decode(encode([1e-130, -1e-130, 0])), [1e-130, -1e-130, 0])
})

t.test('one level too many is a typed refusal, and so are very many', async t => {
  const { preferred } = createFormats('native')
  for (const kind of ['lists', 'maps'] as const) {
    for (const value of [wrap('x', 31, kind), wrap([], 30, kind), wrap({}, 30, kind), wrap(1, 200_000, kind)]) {
      t.throws(() => encodeValue(preferred, 'tree', value), {
        code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE',
        message: 'The value of session key "tree" cannot be stored: it holds more than 30 levels; store it flatter.'
      })
    }
  }
})

t.test('a reason never holds the value', async t => {
  for (const value of [new Set([2n ** 60n, 'x']), new Set([1, 2 ** 60]), new Set([Symbol('1152921504606846976')]), [2 ** 60]]) {
    const error = t.throws(() => encode(value)) as Error
    t.notMatch(error.message, '1152921504606846976')
  }
})

t.test('what DynamoDB may hold and no value is, is not read', async t => {
  t.throws(() => decode({ N: '1e200' }))
  t.throws(() => decode({} as StoredValue))
})
