import { once } from 'node:events'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import cookie from '@fastify/cookie'
import secureSession from '@fastify/secure-session'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { load, makeStore } from '../bench/applications/stores.js'
import { comparison, findingsOf, lineOf, PAGE, THEMES } from './comparison/page.js'
import { INSTALLED, MARKS, SYSTEMS, type Evidence } from './comparison/systems.js'
import { setStage } from './support/app.js'
import { read } from './support/documents.js'
import { clientConfig, createTable, startDynalite } from './support/engines.js'
import { makeGate } from './support/gate.js'
import { Browser, HOSTS, meanwhile, SECRET } from './support/hosts.js'
import { asStore, keep, KeptStore, logIn, seal } from './support/kept.js'
import { titlesOf } from './support/titles.js'

// What docs/comparison.md says of the behaviour of other libraries, measured on the versions that are installed. What it says of
// this one stands in the tests that it names.

const rows = THEMES.flatMap(theme => theme.rows)
const evidence: Evidence[] = rows.flatMap(({ cells }) => SYSTEMS.flatMap(({ id }) => [...cells[id].evidence]))

t.test('the document is what its data says', async t => {
  t.ok(read(PAGE) === comparison(), `${PAGE} is old, or a package has changed: look at what has, and run npm run comparison`)
})

t.test('each row has a cell for each system, with its evidence', async t => {
  t.ok(rows.length > 50)
  t.equal(new Set(rows.map(({ title }) => title)).size, rows.length)
  for (const { title, cells } of rows) {
    t.same(Object.keys(cells).sort(), SYSTEMS.map(({ id }) => id).sort(), title)
    for (const { id } of SYSTEMS) {
      const { mark, note, evidence } = cells[id]
      t.ok(MARKS.includes(mark) && evidence.length > 0, `${title}: ${id}`)
      if (mark === 'partly' || mark === 'option' || mark === '—') t.not(note, '', `${title}: ${id} says what is meant by ${mark}`)
    }
    t.ok(cells.ours.evidence.every(({ kind }) => kind === 'test'), `${title}: ours are tests`)
  }
  for (const item of evidence) {
    if (item.kind === 'read') t.match(item.commit, /^([0-9a-f]{7}|[0-9a-f]{40})$/)
  }
})

t.test('the number of each row leads to its evidence', async t => {
  const page = read(PAGE)
  const headings = [...page.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-'))
  const links = new Map([...page.matchAll(/^\[([^\]]+)\]: (\S+)$/gm)].map(([, label = '', target = '']) => [label, target]))
  for (const [label, target] of links) if (target.startsWith('#')) t.ok(headings.includes(target.slice(1)), `${label}: ${target}`)
  t.equal([...links.keys()].filter(label => /^\d+\.\d+$/.test(label)).length, rows.length)
  for (const [, label = ''] of page.matchAll(/\[(\d+\.\d+|[\w-]+\/[\w.]+)\](?!\()/g)) t.ok(links.has(label), `${label} leads somewhere`)
})

t.test('the tests that it names are there', async t => {
  for (const item of evidence) if (item.kind === 'test') t.ok(titlesOf(item.file).has(item.title), `${item.file} › ${item.title}`)
})

t.test('what it says of the code of others is true of the versions that it names', async t => {
  const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: Record<string, string> }
  for (const [id, name] of Object.entries(INSTALLED)) {
    const { version } = JSON.parse(read(`node_modules/${name}/package.json`)) as { version: string }
    t.same([SYSTEMS.find(system => system.id === id)?.version, devDependencies[name]], [version, version], name)
  }
  for (const item of evidence) {
    if (item.kind === 'quote') t.ok(lineOf(item.name, item.file, item.words) > 0)
    if (item.kind === 'absent') t.same(findingsOf(item.name, item.words), [])
  }
  t.throws(() => lineOf('express-session', 'index.js', 'words that are not there'), 'words that are not there would be noticed')
  t.not(findingsOf('express-session', ['regenerate']).length, 0, 'and so would words that are')
})

t.test('what this library does not have is not in its code', async t => {
  const engine = await startDynalite()
  t.teardown(async () => { await engine.close() })
  let members: string[] = []
  const stage = await setStage(t, engine, {
    routes: app => {
      app.get('/', async ({ session }) => {
        members = Object.getOwnPropertyNames(Object.getPrototypeOf(session))
        return {}
      })
    }
  })
  await stage.visitor().get('/')
  t.same(['flash', 'csrf'].filter(word => members.some(name => name.toLowerCase().includes(word))), [])
  t.ok(members.includes('regenerate'))
})

t.test('express-session and @fastify/session: of two requests that change different keys, what one has changed is lost', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await logIn(kept, ann)
    await meanwhile(kept.traffic.hold('write'),
      async () => await ann.post(kept.host, '/set', { a: 1 }), async () => await ann.post(kept.host, '/set', { b: 2 }))
    t.strictSame((await ann.get(kept.host, '/me')).body, { userId: 'u-42', a: 1 }, name)
  }
})

t.test('express-session and @fastify/session: a log-out is undone by a request that was about to save', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await logIn(kept, ann)
    await meanwhile(kept.traffic.hold('write'),
      async () => await ann.post(kept.host, '/set', { a: 1 }), async () => await ann.post(kept.host, '/logout'))
    t.equal((await ann.get(kept.host, '/me')).body.userId, 'u-42', name)
  }
})

t.test('express-session and @fastify/session: strangers are stored and given a cookie by default, and not with saveUninitialized: false', async t => {
  for (const name of HOSTS) {
    for (const saveUninitialized of [true, false]) {
      const { host, traffic } = await keep(t, name, { saveUninitialized })
      const { setCookies } = await new Browser().get(host, '/nothing')
      const expected = saveUninitialized ? 1 : 0
      t.same([traffic.take().write, setCookies.length], [expected, expected], `${name} ${saveUninitialized}`)
    }
  }
})

t.test('a read by who is signed in: @fastify/session writes and sends a cookie by default, and neither with rolling: false; express-session sends none', async t => {
  for (const [name, options, expected] of [
    ['@fastify/session', { rolling: true }, { writes: 1, cookies: 1 }],
    ['@fastify/session', { rolling: false }, { writes: 0, cookies: 0 }],
    ['express-session', { resave: true }, { writes: 1, cookies: 0 }],
    ['express-session', { resave: false }, { writes: 0, cookies: 0 }]
  ] as const) {
    const kept = await keep(t, name, options)
    const ann = new Browser()
    await logIn(kept, ann)
    const { setCookies } = await ann.get(kept.host, '/me')
    t.strictSame({ writes: kept.traffic.take().write, cookies: setCookies.length }, expected, `${name} ${JSON.stringify(options)}`)
  }
})

t.test('express-session and @fastify/session: a log-out leaves the cookie with the browser', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await logIn(kept, ann)
    const sid = ann.sid()
    const { setCookies } = await ann.post(kept.host, '/logout')
    t.same([setCookies, ann.sid(), kept.records.size], [[], sid, 0], name)
  }
})

t.test('express-session and @fastify/session: with the store down strangers are served where nothing is stored of them, and who is signed in gets 500 on any route, without Retry-After', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await logIn(kept, ann)
    kept.traffic.fail('any')
    const stranger = await new Browser().get(kept.host, '/nothing')
    const signedIn = await fetch(`${kept.host.url}/nothing`, { headers: { cookie: ann.cookieHeader() } })
    t.same([stranger.status, signedIn.status, signedIn.headers.get('retry-after')], [200, 500, null], name)
  }
})

t.test('express-session and @fastify/session: what a handler changed before it failed is stored', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await logIn(kept, ann)
    const { status } = await ann.post(kept.host, '/set-and-fail')
    t.same([status, (await ann.get(kept.host, '/me')).body.a], [500, 1], name)
  }
})

t.test('express-session and @fastify/session: a change inside of an object is noticed, and the whole session is written', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await logIn(kept, ann, { userId: 'u-42', cart: ['apple'] })
    await ann.post(kept.host, '/push')
    const [text = ''] = kept.records.values()
    t.match(JSON.parse(text), { userId: 'u-42', cart: ['apple', 'pear'] }, name)
  }
})

t.test('express-session and @fastify/session: the id is what the store is given as a key', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await logIn(kept, ann)
    t.same([...kept.records.keys()], [ann.sid()], name)
  }
})

t.test('express-session and @fastify/session: a forged signature costs no read', async t => {
  for (const name of HOSTS) {
    const { host, traffic } = await keep(t, name)
    const mallory = new Browser()
    mallory.plant('s:an-id-that-was-made-up.and-a-signature')
    await mallory.get(host, '/me')
    t.same(traffic.take(), { read: 0, write: 0, delete: 0 }, name)
  }
})

t.test('express-session and @fastify/session: a log-in ends the session before it has stored the new one', async t => {
  for (const name of HOSTS) {
    const kept = await keep(t, name)
    const ann = new Browser()
    await ann.post(kept.host, '/set', { a: 1 })
    t.equal(kept.records.size, 1)
    await meanwhile(kept.traffic.hold('write'),
      async () => await ann.post(kept.host, '/login', { userId: 'u-42' }), async () => { t.equal(kept.records.size, 0, name) })
  }
})

t.test('express-session: the head of an answer is sent before its session is stored, and @fastify/session stores it first', async t => {
  const body = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":1}' }
  const express = await keep(t, 'express-session')
  const held = express.traffic.hold('write')
  const response = await fetch(`${express.host.url}/set`, body)
  t.same([response.status, express.records.size], [200, 0])
  held.release()
  await response.arrayBuffer()

  const fastify = await keep(t, '@fastify/session')
  const gate = fastify.traffic.hold('write')
  const order: string[] = []
  const answer = fetch(`${fastify.host.url}/set`, body).then(() => { order.push('head') })
  await gate.reached
  order.push('stored')
  gate.release()
  await answer
  t.same(order, ['stored', 'head'])
})

t.test('express-session and @fastify/session: cookies have no SameSite unless it is set', async t => {
  for (const name of HOSTS) {
    const { host } = await keep(t, name)
    const { setCookies: [text = ''] } = await new Browser().post(host, '/set', { a: 1 })
    t.match(text, /; HttpOnly/)
    t.notMatch(text, /SameSite|__Host-|__Secure-/, name)
  }
})

t.test('a secret is replaced, the old one still accepted: @fastify/session signs anew, and with saveUninitialized: false logs out who only reads; express-session leaves the token as it is', async t => {
  const secret = ['a new secret of more than thirty-two characters', SECRET]
  for (const [name, saveUninitialized, signedIn, cookies] of [
    ['@fastify/session', true, true, 1],
    ['@fastify/session', false, false, 1],
    ['express-session', true, true, 0],
    ['express-session', false, true, 0]
  ] as const) {
    const before = await keep(t, name)
    const ann = new Browser()
    await logIn(before, ann)
    const after = await keep(t, name, { secret, saveUninitialized }, before.records)
    const { setCookies } = await ann.get(after.host, '/nothing')
    const { body } = await ann.get(after.host, '/me')
    t.same([body.userId === 'u-42', setCookies.length], [signedIn, cookies], `${name} ${saveUninitialized}`)
  }
})

t.test('@fastify/session and @fastify/secure-session: a web socket has the session, and what it changes is lost unless @fastify/session is told to save it', async t => {
  const store = new KeptStore(new Map())
  const app = Fastify()
  t.teardown(async () => await app.close())
  await app.register(websocket)
  await app.register(async app => {
    await app.register(cookie)
    await app.register(load('@fastify/session') as never, { secret: SECRET, cookie: { secure: false }, store: asStore(store) } as never)
    await addSocket(app, '/session')
  })
  await app.register(async app => {
    await app.register(secureSession as never, { key: Buffer.alloc(32, 7) } as never)
    await addSocket(app, '/secure')
  })
  for (const [path, afterwards] of [['/session', { seen: 'u-42', change: 'lost', saved: 'kept' }], ['/secure', { seen: 'u-42', change: 'lost', saved: 'lost' }]] as const) {
    const { headers: { 'set-cookie': text } } = await app.inject({ method: 'POST', url: path })
    const headers = { cookie: String(text).split(';')[0] ?? '' }
    const messages: string[] = []
    for (const part of ['', '/saved']) {
      const socket = await app.injectWS(`${path}${part}`, { headers }, { onInit: socket => { socket.on('message', text => messages.push(String(text))) } })
      await once(socket, 'close')
      socket.terminate()
    }
    const data = (await app.inject({ url: path, headers })).json<Record<string, unknown>>()
    // Else each end waits half a minute for the other one's stream to be closed.
    for (const client of app.websocketServer.clients) client.terminate()
    t.same({ seen: messages[0], change: data['changed'] ?? 'lost', saved: data['saved'] ?? 'lost' }, afterwards, path)
  }
})

interface TheirSession { get (key: string): string, set (key: string, value: string): void, save?: () => Promise<void> }

/** A visitor is let in, says who that is, and changes something in a socket: once, and once with a save where there is one. */
async function addSocket (app: FastifyInstance, path: string): Promise<void> {
  const session = (request: unknown) => (request as { session: TheirSession }).session
  app.post(path, async request => { session(request).set('userId', 'u-42') })
  app.route({
    method: 'GET',
    url: path,
    handler: async request => ({ changed: session(request).get('changed'), saved: session(request).get('saved') }),
    wsHandler: (socket, request) => {
      socket.send(session(request).get('userId'))
      session(request).set('changed', 'kept')
      socket.close()
    }
  })
  app.get(`${path}/saved`, { websocket: true }, async (socket, request) => {
    session(request).set('saved', 'kept')
    await session(request).save?.()
    socket.close()
  })
}

t.test('@fastify/secure-session: a cookie that was copied before the log-out opens after it', async t => {
  const host = await seal(t)
  const ann = new Browser()
  await ann.post(host, '/set', { userId: 'u-42' })
  const copy = ann.cookieHeader()
  await ann.post(host, '/logout')
  t.equal(ann.cookieHeader(), '', 'the browser has none any more')
  const response = await fetch(`${host.url}/me`, { headers: { cookie: copy } })
  t.same(await response.json(), { userId: 'u-42' })
})

t.test('@fastify/secure-session: of two answers with changes of different keys, the later one stands', async t => {
  const host = await seal(t)
  const ann = new Browser()
  await ann.post(host, '/set', { userId: 'u-42' })
  const other = new Browser()
  other.takeCookies(ann)
  await ann.post(host, '/set', { a: 1 })
  await other.post(host, '/set', { b: 2 })
  ann.takeCookies(other)
  t.same((await ann.get(host, '/me')).body, { userId: 'u-42', b: 2 })
})

t.test('@fastify/secure-session: reads and strangers are sent no cookie, a cookie is Lax and not Secure, changes inside of an object are not seen, those of a failed handler are kept', async t => {
  const host = await seal(t)
  t.same((await new Browser().get(host, '/nothing')).setCookies, [])
  const ann = new Browser()
  const { setCookies: [text = ''] } = await ann.post(host, '/set', { cart: ['apple'] })
  t.match(text, /; HttpOnly/)
  t.match(text, /; SameSite=Lax$/)
  t.notMatch(text, /Secure/)
  t.same((await ann.get(host, '/me')).setCookies, [])
  t.same((await ann.post(host, '/push')).setCookies, [])
  t.same((await ann.get(host, '/me')).body, { cart: ['apple'] })
  t.equal((await ann.post(host, '/set-and-fail')).status, 500)
  t.equal((await ann.get(host, '/me')).body.a, 1)
})

interface TheirStore {
  set (id: string, session: object, done: Done): void
  get (id: string, done: Done): void
  touch (id: string, session: object, done: Done): void
  destroy (id: string, done: Done): void
}
type Done = (error?: Error | null, result?: unknown) => void
type Call = (done: Done) => void

/** The outcome of a call with a callback: an error is one. */
async function outcome (call: Call): Promise<unknown> {
  return await new Promise(resolve => { call((error, result) => { resolve(error ?? result) }) })
}

/** What a client sends: listed, and held where a test says so. */
class Wire {
  readonly #calls: Array<{ action: string, input: Record<string, any> }> = []
  /** What is awaited before a call is sent. */
  before: (action: string) => Promise<void> = async () => {}

  constructor (client: DynamoDBClient) {
    client.middlewareStack.add(next => async args => {
      const { headers, body } = args.request as { headers: Record<string, string>, body: string }
      const action = (headers['x-amz-target'] ?? '').split('.').at(-1) ?? ''
      this.#calls.push({ action, input: JSON.parse(body) as Record<string, any> })
      await this.before(action)
      return await next(args)
    }, { step: 'build', priority: 'low' })
  }

  take (): Array<{ action: string, input: Record<string, any> }> {
    return this.#calls.splice(0)
  }

  actions (): string[] {
    return this.take().map(({ action }) => action)
  }
}

const SESSION = { cookie: { originalMaxAge: 14 * 86_400_000, maxAge: 14 * 86_400_000 }, userId: 'u-42' }

t.test('the DynamoDB stores', async t => {
  const engine = await startDynalite()
  t.teardown(async () => { await engine.close() })
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(() => { direct.destroy() })

  const begin = async (name: string) => {
    const table = await createTable(engine)
    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => { client.destroy() })
    return { wire: new Wire(client), store: makeStore(client, table, name) as TheirStore }
  }
  const NAMES = ['connect-dynamodb', 'dynamodb-session-store']

  t.test('connect-dynamodb and dynamodb-session-store: a save that was under way when its session was destroyed makes it anew', async t => {
    for (const name of NAMES) {
      const { wire, store } = await begin(name)
      await outcome(done => { store.set('an-id', SESSION, done) })
      const reached = makeGate()
      const released = makeGate()
      wire.before = async action => {
        if (action !== 'PutItem') return
        reached.open()
        await released.passed
      }
      const save = outcome(done => { store.set('an-id', SESSION, done) })
      await reached.passed
      await outcome(done => { store.destroy('an-id', done) })
      released.open()
      await save
      t.match(await outcome(done => { store.get('an-id', done) }), { userId: 'u-42' }, name)
      const puts = wire.take().filter(({ action }) => action === 'PutItem')
      t.same(puts.map(({ input }) => input['ConditionExpression'] ?? input['Expected'] ?? 'none'), ['none', 'none'])
      t.match(puts[0]?.input['Item']['id'].S, /an-id$/, 'the id is the key, as it is')
    }
  })

  t.test('connect-dynamodb: a touch after the end leaves an item without a session; dynamodb-session-store: it is an error', async t => {
    const connect = await begin('connect-dynamodb')
    t.match(await outcome(done => { connect.store.touch('an-id', SESSION, done) }), { expires: /^\d+/ })
    t.same(connect.wire.actions(), ['DescribeTable', 'UpdateItem'])
    const other = await begin('dynamodb-session-store')
    t.match(await outcome(done => { other.store.touch('an-id', SESSION, done) }), { name: 'ValidationException' })
  })

  t.test('connect-dynamodb describes the table and reads strongly consistent, dynamodb-session-store does neither', async t => {
    for (const [name, calls, consistent] of [['connect-dynamodb', ['DescribeTable', 'GetItem', 'GetItem'], true], ['dynamodb-session-store', ['GetItem', 'GetItem'], false]] as const) {
      const { wire, store } = await begin(name)
      await outcome(done => { store.get('an-id', done) })
      await outcome(done => { store.get('an-id', done) })
      const made = wire.take()
      t.same(made.map(({ action }) => action), calls)
      t.equal(made.at(-1)?.input['ConsistentRead'] ?? false, consistent)
    }
  })

  t.test('connect-dynamodb writes with every touch, dynamodb-session-store once in touchAfter', async t => {
    for (const [name, writes] of [['connect-dynamodb', 2], ['dynamodb-session-store', 0]] as const) {
      const { wire, store } = await begin(name)
      await outcome(done => { store.set('an-id', SESSION, done) })
      wire.take()
      const session = { ...SESSION, lastModified: new Date().toISOString() }
      for (let index = 0; index < 2; index++) await outcome(done => { store.touch('an-id', session, done) })
      t.equal(wire.take().length, writes, name)
    }
  })

  t.test('dynamodb-session-store: big integers come back, dates come back as texts, sets and bytes do not come back', async t => {
    const { store } = await begin('dynamodb-session-store')
    const values = { big: 2n ** 70n, at: new Date(0), tags: new Set(['a']), bytes: Buffer.from('a') }
    await outcome(done => { store.set('an-id', { ...SESSION, ...values }, done) })
    const found = await outcome(done => { store.get('an-id', done) }) as Record<keyof typeof values, unknown>
    t.same([found.big, found.at, found.tags], [2n ** 70n, '1970-01-01T00:00:00.000Z', {}])
    t.notOk(ArrayBuffer.isView(found.bytes))
  })

  t.test('connect-dynamodb, where the table may not be described: the callback is not called, and the rejection is nobody\'s', async t => {
    const { wire, store } = await begin('connect-dynamodb')
    wire.before = async () => { throw Object.assign(new Error('no'), { name: 'AccessDeniedException' }) }
    const others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    t.teardown(() => { for (const listener of others) process.on('unhandledRejection', listener) })
    const rejected = once(process, 'unhandledRejection')
    let called = false
    store.get('an-id', () => { called = true })
    const [error] = await rejected
    t.same([called, (error as Error).name], [false, 'AccessDeniedException'])
  })
})
