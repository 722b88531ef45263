import type { RecordChange, Renewal, Replacement, Repository, Revoked, SessionRecord, UserLists, WriteAnswer } from '../types/repository.js'
import type { RecordCache } from './cache.js'
import { errors } from './errors.js'

/**
 * Milliseconds from its start in which a read is joined. Replicas lag by as much, so that nobody sees an older state than an
 * eventually consistent read may show; and who comes later has a time limit of their own.
 */
const LONGEST_JOIN = 1000

/** A read that is under way. */
interface Reading { readonly start: number, readonly record: Promise<SessionRecord | null> }

/**
 * A repository whose eventually consistent reads of one session are one call while they overlap, or none where a cache has
 * the record. A write detaches what was read before its end: later requests read anew. Strong reads are never shared, since
 * each is to see what was written before it began. Whoever gets a record shares it, and changes nothing in it.
 */
export class SharedReads implements Repository {
  readonly #inner: Repository
  readonly #cache: RecordCache | undefined
  readonly #elapsed: () => number
  readonly #underWay = new Map<string, Reading>()

  constructor (inner: Repository, cache?: RecordCache, elapsed: () => number = () => performance.now()) {
    this.#inner = inner
    this.#cache = cache
    this.#elapsed = elapsed
  }

  /** `since`: epoch milliseconds; what was read before is not to come out of the cache. */
  async load (key: string, consistent: boolean, since?: number): Promise<SessionRecord | null> {
    if (consistent) return await this.#read(key, true)
    const cached = this.#cache?.get(key, since)
    if (cached !== undefined) return cached
    const present = this.#underWay.get(key)
    const start = this.#elapsed()
    if (present !== undefined && start - present.start < LONGEST_JOIN) return await present.record.catch(rethrow)
    // What is to be kept must not be what was before a write of this process.
    const reading = { start, record: this.#read(key, this.#cache?.isFresh(key) === true) }
    this.#underWay.set(key, reading)
    try {
      return await reading.record
    } finally {
      if (this.#underWay.get(key) === reading) this.#underWay.delete(key)
    }
  }

  async create (record: SessionRecord, now: number): Promise<boolean> {
    return await this.#write(record.key, async () => await this.#inner.create(record, now))
  }

  async save (key: string, change: RecordChange): Promise<WriteAnswer> {
    return await this.#write(key, async () => await this.#inner.save(key, change))
  }

  async touch (key: string, renewal: Renewal, now: number): Promise<boolean> {
    return await this.#write(key, async () => await this.#inner.touch(key, renewal, now))
  }

  async replace (key: string, replacement: Replacement): Promise<WriteAnswer> {
    return await this.#write(key, async () => await this.#inner.replace(key, replacement))
  }

  async destroy (key: string): Promise<Revoked | string | undefined> {
    return await this.#write(key, async () => await this.#inner.destroy(key))
  }

  async revoke (key: string, now: number, user?: string): Promise<Revoked> {
    const { revoke } = this.#inner
    if (revoke === undefined) throw new errors.BadOption('client', 'is a repository without revoke(), so nothing can be revoked')
    return await this.#write(key, async () => await revoke.call(this.#inner, key, now, user))
  }

  get users (): UserLists | undefined {
    return this.#inner.users
  }

  async verify (): Promise<void> {
    await this.#inner.verify?.()
  }

  #read (key: string, consistent: boolean): Promise<SessionRecord | null> {
    // Of a repository that was handed in, anything that can be awaited.
    if (this.#cache === undefined) return Promise.resolve(this.#inner.load(key, consistent))
    return this.#cache.fill(key, consistent, async () => await this.#inner.load(key, consistent))
  }

  /** Before, because what is read from now on may have it; and after, because what was read until now may not. */
  async #write<T> (key: string, write: () => Promise<T>): Promise<T> {
    this.#detach(key)
    return await write().finally(() => { this.#detach(key) })
  }

  #detach (key: string): void {
    this.#underWay.delete(key)
    this.#cache?.drop(key)
  }
}

/** Each request has an error of its own, which its error handler may change. */
function rethrow (error: unknown): never {
  throw error instanceof errors.Unavailable ? new errors.Unavailable({ cause: error.cause }) : error
}
