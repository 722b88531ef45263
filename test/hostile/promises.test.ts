import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { DynamoDBClient, paginateScan, GetItemCommand } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import fc, { type Scheduler } from 'fast-check'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import dynamoSession, { type Session } from '../../index.js'
import { errors } from '../../lib/errors.js'
import { fromItem, type Item, type Layout } from '../../lib/item.js'
import { hash } from '../../lib/token.js'
import { memoryRepository } from '../../testing/index.js'
import type { DynamoSessionOptions } from '../../types/options.js'
import type { Repository, SessionRecord } from '../../types/repository.js'
import { clientConfig, createTable, startDynalite } from '../support/engines.js'
import { FaultProxy, faults, type Action, type Call, type Fault } from '../support/proxy.js'
import { setCookies } from '../support/visitor.js'

/** What a handler does with its session, one after the other. */
const ACTS = [
  'own', 'own', 'pair', 'pair', 'nest', 'add', 'add', 'read', 'touch', 'save', 'reload', 'new id', 'new id, all kept',
  'new id, pair kept', 'destroy'
] as const
type Act = typeof ACTS[number]

interface Step { readonly visitor: number, readonly instance: number, readonly acts: readonly Act[], readonly fails: boolean }

/** What goes on beside the requests: time passes, or DynamoDB sweeps what has expired. */
type Happening = { readonly seconds: number } | 'sweep'

/** Rounds one after the other; what is in one round runs at once. */
type Program = ReadonlyArray<ReadonlyArray<Step | Happening>>

type MemoryFault = 'fail before' | 'fail after' | 'refuse' | 'stale'
const WIRE_FAULTS = {
  resetBefore: faults.resetBefore,
  resetAfter: faults.resetAfter,
  closeAfter: faults.closeAfter,
  empty200: faults.empty200,
  truncate: faults.truncate,
  truncateClean: faults.truncateClean,
  badCrc: faults.badCrc,
  busy: faults.error('InternalServerError', { status: 500 }),
  refused: faults.error('AccessDeniedException')
} as const satisfies Record<string, Fault>

/** A fault, and the number of the call that meets it. */
interface Met { readonly call: number, readonly kind: MemoryFault }

/** Seconds. Short, so that programs cross them. */
const IDLE = 60
const ABSOLUTE = 150
const REISSUE = 6
/** Seconds by which the clocks of the instances go ahead. */
const SKEWS = [0, -3, 4]
/** Seconds for which a read may lag behind a write. The companion lives for ten. */
const LAG = 9
const TOKEN = '__Host-id'

const anyStep: fc.Arbitrary<Step> = fc.record({
  visitor: fc.constantFrom(0, 0, 0, 1, 2),
  instance: fc.nat(SKEWS.length - 1),
  acts: fc.array(fc.constantFrom(...ACTS), { minLength: 1, maxLength: 3 }),
  fails: fc.constantFrom(false, false, false, false, false, true)
})

const anyHappening: fc.Arbitrary<Happening> = fc.constantFrom<Happening>(
  { seconds: 1 }, { seconds: 8 }, { seconds: 20 }, { seconds: 57 }, { seconds: 65 }, 'sweep')

const anyProgram: fc.Arbitrary<Program> = fc.array(
  fc.array(fc.oneof({ weight: 6, arbitrary: anyStep }, { weight: 1, arbitrary: anyHappening }), { minLength: 1, maxLength: 4 }),
  { minLength: 1, maxLength: 5 })

const anyMemoryFaults = fc.array(fc.record({
  call: fc.nat(30), kind: fc.constantFrom<MemoryFault>('fail before', 'fail after', 'refuse', 'stale', 'stale')
}), { maxLength: 4 })

const WIRE_ACTS: readonly Act[] = [
  'own', 'own', 'own', 'pair', 'add', 'add', 'add', 'save', 'new id', 'new id, all kept', 'new id, all kept', 'new id, pair kept', 'destroy'
]

/** Over the wire there are fewer runs, so each begins with a session, and much befalls that one. */
const anyWireProgram: fc.Arbitrary<Program> = fc.array(fc.array(fc.record({
  visitor: fc.constantFrom(0, 0, 0, 0, 1),
  instance: fc.nat(SKEWS.length - 1),
  acts: fc.array(fc.constantFrom<Act>(...WIRE_ACTS), { minLength: 1, maxLength: 2 }),
  fails: fc.constantFrom(false, false, false, false, false, true)
}), { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 2 })
  .map(rounds => [[{ visitor: 0, instance: 0, acts: ['own', 'add'], fails: false }], ...rounds])

const anyWireFaults = fc.array(fc.record({
  action: fc.constantFrom<Action | '*'>('UpdateItem', 'UpdateItem', 'UpdateItem', 'PutItem', 'DeleteItem', '*'),
  call: fc.nat(4),
  kind: fc.constantFrom(...Object.keys(WIRE_FAULTS) as Array<keyof typeof WIRE_FAULTS>)
}), { maxLength: 4 })

type LooseSession = Omit<Session, 'get' | 'set' | 'update' | 'regenerate'> & {
  get (key: string): unknown,
  set (key: string, value: unknown): void
  update (key: string, fn: (value: number | undefined) => number): Promise<number>
  regenerate (keep: Keep): Promise<void>
}

type Keep = boolean | readonly string[]

const PAIR = ['p', 'q'] as const

/** A value that a handler put somewhere. `ackedAt`: when it, or the visitor, was told that it is stored. */
interface Write {
  readonly asked: Asked
  readonly key: string
  readonly mark: string
  readonly at: number
  ackedAt: number
  on: string | undefined
}

interface Increment { readonly asked: Asked, readonly at: number, ackedAt: number, on: string | undefined, value: number }

/** What a handler found, by a read that was not begun before `since`. `key` is undefined where there was no session. */
interface Sight {
  readonly asked: Asked
  readonly since: number
  readonly at: number
  readonly key: string | undefined
  readonly data: Record<string, unknown>
  readonly expiresAt: number | undefined
  /** By the clock of its instance. */
  readonly now: number
}

/** A browser of a visitor: sends a request to any instance, with the cookies of the moment, and keeps what an answer sets. */
class Browser {
  readonly #now: () => number
  readonly #cookies = new Map<string, { readonly value: string, readonly end: number }>()

  constructor (now: () => number) {
    this.#now = now
  }

  cookie (name: string): string | undefined {
    const cookie = this.#cookies.get(name)
    return cookie === undefined || cookie.end <= this.#now() ? undefined : cookie.value
  }

  async send (app: FastifyInstance, url: string): Promise<LightMyRequestResponse> {
    const cookies = [...this.#cookies.keys()].filter(name => this.cookie(name) !== undefined)
    return await app.inject({ url, headers: { cookie: cookies.map(name => `${name}=${this.cookie(name)}`).join('; ') } })
  }

  receive (response: LightMyRequestResponse): void {
    for (const cookie of setCookies(response)) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      const [, life] = /Max-Age=(\d+)/i.exec(cookie) ?? []
      this.#cookies.set(name, { value, end: life === undefined ? Infinity : this.#now() + Number(life) * 1000 })
    }
  }

  /** The session and the version that the companion names. */
  companion (): { readonly name: string, readonly version: number } {
    const [name = '', version = 0] = this.cookie(`${TOKEN}-v`)?.split('.') ?? []
    return { name, version: Number(version) }
  }
}

/** A request and what became of it. */
class Asked {
  readonly step: Step
  readonly number: number
  readonly visitor: Browser
  startedAt = 0
  /** When its answer reached the browser. */
  answeredAt = Infinity
  /** The key of the token that it brought. */
  arrivedKey: string | undefined
  /** Whether its companion names an older version than another that had come before: answers may come out of order. */
  isBehind = false
  /** Why it found no session under its token. */
  found: 'expired' | 'replaced' | undefined
  session: LooseSession | undefined
  readonly writes: Write[] = []
  /** Those that are yet to be saved. */
  pending: Write[] = []
  readonly increments: Increment[] = []
  /** What is kept of the session that is to be replaced. */
  keep: Keep | undefined

  constructor (step: Step, number: number, visitor: Browser) {
    this.step = step
    this.number = number
    this.visitor = visitor
  }

  get name (): string { return this.step.acts.length === 0 ? 'a look at the end' : `request ${this.number}` }
}

/** Where records are, by reads that miss nothing and meet no fault. */
interface Ground {
  look (key: string): Promise<SessionRecord | null>
  all (): Promise<SessionRecord[]>
  sweep (now: number): Promise<void>
}

/** What happened in one program, and what must hold of it. */
class History {
  ms = Date.UTC(2026, 0, 2, 3, 4, 5)
  readonly asked: Asked[] = []
  readonly sights: Sight[] = []
  readonly problems: string[] = []
  /** Every mark that was ever stored under a key. */
  readonly stored = new Map<string, Set<string>>()
  /** From each successor to what it replaced. */
  readonly replaced = new Map<string, string>()
  /** The same of each that was to replace another: where the outcome is not known and no read can tell, it stays with what it keeps. */
  readonly intended = new Map<string, string>()
  /** What each successor keeps. */
  readonly kept = new Map<string, Keep>()
  /** The keys whose tokens were sent. */
  readonly delivered = new Set<string>()
  /** Who set out to end a session. */
  readonly enders = new Map<string, Set<Asked>>()
  /** Sessions whose destruction was acknowledged, with the moment. */
  readonly destroyed = new Map<string, number>()
  /** Keys of which a stale state was read, and keys that were swept. */
  readonly stale = new Set<string>()
  readonly swept = new Set<string>()
  /** The latest version of each session that a companion has told its visitor, by the first characters of the key. */
  readonly told = new Map<string, number>()
  faultsMet = 0
  readonly #scheduler: Scheduler
  readonly #names = new Map<string, string>()
  #moment = 0

  constructor (scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  moment (): number { return ++this.#moment }
  /** What it is by the clock that is behind the others, and by the one ahead. */
  get slowest (): number { return this.ms / 1000 + Math.min(...SKEWS) }
  get fastest (): number { return this.ms / 1000 + Math.max(...SKEWS) }

  /** Stands until the scheduler lets it go on. */
  async turn (label: string): Promise<void> {
    await this.#scheduler.schedule(Promise.resolve(), label)
  }

  claim (holds: boolean, promise: string): void {
    if (!holds) this.problems.push(promise)
  }

  /** A short name for a key, the same in each run of one program. */
  name (key: string): string {
    const name = this.#names.get(key) ?? `s${this.#names.size + 1}`
    this.#names.set(key, name)
    return name
  }

  end (asked: Asked, keys: ReadonlyArray<string | undefined>): void {
    for (const key of keys) if (key !== undefined) this.enders.set(key, (this.enders.get(key) ?? new Set()).add(asked))
  }

  note (record: SessionRecord): void {
    const marks = this.stored.get(record.key) ?? new Set()
    for (const mark of marksIn(JSON.stringify([...record.data]))) marks.add(mark)
    this.stored.set(record.key, marks)
    if (record.next !== undefined) this.replaced.set(record.next, record.key)
  }

  isAlive (record: SessionRecord | null): boolean {
    return record !== null && record.next === undefined && record.expiresAt > this.slowest
  }

  /** The keys from which a session has the value under a key: its own, and those that it replaced and kept this of. */
  lineage (key: string, name: string, replaced: ReadonlyMap<string, string> = this.replaced): string[] {
    const line = [key]
    for (let at = key, keep = this.kept.get(at); keep === true || (Array.isArray(keep) && keep.includes(name)); keep = this.kept.get(at)) {
      const before = replaced.get(at)
      if (before === undefined) break
      line.push(before)
      at = before
    }
    return line
  }

  checkRecord (record: SessionRecord): void {
    const name = this.name(record.key)
    const data = decoded(record)
    const { createdAt, lastSeenAt, expiresAt } = record
    this.claim(expiresAt <= createdAt + ABSOLUTE, `${name} expires ${expiresAt - createdAt} s after its creation`)
    this.claim(expiresAt <= lastSeenAt + IDLE, `${name} expires ${expiresAt - lastSeenAt} s after it was seen`)
    this.claim(data['p'] === data['q'], `${name} holds one of two values that were written together: ${String(data['p'])}, ${String(data['q'])}`)
    this.claim(new Set(marksIn(JSON.stringify(data)).map(visitorOf)).size <= 1, `${name} holds values of two visitors`)
    this.claim(record.next === undefined || record.data.size === 0, `${name} was replaced and holds data`)
    this.claim(!this.destroyed.has(record.key) || !this.isAlive(record), `${name} is alive after an acknowledged destroy`)
  }

  /** What the step from one state of a record to the next may be. */
  checkStep (before: SessionRecord | null, after: SessionRecord): void {
    if (before === null) return
    const name = this.name(after.key)
    this.claim(after.createdAt === before.createdAt, `${name} has another creation`)
    this.claim(before.next === undefined || after.next === before.next, `${name} was replaced twice`)
    this.claim(after.next !== undefined || after.expiresAt >= before.expiresAt, `${name} was shortened`)
    this.claim(after.lastSeenAt >= before.lastSeenAt, `${name} was seen earlier than before`)
    this.claim(after.next !== undefined || after.version - before.version <= 1, `${name} skipped a version`)
  }

  checkSights (): void {
    for (const sight of this.sights) {
      const { asked, key, data } = sight
      const who = `${asked.name} found`
      this.claim(data['p'] === data['q'], `${who} one of two values that were written together`)
      for (const mark of marksIn(JSON.stringify(data))) {
        this.claim(visitorOf(mark) === asked.step.visitor, `${who} ${mark}, a value of another visitor`)
      }
      if (key === undefined) this.claim(Object.keys(data).length === 0, `${who} data in no session`)
      else this.#checkSession(sight, key, who)
    }
  }

  #checkSession (sight: Sight, key: string, who: string): void {
    const { since, data, expiresAt = 0, now } = sight
    const destroyedAt = this.destroyed.get(key) ?? Infinity
    this.claim(since < destroyedAt || this.stale.has(key), `${who} ${this.name(key)}, whose destruction was acknowledged before`)
    this.claim(expiresAt > now, `${who} ${this.name(key)}, which had expired by its own clock`)
    // The browser keeps the companion that came last. Where that is the older one, a read that lags behind passes for up to date.
    if (sight.asked.isBehind && this.stale.has(key)) return
    for (const name of this.#writtenNames(sight.asked.visitor)) this.#checkValue(sight, key, name, who)
    const line = this.lineage(key, 'count')
    const isHere = ({ on }: Increment): boolean => on !== undefined && line.includes(on)
    const wide = this.lineage(key, 'count', new Map([...this.intended, ...this.replaced]))
    const mayBeHere = ({ on }: Increment): boolean => on !== undefined && wide.includes(on)
    const increments = this.asked.filter(({ visitor }) => visitor === sight.asked.visitor).flatMap(({ increments }) => increments)
    const count = Number(data['count'] ?? 0)
    const sure = increments.filter(increment => this.#isKnown(increment, sight) && isHere(increment)).length
    const possible = increments.filter(increment => increment.at < sight.at && (increment.ackedAt === Infinity || mayBeHere(increment))).length
    this.claim(sure <= count && count <= possible, `${who} ${count} in ${this.name(key)} after ${sure} acknowledged of ${possible} increments`)
  }

  /** A value is there from its acknowledgement until a later one takes its place. */
  #checkValue (sight: Sight, key: string, name: string, who: string): void {
    const { asked, data } = sight
    const line = this.lineage(key, name)
    const writes = this.#writesOf(asked.visitor, name).filter(({ mark }) => line.some(key => this.stored.get(key)?.has(mark) === true))
    const found = marksIn(JSON.stringify(data[name] ?? null)).at(-1)
    const source = writes.find(({ mark }) => mark === found)
    this.claim(found === undefined || source !== undefined, `${who} ${String(found)} under ${name}, which was never written there`)
    for (const write of writes) {
      const { mark, at, on } = write
      if (!this.#isKnown(write, sight) || on === undefined || !line.includes(on)) continue
      const isLost = source === undefined || source.ackedAt < at
      this.claim(!isLost, `${who} ${String(found)} under ${name} of ${this.name(key)}, where ${mark} was acknowledged`)
    }
  }

  /** Whether what was seen must show a write. A read that lags behind is noticed where the browser has the answer to the write. */
  #isKnown ({ ackedAt, asked }: Write | Increment, { since, key = '' }: Sight): boolean {
    return (this.stale.has(key) ? Math.max(ackedAt, asked.answeredAt) : ackedAt) < since
  }

  #writesOf (visitor: Browser, name: string): Write[] {
    return this.asked.filter(asked => asked.visitor === visitor).flatMap(({ writes }) => writes).filter(({ key }) => key === name)
  }

  #writtenNames (visitor: Browser): Set<string> {
    return new Set(this.asked.filter(asked => asked.visitor === visitor).flatMap(({ writes }) => writes.map(({ key }) => key)))
  }

  /** Each acknowledged increment of a session had a value of its own. */
  checkIncrements (): void {
    const seen = new Set<string>()
    for (const { name, increments } of this.asked) {
      for (const { on, value, ackedAt } of increments) {
        if (ackedAt === Infinity || on === undefined) continue
        const sum = `${on} ${value}`
        this.claim(!seen.has(sum), `${name} got ${value} from an increment of ${this.name(on)}, as another did`)
        seen.add(sum)
      }
    }
  }

  async checkEnd (ground: Ground, visitors: readonly Browser[], waited: number): Promise<void> {
    const records = await ground.all()
    for (const record of records) {
      this.note(record)
      this.checkRecord(record)
    }
    const orphans = records.filter(({ key, next }) => next === undefined && !this.delivered.has(key))
    this.claim(orphans.length <= this.faultsMet, `${orphans.length} records whose tokens nobody got, after ${this.faultsMet} faults`)
    for (const visitor of visitors) await this.#lookAgain(ground, visitor)
    this.checkSights()
    this.checkIncrements()
    if (waited < IDLE / 2) for (const visitor of visitors) await this.#checkLoggedIn(ground, visitor)
  }

  /** What a visitor would find when all is over. */
  async #lookAgain (ground: Ground, visitor: Browser): Promise<void> {
    const token = visitor.cookie(TOKEN)
    const [first] = this.asked.filter(asked => asked.visitor === visitor)
    if (token === undefined || first === undefined) return
    const record = await ground.look(hash(token))
    if (record === null || !this.isAlive(record)) return
    const asked = new Asked({ ...first.step, acts: [] }, this.asked.length, visitor)
    const { key, expiresAt } = record
    this.sights.push({ asked, since: this.moment(), at: this.moment(), key, data: decoded(record), expiresAt, now: this.slowest })
  }

  /** Nobody is logged out who did not set out to be. */
  async #checkLoggedIn (ground: Ground, visitor: Browser): Promise<void> {
    const asked = this.asked.filter(asked => asked.visitor === visitor)
    if (asked.some(({ step: { acts } }) => mayEnd(acts))) return
    if (!asked.some(({ arrivedKey }) => arrivedKey !== undefined)) return
    const token = visitor.cookie(TOKEN)
    this.claim(token !== undefined, `visitor ${asked[0]?.step.visitor} has lost the token`)
    if (token === undefined) return
    const record = await ground.look(hash(token))
    this.claim(this.isAlive(record), `visitor ${asked[0]?.step.visitor} holds the token of ${this.name(hash(token))}, which is dead`)
  }
}

/** Whether a request may leave its visitor without a session. */
function mayEnd (acts: readonly Act[]): boolean {
  if (acts.includes('destroy')) return true
  const last = acts.findLastIndex(act => act.startsWith('new id'))
  return last !== -1 && !acts.slice(last).some(act => act === 'own' || act === 'pair')
}

function marksIn (text: string): string[] {
  return text.match(/v\d+:\d+\.\d+/g) ?? []
}

function visitorOf (mark: string): number {
  return Number(mark.slice(1, mark.indexOf(':')))
}

function decoded (record: SessionRecord): Record<string, unknown> {
  return Object.fromEntries([...record.data].map(([key, { S = 'null' }]) => [key, JSON.parse(S) as unknown]))
}

/** What each act does, to the session and to the account of it. */
async function perform (history: History, asked: Asked, session: LooseSession, act: Act): Promise<void> {
  switch (act) {
    case 'own': return write([`own${asked.number}`])
    case 'pair': return write(PAIR)
    case 'nest': return nest()
    case 'add': return await add()
    case 'touch': return session.touch()
    case 'save': return await save()
    case 'reload': return await reload()
    case 'new id': return await regenerate(false)
    case 'new id, all kept': return await regenerate(true)
    case 'new id, pair kept': return await regenerate(PAIR)
    case 'destroy': return await destroy()
    case 'read':
  }

  function note (key: string, mark: string): void {
    const write = { asked, key, mark, at: history.moment(), ackedAt: Infinity, on: undefined }
    asked.writes.push(write)
    asked.pending.push(write)
  }

  function newMark (): string {
    return `v${asked.step.visitor}:${asked.number}.${asked.writes.length}`
  }

  function write (keys: readonly string[]): void {
    const mark = newMark()
    for (const key of keys) {
      session.set(key, mark)
      note(key, mark)
    }
  }

  function nest (): void {
    const mark = newMark()
    const list = session.get('nest')
    if (Array.isArray(list)) list.push(mark)
    else session.set('nest', [mark])
    note('nest', mark)
  }

  async function add (): Promise<void> {
    const increment: Increment = { asked, at: history.moment(), ackedAt: Infinity, on: undefined, value: 0 }
    asked.increments.push(increment)
    increment.value = await session.update('count', count => (count ?? 0) + 1)
    increment.on = session.loggableId
    increment.ackedAt = history.moment()
    carriedOut(history, asked, session)
  }

  async function save (): Promise<void> {
    const { pending } = asked
    await session.save()
    acknowledge(history, pending, session)
    asked.pending = []
    carriedOut(history, asked, session)
  }

  async function reload (): Promise<void> {
    if (session.isNew) return
    const since = history.moment()
    asked.pending = []
    await session.reload()
    look(history, asked, session, since)
  }

  async function regenerate (keep: Keep): Promise<void> {
    history.end(asked, [session.loggableId])
    await session.regenerate(keep)
    asked.keep = asked.keep === undefined ? keep : narrower(asked.keep, keep)
    asked.pending = asked.pending.filter(({ key }) => keep === true || (Array.isArray(keep) && keep.includes(key)))
  }

  async function destroy (): Promise<void> {
    const keys = [asked.arrivedKey, session.loggableId]
    history.end(asked, keys)
    await session.destroy()
    const at = history.moment()
    asked.pending = []
    asked.keep = undefined
    for (const key of keys) await buried(history, key, at)
  }
}

function narrower (first: Keep, second: Keep): Keep {
  if (first === true) return second
  if (second === true) return first
  return first !== false && second !== false ? first : false
}

function acknowledge (history: History, writes: readonly Write[], session: LooseSession | undefined): void {
  const ackedAt = history.moment()
  for (const write of writes) Object.assign(write, { ackedAt, on: session?.loggableId })
}

function carriedOut (history: History, asked: Asked, session: LooseSession | undefined): void {
  if (asked.keep !== undefined && session?.loggableId !== undefined) history.kept.set(session.loggableId, asked.keep)
  asked.keep = undefined
}

/** A destroyed session is gone for good, and so is what has replaced it. */
async function buried (history: History, first: string | undefined, at: number): Promise<void> {
  for (let key = first; key !== undefined;) {
    const record = await stage.ground.look(key)
    if (!history.destroyed.has(key)) history.destroyed.set(key, at)
    history.claim(!history.isAlive(record), `${history.name(key)} is alive when its destroy resolves`)
    key = record?.next
  }
}

async function reasonOf (history: History, { arrivedKey = '', step, isBehind, name }: Asked): Promise<Asked['found']> {
  const record = await stage.ground.look(arrivedKey)
  if (record === null) return undefined
  if (record.next !== undefined) return 'replaced'
  if (record.expiresAt <= history.ms / 1000 + (SKEWS[step.instance] ?? 0)) return 'expired'
  // One that is older may have been found expired by this clock, and prolonged by another since.
  const isOld = record.createdAt + IDLE <= history.fastest
  history.claim(isOld || (isBehind && history.stale.has(arrivedKey)), `${name} found no session under the token of ${history.name(arrivedKey)}, which is alive`)
  return undefined
}

function look (history: History, asked: Asked, session: LooseSession, since: number): void {
  const now = history.ms / 1000 + (SKEWS[asked.step.instance] ?? 0)
  const { isNew, loggableId, expiresAt } = session
  history.sights.push({
    asked, since, at: history.moment(), key: isNew ? undefined : loggableId, data: session.data() as Record<string, unknown>, expiresAt, now
  })
}

/** The instances of an application, which serve one program after the other. */
interface Stage { readonly apps: readonly FastifyInstance[], history: History, ground: Ground }

let stage: Stage

async function startInstances (options: Partial<DynamoSessionOptions>): Promise<FastifyInstance[]> {
  return await Promise.all(SKEWS.map(async skew => {
    const app: FastifyInstance = Fastify()
    await app.register(dynamoSession, {
      table: 'sessions',
      verify: false,
      idleTimeout: IDLE,
      absoluteTimeout: ABSOLUTE,
      reissueTime: REISSUE,
      now: () => (stage?.history.ms ?? 0) + skew * 1000,
      ...options
    })
    app.get<{ Params: { number: number } }>('/:number', async request => {
      const { history } = stage
      const asked = history.asked[request.params.number] as Asked
      const session = request.session as unknown as LooseSession
      asked.session = session
      if (session.isNew) asked.found = await reasonOf(history, asked)
      look(history, asked, session, asked.startedAt)
      for (const act of asked.step.acts) await perform(history, asked, session, act)
      if (asked.step.fails) throw new Error('The handler failed by itself.')
      return {}
    })
    await app.ready()
    return app
  }))
}

async function send (history: History, step: Step, visitor: Browser): Promise<void> {
  const asked = new Asked(step, history.asked.length, visitor)
  history.asked.push(asked)
  await history.turn(`${asked.name} by visitor ${step.visitor} to instance ${step.instance}: ${step.acts.join(', ')}${step.fails ? ', fails' : ''}`)
  asked.startedAt = history.moment()
  const token = visitor.cookie(TOKEN)
  asked.arrivedKey = token === undefined ? undefined : hash(token)
  const arrived = asked.arrivedKey?.slice(0, 8) ?? ''
  const companion = visitor.companion()
  asked.isBehind = (companion.name === arrived ? companion.version : 0) < (history.told.get(arrived) ?? 0)
  const response = await visitor.send(stage.apps[step.instance] as FastifyInstance, `/${asked.number}`)
  await checkAnswer(history, asked, response)
  await history.turn(`answer to ${asked.name}: ${response.statusCode}`)
  visitor.receive(response)
  asked.answeredAt = history.moment()
  const { name, version } = visitor.companion()
  history.told.set(name, Math.max(version, history.told.get(name) ?? 0))
  if (response.statusCode === 200) acknowledge(history, asked.pending, asked.session)
}

/** What holds of an answer at the moment when it leaves. */
async function checkAnswer (history: History, asked: Asked, response: LightMyRequestResponse): Promise<void> {
  const { statusCode, body } = response
  const { name, step, session, pending } = asked
  const isOwnFailure = statusCode === 500 && step.fails && body.includes('by itself')
  history.claim([200, 409, 503].includes(statusCode) || isOwnFailure, `${name} was answered ${statusCode} ${body}`)
  carriedOut(history, asked, session)
  for (const cookie of setCookies(response)) {
    const [, token] = /^__Host-id=([^;]+);/.exec(cookie) ?? []
    if (token !== undefined) await checkToken(history, asked, hash(token))
  }
  if (statusCode !== 200 || pending.length === 0) return
  const record = await stage.ground.look(session?.loggableId ?? '')
  if (record === null || record.next !== undefined || record.expiresAt <= history.fastest) return await checkDrop(history, asked)
  const last = pending.findLast(({ key }) => key.startsWith('own'))
  if (last === undefined) return
  history.claim(decoded(record)[last.key] === last.mark, `${name} was answered 200, and ${last.mark} is not in ${history.name(record.key)}`)
}

/** Changes are dropped without a word to the visitor only where somebody ended the session. */
async function checkDrop (history: History, asked: Asked): Promise<void> {
  for (const record of await stage.ground.all()) history.note(record)
  const key = asked.session?.loggableId
  const line = [key, asked.arrivedKey].flatMap(key => key === undefined ? [] : [key, ...ancestors(history, key)])
  const isEnded = line.some(key => history.enders.has(key) || history.swept.has(key))
  const records = await Promise.all(line.map(async key => await stage.ground.look(key)))
  const isExpired = records.some(record => record !== null && record.expiresAt <= history.fastest)
  history.claim(isEnded || isExpired, `${asked.name} was answered 200, its changes are nowhere, and nobody ended the session`)
}

/** A token that is sent loads, unless somebody ended that session meanwhile. */
async function checkToken (history: History, asked: Asked, key: string): Promise<void> {
  history.delivered.add(key)
  const record = await stage.ground.look(key)
  if (history.isAlive(record)) return
  for (const record of await stage.ground.all()) history.note(record)
  const others = [key, ...ancestors(history, key)].flatMap(key => [...history.enders.get(key) ?? []]).filter(ender => ender !== asked)
  const isExpired = record !== null && record.expiresAt <= history.slowest
  history.claim(others.length > 0 || isExpired || history.swept.has(key), `${asked.name} sent the token of ${history.name(key)}, which is dead`)
}

function ancestors (history: History, key: string): string[] {
  const before = history.replaced.get(key)
  return before === undefined ? [] : [before, ...ancestors(history, before)]
}

/** Carries out a program. Every request ends, or the property runs out of time. `rest` gives a request time to get on. */
async function carryOut (history: History, program: Program, scheduler: Scheduler, rest: () => Promise<unknown>): Promise<Browser[]> {
  const visitors = [1, 2, 3].map(() => new Browser(() => history.ms))
  for (const round of program) {
    let open = round.length
    const all = Promise.all(round.map(async event => {
      await begin(history, event, visitors)
      open -= 1
    }))
    await scheduler.waitFor(all, async act => {
      // Until each waits for its turn, save those that wait for each other.
      for (let times = 0; times < LONGEST_REST && scheduler.count() < open; times++) await rest()
      await act()
    })
  }
  return visitors
}

async function begin (history: History, event: Step | Happening, visitors: readonly Browser[]): Promise<void> {
  if (event === 'sweep') {
    await history.turn('sweep')
    await stage.ground.sweep(history.ms / 1000)
  } else if ('acts' in event) {
    await send(history, event, visitors[event.visitor] as Browser)
  } else {
    await history.turn(`${event.seconds} s pass`)
    history.ms += event.seconds * 1000
  }
}

function waited (program: Program): number {
  return program.flat().reduce((sum, event) => sum + (typeof event === 'object' && 'seconds' in event ? event.seconds : 0), 0)
}

/** Records in memory, for all instances at once: each call waits for its turn before it takes effect and before it is answered. */
class MemoryTable implements Repository, Ground {
  readonly #history: History
  readonly #faults: Array<Met>
  readonly #inner = memoryRepository()
  readonly #keys = new Set<string>()
  /** What each record was before its last write, and when that was. */
  readonly #previous = new Map<string, { readonly record: SessionRecord | null, readonly at: number }>()
  #calls = 0

  constructor (history: History, faults: ReadonlyArray<Met>) {
    this.#history = history
    this.#faults = [...faults]
  }

  async look (key: string): Promise<SessionRecord | null> {
    return this.#history.swept.has(key) ? null : await this.#inner.load(key, true)
  }

  async all (): Promise<SessionRecord[]> {
    const records = await Promise.all([...this.#keys].map(async key => await this.look(key)))
    return records.filter(record => record !== null)
  }

  async sweep (now: number): Promise<void> {
    for (const { key, expiresAt } of await this.all()) if (expiresAt <= now) this.#history.swept.add(key)
  }

  load: Repository['load'] = async (key, consistent) => {
    const found = await this.#call(consistent ? 'load (strong)' : 'load', key, async fault => {
      const previous = this.#previous.get(key)
      if (fault !== 'stale' || consistent || previous === undefined) return await this.look(key)
      if (previous.at + LAG * 1000 < this.#history.ms) return await this.look(key)
      this.#history.stale.add(key)
      return previous.record
    })
    // Who has joined this read since then may have begun after what was written meanwhile.
    if (!consistent && !isDeepStrictEqual(found, await this.look(key))) this.#history.stale.add(key)
    return found
  }

  create: Repository['create'] = async (record, now) => {
    return await this.#write('create', record.key, false, async () => {
      this.#keys.add(record.key)
      return await this.#inner.create(record, now)
    })
  }

  save: Repository['save'] = async (key, change) => {
    const answer = async () => ({ done: false as const, record: await this.look(key) })
    return await this.#write('save', key, answer, async () => await this.#inner.save(key, change), change.now)
  }

  touch: Repository['touch'] = async (key, renewal, now) => {
    return await this.#write('touch', key, false, async () => await this.#inner.touch(key, renewal, now), now)
  }

  replace: Repository['replace'] = async (key, replacement) => {
    this.#history.intended.set(replacement.next, key)
    const answer = async () => ({ done: false as const, record: await this.look(key) })
    return await this.#write('replace', key, answer, async () => await this.#inner.replace(key, replacement), replacement.now)
  }

  destroy: Repository['destroy'] = async key => {
    return await this.#call('destroy', key, async () => {
      const before = await this.look(key)
      const next = this.#history.swept.has(key) ? undefined : await this.#inner.destroy(key)
      if (before !== null && next === undefined) this.#previous.set(key, { record: before, at: this.#history.ms })
      return next
    })
  }

  /** A write that may be refused, and is observed. `now`: the clock by which the record must be alive. */
  async #write<T> (method: string, key: string, refusal: T | (() => Promise<T>), act: () => Promise<T>, now = 0): Promise<T> {
    const refuse = async (): Promise<T> => typeof refusal === 'function' ? await (refusal as () => Promise<T>)() : refusal
    return await this.#call(method, key, async fault => {
      const before = await this.look(key)
      if (fault === 'refuse' || this.#history.swept.has(key)) return await refuse()
      const answer = await act()
      const after = await this.look(key)
      if (after !== null && !isDeepStrictEqual(before, after)) this.#observe(before, after, now)
      return answer
    })
  }

  #observe (before: SessionRecord | null, after: SessionRecord, now: number): void {
    const wasDead = before !== null && before.next === undefined && before.expiresAt <= now
    this.#history.claim(!wasDead, `${this.#history.name(after.key)} was written after it had expired`)
    this.#previous.set(after.key, { record: before, at: this.#history.ms })
    this.#history.note(after)
    this.#history.checkStep(before, after)
    this.#history.checkRecord(after)
  }

  async #call<T> (method: string, key: string, act: (fault: MemoryFault | undefined) => Promise<T>): Promise<T> {
    const history = this.#history
    const number = this.#calls++
    const fault = this.#faults.find(({ call }) => call === number)?.kind
    const label = `${method} ${history.name(key)}${fault === undefined ? '' : `, ${fault}`}`
    await history.turn(label)
    if (fault !== undefined) history.faultsMet += 1
    if (fault === 'fail before') throw new errors.Unavailable({ cause: new Error('cut off before') })
    const answer = await act(fault)
    await history.turn(`answer to ${label}`)
    if (fault === 'fail after') throw new errors.Unavailable({ cause: new Error('cut off after') })
    return answer
  }
}

/** A client for all programs, which goes on to the table of the present one. */
const presentTable: Repository = {
  load: async (...args) => await (stage.ground as MemoryTable).load(...args),
  create: async (...args) => await (stage.ground as MemoryTable).create(...args),
  save: async (...args) => await (stage.ground as MemoryTable).save(...args),
  touch: async (...args) => await (stage.ground as MemoryTable).touch(...args),
  replace: async (...args) => await (stage.ground as MemoryTable).replace(...args),
  destroy: async (...args) => await (stage.ground as MemoryTable).destroy(...args)
}

function watchRejections (t: Test): unknown[] {
  const rejections: unknown[] = []
  const listen = (reason: unknown): void => { rejections.push(reason) }
  process.on('unhandledRejection', listen)
  t.teardown(() => process.off('unhandledRejection', listen))
  return rejections
}

function assertKept (history: History): void {
  if (history.problems.length > 0) throw new Error([...new Set(history.problems)].join('\n'))
}

const LONGEST_REST = 10
const MEMORY_RUNS = 250
const WIRE_RUNS = 20

t.test('on a repository in memory, whatever happens in whatever order, the promises hold', async t => {
  const rejections = watchRejections(t)
  const apps = await startInstances({ client: presentTable })
  t.teardown(async () => { for (const app of apps) await app.close() })
  await fc.assert(fc.asyncProperty(anyProgram, anyMemoryFaults, fc.scheduler(),
    async (program, faults, scheduler) => {
      const history = new History(scheduler)
      const table = new MemoryTable(history, faults)
      stage = { apps, history, ground: table }
      const visitors = await carryOut(history, program, scheduler, nextTurn)
      await history.checkEnd(table, visitors, waited(program))
      assertKept(history)
    }), { numRuns: MEMORY_RUNS, timeout: 10_000 })
  t.same(rejections, [], 'no rejection went unhandled')
})

/** Items of a table, past the proxy. */
class WireTable implements Ground {
  readonly #client: DynamoDBClient
  readonly #layout: Layout

  constructor (endpoint: string, table: string) {
    this.#client = new DynamoDBClient(clientConfig(endpoint))
    this.#layout = { table, partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires' }
  }

  async look (key: string): Promise<SessionRecord | null> {
    if (key === '') return null
    const { Item } = await this.#client.send(new GetItemCommand({ TableName: this.#layout.table, Key: { id: { S: key } }, ConsistentRead: true }))
    return Item === undefined ? null : fromItem(Item, key, this.#layout)
  }

  async all (): Promise<SessionRecord[]> {
    const items: Item[] = []
    const { table: TableName } = this.#layout
    for await (const { Items = [] } of paginateScan({ client: this.#client }, { TableName, ConsistentRead: true })) items.push(...Items)
    return items.map(item => fromItem(item, item['id']?.S ?? '', this.#layout)).filter(record => record !== null)
  }

  /** This engine sweeps nothing. */
  async sweep (): Promise<void> {}

  close (): void { this.#client.destroy() }
}

t.test('on a table behind a network that fails, they hold as well', async t => {
  const rejections = watchRejections(t)
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  const name = await createTable(engine)
  const apps = await startInstances({ table: name, client: clientConfig(proxy.endpoint) })
  const table = new WireTable(engine.endpoint, name)
  t.teardown(async () => {
    for (const app of apps) await app.close()
    table.close()
    await proxy.close()
    await engine.close()
  })
  const known = new Set<string>()
  await fc.assert(fc.asyncProperty(anyWireProgram, anyWireFaults, fc.scheduler(), async (program, met, scheduler) => {
    const history = new History(scheduler)
    // Of earlier programs there is nothing to be said any more.
    const ground: Ground = {
      look: async key => await table.look(key),
      all: async () => (await table.all()).filter(({ key }) => !known.has(key)),
      sweep: async () => {}
    }
    stage = { apps, history, ground }
    proxy.take()
    proxy.intercept = async action => {
      await history.turn(action)
      return undefined
    }
    const rules = met.map(({ action, call, kind }) => proxy.meet({ action, letBy: call }, WIRE_FAULTS[kind]))
    try {
      const visitors = await carryOut(history, program, scheduler, async () => await sleep(1))
      history.faultsMet = rules.reduce((sum, rule) => sum + rule.met, 0)
      for (const call of proxy.takeCalls()) if (call.status === 200) noteCall(history, call)
      await history.checkEnd(ground, visitors, waited(program))
    } finally {
      for (const rule of rules) rule.remove()
      proxy.intercept = () => undefined
      for (const { key } of await table.all()) known.add(key)
    }
    assertKept(history)
  }), { numRuns: WIRE_RUNS, timeout: 10_000 })
  t.same(rejections, [], 'no rejection went unhandled')
})

t.test('a log-out with a replaced token ends the successor, also where it has asked for a new id before', async t => {
  const app: FastifyInstance = Fastify()
  t.teardown(async () => await app.close())
  await app.register(dynamoSession, { table: 'sessions', client: memoryRepository() })
  app.get('/set', async ({ session }) => { session.set('userId', 'u-1') })
  app.get('/new-id', async ({ session }) => { await session.regenerate(true) })
  app.get('/end', async ({ session }) => {
    await session.regenerate()
    await session.destroy()
  })
  const [before, after] = [new Browser(Date.now), new Browser(Date.now)]
  before.receive(await before.send(app, '/set'))
  after.receive(await before.send(app, '/new-id'))
  const id = after.cookie(TOKEN) ?? ''
  t.not(await app.sessions.load(id), null, 'the successor is there')
  t.equal((await before.send(app, '/end')).statusCode, 200)
  t.equal(await app.sessions.load(id), null, 'and is not, after an acknowledged log-out')
})

/** What an applied call has put into a record. */
function noteCall (history: History, { action, input }: Call): void {
  if (action !== 'PutItem' && action !== 'UpdateItem') return
  const key = String((input['Item'] ?? input['Key']).id.S)
  history.stored.set(key, new Set([...history.stored.get(key) ?? [], ...marksIn(JSON.stringify(input))]))
}
