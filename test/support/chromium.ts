import { chromium, type Browser } from 'playwright-core'
import { findProgram, unlessMissing, type Environment } from './installed.js'

/** Where Debian puts it. */
const USUAL_PATH = '/usr/bin/chromium'

/** Keeps the browser to itself: it asks no service for updates, lists or accounts. */
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync'
]

/** The path of the browser, or undefined where there is none. */
export function findChromium (environment: Environment = process.env, usualPath = USUAL_PATH): string | undefined {
  return findProgram(environment['CHROMIUM_PATH'] ?? usualPath, 'apt-get install -y chromium, or name a browser in CHROMIUM_PATH', environment)
}

export function unlessChromium (path: string | undefined): ReturnType<typeof unlessMissing> {
  return unlessMissing(path, 'CHROMIUM IS MISSING: NOT CLICKED THROUGH IN A BROWSER (apt-get install -y chromium)')
}

/** A browser with a profile of its own, which goes when it is closed. */
export async function startChromium (executablePath: string): Promise<Browser> {
  return await chromium.launch({ executablePath, headless: true, args: QUIET })
}
