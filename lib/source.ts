import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { SessionReader } from '../types/import.js'
import { errors } from './errors.js'
import { ForeignItems, nameIn } from './foreign-items.js'
import type { Item } from './item.js'
import { tableName } from './names.js'
import type { Log } from './report.js'
import { explained } from './table.js'
import { makeProbeKey } from './token.js'

const NO_PROOF = 'The DynamoDB engine of another store\'s table tells no consumed capacity, so an empty answer cannot be told from a missing session'

/** The table of another store, as its reader knows it. */
export class Source {
  readonly reader: SessionReader
  readonly #items: ForeignItems
  readonly #destroy: () => void

  /** `isOwn`: whether the client was made for this table alone, so that it is destroyed with it. */
  constructor (reader: SessionReader, client: DynamoDBClient, timeout: number, isOwn: boolean) {
    this.reader = reader
    this.#items = new ForeignItems(client, reader.table, timeout)
    this.#destroy = () => { if (isOwn) client.destroy() }
  }

  /** Strongly consistent: a session that has just been logged out of there, or deleted here, is not to be seen once more. */
  async load (id: string): Promise<Item | undefined> {
    return await this.#items.load(this.reader.keyOf(id))
  }

  /** Deletes a record. Whether it was there; undefined where that is not known. */
  async remove (id: string): Promise<boolean | undefined> {
    return await this.#items.take(this.reader.keyOf(id))
  }

  /** One read of a key that nobody has. */
  async verify (log: Log): Promise<void> {
    const { table } = this.reader
    const key = this.reader.keyOf(makeProbeKey())
    try {
      await this.#items.probe(key)
      if (!this.#items.expectsCapacity) log.warn({}, NO_PROOF)
    } catch (error) {
      const name = nameIn(key)
      const layout = { table, partitionKey: { name, type: key[name]?.B === undefined ? 'S' as const : 'B' as const } }
      const reason = explained(error, `dynamodb:GetItem on table "${tableName(table)}"`, layout)
      if (!(reason instanceof errors.TableMismatch)) throw reason
      const remark = `reads table "${tableName(table)}", whose partition key is not "${name}" of type ${layout.partitionKey.type}: name another "hashKey"`
      throw Object.assign(new errors.BadOption('importFrom', remark), { cause: reason.cause })
    }
  }

  /** Not before calls have ended that no server waits for. */
  async close (): Promise<void> {
    await this.#items.idle()
    this.#destroy()
  }
}
