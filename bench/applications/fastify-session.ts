// @fastify/session on either store. Only `secure` differs from its defaults, without which it sets no cookie over plain HTTP.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import cookie from '@fastify/cookie'
import Fastify, { type FastifyPluginCallback, type FastifyRequest } from 'fastify'
import { changed, nameOf, type Part } from '../session-data.js'
import { clientConfig, dataFor, SECRET, serve } from './serve.js'
import { load, makeStore } from './stores.js'

/** As far as the routes use it. Its types declare request.session once more. */
interface TheirSession {
  get (key: string): Part | undefined
  set (key: string, value: Part): void
  regenerate (): Promise<void>
  destroy (): Promise<void>
}

await serve(async settings => {
  const { store, ...options } = settings.options as { store: string }
  const app = Fastify()
  await app.register(cookie)
  const plugin = load('@fastify/session') as FastifyPluginCallback<Record<string, unknown>>
  await app.register(plugin, { secret: SECRET, cookie: { secure: false }, store: makeStore(new DynamoDBClient(clientConfig(settings)), settings.table, store), ...options })
  const sessionOf = (request: FastifyRequest): TheirSession => request.session as unknown as TheirSession

  app.get('/read', async request => ({ name: nameOf(sessionOf(request).get('part0')) }))
  app.post('/change', async request => {
    sessionOf(request).set('part0', changed(sessionOf(request).get('part0')))
    return {}
  })
  app.post('/login', async request => {
    await sessionOf(request).regenerate()
    for (const [key, value] of dataFor(request.query)) sessionOf(request).set(key, value)
    return {}
  })
  app.post('/logout', async request => {
    await sessionOf(request).destroy()
    return {}
  })
  return await app.listen({ host: '127.0.0.1', port: 0 })
})
