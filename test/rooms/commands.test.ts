import { DynamoDBClient, GetItemCommand, PutItemCommand, UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb'
import t from 'tap'
import {
  createCommand, destroyCommand, MOST_NAMED_KEYS, readCommand, replaceCommand, saveCommand, touchCommand
} from '../../lib/commands.js'
import { createFormats } from '../../lib/codec.js'
import { createIndexing } from '../../lib/indexing.js'
import { fromItem, mergedData, toItem, type Layout } from '../../lib/item.js'
import type { RecordChange, Renewal, SessionRecord, StoredValue } from '../../types/repository.js'
import { PLAIN } from '../support/forms.js'
import { clientConfig, createTable, onEachEngine } from '../support/engines.js'

const LAYOUT: Layout = { table: 'sessions', partitionKey: { name: 'id', type: 'S' }, keyPrefix: 'shop#', ttlAttribute: 'expires' }
const NOW = 2000.75
const TOKEN = 'AbCd-_01'

const BASE: SessionRecord = {
  key: 'KEY', data: new Map([['a', { S: '1' }], ['b', { S: '2' }]]), version: 7, createdAt: 1000, lastSeenAt: 1500, expiresAt: 8700, writes: new Map()
}
const NO_CHANGE: RecordChange = { set: new Map(), delete: [], settings: {}, renewal: undefined, base: BASE, now: NOW }
const RENEWAL: Renewal = { lastSeenAt: 2000, expiresAt: 9200, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false }
/** All that a save and a touch ask of a record that is alive. */
const ALIVE = 'attribute_type(data,"M") AND attribute_type(ver,"N") AND attribute_type(created,"N") AND attribute_type(seen,"N") ' +
  'AND attribute_not_exists(next) AND expires>2000'

function values (count: number, first = 0): Map<string, StoredValue> {
  return new Map(Array.from({ length: count }, (_, index) => [`key ${first + index}`, { S: String(first + index) }]))
}

/** The longest form of a change: everything that a save can carry beside its keys, with more old write tokens than fit. */
function loaded (change: Partial<RecordChange>): RecordChange {
  return {
    ...NO_CHANGE,
    settings: { idleTimeout: 600, absoluteTimeout: false, cookieMaxAge: 86_400 },
    renewal: { ...RENEWAL, idleTimeout: 300, absoluteTimeout: 5000 },
    base: { ...BASE, idleTimeout: 300, absoluteTimeout: 5000, writes: new Map(Array.from({ length: 80 }, (_, index) => [`token${100 + index}`, 1000])) },
    ...change
  }
}

type Texts = Partial<Pick<UpdateItemCommandInput, 'UpdateExpression' | 'ConditionExpression' | 'ExpressionAttributeNames' | 'ExpressionAttributeValues'>>

/** An update with its placeholders filled in, to be read by people. */
function readable ({ UpdateExpression = '', ConditionExpression = '', ExpressionAttributeNames = {}, ExpressionAttributeValues = {} }: Texts) {
  const fill = (text: string): string => text
    .replace(/#n\d+/g, placeholder => String(ExpressionAttributeNames[placeholder]))
    .replace(/:v\d+/g, placeholder => {
      const value = ExpressionAttributeValues[placeholder]
      return value?.N ?? JSON.stringify(value?.S ?? value)
    })
  return { update: fill(UpdateExpression), condition: fill(ConditionExpression) }
}

t.test('a read is one GetItem of the whole item, consistent where asked', async t => {
  t.same(readCommand('KEY', false, LAYOUT), { TableName: 'sessions', Key: { id: { S: 'shop#KEY' } }, ConsistentRead: false, ReturnConsumedCapacity: 'TOTAL' })
  t.equal(readCommand('KEY', true, LAYOUT).ConsistentRead, true)
})

t.test('a creation puts the whole item on condition that there is none', async t => {
  t.same(createCommand(BASE, LAYOUT), {
    TableName: 'sessions',
    Item: toItem(BASE, LAYOUT),
    ConditionExpression: 'attribute_not_exists(#n0)',
    ExpressionAttributeNames: { '#n0': 'id' },
    ReturnConsumedCapacity: 'TOTAL'
  })
})

t.test('a destroy deletes what has no successor, so that none is forgotten where its answer is lost', async t => {
  t.same(destroyCommand('KEY', LAYOUT), {
    TableName: 'sessions',
    Key: { id: { S: 'shop#KEY' } },
    ConditionExpression: 'attribute_not_exists(#n0)',
    ExpressionAttributeNames: { '#n0': 'next' },
    ReturnValues: 'ALL_OLD',
    ReturnConsumedCapacity: 'TOTAL'
  })
})

t.test('a save names the changed keys, adds to the version and leaves its token, on condition that the record is alive', async t => {
  t.same(saveCommand('KEY', { ...NO_CHANGE, set: new Map([['a', { S: '9' }]]), delete: ['b'] }, TOKEN, LAYOUT), {
    TableName: 'sessions',
    Key: { id: { S: 'shop#KEY' } },
    UpdateExpression: 'SET #n0.#n6=:v3,#n8.#n9=:v4 REMOVE #n0.#n7 ADD #n1 :v5',
    ConditionExpression: 'attribute_type(#n0,:v0) AND attribute_type(#n1,:v1) AND attribute_type(#n2,:v1) AND attribute_type(#n3,:v1) AND ' +
      'attribute_not_exists(#n4) AND #n5>:v2 AND attribute_not_exists(#n8.#n9)',
    ExpressionAttributeNames: {
      '#n0': 'data', '#n1': 'ver', '#n2': 'created', '#n3': 'seen', '#n4': 'next', '#n5': 'expires', '#n6': 'a', '#n7': 'b', '#n8': 'w', '#n9': TOKEN
    },
    ExpressionAttributeValues: {
      ':v0': { S: 'M' }, ':v1': { S: 'N' }, ':v2': { N: '2000' }, ':v3': { S: '9' }, ':v4': { N: '2000' }, ':v5': { N: '1' }
    },
    ReturnValues: 'UPDATED_NEW',
    ReturnConsumedCapacity: 'TOTAL'
  })
})

t.test('a save of a record without write tokens makes the map of them, where nobody else has meanwhile', async t => {
  const { writes, ...base } = BASE
  t.same(readable(saveCommand('KEY', { ...NO_CHANGE, base }, TOKEN, LAYOUT)), {
    update: `SET w={"M":{"${TOKEN}":{"N":"2000"}}} ADD ver 1`,
    condition: `${ALIVE} AND attribute_not_exists(w)`
  })
})

t.test('write tokens older than a minute are taken out, at most 50 at once', async t => {
  const writes = new Map([['new', 2000], ['minute', NOW - 60], ['old', NOW - 60.01], ['older', 0]])
  t.equal(readable(saveCommand('KEY', { ...NO_CHANGE, base: { ...BASE, writes } }, TOKEN, LAYOUT)).update,
    `SET w.${TOKEN}=2000 REMOVE w.old,w.older ADD ver 1`)
  const { update } = readable(saveCommand('KEY', loaded({}), TOKEN, LAYOUT))
  t.equal(update.match(/w\.token/g)?.length, 50)
})

t.test('settings are set, stored as zero for none, or removed', async t => {
  const settings = { idleTimeout: 600, absoluteTimeout: false, cookieMaxAge: null } as const
  t.equal(readable(saveCommand('KEY', { ...NO_CHANGE, settings }, TOKEN, LAYOUT)).update,
    `SET idle=600,absolute=0,w.${TOKEN}=2000 REMOVE cookie ADD ver 1`)
})

t.test('a save that prolongs requires the timeouts from which the end was computed', async t => {
  t.same(readable(saveCommand('KEY', { ...NO_CHANGE, renewal: RENEWAL }, TOKEN, LAYOUT)), {
    update: `SET seen=2000,expires=9200,w.${TOKEN}=2000 ADD ver 1`,
    condition: `${ALIVE} AND expires<=9200 AND attribute_not_exists(idle) AND attribute_not_exists(absolute) AND attribute_not_exists(w.${TOKEN})`
  })
})

t.test('a save may require values that are still stored, or keys that are not there', async t => {
  const expected = new Map([['a', { S: '1' }], ['new', undefined], ['m', { M: { x: { N: '1' } } }]])
  t.same(readable(saveCommand('KEY', { ...NO_CHANGE, set: new Map([['a', { S: '2' }]]), expected }, TOKEN, LAYOUT)), {
    update: `SET data.a="2",w.${TOKEN}=2000 ADD ver 1`,
    condition: `${ALIVE} AND data.a="1" AND attribute_not_exists(data.new) AND data.m={"M":{"x":{"N":"1"}}} AND attribute_not_exists(w.${TOKEN})`
  })
  const { ExpressionAttributeNames } = saveCommand('KEY', { ...NO_CHANGE, expected: new Map([['a.b #n0', undefined]]) }, TOKEN, LAYOUT)
  t.ok(Object.values(ExpressionAttributeNames ?? {}).includes('a.b #n0'), 'a key is a name, whatever it holds')
  t.equal(readable(saveCommand('KEY', { ...NO_CHANGE, expected: new Map() }, TOKEN, LAYOUT)).condition, `${ALIVE} AND attribute_not_exists(w.${TOKEN})`)
})

t.test('a save may require the version that was read, once, however many keys it has', async t => {
  for (const set of [values(1), values(201)]) {
    const { condition } = readable(saveCommand('KEY', { ...NO_CHANGE, set, sameVersion: true }, TOKEN, LAYOUT))
    t.equal(condition, `${ALIVE} AND ver=7 AND attribute_not_exists(w.${TOKEN})`)
  }
  t.notMatch(readable(saveCommand('KEY', { ...NO_CHANGE, set: values(1), sameVersion: false }, TOKEN, LAYOUT)).condition, 'ver=')
})

t.test('a touch moves the instants and nothing else', async t => {
  t.same(touchCommand('KEY', RENEWAL, NOW, LAYOUT), {
    TableName: 'sessions',
    Key: { id: { S: 'shop#KEY' } },
    UpdateExpression: 'SET #n3=:v4,#n5=:v3',
    ConditionExpression: 'attribute_type(#n0,:v0) AND attribute_type(#n1,:v1) AND attribute_type(#n2,:v1) AND attribute_type(#n3,:v1) AND ' +
      'attribute_not_exists(#n4) AND #n5>:v2 AND #n5<=:v3 AND attribute_not_exists(#n6) AND attribute_not_exists(#n7)',
    ExpressionAttributeNames: {
      '#n0': 'data', '#n1': 'ver', '#n2': 'created', '#n3': 'seen', '#n4': 'next', '#n5': 'expires', '#n6': 'idle', '#n7': 'absolute'
    },
    ExpressionAttributeValues: { ':v0': { S: 'M' }, ':v1': { S: 'N' }, ':v2': { N: '2000' }, ':v3': { N: '9200' }, ':v4': { N: '2000' } },
    ReturnValues: 'NONE',
    ReturnConsumedCapacity: 'TOTAL'
  })
})

t.test('a renewal that may shorten does not ask for an earlier end', async t => {
  const renewal = { ...RENEWAL, expiresAt: 2100, idleTimeout: 100, absoluteTimeout: false, mayShorten: true } as const
  t.same(readable(touchCommand('KEY', renewal, NOW, LAYOUT)), {
    update: 'SET seen=2000,expires=2100',
    condition: `${ALIVE} AND idle=100 AND absolute=0`
  })
})

t.test('a replacement marks a record that is alive or replaced by this successor already, and drops its data', async t => {
  t.same(replaceCommand('KEY', { next: 'NEXT', base: BASE, sameVersion: false, now: NOW }, LAYOUT), {
    TableName: 'sessions',
    Key: { id: { S: 'shop#KEY' } },
    UpdateExpression: 'SET #n1=:v0,#n2=:v4,#n0=:v5',
    ConditionExpression: 'attribute_type(#n2,:v1) AND attribute_type(#n3,:v2) AND attribute_type(#n4,:v2) AND attribute_type(#n5,:v2) AND ' +
      '((attribute_not_exists(#n1) AND #n0>:v3) OR #n1=:v0)',
    ExpressionAttributeNames: { '#n0': 'expires', '#n1': 'next', '#n2': 'data', '#n3': 'ver', '#n4': 'created', '#n5': 'seen' },
    ExpressionAttributeValues: {
      ':v0': { S: 'shop#NEXT' }, ':v1': { S: 'M' }, ':v2': { S: 'N' }, ':v3': { N: '2000' }, ':v4': { M: {} }, ':v5': { N: '2060' }
    },
    ReturnValues: 'NONE',
    ReturnConsumedCapacity: 'TOTAL'
  })
})

t.test('a replacement that carried data over requires the version it read', async t => {
  const { condition } = readable(replaceCommand('KEY', { next: 'NEXT', base: BASE, sameVersion: true, now: NOW }, LAYOUT))
  t.match(condition, / AND ver=7$/)
})

t.test('a replaced record goes within a minute, and never later than it would have', async t => {
  const base = { ...BASE, expiresAt: 2010 }
  t.match(readable(replaceCommand('KEY', { next: '-', base, sameVersion: false, now: NOW }, LAYOUT)).update, 'SET next="-",data={"M":{}},expires=2010')
})

t.test('every write has a condition', async t => {
  const set = values(1)
  const writes = [
    createCommand(BASE, LAYOUT), saveCommand('KEY', NO_CHANGE, TOKEN, LAYOUT), saveCommand('KEY', loaded({ set: values(300) }), TOKEN, LAYOUT),
    saveCommand('KEY', { ...NO_CHANGE, set }, TOKEN, LAYOUT), touchCommand('KEY', RENEWAL, NOW, LAYOUT),
    replaceCommand('KEY', { next: 'NEXT', base: BASE, sameVersion: false, now: NOW }, LAYOUT), destroyCommand('KEY', LAYOUT)
  ]
  for (const { ConditionExpression } of writes) t.match(ConditionExpression, /^attribute_((not_)?exists|type)\(#n\d+/)
})

t.test('200 changed keys are named, in less than 4 KB whatever else the save carries', async t => {
  t.equal(MOST_NAMED_KEYS, 200)
  const deleted = [...values(200).keys()]
  for (const change of [loaded({ set: values(200) }), loaded({ delete: deleted }), loaded({ set: values(100), delete: deleted.slice(100) })]) {
    const { UpdateExpression = '', ConditionExpression = '' } = saveCommand('KEY', change, TOKEN, LAYOUT)
    t.ok(Buffer.byteLength(UpdateExpression) <= 4096, `${Buffer.byteLength(UpdateExpression)} bytes`)
    t.ok(Buffer.byteLength(ConditionExpression) <= 4096)
    t.match(readable(saveCommand('KEY', change, TOKEN, LAYOUT)).update, 'data.key 199')
    t.notMatch(readable(saveCommand('KEY', change, TOKEN, LAYOUT)).condition, 'ver=')
  }
})

t.test('20 index keys beside them fit too, be they among them or not in step', async t => {
  const names = [...values(20).keys()]
  const index = createIndexing(names, { formats: createFormats('json'), envelope: PLAIN })
  const changed = loaded({ set: values(200) })
  const unknown = { ...changed.base, data: new Map([...BASE.data, ...values(20)]), index: new Map() }
  const others = loaded({ set: values(200, 20), base: { ...changed.base, ...unknown } })
  for (const change of [changed, others, loaded({ delete: [...values(200, 20).keys()], base: others.base })]) {
    const input = saveCommand('KEY', change, TOKEN, { ...LAYOUT, index })
    const { UpdateExpression = '', ConditionExpression = '' } = input
    t.ok(Buffer.byteLength(UpdateExpression) <= 4096, `${Buffer.byteLength(UpdateExpression)} bytes`)
    t.ok(Buffer.byteLength(ConditionExpression) <= 4096, `${Buffer.byteLength(ConditionExpression)} bytes`)
    t.match(readable(input).update, /[ ,]key 0=0,.*,key 19=19\b/)
  }
})

t.test('201 changed keys are written as a whole map, on condition of the version that was read', async t => {
  for (const change of [{ set: values(201), delete: [] }, { set: values(200), delete: ['b'] }]) {
    const input = saveCommand('KEY', { ...NO_CHANGE, ...change }, TOKEN, LAYOUT)
    const { update, condition } = readable(input)
    t.match(update, /^SET data=\{"M":/)
    t.notMatch(update, 'data.')
    t.equal(condition, `${ALIVE} AND ver=7 AND attribute_not_exists(w.${TOKEN})`)
    const written = Object.values(input.ExpressionAttributeValues ?? {}).find(value => value.M !== undefined)
    t.same(new Set(Object.keys(written?.M ?? {})), new Set(mergedData({ ...NO_CHANGE, ...change }).keys()))
  }
})

t.test('merged data is the base with what was set and without what was deleted', async t => {
  const change = { ...NO_CHANGE, set: new Map([['b', { S: '3' }], ['c', { S: '4' }]]), delete: ['a', 'unknown'] }
  t.strictSame(mergedData(change), new Map([['b', { S: '3' }], ['c', { S: '4' }]]))
  t.equal(BASE.data.size, 2, 'the base is not changed')
})

onEachEngine(t, async (t, engine) => {
  await t.test('the largest save that names its keys, and one beyond it, are taken and do what they say', async t => {
    const layout = { ...LAYOUT, table: await createTable(engine) }
    const client = new DynamoDBClient({ ...clientConfig(engine.endpoint), maxAttempts: 1 })
    t.teardown(() => client.destroy())
    for (const count of [199, 200]) {
      const change = loaded({ set: values(count), delete: ['b'] })
      await client.send(new PutItemCommand({ TableName: layout.table, Item: toItem(change.base, layout) }))
      const answer = await client.send(new UpdateItemCommand(saveCommand('KEY', change, TOKEN, layout)))
      t.same(answer.Attributes?.['ver'], { N: '8' })
      const { Item = {} } = await client.send(new GetItemCommand({ ...readCommand('KEY', true, layout) }))
      const record = fromItem(Item, 'KEY', layout)
      t.same(record?.data, mergedData(change))
      t.match(record, { version: 8, lastSeenAt: 2000, expiresAt: 9200, idleTimeout: 600, absoluteTimeout: false, cookieMaxAge: 86_400 })
      t.equal(record?.writes?.get(TOKEN), 2000)
      t.equal(record?.writes?.size, 31, 'of 80 old tokens 50 are gone, and one is new')
    }
  })
})
