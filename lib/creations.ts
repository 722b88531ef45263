import type { Repository, SessionRecord } from '../types/repository.js'
import { errors, isDefinite } from './errors.js'
import { gone } from './expiry.js'
import { NO_SUCCESSOR } from './item.js'
import type { Log } from './report.js'
import { moved, type Plan } from './plan.js'
import type { SessionState } from './session.js'
import type { Users } from './users.js'

/** Attempts at a new id. */
const ATTEMPTS = 3

type CreatingPlan = Extract<Plan, { kind: 'create' | 'regenerate' }>

/** Stores new records, those that are bound after they are listed. */
export class Creations {
  readonly #repository: Repository
  readonly #users: Users | undefined

  constructor (repository: Repository, users: Users | undefined) {
    this.#repository = repository
    this.#users = users
  }

  /** An id is taken after a save whose outcome is not known. One that was revoked before it was stored has ended, and gets no other. */
  async create (state: SessionState, plan: CreatingPlan, log: Log): Promise<SessionRecord> {
    let { record } = plan
    const old = plan.kind === 'regenerate' ? plan.old : undefined
    await this.#users?.enlist(record, state.binding, old?.user === record.user ? old?.key : undefined, log)
    for (let attempt = 1; !await this.#store(record, plan.now, log); attempt++) {
      const { key, user } = record
      if ((await this.#repository.load(key, true))?.next === NO_SUCCESSOR) {
        await this.#users?.unlist(key, user, log)
        throw gone(key, 'replaced')
      }
      if (attempt === ATTEMPTS) throw new errors.Conflict()
      // What is listed keeps its key: there stands what an earlier save has left, of which nobody has the token.
      if (user !== undefined) await this.#repository.destroy(key)
      else record = moved(record, state.takeOtherId(), state.settings)
    }
    return record
  }

  /** One that is refused for what it is, such as its size, leaves the list again, unless an attempt before this one has stored it. */
  async #store (record: SessionRecord, now: number, log: Log): Promise<boolean> {
    try {
      return await this.#repository.create(record, now)
    } catch (error) {
      if (isDefinite(error)) await this.#users?.leave(record.key, record.user, log)
      throw error
    }
  }
}
