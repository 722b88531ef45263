import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { DynamoDBClient, GetItemCommand, PutItemCommand, ScanCommand, type AttributeValue, type CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import type { Test } from 'tap'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import { clientConfig, createTable, type Engine } from './engines.js'
import { FaultProxy } from './proxy.js'
import { isSealed, lidOf, openInput, SEALING } from './sealing.js'
import { hearAnswers, hearChannels, ids, noteLog, notes } from './silence.js'
import { secretsInItems } from './silence-search.js'
import { Visitor } from './visitor.js'
import './session-data.js'

/** A clock that only the test moves. Milliseconds. */
export class Clock {
  ms = Date.UTC(2026, 0, 2, 3, 4, 5)
  readonly now = (): number => this.ms
  /** Epoch seconds. */
  get seconds (): number { return this.ms / 1000 }
  forward (seconds: number): void { this.ms += seconds * 1000 }
}

/** A log that keeps its lines. */
export class LogLines {
  readonly lines: Array<Record<string, any>> = []
  write (line: string): void {
    noteLog(line)
    this.lines.push(JSON.parse(line) as Record<string, any>)
  }

  /** The messages of warnings and errors. */
  warnings (): string[] { return this.lines.filter(line => line['level'] >= 40).map(line => String(line['msg'])) }
}

/** An application with the plugin on a table of its own, a recording proxy between them, and a clock in hand. */
export interface Stage {
  readonly app: FastifyInstance
  readonly proxy: FaultProxy
  readonly clock: Clock
  readonly table: string
  readonly log: LogLines
  visitor (): Visitor
  /** Every item of the table. */
  items (): Promise<Array<Record<string, AttributeValue>>>
  item (key: string): Promise<Record<string, AttributeValue> | undefined>
  /** Puts an item as it is, past the plugin. */
  put (item: Record<string, AttributeValue>): Promise<void>
}

export interface StageOptions {
  readonly session?: Partial<DynamoSessionOptions>
  readonly fastify?: FastifyServerOptions
  /** Other parts of the table, such as an index. */
  readonly table?: Partial<CreateTableCommandInput>
  /** Adds routes and other plugins. Called after the plugin, or before it with `before`. */
  readonly routes?: (app: FastifyInstance) => void | Promise<void>
  readonly before?: (app: FastifyInstance) => void | Promise<void>
}

export async function setStage (t: Test, engine: Engine, options: StageOptions = {}): Promise<Stage> {
  const table = await createTable(engine, options.table)
  const proxy = await FaultProxy.start(engine)
  const clock = new Clock()
  const log = new LogLines()
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  const app = Fastify({ logger: { level: 'debug', stream: log }, ...options.fastify })
  const scan = async (): Promise<Item[]> => (await direct.send(new ScanCommand({ TableName: table, ConsistentRead: true }))).Items ?? []
  const lid = lidOf(options.session)
  proxy.view = input => openInput(input, lid)
  const put = new Set<string>()
  hearChannels()
  hearAnswers(app, options.session?.header)
  t.teardown(async () => {
    await app.close()
    try {
      assertSilent(await scan().catch(unlessTakenAway), { ...SEALING, ...options.session }, put)
    } finally {
      direct.destroy()
      await proxy.close()
    }
  })
  await options.before?.(app)
  await app.register(dynamoSession, {
    table, client: clientConfig(proxy.endpoint), now: clock.now, verify: false, timeout: 30, ...SEALING, ...options.session
  })
  await (options.routes ?? addRoutes)(app)
  await app.ready()
  proxy.take()
  return {
    app,
    proxy,
    clock,
    table,
    log,
    visitor: () => new Visitor(app, clock.now),
    items: async () => (await scan()).map(lid.open),
    put: async item => {
      put.add(JSON.stringify(item['id']))
      await direct.send(new PutItemCommand({ TableName: table, Item: lid.seal(item) }))
    },
    item: async key => {
      const { Item } = await direct.send(new GetItemCommand({ TableName: table, Key: { id: { S: key } }, ConsistentRead: true }))
      return Item && lid.open(Item)
    }
  }
}

type Item = Record<string, AttributeValue>

/** What a stolen table would tell: no id, and no value where values are sealed. What a test has put there itself is its own. */
function assertSilent (items: Item[], { encryptionKeys, acceptPlainUntil }: Partial<DynamoSessionOptions>, put: ReadonlySet<string>): void {
  const own = items.filter(({ id }) => !put.has(JSON.stringify(id)))
  const found = secretsInItems(own, encryptionKeys === undefined ? ids : notes.secrets)
  if (found.length > 0) throw new Error(`The table holds ids, or values, as they are: ${found.join(', ')}`)
  if (encryptionKeys === undefined || acceptPlainUntil !== undefined) return
  const plain = own.flatMap(({ data }) => Object.entries(data?.M ?? {})).filter(([, value]) => !isSealed(value))
  if (plain.length > 0) throw new Error(`Values are not sealed: ${plain.map(([name]) => name).join(', ')}`)
}

/** A test may have deleted its table, or stopped its engine. */
function unlessTakenAway (error: Error & { code?: string }): Item[] {
  if (error.name === 'ResourceNotFoundException' || ['ECONNREFUSED', 'ECONNRESET'].includes(error.code ?? '')) return []
  throw error
}

/** The routes that most tests need. */
export function addRoutes (app: FastifyInstance): void {
  app.get('/nothing', async () => 'nothing')
  app.get('/me', async request => ({ data: request.session.data(), id: request.session.id, version: request.session.version }))
  app.post('/set', async request => {
    for (const [key, value] of Object.entries(request.body as object)) request.session.set(key as `any:${string}`, value)
    return { id: request.session.id }
  })
  app.post('/login', async request => {
    await request.session.regenerate()
    request.session.set('userId', 'u-42')
    return { id: request.session.id }
  })
  app.post('/push', async request => {
    request.session.get('cart')?.push('pear')
    return {}
  })
  app.post('/logout', async request => {
    await request.session.destroy()
    return {}
  })
  app.get('/off', { config: { session: false } }, async () => 'off')
}
