import { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type LightMyRequestResponse as Answer } from 'fastify'
import type { Test } from 'tap'
import dynamoSession, { type CookieOptions, type Session } from '../../index.js'
import { memoryRepository } from '../../testing/index.js'
import { addRoutes, setStage, type Stage, type StageOptions } from '../support/app.js'
import type { Engine } from '../support/engines.js'
import { setCookieNames, setCookies } from '../support/visitor.js'
import { begin, cookieOf, findBy, ID, isNobody, SECRET, type AdvisoryTest } from './advisory.js'

/** Cookies, caches and headers: what goes between the server and the browser. */

const OLD_SECRET = 'the secret of last year, which is long enough'

/** That Cookie headers with a good token under a name that is not quite ours are those of nobody, and cost nothing. */
async function areForged (t: Test, engine: Engine, headersOf: (token: string) => readonly string[]): Promise<void> {
  const stage = await setStage(t, engine)
  const { id } = await begin(stage)
  t.strictSame((await findBy(stage, { cookie: `${ID}=${id}` })).id, id, 'the genuine name')
  const genuine = await begin(stage, { userId: 'bob' })
  for (const cookie of headersOf(id)) {
    await isNobody(t, stage, { cookie }, [], JSON.stringify(cookie.replace(id, '…')))
    const both = await findBy(stage, { cookie: `${cookie}; ${ID}=${genuine.id}` })
    t.equal(both.id, genuine.id, 'and it does not get in the way of the genuine one')
  }
}

/** The text as a server sees it that was sent in UTF-8. */
function asReceived (text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** What shared caches are to know of an answer that sets or clears a cookie. */
function isKeptFromCaches (t: Test, name: string, answer: Answer, count: number): void {
  t.equal(setCookies(answer).length, count, `${name}: cookies`)
  t.match(answer.headers['vary'], /(^|, )Cookie($|,)/, `${name}: Vary`)
  if (count > 0) t.match(answer.headers['cache-control'], /no-store/, `${name}: Cache-Control`)
}

/** Ways to look at a session without reading a value. */
const LOOKS: Readonly<Record<string, (session: Session) => unknown>> = {
  has: session => session.has('userId'),
  in: session => 'userId' in session,
  keys: session => session.keys(),
  length: session => Object.keys(session).length,
  'for in': session => {
    const keys = []
    for (const key in session) keys.push(key)
    return keys
  },
  spread: session => ({ ...session }),
  entries: session => Object.entries(session),
  'has own': session => Object.hasOwn(session, 'userId'),
  stringify: session => JSON.stringify(session),
  data: session => session.data(),
  isNew: session => session.isNew,
  loggableId: session => session.loggableId,
  expiresAt: session => session.expiresAt,
  truth: session => Boolean(session)
}

function addLooks (app: FastifyInstance): void {
  app.get('/look/:way', async request => {
    LOOKS[(request.params as { way: string }).way]?.(request.session)
    return {}
  })
  app.get('/plain', async () => 'plain')
}

/** Answers of an application that means them for everybody. */
const PUBLIC: Readonly<Record<string, (reply: FastifyReply) => unknown>> = {
  '/text': reply => reply.header('cache-control', 'public, max-age=31536000').send('text'),
  '/case': reply => reply.header('Cache-Control', 'PUBLIC').send('text'),
  '/shared': reply => reply.header('cache-control', 's-maxage=600').send('text'),
  '/named': reply => reply.header('cache-control', 'public, no-cache="set-cookie"').send('text'),
  '/stream': reply => reply.header('cache-control', 'public, immutable').send(Readable.from(['a file'])),
  '/raw': reply => {
    reply.raw.setHeader('cache-control', 'public, max-age=60')
    return reply.send('text')
  }
}

function addPublic (app: FastifyInstance): void {
  addRoutes(app)
  for (const [url, answer] of Object.entries(PUBLIC)) {
    app.get(url, (_request, reply) => { answer(reply) })
    app.post(url, async (request, reply) => {
      request.session.set('count', (request.session.get('count') ?? 0) + 1)
      return await answer(reply)
    })
  }
}

/** The first Set-Cookie of a new session under these options, without its value. */
async function firstCookie (t: Test, cookie: CookieOptions | undefined, sessionName = 'session'): Promise<string> {
  const app = Fastify()
  t.teardown(async () => await app.close())
  await app.register(dynamoSession, { table: 'sessions', client: memoryRepository(), cookie, sessionName })
  app.post('/', async request => {
    const session = Reflect.get(request, sessionName) as Session
    session.set('userId', 'ann')
  })
  const [first = ''] = setCookies(await app.inject({ method: 'POST', url: '/' }))
  return first.replace(/=[^;]*/, '')
}

/** Values that would end one attribute and begin another. */
const INJECTIONS: ReadonlyArray<Record<string, string>> = [
  { path: '/; Domain=evil.example' }, { path: '/\r\nSet-Cookie: a=b' }, { path: '/\u0000' }, { path: 'relative' },
  { domain: 'shop.example; Secure' }, { domain: 'shop.example\r\nX: y' }, { domain: '.shop.example' }, { domain: 'shop.example,evil.example' },
  { sameSite: 'lax; Domain=evil.example' }, { sameSite: 'Lax' }, { priority: 'high; Path=/' }
]

const BAD_OPTION = 'FST_DYNAMODB_SESSION_BAD_OPTION'

const RAW_METHODS = ['writeHead', 'setHeader', 'appendHeader', 'getHeader', 'removeHeader', 'flushHeaders', 'write', 'end', 'emit'] as const

/** The methods of a raw answer that are not Node's own. */
function patched (raw: ServerResponse): string[] {
  return RAW_METHODS.filter(name => Object.hasOwn(raw, name) || raw[name] !== ServerResponse.prototype[name])
}

/** An application that notes which request headers are read, by whomever. */
async function setWatched (t: Test, engine: Engine, session: StageOptions['session'] = {}): Promise<{ stage: Stage, read: Set<string> }> {
  const read = new Set<string>()
  const stage = await setStage(t, engine, {
    session,
    before: app => {
      app.addHook('onRequest', async request => {
        const headers = new Proxy(request.raw.headers, {
          get: (target, name) => {
            read.add(String(name))
            return Reflect.get(target, name) as unknown
          },
          has: (target, name) => {
            read.add(String(name))
            return Reflect.has(target, name)
          },
          ownKeys: target => {
            read.add('all of them')
            return Reflect.ownKeys(target)
          }
        })
        Object.defineProperty(request.raw, 'headers', { value: headers })
      })
    }
  })
  return { stage, read }
}

/** Headers in which other systems carry what is theirs. */
const INTERNAL = {
  'x-apigateway-event': '%7B%22session%22%3A%7B%22userId%22%3A%22root%22%7D%7D',
  'x-apigateway-context': '%7B%22userId%22%3A%22root%22%7D',
  'x-session': 'A'.repeat(43),
  'x-session-id': 'A'.repeat(43),
  session: '{"userId":"root"}',
  'fastify-dynamodb-session.session': '{"kind":"open"}',
  authorization: `Bearer ${'A'.repeat(43)}`,
  cookie2: `${ID}=${'A'.repeat(43)}`,
  'x-amzn-trace-id': 'root',
  'x-forwarded-proto': 'https'
}

export const COOKIES: readonly AdvisoryTest[] = [
  {
    advisory: 'CVE-2023-30861 Flask',
    promise: 'every answer that sets or clears a cookie is kept from caches and varies: begun, saved, renewed, signed anew, ended',
    run: async (t, engine) => {
      const old = await setStage(t, engine, { session: { secrets: OLD_SECRET } })
      const stage = await setStage(t, engine, { session: { table: old.table, secrets: [SECRET, OLD_SECRET] } })
      const ann = stage.visitor()
      isKeptFromCaches(t, 'begun', await ann.post('/set', { count: 1 }), 2)
      isKeptFromCaches(t, 'saved', await ann.post('/set', { count: 2 }), 1)
      stage.clock.forward(1000)
      stage.proxy.take()
      isKeptFromCaches(t, 'renewed', await ann.get('/me'), 0)
      t.strictSame(stage.proxy.take(), ['GetItem', 'UpdateItem'], 'it was renewed')
      isKeptFromCaches(t, 'not even used', await ann.get('/nothing'), 0)
      isKeptFromCaches(t, 'new id', await ann.post('/login'), 2)
      isKeptFromCaches(t, 'ended', await ann.post('/logout'), 1)
      const bob = old.visitor()
      await bob.post('/set', { count: 1 })
      isKeptFromCaches(t, 'signed anew', await bob.send({ url: '/nothing' }, stage.app), 1)
      const headers = { ...cookieOf(bob.cookie(ID) ?? ''), 'sec-fetch-mode': 'navigate' }
      stage.clock.forward(7200)
      isKeptFromCaches(t, 'cleared', await stage.app.inject({ url: '/nothing', headers }), 1)
      const failed = await stage.app.inject({ method: 'POST', url: '/nowhere', headers })
      isKeptFromCaches(t, 'cleared by a 404', failed, 1)
    }
  },
  {
    advisory: 'CVE-2026-27205 Flask',
    promise: 'an answer varies when its handler looked at the session in any way, keys only or just whether it is there',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addLooks })
      for (const way of Object.keys(LOOKS)) {
        const answer = await stage.app.inject(`/look/${way}`)
        t.equal(answer.statusCode, 200)
        t.equal(answer.headers['vary'], 'Cookie', way)
      }
      const plain = await stage.app.inject('/plain')
      t.equal(plain.headers['vary'], undefined, 'and does not where nobody looked')
      t.strictSame(stage.proxy.take(), [])
    }
  },
  {
    advisory: 'CVE-2024-26144 Rails ActiveStorage',
    promise: 'an answer that the application meant for everybody is no-store when it carries a cookie (in place of a warning)',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addPublic })
      for (const url of Object.keys(PUBLIC)) {
        const ann = stage.visitor()
        for (const count of [2, 1]) {
          const answer = await ann.post(url)
          isKeptFromCaches(t, url, answer, count)
          t.equal(answer.headers['cache-control'], 'no-store', `${url}: nothing else is said`)
        }
        const open = await stage.app.inject(url)
        t.not(open.headers['cache-control'], 'no-store', `${url}: without a cookie it stays as it was meant`)
        t.strictSame(setCookies(open), [])
      }
    }
  },
  {
    advisory: 'rack invalid-JSON body leak',
    promise: 'of many answers at once, among them those to malformed bodies, each carries its own cookie and no other',
    run: async (t, engine) => {
      const old = await setStage(t, engine, { session: { secrets: OLD_SECRET } })
      const { app } = await setStage(t, engine, { session: { table: old.table, secrets: [SECRET, OLD_SECRET] } })
      const begun = await Promise.all(Array.from({ length: 24 }, async (_, index) => await begin(old, { count: index })))
      await Promise.all(begun.flatMap(({ visitor, id }, index) => [
        async () => {
          // Under the old secret, so that every answer carries a token.
          const answer = await visitor.send({ method: 'POST', url: '/set', payload: '{"broken":', headers: { 'content-type': 'application/json' } }, app)
          t.equal(answer.statusCode, 400)
          t.strictSame(setCookies(answer).map(text => text.slice(0, ID.length + 1 + id.length)), [`${ID}=${id}`], 'its own')
        },
        async () => {
          const answer = await visitor.send({ url: '/me' }, app)
          t.match(answer.json(), { data: { count: index } })
          t.strictSame(setCookies(answer).map(text => text.slice(0, ID.length + 1 + id.length)), [`${ID}=${id}`], 'its own')
        },
        async () => {
          const answer = await app.inject({ method: 'POST', url: '/set', payload: '{"broken":', headers: { 'content-type': 'application/json' } })
          t.equal(answer.statusCode, 400)
          t.strictSame(setCookies(answer), [], 'none for who has none')
        }
      ]).map(async act => { await act() }))
    }
  },
  {
    advisory: 'WS-2022-0330 csrf-csrf',
    promise: 'the default names are exactly __Host-id, or __Secure-id and id where the rules of the longer prefix do not hold',
    run: async t => {
      t.equal(await firstCookie(t, undefined), '__Host-id; Path=/; HttpOnly; Secure; SameSite=Lax')
      t.equal(await firstCookie(t, undefined, 'admin'), '__Host-id-admin; Path=/; HttpOnly; Secure; SameSite=Lax')
      t.equal(await firstCookie(t, { domain: 'shop.example' }), '__Secure-id; Domain=shop.example; Path=/; HttpOnly; Secure; SameSite=Lax')
      t.equal(await firstCookie(t, { path: '/shop' }), '__Secure-id; Path=/shop; HttpOnly; Secure; SameSite=Lax')
      t.equal(await firstCookie(t, { secure: false }), 'id; Path=/; HttpOnly; SameSite=Lax')
      t.equal(await firstCookie(t, { secure: 'auto' }), 'id; Path=/; HttpOnly; SameSite=Lax')
    }
  },
  {
    advisory: 'CVE-2020-8184 rack; CVE-2021-41819 Ruby cgi; CVE-2020-7070 PHP',
    promise: 'a name that is ours only after decoding is not ours',
    run: async (t, engine) => {
      await areForged(t, engine, token => [
        `%5F%5FHost-id=${token}`, `__%48ost-id=${token}`, `__%68ost-id=${token}`, `__Host%2Did=${token}`, `__Host-%69d=${token}`,
        `%255F%255FHost-id=${token}`, `__Host-id%00=${token}`, `__Host-id%20=${token}`, `__Host-id+=${token}`
      ])
    }
  },
  {
    advisory: 'CVE-2022-31629 PHP',
    promise: 'a name that is ours only after its odd characters were replaced is not ours',
    run: async (t, engine) => {
      await areForged(t, engine, token => ['..Host-id', '_.Host-id', '._Host-id', '[[Host-id', '  .Host-id', '_ Host-id', '__Host id', '__Host.id', '__Host_id', '--Host-id',
        '__host-id', '__HOST-ID', 'Host-id', '__Host-id[]', '__Host-id[0]'].map(name => `${name}=${token}`))
    }
  },
  {
    advisory: 'CVE-2023-23934 Werkzeug',
    promise: 'a cookie without a name is nobody\'s, though its value reads like ours',
    run: async (t, engine) => {
      await areForged(t, engine, token => [`=${ID}=${token}`, ` =${ID}=${token}`, `==${ID}=${token}`, `=;=${ID}=${token}`, `a=${ID}=${token}`, `= ${ID}=${token}`])
    }
  },
  {
    advisory: 'PortSwigger 2025, prefix bypass',
    promise: 'neither white space of Unicode nor $Version makes another name ours, and quotes do not make a token',
    run: async (t, engine) => {
      const spaces = ['\u2000', '\u00a0', '\u0085', '\u1680', '\u202f', '\u3000', '\ufeff', '\v', '\f']
      await areForged(t, engine, token => [
        ...spaces.flatMap(space => [space, asReceived(space)]).flatMap(space => [`${space}${ID}=${token}`, `${ID}${space}=${token}`]),
        `$Version=1,${ID}=${token}`, `$Version="1", ${ID}=${token}`, `$Version=1 ${ID}=${token}`, `$Version=1;$${ID}=${token}`, `a="b, ${ID}=${token}"`, `${ID}="${token}"`
      ])
    }
  },
  {
    advisory: 'CVE-2024-47764 cookie; Hono GHSA-5pq2-9x2x-5p6w, GHSA-26pp-8wgv-hjvm, CVE-2026-47675',
    promise: 'no attribute begins another: refused at the registration and in options(), and the caller\'s object is read once',
    run: async (t, engine) => {
      for (const cookie of [...INJECTIONS, { name: 'id; Domain=evil.example' }, { name: 'id\r\nX' }, { name: 'a=b' }, { name: 'ïd' }]) {
        await t.rejects(firstCookie(t, cookie as CookieOptions), { code: BAD_OPTION }, JSON.stringify(cookie))
      }
      const cookie = { path: '/' }
      const stage = await setStage(t, engine, {
        session: { cookie },
        routes: app => {
          app.post('/', async request => {
            request.session.set('userId', 'ann')
            request.session.options(request.body as object)
          })
        }
      })
      cookie.path = '/; Domain=evil.example'
      for (const payload of [...INJECTIONS, { name: 'other; Domain=evil.example' }]) {
        const answer = await stage.app.inject({ method: 'POST', url: '/', payload })
        t.strictSame([answer.statusCode, answer.json<{ code: string }>().code], [500, BAD_OPTION], JSON.stringify(payload))
        t.strictSame(setCookies(answer), [])
      }
      t.strictSame(stage.proxy.take(), [], 'nothing was stored either')
      const payload = { expires: '0; Domain=evil.example', encode: 'x', name: 'other', sameSite: 'strict' }
      const [token = '', companion = ''] = setCookies(await stage.app.inject({ method: 'POST', url: '/', payload }))
      t.match(token, /^__Host-id=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/, 'what is no attribute is left out')
      t.match(companion, /^__Host-id-v=[\w-]{8}\.1; Max-Age=10; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
    }
  },
  {
    advisory: 'CVE-2025-7339 on-headers',
    promise: 'no method of the raw answer is patched, at any step of a request, so writeHead with an array goes through as it is',
    run: async (t, engine) => {
      const found: Record<string, string[]> = {}
      const look = (step: string, reply: FastifyReply): void => { found[step] = patched(reply.raw) }
      const stage = await setStage(t, engine, {
        routes: app => {
          app.addHook('onRequest', async (_request, reply) => { look('onRequest', reply) })
          app.addHook('onSend', async (_request, reply) => { look('onSend', reply) })
          app.addHook('onResponse', async (_request, reply) => { look('onResponse', reply) })
          app.post('/set', async (request, reply) => {
            request.session.set('count', 1)
            look('handler', reply)
            return {}
          })
          app.post('/raw', async (request, reply) => {
            reply.hijack()
            request.session.set('count', 1)
            await request.session.save()
            look('hijacked', reply)
            reply.raw.writeHead(200, ['X-Own', '1', 'Set-Cookie', 'a=1', 'Set-Cookie', `${ID}=${request.session.token}; Path=/; Secure`])
            reply.raw.end('raw')
          })
        }
      })
      await stage.app.listen({ port: 0, host: '127.0.0.1' })
      const url = `http://127.0.0.1:${(stage.app.server.address() as AddressInfo).port}`
      const answer = await fetch(`${url}/set`, { method: 'POST' })
      t.equal(answer.headers.getSetCookie().length, 2)
      const raw = await fetch(`${url}/raw`, { method: 'POST' })
      t.equal(await raw.text(), 'raw')
      t.equal(raw.headers.get('x-own'), '1')
      t.match(raw.headers.getSetCookie(), ['a=1', /^__Host-id=[\w-]{43}; Path=\/; Secure$/])
      t.equal(raw.headers.getSetCookie().length, 2)
      await stage.app.close()
      t.strictSame(found, { onRequest: [], handler: [], onSend: [], hijacked: [], onResponse: [] })
    }
  },
  {
    advisory: 'GHSA-m93c-jj3f-68ph @fastify/aws-lambda',
    promise: 'nothing but the cookie, the configured header and three facts about the request is ever read from its headers',
    run: async (t, engine) => {
      for (const [session, extra] of [[{}, []], [{ header: 'X-Own', cookie: {} }, ['x-own', 'x-own-v']]] as const) {
        const { stage, read } = await setWatched(t, engine, session)
        const { visitor, id } = await begin(stage)
        const plain = (await visitor.get('/me')).json<object>()
        await visitor.get('/off', { headers: INTERNAL })
        // What Fastify reads itself, on a route without a session.
        read.clear()
        await visitor.get('/off', { headers: INTERNAL })
        const before = new Set(read)
        t.strictSame((await visitor.get('/me', { headers: INTERNAL })).json(), plain, 'the session is that of the cookie')
        await isNobody(t, stage, INTERNAL, [], 'without the cookie')
        await stage.app.sessions.destroy(id)
        await visitor.get('/me', { headers: INTERNAL })
        await visitor.get('/nothing', { headers: { ...INTERNAL, 'sec-fetch-mode': 'navigate' } })
        await stage.app.inject({ url: '/me', headers: { 'x-own': id } })
        const added = [...read].filter(name => !before.has(name)).sort()
        t.strictSame(added, ['cookie', 'sec-fetch-dest', 'sec-fetch-mode', 'sec-purpose', ...extra].sort())
      }
    }
  },
  {
    advisory: 'CVE-2015-3982 Django',
    promise: 'an empty cookie is nobody\'s, and after a log-out the id is absent, not empty, so that none share a session',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, {
        routes: app => {
          addRoutes(app)
          app.post('/leave', async ({ session }) => {
            await session.destroy()
            return { id: typeof session.id, token: typeof session.token, loggableId: typeof session.loggableId, keys: session.keys() }
          })
        }
      })
      const { visitor } = await begin(stage)
      const left = await visitor.post('/leave')
      t.strictSame(left.json(), { id: 'undefined', token: 'undefined', loggableId: 'undefined', keys: [] })
      t.match(setCookies(left)[0], /^__Host-id=; Max-Age=0;/)
      const empty = [`${ID}=`, `${ID}=""`, `${ID}= `, ID, `${ID};`, `${ID}=; ${ID}-v=`, `${ID}=%20`, '=', ';', `${ID}=%`]
      for (const cookie of empty) await isNobody(t, stage, { cookie }, [], cookie)
      const ids = await Promise.all(empty.map(async cookie =>
        (await stage.app.inject({ method: 'POST', url: '/set', payload: { userId: cookie }, headers: { cookie } })).json<{ id: string }>().id))
      t.equal(new Set(ids).size, empty.length, 'who writes has a session of their own')
      for (const id of ids) t.match(id, /^[\w-]{43}$/)
      t.equal(await stage.app.sessions.load(''), null)
      t.notOk(setCookieNames(await stage.app.inject({ method: 'POST', url: '/leave' })).includes(ID), 'nothing to clear')
    }
  }
]
