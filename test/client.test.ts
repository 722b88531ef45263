import t, { type Test } from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import Fastify from 'fastify'
import { DynamoDBClient, GetItemCommand, PutItemCommand, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import dynamoSession, { SessionManager, type DynamoSessionOptions } from '../index.js'
import { makeClient } from '../lib/client.js'
import { addRoutes } from './support/app.js'
import { clientConfig, createTable, startDynalite } from './support/engines.js'
import { FaultProxy, faults } from './support/proxy.js'

const NOWHERE = clientConfig('http://127.0.0.1:1')

/** A server that takes connections and bytes, and never says anything. */
async function startSilence (t: Test): Promise<{ endpoint: string, sockets: Set<Socket> }> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.resume().on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets }
}

/** A transport that counts how often it is destroyed. */
function countingHandler () {
  return {
    destroyed: 0,
    metadata: { handlerProtocol: 'http/1.1' },
    async handle (): Promise<never> { throw new Error('This transport sends nothing.') },
    destroy () { this.destroyed += 1 },
    updateHttpClientConfig () {},
    httpHandlerConfigs () { return {} }
  }
}

async function limitsOf (t: Test, config: DynamoDBClientConfig, timeout: number) {
  const client = makeClient({ ...NOWHERE, maxAttempts: 1, ...config }, timeout)
  t.teardown(() => client.destroy())
  // The transport settles its limits with its first call.
  await t.rejects(client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } })))
  const handler = client.config.requestHandler as unknown as { httpHandlerConfigs (): Record<string, unknown> }
  return handler.httpHandlerConfigs()
}

async function startApp (t: Test, client: DynamoSessionOptions['client'], timeout = 3, table = 'sessions') {
  const app = Fastify()
  t.teardown(async () => await app.close())
  await app.register(dynamoSession, { table, client: client ?? {}, timeout, verify: false })
  addRoutes(app)
  await app.ready()
  return app
}

const cookie = `__Host-id=${Buffer.alloc(32, 7).toString('base64url')}`

t.test('a client made here gives up a silent connection in time for two other attempts, and answers within the time limit', async t => {
  t.match(await limitsOf(t, {}, 10), { connectionTimeout: 3000, socketTimeout: 3000, requestTimeout: 10_000, throwOnRequestTimeout: true })
  for (const timeout of [0.1, 0.25, 3, 7]) {
    const { connectionTimeout, socketTimeout, requestTimeout } = await limitsOf(t, {}, timeout)
    const share = Number(socketTimeout) / (timeout * 1000)
    t.ok(share > 0.29 && share <= 0.3, `${timeout} s`)
    t.same([connectionTimeout, requestTimeout], [socketTimeout, timeout * 1000])
  }
  const client = makeClient(NOWHERE, 3)
  t.equal(await client.config.maxAttempts(), 3)
  t.equal(await client.config.region(), 'eu-central-1')
  client.destroy()
})

t.test('what the configuration says itself is left as it says', async t => {
  const limits = await limitsOf(t, { requestHandler: { requestTimeout: 1234 } }, 3)
  t.equal(limits['requestTimeout'], 1234)
  t.equal(limits['throwOnRequestTimeout'], undefined)
  const config = Object.freeze({ ...NOWHERE, maxAttempts: 7 })
  const client = makeClient(config, 3)
  t.equal(await client.config.maxAttempts(), 7)
  client.destroy()
})

t.test('what the configuration names without a value keeps the limits', async t => {
  const unnamed = { requestHandler: undefined, maxAttempts: undefined } as unknown as DynamoDBClientConfig
  t.match(await limitsOf(t, unnamed, 10), { connectionTimeout: 3000, socketTimeout: 3000, requestTimeout: 10_000, throwOnRequestTimeout: true })
  const client = makeClient({ ...NOWHERE, ...unnamed }, 3)
  t.equal(await client.config.maxAttempts(), 3)
  client.destroy()
})

t.test('a transport that was handed in may answer with whatever the SDK reads', async t => {
  const nothing = '{"ConsumedCapacity":{"CapacityUnits":0.5}}'
  const right = { 'x-amz-crc32': String(crc32(nothing)) }
  const wrong = { 'x-amz-crc32': '1' }
  const bytes = new TextEncoder().encode(nothing)
  const rows = {
    bytes: [right, () => bytes, null],
    'damaged bytes': [wrong, () => bytes, 'ChecksumError'],
    'a stream': [right, () => Readable.from([Buffer.from(nothing)]), null],
    'a damaged stream': [wrong, () => Readable.from([Buffer.from(nothing)]), 'ChecksumError'],
    'a blob': [right, () => new Blob([nothing]), null],
    'bytes without a checksum': [{}, () => bytes, null]
  } as const
  for (const [kind, [headers, body, expected]] of Object.entries(rows)) {
    const requestHandler = { ...countingHandler(), handle: async () => ({ response: { statusCode: 200, headers, body: body() } }) }
    const config = { ...NOWHERE, maxAttempts: 1, requestHandler } as unknown as DynamoDBClientConfig
    const manager = new SessionManager({ table: 'sessions', client: config })
    const found = await manager.load(Buffer.alloc(32, 7).toString('base64url')).catch((error: Error) => (error.cause as Error).name)
    t.equal(found, expected, kind)
    await manager.close()
  }
})

t.test('an answer of such a transport that has no headers is the SDK\'s to judge', async t => {
  const requestHandler = { ...countingHandler(), handle: async () => ({ response: { statusCode: 200, body: Buffer.from('{}') } }) }
  const config = { ...NOWHERE, maxAttempts: 1, requestHandler } as unknown as DynamoDBClientConfig
  const [own, ours] = await Promise.all([new DynamoDBClient(config), makeClient(config, 3)].map(async client => {
    t.teardown(() => client.destroy())
    return await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } })).then(() => 'taken', (error: Error) => error.message)
  }))
  t.equal(ours, own)
})

t.test('a client made by the plugin is destroyed when the application closes', async t => {
  const requestHandler = countingHandler()
  const app = await startApp(t, { ...NOWHERE, requestHandler })
  t.equal(requestHandler.destroyed, 0)
  await app.close()
  t.equal(requestHandler.destroyed, 1)
})

t.test('a client that was handed in works on after the application has closed', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  const table = await createTable(engine)
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(() => client.destroy())
  let destroyed = 0
  const destroy = client.destroy.bind(client)
  client.destroy = () => {
    destroyed += 1
    destroy()
  }
  const app = await startApp(t, client, 3, table)
  t.equal((await app.inject({ url: '/me', headers: { cookie } })).statusCode, 200)
  await app.close()
  t.equal(destroyed, 0)
  t.match(await client.send(new GetItemCommand({ TableName: table, Key: { id: { S: 'x' } } })), { $metadata: { httpStatusCode: 200 } })
})

t.test('a manager by itself treats its client likewise', async t => {
  const requestHandler = countingHandler()
  await new SessionManager({ table: 'sessions', client: { ...NOWHERE, requestHandler } }).close()
  t.equal(requestHandler.destroyed, 1)
  const given = countingHandler()
  const client = new DynamoDBClient({ ...NOWHERE, requestHandler: given })
  await new SessionManager({ table: 'sessions', client }).close()
  t.equal(given.destroyed, 0)
  client.destroy()
})

t.test('a server that never answers ends in a 503 within the time limit', async t => {
  const timeout = 0.4
  const { endpoint, sockets } = await startSilence(t)
  const unlimited = new DynamoDBClient(clientConfig(endpoint))
  t.teardown(() => unlimited.destroy())
  const stubborn = new DynamoDBClient(clientConfig(endpoint))
  t.teardown(() => stubborn.destroy())
  const send = stubborn.send.bind(stubborn) as (command: unknown) => Promise<unknown>
  stubborn.send = async (command: unknown) => await send(command)
  const clients = { 'made here': clientConfig(endpoint), 'handed in without limits': unlimited, 'handed in and deaf to signals': stubborn }
  await Promise.all(Object.entries(clients).map(async ([kind, client]) => {
    const app = await startApp(t, client, timeout)
    const requests = [{ url: '/me', headers: { cookie } }, { method: 'POST', url: '/set', payload: { count: 1 } }] as const
    for (const request of requests) {
      const start = performance.now()
      const response = await app.inject({ ...request })
      const seconds = (performance.now() - start) / 1000
      t.equal(response.statusCode, 503, kind)
      t.match(response.json(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
      t.match(response.headers, { 'retry-after': '1', 'set-cookie': undefined })
      t.ok(seconds < timeout + 0.1, `${kind}: ${seconds} s`)
      t.ok(seconds > timeout - 0.05, `${kind}: ${seconds} s`)
    }
    await app.close()
  }))
  t.ok(sockets.size > 0, 'the connections were made')
})

t.test('an answer that begins and does not end is bounded as well', async t => {
  const timeout = 0.4
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 1000\r\n\r\n{'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const app = await startApp(t, clientConfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), timeout)
  const start = performance.now()
  const response = await app.inject({ url: '/me', headers: { cookie } })
  t.equal(response.statusCode, 503)
  t.ok((performance.now() - start) / 1000 < timeout + 0.1)
  await app.close()
})

t.test('what may befall an answer', async t => {
  const engine = await startDynalite()
  const table = await createTable(engine)
  const proxy = await FaultProxy.start(engine)
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  await direct.send(new PutItemCommand({ TableName: table, Item: { id: { S: 'x' }, text: { S: 'the right one' } } }))
  const client = makeClient(clientConfig(proxy.endpoint), 1)
  t.teardown(async () => {
    direct.destroy()
    client.destroy()
    await proxy.close()
    await engine.close()
  })
  const read = async (TableName = table) => (await client.send(new GetItemCommand({ TableName, Key: { id: { S: 'x' } } }))).Item?.['text']?.S

  await t.test('a connection that dies in silence leaves time for another attempt', async t => {
    proxy.meet('GetItem', faults.hang)
    const start = performance.now()
    t.equal(await read(), 'the right one')
    const took = performance.now() - start
    t.ok(took > 280 && took < 900, `${took} ms`)
    t.same(proxy.take(), ['GetItem', 'GetItem'])
  })

  await t.test('one with the right checksum is taken at once', async t => {
    t.equal(await read(), 'the right one')
    t.same(proxy.take(), ['GetItem'])
  })

  await t.test('one that was damaged on its way is asked for again, and never believed', async t => {
    for (const fault of [faults.badCrc, faults.bitflip('right', 'wrong'), faults.truncateClean]) {
      proxy.meet('GetItem', fault)
      t.equal(await read(), 'the right one', fault.name)
      t.same(proxy.take(), ['GetItem', 'GetItem'])
    }
  })

  await t.test('where every one is damaged it is a failure, after three attempts', async t => {
    const rule = proxy.meet({ action: 'GetItem', times: 9 }, faults.bitflip('right', 'wrong'))
    await t.rejects(read(), { name: 'ChecksumError', message: 'An answer was damaged on its way: its checksum does not fit.' })
    t.equal(rule.met, 3)
    rule.remove()
    proxy.take()
  })

  await t.test('an error is an answer too: a damaged one is not believed', async t => {
    await t.rejects(read('no-such-table'), { name: 'ResourceNotFoundException' })
    t.same(proxy.take(), ['GetItem'], 'one that is whole is not asked for again')
    proxy.meet('GetItem', faults.bitflip('ResourceNotFound', 'ConditionalCheckFailed'))
    await t.rejects(read('no-such-table'), { name: 'ResourceNotFoundException' })
    t.same(proxy.take(), ['GetItem', 'GetItem'])
    proxy.meet({ action: 'GetItem', times: 3 }, faults.badCrc)
    await t.rejects(read('no-such-table'), { name: 'ChecksumError' })
    proxy.take()
  })

  await t.test('one without a checksum is not looked at', async t => {
    proxy.meet('GetItem', faults.raw(200, '{"Item":{"id":{"S":"x"},"text":{"S":"of another engine"}}}', 'application/x-amz-json-1.0'))
    t.equal(await read(), 'of another engine')
    proxy.meet('GetItem', faults.error('ResourceNotFoundException'))
    await t.rejects(read(), { name: 'ResourceNotFoundException' })
    t.same(proxy.take(), ['GetItem', 'GetItem'])
  })

  await t.test('in an application, damaged ones end in a 503 and leave the cookie alone', async t => {
    const app = await startApp(t, clientConfig(proxy.endpoint), 3, table)
    proxy.meet({ action: 'GetItem', times: 3 }, faults.badCrc)
    const response = await app.inject({ url: '/me', headers: { cookie } })
    t.same([response.statusCode, response.headers['set-cookie'], proxy.take().length], [503, undefined, 3])
  })
})
