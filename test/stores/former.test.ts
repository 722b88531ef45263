import t, { type Test } from 'tap'
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { makeStore } from '../../bench/applications/stores.js'
import { hash } from '../../lib/token.js'
import type { DynamoStore } from '../../store/index.js'
import { clientConfig, onOneEngine, type Engine } from '../support/engines.js'
import { findIn, indexOn } from '../support/indexes.js'
import { Browser, HOSTS, meanwhile, setStore, startHost, type Host, type HostName, type StoreStage } from '../support/hosts.js'
import { faults } from '../support/proxy.js'

const PREFIXES = ['sess:', 'session#']

interface Moving extends StoreStage {
  readonly host: Host
  readonly browser: Browser
  readonly elsewhere: Host
  /** The key of the record that the other store left. */
  readonly former: string
}

/** A visitor who has logged in while the other store was in use, and the application as it goes on with ours. */
async function setMove (t: Test, engine: Engine, other: string, name: HostName = 'express-session', session: Record<string, unknown> = {}): Promise<Moving> {
  const stage = await setStore(t, engine)
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  const before = await startHost(t, name, makeStore(client, stage.table, other) as DynamoStore, { session })
  t.teardown(() => { client.destroy() })
  const browser = new Browser()
  await browser.post(before, '/login', { userId: 'u-42', cart: ['apple'], at: new Date(0) })
  const start = async (): Promise<Host> => await startHost(t, name, stage.store({ formerPrefixes: PREFIXES }), { session: { rolling: true, ...session } })
  const former = (other === 'connect-dynamodb' ? 'sess:' : 'session#') + (browser.sid() ?? '')
  stage.proxy.take()
  return { ...stage, host: await start(), elsewhere: await start(), browser, former }
}

const isOf = (key: string) => (input: Record<string, any>): boolean => input['Key']?.id?.S === key

const DATA = { userId: 'u-42', cart: ['apple'], at: '1970-01-01T00:00:00.000Z' }

onOneEngine(t, async (t, engine) => {
  for (const other of ['connect-dynamodb', 'dynamodb-session-store']) {
    for (const name of HOSTS) {
      await t.test(`a visitor whom ${other} has logged in stays so with ${name}, and moves with the first change`, async t => {
        const { proxy, host, browser, former, items } = await setMove(t, engine, other, name)
        t.same((await browser.get(host, '/me')).body, DATA)
        t.equal((await items()).length, 1)
        proxy.take()
        await browser.post(host, '/set', { city: 'Berlin' })
        t.same(proxy.take(), ['GetItem', 'GetItem', 'GetItem', 'PutItem', 'GetItem', 'DeleteItem'])
        t.same((await items()).map(item => item['id']?.S), [hash(browser.sid() ?? '')])
        t.notOk(JSON.stringify(await items()).includes(former), 'the id stands nowhere any more')
        t.same((await browser.get(host, '/me')).body, { ...DATA, city: 'Berlin' })
        t.same(proxy.take(), ['GetItem'])
      })

      await t.test(`one who logs out is logged out of ${other} too with ${name}`, async t => {
        const { proxy, host, browser, former, put, item, items } = await setMove(t, engine, other, name)
        const left = await item(former)
        await browser.post(host, '/set', { city: 'Berlin' })
        if (left !== undefined) await put(left)
        proxy.take()
        await browser.post(host, '/logout')
        t.same(proxy.take().sort(), ['DeleteItem', 'DeleteItem', 'DeleteItem', 'GetItem'])
        t.same(await items(), [])
        t.same((await browser.get(host, '/me')).body, {})
      })
    }

    await t.test(`a session of ${other} that expires is gone, and the age of its cookie is carried over`, async t => {
      const age = { cookie: { secure: false, maxAge: 600_000 } }
      const { clock, host, browser, items } = await setMove(t, engine, other, 'express-session', age)
      clock.forward(500)
      t.same((await browser.get(host, '/me')).body, DATA, 'a visit that is due for a renewal moves it')
      const [item] = await items()
      t.same([item?.['id']?.S, item?.['idle']?.N, item?.['absolute']?.N], [hash(browser.sid() ?? ''), '600', '0'])
      t.ok(Math.abs(Number(item?.['expires']?.N) - clock.seconds() - 600) < 5)
      clock.forward(601)
      t.same((await browser.get(host, '/me')).body, {})

      const late = await setMove(t, engine, other, 'express-session', age)
      late.clock.forward(601)
      t.same((await late.browser.get(late.host, '/me')).body, {})
      t.equal((await late.items()).length, 1, 'as it was')
    })

    await t.test(`two requests that move a session of ${other} at the same time each keep what they change`, async t => {
      const { proxy, host, elsewhere, browser, items } = await setMove(t, engine, other)
      const slow = await meanwhile(proxy.gate('PutItem'), async () => await browser.post(host, '/set', { first: 1, cart: null }),
        async () => await browser.post(elsewhere, '/set', { second: 2 }))
      t.equal(slow.status, 200)
      const { cart, ...rest } = DATA
      t.same((await browser.get(host, '/me')).body, { ...rest, first: 1, second: 2 })
      t.equal((await items()).length, 1)
    })

    await t.test(`a request that comes while another moves a session of ${other} finds it`, async t => {
      const { proxy, host, elsewhere, browser, former } = await setMove(t, engine, other)
      const gate = proxy.gate({ action: 'GetItem', when: isOf(former) })
      const slow = await meanwhile(gate, async () => await browser.post(host, '/set', { first: 1 }),
        async () => t.equal((await browser.post(elsewhere, '/set', { second: 2 })).status, 200))
      t.equal(slow.status, 200)
      t.same((await browser.get(host, '/me')).body, { ...DATA, first: 1, second: 2 })
    })

    await t.test(`a session of ${other} that is logged out before, or while, a request moves it does not come back`, async t => {
      for (const match of ['PutItem', 'DeleteItem'] as const) {
        const { proxy, host, elsewhere, browser, items } = await setMove(t, engine, other)
        const slow = await meanwhile(proxy.gate(match), async () => await browser.post(host, '/set', { late: true }),
          async () => t.equal((await browser.post(elsewhere, '/logout')).status, 200))
        t.equal(slow.status, 200)
        t.same(await items(), [], match)
        t.same((await browser.get(host, '/me')).body, {})
      }
    })
  }

  for (const name of HOSTS) {
    for (const [key, type, value, next] of [['userId', 'S', 'u-42', 'u-7'], ['level', 'N', 41.5, 42]] as const) {
      await t.test(`an index on a special key of connect-dynamodb of type ${type} finds a session before and after it moves, with ${name}`, async t => {
        const { table, proxy, direct, clock, store } = await setStore(t, engine, indexOn(key, type))
        const find = async (value: unknown): Promise<string[]> => await findIn(direct, table, key, value, clock.seconds())
        const theirs = makeStore(direct, table, 'connect-dynamodb', { specialKeys: [{ name: key, type }], skipThrowMissingSpecialKeys: true })
        const before = await startHost(t, name, theirs as DynamoStore)
        const host = await startHost(t, name, store({ formerPrefixes: ['sess:'], indexKeys: [key] }), { session: { rolling: true } })
        const browser = new Browser()
        await browser.post(before, '/login', { [key]: value })
        const sid = browser.sid() ?? ''
        t.same(await find(value), [`sess:${sid}`])
        await browser.get(host, '/me')
        t.same(await find(value), [`sess:${sid}`])
        proxy.take()
        await browser.post(host, '/set', { city: 'Berlin' })
        t.same(proxy.take(), ['GetItem', 'GetItem', 'PutItem', 'GetItem', 'DeleteItem'], 'as without')
        t.same(await find(value), [hash(sid)])
        await browser.post(host, '/set', { [key]: next })
        t.same(proxy.take(), ['GetItem', 'UpdateItem'])
        t.same([await find(value), await find(next)], [[], [hash(sid)]])
        await browser.post(host, '/set', { [key]: null })
        t.same(await find(next), [], 'a session without it is in no index')
        await browser.post(host, '/set', { [key]: value })
        t.same(await find(value), [hash(sid)])
        await browser.post(host, '/logout')
        t.same(await find(value), [])
      })
    }
  }

  await t.test('a log-out between the write and the look of a move leaves nothing', async t => {
    const { proxy, host, elsewhere, browser, former, items } = await setMove(t, engine, 'connect-dynamodb')
    await browser.get(host, '/me')
    // After the one that reads the session.
    const gate = proxy.gate({ action: 'GetItem', when: isOf(former), letBy: 1 })
    const slow = await meanwhile(gate, async () => await browser.post(host, '/set', { late: true }), async () => await browser.post(elsewhere, '/logout'))
    t.equal(slow.status, 200)
    t.same(await items(), [])
  })

  await t.test('a log-out that a whole move overtakes ends what was moved', async t => {
    const { proxy, host, elsewhere, browser, former, items } = await setMove(t, engine, 'connect-dynamodb')
    const gate = proxy.gate({ action: 'DeleteItem', when: isOf(former) })
    const logout = await meanwhile(gate, async () => await browser.post(host, '/logout'),
      async () => t.equal((await browser.post(elsewhere, '/set', { city: 'Berlin' })).status, 200))
    t.equal(logout.status, 200)
    t.same(await items(), [])
  })

  await t.test('a request that looks while another moves the session does not take it for missing', async t => {
    const { proxy, host, elsewhere, browser, former } = await setMove(t, engine, 'connect-dynamodb')
    const slow = await meanwhile(proxy.gate({ action: 'GetItem', when: isOf(former) }), async () => await browser.get(host, '/me'),
      async () => t.equal((await browser.post(elsewhere, '/set', { city: 'Berlin' })).status, 200))
    t.same(slow.body, { ...DATA, city: 'Berlin' })
  })

  await t.test('with eventually consistent reads, what another store has just written is not taken for missing', async t => {
    const { table, proxy, store } = await setStore(t, engine)
    const client = new DynamoDBClient(clientConfig(proxy.endpoint))
    t.teardown(() => { client.destroy() })
    const ours = store({ formerPrefixes: PREFIXES, consistentRead: false })
    proxy.staleReads = true
    const Item = { id: { S: 'sess:sid' }, sess: { S: '{"cookie":{"originalMaxAge":null},"a":1}' } }
    await client.send(new PutItemCommand({ TableName: table, Item, ConditionExpression: 'attribute_not_exists(id)' }))
    t.match(await ours.get('sid'), { a: 1 })
  })

  await t.test('where a move cannot be finished, the session is where it was, and the next change moves it', async t => {
    const { proxy, store, browser, former, items } = await setMove(t, engine, 'connect-dynamodb')
    const ours = store({ formerPrefixes: PREFIXES })
    const sid = browser.sid() ?? ''
    const session = await ours.get(sid)
    proxy.take()
    proxy.meet({ action: 'GetItem', when: isOf(former) }, faults.error('ResourceNotFoundException'))
    await t.rejects(ours.set(sid, { ...session, city: 'Berlin' }), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    t.same(proxy.take(), ['PutItem', 'GetItem', 'DeleteItem'])
    t.same((await items()).map(item => item['id']?.S), [former])
    const again = await ours.get(sid)
    t.same(again, { ...session, ...DATA })
    await ours.set(sid, Object.assign(again ?? {}, { city: 'Berlin' }))
    t.match(await ours.get(sid), { ...DATA, city: 'Berlin' })
  })

  await t.test('nor can it be taken back while the table is away; and what was moved but not removed is no harm', async t => {
    const { proxy, store, browser, former, items } = await setMove(t, engine, 'connect-dynamodb')
    const ours = store({ formerPrefixes: PREFIXES })
    const sid = browser.sid() ?? ''
    const session = await ours.get(sid)
    proxy.meet({ action: 'GetItem', when: isOf(former) }, faults.error('ResourceNotFoundException'))
    proxy.meet('DeleteItem', faults.error('ResourceNotFoundException'))
    const change = Object.assign(session ?? {}, { city: 'Berlin' })
    await t.rejects(ours.set(sid, change), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    t.equal((await items()).length, 2)
    await ours.set(sid, change)
    t.match(await ours.get(sid), { ...DATA, city: 'Berlin' })
    await ours.destroy(sid)
    t.same(await items(), [])

    const other = await setMove(t, engine, 'connect-dynamodb')
    const theirs = other.store({ formerPrefixes: PREFIXES })
    const second = await theirs.get(other.browser.sid() ?? '')
    other.proxy.meet('DeleteItem', faults.error('ResourceNotFoundException'))
    await theirs.set(other.browser.sid() ?? '', Object.assign(second ?? {}, { city: 'Berlin' }))
    t.equal((await other.items()).length, 2, 'it was written all the same')
    t.match(await theirs.get(other.browser.sid() ?? ''), { ...DATA, city: 'Berlin' })
  })

  await t.test('what other stores left is not looked for unless it is asked for, nor under a key that no table has', async t => {
    const { proxy, store } = await setStore(t, engine)
    t.equal(await store().get('an unknown id'), null)
    t.same(proxy.take(), ['GetItem'])
    const ours = store({ formerPrefixes: PREFIXES })
    t.equal(await ours.get('an unknown id'), null)
    // Those of the other stores are read side by side, and arrive as they come.
    const [first, one, other, last] = proxy.takeCalls().map(({ input }) => input['Key']?.id?.S)
    t.same([first, ...[one, other].sort(), last], [hash('an unknown id'), 'sess:an unknown id', 'session#an unknown id', hash('an unknown id')])
    t.equal(await ours.get('x'.repeat(2043)), null)
    t.same(proxy.take(), ['GetItem', 'GetItem', 'GetItem'])
    await ours.destroy('x'.repeat(2049))
    t.same(proxy.take(), ['DeleteItem'])
  })

  await t.test('a log-out that could not remove what another store left is not acknowledged', async t => {
    const { proxy, store, browser, items } = await setMove(t, engine, 'connect-dynamodb')
    proxy.meet('DeleteItem', faults.error('ResourceNotFoundException'))
    await t.rejects(store({ formerPrefixes: ['sess:'] }).destroy(browser.sid() ?? ''), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    t.equal((await items()).length, 1)
  })

  await t.test('an answer without a proof is a failure, and not a missing session', async t => {
    const { proxy, store, browser, former } = await setMove(t, engine, 'connect-dynamodb')
    proxy.intercept = (action, input) => action === 'GetItem' && input['Key']?.id?.S === former ? { status: 200, body: {} } : undefined
    await t.rejects(store({ formerPrefixes: PREFIXES }).get(browser.sid() ?? ''), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  })

  await t.test('a session without an end, or a ghost, of another store: the one lives as long as the timeouts say, the other not at all', async t => {
    const { clock, store, put, items } = await setStore(t, engine)
    const ours = store({ formerPrefixes: PREFIXES })
    await put({ id: { S: 'sess:endless' }, sess: { S: '{"cookie":{"originalMaxAge":null},"user":"ann"}' } })
    await put({ id: { S: 'sess:ghost' }, expires: { N: String(clock.seconds() + 60) } })
    const session = await ours.get('endless')
    t.match(session, { user: 'ann' })
    await ours.touch('endless', session ?? {})
    t.equal(await ours.get('ghost'), null)
    clock.forward(1000)
    await ours.touch('endless', session ?? {})
    const [item] = (await items()).filter(({ id }) => id?.S === hash('endless'))
    t.ok(Math.abs(Number(item?.['expires']?.N) - clock.seconds() - 7200) < 5)
  })

  await t.test('with keys, what is not sealed is read until the day that was named, and sealed when it moves', async t => {
    const { store, put, items, clock } = await setStore(t, engine)
    const encryptionKeys = new Uint8Array(32).fill(1)
    const until = (seconds: number): Date => new Date((clock.seconds() + seconds) * 1000)
    await put({ id: { S: 'sess:plain' }, sess: { S: '{"cookie":{},"user":"a name to hide"}' } })
    const ours = store({ formerPrefixes: PREFIXES, encryptionKeys, acceptPlainUntil: until(60) })
    t.equal(await store({ formerPrefixes: PREFIXES, encryptionKeys, acceptPlainUntil: until(-60) }).get('plain'), null)
    const session = await ours.get('plain')
    t.match(session, { user: 'a name to hide' })
    await ours.set('plain', Object.assign(session ?? {}, { more: 1 }))
    t.notMatch(JSON.stringify(await items()), 'a name to hide')
    t.match(await ours.get('plain'), { user: 'a name to hide', more: 1 })
  })
})
