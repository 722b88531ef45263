import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import formbody from '@fastify/formbody'
import Fastify, { type FastifyInstance } from 'fastify'
import dynamoSession, { type DynamoSessionOptions } from '../index.js'
import { addAccount } from './account.js'
import { addSwitch, type DatabaseSwitch } from './database.js'
import { addEvents } from './live.js'
import { Pages } from './pages.js'
import { addPayment, slowBank } from './payment.js'
import { addProblems } from './problems.js'
import { refuseForeignForms, refuseForeignHosts } from './security.js'
import { addShop } from './shop.js'
import { Watch } from './watch.js'

export interface DemoOptions {
  /** Where DynamoDB is. */
  readonly client: NonNullable<DynamoSessionOptions['client']>
  /** Created where it is missing. */
  readonly table: string
  readonly logger: boolean | { readonly level: string }
  /** Served over TLS with these, both PEM: the cookie is then Secure and has the prefix `__Host-`. */
  readonly https?: { readonly key: string, readonly cert: string } | undefined
  /** Seconds without activity after which a session is dead. Default 900. */
  readonly idleTimeout?: number | undefined
  /** The clock in epoch milliseconds. */
  readonly now?: (() => number) | undefined
  /** For how long a payment takes: until this resolves. Default some seconds. */
  readonly bank?: (() => Promise<void>) | undefined
  /** What the button that stops the database works on; without, there is none. */
  readonly database?: DatabaseSwitch | undefined
}

const IDLE_TIMEOUT = 900

/** The demonstration, ready to listen. */
export async function buildDemo (options: DemoOptions): Promise<FastifyInstance> {
  const { client, table, logger, https, idleTimeout = IDLE_TIMEOUT, now = Date.now, database } = options
  // Open connections, of browsers ahead of need and of event streams, do not keep it from closing.
  const app: FastifyInstance = Fastify({ logger, forceCloseConnections: true, https: https ?? null }) as FastifyInstance
  const cookieName = https === undefined ? 'id' : '__Host-id'
  // What is refused is no visit, and counts nowhere.
  refuseForeignHosts(app)
  refuseForeignForms(app)
  // Before the session, so that it sees what that does before and after the handlers.
  const watch = new Watch(app, cookieName)
  await app.register(formbody)
  await app.register(dynamoSession, {
    table,
    client,
    createTable: true,
    userIndex: true,
    idleTimeout,
    now,
    // Plain http is for this machine; behind https, the defaults are right.
    ...https === undefined && { cookie: { secure: 'auto' } },
    secrets: randomBytes(32).toString('base64url')
  })
  const pages = await Pages.start(app, watch, database, now)
  await app.register(addAssets)
  addProblems(app, pages, watch)
  addShop(app, pages)
  addAccount(app, pages)
  addPayment(app, pages, options.bank ?? slowBank(app))
  addEvents(app, pages, watch)
  if (database !== undefined) addSwitch(app, database)
  for (const view of ['costs', 'try']) {
    app.get(`/${view}`, { config: { session: false } }, async (_request, reply) => await pages.sendPlain(reply, view))
  }
  return app
}

/** Style, script and icon: no session is read for them. */
async function addAssets (app: FastifyInstance): Promise<void> {
  app.addHook('onRoute', route => { route.config = { ...route.config, session: false } })
  await app.register(fastifyStatic, { root: fileURLToPath(new URL('assets', import.meta.url)), prefix: '/assets/', cacheControl: false })
  app.addHook('onSend', async (_request, reply) => { reply.headers({ 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' }) })
}
