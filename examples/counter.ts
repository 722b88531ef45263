// A counter for each visitor, kept in DynamoDB. Run: npx tsx examples/counter.ts (with AWS credentials and a region)
// A local engine instead of AWS: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/counter.ts. Then:
//   curl -b jar -c jar http://127.0.0.1:3000/peek      # {"count":0}
//   curl -b jar -c jar -X POST http://127.0.0.1:3000/  # {"count":1}
//   curl -b jar -c jar -X POST http://127.0.0.1:3000/  # {"count":2}
//   curl -b jar -c jar http://127.0.0.1:3000/peek      # {"count":2}
import Fastify from 'fastify'
import dynamoSession from 'fastify-dynamodb-session'

declare module 'fastify-dynamodb-session' {
  interface SessionData { count: number }
}

const endpoint = process.env['DYNAMODB_ENDPOINT']
const local = { region: 'local', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
const app = Fastify()

await app.register(dynamoSession, {
  table: 'sessions',
  client: endpoint === undefined ? {} : { endpoint, ...local },
  // A local engine begins without tables. For AWS, create-table.ts shows the way.
  createTable: endpoint !== undefined,
  // Lets the cookie travel over plain http. Leave it out where the application runs behind https.
  cookie: { secure: 'auto' }
})

// One GetItem and one write, the answer waits for both. The first request stores the session.
app.post('/', async (request) => {
  const count = (request.session.get('count') ?? 0) + 1
  request.session.set('count', count)
  return { count }
})

// One GetItem and no write; without a cookie, no call at all.
app.get('/peek', async (request) => ({ count: request.session.get('count') ?? 0 }))

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' }))
