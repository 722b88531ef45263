import t, { type Test } from 'tap'
import {
  DescribeTableCommand, DescribeTimeToLiveCommand, DynamoDBClient, UpdateTimeToLiveCommand, type CreateTableCommandInput
} from '@aws-sdk/client-dynamodb'
import { SessionManager } from '../../index.js'
import { resolveOptions } from '../../lib/options.js'
import { DynamoRepository } from '../../lib/repository.js'
import { Table } from '../../lib/table.js'
import type { DynamoSessionOptions } from '../../types/options.js'
import { Clock, LogLines } from '../support/app.js'
import { clientConfig, createTable, onEachEngine, startDynalite, type Engine } from '../support/engines.js'
import { FaultProxy } from '../support/proxy.js'

const ACCOUNT = '123456789012'
const ARN = `arn:aws:iam::${ACCOUNT}:role/x`
const SECRETIVE = new RegExp(`arn:(?!\\[redacted\\])|${ACCOUNT}`)

/** What AWS answers where the credentials may not do something. */
const refused = (name = 'AccessDeniedException') =>
  ({ status: 400, body: { __type: `com.amazon.coral.service#${name}`, message: `User: ${ARN} is not authorized on resource arn:aws:dynamodb:eu-central-1:${ACCOUNT}:table/sessions` } })

let names = 0
const newName = (): string => `new-${process.pid}-${++names}`

async function setUp (t: Test, engine: Engine, options: Partial<DynamoSessionOptions> = {}) {
  const proxy = await FaultProxy.start(engine)
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  const client = new DynamoDBClient({ ...clientConfig(proxy.endpoint), maxAttempts: 1 })
  t.teardown(async () => {
    direct.destroy()
    client.destroy()
    await proxy.close()
  })
  const clock = new Clock()
  const settings = resolveOptions({ table: newName(), now: clock.now, ...options })
  const log = { lines: [] as Array<[Record<string, unknown>, string]>, warn (details: Record<string, unknown>, message: string) { this.lines.push([details, message]) } }
  const { layout, timeout, maxSize } = settings
  const repository = new DynamoRepository(client, { layout, timeout, maxSize, onGhost: () => {} })
  const table = new Table(client, settings, repository, log)
  const described = async () => (await direct.send(new DescribeTableCommand({ TableName: layout.table }))).Table
  const ttl = async () => (await direct.send(new DescribeTimeToLiveCommand({ TableName: layout.table }))).TimeToLiveDescription
  return { table, repository, proxy, direct, clock, log, name: layout.table, described, ttl, warnings: () => log.lines.map(([, message]) => message) }
}

type Rejection = Error & { code?: string, statusCode?: number, cause?: Error }

/** The error that a promise rejects with; a promise that resolves is a failure. */
async function rejection (t: Test, promise: Promise<unknown>): Promise<Rejection> {
  try {
    await promise
  } catch (error) {
    return error as Rejection
  }
  t.fail('expected a rejection')
  return new Error('nothing') as Rejection
}

onEachEngine(t, async (t, engine) => {
  const hasTtl = engine.name === 'DynamoDB Local'
  const noTtl = hasTtl ? [] : ['This DynamoDB engine has no TTL, so expired sessions stay in the table']

  await t.test('a table is created on demand with its key, and TTL on the right attribute; an engine without TTL is warned of', async t => {
    for (const [partitionKey, ttlAttribute] of [['id', 'expires'], [{ name: 'pk', type: 'B' }, 'ttl']] as const) {
      const { table, described, ttl, warnings, proxy } = await setUp(t, engine, { partitionKey, ttlAttribute })
      await table.create()
      const { name, type } = typeof partitionKey === 'string' ? { name: partitionKey, type: 'S' } : partitionKey
      t.match(await described(), {
        TableStatus: 'ACTIVE',
        BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
        KeySchema: [{ AttributeName: name, KeyType: 'HASH' }],
        AttributeDefinitions: [{ AttributeName: name, AttributeType: type }]
      })
      if (hasTtl) t.strictSame(await ttl(), { TimeToLiveStatus: 'ENABLED', AttributeName: ttlAttribute })
      t.same(warnings(), noTtl)
      t.same(proxy.take(), ['CreateTable', 'DescribeTable', 'DescribeTimeToLive', 'UpdateTimeToLive'])
      await table.verify()
    }
  })

  await t.test('a table that is there already is left as it is', async t => {
    const { table, described, warnings } = await setUp(t, engine, { createTable: { ProvisionedThroughput: { ReadCapacityUnits: 2, WriteCapacityUnits: 3 } } })
    await table.create()
    const before = await described()
    await table.create()
    t.same(await described(), before)
    t.same(warnings(), [...noTtl, ...noTtl])
  })

  await t.test('parts of the definition are taken over, but not the name and the key', async t => {
    for (const given of [{ TableName: 'other' }, { KeySchema: [{ AttributeName: 'other', KeyType: 'HASH' as const }] }]) {
      t.throws(() => resolveOptions({ table: 'sessions', createTable: given }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
    }
    const parts: Partial<CreateTableCommandInput> = {
      ProvisionedThroughput: { ReadCapacityUnits: 2, WriteCapacityUnits: 3 },
      AttributeDefinitions: [{ AttributeName: 'user', AttributeType: 'S' }],
      GlobalSecondaryIndexes: [{
        IndexName: 'by-user',
        KeySchema: [{ AttributeName: 'user', KeyType: 'HASH' }],
        Projection: { ProjectionType: 'KEYS_ONLY' },
        ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 }
      }]
    }
    const { table, described, name } = await setUp(t, engine, { createTable: parts })
    await table.create()
    t.match(await described(), {
      TableName: name,
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      ProvisionedThroughput: { ReadCapacityUnits: 2, WriteCapacityUnits: 3 },
      GlobalSecondaryIndexes: [{ IndexName: 'by-user' }]
    })
    await table.verify()
  })

  await t.test('parts that DynamoDB refuses are told as what they are', async t => {
    const { table } = await setUp(t, engine, { createTable: { ProvisionedThroughput: { ReadCapacityUnits: 0, WriteCapacityUnits: 1 } } })
    const error = await rejection(t, table.create())
    t.match(error, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: /^Option "createTable" is refused by DynamoDB: .*least|greater/ })
    t.equal(error.cause?.name, 'ValidationException')
  })

  await t.test('many processes may create one table at the same time', async t => {
    const name = newName()
    const all = await Promise.all(Array.from({ length: 8 }, async () => await setUp(t, engine, { table: name })))
    await Promise.all(all.map(async ({ table }) => await table.create()))
    for (const { table, warnings } of all) {
      await table.verify()
      t.same(warnings(), noTtl)
    }
    if (hasTtl) t.strictSame(await all[0]?.ttl(), { TimeToLiveStatus: 'ENABLED', AttributeName: 'expires' })
  })

  await t.test('a table that is not there stops the start, with what to do', async t => {
    const { table, name, proxy } = await setUp(t, engine)
    const error = await rejection(t, table.verify())
    t.match(error, {
      code: 'FST_DYNAMODB_SESSION_TABLE_MISSING',
      message: `There is no table "${name}" in this region. Create it as the README shows, or set "createTable" for a trial.`
    })
    t.equal(error.cause?.name, 'ResourceNotFoundException')
    t.same(proxy.take(), ['GetItem'])
  })

  await t.test('a table with another key stops the start, with the key that is needed', async t => {
    const keyed = (AttributeName: string, AttributeType: 'S' | 'N' | 'B', sortKey?: string): Partial<CreateTableCommandInput> => ({
      KeySchema: [{ AttributeName, KeyType: 'HASH' }, ...sortKey === undefined ? [] : [{ AttributeName: sortKey, KeyType: 'RANGE' as const }]],
      AttributeDefinitions: [{ AttributeName, AttributeType }, ...sortKey === undefined ? [] : [{ AttributeName: sortKey, AttributeType: 'S' as const }]]
    })
    const wrong = { 'a sort key': keyed('id', 'S', 'sort'), 'another name': keyed('sid', 'S'), 'a number': keyed('id', 'N'), 'bytes for text': keyed('id', 'B') }
    for (const [kind, parts] of Object.entries(wrong)) {
      const { table, name } = await setUp(t, engine, { table: await createTable(engine, parts) })
      const error = await rejection(t, table.verify())
      t.match(error, {
        code: 'FST_DYNAMODB_SESSION_TABLE_MISMATCH',
        message: `Table "${name}" must have the partition key "id" of type S and no sort key. Name the right table, or its key with "partitionKey".`
      }, kind)
      t.equal(error.cause?.name, 'ValidationException', kind)
    }
    const { table } = await setUp(t, engine, { table: await createTable(engine), partitionKey: { name: 'id', type: 'B' } })
    t.match(await rejection(t, table.verify()), { code: 'FST_DYNAMODB_SESSION_TABLE_MISMATCH', message: '"id" of type B' }, 'text for bytes')
  })

  await t.test('the right table costs one eventually consistent read of a key that nobody has', async t => {
    const { table, proxy, repository } = await setUp(t, engine, { table: await createTable(engine), keyPrefix: 'shop#' })
    await table.verify()
    await table.verify()
    const [first, second, ...others] = proxy.takeCalls()
    t.same([first?.action, first?.input['ConsistentRead'], first?.capacity, others.length], ['GetItem', false, 0.5, 0])
    t.match(first?.input['Key'].id.S, /^shop#[\w-]{43}$/)
    t.not(first?.input['Key'].id.S, second?.input['Key'].id.S)
    t.equal(repository.expectsCapacity, true)
  })

  if (!hasTtl) return
  await t.test('TTL that is enabled already is left, and warned of on another attribute', async t => {
    for (const [AttributeName, warned] of [['expires', []], ['other', ['TTL is enabled on another attribute than "ttlAttribute", so expired sessions stay in the table']]] as const) {
      const { table, direct, proxy, warnings, name, ttl } = await setUp(t, engine, { table: await createTable(engine) })
      await direct.send(new UpdateTimeToLiveCommand({ TableName: name, TimeToLiveSpecification: { Enabled: true, AttributeName } }))
      await table.create()
      t.same(proxy.take(), ['CreateTable', 'DescribeTable', 'DescribeTimeToLive'])
      t.match(await ttl(), { AttributeName })
      t.same(warnings(), warned)
    }
  })
})

t.test('what an engine or AWS may answer', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())

  await t.test('a refused permission is named, without the account and the role that AWS tells', async t => {
    const steps = { CreateTable: 'create', DescribeTable: 'create', DescribeTimeToLive: 'create', UpdateTimeToLive: 'create', GetItem: 'verify' } as const
    for (const [action, method] of Object.entries(steps)) {
      const { table, proxy, log } = await setUp(t, engine, { table: await createTable(engine) })
      proxy.intercept = called => called === action ? refused() : undefined
      const error = await rejection(t, table[method]())
      t.match(error, {
        code: 'FST_DYNAMODB_SESSION_PERMISSION_MISSING',
        message: `The credentials do not permit dynamodb:${action}. Grant what the README's IAM policy names.`
      })
      t.match(error.cause, { name: 'AccessDeniedException', message: /is not authorized/, $metadata: { httpStatusCode: 400 } })
      t.notMatch(`${error.stack} ${error.cause?.stack} ${error.cause?.message} ${JSON.stringify(error.cause)} ${JSON.stringify(log.lines)}`, SECRETIVE)
      t.equal(proxy.take().filter(called => called === action).length, 1, 'asked once')
    }
  })

  await t.test('credentials that are not valid are a refused permission too', async t => {
    for (const name of ['UnrecognizedClientException', 'InvalidSignatureException', 'MissingAuthenticationTokenException', 'IncompleteSignatureException', 'InvalidClientTokenId']) {
      const { table, proxy } = await setUp(t, engine)
      proxy.intercept = () => refused(name)
      t.match(await rejection(t, table.verify()), { code: 'FST_DYNAMODB_SESSION_PERMISSION_MISSING', cause: { name } })
    }
  })

  await t.test('a table named by its ARN is told by its name only', async t => {
    const { table, proxy } = await setUp(t, engine, { table: `arn:aws:dynamodb:eu-central-1:${ACCOUNT}:table/sessions` })
    for (const [name, code] of [['ResourceNotFoundException', 'TABLE_MISSING'], ['ValidationException', 'TABLE_MISMATCH']] as const) {
      proxy.intercept = () => refused(name)
      const error = await rejection(t, table.verify())
      t.match(error, { code: `FST_DYNAMODB_SESSION_${code}`, message: '"sessions"' })
      t.notMatch(`${error.stack} ${error.cause?.stack}`, SECRETIVE)
    }
  })

  await t.test('a service out of reach is unavailable, and no fault of the table', async t => {
    for (const answer of [{ status: 500, body: {} }, { status: 503, body: '<html>' }, { status: 400, body: { __type: 'com.amazon.coral.service#ThrottlingException' } }]) {
      const { table, proxy } = await setUp(t, engine)
      proxy.intercept = () => answer
      t.match(await rejection(t, table.verify()), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503 })
      t.match(await rejection(t, table.create()), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503 })
    }
    const { table, proxy } = await setUp(t, engine, { timeout: 0.2 })
    proxy.intercept = async () => await new Promise(() => {})
    const error = await rejection(t, table.verify())
    t.match(error, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', cause: { name: 'TimeoutError' } })
  })

  await t.test('an engine that tells no consumed capacity turns the check off, with one warning', async t => {
    const { table, proxy, repository, warnings } = await setUp(t, engine, { table: await createTable(engine) })
    proxy.intercept = () => ({ status: 200, body: {} })
    t.match(await rejection(t, repository.load('x'.repeat(43), false)), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    await table.verify()
    t.equal(repository.expectsCapacity, false)
    t.same(warnings(), ['This DynamoDB engine tells no consumed capacity, so an empty answer cannot be told from a missing session'])
    t.equal(await repository.load('x'.repeat(43), false), null)
    t.equal(warnings().length, 1)
    proxy.intercept = () => undefined
    await table.verify()
    t.equal(repository.expectsCapacity, true, 'an engine that tells it again is held to it')
  })

  await t.test('an engine that has once told consumed capacity is held to it, whatever a later look finds', async t => {
    const { table, proxy, repository, warnings } = await setUp(t, engine, { table: await createTable(engine) })
    await table.verify()
    proxy.intercept = () => ({ status: 200, body: {} })
    for (let look = 0; look < 2; look++) {
      t.match(await rejection(t, table.verify()), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', cause: { message: 'An answer without consumed capacity.' } })
    }
    t.equal(repository.expectsCapacity, true)
    t.match(await rejection(t, repository.load('x'.repeat(43), false)), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }, 'and no absent session')
    t.same(warnings(), [])
    proxy.intercept = () => undefined
    await table.verify()
    t.equal(await repository.load('x'.repeat(43), false), null)
  })

  await t.test('a table in the making is waited for', async t => {
    const { table, proxy } = await setUp(t, engine)
    const answers = [{ status: 400, body: { __type: 'com.amazonaws.dynamodb.v20120810#ResourceNotFoundException' } }, { status: 200, body: { Table: { TableStatus: 'CREATING' } } }]
    proxy.intercept = action => action === 'DescribeTable' ? answers.shift() : undefined
    await table.create()
    t.equal(proxy.take().filter(action => action === 'DescribeTable').length, 3)
  })

  await t.test('a table that does not become active in a minute is given up', async t => {
    const { table, proxy, clock } = await setUp(t, engine)
    proxy.intercept = action => {
      if (action !== 'DescribeTable') return undefined
      clock.forward(31)
      return { status: 200, body: {} }
    }
    const error = await rejection(t, table.create())
    t.match(error, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', cause: { message: 'The table is not active after 60 s.' } })
    t.same(proxy.take(), ['CreateTable', 'DescribeTable', 'DescribeTable'])
  })

  await t.test('TTL that another process enables at the same moment is enabled', async t => {
    const { table, proxy, warnings } = await setUp(t, engine)
    let looks = 0
    proxy.intercept = action => {
      if (action === 'UpdateTimeToLive') return { status: 400, body: { __type: 'com.amazon.coral.validate#ValidationException', message: 'TimeToLive is already enabled' } }
      if (action !== 'DescribeTimeToLive' || ++looks === 1) return undefined
      return { status: 200, body: { TimeToLiveDescription: { TimeToLiveStatus: 'ENABLING', AttributeName: 'expires' } } }
    }
    await table.create()
    t.same(warnings(), [])
  })

  await t.test('TTL that cannot be enabled is warned of, with the reason and without an account', async t => {
    const { table, proxy, log } = await setUp(t, engine)
    proxy.intercept = action => action === 'UpdateTimeToLive' ? refused('ValidationException') : undefined
    await table.create()
    const [[details, message] = [], ...others] = log.lines
    t.equal(message, 'TTL cannot be enabled at the moment, so expired sessions stay in the table')
    t.match(details, { err: { name: 'ValidationException' } })
    t.notMatch(`${(details?.['err'] as Error).stack} ${(details?.['err'] as Error).message}`, SECRETIVE)
    t.equal(others.length, 0)
  })

  await t.test('an engine that does not know of TTL at all is warned of', async t => {
    const { table, proxy, warnings } = await setUp(t, engine)
    proxy.intercept = action => /TimeToLive/.test(action) ? { status: 400, body: { __type: 'com.amazon.coral.service#UnknownOperationException' } } : undefined
    await table.create()
    t.same(warnings(), ['This DynamoDB engine has no TTL, so expired sessions stay in the table'])
  })

  await t.test('nothing of an account stands in the log of an application whose start is refused', async t => {
    const { default: Fastify } = await import('fastify')
    const { default: dynamoSession } = await import('../../index.js')
    const proxy = await FaultProxy.start(engine)
    const log = new LogLines()
    const app = Fastify({ logger: { level: 'trace', stream: log } })
    t.teardown(async () => {
      await app.close()
      await proxy.close()
    })
    proxy.intercept = () => refused()
    await app.register(dynamoSession, { table: 'sessions', client: clientConfig(proxy.endpoint) })
    const error = await rejection(t, app.ready() as unknown as Promise<unknown>)
    t.match(error, { code: 'FST_DYNAMODB_SESSION_PERMISSION_MISSING', cause: { name: 'AccessDeniedException' } })
    app.log.error({ err: error }, 'The start failed')
    t.ok(log.lines.length > 0)
    t.notMatch(JSON.stringify(log.lines), SECRETIVE)
  })
})

t.test('a client without a region stops the start with the remedy, because it would never reach anything', async t => {
  const { AWS_REGION, AWS_DEFAULT_REGION, AWS_PROFILE } = process.env
  for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_PROFILE']) delete process.env[name]
  t.teardown(() => { for (const [name, value] of Object.entries({ AWS_REGION, AWS_DEFAULT_REGION, AWS_PROFILE })) if (value !== undefined) process.env[name] = value })
  const { region: _region, ...config } = clientConfig('http://127.0.0.1:9')
  const manager = new SessionManager({ table: 'sessions', client: { ...config, profile: 'no-such-profile' } })
  t.teardown(() => { manager.close() })
  for (const act of [manager.verifyTable(), manager.createTable()]) {
    const error = await rejection(t, act)
    t.match(error, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: 'Option "client" has no region: set AWS_REGION, or give { region }.' })
    t.ok(error.cause)
  }
})

t.test('a client handed in that answers with nothing is a failure, at start and later, never an absent session', async t => {
  const silent = { send: async () => undefined } as unknown as DynamoDBClient
  const manager = new SessionManager({ table: 'sessions', client: silent })
  await manager.verifyTable()
  await t.rejects(manager.load(Buffer.alloc(32, 1).toString('base64url')), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
})
