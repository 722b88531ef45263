import { DescribeTableCommand, DescribeTimeToLiveCommand, DynamoDBClient, type CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import t from 'tap'
import { reasonOf } from '../../cli/reason.js'
import { errors } from '../../lib/errors.js'
import { at, command, engineOf, proxied } from '../support/cli.js'
import { clientConfig, createTable, onOneEngine, startDynalite, type Engine } from '../support/engines.js'

const ACCOUNT = '123456789012'
const ARN = `arn:aws:iam::${ACCOUNT}:role/x`

let names = 0
const newName = (): string => `made-${process.pid}-${++names}`

async function described (engine: Engine, TableName: string) {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  const { Table } = await client.send(new DescribeTableCommand({ TableName }))
  const { TimeToLiveDescription } = await client.send(new DescribeTimeToLiveCommand({ TableName }))
  client.destroy()
  return { Table, ttl: TimeToLiveDescription }
}

onOneEngine(t, async (t, engine) => {
  const hasTtl = engine.name === 'DynamoDB Local'

  await t.test('create-table makes the table that the plugin wants', async t => {
    const table = newName()
    const { code, out, err } = await command(['create-table', ...at(engine, table)])
    t.same([code, out], [0, `The table "${table}" is created and active.\n`])
    t.equal(err, hasTtl ? '' : 'warning: This DynamoDB engine has no TTL, so expired sessions stay in the table\n')
    const { Table, ttl } = await described(engine, table)
    t.same(Table?.KeySchema, [{ AttributeName: 'id', KeyType: 'HASH' }])
    t.equal(Table?.BillingModeSummary?.BillingMode, 'PAY_PER_REQUEST')
    if (hasTtl) t.same(ttl, { TimeToLiveStatus: 'ENABLED', AttributeName: 'expires' })
    const { json } = await command(['create-table', ...at(engine, table), '--json'])
    t.same(json, { table, created: false }, 'again is no fault')
  })

  await t.test('with parts of its own where they are given', async t => {
    const table = newName()
    const args = ['--partition-key', 'sid', '--key-type', 'B', '--ttl-attribute', 'ttl', '--read-capacity', '3', '--write-capacity', '2', '--deletion-protection', '--point-in-time-recovery']
    const { code, json, err } = await command(['create-table', ...at(engine, table), ...args, '--json'])
    t.equal(code, 0)
    t.same(json, { table, created: true, pointInTimeRecovery: false })
    t.match(err, 'This engine has no backups, so point-in-time recovery is not enabled')
    const { Table, ttl } = await described(engine, table)
    t.same(Table?.AttributeDefinitions, [{ AttributeName: 'sid', AttributeType: 'B' }])
    t.match(Table?.ProvisionedThroughput, { ReadCapacityUnits: 3, WriteCapacityUnits: 2 })
    if (hasTtl) t.same([Table?.DeletionProtectionEnabled, ttl?.AttributeName], [true, 'ttl'])
    const again = await command(['create-table', ...at(engine, table), ...args])
    t.match(again, { code: 0, out: /is there already and is left as it is/, err: /nothing is changed by --read-capacity/ })
    t.same((await described(engine, table)).Table?.ProvisionedThroughput?.ReadCapacityUnits, 3)
  })

  await t.test('point-in-time recovery is asked for where there are backups', async t => {
    const proxy = await proxied(t, engine)
    proxy.intercept = action => action === 'UpdateContinuousBackups' ? { status: 200, body: {} } : undefined
    const { json } = await command(['create-table', ...at(proxy, newName()), '--point-in-time-recovery', '--json'])
    t.equal(json.pointInTimeRecovery, true)
    const call = proxy.takeCalls().find(({ action }) => action === 'UpdateContinuousBackups')
    t.same(call?.input['PointInTimeRecoverySpecification'], { PointInTimeRecoveryEnabled: true })
  })

  await t.test('a table with another key is a fault, and nothing is made or changed', async t => {
    const table = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'N' }] } satisfies Partial<CreateTableCommandInput>)
    const proxy = await proxied(t, engine)
    const { code, out, err } = await command(['create-table', ...at(proxy, table)])
    t.same([code, out], [1, ''])
    t.match(err, /^error: The table has the partition key "id" of type N, .*make another table/)
    t.same(proxy.take(), ['DescribeTable'])
    const json = await command(['create-table', ...at(proxy, table), '--json'])
    t.match([json.code, json.out, JSON.parse(json.err)], [1, '', { error: { code: 'FST_DYNAMODB_SESSION_TABLE_MISMATCH', message: /of type N, .*make another table/ } }])
  })

  await t.test('a permission that is missing is named, and neither role nor account are', async t => {
    const proxy = await proxied(t, engine)
    proxy.intercept = action => action === 'CreateTable' ? { status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: `User: ${ARN} is not authorized` } } : undefined
    const { code, out, err } = await command(['create-table', ...at(proxy, newName())])
    t.same([code, out], [1, ''])
    t.match(err, /^error: The credentials do not permit dynamodb:CreateTable\./)
    t.notMatch(err, /arn:|\d{12}|\n {4}at /)
    const json = await command(['create-table', ...at(proxy, newName()), '--json'])
    t.match(JSON.parse(json.err), { error: { code: 'FST_DYNAMODB_SESSION_PERMISSION_MISSING', message: /CreateTable/ } })
    t.equal(json.out, '')
  })
})

t.test('capacity is given for both or for neither, and what DynamoDB refuses of it is told', async t => {
  for (const one of ['--read-capacity', '--write-capacity']) {
    t.match(await command(['create-table', '--table', 'sessions', one, '5']), { code: 2, out: '', err: /go together/ })
  }
  const engine = await startDynalite()
  const proxy = await proxied(t, engine)
  t.teardown(async () => await engine.close())
  proxy.intercept = action => action === 'CreateTable' ? { status: 400, body: { __type: 'com.amazon.coral.validate#ValidationException', message: 'too much' } } : undefined
  t.match(await command(['create-table', ...at(proxy, newName())]), { code: 2, err: 'error: Option "createTable" is refused by DynamoDB: too much.\n' })
})

t.test('an endpoint where nobody listens is told of with what to look at, and in time', async t => {
  const { code, err } = await command(['create-table', ...at({ endpoint: 'http://127.0.0.1:9' }, 'sessions'), '--timeout', '2'])
  t.equal(code, 1)
  t.match(err, /^error: DynamoDB did not do it\. ECONNREFUSED: .*Nobody listens there: look at --endpoint\.\n$/)
})

t.test('a service that never answers is given up after --timeout', async t => {
  const { proxy } = await engineOf(t)
  const held: Array<() => void> = []
  proxy.intercept = async () => await new Promise(resolve => { held.push(() => { resolve(undefined) }) })
  const { code, err } = await command(['show', 'A'.repeat(43), ...at(proxy, 'sessions'), '--timeout', '0.3'])
  for (const release of held) release()
  t.equal(code, 1)
  t.match(err, /^error: DynamoDB did not do it\. TimeoutError: .*It took too long: look at --endpoint/)
})

t.test('without a region nothing is sent, and that is said', async t => {
  const region = async (): Promise<string> => { throw new Error('Region is missing') }
  const { code, err } = await command(['doctor', '--table', 'sessions'], { aws: { region } })
  t.same([code, err], [1, 'error: There is no region. Give --region, or set AWS_REGION; another engine takes any.\n'])
})

t.test('without credentials that is said, and what to do', async t => {
  const credentials = async (): Promise<never> => { throw Object.assign(new Error('Could not load credentials from any providers'), { name: 'CredentialsProviderError' }) }
  const { code, err } = await command(['doctor', ...at({ endpoint: 'http://127.0.0.1.nip.invalid:9' }, 'sessions')], { aws: { credentials } })
  t.equal(code, 1)
  t.match(err, /There are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --profile/)
})

t.test('an engine on this machine needs neither region nor credentials', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  const none = async (): Promise<never> => { throw Object.assign(new Error('there are none'), { name: 'CredentialsProviderError' }) }
  t.match(await command(['create-table', '--table', 'sessions', '--endpoint', engine.endpoint], { aws: { region: none, credentials: none } }), { code: 0, out: /is created/ })
})

t.test('a profile is handed to the SDK, by its name', async t => {
  const { code, err } = await command(['doctor', '--table', 'sessions', '--profile', 'there-is-none', '--endpoint', 'http://127.0.0.1:9', '--region', 'x-1'], { aws: {} })
  t.equal(code, 1)
  t.match(err, /credentials/i)
})

t.test('a reason is one sentence or two, without what is nobody\'s business', async t => {
  t.equal(reasonOf(`thrown ${ARN}`), 'thrown arn:[redacted]')
  t.equal(reasonOf(new errors.Gone()), new errors.Gone().message)
  t.equal(reasonOf(new Error(`of ${ACCOUNT}`)), 'of [redacted]')
  t.equal(reasonOf(new errors.Unavailable()), 'DynamoDB did not do it.')
  const named = (name: string, message: string): Error => Object.assign(new Error(message), { name })
  t.equal(reasonOf(new errors.Unavailable({ cause: named('ThrottlingException', 'Rate "exceeded"\n\u001b[2J') })), 'DynamoDB did not do it. ThrottlingException: Rate "exceeded"\\n\\u001b[2J.')
  t.equal(reasonOf(new errors.Unavailable({ cause: named('X', '') })), 'DynamoDB did not do it. X.')
  t.equal(reasonOf(new errors.Unavailable({ cause: new Error('what') })), 'DynamoDB did not do it. Error: what.')
  t.match(reasonOf(new errors.TableMismatch('sessions', 'id', 'S', { cause: named('ValidationException', 'The provided key element does not match the schema') })), /must have the partition key "id" of type S.* ValidationException: The provided key/)
})
