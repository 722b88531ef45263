// Applications that keep their sessions in DynamoDB by this library and by others, with the routes of bench/applications.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import cookie from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type FastifyRequest } from 'fastify'
import { DynamoDBClient, ScanCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import { load, makeStore } from '../../bench/applications/stores.js'
import { changed, sessionData, type Part } from '../../bench/session-data.js'
import { clientConfig } from './engines.js'
import { closeServer } from './listening.js'

export const SECRET = 'a secret of more than thirty-two characters, for what costs'

/** The session of the comparison: 2 KB of JSON in ten keys. */
export const DATA = sessionData(2048, 10)

export interface Peer {
  readonly url: string
  /** Requests that have come in. */
  readonly entered: () => number
  /** Makes the renewal of every session due, where the system knows such a thing. */
  readonly age: () => Promise<void>
  readonly close: () => Promise<void>
}

export type StartPeer = (endpoint: string, table: string) => Promise<Peer>

export function ours (options: Partial<DynamoSessionOptions> = {}, data: object = DATA): StartPeer {
  return async (endpoint, table) => {
    let later = 0
    const app = Fastify()
    await app.register(dynamoSession, {
      table, client: clientConfig(endpoint), secrets: SECRET, cookie: { secure: false }, now: () => Date.now() + later, verify: false, ...options
    })
    addRoutes(app, ({ session }) => session, data)
    return await listen(app.routing, {
      ready: async () => { await app.ready() }, age: async () => { later += 3600 * 1000 }, close: async () => { await app.close() }
    })
  }
}

export function fastifySession (store: string, options: object = {}): StartPeer {
  return async (endpoint, table) => {
    const app = Fastify()
    const client = new DynamoDBClient(clientConfig(endpoint))
    await app.register(cookie)
    const plugin = load('@fastify/session') as FastifyPluginCallback<Record<string, unknown>>
    await app.register(plugin, { secret: SECRET, cookie: { secure: false }, store: makeStore(client, table, store), ...options })
    addRoutes(app, request => request.session as unknown as FastifySession)
    return await listen(app.routing, {
      ready: async () => { await app.ready() }, age: async () => { await backdate(client, table) }, close: async () => { await app.close() }
    })
  }
}

/** A session of either plugin, as far as the routes use it. */
interface FastifySession {
  get (key: 'part0'): Part | undefined
  set (key: `part${number}`, value: Part): void
  regenerate (): Promise<void>
  destroy (): Promise<void>
}

function addRoutes (app: FastifyInstance, sessionOf: (request: FastifyRequest) => FastifySession, data: object = DATA): void {
  app.get('/read', async request => ({ part: sessionOf(request).get('part0') }))
  app.post('/change', async request => {
    sessionOf(request).set('part0', changed(sessionOf(request).get('part0')))
    return {}
  })
  app.post('/login', async request => {
    await sessionOf(request).regenerate()
    for (const [key, value] of Object.entries(data)) sessionOf(request).set(key as `part${number}`, value)
    return {}
  })
  app.post('/logout', async request => {
    await sessionOf(request).destroy()
    return {}
  })
}

/** Express and express-session as far as the routes use them. */
type Done = (error?: unknown) => void
interface ExpressSession { part0?: Part, regenerate (done: Done): void, destroy (done: Done): void }
interface ExpressResponse { json (body: object): void }
type Handler = (request: { session: ExpressSession }, response: ExpressResponse, next: Done) => void
interface Application {
  use (handler: Handler): void
  get (path: string, handler: Handler): void
  post (path: string, handler: Handler): void
}

export function expressSession (store: string, options: object = {}): StartPeer {
  return async (endpoint, table) => {
    const client = new DynamoDBClient(clientConfig(endpoint))
    const app = (load('express') as () => Application & RequestListener)()
    const session = load('express-session') as (options: object) => Handler
    app.use(session({ secret: SECRET, resave: true, saveUninitialized: true, store: makeStore(client, table, store), ...options }))
    app.get('/read', ({ session }, response) => { response.json({ part: session.part0 }) })
    app.post('/change', ({ session }, response) => {
      session.part0 = changed(session.part0)
      response.json({})
    })
    app.post('/login', (request, response, next) => {
      request.session.regenerate(error => {
        if (error != null) return next(error)
        Object.assign(request.session, DATA)
        response.json({})
      })
    })
    app.post('/logout', ({ session }, response, next) => { session.destroy(error => error == null ? response.json({}) : next(error)) })
    return await listen(app, { age: async () => { await backdate(client, table) } })
  }
}

interface Acts { readonly ready?: () => Promise<void>, readonly age: () => Promise<void>, readonly close?: () => Promise<void> }

async function listen (handle: RequestListener, { ready, age, close }: Acts): Promise<Peer> {
  await ready?.()
  let entered = 0
  const server: Server = createServer((request: IncomingMessage, response: ServerResponse) => {
    handle(request, response)
    entered += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    entered: () => entered,
    age,
    close: async () => {
      await closeServer(server)
      await close?.()
    }
  }
}

/** Takes back by two hours what dynamodb-session-store goes by when it leaves a touch out. */
async function backdate (client: DynamoDBClient, TableName: string): Promise<void> {
  const { Items = [] } = await client.send(new ScanCommand({ TableName }))
  for (const { id, sess } of Items) {
    const changedAt = sess?.M?.['lastModified']?.S
    if (id === undefined || changedAt === undefined) continue
    const earlier = new Date(Date.parse(changedAt) - 2 * 3600 * 1000).toISOString()
    await client.send(new UpdateItemCommand({
      TableName, Key: { id }, UpdateExpression: 'SET sess.lastModified = :e', ExpressionAttributeValues: { ':e': { S: earlier } }
    }))
  }
}
