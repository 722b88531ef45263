import { EventEmitter } from 'node:events'
import t from 'tap'
import { hash } from '../../lib/token.js'
import { DynamoStore } from '../../store/index.js'
import { STORE_OPTIONS } from '../../store/store-options.js'
import { memoryRepository } from '../../testing/index.js'
import { read, rowsIn } from '../support/documents.js'
import { clientConfig, onEachEngine } from '../support/engines.js'
import { ACTS, Browser, HOSTS, meanwhile, setStore, startHost, type Act } from '../support/hosts.js'
import { makeGate } from '../support/gate.js'
import { findIn, indexOn } from '../support/indexes.js'
import { faults } from '../support/proxy.js'

onEachEngine(t, async (t, engine) => {
  for (const name of HOSTS) {
    await t.test(`with ${name}`, async t => {
      await t.test('a visitor logs in, is read, changes, logs out: and each costs what it says', async t => {
        const { proxy, store, items } = await setStore(t, engine)
        const host = await startHost(t, name, store())
        const browser = new Browser()
        await browser.get(host, '/me')
        t.same(proxy.take(), [], 'an anonymous visitor makes no call')

        await browser.post(host, '/login', { userId: 'u-42', cart: ['apple'] })
        const created = proxy.take()
        t.same(created.filter(action => action !== 'UpdateItem'), ['DeleteItem', 'PutItem'])
        const [item] = await items()
        t.equal((await items()).length, 1)
        t.equal(item?.['id']?.S, hash(browser.sid() ?? ''), 'under the hash of the id')
        t.notOk(JSON.stringify(item).includes(browser.sid() ?? '?'), 'which stands nowhere')

        t.same((await browser.get(host, '/me')).body, { userId: 'u-42', cart: ['apple'] })
        t.same(proxy.takeCalls().map(({ action, input, capacity }) => [action, input['ConsistentRead'], capacity]), [['GetItem', true, 1]])

        await browser.post(host, '/set', { city: 'Berlin', cart: null })
        t.same(proxy.take(), ['GetItem', 'UpdateItem'])
        await browser.post(host, '/set', { list: ['apple'] })
        t.same((await browser.get(host, '/me')).body, { userId: 'u-42', city: 'Berlin', list: ['apple'] })
        proxy.take()

        await browser.post(host, '/logout')
        t.same(proxy.take(), ['GetItem', 'DeleteItem'])
        t.same(await items(), [])
        t.same((await browser.get(host, '/me')).body, {})
      })

      await t.test('an index finds the sessions of a user from log-in to log-out, for no call more', async t => {
        const { table, proxy, direct, clock, store, put, item } = await setStore(t, engine, indexOn('userId'))
        const find = async (value: string): Promise<string[]> => await findIn(direct, table, 'userId', value, clock.seconds())
        const host = await startHost(t, name, store({ indexKeys: ['userId'] }), { session: { rolling: true } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        const key = hash(browser.sid() ?? '')
        t.same(await find('u-42'), [key])
        proxy.take()
        await browser.post(host, '/set', { userId: 'u-7', city: 'Berlin' })
        t.same(proxy.take(), ['GetItem', 'UpdateItem'])
        t.same([await find('u-42'), await find('u-7')], [[], [key]])
        // One that was stored before the option came.
        const { userId, ...bare } = await item(key) ?? {}
        await put(bare)
        t.same(await find('u-7'), [])
        await browser.post(host, '/set', { city: 'Bonn' })
        t.same(await find('u-7'), [key], 'gets its attribute with the next change')
        clock.forward(7201)
        t.same(await find('u-7'), [])
        await browser.post(host, '/login', { userId: 'u-7' })
        t.same(await find('u-7'), [hash(browser.sid() ?? '')])
        await browser.post(host, '/logout')
        t.same(await find('u-7'), [])
      })

      await t.test('two requests that have read the same session and change different keys do not undo each other', async t => {
        const { proxy, store } = await setStore(t, engine)
        const host = await startHost(t, name, store())
        const elsewhere = await startHost(t, name, store())
        const browser = new Browser()
        await browser.post(host, '/login', { first: 1, old: 1 })
        const slow = await meanwhile(proxy.gate('UpdateItem'), async () => await browser.post(host, '/set', { first: 2, old: null }),
          async () => await browser.post(elsewhere, '/set', { second: 2 }))
        t.equal(slow.status, 200)
        t.same((await browser.get(host, '/me')).body, { first: 2, second: 2 })
      })

      await t.test('a session that is logged out while a request changes it stays dead, and the request is answered', async t => {
        const { proxy, store, items } = await setStore(t, engine)
        const host = await startHost(t, name, store())
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        const slow = await meanwhile(proxy.gate('UpdateItem'), async () => await browser.post(host, '/set', { late: true }),
          async () => t.equal((await browser.post(host, '/logout')).status, 200))
        t.equal(slow.status, 200)
        t.same(await items(), [])
        t.same((await browser.get(host, '/me')).body, {})
      })

      await t.test('one that is logged out while a request renews it stays dead', async t => {
        const { proxy, clock, store, items } = await setStore(t, engine)
        const host = await startHost(t, name, store(), { session: { rolling: true } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        clock.forward(3600)
        const slow = await meanwhile(proxy.gate('UpdateItem'), async () => await browser.get(host, '/me'), async () => await browser.post(host, '/logout'))
        t.equal(slow.status, 200)
        t.same(await items(), [])
      })

      await t.test('one that expires is gone, though DynamoDB has not swept it, and a request that had read it does not bring it back', async t => {
        const { proxy, clock, store, items } = await setStore(t, engine)
        const [entered, held] = [makeGate(), makeGate()]
        const late: Act = async session => {
          entered.open()
          await held.passed
          session()['late'] = true
          return {}
        }
        const host = await startHost(t, name, store(), { acts: { ...ACTS, '/late': late } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        const slow = browser.post(host, '/late')
        await entered.passed
        clock.forward(7200)
        held.open()
        t.equal((await slow).status, 200)
        const [item] = await items()
        t.same(Object.keys(item?.['data']?.M ?? {}).sort(), ['cookie', 'userId'])
        proxy.take()
        t.same((await browser.get(host, '/me')).body, {})
        t.same(proxy.take(), ['GetItem'])
      })

      await t.test('visits renew a session once per reissue time, and keep it alive', async t => {
        const { proxy, clock, store, items } = await setStore(t, engine)
        const host = await startHost(t, name, store(), { session: { rolling: true } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        proxy.take()
        await browser.get(host, '/me')
        t.same(proxy.take(), ['GetItem'])
        const end = Number((await items())[0]?.['expires']?.N)
        clock.forward(1000)
        await browser.get(host, '/me')
        t.same(proxy.take(), ['GetItem', 'UpdateItem'])
        t.ok(Number((await items())[0]?.['expires']?.N) >= end + 1000)
        await browser.get(host, '/me')
        t.same(proxy.take(), ['GetItem'])
        for (let visits = 0; visits < 4; visits++) {
          clock.forward(6000)
          t.same((await browser.get(host, '/me')).body, { userId: 'u-42' })
        }
      })

      await t.test('a renewal that fails is no failure of the request', async t => {
        const { proxy, clock, store } = await setStore(t, engine)
        const host = await startHost(t, name, store(), { session: { rolling: true } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        clock.forward(1000)
        proxy.take()
        proxy.meet('UpdateItem', faults.error('ValidationException'))
        t.same((await browser.get(host, '/me')).body, { userId: 'u-42' })
        await browser.get(host, '/me')
        t.same(proxy.takeCalls().map(({ action, status }) => [action, status]), [
          ['GetItem', 200], ['UpdateItem', 400], ['GetItem', 200], ['UpdateItem', 200]
        ], 'and the next request renews')
      })

      await t.test('a cookie with an age decides how long its session lives, however long', async t => {
        const { proxy, clock, store, items } = await setStore(t, engine)
        const month = 30 * 24 * 3600
        const secure = { secure: false, maxAge: month * 1000 }
        const host = await startHost(t, name, store(), { session: { rolling: true, cookie: secure } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        const [item] = await items()
        t.same([item?.['idle']?.N, item?.['absolute']?.N], [String(month), '0'])
        t.ok(Math.abs(Number(item?.['expires']?.N) - clock.seconds() - month) < 5)
        proxy.take()
        clock.forward(3500)
        await browser.get(host, '/me')
        t.same(proxy.take(), ['GetItem'], 'renewed at most once an hour')
        clock.forward(200)
        await browser.get(host, '/me')
        t.same(proxy.take(), ['GetItem', 'UpdateItem'])
        clock.forward(month - 10)
        t.same((await browser.get(host, '/me')).body, { userId: 'u-42' }, 'a month after the last visit')
      })

      await t.test('a request that gives its cookie another age changes how long its session lives', async t => {
        const { store, items } = await setStore(t, engine)
        const host = await startHost(t, name, store(), { session: { rolling: true } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        t.equal((await items())[0]?.['idle'], undefined)
        await browser.post(host, '/age', { ms: 600_000 })
        t.same([(await items())[0]?.['idle']?.N, (await items())[0]?.['absolute']?.N], ['600', '0'])
        t.same((await browser.get(host, '/me')).body, { userId: 'u-42' })
      })

      await t.test('a change in place is saved, and one that is saved by hand is not undone at the end', async t => {
        const { proxy, store } = await setStore(t, engine)
        const host = await startHost(t, name, store())
        const browser = new Browser()
        await browser.post(host, '/login', { cart: ['apple'] })
        await browser.post(host, '/push')
        t.same((await browser.get(host, '/me')).body, { cart: ['apple', 'pear'] })
        proxy.take()
        await browser.post(host, '/save-twice', { soon: true })
        t.same(proxy.take(), ['GetItem', 'UpdateItem', 'UpdateItem'])
        t.same((await browser.get(host, '/me')).body, { cart: ['apple', 'pear'], soon: true, later: true })
        t.same((await browser.post(host, '/reload')).body, { cart: ['apple', 'pear'], soon: true, later: true })
      })

      await t.test('a failure is no log-out: 503, no cookie, and the session is there when the table is', async t => {
        const { proxy, store } = await setStore(t, engine)
        const host = await startHost(t, name, store())
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        proxy.meet('GetItem', faults.error('ResourceNotFoundException'))
        const failed = await browser.get(host, '/me')
        t.same([failed.status, failed.body.code, failed.setCookies], [503, 'FST_DYNAMODB_SESSION_UNAVAILABLE', []])
        t.same((await browser.get(host, '/me')).body, { userId: 'u-42' })
      })

      await t.test('an id that the table does not know is not adopted', async t => {
        const { store, items } = await setStore(t, engine)
        const host = await startHost(t, name, store())
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        const sid = browser.sid()
        await browser.post(host, '/logout')
        const planted = new Browser()
        await planted.post(host, '/set', { userId: 'u-7' })
        t.not(planted.sid(), sid)
        t.equal((await items())[0]?.['id']?.S, hash(planted.sid() ?? ''))
      })

      await t.test('what a handler throws after the session was read is thrown once', async t => {
        const { store } = await setStore(t, engine)
        let runs = 0
        const explode: Act = () => {
          runs += 1
          throw new Error('boom')
        }
        const host = await startHost(t, name, store(), { acts: { ...ACTS, '/explode': explode } })
        const browser = new Browser()
        await browser.post(host, '/login', { userId: 'u-42' })
        t.equal((await browser.get(host, '/explode')).status, 500)
        t.equal(runs, 1)
        t.same((await browser.get(host, '/me')).body, { userId: 'u-42' })
      })
    })
  }

  await t.test('an Express and a Fastify application read, change and end each other\'s sessions', async t => {
    const { store, items } = await setStore(t, engine)
    const shared = { rolling: true, cookie: { secure: false, maxAge: 3_600_000 } }
    const express = await startHost(t, 'express-session', store(), { session: shared })
    const fastify = await startHost(t, '@fastify/session', store(), { session: shared })
    for (const [first, second] of [[express, fastify], [fastify, express]] as const) {
      const browser = new Browser()
      await browser.post(first, '/login', { userId: 'u-42' })
      const sid = browser.sid()
      const before = Number((await items())[0]?.['ver']?.N)
      t.same((await browser.get(second, '/me')).body, { userId: 'u-42' })
      await browser.post(second, '/set', { city: 'Berlin' })
      t.same((await browser.get(first, '/me')).body, { userId: 'u-42', city: 'Berlin' })
      t.equal(browser.sid(), sid)
      const [item] = await items()
      t.same([Number(item?.['ver']?.N), item?.['idle']?.N], [before + 1, '3600'], 'and the cookie of the one is no change to the other')
      await browser.post(second, '/logout')
      t.same((await browser.get(first, '/me')).body, {})
      t.same(await items(), [])
    }
  })

  await t.test('what express-session cannot have in a session of its own stays what the other host has stored', async t => {
    const { store } = await setStore(t, engine)
    const [express, fastify] = [await startHost(t, 'express-session', store()), await startHost(t, '@fastify/session', store())]
    const browser = new Browser()
    const names = { id: 7, req: 8, toString: 'text', constructor: 'house' }
    await browser.post(fastify, '/login', { ...names, city: 'Berlin' })
    await browser.post(express, '/set', { userId: 'u-42', city: null })
    t.same((await browser.get(fastify, '/me')).body, { ...names, userId: 'u-42' })
  })

  await t.test('requests in parallel, through both hosts, each keep what they change', async t => {
    const { store } = await setStore(t, engine)
    const gate = makeGate()
    let waiting = 0
    const acts = {
      ...ACTS,
      '/together': async (session: Parameters<Act>[0], body: Record<string, unknown>) => {
        Object.assign(session(), body)
        if (++waiting === 6) gate.open()
        await gate.passed
        return {}
      }
    }
    const hosts = [await startHost(t, 'express-session', store(), { acts }), await startHost(t, '@fastify/session', store(), { acts })] as const
    const browser = new Browser()
    await browser.post(hosts[0], '/login', { userId: 'u-42' })
    const keys = ['a', 'b', 'c', 'd', 'e', 'f']
    await Promise.all(keys.map(async (key, index) => await browser.post(hosts[index % 2 as 0 | 1], '/together', { [key]: index })))
    t.same((await browser.get(hosts[0], '/me')).body, { userId: 'u-42', a: 0, b: 1, c: 2, d: 3, e: 4, f: 5 })
  })
})

onEachEngine(t, async (t, engine) => {
  await t.test('a store makes its table, finds out whether it is the right one, and gives back its client', async t => {
    const store = new DynamoStore({ table: `store-made-${process.pid}-${Date.now()}`, client: clientConfig(engine.endpoint), formerPrefixes: ['sess:'] })
    await t.rejects(store.verifyTable(), { code: 'FST_DYNAMODB_SESSION_TABLE_MISSING' })
    await store.createTable()
    await store.verifyTable()
    await store.set('sid', { cookie: {}, a: 1 })
    t.match(await store.get('sid'), { a: 1 })
    await store.close()
  })

  await t.test('a store that is closed waits for what is under way, also for what it asks of another store\'s records', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store({ formerPrefixes: ['sess:'] })
    for (const key of [hash('sid'), 'sess:sid']) {
      const gate = proxy.gate({ action: 'GetItem', when: input => input['Key']?.id?.S === key })
      const reading = ours.get('sid')
      await gate.reached
      const order: string[] = []
      const closing = ours.close().then(() => { order.push('closed') })
      gate.release()
      t.equal(await reading.finally(() => { order.push('read') }), null)
      await closing
      t.same(order, ['read', 'closed'], key)
    }
  })

  await t.test('express-session loads a session outside a request, as one of its own', async t => {
    const { store } = await setStore(t, engine)
    const ours = store()
    await startHost(t, 'express-session', ours)
    await ours.set('sid', { cookie: { originalMaxAge: 60_000, expires: null }, userId: 'u-42' })
    const session = await ours.load<{ id: string, userId: string, touch (): void }>('sid')
    t.same([session?.id, session?.userId, typeof session?.touch], ['sid', 'u-42', 'function'])
    t.equal(await ours.load('another'), undefined)
    const told = await new Promise<unknown[]>(resolve => { ours.load('sid', (...told: unknown[]) => { resolve(told) }) })
    t.match(told, [null, { userId: 'u-42' }])
  })

  await t.test('a log-in whose old session cannot be destroyed fails, and neither that session nor a new one has the new rights', async t => {
    const { proxy, store } = await setStore(t, engine)
    const ours = store()
    const host = await startHost(t, 'express-session', ours)
    const browser = new Browser()
    await browser.post(host, '/login', { userId: 'u-42' })
    const sid = browser.sid()
    proxy.meet('DeleteItem', faults.error('ResourceNotFoundException'))
    const failed = await browser.post(host, '/login', { userId: 'admin' })
    t.same([failed.status, failed.body.code], [503, 'FST_DYNAMODB_SESSION_UNAVAILABLE'])
    t.not(browser.sid(), sid, 'as express-session has it')
    t.same((await browser.get(host, '/me')).body, {})
    t.match(await ours.get(sid ?? ''), { userId: 'u-42' })
  })
})

t.test('a store is what both hosts want of one, in shape and in types', async t => {
  const store = new DynamoStore({ table: 'sessions', client: memoryRepository() })
  const forExpress: ExpressStore = store
  const forFastify: FastifyStore = store
  t.ok(forExpress instanceof EventEmitter)
  t.equal(forFastify, store)
  for (const scanning of ['all', 'length', 'clear']) t.notOk(scanning in store, `${scanning} would read the whole table`)
  t.equal(new DynamoStore({ table: 'sessions' }).listenerCount('error'), 0)
})

t.test('a store of the application\'s own hands on the callback that it may have been given', async t => {
  class Counting extends DynamoStore {
    sets = 0
    override set (sid: string, session: object, callback?: (error?: unknown) => void): Promise<void> {
      this.sets += 1
      super.set(sid, session, callback)
      super.touch(sid, session, callback)
      return super.set(sid, session)
    }

    override destroy (sid: string, callback?: (error?: unknown) => void): Promise<void> {
      super.destroy(sid, callback)
      return super.destroy(sid)
    }
  }
  const store = new Counting({ table: 'sessions', client: memoryRepository() })
  await store.set('sid', { cookie: {}, a: 1 })
  t.match(await store.get('sid'), { a: 1 })
  await store.destroy('sid')
  t.equal(await store.get('sid'), null)
  t.equal(store.sets, 1)
})

t.test('the table of options in docs/express.md has every option of the store', async t => {
  const names = rowsIn(read('docs/express.md'), 'store option', 'default').flatMap(([cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name))
  t.same(names.sort(), Object.keys(STORE_OPTIONS).sort())
})

/** As the types of express-session have it. */
interface HostCookie { originalMaxAge: number | null, expires?: Date | null, serialize (name: string, value: string): string }
interface HostData { cookie: HostCookie }
interface HostSession extends HostData { id: string, regenerate (callback: (error: unknown) => void): this }
declare abstract class ExpressStore extends EventEmitter {
  regenerate (req: { session: HostSession }, callback: (error?: unknown) => unknown): void
  load (sid: string, callback: (error: unknown, session?: HostData) => unknown): void
  createSession (req: { session: HostSession }, session: HostData): HostSession & HostData
  abstract get (sid: string, callback: (error: unknown, session?: HostData | null) => void): void
  abstract set (sid: string, session: HostData, callback?: (error?: unknown) => void): void
  abstract destroy (sid: string, callback?: (error?: unknown) => void): void
  touch? (sid: string, session: HostData, callback?: () => void): void
}

/** As the types of @fastify/session have it. */
interface FastifyStore {
  set (sessionId: string, session: HostData, callback: (error?: unknown) => void): void
  get (sessionId: string, callback: (error: unknown, result?: HostData | null) => void): void
  destroy (sessionId: string, callback: (error?: unknown) => void): void
}
