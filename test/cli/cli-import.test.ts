import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DynamoDBClient, GetItemCommand, PutItemCommand, ScanCommand, type AttributeValue } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { makeStore } from '../../bench/applications/stores.js'
import { decide } from '../../cli/rows.js'
import type { Origin } from '../../cli/origin.js'
import { connectDynamodb, dynamodbSessionWeb } from '../../import/index.js'
import { resolveOptions } from '../../lib/options.js'
import { hash } from '../../lib/token.js'
import type { DynamoStore } from '../../store/index.js'
import { makeApp } from '../support/bulk.js'
import { at, command } from '../support/cli.js'
import { clientConfig, createTable, onOneEngine, type Engine } from '../support/engines.js'
import { Browser, HOSTS, setStore, startHost, type HostName, type StoreStage } from '../support/hosts.js'
import { isSealed } from '../support/sealing.js'

type Row = Record<string, AttributeValue>

const seconds = (): number => Math.floor(Date.now() / 1000)
const PREFIX = { 'connect-dynamodb': 'sess:', 'dynamodb-session-store': 'session#' } as const
type Hosted = keyof typeof PREFIX
const HOSTED = Object.keys(PREFIX) as Hosted[]
const DENIED = { status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' } }

interface Stage extends StoreStage {
  /** Where the old rows are; `table` is where they go. */
  readonly old: string
  readonly oldRows: () => Promise<Row[]>
  readonly fill: (...rows: Row[]) => Promise<void>
  readonly run: (from: string, ...args: string[]) => ReturnType<typeof command>
}

async function setImport (t: Test, engine: Engine): Promise<Stage> {
  const stage = await setStore(t, engine)
  const old = await createTable(engine)
  return {
    ...stage,
    old,
    oldRows: async () => (await stage.direct.send(new ScanCommand({ TableName: old, ConsistentRead: true }))).Items ?? [],
    fill: async (...rows) => { for (const Item of rows) await stage.direct.send(new PutItemCommand({ TableName: old, Item })) },
    run: async (from, ...args) => await command(['import', '--from', from, '--from-table', old, ...at(stage.proxy, stage.table), ...args])
  }
}

/** Logs a visitor in by the real old store. */
async function logIn (t: Test, engine: Engine, stage: Stage, other: Hosted, name: HostName = 'express-session', session: Record<string, unknown> = {}): Promise<Browser> {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(() => { client.destroy() })
  const host = await startHost(t, name, makeStore(client, stage.old, other) as DynamoStore, { session })
  const browser = new Browser()
  await browser.post(host, '/login', { userId: 'u-42', cart: ['apple'], at: new Date(0) })
  return browser
}

const DATA = { userId: 'u-42', cart: ['apple'], at: '1970-01-01T00:00:00.000Z' }

const connectRow = (sid: string, expires: number, sess: unknown = { cookie: { originalMaxAge: null, expires: null, httpOnly: true, path: '/' }, a: 1 }): Row =>
  ({ id: { S: `sess:${sid}` }, type: { S: 'connect-session' }, expires: { N: String(expires) }, sess: { S: typeof sess === 'string' ? sess : JSON.stringify(sess) } })

const idOf = (text: string): string => Buffer.from(hash(text), 'base64url').toString('base64url')

const webRow = (id: string, expires: number, data = '{"user": "zo\\u00eb", "n": 1, "_permanent": true}'): Row => ({
  id: { S: id },
  data: { S: data },
  created: { S: new Date((expires - 7200) * 1000).toISOString().replace('Z', '+00:00') },
  accessed: { S: new Date((expires - 7200) * 1000).toISOString().replace('Z', '+00:00') },
  expires: { N: String(expires) },
  idle_timeout: { N: '7200' },
  absolute_timeout: { N: '43200' }
})

/** What is neither an instant nor a mark of a write. */
const lasting = ({ w, created, seen, expires, ...rest }: Row): Row => rest

/** A run that is about to put the copy of a row. */
async function heldAtPut (t: Test, engine: Engine) {
  const stage = await setImport(t, engine)
  const cookie = { originalMaxAge: 600_000 }
  await stage.fill(connectRow('one', seconds() + 100, { cookie, a: 1 }))
  const gate = stage.proxy.gate('PutItem')
  // Not awaited here: it stands still.
  const run = stage.run('connect-dynamodb', '--json')
  await gate.reached
  return { stage, cookie, gate, run }
}

onOneEngine(t, async (t, engine) => {
  for (const other of HOSTED) {
    for (const name of HOSTS) {
      await t.test(`a visitor of ${other} with ${name} notices nothing of the copy, and the record is what the store would have written`, async t => {
        const stage = await setImport(t, engine)
        const browser = await logIn(t, engine, stage, other, name, { cookie: { secure: false, maxAge: 600_000 } })
        const [row] = await stage.oldRows()
        stage.proxy.take()
        const { code, json, err } = await stage.run(other, '--json')
        t.same([code, err], [0, ''])
        t.match(json, { done: true, dryRun: false, read: 1, copied: 1, deleted: 0 })
        const calls = stage.proxy.takeCalls()
        t.same(calls.map(({ action }) => action), ['GetItem', 'DescribeTable', 'Scan', 'PutItem', 'GetItem'], 'the first looks at the table')
        t.equal(json.units, calls.reduce((sum, { capacity = 0 }) => sum + capacity, 0), 'by the service\'s own account')
        const sid = browser.sid() ?? ''
        const [copy = {}] = await stage.items()
        t.equal(copy['id']?.S, hash(sid))
        t.equal(Number(copy['expires']?.N), Math.floor(Number(row?.['expires']?.N)), 'it ends when it would have ended')
        t.notOk(JSON.stringify(await stage.items()).includes(sid), 'the id stands nowhere')
        const ours = stage.store()
        const host = await startHost(t, name, ours, { session: { cookie: { secure: false, maxAge: 600_000 } } })
        t.same((await browser.get(host, '/me')).body, DATA)
        const read = await ours.get(sid)
        t.equal(read?.cookie.originalMaxAge, 600_000)
        t.equal(Number(new Date(read?.cookie.expires ?? 0)), Number(copy['expires']?.N) * 1000)
        await ours.destroy(sid)
        // As JSON, without the mark of what was read.
        await ours.set(sid, { ...DATA, cookie: JSON.parse(JSON.stringify(read?.cookie)) as object })
        t.same(lasting(copy), lasting((await stage.items())[0] ?? {}))
        t.equal((await stage.oldRows()).length, 1)
        t.same((await browser.post(host, '/set', { city: 'Berlin' })).status, 200)
        t.same((await browser.get(host, '/me')).body, { ...DATA, city: 'Berlin' })
        t.same(browser.sid(), sid)
      })
    }

    await t.test(`a session of ${other} whose cookie ends with the browser has the idle timeout that is given`, async t => {
      const stage = await setImport(t, engine)
      const browser = await logIn(t, engine, stage, other)
      t.match((await stage.run(other, '--idle-timeout', '86400', '--absolute-timeout', 'none', '--json')).json, { copied: 1 })
      const ours = stage.store({ idleTimeout: 86_400, absoluteTimeout: false })
      stage.clock.forward(86_000)
      t.same((await browser.get(await startHost(t, 'express-session', ours), '/me')).body, DATA)
      await stage.store().destroy(browser.sid() ?? '')
      t.match((await stage.run(other, '--json')).json, { copied: 1 })
      t.ok(Math.abs(Number((await stage.items())[0]?.['expires']?.N) - seconds() - 7200) < 5, 'else that of the store')
    })
  }

  await t.test('rows of both are copied within the table that they are in, and records of ours are others\'', async t => {
    const stage = await setImport(t, engine)
    const age = { originalMaxAge: 600_000 }
    await stage.put(connectRow('one', seconds() + 600, { cookie: age, a: 1 }))
    const run = async () => await command(['import', '--from', 'connect-dynamodb', '--from-table', stage.table, ...at(stage.proxy, stage.table), '--json'])
    t.match((await run()).json, { read: 1, copied: 1, others: 0 })
    t.match((await run()).json, { read: 2, copied: 0, present: 1, others: 1 })
    t.match((await command(['import', '--from', 'connect-dynamodb', '--from-table', stage.table, '--no-from-prefix', ...at(stage.proxy, stage.table), '--dry-run', '--json'])).json, { copied: 1, others: 1, ghosts: 0 })
  })

  await t.test('what is dead, a ghost, unreadable or would become something else is counted, not copied; what is here already stays', async t => {
    const stage = await setImport(t, engine)
    const later = seconds() + 600
    const cookie = { originalMaxAge: 600_000, expires: null }
    await stage.fill(
      connectRow('alive', later, { cookie, a: 1 }),
      connectRow('here', later, { cookie, a: 1 }),
      connectRow('dead', seconds() - 10),
      { id: { S: 'sess:dead and big' }, expires: { N: '1' }, sess: { M: { n: { N: '12345678901234567890' } } } },
      connectRow('dead of 3.0.2', seconds() - 10 + 3_600_000 - 3600, { cookie: { originalMaxAge: 3_600_000 }, a: 1 }),
      connectRow('ended', later, { cookie: { originalMaxAge: null, expires: new Date(0) } }),
      connectRow('', later),
      connectRow('broken', later, '{'),
      { id: { S: 'sess:ghost' }, expires: { N: String(later) } },
      { id: { S: 'sess:big' }, expires: { N: String(later) }, sess: { M: { n: { N: '12345678901234567890' } } } },
      // Each of its signs takes two in JSON.
      { id: { S: 'sess:large' }, expires: { N: String(later) }, sess: { M: { a: { S: '"'.repeat(250_000) } } } },
      { id: { S: 'shop#1' } }
    )
    const before = await stage.store().set('here', { cookie: { ...cookie, expires: null }, mine: true }).then(async () => await stage.item(hash('here')))
    stage.proxy.take()
    const dry = await stage.run('connect-dynamodb', '--dry-run')
    t.match(dry, { code: 1, out: /^12 rows read; 3 to copy, none copied; 4 expired; 2 without a session; 1 not importable; 2 of others; \d+ capacity units used\.\n$/ })
    t.same(new Set(stage.proxy.take()), new Set(['GetItem', 'DescribeTable', 'Scan']))
    const { code, out, err } = await stage.run('connect-dynamodb')
    t.equal(code, 1)
    t.match(out, /^12 rows read; 1 copied; 1 already there; 4 expired; 2 without a session; 2 not importable; 2 of others; /)
    t.match(err, /^warning: There are 2 living sessions with a value that would become another one, or larger than a record may be\./)
    t.same(await stage.item(hash('here')), before)
    t.equal((await stage.items()).length, 2)
    const again = await stage.run('connect-dynamodb', '--json')
    t.match(again.json, { copied: 0, present: 2 }, 'to repeat it is harmless')
    t.equal((await stage.oldRows()).length, 12)
  })

  await t.test('who has logged out here comes back by another run where the copied row still stands, and not with --delete', async t => {
    for (const deletes of [false, true]) {
      const stage = await setImport(t, engine)
      await stage.fill(connectRow('one', seconds() + 600))
      const args = ['--json', ...deletes ? ['--delete'] : []]
      await stage.run('connect-dynamodb', ...args)
      await stage.store().destroy('one')
      t.same(await stage.items(), [])
      await stage.run('connect-dynamodb', ...args)
      t.equal((await stage.items()).length, deletes ? 0 : 1)
    }
  })

  await t.test('a session that logs out in the old table between Scan and put, or after it, does not come back', async t => {
    for (const match of ['PutItem', 'GetItem'] as const) {
      const stage = await setImport(t, engine)
      const client = new DynamoDBClient(clientConfig(engine.endpoint))
      t.teardown(() => { client.destroy() })
      const before = await startHost(t, 'express-session', makeStore(client, stage.old, 'connect-dynamodb') as DynamoStore)
      const browser = new Browser()
      await browser.post(before, '/login', { userId: 'u-42' })
      const key = `sess:${browser.sid() ?? ''}`
      const gate = stage.proxy.gate(match === 'PutItem' ? match : { action: match, when: input => input['Key']?.id?.S === key })
      const run = stage.run('connect-dynamodb', '--json')
      await gate.reached
      t.equal((await stage.items()).length, match === 'PutItem' ? 0 : 1)
      await browser.post(before, '/logout')
      gate.release()
      const { code, json } = await run
      t.match({ code, json }, { code: 0, json: { copied: 0, gone: 1 } })
      t.same(await stage.items(), [], match)
      t.equal(stage.proxy.take().at(-1), 'DeleteItem')
    }
  })

  await t.test('of a row that was changed between Scan and put, what it says then is copied', async t => {
    const { stage, cookie, gate, run } = await heldAtPut(t, engine)
    const end = seconds() + 600
    await stage.fill(connectRow('one', end, { cookie, a: 2 }))
    gate.release()
    t.match((await run).json, { read: 1, copied: 1, gone: 0, changing: 0 })
    t.same(stage.proxy.take(), ['GetItem', 'DescribeTable', 'Scan', 'PutItem', 'GetItem', 'DeleteItem', 'PutItem', 'GetItem'])
    t.match(await stage.item(hash('one')), { expires: { N: String(end) }, data: { M: { a: { S: '2' } } } })
  })

  await t.test('a row that dies while it is copied is counted as what it is then, and one that never rests is left', async t => {
    const { stage, cookie, gate, run } = await heldAtPut(t, engine)
    await stage.fill({ id: { S: 'sess:one' }, expires: { N: String(seconds() + 100) } })
    gate.release()
    t.match((await run).json, { copied: 0, ghosts: 1 })
    t.same(await stage.items(), [])

    let turn = 1
    await stage.fill(connectRow('one', seconds() + 100, { cookie, a: turn }))
    let next = stage.proxy.gate('PutItem')
    const restless = stage.run('connect-dynamodb')
    for (const isLast of [false, false, true]) {
      const gate = next
      await gate.reached
      await stage.fill(connectRow('one', seconds() + 100, { cookie, a: ++turn }))
      if (!isLast) next = stage.proxy.gate('PutItem')
      gate.release()
    }
    t.match(await restless, { code: 1, out: /1 row read; 0 copied; 1 changing/, err: /1 living session that were changed each time they were copied\. Run it again/ })
    t.same(await stage.items(), [])
  })

  await t.test('old rows are deleted with --delete only, each after its copy, and not where they were changed after that', async t => {
    const stage = await setImport(t, engine)
    const row = (sid: string, a: number): Row => connectRow(sid, seconds() + 600, { cookie: { originalMaxAge: 600_000 }, a })
    await stage.fill({ ...row('one', 1), userId: { S: 'u-42' } }, connectRow('dead', 1), row('two', 1))
    const gate = stage.proxy.gate({ action: 'DeleteItem', when: input => input['Key'].id.S === 'sess:two' })
    const run = stage.run('connect-dynamodb', '--delete', '--json')
    await gate.reached
    await stage.fill(row('two', 2))
    gate.release()
    const { json } = await run
    t.match(json, { read: 3, copied: 2, deleted: 1, kept: 1, expired: 1 })
    t.same((await stage.oldRows()).map(({ id }) => id?.S).sort(), ['sess:dead', 'sess:two'])
    const actions = stage.proxy.take()
    t.same(['PutItem', 'DeleteItem'].map(name => actions.filter(action => action === name).length), [2, 2])
    t.match((await stage.run('connect-dynamodb', '--delete', '--json')).json, { copied: 0, present: 1, deleted: 0 }, 'only what this run has copied')
    t.equal((await stage.items()).length, 2)
  })

  await t.test('a failure says how far it came, and a run goes on from there by a file that only its owner can read', async t => {
    const stage = await setImport(t, engine)
    const rows = Array.from({ length: 70 }, (_, index) => connectRow(String(index), seconds() + 600, { cookie: { originalMaxAge: 600_000 }, a: index }))
    await stage.fill(...rows)
    const state = join(t.testdir(), 'state.json')
    let scans = 0
    stage.proxy.intercept = action => action === 'Scan' && ++scans > 1 ? DENIED : undefined
    const failed = await stage.run('connect-dynamodb', '--state', state)
    t.match(failed, { code: 1, out: /^50 rows read; 50 copied; /, err: /^error: The credentials do not permit dynamodb:Scan/ })
    t.equal(statSync(state).mode & 0o777, 0o600)
    t.match(JSON.parse(readFileSync(state, 'utf8')), { table: stage.old, into: stage.table, key: { S: /^sess:/ } })
    stage.proxy.intercept = () => undefined
    const other = await createTable(engine)
    t.match(await command(['import', '--from', 'connect-dynamodb', '--from-table', stage.old, ...at(stage.proxy, other), '--state', state]), { code: 1, out: '', err: /is of another table, region or prefix/ })
    t.match((await stage.run('connect-dynamodb', '--state', state, '--json')).json, { done: true, read: 20, copied: 20 })
    t.notOk(existsSync(state))
    t.equal((await stage.items()).length, 70)
  })

  await t.test('where it cannot be known whether a session has ended, its copy is taken back, and if it cannot be, that is said', async t => {
    for (const isBroken of [false, true]) {
      const stage = await setImport(t, engine)
      await stage.fill(connectRow('one', seconds() + 600, { cookie: { originalMaxAge: 600_000 }, a: 1 }))
      stage.proxy.intercept = (action, input) => (action === 'GetItem' && input['TableName'] === stage.old) || (action === 'DeleteItem' && isBroken) ? DENIED : undefined
      const { code, err, out } = await stage.run('connect-dynamodb')
      t.equal(code, 1)
      t.match(out, /^1 row read; 0 copied/)
      t.match(err, 'do not permit dynamodb:GetItem')
      t.equal(/could not be taken back/.test(err), isBroken)
      t.equal((await stage.items()).length, isBroken ? 1 : 0)
    }
  })

  await t.test('a put that fails ends the run', async t => {
    const stage = await setImport(t, engine)
    await stage.fill(connectRow('one', seconds() + 600))
    stage.proxy.intercept = action => action === 'PutItem' ? DENIED : undefined
    t.match(await stage.run('connect-dynamodb', '--json'), { code: 1, json: { done: false, read: 1, copied: 0 } })
  })

  await t.test('when it is told to stop it begins nothing more, says how to go on, and forgets nothing of the page', async t => {
    const stage = await setImport(t, engine)
    await stage.fill(...Array.from({ length: 51 }, (_, index) => connectRow(String(index), seconds() + 600)))
    const argv = ['import', '--from', 'connect-dynamodb', '--from-table', stage.old, ...at(stage.proxy, stage.table), '--json']
    const stopping = new AbortController()
    stage.proxy.intercept = action => {
      if (action === 'PutItem') stopping.abort()
      return undefined
    }
    const stopped = await command(argv, { stop: stopping.signal })
    t.match(stopped, { code: 1, json: { done: false, read: 50 }, err: /with --state, it would go on from here/ })
    t.ok(stopped.json.copied >= 1 && stopped.json.copied <= 8, 'what was begun is done')
    const { code, json } = await command(argv)
    t.match([code, json.copied + json.present], [0, 51])
    t.match(await command(argv, { stop: AbortSignal.abort() }), { code: 1, json: { done: false, copied: 0 } })
  })

  await t.test('the limit of capacity units a second is kept', async t => {
    const stage = await setImport(t, engine)
    await stage.fill(...Array.from({ length: 20 }, (_, index) => connectRow(String(index), seconds() + 600)))
    let clock = Date.now()
    const started = clock
    const argv = ['import', '--from', 'connect-dynamodb', '--from-table', stage.old, ...at(stage.proxy, stage.table), '--json', '--rate', '10']
    const { json } = await command(argv, { now: () => clock, sleep: async wait => { clock += wait } })
    t.equal(json.copied, 20)
    t.ok(json.units >= 40 && Math.abs((clock - started) / 1000 - json.units / 10) < 0.01)
  })

  await t.test('sealed records are those that a store with the same key reads', async t => {
    const stage = await setImport(t, engine)
    await stage.fill(connectRow('one', seconds() + 600, { cookie: { originalMaxAge: 600_000 }, a: 1 }))
    const key = new Uint8Array(32).fill(9)
    const argv = ['import', '--from', 'connect-dynamodb', '--from-table', stage.old, ...at(stage.proxy, stage.table), '--keys-env', 'KEYS']
    t.equal((await command(argv, { env: { KEYS: Buffer.from(key).toString('base64') } })).code, 0)
    const [copy] = await stage.items()
    t.ok(Object.values(copy?.['data']?.M ?? {}).every(isSealed))
    t.match(await stage.store({ encryptionKeys: key }).get('one'), { a: 1, cookie: { originalMaxAge: 600_000 } })
  })

  for (const from of ['dynamodb-session-web', 'dynamodb-session-flask']) {
    await t.test(`an unsigned token of ${from} is one of the plugin's as it stands, in the cookie and in a header`, async t => {
      const stage = await setImport(t, engine)
      const [id, signed] = [idOf('one'), `${idOf('two')}.${'a'.repeat(27)}`]
      const end = seconds() + 5000
      await stage.fill(webRow(id, end), webRow(signed, end), webRow(signed.replace(/a$/, 'b'), 1), webRow(idOf('dead'), 1), webRow(idOf('dead too'), 1, '{"n": NaN}'), webRow(idOf('NaN'), end, '{"n": NaN}'), webRow(idOf('empty'), end, '{}'),
        { id: { S: idOf('ghost') }, expires: { N: String(end) } }, { id: { S: 'short' } })
      stage.proxy.take()
      const { code, json, err } = await stage.run(from, '--json')
      t.equal(code, 1, 'living sessions stay behind')
      t.match(json, { read: 9, copied: 1, signed: 1, refused: 1, expired: 3, ghosts: 2, others: 1 })
      t.match(err, /1 living session with signed ids, .* importFrom: \[dynamodbSessionWeb\(\{ table, secret \}\)\]/)
      t.equal((await stage.items()).length, 1)
      t.match(await stage.item(hash(id)), { expires: { N: String(end) }, absolute: undefined })
      stage.proxy.take()
      const app = await makeApp(t, stage, { cookie: { name: 'id' }, header: 'x-id' })
      for (const headers of [{ cookie: `id=${id}` }, { 'x-id': id }]) {
        t.same((await app.inject({ url: '/me', headers })).json(), { user: 'zoë', n: 1 })
      }
      t.same((await app.inject({ url: '/me', headers: { cookie: `id=${signed}` } })).json(), {})
      const changed = await app.inject({ url: '/set', headers: { cookie: `id=${id}` } })
      t.equal(changed.statusCode, 200)
      t.same((await app.inject({ url: '/me', headers: { cookie: `id=${id}` } })).json(), { user: 'zoë', n: 2 })
    })
  }

  await t.test('ids of another length are taken where they are named', async t => {
    const stage = await setImport(t, engine)
    const id = Buffer.alloc(16, 7).toString('base64url')
    await stage.fill(webRow(id, seconds() + 5000))
    t.match((await stage.run('dynamodb-session-web', '--json')).json, { copied: 0, others: 1 })
    t.match((await stage.run('dynamodb-session-web', '--id-bytes', '16', '--json')).json, { copied: 1 })
    const app = await makeApp(t, stage, { cookie: { name: 'id' }, idBytes: 16 })
    t.same((await app.inject({ url: '/me', headers: { cookie: `id=${id}` } })).json(), { user: 'zoë', n: 1 })
  })

  await t.test('another name of the partition key, and another prefix, are those of the old table', async t => {
    const stage = await setImport(t, engine)
    const old = await createTable(engine, { KeySchema: [{ AttributeName: 'sid', KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName: 'sid', AttributeType: 'S' }] })
    const { id: _id, ...row } = connectRow('one', seconds() + 600)
    await stage.direct.send(new PutItemCommand({ TableName: old, Item: { ...row, sid: { S: 'web-one' } } }))
    const argv = ['import', '--from', 'connect-dynamodb', '--from-table', old, '--from-hash-key', 'sid', '--from-prefix', 'web-', '--prefix', 'shop#', ...at(stage.proxy, stage.table), '--delete', '--json']
    t.match((await command(argv)).json, { copied: 1, deleted: 1 })
    t.ok(await stage.item(`shop#${hash('one')}`))
    t.notOk((await stage.direct.send(new GetItemCommand({ TableName: old, Key: { sid: { S: 'web-one' } } }))).Item)
  })

  await t.test('a table that is not there is an error before anything is read', async t => {
    const stage = await setImport(t, engine)
    stage.proxy.take()
    t.match(await command(['import', '--from', 'connect-dynamodb', '--from-table', stage.old, ...at(stage.proxy, 'nothing-here')]), { code: 1, out: '', err: /^error: There is no table "nothing-here"/ })
    t.same(stage.proxy.take(), ['GetItem'])
    t.match(await command(['import', '--from', 'connect-dynamodb', '--from-table', 'nothing-here', ...at(stage.proxy, stage.table)]), { code: 1, out: '', err: /^error: There is no table "nothing-here"/ })
  })
})

t.test('what the key of a system does not allow is refused without a call, and the way that there is is named', async t => {
  const run = async (...args: string[]) => await command(['import', ...at({ endpoint: 'http://127.0.0.1:9' }, 'sessions'), ...args])
  for (const [args, code, err] of [
    [['--from', 'pyramid-dynamodb-sessions'], 1, /cannot be copied .*<id>\/<version>.*importFrom: \[pyramidSession\(\{ table \}\)\]/],
    [['--from', 'connect-dynamodb', '--to', 'plugin'], 1, /signed otherwise.*importFrom: \[connectDynamodb\(\{ table, secret \}\)\]/],
    [['--from', 'dynamodb-session-store', '--to', 'plugin'], 1, /importFrom: \[dynamodbSessionStore\(\{ table, secret \}\)\]/],
    [['--from', 'dynamodb-session-web', '--to', 'store'], 2, /"--to" must be plugin/],
    [['--from', 'dynamodb-session-web', '--from-prefix', 'x'], 2, /have no prefix/],
    [['--from', 'connect-dynamodb', '--from-prefix', 'x', '--no-from-prefix'], 2, /exclude each other/],
    [['--from', 'connect-dynamodb', '--id-bytes', '32'], 2, /"--id-bytes" is for dynamodb-session-web and/],
    [['--from', 'connect-dynamodb', '--dry-run', '--delete'], 2, /exclude each other/],
    [['--from', 'connect-dynamodb', '--from-table', 'x'], 2, /Option "--from-table" must be the name/],
    [['--from', 'redis'], 2, /"--from" must be one of connect-dynamodb, /],
    [[], 2, /"--from" is required/],
    [['--from', 'connect-dynamodb', '--idle-timeout', 'never'], 2, /"--idle-timeout" must be a number/]
  ] as const) t.match(await run(...args), { code, out: '', err }, args.join(' '))
})

t.test('our own records are others\' also where keys look alike', async t => {
  const settings = resolveOptions({ table: 'sessions' })
  const origin: Origin = { reader: dynamodbSessionWeb(), target: 'plugin', hashKey: 'id', prefix: '' }
  const ours: Row = { id: { S: hash('x') }, data: { M: {} }, ver: { N: '1' }, created: { N: '1' }, seen: { N: '1' }, expires: { N: '9999999999' } }
  t.equal(decide(ours, origin, { settings, absoluteTimeout: undefined, idBytes: 32 }, 10), 'others')
  t.equal(decide({ id: { N: '1' } }, origin, { settings, absoluteTimeout: undefined, idBytes: 32 }, 10), 'others')
})

t.test('a row that ends within this second is over, since our instants are whole seconds', async t => {
  const settings = resolveOptions({ table: 'sessions' })
  const origin: Origin = { reader: connectDynamodb({ secret: 'x' }), target: 'store', hashKey: 'id', prefix: 'sess:' }
  const row = { id: { S: 'sess:x' }, expires: { N: '1767323045.9' }, sess: { S: '{"cookie":{"originalMaxAge":null},"a":1}' } }
  t.equal(decide(row, origin, { settings, absoluteTimeout: undefined, idBytes: 32 }, 1767323045.5), 'expired')
  t.type(decide(row, origin, { settings, absoluteTimeout: undefined, idBytes: 32 }, 1767323044.5), 'object')
})
