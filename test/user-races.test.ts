import t, { type Test } from 'tap'
import type { DynamoSessionOptions } from '../index.js'
import { Keeper } from '../lib/keeper.js'
import { SessionManager } from '../lib/manager.js'
import { resolveOptions } from '../lib/options.js'
import { onOneEngine } from './support/engines.js'
import { addInstances, flown, hold, MOMENTS, type Flight } from './support/flights.js'
import { setKeeper } from './support/memory.js'
import { faults } from './support/proxy.js'
import { isIn, isListCall, keysOf, living, logIn, setUsers, unavailable } from './support/users.js'

onOneEngine(t, async (t, engine) => {
  await t.test('a log-in that is listed before revokeAll and stored after it is never stored', async t => {
    const stage = await setUsers(t, engine)
    const gate = stage.proxy.gate({ action: 'PutItem', when: input => !isListCall(input) })
    const visitor = stage.visitor()
    const login = visitor.post('/login', { user: 'ann' })
    await gate.reached
    await stage.app.sessions.revokeAll('ann')
    gate.release()
    t.match(await login, { statusCode: 409 })
    t.match((await login).json(), { code: 'FST_DYNAMODB_SESSION_GONE' })
    t.same((await login).headers['set-cookie'], undefined, 'no token is sent')
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('a log-in that is listed after revokeAll has read the list makes it read again', async t => {
    const stage = await setUsers(t, engine)
    await logIn(stage)
    const gate = stage.proxy.gate({ action: 'UpdateItem', when: isListCall })
    const end = stage.app.sessions.revokeAll('ann')
    await gate.reached
    const late = await logIn(stage)
    gate.release()
    await end
    t.notOk(await isIn(late.visitor))
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('a new id that is listed before revokeAll is ended with the one before; one that comes after it is refused', async t => {
    for (const where of ['listed', 'not listed'] as const) {
      const stage = await setUsers(t, engine)
      const { visitor } = await logIn(stage)
      const gate = stage.proxy.gate({ action: where === 'listed' ? 'PutItem' : 'UpdateItem', when: input => where !== 'listed' || !isListCall(input) })
      const move = visitor.post('/renew-id')
      await gate.reached
      await stage.app.sessions.revokeAll('ann')
      gate.release()
      t.equal((await move).statusCode, 409, where)
      t.same([await living(stage), await keysOf(stage)], [[], []], where)
      t.notOk(await isIn(visitor))
    }
  })

  await t.test('a new id whose session is stored is ended before the one before is replaced', async t => {
    const stage = await setUsers(t, engine)
    const { visitor } = await logIn(stage)
    const gate = stage.proxy.gate({ action: 'PutItem', when: input => !isListCall(input) }, 'after')
    const move = visitor.post('/renew-id')
    await gate.reached
    await stage.app.sessions.revokeAll('ann')
    gate.release()
    t.equal((await move).statusCode, 409)
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('a regenerate that fails leaves the session listed, so that it can be ended and regenerated', async t => {
    const stage = await setUsers(t, engine, { timeout: 5 })
    const { visitor, key } = await logIn(stage)
    stage.proxy.meet({ action: 'PutItem', when: input => !isListCall(input) }, faults.error('AccessDeniedException'))
    t.equal((await visitor.post('/renew-id')).statusCode, 503)
    t.ok((await keysOf(stage)).includes(key))
    t.equal((await visitor.post('/renew-id')).statusCode, 200, 'an outage is no log-out')
    stage.proxy.meet({ action: 'PutItem', when: input => !isListCall(input) }, faults.error('AccessDeniedException'))
    await visitor.post('/renew-id')
    await stage.app.sessions.revokeAll('ann')
    t.notOk(await isIn(visitor))
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('of two requests that give one session a new id, the one that loses takes its own off the list', async t => {
    const stage = await setUsers(t, engine)
    const { visitor } = await logIn(stage)
    const gate = stage.proxy.gate({ action: 'UpdateItem', when: input => !isListCall(input) })
    const one = visitor.send({ method: 'POST', url: '/renew-id' })
    await gate.reached
    const two = await visitor.send({ method: 'POST', url: '/renew-id' })
    gate.release()
    t.same([(await one).statusCode, two.statusCode], [409, 200])
    t.same(await keysOf(stage), [two.json().key])
    t.equal((await living(stage)).length, 1)
  })

  await t.test('a save that is under way when its session is revoked writes nothing, and nothing comes back', async t => {
    const stage = await setUsers(t, engine)
    const { visitor } = await logIn(stage)
    const gate = stage.proxy.gate({ action: 'UpdateItem', when: input => !isListCall(input) })
    const save = visitor.post('/set', { count: 1 })
    await gate.reached
    await stage.app.sessions.revokeAll('ann')
    gate.release()
    t.equal((await save).statusCode, 200)
    t.notOk(await isIn(visitor))
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('a session that is bound while it is destroyed leaves the list', async t => {
    const stage = await setUsers(t, engine)
    const visitor = stage.visitor()
    await visitor.post('/set', { userId: 'ann' })
    const gate = stage.proxy.gate({ action: 'UpdateItem', when: input => !isListCall(input) })
    const bind = visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ann' } })
    await gate.reached
    t.equal((await keysOf(stage)).length, 1)
    await visitor.send({ method: 'POST', url: '/logout' })
    gate.release()
    t.equal((await bind).statusCode, 200, 'what a request binds at its end is dropped with its session')
    t.same([await living(stage), await keysOf(stage)], [[], []])
  })

  await t.test('a list that is read while a session is destroyed shows it at the most until the answer', async t => {
    const stage = await setUsers(t, engine)
    const { visitor, key } = await logIn(stage)
    const gate = stage.proxy.gate({ action: 'UpdateItem', when: isListCall })
    const logout = visitor.post('/logout')
    await gate.reached
    t.same(await keysOf(stage), [key], 'its record is gone already')
    await stage.app.sessions.revokeAll('ann')
    gate.release()
    t.equal((await logout).statusCode, 200)
    t.same(await keysOf(stage), [])
  })

  await t.test('a session that two requests bind at once stays listed, whichever of them is refused', async t => {
    const stage = await setUsers(t, engine, { conflict: 'reject' })
    const visitor = stage.visitor()
    await visitor.post('/set', { userId: 'ann' })
    const gate = stage.proxy.gate({ action: 'UpdateItem', when: input => !isListCall(input) })
    const one = visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ann' } })
    await gate.reached
    t.equal((await visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ann' } })).statusCode, 200)
    gate.release()
    t.equal((await one).statusCode, 409)
    t.equal((await keysOf(stage)).length, 1)
    await stage.app.sessions.revokeAll('ann')
    t.notOk(await isIn(visitor))
  })

  await t.test('a session that is bound while another request gives it a new id with its data stays bound', async t => {
    const stage = await setUsers(t, engine)
    const visitor = stage.visitor()
    await visitor.post('/set', { userId: 'ann' })
    const gate = stage.proxy.gate({ action: 'PutItem' })
    const move = visitor.send({ method: 'POST', url: '/renew-id' })
    await gate.reached
    await visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ann' } })
    gate.release()
    const answer = await move
    t.equal(answer.statusCode, 200)
    visitor.receive(answer)
    t.same(await keysOf(stage), [answer.json().key])
    await stage.app.sessions.revokeAll('ann')
    t.notOk(await isIn(visitor))
    t.same(await living(stage), [])
  })

  await t.test('revokeAll may fail at any of its calls, before or after it took effect: repeated, it ends with none alive', async t => {
    const actions = ['GetItem', 'UpdateItem', 'PutItem', 'PutItem', 'PutItem', 'UpdateItem'] as const
    for (const [index, action] of actions.entries()) {
      for (const fault of [faults.error('AccessDeniedException'), faults.hangAfter]) {
        const stage = await setUsers(t, engine, { timeout: 0.5 })
        const sessions = [await logIn(stage), await logIn(stage), await logIn(stage)]
        const letBy = actions.slice(0, index).filter(before => before === action).length
        const rule = stage.proxy.meet({ action, letBy, times: 20 }, fault)
        await t.rejects(stage.app.sessions.revokeAll('ann'), unavailable, `${action} ${letBy} ${fault.name}`)
        rule.remove()
        await stage.app.sessions.revokeAll('ann')
        for (const { visitor } of sessions) t.notOk(await isIn(visitor))
        t.same([await living(stage), await keysOf(stage)], [[], []])
      }
    }
  })

  await t.test('what a revokeAll that failed has left to do, the next log-in does', async t => {
    const stage = await setUsers(t, engine, { timeout: 5 })
    const before = await logIn(stage)
    stage.proxy.meet({ action: 'PutItem' }, faults.error('AccessDeniedException'))
    await t.rejects(stage.app.sessions.revokeAll('ann'), unavailable)
    t.ok(await isIn(before.visitor))
    t.same(await keysOf(stage), [], 'it is shown no more')
    const after = await logIn(stage)
    t.notOk(await isIn(before.visitor))
    t.same(await keysOf(stage), [after.key])
  })

  await t.test('a lost answer of any write of a log-in, a new id or a log-out changes nothing', async t => {
    for (const action of ['UpdateItem', 'PutItem'] as const) {
      for (const letBy of [0, 1]) {
        const stage = await setUsers(t, engine)
        stage.proxy.meet({ action, letBy }, faults.resetAfter)
        const { visitor, key } = await logIn(stage)
        t.same(await keysOf(stage), [key])
        for (const later of [0, 1, 2]) {
          stage.proxy.meet({ action: 'UpdateItem', letBy: later }, faults.resetAfter)
          const response = await visitor.post('/renew-id')
          t.equal(response.statusCode, 200, `${action} ${letBy}, ${later}`)
          t.same(await keysOf(stage), [response.json().key])
        }
        await visitor.post('/logout')
        t.same([await living(stage), await keysOf(stage)], [[], []])
      }
    }
  })

  await t.test('a session that goes from user to user and back is on the list of the one whose it is, however late a request takes it off', async t => {
    for (const at of ['the look at its list', 'the write of its list'] as const) {
      const stage = await setUsers(t, engine)
      const { visitor, key } = await logIn(stage)
      const there = visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ben' } })
      // Of its calls about lists, the read is the first that is about leaving, and the write after it takes the session off.
      const gate = at === 'the look at its list'
        ? stage.proxy.gate({ action: 'GetItem', when: isListCall })
        : stage.proxy.gate({ action: 'UpdateItem', when: input => isListCall(input) && String(input['UpdateExpression']).includes('SET') && input['ConditionExpression'].length < 12 })
      await gate.reached
      t.equal((await visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ann' } })).statusCode, 200)
      gate.release()
      t.equal((await there).statusCode, 200)
      t.same([await keysOf(stage), await keysOf(stage, 'ben')], [[key], []], at)
      await stage.app.sessions.revokeAll('ann')
      t.notOk(await isIn(visitor))
      t.same(await living(stage), [])
    }
  })

  await t.test('a session that is being bound anew while another request takes it off the list is listed again', async t => {
    const stage = await setUsers(t, engine)
    const { visitor, key } = await logIn(stage)
    const save = stage.proxy.gate({ action: 'UpdateItem', when: input => !isListCall(input) })
    const again = visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ann', label: 'telephone' } })
    await save.reached
    t.equal((await visitor.send({ method: 'POST', url: '/bind', payload: { user: 'ben' } })).statusCode, 200)
    t.same(await keysOf(stage), [])
    save.release()
    t.equal((await again).statusCode, 200)
    t.same((await stage.app.sessions.list('ann')).map(({ loggableId, label }) => [loggableId, label]), [[key, 'telephone']])
    await stage.app.sessions.revokeAll('ann')
    t.notOk(await isIn(visitor))
  })

  const revokeInFlight = async (t: Test, session: Partial<DynamoSessionOptions>): Promise<void> => {
    // Reads of one turn would be held together.
    const stage = await setUsers(t, engine, { batchReads: false, ...session })
    const apps = await addInstances(t, stage, 3, { batchReads: false, ...session })
    const isCached = session.cache !== undefined
    const isTouched = session.idleTracking === undefined && !isCached
    const moments = MOMENTS.filter(({ kind }) => kind !== 'touch' || isTouched).flatMap(moment => (['before', 'after'] as const).map(where => ({ moment, where })))
    const all = Array.from({ length: 50 }, (_, index) => moments[index % moments.length]).filter(each => each !== undefined)
    t.same(new Set(all).size, moments.length, 'each kind of moment, before the call and after it took effect')
    const visitors = []
    for (const { moment } of all) visitors.push(await flown(stage, moment))
    // So that a renewal is due, before which a cache reads anew.
    if (!isCached) stage.clock.forward(721)
    const flights: Flight[] = []
    for (const [index, { moment, where }] of all.entries()) {
      const [visitor, app = stage.app] = [visitors[index], apps[index % 4]]
      if (visitor === undefined) continue
      // Other instances have the session in their caches; this one would share the read that is to be held.
      if (isCached) for (const other of apps) if (other !== app) await visitor.visitor.send({ method: 'GET', url: '/me' }, other)
      flights.push(await hold(stage, app, visitor, moment, where))
    }
    t.equal(flights.filter(({ gate }) => gate.isHolding).length, 50)
    const tokens = new Set(visitors.map(({ visitor }) => visitor.cookieHeader()))
    await stage.app.sessions.revokeAll('ann')
    t.same(await living(stage), [], 'with all of them still in flight')
    // Backwards too, or those that began first would always be first.
    for (const { gate } of flights.reverse()) gate.release()
    for (const { answer, visitor, title } of flights) {
      const response = await answer
      t.ok([200, 409].includes(response.statusCode), `${title}: ${response.statusCode} ${response.body}`)
      visitor.receive(response)
      tokens.add(visitor.cookieHeader())
    }
    t.same(await living(stage), [], 'and after the last of them')
    const shown = async (): Promise<number> => {
      let count = 0
      for (const cookie of tokens) {
        for (const app of apps) {
          const { data, id } = (await app.inject({ url: '/me', headers: { cookie } })).json()
          if (id !== undefined || Object.keys(data).length > 0) count += 1
        }
      }
      return count
    }
    if (isCached) {
      t.ok(await shown() > 0, 'other instances may show them for the `ttl`')
      stage.clock.forward(10)
    }
    t.equal(await shown(), 0)
    t.same(await living(stage), [], 'nor has a request brought one back that a cache had shown')
    t.same(await keysOf(stage), [])
  }

  await t.test('revokeAll while 50 requests of the user are in flight through 4 instances: none of the sessions reads, and none comes back', async t => {
    await revokeInFlight(t, {})
  })

  await t.test('the same where sessions are cached', async t => {
    await revokeInFlight(t, { cache: { ttl: 10, max: 1000 } })
  })

  await t.test('the same where the last activity rides in the companion', async t => {
    await revokeInFlight(t, { idleTracking: 'cookie', secrets: 'a secret that is long enough to sign with' })
  })

  await t.test('a log-in that is not listed yet when revokeAll begins is a new one: it stays, is listed, and ends with the next', async t => {
    const stage = await setUsers(t, engine)
    await logIn(stage)
    const flights = []
    for (const where of ['before', 'after'] as const) {
      const gate = stage.proxy.gate({ action: 'UpdateItem', when: isListCall }, where)
      const visitor = stage.visitor()
      const answer = visitor.post('/login', { user: 'ann' })
      await gate.reached
      flights.push({ gate, visitor, answer })
    }
    await stage.app.sessions.revokeAll('ann')
    for (const { gate } of flights) gate.release()
    t.same(await Promise.all(flights.map(async ({ answer }) => (await answer).statusCode)), [200, 409])
    t.same(await Promise.all(flights.map(async ({ visitor }) => await isIn(visitor))), [true, false])
    t.same(await keysOf(stage), await living(stage))
    await stage.app.sessions.revokeAll('ann')
    t.same(await living(stage), [])
  })
})

t.test('a log-in that is saved again after a save whose outcome is not known is stored and listed, once', async t => {
  const { keeper, repository, log } = setKeeper({ userIndex: true })
  const manager = new SessionManager(keeper, log)
  const { session } = keeper.blank(log)
  session.set('count', 1)
  session.bind('ann')
  repository.meet('create', 'fail after')
  await t.rejects(session.save(), unavailable)
  session.set('count', 2)
  await session.save()
  t.same((await manager.list('ann')).map(({ loggableId }) => loggableId), [session.loggableId])
  t.equal((await manager.load(String(session.id)))?.get('count'), 2)
  await manager.revokeAll('ann')
  t.equal(await manager.load(String(session.id)), null)
})

t.test('one that was ended in between is not stored again, and a record that cannot be removed is left listed', async t => {
  for (const between of ['revoked', 'in the way'] as const) {
    const { keeper, repository, log } = setKeeper({ userIndex: true })
    const manager = new SessionManager(keeper, log)
    const { session } = keeper.blank(log)
    session.bind('ann')
    repository.meet('create', 'fail after')
    await t.rejects(session.save(), unavailable)
    if (between === 'revoked') repository.meet('destroy', async () => { await manager.revokeAll('ann') })
    else for (let count = 0; count < 3; count++) repository.meet('destroy', () => undefined)
    await t.rejects(session.save(), { code: `FST_DYNAMODB_SESSION_${between === 'revoked' ? 'GONE' : 'CONFLICT'}` })
    t.equal((await manager.list('ann')).length, between === 'revoked' ? 0 : 1)
    await manager.revokeAll('ann')
    t.equal(await manager.load(String(session.id)), null)
  }
})

t.test('with maxSessions too, the next log-in does what a revokeAll that failed has left to do', async t => {
  const { keeper, repository, log } = setKeeper({ userIndex: { maxSessions: 5 } })
  const manager = new SessionManager(keeper, log)
  const bound = async () => {
    const { session } = keeper.blank(log)
    session.bind('ann')
    await session.save()
    return session
  }
  const before = await bound()
  repository.meet('revoke', 'fail before')
  await t.rejects(manager.revokeAll('ann'), unavailable)
  const after = await bound()
  t.equal(await manager.load(String(before.id)), null)
  t.same((await manager.list('ann')).map(({ loggableId }) => loggableId), [after.loggableId])
})

t.test('what is over by a clock that is ahead stays on the list, because a server whose clock is behind may renew it', async t => {
  const { keeper, repository, log, clock } = setKeeper({ userIndex: true, idleTimeout: 100 })
  const manager = new SessionManager(keeper, log)
  const sessions = []
  for (let count = 0; count < 11; count++) {
    const { session } = keeper.blank(log)
    session.bind('ann')
    await session.save()
    sessions.push(session)
  }
  const ahead = new Keeper(resolveOptions({ table: 'sessions', client: repository, userIndex: true, idleTimeout: 100, now: () => clock.ms + 120_000 }), log)
  const late = await ahead.open(String(sessions[1]?.id), String(sessions[1]?.loggableId), log)
  t.equal(late.ended, 'expired')
  const { session } = ahead.blank(log)
  session.bind('ann')
  await session.save()
  const first = await manager.load(String(sessions[0]?.id), { required: true })
  first.touch()
  await first.save()
  await manager.revokeAll('ann')
  t.equal(await manager.load(String(sessions[0]?.id)), null)
})

t.test('nor does a bind that such a clock refuses take it off', async t => {
  const { keeper, repository, log, clock } = setKeeper({ userIndex: true, idleTimeout: 100 })
  const manager = new SessionManager(keeper, log)
  const { session } = keeper.blank(log)
  session.bind('ann')
  await session.save()
  let skew = 0
  const other = new Keeper(resolveOptions({ table: 'sessions', client: repository, userIndex: true, idleTimeout: 100, now: () => clock.ms + skew }), log)
  const { visit } = await other.open(String(session.id), String(session.loggableId), log)
  skew = 120_000
  visit.session.bind('ann', { label: 'telephone' })
  await t.rejects(visit.save(), { code: 'FST_DYNAMODB_SESSION_GONE' })
  await manager.revokeAll('ann')
  t.equal(await manager.load(String(session.id)), null)
})
