import t, { type Test } from 'tap'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  DynamoDBClient, GetItemCommand, PutItemCommand, ScanCommand, UpdateItemCommand, type AttributeValue
} from '@aws-sdk/client-dynamodb'
import { DynamoRepository } from '../../lib/repository.js'
import { NO_SUCCESSOR, type Layout } from '../../lib/item.js'
import { hash } from '../../lib/token.js'
import type { RecordChange, SessionRecord, StoredValue } from '../../types/repository.js'
import { clientConfig, createTable, onEachEngine, startDynalite, type Engine } from '../support/engines.js'
import { startLimit } from '../support/limit.js'
import { FaultProxy } from '../support/proxy.js'

const NOW = 1_767_323_045
const UNAVAILABLE = { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503 }
const TOO_LARGE = { code: 'FST_DYNAMODB_SESSION_TOO_LARGE', statusCode: 413 }
const CAPACITY = { CapacityUnits: 1 }

let keys = 0
const newKey = (): string => hash(`id ${++keys}`)

function makeRecord (data: Record<string, StoredValue> = { count: { S: '1' } }, parts: Partial<SessionRecord> = {}): SessionRecord {
  return { key: newKey(), data: new Map(Object.entries(data)), version: 1, createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 7200, writes: new Map(), ...parts }
}

function makeChange (base: SessionRecord, set: Record<string, StoredValue>, parts: Partial<RecordChange> = {}): RecordChange {
  return { set: new Map(Object.entries(set)), delete: [], settings: {}, renewal: undefined, base, now: NOW, ...parts }
}

interface Options { readonly maxSize?: number, readonly layout?: Partial<Layout> }

async function setUp (t: Test, engine: Engine, { maxSize = 409_600, layout: own = {} }: Options = {}) {
  const type = own.partitionKey?.type ?? 'S'
  const table = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: type }] })
  const proxy = await FaultProxy.start(engine)
  const client = new DynamoDBClient({ ...clientConfig(proxy.endpoint), maxAttempts: 3 })
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(async () => {
    client.destroy()
    direct.destroy()
    await proxy.close()
  })
  const layout: Layout = { table, partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires', ...own }
  const ghosts: string[] = []
  const hurried = (timeout: number): DynamoRepository => new DynamoRepository(client, { layout, timeout, maxSize, onGhost: key => ghosts.push(key) })
  const repository = hurried(3)
  return {
    repository,
    /** The same with a time limit of its own, in seconds. */
    hurried,
    proxy,
    ghosts,
    direct,
    layout,
    item: async (key: string) => (await direct.send(new GetItemCommand({ TableName: table, Key: { id: { S: key } }, ConsistentRead: true }))).Item,
    items: async () => (await direct.send(new ScanCommand({ TableName: table, ConsistentRead: true }))).Items ?? [],
    put: async (item: Record<string, AttributeValue>) => await direct.send(new PutItemCommand({ TableName: table, Item: item })),
    /** A record in the table, as a load finds it. */
    async stored (data?: Record<string, StoredValue>, parts?: Partial<SessionRecord>): Promise<SessionRecord> {
      const record = makeRecord(data, parts)
      await repository.create(record, NOW)
      const present = await repository.load(record.key, true)
      proxy.take()
      return present as SessionRecord
    },
    /** Lets calls of an action reach the table and loses their answers: the client hears of a failure and repeats them. */
    loseAnswers (action: 'PutItem' | 'UpdateItem' | 'DeleteItem', count: number): void {
      let left = count
      proxy.intercept = async (called, input) => {
        if (called !== action || left-- <= 0) return undefined
        const command = action === 'PutItem' ? new PutItemCommand(input as never) : new UpdateItemCommand(input as never)
        await direct.send(command as PutItemCommand).catch((error: Error) => t.equal(error.name, 'ConditionalCheckFailedException', 'a repetition has no effect'))
        return { status: 500, body: { __type: 'com.amazonaws.dynamodb.v20120810#InternalServerError' } }
      }
    }
  }
}

onEachEngine(t, async (t, engine) => {
  await t.test('a record is created, found, changed, prolonged, replaced and destroyed', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const record = makeRecord({ count: { S: '1' }, name: { S: 'ann' } })
    t.equal(await repository.load(record.key, false), null)
    t.equal(await repository.create(record, NOW), true)
    const created = await repository.load(record.key, false) as SessionRecord
    t.match(created, { key: record.key, version: 1, createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 7200, next: undefined })
    t.same([...created.data], [['count', { S: '1' }], ['name', { S: 'ann' }]])
    t.match(await repository.save(record.key, makeChange(created, { count: { S: '2' } }, { delete: ['name'] })), { done: true, version: 2 })
    const saved = await repository.load(record.key, true) as SessionRecord
    t.same([saved.version, [...saved.data]], [2, [['count', { S: '2' }]]])
    const renewal = { lastSeenAt: NOW + 60, expiresAt: NOW + 7260, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false }
    t.equal(await repository.touch(record.key, renewal, NOW + 60), true)
    t.match(await repository.load(record.key, true), { lastSeenAt: NOW + 60, expiresAt: NOW + 7260, version: 2 })
    t.equal(await repository.touch(record.key, { ...renewal, expiresAt: NOW + 7259 }, NOW + 60), false, 'never backwards')
    t.equal(await repository.touch(record.key, renewal, NOW + 7260), false, 'never after the end')
    const next = newKey()
    t.same(await repository.replace(record.key, { next, base: saved, sameVersion: true, now: NOW + 60 }), { done: true, version: 2 })
    t.same(await repository.replace(record.key, { next, base: saved, sameVersion: true, now: NOW + 60 }), { done: true, version: 2 }, 'by the same successor again')
    t.match(await repository.replace(record.key, { next: newKey(), base: saved, sameVersion: false, now: NOW + 60 }), { done: false, record: { next } })
    t.match(await repository.load(record.key, true), { next, expiresAt: NOW + 120, data: new Map() })
    t.equal((await repository.destroy(record.key)).next, next, 'the mark stays, and the successor is told')
    const other = await stored()
    t.equal((await repository.destroy(other.key)).next, undefined)
    t.equal(await repository.load(other.key, true), null)
    t.ok(proxy.takeCalls().every(call => call.input['ReturnConsumedCapacity'] === 'TOTAL'), 'every call asks for the proof of its answer')
  })

  await t.test('every write carries a condition, and no read is stronger than asked for', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const record = await stored()
    await repository.load(record.key, false)
    await repository.load(record.key, true)
    await repository.create(makeRecord(), NOW)
    await repository.save(record.key, makeChange(record, { count: { S: '2' } }))
    await repository.save(record.key, makeChange({ ...record, version: 2 }, Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`key ${index}`, { S: '1' }]))))
    await repository.touch(record.key, { lastSeenAt: NOW, expiresAt: NOW + 8000, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false }, NOW)
    await repository.replace(record.key, { next: newKey(), base: record, sameVersion: false, now: NOW })
    await repository.destroy(newKey())
    const calls = proxy.takeCalls()
    t.same(calls.map(call => [call.action, call.status]), [
      ['GetItem', 200], ['GetItem', 200], ['PutItem', 200], ['UpdateItem', 200], ['UpdateItem', 200], ['UpdateItem', 200], ['UpdateItem', 200], ['DeleteItem', 200]
    ])
    t.same(calls.slice(0, 2).map(call => call.input['ConsistentRead']), [false, true])
    for (const { action, input } of calls) {
      const condition: unknown = input['ConditionExpression']
      if (action === 'PutItem') t.match(condition, /^attribute_not_exists\(#n0\)$/)
      else if (action === 'UpdateItem') t.match(condition, /^attribute_type\(#n\d,:v\d\) AND /)
      else if (action === 'DeleteItem') t.match(condition, /^attribute_not_exists\(#n0\)$/)
    }
  })

  await t.test('keys may hold anything: paths, placeholders, reserved words, emoji, 255 bytes', async t => {
    const { repository, stored } = await setUp(t, engine)
    const names = ['a.b', 'a', 'b', '#x', ':y', '#n0', ':v0', 'a[0]', 'data', 'size', 'SELECT', 'ttl', 'and', ' ', '"', '\\', '\n', '🛒', 'é', 'e\u0301', '-', '0', 'x'.repeat(255),
      '🛒'.repeat(63), '__proto__', 'constructor', 'toString', 'hasOwnProperty', '___proto__']
    const values = (text: string): Record<string, StoredValue> => {
      const data = Object.create(null) as Record<string, StoredValue>
      for (const name of names) Object.defineProperty(data, name, { value: { S: `${text} ${name}` }, enumerable: true })
      return data
    }
    const record = await stored(values('first'))
    t.same([...record.data.keys()].sort(), [...names].sort())
    t.match(await repository.save(record.key, makeChange(record, values('second'))), { done: true, version: 2 })
    const saved = await repository.load(record.key, true) as SessionRecord
    for (const name of names) t.same(saved.data.get(name), { S: `second ${name}` }, JSON.stringify(name))
    t.match(await repository.save(record.key, makeChange(saved, {}, { delete: names })), { done: true, version: 3 })
    t.match(await repository.load(record.key, true), { data: new Map() })
  })

  await t.test('a change of many keys is written whole, on the version that it was made on', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const many = (text: string) => Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`a key with a number ${index}`, { S: text }]))
    const record = await stored({ count: { S: '1' } })
    t.match(await repository.save(record.key, makeChange(record, many('one'))), { done: true, version: 2 })
    t.same(proxy.take(), ['UpdateItem'])
    const answer = await repository.save(record.key, makeChange(record, many('two')))
    t.match(answer, { done: false, record: { version: 2 } })
    t.same(proxy.take(), ['UpdateItem', 'GetItem'])
    t.same((await repository.load(record.key, true))?.data.get('a key with a number 7'), { S: 'one' })
  })

  await t.test('a save on condition of a stored value is refused where that is another, and tells what stands there', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const record = await stored()
    const increment = makeChange(record, { count: { S: '2' } }, { expected: new Map([['count', { S: '1' }], ['new', undefined]]) })
    t.match(await repository.save(record.key, increment), { done: true, version: 2 })
    t.same(proxy.take(), ['UpdateItem'])
    t.match(await repository.save(record.key, increment), { done: false, record: { version: 2, data: new Map([['count', { S: '2' }]]) } })
    t.same(proxy.take(), ['UpdateItem', 'GetItem'])
  })

  await t.test('a save on condition of a stored value whose answer was lost has happened once, though its condition does not hold any more', async t => {
    const { repository, proxy, stored, item, loseAnswers } = await setUp(t, engine)
    const record = await stored()
    loseAnswers('UpdateItem', 1)
    const change = makeChange(record, { count: { S: '2' } }, { expected: new Map([['count', { S: '1' }]]) })
    t.match(await repository.save(record.key, change), { done: true, version: 2 })
    t.same(proxy.take(), ['UpdateItem', 'UpdateItem', 'GetItem'])
    t.match(await item(record.key), { ver: { N: '2' }, data: { M: { count: { S: '2' } } } })
  })

  await t.test('a save on condition of the version is refused where that is another, whatever keys were written', async t => {
    const { repository, stored } = await setUp(t, engine)
    const record = await stored()
    t.match(await repository.save(record.key, makeChange(record, { a: { S: '1' } }, { sameVersion: true })), { done: true, version: 2 })
    t.match(await repository.save(record.key, makeChange(record, { b: { S: '1' } }, { sameVersion: true })), { done: false, record: { version: 2 } })
    t.same([...(await repository.load(record.key, true))?.data.keys() ?? []].sort(), ['a', 'count'])
  })

  await t.test('changes of different keys on the same base both stay', async t => {
    const { repository, stored } = await setUp(t, engine)
    const record = await stored({})
    t.match(await Promise.all(['a', 'b', 'c'].map(async name => await repository.save(record.key, makeChange(record, { [name]: { S: name } })))),
      [{ done: true }, { done: true }, { done: true }])
    const saved = await repository.load(record.key, true) as SessionRecord
    t.same([saved.version, [...saved.data.keys()].sort(), saved.writes?.size], [4, ['a', 'b', 'c'], 4])
  })

  await t.test('nothing is created over another record, and nothing is written to one that has ended', async t => {
    const { repository, proxy, stored, item } = await setUp(t, engine)
    const record = await stored()
    const before = await item(record.key)
    t.equal(await repository.create(makeRecord({ count: { S: '7' } }, { key: record.key }), NOW), false)
    t.same(await item(record.key), before)
    t.same(proxy.take(), ['PutItem', 'GetItem'], 'one strong read finds out whose it is')
    t.match(await repository.save(record.key, makeChange(record, { count: { S: '7' } }, { now: NOW + 7200 })), { done: false, record: { version: 1 } })
    await repository.destroy(record.key)
    proxy.take()
    t.same(await repository.save(record.key, makeChange(record, { count: { S: '7' } })), { done: false, record: null })
    t.same(await repository.replace(record.key, { next: newKey(), base: record, sameVersion: false, now: NOW }), { done: false, record: null })
    t.equal(await repository.touch(record.key, { lastSeenAt: NOW, expiresAt: NOW + 8000, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false }, NOW), false)
    t.same(proxy.takeCalls().map(({ action, input }) => [action, input['ConsistentRead']]),
      [['UpdateItem', undefined], ['GetItem', true], ['UpdateItem', undefined], ['GetItem', true], ['UpdateItem', undefined]])
    t.equal(await item(record.key), undefined, 'nothing came back')
  })

  await t.test('a creation whose answer was lost has happened once', async t => {
    const { repository, proxy, items, loseAnswers } = await setUp(t, engine)
    loseAnswers('PutItem', 2)
    const record = makeRecord()
    t.equal(await repository.create(record, NOW), true)
    t.same(proxy.takeCalls().map(({ action, input }) => [action, input['ConsistentRead']]),
      [['PutItem', undefined], ['PutItem', undefined], ['PutItem', undefined], ['GetItem', true]], 'an eventually consistent read might miss it')
    const [only, ...others] = await items()
    t.match([only?.['id'], only?.['ver'], others.length], [{ S: record.key }, { N: '1' }, 0])
  })

  await t.test('a save whose answer was lost has happened once', async t => {
    const { repository, proxy, stored, item, loseAnswers } = await setUp(t, engine)
    const record = await stored()
    loseAnswers('UpdateItem', 2)
    t.match(await repository.save(record.key, makeChange(record, { count: { S: '2' } })), { done: true, version: 2 })
    t.same(proxy.take(), ['UpdateItem', 'UpdateItem', 'UpdateItem', 'GetItem'])
    t.match(await item(record.key), { ver: { N: '2' }, data: { M: { count: { S: '2' } } } })
  })

  await t.test('the first save of a record that somebody else wrote without write tokens has happened once too', async t => {
    const { repository, stored, item, put, loseAnswers } = await setUp(t, engine)
    const { key } = await stored()
    const bare = await item(key) as Record<string, AttributeValue>
    delete bare['w']
    await put(bare)
    const record = await repository.load(key, true) as SessionRecord
    t.equal(record.writes, undefined)
    loseAnswers('UpdateItem', 2)
    t.match(await repository.save(key, makeChange(record, { count: { S: '2' } })), { done: true, version: 2 })
    t.match(await item(key), { ver: { N: '2' }, data: { M: { count: { S: '2' } } } })
  })

  await t.test('a save whose answer was lost is known as done although another one followed', async t => {
    const { repository, proxy, stored, loseAnswers } = await setUp(t, engine)
    const record = await stored()
    loseAnswers('UpdateItem', 1)
    const lose = proxy.intercept
    let isFollowed = false
    proxy.intercept = async (action, input) => {
      const answer = await lose(action, input)
      if (answer === undefined || isFollowed) return answer
      isFollowed = true
      await repository.save(record.key, makeChange(record, { other: { S: '1' } }))
      return answer
    }
    t.match(await repository.save(record.key, makeChange(record, { count: { S: '2' } })), { done: true, version: 3 })
    const saved = await repository.load(record.key, true) as SessionRecord
    t.equal(saved.version, 3)
    t.same(Object.fromEntries(saved.data), { count: { S: '2' }, other: { S: '1' } })
  })

  await t.test('a replacement whose answer was lost has happened once', async t => {
    const { repository, proxy, stored, item, loseAnswers } = await setUp(t, engine)
    for (const sameVersion of [true, false]) {
      const record = await stored()
      const next = newKey()
      loseAnswers('UpdateItem', 2)
      t.match(await repository.replace(record.key, { next, base: record, sameVersion, now: NOW }), { done: true })
      t.same(proxy.take(), ['UpdateItem', 'UpdateItem', 'UpdateItem'], 'a record replaced by the same successor accepts it again')
      t.match(await item(record.key), { next: { S: next }, expires: { N: String(NOW + 60) }, ver: { N: '1' }, data: { M: {} } })
    }
  })

  await t.test('where every answer was lost the outcome is not known, and the next load shows it', async t => {
    const { repository, stored, loseAnswers } = await setUp(t, engine)
    const record = await stored()
    loseAnswers('UpdateItem', 3)
    await t.rejects(repository.save(record.key, makeChange(record, { count: { S: '2' } })), UNAVAILABLE)
    t.match(await repository.load(record.key, true), { version: 2 })
    const unborn = makeRecord()
    loseAnswers('PutItem', 3)
    await t.rejects(repository.create(unborn, NOW), UNAVAILABLE)
    t.match(await repository.load(unborn.key, true), { version: 1 })
  })

  await t.test('the largest item is stored, and one byte more is refused before anything is sent', async t => {
    const { repository, proxy, item, stored } = await setUp(t, engine)
    const text = (length: number): StoredValue => ({ S: 'x'.repeat(length) })
    const overheadOf = async (refused: Promise<unknown>, length: number): Promise<number> => {
      const error = await refused.then(() => null, (error: Error) => error)
      t.match(error, { ...TOO_LARGE, message: `may take 409600. Largest keys: "big" (${length})` })
      return Number(/take (\d+) bytes/.exec(error?.message ?? '')?.[1]) - length
    }
    const longest = 409_600 - await overheadOf(repository.create(makeRecord({ big: text(500_000) }), NOW), 500_000)
    await t.rejects(repository.create(makeRecord({ big: text(longest + 1) }), NOW), { ...TOO_LARGE, message: 'would take 409601 bytes' })
    t.same(proxy.take(), [], 'nothing was sent')
    const record = makeRecord({ big: text(longest) })
    t.equal(await repository.create(record, NOW), true)
    t.equal((await item(record.key))?.['data']?.M?.['big']?.S?.length, longest)

    const small = await stored()
    const added = 409_600 - await overheadOf(repository.save(small.key, makeChange(small, { big: text(500_000) })), 500_000)
    await t.rejects(repository.save(small.key, makeChange(small, { big: text(added + 1) })), TOO_LARGE)
    t.same(proxy.take(), [], 'nothing was sent')
    t.match(await repository.save(small.key, makeChange(small, { big: text(added) })), { done: true, version: 2 })
  })

  await t.test('an item that concurrent changes would make too large ends in the same error, and stays as it is', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const record = await stored({})
    const half = { S: 'x'.repeat(250_000) }
    t.match(await repository.save(record.key, makeChange(record, { one: half })), { done: true })
    proxy.take()
    await t.rejects(repository.save(record.key, makeChange(record, { two: half })), { ...TOO_LARGE, message: 'may take 409600. Largest keys: "one" (250000), "two" (250000)' })
    t.same(proxy.takeCalls().map(({ action, status, input }) => [action, status, input['ConsistentRead']]), [['UpdateItem', 400, undefined], ['GetItem', 200, true]])
    t.same([...(await repository.load(record.key, true))?.data.keys() ?? []], ['one'])
  })

  await t.test('a key of bytes holds the hash itself', async t => {
    const { repository, items } = await setUp(t, engine, { layout: { partitionKey: { name: 'id', type: 'B' } } })
    const record = makeRecord()
    t.equal(await repository.create(record, NOW), true)
    t.match(await repository.load(record.key, true), { key: record.key })
    t.equal(Buffer.from((await items())[0]?.['id']?.B ?? []).toString('base64url'), record.key)
    const next = newKey()
    await repository.replace(record.key, { next, base: record, sameVersion: false, now: NOW })
    t.equal((await repository.destroy(record.key)).next, next)
  })

  await t.test('a destroy whose answer was lost still tells the successor', async t => {
    const { repository, proxy, stored, loseAnswers } = await setUp(t, engine)
    const record = await stored()
    const next = newKey()
    await repository.replace(record.key, { next, base: record, sameVersion: false, now: NOW })
    proxy.take()
    loseAnswers('DeleteItem', 1)
    t.equal((await repository.destroy(record.key)).next, next)
    t.same(proxy.take(), ['DeleteItem', 'DeleteItem', 'GetItem'])
    const plain = await stored()
    loseAnswers('DeleteItem', 1)
    t.equal((await repository.destroy(plain.key)).next, undefined)
    t.equal(await repository.load(plain.key, true), null)
  })

  await t.test('destroying tells the successor without the prefix, and that a revoked record has none', async t => {
    const { repository, stored, items, put } = await setUp(t, engine, { layout: { keyPrefix: 'shop#' } })
    const record = await stored()
    const next = newKey()
    await repository.replace(record.key, { next, base: record, sameVersion: false, now: NOW })
    t.match(await items(), [{ id: { S: `shop#${record.key}` }, next: { S: `shop#${next}` } }])
    t.equal((await repository.destroy(record.key)).next, next)
    const [replaced] = await items()
    await put({ ...replaced, next: { S: NO_SUCCESSOR } } as Record<string, AttributeValue>)
    t.equal((await repository.destroy(record.key)).next, NO_SUCCESSOR)
  })

  await t.test('a ghost counts as absent, is reported, and is not written over', async t => {
    const { repository, ghosts, put, item, stored } = await setUp(t, engine)
    const whole = await item((await stored()).key) as Record<string, AttributeValue>
    for (const attribute of ['data', 'ver', 'created', 'seen', 'expires']) {
      const key = newKey()
      const ghost: Record<string, AttributeValue> = { ...whole, id: { S: key } }
      delete ghost[attribute]
      await put(ghost)
      t.equal(await repository.load(key, false), null, attribute)
      t.equal(ghosts.at(-1), key)
      t.equal(await repository.create(makeRecord({}, { key }), NOW), false)
      t.same(await item(key), ghost)
    }
    ghosts.length = 0
    t.equal(await repository.load(newKey(), false), null)
    t.same(ghosts, [], 'what is not there is no ghost')
  })
})

t.test('what may come in place of an answer', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())

  await t.test('an empty answer is a failure, and never "no session"', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const record = await stored()
    const renewal = { lastSeenAt: NOW, expiresAt: NOW + 8000, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false }
    const calls = {
      load: async () => await repository.load(record.key, false),
      create: async () => await repository.create(makeRecord(), NOW),
      save: async () => await repository.save(record.key, makeChange(record, { count: { S: '2' } })),
      touch: async () => await repository.touch(record.key, renewal, NOW),
      replace: async () => await repository.replace(record.key, { next: newKey(), base: record, sameVersion: false, now: NOW }),
      destroy: async () => await repository.destroy(record.key)
    }
    const answers = [{ status: 200, body: '' }, { status: 200, body: {} }, { status: 200, body: '<html></html>' }, { status: 404, body: '' }, { status: 502, body: '<html></html>' }]
    for (const answer of answers) {
      proxy.intercept = () => answer
      for (const [name, call] of Object.entries(calls)) await t.rejects(async () => await call(), UNAVAILABLE, `${name}: ${JSON.stringify(answer)}`)
    }
    proxy.intercept = () => undefined
    t.match(await repository.load(record.key, true), { version: 1 }, 'the record is as it was')
  })

  await t.test('an engine that tells no capacity is believed where that is known', async t => {
    const { repository, proxy } = await setUp(t, engine)
    repository.expectsCapacity = false
    proxy.intercept = () => ({ status: 200, body: {} })
    t.equal(await repository.load(newKey(), false), null)
  })

  await t.test('an answer to a save that does not tell the version is looked into', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const record = await stored()
    proxy.intercept = action => action === 'UpdateItem' ? { status: 200, body: { ConsumedCapacity: CAPACITY } } : undefined
    t.match(await repository.save(record.key, makeChange(record, { count: { S: '2' } })), { done: false, record: { version: 1 } })
    t.same(proxy.take(), ['UpdateItem', 'GetItem'])
  })

  await t.test('a refusal that has nothing to do with size is a failure, with its cause and without an account', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const record = await stored()
    const change = makeChange(record, { count: { S: '2' } })
    proxy.intercept = action => action === 'UpdateItem' ? { status: 400, body: { __type: 'com.amazon.coral.validate#ValidationException', message: 'arn:aws:iam::123456789012:role/x' } } : undefined
    const error = await repository.save(record.key, change).then(() => null, (error: Error) => error)
    t.match(error, { ...UNAVAILABLE, cause: { name: 'ValidationException', message: 'arn:[redacted]' } })
    t.same(proxy.take(), ['UpdateItem', 'GetItem'])
    await repository.destroy(record.key)
    await t.rejects(repository.save(record.key, change), UNAVAILABLE, 'also where the record is gone')
    proxy.take()
    proxy.intercept = () => ({ status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' } })
    await t.rejects(repository.save(record.key, change), { ...UNAVAILABLE, cause: { name: 'AccessDeniedException' } })
    t.same(proxy.take(), ['UpdateItem'], 'asked once')
  })

  await t.test('a save tells the write tokens that it leaves, those over a minute old taken out, also where its answer was lost', async t => {
    const { repository, stored, item, put, loseAnswers } = await setUp(t, engine)
    let base: SessionRecord = { ...await stored(), writes: undefined }
    const bare = await item(base.key) as Record<string, AttributeValue>
    delete bare['w']
    await put(bare)
    for (const [number, lost] of [[1, 0], [2, 0], [3, 2], [4, 0]] as const) {
      loseAnswers('UpdateItem', lost)
      const answer = await repository.save(base.key, makeChange(base, { count: { S: String(number) } }, { now: NOW + number * 61 }))
      if (!answer.done || answer.writes === undefined) throw new Error('The save is to be done, and to tell its tokens.')
      t.same([...answer.writes.keys()].sort(), Object.keys((await item(base.key))?.['w']?.M ?? {}).sort())
      t.ok(answer.writes.size <= 2, 'its own and the one before it')
      base = { ...base, version: answer.version, writes: answer.writes }
    }
  })

  await t.test('a smaller limit counts before anything is sent', async t => {
    const { repository, proxy, stored } = await setUp(t, engine, { maxSize: 1000 })
    const record = await stored()
    await t.rejects(repository.create(makeRecord({ big: { S: 'x'.repeat(1000) } }), NOW), { ...TOO_LARGE, message: 'may take 1000. Largest keys: "big" (1000)' })
    await t.rejects(repository.save(record.key, makeChange(record, { big: { S: 'x'.repeat(1000) } })), TOO_LARGE)
    t.same(proxy.take(), [])
    t.match(await repository.save(record.key, makeChange(record, { big: { S: 'x'.repeat(500) } })), { done: true })
  })

  await t.test('all calls of an operation share its time limit: a deciding read has what the write left', async t => {
    const { repository, hurried, proxy, stored } = await setUp(t, engine)
    const record = await stored()
    const hasty = hurried(0.5)
    const limits: Array<ReturnType<typeof startLimit>> = []
    proxy.intercept = async action => {
      if (action !== 'GetItem') {
        await sleep(100)
        return { status: 400, body: { __type: 'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException' } }
      }
      limits.push(startLimit(500))
      return await new Promise(() => {})
    }
    const start = performance.now()
    const calls = {
      create: async () => await hasty.create(makeRecord({}, { key: record.key }), NOW),
      save: async () => await hasty.save(record.key, makeChange(record, { count: { S: '2' } })),
      destroy: async () => await hasty.destroy(record.key),
      replace: async () => await hasty.replace(record.key, { next: newKey(), base: record, sameVersion: false, now: NOW })
    }
    await Promise.all(Object.entries(calls).map(async ([name, call]) => {
      await t.rejects(async () => await call(), { ...UNAVAILABLE, cause: { name: 'TimeoutError', message: 'No answer within 0.5 s.' } }, name)
    }))
    t.ok(performance.now() - start > 480)
    t.same(limits.map(limit => limit.stop()), [false, false, false, false], 'no read had the whole limit again')
    proxy.intercept = () => undefined
    t.match(await repository.load(record.key, true), { key: record.key }, 'and the next operation has all of its own')
  })

  await t.test('a service that does not answer ends at the time limit', async t => {
    const { hurried, proxy } = await setUp(t, engine)
    proxy.intercept = async () => await new Promise(() => {})
    const limit = startLimit(350)
    await t.rejects(hurried(0.2).load(newKey(), false), { ...UNAVAILABLE, cause: { name: 'TimeoutError', message: 'No answer within 0.2 s.' } })
    t.notOk(limit.stop())
  })

  await t.test('who listens is told the action, the capacity and the bytes of an item, and never a key or a value', async t => {
    const { repository, proxy, stored } = await setUp(t, engine)
    const reports: Array<Record<string, unknown>> = []
    const operations = ['load', 'create', 'save', 'destroy'] as const
    const listen = (report: unknown): void => { reports.push({ ...report as object }) }
    for (const operation of operations) subscribe(`tracing:fastify-dynamodb-session:${operation}:asyncEnd`, listen)
    t.teardown(() => { for (const operation of operations) unsubscribe(`tracing:fastify-dynamodb-session:${operation}:asyncEnd`, listen) })
    const record = await stored({ count: { S: 'a secret value' } })
    await repository.save(record.key, makeChange(record, { count: { S: '2' } }))
    await repository.load(newKey(), false)
    await repository.destroy(record.key)
    repository.expectsCapacity = false
    proxy.intercept = () => ({ status: 200, body: {} })
    await repository.load(newKey(), false)
    proxy.intercept = () => ({ status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'arn:aws:iam::123456789012:role/x' } })
    await t.rejects(repository.load(newKey(), true), UNAVAILABLE)
    t.match(reports.pop(), { error: { ...UNAVAILABLE, cause: { message: 'arn:[redacted]' } } }, 'a failure is shown as it is told')
    t.match(reports, [
      { action: 'PutItem', consistent: true, capacity: 1, itemBytes: Number, duration: Number },
      { action: 'GetItem', consistent: true, capacity: 1, itemBytes: Number },
      { action: 'UpdateItem', consistent: true, capacity: 1 },
      { action: 'GetItem', consistent: false, capacity: 0.5 },
      { action: 'DeleteItem', consistent: true, capacity: 1 },
      { action: 'GetItem', consistent: false }
    ])
    t.equal(reports[0]?.['itemBytes'], reports[1]?.['itemBytes'], 'what is written is what is read')
    t.same(reports.slice(2).map(report => report['itemBytes']), [undefined, undefined, undefined, undefined])
    t.equal(reports[5]?.['capacity'], undefined)
    t.ok(reports.every(report => report['result'] === undefined), 'what DynamoDB answered is not shown')
    t.notMatch(JSON.stringify(reports), /secret|count/)
    t.notMatch(JSON.stringify(reports), record.key)
  })
})
