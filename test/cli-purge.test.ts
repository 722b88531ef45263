import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BatchWriteItemCommand, DynamoDBClient, ScanCommand, type AttributeValue } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { kindOf } from '../cli/keys.js'
import { Progress } from '../cli/progress.js'
import { Rate } from '../cli/rate.js'
import { resolveOptions } from '../lib/options.js'
import { hash } from '../lib/token.js'
import { at, command } from './support/cli.js'
import { clientConfig, createTable, onOneEngine, type Engine } from './support/engines.js'
import { FaultProxy, faults } from './support/proxy.js'

const now = (): number => Math.floor(Date.now() / 1000)
const PAST = -3600
const AHEAD = 3600
/** DynamoDB takes no more. */
const MOST_OF_A_BATCH = 25

/** Puts items by their keys and seconds from now at which they expire; undefined for none. */
async function fill (engine: Engine, TableName: string, items: Readonly<Record<string, number | undefined>>, toKey = (key: string): AttributeValue => ({ S: key })): Promise<void> {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  const puts = Object.entries(items).map(([key, ahead]) => ({
    PutRequest: { Item: { id: toKey(key), ...ahead !== undefined && { expires: { N: String(now() + ahead) } } } }
  }))
  for (; puts.length > 0;) await client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: puts.splice(0, MOST_OF_A_BATCH) } }))
  client.destroy()
}

async function keysIn (engine: Engine, TableName: string): Promise<string[]> {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  const { Items = [] } = await client.send(new ScanCommand({ TableName, ConsistentRead: true }))
  client.destroy()
  return Items.map(({ id }) => id?.S ?? Buffer.from(id?.B ?? []).toString('base64url')).sort()
}

const sessions = (amount: number, expiry: number, prefix = ''): Record<string, number> =>
  Object.fromEntries(Array.from({ length: amount }, (_, index) => [prefix + hash(`${expiry} ${index}`), expiry]))

async function proxied (t: Test, engine: Engine): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(engine)
  t.teardown(async () => await proxy.close())
  return proxy
}

function fileIn (t: Test, name = 'state.json'): string {
  return join(t.testdir(), name)
}

onOneEngine(t, async (t, engine) => {
  await t.test('what has expired goes, and everything else stays', async t => {
    const table = await createTable(engine)
    const alive = hash('alive')
    const [users, livingUsers, timelessUsers] = ['a', 'b', 'c'].map(name => `user#${hash(name)}`) as [string, string, string]
    const others = ['sess:abc', `shop#${hash('x')}`, 'user#short']
    await fill(engine, table, {
      ...sessions(3, PAST),
      [alive]: AHEAD,
      [hash('just now')]: -60,
      [hash('ghost')]: undefined,
      [users]: PAST,
      [livingUsers]: AHEAD,
      [timelessUsers]: undefined,
      ...Object.fromEntries(others.map(key => [key, PAST]))
    })
    const { code, json, err } = await command(['purge', ...at(engine, table), '--json'])
    t.equal(code, 0)
    t.equal(err, '')
    t.match(json, { done: true, dryRun: false, read: 12, expired: 4, deleted: 4, renewed: 0, others: 3 })
    t.same(await keysIn(engine, table), [alive, hash('just now'), hash('ghost'), livingUsers, timelessUsers, ...others].sort())
    const again = await command(['purge', ...at(engine, table)])
    t.match(again.out, /^8 items read; 0 deleted; 3 of others left; \d+ capacity units? used\.\n$/)
  })

  await t.test('with a prefix, the records of that application go and no others', async t => {
    const table = await createTable(engine)
    await fill(engine, table, { ...sessions(2, PAST), ...sessions(2, PAST, 'shop#') })
    t.match((await command(['purge', ...at(engine, table), '--prefix', 'shop#', '--json'])).json, { deleted: 2, others: 2 })
    t.same(await keysIn(engine, table), Object.keys(sessions(2, PAST)).sort())
  })

  await t.test('keys of bytes are keys too', async t => {
    const table = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'B' }] })
    await fill(engine, table, { ...sessions(2, PAST), ...sessions(1, AHEAD) }, key => ({ B: Buffer.from(key, 'base64url') }))
    t.match((await command(['purge', ...at(engine, table), '--key-type', 'B', '--json'])).json, { deleted: 2, others: 0 })
    t.same(await keysIn(engine, table), Object.keys(sessions(1, AHEAD)))
  })

  await t.test('a session that is renewed between its reading and its deletion stays', async t => {
    const table = await createTable(engine)
    const key = hash('renewed')
    await fill(engine, table, { [key]: PAST })
    const proxy = await proxied(t, engine)
    const gate = proxy.gate({ action: 'DeleteItem' })
    const run = command(['purge', ...at(proxy, table)])
    await gate.reached
    await fill(engine, table, { [key]: AHEAD })
    gate.release()
    t.match((await run).out, /^1 item read; 0 deleted; 1 left, because they were changed meanwhile/)
    t.same(await keysIn(engine, table), [key])
  })

  await t.test('a dry run counts and deletes nothing', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(3, PAST))
    const proxy = await proxied(t, engine)
    t.match((await command(['purge', ...at(proxy, table), '--dry-run'])).out, /^3 items read; 3 expired, none deleted/)
    t.same(proxy.take(), ['DescribeTable', 'Scan'])
  })

  await t.test('the limit of capacity units a second is kept, reads and writes together', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(40, PAST))
    let clock = Date.now()
    const started = clock
    const proxy = await proxied(t, engine)
    const { json } = await command(['purge', ...at(proxy, table), '--json', '--rate', '2'], { now: () => clock, sleep: async wait => { clock += wait } })
    t.equal(json.deleted, 40)
    t.equal(json.units, proxy.takeCalls().reduce((sum, { capacity }) => sum + capacity, 0), 'by the service\'s own account')
    t.ok(json.units >= 40)
    t.equal((clock - started) / 1000, json.units / 2)
  })

  await t.test('a run that fails goes on where it ended, and then forgets where that was', async t => {
    const table = await createTable(engine)
    await fill(engine, table, { ...sessions(250, PAST), ...sessions(200, AHEAD) })
    const proxy = await proxied(t, engine)
    const state = fileIn(t)
    let scans = 0
    proxy.intercept = action => {
      if (action !== 'Scan') return undefined
      scans += 1
      return scans > 1 ? { status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' } } : undefined
    }
    const failed = await command(['purge', ...at(proxy, table), '--state', state])
    t.equal(failed.code, 1)
    t.match(failed.err, /^error: The credentials do not permit dynamodb:Scan/)
    const { key, ...place } = JSON.parse(readFileSync(state, 'utf8'))
    t.same(place, { table, prefix: '', partitionKey: 'id', region: 'eu-central-1' })
    t.match(key, { S: /^[\w-]{43}$/ })
    proxy.intercept = () => undefined
    proxy.take()
    const resumed = await command(['purge', ...at(proxy, table), '--state', state, '--json'])
    t.equal(resumed.json.read, 250, 'what was read is not read again')
    t.same(proxy.takeCalls().find(({ action }) => action === 'Scan')?.input['ExclusiveStartKey'], { id: key })
    t.equal((await keysIn(engine, table)).length, 200)
    t.notOk(existsSync(state))
  })

  await t.test('told to stop before its deletions, it makes none, says how to go on, and fails', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(250, PAST))
    const stop = new AbortController()
    const proxy = await proxied(t, engine)
    const gate = proxy.gate({ action: 'Scan' }, 'after')
    const state = fileIn(t)
    const run = command(['purge', ...at(proxy, table), '--state', state, '--json'], { stop: stop.signal })
    await gate.reached
    stop.abort()
    gate.release()
    const { code, json, err } = await run
    t.equal(code, 1)
    t.match(json, { done: false, read: 200, deleted: 0 })
    t.match(err, /Run it again with the same --state to go on/)
    t.equal((await keysIn(engine, table)).length, 250)
    t.notOk(existsSync(state), 'no page is done, so it begins anew')
    await fill(engine, table, sessions(250, AHEAD))
    t.match(await command(['purge', ...at(engine, table)], { stop: AbortSignal.abort() }), { code: 1, err: /with --state, it would go on from here/ })
  })

  await t.test('told to stop among its deletions, it begins no more of them, and none goes faster than the rate', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(60, PAST))
    const stop = new AbortController()
    const proxy = await proxied(t, engine)
    const gate = proxy.gate({ action: 'DeleteItem' }, 'after')
    const state = fileIn(t)
    let sleeps = 0
    const run = command(['purge', ...at(proxy, table), '--state', state, '--json', '--rate', '10'], {
      stop: stop.signal,
      // As the program sleeps, once the page is read: not at all any more.
      sleep: async () => { if (++sleeps > 1 && !stop.signal.aborted) await once(stop.signal, 'abort') }
    })
    await gate.reached
    stop.abort()
    gate.release()
    const { code, json } = await run
    t.equal(code, 1)
    t.equal(json.done, false)
    t.ok(json.deleted <= 8, `${json.deleted} deleted`)
    t.equal((await keysIn(engine, table)).length, 60 - json.deleted)
    const rest = await command(['purge', ...at(engine, table), '--state', state, '--json'])
    t.match([rest.code, rest.json], [0, { done: true, deleted: 60 - json.deleted }], 'and the page is read again')
  })

  await t.test('keys of others, which may be secret ids of another store, never stand in a state', async t => {
    const table = await createTable(engine)
    await fill(engine, table, { ...sessions(150, PAST), ...Object.fromEntries(Array.from({ length: 450 }, (_, index) => [`sess:secret-${index}`, AHEAD])) })
    const state = fileIn(t)
    let [kept, code] = [0, 1]
    for (let runs = 0; runs < 10 && code !== 0; runs++) {
      const proxy = await proxied(t, engine)
      proxy.meet({ action: 'Scan', letBy: 1, times: Infinity }, faults.error('AccessDeniedException'))
      code = (await command(['purge', ...at(proxy, table), '--state', state])).code
      if (!existsSync(state)) continue
      kept += 1
      t.notMatch(readFileSync(state, 'utf8'), 'secret')
    }
    t.ok(kept > 1)
    t.equal(code, 0)
    t.equal((await keysIn(engine, table)).length, 450)
  })

  await t.test('a dry run keeps no place', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(250, PAST))
    const state = fileIn(t)
    const { code, json } = await command(['purge', ...at(engine, table), '--state', state, '--dry-run', '--json'], { stop: AbortSignal.abort() })
    t.match([code, json], [1, { done: false, dryRun: true, read: 200, deleted: 0 }])
    t.notOk(existsSync(state))
  })

  await t.test('a state that cannot be written ends the work', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(250, AHEAD))
    t.match(await command(['purge', ...at(engine, table), '--state', join(t.testdir(), 'nowhere', 'state.json')]), { code: 1, out: '', err: /^error: The file of --state cannot be written/ })
  })

  await t.test('keys of bytes are kept in a state, too', async t => {
    const table = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'B' }] })
    await fill(engine, table, sessions(250, PAST), key => ({ B: Buffer.from(key, 'base64url') }))
    const state = fileIn(t)
    const proxy = await proxied(t, engine)
    const purge = async () => await command(['purge', ...at(proxy, table), '--key-type', 'B', '--state', state, '--json'])
    proxy.meet({ action: 'Scan', letBy: 1 }, faults.error('AccessDeniedException'))
    t.equal((await purge()).code, 1)
    t.match(JSON.parse(readFileSync(state, 'utf8')).key, { B: /^[\w+/]{43}=$/ })
    t.match((await purge()).json, { done: true, read: 50, deleted: 50 })
  })

  await t.test('an engine that tells no capacity is spared all the same, by a unit for each item', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(3, PAST))
    const proxy = await proxied(t, engine)
    const Items = Object.keys(sessions(3, PAST)).map(key => ({ id: { S: key }, expires: { N: '1000' } }))
    proxy.intercept = action => {
      if (action === 'Scan') return { status: 200, body: { Items, Count: 3, ScannedCount: 3 } }
      return action === 'DeleteItem' ? { status: 200, body: {} } : undefined
    }
    t.match((await command(['purge', ...at(proxy, table), '--json'])).json, { deleted: 3, units: 6 })
  })

  await t.test('a delete that fails ends the work, after what was begun', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(60, PAST))
    const proxy = await proxied(t, engine)
    let deletes = 0
    proxy.intercept = action => {
      if (action !== 'DeleteItem') return undefined
      deletes += 1
      return deletes > 8 ? { status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' } } : undefined
    }
    const { code, err, out } = await command(['purge', ...at(proxy, table)])
    t.equal(code, 1)
    t.equal(out, '')
    t.match(err, /do not permit dynamodb:DeleteItem/)
    const tried = proxy.takeCalls().filter(({ action }) => action === 'DeleteItem').length
    t.ok(tried < 24, `${tried} deletes for 60 sessions`)
    t.equal((await keysIn(engine, table)).length, 52)
  })

  await t.test('a bar is drawn on a terminal and taken away, and whoever may not count has none', async t => {
    const table = await createTable(engine)
    await fill(engine, table, sessions(250, PAST))
    let clock = Date.now()
    const setting = { columns: 60, now: () => (clock += 50) }
    const proxy = await proxied(t, engine)
    // The engines here count in other ways than AWS.
    proxy.intercept = action => action === 'DescribeTable' ? { status: 200, body: { Table: { ItemCount: 250 } } } : undefined
    const { out, err } = await command(['purge', ...at(proxy, table)], setting)
    t.match(err, /\r\[#+-+\] 80 % {2}200 read, 200 deleted/)
    t.ok(err.endsWith('\r\u001b[K'))
    t.ok(err.split('\u001b[K').every(line => line.length < 61), 'no line is longer than the terminal')
    t.match(out, /^250 items read; 250 deleted/)
    proxy.intercept = action => action === 'DescribeTable' ? { status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' } } : undefined
    t.match(await command(['purge', ...at(proxy, table)], setting), { code: 0, err: /^\r0 read, 0 deleted/ })
    proxy.intercept = action => action === 'DescribeTable' ? { status: 400, body: { __type: 'com.amazon.coral.service#ResourceInUseException', message: 'no' } } : undefined
    t.match(await command(['purge', ...at(proxy, table)]), { code: 1, err: /^error: DynamoDB did not do it\. ResourceInUseException/ })
  })

  await t.test('a table that is not there, or has a sort key, is an error and no empty table', async t => {
    t.match(await command(['purge', ...at(engine, 'nothing-here')]), { code: 1, out: '', err: /^error: There is no table "nothing-here"/ })
  })
})

t.test('a state that is damaged, of another table, or cannot be read or written is refused before anything is deleted', async t => {
  const path = (content: string): string => {
    const file = join(t.testdir(), 'state.json')
    writeFileSync(file, content)
    return file
  }
  const purge = async (state: string, ...args: string[]) => await command(['purge', ...at({ endpoint: 'http://127.0.0.1:9' }, 'sessions'), '--state', state, ...args])
  const place = { table: 'sessions', prefix: '', partitionKey: 'id', region: 'eu-central-1' }
  for (const content of ['', '[]', '{"table":', JSON.stringify({ ...place, key: null }), JSON.stringify({ ...place, key: { S: 1 } }), JSON.stringify({ ...place, key: { B: 'AA==' } })]) {
    t.match(await purge(path(content)), { code: 1, err: /The file of --state is damaged\. .*delete the file to begin anew/ }, content)
  }
  for (const other of [{ table: 'users' }, { prefix: 'shop#' }, { partitionKey: 'sid' }, { region: 'us-east-1' }]) {
    t.match(await purge(path(JSON.stringify({ ...place, ...other, key: { S: 'x' } }))), { code: 1, err: /is of another table, region or prefix/ })
  }
  const folder = join(t.testdir(), 'folder')
  mkdirSync(folder)
  t.match(await purge(folder), { code: 1, err: /The file of --state cannot be read/ })
  t.match(await purge(path(JSON.stringify({ ...place, key: { B: 'AA==' } })), '--key-type', 'B', '--timeout', '1'), { code: 1, err: /DynamoDB did not do it/ }, 'a key of bytes is one for keys of bytes')
})

t.test('whose an item is, its key tells, as text and as bytes', async t => {
  const { layout: text } = resolveOptions({ table: 'sessions', keyPrefix: 'shop#' })
  const { layout: binary } = resolveOptions({ table: 'sessions', partitionKey: { name: 'id', type: 'B' } })
  const key = hash('x')
  const bytes = (...parts: Array<string | Buffer>) => ({ id: { B: Buffer.concat(parts.map(part => Buffer.from(part as string))) } })
  const raw = Buffer.from(key, 'base64url')
  for (const [item, layout, kind] of [
    [{ id: { S: `shop#${key}` } }, text, 'session'], [{ id: { S: `shop#user#${key}` } }, text, 'user'], [{ id: { S: key } }, text, 'other'],
    [{ id: { S: `user#${key}` } }, text, 'other'], [{ id: { S: 'shop#user#x' } }, text, 'other'], [{ id: { N: '1' } }, text, 'other'], [{}, text, 'other'],
    [bytes(raw), binary, 'session'], [bytes('user#', raw), binary, 'user'], [bytes('other', raw), binary, 'other'], [bytes(raw, 'x'), binary, 'other'],
    [{ id: { S: key } }, binary, 'other']
  ] as const) t.equal(kindOf(item, layout), kind)
})

t.test('a rate makes up for what was spent, and lends nothing from before', async t => {
  let clock = 0
  const waits: number[] = []
  const rate = new Rate(10, () => clock, async wait => {
    waits.push(wait)
    clock += wait
  })
  await rate.spend(5)
  t.equal(clock, 500)
  clock += 60_000
  await rate.spend(1)
  t.same(waits, [500, 100], 'a pause is not saved up')
  await rate.spend(0)
  t.equal(waits.length, 2, 'what costs nothing does not wait')
  await Promise.all([rate.spend(10), rate.spend(10)])
  t.same(waits.slice(2), [1000, 1000], 'those at the same time wait one after the other')
})

t.test('progress is a line every ten seconds where nobody watches, and a picture ten times a second where somebody does', async t => {
  const draw = (isTTY: boolean) => {
    let clock = 0
    const said: string[] = []
    const progress = new Progress({ write: text => said.push(text), isTTY, columns: undefined }, () => clock)
    return { said, progress, at: (time: number, done: number, total: number | undefined) => { clock = time; progress.tell({ done, total, text: `${done} read` }) } }
  }
  const unwatched = draw(false)
  for (let time = 0; time <= 25_000; time += 100) unwatched.at(time, time / 100, undefined)
  unwatched.progress.end()
  t.same(unwatched.said, ['100 read\n', '200 read\n'])
  const watched = draw(true)
  for (let time = 0; time <= 1000; time += 10) watched.at(time, time, 4000)
  t.equal(watched.said.length, 11)
  t.equal(watched.said.at(-1), '\r[######------------------] 25 %  1000 read, about 3 s left\u001b[K')
  watched.at(300_000, 2000, 4000)
  t.match(watched.said.at(-1), 'about 5 min left')
  watched.at(400_000, 9000, 4000)
  t.match(watched.said.at(-1), '[########################] 100 %  9000 read\u001b[K', 'there may be more than was counted')
  watched.at(500_000, 0, 4000)
  t.match(watched.said.at(-1), '0 %  0 read\u001b')
  watched.at(600_000, 0, 0)
  t.match(watched.said.at(-1), '\r0 read\u001b[K')
})
