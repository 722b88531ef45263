import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { DynamoSessionOptions } from '../../index.js'
import { hash } from '../../lib/token.js'
import { setStage, type Stage } from '../support/app.js'
import { startDynalite, type Engine } from '../support/engines.js'
import { setCookies } from '../support/visitor.js'

const NAME = '__Host-id'
const SECRET = 'a secret that is long enough to sign with'
const UNKNOWN = 'Tokens came in for which there is no session'
const AMBIGUOUS = /^Requests came in with tokens of several sessions/

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

async function setQuiet (t: Test, session: Partial<DynamoSessionOptions> = {}): Promise<Stage> {
  return await setStage(t, engine, { session, fastify: { disableRequestLogging: true } })
}

interface Request { readonly url: string, readonly method?: 'GET' | 'POST', readonly cookie?: string }

/** What comes of many requests: how many Set-Cookie headers, how many calls of which kind, and the statuses. */
async function flood ({ app, proxy }: Stage, count: number, request: (index: number) => Request) {
  proxy.take()
  const statuses = new Set<number>()
  let cookies = 0
  for (let index = 0; index < count; index++) {
    const { url, method = 'GET', cookie } = request(index)
    const response = await app.inject({ url, method, headers: cookie === undefined ? {} : { cookie } })
    statuses.add(response.statusCode)
    cookies += setCookies(response).length
  }
  const calls = proxy.takeCalls()
  return {
    statuses: [...statuses],
    cookies,
    reads: calls.filter(({ action }) => action === 'GetItem').length,
    others: calls.filter(({ action }) => action !== 'GetItem').map(({ action }) => action),
    strong: calls.filter(({ input }) => input['ConsistentRead'] === true).length,
    capacity: calls.reduce((sum, { capacity }) => sum + capacity, 0)
  }
}

const NOTHING = { cookies: 0, reads: 0, others: [], strong: 0, capacity: 0 }

const makeId = (): string => randomBytes(32).toString('base64url')
const signature = (): string => randomBytes(32).toString('base64').replace('=', '')
const forged = (): string => encodeURIComponent(`${makeId()}.${signature()}`)
/** What somebody who knows how companions are made sends with an id: that it was written a moment ago. */
const companion = (id: string): string => `${NAME}-v=${hash(id).slice(0, 8)}.${1 + id.charCodeAt(0)}`

t.test('a thousand requests without a token cost nothing and leave nothing: pages, missing pages, log-outs', async t => {
  for (const secrets of [SECRET, undefined]) {
    const stage = await setQuiet(t, secrets === undefined ? {} : { secrets })
    t.same(await flood(stage, 300, index => ({ url: `/me?${index}` })), { ...NOTHING, statuses: [200] })
    t.same(await flood(stage, 300, index => ({ url: `/no-such-page-${index}` })), { ...NOTHING, statuses: [404] })
    t.same(await flood(stage, 200, () => ({ url: '/logout', method: 'POST' })), { ...NOTHING, statuses: [200] })
    t.same(
      await flood(stage, 200, index => ({ url: '/me', cookie: `theme${index}=dark; ${NAME}-v=AAAAAAAA.${index}; id=${makeId()}` })),
      { ...NOTHING, statuses: [200] }
    )
    t.same([await stage.items(), stage.log.warnings()], [[], []])
  }
})

t.test('signed, ten thousand forged tokens that look right cost no call, no cookie and no line', async t => {
  const stage = await setQuiet(t, { secrets: SECRET })
  const several = (count: number): string => Array.from({ length: count }, () => `${NAME}=${forged()}`).join('; ')
  t.same(await flood(stage, 1500, () => ({ url: '/me', cookie: several(1) })), { ...NOTHING, statuses: [200] })
  t.same(
    await flood(stage, 85, () => ({ url: '/me', cookie: several(100) })), { ...NOTHING, statuses: [200] },
    'a hundred in each request'
  )
  t.same(
    await flood(stage, 100, () => ({ url: '/logout', method: 'POST', cookie: `a=b; ${NAME}-v=${forged()}` })),
    { ...NOTHING, statuses: [200] }
  )
  t.same(await flood(stage, 100, () => {
    const id = makeId()
    return { url: '/me', cookie: `${NAME}=${id}.${encodeURIComponent(signature())}; ${companion(id)}` }
  }), { ...NOTHING, statuses: [200] }, 'nor with companions')
  t.same([await stage.items(), stage.log.warnings()], [[], []])
})

t.test('not signed, an unknown token costs one eventually consistent read of half a unit, and one line a minute', async t => {
  const stage = await setQuiet(t)
  const answers = await flood(stage, 250, () => ({ url: '/me', cookie: `${NAME}=${makeId()}` }))
  t.same(answers, { ...NOTHING, statuses: [200], reads: 250, capacity: 125 })
  t.same(
    await flood(stage, 50, () => ({ url: '/nothing', cookie: `${NAME}=${makeId()}` })),
    { ...NOTHING, statuses: [200], reads: 50, capacity: 25 }
  )
  t.same(
    await flood(stage, 100, () => ({ url: '/off', cookie: `${NAME}=${makeId()}` })), { ...NOTHING, statuses: [200] },
    'and none on a route without session'
  )
  stage.clock.forward(60)
  await flood(stage, 1, () => ({ url: '/me', cookie: `${NAME}=${makeId()}` }))
  const lines = stage.log.lines.filter(line => line['msg'] === UNKNOWN)
  t.same(lines.map(line => line['count']), [1, 300])
  t.equal(stage.log.warnings().length, 2)
  t.same(await stage.items(), [])
})

t.test('not signed, a log-out with an unknown token writes nothing: it clears what the browser brought', async t => {
  const stage = await setQuiet(t)
  const answers = await flood(stage, 80, () => ({ url: '/logout', method: 'POST', cookie: `${NAME}=${makeId()}` }))
  t.same(answers, { ...NOTHING, statuses: [200], reads: 80, capacity: 40, cookies: 80 })
  t.same(await stage.items(), [])
})

t.test('not signed, a forged companion costs one strong read more, however many come at once', async t => {
  const stage = await setQuiet(t)
  const one = await flood(stage, 80, () => {
    const id = makeId()
    return { url: '/me', cookie: `${NAME}=${id}; ${companion(id)}` }
  })
  t.same(one, { ...NOTHING, statuses: [200], reads: 160, strong: 80, capacity: 120 })
  const many = await flood(stage, 10, () => {
    const id = makeId()
    return { url: '/me', cookie: `${NAME}=${id}; ${Array.from({ length: 300 }, () => companion(id)).join('; ')}` }
  })
  t.same(many, { ...NOTHING, statuses: [200], reads: 20, strong: 10, capacity: 15 })
})

t.test('several good tokens in one request cost nothing at all', async t => {
  const stage = await setQuiet(t)
  const answers = await flood(stage, 200, () => ({ url: '/me', cookie: `${NAME}=${makeId()}; ${NAME}=${makeId()}` }))
  t.same(answers, { ...NOTHING, statuses: [200] })
  t.equal(stage.log.warnings().length, 1)
  t.match(stage.log.warnings()[0], AMBIGUOUS)
})

t.test('a session in use is read as before while a flood goes on beside it', async t => {
  const stage = await setQuiet(t)
  const ann = stage.visitor()
  await ann.post('/login')
  stage.clock.forward(11)
  for (let round = 0; round < 10; round++) {
    await flood(stage, 5, () => ({ url: '/me', cookie: `${NAME}=${makeId()}` }))
    const response = await ann.get('/me')
    t.same([response.json().data, stage.proxy.take(), setCookies(response)], [{ userId: 'u-42' }, ['GetItem'], []])
  }
  t.equal((await stage.items()).length, 1)
})

t.test('empty objects, as plugins put them there to find them later, make no session of a stranger', async t => {
  const stage = await setStage(t, engine, {
    fastify: { disableRequestLogging: true },
    routes: app => {
      app.get('/looks', async ({ session }) => {
        session.set('flash', {})
        session.set('cart', [])
        session.touch()
        session.clear()
        session.set('flash', {})
        return session.has('userId')
      })
    }
  })
  t.same(await flood(stage, 300, () => ({ url: '/looks' })), { ...NOTHING, statuses: [200] })
  t.same(await stage.items(), [])
})
