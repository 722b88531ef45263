// This library as it is packed, not its sources.
import Fastify from 'fastify'
import dynamoSession from 'fastify-dynamodb-session'
import { changed, nameOf } from '../session-data.js'
import { clientConfig, dataFor, SECRET, serve } from './serve.js'

await serve(async settings => {
  const app = Fastify()
  await app.register(dynamoSession, { table: settings.table, client: clientConfig(settings), secrets: SECRET, ...settings.options })

  app.get('/read', async ({ session }) => ({ name: nameOf(session.get('part0')) }))
  app.post('/change', async ({ session }) => {
    session.set('part0', changed(session.get('part0')))
    return {}
  })
  app.post('/login', async ({ session, query }) => {
    await session.regenerate()
    for (const [key, value] of dataFor(query)) session.set(key, value)
    return {}
  })
  app.post('/logout', async ({ session }) => {
    await session.destroy()
    return {}
  })
  return await app.listen({ host: '127.0.0.1', port: 0 })
})
