import t, { type Test } from 'tap'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { DynamoSessionOptions } from '../../types/options.js'
import { addRoutes, setStage, type Stage } from '../support/app.js'
import { startDynalite, type Engine } from '../support/engines.js'
import { faults } from '../support/proxy.js'
import { setCookies, Visitor } from '../support/visitor.js'

const HOUR = 3600
const DAY = 24 * HOUR

/** Two instances of one application on one table, the second with a clock that is ahead. */
interface Pair {
  readonly behind: Stage
  readonly ahead: Stage
  readonly start: number
  readonly visitor: Visitor
  /** Moves both clocks. */
  pass (seconds: number): void
  /** A request of the visitor to either instance. */
  ask (stage: Stage, url: string, options?: InjectOptions): Promise<LightMyRequestResponse>
  /** The one session of the table that is not replaced, with its instants relative to the start. */
  stored (): Promise<{ created: number, seen: number, expires: number, version: number }>
}

interface PairOptions {
  readonly seconds?: number
  readonly session?: Partial<DynamoSessionOptions>
  readonly aheadSession?: Partial<DynamoSessionOptions>
}

/** Lets a handler go on that waits. */
const doors = new Map<string, () => void>()

function routes (app: FastifyInstance): void {
  addRoutes(app)
  app.post('/touch', async ({ session }) => { session.touch() })
  app.post('/new-id', async ({ session }) => { await session.regenerate(true) })
  app.post('/count', async ({ session }) => ({ count: await session.update('count', (count = 0) => count + 1) }))
  app.post('/idle', async ({ session, body }) => { session.idleTimeout = Number(body) })
  app.post('/remember', async ({ session }) => {
    session.options({ maxAge: 1000 })
    session.set('userId', 'u-1')
  })
  app.post('/slow', async ({ session }) => {
    await new Promise<void>(resolve => { doors.set('slow', resolve) })
    session.set('any:slow', true)
  })
}

async function setPair (t: Test, { seconds = 5, session = {}, aheadSession = {} }: PairOptions = {}): Promise<Pair> {
  const engine = await engineOf()
  const behind = await setStage(t, engine, { session, routes })
  const ahead = await setStage(t, engine, { session: { ...session, ...aheadSession, table: behind.table }, routes })
  const start = behind.clock.seconds
  ahead.clock.forward(seconds)
  const visitor = behind.visitor()
  return {
    behind,
    ahead,
    start,
    visitor,
    pass: seconds => { for (const { clock } of [behind, ahead]) clock.forward(seconds) },
    ask: async (stage, url, options = {}) => {
      const response = await visitor.send({ method: url === '/me' ? 'GET' : 'POST', url, ...options }, stage.app)
      visitor.receive(response)
      return response
    },
    stored: async () => {
      const [item, ...others] = (await behind.items()).filter(item => item['next'] === undefined)
      if (item === undefined || others.length > 0) throw new Error(`${others.length + (item === undefined ? 0 : 1)} sessions are stored`)
      const relative = (name: string): number => Number(item[name]?.N) - start
      return { created: relative('created'), seen: relative('seen'), expires: relative('expires'), version: Number(item['ver']?.N) }
    }
  }
}

let engine: Promise<Engine> | undefined

async function engineOf (): Promise<Engine> {
  engine ??= startDynalite()
  return await engine
}

t.teardown(async () => { await (await engine)?.close() })

const set = (payload: object): InjectOptions => ({ payload })
const dataOf = (response: LightMyRequestResponse): object => (response.json() as { data: object }).data
const tokenCookies = (response: LightMyRequestResponse): string[] => setCookies(response).filter(text => text.startsWith('__Host-id='))
const lifeOf = (cookie = ''): number => Number(/Max-Age=(-?\d+)/.exec(cookie)?.[1])

t.test('a session of the instance ahead is used by the one behind, and the other way round', async t => {
  const { behind, ahead, ask, stored } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(ahead, '/set', set({ userId: 'u-1' }))
  t.same(await stored(), { created: 5, seen: 5, expires: 105, version: 1 })
  behind.proxy.take()
  t.same(dataOf(await ask(behind, '/me')), { userId: 'u-1' }, 'which was created five seconds from now')
  t.same(behind.proxy.take(), ['GetItem'], 'by one read, as ever')
  await ask(behind, '/set', set({ cart: ['pear'] }))
  t.same(await stored(), { created: 5, seen: 5, expires: 105, version: 2 }, 'a save by the earlier clock moves no instant')
  t.same(dataOf(await ask(ahead, '/me')), { userId: 'u-1', cart: ['pear'] })
})

t.test('no jump of a clock shortens a session, sets its last activity back or lets it outlive its absolute timeout', async t => {
  const { behind, ahead, pass, ask, stored } = await setPair(t, { session: { idleTimeout: 2 * HOUR, absoluteTimeout: 5 * HOUR, reissueTime: 0 } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  let before = await stored()
  const ends = new Set<number>()
  // An hour forward and back, a day back and forward again, in between the pace of every day.
  for (const seconds of [1, HOUR, 1, -HOUR, 1, -DAY, 60, DAY, 1, HOUR, HOUR, -7, HOUR, HOUR / 2]) {
    pass(seconds)
    for (const [stage, url, options] of [
      [behind, '/me'], [ahead, '/me'], [behind, '/touch'],
      [ahead, '/set', set({ cart: [String(seconds)] })], [behind, '/set', set({ cart: [`${seconds}b`] })], [behind, '/touch']
    ] as Array<[Stage, string, InjectOptions?]>) {
      const response = await ask(stage, url, options)
      t.equal(response.statusCode, 200, `${url} after ${seconds} s`)
      const now = await stored()
      const what = `${url} after ${seconds} s: from ${JSON.stringify(before)} to ${JSON.stringify(now)}`
      if (now.expires < before.expires || now.seen < before.seen) t.fail(what)
      if (now.created !== 0 || now.expires > 5 * HOUR || now.expires > now.seen + 2 * HOUR) t.fail(what)
      ends.add(now.expires)
      before = now
    }
  }
  t.ok(ends.size > 5, `it was prolonged ${ends.size - 1} times`)
  t.equal(before.expires, 5 * HOUR, 'up to its absolute end')
  t.equal(before.version, 1 + 14 * 2, 'and every save was written, once')
  pass(1.5 * HOUR)
  t.same(dataOf(await ask(behind, '/me')), {}, 'where it ended')
})

t.test('a touch that was computed by an earlier clock is refused where the one ahead was quicker', async t => {
  const { behind, ahead, pass, ask, stored } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  pass(20)
  behind.proxy.take()
  const gate = behind.proxy.gate('UpdateItem')
  const late = ask(behind, '/me')
  await gate.reached
  await ask(ahead, '/me')
  t.equal((await stored()).expires, 125)
  gate.release()
  t.equal((await late).statusCode, 200)
  t.same(behind.proxy.take(), ['GetItem', 'UpdateItem'], 'once, without a word')
  t.same(await stored(), { created: 0, seen: 25, expires: 125, version: 1 })
})

t.test('a save that was computed by an earlier clock is repeated without its instants', async t => {
  const { behind, ahead, pass, ask, stored } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  pass(20)
  behind.proxy.take()
  const gate = behind.proxy.gate('UpdateItem')
  const late = ask(behind, '/set', set({ cart: ['pear'] }))
  await gate.reached
  await ask(ahead, '/touch')
  gate.release()
  t.equal((await late).statusCode, 200)
  t.same(behind.proxy.take(), ['GetItem', 'UpdateItem', 'GetItem', 'UpdateItem'])
  t.same(await stored(), { created: 0, seen: 25, expires: 125, version: 2 })
})

t.test('only a change of the timeout shortens', async t => {
  const { behind, ahead, pass, ask, stored } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(ahead, '/set', set({ userId: 'u-1' }))
  pass(1)
  await ask(behind, '/idle', { payload: '30', headers: { 'content-type': 'text/plain' } })
  t.same(await stored(), { created: 5, seen: 5, expires: 35, version: 2 }, 'from the last activity, which is ahead')
})

t.test('an instance lets a session go to the second by its own clock, and deletes nothing', async t => {
  const { behind, ahead, pass, ask, stored } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  pass(95)
  ahead.proxy.take()
  const response = await ask(ahead, '/me')
  t.same(dataOf(response), {}, 'at 100 s by its clock')
  t.same(ahead.proxy.take(), ['GetItem', 'GetItem'], 'a strong read made sure')
  t.same(setCookies(response), [], 'and the cookie stays')
  t.same(dataOf(await ask(behind, '/me')), { userId: 'u-1' }, 'at 95 s by the other')
  t.same(await stored(), { created: 0, seen: 95, expires: 195, version: 1 }, 'which prolongs it')
  pass(99.999)
  t.same(dataOf(await ask(ahead, '/me')), {}, 'at 199.999 s')
  t.same(dataOf(await ask(behind, '/me')), { userId: 'u-1' }, 'a millisecond before its end')
})

t.test('the last millisecond counts at the end', async t => {
  const { behind, pass, ask } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  pass(100)
  t.same(dataOf(await ask(behind, '/me')), {}, 'expired now is expired')
  pass(-0.001)
  t.same(dataOf(await ask(behind, '/me')), { userId: 'u-1' })
})

t.test('a session that a wrong clock held for expired is alive when the clock goes back', async t => {
  const { behind, pass, ask, stored } = await setPair(t, { session: { idleTimeout: HOUR } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  const before = await stored()
  pass(30 * DAY)
  behind.proxy.take()
  for (const mode of ['cors', undefined]) {
    const response = await ask(behind, '/me', mode === undefined ? {} : { headers: { 'sec-fetch-mode': mode } })
    t.same([dataOf(response), setCookies(response)], [{}, []])
  }
  t.same(behind.proxy.take(), ['GetItem', 'GetItem', 'GetItem', 'GetItem'], 'nothing was written and nothing deleted')
  pass(-30 * DAY)
  t.same(dataOf(await ask(behind, '/me')), { userId: 'u-1' })
  t.same(await stored(), before)
})

t.test('a log-out on the instance ahead ends a session that has expired there and lives on the one behind', async t => {
  const { behind, ahead, pass, ask, visitor } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  const token = visitor.cookie('__Host-id') ?? ''
  pass(97)
  t.equal((await ask(ahead, '/logout')).statusCode, 200, 'at 102 s by its clock')
  const thief = behind.visitor()
  thief.plant('__Host-id', token)
  t.same(dataOf(await thief.get('/me')), {}, 'the token is worthless after an acknowledged log-out')
})

t.test('a machine that resumes in mid-request writes nothing to the session that expired meanwhile', async t => {
  const { behind, pass, ask, stored } = await setPair(t)
  await ask(behind, '/set', set({ userId: 'u-1' }))
  const before = await stored()
  behind.proxy.take()
  const slow = ask(behind, '/slow')
  while (!doors.has('slow')) await new Promise(resolve => setImmediate(resolve))
  pass(3 * HOUR)
  doors.get('slow')?.()
  doors.delete('slow')
  const response = await slow
  t.same([response.statusCode, setCookies(response)], [200, []])
  t.same(behind.proxy.take(), ['GetItem', 'UpdateItem', 'GetItem'], 'the table refused')
  t.same(behind.log.warnings().slice(-1), ['Changes were dropped, because their session has ended meanwhile'])
  t.same(await stored(), before)
  pass(-3 * HOUR)
  t.same(dataOf(await ask(behind, '/me')), { userId: 'u-1' }, 'and it is as it was when the clock is set right')
})

t.test('a clock that goes back in mid-request loses nothing', async t => {
  const { behind, pass, ask, stored } = await setPair(t)
  await ask(behind, '/set', set({ userId: 'u-1' }))
  const before = await stored()
  const slow = ask(behind, '/slow')
  while (!doors.has('slow')) await new Promise(resolve => setImmediate(resolve))
  pass(-DAY)
  doors.get('slow')?.()
  doors.delete('slow')
  t.equal((await slow).statusCode, 200)
  t.same(await stored(), { ...before, version: 2 })
})

for (const seconds of [30, -30]) {
  t.test(`a write whose answer was lost counts once, though the other instance is ${seconds} s away`, async t => {
    const { behind: here, ahead: there, ask, stored } = await setPair(t, { seconds })
    await ask(here, '/set', set({ userId: 'u-1' }))
    here.proxy.take()
    here.proxy.meet('UpdateItem', faults.resetAfter)
    const gate = here.proxy.gate('UpdateItem')
    const counted = ask(here, '/count')
    await gate.reached
    // The other prunes what it takes for old before the repetition arrives.
    t.equal((await ask(there, '/set', set({ cart: ['pear'] }))).statusCode, 200)
    gate.release()
    t.same((await counted).json(), { count: 1 })
    t.same(here.proxy.take(), ['GetItem', 'UpdateItem', 'UpdateItem', 'GetItem'], 'refused, and recognised')
    t.equal((await stored()).version, 3)
    t.match(dataOf(await ask(there, '/me')), { count: 1, cart: ['pear'] })
  })
}

t.test('an idle timeout that is renewed on every request is not renewed by a clock that stands still', async t => {
  const { behind, pass, ask, stored } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 0 } })
  await ask(behind, '/set', set({ userId: 'u-1' }))
  behind.proxy.take()
  for (let times = 0; times < 3; times++) await ask(behind, '/me')
  await ask(behind, '/touch')
  pass(0.5)
  await ask(behind, '/me')
  t.same(behind.proxy.take(), Array(5).fill('GetItem'), 'nor within the same second')
  pass(0.5)
  await ask(behind, '/me')
  t.same(behind.proxy.take(), ['GetItem', 'UpdateItem'])
  t.equal((await stored()).expires, 101)
})

t.test('regenerate(true) keeps the age by whatever clock', async t => {
  const { behind, ahead, pass, ask, stored } = await setPair(t, { session: { idleTimeout: false, absoluteTimeout: 1000 } })
  await ask(ahead, '/set', set({ userId: 'u-1' }))
  for (const [stage, seconds] of [[behind, 0], [ahead, 10], [behind, 500], [ahead, -DAY], [behind, DAY], [ahead, 485]] as const) {
    pass(seconds)
    t.equal((await ask(stage, '/new-id')).statusCode, 200)
    const { created, expires } = await stored()
    t.same({ created, expires }, { created: 5, expires: 1005 }, `after ${seconds} s`)
  }
  pass(5)
  t.same(dataOf(await ask(ahead, '/me')), {}, 'ended at 1005 s by its clock')
})

t.test('regenerate(true) on the instance behind does not set the last activity back', async t => {
  const { behind, ahead, ask, stored } = await setPair(t, { session: { idleTimeout: 100, reissueTime: 10 } })
  await ask(ahead, '/set', set({ userId: 'u-1' }))
  await ask(behind, '/new-id')
  t.match(await stored(), { created: 5, seen: 5, expires: 105 })
})

t.test('a cookie lives for a second at least, and never longer than it was to', async t => {
  const { behind, ahead, pass, ask } = await setPair(t, { session: { idleTimeout: false, absoluteTimeout: false } })
  let [cookie = ''] = tokenCookies(await ask(ahead, '/remember'))
  t.equal(lifeOf(cookie), 1000)
  for (const [stage, seconds, most, least] of [[ahead, 100, 900, 900], [behind, 0, 905, 900], [ahead, 899, 1, 1], [ahead, 50, 1, 1]] as const) {
    pass(seconds)
    // Also from a browser that keeps it too long.
    cookie = tokenCookies(await ask(stage, '/new-id', { headers: { cookie: cookie.slice(0, cookie.indexOf(';')) } }))[0] ?? ''
    const life = lifeOf(cookie)
    t.ok(life >= least && life <= most, `${life} s, of ${least} to ${most}`)
  }
})

t.test('a cookie of a session that is yet to be created by the clock of the instance lives no longer either', async t => {
  const { behind, ahead, pass, ask } = await setPair(t, { session: { idleTimeout: false, absoluteTimeout: false } })
  await ask(ahead, '/remember')
  t.ok(lifeOf(tokenCookies(await ask(behind, '/new-id'))[0]) <= 1000, 'on the instance behind')
  pass(-DAY)
  t.ok(lifeOf(tokenCookies(await ask(behind, '/new-id'))[0]) <= 1000, 'by a clock that went back a day')
})

t.test('each of two instances lets a session go by its own absolute timeout, and neither shortens it for the other', async t => {
  const { behind: long, ahead: short, pass, ask, stored } = await setPair(t, {
    seconds: 0, session: { idleTimeout: 80, reissueTime: 0, absoluteTimeout: 200 }, aheadSession: { absoluteTimeout: 100 }
  })
  await ask(long, '/set', set({ userId: 'u-1' }))
  pass(60)
  await ask(long, '/me')
  t.equal((await stored()).expires, 140)
  for (const [url, options] of [['/me'], ['/touch'], ['/set', set({ cart: ['pear'] })]] as Array<[string, InjectOptions?]>) {
    t.equal((await ask(short, url, options)).statusCode, 200)
    t.equal((await stored()).expires, 140, `after ${url} where the timeout is tighter`)
  }
  pass(40)
  t.same(dataOf(await ask(short, '/me')), {}, 'at the end of the tighter one')
  t.same(dataOf(await ask(long, '/me')), { userId: 'u-1', cart: ['pear'] })
  t.equal((await stored()).expires, 180)
  pass(79)
  await ask(long, '/me')
  t.equal((await stored()).expires, 200, 'no further than the wider one')
  pass(21)
  t.same(dataOf(await ask(long, '/me')), {})
})

t.test('an instance with a tighter idle timeout renews its own, and does not shorten the wider one', async t => {
  const { behind: wide, ahead: tight, pass, ask, stored } = await setPair(t, {
    seconds: 0, session: { idleTimeout: 80, reissueTime: 0 }, aheadSession: { idleTimeout: 40 }
  })
  await ask(wide, '/set', set({ userId: 'u-1' }))
  pass(10)
  await ask(tight, '/me')
  t.same(await stored(), { created: 0, seen: 10, expires: 80, version: 1 })
  pass(35)
  t.same(dataOf(await ask(tight, '/me')), { userId: 'u-1' }, '45 s after its creation, 35 s after it was seen')
  pass(40)
  t.same(dataOf(await ask(tight, '/me')), {})
  pass(-40)
  t.equal((await stored()).expires, 85)
})
