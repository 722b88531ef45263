import t, { type Test } from 'tap'
import { Agent } from 'node:http'
import type { LookupFunction } from 'node:net'
import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Session } from '../index.js'
import { hash } from '../lib/token.js'
import { addRoutes, setStage, type Stage } from './support/app.js'
import { clientConfig, startDynalite } from './support/engines.js'
import { startLimit, timed as timedWithin } from './support/limit.js'
import { FaultProxy, faults, type Action, type Fault, type Rule } from './support/proxy.js'
import { setCookieNames, setCookies, type Visitor } from './support/visitor.js'

const SECRET = 'a secret that is long enough to sign with'
const UNAVAILABLE = {
  statusCode: 503,
  code: 'FST_DYNAMODB_SESSION_UNAVAILABLE',
  error: 'Service Unavailable',
  message: 'Sessions cannot be read or written at the moment. Try again in a few seconds; the cause is in the log.'
}

/**
 * Seconds for an operation where the fault is that nothing comes, and milliseconds that a request may take beyond it: for a slow
 * machine to write its answer, and too few for the next attempt to be given up.
 */
const SHORT = 0.8
const MARGIN = 400

/** A text as AWS writes it: with what neither visitors nor logs are to see. */
const ROLE = 'arn:aws:sts::123456789012:assumed-role/shop/i-0a1b2c3d4e'
const AWS_TEXT = `User: ${ROLE} may not do this on resource: arn:aws:dynamodb:eu-central-1:123456789012:table/sessions`

const PAGE = '<html><body><h1>502 Bad Gateway</h1></body></html>'

interface Row {
  readonly title: string
  /** Each act meets another one, where there are several. */
  readonly fault: Fault | readonly Fault[]
  /** What the log says of it. */
  readonly cause: RegExp
  /** How often each call goes over the wire while the fault lasts. */
  readonly attempts: readonly number[]
  /** Whether the time limit ends it. */
  readonly waits?: boolean
  /** Whether the engine carries out the first call all the same. */
  readonly isApplied?: boolean
  /** Whether a repetition recovers, where the fault is over by then. */
  readonly recovers?: boolean
}

/** Errors of the service that no repetition mends. */
const DEFINITE = ['AccessDeniedException', 'ResourceNotFoundException', 'ValidationException', 'ExpiredTokenException']

const MORE_DEFINITE = [
  'UnrecognizedClientException', 'KMSAccessDeniedException', 'KMSDisabledException', 'KMSInvalidStateException',
  'TransactionConflictException', 'ItemCollectionSizeLimitExceededException'
]

const THROTTLING = [
  'ProvisionedThroughputExceededException', 'ThrottlingException', 'RequestLimitExceeded', 'LimitExceededException',
  'TransactionInProgressException'
]

const ROWS: readonly Row[] = [
  ...DEFINITE.map(name => ({
    title: name, fault: faults.error(name, { message: AWS_TEXT }), cause: new RegExp(name), attempts: [1]
  })),
  {
    title: 'other refusals',
    fault: MORE_DEFINITE.map(name => faults.error(name, { message: AWS_TEXT })),
    cause: new RegExp(MORE_DEFINITE.join('|')),
    attempts: [1]
  },
  {
    title: 'throttling',
    fault: THROTTLING.map(name => faults.error(name, { message: AWS_TEXT })),
    // The SDK's pauses between attempts may be longer than the time limit, which is the cause then.
    cause: new RegExp(`TimeoutError|${THROTTLING.join('|')}`),
    attempts: [1, 2, 3],
    waits: true
  },
  { title: 'InternalServerError', fault: faults.error('InternalServerError', { status: 500 }), cause: /InternalServerError/, attempts: [3], recovers: true },
  {
    title: 'a page of a gateway',
    fault: [faults.raw(502, PAGE, 'text/html'), faults.raw(503, PAGE, 'text/html')],
    cause: /SyntaxError/,
    attempts: [3],
    recovers: true
  },
  { title: 'a page with status 200', fault: faults.raw(200, PAGE, 'text/html'), cause: /SyntaxError/, attempts: [1] },
  { title: 'a clock that is an hour off', fault: faults.skew(3_600_000), cause: /InvalidSignatureException/, attempts: [3], recovers: true },
  { title: 'no answer', fault: faults.hang, cause: /TimeoutError/, attempts: [2, 3], waits: true, recovers: true },
  { title: 'no answer, applied', fault: faults.hangAfter, cause: /TimeoutError/, attempts: [2, 3], waits: true, isApplied: true, recovers: true },
  { title: 'a reset connection', fault: faults.resetBefore, cause: /ECONNRESET/, attempts: [3], recovers: true },
  { title: 'a reset connection, applied', fault: faults.resetAfter, cause: /ECONNRESET/, attempts: [3], isApplied: true, recovers: true },
  { title: 'a closed connection, applied', fault: faults.closeAfter, cause: /other side closed/, attempts: [3], isApplied: true, recovers: true },
  { title: 'half an answer', fault: faults.truncate, cause: /other side closed/, attempts: [3], isApplied: true, recovers: true },
  { title: 'half an answer of its own length', fault: faults.truncateClean, cause: /ChecksumError/, attempts: [3], isApplied: true, recovers: true },
  { title: 'an answer that stops', fault: faults.stall, cause: /TimeoutError/, attempts: [2, 3], waits: true, isApplied: true, recovers: true },
  { title: 'an empty answer', fault: faults.empty200, cause: /without consumed capacity/, attempts: [1], isApplied: true },
  { title: 'an answer of {}', fault: faults.emptyObject, cause: /without consumed capacity/, attempts: [1], isApplied: true },
  { title: 'a damaged answer', fault: [faults.bitflip('e', 'f'), faults.badCrc], cause: /ChecksumError/, attempts: [3], isApplied: true, recovers: true }
]

/** What a visitor does, and which of its calls meets the fault. */
interface Act {
  readonly title: string
  readonly action: Action
  readonly isAnonymous?: boolean
  /** Whether it takes another operation after the one that meets the fault, with a limit of its own. */
  readonly goesOn?: boolean
  readonly run: (visitor: Visitor) => Promise<LightMyRequestResponse>
}

const ACTS = [
  { title: 'read', action: 'GetItem', run: async visitor => await visitor.get('/me') },
  { title: 'save', action: 'UpdateItem', run: async visitor => await visitor.post('/set', { count: 2 }) },
  { title: 'update', action: 'UpdateItem', run: async visitor => await visitor.post('/update') },
  { title: 'touch', action: 'UpdateItem', run: async visitor => await visitor.post('/touch') },
  { title: 'destroy', action: 'DeleteItem', run: async visitor => await visitor.post('/logout') },
  { title: 'create', action: 'PutItem', isAnonymous: true, run: async visitor => await visitor.post('/set', { 'any:mark': 'create' }) },
  { title: 'enter', action: 'PutItem', run: async visitor => await visitor.post('/enter', { mark: 'enter' }) },
  { title: 'leave', action: 'UpdateItem', goesOn: true, run: async visitor => await visitor.post('/enter', { mark: 'leave' }) }
] as const satisfies readonly Act[]

type Title = typeof ACTS[number]['title']

function addActs (app: FastifyInstance): void {
  addRoutes(app)
  app.post('/update', async request => ({ count: await request.session.update('count', (count = 0) => count + 1) }))
  app.post('/touch', async request => {
    request.session.touch()
    return {}
  })
  app.post('/vanish', async request => {
    await app.sessions.destroy(request.session.id ?? '')
    request.session.set('count', 2)
    return {}
  })
  app.post('/enter', async request => {
    await request.session.regenerate()
    request.session.set('any:mark', (request.body as { mark: string }).mark)
    return {}
  })
}

function addCorruptActs (app: FastifyInstance): void {
  addRoutes(app)
  app.get('/get/:key', async request => ({ value: request.session.get((request.params as { key: 'count' }).key) }))
  app.get('/keys', async request => request.session.keys())
}

function addReadActs (app: FastifyInstance): void {
  addRoutes(app)
  app.get('/page', async ({ session }) => ({ count: session.get('count') ?? null, isNew: session.isNew }))
}

/** One act of one visitor under a fault, and what came of it. */
interface Trial {
  readonly visitor: Visitor
  /** Before the act. */
  readonly cookie: string
  readonly id: string
  readonly key: string
  readonly rule: Rule
  readonly response: LightMyRequestResponse
  /** Whether the answer came later than the limit from the moment when the fault was met. */
  readonly isLate: boolean
}

/** Every act at the same time, each by a visitor of its own who meets the fault alone. */
async function tryActs (stage: Stage, { fault, timeout, times = Infinity }: {
  readonly fault: Row['fault'], readonly timeout: number, readonly times?: number
}): Promise<Record<Title, Trial>> {
  const kinds = [fault].flat()
  const visitors = await Promise.all(ACTS.map(async act => {
    const visitor = stage.visitor()
    if (!('isAnonymous' in act)) await visitor.post('/set', { count: 1 })
    return visitor
  }))
  // So that there is something to prolong, and the companions are gone.
  stage.clock.forward(60)
  stage.proxy.take()
  stage.log.lines.length = 0
  const trials = await Promise.all(visitors.map(async (visitor, index) => {
    const { title, action, goesOn = false, run } = ACTS[index] as Act & { title: Title }
    const id = visitor.cookie('__Host-id') ?? 'nobody'
    const key = hash(id)
    const cookie = visitor.cookieHeader()
    let limit: ReturnType<typeof startLimit> | undefined
    const when = ({ Key, Item }: Record<string, any>): boolean => {
      const isMet = Key?.id.S === key || Item?.data.M['any:mark']?.S === JSON.stringify(title)
      if (isMet) limit ??= startLimit((goesOn ? 2 : 1) * timeout * 1000 + MARGIN)
      return isMet
    }
    const rule = stage.proxy.meet({ action, when, times }, kinds[index % kinds.length] as Fault)
    const response = await run(visitor)
    const isLate = limit?.stop() ?? true
    return [title, { visitor, cookie, id, key, rule, response, isLate }] as const
  }))
  return Object.fromEntries(trials) as Record<Title, Trial>
}

/** What an item holds, as far as an act changes it; undefined where there is none. */
async function stored (stage: Stage, { key }: Trial): Promise<unknown> {
  const item = await stage.item(key)
  if (item === undefined) return undefined
  const data = Object.entries(item['data']?.M ?? {}).map(([name, value]) => [name, JSON.parse(value.S ?? '')])
  return { ...Object.fromEntries(data), version: Number(item['ver']?.N), ...item['next'] !== undefined && { isReplaced: true } }
}

/** That nothing of the visitor, the table or the account is in what the world sees, and nothing secret in the log. */
function assertDiscreet (t: Test, stage: Stage, trials: readonly Trial[]): void {
  const log = JSON.stringify(stage.log.lines)
  t.notMatch(log, /arn:aws|123456789012/, 'the log tells no account')
  t.same(trials.filter(({ id }) => log.includes(id)), [], 'no log line holds an id')
  const leaks = trials.filter(({ id, key, response }) =>
    [id, key, stage.table, 'arn:', '123456789012'].some(secret => response.body.includes(secret)))
  t.same(leaks, [], 'no body holds anything of the visitor, the table or the account')
}

function assertUnavailable (t: Test, response: LightMyRequestResponse, title = ''): void {
  const { statusCode, headers } = response
  t.same([statusCode, headers['retry-after'], setCookies(response), response.json()], [503, '1', [], UNAVAILABLE], title)
}

const engine = await startDynalite()
t.teardown(async () => await engine.close())

await t.test('while a fault lasts', async t => {
  // Most of the time passes in waiting.
  t.jobs = 2
  await Promise.all(ROWS.map(async row => {
    await t.test(`${row.title}: a 503 that leaves the cookie alone, nothing half done, and a request that recovers after it`, { buffered: true }, async t => {
      const timeout = row.waits === true ? SHORT : 3
      // A client of its own for each, because the SDK repeats less where much has failed. What befalls a batch: test/batching.test.ts.
      const stage = await setStage(t, engine, { session: { timeout, batchReads: false }, routes: addActs })
      const before = (await stage.items()).length
      const trials = await tryActs(stage, { ...row, timeout })
      const { read, save, update, touch, destroy, create, enter, leave } = trials
      const isApplied = row.isApplied === true

      const failed = { read, save, update, destroy, create, enter, ...isApplied ? {} : { leave } }
      for (const [title, { response, visitor, cookie }] of Object.entries(failed)) {
        assertUnavailable(t, response, title)
        t.equal(visitor.cookieHeader(), cookie, `${title}: the browser keeps what it has`)
      }
      t.equal(touch.response.statusCode, 200, 'a session that is not prolonged is no failure')
      t.same(setCookies(touch.response), [])
      t.equal(stage.log.warnings().filter(line => line === 'A session could not be prolonged').length, 1)

      for (const [title, { rule, isLate }] of Object.entries(trials)) {
        t.ok(row.attempts.includes(rule.met) && !isLate, `${title}: sent ${rule.met} times, and answered in time`)
      }
      const causes = stage.log.lines.filter(line => line['err'] !== undefined)
      t.equal(causes.length, Object.keys(failed).length + 1, 'each failure is told once')
      t.ok(causes.every(({ err }) => row.cause.test(err.stack)), 'with its cause')
      assertDiscreet(t, stage, Object.values(trials))

      const changed = { count: isApplied ? 2 : 1, version: isApplied ? 2 : 1 }
      t.same(await stored(stage, save), changed)
      t.same(await stored(stage, update), changed)
      t.same(await stored(stage, touch), { count: 1, version: 1 })
      t.same(await stored(stage, destroy), isApplied ? undefined : { count: 1, version: 1 })
      t.same(await stored(stage, enter), { count: 1, version: 1 }, 'the old session lives, whatever became of the new record')
      t.same(await stored(stage, leave), isApplied ? { version: 1, isReplaced: true } : { count: 1, version: 1 })
      // Applied: less the destroyed one; and new ones of a creation and a regeneration without an answer, and of one that went well.
      t.equal((await stage.items()).length - before, isApplied ? 7 - 1 + 3 : 7)

      // Not before, because an attempt that was given up may still be on its way.
      for (const { rule } of Object.values(trials)) rule.remove()
      t.match((await read.visitor.get('/me')).json(), { data: { count: 1 }, id: read.id }, 'signed in as before')
      t.match((await enter.visitor.get('/me')).json(), { data: { count: 1 }, id: enter.id })
      t.same((await create.visitor.get('/me')).json(), { data: {} })
      if (isApplied) {
        t.same(setCookieNames(leave.response), ['__Host-id', '__Host-id-v'], 'the table agreed, as a strong read found out')
        t.match((await leave.visitor.get('/me')).json(), { data: { 'any:mark': 'leave' } })
      }
      t.same(setCookies(await touch.visitor.post('/touch')), [])
    })
  }))
})

await t.test('a fault that is over at the second attempt', async t => {
  t.jobs = 2
  const cases = [
    ...ROWS.filter(row => row.recovers).map(row => ({ ...row, timeout: row.waits === true ? SHORT : 3 })),
    { title: 'throttling', fault: faults.error('ProvisionedThroughputExceededException'), timeout: 3 }
  ]
  await Promise.all(cases.map(async ({ title, fault, timeout }) => {
    await t.test(`${title}: is noticed by nobody, and every act has happened once`, { buffered: true }, async t => {
      const stage = await setStage(t, engine, { session: { timeout, batchReads: false }, routes: addActs })
      const before = (await stage.items()).length
      const trials = await tryActs(stage, { fault, timeout, times: 1 })
      const { read, save, update, touch, destroy, create, enter, leave } = trials
      for (const [act, { response, rule, isLate }] of Object.entries(trials)) {
        t.same([response.statusCode, rule.met, isLate], [200, 1, false], act)
      }
      t.same(stage.log.warnings(), [])
      t.match(read.response.json(), { data: { count: 1 } })
      t.same(update.response.json(), { count: 2 })
      t.same(await stored(stage, save), { count: 2, version: 2 })
      t.same(await stored(stage, update), { count: 2, version: 2 })
      t.equal((await stage.item(touch.key))?.['seen']?.N, String(stage.clock.seconds))
      t.equal(await stored(stage, destroy), undefined)
      t.same(destroy.visitor.cookieNames(), [])
      t.match((await create.visitor.get('/me')).json(), { data: { 'any:mark': 'create' } })
      t.match((await enter.visitor.get('/me')).json(), { data: { 'any:mark': 'enter' } })
      t.match((await leave.visitor.get('/me')).json(), { data: { 'any:mark': 'leave' } })
      t.equal((await stage.items()).length - before, 9, 'seven, less one, a new one, and two that replaced others')
    })
  }))
})

/** An application whose client was made by a user: without limits, or with odd ones. */
async function setForeignStage (t: Test, timeout: number, config: DynamoDBClientConfig = {}) {
  const proxy = await FaultProxy.start(engine)
  const client = new DynamoDBClient({ ...clientConfig(proxy.endpoint), ...config })
  // Each visitor's calls are counted, and told apart by their key.
  const stage = await setStage(t, engine, { session: { client, timeout, batchReads: false }, routes: addActs })
  t.teardown(async () => {
    client.destroy()
    await proxy.close()
  })
  return { ...stage, proxy, client }
}

/** The answer, and whether it came later than it may. */
async function timed (timeout: number, act: Promise<LightMyRequestResponse>, margin = MARGIN) {
  return await timedWithin(timeout * 1000 + margin, act)
}

await t.test('the time limit holds for a client that has none', async t => {
  // What is done here is to wait.
  t.jobs = 3
  const silences = [['nothing comes', faults.hang], ['an answer stops in its middle', faults.stall]] as const
  const cases = silences.flatMap(([title, fault]) => (['without limits', 'deaf to signals'] as const).map(kind => ({ kind, title, fault })))
  await Promise.all(cases.map(async ({ kind, title, fault }) => {
    await t.test(`${kind}, where ${title}`, { buffered: true }, async t => {
      const { proxy, client, visitor } = await setForeignStage(t, SHORT)
      const [ann, bob] = [visitor(), visitor()]
      for (const each of [ann, bob]) await each.post('/set', { count: 1 })
      const send = client.send.bind(client) as (command: unknown) => Promise<unknown>
      if (kind === 'deaf to signals') client.send = async (command: unknown) => await send(command)
      const rules = [
        proxy.meet({ action: 'GetItem', times: Infinity, when: ({ Key }) => Key.id.S === hash(ann.cookie('__Host-id') ?? '') }, fault),
        proxy.meet({ action: 'UpdateItem', times: Infinity }, fault),
        proxy.meet({ action: 'PutItem', times: Infinity }, fault)
      ]
      const trials = await Promise.all([ann.get('/me'), bob.post('/set', { count: 2 }), visitor().post('/set', { count: 3 })]
        .map(async act => await timed(SHORT, act)))
      for (const { response, isLate } of trials) {
        assertUnavailable(t, response)
        t.notOk(isLate, 'in time')
      }
      t.same(rules.map(rule => rule.met), [1, 1, 1])
      for (const rule of rules) rule.remove()
      t.match((await ann.get('/me')).json(), { data: { count: 1 } })
    })
  }))
})

/** Visitors who are signed in, one after the other. */
async function signIn ({ visitor }: Pick<Stage, 'visitor'>, count: number): Promise<Visitor[]> {
  const visitors = Array.from({ length: count }, () => visitor())
  for (const each of visitors) await each.post('/set', { count: 1 })
  return visitors
}

await t.test('sixty calls over one socket, on which nothing comes: the time in the queue counts', async t => {
  const stage = await setForeignStage(t, SHORT, { requestHandler: { httpAgent: { maxSockets: 1 } } })
  const { proxy, log } = stage
  const visitors = await signIn(stage, 60)
  const rule = proxy.meet({ action: 'GetItem', times: Infinity }, faults.hang)
  // Sixty failures at once take their time to be written, which is still less than one more limit.
  const trials = await Promise.all(visitors.map(async each => await timed(SHORT, each.get('/me'), SHORT * 800)))
  t.same(trials.map(({ response, isLate }) => [response.statusCode, isLate, setCookies(response)]), trials.map(() => [503, false, []]))
  t.ok(rule.met < 60, 'most of them were never sent')
  t.equal(log.lines.filter(({ err }) => /TimeoutError/.test(err?.stack)).length, 60)
  rule.remove()
  for (const each of visitors.slice(-3)) t.match((await each.get('/me')).json(), { data: { count: 1 } }, 'and the socket is free again')
})

await t.test('more calls than sockets are only slower', async t => {
  const stage = await setStage(t, engine, { session: { timeout: 20, batchReads: false } })
  const visitors = await signIn(stage, 60)
  stage.proxy.take()
  // Batches would not need them. As many as the SDK has sockets stand still until the others are waiting.
  const gates = Array.from({ length: 50 }, () => stage.proxy.gate('GetItem'))
  const answers = visitors.map(async each => (await each.get('/me')).json().data)
  await Promise.all(gates.map(async gate => await gate.reached))
  for (const gate of gates) gate.release()
  t.same(await Promise.all(answers), visitors.map(() => ({ count: 1 })))
  t.equal(stage.proxy.take().length, 60, 'each was sent once')
})

await t.test('a write that is refused late, and the read that decides about it, have one limit', async t => {
  t.jobs = 2
  const cases = {
    // Its attempts have limits of their own: one is given up, the next is slow.
    'made here': [faults.hang, faults.delay(SHORT * 250)],
    'handed in': [faults.delay(SHORT * 600)]
  }
  await Promise.all(Object.entries(cases).map(async ([kind, late]) => {
    await t.test(`with a client that is ${kind}`, { buffered: true }, async t => {
      const { proxy, visitor } = kind === 'made here'
        ? await setStage(t, engine, { session: { timeout: SHORT }, routes: addActs })
        : await setForeignStage(t, SHORT)
      const ann = visitor()
      await ann.post('/set', { count: 1 })
      for (const fault of late) proxy.meet('UpdateItem', fault)
      const rule = proxy.meet({ action: 'GetItem', when: ({ ConsistentRead }) => ConsistentRead === true, times: Infinity }, faults.hang)
      const { response, isLate } = await timed(SHORT, ann.post('/vanish'))
      assertUnavailable(t, response)
      t.notOk(isLate, 'in time')
      t.ok(rule.met > 0, 'the read was under way')
    })
  }))
})

await t.test('a service that cannot be found or refuses connections is a 503 with its name in the log', async t => {
  const lookup: LookupFunction = (name, _options, done) => { done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }), '', 4) }
  const ways = [
    ['ECONNREFUSED', clientConfig('http://127.0.0.1:1')],
    ['ENOTFOUND', { ...clientConfig('http://dynamodb.example'), requestHandler: { httpAgent: new Agent({ lookup }) } }]
  ] as const
  for (const [name, client] of ways) {
    const { visitor, log } = await setStage(t, engine, { session: { client } })
    const ann = visitor()
    ann.plant('__Host-id', Buffer.alloc(32, 7).toString('base64url'))
    const cookie = ann.cookieHeader()
    for (const act of [ann.get('/me'), visitor().post('/set', { count: 1 })]) {
      const { response, isLate } = await timed(SHORT, act)
      assertUnavailable(t, response)
      t.notOk(isLate, `${name}: no waiting where there is nothing to wait for`)
    }
    t.equal(ann.cookieHeader(), cookie)
    t.same(log.lines.filter(({ err }) => String(err?.stack).includes(name)).length, 2)
    t.equal((await ann.get('/off')).body, 'off')
  }
})

await t.test('an answer in which a value was damaged is never taken for the value', async t => {
  const { proxy, visitor } = await setStage(t, engine)
  const ann = visitor()
  await ann.post('/set', { userId: 'u-42', cart: ['pear'] })
  const rule = proxy.meet({ action: 'GetItem', times: Infinity }, faults.bitflip('u-42', 'u-43'))
  assertUnavailable(t, await ann.get('/me'))
  assertUnavailable(t, await ann.post('/set', { count: 1 }))
  rule.remove()
  proxy.meet('GetItem', faults.bitflip('pear', 'bear'))
  t.match((await ann.get('/me')).json(), { data: { userId: 'u-42', cart: ['pear'] }, version: 1 }, 'and the right one is fetched')
})

await t.test('credentials that have expired log nobody out, and are no matter for repetitions', async t => {
  const { proxy, visitor, log } = await setStage(t, engine)
  const ann = visitor()
  await ann.post('/set', { count: 1 })
  const rule = proxy.meet({ action: '*', times: Infinity }, faults.error('ExpiredTokenException', { message: AWS_TEXT }))
  for (let visit = 0; visit < 3; visit++) assertUnavailable(t, await ann.get('/me'))
  t.equal(rule.met, 3, 'each is sent once')
  rule.remove()
  t.match((await ann.get('/me')).json(), { data: { count: 1 } })
  t.equal(log.lines.filter(({ err }) => /ExpiredTokenException/.test(err?.stack)).length, 3)
})

await t.test('a value in the table that cannot be read is a typed error, and stays as it is with its session', async t => {
  const { proxy, visitor, item, put, log } = await setStage(t, engine, { routes: addCorruptActs })
  for (const damaged of [{ S: '{"half' }, { S: '' }, { N: '5' }, { M: {} }]) {
    const ann = visitor()
    await ann.post('/set', { count: 1, userId: 'u-42' })
    const key = hash(ann.cookie('__Host-id') ?? '')
    const before = await item(key)
    await put({ ...before, data: { M: { ...before?.['data']?.M, userId: damaged } } })
    const corrupt = await item(key)
    proxy.take()
    log.lines.length = 0

    for (const url of ['/me', '/get/userId']) {
      const response = await ann.get(url)
      t.same([response.statusCode, response.json().code, setCookies(response)], [500, 'FST_DYNAMODB_SESSION_UNREADABLE', []])
      t.notMatch(response.body, /half/, 'nothing of the value is told')
    }
    t.notMatch(JSON.stringify(log.lines), /half/)
    t.same((await ann.get('/get/count')).json(), { value: 1 }, 'what is whole is served')
    t.same((await ann.get('/keys')).json().sort(), ['count', 'userId'])
    t.same(proxy.take(), Array.from({ length: 4 }, () => 'GetItem'), 'nothing was written')
    t.same(await item(key), corrupt)

    t.same(setCookieNames(await ann.post('/set', { count: 2 })), ['__Host-id-v'])
    t.same((await item(key))?.['data']?.M, { count: { S: '2' }, userId: damaged }, 'a save leaves it alone')
    t.equal((await ann.post('/set', { userId: 'u-43' })).statusCode, 200)
    t.match((await ann.get('/me')).json(), { data: { count: 2, userId: 'u-43' } }, 'and another value puts it right')
  }
})

await t.test('a format in the table that is not configured here is a typed error too', async t => {
  const { visitor, item, put } = await setStage(t, engine, { routes: addCorruptActs })
  const ann = visitor()
  await ann.post('/set', { count: 1 })
  const key = hash(ann.cookie('__Host-id') ?? '')
  await put({ ...await item(key), fmt: { S: 'other' } })
  const corrupt = await item(key)
  for (const act of [ann.get('/me'), ann.post('/set', { count: 2 })]) {
    const response = await act
    t.same([response.statusCode, response.json().code, setCookies(response)], [500, 'FST_DYNAMODB_SESSION_UNREADABLE', []])
  }
  t.same(await item(key), corrupt)
  t.same((await ann.post('/logout')).statusCode, 200, 'it can be ended')
  t.equal(await item(key), undefined)
})

const ERROR = faults.error('AccessDeniedException', { message: AWS_TEXT })
const UNREAD = 'A session cannot be read, so its request goes on without'

await t.test("readFailure: 'error' and 'anonymous'", async t => {
  for (const readFailure of ['error', 'anonymous'] as const) {
    for (const [title, fault] of [['refused', ERROR], ['damaged for good', faults.badCrc], ['empty', faults.empty200]] as const) {
      await t.test(`${readFailure}: a read that is ${title}, as handler, visitor, caches and log see it`, async t => {
        const { proxy, visitor, log, item } = await setStage(t, engine, { session: { readFailure }, routes: addReadActs })
        const ann = visitor()
        await ann.post('/set', { count: 1 })
        const cookie = ann.cookieHeader()
        const key = hash(ann.cookie('__Host-id') ?? '')
        const before = await item(key)
        proxy.take()
        log.lines.length = 0
        const rule = proxy.meet({ action: 'GetItem', times: Infinity }, fault)

        const used = await ann.get('/page', { headers: { 'sec-fetch-mode': 'navigate', cookie } })
        const unused = await ann.get('/nothing')
        if (readFailure === 'error') {
          for (const response of [used, unused]) {
            assertUnavailable(t, response)
            t.match(response.headers, { vary: 'Cookie', 'cache-control': undefined, etag: undefined })
          }
          t.same(log.warnings(), [UNAVAILABLE.message, UNAVAILABLE.message])
        } else {
          t.same([used.statusCode, used.json(), setCookies(used)], [200, { count: null, isNew: true }, []])
          t.match(used.headers, { vary: 'Cookie', 'cache-control': 'no-store', 'retry-after': undefined }, 'not to be kept for anybody')
          t.same([unused.statusCode, unused.body, setCookies(unused)], [200, 'nothing', []])
          t.match(unused.headers, { vary: 'Cookie', 'cache-control': undefined }, 'where the session was not looked at, caches may')
          t.same(log.warnings(), [UNREAD, UNREAD])
          t.same(log.lines.filter(({ msg }) => msg === UNREAD).map(({ loggableId }) => loggableId), [key, key])
        }
        t.equal(log.lines.filter(({ err }) => /AccessDenied|ChecksumError|without consumed capacity/.test(err?.stack)).length, 2, 'with the cause')
        t.notMatch(JSON.stringify(log.lines), ann.cookie('__Host-id') ?? '')
        t.equal(ann.cookieHeader(), cookie)

        const sent = rule.met
        for (const url of ['/off', '/page']) {
          const response = url === '/off' ? await ann.get(url) : await visitor().get(url)
          t.same([response.statusCode, setCookies(response)], [200, []], 'who needs no session notices nothing')
        }
        t.equal(rule.met, sent, 'and costs nothing')
        rule.remove()
        t.match((await ann.get('/page')).json(), { count: 1, isNew: false }, 'signed in again with the next request')
        t.same(await item(key), before)
      })
    }
  }

  for (const readFailure of ['error', 'anonymous'] as const) {
    await t.test(`${readFailure}: with secrets, a forged token costs nothing and changes nothing while the service is down`, async t => {
      const { proxy, visitor, log } = await setStage(t, engine, { session: { readFailure, secrets: SECRET, timeout: SHORT } })
      const rule = proxy.meet({ action: '*', times: Infinity }, faults.hang)
      const forger = visitor()
      forger.plant('__Host-id', `${Buffer.alloc(32, 7).toString('base64url')}.${'A'.repeat(43)}`)
      for (const url of ['/me', '/nothing', '/off']) {
        const response = await forger.get(url)
        t.same([response.statusCode, setCookies(response)], [200, []])
      }
      t.same((await forger.get('/me')).json(), { data: {} })
      t.same([rule.met, log.warnings()], [0, []])
    })
  }
})

/** Everything that changes a session, or asks for a change. */
const CHANGES: Record<string, (session: Session) => unknown> = {
  set: session => session.set('count', 2),
  'set to undefined': session => session.set('count', undefined),
  delete: session => session.delete('count'),
  take: session => session.take('count'),
  clear: session => session.clear(),
  'a property': session => { session.count = 2 },
  'a deleted property': session => delete session.count,
  'a defined property': session => Object.defineProperty(session, 'count', { value: 2 }),
  idleTimeout: session => { session.idleTimeout = 60 },
  absoluteTimeout: session => { session.absoluteTimeout = 60 },
  options: session => session.options({ maxAge: 60 }),
  update: async session => await session.update('count', () => 2),
  save: async session => await session.save(),
  regenerate: async session => await session.regenerate(),
  'regenerate that keeps': async session => await session.regenerate(true),
  destroy: async session => await session.destroy(),
  reload: async session => await session.reload()
}

await t.test('a session that could not be read seems blank, and refuses every change', async t => {
  let look: (session: Session) => unknown = () => undefined
  const { proxy, visitor, item, log } = await setStage(t, engine, {
    session: { readFailure: 'anonymous' },
    routes: app => {
      addRoutes(app)
      app.post('/look', async request => ({ seen: await look(request.session) }))
    }
  })
  const ann = visitor()
  await ann.post('/set', { count: 1 })
  const cookie = ann.cookieHeader()
  const key = hash(ann.cookie('__Host-id') ?? '')
  const before = await item(key)
  const rule = proxy.meet({ action: 'GetItem', times: Infinity }, ERROR)
  proxy.take()
  log.lines.length = 0

  for (const [name, change] of Object.entries(CHANGES)) {
    look = change
    const response = await ann.post('/look')
    assertUnavailable(t, response, name)
    t.same(proxy.take(), ['GetItem'], `${name}: the one read, and no call more`)
    look = async session => {
      try {
        return await change(session)
      } catch (error) {
        return (error as { code?: string }).code
      }
    }
    const caught = await ann.post('/look')
    t.same([caught.statusCode, caught.json(), setCookies(caught)], [200, { seen: UNAVAILABLE.code }, []], `${name}: may be caught, and changes nothing`)
    t.same(proxy.take(), ['GetItem'])
  }

  look = session => {
    session.touch()
    return [
      session.get('count'), session.has('count'), session.keys(), session.data(), Object.keys(session), session.count, 'count' in session,
      session.id, session.loggableId, session.token, session.isNew, session.isChanged,
      session.createdAt, session.lastSeenAt, session.expiresAt, session.version,
      session.idleTimeout, session.absoluteTimeout, JSON.stringify(session)
    ].map(value => value ?? 'undefined')
  }
  const none = 'undefined'
  const response = await ann.post('/look')
  t.same(response.json().seen, [none, false, [], {}, [], none, false, none, none, none, true, false, none, none, none, none, 7200, 43200, '{"keys":[]}'])
  t.same([response.statusCode, setCookies(response)], [200, []])
  t.same(proxy.take(), ['GetItem'])
  t.same(log.warnings().filter(line => ![UNREAD, UNAVAILABLE.message].includes(line)), [], 'nothing is told as lost')

  rule.remove()
  t.equal(ann.cookieHeader(), cookie)
  t.same(await item(key), before)
  t.match((await ann.get('/me')).json(), { data: { count: 1 }, version: 1 })
})
