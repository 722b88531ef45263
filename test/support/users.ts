import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { DynamoSessionOptions, Session } from '../../index.js'
import type { Layout } from '../../lib/item.js'
import { toUserItem } from '../../lib/listing.js'
import { LARGEST_ITEM, sizeOfItem } from '../../lib/size.js'
import { hash } from '../../lib/token.js'
import { setStage, type Stage } from './app.js'
import type { Engine } from './engines.js'
import type { Visitor } from './visitor.js'
import './session-data.js'

/** A log-in as an application does it, and what else a test needs of a session. */
export function routes (app: FastifyInstance): void {
  app.get('/me', async ({ session }) => ({ data: session.data(), id: session.id, key: session.loggableId }))
  app.post('/login', async ({ session, body }) => {
    const { user, label, fill } = body as { user: string, label?: string, fill?: string }
    await session.regenerate()
    session.set('userId', user)
    if (fill !== undefined) session.set('any:fill', fill)
    session.bind(user, { label })
    return { key: session.loggableId }
  })
  app.post('/bind', async ({ session, body }) => {
    const { user, label } = body as { user: string, label?: string }
    session.bind(user, { label })
    return {}
  })
  app.post('/set', async ({ session, body }) => {
    for (const [key, value] of Object.entries(body as object)) session.set(key as `any:${string}`, value)
    return {}
  })
  app.post('/renew-id', async ({ session, body }) => {
    const { fill } = body as { fill?: string } ?? {}
    await session.regenerate(true)
    if (fill !== undefined) session.set('any:fill', fill)
    return { key: session.loggableId }
  })
  app.post('/new-id', async ({ session }) => {
    await session.regenerate()
    session.set('count', 1)
    return { key: session.loggableId }
  })
  app.post('/logout', async ({ session }) => {
    await session.destroy()
    return {}
  })
  app.post('/password', async ({ session }) => {
    await session.regenerate(true)
    await app.sessions.revokeAll(String(session.get('userId')), { except: session })
    return { key: session.loggableId }
  })
}

export async function setUsers (t: Test, engine: Engine, session: Partial<DynamoSessionOptions> = {}): Promise<Stage> {
  return await setStage(t, engine, { session: { userIndex: true, ...session }, routes })
}

export async function logIn (stage: Stage, user = 'ann', label?: string): Promise<{ visitor: Visitor, key: string }> {
  const visitor = stage.visitor()
  const response = await visitor.post('/login', { user, label })
  if (response.statusCode !== 200) throw new Error(response.body)
  return { visitor, key: response.json().key }
}

/** A session of ann's that is yet to be stored, with more than 2 KB. */
export async function bulky ({ sessions }: FastifyInstance): Promise<Session> {
  const session = await sessions.create()
  await session.destroy()
  session.set('any:fill', 'x'.repeat(3000))
  session.bind('ann')
  return session
}

export async function keysOf ({ app }: Stage, user = 'ann'): Promise<string[]> {
  return (await app.sessions.list(user)).map(({ loggableId }) => loggableId)
}

export async function isIn (visitor: Visitor): Promise<boolean> {
  return (await visitor.get('/me')).json().data.userId !== undefined
}

/** The item of the only user. */
export async function listItem (stage: Stage) {
  return (await stage.items()).find(({ id }) => id?.S?.includes('user#'))
}

/** The sessions in the table that are alive. */
export async function living (stage: Stage): Promise<string[]> {
  return (await stage.items()).filter(({ data, next }) => data !== undefined && next === undefined).map(({ id }) => String(id?.S))
}

/** A list that has room for no further session. */
export function aFullList (user: string, layout: Layout, expiresAt: number): ReturnType<typeof toUserItem> {
  const entry = { createdAt: expiresAt - 100, lastSeenAt: expiresAt - 100, expiresAt, label: { S: 'x'.repeat(128) } }
  const itemOf = (count: number, more = 0) => toUserItem(user, {
    sessions: new Map(Array.from({ length: count }, (_, index) =>
      [hash(String(index)), index > 0 ? entry : { ...entry, label: { S: 'x'.repeat(128 + more) } }])),
    revoking: new Map(),
    version: 1
  }, layout)
  const empty = sizeOfItem(itemOf(0))
  const count = Math.floor((LARGEST_ITEM - empty) / (sizeOfItem(itemOf(1)) - empty))
  return itemOf(count, LARGEST_ITEM - sizeOfItem(itemOf(count)))
}

/** Whether a call is about a list. */
export function isListCall (input: Readonly<Record<string, any>>): boolean {
  return JSON.stringify(input['Key'] ?? input['Item']?.id ?? {}).includes('user#')
}

export const unavailable = { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' }
