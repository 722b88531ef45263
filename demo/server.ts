import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import dynalite from 'dynalite'
import { buildDemo } from './app.js'

const HOST = '127.0.0.1'
const port = process.env['PORT'] ?? '3000'

const engine = dynalite({ createTableMs: 0 })
engine.listen(0, HOST)
await once(engine, 'listening')
const app = await buildDemo({
  table: 'demo-sessions',
  client: {
    endpoint: `http://${HOST}:${(engine.address() as AddressInfo).port}`,
    region: 'local',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' }
  },
  logger: { level: 'error' }
})

async function close (): Promise<void> {
  await app.close()
  engine.closeAllConnections()
  engine.close()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, close)

try {
  const url = await app.listen({ host: HOST, port: Number(port) })
  console.log(`\n  Sessions in DynamoDB: open ${url} in a browser.\n  The table is in memory and goes with the program. Stop with ctrl-c.\n`)
} catch (error) {
  const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
  const fact = isTaken ? `Port ${port} of ${HOST} is taken.` : `The demonstration cannot start: ${error instanceof Error ? error.message : String(error)}`
  console.error(`${fact} Choose a port with PORT, such as PORT=3001 npm run demo`)
  process.exitCode = 1
  await close()
}
