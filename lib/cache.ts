import { LRUCache } from 'lru-cache'
import type { CacheOptions } from '../types/options.js'
import type { SessionRecord } from '../types/repository.js'
import { COMPANION_LIFE } from './companion.js'

/** Sessions of which a write is remembered, at least. */
const LEAST_WRITES = 10_000

interface Kept {
  readonly record: SessionRecord
  /** When its read began, so that it is never older than it seems. Epoch milliseconds. */
  readonly readAt: number
  /** The same in milliseconds of a clock that nobody sets. */
  readonly start: number
}

/** Records that were read a moment ago. None is older than the last write of this process. */
export class RecordCache {
  readonly #kept: LRUCache<string, Kept>
  readonly #ttl: number
  /** When this process last wrote, in epoch milliseconds: what lags behind that is not kept. */
  readonly #written: LRUCache<string, number>
  readonly #now: () => number
  readonly #isUsable: (record: SessionRecord) => boolean
  readonly #elapsed: () => number
  /** For each key the read that may fill the cache: the last that began, unless the session was written since. */
  readonly #reading = new Map<string, object>()

  /** `now`: epoch milliseconds. `isUsable`: asked at each use, because what depends on the time may have changed. */
  constructor (
    { ttl, max }: Readonly<CacheOptions>, now: () => number, isUsable: (record: SessionRecord) => boolean, elapsed: () => number = () => performance.now()
  ) {
    this.#kept = new LRUCache({ max })
    this.#written = new LRUCache({ max: Math.max(max, LEAST_WRITES) })
    this.#ttl = ttl * 1000
    this.#now = now
    this.#isUsable = isUsable
    this.#elapsed = elapsed
  }

  /** `since`: epoch milliseconds, before which whoever asks may know more than was read. */
  get (key: string, since = -Infinity): SessionRecord | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined || kept.readAt < since) return undefined
    if (this.#isYoung(kept) && this.#isUsable(kept.record)) return kept.record
    this.#kept.delete(key)
    return undefined
  }

  /** By both clocks: the one that tells the time may have been set back, and the other one stands still while a machine sleeps. */
  #isYoung ({ readAt, start }: Kept): boolean {
    const age = this.#now() - readAt
    return age >= 0 && age < this.#ttl && this.#elapsed() - start < this.#ttl
  }

  /** Reads, and keeps what was found, unless the session was written meanwhile. What is absent is not kept. */
  async fill (key: string, isStrong: boolean, read: () => Promise<SessionRecord | null>): Promise<SessionRecord | null> {
    const reading = {}
    const [readAt, start] = [this.#now(), this.#elapsed()]
    this.#reading.set(key, reading)
    let found: SessionRecord | null = null
    return await read()
      .then(record => { found = record })
      .finally(() => {
        if (this.#reading.get(key) !== reading) return
        this.#reading.delete(key)
        if (isStrong || !this.isFresh(key)) this.#keep(key, found, { readAt, start })
      })
      .then(() => found)
  }

  /** The session is being written, or was: what is known of it does not count any more. */
  drop (key: string): void {
    this.#reading.delete(key)
    this.#kept.delete(key)
    this.#written.set(key, this.#now())
  }

  /** Whether this process wrote it so recently that an eventually consistent read may show what was before. */
  isFresh (key: string): boolean {
    return this.#now() - (this.#written.get(key) ?? -Infinity) < COMPANION_LIFE * 1000
  }

  #keep (key: string, record: SessionRecord | null, when: Omit<Kept, 'record'>): void {
    if (record === null) this.#kept.delete(key)
    // A replica that lags behind does not overwrite what a strong read found.
    else if ((this.#kept.get(key)?.record.version ?? 0) <= record.version) this.#kept.set(key, { record, ...when })
  }
}
