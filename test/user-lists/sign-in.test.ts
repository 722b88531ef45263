import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import dynamoSession, { SessionManager, type DynamoSessionOptions, type Session } from '../../index.js'
import { memoryRepository, signIn } from '../../testing/index.js'
import { clientConfig, createTable, onEachEngine } from '../support/engines.js'
import { FaultProxy } from '../support/proxy.js'
import '../support/session-data.js'

declare module 'fastify' {
  interface FastifyRequest { admin: Session }
  interface FastifyInstance { admins: SessionManager }
}

const SECRET = 'a secret of some length for the signature'
const BAD = 'FST_DYNAMODB_SESSION_BAD_OPTION'

/** What a registration is to work with, made for each: in memory or on a table. */
type Where = () => Promise<Pick<DynamoSessionOptions, 'table' | 'client' | 'verify'>>

const inMemory: Where = async () => ({ table: 'sessions', client: memoryRepository() })

function addRoutes (app: FastifyInstance): void {
  app.get('/me', async request => request.session.data())
  app.post('/cart', async request => {
    request.session.set('cart', ['apple'])
    return {}
  })
  app.post('/logout', async request => {
    await request.session.destroy()
    return {}
  })
}

async function setApp (t: Test, where: Where, options: Partial<DynamoSessionOptions> = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => await app.close())
  await app.register(dynamoSession, { ...await where(), ...options })
  addRoutes(app)
  return app
}

const ann = { userId: 'u-42', cart: ['pear'] }

/** Each kind of visitor, by the options of the registration. */
const KINDS: Record<string, { readonly options: Partial<DynamoSessionOptions>, readonly names: string[] | RegExp }> = {
  'by the default cookie': { options: {}, names: /^__Host-id=[\w-]{43}; __Host-id-v=[\w-]{8}\.1$/ },
  'by a cookie of another name': { options: { cookie: { name: 'sid', secure: 'auto' } }, names: /^sid=[\w-]{43}; sid-v=/ },
  'by a signed cookie': { options: { secrets: [SECRET, 'an older secret of some length as well'] }, names: /^__Host-id=[\w-]{43}\./ },
  'with strong reads, and so no companion': { options: { consistentRead: true }, names: /^__Host-id=[\w-]{43}$/ },
  'with the last activity in the companion': { options: { secrets: SECRET, idleTracking: 'cookie' }, names: /; __Host-id-v=[\w-]{8}\.1\.\d{10,}\.[\w%+/]{43,}$/ },
  'by a header': { options: { header: 'X-Session' }, names: ['x-session', 'x-session-v'] },
  'by a signed header': { options: { header: 'x-session', secrets: SECRET }, names: ['x-session', 'x-session-v'] },
  'by a cookie where a header is taken too': { options: { header: 'x-session', cookie: {} }, names: /^__Host-id=/ },
  'with sealed values': { options: { encryptionKeys: new Uint8Array(32).fill(3) }, names: /^__Host-id=/ }
}

function signingIn (t: Test, where: Where): void {
  for (const [title, { options, names }] of Object.entries(KINDS)) {
    t.test(`a visitor is signed in ${title}`, async t => {
      const app = await setApp(t, where, options)
      const headers = await signIn(app, ann)
      if (Array.isArray(names)) t.same(Object.keys(headers), names)
      else t.match(headers['cookie'], names)
      const me = await app.inject({ url: '/me', headers })
      t.same(me.json(), ann)
      t.notOk(me.headers['set-cookie'] ?? me.headers['x-session'], 'the token is as the application itself would have sent it')
      await app.inject({ method: 'POST', url: '/cart', headers })
      t.same((await app.inject({ url: '/me', headers })).json(), { userId: 'u-42', cart: ['apple'] })
      await app.inject({ method: 'POST', url: '/logout', headers })
      t.same((await app.inject({ url: '/me', headers })).json(), {})
    })
  }
}

/** Bound sessions, of which the application lists and ends those of each user. */
function binding (t: Test, where: Where): void {
  t.test('a visitor who is signed in as a user is on the list of that user, and ended with it', async t => {
    const app = await setApp(t, where, { userIndex: true })
    const desk = await signIn(app, ann, { userId: 'u-42', label: 'desk' })
    const other = await signIn(app, ann, { userId: 'u-42' })
    const nobody = await signIn(app, ann)
    t.same((await app.sessions.list('u-42')).map(({ label }) => label).sort(), ['desk', undefined])
    const me = await app.inject({ url: '/me', headers: desk })
    t.same([me.json(), me.headers['set-cookie']], [ann, undefined])
    await app.inject({ method: 'POST', url: '/logout', headers: other })
    t.same((await app.sessions.list('u-42')).map(({ label }) => label), ['desk'])
    await app.sessions.revokeAll('u-42')
    t.same((await app.inject({ url: '/me', headers: desk })).json(), {})
    t.same((await app.inject({ url: '/me', headers: nobody })).json(), ann)
  })

  t.test('signing in as a user goes by maxSessions, and by sealed labels', async t => {
    const app = await setApp(t, where, { userIndex: { maxSessions: 1 }, encryptionKeys: new Uint8Array(32).fill(3) })
    const first = await signIn(app, ann, { userId: 'u-42', label: 'one' })
    await signIn(app, ann, { userId: 'u-42', label: 'two' })
    t.same((await app.sessions.list('u-42')).map(({ label }) => label), ['two'])
    t.same((await app.inject({ url: '/me', headers: first })).json(), {})
  })
}

t.test('in memory', async t => {
  signingIn(t, inMemory)
  binding(t, inMemory)
})

onEachEngine(t, async (t, engine) => {
  signingIn(t, async () => ({ table: await createTable(engine), client: clientConfig(engine.endpoint) }))

  binding(t, async () => ({ table: await createTable(engine), client: clientConfig(engine.endpoint) }))

  await t.test('as a user it makes one call more, and two for the first', async t => {
    const proxy = await FaultProxy.start(engine)
    t.teardown(async () => await proxy.close())
    const app = await setApp(t, async () => ({ table: await createTable(engine), client: clientConfig(proxy.endpoint), verify: false }), { userIndex: true })
    await signIn(app, ann, { userId: 'u-42' })
    t.same(proxy.take(), ['UpdateItem', 'PutItem', 'PutItem'])
    await signIn(app, ann, { userId: 'u-42' })
    t.same(proxy.take(), ['UpdateItem', 'PutItem'], 'listed, then stored, once')
  })

  await t.test('it makes one call, and the visitor costs what any visitor costs', async t => {
    const proxy = await FaultProxy.start(engine)
    t.teardown(async () => await proxy.close())
    const app = await setApp(t, async () => ({ table: await createTable(engine), client: clientConfig(proxy.endpoint), verify: false }))
    const headers = await signIn(app, ann)
    t.same(proxy.take(), ['PutItem'])
    await app.inject({ url: '/me', headers })
    t.same(proxy.takeCalls().map(({ action, input }) => [action, input['ConsistentRead']]), [['GetItem', false]])
  })

  await t.test('a read that lags behind the creation finds the visitor all the same', async t => {
    const proxy = await FaultProxy.start(engine)
    t.teardown(async () => await proxy.close())
    const app = await setApp(t, async () => ({ table: await createTable(engine), client: clientConfig(proxy.endpoint), verify: false }))
    proxy.staleReads = true
    const headers = await signIn(app, ann)
    t.same((await app.inject({ url: '/me', headers })).json(), ann)
    t.same(proxy.take(), ['PutItem', 'GetItem', 'GetItem'])
  })
})

t.test('an application that listens knows the visitor too', async t => {
  const app = await setApp(t, inMemory, { secrets: SECRET })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const headers = await signIn(app, ann)
  const { port } = app.server.address() as AddressInfo
  t.same(await (await fetch(`http://127.0.0.1:${port}/me`, { headers })).json(), ann)
})

t.test('where a token is taken both ways, the visitor may come by either', async t => {
  const app = await setApp(t, inMemory, { header: 'x-session', cookie: {} })
  const headers = await signIn(app, ann, { way: 'header' })
  t.same(Object.keys(headers), ['x-session', 'x-session-v'])
  t.same((await app.inject({ url: '/me', headers })).json(), ann)
  t.same(Object.keys(await signIn(app, ann, { way: 'cookie' })), ['cookie'])
})

t.test('each call is another visitor, and one without data has a session too', async t => {
  const app = await setApp(t, inMemory)
  const [first, second] = [await signIn(app, { userId: 'u-1' }), await signIn(app, { userId: 'u-2' })]
  t.same((await app.inject({ url: '/me', headers: first })).json(), { userId: 'u-1' })
  t.same((await app.inject({ url: '/me', headers: second })).json(), { userId: 'u-2' })
  const { cookie } = await signIn(app)
  const answer = await app.inject({ method: 'POST', url: '/cart', headers: { cookie } })
  t.match(String(answer.headers['set-cookie']), /^__Host-id-v=/, 'its session goes on: no new token')
})

t.test('it waits for plugins that are not loaded yet', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  app.register(dynamoSession, await inMemory())
  app.register(async instance => { addRoutes(instance) })
  const headers = await signIn(app, ann)
  t.same((await app.inject({ url: '/me', headers })).json(), ann)
})

t.test('called with a context first, it starts the whole application, and once', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  let starts = 0
  app.addHook('onReady', async () => { starts += 1 })
  const { context } = await addContext(app, '/shop', {})
  const headers = [await signIn(context, ann), await signIn(app, ann), await signIn(context, ann)]
  t.equal(starts, 1)
  for (const each of headers) t.same((await app.inject({ url: '/shop/me', headers: each })).json(), ann)
})

t.test('what stops the application stops it too', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  app.register(dynamoSession, await inMemory())
  app.register(async () => { throw new Error('a plugin of the application failed') })
  await t.rejects(signIn(app, ann), { message: 'a plugin of the application failed' })
})

t.test('several registrations each have their own visitors, and a visitor of both sends both', async t => {
  const app = await setApp(t, inMemory)
  await app.register(dynamoSession, { ...await inMemory(), table: 'admins', sessionName: 'admin', secrets: SECRET })
  app.get('/admin', async request => ({ shop: request.session.get('userId'), admin: request.admin.get('userId') }))
  const shop = await signIn(app, { userId: 'u-1' })
  const admin = await signIn(app, { userId: 'u-2' }, { sessionName: 'admin' })
  t.match(admin['cookie'], /^__Host-id-admin=/)
  t.same((await app.inject({ url: '/admin', headers: shop })).json(), { shop: 'u-1' })
  t.same((await app.inject({ url: '/admin', headers: admin })).json(), { admin: 'u-2' })
  const both = { cookie: `${shop['cookie']}; ${admin['cookie']}` }
  t.same((await app.inject({ url: '/admin', headers: both })).json(), { shop: 'u-1', admin: 'u-2' })
})

/** A context of its own, in which the plugin is registered. Not the context itself: to await that is to await the application. */
async function addContext (app: FastifyInstance, prefix: string, options: Partial<DynamoSessionOptions>): Promise<{ readonly context: FastifyInstance }> {
  let context: FastifyInstance | undefined
  await app.register(async instance => {
    context = instance
    await instance.register(dynamoSession, { ...await inMemory(), ...options })
    addRoutes(instance)
    await instance.register(async inner => { inner.get('/inner', async request => request.session.data()) })
  }, { prefix })
  if (context === undefined) throw new Error('The context was not made.')
  return { context }
}

t.test('a plugin in a context of its own is found from the application, where it is the only one', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  const { context: shop } = await addContext(app, '/shop', {})
  t.notOk(app.hasDecorator('sessions'))
  for (const from of [app, shop]) {
    const headers = await signIn(from, ann)
    t.same((await app.inject({ url: '/shop/me', headers })).json(), ann)
    t.same((await app.inject({ url: '/shop/inner', headers })).json(), ann)
  }
})

t.test('where several contexts have a plugin of one name, the context is to be given', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  const { context: shop } = await addContext(app, '/shop', { table: 'shop', cookie: { name: 'shop', secure: 'auto' } })
  const { context: office } = await addContext(app, '/office', { table: 'office', cookie: { name: 'office', secure: 'auto' } })
  await t.rejects(signIn(app, ann), { code: BAD, message: 'has several contexts with a "session"' })
  const headers = await signIn(office, ann)
  t.match(headers['cookie'], /^office=/)
  t.same((await app.inject({ url: '/office/me', headers })).json(), ann)
  t.same((await app.inject({ url: '/shop/me', headers })).json(), {})
  t.match((await signIn(shop, ann))['cookie'], /^shop=/)
})

t.test('what cannot be meant is refused with what to do, and no session is made', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  await t.rejects(signIn(app, ann), { code: BAD, message: 'Option "signIn(app)" has no sessions: register fastify-dynamodb-session on it first.' })
  const other = Fastify()
  other.decorate('sessions', new SessionManager({ table: 'sessions', client: memoryRepository() }))
  await t.rejects(signIn(other, ann), { code: BAD, message: 'another copy of fastify-dynamodb-session' })
  const repository = memoryRepository()
  let created = 0
  const counting = new Proxy(repository, {
    get (target, name) {
      if (name === 'create') created += 1
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    }
  })
  const shop = await setApp(t, async () => ({ table: 'sessions', client: counting }))
  await t.rejects(signIn(shop, ann, { sessionName: 'admin' }), { code: BAD, message: 'has no registration with the sessionName "admin": give one of "session"' })
  await t.rejects(signIn(shop, ann, { way: 'header' }), { code: BAD, message: 'Option "signIn.way" cannot be "header"' })
  const byHeader = await setApp(t, inMemory, { header: 'x-session' })
  await t.rejects(signIn(byHeader, ann, { way: 'cookie' }), { code: BAD, message: 'cannot be "cookie"' })
  await t.rejects(signIn(shop, ann, { name: 'admin' } as object), { code: 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION', message: '"signIn.name"' })
  for (const given of [undefined, null, {}, 'app']) {
    await t.rejects(signIn(given as unknown as FastifyInstance, ann), { code: BAD, message: 'must be a Fastify application' })
  }
  await t.rejects(signIn(shop, ann, { userId: 'u-42' }), { code: BAD, message: 'Option "userIndex" is not set, so sessions have no users: set it to true.' })
  const listing = await setApp(t, async () => ({ table: 'sessions', client: counting }), { userIndex: true })
  await t.rejects(signIn(listing, ann, { label: 'desk' }), { code: BAD, message: 'Option "signIn.label" is for the list of a user: give the "userId" too.' })
  for (const userId of ['', 42, null] as string[]) await t.rejects(signIn(listing, ann, { userId }), { code: BAD, message: 'Option "userId" must be a text' })
  await t.rejects(signIn(listing, ann, { userId: 'u-42', label: 'x'.repeat(129) }), { code: BAD, message: 'Option "label" must be a text' })
  await t.rejects(signIn(shop, ['u-1'] as object), { code: BAD })
  await t.rejects(signIn(shop, { count: 1n as unknown as number }), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
  t.equal(created, 0)
})

t.test('a decorator of the application that only has the name is not taken for the sessions', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  await addContext(app, '/shop', {})
  app.decorate('sessions', { create: async () => { throw new Error('not asked for') } } as unknown as SessionManager)
  const headers = await signIn(app, ann)
  t.same((await app.inject({ url: '/shop/me', headers })).json(), ann)
})
