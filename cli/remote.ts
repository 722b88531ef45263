import {
  DeleteItemCommand, DescribeContinuousBackupsCommand, DescribeTableCommand, DescribeTimeToLiveCommand, GetItemCommand, ScanCommand,
  DynamoDBClient, UpdateContinuousBackupsCommand,
  type AttributeValue, type ContinuousBackupsDescription, type TableDescription, type TimeToLiveDescription
} from '@aws-sdk/client-dynamodb'
import { makeClient } from '../lib/client.js'
import { Deadline } from '../lib/deadline.js'
import { errors } from '../lib/errors.js'
import { toKey, type Item } from '../lib/item.js'
import { Keeper } from '../lib/keeper.js'
import { SessionManager } from '../lib/manager.js'
import { resolveOptions, type Settings } from '../lib/options.js'
import type { Log } from '../lib/report.js'
import { explained } from '../lib/table.js'
import type { DynamoSessionOptions } from '../types/options.js'
import type { Context } from './command.js'
import { keyOf } from './keys.js'
import { Meter } from './meter.js'
import { assertRegion, endpointOf, HERE, lackOf, layoutOptions } from './place.js'

/** A page of a table. */
export interface Page {
  readonly items: readonly Item[]
  readonly read: number
  /** From where the next page begins; undefined after the last. */
  readonly next: Item | undefined
}

/** The table that a command is about: the command line's only door to DynamoDB. */
export class Remote {
  readonly settings: Settings
  readonly #client: DynamoDBClient
  readonly #options: DynamoSessionOptions
  readonly #log: Log
  readonly #meter: Meter

  private constructor (client: DynamoDBClient, options: DynamoSessionOptions, log: Log, meter: Meter) {
    this.#client = client
    this.#options = options
    this.#log = log
    this.#meter = meter
    this.settings = resolveOptions(options)
  }

  /** Opens the table for as long as something is done with it. */
  static async use<T> ({ given, io, output }: Context, act: (remote: Remote) => Promise<T>, extra: Partial<DynamoSessionOptions> = {}): Promise<T> {
    const [region, profile, endpoint] = [given.text('region'), given.text('profile'), endpointOf(given)]
    const timeout = given.number('timeout', { least: 0.1, most: 900 }) ?? 10
    const options = { ...layoutOptions(given), timeout, now: io.now, ...extra }
    // Before there is a client that would have to be destroyed.
    resolveOptions(options)
    const config = { ...io.aws, ...region !== undefined && { region }, ...profile !== undefined && { profile }, ...endpoint !== undefined && { endpoint } }
    const client = makeClient({ ...config, ...HERE.test(endpoint ?? '') && profile === undefined && await lackOf(config, timeout) }, timeout)
    try {
      await assertRegion(client)
      return await act(new Remote(client, { ...options, client }, { warn: (_details, text) => { output.warn(text) } }, new Meter(client)))
    } finally {
      client.destroy()
    }
  }

  /** Sessions of this table, with settings of a session's own life where they matter, and ids of one's own making. */
  sessions (extra: Partial<DynamoSessionOptions> = {}, tokens = this.settings.tokens): SessionManager {
    return new SessionManager(new Keeper({ ...resolveOptions({ ...this.#options, ...extra }), tokens }, this.#log), this.#log)
  }

  /** What opens, creates and ends sessions of this table by their keys. */
  keeper (): Keeper {
    return new Keeper(this.settings, this.#log)
  }

  /** Another table, by the same client and meter. */
  beside (options: Partial<DynamoSessionOptions>): Remote {
    return new Remote(this.#client, { ...this.#options, ...options }, this.#log, this.#meter)
  }

  get log (): Log { return this.#log }

  /** Capacity units that the calls took since the last time, those of tables beside this one included. */
  takeUnits (): number {
    return this.#meter.take()
  }

  async region (): Promise<string> {
    return await this.#client.config.region()
  }

  /** Null where there is none. */
  async table (): Promise<TableDescription | null> {
    try {
      const { Table } = await this.#ask('dynamodb:DescribeTable', async abortSignal =>
        await this.#client.send(new DescribeTableCommand({ TableName: this.#table }), { abortSignal }))
      return Table ?? null
    } catch (error) {
      if (error instanceof errors.TableMissing) return null
      throw error
    }
  }

  /** Undefined where the engine has no TTL. */
  async timeToLive (): Promise<TimeToLiveDescription | undefined> {
    return await this.#unlessUnknown('dynamodb:DescribeTimeToLive', async abortSignal => {
      const { TimeToLiveDescription: ttl = {} } = await this.#client.send(new DescribeTimeToLiveCommand({ TableName: this.#table }), { abortSignal })
      return ttl
    })
  }

  /** Undefined where the engine has no backups. */
  async backups (): Promise<ContinuousBackupsDescription | undefined> {
    return await this.#unlessUnknown('dynamodb:DescribeContinuousBackups', async abortSignal =>
      (await this.#client.send(new DescribeContinuousBackupsCommand({ TableName: this.#table }), { abortSignal })).ContinuousBackupsDescription)
  }

  /** Undefined where the engine has no backups. */
  async enableRecovery (): Promise<true | undefined> {
    return await this.#unlessUnknown('dynamodb:UpdateContinuousBackups', async abortSignal => {
      const PointInTimeRecoverySpecification = { PointInTimeRecoveryEnabled: true }
      await this.#client.send(new UpdateContinuousBackupsCommand({ TableName: this.#table, PointInTimeRecoverySpecification }), { abortSignal })
      return true as const
    })
  }

  /** Whole items, as they come: which ones is chance. */
  async sample (limit: number, from?: Item): Promise<Page> {
    return await this.#scan({ Limit: limit, ...from !== undefined && { ExclusiveStartKey: from } })
  }

  /** Keys and expiries from where a page ended, of at most so many items. */
  async expiries (limit: number, from: Item | undefined): Promise<Page> {
    const { partitionKey, ttlAttribute } = this.settings.layout
    return await this.#scan({
      Limit: limit,
      ProjectionExpression: '#key, #ttl',
      ExpressionAttributeNames: { '#key': partitionKey.name, '#ttl': ttlAttribute },
      ...from !== undefined && { ExclusiveStartKey: from }
    })
  }

  async #scan (input: Partial<ConstructorParameters<typeof ScanCommand>[0]>): Promise<Page> {
    const { Items = [], ScannedCount = 0, LastEvaluatedKey } = await this.#ask('dynamodb:Scan', async abortSignal =>
      await this.#client.send(new ScanCommand({ TableName: this.#table, ReturnConsumedCapacity: 'TOTAL', ...input }), { abortSignal }))
    return { items: Items, read: ScannedCount, next: LastEvaluatedKey }
  }

  /** The item of a session, by a strongly consistent read. */
  async item (key: string): Promise<Item | undefined> {
    const { Item: item } = await this.#ask('dynamodb:GetItem', async abortSignal => await this.#client.send(
      new GetItemCommand({ TableName: this.#table, Key: toKey(key, this.settings.layout), ConsistentRead: true, ReturnConsumedCapacity: 'TOTAL' }), { abortSignal }))
    return item
  }

  /** Deletes an item that has expired by then, whatever was read of it before. Whether it has. */
  async removeExpired (key: AttributeValue, until: number): Promise<boolean> {
    const { ttlAttribute } = this.settings.layout
    return await this.#remove(key, { ConditionExpression: '#ttl <= :until', ExpressionAttributeNames: { '#ttl': ttlAttribute }, ExpressionAttributeValues: { ':until': { N: String(until) } } })
  }

  /** Deletes an item that is still what was read. Whether it was. */
  async removeSame (item: Item): Promise<boolean> {
    const parts = Object.entries(item)
    return await this.#remove(keyOf(item, this.settings.layout), {
      ConditionExpression: parts.map((_, index) => `#n${index} = :v${index}`).join(' AND '),
      ExpressionAttributeNames: Object.fromEntries(parts.map(([name], index) => [`#n${index}`, name])),
      ExpressionAttributeValues: Object.fromEntries(parts.map(([, value], index) => [`:v${index}`, value]))
    })
  }

  async #remove (key: AttributeValue, condition: Partial<ConstructorParameters<typeof DeleteItemCommand>[0]>): Promise<boolean> {
    const input = { TableName: this.#table, Key: { [this.settings.layout.partitionKey.name]: key }, ...condition, ReturnConsumedCapacity: 'TOTAL' } as const
    try {
      await this.#ask('dynamodb:DeleteItem', async abortSignal => await this.#client.send(new DeleteItemCommand(input), { abortSignal }))
      return true
    } catch (error) {
      if (causeName(error) === 'ConditionalCheckFailedException') return false
      throw error
    }
  }

  get #table (): string {
    return this.settings.layout.table
  }

  async #ask<T> (permission: string, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { timeout, layout } = this.settings
    try {
      return await new Deadline(timeout).run(async stop => await send(stop.signal))
    } catch (error) {
      throw explained(error, permission, layout)
    }
  }

  async #unlessUnknown<T> (permission: string, send: (signal: AbortSignal) => Promise<T | undefined>): Promise<T | undefined> {
    try {
      return await this.#ask(permission, send)
    } catch (error) {
      if (causeName(error) === 'UnknownOperationException') return undefined
      throw error
    }
  }
}

/** What it was that is explained: all that a call rejects with is, and has a cause. */
function causeName (error: unknown): string {
  return ((error as Error).cause as Error).name
}
