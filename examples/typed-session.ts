// Session data with types: a wrong key or value does not compile. Run: npx tsx examples/typed-session.ts
// A local engine instead of AWS: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/typed-session.ts. Then:
//   curl -b jar -c jar http://127.0.0.1:3000/settings                                # {"theme":"light","recent":[]}
//   curl -b jar -c jar -X PUT http://127.0.0.1:3000/theme/dark                       # 204
//   curl -b jar -c jar -X PUT http://127.0.0.1:3000/theme/pink                       # 400
//   curl -b jar -c jar -X POST http://127.0.0.1:3000/recent/tea                      # 204
//   curl -b jar -c jar http://127.0.0.1:3000/settings  # {"theme":"dark","recent":[{"term":"tea","times":1}]}
import Fastify from 'fastify'
import dynamoSession from 'fastify-dynamodb-session'

type Theme = 'light' | 'dark'

declare module 'fastify-dynamodb-session' {
  interface SessionData { theme: Theme, recent: Array<{ term: string, times: number }> }
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

app.get('/settings', async ({ session }) => ({ theme: session.theme ?? 'light', recent: session.recent ?? [] }))

const params = { type: 'object', properties: { theme: { enum: ['light', 'dark'] } } }

app.put<{ Params: { theme: Theme } }>('/theme/:theme', { schema: { params } }, async (request, reply) => {
  request.session.set('theme', request.params.theme) // set('theme', 'pink') and set('thme', 'dark') do not compile
  return reply.code(204).send()
})

app.post<{ Params: { term: string } }>('/recent/:term', async ({ session, params: { term } }, reply) => {
  const recent = session.recent ??= []
  const known = recent.find(search => search.term === term)
  if (known === undefined) recent.push({ term, times: 1 })
  else known.times += 1 // changed in place: seen and saved
  return reply.code(204).send()
})

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' }))
