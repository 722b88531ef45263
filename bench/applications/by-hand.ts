// What people write who want no library: a random id in a cookie, an item with the data as JSON text, the default client.
import { randomBytes } from 'node:crypto'
import cookie from '@fastify/cookie'
import { DeleteItemCommand, DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import Fastify from 'fastify'
import { changed, nameOf, type Part } from '../session-data.js'
import { clientConfig, dataFor, serve } from './serve.js'

const LIFE = 7200

await serve(async settings => {
  const { table: TableName } = settings
  const client = new DynamoDBClient(clientConfig(settings))
  const app = Fastify()
  await app.register(cookie)

  async function load (id: string | undefined): Promise<Record<string, Part>> {
    if (id === undefined) return {}
    const { Item } = await client.send(new GetItemCommand({ TableName, Key: { id: { S: id } } }))
    if (Item === undefined || Number(Item['expires']?.N) < Date.now() / 1000) return {}
    return JSON.parse(Item['data']?.S ?? '{}') as Record<string, Part>
  }

  async function store (id: string, data: Record<string, Part>): Promise<void> {
    const expires = { N: String(Math.floor(Date.now() / 1000) + LIFE) }
    await client.send(new PutItemCommand({ TableName, Item: { id: { S: id }, data: { S: JSON.stringify(data) }, expires } }))
  }

  app.get('/read', async request => {
    const { part0 } = await load(request.cookies['id'])
    return { name: nameOf(part0) }
  })
  app.post('/change', async request => {
    const id = request.cookies['id'] ?? ''
    const data = await load(id)
    await store(id, { ...data, part0: changed(data['part0']) })
    return {}
  })
  app.post('/login', async (request, reply) => {
    const id = randomBytes(32).toString('base64url')
    await store(id, Object.fromEntries(dataFor(request.query)))
    reply.setCookie('id', id, { path: '/', httpOnly: true, sameSite: 'lax' })
    return {}
  })
  app.post('/logout', async (request, reply) => {
    await client.send(new DeleteItemCommand({ TableName, Key: { id: { S: request.cookies['id'] ?? '' } } }))
    reply.clearCookie('id', { path: '/' })
    return {}
  })
  return await app.listen({ host: '127.0.0.1', port: 0 })
})
