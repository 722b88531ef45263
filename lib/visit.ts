import type { Session } from '../types/session.js'
import { overrideCookie, type CookieSettings } from './cookie.js'
import { errors, isDefinite } from './errors.js'
import type { Ended } from './events.js'
import { assertAlive, gone, goneReason } from './expiry.js'
import { createSession, type Acts } from './face.js'
import { noteEnd, noteRefusals, noteSave } from './journal.js'
import { Losses, UNWRITABLE } from './losses.js'
import { assertKey } from './names.js'
import type { Settings } from './options.js'
import type { Log } from './report.js'
import { contentOf, withActivity, type Delivery, type Keep, type Plan } from './plan.js'
import type { SessionState } from './session.js'
import { Turns, type Turn } from './turns.js'
import { assign, type Ask, type Updater } from './updater.js'
import type { Writer } from './writer.js'
import type { Repository } from '../types/repository.js'

/** What a visit works with. */
export interface VisitTools {
  readonly settings: Settings
  readonly repository: Repository
  readonly writer: Pick<Writer, 'carryOut' | 'destroy' | 'destroyKey'>
  readonly updater: Updater
}

/** One session in use, in a request or outside: its state, what the application holds, and its acts in their order. */
export class Visit implements Acts {
  readonly state: SessionState
  readonly session: Session
  /** The cookie for what is sent, with this session's own attributes. */
  cookie: CookieSettings
  readonly #tools: VisitTools
  readonly #log: Log
  readonly #turns: Turns
  /** What the visitor's token was of, until that is destroyed. */
  #ended: Ended | undefined
  /** Whether the visitor has another session, whose token that of a new one would overwrite. */
  #isSuperseded: boolean
  /** Whether a destroy failed, and nothing has shown since that the session is alive: its token is not sent. */
  #isDoomed = false
  readonly #losses = new Losses()

  constructor (state: SessionState, tools: VisitTools, log: Log, ended?: Ended) {
    this.state = state
    this.cookie = tools.settings.cookie
    this.#tools = tools
    this.#turns = new Turns(tools.settings.timeout)
    this.#log = log
    this.#ended = ended
    this.#isSuperseded = ended?.reason === 'replaced'
    this.session = createSession(state, this)
  }

  async save (): Promise<void> { await this.#take(async () => await this.#save()) }

  async update (key: string, fn: (value: unknown) => unknown): Promise<unknown> {
    assertKey(key)
    return await this.#take(async turn => {
      const ask: Ask = async value => await turn.ask(() => fn(value))
      // So that the update is of a record that is stored, and goes by what stands there.
      if (this.state.replaced !== undefined) await this.#save()
      const { record } = this.state
      if (record === undefined) return await this.#updateUnstored(key, ask)
      const value = await this.#tools.updater.update(this.state, record, key, ask, version => { noteSave(this.#log, record.key, version) })
      this.#isDoomed = false
      return value
    })
  }

  /** At once, unless an act is under way, whose outcome decides what there is to regenerate. */
  async regenerate (keep: Keep): Promise<void> {
    const act = (): void => {
      this.#isSuperseded = false
      this.state.regenerate(keep)
    }
    if (this.#turns.isFree) act()
    else await this.#turns.take(async () => { act() })
  }

  async destroy (): Promise<void> {
    await this.#take(async () => {
      const { writer } = this.#tools
      try {
        if (this.#ended !== undefined) await writer.destroyKey(this.#ended.key, this.#log)
        await writer.destroy(this.state, this.#log)
        this.#ended = undefined
        this.#isSuperseded = false
        this.#isDoomed = false
      } catch (error) {
        this.state.failed = true
        this.#isDoomed = true
        throw error
      }
    })
  }

  async reload (): Promise<void> {
    await this.#take(async () => {
      const { id, record } = this.state
      if (id === undefined || record === undefined) return
      const { repository, settings } = this.#tools
      const present = await repository.load(record.key, true)
      if (goneReason(present, settings, this.#now()) !== undefined) this.state.failed = true
      this.state.adopt(id, withActivity(assertAlive(present, record.key, settings, this.#now()), record.lastSeenAt))
    })
  }

  options (attributes: Readonly<Record<string, unknown>>): void {
    this.cookie = overrideCookie(this.cookie, attributes)
    if (attributes['maxAge'] !== undefined) this.state.chooseMaxAge(this.cookie.maxAge)
  }

  /**
   * The end of the request, after whatever acts were begun and not awaited, and before any that come later. A save that
   * finds its session ended writes nothing and is no failure of the visitor's: it is told to the log.
   */
  async settle (dropped: boolean): Promise<void> {
    // What a handler does right after reply.send() counts yet.
    await null
    while (this.isBusy) await this.idle()
    if (this.state.status === 'settled') return
    const plan = this.#losses.takeLastPlan(this.state, this.#now(), dropped)
    // Most requests: it takes no turn to do nothing.
    if (plan.kind === 'nothing') return
    const content = contentOf(plan)
    if (dropped || this.#losses.isAbandoned(content)) this.#losses.tell(content)
    else if (plan.kind === 'create' && this.#isSuperseded) this.#drop(content, this.#ended)
    else await this.#turns.take(async () => { await this.#finish(plan, content) })
  }

  /** Whether an act is under way. */
  get isBusy (): boolean { return !this.#turns.isFree }
  /** Resolves when no act is under way. */
  async idle (): Promise<void> { await this.#turns.idle() }

  /** Whether there are changes that nobody will write and nobody was told of; `inPlace` looks into objects too. */
  isUnsaved (inPlace: boolean): boolean { return this.#losses.isUnsaved(this.state, this.#now(), inPlace) }

  get delivery (): Delivery { return this.#isDoomed ? {} : this.state.delivery }

  /** What the browser is to be told, once. */
  takeDelivery (): Delivery {
    const { delivery } = this
    this.state.delivery = {}
    return delivery
  }

  /** What others have made impossible is told to the log too. */
  async #take<T> (act: (turn: Turn) => Promise<T>): Promise<T> {
    return await this.#turns.take(async turn => await noteRefusals(this.#log, this.state, act(turn)))
  }

  async #updateUnstored (key: string, ask: Ask): Promise<unknown> {
    this.#assertNotSuperseded()
    const { value, undo } = await assign(this.state, key, ask)
    // Without a value there may be nothing to begin a session for.
    if (value === undefined) return undefined
    await this.#save().catch((error: unknown) => {
      undo()
      throw error
    })
    return value
  }

  async #save (): Promise<void> {
    this.#losses.plan(this.state)
    let content: unknown = UNWRITABLE
    try {
      const plan = this.state.plan(this.#now(), true)
      content = contentOf(plan)
      this.#assertNotSuperseded()
      await this.#carryOut(plan)
    } catch (error) {
      if (isDefinite(error)) this.#losses.abandon(content)
      else this.#losses.tell(content)
      throw error
    }
  }

  /** A new session's token would overwrite that of the successor. */
  #assertNotSuperseded (): void {
    if (this.#isSuperseded && this.#ended !== undefined) throw gone(this.#ended.key, this.#ended.reason)
  }

  async #finish (plan: Plan, content: unknown): Promise<void> {
    try {
      await noteRefusals(this.#log, this.state, this.#carryOut(plan))
    } catch (error) {
      this.#losses.tell(content)
      if (plan.kind !== 'save' || !(error instanceof errors.Gone)) throw error
      this.#drop(content)
    }
  }

  /**
   * The session has ended while the request was under way. A new one is not made in its place either: where it was
   * replaced, as by a log-in, the token of a new one would overwrite that of its successor.
   */
  #drop (content: unknown, ended?: Ended): void {
    if (ended !== undefined) noteEnd(this.#log, ended)
    this.#losses.tell(content)
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

  #now (): number { return this.#tools.settings.now() / 1000 }
}
