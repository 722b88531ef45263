// Log-in at an identity provider by @fastify/oauth2: the visitor leaves for another site and comes back from it.
import { deepEqual, equal, notEqual } from 'node:assert/strict'
import fastifyOauth2, { type OAuth2Namespace } from '@fastify/oauth2'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Stage } from '../support/app.js'
import { onOneEngine } from '../support/engines.js'
import { startProvider } from '../support/provider.js'
import { setCookieNames, setCookies, type Visitor } from '../support/visitor.js'
import { testReliance, type Reliance } from '../support/without.js'

declare module 'fastify' {
  interface FastifyInstance { provider: OAuth2Namespace }
}

const provider = await startProvider('u-42')
t.teardown(async () => await provider.close())

/** A shop whose orders are for those who have logged in. */
async function shopRoutes (app: FastifyInstance): Promise<void> {
  await app.register(fastifyOauth2, {
    name: 'provider',
    scope: ['openid'],
    credentials: { client: { ...provider.client }, auth: { tokenHost: provider.origin, authorizePath: '/authorize', tokenPath: '/token' } },
    startRedirectPath: '/login',
    callbackUri: 'https://shop.example/callback',
    pkce: 'S256',
    hostPrefixedCookies: true
  })
  app.post('/cart', async request => { request.session.set('cart', ['apple']) })
  app.get('/orders', async (request, reply) => {
    const userId = request.session.get('userId')
    if (userId !== undefined) return { userId, cart: request.session.get('cart') ?? [] }
    request.session.set('any:returnTo', request.url)
    return await reply.redirect('/login')
  })
  app.get('/callback', async (request, reply) => {
    const { token } = await app.provider.getAccessTokenFromAuthorizationCodeFlow(request, reply)
    const answer = await fetch(`${provider.origin}/userinfo`, { headers: { authorization: `Bearer ${token.access_token}` } })
    const { sub } = await answer.json() as { sub: string }
    const returnTo = request.session.take('any:returnTo')
    await request.session.regenerate(['cart'])
    request.session.set('userId', sub)
    return await reply.redirect(typeof returnTo === 'string' ? returnTo : '/')
  })
}

/** Follows a redirect to the provider, which sends the visitor back: a navigation from another site. */
async function atProvider (visitor: Visitor, url: string): Promise<LightMyRequestResponse> {
  equal(url.startsWith(`${provider.origin}/authorize?`), true, 'the way leads to the provider')
  const there = await fetch(url, { redirect: 'manual' })
  const back = new URL(there.headers.get('location') ?? '')
  equal(back.origin, 'https://shop.example')
  visitor.from = 'navigation from another site'
  return await visitor.get(back.pathname + back.search)
}

/** Fills a cart, asks for the orders, and goes to log in. */
async function leave (visitor: Visitor): Promise<string> {
  await visitor.post('/cart')
  const asked = await visitor.get('/orders')
  deepEqual([asked.statusCode, asked.headers.location], [302, '/login'])
  const login = await visitor.get('/login')
  equal(login.statusCode, 302)
  return login.headers.location ?? ''
}

async function visitShop ({ visitor: newVisitor, proxy, items }: Stage): Promise<void> {
  const visitor = newVisitor()
  const url = await leave(visitor)
  const before = visitor.cookie('__Host-id')
  deepEqual(proxy.take(), ['PutItem', 'GetItem', 'UpdateItem', 'GetItem'], 'a cart, the page to return to, and a look at the way to the provider')
  const back = await atProvider(visitor, url)
  deepEqual([back.statusCode, back.headers.location], [302, '/orders'], 'where the visitor wanted to go')
  deepEqual([proxy.take(), setCookieNames(back).filter(name => name.startsWith('__Host-id'))], [['GetItem', 'PutItem', 'UpdateItem'], ['__Host-id', '__Host-id-v']])
  notEqual(visitor.cookie('__Host-id'), before, 'under another id')
  // The redirect goes on with the navigation that came from the provider.
  const orders = await visitor.get('/orders')
  deepEqual([orders.json(), proxy.take(), setCookies(orders)], [{ userId: 'u-42', cart: ['apple'] }, ['GetItem'], []])
  deepEqual((await items()).filter(item => !('next' in item)).length, 1)
}

const VISITS: Record<string, Reliance> = {
  'who returns from the provider is logged in under another id, with the cart and where they wanted to go': {
    routes: shopRoutes,
    members: ['get', 'set', 'take', 'regenerate'],
    visit: visitShop
  },
  'the same beside @fastify/cookie, registered before': {
    before: async app => { await app.register((await import('@fastify/cookie')).default, { secret: 'a secret of some length for the signature' }) },
    routes: shopRoutes,
    members: [],
    visit: visitShop
  },
  "with sameSite: 'strict' the browser keeps the session back: the way back is lost, and in the end the log-in too": {
    session: { cookie: { sameSite: 'strict' } },
    routes: shopRoutes,
    members: [],
    visit: async ({ visitor: newVisitor, proxy }) => {
      const visitor = newVisitor()
      const url = await leave(visitor)
      proxy.take()
      const back = await atProvider(visitor, url)
      deepEqual([back.statusCode, back.headers.location], [302, '/'], 'the way back is lost')
      deepEqual(proxy.take(), ['PutItem'], 'and a session made beside the one that was not seen')
      const orders = await visitor.get('/orders')
      deepEqual([orders.statusCode, orders.headers.location], [302, '/login'], 'the redirect still comes from the provider')
      visitor.from = 'same site'
      equal((await visitor.get('/orders')).headers.location, '/login', 'and what was stored for them then has taken the place of the log-in')
    }
  },
  'a state or a code of somebody else logs nobody in, and costs no write': {
    routes: shopRoutes,
    members: [],
    visit: async ({ visitor: newVisitor, proxy }) => {
      const [visitor, attacker] = [newVisitor(), newVisitor()]
      const there = await fetch(await leave(attacker), { redirect: 'manual' })
      const planted = new URL(there.headers.get('location') ?? '')
      await leave(visitor)
      const [id] = [visitor.cookie('__Host-id'), proxy.take(), provider.asked.splice(0)]
      visitor.from = 'navigation from another site'
      const forged = await visitor.get(planted.pathname + planted.search)
      deepEqual([forged.statusCode, forged.json().message, proxy.take()], [500, 'Invalid state', ['GetItem']])
      equal(visitor.cookie('__Host-id'), id)
      equal(provider.asked.includes('/token'), false, 'the provider is not asked')
    }
  }
}

onOneEngine(t, (t, engine) => {
  for (const [title, reliance] of Object.entries(VISITS)) testReliance(t, engine, title, reliance)
})
