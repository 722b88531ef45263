import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { get, request, type IncomingMessage } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { buildDemo } from '../demo/app.js'
import { STYLE_URL } from '../demo/style.js'
import { findChromium, startChromium, unlessChromium } from './support/chromium.js'
import { NOT_COVERED } from './support/children.js'
import { clientConfig, startDynalite } from './support/engines.js'
import { FaultProxy } from './support/proxy.js'
import { setCookieNames, Visitor } from './support/visitor.js'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The demonstration on an engine of its own, with a proxy between them. */
async function setDemo (t: Test, prepare: (app: FastifyInstance) => void = () => {}): Promise<{ app: FastifyInstance, proxy: FaultProxy }> {
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  const app = await buildDemo({ logger: false, table: 'demo-sessions', client: clientConfig(proxy.endpoint) })
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

async function submit (visitor: Visitor, url: string, fields: Record<string, string> = {}): Promise<LightMyRequestResponse> {
  return await visitor.request({
    method: 'POST', url, payload: new URLSearchParams(fields).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' }
  })
}

/** The panel's requests as plain text, newest first. */
function panelLines (page: string): string[] {
  const list = /<ol>(.*)<\/ol>/s.exec(page)?.[1] ?? ''
  return list.split('<p class="request">').slice(1).map(item => item.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim())
}

t.test('each page and form costs what the design promises, and the panel shows what went over the wire', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  const steps: Array<[string, Record<string, string> | undefined, string[], string[]]> = [
    ['/', undefined, [], []],
    ['/count', {}, ['PutItem'], ['id', 'id-v']],
    ['/', undefined, ['GetItem'], []],
    ['/count', {}, ['GetItem', 'UpdateItem'], ['id-v']],
    ['/items', { name: 'Tea', quantity: '2' }, ['GetItem', 'UpdateItem'], ['id-v']],
    ['/items/change', { name: 'Tea', by: '1' }, ['GetItem', 'UpdateItem'], ['id-v']],
    ['/items/change', { name: 'Coffee', by: '1' }, ['GetItem'], []],
    ['/login', { name: 'Ann' }, ['GetItem', 'PutItem', 'UpdateItem'], ['id', 'id-v']],
    ['/', undefined, ['GetItem'], []],
    [STYLE_URL, undefined, [], []],
    ['/logout', {}, ['GetItem', 'DeleteItem'], ['id']],
    ['/', undefined, [], []]
  ]
  for (const [url, fields, calls, cookies] of steps) {
    const response = fields === undefined ? await ann.get(url) : await submit(ann, url, fields)
    t.equal(response.statusCode, fields === undefined ? 200 : 303, url)
    t.same(setCookieNames(response), cookies, url)
    const made = proxy.takeCalls()
    t.same(made.map(({ action }) => action), calls, url)

    const newest = panelLines((await app.inject('/')).body)[1] ?? ''
    t.ok(newest.startsWith(`${fields === undefined ? 'GET' : 'POST'} ${url} ${response.statusCode} `), newest)
    const shown = [...newest.matchAll(/(\w+Item) to \w+ (.*?) ([\d.]+) units? [\d.]+ ms/g)].map(([, ...parts]) => parts)
    t.same(shown, made.map(({ action, capacity }) =>
      [action, action === 'GetItem' ? 'eventually consistent read' : 'write', String(capacity)]), 'the panel agrees')
    t.same(proxy.take(), [], 'looking at the panel without a cookie costs nothing')
  }
})

t.test('the panel tells a strongly consistent read from an eventually consistent one', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  await submit(ann, '/count')
  proxy.staleReads = true
  await submit(ann, '/count')
  const page = await ann.get('/')
  t.match(panelLines(page.body)[0], /^GET \/ this page 2 calls, 1.5 units GetItem to load eventually consistent read 0.5 units .* GetItem to load strongly consistent read 1 unit /)
  t.match(page.body, '<output class="count">2</output>')
})

t.test('calls of requests at the same time stand with the request that made them', async t => {
  const { app } = await setDemo(t)
  const visitors = await Promise.all(Array.from({ length: 3 }, async () => {
    const visitor = new Visitor(app)
    await submit(visitor, '/count')
    return visitor
  }))
  await Promise.all(visitors.flatMap(async (visitor, index) => index === 0 ? await visitor.get('/') : await submit(visitor, '/count')))
  const newest = panelLines((await app.inject('/')).body).slice(1, 4).map(line => line.replace(/ [\d.]+ ms/g, '')).sort()
  t.same(newest, [
    // All three are read together, and each has its own share.
    'GET / 200 1 call, 0.5 units BatchGetItem to load eventually consistent read 0.5 units',
    ...Array.from({ length: 2 }, () =>
      'POST /count 303 2 calls, 1.5 units BatchGetItem to load eventually consistent read 0.5 units UpdateItem to save write 1 unit')
  ])
})

t.test('calls stand with their request also where its body comes late', async t => {
  let sendBody = (): void => {}
  const { app } = await setDemo(t, app => app.addHook('preParsing', async () => { setImmediate(sendBody) }))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const late = request(`${url}/login`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': 8 } })
  sendBody = () => { late.end('name=Ann') }
  late.flushHeaders()
  const [response] = await once(late, 'response') as [IncomingMessage]
  response.resume()
  t.equal(response.statusCode, 303)
  sendBody = () => {}
  t.match(panelLines((await app.inject('/')).body)[1], /^POST \/login 303 1 call, 1 unit PutItem to create write 1 unit /)
})

t.test('what a visitor types is shown as text, wherever it is shown', async t => {
  const { app } = await setDemo(t)
  const evil = '"\'><script>alert(1)</script>&amp;'
  const escaped = '&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;'
  const ann = new Visitor(app)
  await submit(ann, '/login', { name: evil })
  await submit(ann, '/items', { name: evil, quantity: '1' })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  // `inject` and `fetch` would encode the path; a visitor who means ill does not.
  const [missing] = await once(get(url, { path: '/<script>alert(1)</script>?q=<script>' }), 'response') as [IncomingMessage]
  t.notMatch(await text(missing), /<script/i)
  const { body, headers } = await ann.get('/')
  t.match(body, `Hello, ${escaped}`)
  t.match(body, `<span class="item">${escaped}</span>`)
  t.match(body, `value="${escaped}"`)
  t.match(body, `aria-label="One ${escaped} more"`)
  t.match(body, 'GET /&lt;script&gt;alert(1)&lt;/script&gt;')
  t.notMatch(body, /<script/i)
  t.match(headers['content-security-policy'], "default-src 'none'", 'a browser would run no script anyway')
  t.equal(headers['cache-control'], 'no-store')
})

t.test('a log-in gives a new id and keeps counter and cart, and a log-out ends them', async t => {
  const { app } = await setDemo(t)
  const ann = new Visitor(app)
  await submit(ann, '/count')
  await submit(ann, '/items', { name: 'Tea', quantity: '2' })
  const planted = ann.cookie('id')
  t.equal((await submit(ann, '/login', { name: 'Ann' })).headers.location, '/')
  t.not(ann.cookie('id'), planted)
  const page = (await ann.get('/')).body
  for (const part of ['Hello, Ann', '<output class="count">1</output>', '<span class="quantity">2</span>']) t.match(page, part)

  const kept = ann.cookie('id') ?? ''
  await submit(ann, '/logout')
  const thief = new Visitor(app)
  thief.plant('id', kept)
  for (const visitor of [ann, thief]) {
    const page = (await visitor.get('/')).body
    for (const part of ['Log in</h2>', '<output class="count">0</output>', 'The cart is empty.', 'There is none']) t.match(page, part)
  }
})

t.test('the cart holds its limits, and an item that is down to none goes', async t => {
  const { app } = await setDemo(t)
  const ann = new Visitor(app)
  const quantities = async (): Promise<string[]> =>
    [...(await ann.get('/')).body.matchAll(/class="quantity">(\d+)</g)].map(match => match[1] as string)

  t.equal((await submit(ann, '/items/change', { name: 'Tea', by: '1' })).statusCode, 303, 'of an empty cart')
  await submit(ann, '/items', { name: 'Tea', quantity: '98' })
  await submit(ann, '/items', { name: 'Tea', quantity: '98' })
  t.same(await quantities(), ['99'])
  await submit(ann, '/items/change', { name: 'Tea', by: '1' })
  t.same(await quantities(), ['99'])
  await submit(ann, '/items', { name: 'Milk', quantity: '1' })
  await submit(ann, '/items/change', { name: 'Milk', by: '-1' })
  t.same(await quantities(), ['99'])
  for (let index = 1; index < 20; index++) await submit(ann, '/items', { name: `Thing ${index}`, quantity: '1' })
  const full = await submit(ann, '/items', { name: 'One too many', quantity: '1' })
  t.equal(full.statusCode, 400)
  t.match(full.body, 'role="alert">The cart is full.')
  t.equal((await quantities()).length, 20)
})

t.test('a form that is filled in wrongly is shown again with a remark, and stores nothing', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  const wrong: Array<[string, Record<string, string>]> = [
    ['/login', {}], ['/login', { name: ' ' }], ['/login', { name: 'x'.repeat(41) }],
    ['/items', { name: '', quantity: '1' }], ['/items', { name: 'Tea', quantity: '0' }], ['/items', { name: 'Tea', quantity: '1.5' }],
    ['/items', { name: 'Tea', quantity: '100' }], ['/items', { name: 'Tea', quantity: 'two' }]
  ]
  for (const [url, fields] of wrong) {
    const response = await submit(ann, url, fields)
    t.equal(response.statusCode, 400)
    t.match(response.body, /role="alert">Give an? /)
    t.same(setCookieNames(response), [])
  }
  t.equal((await ann.request({ method: 'POST', url: '/login' })).statusCode, 400, 'without a body')
  const twice = await ann.request({
    method: 'POST', url: '/login', payload: 'name=a&name=b', headers: { 'content-type': 'application/x-www-form-urlencoded' }
  })
  t.equal(twice.statusCode, 400, 'with a field sent twice')
  t.same(proxy.take(), [])
})

t.test('a page that is not there, a body of another kind and a table out of reach are answered with a page', async t => {
  const { app, proxy } = await setDemo(t)
  const ann = new Visitor(app)
  const missing = await ann.get('/nowhere')
  t.equal(missing.statusCode, 404)
  t.match(missing.body, 'There is no such page.')
  t.equal((await ann.request({ method: 'POST', url: '/login', payload: '<xml/>', headers: { 'content-type': 'text/xml' } })).statusCode, 415)

  await submit(ann, '/login', { name: 'Ann' })
  proxy.intercept = () => ({ status: 400, body: { __type: 'com.amazonaws.dynamodb.v20120810#AccessDeniedException' } })
  const failed = await ann.get('/')
  t.equal(failed.statusCode, 503)
  t.match(failed.body, 'DynamoDB does not answer. Nobody is logged out')
  t.match(panelLines(failed.body)[0], /GetItem to load eventually consistent read failed/)
  t.same(setCookieNames(failed), [])
  proxy.intercept = () => undefined
  t.match((await ann.get('/')).body, 'Hello, Ann')
})

t.test('an unforeseen error is answered with a page that tells nothing of it', async t => {
  const { app } = await setDemo(t)
  const engine = await startDynalite()
  const broken = await buildDemo({ client: clientConfig(engine.endpoint), table: 'another-table', logger: false })
  t.teardown(async () => {
    await broken.close()
    await engine.close()
  })
  broken.get('/broken', async () => { throw new Error('a detail') })
  const response = await broken.inject('/broken')
  t.equal(response.statusCode, 500)
  t.match(response.body, 'This request could not be carried out.')
  t.notMatch(response.body, 'a detail')
  t.equal((await app.inject('/broken')).statusCode, 404)
})

const chromium = findChromium()

t.test('a missing browser is told loudly, and is a failure on a build server', async t => {
  const nowhere = '/nowhere/chromium'
  t.equal(findChromium({}, nowhere), undefined)
  t.equal(findChromium({ CHROMIUM_PATH: process.execPath }, nowhere), process.execPath)
  t.throws(() => findChromium({ CI: 'true' }, nowhere), { message: '/nowhere/chromium is missing: apt-get install -y chromium, or name a browser in CHROMIUM_PATH' })
  t.match(unlessChromium(undefined).skip, 'CHROMIUM IS MISSING')
  t.equal(unlessChromium(nowhere).skip, false)
})

t.test('a visitor with a browser logs in, counts, fills a cart and logs out', unlessChromium(chromium), async t => {
  const { app } = await setDemo(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const browser = await startChromium(chromium ?? '')
  t.teardown(async () => await browser.close())
  const context = await browser.newContext()
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', message => complaints.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', error => complaints.push(error.message))
  page.on('dialog', async dialog => {
    complaints.push(dialog.message())
    await dialog.dismiss()
  })

  await page.goto(url)
  t.same(await context.cookies(), [], 'looking around leaves no cookie')
  t.match(await newestOf(page), 'no call')

  await page.getByLabel('Name').fill('<script>alert(1)</script>')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Hello, <script>alert(1)</script>' }).waitFor()
  const cookies = await context.cookies()
  const { name, httpOnly, secure, sameSite, path, domain, expires } = cookies.find(cookie => cookie.name === 'id') ?? cookies[0] ?? {}
  t.same({ name, httpOnly, secure, sameSite, path, domain, expires },
    { name: 'id', httpOnly: true, secure: false, sameSite: 'Lax', path: '/', domain: '127.0.0.1', expires: -1 })
  t.equal(await page.evaluate('document.cookie'), '', 'no script sees a cookie')

  await page.getByRole('button', { name: 'Count' }).click()
  await page.getByRole('button', { name: 'Count' }).click()
  await page.locator('output', { hasText: '2' }).waitFor()

  await page.getByLabel('Item').fill('Tea')
  await page.getByLabel('Quantity').fill('2')
  await page.getByRole('button', { name: 'Add' }).click()
  await page.getByRole('button', { name: 'One Tea more' }).click()
  await page.locator('.quantity', { hasText: '3' }).waitFor()
  t.match((await panelOf(page))[1], /^POST \/items\/change 303 2 calls, 1\.5 units GetItem .* UpdateItem /)

  await page.goto(url)
  const newest = await newestOf(page)
  t.match(newest, /^GET \/ this page 1 call, 0\.5 units GetItem to load eventually consistent read 0\.5 units [\d.]+ ms$/)
  t.notMatch(newest, 'write', 'a page view writes nothing')

  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  t.notOk((await context.cookies()).some(cookie => cookie.name === 'id'), 'the browser has dropped the token')
  await page.goBack()
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  t.equal(await page.getByRole('heading', { name: 'Hello' }).count(), 0, 'the back button shows nobody signed in')
  await page.reload()
  t.equal(await page.getByRole('heading', { name: 'Log in' }).count(), 1)
  t.equal(await page.locator('output').innerText(), '0')
  t.same(complaints, [])
})

t.test('everything is reached by keyboard, in the order in which it is read, and fits a small screen', unlessChromium(chromium), async t => {
  const { app } = await setDemo(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const browser = await startChromium(chromium ?? '')
  t.teardown(async () => await browser.close())
  const page = await browser.newPage({ viewport: { width: 320, height: 640 } })
  await page.goto(url)
  const reached: string[] = []
  for (let stop = 0; stop < 6; stop++) {
    await page.keyboard.press('Tab')
    reached.push(String(await page.evaluate('document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent')))
  }
  t.same(reached.map(text => text.trim()), ['Name', 'Log in', 'Count', 'Item', 'Quantity', 'Add'])
  await page.getByLabel('Item').fill('A long name that has to be broken up, it')
  await page.keyboard.press('Enter')
  await page.locator('.item').waitFor()
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320)
})

async function panelOf (page: Page): Promise<string[]> {
  return panelLines(await page.content())
}

async function newestOf (page: Page): Promise<string> {
  return (await panelOf(page))[0] ?? ''
}

t.test('the program says where it is, serves, and ends with everything it started', async t => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const program = startProgram('0')
    t.teardown(() => program.kill('SIGKILL'))
    const errors = text(program.stderr!)
    const line = await firstLine(program)
    const url = /open (http:\/\/127\.0\.0\.1:\d+) in a browser/.exec(line)?.[1] ?? ''
    t.match(await (await fetch(url)).text(), 'Sessions in DynamoDB')
    program.kill(signal)
    t.same(await once(program, 'exit'), [0, null])
    t.equal(await errors, '')
  }
})

t.test('the program says in one line that it cannot have its port', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const taken = String((other.address() as AddressInfo).port)
  for (const [port, fact] of [[taken, `Port ${taken} of 127.0.0.1 is taken.`], ['none', 'The demonstration cannot start: options.port']] as const) {
    const program = startProgram(port)
    t.teardown(() => program.kill('SIGKILL'))
    const [errors, [code]] = await Promise.all([text(program.stderr!), once(program, 'exit')])
    t.equal(code, 1)
    t.ok(errors.startsWith(fact), errors)
    t.match(errors, 'Choose a port with PORT, such as PORT=3001 npm run demo')
    t.equal(errors.trimEnd().split('\n').length, 1)
  }
})

/** As `npm run demo` does. The SDK warns of old versions of Node, which is not what these tests are about. */
function startProgram (port: string): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', 'demo/server.ts'], { cwd: root, env: { ...process.env, ...NOT_COVERED, PORT: port, NODE_NO_WARNINGS: '1' } })
}

async function firstLine (program: ChildProcess): Promise<string> {
  let output = ''
  for await (const chunk of program.stdout!) {
    output += String(chunk)
    if (output.includes('in a browser')) break
  }
  return output
}
