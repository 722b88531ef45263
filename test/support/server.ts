// An application for tests that end its process. Tells on standard output where it listens and when it closes, and logs to
// standard error. Ends by itself after SIGTERM: nothing here makes it end.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import Fastify from 'fastify'
import dynamoSession from '../../index.js'
import './session-data.js'

const { DYNAMODB_ENDPOINT: endpoint = '', SESSION_TABLE: table = '', HANDED_IN: handedIn, NOW: now } = process.env
const config = { endpoint, region: 'eu-central-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
const app = Fastify({ logger: { stream: process.stderr } })

await app.register(dynamoSession, {
  table,
  client: handedIn === undefined ? config : new DynamoDBClient(config),
  // No call is repeated while a test holds it.
  timeout: 60,
  verify: false,
  // Each session's read is held by itself.
  batchReads: false,
  ...now !== undefined && { now: () => Number(now) }
})

app.get('/me', async request => request.session.data())
app.post('/set', async request => {
  for (const [key, value] of Object.entries(request.body as object)) request.session.set(key as `any:${string}`, value)
})
app.post('/count', async request => await request.session.update('count', count => (count ?? 0) + 1))
app.post('/touch', async request => { request.session.touch() })
app.post('/login', async request => {
  await request.session.regenerate()
  request.session.set('userId', (request.body as { userId: string }).userId)
})
app.post('/rotate', async request => { await request.session.regenerate(true) })
app.post('/logout', async request => { await request.session.destroy() })
app.addHook('preClose', async () => { console.log('closing') })

process.once('SIGTERM', () => {
  app.close().then(() => { console.log('closed') }, () => { process.exitCode = 1 })
})
console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
