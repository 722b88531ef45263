import t from 'tap'
import { Creations } from '../../lib/creations.js'
import { errors } from '../../lib/errors.js'
import { resolveOptions } from '../../lib/options.js'
import type { Plan } from '../../lib/plan.js'
import { SessionState } from '../../lib/session.js'
import { Users } from '../../lib/users.js'
import { FaultyRepository, Remarks } from '../support/memory.js'

const NOW = 1_800_000_000
const GONE = { code: 'FST_DYNAMODB_SESSION_GONE' }
const TOO_LARGE = { code: 'FST_DYNAMODB_SESSION_TOO_LARGE' }

function setUp (user?: string) {
  const repository = new FaultyRepository()
  const settings = resolveOptions({ table: 'sessions', client: repository, userIndex: true, now: () => NOW * 1000 })
  const users = settings.userIndex === false ? undefined : settings.userIndex.namesOf('ann')
  const creations = new Creations(repository, new Users(repository as never, settings))
  const state = new SessionState(settings)
  state.values.set('a', 1)
  if (user !== undefined && users !== undefined) {
    state.binding = { users, label: undefined }
    state.own.assign({ user: users[0] })
  }
  const log = new Remarks()
  const create = async () => await creations.create(state, state.plan(NOW, true) as Plan & { kind: 'create' }, log)
  const listed = async () => [...(await repository.users?.load(String(users?.[0])))?.sessions.keys() ?? []]
  return { repository, state, create, listed, log }
}

const tooLarge = (): never => { throw new errors.TooLarge(2, 1, 'a') }

t.test('a record is stored under its id, and an id that is taken is left for another, a few times', async t => {
  const { repository, create, state } = setUp()
  repository.meet('create', () => false)
  const first = state.plan(NOW, true) as Plan & { kind: 'create' }
  const record = await create()
  t.not(record.key, first.record.key)
  t.same(repository.take(), ['create', 'load', 'create'])
  t.same([...(await repository.load(record.key, true))?.data ?? []], [['a', { S: '1' }]])
  for (let attempt = 0; attempt < 3; attempt++) repository.meet('create', () => false)
  await t.rejects(create(), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
})

t.test('a record that was revoked before it is stored gets no other id, and one that is bound leaves its list', async t => {
  for (const user of [undefined, 'ann']) {
    const { repository, create, state, listed } = setUp(user)
    const { record } = state.plan(NOW, true) as Plan & { kind: 'create' }
    await repository.revoke(record.key, NOW)
    await t.rejects(create(), GONE)
    t.same(await listed(), [])
  }
})

t.test('a record that is bound is listed first, and leaves the list where it is refused for what it is', async t => {
  const { repository, create, listed } = setUp('ann')
  let before: string[] = []
  repository.meet('create', async () => {
    before = await listed()
    tooLarge()
  })
  await t.rejects(create(), TOO_LARGE)
  t.equal(before.length, 1)
  t.same(await listed(), [])
  const { key } = await create()
  t.same(await listed(), [key])
})

t.test('it stays listed where it may be stored, also if it is refused afterwards', async t => {
  const { repository, create, listed } = setUp('ann')
  repository.meet('create', 'fail after').meet('create', tooLarge)
  await t.rejects(create(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.equal((await listed()).length, 1)
  await t.rejects(create(), TOO_LARGE)
  t.equal((await listed()).length, 1)
})
