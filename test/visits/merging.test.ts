import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { SessionManager, type DynamoSessionOptions, type Session } from '../../index.js'
import type { Stage } from '../support/app.js'
import { clientConfig, startDynalite } from '../support/engines.js'
import { dataOf, noteEvents, setInstances, tokenIn } from '../support/matrix.js'
import type { Match } from '../support/proxy.js'
import { SEALING } from '../support/sealing.js'
import { setCookieNames } from '../support/visitor.js'

type Handler = (session: Session) => unknown

/** What came of a pair of which B overtook A. */
interface Overtaken {
  readonly a: LightMyRequestResponse
  readonly b: LightMyRequestResponse
  readonly data: Record<string, unknown>
  readonly version: number
  readonly events: readonly string[]
  /** The calls of A, with an exclamation mark where they were refused. */
  readonly calls: readonly string[]
}

const engine = await startDynalite()
t.teardown(async () => await engine.close())

/** Two instances on one table, whose requests do what a test hands in. */
async function setPair (t: Test, session: Partial<DynamoSessionOptions> = {}) {
  const handlers: Handler[] = []
  const routes = (app: FastifyInstance): void => {
    app.post('/act', async ({ session, body }) => await handlers[(body as { number: number }).number]?.(session) ?? {})
  }
  const stages = await setInstances(t, engine, 2, { session: { timeout: 60, ...session }, routes }) as [Stage, Stage]
  const [a, b] = stages
  const events = noteEvents(t)
  const send = async ({ app }: Stage, handler: Handler, token?: string): Promise<LightMyRequestResponse> => await app.inject({
    method: 'POST', url: '/act', payload: { number: handlers.push(handler) - 1 }, headers: token === undefined ? {} : { cookie: `__Host-id=${token}` }
  })
  const begin = async (handler: Handler): Promise<string> => tokenIn(await send(a, handler)) ?? ''
  const stored = async (): Promise<Pick<Overtaken, 'data' | 'version'>> => {
    const items = await a.items()
    t.equal(items.length, 1, 'there is one record')
    return { data: dataOf(items[0] ?? {}), version: Number(items[0]?.['ver']?.N) }
  }
  /** A stops at a call, its first UpdateItem unless told otherwise; B runs from beginning to end; A goes on. */
  const overtake = async (first: Handler, actA: Handler, actB: Handler, at: Match = 'UpdateItem'): Promise<Overtaken> => {
    const token = await begin(first)
    // So that a touch has an effect.
    a.clock.forward(60)
    a.proxy.take()
    const gate = a.proxy.gate(at)
    const answer = send(a, actA, token)
    await gate.reached
    const answerOfB = await send(b, actB, token)
    gate.release()
    const answerOfA = await answer
    const calls = a.proxy.takeCalls().map(({ action, status }) => status === 400 ? `${action}!` : action)
    return { a: answerOfA, b: answerOfB, ...await stored(), events: events.splice(0), calls }
  }
  return { a, b, events, send, begin, overtake, stored }
}

const put = (values: Record<string, unknown>): Handler => session => {
  for (const [key, value] of Object.entries(values)) session.set(key as `any:${string}`, value)
}

const OLD = { 'any:x': 1, 'any:y': 2 }
/** More keys than one write names. */
const MANY = Object.fromEntries(Array.from({ length: 300 }, (_, number) => [`any:${number}`, number]))
const INCREMENT: Handler = async session => ({ count: await session.update('count', count => (count ?? 0) + 1) })

function same (t: Test, { a, b, data, events, calls }: Overtaken, expected: { data: object, events?: string[], calls: string[] }): void {
  t.same([a.statusCode, b.statusCode], [200, 200])
  t.same(data, expected.data)
  t.same(events, expected.events ?? [])
  t.same(calls, expected.calls)
}

t.test('clear() and a save of another key, in either order, take nothing from each other', async t => {
  for (const [name, actA, actB] of [
    ['the save overtakes', (session: Session) => { session.clear() }, put({ 'any:z': 3 })],
    ['clear() overtakes', put({ 'any:z': 3 }), (session: Session) => { session.clear() }]
  ] as const) {
    await t.test(name, async t => {
      const { overtake } = await setPair(t)
      same(t, await overtake(put(OLD), actA, actB), { data: { 'any:z': 3 }, calls: ['GetItem', 'UpdateItem'] })
    })
  }
})

t.test('a save of more keys than one write names loses nothing that overtakes it', async t => {
  const MERGED = ['GetItem', 'UpdateItem!', 'GetItem', 'UpdateItem']
  for (const [name, actB, left] of [
    ['a save of another key', put({ 'any:z': 3 }), { ...OLD, ...MANY, 'any:z': 3 }],
    ['a save that deletes a key', (session: Session) => { session.delete('any:x') }, { 'any:y': 2, ...MANY }],
    ['a save of as many others', put(Object.fromEntries(Object.entries(MANY).map(([key, value]) => [`${key}b`, value]))),
      { ...OLD, ...MANY, ...Object.fromEntries(Object.entries(MANY).map(([key, value]) => [`${key}b`, value])) }],
    ['an update', INCREMENT, { ...OLD, ...MANY, count: 1 }]
  ] as const) {
    await t.test(name, async t => {
      const { overtake } = await setPair(t)
      const outcome = await overtake(put(OLD), put(MANY), actB)
      same(t, outcome, { data: left, events: ['conflict'], calls: MERGED })
      t.equal(outcome.version, 3)
    })
  }
})

t.test('a save and an update that are overtaken by a save of more keys than one write names', async t => {
  await t.test('the save goes beside it', async t => {
    const { overtake } = await setPair(t)
    same(t, await overtake(put(OLD), put({ 'any:x': 9 }), put(MANY)), { data: { ...OLD, 'any:x': 9, ...MANY }, calls: ['GetItem', 'UpdateItem'] })
  })
  await t.test('the update runs once, because its value is untouched', async t => {
    const { overtake } = await setPair(t)
    same(t, await overtake(put(OLD), INCREMENT, put(MANY)), { data: { ...OLD, ...MANY, count: 1 }, calls: ['GetItem', 'UpdateItem'] })
  })
  await t.test('clear() removes what it knew and leaves the new keys', async t => {
    const { overtake } = await setPair(t)
    same(t, await overtake(put(OLD), session => { session.clear() }, put(MANY)), { data: MANY, calls: ['GetItem', 'UpdateItem'] })
  })
})

t.test('with conflict: "reject"', async t => {
  const REJECT = { conflict: 'reject' } as const
  const set = async (t: Test) => await setPair(t, REJECT)

  await t.test('of two saves of different keys one is refused, and leaves nothing and sends no token', async t => {
    const { overtake } = await set(t)
    const { a, b, data, events, calls, version } = await overtake(put(OLD), put({ 'any:a': 1 }), put({ 'any:b': 1 }))
    t.same([a.statusCode, b.statusCode], [409, 200])
    t.equal(a.json().code, 'FST_DYNAMODB_SESSION_CONFLICT')
    t.same(setCookieNames(a), [])
    t.same([data, version], [{ ...OLD, 'any:b': 1 }, 2])
    t.same(events, ['conflict'])
    t.same(calls, ['GetItem', 'UpdateItem!', 'GetItem'], 'and is not tried again')
  })
  await t.test('a touch neither refuses nor is refused', async t => {
    const { overtake } = await set(t)
    const touch = (session: Session): void => { session.touch() }
    same(t, await overtake(put(OLD), touch, put({ 'any:b': 1 })), { data: { ...OLD, 'any:b': 1 }, calls: ['GetItem', 'UpdateItem'] })
  })
  await t.test('a save over one that only touched goes through', async t => {
    const { overtake } = await set(t)
    const touch = (session: Session): void => { session.touch() }
    same(t, await overtake(put(OLD), put({ 'any:a': 1 }), touch), { data: { ...OLD, 'any:a': 1 }, calls: ['GetItem', 'UpdateItem'] })
  })
  await t.test('an update goes by its own value and not by the version', async t => {
    const { overtake } = await set(t)
    same(t, await overtake(put(OLD), INCREMENT, put({ 'any:b': 1 })), { data: { ...OLD, 'any:b': 1, count: 1 }, calls: ['GetItem', 'UpdateItem'] })
  })
  await t.test('a request is not refused for an update of its own', async t => {
    const { begin, send, a, stored } = await set(t)
    const token = await begin(put(OLD))
    const both: Handler = async session => {
      await INCREMENT(session)
      session.set('any:a', 1)
    }
    t.equal((await send(a, both, token)).statusCode, 200)
    t.same(await stored(), { data: { ...OLD, count: 1, 'any:a': 1 }, version: 3 })
  })
  await t.test('a save after an update over what others wrote is refused', async t => {
    const { overtake } = await set(t)
    const both: Handler = async session => {
      await INCREMENT(session)
      session.set('any:a', 1)
    }
    const { a, data } = await overtake(put(OLD), both, put({ 'any:b': 1 }))
    t.equal(a.statusCode, 409)
    t.same(data, { ...OLD, 'any:b': 1, count: 1 })
  })
  for (const at of ['PutItem', 'UpdateItem'] as const) {
    await t.test(`regenerate(true) over a changed session is refused and leaves no record, held at ${at}`, async t => {
      const { overtake } = await set(t)
      const { a, b, data, calls } = await overtake(put(OLD), async session => await session.regenerate(true), put({ 'any:b': 1 }), at)
      t.same([a.statusCode, b.statusCode], [409, 200])
      t.equal(a.json().code, 'FST_DYNAMODB_SESSION_CONFLICT')
      t.same(setCookieNames(a), [])
      t.same(data, { ...OLD, 'any:b': 1 }, 'the old session is as the other left it')
      t.same(calls, ['GetItem', 'PutItem', 'UpdateItem!', 'GetItem', 'DeleteItem'])
    })
  }
})

t.test('an update', async t => {
  await t.test('that another update overtakes runs again with what that one left', async t => {
    const { overtake } = await setPair(t)
    const seen: unknown[] = []
    const outcome = await overtake(put({ count: 5 }), async session => ({
      count: await session.update('count', count => {
        seen.push(count)
        return (count ?? 0) + 1
      })
    }), INCREMENT)
    same(t, outcome, { data: { count: 7 }, events: ['conflict'], calls: ['GetItem', 'UpdateItem!', 'GetItem', 'UpdateItem'] })
    t.same(seen, [5, 6])
    t.same([outcome.a.json(), outcome.b.json()], [{ count: 7 }, { count: 6 }], 'and each is told its own')
  })
  await t.test('that a plain save of its key overtakes runs again with what was saved', async t => {
    const { overtake } = await setPair(t)
    const outcome = await overtake(put({ count: 5 }), INCREMENT, put({ count: 40 }))
    same(t, outcome, { data: { count: 41 }, events: ['conflict'], calls: ['GetItem', 'UpdateItem!', 'GetItem', 'UpdateItem'] })
  })
  await t.test('that overtakes a plain save of its key is overwritten by it: the last one to write wins', async t => {
    const { overtake } = await setPair(t)
    const outcome = await overtake(put({ count: 5 }), put({ count: 40 }), INCREMENT)
    same(t, outcome, { data: { count: 40 }, calls: ['GetItem', 'UpdateItem'] })
    t.same(outcome.b.json(), { count: 6 })
  })
  await t.test('and a save of another key are no conflict: the function runs once', async t => {
    const { overtake } = await setPair(t)
    let runs = 0
    const update: Handler = async session => {
      await session.update('count', () => { runs += 1; return runs })
    }
    same(t, await overtake(put(OLD), update, put({ 'any:b': 1 })), { data: { ...OLD, 'any:b': 1, count: 1 }, calls: ['GetItem', 'UpdateItem'] })
    same(t, await (await setPair(t)).overtake(put(OLD), put({ 'any:b': 1 }), update), { data: { ...OLD, 'any:b': 1, count: 2 }, calls: ['GetItem', 'UpdateItem'] })
    t.equal(runs, 2, 'once in each order')
  })
  await t.test('that clear() overtakes runs again without a value', async t => {
    const { overtake } = await setPair(t)
    const outcome = await overtake(put({ count: 5 }), INCREMENT, session => { session.clear() })
    same(t, outcome, { data: { count: 1 }, events: ['conflict'], calls: ['GetItem', 'UpdateItem!', 'GetItem', 'UpdateItem'] })
  })
  await t.test('whose function waits may be overtaken while it does, and counts all the same', async t => {
    const { a, b, begin, send, stored } = await setPair(t)
    const token = await begin(put({ count: 5 }))
    const seen: unknown[] = []
    let asked: () => void = () => {}
    let go: () => void = () => {}
    const isAsked = new Promise<void>(resolve => { asked = resolve })
    const mayGo = new Promise<void>(resolve => { go = resolve })
    const slow = send(a, async session => ({
      count: await session.update('count', async count => {
        seen.push(count)
        asked()
        await mayGo
        return (count ?? 0) + 1
      })
    }), token)
    await isAsked
    t.same((await send(b, INCREMENT, token)).json(), { count: 6 })
    go()
    t.same((await slow).json(), { count: 7 })
    t.same(seen, [5, 6])
    t.same(await stored(), { data: { count: 7 }, version: 3 })
  })
  for (const [name, before, meanwhile, after, update] of [
    ['a value', 5, 10, 11, (count: unknown) => Math.max(Number(count), 10)],
    ['a deletion', 5, undefined, 11, () => undefined]
  ] as const) {
    await t.test(`that finds ${name} written already leaves nothing to be written at the end of its request`, async t => {
      const { a, b, begin, send, stored } = await setPair(t)
      const token = await begin(put({ ...OLD, 'any:n': before }))
      a.proxy.take()
      let updated: () => void = () => {}
      let end: () => void = () => {}
      const isUpdated = new Promise<void>(resolve => { updated = resolve })
      const mayEnd = new Promise<void>(resolve => { end = resolve })
      const gate = a.proxy.gate('UpdateItem')
      const answer = send(a, async session => {
        await session.update('any:n', update)
        updated()
        await mayEnd
      }, token)
      await gate.reached
      await send(b, put({ 'any:n': meanwhile }), token)
      gate.release()
      await isUpdated
      await send(b, put({ 'any:n': after }), token)
      end()
      t.equal((await answer).statusCode, 200)
      t.same((await stored()).data, { ...OLD, 'any:n': after }, 'what another request wrote after it stands')
      t.same(a.proxy.take(), ['GetItem', 'UpdateItem', 'GetItem'])
    })
  }
  await t.test('whose function fails when it runs again writes nothing', async t => {
    const { overtake } = await setPair(t)
    const { a, data, calls } = await overtake(put({ count: 5 }), async session => {
      await session.update('count', count => {
        if (count === 6) throw new Error('enough')
        return 0
      })
    }, INCREMENT)
    t.equal(a.statusCode, 500)
    t.same(data, { count: 6 })
    t.same(calls, ['GetItem', 'UpdateItem!', 'GetItem'])
  })
})

t.test('what is taken by an update is taken once', async t => {
  const take: Handler = async session => {
    let taken: unknown
    await session.update('any:flash', value => {
      taken = value
      return undefined
    })
    return { taken: taken ?? null }
  }
  await t.test('by the one of two that overtakes the other', async t => {
    const { overtake } = await setPair(t)
    const outcome = await overtake(put({ ...OLD, 'any:flash': 'once' }), take, take)
    same(t, outcome, { data: OLD, events: ['conflict'], calls: ['GetItem', 'UpdateItem!', 'GetItem'] })
    t.same([outcome.a.json(), outcome.b.json()], [{ taken: null }, { taken: 'once' }])
    t.equal(outcome.version, 2)
  })
  await t.test('by one of forty in two processes', async t => {
    const { a, b, begin, send, stored } = await setPair(t)
    const token = await begin(put({ ...OLD, 'any:flash': 'once' }))
    const answers = await Promise.all(Array.from({ length: 40 }, async (_, number) => await send(number % 2 === 0 ? a : b, take, token)))
    t.same([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
    t.same(answers.map(answer => answer.json().taken).filter(taken => taken !== null), ['once'])
    t.same(await stored(), { data: OLD, version: 2 })
  })
})

t.test('a session object that is held for long, as on a web socket, keeps its item small however often it writes', async t => {
  const { a } = await setPair(t)
  let now = a.clock.ms
  const manager = new SessionManager({ table: a.table, client: clientConfig(engine.endpoint), now: () => now, idleTimeout: false, absoluteTimeout: false, ...SEALING })
  t.teardown(async () => await manager.close())
  const session = await manager.create({ count: 0 })
  for (let number = 1; number <= 200; number++) {
    now += 61_000
    if (number % 2 === 0) {
      session.set('count', number)
      await session.save()
    } else await session.update('count', () => number)
  }
  const item = await a.item(session.loggableId ?? '')
  t.same(dataOf(item ?? {}), { count: 200 })
  t.equal(item?.['ver']?.N, '201')
  t.ok(Object.keys(item?.['w']?.M ?? {}).length <= 2, 'no write token is older than the save before')
})

t.test('a regenerate(true) after an update that wrote nothing takes along what others wrote in between', async t => {
  const { a, b, begin, send } = await setPair(t)
  const token = await begin(put({ ...OLD, count: 5 }))
  const seen: unknown[] = []
  const answer = await send(a, async session => {
    await send(b, INCREMENT, token)
    await session.update('count', count => {
      seen.push(count)
      return count
    })
    await session.regenerate(true)
    t.same((await send(b, INCREMENT, token)).json(), { count: 7 })
  }, token)
  t.equal(answer.statusCode, 200)
  t.same(seen, [5, 6], 'what was written by then was found')
  const present: Record<string, unknown> = {}
  await send(b, session => { Object.assign(present, session.data()) }, tokenIn(answer))
  t.same(present, { ...OLD, count: 7 })
})
