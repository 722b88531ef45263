import type { FastifyInstance } from 'fastify'
import type { DynamoSessionOptions } from '../types/options.js'
import { COMPANION_SUFFIX } from './cookie.js'
import { Deadline } from './deadline.js'
import { errors } from './errors.js'
import { Keeper } from './keeper.js'
import { addLifecycle } from './lifecycle.js'
import { SessionManager } from './manager.js'
import { resolveOptions, type Settings } from './options.js'
import { noteRegistration } from './registrations.js'

/** Fastify's own options of a registration, which stand among the plugin's. */
const REGISTER_OPTIONS = new Set(['prefix', 'logLevel', 'logSerializers'])

/** What the registrations of one server have taken, so that two do not share records or cookies without knowing. */
const taken = new WeakMap<object, Set<string>>()

/** Registers the plugin on an application. */
export async function start (app: FastifyInstance, options: DynamoSessionOptions | string): Promise<void> {
  const settings = resolveOptions(withoutRegisterOptions(options))
  const { sessionName } = settings
  if (app.hasRequestDecorator(sessionName)) throw new errors.BadOption('sessionName', `is taken: request.${sessionName} exists already`)
  if (app.hasDecorator(`${sessionName}s`)) throw new errors.BadOption('sessionName', `is taken: the application has a decorator "${sessionName}s"`)
  claim(app.server, settings)
  const keeper = new Keeper(settings, app.log)
  const manager = new SessionManager(keeper, app.log)
  app.decorate(`${sessionName}s`, manager)
  noteRegistration(app.server, { settings, manager })
  addLifecycle(app, keeper)
  app.addHook('onReady', async () => await prepareTable(manager, settings, app))
  app.addHook('onClose', async () => { await manager.close() })
}

function withoutRegisterOptions (options: DynamoSessionOptions | string): unknown {
  if (typeof options !== 'object') return options
  return Object.fromEntries(Object.entries(options).filter(([name]) => !REGISTER_OPTIONS.has(name)))
}

function claim (server: object, { layout, cookie, usesCookie, header }: Settings): void {
  const claims = taken.get(server) ?? new Set()
  taken.set(server, claims)
  // A table's name and its ARN are one table.
  const records = `records ${layout.table.slice(layout.table.lastIndexOf('/') + 1)} ${layout.keyPrefix}`
  if (claims.has(records)) throw new errors.BadOption('keyPrefix', 'must differ between two registrations on one table')
  const cookies = usesCookie ? [`cookie ${cookie.name}`, `cookie ${cookie.name}${COMPANION_SUFFIX}`] : []
  if (cookies.some(name => claims.has(name))) throw new errors.BadOption('cookie.name', 'is taken by another registration')
  const headers = header === undefined ? [] : [`header ${header}`, `header ${header}${COMPANION_SUFFIX}`]
  if (headers.some(name => claims.has(name))) throw new errors.BadOption('header', 'is taken by another registration')
  for (const claimed of [records, ...cookies, ...headers]) claims.add(claimed)
}

/** What looking at the table may take of the time that Fastify gives a plugin to start. */
const START_SHARE = 0.8

const NOT_REACHED = 'DynamoDB cannot be reached yet: requests with a session answer 503 until it can'
const NO_CREDENTIALS = 'There are no AWS credentials yet: requests with a session answer 503 until there are. Set them in the environment, or give client: { credentials }'

/** Credentials may come late, from a service on the host, so their absence does not stop the start. */
function isCredentials (cause: unknown): boolean {
  return cause instanceof Error && cause.name === 'CredentialsProviderError'
}

/** A definite fault stops the start; a service that cannot be reached may be back before the first visitor is. */
async function prepareTable (manager: SessionManager, { createTable, verify }: Settings, app: FastifyInstance): Promise<void> {
  try {
    if (createTable !== false) await manager.createTable()
    if (verify) await withinStart(app, async () => { await manager.verifyTable() })
  } catch (error) {
    if (!(error instanceof errors.Unavailable)) throw error
    app.log.warn({ err: error }, isCredentials(error.cause) ? NO_CREDENTIALS : NOT_REACHED)
  }
}

/** Fastify stops a start that takes longer than its `pluginTimeout`, which a service out of reach must not bring about. */
async function withinStart (app: FastifyInstance, act: () => Promise<void>): Promise<void> {
  const { pluginTimeout } = app.initialConfig
  if (pluginTimeout === undefined || pluginTimeout === 0) return await act()
  await new Deadline(pluginTimeout * START_SHARE / 1000).run(act).catch((cause: unknown) => {
    throw cause instanceof Error && cause.name === 'TimeoutError' ? new errors.Unavailable({ cause }) : cause
  })
}
