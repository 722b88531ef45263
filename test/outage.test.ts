import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import dynamoSession, { type DynamoSessionOptions, type Session } from '../index.js'
import { hash } from '../lib/token.js'
import { addRoutes, LogLines, setStage, type Stage } from './support/app.js'
import { clientConfig, createTable, onDynamoDBLocal, startDynalite, startDynamoDBLocal, type Engine } from './support/engines.js'
import { timed as timedWithin } from './support/limit.js'
import { FaultProxy, faults } from './support/proxy.js'
import { setCookieNames, setCookies, type Visitor } from './support/visitor.js'

const SECRET = 'a secret that is long enough to sign with'
const FORGED = `${Buffer.alloc(32, 7).toString('base64url')}.${'A'.repeat(43)}`
const UNREACHABLE = 'DynamoDB cannot be reached yet: requests with a session answer 503 until it can'

/** Seconds for an operation, and milliseconds that a request may take beyond it: for a slow machine to write its answer. */
const SHORT = 0.8
const MARGIN = 400

/** The answer, and whether it came in time. */
async function timed (timeout: number, act: Promise<LightMyRequestResponse>): Promise<{ response: LightMyRequestResponse, inTime: boolean }> {
  const { response, isLate } = await timedWithin(timeout * 1000 + MARGIN, act)
  return { response, inTime: !isLate }
}

/** What a failure looks like: to be tried again soon, typed, and nothing about cookies. */
function assertUnavailable (t: Test, response: LightMyRequestResponse, title = ''): void {
  const { statusCode, headers } = response
  t.same([statusCode, headers['retry-after'], setCookies(response), response.json().code],
    [503, '1', [], 'FST_DYNAMODB_SESSION_UNAVAILABLE'], title)
}

/** Visitors who are signed in, each with data of their own: by an application that has time, however short that of the stage is. */
async function signIn (t: Test, stage: Stage, count: number, options: Partial<DynamoSessionOptions> = {}): Promise<Visitor[]> {
  const { app } = await makeOther(t, stage, { verify: false, timeout: 30, ...options })
  const visitors = Array.from({ length: count }, () => stage.visitor())
  for (const [index, each] of visitors.entries()) each.receive(await each.send({ method: 'POST', url: '/set', payload: { count: index } }, app))
  // The stage has made its connections, and whatever else a first request has to.
  await stage.visitor().get('/me')
  await Promise.all(visitors.map(async each => await each.get('/me')))
  await app.close()
  stage.proxy.take()
  return visitors
}

interface Outage {
  readonly timeout: number
  readonly down: () => Promise<unknown> | unknown
  readonly up: () => Promise<unknown> | unknown
}

/** An outage as the visitors of an application live through it. */
async function assertOutage (t: Test, stage: Stage, { timeout, down, up }: Outage): Promise<void> {
  const visitors = await signIn(t, stage, 10, { secrets: SECRET })
  const cookies = visitors.map(each => each.cookieHeader())
  await down()

  const [ann, ...others] = visitors as [Visitor, ...Visitor[]]
  const forger = stage.visitor()
  forger.plant('__Host-id', FORGED)
  for (const [title, visitor, url, statusCode] of [
    ['anonymous', stage.visitor(), '/nothing', 200], ['anonymous', stage.visitor(), '/me', 200], ['anonymous', stage.visitor(), '/no-such-page', 404],
    ['forged', forger, '/me', 200], ['signed in, session: false', ann, '/off', 200]
  ] as const) {
    const { response, inTime } = await timed(0, visitor.get(url))
    t.same([response.statusCode, setCookies(response), inTime], [statusCode, [], true], `${title} ${url}: as always, and at once`)
  }

  for (const each of [ann, ...others.slice(0, 2)]) {
    const { response, inTime } = await timed(timeout, each.get('/me'))
    assertUnavailable(t, response)
    t.ok(inTime, 'in time')
  }
  const atOnce = await Promise.all([
    ...visitors.map(async each => await timed(timeout, each.get('/me'))),
    timed(timeout, ann.post('/set', { count: 99 })), timed(timeout, ann.post('/logout')), timed(timeout, ann.post('/login')),
    timed(timeout, stage.visitor().post('/set', { count: 99 }))
  ])
  for (const { response, inTime } of atOnce) {
    assertUnavailable(t, response)
    t.ok(inTime, 'in time')
  }
  t.same(visitors.map(each => each.cookieHeader()), cookies, 'every browser keeps its cookies')

  await up()
  for (const [index, each] of visitors.entries()) {
    const response = await each.get('/me')
    t.same([response.statusCode, response.json().data, response.json().version], [200, { count: index }, 1], 'the first request after it is signed in')
  }
  t.equal((await ann.post('/set', { count: 100 })).statusCode, 200)
  t.match((await ann.get('/me')).json(), { data: { count: 100 } })
  t.equal((await stage.items()).length, 10, 'and nothing was left behind')
}

const engine = await startDynalite()
t.teardown(async () => await engine.close())
// Most of the time passes in waiting.
t.jobs = 3

t.test('a service that refuses connections', { buffered: true }, async t => {
  const stage = await setStage(t, engine, { session: { secrets: SECRET } })
  await assertOutage(t, stage, {
    timeout: SHORT, down: async () => await stage.proxy.stop(), up: async () => await stage.proxy.restart()
  })
})

t.test('a service that takes every call and never answers', { buffered: true }, async t => {
  const stage = await setStage(t, engine, { session: { secrets: SECRET, timeout: SHORT } })
  let rule: ReturnType<FaultProxy['meet']> | undefined
  await assertOutage(t, stage, {
    timeout: SHORT,
    down: () => { rule = stage.proxy.meet({ times: Infinity }, faults.hang) },
    up: () => rule?.remove()
  })
})

/** How a service goes away, and with the function that is given comes back. */
const WAYS = {
  'connections are refused': async (proxy: FaultProxy) => {
    await proxy.stop()
    return async () => await proxy.restart()
  },
  'nothing answers': async (proxy: FaultProxy) => {
    const rule = proxy.meet({ times: Infinity }, faults.hang)
    return async () => {
      // An attempt that was given up may still be on its way, and would be answered after all.
      await proxy.stop()
      rule.remove()
      await proxy.restart()
    }
  }
}

/** Another application on the table of a stage, behind the stage's proxy, and not started yet. */
async function makeOther (t: Test, { proxy, table, clock }: Stage, options: Partial<DynamoSessionOptions> = {}) {
  const log = new LogLines()
  const app: FastifyInstance = Fastify({ logger: { level: 'debug', stream: log } })
  t.teardown(async () => await app.close())
  await app.register(dynamoSession, { table, client: clientConfig(proxy.endpoint), now: clock.now, ...options })
  addRoutes(app)
  return { app, log }
}

t.test('an application that starts during an outage', { buffered: true }, async t => {
  const ways = {
    ...WAYS,
    'every call is throttled': async (proxy: FaultProxy) => {
      const rule = proxy.meet({ times: Infinity }, faults.error('ThrottlingException'))
      return async () => rule.remove()
    }
  }
  t.jobs = 3
  await Promise.all(Object.entries(ways).map(async ([title, takeDown]) => {
    await t.test(`${title}: it starts with one warning, answers 503 to who is signed in, and recovers by itself`, { buffered: true }, async t => {
      const stage = await setStage(t, engine)
      const ann = stage.visitor()
      await ann.post('/set', { count: 1 })
      const cookie = ann.cookieHeader()
      const up = await takeDown(stage.proxy)
      const { app, log } = await makeOther(t, stage, { timeout: SHORT })
      await app.ready()
      t.same(log.warnings(), [UNREACHABLE])
      t.match(log.lines.find(({ msg }) => msg === UNREACHABLE), { level: 40, err: { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' } })
      t.equal((await app.inject('/me')).statusCode, 200, 'anonymous visitors are served')
      for (let visit = 0; visit < 2; visit++) {
        const { response, inTime } = await timed(SHORT, ann.send({ url: '/me' }, app))
        assertUnavailable(t, response)
        t.ok(inTime, 'in time')
      }
      await up()
      t.match((await ann.send({ url: '/me' }, app)).json(), { data: { count: 1 } })
      t.equal((await ann.send({ method: 'POST', url: '/set', payload: { count: 2 } }, app)).statusCode, 200)
      t.equal(ann.cookieHeader(), cookie)
      t.equal(log.warnings().filter(line => line === UNREACHABLE).length, 1, 'warned of once')
    })
  }))
})

t.test('a service that is only slow delays the start, which warns of nothing', { buffered: true }, async t => {
  const stage = await setStage(t, engine)
  for (const [faulty, calls] of [[[faults.delay(150)], 1], [[faults.hang, faults.delay(150)], 2]] as const) {
    for (const fault of faulty) stage.proxy.meet('GetItem', fault)
    stage.proxy.take()
    const { app, log } = await makeOther(t, stage, { timeout: 1.5 })
    await app.ready()
    t.same(log.warnings(), [])
    t.equal(stage.proxy.take().length, calls)
  }
})

t.test('a table with another key stops the start, with the key that is needed', { buffered: true }, async t => {
  const keys = (...names: string[]): Partial<CreateTableCommandInput> => ({
    KeySchema: names.map((AttributeName, index) => ({ AttributeName, KeyType: index === 0 ? 'HASH' : 'RANGE' })),
    AttributeDefinitions: names.map(AttributeName => ({ AttributeName, AttributeType: 'S' }))
  })
  const stage = await setStage(t, engine)
  const missing = `no-table-${process.pid}`
  const cases = [
    [await createTable(engine, keys('sid')), 'TABLE_MISMATCH', 'must have the partition key "id" of type S and no sort key'],
    [await createTable(engine, keys('id', 'sort')), 'TABLE_MISMATCH', 'must have the partition key "id" of type S and no sort key'],
    [missing, 'TABLE_MISSING', `There is no table "${missing}" in this region. Create it`]
  ] as const
  for (const [table, code, message] of cases) {
    const { app, log } = await makeOther(t, { ...stage, table })
    await t.rejects(async () => await app.ready(), { code: `FST_DYNAMODB_SESSION_${code}`, message })
    t.same([stage.proxy.take(), log.warnings()], [['GetItem'], []], 'asked once')
  }
  stage.proxy.meet('GetItem', faults.error('AccessDeniedException', { message: 'arn:aws:iam::123456789012:role/shop' }))
  const { app } = await makeOther(t, stage)
  await t.rejects(async () => await app.ready(), {
    code: 'FST_DYNAMODB_SESSION_PERMISSION_MISSING', message: "do not permit dynamodb:GetItem. Grant what the README's IAM policy names."
  })
  t.same(stage.proxy.take(), ['GetItem'], 'asked once')
})

/** What is under way when the service goes. */
const MIDDLE = ['/set', '/update', '/destroy', '/regenerate', '/new', '/touch'] as const

function addMiddleActs (app: FastifyInstance, cut: () => Promise<void>): void {
  addRoutes(app)
  const acts: Record<string, (request: { session: Session }) => unknown> = {
    set: ({ session }) => session.set('count', 2),
    update: async ({ session }) => await session.update('count', (count = 0) => count + 1),
    destroy: async ({ session }) => await session.destroy(),
    regenerate: async ({ session }) => {
      await session.regenerate()
      session.set('userId', 'u-42')
    },
    new: ({ session }) => session.set('count', 2),
    touch: ({ session }) => session.touch()
  }
  for (const [name, act] of Object.entries(acts)) {
    app.post(`/cut/${name}`, async request => {
      await cut()
      await act(request)
      return {}
    })
  }
}

t.test('a service that goes away between the read and the write of one request', { buffered: true }, async t => {
  for (const [title, takeDown] of Object.entries(WAYS)) {
    await t.test(`${title}: a 503, nothing half done, and the visitor is who they were`, async t => {
      let cut = async (): Promise<void> => {}
      const stage = await setStage(t, engine, { session: { timeout: SHORT }, routes: app => { addMiddleActs(app, async () => await cut()) } })
      const visitors = await signIn(t, stage, MIDDLE.length)
      const before = new Map((await stage.items()).map(item => [item['id']?.S, item]))
      stage.clock.forward(60)
      stage.log.lines.length = 0
      // All have read when the service goes away, so that it is down in the middle of each request.
      let up = async (): Promise<void> => {}
      let isDown: Promise<void> | undefined
      let arrived = 0
      let go = (): void => {}
      const all = new Promise<void>(resolve => { go = resolve })
      cut = async () => {
        if (++arrived === MIDDLE.length) go()
        await all
        isDown ??= takeDown(stage.proxy).then(back => { up = back })
        await isDown
      }
      const answers = await Promise.all(MIDDLE.map(async (name, index) => {
        const visitor = name === '/new' ? stage.visitor() : visitors[index] as Visitor
        return [name, await visitor.post(`/cut${name}`)] as const
      }))
      for (const [name, response] of answers) {
        if (name === '/touch') t.same([response.statusCode, setCookies(response)], [200, []], 'a session that is not prolonged is no failure')
        else assertUnavailable(t, response, name)
      }
      t.equal(stage.log.warnings().filter(line => line === 'A session could not be prolonged').length, 1)
      await up()
      t.same(new Map((await stage.items()).map(item => [item['id']?.S, item])), before, 'every item is what it was')
      for (const [index, each] of visitors.entries()) t.match((await each.get('/me')).json(), { data: { count: index }, version: 1 })
    })
  }
})

t.test('a service that goes away between the two writes of a log-in', { buffered: true }, async t => {
  const isDeciding = ({ ConsistentRead }: Record<string, any>): boolean => ConsistentRead === true
  const later = { action: 'GetItem', when: isDeciding, times: Infinity } as const

  for (const [title, mark, after, isMarked] of [
    ['the mark did not come through', faults.resetBefore, faults.resetBefore, false],
    ['the mark came through and its answer did not', faults.resetAfter, faults.resetBefore, true],
    ['the mark came through and nothing answers', faults.hangAfter, faults.hang, true]
  ] as const) {
    await t.test(`${title}: the failure carries the new token, which is signed in`, async t => {
      const stage = await setStage(t, engine, { session: { timeout: SHORT } })
      const ann = stage.visitor()
      await ann.post('/set', { count: 1 })
      const old = ann.cookie('__Host-id') ?? ''
      const rules = [stage.proxy.meet({ action: 'UpdateItem', times: Infinity }, mark), stage.proxy.meet(later, after)]
      // One operation marks, the other looks.
      const { response, inTime } = await timed(2 * SHORT, ann.post('/login'))
      t.same([response.statusCode, response.headers['retry-after'], inTime], [503, '1', true])
      t.match(response.headers, { 'cache-control': 'no-store', vary: 'Cookie' })
      t.same(setCookieNames(response), ['__Host-id', '__Host-id-v'])
      t.not(ann.cookie('__Host-id'), old)
      for (const rule of rules) rule.remove()
      t.match((await ann.get('/me')).json(), { data: { userId: 'u-42' } })
      const replaced = await stage.item(hash(old))
      t.equal(replaced?.['next'] !== undefined, isMarked)
      t.equal(replaced?.['data']?.M?.['userId'], undefined, 'the old record never has the new rights')
      t.equal((await stage.items()).length, 2)
    })
  }

  for (const [title, deletion, left] of [['is taken back', undefined, 1], ['is left to TTL', faults.resetBefore, 2]] as const) {
    await t.test(`a mark that did not come through, as a read finds out: the old session lives and the new record ${title}`, async t => {
      const stage = await setStage(t, engine)
      const ann = stage.visitor()
      await ann.post('/set', { count: 1 })
      const cookie = ann.cookieHeader()
      const rules = [stage.proxy.meet({ action: 'UpdateItem', times: Infinity }, faults.resetBefore)]
      if (deletion !== undefined) rules.push(stage.proxy.meet({ action: 'DeleteItem', times: Infinity }, deletion))
      assertUnavailable(t, await ann.post('/login'))
      t.equal(ann.cookieHeader(), cookie)
      t.equal(stage.log.warnings().includes('A session that nobody has a token for is left to TTL'), deletion !== undefined)
      for (const rule of rules) rule.remove()
      t.match((await ann.get('/me')).json(), { data: { count: 1 } })
      t.equal((await stage.items()).length, left)
    })
  }

  await t.test('a new record whose answer is lost for good: the old session lives, and no token is sent', async t => {
    const stage = await setStage(t, engine, { session: { timeout: SHORT } })
    const ann = stage.visitor()
    await ann.post('/set', { count: 1 })
    const old = ann.cookie('__Host-id') ?? ''
    const gate = stage.proxy.gate('PutItem', 'after')
    const answer = ann.post('/login')
    await gate.reached
    await stage.proxy.stop()
    assertUnavailable(t, await answer)
    gate.release()
    await stage.proxy.restart()
    t.match((await ann.get('/me')).json(), { data: { count: 1 }, id: old })
    t.equal((await stage.items()).length, 2, 'what nobody has a token for is left to TTL')
  })
})

const dbPath = t.testdir({})
onDynamoDBLocal(t, async (t, engine: Engine) => {
  const port = Number(new URL(engine.endpoint).port)
  const timeout = 2
  // Past the proxy, whose own connections would break in its way.
  const stage = await setStage(t, engine, { session: { secrets: SECRET, timeout, client: clientConfig(engine.endpoint) } })
  await assertOutage(t, stage, {
    timeout,
    down: async () => await engine.close(),
    up: async () => {
      const again = await startDynamoDBLocal({ port, dbPath })
      t.teardown(async () => await again.close())
    }
  })
}, { dbPath })
