import t from 'tap'
import { makeGate } from '../support/gate.js'
import { inShop, skip, type Person } from '../support/browser.js'

const FIREFOX = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0'

/** The latest requests with their calls, newest first, as somebody reads them. */
async function panelOf ({ page }: Person): Promise<string[]> {
  const items = await page.locator('ol.requests > li').allInnerTexts()
  return items.map(text => text.replace(/\s+/g, ' ').trim())
}

t.test('looking around costs nothing and leaves no cookie; the first thing in the cart makes the session', skip, inShop({}, async (t, { person }) => {
  const ann = await person()
  for (const path of ['/', '/cart', '/login', '/costs', '/try']) {
    const answer = await ann.page.goto(path)
    t.equal(answer?.status(), 200, path)
    t.match((await panelOf(ann))[0], /no call$/, path)
  }
  t.same(await ann.context.cookies(), [])

  await ann.page.goto('/')
  await ann.press('Add Cup to the cart')
  await ann.page.getByText('The cup is in your cart.').waitFor()
  const { value, ...stored } = await ann.token() ?? { value: '' }
  t.same(stored, { name: 'id', domain: 'localhost', path: '/', expires: -1, httpOnly: true, secure: false, sameSite: 'Lax' })
  t.match(value, /^[\w-]{43}\.[\w%-]{43,}$/)
  t.equal(await ann.page.evaluate('document.cookie'), '', 'no script sees a cookie')
  t.match(await panelOf(ann), [/^GET \/ .*1 call, 0\.5 RCU GetItem to load, eventual/, /^POST \/cart\/add 303 1 call, 1 WCU PutItem to create/])
}))

t.test('who logs in gets a new token and keeps the cart, and a name is text', skip, inShop({}, async (t, { person }) => {
  const ann = await person()
  await ann.page.goto('/')
  await ann.press('Add Teapot to the cart')
  await ann.page.getByText('The teapot is in your cart.').waitFor()
  const before = await ann.token()
  await ann.logIn('<script>alert(1)</script>')
  const after = await ann.token()
  t.not(after?.value, before?.value)
  await ann.page.goto('/cart')
  await ann.heading('One thing')

  const thief = await person()
  await thief.context.addCookies([before ?? t.fail('no cookie') as never])
  await thief.page.goto('/account')
  t.equal(await thief.page.getByText('alert(1)').count(), 0, 'the token of before is worth nothing')
}))

t.test('devices see each other; one that is logged out finds a friendly page, and log out everywhere else leaves this one alone', skip, inShop({}, async (t, { person }) => {
  const laptop = await person()
  const desk = await person({ userAgent: FIREFOX })
  const third = await person()
  for (const each of [laptop, desk]) await each.post('/login', { name: 'Ann' })
  await desk.post('/cart/add', { product: 'bowl' })

  await laptop.page.goto('/account')
  const devices = laptop.page.getByRole('region', { name: 'Your devices' }).getByRole('listitem')
  t.same(await devices.locator('.name').allInnerTexts().then(names => names.map(name => name.replace(/\s+/g, ' ')).sort()), ['Chrome on Linux this one', 'Firefox on Windows'])
  await laptop.page.getByRole('button', { name: /^Log out Firefox on Windows/ }).click()
  await laptop.page.getByText('That device is logged out.').waitFor()
  t.equal(await devices.count(), 1)
  t.equal(await laptop.page.evaluate('document.activeElement.textContent'), 'That device is logged out.', 'which is where a screen reader reads on')

  await desk.page.goto('/cart')
  await desk.heading('You are logged out')
  t.notMatch(await desk.page.locator('main').innerText(), /Ann\b|Bowl/, 'nothing of the session is shown')
  await desk.press('Go on without')
  await desk.heading('Things for the table')
  t.equal(await desk.token(), undefined, 'the browser has dropped the token')

  for (const each of [desk, third]) await each.post('/login', { name: 'Ann' })
  await laptop.page.goto('/account')
  t.equal(await devices.count(), 3)
  await laptop.press('Log out everywhere else')
  await laptop.page.getByText('All other devices are logged out.').waitFor()
  for (const other of [desk, third]) {
    await other.page.goto('/account')
    await other.heading('You are logged out')
  }
  await laptop.page.reload()
  await laptop.heading('Hello, Ann')
}))

t.test('tabs of one browser that add to the cart at the same time lose nothing', skip, inShop({}, async (t, { person }) => {
  const ann = await person()
  await ann.post('/login', { name: 'Ann' })
  const names = ['Cup', 'Cup', 'Bowl']
  const tabs = await Promise.all(names.map(async () => await ann.tab('/')))
  await Promise.all(tabs.map(async (tab, index) => {
    await tab.getByRole('button', { name: `Add ${names[index]} to the cart` }).click()
    await tab.getByText('is in your cart.').waitFor()
    await tab.close()
  }))
  await ann.page.goto('/cart')
  await ann.heading('3 things')

  await ann.page.getByLabel('Product').selectOption('Bowl')
  await ann.press('Add from ten tabs at once')
  await ann.page.getByText('Ten tabs added one bowl each, at once: 1 before, 11 after. 10 of 10 count.').waitFor()
  await ann.heading('13 things')
}))

t.test('after a log-out the back button shows nothing private, in this tab and in others', skip, inShop({}, async (t, { person }) => {
  const ann = await person()
  await ann.post('/login', { name: 'Ann' })
  await ann.post('/cart/add', { product: 'vase' })
  for (const path of ['/', '/cart', '/account']) await ann.page.goto(path)
  const other = await ann.tab('/cart')
  await ann.page.getByRole('banner').getByRole('button', { name: 'Log out', exact: true }).click()
  await ann.page.getByText('You are logged out. Nothing of your session is left.').waitFor()
  t.equal(await ann.token(), undefined)
  for (let step = 0; step < 3; step++) {
    await ann.page.goBack()
    t.notMatch(await ann.page.content(), /Hello, Ann|Logged in as|the vase’s/, `back ${step + 1}, on ${new URL(ann.page.url()).pathname}`)
  }
  // As a browser does that has kept the page whole.
  await Promise.all([other.waitForEvent('framenavigated'), other.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")])
  await other.getByText('The cart is empty.').waitFor()

  await ann.post('/login', { name: 'Ann' })
  await ann.post('/cart/add', { product: 'vase' })
  await other.goto('/cart')
  await ann.post('/logout', {})
  await other.getByRole('button', { name: 'One Vase more' }).click()
  await other.getByRole('heading', { name: 'Your cart' }).waitFor()
  t.notMatch(await other.content(), /Logged in as/, 'a form of a page of before is one of a stranger')
}))

const gate = makeGate()
const asked = makeGate()

async function bank (): Promise<void> {
  asked.open()
  await gate.passed
}

t.test('a payment during which the visitor logs out in another tab is not made, and nothing comes back', skip, inShop({ bank }, async (t, { person }) => {
  const ann = await person()
  await ann.post('/login', { name: 'Ann' })
  await ann.post('/cart/add', { product: 'plate' })
  const other = await ann.tab('/account')
  await ann.page.goto('/cart')
  // What comes up during a navigation can be asked of the page only before it.
  const told = new Promise<string>((resolve, reject) => { ann.page.exposeFunction('told', resolve).catch(reject) })
  await ann.page.evaluate("new MutationObserver(() => told(document.querySelector('.slow').textContent)).observe(document.querySelector('main'), { childList: true, subtree: true })")
  await ann.page.getByRole('button', { name: /^Pay €\d+ slowly$/ }).click({ noWaitAfter: true })
  await asked.passed
  t.match(await told, 'The bank is asked.')
  await other.getByRole('banner').getByRole('button', { name: 'Log out', exact: true }).click()
  await other.getByText('Nothing of your session is left.').waitFor()
  gate.open()
  await ann.heading('Nothing was paid')
  t.equal(await ann.token(), undefined, 'the late answer brought no token')
  await ann.page.goto('/cart')
  t.notMatch(await ann.page.content(), /Logged in as|Plate more/)
}))

t.test('the countdown runs, a click begins it anew, and at its end the page is put away without a request', skip, inShop({ idleTimeout: 60 }, async (t, { person, clock }) => {
  const ann = await person()
  // Stands still but for what is run of it, however slow this machine is.
  await ann.page.clock.install({ time: 0 })
  await ann.page.clock.pauseAt(1_000)
  await ann.logIn('Ann')
  const timer = ann.page.getByRole('timer')
  t.equal(await timer.innerText(), 'in 1:00')
  await ann.page.clock.runFor(45_000)
  clock.forward(45)
  t.equal(await timer.innerText(), 'in 0:15')
  await ann.page.reload()
  t.equal(await timer.innerText(), 'in 1:00')

  const other = await ann.tab('/account')
  await other.getByLabel('End it after').selectOption('20 seconds')
  await other.getByRole('button', { name: 'Set the time-out' }).click()
  await other.getByText('The new time counts from now.').waitFor()
  await ann.page.clock.runFor(1_000)
  t.equal(await timer.innerText(), 'in 0:19', 'a shorter time that another tab has chosen is that of this one')
  await other.close()

  const seen: string[] = []
  ann.page.on('request', request => seen.push(request.url()))
  await ann.page.clock.runFor(61_000)
  clock.forward(61)
  await ann.heading('Your time ran out')
  t.equal(await ann.page.getByText('Hello, Ann').count(), 0)
  t.same(seen.filter(url => !url.endsWith('/events')), [])
  await ann.page.getByRole('link', { name: 'Go on' }).click()
  await ann.heading('You are logged out')
  t.equal(await ann.token(), undefined)
}))

t.test('while the database is stopped nobody is logged out, strangers notice nothing, and then all goes on', skip, inShop({}, async (t, { person, database }) => {
  const ann = await person()
  const stranger = await person()
  await ann.logIn('Ann')
  const before = await ann.token()
  await ann.press('Stop the database')
  await ann.heading('One moment, please')
  t.equal(database.isOn, false)
  await ann.page.getByText('Nobody is logged out').first().waitFor()
  t.equal((await ann.page.goto('/account'))?.status(), 503)
  t.same(await ann.token(), before)
  t.equal((await stranger.page.goto('/'))?.status(), 200)
  await stranger.heading('Things for the table')
  await ann.page.getByRole('button', { name: 'Start it again' }).click()
  await ann.page.getByRole('link', { name: 'Account' }).click()
  await ann.heading('Hello, Ann')
  t.same(await ann.token(), before, 'with the token of before')
}))

t.test('what others do is shown at once in the panel of a page that is open', skip, inShop({}, async (t, { person }) => {
  const [watching, acting] = [await person(), await person()]
  await watching.page.goto('/try')
  await acting.page.goto('/')
  await acting.press('Add Candlestick to the cart')
  await watching.page.getByText('POST /cart/add').waitFor()
  t.equal(await watching.page.getByRole('img', { name: /^Capacity units used so far/ }).count(), 1)
}))

t.test('without script everything but the live parts works', skip, inShop({}, async (t, { person }) => {
  const ann = await person({ javaScriptEnabled: false })
  await ann.logIn('Ann')
  t.match(await ann.page.getByRole('timer').innerText(), /^at \d\d:\d\d:\d\d UTC$/)
  await ann.page.goto('/')
  await ann.press('Add Cup to the cart')
  await ann.page.goto('/cart')
  await ann.heading('One thing')
  t.match((await panelOf(ann))[0], /^GET \/cart .*1 call, 0\.5 RCU/)
}))

t.test('the keyboard reaches everything, the skip link first, and the focus is seen', skip, inShop({}, async (t, { person }) => {
  const { page } = await person({ viewport: { width: 320, height: 640 } })
  await page.goto('/login')
  const reached: string[] = []
  for (;;) {
    await page.keyboard.press('Tab')
    if (await page.evaluate('document.activeElement === document.body')) break
    reached.push(String(await page.evaluate("(document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent).trim().replace(/\\s+/g, ' ')")))
    const outline = String(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'))
    t.not(outline, 'none', `the focus is seen on ${reached.at(-1)}`)
  }
  t.equal(reached[0], 'Skip to the content')
  for (const name of ['Shop', 'Cart', 'Account', 'Name', 'Log in', 'Stop the database']) t.ok(reached.includes(name), `${name} in ${reached.join(', ')}`)
  for (const path of ['/', '/login', '/costs', '/try', '/cart']) {
    await page.goto(path)
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320, `${path} fits a small screen`)
  }
}))
