import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import type { SessionRecord } from '../index.js'
import { toItem, type Layout } from '../lib/item.js'
import { makeClient } from '../lib/client.js'
import { DynamoRepository } from '../lib/repository.js'
import { unitsOfRead } from '../lib/size.js'
import { hash } from '../lib/token.js'
import { setStage } from './support/app.js'
import { clientConfig, createTable, onEachEngine, startDynalite, type Engine } from './support/engines.js'
import { FaultProxy, faults } from './support/proxy.js'
import type { Visitor } from './support/visitor.js'

const NOW = 1_767_323_045
const UNAVAILABLE = { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503 }

function makeRecord (name: string, bytes = 1): SessionRecord {
  return { key: hash(name), data: new Map([['text', { S: name.padEnd(bytes, '.') }]]), version: 1, createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 7200, writes: new Map() }
}

interface Options { readonly layout?: Partial<Layout>, readonly timeout?: number, readonly strong?: boolean }

/** A repository that batches, with records in its table, behind a proxy. */
async function setUp (t: Test, engine: Engine, records: readonly SessionRecord[], { layout: own = {}, timeout = 30, strong = false }: Options = {}) {
  const table = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: own.partitionKey?.type ?? 'S' }] })
  const layout: Layout = { table, partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires', ...own }
  const proxy = await FaultProxy.start(engine)
  const client = makeClient(clientConfig(proxy.endpoint), timeout)
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(async () => {
    client.destroy()
    direct.destroy()
    await proxy.close()
  })
  for (const record of records) await direct.send(new PutItemCommand({ TableName: table, Item: toItem(record, layout) }))
  const refusals: Error[] = []
  const ghosts: string[] = []
  const repository = new DynamoRepository(client, {
    layout, timeout, maxSize: 409_600, onGhost: key => ghosts.push(key), batches: { strong, onRefused: error => refusals.push(error) }
  })
  const loadAll = async (keys = records.map(({ key }) => key), consistent = false) => await Promise.all(keys.map(async key => await repository.load(key, consistent)))
  /** What became of each load, without waiting for any. */
  const settled = async (keys = records.map(({ key }) => key)) => await Promise.allSettled(keys.map(async key => await repository.load(key, false)))
  return { repository, proxy, direct, layout, refusals, ghosts, loadAll, settled }
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `session ${index}`)
const makeRecords = (count: number, bytes?: number): SessionRecord[] => names(count).map(name => makeRecord(name, bytes))
const texts = (found: ReadonlyArray<SessionRecord | null>) => found.map(record => record?.data.get('text')?.S?.replace(/\.+$/, ''))

/** Reports of loads, as subscribers get them. */
function listen (t: Test): Array<Record<string, unknown>> {
  const reports: Array<Record<string, unknown>> = []
  const note = (report: unknown): void => { reports.push({ ...report as object }) }
  subscribe('tracing:fastify-dynamodb-session:load:asyncEnd', note)
  t.teardown(() => unsubscribe('tracing:fastify-dynamodb-session:load:asyncEnd', note))
  return reports
}

onEachEngine(t, async (t, engine) => {
  await t.test('twenty sessions that are read in one turn are one BatchGetItem, and each visitor has their own', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const visitors: Visitor[] = []
    for (let number = 0; number < 20; number++) {
      const each = visitor()
      await each.post('/set', { count: number })
      visitors.push(each)
    }
    proxy.take()
    const answers = await Promise.all(visitors.map(async each => await each.get('/me')))
    t.same(answers.map(answer => answer.json().data), visitors.map((_, count) => ({ count })))
    const [call, ...others] = proxy.takeCalls()
    t.same([call?.action, call?.capacity, others.length], ['BatchGetItem', 10, 0], 'for the price of twenty reads')
    t.equal((await visitors[3]?.get('/me'))?.json().data.count, 3)
    t.same(proxy.take(), ['GetItem'], 'one by itself is a GetItem')
  })

  await t.test('beside those that are there, what is missing is missing and a ghost counts as absent', async t => {
    const records = makeRecords(3)
    const { loadAll, proxy, ghosts, direct, layout } = await setUp(t, engine, records)
    await direct.send(new PutItemCommand({ TableName: layout.table, Item: { id: { S: hash('ghost') }, data: { M: {} } } }))
    const found = await loadAll([hash('session 1'), hash('nobody'), hash('ghost'), hash('session 2')])
    t.same(texts(found), ['session 1', undefined, undefined, 'session 2'])
    t.same(ghosts, [hash('ghost')])
    const [call, ...others] = proxy.takeCalls()
    t.same([call?.action, others.length], ['BatchGetItem', 0])
    t.same(call?.input['ReturnConsumedCapacity'], 'TOTAL')
    t.equal(call?.input['RequestItems'][layout.table].ConsistentRead, false)
    t.same(await loadAll([hash('nobody 1'), hash('nobody 2')]), [null, null], 'also where none of them is there')
  })

  await t.test('250 sessions are three calls of a hundred keys at most', async t => {
    const records = makeRecords(250)
    const { loadAll, proxy } = await setUp(t, engine, records)
    t.same(texts(await loadAll()), names(250))
    const calls = proxy.takeCalls()
    t.same(calls.map(({ action }) => action), ['BatchGetItem', 'BatchGetItem', 'BatchGetItem'])
    t.same(calls.map(({ input }) => Object.values<any>(input['RequestItems'])[0].Keys.length).sort((a, b) => b - a), [100, 100, 50])
  })

  await t.test('keys of bytes and keys with a prefix are found', async t => {
    const records = makeRecords(5)
    for (const layout of [{ partitionKey: { name: 'id', type: 'B' as const } }, { keyPrefix: 'shop#' }]) {
      const { loadAll, proxy } = await setUp(t, engine, records, { layout })
      t.same(texts(await loadAll([...records.map(({ key }) => key), hash('nobody')])), [...names(5), undefined])
      t.same(proxy.take(), ['BatchGetItem'])
    }
  })

  await t.test('strong reads travel together only where every read is strong, and apart from others', async t => {
    const records = makeRecords(4)
    const { loadAll, proxy } = await setUp(t, engine, records)
    t.same(texts(await loadAll(undefined, true)), names(4))
    t.same(proxy.take(), Array(4).fill('GetItem'), 'decisions wait for nobody')
    const all = await setUp(t, engine, records, { strong: true })
    const [eventual, strong] = await Promise.all([all.loadAll(), all.loadAll(undefined, true)])
    t.same([texts(eventual), texts(strong)], [names(4), names(4)])
    const calls = all.proxy.takeCalls().map(({ action, capacity, input }) => [action, capacity, Object.values<any>(input['RequestItems'])[0].ConsistentRead])
    t.same(calls.sort(), [['BatchGetItem', 2, false], ['BatchGetItem', 4, true]])
  })

  await t.test('with consistentRead, the reads of several visitors are one strong BatchGetItem', async t => {
    const { proxy, visitor, clock } = await setStage(t, engine, { session: { consistentRead: true } })
    const visitors = [visitor(), visitor(), visitor()]
    for (const each of visitors) await each.post('/set', { count: 1 })
    clock.forward(30)
    proxy.take()
    await Promise.all(visitors.map(async each => await each.get('/me')))
    t.same(proxy.takeCalls().map(({ action, capacity }) => [action, capacity]), [['BatchGetItem', 3]])
  })

  await t.test('sessions that are too large for one answer come in several, and none is lost', async t => {
    // 16 MB is the limit of DynamoDB, about one that of dynalite.
    const count = engine.name === 'dynalite' ? 8 : 50
    const records = makeRecords(count, 350_000)
    const { loadAll, proxy } = await setUp(t, engine, records)
    const found = await loadAll()
    t.same(texts(found), names(count))
    t.ok(found.every(record => record?.data.get('text')?.S?.length === 350_000))
    const calls = proxy.takeCalls()
    t.ok(calls.length > 1, `${calls.length} calls`)
    t.ok(Object.keys(calls[0]?.output['UnprocessedKeys']).length > 0, 'the engine has left some over')
  })

  await t.test('who listens is told of each load with its own capacity, and that adds up to what the engine charged', async t => {
    for (const strong of [false, true]) {
      const records = [1, 3000, 3900, 4200, 8000, 9000, 40_000].map((bytes, index) => makeRecord(`session ${index}`, bytes))
      const { loadAll, proxy, layout } = await setUp(t, engine, records, { strong })
      const reports = listen(t)
      const keys = [...records.map(({ key }) => key), hash('nobody')]
      await loadAll(keys, strong)
      const [call] = proxy.takeCalls()
      t.ok(reports.every(({ action, consistent, duration }) => action === 'BatchGetItem' && consistent === strong && Number(duration) > 0))
      t.equal(reports.length, keys.length)
      const told = reports.splice(0).map(({ capacity }) => Number(capacity))
      t.same(told.sort(), [...records.map(record => unitsOfRead(toItem(record, layout), strong)), strong ? 1 : 0.5].sort())
      // DynamoDB charges the least also for what is missing (API reference, BatchGetItem); its local engine does not.
      const uncharged = engine.name === 'dynalite' ? 0 : strong ? 1 : 0.5
      t.equal(told.reduce((sum, units) => sum + units, 0) - uncharged, call?.capacity)
      for (const record of records) {
        await loadAll([record.key], strong)
        const [alone] = proxy.takeCalls()
        t.same([alone?.action, alone?.capacity], ['GetItem', unitsOfRead(toItem(record, layout), strong)], 'as if it were read alone')
      }
    }
  })

  await t.test('a listener hears of a load in the context of the request that made it', async t => {
    const storage = new AsyncLocalStorage<string>()
    const { repository } = await setUp(t, engine, makeRecords(3))
    const heard: Array<string | undefined> = []
    const note = (): void => { heard.push(storage.getStore()) }
    for (const step of ['start', 'asyncEnd']) {
      subscribe(`tracing:fastify-dynamodb-session:load:${step}`, note)
      t.teardown(() => unsubscribe(`tracing:fastify-dynamodb-session:load:${step}`, note))
    }
    const owners = await Promise.all(names(3).map(async name => await storage.run(name, async () => {
      await repository.load(hash(name), false)
      return storage.getStore()
    })))
    t.same(owners, names(3), 'and each request goes on in its own')
    t.same(heard.sort(), [...names(3), ...names(3)].sort())
  })

  await t.test('with batchReads: false, every read is a GetItem', async t => {
    const { proxy, visitor } = await setStage(t, engine, { session: { batchReads: false } })
    const visitors = [visitor(), visitor(), visitor()]
    for (const each of visitors) await each.post('/set', { count: 1 })
    proxy.take()
    await Promise.all(visitors.map(async each => await each.get('/me')))
    t.same(proxy.take(), ['GetItem', 'GetItem', 'GetItem'])
  })
})

t.test('what may befall a batch', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())

  /** What the engine would answer, with some keys left over instead of read. */
  const leavingOver = async (proxy: FaultProxy, direct: DynamoRepository, isLeft: (key: string) => boolean, times = 1): Promise<void> => {
    let left = times
    proxy.intercept = async (action, input) => {
      if (action !== 'BatchGetItem' || left-- <= 0) return undefined
      const [[table, { Keys, ConsistentRead }]] = Object.entries<any>(input['RequestItems']) as [[string, any]]
      const over = (Keys as Array<{ id: { S: string } }>).filter(({ id }) => isLeft(id.S))
      const records = await Promise.all((Keys as typeof over).filter(key => !over.includes(key)).map(async ({ id }) => await direct.load(id.S, true)))
      const items = records.filter(record => record !== null).map(record => toItem(record, LAYOUT))
      return {
        status: 200,
        body: {
          Responses: { [table]: items },
          UnprocessedKeys: over.length === 0 ? {} : { [table]: { Keys: over, ConsistentRead } },
          ConsumedCapacity: [{ TableName: table, CapacityUnits: items.length / 2 }]
        }
      }
    }
  }
  const LAYOUT: Layout = { table: 'any', partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires' }
  const directly = ({ direct, layout }: { direct: DynamoDBClient, layout: Layout }) =>
    new DynamoRepository(direct, { layout, timeout: 30, maxSize: 409_600, onGhost: () => {} })

  await t.test('keys that are left over are read again, and the others do not wait for them', async t => {
    const stage = await setUp(t, engine, makeRecords(5))
    const { repository, proxy } = stage
    await leavingOver(proxy, directly(stage), key => [hash('session 1'), hash('session 3')].includes(key))
    const again = proxy.gate({ action: 'BatchGetItem', letBy: 1 })
    const loads = names(5).map(async name => await repository.load(hash(name), false))
    t.same(texts([await loads[0], await loads[2], await loads[4]] as SessionRecord[]), ['session 0', 'session 2', 'session 4'])
    const { input } = await again.reached
    t.same(Object.values<any>(input['RequestItems'])[0].Keys, [{ id: { S: hash('session 1') } }, { id: { S: hash('session 3') } }])
    again.release()
    t.same(texts(await Promise.all(loads)), names(5))
    t.same(proxy.take(), ['BatchGetItem', 'BatchGetItem'])
  })

  await t.test('a single key that is left over is read by a GetItem, and told of as one', async t => {
    const stage = await setUp(t, engine, makeRecords(5))
    const { loadAll, proxy } = stage
    const reports = listen(t)
    await leavingOver(proxy, directly(stage), key => key === hash('session 1'))
    t.same(texts(await loadAll()), names(5))
    t.same(proxy.take(), ['BatchGetItem', 'GetItem'])
    const charged = reports.filter(({ capacity }) => capacity !== undefined && capacity !== 1)
    t.same(charged.map(({ action }) => action).sort(), ['BatchGetItem', 'BatchGetItem', 'BatchGetItem', 'BatchGetItem', 'GetItem'])
    t.equal(charged.reduce((sum, { capacity }) => sum + Number(capacity), 0), 2.5)
  })

  await t.test('a key that stays throttled fails by itself, as its own GetItem does', async t => {
    const stage = await setUp(t, engine, makeRecords(3))
    const { settled, proxy } = stage
    await leavingOver(proxy, directly(stage), key => key === hash('session 1'))
    const rule = proxy.meet({ action: 'GetItem', times: 3 }, faults.error('ProvisionedThroughputExceededException'))
    const [first, second, third] = await settled()
    t.same([first?.status, third?.status], ['fulfilled', 'fulfilled'])
    t.match(second, { status: 'rejected', reason: { ...UNAVAILABLE, cause: { name: 'ProvisionedThroughputExceededException' } } })
    t.equal(rule.met, 3)
  })

  await t.test('keys that are left over for ever fail at the time limit, and nobody else does', async t => {
    const stage = await setUp(t, engine, makeRecords(4), { timeout: 0.4 })
    const { repository, proxy } = stage
    await leavingOver(proxy, directly(stage), key => [hash('session 1'), hash('session 3')].includes(key), Infinity)
    const start = performance.now()
    const loads = names(4).map(async name => await repository.load(hash(name), false))
    const failures = Promise.allSettled([loads[1], loads[3]])
    t.same(texts([await loads[0], await loads[2]] as SessionRecord[]), ['session 0', 'session 2'])
    const early = performance.now() - start
    for (const failure of await failures) t.match(failure, { status: 'rejected', reason: { ...UNAVAILABLE, cause: { name: 'TimeoutError' } } })
    const took = performance.now() - start
    t.ok(early < 380 && took > 380 && took < 700, `${early} ms, ${took} ms`)
    t.ok(proxy.take().length < 12, 'with pauses')
  })

  await t.test('a throttled batch is tried again, and then fails as a GetItem would', async t => {
    const { settled, loadAll, proxy } = await setUp(t, engine, makeRecords(3))
    proxy.meet('BatchGetItem', faults.error('ProvisionedThroughputExceededException'))
    t.same(texts(await loadAll()), names(3))
    t.same(proxy.take(), ['BatchGetItem', 'BatchGetItem'])
    proxy.meet({ action: 'BatchGetItem', times: 3 }, faults.error('ProvisionedThroughputExceededException'))
    const failed = await settled()
    for (const failure of failed) t.match(failure, { status: 'rejected', reason: { ...UNAVAILABLE, cause: { name: 'ProvisionedThroughputExceededException' } } })
    t.equal(new Set(failed.map(failure => (failure as PromiseRejectedResult).reason as unknown)).size, 3, 'each with an error of its own')
    t.same(proxy.take(), Array(3).fill('BatchGetItem'))
  })

  await t.test('each fault is one for a batch that is one for a GetItem', async t => {
    const kinds = [
      ['InternalServerError', faults.error('InternalServerError', { status: 500 }), 3],
      ['reset', faults.resetBefore, 3],
      ['reset after', faults.resetAfter, 3],
      ['half an answer', faults.truncate, 3],
      ['a damaged answer', faults.badCrc, 3],
      ['an answer of {}', faults.emptyObject, 1],
      ['an empty answer', faults.empty200, 1],
      ['a page', faults.raw(200, '<html></html>', 'text/html'), 1],
      ['ValidationException', faults.error('ValidationException'), 1],
      ['ExpiredTokenException', faults.error('ExpiredTokenException'), 1],
      ['KMSAccessDeniedException', faults.error('KMSAccessDeniedException'), 1],
      // What only writes have is no answer to a read.
      ['ConditionalCheckFailedException', faults.error('ConditionalCheckFailedException'), 1]
    ] as const
    for (const [title, fault, attempts] of kinds) {
      const { settled, proxy, refusals } = await setUp(t, engine, makeRecords(3))
      proxy.meet({ action: 'BatchGetItem', times: 3 }, fault)
      for (const failure of await settled()) t.match(failure, { status: 'rejected', reason: UNAVAILABLE }, title)
      t.same(proxy.take(), Array(attempts).fill('BatchGetItem'), title)
      t.same(refusals, [], title)
    }
  })

  await t.test('a batch that never comes back ends at the time limit for all of it', async t => {
    const { settled, proxy } = await setUp(t, engine, makeRecords(3), { timeout: 0.3 })
    proxy.meet({ action: 'BatchGetItem', times: 10 }, faults.hang)
    const start = performance.now()
    for (const failure of await settled()) t.match(failure, { status: 'rejected', reason: { ...UNAVAILABLE, cause: { name: 'TimeoutError' } } })
    const took = performance.now() - start
    t.ok(took > 280 && took < 500, `${took} ms`)
  })

  await t.test('a process that is busy for longer than the time limit reads all the same, alone or together', async t => {
    for (const count of [1, 3]) {
      const { settled, proxy } = await setUp(t, engine, makeRecords(count), { timeout: 0.5 })
      const loads = settled()
      // Nothing else runs meanwhile, as in a handler that computes.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
      t.same(new Set((await loads).map(({ status }) => status)), new Set(['fulfilled']))
      t.same(proxy.take(), [count === 1 ? 'GetItem' : 'BatchGetItem'])
    }
  })

  await t.test('an answer without consumed capacity is a failure, unless the engine never tells any', async t => {
    const { settled, loadAll, proxy, repository, layout } = await setUp(t, engine, makeRecords(2))
    for (const ConsumedCapacity of [undefined, []]) {
      proxy.intercept = () => ({ status: 200, body: { Responses: { [layout.table]: [] }, UnprocessedKeys: {}, ConsumedCapacity } })
      for (const failure of await settled()) t.match(failure, { status: 'rejected', reason: { ...UNAVAILABLE, cause: { message: 'An answer without consumed capacity.' } } })
    }
    repository.expectsCapacity = false
    const reports = listen(t)
    t.same(await loadAll(), [null, null])
    t.match(reports, [{ action: 'BatchGetItem', capacity: undefined }, { action: 'BatchGetItem', capacity: undefined }])
    proxy.intercept = () => ({ status: 200, body: {} })
    for (const failure of await settled()) t.match(failure, { status: 'rejected', reason: UNAVAILABLE }, 'but nothing at all is no answer')
  })

  await t.test('an answer with another visitor\'s item is given to nobody', async t => {
    const { settled, proxy, layout } = await setUp(t, engine, makeRecords(2))
    const Item = toItem(makeRecord('another'), layout)
    proxy.intercept = () => ({ status: 200, body: { Responses: { [layout.table]: [Item] }, UnprocessedKeys: {}, ConsumedCapacity: [{ CapacityUnits: 1 }] } })
    for (const failure of await settled()) t.match(failure, { status: 'rejected', reason: { ...UNAVAILABLE, cause: { message: 'An answer with a key that was not asked for.' } } })
  })

  await t.test('where BatchGetItem is refused, reads are GetItems at once and for good, after one warning', async t => {
    for (const name of ['AccessDeniedException', 'UnknownOperationException']) {
      const { loadAll, proxy, refusals } = await setUp(t, engine, makeRecords(3))
      const reports = listen(t)
      proxy.meet({ action: 'BatchGetItem', times: 10 }, faults.error(name, { message: 'arn:aws:iam::123456789012:role/x may not' }))
      t.same(texts(await loadAll()), names(3))
      t.same(proxy.take(), ['BatchGetItem', 'GetItem', 'GetItem', 'GetItem'])
      t.match(refusals, [{ name, message: 'arn:[redacted] may not' }])
      t.same(reports.map(({ action, error }) => [action, error === undefined]).sort(), [
        ...Array(3).fill(['BatchGetItem', false]), ...Array(3).fill(['GetItem', true])
      ])
      t.same(texts(await loadAll()), names(3))
      t.same(proxy.take(), ['GetItem', 'GetItem', 'GetItem'])
      t.equal(refusals.length, 1)
    }
  })

  await t.test('credentials that may do nothing are a failure, and batches go on when they may', async t => {
    const { loadAll, settled, proxy, refusals } = await setUp(t, engine, makeRecords(3))
    proxy.meet({ action: '*', times: 4 }, faults.error('AccessDeniedException'))
    for (const failure of await settled()) t.match(failure, { status: 'rejected', reason: { ...UNAVAILABLE, cause: { name: 'AccessDeniedException' } } })
    t.same(proxy.take(), ['BatchGetItem', 'GetItem', 'GetItem', 'GetItem'])
    t.same(refusals, [])
    t.same(texts(await loadAll()), names(3))
    t.same(proxy.take(), ['BatchGetItem'])
  })

  await t.test('an application that lacks the permission says so in its log, once', async t => {
    const { proxy, visitor, log } = await setStage(t, engine)
    const visitors = [visitor(), visitor()]
    for (const each of visitors) await each.post('/set', { count: 1 })
    proxy.meet({ action: 'BatchGetItem', times: 10 }, faults.error('AccessDeniedException'))
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(visitors.map(async each => await each.get('/me')))
      t.same(answers.map(({ statusCode }) => statusCode), [200, 200])
    }
    const warnings = log.warnings().filter(text => text.includes('BatchGetItem'))
    t.same(warnings, ['Reads do not travel together, because BatchGetItem is refused: permit dynamodb:BatchGetItem, or set batchReads: false'])
  })

  await t.test('a failed batch is a 503 for each visitor, and the cookies stay', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const visitors = [visitor(), visitor(), visitor()]
    for (const each of visitors) await each.post('/set', { count: 1 })
    proxy.meet({ action: 'BatchGetItem', times: 3 }, faults.error('InternalServerError', { status: 500 }))
    const answers = await Promise.all(visitors.map(async each => await each.get('/me')))
    for (const answer of answers) t.same([answer.statusCode, answer.headers['set-cookie']], [503, undefined])
    const later = await Promise.all(visitors.map(async each => await each.get('/me')))
    t.same(later.map(answer => answer.json().data), Array(3).fill({ count: 1 }))
  })

  await t.test('a companion is heeded for those whom the batch has shown an old state, and only for them', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const visitors = [visitor(), visitor(), visitor()]
    for (const each of visitors) await each.post('/set', { count: 1 })
    proxy.staleReads = true
    await visitors[1]?.post('/set', { count: 2 })
    proxy.take()
    const answers = await Promise.all(visitors.map(async each => await each.get('/me')))
    t.same(answers.map(answer => answer.json().data.count), [1, 2, 1])
    t.same(proxy.take(), ['BatchGetItem', 'GetItem'])
  })

  await t.test('a read that waits for the end of its turn is under way, and so is one that waits to be read again', async t => {
    const stage = await setUp(t, engine, makeRecords(3))
    const { repository, proxy } = stage
    await leavingOver(proxy, directly(stage), key => key !== hash('session 0'))
    let done = 0
    const loads = names(3).map(async name => {
      await repository.load(hash(name), false)
      done += 1
    })
    await repository.idle()
    t.equal(done, 3)
    await Promise.all(loads)
  })

  await t.test('a client that was handed in may resolve to anything, and to nothing', async t => {
    for (const answer of [undefined, {}, { ConsumedCapacity: [{}] }, { Responses: { any: [] } }]) {
      const repository = new DynamoRepository({ send: async () => answer } as unknown as DynamoDBClient, {
        layout: LAYOUT, timeout: 3, maxSize: 409_600, onGhost: () => {}, batches: { strong: false, onRefused: () => {} }
      })
      const loads = await Promise.allSettled(['a', 'b'].map(async key => await repository.load(key, false)))
      t.same(loads.map(({ status }) => status), ['rejected', 'rejected'])
    }
    const throwing = new DynamoRepository({ send: () => { throw new Error('at once') } } as unknown as DynamoDBClient, {
      layout: LAYOUT, timeout: 3, maxSize: 409_600, onGhost: () => {}, batches: { strong: false, onRefused: () => {} }
    })
    for (const failure of await Promise.allSettled(['a', 'b'].map(async key => await throwing.load(key, false)))) t.match(failure, { reason: { ...UNAVAILABLE, cause: { message: 'at once' } } })
  })

  await t.test('a table that is named by its ARN is asked for and found by it', async t => {
    const table = 'arn:aws:dynamodb:eu-central-1:111122223333:table/sessions'
    const layout = { ...LAYOUT, table }
    const inputs: unknown[] = []
    const send = async ({ input }: { input: { RequestItems: Record<string, { Keys: unknown[] }> } }) => {
      inputs.push(input)
      return { Responses: { [table]: [toItem(makeRecord('session 1'), layout), toItem(makeRecord('session 0'), layout)] }, ConsumedCapacity: [{ TableName: table, CapacityUnits: 1.5 }] }
    }
    const repository = new DynamoRepository({ send } as unknown as DynamoDBClient, {
      layout, timeout: 3, maxSize: 409_600, onGhost: () => {}, batches: { strong: false, onRefused: () => {} }
    })
    const found = await Promise.all(names(3).map(async name => await repository.load(hash(name), false)))
    t.same(texts(found), ['session 0', 'session 1', undefined])
    t.same(inputs, [{
      RequestItems: { [table]: { Keys: names(3).map(name => ({ id: { S: hash(name) } })), ConsistentRead: false } }, ReturnConsumedCapacity: 'TOTAL'
    }])
  })
})
