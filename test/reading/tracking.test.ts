import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { DynamoSessionOptions } from '../../index.js'
import { addRoutes, setStage, type Stage } from '../support/app.js'
import { onOneEngine, type Engine } from '../support/engines.js'
import { makeGate } from '../support/gate.js'
import { setCookieNames, setCookies, type Visitor } from '../support/visitor.js'

const SECRET = 'a secret that is long enough to sign with'
const OLD_SECRET = 'the secret of last year, long enough to sign'
const TRACKING = { secrets: SECRET, idleTracking: 'cookie', idleTimeout: 3600, absoluteTimeout: 36_000 } as const
const READ = 'GetItem'

async function begin (
  t: Test, engine: Engine, session: Partial<DynamoSessionOptions> = {}, more: (app: FastifyInstance) => void = () => {}
): Promise<{ stage: Stage, ann: Visitor }> {
  const routes = (app: FastifyInstance): void => {
    addRoutes(app)
    more(app)
  }
  const stage = await setStage(t, engine, { session: { ...TRACKING, ...session }, routes })
  const ann = stage.visitor()
  await ann.post('/set', { count: 1 })
  stage.proxy.take()
  return { stage, ann }
}

/** Another process on the same table, by the same clock. */
async function setAnother (t: Test, engine: Engine, { table, clock }: Stage, session: Partial<DynamoSessionOptions> = {}): Promise<Stage> {
  return await setStage(t, engine, { session: { ...TRACKING, table, now: clock.now, ...session } })
}

const isIn = async (visitor: Visitor): Promise<boolean> => (await visitor.get('/me')).json().data.count !== undefined

onOneEngine(t, async (t, engine) => {
  await t.test('renewals are told to the browser and write nothing, for as long as the session lives', async t => {
    const { stage, ann } = await begin(t, engine)
    const [before] = await stage.items()
    t.equal(Number(before?.['expires']?.N), stage.clock.seconds + 36_000, 'the table has the absolute end')
    for (let minute = 30; minute <= 570; minute += 30) {
      stage.clock.forward(1800)
      const answer = await ann.get('/me')
      t.equal(answer.json().data.count, 1)
      t.same(setCookieNames(answer), ['__Host-id-v'])
      t.equal(answer.headers['cache-control'], 'no-store')
    }
    t.same(stage.proxy.take(), Array(19).fill(READ))
    t.same(await stage.items(), [before])
    stage.clock.forward(1800)
    t.equal(await isIn(ann), false, 'the absolute timeout stands')
  })

  await t.test('within the reissue time nothing is sent', async t => {
    const { stage, ann } = await begin(t, engine)
    stage.clock.forward(359)
    t.same(setCookies(await ann.get('/me')), [])
    stage.clock.forward(1)
    t.same(setCookieNames(await ann.get('/me')), ['__Host-id-v'])
    stage.clock.forward(1)
    t.same(setCookies(await ann.get('/me')), [])
    t.same(stage.proxy.take(), [READ, READ, READ])
  })

  await t.test('a session that was not used for its idle timeout is dead, though the table still has it', async t => {
    const { stage, ann } = await begin(t, engine)
    stage.clock.forward(1800)
    await ann.get('/me')
    stage.clock.forward(3599)
    t.equal(await isIn(ann), true)
    stage.clock.forward(3600)
    stage.proxy.take()
    t.equal(await isIn(ann), false)
    t.same(stage.proxy.takeCalls().map(({ input }) => input['ConsistentRead']), [false, true], 'which one strong read confirms')
    t.equal((await stage.items()).length, 1)
  })

  await t.test('whoever brings the token without its companion is judged by the last data write, and by what this process knows', async t => {
    const { stage, ann } = await begin(t, engine)
    const other = await setAnother(t, engine, stage)
    const bare = { headers: { cookie: `__Host-id=${encodeURIComponent(ann.cookie('__Host-id') ?? '')}` } }
    const isKnown = async ({ app }: Stage): Promise<boolean> => (await app.inject({ url: '/me', ...bare })).json().data.count !== undefined
    stage.clock.forward(3000)
    await ann.post('/set', { count: 2 })
    stage.clock.forward(3000)
    t.same([await isKnown(stage), await isKnown(other)], [true, true], 'a write tells the table')
    t.equal(Number((await stage.items())[0]?.['seen']?.N), stage.clock.seconds - 3000)
    await ann.get('/me')
    stage.clock.forward(3000)
    const third = await setAnother(t, engine, stage)
    t.same([await isKnown(stage), await isKnown(third)], [true, false])
    t.equal((await ann.send({ url: '/me' }, third.app)).json().data.count, 2, 'with the companion it is known everywhere')
  })

  await t.test('a late answer takes back no activity from who comes to the same process, and a minute from who comes to another', async t => {
    const { stage, ann } = await begin(t, engine)
    const other = await setAnother(t, engine, stage)
    stage.clock.forward(1800)
    const late = await ann.send({ url: '/me' })
    stage.clock.forward(60)
    ann.receive(await ann.send({ url: '/me' }))
    ann.receive(late)
    stage.clock.forward(3590)
    t.equal((await ann.send({ url: '/me' })).json().data.count, 1)
    t.same((await ann.send({ url: '/me' }, other.app)).json().data, {}, 'known by the time at which the late answer was made')
    stage.clock.forward(-60)
    t.equal((await ann.send({ url: '/me' }, other.app)).json().data.count, 1)
  })

  await t.test('a late answer to an earlier session takes no activity from the one that replaced it', async t => {
    const { stage, ann } = await begin(t, engine)
    stage.clock.forward(1800)
    const late = await ann.send({ url: '/me' })
    await ann.post('/login')
    ann.receive(late)
    t.same((await ann.get('/me')).json().data, { userId: 'u-42' })
    stage.clock.forward(3599)
    t.equal((await ann.get('/me')).json().data.userId, 'u-42')
  })

  await t.test('a companion that was changed or signed for another session prolongs nothing', async t => {
    const { stage, ann } = await begin(t, engine)
    const eve = stage.visitor()
    await eve.post('/set', { count: 2 })
    const other = await setAnother(t, engine, stage)
    const token = encodeURIComponent(ann.cookie('__Host-id') ?? '')
    stage.clock.forward(3500)
    await eve.get('/me')
    const [name, version, active, signature = ''] = (ann.cookie('__Host-id-v') ?? '').split('.')
    const forged = [
      [name, version, Number(active) + 3500, signature].join('.'),
      eve.cookie('__Host-id-v') ?? '',
      [name, ...(eve.cookie('__Host-id-v') ?? '').split('.').slice(1)].join('.')
    ]
    stage.clock.forward(100)
    for (const companion of forged) {
      const cookie = `__Host-id=${token}; __Host-id-v=${encodeURIComponent(companion)}`
      t.same((await other.app.inject({ url: '/me', headers: { cookie } })).json().data, {}, companion.replace(signature, '…'))
    }
  })

  await t.test('the log-out clears the companion too', async t => {
    const { ann } = await begin(t, engine)
    const answer = await ann.post('/logout')
    t.same(setCookieNames(answer), ['__Host-id', '__Host-id-v'])
    t.same(ann.cookieNames(), [])
  })

  await t.test('a companion lives as long as the token', async t => {
    const { stage, ann } = await begin(t, engine, { cookie: { maxAge: 20_000 } })
    stage.clock.forward(1000)
    t.match(setCookies(await ann.get('/me')), [/^__Host-id-v=[^;]+; Max-Age=19000; Path=\/; HttpOnly; Secure; SameSite=Lax$/])
    const forever = await begin(t, engine)
    forever.stage.clock.forward(1000)
    t.match(setCookies(await forever.ann.get('/me')), [/^__Host-id-v=[^;]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/])
  })

  await t.test('by header, the companion header tells it', async t => {
    const { stage } = await begin(t, engine, { header: 'X-Session' })
    const first = await stage.app.inject({ method: 'POST', url: '/set', payload: { count: 1 } })
    const headers = { 'x-session': String(first.headers['x-session']), 'x-session-v': String(first.headers['x-session-v']) }
    stage.clock.forward(3000)
    const second = await stage.app.inject({ url: '/me', headers })
    t.equal(second.headers['x-session'], undefined)
    headers['x-session-v'] = String(second.headers['x-session-v'])
    stage.clock.forward(3000)
    t.equal((await stage.app.inject({ url: '/me', headers })).json().data.count, 1)
  })

  await t.test('a companion under an old secret is signed anew, and counts meanwhile', async t => {
    const { stage, ann } = await begin(t, engine, { secrets: OLD_SECRET })
    stage.clock.forward(3000)
    await ann.get('/me')
    const other = await setAnother(t, engine, stage, { secrets: [SECRET, OLD_SECRET] })
    stage.clock.forward(100)
    const answer = await ann.send({ url: '/me' }, other.app)
    t.equal(answer.json().data.count, 1)
    t.same(setCookieNames(answer).sort(), ['__Host-id', '__Host-id-v'])
    ann.receive(answer)
    stage.clock.forward(3500)
    const last = await setAnother(t, engine, stage)
    t.equal((await ann.send({ url: '/me' }, last.app)).json().data.count, 1)
  })

  await t.test('touch() tells the browser whatever the reissue time, and a session without an absolute timeout is kept track of in the table', async t => {
    const { stage, ann } = await begin(t, engine, {}, app => {
      app.get('/touch', async ({ session }) => { session.touch() })
      app.post('/endless', async ({ session }) => { session.absoluteTimeout = false })
    })
    stage.clock.forward(1)
    t.same(setCookieNames(await ann.get('/touch')), ['__Host-id-v'])
    t.same(stage.proxy.take(), [READ])
    await ann.post('/endless')
    const end = async (): Promise<number> => Number((await stage.items())[0]?.['expires']?.N)
    t.equal(await end(), stage.clock.seconds + 3600)
    stage.proxy.take()
    stage.clock.forward(1800)
    await ann.get('/me')
    t.same(stage.proxy.take(), [READ, 'UpdateItem'])
    t.equal(await end(), stage.clock.seconds + 3600)
  })

  await t.test('sessions go on when the tracking is changed, either way', async t => {
    const { stage, ann } = await begin(t, engine, { idleTracking: 'table' })
    const cookie = await setAnother(t, engine, stage)
    stage.clock.forward(3000)
    cookie.proxy.take()
    ann.receive(await ann.send({ url: '/me' }, cookie.app))
    t.same(cookie.proxy.take(), [READ, 'UpdateItem'], 'the table is given the absolute end, once')
    stage.clock.forward(3000)
    ann.receive(await ann.send({ url: '/me' }, cookie.app))
    stage.clock.forward(3000)
    ann.receive(await ann.send({ url: '/me' }, cookie.app))
    t.same(cookie.proxy.take(), [READ, READ])
    stage.clock.forward(3000)
    stage.proxy.take()
    t.equal((await ann.send({ url: '/me' })).json().data.count, 1, 'back in the table')
    t.same(stage.proxy.take(), [READ, 'UpdateItem'])
  })

  await t.test('back in the table, a data write tells it the activity also where the end does not move', async t => {
    for (const seconds of [33_000, 1800]) {
      const { stage, ann } = await begin(t, engine)
      const table = await setAnother(t, engine, stage, { idleTracking: 'table' })
      for (let passed = 0; passed < seconds; passed += 1000) {
        stage.clock.forward(Math.min(1000, seconds - passed))
        ann.receive(await ann.send({ url: '/me' }))
      }
      // In the very second of the last renewal, where nothing seems to be newer than that.
      ann.receive(await ann.send({ method: 'POST', url: '/set', payload: { 'any:a': 1 } }, table.app))
      t.equal(Number((await stage.items())[0]?.['seen']?.N), stage.clock.seconds)
      stage.clock.forward(100)
      const last = await setAnother(t, engine, stage, { idleTracking: 'table' })
      t.same((await ann.send({ url: '/me' }, last.app)).json().data, { count: 1, 'any:a': 1 }, `after ${seconds} s`)
    }
  })

  await t.test('a renewal takes back no version that was written while its request was under way', async t => {
    const [begun, gate] = [makeGate(), makeGate()]
    const { stage, ann } = await begin(t, engine, {}, app => {
      app.get('/slow', async () => {
        begun.open()
        await gate.passed
      })
    })
    stage.clock.forward(1000)
    const slow = ann.send({ url: '/slow' })
    await begun.passed
    ann.receive(await ann.send({ method: 'POST', url: '/set', payload: { count: 2 } }))
    gate.open()
    ann.receive(await slow)
    t.equal(ann.cookie('__Host-id-v')?.split('.')[1], '2')
  })

  await t.test('nor does the late answer to an earlier write of this process, whatever the tracking', async t => {
    for (const idleTracking of ['cookie', 'table'] as const) {
      const [written, gate] = [makeGate(), makeGate()]
      const { ann } = await begin(t, engine, { idleTracking }, app => {
        app.post('/slow', async ({ session }) => {
          session.set('count', 2)
          await session.save()
          written.open()
          await gate.passed
        })
      })
      const slow = ann.send({ method: 'POST', url: '/slow' })
      await written.passed
      ann.receive(await ann.send({ method: 'POST', url: '/set', payload: { 'any:a': 1 } }))
      t.equal(ann.cookie('__Host-id-v')?.split('.')[1], '3')
      gate.open()
      ann.receive(await slow)
      t.equal(ann.cookie('__Host-id-v')?.split('.')[1], '3', idleTracking)
    }
  })

  await t.test('instants are whole seconds, also after a renewal in the table at a fraction of one', async t => {
    const { stage, ann } = await begin(t, engine, { idleTracking: 'table' })
    const cookie = await setAnother(t, engine, stage)
    stage.clock.forward(1000.55)
    ann.receive(await ann.send({ url: '/me' }, cookie.app))
    stage.clock.forward(0.3)
    ann.receive(await ann.send({ method: 'POST', url: '/set', payload: { count: 2 } }, cookie.app))
    t.match((await stage.items())[0]?.['seen']?.N, /^\d+$/)
    t.match(ann.cookie('__Host-id-v'), /^[\w-]{8}\.2\.\d+\.[A-Za-z0-9+/]{43}$/)
  })

  await t.test('a session that was read again, or is opened outside a request, does not say that it has expired', async t => {
    const { stage, ann } = await begin(t, engine, {}, app => {
      app.get('/again', async ({ session }) => {
        const before = [session.lastSeenAt, session.expiresAt]
        await session.reload()
        return [before, [session.lastSeenAt, session.expiresAt]]
      })
    })
    for (let hour = 0; hour < 5; hour++) {
      stage.clock.forward(3000)
      await ann.get('/me')
    }
    const [before, after] = (await ann.get('/again')).json()
    t.same(after, before)
    t.same(before, [stage.clock.seconds, stage.clock.seconds + 3600])
    const { id = '' } = (await ann.get('/me')).json()
    const another = await setAnother(t, engine, stage)
    for (const { app } of [stage, another]) {
      const session = await app.sessions.load(id)
      t.ok(Number(session?.expiresAt) > stage.clock.seconds)
    }
  })

  await t.test('after hours of reads only, updates, saves and new ids go on from what is stored', async t => {
    const { stage, ann } = await begin(t, engine, {}, app => {
      app.post('/count', async ({ session }) => await session.update('count', count => Number(count) + 1))
      app.post('/renew', async ({ session }) => { await session.regenerate(true) })
      app.post('/again', async ({ session }) => {
        await session.reload()
        return { seen: session.lastSeenAt, ends: session.expiresAt }
      })
    })
    for (let hour = 0; hour < 5; hour++) {
      stage.clock.forward(3000)
      await ann.get('/me')
    }
    stage.clock.forward(100)
    t.same((await ann.post('/again')).statusCode, 200)
    t.equal((await ann.post('/count')).body, '2')
    await ann.post('/set', { 'any:a': 1 })
    await ann.post('/renew')
    stage.clock.forward(3000)
    t.same((await ann.get('/me')).json().data, { count: 2, 'any:a': 1 })
  })
})
