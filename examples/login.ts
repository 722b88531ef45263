// Log in, ask who is there, log out. Run: npx tsx examples/login.ts (with AWS credentials and a region)
// A local engine instead of AWS: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/login.ts. Then:
//   curl -b jar -c jar http://127.0.0.1:3000/me                               # 401
//   curl -b jar -c jar --json '{"userId":"ann"}' http://127.0.0.1:3000/login  # {"userId":"ann"}
//   curl -b jar -c jar http://127.0.0.1:3000/me                               # {"userId":"ann"}
//   curl -b jar -c jar -X POST http://127.0.0.1:3000/logout                   # 204
//   curl -b jar -c jar http://127.0.0.1:3000/me                               # 401
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
  cookie: { secure: 'auto' } // for plain http; leave it out behind https
})

const body = { type: 'object', required: ['userId'], properties: { userId: { type: 'string', minLength: 1 } } }

app.post<{ Body: { userId: string } }>('/login', { schema: { body } }, async (request) => {
  // Check the password here. The new id makes a token worthless that somebody planted before.
  await request.session.regenerate()
  request.session.set('userId', request.body.userId)
  return { userId: request.body.userId }
})

app.get('/me', async (request, reply) => {
  const userId = request.session.get('userId')
  return userId === undefined ? reply.code(401).send({ error: 'Log in first.' }) : { userId }
})

// The record is gone when the promise resolves; a copy of the cookie opens nothing any more.
app.post('/logout', async (request, reply) => {
  await request.session.destroy()
  return reply.code(204).send()
})

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' }))
