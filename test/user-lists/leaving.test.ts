import t from 'tap'
import { leave } from '../../lib/leaving.js'
import { SessionManager } from '../../lib/manager.js'
import type { SessionMembers } from '../../types/session.js'
import type { UserLists } from '../../types/repository.js'
import { FaultyRepository } from '../support/memory.js'

/** A session that is bound to ann, and her name. */
async function bound () {
  const repository = new FaultyRepository()
  const lists = repository.users as UserLists
  const manager = new SessionManager({ table: 'sessions', client: repository, userIndex: true })
  const session: SessionMembers = await manager.create({ count: 1 })
  session.bind('ann')
  await session.save()
  const key = String(session.loggableId)
  const ann = String((await repository.load(key, true))?.user)
  const isListed = async (): Promise<boolean> => (await lists.load(ann))?.sessions.has(key) === true
  return { repository, lists, manager, session, key, ann, isListed }
}

t.test('a session leaves a list when its record says that it is dead or another user\'s, and else stays', async t => {
  const { repository, lists, session, key, ann, isListed } = await bound()
  await leave(repository as typeof repository & { users: UserLists }, ann, key, Math.random)
  t.ok(await isListed())
  repository.meet('load', async () => ({ ...await repository.load(key, true), user: 'ben' }))
  await leave({ load: repository.load, users: lists }, ann, key, Math.random)
  t.notOk(await isListed())
  repository.take()
  await leave({ load: repository.load, users: lists }, ann, key, Math.random)
  t.same(repository.take(), [], 'what is not listed is not looked at')
  await lists.add(ann, key, { createdAt: 1, lastSeenAt: 1, expiresAt: 2 })
  await repository.revoke(key, Date.now() / 1000, ann)
  await leave({ load: repository.load, users: lists }, ann, key, Math.random)
  t.notOk(await isListed(), 'a tombstone keeps none')
  t.ok(session.loggableId)
})

t.test('where the list has changed meanwhile, the record is asked again; and there is an end to that', async t => {
  const { repository, lists, key, ann, isListed } = await bound()
  repository.meet('load', async () => {
    await lists.add(ann, key, { createdAt: 1, lastSeenAt: 1, expiresAt: 2 })
    return null
  })
  await leave({ load: repository.load, users: lists }, ann, key, Math.random)
  t.ok(await isListed(), 'it is bound to them again')
  const busy = { load: lists.load.bind(lists), add: lists.add.bind(lists), amend: lists.amend.bind(lists), rewrite: async () => false }
  await t.rejects(leave({ load: async () => null, users: busy }, ann, key, Math.random), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
})
