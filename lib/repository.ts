import {
  DeleteItemCommand, GetItemCommand, PutItemCommand, UpdateItemCommand, type DynamoDBClient
} from '@aws-sdk/client-dynamodb'
import type { RecordChange, Renewal, Replacement, Repository, SessionRecord, WriteAnswer } from '../types/repository.js'
import { createCommand, destroyCommand, readCommand, replaceCommand, saveCommand, touchCommand, writesAfter } from './commands.js'
import { Deadline } from './deadline.js'
import { errors, safeCause } from './errors.js'
import { isTraced, traced, type CallReport, type Operation } from './events.js'
import { fromItem, fromVersion, mergedData, toItem, type Item, type Layout } from './item.js'
import { assertFits, LARGEST_ITEM, sizeOfItem } from './size.js'
import { makeWriteToken } from './token.js'

/** What a repository needs to know beside its client. */
export interface RepositorySettings {
  readonly layout: Layout
  /** Seconds for a whole operation: the calls that it takes, each with its retries. */
  readonly timeout: number
  /** Bytes. */
  readonly maxSize: number
  /** Told of an item that lacks what a session needs; with its key, which is fit for logs. */
  readonly onGhost: (key: string) => void
}

interface Answer { readonly ConsumedCapacity?: { readonly CapacityUnits?: number | undefined } | undefined }

/** Records in a DynamoDB table: the only door to its items. */
export class DynamoRepository implements Repository {
  /**
   * Whether an answer without consumed capacity is a failure. An empty answer looks like "no such item", and a visitor
   * would be logged out by a broken proxy; the capacity that every call asks for proves a genuine one.
   */
  expectsCapacity = true
  readonly #client: DynamoDBClient
  readonly #settings: RepositorySettings
  readonly #underWay = new Set<Promise<unknown>>()

  constructor (client: DynamoDBClient, settings: RepositorySettings) {
    this.#client = client
    this.#settings = settings
  }

  async load (key: string, consistent: boolean): Promise<SessionRecord | null> {
    return await this.#read(key, consistent, this.#deadline())
  }

  async #read (key: string, consistent: boolean, deadline: Deadline): Promise<SessionRecord | null> {
    const { layout, onGhost } = this.#settings
    const input = readCommand(key, consistent, layout)
    const report = { action: 'GetItem', consistent }
    const answer = await this.#send('load', report, deadline,
      async signal => await this.#client.send(new GetItemCommand(input), { abortSignal: signal }),
      answer => answer.Item)
    if (answer?.Item === undefined) return null
    const record = fromItem(answer.Item, key, layout)
    if (record === null) onGhost(key)
    return record
  }

  async create (record: SessionRecord, now: number): Promise<boolean> {
    const deadline = this.#deadline()
    const writeToken = makeWriteToken()
    const signed = { ...record, writes: new Map([[writeToken, Math.floor(now)]]) }
    const input = createCommand(signed, this.#settings.layout)
    assertFits(input.Item, record.data, this.#settings.maxSize)
    const answer = await this.#send('create', { action: 'PutItem', consistent: true }, deadline,
      async signal => await this.#client.send(new PutItemCommand(input), { abortSignal: signal }),
      () => input.Item)
    if (answer !== undefined) return true
    const present = await this.#read(record.key, true, deadline)
    return present?.writes?.has(writeToken) === true
  }

  async save (key: string, change: RecordChange): Promise<WriteAnswer> {
    const deadline = this.#deadline()
    const writeToken = makeWriteToken()
    this.#assertFits(savedRecord(change, writeToken))
    const answer = await this.#update('save', saveCommand(key, change, writeToken, this.#settings.layout), deadline)
      .catch(async (error: Error) => await this.#explainRefusal(error, key, change, writeToken, deadline))
    const version = fromVersion(answer?.Attributes)
    if (version !== undefined) return { done: true, version, writes: writesAfter(change, writeToken) }
    return await this.#decide(key, deadline, record => record.writes?.has(writeToken) === true)
  }

  async touch (key: string, renewal: Renewal, now: number): Promise<boolean> {
    return await this.#update('touch', touchCommand(key, renewal, now, this.#settings.layout), this.#deadline()) !== undefined
  }

  async replace (key: string, replacement: Replacement): Promise<WriteAnswer> {
    const deadline = this.#deadline()
    const answer = await this.#update('regenerate', replaceCommand(key, replacement, this.#settings.layout), deadline)
    if (answer !== undefined) return { done: true, version: replacement.base.version }
    return await this.#decide(key, deadline, record => record.next === replacement.next)
  }

  async destroy (key: string): Promise<string | undefined> {
    const { layout } = this.#settings
    const deadline = this.#deadline()
    const input = destroyCommand(key, layout)
    const answer = await this.#send('destroy', { action: 'DeleteItem', consistent: true }, deadline,
      async signal => await this.#client.send(new DeleteItemCommand(input), { abortSignal: signal }))
    return answer === undefined ? (await this.#read(key, true, deadline))?.next : undefined
  }

  /** Resolves when no call is under way, or after the time limit, where others are begun again and again. */
  async idle (): Promise<void> {
    await this.#deadline().run(async () => {
      while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    }).catch(() => {})
  }

  async #noted<T> (call: Promise<T>): Promise<T> {
    this.#underWay.add(call)
    return await call.finally(() => { this.#underWay.delete(call) })
  }

  #deadline (): Deadline {
    return new Deadline(this.#settings.timeout)
  }

  async #update (operation: Operation, input: ReturnType<typeof touchCommand>, deadline: Deadline) {
    return await this.#send(operation, { action: 'UpdateItem', consistent: true }, deadline,
      async signal => await this.#client.send(new UpdateItemCommand(input), { abortSignal: signal }))
  }

  /** After a refused write, one strong read tells whether it was our own whose answer was lost. */
  async #decide (key: string, deadline: Deadline, isOurs: (record: SessionRecord) => boolean): Promise<WriteAnswer> {
    const record = await this.#read(key, true, deadline)
    return record !== null && isOurs(record) ? { done: true, version: record.version, writes: record.writes } : { done: false, record }
  }

  /** An item that others let grow is refused by DynamoDB's validation, which has many reasons and one name. */
  async #explainRefusal (error: Error, key: string, change: RecordChange, writeToken: string, deadline: Deadline): Promise<never> {
    const { cause } = error
    if (cause instanceof Error && cause.name === 'ValidationException') {
      const base = await this.#read(key, true, deadline)
      if (base !== null) this.#assertFits(savedRecord({ ...change, base }, writeToken), LARGEST_ITEM)
    }
    throw error
  }

  #assertFits (record: SessionRecord, limit = this.#settings.maxSize): void {
    assertFits(toItem(record, this.#settings.layout), record.data, limit)
  }

  /** Sends a call within the operation's time limit; undefined where its condition failed, which is an answer and no error. */
  async #send<T extends Answer> (
    operation: Operation, report: CallReport, deadline: Deadline,
    send: (signal: AbortSignal) => Promise<T>, item?: (answer: T) => Item | undefined
  ): Promise<T | undefined> {
    return await traced(operation, report, async () => {
      try {
        const answer = await this.#noted(deadline.run(send)).catch(unlessRefused)
        if (answer === REFUSED) return undefined
        // A client that was handed in may resolve to anything.
        const proof = (answer as Answer | undefined)?.ConsumedCapacity
        if (answer === undefined || (this.expectsCapacity && proof === undefined)) throw new Error('An answer without consumed capacity.')
        if (isTraced(operation)) measure(report, answer, item?.(answer))
        return answer
      } catch (cause) {
        throw new errors.Unavailable({ cause: safeCause(cause) })
      }
    })
  }
}

/** What a save leaves in the table, as far as its size is concerned. */
function savedRecord (change: RecordChange, writeToken: string): SessionRecord {
  const { base, now } = change
  const writes = new Map([...base.writes ?? [], [writeToken, Math.floor(now)]])
  return { ...base, data: mergedData(change), version: base.version + 1, writes }
}

/** That a condition did not hold. */
const REFUSED = Symbol('refused')

function unlessRefused (cause: unknown): typeof REFUSED {
  if (cause instanceof Error && cause.name === 'ConditionalCheckFailedException') return REFUSED
  throw cause
}

function measure (report: CallReport, answer: Answer, item: Item | undefined): void {
  const capacity = answer.ConsumedCapacity?.CapacityUnits
  if (capacity !== undefined) report.capacity = capacity
  if (item !== undefined) report.itemBytes = sizeOfItem(item)
}
