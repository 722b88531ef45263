import { isDeepStrictEqual } from 'node:util'
import { contentOf, NOTHING, type Plan } from './plan.js'
import type { SessionState } from './session.js'

/** Stands for what could not even be planned, because no format can carry it. */
export const UNWRITABLE = Symbol('unwritable')

/** Keeps account of changes that are not written: whether somebody was told of them, or they are about to be lost in silence. */
export class Losses {
  /** What `state.changeCount` was when a plan was last taken. */
  #plannedCount = 0
  /** What a plan was to write that was not written, of which somebody was told. */
  #told: unknown
  /** The same, where the application was told by its own `save()` that it cannot be written. */
  #abandoned: unknown

  /** A plan is taken now. */
  plan (state: SessionState): void {
    this.#plannedCount = state.changeCount
  }

  /** What no format can carry is no failure of the request where nothing was to be saved, or the application knows. */
  takeLastPlan (state: SessionState, now: number, dropped: boolean): Plan {
    this.plan(state)
    try {
      return state.takeLastPlan(now)
    } catch (error) {
      this.tell(UNWRITABLE)
      if (dropped || this.isAbandoned(UNWRITABLE)) return NOTHING
      throw error
    }
  }

  tell (content: unknown): void {
    this.#told = content
  }

  abandon (content: unknown): void {
    this.#told = content
    this.#abandoned = content
  }

  isAbandoned (content: unknown): boolean {
    return content !== undefined && isDeepStrictEqual(content, this.#abandoned)
  }

  /**
   * Whether there are changes that nobody will write and nobody was told of: made since the last plan was taken.
   * `inPlace` looks into objects too.
   */
  isUnsaved (state: SessionState, now: number, inPlace: boolean): boolean {
    if (!inPlace && state.changeCount === this.#plannedCount) return false
    try {
      const content = contentOf(state.plan(now, false))
      return content !== undefined && !isDeepStrictEqual(content, this.#told)
    } catch {
      return this.#told !== UNWRITABLE
    }
  }
}
