import t, { type Test } from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import Fastify from 'fastify'
import { DynamoDBClient, GetItemCommand, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import dynamoSession, { SessionManager, type DynamoSessionOptions } from '../index.js'
import { makeClient } from '../lib/client.js'
import { addRoutes } from './support/app.js'
import { clientConfig, createTable, startDynalite } from './support/engines.js'

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

t.test('a client made here connects within a second, answers within the time limit, and is not waited for any longer', async t => {
  t.match(await limitsOf(t, {}, 3), { connectionTimeout: 1000, requestTimeout: 3000, throwOnRequestTimeout: true })
  t.match(await limitsOf(t, {}, 0.25), { connectionTimeout: 250, requestTimeout: 250, throwOnRequestTimeout: true }, 'no connection may take longer than the whole')
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
  new SessionManager({ table: 'sessions', client: { ...NOWHERE, requestHandler } }).close()
  t.equal(requestHandler.destroyed, 1)
  const given = countingHandler()
  const client = new DynamoDBClient({ ...NOWHERE, requestHandler: given })
  new SessionManager({ table: 'sessions', client }).close()
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
  for (const [kind, client] of Object.entries(clients)) {
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
  }
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
