import type { IncomingHttpHeaders } from 'node:http'
import type { ForeignSession } from '../types/import.js'
import type { Traces } from './companion.js'
import { readCookie } from './cookie.js'
import { errors } from './errors.js'
import { tellConflict } from './events.js'
import { unlessNotImportable } from './foreign-record.js'
import { inherited, lifetimeOf, type Lifetime } from './inheritance.js'
import { endingBoth, Move, type OldPlace } from './move.js'
import type { Plan } from './plan.js'
import { createNotice, type Log } from './report.js'
import { SessionState } from './session.js'
import type { Source } from './source.js'
import { hash } from './token.js'
import type { Way } from './transport.js'
import { Visit, type VisitTools } from './visit.js'

/** A good token of another store, in a request. */
export interface Found extends OldPlace { readonly way: Way }

/** A request with a session that came from another store. */
export interface Moved {
  /** Blank where the session has ended since it was moved. */
  readonly visit: Visit
  readonly move: Move
  readonly way: Way
}

/** Opens a session of ours, which acts by these tools. */
type Reopen = (id: string, key: string, log: Log, traces: Traces, tools: VisitTools) => Promise<{ readonly visit: Visit }>

/** Where a session is that was moved. */
interface Place { readonly id: string, readonly move: Move }

/** A session that this process is moving, or has moved a moment ago; undefined where there was none. Rejects where it could not be. */
interface Recent { readonly at: number, readonly moved: Promise<Place | undefined> }

/** So that a read which lags behind is repeated, strongly. */
const JUST_WRITTEN: Traces = { version: 1, activeAt: undefined, isOutdated: false }

/** Milliseconds for which requests of a browser may still come with the old token: they were sent before the new one arrived. */
const RECENT = 60_000

/** Moves that are remembered: a few MB at most. */
const MOST_RECENT = 10_000

/** Moves sessions of other stores here: reads the old record, and writes a new one under a new id before the handler begins. */
export class Importer {
  readonly #sources: readonly Source[]
  readonly #tools: VisitTools
  readonly #reopen: Reopen
  readonly #noticeAmbiguous: (log: Log) => void
  readonly #mostRecent: number
  readonly #keeps: boolean
  readonly #recent = new Map<string, Recent>()

  constructor (sources: readonly Source[], tools: VisitTools, reopen: Reopen, mostRecent = MOST_RECENT) {
    this.#mostRecent = mostRecent
    this.#sources = sources
    this.#keeps = sources.some(({ reader }) => reader.keep)
    this.#tools = tools
    this.#reopen = reopen
    this.#noticeAmbiguous = createNotice(tools.settings.now, 'Requests came in with old tokens of several sessions, of which none counts: somebody may have planted one')
  }

  /** The good tokens of a request, at most one for each reader. No call. */
  find (headers: IncomingHttpHeaders, log: Log): Found[] {
    const found: Found[] = []
    for (const source of this.#sources) {
      const { reader } = source
      const fromHeader = reader.header === undefined ? '' : String(headers[reader.header] ?? '')
      const fromCookies = headers.cookie === undefined ? [] : readCookie(headers.cookie, reader.cookieName)
      const byHeader = fromHeader === '' ? undefined : reader.idOf(fromHeader)
      const ids = new Set([byHeader, ...fromCookies.map(token => reader.idOf(token))].filter(id => id !== undefined))
      const [id] = ids
      if (ids.size > 1) this.#noticeAmbiguous(log)
      // Whoever has it in a cookie looks for no header.
      else if (id !== undefined) found.push({ source, id, way: byHeader === undefined ? 'cookie' : 'header' })
    }
    return found
  }

  /**
   * What a request with a session of ours brings of one that was kept: whoever logs out here is logged out there, or would be signed in
   * again by it. No call.
   */
  beside (headers: IncomingHttpHeaders, key: string, log: Log): { readonly move: Move, readonly tools: VisitTools } | undefined {
    if (!this.#keeps) return undefined
    const kept = this.find(headers, log).filter(({ source }) => source.reader.keep)
    if (kept.length === 0) return undefined
    const move = new Move(kept, key)
    return { move, tools: { ...this.#tools, writer: endingBoth(this.#tools.writer, move) } }
  }

  /** The session of the first of these tokens that has one, moved here; undefined where none has. */
  async open (found: readonly Found[], log: Log): Promise<Moved | undefined> {
    for (const one of found) {
      const name = hash(`${this.#sources.indexOf(one.source)} ${one.id}`)
      const recent = this.#recentOf(name)
      const moved = await (recent === undefined ? this.#begin(name, one, log) : this.#join(recent, one, log))
      if (moved !== undefined) return moved
    }
    return undefined
  }

  /**
   * At the end of a request with a session that was moved: whether the old token has served. Of two processes that move one session
   * at once, the one that deletes the old record has moved it; the other takes its own back and sends no token, or two
   * sessions would go on, and a log-out would end only one of them. A log-in made a session of its own, which stays.
   *
   * @throws `FST_DYNAMODB_SESSION_CONFLICT` where the one that came late has changed the session.
   */
  async finish (move: Move, visit: Visit, hasLeft: boolean, log: Log): Promise<boolean> {
    const { state } = visit
    const outcome = await move.finish(visit.delivery, hasLeft, log)
    if (outcome !== 'late' || state.key !== move.key) return outcome !== 'open'
    state.delivery = {}
    await this.#tools.writer.destroyKey(move.key, log, state.record?.user).catch((err: unknown) => {
      log.warn({ err, loggableId: move.key }, 'A session that nobody has a token for is left to TTL')
    })
    tellConflict(move.key)
    if (state.version !== 1) throw new errors.Conflict()
    return false
  }

  async verify (log: Log): Promise<void> {
    for (const source of this.#sources) await source.verify(log)
  }

  async close (): Promise<void> {
    for (const source of this.#sources) await source.close()
  }

  #recentOf (name: string): Recent | undefined {
    const recent = this.#recent.get(name)
    return recent === undefined || this.#isPast(recent) ? undefined : recent
  }

  /** A clock may be set back. */
  #isPast ({ at }: Recent): boolean {
    return Math.abs(this.#tools.settings.now() - at) > RECENT
  }

  /** At once, before anything is waited for, so that of two requests one moves the session and the other finds it moved. */
  async #begin (name: string, one: Found, log: Log): Promise<Moved | undefined> {
    const moving = this.#move(one, log)
    const moved = moving.then(moved => moved && { id: String(moved.visit.state.id), move: moved.move })
    const recent = { at: this.#tools.settings.now(), moved }
    const forget = (): void => { if (this.#recent.get(name) === recent) this.#recent.delete(name) }
    moved.then(place => { if (place === undefined) forget() }, forget)
    this.#recent.delete(name)
    this.#forgetPast()
    this.#recent.set(name, recent)
    return await moving
  }

  /** Makes room for one more. The oldest come first, so that it takes no look at the others. */
  #forgetPast (): void {
    for (const [name, recent] of this.#recent) {
      if (this.#recent.size < this.#mostRecent && !this.#isPast(recent)) return
      this.#recent.delete(name)
    }
  }

  /**
   * What another request of this browser moves, or has moved a moment ago, so that both have one session. Where it has ended since,
   * its end stands. What fails, fails for all that came meanwhile: if each tried again, each would have a session of its own.
   */
  async #join (recent: Recent, { way }: Found, log: Log): Promise<Moved | undefined> {
    const place = await recent.moved
    if (place === undefined) return undefined
    const { id, move } = place
    const { visit } = await this.#reopen(id, move.key, log, JUST_WRITTEN, { ...this.#tools, writer: endingBoth(this.#tools.writer, move) })
    const { record } = visit.state
    if (record !== undefined) visit.state.deliver({ token: { id, record }, wrote: { key: move.key, version: record.version } })
    return { visit, move, way }
  }

  async #move ({ source, id, way }: Found, log: Log): Promise<Moved | undefined> {
    const { settings, writer } = this.#tools
    const now = settings.now() / 1000
    const item = await source.load(id)
    const foreign = item === undefined ? null : source.reader.read(item, now)
    // Our instants are whole seconds.
    if (foreign === null || Math.floor(foreign.expiresAt) <= now) return undefined
    const lifetime = lifetimeOf(foreign, settings, now)
    const state = new SessionState(settings)
    fill(state, foreign, lifetime)
    // What holds nothing is worth no session, here as there.
    if (!state.values.hasSubstance()) return undefined
    const plan = state.plan(now, true) as Extract<Plan, { kind: 'create' }>
    await writer.carryOut(state, { ...plan, record: inherited(plan.record, lifetime, settings) }, log)
    const move = new Move([{ source, id }], plan.record.key)
    return { visit: new Visit(state, { ...this.#tools, writer: endingBoth(withoutRenewals(writer), move) }, log), move, way }
  }
}

/** The data and the settings of a session, as assigned to a blank one. */
export function fill (state: SessionState, { data, cookieMaxAge }: ForeignSession, { idleTimeout, absoluteTimeout }: Lifetime): SessionState {
  unlessNotImportable(() => { for (const [key, value] of data) state.values.set(key, value) })
  state.own.assign({ idleTimeout, absoluteTimeout, cookieMaxAge })
  state.change()
  return state
}

/**
 * A session that was moved has what remained of its life: it is prolonged by the next request that comes, as by any, and not by
 * this one, unless the application asks for it.
 */
function withoutRenewals (writer: VisitTools['writer']): VisitTools['writer'] {
  return {
    carryOut: async (state, plan, log) => { if (plan.kind !== 'touch' || plan.reissueTime === 0) await writer.carryOut(state, plan, log) },
    destroy: writer.destroy.bind(writer),
    destroyKey: writer.destroyKey.bind(writer)
  }
}
