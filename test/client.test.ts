import t, { type Test } from 'tap'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import Fastify from 'fastify'
import { DynamoDBClient, GetItemCommand, PutItemCommand, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import dynamoSession, { SessionManager, type DynamoSessionOptions } from '../index.js'
import { keepSigners, makeClient } from '../lib/client.js'
import { Stop, stoppable } from '../lib/stop.js'
import { addRoutes } from './support/app.js'
import { startBytes, startSilence } from './support/bytes.js'
import { clientConfig, createTable, startDynalite } from './support/engines.js'
import { timed } from './support/limit.js'
import { FaultProxy, faults } from './support/proxy.js'
import { refusal, type Seen, type Service, startGated, startService } from './support/service.js'

const NOWHERE = clientConfig('http://127.0.0.1:1')

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

function limitsOf (t: Test, config: DynamoDBClientConfig, timeout: number) {
  const client = makeClient({ ...NOWHERE, ...config }, timeout)
  t.teardown(() => client.destroy())
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

t.test('a client made here gives up a silent connection in time for two other attempts', async t => {
  t.same(limitsOf(t, {}, 10), { silence: 3000, connections: 256 })
  for (const timeout of [0.1, 0.25, 3, 7]) {
    const share = Number(limitsOf(t, {}, timeout)['silence']) / (timeout * 1000)
    t.ok(share > 0.29 && share <= 0.3, `${timeout} s`)
  }
  const client = makeClient(NOWHERE, 3)
  t.equal(await client.config.maxAttempts(), 3)
  t.equal(await client.config.region(), 'eu-central-1')
  client.destroy()
})

t.test('what the configuration says itself is left as it says', async t => {
  const config = Object.freeze({ ...NOWHERE, requestHandler: { requestTimeout: 1234 }, maxAttempts: 1 })
  const client = makeClient(config, 3)
  t.teardown(() => client.destroy())
  t.equal(await client.config.maxAttempts(), 1)
  // The SDK's own transport settles its limits with its first call.
  await t.rejects(client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } })))
  const limits = (client.config.requestHandler as unknown as { httpHandlerConfigs (): Record<string, unknown> }).httpHandlerConfigs()
  t.same([limits['requestTimeout'], limits['throwOnRequestTimeout'], limits['silence']], [1234, undefined, undefined])
})

t.test('what the configuration names without a value keeps the limits', async t => {
  const unnamed = { requestHandler: undefined, maxAttempts: undefined, cacheMiddleware: undefined } as unknown as DynamoDBClientConfig
  t.same(limitsOf(t, unnamed, 10), { silence: 3000, connections: 256 })
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
      const { response, isLate } = await timed(timeout * 1500, app.inject({ ...request }))
      const seconds = (performance.now() - start) / 1000
      t.equal(response.statusCode, 503, kind)
      t.match(response.json(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
      t.match(response.headers, { 'retry-after': '1', 'set-cookie': undefined })
      t.notOk(isLate, `${kind}: ${seconds} s`)
      t.ok(seconds > timeout - 0.05, `${kind}: ${seconds} s`)
    }
    await app.close()
  }))
  t.ok(sockets.length > 0, 'the connections were made')
})

t.test('an answer that begins and does not end is bounded as well', async t => {
  const timeout = 0.4
  const { endpoint } = await startBytes(t, socket => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 1000\r\n\r\n{'))
  })
  const app = await startApp(t, clientConfig(endpoint), timeout)
  const { response, isLate } = await timed(timeout * 1500, app.inject({ url: '/me', headers: { cookie } }))
  t.equal(response.statusCode, 503)
  t.notOk(isLate)
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
    const { response, isLate } = await timed(900, read())
    t.equal(response, 'the right one')
    t.ok(performance.now() - start > 280 && !isLate)
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

/** What the plugin does with a read: it can be told to stop. */
async function readUntil (client: DynamoDBClient, stop: Stop, Key = 'x') {
  const input = { TableName: 'sessions', Key: { id: { S: Key } } }
  return await client.send(new GetItemCommand(input), stoppable(client, input, stop))
}

t.test('what is kept from call to call', async t => {
  const clientOf = (t: Test, service: Service, config: DynamoDBClientConfig = {}): DynamoDBClient => {
    const client = makeClient({ ...clientConfig(service.endpoint), ...config }, 3)
    t.teardown(() => { client.destroy() })
    return client
  }
  const keyOf = ({ body }: Seen): unknown => (JSON.parse(body) as { Key: { id: { S: string } } }).Key.id.S

  await t.test('never mixes calls: each has its input, its answer, an id and a count of attempts of its own', async t => {
    const failed = new Set<unknown>()
    const service = await startService(t, seen => {
      const key = keyOf(seen)
      if (Number(key) % 3 !== 0 || failed.has(key)) return { body: { Item: { id: { S: key } } } }
      failed.add(key)
      return refusal('InternalServerError', 500)
    })
    const client = clientOf(t, service)
    const answers = await Promise.all(Array.from({ length: 60 }, async (_, count) => await readUntil(client, new Stop(), String(count))))
    t.same(answers.map(({ Item }) => Item?.['id']?.S), Array.from({ length: 60 }, (_, count) => String(count)))
    t.same(answers.map(({ $metadata }) => $metadata.attempts), Array.from({ length: 60 }, (_, count) => count % 3 === 0 ? 2 : 1))
    t.equal(service.seen.length, 80)
    const ids = new Map<unknown, Set<unknown>>()
    for (const seen of service.seen) ids.set(keyOf(seen), (ids.get(keyOf(seen)) ?? new Set()).add(seen.headers['amz-sdk-invocation-id']))
    t.ok([...ids.values()].every(({ size }) => size === 1), 'the attempts of a call have its id')
    t.equal(new Set([...ids.values()].flatMap(set => [...set])).size, 60, 'and no two calls have the same')
  })

  await t.test('calls of other kinds go beside each other', async t => {
    const service = await startService(t)
    const client = clientOf(t, service)
    const key = { id: { S: 'x' } }
    for (let round = 0; round < 2; round++) {
      await Promise.all([
        client.send(new GetItemCommand({ TableName: 'sessions', Key: key })),
        client.send(new PutItemCommand({ TableName: 'sessions', Item: key }))
      ])
    }
    t.same(service.seen.map(({ headers }) => headers['x-amz-target']).sort(), ['GetItem', 'GetItem', 'PutItem', 'PutItem'].map(name => `DynamoDB_20120810.${name}`))
  })

  await t.test('the user agent is that of the SDK, in every call, with what the application adds', async t => {
    const service = await startService(t)
    const plain = new DynamoDBClient(clientConfig(service.endpoint))
    t.teardown(() => { plain.destroy() })
    await plain.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } }))
    const client = clientOf(t, service)
    for (let count = 0; count < 3; count++) await readUntil(client, new Stop())
    const agents = service.seen.map(({ headers }) => [headers['user-agent'], headers['x-amz-user-agent']])
    t.match(agents[0], [/^aws-sdk-js\/3/, /^aws-sdk-js\/3/])
    t.same(agents.slice(1), [agents[0], agents[0], agents[0]])
    const named = clientOf(t, service, { userAgentAppId: 'shop', customUserAgent: 'cart/7' })
    for (let count = 0; count < 2; count++) await readUntil(named, new Stop())
    for (const { headers } of service.seen.slice(-2)) t.match(headers['user-agent'], /app\/shop.* cart\/7$/)
  })

  await t.test('a logger in the configuration is told of every call', async t => {
    const service = await startService(t)
    const lines: object[] = []
    const log = (line?: object) => { lines.push(line ?? {}) }
    const client = clientOf(t, service, { logger: { info: log, debug () {}, warn () {}, error () {} } })
    await readUntil(client, new Stop())
    await readUntil(client, new Stop())
    t.match(lines, [{ commandName: 'GetItemCommand' }, { commandName: 'GetItemCommand' }])
  })

  await t.test('in a Lambda function the trace id goes along, which ends loops of functions', async t => {
    Object.assign(process.env, { AWS_LAMBDA_FUNCTION_NAME: 'shop', _X_AMZN_TRACE_ID: 'Root=1-2' })
    t.teardown(() => {
      delete process.env['AWS_LAMBDA_FUNCTION_NAME']
      delete process.env['_X_AMZN_TRACE_ID']
    })
    const service = await startService(t)
    await readUntil(clientOf(t, service), new Stop())
    t.equal(service.seen[0]?.headers['x-amzn-trace-id'], 'Root=1-2')
  })

  await t.test('nothing, where the configuration says so', async t => {
    const service = await startService(t)
    const client = clientOf(t, service, { cacheMiddleware: false })
    t.equal(client.config.cacheMiddleware, false)
    await readUntil(client, new Stop())
    t.equal(service.seen.length, 1)
  })

  await t.test('a retry strategy of the application decides, also one of the SDK\'s first kind, which adds to a list with each call', async t => {
    const service = await startService(t)
    let asked = 0
    const old = {
      mode: 'mine',
      retry: async (next: (args: object) => Promise<object>, args: object) => {
        asked += 1
        return await next(args)
      }
    }
    const client = clientOf(t, service, { retryStrategy: old as unknown as NonNullable<DynamoDBClientConfig['retryStrategy']> })
    for (let count = 0; count < 3; count++) await readUntil(client, new Stop())
    t.equal(asked, 3)
    t.equal(client.config.cacheMiddleware, false, 'the list is in the stack, which therefore is not kept')

    const budget = { acquireInitialRetryToken: async () => ({ getRetryCount: () => 0, getRetryDelay: () => 0 }), refreshRetryTokenForRetry: async () => { throw new Error('never again') }, recordSuccess () {} }
    const other = clientOf(t, await startService(t, () => refusal('InternalServerError', 500)), { retryStrategy: budget as unknown as NonNullable<DynamoDBClientConfig['retryStrategy']> })
    await t.rejects(readUntil(other, new Stop()), { name: 'InternalServerError', $metadata: { attempts: 1 } })
    t.equal(other.config.cacheMiddleware, true)
  })
})

t.test('a version of the SDK in which something has another name or place serves as well, only dearer', async t => {
  const { resolve } = createRequire(import.meta.url)
  const parts = createRequire(resolve('@aws-sdk/client-dynamodb'))('@aws-sdk/core/client') as Record<string, Record<string, string>>
  const differences: Array<Record<string, Record<string, string>>> = [
    { getUserAgentMiddlewareOptions: { name: 'another' } },
    { getUserAgentMiddlewareOptions: { step: 'finalizeRequest', priority: 'normal' } },
    { loggerMiddlewareOptions: { name: 'another' } },
    { recursionDetectionMiddlewareOptions: { name: 'another' } }
  ]
  for (const difference of differences) {
    const before = Object.keys(difference).map(name => [name, { ...parts[name] }] as const)
    for (const [name, options] of Object.entries(difference)) Object.assign(parts[name] ?? {}, options)
    try {
      const service = await startService(t, (_seen, count) => count === 1 ? refusal('InternalServerError', 500) : {})
      const client = makeClient(clientConfig(service.endpoint), 3)
      t.teardown(() => { client.destroy() })
      for (let count = 0; count < 2; count++) await readUntil(client, new Stop())
      for (const { headers } of service.seen) t.match(headers, { 'user-agent': /^aws-sdk-js/, authorization: /^AWS4/ }, JSON.stringify(difference))
      t.equal(service.seen.length, 3)
    } finally {
      for (const [name, options] of before) Object.assign(parts[name] ?? {}, options)
    }
  }
})

t.test('a client of the SDK without signers gets none', async t => {
  const client = { config: {} } as unknown as DynamoDBClient
  keepSigners(client)
  t.same(client.config, {})
})

t.test('a refusal has the name and the facts that it has from any client of the SDK', async t => {
  const service = await startService(t, () => refusal('ConditionalCheckFailedException'))
  const facts = []
  for (const client of [new DynamoDBClient(clientConfig(service.endpoint)), makeClient(clientConfig(service.endpoint), 3)]) {
    const error = await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } })).then(() => null, (error: Error & { $metadata: object, $fault: string }) => error)
    facts.push({ name: error?.name, message: error?.message, fault: error?.$fault, metadata: error?.$metadata })
    client.destroy()
  }
  t.match(facts[1], { name: 'ConditionalCheckFailedException', message: 'No.', fault: 'client', metadata: { httpStatusCode: 400, requestId: 'REQUEST', attempts: 1 } })
  t.same(facts[1], facts[0])
})

t.test('a call that was told to stop', async t => {
  const reason = Object.assign(new Error('No answer within 3 s.'), { name: 'TimeoutError' })

  await t.test('is not tried again, also where it was about to be', async t => {
    for (const config of [{}, { requestHandler: { requestTimeout: 60_000 } }]) {
      const stop = new Stop()
      const service = await startService(t, () => {
        stop.stop(reason)
        return refusal('InternalServerError', 500)
      })
      const client = makeClient({ ...clientConfig(service.endpoint), ...config }, 60)
      t.teardown(() => { client.destroy() })
      await t.rejects(readUntil(client, stop), { name: 'AbortError' })
      t.equal(service.seen.length, 1)
    }
  })

  await t.test('lets others be', async t => {
    const service = await startGated(t)
    const client = makeClient(clientConfig(service.endpoint), 60)
    t.teardown(() => { client.destroy() })
    const [stop, other] = [new Stop(), new Stop()]
    const calls = [readUntil(client, stop), readUntil(client, other)] as const
    const stopped = t.rejects(calls[0], { name: 'AbortError', cause: reason })
    while (service.seen.length < 2) await nextTurn()
    stop.stop(reason)
    await stopped
    service.open()
    t.match(await calls[1], { $metadata: { attempts: 1 } })
  })
})

t.test('a connection that the service closes just as a call goes over it costs one more attempt, for reads and writes, however often', async t => {
  const ROUNDS = 40
  let isOver = false
  const service = await startService(t, async (_seen, count) => {
    // Each call is the first on its connection once, and the next closes it.
    if (count % 2 === 1 || isOver) return {}
    for (const socket of service.sockets) {
      if (count % 4 === 0) socket.resetAndDestroy()
      else socket.end()
    }
    return await new Promise(() => {})
  })
  const client = makeClient(clientConfig(service.endpoint), 30)
  t.teardown(() => { client.destroy() })
  const key = { TableName: 'sessions', Key: { id: { S: 'x' } } }
  await client.send(new GetItemCommand(key))
  const attempts: unknown[] = []
  for (let count = 0; count < ROUNDS; count++) {
    const answer = count % 4 < 2 ? await client.send(new GetItemCommand(key)) : await client.send(new PutItemCommand({ TableName: 'sessions', Item: key.Key }))
    attempts.push(answer.$metadata.attempts)
  }
  // More than the SDK's budget of repetitions allows, if success did not give back what they cost.
  t.same(attempts, Array.from({ length: ROUNDS }, () => 2))
  t.equal(service.seen.length, 1 + 2 * ROUNDS)
  isOver = true
  t.match(await client.send(new GetItemCommand(key)), { $metadata: { attempts: 1 } })
})

t.test('a client that is destroyed with calls under way ends them, and leaves neither timer nor socket', async t => {
  const service = await startService(t, async () => await new Promise(() => {}))
  const client = makeClient(clientConfig(service.endpoint), 60)
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  const calls = Array.from({ length: 300 }, async (_, count) => await readUntil(client, new Stop(), String(count)).then(() => 'an answer', (error: { code?: string }) => error.code))
  while (service.seen.length < 256) await nextTurn()
  client.destroy()
  t.same(new Set(await Promise.all(calls)), new Set(['UND_ERR_DESTROYED']))
  while (service.sockets.size > 0) await nextTurn()
  t.ok(timers() <= before, `${timers()} timers after ${before}`)
  t.equal(service.seen.length, 256, 'nothing is tried again')
})

t.test('throttled calls are tried again within the budget of the SDK, three times at most', async t => {
  let left = 2
  const service = await startService(t, () => left-- > 0 ? refusal('ProvisionedThroughputExceededException') : {})
  const client = makeClient(clientConfig(service.endpoint), 30)
  t.teardown(() => { client.destroy() })
  t.match(await readUntil(client, new Stop()), { $metadata: { attempts: 3 } })
  left = 9
  await t.rejects(readUntil(client, new Stop()), { name: 'ProvisionedThroughputExceededException', $metadata: { attempts: 3 } })
  t.equal(service.seen.length, 6)
})
