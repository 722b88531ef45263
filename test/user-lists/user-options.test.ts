import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb'
import t from 'tap'
import { SessionManager } from '../../index.js'
import { errors } from '../../lib/errors.js'
import { memoryRepository } from '../../testing/index.js'
import { clientConfig, createTable, onOneEngine } from '../support/engines.js'
import type { UserLists } from '../../types/repository.js'
import { FaultyRepository, setKeeper } from '../support/memory.js'
import { faults } from '../support/proxy.js'
import { aFullList, isIn, isListCall, keysOf, listItem, living, logIn, setUsers, unavailable } from '../support/users.js'

const [one, two] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]

onOneEngine(t, async (t, engine) => {
  await t.test('lists that were written under older keys are shown, ended and counted, and sessions move to the newest', async t => {
    const table = await createTable(engine)
    const manager = (encryptionKeys: Uint8Array[] | undefined, options = {}) => {
      const made = new SessionManager({ table, client: clientConfig(engine.endpoint), userIndex: true, encryptionKeys, ...options })
      t.teardown(async () => await made.close())
      return made
    }
    const bound = async (sessions: SessionManager) => {
      const session = await sessions.create({ userId: 'ann' })
      session.bind('ann', { label: 'desk' })
      await session.save()
      return session
    }
    const before = await bound(manager([one]))
    const after = manager([two, one])
    await bound(after)
    t.same((await after.list('ann')).map(({ label }) => label), ['desk', 'desk'])
    const moved = await after.load(String(before.id), { required: true })
    moved.bind('ann')
    await moved.save()
    t.equal((await manager([one]).list('ann')).length, 0, 'taken off the older list')
    t.equal((await after.list('ann')).length, 2)
    const late = await bound(manager([one]))
    const capped = manager([two, one], { userIndex: { maxSessions: 2 } })
    await bound(capped)
    t.equal((await after.list('ann')).length, 2, 'those of both lists count')
    await after.revokeAll('ann')
    for (const session of [before, late]) t.equal(await after.load(String(session.id)), null)
    t.same([await after.list('ann'), await manager([one]).list('ann')], [[], []])
  })

  await t.test('a stolen table tells neither the user nor the device', async t => {
    const table = await createTable(engine)
    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    const manager = new SessionManager({ table, client, userIndex: true, encryptionKeys: one })
    t.teardown(() => { client.destroy() })
    const session = await manager.create({ userId: 'ann@example.org' })
    session.bind('ann@example.org', { label: 'telephone of Ann' })
    await session.save()
    const { Items = [] } = await client.send(new ScanCommand({ TableName: table }))
    t.equal(Items.length, 2)
    const bytes = Items.flatMap(item => [JSON.stringify(item), ...Object.values(item['sessions']?.M ?? {}).map(entry => Buffer.from(entry.M?.['l']?.B ?? []).toString('latin1'))])
    t.notMatch(bytes.join(' '), /ann@example|telephone|Ann/)
    const without = new SessionManager({ table, client, userIndex: true })
    t.same(await without.list('ann@example.org'), [], 'nobody without the key finds the list by its user')
  })

  await t.test('a label from another user\'s list does not open', async t => {
    const stage = await setUsers(t, engine, { encryptionKeys: one })
    await logIn(stage, 'ann', 'desk')
    await logIn(stage, 'ben', 'lap')
    const [a, b] = (await stage.items()).filter(({ id }) => id?.S?.includes('user#'))
    if (a?.['sessions'] === undefined || b === undefined) throw new Error('There are two lists.')
    await stage.put({ ...b, sessions: a['sessions'] })
    const answers = await Promise.allSettled(['ann', 'ben'].map(async user => await stage.app.sessions.list(user)))
    t.same(answers.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    t.match(answers.find(({ status }) => status === 'rejected'), { reason: { code: 'FST_DYNAMODB_SESSION_UNREADABLE' } })
    await stage.app.sessions.revokeAll('ann')
    await stage.app.sessions.revokeAll('ben')
  })

  await t.test('a table with binary keys keeps lists too, and no session has the key of one', async t => {
    const table = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'B' }] })
    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => { client.destroy() })
    const manager = new SessionManager({ table, client, userIndex: true, partitionKey: { name: 'id', type: 'B' } })
    const session = await manager.create({ userId: 'ann' })
    session.bind('ann')
    await session.save()
    await session.regenerate(true)
    await session.save()
    t.match(await manager.list('ann', { current: session }), [{ current: true }])
    const { Items = [] } = await client.send(new ScanCommand({ TableName: table }))
    t.same(Items.map(({ id }) => id?.B?.length).sort(), [32, 32, 37])
    await manager.revokeAll('ann')
    t.equal(await manager.load(String(session.id)), null)
  })

  await t.test('ten sessions whose time seems over are looked at, and those that are dead leave the list', async t => {
    const stage = await setUsers(t, engine, { idleTimeout: 100, reissueTime: 10 })
    const alive = await logIn(stage)
    for (let index = 0; index < 9; index++) await logIn(stage)
    const rule = stage.proxy.meet({ action: 'UpdateItem', when: isListCall, times: 20 }, faults.error('AccessDeniedException'))
    for (let seconds = 0; seconds < 700; seconds += 70) {
      stage.clock.forward(70)
      await alive.visitor.get('/me')
    }
    rule.remove()
    t.same(await keysOf(stage), [], 'what seems over is not shown')
    stage.proxy.take()
    const next = await logIn(stage)
    t.same(stage.proxy.take(), ['UpdateItem', ...Array.from({ length: 10 }, () => 'GetItem'), 'UpdateItem', 'PutItem'])
    const listed = Object.keys((await listItem(stage))?.['sessions']?.M ?? {})
    t.same(listed.sort(), [alive.key, next.key].sort(), 'the one whose renewal was not told stays, because it is alive')
    stage.proxy.take()
    await logIn(stage)
    t.same(stage.proxy.take(), ['UpdateItem', 'PutItem'])
    await stage.app.sessions.revokeAll('ann')
    t.notOk(await isIn(alive.visitor), 'and is ended, though it is not shown')
  })

  await t.test('a full list first loses what is dead, and refuses a log-in where nothing is', async t => {
    const stage = await setUsers(t, engine)
    const { visitor } = await logIn(stage)
    const item = await listItem(stage)
    const user = String(item?.['id']?.S).slice('user#'.length)
    const layout = { table: stage.table, partitionKey: { name: 'id', type: 'S' as const }, keyPrefix: '', ttlAttribute: 'expires' }
    await stage.put(aFullList(user, layout, stage.clock.seconds + 100))
    const refused = await stage.visitor().post('/login', { user: 'ann' })
    t.match(refused, { statusCode: 413 })
    t.equal(refused.json().code, 'FST_DYNAMODB_SESSION_USER_FULL')
    t.notMatch(refused.body, user)
    t.equal((await living(stage)).length, 1, 'and no session is stored')
    stage.clock.forward(101)
    t.equal((await stage.visitor().post('/login', { user: 'ann' })).statusCode, 413, 'another server may have a clock that is behind')
    stage.clock.forward(600)
    const { key } = await logIn(stage)
    t.same(await keysOf(stage), [key])
    t.ok(await isIn(visitor))
  })

  await t.test('a session that is bound is renewed, moved and taken off its list by an application without the option, too', async t => {
    const stage = await setUsers(t, engine)
    const { visitor, key } = await logIn(stage)
    const id = String((await visitor.get('/me')).json().id)
    const { encryptionKeys } = { encryptionKeys: undefined, ...(process.env['SEALED'] === '1' ? { encryptionKeys: new Uint8Array(32).fill(7) } : {}) }
    const other = new SessionManager({ table: stage.table, client: clientConfig(engine.endpoint), now: stage.clock.now, encryptionKeys })
    t.teardown(async () => await other.close())
    const session = await other.load(id, { required: true })
    await session.regenerate(true)
    await session.save()
    t.same(await keysOf(stage), [session.loggableId])
    t.not(session.loggableId, key)
    await session.destroy()
    t.same(await keysOf(stage), [])
  })

  await t.test('a list is taken for no session: not by a read, nor by the manager, nor told as a ghost', async t => {
    const stage = await setUsers(t, engine)
    const { key } = await logIn(stage)
    const item = await listItem(stage)
    await t.rejects(stage.app.sessions.revoke(String(item?.['id']?.S)), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
    t.equal(await stage.app.sessions.load(String(item?.['id']?.S).slice(5)), null)
    t.match(await listItem(stage), { sessions: { M: { [key]: {} } } })
    t.notMatch(stage.log.warnings().join(), /lacks/)
  })

  await t.test('a log-in whose list cannot be written is not stored', async t => {
    const stage = await setUsers(t, engine)
    stage.proxy.meet({ action: 'UpdateItem', when: isListCall }, faults.error('AccessDeniedException'))
    const response = await stage.visitor().post('/login', { user: 'ann' })
    t.match(response.json(), unavailable)
    t.same(await stage.items(), [])
  })
})

t.test('where others change a list all the time, it is told so in the end', async t => {
  const { users, ...repository } = partsOf(new FaultyRepository())
  const lists = { load: users.load.bind(users), add: users.add.bind(users), amend: users.amend.bind(users), rewrite: async () => false }
  const manager = new SessionManager({ table: 'sessions', client: { ...repository, users: lists }, userIndex: { maxSessions: 1 } })
  const [one, two] = [await manager.create({ count: 1 }), await manager.create({ count: 2 })]
  one.bind('ann')
  await one.save()
  await t.rejects(manager.revokeAll('ann'), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
  two.bind('ann')
  await t.rejects(two.save(), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
})

/** A repository whose members are its own, so that they can be taken apart. */
function partsOf (repository: FaultyRepository) {
  const { load, create, save, touch, replace, destroy, revoke, users } = repository
  return { load, create, save, touch, replace, destroy, revoke, users: users as UserLists }
}

t.test('in memory, sessions of a user are listed, limited, ended and regenerated by the same rules', async t => {
  let ms = Date.UTC(2026, 0, 2)
  const manager = new SessionManager({ table: 'sessions', client: memoryRepository(), userIndex: { maxSessions: 2 }, now: () => ms })
  const bound = async (label: string) => {
    const session = await manager.create({ userId: 'ann' })
    session.bind('ann', { label })
    await session.save()
    ms += 1000
    return session
  }
  const [first, second, third] = [await bound('one'), await bound('two'), await bound('three')]
  t.same((await manager.list('ann')).map(({ label }) => label), ['three', 'two'])
  t.equal(await manager.load(String(first.id)), null)
  await t.rejects(Promise.resolve().then(async () => { first.set('count', 1); await first.save() }), { code: 'FST_DYNAMODB_SESSION_GONE' })
  await second.regenerate(true)
  const late = second.save()
  await manager.revokeAll('ann', { except: third })
  await late.catch(() => {})
  t.same((await manager.list('ann')).map(({ label }) => label), ['three'])
  t.equal(await manager.load(String(second.id)), null)
  await manager.destroy(String(third.id))
  t.same(await manager.list('ann'), [])
})

t.test('the oldest session is ended, also where the answer to the write that shelves it is lost', async t => {
  const { users, ...repository } = partsOf(new FaultyRepository())
  let isLost = false
  const rewrite: UserLists['rewrite'] = async (...args) => {
    const isDone = await users.rewrite(...args)
    // The client repeats a write without an answer, and finds the version that it has itself written.
    return isLost ? isDone && (isLost = false) : isDone
  }
  const lists = { load: users.load.bind(users), add: users.add.bind(users), amend: users.amend.bind(users), rewrite }
  const manager = new SessionManager({ table: 'sessions', client: { ...repository, users: lists }, userIndex: { maxSessions: 1 } })
  const [one, two] = [await manager.create({ count: 1 }), await manager.create({ count: 2 })]
  one.bind('ann')
  await one.save()
  two.bind('ann')
  isLost = true
  await two.save()
  t.equal(await manager.load(String(one.id)), null)
  t.same((await manager.list('ann')).map(({ loggableId }) => loggableId), [two.loggableId])
})

t.test('a log-in that is refused for its size leaves no entry on the list', async t => {
  const { keeper, repository, log, clock } = setKeeper({ userIndex: true })
  const manager = new SessionManager({ table: 'sessions', client: repository, userIndex: true, now: () => clock.ms })
  const { session } = keeper.blank(log)
  session.bind('ann')
  repository.meet('create', () => { throw new errors.TooLarge(2, 1, 'cart') })
  await t.rejects(session.save(), { code: 'FST_DYNAMODB_SESSION_TOO_LARGE' })
  t.same(await manager.list('ann'), [])
  repository.meet('create', 'fail after')
  await t.rejects(session.save(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  repository.meet('create', () => { throw new errors.TooLarge(2, 1, 'cart') })
  await t.rejects(session.save(), { code: 'FST_DYNAMODB_SESSION_TOO_LARGE' })
  t.equal((await manager.list('ann')).length, 1, 'what may be stored already stays listed')
  await manager.revokeAll('ann')
  t.equal(await manager.load(String(session.id)), null)
})

t.test('a session that is being ended is not listed again by a bind, nor stored', async t => {
  const { keeper, repository, log } = setKeeper({ userIndex: true })
  const { session } = keeper.blank(log)
  session.bind('ann')
  await session.save()
  const other = await keeper.openConsistent(String(session.id), String(session.loggableId), log)
  repository.meet('revoke', 'fail before')
  const manager = new SessionManager(keeper, log)
  await t.rejects(manager.revokeAll('ann'), unavailable)
  other?.session.bind('ann', { label: 'telephone' })
  await t.rejects(async () => await other?.save(), { code: 'FST_DYNAMODB_SESSION_GONE' })
  await manager.revokeAll('ann')
  t.equal(await manager.load(String(session.id)), null)
})
