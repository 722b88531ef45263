import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import t, { type Test } from 'tap'
import dynamoSession, { type OpenReport, type SessionReader } from '../../index.js'
import * as journal from '../../lib/journal.js'
import { resolveOptions } from '../../lib/options.js'
import { hearsDebug, type Log } from '../../lib/report.js'
import { SessionState } from '../../lib/session.js'
import { memoryRepository, signIn } from '../../testing/index.js'
import { addRoutes, setStage, type LogLines, type Stage, type StageOptions } from '../support/app.js'
import { startDynalite, type Engine } from '../support/engines.js'
import { faults } from '../support/proxy.js'
import { Visitor } from '../support/visitor.js'
import '../support/session-data.js'

const SECRETS = 'a secret of thirty-two characters.'

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

/** Members that each line of Fastify's logger has. */
const OF_EACH_LINE = ['level', 'time', 'pid', 'hostname', 'reqId', 'msg']

/** The lines of sessions since the last look: their own fields. */
function take ({ lines }: LogLines): Array<Record<string, any>> {
  return lines.splice(0).filter(({ event }) => event !== undefined)
    .map(line => Object.fromEntries(Object.entries(line).filter(([name]) => !OF_EACH_LINE.includes(name))))
}

async function setWatched (t: Test, options: StageOptions = {}): Promise<Stage & { readonly opened: OpenReport[] }> {
  const stage = await setStage(t, engine, {
    ...options,
    routes: async app => {
      addRoutes(app)
      app.post('/update', async ({ session, body }) => ({ count: await session.update('count', () => (body as { count: number }).count) }))
      app.post('/save-within', async ({ session }) => {
        await session.update('count', async count => {
          session.set('any:x', 1)
          await session.save()
          return count
        })
        return {}
      })
      app.post('/save', async ({ session }) => {
        session.set('count', 7)
        await session.save()
        return {}
      })
      app.post('/touch', async ({ session }) => {
        session.touch()
        return {}
      })
      app.post('/bind', async ({ session }) => {
        await session.regenerate()
        session.bind('ann')
        return {}
      })
      await options.routes?.(app)
    }
  })
  const opened: OpenReport[] = []
  const hear = (message: unknown): void => { opened.push(message as OpenReport) }
  subscribe('fastify-dynamodb-session:open', hear)
  t.teardown(() => unsubscribe('fastify-dynamodb-session:open', hear))
  take(stage.log)
  return { ...stage, opened }
}

const idOf = async (stage: Stage): Promise<string> => String((await stage.items())[0]?.['id']?.S)

const KEY = 'k'.repeat(43)

// The first of all, because what listens to channels once goes on listening.
t.test('where nobody hears debug lines, a request asks for that once, and nothing is made', async t => {
  let [asked, made] = [0, 0]
  const log: Log = {
    warn: () => {},
    debug: () => { made += 1 },
    isLevelEnabled: () => {
      asked += 1
      return false
    }
  }
  const state = new SessionState(resolveOptions({ table: 'sessions' }))
  const once = (): void => {
    journal.noteOpening(log, 'found', 'cookie', KEY)
    journal.noteCreation(log, KEY)
    journal.noteSave(log, KEY, 1)
    journal.noteRenewal(log, KEY, 1, 'table')
    journal.noteRegeneration(log, KEY, KEY)
    journal.noteDestruction(log, KEY)
    journal.noteRevocation(log, KEY)
  }
  once()
  t.equal(asked, 7, 'one question for each event')
  const rounds = 20_000
  const grown = Array.from({ length: 12 }, () => {
    const before = process.memoryUsage().heapUsed
    for (let round = 0; round < rounds; round++) once()
    return process.memoryUsage().heapUsed - before
  })
  // An object of one line would be some 50 bytes, and 140,000 of them 7 MB.
  t.ok(Math.min(...grown.map(Math.abs)) < rounds, `${grown.join(', ')} bytes for ${rounds * 7} events each`)
  await t.rejects(journal.noteRefusals(log, state, Promise.reject(new Error('other'))), new Error('other'))

  const app = Fastify({ loggerInstance: Object.assign(plainLogger('info', []), log) as FastifyBaseLogger, disableRequestLogging: true })
  t.teardown(async () => { await app.close() })
  await app.register(dynamoSession, { table: 'sessions', client: memoryRepository() })
  app.get('/', async ({ session }) => session.data())
  const headers = await signIn(app, { count: 1 })
  asked = 0
  await app.inject({ url: '/', headers })
  t.equal(asked, 1, 'a read asks once')
  asked = 0
  await app.inject({ url: '/' })
  t.equal(asked, 0, 'and one without a token never')
  t.equal(made, 0, 'no line was made')
})

t.test('a logger that throws at debug lines fails no request and loses no session', async t => {
  const fail = (): never => { throw new Error('a full disk') }
  for (const broken of [{ debug: fail }, { debug: () => {}, isLevelEnabled: fail }]) {
    const app = Fastify({ loggerInstance: Object.assign(plainLogger(undefined, []), broken) as FastifyBaseLogger, disableRequestLogging: true })
    t.teardown(async () => { await app.close() })
    const repository = memoryRepository()
    await app.register(dynamoSession, { table: 'sessions', client: repository, readFailure: 'anonymous', cookie: { name: 'id', secure: false } })
    addRoutes(app)
    const visitor = new Visitor(app)
    const visit = async (url: string): Promise<number> => (await visitor.post(url, { count: 1 })).statusCode
    t.same([await visit('/set'), await visit('/login'), await visit('/set')], [200, 200, 200])
    t.same((await visitor.get('/me')).json().data, { userId: 'u-42', count: 1 })
    t.same([await visit('/logout'), visitor.cookie('id')], [200, undefined])
    t.equal((await app.inject({ url: '/me', headers: { cookie: 'id=forged' } })).statusCode, 200)
  }
})

t.test('a visit is told line by line, with the loggable id, the same fields for the same event, and nothing without a token', async t => {
  const stage = await setWatched(t)
  const { log, clock } = stage
  const visitor = stage.visitor()
  await visitor.get('/me')
  t.same(take(log), [], 'nobody has a token yet')
  await visitor.post('/set', { count: 1 })
  const first = await idOf(stage)
  t.strictSame(take(log), [{ event: 'created', loggableId: first }])
  await visitor.get('/me')
  const found = { event: 'opened', loggableId: first, outcome: 'found', way: 'cookie' }
  t.strictSame(take(log), [found], 'a read is one line')
  await visitor.post('/set', { count: 2 })
  t.strictSame(take(log), [found, { event: 'saved', loggableId: first, version: 2 }])
  await visitor.post('/save')
  t.strictSame(take(log), [found, { event: 'saved', loggableId: first, version: 3 }], 'save() too, and once')
  await visitor.post('/update', { count: 8 })
  t.strictSame(take(log), [found, { event: 'saved', loggableId: first, version: 4 }])
  await visitor.post('/update', { count: 8 })
  t.strictSame(take(log), [found], 'an update to the same value writes nothing')
  await visitor.post('/save-within')
  t.strictSame(take(log), [found, { event: 'saved', loggableId: first, version: 5 }], 'nor is it told of what was saved meanwhile')
  clock.forward(1000)
  await visitor.get('/me')
  t.strictSame(take(log), [found, { event: 'renewed', loggableId: first, expiresAt: clock.seconds + 7200, by: 'table' }])
  await visitor.post('/login')
  const [second = ''] = (await stage.items()).map(({ id }) => String(id?.S)).filter(id => id !== first)
  t.strictSame(take(log), [found, { event: 'regenerated', loggableId: second, replaced: first }])
  await visitor.post('/logout')
  t.strictSame(take(log), [{ ...found, loggableId: second }, { event: 'destroyed', loggableId: second }])
  await visitor.get('/off')
  t.same(take(log), [])
})

t.test('lines are at debug level, belong to their request and have a message', async t => {
  const stage = await setWatched(t)
  await stage.visitor().post('/set', { count: 1 })
  const [line] = stage.log.lines.filter(({ event }) => event !== undefined)
  t.match(line, { level: 20, reqId: /^req-/, event: 'created', msg: 'session created' })
})

t.test('what a request found under its token is told to the log and to the channel, once, and without what is secret', async t => {
  const stage = await setWatched(t, { session: { secrets: SECRETS, header: 'session-token', cookie: { name: '__Host-id' } } })
  const { log, proxy, opened } = stage
  const visitor = stage.visitor()
  await visitor.post('/login')
  const loggableId = await idOf(stage)
  const token = String(visitor.cookie('__Host-id'))
  take(log)
  const told = async (headers: Record<string, string>): Promise<unknown> => {
    take(log)
    opened.splice(0)
    await stage.app.inject({ url: '/me', headers })
    const lines = take(log)
    t.strictSame(lines.filter(({ event }) => event === 'opened').map(({ event, ...fields }) => fields), opened, 'the log and the channel agree')
    t.notMatch(JSON.stringify(lines), token.split('.')[0])
    return opened
  }
  const cookie = `__Host-id=${encodeURIComponent(token)}`
  t.strictSame(await told({}), [])
  t.strictSame(await told({ cookie }), [{ outcome: 'found', way: 'cookie', loggableId }])
  t.strictSame(await told({ 'session-token': token }), [{ outcome: 'found', way: 'header', loggableId }])
  proxy.take()
  t.strictSame(await told({ cookie: '__Host-id=planted' }), [{ outcome: 'forged', way: 'cookie' }])
  t.strictSame(await told({ 'session-token': `${token}x` }), [{ outcome: 'forged', way: 'header' }])
  const other = stage.visitor()
  await other.post('/login')
  take(log)
  proxy.take()
  t.strictSame(await told({ cookie: `${cookie}; __Host-id=${encodeURIComponent(String(other.cookie('__Host-id')))}` }), [{ outcome: 'ambiguous', way: 'cookie' }])
  t.same(proxy.take(), [], 'none of these costs a call')
  proxy.meet('GetItem', faults.error('AccessDeniedException'))
  t.strictSame(await told({ cookie }), [{ outcome: 'failed', way: 'cookie', loggableId }])
  await visitor.post('/login')
  t.strictSame(await told({ cookie }), [{ outcome: 'replaced', way: 'cookie', loggableId }])
})

t.test('one that has expired, and one that is not there, are told apart', async t => {
  const stage = await setWatched(t)
  const visitor = stage.visitor()
  await visitor.post('/set', { count: 1 })
  const loggableId = await idOf(stage)
  stage.clock.forward(7200)
  await visitor.get('/me')
  await stage.app.sessions.revoke(loggableId)
  await visitor.get('/me')
  const stranger = stage.visitor()
  await stranger.post('/set', { count: 1 })
  const [gone = ''] = (await stage.items()).map(({ id }) => String(id?.S)).filter(id => id !== loggableId)
  await stage.app.sessions.destroy(String((await stranger.get('/me')).json().id))
  stage.opened.splice(0, stage.opened.length - 1)
  await stranger.get('/me')
  t.strictSame(stage.opened.slice(1), [{ outcome: 'missing', way: 'cookie', loggableId: gone }])
  const lines = take(stage.log)
  t.strictSame(lines.filter(line => line['loggableId'] === loggableId).map(({ event, outcome }) => [event, outcome]), [
    ['created', undefined], ['opened', 'expired'], ['revoked', undefined], ['opened', 'replaced']
  ], 'a tombstone stands in its place')
  t.strictSame(lines.at(-2), { event: 'destroyed', loggableId: gone }, 'the manager logs to the application')
})

t.test('where a request goes on without its session, its opening has failed', async t => {
  const stage = await setWatched(t, { session: { readFailure: 'anonymous' } })
  const visitor = stage.visitor()
  await visitor.post('/set', { count: 1 })
  take(stage.log)
  stage.proxy.meet('GetItem', faults.error('AccessDeniedException'))
  t.equal((await visitor.get('/nothing')).statusCode, 200)
  t.strictSame(take(stage.log), [{ event: 'opened', loggableId: await idOf(stage), outcome: 'failed', way: 'cookie' }])
})

t.test('a session that came from another store is told as moved, and one that it does not have as nothing', async t => {
  const reader: SessionReader = {
    table: 'none',
    cookieName: 'old',
    cookiePath: '/',
    keep: true,
    idOf: token => token,
    keyOf: id => ({ id: { S: id } }),
    read: () => ({ data: new Map([['count', 1]]), expiresAt: Date.UTC(2026, 1, 1) / 1000, idleTimeout: 600 })
  }
  const stage = await setStage(t, engine, { session: { importFrom: [reader] } })
  stage.proxy.intercept = (action, { TableName }) => action === 'GetItem' && TableName === 'none'
    ? { status: 200, body: { Item: { id: { S: 'x' } }, ConsumedCapacity: { CapacityUnits: 1 } } }
    : undefined
  t.equal((await stage.app.inject({ url: '/me', headers: { cookie: 'old=abc' } })).json().data.count, 1)
  const loggableId = await idOf(stage)
  t.strictSame(take(stage.log), [{ event: 'created', loggableId }, { event: 'opened', loggableId, outcome: 'moved', way: 'cookie' }])
  await stage.app.sessions.revoke(loggableId)
  take(stage.log)
  await stage.app.inject({ url: '/me', headers: { cookie: 'old=abc' } })
  t.match(take(stage.log), [{ event: 'opened', outcome: 'missing' }], 'what was moved a moment ago and has ended since is not there')
  stage.proxy.intercept = (_action, { TableName }) => TableName === 'none' ? { status: 200, body: { ConsumedCapacity: { CapacityUnits: 1 } } } : undefined
  await stage.app.inject({ url: '/me', headers: { cookie: 'old=other' } })
  t.same(take(stage.log), [], 'it brought no token of ours')
})

t.test('a save that a log-out overtook is told as gone with its reason, beside the warning; a conflict as such', async t => {
  const stage = await setWatched(t, { session: { conflict: 'reject' } })
  const { log, proxy } = stage
  const visitor = stage.visitor()
  for (const [path, status] of [['/set', 200], ['/save', 409]] as const) {
    await visitor.post('/set', { count: 1 })
    const loggableId = String((await stage.items()).find(({ data }) => data?.M?.['count'] !== undefined)?.['id']?.S)
    take(log)
    const gate = proxy.gate('UpdateItem')
    const saving = visitor.send({ method: 'POST', url: path, payload: { count: 2 } })
    await gate.reached
    await visitor.post('/logout')
    gate.release()
    t.equal((await saving).statusCode, status)
    t.strictSame(take(log).filter(({ event }) => event !== 'opened'), [
      { event: 'destroyed', loggableId }, { event: 'gone', loggableId, reason: 'missing' }
    ])
  }
  await visitor.post('/set', { count: 1 })
  const loggableId = await idOf(stage)
  take(log)
  const gate = proxy.gate('UpdateItem')
  const late = visitor.send({ method: 'POST', url: '/set', payload: { count: 2 } })
  await gate.reached
  await visitor.post('/set', { 'any:x': 1 })
  gate.release()
  t.equal((await late).statusCode, 409)
  t.strictSame(take(log).filter(({ event }) => event !== 'opened'), [{ event: 'saved', loggableId, version: 2 }, { event: 'conflict', loggableId }])
})

t.test('changes under the token of a replaced session are told as gone, of that session', async t => {
  const stage = await setWatched(t)
  const visitor = stage.visitor()
  await visitor.post('/set', { count: 1 })
  const loggableId = await idOf(stage)
  const cookie = visitor.cookieHeader()
  await visitor.post('/login')
  take(stage.log)
  await stage.app.inject({ method: 'POST', url: '/set', payload: { count: 2 }, headers: { cookie } })
  const gone = { event: 'gone', loggableId, reason: 'replaced' }
  t.strictSame(take(stage.log), [{ event: 'opened', loggableId, outcome: 'replaced', way: 'cookie' }, gone])
  t.equal((await stage.app.inject({ method: 'POST', url: '/save', headers: { cookie } })).statusCode, 409)
  t.strictSame(take(stage.log).slice(1), [gone], 'and once, also where the application asked for the save')
  const successor = String((await stage.items()).map(({ id }) => id?.S).find(id => id !== loggableId))
  const ended = (event: string): unknown => [{ event, loggableId }, { event, loggableId: successor }]
  await stage.app.inject({ method: 'POST', url: '/logout', headers: { cookie } })
  t.strictSame(take(stage.log).slice(1), ended('destroyed'), 'what has taken its place ends with it, under its own name')
  await stage.app.sessions.revoke(loggableId)
  t.strictSame(take(stage.log), ended('revoked'))
})

t.test('a session that is evicted, or revoked with all of its user, is told by the request or the job that ends it', async t => {
  const stage = await setWatched(t, { session: { userIndex: { maxSessions: 1 } } })
  const { log } = stage
  await stage.visitor().post('/bind')
  const [{ loggableId: first } = { loggableId: '' }] = await stage.app.sessions.list('ann')
  stage.clock.forward(5)
  take(log)
  await stage.visitor().post('/bind')
  const [{ loggableId: second } = { loggableId: '' }] = await stage.app.sessions.list('ann')
  t.strictSame(take(log), [{ event: 'revoked', loggableId: first }, { event: 'created', loggableId: second }])
  await stage.app.sessions.revokeAll('ann')
  t.strictSame(take(log), [{ event: 'revoked', loggableId: second }])
  t.notMatch(JSON.stringify(log.lines), '"ann"')
})

t.test('a renewal that only the browser is told of is a renewal, by the cookie', async t => {
  const stage = await setWatched(t, { session: { idleTracking: 'cookie', secrets: SECRETS } })
  const visitor = stage.visitor()
  await visitor.post('/set', { count: 1 })
  const loggableId = await idOf(stage)
  stage.clock.forward(1000)
  stage.proxy.take()
  take(stage.log)
  await visitor.get('/me')
  t.same(stage.proxy.take(), ['GetItem'])
  t.strictSame(take(stage.log)[1], { event: 'renewed', loggableId, expiresAt: stage.clock.seconds + 7200, by: 'cookie' })
})

/** A logger that takes what Fastify wants of one, and no more. */
function plainLogger (level: string | undefined, debugged: unknown[]): FastifyBaseLogger {
  const nothing = (): void => {}
  const logger = {
    ...Object.fromEntries(['fatal', 'error', 'info', 'trace', 'silent'].map(name => [name, nothing])),
    level,
    warn: () => {},
    debug: (...args: unknown[]) => { debugged.push(args) },
    child: () => logger
  }
  return logger as unknown as FastifyBaseLogger
}

t.test('any logger will do: one with isLevelEnabled() is asked, one with a level is taken at its word, others decide themselves', async t => {
  for (const [level, lines] of [['info', 0], ['silent', 0], ['debug', 2], ['trace', 2], ['verbose', 2], [undefined, 2]] as const) {
    const debugged: unknown[] = []
    const app = Fastify({ loggerInstance: plainLogger(level, debugged), disableRequestLogging: true })
    t.teardown(async () => { await app.close() })
    await app.register(dynamoSession, { table: 'sessions', client: memoryRepository() })
    app.get('/', async ({ session }) => session.data())
    const headers = await signIn(app, { count: 1 })
    await app.inject({ url: '/', headers })
    t.equal(debugged.length, lines, String(level))
  }
  const warn = (): void => {}
  t.equal(hearsDebug({ warn }), false, 'no debug at all')
  t.equal(hearsDebug({ warn, debug: warn }), false, 'it does nothing')
  t.equal(hearsDebug(Fastify().log), false, 'Fastify without a logger')
  t.equal(hearsDebug({ warn, debug: () => {}, isLevelEnabled: level => level !== 'debug' }), false)
  t.equal(hearsDebug({ warn, debug: () => {}, level: 'info', isLevelEnabled: level => level === 'debug' }), true, 'who can be asked is asked')
})
