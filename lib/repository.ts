import {
  BatchGetItemCommand, DeleteItemCommand, GetItemCommand, PutItemCommand, UpdateItemCommand, type DynamoDBClient
} from '@aws-sdk/client-dynamodb'
import type { RecordChange, Renewal, Replacement, Repository, Revoked, SessionRecord, UserLists, WriteAnswer } from '../types/repository.js'
import { Batches, LEFT_OVER, readAnswer, unlessWithoutBatches, type Batch, type BatchAnswer, type BatchTools } from './batch.js'
import { Calls, measure, unavailable } from './calls.js'
import {
  createCommand, destroyCommand, readCommand, readTogetherCommand, replaceCommand, revokeCommand, savedRecord, saveCommand, touchCommand,
  writesAfter
} from './commands.js'
import { Deadline } from './deadline.js'
import { isTraced, traced, type Operation } from './events.js'
import { fromItem, fromUser, fromVersion, toItem, type Item } from './item.js'
import { Lists } from './lists.js'
import { writeIndexed, type IndexedSettings } from './refusal.js'
import { assertFits, LARGEST_ITEM, unitsOfRead } from './size.js'
import { stoppable } from './stop.js'
import { makeWriteToken } from './token.js'

/** What a repository needs to know beside its client. */
export interface RepositorySettings extends IndexedSettings {
  /** Seconds for a whole operation: the calls that it takes, each with its retries. */
  readonly timeout: number
  /** Bytes. */
  readonly maxSize: number
  /** Told of an item that lacks what a session needs; with its key, which is fit for logs. */
  readonly onGhost: (key: string) => void
  /** How loads that start in one turn of the event loop travel together; undefined where none does. */
  readonly batches?: BatchSettings | undefined
}

export interface BatchSettings {
  /** Whether strongly consistent loads do so too. */
  readonly strong: boolean
  /** Told once that BatchGetItem is refused, so that every load is a GetItem from then on. */
  readonly onRefused: (error: Error) => void
}

/** Records in a DynamoDB table: the only door to its items. */
export class DynamoRepository implements Repository {
  readonly #client: DynamoDBClient
  readonly #settings: RepositorySettings
  readonly #calls: Calls
  readonly users: UserLists
  #batches: Batches | undefined

  constructor (client: DynamoDBClient, settings: RepositorySettings) {
    this.#client = client
    this.#settings = settings
    this.#calls = new Calls(settings.layout.table)
    this.users = new Lists(client, this.#calls, settings)
    if (settings.batches === undefined) return
    const ask = async (...args: Parameters<BatchTools['ask']>): Promise<BatchAnswer> => await this.#ask(...args)
    this.#batches = new Batches({ ask, deadline: () => this.#deadline() })
  }

  load (key: string, consistent: boolean): Promise<SessionRecord | null> {
    const mayTravel = !consistent || this.#settings.batches?.strong === true
    if (this.#batches === undefined || !mayTravel) return this.#read(key, consistent, this.#deadline())
    return this.#calls.note(this.#loadTogether(this.#batches, key, consistent))
  }

  async #loadTogether (batches: Batches, key: string, consistent: boolean): Promise<SessionRecord | null> {
    const batch = await batches.join(key, consistent)
    if (batch === undefined) return await this.#read(key, consistent, this.#deadline())
    const found = await this.#find(batch, key, consistent)
    if (found !== LEFT_OVER && !(found instanceof Error)) return this.#recordOf(found, key)
    const record = await this.#read(key, consistent, batch.deadline)
    // GetItem is permitted, so it is not the credentials that are refused.
    if (found instanceof Error) this.#endBatches(found)
    return record
  }

  /** Rejects where it is unavailable; resolves to the error where batches are. */
  #find (batch: Batch, key: string, consistent: boolean): Promise<Awaited<ReturnType<Batch['find']>> | Error> {
    const found = isTraced('load') ? this.#findTraced(batch, key, consistent) : batch.find(key).catch(unavailable)
    return found.catch(unlessWithoutBatches)
  }

  /** Each load of a batch is told of as a call, with its own share of the capacity. */
  async #findTraced (batch: Batch, key: string, consistent: boolean): ReturnType<Batch['find']> {
    const report = this.#calls.report({ action: 'BatchGetItem', consistent, batchSize: batch.size })
    return await traced('load', report, async () => {
      const found = await batch.find(key).catch(unavailable)
      report.outcome = found === LEFT_OVER ? 'unprocessed' : found === undefined ? 'missing' : 'found'
      if (found !== LEFT_OVER) measure(report, this.#calls.expectsCapacity ? unitsOfRead(found, consistent) : undefined, found)
      return found
    })
  }

  async #ask (keys: readonly string[], consistent: boolean, deadline: Deadline): Promise<BatchAnswer> {
    const { layout } = this.#settings
    const input = readTogetherCommand(keys, consistent, layout)
    const answer = await this.#calls.prove(deadline, stop => this.#client.send(new BatchGetItemCommand(input), stoppable(this.#client, input, stop)))
    return readAnswer(answer, keys, layout)
  }

  #endBatches (error: Error): void {
    if (this.#batches === undefined) return
    this.#batches = undefined
    this.#settings.batches?.onRefused(error)
  }

  async #read (key: string, consistent: boolean, deadline: Deadline): Promise<SessionRecord | null> {
    const input = readCommand(key, consistent, this.#settings.layout)
    const answer = await this.#calls.send('load', { action: 'GetItem', consistent }, deadline,
      stop => this.#client.send(new GetItemCommand(input), stoppable(this.#client, input, stop)),
      answer => answer.Item)
    return this.#recordOf(answer?.Item, key)
  }

  #recordOf (item: Item | undefined, key: string): SessionRecord | null {
    if (item === undefined) return null
    const record = fromItem(item, key, this.#settings.layout)
    if (record === null) this.#settings.onGhost(key)
    return record
  }

  create (record: SessionRecord, now: number): Promise<boolean> {
    const deadline = this.#deadline()
    return writeIndexed(this.#settings, record.key, async layout => {
      const writeToken = makeWriteToken()
      const signed = { ...record, writes: new Map([[writeToken, Math.floor(now)]]) }
      const input = createCommand(signed, layout)
      assertFits(input.Item, record.data, this.#settings.maxSize)
      const answer = await this.#calls.send('create', { action: 'PutItem', consistent: true }, deadline,
        stop => this.#client.send(new PutItemCommand(input), stoppable(this.#client, input, stop)),
        () => input.Item)
      if (answer !== undefined) return true
      const present = await this.#read(record.key, true, deadline)
      return present?.writes?.has(writeToken) === true
    })
  }

  save (key: string, change: RecordChange): Promise<WriteAnswer> {
    const deadline = this.#deadline()
    return writeIndexed(this.#settings, key, async layout => {
      const writeToken = makeWriteToken()
      this.#assertFits(savedRecord(change, writeToken))
      const answer = await this.#update('save', saveCommand(key, change, writeToken, layout), deadline)
        .catch(async (error: Error) => await this.#explainRefusal(error, key, change, writeToken, deadline))
      const version = fromVersion(answer?.Attributes)
      if (version !== undefined) return { done: true, version, writes: writesAfter(change, writeToken) }
      return await this.#decide(key, deadline, record => record.writes?.has(writeToken) === true)
    })
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

  async destroy (key: string): Promise<Revoked> {
    const deadline = this.#deadline()
    const input = destroyCommand(key, this.#settings.layout)
    const answer = await this.#calls.send('destroy', { action: 'DeleteItem', consistent: true }, deadline,
      stop => this.#client.send(new DeleteItemCommand(input), stoppable(this.#client, input, stop)))
    return await this.#standing(key, answer, deadline)
  }

  async revoke (key: string, now: number, user?: string): Promise<Revoked> {
    const deadline = this.#deadline()
    const input = revokeCommand(key, now, user, this.#settings.layout)
    const answer = await this.#calls.send('revoke', { action: 'PutItem', consistent: true }, deadline,
      stop => this.#client.send(new PutItemCommand(input), stoppable(this.#client, input, stop)),
      () => input.Item)
    return await this.#standing(key, answer, deadline)
  }

  /** Whether an answer that does not tell the capacity that it consumed is a failure. */
  get expectsCapacity (): boolean { return this.#calls.expectsCapacity }
  set expectsCapacity (expected: boolean) { this.#calls.expectsCapacity = expected }

  /** Resolves when no call is under way, or after the time limit. */
  async idle (): Promise<void> {
    await this.#calls.idle(this.#deadline())
  }

  #deadline (): Deadline {
    return new Deadline(this.#settings.timeout)
  }

  async #update (operation: Operation, input: ReturnType<typeof touchCommand>, deadline: Deadline) {
    return await this.#calls.send(operation, { action: 'UpdateItem', consistent: true }, deadline,
      stop => this.#client.send(new UpdateItemCommand(input), stoppable(this.#client, input, stop)))
  }

  /** What an end has met: where it was refused, there is a successor, which one strong read tells. */
  async #standing (key: string, answer: { readonly Attributes?: Item | undefined } | undefined, deadline: Deadline): Promise<Revoked> {
    if (answer !== undefined) return { next: undefined, user: fromUser(answer.Attributes) }
    const present = await this.#read(key, true, deadline)
    return { next: present?.next, user: present?.user }
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
}
