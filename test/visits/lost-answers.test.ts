import t, { type Test } from 'tap'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { FastifyInstance, FastifyRequest, InjectOptions, LightMyRequestResponse as Answer } from 'fastify'
import { setStage, type Stage } from '../support/app.js'
import { clientConfig, onOneEngine, type Engine } from '../support/engines.js'
import { faults, type Action, type Call, type Fault } from '../support/proxy.js'
import { setCookieNames, type Visitor } from '../support/visitor.js'

/**
 * Calls that the engine applied and whose answers were lost: once, so that a repetition finds its own work done; for ever, so that
 * the outcome stays unknown to the request; and where the read that would decide has no answer either. Whatever the visitor is
 * told, the table holds the one effect or none, whole.
 */

const [TOKEN, COMPANION] = ['__Host-id', '__Host-id-v']
const NOT_PROLONGED = 'A session could not be prolonged'

/** What becomes of a request and of its session. */
interface Outcome {
  readonly status: 200 | 503
  /** The actions in their order; `many` is one for each attempt of the client. */
  readonly calls: string
  /** The cookies that it sets. */
  readonly sends?: readonly string[]
  /** The items of this visitor: version and count, or that it is replaced. */
  readonly items: readonly string[]
  /** The count that the next request sees with what the jar holds by then. */
  readonly then: number | undefined
  readonly warns?: boolean
}

interface Case {
  readonly name: string
  readonly request: (mark: string) => InjectOptions
  /** The calls that lose their answers; of the session, of its successor, or of whatever it makes. */
  readonly lost: readonly Action[]
  readonly begins?: 'nothing' | 'replaced'
  readonly of?: 'old' | 'successor'
  /** Whether a repetition succeeds, and no read is needed unless every answer is lost. */
  readonly isRepeatable?: boolean
  readonly once: Outcome
  readonly forEver: Outcome
  /** Where the strong read after the write has no answer either. */
  readonly andTheRead?: Outcome
}

const post = (url: string) => (mark: string): InjectOptions => ({ method: 'POST', url, payload: { mark } })
const [BOTH, CLEARED] = [[TOKEN, COMPANION], [TOKEN]]
const OLD_AND_NEW = ['replaced', 'v1 count 7']

const CASES: readonly Case[] = [
  {
    name: 'a creation',
    request: post('/begin'),
    lost: ['PutItem'],
    begins: 'nothing',
    once: { status: 200, calls: 'PutItem PutItem GetItem', sends: BOTH, items: ['v1 count 5'], then: 5 },
    forEver: { status: 503, calls: 'PutItem many', items: ['v1 count 5'], then: undefined },
    andTheRead: { status: 503, calls: 'PutItem PutItem GetItem many', items: ['v1 count 5'], then: undefined }
  },
  {
    name: 'a save',
    request: post('/set'),
    lost: ['UpdateItem'],
    once: { status: 200, calls: 'GetItem UpdateItem UpdateItem GetItem', sends: [COMPANION], items: ['v2 count 6 renewed'], then: 6 },
    forEver: { status: 503, calls: 'GetItem UpdateItem many', items: ['v2 count 6 renewed'], then: 6 },
    andTheRead: { status: 503, calls: 'GetItem UpdateItem UpdateItem GetItem many', items: ['v2 count 6 renewed'], then: 6 }
  },
  {
    name: 'an update',
    request: post('/count'),
    lost: ['UpdateItem'],
    once: { status: 200, calls: 'GetItem UpdateItem UpdateItem GetItem', sends: [COMPANION], items: ['v2 count 6 renewed'], then: 6 },
    forEver: { status: 503, calls: 'GetItem UpdateItem many', items: ['v2 count 6 renewed'], then: 6 },
    andTheRead: { status: 503, calls: 'GetItem UpdateItem UpdateItem GetItem many', items: ['v2 count 6 renewed'], then: 6 }
  },
  {
    name: 'a touch',
    request: post('/touch'),
    lost: ['UpdateItem'],
    once: { status: 200, calls: 'GetItem UpdateItem UpdateItem', items: ['v1 count 5 renewed'], then: 5 },
    forEver: { status: 200, calls: 'GetItem UpdateItem many', items: ['v1 count 5 renewed'], then: 5, warns: true }
  },
  {
    name: 'a touch with its save()',
    request: post('/touch-save'),
    lost: ['UpdateItem'],
    once: { status: 200, calls: 'GetItem UpdateItem UpdateItem', items: ['v1 count 5 renewed'], then: 5 },
    forEver: { status: 503, calls: 'GetItem UpdateItem many', items: ['v1 count 5 renewed'], then: 5 }
  },
  {
    name: 'a log-in, its new record',
    request: post('/login'),
    lost: ['PutItem'],
    once: { status: 200, calls: 'GetItem PutItem PutItem GetItem UpdateItem', sends: BOTH, items: OLD_AND_NEW, then: 7 },
    forEver: { status: 503, calls: 'GetItem PutItem many', items: ['v1 count 5', 'v1 count 7'], then: 5 },
    andTheRead: { status: 503, calls: 'GetItem PutItem PutItem GetItem many', items: ['v1 count 5', 'v1 count 7'], then: 5 }
  },
  {
    name: 'a log-in, its mark on the old record',
    request: post('/login'),
    lost: ['UpdateItem'],
    isRepeatable: true,
    once: { status: 200, calls: 'GetItem PutItem UpdateItem UpdateItem', sends: BOTH, items: OLD_AND_NEW, then: 7 },
    forEver: { status: 200, calls: 'GetItem PutItem UpdateItem many GetItem', sends: BOTH, items: OLD_AND_NEW, then: 7 },
    andTheRead: { status: 503, calls: 'GetItem PutItem UpdateItem many GetItem many', sends: BOTH, items: OLD_AND_NEW, then: 7 }
  },
  {
    name: 'a log-in, both of its writes',
    request: post('/login'),
    lost: ['PutItem', 'UpdateItem'],
    once: { status: 200, calls: 'GetItem PutItem PutItem GetItem UpdateItem UpdateItem', sends: BOTH, items: OLD_AND_NEW, then: 7 },
    forEver: { status: 503, calls: 'GetItem PutItem many', items: ['v1 count 5', 'v1 count 7'], then: 5 }
  },
  {
    name: 'a log-out',
    request: post('/logout'),
    lost: ['DeleteItem'],
    once: { status: 200, calls: 'GetItem DeleteItem DeleteItem', sends: CLEARED, items: [], then: undefined },
    forEver: { status: 503, calls: 'GetItem DeleteItem many', items: [], then: undefined }
  },
  {
    name: 'a log-out from a session that was replaced, on its way to the successor',
    request: post('/logout'),
    lost: ['DeleteItem'],
    begins: 'replaced',
    of: 'old',
    once: { status: 200, calls: 'GetItem DeleteItem DeleteItem GetItem DeleteItem', sends: CLEARED, items: ['replaced'], then: undefined },
    forEver: { status: 503, calls: 'GetItem DeleteItem many', items: OLD_AND_NEW, then: undefined },
    andTheRead: { status: 503, calls: 'GetItem DeleteItem DeleteItem GetItem many', items: OLD_AND_NEW, then: undefined }
  },
  {
    name: 'a log-out from a session that was replaced, of the successor',
    request: post('/logout'),
    lost: ['DeleteItem'],
    begins: 'replaced',
    of: 'successor',
    once: { status: 200, calls: 'GetItem DeleteItem GetItem DeleteItem DeleteItem', sends: CLEARED, items: ['replaced'], then: undefined },
    forEver: { status: 503, calls: 'GetItem DeleteItem GetItem DeleteItem many', items: ['replaced'], then: undefined }
  }
]

const EXTENTS = ['once', 'forEver', 'andTheRead'] as const
type Extent = typeof EXTENTS[number]
const TITLES = {
  once: 'one lost answer is made up for by a repetition, and has one effect',
  forEver: 'where every answer is lost, the effect is whole or there is none',
  andTheRead: 'where the read that decides has no answer either, likewise'
} as const

/** One visitor whose answers are lost. */
interface Run {
  readonly of: Case
  readonly extent: Extent
  readonly ann: Visitor
  /** Stands in the data of each record of this visitor. */
  readonly mark: string
  /** The keys of these records, learned as they come by. */
  readonly keys: Set<string>
}

type Items = Awaited<ReturnType<Stage['items']>>

/** How often the function of an update was asked, by mark. */
const asked = new Map<string, number>()

function addRoutes (app: FastifyInstance): void {
  const fill = ({ session, body }: FastifyRequest, count: number): object => {
    session.set('userId', (body as { mark: string }).mark)
    session.set('count', count)
    return { key: session.loggableId }
  }
  app.get('/me', async request => request.session.data())
  app.post('/begin', async request => fill(request, 5))
  app.post('/login', async request => {
    await request.session.regenerate()
    return fill(request, 7)
  })
  app.post('/set', async request => {
    request.session.set('count', 6)
    return {}
  })
  app.post('/count', async request => {
    const { mark } = request.body as { mark: string }
    await request.session.update('count', count => {
      asked.set(mark, (asked.get(mark) ?? 0) + 1)
      return (count ?? 0) + 1
    })
    return {}
  })
  app.post('/touch', async request => {
    request.session.touch()
    return {}
  })
  app.post('/touch-save', async request => {
    request.session.touch()
    await request.session.save()
    return {}
  })
  app.post('/logout', async request => {
    await request.session.destroy()
    return {}
  })
}

let runs = 0

async function begin (stage: Stage, of: Case, extent: Extent): Promise<Run & { readonly lossy: (input: Call['input']) => boolean }> {
  const ann = stage.visitor()
  const mark = `<${++runs}>`
  const keys = new Set<string>()
  if (of.begins !== 'nothing') keys.add((await ann.post('/begin', { mark })).json().key)
  const [old] = [...keys]
  // The jar keeps the old token.
  if (of.begins === 'replaced') keys.add((await ann.send({ method: 'POST', url: '/login', payload: { mark } })).json().key)
  const run = { of, extent, ann, mark, keys }
  return {
    ...run,
    lossy: input => belongsTo(run, input) && (of.of === undefined || (input['Key'].id.S === old) === (of.of === 'old'))
  }
}

function belongsTo ({ mark, keys }: Run, input: Call['input']): boolean {
  const { Item, Key } = input
  if (Item !== undefined && JSON.stringify(Item).includes(mark)) keys.add(Item.id.S)
  return keys.has((Item ?? Key).id.S)
}

/** Returns what lets answers through again. */
function lose (stage: Stage, run: Awaited<ReturnType<typeof begin>>, fault: Fault): () => void {
  const { of, extent, lossy } = run
  const times = extent === 'forEver' || (extent === 'andTheRead' && of.isRepeatable === true) ? Infinity : 1
  const rules = of.lost.map(action => stage.proxy.meet({ action, when: lossy, times }, fault))
  if (extent === 'andTheRead') {
    // The first read opens the session.
    const letBy = of.begins === 'nothing' ? 0 : 1
    rules.push(stage.proxy.meet({ action: 'GetItem', when: input => belongsTo(run, input), letBy, times: Infinity }, fault))
  }
  return () => { for (const rule of rules) rule.remove() }
}

/** Who loses what, and how often. */
interface Loss { readonly owner: Owner, readonly fault: Fault, readonly extent: Extent }

type Owner = 'the plugin\'s own client' | 'a client handed in'
/** Attempts of a client at a call that gets no answer. */
const ATTEMPTS: Readonly<Record<Owner, number>> = { 'the plugin\'s own client': 3, 'a client handed in': 4 }

/** Seconds. Long where a repetition is to succeed in time on a busy machine, short where the end of the time is waited for. */
function timeoutFor ({ owner, fault, extent }: Loss): number {
  if (fault !== faults.hangAfter) return 5
  return owner === 'a client handed in' || extent === 'forEver' ? 1.5 : 3
}

async function setUp (t: Test, engine: Engine, loss: Loss): Promise<Stage> {
  let endpoint = new URL(engine.endpoint)
  const timeout = timeoutFor(loss)
  const client = new DynamoDBClient({
    ...clientConfig(engine.endpoint),
    endpoint: async () => ({ protocol: 'http:', hostname: endpoint.hostname, port: Number(endpoint.port), path: '/' })
  })
  t.teardown(() => client.destroy())
  // Each visitor's calls are told apart by their key.
  const stage = await setStage(t, engine, { session: { timeout, batchReads: false, ...loss.owner === 'a client handed in' && { client } }, routes: addRoutes })
  endpoint = new URL(stage.proxy.endpoint)
  return stage
}

/** Begins a session for each case, lets time go by so that renewals are due, and then loses answers of all at once. */
async function loseAll (stage: Stage, { owner, fault, extent }: Loss): Promise<(t: Test) => Promise<void>> {
  const going = await Promise.all(CASES.filter(of => of[extent] !== undefined).map(async of => await begin(stage, of, extent)))
  stage.clock.forward(1000)
  stage.proxy.take()
  const answers = await Promise.all(going.map(async run => {
    const stop = lose(stage, run, fault)
    const answer = await run.ann.request(run.of.request(run.mark))
    stop()
    return answer
  }))
  const calls = stage.proxy.takeCalls()
  const items = await stage.items()
  const next = await Promise.all(going.map(async ({ ann }) => (await ann.get('/me')).json().count as number | undefined))
  return async t => {
    for (const [index, run] of going.entries()) {
      const expected = expectedOf(run, owner, fault)
      checkAnswer(t, answers[index] as Answer, expected, run.of.name)
      t.same(itemsOf(run, items).map(toText).sort(), expected.items, 'the table holds one effect or none')
      t.equal(next[index], expected.then, 'which the next request sees')
      t.equal(toldOf(stage, run), expected.warns === true)
      if (run.of.name === 'an update') t.equal(asked.get(run.mark), 1, 'its function is asked once')
      checkCalls(t, calls.filter(({ input }) => belongsTo(run, input)), expected, owner, fault)
    }
    await logOutAgain(t, stage, going)
  }
}

/** A client handed in has no time limit of its own: a call that hangs is its only attempt. */
function expectedOf ({ of, extent }: Run, owner: Owner, fault: Fault): Outcome {
  const isSpent = owner === 'a client handed in' && fault.name === 'hangAfter' && !(extent === 'andTheRead' && of.isRepeatable === true)
  return (isSpent ? of.forEver : of[extent]) as Outcome
}

function checkAnswer (t: Test, answer: Answer, { status, sends = [] }: Outcome, name: string): void {
  t.same([answer.statusCode, setCookieNames(answer)], [status, sends], name)
  t.equal(answer.headers['retry-after'], status === 503 ? '1' : undefined)
  if (status === 503) t.equal(answer.json().code, 'FST_DYNAMODB_SESSION_UNAVAILABLE')
  if (sends.length > 0) t.equal(answer.headers['cache-control'], 'no-store')
}

function checkCalls (t: Test, calls: Call[], { calls: expected }: Outcome, owner: Owner, fault: Fault): void {
  const actions = calls.map(call => call.action)
  const attempts = expected.replace(/(\w+) many/g, (_, action: string) => Array(ATTEMPTS[owner]).fill(action).join(' '))
  // How many attempts fit into the time limit is the client's matter, which test/client.test.ts shows.
  if (fault.name === 'hangAfter') t.same(withoutRepeats(actions), withoutRepeats(attempts.split(' ')))
  else t.equal(actions.join(' '), attempts)
}

function withoutRepeats (actions: string[]): string[] {
  return actions.filter((action, index) => action !== actions[index - 1])
}

function itemsOf ({ keys, mark }: Run, items: Items): Items {
  return items.filter(({ id, data }) => keys.has(String(id?.S)) || JSON.stringify(data).includes(mark))
}

function toText ({ next, ver, data, created, seen }: Items[number]): string {
  if (next !== undefined) return 'replaced'
  return `v${String(ver?.N)} count ${String(data?.M?.['count']?.S)}${created?.N === seen?.N ? '' : ' renewed'}`
}

function toldOf ({ log }: Stage, { keys }: Run): boolean {
  return log.lines.some(({ msg, loggableId }) => msg === NOT_PROLONGED && keys.has(loggableId))
}

/** A log-out whose outcome is not known is repeated by the visitor, and ends what is left. */
async function logOutAgain (t: Test, stage: Stage, going: Run[]): Promise<void> {
  const runs = going.filter(({ of }) => of.lost[0] === 'DeleteItem')
  for (const { ann, of } of runs) t.equal((await ann.post('/logout')).statusCode, 200, `${of.name}: again`)
  const items = await stage.items()
  t.same(runs.flatMap(run => itemsOf(run, items)).filter(({ next }) => next === undefined), [], 'no session is left')
}

const OWNERS = ['the plugin\'s own client', 'a client handed in'] as const

function lossesBy (fault: Fault, extents: readonly Extent[]): Loss[] {
  return OWNERS.flatMap(owner => extents.map(extent => ({ owner, fault, extent })))
}

onOneEngine(t, async (t, engine) => {
  // A stage for each, because the SDK repeats less and less with a client whose calls all fail.
  const loseBy = async (losses: readonly Loss[]): Promise<void> => {
    const stages = await Promise.all(losses.map(async loss => await setUp(t, engine, loss)))
    const shows = await Promise.all(losses.map(async (loss, index) => await loseAll(stages[index] as Stage, loss)))
    for (const [index, { owner, fault, extent }] of losses.entries()) {
      await t.test(`${TITLES[extent]} (${fault.name}, ${owner})`, shows[index] as typeof shows[number])
    }
  }
  for (const loss of lossesBy(faults.resetAfter, EXTENTS)) await loseBy([loss])
  // How an answer is lost is between the client and the proxy: one way is enough for the other engine.
  if (engine.name !== 'dynalite') return
  for (const loss of lossesBy(faults.closeAfter, ['once', 'forEver'])) await loseBy([loss])
  // These wait, and may do so together.
  await loseBy(lossesBy(faults.hangAfter, ['once', 'forEver']))
})
