import { isDeepStrictEqual } from 'node:util'
import { REPLACED_LIFE, tombstone } from '../lib/commands.js'
import { changedRecord } from '../lib/plan.js'
import { MemoryLists } from './memory-lists.js'
import type { RecordChange, Renewal, Replacement, Repository, Revoked, SessionRecord, WriteAnswer } from '../types/repository.js'

/**
 * A repository in this process's memory, for the tests of an application: give it as `client`. It keeps every rule that
 * the table keeps, and nothing beyond the process. Each call makes a new and empty one.
 */
export function memoryRepository (): Repository {
  return new MemoryRepository()
}

class MemoryRepository implements Repository {
  readonly #records = new Map<string, SessionRecord>()

  readonly users = new MemoryLists()

  async load (key: string): Promise<SessionRecord | null> {
    return this.#read(key)
  }

  async create (record: SessionRecord): Promise<boolean> {
    if (this.#records.has(record.key)) return false
    this.#write(record)
    return true
  }

  async save (key: string, change: RecordChange): Promise<WriteAnswer> {
    const record = this.#read(key)
    if (record === null || !isAlive(record, change.now) || !accepts(record, change.renewal) || !isAsExpected(record, change)) {
      return { done: false, record }
    }
    const version = record.version + 1
    this.#write(changedRecord({ ...change, base: record }, version))
    return { done: true, version }
  }

  async touch (key: string, renewal: Renewal, now: number): Promise<boolean> {
    const record = this.#read(key)
    if (record === null || !isAlive(record, now) || !accepts(record, renewal)) return false
    const { lastSeenAt, expiresAt } = renewal
    this.#write({ ...record, lastSeenAt, expiresAt })
    return true
  }

  async replace (key: string, { next, base, sameVersion, now }: Replacement): Promise<WriteAnswer> {
    const record = this.#read(key)
    const isOpen = record !== null && (isAlive(record, now) || record.next === next)
    if (!isOpen || (sameVersion && record.version !== base.version)) return { done: false, record }
    const expiresAt = Math.min(base.expiresAt, Math.floor(now) + REPLACED_LIFE)
    this.#write({ ...record, next, data: new Map(), expiresAt })
    return { done: true, version: record.version }
  }

  async destroy (key: string): Promise<Revoked> {
    const record = this.#read(key)
    if (record?.next === undefined) this.#records.delete(key)
    return { next: record?.next, user: record?.user }
  }

  async revoke (key: string, now: number, user?: string): Promise<Revoked> {
    const record = this.#read(key)
    if (record?.next === undefined) this.#write(tombstone(key, now, user))
    return { next: record?.next, user: record?.user }
  }

  /** A copy, so that what a test changes in hand is not changed here. */
  #read (key: string): SessionRecord | null {
    const record = this.#records.get(key)
    return record === undefined ? null : structuredClone(record)
  }

  #write (record: SessionRecord): void {
    this.#records.set(record.key, structuredClone(record))
  }
}

function isAlive (record: SessionRecord, now: number): boolean {
  return record.next === undefined && record.expiresAt > now
}

/** Whether the record still is what the change was made on, as far as the change depends on it. */
function isAsExpected ({ version, data }: SessionRecord, { base, sameVersion, expected }: RecordChange): boolean {
  if (sameVersion === true && version !== base.version) return false
  return [...expected ?? []].every(([key, value]) => isDeepStrictEqual(data.get(key), value))
}

/** Whether new instants may be written: computed from the timeouts that the record has, and not shorter unless meant. */
function accepts (record: SessionRecord, renewal: Renewal | undefined): boolean {
  if (renewal === undefined) return true
  if (renewal.idleTimeout !== record.idleTimeout || renewal.absoluteTimeout !== record.absoluteTimeout) return false
  return renewal.mayShorten || renewal.expiresAt >= record.expiresAt
}
