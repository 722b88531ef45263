import type { Test } from 'tap'
import type { DynamoSessionOptions } from '../../index.js'
import { changed, sessionData } from '../../bench/session-data.js'
import { addRoutes, setStage, type Stage } from './app.js'
import type { Engine } from './engines.js'
import { DATA, SECRET } from './peers.js'
import type { Call } from './proxy.js'
import type { Visitor } from './visitor.js'

/** What was done, and what it took: `['a read', 'GetItem', '0.5', '0']`. */
export type VisitRow = readonly [visit: string, calls: string, read: string, write: string]

/** Actions in their order, with the number of those that are repeated, and the units that they took by the engine's account. */
export function rowOf (visit: string, calls: readonly Call[]): VisitRow {
  const units = (isRead: boolean): string =>
    String(calls.filter(({ action }) => /Get/.test(action) === isRead).reduce((sum, { capacity }) => sum + capacity, 0))
  const counts = new Map<string, number>()
  for (const { action } of calls) counts.set(action, (counts.get(action) ?? 0) + 1)
  const names = [...counts].map(([action, count]) => count === 1 ? `\`${action}\`` : `${count} \`${action}\``)
  return [visit, names.join(', ') || 'none', units(true), units(false)]
}

/** A little more than 64 KB, so that it stands on no step. */
const LARGE = sessionData(66_000, 50)
const TOGETHER = 20

/** The visits to one stage, in order: each takes what the stage's proxy has seen. */
class Guide {
  readonly rows: VisitRow[] = []
  readonly stage: Stage

  constructor (stage: Stage) {
    this.stage = stage
  }

  async note (visit: string, act: () => Promise<unknown>): Promise<void> {
    this.stage.proxy.take()
    await act()
    this.rows.push(rowOf(visit, this.stage.proxy.takeCalls()))
  }

  async signIn (data: object = DATA): Promise<Visitor> {
    const visitor = this.stage.visitor()
    await visitor.post('/enter', data)
    return visitor
  }

  /** Requests at once, none of which is answered before all have come. */
  async together (visitors: readonly Visitor[]): Promise<void> {
    const read = visitors.length === new Set(visitors).size ? 'BatchGetItem' : 'GetItem'
    const gate = this.stage.proxy.gate({ action: read })
    const answers = Promise.all(visitors.map(async visitor => await visitor.get('/me')))
    await gate.reached
    gate.release()
    await answers
  }
}

async function open (t: Test, engine: Engine, session: Partial<DynamoSessionOptions> = {}): Promise<Guide> {
  return new Guide(await setStage(t, engine, {
    session: { secrets: SECRET, ...session },
    routes: app => {
      addRoutes(app)
      app.post('/enter', async request => {
        await request.session.regenerate()
        for (const [key, value] of Object.entries(request.body as typeof DATA)) request.session.set(key as `part${number}`, value)
        return {}
      })
      app.post('/enter-as', async request => {
        await request.session.regenerate()
        const { user, data } = request.body as { user: string, data: typeof DATA }
        for (const [key, value] of Object.entries(data)) request.session.set(key as `part${number}`, value)
        request.session.bind(user)
        return {}
      })
      app.post('/renew-id', async request => {
        await request.session.regenerate(true)
        return {}
      })
      app.post('/update', async request => ({ count: await request.session.update('part2', changed) }))
    }
  }))
}

async function withoutSession (t: Test, engine: Engine): Promise<VisitRow[]> {
  const signed = await open(t, engine)
  await signed.note('no token: a page, a 404, OPTIONS', async () => {
    for (const url of ['/me', '/nothing', '/no-such-page']) await signed.stage.visitor().get(url)
    await signed.stage.app.inject({ method: 'OPTIONS', url: '/me' })
  })
  const send = async ({ stage }: Guide, token: string, companion?: string): Promise<void> => {
    const forger = stage.visitor()
    forger.plant('__Host-id', token)
    if (companion !== undefined) forger.plant('__Host-id-v', companion)
    await forger.get('/me')
  }
  const id = Buffer.alloc(32, 7).toString('base64url')
  await signed.note('a forged or malformed token, with `secrets`', async () => {
    await send(signed, `${id}.${'A'.repeat(43)}`)
    await send(signed, 'nonsense')
  })
  const ann = await signed.signIn()
  await signed.note('a route with `session: false`', async () => await ann.get('/off'))
  const plain = await open(t, engine, { secrets: undefined })
  await plain.note('a malformed token, without `secrets`', async () => await send(plain, 'nonsense'))
  await plain.note('an unknown id, without `secrets`', async () => await send(plain, id))
  return [...signed.rows, ...plain.rows]
}

function twenty<T> (one: () => T): T[] {
  return Array.from({ length: TOGETHER }, one)
}

async function reads (t: Test, engine: Engine): Promise<VisitRow[]> {
  const guide = await open(t, engine)
  const { clock, proxy } = guide.stage
  const ann = await guide.signIn()
  const bob = await guide.signIn(LARGE)
  await guide.note('a read', async () => await ann.get('/me'))
  await guide.note('a read of 64 KB', async () => await bob.get('/me'))
  const crowd = await Promise.all(twenty(async () => await guide.signIn()))
  await guide.note('20 reads of 20 visitors in one turn, together', async () => await guide.together(crowd))
  await guide.note('20 reads of one visitor at once, together', async () => await guide.together(twenty(() => ann)))
  clock.forward(719)
  await guide.note('a read just before the reissue time', async () => await ann.get('/me'))
  clock.forward(1)
  await guide.note('a read when the renewal is due', async () => await ann.get('/me'))
  await guide.note('a read of 64 KB when the renewal is due', async () => await bob.get('/me'))
  clock.forward(720)
  await guide.note('20 reads of one visitor at once when the renewal is due, together', async () => await guide.together(twenty(() => ann)))
  proxy.staleReads = true
  await ann.post('/set', { part1: changed(DATA['part1']) })
  await guide.note('a read after a write of one\'s own, where the replica lags', async () => await ann.get('/me'))
  proxy.staleReads = false
  clock.forward(7200)
  await guide.note('a read of a session that has expired', async () => await ann.get('/me'))
  return guide.rows
}

async function readsOtherwise (t: Test, engine: Engine): Promise<VisitRow[]> {
  const strong = await open(t, engine, { consistentRead: true })
  const ann = await strong.signIn()
  await strong.note('a read with `consistentRead: true`', async () => await ann.get('/me'))
  const cached = await open(t, engine, { cache: { ttl: 10, max: 100 } })
  const bob = await cached.signIn()
  await bob.get('/me')
  await cached.note('a read within the `ttl` of a `cache`', async () => await bob.get('/me'))
  const tracked = await open(t, engine, { idleTracking: 'cookie' })
  const carol = await tracked.signIn()
  tracked.stage.clock.forward(720)
  await tracked.note("a read when the renewal is due, `idleTracking: 'cookie'`", async () => await carol.get('/me'))
  await tracked.note("one key changed, `idleTracking: 'cookie'`", async () => await carol.post('/set', { part1: changed(DATA['part1']) }))
  return [...strong.rows, ...cached.rows, ...tracked.rows]
}

async function writes (t: Test, engine: Engine): Promise<VisitRow[]> {
  const guide = await open(t, engine)
  const ann = await guide.signIn()
  const bob = await guide.signIn(LARGE)
  await guide.note('one key of ten changed', async () => await ann.post('/set', { part1: changed(DATA['part1']) }))
  await guide.note('one key of 50 changed, 64 KB', async () => await bob.post('/set', { part1: changed(LARGE['part1']) }))
  await guide.note('`update()`', async () => await ann.post('/update'))
  await guide.note('`set()` of an equal value', async () => await ann.post('/set', { part1: changed(DATA['part1']) }))
  const carol = await guide.signIn()
  await guide.note('the first data of a visitor', async () => await guide.stage.visitor().post('/set', DATA))
  await guide.note('a log-in of somebody without a session', async () => await guide.stage.visitor().post('/enter', DATA))
  await guide.note('a log-in of somebody with a session', async () => await carol.post('/enter', DATA))
  await guide.note('a log-out', async () => await carol.post('/logout'))
  return guide.rows
}

/** What is different where sessions have users. */
export async function takeBoundVisits (t: Test, engine: Engine): Promise<VisitRow[]> {
  const guide = await open(t, engine, { userIndex: true })
  const { app, clock } = guide.stage
  const enter = async (visitor: Visitor, data: object = DATA): Promise<Visitor> => {
    await visitor.post('/enter-as', { user: 'u-42', data })
    return visitor
  }
  const [ann, bob, large] = [guide.stage.visitor(), guide.stage.visitor(), guide.stage.visitor()]
  await guide.note('the first log-in of a user', async () => await enter(ann))
  await guide.note('a further one', async () => await enter(bob))
  await guide.note('a read', async () => await ann.get('/me'))
  await guide.note('one key changed', async () => await ann.post('/set', { part1: changed(DATA['part1']) }))
  clock.forward(720)
  await guide.note('a read when the renewal is due', async () => await ann.get('/me'))
  await guide.note('`regenerate(true)`', async () => await ann.post('/renew-id'))
  await guide.note('a log-out', async () => await bob.post('/logout'))
  const stranger = await guide.signIn()
  await guide.note('a log-out of a session that is not bound', async () => await stranger.post('/logout'))
  for (let count = 1; count < 5; count++) await enter(guide.stage.visitor())
  await guide.note('`list()` of 5', async () => await app.sessions.list('u-42'))
  await guide.note('`revokeAll()` of 5', async () => await app.sessions.revokeAll('u-42'))
  await enter(large, LARGE)
  await guide.note('`revokeAll()` of one of 64 KB', async () => await app.sessions.revokeAll('u-42'))
  for (let count = 0; count < 100; count++) await enter(guide.stage.visitor(), { part1: DATA['part1'] })
  await guide.note('a log-in as the 101st of a user', async () => await enter(guide.stage.visitor()))
  await guide.note('`list()` of 101', async () => await app.sessions.list('u-42'))
  const capped = await open(t, engine, { userIndex: { maxSessions: 2 } })
  const crowd = [capped.stage.visitor(), capped.stage.visitor(), capped.stage.visitor()] as const
  for (const visitor of crowd.slice(1)) await enter(visitor)
  await capped.note('a log-in that ends the oldest, by `maxSessions`', async () => await enter(crowd[0]))
  return [...guide.rows, ...capped.rows]
}

/** What each kind of visit to this library takes. Sessions have 2 KB where nothing else is said. */
export async function takeVisits (t: Test, engine: Engine): Promise<VisitRow[]> {
  return [...await withoutSession(t, engine), ...await reads(t, engine), ...await readsOtherwise(t, engine), ...await writes(t, engine)]
}
