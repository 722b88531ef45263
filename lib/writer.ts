import type { RecordChange, Repository, SessionRecord } from '../types/repository.js'
import { Creations } from './creations.js'
import { conflict, destroyKey } from './endings.js'
import { errors } from './errors.js'
import { tellConflict } from './events.js'
import { assertAlive, gone, goneReason, type Timeouts } from './expiry.js'
import { NO_SUCCESSOR } from './item.js'
import { noteCreation, noteDestruction, noteRegeneration, noteRenewal, noteSave } from './journal.js'
import type { Log } from './report.js'
import { knownRecord, rebase, type Plan } from './plan.js'
import { Renewals } from './renewals.js'
import type { SessionState } from './session.js'
import type { Users } from './users.js'

/** Repetitions of a write whose conditions failed although the session is alive, before the visitor is asked to repeat. */
const ATTEMPTS = 5

/** Attempts at carrying over data that changes meanwhile. */
const FEW_ATTEMPTS = 3

type PlanOf<Kind extends Plan['kind']> = Extract<Plan, { kind: Kind }>

/** Carries out what a session plans. Of several steps, each leaves the visitor with exactly one session. */
export class Writer {
  readonly #repository: Repository
  readonly #defaults: Timeouts
  readonly #users: Users | undefined
  readonly #renewals = new Renewals()
  readonly #creations: Creations

  constructor (repository: Repository, defaults: Timeouts, users?: Users) {
    this.#repository = repository
    this.#defaults = defaults
    this.#users = users
    this.#creations = new Creations(repository, users)
  }

  /** Leaves in `state.delivery` what the browser is to be told, also where it rejects. */
  async carryOut (state: SessionState, plan: Plan, log: Log): Promise<void> {
    switch (plan.kind) {
      case 'nothing': return
      case 'create': return await this.#create(state, plan, log)
      case 'save': return await this.#saveListed(state, plan.change, log)
      case 'touch': return await this.#touch(state, plan, log)
      case 'renew': return this.#renew(state, plan.record, log)
      case 'regenerate': return await this.#regenerate(state, plan, log)
      case 'discard': return await this.destroy(state, log)
    }
  }

  /** Epoch seconds of the last activity that this process has told a browser of; a late answer may have taken that back. */
  activityOf (key: string): number | undefined {
    const last = this.#renewals.last(key)
    return last === undefined ? undefined : Math.floor(last)
  }

  /** Deletes what is stored of a session, and what has taken its place meanwhile. */
  async destroy (state: SessionState, log: Log): Promise<void> {
    for (const record of [state.record, state.replaced?.record]) {
      if (record !== undefined) await this.destroyKey(record.key, log, record.user)
    }
    state.forget()
  }

  /** `user`: to whom it was bound when it was read. */
  async destroyKey (first: string, log: Log, user?: string): Promise<void> {
    const ends = await destroyKey(this.#repository, first, user)
    for (const key of ends.keys()) noteDestruction(log, key)
    for (const [key, user] of ends) await this.#users?.unlist(key, user, log)
  }

  async #create (state: SessionState, plan: PlanOf<'create'>, log: Log): Promise<void> {
    const record = await this.#creations.create(state, plan, log)
    noteCreation(log, record.key)
    this.#deliverNew(state, record)
  }

  /** A session that is bound by this save is listed first, and not any more where it turns out to be dead. */
  async #saveListed (state: SessionState, change: RecordChange, log: Log): Promise<void> {
    const { base, renewal, settings } = change
    const [user, { binding }] = [settings.user ?? undefined, state]
    const record = { ...base, ...renewal, user }
    if (user !== undefined) await this.#users?.enlist(record, binding, undefined, log)
    await this.#save(state, change).catch(async (error: unknown) => {
      if (error instanceof errors.Gone) await this.#users?.leave(base.key, user, log)
      throw error
    })
    noteSave(log, base.key, state.version)
    if (user === undefined) return renewal === undefined ? undefined : await this.#users?.renewed(base, renewal, log)
    const left = base.user === user ? undefined : base.user
    // Another request may be taking it off this list, because it bound it elsewhere before.
    if (left !== undefined || state.version !== base.version + 1) await this.#users?.enlist(record, binding, undefined, log)
    await this.#users?.leave(base.key, left, log)
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

  #renew (state: SessionState, record: SessionRecord, log: Log): void {
    const version = Number(state.version)
    this.#renewals.note(record.key, record.lastSeenAt)
    state.stored(record, { set: new Map(), delete: [] }, version)
    state.deliver({ wrote: { key: record.key, version } })
    noteRenewal(log, record.key, state.expiresAt, 'cookie')
  }

  /** Best effort: nothing fails because a session was not prolonged, save where the application asked for that and nothing else. */
  async #touch (state: SessionState, plan: PlanOf<'touch'>, log: Log): Promise<void> {
    const { base, renewal, now, explicit } = plan
    if (this.#renewals.has(base.key, now, plan.reissueTime)) return
    this.#renewals.note(base.key, now)
    try {
      if (await this.#repository.touch(base.key, renewal, now)) {
        const { lastSeenAt, expiresAt } = renewal
        noteRenewal(log, base.key, expiresAt, 'table')
        await this.#users?.renewed(base, renewal, log)
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
      const record = await this.#creations.create(state, plan, log)
      const inTheWay = await this.#replace(plan, record, state, log)
      if (inTheWay === 'nothing') {
        noteRegeneration(log, record.key, plan.old.key)
        await this.#users?.moved(record, plan.old, log)
        return this.#deliverNew(state, record)
      }
      await this.#takeBack(record, log)
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
  async #takeBack ({ key, user }: SessionRecord, log: Log): Promise<void> {
    try {
      await this.#repository.destroy(key)
    } catch (err) {
      return log.warn({ err, loggableId: key }, 'A session that nobody has a token for is left to TTL')
    }
    await this.#users?.unlist(key, user, log)
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
      await this.#takeBack(record, log)
      throw error
    }
  }
}
