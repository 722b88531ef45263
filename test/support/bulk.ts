import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import { clientConfig } from './engines.js'
import type { StoreStage } from './hosts.js'

/** An application with the plugin on the table of a stage: `/me` tells the data, `/set` changes a number. */
export async function makeApp (t: Test, { table, proxy }: StoreStage, options: Partial<DynamoSessionOptions>): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(dynamoSession, { table, client: clientConfig(proxy.endpoint), ...options })
  app.get('/me', async ({ session }) => ({ user: Reflect.get(session, 'user') as unknown, n: Reflect.get(session, 'n') as unknown }))
  app.get('/set', async ({ session }) => {
    Object.assign(session, { n: 2 })
    return {}
  })
  await app.ready()
  t.teardown(async () => { await app.close() })
  return app
}
