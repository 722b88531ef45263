import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { get, request, type IncomingMessage } from 'node:http'
import { get as secureGet, request as secureRequest } from 'node:https'
import { createServer, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { unitsOf } from '../cli/bill.js'
import { OURS } from '../cli/systems.js'
import { buildDemo, type DemoOptions } from '../demo/app.js'
import { addProduct, countOf, shownCart } from '../demo/cart.js'
import { drawChart } from '../demo/chart.js'
import { deviceOf } from '../demo/device.js'
import { startEngine } from '../demo/engine.js'
import { Ledger } from '../demo/ledger.js'
import { follow } from '../demo/live.js'
import { kindOf, OTHERS, spentBy, type Facts, type Spent } from '../demo/spending.js'
import { makeCertificate } from './support/certificate.js'
import { NOT_COVERED } from './support/children.js'
import { clientConfig, startDynalite } from './support/engines.js'
import { makeGate } from './support/gate.js'
import { FaultProxy } from './support/proxy.js'
import { setCookieNames, setCookies, Visitor } from './support/visitor.js'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Demo { readonly app: FastifyInstance, readonly proxy: FaultProxy }

/** The demonstration on an engine of its own, with a proxy between them, which is also what its button stops. */
async function setDemo (t: Test, options: Partial<DemoOptions> = {}, prepare: (app: FastifyInstance) => void = () => {}): Promise<Demo> {
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  let isOn = true
  const database = {
    get isOn () { return isOn },
    turnOff: async () => { isOn = false; await proxy.stop() },
    turnOn: async () => { isOn = true; await proxy.restart() }
  }
  const app = await buildDemo({ logger: false, table: 'demo-sessions', client: clientConfig(proxy.endpoint), database, ...options })
  t.teardown(async () => {
    await app.close()
    await engine.close()
    await proxy.close()
  })
  prepare(app)
  await app.ready()
  proxy.take()
  return { app, proxy }
}

async function submit (visitor: Visitor, url: string, fields: Record<string, string> = {}, headers: InjectOptions['headers'] = {}): Promise<LightMyRequestResponse> {
  return await visitor.request({ ...form(fields, headers), method: 'POST', url })
}

function form (fields: Record<string, string>, headers: InjectOptions['headers'] = {}): Pick<InjectOptions, 'payload' | 'headers'> {
  return { payload: new URLSearchParams(fields).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } }
}

/** The panel's requests as plain text, newest first. */
function panelLines (page: string): string[] {
  const list = /<ol class="requests">(.*)<\/ol>/s.exec(page)?.[1] ?? ''
  return list.split('<p class="request">').slice(1).map(plain)
}

function plain (html: string): string {
  return html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim()
}

function heading (page: string): string {
  return plain(/<h1[^>]*>(.*?)<\/h1>/s.exec(page)?.[1] ?? '')
}

/** How many of a product the cart page shows. */
async function quantityOf (visitor: Visitor, name: string): Promise<number> {
  const lines = plain((await visitor.get('/cart')).body.replace(/aria-label="(.*?)">/g, '>$1 '))
  return Number(new RegExp(`One ${name} less − (\\d+)`).exec(lines)?.[1] ?? 0)
}

t.test('each page and form costs what it should, and the panel shows what went over the wire', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  const listed = ['GetItem', 'GetItem']
  const steps: Array<[string, Record<string, string> | undefined, string[], string[]]> = [
    ['/', undefined, [], []],
    ['/cart', undefined, [], []],
    ['/login', undefined, [], []],
    ['/cart/take', { product: 'cup' }, [], []],
    ['/cart/add', { product: 'cup' }, ['PutItem'], ['id', 'id-v']],
    ['/', undefined, ['GetItem'], []],
    ['/cart/add', { product: 'bowl' }, ['GetItem', 'UpdateItem'], ['id-v']],
    ['/cart', undefined, ['GetItem'], []],
    ['/cart/engrave', { product: 'bowl', engraving: 'Ann' }, ['GetItem', 'UpdateItem'], ['id-v']],
    ['/cart/wrap', { wrapped: 'yes' }, ['GetItem', 'UpdateItem'], ['id-v']],
    // The list of a user whose first session this is: an update that finds none, and a put.
    ['/login', { name: 'Ann' }, ['GetItem', 'UpdateItem', 'PutItem', 'PutItem', 'UpdateItem'], ['id', 'id-v']],
    ['/account', undefined, listed, []],
    ['/account/timeout', { seconds: '60' }, ['GetItem', 'UpdateItem'], ['id-v']],
    ['/account/devices/revoke-others', {}, ['GetItem', 'GetItem'], []],
    ['/pay', {}, ['GetItem', 'UpdateItem'], ['id-v']],
    ['/costs', undefined, [], []],
    ['/try', undefined, [], []],
    ['/logout', {}, ['GetItem', 'DeleteItem', 'UpdateItem'], ['id']],
    ['/', undefined, [], []]
  ]
  for (const [url, fields, calls, cookies] of steps) {
    const response = fields === undefined ? await ann.get(url) : await submit(ann, url, fields)
    t.equal(response.statusCode, fields === undefined || url === '/pay' ? 200 : 303, url)
    t.same(setCookieNames(response), cookies, url)
    const made = proxy.takeCalls()
    t.same(made.map(({ action }) => action), calls, url)
    const newest = panelLines((await app.inject('/try')).body)[1] ?? ''
    t.ok(newest.startsWith(`${fields === undefined ? 'GET' : 'POST'} ${url} ${response.statusCode} `), newest)
    const shown = [...newest.matchAll(/(\w+Item) to \w+(, \w+)? (condition not met|([\d.]+) ([RW]CU)) [\d.]+ ms/g)]
    t.same(shown.map(([, action, , , units = '0', kind = 'none']) => [action, units, kind]),
      made.map(({ action, capacity }) => [action, String(capacity), capacity === 0 ? 'none' : action === 'GetItem' ? 'RCU' : 'WCU']), `the panel agrees: ${newest}`)
    t.same(proxy.take(), [], 'looking at the panel without a session costs nothing')
  }
})

t.test('the panel tells a strong read from an eventual one, and calls of requests at the same time stand with their own', async t => {
  const { app, proxy } = await setDemo(t)
  const visitors = await Promise.all(Array.from({ length: 3 }, async () => {
    const visitor = new Visitor(app)
    await submit(visitor, '/cart/add', { product: 'cup' })
    return visitor
  }))
  await Promise.all(visitors.flatMap(async (visitor, index) =>
    index === 0 ? await visitor.get('/') : await submit(visitor, '/cart/add', { product: 'cup' })))
  const newest = panelLines((await app.inject('/try')).body).slice(1, 4).map(line => line.replace(/ [\d.]+ ms/g, '')).sort()
  t.same(newest, [
    // All three are read together, and each has its own share.
    'GET / 200 1 call, 0.5 RCU BatchGetItem to load, eventual 0.5 RCU',
    ...Array.from({ length: 2 }, () =>
      'POST /cart/add 303 2 calls, 0.5 RCU, 1 WCU BatchGetItem to load, eventual 0.5 RCU UpdateItem to save 1 WCU')
  ])
  const [, ann] = visitors as [Visitor, Visitor]
  proxy.staleReads = true
  await submit(ann, '/cart/add', { product: 'cup' })
  const { body } = await ann.get('/cart')
  t.match(panelLines(body)[0], /^GET \/cart this page 2 calls, 1.5 RCU GetItem to load, eventual 0.5 RCU [\d.]+ ms GetItem to load, strong 1 RCU /)
  t.match(plain(body), '3 things')
})

t.test('calls stand with their request also where its body comes late', async t => {
  let sendBody = (): void => {}
  const { app } = await setDemo(t, {}, app => app.addHook('preParsing', async () => { setImmediate(sendBody) }))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const late = request(`${url}/cart/add`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': 11 } })
  sendBody = () => { late.end('product=cup') }
  late.flushHeaders()
  const [response] = await once(late, 'response') as [IncomingMessage]
  response.resume()
  t.equal(response.statusCode, 303)
  sendBody = () => {}
  t.match(panelLines((await app.inject('/try')).body)[1], /^POST \/cart\/add 303 1 call, 1 WCU PutItem to create 1 WCU /)
})

t.test('what a visitor types is shown as text, wherever it is shown', async t => {
  const { app } = await setDemo(t)
  const evil = '"\'><script>alert(1)</script>&amp;'
  const escaped = '&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;'
  const ann = new Visitor(app)
  await submit(ann, '/login', { name: evil }, { 'user-agent': '<script>alert(1)</script> Firefox/1' })
  await submit(ann, '/cart/add', { product: 'cup' })
  await submit(ann, '/cart/engrave', { product: 'cup', engraving: evil })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  // `inject` and `fetch` would encode the path; a visitor who means ill does not.
  const [missing] = await once(get(url, { path: '/<script>alert(1)</script>?q=<script>' }), 'response') as [IncomingMessage]
  t.match(await text(missing), 'GET /&lt;script&gt;alert(1)&lt;/script&gt;</strong> <span>this page')
  const pages = await Promise.all(['/account', '/cart', '/?added=<script>', '/cart?tabs=<script>&before=<script>', '/account?done=<script>'].map(async path => await ann.get(path)))
  t.match(pages[0]!.body, `<h1>Hello, ${escaped}</h1>`)
  t.match(pages[1]!.body, `<q>${escaped}</q>`)
  t.match(pages[1]!.body, `value="${escaped}"`)
  for (const { body, headers } of pages) {
    t.notMatch(body.replace('<script src="/assets/demo.js" defer></script>', ''), /<script/i)
    t.match(headers['content-security-policy'], /^default-src 'none'; script-src 'self'; style-src 'self';/, 'a browser would run nothing of it anyway')
    t.equal(headers['cache-control'], 'no-store')
    t.notMatch(body, /\sstyle=|\son\w+=/, 'nothing on the page needs a laxer policy')
  }
})

t.test('a form that another site sends is not carried out', async t => {
  const { app, proxy } = await setDemo(t)
  const refused = ['same-site', 'cross-site'].map(site => ({ 'sec-fetch-site': site }))
  for (const headers of [...refused, { origin: 'https://evil.example' }, { origin: 'null' }]) {
    const response = await app.inject({ ...form({ name: 'Eve' }, headers), method: 'POST', url: '/login' })
    t.equal(response.statusCode, 403)
    t.same(setCookieNames(response), [])
    t.equal((await app.inject({ ...form({}, headers), method: 'POST', url: '/database/stop' })).statusCode, 403)
  }
  t.same(proxy.take(), [])
  for (const headers of [{ 'sec-fetch-site': 'same-origin', origin: 'null' }, { 'sec-fetch-site': 'none' }, { origin: 'http://127.0.0.1:3000', host: '127.0.0.1:3000' }, {}]) {
    t.equal((await app.inject({ ...form({ name: 'Ann' }, headers), method: 'POST', url: '/login' })).statusCode, 303)
  }
  t.equal((await app.inject({ url: '/', headers: { 'sec-fetch-site': 'cross-site' } })).statusCode, 200, 'a link from elsewhere is followed')
  const before = panelLines((await app.inject('/try')).body).length
  // Of a name that its owner lets lead here: for the browser, the shop is then that owner's own.
  for (const host of ['evil.example', 'evil.example:3000', 'localhost.evil.example', '127.0.0.1.evil.example', '0.0.0.0:3000']) {
    for (const [method, url] of [['POST', '/database/stop'], ['GET', '/'], ['GET', '/events'], ['GET', '/assets/demo.js']] as const) {
      const answer = await app.inject({ method, url, headers: { host, origin: `http://${host}` } })
      t.equal(answer.statusCode, 421, `${method} ${url} of ${host}`)
      t.equal(answer.headers['x-content-type-options'], 'nosniff')
    }
  }
  t.equal(panelLines((await app.inject('/try')).body).length, before + 1, 'and what was refused counts nowhere')
  for (const host of ['localhost', 'LOCALHOST:3000', '127.0.0.1:1', '[::1]:3000']) t.equal((await app.inject({ url: '/try', headers: { host } })).statusCode, 200, host)
})

t.test('a form that is filled in wrongly is answered with a remark, and stores nothing', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  const wrong: Array<[string, Record<string, string>, string]> = [
    ['/login', {}, 'Give a name'], ['/login', { name: ' ' }, 'Give a name'], ['/login', { name: 'x'.repeat(41) }, 'Give a name'],
    ['/cart/add', {}, 'There is no such product'], ['/cart/add', { product: 'sword' }, 'There is no such product'],
    ['/cart/tabs', { product: 'sword' }, 'There is no such product']
  ]
  for (const [url, fields, remark] of wrong) {
    const response = await submit(ann, url, fields)
    t.equal(response.statusCode, 400)
    t.match(response.body, `role="alert">${remark}`)
    t.same(setCookieNames(response), [])
  }
  t.equal((await ann.request({ method: 'POST', url: '/login' })).statusCode, 400, 'without a body')
  const twice = await ann.request({
    method: 'POST', url: '/login', payload: 'name=a&name=b', headers: { 'content-type': 'application/x-www-form-urlencoded' }
  })
  t.equal(twice.statusCode, 400, 'with a field sent twice')
  for (const url of ['/cart/engrave', '/cart/wrap', '/pay']) t.equal((await submit(ann, url, { product: 'cup' })).headers.location, '/cart')
  for (const url of ['/account/timeout', '/account/devices/revoke', '/account/devices/revoke-others']) {
    t.match((await submit(ann, url, { seconds: '20' })).headers.location, /^\/(login|account)/, 'nobody is logged in')
  }
  t.same(proxy.take(), [], 'and nothing was asked of the table')
  await submit(ann, '/login', { name: 'Ann' })
  const choice = await submit(ann, '/account/timeout', { seconds: '7' })
  t.equal(choice.statusCode, 400)
  t.match(choice.body, 'role="alert">Choose one of the times.')
})

t.test('a log-in gives a new id and keeps the cart, and a log-out ends both', async t => {
  const { app } = await setDemo(t)
  const ann = new Visitor(app)
  await submit(ann, '/cart/add', { product: 'cup' })
  const planted = ann.cookie('id')
  const login = await submit(ann, '/login', { name: 'Ann' })
  t.equal(login.headers.location, '/account')
  t.not(ann.cookie('id'), planted)
  t.equal(await quantityOf(ann, 'Cup'), 1)
  t.equal((await ann.get('/login')).headers.location, '/account', 'whoever is logged in need not log in')
  const thief = new Visitor(app)
  thief.plant('id', String(planted))
  t.equal(heading((await thief.get('/cart')).body), 'You are logged out', 'who planted the id has nothing of it')

  const again = async (): Promise<LightMyRequestResponse> => await ann.send({ ...form({ name: 'Ann' }), method: 'POST', url: '/login' })
  const both = (await Promise.all([again(), again()])).sort((one, other) => one.statusCode - other.statusCode)
  t.same(both.map(({ statusCode }) => statusCode), [303, 409], 'of two at once, one is carried out')
  t.equal(heading(both[1]!.body), 'Twice at once')
  t.same(setCookieNames(both[1]!), [], 'and the other takes nothing back')
  ann.receive(both[0]!)
  t.equal(heading((await ann.get('/account')).body), 'Hello, Ann')

  const token = String(ann.cookie('id'))
  const logout = await submit(ann, '/logout')
  t.match((await ann.get(String(logout.headers.location))).body, 'You are logged out. Nothing of your session is left.')
  t.equal((await ann.get('/account')).headers.location, '/login')
  t.same(ann.cookieNames(), ['id-v'].filter(name => ann.cookieNames().includes(name)), 'the token is gone')
  const copy = new Visitor(app)
  copy.plant('id', token)
  const ended = await copy.get('/cart')
  t.equal(heading(ended.body), 'You are logged out')
})

t.test('both devices of a visitor are listed, and one that is logged out from the other finds a friendly page', async t => {
  const { app, proxy } = await setDemo(t)
  const devices = ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1',
    undefined]
  const visitors = await Promise.all(devices.map(async agent => {
    const visitor = new Visitor(app)
    await submit(visitor, '/login', { name: 'Ann' }, agent === undefined ? { 'user-agent': '' } : { 'user-agent': agent })
    return visitor
  }))
  const [laptop, phone, third] = visitors as [Visitor, Visitor, Visitor]
  const labels = (body: string): string[] => [...body.matchAll(/<p class="name">(.*?)<\/p>/gs)].map(([, label = '']) => plain(label)).sort()
  const page = await laptop.get('/account')
  t.same(labels(page.body), ['A browser', 'Firefox on Linux this one', 'Safari on iPhone'])
  t.match(page.body, 'Log out everywhere else')
  const keyOf = (body: string, label: string): string => new RegExp(`value="([\\w-]{43})"><button class="plain" aria-label="Log out ${label}`).exec(body)?.[1] ?? ''

  const eve = new Visitor(app)
  await submit(eve, '/login', { name: 'Eve' })
  const foreign = await submit(eve, '/account/devices/revoke', { device: keyOf(page.body, 'Safari on iPhone') })
  t.equal(foreign.statusCode, 400, 'nobody logs out the devices of others')
  t.match(foreign.body, 'role="alert">This device is logged out already.')
  t.equal(heading((await phone.get('/account')).body), 'Hello, Ann')

  proxy.take()
  const revoked = await submit(laptop, '/account/devices/revoke', { device: keyOf(page.body, 'Safari on iPhone') })
  t.equal(revoked.headers.location, '/account?done=device#done')
  t.same(proxy.take(), ['GetItem', 'GetItem', 'GetItem', 'PutItem', 'UpdateItem'], 'session, list, record; its end, and the list without it')
  const after = await phone.get('/', { headers: { 'sec-fetch-mode': 'navigate' } })
  t.equal(after.statusCode, 200)
  t.equal(heading(after.body), 'You are logged out')
  t.match(after.body, 'logged out from another device')
  t.notMatch(after.body, 'Ann', 'nothing private is left to see')
  t.equal((await submit(phone, '/cart/add', { product: 'cup' })).statusCode, 409, 'a form that was open there is not carried out in silence')
  t.equal((await phone.get('/login')).statusCode, 200, 'and it may log in again')
  await submit(phone, '/logout')
  t.notOk(phone.cookieNames().includes('id'), 'or go on without')
  t.equal(heading((await phone.get('/')).body), 'Things for the table')

  await submit(laptop, '/account/devices/revoke-others')
  t.same(labels((await laptop.get('/account')).body), ['Firefox on Linux this one'])
  t.equal(heading((await third.get('/account')).body), 'You are logged out')
  t.equal(heading((await eve.get('/account')).body), 'Hello, Eve', 'other visitors are as they were')
})

t.test('of ten tabs that add at once all ten count', async t => {
  const { app, proxy } = await setDemo(t)
  for (const lags of [false, true]) {
    const ann = new Visitor(app)
    t.notMatch((await ann.get('/cart')).body, 'Add from ten tabs at once</button>')
    t.equal((await submit(ann, '/cart/tabs', { product: 'bowl' })).headers.location, '/cart', 'without a session they would begin ten')
    proxy.staleReads = lags
    await submit(ann, '/cart/add', { product: 'bowl' })
    proxy.take()
    const response = await submit(ann, '/cart/tabs', { product: 'bowl' })
    t.equal(response.headers.location, '/cart?tabs=bowl&before=1&after=11')
    t.same(setCookieNames(response), ['id-v'])
    const calls = proxy.take()
    if (!lags) t.equal(calls.filter(action => action === 'UpdateItem').length, 10, 'each tab writes once')
    const page = await ann.get(String(response.headers.location))
    t.match(plain(page.body), '10 of 10 count.', 'also where reads meet a replica that lags')
    t.match(plain(page.body), '11 things')
    t.same(await Promise.all([['1', '23'], ['995', '999'], ['1', '8'], ['1', 'x'], ['8', '1'], ['1', '1e99']].map(async ([before, after]) =>
      /<strong>([^<]* count[^<]*|[^<]* found room[^<]*)<\/strong>/.exec((await ann.get(`/cart?tabs=bowl&before=${before}&after=${after}`)).body)?.[1])), [
      'All 10 count, and so does what was added elsewhere meanwhile.', '4 of 10 found room: a cart holds 999 of a thing.', '7 of 10 count.',
      undefined, undefined, 'All 10 count, and so does what was added elsewhere meanwhile.'
    ])
    t.equal(panelLines(page.body).filter(line => line.startsWith('POST /cart/add 200')).length, 10, 'and the panel shows the ten')
  }
})

t.test('of ten tabs of which some fail, the others count, and the browser gets the newest cookie', async t => {
  let tab = 0
  const { app } = await setDemo(t, {}, app => app.addHook('preHandler', async request => {
    if (request.headers.accept === 'application/json' && [0, 5].includes(tab++)) throw new Error('no room')
  }))
  const ann = new Visitor(app)
  await submit(ann, '/cart/add', { product: 'bowl' })
  const response = await submit(ann, '/cart/tabs', { product: 'bowl' })
  t.equal(response.headers.location, '/cart?tabs=bowl&before=1&after=9')
  t.same(setCookieNames(response), ['id-v'])
  t.match(plain((await ann.get(String(response.headers.location))).body), '8 of 10 count.')
})

t.test('a session that ends while its request runs is one that has ended, and a call of no request stands with none', async t => {
  let meanwhile = async (): Promise<unknown> => undefined
  const { app } = await setDemo(t, {}, app => app.addHook('preHandler', async () => { await meanwhile() }))
  const ann = new Visitor(app)
  await submit(ann, '/login', { name: 'Ann' })
  meanwhile = async () => await app.sessions.revokeAll('ann')
  const page = await submit(ann, '/cart/add', { product: 'cup' })
  t.equal(page.statusCode, 409)
  t.equal(heading(page.body), 'You are logged out')
  meanwhile = async () => undefined
  const before = panelLines((await app.inject('/try')).body)[0]
  t.same(await app.sessions.list('ann'), [])
  t.same(panelLines((await app.inject('/try')).body)[0], before)
})

t.test('a cart has at most 999 of a thing, and what is taken out is gone', async t => {
  const { app } = await setDemo(t)
  const ann = new Visitor(app)
  const full = { lines: [{ product: 'cup', quantity: 999, engraving: '' }], wrapped: false }
  addProduct(full, 'cup')
  t.equal(countOf(full, 'cup'), 999)
  t.equal(countOf(full, 'vase'), 0)
  t.equal(countOf(undefined, 'cup'), 0)
  t.same(shownCart({ lines: [{ product: 'sword', quantity: 1, engraving: '' }], wrapped: false }).lines, [], 'what is not sold any more is not shown')
  for (const product of ['cup', 'cup', 'vase']) await submit(ann, '/cart/add', { product, from: 'cart' })
  for (const product of ['cup', 'vase', 'plate']) await submit(ann, '/cart/take', { product })
  t.equal(await quantityOf(ann, 'Cup'), 1)
  t.notMatch((await ann.get('/cart')).body, 'One Vase less')
  await submit(ann, '/cart/wrap', { wrapped: 'yes' })
  t.match(plain((await ann.get('/cart')).body), 'Gift wrapping: yes Leave it unwrapped Total €18')
  await submit(ann, '/cart/wrap', { wrapped: 'no' })
  t.match(plain((await ann.get('/cart')).body), 'Gift wrapping: no Wrap it as a gift')
})

/** A bank whose answers come when the test says so. */
function makeBank (): { readonly bank: () => Promise<void>, readonly asked: Promise<void>, answer (): void } {
  const [asked, answered] = [makeGate(), makeGate()]
  return { bank: async () => { asked.open(); await answered.passed }, asked: asked.passed, answer: () => { answered.open() } }
}

t.test('who logs out while a payment is under way is told that nothing was paid, and nothing comes back', async t => {
  const { bank, asked, answer } = makeBank()
  const { app, proxy } = await setDemo(t, { bank })
  const ann = new Visitor(app)
  await submit(ann, '/login', { name: 'Ann' })
  await submit(ann, '/cart/add', { product: 'teapot' })
  const slow = ann.send({ ...form({}), method: 'POST', url: '/pay' })
  await asked
  await submit(ann, '/logout')
  proxy.take()
  answer()
  const page = await slow
  t.equal(page.statusCode, 409)
  t.equal(heading(page.body), 'Nothing was paid')
  t.match(page.body, '<strong>gone</strong>')
  t.notMatch(page.body, 'Ann', 'nobody is logged in on it')
  t.same(setCookieNames(page), [], 'and the late answer touches no cookie')
  t.same(proxy.take().filter(action => action === 'PutItem'), [])
  ann.receive(page)
  t.same(ann.cookieNames().filter(name => name === 'id'), [])
  t.equal(heading((await ann.get('/cart')).body), 'Your cart')
  t.match((await ann.get('/cart')).body, 'The cart is empty.')
  t.match(panelLines((await app.inject('/try')).body).join('\n'), /POST \/pay 409 .*UpdateItem to save condition not met/, 'the panel shows the write that was refused')
})

t.test('a payment takes the cart as it is when the bank has answered, once', async t => {
  const { bank, asked, answer } = makeBank()
  const { app } = await setDemo(t, { bank })
  const ann = new Visitor(app)
  await submit(ann, '/cart/add', { product: 'teapot' })
  const pay = async (): Promise<LightMyRequestResponse> => await ann.send({ ...form({}), method: 'POST', url: '/pay' })
  const both = [pay(), pay()]
  await asked
  await submit(ann, '/cart/add', { product: 'cup' })
  answer()
  const pages = await Promise.all(both)
  t.same(pages.map(({ body }) => heading(body)).sort(), ['Nothing left to pay', 'Paid: €82'])
  t.match((await ann.get('/cart')).body, 'The cart is empty.')
})

t.test('a payment whose end cannot be written down is not made, and nobody is logged out by that', async t => {
  const { bank, asked, answer } = makeBank()
  const { app } = await setDemo(t, { bank })
  const ann = new Visitor(app)
  await submit(ann, '/login', { name: 'Ann' })
  await submit(ann, '/cart/add', { product: 'teapot' })
  const slow = ann.request({ ...form({}), method: 'POST', url: '/pay' })
  await asked
  await submit(ann, '/database/stop')
  answer()
  const page = await slow
  t.equal(page.statusCode, 503)
  t.equal(heading(page.body), 'One moment, please')
  t.same(setCookieNames(page), [])
  await submit(ann, '/database/start')
  t.equal(await quantityOf(ann, 'Teapot'), 1)
})

t.test('a session counts down, is extended by a click, and ends with a friendly page', async t => {
  const start = 1_800_000_000_000
  let now = start
  const { app, proxy } = await setDemo(t, { now: () => now, idleTimeout: 30 })
  const ann = new Visitor(app, () => now)
  await submit(ann, '/login', { name: 'Ann' })
  await submit(ann, '/cart/add', { product: 'cup' })
  const secondsLeft = async (): Promise<number> => Number(/data-seconds="(\d+)"/.exec((await ann.get('/')).body)?.[1])
  t.equal(await secondsLeft(), 30)
  proxy.take()
  now = start + 2_000
  t.equal(await secondsLeft(), 28, 'a click within a tenth of the time writes nothing')
  t.same(proxy.take(), ['GetItem'])
  now = start + 20_000
  t.equal(await secondsLeft(), 30, 'a later one begins the time anew, and the page shows what is stored')
  t.same(proxy.take(), ['GetItem', 'UpdateItem', 'UpdateItem'], 'by one write of the session, and one of the list of devices')
  t.match((await ann.get('/')).body, `at ${new Date(now + 30_000).toISOString().slice(11, 19)} UTC</strong>`, 'without script it says when')

  await submit(ann, '/account/timeout', { seconds: '60' })
  t.equal(await secondsLeft(), 60)
  const page = (await ann.get('/account?done=timeout')).body
  t.match(page, 'role="status" id="done" tabindex="-1">The new time counts from now.')
  t.match(plain(page), 'This session ends after 1 minute without a click.')
  t.match(page, '<option value="60" selected>1 minute</option>')

  now += 61_000
  const ended = await ann.get('/cart', { headers: { 'sec-fetch-mode': 'navigate' } })
  t.equal(heading(ended.body), 'You are logged out')
  t.match(ended.body, 'its time ran out')
  t.notOk(ann.cookieNames().includes('id'), 'the answer takes the token out of the browser')
  t.equal(heading((await ann.get('/cart')).body), 'Your cart', 'so it is told once')
})

t.test('with the database stopped the signed-in get a page that says nobody is logged out, strangers the shop, and afterwards all is as before', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  await submit(ann, '/login', { name: 'Ann' })
  await submit(ann, '/cart/add', { product: 'cup' })
  const cookies = ann.cookieHeader()
  const stranger = new Visitor(app)
  t.match((await ann.get('/')).body, 'Stop the database</button>')
  t.equal((await submit(ann, '/database/stop')).headers.location, '/')

  for (const failed of [await ann.get('/cart'), await submit(ann, '/cart/add', { product: 'cup' }), await submit(ann, '/logout')]) {
    t.equal(failed.statusCode, 503)
    t.equal(failed.headers['retry-after'], '1')
    t.equal(heading(failed.body), 'One moment, please')
    t.match(failed.body, '<strong>Nobody is logged out:</strong>')
    t.match(failed.body, 'Start it again</button>')
    t.match(panelLines(failed.body)[0], /GetItem to load, eventual failed/)
    t.same(setCookieNames(failed), [])
  }
  t.match((await ann.get('/cart')).body, '<a class="button" href="">Try again')
  t.match((await submit(ann, '/cart/add', { product: 'cup' })).body, '<a class="button" href="/">Try again', 'a form is not sent again')
  t.equal(ann.cookieHeader(), cookies)
  for (const url of ['/', '/cart', '/login', '/try', '/costs']) t.equal((await stranger.get(url)).statusCode, 200, url)
  for (const url of ['/try', '/costs', '/assets/style.css']) t.equal((await ann.get(url)).statusCode, 200, url)
  t.equal((await submit(stranger, '/cart/add', { product: 'cup' })).statusCode, 503)
  t.same(stranger.cookieNames(), [])

  await submit(ann, '/database/start')
  t.equal(heading((await ann.get('/account')).body), 'Hello, Ann')
  t.equal(await quantityOf(ann, 'Cup'), 1)
  t.equal(proxy.calls.some(({ action }) => action === 'DeleteItem'), false)
})

t.test('without a switch for the database there is no button', async t => {
  const { app } = await setDemo(t, { database: undefined })
  t.notMatch((await app.inject('/')).body, 'Stop the database')
  t.equal((await app.inject({ method: 'POST', url: '/database/stop' })).statusCode, 404)
})

t.test('a page that is not there, a body of another kind and an unforeseen error are answered with a page that tells no details', async t => {
  const { app } = await setDemo(t, {}, app => app.get('/broken', async () => { throw new Error('a detail') }))
  const missing = await app.inject('/nowhere')
  t.equal(missing.statusCode, 404)
  t.match(missing.body, 'There is no such page.')
  const ann = new Visitor(app)
  t.equal((await ann.request({ method: 'POST', url: '/login', payload: '<xml/>', headers: { 'content-type': 'text/xml' } })).statusCode, 415)
  const broken = await app.inject('/broken')
  t.equal(broken.statusCode, 500)
  t.match(broken.body, 'This request could not be carried out.')
  t.notMatch(broken.body, 'a detail')
})

t.test('style, script and icon are there, cost nothing and are asked for anew', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  await submit(ann, '/login', { name: 'Ann' })
  proxy.take()
  for (const [file, type] of [['style.css', /^text\/css/], ['demo.js', /javascript/], ['icon.svg', /^image\/svg/]] as const) {
    const response = await ann.get(`/assets/${file}`)
    t.equal(response.statusCode, 200)
    t.match(response.headers['content-type'], type)
    t.equal(response.headers['cache-control'], 'no-cache')
    t.equal((await ann.get(`/assets/${file}`, { headers: { 'if-none-match': String(response.headers.etag) } })).statusCode, 304)
  }
  for (const url of ['/assets/nothing.css', '/assets/..%2fapp.ts']) t.equal((await ann.get(url)).statusCode, 404)
  t.same(proxy.take(), [])
})

t.test('the live parts come by server-sent events, of whatever has happened, and closing does not wait for them', async t => {
  const { app, proxy } = await setDemo(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const ann = new Visitor(app)
  await submit(ann, '/cart/add', { product: 'cup' })
  proxy.take()
  const [stream] = await once(get(`${url}/events`, { headers: { cookie: ann.cookieHeader() } }), 'response') as [IncomingMessage]
  t.equal(stream.headers['content-type'], 'text/event-stream')
  t.same(proxy.take(), [], 'it reads no session')
  let received = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => { received += chunk })
  stream.on('error', () => {})
  const until = async (part: RegExp): Promise<string> => {
    while (!part.test(received)) await once(stream, 'data')
    return received
  }
  const first = await until(/event: comparison\n(data: .*\n)+\n/)
  t.same([...first.matchAll(/^event: (.*)$/gm)].map(([, name]) => name), ['panel', 'chart', 'comparison'])
  t.match(plain(first.replaceAll('data: ', '')), 'POST /cart/add 303 1 call, 1 WCU')
  received = ''
  await Promise.all([ann.get('/'), ann.get('/cart')])
  const next = await until(/event: comparison\n(data: .*\n)+\n/)
  t.match(next, /GET \/cart<\/strong>/)
  t.notMatch(next, '/events', 'what the page itself needs pushes nothing out')
  t.equal((await app.inject({ method: 'HEAD', url: '/events' })).statusCode, 404, 'there is no head without a stream that nobody would end')
  const closed = new Promise(resolve => stream.once('close', resolve))
  await app.close()
  await closed
})

t.test('for who does not read the events nothing heaps up, and who reads on gets the latest', async t => {
  const changes = new EventEmitter()
  let rendered = 0
  const events = follow({ changes }, async () => `${++rendered} ${'x'.repeat(40_000)}\n`)
  const read = async (): Promise<string> => String((await once(events, 'data') as [Buffer])[0])
  t.match(await read(), /^1 /, 'what was before the stream')
  events.pause()
  for (let count = 0; count < 10_000; count++) {
    changes.emit('change')
    if (count % 1000 === 0) await nextTurn()
  }
  t.ok(events.readableLength < 100_000, `${events.readableLength} bytes wait`)
  t.ok(rendered <= 3, `${rendered} times made`)
  changes.emit('change')
  events.resume()
  let latest = await read()
  while (!latest.startsWith(`${rendered} `)) latest = await read()
  const failing = follow({ changes }, async () => { throw new Error('no page') })
  const failed = once(failing, 'error') as Promise<[Error]>
  failing.resume()
  t.equal((await failed)[0].message, 'no page')
  events.destroy()
  await once(events, 'close')
  t.equal(changes.listenerCount('change'), 0)
})

t.test('a door that is opened and shut by many at once ends as the last of them wished, and keeps its place', async t => {
  const { client, database, close } = await startEngine()
  t.teardown(close)
  const dynamodb = new DynamoDBClient({ ...client, maxAttempts: 1 })
  const ask = async (): Promise<unknown> => await dynamodb.send(new ListTablesCommand({})).then(({ TableNames }) => TableNames, () => 'no answer')
  t.same(await ask(), [])
  const underway = ask()
  await Promise.all([database.turnOff(), database.turnOff(), database.turnOn(), database.turnOn()])
  await underway
  t.same([database.isOn, await ask()], [true, []])
  await Promise.all([database.turnOn(), database.turnOff()])
  // Once for the connection that was there, once for a new one.
  t.same([database.isOn, await ask(), await ask()], [false, 'no answer', 'no answer'])
  await database.turnOn()
  t.same(await ask(), [])
  dynamodb.destroy()
})

t.test('over https the cookie holds to the rules of its prefix', async t => {
  const { app } = await setDemo(t, { https: makeCertificate() })
  const ann = new Visitor(app)
  const response = await submit(ann, '/login', { name: 'Ann' })
  t.match(setCookies(response)[0], /^__Host-id=[^;]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  await submit(ann, '/cart/add', { product: 'cup' })
  t.equal((await submit(ann, '/cart/tabs', { product: 'cup' })).headers.location, '/cart?tabs=cup&before=1&after=11')
  t.match(await app.listen({ host: '127.0.0.1', port: 0 }), /^https:/)
})

t.test('what others would have spent is the arithmetic of the cost page, by kinds of requests', async t => {
  const facts = (operations: string[], isKnown = true, hasToken = isKnown): Facts => ({ operations, isKnown, hasToken })
  t.same([
    kindOf(facts([], false)), kindOf(facts(['load'], false, true)), kindOf(facts(['create'], false)), kindOf(facts(['bind', 'create'], false)),
    kindOf(facts(['load'])), kindOf(facts(['load', 'touch', 'bind'])), kindOf(facts(['load', 'save'])),
    kindOf(facts(['load', 'bind', 'create', 'regenerate'])), kindOf(facts(['load', 'destroy', 'bind'])), kindOf(facts(['load', 'list', 'revoke']))
  ], ['anonymous', 'forged', 'begin', 'first', 'read', 'renewal', 'change', 'login', 'logout', 'read'])

  const kinds = ['anonymous', 'forged', 'read', 'renewal', 'change', 'first', 'login', 'logout'] as const
  for (const system of OTHERS) {
    // Of the size that was measured, the figures are those of the table.
    for (const kind of kinds) t.same(spentBy(system, kind, OURS.bytes), unitsOf(system.visits[kind], system.bytes), `${system.name}, ${kind}`)
    t.same(spentBy(system, 'begin', 300), { calls: 1, read: 0, write: 1 }, 'the first data of a visitor is one write for everybody')
  }
  t.same(OTHERS.map(({ name }) => name).sort(), [
    '@fastify/session, connect-dynamodb', '@fastify/session, dynamodb-session-store', 'dynamodb-session-flask', 'dynamodb-session-web',
    'express-session, connect-dynamodb', 'express-session, dynamodb-session-store', 'pyramid-dynamodb-sessions'
  ])
})

t.test('the costs page adds up what was charged, and what others would have been', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  proxy.take()
  await ann.get('/')
  await submit(ann, '/cart/add', { product: 'cup' })
  await submit(ann, '/cart/add', { product: 'cup' })
  await ann.get('/cart')
  await ann.get('/try')
  await submit(ann, '/logout')
  proxy.intercept = () => ({ status: 400, body: { __type: 'com.amazonaws.dynamodb.v20120810#AccessDeniedException' } })
  await submit(new Visitor(app), '/cart/add', { product: 'cup' })
  proxy.intercept = () => undefined
  const charged = (isRead: boolean): number => proxy.calls.filter(({ action }) => (action === 'GetItem') === isRead).reduce((sum, { capacity }) => sum + capacity, 0)
  const { body } = await app.inject('/costs')
  const row = (name: string): string[] =>
    [...(new RegExp(`<th scope="row">${name} .*?</tr>`).exec(body)?.[0] ?? '').matchAll(/<td>(.*?)<\/td>/g)].map(([, cell = '']) => cell)
  t.match(body, 'The same 5 requests by each system')
  t.same(row('fastify-dynamodb-session'), ['6', String(charged(true)), String(charged(false))])
  t.same(row('fastify-dynamodb-session'), ['6', '1.5', '3'])
  // Anonymous, begun, changed, read, logged out: 1 + 1 + 2 + 2 + 2 calls.
  t.same(row('@fastify/session, connect-dynamodb'), ['8', '3', '5'])
  t.same(row('pyramid-dynamodb-sessions'), ['6', '1.5', '3'])
  t.match(plain(body), 'Units after 5 requests. Ours: 1.5 RCU and 3 WCU, as charged here. Others: @fastify/session, connect-dynamodb, with defaults, would take 3 RCU and 5 WCU.')
})

t.test('the chart fits its curves and keeps their labels apart', async t => {
  const spent = (read: number, write: number): Spent => ({ calls: 0, read, write })
  for (const [most, top] of [[0, 4], [4, 4], [5, 8], [19, 20], [21, 40], [90, 200], [399, 400]] as const) {
    const { grid, curves, height, left, right } = drawChart([{ ours: spent(0, 0), theirs: spent(0, 0) }, { ours: spent(0, 0), theirs: spent(most / 2, most) }])
    t.equal(grid.at(-1)?.value, String(top))
    const places = curves.map(({ labelY }) => labelY).sort((one, other) => one - other)
    t.ok(places.every((y, index) => index === 0 || y - Number(places[index - 1]) >= 16), `labels stand apart: ${places.join()}`)
    t.ok(places.every(y => y >= 0 && y <= height))
    for (const { points } of curves) {
      const xs = points.split(' ').map(point => Number(point.split(',')[0]))
      t.same([xs[0], xs.at(-1)], [left, right])
    }
  }
})

t.test('the numbers at the chart stay short, however many requests there were', async t => {
  const at = (units: number): string[] => {
    const spent: Spent = { calls: 0, read: units, write: units }
    const { curves, grid } = drawChart([{ ours: spent, theirs: spent }])
    return [curves[0]!.value, grid.at(-1)!.value]
  }
  t.same([99.5, 100.5, 9999.5, 12_345.5, 1_000_000].map(at), [['99.5', '200'], ['101', '200'], ['10k', '20k'], ['12.3k', '20k'], ['1000k', '2000k']])
})

t.test('only the latest stays: 14 requests in the panel and 240 on the curve', async t => {
  const ledger = new Ledger()
  const line = { method: 'GET', path: '/', status: 200, calls: [], itemBytes: 0 }
  for (let count = 0; count < 300; count++) ledger.enter(line, 'anonymous')
  t.equal(ledger.points.length, 240)
  t.equal(ledger.points.at(-1)?.theirs.write, 300, 'and what went before is counted')
  const { app } = await setDemo(t)
  for (let count = 0; count < 20; count++) await app.inject('/')
  t.equal(panelLines((await app.inject('/')).body).length, 14)
})

t.test('a device is told by its browser and its system', async t => {
  const chrome = 'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
  t.same([
    deviceOf(`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${chrome}`),
    deviceOf(`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${chrome} Edg/140.0.0.0`),
    deviceOf(`Mozilla/5.0 (Linux; Android 15; Pixel 9) ${chrome}`),
    deviceOf('Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15'),
    deviceOf('Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1'),
    deviceOf(`Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${chrome} OPR/120.0`),
    deviceOf('curl/8.14.1'),
    deviceOf('something else'),
    deviceOf(undefined)
  ], ['Chrome on Windows', 'Edge on Windows', 'Chrome on Android', 'Safari on Mac', 'Chrome on iPad', 'Opera on ChromeOS', 'curl', 'A browser', 'A browser'])
})

t.test('the program says where it is and what to try, serves, and ends at once with everything it started, event streams too', async t => {
  const runs = [['SIGINT', []], ['SIGTERM', ['--short', '--https']]] as const
  await Promise.all(runs.map(async ([signal, options]) => {
    const program = startProgram('0', options)
    t.teardown(() => program.kill('SIGKILL'))
    const errors = text(program.stderr!)
    const said = await untilStarted(program)
    t.equal(said.trim().split('\n').length, 5, 'in five lines')
    const url = /open (https?:\/\/127\.0\.0\.1:\d+) in a browser/.exec(said)?.[1] ?? ''
    const isSecure = signal === 'SIGTERM'
    t.equal(url.startsWith('https:'), isSecure)
    const ask = isSecure ? secureGet : get
    const agent = { rejectUnauthorized: false }
    const [page] = await once(ask(url, agent), 'response') as [IncomingMessage]
    t.match(await text(page), 'Things for the table')
    const post = (isSecure ? secureRequest : request)(`${url}/cart/add`, { ...agent, method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } })
    post.end('product=cup')
    const [added] = await once(post, 'response') as [IncomingMessage]
    added.resume()
    const cookie = String(added.headers['set-cookie']?.map(text => text.split(';')[0]).join('; '))
    const [cart] = await once(ask(`${url}/cart`, { ...agent, headers: { cookie } }), 'response') as [IncomingMessage]
    t.match(await text(cart), isSecure ? /data-seconds="(30|29)"/ : /data-seconds="(900|899)"/)
    const [stream] = await once(ask(`${url}/events`, agent), 'response') as [IncomingMessage]
    stream.on('error', () => {}).resume()
    program.kill(signal)
    t.same(await once(program, 'exit'), [0, null])
    t.equal(await errors, '')
  }))
})

t.test('the program says in one line what keeps it from starting', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const taken = String((other.address() as AddressInfo).port)
  const runs: Array<[string, string[], string, string]> = [
    [taken, [], `Port ${taken} of 127.0.0.1 is taken.`, 'Choose a port with PORT, such as PORT=3001 npm run demo'],
    ['none', [], 'The demonstration cannot start: options.port', 'Choose a port with PORT, such as PORT=3001 npm run demo'],
    ['0', ['--fast'], 'The demonstration takes --short', '--https']
  ]
  await Promise.all(runs.map(async ([port, options, fact, remedy]) => {
    const program = startProgram(port, options)
    t.teardown(() => program.kill('SIGKILL'))
    const [errors, [code]] = await Promise.all([text(program.stderr!), once(program, 'exit')])
    t.equal(code, 1)
    t.ok(errors.startsWith(fact), errors)
    t.match(errors, remedy)
    t.equal(errors.trimEnd().split('\n').length, 1)
  }))
})

/** As `npm run demo` does. The SDK warns of old versions of Node, which is not what these tests are about. */
function startProgram (port: string, options: readonly string[] = []): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', 'demo/server.ts', ...options], { cwd: root, env: { ...process.env, ...NOT_COVERED, PORT: port, NODE_NO_WARNINGS: '1' } })
}

async function untilStarted (program: ChildProcess): Promise<string> {
  let output = ''
  for await (const chunk of program.stdout!) {
    output += String(chunk)
    if (output.includes('ctrl-c')) break
  }
  return output
}
