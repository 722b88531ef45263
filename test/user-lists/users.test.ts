import t from 'tap'
import type { ListedSession } from '../../index.js'
import { resolveOptions } from '../../lib/options.js'
import { Users, type ListingRepository } from '../../lib/users.js'
import { memoryRepository } from '../../testing/index.js'
import { onEachEngine } from '../support/engines.js'
import { faults } from '../support/proxy.js'
import { bulky, isIn, isListCall, keysOf, listItem, living, logIn, setUsers, unavailable } from '../support/users.js'

onEachEngine(t, async (t, engine) => {
  await t.test('a log-in costs one write of the list more, and two for the first of a user, before its own', async t => {
    const stage = await setUsers(t, engine)
    await logIn(stage)
    t.same(stage.proxy.take(), ['UpdateItem', 'PutItem', 'PutItem'])
    const { visitor } = await logIn(stage)
    t.same(stage.proxy.takeCalls().map(({ action, capacity }) => [action, capacity]), [['UpdateItem', 1], ['PutItem', 1]])
    await visitor.get('/me')
    await visitor.post('/set', { count: 1 })
    t.same(stage.proxy.take(), ['GetItem', 'GetItem', 'UpdateItem'], 'and nothing after that')
    await stage.visitor().post('/set', { count: 1 })
    t.same(stage.proxy.take(), ['PutItem'], 'nor where nothing is bound')
  })

  await t.test('a list tells of each session what its user wants to know, newest first, by one read', async t => {
    const stage = await setUsers(t, engine)
    const first = await logIn(stage, 'ann', 'telephone ☎')
    stage.clock.forward(60)
    const second = await logIn(stage)
    await logIn(stage, 'ben')
    stage.proxy.take()
    const now = stage.clock.seconds
    const list = await stage.app.sessions.list('ann', { current: first.key })
    t.same(list, [
      { loggableId: second.key, createdAt: now, lastSeenAt: now, expiresAt: now + 7200, label: undefined, current: false },
      { loggableId: first.key, createdAt: now - 60, lastSeenAt: now - 60, expiresAt: now + 7140, label: 'telephone ☎', current: true }
    ] satisfies ListedSession[])
    t.same(stage.proxy.takeCalls().map(({ action, input, capacity }) => [action, input['ConsistentRead'], capacity]), [['GetItem', true, 1]])
    t.same(await stage.app.sessions.list('nobody'), [])
  })

  await t.test('a session that was there before is bound by the write of its request, and again is no write', async t => {
    const stage = await setUsers(t, engine)
    const visitor = stage.visitor()
    await visitor.post('/set', { userId: 'ann' })
    stage.proxy.take()
    await visitor.post('/bind', { user: 'ann' })
    t.same(stage.proxy.take(), ['GetItem', 'UpdateItem', 'PutItem', 'UpdateItem'])
    await visitor.post('/bind', { user: 'ann' })
    t.same(stage.proxy.take(), ['GetItem'])
    await visitor.post('/bind', { user: 'ann', label: 'desk' })
    t.same(stage.proxy.take(), ['GetItem', 'UpdateItem', 'UpdateItem'], 'save for another label')
    t.match(await stage.app.sessions.list('ann'), [{ label: 'desk' }])
    const blank = stage.visitor()
    await blank.post('/bind', { user: 'ann' })
    t.equal((await keysOf(stage)).length, 2, 'a session without data is worth storing when it is bound')
    await stage.app.sessions.revokeAll('ann')
    t.notOk(await isIn(visitor))
  })

  await t.test('a session that is bound to another user moves', async t => {
    const stage = await setUsers(t, engine)
    const { visitor, key } = await logIn(stage)
    stage.proxy.take()
    await visitor.post('/bind', { user: 'ben' })
    t.same(stage.proxy.take(), ['GetItem', 'UpdateItem', 'PutItem', 'UpdateItem', 'UpdateItem', 'GetItem', 'GetItem', 'UpdateItem'])
    t.same([await keysOf(stage), await keysOf(stage, 'ben')], [[], [key]])
    await visitor.post('/login', { user: 'cleo' })
    t.same([(await keysOf(stage, 'ben')).length, (await keysOf(stage, 'cleo')).length], [0, 1])
    await stage.app.sessions.revokeAll('ben')
    t.ok(await isIn(visitor), 'and is not ended with the sessions of the one before')
  })

  await t.test('a regenerated session takes the place of the one before, with its label', async t => {
    const stage = await setUsers(t, engine)
    const { visitor, key } = await logIn(stage, 'ann', 'desk')
    stage.clock.forward(100)
    stage.proxy.take()
    const next = (await visitor.post('/renew-id')).json().key
    t.same(stage.proxy.take(), ['GetItem', 'UpdateItem', 'PutItem', 'UpdateItem', 'UpdateItem'], 'one write of the list before, one after')
    t.not(next, key)
    const now = stage.clock.seconds
    t.match(await stage.app.sessions.list('ann'), [{ loggableId: next, label: 'desk', createdAt: now - 100, lastSeenAt: now, expiresAt: now + 7200 }])
    const third = (await visitor.post('/new-id')).json().key
    t.match(await stage.app.sessions.list('ann'), [{ loggableId: third, label: 'desk', createdAt: now }], 'bound as it was, also where its data is dropped')
    await stage.app.sessions.revokeAll('ann')
    t.equal((await visitor.get('/me')).json().id, undefined)
  })

  await t.test('a session leaves the list when it is destroyed, wherever that is', async t => {
    const stage = await setUsers(t, engine)
    const one = await logIn(stage)
    const two = await logIn(stage)
    const three = await logIn(stage)
    const { id } = (await two.visitor.get('/me')).json()
    stage.proxy.take()
    await one.visitor.post('/logout')
    t.same(stage.proxy.take(), ['GetItem', 'DeleteItem', 'UpdateItem'])
    t.same((await keysOf(stage)).sort(), [two.key, three.key].sort())
    await stage.app.sessions.destroy(id)
    t.same(stage.proxy.take().slice(1), ['DeleteItem', 'UpdateItem'], 'after the list')
    t.same(await keysOf(stage), [three.key])
    await stage.app.sessions.revoke(three.key)
    t.same(stage.proxy.take().slice(-3), ['GetItem', 'PutItem', 'UpdateItem'])
    t.same(await keysOf(stage), [])
    for (const { visitor } of [one, two, three]) t.notOk(await isIn(visitor))
  })

  await t.test('a log-out of a session that another request binds in the moment before takes it off the list, for no call more', async t => {
    const stage = await setUsers(t, engine)
    const visitor = stage.visitor()
    await visitor.post('/set', { userId: 'ann' })
    const gate = stage.proxy.gate({ action: 'DeleteItem' })
    const logout = visitor.send({ method: 'POST', url: '/logout' })
    await gate.reached
    await visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ann' } })
    t.equal((await keysOf(stage)).length, 1)
    stage.proxy.take()
    gate.release()
    t.equal((await logout).statusCode, 200)
    t.same(stage.proxy.take(), ['DeleteItem', 'UpdateItem'])
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('a log-out of a session that another request binds to another user leaves it on neither list', async t => {
    const stage = await setUsers(t, engine)
    const { visitor } = await logIn(stage)
    const gate = stage.proxy.gate({ action: 'DeleteItem' })
    const logout = visitor.send({ method: 'POST', url: '/logout' })
    await gate.reached
    await visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ben' } })
    gate.release()
    await logout
    t.same([await living(stage), await keysOf(stage), await keysOf(stage, 'ben')], [[], [], []])
  })

  await t.test('a log-out of a session that is not bound costs what it costs without the option', async t => {
    const stage = await setUsers(t, engine)
    const visitor = stage.visitor()
    await visitor.post('/set', { userId: 'ann' })
    stage.proxy.take()
    await visitor.post('/logout')
    t.same(stage.proxy.takeCalls().map(({ action, capacity }) => [action, capacity]), [['GetItem', 0.5], ['DeleteItem', 1]])
  })

  await t.test('a log-out by the token of a session that was replaced takes its successor off the list', async t => {
    const stage = await setUsers(t, engine)
    const { visitor } = await logIn(stage)
    await visitor.send({ method: 'POST', url: '/renew-id' })
    t.equal((await keysOf(stage)).length, 1)
    stage.proxy.take()
    await visitor.post('/logout')
    t.same(stage.proxy.take().filter(action => action !== 'GetItem'), ['DeleteItem', 'DeleteItem', 'UpdateItem', 'UpdateItem'])
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('a log-in that is refused for its size leaves no entry behind, nor does a new id', async t => {
    const stage = await setUsers(t, engine, { maxSize: 2000 })
    const fill = 'x'.repeat(3000)
    t.equal((await stage.visitor().post('/login', { user: 'ann', fill })).statusCode, 413)
    t.same(stage.proxy.take(), ['UpdateItem', 'PutItem', 'GetItem', 'GetItem', 'UpdateItem'], 'listed, and taken off, since no record of it is there')
    t.same([await living(stage), await keysOf(stage)], [[], []])
    const { visitor, key } = await logIn(stage)
    t.equal((await visitor.post('/renew-id', { fill })).statusCode, 413)
    t.same(await keysOf(stage), [key], 'the session before goes on')
    t.ok(await isIn(visitor))
  })

  await t.test('a session that was refused for its size may be stored without the bulk, and is listed again', async t => {
    const { app, ...stage } = await setUsers(t, engine, { maxSize: 2000 })
    const session = await bulky(app)
    await t.rejects(session.save(), { code: 'FST_DYNAMODB_SESSION_TOO_LARGE' })
    t.same(await keysOf({ app, ...stage }), [])
    await t.rejects(session.save(), { code: 'FST_DYNAMODB_SESSION_TOO_LARGE' })
    t.same(await keysOf({ app, ...stage }), [], 'as often as it is tried')
    session.delete('any:fill')
    await session.save()
    t.same(await keysOf({ app, ...stage }), [session.loggableId])
  })

  await t.test('the entry stays where an attempt before had an unknown outcome, since the session may be stored', async t => {
    const stage = await setUsers(t, engine, { maxSize: 2000, timeout: 0.5 })
    const session = await bulky(stage.app)
    session.delete('any:fill')
    const rule = stage.proxy.meet({ action: 'PutItem', when: input => !isListCall(input), times: 20 }, faults.hangAfter)
    await t.rejects(session.save(), unavailable)
    rule.remove()
    t.equal((await living(stage)).length, 1, 'stored, though nobody was told so')
    session.set('any:fill', 'x'.repeat(3000))
    await t.rejects(session.save(), { code: 'FST_DYNAMODB_SESSION_TOO_LARGE' })
    t.equal((await keysOf(stage)).length, 1)
    await stage.app.sessions.revokeAll('ann')
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('revokeAll ends every session of a user but those excepted, and no other user is touched', async t => {
    const stage = await setUsers(t, engine)
    const sessions = []
    for (let index = 0; index < 5; index++) sessions.push(await logIn(stage))
    const [kept, ...ended] = sessions
    const ben = await logIn(stage, 'ben')
    stage.proxy.take()
    await stage.app.sessions.revokeAll('ann', { except: kept?.key })
    t.same(stage.proxy.takeCalls().map(({ action, capacity }) => [action, capacity]),
      [['GetItem', 1], ['UpdateItem', 1], ...ended.map(() => ['PutItem', 1]), ['UpdateItem', 1]])
    for (const { visitor } of ended) t.notOk(await isIn(visitor))
    for (const one of [kept, ben]) t.ok(one !== undefined && await isIn(one.visitor))
    t.same(await keysOf(stage), [kept?.key])
    stage.proxy.take()
    await stage.app.sessions.revokeAll('ann', { except: [String(kept?.key)] })
    t.same(stage.proxy.take(), ['GetItem'], 'again there is nothing to do')
    await stage.app.sessions.revokeAll('ann')
    await stage.app.sessions.revokeAll('nobody')
    t.same(await keysOf(stage), [])
  })

  await t.test('a change of the password gives a new id and ends all others', async t => {
    const stage = await setUsers(t, engine)
    const mine = await logIn(stage)
    const other = await logIn(stage)
    const response = await mine.visitor.post('/password')
    t.equal(response.statusCode, 200)
    t.same(await keysOf(stage), [response.json().key])
    t.ok(await isIn(mine.visitor))
    t.notOk(await isIn(other.visitor))
  })

  await t.test('a renewal is told to the list once in a reissue time, also where data writes carry it', async t => {
    const stage = await setUsers(t, engine, { reissueTime: 600 })
    const { visitor } = await logIn(stage)
    stage.clock.forward(601)
    stage.proxy.take()
    await visitor.get('/me')
    t.same(stage.proxy.take(), ['GetItem', 'UpdateItem', 'UpdateItem'])
    t.match(await stage.app.sessions.list('ann'), [{ lastSeenAt: stage.clock.seconds, expiresAt: stage.clock.seconds + 7200 }])
    let told = 0
    for (let step = 0; step < 24; step++) {
      stage.clock.forward(100)
      stage.proxy.take()
      await visitor.post('/set', { count: step })
      told += stage.proxy.take().length - 2
    }
    t.equal(told, 4, '2400 seconds are four times 600')
    t.ok(stage.clock.seconds - Number((await stage.app.sessions.list('ann'))[0]?.lastSeenAt) <= 600)
  })

  await t.test('a list that cannot be told of a renewal or an end fails nothing', async t => {
    const stage = await setUsers(t, engine, { timeout: 5 })
    const { visitor, key } = await logIn(stage)
    stage.clock.forward(800)
    const isList = (input: Readonly<Record<string, any>>): boolean => JSON.stringify(input['Key']).includes('user#')
    stage.proxy.meet({ action: 'UpdateItem', when: isList }, faults.error('AccessDeniedException'))
    t.equal((await visitor.get('/me')).statusCode, 200)
    stage.proxy.meet({ action: 'UpdateItem', when: isList }, faults.error('AccessDeniedException'))
    t.equal((await visitor.post('/logout')).statusCode, 200)
    t.equal(stage.log.warnings().filter(text => text.startsWith('The list of a user')).length, 2)
    t.same(await keysOf(stage), [key])
    await stage.app.sessions.revokeAll('ann')
    t.same(await keysOf(stage), [])
  })

  await t.test('with idleTracking "cookie" renewals are told to nobody, and the list shows the absolute end', async t => {
    const stage = await setUsers(t, engine, { idleTracking: 'cookie', secrets: 'a secret that is long enough to sign with' })
    const { visitor } = await logIn(stage)
    stage.clock.forward(800)
    stage.proxy.take()
    await visitor.get('/me')
    await visitor.post('/set', { count: 1 })
    t.same(stage.proxy.take(), ['GetItem', 'GetItem', 'UpdateItem'])
    t.match(await stage.app.sessions.list('ann'), [{ expiresAt: stage.clock.seconds - 800 + 43_200 }])
  })

  await t.test('no more than maxSessions are left: a further log-in ends the oldest', async t => {
    const stage = await setUsers(t, engine, { userIndex: { maxSessions: 2 } })
    const one = await logIn(stage)
    stage.clock.forward(10)
    const two = await logIn(stage)
    stage.clock.forward(10)
    stage.proxy.take()
    const three = await logIn(stage)
    t.same(stage.proxy.take(), ['UpdateItem', 'UpdateItem', 'PutItem', 'UpdateItem', 'PutItem'], 'shelved, buried, struck off')
    t.same(await keysOf(stage), [three.key, two.key])
    t.same([await isIn(one.visitor), await isIn(two.visitor), await isIn(three.visitor)], [false, true, true])
    await two.visitor.post('/renew-id')
    t.ok(await isIn(three.visitor), 'a new id is no further session')
    t.equal((await keysOf(stage)).length, 2)
    stage.clock.forward(8000)
    await logIn(stage)
    t.equal(Object.keys((await listItem(stage))?.['sessions']?.M ?? {}).length, 2, 'what seems over goes first')
  })

  await t.test('of two log-ins at the cap one is left, whichever comes first to the list', async t => {
    const stage = await setUsers(t, engine, { userIndex: { maxSessions: 1 } })
    const old = await logIn(stage)
    const before = stage.proxy.gate({ action: 'UpdateItem' }, 'after')
    const [one, two] = [stage.visitor(), stage.visitor()]
    const first = one.post('/login', { user: 'ann' })
    await before.reached
    const second = await two.post('/login', { user: 'ann' })
    before.release()
    t.same([second.statusCode, (await first).statusCode].sort(), [200, 409])
    t.same([await isIn(old.visitor), await isIn(one), await isIn(two)].filter(Boolean).length, 1)
    t.equal((await living(stage)).length, 1)
    t.equal((await keysOf(stage)).length, 1)
  })
})

t.test('attempts at a list that others change pause for a part of 20 ms, by the chance that is handed in', async t => {
  const repository = memoryRepository() as ListingRepository
  const settings = resolveOptions({ table: 'sessions', client: repository, userIndex: true })
  const [user = ''] = settings.userIndex === false ? [] : settings.userIndex.namesOf('ann')
  await repository.users.add(user, 'k'.repeat(43), { createdAt: 1, lastSeenAt: 1, expiresAt: 2 })
  const rewrite = repository.users.rewrite.bind(repository.users)
  let refusals = 3
  Object.assign(repository.users, { rewrite: async (...args: Parameters<typeof rewrite>) => refusals-- > 0 ? false : await rewrite(...args) })
  let drawn = 0
  const users = new Users(repository, settings, () => {
    drawn += 1
    return 0
  })
  await users.revokeAll('ann', new Set(), { warn: () => {} })
  t.equal(drawn, 3, 'once for each further attempt')
  t.same(await users.list('ann', new Set()), [])
})
