// What the plugin itself does, without a network and without the SDK: a client answers at once, from memory.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { GetItemCommand, PutItemCommand, type AttributeValue, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import Fastify, { type FastifyInstance } from 'fastify'
import dynamoSession from 'fastify-dynamodb-session'
import { answer } from '../child.js'
import type { Rounds } from '../plan.js'
import type { Work } from '../results.js'
import { nameOf, sessionData } from '../session-data.js'
import { interleaved } from '../statistics.js'
import { SECRET } from './serve.js'

const items = new Map<string, Record<string, AttributeValue>>()

/** Takes no time, and tells the capacity by which an answer is known to be one. */
const client = {
  send: async (command: unknown) => {
    const ConsumedCapacity = { CapacityUnits: 0.5 }
    if (command instanceof GetItemCommand) return { Item: items.get(String(command.input.Key?.['id']?.S)), ConsumedCapacity }
    if (command instanceof PutItemCommand) items.set(String(command.input.Item?.['id']?.S), command.input.Item ?? {})
    return { ConsumedCapacity }
  }
} as unknown as DynamoDBClient

const bare = Fastify()
bare.get('/read', async () => ({ name: 'Ann' }))

const ours = Fastify()
await ours.register(dynamoSession, { table: 'sessions', client, secrets: SECRET, cookie: { secure: 'auto' }, batchReads: false, verify: false })
ours.get('/other', async () => ({ name: 'Ann' }))
ours.get('/read', async ({ session }) => ({ name: nameOf(session.get('part0')) ?? 'nobody' }))
ours.post('/login', async ({ session }) => {
  await session.regenerate()
  for (const [key, value] of Object.entries(sessionData(2048, 10))) session.set(key as 'part0', value)
  return {}
})

const login = await ours.inject({ method: 'POST', url: '/login' })
const cookie = login.cookies.map(({ name, value }) => `${name}=${encodeURIComponent(value)}`)[0] ?? ''

interface Visit { readonly name: string, readonly app: FastifyInstance, readonly url: string, readonly headers: Record<string, string> }

const VISITS: readonly Visit[] = [
  { name: 'a route of an application without the plugin', app: bare, url: '/read', headers: {} },
  { name: 'anonymous, the session not used', app: ours, url: '/other', headers: {} },
  { name: 'anonymous, a key read', app: ours, url: '/read', headers: {} },
  { name: 'signed in, the session not used', app: ours, url: '/other', headers: { cookie } },
  { name: 'signed in, a key read', app: ours, url: '/read', headers: { cookie } }
]

/** Requests under way at once. */
const LANES = 20

async function visit ({ app, url, headers }: Visit, requests: number): Promise<number> {
  const before = process.cpuUsage()
  for (let begun = 0; begun < requests; begun += LANES) {
    await Promise.all(Array.from({ length: LANES }, async () => await app.inject({ url, headers })))
    // What Node keeps until the event loop turns is given up, as between the requests of a network.
    await nextTurn()
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / requests
}

async function work ({ rounds, requests }: Rounds): Promise<Work[]> {
  const works = new Map<Visit, number[]>(VISITS.map(one => [one, []]))
  for (const [round, order] of interleaved(VISITS, rounds + 1).entries()) {
    for (const one of order) {
      const cpu = await visit(one, requests)
      // The first time only warms up.
      if (round > 0) works.get(one)?.push(cpu)
    }
  }
  return [...works].map(([{ name }, cpu]) => ({ visit: name, cpu }))
}

answer({ ready: () => ({}), work })
