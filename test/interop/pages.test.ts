import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createGunzip, gunzipSync } from 'node:zlib'
import { Signer } from '@fastify/cookie'
import compress from '@fastify/compress'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import staticFiles from '@fastify/static'
import view from '@fastify/view'
import { Eta } from 'eta'
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import { connectDynamodb } from '../../import/index.js'
import { addRoutes, LogLines, setStage, type Stage } from '../support/app.js'
import { makeCertificate } from '../support/certificate.js'
import { clientConfig, createTable, startDynalite, type Engine } from '../support/engines.js'
import { makeGate } from '../support/gate.js'
import { OLD_SECRET } from '../support/old-stores.js'
import { FaultProxy } from '../support/proxy.js'
import { testVisit } from '../support/relied.js'
import { setCookieNames, type Visitor } from '../support/visitor.js'
import { begin, cookieOf, namesOf } from '../support/wire-client.js'
import { takeAway } from '../support/without.js'
import '../support/session-data.js'

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

const LOST = /^Changes of a session were lost/
const REFUSED = () => ({ status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException' } })

async function logIn (stage: Stage, userId = 'ann'): Promise<Visitor> {
  const visitor = stage.visitor()
  await visitor.post('/set', { userId })
  stage.clock.forward(60)
  stage.proxy.take()
  return visitor
}

async function turns (): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await nextTurn()
}

t.test('@fastify/rate-limit', async t => {
  const statuses = async (visitor: Visitor, count: number): Promise<number[]> => {
    const found = []
    for (let visit = 0; visit < count; visit++) found.push((await visitor.get('/me')).statusCode)
    return found
  }

  await t.test('a hook of the application that comes before the plugin refuses without a call', async t => {
    const visit = async (t: Test, order: 'hook' | 'route' | 'after' = 'hook'): Promise<unknown> => {
      const stage = await setStage(t, engine, {
        before: async app => {
          if (order === 'after') return
          await app.register(rateLimit, { global: order === 'route', max: 3 })
          if (order === 'hook') app.addHook('onRequest', app.rateLimit({ max: 3 }))
        },
        routes: async app => {
          if (order === 'after') await app.register(rateLimit, { max: 3 })
          addRoutes(app)
        }
      })
      const visitor = await logIn(stage)
      return { statuses: await statuses(visitor, 4), calls: stage.proxy.take().length }
    }
    await testVisit(t, visit, { statuses: [200, 200, 429, 429], calls: 2 }, {
      'a hook of the application, by its own of the routes,': ['route', { statuses: [200, 200, 429, 429], calls: 4 }],
      'being registered before': ['after', { statuses: [200, 200, 429, 429], calls: 4 }]
    })
  })

  await t.test('a refusal leaves the token alone, sends nothing, and is not kept from the next visitor', async t => {
    const stage = await setStage(t, engine, {
      routes: async app => {
        await app.register(rateLimit, { max: 1, keyGenerator: ({ session, ip }) => session.get('userId') ?? ip })
        addRoutes(app)
      }
    })
    const ann = await logIn(stage)
    await ann.get('/me')
    const { headers, statusCode } = await ann.get('/me')
    t.same([statusCode, headers['set-cookie'], headers.vary, headers['retry-after']], [429, undefined, 'Cookie', '60'])
  })

  await t.test('a key by user cannot be made for a route without a session', async t => {
    const visit = async (t: Test, isLimited = true): Promise<unknown> => {
      const stage = await setStage(t, engine, {
        routes: async app => {
          await app.register(rateLimit, { keyGenerator: ({ session, ip }) => session.get('userId') ?? ip })
          app.get('/off', { config: { session: false, ...!isLimited && { rateLimit: false } } }, async () => 'off')
        }
      })
      const { statusCode, body } = await stage.app.inject('/off')
      return [statusCode, statusCode === 200 ? body : JSON.parse(body).code]
    }
    await testVisit(t, visit, [500, 'FST_DYNAMODB_SESSION_DISABLED'], { 'a limit': [false, [200, 'off']] })
  })

  await t.test('where it refuses before the plugin, an error page that asks for the session is told that it is not open', async t => {
    const visit = async (t: Test, isFirst = true): Promise<unknown> => {
      const stage = await setStage(t, engine, {
        before: async app => {
          app.setErrorHandler(async (error: { statusCode: number }, { session }, reply) => await reply.code(error.statusCode).send(session.get('userId')))
          await app.register(rateLimit, { global: !isFirst, max: 1 })
          if (isFirst) app.addHook('onRequest', app.rateLimit({ max: 1 }))
        },
        routes: app => {
          app.get('/me', async ({ session }) => session.data())
          app.post('/set', async ({ session }) => { session.set('userId', 'ann') })
        }
      })
      const ann = await logIn(stage)
      const { statusCode, body } = await ann.get('/me')
      return [statusCode, statusCode === 429 ? body : JSON.parse(body).code]
    }
    await testVisit(t, visit, [500, 'FST_DYNAMODB_SESSION_NOT_OPEN'], { 'being first': [false, [429, 'ann']] })
  })

  await t.test('a visitor is counted by user, on however many devices, at no call more', async t => {
    const visit = async (t: Test, without?: string): Promise<unknown> => {
      const stage = await setStage(t, engine, {
        routes: async app => {
          if (without !== undefined) takeAway(app, without)
          const keyGenerator = ({ session, ip }: { session: { get (key: 'userId'): string | undefined }, ip: string }): string => session.get('userId') ?? ip
          app.post('/set', async ({ session, body }) => { session.set('userId', (body as { userId: string }).userId) })
          await app.register(rateLimit, { max: 3, keyGenerator })
          app.get('/me', async ({ session }) => session.data())
        }
      })
      const [desk, phone, other, stranger] = [await logIn(stage), await logIn(stage), await logIn(stage, 'bob'), stage.visitor()]
      return [await statuses(desk, 2), await statuses(phone, 2), await statuses(other, 2), await statuses(stranger, 1), stage.proxy.take().length]
    }
    await testVisit(t, visit, [[200, 200], [200, 429], [200, 200], [200], 6], { get: ['get', [[500, 500], [500, 500], [500, 500], [500], 6]] })
  })
})

t.test('@fastify/compress', async t => {
  for (const order of ['before', 'routes'] as const) {
    const title = order === 'before' ? 'registered before' : 'registered after'
    const set = async (t: Test, isLate = false): Promise<Stage & { origin: string }> => {
      const stage = await setStage(t, engine, {
        before: async app => { if (order === 'before') await app.register(compress, { threshold: 0, encodings: ['gzip'] }) },
        routes: async app => {
          if (order === 'routes') await app.register(compress, { threshold: 0, encodings: ['gzip'] })
          app.get('/page', async ({ session }, reply) => {
            if (!isLate) session.set('count', 1)
            return await reply.type('text/plain').send(Readable.from((function * () {
              yield 'first,'
              if (isLate) session.set('count', 1)
              yield 'second'
            })()))
          })
          addRoutes(app)
        }
      })
      return Object.assign(stage, { origin: await stage.app.listen({ port: 0, host: '127.0.0.1' }) })
    }

    await t.test(`${title}: a compressed stream begins after the save, with the headers of both`, async t => {
      const visit = async (t: Test, isLate = false): Promise<unknown> => {
        const stage = await set(t, isLate)
        const gate = isLate ? undefined : stage.proxy.gate('PutItem', 'after')
        const request = begin(`${stage.origin}/page`, { headers: { 'accept-encoding': 'gzip' } })
        let hasBegun = false
        const response = once(request, 'response').then(([response]) => {
          hasBegun = true
          return response as IncomingMessage
        })
        await gate?.reached
        await turns()
        const begunBefore = gate !== undefined && hasBegun
        gate?.release()
        const { headers } = await response
        const body = await text((await response).pipe(createGunzip()))
        const vary = String(headers.vary).toLowerCase().split(', ').sort()
        const names = namesOf({ setCookies: headers['set-cookie'] ?? [] })
        await turns()
        const lost = stage.log.warnings().filter(text => LOST.test(text)).length
        return { begunBefore, body, vary, names, encoding: headers['content-encoding'], stored: (await stage.items()).length, lost }
      }
      const told = { begunBefore: false, body: 'first,second', encoding: 'gzip' }
      await testVisit(t, visit, { ...told, vary: ['accept-encoding', 'cookie'], names: ['__Host-id', '__Host-id-v'], stored: 1, lost: 0 }, {
        'a change before the first byte': [true, { ...told, vary: ['accept-encoding', 'cookie'], names: [], stored: 0, lost: 1 }]
      })
    })

    await t.test(`${title}: where the save fails, the failure arrives in whatever encoding its headers say`, async t => {
      const stage = await set(t)
      stage.proxy.intercept = REFUSED
      const { statusCode, headers, rawPayload } = await stage.app.inject({ url: '/page', headers: { 'accept-encoding': 'gzip' } })
      const body = headers['content-encoding'] === 'gzip' ? gunzipSync(rawPayload) : rawPayload
      t.same([statusCode, headers['set-cookie'], headers['retry-after']], [503, undefined, '1'])
      t.match(JSON.parse(String(body)), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    })
  }
})

t.test('@fastify/static', async t => {
  type Way = 'onRoute' | 'sendFile' | 'plain'

  const set = async (t: Test, way: Way): Promise<Stage> => {
    const root = t.testdir({ 'a.css': 'a {}', 'b.css': 'b {}' })
    return await setStage(t, engine, {
      routes: async app => {
        await app.register(async app => {
          if (way === 'onRoute') {
            app.addHook('onRoute', route => { route.config = { ...route.config, session: false } })
          }
          await app.register(staticFiles, { root, prefix: '/assets/', serve: way !== 'sendFile', maxAge: '1h' })
          if (way === 'sendFile') {
            app.get('/assets/*', { config: { session: false } }, async (request, reply) => reply.sendFile((request.params as { '*': string })['*']))
          }
        })
        addRoutes(app)
      }
    })
  }

  const files = async (t: Test, way: Way): Promise<unknown> => {
    const stage = await set(t, way)
    const ann = await logIn(stage)
    const answers = [await ann.get('/assets/a.css'), await ann.get('/assets/b.css'), await ann.request({ method: 'HEAD', url: '/assets/a.css' })]
    const calls = stage.proxy.take()
    stage.proxy.intercept = REFUSED
    const outage = await ann.get('/assets/a.css')
    return {
      answers: answers.map(({ statusCode, body }) => `${statusCode} ${body}`),
      caching: answers.map(({ headers }) => [headers['cache-control'], headers.vary, headers['set-cookie']]),
      calls,
      outage: outage.statusCode
    }
  }

  const PUBLIC = ['public, max-age=3600', undefined, undefined]
  const OWN = ['public, max-age=3600', 'Cookie', undefined]
  const answers = ['200 a {}', '200 b {}', '200 ']
  const plain = { answers, caching: [OWN, OWN, OWN], calls: ['GetItem', 'GetItem', 'GetItem'], outage: 503 }
  for (const way of ['onRoute', 'sendFile'] as const) {
    await t.test(`with session: false, by ${way}, files cost a signed-in visitor no call, are for everybody, and outlive an outage`, async t => {
      await testVisit(t, async (t, without: Way = way) => await files(t, without), { answers, caching: [PUBLIC, PUBLIC, PUBLIC], calls: [], outage: 200 }, {
        'session: false': ['plain', plain]
      })
    })
  }

  await t.test('a stranger costs no call either way', async t => {
    for (const way of ['onRoute', 'plain'] as const) {
      const stage = await set(t, way)
      const { headers, statusCode } = await stage.visitor().get('/assets/a.css')
      t.same([statusCode, headers.vary, stage.proxy.take()], [200, undefined, []])
    }
  })

  await t.test('the page for a missing file has the config of the files: it must not ask for the session', async t => {
    for (const [way, status] of [['onRoute', 500], ['plain', 404]] as const) {
      const stage = await setStage(t, engine, {
        routes: async app => {
          app.setNotFoundHandler(async ({ session }, reply) => await reply.code(404).send(`Not here, ${session.get('userId') ?? 'stranger'}`))
          await app.register(async app => {
            if (way === 'onRoute') app.addHook('onRoute', route => { route.config = { ...route.config, session: false } })
            await app.register(staticFiles, { root: t.testdir({}), prefix: '/assets/' })
          })
          addRoutes(app)
        }
      })
      const ann = await logIn(stage)
      t.equal((await ann.get('/assets/missing.css')).statusCode, status, way)
      t.equal((await ann.get('/elsewhere')).body, 'Not here, ann')
    }
  })
})

t.test('@fastify/helmet', async t => {
  const NONCE = /script-src 'self' 'nonce-([0-9a-f]{32})'/
  for (const order of ['before', 'routes'] as const) {
    const title = order === 'before' ? 'registered before' : 'registered after'
    await t.test(`${title}: the headers of both survive, failures of ours included, and the nonce is that of the page`, async t => {
      const visit = async (t: Test, without?: string): Promise<unknown> => {
        const stage = await setStage(t, engine, {
          before: async app => { if (order === 'before') await app.register(helmet, { enableCSPNonces: true }) },
          routes: async app => {
            if (order === 'routes') await app.register(helmet, { enableCSPNonces: true })
            if (without !== undefined) takeAway(app, without)
            app.get('/page', async ({ session }, reply) => {
              session.set('count', 1)
              return reply.cspNonce.script
            })
          }
        })
        const page = await stage.app.inject('/page')
        const again = await stage.app.inject('/page')
        stage.proxy.intercept = REFUSED
        const failed = await stage.app.inject('/page')
        const nonces = [page, again, failed].map(({ headers }) => NONCE.exec(String(headers['content-security-policy']))?.[1])
        return {
          names: [page, failed].map(setCookieNames),
          statuses: [page, failed].map(({ statusCode }) => statusCode),
          isOfPage: nonces[0] === page.body,
          distinct: new Set(nonces).size,
          guarded: [page, failed].map(({ headers }) => headers['x-content-type-options']),
          caching: [page.headers['cache-control'], page.headers.vary]
        }
      }
      const well = {
        names: [['__Host-id', '__Host-id-v'], []], statuses: [200, 503], isOfPage: true, distinct: 3, guarded: ['nosniff', 'nosniff'], caching: ['no-store', 'Cookie']
      }
      await testVisit(t, visit, well, {
        set: ['set', { ...well, names: [[], []], statuses: [500, 500], isOfPage: false, caching: [undefined, 'Cookie'] }]
      })
    })
  }
})

t.test('@fastify/view', async t => {
  const PAGE = '<p>Hello <%= it.session.get("userId") ?? "stranger" %>.<%= it.session.take("any:notice") ?? "" %></p>'

  await t.test('a template reads the session, and what it takes is shown once, at one write', async t => {
    const visit = async (t: Test, without?: string): Promise<unknown> => {
      const stage = await setStage(t, engine, {
        routes: async app => {
          await app.register(view, { engine: { eta: new Eta() }, root: t.testdir({ 'page.eta': PAGE }) })
          if (without !== undefined) takeAway(app, without)
          app.get('/', async ({ session }, reply) => await reply.view('page.eta', { session }))
          addRoutes(app)
        }
      })
      const stranger = await stage.app.inject('/')
      const ann = await logIn(stage)
      await ann.post('/set', { 'any:notice': ' Saved' })
      stage.proxy.take()
      const pages = [stranger, await ann.get('/'), await ann.get('/')]
      return [...pages.map(({ statusCode, body }) => statusCode === 200 ? body : statusCode), stage.proxy.take()]
    }
    const hello = (text: string): string => `<p>Hello ${text}</p>`
    const calls = ['GetItem', 'UpdateItem', 'GetItem']
    await testVisit(t, visit, [hello('stranger.'), hello('ann. Saved'), hello('ann.'), calls], {
      get: ['get', [500, 500, 500, ['GetItem', 'GetItem']]],
      take: ['take', [500, 500, 500, ['GetItem', 'GetItem']]]
    })
  })

  await t.test('every template has the session, by reply.locals', async t => {
    const visit = async (t: Test, without?: string): Promise<unknown> => {
      const stage = await setStage(t, engine, {
        routes: async app => {
          await app.register(view, { engine: { eta: new Eta() }, root: t.testdir({ 'page.eta': PAGE }) })
          if (without !== undefined) takeAway(app, without)
          app.addHook('preHandler', async ({ session }, reply) => { Object.assign(reply, { locals: { session } }) })
          app.get('/', async (_request, reply) => await reply.view('page.eta'))
          addRoutes(app)
        }
      })
      return (await (await logIn(stage)).get('/')).body.slice(0, 20)
    }
    await testVisit(t, visit, '<p>Hello ann.</p>', { get: ['get', '{"statusCode":500,"e'] })
  })
})

interface Http2Stage {
  readonly app: FastifyInstance
  readonly client: ClientHttp2Session
  readonly proxy: FaultProxy
  readonly log: LogLines
  /** The Cookie fields of the last request, as they came. */
  readonly fields: string[]
  /** Resolves when a handler stands still; to let it go on. */
  readonly standing: Promise<() => void>
  ask (path: string, cookie?: string | string[]): Promise<{ status: number, setCookies: string[], body: string, headers: IncomingHttpHeaders }>
}

async function setHttp2 (t: Test, isSecure: boolean, session: Partial<DynamoSessionOptions> = {}): Promise<Http2Stage> {
  const { cert, key } = makeCertificate()
  const proxy = await FaultProxy.start(engine)
  const log = new LogLines()
  const fields: string[] = []
  const logger = { level: 'info', stream: log }
  const app = (isSecure ? Fastify({ http2: true, https: { cert, key }, logger }) : Fastify({ http2: true, logger })) as unknown as FastifyInstance
  await app.register(dynamoSession, { table: await createTable(engine), client: clientConfig(proxy.endpoint), verify: false, ...session })
  app.addHook('preHandler', async ({ raw: { rawHeaders } }) => {
    fields.splice(0, Infinity, ...rawHeaders.filter((_, index) => rawHeaders[index - 1] === 'cookie'))
  })
  const entered = makeGate()
  const left = makeGate()
  app.get('/slow', async ({ session }) => {
    entered.open()
    await left.passed
    session.set('userId', 'left')
    return {}
  })
  app.get('/in', async ({ session, protocol }) => {
    session.set('userId', 'ann')
    return protocol
  })
  app.get('/me', async ({ session }) => session.data())
  const client = connect(await app.listen({ port: 0, host: '127.0.0.1' }), { ca: cert })
  client.on('error', () => {})
  t.teardown(async () => {
    client.destroy()
    await app.close()
    await proxy.close()
  })
  proxy.take()
  const ask: Http2Stage['ask'] = async (path, cookie) => {
    const stream = client.request({ ':path': path, ...cookie !== undefined && { cookie } })
    const [headers] = await once(stream, 'response') as [IncomingHttpHeaders & { ':status': number }]
    return { status: headers[':status'], setCookies: headers['set-cookie'] ?? [], body: await text(stream), headers }
  }
  return { app, client, proxy, log, fields, standing: entered.passed.then(() => left.open), ask }
}

t.test('HTTP/2', async t => {
  for (const isSecure of [false, true]) {
    const title = isSecure ? 'over TLS' : 'in the clear'
    await t.test(`${title}: a session as over HTTP/1.1, its cookies in one field or in several`, async t => {
      const stage = await setHttp2(t, isSecure, { cookie: { secure: 'auto' } })
      const login = await stage.ask('/in')
      t.same([login.body, namesOf(login), login.setCookies.every(text => text.includes('; Secure;') === isSecure)], [isSecure ? 'https' : 'http', ['id', 'id-v'], true])
      t.same([login.headers['cache-control'], login.headers.vary], ['no-store', 'Cookie'])
      const cookie = cookieOf(login)
      const split = ['theme=dark', ...cookie.split('; '), 'seen=1']
      for (const cookies of [cookie, split]) {
        const { status, body, setCookies } = await stage.ask('/me', cookies)
        t.same([status, body, setCookies, stage.fields.length], [200, '{"userId":"ann"}', [], [cookies].flat().length])
      }
      t.same(stage.proxy.take(), ['PutItem', 'GetItem', 'GetItem'])
      t.same((await stage.ask('/me', split.filter(pair => !pair.startsWith('id=')))).body, '{}', 'it is the token that does it')
      t.same(stage.log.warnings(), [])
    })

    await t.test(`${title}: a client that leaves while its handler runs: its changes are saved, and nothing is told to be lost`, async t => {
      const stage = await setHttp2(t, isSecure)
      t.same([await leave(stage, 'PutItem'), stage.log.warnings()], [['PutItem'], []])
    })
  }

  await t.test('a client that leaves while its session is moved from another store finds the old one again', async t => {
    const old = await createTable(engine)
    const direct = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => { direct.destroy() })
    const expires = Math.floor(Date.now() / 1000) + 3600
    const sess = JSON.stringify({ cookie: { originalMaxAge: 3_600_000, expires: null, httpOnly: true, path: '/' }, userId: 'u-42' })
    await direct.send(new PutItemCommand({
      TableName: old, Item: { id: { S: 'sess:SID' }, expires: { N: String(expires) }, type: { S: 'connect-session' }, sess: { S: sess } }
    }))
    const stage = await setHttp2(t, true, { importFrom: [connectDynamodb({ table: old, secret: OLD_SECRET })] })
    const cookie = `connect.sid=${encodeURIComponent(`s:${new Signer(OLD_SECRET).sign('SID')}`)}`
    t.same(await leave(stage, 'UpdateItem', cookie), ['GetItem', 'PutItem', 'UpdateItem'], 'its old record is not deleted')
  })
})

/** A client that leaves while its handler runs, which makes this call yet: every call of the request. */
async function leave (stage: Http2Stage, action: 'PutItem' | 'UpdateItem', cookie?: string): Promise<string[]> {
  stage.client.request({ ':path': '/slow', ...cookie !== undefined && { cookie } }).on('error', () => {})
  const goOn = await stage.standing
  const gate = stage.proxy.gate(action, 'after')
  stage.client.destroy()
  // Over HTTP/2 the application hears at once, as of an answer.
  while (!stage.log.lines.some(({ msg }) => msg === 'request completed')) await nextTurn()
  goOn()
  await gate.reached
  gate.release()
  while (!stage.proxy.calls.some(call => call.action === action)) await nextTurn()
  await turns()
  return stage.proxy.take()
}
