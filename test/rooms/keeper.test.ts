import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import t from 'tap'
import type { Traces } from '../../lib/companion.js'
import { Keeper } from '../../lib/keeper.js'
import { resolveOptions } from '../../lib/options.js'
import { openStored, Remarks, setKeeper } from '../support/memory.js'
import { memoryRepository } from '../../testing/index.js'

/** What a companion says that was sent with a write. */
const wrote = (version: number): Traces => ({ version, activeAt: undefined, isOutdated: false })

t.test('a living session is opened by one read', async t => {
  const stage = setKeeper()
  const { id, key } = await openStored(stage)
  const { visit, ended } = await stage.keeper.open(id, key, stage.log, wrote(1))
  t.equal(ended, undefined)
  t.same(visit.session.data(), { a: 1 })
  t.same(stage.repository.take(), ['load'])
})

t.test('what is missing, expired or replaced opens as a blank session with the reason', async t => {
  const stage = setKeeper()
  const { id, key, visit } = await openStored(stage)
  const missing = await stage.keeper.open(id, 'no such key', stage.log)
  t.same([missing.ended, missing.visit.state.status], ['missing', 'blank'])
  stage.clock.forward(7200)
  stage.repository.take()
  t.equal((await stage.keeper.open(id, key, stage.log)).ended, 'expired')
  t.same(stage.repository.take(), ['load', 'load'], 'what seems expired is read again, strongly')
  stage.clock.forward(-7200)
  visit.state.regenerate(true)
  await visit.save()
  stage.repository.take()
  t.equal((await stage.keeper.open(id, key, stage.log)).ended, 'replaced')
  t.same(stage.repository.take(), ['load'], 'what is replaced stays so')
})

t.test('a read that lags behind what the visitor knows is repeated, strongly, once', async t => {
  const stage = setKeeper()
  const { id, key } = await openStored(stage)
  stage.repository.meet('load', () => null)
  t.equal((await stage.keeper.open(id, key, stage.log, wrote(1))).ended, undefined)
  t.same(stage.repository.take(), ['load', 'load'])
  t.equal((await stage.keeper.open(id, key, stage.log, wrote(999))).ended, undefined, 'a forged version cannot lock anybody out')
  t.same(stage.repository.take(), ['load', 'load'])
})

t.test('with consistentRead there is nothing to repeat', async t => {
  const stage = setKeeper({ consistentRead: true })
  const { id } = await openStored(stage)
  await stage.keeper.open(id, 'no such key', stage.log, wrote(5))
  t.same(stage.repository.take(), ['load'])
})

t.test('unknown ids are told of with a hash and a count', async t => {
  const stage = setKeeper()
  await stage.keeper.open('id', 'key 1', stage.log)
  await stage.keeper.open('id', 'key 2', stage.log)
  t.same(stage.log.details, [{ loggableId: 'key 1', count: 1 }])
  stage.clock.forward(60)
  await stage.keeper.open('id', 'key 3', stage.log)
  t.same(stage.log.details[1], { loggableId: 'key 3', count: 2 })
})

t.test('requests with tokens of several sessions are counted, and told of without any of them', async t => {
  const { keeper, log, clock } = setKeeper()
  for (let count = 0; count < 3; count++) keeper.noticeAmbiguous(log)
  t.strictSame(log.details, [{ count: 1 }])
  t.match(log.messages[0], 'tokens of several sessions')
  clock.forward(60)
  keeper.noticeAmbiguous(log)
  t.strictSame(log.details, [{ count: 1 }, { count: 3 }])
})

t.test('a session in use goes on living when the idle timeout is lowered', async t => {
  const stage = setKeeper()
  const { id, key } = await openStored(stage)
  const strict = new Keeper(resolveOptions({ table: 'sessions', client: stage.repository, now: () => stage.clock.ms, idleTimeout: 600 }), stage.log)
  for (let minute = 1; minute <= 30; minute++) {
    stage.clock.forward(60)
    const { visit, ended } = await strict.open(id, key, stage.log)
    t.equal(ended, undefined, `minute ${minute}`)
    await visit.settle(false)
  }
  stage.clock.forward(600)
  t.equal((await strict.open(id, key, stage.log)).ended, 'expired')
})

t.test('a session that dies by tightened settings is dead, whatever the record says', async t => {
  const stage = setKeeper()
  const { id, key } = await openStored(stage)
  const strict = new Keeper(resolveOptions({
    table: 'sessions', client: stage.repository, now: () => stage.clock.ms, absoluteTimeout: 60
  }), stage.log)
  stage.clock.forward(59)
  t.equal((await strict.open(id, key, stage.log)).ended, undefined)
  stage.clock.forward(1)
  t.equal((await strict.open(id, key, stage.log)).ended, 'expired')
  t.equal((await stage.keeper.open(id, key, stage.log)).ended, undefined)
})

t.test('a failed read is a failure, never a missing session', async t => {
  const stage = setKeeper()
  const { id, key } = await openStored(stage)
  stage.repository.meet('load', 'fail before')
  await t.rejects(stage.keeper.open(id, key, stage.log), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
})

t.test('a record in a format that is not configured is a failure, never a missing session', async t => {
  const stage = setKeeper({ format: { name: 'own', encode: value => JSON.stringify(value), decode: text => JSON.parse(String(text)) as unknown } })
  const { id, key } = await openStored(stage)
  const other = new Keeper(resolveOptions({ table: 'sessions', client: stage.repository, now: () => stage.clock.ms }), stage.log)
  const { visit, ended } = await other.open(id, key, stage.log)
  t.equal(ended, undefined)
  t.throws(() => visit.session.data(), { code: 'FST_DYNAMODB_SESSION_UNREADABLE', statusCode: 500 })
})

t.test('a repository that was handed in is closed with the keeper, and creates no table', async t => {
  let closed = 0
  const repository = Object.assign(memoryRepository(), { close: () => { closed += 1 } })
  new Keeper(resolveOptions({ table: 'sessions', client: repository }), new Remarks()).close()
  t.equal(closed, 1)
  new Keeper(resolveOptions({ table: 'sessions', client: memoryRepository() }), new Remarks()).close()
  t.throws(() => new Keeper(resolveOptions({ table: 'sessions', client: repository, createTable: true }), new Remarks()),
    { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
})

t.test('a session that could not be read is opened as one that seems blank and knows why', async t => {
  const { keeper, repository, log } = setKeeper()
  const cause = new Error('cut off')
  const { session, state } = keeper.unread(log, new Error('unavailable', { cause }))
  t.same([session.data(), session.id, state.status], [{}, undefined, 'blank'])
  t.equal(state.unread, cause)
  t.throws(() => { session.set('count', 1) }, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', cause })
  t.match(keeper.unread(log, new Error('for no cause')).state.unread, new Error('The session could not be read.'))
  t.equal(keeper.blank(log).state.unread, undefined)
  t.same(repository.take(), [])
})

t.test('a session is opened for callers without a visitor by one strong read, or not at all', async t => {
  const stage = setKeeper()
  const { id, key, visit } = await openStored(stage)
  const reads: boolean[] = []
  const { load } = stage.repository
  stage.repository.load = async (key, consistent) => {
    reads.push(consistent)
    return await load(key, consistent)
  }
  t.same((await stage.keeper.openConsistent(id, key, stage.log))?.session.data(), { a: 1 })
  t.equal(await stage.keeper.openConsistent(id, 'no such key', stage.log), null)
  stage.clock.forward(7200)
  t.equal(await stage.keeper.openConsistent(id, key, stage.log), null)
  t.same(reads, [true, true, true])
  stage.clock.forward(-7200)
  await stage.keeper.destroyKey(key, stage.log)
  t.equal(await stage.keeper.openConsistent(visit.state.id ?? '', key, stage.log), null)
})

t.test('a record that lacks what a session needs counts as absent, and the log is told its key', async t => {
  const log = new Remarks()
  const client = { send: async () => ({ Item: { id: { S: 'key' } }, ConsumedCapacity: { CapacityUnits: 0.5 } }) } as unknown as DynamoDBClient
  const { ended } = await new Keeper(resolveOptions({ table: 'sessions', client }), log).open('id', 'key', log)
  t.equal(ended, 'missing')
  t.same(log.messages, ['A record lacks what a session needs and counts as absent', 'Tokens came in for which there is no session'])
  t.match(log.details[0], { loggableId: 'key' })
})
