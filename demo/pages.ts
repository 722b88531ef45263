import { fileURLToPath } from 'node:url'
import fastifyView from '@fastify/view'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Session } from '../index.js'
import { drawChart } from './chart.js'
import { shownCart } from './cart.js'
import type { DatabaseSwitch } from './database.js'
import { spentIn } from './ledger.js'
import { HEADERS } from './security.js'
import type { Watch } from './watch.js'

const VIEWS = fileURLToPath(new URL('views', import.meta.url))

/** What a page is made of, beside what all of them have. */
export type PageData = Readonly<Record<string, unknown>>

/** Templates of the parts that change while somebody looks at them. */
const LIVE = ['panel', 'chart', 'comparison']

/** Makes pages from the templates in `views/`, which escape whatever they print. */
export class Pages {
  readonly #app: FastifyInstance
  readonly #watch: Watch
  readonly #database: DatabaseSwitch | undefined
  readonly #now: () => number

  private constructor (app: FastifyInstance, watch: Watch, database: DatabaseSwitch | undefined, now: () => number) {
    this.#app = app
    this.#watch = watch
    this.#database = database
    this.#now = now
  }

  static async start (app: FastifyInstance, watch: Watch, database: DatabaseSwitch | undefined, now: () => number): Promise<Pages> {
    await app.register(fastifyView, { engine: { eta: new Eta() }, root: VIEWS, production: true })
    return new Pages(app, watch, database, now)
  }

  /** A page for the visitor of this request. */
  async send (request: FastifyRequest, reply: FastifyReply, view: string, data: PageData = {}): Promise<FastifyReply> {
    const { session } = request
    if (session.id !== undefined) await renew(session, this.#now())
    return await this.#send(reply, view, { visitor: this.#visitorOf(session), ...data })
  }

  /** A page for anybody: for routes without a session, and for failures. */
  async sendPlain (reply: FastifyReply, view: string, data: PageData = {}): Promise<FastifyReply> {
    return await this.#send(reply, view, { visitor: undefined, ...data })
  }

  /** The parts of a page that change while somebody looks at it. */
  async live (): Promise<Array<readonly [name: string, html: string]>> {
    const data = this.#common()
    return await Promise.all(LIVE.map(async name => [name, await this.#app.view(name, data)] as const))
  }

  async #send (reply: FastifyReply, view: string, data: PageData): Promise<FastifyReply> {
    reply.headers(HEADERS)
    return await reply.type('text/html; charset=utf-8').send(await this.#app.view(view, { view, ...this.#common(), ...data }))
  }

  #common (): PageData {
    const { lines, ledger } = this.#watch
    return {
      lines: lines.map(line => ({ ...line, sum: sumOf(line) })),
      ledger,
      chart: drawChart(ledger.points),
      database: this.#database
    }
  }

  #visitorOf (session: Session): PageData {
    const { expiresAt } = session
    return {
      name: session.get('name'),
      cart: shownCart(session.get('basket')),
      idleTimeout: session.idleTimeout,
      // Undefined for somebody without a session.
      secondsLeft: expiresAt === undefined ? undefined : Math.max(0, Math.floor(expiresAt - this.#now() / 1000)),
      endsAt: expiresAt === undefined ? undefined : clock(expiresAt),
      key: session.loggableId?.slice(0, 8)
    }
  }
}

/**
 * The library renews a session at the end of a request, when a tenth of its time has gone. A page that shows when it ends has to
 * know before, so it asks for the same renewal now.
 */
async function renew (session: Session, now: number): Promise<void> {
  const { idleTimeout, lastSeenAt } = session
  if (idleTimeout === false || lastSeenAt === undefined || now / 1000 - lastSeenAt < idleTimeout / 10) return
  session.touch()
  await session.save()
}

/** The time of day of an instant in epoch seconds. */
export function clock (seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(11, 19)} UTC`
}

function sumOf (line: Watch['lines'][number]): string {
  const { calls, read, write } = spentIn(line)
  if (calls === 0) return 'no call'
  const parts = [calls === 1 ? '1 call' : `${calls} calls`, ...read > 0 ? [`${read} RCU`] : [], ...write > 0 ? [`${write} WCU`] : []]
  return parts.join(', ')
}
