import { ForeignItems } from '../lib/foreign-items.js'
import { canBeKey, foreignRecordIn, isForeignRecord, type ForeignRecord } from '../lib/foreign-record.js'
import type { Item, Layout } from '../lib/item.js'
import type { Dynamo } from '../lib/keeper.js'

export interface FormerSettings {
  readonly layout: Layout
  /** Seconds for each call. */
  readonly timeout: number
  readonly prefixes: readonly string[]
}

/** A session of another store, and the key that it stands under. */
export interface Found extends ForeignRecord { readonly key: string }

/** What other stores left in the table of this one: sessions under prefixed ids. */
export class FormerItems {
  readonly #repository: Dynamo['repository']
  readonly #settings: FormerSettings
  readonly #items: ForeignItems

  constructor ({ client, repository }: Dynamo, settings: FormerSettings) {
    this.#repository = repository
    this.#settings = settings
    this.#items = new ForeignItems(client, settings.layout.table, settings.timeout)
  }

  /**
   * The living session under an id, of the first store that has one. One read for each prefix, strongly consistent: nothing tells
   * that one which lags has not heard of the session, or of its end, yet.
   */
  async find (sid: string, now: number): Promise<Found | undefined> {
    const items = await Promise.all(this.#keysOf(sid).map(async key => ({ key, item: await this.#told().load(this.#attributeOf(key)) })))
    for (const { key, item } of items) {
      const session = item === undefined ? undefined : foreignRecordIn(item, now)
      if (session !== undefined) return { ...session, key }
    }
    return undefined
  }

  /** Whether a session still stands under its key. One strongly consistent read. */
  async has (key: string): Promise<boolean> {
    const item = await this.#told().load(this.#attributeOf(key))
    return item !== undefined && isForeignRecord(item)
  }

  /** Without a condition: most log-outs find nothing there, and refusals are what an operator is alarmed by. */
  async remove (key: string): Promise<void> {
    await this.#told().remove(this.#attributeOf(key))
  }

  /** Whatever other stores have under an id. One delete for each prefix. */
  async removeAll (sid: string): Promise<void> {
    await Promise.all(this.#keysOf(sid).map(async key => { await this.remove(key) }))
  }

  /** An engine that tells no capacity is found out by the check of the table. */
  #told (): ForeignItems {
    this.#items.expectsCapacity = this.#repository.expectsCapacity
    return this.#items
  }

  #keysOf (sid: string): string[] {
    return this.#settings.prefixes.map(prefix => prefix + sid).filter(canBeKey)
  }

  #attributeOf (key: string): Item {
    return { [this.#settings.layout.partitionKey.name]: { S: key } }
  }
}
