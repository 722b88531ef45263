import type { Session } from '../types/session.js'
import { overrideCookie, type CookieSettings } from './cookie.js'
import { errors } from './errors.js'
import { createSession, type Acts } from './face.js'
import type { Settings } from './options.js'
import type { Log } from './report.js'
import type { Delivery } from './plan.js'
import type { SessionState } from './session.js'
import { goneReason, type Writer } from './writer.js'
import type { Repository } from '../types/repository.js'

/** What a visit works with. */
export interface VisitTools {
  readonly settings: Settings
  readonly repository: Repository
  readonly writer: Writer
}

/** One session in use, in a request or outside: its state, what the application holds, and its acts in their order. */
export class Visit implements Acts {
  readonly state: SessionState
  readonly session: Session
  /** The cookie for what is sent, with this session's own attributes. */
  cookie: CookieSettings
  readonly #tools: VisitTools
  readonly #log: Log
  #turn: Promise<void> = Promise.resolve()

  constructor (state: SessionState, tools: VisitTools, log: Log) {
    this.state = state
    this.cookie = tools.settings.cookie
    this.#tools = tools
    this.#log = log
    this.session = createSession(state, this)
  }

  async save (): Promise<void> {
    await this.#inTurn(async () => await this.#carryOut(this.state.plan(this.#now(), true)))
  }

  async destroy (): Promise<void> {
    await this.#inTurn(async () => await this.#tools.writer.destroy(this.state))
  }

  async reload (): Promise<void> {
    await this.#inTurn(async () => {
      const { id, record } = this.state
      if (id === undefined || record === undefined) return
      const { repository, settings } = this.#tools
      const present = await repository.load(record.key, true)
      if (present === null || goneReason(present, settings, this.#now()) !== undefined) throw new errors.Gone()
      this.state.adopt(id, present)
    })
  }

  options (attributes: Readonly<Record<string, unknown>>): void {
    this.cookie = overrideCookie(this.cookie, attributes)
    if (attributes['maxAge'] === undefined) return
    this.state.own = { ...this.state.own, cookieMaxAge: this.cookie.maxAge }
    this.state.change()
  }

  /**
   * The end of the request, after whatever acts were begun and not awaited. A save that finds its session ended writes
   * nothing and is no failure of the visitor's: it is told to the log.
   */
  async settle (dropped: boolean): Promise<void> {
    await this.#turn
    const plan = this.state.takeLastPlan(this.#now(), dropped)
    try {
      await this.#carryOut(plan)
    } catch (error) {
      if (plan.kind !== 'save' || !(error instanceof errors.Gone)) throw error
      this.#log.warn({ loggableId: this.state.key }, 'Changes were dropped, because their session has ended meanwhile')
    }
  }

  /** What the browser is to be told, once. */
  takeDelivery (): Delivery {
    const { delivery } = this.state
    this.state.delivery = {}
    return delivery
  }

  async #carryOut (plan: Parameters<Writer['carryOut']>[1]): Promise<void> {
    await this.#tools.writer.carryOut(this.state, plan, this.#log)
  }

  #now (): number {
    return this.#tools.settings.now() / 1000
  }

  /** Acts run one after the other, also where the application does not await them. */
  async #inTurn (act: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(act)
    this.#turn = done.catch(() => {})
    await done
  }
}
