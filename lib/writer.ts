import type { RecordChange, Repository, SessionRecord } from '../types/repository.js'
import { errors } from './errors.js'
import { tellConflict } from './events.js'
import { assertAlive, gone, goneReason, type Timeouts } from './expiry.js'
import { NO_SUCCESSOR } from './item.js'
import type { Log } from './report.js'
import { knownRecord, moved, rebase, type Plan } from './plan.js'
import { Renewals } from './renewals.js'
import type { SessionState } from './session.js'

/** Repetitions of a write whose conditions failed although the session is alive, before the visitor is asked to repeat. */
const ATTEMPTS = 5

/** Attempts at a new id, and at carrying over data that changes meanwhile. */
const FEW_ATTEMPTS = 3

/** Records that a destroy follows, each replaced by the next within a minute. */
const LONGEST_CHAIN = 100

type PlanOf<Kind extends Plan['kind']> = Extract<Plan, { kind: Kind }>

/** Carries out what a session plans. Of several steps, each leaves the visitor with exactly one session. */
export class Writer {
  readonly #repository: Repository
  readonly #defaults: Timeouts
  readonly #renewals = new Renewals()

  constructor (repository: Repository, defaults: Timeouts) {
    this.#repository = repository
    this.#defaults = defaults
  }

  /** Leaves in `state.delivery` what the browser is to be told, also where it rejects. */
  async carryOut (state: SessionState, plan: Plan, log: Log): Promise<void> {
    switch (plan.kind) {
      case 'nothing': return
      case 'create': return await this.#create(state, plan)
      case 'save': return await this.#save(state, plan.change)
      case 'touch': return await this.#touch(state, plan, log)
      case 'renew': return this.#renew(state, plan.record)
      case 'regenerate': return await this.#regenerate(state, plan, log)
      case 'discard': return await this.destroy(state)
    }
  }

  /** Epoch seconds of the last activity that this process has told a browser of; a late answer may have taken that back. */
  activityOf (key: string): number | undefined {
    const last = this.#renewals.last(key)
    return last === undefined ? undefined : Math.floor(last)
  }

  /** Deletes what is stored of a session, and what has taken its place meanwhile. */
  async destroy (state: SessionState): Promise<void> {
    for (const record of [state.record, state.replaced?.record]) {
      if (record !== undefined) await this.destroyKey(record.key)
    }
    state.forget()
  }

  /** Never resolves while a successor may be alive. */
  async destroyKey (key: string): Promise<void> {
    const dead = new Set<string>()
    let next: string | undefined = key
    while (next !== undefined && next !== NO_SUCCESSOR && !dead.has(next)) {
      if (dead.size === LONGEST_CHAIN) throw conflict(next)
      dead.add(next)
      next = await this.#repository.destroy(next)
    }
  }

  async #create (state: SessionState, plan: PlanOf<'create'>): Promise<void> {
    this.#deliverNew(state, await this.#createUnderFreeId(state, plan))
  }

  /** An id that is taken is nobody's to take over: with sound randomness this never happens. */
  async #createUnderFreeId (state: SessionState, plan: PlanOf<'create' | 'regenerate'>): Promise<SessionRecord> {
    let { record } = plan
    for (let attempt = 1; !await this.#repository.create(record, plan.now); attempt++) {
      if (attempt === FEW_ATTEMPTS) throw new errors.Conflict()
      record = moved(record, state.takeOtherId(), state.settings)
    }
    return record
  }

  async #save (state: SessionState, first: RecordChange): Promise<void> {
    const { key } = first.base
    let change = first
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const answer = await this.#repository.save(key, change)
      if (answer.done) {
        state.stored(knownRecord(first.base, change, answer.version, answer.writes), first, answer.version)
        return state.deliver({ wrote: { key, version: answer.version } })
      }
      const present = assertAlive(answer.record, key, this.#defaults, change.now)
      if (change.sameVersion === true && present.version !== change.base.version) throw conflict(key)
      tellConflict(key)
      change = rebase(change, present, this.#defaults)
    }
    throw new errors.Conflict()
  }

  #renew (state: SessionState, record: SessionRecord): void {
    const version = Number(state.version)
    this.#renewals.note(record.key, record.lastSeenAt)
    state.stored(record, { set: new Map(), delete: [] }, version)
    state.deliver({ wrote: { key: record.key, version } })
  }

  /**
   * Best effort: what a visitor asked for does not fail because their session was not prolonged. Where the application
   * asked for it and nothing else, it is told.
   */
  async #touch (state: SessionState, plan: PlanOf<'touch'>, log: Log): Promise<void> {
    const { base, renewal, now, explicit } = plan
    if (this.#renewals.has(base.key, now, plan.reissueTime)) return
    this.#renewals.note(base.key, now)
    try {
      if (await this.#repository.touch(base.key, renewal, now)) {
        const { lastSeenAt, expiresAt } = renewal
        return state.stored({ ...base, lastSeenAt, expiresAt }, { set: new Map(), delete: [] }, state.version)
      }
    } catch (err) {
      this.#renewals.forget(base.key)
      if (explicit) throw err
      log.warn({ err, loggableId: base.key }, 'A session could not be prolonged')
    }
    this.#renewals.forget(base.key)
    state.failed = true
    if (!explicit) return
    assertAlive(await this.#repository.load(base.key, true), base.key, this.#defaults, now)
  }

  /**
   * The new record first, so that no failure leaves the visitor with neither; then the mark on the old one, on condition
   * that it is alive. Where it is not, the new record goes again: the old session's end stands.
   */
  async #regenerate (state: SessionState, first: PlanOf<'regenerate'>, log: Log): Promise<void> {
    let plan = first
    for (let attempt = 0; attempt < FEW_ATTEMPTS; attempt++) {
      const record = await this.#createUnderFreeId(state, plan)
      const inTheWay = await this.#replace(plan, record, state, log)
      if (inTheWay === 'nothing') return this.#deliverNew(state, record)
      await this.#takeBack(record.key, log)
      const reason = goneReason(inTheWay, this.#defaults, plan.now)
      if (reason === 'replaced' && inTheWay?.next !== NO_SUCCESSOR) throw conflict(plan.old.key)
      if (inTheWay === null || reason !== undefined) throw gone(plan.old.key, reason)
      if (state.settings.conflict === 'reject') throw conflict(plan.old.key)
      tellConflict(plan.old.key)
      state.carryOver(inTheWay)
      plan = state.plan(plan.now, true) as PlanOf<'regenerate'>
    }
    throw new errors.Conflict()
  }

  /** Removes a new record whose token was not sent. */
  async #takeBack (key: string, log: Log): Promise<void> {
    await this.#repository.destroy(key).catch((err: unknown) => {
      log.warn({ err, loggableId: key }, 'A session that nobody has a token for is left to TTL')
    })
  }

  #deliverNew (state: SessionState, record: SessionRecord): void {
    const { data, key, version } = record
    state.stored(record, { set: data, delete: [] }, version)
    if (state.id !== undefined) state.deliver({ token: { id: state.id, record }, wrote: { key, version } })
  }

  /** `'nothing'` where the old record is marked now, else the record, or null, that stands in the way. */
  async #replace (
    plan: PlanOf<'regenerate'>, record: SessionRecord, state: SessionState, log: Log
  ): Promise<'nothing' | SessionRecord | null> {
    const { old, keep, now } = plan
    const { key: next } = record
    try {
      const answer = await this.#repository.replace(old.key, { next, base: old, sameVersion: keep !== false, now })
      return answer.done ? 'nothing' : answer.record
    } catch (error) {
      const present = await this.#repository.load(old.key, true).catch(() => undefined)
      if (present === undefined) {
        // Perhaps the old session is dead already: the visitor gets the new token with the failure, or would have none.
        this.#deliverNew(state, record)
        throw error
      }
      if (present?.next === next) return 'nothing'
      if (goneReason(present, this.#defaults, now) !== undefined) return present
      await this.#takeBack(next, log)
      throw error
    }
  }
}

function conflict (key: string): Error {
  tellConflict(key)
  return new errors.Conflict()
}
