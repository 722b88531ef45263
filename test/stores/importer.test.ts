import { once } from 'node:events'
import t, { type Test } from 'tap'
import { Signer } from '@fastify/cookie'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyRequest } from 'fastify'
import { WebSocket, type RawData } from 'ws'
import { DynamoDBClient, GetItemCommand, PutItemCommand, type AttributeValue, type CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import dynamoSession, { SessionManager, type DynamoSessionOptions, type SessionReader } from '../../index.js'
import { connectDynamodb, dynamodbSessionStore, dynamodbSessionWeb, pyramidSession } from '../../import/index.js'
import { digestOf } from '../../import/signatures.js'
import { Importer } from '../../lib/importer.js'
import { resolveOptions } from '../../lib/options.js'
import { SessionState } from '../../lib/session.js'
import { Source } from '../../lib/source.js'
import { Updater } from '../../lib/updater.js'
import { Visit } from '../../lib/visit.js'
import { Writer } from '../../lib/writer.js'
import { memoryRepository } from '../../testing/index.js'
import { addRoutes, setStage, type Stage, type StageOptions } from '../support/app.js'
import { clientConfig, createTable, onEachEngine, startDynalite, type Engine } from '../support/engines.js'
import { makeGate } from '../support/gate.js'
import { OLD_DATA, OLD_SECRET, onExpress, onFastify } from '../support/old-stores.js'
import { faults } from '../support/proxy.js'
import { setCookieNames, setCookies, type Visitor } from '../support/visitor.js'

/** Everything here is moved from tables of other stores, whose records and cookies stand as those stores write them. */
const SID = 'WaHnSSou4d5Rq0k11vFGafe4sjMrkwiV'
const LONG = 'WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc'
const TOKEN = '__Host-id'
const MOVE = ['GetItem', 'PutItem', 'DeleteItem']

type Item = Record<string, AttributeValue>

const signed = (sid: string): string => `s:${new Signer(OLD_SECRET).sign(sid)}`

/** A record of connect-dynamodb. */
function recordOf (expires: number, data: object = { userId: 'u-42' }, maxAge: number | null = 3_600_000, sid = SID): Item {
  return {
    id: { S: `sess:${sid}` },
    expires: { N: String(expires) },
    type: { S: 'connect-session' },
    sess: { S: JSON.stringify({ cookie: { originalMaxAge: maxAge, expires: null, httpOnly: true, path: '/' }, ...data }) }
  }
}

/** An application with readers, and the old table of each. */
interface Scene extends Stage {
  readonly old: string
  /** What is in the old table under a key, by default that of `SID`. */
  oldItem (key?: Item): Promise<Item | undefined>
  putOld (item: Item): Promise<void>
  /** A visitor who comes with an old cookie. */
  visitorWith (value?: string, name?: string): Visitor
  /** The calls since the last look, those of the old table marked. */
  calls (): string[]
}

type MakeReaders = (table: string) => SessionReader[]

const byConnect: MakeReaders = table => [connectDynamodb({ table, secret: OLD_SECRET })]

async function setScene (t: Test, engine: Engine, make: MakeReaders = byConnect, options: StageOptions = {}, parts: Partial<CreateTableCommandInput> = {}): Promise<Scene> {
  const old = await createTable(engine, parts)
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(() => client.destroy())
  const stage = await setStage(t, engine, { ...options, session: { importFrom: make(old), ...options.session } })
  return {
    ...stage,
    old,
    oldItem: async (Key = { id: { S: `sess:${SID}` } }) => (await client.send(new GetItemCommand({ TableName: old, Key, ConsistentRead: true }))).Item,
    putOld: async Item => { await client.send(new PutItemCommand({ TableName: old, Item })) },
    visitorWith: (value = signed(SID), name = 'connect.sid') => {
      const visitor = stage.visitor()
      visitor.plant(name, value)
      return visitor
    },
    calls: () => stage.proxy.takeCalls().map(({ action, input }) => input['TableName'] === old ? `old ${action}` : action)
  }
}

/** An application whose handlers answer past Fastify: what a request of the old cookie is sent, and what the log has of it. */
async function setWithoutAnswer (t: Test, engine: Engine, kind: 'web socket' | 'hijacked reply'): Promise<{ stage: Scene, visit: (path: string) => Promise<unknown>, warnings: () => string[] }> {
  const act = async (path: string, { session }: FastifyRequest): Promise<string> => {
    if (path === '/destroy') await session.destroy()
    else {
      session.set('count', 7)
      await session.save()
    }
    return JSON.stringify(session.data())
  }
  const stage = await setScene(t, engine, byConnect, {
    before: async app => { await app.register(websocket) },
    routes: async app => {
      await app.register(async app => {
        for (const path of ['/save', '/destroy']) {
          if (kind === 'web socket') {
            app.get(path, { websocket: true }, (socket, request) => { act(path, request).then(text => { socket.send(text) }, () => { socket.terminate() }) })
          } else {
            app.get(path, async (request, reply) => {
              reply.hijack()
              reply.raw.end(await act(path, request))
            })
          }
        }
      })
      addRoutes(app)
    }
  })
  const origin = await stage.app.listen({ port: 0, host: '127.0.0.1' })
  const headers = { cookie: `connect.sid=${encodeURIComponent(signed(SID))}` }
  const visit = async (path: string): Promise<unknown> => {
    if (kind === 'hijacked reply') {
      const response = await fetch(origin + path, { headers })
      t.same(response.headers.getSetCookie(), [])
      return await response.json()
    }
    const socket = new WebSocket(origin.replace('http', 'ws') + path, { headers })
    socket.on('upgrade', ({ headers }) => { t.notOk('set-cookie' in headers) })
    const [message] = await once(socket, 'message') as [RawData]
    socket.close()
    await once(socket, 'close')
    return JSON.parse(String(message))
  }
  return { stage, visit, warnings: () => stage.log.warnings() }
}

function dataOf (item: Item | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(item?.['data']?.M ?? {}).map(([key, value]) => [key, JSON.parse(String(value.S))]))
}

onEachEngine(t, async (t, engine) => {
  for (const [start, host] of [[onExpress, 'express-session'], [onFastify, '@fastify/session']] as const) {
    for (const [store, make] of [['connect-dynamodb', connectDynamodb], ['dynamodb-session-store', dynamodbSessionStore]] as const) {
      t.test(`who is signed in by ${host} with ${store} stays so, and signs out for good`, async t => {
        for (const maxAge of [undefined, 3_600_000]) {
          const cookieName = start === onExpress ? 'connect.sid' : 'sessionId'
          const stage = await setScene(t, engine, table => [make({ table, secret: ['a new secret', OLD_SECRET], cookieName })])
          stage.clock.ms = Date.now()
          const logIn = await start(t, engine, stage.old, store, maxAge)
          const { name, value } = await logIn()
          const visitor = stage.visitorWith(value, name)
          const first = await visitor.get('/me')
          t.same(first.json().data, OLD_DATA)
          t.same(stage.proxy.take(), MOVE)
          t.same(visitor.cookieNames().sort(), [TOKEN, `${TOKEN}-v`].sort(), 'the old cookie is gone')
          t.not(first.json().id, value)
          const [item] = await stage.items()
          t.ok(Math.abs(Number(item?.['expires']?.N) - Date.now() / 1000 - (maxAge ?? 86_400_000) / 1000) < 30, 'with what remained of its life')
          t.same((await visitor.get('/me')).json().data, OLD_DATA)
          t.same(stage.proxy.take(), ['GetItem'])
          await visitor.post('/logout')
          visitor.plant(name, value)
          t.same((await visitor.get('/me')).json().data, {})
          stage.clock.forward(61)
          t.same((await visitor.get('/me')).json().data, {}, 'nor later')
        }
      })
    }
  }

  t.test('a session of Pyramid moves with its flash messages', async t => {
    const parts: Partial<CreateTableCommandInput> = {
      KeySchema: [{ AttributeName: 'sid', KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName: 'sid', AttributeType: 'B' }]
    }
    const stage = await setScene(t, engine, table => [pyramidSession({ table })], {}, parts)
    const sid = { B: digestOf(LONG) }
    const iss = Math.floor(stage.clock.seconds) - 600
    await stage.putOld({ sid, dat: { S: '{"userId": "zo\\u00eb", "_f_": ["hi"]}' }, ver: { N: '3' }, iss: { N: String(iss) }, exp: { N: String(iss + 1200) } })
    const visitor = stage.visitorWith(`${LONG}/3`, 'session_id')
    t.same((await visitor.get('/me')).json().data, { userId: 'zoë', _f_: ['hi'] })
    const calls = stage.proxy.takeCalls()
    t.same(calls.map(({ action }) => action), MOVE)
    t.equal(calls[0]?.input['ConsistentRead'], true, 'who has just logged out there is not seen once more')
    t.same(visitor.cookieNames().sort(), [TOKEN, `${TOKEN}-v`])
    t.equal(await stage.oldItem({ sid }), undefined)
    t.match((await stage.items())[0], { expires: { N: String(iss + 1200) }, idle: { N: '1200' } })
    t.same((await stage.visitorWith('nobody/1', 'session_id').get('/me')).json().data, {})
  })

  t.test('a session of dynamodb-session-web or dynamodb-session-flask moves with its age, by cookie or header', async t => {
    const secret = ['foo']
    const token = `${LONG}.Brxxp6JK2kWlAJSdnfQYVa2sigo`
    const stage = await setScene(t, engine, table => [dynamodbSessionWeb({ table, secret, header: 'x-id' })])
    const now = Math.floor(stage.clock.seconds)
    const item = {
      id: { S: token },
      data: { S: '{"userId": "u-42", "_permanent": true}' },
      created: { S: new Date((now - 40_000) * 1000).toISOString().replace('Z', '000+00:00') },
      accessed: { S: new Date(now * 1000).toISOString() },
      expires: { N: String(now + 3200) },
      idle_timeout: { N: '7200' },
      absolute_timeout: { N: '43200' }
    }
    for (const headers of [{ cookie: `id=${token}` }, { 'x-id': token }] as const) {
      await stage.putOld(item)
      const response = await stage.app.inject({ url: '/me', headers })
      t.same(response.json().data, { userId: 'u-42' })
      t.same(stage.proxy.take(), MOVE)
      t.match(setCookieNames(response), [TOKEN], 'where no header is configured, the answer goes by cookie')
      t.equal(response.headers['vary'], 'Cookie, x-id')
      t.equal(response.headers['cache-control'], 'no-store')
      t.equal(await stage.oldItem({ id: { S: token } }), undefined)
      const [moved] = await stage.items()
      t.match(moved, { created: { N: String(now - 40_000) }, expires: { N: String(now + 3200) } })
      t.equal(moved?.['idle'], undefined, 'our own timeouts need not be stored')
      await stage.app.sessions.destroy(response.json().id)
      stage.clock.forward(61)
      stage.proxy.take()
    }
    t.same((await stage.visitorWith(token.slice(0, -1) + 'p', 'id').get('/me')).json().data, {})
    t.same(stage.proxy.take(), [], 'another text of the same signature')
  })

  const RACERS = [
    { url: '/me', status: 200, data: { userId: 'u-42', 'any:x': 2 } },
    { url: '/set', status: 409, data: { userId: 'u-42', 'any:x': 2 } },
    { url: '/login', status: 200, data: { userId: 'u-42' } },
    { url: '/logout', status: 200, data: { userId: 'u-42', 'any:x': 2 } }
  ]
  for (const { url, status, data } of RACERS) {
    t.test(`of two processes that get one old cookie at once, the first to delete the old record has moved it, and the other, with ${url}, leaves no second one`, async t => {
      const a = await setScene(t, engine)
      const b = await setStage(t, engine, { session: { table: a.table, importFrom: byConnect(a.old), now: a.clock.now } })
      await a.putOld(recordOf(a.clock.seconds + 3600))
      const visitor = a.visitorWith()
      const gate = a.proxy.gate({ action: 'DeleteItem', when: input => input['TableName'] === a.old })
      const first = visitor.send({ method: url === '/me' ? 'GET' : 'POST', url, ...url === '/set' && { payload: { count: 1 } } })
      await gate.reached
      const second = await visitor.send({ method: 'POST', url: '/set', payload: { 'any:x': 2 } }, b.app)
      t.equal(second.statusCode, 200)
      visitor.receive(second)
      gate.release()
      const late = await first
      t.equal(late.statusCode, status)
      if (url !== '/login') t.notOk(setCookieNames(late).includes(TOKEN), 'it has no token to send')
      const alive = (await a.items()).filter(item => item['next'] === undefined).map(dataOf)
      t.same(alive.at(-1), url === '/login' ? alive.at(-1) : { userId: 'u-42', 'any:x': 2 })
      t.equal(alive.length, url === '/login' ? 2 : 1)
      t.equal(await a.oldItem(), undefined)
      visitor.receive(late)
      t.same((await visitor.get('/me')).json().data, data)
      t.same(visitor.cookieNames().sort(), [TOKEN, `${TOKEN}-v`])
    })
  }

  t.test('one that came late and cannot take its own session back says so, and sends no token', async t => {
    const a = await setScene(t, engine)
    const b = await setStage(t, engine, { session: { table: a.table, importFrom: byConnect(a.old), now: a.clock.now } })
    await a.putOld(recordOf(a.clock.seconds + 3600))
    const visitor = a.visitorWith()
    const gate = a.proxy.gate({ action: 'DeleteItem', when: input => input['TableName'] === a.old })
    const first = visitor.send({ url: '/me' })
    await gate.reached
    await visitor.send({ url: '/me' }, b.app)
    a.proxy.meet({ action: 'DeleteItem', when: input => input['TableName'] === a.table }, faults.error('AccessDeniedException'))
    gate.release()
    const late = await first
    t.equal(late.statusCode, 200)
    t.same(setCookieNames(late), [])
    t.match(a.log.warnings(), ['A session that nobody has a token for is left to TTL'])
  })

  t.test('a deletion of unknown outcome, tried again by another request of that process, costs nobody a session', async t => {
    const gates = [makeGate(), makeGate()] as const
    const entered = [makeGate(), makeGate()] as const
    const stage = await setScene(t, engine, byConnect, {
      routes: app => {
        addRoutes(app)
        app.get('/wait/:turn', async ({ session, params }) => {
          const turn = Number((params as { turn: string }).turn) as 0 | 1
          entered[turn].open()
          await gates[turn].passed
          return session.data()
        })
      }
    })
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const first = visitor.send({ url: '/wait/0' })
    const second = visitor.send({ url: '/wait/1' })
    await Promise.all(entered.map(async gate => await gate.passed))
    const rule = stage.proxy.meet({ action: 'DeleteItem', times: Infinity }, faults.resetAfter)
    gates[0].open()
    visitor.receive(await first)
    rule.remove()
    t.match(stage.log.warnings(), ['could not be deleted'])
    gates[1].open()
    visitor.receive(await second)
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
  })

  t.test('a deletion whose answer was lost costs nobody a session', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    stage.proxy.meet('DeleteItem', faults.resetAfter)
    t.equal((await visitor.post('/set', { count: 1 })).statusCode, 200)
    t.equal(await stage.oldItem(), undefined)
    t.same(stage.calls().filter(call => call === 'old DeleteItem').length, 2, 'the SDK repeats it, and it finds nothing')
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42', count: 1 })
  })
})

t.test('on dynalite alone', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  await runOn(t, engine)
})

async function runOn (t: Test, engine: Engine): Promise<void> {
  t.test('without an old token nothing is read there, and with a living session of ours neither', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const anonymous = stage.visitor()
    await anonymous.get('/me')
    for (const forged of [`s:${SID}.`, signed(SID).slice(0, -1), `s:${SID}.${'A'.repeat(43)}`, SID, '']) {
      t.same((await stage.visitorWith(forged).get('/me')).json().data, {}, 'forged')
    }
    t.same(stage.calls(), [])
    await anonymous.post('/login')
    anonymous.plant('connect.sid', signed(SID))
    t.same(stage.calls(), ['PutItem'])
    t.same((await anonymous.get('/me')).json().data, { userId: 'u-42' })
    t.same(stage.calls(), ['GetItem'])
    t.ok(await stage.oldItem())
    await stage.visitorWith().get('/off')
    t.same(stage.calls(), [], 'nor where the session is switched off')
  })

  t.test('an expired record, a ghost and a record that is not there are one read and no session, and the old cookie stays', async t => {
    const stage = await setScene(t, engine)
    const now = stage.clock.seconds
    const records = [recordOf(now), recordOf(now + 0.5), { id: { S: `sess:${SID}` }, expires: { N: String(now + 3600) } }, recordOf(now + 3600, {}), undefined]
    for (const record of records) {
      if (record !== undefined) await stage.putOld(record)
      const sid = record === undefined ? 'nobody' : SID
      const visitor = stage.visitorWith(signed(sid))
      for (let times = 0; times < 2; times++) {
        const response = await visitor.get('/me', { headers: { 'sec-fetch-mode': 'navigate' } })
        t.same(response.json().data, {})
        t.same(setCookies(response), [], 'it may be that of another application')
        t.same(stage.calls(), ['old GetItem'])
      }
      await visitor.post('/set', { count: 1 })
      t.same((await visitor.get('/me')).json().data, { count: 1 }, 'and a session begins as ever')
      stage.calls()
    }
    t.same(await stage.oldItem(), records[3])
  })

  t.test('a read that fails is a failure and no log-out: nothing is sent, nothing is lost', async t => {
    const stage = await setScene(t, engine, byConnect, { session: { timeout: 0.5 } })
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const refusals = ['ResourceNotFoundException', 'AccessDeniedException', 'ProvisionedThroughputExceededException']
    for (const fault of [...refusals.map(name => faults.error(name)), faults.raw(200, '{}', 'application/x-amz-json-1.0'), faults.resetBefore]) {
      const rule = stage.proxy.meet({ action: 'GetItem', times: Infinity }, fault)
      const response = await visitor.get('/me')
      rule.remove()
      t.equal(response.statusCode, 503)
      t.equal(response.json().code, 'FST_DYNAMODB_SESSION_UNAVAILABLE')
      t.equal(response.headers['retry-after'], '1')
      t.same(setCookies(response), [])
      t.notOk(stage.calls().some(call => call !== 'old GetItem'))
    }
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
  })

  t.test('with readFailure: "anonymous", the handler runs without and the old cookie stays', async t => {
    const stage = await setScene(t, engine, byConnect, { session: { readFailure: 'anonymous' } })
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const rule = stage.proxy.meet({ action: 'GetItem', times: Infinity }, faults.error('AccessDeniedException'))
    const response = await visitor.get('/me')
    t.equal(response.statusCode, 200)
    t.same(response.json().data, {})
    t.equal((await visitor.post('/set', { count: 1 })).statusCode, 503)
    rule.remove()
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
  })

  t.test('where the new record cannot be written, the old one stands, and the next request moves it', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const rule = stage.proxy.meet({ action: 'PutItem', times: Infinity }, faults.error('AccessDeniedException'))
    const response = await visitor.get('/me')
    rule.remove()
    t.equal(response.statusCode, 503)
    t.same(setCookies(response), [])
    t.ok(await stage.oldItem())
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
  })

  t.test('where the old record cannot be deleted, the visitor is signed in all the same, and the log says so', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const rule = stage.proxy.meet({ action: 'DeleteItem', times: Infinity }, faults.error('AccessDeniedException'))
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
    rule.remove()
    t.match(stage.log.warnings(), ['The old record of a session that was moved could not be deleted'])
    t.same(visitor.cookieNames().sort(), [TOKEN, `${TOKEN}-v`])
    t.ok(await stage.oldItem())
  })

  t.test('with keep, the old record stays; a log-out in the very request that moves it deletes it all the same', async t => {
    const stage = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, keep: true })])
    const record = recordOf(stage.clock.seconds + 3600)
    await stage.putOld(record)
    const visitor = stage.visitorWith()
    await visitor.get('/me')
    t.same(stage.calls(), ['old GetItem', 'PutItem'])
    t.same(await stage.oldItem(), record)
    t.same(visitor.cookieNames().sort(), [TOKEN, `${TOKEN}-v`, 'connect.sid'], 'and its cookie, for the servers of the old kind that are about')
    stage.clock.forward(61)
    const other = stage.visitorWith()
    const response = await other.post('/logout')
    t.same(stage.calls(), ['old GetItem', 'PutItem', 'DeleteItem', 'old DeleteItem'])
    t.equal(await stage.oldItem(), undefined)
    t.same(setCookieNames(response), ['connect.sid'])
    t.same(other.cookieNames(), [])
    t.equal((await stage.items()).length, 1, 'that of the first visit')
  })

  t.test('with keep, who logs out later is logged out of both, whichever reader knows the old token', async t => {
    const other = await createTable(engine)
    for (const empties of [false, true]) {
      const stage = await setScene(t, engine, table => [
        connectDynamodb({ table: other, secret: OLD_SECRET, keep: true }), connectDynamodb({ table, secret: OLD_SECRET, keep: true })
      ], {
        routes: app => {
          addRoutes(app)
          app.post('/empty', async ({ session }) => { await session.regenerate(); return {} })
        }
      })
      await stage.putOld(recordOf(stage.clock.seconds + 3600))
      const visitor = stage.visitorWith()
      await visitor.get('/me')
      await visitor.get('/me')
      t.ok(await stage.oldItem())
      if (!empties) await visitor.post('/login')
      stage.clock.forward(61)
      stage.calls()
      const rule = stage.proxy.meet({ action: 'DeleteItem', when: input => input['TableName'] === stage.old, times: Infinity }, faults.error('AccessDeniedException'))
      t.equal((await visitor.post(empties ? '/empty' : '/logout')).statusCode, 503, 'or is told that it failed')
      rule.remove()
      t.equal((await visitor.post('/logout')).statusCode, 200)
      t.equal(await stage.oldItem(), undefined)
      t.notOk(visitor.cookieNames().includes('connect.sid'))
      visitor.plant('connect.sid', signed(SID))
      stage.clock.forward(61)
      t.same((await visitor.get('/me')).json().data, {})
    }
  })

  t.test('with keep, a log-out with a token that was replaced ends the old session too', async t => {
    const stage = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, keep: true })])
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    await visitor.get('/me')
    const late = stage.visitorWith()
    late.plant(TOKEN, String(visitor.cookie(TOKEN)))
    await visitor.post('/login')
    await late.post('/logout')
    t.equal(await stage.oldItem(), undefined)
    stage.clock.forward(61)
    t.same((await visitor.get('/me')).json().data, {})
  })

  t.test('a log-out that cannot delete the old record fails, and can be repeated', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const rule = stage.proxy.meet({ action: 'DeleteItem', when: input => input['TableName'] === stage.old, times: Infinity }, faults.error('AccessDeniedException'))
    const response = await visitor.post('/logout')
    rule.remove()
    t.equal(response.statusCode, 503)
    t.same(visitor.cookieNames(), ['connect.sid'])
    t.same(await stage.items(), [])
    t.equal((await visitor.post('/logout')).statusCode, 200)
    t.equal(await stage.oldItem(), undefined)
    t.same(visitor.cookieNames(), [])
  })

  t.test('parallel requests of one browser in one process have one session, in which the changes of all survive', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const gate = stage.proxy.gate('PutItem')
    const set = (payload: object) => visitor.send({ method: 'POST', url: '/set', payload })
    const first = set({ count: 1 })
    await gate.reached
    const second = set({ 'any:x': 2 })
    gate.release()
    const answers = await Promise.all([first, second])
    t.equal(new Set(answers.map(answer => answer.json().id)).size, 1)
    t.equal(stage.calls().filter(call => call === 'old GetItem').length, 1)
    // Sent before the new cookie arrived, and come when the old record was gone.
    const late = await set({ 'any:y': 3 })
    for (const answer of [...answers, late]) visitor.receive(answer)
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42', count: 1, 'any:x': 2, 'any:y': 3 })
    t.equal((await stage.items()).length, 1)
    t.same(visitor.cookieNames().sort(), [TOKEN, `${TOKEN}-v`])
    await visitor.post('/logout')
    t.same((await stage.visitorWith().get('/me')).json().data, {}, 'what was signed out meanwhile stays so')
  })

  t.test('a log-out is not undone by a late request with the old cookie, also where the old record is kept', async t => {
    const stage = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, keep: true })])
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    await visitor.get('/me')
    await visitor.post('/logout')
    stage.calls()
    const late = await stage.visitorWith().get('/me')
    t.same(late.json().data, {})
    t.same(setCookies(late), [])
    t.notOk(stage.calls().includes('PutItem'))
    stage.clock.forward(61)
    t.same((await stage.visitorWith().get('/me')).json().data, {}, 'nor later')
  })

  t.test('where a move fails, so do the requests that waited for it, and the next ones have one session among them', async t => {
    for (const keep of [false, true]) {
      const stage = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, keep })])
      await stage.putOld(recordOf(stage.clock.seconds + 3600))
      const visitor = stage.visitorWith()
      const gate = stage.proxy.gate('GetItem')
      const send = (name: string) => visitor.send({ method: 'POST', url: '/set', payload: { [`any:${name}`]: 1 } })
      const first = send('a')
      await gate.reached
      const joined = ['b', 'c', 'd'].map(send)
      const rule = stage.proxy.meet({ action: 'PutItem', times: 1 }, faults.error('AccessDeniedException'))
      gate.release()
      const failed = await Promise.all([first, ...joined])
      rule.remove()
      t.same(failed.map(({ statusCode }) => statusCode), [503, 503, 503, 503])
      t.same(stage.calls(), ['old GetItem', 'PutItem'])
      const answers = await Promise.all(['a', 'b', 'c'].map(send))
      for (const answer of answers) visitor.receive(answer)
      t.same(answers.map(({ statusCode }) => statusCode), [200, 200, 200])
      t.same((await visitor.get('/me')).json().data, { userId: 'u-42', 'any:a': 1, 'any:b': 1, 'any:c': 1 })
      t.equal((await stage.items()).length, 1)
    }
  })

  t.test('requests with one old token and no session are one read', async t => {
    const stage = await setScene(t, engine)
    const gate = stage.proxy.gate('GetItem')
    const visitor = stage.visitorWith(signed('nobody'))
    const first = visitor.send({ url: '/me' })
    await gate.reached
    const joined = [visitor.send({ url: '/me' }), visitor.send({ url: '/me' })]
    gate.release()
    for (const response of await Promise.all([first, ...joined])) t.same(response.json().data, {})
    t.same(stage.calls(), ['old GetItem'])
  })

  t.test('a visitor who has left before the answer finds the old session again', async t => {
    const gate = makeGate()
    const entered = makeGate()
    const stage = await setScene(t, engine, byConnect, {
      routes: app => {
        addRoutes(app)
        app.get('/slow', async (_request, reply) => {
          entered.open()
          await gate.passed
          reply.raw.destroy()
          return {}
        })
      }
    })
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const visitor = stage.visitorWith()
    const left = visitor.send({ url: '/slow' }).catch(() => {})
    await entered.passed
    gate.open()
    await left
    t.ok(await stage.oldItem())
    stage.clock.forward(61)
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
  })

  for (const kind of ['web socket', 'hijacked reply'] as const) {
    t.test(`on a ${kind} nothing is sent, so the old record stays, and the next request has the session with what was saved there`, async t => {
      for (const [title, seconds, saved] of [['at once', 0, { count: 7 }], ['in another process', 61, {}]] as const) {
        const { stage, visit, warnings } = await setWithoutAnswer(t, engine, kind)
        await stage.putOld(recordOf(stage.clock.seconds + 3600))
        t.same(await visit('/save'), { userId: 'u-42', count: 7 }, 'the handler has the session')
        t.same(stage.calls(), ['old GetItem', 'PutItem', 'UpdateItem'], title)
        t.ok(await stage.oldItem())
        t.same(warnings(), [])
        // What this process remembers of a move it forgets after a minute, and another has never known.
        stage.clock.forward(seconds)
        const visitor = stage.visitorWith()
        t.same((await visitor.get('/me')).json().data, { userId: 'u-42', ...saved })
        t.same(visitor.cookieNames().sort(), [TOKEN, `${TOKEN}-v`])
        t.equal(await stage.oldItem(), undefined)
      }
    })

    t.test(`a session that is destroyed on a ${kind} is ended in both tables, by the first request or by one that joins it`, async t => {
      for (const before of [undefined, '/save'] as const) {
        const { stage, visit } = await setWithoutAnswer(t, engine, kind)
        await stage.putOld(recordOf(stage.clock.seconds + 3600))
        if (before !== undefined) await visit(before)
        stage.calls()
        t.same(await visit('/destroy'), {})
        t.same(stage.calls(), [...before === undefined ? ['old GetItem', 'PutItem'] : ['GetItem'], 'DeleteItem', 'old DeleteItem'])
        t.same([await stage.items(), await stage.oldItem()], [[], undefined])
        stage.clock.forward(61)
        t.same((await stage.visitorWith().get('/me')).json().data, {})
      }
    })
  }

  t.test('who logs out and leaves before the answer is logged out of both', async t => {
    const stage = await setScene(t, engine, byConnect, {
      routes: app => {
        addRoutes(app)
        app.get('/leave', async ({ session }, reply) => {
          await session.destroy()
          reply.raw.destroy()
          return {}
        })
      }
    })
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    await stage.visitorWith().send({ url: '/leave' }).catch(() => {})
    t.same(stage.calls(), ['old GetItem', 'PutItem', 'DeleteItem', 'old DeleteItem'])
    t.same([await stage.items(), await stage.oldItem()], [[], undefined])
  })

  t.test('it ends when it would have ended, unless it is used', async t => {
    const stage = await setScene(t, engine)
    const now = Math.floor(stage.clock.seconds)
    await stage.putOld(recordOf(now + 60, { userId: 'u-42' }, 30 * 86_400_000))
    const visitor = stage.visitorWith()
    const response = await visitor.get('/me')
    const [item] = await stage.items()
    t.match(item, { created: { N: String(now) }, expires: { N: String(now + 60) }, idle: { N: '2592000' }, cookie: { N: '2592000' } })
    t.match(setCookies(response).find(text => text.startsWith(`${TOKEN}=`)), 'Max-Age=2592000', 'the browser keeps it for as long as before')
    stage.calls()
    stage.clock.forward(30)
    await visitor.get('/me')
    t.same(stage.calls(), ['GetItem', 'UpdateItem'], 'the next request prolongs it')
    stage.clock.forward(31)
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
    const idle = await setScene(t, engine)
    await idle.putOld(recordOf(now + 60))
    const other = idle.visitorWith()
    await other.get('/me')
    idle.clock.forward(60)
    t.same((await other.get('/me')).json().data, {})
  })

  t.test('our absolute timeout, which it did not have, does not cut off what remained', async t => {
    const stage = await setScene(t, engine, byConnect, { session: { absoluteTimeout: 600 } })
    const now = Math.floor(stage.clock.seconds)
    await stage.putOld(recordOf(now + 3000))
    const visitor = stage.visitorWith()
    await visitor.get('/me')
    t.match((await stage.items())[0], { absolute: { N: '3000' }, expires: { N: String(now + 3000) } })
    stage.clock.forward(2900)
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
    stage.clock.forward(100)
    t.same((await visitor.get('/me')).json().data, {})
    const endless = await setScene(t, engine, byConnect, { session: { absoluteTimeout: false, idleTimeout: false } })
    await endless.putOld(recordOf(now + 3000))
    await endless.visitorWith().get('/me')
    const [item] = await endless.items()
    t.match(item, { idle: { N: '3600' }, expires: { N: String(now + 3000) } })
    t.equal(item?.['absolute'], undefined)
  })

  t.test('with idleTracking: "cookie", the companion tells of this activity at once, which costs nothing', async t => {
    const stage = await setScene(t, engine, byConnect, { session: { idleTracking: 'cookie', secrets: 'a secret to sign the last activity with' } })
    const now = Math.floor(stage.clock.seconds)
    await stage.putOld(recordOf(now + 60))
    const visitor = stage.visitorWith()
    await visitor.get('/me')
    t.same(stage.calls(), ['old GetItem', 'PutItem', 'old DeleteItem'])
    t.match((await stage.items())[0], { seen: { N: String(now - 3540) }, expires: { N: String(now + 43_200) } })
    stage.clock.forward(3599)
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
    stage.clock.forward(3600)
    t.same((await visitor.get('/me')).json().data, {})
  })

  t.test('a log-in in the request that moves it starts afresh, and one that keeps its data keeps its life', async t => {
    const routes = (app: Parameters<typeof addRoutes>[0]): void => {
      addRoutes(app)
      app.post('/renew', async ({ session }) => { await session.regenerate(true); return {} })
    }
    for (const [url, data, end] of [['/login', { userId: 'u-42' }, 7200], ['/renew', { userId: 'old', count: 1 }, 60]] as const) {
      const stage = await setScene(t, engine, byConnect, { routes })
      const now = Math.floor(stage.clock.seconds)
      await stage.putOld(recordOf(now + 60, { userId: 'old', count: 1 }))
      const visitor = stage.visitorWith()
      await visitor.post(url)
      t.same(stage.calls(), ['old GetItem', 'PutItem', 'PutItem', 'UpdateItem', 'old DeleteItem'])
      t.same((await visitor.get('/me')).json().data, data)
      const alive = (await stage.items()).find(item => item['next'] === undefined)
      t.ok(Number(alive?.['expires']?.N) >= now + end)
    }
  })

  t.test('a handler that asks for a renewal gets one, and one that fails keeps the session', async t => {
    const stage = await setScene(t, engine, byConnect, {
      routes: app => {
        addRoutes(app)
        app.get('/touch', async ({ session }) => { session.touch(); return {} })
        app.get('/fail', async ({ session }) => {
          session.set('count', 7)
          throw new Error('of the handler')
        })
      }
    })
    const now = Math.floor(stage.clock.seconds)
    await stage.putOld(recordOf(now + 60))
    await stage.visitorWith().get('/touch')
    t.same(stage.calls(), ['old GetItem', 'PutItem', 'UpdateItem', 'old DeleteItem'])
    t.equal((await stage.items())[0]?.['expires']?.N, String(now + 3600))
    await stage.putOld(recordOf(now + 60, { userId: 'u-43' }, 3_600_000, 'other'))
    const visitor = stage.visitorWith(signed('other'))
    t.equal((await visitor.get('/fail')).statusCode, 500)
    t.same((await visitor.get('/me')).json().data, { userId: 'u-43' })
  })

  t.test('a value that our format cannot carry fails the request by name, and nothing is lost', async t => {
    const sess = { M: { cookie: { M: {} }, big: { N: '9007199254740993' } } }
    const item = (now: number): Item => ({ id: { S: `session#${SID}` }, expires: { N: String(now + 3600) }, sess })
    const make: MakeReaders = table => [dynamodbSessionStore({ table, secret: OLD_SECRET })]
    const stage = await setScene(t, engine, make)
    await stage.putOld(item(stage.clock.seconds))
    const response = await stage.visitorWith().get('/me')
    t.equal(response.statusCode, 500)
    t.equal(response.json().code, 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE')
    t.match(response.json().message, 'cannot be moved: the value of session key "big" cannot be stored: it holds a bigint')
    t.notMatch(response.json().message, '9007199254740993')
    t.same(setCookies(response), [])
    t.same(stage.calls(), ['old GetItem'])
    t.same(await stage.oldItem({ id: { S: `session#${SID}` } }), item(stage.clock.seconds))

    const native = await setScene(t, engine, make, { session: { format: 'native' } })
    await native.putOld(item(native.clock.seconds))
    const visitor = native.visitorWith()
    t.equal((await visitor.get('/off')).statusCode, 200)
    t.equal((await visitor.post('/push')).statusCode, 200)
    t.match((await native.items())[0], { data: { M: { big: { N: '9007199254740993' } } } })

    const keys = await setScene(t, engine)
    await keys.putOld(recordOf(keys.clock.seconds + 3600, { ['x'.repeat(256)]: 1 }))
    t.equal((await keys.visitorWith().get('/me')).json().code, 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE')
    await keys.putOld(recordOf(keys.clock.seconds + 3600, { deep: JSON.parse('['.repeat(600) + ']'.repeat(600)) }))
    t.equal((await keys.visitorWith().get('/me')).json().code, 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE')
    await keys.putOld({ ...recordOf(keys.clock.seconds + 3600), sess: { S: `{"cookie":{},"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}` } })
    t.equal((await keys.visitorWith().get('/me')).json().code, 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE', 'also where it is deeper than can be looked into')
    t.ok(await keys.oldItem())
  })

  t.test('a token of ours whose session has ended, without an old one, is no session and asks nobody else', async t => {
    const stage = await setScene(t, engine)
    const visitor = stage.visitor()
    visitor.plant(TOKEN, 'A'.repeat(43))
    t.same((await visitor.get('/me')).json().data, {})
    t.same(stage.calls(), ['GetItem'])
  })

  t.test('with keep, who has no old cookie any more has a session like any other', async t => {
    const stage = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, keep: true })])
    const visitor = stage.visitor()
    await visitor.post('/set', { a: 1 })
    t.same(stage.calls(), ['PutItem'])
    t.same((await visitor.post('/logout')).statusCode, 200)
    t.same(stage.calls(), ['GetItem', 'DeleteItem'])
  })

  t.test('a move of more than a minute ago is forgotten by the next: its old cookie is looked up again', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    t.equal((await stage.visitorWith().get('/me')).json().version, 1)
    stage.clock.forward(61)
    t.same((await stage.visitorWith(signed('another id')).get('/me')).json().data, {})
    stage.calls()
    t.same((await stage.visitorWith().get('/me')).json().data, {})
    t.same(stage.calls(), ['old GetItem'])
  })

  t.test('one that is too large for a record of ours is refused as such', async t => {
    const stage = await setScene(t, engine, byConnect, { session: { maxSize: 1000 } })
    await stage.putOld(recordOf(stage.clock.seconds + 3600, { 'any:text': 'x'.repeat(1000) }))
    t.equal((await stage.visitorWith().get('/me')).statusCode, 413)
    t.ok(await stage.oldItem())
  })

  t.test('a route that does not use the session moves it too, and says to caches on what its answer depends', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const response = await stage.visitorWith().get('/nothing')
    t.same(setCookieNames(response).sort(), [TOKEN, `${TOKEN}-v`, 'connect.sid'])
    t.equal(response.headers['vary'], 'Cookie')
    t.equal(response.headers['cache-control'], 'no-store')
    t.same(stage.calls(), ['old GetItem', 'PutItem', 'old DeleteItem'])
  })

  t.test('where both cookies have one name, the new token takes the place of the old one', async t => {
    for (const [place, oldPlace] of [[{}, {}], [{ domain: 'shop.example' }, { cookieDomain: 'Shop.Example' }], [{ path: '/shop' }, { cookiePath: '/shop' }]]) {
      const make: MakeReaders = table => [connectDynamodb({ table, secret: OLD_SECRET, ...oldPlace })]
      const stage = await setScene(t, engine, make, { session: { cookie: { name: 'connect.sid', ...place } } })
      await stage.putOld(recordOf(stage.clock.seconds + 3600))
      const old = { cookie: `connect.sid=${encodeURIComponent(signed(SID))}` }
      const response = await stage.app.inject({ url: '/me', headers: old })
      t.same(setCookieNames(response), ['connect.sid', 'connect.sid-v'])
      const cookie = setCookies(response)[0]?.split(';')[0]
      t.same((await stage.app.inject({ url: '/me', headers: { cookie } })).json().data, { userId: 'u-42' })
      await stage.putOld(recordOf(stage.clock.seconds + 3600, { userId: 'u-43' }, null, 'other'))
      const out = await stage.app.inject({ method: 'POST', url: '/logout', headers: { cookie: `connect.sid=${encodeURIComponent(signed('other'))}` } })
      t.match(setCookies(out), [/^connect\.sid=; Max-Age=0/], 'a log-out clears it')
    }
    const other = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, cookieDomain: 'shop.example' })], { session: { cookie: { name: 'connect.sid' } } })
    await other.putOld(recordOf(other.clock.seconds + 3600))
    const response = await other.visitorWith().get('/me')
    t.match(setCookies(response), [/^connect\.sid=[^;]/, /^connect\.sid-v=/, /^connect\.sid=; Max-Age=0; Domain=shop\.example/], 'that of another domain is another cookie')
    const byHeader = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, header: 'x-old' })], { session: { header: 'x-token', cookie: { name: 'connect.sid' } } })
    await byHeader.putOld(recordOf(byHeader.clock.seconds + 3600))
    t.match(setCookies(await byHeader.app.inject({ url: '/me', headers: { 'x-old': signed(SID) } })), [/^connect\.sid=; Max-Age=0/], 'as is one whose new token goes by a header')
  })

  t.test('old tokens of two sessions are none, and are noticed; a token twice is one', async t => {
    const stage = await setScene(t, engine)
    for (const sid of [SID, 'other']) await stage.putOld(recordOf(stage.clock.seconds + 3600, { userId: sid }, null, sid))
    const cookies = (...sids: string[]): string => sids.map(sid => `connect.sid=${encodeURIComponent(signed(sid))}`).join('; ')
    t.same((await stage.app.inject({ url: '/me', headers: { cookie: cookies(SID, 'other') } })).json().data, {})
    t.same(stage.calls(), [])
    t.match(stage.log.warnings(), ['old tokens of several sessions'])
    t.same((await stage.app.inject({ url: '/me', headers: { cookie: `${cookies(SID, SID)}; connect.sid=forged` } })).json().data, { userId: SID })
  })

  t.test('readers are asked in their order until one has a session', async t => {
    const other = await createTable(engine)
    const stage = await setScene(t, engine, table => [
      dynamodbSessionStore({ table: other, secret: OLD_SECRET }), connectDynamodb({ table, secret: OLD_SECRET, cookiePath: '/shop', cookieDomain: 'shop.example' })
    ])
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const response = await stage.visitorWith().get('/me')
    t.same(response.json().data, { userId: 'u-42' })
    t.same(stage.calls(), ['GetItem', 'old GetItem', 'PutItem', 'old DeleteItem'])
    const cleared = setCookies(response).find(text => text.startsWith('connect.sid='))
    t.equal(cleared, 'connect.sid=; Max-Age=0; Domain=shop.example; Path=/shop; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax')
  })

  t.test('a token that came by a header is answered by one, where one is configured', async t => {
    const stage = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, header: 'X-Old' })], { session: { header: 'x-token', cookie: {} } })
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const response = await stage.app.inject({ url: '/me', headers: { 'x-old': signed(SID) } })
    t.same(response.json().data, { userId: 'u-42' })
    t.same(setCookieNames(response), ['connect.sid'], 'cleared, in case it is there')
    t.equal(response.headers['vary'], 'Cookie, x-token, x-old')
    const next = await stage.app.inject({ url: '/me', headers: { 'x-token': String(response.headers['x-token']) } })
    t.same(next.json().data, { userId: 'u-42' })
  })

  t.test('a token that came by a cookie, beside a header with something else, is answered by a cookie', async t => {
    const stage = await setScene(t, engine, table => [connectDynamodb({ table, secret: OLD_SECRET, header: 'authorization' })], { session: { header: 'x-token', cookie: {} } })
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const response = await stage.app.inject({ url: '/me', headers: { authorization: 'Basic Og==', cookie: `connect.sid=${encodeURIComponent(signed(SID))}` } })
    t.same(response.json().data, { userId: 'u-42' })
    t.same(setCookieNames(response), [TOKEN, `${TOKEN}-v`, 'connect.sid'])
    t.equal(response.headers['x-token'], undefined)
  })

  t.test('a session of ours that has expired gives way to one that is moved; a replaced one does not', async t => {
    const stage = await setScene(t, engine)
    const visitor = stage.visitor()
    await visitor.post('/set', { count: 1 })
    stage.clock.forward(7200)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    visitor.plant('connect.sid', signed('nobody'))
    t.same((await visitor.get('/me')).json().data, {}, 'where none is there, none')
    visitor.plant('connect.sid', signed(SID))
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42' })
    const late = stage.visitorWith(signed('late'))
    late.plant(TOKEN, String(visitor.cookie(TOKEN)))
    await stage.putOld(recordOf(stage.clock.seconds + 3600, { userId: 'u-43' }, null, 'late'))
    await visitor.post('/login')
    stage.calls()
    const answer = await late.get('/me')
    t.same(answer.json().data, {})
    t.same(setCookies(answer), [])
    t.notOk(stage.calls().some(call => call.startsWith('old')))
    const ambiguous = [visitor.cookie(TOKEN), 'x'.repeat(42) + 'A'].map(token => `${TOKEN}=${token}`)
    await stage.app.inject({ url: '/me', headers: { cookie: [...ambiguous, `connect.sid=${encodeURIComponent(signed('late'))}`].join('; ') } })
    t.same(stage.calls(), [], 'nor do tokens of ours that disagree')
  })

  t.test('at the start, each old table is looked at', async t => {
    const missing = async (make: MakeReaders, table: string): Promise<Error & { code?: string }> => {
      const app = Fastify()
      const client = clientConfig(engine.endpoint)
      await app.register(dynamoSession, { table: await createTable(engine), client, importFrom: make(table) })
      const error = await app.ready().then(() => new Error('ready'), (error: Error) => error)
      await app.close()
      return error
    }
    t.match(await missing(byConnect, await createTable(engine)), { message: 'ready' })
    t.match(await missing(byConnect, 'nowhere'), { code: 'FST_DYNAMODB_SESSION_TABLE_MISSING', message: '"nowhere"' })
    t.match(await missing(table => [pyramidSession({ table })], await createTable(engine)),
      { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: 'whose partition key is not "sid" of type B: name another "hashKey"' })
    const stage = await setScene(t, engine)
    const rule = stage.proxy.meet({ action: 'GetItem', when: input => input['TableName'] === stage.old, times: Infinity }, faults.error('AccessDeniedException'))
    await t.rejects(stage.app.sessions.verifyTable(), { code: 'FST_DYNAMODB_SESSION_PERMISSION_MISSING', message: `dynamodb:GetItem on table "${stage.old}"` })
    rule.remove()
  })

  t.test('an engine that tells no capacity is noticed at the start, and then believed', async t => {
    const stage = await setScene(t, engine)
    await stage.putOld(recordOf(stage.clock.seconds + 3600))
    const direct = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => direct.destroy())
    stage.proxy.intercept = async (action, input) => {
      if (action !== 'GetItem' || input['TableName'] !== stage.old) return undefined
      const { ReturnConsumedCapacity: _, ...rest } = input
      const item = await stage.oldItem(rest['Key'] as Item)
      return { status: 200, body: item === undefined ? {} : { Item: item } }
    }
    t.equal((await stage.visitorWith().get('/me')).statusCode, 503)
    await stage.app.sessions.verifyTable()
    t.match(stage.log.warnings().at(-1), 'tells no consumed capacity')
    t.same((await stage.visitorWith().get('/me')).json().data, { userId: 'u-42' })
  })

  t.test('a reader may have a client of its own, which is closed with the plugin where that made it', async t => {
    const old = await createTable(engine)
    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => client.destroy())
    const now = Math.floor(Date.now() / 1000)
    for (const given of [client, clientConfig(engine.endpoint)]) {
      await client.send(new PutItemCommand({ TableName: old, Item: recordOf(now + 3600) }))
      const app = Fastify()
      await app.register(dynamoSession, { table: 'sessions', client: memoryRepository(), importFrom: [connectDynamodb({ table: old, client: given, secret: OLD_SECRET })] })
      addRoutes(app)
      const response = await app.inject({ url: '/me', headers: { cookie: `connect.sid=${encodeURIComponent(signed(SID))}` } })
      t.same(response.json().data, { userId: 'u-42' })
      await app.close()
    }
    t.ok(await client.send(new GetItemCommand({ TableName: old, Key: { id: { S: 'x' } } })), 'one that was handed in goes on')
    t.throws(() => new SessionManager({ table: 'sessions', client: memoryRepository(), importFrom: byConnect('sessions') }),
      { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: 'give the reader a "client"' })
  })

  t.test('of many moves, the latest are remembered', async t => {
    const scene = await setScene(t, engine)
    const sids = ['one', 'two', SID]
    for (const sid of sids) await scene.putOld(recordOf(scene.clock.seconds + 3600, { userId: sid }, null, sid))
    const settings = resolveOptions({ table: scene.table, now: scene.clock.now })
    const repository = memoryRepository()
    const tools = { settings, repository, writer: new Writer(repository, settings), updater: new Updater(repository, settings) }
    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => client.destroy())
    const [reader] = byConnect(scene.old) as [SessionReader]
    const reopened: string[] = []
    const importer = new Importer([new Source(reader, client, 3, false)], tools, async id => {
      reopened.push(id)
      return { visit: new Visit(new SessionState(settings), tools, scene.app.log) }
    }, 2)
    const open = async (sid: string) => await importer.open(importer.find({ cookie: `connect.sid=${encodeURIComponent(signed(sid))}` }, scene.app.log), scene.app.log)
    for (const sid of sids) t.equal((await open(sid))?.visit.state.values.get('userId'), sid)
    for (const sid of ['two', SID]) t.equal((await open(sid))?.visit.state.status, 'blank')
    t.equal(reopened.length, 2)
    t.equal((await open('one'))?.visit.state.values.get('userId'), 'one', 'moved once more')
    t.equal(reopened.length, 2)
  })

  t.test('readers are checked at the door', async t => {
    const options = (importFrom: unknown): DynamoSessionOptions => ({ table: 'sessions', client: memoryRepository(), importFrom: importFrom as SessionReader[] })
    const [reader] = byConnect('sessions')
    for (const bad of [reader, [undefined], [null], [{}], [{ ...reader, idOf: 'x' }], [{ ...reader, table: 'x' }], [{ ...reader, cookieName: undefined }], [connectDynamodb]]) {
      t.throws(() => new SessionManager(options(bad)), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: '"importFrom"' })
    }
    t.ok(new SessionManager(options([])))
  })
}
