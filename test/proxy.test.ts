import t, { type Test } from 'tap'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { clientConfig, createTable, startDynalite } from './support/engines.js'
import { FaultProxy, faults, type Fault } from './support/proxy.js'

const PAGE = '<html>Bad gateway</html>'
const HOUR = 3_600_000
/** Node tells it when a client of `node:http`, here the proxy, has read the head of an answer. */
const HEAD_HAS_COME = 'http.client.response.finish'

/** How an answer ended: by its length, by a FIN or by an RST. */
interface Seen {
  readonly ending: 'whole' | 'FIN' | 'RST'
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

/** One request on a connection of its own. */
interface Asked { readonly socket: Socket, readonly seen: Promise<Seen>, bytes (): number }

/** Asks by hand, since a client library tells neither a FIN from an RST nor what headers came. */
function ask (endpoint: string, action: string, input: object, headers: Record<string, string> = {}): Asked {
  const body = JSON.stringify(input)
  const socket = connect(Number(new URL(endpoint).port), '127.0.0.1')
  const lines = Object.entries({
    host: 'proxy.example',
    'content-type': 'application/x-amz-json-1.0',
    'content-length': String(Buffer.byteLength(body)),
    'x-amz-target': `DynamoDB_20120810.${action}`,
    'x-amz-date': '20260102T030405Z',
    authorization: 'AWS4-HMAC-SHA256 Credential=local/20260102/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=none',
    ...headers
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`POST / HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
  let text = ''
  const seen = new Promise<Seen>(resolve => {
    const end = (ending: Seen['ending']): void => {
      socket.destroy()
      resolve({ ending, ...readAnswer(text) })
    }
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      const answer = readAnswer(text)
      if (answer.body.length === Number(answer.headers['content-length'])) end('whole')
    })
    socket.on('end', () => end('FIN'))
    socket.on('error', () => end('RST'))
  })
  return { socket, seen, bytes: () => text.length }
}

function readAnswer (text: string): Omit<Seen, 'ending'> {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers: Array<[string, string]> = lines.map(line => [
    line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()
  ])
  return { status: Number(statusLine.split(' ')[1] ?? 0), headers: Object.fromEntries(headers), body: rest.join('\r\n\r\n') }
}

/** Whether the connection ended before the answer did, and what had come of it by then. */
async function cutOff ({ seen }: Asked): Promise<[boolean, number, string]> {
  const { ending, status, body } = await seen
  return [ending !== 'whole', status, body]
}

/** What was seen, of the parts and the headers that are expected. Compared whole, since `t.match` takes a text for a part of a text. */
function partsOf (seen: Seen, expected: Partial<Seen>): object {
  const headers = Object.keys(expected.headers ?? {}).map(name => [name, seen.headers[name]])
  const parts = Object.keys(expected).map(name => [name, name === 'headers' ? Object.fromEntries(headers) : seen[name as 'body']])
  return Object.fromEntries(parts) as object
}

/** Waits for what must come, and lets the test time out where it does not. */
async function until (isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(2)
}

/** A counter in a table, a proxy before it, and the counter as the engine itself tells it. */
async function setUp (t: Test) {
  const proxy = await FaultProxy.start(engine)
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  let isClosed = false
  const close = async (): Promise<void> => {
    isClosed = true
    await proxy.close()
  }
  t.teardown(async () => {
    direct.destroy()
    if (!isClosed) await proxy.close()
  })
  const TableName = await createTable(engine)
  const Key = { id: { S: 'counter' } }
  await direct.send(new PutItemCommand({ TableName, Item: { ...Key, n: { N: '0' } } }))
  const adding = {
    TableName,
    Key,
    UpdateExpression: 'ADD n :one',
    ConditionExpression: 'attribute_exists(id)',
    ExpressionAttributeValues: { ':one': { N: '1' } },
    ReturnValues: 'ALL_NEW',
    ReturnConsumedCapacity: 'TOTAL'
  }
  return {
    proxy,
    close,
    TableName,
    Key,
    adding,
    /** Sends an addition. */
    add: (headers?: Record<string, string>) => ask(proxy.endpoint, 'UpdateItem', adding, headers),
    setting: (value: string) => ({ ...adding, UpdateExpression: 'SET n = :n', ExpressionAttributeValues: { ':n': { N: value } } }),
    read: (parts: object = {}) => ask(proxy.endpoint, 'GetItem', { TableName, Key, ...parts }),
    count: async () => Number((await direct.send(new GetItemCommand({ TableName, Key, ConsistentRead: true }))).Item?.['n']?.N)
  }
}

const engine = await startDynalite()
t.teardown(async () => await engine.close())

await t.test('a call without a rule passes as it is', async t => {
  const { proxy, add, adding, count } = await setUp(t)
  const own = await ask(engine.endpoint, 'UpdateItem', adding).seen
  const { ending, status, headers, body } = await add().seen
  const expected = { ...JSON.parse(own.body), Attributes: { id: { S: 'counter' }, n: { N: '2' } } }
  t.same([ending, status, JSON.parse(body)], ['whole', 200, expected])
  t.equal(headers['content-type'], own.headers['content-type'])
  t.equal(headers['x-amz-crc32'], String(crc32(body)))
  t.notOk('transfer-encoding' in headers)
  t.equal(await count(), 2)
  t.same(proxy.takeCalls(), [{
    action: 'UpdateItem',
    input: adding,
    output: expected,
    status: 200,
    capacity: 1,
    requestBytes: JSON.stringify(adding).length,
    fault: undefined
  }])
  t.same(proxy.take(), [])
})

await t.test('the engine is asked under its own name, on one connection, with what the client sent', async t => {
  const asked: IncomingHttpHeaders[] = []
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    asked.push(request.headers)
    sockets.add(request.socket)
    request.resume().on('end', () => { response.writeHead(418, { 'x-other': 'x', 'content-type': 'text/tea' }).end('{"short":true}') })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const proxy = await FaultProxy.start({ endpoint: `http://127.0.0.1:${port}` })
  t.teardown(async () => {
    await proxy.close()
    server.close()
  })
  const sent = { connection: 'close', 'accept-encoding': 'gzip', 'x-amz-date': 'then' }
  for (const action of ['GetItem', 'Query']) {
    const { status, headers, body } = await ask(proxy.endpoint, action, { a: 'ü' }, sent).seen
    t.same([status, headers['content-type'], headers['content-length'], 'x-other' in headers, body],
      [418, 'text/tea', '14', false, '{"short":true}'])
  }
  const names = ['host', 'x-amz-target', 'x-amz-date', 'content-length', 'accept-encoding']
  t.same(asked.map(headers => names.map(name => headers[name])), [
    [`127.0.0.1:${port}`, 'DynamoDB_20120810.GetItem', 'then', '10', undefined],
    [`127.0.0.1:${port}`, 'DynamoDB_20120810.Query', 'then', '10', undefined]
  ])
  t.equal(sockets.size, 1, 'the connection to the engine is kept')
  proxy.meet('Query', faults.truncate)
  t.same(await ask(proxy.endpoint, 'Query', {}).seen.then(({ ending, body }) => [ending, body]), ['FIN', '{"short'])
})

await t.test('an engine that breaks off is no end of the proxy', async t => {
  const server = createServer((request, response) => {
    const cut = (): void => {
      unsubscribe(HEAD_HAS_COME, cut)
      request.socket.resetAndDestroy()
    }
    if (String(request.headers['x-amz-target']).endsWith('Query')) return cut()
    subscribe(HEAD_HAS_COME, cut)
    response.writeHead(200, { 'content-length': 100 }).write('{')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await FaultProxy.start({ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  t.teardown(async () => await proxy.close())
  for (const action of ['Query', 'GetItem', 'Query']) t.same(await cutOff(ask(proxy.endpoint, action, {})), [true, 0, ''], action)
  server.close()
  await once(server, 'close')
  t.same(await cutOff(ask(proxy.endpoint, 'Query', {})), [true, 0, ''], 'gone')
  t.same(proxy.calls, [], 'there was no answer to list')
})

const WHOLE = '{"Attributes":{"id":{"S":"counter"},"n":{"N":"1"}},"ConsumedCapacity":{"CapacityUnits":1,"TableName":"its name"}}'
const told: Record<string, { fault: Fault, applied: 0 | 1, seen: Partial<Seen> }> = {
  'an error': {
    fault: faults.error('ThrottlingException'),
    applied: 0,
    seen: {
      ending: 'whole',
      status: 400,
      body: '{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"The engine refused."}'
    }
  },
  'an error with all its parts': {
    fault: faults.error('InternalServerError', { status: 500, message: 'No.', fields: { Item: { id: { S: 'x' } } } }),
    applied: 0,
    seen: {
      ending: 'whole',
      status: 500,
      body: '{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"No.","Item":{"id":{"S":"x"}}}'
    }
  },
  'a page of a gateway': {
    fault: faults.raw(502, PAGE, 'text/html', { 'retry-after': '1' }),
    applied: 0,
    seen: { ending: 'whole', status: 502, body: PAGE, headers: { 'content-type': 'text/html', 'retry-after': '1' } }
  },
  'a 200 that is no JSON': { fault: faults.raw(200, 'ok', 'text/plain'), applied: 0, seen: { ending: 'whole', status: 200, body: 'ok' } },
  'a reset before': { fault: faults.resetBefore, applied: 0, seen: { ending: 'RST', status: 0, body: '' } },
  'a reset after': { fault: faults.resetAfter, applied: 1, seen: { ending: 'RST', status: 0, body: '' } },
  'a close after': { fault: faults.closeAfter, applied: 1, seen: { ending: 'FIN', status: 0, body: '' } },
  'an empty 200': { fault: faults.empty200, applied: 1, seen: { ending: 'whole', status: 200, body: '' } },
  'an empty object': {
    fault: faults.emptyObject,
    applied: 1,
    seen: { ending: 'whole', status: 200, body: '{}', headers: { 'x-amz-crc32': '2745614147' } }
  },
  'a flipped bit': {
    fault: faults.bitflip('counter', '$& $1'),
    applied: 1,
    seen: { ending: 'whole', status: 200, body: WHOLE.replace('counter', () => '$& $1') }
  }
}

for (const [name, { fault, applied, seen: expected }] of Object.entries(told)) {
  await t.test(`${name} is told once, and the engine ${applied === 1 ? 'has applied the call' : 'has not seen the call'}`, async t => {
    const { proxy, add, count, TableName } = await setUp(t)
    const rule = proxy.meet('UpdateItem', fault)
    t.equal(rule.met, 0)
    const seen = await add().seen
    t.same(partsOf({ ...seen, body: seen.body.replace(TableName, 'its name') }, expected), expected)
    t.same(proxy.takeCalls().map(call => [call.action, call.fault, call.status, call.capacity]),
      [['UpdateItem', fault.name, applied === 1 ? 200 : expected.status, applied]])
    t.equal(await count(), applied)
    t.equal(rule.met, 1)
    t.same([(await add().seen).status, await count(), rule.met], [200, applied + 1, 1], 'the next call passes')
  })
}

await t.test('every fault has the name under which it is found, and none can be exchanged', async t => {
  const { error, raw, skew, delay, delayAfter, bitflip } = faults
  const made = {
    error: error('X'), raw: raw(200, '', ''), skew: skew(1), delay: delay(1), delayAfter: delayAfter(1), bitflip: bitflip('a', 'b')
  }
  for (const [name, fault] of Object.entries({ ...faults, ...made })) t.equal(fault.name, name)
  t.ok(Object.isFrozen(faults))
})

await t.test('a damaged answer is damaged as it says and in nothing else', async t => {
  const { proxy, read } = await setUp(t)
  const whole = await read().seen
  const half = whole.body.slice(0, Math.floor(whole.body.length / 2))
  const look = async (fault: Fault, expected: Partial<Seen>): Promise<Seen> => {
    proxy.meet('GetItem', fault)
    const seen = await read().seen
    t.same(partsOf(seen, expected), expected, fault.name)
    return seen
  }
  const { 'x-amz-crc32': sum = '', 'content-length': length = '' } = whole.headers
  const flipped = whole.body.replace('"0"', '"100"')
  await look(faults.truncate, { ending: 'FIN', status: 200, body: half, headers: { 'content-length': length, 'x-amz-crc32': sum } })
  await look(faults.truncateClean, {
    ending: 'whole', status: 200, body: half, headers: { 'content-length': String(half.length), 'x-amz-crc32': sum }
  })
  await look(faults.bitflip('"0"', '"100"'), {
    ending: 'whole', status: 200, body: flipped, headers: { 'content-length': String(flipped.length), 'x-amz-crc32': sum }
  })
  const empty = await look(faults.empty200, { ending: 'whole', status: 200, body: '', headers: { 'content-length': '0' } })
  t.notOk('x-amz-crc32' in empty.headers)
  const { headers } = await look(faults.badCrc, { ending: 'whole', status: 200, body: whole.body, headers: { 'content-length': length } })
  t.match(headers['x-amz-crc32'], /^\d+$/)
  t.not(headers['x-amz-crc32'], sum)
  const outputs = proxy.takeCalls().map(call => call.output)
  t.same(outputs, Array.from({ length: 6 }, () => JSON.parse(whole.body)), 'the list says what the engine answered')
})

await t.test('a bit that is not there to flip is told at the close', async t => {
  const { proxy, close, read } = await setUp(t)
  proxy.meet('GetItem', faults.bitflip('not there', 'x'))
  await read().seen
  await t.rejects(close(), { message: /GetItem: bitflip found no "not there" in the answer/ })
})

const silent: Record<string, { fault: Fault, applied: 0 | 1, isListed: boolean, half?: true }> = {
  'a hang': { fault: faults.hang, applied: 0, isListed: true },
  'a hang after': { fault: faults.hangAfter, applied: 1, isListed: true },
  'a stall': { fault: faults.stall, applied: 1, isListed: true, half: true },
  'a long delay': { fault: faults.delay(HOUR), applied: 0, isListed: false },
  'a long delay after': { fault: faults.delayAfter(HOUR), applied: 1, isListed: true }
}

for (const [name, { fault, applied, isListed, half }] of Object.entries(silent)) {
  await t.test(`${name} keeps the connection open ${half ? 'after half an answer' : 'without a byte'} until the proxy is closed`, async t => {
    const { proxy, close, add, read, count } = await setUp(t)
    const rule = proxy.meet('UpdateItem', fault)
    const asked = add()
    await until(() => rule.met === 1 && (!isListed || proxy.calls.length === 1))
    if (half) await until(() => asked.bytes() > 0)
    t.equal((await read().seen).status, 200, 'others pass meanwhile')
    t.same(proxy.calls.map(call => [call.action, call.fault]), [...isListed ? [['UpdateItem', fault.name]] : [], ['GetItem', undefined]])
    t.equal(asked.bytes() > 0, half === true)
    t.equal(asked.socket.readyState, 'open')
    await close()
    const { ending, headers, body } = await asked.seen
    t.not(ending, 'whole')
    if (half) t.equal(body.length, Math.floor(Number(headers['content-length']) / 2))
    t.equal(await count(), applied)
  })
}

for (const fault of [faults.delay(40), faults.delayAfter(40)]) {
  await t.test(`a ${fault.name} ends with the right answer`, async t => {
    const { proxy, add, count, TableName } = await setUp(t)
    proxy.meet('UpdateItem', fault)
    const start = performance.now()
    const { ending, status, body } = await add().seen
    t.ok(performance.now() - start >= 38)
    t.same([ending, status, body.replace(TableName, 'its name')], ['whole', 200, WHOLE])
    t.equal(await count(), 1)
  })
}

await t.test('a skewed clock is told by the error and the date, and a client of the SDK goes by it', async t => {
  const { proxy, read, TableName, Key } = await setUp(t)
  const rule = proxy.meet({ action: 'GetItem', times: 2 }, faults.skew(HOUR))
  const { status, headers, body } = await read().seen
  t.match([status, JSON.parse(body)], [400, { __type: /#InvalidSignatureException$/, message: /^Signature expired/ }])
  t.ok(Math.abs(Date.parse(String(headers['date'])) - Date.now() - HOUR) < 10_000)
  const client = new DynamoDBClient(clientConfig(proxy.endpoint))
  t.teardown(() => client.destroy())
  const { Item, $metadata } = await client.send(new GetItemCommand({ TableName, Key }))
  t.same([Item, $metadata.attempts], [{ ...Key, n: { N: '0' } }, 2])
  t.same(proxy.takeCalls().map(call => [call.status, call.fault]), [[400, 'skew'], [400, 'skew'], [200, undefined]])
  t.equal(rule.met, 2)
})

await t.test('a call meets the first live rule that takes it, and no other', async t => {
  const { proxy, add, read } = await setUp(t)
  const statuses = async (count: number): Promise<number[]> => {
    const seen: number[] = []
    for (let index = 0; index < count; index++) seen.push((await read().seen).status)
    return seen
  }
  const status = (code: number): Fault => faults.raw(code, '', 'text/plain')
  const skipping = proxy.meet({ action: 'GetItem', letBy: 2, times: 2 }, status(501))
  const everywhere = proxy.meet('*', status(502))
  t.same(await statuses(5), [502, 200, 501, 501, 200])
  t.same([skipping.met, everywhere.met], [2, 1])
  const forEver = proxy.meet({ action: 'GetItem', times: Infinity }, status(503))
  const late = proxy.meet({ action: 'GetItem', letBy: 1 }, status(504))
  t.same(await statuses(3), [503, 503, 503])
  t.equal((await add().seen).status, 200, 'another action')
  forEver.remove()
  t.same(await statuses(3), [200, 504, 200], 'what an earlier rule took was not skipped')
  t.same([forEver.met, late.met], [3, 1])
  const unmet = proxy.meet('GetItem', status(505))
  unmet.remove()
  t.same([await statuses(1), unmet.met], [[200], 0])
  const either = proxy.meet({ letBy: 1 }, status(506))
  t.same([(await add().seen).status, ...await statuses(2), either.met], [200, 506, 200, 1], 'of any action')
})

await t.test('a rule can choose by what the call asks', async t => {
  const { proxy, read } = await setUp(t)
  proxy.meet({ action: '*', when: input => input['ConsistentRead'] === true, times: 2 }, faults.raw(501, '', 'text/plain'))
  const statuses: number[] = []
  for (const ConsistentRead of [false, true, false, true, true]) statuses.push((await read({ ConsistentRead }).seen).status)
  t.same(statuses, [200, 501, 200, 501, 200])
})

await t.test('a gate before the engine holds a call that the engine has not seen', async t => {
  const { proxy, add, adding, count } = await setUp(t)
  const gate = proxy.gate('UpdateItem')
  t.equal(gate.isHolding, false)
  const asked = add()
  t.same(await gate.reached, { action: 'UpdateItem', input: adding })
  t.equal((await add().seen).status, 200, 'only one call is held')
  t.same([gate.isHolding, asked.bytes(), await count(), proxy.take()], [true, 0, 1, ['UpdateItem']])
  gate.release()
  t.equal(gate.isHolding, false)
  t.equal(JSON.parse((await asked.seen).body).Attributes.n.N, '2')
  t.same([await count(), proxy.takeCalls().map(call => call.fault)], [2, [undefined]])
})

await t.test('a gate after the engine holds the answer to a call that is applied', async t => {
  const { proxy, add, count } = await setUp(t)
  const gate = proxy.gate({ action: 'UpdateItem', letBy: 1, when: input => input['ReturnValues'] === 'ALL_NEW' }, 'after')
  t.equal((await add().seen).status, 200)
  const asked = add()
  t.equal((await gate.reached).action, 'UpdateItem')
  t.same([gate.isHolding, asked.bytes(), await count(), proxy.take()], [true, 0, 2, ['UpdateItem', 'UpdateItem']])
  t.equal((await add().seen).status, 200)
  gate.release()
  t.equal(JSON.parse((await asked.seen).body).Attributes.n.N, '2', 'the answer of then')
})

await t.test('calls that stand at several gates go on in the order of the releases', async t => {
  const { proxy, setting, count, read } = await setUp(t)
  const set = (value: string): Asked => ask(proxy.endpoint, 'UpdateItem', setting(value))
  const forValue = (value: string) => ({ when: (input: Record<string, any>) => input['ExpressionAttributeValues']?.[':n']?.N === value })
  const gates = ['7', '8', '9'].map(value => proxy.gate(forValue(value)))
  const asked = ['7', '8', '9'].map(set)
  await Promise.all(gates.map(async gate => await gate.reached))
  t.same([gates.map(gate => gate.isHolding), await count()], [[true, true, true], 0])
  for (const index of [1, 0, 2]) {
    gates[index]?.release()
    await asked[index]?.seen
    t.equal(await count(), index + 7)
  }
  const [first, second] = [proxy.gate('GetItem'), proxy.gate('GetItem', 'after')]
  const reads = [read(), read()]
  await Promise.all([first.reached, second.reached])
  t.same(proxy.take(), ['UpdateItem', 'UpdateItem', 'UpdateItem', 'GetItem'], 'two gates for one action hold one call each')
  first.release()
  second.release()
  for (const { seen } of reads) t.equal((await seen).status, 200)
})

await t.test('a gate that is released early holds nothing, and one gate is for one call', async t => {
  const { proxy, add } = await setUp(t)
  const gate = proxy.gate({ action: 'UpdateItem', times: 1 })
  gate.release()
  t.equal((await add().seen).status, 200)
  t.equal((await gate.reached).action, 'UpdateItem')
  t.equal(gate.isHolding, false)
  t.throws(() => proxy.gate({ action: 'UpdateItem', times: 2 }), { message: 'A gate holds one call: set as many gates as calls' })
})

await t.test('a call whose client gave up at the gate is applied late, as one that the network kept', async t => {
  const { proxy, add, count } = await setUp(t)
  const gate = proxy.gate('UpdateItem')
  const { socket } = add()
  await gate.reached
  socket.destroy()
  await once(socket, 'close')
  t.same([gate.isHolding, await count()], [true, 0])
  gate.release()
  await until(() => proxy.calls.length === 1)
  t.equal(await count(), 1)
})

await t.test('a stopped proxy resets what is open and refuses what comes, and starts again on its port', async t => {
  const { proxy, add, read, count } = await setUp(t)
  const { endpoint } = proxy
  const gate = proxy.gate('UpdateItem')
  const asked = add()
  await gate.reached
  const idle = connect(Number(new URL(endpoint).port), '127.0.0.1')
  await once(idle, 'connect')
  t.equal((await read().seen).status, 200, 'so that the idle connection is known to the proxy too')
  const failed = once(idle, 'error')
  await proxy.stop()
  t.match(await failed, [{ code: 'ECONNRESET' }])
  t.same(partsOf(await asked.seen, { ending: 'RST', body: '' }), { ending: 'RST', body: '' })
  await t.rejects(fetch(endpoint), { cause: { code: 'ECONNREFUSED' } })
  await proxy.stop()
  t.equal(proxy.endpoint, endpoint)
  for (let time = 0; time < 2; time++) await proxy.restart()
  t.equal(proxy.endpoint, endpoint)
  t.equal((await add().seen).status, 200)
  gate.release()
  await until(() => proxy.calls.length === 3)
  t.equal(await count(), 2, 'the call that stood at the gate goes on without its client')
  await proxy.stop()
})

await t.test('the close throws where a gate still holds a call, and cuts it off all the same', async t => {
  const { proxy, close, add, count, read } = await setUp(t)
  const { endpoint } = proxy
  proxy.gate('Query')
  const [before, after] = [proxy.gate('UpdateItem'), proxy.gate('GetItem', 'after')]
  const asked = [add(), read()]
  await Promise.all([before.reached, after.reached])
  await t.rejects(close(), { message: 'The proxy saw what must not be: a gate still holds UpdateItem; a gate still holds GetItem' })
  for (const each of asked) t.same(await cutOff(each), [true, 0, ''])
  t.equal(await count(), 0)
  await t.rejects(fetch(endpoint), { cause: { code: 'ECONNREFUSED' } })
  await t.resolves(proxy.close(), 'said once')
})

const put = (Item: object, parts: object = {}) => ({ TableName: 'any', Item: { id: { S: 'x' }, ...Item }, ...parts })
const update = { TableName: 'any', Key: { id: { S: 'x' } }, UpdateExpression: 'SET n = :n' }
const IF = { ConditionExpression: 'attribute_exists(id)' }
const tombstone = put({ next: { S: '-' } })
const inTransaction = (...TransactItems: object[]): object => ({ TransactItems })
const PUT = /: PutItem without a ConditionExpression$/
const UPDATE = /: UpdateItem without a ConditionExpression$/
const writes: ReadonlyArray<[title: string, action: string, input: object, said: RegExp | undefined]> = [
  ['a PutItem without a condition', 'PutItem', put({}), PUT],
  ['a PutItem of a record that has a successor', 'PutItem', put({ next: { S: 'key' } }), PUT],
  ['an UpdateItem without a condition', 'UpdateItem', update, UPDATE],
  ['a Put in a transaction without a condition', 'TransactWriteItems', inTransaction({ Put: put({}, IF) }, { Put: put({}) }), PUT],
  ['an Update in a transaction without a condition', 'TransactWriteItems', inTransaction({ Delete: {} }, { Update: update }), UPDATE],
  ['a PutItem with a condition', 'PutItem', put({}, IF), undefined],
  ['a PutItem of a tombstone', 'PutItem', tombstone, undefined],
  ['an UpdateItem with a condition', 'UpdateItem', { ...update, ...IF }, undefined],
  ['a DeleteItem without a condition', 'DeleteItem', { TableName: 'any', Key: { id: { S: 'x' } } }, undefined],
  ['a transaction of conditional parts, deletes and a tombstone', 'TransactWriteItems', inTransaction(
    { Put: put({}, IF) }, { Update: { ...update, ...IF } }, { Delete: {} }, { ConditionCheck: {} }, { Put: tombstone }
  ), undefined],
  ['a read', 'GetItem', { TableName: 'any', Key: { id: { S: 'x' } } }, undefined]
]

for (const [title, action, input, said] of writes) {
  await t.test(`${title} ${said === undefined ? 'is let by' : 'makes the close throw, whatever became of it'}`, async t => {
    const fates: Array<(proxy: FaultProxy) => void> = [
      () => {}, proxy => proxy.meet('*', faults.resetBefore), proxy => { proxy.intercept = () => ({ status: 200, body: {} }) }
    ]
    for (const decide of fates) {
      const proxy = await FaultProxy.start(engine)
      decide(proxy)
      await ask(proxy.endpoint, action, input).seen
      t.same(proxy.take(), [action], 'forgetting the calls does not help')
      if (said === undefined) await t.resolves(proxy.close())
      else await t.rejects(proxy.close(), { message: said })
      await t.resolves(proxy.close(), 'said once')
    }
  })
}

await t.test('what the test answers itself is listed, carries no checksum, and stands behind faults and gates', async t => {
  const { proxy, read, TableName, Key } = await setUp(t)
  const asked: unknown[] = []
  proxy.intercept = (action, input) => {
    asked.push([action, input])
    return asked.length > 3 ? undefined : { status: 201, body: asked.length === 1 ? '<html>' : { Item: {} } }
  }
  const text = await read().seen
  t.same([text.status, text.body, text.headers['x-amz-crc32']], [201, '<html>', undefined])
  proxy.meet('GetItem', faults.resetBefore)
  t.equal((await read().seen).ending, 'RST')
  proxy.meet('GetItem', faults.bitflip('Item', 'Imet'))
  t.equal((await read().seen).body, '{"Imet":{}}')
  const gate = proxy.gate('GetItem')
  const held = read()
  await gate.reached
  t.equal(asked.length, 2)
  gate.release()
  t.equal((await held.seen).status, 201)
  t.equal((await read().seen).status, 200, 'nothing lets the call pass')
  t.same(asked, Array.from({ length: 4 }, () => ['GetItem', { TableName, Key }]))
  t.same(proxy.takeCalls().map(call => [call.status, call.output, call.fault]), [
    [201, {}, undefined], [0, {}, 'resetBefore'], [201, { Item: {} }, 'bitflip'], [201, { Item: {} }, undefined],
    [200, { Item: { ...Key, n: { N: '0' } } }, undefined]
  ])
})

await t.test('stale reads answer with the item before its last write, unless they are strongly consistent', async t => {
  const { proxy, add, read } = await setUp(t)
  const valueOf = async (asked: Asked): Promise<unknown> => JSON.parse((await asked.seen).body).Item.n.N
  proxy.staleReads = true
  t.ok('x-amz-crc32' in (await read().seen).headers, 'nothing was written yet')
  for (const before of ['0', '1']) {
    await add().seen
    t.same([await valueOf(read()), await valueOf(read({ ConsistentRead: true }))], [before, String(Number(before) + 1)])
  }
  t.notOk('x-amz-crc32' in (await read().seen).headers)
  proxy.staleReads = false
  t.same([await valueOf(read()), (await read().seen).headers['x-amz-crc32'] === undefined], ['2', false])
  t.equal(proxy.take().filter(action => action === 'UpdateItem').length, 2)
})
