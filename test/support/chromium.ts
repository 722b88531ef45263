import { accessSync, constants } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'

/** Where Debian puts it. */
const USUAL_PATH = '/usr/bin/chromium'

/** Keeps the browser to itself: it asks no service for updates, lists or accounts. */
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync'
]

type Environment = Readonly<Record<string, string | undefined>>

/** The path of the browser, or undefined where there is none, which a build server must not pass over. */
export function findChromium (environment: Environment = process.env, usualPath = USUAL_PATH): string | undefined {
  const path = environment['CHROMIUM_PATH'] ?? usualPath
  try {
    accessSync(path, constants.X_OK)
    return path
  } catch {
    if (environment['CI'] === 'true') throw new Error(`${path} is missing: apt-get install -y chromium, or name a browser in CHROMIUM_PATH`)
    return undefined
  }
}

/** What to hand to a test that needs the browser. */
export function unlessChromium (path: string | undefined): { readonly skip: string | false } {
  return { skip: path === undefined && 'CHROMIUM IS MISSING: NOT CLICKED THROUGH IN A BROWSER (apt-get install -y chromium)' }
}

/** A browser with a profile of its own, which goes when it is closed. */
export async function startChromium (executablePath: string): Promise<Browser> {
  return await chromium.launch({ executablePath, headless: true, args: QUIET })
}
