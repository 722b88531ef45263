import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { NEVER } from '../../lib/expiry.js'
import { toUserItem } from '../../lib/listing.js'
import { DynamoRepository } from '../../lib/repository.js'
import { aRecord, NOW } from '../../testing/records.js'
import type { UserEntry } from '../../types/repository.js'
import { clientConfig, createTable, onOneEngine, type Engine } from '../support/engines.js'
import { faults, FaultProxy } from '../support/proxy.js'
import { aFullList } from '../support/users.js'

const DAY = 86_400
const key = (): string => aRecord().key
const entry = (parts: Partial<UserEntry> = {}): UserEntry => ({ createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 100, ...parts })

async function setLists (t: Test, engine: Engine) {
  const table = await createTable(engine)
  const proxy = await FaultProxy.start(engine)
  const client = new DynamoDBClient(clientConfig(proxy.endpoint))
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  const layout = { table, partitionKey: { name: 'id', type: 'S' as const }, keyPrefix: 'shop#', ttlAttribute: 'expires' }
  const { users } = new DynamoRepository(client, { layout, timeout: 3, maxSize: 409_600, onGhost: () => {} })
  t.teardown(async () => {
    client.destroy()
    direct.destroy()
    await proxy.close()
  })
  const item = async (user: string) =>
    (await direct.send(new GetItemCommand({ TableName: table, Key: { id: { S: `shop#user#${user}` } }, ConsistentRead: true }))).Item
  const put = async (Item: Record<string, any>) => { await direct.send(new PutItemCommand({ TableName: table, Item })) }
  return { users, proxy, layout, item, put }
}

onOneEngine(t, async (t, engine) => {
  await t.test('a list goes 30 days after its last session, and is put off when that comes near, not with each write', async t => {
    const { users, proxy, item } = await setLists(t, engine)
    const user = key()
    const one = key()
    await users.add(user, one, entry())
    t.equal(Number((await item(user))?.['expires']?.N), NOW + 100 + 30 * DAY)
    proxy.take()
    await users.add(user, key(), entry({ expiresAt: NOW + 10 * DAY }))
    t.same(proxy.take(), ['UpdateItem'])
    t.equal(Number((await item(user))?.['expires']?.N), NOW + 100 + 30 * DAY)
    await users.add(user, key(), entry({ expiresAt: NOW + 60 * DAY }))
    t.same(proxy.take(), ['UpdateItem', 'UpdateItem'])
    t.equal(Number((await item(user))?.['expires']?.N), NOW + 90 * DAY)
    await users.amend(user, { remove: [], renew: { key: one, createdAt: NOW, lastSeenAt: NOW, expiresAt: NEVER } })
    t.equal(Number((await item(user))?.['expires']?.N), NEVER)
  })

  await t.test('a list that TTL takes away while a session is being listed is begun anew', async t => {
    const { users, proxy, item, put, layout } = await setLists(t, engine)
    const [user, mine] = [key(), key()]
    await users.add(user, key(), entry())
    const gate = proxy.gate({ action: 'UpdateItem', letBy: 1 })
    const added = users.add(user, mine, entry({ expiresAt: NOW + 60 * DAY }))
    await gate.reached
    await put(toUserItem(user, { sessions: new Map(), revoking: new Map(), version: 1 }, layout))
    gate.release()
    t.same([...(await added)?.sessions.keys() ?? []], [mine])
    t.same(Object.keys((await item(user))?.['sessions']?.M ?? {}), [mine])
    t.equal(Number((await item(user))?.['expires']?.N), NOW + 90 * DAY)
  })

  await t.test('a list that is full takes no more and says so; another refusal stays what it is', async t => {
    const { users, proxy, put, layout } = await setLists(t, engine)
    const user = key()
    const full = aFullList(user, layout, NOW)
    await put(full)
    const [first = ''] = Object.keys(full['sessions']?.M ?? {})
    await t.rejects(users.add(user, key(), entry(), first), { code: 'FST_DYNAMODB_SESSION_USER_FULL' }, 'with the label that it takes over')
    await t.rejects(users.add(user, key(), entry({ label: { S: 'x'.repeat(128) } })), { code: 'FST_DYNAMODB_SESSION_USER_FULL', statusCode: 413 })
    proxy.meet('UpdateItem', faults.error('ValidationException'))
    await t.rejects(users.add(key(), key(), entry()), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    const other = key()
    await users.add(other, key(), entry())
    proxy.meet('UpdateItem', faults.error('ValidationException'))
    await t.rejects(users.add(other, key(), entry()), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  })

  await t.test('what stands in a list\'s place and is none is left alone', async t => {
    const { users, put, item } = await setLists(t, engine)
    const user = key()
    await put({ id: { S: `shop#user#${user}` }, sessions: { S: 'spoiled' } })
    t.equal(await users.load(user), null)
    t.equal(await users.add(user, key(), entry()), null)
    t.equal(await users.amend(user, { remove: [key()] }), false)
    t.match(await item(user), { sessions: { S: 'spoiled' } })
  })

  await t.test('a lost answer of a first entry is no second list', async t => {
    const { users, proxy } = await setLists(t, engine)
    const [user, mine] = [key(), key()]
    proxy.meet('PutItem', faults.resetAfter)
    t.same([...(await users.add(user, mine, entry()))?.sessions.keys() ?? []], [mine])
  })
})
