// A route without a session: what Fastify itself costs.
import Fastify from 'fastify'
import { serve } from './serve.js'

await serve(async () => {
  const app = Fastify()
  app.get('/read', async () => ({ name: 'Ann' }))
  // Visitors of everybody log in first.
  app.post('/login', async () => ({}))
  return await app.listen({ host: '127.0.0.1', port: 0 })
})
