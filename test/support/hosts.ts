// Applications of the two hosts that take a store: Express with express-session, and Fastify with @fastify/session.
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import cookie from '@fastify/cookie'
import { DynamoDBClient, GetItemCommand, PutItemCommand, ScanCommand, type AttributeValue, type CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import Fastify, { type FastifyPluginCallback } from 'fastify'
import type { Test } from 'tap'
import { CookieJar } from 'tough-cookie'
import { load } from '../../bench/applications/stores.js'
import { DynamoStore, type DynamoStoreOptions } from '../../store/index.js'
import { clientConfig, createTable, type Engine } from './engines.js'
import { closeServer } from './listening.js'
import { FaultProxy } from './proxy.js'

export const SECRET = 'a secret of more than thirty-two characters, which both hosts share'

/** The cookie has this name with both, and the same signature, so that each understands the other's. */
export const COOKIE_NAME = 'connect.sid'

export type HostName = 'express-session' | '@fastify/session'
export const HOSTS: readonly HostName[] = ['express-session', '@fastify/session']

/** A session of either host, as far as the routes use it. */
export type HostSession = Record<string, unknown> & {
  cookie: { expires: Date | null, maxAge: number | null, originalMaxAge: number | null }
  regenerate (done: Done): void
  destroy (done?: Done): void
  reload (done: Done): void
  save (done: Done): void
  touch (): void
}
type Done = (error?: unknown) => void

export interface Host {
  readonly url: string
  close (): Promise<void>
}

/** Does something with the session of a request, and answers with what it resolves to. */
export type Act = (session: () => HostSession, body: Record<string, unknown>) => unknown

const data = (session: HostSession): object => Object.fromEntries(Object.entries(session).filter(([key]) => key !== 'cookie'))

const called = async (call: (done: Done) => void): Promise<void> => {
  await new Promise<void>((resolve, reject) => {
    call(error => {
      if (error instanceof Error) reject(error)
      else resolve()
    })
  })
}

/** The routes of every application: the path is the name. */
export const ACTS: Readonly<Record<string, Act>> = {
  '/me': session => data(session()),
  '/cookie': session => session().cookie,
  '/nothing': () => ({}),
  '/login': async (session, body) => {
    await called(done => { session().regenerate(done) })
    Object.assign(session(), body)
    return {}
  },
  '/set': (session, body) => {
    for (const [key, value] of Object.entries(body)) {
      if (value === null) delete session()[key]
      else session()[key] = value
    }
    return {}
  },
  '/push': session => {
    (session()['cart'] as string[]).push('pear')
    return {}
  },
  '/save-twice': async (session, body) => {
    Object.assign(session(), body)
    await called(done => { session().save(done) })
    session()['later'] = true
    return {}
  },
  '/reload': async session => {
    await called(done => { session().reload(done) })
    return data(session())
  },
  '/age': (session, body) => {
    // By its end, which express-session takes for an age of its own.
    session().cookie.maxAge = Number(body['ms'])
    return {}
  },
  '/logout': async session => {
    await called(done => { session().destroy(done) })
    return {}
  }
}

export interface HostOptions {
  readonly session?: Record<string, unknown>
  readonly acts?: Readonly<Record<string, Act>>
}

export async function startHost (t: Test, name: HostName, store: DynamoStore, options: HostOptions = {}): Promise<Host> {
  const host = await (name === 'express-session' ? startExpress : startFastify)(store, options)
  t.teardown(async () => { await host.close() })
  return host
}

interface ExpressRequest { session: HostSession, body?: Record<string, unknown> }
interface ExpressResponse { headersSent: boolean, status (status: number): ExpressResponse, json (body: unknown): void }
type Handler = (request: ExpressRequest, response: ExpressResponse, next: Done) => void
interface Application {
  use (handler: Handler | ((error: Error, ...rest: Parameters<Handler>) => void)): void
  all (path: string, handler: Handler): void
  listen (port: number, host: string): Server
}

async function startExpress (store: DynamoStore, { session = {}, acts = ACTS }: HostOptions): Promise<Host> {
  const express = load('express') as (() => Application) & { json (): Handler }
  const app = express()
  const middleware = load('express-session') as (options: object) => Handler
  app.use(express.json())
  app.use(middleware({ secret: SECRET, name: COOKIE_NAME, resave: false, saveUninitialized: false, store, ...session }))
  for (const [path, act] of Object.entries(acts)) {
    app.all(path, (request, response, next) => {
      Promise.resolve().then(() => act(() => request.session, request.body ?? {})).then(body => { response.json(body) }, next)
    })
  }
  app.use((error: Error, _request: ExpressRequest, response: ExpressResponse, next: Done) => {
    if (response.headersSent) return next(error)
    const { code, statusCode = 500 } = error as Error & { code?: string, statusCode?: number }
    response.status(statusCode).json({ code, message: error.message })
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => { await closeServer(server) }
  }
}

async function startFastify (store: DynamoStore, { session = {}, acts = ACTS }: HostOptions): Promise<Host> {
  const app = Fastify({ forceCloseConnections: true })
  await app.register(cookie)
  const plugin = load('@fastify/session') as FastifyPluginCallback<Record<string, unknown>>
  await app.register(plugin, {
    secret: SECRET, cookieName: COOKIE_NAME, cookiePrefix: 's:', saveUninitialized: false, rolling: false, cookie: { secure: false }, store, ...session
  })
  for (const [path, act] of Object.entries(acts)) {
    app.all(path, async request => {
      return await act(() => request.session as unknown as HostSession, (request.body ?? {}) as Record<string, unknown>)
    })
  }
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: async () => { await app.close() } }
}

export interface Reply { readonly status: number, readonly body: any, readonly setCookies: readonly string[] }

/** A browser. It goes to every host of this machine with the same cookies. */
export class Browser {
  readonly #jar = new CookieJar()

  async get (host: Host, path: string): Promise<Reply> {
    return await this.#send(host, path, { method: 'GET' })
  }

  async post (host: Host, path: string, body: object = {}): Promise<Reply> {
    return await this.#send(host, path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
  }

  /** The id in the cookie, without its signature. */
  sid (): string | undefined {
    const value = this.#jar.getCookiesSync(ORIGIN).find(({ key }) => key === COOKIE_NAME)?.value
    return value === undefined ? undefined : /^s:(.*)\.[^.]*$/.exec(decodeURIComponent(value))?.[1]
  }

  cookieHeader (): string {
    return this.#jar.getCookieStringSync(ORIGIN)
  }

  /** What another browser has, so that both go on from there. */
  takeCookies (other: Browser): void {
    for (const cookie of other.#jar.getCookiesSync(ORIGIN)) this.#jar.setCookieSync(cookie, ORIGIN)
  }

  plant (value: string): void {
    this.#jar.setCookieSync(`${COOKIE_NAME}=${encodeURIComponent(value)}; Path=/`, ORIGIN)
  }

  async #send ({ url }: Host, path: string, { headers, ...init }: { method: string, body?: string, headers?: Record<string, string> }): Promise<Reply> {
    const cookie = this.#jar.getCookieStringSync(ORIGIN)
    const response = await fetch(url + path, { ...init, headers: { ...headers, ...cookie !== '' && { cookie } } })
    const setCookies = response.headers.getSetCookie()
    for (const text of setCookies) this.#jar.setCookieSync(text, ORIGIN, { ignoreError: true })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) as unknown, setCookies }
  }
}

const ORIGIN = 'http://127.0.0.1'

interface Holding { readonly reached: Promise<unknown>, release (): void }

/** Begins a request, acts while a gate holds what it sends, and lets it go on to its answer. */
export async function meanwhile (gate: Holding, begin: () => Promise<Reply>, act: () => Promise<unknown>): Promise<Reply> {
  const slow = begin()
  await gate.reached
  await act()
  gate.release()
  return await slow
}

/** A table with a proxy before it, and a clock that starts now, because hosts go by the machine's own. */
export interface StoreStage {
  readonly table: string
  readonly proxy: FaultProxy
  readonly clock: { forward (seconds: number): void, seconds (): number }
  store (options?: Partial<DynamoStoreOptions>): DynamoStore
  items (): Promise<Array<Record<string, AttributeValue>>>
  item (key: string): Promise<Record<string, AttributeValue> | undefined>
  put (item: Record<string, AttributeValue>): Promise<void>
  /** A client past the proxy. */
  readonly direct: DynamoDBClient
}

export async function setStore (t: Test, engine: Engine, parts: Partial<CreateTableCommandInput> = {}): Promise<StoreStage> {
  const table = await createTable(engine, parts)
  const proxy = await FaultProxy.start(engine)
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  let ahead = 0
  const now = (): number => Date.now() + ahead
  t.teardown(async () => {
    direct.destroy()
    await proxy.close()
  })
  return {
    table,
    proxy,
    direct,
    clock: { forward: seconds => { ahead += seconds * 1000 }, seconds: () => Math.floor(now() / 1000) },
    store: options => {
      const store = new DynamoStore({ table, client: clientConfig(proxy.endpoint), now, timeout: 30, ...options })
      t.teardown(async () => { await store.close() })
      return store
    },
    items: async () => (await direct.send(new ScanCommand({ TableName: table, ConsistentRead: true }))).Items ?? [],
    item: async key => (await direct.send(new GetItemCommand({ TableName: table, Key: { id: { S: key } }, ConsistentRead: true }))).Item,
    put: async Item => { await direct.send(new PutItemCommand({ TableName: table, Item })) }
  }
}
