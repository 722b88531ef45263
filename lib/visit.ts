import { isDeepStrictEqual } from 'node:util'
import type { Session } from '../types/session.js'
import { overrideCookie, type CookieSettings } from './cookie.js'
import { errors } from './errors.js'
import { goneReason } from './expiry.js'
import { createSession, type Acts } from './face.js'
import type { Settings } from './options.js'
import type { Log } from './report.js'
import { contentOf, NOTHING, type Delivery, type Keep, type Plan } from './plan.js'
import type { SessionState } from './session.js'
import type { Writer } from './writer.js'
import type { Repository } from '../types/repository.js'

/** Failures that trying again would not mend. */
const DEFINITE = [errors.Gone, errors.Conflict, errors.TooLarge, errors.UnsupportedValue, errors.Unreadable]

/** Stands for what could not even be planned, because no format can carry it. */
const UNWRITABLE = Symbol('unwritable')

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
  /** The key of the record that the visitor's token was of, where that has a successor. */
  #supersededKey: string | undefined
  /** Whether a destroy failed, and nothing has shown since that the session is alive: its token is not sent. */
  #isDoomed = false
  /** What `state.changeCount` was when a plan was last taken. */
  #plannedCount = 0
  /** What a plan was to write that was not written, of which somebody was told. */
  #told: unknown
  /** The same, where the application was told by its own `save()` that it cannot be written. */
  #abandoned: unknown

  constructor (state: SessionState, tools: VisitTools, log: Log, supersededKey?: string) {
    this.state = state
    this.cookie = tools.settings.cookie
    this.#tools = tools
    this.#log = log
    this.#supersededKey = supersededKey
    this.session = createSession(state, this)
  }

  async save (): Promise<void> {
    await this.#inTurn(async () => {
      this.#plannedCount = this.state.changeCount
      let content: unknown = UNWRITABLE
      try {
        const plan = this.state.plan(this.#now(), true)
        content = contentOf(plan)
        await this.#carryOut(plan)
      } catch (error) {
        this.#told = content
        if (isDefinite(error)) this.#abandoned = content
        throw error
      }
    })
  }

  /** At once, unless an act is under way, whose outcome decides what there is to regenerate. */
  async regenerate (keep: Keep): Promise<void> {
    this.#supersededKey = undefined
    if (this.#acts === 0) this.state.regenerate(keep)
    else await this.#inTurn(async () => { this.state.regenerate(keep) })
  }

  async destroy (): Promise<void> {
    await this.#inTurn(async () => {
      const { writer } = this.#tools
      try {
        if (this.#supersededKey !== undefined) await writer.destroyKey(this.#supersededKey)
        await writer.destroy(this.state)
        this.#supersededKey = undefined
        this.#isDoomed = false
      } catch (error) {
        this.state.failed = true
        this.#isDoomed = true
        throw error
      }
    })
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
    this.state.chooseMaxAge(this.cookie.maxAge)
  }

  /**
   * The end of the request, after whatever acts were begun and not awaited, and before any that come later. A save that
   * finds its session ended writes nothing and is no failure of the visitor's: it is told to the log.
   */
  async settle (dropped: boolean): Promise<void> {
    await this.#inTurn(async () => {
      if (this.state.status === 'settled') return
      this.#plannedCount = this.state.changeCount
      const plan = this.#takeLastPlan(dropped)
      const content = contentOf(plan)
      const isKnown = content !== undefined && isDeepStrictEqual(content, this.#abandoned)
      if (dropped || isKnown) this.#told = content
      else if (plan.kind === 'create' && this.#supersededKey !== undefined) this.#drop(content)
      else await this.#finish(plan, content)
    })
  }

  /** Resolves when no act is under way. */
  async idle (): Promise<void> {
    await this.#turn
  }

  /**
   * Whether there are changes that nobody will write and nobody was told of: made since the last plan was taken.
   * `inPlace` looks into objects too.
   */
  isUnsaved (inPlace: boolean): boolean {
    if (!inPlace && this.state.changeCount === this.#plannedCount) return false
    try {
      const content = contentOf(this.state.plan(this.#now(), false))
      return content !== undefined && !isDeepStrictEqual(content, this.#told)
    } catch {
      return this.#told !== UNWRITABLE
    }
  }

  /** What the browser is to be told, once. */
  takeDelivery (): Delivery {
    const { delivery } = this.state
    this.state.delivery = {}
    return this.#isDoomed ? {} : delivery
  }

  /** What no format can carry is no failure of the request where nothing was to be saved, or the application knows. */
  #takeLastPlan (dropped: boolean): Plan {
    try {
      return this.state.takeLastPlan(this.#now())
    } catch (error) {
      this.#told = UNWRITABLE
      if (dropped || this.#abandoned === UNWRITABLE) return NOTHING
      throw error
    }
  }

  async #finish (plan: Plan, content: unknown): Promise<void> {
    try {
      await this.#carryOut(plan)
    } catch (error) {
      this.#told = content
      if (plan.kind !== 'save' || !(error instanceof errors.Gone)) throw error
      this.#drop(content)
    }
  }

  /**
   * The session has ended while the request was under way. A new one is not made in its place either: where it was
   * replaced, as by a log-in, the token of a new one would overwrite that of its successor.
   */
  #drop (content: unknown): void {
    this.#told = content
    this.#log.warn({ loggableId: this.state.key }, 'Changes were dropped, because their session has ended meanwhile')
  }

  async #carryOut (plan: Plan): Promise<void> {
    try {
      await this.#tools.writer.carryOut(this.state, plan, this.#log)
      if (contentOf(plan) !== undefined) this.#isDoomed = false
    } catch (error) {
      this.state.failed = true
      // Whether it was written is not known, so whatever it tried is written again.
      if (plan.kind === 'save' && !isDefinite(error)) this.state.doubt(plan.change)
      if (plan.kind === 'discard') this.#isDoomed = true
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

function isDefinite (error: unknown): boolean {
  return DEFINITE.some(Kind => error instanceof Kind)
}
