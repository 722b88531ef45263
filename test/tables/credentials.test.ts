import t, { type Test } from 'tap'
import { GetItemCommand, UpdateItemCommand, type DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import Fastify from 'fastify'
import dynamoSession from '../../index.js'
import { makeClient } from '../../lib/client.js'
import { isSigned, refusal, startService, type Service } from '../support/service.js'

/**
 * What the plugin's client keeps from call to call, its stack of middleware, its signers, must not keep credentials or a
 * wrong clock with them.
 */

const HOUR = 3_600_000

/** Near enough to their end for the SDK to ask for others with the next call. */
const soon = (): Date => new Date(Date.now() + 60_000)

const secretOf = (accessKeyId: string | undefined): string => `secret of ${accessKeyId ?? ''}`

function identity (accessKeyId: string, expiration?: Date) {
  return { accessKeyId, secretAccessKey: secretOf(accessKeyId), sessionToken: `token of ${accessKeyId}`, ...expiration !== undefined && { expiration } }
}

function clientOf (t: Test, service: Service, config: DynamoDBClientConfig): DynamoDBClient {
  const client = makeClient({ endpoint: service.endpoint, region: 'eu-central-1', ...config }, 3)
  t.teardown(() => { client.destroy() })
  return client
}

async function read (client: DynamoDBClient): Promise<unknown> {
  return await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } }))
}

function allSigned (service: Service): boolean {
  return service.seen.every(seen => isSigned(seen, secretOf(seen.accessKeyId)) && seen.headers['x-amz-security-token'] === `token of ${seen.accessKeyId ?? ''}`)
}

t.test('credentials that end are asked for again, and the next request is signed with the new ones', async t => {
  let asked = 0
  const service = await startService(t)
  const client = clientOf(t, service, { credentials: async () => identity(`KEY${++asked}`, soon()) })
  await read(client)
  const first = asked
  await read(client)
  await client.send(new UpdateItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } }))
  const keys = service.seen.map(seen => seen.accessKeyId)
  t.equal(new Set(keys).size, 3, keys.join(' '))
  t.ok(asked > first)
  t.ok(allSigned(service), 'each with the secret and the token that belong to its key')
})

t.test('credentials that last are asked for once', async t => {
  for (const expiration of [undefined, new Date(Date.now() + HOUR)]) {
    let asked = 0
    const service = await startService(t)
    const client = clientOf(t, service, {
      credentials: async () => {
        asked += 1
        return identity('KEY', expiration)
      }
    })
    await Promise.all(Array.from({ length: 20 }, async () => await read(client)))
    await read(client)
    t.same([asked, service.seen.length], [1, 21])
    t.ok(allSigned(service))
  }
})

t.test('credentials that change under a load never mix: each request has a key, its own secret and its own token', async t => {
  let asked = 0
  const service = await startService(t)
  const client = clientOf(t, service, {
    credentials: async () => {
      const key = `KEY${++asked}`
      await new Promise(resolve => setTimeout(resolve, asked % 5))
      return identity(key, soon())
    }
  })
  for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 20 }, async () => await read(client)))
  t.ok(new Set(service.seen.map(seen => seen.accessKeyId)).size > 3)
  t.equal(service.seen.length, 100)
  t.ok(allSigned(service))
})

t.test('a request that is tried again is signed with the credentials of now', async t => {
  let key = 'OLD'
  const service = await startService(t, (_seen, count) => {
    key = 'NEW'
    return count === 1 ? refusal('InternalServerError', 500) : {}
  })
  await read(clientOf(t, service, { credentials: async () => identity(key, soon()) }))
  t.same(service.seen.map(seen => seen.accessKeyId), ['OLD', 'NEW'])
  t.ok(allSigned(service))
})

t.test('credentials that cannot be had fail the call, send nothing, and are asked for again', async t => {
  let isDown = true
  const service = await startService(t)
  const client = clientOf(t, service, {
    credentials: async () => {
      if (isDown) throw Object.assign(new Error('No credentials yet.'), { name: 'CredentialsProviderError' })
      return identity('KEY')
    }
  })
  await t.rejects(read(client), { name: 'CredentialsProviderError', message: 'No credentials yet.' })
  await t.rejects(read(client), { name: 'CredentialsProviderError' })
  t.equal(service.seen.length, 0)
  isDown = false
  await read(client)
  t.equal(service.seen.length, 1)
  t.ok(allSigned(service))
})

t.test('credentials that cannot be renewed fail the call, although earlier ones worked', async t => {
  let asked = 0
  let isDown = false
  const service = await startService(t)
  const client = clientOf(t, service, {
    credentials: async () => {
      if (isDown) throw Object.assign(new Error('Refused.'), { name: 'CredentialsProviderError' })
      return identity(`KEY${++asked}`, new Date(Date.now() - 1000))
    }
  })
  await read(client)
  isDown = true
  await t.rejects(read(client), { name: 'CredentialsProviderError' })
  t.equal(service.seen.length, 1)
})

t.test('a signer of the application is asked for with every request', async t => {
  let asked = 0
  const service = await startService(t)
  const client = clientOf(t, service, {
    credentials: identity('KEY'),
    signer: async () => {
      const count = String(++asked)
      return { sign: async request => Object.assign(request, { headers: { ...request.headers, authorization: count } }) }
    }
  })
  for (let count = 0; count < 3; count++) await read(client)
  t.same(service.seen.map(seen => seen.headers.authorization), ['1', '2', '3'])
})

/** A service whose clock differs from ours, and which refuses what was signed by another. */
async function startSkewed (t: Test, ms: number): Promise<Service> {
  return await startService(t, seen => {
    const now = Date.now() + ms
    const signed = String(seen.headers['x-amz-date']).replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z')
    const date = new Date(now).toUTCString()
    return Math.abs(Date.parse(signed) - now) < 5 * 60_000 ? { headers: { date } } : refusal('InvalidSignatureException', 400, { date })
  })
}

t.test('a clock that is wrong is corrected by the service\'s, at the first refusal, for all calls to come', async t => {
  for (const ms of [HOUR, -HOUR]) {
    const service = await startSkewed(t, ms)
    const client = clientOf(t, service, { credentials: identity('KEY') })
    await read(client)
    t.equal(service.seen.length, 2)
    await read(client)
    await client.send(new UpdateItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } }))
    t.equal(service.seen.length, 4, 'calls of every kind')
    t.ok(allSigned(service))
  }
})

t.test('many calls that find the clock wrong at once are each tried twice at most', async t => {
  const service = await startSkewed(t, HOUR)
  const client = clientOf(t, service, { credentials: identity('KEY') })
  await Promise.all(Array.from({ length: 20 }, async () => await read(client)))
  t.ok(service.seen.length <= 40, `${service.seen.length} requests`)
  const before = service.seen.length
  await Promise.all(Array.from({ length: 20 }, async () => await read(client)))
  t.equal(service.seen.length, before + 20)
})

t.test('in an application: a request whose credentials cannot be had is a 503, and those after it are served', async t => {
  let isDown = true
  const service = await startService(t)
  const app = Fastify()
  t.teardown(async () => await app.close())
  const credentials = async () => {
    if (isDown) throw Object.assign(new Error('No credentials yet.'), { name: 'CredentialsProviderError' })
    return identity('KEY')
  }
  await app.register(dynamoSession, { table: 'sessions', client: { endpoint: service.endpoint, region: 'eu-central-1', credentials }, verify: false })
  app.get('/', async request => request.session.data())
  const visit = async () => (await app.inject({ url: '/', headers: { cookie: `__Host-id=${Buffer.alloc(32, 7).toString('base64url')}` } })).statusCode
  t.equal(await visit(), 503)
  isDown = false
  t.equal(await visit(), 200)
})
