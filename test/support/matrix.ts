import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { DeleteItemCommand, DynamoDBClient, type AttributeValue } from '@aws-sdk/client-dynamodb'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { CookieJar } from 'tough-cookie'
import type { Session } from '../../index.js'
import { hash } from '../../lib/token.js'
import { setStage, type Stage, type StageOptions } from './app.js'
import { clientConfig, type Engine } from './engines.js'
import type { Action, Call } from './proxy.js'
import { setCookies } from './visitor.js'

type Item = Record<string, AttributeValue>
type Who = 'A' | 'B'
export type ActName = keyof typeof ACTS
/** What ends a session beside requests: its time, seen by a clock that moved on or by a table that has swept it. */
export type End = 'expired' | 'swept'

/** What one request does with its session. */
const ACTS = {
  load: () => {},
  save: (session: Session, who: Who) => { session.set(`any:${who}`, who) },
  touch: (session: Session) => { session.touch() },
  update: async (session: Session) => { await session.update('any:n', n => Number(n ?? 0) + 1) },
  destroy: async (session: Session) => { await session.destroy() },
  regenerate: async (session: Session, who: Who) => {
    await session.regenerate()
    session.set('userId', who)
  },
  'regenerate(true)': async (session: Session, who: Who) => {
    await session.regenerate(true)
    session.set('userId', who)
  }
}

/** The request that is overtaken, and the call at which it is: a row. */
export interface Row { readonly name: string, readonly act: ActName | End, readonly at: Action, readonly where: 'before' | 'after' }

const row = (name: string, act: ActName | End, at: Action, where: Row['where']): Row => ({ name, act, at, where })

const SIMPLE = [['load', 'GetItem'], ['save', 'UpdateItem'], ['touch', 'UpdateItem'], ['update', 'UpdateItem'], ['destroy', 'DeleteItem']] as const

/** The rows of each table, by the heading of its first column. */
export const TABLES: Readonly<Record<string, readonly Row[]>> = {
  'A is on its way': [
    ...SIMPLE.map(([act, at]) => row(act, act, at, 'before')),
    ...(['regenerate', 'regenerate(true)'] as const).flatMap(act => [
      row(`${act}, new record`, act, 'PutItem', 'before'), row(`${act}, mark`, act, 'UpdateItem', 'before')
    ]),
    row('expired', 'expired', 'GetItem', 'before'),
    row('swept', 'swept', 'GetItem', 'before')
  ],
  'A is applied, its answer on its way': [
    ...SIMPLE.map(([act, at]) => row(act, act, at, 'after')),
    row('regenerate', 'regenerate', 'UpdateItem', 'after'),
    row('regenerate(true)', 'regenerate(true)', 'UpdateItem', 'after')
  ]
}

export const COLUMNS: ReadonlyArray<ActName | End> = [...Object.keys(ACTS) as ActName[], 'expired', 'swept']

/** What became of one of the two. The words are those of the document. */
export type Outcome = 'done' | 'old' | 'blank' | 'anew' | 'dropped' | 'in vain' | '409' | 'failed'

/** One of the two, and what it came to. */
export interface Side {
  readonly who: Who
  readonly act: ActName | End
  readonly outcome: Outcome
  readonly response: LightMyRequestResponse | undefined
  /** The key of the record whose token the answer sends. */
  readonly sent: string | undefined
  readonly clears: boolean
  readonly calls: readonly Call[]
  readonly warnings: readonly string[]
}

/** A pair that was run: how it went, and what is there at the end, read strongly. */
export interface Cell {
  readonly row: Row
  readonly sides: readonly [Side, Side]
  readonly events: readonly string[]
  /** The key of the session that both came with. */
  readonly first: string
  readonly items: readonly Item[]
  readonly alive: ReadonlyMap<string, Readonly<Record<string, unknown>>>
  /** The key of what the browser holds when the answers arrive as A, B and as B, A. */
  readonly jars: readonly [string | undefined, string | undefined]
}

const NAME = '__Host-id'
const ORIGIN = 'https://shop.example'
const DROPPED = 'Changes were dropped, because their session has ended meanwhile'
/** Told once in a while whatever happens, and not of the pair. */
const ASIDE = /^(A Secure session cookie|Tokens came in)/
/** Seconds between the creation and the two requests: enough for a touch to have an effect, less than the reissue time. */
const LATER = 60

/** Several instances of an application on the table and by the clock of the first, each behind a proxy of its own, as processes are. */
export async function setInstances (t: Test, engine: Engine, count: number, options: StageOptions): Promise<Stage[]> {
  const first = await setStage(t, engine, options)
  const session = { ...options.session, table: first.table, now: first.clock.now }
  const others = Array.from({ length: count - 1 }, async () => await setStage(t, engine, { ...options, session }))
  return [first, ...await Promise.all(others)]
}

/** Notes what the channels tell of sessions that have ended and of conflicts, until the test is over. */
export function noteEvents (t: Test): string[] {
  const events: string[] = []
  for (const name of ['gone', 'conflict']) {
    const note = (message: unknown): void => {
      const { reason } = message as { reason?: string }
      events.push(reason === undefined ? name : `${name} ${reason}`)
    }
    subscribe(`fastify-dynamodb-session:${name}`, note)
    t.teardown(() => unsubscribe(`fastify-dynamodb-session:${name}`, note))
  }
  return events
}

/** Two instances on which requests overtake each other. */
export class Arena {
  readonly #direct: DynamoDBClient
  readonly #a: Stage
  readonly #b: Stage
  readonly #events: string[]

  private constructor (a: Stage, b: Stage, direct: DynamoDBClient, events: string[]) {
    [this.#a, this.#b, this.#direct, this.#events] = [a, b, direct, events]
  }

  static async open (t: Test, engine: Engine): Promise<Arena> {
    // A request that is held must not be repeated because the machine is slow.
    const [a, b] = await setInstances(t, engine, 2, { session: { timeout: 60 }, routes }) as [Stage, Stage]
    const direct = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => direct.destroy())
    return new Arena(a, b, direct, noteEvents(t))
  }

  /** Runs a pair: A up to its gate, B from beginning to end, and A to its end. */
  async run (row: Row, column: ActName | End): Promise<Cell> {
    const [a, b] = [this.#a, this.#b]
    const token = await this.#begin()
    const first = keyOf(token) as string
    const gate = isEnd(row.act) ? undefined : a.proxy.gate(row.at, row.where)
    const answerOfA = this.#act(a, row.act, 'A', token)
    // What is no request is over before B begins.
    await (gate?.reached ?? answerOfA)
    const answerOfB = await this.#act(b, column, 'B', token)
    gate?.release()
    const answers = [await answerOfA, answerOfB] as const
    const items = await a.items()
    const alive = new Map(items.filter(item => this.#isAlive(item)).map(item => [String(item['id']?.S), dataOf(item)]))
    const sides = [sideOf('A', row.act, answers[0], a), sideOf('B', column, answers[1], b)] as const
    await Promise.all(items.map(async ({ id }) => await this.#delete(String(id?.S))))
    return {
      row,
      sides: [told(sides[0], sides[1]), told(sides[1], sides[0])],
      events: this.#events.splice(0),
      first,
      items,
      alive,
      jars: [jarKey(token, answers), jarKey(token, [answers[1], answers[0]])]
    }
  }

  /** The token of a new session, some time after it was made; what was noted until then is forgotten. */
  async #begin (): Promise<string> {
    const { app, proxy, clock, log } = this.#a
    const token = tokenIn(await app.inject({ method: 'POST', url: '/begin' }))
    if (token === undefined) throw new Error('No session was begun')
    clock.forward(LATER)
    for (const stage of [proxy, this.#b.proxy]) stage.take()
    for (const stage of [log, this.#b.log]) stage.lines.splice(0)
    this.#events.splice(0)
    return token
  }

  async #act ({ app }: Stage, act: ActName | End, who: Who, token: string): Promise<LightMyRequestResponse | undefined> {
    if (act === 'expired') this.#a.clock.forward(7200 - LATER)
    if (act === 'swept') await this.#delete(keyOf(token) as string)
    if (isEnd(act)) return undefined
    return await app.inject({ method: 'POST', url: `/acts/${act}`, payload: { who }, headers: { cookie: `${NAME}=${token}` } })
  }

  async #delete (key: string): Promise<void> {
    await this.#direct.send(new DeleteItemCommand({ TableName: this.#a.table, Key: { id: { S: key } } }))
  }

  #isAlive ({ next, expires }: Item): boolean {
    return next === undefined && Number(expires?.N) > this.#a.clock.seconds
  }
}

function routes (app: FastifyInstance): void {
  app.post('/begin', async ({ session }) => {
    session.set('any:old', 1)
    return {}
  })
  app.post('/acts/:act', async ({ session, params, body }) => {
    const answer = { found: !session.isNew, seen: session.data() }
    await ACTS[(params as { act: ActName }).act](session, (body as { who: Who }).who)
    return answer
  })
}

export function isEnd (act: ActName | End): act is End {
  return act === 'expired' || act === 'swept'
}

export function dataOf (item: Item): Record<string, unknown> {
  return Object.fromEntries(Object.entries(item['data']?.M ?? {}).map(([key, value]) => [key, JSON.parse(String(value.S))]))
}

/** The token in an answer, empty where it is cleared, undefined where there is none. */
export function tokenIn (response: LightMyRequestResponse | undefined): string | undefined {
  const text = response === undefined ? undefined : setCookies(response).find(text => text.startsWith(`${NAME}=`))
  return text?.slice(NAME.length + 1, text.indexOf(';'))
}

function keyOf (token: string | undefined): string | undefined {
  return token === undefined || token === '' ? undefined : hash(token)
}

/** What the browser holds after answers in this order, as the key of its record. */
function jarKey (token: string, answers: ReadonlyArray<LightMyRequestResponse | undefined>): string | undefined {
  const jar = new CookieJar(undefined, { prefixSecurity: 'strict' })
  const texts = answers.flatMap(answer => answer === undefined ? [] : setCookies(answer))
  for (const text of [`${NAME}=${token}; Path=/; Secure`, ...texts]) jar.setCookieSync(text, ORIGIN)
  return keyOf(jar.getCookiesSync(ORIGIN).find(({ key }) => key === NAME)?.value)
}

function sideOf (who: Who, act: ActName | End, response: LightMyRequestResponse | undefined, { proxy, log }: Stage): Side {
  const token = tokenIn(response)
  const warnings = log.warnings().filter(text => !ASIDE.test(text))
  const side = { who, act, response, sent: keyOf(token), clears: token === '', calls: proxy.takeCalls(), warnings }
  return { ...side, outcome: outcomeOf(side) }
}

function outcomeOf ({ act, response, sent, calls, warnings }: Omit<Side, 'outcome'>): Outcome {
  if (response === undefined) return 'done'
  if (response.statusCode !== 200) return response.statusCode === 409 ? '409' : 'failed'
  if (warnings.includes(DROPPED)) return 'dropped'
  const isRefused = calls.some(({ action, status }) => action === 'UpdateItem' && status === 400)
  if (act === 'destroy') return calls.some(({ action, status }) => action === 'DeleteItem' && status === 200) ? 'done' : 'blank'
  if (!(response.json() as { found: boolean }).found) return sent === undefined ? 'blank' : 'anew'
  return act === 'touch' && isRefused ? 'in vain' : 'done'
}

/** What a side knows to have been before the other: it saw the session without what the other did to it. */
function told (side: Side, other: Side): Side {
  if (side.act !== 'load' || side.outcome !== 'done' || other.outcome !== 'done') return side
  const { seen } = side.response?.json() as { seen: Record<string, unknown> }
  const change = changeOf(other)
  const isNewest = ['load', 'touch'].includes(other.act) || (change !== undefined && seen[change[0]] === change[1])
  return isNewest ? side : { ...side, outcome: 'old' }
}

/** The key that a side sets, and its value where nobody else counts with it. */
export function changeOf ({ act, who }: Side): readonly [key: string, value: unknown] | undefined {
  switch (act) {
    case 'save': return [`any:${who}`, who]
    case 'update': return ['any:n', 1]
    case 'regenerate':
    case 'regenerate(true)': return ['userId', who]
    default: return undefined
  }
}

/** The few words of a cell. */
export function wordsOf (cell: Cell): string {
  const parts = cell.sides.filter(({ outcome }) => outcome !== 'done').map(({ who, outcome }) => `${who} ${outcome}`)
  const words = [parts.length === 0 ? 'both' : parts.join(', ')]
  if (cell.alive.size === 0) words.push('ended')
  else if (cell.jars.some(key => key === undefined || !cell.alive.has(key))) words.push('late clear')
  return words.join('; ')
}
