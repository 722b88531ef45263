import { isDeepStrictEqual } from 'node:util'
import { errors } from '../lib/errors.js'
import type { Item } from '../lib/item.js'
import type { Keeper } from '../lib/keeper.js'
import type { Log } from '../lib/report.js'
import type { Origin } from './origin.js'
import type { Remote } from './remote.js'
import { decide, type Obstacle, type RowSettings } from './rows.js'

/** Times that a row is copied anew, because it was changed in the meantime. */
const ATTEMPTS = 3

/**
 * What has become of a row. `present`: there was a record of ours before. `gone`: its session was ended while it was copied.
 * `changing`: it was changed again and again, and not copied. `deleted`, `kept`: copied, and the old row deleted, or not, because it
 * was changed after that.
 */
export type Outcome = Obstacle | 'copied' | 'present' | 'gone' | 'changing' | 'deleted' | 'kept'

export interface CopySettings extends RowSettings {
  readonly origin: Origin
  readonly deletes: boolean
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Copies rows. What has ended in the old table meanwhile does not come back here, as with the store (`store/host-sessions`). */
export class Copier {
  readonly #old: Remote
  readonly #keeper: Keeper
  readonly #settings: CopySettings
  readonly #log: Log

  constructor (old: Remote, keeper: Keeper, settings: CopySettings) {
    this.#old = old
    this.#keeper = keeper
    this.#settings = settings
    this.#log = old.log
  }

  /** Of a row that was changed since it was read, what it says now is copied. */
  async copy (scanned: Item): Promise<Outcome> {
    let row: Item = scanned
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const now = this.#settings.now() / 1000
      const decision = decide(row, this.#settings.origin, this.#settings, now)
      if (typeof decision === 'string') return decision
      const created = await this.#keeper.repository.create(decision, now).catch(unlessTooLarge)
      if (created !== true) return created === false ? 'present' : 'refused'
      const present = await this.#readAgain(row, decision.key)
      if (isDeepStrictEqual(present, row)) return this.#settings.deletes ? await this.#delete(row) : 'copied'
      await this.#takeBack(decision.key)
      if (present === undefined) return 'gone'
      row = present
    }
    return 'changing'
  }

  async #delete (row: Item): Promise<Outcome> {
    return await this.#old.removeSame(row) ? 'deleted' : 'kept'
  }

  /** By a strong read. Where that fails, nobody knows whether the session has ended, so it stays where it was. */
  async #readAgain (row: Item, key: string): Promise<Item | undefined> {
    try {
      return await this.#old.item(String(row[this.#settings.origin.hashKey]?.S))
    } catch (error) {
      await this.#takeBack(key).catch((err: unknown) => {
        this.#log.warn({ err }, 'A session that was copied could not be taken back. Should it be logged out in the old table now, it lives on here.')
      })
      throw error
    }
  }

  async #takeBack (key: string): Promise<void> {
    await this.#keeper.destroyKey(key, this.#log)
  }
}

function unlessTooLarge (error: unknown): undefined {
  if (!(error instanceof errors.TooLarge)) throw error
}
