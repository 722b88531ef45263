// @fastify/passport with its own session manager, which was made for @fastify/secure-session.
import { deepEqual, equal, match, notEqual } from 'node:assert/strict'
import fastifyPassport from '@fastify/passport'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { setStage, type Stage } from '../support/app.js'
import { onOneEngine } from '../support/engines.js'
import { setCookieNames, setCookies, type Visitor } from '../support/visitor.js'
import { testReliance, wholeSession, type Reliance } from '../support/without.js'

const { Authenticator, Strategy } = fastifyPassport
type Options = ConstructorParameters<typeof Authenticator>[0]
type Login = Parameters<InstanceType<typeof Authenticator>['authenticate']>[1]

/** Takes whoever says the password. */
class Password extends Strategy {
  override authenticate (request: FastifyRequest): void {
    const { name, password } = request.body as Record<string, string>
    if (password === 'right') this.success({ name })
    else this.fail('Wrong password', 401)
  }
}

/** Adds log-in, log-out and a page; `login` is what the route of the log-in is given. */
function passportRoutes (options: Options, login: Exclude<Login, Function> = {}) {
  return async (app: FastifyInstance): Promise<void> => {
    const passport = new Authenticator(options)
    passport.use('password', new Password('password'))
    passport.registerUserSerializer(async ({ name }: { name: string }) => name)
    passport.registerUserDeserializer(async (name: string) => name === 'deleted' ? null : { name })
    await app.register(passport.initialize())
    await app.register(passport.secureSession())
    app.post('/set', async request => {
      for (const [key, value] of Object.entries(request.body as object)) wholeSession(request).set(key as `any:${string}`, value)
      return {}
    })
    app.get('/me', async request => ({ user: request.user ?? null, data: wholeSession(request).data() }))
    app.post('/login', { preValidation: passport.authenticate('password', login) }, async () => ({}))
    app.post('/logout', async request => await request.logOut().then(() => ({})))
    app.get('/messages', async (request, reply) => ({ flash: reply.flash('error'), kept: wholeSession(request).get('any:messages') ?? null }))
  }
}

const SIGN_IN = { name: 'ada', password: 'right' }
const BOTH = ['__Host-id', '__Host-id-v']

async function pageOf (visitor: Visitor): Promise<{ user: unknown, data: Record<string, unknown> }> {
  const answer = await visitor.get('/me')
  equal(answer.statusCode, 200)
  return answer.json()
}

/** Logs in over an anonymous session with a cart that an attacker has planted, and out again. */
async function visitFully ({ visitor: newVisitor, proxy, items }: Stage, kept: object, costOfLogOut: string[]): Promise<void> {
  const attacker = newVisitor()
  const started = await attacker.post('/set', { cart: ['apple'] })
  deepEqual([proxy.take(), setCookieNames(started)], [['PutItem'], BOTH])
  const planted = attacker.cookie('__Host-id') ?? ''
  const visitor = newVisitor()
  visitor.plant('__Host-id', planted)

  const login = await visitor.post('/login', SIGN_IN)
  deepEqual([login.statusCode, proxy.take(), setCookieNames(login)], [200, ['GetItem', 'PutItem', 'UpdateItem'], BOTH])
  notEqual(visitor.cookie('__Host-id'), planted, 'the id is another')
  deepEqual(await pageOf(attacker), { user: null, data: {} }, 'what was planted is worthless')
  proxy.take()

  const page = await visitor.get('/me')
  deepEqual(page.json(), { user: { name: 'ada' }, data: { ...kept, passport: 'ada' } })
  // The version that the companion names holds for ten seconds, in which a read that lags is noticed.
  deepEqual([proxy.take(), setCookies(page)], [['GetItem'], []])

  const logout = await visitor.post('/logout')
  deepEqual([logout.statusCode, proxy.take(), setCookieNames(logout)], [200, ['GetItem', ...costOfLogOut], Object.keys(kept).length > 0 ? BOTH : ['__Host-id']])
  deepEqual(await pageOf(visitor), { user: null, data: kept })
  if (Object.keys(kept).length > 0) return
  match(setCookies(logout)[0] ?? '', /^__Host-id=; Max-Age=0;/)
  equal(visitor.cookie('__Host-id'), undefined)
  deepEqual((await items()).map(item => 'next' in item), [true], 'only the mark of what was planted is left')
}

const MEMBERS = ['get', 'set', 'regenerate']

const VISITS: Record<string, Reliance> = {
  'a log-in gives another id and drops what was before, a log-out deletes the record and clears the cookie': {
    routes: passportRoutes({}),
    members: MEMBERS,
    visit: async stage => await visitFully(stage, {}, ['DeleteItem'])
  },
  'with clearSessionOnLogin: false both keep what was before, under another id each': {
    routes: passportRoutes({ clearSessionOnLogin: false }),
    members: [...MEMBERS, 'data'],
    visit: async stage => await visitFully(stage, { cart: ['apple'] }, ['PutItem', 'UpdateItem'])
  },
  'keepSessionInfo keeps what was before the log-in, and a log-out drops it': {
    routes: passportRoutes({}, { keepSessionInfo: true }),
    members: [...MEMBERS, 'Object.keys'],
    visit: async ({ visitor: newVisitor, proxy, items }) => {
      const visitor = newVisitor()
      await visitor.post('/set', { cart: ['apple'], count: 2 })
      const before = visitor.cookie('__Host-id')
      proxy.take()
      const login = await visitor.post('/login', SIGN_IN)
      deepEqual([login.statusCode, proxy.take(), setCookieNames(login)], [200, ['GetItem', 'PutItem', 'UpdateItem'], BOTH])
      notEqual(visitor.cookie('__Host-id'), before)
      deepEqual(await pageOf(visitor), { user: { name: 'ada' }, data: { cart: ['apple'], count: 2, passport: 'ada' } })
      await visitor.post('/logout')
      deepEqual((await items()).map(item => 'next' in item), [true])
    }
  },
  'clearSessionIgnoreFields keeps what it names, returnTo among it, to which the log-in then leads': {
    routes: passportRoutes({ clearSessionIgnoreFields: ['cart', 'returnTo'] }, { successReturnToOrRedirect: '/' }),
    // Without set, passport goes on after its own failure, in a promise that nobody awaits.
    members: ['get', 'regenerate'],
    visit: async ({ visitor: newVisitor, proxy }) => {
      const visitor = newVisitor()
      await visitor.post('/set', { cart: ['apple'], count: 2, returnTo: '/orders' })
      proxy.take()
      const login = await visitor.post('/login', SIGN_IN)
      deepEqual([login.statusCode, login.headers.location], [302, '/orders'])
      deepEqual([proxy.take(), setCookieNames(login)], [['GetItem', 'PutItem', 'UpdateItem'], BOTH])
      deepEqual(await pageOf(visitor), { user: { name: 'ada' }, data: { cart: ['apple'], passport: 'ada' } })
    }
  },
  'a user who is there no more is logged out, record and cookie': {
    routes: passportRoutes({}),
    members: ['get', 'regenerate'],
    visit: async ({ visitor: newVisitor, proxy, items }) => {
      const visitor = newVisitor()
      const login = await visitor.post('/login', { ...SIGN_IN, name: 'deleted' })
      deepEqual([login.statusCode, proxy.take(), setCookieNames(login)], [200, ['PutItem'], BOTH])
      const page = await visitor.get('/me')
      deepEqual(page.json(), { user: null, data: {} })
      deepEqual([proxy.take(), setCookieNames(page), await items()], [['GetItem', 'DeleteItem'], ['__Host-id'], []])
      equal(visitor.cookie('__Host-id'), undefined)
    }
  },
  'a log-in that fails leaves its message for the next page, and the session as it was': {
    routes: passportRoutes({}, { failureFlash: true, failureMessage: true, failureRedirect: '/messages' }),
    members: ['get', 'set'],
    visit: async ({ visitor: newVisitor, proxy }) => {
      const visitor = newVisitor()
      await visitor.post('/set', { cart: ['apple'] })
      const id = visitor.cookie('__Host-id')
      proxy.take()
      const login = await visitor.post('/login', { ...SIGN_IN, password: 'wrong' })
      deepEqual([login.statusCode, login.headers.location], [302, '/messages'])
      deepEqual([proxy.take(), setCookieNames(login)], [['GetItem', 'UpdateItem'], ['__Host-id-v']])
      equal(visitor.cookie('__Host-id'), id)
      const messages = await visitor.get('/messages')
      deepEqual(messages.json().flash, ['Wrong password'])
      const { user, data } = await pageOf(visitor)
      deepEqual([user, data['messages'], data['cart']], [null, ['Wrong password'], ['apple']])
      deepEqual((await visitor.get('/messages')).json().flash, [], 'once')
    }
  }
}

onOneEngine(t, (t, engine) => {
  for (const [title, reliance] of Object.entries(VISITS)) testReliance(t, engine, title, reliance)

  t.test('it is registered after ours: its messages ask for request.session', async t => {
    const app = Fastify()
    t.teardown(async () => await app.close())
    await t.rejects(async () => await app.register(new Authenticator().initialize()), { code: 'FST_ERR_PLUGIN_NOT_PRESENT_IN_INSTANCE' })
  })

  t.test('a route without a session belongs into a context that passport does not cover', async t => {
    const { visitor: newVisitor, proxy } = await setStage(t, engine, {
      routes: async app => {
        app.get('/beside', { config: { session: false } }, async () => 'beside')
        await app.register(async context => {
          await passportRoutes({})(context)
          context.get('/covered', { config: { session: false } }, async () => 'covered')
        })
      }
    })
    const visitor = newVisitor()
    await visitor.post('/login', SIGN_IN)
    proxy.take()
    t.equal((await visitor.get('/beside')).body, 'beside')
    const covered = await visitor.get('/covered')
    t.same([covered.statusCode, covered.json().code], [500, 'FST_DYNAMODB_SESSION_DISABLED'])
    t.same(proxy.take(), [])
    t.same((await pageOf(visitor)).user, { name: 'ada' })
  })

  for (const readFailure of ['error', 'anonymous'] as const) {
    t.test(`while DynamoDB is away, passport logs nobody in or out: readFailure: '${readFailure}'`, async t => {
      const { visitor: newVisitor, proxy } = await setStage(t, engine, { session: { readFailure }, routes: passportRoutes({}) })
      const visitor = newVisitor()
      await visitor.post('/login', SIGN_IN)
      const id = visitor.cookie('__Host-id')
      await proxy.stop()
      for (const url of ['/login', '/logout', '/messages', '/me']) {
        const answer = await (url.startsWith('/m') ? visitor.get(url) : visitor.post(url, SIGN_IN))
        const isPage = readFailure === 'anonymous' && url.startsWith('/m')
        t.same([answer.statusCode, setCookies(answer)], [isPage ? 200 : 503, []], url)
      }
      await proxy.restart()
      t.equal(visitor.cookie('__Host-id'), id)
      t.same((await pageOf(visitor)).user, { name: 'ada' })
    })
  }
})
