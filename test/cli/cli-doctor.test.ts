import {
  DynamoDBClient, PutItemCommand, ScanCommand, UpdateTimeToLiveCommand, type AttributeValue, type CreateTableCommandInput
} from '@aws-sdk/client-dynamodb'
import t from 'tap'
import { SessionManager } from '../../index.js'
import { takeSample } from '../../cli/sample.js'
import { billingVerdict, encryptionVerdict, keyVerdict, recoveryVerdict, sizeVerdict, statusVerdict, ttlVerdict, type Verdict } from '../../cli/verdicts.js'
import { resolveOptions } from '../../lib/options.js'
import { at, command, proxied, type Setting } from '../support/cli.js'
import { clientConfig, createTable, onDynamoDBLocal, onEachEngine, type Engine } from '../support/engines.js'
import { faults } from '../support/proxy.js'
import '../support/session-data.js'

const ACCOUNT = '123456789012'
const SECRETIVE = new RegExp(`arn:(?!\\[redacted\\])|${ACCOUNT}`)

/** What AWS answers where the credentials may not do something. */
const REFUSED = {
  status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: `User: arn:aws:iam::${ACCOUNT}:role/x is not authorized on arn:aws:dynamodb:eu-central-1:${ACCOUNT}:table/sessions` }
}

const { layout } = resolveOptions({ table: 'sessions' })
const NOW = 1_800_000_000
const KEY = 'A'.repeat(43)

/** What the doctor says of one table, by the names of its checks. */
async function examine (endpoint: string, table: string, args: readonly string[] = [], setting: Setting = {}) {
  const { code, json, out, err } = await command(['doctor', ...at({ endpoint }, table), '--json', ...args], setting)
  const checks = Object.fromEntries((json.checks as Verdict[]).map(verdict => [verdict.check, verdict])) as Record<string, Verdict>
  return { code, faults: json.faults as number, checks, states: statesOf(json.checks), said: out + err }
}

function statesOf (checks: readonly Verdict[]): Record<string, string> {
  return Object.fromEntries(checks.map(({ check, state }) => [check, state]))
}

async function put (engine: Engine, TableName: string, Item: Record<string, AttributeValue>): Promise<void> {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  await client.send(new PutItemCommand({ TableName, Item }))
  client.destroy()
}

async function itemsOf (engine: Engine, TableName: string): Promise<object[]> {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  const { Items = [] } = await client.send(new ScanCommand({ TableName, ConsistentRead: true }))
  client.destroy()
  return Items
}

async function enableTtl (engine: Engine, TableName: string, AttributeName: string): Promise<void> {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  await client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: { Enabled: true, AttributeName } }))
  client.destroy()
}

async function addSessions (engine: Engine, table: string, data: object[]): Promise<void> {
  const sessions = new SessionManager({ table, client: clientConfig(engine.endpoint) })
  for (const one of data) await sessions.create(one)
  await sessions.close()
}

/** An item as the plugin writes it, with other parts. */
function itemWith (parts: Record<string, AttributeValue>, expires: AttributeValue = { N: String(Math.floor(Date.now() / 1000) + 3600) }): Record<string, AttributeValue> {
  const seconds = { N: String(Math.floor(Date.now() / 1000)) }
  return { id: { S: KEY }, data: { M: {} }, ver: { N: '1' }, created: seconds, seen: seconds, expires, ...parts }
}

onEachEngine(t, async (t, engine) => {
  const hasTtl = engine.name === 'DynamoDB Local'

  await t.test('a table as it should be has no fault', async t => {
    const table = await createTable(engine, { DeletionProtectionEnabled: true })
    if (hasTtl) await enableTtl(engine, table, 'expires')
    await addSessions(engine, table, [{ count: 1 }, { count: 2 }])
    const { code, faults, states, checks } = await examine(engine.endpoint, table)
    t.same(states, {
      status: 'ok',
      'key schema': 'ok',
      'billing mode': 'ok',
      'deletion protection': hasTtl ? 'ok' : 'warning',
      encryption: 'ok',
      TTL: hasTtl ? 'ok' : 'fault',
      'TTL values': 'ok',
      'item sizes': 'ok',
      'point-in-time recovery': 'unknown',
      round: 'ok'
    })
    t.same([code, faults], hasTtl ? [0, 0] : [1, 1], 'dynalite has no TTL')
    t.match(checks['TTL values']?.fact, /^2 sampled sessions have seconds/)
    t.match(checks['item sizes']?.fact, /^2 sampled sessions: the median is \d+ bytes/)
  })

  await t.test('the round is nine calls, leaves nothing, and writes nothing when it is left out', async t => {
    const table = await createTable(engine)
    const proxy = await proxied(t, engine, () => undefined)
    await examine(proxy.endpoint, table, ['--no-round', '--sample', '0'])
    t.same(proxy.takeCalls().map(({ action }) => action), ['DescribeTable', 'DescribeTimeToLive', 'DescribeContinuousBackups'])
    await examine(proxy.endpoint, table, ['--sample', '0'])
    const calls = proxy.takeCalls().slice(3)
    t.same(calls.map(({ action }) => action), [
      'GetItem', 'PutItem', 'GetItem', 'UpdateItem', 'GetItem', 'UpdateItem', 'GetItem', 'DeleteItem', 'GetItem'
    ])
    await examine(proxy.endpoint, table, ['--no-round'])
    t.equal(proxy.takeCalls().find(({ action }) => action === 'Scan')?.output['Count'], 0)
  })

  const wrongKeys: ReadonlyArray<readonly [string, Partial<CreateTableCommandInput>, string]> = [
    ['a sort key', {
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }, { AttributeName: 'at', KeyType: 'RANGE' }],
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }, { AttributeName: 'at', AttributeType: 'N' }]
    }, 'The table has a sort key, "at"'],
    ['a key of another name', {
      KeySchema: [{ AttributeName: 'sid', KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName: 'sid', AttributeType: 'S' }]
    }, 'The table has the partition key "sid" of type S'],
    ['a key of another type', { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'B' }] }, 'The table has the partition key "id" of type B']
  ]
  for (const [what, parts, fact] of wrongKeys) {
    await t.test(`a table with ${what} is told of, with what to do`, async t => {
      const table = await createTable(engine, parts)
      const { code, checks, states } = await examine(engine.endpoint, table)
      t.equal(code, 1)
      t.equal(states['key schema'], 'fault')
      t.ok(checks['key schema']?.fact.startsWith(fact), fact)
      t.match(checks['key schema']?.remedy, /make another table with "create-table"/)
      t.equal(states['round'], undefined, 'and no call is made that could only fail')
    })
  }

  await t.test('a table with another key is fine where the arguments say so', async t => {
    const table = await createTable(engine, { KeySchema: [{ AttributeName: 'sid', KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName: 'sid', AttributeType: 'B' }] })
    const { states } = await examine(engine.endpoint, table, ['--partition-key', 'sid', '--key-type', 'B'])
    t.same([states['key schema'], states['round']], ['ok', 'ok'])
  })

  await t.test('provisioned capacity is a warning that names the units', async t => {
    const table = await createTable(engine, { BillingMode: 'PROVISIONED', ProvisionedThroughput: { ReadCapacityUnits: 7, WriteCapacityUnits: 1 } })
    const { checks } = await examine(engine.endpoint, table)
    t.match(checks['billing mode'], { state: 'warning', fact: /7 read units and 1 write unit a second/, remedy: /template --provisioned/ })
  })

  await t.test('milliseconds in the TTL attribute are found, and so are items without a number in it', async t => {
    const milliseconds = await createTable(engine)
    await put(engine, milliseconds, itemWith({}, { N: String(Date.now() + 3_600_000) }))
    t.match((await examine(engine.endpoint, milliseconds)).checks['TTL values'], { state: 'fault', fact: /^1 of 1 sampled session have milliseconds in "expires"/, remedy: /the plugin writes seconds/ })
    const text = await createTable(engine)
    await put(engine, text, itemWith({}, { S: '2026-01-01' }))
    t.match((await examine(engine.endpoint, text)).checks['TTL values'], { state: 'fault', fact: /^1 of 1 sampled session have no number/ })
  })

  await t.test('sessions that expired long ago and are still there tell that nothing sweeps', async t => {
    const table = await createTable(engine)
    await put(engine, table, itemWith({}, { N: String(Math.floor(Date.now() / 1000) - 8 * 86_400) }))
    t.match((await examine(engine.endpoint, table)).checks['TTL values'], { state: 'warning', fact: /expired more than a week ago/ })
  })

  await t.test('items that lack what a session needs, and large ones, are found', async t => {
    const ghosts = await createTable(engine)
    await put(engine, ghosts, { id: { S: KEY }, expires: { N: String(Math.floor(Date.now() / 1000) + 60) } })
    t.match((await examine(engine.endpoint, ghosts)).checks['item sizes'], { state: 'fault', fact: /^1 of 1 sampled session lack/ })
    const large = await createTable(engine)
    await addSessions(engine, large, [{ text: 'x'.repeat(20_000) }])
    t.match((await examine(engine.endpoint, large)).checks['item sizes'], { state: 'warning', fact: /the largest 19\.\d KB, which takes 2\.5 read units and 20 write units/ })
    const huge = await createTable(engine)
    await addSessions(engine, huge, [{ text: 'x'.repeat(350_000) }])
    t.match((await examine(engine.endpoint, huge)).checks['item sizes'], { state: 'fault', remedy: /refuses items of more than 400 KB/ })
  })

  await t.test('a table of others asks for the prefix', async t => {
    const table = await createTable(engine)
    await put(engine, table, itemWith({ id: { S: `shop#${KEY}` } }))
    const { checks } = await examine(engine.endpoint, table)
    t.match(checks['item sizes'], { state: 'warning', fact: /^None of 1 sampled item is a session/, remedy: /--prefix/ })
    const { states } = await examine(engine.endpoint, table, ['--prefix', 'shop#'])
    t.same([states['item sizes'], states['TTL values']], ['ok', 'ok'])
  })

  await t.test('a table that is not there is one fault', async t => {
    const { code, checks } = await examine(engine.endpoint, 'nothing-here')
    t.equal(code, 1)
    t.match(checks['table'], { state: 'fault', fact: 'There is no table "nothing-here" in this region and account.', remedy: /create-table/ })
  })

  await t.test('a table that is not ready is told of by its state, and nothing is asked of it that could only fail', async t => {
    const table = await createTable(engine)
    for (const TableStatus of ['CREATING', 'DELETING', 'ARCHIVED', 'INACCESSIBLE_ENCRYPTION_CREDENTIALS']) {
      const proxy = await proxied(t, engine, action => action === 'DescribeTable'
        ? { status: 200, body: { Table: { TableStatus, KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }] } } }
        : { status: 400, body: { __type: 'com.amazonaws.dynamodb.v20120810#ResourceNotFoundException', message: 'Requested resource not found' } })
      const { code, checks, states } = await examine(proxy.endpoint, table)
      t.equal(code, 1)
      t.match(checks['status'], { state: 'fault', fact: `The table is ${TableStatus.toLowerCase()}.` })
      t.equal(states['key schema'], 'ok')
      t.same(proxy.take(), ['DescribeTable'])
    }
  })

  await t.test('a permission that is missing leaves its question open and the others answered', async t => {
    const table = await createTable(engine)
    for (const [action, check, state] of [
      ['DescribeTable', 'table', 'unknown'], ['DescribeTimeToLive', 'TTL', 'unknown'], ['Scan', 'TTL values', 'unknown'],
      ['DescribeContinuousBackups', 'point-in-time recovery', 'unknown'], ['UpdateItem', 'round', 'fault']
    ] as const) {
      const proxy = await proxied(t, engine, asked => asked === action ? REFUSED : undefined)
      const { checks, states, said } = await examine(proxy.endpoint, table)
      t.equal(states[check], state, action)
      t.match(checks[check]?.fact, state === 'fault' ? /"save" failed\..*AccessDeniedException/ : `dynamodb:${action}`)
      t.ok(checks[check]?.remedy)
      t.equal(states['round'], action === 'UpdateItem' ? 'fault' : 'ok')
      t.notMatch(said, SECRETIVE, 'and nobody reads of accounts and roles')
    }
  })

  await t.test('a round that fails takes away what it made, or says that it is still there', async t => {
    const table = await createTable(engine)
    const proxy = await proxied(t, engine, action => action === 'UpdateItem' ? REFUSED : undefined)
    const { checks } = await examine(proxy.endpoint, table, ['--sample', '0'])
    t.equal(proxy.takeCalls().at(-1)?.action, 'DeleteItem')
    t.notMatch(checks['round']?.fact, /still be there/)
    const stuck = await proxied(t, engine, action => action === 'UpdateItem' || action === 'DeleteItem' ? REFUSED : undefined)
    t.match((await examine(stuck.endpoint, table, ['--sample', '0'])).checks['round']?.fact, /may still be there, and is dead in 2 minutes/)
  })

  await t.test('a round that cannot begin leaves nothing to take away', async t => {
    const table = await createTable(engine)
    const proxy = await proxied(t, engine, action => action === 'PutItem' ? REFUSED : undefined)
    const { fact } = (await examine(proxy.endpoint, table, ['--sample', '0'])).checks['round'] ?? {}
    const unread = await proxied(t, engine, action => action === 'GetItem' ? REFUSED : undefined)
    t.notMatch((await examine(unread.endpoint, table, ['--sample', '0'])).checks['round']?.fact, /there/)
    t.same(unread.take().filter(action => ['PutItem', 'DeleteItem'].includes(action)), [])
    t.match(fact, /"create" failed/)
    t.notMatch(fact, /there/)
    const readOnly = await proxied(t, engine, action => action === 'PutItem' || action === 'DeleteItem' ? REFUSED : undefined)
    t.match((await examine(readOnly.endpoint, table, ['--sample', '0'])).checks['round']?.fact, /The session may still be there, and is dead in 2 minutes\.$/)
  })

  await t.test('a round whose session was made and whose answer was lost takes it away, too', async t => {
    const table = await createTable(engine)
    const proxy = await proxied(t, engine, () => undefined)
    proxy.meet({ action: 'PutItem', times: Infinity }, faults.resetAfter)
    t.match((await examine(proxy.endpoint, table, ['--sample', '0', '--timeout', '2'])).checks['round'], { state: 'fault', fact: /"create" failed/ })
    t.ok(proxy.takeCalls().some(({ action, status }) => action === 'PutItem' && status === 200))
    t.same(await itemsOf(engine, table), [])
  })

  await t.test('credentials that AWS does not accept are an error, and so is a table of which nothing could be seen', async t => {
    const table = await createTable(engine)
    const quick = ['--no-round', '--sample', '0']
    for (const name of ['UnrecognizedClientException', 'InvalidSignatureException']) {
      const wrong = await proxied(t, engine, () => ({ status: 400, body: { __type: `com.amazon.coral.service#${name}`, message: 'no' } }))
      t.match(await command(['doctor', ...at(wrong, table), ...quick]), { code: 1, out: '', err: /^error: The credentials do not permit any call, because AWS does not accept them/ }, name)
    }
    const blind = await proxied(t, engine, () => REFUSED)
    const { code, out } = await command(['doctor', ...at(blind, table), ...quick])
    t.equal(code, 1)
    t.match(out, /\nNo fault was found, but 3 of 3 questions are open\.\n$/)
    const backups = { ContinuousBackupsDescription: { ContinuousBackupsStatus: 'DISABLED' } }
    await addSessions(engine, table, [{ count: 1 }])
    const answered = await proxied(t, engine, action => action === 'DescribeContinuousBackups' ? { status: 200, body: backups } : undefined)
    t.match((await command(['doctor', ...at(answered, table)])).out, /\n(No fault was|One fault was|2 faults were) found\.\n$/, 'with all of them answered')
  })

  await t.test('point-in-time recovery is asked of whoever has it, and an answer without a table is none', async t => {
    const table = await createTable(engine)
    const body = { ContinuousBackupsDescription: { ContinuousBackupsStatus: 'ENABLED', PointInTimeRecoveryDescription: { PointInTimeRecoveryStatus: 'ENABLED' } } }
    const proxy = await proxied(t, engine, action => action === 'DescribeContinuousBackups' ? { status: 200, body } : undefined)
    t.equal((await examine(proxy.endpoint, table)).states['point-in-time recovery'], 'ok')
    const empty = await proxied(t, engine, action => action === 'DescribeTable' ? { status: 200, body: {} } : undefined)
    t.same((await examine(empty.endpoint, table)).states, { table: 'fault' })
  })

  await t.test('a service that fails is told of as that, and as no fault of the table', async t => {
    const table = await createTable(engine)
    const proxy = await proxied(t, engine, action => action === 'Scan' ? { status: 400, body: { __type: 'com.amazon.coral.service#ResourceInUseException', message: 'busy' } } : undefined)
    t.match(await command(['doctor', ...at(proxy, table)]), { code: 1, out: '', err: /^error: DynamoDB did not do it\. ResourceInUseException: busy\.\n$/ })
  })

  await t.test('an engine that takes writes and keeps nothing is found out', async t => {
    const table = await createTable(engine)
    const kept = await proxied(t, engine, action => action === 'UpdateItem'
      ? { status: 200, body: { Attributes: { ver: { N: '2' } }, ConsumedCapacity: { TableName: table, CapacityUnits: 1 } } }
      : undefined)
    t.match((await examine(kept.endpoint, table, ['--sample', '0'])).checks['round'], { state: 'fault', fact: /"save" failed\. what was saved is read otherwise/i })
  })
})

onDynamoDBLocal(t, async (t, engine) => {
  await t.test('an ARN leads to its table, and its account is not told', async t => {
    const { code, checks, said } = await examine(engine.endpoint, `arn:aws:dynamodb:eu-central-1:${ACCOUNT}:table/nothing-here`)
    t.equal(code, 1)
    t.match(checks['table'], { state: 'fault', fact: 'There is no table "nothing-here" in this region and account.' })
    t.notMatch(said, SECRETIVE)
  })

  await t.test('TTL that is off, or on another attribute, is a fault with the command that mends it', async t => {
    const off = await createTable(engine)
    t.match((await examine(engine.endpoint, off)).checks['TTL'], {
      state: 'fault', remedy: `aws dynamodb update-time-to-live --table-name ${off} --time-to-live-specification Enabled=true,AttributeName=expires`
    })
    const other = await createTable(engine)
    await enableTtl(engine, other, 'ttl')
    t.match((await examine(engine.endpoint, other)).checks['TTL'], { state: 'fault', fact: /TTL is enabled on "ttl", and the plugin writes the expiry to "expires"/ })
    t.match((await examine(engine.endpoint, other, ['--ttl-attribute', 'ttl'])).checks['TTL'], { state: 'ok' })
  })

  await t.test('TTL on an attribute that is past in living sessions deletes them, which comes before all else', async t => {
    const table = await createTable(engine)
    // Past by the clock of the command only: this engine sweeps, too.
    await put(engine, table, itemWith({ created: { N: String(Math.floor(Date.now() / 1000) + 600) } }, { N: String(Date.now() + 3_600_000) }))
    await enableTtl(engine, table, 'created')
    const { checks, code } = await examine(engine.endpoint, table, ['--no-round'], { now: () => Date.now() + 900_000 })
    t.equal(code, 1)
    t.match(checks['TTL values'], { state: 'fault', fact: /^DynamoDB deletes sessions that are alive: in 1 of 1 sampled session, "created"/, remedy: /at once/ })
  })

  await t.test('a warning fails only who asks for strictness', async t => {
    const table = await createTable(engine)
    await enableTtl(engine, table, 'expires')
    await addSessions(engine, table, [{ count: 1 }])
    t.match(await command(['doctor', ...at(engine, table)]), { code: 0, out: /\nNo fault was found, but 1 of 10 questions is open\.\n$/ }, 'this engine has no backups')
    t.equal((await examine(engine.endpoint, table, ['--strict'])).code, 1)
  })

  await t.test('people get lines, coloured on a terminal, with the remedy below what is wrong', async t => {
    const table = await createTable(engine)
    const { out, err, code } = await command(['doctor', ...at(engine, table)])
    t.equal(code, 1)
    t.equal(err, '')
    t.match(out, /^FAULT {4}TTL: TTL is disabled[^\n]*\n {9}aws dynamodb update-time-to-live/m)
    t.match(out, /\nOne fault was found, and 2 of 10 questions are open\.\n$/, 'of an empty table, and of backups')
    await put(engine, table, itemWith({}, { S: 'x' }))
    t.match((await command(['doctor', ...at(engine, table)])).out, /\n3 faults were found, and 1 of 10 questions is open\.\n$/, 'of TTL, of its value, and of what lacks it')
    t.notMatch(out, '\u001b')
    const coloured = await command(['doctor', ...at(engine, table)], { columns: 80 })
    t.match(coloured.out, '\u001b[31mFAULT')
    for (const [argv, env] of [[['--no-color'], {}], [[], { NO_COLOR: '1' }]] as const) {
      t.notMatch((await command(['doctor', ...at(engine, table), ...argv], { columns: 80, env })).out, '\u001b')
    }
  })
})

t.test('a sample tells what TTL will do: seconds, milliseconds, and what is older than it takes', async t => {
  const item = (expires: number, parts: Record<string, AttributeValue> = {}): Record<string, AttributeValue> => itemWith(parts, { N: String(expires) })
  const taken = (items: Array<Record<string, AttributeValue>>, sweptBy?: string) => takeSample(items, layout, sweptBy, NOW)
  t.same(taken([]).sizes, { median: 0, largest: 0 })
  t.equal(taken([item(253_402_300_799)]).expiry.milliseconds, 0, 'a session without timeouts ends in the year 9999')
  t.equal(taken([item(253_402_300_800)]).expiry.milliseconds, 1)
  t.same([NOW - 7 * 86_400, NOW - 7 * 86_400 - 1].map(expires => taken([item(expires)]).expiry.overdue), [0, 1])
  const swept = (value: number, expires = NOW + 60, parts = {}): number => taken([item(expires, { at: { N: String(value) }, ...parts })], 'at').swept
  t.equal(swept(NOW), 1)
  t.equal(taken([item(NOW + 60)], 'at').swept, 0, 'without the attribute, TTL leaves it')
  const mixed = taken([item(NOW + 60), { ...itemWith({}), id: { S: 'sess:x' } }])
  t.match(sizeVerdict(mixed), { state: 'ok', fact: /^1 sampled session \(and 1 item of others\)/ })
  t.equal(swept(NOW + 1), 0)
  t.equal(swept(NOW - 5 * 365 * 86_400), 0, 'what is five years past is left by TTL')
  t.equal(swept(NOW, NOW), 0, 'a dead session may go')
  t.equal(swept(NOW, NOW + 60, { next: { S: '-' } }), 0, 'and so may one that was replaced')
  t.equal(swept(NOW, (NOW + 60) * 1000), 1, 'milliseconds of a living session count as what they stand for')
  t.equal(taken([{ ...itemWith({}), id: { S: `user#${KEY}` } }]).others, 0, 'the list of a user is ours and no session')
})

t.test('a command to be copied is one command, whatever the names in it are', async t => {
  const { layout } = resolveOptions({ table: 'sessions', ttlAttribute: "a$(id)'b;c" })
  const { remedy } = ttlVerdict({ found: { TimeToLiveStatus: 'DISABLED' } }, layout)
  t.match(remedy, "--time-to-live-specification 'Enabled=true,AttributeName=a$(id)'\\''b;c' (or")
})

t.test('what only AWS tells is judged as it is told', async t => {
  const at = { table: 'sessions', partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires' } as const
  t.match(recoveryVerdict({ found: { ContinuousBackupsStatus: 'ENABLED', PointInTimeRecoveryDescription: { PointInTimeRecoveryStatus: 'ENABLED' } } }, at), { state: 'ok', fact: /logged out since/ })
  t.match(recoveryVerdict({ found: { ContinuousBackupsStatus: 'DISABLED' } }, at), { state: 'warning', remedy: /update-continuous-backups --table-name sessions/ })
  t.match(encryptionVerdict({ SSEDescription: { Status: 'ENABLED', SSEType: 'KMS' } }), { state: 'ok', fact: /KMS key: enabled/ })
  t.match(encryptionVerdict({ SSEDescription: { Status: 'ENABLED', InaccessibleEncryptionDateTime: new Date() } }), { state: 'fault', remedy: /Enable the key/ })
  t.match(encryptionVerdict({ SSEDescription: { Status: 'DISABLED' } }), { state: 'ok' })
  t.match(statusVerdict({ TableStatus: 'UPDATING' }), { state: 'ok' })
  t.match(statusVerdict({ TableStatus: 'ARCHIVED' }), { state: 'fault', fact: 'The table is archived.' })
  t.match(ttlVerdict({ found: { TimeToLiveStatus: 'ENABLING', AttributeName: 'expires' } }, at), { state: 'ok' })
  t.match(ttlVerdict({ found: { TimeToLiveStatus: 'ENABLED' } }, at), { state: 'fault', fact: /enabled on ""/ })
  t.match(keyVerdict({}, at), { state: 'fault' })
  t.match(billingVerdict({}), { state: 'warning', fact: /0 read units and 0 write units/ })
  t.match(ttlVerdict({ found: {} }, at), { state: 'fault', fact: /TTL is disabled/ })
  t.match(ttlVerdict({}, at), { state: 'warning', remedy: /purge/ })
})
