// Stores in memory and applications of other session libraries, for what is said of them in docs/comparison.md.
import { callbackify } from 'node:util'
import secureSession from '@fastify/secure-session'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { load } from '../../bench/applications/stores.js'
import { ACTS, startHost, type Browser, type Host, type HostName } from './hosts.js'
import { Traffic } from './subjects.js'

type Callback = (error: Error | null) => void
type Options = Readonly<Record<string, unknown>>

/** A correct store: it keeps whole sessions, as they are at the call, under their ids. */
export class KeptStore {
  readonly traffic = new Traffic(() => new Error('The store is down.'))
  readonly records: Map<string, string>
  readonly #read = callbackify(async (id: string): Promise<unknown> =>
    await this.traffic.pass('read', () => JSON.parse(this.records.get(id) ?? 'null')))

  readonly #write = callbackify(async (id: string, text: string): Promise<void> =>
    await this.traffic.pass('write', () => { this.records.set(id, text) }))

  readonly #delete = callbackify(async (id: string): Promise<void> =>
    await this.traffic.pass('delete', () => { this.records.delete(id) }))

  constructor (records: Map<string, string>) {
    this.records = records
  }

  get (id: string, done: (error: Error | null, session: unknown) => void): void {
    this.#read(id, done)
  }

  set (id: string, session: object, done: Callback): void {
    this.#write(id, JSON.stringify(session), done)
  }

  destroy (id: string, done: Callback): void {
    this.#delete(id, done)
  }
}

/** What such a store has of express-session's own, which calls more than these three. */
export function asStore (store: KeptStore): object {
  const { Store } = load('express-session') as { Store: new () => object }
  const { traffic, records } = store
  const bound = { get: store.get.bind(store), set: store.set.bind(store), destroy: store.destroy.bind(store), traffic, records }
  return Object.assign(new Store(), bound)
}

export interface Kept {
  readonly host: Host
  readonly traffic: Traffic
  readonly records: Map<string, string>
}

/** An application of a host, with what both call sparing: nothing is stored of strangers, nor when nothing has changed. */
export async function keep (t: Test, name: HostName, session: Options = {}, records = new Map<string, string>()): Promise<Kept> {
  const store = new KeptStore(records)
  const acts = {
    ...ACTS,
    '/set-and-fail': (session: () => Record<string, unknown>) => {
      session()['a'] = 1
      throw new Error('broken')
    }
  }
  const host = await startHost(t, name, asStore(store) as never, { session, acts })
  t.teardown(() => { store.traffic.assertOver() })
  return { host, traffic: store.traffic, records: store.records }
}

/** An application of @fastify/secure-session, which has no store, with the same paths. */
export async function seal (t: Test): Promise<Host> {
  const app: FastifyInstance = Fastify({ forceCloseConnections: true })
  // With its types, request.session would be declared once more.
  await app.register(secureSession as never, { key: Buffer.alloc(32, 7) })
  const session = (request: unknown) => (request as { session: Sealed }).session
  app.all('/me', async request => session(request).data())
  app.all('/nothing', async () => ({}))
  app.all('/set', async request => {
    for (const [key, value] of Object.entries(request.body as object)) session(request).set(key, value)
    return {}
  })
  app.all('/push', async request => {
    (session(request).get('cart') as string[]).push('pear')
    return {}
  })
  app.all('/set-and-fail', async request => {
    session(request).set('a', 1)
    throw new Error('broken')
  })
  app.all('/logout', async request => {
    session(request).delete()
    return {}
  })
  t.teardown(async () => await app.close())
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: async () => {} }
}

interface Sealed { data (): object, get (key: string): unknown, set (key: string, value: unknown): void, delete (): void }

/** Logs in with data, and nothing is counted yet. */
export async function logIn ({ host, traffic }: Kept, browser: Browser, data: object = { userId: 'u-42' }): Promise<void> {
  await browser.post(host, '/login', data)
  traffic.take()
}
