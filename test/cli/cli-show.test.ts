import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DynamoDBClient, GetItemCommand, PutItemCommand, UpdateItemCommand, type AttributeValue } from '@aws-sdk/client-dynamodb'
import t from 'tap'
import { SessionManager, type DynamoSessionOptions } from '../../index.js'
import { at, command, proxied } from '../support/cli.js'
import { clientConfig, createTable, onOneEngine, type Engine } from '../support/engines.js'
import { faults } from '../support/proxy.js'

const VALUE = 'a value that nobody may see'

/** A stored session of these data, and the manager that made it. */
async function store (engine: Engine, options: Partial<DynamoSessionOptions> = {}, data: object = { secret: VALUE }) {
  const table = await createTable(engine)
  const sessions = new SessionManager({ table, client: clientConfig(engine.endpoint), ...options })
  const session = await sessions.create(data)
  await sessions.close()
  return { table, id: session.id ?? '', token: session.token ?? '', key: session.loggableId ?? '' }
}

async function edit (engine: Engine, TableName: string, key: string, name: string, value: AttributeValue): Promise<void> {
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  await client.send(new UpdateItemCommand({
    TableName, Key: { id: { S: key } }, UpdateExpression: 'SET #name = :value', ExpressionAttributeNames: { '#name': name }, ExpressionAttributeValues: { ':value': value }
  }))
  client.destroy()
}

onOneEngine(t, async (t, engine) => {
  await t.test('show tells everything of a session but its values, by one strong read', async t => {
    const { table, key, id } = await store(engine)
    const proxy = await proxied(t, engine)
    const { code, out, err } = await command(['show', key, ...at(proxy, table)])
    t.same([code, err], [0, ''])
    t.match(out, /^state +alive$/m)
    t.match(out, /^created +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/m)
    t.match(out, /^version +1$/m)
    t.match(out, /^bound to a user +no$/m)
    t.match(out, /^ {2}"secret" {2}text {2}29 bytes$/m)
    t.notMatch(out, VALUE)
    t.notMatch(out, id)
    const [call, ...more] = proxy.takeCalls()
    t.same([call?.action, call?.input['ConsistentRead'], more.length], ['GetItem', true, 0])
    const { json } = await command(['show', key, ...at(engine, table), '--json'])
    t.same(Object.keys(json), ['loggableId', 'bytes', 'bound', 'state', 'createdAt', 'lastSeenAt', 'expiresAt', 'version', 'format', 'keys'])
    t.same(json.keys, [{ key: 'secret', bytes: 29, stored: 'text' }])
    t.match(json, { loggableId: key, state: 'alive', version: 1, format: 'json', bound: false })
  })

  await t.test('with --values it tells them too, in quotes, and nothing in them reaches the terminal as it is', async t => {
    const { table, key } = await store(engine, {}, { secret: VALUE, wild: '\u001b[2J\u0085\u202e', list: [1, '\u001b]0;x\u0007'], 'na\u001b[31mme': 1 })
    const { out } = await command(['show', key, ...at(engine, table), '--values'])
    t.match(out, `"${VALUE}"`)
    t.match(out, '"\\u001b[2J\\u0085\\u202e"')
    t.match(out, '"na\\u001b[31mme"')
    // eslint-disable-next-line no-control-regex
    t.notMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    const { json } = await command(['show', key, ...at(engine, table), '--values', '--json'])
    t.equal(json.keys.find(({ key }: { key: string }) => key === 'secret').value, VALUE)
    t.equal(json.keys.find(({ key }: { key: string }) => key === 'wild').value, '\u001b[2J\u0085\u202e', 'JSON reads back as it was')
    // eslint-disable-next-line no-control-regex
    t.notMatch((await command(['show', key, ...at(engine, table), '--values', '--json'])).out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
  })

  await t.test('sealed values open with keys from the environment or a file, and stay shut without', async t => {
    const [newer, older] = [randomBytes(32), randomBytes(32)]
    const { table, key } = await store(engine, { encryptionKeys: older })
    const show = async (args: readonly string[], env = {}) => await command(['show', key, ...at(engine, table), '--values', ...args], { env })
    const FILE = join(t.testdir(), 'keys')
    writeFileSync(FILE, `${newer.toString('hex')}\n${older.toString('base64url')}\n`)
    t.match((await show([])).out, /is sealed, and there are no "encryptionKeys"/)
    t.match((await show([], { FASTIFY_DYNAMODB_SESSION_KEYS: older.toString('base64') })).out, VALUE)
    t.match((await show(['--keys-env', 'MINE'], { MINE: `${newer.toString('hex')},${older.toString('hex').toUpperCase()}` })).out, VALUE)
    t.match((await show(['--keys-file', FILE])).out, VALUE)
    t.match((await show([], { FASTIFY_DYNAMODB_SESSION_KEYS: newer.toString('base64') })).out, /not among the "encryptionKeys"/)
  })

  await t.test('values of an unknown format are not guessed at, and its name reaches no terminal as it is', async t => {
    const { table, key } = await store(engine)
    await edit(engine, table, key, 'fmt', { S: 'mine\u001b[31m' })
    const { code, out } = await command(['show', key, ...at(engine, table), '--values'])
    t.equal(code, 0)
    t.match(out, /cannot be read: it has a format that is not configured here/)
    t.match(out, 'mine\\u001b[31m')
  })

  await t.test('with keys, a value that is not sealed is shown all the same', async t => {
    const { table, key } = await store(engine)
    t.match((await command(['show', key, ...at(engine, table), '--values'], { env: { FASTIFY_DYNAMODB_SESSION_KEYS: randomBytes(32).toString('hex') } })).out, VALUE)
  })

  await t.test('native values, own timeouts and a user are told', async t => {
    const table = await createTable(engine)
    const sessions = new SessionManager({ table, client: clientConfig(engine.endpoint), format: 'native' })
    const session = await sessions.create({ count: 3 })
    Object.assign(session, { tags: new Set(['x']), big: 123_456_789_012_345_678_901n, map: { a: [true, null] }, bytes: new Uint8Array(2) })
    session.idleTimeout = 600
    session.absoluteTimeout = false
    await session.save()
    await sessions.close()
    const key = session.loggableId ?? ''
    const user = randomBytes(32).toString('base64url')
    await edit(engine, table, key, 'user', { S: user })
    const { out } = await command(['show', key, ...at(engine, table), '--values'])
    for (const line of [/^format +native$/m, /^own idle timeout +600 s$/m, /^own absolute timeout +none$/m, /^bound to a user +yes$/m, /"count" +number +2 bytes +3$/m, /"tags" +set .*Set\(1\) \{ 'x' \}$/m]) t.match(out, line)
    t.notMatch(out, user, 'but not which')
    const { json } = await command(['show', key, ...at(engine, table), '--values', '--json'])
    t.match(json, { idleTimeout: 600, absoluteTimeout: false, bound: true })
    const values = Object.fromEntries(json.keys.map(({ key, value }: { key: string, value: unknown }) => [key, value]))
    t.same(values, { count: 3, tags: ['x'], big: '123456789012345678901', map: { a: [true, null] }, bytes: 'AAA=' }, 'values that JSON does not know stand for themselves as text')
    await edit(engine, table, key, 'user', { S: 'u-42' })
    t.match(await command(['show', key, ...at(engine, table)]), { code: 0, out: /^bound to a user +no$/m }, 'what others keep under that name binds nothing')
  })

  await t.test('the end of a session is told as what it is', async t => {
    const { table, key, id } = await store(engine)
    const state = async (now?: () => number): Promise<string> =>
      (await command(['show', key, ...at(engine, table), '--json'], now === undefined ? {} : { now })).json.state
    t.equal(await state(() => Date.now() + 86_400_000), 'expired')
    const successor = 'B'.repeat(43)
    await edit(engine, table, key, 'next', { S: successor })
    t.equal(await state(), `replaced by ${successor}`)
    t.equal((await command(['revoke', key, ...at(engine, table)])).code, 0)
    const { table: other, key: revoked } = await store(engine)
    await command(['revoke', revoked, ...at(engine, other)])
    t.equal((await command(['show', revoked, ...at(engine, other), '--json'])).json.state, 'revoked')
    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    await client.send(new PutItemCommand({ TableName: other, Item: { id: { S: successor }, expires: { N: '1' } } }))
    client.destroy()
    t.match((await command(['show', successor, ...at(engine, other)])).out, /^state +a ghost/)
    t.notMatch((await command(['show', successor, ...at(engine, other)])).out, /version|created/)
    t.ok(id)
  })

  await t.test('revoke ends a session for whoever has its token', async t => {
    const { table, key, id } = await store(engine, { keyPrefix: 'shop#' })
    const sessions = new SessionManager({ table, keyPrefix: 'shop#', client: clientConfig(engine.endpoint) })
    t.teardown(async () => await sessions.close())
    const held = await sessions.load(id, { required: true })
    const { code, out } = await command(['revoke', key, ...at(engine, table), '--prefix', 'shop#'])
    t.same([code, out], [0, 'The session is revoked.\n'])
    t.equal(await sessions.load(id), null)
    held.set('count' as never, 1 as never)
    await t.rejects(held.save(), { code: 'FST_DYNAMODB_SESSION_GONE' }, 'and what is under way does not bring it back')
    const again = await command(['revoke', key, ...at(engine, table), '--prefix', 'shop#', '--json'])
    t.same([again.code, again.json], [0, { loggableId: key, revoked: true }], 'again is no fault')
  })

  for (const encryptionKeys of [undefined, randomBytes(32)]) {
    await t.test(`a session that is bound${encryptionKeys === undefined ? '' : ' under a key'} is shown as that, and leaves the list of its user when it is revoked`, async t => {
      const table = await createTable(engine)
      const sessions = new SessionManager({ table, client: clientConfig(engine.endpoint), userIndex: true, encryptionKeys, keyPrefix: 'shop#' })
      t.teardown(async () => await sessions.close())
      const bound = async () => {
        const session = await sessions.create({ count: 1 })
        session.bind('u-42', { label: 'desk' })
        await session.save()
        return session
      }
      const [one, two] = [await bound(), await bound()]
      const old = one.loggableId ?? ''
      await one.regenerate(true)
      await one.save()
      const proxy = await proxied(t, engine)
      const run = async (...argv: string[]) => await command([...argv, ...at(proxy, table), '--prefix', 'shop#'])
      t.match(await run('show', one.loggableId ?? ''), { code: 0, out: /^bound to a user +yes$/m })
      proxy.take()
      t.match(await run('revoke', two.loggableId ?? ''), { code: 0, err: '' })
      t.same(proxy.take(), ['GetItem', 'GetItem', 'PutItem', 'UpdateItem'])
      t.same((await sessions.list('u-42')).map(({ loggableId }) => loggableId), [one.loggableId])
      t.match(await run('revoke', old), { code: 0, err: '' }, 'also by the name of the one that it has replaced')
      t.same(await sessions.list('u-42'), [])
      t.equal(await sessions.load(one.id ?? ''), null)
    })
  }

  await t.test('a list that cannot be written is told of, and the session is revoked all the same', async t => {
    const table = await createTable(engine)
    const sessions = new SessionManager({ table, client: clientConfig(engine.endpoint), userIndex: true })
    t.teardown(async () => await sessions.close())
    const session = await sessions.create({ count: 1 })
    session.bind('u-42')
    await session.save()
    const proxy = await proxied(t, engine)
    proxy.meet('UpdateItem', faults.error('AccessDeniedException'))
    const { code, err } = await command(['revoke', session.loggableId ?? '', ...at(proxy, table)])
    t.equal(code, 0)
    t.match(err, /list of a user's sessions could not be told/)
    t.equal(await sessions.load(session.id ?? ''), null)
  })

  await t.test('a session that is not there is told of, and nothing is stored under what was given: it may be a secret id', async t => {
    const { table, id, key } = await store(engine)
    for (const argv of [['show', id], ['revoke', id], ['show', key, '--prefix', 'shop#']]) {
      const { code, out, err } = await command([...argv, ...at(engine, table)])
      t.same([code, out], [1, ''])
      t.match(err, /^error: There is no session with this loggable id and key prefix\. The id and the token of a session are something else/)
      t.notMatch(err, id)
    }
    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    const { Item } = await client.send(new GetItemCommand({ TableName: table, Key: { id: { S: id } }, ConsistentRead: true }))
    client.destroy()
    t.equal(Item, undefined)
  })

  await t.test('a loggable id that begins with a dash is one, wherever it stands', async t => {
    const { table } = await store(engine)
    for (const id of [`-${'h'.repeat(42)}`, `--${'t'.repeat(41)}`, `-${'-'.repeat(42)}`]) {
      for (const argv of [['show', id, ...at(engine, table)], ['revoke', ...at(engine, table), id], ['show', ...at(engine, table), '--', id]]) {
        t.match(await command(argv), { code: 1, out: '', err: /^error: There is no session with this loggable id/ }, argv.join(' '))
      }
      t.match(await command(['show', id, 'hunter2', ...at(engine, table)]), { code: 2, err: /^error: There is only <loggable id>/ })
      t.match(await command(['doctor', id, ...at(engine, table)]), { code: 2, err: /^error: Unknown option/ }, 'where one is asked for')
    }
  })
})

t.test('what is no loggable id is refused and not repeated, since it may be a secret', async t => {
  const token = `${'A'.repeat(43)}.${'b'.repeat(43)}`
  for (const name of ['show', 'revoke']) {
    for (const wrong of [token, 'short', `shop#${'A'.repeat(43)}`]) {
      const { code, out, err } = await command([name, wrong, '--table', 'sessions'])
      t.same([code, out], [2, ''])
      t.match(err, /^error: The loggable id must be 43 letters/)
      t.notMatch(err, wrong)
    }
    t.match(await command([name, '--table', 'sessions']), { code: 2, err: /^error: <loggable id> is missing\./ })
  }
})

t.test('keys that are none are refused before any call, and not repeated', async t => {
  const show = async (args: readonly string[], env = {}) => await command(['show', 'A'.repeat(43), '--table', 'sessions', '--values', ...args], { env })
  const short = randomBytes(31).toString('base64')
  for (const text of [short, randomBytes(33).toString('hex'), 'not a key', '!'.repeat(43), `${randomBytes(32).toString('hex')} ${short}`]) {
    const { code, err } = await show([], { FASTIFY_DYNAMODB_SESSION_KEYS: text })
    t.equal(code, 1)
    t.match(err, /^error: Key [12] in the environment variable is not 32 bytes/)
    t.notMatch(err, text)
  }
  t.match(await show(['--keys-env', 'NOT_SET']), { code: 2, err: /^error: The environment variable of "--keys-env" is not set/ })
  t.match(await show(['--keys-env', 'A', '--keys-file', 'b']), { code: 2, err: /two ways to say the same/ })
  t.match(await show(['--keys-file', join(t.testdir(), 'nowhere')]), { code: 1, err: /^error: The file of --keys-file cannot be read/ })
})
