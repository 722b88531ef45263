import t from 'tap'
import type { Page } from 'playwright-core'
import { inShop, shoot, shootForReadme, skip, type Person } from '../support/browser.js'
import { FAINT_TEXT, UNNAMED } from '../support/looks.js'

const WIDTHS = { desktop: { width: 1280, height: 800 }, phone: { width: 375, height: 740 } } as const

const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1'

const FOR_README = ['cart-desktop', 'devices-phone']

/** Each page as a visitor comes to it, and its first heading. */
const PAGES: ReadonlyArray<readonly [name: string, heading: string, go: (ann: Person) => Promise<unknown>]> = [
  ['shop', 'Things for the table', async ({ page }) => await page.goto('/')],
  ['cart', 'Your cart', async ({ page }) => await page.goto('/cart')],
  ['devices', 'Hello, Ann', async ({ page }) => await page.goto('/account')],
  ['costs', 'What it costs', async ({ page }) => await page.goto('/costs')],
  ['what-to-try', 'What to try', async ({ page }) => await page.goto('/try')],
  ['not-found', 'Not found', async ({ page }) => await page.goto('/nowhere')]
]

/** What must hold of a page at any width and in any colours. */
async function look (t: import('tap').Test, page: Page, name: string): Promise<void> {
  for (const [size, viewport] of Object.entries(WIDTHS)) {
    await page.setViewportSize(viewport)
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), viewport.width, `${name} fits a ${size}`)
    await shoot(page, `${name}-${size}`)
    if (FOR_README.includes(`${name}-${size}`)) await shootForReadme(page, `${name}-${size}`)
  }
  t.equal(await page.locator('h1').count(), 1, `${name} has one first heading`)
  t.same(await page.evaluate(UNNAMED), [], `everything on ${name} has a name`)
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    t.same(await page.evaluate(FAINT_TEXT), [], `${name} is readable in ${colorScheme} colours`)
  }
  await page.emulateMedia({ colorScheme: 'light' })
}

t.test('each page fits a desk and a phone, is readable in light and dark, and names what it holds', skip, inShop({}, async (t, { person, clock }) => {
  const stranger = await person()
  await stranger.page.goto('/login')
  await look(t, stranger.page, 'log-in')

  const [desk, ann] = [await person(), await person({ userAgent: IPHONE })]
  await desk.post('/login', { name: 'Ann' })
  clock.forward(90)
  await ann.post('/login', { name: 'Ann' })
  for (const product of ['cup', 'cup', 'teapot']) await ann.post('/cart/add', { product })
  await ann.post('/cart/engrave', { product: 'cup', engraving: 'Good morning' })
  for (const [name, heading, go] of PAGES) {
    await go(ann)
    await ann.heading(heading)
    await look(t, ann.page, name)
  }
  await ann.post('/account/devices/revoke-others', {})
  await desk.page.goto('/')
  await desk.heading('You are logged out')
  await look(t, desk.page, 'logged-out')
  await ann.press('Stop the database')
  await ann.heading('One moment, please')
  await look(t, ann.page, 'stopped')
}))
