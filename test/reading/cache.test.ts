import t, { type Test } from 'tap'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { DynamoSessionOptions, SessionRecord } from '../../index.js'
import { RecordCache } from '../../lib/cache.js'
import { addRoutes, setStage, type Stage } from '../support/app.js'
import { onOneEngine, startDynalite, type Engine } from '../support/engines.js'
import { makeGate } from '../support/gate.js'
import { noteEvents, setInstances } from '../support/matrix.js'
import { faults } from '../support/proxy.js'

const record = (version = 1, key = 'k'): SessionRecord => ({ key, data: new Map(), version, createdAt: 0, lastSeenAt: 0, expiresAt: 7200 })

function setUp (options: { ttl?: number, max?: number, isUsable?: (record: SessionRecord) => boolean } = {}) {
  const { ttl = 5, max = 10, isUsable = () => true } = options
  const clock = { ms: 1_767_323_045_000, elapsed: 0 }
  return { cache: new RecordCache({ ttl, max }, () => clock.ms, isUsable, () => clock.elapsed), clock }
}

t.test('what was read is used again until its time is over, to the millisecond', async t => {
  const { cache, clock } = setUp()
  const found = record()
  t.equal(cache.get('k'), undefined)
  t.equal(await cache.fill('k', false, async () => found), found)
  t.equal(cache.get('k'), found)
  clock.ms += 4999
  t.equal(cache.get('k'), found)
  clock.ms += 1
  t.equal(cache.get('k'), undefined)
  clock.ms -= 1
  t.equal(cache.get('k'), undefined, 'and is forgotten then')
})

t.test('its time counts from the beginning of the read', async t => {
  const { cache, clock } = setUp()
  await cache.fill('k', false, async () => {
    clock.ms += 3000
    return record()
  })
  clock.ms += 1999
  t.ok(cache.get('k'))
  clock.ms += 1
  t.equal(cache.get('k'), undefined)
})

t.test('a clock that was set back makes nothing last longer', async t => {
  const { cache, clock } = setUp()
  await cache.fill('k', false, async () => record())
  clock.ms -= 1
  t.equal(cache.get('k'), undefined)
  await cache.fill('k', false, async () => {
    clock.elapsed += 3000
    return record()
  })
  // Set back by as much as passes until somebody looks.
  clock.elapsed += 1999
  t.ok(cache.get('k'))
  clock.elapsed += 1
  t.equal(cache.get('k'), undefined, 'nor where it has caught up meanwhile')
})

t.test('what is absent is not kept, and takes away what was', async t => {
  const { cache } = setUp()
  await cache.fill('k', false, async () => record())
  t.equal(await cache.fill('k', false, async () => null), null)
  t.equal(cache.get('k'), undefined)
})

t.test('a read that fails keeps nothing', async t => {
  const { cache } = setUp()
  await cache.fill('k', false, async () => record())
  await t.rejects(cache.fill('k', false, async () => { throw new Error('cut off') }), new Error('cut off'))
  t.equal(cache.get('k'), undefined)
})

t.test('what is not to be used is read anew', async t => {
  const { cache } = setUp({ isUsable: ({ version }) => version > 1 })
  await cache.fill('k', false, async () => record(1))
  t.equal(cache.get('k'), undefined)
  await cache.fill('k', false, async () => record(2))
  t.equal(cache.get('k')?.version, 2)
})

t.test('a read that was under way across a write keeps nothing, one that began later does', async t => {
  const { cache } = setUp()
  const gates = [makeGate(), makeGate()] as const
  const read = async (gate: { passed: Promise<void> }, version: number) => await cache.fill('k', false, async () => {
    await gate.passed
    return record(version)
  })
  const before = read(gates[0], 1)
  cache.drop('k')
  const after = read(gates[1], 2)
  gates[0].open()
  t.match(await before, { version: 1 }, 'who asked has it all the same')
  t.equal(cache.get('k'), undefined)
  gates[1].open()
  await after
  t.equal(cache.get('k'), undefined, 'and that may lag behind the write')
  await cache.fill('k', true, async () => record(3))
  t.equal(cache.get('k')?.version, 3, 'a strong one does not')
  cache.drop('k')
  t.equal(cache.get('k'), undefined)
})

t.test('for as long as reads may lag behind a write of this process, only strong ones are kept', async t => {
  const { cache, clock } = setUp()
  cache.drop('k')
  for (const milliseconds of [0, 5000, 4999]) {
    clock.ms += milliseconds
    t.equal(cache.isFresh('k'), true)
    await cache.fill('k', false, async () => record())
    t.equal(cache.get('k'), undefined)
  }
  clock.ms += 1
  t.equal(cache.isFresh('k'), false)
  await cache.fill('k', false, async () => record())
  t.match(cache.get('k'), { version: 1 })
  t.equal(cache.isFresh('another'), false)
})

t.test('what was read before an instant does not serve who asks for later, and goes on to serve others', async t => {
  const { cache, clock } = setUp()
  const found = record()
  await cache.fill('k', false, async () => found)
  t.equal(cache.get('k', clock.ms), found)
  t.equal(cache.get('k', clock.ms + 1), undefined)
  t.equal(cache.get('k'), found)
})

t.test('an older version is not put over a newer one', async t => {
  const { cache } = setUp()
  await cache.fill('k', false, async () => record(3))
  await cache.fill('k', false, async () => record(2))
  t.equal(cache.get('k')?.version, 3)
  const renewed = { ...record(3), lastSeenAt: 60 }
  await cache.fill('k', false, async () => renewed)
  t.equal(cache.get('k'), renewed, 'the same one, read later, is')
})

t.test('no more sessions are kept than the most, those used longest ago go first', async t => {
  const { cache } = setUp({ max: 100 })
  for (let index = 0; index < 100; index++) await cache.fill(`k${index}`, false, async () => record(1, `k${index}`))
  cache.get('k0')
  for (let index = 100; index < 5000; index++) {
    await cache.fill(`k${index}`, false, async () => record(1, `k${index}`))
    cache.get('k0')
  }
  const kept = Array.from({ length: 5000 }, (_, index) => `k${index}`).filter(key => cache.get(key) !== undefined)
  t.equal(kept.length, 100)
  t.ok(kept.includes('k0'))
  t.ok(kept.includes('k4999'))
})

const TTL = 5
const cache = { ttl: TTL, max: 1000 }

/** What a request may do with its session, each by the path of its name. */
function routes (app: FastifyInstance): void {
  addRoutes(app)
  app.post('/save', async ({ session }) => {
    session.set('count', 2)
    await session.save()
    return {}
  })
  app.post('/update', async ({ session }) => ({ count: await session.update('count', (count = 0) => count + 1) }))
  app.post('/keep', async ({ session }) => {
    await session.regenerate(true)
    return {}
  })
  app.post('/touch', async ({ session }) => {
    session.touch()
    return {}
  })
  app.post('/reload', async ({ session }) => {
    await session.reload()
    return session.data()
  })
}

/** Two instances of an application, as two processes are, each with a cache of its own. */
async function setPair (t: Test, engine: Engine, session: Partial<DynamoSessionOptions> = {}, more: (app: FastifyInstance) => void = () => {}) {
  const all = (app: FastifyInstance): void => {
    routes(app)
    more(app)
  }
  const [a, b] = await setInstances(t, engine, 2, { session: { cache, ...session }, routes: all }) as [Stage, Stage]
  const ann = a.visitor()
  const ask = async (stage: Stage, url: string, payload?: object, headers = {}): Promise<LightMyRequestResponse> => {
    const response = await ann.send({ method: payload === undefined ? 'GET' : 'POST', url, ...payload !== undefined && { payload }, headers }, stage.app)
    ann.receive(response)
    return response
  }
  /** What a program asks that keeps the token and no companion. */
  const askBare = async (stage: Stage, url: string, payload?: object) => await stage.app.inject({
    method: payload === undefined ? 'GET' : 'POST', url, ...payload !== undefined && { payload }, headers: { cookie: `__Host-id=${ann.cookie('__Host-id') ?? ''}` }
  })
  await ask(a, '/set', { count: 1 })
  /** Reads the session in B, when its companion is over, so that B has it in its cache. */
  const warm = async (): Promise<void> => {
    a.clock.forward(30)
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    for (const { proxy } of [a, b]) proxy.take()
  }
  return { a, b, ann, ask, askBare, warm }
}

onOneEngine(t, async (t, engine) => {
  await t.test('a session that was read is not read again for its time, and then is', async t => {
    const { a, b, ask, warm } = await setPair(t, engine)
    await warm()
    a.clock.forward(TTL - 0.001)
    t.same((await ask(b, '/me')).json().data, { count: 1 })
    t.same(b.proxy.take(), [])
    a.clock.forward(0.001)
    await ask(b, '/me')
    t.same(b.proxy.take(), ['GetItem'])
  })

  await t.test('a visitor reads what they wrote in another process, by one strong read, and again without any', async t => {
    const { a, b, ask, warm } = await setPair(t, engine)
    await warm()
    await ask(a, '/set', { count: 2 })
    t.same((await ask(b, '/me')).json().data, { count: 2 })
    t.same(b.proxy.takeCalls().map(({ action, input }) => [action, input['ConsistentRead']]), [['GetItem', true]])
    t.same((await ask(b, '/me')).json().data, { count: 2 })
    t.same(b.proxy.take(), [], 'the strong read is kept')
  })

  await t.test('a visitor reads what they wrote in another process, though a renewal that began before took back what the companion said of it', async t => {
    const [begun, gate] = [makeGate(), makeGate()]
    const { a, b, ann, ask, warm } = await setPair(t, engine, { secrets: 'a secret that is long enough to sign with', idleTracking: 'cookie' }, app => {
      app.get('/slow', async ({ session }) => {
        begun.open()
        await gate.passed
        return session.data()
      })
    })
    await warm()
    a.clock.forward(1000)
    const slow = ask(b, '/slow')
    await begun.passed
    a.clock.forward(1.2)
    await ask(a, '/set', { count: 2 })
    a.clock.forward(1.2)
    gate.open()
    t.same((await slow).json(), { count: 1 }, 'what it read is kept')
    t.equal(ann.cookie('__Host-id-v')?.split('.')[1], '1', 'and its answer says nothing of the write')
    b.proxy.take()
    t.same((await ask(b, '/me')).json().data, { count: 2 })
    t.same(b.proxy.takeCalls().map(({ action, input }) => [action, input['ConsistentRead']]), [['GetItem', false]], 'it costs one read')
    a.clock.forward(1)
    await ask(b, '/me')
    b.proxy.take()
    t.same((await ask(b, '/me')).json().data, { count: 2 })
    t.same(b.proxy.take(), [], 'and what was read after the renewal is kept as ever')
  })

  await t.test('the companion lasts as long as a cache of another process may lag behind a replica that lags behind', async t => {
    const { a, b, ask, askBare, ann, warm } = await setPair(t, engine, { cache: { ttl: 9.5, max: 10 } })
    await warm()
    const old = await askBare(a, '/me').then(() => a.proxy.takeCalls()[0]?.output['Item'])
    a.clock.forward(10)
    t.match((await ask(a, '/set', { count: 2 })).headers['set-cookie'], /; Max-Age=20;/)
    a.clock.forward(9.9)
    let lagging = 1
    b.proxy.intercept = () => lagging-- > 0 ? { status: 200, body: { Item: old, ConsumedCapacity: { TableName: a.table, CapacityUnits: 0.5 } } } : undefined
    t.same((await askBare(b, '/me')).json().data, { count: 1 }, 'a read that lags behind')
    a.clock.forward(9.4)
    t.same((await askBare(b, '/me')).json().data, { count: 1 }, 'is kept')
    t.same((await ask(b, '/me')).json().data, { count: 2 }, 'and the visitor sees what they wrote')
    t.same(ann.cookieNames(), ['__Host-id', '__Host-id-v'])
    a.clock.forward(0.7)
    t.same(ann.cookieNames(), ['__Host-id'])
  })

  await t.test('a session that another process destroyed is read for its time at the longest', async t => {
    const { a, b, ann, ask, askBare, warm } = await setPair(t, engine)
    await warm()
    const token = ann.cookie('__Host-id') ?? ''
    await ask(a, '/logout', {})
    t.equal(ann.cookie('__Host-id'), undefined)
    ann.plant('__Host-id', token)
    a.clock.forward(TTL - 0.001)
    t.same((await askBare(b, '/me')).json().data, { count: 1 }, 'this is the price')
    a.clock.forward(0.001)
    t.same((await askBare(b, '/me')).json(), { data: {} })
    t.same(b.proxy.take(), ['GetItem'])
    t.same((await askBare(b, '/me')).json(), { data: {} })
    t.same(b.proxy.take(), ['GetItem'], 'what is absent is asked for each time')
  })

  await t.test('whatever is done with a cached session that was destroyed elsewhere finds out at once', async t => {
    const events = noteEvents(t)
    const acts = {
      '/save': [409, ['UpdateItem', 'GetItem'], ['gone missing']],
      '/set': [200, ['UpdateItem', 'GetItem'], ['gone missing']],
      '/update': [409, ['UpdateItem', 'GetItem'], ['gone missing']],
      '/login': [409, ['PutItem', 'UpdateItem', 'GetItem', 'DeleteItem'], ['gone missing']],
      '/keep': [409, ['PutItem', 'UpdateItem', 'GetItem', 'DeleteItem'], ['gone missing']],
      '/touch': [200, ['UpdateItem'], []],
      '/reload': [409, ['GetItem'], ['gone missing']],
      '/logout': [200, ['DeleteItem'], []]
    } as const
    for (const [url, [status, calls, told]] of Object.entries(acts)) {
      const { a, b, ann, ask, askBare, warm } = await setPair(t, engine)
      await warm()
      a.clock.forward(1)
      const token = ann.cookie('__Host-id') ?? ''
      await ask(a, '/logout', {})
      ann.plant('__Host-id', token)
      const response = await askBare(b, url, { count: 2 })
      t.equal(response.statusCode, status, url)
      t.same(b.proxy.take(), calls, url)
      t.same(events.splice(0), told, url)
      t.same(await a.items(), [], `${url}: nothing came back`)
      t.same((await askBare(b, '/me')).json(), { data: {} }, `${url}: and from then on this process knows`)
    }
  })

  await t.test('a cached session that was replaced elsewhere is not written to, and its successor is what the visitor has', async t => {
    const { a, b, ann, ask, askBare, warm } = await setPair(t, engine)
    await warm()
    const old = ann.cookie('__Host-id') ?? ''
    await ask(a, '/login', {})
    t.equal((await ask(b, '/me')).json().data.userId, 'u-42', 'with the new token at once')
    ann.plant('__Host-id', old)
    t.equal((await askBare(b, '/update', {})).statusCode, 409)
    t.same((await askBare(b, '/me')).json(), { data: {} })
  })

  await t.test('a save of a cached session goes beside what others have written', async t => {
    const { a, b, askBare, warm } = await setPair(t, engine)
    await warm()
    await askBare(a, '/set', { 'any:a': 1 })
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    t.equal((await askBare(b, '/set', { 'any:b': 2 })).statusCode, 200)
    t.same((await askBare(b, '/me')).json().data, { count: 1, 'any:a': 1, 'any:b': 2 })
    t.same((await askBare(b, '/update', {})).json(), { count: 2 })
    await askBare(a, '/update', {})
    t.same((await askBare(b, '/update', {})).json(), { count: 4 }, 'an update counts from what is stored')
  })

  await t.test('with conflict: \'reject\', a save of a cached session that others have changed is refused, and then reads what they wrote', async t => {
    const { a, b, askBare, warm } = await setPair(t, engine, { conflict: 'reject' })
    await warm()
    await askBare(a, '/set', { 'any:a': 1 })
    t.equal((await askBare(b, '/set', { 'any:b': 2 })).statusCode, 409)
    t.equal((await askBare(b, '/set', { 'any:b': 2 })).statusCode, 200)
    t.same((await askBare(b, '/me')).json().data, { count: 1, 'any:a': 1, 'any:b': 2 })
  })

  await t.test('what this process writes counts at once', async t => {
    const { b, askBare, warm } = await setPair(t, engine)
    await warm()
    for (const [url, data] of [['/set', { count: 7 }], ['/update', { count: 8 }]] as const) {
      await askBare(b, url, { count: 7 })
      b.proxy.take()
      t.same((await askBare(b, '/me')).json().data, data)
      t.same(b.proxy.takeCalls().map(({ action, input }) => [action, input['ConsistentRead']]), [['GetItem', true]], `${url}: nothing older is kept`)
      t.same((await askBare(b, '/me')).json().data, data)
      t.same(b.proxy.take(), [], url)
    }
    await askBare(b, '/logout', {})
    for (let reads = 0; reads < 3; reads++) t.same((await askBare(b, '/me')).json(), { data: {} })
  })

  await t.test('a read that was under way across a write of this process leaves nothing old behind', async t => {
    const { a, b, askBare, warm } = await setPair(t, engine)
    await warm()
    a.clock.forward(TTL)
    const gate = b.proxy.gate('GetItem', 'after')
    const reading = askBare(b, '/me')
    await gate.reached
    await b.app.sessions.destroy(await idOf(a, askBare))
    gate.release()
    t.same((await reading).json().data, { count: 1 }, 'it began before')
    t.same((await askBare(b, '/me')).json(), { data: {} })
  })

  await t.test('a renewal that another process has made is not repeated from a cached session', async t => {
    const { a, b, askBare, warm } = await setPair(t, engine)
    a.clock.forward(720 - 30 - 2)
    await warm()
    a.clock.forward(2)
    await askBare(a, '/me')
    t.same(a.proxy.take(), ['GetItem', 'UpdateItem'])
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    t.same(b.proxy.take(), ['GetItem'], 'it reads again, and finds the renewal')
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    t.same(b.proxy.take(), [])
  })

  await t.test('a cached session expires by the clock, and not by its time in the cache', async t => {
    const { a, b, askBare } = await setPair(t, engine, { idleTimeout: 3, absoluteTimeout: 3 })
    a.clock.forward(2.9)
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    b.proxy.take()
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    t.same(b.proxy.take(), [])
    a.clock.forward(0.1)
    t.same((await askBare(b, '/me')).json(), { data: {} })
    t.same(b.proxy.takeCalls().map(({ input }) => input['ConsistentRead']), [true], 'and the table has the last word')
  })

  await t.test('towards the end of its life, when nothing prolongs it any more, a session is cached as ever', async t => {
    const { a, b, askBare } = await setPair(t, engine, { idleTimeout: 600, absoluteTimeout: 1000 })
    for (let time = 0; time < 900; time += 60) {
      a.clock.forward(60)
      await askBare(b, '/me')
    }
    b.proxy.take()
    await askBare(b, '/me')
    t.same(b.proxy.take(), [])
  })

  await t.test('bursts of six requests every two seconds with a cache of one second make a read for six requests', async t => {
    const { app, proxy, clock, visitor } = await setStage(t, engine, { session: { cache: { ttl: 1, max: 100 } } })
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    clock.forward(30)
    proxy.take()
    let requests = 0
    for (let burst = 0; burst < 20; burst++) {
      for (let number = 0; number < 6; number++) {
        requests += 1
        t.same((await ann.send({ url: '/me' }, app)).json().data, { count: 1 })
        clock.forward(0.02)
      }
      clock.forward(2 - 0.12)
    }
    const reads = proxy.take()
    t.same(new Set(reads), new Set(['GetItem']))
    t.ok(reads.length / requests <= 0.2, `${reads.length} reads for ${requests} requests`)
    t.equal(reads.length, 20)
  })

  await t.test('jobs and reloads read the table, whatever is cached', async t => {
    const { b, askBare, a, warm } = await setPair(t, engine)
    await warm()
    await askBare(a, '/set', { count: 5 })
    a.proxy.take()
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    const id = await idOf(a, askBare)
    t.equal((await b.app.sessions.load(id))?.get('count'), 5)
    t.same(b.proxy.takeCalls().map(({ action, input }) => [action, input['ConsistentRead']]), [['GetItem', true]])
    await askBare(a, '/set', { count: 6 })
    t.same((await askBare(b, '/reload', {})).json(), { count: 6 })
    t.same(b.proxy.takeCalls().map(({ input }) => input['ConsistentRead']), [true])
  })
})

/** The id of the session of a pair. */
async function idOf (stage: Stage, ask: (stage: Stage, url: string) => Promise<LightMyRequestResponse>): Promise<string> {
  return String((await ask(stage, '/me')).json().id)
}

t.test('on dynalite alone', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())

  await t.test('while DynamoDB is away, a cached session is read and nothing is written to it', async t => {
    const { b, askBare, warm } = await setPair(t, engine)
    await warm()
    b.proxy.meet({ times: 10 }, faults.error('InternalServerError', { status: 500 }))
    t.same((await askBare(b, '/me')).json().data, { count: 1 })
    t.equal((await askBare(b, '/set', { count: 2 })).statusCode, 503)
    t.equal((await askBare(b, '/me')).statusCode, 503, 'whether it was written is not known, so what was read does not count')
  })
})
