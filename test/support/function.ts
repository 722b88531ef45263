import { createInterface } from 'node:readline'
import Fastify from 'fastify'
import dynamoSession from '../../index.js'
import './session-data.js'

/** An application as a function in AWS Lambda has it, bundled into one file: it answers each line of its input, one visit a line. */
const app = Fastify({ logger: { level: 'warn', stream: process.stderr } })
app.register(dynamoSession, {
  table: 'sessions',
  client: { endpoint: process.env['DYNAMODB_ENDPOINT'] ?? '', region: 'eu-central-1', credentials: { accessKeyId: 'KEY', secretAccessKey: 'secret' } },
  verify: false
})
app.get('/', async request => request.session.data())

const lines = createInterface({ input: process.stdin })
lines.on('line', () => {
  const headers = { cookie: `__Host-id=${Buffer.alloc(32, 7).toString('base64url')}` }
  app.inject({ url: '/', headers }).then(({ statusCode }) => { process.stdout.write(`${statusCode}\n`) }, () => { process.exitCode = 1 })
})
lines.on('close', () => {
  app.close().then(() => { process.stdout.write('closed\n') }, () => { process.exitCode = 1 })
})
app.ready().then(() => { process.stdout.write('ready\n') }, () => { process.exitCode = 1 })
