import type { FastifyInstance } from 'fastify'
import { HEADERS } from './security.js'

/** Takes DynamoDB away from the shop, and gives it back. */
export interface DatabaseSwitch {
  readonly isOn: boolean
  turnOff (): Promise<void>
  turnOn (): Promise<void>
}

/** The buttons that stop and start the database. They need no session: they have to work while there is none. */
export function addSwitch (app: FastifyInstance, database: DatabaseSwitch): void {
  const options = { config: { session: false } }
  app.post('/database/stop', options, async (_request, reply) => {
    await database.turnOff()
    return reply.headers(HEADERS).redirect('/', 303)
  })
  app.post('/database/start', options, async (_request, reply) => {
    await database.turnOn()
    return reply.headers(HEADERS).redirect('/', 303)
  })
}
