// Creates the table in a step of its own, then serves without the right to. Run: npx tsx examples/create-table.ts
// A local engine instead of AWS: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/create-table.ts. Then:
//   curl http://127.0.0.1:3000/table                   # {"table":"example-sessions","ready":true}
//   curl -X POST http://127.0.0.1:3000/sessions        # {"stored":true}
import Fastify from 'fastify'
import dynamoSession, { SessionManager, type DynamoSessionOptions } from 'fastify-dynamodb-session'

const endpoint = process.env['DYNAMODB_ENDPOINT']
const local = { region: 'local', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
const options: DynamoSessionOptions = {
  table: 'example-sessions',
  client: endpoint === undefined ? {} : { endpoint, ...local },
  cookie: { secure: 'auto' } // for plain http; leave it out behind https
}

// The deployment's part. It needs dynamodb:CreateTable, DescribeTable, DescribeTimeToLive and UpdateTimeToLive; a table
// that is there already is left as it is. What stands under `createTable` goes into the CreateTable call.
const deployment = new SessionManager({
  ...options,
  createTable: { DeletionProtectionEnabled: endpoint === undefined, Tags: [{ Key: 'purpose', Value: 'sessions' }] }
})
await deployment.createTable()
await deployment.verifyTable() // one read: the table is there, its key fits, it may be read
deployment.close()

// The web server's part. It needs GetItem, BatchGetItem, PutItem, UpdateItem and DeleteItem on this one table, no more.
const app = Fastify()
await app.register(dynamoSession, options)

app.get('/table', { config: { session: false } }, async () => {
  await app.sessions.verifyTable()
  return { table: options.table, ready: true }
})

// `save()` stores a session that has no data yet.
app.post('/sessions', async ({ session }) => {
  await session.save()
  return { stored: !session.isNew }
})

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' }))
