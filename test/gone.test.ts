import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { DeleteItemCommand, DynamoDBClient, type AttributeValue } from '@aws-sdk/client-dynamodb'
import type { FastifyInstance, LightMyRequestResponse as Answer } from 'fastify'
import { errors } from '../index.js'
import { setStage, type Stage } from './support/app.js'
import { clientConfig, onEachEngine, type Engine } from './support/engines.js'
import { setCookieNames, type Visitor } from './support/visitor.js'

/**
 * A session that ends while a request is in flight, and an item that is no session. What is over is never written back, and
 * nothing is left in the table that was not there when it ended.
 */

type Item = Record<string, AttributeValue>

const DROPPED = 'Changes were dropped, because their session has ended meanwhile'
const GHOST = 'A record lacks what a session needs and counts as absent'
const IDLE = 7200
/** Late enough for a renewal to be due. */
const SOME_TIME = 1000

const GONE = 'FST_DYNAMODB_SESSION_GONE'
const CONFLICT = 'FST_DYNAMODB_SESSION_CONFLICT'

/** What a request in flight does with its session, and what becomes of it where the session has ended. */
interface Act {
  readonly name: string
  readonly url: string
  /** What the call of its handler rejects with. */
  readonly told?: string
  /** After its own read. A refused write is looked into by one strong read. */
  readonly calls: readonly string[]
  readonly warnings?: readonly string[]
  /** Whether listeners of the `gone` channel are told. */
  readonly isHeard: boolean
}

const LOOKED_INTO = ['UpdateItem', 'GetItem']
/** At the end of the request, the renewal that is due is tried, and refused as well. */
const AND_RENEWED = [...LOOKED_INTO, 'UpdateItem']

const ACTS: readonly Act[] = [
  { name: 'its save at the end is dropped', url: '/set', calls: LOOKED_INTO, warnings: [DROPPED], isHeard: true },
  { name: 'its save of 201 keys is dropped', url: '/set-many', calls: LOOKED_INTO, warnings: [DROPPED], isHeard: true },
  { name: 'its save() rejects', url: '/save', told: GONE, calls: LOOKED_INTO, isHeard: true },
  { name: 'its touch() does nothing', url: '/touch', calls: ['UpdateItem'], isHeard: false },
  { name: 'its touch() with save() rejects', url: '/touch-save', told: GONE, calls: AND_RENEWED, isHeard: true },
  { name: 'its update rejects', url: '/count', told: GONE, calls: AND_RENEWED, isHeard: true }
]

/** How a session ends: by another request of its visitor, by somebody else's hand, or by time. */
interface Ending {
  readonly name: string
  readonly reason: 'missing' | 'replaced' | 'expired'
  /** What a request is told that regenerates the session. */
  readonly regenerating: string
  readonly end: (stage: Stage, ann: Visitor, item: Item) => Promise<unknown> | void
}

const byRequest = (url: string): Ending['end'] => async (_stage, ann) => await ann.send({ method: 'POST', url })
const byTombstone: Ending['end'] = async ({ put }, _ann, item) => await put({ ...item, data: { M: {} }, next: { S: '-' } })

const ENDINGS: readonly Ending[] = [
  { name: 'destroyed', reason: 'missing', regenerating: GONE, end: byRequest('/logout') },
  { name: 'replaced', reason: 'replaced', regenerating: CONFLICT, end: byRequest('/login') },
  { name: 'revoked', reason: 'replaced', regenerating: GONE, end: byTombstone },
  { name: 'swept by TTL', reason: 'missing', regenerating: GONE, end: async (stage, _ann, item) => await remove(stage, item) },
  { name: 'expired', reason: 'expired', regenerating: GONE, end: ({ clock }) => clock.forward(IDLE) }
]

/** Runs of the function of an update. */
let asked = 0

function addRoutes (app: FastifyInstance): void {
  const toldOf = async (act: () => Promise<unknown>): Promise<{ told: unknown }> =>
    await act().then(() => ({ told: undefined }), (error: Error) => ({ told: error instanceof errors.Gone && error.code }))
  app.addHook('preHandler', passDoor)
  app.get('/me', async request => ({ id: request.session.id, data: request.session.data() }))
  app.post('/begin', async request => {
    request.session.set('cart', ['apple'])
    return { key: request.session.loggableId }
  })
  app.post('/set', async request => {
    request.session.set('count', 1)
    request.session.get('cart')?.push('pear')
    return {}
  })
  app.post('/set-many', async request => {
    for (let index = 0; index < 201; index++) request.session.set(`any:${index}`, index)
    return {}
  })
  app.post('/save', async request => {
    request.session.set('count', 1)
    return await toldOf(async () => { await request.session.save() })
  })
  app.post('/touch', async request => {
    request.session.touch()
    return {}
  })
  app.post('/touch-save', async request => {
    request.session.touch()
    return await toldOf(async () => { await request.session.save() })
  })
  app.post('/count', async request => await toldOf(async () => await request.session.update('count', count => {
    asked += 1
    return (count ?? 0) + 1
  })))
  app.post('/login', async request => {
    await request.session.regenerate()
    request.session.set('userId', 'u-42')
    return {}
  })
  app.post('/renew', async request => {
    await request.session.regenerate(true)
    return {}
  })
  app.post('/logout', async request => {
    await request.session.destroy()
    return {}
  })
}

/** Where a request stands still: in its handler, when its session is read, or at a gate on the wire. */
interface Stop { readonly reached: Promise<unknown>, release (): void }

/** Holds the next handler that begins. */
let door: { arrive (): void, readonly opened: Promise<void> } | undefined

function inHandler (): Stop {
  let [arrive, release] = [() => {}, () => {}]
  const reached = new Promise<void>(resolve => { arrive = resolve })
  door = { arrive, opened: new Promise<void>(resolve => { release = resolve }) }
  return { reached, release: () => { release() } }
}

async function passDoor (): Promise<void> {
  const here = door
  door = undefined
  here?.arrive()
  await here?.opened
}

let direct: DynamoDBClient

async function remove ({ table }: Stage, { id }: Item): Promise<void> {
  await direct.send(new DeleteItemCommand({ TableName: table, Key: { id: id as AttributeValue } }))
}

/** A session in the middle of its life, and its item. */
async function beginSession (stage: Stage, age = SOME_TIME): Promise<{ ann: Visitor, item: Item }> {
  const ann = stage.visitor()
  const { key } = (await ann.post('/begin')).json()
  stage.clock.forward(age)
  stage.proxy.take()
  asked = 0
  return { ann, item: await stage.item(key) as Item }
}

interface Seen {
  readonly answer: Answer
  /** From the end of the session on. */
  readonly calls: string[]
  readonly events: unknown[]
  readonly warnings: string[]
  /** The table when the session had ended, save what the request itself had put there. */
  readonly before: Item[]
  readonly after: Item[]
}

/** Lets a request stop, ends its session meanwhile, and lets it go on. */
async function endInFlight (stage: Stage, ann: Visitor, stop: Stop, url: string, end: () => Promise<unknown> | void): Promise<Seen> {
  const { proxy, log } = stage
  const events: unknown[] = []
  const listen = (event: unknown): void => { events.push(event) }
  const going = ann.send({ method: 'POST', url })
  const isEarly = await Promise.race([stop.reached.then(() => false), going.then(() => true)])
  if (isEarly) throw new Error(`${url} never stopped`)
  const own = new Set(proxy.takeCalls().map(({ input }) => input['Item']?.id.S))
  await end()
  const before = (await stage.items()).filter(({ id }) => !own.has(id?.S))
  proxy.take()
  log.lines.length = 0
  subscribe('fastify-dynamodb-session:gone', listen)
  stop.release()
  const answer = await going
  unsubscribe('fastify-dynamodb-session:gone', listen)
  return { answer, calls: proxy.take(), events, warnings: log.warnings(), before: sorted(before), after: sorted(await stage.items()) }
}

function sorted (items: Item[]): Item[] {
  return items.sort((a, b) => String(a['id']?.S) < String(b['id']?.S) ? -1 : 1)
}

/** The same for each place where a request may stop. Time is told when a request plans its write, so that one is in time by then. */
function stopsFor ({ proxy }: Stage, { reason }: Ending): Record<string, () => Stop> {
  const stops = { 'after its read': inHandler }
  return reason === 'expired' ? stops : { ...stops, 'before its write': () => proxy.gate('UpdateItem') }
}

async function writesNothing (t: Test, stage: Stage, ending: Ending): Promise<void> {
  for (const { name, url, told, calls, warnings = [], isHeard } of ACTS) {
    for (const [where, stop] of Object.entries(stopsFor(stage, ending))) {
      const { ann, item } = await beginSession(stage)
      const seen = await endInFlight(stage, ann, stop(), url, async () => await ending.end(stage, ann, item))
      t.same([seen.answer.statusCode, seen.answer.json()], [200, told === undefined ? {} : { told }], `${name}, where it ended ${where}`)
      t.same(seen.calls, calls)
      t.same(seen.after, seen.before, 'the table is as the end left it')
      t.same(setCookieNames(seen.answer), [])
      t.same(seen.warnings, warnings)
      t.same(seen.events, isHeard ? [{ loggableId: item['id']?.S, reason: ending.reason }] : [])
      if (url === '/count') t.equal(asked, 1, 'the function of the update is not asked again')
      t.same((await ann.get('/me')).json(), { data: {} }, 'the token stays dead')
    }
  }
}

async function leavesNoSuccessor (t: Test, stage: Stage, ending: Ending): Promise<void> {
  for (const url of ['/login', '/renew']) {
    for (const [where, stop] of Object.entries(stopsFor(stage, ending))) {
      const { ann, item } = await beginSession(stage)
      const seen = await endInFlight(stage, ann, stop(), url, async () => await ending.end(stage, ann, item))
      t.same([seen.answer.statusCode, seen.answer.json().code], [409, ending.regenerating], `${url}, where it ended ${where}`)
      const put = where === 'after its read' ? ['PutItem'] : []
      t.same(seen.calls, [...put, 'UpdateItem', 'GetItem', 'DeleteItem'], 'the new record is taken back')
      t.same(seen.after, seen.before, 'the table is as the end left it')
      t.same(setCookieNames(seen.answer), [], 'no token is sent')
      t.same(seen.events, ending.regenerating === GONE ? [{ loggableId: item['id']?.S, reason: ending.reason }] : [])
    }
  }
}

function without (item: Item, attribute: string): Item {
  return Object.fromEntries(Object.entries(item).filter(([name]) => name !== attribute))
}

onEachEngine(t, async (t, engine: Engine) => {
  direct = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(() => direct.destroy())

  for (const ending of ENDINGS) {
    await t.test(`a session that is ${ending.name} while a request is in flight stays so`, async t => {
      const stage = await setStage(t, engine, { routes: addRoutes })
      await t.test('of a request that writes', async t => await writesNothing(t, stage, ending))
      await t.test('of a request that regenerates it', async t => await leavesNoSuccessor(t, stage, ending))
    })
  }

  await t.test('a ghost, an item that lacks what a session needs', async t => {
    const stage = await setStage(t, engine, { routes: addRoutes })
    const one = ACTS.slice(0, 1)
    for (const [attribute, acts] of [['expires', ACTS], ['ver', ACTS], ['data', ACTS], ['created', one], ['seen', one]] as const) {
      await t.test(`without "${attribute}" counts as absent, which the log is told once`, async t => {
        const ages = [['long after a write', SOME_TIME], ['right after a write, when what seems missing is read again', 0]] as const
        for (const [title, age] of ages) {
          stage.clock.forward(60)
          const { ann, item } = await beginSession(stage, age)
          const ghost = without(item, attribute)
          await stage.put(ghost)
          stage.log.lines.length = 0
          const answer = await ann.get('/me')
          t.same([answer.statusCode, answer.json(), setCookieNames(answer)], [200, { data: {} }, []], title)
          t.equal(stage.log.warnings().filter(text => text === GHOST).length, 1)
          t.same(await stage.item(item['id']?.S as string), ghost, 'and it stays as it is')
        }
      })

      await t.test(`without "${attribute}" is to a request in flight as if it were not there`, async t => {
        for (const { name, url, told } of acts) {
          const { ann, item } = await beginSession(stage)
          const spoil = async (): Promise<void> => await stage.put(without(item, attribute))
          const { answer, before, after } = await endInFlight(stage, ann, inHandler(), url, spoil)
          t.same(after, before, `${name}: nothing is written`)
          t.same([answer.statusCode, answer.json(), setCookieNames(answer)], [200, told === undefined ? {} : { told }, []], name)
        }
      })
    }
  })
})
