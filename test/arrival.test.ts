import t, { type Test } from 'tap'
import { Signer } from '@fastify/cookie'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse as Answer } from 'fastify'
import { addRoutes, type Stage, type StageOptions } from './support/app.js'
import { startDynalite } from './support/engines.js'
import { setInstances } from './support/matrix.js'
import type { Gate } from './support/proxy.js'
import { setCookieNames, type Visitor } from './support/visitor.js'

/**
 * One browser, several requests at once around a log-in or a log-out, in every order at the table and in every order of arrival.
 * Whatever comes last, the jar ends with the token of the session that lives.
 */

const TOKEN = '__Host-id'
const SECRETS = ['the new secret, long enough to sign with', 'the old secret, long enough to sign with']
const LOG_IN: InjectOptions = { method: 'POST', url: '/login' }
const RENEW: InjectOptions = { method: 'POST', url: '/renew' }
const LOG_OUT: InjectOptions = { method: 'POST', url: '/logout' }
const READ: InjectOptions = { method: 'GET', url: '/me' }
const FILL: InjectOptions = { method: 'POST', url: '/set', payload: { cart: ['apple'] } }
const SAVE: InjectOptions = { method: 'POST', url: '/set', payload: { count: 1 } }

const fetched = (mode: string): InjectOptions => ({ ...READ, headers: { 'sec-fetch-mode': mode } })

/** A request that begins with the old token. */
interface Act {
  readonly name: string
  readonly request: InjectOptions
  readonly write?: 'UpdateItem'
  /** Whether it hears of the end of its session. */
  readonly isTold?: boolean
  /** What it adds to the data, where it comes in time. */
  readonly adds?: object
  /** Of the session that it finds. */
  readonly has?: 'no data' | 'an end to renew' | 'an old secret'
}

const ACTS: readonly Act[] = [
  { name: 'a read', request: READ },
  { name: 'a save at the end of its request', request: SAVE, write: 'UpdateItem', adds: { count: 1 } },
  { name: 'a save() of its own', request: { method: 'POST', url: '/save' }, write: 'UpdateItem', isTold: true, adds: { count: 1 } },
  { name: 'an update', request: { method: 'POST', url: '/count' }, write: 'UpdateItem', isTold: true, adds: { count: 1 } },
  { name: 'a read that renews', request: READ, write: 'UpdateItem', has: 'an end to renew' },
  { name: 'first data', request: SAVE, write: 'UpdateItem', has: 'no data', adds: { count: 1 } },
  { name: 'a read in the background under an old secret', request: fetched('cors'), has: 'an old secret' }
]

const NAVIGATION: Act = { name: 'a navigation under an old secret', request: fetched('navigate'), has: 'an old secret' }

/** Sends a request, to the first process unless told otherwise. */
type Going = (app?: FastifyInstance) => Promise<Answer>

/** Three processes; the clock, the proxy and the log are those of the first. */
interface Places extends Stage { readonly elsewhere: FastifyInstance, readonly all: readonly Stage[] }
interface Pair { readonly ofAct: Answer, readonly ofOther: Answer }

/** Lets two requests run in an order at the table. */
type Order = (stage: Places, act: Going, other: Going, write: Act['write']) => Promise<Pair>

/** Where the other request runs, from its beginning to its end. */
const OVERTAKEN: Readonly<Record<string, Order>> = {
  'before it reads': async ({ proxy, elsewhere }, act, other) => await overtake(elsewhere, proxy.gate('GetItem'), act, other),
  'between its read and its write': async ({ proxy, elsewhere }, act, other, write) =>
    await overtake(elsewhere, write === undefined ? proxy.gate('GetItem', 'after') : proxy.gate(write), act, other),
  'between its write and its answer': async ({ proxy, elsewhere }, act, other, write) => {
    if (write !== undefined) return await overtake(elsewhere, proxy.gate(write, 'after'), act, other)
    return { ofAct: await act(), ofOther: await other() }
  }
}

/** The other way round: the log-in has read, or has written its new record, before the act comes and goes. */
const OVERTAKING: Readonly<Record<string, Order>> = {
  'while the log-in has read': async ({ proxy, elsewhere }, act, logIn) => turn(await overtake(elsewhere, proxy.gate('PutItem'), logIn, act)),
  'while the log-in has put its new record': async ({ proxy, elsewhere }, act, logIn) => turn(await overtake(elsewhere, proxy.gate('UpdateItem'), logIn, act))
}

/** The other one runs in another process: in one, they would share a read. */
async function overtake (elsewhere: FastifyInstance, gate: Gate, held: Going, other: Going): Promise<Pair> {
  const going = held()
  await Promise.race([gate.reached, going])
  if (!gate.isHolding) throw new Error('A request never came to its gate')
  const ofOther = await other(elsewhere)
  gate.release()
  return { ofAct: await going, ofOther }
}

function turn ({ ofAct, ofOther }: Pair): Pair {
  return { ofAct: ofOther, ofOther: ofAct }
}

/** A browser in which a session has begun, and others with the same cookies, each for another order of arrival. */
async function beginSession (stage: Stage, has: Act['has'], twins: number): Promise<{ ann: Visitor, browsers: Visitor[] }> {
  const ann = stage.visitor()
  const browsers = Array.from({ length: twins }, () => stage.visitor())
  const begun = await ann.send(has === 'no data' ? { method: 'POST', url: '/save-nothing' } : FILL)
  for (const browser of [ann, ...browsers]) {
    browser.receive(begun)
    if (has === 'an old secret') browser.plant(TOKEN, new Signer(SECRETS[1] as string).sign(begun.json().id))
  }
  if (has === 'an end to renew') stage.clock.forward(1000)
  stage.proxy.take()
  return { ann, browsers }
}

async function setUp (t: Test, options: StageOptions['session'] = { secrets: SECRETS }): Promise<Places> {
  const all = await setInstances(t, engine, 3, {
    session: options,
    routes: app => {
      addRoutes(app)
      app.post('/renew', async request => {
        await request.session.regenerate(true)
        request.session.set('userId', 'u-42')
        return { id: request.session.id }
      })
      app.post('/save', async request => {
        request.session.set('count', 1)
        await request.session.save()
        return {}
      })
      app.post('/save-nothing', async request => {
        await request.session.save()
        return { id: request.session.id }
      })
      app.post('/count', async request => ({ count: await request.session.update('count', count => (count ?? 0) + 1) }))
    }
  }) as [Stage, Stage, Stage]
  return { ...all[0], elsewhere: all[1].app, all }
}

function from (ann: Visitor, request: InjectOptions): Going {
  return async app => await ann.send(request, app)
}

/** Two answers arrive at a browser in one order, and at another in the other. */
function arrive (browsers: readonly Visitor[], { ofAct, ofOther }: Pair): Array<{ browser: Visitor, last: Answer, title: string }> {
  return [[ofAct, ofOther], [ofOther, ofAct]].map((answers, index) => {
    const browser = browsers[index] as Visitor
    for (const answer of answers) browser.receive(answer)
    return { browser, last: answers[1] as Answer, title: `the other's answer comes ${index === 0 ? 'last' : 'first'}` }
  })
}

function sendsToken (answer: Answer): boolean {
  return setCookieNames(answer).includes(TOKEN)
}

function ordersOf<T> (items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((item, index) => ordersOf(items.toSpliced(index, 1)).map(rest => [item, ...rest]))
}

const engine = await startDynalite()
t.teardown(async () => await engine.close())

for (const [title, logIn] of [['a log-in', LOG_IN], ['a change of the id that keeps the data', RENEW]] as const) {
  t.test(`${title} and another request with the old token: the jar ends with the new token, in every order`, async t => {
    const stage = await setUp(t)
    for (const act of ACTS) {
      for (const [where, order] of Object.entries({ ...OVERTAKEN, ...OVERTAKING })) {
        const name = `${act.name}, ${where}`
        const { ann, browsers } = await beginSession(stage, act.has, 2)
        const { ofAct, ofOther } = await order(stage, from(ann, act.request), from(ann, logIn), act.write)
        const isLate = ['before it reads', 'between its read and its write'].includes(where)
        t.same([ofAct.statusCode, ofOther.statusCode], [isLate && act.isTold === true ? 409 : 200, 200], name)
        t.same([sendsToken(ofAct), sendsToken(ofOther)], [false, true], `${name}: the log-in alone sends a token`)
        const kept = logIn === RENEW && { ...act.has !== 'no data' && { cart: ['apple'] }, ...!isLate && act.adds }
        for (const { browser, title } of arrive(browsers, { ofAct, ofOther })) {
          stage.proxy.take()
          const { id, data } = (await browser.get('/me')).json()
          t.equal(id, ofOther.json().id, `${name}, ${title}`)
          t.same(data, { ...kept, userId: 'u-42' })
          t.same(stage.proxy.take(), ['GetItem'], 'and it costs one read')
        }
      }
    }
  })
}

t.test('not promised: a navigation that signs an old token anew and answers after a log-in puts the dead token over the new one', async t => {
  const stage = await setUp(t)
  for (const order of Object.values({ ...OVERTAKEN, ...OVERTAKING })) {
    const { ann, browsers } = await beginSession(stage, NAVIGATION.has, 2)
    const pair = await order(stage, from(ann, NAVIGATION.request), from(ann, LOG_IN), undefined)
    for (const { browser, last } of arrive(browsers, pair)) {
      const { id, data } = (await browser.get('/me')).json()
      const isDead = sendsToken(pair.ofAct) && last === pair.ofAct
      t.same([id, data], isDead ? [undefined, {}] : [pair.ofOther.json().id, { userId: 'u-42' }], 'a dead token loads nothing')
    }
  }
})

t.test('a late answer to a save does not take from the log-in what tells that reads lag behind', async t => {
  const stage = await setUp(t)
  const { ann } = await beginSession(stage, undefined, 0)
  stage.proxy.staleReads = true
  const { ofAct, ofOther } = await overtake(stage.elsewhere, stage.proxy.gate('UpdateItem', 'after'), from(ann, SAVE), from(ann, LOG_IN))
  ann.receive(ofOther)
  ann.receive(ofAct)
  t.same((await ann.get('/me')).json().data, { userId: 'u-42' })
})

t.test('a log-in, a save and a read at once: six orders at the table, and six of arrival for each', async t => {
  const stage = await setUp(t)
  for (const atTable of ordersOf(['log-in', 'save', 'read'] as const)) {
    const arrivals = ordersOf(['log-in', 'save', 'read'] as const)
    const { ann, browsers } = await beginSession(stage, undefined, arrivals.length)
    const requests = { 'log-in': LOG_IN, save: SAVE, read: READ }
    const held: Array<{ gate: Gate, answer: Promise<Answer> }> = []
    const answers = new Map<string, Answer>()
    for (const [index, name] of atTable.entries()) {
      // Each in a process of its own, so that each has a read of its own.
      const { proxy, app } = stage.all[index] as Stage
      const gate = proxy.gate('GetItem', 'after')
      held.push({ gate, answer: ann.send(requests[name], app) })
      await gate.reached
    }
    for (const [index, { gate, answer }] of held.entries()) {
      gate.release()
      answers.set(atTable[index] as string, await answer)
    }
    t.same([...answers.values()].map(answer => answer.statusCode), [200, 200, 200], atTable.join(', '))
    for (const [index, arrival] of arrivals.entries()) {
      const browser = browsers[index] as Visitor
      for (const name of arrival) browser.receive(answers.get(name) as Answer)
      const { id, data } = (await browser.get('/me')).json()
      t.equal(id, answers.get('log-in')?.json().id, `${atTable.join(', ')} at the table; ${arrival.join(', ')} at the browser`)
      t.same(data, { userId: 'u-42' })
    }
  }
  t.equal((await stage.items()).length, 12, 'each of the six has one session and the mark of the one before')
})

t.test('of two requests that regenerate one session one wins; the other answers 409, sends no token and leaves no record', async t => {
  for (const [first, second] of [[LOG_IN, LOG_IN], [RENEW, RENEW], [LOG_IN, RENEW], [RENEW, LOG_IN]] as const) {
    for (const [where, action, side] of [
      ['after its read', 'GetItem', 'after'], ['before its new record', 'PutItem', 'before'], ['before its mark', 'UpdateItem', 'before']
    ] as const) {
      const stage = await setUp(t)
      const { ann, browsers } = await beginSession(stage, undefined, 2)
      const name = `${String(second.url)} overtakes ${String(first.url)} ${where}`
      const pair = await overtake(stage.elsewhere, stage.proxy.gate(action, side), from(ann, first), from(ann, second))
      const { ofAct: loser, ofOther: winner } = pair
      t.same([winner.statusCode, loser.statusCode, loser.json().code], [200, 409, 'FST_DYNAMODB_SESSION_CONFLICT'], name)
      t.same(setCookieNames(loser), [])
      const items = await stage.items()
      t.same(items.map(item => item['next'] !== undefined).sort(), [false, true], 'the winner\'s record and the mark of the old one')
      for (const { browser, title } of arrive(browsers, pair)) t.equal((await browser.get('/me')).json().id, winner.json().id, title)
    }
  }
})

t.test('of many requests that regenerate one session at once, one wins', async t => {
  const stage = await setUp(t)
  const { ann } = await beginSession(stage, undefined, 0)
  stage.proxy.take()
  // They share one read.
  const gate = stage.proxy.gate('GetItem', 'after')
  const going = Array.from({ length: 5 }, async (_, index) => await ann.send(index % 2 === 0 ? LOG_IN : RENEW))
  await gate.reached
  gate.release()
  const answers = await Promise.all(going)
  t.same(stage.proxy.takeCalls().filter(({ action, input }) => action === 'GetItem' && input['ConsistentRead'] === false).length, 1)
  t.same(answers.map(answer => answer.statusCode).sort(), [200, 409, 409, 409, 409])
  t.equal(answers.filter(sendsToken).length, 1)
  for (const answer of answers) ann.receive(answer)
  t.equal((await ann.get('/me')).json().id, answers.find(sendsToken)?.json().id)
  t.equal((await stage.items()).length, 2)
})

t.test('a second log-in that reads after the first has ended begins a session of its own; the jar holds the later one', async t => {
  const stage = await setUp(t)
  for (const [where, order] of Object.entries(OVERTAKEN).filter(([where]) => where !== 'between its read and its write')) {
    const { ann, browsers } = await beginSession(stage, undefined, 2)
    const { ofAct, ofOther } = await order(stage, from(ann, LOG_IN), from(ann, LOG_IN), 'UpdateItem')
    t.same([ofAct.statusCode, ofOther.statusCode], [200, 200], where)
    for (const { browser, last } of arrive(browsers, { ofAct, ofOther })) {
      t.same((await browser.get('/me')).json(), { id: last.json().id, data: { userId: 'u-42' }, version: 1 })
    }
  }
})

t.test('a log-out and another request with the old token: the jar ends without a token, in every order', async t => {
  const stage = await setUp(t)
  const overtaking: Record<string, Order> = {
    'while the log-out has read': async ({ proxy, elsewhere }, act, logOut) => turn(await overtake(elsewhere, proxy.gate('DeleteItem'), logOut, act)),
    'while the answer of the log-out is on its way': async ({ proxy, elsewhere }, act, logOut) =>
      turn(await overtake(elsewhere, proxy.gate('DeleteItem', 'after'), logOut, act))
  }
  // First data of a request whose session has ended before it reads begins a session, as that of any visitor does.
  const beginsAnew = (act: Act, where: string): boolean =>
    act.adds !== undefined && ['before it reads', 'while the answer of the log-out is on its way'].includes(where)
  for (const act of ACTS) {
    for (const [where, order] of Object.entries({ ...OVERTAKEN, ...overtaking })) {
      const name = `${act.name}, ${where}`
      const { ann, browsers } = await beginSession(stage, act.has, 2)
      const { ofAct, ofOther } = await order(stage, from(ann, act.request), from(ann, LOG_OUT), act.write)
      t.equal(ofOther.statusCode, 200)
      const told = act.isTold === true && where === 'between its read and its write'
      t.equal(ofAct.statusCode, told ? 409 : 200, name)
      t.equal(sendsToken(ofAct), beginsAnew(act, where), name)
      if (beginsAnew(act, where)) continue
      for (const { browser, title } of arrive(browsers, { ofAct, ofOther })) {
        t.equal(browser.cookie(TOKEN), undefined, `${name}, ${title}`)
        t.same((await browser.get('/me')).json(), { data: {} })
      }
    }
  }
})

t.test('a navigation that signs an old token anew may put it back after a log-out, which signs nobody in', async t => {
  const stage = await setUp(t)
  for (const [where, order] of Object.entries(OVERTAKEN)) {
    const { ann, browsers } = await beginSession(stage, NAVIGATION.has, 2)
    const pair = await order(stage, from(ann, NAVIGATION.request), from(ann, LOG_OUT), undefined)
    for (const { browser, title } of arrive(browsers, pair)) t.same((await browser.get('/me')).json(), { data: {} }, `${where}, ${title}`)
  }
})

t.test('a log-in and a log-out at once: nobody is signed in at the end, in every order, whichever answer comes last', async t => {
  for (const logIn of [LOG_IN, RENEW]) {
    for (const [where, action, side, status] of [
      ['after its read', 'GetItem', 'after', 409], ['before its new record', 'PutItem', 'before', 409],
      ['before its mark', 'UpdateItem', 'before', 409], ['after its mark', 'UpdateItem', 'after', 200]
    ] as const) {
      const stage = await setUp(t)
      const { ann, browsers } = await beginSession(stage, undefined, 2)
      const { ofAct, ofOther } = await overtake(stage.elsewhere, stage.proxy.gate(action, side), from(ann, logIn), from(ann, LOG_OUT))
      t.same([ofAct.statusCode, ofOther.statusCode], [status, 200], `the log-out overtakes the log-in ${where}`)
      t.equal(sendsToken(ofAct), status === 200)
      for (const { browser, title } of arrive(browsers, { ofAct, ofOther })) t.same((await browser.get('/me')).json(), { data: {} }, title)
      t.same((await stage.items()).filter(item => item['next'] === undefined), [], 'no session is left')
    }
  }
})

t.test('by header: the client that takes the token of each answer ends with the new one, and with none after a log-out', async t => {
  const stage = await setUp(t, { secrets: SECRETS, header: 'x-session' })
  const send = async (token: string, request: InjectOptions, app = stage.app): Promise<Answer> =>
    await app.inject({ ...request, headers: token === '' ? {} : { 'x-session': token } })
  const lastOf = (token: string, ...answers: Answer[]): string =>
    answers.reduce((last, { headers }) => String(headers['x-session'] ?? last), token)
  for (const other of [LOG_IN, LOG_OUT]) {
    for (const act of ACTS.filter(({ has }) => has === undefined)) {
      for (const [where, order] of Object.entries(OVERTAKEN)) {
        // A log-out that came first leaves nothing, so what comes later begins a session of its own.
        if (other === LOG_OUT && act.adds !== undefined && where === 'before it reads') continue
        const token = lastOf('', await send('', FILL))
        const [going, goingOther] = [act.request, other].map(request => async (app?: FastifyInstance) => await send(token, request, app)) as [Going, Going]
        const { ofAct, ofOther } = await order(stage, going, goingOther, act.write)
        t.equal(ofAct.headers['x-session'], undefined, `${act.name}, ${String(other.url)} ${where}`)
        for (const last of [lastOf(token, ofAct, ofOther), lastOf(token, ofOther, ofAct)]) {
          t.equal(last === '', other === LOG_OUT)
          t.same((await send(last, READ)).json().data, other === LOG_OUT ? {} : { userId: 'u-42' })
        }
      }
    }
  }
})

t.test('not promised: two first requests without a cookie make two sessions, both whole; the jar holds the later one', async t => {
  const stage = await setUp(t)
  for (const [title, second] of [['data', SAVE], ['a log-in', LOG_IN]] as const) {
    const ann = stage.visitor()
    const browsers = [stage.visitor(), stage.visitor()]
    const { ofAct, ofOther } = await overtake(stage.elsewhere, stage.proxy.gate('PutItem'), from(ann, FILL), from(ann, second))
    const dataOf = new Map<Answer, object>([[ofAct, { cart: ['apple'] }], [ofOther, second === LOG_IN ? { userId: 'u-42' } : { count: 1 }]])
    for (const { browser, last } of arrive(browsers, { ofAct, ofOther })) {
      t.same((await browser.get('/me')).json(), { id: last.json().id, data: dataOf.get(last), version: 1 }, title)
    }
  }
  t.equal((await stage.items()).length, 4)
})
