import { DynamoDBClient, UpdateItemCommand, type CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import dynamoSession, { type CallReport, type DynamoSessionOptions } from '../../index.js'
import { memoryRepository } from '../../testing/index.js'
import { addRoutes, setStage, type Stage, type StageOptions } from '../support/app.js'
import { read, rowsIn } from '../support/documents.js'
import { clientConfig, onDynamoDBLocal, onEachEngine, type Engine } from '../support/engines.js'
import { findIn, indexOn } from '../support/indexes.js'

interface IndexedStage extends Stage {
  /** The keys of the sessions that the index finds under a value, and that are alive by the clock. */
  find (value: unknown, name?: string): Promise<string[]>
}

async function setIndexed (t: Test, engine: Engine, options: StageOptions = {}): Promise<IndexedStage> {
  const stage = await setStage(t, engine, { table: indexOn('userId'), ...options, session: { indexKeys: ['userId'], ...options.session } })
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(() => { client.destroy() })
  const find = async (value: unknown, name = 'userId'): Promise<string[]> => {
    return await findIn(client, stage.table, name, value, stage.clock.seconds)
  }
  return { ...stage, find }
}

/** Routes that let a test do to a session what a handler can. */
function addIndexRoutes (app: Parameters<typeof addRoutes>[0]): void {
  addRoutes(app)
  app.post('/clear', async request => { request.session.clear() })
  app.post('/delete', async request => { request.session.delete('userId') })
  app.post('/keep', async request => {
    await request.session.regenerate(true)
    return { key: request.session.loggableId }
  })
  app.post('/update', async request => await request.session.update('userId', value => value === 'u-1' ? 'u-2' : undefined))
  app.post('/count', async request => await request.session.update('count', (count = 0) => count + 1))
  app.post('/twice', async request => {
    request.session.set('userId', 'u-9')
    await request.session.save()
    request.session.set('any:color', 'blue')
  })
  app.get('/key', async request => ({ key: request.session.loggableId }))
  app.post('/many', async request => {
    for (let index = 0; index < 250; index++) request.session.set(`any:${index}`, index)
    request.session.set('userId', (request.body as { userId?: string }).userId)
  })
  app.post('/turn', async request => {
    const bytes = request.session.get('any:device')
    if (bytes instanceof Uint8Array) bytes[0] = 9
  })
  app.post('/device', async request => { request.session.set('any:device', Uint8Array.of(1, 2)) })
}

const WRITES = ['create', 'save', 'touch', 'destroy']

const ROUTES = { routes: addIndexRoutes }

/** Whoever has the session of a visitor, as the index would name it. */
async function keyOf (visitor: ReturnType<Stage['visitor']>): Promise<string> {
  return (await visitor.get('/key')).json<{ key: string }>().key
}

onEachEngine(t, async (t, engine) => {
  await t.test('an index finds exactly the living sessions of a user, from log-in to log-out, and no call is made for it', async t => {
    const { visitor, proxy, find } = await setIndexed(t, engine, ROUTES)
    const [laptop, phone, stranger] = [visitor(), visitor(), visitor()]
    await laptop.post('/set', { 'any:color': 'red' })
    t.same(await find('u-42'), [], 'a visitor who is nobody yet is in no index')
    proxy.take()
    await laptop.post('/login')
    t.same(proxy.take(), ['GetItem', 'PutItem', 'UpdateItem'])
    await phone.post('/login')
    t.same(proxy.take(), ['PutItem'])
    await stranger.post('/set', { userId: 'u-7' })
    const keys = [await keyOf(laptop), await keyOf(phone)]
    t.same(await find('u-42'), [...keys].sort())
    t.same(await find('u-7'), [await keyOf(stranger)])

    proxy.take()
    await laptop.post('/set', { userId: 'u-7' })
    t.same(proxy.take(), ['GetItem', 'UpdateItem'])
    t.same(await find('u-42'), [keys[1]])
    t.same(await find('u-7'), [keys[0], await keyOf(stranger)].sort())
    await laptop.post('/set', { 'any:color': 'blue' })
    t.same((await find('u-7')).length, 2, 'a change of another key leaves it')

    await phone.post('/logout')
    t.same(await find('u-42'), [])
  })

  await t.test('a session that was replaced leaves the index when its successor enters it', async t => {
    const { visitor, item, find } = await setIndexed(t, engine, ROUTES)
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1' })
    const before = await keyOf(ann)
    t.same(await find('u-1'), [before])
    const after = (await ann.post('/keep')).json<{ key: string }>().key
    t.same(await find('u-1'), [after])
    t.ok((await item(before))?.['next'], 'the record that was replaced is there yet')
    t.notOk((await item(before))?.['userId'])
    await ann.post('/login')
    t.same(await find('u-1'), [])
    t.same(await find('u-42'), [await keyOf(ann)])
  })

  await t.test('expired sessions are found by nobody who asks for living ones', async t => {
    const { visitor, clock, find } = await setIndexed(t, engine, ROUTES)
    await visitor().post('/set', { userId: 'u-1' })
    clock.forward(7000)
    const late = visitor()
    await late.post('/set', { userId: 'u-1' })
    t.equal((await find('u-1')).length, 2)
    clock.forward(300)
    t.same(await find('u-1'), [await keyOf(late)])
  })

  await t.test('delete, clear, update and the whole-map write of many keys keep it in step', async t => {
    const { visitor, proxy, item, find } = await setIndexed(t, engine, ROUTES)
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1', 'any:color': 'red' })
    const key = await keyOf(ann)
    proxy.take()
    t.equal((await ann.post('/update')).body, 'u-2')
    t.same(proxy.take(), ['GetItem', 'UpdateItem'])
    t.same([await find('u-1'), await find('u-2')], [[], [key]])
    await ann.post('/update')
    t.same(await find('u-2'), [], 'an update to undefined deletes')
    t.notOk((await item(key))?.['userId'])

    await ann.post('/many', { userId: 'u-3' })
    t.same(await find('u-3'), [key])
    await ann.post('/clear')
    t.same(await find('u-3'), [], 'more than 200 keys are cleared by one map')
    await ann.post('/set', { userId: 'u-4' })
    t.same(await find('u-4'), [key])
    await ann.post('/delete')
    t.same(await find('u-4'), [])
  })

  await t.test('bytes changed in place move in the index', async t => {
    const session = { indexKeys: ['any:device'], format: 'native' } as const
    const { visitor, find } = await setIndexed(t, engine, { ...ROUTES, session, table: indexOn('any:device', 'B') })
    const ann = visitor()
    await ann.post('/device')
    t.same(await find(Uint8Array.of(1, 2), 'any:device'), [await keyOf(ann)])
    await ann.post('/turn')
    t.same(await find(Uint8Array.of(1, 2), 'any:device'), [])
    t.same(await find(Uint8Array.of(9, 2), 'any:device'), [await keyOf(ann)])
  })

  await t.test('of two saves at once the later one stands, in the data and in the index', async t => {
    const { visitor, proxy, item, find } = await setIndexed(t, engine, ROUTES)
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1' })
    const key = await keyOf(ann)
    const gate = proxy.gate({ action: 'UpdateItem' })
    const slow = ann.send({ method: 'POST', url: '/set', payload: { userId: 'u-2' } })
    await gate.reached
    await ann.post('/set', { userId: 'u-3', 'any:color': 'red' })
    t.same(await find('u-3'), [key])
    gate.release()
    await slow
    t.same([await find('u-2'), await find('u-3')], [[key], []])
    const { data, userId } = await item(key) ?? {}
    t.same([data?.M?.['userId'], userId], [{ S: '"u-2"' }, { S: 'u-2' }])
  })

  await t.test('a save that is under way at a log-out brings nothing back into the index', async t => {
    const { visitor, proxy, find } = await setIndexed(t, engine, ROUTES)
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1' })
    const gate = proxy.gate({ action: 'UpdateItem' })
    const slow = ann.send({ method: 'POST', url: '/set', payload: { userId: 'u-2' } })
    await gate.reached
    await ann.post('/logout')
    gate.release()
    await slow
    t.same([await find('u-1'), await find('u-2')], [[], []])
  })

  await t.test('numbers are indexed as numbers, and what can be no key leaves the session out', async t => {
    const { visitor, proxy, item, find } = await setIndexed(t, engine, { ...ROUTES, session: { indexKeys: ['any:age'] }, table: indexOn('any:age', 'N') })
    const ann = visitor()
    await ann.post('/set', { 'any:age': 41.5 })
    const key = await keyOf(ann)
    t.same(await find(41.5, 'any:age'), [key])
    for (const value of [true, null, { years: 41 }, [41], '', 1e300]) {
      await ann.post('/set', { 'any:age': 41.5 })
      t.equal((await ann.post('/set', { 'any:age': value })).statusCode, 200)
      t.same(await find(41.5, 'any:age'), [], JSON.stringify(value))
      t.notOk((await item(key))?.['any:age'])
      t.same((await ann.get('/me')).json().data, { 'any:age': value })
    }
    await ann.post('/set', { 'any:age': 41.5 })
    t.same(await find(41.5, 'any:age'), [key], 'and a value that can be one brings it back')
    for (const value of [9.9999999999999e125, -9.9999999999999e125, 1e-130, -1e-130, 0, 1e21, Number.MAX_SAFE_INTEGER, 0.1 + 0.2]) {
      await ann.post('/set', { 'any:age': value })
      t.same(await find(value, 'any:age'), [key], String(value))
      proxy.take()
      await ann.post('/set', { 'any:color': value })
      const names = proxy.takeCalls().flatMap(({ input }) => Object.values(input['ExpressionAttributeNames'] ?? {}))
      t.same([names.includes('any:color'), names.includes('any:age')], [true, false], 'as it was read back, it is in step')
    }
  })

  await t.test('a text as long as an index takes is found, and a longer one is no key', async t => {
    const { visitor, find, item } = await setIndexed(t, engine, ROUTES)
    const ann = visitor()
    await ann.post('/set', { userId: 'ß'.repeat(1024) })
    const key = await keyOf(ann)
    t.same(await find('ß'.repeat(1024)), [key])
    await ann.post('/set', { userId: 'ß'.repeat(1024) + 'x' })
    t.notOk((await item(key))?.['userId'])
    t.equal((await ann.get('/me')).json().data.userId.length, 1025)
  })

  await t.test('an update of another key puts the attribute right too, and gives way to whoever was faster', async t => {
    const { app, visitor, clock, proxy, table, find } = await setIndexed(t, engine, { ...ROUTES, session: { indexKeys: [] } })
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1', count: 1 })
    const key = await keyOf(ann)
    const next = await another(t, proxy.endpoint, { table, now: clock.now, indexKeys: ['userId'] })
    const gate = proxy.gate({ action: 'UpdateItem' })
    const slow = ann.send({ method: 'POST', url: '/count' }, next)
    await gate.reached
    await ann.send({ method: 'POST', url: '/set', payload: { userId: 'u-2' } }, app)
    gate.release()
    t.equal((await slow).body, '2')
    t.same([await find('u-1'), await find('u-2')], [[], [key]])
  })

  await t.test('what is refused as a conflict is refused with index keys as well', async t => {
    const { visitor, proxy, find } = await setIndexed(t, engine, { ...ROUTES, session: { conflict: 'reject' } })
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1' })
    const gate = proxy.gate({ action: 'UpdateItem' })
    const slow = ann.send({ method: 'POST', url: '/set', payload: { userId: 'u-2' } })
    await gate.reached
    await ann.post('/set', { 'any:color': 'red' })
    gate.release()
    t.equal((await slow).statusCode, 409)
    t.same([await find('u-1'), await find('u-2')], [[await keyOf(ann)], []])
  })

  await t.test('two saves of one request each go by what the first one left', async t => {
    const { visitor, proxy, find } = await setIndexed(t, engine, ROUTES)
    const ann = visitor()
    await ann.post('/set', { 'any:color': 'red' })
    proxy.take()
    await ann.post('/twice')
    const [first, second] = proxy.takeCalls().filter(({ action }) => action === 'UpdateItem').map(({ input }) => Object.values(input['ExpressionAttributeNames']))
    t.ok(first?.includes('userId'))
    t.notOk(second?.includes('userId'), 'nothing is to be put right')
    t.same(await find('u-9'), [await keyOf(ann)])
  })

  await t.test('a repository that is handed in keeps sessions as ever, and gets no attributes', async t => {
    const app = Fastify()
    t.teardown(async () => await app.close())
    const repository = memoryRepository()
    await app.register(dynamoSession, { table: 'sessions', client: repository, indexKeys: ['userId'] })
    const session = await app.sessions.create({ userId: 'u-1' })
    session.set('count', 2)
    await app.sessions.save(session)
    const record = await repository.load(session.loggableId ?? '', true)
    t.same([record?.version, record?.data.get('userId'), record?.index], [2, { S: '"u-1"' }, undefined])
  })

  await t.test('a session from before the option is in the index after its next data write, and a touch is none', async t => {
    const { app, visitor, clock, proxy, table, item, find } = await setIndexed(t, engine, { ...ROUTES, session: { indexKeys: [] } })
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1' })
    const key = await keyOf(ann)
    const next = await another(t, proxy.endpoint, { table, now: clock.now, indexKeys: ['userId'] })
    clock.forward(800)
    proxy.take()
    await ann.send({ url: '/me' }, next)
    t.same(proxy.take(), ['GetItem', 'UpdateItem'], 'it was renewed')
    t.same(await find('u-1'), [])
    await ann.send({ method: 'POST', url: '/set', payload: { 'any:color': 'red' } }, next)
    t.same(proxy.take(), ['GetItem', 'UpdateItem'])
    t.same(await find('u-1'), [key])

    await ann.send({ method: 'POST', url: '/set', payload: { userId: 'u-2' } }, app)
    t.same((await item(key))?.['userId'], { S: 'u-1' }, 'a process without the option leaves the attribute as it was')
    await ann.send({ method: 'POST', url: '/set', payload: { 'any:color': 'blue' } }, next)
    t.same([await find('u-1'), await find('u-2')], [[], [key]], 'and the next write of one that has it puts it right')
    await ann.send({ method: 'POST', url: '/delete' }, app)
    await ann.send({ method: 'POST', url: '/set', payload: { 'any:color': 'green' } }, next)
    t.same(await find('u-2'), [])
  })

  await t.test('what puts the attribute right never goes by a value that has changed since it was read', async t => {
    const { visitor, clock, proxy, table, find } = await setIndexed(t, engine, { ...ROUTES, session: { indexKeys: [] } })
    const ann = visitor()
    await ann.post('/set', { userId: 'u-1' })
    const key = await keyOf(ann)
    const next = await another(t, proxy.endpoint, { table, now: clock.now, indexKeys: ['userId'] })
    const gate = proxy.gate({ action: 'UpdateItem' })
    const slow = ann.send({ method: 'POST', url: '/set', payload: { 'any:color': 'red' } }, next)
    await gate.reached
    await ann.send({ method: 'POST', url: '/set', payload: { userId: 'u-2' } }, next)
    proxy.take()
    gate.release()
    t.equal((await slow).statusCode, 200)
    t.same(proxy.take(), ['UpdateItem', 'GetItem', 'UpdateItem'], 'it read again')
    t.same([await find('u-1'), await find('u-2')], [[], [key]])
    t.match((await ann.get('/me')).json().data, { userId: 'u-2', 'any:color': 'red' })
  })

  await t.test('an index that has another type for its key costs a session its place there and nothing else', async t => {
    const { visitor, proxy, log, item, clock } = await setIndexed(t, engine, { ...ROUTES, table: indexOn('userId', 'N') })
    const ann = visitor()
    t.equal((await ann.post('/login')).statusCode, 200)
    t.same(proxy.take(), ['PutItem', 'PutItem'], 'without the attribute, after DynamoDB refused it')
    const key = await keyOf(ann)
    t.notOk((await item(key))?.['userId'])
    clock.forward(61)
    proxy.take()
    t.equal((await ann.post('/set', { userId: 'u-1', 'any:color': 'red' })).statusCode, 200)
    t.same(proxy.takeCalls().filter(({ action }) => action === 'UpdateItem').length, 2)
    t.same((await ann.get('/me')).json().data, { userId: 'u-1', 'any:color': 'red' })
    t.equal(log.warnings().filter(text => text.includes('an index of the table refuses')).length, 2, 'told, once a minute')
    t.notMatch(JSON.stringify(log.lines), /u-42|u-1\b/, 'without a value')
  })

  await t.test('a value too long for the sort key of an index costs no session either', async t => {
    const { visitor, item } = await setIndexed(t, engine, {
      ...ROUTES, session: { indexKeys: ['userId', 'any:device'] }, table: indexOn('userId', 'S', 'any:device')
    })
    const ann = visitor()
    t.equal((await ann.post('/set', { userId: 'u-1', 'any:device': 'x'.repeat(1500) })).statusCode, 200)
    const key = await keyOf(ann)
    t.match((await ann.get('/me')).json().data, { userId: 'u-1' })
    await ann.post('/set', { 'any:device': 'x'.repeat(1024) })
    t.same((await item(key))?.['userId'], { S: 'u-1' }, 'both are indexed once they fit')
  })

  await t.test('with sealed values, what is named as plain stands beside them and nothing else', async t => {
    const session = { encryptionKeys: new Uint8Array(32).fill(5), indexKeys: [{ key: 'any:tenant', plain: true }] } as const
    const { visitor, item, find } = await setIndexed(t, engine, { ...ROUTES, session, table: indexOn('any:tenant') })
    const ann = visitor()
    await ann.post('/set', { 'any:tenant': 'acme-widgets', 'any:card': 'a secret of Ann' })
    const key = await keyOf(ann)
    t.same(await find('acme-widgets', 'any:tenant'), [key])
    const stored = await item(key)
    t.ok(stored?.['data']?.M?.['any:tenant']?.B, 'the value itself is sealed')
    t.notOk(stored?.['any:card'])
    await ann.post('/set', { 'any:tenant': 'other-tenant' })
    t.same([await find('acme-widgets', 'any:tenant'), await find('other-tenant', 'any:tenant')], [[], [key]])
  })

  await t.test('the attribute counts in the size of a session', async t => {
    const name = 'u'.repeat(200)
    const without = await setIndexed(t, engine, { ...ROUTES, session: { indexKeys: [], maxSize: 500 } })
    t.equal((await without.visitor().post('/set', { userId: name })).statusCode, 200)
    const { visitor, proxy } = await setIndexed(t, engine, { ...ROUTES, session: { maxSize: 500 } })
    t.equal((await visitor().post('/set', { userId: name })).statusCode, 413)
    t.same(proxy.take(), [], 'nothing was sent')
  })

  await t.test('200 changed keys and 20 index keys fit into what an expression may hold', async t => {
    const names = Array.from({ length: 20 }, (_, index) => `any:key-${index}` as const)
    const { visitor, clock, proxy, table, item } = await setIndexed(t, engine, { ...ROUTES, session: { indexKeys: [] } })
    const ann = visitor()
    await ann.post('/set', Object.fromEntries(names.map(name => [name, 'a'])))
    const key = await keyOf(ann)
    const next = await another(t, proxy.endpoint, { table, now: clock.now, indexKeys: names })
    for (const count of [1, 150, 160, 161, 180, 200, 201]) {
      const other = Object.fromEntries(Array.from({ length: count }, (_, index) => [`any:${index}`, count]))
      const { statusCode } = await ann.send({ method: 'POST', url: '/set', payload: other }, next)
      t.equal(statusCode, 200, `${count} others`)
      const attributes = await item(key) ?? {}
      t.same(names.filter(name => attributes[name]?.S !== 'a'), [])
      await stripped(engine, table, key, names)
    }
  })

  await t.test('a request that reads, and one that renews, cost what they cost without', async t => {
    const { visitor, proxy, clock } = await setIndexed(t, engine, ROUTES)
    const ann = visitor()
    await ann.post('/login')
    clock.forward(20)
    proxy.take()
    await ann.get('/me')
    t.same(proxy.take(), ['GetItem'])
    clock.forward(800)
    await ann.get('/me')
    t.same(proxy.take(), ['GetItem', 'UpdateItem'])
  })
})

onDynamoDBLocal(t, async (t, engine) => {
  const none: Partial<CreateTableCommandInput> = {}
  const [base, sorted] = [indexOn('userId'), indexOn('userId', 'S', 'expires')]
  const projecting = (ProjectionType: 'KEYS_ONLY' | 'ALL', parts = base): Partial<CreateTableCommandInput> => ({
    ...parts, GlobalSecondaryIndexes: parts.GlobalSecondaryIndexes?.map(index => ({ ...index, Projection: { ProjectionType } }))
  })
  const byExpiry = {
    ...projecting('KEYS_ONLY', sorted),
    AttributeDefinitions: [...base.AttributeDefinitions ?? [], { AttributeName: 'expires', AttributeType: 'N' as const }]
  }
  const [first, ...rows] = rowsIn(read('docs/cost.md'), 'an index on a session key', 'enters it')
  for (const [row = [], table] of [[first, none], [rows[0], projecting('KEYS_ONLY')], [rows[1], base], [rows[2], byExpiry], [rows[3], projecting('ALL')]] as const) {
    await t.test(`an index costs what docs/cost.md says: ${row[0]}`, async t => {
      const { visitor, clock } = await setStage(t, engine, { table, session: { indexKeys: ['userId'] } })
      const ann = visitor()
      const units: number[] = []
      const hear = (message: unknown): void => { units.push(Number((message as CallReport).capacity)) }
      for (const operation of WRITES) subscribe(`tracing:fastify-dynamodb-session:${operation}:asyncEnd`, hear)
      await ann.post('/set', { userId: 'u-1' })
      await ann.post('/set', { userId: 'u-2' })
      clock.forward(10)
      await ann.post('/set', { 'any:color': 'blue' })
      clock.forward(800)
      await ann.get('/nothing')
      await ann.post('/logout')
      for (const operation of WRITES) unsubscribe(`tracing:fastify-dynamodb-session:${operation}:asyncEnd`, hear)
      t.same(units, row.slice(1).map(Number))
    })
  }
  t.equal(rows.length, 4, 'and there is no other line')
})

/** Another process on the same table. */
async function another (t: Test, endpoint: string, options: DynamoSessionOptions) {
  const app = Fastify()
  await app.register(dynamoSession, { client: clientConfig(endpoint), verify: false, timeout: 30, ...options })
  addIndexRoutes(app)
  await app.ready()
  t.teardown(async () => await app.close())
  return app
}

/** Takes attributes away, as if they had never been written. */
async function stripped ({ endpoint }: Engine, TableName: string, key: string, names: readonly string[]): Promise<void> {
  const client = new DynamoDBClient(clientConfig(endpoint))
  await client.send(new UpdateItemCommand({
    TableName,
    Key: { id: { S: key } },
    UpdateExpression: `REMOVE ${names.map((_, index) => `#n${index}`).join(',')}`,
    ExpressionAttributeNames: Object.fromEntries(names.map((name, index) => [`#n${index}`, name]))
  }))
  client.destroy()
}
