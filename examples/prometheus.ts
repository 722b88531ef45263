// What sessions cost and what becomes of them, as metrics for Prometheus. Run: npx tsx examples/prometheus.ts (with AWS credentials)
// A local engine instead of AWS: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/prometheus.ts. Then:
//   curl -b jar -c jar -X POST http://127.0.0.1:3000/    # {"count":1}
//   curl -b jar -c jar http://127.0.0.1:3000/            # {"count":1}
// The metrics stand at http://127.0.0.1:3000/metrics.
import { subscribe } from 'node:diagnostics_channel'
import Fastify from 'fastify'
import { Counter, Histogram, register } from 'prom-client'
import dynamoSession, { OPERATIONS, type CallReport, type GoneReport, type OpenReport } from 'fastify-dynamodb-session'

declare module 'fastify-dynamodb-session' {
  interface SessionData { count: number }
}

const operations = new Counter({
  name: 'dynamodb_session_operations_total',
  help: 'Reads and writes of sessions, by what they were for and how they ended.',
  labelNames: ['operation', 'outcome']
})
const calls = new Counter({
  name: 'dynamodb_session_calls_total',
  help: 'Calls to DynamoDB. Those that read several sessions together count once.',
  labelNames: ['action']
})
const units = new Counter({ name: 'dynamodb_session_capacity_units_total', help: 'Capacity units that DynamoDB charged.', labelNames: ['kind'] })
const seconds = new Histogram({
  name: 'dynamodb_session_operation_duration_seconds',
  help: 'From the call to its answer, retries included.',
  labelNames: ['operation'],
  buckets: [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4]
})
const opened = new Counter({ name: 'dynamodb_session_opened_total', help: 'Requests with a token, by what was found under it.', labelNames: ['outcome'] })
const gone = new Counter({ name: 'dynamodb_session_gone_total', help: 'Writes to sessions that had ended.', labelNames: ['reason'] })
const conflicts = new Counter({ name: 'dynamodb_session_conflicts_total', help: 'Writes that another request got ahead of.' })
const errors = new Counter({ name: 'dynamodb_session_errors_total', help: 'Requests that an error of the session ended.', labelNames: ['code'] })

for (const operation of OPERATIONS) {
  subscribe(`tracing:fastify-dynamodb-session:${operation}:asyncEnd`, message => {
    const { action, outcome, batchSize = 1, capacity = 0, duration = 0 } = message as CallReport
    operations.inc({ operation, outcome: outcome ?? 'failed' })
    // Each read of a batch is told by itself, so each is its share of the call.
    calls.inc({ action }, 1 / batchSize)
    units.inc({ kind: action.endsWith('GetItem') ? 'read' : 'write' }, capacity)
    seconds.observe({ operation }, duration / 1000)
  })
}
subscribe('fastify-dynamodb-session:open', message => { opened.inc({ outcome: (message as OpenReport).outcome }) })
subscribe('fastify-dynamodb-session:gone', message => { gone.inc({ reason: (message as GoneReport).reason }) })
subscribe('fastify-dynamodb-session:conflict', () => { conflicts.inc() })

const endpoint = process.env['DYNAMODB_ENDPOINT']
const local = { region: 'local', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
const app = Fastify()

app.addHook('onError', async (_request, _reply, { code }) => {
  if (code?.startsWith('FST_DYNAMODB_SESSION_')) errors.inc({ code })
})

await app.register(dynamoSession, {
  table: 'sessions',
  client: endpoint === undefined ? {} : { endpoint, ...local },
  createTable: endpoint !== undefined, // a local engine begins without tables
  cookie: { secure: 'auto' } // for plain http; leave it out behind https
})

// Scraped without a session, and so also where DynamoDB fails. Let the world outside not reach it.
app.get('/metrics', { config: { session: false } }, async (_request, reply) => await reply.type(register.contentType).send(await register.metrics()))

app.get('/', async ({ session }) => ({ count: session.get('count') ?? 0 }))

app.post('/', async ({ session }) => ({ count: await session.update('count', (count = 0) => count + 1) }))

app.post('/log-out', async ({ session }, reply) => {
  await session.destroy()
  return await reply.code(204).send()
})

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' }))
