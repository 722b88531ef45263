import type { Session } from '../types/session.js'
import { overrideCookie, type CookieSettings } from './cookie.js'
import { errors } from './errors.js'
import { createSession, type Acts } from './face.js'
import type { Settings } from './options.js'
import type { Log } from './report.js'
import type { Delivery, Keep, Plan } from './plan.js'
import type { SessionState } from './session.js'
import { goneReason, type Writer } from './writer.js'
import type { Repository } from '../types/repository.js'

/** Failures that trying again would not mend. */
const DEFINITE = [errors.Gone, errors.Conflict, errors.TooLarge]

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
  #acts = 0
  /** What `state.changeCount` was when a plan was taken, and when the application was told that it cannot be written. */
  #plannedCount = 0
  #abandonedCount: number | undefined
  #isAccounted = false
  #isSuperseded: boolean

  constructor (state: SessionState, tools: VisitTools, log: Log, isSuperseded = false) {
    this.state = state
    this.cookie = tools.settings.cookie
    this.#tools = tools
    this.#log = log
    this.#isSuperseded = isSuperseded
    this.session = createSession(state, this)
  }

  async save (): Promise<void> {
    await this.#inTurn(async () => {
      this.#plannedCount = this.state.changeCount
      try {
        await this.#carryOut(this.state.plan(this.#now(), true))
      } catch (error) {
        // A definite answer, and whoever asked for the save has it: what it was to write is not tried again.
        if (DEFINITE.some(Kind => error instanceof Kind)) this.#abandonedCount = this.#plannedCount
        throw error
      }
    })
  }

  /** At once, unless an act is under way, whose outcome decides what there is to regenerate. */
  async regenerate (keep: Keep): Promise<void> {
    this.#isSuperseded = false
    if (this.#acts === 0) this.state.regenerate(keep)
    else await this.#inTurn(async () => { this.state.regenerate(keep) })
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
      if (present === null || goneReason(present, settings, this.#now()) !== undefined) {
        this.state.failed = true
        throw new errors.Gone()
      }
      this.state.adopt(id, present)
    })
  }

  options (attributes: Readonly<Record<string, unknown>>): void {
    this.cookie = overrideCookie(this.cookie, attributes)
    if (attributes['maxAge'] === undefined) return
    this.state.own.assign({ cookieMaxAge: this.cookie.maxAge })
    this.state.change()
  }

  /**
   * The end of the request, after whatever acts were begun and not awaited. A save that finds its session ended writes
   * nothing and is no failure of the visitor's: it is told to the log.
   */
  async settle (dropped: boolean): Promise<void> {
    await this.#turn
    this.#plannedCount = this.state.changeCount
    this.#isAccounted = dropped || this.#abandonedCount === this.state.changeCount
    const plan = this.state.takeLastPlan(this.#now(), this.#isAccounted)
    if (plan.kind === 'create' && this.#isSuperseded) return this.#drop()
    try {
      await this.#carryOut(plan)
    } catch (error) {
      this.#isAccounted = true
      if (plan.kind !== 'save' || !(error instanceof errors.Gone)) throw error
      this.#drop()
    }
  }

  /**
   * Whether there are changes that nobody will write and nobody was told of: made since the last plan was taken.
   * `inPlace` looks into objects too.
   */
  isUnsaved (inPlace: boolean): boolean {
    if (this.state.changeCount === this.#plannedCount && (this.#isAccounted || !inPlace)) return false
    try {
      return this.state.isChanged()
    } catch {
      return true
    }
  }

  /** What the browser is to be told, once. */
  takeDelivery (): Delivery {
    const { delivery } = this.state
    this.state.delivery = {}
    return delivery
  }

  /**
   * The session has ended while the request was under way. A new one is not made in its place either: where it was
   * replaced, as by a log-in, the token of a new one would overwrite that of its successor.
   */
  #drop (): void {
    this.#isAccounted = true
    this.#log.warn({ loggableId: this.state.key }, 'Changes were dropped, because their session has ended meanwhile')
  }

  async #carryOut (plan: Plan): Promise<void> {
    try {
      await this.#tools.writer.carryOut(this.state, plan, this.#log)
    } catch (error) {
      this.state.failed = true
      throw error
    }
  }

  #now (): number {
    return this.#tools.settings.now() / 1000
  }

  /** Acts run one after the other, also where the application does not await them. */
  async #inTurn (act: () => Promise<void>): Promise<void> {
    this.#acts += 1
    const done = this.#turn.then(act).finally(() => { this.#acts -= 1 })
    this.#turn = done.catch(() => {})
    await done
  }
}
