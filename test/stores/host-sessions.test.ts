import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t from 'tap'
import { load } from '../../bench/applications/stores.js'
import { hash } from '../../lib/token.js'
import { DynamoStore } from '../../store/index.js'
import { memoryRepository } from '../../testing/index.js'
import { onOneEngine } from '../support/engines.js'
import { setStore } from '../support/hosts.js'
import { faults } from '../support/proxy.js'

const BROWSER_SESSION = { cookie: { originalMaxAge: null, expires: null, path: '/' } }
const dataOf = (session: object | null): object => Object.fromEntries(Object.entries(session ?? {}).filter(([key]) => key !== 'cookie'))

onOneEngine(t, async (t, engine) => {
  await t.test('a session that did not change is not written, whatever way the host hands it in', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    await ours.set('sid', { ...BROWSER_SESSION, a: 1, at: new Date(0) })
    const session = await ours.get('sid')
    proxy.take()
    for (const same of [session, { ...session }, { ...session, gone: undefined, act: () => {} }, { ...session, at: new Date(0) }]) await ours.set('sid', same ?? {})
    await ours.touch('sid', session ?? {})
    t.same(proxy.take(), [])
  })

  await t.test('a session that a host makes of what was not read here is written as one that nobody has read', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    const express = load('express-session') as (options: object) => unknown
    express({ store: ours, secret: 'a secret', resave: false, saveUninitialized: false })
    const session = ours.createSession({ sessionID: 'sid', sessionStore: ours, headers: {} }, { ...BROWSER_SESSION, a: 1 })
    proxy.take()
    await ours.set('sid', session)
    t.same(proxy.take(), ['PutItem'])
  })

  await t.test('writes of one session that nobody waited for are made in their order, by a create and a save', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    const session: Record<string, unknown> = { ...BROWSER_SESSION, a: 1 }
    const first = ours.set('sid', session)
    session['a'] = 2
    session['b'] = 3
    await Promise.all([first, ours.set('sid', session)])
    t.same(proxy.take(), ['PutItem', 'UpdateItem'])
    t.same(dataOf(await ours.get('sid')), { a: 2, b: 3 })
  })

  await t.test('a host that does not tell what it has read writes the session whole, and the last writer wins', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    await ours.set('sid', { ...BROWSER_SESSION, a: 1, b: 1 })
    proxy.take()
    await ours.set('sid', { ...BROWSER_SESSION, a: 2 })
    t.same(proxy.take(), ['PutItem', 'GetItem', 'GetItem', 'UpdateItem'], 'the first of the reads is for a create whose answer was lost')
    t.same(dataOf(await ours.get('sid')), { a: 2 })
    await ours.set('sid', { ...BROWSER_SESSION, a: 2, flash: {} })
    t.same(dataOf(await ours.get('sid')), { a: 2, flash: {} }, 'what the host gives is what it gets')
  })

  await t.test('for such a host, a touch reads first, and does nothing for what is not there or has expired', async t => {
    const { proxy, clock, store, items } = await setStore(t, engine)
    const ours = store()
    await ours.touch('sid', BROWSER_SESSION)
    t.same(proxy.take(), ['GetItem'])
    await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    const end = Number((await items())[0]?.['expires']?.N)
    clock.forward(1000)
    proxy.take()
    await ours.touch('sid', { ...BROWSER_SESSION, a: 'not looked at' })
    t.same(proxy.take(), ['GetItem', 'UpdateItem'])
    t.ok(Number((await items())[0]?.['expires']?.N) >= end + 1000)
    t.same(dataOf(await ours.get('sid')), { a: 1 })
    clock.forward(7200)
    proxy.take()
    await ours.touch('sid', BROWSER_SESSION)
    t.same(proxy.take(), ['GetItem'])
  })

  await t.test('changes of a session that has ended are dropped, which is no error and is told to who listens', async t => {
    const { store, items } = await setStore(t, engine)
    const ours = store()
    const told: unknown[] = []
    const listen = (message: unknown): void => { told.push(message) }
    subscribe('fastify-dynamodb-session:gone', listen)
    t.teardown(() => { unsubscribe('fastify-dynamodb-session:gone', listen) })
    const session = { ...BROWSER_SESSION, a: 1 }
    await ours.set('sid', session)
    await ours.destroy('sid')
    await ours.set('sid', { ...session })
    await ours.set('sid', Object.assign(session, { a: 2 }))
    t.same((await items()).length, 1, 'the copy was a new session')
    await ours.destroy('sid')
    await ours.set('sid', Object.assign(session, { a: 3 }))
    await ours.touch('sid', session)
    t.same(await items(), [])
    t.same(told, Array(2).fill({ loggableId: hash('sid'), reason: 'missing' }))
  })

  await t.test('an id whose session has expired is not begun anew', async t => {
    const { clock, store, items } = await setStore(t, engine)
    const ours = store()
    await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    clock.forward(7200)
    await ours.set('sid', { ...BROWSER_SESSION, b: 1 })
    t.same(Object.keys((await items())[0]?.['data']?.M ?? {}).sort(), ['a', 'cookie'])
    t.equal(await ours.get('sid'), null)
  })

  await t.test('a session whose cookie has ended is destroyed', async t => {
    const { store, items } = await setStore(t, engine)
    const ours = store()
    for (const cookie of [{ originalMaxAge: 0 }, { originalMaxAge: null, expires: new Date(0) }]) {
      for (const act of ['set', 'touch'] as const) {
        await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
        await ours[act]('sid', { ...(await ours.get('sid')), cookie })
        t.same(await items(), [])
      }
    }
  })

  await t.test('an end that does not move is the end, however active the session is', async t => {
    const { clock, store, items } = await setStore(t, engine)
    const ours = store()
    const expires = new Date((clock.seconds() + 20_000) * 1000)
    await ours.set('sid', { cookie: { originalMaxAge: null, expires }, a: 1 })
    clock.forward(10_000)
    const session = await ours.get('sid')
    t.strictSame(session?.cookie.expires, expires)
    await ours.touch('sid', session ?? {})
    t.equal((await items())[0]?.['expires']?.N, String(expires.getTime() / 1000))
    clock.forward(10_001)
    t.equal(await ours.get('sid'), null)
  })

  await t.test('an end beyond all that a table can tell is none', async t => {
    const { store } = await setStore(t, engine)
    const ours = store()
    for (const expires of ['+010000-01-02T00:00:00.000Z', new Date(8.64e15)]) {
      await ours.set('sid', { cookie: { originalMaxAge: null, expires }, a: 1 })
      t.match(await ours.get('sid'), { a: 1, cookie: { originalMaxAge: null } })
      await ours.destroy('sid')
    }
  })

  await t.test('an absolute timeout that was given holds for a cookie with an age too', async t => {
    const { clock, store } = await setStore(t, engine)
    const ours = store({ absoluteTimeout: 1500 })
    await ours.set('sid', { cookie: { originalMaxAge: 1_000_000, expires: null }, a: 1 })
    clock.forward(900)
    await ours.touch('sid', await ours.get('sid') ?? {})
    clock.forward(599)
    t.ok(await ours.get('sid'))
    clock.forward(2)
    t.equal(await ours.get('sid'), null)
  })

  await t.test('with eventually consistent reads, a replica that lags costs no session', async t => {
    const { proxy, clock, store } = await setStore(t, engine)
    const ours = store({ consistentRead: false })
    proxy.staleReads = true
    await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    proxy.take()
    t.same(dataOf(await ours.get('sid')), { a: 1 })
    t.same(proxy.takeCalls().map(({ input }) => input['ConsistentRead']), [false, true])
    clock.forward(7000)
    await ours.touch('sid', await ours.get('sid') ?? {})
    clock.forward(1000)
    t.same(dataOf(await ours.get('sid')), { a: 1 }, 'nor a renewal that it has not heard of')
    proxy.staleReads = false
    proxy.take()
    await ours.get('sid')
    t.same(proxy.takeCalls().map(({ input, capacity }) => [input['ConsistentRead'], capacity]), [[false, 0.5]])
  })

  await t.test('a change that is based on an old read takes nothing back', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store({ consistentRead: false })
    await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    const before = await ours.get('sid')
    await ours.set('sid', Object.assign(await ours.get('sid') ?? {}, { b: 1 }))
    proxy.take()
    await ours.set('sid', Object.assign(before ?? {}, { c: 1 }))
    t.same(proxy.take(), ['UpdateItem'])
    await ours.set('sid', Object.assign(before ?? {}, { d: 1 }))
    t.same(dataOf(await ours.get('sid')), { a: 1, b: 1, c: 1, d: 1 })
  })

  await t.test('with conflict: reject, a change over another one is refused with a 409', async t => {
    const { store } = await setStore(t, engine)
    const ours = store({ conflict: 'reject' })
    await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    const before = await ours.get('sid')
    await ours.set('sid', Object.assign(await ours.get('sid') ?? {}, { b: 1 }))
    await t.rejects(ours.set('sid', Object.assign(before ?? {}, { c: 1 })), { code: 'FST_DYNAMODB_SESSION_CONFLICT', statusCode: 409 })
    t.same(dataOf(await ours.get('sid')), { a: 1, b: 1 })
  })

  await t.test('what may not have been written is written again', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    const session = Object.assign(await ours.get('sid') ?? {}, { a: 2 })
    proxy.meet('UpdateItem', faults.error('ResourceNotFoundException'))
    await t.rejects(ours.set('sid', session), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    Object.assign(session, { a: 1 })
    proxy.take()
    await ours.set('sid', session)
    t.same(proxy.take(), ['UpdateItem'])
    t.same(dataOf(await ours.get('sid')), { a: 1 })
  })

  await t.test('a session that cannot be stored is refused, and the one before stays', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    await ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    proxy.take()
    const session = await ours.get('sid')
    for (const [code, value] of [['TOO_LARGE', { a: 'x'.repeat(500_000) }], ['UNSUPPORTED_VALUE', { a: 10n }], ['BAD_KEY', { '': 1 }]] as const) {
      await t.rejects(ours.set('sid', { ...session, ...value }), { code: `FST_DYNAMODB_SESSION_${code}` })
    }
    t.same(proxy.take(), ['GetItem'])
    t.same(dataOf(await ours.get('sid')), { a: 1 })
  })

  await t.test('a renewal of one whose cookie has changed while another request moved it changes the cookie only', async t => {
    const { store, put } = await setStore(t, engine)
    const ours = store({ formerPrefixes: ['sess:'] })
    await put({ id: { S: 'sess:sid' }, sess: { S: '{"cookie":{"originalMaxAge":null},"a":1}' } })
    const [one, other] = [await ours.get('sid'), await ours.get('sid')]
    await ours.set('sid', Object.assign(one ?? {}, { b: 1 }))
    if (other !== null) other.cookie.originalMaxAge = 60_000
    await ours.touch('sid', other ?? {})
    const session = await ours.get('sid')
    t.same([dataOf(session), session?.cookie.originalMaxAge], [{ a: 1, b: 1 }, 60_000])
  })

  await t.test('a renewal that comes while another request moves the session leaves it as that left it', async t => {
    const { clock, store, put } = await setStore(t, engine)
    const ours = store({ formerPrefixes: ['sess:'] })
    await put({ id: { S: 'sess:sid' }, expires: { N: String(clock.seconds() + 600) }, sess: { S: '{"cookie":{"originalMaxAge":600000},"a":1}' } })
    const [one, other] = [await ours.get('sid'), await ours.get('sid')]
    clock.forward(300)
    await ours.set('sid', Object.assign(one ?? {}, { a: 2 }))
    await ours.touch('sid', other ?? {})
    t.same(dataOf(await ours.get('sid')), { a: 2 })
  })

  await t.test('a change that could not be moved is made by the renewal after it, beside what another request moved meanwhile', async t => {
    const { proxy, store, put } = await setStore(t, engine)
    const ours = store({ formerPrefixes: ['sess:'] })
    await put({ id: { S: 'sess:sid' }, sess: { S: '{"cookie":{"originalMaxAge":null},"a":1}' } })
    const [one, other] = [await ours.get('sid'), await ours.get('sid')]
    proxy.meet('PutItem', faults.error('ValidationException'))
    await t.rejects(ours.set('sid', Object.assign(other ?? {}, { a: 2 })), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    await ours.set('sid', Object.assign(one ?? {}, { b: 1 }))
    await ours.touch('sid', other ?? {})
    t.same(dataOf(await ours.get('sid')), { a: 2, b: 1 })
  })

  await t.test('a log-out that comes while the session is being created ends it', async t => {
    const { proxy, store, items } = await setStore(t, engine)
    const ours = store()
    const ends = [
      async (): Promise<void> => { await ours.destroy('sid') },
      async (session: object): Promise<void> => { await ours.set('sid', Object.assign(session, { cookie: { originalMaxAge: 0 } })) }
    ]
    for (const end of ends) {
      const session = { ...BROWSER_SESSION, a: 1 }
      const gate = proxy.gate('PutItem')
      const created = ours.set('sid', session)
      await gate.reached
      const ended = end(session)
      proxy.take()
      await ours.get('another id')
      t.same(proxy.take(), ['GetItem'], 'waits')
      gate.release()
      await Promise.all([created, ended])
      t.same(proxy.take(), ['PutItem', 'DeleteItem'])
      t.same(await items(), [])
    }
  })

  await t.test('a log-out that waited for a creation that failed is made all the same', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    proxy.meet('PutItem', faults.error('ValidationException'))
    const created = ours.set('sid', { ...BROWSER_SESSION, a: 1 })
    await Promise.all([t.rejects(created, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }), ours.destroy('sid')])
    t.same(proxy.take(), ['PutItem', 'DeleteItem'])
    await ours.destroy('sid')
    t.same(proxy.take(), ['DeleteItem'], 'and the next one waits for nothing')
  })

  await t.test('values of the format native and sealed ones come back as they were', async t => {
    const { store, items } = await setStore(t, engine)
    for (const options of [{ format: 'native' }, { encryptionKeys: new Uint8Array(32).fill(7) }] as const) {
      const ours = store(options)
      await ours.set('sid', { ...BROWSER_SESSION, word: 'a word', list: [1, { b: 2 }] })
      t.same(dataOf(await ours.get('sid')), { word: 'a word', list: [1, { b: 2 }] })
      const text = JSON.stringify(await items())
      t.equal(text.includes('a word'), 'format' in options)
      await ours.destroy('sid')
    }
  })
})

t.test('an id that is none makes no call', async t => {
  const ours = new DynamoStore({ table: 'sessions', client: memoryRepository() })
  for (const sid of ['', undefined, null, 42] as unknown as string[]) {
    const acts: Array<() => Promise<unknown>> = [
      async () => await ours.get(sid), async () => await ours.set(sid, {}), async () => await ours.touch(sid, {}), async () => { await ours.destroy(sid) }
    ]
    for (const act of acts) await t.rejects(act, { message: /session id/ })
  }
})
