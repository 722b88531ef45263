import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { SessionManager } from '../../index.js'
import { memoryRepository } from '../../testing/index.js'
import { FaultProxy } from '../support/proxy.js'
import { clientConfig, createTable, onEachEngine, type Engine } from '../support/engines.js'
import { setStage } from '../support/app.js'
import '../support/session-data.js'
import type { Test } from 'tap'

async function setManager (t: Test, engine: Engine, options = {}) {
  const proxy = await FaultProxy.start(engine)
  const manager = new SessionManager({ table: await createTable(engine), client: clientConfig(proxy.endpoint), ...options })
  t.teardown(async () => {
    manager.close()
    await proxy.close()
  })
  return { manager, proxy }
}

onEachEngine(t, async (t, engine) => {
  await t.test('a session is created, loaded, changed, saved and destroyed without a request', async t => {
    const { manager, proxy } = await setManager(t, engine)
    const created = await manager.create({ userId: 'u-1', cart: ['apple'] })
    t.same(proxy.take(), ['PutItem'])
    t.same([created.isNew, created.version], [false, 1])

    const loaded = await manager.load(created.id ?? '')
    t.same(proxy.takeCalls().map(call => [call.action, call.input['ConsistentRead']]), [['GetItem', true]])
    t.same(loaded?.data(), { userId: 'u-1', cart: ['apple'] })

    loaded?.get('cart')?.push('pear')
    if (loaded !== null) await manager.save(loaded)
    t.same(proxy.take(), ['UpdateItem'])
    t.same((await manager.load(created.id ?? '', { required: true })).get('cart'), ['apple', 'pear'])

    await manager.destroy(created.id ?? '')
    proxy.take()
    t.equal(await manager.load(created.id ?? ''), null)
    await t.rejects(created.save().then(async () => { created.set('count', 1); await created.save() }), { code: 'FST_DYNAMODB_SESSION_GONE' })
    t.equal(await manager.load(created.id ?? ''), null, 'and does not come back')
  })

  await t.test('an unknown and an expired session are null alike, or an error where one is required', async t => {
    let now = Date.now()
    const { manager } = await setManager(t, engine, { now: () => now })
    const { id = '' } = await manager.create({ count: 1 })
    const unknown = Buffer.alloc(32, 1).toString('base64url')
    t.equal(await manager.load(unknown), null)
    now += 7200_000
    t.equal(await manager.load(id), null)
    for (const one of [unknown, id, 'no id at all']) await t.rejects(manager.load(one, { required: true }), { code: 'FST_DYNAMODB_SESSION_GONE' })
  })

  await t.test('what is no id costs no call: malformed text, a loggable id of another length, a signed token', async t => {
    const { manager, proxy } = await setManager(t, engine, { secrets: 'a secret that is long enough to sign with' })
    const session = await manager.create({ count: 1 })
    proxy.take()
    for (const text of ['', 'x', '%', `${session.token}`, '__proto__']) {
      t.equal(await manager.load(text), null)
      await manager.destroy(text)
    }
    t.same(proxy.take(), [])
    t.equal(await manager.load(session.loggableId ?? ''), null, 'the stored key is no id')
  })

  await t.test('a token of a session that was created outside is accepted by the plugin', async t => {
    const { app } = await setStage(t, engine, { session: { secrets: 'a secret that is long enough to sign with' } })
    const { token } = await app.sessions.create({ userId: 'u-7' })
    const response = await app.inject({ url: '/me', headers: { cookie: `__Host-id=${encodeURIComponent(token ?? '')}` } })
    t.same(response.json().data, { userId: 'u-7' })
  })

  await t.test('a table is created and verified', async t => {
    const table = `made-by-manager-${process.pid}`
    const manager = new SessionManager({ table, client: clientConfig(engine.endpoint) })
    t.teardown(() => { manager.close() })
    await t.rejects(manager.verifyTable(), { code: 'FST_DYNAMODB_SESSION_TABLE_MISSING' })
    await manager.createTable()
    await manager.verifyTable()
    await manager.createTable()
    t.ok((await manager.create({ count: 1 })).token)
  })
})

t.test('save takes sessions of ours only', async t => {
  const manager = new SessionManager({ table: 'sessions', client: memoryRepository() })
  await t.rejects(manager.save({} as never), TypeError)
})

t.test('on a repository that was handed in there is no table to create, and its own check is asked', async t => {
  let verified = 0
  const manager = new SessionManager({ table: 'sessions', client: { ...memoryParts(), verify: async () => { verified += 1 } } })
  await manager.createTable()
  await manager.verifyTable()
  t.equal(verified, 1)
  await new SessionManager({ table: 'sessions', client: memoryRepository() }).verifyTable()
  manager.close()
})

t.test('a name is enough for a manager', async t => {
  const manager = new SessionManager('sessions')
  manager.close()
  t.throws(() => new SessionManager('x'), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
})

t.test('values that are undefined are left out', async t => {
  const manager = new SessionManager({ table: 'sessions', client: memoryRepository() })
  const session = await manager.create({ userId: 'u-1', count: undefined as never })
  t.same(session.keys(), ['userId'])
})

function memoryParts () {
  const repository = memoryRepository()
  return {
    load: repository.load.bind(repository),
    create: repository.create.bind(repository),
    save: repository.save.bind(repository),
    touch: repository.touch.bind(repository),
    replace: repository.replace.bind(repository),
    destroy: repository.destroy.bind(repository)
  }
}

t.test('what is no data and what is no id are told apart from an outage', async t => {
  const manager = new SessionManager({ table: 'sessions', client: memoryRepository() })
  for (const wrong of [null, 5, 'x', ['a']]) await t.rejects(manager.create(wrong as never), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, String(wrong))
  for (const wrong of [undefined, null, 5, {}]) {
    t.equal(await manager.load(wrong as never), null)
    await manager.destroy(wrong as never)
  }
})

t.test('a close ends after the time limit, though others begin calls again and again', async t => {
  const proxy = await FaultProxy.start({ endpoint: 'http://127.0.0.1:1' })
  t.teardown(async () => await proxy.close())
  const end = new AbortController()
  let letGo = (): void => {}
  // Each call is answered when the next has come, so that there is never a moment without one.
  proxy.intercept = async () => {
    letGo()
    if (!end.signal.aborted) await new Promise<void>(resolve => { letGo = resolve })
    return { status: 200, body: { ConsumedCapacity: { CapacityUnits: 0.5 } } }
  }
  const manager = new SessionManager({ table: 'sessions', client: clientConfig(proxy.endpoint), timeout: 0.4 })
  const poll = async (): Promise<void> => { while (!end.signal.aborted) await manager.load(Buffer.alloc(32, 1).toString('base64url')) }
  // What the close cuts off fails, as any call after it.
  const polls = Promise.allSettled([poll(), poll()])
  while (proxy.calls.length < 4) await nextTurn()
  const start = performance.now()
  const closed = manager.close().then(() => performance.now() - start)
  const took = await Promise.race([closed, sleep(2000, Infinity, { ref: false })])
  const calls = proxy.calls.length
  end.abort()
  letGo()
  await Promise.all([polls, closed])
  t.ok(took > 390 && took < 1000, `${took} ms`)
  t.ok(calls > 8, `${calls} calls, so they went on meanwhile`)
})
