// DynamoDB calls as OpenTelemetry spans under the request that made them. Run: npx tsx examples/opentelemetry.ts (with AWS credentials)
// A local engine instead of AWS: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/opentelemetry.ts. Prints its spans. Then:
//   curl -b jar -c jar --json '{"by":2}' http://127.0.0.1:3000/  # {"count":2}
//   curl -b jar -c jar http://127.0.0.1:3000/                    # {"count":2}
import { subscribe } from 'node:diagnostics_channel'
import { context, SpanKind, SpanStatusCode, trace, type Context, type Span } from '@opentelemetry/api'
import { ConsoleSpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import Fastify, { type FastifyRequest } from 'fastify'
import dynamoSession, { OPERATIONS, type CallReport, type GoneReport } from 'fastify-dynamodb-session'

declare module 'fastify-dynamodb-session' {
  interface SessionData { count: number }
}

const endpoint = process.env['DYNAMODB_ENDPOINT']
const local = { region: 'local', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
const server = new URL(endpoint ?? `https://dynamodb.${process.env['AWS_REGION'] ?? 'us-east-1'}.amazonaws.com`)
// In production a BatchSpanProcessor with an exporter to your collector.
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] }).register()
const tracer = trace.getTracer('sessions')

/** Begins where the call does, so its parent is the span of the request that makes it; also for a read that travels in a batch. */
function begin ({ action, table, consistent, batchSize }: CallReport, operation: string): Span {
  const attributes = {
    'db.system.name': 'aws.dynamodb',
    'db.operation.name': action,
    'db.collection.name': table,
    'aws.dynamodb.table_names': [table],
    ...action === 'GetItem' && { 'aws.dynamodb.consistent_read': consistent },
    'server.address': server.hostname,
    ...server.port !== '' && { 'server.port': Number(server.port) },
    ...batchSize !== undefined && { 'db.operation.batch.size': batchSize },
    'session.operation': operation
  }
  return tracer.startSpan(`${action} ${table}`, { kind: SpanKind.CLIENT, attributes })
}

function end (span: Span | undefined, { table, capacity, outcome, error }: CallReport): void {
  if (capacity !== undefined) span?.setAttribute('aws.dynamodb.consumed_capacity', [JSON.stringify({ TableName: table, CapacityUnits: capacity })])
  if (outcome !== undefined) span?.setAttribute('session.outcome', outcome)
  if (error instanceof Error) {
    // What lies behind the error of the library: a name such as ProvisionedThroughputExceededException or TimeoutError.
    span?.setAttribute('error.type', error.cause instanceof Error ? error.cause.name : error.name)
    span?.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
  }
  span?.end()
}

const calls = new WeakMap<object, Span>()
for (const operation of OPERATIONS) {
  const channel = `tracing:fastify-dynamodb-session:${operation}`
  subscribe(`${channel}:start`, report => { calls.set(report as CallReport, begin(report as CallReport, operation)) })
  subscribe(`${channel}:asyncEnd`, report => { end(calls.get(report as CallReport), report as CallReport) })
}
subscribe('fastify-dynamodb-session:gone', message => {
  trace.getActiveSpan()?.addEvent('session.gone', { reason: (message as GoneReport).reason })
})
subscribe('fastify-dynamodb-session:conflict', () => { trace.getActiveSpan()?.addEvent('session.conflict') })

const app = Fastify()

// A span for each request. With @fastify/otel, which makes one itself, these three hooks go.
const requests = new WeakMap<FastifyRequest, Context>()
app.addHook('onRequest', (request, _reply, done) => {
  const attributes = { 'http.request.method': request.method, 'http.route': String(request.routeOptions.url) }
  const span = tracer.startSpan(`${request.method} ${request.routeOptions.url}`, { kind: SpanKind.SERVER, attributes })
  requests.set(request, trace.setSpan(context.active(), span))
  context.with(requests.get(request) ?? context.active(), done)
})
// Whoever reads a body goes on in the context of the socket.
app.addHook('preValidation', (request, _reply, done) => context.with(requests.get(request) ?? context.active(), done))
app.addHook('onResponse', async (request, reply) => {
  const span = trace.getSpan(requests.get(request) ?? context.active())
  span?.setAttribute('http.response.status_code', reply.statusCode)
  if (reply.statusCode >= 500) span?.setStatus({ code: SpanStatusCode.ERROR })
  span?.end()
})

await app.register(dynamoSession, {
  table: 'sessions',
  client: endpoint === undefined ? {} : { endpoint, ...local },
  createTable: endpoint !== undefined, // a local engine begins without tables
  cookie: { secure: 'auto' } // for plain http; leave it out behind https
})

app.get('/', async ({ session }) => ({ count: session.get('count') ?? 0 }))

app.post<{ Body: { by: number } }>('/', async ({ session, body: { by } }) => {
  const count = await session.update('count', (value = 0) => value + by)
  return { count }
})

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' }))
