// What forms need: @fastify/csrf-protection, which knows the sessions of both official plugins, and @fastify/flash.
import { deepEqual, equal, notEqual } from 'node:assert/strict'
import csrfProtection, { type FastifyCsrfProtectionOptions } from '@fastify/csrf-protection'
import flash from '@fastify/flash'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Stage } from '../support/app.js'
import { onOneEngine } from '../support/engines.js'
import { makeGate } from '../support/gate.js'
import { setCookieNames, setCookies, type Visitor } from '../support/visitor.js'
import { testReliance, wholeSession, type Reliance } from '../support/without.js'

const BOTH = ['__Host-id', '__Host-id-v']

/** Tokens for a form, taken where `protect` stands. */
function csrfRoutes (options: FastifyCsrfProtectionOptions) {
  return async (app: FastifyInstance): Promise<void> => {
    await app.register(csrfProtection, options)
    app.get('/form', async (_request, reply) => ({ token: reply.generateCsrf() }))
    app.get('/form/:user', async (request, reply) => {
      const { user } = request.params as { user: string }
      return { token: reply.generateCsrf({ userInfo: user, maxAge: 3600 }) }
    })
    app.post('/order', { onRequest: app.csrfProtection }, async () => 'ordered')
    app.post('/field', { preValidation: app.csrfProtection }, async () => 'ordered')
    app.post('/login', async request => {
      await wholeSession(request).regenerate()
      wholeSession(request).set('userId', 'u-42')
    })
  }
}

async function tokenFor (visitor: Visitor, url = '/form'): Promise<string> {
  return (await visitor.get(url)).json().token
}

async function order (visitor: Visitor, token: string, user = ''): Promise<{ status: number, code: string | undefined }> {
  const answer = await visitor.post('/order', {}, { headers: { 'csrf-token': token, user } })
  return { status: answer.statusCode, code: answer.statusCode === 200 ? undefined : answer.json().code }
}

const TAKEN = { status: 200, code: undefined }
const FORGED = { status: 403, code: 'FST_CSRF_INVALID_TOKEN' }
const NO_SECRET = { status: 403, code: 'FST_CSRF_MISSING_SECRET' }

async function visitForms ({ visitor: newVisitor, proxy }: Stage): Promise<void> {
  const [ann, bob] = [newVisitor(), newVisitor()]
  deepEqual([await order(bob, 'forged'), proxy.take()], [NO_SECRET, []], 'who has no session costs nothing')
  const form = await ann.get('/form')
  deepEqual([form.statusCode, proxy.take(), setCookieNames(form)], [200, ['PutItem'], BOTH], 'the secret makes a session')
  const { token } = form.json()
  const again = await ann.get('/form')
  notEqual(again.json().token, token, 'each form has a token of its own')
  deepEqual([proxy.take(), setCookies(again)], [['GetItem'], []])
  deepEqual([await order(ann, token), await order(ann, again.json().token), proxy.take()], [TAKEN, TAKEN, ['GetItem', 'GetItem']])
  deepEqual([(await ann.post('/field', { _csrf: token })).statusCode, (await ann.post('/field', { _csrf: 'forged' })).statusCode], [200, 403], 'in a field of the form too')
  await tokenFor(bob)
  deepEqual([await order(bob, token), await order(ann, 'forged')], [FORGED, FORGED], 'a token is worth something in its own session alone')
  proxy.take()
  ann.from = 'another site'
  deepEqual([await order(ann, token), proxy.take()], [NO_SECRET, []], 'from another site it comes without its session')
  ann.from = 'same site'
  await ann.post('/login')
  deepEqual(await order(ann, token), NO_SECRET, 'and does not survive the log-in')
  deepEqual(await order(ann, await tokenFor(ann)), TAKEN)
}

function flashRoutes (app: FastifyInstance): void {
  app.register(flash)
  app.post('/say', async (request, reply) => {
    request.flash('info', 'saved')
    request.flash('error', ['not sent', 'not printed'])
    return await reply.redirect('/page')
  })
  app.get('/page', async (_request, reply) => reply.flash())
  app.get('/errors', async (_request, reply) => reply.flash('error'))
  app.post('/login', async request => { wholeSession(request).set('userId', 'u-42') })
  app.get('/slow/:end', async (request, reply) => {
    const messages = reply.flash()
    slow.entered.open()
    await slow.left.passed
    const { end } = request.params as { end: string }
    if (end === 'new-id') await wholeSession(request).regenerate(true)
    if (end === 'update') await wholeSession(request).update('flash', (found = {}) => ({ ...found, info: [...found['info'] ?? [], 'seen'] }))
    return messages
  })
}

/** Where a page under way has got to. */
let slow = { entered: makeGate(), left: makeGate() }

const VISITS: Record<string, Reliance> = {
  "a token by '@fastify/secure-session' is taken in its session, a forged one is not, and none survives a log-in": {
    routes: csrfRoutes({ sessionPlugin: '@fastify/secure-session' }),
    members: ['get', 'set'],
    visit: visitForms
  },
  "a token by '@fastify/session' is taken in its session, a forged one is not, and none survives a log-in": {
    routes: csrfRoutes({ sessionPlugin: '@fastify/session' }),
    // The secret is a property there.
    members: ['_csrf'],
    visit: visitForms
  },
  'a token for a user is taken with that user alone; what generateCsrf is given for the cookie goes there, and userInfo does not': {
    routes: csrfRoutes({ sessionPlugin: '@fastify/secure-session', getUserInfo: request => String(request.headers['user']) }),
    members: ['get', 'set', 'options'],
    visit: async ({ visitor: newVisitor, proxy, items }) => {
      const visitor = newVisitor()
      const form = await visitor.get('/form/ann')
      deepEqual([form.statusCode, proxy.take(), setCookieNames(form)], [200, ['PutItem'], BOTH])
      equal(setCookies(form)[0]?.includes('Max-Age=3600'), true)
      deepEqual((await items()).map(item => item['cookie']), [{ N: '3600' }])
      const { token } = form.json()
      deepEqual([await order(visitor, token, 'ann'), await order(visitor, token, 'bob')], [TAKEN, FORGED])
    }
  },
  'messages are shown once, and looking where there are none costs a stranger nothing': {
    routes: flashRoutes,
    members: ['get', 'set'],
    visit: async ({ visitor: newVisitor, proxy, items }) => {
      const visitor = newVisitor()
      for (const url of ['/page', '/errors', '/page']) {
        const page = await visitor.get(url)
        deepEqual([page.statusCode, proxy.take(), setCookies(page)], [200, [], []])
      }
      deepEqual(await items(), [])
      const said = await visitor.post('/say')
      deepEqual([said.statusCode, proxy.take(), setCookieNames(said)], [302, ['PutItem'], BOTH])
      const errors = await visitor.get('/errors')
      deepEqual([errors.json(), proxy.take()], [['not sent', 'not printed'], ['GetItem', 'UpdateItem']])
      const page = await visitor.get('/page')
      deepEqual([page.json(), proxy.take()], [{ info: ['saved'] }, ['GetItem', 'UpdateItem']])
      const empty = await visitor.get('/page')
      deepEqual([empty.json(), proxy.take(), setCookies(empty)], [{}, ['GetItem'], []], 'shown once, and no write for none')
    }
  },
  'looking for messages where there never were any costs who is signed in a read, and no write': {
    routes: flashRoutes,
    members: ['get', 'set'],
    visit: async ({ visitor: newVisitor, proxy }) => {
      const visitor = newVisitor()
      await visitor.post('/login')
      proxy.take()
      const page = await visitor.get('/page')
      deepEqual([page.json(), proxy.take(), setCookies(page)], [{}, ['GetItem'], []])
    }
  },
  'a page that finds no messages does not take away those that come while it is under way': {
    routes: flashRoutes,
    members: ['get', 'set'],
    visit: async ({ visitor: newVisitor }) => {
      const said = { info: ['saved'], error: ['not sent', 'not printed'] }
      for (const [end, expected] of [['plain', said], ['new-id', said], ['update', { ...said, info: ['saved', 'seen'] }]] as const) {
        const visitor = newVisitor()
        await visitor.post('/login')
        slow = { entered: makeGate(), left: makeGate() }
        const page = visitor.send({ url: `/slow/${end}` })
        await Promise.race([slow.entered.passed, page])
        await visitor.post('/say')
        slow.left.open()
        const answer = await page
        visitor.receive(answer)
        deepEqual(answer.json(), {})
        deepEqual((await visitor.get('/page')).json(), expected, end)
      }
    }
  }
}

onOneEngine(t, (t, engine) => {
  for (const [title, reliance] of Object.entries(VISITS)) testReliance(t, engine, title, reliance)
})
