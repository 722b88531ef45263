import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CallReport } from '../index.js'
import { Ledger } from './ledger.js'
import { kindOf } from './spending.js'

/** One DynamoDB call of a request, copied from the report of a tracing channel. */
export interface CallLine {
  /** What the call was made for: the name of its channel. */
  readonly operation: string
  readonly action: string
  readonly isRead: boolean
  readonly consistent: boolean
  /** Capacity units; undefined where none were told. */
  readonly capacity: number | undefined
  /** Whether nothing was written because a condition was not met. AWS charges for that too, and does not tell what. */
  readonly isRefused: boolean
  /** Milliseconds. */
  readonly duration: number
}

/** One request with the calls that it made. */
export interface RequestLine {
  readonly method: string
  readonly path: string
  /** Undefined while the answer is being made. */
  status: number | undefined
  readonly calls: CallLine[]
  /** Of the session's item, as far as a call has told. */
  itemBytes: number
}

const OPERATIONS = ['load', 'create', 'save', 'touch', 'regenerate', 'destroy', 'revoke', 'bind', 'list']
/** Those whose item is the list of a user, not a session. */
const OF_LISTS = ['bind', 'list']
const READS = ['GetItem', 'BatchGetItem', 'Query']
const KEPT = 14
const LONGEST_PATH = 60
/** What the page itself needs: it would push out what somebody wants to see. */
const UNSEEN = /^\/(assets\/|events$)/

/** The latest requests with their calls, and what all of them have spent. */
export class Watch {
  /** Newest first. */
  readonly lines: RequestLine[] = []
  readonly ledger = new Ledger()
  /** Emits `change`. */
  readonly changes = new EventEmitter().setMaxListeners(0)
  readonly #current = new AsyncLocalStorage<RequestLine>()
  readonly #withSession = new WeakSet<FastifyRequest>()
  readonly #known = new WeakSet<FastifyRequest>()
  readonly #lineOf = new WeakMap<FastifyRequest, RequestLine>()
  readonly #cookieName: string

  constructor (app: FastifyInstance, cookieName: string) {
    this.#cookieName = cookieName
    app.addHook('onRequest', (request, _reply, done) => {
      if (request.routeOptions.config.session !== false) this.#withSession.add(request)
      const path = request.url.replace(/\?.*/, '').slice(0, LONGEST_PATH)
      if (UNSEEN.test(path)) return done()
      this.#current.run(this.#begin(request, path), done)
    })
    app.addHook('preHandler', async request => {
      if (this.hasSession(request) && request.session.id !== undefined) this.#known.add(request)
    })
    app.addHook('onResponse', async (request, reply) => { this.#end(request, reply.statusCode) })
    this.#listen(app)
  }

  /** Whether a request came to a route with a session. For a file that is missing, the route is another one afterwards. */
  hasSession (request: FastifyRequest): boolean {
    return this.#withSession.has(request)
  }

  /** Whether a request brought a token, of whatever session. */
  hasToken ({ headers }: FastifyRequest): boolean {
    return (headers.cookie ?? '').split(/; */).some(part => part.startsWith(`${this.#cookieName}=`))
  }

  #begin (request: FastifyRequest, path: string): RequestLine {
    const line: RequestLine = { method: request.method, path, status: undefined, calls: [], itemBytes: 0 }
    this.lines.unshift(line)
    this.lines.splice(KEPT)
    this.#lineOf.set(request, line)
    return line
  }

  #end (request: FastifyRequest, status: number): void {
    const line = this.#lineOf.get(request)
    if (line === undefined) return
    line.status = status
    // What others would do while their store is down is another question.
    if (this.hasSession(request) && status < 500) {
      const operations = line.calls.map(({ operation }) => operation)
      const kind = kindOf({ hasToken: this.hasToken(request), isKnown: this.#known.has(request), operations })
      this.ledger.enter(line, kind)
    }
    this.changes.emit('change')
  }

  #listen (app: FastifyInstance): void {
    for (const operation of OPERATIONS) {
      const { asyncEnd } = tracingChannel<string, CallReport>(`fastify-dynamodb-session:${operation}`)
      const note = (message: unknown): void => {
        const { action, consistent, capacity, duration = 0, itemBytes = 0, error } = message as CallReport & { readonly error?: unknown }
        const line = this.#current.getStore()
        if (line === undefined) return
        // An answer without units that is no failure: the library takes a failed condition for what it is.
        const isRefused = capacity === undefined && error === undefined
        line.calls.push({ operation, action, isRead: READS.includes(action), consistent, capacity, isRefused, duration })
        if (!OF_LISTS.includes(operation)) line.itemBytes = Math.max(line.itemBytes, itemBytes)
      }
      asyncEnd.subscribe(note)
      app.addHook('onClose', async () => { asyncEnd.unsubscribe(note) })
    }
  }
}
