import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fastifyCookie from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type FastifyReply, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import dynamoSession from '../../index.js'
import { load } from '../../bench/applications/stores.js'
import { connectDynamodb, dynamodbSessionStore, dynamodbSessionWeb, pyramidSession } from '../../import/index.js'
import { blocksIn, read, root, rowsIn } from '../support/documents.js'
import { clientConfig, createTable, startDynalite } from '../support/engines.js'
import { FaultProxy } from '../support/proxy.js'

// What docs/moving.md tells applications to do whose sessions stand in no table: the code there, run.

const SECRET = 'a secret of the old application, of more than thirty-two characters'

interface OldSessions {
  read (request: FastifyRequest): Promise<Record<string, unknown> | undefined>
  clear (request: FastifyRequest, reply: FastifyReply): void
}

interface Documented {
  takeOver (app: FastifyInstance, old: OldSessions): void
  redisSessions (redis: { get (key: string): Promise<string | null> }, secret: string): OldSessions
}

/** The module that the document shows. */
async function documented (t: Test): Promise<Documented> {
  // Inside the tree, so that it finds its packages.
  const folder = join(root, 'test-output', 'moving')
  mkdirSync(folder, { recursive: true })
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const code = blocksIn(read('docs/moving.md'), 'ts').find(block => block.includes('function takeOver'))
  const file = join(folder, 'take-over.ts')
  writeFileSync(file, String(code))
  return await import(pathToFileURL(file).href) as Documented
}

/** Redis as connect-redis uses it: the session as JSON text under its prefix and the id. */
class Redis extends Map<string, string> {
  isDown = false

  async read (key: string): Promise<string | null> {
    if (this.isDown) throw new Error('Redis is down.')
    return this.get(key) ?? null
  }
}

type Done = (error: Error | null, session?: unknown) => void

function storeOn (redis: Redis): object {
  return {
    get (id: string, done: Done) { redis.read(`sess:${id}`).then(text => done(null, text === null ? null : JSON.parse(text)), done) },
    set (id: string, session: object, done: Done) {
      redis.set(`sess:${id}`, JSON.stringify(session))
      done(null)
    },
    destroy (id: string, done: Done) {
      redis.delete(`sess:${id}`)
      done(null)
    }
  }
}

/** Logs in at an application with @fastify/session; gives the cookie. */
async function logInThere (redis: Redis): Promise<string> {
  const app = Fastify()
  await app.register(fastifyCookie)
  const plugin = load('@fastify/session') as FastifyPluginCallback<Record<string, unknown>>
  await app.register(plugin, { secret: SECRET, store: storeOn(redis), cookie: { secure: false }, saveUninitialized: false })
  app.post('/login', async ({ session }) => {
    Object.assign(session, { userId: 'u-42', cart: ['apple'] })
    return {}
  })
  const { headers } = await app.inject({ method: 'POST', url: '/login' })
  await app.close()
  return String(headers['set-cookie']).split(';')[0] ?? ''
}

async function start (t: Test, old: OldSessions, takeOver: Documented['takeOver']): Promise<{ app: FastifyInstance, proxy: FaultProxy }> {
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await proxy.close()
    await engine.close()
  })
  await app.register(fastifyCookie)
  await app.register(dynamoSession, { table: await createTable(engine), client: clientConfig(proxy.endpoint), cookie: { secure: 'auto' }, timeout: 1 })
  takeOver(app, old)
  app.get('/me', async ({ session }) => ({ ...session.data() }))
  await app.ready()
  proxy.take()
  return { app, proxy }
}

function cookiesOf (headers: Readonly<Record<string, unknown>>): string[] {
  return [headers['set-cookie'] ?? []].flat().map(String)
}

t.test('a session of @fastify/session in Redis is taken over, once', async t => {
  const redis = new Redis()
  const { takeOver, redisSessions } = await documented(t)
  const { app, proxy } = await start(t, redisSessions({ get: async key => await redis.read(key) }, SECRET), takeOver)
  const cookie = await logInThere(redis)

  const first = await app.inject({ url: '/me', headers: { cookie } })
  t.same(first.json(), { userId: 'u-42', cart: ['apple'] })
  t.same(proxy.take(), ['PutItem'])
  const sent = cookiesOf(first.headers)
  const token = sent.find(text => text.startsWith('id='))?.split(';')[0] ?? ''
  t.match(sent.find(text => text.startsWith('sessionId=')), /^sessionId=;.*Expires=Thu, 01 Jan 1970/)

  const second = await app.inject({ url: '/me', headers: { cookie: token } })
  t.same(second.json(), { userId: 'u-42', cart: ['apple'] })
  t.same(proxy.take(), ['GetItem'])
  t.same(cookiesOf(second.headers), [])

  const both = await app.inject({ url: '/me', headers: { cookie: `${token}; ${cookie}` } })
  t.same(proxy.take(), ['GetItem'], 'who has a session of ours keeps it')
  t.same(cookiesOf(both.headers).map(text => text.slice(0, 11)), ['sessionId=;'])
})

t.test('a forged cookie and one whose session has ended there are no session', async t => {
  const redis = new Redis()
  const { takeOver, redisSessions } = await documented(t)
  const { app, proxy } = await start(t, redisSessions({ get: async key => await redis.read(key) }, SECRET), takeOver)
  const cookie = await logInThere(redis)
  const forged = cookie.replace(/.$/, last => last === 'A' ? 'B' : 'A')
  t.same((await app.inject({ url: '/me', headers: { cookie: forged } })).json(), {})
  redis.clear()
  t.same((await app.inject({ url: '/me', headers: { cookie } })).json(), {})
  t.same(proxy.take(), [])
})

t.test('a failure on either side is no log-out: the old cookie stays, and the next request is served', async t => {
  const redis = new Redis()
  const { takeOver, redisSessions } = await documented(t)
  const { app, proxy } = await start(t, redisSessions({ get: async key => await redis.read(key) }, SECRET), takeOver)
  const cookie = await logInThere(redis)
  redis.isDown = true
  const unread = await app.inject({ url: '/me', headers: { cookie } })
  t.same([unread.statusCode, cookiesOf(unread.headers)], [500, []])
  redis.isDown = false
  proxy.intercept = action => action === 'PutItem' ? { status: 500, body: { __type: 'InternalServerError' } } : undefined
  const unwritten = await app.inject({ url: '/me', headers: { cookie } })
  t.same([unwritten.statusCode, cookiesOf(unwritten.headers)], [503, []])
  proxy.intercept = () => undefined
  t.same((await app.inject({ url: '/me', headers: { cookie } })).json(), { userId: 'u-42', cart: ['apple'] })
})

t.test('a session that travelled in its cookie is taken over from the plugin that reads it', async t => {
  const { takeOver } = await documented(t)
  const ended: string[] = []
  const { app, proxy } = await start(t, {
    read: async request => request.headers['x-old'] === undefined ? undefined : { userId: String(request.headers['x-old']) },
    clear (request) { ended.push(String(request.headers['x-old'])) }
  }, takeOver)
  t.same((await app.inject({ url: '/me', headers: { 'x-old': 'u-42' } })).json(), { userId: 'u-42' })
  t.same([proxy.take(), ended], [['PutItem'], ['u-42']])
  const anonymous = await app.inject('/me')
  t.same([anonymous.json(), proxy.take(), ended.length], [{}, [], 1])
})

t.test('the table of reader options has what the readers take where nothing is given', async t => {
  const rows = rowsIn(read('docs/moving.md'), 'option', '`connectDynamodb`')
  const readers = [connectDynamodb({ secret: SECRET }), dynamodbSessionStore({ secret: SECRET }), pyramidSession({ table: 'needed' }), dynamodbSessionWeb()]
  const columns = readers.map((_reader, index) => new Map(rows.map(cells => [cells[0], cells[index + 1]])))
  for (const [index, reader] of readers.entries()) {
    const column = columns[index]
    const [[name, value] = []] = Object.entries(reader.keyOf('x'.repeat(43)))
    const prefix = value?.S?.replace(/x+$/, '') ?? ''
    t.equal(column?.get('`table`'), reader.table === 'needed' ? 'required' : `\`'${reader.table}'\``)
    t.equal(column?.get('`cookieName`'), `\`'${reader.cookieName}'\``)
    t.equal(column?.get('`cookiePath`, `cookieDomain`'), `\`'${reader.cookiePath}'\`, ${reader.cookieDomain ?? 'none'}`)
    t.equal(column?.get('`header`'), reader.header ?? 'none')
    t.equal(column?.get('`hashKey`'), `\`'${name}'\``)
    t.equal(column?.get('`prefix`'), prefix === '' ? '-' : `\`'${prefix}'\``)
    t.equal(column?.get('`keep`'), `\`${reader.keep}\``)
  }
})
