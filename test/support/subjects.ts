import cookie, { Signer } from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type InjectOptions, type LightMyRequestResponse } from 'fastify'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { callbackify } from 'node:util'
import dynamoSession, { errors, type Repository, type Session } from '../../index.js'
import { memoryRepository } from '../../testing/index.js'
import { Clock, LogLines } from './app.js'
import { Visitor } from './visitor.js'
import './session-data.js'

// Without its types, which declare request.session once more.
const fastifySession = createRequire(import.meta.url)('@fastify/session') as FastifyPluginCallback<Record<string, unknown>>

const SECRET = 'a secret of more than thirty-two characters'

/** What a plugin asks of its storage. */
type Operation = 'read' | 'write' | 'delete'

/** Which calls are meant: of one kind, those that change what is stored, or all. */
type Choice = Operation | 'change' | 'any'

/** A call that stops before it takes effect. */
export interface Hold {
  readonly reached: Promise<void>
  release (): void
}

interface Rule { readonly choice: Choice, times: number, isMet: boolean, readonly meet: () => Promise<void> }

/** What goes between a plugin and its storage: counted, held at gates, and made to fail. */
export class Traffic {
  #counts: Record<Operation, number> = { read: 0, write: 0, delete: 0 }
  readonly #rules: Rule[] = []
  readonly #failure: () => Error
  #holding = 0

  /** `failure` makes what a call of this storage rejects with. */
  constructor (failure: () => Error) {
    this.#failure = failure
  }

  /** The calls since the last look. */
  take (): Record<Operation, number> {
    const counts = this.#counts
    this.#counts = { read: 0, write: 0, delete: 0 }
    return counts
  }

  /** The next call of this kind stops. */
  hold (choice: Choice): Hold {
    const [reached, reach] = signal()
    const [released, release] = signal()
    this.#rule(choice, 1, async () => {
      this.#holding += 1
      reach()
      await released
      this.#holding -= 1
    })
    return { reached, release }
  }

  /** The next calls fail without effect, until `recover` is called or `times` are over. */
  fail (choice: Choice, times = Infinity): { recover: () => void } {
    const rule = this.#rule(choice, times, async () => { throw this.#failure() })
    return { recover: () => { rule.times = 0 } }
  }

  async pass<T> (operation: Operation, run: () => T | Promise<T>): Promise<T> {
    this.#counts[operation] += 1
    const rule = this.#ruleFor(operation)
    // No store answers in the same turn.
    await nextTurn()
    await rule?.meet()
    return await run()
  }

  /** A rule that nothing met, or a call that is still held, shows a test that did not do what it says. */
  assertOver (): void {
    const unmet = this.#rules.filter(({ isMet }) => !isMet).map(({ choice }) => choice)
    if (unmet.length > 0 || this.#holding > 0) throw new Error(`Not met: ${unmet.join(', ') || 'none'}. Still held: ${this.#holding}.`)
  }

  #rule (choice: Choice, times: number, meet: Rule['meet']): Rule {
    const rule: Rule = { choice, times, isMet: false, meet }
    this.#rules.push(rule)
    return rule
  }

  #ruleFor (operation: Operation): Rule | undefined {
    const rule = this.#rules.find(({ choice, times }) => times > 0 && isChosen(choice, operation))
    if (rule === undefined) return undefined
    rule.times -= 1
    rule.isMet = true
    return rule
  }
}

function isChosen (choice: Choice, operation: Operation): boolean {
  return choice === 'any' || choice === operation || (choice === 'change' && operation !== 'read')
}

function signal (): [Promise<void>, () => void] {
  let give = (): void => {}
  const given = new Promise<void>(resolve => { give = resolve })
  return [given, give]
}

/** What a store holds, past the gates. */
interface Contents {
  /** The keys of the records that may be used: not those that are only marked as replaced. */
  keys (): Promise<string[]>
  /** Everything that is stored, as text. */
  text (): Promise<string>
  /** Deletes every record, as a sweep by TTL does. */
  sweep (): Promise<void>
}

/** An application with a session plugin, the same routes whichever plugin it is, and its storage in hand. */
export interface Subject extends Contents {
  readonly log: LogLines
  /** This plugin's clock. The other one has the computer's, by which its sessions end with the browser. */
  readonly clock: Clock
  readonly traffic: Traffic
  readonly cookieName: string
  /** Signs an id as the plugin does. */
  readonly sign: (id: string) => string
  /** The streams that were answered with. */
  readonly streams: Readable[]
  /** The same application once more on the same storage, as another process has it. */
  another (): Promise<FastifyInstance>
  visitor (): Visitor
  /** The data that a request with exactly this Cookie header sees. Nobody's jar learns of it. */
  open (cookieHeader: string): Promise<Record<string, unknown>>
  close (): Promise<void>
}

/** This plugin on a repository in memory. */
export async function ours (): Promise<Subject> {
  const traffic = new Traffic(() => new errors.Unavailable({ cause: new Error('The table is down.') }))
  const inner = memoryRepository()
  const known = new Set<string>()
  const through = <Args extends unknown[], T> (operation: Operation, run: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => await traffic.pass(operation, async () => await run(...args))
  const client: Repository = {
    load: through('read', async (...args) => await inner.load(...args)),
    create: through('write', async (record, now) => {
      known.add(record.key)
      return await inner.create(record, now)
    }),
    save: through('write', async (...args) => await inner.save(...args)),
    touch: through('write', async (...args) => await inner.touch(...args)),
    replace: through('write', async (...args) => await inner.replace(...args)),
    destroy: through('delete', async key => await inner.destroy(key))
  }
  const records = async () => (await Promise.all([...known].map(async key => await inner.load(key, true)))).filter(record => record !== null)
  const contents: Contents = {
    keys: async () => (await records()).filter(({ next }) => next === undefined).map(({ key }) => key),
    text: async () => JSON.stringify(await records(), (_name, value: unknown) => value instanceof Map ? [...value] : value),
    sweep: async () => { for (const { key } of await records()) await inner.destroy(key) }
  }
  const increment = async (session: Session): Promise<void> => { await session.update('count', (count = 0) => count + 1) }
  return await build('__Host-id', traffic, contents, increment, async (app, clock) => {
    await app.register(dynamoSession, { table: 'sessions', client, secrets: SECRET, now: clock.now })
  })
}

/** @fastify/session with its defaults, on about the simplest store that is correct: whole sessions as text, by their ids. */
export async function theirs (): Promise<Subject> {
  const traffic = new Traffic(() => new Error('The store is down.'))
  const records = new Map<string, string>()
  const read = async (id: string): Promise<unknown> => await traffic.pass('read', () => JSON.parse(records.get(id) ?? 'null'))
  const write = async (id: string, text: string): Promise<void> => { await traffic.pass('write', () => { records.set(id, text) }) }
  const remove = async (id: string): Promise<void> => { await traffic.pass('delete', () => { records.delete(id) }) }
  const store = {
    get: callbackify(read),
    // What is stored is the session as it is at the call.
    set: (id: string, session: object, callback: (error: Error | null) => void): void => {
      callbackify(write)(id, JSON.stringify(session), callback)
    },
    destroy: callbackify(remove)
  }
  const contents: Contents = {
    keys: async () => [...records.keys()],
    text: async () => JSON.stringify([...records]),
    sweep: async () => { records.clear() }
  }
  const increment = async (session: Session): Promise<void> => { session.set('count', (session.get('count') ?? 0) + 1) }
  return await build('sessionId', traffic, contents, increment, async app => {
    await app.register(cookie)
    await app.register(fastifySession, { secret: SECRET, store })
  })
}

async function build (
  cookieName: string, traffic: Traffic, contents: Contents, increment: (session: Session) => Promise<void>,
  register: (app: FastifyInstance, clock: Clock) => Promise<void>
): Promise<Subject> {
  const log = new LogLines()
  const clock = new Clock()
  const streams: Readable[] = []
  const apps: FastifyInstance[] = []
  const another = async (): Promise<FastifyInstance> => {
    const app = Fastify({ logger: { level: 'warn', stream: log }, trustProxy: true })
    apps.push(app)
    await register(app, clock)
    addRoutes(app, streams, increment)
    await app.ready()
    return app
  }
  const app = await another()
  const signer = new Signer(SECRET)
  return {
    another,
    log,
    clock,
    traffic,
    cookieName,
    streams,
    ...contents,
    sign: id => signer.sign(id),
    visitor: () => new SecureVisitor(app, clock.now),
    open: async cookie => (await new SecureVisitor(app, clock.now).get('/me', { headers: { cookie } })).json<Record<string, unknown>>(),
    close: async () => {
      await Promise.all(apps.map(async app => { await app.close() }))
      for (const stream of streams) stream.destroy()
      traffic.assertOver()
    }
  }
}

/** A browser that speaks https, as a proxy in front of the application reports. */
class SecureVisitor extends Visitor {
  override async send (options: InjectOptions, ...rest: [app?: FastifyInstance]): Promise<LightMyRequestResponse> {
    return await super.send({ ...options, headers: { 'x-forwarded-proto': 'https', ...options.headers } }, ...rest)
  }
}

const KEYS = ['userId', 'count', 'any:a', 'any:b'] as const

/** Both plugins have `get`, `set`, `touch`, `regenerate` and `destroy`; one of them makes a new object in `regenerate`. */
function addRoutes (app: FastifyInstance, streams: Readable[], increment: (session: Session) => Promise<void>): void {
  app.get('/nothing', async () => 'nothing')
  app.get('/off', { config: { session: false } }, async () => 'off')
  app.get('/me', async ({ session }) => Object.fromEntries(KEYS.map(key => [key, session.get(key)])))
  app.get('/touch', async request => { request.session.touch() })
  app.post('/set', async request => {
    for (const [key, value] of Object.entries(request.body as object)) request.session.set(key as 'any:a', value)
  })
  app.post('/set-and-fail', async request => {
    request.session.set('any:a', 1)
    throw new Error('broken')
  })
  app.post('/increment', async request => { await increment(request.session) })
  app.post('/login', async request => {
    await request.session.regenerate()
    request.session.set('userId', 'u-42')
  })
  app.post('/logout', async request => { await request.session.destroy() })
  app.get('/stream', async (request, reply) => {
    request.session.set('any:a', 1)
    const stream = new Readable({ read () {} })
    streams.push(stream)
    return await reply.send(stream)
  })
  app.get('/set-while-streaming', async (request, reply) => {
    async function * parts () {
      yield 'one'
      request.session.set('any:a', 1)
      yield 'two'
    }
    return await reply.send(Readable.from(parts()))
  })
  app.get('/set-and-hijack', async (request, reply) => {
    reply.hijack()
    request.session.set('any:a', 1)
    reply.raw.end('sent')
  })
  app.get('/set-after-answer', async (request, reply) => {
    reply.send('sent')
    await reply
    request.session.set('any:a', 1)
  })
}
