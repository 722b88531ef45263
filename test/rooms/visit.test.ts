import t from 'tap'
import { errors } from '../../lib/errors.js'
import { Keeper } from '../../lib/keeper.js'
import { resolveOptions } from '../../lib/options.js'
import type { Visit } from '../../lib/visit.js'
import { openStored, setKeeper } from '../support/memory.js'

t.test('saving a blank session creates one, empty, because the application asked', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  await visit.session.save()
  t.same(repository.take(), ['create'])
  t.ok(visit.session.token)
  t.equal(visit.session.version, 1)
  t.match(visit.takeDelivery(), { token: { id: visit.session.id, record: { version: 1 } }, wrote: { key: visit.session.loggableId, version: 1 } })
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
  t.match(visit.takeDelivery(), { token: { id: visit.session.id }, wrote: { version: 1 } })
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

t.test('regenerating while a save is under way waits for it, and nothing of it is left behind', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  visit.session.set('count', 1)
  const first = visit.session.id ?? ''
  const acts = [visit.session.save(), visit.session.regenerate(true)]
  await visit.settle(false)
  await Promise.all(acts)
  t.same(repository.take(), ['create', 'create', 'replace'])
  t.not(visit.session.id, first)
  t.match(visit.takeDelivery(), { token: { id: visit.session.id }, wrote: { key: visit.session.loggableId } })
})

t.test('without an act under way, regenerating takes effect at once, also where it is not awaited', async t => {
  const stage = setKeeper()
  const { visit, id } = await openStored(stage, { count: 1 })
  const done = visit.session.regenerate()
  visit.session.set('userId', 'u')
  t.not(visit.session.id, id)
  t.same(visit.session.data(), { userId: 'u' })
  await done
})

t.test('what is told to the browser is what was stored, whatever the session is by then', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  visit.session.set('count', 1)
  await visit.session.save()
  const { id } = visit.session
  await visit.session.regenerate(true)
  repository.meet('create', 'fail before')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.not(visit.session.id, id)
  t.match(visit.takeDelivery(), { token: { id } }, 'the first one, which works')
})

t.test('an explicit save that was refused for good is not tried again at the end of the request', async t => {
  for (const prepare of [
    async (stage: ReturnType<typeof setKeeper>) => {
      const { visit, open } = await openStored(stage)
      await (await open()).session.destroy()
      return visit
    },
    async (stage: ReturnType<typeof setKeeper>) => {
      const { visit, open } = await openStored(stage)
      await (await open()).session.regenerate(true)
      const other = await open()
      await other.session.regenerate(true)
      await other.session.save()
      await visit.session.regenerate(true)
      return visit
    }
  ]) {
    const stage = setKeeper()
    const visit = await prepare(stage)
    visit.session.set('count', 2)
    await t.rejects(visit.session.save())
    stage.repository.take()
    await visit.settle(false)
    t.same(stage.repository.take(), [])
    t.equal(visit.isUnsaved(true), false)
  }
})

t.test('an explicit save after touch renews, and says when the session has ended or cannot be reached', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  stage.clock.forward(5)
  visit.session.touch()
  await visit.session.save()
  t.same(stage.repository.take(), ['touch'])
  t.equal(visit.session.lastSeenAt, stage.clock.ms / 1000)
  stage.clock.forward(5)
  visit.session.touch()
  stage.repository.meet('touch', 'fail before')
  await t.rejects(visit.session.save(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  stage.repository.meet('touch', () => false)
  await visit.session.save()
  await (await open()).session.destroy()
  visit.session.touch()
  await t.rejects(visit.session.save(), { code: 'FST_DYNAMODB_SESSION_GONE' })
})

t.test('a session in a format that is not configured can be destroyed and replaced, though not read', async t => {
  const own = { name: 'own', encode: (value: unknown) => JSON.stringify(value), decode: (stored: unknown) => JSON.parse(String(stored)) as unknown }
  const stage = setKeeper({ format: own })
  const { id, key } = await openStored(stage, { count: 1 })
  const other = new Keeper(resolveOptions({ table: 'sessions', client: stage.repository, now: () => stage.clock.ms }), stage.log)
  const open = async () => (await other.open(id, key, stage.log)).visit
  const visit = await open()
  t.ok(visit.session.has('count'))
  for (const use of [() => visit.session.get('count'), () => visit.session.data(), () => { visit.session.set('count', 2) }]) {
    t.throws(use, { code: 'FST_DYNAMODB_SESSION_UNREADABLE', statusCode: 500 })
  }
  await t.rejects(visit.session.regenerate(true), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  await visit.session.regenerate()
  visit.session.set('count', 3)
  await visit.settle(false)
  const { id: newId = '', key: newKey = '' } = visit.state
  t.same((await other.open(newId, newKey, stage.log)).visit.session.data(), { count: 3 })
  await (await other.open(newId, newKey, stage.log)).visit.session.destroy()
})

t.test('changes since the last plan are known to be unsaved, until they are saved', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage, { count: 1, cart: ['a'] })
  t.equal(visit.isUnsaved(true), false)
  visit.session.set('count', 2)
  t.equal(visit.isUnsaved(false), true, 'no plan taken yet')
  await visit.settle(false)
  t.equal(visit.isUnsaved(true), false)
  visit.session.get('cart')?.push('b')
  t.same([visit.isUnsaved(false), visit.isUnsaved(true)], [false, true])
  visit.session.set('count', 2)
  await visit.session.save()
  t.equal(visit.isUnsaved(true), false)
  visit.session.set('count', 2)
  t.equal(visit.isUnsaved(false), false, 'the same again is no change')
  visit.session.set('count', 3)
  t.equal(visit.isUnsaved(false), true)
  visit.session.get('cart')?.push((() => {}) as never)
  t.equal(visit.isUnsaved(true), true, 'and what cannot even be compared is one')
})

t.test('what was dropped on purpose is no loss, what is changed after it is', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  visit.session.set('count', 2)
  await visit.settle(true)
  t.equal(visit.isUnsaved(true), false)
  visit.session.set('count', 3)
  t.equal(visit.isUnsaved(false), true)
})

t.test('what could not be written is tried again where the application has changed more since', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  stage.repository.meet('save', () => ({ done: false, record: null }))
  visit.session.set('count', 2)
  await t.rejects(visit.session.save(), { code: 'FST_DYNAMODB_SESSION_GONE' })
  visit.session.set('count', 3)
  stage.repository.take()
  await visit.settle(false)
  t.same(stage.repository.take(), ['save'])
})

t.test('a request that comes late with the token of a replaced session starts no session of its own, unless it regenerates', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  await visit.session.regenerate()
  visit.session.set('userId', 'u')
  await visit.settle(false)
  stage.repository.take()
  const late = await open()
  late.session.set('count', 1)
  await late.settle(false)
  t.same([stage.repository.take(), late.takeDelivery(), late.isUnsaved(true)], [['load'], {}, false])
  t.same(stage.log.messages, ['Changes were dropped, because their session has ended meanwhile'])
  const saved = await open()
  saved.session.set('count', 1)
  await t.rejects(saved.session.save(), { code: 'FST_DYNAMODB_SESSION_GONE' }, 'as where the session is replaced after the read')
  await t.rejects(saved.session.update('count', () => 2), { code: 'FST_DYNAMODB_SESSION_GONE' })
  await saved.settle(false)
  t.same([stage.repository.take(), saved.takeDelivery(), saved.isUnsaved(true)], [['load'], {}, false])
  const login = await open()
  await login.session.regenerate()
  login.session.set('userId', 'u')
  await login.settle(false)
  t.match(login.takeDelivery(), { token: { id: login.session.id } })
})

t.test('acts that a handler left running do not come between the end of the request and its write', async t => {
  for (const act of ['regenerate', 'save', 'destroy'] as const) {
    const stage = setKeeper()
    const visit = stage.keeper.blank(stage.log)
    visit.session.set('userId', 'u')
    let job: Promise<void> | undefined
    stage.repository.meet('create', async () => {
      visit.session.set('count', 1)
      job = visit.session[act]()
      return true
    })
    const { id } = visit.session
    stage.repository.meet('save', () => ({ done: true, version: 2 }))
    await visit.settle(false)
    t.match(visit.takeDelivery(), { token: { id } }, act)
    await job
    t.same(stage.repository.take(), act === 'regenerate' ? ['create'] : ['create', act])
  }
})

t.test('after a save of unknown outcome, what was undone since is undone in the table too', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1, cart: ['a'], userId: 'u' })
  visit.session.set('count', 2)
  visit.session.set('profile', { name: 'x', tags: [] })
  visit.session.delete('userId')
  visit.session.idleTimeout = 60
  stage.repository.meet('save', 'fail after')
  await t.rejects(visit.session.save(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  visit.session.set('count', 1)
  visit.session.delete('profile')
  visit.session.set('userId', 'u')
  visit.session.idleTimeout = undefined
  await visit.settle(false)
  const after = await open()
  t.same(after.session.data(), { count: 1, cart: ['a'], userId: 'u' })
  t.equal(after.session.idleTimeout, 7200)
  t.equal(visit.isUnsaved(true), false)
})

t.test('after a save of unknown outcome, a session that replaces this one has what the application holds', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage, { count: 1 })
  visit.session.set('count', 2)
  visit.session.set('userId', 'x')
  stage.repository.meet('save', 'fail after')
  await t.rejects(visit.session.save())
  visit.session.set('count', 1)
  visit.session.delete('userId')
  await visit.session.regenerate(true)
  await visit.settle(false)
  const { id = '', key = '' } = visit.state
  t.same((await stage.keeper.open(id, key, stage.log)).visit.session.data(), { count: 1 })
})

t.test('after a save that was refused for good, what is changed in place, reloaded or renewed is not passed over', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { cart: ['a', 'x'.repeat(100)] })
  visit.session.get('cart')?.push('b')
  stage.repository.meet('save', () => { throw new errors.TooLarge(1, 1, '') })
  await t.rejects(visit.session.save(), { code: 'FST_DYNAMODB_SESSION_TOO_LARGE' })
  visit.session.get('cart')?.pop()
  visit.session.get('cart')?.pop()
  await visit.settle(false)
  t.same((await open()).session.data(), { cart: ['a'] })

  const again = await open()
  stage.clock.forward(5)
  again.session.set('count', 1)
  stage.repository.meet('save', () => { throw new errors.Conflict() })
  await t.rejects(again.session.save(), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
  await again.session.reload()
  again.session.touch()
  stage.repository.take()
  await again.settle(false)
  t.same(stage.repository.take(), ['touch'])
})

t.test('a value that no format can carry, of which the application knows, does not fail the request again', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage, { cart: [] })
  visit.session.get('cart')?.push((() => {}) as never)
  await t.rejects(visit.session.save(), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
  await visit.settle(false)
  t.equal(visit.isUnsaved(true), false)
  const { visit: dropped } = await openStored(stage, { cart: [] })
  dropped.session.get('cart')?.push((() => {}) as never)
  await dropped.settle(true)
  const { visit: unaware } = await openStored(stage, { cart: [] })
  unaware.session.get('cart')?.push((() => {}) as never)
  await t.rejects(unaware.settle(false), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
})

t.test('a log-out that comes late with the token of a replaced session ends its successor', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  await visit.session.regenerate()
  visit.session.set('userId', 'u')
  await visit.settle(false)
  const late = await open()
  await late.session.destroy()
  t.same(late.takeDelivery(), { token: 'clear' })
  t.equal(await stage.repository.load(visit.session.loggableId ?? '', true), null)
  late.session.set('count', 1)
  await late.settle(false)
  t.match(late.takeDelivery(), { token: { id: late.session.id } }, 'and the session is usable again')
})

t.test('a destroy that failed sends no token, not even one that was to be sent', async t => {
  const stage = setKeeper()
  const visit = stage.keeper.blank(stage.log)
  visit.session.set('count', 1)
  await visit.session.save()
  stage.repository.meet('destroy', 'fail after')
  await t.rejects(visit.session.destroy(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  await visit.settle(false)
  t.same(visit.takeDelivery(), {})
})

t.test('a destroy that failed and a save that worked after it leave a session whose token is sent', async t => {
  const stage = setKeeper()
  const visit = stage.keeper.blank(stage.log)
  visit.session.set('count', 1)
  await visit.session.save()
  stage.repository.meet('destroy', 'fail before')
  await t.rejects(visit.session.destroy(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  visit.session.set('count', 2)
  await visit.settle(false)
  t.match(visit.takeDelivery(), { token: { id: visit.session.id }, wrote: { version: 2 } })
  const { visit: again } = await openStored(stage)
  stage.repository.meet('destroy', 'fail before')
  await t.rejects(again.session.destroy())
  await again.session.destroy()
  t.same(again.takeDelivery(), { token: 'clear' })
})

t.test('a session that was to be discarded, with unknown outcome, gives no token', async t => {
  const stage = setKeeper()
  const visit = stage.keeper.blank(stage.log)
  await visit.session.save()
  await visit.session.regenerate()
  stage.repository.meet('destroy', 'fail after')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.same(visit.takeDelivery(), {})
})

t.test('how long the cookie is to live holds for whatever this request stores', async t => {
  for (const between of [
    async (visit: Visit) => { await visit.session.save(); await visit.session.regenerate() },
    async (visit: Visit) => { await visit.session.save(); await visit.session.regenerate(['userId']) },
    async (visit: Visit) => { await visit.session.destroy() },
    async (visit: Visit) => { await visit.session.reload(); await visit.session.regenerate(true) }
  ]) {
    const stage = setKeeper()
    const { visit } = await openStored(stage)
    visit.session.options({ maxAge: 1000 })
    await between(visit)
    visit.session.set('userId', 'u')
    await visit.settle(false)
    t.equal(visit.state.record?.cookieMaxAge, 1000)
  }
})

t.test('without an idle timeout, a session that has one of its own is renewed in its own time', async t => {
  const stage = setKeeper({ idleTimeout: false })
  const { visit, open } = await openStored(stage)
  visit.session.idleTimeout = 600
  await visit.settle(false)
  for (const [seconds, calls] of [[2, ['load']], [57, ['load']], [1, ['load', 'touch']], [2, ['load']]] as const) {
    stage.clock.forward(seconds)
    stage.repository.take()
    await (await open()).settle(false)
    t.same(stage.repository.take(), calls)
  }
})

/** Lets what is under way come to where it waits. */
const settleDown = async (): Promise<void> => { await new Promise(resolve => setImmediate(resolve)) }

const increment = (value: unknown): number => Number(value ?? 0) + 1

t.test('an update of a blank session creates one with that value, and the next ones go by what is stored', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  t.equal(await visit.session.update('count', increment), 1)
  t.same(repository.take(), ['create'])
  t.equal(await visit.session.update('count', async value => increment(value)), 2)
  t.same(repository.take(), ['save'])
  t.match(visit.takeDelivery(), { token: { id: visit.session.id }, wrote: { key: visit.session.loggableId, version: 2 } })
  await visit.settle(false)
  t.same(repository.take(), [])
})

t.test('an update that gives a blank session no value makes none', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  t.equal(await visit.session.update('count', value => value), undefined)
  t.same([visit.state.status, visit.session.id], ['blank', undefined])
  visit.session.set('count', 1)
  t.equal(await visit.session.update('count', () => undefined), undefined)
  t.same([visit.session.keys(), visit.isUnsaved(true)], [[], false])
  await visit.settle(false)
  t.same([repository.take(), visit.takeDelivery()], [[], {}])
})

t.test('an update of a session that is yet to be created creates it with all that it has, its own value as the base', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  visit.session.set('count', 5)
  visit.session.set('userId', 'u')
  t.equal(await visit.session.update('count', increment), 6)
  t.same(repository.take(), ['create'])
  await visit.settle(false)
  const { id = '', key = '' } = visit.state
  t.same((await keeper.open(id, key, log)).visit.session.data(), { count: 6, userId: 'u' })
})

t.test('an update that could not create a session leaves nothing of it, and what else was put there is created at the end', async t => {
  for (const [before, after] of [[undefined, {}], [{ count: 5 }, { count: 5 }], [{ userId: 'u' }, { userId: 'u' }]] as const) {
    const { keeper, repository, log } = setKeeper()
    const visit = keeper.blank(log)
    for (const [key, value] of Object.entries(before ?? {})) visit.session.set(key as 'userId', value)
    repository.meet('create', 'fail before')
    await t.rejects(visit.session.update('count', increment), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    t.same(visit.session.data(), after)
    await visit.settle(false)
    t.same(repository.take(), before === undefined ? ['create'] : ['create', 'create'])
    const { token } = visit.takeDelivery()
    t.equal(typeof token === 'object', before !== undefined)
  }
})

t.test('what is assigned while an update is failing to create a session stands', async t => {
  for (const [act, after] of [
    [(visit: Visit) => { visit.session.set('count', 77) }, { count: 77 }],
    [(visit: Visit) => { visit.session.delete('count') }, {}]
  ] as const) {
    const { keeper, repository, log } = setKeeper()
    const visit = keeper.blank(log)
    visit.session.set('count', 5)
    repository.meet('create', () => {
      act(visit)
      throw new Error('cut off')
    })
    await t.rejects(visit.session.update('count', increment), new Error('cut off'))
    t.same(visit.session.data(), after)
  }
})

t.test('an update of a stored session writes at once, its own key only, and what else has changed at the end', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  t.equal(await visit.session.update('count', increment), 2)
  t.same(stage.repository.take(), ['save'])
  visit.session.set('userId', 'u')
  t.equal(await visit.session.update('count', increment), 3)
  t.same((await open()).session.data(), { count: 3 })
  stage.repository.take()
  await visit.settle(false)
  t.same(stage.repository.take(), ['save'])
  t.same((await open()).session.data(), { count: 3, userId: 'u' })
  t.match(visit.takeDelivery(), { wrote: { version: 4 } })
})

t.test('an update after regenerate carries that out first, and goes by what is kept', async t => {
  for (const [keep, value] of [[true, 2], [['count'], 2], [false, 1]] as const) {
    const stage = setKeeper()
    const { visit, open, id, key } = await openStored(stage, { count: 1 })
    await visit.session.regenerate(keep)
    t.equal(await visit.session.update('count', increment), value)
    t.same(stage.repository.take(), ['create', 'replace', 'save'])
    t.not(visit.session.id, id)
    t.equal((await stage.repository.load(key, true))?.next, visit.session.loggableId)
    t.same((await open()).session.data(), {})
    t.match(visit.takeDelivery(), { token: { id: visit.session.id }, wrote: { key: visit.session.loggableId, version: 2 } })
    stage.repository.take()
    await visit.settle(false)
    t.same(stage.repository.take(), [])
  }
})

t.test('an update after a regenerate that is refused asks for nothing and writes nothing', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  const other = await open()
  await other.session.regenerate(true)
  await other.session.save()
  await visit.session.regenerate(true)
  let asked = 0
  await t.rejects(visit.session.update('count', value => {
    asked += 1
    return increment(value)
  }), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
  t.equal(asked, 0)
  t.same(stage.repository.take().filter(call => call === 'save'), [])
})

t.test('an update after regenerate of a blank session creates one', async t => {
  const { keeper, repository, log } = setKeeper()
  const visit = keeper.blank(log)
  await visit.session.regenerate()
  t.equal(await visit.session.update('count', increment), 1)
  t.same(repository.take(), ['create'])
})

t.test('an update after destroy begins a new session', async t => {
  const stage = setKeeper()
  const { visit, id, key } = await openStored(stage, { count: 1 })
  await visit.session.destroy()
  t.equal(await visit.session.update('count', increment), 1)
  t.same(stage.repository.take(), ['destroy', 'create'])
  t.not(visit.session.id, id)
  t.match(visit.takeDelivery(), { token: { id: visit.session.id } })
  t.equal(await stage.repository.load(key, true), null)
})

t.test('an update after the end of the request writes all the same, and nothing is lost', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  await visit.settle(false)
  t.equal(await visit.session.update('count', increment), 2)
  t.same(stage.repository.take(), ['save'])
  t.equal(visit.isUnsaved(true), false)
  t.same((await open()).session.data(), { count: 2 })
  const blank = stage.keeper.blank(stage.log)
  await blank.settle(false)
  await blank.session.update('count', increment)
  t.equal(blank.isUnsaved(true), false)
  t.same([blank.state.status, blank.session.version], ['settled', 1])
})

t.test('an update of what no record can have as a key asks for nothing', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  for (const session of [visit.session, stage.keeper.blank(stage.log).session]) {
    for (const key of ['', 'k'.repeat(256), '\ud800', 5, undefined]) {
      await t.rejects(session.update(key as never, () => t.fail('It was asked.') as never), { code: 'FST_DYNAMODB_SESSION_BAD_KEY' })
    }
  }
  t.same(stage.repository.take(), [])
})

t.test('an update by a late request of a replaced session asks for nothing, and one after regenerate begins anew', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  await visit.session.regenerate(true)
  await visit.session.save()
  const late = await open()
  await t.rejects(late.session.update('count', () => t.fail('It was asked.') as never), { code: 'FST_DYNAMODB_SESSION_GONE' })
  await late.session.regenerate()
  t.equal(await late.session.update('count', increment), 1)
  t.match(late.takeDelivery(), { token: { id: late.session.id } })
})

t.test('what the application throws is what an update rejects with, and the request goes on', async t => {
  for (const open of [
    async (stage: ReturnType<typeof setKeeper>) => (await openStored(stage, { count: 1 })).visit,
    async (stage: ReturnType<typeof setKeeper>) => stage.keeper.blank(stage.log)
  ]) {
    const stage = setKeeper()
    const visit = await open(stage)
    const before = visit.session.data()
    await t.rejects(visit.session.update('count', () => { throw new RangeError('broken') }), new RangeError('broken'))
    await t.rejects(visit.session.update('count', async () => { throw new RangeError('broken') }), new RangeError('broken'))
    await t.rejects(visit.session.update('count', () => 5n as never), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
    t.same(visit.session.data(), before)
    await visit.settle(false)
    t.same(stage.repository.take(), [])
  }
})

t.test('updates that are not awaited run in their order with other acts, and the end of the request waits for them', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  let answer = (): void => {}
  const held = new Promise<void>(resolve => { answer = resolve })
  visit.session.set('userId', 'u')
  const acts = [
    visit.session.save(),
    visit.session.update('count', async value => {
      await held
      return increment(value)
    }),
    visit.session.update('count', increment)
  ]
  let isSettled = false
  visit.session.set('any:last', true)
  const settled = visit.settle(false).then(() => { isSettled = true })
  await settleDown()
  t.same([isSettled, stage.repository.take()], [false, ['save']])
  answer()
  await settled
  t.same(await Promise.all(acts), [undefined, 2, 3])
  t.same(stage.repository.take(), ['save', 'save'], 'the first save had it all')
  t.same((await open()).session.data(), { count: 3, userId: 'u', 'any:last': true })
})

t.test('a save while the application is asked for an update writes what else there is, and the update follows', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  visit.session.set('userId', 'u')
  t.equal(await visit.session.update('count', async value => {
    await visit.session.save()
    t.same((await open()).session.data(), { count: 1, userId: 'u' })
    stage.repository.take()
    return increment(value)
  }), 2)
  t.same(stage.repository.take(), ['save'])
  t.equal(visit.session.version, 3)
  await visit.settle(false)
  t.same((await open()).session.data(), { count: 2, userId: 'u' })
})

t.test('an act that is called later in the answer, after something else was awaited, is waited for no longer than an operation takes', async t => {
  const stage = setKeeper({ timeout: 0.03 })
  const { visit, open } = await openStored(stage, { count: 1 })
  visit.session.set('userId', 'u')
  const start = performance.now()
  t.equal(await visit.session.update('count', async value => {
    await settleDown()
    await visit.session.save()
    return increment(value)
  }), 2)
  const took = performance.now() - start
  t.ok(took >= 25 && took < 1000, `${took} ms`)
  t.same((await open()).session.data(), { count: 2, userId: 'u' })
})

t.test('an update of another key while the application is asked for one writes both', async t => {
  const stage = setKeeper({ timeout: 0.03 })
  const { visit, open } = await openStored(stage, { count: 1 })
  t.equal(await visit.session.update('count', async value => {
    t.equal(await visit.session.update('any:total', total => Number(total ?? 100) + 1), 101)
    return increment(value)
  }), 2)
  t.same(stage.repository.take(), ['save', 'save'])
  t.same((await open()).session.data(), { count: 2, 'any:total': 101 })
})

t.test('a destroy while the application is asked stands, and nothing is written after it', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage, { count: 1 })
  await t.rejects(visit.session.update('count', async value => {
    await visit.session.destroy()
    return increment(value)
  }), { code: 'FST_DYNAMODB_SESSION_GONE' })
  await visit.settle(false)
  t.same(stage.repository.take(), ['destroy'])
  t.same(visit.takeDelivery(), { token: 'clear' })
  t.equal(await stage.repository.load(key, true), null)
})

t.test('a reload while the application is asked has it asked anew, with what was read', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  const other = await open()
  other.session.set('count', 5)
  await other.save()
  stage.repository.take()
  const given: unknown[] = []
  t.equal(await visit.session.update('count', async value => {
    if (given.push(value) === 1) await visit.session.reload()
    return increment(value)
  }), 6)
  t.same(given, [1, 5])
  t.same(stage.repository.take(), ['load', 'save'])
})

t.test('a regenerate while the application is asked is carried out at the end, and the update says that it was not', async t => {
  const stage = setKeeper()
  const { visit, id } = await openStored(stage, { count: 1 })
  await t.rejects(visit.session.update('count', async value => {
    await visit.session.regenerate(true)
    return increment(value)
  }), { code: 'FST_DYNAMODB_SESSION_GONE' })
  t.same(stage.repository.take(), [])
  await visit.settle(false)
  t.same(stage.repository.take(), ['create', 'replace'])
  t.not(visit.session.id, id)
  t.same(visit.session.data(), { count: 1 })
  t.match(visit.takeDelivery(), { token: { id: visit.session.id } })
})

t.test('an update of unknown outcome leaves nothing to be written, and the next one finds out', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { count: 1 })
  stage.repository.meet('save', 'fail after')
  await t.rejects(visit.session.update('count', increment), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.equal(visit.isUnsaved(true), false)
  const given: unknown[] = []
  t.equal(await visit.session.update('count', value => {
    given.push(value)
    return increment(value)
  }), 3)
  t.same(given, [1, 2])
  await visit.settle(false)
  t.same((await open()).session.data(), { count: 3 })
})

t.test('a destroy that failed and an update that worked after it leave a session whose token is sent', async t => {
  const stage = setKeeper()
  const visit = stage.keeper.blank(stage.log)
  visit.session.set('count', 1)
  await visit.session.save()
  stage.repository.meet('destroy', 'fail before')
  await t.rejects(visit.session.destroy(), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.equal(await visit.session.update('count', increment), 2)
  await visit.settle(false)
  t.match(visit.takeDelivery(), { token: { id: visit.session.id }, wrote: { version: 2 } })
})
