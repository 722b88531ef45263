import { DeleteItemCommand, GetItemCommand, type DeleteItemCommandInput, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { Calls } from './calls.js'
import { Deadline } from './deadline.js'
import type { Item } from './item.js'
import { stoppable } from './stop.js'

type SdkError = Error & { readonly $metadata?: { readonly attempts?: number } }

const CAPACITY = { ReturnConsumedCapacity: 'TOTAL' } as const

/** The items of a table that other stores have written: each is read, or deleted, by one call, and none is written. */
export class ForeignItems {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #timeout: number
  readonly #calls: Calls

  /** `timeout`: seconds for each call. */
  constructor (client: DynamoDBClient, table: string, timeout: number) {
    this.#client = client
    this.#table = table
    this.#timeout = timeout
    this.#calls = new Calls(table)
  }

  /** Whether an answer without consumed capacity is a failure, because an empty one would look like "no such session". */
  get expectsCapacity (): boolean { return this.#calls.expectsCapacity }
  set expectsCapacity (expected: boolean) { this.#calls.expectsCapacity = expected }

  async load (Key: Item): Promise<Item | undefined> {
    const input = { TableName: this.#table, Key, ConsistentRead: true, ...CAPACITY }
    const answer = await this.#calls.send('load', { action: 'GetItem', consistent: true }, this.#deadline(),
      stop => this.#client.send(new GetItemCommand(input), stoppable(this.#client, input, stop)), answer => answer.Item)
    return answer?.Item
  }

  /** Deletes what is there, if anything is. */
  async remove (Key: Item): Promise<void> {
    await this.#delete({ TableName: this.#table, Key, ...CAPACITY })
  }

  /**
   * Deletes an item on condition that it is there, and tells whether it was; undefined where that is not known, because the SDK
   * has repeated the call: it may be gone by the first attempt, whose answer was lost.
   */
  async take (Key: Item): Promise<boolean | undefined> {
    const condition = { ConditionExpression: 'attribute_exists(#key)', ExpressionAttributeNames: { '#key': nameIn(Key) } }
    const { isDone, attempts } = await this.#delete({ TableName: this.#table, Key, ...condition, ...CAPACITY })
    if (isDone) return true
    return attempts === 1 ? false : undefined
  }

  /** Reads a key by a call that rejects with the SDK's own error. From then on, capacity is expected if this answer tells it. */
  async probe (Key: Item): Promise<void> {
    const input = { TableName: this.#table, Key, ...CAPACITY }
    const answer = await this.#deadline().run(stop => this.#client.send(new GetItemCommand(input), { abortSignal: stop.signal }))
    this.expectsCapacity = answer.ConsumedCapacity !== undefined
  }

  /** Resolves when no call is under way, or after the time of one. */
  async idle (): Promise<void> {
    await this.#calls.idle(this.#deadline())
  }

  async #delete (input: DeleteItemCommandInput): Promise<{ readonly isDone: boolean, readonly attempts: number | undefined }> {
    let attempts: number | undefined
    const answer = await this.#calls.send('destroy', { action: 'DeleteItem', consistent: true }, this.#deadline(),
      async stop => await this.#client.send(new DeleteItemCommand(input), stoppable(this.#client, input, stop)).catch((error: SdkError) => {
        attempts = error.$metadata?.attempts
        throw error
      }))
    return { isDone: answer !== undefined, attempts }
  }

  #deadline (): Deadline {
    return new Deadline(this.#timeout)
  }
}

/** The name of the partition key. */
export function nameIn (key: Readonly<Item>): string {
  return String(Object.keys(key)[0])
}
