import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DynamoDBClient, GetItemCommand, type AttributeValue, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { hash } from '../lib/token.js'
import { addRoutes, setStage, type Stage } from './support/app.js'
import { NOT_COVERED } from './support/children.js'
import { clientConfig, startDynalite, type Engine } from './support/engines.js'
import { FaultProxy, type Action, type Fault, type Match } from './support/proxy.js'
import { ask, begin, cookieOf, namesOf, type Reply } from './support/wire-client.js'
import type { Visitor } from './support/visitor.js'
import './support/session-data.js'

const unhandled: unknown[] = []
process.on('unhandledRejection', reason => { unhandled.push(reason) })

const root = fileURLToPath(new URL('..', import.meta.url))

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

/** Resolves when nobody can connect any more. */
async function untilRefused (origin: string): Promise<void> {
  const isAnswered = async (): Promise<boolean> => await ask(`${origin}/nothing`).then(() => true, () => false)
  while (await isAnswered()) await nextTurn()
}

/** What is to happen at once has happened then. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await nextTurn()
}

/** Begins to close, and lets the close come as far as it does while calls are held: to its end, where it does not wait for them. */
async function beginToClose (app: FastifyInstance): Promise<{ closed: Promise<unknown> }> {
  const closed = app.close()
  await Promise.race([closed, turns()])
  return { closed }
}

function keyOf (cookie: string): string {
  return hash(/__Host-id=([\w-]+)/.exec(cookie)?.[1] ?? '')
}

t.test('closing an application with requests in flight', async t => {
  const set = async (t: Test, { config = {}, handedIn = false }: { config?: DynamoDBClientConfig, handedIn?: boolean } = {}) => {
    const events: string[] = []
    const proxy = await FaultProxy.start(engine)
    const client = { ...clientConfig(proxy.endpoint), ...config }
    const own = new DynamoDBClient(client)
    t.teardown(async () => {
      own.destroy()
      await proxy.close()
    })
    const stage = await setStage(t, engine, {
      session: { client: handedIn ? own : client },
      routes: app => {
        addRoutes(app)
        app.get('/hijack', (request, reply) => {
          reply.hijack()
          request.session.set('userId', 'hijacked')
          request.session.save().then(() => events.push('saved'), (error: Error) => events.push(`save: ${error.message}`))
          reply.raw.end('raw')
        })
        app.addHook('preClose', async () => { events.push('preClose') })
        // After ours, and also where nobody is left to get the answer.
        app.addHook('onSend', async ({ url }) => { events.push(`settled ${url}`) })
        app.addHook('onResponse', async request => { events.push(`answered ${request.url}`) })
        app.addHook('onClose', async () => {
          events.push('onClose of the application')
          await app.sessions.create({ userId: 'made while closing' })
        })
        const { sessions } = app
        const close = sessions.close.bind(sessions)
        sessions.close = async () => {
          await close()
          events.push('our client is destroyed')
        }
      }
    })
    const origin = await stage.app.listen({ port: 0, host: '127.0.0.1' })
    const cookie = cookieOf(await ask(`${origin}/set`, { method: 'POST', body: '{"count":1}' }))
    proxy.take()
    events.length = 0
    const settled = async (): Promise<void> => { while (!events.includes('settled /set')) await nextTurn() }
    return { ...stage, proxy, client: own, origin, cookie, events, settled }
  }

  for (const [what, match, where] of [
    ['its read', 'GetItem', 'before'],
    ['its save, not yet applied', 'UpdateItem', 'before'],
    ['its save, applied', 'UpdateItem', 'after']
  ] as const) {
    await t.test(`a request of which ${what} is held answers 200 and is saved, before our client is destroyed`, async t => {
      const { app, proxy, origin, cookie, events, item } = await set(t)
      const gate = proxy.gate(match, where)
      const reply = ask(`${origin}/set`, { method: 'POST', cookie, body: '{"count":2}' })
      await gate.reached
      const closed = app.close()
      await untilRefused(origin)
      t.same(events, ['preClose'], 'the end waits for the request')
      gate.release()
      t.match(await reply, { status: 200 })
      t.same(namesOf(await reply), ['__Host-id-v'])
      await closed
      t.same(events, ['preClose', 'settled /set', 'answered /set', 'onClose of the application', 'our client is destroyed'])
      t.match(await item(keyOf(cookie)), { data: { M: { count: { S: '2' } } }, ver: { N: '2' } })
      t.same(proxy.take(), ['GetItem', 'UpdateItem', 'PutItem'], 'each call once; hooks of the application still have the sessions')
    })
  }

  // What no server waits for: who asked has left, has their answer, or was never connected.
  for (const [who, config] of [['our client', {}], ['our client, told to repeat nothing,', { maxAttempts: 1 }]] as const) {
    for (const where of ['before', 'after'] as const) {
      await t.test(`a save by ${who} that outlives its connection, held ${where} the engine, is made once`, async t => {
        const { app, proxy, origin, cookie, item, log, settled } = await set(t, { config })
        const gate = proxy.gate('UpdateItem', where)
        const request = begin(`${origin}/set`, { method: 'POST', cookie, body: '{"count":2}' })
        await gate.reached
        request.destroy()
        const { closed } = await beginToClose(app)
        gate.release()
        await closed
        await settled()
        t.match(await item(keyOf(cookie)), { data: { M: { count: { S: '2' } } }, ver: { N: '2' } })
        t.same(log.warnings().filter(text => !text.startsWith('A Secure')), [], 'no request failed')
      })

      await t.test(`a request by inject(), whose save by ${who} is held ${where} the engine, answers 200`, async t => {
        const { proxy, app, visitor, items } = await set(t, { config })
        const gate = proxy.gate('PutItem', where)
        const response = visitor().post('/set', { userId: 'injected' })
        await gate.reached
        const { closed } = await beginToClose(app)
        gate.release()
        await closed
        t.equal((await response).statusCode, 200)
        t.equal((await items()).filter(({ data }) => data?.M?.['userId']?.S === '"injected"').length, 1)
      })

      await t.test(`a save() by ${who} on a hijacked reply that has ended, held ${where} the engine, resolves`, async t => {
        const { app, proxy, origin, events, items } = await set(t, { config })
        const gate = proxy.gate('PutItem', where)
        t.equal((await ask(`${origin}/hijack`)).body, 'raw')
        await gate.reached
        const { closed } = await beginToClose(app)
        gate.release()
        await closed
        while (!events.some(event => event.startsWith('save'))) await nextTurn()
        t.match(events.filter(event => event.startsWith('save')), ['saved'])
        t.equal((await items()).filter(({ data }) => data?.M?.['userId']?.S === '"hijacked"').length, 1)
      })
    }
  }

  await t.test('a client that was handed in is not destroyed: its calls in flight go on, once, and it works after', async t => {
    const { app, client, proxy, origin, events, settled, table } = await set(t, { handedIn: true })
    let destroyed = 0
    const destroy = client.destroy.bind(client)
    client.destroy = () => { destroyed += 1 }
    t.teardown(() => { client.destroy = destroy })
    const gate = proxy.gate('PutItem')
    const request = begin(`${origin}/set`, { method: 'POST', body: '{"count":2}' })
    await gate.reached
    request.destroy()
    const { closed } = await beginToClose(app)
    gate.release()
    await closed
    await settled()
    t.ok(events.includes('our client is destroyed'), 'that is, the manager was closed')
    t.same(proxy.take(), ['PutItem', 'PutItem'], 'this session and the one that the application makes while closing')
    const answer = await client.send(new GetItemCommand({ TableName: table, Key: { id: { S: 'x' } } }))
    t.same([answer.Item, destroyed], [undefined, 0])
  })
})

/** A server in a process of its own. */
interface Child {
  readonly origin: string
  readonly process: ChildProcess
  /** All that it has written to its log. */
  readonly log: () => string
  /** Resolves when it has written this line. */
  says (line: string): Promise<void>
  /** Resolves with the exit code, or the signal that ended it. */
  readonly end: Promise<number | string | null>
}

async function startChild (t: Test, env: Record<string, string>): Promise<Child> {
  const child = spawn(process.execPath, ['--no-warnings', '--import', './test/support/transpile.mjs', 'test/support/server.ts'], {
    cwd: root, env: { ...process.env, ...NOT_COVERED, ...env }, stdio: ['ignore', 'pipe', 'pipe']
  })
  let [output, log] = ['', '']
  child.stdout.on('data', chunk => { output += String(chunk) })
  child.stderr.on('data', chunk => { log += String(chunk) })
  const end = once(child, 'exit').then(([code, signal]) => code ?? signal)
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await end
  })
  const says = async (line: string | RegExp): Promise<void> => {
    while (!output.split('\n').some(said => typeof line === 'string' ? said === line : line.test(said))) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`The server ended: ${log}`)
      await Promise.race([once(child.stdout, 'data'), end])
    }
  }
  await says(/^http:/)
  return { origin: output.split('\n')[0] ?? '', process: child, log: () => log, says, end }
}

t.test('SIGTERM', async t => {
  for (const env of [{}, { HANDED_IN: '1' }]) {
    const whose = 'HANDED_IN' in env ? 'a client that was handed in' : 'the plugin\'s own client'
    await t.test(`with ${whose}: requests in flight end with 200 and are saved, and then the process ends by itself`, async t => {
      const { table, proxy, item, items } = await setStage(t, engine)
      const child = await startChild(t, { ...env, DYNAMODB_ENDPOINT: proxy.endpoint, SESSION_TABLE: table })
      const firsts = await Promise.all([1, 2].map(async () => await ask(`${child.origin}/set`, { method: 'POST', body: '{"count":1}' })))
      const [read = '', saved = ''] = firsts.map(reply => cookieOf(reply))
      const of = (cookie: string) => (input: Record<string, any>) => input['Key'].id.S === keyOf(cookie)
      const gates = [
        proxy.gate({ action: 'GetItem', when: of(read) }),
        proxy.gate({ action: 'UpdateItem', when: of(saved) }),
        proxy.gate('PutItem', 'after'),
        // A client that does not wait for its answer.
        proxy.gate('PutItem')
      ]
      const left = async () => {
        const request = begin(`${child.origin}/set`, { method: 'POST', body: '{"userId":"left"}' })
        await gates[3]?.reached
        request.destroy()
      }
      const replies = [
        ask(`${child.origin}/set`, { method: 'POST', cookie: read, body: '{"count":2}' }),
        ask(`${child.origin}/set`, { method: 'POST', cookie: saved, body: '{"count":3}' }),
        ask(`${child.origin}/set`, { method: 'POST', body: '{"count":4}' })
      ]
      await Promise.all(gates.slice(0, 3).map(async gate => await gate.reached))
      await left()
      child.process.kill('SIGTERM')
      await child.says('closing')
      await untilRefused(child.origin)
      const begun = performance.now()
      for (const gate of gates) gate.release()
      t.same((await Promise.all(replies)).map(({ status }) => status), [200, 200, 200])
      t.equal(await child.end, 0, 'no handle of ours keeps it alive')
      t.ok(performance.now() - begun < 10_000)
      t.match(await item(keyOf(read)), { data: { M: { count: { S: '2' } } }, ver: { N: '2' } })
      t.match(await item(keyOf(saved)), { data: { M: { count: { S: '3' } } }, ver: { N: '2' } })
      const [, , third] = await Promise.all(replies)
      t.match(await item(keyOf(cookieOf(third as Reply))), { data: { M: { count: { S: '4' } } }, ver: { N: '1' } })
      t.equal((await items()).filter(item => item['data']?.M?.['userId']?.S === '"left"').length, 1)
    })
  }
})

/** What becomes of the call at which the process is killed. */
const FATES = {
  lost: 'which never reaches the engine',
  late: 'which reaches the engine after the death',
  done: 'which the engine has applied'
} as const

type Fate = keyof typeof FATES

interface Deed {
  readonly title: string
  readonly path: string
  /** The call at which the process is killed. */
  readonly action: Action
  readonly body?: (mark: string) => object
  readonly isNew?: true
  /** What the visitor sees after, where the call is applied; else it is what they saw before. */
  readonly after: 'same' | 'none' | object
  /** The records that there are, where the call is not applied and where it is. */
  readonly records: readonly [unapplied: number, applied: number]
}

const TWO = { 'any:a': 'new', 'any:b': 'new' }

const DEEDS: readonly Deed[] = [
  {
    title: 'the PutItem of a creation',
    path: '/set',
    action: 'PutItem',
    isNew: true,
    body: mark => ({ userId: mark, ...TWO }),
    after: 'none',
    records: [0, 1]
  },
  { title: 'the UpdateItem of a save', path: '/set', action: 'UpdateItem', body: () => TWO, after: TWO, records: [1, 1] },
  { title: 'the UpdateItem of an update', path: '/count', action: 'UpdateItem', after: { count: 6 }, records: [1, 1] },
  { title: 'the UpdateItem of a touch', path: '/touch', action: 'UpdateItem', after: 'same', records: [1, 1] },
  { title: 'the PutItem of a log-in', path: '/login', action: 'PutItem', body: userId => ({ userId }), after: 'same', records: [1, 2] },
  { title: 'the UpdateItem of a log-in', path: '/login', action: 'UpdateItem', body: userId => ({ userId }), after: 'none', records: [2, 2] },
  { title: 'the PutItem of a new id', path: '/rotate', action: 'PutItem', after: 'same', records: [1, 2] },
  { title: 'the UpdateItem of a new id', path: '/rotate', action: 'UpdateItem', after: 'none', records: [2, 2] },
  { title: 'the DeleteItem of a log-out', path: '/logout', action: 'DeleteItem', after: 'none', records: [1, 0] }
]

/** One visitor whose request stands at its call when the process is killed. */
interface Case {
  readonly deed: Deed
  readonly fate: Fate
  readonly mark: string
  readonly visitor: Visitor
  readonly cookie: string
  /** The key of the visitor's session, empty where they have none. */
  readonly key: string
}

type Item = Record<string, AttributeValue>

/** Holds a call until the process is dead. Resolves when it stands there, with what lets it go on. */
async function holdAt (proxy: FaultProxy, { deed: { action }, fate, mark, key }: Case): Promise<() => void> {
  const match: Match = {
    action,
    when: input => action === 'PutItem' ? input['Item'].data.M.userId?.S === JSON.stringify(mark) : input['Key'].id.S === key
  }
  if (fate !== 'lost') {
    const gate = proxy.gate(match, fate === 'late' ? 'before' : 'after')
    await gate.reached
    return () => { gate.release() }
  }
  return await new Promise(resolve => {
    const lost: Fault = {
      name: 'lost',
      deal: ({ withhold }) => {
        withhold()
        resolve(() => {})
      }
    }
    proxy.meet(match, lost)
  })
}

/** What each record must be like, whatever happened to whoever wrote it. */
function assertWhole (t: Test, item: Item, clock: Stage['clock']): void {
  const whole = { N: /^\d+$/ }
  t.match(item, { id: { S: /^[\w-]{43}$/ }, data: { M: {} }, ver: { N: /^[12]$/ }, created: whole, seen: whole, expires: whole, w: { M: {} } })
  t.ok(Number(item['expires']?.N) <= Number(item['created']?.N) + 43_200)
  t.ok(Number(item['expires']?.N) <= Number(item['seen']?.N) + 7200)
  t.ok(Number(item['expires']?.N) > clock.seconds, 'swept by TTL in its time, and not before')
  const data = item['data']?.M ?? {}
  t.equal(data['any:a']?.S === '"new"', data['any:b']?.S === '"new"', 'both keys of a request or neither')
}

async function assertFate (t: Test, stage: Stage, { deed, fate, mark, visitor, key }: Case): Promise<void> {
  const { isNew, after, records } = deed
  const isApplied = fate !== 'lost'
  const before = { userId: mark, count: 5, 'any:a': mark }
  const mine = (await stage.items()).filter(({ id, data }) => id?.S === key || data?.M?.['userId']?.S === JSON.stringify(mark))
  t.equal(mine.length, records[isApplied ? 1 : 0], 'records')
  for (const item of mine) assertWhole(t, item, stage.clock)
  const living = mine.filter(({ id, next }) => next === undefined && id?.S === key)
  const orphans = mine.filter(({ id }) => id?.S !== key)
  const survives = isNew === undefined && (!isApplied || after !== 'none')
  t.equal(living.length, survives ? 1 : 0, 'one living session, or rightly none')
  if (deed.path === '/touch') t.equal(Number(living[0]?.['seen']?.N), stage.clock.seconds - (isApplied ? 0 : 60))

  const { data } = (await visitor.get('/me')).json()
  const changed = isApplied && typeof after === 'object' ? after : {}
  t.same(data, survives ? { ...before, ...changed } : {}, 'the state before or the state after')
  if (survives) {
    // Nothing locks it: it is saved, counted and read at once.
    t.equal((await visitor.post('/set', { 'any:c': 1 })).statusCode, 200)
    t.equal((await visitor.post('/count')).json(), (data.count as number) + 1)
    t.equal((await visitor.get('/me')).json().data['any:c'], 1)
  }
  const login = await visitor.post('/login')
  t.equal(login.statusCode, 200)
  t.same((await visitor.get('/me')).json().data, { userId: 'u-42' }, 'and the visitor can log in')
  for (const orphan of orphans) t.match(await stage.item(orphan['id']?.S ?? ''), orphan, 'nobody reaches an orphan')
}

t.test('kill -9: of every call on which it stood, the table has the state before or the state after', async t => {
  const stage = await setStage(t, engine, {
    routes: app => {
      addRoutes(app)
      app.post('/count', async request => await request.session.update('count', count => (count ?? 0) + 1))
    }
  })
  const { proxy, table, clock } = stage
  const cases = await Promise.all(DEEDS.flatMap(deed => (Object.keys(FATES) as Fate[]).map(async (fate): Promise<Case> => {
    const mark = `${deed.title}, ${fate}`
    const visitor = stage.visitor()
    if (deed.isNew === undefined) await visitor.post('/set', { userId: mark, count: 5, 'any:a': mark })
    const cookie = visitor.cookieHeader()
    return { deed, fate, mark, visitor, cookie, key: deed.isNew === undefined ? keyOf(cookie) : '' }
  })))
  clock.forward(60)
  const child = await startChild(t, { DYNAMODB_ENDPOINT: proxy.endpoint, SESSION_TABLE: table, NOW: String(clock.ms) })
  const held = Promise.all(cases.map(async one => await holdAt(proxy, one)))
  const answers = cases.map(async ({ deed: { path, body }, mark, cookie }) => await ask(child.origin + path, {
    method: 'POST', ...cookie !== '' && { cookie }, ...body !== undefined && { body: JSON.stringify(body(mark)) }
  }).then(() => 'answered', () => 'cut off'))
  const releases = await held
  child.process.kill('SIGKILL')
  t.equal(await child.end, 'SIGKILL')
  t.same(new Set(await Promise.all(answers)), new Set(['cut off']), 'no token was sent')
  const seen = proxy.calls.length
  for (const release of releases) release()
  while (proxy.calls.length < seen + DEEDS.length) await nextTurn()
  t.equal(proxy.calls.filter(({ fault }) => fault === 'lost').length, DEEDS.length)

  for (const one of cases) await t.test(`killed at ${one.deed.title}, ${FATES[one.fate]}`, async t => { await assertFate(t, stage, one) })
  for (const { cookie } of cases) {
    const id = /__Host-id=([\w-]+)/.exec(cookie)?.[1]
    if (id !== undefined) t.notOk(child.log().includes(id), 'its log holds no id')
  }
})

t.test('nothing was rejected without a listener', async t => {
  await nextTurn()
  t.same(unhandled, [])
})
