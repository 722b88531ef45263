import t, { type Test } from 'tap'
import { channel } from 'node:diagnostics_channel'
import { openStored, setKeeper } from '../support/memory.js'
import type { Visit } from '../../lib/visit.js'

function assign ({ state }: Visit, key: string, value: unknown): void {
  state.values.set(key, value)
  state.change()
}

/** What the channels told while the test ran. */
function listen (t: Test, name: string): unknown[] {
  const told: unknown[] = []
  const listener = (message: unknown): void => { told.push(message) }
  channel(`fastify-dynamodb-session:${name}`).subscribe(listener)
  t.teardown(() => { channel(`fastify-dynamodb-session:${name}`).unsubscribe(listener) })
  return told
}

t.test('a new session under an id that is taken gets another id, and the other session stays', async t => {
  const stage = setKeeper()
  const { visit: other, open } = await openStored(stage)
  const visit = stage.keeper.blank(stage.log)
  assign(visit, 'a', 2)
  stage.repository.meet('create', () => false)
  const first = visit.state.id
  await visit.settle(false)
  t.not(visit.state.id, first)
  t.match(visit.takeDelivery(), { token: { id: visit.state.id }, wrote: { key: visit.state.key, version: 1 } })
  t.same((await open()).session.data(), other.session.data())
})

t.test('randomness that gives taken ids over and over ends in a conflict, not in somebody\'s session', async t => {
  const stage = setKeeper()
  const visit = stage.keeper.blank(stage.log)
  assign(visit, 'a', 2)
  for (let attempt = 0; attempt < 3; attempt++) stage.repository.meet('create', () => false)
  await t.rejects(visit.save(), { code: 'FST_DYNAMODB_SESSION_CONFLICT', statusCode: 409 })
  t.same(stage.repository.take(), ['create', 'load', 'create', 'load', 'create', 'load'], 'each is looked at: it might have been revoked')
})

t.test('a save that meets other instants than it knew is repeated on what is there now', async t => {
  const told = listen(t, 'conflict')
  const stage = setKeeper()
  const { visit, open, key } = await openStored(stage)
  const other = await open()
  stage.clock.forward(800)
  await other.settle(false)
  stage.clock.forward(-10)
  assign(visit, 'b', 2)
  stage.repository.take()
  await visit.save()
  t.same(stage.repository.take(), ['save', 'save'])
  t.same((await open()).session.data(), { a: 1, b: 2 })
  t.equal((await open()).state.record?.lastSeenAt, stage.clock.ms / 1000 + 10, 'the later activity stands')
  t.same(told, [{ loggableId: key }])
})

t.test('a save that is refused over and over ends in a conflict', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  const record = visit.state.record ?? null
  assign(visit, 'b', 2)
  for (let attempt = 0; attempt < 5; attempt++) stage.repository.meet('save', () => ({ done: false, record }))
  await t.rejects(visit.save(), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
  t.equal(stage.repository.take().length, 5)
})

for (const [reason, end] of [
  ['missing', async (visit: Visit) => { await visit.destroy() }],
  ['replaced', async (visit: Visit) => { visit.state.regenerate(true); await visit.save() }],
  ['expired', async (_visit: Visit, stage: ReturnType<typeof setKeeper>) => { stage.clock.forward(7200) }]
] as const) {
  t.test(`a save of a session that is ${reason} meanwhile writes nothing and is told`, async t => {
    const told = listen(t, 'gone')
    const stage = setKeeper()
    const { visit, open, key } = await openStored(stage)
    await end(await open(), stage)
    assign(visit, 'a', 2)
    await t.rejects(visit.save(), { code: 'FST_DYNAMODB_SESSION_GONE', statusCode: 409 })
    t.same(visit.takeDelivery(), {})
    t.same(told, [{ loggableId: key, reason }])
    t.same((await open()).session.data(), {})
  })
}

t.test('a touch that fails or is refused is no failure of the request', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  const second = await open()
  stage.clock.forward(720)
  stage.repository.meet('touch', 'fail before')
  await visit.settle(false)
  t.same(stage.log.messages, ['A session could not be prolonged'])
  t.match(stage.log.details, [{ err: { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }, loggableId: visit.state.key }])
  stage.repository.meet('touch', () => false)
  await second.settle(false)
  t.same(second.takeDelivery(), {})
  t.equal(stage.log.messages.length, 1)
})

t.test('of two requests that regenerate one session, one wins; the other is a conflict and leaves no record', async t => {
  const stage = setKeeper()
  const { visit: first, open } = await openStored(stage)
  const second = await open()
  for (const visit of [first, second]) {
    visit.state.regenerate(false)
    assign(visit, 'user', 'ann')
  }
  await first.settle(false)
  stage.repository.take()
  await t.rejects(second.settle(false), { code: 'FST_DYNAMODB_SESSION_CONFLICT', statusCode: 409 })
  t.same(stage.repository.take(), ['create', 'replace', 'destroy'])
  t.same(second.takeDelivery(), {})
  t.equal(await stage.repository.load(second.state.key ?? '', true), null)
  t.equal((await stage.keeper.open(first.state.id ?? '', first.state.key ?? '', stage.log)).ended, undefined)
})

t.test('regenerating a session that was destroyed meanwhile gives no session', async t => {
  const told = listen(t, 'gone')
  const stage = setKeeper()
  const { visit, open, key } = await openStored(stage)
  await (await open()).destroy()
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_GONE' })
  t.equal(await stage.repository.load(visit.state.key ?? '', true), null)
  t.same(told, [{ loggableId: key, reason: 'missing' }])
})

t.test('regenerating a session that was revoked meanwhile gives no session', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  await stage.repository.replace(key, { next: '-', base: visit.state.record as never, sameVersion: false, now: stage.clock.ms / 1000 })
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_GONE' })
})

t.test('what is kept in a regenerated session is what was written last', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage, { cart: ['apple'] })
  const other = await open()
  assign(other, 'cart', ['apple', 'pear'])
  await other.settle(false)
  visit.state.regenerate(['cart'])
  assign(visit, 'user', 'ann')
  stage.repository.take()
  await visit.settle(false)
  t.same(stage.repository.take(), ['create', 'replace', 'destroy', 'create', 'replace'])
  const { id = '', key = '' } = visit.state
  t.same((await stage.keeper.open(id, key, stage.log)).visit.session.data(), { cart: ['apple', 'pear'], user: 'ann' })
})

t.test('data that changes faster than it can be carried over ends in a conflict', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  const record = visit.state.record ?? null
  visit.state.regenerate(true)
  for (let attempt = 0; attempt < 3; attempt++) stage.repository.meet('replace', () => ({ done: false, record }))
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
  t.equal(await stage.repository.load(visit.state.key ?? '', true), null)
})

t.test('a new record that cannot be taken back is left to TTL, and the log says so', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  await (await open()).destroy()
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  stage.repository.meet('destroy', 'fail before')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_GONE' })
  t.same(stage.log.messages, ['A session that nobody has a token for is left to TTL'])
})

t.test('a regenerate whose answer was lost after the mark was set is done', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  stage.repository.meet('replace', 'fail after')
  await visit.settle(false)
  t.match(visit.takeDelivery(), { token: { id: visit.state.id }, wrote: { key: visit.state.key, version: 1 } })
  t.equal((await stage.repository.load(key, true))?.next, visit.state.key)
})

t.test('a regenerate that failed before the mark was set leaves the old session and nothing else', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  stage.repository.meet('replace', 'fail before')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503 })
  t.same(visit.takeDelivery(), {})
  t.equal(await stage.repository.load(visit.state.key ?? '', true), null)
  t.same((await open()).session.data(), { a: 1 })
})

t.test('a regenerate that met a lost answer and an old session that is dead gives no session', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  await (await open()).destroy()
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  stage.repository.meet('replace', 'fail before')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_GONE' })
  t.equal(await stage.repository.load(visit.state.key ?? '', true), null)
})

t.test('a regenerate of unknown outcome gives the failure and the new token, so that the visitor has one that works', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  stage.repository.meet('replace', 'fail after').meet('load', 'fail before')
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
  t.match(visit.takeDelivery(), { token: { id: visit.state.id }, wrote: { key: visit.state.key, version: 1 } })
  const { id = '', key = '' } = visit.state
  t.same((await stage.keeper.open(id, key, stage.log)).visit.session.data(), { user: 'ann' })
})

t.test('a session left empty by regenerate is deleted and its token cleared', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  visit.state.regenerate(false)
  await visit.settle(false)
  t.same(stage.repository.take(), ['destroy'])
  t.same(visit.takeDelivery(), { token: 'clear' })
  t.equal(await stage.repository.load(key, true), null)
})

t.test('destroying a session that was replaced meanwhile destroys its successors too', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  const second = await open()
  second.state.regenerate(true)
  await second.save()
  const third = (await stage.keeper.open(second.state.id ?? '', second.state.key ?? '', stage.log)).visit
  third.state.regenerate(true)
  await third.save()
  await visit.destroy()
  t.equal(await stage.repository.load(third.state.key ?? '', true), null)
  for (const { state } of [visit, second]) {
    const marked = state.key === undefined ? null : await stage.repository.load(state.key, true)
    t.equal(marked?.data.size ?? 0, 0, 'what was replaced is a mark without data')
  }
})

t.test('destroying a revoked session ends with it', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  await stage.repository.replace(key, { next: '-', base: visit.state.record as never, sameVersion: false, now: stage.clock.ms / 1000 })
  stage.repository.take()
  await visit.destroy()
  t.same(stage.repository.take(), ['destroy'])
})

t.test('destroying a session that is about to be regenerated destroys the old record', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  visit.state.regenerate(true)
  await visit.destroy()
  t.equal(await stage.repository.load(key, true), null)
  await visit.settle(false)
  t.same(visit.takeDelivery(), { token: 'clear' })
})

t.test('data that another request wrote survives a whole write by one that merged with it before', async t => {
  const many = Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`key ${index}`, index]))
  for (const next of [
    async (visit: Visit) => { for (const [key, value] of Object.entries(many)) assign(visit, key, value); await visit.save() },
    async (visit: Visit) => { visit.state.regenerate(true); await visit.save() },
    async (visit: Visit) => { visit.state.regenerate(['a', 'theirs', 'mine']); await visit.save() }
  ]) {
    const stage = setKeeper()
    const { visit, open } = await openStored(stage)
    const other = await open()
    assign(other, 'theirs', 1)
    await other.save()
    assign(visit, 'mine', 1)
    await visit.save()
    t.equal(visit.state.version, 3, 'the companion names what was written')
    await next(visit)
    const { id = '', key = '' } = visit.state
    t.match((await stage.keeper.open(id, key, stage.log)).visit.session.data(), { a: 1, theirs: 1, mine: 1 })
  }
})

t.test('data and settings that another request wrote survive a save that was repeated on them, and what follows it', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  stage.clock.forward(5)
  const other = await open()
  assign(other, 'theirs', 1)
  other.session.idleTimeout = 9000
  await other.save()
  assign(visit, 'mine', 1)
  await visit.save()
  t.equal(visit.state.isChanged(), false)
  t.equal(visit.session.idleTimeout, 9000)
  visit.state.regenerate(true)
  await visit.save()
  const { id = '', key = '' } = visit.state
  const { session } = (await stage.keeper.open(id, key, stage.log)).visit
  t.match([session.data(), session.idleTimeout], [{ a: 1, theirs: 1, mine: 1 }, 9000])
})

t.test('a timeout that another request shortened holds for the session that replaces this one', async t => {
  const stage = setKeeper()
  const { visit, open } = await openStored(stage)
  const other = await open()
  other.session.absoluteTimeout = 60
  await other.save()
  visit.state.regenerate(true)
  await visit.save()
  t.equal(visit.session.absoluteTimeout, 60)
  t.equal(visit.session.expiresAt, stage.clock.ms / 1000 + 60)
})

t.test('a chain of successors that does not end is no log-out that worked', async t => {
  const stage = setKeeper()
  const { visit } = await openStored(stage)
  for (let length = 0; length < 100; length++) stage.repository.meet('destroy', () => `successor ${length}`)
  await t.rejects(visit.destroy(), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
  t.same(visit.takeDelivery(), {}, 'and no token is cleared')
})

t.test('records that are each other\'s successor, which nobody but another program makes, are dead, and a log-out ends with them', async t => {
  const stage = setKeeper()
  const { visit, key } = await openStored(stage)
  stage.repository.meet('destroy', () => 'other').meet('destroy', () => key)
  await visit.destroy()
  t.same(stage.repository.take(), ['destroy', 'destroy'])
  t.equal(visit.takeDelivery().token, 'clear')
})

t.test('twenty log-ins within a minute leave none behind when the first token logs out', async t => {
  const stage = setKeeper()
  const { visit: first, open } = await openStored(stage)
  let visit = await open()
  for (let login = 0; login < 20; login++) {
    visit.state.regenerate(true)
    await visit.save()
    visit = (await stage.keeper.open(visit.state.id ?? '', visit.state.key ?? '', stage.log)).visit
  }
  await first.destroy()
  t.equal(await stage.repository.load(visit.state.key ?? '', true), null)
})

t.test('with conflict "reject", a save over what others have written is refused, and what they wrote stands', async t => {
  const told = listen(t, 'conflict')
  const stage = setKeeper({ conflict: 'reject' })
  const { visit, open, key } = await openStored(stage)
  const other = await open()
  assign(other, 'theirs', 1)
  await other.save()
  assign(visit, 'mine', 1)
  stage.repository.take()
  await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_CONFLICT', statusCode: 409 })
  t.same(stage.repository.take(), ['save'], 'once')
  t.same(told, [{ loggableId: key }])
  t.same(visit.takeDelivery(), {})
  t.same((await open()).session.data(), { a: 1, theirs: 1 })
  const again = await open()
  assign(again, 'mine', 1)
  await again.settle(false)
  t.same((await open()).session.data(), { a: 1, theirs: 1, mine: 1 }, 'and who read that may write')
})

t.test('with conflict "reject", one after the other is no conflict, nor are other instants of the same data', async t => {
  const stage = setKeeper({ conflict: 'reject' })
  const { visit, open } = await openStored(stage)
  for (const value of [2, 3]) {
    assign(visit, 'a', value)
    await visit.save()
  }
  const late = await open()
  stage.clock.forward(800)
  await (await open()).settle(false)
  stage.clock.forward(-10)
  assign(late, 'b', 1)
  stage.repository.take()
  await late.save()
  t.same(stage.repository.take(), ['save', 'save'], 'refused for the instants, repeated on them')
  t.same((await open()).session.data(), { a: 3, b: 1 })
})

t.test('with conflict "reject", a session that has ended is gone, and no conflict', async t => {
  const stage = setKeeper({ conflict: 'reject' })
  const { visit, open } = await openStored(stage)
  const other = await open()
  assign(other, 'a', 2)
  await other.save()
  await other.destroy()
  assign(visit, 'a', 3)
  await t.rejects(visit.save(), { code: 'FST_DYNAMODB_SESSION_GONE' })
})

t.test('with conflict "reject", a regenerate that keeps data others have changed is refused and leaves no record', async t => {
  for (const keep of [true, ['a']] as const) {
    const told = listen(t, 'conflict')
    const stage = setKeeper({ conflict: 'reject' })
    const { visit, open, key } = await openStored(stage)
    const other = await open()
    assign(other, 'theirs', 1)
    await other.save()
    visit.state.regenerate(keep)
    assign(visit, 'user', 'ann')
    stage.repository.take()
    await t.rejects(visit.settle(false), { code: 'FST_DYNAMODB_SESSION_CONFLICT' })
    t.same(stage.repository.take(), ['create', 'replace', 'destroy'])
    t.same(told.at(-1), { loggableId: key })
    t.same(visit.takeDelivery(), {})
    t.equal(await stage.repository.load(visit.state.key ?? '', true), null)
    t.same((await open()).session.data(), { a: 1, theirs: 1 }, 'the old session lives on')
  }
})

t.test('with conflict "reject", a log-in that keeps nothing depends on no data', async t => {
  const stage = setKeeper({ conflict: 'reject' })
  const { visit, open } = await openStored(stage)
  const other = await open()
  assign(other, 'theirs', 1)
  await other.save()
  visit.state.regenerate(false)
  assign(visit, 'user', 'ann')
  await visit.settle(false)
  t.match(visit.takeDelivery(), { token: { id: visit.state.id } })
})
