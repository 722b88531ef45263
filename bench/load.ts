import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon, { type Client, type Request } from 'autocannon'
import type { Size } from './applications/serve.js'
import { percentile } from './statistics.js'

/** What visitors do. */
export type Traffic =
  /** A read without a cookie. */
  | 'anonymous'
  /** A read of a session, each connection of its own. */
  | 'read'
  /** Nine reads and a change. */
  | 'mixed'
  /** Only changes. */
  | 'change'
  /** A log-in and a log-out. */
  | 'log-in'
  /** Twenty reads of one browser at once. */
  | 'burst'

/** What a load came to. */
export interface Load {
  readonly requests: number
  readonly seconds: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** Requests of one browser at once. */
const BURST = 20

/** The headers that a visitor has after a real log-in, for so many visitors. */
export async function signIn (url: string, visitors: number, { bytes, keys }: Size): Promise<string[]> {
  const cookies: string[] = []
  while (cookies.length < visitors) {
    const some = Array.from({ length: Math.min(8, visitors - cookies.length) }, async () => {
      const response = await fetch(`${url}/login?bytes=${bytes}&keys=${keys}`, { method: 'POST' })
      if (!response.ok) throw new Error(`A log-in was answered with ${response.status}: ${await response.text()}`)
      await response.arrayBuffer()
      return merged('', response.headers.getSetCookie().filter(isLasting))
    })
    cookies.push(...await Promise.all(some))
  }
  return cookies
}

/** A visitor who reads for a while has lost by then what was set for some seconds only. */
function isLasting (setCookie: string): boolean {
  return Number(/; Max-Age=(\d+)/i.exec(setCookie)?.[1] ?? Infinity) > 60
}

/** A Cookie header after these Set-Cookie headers. A browser that was told to forget a cookie sends it empty here, as nobody. */
export function merged (cookie: string, setCookies: readonly string[]): string {
  const pairs = [...cookie === '' ? [] : cookie.split('; '), ...setCookies.map(line => line.split(';')[0] ?? '')]
  return [...new Map(pairs.map(pair => [pair.slice(0, pair.indexOf('=')), pair])).values()].join('; ')
}

/** How many requests one round of each kind of traffic has on one connection. */
export function cycleOf (traffic: Traffic): number {
  return { anonymous: 1, read: 1, mixed: 10, change: 1, 'log-in': 2, burst: BURST }[traffic]
}

/** A load is no shorter than this, however slow the application: its beginning and its end are not what it is about. */
const LEAST_CYCLES: Readonly<Record<Traffic, number>> = { anonymous: 3, read: 3, mixed: 1, change: 3, 'log-in': 2, burst: 2 }

/** Sends about so many requests, each connection as often as every other, and resolves when all are answered. */
export async function load (url: string, traffic: Traffic, cookies: readonly string[], requests: number, size: Size): Promise<Load> {
  const cycles = Math.max(LEAST_CYCLES[traffic], Math.round(requests / cookies.length / cycleOf(traffic)))
  if (traffic === 'burst') return await bursts(url, cookies, cycles)
  const amount = cycles * cookies.length * cycleOf(traffic)
  let connection = 0
  return await timed(url, cookies.length, amount, client => {
    setUp(client, traffic, cookies[connection] ?? '', connection, size)
    connection += 1
  })
}

function setUp (client: Client, traffic: Traffic, cookie: string, connection: number, size: Size): void {
  if (traffic === 'anonymous') client.setRequests([{ path: '/read' }])
  else if (traffic === 'read') client.setRequests([{ path: '/read', headers: { cookie } }])
  else client.setRequests(visits(traffic, cookie, connection, size))
}

/** Requests that each send what the answers before have set. */
function visits (traffic: Traffic, signedIn: string, connection: number, { bytes, keys }: Size): Request[] {
  let cookie = traffic === 'log-in' ? '' : signedIn
  const request = (method: 'GET' | 'POST', path: string, isLast = false): Request => ({
    method,
    path,
    setupRequest: given => ({ ...given, headers: { ...given.headers, ...cookie !== '' && { cookie } } }),
    onResponse: (_status, _body, _context, headers) => { cookie = isLast ? '' : merged(cookie, setCookiesIn(headers)) }
  })
  if (traffic === 'log-in') return [request('POST', `/login?bytes=${bytes}&keys=${keys}`), request('POST', '/logout', true)]
  if (traffic === 'change') return [request('POST', '/change')]
  // Not all connections change something in the same moment.
  return Array.from({ length: cycleOf(traffic) }, (_, index) =>
    (index + connection) % cycleOf(traffic) === 0 ? request('POST', '/change') : request('GET', '/read'))
}

function setCookiesIn (headers: Record<string, string | string[]>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => name.toLowerCase() === 'set-cookie' ? value : [])
}

/** Runs a load. The clock begins when the last connection is set up: before that none sends anything. */
async function timed (url: string, connections: number, amount: number, setUp: (client: Client) => void): Promise<Load> {
  const durations: number[] = []
  let start = 0
  let last = 0
  const note = (_status: number, _bytes: number, milliseconds: number): void => {
    last = performance.now()
    durations.push(milliseconds)
  }
  const setupClient = (client: Client): void => {
    setUp(client)
    client.on('response', note)
    start = performance.now()
  }
  const result = await autocannon({ url, connections, amount, sampleInt: 20, setupClient })
  if (result['2xx'] !== amount || result.errors > 0) throw new Error(`Of ${amount} requests ${result['2xx']} succeeded, with ${result.errors} errors`)
  return { requests: amount, seconds: (last - start) / 1000, p50: percentile(durations, 0.5), p99: percentile(durations, 0.99) }
}

/** Each browser sends its burst, waits for all answers, and sends the next. */
async function bursts (url: string, cookies: readonly string[], count: number): Promise<Load> {
  const durations: number[] = []
  const start = performance.now()
  await Promise.all(cookies.map(async cookie => {
    const agent = new Agent({ keepAlive: true, maxSockets: BURST })
    for (let index = 0; index < count; index++) durations.push(...await burst(url, cookie, agent, BURST))
    agent.destroy()
  }))
  const seconds = (performance.now() - start) / 1000
  return { requests: durations.length, seconds, p50: percentile(durations, 0.5), p99: percentile(durations, 0.99) }
}

async function burst (url: string, cookie: string, agent: Agent, requests: number): Promise<number[]> {
  return await Promise.all(Array.from({ length: requests }, async () => {
    const start = performance.now()
    const [response] = await once(get(`${url}/read`, { agent, headers: { cookie } }), 'response') as [IncomingMessage]
    if (response.statusCode !== 200) throw new Error(`A read was answered with ${response.statusCode ?? 0}`)
    response.resume()
    await once(response, 'end')
    return performance.now() - start
  }))
}

/** Bursts with pauses between them, as of people who read what they see. Resolves to the number of requests. */
export async function paused (url: string, cookies: readonly string[], times: number, requests: number, seconds: number): Promise<number> {
  await Promise.all(cookies.map(async (cookie, browser) => {
    const agent = new Agent({ keepAlive: true, maxSockets: requests })
    // Not all browsers in the same moment.
    await sleep(browser / cookies.length * seconds * 1000)
    for (let index = 0; index < times; index++) {
      await burst(url, cookie, agent, requests)
      await sleep(seconds * 1000)
    }
    agent.destroy()
  }))
  return cookies.length * times * requests
}

/** Instances that share a rate, since one sends what is due for a second at its beginning. */
const INSTANCES = 8

/** Sends so many reads a second for so many seconds, evenly. Resolves to the number that was answered. */
export async function steady (url: string, cookies: readonly string[], rate: number, seconds: number): Promise<number> {
  const share = Math.floor(cookies.length / INSTANCES)
  const answered = await Promise.all(Array.from({ length: INSTANCES }, async (_, instance) => {
    await sleep(instance * 1000 / INSTANCES)
    const own = cookies.slice(instance * share, (instance + 1) * share)
    let connection = 0
    const result = await autocannon({
      url,
      connections: share,
      duration: seconds,
      overallRate: Math.max(share, Math.round(rate / INSTANCES)),
      setupClient: client => { client.setRequests([{ path: '/read', headers: { cookie: own[connection++] ?? '' } }]) }
    })
    if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} requests failed, with ${result.errors} errors`)
    return result['2xx']
  }))
  return answered.reduce((sum, requests) => sum + requests, 0)
}

/** Reads of sessions that are chosen at random, each request another. */
export async function scattered (url: string, connections: number, requests: number, cookieOf: () => string): Promise<Load> {
  return await timed(url, connections, requests, client => {
    client.setRequests([{ path: '/read', setupRequest: request => ({ ...request, headers: { ...request.headers, cookie: cookieOf() } }) }])
  })
}
