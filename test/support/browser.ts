import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, BrowserContextOptions, Cookie, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildDemo, type DemoOptions } from '../../demo/app.js'
import type { DatabaseSwitch } from '../../demo/database.js'
import { startEngine } from '../../demo/engine.js'
import { findChromium, startChromium, unlessChromium } from './chromium.js'
import { Clock } from './app.js'

/** Where the screenshots of a run are left, to be looked at. */
const SHOTS = fileURLToPath(new URL('../../test-output/screenshots/', import.meta.url))

/** Somebody in front of a browser of their own: nobody shares their cookies. */
export interface Person {
  readonly context: BrowserContext
  readonly page: Page
  /** Another tab of the same browser. */
  tab (path: string): Promise<Page>
  press (name: string): Promise<void>
  heading (name: string): Promise<void>
  /** By the form of the page, which then greets them. */
  logIn (name: string): Promise<void>
  /** Posts a form beside the pages, with the cookies of this browser and in no time. */
  post (path: string, form: Record<string, string>): Promise<void>
  /** The cookie of the session, as the browser has stored it. */
  token (): Promise<Cookie | undefined>
}

type Own = Partial<Omit<DemoOptions, 'client' | 'table' | 'logger'>>

export interface Shop {
  /** The database of the shop, which can be stopped. */
  readonly database: DatabaseSwitch
  /** The clock of the shop, not that of the browsers. */
  readonly clock: Clock
  person (options?: BrowserContextOptions): Promise<Person>
}

const path = findChromium()

/** For the tests that need the browser. */
export const skip = unlessChromium(path)

let started: Promise<Browser> | undefined

/** One for all tests of the process: people have nothing in common but that. */
async function theBrowser (): Promise<Browser> {
  if (started === undefined) {
    const starting = startChromium(path ?? '')
    started = starting
    t.teardown(async () => { await (await starting).close() })
  }
  return await started
}

/**
 * A test of the demonstration on an engine of its own. Whatever a page complains of on the way, such as a script that failed or
 * something that the policy of the page forbids, is a failure.
 */
export function inShop (own: Own, run: (t: Test, shop: Shop) => Promise<void>) {
  return async (t: Test): Promise<void> => {
    const clock = new Clock()
    const { client, database, close } = await startEngine()
    const app = await buildDemo({ client, database, table: 'demo-sessions', logger: false, now: clock.now, ...own })
    const contexts: BrowserContext[] = []
    t.teardown(async () => {
      await Promise.all(contexts.map(async context => { await context.close() }))
      await app.close()
      await close()
    })
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    const complaints: string[] = []
    await run(t, { clock, database, person: async options => await meet(address, own, complaints, contexts, options) })
    t.same(complaints, [], 'no page complained')
  }
}

async function meet (address: string, { https }: Own, complaints: string[], contexts: BrowserContext[], options: BrowserContextOptions = {}): Promise<Person> {
  const browser = await theBrowser()
  const baseURL = address.replace('127.0.0.1', 'localhost')
  const context = await browser.newContext({ baseURL, ignoreHTTPSErrors: https !== undefined, reducedMotion: 'reduce', ...options })
  contexts.push(context)
  context.setDefaultTimeout(10_000)
  context.on('weberror', error => complaints.push(error.error().message))
  context.on('console', message => { if (!isExpected(message.text())) complaints.push(`${message.type()}: ${message.text()}`) })
  context.on('dialog', async dialog => {
    complaints.push(dialog.message())
    await dialog.dismiss()
  })
  const page = await context.newPage()
  const press = async (name: string): Promise<void> => { await page.getByRole('button', { name, exact: true }).click() }
  const heading = async (name: string): Promise<void> => { await page.getByRole('heading', { name, exact: true }).waitFor() }
  return {
    context,
    page,
    press,
    heading,
    tab: async path => {
      const other = await context.newPage()
      await other.goto(path)
      return other
    },
    logIn: async name => {
      await page.goto('/login')
      await page.getByLabel('Name').fill(name)
      await press('Log in')
      await heading(`Hello, ${name}`)
    },
    post: async (path, form) => {
      const answer = await context.request.post(path, { form, maxRedirects: 0 })
      if (answer.status() !== 303) throw new Error(`${path} answers with ${answer.status()}`)
    },
    token: async () => (await context.cookies()).find(({ name }) => name === (https === undefined ? 'id' : '__Host-id'))
  }
}

/** The browser tells of every answer that is no success, and the shop answers so on purpose. */
function isExpected (text: string): boolean {
  return /^Failed to load resource: the server responded with a status of (404|409|503) /.test(text)
}

/** The whole page, to be looked at after the test. */
export async function shoot (page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(folder(SHOTS), `${name}.jpg`), fullPage: true, type: 'jpeg', quality: 80 })
}

/** What one sees of a page at first, for the README: only where `npm run screenshots` asks for it. */
export async function shootForReadme (page: Page, name: string): Promise<void> {
  const images = process.env['SCREENSHOTS']
  if (images !== undefined) await page.screenshot({ path: join(folder(images), `${name}.png`) })
}

function folder (path: string): string {
  mkdirSync(path, { recursive: true })
  return path
}
