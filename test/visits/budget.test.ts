import t from 'tap'
import { setStage } from '../support/app.js'
import { onEachEngine } from '../support/engines.js'
import { setCookieNames } from '../support/visitor.js'

const SECRET = 'a secret that is long enough to sign with'

onEachEngine(t, async (t, engine) => {
  await t.test('an anonymous visitor costs no call and gets no cookie, on any route', async t => {
    const { app, proxy, visitor } = await setStage(t, engine)
    for (const url of ['/nothing', '/me', '/no-such-page']) {
      const response = await visitor().get(url)
      t.same(setCookieNames(response), [], url)
    }
    t.same(setCookieNames(await app.inject({ method: 'OPTIONS', url: '/me' })), [])
    t.same(setCookieNames(await app.inject({ method: 'HEAD', url: '/nothing' })), [])
    t.same(proxy.take(), [])
  })

  await t.test('a forged token costs no call where tokens are signed, and one eventually consistent read where they are not', async t => {
    for (const [secrets, calls] of [[SECRET, 0], [undefined, 1]] as const) {
      const { proxy, visitor } = await setStage(t, engine, { session: secrets === undefined ? {} : { secrets } })
      const forger = visitor()
      const id = Buffer.alloc(32, 7).toString('base64url')
      forger.plant('__Host-id', secrets === undefined ? id : `${id}.${'A'.repeat(43)}`)
      const response = await forger.get('/me')
      t.equal(response.statusCode, 200)
      t.same(response.json(), { data: {} })
      t.same(setCookieNames(response), [])
      const made = proxy.takeCalls()
      t.equal(made.length, calls)
      t.ok(made.every(call => call.action === 'GetItem' && call.input['ConsistentRead'] === false && call.capacity === 0.5))
    }
  })

  await t.test('the first data costs one PutItem and sends the token with its companion', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const response = await visitor().post('/set', { count: 1 })
    t.same(setCookieNames(response), ['__Host-id', '__Host-id-v'])
    t.same(proxy.take(), ['PutItem'])
  })

  await t.test('a signed-in read costs one eventually consistent GetItem of half a unit, and sends nothing', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { 'any:text': 'x'.repeat(3500) })
    proxy.take()
    const response = await ann.get('/me')
    t.same(setCookieNames(response), [])
    t.equal(response.headers['cache-control'], undefined)
    const calls = proxy.takeCalls()
    t.same(calls.map(({ action, capacity, input }) => [action, capacity, input['ConsistentRead']]), [['GetItem', 0.5, false]])
  })

  await t.test('once per reissue time a read renews: one UpdateItem, and still no cookie', async t => {
    const { proxy, visitor, clock } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    clock.forward(719)
    proxy.take()
    await ann.get('/me')
    t.same(proxy.take(), ['GetItem'], 'one second before the reissue time')
    clock.forward(1)
    const response = await ann.get('/me')
    t.same(proxy.take(), ['GetItem', 'UpdateItem'], 'at the reissue time')
    t.same(setCookieNames(response), [])
    await ann.get('/me')
    t.same(proxy.take(), ['GetItem'], 'right after')
  })

  await t.test('changing one key of ten costs one UpdateItem that carries that key only, and sends the companion only', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`any:${index}`, `value ${index}`])))
    proxy.take()
    const response = await ann.post('/set', { 'any:3': 'changed' })
    t.same(setCookieNames(response), ['__Host-id-v'])
    const [read, write, ...others] = proxy.takeCalls()
    t.same([read?.action, write?.action, others.length], ['GetItem', 'UpdateItem', 0])
    const body = JSON.stringify(write?.input)
    t.match(body, 'any:3')
    t.notMatch(body, /any:[0-24-9]/)
    t.notMatch(body, 'value')
  })

  await t.test('a log-in of a known visitor costs a read, a PutItem and an UpdateItem', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { cart: ['apple'] })
    proxy.take()
    const response = await ann.post('/login')
    t.same(proxy.take(), ['GetItem', 'PutItem', 'UpdateItem'])
    t.same(setCookieNames(response), ['__Host-id', '__Host-id-v'])
  })

  await t.test('a log-in of a stranger costs one PutItem', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    await visitor().post('/login')
    t.same(proxy.take(), ['PutItem'])
  })

  await t.test('a log-out costs a read and a DeleteItem, and clears the token', async t => {
    const { proxy, visitor, items } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/login')
    proxy.take()
    const response = await ann.post('/logout')
    t.same(proxy.take(), ['GetItem', 'DeleteItem'])
    t.same(setCookieNames(response), ['__Host-id'])
    t.same(ann.cookieNames(), ['__Host-id-v'], 'the companion goes by itself')
    t.same(await items(), [])
  })

  await t.test('a route without session costs no call', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/login')
    proxy.take()
    const response = await ann.get('/off')
    t.equal(response.body, 'off')
    t.same(proxy.take(), [])
    t.same(setCookieNames(response), [])
  })
})
