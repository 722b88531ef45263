// Applications that keep their sessions by other libraries, to move away from.
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import cookie from '@fastify/cookie'
import Fastify, { type FastifyPluginCallback } from 'fastify'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { Test } from 'tap'
import { load, makeStore } from '../../bench/applications/stores.js'
import { clientConfig, type Engine } from './engines.js'
import { closeServer } from './listening.js'

export const OLD_SECRET = 'a secret of the old application, of more than thirty-two characters'

/** What an old application puts into a session at a log-in. */
export const OLD_DATA = { userId: 'u-42', cart: ['apple'] }

/** Logs in, and gives the cookie, decoded. */
export type LogIn = () => Promise<{ readonly name: string, readonly value: string }>

type Start = (t: Test, engine: Engine, table: string, store: string, maxAge?: number) => Promise<LogIn>

type Done = (error?: unknown) => void
type Handler = (request: { session: object }, response: { json (body: object): void }, next: Done) => void
interface Application { use (handler: Handler): void, post (path: string, handler: Handler): void }

export const onExpress: Start = async (t, engine, table, store, maxAge) => {
  const client = clientOf(t, engine)
  const app = (load('express') as () => Application & RequestListener)()
  const session = load('express-session') as (options: object) => Handler
  app.use(session({ secret: OLD_SECRET, resave: false, saveUninitialized: false, store: makeStore(client, table, store), cookie: { maxAge } }))
  app.post('/login', ({ session }, response) => {
    Object.assign(session, OLD_DATA)
    response.json({})
  })
  return await listen(t, app)
}

export const onFastify: Start = async (t, engine, table, store, maxAge) => {
  const client = clientOf(t, engine)
  const app = Fastify()
  await app.register(cookie)
  const plugin = load('@fastify/session') as FastifyPluginCallback<Record<string, unknown>>
  await app.register(plugin, { secret: OLD_SECRET, saveUninitialized: false, store: makeStore(client, table, store), cookie: { secure: false, maxAge } })
  app.post('/login', async ({ session }) => {
    Object.assign(session, OLD_DATA)
    return {}
  })
  await app.ready()
  t.teardown(async () => await app.close())
  return await listen(t, app.routing)
}

function clientOf (t: Test, engine: Engine): DynamoDBClient {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(() => client.destroy())
  return client
}

async function listen (t: Test, handle: RequestListener): Promise<LogIn> {
  const server = createServer(handle)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => { await closeServer(server) })
  return async () => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/login`, { method: 'POST' })
    // To its end: express-session sends the head before it has stored the session.
    const body = await response.text()
    if (!response.ok) throw new Error(`The log-in failed: ${body}`)
    const [text = ''] = response.headers.getSetCookie()
    const [pair = ''] = text.split(';')
    return { name: pair.slice(0, pair.indexOf('=')), value: decodeURIComponent(pair.slice(pair.indexOf('=') + 1)) }
  }
}
