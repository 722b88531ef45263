import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tracingChannel } from 'node:diagnostics_channel'
import { fileURLToPath } from 'node:url'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import dynamoSession from '../../index.js'
import type { CallReport } from '../../lib/events.js'
import { hash } from '../../lib/token.js'
import { memoryRepository } from '../../testing/index.js'
import { addRoutes, Clock, setStage, type Stage } from '../support/app.js'
import { COMPILED, NOT_COVERED } from '../support/children.js'
import { clientConfig, createTable, type Engine } from '../support/engines.js'
import { faults, type Action } from '../support/proxy.js'
import { setCookieNames, setCookies } from '../support/visitor.js'
import { aliveIn, begin, cookieOf, findBy, ID, isNobody, SECRET, takeRandomness, type AdvisoryTest } from './advisory.js'

/** How sessions begin, change their id and end. */

const IDLE = 7200
const GONE = 'FST_DYNAMODB_SESSION_GONE'
const root = fileURLToPath(new URL('../..', import.meta.url))

function addActs (app: FastifyInstance): void {
  addRoutes(app)
  app.post('/save', async request => {
    request.session.set('count', 2)
    await request.session.save()
    return {}
  })
  app.post('/update', async request => ({ count: await request.session.update('count', (count = 0) => count + 1) }))
  app.post('/touch', async request => {
    request.session.touch()
    return {}
  })
  app.post('/many', async request => {
    for (let index = 0; index < 201; index++) request.session.set(`any:${index}`, index)
    return {}
  })
  app.post('/rotate', async request => {
    await request.session.regenerate((request.body as { keep?: string[] | true }).keep as true)
    return { id: request.session.id }
  })
  app.post('/enter', async request => {
    await request.session.regenerate()
    request.session.set('userId', 'u-42')
    await request.session.save()
    return { id: request.session.id }
  })
}

/** Every way to empty a session, its keys one by one or all at once. */
function addClearing (app: FastifyInstance): void {
  addRoutes(app)
  const ways: Record<string, (session: any) => unknown> = {
    clear: session => session.clear(),
    delete: session => session.keys().map((key: string) => session.delete(key)),
    take: session => session.keys().map((key: string) => session.take(key)),
    unset: session => session.keys().map((key: string) => session.set(key, undefined)),
    properties: session => Object.keys(session).map(key => delete session[key]),
    update: async session => { for (const key of session.keys()) await session.update(key, () => undefined) },
    save: async session => {
      session.clear()
      await session.save()
    }
  }
  app.post('/empty/:way', async request => {
    await ways[(request.params as { way: string }).way]?.(request.session)
    return {}
  })
}

/** An act whose last call is held while its visitor logs out. */
const HELD_ACTS: ReadonlyArray<{ readonly url: string, readonly held: Action, readonly payload?: object, readonly status: number }> = [
  { url: '/set', held: 'UpdateItem', payload: { count: 1 }, status: 200 },
  { url: '/save', held: 'UpdateItem', status: 409 },
  { url: '/update', held: 'UpdateItem', status: 409 },
  { url: '/touch', held: 'UpdateItem', status: 200 },
  { url: '/many', held: 'UpdateItem', status: 200 },
  { url: '/login', held: 'PutItem', status: 409 },
  { url: '/login', held: 'UpdateItem', status: 409 },
  { url: '/rotate', held: 'PutItem', payload: { keep: true }, status: 409 },
  { url: '/rotate', held: 'UpdateItem', payload: { keep: true }, status: 409 }
]

async function holdAndLogOut (t: Test, stage: Stage, { url, held, payload, status }: typeof HELD_ACTS[number]): Promise<void> {
  const name = `${url} held at its ${held}`
  const { visitor, id } = await begin(stage, { userId: 'ann', cart: ['pear'] })
  stage.clock.forward(1000)
  const gate = stage.proxy.gate(held)
  const late = visitor.send({ method: 'POST', url, payload: payload ?? {} })
  await gate.reached
  await visitor.post('/logout')
  t.equal(await stage.item(hash(id)), undefined, `${name}: logged out`)
  gate.release()
  const answer = await late
  t.equal(answer.statusCode, status, name)
  t.notOk(setCookieNames(answer).includes(ID), `${name}: no token`)
  t.strictSame(await stage.items(), [], `${name}: nothing is there again`)
  visitor.receive(answer)
  t.strictSame((await findBy(stage, cookieOf(id))).data, {}, `${name}: still logged out`)
}

/** Runs examples/login.ts on an engine until the test ends, and gives its address. */
async function runLoginExample (t: Test, engine: Engine): Promise<string> {
  const program = spawn(process.execPath, [...COMPILED, 'examples/login.ts'], {
    cwd: root, env: { ...process.env, ...NOT_COVERED, DYNAMODB_ENDPOINT: engine.endpoint, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    if (program.exitCode !== null || program.signalCode !== null) return
    program.kill()
    await once(program, 'exit')
  })
  let output = ''
  for await (const chunk of program.stdout) {
    output += String(chunk)
    const url = /^(http:\S+)\n/m.exec(output)?.[1]
    if (url !== undefined) return url
  }
  throw new Error('The example ended before it listened')
}

async function logInAt (url: string, userId: string, cookie?: string): Promise<string> {
  const answer = await fetch(`${url}/login`, {
    method: 'POST', body: JSON.stringify({ userId }), headers: { 'content-type': 'application/json', ...cookie !== undefined && { cookie } }
  })
  return answer.headers.getSetCookie().find(text => text.startsWith('id='))?.split(';')[0] ?? ''
}

export const ENDINGS: readonly AdvisoryTest[] = [
  {
    advisory: 'CVE-2024-35220 @fastify/session',
    promise: 'an item whose time is up is no session, whichever of its times says so, and nothing prolongs it',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      const { visitor, id } = await begin(stage)
      const item = await stage.item(hash(id))
      const past = { N: String(stage.clock.seconds - 1) }
      const over = {
        expires: { expires: past },
        'expires, with a cookie that lasts a year': { expires: past, cookie: { N: '31536000' } },
        'expires, with timeouts of its own': { expires: past, idle: { N: '0' }, absolute: { N: '0' } },
        'idle timeout': { seen: { N: String(stage.clock.seconds - IDLE) } },
        'absolute timeout': { created: { N: String(stage.clock.seconds - 43_200) } }
      }
      for (const [name, attributes] of Object.entries(over)) {
        const dead = { ...item, ...attributes }
        await stage.put(dead)
        await isNobody(t, stage, cookieOf(id), ['GetItem', 'GetItem'], name)
        t.equal(await stage.app.sessions.load(id), null, `${name}: nor outside a request`)
        for (const url of ['/touch', '/update', '/enter']) {
          const answer = await visitor.send({ method: 'POST', url })
          t.notMatch(setCookies(answer).join(), id, `${name}: ${url} does not send the token again`)
        }
        t.strictSame(await stage.item(hash(id)), dead, `${name}: the item is as it was`)
      }
      await stage.put({ ...item, expires: { N: String(stage.clock.seconds + 1) } })
      t.strictSame((await findBy(stage, cookieOf(id))).data, { userId: 'ann' }, 'one second before, it is alive')
    }
  },
  {
    advisory: '@fastify/session #240',
    promise: 'after regenerate() the old id loads nothing, and as many sessions are alive as before',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      for (const [url, payload] of [['/login', {}], ['/enter', {}], ['/rotate', { keep: true }], ['/rotate', { keep: ['cart'] }]] as const) {
        const { visitor, id: before } = await begin(stage, { userId: 'ann', cart: ['pear'] })
        const alive = (await aliveIn(stage)).length
        const { id: after } = (await visitor.post(url, payload)).json<{ id: string }>()
        t.not(after, before)
        await isNobody(t, stage, cookieOf(before), ['GetItem'], `${url} ${JSON.stringify(payload)}`)
        t.equal(await stage.app.sessions.load(before), null)
        t.equal((await findBy(stage, cookieOf(after))).id, after)
        t.equal((await aliveIn(stage)).length, alive, 'one went, one came')
        const old = await stage.item(hash(before))
        t.strictSame(old?.['data'], { M: {} }, 'what is kept of the old one for a minute is empty')
        t.ok(Number(old?.['expires']?.N) <= stage.clock.seconds + 60)
      }
    }
  },
  {
    advisory: '@fastify/session #240 after the fix',
    promise: 'where the old record cannot be ended, regenerate() fails and the old session goes on, the only one alive',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      for (const url of ['/login', '/enter', '/rotate']) {
        const { visitor, id } = await begin(stage)
        stage.proxy.meet('UpdateItem', faults.error('AccessDeniedException'))
        const refused = await visitor.post(url, { keep: true })
        t.equal(refused.statusCode, 503, url)
        t.strictSame(setCookies(refused), [], 'no token')
        t.strictSame((await aliveIn(stage)).map(item => item['id']?.S), [hash(id)], 'no second session')
        t.match((await visitor.get('/me')).json(), { id, data: { userId: 'ann' } }, 'the visitor is who they were')
        await visitor.post('/logout')
      }
      const { visitor, id } = await begin(stage)
      stage.proxy.meet('UpdateItem', faults.resetAfter)
      const applied = await visitor.post('/login')
      t.equal(applied.statusCode, 200, 'ended, but its answer was lost')
      t.strictSame((await aliveIn(stage)).map(item => item['id']?.S), [hash(applied.json<{ id: string }>().id)])
      await isNobody(t, stage, cookieOf(id), ['GetItem'], 'the old id')
    }
  },
  {
    advisory: 'CVE-2024-31999 @fastify/secure-session',
    promise: 'a cookie that was captured before the log-out opens nothing after it',
    run: async (t, engine) => {
      for (const secrets of [undefined, SECRET]) {
        const stage = await setStage(t, engine, { session: { secrets } })
        const { visitor, id } = await begin(stage)
        const captured = visitor.cookieHeader()
        t.match(captured, /__Host-id=.+; __Host-id-v=/, 'with its companion')
        t.strictSame((await findBy(stage, { cookie: captured })).data, { userId: 'ann' }, 'it opened something before')
        await visitor.post('/logout')
        t.strictSame(visitor.cookieNames().includes(ID), false)
        await isNobody(t, stage, { cookie: captured }, ['GetItem', 'GetItem'], 'replayed')
        const [token = ''] = captured.split('; ')
        await isNobody(t, stage, { cookie: token }, ['GetItem'], 'replayed without its companion')
        const anew = await stage.app.inject({ method: 'POST', url: '/set', payload: { count: 1 }, headers: { cookie: captured } })
        t.not(anew.json<{ id: string }>().id, id, 'nor is the id used again')
        t.equal(await stage.item(hash(id)), undefined)
      }
    }
  },
  {
    advisory: 'CVE-2023-29019 @fastify/passport, CVE-2022-25896 passport',
    promise: 'whoever plants an id, their own or an invented one, is not logged in by the log-in, in the example as well',
    run: async (t, engine) => {
      const stage = await setStage(t, engine)
      const { id: own } = await begin(stage, { 'any:mark': 'mallory' })
      for (const planted of [own, 'A'.repeat(43)]) {
        const victim = stage.visitor()
        victim.plant(ID, planted)
        const { id } = (await victim.post('/login')).json<{ id: string }>()
        t.not(id, planted, 'a new id')
        t.equal(victim.cookie(ID), id)
        t.strictSame((await findBy(stage, cookieOf(id))).data, { userId: 'u-42' }, 'and nothing of what was planted')
        await isNobody(t, stage, cookieOf(planted), ['GetItem'], 'whoever planted it')
      }
      const url = await runLoginExample(t, engine)
      const who = async (cookie: string): Promise<unknown> => await (await fetch(`${url}/me`, { headers: { cookie } })).json()
      const mallory = await logInAt(url, 'mallory')
      t.strictSame(await who(mallory), { userId: 'mallory' })
      const ann = await logInAt(url, 'ann', mallory)
      t.not(ann, mallory)
      t.strictSame(await who(ann), { userId: 'ann' })
      t.strictSame(await who(mallory), { error: 'Log in first.' })
    }
  },
  {
    advisory: 'CVE-2023-29020 @fastify/passport',
    promise: 'regenerate() drops every key, a CSRF secret too, and keeps only what a list names',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      const before = { 'any:_csrf': 'secret of before', cart: ['pear'], count: 1 }
      for (const url of ['/login', '/enter']) {
        const { visitor } = await begin(stage, before)
        const { id } = (await visitor.post(url)).json<{ id: string }>()
        t.strictSame((await findBy(stage, cookieOf(id))).data, { userId: 'u-42' })
      }
      const { visitor } = await begin(stage, before)
      const { id } = (await visitor.post('/rotate', { keep: ['cart'] })).json<{ id: string }>()
      t.strictSame((await findBy(stage, cookieOf(id))).data, { cart: ['pear'] })
      t.notMatch(JSON.stringify(await stage.items()), /_csrf|secret of before/, 'the table does not keep it either')
    }
  },
  {
    advisory: 'CVE-2025-46336 rack-session',
    promise: 'a request that was under way when its visitor logged out brings nothing back, whatever it was about to write',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      for (const act of HELD_ACTS) await holdAndLogOut(t, stage, act)
    }
  },
  {
    advisory: 'CVE-2023-20862 Spring Security',
    promise: 'a session that was emptied, in whatever way, is empty in the table',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addClearing })
      for (const way of ['clear', 'delete', 'take', 'unset', 'properties', 'update', 'save']) {
        const { visitor, id } = await begin(stage, { userId: 'admin', cart: ['pear'] })
        t.equal((await visitor.post(`/empty/${way}`)).statusCode, 200)
        t.strictSame((await stage.item(hash(id)))?.['data'], { M: {} }, `${way}: the item`)
        t.strictSame((await findBy(stage, cookieOf(id))).data, {}, `${way}: the next request`)
      }
      const { visitor, id } = await begin(stage, { userId: 'admin' })
      const loaded = await stage.app.sessions.load(id, { required: true })
      await loaded.regenerate()
      await loaded.save()
      t.strictSame((await visitor.get('/me')).json(), { data: {} }, 'regenerated with nothing to keep')
    }
  },
  {
    advisory: 'CVE-2021-34428 Jetty',
    promise: 'a listener, hook or handler that throws when a session is destroyed does not keep it',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, {
        routes: app => {
          addRoutes(app)
          const fail = (what: string): never => { throw new Error(`the ${what} failed`) }
          app.post('/handler', async request => {
            await request.session.destroy()
            fail('handler')
          })
          app.post('/hook', { onSend: async () => fail('hook') }, async request => {
            await request.session.destroy()
            return {}
          })
          app.post('/response', { onResponse: async () => fail('hook') }, async request => {
            await request.session.destroy()
            return {}
          })
        }
      })
      const isOver = async (url: string, status: number): Promise<void> => {
        const { visitor, id } = await begin(stage)
        const answer = await visitor.post(url)
        t.equal(answer.statusCode, status, url)
        t.ok(setCookieNames(answer).includes(ID), 'the token is cleared')
        t.equal(visitor.cookie(ID), undefined)
        t.equal(await stage.item(hash(id)), undefined, 'and the record is gone')
        await isNobody(t, stage, cookieOf(id), ['GetItem'], url)
      }
      await isOver('/handler', 500)
      await isOver('/hook', 500)
      await isOver('/response', 200)
      const caught: unknown[] = []
      const note = (error: unknown): void => { caught.push(error) }
      process.setUncaughtExceptionCaptureCallback(note)
      const fail = (): never => { throw new Error('the listener failed') }
      const listeners = { start: fail, end: fail, asyncStart: fail, asyncEnd: fail, error: fail }
      const channel = tracingChannel<string, CallReport>('fastify-dynamodb-session:destroy')
      channel.subscribe(listeners)
      await isOver('/logout', 200)
      channel.unsubscribe(listeners)
      process.setUncaughtExceptionCaptureCallback(null)
      t.equal(caught.length, 4, 'the listeners were told and failed')
    }
  },
  {
    advisory: 'CVE-2023-40273 Airflow, CVE-2022-23502 TYPO3',
    promise: 'sessions.destroy() of each id that an application keeps for a user ends them all, their successors and what is under way too (there is no list by user here)',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      const browsers = await Promise.all([1, 2, 3].map(async () => await begin(stage)))
      const [phone, laptop, tablet] = browsers as [typeof browsers[0], typeof browsers[0], typeof browsers[0]]
      await laptop?.visitor.post('/rotate', { keep: true })
      t.match((await laptop.visitor.get('/me')).json(), { data: { userId: 'ann' } }, 'under an id that nobody has noted')
      const gate = stage.proxy.gate('UpdateItem')
      const late = tablet.visitor.send({ method: 'POST', url: '/set', payload: { count: 1 } })
      await gate.reached
      const other = await begin(stage, { userId: 'bob' })
      for (const { id } of browsers) await stage.app.sessions.destroy(id)
      gate.release()
      tablet.visitor.receive(await late)
      for (const { visitor } of [phone, laptop, tablet]) t.strictSame((await visitor.get('/me')).json(), { data: {} }, 'logged out')
      t.strictSame((await aliveIn(stage)).map(item => item['id']?.S), [hash(other.id)], 'nobody is left but another user')
      t.notMatch(JSON.stringify(await stage.items()), /"ann"/, 'nor any data')
    }
  },
  {
    advisory: 'CVE-2024-38513 gofiber',
    promise: 'an id that the client chose is not adopted, by cookie or by header, and the log says that it came',
    run: async (t, engine) => {
      for (const header of [undefined, 'x-session']) {
        const stage = await setStage(t, engine, { session: { header }, routes: addActs })
        const chosen = Buffer.alloc(32, 7).toString('base64url')
        const headers = header === undefined ? cookieOf(chosen) : { [header]: chosen }
        for (const url of ['/set', '/save', '/update', '/login', '/rotate']) {
          stage.clock.forward(61)
          stage.log.lines.length = 0
          const answer = await stage.app.inject({ method: 'POST', url, payload: { count: 1 }, headers })
          t.equal(answer.statusCode, 200, url)
          t.notMatch(JSON.stringify(answer.headers), chosen, `${url}: it is not sent`)
          t.notMatch(answer.body, chosen, `${url}: nor used`)
          t.strictSame(stage.log.warnings().filter(text => !text.startsWith('A Secure')), ['Tokens came in for which there is no session'], `${url}: noticed`)
          t.equal(stage.log.lines.find(line => line['level'] === 40)?.['loggableId'], hash(chosen))
        }
        t.equal(await stage.item(hash(chosen)), undefined)
        t.equal((await stage.items()).length, 4, 'those who wrote have sessions of their own')
      }
    }
  },
  {
    advisory: 'CVE-2018-12071 CodeIgniter, PHP strict-mode RFC',
    promise: 'an id that was given out once and has ended is not taken up again: destroyed, expired or replaced',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      const ends = {
        destroyed: async ({ visitor }: Awaited<ReturnType<typeof begin>>) => await visitor.post('/logout'),
        replaced: async ({ visitor }: Awaited<ReturnType<typeof begin>>) => await visitor.post('/login'),
        expired: async () => { stage.clock.forward(IDLE) }
      }
      for (const [name, end] of Object.entries(ends)) {
        const begun = await begin(stage)
        await end(begun)
        const left = await stage.item(hash(begun.id))
        for (const url of ['/set', '/save', '/update', '/login', '/rotate', '/touch']) {
          const answer = await stage.app.inject({ method: 'POST', url, payload: { count: 1 }, headers: cookieOf(begun.id) })
          t.notMatch(answer.body + String(setCookies(answer)), begun.id, `${name}: ${url}`)
          t.equal(answer.statusCode, name === 'replaced' && ['/save', '/update'].includes(url) ? 409 : 200, `${name}: ${url}`)
          if (answer.statusCode === 409) t.equal(answer.json<{ code: string }>().code, GONE)
        }
        const now = await stage.item(hash(begun.id))
        t.strictSame(now, left, `${name}: its item is as it was`)
        t.strictSame((await findBy(stage, cookieOf(begun.id))).data, {}, `${name}: dead`)
      }
    }
  },
  {
    advisory: 'CVE-2025-66630 gofiber',
    promise: 'without randomness a request fails: no token, no write, no lesser id',
    run: async (t, engine) => {
      const source = takeRandomness(t)
      const session = { encryptionKeys: Buffer.alloc(32, 1) }
      const stage = await setStage(t, engine, { session, routes: addActs })
      const { visitor, id } = await begin(stage)
      const item = await stage.item(hash(id))
      const nobody = stage.visitor()
      const acts = ['/set', '/save', '/update', '/login', '/enter']
      for (const [use, size, forKnown] of [['id', 32, ['/login', '/enter']], ['name of a write', 6, acts], ['nonce', 12, acts]] as const) {
        // Each by itself, so that the failure of one does not stand for that of another.
        source.give = bytes => {
          if (bytes === size) throw new Error('no entropy')
          return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)))
        }
        for (const [who, urls] of [[nobody, acts], [visitor, forKnown]] as const) {
          for (const url of urls) {
            stage.proxy.take()
            const answer = await who.post(url, { count: 1 })
            t.equal(answer.statusCode, 500, `${use}: ${url}`)
            t.strictSame(setCookies(answer), [], `${use}: ${url}: no cookie`)
            t.strictSame(stage.proxy.take().filter(action => action !== 'GetItem'), [], `${use}: ${url}: no write`)
          }
        }
        await t.rejects(stage.app.sessions.create({ userId: 'ann' }), { message: 'no entropy' }, use)
      }
      source.give = undefined
      t.strictSame(await stage.items(), [item], 'the table is as it was')
      t.equal((await visitor.post('/set', { count: 1 })).statusCode, 200, 'and all is well again with randomness')
      t.equal((await nobody.post('/set', { count: 1 })).statusCode, 200)
    }
  },
  {
    advisory: 'tower-sessions 0.12.0, 0.12.1',
    promise: 'an id that is taken is nobody\'s to take over, by a new session or a regenerated one',
    run: async (t, engine) => {
      const source = takeRandomness(t)
      const stage = await setStage(t, engine, { routes: addActs })
      const { id: taken } = await begin(stage)
      const item = await stage.item(hash(taken))
      const repeat = (times: number): void => {
        source.give = bytes => {
          if (bytes === 32 && times-- > 0) return Buffer.from(taken, 'base64url')
          return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)))
        }
      }
      for (const url of ['/set', '/save', '/login', '/enter', '/rotate']) {
        source.give = undefined
        const bob = url === '/set' || url === '/save' ? stage.visitor() : (await begin(stage, { 'any:mark': 'bob' })).visitor
        const before = bob.cookie(ID)
        repeat(1)
        stage.proxy.take()
        const answer = await bob.post(url, { count: 1, keep: true })
        t.equal(answer.statusCode, 200, url)
        t.ok(stage.proxy.take().filter(action => action === 'PutItem').length === 2, `${url}: refused once`)
        t.not(bob.cookie(ID), taken)
        t.equal((await findBy(stage, cookieOf(bob.cookie(ID) ?? ''))).id, bob.cookie(ID), `${url}: another id`)
        t.not(bob.cookie(ID), before)
        const after = bob.cookie(ID)
        repeat(Infinity)
        const again = await bob.post('/enter')
        t.equal(again.statusCode, 409, `${url}: always the same one`)
        t.strictSame(setCookies(again), [])
        t.equal((await findBy(stage, cookieOf(after ?? ''))).id, after, 'who has a session keeps it')
        t.strictSame(await stage.item(hash(taken)), item, 'the other session is as it was')
      }
    }
  },
  {
    advisory: 'tower-sessions PR#260',
    promise: 'where the new record cannot be stored, the old session goes on, and was not touched before',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      const kinds = [faults.error('AccessDeniedException'), faults.error('InternalServerError', { status: 500 }), faults.resetBefore, faults.empty200]
      for (const fault of kinds) {
        for (const url of ['/login', '/enter']) {
          const { visitor, id } = await begin(stage)
          const before = await stage.item(hash(id))
          const rule = stage.proxy.meet({ action: 'PutItem', times: Infinity }, fault)
          const answer = await visitor.post(url)
          rule.remove()
          t.ok(rule.met > 0)
          t.equal(answer.statusCode, 503, `${url}, ${fault.name}`)
          t.strictSame(setCookies(answer), [], 'no token')
          t.notOk(stage.proxy.take().some(action => ['UpdateItem', 'DeleteItem'].includes(action)), 'the old one is not touched')
          t.strictSame(await stage.item(hash(id)), before)
          t.match((await visitor.get('/me')).json(), { id, data: { userId: 'ann' } }, 'and goes on')
        }
      }
    }
  },
  {
    advisory: 'flask-session #240',
    promise: 'a session that has expired is none from that second on, though no sweep has taken its item',
    run: async (t, engine) => {
      const stage = await setStage(t, engine)
      const { visitor, id } = await begin(stage)
      const captured = visitor.cookieHeader()
      stage.clock.forward(IDLE - 1)
      t.strictSame((await findBy(stage, cookieOf(id))).data, { userId: 'ann' }, 'alive in its last second')
      await stage.put({ ...await stage.item(hash(id)), expires: { N: String(stage.clock.seconds + 1) }, seen: { N: String(stage.clock.seconds + 1 - IDLE) } })
      stage.clock.forward(1)
      t.ok(await stage.item(hash(id)), 'the item is there')
      await isNobody(t, stage, cookieOf(id), ['GetItem', 'GetItem'], 'at the end')
      await isNobody(t, stage, { cookie: captured }, ['GetItem', 'GetItem'], 'with its companion')
      t.equal(await stage.app.sessions.load(id), null)
      const anew = await stage.app.inject({ method: 'POST', url: '/set', payload: { count: 1 }, headers: cookieOf(id) })
      t.not(anew.json<{ id: string }>().id, id)
      stage.clock.forward(365 * 24 * 3600)
      await isNobody(t, stage, cookieOf(id), ['GetItem', 'GetItem'], 'a year later')
    }
  },
  {
    advisory: 'CVE-2022-46170 CodeIgniter4',
    promise: 'of two registrations on one table, neither takes the tokens of the other, and one prefix for both is refused',
    run: async (t, engine) => {
      const table = await createTable(engine)
      const { now } = new Clock()
      const stage = await setStage(t, engine, {
        session: { table, keyPrefix: 'shop#', secrets: SECRET, now },
        routes: async app => {
          const client = clientConfig(engine.endpoint)
          const admin = { table, client, sessionName: 'admin', keyPrefix: 'admin#', secrets: SECRET, verify: false, now }
          await app.register(dynamoSession, admin)
          app.post('/both', async request => {
            request.session.set('userId', 'ann')
            const other = Reflect.get(request, 'admin') as typeof request.session
            other.set('userId', 'root')
            return {}
          })
          app.get('/both', async request => {
            const other = Reflect.get(request, 'admin') as typeof request.session
            return { user: request.session.get('userId'), admin: other.get('userId') }
          })
        }
      })
      const visitor = stage.visitor()
      await visitor.post('/both')
      t.strictSame((await visitor.get('/both')).json(), { user: 'ann', admin: 'root' })
      const [user = '', admin = ''] = [visitor.cookie(ID), visitor.cookie(`${ID}-admin`)]
      const look = async (cookie: string): Promise<unknown> => (await stage.app.inject({ url: '/both', headers: { cookie } })).json()
      t.strictSame(await look(cookieOf(user, `${ID}-admin`).cookie), {}, 'the token of one in the cookie of the other')
      t.strictSame(await look(cookieOf(admin).cookie), {}, 'and the other way round')
      t.strictSame(await look(`${cookieOf(admin).cookie}; ${cookieOf(user, `${ID}-admin`).cookie}`), {}, 'both exchanged')
      const twice = Fastify()
      t.teardown(async () => await twice.close())
      const options = { table, client: memoryRepository(), keyPrefix: 'shop#' }
      await twice.register(dynamoSession, options)
      const again = async (): Promise<void> => { await twice.register(dynamoSession, { ...options, sessionName: 'admin' }) }
      await t.rejects(again, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
    }
  }
]
