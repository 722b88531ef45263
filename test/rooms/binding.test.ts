import t from 'tap'
import { SessionManager } from '../../index.js'
import { memoryRepository } from '../../testing/index.js'
import { FaultyRepository } from '../support/memory.js'
import '../support/session-data.js'

const BAD = { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }

t.test('what is no user id, no label and no options is refused, and changes nothing', async t => {
  const manager = new SessionManager({ table: 'sessions', client: memoryRepository(), userIndex: true })
  const session = await manager.create({ count: 1 })
  for (const wrong of ['', 5, undefined]) t.throws(() => session.bind(wrong as string), { ...BAD, message: /"userId"/ })
  for (const label of ['', 5, null, 'x'.repeat(129), '\ud800']) t.throws(() => session.bind('ann', { label: label as string }), { ...BAD, message: /"label"/ })
  for (const wrong of [null, 'desk', 5]) t.throws(() => session.bind('ann', wrong as never), { ...BAD, message: /"bind\(userId, options\)"/ })
  t.equal(session.isChanged, false)
  session.bind('ann', { label: 'é'.repeat(64) })
  t.equal(session.isChanged, true)
})

t.test('without the option there are no users', async t => {
  const manager = new SessionManager({ table: 'sessions', client: memoryRepository() })
  const session = await manager.create({ count: 1 })
  t.throws(() => session.bind('ann'), { ...BAD, message: /userIndex/ })
  await t.rejects(manager.list('ann'), { ...BAD, message: /userIndex/ })
  await t.rejects(manager.revokeAll('ann'), { ...BAD, message: /userIndex/ })
})

t.test('a repository that keeps no lists is refused where there are to be users, and serves without', async t => {
  const client = Object.assign(new FaultyRepository(), { users: undefined })
  t.throws(() => new SessionManager({ table: 'sessions', client, userIndex: true }), BAD)
  const manager = new SessionManager({ table: 'sessions', client })
  const session = await manager.create({ count: 1 })
  await t.rejects(manager.list('ann'), BAD)
  await manager.revoke(String(session.loggableId))
  await manager.destroy(String(session.id))
})

t.test('a session is bound again where it was not certain that it is, and not where it is', async t => {
  const client = new FaultyRepository()
  const manager = new SessionManager({ table: 'sessions', client, userIndex: true })
  const session = await manager.create({ count: 1 })
  client.meet('save', 'fail after')
  session.bind('ann')
  await t.rejects(session.save(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  client.take()
  await session.save()
  t.same(client.take(), ['save'])
  session.bind('ann')
  await session.save()
  t.same(client.take(), [])
})

t.test('what is excepted or current must be a session or a loggableId', async t => {
  const manager = new SessionManager({ table: 'sessions', client: memoryRepository(), userIndex: true })
  const session = await manager.create({ count: 1 })
  session.bind('ann')
  await session.save()
  for (const wrong of ['x', 5, {}, session.id?.slice(1)]) {
    await t.rejects(manager.revokeAll('ann', { except: wrong as string }), BAD)
    await t.rejects(manager.list('ann', { current: wrong as string }), BAD)
  }
  t.match(await manager.list('ann', { current: session }), [{ current: true }])
  await session.regenerate(true)
  t.match(await manager.list('ann', { current: session }), [{ current: true }], 'until its new id is stored, it is the one before')
  await manager.revokeAll('ann', { except: [session, undefined as never] })
  await session.save()
  t.match(await manager.list('ann', { current: session }), [{ current: true, loggableId: session.loggableId }])
})
