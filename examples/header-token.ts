// The token in a header instead of a cookie, for a mobile client. Run: npx tsx examples/header-token.ts
// A local engine instead of AWS: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/header-token.ts. Then:
//   curl -i --json '{"userId":"ann"}' http://127.0.0.1:3000/login                # {"userId":"ann"}
//   curl -H 'session-token: <token of that answer>' http://127.0.0.1:3000/me     # {"userId":"ann"}
//   curl -H 'session-token: forged' http://127.0.0.1:3000/me                     # 401
//   curl -X POST -H 'session-token: <token of that answer>' http://127.0.0.1:3000/logout  # 204
//   curl -H 'session-token: <token of that answer>' http://127.0.0.1:3000/me     # 401
// A client keeps `session-token` and `session-token-v` from every answer that has them and sends both back.
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import dynamoSession from 'fastify-dynamodb-session'

declare module 'fastify-dynamodb-session' {
  interface SessionData { userId: string }
}

const endpoint = process.env['DYNAMODB_ENDPOINT']
const local = { region: 'local', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
const app = Fastify()

await app.register(dynamoSession, {
  table: 'sessions',
  client: endpoint === undefined ? {} : { endpoint, ...local },
  createTable: endpoint !== undefined, // a local engine begins without tables
  header: 'session-token', // and no `cookie`: cookies are neither read nor sent
  // Signed tokens: a forged one costs no call. Without a lasting secret, a restart ends all sessions.
  secrets: process.env['SESSION_SECRET'] ?? randomBytes(32).toString('hex')
})

app.post<{ Body: { userId?: string } }>('/login', async ({ session, body: { userId = 'nobody' } }) => {
  await session.regenerate()
  session.set('userId', userId)
  return { userId }
})

app.get('/me', async ({ session }, reply) => {
  return session.has('userId') ? { userId: session.get('userId') } : reply.code(401).send()
})

app.post('/logout', async ({ session }, reply) => {
  await session.destroy()
  return reply.code(204).send()
})

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' }))
