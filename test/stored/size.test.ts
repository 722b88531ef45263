import { DynamoDBClient, PutItemCommand, type AttributeValue } from '@aws-sdk/client-dynamodb'
import t from 'tap'
import { assertFits, LARGEST_ITEM, sizeOfItem, sizeOfValue } from '../../lib/size.js'
import { clientConfig, createTable, onEachEngine } from '../support/engines.js'

const NUMBERS = [
  '0', '1', '-1', '9', '10', '12', '99', '100', '101', '123', '1234', '12345', '123456', '-12', '-123', '1.5', '-1.5', '12.5', '123.4',
  '123.45', '1234.5', '-123.4', '10.01', '0.1', '-0.5', '0.12', '0.012', '0.123', '0.0123', '0.001', '1.50', '007', '1e10', '1E11', '1.5e11',
  '12e-7', '1.5e-7', '1e-130', '1000000', '1767323045', '1767323045.123', '0.30000000000000004', '-0.30000000000000004',
  '9007199254740991', '-9007199254740991', '12345678901234567890123456789012345678', '-99999999999999999999999999999999999999',
  '1.2345678901234567890123456789012345678'
]

const VALUES: Readonly<Record<string, AttributeValue>> = {
  'a text': { S: 'abc' },
  'an empty text': { S: '' },
  null: { NULL: true },
  'a boolean': { BOOL: false },
  bytes: { B: new Uint8Array(7) },
  'no bytes': { B: new Uint8Array(0) },
  'an empty list': { L: [] },
  'an empty map': { M: {} },
  'a list': { L: [{ S: 'a' }, { N: '12' }, { NULL: true }, { BOOL: true }] },
  'a map': { M: { ab: { S: 'x' }, c: { N: '1' } } },
  'maps and lists in each other': { M: { a: { L: [{ M: { b: { L: [] } } }, { L: [{ M: {} }] }] } } },
  'a set of texts': { SS: ['a', 'bcd', ''] },
  'a set of numbers': { NS: ['1', '-22', '1.5', '123.4'] },
  'a set of bytes': { BS: [new Uint8Array(1), new Uint8Array(9)] },
  ...Object.fromEntries(NUMBERS.map(text => [`the number ${text}`, { N: text }]))
}

const BEYOND_ASCII: Readonly<Record<string, AttributeValue>> = {
  'letters of two bytes': { S: 'éß' },
  'letters of four bytes': { S: '😀😀' },
  'member names beyond ASCII': { M: { é: { N: '1' }, '😀': { S: '' } } },
  'a set of such letters': { SS: ['é', '😀'] }
}

onEachEngine(t, async (t, engine) => {
  const TableName = await createTable(engine)
  const client = new DynamoDBClient({ ...clientConfig(engine.endpoint), maxAttempts: 1 })
  t.teardown(() => client.destroy())

  /** An item of exactly so many bytes by our count, with this value in it. */
  function itemOf (value: AttributeValue, bytes: number): Record<string, AttributeValue> {
    const item = { id: { S: 'a' }, v: value, data: { M: { k: value } }, pad: { S: '' } }
    return { ...item, pad: { S: 'x'.repeat(bytes - sizeOfItem(item)) } }
  }
  const put = async (Item: Record<string, AttributeValue>): Promise<unknown> => await client.send(new PutItemCommand({ TableName, Item }))

  for (const [name, value] of Object.entries(VALUES)) {
    await t.test(`with ${name}, 409600 bytes are stored and one more is refused`, async t => {
      t.equal(sizeOfItem(itemOf(value, LARGEST_ITEM)), 409_600)
      await t.resolves(put(itemOf(value, LARGEST_ITEM)))
      await t.rejects(put(itemOf(value, LARGEST_ITEM + 1)), { name: 'ValidationException', message: /size/i })
    })
  }

  for (const [name, value] of Object.entries(BEYOND_ASCII)) {
    await t.test(`with ${name}, our count is never less than the engine's`, async t => {
      await t.resolves(put(itemOf(value, LARGEST_ITEM)))
      // dynalite counts such letters as less than they are.
      if (engine.name === 'DynamoDB Local') await t.rejects(put(itemOf(value, LARGEST_ITEM + 1)), { name: 'ValidationException', message: /size/i })
    })
  }
})

t.test('the size of an item counts its names', async t => {
  t.equal(sizeOfItem({}), 0)
  t.equal(sizeOfItem({ id: { S: 'abc' }, é: { NULL: true } }), 2 + 3 + 2 + 1)
})

t.test('lists and maps cost 3 bytes, and 1 for each element', async t => {
  t.equal(sizeOfValue({ L: [] }), 3)
  t.equal(sizeOfValue({ L: [{ BOOL: true }, { NULL: true }] }), 3 + 2 + 2)
  t.equal(sizeOfValue({ M: { ab: { S: 'x' } } }), 3 + 1 + 2 + 1)
})

t.test('a number costs a byte for two digits, counted from the decimal point, and one for its sign', async t => {
  const sizes = { 0: 1, '-0': 1, '0.000': 1, 1: 2, 12: 2, 123: 3, 1.2: 3, 0.12: 2, 0.012: 3, '-12': 3, '+12': 2, 1e10: 2, '12e-1': 3, 1767323045: 6 }
  t.same(Object.fromEntries(Object.keys(sizes).map(text => [text, sizeOfValue({ N: text })])), sizes)
})

t.test('what is no number has a size all the same', async t => {
  t.equal(sizeOfValue({ N: 'x' }), 1)
})

t.test('an item at the limit fits', async t => {
  t.doesNotThrow(() => assertFits({ a: { S: 'xyz' } }, new Map(), 4))
})

t.test('an item beyond the limit is refused, and its three largest keys are named', async t => {
  const data = new Map<string, AttributeValue>([['small', { S: 'x' }], ['cart', { S: 'x'.repeat(50) }], ['one', { BOOL: true }], ['notes', { B: new Uint8Array(70) }], ['list', { L: [] }]])
  const item = { data: { M: Object.fromEntries(data) } }
  const error = t.throws(() => assertFits(item, data, 100)) as Error
  t.match(error, {
    code: 'FST_DYNAMODB_SESSION_TOO_LARGE',
    statusCode: 413,
    message: `The session would take ${sizeOfItem(item)} bytes and may take 100. Largest keys: "notes" (70), "cart" (50), "list" (3). Keep the bulk elsewhere and its key here.`
  })
})
