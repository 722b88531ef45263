import { EventEmitter, once } from 'node:events'
import type { ClientRequest } from 'node:http'
import { connect, type ClientHttp2Session } from 'node:http2'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyRequest, type RouteShorthandOptions } from 'fastify'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import { hash } from '../../lib/token.js'
import { addRoutes, LogLines, setStage, type Stage, type StageOptions } from '../support/app.js'
import { startDynalite, type Engine } from '../support/engines.js'
import { FaultyRepository } from '../support/memory.js'
import { ask, begin, cookieOf, namesOf, RawConnection } from '../support/wire-client.js'
import type { FaultProxy } from '../support/proxy.js'
import { setCookieNames, setCookies, Visitor } from '../support/visitor.js'
import '../support/session-data.js'

const unhandled: unknown[] = []
process.on('unhandledRejection', reason => { unhandled.push(reason) })
process.on('uncaughtException', error => { unhandled.push(error) })

/** Marks a request whose client will leave. */
const LEAVES = { 'x-leaves': '1' }

const LOST = /^Changes of a session were lost/
const LATE = /^A session was changed after its request had ended/

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

/** An application over a repository in memory, where the wire does not matter. */
async function setApp (t: Test, { session = {}, before = () => {}, routes = addRoutes }: StageOptions) {
  const repository = new FaultyRepository()
  const log = new LogLines()
  const app = Fastify({ logger: { level: 'debug', stream: log }, trustProxy: true })
  t.teardown(async () => { await app.close() })
  await before(app)
  await app.register(dynamoSession, { table: 'sessions', client: repository, ...session })
  app.get('/data', async request => request.session.data())
  watch(app)
  await routes(app)
  await app.ready()
  return { app, repository, log, visitor: () => new Visitor(app) }
}

/** A stage that listens. */
async function setOrigin (t: Test, options: StageOptions = {}): Promise<Stage & { origin: string }> {
  const { routes = addRoutes } = options
  const stage = await setStage(t, engine, { ...options, routes: async app => { watch(app); await routes(app) } })
  return Object.assign(stage, { origin: await stage.app.listen({ port: 0, host: '127.0.0.1' }) })
}

function told (log: LogLines, message: RegExp): number {
  return log.warnings().filter(text => message.test(text)).length
}

/** The ends of requests, by their paths, for whoever waits for one: hooks are added before an application starts. */
const ends = new WeakMap<object, EventEmitter>()

function endsOf (app: FastifyInstance): EventEmitter {
  const emitter = ends.get(app.server) ?? new EventEmitter()
  ends.set(app.server, emitter)
  return emitter
}

/** For each application before its own routes: makes `doneOnce` and `leave` work. */
function watch (app: FastifyInstance): void {
  app.addHook('onResponse', async request => { endsOf(app).emit(request.url) })
  app.server.on('request', ({ headers, socket }) => {
    if (headers['x-leaves'] !== undefined) socket.once('close', () => { endsOf(app).emit('left') })
  })
}

/** Resolves when a request of this path is over, all hooks of the plugin included. */
async function doneOnce (app: FastifyInstance, path: string): Promise<void> {
  await once(endsOf(app), path)
}

/** Breaks a request off, and resolves when the application's side of the connection knows. */
async function leave (app: FastifyInstance, request: ClientRequest): Promise<void> {
  const left = once(endsOf(app), 'left')
  request.destroy()
  await left
}

/** Resolves when the engine has answered a call of this action, and the client of the proxy has had time to hear of it. */
async function answered (proxy: FaultProxy, action: string): Promise<void> {
  while (!proxy.calls.some(call => call.action === action)) await nextTurn()
}

/** The key of the record that a cookie is for. */
function keyOf (cookie: string): string {
  return hash(/__Host-id=([\w-]+)/.exec(cookie)?.[1] ?? '')
}

/** Remarks come a turn of the event loop after what they are about. */
async function twoTurns (): Promise<void> {
  await nextTurn()
  await nextTurn()
}

async function askHttp2 (
  client: ClientHttp2Session, path: string, cookie?: string
): Promise<{ status: number, setCookies: string[], body: string }> {
  const stream = client.request({ ':path': path, ...cookie !== undefined && { cookie } })
  const [headers] = await once(stream, 'response') as [Record<string, any>]
  return { status: headers[':status'], setCookies: headers['set-cookie'] ?? [], body: await text(stream) }
}

t.test('a save that fails', async t => {
  interface Row {
    readonly title: string
    readonly status: number
    /** What stands around the plugin and the route. */
    readonly before?: (app: FastifyInstance) => void
    readonly after?: (app: FastifyInstance) => void
    readonly route?: RouteShorthandOptions
  }
  const throwOnce = (app: FastifyInstance): void => {
    const met = new WeakSet<FastifyRequest>()
    app.addHook('onSend', async (request, reply, payload) => {
      if (met.has(request) || reply.statusCode < 500) return payload
      met.add(request)
      throw new Error('hook')
    })
  }
  const rows: Row[] = [
    { title: 'as it is', status: 503 },
    {
      title: 'with an own error handler',
      status: 418,
      after: app => { app.setErrorHandler(async (_error, _request, reply) => await reply.code(418).send('own')) }
    },
    {
      title: 'with an own error handler that throws',
      status: 500,
      after: app => { app.setErrorHandler(async () => { throw new Error('handler') }) }
    },
    {
      title: 'with an error handler of the route',
      status: 419,
      route: { errorHandler: async (_error, _request, reply) => await reply.code(419).send('own') }
    },
    {
      title: 'with an onError hook that throws',
      status: 503,
      after: app => { app.addHook('onError', async () => { throw new Error('hook') }) }
    },
    { title: 'with an onSend hook before ours that throws at the failure', status: 503, before: throwOnce },
    { title: 'with an onSend hook after ours that throws at the failure', status: 503, after: throwOnce }
  ]
  const streams: Record<string, (gone: () => void) => unknown> = {
    'a stream of Node': gone => new Readable({ read () {}, destroy (error, done) { gone(); done(error) } }),
    'a stream of the web': gone => new ReadableStream({ cancel: gone }),
    'a Response': gone => new Response(new ReadableStream({ cancel: gone }))
  }
  for (const { title, status, before = () => {}, after = () => {}, route = {} } of rows) {
    await t.test(`${title}: is tried once, sends no token, and leaves no stream open`, async t => {
      let destroyed = 0
      const { visitor, repository } = await setApp(t, {
        before,
        routes: app => {
          after(app)
          for (const [index, make] of Object.values(streams).entries()) {
            app.get(`/${index}`, route, async (request, reply) => {
              request.session.set('count', 1)
              const payload = make(() => { destroyed += 1 })
              return payload instanceof Response ? payload : await reply.send(payload)
            })
          }
        }
      })
      for (const [index, kind] of Object.keys(streams).entries()) {
        repository.meet('create', 'fail before')
        const response = await visitor().get(`/${index}`)
        t.equal(response.statusCode, status, kind)
        t.same(setCookies(response), [])
        t.same(repository.take(), ['create'], 'one attempt')
        t.equal(destroyed, index + 1, 'destroyed once')
      }
    })
  }

  await t.test('because an onSend hook before ours threw first: it was never tried, as the answer is a 5xx then', async t => {
    let isFirst = true
    const { visitor, repository, log } = await setApp(t, {
      before: app => {
        app.addHook('onSend', async (_request, _reply, payload) => {
          if (isFirst) {
            isFirst = false
            throw new Error('hook')
          }
          return payload
        })
      },
      routes: app => { app.get('/', async request => { request.session.set('count', 1) }) }
    })
    const response = await visitor().get('/')
    t.same([response.statusCode, setCookies(response), repository.take(), told(log, LOST)], [500, [], [], 0])
  })

  await t.test('or succeeds, before an onSend hook after ours throws: it is saved once, and the token goes with the 500', async t => {
    let isFirst = true
    const { visitor, repository } = await setApp(t, {
      routes: app => {
        app.addHook('onSend', async (_request, _reply, payload) => {
          if (isFirst) {
            isFirst = false
            throw new Error('hook')
          }
          return payload
        })
        app.get('/', async request => { request.session.set('count', 1) })
      }
    })
    const ann = visitor()
    const response = await ann.get('/')
    t.same([response.statusCode, setCookieNames(response), repository.take()], [500, ['__Host-id', '__Host-id-v'], ['create']])
    t.equal(response.headers['cache-control'], 'no-store')
    t.same((await ann.get('/data')).json(), { count: 1 }, 'a token that was sent loads')
  })
})

t.test('no byte leaves before the save is acknowledged', async t => {
  const { origin, proxy } = await setOrigin(t, {
    routes: app => {
      addRoutes(app)
      app.post('/stream', async (request, reply) => {
        request.session.set('count', Number(request.session.get('count') ?? 0) + 1)
        return await reply.send(Readable.from(['first ', 'last']))
      })
    }
  })
  for (const path of ['/login', '/stream']) {
    for (const where of ['before', 'after'] as const) {
      for (const action of ['PutItem', 'UpdateItem'] as const) {
        await t.test(`${path}: ${action} held ${where} the engine`, async t => {
          const connection = new RawConnection(origin)
          t.teardown(() => { connection.close() })
          const cookie = action === 'PutItem' ? '' : cookieOf(await ask(`${origin}/set`, { method: 'POST', body: '{"userId":"u"}' }))
          proxy.take()
          const gate = proxy.gate(action, where)
          const header = cookie === '' ? '' : `Cookie: ${cookie}\r\n`
          connection.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n${header}\r\n`)
          await gate.reached
          // Another request goes the whole way meanwhile, so whatever was on its way has come.
          t.equal((await ask(`${origin}/nothing`)).body, 'nothing')
          t.equal(connection.received, '')
          gate.release()
          const answer = await connection.until(received => received.includes('\r\n\r\n'))
          t.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
          t.match(answer, /\r\nset-cookie: __Host-id/i)
          t.same(proxy.take().filter(name => name === action), [action])
        })
      }
    }
  }
})

t.test('streams', async t => {
  let go = (): void => {}
  const { origin, proxy, log, items } = await setOrigin(t, {
    routes: app => {
      addRoutes(app)
      app.get('/progress', async (request, reply) => {
        request.session.set('count', 0)
        return await reply.send(Readable.from((async function * () {
          for (const count of [1, 2, 3]) {
            request.session.set('count', count)
            await request.session.save()
            yield `${count} `
          }
        })()))
      })
      app.get('/careless', async (request, reply) => {
        request.session.set('count', 10)
        return await reply.send(Readable.from((async function * () {
          for (const count of [11, 12, 13]) {
            request.session.set('count', count)
            yield `${count} `
          }
        })()))
      })
      app.get('/update', async (request, reply) => await reply.send(Readable.from((async function * () {
        for (let step = 0; step < 3; step++) yield `${await request.session.update('count', count => (count ?? 0) + 1)} `
      })())))
      app.get('/half', async (request, reply) => {
        request.session.set('count', 20)
        return await reply.send(Readable.from((async function * () {
          request.session.set('count', 21)
          await request.session.save()
          yield 'first '
          await new Promise<void>(resolve => { go = resolve })
          request.session.set('userId', 'late')
          yield 'last'
        })()))
      })
    }
  })

  await t.test('what each step of a stream saves is stored before its bytes go, and nothing is warned of', async t => {
    const reply = await ask(`${origin}/progress`)
    t.same([reply.status, reply.body, namesOf(reply)], [200, '1 2 3 ', ['__Host-id', '__Host-id-v']])
    t.same(proxy.take(), ['PutItem', 'UpdateItem', 'UpdateItem', 'UpdateItem'])
    t.same(JSON.parse((await ask(`${origin}/me`, { cookie: cookieOf(reply) })).body).data, { count: 3 })
    proxy.take()
    t.equal(told(log, LOST), 0)
  })

  await t.test('what a stream changes and does not save is warned of once, however often, and is not stored', async t => {
    const reply = await ask(`${origin}/careless`)
    t.equal(reply.body, '11 12 13 ')
    t.same(proxy.take(), ['PutItem'])
    t.equal(told(log, LOST), 1)
    t.same(JSON.parse((await ask(`${origin}/me`, { cookie: cookieOf(reply) })).body).data, { count: 10 })
    proxy.take()
  })

  await t.test('update() in a stream writes each time', async t => {
    const first = await ask(`${origin}/set`, { method: 'POST', body: '{"count":1}' })
    proxy.take()
    t.equal((await ask(`${origin}/update`, { cookie: cookieOf(first) })).body, '2 3 4 ')
    t.same(proxy.take(), ['GetItem', 'UpdateItem', 'UpdateItem', 'UpdateItem'])
    t.equal(told(log, LOST), 1, 'no more than before')
  })

  await t.test('a client that leaves during a stream: what was saved stands, the rest is warned of', async t => {
    const seen = (await items()).length
    const connection = new RawConnection(origin)
    connection.write('GET /half HTTP/1.1\r\nHost: x\r\n\r\n')
    await connection.until(received => received.includes('first'))
    t.same((await items()).filter(item => item['data']?.M?.['count']?.S === '21').length, 1, 'stored while the stream runs')
    connection.socket.resetAndDestroy()
    while (!log.lines.some(line => /premature|aborted|stream closed/i.test(String(line['msg'])))) await nextTurn()
    go()
    await nextTurn()
    t.equal((await items()).length, seen + 1)
    t.notOk((await items()).some(item => item['data']?.M?.['userId']?.S === '"late"'))
  })
})

t.test('raw replies', async t => {
  const { origin, proxy, log, app } = await setOrigin(t, {
    routes: app => {
      addRoutes(app)
      app.get('/events', async (request, reply) => {
        reply.hijack()
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream', connection: 'close' })
        for (const count of [1, 2]) {
          request.session.set('count', count)
          await request.session.save()
          reply.raw.write(`data: ${JSON.stringify({ count, token: request.session.token })}\n\n`)
        }
        reply.raw.end()
      })
      app.get('/raw-head', (request, reply) => {
        request.session.set('count', 1)
        reply.raw.writeHead(201, { 'x-own': '1', connection: 'close' })
        reply.raw.end('raw')
      })
      app.get('/raw-end', (request, reply) => {
        request.session.set('count', 1)
        reply.raw.end('raw')
      })
      app.get('/raw-saved', async (request, reply) => {
        request.session.set('count', 1)
        await request.session.save()
        reply.hijack()
        reply.raw.writeHead(200, { 'set-cookie': `__Host-id=${request.session.token}; Path=/; Secure; HttpOnly`, connection: 'close' })
        reply.raw.end('raw')
      })
      app.get('/raw-read', (request, reply) => {
        reply.hijack()
        reply.raw.end(String(request.session.get('count')))
      })
    }
  })

  await t.test('server-sent events: each is stored before it goes, and the token in it signs the next request in', async t => {
    const connection = new RawConnection(origin)
    t.teardown(() => { connection.close() })
    const gate = proxy.gate('UpdateItem', 'after')
    connection.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
    await gate.reached
    t.equal((await ask(`${origin}/nothing`)).body, 'nothing')
    t.match(connection.received, '"count":1')
    t.notMatch(connection.received, '"count":2', 'the second event waits for its save')
    const token = /"token":"([\w-]+)"/.exec(connection.received)?.[1] ?? ''
    gate.release()
    await connection.until(received => received.includes('"count":2'))
    t.same(proxy.take(), ['PutItem', 'UpdateItem'])
    t.same(JSON.parse((await ask(`${origin}/me`, { cookie: `__Host-id=${token}` })).body).data, { count: 2 })
    t.notMatch(connection.received, /set-cookie/i)
    t.equal(told(log, LOST), 0)
    proxy.take()
  })

  await t.test('what is changed on a raw reply and not saved is warned of once, and costs no call', async t => {
    for (const [index, path] of ['/raw-head', '/raw-end'].entries()) {
      const end = doneOnce(app, path)
      const reply = await ask(origin + path)
      await end
      t.same([reply.body, reply.setCookies, proxy.take()], ['raw', [], []], path)
      t.equal(told(log, LOST), index + 1)
    }
  })

  await t.test('saved first, nothing is warned of, and a Set-Cookie written by hand with session.token works', async t => {
    const end = doneOnce(app, '/raw-saved')
    const reply = await ask(`${origin}/raw-saved`)
    await end
    t.same([reply.body, proxy.take(), told(log, LOST)], ['raw', ['PutItem'], 2])
    const read = doneOnce(app, '/raw-read')
    t.equal((await ask(`${origin}/raw-read`, { cookie: cookieOf(reply) })).body, '1')
    await read
    t.equal(told(log, LOST), 2, 'to read on a raw reply loses nothing')
  })
})

t.test('errors in every place', async t => {
  const bad = (statusCode = 500): Error => Object.assign(new Error('broken'), { statusCode })
  const change = async (request: FastifyRequest): Promise<void> => { request.session.set('count', 1) }
  type Arrange = (app: FastifyInstance) => void
  const rows: Array<{ title: string, status: number, saved: [byDefault: boolean, onServerError: boolean], arrange: Arrange }> = [
    {
      title: 'preHandler throws',
      status: 500,
      saved: [false, true],
      arrange: app => { app.get('/', { preHandler: async request => { await change(request); throw bad() } }, async () => 'never') }
    },
    {
      title: 'preHandler throws a 403',
      status: 403,
      saved: [true, true],
      arrange: app => { app.get('/', { preHandler: async request => { await change(request); throw bad(403) } }, async () => 'never') }
    },
    {
      title: 'preSerialization throws',
      status: 500,
      saved: [false, true],
      arrange: app => {
        app.get('/', { preSerialization: async () => { throw bad() } }, async request => {
          await change(request)
          return {}
        })
      }
    },
    {
      title: 'a serializer of the reply throws',
      status: 500,
      saved: [false, true],
      arrange: app => {
        app.get('/', async (request, reply) => {
          await change(request)
          return await reply.serializer(() => { throw bad() }).send({})
        })
      }
    },
    {
      title: 'the schema of the response does not fit',
      status: 500,
      saved: [false, true],
      arrange: app => {
        const schema = { response: { 200: { type: 'object', required: ['must'], properties: { must: { type: 'string' } } } } }
        app.get('/', { schema }, async request => {
          await change(request)
          return {}
        })
      }
    },
    {
      title: 'an onSend hook before ours makes it a 500',
      status: 500,
      saved: [false, true],
      arrange: app => {
        app.get('/', async request => { await change(request); return 'x' })
      }
    },
    {
      title: 'an onSend hook after ours makes it a 500',
      status: 500,
      saved: [true, true],
      arrange: app => {
        app.addHook('onSend', async (_request, reply, payload) => { reply.code(500); return payload })
        app.get('/', async request => { await change(request); return 'x' })
      }
    },
    {
      title: 'an error handler makes a 422 of it',
      status: 422,
      saved: [true, true],
      arrange: app => {
        app.setErrorHandler(async (_error, _request, reply) => await reply.code(422).send({}))
        app.get('/', async request => { await change(request); throw bad() })
      }
    },
    {
      title: 'an error handler makes a 502 of a 400',
      status: 502,
      saved: [false, true],
      arrange: app => {
        app.setErrorHandler(async (_error, _request, reply) => await reply.code(502).send({}))
        app.get('/', async request => { await change(request); throw bad(400) })
      }
    },
    {
      title: 'an error handler that answers 400 changes the session',
      status: 400,
      saved: [true, true],
      arrange: app => {
        app.setErrorHandler(async (_error, request, reply) => { await change(request); return await reply.code(400).send({}) })
        app.get('/', async () => { throw bad() })
      }
    },
    {
      title: 'an error handler that answers 500 changes the session',
      status: 500,
      saved: [false, true],
      arrange: app => {
        app.setErrorHandler(async (_error, request, reply) => { await change(request); return await reply.code(500).send({}) })
        app.get('/', async () => { throw bad(400) })
      }
    },
    {
      title: 'an onError hook changes the session of a 404',
      status: 404,
      saved: [true, true],
      arrange: app => {
        app.addHook('onError', async request => { await change(request) })
        app.get('/', async () => { throw bad(404) })
      }
    }
  ]
  for (const { title, status, saved, arrange } of rows) {
    for (const [index, saveOnServerError] of [false, true].entries()) {
      const expected = saved[index] === true
      await t.test(`${title}${saveOnServerError ? ', with saveOnServerError' : ''}: ${expected ? 'saved' : 'dropped'}`, async t => {
        const { visitor, repository, log } = await setApp(t, {
          session: { saveOnServerError },
          before: app => {
            if (!title.includes('before ours')) return
            app.addHook('onSend', async (_request, reply, payload) => {
              reply.code(500)
              return payload
            })
          },
          routes: arrange
        })
        const response = await visitor().get('/')
        t.equal(response.statusCode, status)
        t.same([setCookieNames(response), repository.take()], expected ? [['__Host-id', '__Host-id-v'], ['create']] : [[], []])
        t.equal(told(log, LOST), 0)
      })
    }
  }
})

t.test('odd answers on a real socket', async t => {
  const { origin, proxy } = await setOrigin(t, {
    routes: app => {
      addRoutes(app)
      app.setNotFoundHandler(async (request, reply) => {
        if (request.url.includes('set')) request.session.set('count', 404)
        return await reply.code(404).send('none')
      })
      app.get('/tagged', async (request, reply) => {
        request.session.set('count', 1)
        reply.header('etag', '"one"')
        return request.headers['if-none-match'] === '"one"' ? await reply.code(304).send() : 'whole'
      })
      app.route({ method: 'OPTIONS', url: '/options', handler: async (_request, reply) => await reply.code(204).send() })
      app.route({ method: 'HEAD', url: '/head', handler: async request => { request.session.set('count', 1) } })
      app.get('/away', async (request, reply) => {
        await request.session.regenerate()
        request.session.set('userId', 'u')
        return await reply.redirect('/me', 302)
      })
      app.delete('/gone', async (request, reply) => {
        await request.session.destroy()
        return await reply.code(204).send()
      })
    }
  })
  const both = ['__Host-id', '__Host-id-v']
  for (const [method, path, status, body, names, calls] of [
    ['GET', '/tagged', 200, 'whole', both, ['PutItem']],
    ['GET', '/tagged', 304, '', both, ['PutItem']],
    ['HEAD', '/head', 200, '', both, ['PutItem']],
    ['HEAD', '/nothing', 200, '', [], []],
    ['OPTIONS', '/options', 204, '', [], []],
    ['GET', '/away', 302, '', both, ['PutItem']],
    ['GET', '/nowhere', 404, 'none', [], []],
    ['GET', '/nowhere-set', 404, 'none', both, ['PutItem']]
  ] as const) {
    const reply = await ask(origin + path, { method, headers: status === 304 ? { 'if-none-match': '"one"' } : {} })
    t.same([reply.status, reply.body, namesOf(reply), proxy.take()], [status, body, names, calls], `${method} ${path} ${status}`)
    if (names.length === 0) continue
    t.equal(reply.headers['cache-control'], 'no-store')
    t.same(Object.keys(JSON.parse((await ask(`${origin}/me`, { cookie: cookieOf(reply) })).body).data).length, 1, 'the token loads')
    proxy.take()
  }
  const cookie = cookieOf(await ask(`${origin}/away`))
  const gone = await ask(`${origin}/gone`, { method: 'DELETE', cookie })
  t.same([gone.status, namesOf(gone)], [204, ['__Host-id']])
  t.match(gone.setCookies[0], /Max-Age=0/)
})

t.test('two registrations', async t => {
  const set = async (t: Test) => {
    const [first, second] = [new FaultyRepository(), new FaultyRepository()]
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    const register = async (repository: FaultyRepository, options: Partial<DynamoSessionOptions>) => {
      await app.register(dynamoSession, { table: 'sessions', client: repository, keyPrefix: options.sessionName ?? '', ...options })
    }
    await register(first, {})
    await register(second, { sessionName: 'admin' })
    const admin = (request: FastifyRequest) => Reflect.get(request, 'admin') as FastifyRequest['session']
    app.post('/set', async request => {
      request.session.set('count', Number(request.session.get('count') ?? 0) + 1)
      admin(request).set('count', Number(admin(request).get('count') ?? 0) + 10)
    })
    app.post('/out', async request => { await admin(request).destroy() })
    app.get('/', async request => [request.session.get('count'), admin(request).get('count')])
    await app.ready()
    return { first, second, ann: new Visitor(app) }
  }

  await t.test('both sessions of one request are saved, each under its own token', async t => {
    const { first, second, ann } = await set(t)
    t.same(setCookieNames(await ann.post('/set')), ['__Host-id', '__Host-id-v', '__Host-id-admin', '__Host-id-admin-v'])
    await ann.post('/set')
    t.same((await ann.get('/')).json(), [2, 20])
    t.same([first.take(), second.take()], [['create', 'load', 'save', 'load'], ['create', 'load', 'save', 'load']])
    t.same(setCookieNames(await ann.post('/out')), ['__Host-id-admin'])
    t.same((await ann.get('/')).json(), [2, null])
  })

  await t.test('where the second save fails, the first has been made, and its token goes with the 503', async t => {
    const { first, second, ann } = await set(t)
    second.meet('create', 'fail before')
    const response = await ann.post('/set')
    t.same([response.statusCode, setCookieNames(response)], [503, ['__Host-id', '__Host-id-v']])
    t.equal(response.headers['cache-control'], 'no-store', 'a token is not to be stored')
    t.same([first.take(), second.take()], [['create'], ['create']], 'each once')
    t.same((await ann.get('/')).json(), [1, null])
  })

  await t.test('where the first save fails, the second is not made, and no token is sent', async t => {
    const { first, second, ann } = await set(t)
    first.meet('create', 'fail before')
    const response = await ann.post('/set')
    t.same([response.statusCode, setCookies(response), first.take(), second.take()], [503, [], ['create'], []])
    t.same((await ann.get('/')).json(), [null, null])
  })

  await t.test('where one cannot be read, the handler does not run, and neither is changed', async t => {
    for (const broken of ['first', 'second'] as const) {
      const stage = await set(t)
      await stage.ann.post('/set')
      stage[broken].meet('load', 'fail before')
      const response = await stage.ann.post('/set')
      t.same([response.statusCode, setCookies(response), response.headers['retry-after']], [503, [], '1'], broken)
      t.same((await stage.ann.get('/')).json(), [1, 10])
    }
  })
})

t.test('a client that leaves', async t => {
  let waiting = (): void => {}
  const { origin, app, proxy, log, items, item } = await setOrigin(t, {
    routes: app => {
      addRoutes(app)
      app.post('/slow', async request => {
        request.session.set('count', 7)
        await new Promise<void>(resolve => { waiting = resolve; entered() })
        return {}
      })
    }
  })
  let entered = (): void => {}
  const jar = async () => {
    const cookie = cookieOf(await ask(`${origin}/set`, { method: 'POST', body: '{"count":1}' }))
    proxy.take()
    return { cookie, key: keyOf(cookie) }
  }

  await t.test('before the handler has ended: its changes are saved all the same', async t => {
    const { cookie, key } = await jar()
    const inHandler = new Promise<void>(resolve => { entered = resolve })
    const request = begin(`${origin}/slow`, { method: 'POST', headers: LEAVES, cookie })
    await inHandler
    await leave(app, request)
    const gate = proxy.gate('UpdateItem', 'after')
    waiting()
    await gate.reached
    gate.release()
    t.equal((await item(key))?.['data']?.M?.['count']?.S, '7')
    t.same(JSON.parse((await ask(`${origin}/me`, { cookie })).body).data, { count: 7 })
  })

  for (const where of ['before', 'after'] as const) {
    await t.test(`while the save is held ${where} the engine: it is made`, async t => {
      const { cookie, key } = await jar()
      const gate = proxy.gate('UpdateItem', where)
      const request = begin(`${origin}/set`, { method: 'POST', headers: LEAVES, cookie, body: '{"count":2}' })
      await gate.reached
      await leave(app, request)
      gate.release()
      await answered(proxy, 'UpdateItem')
      t.equal((await item(key))?.['data']?.M?.['count']?.S, '2')
      t.match(JSON.parse((await ask(`${origin}/me`, { cookie })).body), { data: { count: 2 }, version: 2 })
      proxy.take()
    })

    await t.test(`while a regenerate is held ${where} its second write: the new session is whole, and the old one is marked`, async t => {
      const { cookie, key } = await jar()
      const gate = proxy.gate('UpdateItem', where)
      const request = begin(`${origin}/login`, { method: 'POST', headers: LEAVES, cookie })
      await gate.reached
      await leave(app, request)
      gate.release()
      await answered(proxy, 'UpdateItem')
      const old = await item(key)
      const next = await item(old?.['next']?.S ?? '')
      t.match(next, { data: { M: { userId: { S: '"u-42"' } } }, ver: { N: '1' }, expires: { N: /^\d+$/ }, w: { M: {} } })
      t.same(old?.['data'], { M: {} })
      const later = await ask(`${origin}/me`, { cookie, headers: { 'sec-fetch-mode': 'navigate' } })
      t.same([JSON.parse(later.body).data, later.setCookies], [{}, []], 'the visitor logs in again')
      const again = await ask(`${origin}/login`, { method: 'POST', cookie })
      t.same([again.status, namesOf(again)], [200, ['__Host-id', '__Host-id-v']])
      proxy.take()
    })
  }

  await t.test('while its first data is held: one session, whole, which nobody has a token for and TTL takes', async t => {
    const before = (await items()).length
    const gate = proxy.gate('PutItem')
    const request = begin(`${origin}/set`, { method: 'POST', headers: LEAVES, body: '{"userId":"left"}' })
    await gate.reached
    await leave(app, request)
    gate.release()
    await answered(proxy, 'PutItem')
    const left = (await items()).filter(item => item['data']?.M?.['userId']?.S === '"left"')
    t.equal((await items()).length, before + 1)
    t.match(left, [{ expires: { N: /^\d+$/ }, ver: { N: '1' } }])
  })

  await t.test('before its session was read: nothing crashes and nothing is warned of', async t => {
    const { cookie, key } = await jar()
    const gate = proxy.gate('GetItem')
    const request = begin(`${origin}/set`, { method: 'POST', headers: LEAVES, cookie, body: '{"count":3}' })
    await gate.reached
    await leave(app, request)
    gate.release()
    await answered(proxy, 'GetItem')
    t.equal((await ask(`${origin}/me`, { cookie })).status, 200)
    t.match((await item(key))?.['ver'], { N: /^[12]$/ })
  })

  t.same(log.warnings().filter(text => !text.startsWith('A Secure session cookie')), [], 'all of it in silence')
})

t.test('a change that comes after the client has left', async t => {
  let entered = (_request: FastifyRequest): void => {}
  let goOn = (): void => {}
  const { app, log, repository, visitor } = await setApp(t, {
    routes: app => {
      app.post('/first', async request => { request.session.set('count', 1) })
      const enter = async (request: FastifyRequest): Promise<void> => {
        const { wait } = request.query as { wait?: string }
        const held = wait === undefined ? undefined : new Promise<void>(resolve => { goOn = resolve })
        entered(request)
        await held
      }
      app.get('/stream', async (request, reply) => {
        await enter(request)
        const stream = new PassThrough().on('error', () => {})
        stream.write('first')
        return await reply.send(stream)
      })
      app.get('/web-stream', async (request, reply) => {
        await enter(request)
        return await reply.send(new ReadableStream({ start (controller) { controller.enqueue(Buffer.from('first')) } }))
      })
      app.get('/raw', async (request, reply) => {
        reply.hijack()
        await enter(request)
        reply.raw.write('first')
      })
      app.get('/plain', async request => {
        await enter(request)
        return 'first'
      })
    }
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const warnings = (): number => told(log, LOST) + told(log, LATE)
  const ann = visitor()
  await ann.post('/first')

  /** The session of a request whose client has left, before its answer began or after. */
  const left = async (path: string, isBefore: boolean): Promise<FastifyRequest['session']> => {
    const inHandler = new Promise<FastifyRequest>(resolve => { entered = resolve })
    const request = begin(`${origin}${path}${isBefore ? '?wait' : ''}`, { headers: LEAVES, cookie: ann.cookieHeader() })
    const { session } = await inHandler
    if (!isBefore) await once(request, 'response')
    await leave(app, request)
    if (isBefore) goOn()
    await twoTurns()
    repository.take()
    return session
  }

  for (const [path, isBefore] of [
    ['/stream', false], ['/stream', true], ['/web-stream', false], ['/web-stream', true], ['/raw', false], ['/raw', true], ['/plain', true]
  ] as const) {
    await t.test(`${path}, left ${isBefore ? 'before' : 'after'} the answer began: it is warned of once, and not where it is saved`, async t => {
      const before = warnings()
      const saved = await left(path, isBefore)
      for (const count of [21, 22]) {
        saved.set('count', count)
        await saved.save()
        await twoTurns()
      }
      t.same([warnings() - before, repository.take()], [0, ['save', 'save']])
      const session = await left(path, isBefore)
      t.equal(session.get('count'), 22)
      for (const count of [31, 32]) {
        session.set('count', count)
        await twoTurns()
      }
      t.same([warnings() - before, repository.take()], [1, []])
    })
  }

  await t.test('one that was made before the client left, and that nobody saves, is warned of once too', async t => {
    for (const path of ['/stream', '/raw']) {
      const [lost, late] = [told(log, LOST), told(log, LATE)]
      const inHandler = new Promise<FastifyRequest>(resolve => { entered = resolve })
      const request = begin(origin + path, { headers: LEAVES, cookie: ann.cookieHeader() })
      const { session } = await inHandler
      await once(request, 'response')
      session.set('count', 41)
      await twoTurns()
      t.same([told(log, LOST), told(log, LATE)], [lost, late], 'while the client is there, there is time to save')
      await leave(app, request)
      await twoTurns()
      t.same([told(log, LOST), told(log, LATE)], [lost + 1, late], path)
    }
  })
})

t.test('connections', async t => {
  // One read is held, and the other is not.
  const { origin, proxy } = await setOrigin(t, { session: { batchReads: false } })
  const [ann = '', bob = '', eve = '', dan = ''] = await Promise.all(['ann', 'bob', 'eve', 'dan'].map(async userId =>
    cookieOf(await ask(`${origin}/set`, { method: 'POST', body: JSON.stringify({ userId }) }))))
  const answersOf = (received: string) => received.split(/(?=HTTP\/1\.1 )/).map(answer => {
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    return { head, body, setCookies: [...head.matchAll(/^set-cookie: (.*)$/gmi)].map(([, line = '']) => line) }
  })

  await t.test('pipelined requests of two sessions: each answer has its own data and its own cookies', async t => {
    const connection = new RawConnection(origin)
    t.teardown(() => { connection.close() })
    const get = (cookie: string) => `GET /me HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\n\r\n`
    const login = (cookie: string) => `POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nCookie: ${cookie}\r\n\r\n`
    // The first answer is made last, and goes first.
    const gate = proxy.gate({ action: 'GetItem', when: input => input['Key'].id.S === keyOf(ann) })
    connection.write(get(ann) + get(bob) + login(eve) + login(dan))
    await gate.reached
    while (proxy.calls.filter(call => call.action === 'UpdateItem').length < 2) await nextTurn()
    t.equal(connection.received, '', 'answers go in the order of the requests')
    gate.release()
    const answers = answersOf(await connection.until(received => received.split('"id":').length === 5 && received.endsWith('}')))
    for (const [index, userId] of ['ann', 'bob'].entries()) {
      t.same([JSON.parse(answers[index]?.body ?? '').data, answers[index]?.setCookies], [{ userId }, []])
    }
    const ids = answers.slice(2).map(({ body }) => JSON.parse(body).id as string)
    t.not(ids[0], ids[1])
    for (const [index, answer] of answers.slice(2).entries()) {
      t.match(answer.setCookies, [new RegExp(`^__Host-id=${ids[index]};`), /^__Host-id-v=/])
      t.equal(JSON.parse((await ask(`${origin}/me`, { cookie: cookieOf(answer) })).body).id, ids[index])
    }
  })

  await t.test('Expect: 100-continue: the body is asked for, and the token goes with the last answer only', async t => {
    const connection = new RawConnection(origin)
    t.teardown(() => { connection.close() })
    const headers = ['Host: x', 'Content-Type: application/json', 'Content-Length: 11', 'Expect: 100-continue']
    connection.write(`POST /set HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
    t.equal(await connection.until(received => received.endsWith('\r\n\r\n')), 'HTTP/1.1 100 Continue\r\n\r\n')
    connection.received = ''
    connection.write('{"count":5}')
    const [answer] = answersOf(await connection.until(received => received.endsWith('}')))
    t.match(answer?.head, /^HTTP\/1\.1 200 OK/)
    t.same(JSON.parse((await ask(`${origin}/me`, { cookie: cookieOf(answer ?? { setCookies: [] }) })).body).data, { count: 5 })
  })
})

t.test('over HTTP/2 two sessions on one connection stay apart, and each token is a Set-Cookie of its own', async t => {
  const log = new LogLines()
  const repository = new FaultyRepository()
  const app = Fastify({ http2: true, logger: { level: 'debug', stream: log } })
  await app.register(dynamoSession, { table: 'sessions', client: repository })
  app.get('/me', async request => request.session.data())
  app.get('/set/:user', async request => { request.session.set('userId', (request.params as { user: string }).user) })
  const client = connect(await app.listen({ port: 0, host: '127.0.0.1' }))
  t.teardown(async () => {
    client.close()
    await app.close()
  })
  const [ann, bob] = await Promise.all([askHttp2(client, '/set/ann'), askHttp2(client, '/set/bob')])
  t.same([ann, bob].map(({ status, setCookies }) => [status, setCookies.length]), [[200, 2], [200, 2]])
  const [forAnn, forBob] = await Promise.all([ann, bob].map(async reply => await askHttp2(client, '/me', cookieOf(reply))))
  t.same([forAnn?.body, forBob?.body], ['{"userId":"ann"}', '{"userId":"bob"}'])
  repository.meet('load', 'fail before')
  const failed = await askHttp2(client, '/me', cookieOf(ann))
  t.same([failed.status, failed.setCookies], [503, []])
})

t.test('a change after the request has ended', async t => {
  type Act = (session: FastifyRequest['session']) => Promise<void> | void
  const acts: Record<string, { act: Act, warnings: number }> = {
    'is warned of once, however many follow': {
      act: async session => {
        for (const count of [2, 3, 4]) {
          session.set('count', count)
          await twoTurns()
        }
      },
      warnings: 1
    },
    'is not warned of when it is saved at once': {
      act: async session => {
        session.set('count', 2)
        await session.save()
      },
      warnings: 0
    },
    'is not warned of by update()': {
      act: async session => { await session.update('count', count => (count ?? 0) + 1) },
      warnings: 0
    },
    'is none where nothing was changed': {
      act: session => {
        session.set('count', 1)
        session.keys()
      },
      warnings: 0
    },
    'is warned of though one before it was saved': {
      act: async session => {
        session.set('count', 2)
        await session.save()
        session.set('count', 3)
      },
      warnings: 1
    }
  }
  for (const [title, { act, warnings }] of Object.entries(acts)) {
    for (const isTouched of [true, false]) {
      await t.test(`${title} (${isTouched ? 'the session was used before' : 'the session is first used then'})`, async t => {
        let late = (_request: FastifyRequest): void => {}
        const request = new Promise<FastifyRequest>(resolve => { late = resolve })
        const { app, log, repository } = await setApp(t, {
          routes: app => {
            app.post('/first', async request => { request.session.set('count', 1) })
            app.get('/late', async request => {
              if (isTouched) request.session.keys()
              late(request)
              return {}
            })
          }
        })
        const ann = new Visitor(app)
        await ann.post('/first')
        const origin = await app.listen({ port: 0, host: '127.0.0.1' })
        const end = doneOnce(app, '/late')
        await ask(`${origin}/late`, { cookie: ann.cookieHeader() })
        await end
        await nextTurn()
        repository.take()
        await act((await request).session)
        await twoTurns()
        t.equal(told(log, LATE), warnings)
        t.equal(told(log, LOST), 0)
      })
    }
  }

  await t.test('of a visitor without a session is warned of too, and makes none', async t => {
    let late = (_request: FastifyRequest): void => {}
    const request = new Promise<FastifyRequest>(resolve => { late = resolve })
    const { app, log, repository } = await setApp(t, { routes: app => { app.get('/late', async request => { late(request) }) } })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    const end = doneOnce(app, '/late')
    await ask(`${origin}/late`)
    await end
    const { session } = await request
    t.same([session.data(), told(log, LATE)], [{}, 0], 'to look is no change')
    session.set('count', 1)
    await twoTurns()
    t.same([told(log, LATE), repository.take()], [1, []])
  })
})

t.test('nothing was rejected without a listener', async t => {
  await twoTurns()
  t.same(unhandled, [])
})
