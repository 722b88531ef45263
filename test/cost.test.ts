import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import dynamoSession, { type DynamoSessionOptions } from '../index.js'
import { billOf, readsPerWrite, requestsPerRenewal, unitsOf, unitsOfRead, unitsOfWrite, type Units, type Visit } from '../cli/bill.js'
import { totalOf } from '../bench/counts.js'
import { Counter } from '../bench/counter.js'
import { asGiven, atPace, billCells, dollars, theirBill } from '../cli/example.js'
import { ON_DEMAND, PROVISIONED } from '../cli/prices.js'
import { labelOf, MEASURED, OURS, READ_IN_SOURCES, SYSTEMS, type System } from '../cli/systems.js'
import { sizeOfItem } from '../lib/size.js'
import { memoryRepository } from '../testing/index.js'
import { setStage } from './support/app.js'
import { blocksIn, read, root, rowsIn } from './support/documents.js'
import { clientConfig, createTable, onEachEngine, type Engine } from './support/engines.js'
import { expressSession, fastifySession, ours, type Peer, type StartPeer } from './support/peers.js'
import { replayFlask, replayPyramid, replayWeb, type Replay } from './support/replays.js'
import { shopData } from './support/shop.js'
import { takeBoundVisits, takeVisits } from './support/visits.js'
import { setCookies } from './support/visitor.js'
import './support/session-data.js'

// docs/cost.md says what visits take and what they cost. Here that is measured, by the engines' own account, and reckoned.

const page = read('docs/cost.md')
const PACE = 10

/** How units are written: calls, read units, write units. */
function cell ({ calls, read, write }: Units): string {
  return `${calls} · ${read} · ${write}`
}

/** The columns of the comparison. */
const COLUMNS: readonly Visit[] = ['anonymous', 'forged', 'read', 'renewal', 'change', 'first', 'login', 'logout', 'burst']

const SPARING = { saveUninitialized: false }
const FORTNIGHT = { ...SPARING, resave: false, cookie: { maxAge: 14 * 86_400 * 1000 } }

/** By their labels in the table. */
const PEERS: Readonly<Record<string, StartPeer>> = {
  'fastify-dynamodb-session': ours(),
  "fastify-dynamodb-session, `format: 'native'`": ours({ format: 'native' }),
  "fastify-dynamodb-session, `idleTracking: 'cookie'`": ours({ idleTracking: 'cookie' }),
  '@fastify/session, connect-dynamodb': fastifySession('connect-dynamodb'),
  '@fastify/session, dynamodb-session-store': fastifySession('dynamodb-session-store'),
  'express-session, connect-dynamodb': expressSession('connect-dynamodb'),
  'express-session, dynamodb-session-store': expressSession('dynamodb-session-store'),
  '@fastify/session, connect-dynamodb, `rolling: false`': fastifySession('connect-dynamodb', { ...SPARING, rolling: false }),
  '@fastify/session, dynamodb-session-store, `rolling: false`': fastifySession('dynamodb-session-store', { ...SPARING, rolling: false }),
  'express-session, connect-dynamodb, `resave: false`': expressSession('connect-dynamodb', FORTNIGHT),
  'express-session, dynamodb-session-store, `resave: false`': expressSession('dynamodb-session-store', FORTNIGHT)
}

const REPLAYS: Readonly<Record<string, (endpoint: string) => Promise<Replay>>> = {
  'pyramid-dynamodb-sessions': replayPyramid,
  'dynamodb-session-web': replayWeb,
  'dynamodb-session-flask': replayFlask
}

/** Sends a request with a Cookie header and resolves to the Set-Cookie headers of its answer. */
type Send = (method: 'GET' | 'POST', path: string, cookie: string) => Promise<string[]>

function byHttp (url: string): Send {
  return async (method, path, cookie) => {
    const response = await fetch(url + path, { method, headers: cookie === '' ? {} : { cookie } })
    await response.arrayBuffer()
    if (!response.ok) throw new Error(`${method} ${path} was answered with ${response.status}`)
    return response.headers.getSetCookie()
  }
}

/** The cookies of one browser, which knows nothing of time. */
class Jar {
  #cookies = new Map<string, string>()
  readonly #send: Send

  constructor (send: Send) {
    this.#send = send
  }

  async get (path: string): Promise<void> {
    this.#keep(await this.#send('GET', path, this.#header()))
  }

  async post (path: string): Promise<void> {
    this.#keep(await this.#send('POST', path, this.#header()))
  }

  /** With cookies that others made, whose answer is not kept. */
  async getForged (path: string): Promise<void> {
    await this.#send('GET', path, this.#header(forge))
  }

  #header (alter = (value: string): string => value): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${alter(value)}`).join('; ')
  }

  #keep (setCookies: readonly string[]): void {
    for (const [, name = '', value = ''] of setCookies.map(line => /^([^=]+)=([^;]*)/.exec(line) ?? [])) this.#cookies.set(name, value)
  }
}

/** With another end, so that no signature fits. */
const forge = (value: string): string => `${value.slice(0, -4)}AAAA`

/** Holds calls while it is shut, so that requests meet. */
class Door {
  #isOpen: Promise<void> = Promise.resolve()

  readonly pass = async (): Promise<void> => { await this.#isOpen }

  shut (): () => void {
    let open = (): void => {}
    this.#isOpen = new Promise(resolve => { open = resolve })
    return () => { open() }
  }
}

/** An application on a table of its own, and what counts its calls. */
async function begin (t: Test, engine: Engine, start: StartPeer) {
  const door = new Door()
  const counter = await Counter.start(engine.endpoint, door.pass)
  const TableName = await createTable(engine)
  const peer = await start(counter.endpoint, TableName)
  t.teardown(async () => {
    await peer.close()
    await counter.close()
  })
  return { TableName, counter, door, peer }
}

/** What each visit to an application takes, and the bytes of the item. */
async function takePeer (t: Test, engine: Engine, start: StartPeer): Promise<{ bytes: number, units: Record<Visit, Units> }> {
  const { TableName, counter, door, peer } = await begin(t, engine, start)
  const send = byHttp(peer.url)
  const ann = new Jar(send)
  await ann.post('/login')
  // The first request of a store may look at the table, and is over when its last call is.
  await ann.get('/read')
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  const { Items = [] } = await direct.send(new ScanCommand({ TableName, ConsistentRead: true }))
  direct.destroy()
  const take = async (visit: () => Promise<unknown>): Promise<Units> => {
    counter.take()
    await visit()
    const { calls, read, write } = totalOf(counter.take())
    return { calls, read, write }
  }
  const units: Partial<Record<Visit, Units>> = {}
  units.anonymous = await take(async () => await new Jar(send).get('/read'))
  units.forged = await take(async () => await ann.getForged('/read'))
  units.read = await take(async () => await ann.get('/read'))
  await peer.age()
  units.renewal = await take(async () => await ann.get('/read'))
  units.change = await take(async () => await ann.post('/change'))
  units.first = await take(async () => await new Jar(send).post('/login'))
  units.burst = await take(async () => await atOnce(peer, door, async () => await ann.get('/read')))
  units.login = await take(async () => await ann.post('/login'))
  units.logout = await take(async () => await ann.post('/logout'))
  return { bytes: Math.max(...Items.map(item => sizeOfItem(item))), units: units as Record<Visit, Units> }
}

/** The units of a read, and of the write of a session: an application as it is started, and a first visit. */
async function takeOnce (t: Test, engine: Engine, start: StartPeer): Promise<string> {
  const { counter, peer } = await begin(t, engine, start)
  const ann = new Jar(byHttp(peer.url))
  await ann.post('/login')
  const { write } = totalOf(counter.take())
  await ann.get('/read')
  return `${totalOf(counter.take()).read} · ${write}`
}

/** Twenty requests, none of which has an answer from the table before all have come in. */
async function atOnce (peer: Peer, door: Door, send: () => Promise<void>): Promise<void> {
  const before = peer.entered()
  const open = door.shut()
  const all = Promise.all(Array.from({ length: 20 }, send))
  while (peer.entered() < before + 20) await new Promise(resolve => { setImmediate(resolve) })
  open()
  await all
}

/** Numbers such as a timestamp with a zero at its end take a byte less. */
function assertBytes (t: Test, found: number, system: System): void {
  t.ok(Math.abs(found - system.bytes) <= 4, `${labelOf(system)}: ${found} bytes for ${system.bytes}`)
}

onEachEngine(t, async (t, engine) => {
  await t.test('each visit to this library takes what the page says', async t => {
    t.same(await takeVisits(t, engine), rowsIn(page, 'visit', 'calls', 'read units', 'write units'))
  })

  await t.test('each visit with a session that is bound to a user does, too', async t => {
    t.same(await takeBoundVisits(t, engine), rowsIn(page, 'with `userIndex`', 'calls', 'read units', 'write units'))
  })

  await t.test('and so does each visit to the others that run here', async t => {
    t.same(Object.keys(PEERS), MEASURED.map(labelOf))
    for (const system of MEASURED) {
      const { bytes, units } = await takePeer(t, engine, PEERS[labelOf(system)] as StartPeer)
      assertBytes(t, bytes, system)
      t.same(COLUMNS.map(visit => cell(units[visit])), COLUMNS.map(visit => cell(unitsOf(system.visits[visit], system.bytes))), labelOf(system))
    }
  })

  await t.test('and the calls that the sources of those in Python make', async t => {
    t.same(Object.keys(REPLAYS), READ_IN_SOURCES.map(labelOf))
    for (const system of READ_IN_SOURCES) {
      const { bytes, visits } = await (REPLAYS[system.name] as (endpoint: string) => Promise<Replay>)(engine.endpoint)
      assertBytes(t, bytes, system)
      for (const [visit, act] of Object.entries(visits)) {
        const expected = unitsOf(system.visits[visit as Visit], system.bytes)
        // A Query that finds nothing: the page has what AWS charges, the engines charge nothing.
        const isFree = visit === 'forged' && system.name !== 'pyramid-dynamodb-sessions'
        t.same(cell(await act()), cell(isFree ? { ...expected, read: 0 } : expected), `${system.name}, ${visit}`)
      }
    }
  })

  await t.test('the keys of a batch that are not found are where the engines differ', async t => {
    const { proxy, visitor } = await setStage(t, engine)
    const strangers = ['a', 'b'].map(letter => {
      const stranger = visitor()
      stranger.plant('__Host-id', letter.repeat(43).replace(/.$/, 'A'))
      return stranger
    })
    await Promise.all(strangers.map(async stranger => await stranger.get('/me')))
    t.same(proxy.takeCalls().map(({ action, capacity }) => [action, capacity]), [['BatchGetItem', engine.name === 'dynalite' ? 1 : 0]])
  })

  await t.test('sealing and compressing change the units as the page says', async t => {
    const key = new Uint8Array(32).fill(9)
    const settings = [{}, { encryptionKeys: key }, { compress: true }, { compress: true, encryptionKeys: key }]
    const shapes = [['2 KB in 10 keys', 2048, 10], ['64 KB in 50 keys', 65_536, 50], ['64 KB in 1 key', 65_536, 1]] as const
    const cells = async (data: object): Promise<string[]> => await Promise.all(settings.map(async session => await takeOnce(t, engine, ours(session, data))))
    const rows = []
    for (const [shape, bytes, keys] of shapes) rows.push([shape, ...await cells(shopData(bytes, keys))])
    t.same(rows, rowsIn(page, 'session', 'as it is', 'sealed', '`compress`', 'both'))
  })

  await t.test('the example counts what the engine says that it took', async t => {
    const { spent, dollars } = await importExample(t)
    const before = structuredClone(spent)
    const { app, visitor, proxy, clock } = await setStage(t, engine, { session: { userIndex: true } })
    proxy.take()
    const ann = visitor()
    await ann.post('/set', { 'any:text': 'x'.repeat(5000) })
    clock.forward(3600)
    await Promise.all([ann.get('/me'), visitor().get('/me')])
    await ann.post('/set', { count: 1 })
    await ann.post('/login')
    await ann.get('/me')
    await ann.post('/logout')
    const bound = await app.sessions.create({ count: 1 })
    bound.bind('u-42')
    await bound.save()
    await app.sessions.list('u-42')
    await app.sessions.revokeAll('u-42')
    const calls = proxy.takeCalls()
    const taken = (operation: string): Units => {
      const { calls = 0, read = 0, write = 0 } = spent[operation] ?? {}
      const { calls: callsBefore = 0, read: readBefore = 0, write: writeBefore = 0 } = before[operation] ?? {}
      return { calls: calls - callsBefore, read: read - readBefore, write: write - writeBefore }
    }
    t.same(Object.fromEntries(Object.keys(spent).map(operation => [operation, cell(taken(operation))])), {
      load: '5 · 4 · 0',
      create: '3 · 0 · 8',
      save: '2 · 0 · 7',
      touch: '1 · 0 · 6',
      regenerate: '1 · 0 · 6',
      destroy: '1 · 0 · 1',
      revoke: '1 · 0 · 1',
      bind: '4 · 0 · 3',
      list: '2 · 2 · 0'
    })
    const sum = Object.keys(spent).map(taken).reduce((one, other) => ({ calls: one.calls + other.calls, read: one.read + other.read, write: one.write + other.write }))
    t.equal(sum.calls, calls.length)
    t.equal(sum.read + sum.write, calls.reduce((sum, { capacity }) => sum + capacity, 0))
    const all = Object.values(spent).reduce((one, other) => ({ calls: 0, read: one.read + other.read, write: one.write + other.write }))
    t.equal(dollars().toFixed(9), ((all.read * ON_DEMAND.read + all.write * ON_DEMAND.write) / 1e6).toFixed(9))
  })
})

type Spent = Record<string, Units>

interface Example { readonly spent: Spent, readonly dollars: () => number }

/** The example of the page as it stands there. */
async function importExample (t: Test): Promise<Example> {
  const folder = join(root, 'test-output', 'cost')
  const file = join(folder, 'meter.ts')
  mkdirSync(folder, { recursive: true })
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  const code = blocksIn(page, 'ts').find(code => code.includes('export const spent')) ?? ''
  // The package's name leads to what is built, which a fresh clone has not.
  writeFileSync(file, code.replace("from 'fastify-dynamodb-session'", "from '../../index.js'"))
  return await import(pathToFileURL(file).href) as Example
}

t.test('the comparison stands on the page as it is reckoned', async t => {
  const rows = SYSTEMS.map(system => [labelOf(system), String(system.bytes), ...COLUMNS.map(visit => cell(unitsOf(system.visits[visit], system.bytes)))])
  t.same(rowsIn(page, 'system', 'item', 'anonymous', 'forged'), rows)
})

t.test('the worked example stands on the page as its authors reckon it', async t => {
  const { reads, writes, storage, total } = theirBill(PROVISIONED)
  t.same(rowsIn(page, 'part', 'reckoned', 'rounded there'), [
    ['reads', `$${reads.toFixed(2)}`, '$80'], ['writes', `$${writes.toFixed(2)}`, '$50'],
    ['storage', `$${storage.toFixed(2)}`, '$4'], ['total', `$${total.toFixed(2)}`, '$134']
  ])
})

const HOURLY: System = { ...OURS, setting: '`reissueTime: 3600`', reissueTime: 3600 }

t.test('and so do the bills of everybody for the same traffic', async t => {
  const bill = (system: System, usage: Units & { stored: number }): string[] => [labelOf(system), ...billCells(usage, ON_DEMAND, PROVISIONED)]
  t.same(rowsIn(page, 'system, traffic as given', 'read units'), SYSTEMS.map(system => bill(system, asGiven(system))))
  t.same(rowsIn(page, 'system, a request every 10 s', 'read units'), [OURS, HOURLY, ...SYSTEMS.slice(1)].map(system => bill(system, atPace(PACE, system))))
})

t.test('renewals come as often as the page says, and take as much', async t => {
  const DAY = 86_400
  const settings: ReadonlyArray<readonly [string, Partial<DynamoSessionOptions>]> = [
    ['0', { reissueTime: 0 }],
    ['60 s', { reissueTime: 60 }],
    ['5 min', { reissueTime: 300 }],
    ['12 min, the default', {}],
    ['24 h, with an idle timeout of 14 days', { reissueTime: DAY, idleTimeout: 14 * DAY, absoluteTimeout: 30 * DAY }],
    ["`idleTracking: 'cookie'`", { idleTracking: 'cookie', secrets: 'a secret that is long enough to sign with' }]
  ]
  const rows = []
  for (const [name, session] of settings) {
    const { requests, renewals } = await anHour(session)
    const write = renewals / requests * unitsOfWrite(OURS.bytes)
    const { total } = billOf({ calls: 0, read: requests / 2, write: write * requests, stored: 0 }, ON_DEMAND)
    rows.push([name, String(renewals), String(Math.round(write * 1000)), `$${(total / requests * 1e6).toFixed(2)}`])
    const reissueTime = session.idleTracking === 'cookie' ? Infinity : session.reissueTime ?? 720
    t.equal(renewals, Math.floor(requests / requestsPerRenewal(PACE, reissueTime)), `${name}, as the bills reckon`)
  }
  t.same(rows, rowsIn(page, 'reissue time', 'renewals in the hour', 'write units', 'reads and renewals'))
})

/** A visit of an hour with a request every ten seconds. */
async function anHour (session: Partial<DynamoSessionOptions>): Promise<{ requests: number, renewals: number }> {
  const client = memoryRepository()
  const touch = client.touch.bind(client)
  let renewals = 0
  client.touch = async (...args) => {
    renewals += 1
    return await touch(...args)
  }
  let now = Date.UTC(2026, 0, 2)
  const app = Fastify()
  await app.register(dynamoSession, { table: 'sessions', client, now: () => now, ...session })
  app.post('/', async request => { request.session.set('count', 1) })
  app.get('/', async request => ({ count: request.session.get('count') }))
  const ann = new Jar(async (method, url, cookie) => {
    const response = await app.inject({ method, url, headers: { cookie } })
    if (method === 'GET' && response.json().count !== 1) throw new Error('The session ended')
    return setCookies(response)
  })
  await ann.post('/')
  const requests = 3600 / PACE
  for (let request = 0; request < requests; request++) {
    now += PACE * 1000
    await ann.get('/')
  }
  await app.close()
  return { requests, renewals }
}

t.test('a renewal costs as many reads as the page says', async t => {
  const sizes = [['1 KB', 1024], ['2 KB', 2129], ['4 KB', 4096], ['8 KB', 8192], ['64 KB', 65_536]] as const
  t.same(rowsIn(page, 'item', 'read', 'renewal', 'reads for a renewal'), sizes.map(([name, bytes]) =>
    [name, String(unitsOfRead(bytes) / 2), String(unitsOfWrite(bytes)), String(readsPerWrite(bytes, ON_DEMAND))]))
})

t.test('the page and the README name the price list, and the README the bills of the page', async t => {
  t.match(page, `${ON_DEMAND.region}, since ${ON_DEMAND.date}`)
  for (const price of [`$${ON_DEMAND.read}`, `$${ON_DEMAND.write}`, `$${ON_DEMAND.storage}`, `$${PROVISIONED.read}`, `$${PROVISIONED.write}`]) t.ok(page.includes(price), price)
  const [, inShort = ''] = /In three lines([\s\S]*?)\n\nContents/.exec(page) ?? []
  const [, said = ''] = /\*\*What it costs\.\*\*([\s\S]*?)\n\n/.exec(read('README.md')) ?? []
  const totals = SYSTEMS.filter(({ name, setting }) => setting === '' && (name === OURS.name || name.startsWith('@fastify')))
    .map(system => dollars(billOf(asGiven(system), ON_DEMAND).total))
  t.same(said.match(/\$[\d,]+/g), totals)
  t.same(new Set(inShort.match(/\$[\d,]+/g)), new Set([...totals, dollars(billOf(asGiven(OURS), ON_DEMAND).reads)]))
  t.ok(inShort.includes(`${readsPerWrite(OURS.bytes, ON_DEMAND)} reads`))
  t.match(said, '](docs/cost.md)')
})
