import t from 'tap'
import { SessionManager } from '../../index.js'
import { destroyKey } from '../../lib/endings.js'
import { memoryRepository } from '../../testing/index.js'
import { aRecord, NOW } from '../../testing/records.js'
import { setStage } from '../support/app.js'
import { onOneEngine } from '../support/engines.js'
import { FaultyRepository } from '../support/memory.js'

const GONE = { code: 'FST_DYNAMODB_SESSION_GONE' }

onOneEngine(t, async (t, engine) => {
  await t.test('a revoked session is dead at once: it is not read, not saved and not replaced, and its requests answer', async t => {
    const { app, proxy, visitor, item, log } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { userId: 'ann', cart: ['apple'] })
    const { id } = (await ann.get('/me')).json()
    const { loggableId = '' } = await app.sessions.load(id, { required: true })
    const gate = proxy.gate({ action: 'UpdateItem' })
    const late = ann.post('/set', { count: 1 })
    await gate.reached
    proxy.take()
    await app.sessions.revoke(loggableId)
    t.same(proxy.takeCalls().map(({ action, capacity }) => [action, capacity]), [['GetItem', 1], ['PutItem', 1]])
    gate.release()
    t.equal((await late).statusCode, 200, 'a save at the end of a request is dropped')
    t.equal(log.warnings().at(-1), 'Changes were dropped, because their session has ended meanwhile')
    t.same((await ann.get('/me')).json().data, {})
    t.equal(await app.sessions.load(id), null)
    t.match(await item(loggableId), { next: { S: '-' }, data: { M: {} } })
  })

  await t.test('a session that is revoked while it is being stored is not stored, and gets no other id', async t => {
    const { app, proxy, items } = await setStage(t, engine)
    const gate = proxy.gate({ action: 'PutItem' })
    const creation = app.sessions.create({ userId: 'ann' })
    creation.catch(() => {})
    const { input } = await gate.reached
    const loggableId = String(input['Item'].id.S)
    await app.sessions.revoke(loggableId)
    gate.release()
    await t.rejects(creation, GONE)
    t.same((await items()).map(({ id, next }) => [id?.S, next?.S]), [[loggableId, '-']])
  })

  await t.test('a revoke follows a session that was replaced, and one whose answer was lost is repeated', async t => {
    const { app, proxy, visitor, items } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { userId: 'ann' })
    const { id } = (await ann.get('/me')).json()
    const first = await app.sessions.load(id, { required: true })
    await ann.post('/login')
    proxy.take()
    await app.sessions.revoke(first.loggableId ?? '')
    t.same(proxy.take(), ['GetItem', 'PutItem', 'GetItem', 'GetItem', 'PutItem'], 'the refusal of the first tells its successor')
    t.same((await ann.get('/me')).json().data, {})
    await app.sessions.revoke(first.loggableId ?? '')
    t.same((await items()).map(({ next }) => typeof next?.S).sort(), ['string', 'string'], 'nothing has come back')
  })

  await t.test('what is no loggableId is refused, so that nothing else of the table is overwritten', async t => {
    const { app, proxy } = await setStage(t, engine)
    for (const wrong of ['', 'x', 'user#abc', '-', undefined, 5, `${'a'.repeat(42)}=`]) {
      await t.rejects(app.sessions.revoke(wrong as string), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, String(wrong))
    }
    t.same(proxy.take(), [])
  })
})

t.test('a repository that cannot revoke says so', async t => {
  const inner = new FaultyRepository()
  Object.assign(inner, { revoke: undefined })
  const manager = new SessionManager({ table: 'sessions', client: inner })
  await t.rejects(manager.revoke(aRecord().key), { message: /without revoke/ })
})

t.test('records that replace each other in a circle, or without end, end a destroy', async t => {
  const repository = memoryRepository()
  const [one, two] = [aRecord(), aRecord()]
  for (const record of [one, two]) await repository.create(record, NOW)
  await repository.replace(one.key, { next: two.key, base: one, sameVersion: false, now: NOW })
  await repository.replace(two.key, { next: one.key, base: two, sameVersion: false, now: NOW })
  await destroyKey(repository, one.key, undefined)
  repository.destroy = async () => aRecord().key
  await t.rejects(destroyKey(repository, one.key, undefined), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
})

t.test('a destroy tells to whom each session was bound: by its deletion, else by what was read of the first', async t => {
  const repository = memoryRepository()
  const [ann, ben] = [aRecord().key, aRecord().key]
  const [old, next] = [aRecord({ user: ann }), aRecord({ user: ben })]
  for (const record of [old, next]) await repository.create(record, NOW)
  await repository.replace(old.key, { next: next.key, base: old, sameVersion: false, now: NOW })
  t.same([...await destroyKey(repository, old.key, ben)], [[old.key, ann], [next.key, ben]], 'the table knows better than who read it before')
  t.same([...await destroyKey(repository, next.key, ben)], [[next.key, ben]], 'what is deleted twice tells nothing')
  t.same([...await destroyKey(repository, next.key, undefined)], [[next.key, undefined]])
})

t.test('a repository that gives the key of a successor by itself, and nothing else, is served', async t => {
  const repository = memoryRepository()
  const [old, next] = [aRecord(), aRecord()]
  for (const record of [old, next]) await repository.create(record, NOW)
  await repository.replace(old.key, { next: next.key, base: old, sameVersion: false, now: NOW })
  const { destroy } = repository
  repository.destroy = async key => {
    const answer = await destroy.call(repository, key)
    return typeof answer === 'object' ? answer.next : answer
  }
  const user = aRecord().key
  t.same([...await destroyKey(repository, old.key, user)], [[old.key, user], [next.key, undefined]])
  t.equal(await repository.load(next.key, true), null)
})
