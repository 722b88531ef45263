import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import dynamoSession, { errors, SessionManager, type DynamoSessionOptions, type Session } from '../../index.js'
import { addRoutes, LogLines } from '../support/app.js'
import { clientConfig, createTable, startDynalite, type Engine } from '../support/engines.js'
import { FaultProxy } from '../support/proxy.js'
import { setCookieNames, Visitor } from '../support/visitor.js'

const BAD = 'FST_DYNAMODB_SESSION_BAD_OPTION'
/** A port on which nothing listens. */
const NOWHERE = clientConfig('http://127.0.0.1:1')
const UNREACHABLE = 'DynamoDB cannot be reached yet: requests with a session answer 503 until it can'

function makeApp (t: Test, options: FastifyServerOptions = {}) {
  const log = new LogLines()
  const app: FastifyInstance = Fastify({ logger: { level: 'debug', stream: log }, ...options })
  t.teardown(async () => await app.close())
  return { app, log }
}

async function makeProxy (t: Test, engine: Engine): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(engine)
  t.teardown(async () => await proxy.close())
  return proxy
}

/** The session of a registration with a name of its own. */
const sessionOf = (request: FastifyRequest, name: string): Session => Reflect.get(request, name) as Session

t.test('credentials that cannot be had yet are warned of with the remedy, and come late without harm', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  const table = await createTable(engine)
  let isThere = false
  const credentials = async () => {
    if (!isThere) throw Object.assign(new Error('none'), { name: 'CredentialsProviderError' })
    return { accessKeyId: 'late', secretAccessKey: 'late' }
  }
  const { app, log } = makeApp(t)
  await app.register(dynamoSession, { table, client: { ...clientConfig(engine.endpoint), credentials } })
  app.post('/set', async request => { request.session.set('count', 1) })
  await app.ready()
  t.match(log.warnings(), [/^There are no AWS credentials yet/])
  t.equal((await app.inject({ method: 'POST', url: '/set' })).statusCode, 503)
  isThere = true
  t.equal((await app.inject({ method: 'POST', url: '/set' })).statusCode, 200)
})

t.test('the start', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  const client = clientConfig(engine.endpoint)

  await t.test('requests have a session and the application has the manager', async t => {
    const { app } = makeApp(t)
    await app.register(dynamoSession, { table: await createTable(engine), client })
    addRoutes(app)
    t.ok(app.sessions instanceof SessionManager)
    t.ok(app.hasRequestDecorator('session'))
    const ann = new Visitor(app)
    await ann.post('/set', { count: 1 })
    t.match((await ann.get('/me')).json(), { data: { count: 1 } })
  })

  await t.test('a text is short for the table', async t => {
    const { app, log } = makeApp(t)
    await app.register(dynamoSession, 'sessions')
    t.ok(app.hasRequestDecorator('session'))
    t.same(log.warnings(), [])
  })

  await t.test('bad options stop the registration and make nothing', async t => {
    for (const [options, code] of [[{}, BAD], [{ table: 'sessions', idleTimeout: '60' }, BAD], [{ tabel: 'sessions' }, 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION']] as const) {
      const { app } = makeApp(t)
      await t.rejects(async () => await app.register(dynamoSession, options as unknown as DynamoSessionOptions), { code })
      t.notOk(app.hasRequestDecorator('session'))
    }
  })

  await t.test('Fastify\'s own options of a registration may stand among the plugin\'s, which are left unchanged', async t => {
    const { app } = makeApp(t)
    const options = Object.freeze({
      table: await createTable(engine), client, cookie: Object.freeze({ maxAge: 60 }), prefix: '/shop', logLevel: 'warn' as const, logSerializers: {}
    })
    await app.register(dynamoSession, options)
    await app.ready()
    t.same(options.cookie, { maxAge: 60 })
    t.ok(app.hasRequestDecorator('session'))
  })

  await t.test('a second registration has a session, a manager and a cookie of its own', async t => {
    const table = await createTable(engine)
    const { app } = makeApp(t)
    await app.register(dynamoSession, { table, client })
    await app.register(dynamoSession, { table, client, keyPrefix: 'admin#', sessionName: 'admin' })
    app.post('/both', async request => {
      request.session.set('count', 1)
      sessionOf(request, 'admin').set('count', 2)
      return {}
    })
    app.get('/both', async request => [request.session.get('count'), sessionOf(request, 'admin').get('count')])
    app.get('/shop', { config: { admin: false } as object }, async request => {
      t.throws(() => sessionOf(request, 'admin'), { code: 'FST_DYNAMODB_SESSION_DISABLED', message: 'request.admin' })
      return request.session.get('count')
    })
    app.post('/leave', async request => {
      await sessionOf(request, 'admin').destroy()
      return {}
    })
    const manager: unknown = Reflect.get(app, 'admins')
    t.ok(manager instanceof SessionManager)
    t.not(manager, app.sessions)
    const ann = new Visitor(app)
    t.same(setCookieNames(await ann.post('/both')).sort(), ['__Host-id', '__Host-id-admin', '__Host-id-admin-v', '__Host-id-v'])
    t.same((await ann.get('/both')).json(), [1, 2])
    t.equal((await ann.get('/shop')).body, '1')
    t.same(setCookieNames(await ann.post('/leave')), ['__Host-id-admin'])
    t.same((await ann.get('/both')).json(), [1, null], 'one session ends without the other')
    t.equal(await (manager as SessionManager).load(ann.cookie('__Host-id') ?? ''), null, 'one manager does not find the other\'s')
  })

  await t.test('the same table and prefix twice is refused', async t => {
    const { app } = makeApp(t)
    await app.register(dynamoSession, { table: 'sessions', client })
    await t.rejects(async () => await app.register(dynamoSession, { table: 'sessions', client, sessionName: 'admin' }), { code: BAD, message: 'Option "keyPrefix" must differ' })
  })

  await t.test('the same table and prefix twice is refused in sibling contexts too', async t => {
    const { app } = makeApp(t)
    await app.register(async shop => { await shop.register(dynamoSession, { table: 'sessions', client, keyPrefix: 'a' }) })
    await t.rejects(async () => await app.register(async office => {
      await office.register(dynamoSession, { table: 'sessions', client, keyPrefix: 'a', cookie: { name: 'sid' } })
    }), { code: BAD, message: 'Option "keyPrefix" must differ' })
  })

  await t.test('sibling contexts may each have a session of the same name, in another cookie', async t => {
    const table = await createTable(engine)
    const { app } = makeApp(t)
    for (const place of ['shop', 'office']) {
      await app.register(async context => {
        await context.register(dynamoSession, { table, client, keyPrefix: place, cookie: { name: place } })
        context.post(`/${place}`, async request => {
          request.session.set('any:place', place)
          return {}
        })
        context.get(`/${place}`, async request => request.session.data())
      })
    }
    const ann = new Visitor(app)
    await ann.post('/shop')
    await ann.post('/office')
    t.same((await ann.get('/shop')).json(), { 'any:place': 'shop' })
    t.same((await ann.get('/office')).json(), { 'any:place': 'office' })
  })

  await t.test('two applications in one process may use the same table', async t => {
    const [one, two] = [makeApp(t).app, makeApp(t).app]
    await one.register(dynamoSession, { table: 'sessions', client })
    await t.resolves(async () => await two.register(dynamoSession, { table: 'sessions', client }))
  })

  await t.test('a cookie or a header that another registration has is refused', async t => {
    const refusals = [
      [{ cookie: { name: 'sid' } }, { cookie: { name: 'sid' } }, 'cookie.name'],
      [{ cookie: { name: 'sid' } }, { cookie: { name: 'sid-v' } }, 'cookie.name'],
      [{ cookie: { name: 'sid-v' } }, { cookie: { name: 'sid' } }, 'cookie.name'],
      [{ header: 'X-Session' }, { header: 'x-session' }, 'header'],
      [{ header: 'X-Session' }, { header: 'x-session-v' }, 'header'],
      [{ header: 'X-Session-V' }, { header: 'x-session', cookie: {} }, 'header']
    ] as const
    for (const [first, second, option] of refusals) {
      const { app } = makeApp(t)
      await app.register(dynamoSession, { table: 'sessions', client, ...first })
      await t.rejects(async () => await app.register(dynamoSession, { table: 'admins', client, sessionName: 'admin', ...second }),
        { code: BAD, message: `Option "${option}" is taken by another registration.` })
    }
    const { app } = makeApp(t)
    await app.register(dynamoSession, { table: 'sessions', client, cookie: { name: 'sid' } })
    await t.resolves(async () => await app.register(dynamoSession, { table: 'admins', client, sessionName: 'admin', header: 'sid' }), 'a header is no cookie')
  })

  await t.test('a name that requests or the application have already is refused', async t => {
    for (const sessionName of ['body', 'query', 'params', 'log', 'raw', 'id', 'headers', 'url', 'server', 'routeOptions', 'constructor', 'toString', 'customer']) {
      const { app } = makeApp(t)
      app.decorateRequest('customer', null)
      await t.rejects(async () => await app.register(dynamoSession, { table: 'sessions', client, sessionName }), { code: BAD, message: 'Option "sessionName" is taken' }, sessionName)
    }
    const { app } = makeApp(t)
    app.decorate('sessions', null as never)
    await t.rejects(async () => await app.register(dynamoSession, { table: 'sessions', client }),
      { code: BAD, message: 'Option "sessionName" is taken: the application has a decorator "sessions".' })
  })

  await t.test('the same name twice is refused, also in a context below', async t => {
    const below = makeApp(t).app
    await below.register(dynamoSession, { table: 'sessions', client })
    await t.rejects(async () => await below.register(async context => {
      await context.register(dynamoSession, { table: 'others', client, cookie: { name: 'sid' } })
    }), { code: BAD, message: 'Option "sessionName" is taken: request.session exists already.' })
  })

  await t.test('routes outside the context of the registration have no session and cost nothing', async t => {
    const proxy = await makeProxy(t, engine)
    const { app } = makeApp(t)
    await app.register(async shop => {
      await shop.register(dynamoSession, { table: await createTable(engine), client: clientConfig(proxy.endpoint), verify: false })
      addRoutes(shop)
    })
    app.get('/outside', async request => ({ has: 'session' in request }))
    const ann = new Visitor(app)
    await ann.post('/set', { count: 1 })
    proxy.take()
    const response = await ann.get('/outside')
    t.same(response.json(), { has: false })
    t.match(response.headers, { 'set-cookie': undefined, vary: undefined })
    t.same(proxy.take(), [])
    t.notOk(app.hasDecorator('sessions'))
    await ann.get('/me')
    t.same(proxy.take(), ['GetItem'], 'inside there is one')
  })

  await t.test('onReady looks at the table by one read, and not at all with verify: false', async t => {
    for (const [verify, calls] of [[true, ['GetItem']], [false, []]] as const) {
      const proxy = await makeProxy(t, engine)
      const { app } = makeApp(t)
      await app.register(dynamoSession, { table: await createTable(engine), client: clientConfig(proxy.endpoint), verify })
      t.same(proxy.calls, [], 'registering makes no call')
      await app.ready()
      t.same(proxy.take(), calls)
    }
  })

  await t.test('createTable creates before it verifies', async t => {
    const proxy = await makeProxy(t, engine)
    const { app, log } = makeApp(t)
    await app.register(dynamoSession, { table: `made-${process.pid}`, client: clientConfig(proxy.endpoint), createTable: true })
    addRoutes(app)
    await app.ready()
    t.same(proxy.take(), ['CreateTable', 'DescribeTable', 'DescribeTimeToLive', 'UpdateTimeToLive', 'GetItem'])
    t.same(log.warnings(), ['This DynamoDB engine has no TTL, so expired sessions stay in the table'])
    t.equal((await new Visitor(app).post('/set', { count: 1 })).statusCode, 200)
  })

  await t.test('a definite fault stops the start', async t => {
    const denied = { status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' } }
    const wrongKey = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'N' }] })
    const faults = [
      [{ table: 'missing' }, undefined, 'TABLE_MISSING'],
      [{ table: wrongKey }, undefined, 'TABLE_MISMATCH'],
      [{ table: 'sessions' }, denied, 'PERMISSION_MISSING'],
      [{ table: 'sessions', createTable: true }, denied, 'PERMISSION_MISSING'],
      [{ table: wrongKey, createTable: true }, undefined, 'TABLE_MISMATCH'],
      [{ table: 'sessions', createTable: { ProvisionedThroughput: { ReadCapacityUnits: 0, WriteCapacityUnits: 0 } } }, undefined, 'BAD_OPTION']
    ] as const
    for (const [options, answer, code] of faults) {
      const proxy = await makeProxy(t, engine)
      proxy.intercept = () => answer
      const { app } = makeApp(t)
      await app.register(dynamoSession, { client: clientConfig(proxy.endpoint), ...options })
      await t.rejects(async () => await app.ready(), { code: `FST_DYNAMODB_SESSION_${code}` }, code)
    }
  })

  await t.test('a service out of reach only warns; requests recover as soon as it is back', async t => {
    for (const createsTable of [false, true]) {
      const proxy = await makeProxy(t, engine)
      proxy.intercept = () => ({ status: 500, body: {} })
      const { app, log } = makeApp(t)
      await app.register(dynamoSession, { table: await createTable(engine), client: clientConfig(proxy.endpoint), createTable: createsTable })
      addRoutes(app)
      await app.ready()
      t.same(log.warnings(), [UNREACHABLE])
      const ann = new Visitor(app)
      t.equal((await ann.get('/nothing')).statusCode, 200, 'what needs no session goes on')
      const failed = await ann.post('/set', { count: 1 })
      t.match([failed.statusCode, failed.json(), failed.headers['retry-after']], [503, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }, '1'])
      t.same(setCookieNames(failed), [])
      proxy.intercept = () => undefined
      t.equal((await ann.post('/set', { count: 1 })).statusCode, 200)
      t.match((await ann.get('/me')).json(), { data: { count: 1 } })
    }
  })

  await t.test('a port on which nothing listens only warns, with the cause in the log', async t => {
    const { app, log } = makeApp(t)
    await app.register(dynamoSession, { table: 'sessions', client: NOWHERE })
    await app.ready()
    const [line] = log.lines.filter(line => line['msg'] === UNREACHABLE)
    t.match(line, { level: 40, err: { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' } })
    t.match(JSON.stringify(line), /ECONNREFUSED/)
  })

  await t.test('a service that never answers only warns, also where its time limit is beyond what Fastify gives a plugin', async t => {
    for (const [pluginTimeout, timeout, least, most] of [[1000, 3, 790, 1000], [1000, 0.2, 190, 790], [0, 0.3, 290, 2000]] as const) {
      const proxy = await makeProxy(t, engine)
      proxy.intercept = async () => await new Promise(() => {})
      const { app, log } = makeApp(t, { pluginTimeout })
      app.register(dynamoSession, { table: 'sessions', client: { ...clientConfig(proxy.endpoint), maxAttempts: 1, requestHandler: {} }, timeout })
      await app
      const start = performance.now()
      await app.ready()
      const took = performance.now() - start
      t.ok(took > least && took < most, `${pluginTimeout} ms for a plugin, ${timeout} s for a call: ${took} ms`)
      const warnings = log.lines.filter(line => line['level'] >= 40)
      t.match(warnings, [{ msg: UNREACHABLE, err: { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' } }])
      t.equal(warnings.length, 1)
    }
  })

  await t.test('a definite fault stops the start, whatever time Fastify gives a plugin', async t => {
    for (const pluginTimeout of [0, 1000]) {
      const { app } = makeApp(t, { pluginTimeout })
      await app.register(dynamoSession, { table: 'missing', client, timeout: 30 })
      await t.rejects(async () => await app.ready(), { code: 'FST_DYNAMODB_SESSION_TABLE_MISSING' })
    }
  })

  await t.test('closing closes the manager once, also where nothing was started', async t => {
    for (const isReady of [true, false]) {
      const { app } = makeApp(t)
      await app.register(dynamoSession, { table: 'sessions', client, verify: false })
      let closed = 0
      const close = app.sessions.close.bind(app.sessions)
      app.sessions.close = async () => {
        closed += 1
        await close()
      }
      if (isReady) await app.ready()
      await app.close()
      t.equal(closed, 1)
    }
  })

  await t.test('the errors that stop a start are those that the package exports', async t => {
    const { app } = makeApp(t)
    await app.register(dynamoSession, { table: 'missing', client })
    await t.rejects(async () => await app.ready(), errors.TableMissing)
  })
})
