import { parseArgs } from 'node:util'
import { makeCertificate } from '../test/support/certificate.js'
import { buildDemo } from './app.js'
import { startEngine } from './engine.js'

const HOST = '127.0.0.1'
const SHORT_IDLE_TIMEOUT = 30
const port = process.env['PORT'] ?? '3000'
const { short, https } = parsed()

const engine = await startEngine()
const app = await buildDemo({
  table: 'demo-sessions',
  client: engine.client,
  database: engine.database,
  logger: { level: 'fatal' },
  ...short && { idleTimeout: SHORT_IDLE_TIMEOUT },
  ...https && { https: makeCertificate() }
})

async function close (): Promise<void> {
  await app.close()
  await engine.close()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, close)

try {
  const url = await app.listen({ host: HOST, port: Number(port) })
  console.log(`
  A shop with its sessions in DynamoDB: open ${url} in a browser${https ? ', which warns of the certificate: this program has made it' : ''}.
  Log in on two browsers, see both under Account, and log one of them out from the other.
  Put things into the cart from ten tabs at once, pay slowly and log out meanwhile, stop the database.
  The panel shows what each request costs. ${short ? 'Sessions end after 30 seconds without a click.' : 'npm run demo -- --short lets sessions run out after 30 seconds.'}
  The table is in memory and goes with the program. Stop with ctrl-c.
`)
} catch (error) {
  const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
  const fact = isTaken ? `Port ${port} of ${HOST} is taken.` : `The demonstration cannot start: ${error instanceof Error ? error.message : String(error)}`
  console.error(`${fact} Choose a port with PORT, such as PORT=3001 npm run demo`)
  process.exitCode = 1
  await close()
}

function parsed (): { short: boolean, https: boolean } {
  try {
    const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, https: { type: 'boolean', default: false } } })
    return values
  } catch {
    console.error('The demonstration takes --short, for sessions that run out after 30 seconds, and --https: npm run demo -- --short')
    process.exit(1)
  }
}
