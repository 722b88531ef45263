import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import type { Stage } from './app.js'
import { clientConfig } from './engines.js'
import type { Gate } from './proxy.js'
import { SEALING } from './sealing.js'
import { isListCall, logIn, routes } from './users.js'
import type { Visitor } from './visitor.js'

/** A call of a request with the session of a key, at which the request is held. */
type Kind = 'read' | 'touch' | 'save' | 'list' | 'create' | 'mark' | 'unlist' | 'delete'

export interface Moment { readonly url: string, readonly kind: Kind }

const OF_ONE_THAT_MOVES = ['list', 'create', 'mark', 'unlist'] as const

/** Every kind of call that a request with a bound session makes. A log-in is not held at its read: after that it is a new one. */
export const MOMENTS: readonly Moment[] = [
  ...['/me', '/set', '/bind', '/renew-id', '/logout'].map(url => ({ url, kind: 'read' as const })),
  { url: '/me', kind: 'touch' },
  { url: '/set', kind: 'save' },
  { url: '/bind', kind: 'list' },
  { url: '/bind', kind: 'save' },
  ...['/renew-id', '/new-id', '/login'].flatMap(url => OF_ONE_THAT_MOVES.map(kind => ({ url, kind }))),
  { url: '/logout', kind: 'delete' },
  { url: '/logout', kind: 'list' },
  { url: '/enter', kind: 'create' }
]

/** More instances of the application on the table of a stage. */
export async function addInstances (t: Test, stage: Stage, count: number, session: Partial<DynamoSessionOptions>): Promise<FastifyInstance[]> {
  const apps = Array.from({ length: count }, () => Fastify())
  for (const app of apps) {
    t.teardown(async () => await app.close())
    await app.register(dynamoSession, {
      table: stage.table, client: clientConfig(stage.proxy.endpoint), now: stage.clock.now, verify: false, timeout: 30, userIndex: true, ...SEALING, ...session
    })
    routes(app)
    await app.ready()
  }
  return [stage.app, ...apps]
}

/** A request that stands still, with the browser that sent it. */
export interface Flight {
  readonly title: string
  readonly visitor: Visitor
  readonly gate: Gate
  readonly answer: Promise<LightMyRequestResponse>
}

/** Sends a request and resolves when it is held: before a call reaches the table, or after it took effect there. */
export async function hold (stage: Stage, app: FastifyInstance, { visitor, key }: Flown, moment: Moment, where: 'before' | 'after'): Promise<Flight> {
  const title = `${moment.url}, ${where} ${moment.kind}`
  const gate = stage.proxy.gate(matchOf(moment, key), where)
  const isRead = moment.url === '/me'
  const url = moment.url === '/enter' ? '/login' : moment.url
  const answer = visitor.send({ method: isRead ? 'GET' : 'POST', url, ...!isRead && { payload: { user: 'ann', label: 'desk', count: 2 } } }, app)
  const first = await Promise.race([gate.reached.then(() => undefined), answer])
  if (first !== undefined) throw new Error(`The request was not held: ${title}: ${first.statusCode} ${first.body}`)
  return { title, visitor, gate, answer }
}

interface Flown { readonly visitor: Visitor, readonly key: string }

/** Somebody who is logged in; for `/enter` somebody who is about to be. */
export async function flown (stage: Stage, { url }: Moment): Promise<Flown> {
  return url === '/enter' ? { visitor: stage.visitor(), key: '' } : await logIn(stage)
}

function matchOf ({ kind }: Moment, key: string) {
  const isOfKey = (input: Record<string, any>): boolean => input['Key']?.id?.S === key
  const isOnList = (input: Record<string, any>): boolean => isListCall(input) && Object.values(input['ExpressionAttributeNames'] ?? {}).includes(key)
  switch (kind) {
    case 'read': return { action: 'GetItem', when: isOfKey } as const
    case 'delete': return { action: 'DeleteItem', when: isOfKey } as const
    case 'create': return { action: 'PutItem', when: (input: Record<string, any>) => !isListCall(input) } as const
    case 'list': return { action: 'UpdateItem', when: isOnList } as const
    case 'unlist': return { action: 'UpdateItem', when: isOnList, letBy: 1 } as const
    case 'touch':
    case 'save':
    case 'mark': return { action: 'UpdateItem', when: isOfKey } as const
  }
}
