import t, { type Test } from 'tap'
import { Signer } from '@fastify/cookie'
import { once } from 'node:events'
import { ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import dynamoSession, { type DynamoSessionOptions, type Session } from '../../index.js'
import { LogLines } from '../support/app.js'
import { FaultyRepository, START } from '../support/memory.js'
import { setCookieNames, setCookies, Visitor } from '../support/visitor.js'
import '../support/session-data.js'

async function setApp (t: Test, routes: (app: FastifyInstance) => void, session: Partial<DynamoSessionOptions> = {}, before: (app: FastifyInstance) => void = () => {}) {
  const repository = new FaultyRepository()
  const log = new LogLines()
  const clock = { ms: START }
  const app = Fastify({ logger: { level: 'debug', stream: log }, trustProxy: true })
  t.teardown(async () => { await app.close() })
  before(app)
  await app.register(dynamoSession, { table: 'sessions', client: repository, now: () => clock.ms, ...session })
  app.post('/set', async request => { request.session.set('count', Number(request.session.get('count') ?? 0) + 1) })
  app.get('/me', async request => request.session.data())
  routes(app)
  await app.ready()
  return { app, repository, log, clock, visitor: () => new Visitor(app, () => clock.ms) }
}

t.test('a save that fails answers 503 with Retry-After and a public message, sends no token, and is tried once', async t => {
  let handled = 0
  const { visitor, repository, log } = await setApp(t, app => {
    app.post('/order', async (request, reply) => {
      handled += 1
      request.session.set('count', 1)
      return await reply.header('etag', '"x"').header('cache-control', 'public').header('location', '/next').send({ ordered: true })
    })
  })
  repository.meet('create', 'fail before')
  const response = await visitor().post('/order')
  t.equal(response.statusCode, 503)
  t.equal(response.headers['retry-after'], '1')
  t.same(response.json(), {
    statusCode: 503,
    code: 'FST_DYNAMODB_SESSION_UNAVAILABLE',
    error: 'Service Unavailable',
    message: 'Sessions cannot be read or written at the moment. Try again in a few seconds; the cause is in the log.'
  })
  t.same(setCookies(response), [])
  t.same([response.headers['etag'], response.headers['cache-control'], response.headers['location']], [undefined, undefined, undefined])
  t.same([handled, repository.take()], [1, ['create']])
  t.match(JSON.stringify(log.lines), 'cut off before', 'the cause is in the log')
})

t.test('an own error handler runs onSend a third time, and still the save is tried once', async t => {
  const { visitor, repository } = await setApp(t, app => {
    app.setErrorHandler(async (error, _request, reply) => await reply.code(418).send({ own: (error as Error & { code: string }).code }))
  })
  repository.meet('create', 'fail before')
  const response = await visitor().post('/set')
  t.same([response.statusCode, response.json()], [418, { own: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }])
  t.equal(response.headers['retry-after'], '1')
  t.same(repository.take(), ['create'])
})

t.test('a stream that is not sent because the save failed is destroyed', async t => {
  const stream = new Readable({ read () {} })
  const { visitor, repository } = await setApp(t, app => {
    app.get('/stream', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.send(stream)
    })
  })
  repository.meet('create', 'fail before')
  t.equal((await visitor().get('/stream')).statusCode, 503)
  t.equal(stream.destroyed, true)
})

t.test('a read that fails answers 503, leaves the cookie alone, and does not run the handler', async t => {
  let handled = 0
  const { visitor, repository } = await setApp(t, app => {
    app.get('/page', async request => { handled += 1; return request.session.data() })
    app.get('/health', { config: { session: false } }, async () => 'well')
    app.addHook('onError', async request => { t.throws(() => request.session, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }) })
  })
  const ann = visitor()
  await ann.post('/set')
  repository.meet('load', 'fail before')
  const response = await ann.get('/page', { headers: { 'sec-fetch-mode': 'navigate', cookie: ann.cookieHeader() } })
  t.same([response.statusCode, response.headers['retry-after'], setCookies(response), handled], [503, '1', [], 0])
  repository.meet('load', 'fail before')
  t.equal((await ann.get('/health')).body, 'well')
  t.equal((await visitor().get('/page')).statusCode, 200, 'who has no token is served as always')
  repository.take()
  t.equal((await ann.get('/page')).statusCode, 503, 'the fault waited for a request that reads')
  t.same((await ann.get('/page')).json(), { count: 1 }, 'and then the visitor is signed in as before')
})

t.test('changes of a handler that answers 5xx are dropped, those of one that answers 4xx are saved', async t => {
  const { visitor, log } = await setApp(t, app => {
    app.post('/answer/:status', async (request, reply) => {
      request.session.set('count', 99)
      return await reply.code(Number((request.params as { status: string }).status)).send({})
    })
    app.post('/throw', async request => {
      request.session.set('count', 98)
      throw new Error('broken')
    })
  })
  const ann = visitor()
  await ann.post('/set')
  for (const url of ['/answer/500', '/answer/503', '/throw']) {
    t.same(setCookies(await ann.post(url)), [])
    t.same((await ann.get('/me')).json(), { count: 1 }, url)
  }
  t.same(setCookieNames(await ann.post('/answer/404')), ['__Host-id-v'])
  t.same((await ann.get('/me')).json(), { count: 99 })
  t.same(log.warnings().filter(message => message.includes('lost')), [], 'what is dropped on purpose is no loss')
})

t.test('with saveOnServerError they are saved', async t => {
  const { visitor } = await setApp(t, app => {
    app.post('/throw', async request => {
      request.session.set('count', 98)
      throw new Error('broken')
    })
  }, { saveOnServerError: true })
  const ann = visitor()
  t.equal((await ann.post('/throw')).statusCode, 500)
  t.same((await ann.get('/me')).json(), { count: 98 })
})

t.test('what a handler saved or destroyed itself stands and is told, though it fails after', async t => {
  const { visitor } = await setApp(t, app => {
    app.post('/save', async request => {
      request.session.set('count', 5)
      await request.session.save()
      throw new Error('broken')
    })
    app.post('/destroy', async request => {
      await request.session.destroy()
      throw new Error('broken')
    })
  })
  const ann = visitor()
  t.same(setCookieNames(await ann.post('/save')), ['__Host-id', '__Host-id-v'])
  t.same((await ann.get('/me')).json(), { count: 5 })
  t.same(setCookieNames(await ann.post('/destroy')), ['__Host-id'])
  t.same((await ann.get('/me')).json(), {})
})

t.test('destroyed and used again in one request, the new token is sent and nothing is cleared', async t => {
  const { visitor } = await setApp(t, app => {
    app.post('/switch', async request => {
      await request.session.destroy()
      request.session.set('userId', 'other')
    })
    app.post('/flicker', async request => {
      request.session.set('userId', 'other')
      await request.session.save()
      await request.session.destroy()
    })
  })
  const ann = visitor()
  await ann.post('/set')
  const before = ann.cookie('__Host-id')
  t.same(setCookieNames(await ann.post('/switch')), ['__Host-id', '__Host-id-v'])
  t.not(ann.cookie('__Host-id'), before)
  t.same((await ann.get('/me')).json(), { userId: 'other' })
  t.same(setCookies(await visitor().post('/flicker')), [], 'who brought no token has none to be cleared')
})

t.test('a change after the answer began is warned of, unless it is saved', async t => {
  const { visitor, log } = await setApp(t, app => {
    const streamed = (request: FastifyRequest, count: number, save: boolean): Readable => Readable.from((async function * () {
      yield 'first '
      request.session.set('count', count)
      if (save) await request.session.save()
      yield 'last'
    })())
    app.get('/late', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.send(streamed(request, 2, false))
    })
    app.get('/saved', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.send(streamed(request, 3, true))
    })
    app.addHook('onSend', async (request, _reply, payload) => {
      if (request.url === '/hook') request.session.set('count', 9)
      return payload
    })
    app.get('/hook', async () => ({}))
  })
  const lost = (): number => log.warnings().filter(message => message.startsWith('Changes of a session were lost')).length
  const ann = visitor()
  await ann.get('/saved')
  t.equal(lost(), 0)
  t.same((await ann.get('/me')).json(), { count: 3 })
  await ann.get('/late')
  t.equal(lost(), 1)
  await ann.get('/hook')
  t.equal(lost(), 2)
  t.same((await ann.get('/me')).json(), { count: 1 })
})

t.test('on a hijacked reply changes are lost with a warning, or saved by save() with the token in hand', async t => {
  const { app, log } = await setApp(t, app => {
    app.get('/lost', (request, reply) => {
      request.session.set('count', 1)
      reply.hijack()
      reply.raw.end('raw')
    })
    app.get('/kept', async (request, reply) => {
      request.session.set('count', 1)
      await request.session.save()
      reply.hijack()
      reply.raw.setHeader('x-token', request.session.token ?? '')
      reply.raw.end('raw')
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const origin = app.listeningOrigin
  await (await fetch(`${origin}/lost`)).text()
  const response = await fetch(`${origin}/kept`)
  await response.text()
  t.equal(log.warnings().filter(message => message.startsWith('Changes of a session were lost')).length, 1)
  const kept = await app.inject({ url: '/me', headers: { cookie: `__Host-id=${response.headers.get('x-token')}` } })
  t.same(kept.json(), { count: 1 })
})

t.test('a route without session refuses its use with a typed error', async t => {
  const { visitor } = await setApp(t, app => {
    app.get('/off', { config: { session: false } }, async request => request.session.data())
    app.get('/on', { config: { session: true } }, async request => request.session.data())
  })
  const response = await visitor().get('/off')
  t.match(response.json(), { statusCode: 500, code: 'FST_DYNAMODB_SESSION_DISABLED', message: /request\.session is switched off on this route/ })
  t.equal((await visitor().get('/on')).statusCode, 200)
})

t.test('a route whose choice is neither true nor false is refused when it is added', async t => {
  const app = Fastify()
  await app.register(dynamoSession, { table: 'sessions', client: new FaultyRepository() })
  t.throws(() => app.get('/x', { config: { session: 'no' as never } }, async () => ''), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
  await app.close()
})

t.test('the session used before it is read is a typed error', async t => {
  const { visitor } = await setApp(t, () => {}, {}, app => {
    app.addHook('onRequest', async request => { request.session.keys() })
  })
  t.match((await visitor().get('/me')).json(), { statusCode: 500, code: 'FST_DYNAMODB_SESSION_NOT_OPEN' })
})

t.test('an answer that depended on the session, or on a token, varies; others do not', async t => {
  const { visitor, app } = await setApp(t, app => {
    app.get('/plain', async () => 'plain')
    app.get('/has', async request => String(request.session.has('count')))
    app.get('/varied', async (request, reply) => {
      request.session.keys()
      return await reply.header('vary', 'Accept-Encoding').send('x')
    })
  })
  t.equal((await visitor().get('/plain')).headers['vary'], undefined)
  t.equal((await visitor().get('/has')).headers['vary'], 'Cookie', 'to look whether a key is there is to use it')
  t.equal((await visitor().get('/varied')).headers['vary'], 'Accept-Encoding, Cookie')
  t.equal((await app.inject({ url: '/plain', headers: { cookie: '__Host-id=garbage' } })).headers['vary'], 'Cookie')
  t.equal((await app.inject({ url: '/plain', headers: { cookie: 'theme=dark' } })).headers['vary'], undefined)
})

t.test('an answer with a token says no-store, unless the handler says no-store or private itself', async t => {
  const { visitor } = await setApp(t, app => {
    app.post('/cache', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.header('cache-control', (request.body as { say: string }).say).send({})
    })
  })
  for (const [say, expected] of [
    ['public, max-age=60', 'no-store'], ['private, max-age=60', 'private, max-age=60'], ['no-store', 'no-store'], ['max-age=1', 'no-store']
  ] as const) t.equal((await visitor().post('/cache', { say })).headers['cache-control'], expected, say)
})

t.test('a remembered session has a cookie that lasts, counted from its creation', async t => {
  const { visitor, clock } = await setApp(t, app => {
    app.post('/remember', async request => {
      await request.session.regenerate()
      request.session.set('userId', 'u')
      request.session.options({ maxAge: 3600 })
      request.session.idleTimeout = 3600
    })
    app.post('/rotate', async request => { await request.session.regenerate(true) })
  }, { cookie: { name: 'sid', maxAge: 100 } })
  const ann = visitor()
  t.match(setCookies(await visitor().post('/set'))[0], /^sid=.*; Max-Age=100;/)
  t.match(setCookies(await ann.post('/remember'))[0], /^sid=.*; Max-Age=3600;/)
  clock.ms += 600_500
  t.match(setCookies(await ann.post('/rotate'))[0], /^sid=.*; Max-Age=3000;/)
})

t.test('secure "auto" follows the protocol, behind a trusted proxy too; a Secure cookie over http is sent and warned of once', async t => {
  const auto = await setApp(t, () => {}, { cookie: { secure: 'auto' } })
  for (const [protocol, secure] of [['http', false], ['https', true]] as const) {
    const response = await auto.app.inject({ method: 'POST', url: '/set', headers: { 'x-forwarded-proto': protocol } })
    t.equal(setCookies(response).every(text => text.includes('; Secure') === secure && text.startsWith('id')), true, protocol)
  }
  t.same(auto.log.warnings(), [])
  const strict = await setApp(t, () => {})
  await strict.app.inject({ method: 'POST', url: '/set', headers: { 'x-forwarded-proto': 'https' } })
  t.same(strict.log.warnings(), [])
  for (let visit = 0; visit < 2; visit++) t.match(setCookies(await strict.app.inject({ method: 'POST', url: '/set' })), [/; Secure/, /; Secure/])
  t.equal(strict.log.warnings().filter(message => message.includes('trustProxy')).length, 1)
})

t.test('an outdated token is sent anew once, though the answer fails and onSend runs again', async t => {
  const repository = new FaultyRepository()
  const old = await setApp(t, () => {}, { client: repository, secrets: 'old secret' })
  const ann = old.visitor()
  await ann.post('/set')
  const { app } = await setApp(t, app => {
    app.addHook('onSend', async (request, _reply, payload) => {
      if (request.url === '/breaks' && payload !== null && !String(payload).includes('hook')) throw new Error('hook')
      return payload
    })
    app.get('/breaks', async () => 'x')
  }, { client: repository, secrets: ['new secret', 'old secret'] })
  const response = await app.inject({ url: '/breaks', headers: { cookie: ann.cookieHeader() } })
  t.equal(response.statusCode, 500)
  t.same(setCookieNames(response), ['__Host-id'])
})

t.test('an expired session under an outdated secret is not signed anew', async t => {
  const repository = new FaultyRepository()
  const old = await setApp(t, () => {}, { client: repository, secrets: 'old secret' })
  const ann = old.visitor()
  await ann.post('/set')
  const { app, clock } = await setApp(t, () => {}, { client: repository, secrets: ['new secret', 'old secret'] })
  clock.ms += 7200_000
  t.same(setCookies(await app.inject({ url: '/me', headers: { cookie: ann.cookieHeader() } })), [])
})

t.test('each early and odd answer works: HEAD, redirect, 304, 404, an answer from another hook', async t => {
  const { visitor } = await setApp(t, app => {
    app.get('/redirect', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.redirect('/me', 303)
    })
    app.get('/unmodified', async (request, reply) => {
      request.session.set('count', 2)
      return await reply.code(304).send()
    })
    app.addHook('preHandler', async (request, reply) => {
      if (request.url !== '/early') return
      request.session.set('count', 3)
      await reply.code(401).send({})
    })
    app.get('/early', async () => 'never')
  })
  const ann = visitor()
  const redirect = await ann.get('/redirect')
  t.same([redirect.statusCode, redirect.headers.location, setCookieNames(redirect)], [303, '/me', ['__Host-id', '__Host-id-v']])
  t.equal((await ann.get('/unmodified')).statusCode, 304)
  t.same((await ann.get('/me')).json(), { count: 2 })
  t.equal((await ann.get('/early')).statusCode, 401)
  t.same((await ann.get('/me')).json(), { count: 3 })
  t.equal((await ann.request({ method: 'HEAD', url: '/me' })).statusCode, 200)
  t.equal((await ann.get('/nowhere')).statusCode, 404)
})

t.test('a value that no format can carry is refused in the handler, and a nested one at the end; nothing is written', async t => {
  const { visitor, repository } = await setApp(t, app => {
    app.post('/bad', async request => { request.session.set('profile', { name: 'x', tags: new Set(['x']) as never }) })
    app.post('/nested', async request => {
      request.session.set('count', 7)
      request.session.set('cart', [])
      request.session.get('cart')?.push((() => {}) as never)
    })
    app.post('/caught', async request => {
      try {
        request.session.set('count', 5n as never)
        return { code: 'none' }
      } catch (error) {
        return { code: (error as { code: string }).code }
      }
    })
  })
  const ann = visitor()
  await ann.post('/set')
  repository.take()
  for (const url of ['/bad', '/nested']) {
    const response = await ann.post(url)
    t.match(response.json(), { statusCode: 500, code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' }, url)
  }
  t.same((await ann.post('/caught')).json(), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
  t.same((await ann.get('/me')).json(), { count: 1 })
  t.same(new Set(repository.take()), new Set(['load']))
})

t.test('the token that is sent is of a session that was stored, though the request fails after it regenerated again', async t => {
  const { visitor } = await setApp(t, app => {
    app.post('/twice', async request => {
      request.session.set('count', 1)
      await request.session.save()
      await request.session.regenerate(true)
      throw new Error('broken')
    })
  })
  const ann = visitor()
  await ann.post('/twice')
  t.same((await ann.get('/me')).json(), { count: 1 })
  await ann.post('/twice')
  t.same((await ann.get('/me')).json(), { count: 1 }, 'nor is anybody logged out')
})

t.test('an outdated token is not signed anew where the session has ended meanwhile', async t => {
  const repository = new FaultyRepository()
  const old = await setApp(t, () => {}, { client: repository, secrets: 'old secret' })
  const ann = old.visitor()
  await ann.post('/set')
  const { app } = await setApp(t, app => {
    app.post('/late', async request => {
      await app.sessions.destroy(request.session.id ?? '')
      request.session.set('count', 9)
    })
  }, { client: repository, secrets: ['new secret', 'old secret'] })
  const response = await app.inject({ method: 'POST', url: '/late', headers: { cookie: ann.cookieHeader() } })
  t.same([response.statusCode, setCookies(response)], [200, []])
})

t.test('one id under two signatures, as after a rotation with a path of its own, is one token', async t => {
  const { app, visitor } = await setApp(t, () => {}, { secrets: ['new secret', 'old secret'], header: 'x-session', cookie: {} })
  const ann = visitor()
  await ann.post('/set')
  const token = ann.cookie('__Host-id') ?? ''
  const outdated = new Signer('old secret').sign(token.split('.')[0] ?? '')
  const [one, two] = [token, outdated].map(encodeURIComponent)
  for (const cookie of [`__Host-id=${one}; __Host-id=${two}`, `__Host-id=${two}; __Host-id=${one}`]) {
    const response = await app.inject({ url: '/me', headers: { cookie } })
    t.same([response.json(), setCookies(response)], [{ count: 1 }, []], 'the newest signature counts')
  }
  t.same((await app.inject({ url: '/me', headers: { cookie: `__Host-id=${two}`, 'x-session': token } })).json(), { count: 1 })
})

t.test('of several companions that name this session the latest counts', async t => {
  const { app, repository, visitor } = await setApp(t, () => {})
  const ann = visitor()
  await ann.post('/set')
  const companion = ann.cookie('__Host-id-v') ?? ''
  repository.take()
  repository.meet('load', () => null)
  const cookie = `__Host-id-v=planted; __Host-id-v=${companion.slice(0, 8)}.0; __Host-id-v=${companion}; __Host-id=${ann.cookie('__Host-id')}`
  t.same((await app.inject({ url: '/me', headers: { cookie } })).json(), { count: 1 })
  t.same(repository.take(), ['load', 'load'])
})

t.test('cookie attributes said before the log-in hold for what the log-in sends and stores', async t => {
  const { visitor, app } = await setApp(t, app => {
    app.post('/remember', async request => {
      request.session.options({ maxAge: 86_400 })
      await request.session.regenerate()
      request.session.set('userId', 'u')
    })
    app.post('/rotate', async request => { await request.session.regenerate(true) })
  })
  const ann = visitor()
  t.match(setCookies(await ann.post('/remember'))[0], /Max-Age=86400/)
  t.match(setCookies(await ann.post('/rotate'))[0], /Max-Age=86400/)
  t.ok(app)
})

t.test('a failure of an explicit save or destroy answers as any other: Retry-After, and nothing of the handler', async t => {
  const { visitor, repository } = await setApp(t, app => {
    for (const act of ['save', 'destroy'] as const) {
      app.post(`/${act}`, async (request, reply) => {
        reply.headers({ 'cache-control': 'public, max-age=600', etag: '"x"', location: '/x', 'content-encoding': 'gzip' })
        request.session.set('count', 99)
        await request.session[act]()
      })
    }
    app.get('/other', async (_request, reply) => {
      reply.header('cache-control', 'private')
      throw new Error('not ours')
    })
  })
  const ann = visitor()
  await ann.post('/set')
  for (const act of ['save', 'destroy'] as const) {
    repository.meet(act, 'fail before')
    const { statusCode, headers } = await ann.post(`/${act}`)
    t.same([statusCode, headers['retry-after']], [503, '1'], act)
    t.same(['cache-control', 'etag', 'location', 'content-encoding'].filter(name => name in headers), [])
  }
  t.equal((await ann.get('/other')).headers['cache-control'], 'private', 'errors of others are left alone')
})

t.test('a read that fails varies like the answer it stands for', async t => {
  const { visitor, repository } = await setApp(t, () => {})
  const ann = visitor()
  await ann.post('/set')
  repository.meet('load', 'fail before')
  t.equal((await ann.get('/me')).headers['vary'], 'Cookie')
})

t.test('streams of the web that are not sent are cancelled', async t => {
  let cancelled = 0
  const stream = () => new ReadableStream({ cancel () { cancelled += 1 } })
  const { visitor, repository } = await setApp(t, app => {
    app.get('/stream', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.send(stream())
    })
    app.get('/response', async request => {
      request.session.set('count', 1)
      return new Response(stream())
    })
    app.get('/locked', async (request, reply) => {
      request.session.set('count', 1)
      const locked = stream()
      locked.getReader()
      return await reply.send(locked)
    })
  })
  for (const url of ['/stream', '/response', '/locked']) {
    repository.meet('create', 'fail before')
    t.equal((await visitor().get(url)).statusCode, 503, url)
  }
  t.equal(cancelled, 2)
})

t.test('what a package of its own calls a Response is not left open either, whatever its body is', async t => {
  let cancelled = 0
  const stream = new Readable({ read () {} })
  const bodies: Record<string, unknown> = { '/node': stream, '/web': new ReadableStream({ cancel () { cancelled += 1 } }), '/none': null }
  const { visitor, repository } = await setApp(t, app => {
    for (const [url, body] of Object.entries(bodies)) {
      app.get(url, async (request, reply) => {
        request.session.set('count', 1)
        return await reply.send({ [Symbol.toStringTag]: 'Response', status: 200, headers: new Headers(), body, bodyUsed: false })
      })
    }
  })
  for (const url of Object.keys(bodies)) {
    repository.meet('create', 'fail before')
    t.equal((await visitor().get(url)).statusCode, 503, url)
  }
  t.same([stream.destroyed, cancelled], [true, 1])
})

t.test('a failure of ours carries nothing that described the answer in whose place it comes', async t => {
  const described = {
    expires: 'Fri, 01 Jan 2100 00:00:00 GMT',
    'last-modified': 'Fri, 01 Jan 2021 00:00:00 GMT',
    'content-disposition': 'attachment; filename="bill.pdf"',
    'content-range': 'bytes 0-4/10'
  }
  const { visitor, repository } = await setApp(t, app => {
    app.get('/bill', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.headers(described).header('x-own', 'kept').send('a bill')
    })
  })
  t.match((await visitor().get('/bill')).headers, described)
  repository.meet('create', 'fail before')
  const { statusCode, headers } = await visitor().get('/bill')
  t.same([statusCode, headers['x-own']], [503, 'kept'])
  t.same(Object.keys(described).filter(name => name in headers), [])
})

t.test('a session that is first used in an onSend hook after ours varies the answer, and keeps it from caches where it could not be read', async t => {
  const { visitor, repository } = await setApp(t, app => {
    app.get('/late', async (_request, reply) => await reply.headers({ 'cache-control': 'private, max-age=60', vary: 'Accept-Encoding' }).send('x'))
    app.get('/plain', async () => 'plain')
    app.addHook('onSend', async (request, reply, payload) => {
      if (request.url === '/late') reply.header('x-user', String(request.session.get('userId') ?? 'nobody'))
      return payload
    })
  }, { readFailure: 'anonymous' })
  const told = ({ headers }: Awaited<ReturnType<Visitor['get']>>) => [headers['x-user'], headers['vary'], headers['cache-control']]
  t.same(told(await visitor().get('/late')), ['nobody', 'Accept-Encoding, Cookie', 'private, max-age=60'])
  t.same(told(await visitor().get('/plain')), [undefined, undefined, undefined])
  const ann = visitor()
  await ann.post('/set')
  t.same(told(await ann.get('/late')), ['nobody', 'Accept-Encoding, Cookie', 'private, max-age=60'])
  repository.meet('load', 'fail before')
  t.same(told(await ann.get('/late')), ['nobody', 'Accept-Encoding, Cookie', 'no-store'])
})

t.test('changes in place on a hijacked reply or in a stream are warned of, and empty ones are not', async t => {
  const { app, log, visitor } = await setApp(t, app => {
    app.post('/cart', async request => { request.session.set('cart', ['a']) })
    app.get('/hijack', (request, reply) => {
      request.session.get('cart')?.push('b')
      reply.hijack()
      reply.raw.end('raw')
    })
    app.get('/stream', async (request, reply) => await reply.send(Readable.from((async function * () {
      yield 'first'
      request.session.get('cart')?.push('c')
    })())))
    app.get('/empty', (request, reply) => {
      request.session.set('flash', {})
      reply.hijack()
      reply.raw.end('raw')
    })
    app.get('/created', async (request, reply) => await reply.send(Readable.from((async function * () {
      yield 'first'
      request.session.set('count', 1)
      await request.session.save()
    })())))
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const lost = (): number => log.warnings().filter(message => message.startsWith('Changes of a session were lost')).length
  const ann = visitor()
  await ann.post('/cart')
  const headers = { cookie: ann.cookieHeader() }
  await (await fetch(`${app.listeningOrigin}/hijack`, { headers })).text()
  t.equal(lost(), 1)
  await ann.get('/stream')
  t.equal(lost(), 2)
  await (await fetch(`${app.listeningOrigin}/empty`)).text()
  t.equal(lost(), 2)
  await visitor().get('/created')
  t.equal(lost(), 2)
  t.equal(log.warnings().filter(message => message.startsWith('A session was created after the answer began')).length, 1)
})

t.test('a change while the end of the request is being written is warned of', async t => {
  const { log, repository, visitor } = await setApp(t, app => {
    app.get('/race', async (request, reply) => {
      request.session.set('count', 1)
      repository.meet('create', async () => {
        request.session.set('count', 2)
        return true
      })
      return await reply.send({})
    })
  })
  await visitor().get('/race')
  t.equal(log.warnings().filter(message => message.startsWith('Changes of a session were lost')).length, 1)
})

t.test('a failure that carries a token all the same is not to be stored', async t => {
  const { visitor, repository } = await setApp(t, app => {
    app.post('/twice', async (request, reply) => {
      reply.header('cache-control', 'public')
      request.session.set('count', 1)
      await request.session.save()
      request.session.set('count', 2)
    })
  })
  repository.meet('save', 'fail before')
  const response = await visitor().post('/twice')
  t.same([response.statusCode, setCookieNames(response), response.headers['cache-control']], [503, ['__Host-id', '__Host-id-v'], 'no-store'])
})

t.test('a save under way when the answer has ended is no loss, nor is one that the handler knows was refused', async t => {
  const { app, log, repository } = await setApp(t, app => {
    app.get('/save', async (request, reply) => {
      reply.hijack()
      request.session.set('count', 1)
      repository.meet('create', async () => await new Promise(resolve => setTimeout(resolve, 20, true)))
      const saved = request.session.save()
      reply.raw.end('raw')
      await saved
    })
    app.get('/refused', async (request, reply) => {
      reply.hijack()
      request.session.set('count', 1)
      for (let attempt = 0; attempt < 3; attempt++) repository.meet('create', () => false)
      await request.session.save().catch(() => {})
      reply.raw.end('raw')
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  for (const url of ['/save', '/refused']) await (await fetch(`${app.listeningOrigin}${url}`)).text()
  await app.close()
  t.same(log.warnings().filter(message => message.startsWith('Changes of a session were lost')), [])
})

const LOST_CHANGES = 'Changes of a session were lost: they were made after the answer began, or on a reply that was hijacked. Call session.save() there'
const LATE_CHANGES = 'A session was changed after its request had ended. Call session.save() right after the change, or it is lost'

/** Lets all run that is due after the end of a request. */
const afterwards = async (): Promise<void> => { for (let count = 0; count < 10; count++) await turn() }

t.test('with readFailure "anonymous" a request whose session cannot be read goes on with a blank one, and the cookie is left alone', async t => {
  const { visitor, repository, log } = await setApp(t, app => {
    app.get('/greet', async request => `hello ${request.session.get('userId') ?? 'stranger'}`)
    app.get('/unused', async () => 'well')
    app.get('/public', async (request, reply) => await reply.header('cache-control', 'public, max-age=60').send(request.session.keys()))
    app.get('/private', async (request, reply) => await reply.header('cache-control', 'private').send(request.session.keys()))
    app.get('/touch', async request => { request.session.touch() })
  }, { readFailure: 'anonymous' })
  const ann = visitor()
  await ann.post('/set')
  repository.take()
  const navigation = { headers: { 'sec-fetch-mode': 'navigate', cookie: ann.cookieHeader() } }
  for (const [url, body, cacheControl] of [
    ['/greet', 'hello stranger', 'no-store'], ['/unused', 'well', undefined], ['/public', '[]', 'no-store'], ['/private', '[]', 'no-store'], ['/touch', '', 'no-store']
  ] as const) {
    repository.meet('load', 'fail before')
    const response = await ann.get(url, navigation)
    t.same([response.statusCode, response.body, setCookies(response)], [200, body, []], url)
    t.same([response.headers['cache-control'], response.headers['vary'], response.headers['retry-after']], [cacheControl, 'Cookie', undefined], url)
  }
  t.same(repository.take(), Array(5).fill('load'), 'and nothing is written')
  const lines = log.lines.filter(line => line['msg'] === 'A session cannot be read, so its request goes on without')
  t.equal(lines.length, 5)
  t.match(lines[0], { level: 40, loggableId: /^[\w-]{43}$/, err: { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' } })
  t.notMatch(JSON.stringify(log.lines), ann.cookie('__Host-id'))
  t.same((await ann.get('/me')).json(), { count: 1 }, 'the visitor is signed in as before')
  t.equal((await visitor().post('/set')).statusCode, 200, 'who has no token may begin a session')
})

t.test('with readFailure "anonymous" what would change a session that could not be read answers 503, and changes nothing', async t => {
  const { visitor, repository } = await setApp(t, app => {
    app.post('/login', async request => {
      await request.session.regenerate()
      request.session.set('userId', 'u')
    })
    app.post('/logout', async request => { await request.session.destroy() })
    app.post('/update', async request => await request.session.update('count', () => 7))
    app.post('/save', async request => { await request.session.save() })
  }, { readFailure: 'anonymous' })
  const ann = visitor()
  await ann.post('/set')
  repository.take()
  for (const url of ['/set', '/login', '/logout', '/update', '/save']) {
    repository.meet('load', 'fail before')
    const response = await ann.post(url)
    t.match(response.json(), { statusCode: 503, code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }, url)
    t.same([response.headers['retry-after'], setCookies(response), repository.take()], ['1', [], ['load']], url)
  }
  t.same((await ann.get('/me')).json(), { count: 1 })
})

t.test('with readFailure "anonymous" a failure that is not the table\'s is a failure', async t => {
  const { visitor, repository } = await setApp(t, () => {}, { readFailure: 'anonymous' })
  const ann = visitor()
  await ann.post('/set')
  repository.meet('load', () => { throw new Error('a defect') })
  const response = await ann.get('/me')
  t.same([response.statusCode, setCookies(response)], [500, []])
})

t.test('with readFailure "anonymous" an outdated token is not signed anew while its session cannot be read', async t => {
  const repository = new FaultyRepository()
  const old = await setApp(t, () => {}, { client: repository, secrets: 'old secret' })
  const ann = old.visitor()
  await ann.post('/set')
  const { app } = await setApp(t, () => {}, { client: repository, secrets: ['new secret', 'old secret'], readFailure: 'anonymous' })
  const request = { url: '/me', headers: { cookie: ann.cookieHeader() } }
  repository.meet('load', 'fail before')
  t.same(setCookies(await app.inject(request)), [])
  t.same(setCookieNames(await app.inject(request)), ['__Host-id'])
})

t.test('an outdated token is not signed anew in the answer to a background request, which may come after that of a log-in', async t => {
  const repository = new FaultyRepository()
  const old = await setApp(t, () => {}, { client: repository, secrets: 'old secret' })
  const ann = old.visitor()
  await ann.post('/set')
  const { app } = await setApp(t, () => {}, { client: repository, secrets: ['new secret', 'old secret'] })
  const cookie = ann.cookieHeader()
  for (const mode of ['cors', 'no-cors', 'same-origin', 'websocket']) {
    const response = await app.inject({ url: '/me', headers: { cookie, 'sec-fetch-mode': mode } })
    t.same([response.json(), setCookies(response)], [{ count: 1 }, []], mode)
  }
  const written = await app.inject({ method: 'POST', url: '/set', headers: { cookie, 'sec-fetch-mode': 'cors' } })
  t.same(setCookieNames(written), ['__Host-id-v'], 'what it wrote is told all the same')
  t.same(setCookieNames(await app.inject({ url: '/me', headers: { cookie, 'sec-fetch-mode': 'navigate' } })), ['__Host-id'])
  t.same(setCookieNames(await app.inject({ url: '/me', headers: { cookie } })), ['__Host-id'], 'nor where the client does not say')
})

t.test('an outdated token is not signed anew where an update found that the session has ended', async t => {
  const repository = new FaultyRepository()
  const old = await setApp(t, () => {}, { client: repository, secrets: 'old secret' })
  const ann = old.visitor()
  await ann.post('/set')
  const { app } = await setApp(t, app => {
    app.post('/late', async request => {
      await app.sessions.destroy(request.session.id ?? '')
      await request.session.update('count', () => 9).catch(() => {})
    })
  }, { client: repository, secrets: ['new secret', 'old secret'] })
  const response = await app.inject({ method: 'POST', url: '/late', headers: { cookie: ann.cookieHeader() } })
  t.same([response.statusCode, setCookies(response)], [200, []])
})

t.test('the cookie of a session that is missing is cleared in the answer to a navigation, and in no other', async t => {
  const { app, visitor, repository } = await setApp(t, () => {})
  const ann = visitor()
  await ann.post('/set')
  const cookie = ann.cookieHeader()
  for (const [mode, cleared] of [['navigate', ['__Host-id']], ['cors', []], [undefined, []]] as const) {
    repository.meet('load', () => null).meet('load', () => null)
    const response = await app.inject({ url: '/me', headers: { cookie, ...mode && { 'sec-fetch-mode': mode } } })
    t.same([response.statusCode, setCookieNames(response)], [200, cleared], mode ?? 'no mode')
  }
})

t.test('a navigation in a frame or ahead of time neither clears a cookie nor signs it anew, one at the top does both', async t => {
  const repository = new FaultyRepository()
  const old = await setApp(t, () => {}, { client: repository, secrets: 'old secret' })
  const outdated = old.visitor()
  await outdated.post('/set')
  const { app, visitor } = await setApp(t, () => {}, { client: repository, secrets: ['new secret', 'old secret'] })
  const missing = visitor()
  await missing.post('/set')
  const ask = async (ann: Visitor, headers: Record<string, string>) =>
    setCookies(await app.inject({ url: '/me', headers: { cookie: ann.cookieHeader(), 'sec-fetch-mode': 'navigate', ...headers } }))
  for (const [headers, clears, signs] of [
    [{ 'sec-fetch-dest': 'iframe' }, [], []],
    [{ 'sec-fetch-dest': 'document', 'sec-purpose': 'prefetch' }, [], []],
    [{ 'sec-fetch-dest': 'document', 'sec-purpose': 'prefetch;prerender' }, [], []],
    [{ 'sec-fetch-dest': 'document' }, [/^__Host-id=;/], [/^__Host-id=[^;]/]]
  ] as const) {
    repository.meet('load', () => null).meet('load', () => null)
    const cleared = await ask(missing, headers)
    repository.take()
    const signed = await ask(outdated, headers)
    t.same([cleared.length, signed.length], [clears.length, signs.length], JSON.stringify(headers))
    t.match([cleared, signed], [clears, signs])
    t.same(repository.take(), ['load'])
  }
})

t.test('an update in a handler is told to the browser like any write, also where the handler fails after it', async t => {
  const { visitor, repository } = await setApp(t, app => {
    app.post('/count', async request => ({ count: await request.session.update('count', count => (count ?? 0) + 1) }))
    app.post('/break', async request => {
      await request.session.update('count', count => (count ?? 0) + 1)
      throw new Error('broken')
    })
    app.post('/unawaited', async request => { request.session.update('count', async count => (count ?? 0) + 1).catch(() => {}) })
  })
  const ann = visitor()
  const first = await ann.post('/count')
  t.same([first.json(), setCookieNames(first)], [{ count: 1 }, ['__Host-id', '__Host-id-v']])
  repository.take()
  t.same(setCookieNames(await ann.post('/count')), ['__Host-id-v'])
  t.same(repository.take(), ['load', 'save'])
  t.same(setCookieNames(await ann.post('/break')), ['__Host-id-v'])
  t.same(setCookieNames(await ann.post('/unawaited')), ['__Host-id-v'], 'the answer waits for it')
  t.same((await ann.get('/me')).json(), { count: 4 })
})

/** An application that takes upgrades as plugins for web sockets do, and a client that has nothing but a socket. */
async function upgrade (app: FastifyInstance, url: string): Promise<{ leave (): Promise<void> }> {
  if (!app.server.listening) {
    await app.listen({ port: 0, host: '127.0.0.1' })
    app.server.on('upgrade', (request, socket) => {
      const response = new ServerResponse(request)
      response.assignSocket(socket as never)
      socket.resume().on('error', () => {}).on('end', () => { socket.destroy() })
      app.routing(request, response)
    })
  }
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => {})
  const [accepted] = await Promise.all([once(app.server, 'upgrade'), socket.write(`GET ${url} HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)])
  return {
    leave: async () => {
      const closed = once(accepted[1], 'close')
      socket.destroy()
      await closed
      await afterwards()
    }
  }
}

t.test('changes on a web socket are warned of when it closes, unless they were saved', async t => {
  let count = 0
  const { app, log, repository } = await setApp(t, app => {
    app.get('/lost', (request, reply) => {
      reply.hijack()
      request.session.set('count', ++count)
    })
    app.get('/saved', (request, reply) => {
      reply.hijack()
      request.session.set('count', ++count)
      request.session.save().catch(error => t.fail(error))
    })
    app.get('/updated', (request, reply) => {
      reply.hijack()
      request.session.update('count', () => ++count).catch(error => t.fail(error))
    })
    app.get('/looked', (request, reply) => {
      reply.hijack()
      request.session.keys()
    })
  })
  for (const [url, warnings, calls] of [['/looked', 0, []], ['/saved', 0, ['create']], ['/updated', 0, ['create']], ['/lost', 1, []]] as const) {
    const client = await upgrade(app, url)
    await afterwards()
    t.same(log.warnings(), [], 'while the socket is open there is time to save')
    await client.leave()
    t.same([log.warnings().filter(message => message === LOST_CHANGES).length, repository.take()], [warnings, calls], url)
  }
  t.equal(count, 3)
})

t.test('a client that leaves before its upgrade leaves a request that is settled as any other', async t => {
  let goOn = (): void => {}
  const held = new Promise<void>(resolve => { goOn = resolve })
  const { app, log, repository } = await setApp(t, app => {
    app.get('/slow', async request => {
      request.session.set('count', 1)
      await held
      return 'no socket'
    })
  })
  const client = await upgrade(app, '/slow')
  await afterwards()
  await client.leave()
  t.same([log.warnings(), repository.take()], [[], []])
  goOn()
  await afterwards()
  t.same(repository.take(), ['create'])
  t.notOk(log.warnings().includes(LOST_CHANGES))
})

t.test('a request that asks for an upgrade and is answered as any other is warned of once', async t => {
  const { app, log } = await setApp(t, app => {
    app.get('/raw', (request, reply) => {
      reply.hijack()
      request.session.set('count', 1)
      reply.raw.end('raw')
    })
  })
  const response = await app.inject({ url: '/raw', headers: { upgrade: 'websocket' } })
  t.equal(response.body, 'raw')
  await afterwards()
  t.equal(log.warnings().filter(message => message === LOST_CHANGES).length, 1)
})

/** A session whose request has ended, and what is warned of it from then on. */
async function outlive (t: Test, url: string, options: Partial<DynamoSessionOptions> = {}) {
  let kept: FastifyRequest | undefined
  const { visitor, repository, log } = await setApp(t, app => {
    for (const name of ['/used', '/unused']) {
      app.get(name, async request => {
        kept = request
        if (name === '/used') request.session.keys()
      })
    }
  }, options)
  const ann = visitor()
  await ann.post('/set')
  await ann.get(url)
  await afterwards()
  repository.take()
  return {
    session: kept?.session as Session,
    repository,
    late: async () => {
      await afterwards()
      return log.lines.filter(line => line['msg'] === LATE_CHANGES)
    }
  }
}

t.test('a change after the end of its request is warned of, once', async t => {
  for (const url of ['/used', '/unused']) {
    const { session, repository, late } = await outlive(t, url)
    session.get('cart')
    t.same(await late(), [], 'looking is no change')
    session.set('count', 2)
    t.match(await late(), [{ level: 40, loggableId: session.loggableId }])
    session.set('count', 3)
    t.equal((await late()).length, 1)
    t.same(repository.take(), [])
  }
})

t.test('a change after the end of its request that is saved at once is not warned of, and the next one that is not is', async t => {
  const { session, repository, late } = await outlive(t, '/used')
  for (const count of [2, 3]) {
    session.set('count', count)
    await session.save()
  }
  await session.update('count', count => (count ?? 0) + 1)
  session.set('count', 4)
  t.same(await late(), [], 'to assign what is stored is no change')
  t.same(repository.take(), ['save', 'save', 'save'])
  session.set('count', 9)
  t.equal((await late()).length, 1)
})

t.test('a save that is under way is waited for before a late change is warned of', async t => {
  const { session, repository, late } = await outlive(t, '/used')
  let answer = (): void => {}
  repository.meet('save', async () => await new Promise(resolve => { answer = () => { resolve({ done: true, version: 2 }) } }))
  session.set('count', 2)
  const saved = session.save()
  t.same(await late(), [])
  answer()
  await saved
  t.same(await late(), [])
})

t.test('a session that is first asked for after the end of a request without a token is watched too', async t => {
  let kept: FastifyRequest | undefined
  const { visitor, log, repository } = await setApp(t, app => { app.get('/keep', async request => { kept = request }) })
  await visitor().get('/keep')
  await afterwards()
  const session = kept?.session as Session
  t.same(log.warnings(), [])
  session.set('count', 1)
  await afterwards()
  t.same([log.warnings(), repository.take()], [[LATE_CHANGES], []])
})

t.test('a log that throws where losses are told brings nobody down', async t => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => { unhandled.push(error) }
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  let kept: FastifyRequest | undefined
  const { app, log, visitor } = await setApp(t, app => {
    app.get('/lost', (request, reply) => {
      reply.hijack()
      request.session.set('count', 1)
    })
    app.get('/keep', async request => { kept = request })
  })
  const write = log.write.bind(log)
  let thrown = 0
  log.write = line => {
    if (!line.includes(LOST_CHANGES) && !line.includes(LATE_CHANGES)) return write(line)
    thrown += 1
    throw new Error('no space left')
  }
  await (await upgrade(app, '/lost')).leave()
  t.equal(thrown, 1)
  await visitor().get('/keep')
  await afterwards()
  kept?.session.set('count', 1)
  await afterwards()
  t.equal(thrown, 2)
  t.same(unhandled, [])
})

t.test('what cannot be answered is an error of its request, and brings nobody down, also after a session was settled', async t => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => { unhandled.push(error) }
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const { app, visitor } = await setApp(t, app => {
    app.get('/redirect', async (request, reply) => await reply.header('x-name', request.session.get('name') ?? '\u20ac').send('x'))
    app.get('/object', async (request, reply) => await reply.type('text/html').header('x-name', request.session.isNew ? 'new' : 'known').send({ a: 1 }))
    app.get('/written', (request, reply) => {
      reply.header('x-name', request.session.isNew ? 'new' : 'known')
      reply.raw.writeHead(200)
      reply.send('x')
    })
  })
  const ann = visitor()
  await ann.post('/set')
  for (const cookie of ['', ann.cookieHeader()]) {
    const get = async (url: string) => await app.inject({ url, headers: { cookie } })
    t.match(await get('/redirect'), { statusCode: 500, body: 'ERR_INVALID_CHAR' })
    t.match(await get('/object'), { statusCode: 500, body: 'FST_ERR_REP_INVALID_PAYLOAD_TYPE' })
    const late = await Promise.race([get('/written').catch((error: Error) => error), turn().then(turn).then(turn)])
    t.not(late, undefined, 'headers that are out already end in an answer or an error, and not in nothing')
  }
  t.same(unhandled, [])
})

t.test('a payload that cannot be destroyed does not keep a failure from being told', async t => {
  const { visitor, repository } = await setApp(t, app => {
    app.get('/strange', async (request, reply) => {
      request.session.set('count', 1)
      return await reply.send({ pipe () {}, destroy () { throw new Error('stuck') } })
    })
  })
  repository.meet('create', 'fail before')
  t.equal((await visitor().get('/strange')).statusCode, 500)
})

t.test('a failure without a reason is a failure', async t => {
  const { visitor, repository } = await setApp(t, app => { app.get('/unused', async () => 'x') })
  const ann = visitor()
  await ann.post('/set')
  const fail = async (): Promise<never> => await (Reflect.apply(Promise.reject, Promise, []) as Promise<never>)
  repository.meet('save', fail).meet('load', fail).meet('load', fail)
  t.equal((await ann.get('/me')).statusCode, 500)
  t.equal((await ann.get('/unused')).statusCode, 500)
  t.equal((await ann.post('/set')).statusCode, 500)
  t.same((await ann.get('/me')).json(), { count: 1 })
})

t.test('a repository of the application\'s may give what it has at once', async t => {
  const { app, visitor, repository } = await setApp(t, () => {})
  const ann = visitor()
  await ann.post('/set')
  const { load } = repository
  let record: unknown
  repository.load = async (...args) => {
    const found = await load(...args)
    record = found
    return found
  }
  await ann.get('/me')
  repository.load = (() => record) as unknown as typeof repository.load
  const answers = await Promise.all([1, 2, 3].map(async () => await app.inject({ url: '/me', headers: { cookie: ann.cookieHeader() } })))
  t.same(answers.map(answer => [answer.statusCode, answer.json()]), [1, 2, 3].map(() => [200, { count: 1 }]))
})
