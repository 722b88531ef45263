import { setTimeout as sleep } from 'node:timers/promises'
import {
  BatchGetItemCommand, DescribeTableCommand, DynamoDBClient, GetItemCommand, PutItemCommand, QueryCommand, UpdateItemCommand
} from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { renderChart } from '../bench/chart.js'
import { contestants, knows } from '../bench/contestants.js'
import { Counter } from '../bench/counter.js'
import { addCounts, totalOf, type Counts } from '../bench/counts.js'
import { figure, table } from '../bench/figures.js'
import { BURST, LARGE, LARGE_CHANGE, planOf, READ, WAITING } from '../bench/plan.js'
import { renderResults } from '../bench/report.js'
import type { Measured, Results, Slice } from '../bench/results.js'
import { changed, nameOf, sessionData } from '../bench/session-data.js'
import { interleaved, median, percentile, ratio, spread, summarize } from '../bench/statistics.js'
import { idOf, Stub } from '../bench/stub.js'
import { updated } from '../bench/stub-table.js'
import { targetsOf } from '../bench/targets.js'
import { hash } from '../lib/token.js'
import { setStage } from './support/app.js'
import { clientConfig, createTable, startDynalite, type Engine } from './support/engines.js'

// Nothing here is timed. What is tested is that the benchmarks count and reckon rightly.

async function startStub (t: Test): Promise<{ stub: Stub, client: DynamoDBClient }> {
  const stub = await Stub.start()
  const client = new DynamoDBClient(clientConfig(stub.endpoint))
  t.teardown(async () => {
    client.destroy()
    await stub.close()
  })
  return { stub, client }
}

t.test('the median is the value in the middle, and of an even number the mean of two', async t => {
  t.equal(median([9, 1, 5]), 5)
  t.equal(median([10, 9, 1, 2]), 5.5)
  t.equal(median([7]), 7)
  t.same(median([]), NaN)
  t.same(summarize([30, 10, 20]), { median: 20, low: 10, high: 30 })
})

t.test('the spread is half the distance between the extremes, as a share of the median', async t => {
  t.equal(spread({ median: 100, low: 90, high: 130 }), 0.2)
  t.equal(spread({ median: 100, low: 100, high: 100 }), 0)
})

t.test('a ratio is taken within each round, so that a slow moment falls out', async t => {
  // The machine was three times slower in the second round; one takes half as long as the other in each.
  t.equal(ratio([50, 150, 50], [100, 300, 100]), 0.5)
  t.equal(ratio([50, 150, 1000], [100, 300, 100]), 0.5, 'one bad round does not move it')
  t.equal(ratio([50, 150], [100]), 0.5, 'a round that only one of them has says nothing')
  t.same(ratio([50], []), NaN)
})

t.test('a percentile is the value below which that share lies', async t => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  t.equal(percentile(hundred, 0.5), 51)
  t.equal(percentile(hundred, 0.99), 100)
  t.equal(percentile(hundred, 1), 100)
  t.same(percentile([], 0.5), NaN)
})

t.test('everybody comes once in each round, not always first and not always after the same neighbour', async t => {
  const orders = interleaved(['a', 'b', 'c'], 6)
  t.same(orders.map(order => [...order].sort().join('')), Array.from({ length: 6 }, () => 'abc'))
  t.same(new Set(orders.map(([first]) => first)), new Set(['a', 'b', 'c']))
  const before = orders.map(order => order[order.indexOf('b') - 1])
  t.same(new Set(before), new Set(['a', 'c', undefined]))
  t.same(interleaved([], 2), [[], []])
})

t.test('counts add up by action and in all', async t => {
  const counts: Counts = {}
  addCounts(counts, 'GetItem', { calls: 1, read: 0.5, write: 0, sent: 100 })
  addCounts(counts, 'GetItem', { calls: 1, read: 1, write: 0, sent: 120 })
  addCounts(counts, 'PutItem', { calls: 1, read: 0, write: 3, sent: 2000 })
  t.same(counts, { GetItem: { calls: 2, read: 1.5, write: 0, sent: 220 }, PutItem: { calls: 1, read: 0, write: 3, sent: 2000 } })
  t.same(totalOf(counts), { calls: 3, read: 1.5, write: 3, sent: 2220 })
  t.same(totalOf({}), { calls: 0, read: 0, write: 0, sent: 0 })
})

t.test('a figure has three digits that say something', async t => {
  t.same([1234567, 1234, 306.4, 30.64, 3.064, 0.3064, 0.00512, 0, 3].map(figure), ['1,230,000', '1,230', '306', '30.6', '3.06', '0.306', '0.00512', '0', '3'])
  t.same([NaN, Infinity].map(figure), ['–', '–'])
  t.equal(table(['who', 'how much'], [['a', '1'], ['b', '2']]), '| who | how much |\n| --- | ---: |\n| a | 1 |\n| b | 2 |')
})

t.test('a session has the bytes and the keys that it should have, and a change keeps its size', async t => {
  for (const bytes of [512, 2048, 8192, 65_536, 358_400]) {
    for (const keys of [1, 10, 50]) {
      const data = sessionData(bytes, keys)
      t.equal(Object.keys(data).length, keys)
      const least = bytes === 512 && keys === 50 ? 659 : bytes
      t.equal(JSON.stringify(data).length, least, `${bytes} bytes in ${keys} keys`)
      const once = changed(data['part0'])
      const twice = changed(once)
      t.not(JSON.stringify(once), JSON.stringify(data['part0']))
      t.not(JSON.stringify(twice), JSON.stringify(once))
      t.equal(JSON.stringify(twice).length, JSON.stringify(data['part0']).length)
      t.type(nameOf(data['part0']), 'string')
    }
  }
  t.equal(nameOf(undefined), null, 'nobody has no name')
  t.equal(changed(undefined), 'x', 'and what nobody had becomes something')
})

t.test('what this version does not have is left out, and said', async t => {
  const ids = ({ all, cached }: ReturnType<typeof contestants>) => [...all, ...cached === undefined ? [] : [cached]]
    .filter(({ kind }) => kind === 'ours').map(({ id, options }) => [id, options])
  const bare = contestants(() => false)
  t.same(ids(bare), [['ours', undefined]])
  t.match(bare.missing, [/`batchReads`/, /`cache`/])
  const whole = contestants(() => true)
  t.same(ids(whole), [['ours', { batchReads: false }], ['ours-batched', undefined], ['ours-cached', { cache: { ttl: 1, max: 10_000 } }]])
  t.same(whole.missing, [])
  t.equal(knows({ nothing: true }), false)
  // By the options of this version, whichever it has.
  const { all, missing } = contestants()
  t.equal(all.some(({ id }) => id === 'ours-batched'), !missing.some(text => text.includes('batchReads')))
  t.equal(contestants(options => !('cache' in options)).cached, undefined)
})

t.test('both modes put everybody under the loads that the targets look at', async t => {
  for (const mode of ['full', 'quick'] as const) {
    const { cells, soak, processes, stored } = planOf(mode)
    for (const cell of [READ, WAITING, LARGE, LARGE_CHANGE, BURST]) {
      const planned = cells.find(({ title }) => title === cell.title)
      t.match(planned, { traffic: cell.traffic, size: cell.size, delay: cell.delay, connections: cell.connections }, `${cell.title}, ${mode}`)
      t.ok(planned?.who.includes('hand') && planned.who.includes('ours'))
    }
    t.equal(new Set(cells.map(({ title }) => title)).size, cells.length, 'each has a title of its own')
    t.ok(soak.who.includes('ours-batched'))
    t.equal(processes.numbers[0], 1)
    t.ok(processes.who.includes('ours'))
    t.equal(stored[0], 1000)
  }
})

t.test('the quick mode asks for less than two minutes', async t => {
  const { cells, local, rounds, slice, warmUp, preheat, soak, paused } = planOf('quick')
  const { all, cached } = contestants(() => true)
  const those = (who: readonly string[]) => all.filter(({ kind }) => who.includes(kind)).length
  const measured = [...cells, ...local].reduce((sum, { who }) => sum + those(who) * (warmUp + rounds * slice), 0)
  const heated = those(['floor', 'hand', 'ours', 'peer']) + those(['hand', 'ours', 'peer'])
  const others = heated * preheat + soak.who.length * (soak.seconds + 4) + [all, cached].length * paused.bursts * paused.seconds
  t.ok(measured + others < 110, `${Math.round(measured + others)} s`)
})

/** The same visits, and what they ask of an engine. */
async function visit (t: Test, engine: Engine): Promise<{ calls: unknown[], answers: unknown[] }> {
  const { proxy, visitor } = await setStage(t, engine, { session: { secrets: 'a secret that is long enough to sign with' } })
  const ann = visitor()
  const answers = [
    await ann.get('/me'),
    await ann.post('/set', { count: 1, cart: ['apple'], 'any:text': 'x'.repeat(3000) }),
    await ann.get('/me'),
    await ann.post('/set', { count: 2 }),
    await ann.post('/push'),
    await ann.get('/me'),
    await ann.post('/set', { 'any:text': null, count: undefined }),
    await ann.post('/login'),
    await ann.get('/me'),
    await ann.post('/logout'),
    await ann.get('/me')
  ]
  const data = answers.map(answer => [answer.statusCode, (answer.json() as { data?: unknown }).data])
  return { calls: proxy.takeCalls().map(({ action, capacity, status }) => [action, capacity, status]), answers: data }
}

t.test('the stub speaks the protocol: the same visits make the same calls, answers and capacity as on an engine', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  const { stub } = await startStub(t)
  const onEngine = await visit(t, engine)
  const onStub = await visit(t, { ...engine, endpoint: stub.endpoint })
  t.same(onStub, onEngine)
  t.same(onStub.calls.map(call => (call as unknown[])[0]), [
    'PutItem', 'GetItem', 'GetItem', 'UpdateItem', 'GetItem', 'UpdateItem', 'GetItem', 'GetItem', 'UpdateItem',
    'GetItem', 'PutItem', 'UpdateItem', 'GetItem', 'GetItem', 'DeleteItem'
  ])
})

t.test('the stub counts calls, bytes and capacity, whether or not it is asked to tell them', async t => {
  const { stub, client } = await startStub(t)
  const Key = { id: { S: 'a' } }
  const empty = await client.send(new GetItemCommand({ TableName: 'sessions', Key }))
  t.same([empty.Item, empty.ConsumedCapacity], [undefined, undefined])
  await client.send(new PutItemCommand({ TableName: 'sessions', Item: { ...Key, text: { S: 'x'.repeat(5000) } } }))
  const strong = await client.send(new GetItemCommand({ TableName: 'sessions', Key, ConsistentRead: true, ReturnConsumedCapacity: 'TOTAL' }))
  t.equal(strong.ConsumedCapacity?.CapacityUnits, 2)
  const { GetItem, PutItem } = stub.take()
  t.match(GetItem, { calls: 2, read: 2.5, write: 0 })
  t.match(PutItem, { calls: 1, read: 0, write: 5 })
  t.ok((PutItem?.sent ?? 0) > 5000 && (PutItem?.sent ?? 0) < 5200)
  t.same(stub.take(), {}, 'and begins anew')
})

t.test('the stub reads a batch as an engine does', async t => {
  const engine = await startDynalite()
  const onEngine = new DynamoDBClient(clientConfig(engine.endpoint))
  const { stub, client } = await startStub(t)
  t.teardown(async () => {
    onEngine.destroy()
    await engine.close()
  })
  const TableName = await createTable(engine)
  const read = async (client: DynamoDBClient, ConsistentRead: boolean) => {
    for (const [id, length] of [['a', 10], ['b', 5000]] as const) {
      await client.send(new PutItemCommand({ TableName, Item: { id: { S: id }, text: { S: 'x'.repeat(length) } } }))
    }
    const Keys = ['a', 'b', 'nobody'].map(id => ({ id: { S: id } }))
    const { Responses, UnprocessedKeys, ConsumedCapacity } = await client.send(new BatchGetItemCommand({
      RequestItems: { [TableName]: { Keys, ConsistentRead } }, ReturnConsumedCapacity: 'TOTAL'
    }))
    const items = Responses?.[TableName]?.map(({ id }) => id?.S).sort()
    return { items, UnprocessedKeys, capacity: ConsumedCapacity?.map(({ TableName, CapacityUnits }) => [TableName, CapacityUnits]) }
  }
  for (const isStrong of [false, true]) t.same(await read(client, isStrong), await read(onEngine, isStrong))
  t.match(stub.take(), { BatchGetItem: { calls: 2, read: 6 } })
  const untold = await client.send(new BatchGetItemCommand({ RequestItems: { [TableName]: { Keys: [{ id: { S: 'a' } }] } } }))
  t.same([untold.Responses?.[TableName]?.length, untold.ConsumedCapacity], [1, undefined])
})

t.test('the stub has every table, stores bytes, and makes an item where an update finds none', async t => {
  const { stub, client } = await startStub(t)
  const { Table } = await client.send(new DescribeTableCommand({ TableName: 'sessions' }))
  t.equal(Table?.TableStatus, 'ACTIVE')
  const Item = { id: { S: 'a' }, bytes: { B: Buffer.alloc(3000) }, map: { M: { B: { S: 'a member called B' } } } }
  await client.send(new PutItemCommand({ TableName: 'sessions', Item }))
  t.equal(stub.take()['PutItem']?.write, 3, 'bytes count as they are, not as they travel')
  const answer = await client.send(new UpdateItemCommand({
    TableName: 'sessions', Key: { id: { S: 'b' } }, UpdateExpression: 'ADD visits :n', ExpressionAttributeValues: { ':n': { N: '2' } }, ReturnValues: 'UPDATED_NEW'
  }))
  t.same(answer.Attributes, { visits: { N: '2' } })
  t.same(stub.keys('sessions'), ['a', 'b'])
})

t.test('the stub refuses what it does not know, as a service would', async t => {
  const { stub, client } = await startStub(t)
  await t.rejects(client.send(new QueryCommand({ TableName: 'sessions' })), { name: 'UnknownOperationException' })
  t.equal((await fetch(stub.endpoint)).status, 400, 'and a request that is none')
  const nothing = await fetch(stub.endpoint, { method: 'POST', headers: { 'x-amz-target': 'DynamoDB_20120810.BatchGetItem' }, body: '{}' })
  t.same(await nothing.json(), { Responses: {}, UnprocessedKeys: {} }, 'but it validates nothing')
})

t.test('the stub holds answers back', async t => {
  const { stub, client } = await startStub(t)
  stub.delay = 50
  let isAnswered = false
  const start = performance.now()
  const answer = client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'a' } } })).then(() => { isAnswered = true })
  await sleep(10)
  t.equal(isAnswered, false)
  await answer
  t.ok(performance.now() - start >= 49)
})

t.test('the stub stores one session under as many ids as are wanted, known to whoever asks for them', async t => {
  const { stub, client } = await startStub(t)
  const Item = { id: { S: 'first' }, text: { S: 'hello' } }
  const filling = { table: 'sessions', from: 'first', first: 3, count: 2 }
  t.throws(() => stub.fill({ ...filling, isHashed: false }), /no item/)
  await client.send(new PutItemCommand({ TableName: 'sessions', Item }))
  stub.fill({ ...filling, isHashed: false })
  stub.fill({ ...filling, first: 5, isHashed: true })
  const read = async (id: string) => (await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: id } } }))).Item
  const ids = [idOf(3), idOf(4), hash(idOf(5)), hash(idOf(6))]
  t.same(await Promise.all(ids.map(read)), ids.map(id => ({ id: { S: id }, text: { S: 'hello' } })), 'each of which says its own')
  t.same(await Promise.all([idOf(2), idOf(5), hash(idOf(3))].map(read)), [undefined, undefined, undefined])
  t.equal(stub.keys('sessions').length, 5)
  stub.clear()
  t.same(stub.keys('sessions'), [])
})

t.test('an update changes what it says and copies only what lies on its way', async t => {
  const item = { id: { S: 'a' }, data: { M: { one: { S: '1' }, two: { S: '2' } } }, ver: { N: '1' }, gone: { S: 'x' } }
  const { item: after, changes } = updated(item, {
    UpdateExpression: 'SET #d.#o=:v, seen=:s REMOVE gone,#d.two ADD ver :n,visits :n',
    ExpressionAttributeNames: { '#d': 'data', '#o': 'one' },
    ExpressionAttributeValues: { ':v': { S: 'uno' }, ':s': { N: '9' }, ':n': { N: '1' } }
  })
  t.same(after, { id: { S: 'a' }, data: { M: { one: { S: 'uno' } } }, ver: { N: '2' }, visits: { N: '1' }, seen: { N: '9' } })
  t.same(changes, { data: { M: { one: { S: 'uno' } } }, seen: { N: '9' }, ver: { N: '2' }, visits: { N: '1' } })
  t.same(item.data.M, { one: { S: '1' }, two: { S: '2' } }, 'what was stored is as it was')
  t.same(updated({ id: { S: 'a' } }, { UpdateExpression: 'set sess.seen = :v', ExpressionAttributeValues: { ':v': { S: 'x' } } }).item,
    { id: { S: 'a' }, sess: { M: { seen: { S: 'x' } } } })
  t.throws(() => updated(item, { UpdateExpression: 'SET a=b' }), /placeholders/)
})

t.test('the counter asks for the capacity in the place of who does not, for single items and batches', async t => {
  const engine = await startDynalite()
  const counter = await Counter.start(engine.endpoint)
  const client = new DynamoDBClient({ ...clientConfig(counter.endpoint), maxAttempts: 1 })
  t.teardown(async () => {
    client.destroy()
    await counter.close()
  })
  const TableName = await createTable(counter)
  const Key = { id: { S: 'a' } }
  await client.send(new PutItemCommand({ TableName, Item: { ...Key, text: { S: 'x'.repeat(2000) } } }))
  const { Item } = await client.send(new GetItemCommand({ TableName, Key }))
  t.equal(Item?.['text']?.S?.length, 2000, 'what passes is as it was')
  await client.send(new BatchGetItemCommand({ RequestItems: { [TableName]: { Keys: [Key, { id: { S: 'b' } }] } } }))
  t.match(counter.take(), {
    CreateTable: { calls: 1, read: 0, write: 0 },
    PutItem: { calls: 1, read: 0, write: 2 },
    GetItem: { calls: 1, read: 0.5, write: 0 },
    BatchGetItem: { calls: 1, read: 1, write: 0 }
  })
  t.equal((await fetch(counter.endpoint)).status, (await fetch(engine.endpoint, { method: 'POST' })).status, 'what is no call passes too')
  t.match(Object.keys(counter.take()), [''])
  await engine.close()
  await t.rejects(client.send(new GetItemCommand({ TableName, Key })), 'what the engine cannot answer, nobody answers')
})

const COUNTS: Counts = { GetItem: { calls: 100, read: 50, write: 0, sent: 10_000 } }

/** Rounds of a hundred requests with these microseconds. */
function rounds (cpus: readonly number[], counts: Counts = COUNTS): Slice[] {
  return cpus.map(cpu => ({ requests: 100, seconds: cpu / 1e4, cpu, stubCpu: 40, p50: cpu / 100, p99: cpu / 50, counts }))
}

const HAND = { contestant: 'by-hand', slices: rounds([300, 600, 310]) }
const PEER = { contestant: 'fastify-connect', slices: rounds([900, 1800, 930], { GetItem: { calls: 100, read: 100, write: 0, sent: 10_000 }, PutItem: { calls: 100, read: 0, write: 300, sent: 250_000 } }) }

/** Measurements that were made up, with targets met or missed as is wanted. */
function results (ours: { own: number, single: number, batched: number, sent: number, burst: number, heap: number, late: number }): Results {
  const { all, cached } = contestants(() => true)
  const own = (share: number, counts?: Counts) => rounds([300, 600, 310].map(cpu => cpu * share), counts)
  const measured: Measured[] = [HAND, { contestant: 'ours', slices: own(ours.single) }, { contestant: 'ours-batched', slices: own(ours.batched) }, PEER]
  const cell = (cell: typeof READ, measured: Measured[]) => ({ cell, measured })
  const change = { UpdateItem: { calls: 100, read: 0, write: 6500, sent: ours.sent * 100 } }
  const burst = { GetItem: { calls: ours.burst * 5, read: ours.burst * 2.5, write: 0, sent: 100 } }
  const stored = (share: number) => [HAND, { contestant: 'ours', slices: own(share) }]
  return {
    machine: { date: '2026-01-02', cpu: 'A <quick> one', cores: 2, memory: 8 * 2 ** 30, node: '20.20.0', loadBefore: 0.1, packages: { fastify: '5.0.0', express: '5.0.0' } },
    mode: 'full',
    contestants: [...all, ...cached === undefined ? [] : [cached]],
    missing: [],
    ownWork: [{ visit: 'bare', cpu: [20, 30, 22] }, { visit: 'read', cpu: [20, 30, 22].map(cpu => cpu + ours.own) }],
    cells: [
      cell(READ, measured), cell(WAITING, measured), cell(LARGE, measured),
      cell(LARGE_CHANGE, [HAND, { contestant: 'ours', slices: own(1, change) }]),
      cell(BURST, [HAND, { contestant: 'ours', slices: own(1, burst) }])
    ],
    local: [cell(READ, [HAND])],
    counted: [{ cell: READ, counted: [{ contestant: 'ours', requests: 100, counts: COUNTS }, { contestant: 'bare', requests: 100, counts: {} }] }],
    soak: [{ contestant: 'ours', seconds: 60, wanted: 1000, answered: 990, rss: [1e8, 1.2e8, 1.1e8], heap: [2e7, ours.heap], loop: { p50: 5, p99: ours.late, max: 40 } }],
    stored: [{ sessions: 1000, measured: stored(0.5) }, { sessions: 1_000_000, measured: stored(0.5 * ours.late / 10) }],
    processes: [1, 4].map(processes => ({ contestant: 'ours', processes, slices: rounds([300 / processes]), shares: { application: 0.6, stub: 0.1, load: 0.2 } })),
    startUp: [{ contestant: 'by-hand', imported: [100, 120], listening: [150, 170] }, { contestant: 'someone', imported: [200], listening: [300] }],
    paused: [{ contestant: 'ours-cached', requests: 600, counts: COUNTS }]
  }
}

const GOOD = results({ own: 14, single: 0.5, batched: 0.2, sent: 2000, burst: 1, heap: 2.01e7, late: 10 })

/** Cells of a line of a page. */
function line (page: string, start: string): string[] {
  return page.split('\n').find(line => line.startsWith(`| ${start}`))?.slice(2, -2).split(' | ') ?? []
}

t.test('a page says of each application what it costs, beside the route by hand', async t => {
  const page = renderResults(GOOD)
  t.same(line(page, 'GetItem by hand'), ['GetItem by hand, default client', '310', '48 %', '1', '3,230', '1', '3.1', '6.2', '1,000', '500', '0', '40'])
  t.same(line(page, 'fastify-dynamodb-session |'), ['fastify-dynamodb-session', '62', '48 %', '0.2', '16,100', '5', '0.62', '1.24', '1,000', '500', '0', '40'])
  t.same(line(page, '@fastify/session, connect-dynamodb |').slice(-4), ['2,000', '1,000', '3,000', '40'])
  t.match(page, 'A <quick> one, 2 cores, 8 GB, Node 20.20.0')
  t.match(page, 'fastify 5.0.0, express 5.0.0')
  t.match(page, 'The machine was quiet (load 0.10)')
  t.match(page, '`npm run bench` on 2026-01-02')
  t.match(page, '### A burst of 20 parallel reads of one browser\n\n4 browsers, each with 20 connections, a service that takes 5 ms.')
  t.match(page, '| fastify-dynamodb-session, `batchReads: false` | 1,000 | 500 | 0 | 1,000 GetItem | 100 |')
  t.match(page, '| Fastify without sessions | 0 | 0 | 0 | none |  |', 'who asks for nothing')
  t.match(page, '| 4 | 13,300 | 0 % | 4 | 75 | 60 % | 10 % | 20 % |')
  t.match(page, '| fastify-dynamodb-session, a cache of one second | 600 | 0.167 |')
  t.match(page, '| 60 | 1,000 | 990 | 100 → 110 | 120 | 20 → 20.1 | 5 | 10 | 40 |')
  t.match(page, '| someone | 200 | 0 % | 300 | 0 % | 2 |', 'somebody without a label goes by the id')
  t.equal(renderResults(GOOD), page, 'and the same measurements make the same page')
})

t.test('a page judges the targets by what was measured', async t => {
  const verdicts = (results: Results) => targetsOf(results).map(({ met }) => met)
  t.same(verdicts(GOOD), Array.from({ length: 15 }, () => true))
  const bad = results({ own: 16, single: 0.9, batched: 0.8, sent: 60_000, burst: 20, heap: 4e7, late: 30 })
  const slow = { ...bad, processes: bad.processes.map(one => ({ ...one, slices: rounds([300]) })), paused: [{ contestant: 'ours-cached', requests: 100, counts: COUNTS }] }
  const costly = slow.cells.map(({ cell, measured }) => ({
    cell, measured: cell.title === READ.title ? measured.map(one => ({ ...one, slices: one.slices.map(slice => ({ ...slice, counts: PEER.slices[0]?.counts ?? {} })) })) : measured
  }))
  const page = renderResults({ ...slow, cells: costly, machine: { ...bad.machine, loadBefore: 3 }, mode: 'quick', missing: ['something: it is not there'] })
  t.same(verdicts({ ...slow, cells: costly }), Array.from({ length: 15 }, (_, index) => index === 6))
  t.match(page, '| **no** |')
  t.match(page, '**The machine was not quiet** (load 3.00)')
  t.match(page, 'npm run bench -- --quick')
  t.match(page, 'Not measured: something: it is not there.')
})

t.test('a page says what was not measured', async t => {
  const nothing: Results = { ...GOOD, ownWork: [{ visit: 'bare', cpu: [] }], cells: [], local: [], counted: [], soak: [], stored: [], processes: [], startUp: [], paused: [] }
  t.same(targetsOf(nothing).map(({ met, found }) => [met, found]).filter(([met]) => met !== undefined), [])
  const page = renderResults(nothing)
  t.notMatch(page, 'NaN')
  t.notMatch(page, 'DynamoDB Local: the whole path')
  t.match(page, '| not measured | – |')
  const untold = { requests: 100, seconds: 1, cpu: 300, p50: 1, p99: 2 }
  const only = { ...nothing, startUp: [{ contestant: 'ours', imported: [1], listening: [2] }], cells: [READ, BURST, LARGE_CHANGE].map(cell => ({ cell, measured: [{ contestant: 'ours', slices: [untold] }] })) }
  t.same(line(renderResults({ ...only, soak: GOOD.soak.map(one => ({ ...one, rss: [] })), stored: [{ sessions: 1, measured: [] }] }), 'fastify-dynamodb-session, `batchReads: false` | 300').slice(3, 5), ['–', '100'])
})

t.test('a chart has a bar for each application that was measured, ours apart, and says it in words too', async t => {
  const chart = renderChart(GOOD)
  const bars = [...chart.matchAll(/<rect class="([^"]+)".* width="(\d+)"/g)].map(([, name, width]) => [name, Number(width)])
  t.same(bars, [['bar', 107], ['bar ours', 53], ['bar ours', 21], ['bar', 320]])
  t.match(chart, '>155 (0.5)</text>')
  t.match(chart, '>2,000 / 1,000 / 3,000</text>')
  t.match(chart, 'prefers-color-scheme: dark')
  t.match(chart, 'A &lt;quick> one')
  t.match(chart, /aria-label="Processor time of a signed-in read: GetItem by hand, default client 310 µs, 1 of by hand;/)
  t.notMatch(chart.replace(/<\/?(svg|style|text|rect)[^>]*>/g, ''), /[<`]/, 'nothing in it is taken for markup')
  t.notMatch(renderChart({ ...GOOD, cells: [] }), '<rect')
})
