import { subscribe } from 'node:diagnostics_channel'
import awsLambdaFastify, { type LambdaResponse } from '@fastify/aws-lambda'
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda'
import Fastify from 'fastify'
import dynamoSession from '../../index.js'
import './session-data.js'

/**
 * A function as the runtime of AWS Lambda runs it: an answer that is given to the callback is held until the event loop is empty,
 * and the next invocation begins there. Tells of each on standard output, and ends when nothing is left to do.
 */
const { DYNAMODB_ENDPOINT: endpoint = '', SESSION_TABLE: table = '' } = process.env
let now = Date.UTC(2026, 0, 2, 3, 4, 5)
let calls = 0
const channels = ['load', 'create', 'save', 'touch', 'destroy'].map(name => `tracing:fastify-dynamodb-session:${name}:asyncEnd`)
for (const channel of channels) subscribe(channel, () => { calls += 1 })

const app = Fastify()
const handler = awsLambdaFastify<APIGatewayProxyEventV2>(app)
app.register(dynamoSession, {
  table,
  client: { endpoint, region: 'eu-central-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } },
  now: () => now,
  secrets: 'a secret of more than thirty-two characters'
})
app.post('/login', async ({ session }) => { session.set('userId', 'ann') })
app.get('/me', async ({ session }) => session.data())
app.post('/logout', async ({ session }) => { await session.destroy() })

let cookies: string[] = []

const step = (method: string, rawPath: string, seconds = 0) => async (): Promise<void> => {
  now += seconds * 1000
  const event = { version: '2.0', rawPath, headers: {}, cookies, requestContext: { http: { method } } }
  await new Promise<void>(resolve => {
    // With a third parameter, as runtimes before Node 24 hand one in.
    const callback = (_error: unknown, answer: LambdaResponse): void => {
      cookies = answer.cookies?.map(text => text.slice(0, text.indexOf(';'))) ?? cookies
      // What was begun and not waited for has its turn, and would be under way.
      setImmediate(() => {
        tell({ answered: `${answer.statusCode} ${answer.body}`, calls, open: open() })
        resolve()
      })
    }
    Reflect.apply(handler, undefined, [event, {} as Context, callback])
  })
}

/** What keeps the event loop busy, but for what prints this. */
function open (): string[] {
  return process.getActiveResourcesInfo().filter(name => !['PipeWrap', 'TTYWrap', 'Immediate'].includes(name))
}

function tell (line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const steps = [
  step('POST', '/login'),
  step('GET', '/me'),
  // A renewal is due.
  step('GET', '/me', 1000),
  async () => {
    await app.close()
    tell({ closed: true, open: open() })
  }
]

process.on('beforeExit', () => {
  tell({ empty: true, calls })
  steps.shift()?.().catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
  })
})
