import t from 'tap'
import { openStored, setKeeper } from './support/memory.js'

t.test('saving a blank session creates one, empty, because the application asked', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  await visit.session.save()
  t.same(repository.take(), ['create'])
  t.ok(visit.session.token)
  t.equal(visit.session.version, 1)
  t.same(visit.takeDelivery(), { token: 'send', wrote: true })
  t.same(visit.takeDelivery(), {}, 'the browser is told once')
})

t.test('saving without changes makes no call', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  await visit.session.save()
  t.same(stage.repository.take(), [])
})

t.test('each save writes what has changed since the one before', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, {})
  visit.session.set('cart', ['apple'])
  await visit.session.save()
  visit.session.get('cart')?.push('pear')
  await visit.session.save()
  t.same((await open()).session.data(), { cart: ['apple', 'pear'] })
  t.equal(visit.session.version, 3)
})

t.test('a value set while a save is under way is not taken for saved', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, {})
  visit.session.set('count', 1)
  const saving = visit.session.save()
  await Promise.resolve()
  visit.session.set('count', 2)
  visit.session.set('userId', 'u')
  await saving
  await visit.settle(false)
  t.same((await open()).session.data(), { count: 2, userId: 'u' })
})

t.test('a key deleted while the save that wrote it is under way stays deleted', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, {})
  visit.session.set('count', 1)
  const saving = visit.session.save()
  await Promise.resolve()
  visit.session.delete('count')
  await saving
  t.notOk(visit.session.has('count'))
  await visit.settle(false)
  t.same((await open()).session.data(), {})
})

t.test('acts that are not awaited run in their order, and the end of the request waits for them', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  visit.session.set('count', 1)
  const acts = [visit.session.save(), visit.session.destroy()]
  await visit.settle(false)
  t.same(stage.repository.take(), ['save', 'destroy'])
  await Promise.all(acts)
  t.equal(await stage.repository.load(key, true), null)
})

t.test('an act that fails does not keep the next one from running', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  stage.repository.meet('destroy', 'fail before')
  const acts = [visit.session.destroy(), visit.session.destroy()]
  await t.rejects(acts[0] as Promise<void>, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  await acts[1]
  t.equal(await stage.repository.load(key, true), null)
})

t.test('a destroy that fails leaves the session as it was, and no token is cleared', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  stage.repository.meet('destroy', 'fail before')
  await t.rejects(visit.session.destroy(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.same(visit.session.data(), { a: 1 })
  t.same(visit.takeDelivery(), {})
})

t.test('destroying a blank session makes no call', async t => {
  const { keeper, repository, log } = setKeeper()
  await keeper.blank(log).session.destroy()
  t.same(repository.take(), [])
})

t.test('a destroyed session is blank and usable again, under a new id', async t => {
  const stage = setKeeper()
  const { visit, id } = await openStored(stage)
  await visit.session.destroy()
  t.same([visit.session.id, visit.session.keys()], [undefined, []])
  visit.session.set('count', 1)
  t.not(visit.session.id, id)
  await visit.settle(false)
  t.same(visit.takeDelivery(), { token: 'send', wrote: true })
})

t.test('reload reads what is there now and drops what was not saved', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  const other = await open()
  other.session.set('count', 2)
  await other.settle(false)
  visit.session.set('userId', 'lost')
  stage.repository.take()
  await visit.session.reload()
  t.same(stage.repository.take(), ['load'])
  t.same(visit.session.data(), { count: 2 })
  t.equal(visit.session.isChanged, false)
})

t.test('reload of a session that has ended says so, and of a blank one does nothing', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  await (await open()).session.destroy()
  await t.rejects(visit.session.reload(), { code: 'FST_DYNAMODB_SESSION_GONE' })
  const { visit: late } = await openStored(stage)
  stage.clock.forward(7200)
  await t.rejects(late.session.reload(), { code: 'FST_DYNAMODB_SESSION_GONE' })
  stage.repository.take()
  const blank = stage.keeper.blank(stage.log)
  await blank.session.reload()
  blank.session.set('count', 1)
  await blank.session.reload()
  t.equal(blank.session.get('count'), 1)
  t.same(stage.repository.take(), [])
})

t.test('cookie attributes are checked and kept for this session, its maxAge with the record', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  visit.session.options({ sameSite: 'strict', userInfo: 'not an attribute' })
  t.match(visit.cookie, { name: '__Host-id', sameSite: 'strict', path: '/' })
  t.equal(visit.session.isChanged, false, 'attributes but maxAge are not stored')
  visit.session.options({ maxAge: 3600 })
  await visit.settle(false)
  t.equal((await open()).state.record?.cookieMaxAge, 3600)
  t.throws(() => { visit.session.options({ maxAge: 40_000_000 }) }, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
  t.throws(() => { visit.session.options({ domain: 'shop.example' }) }, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, 'a __Host- cookie has none')
})

t.test('changes of a session that has ended are dropped at the end of a request, and the log is told, not the visitor', async t => {
  const stage = setKeeper()
  const { visit, open, key } = await openStored(stage)
  await (await open()).session.destroy()
  visit.session.set('count', 1)
  await visit.settle(false)
  t.same(visit.takeDelivery(), {})
  t.same(stage.log.messages, ['Changes were dropped, because their session has ended meanwhile'])
  t.same(stage.log.details, [{ loggableId: key }])
})

t.test('a save that fails at the end of a request fails it, and is tried once', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  visit.session.set('count', 1)
  stage.repository.meet('save', 'fail before')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  await visit.settle(false)
  t.same(stage.repository.take(), ['save'])
})
