import { setTimeout as sleep } from 'node:timers/promises'
import {
  CreateTableCommand, DescribeTableCommand, DescribeTimeToLiveCommand, GetItemCommand, UpdateTimeToLiveCommand,
  type CreateTableCommandInput, type DynamoDBClient, type GetItemCommandOutput
} from '@aws-sdk/client-dynamodb'
import { Deadline } from './deadline.js'
import { errors, safeCause } from './errors.js'
import { readCommand } from './commands.js'
import type { Layout } from './item.js'
import { tableName } from './names.js'
import type { Settings } from './options.js'
import type { Log } from './report.js'
import type { DynamoRepository } from './repository.js'
import { makeProbeKey } from './token.js'

/** Seconds to wait for a new table. AWS takes 5 to 20. */
const LONGEST_CREATION = 60

/** Milliseconds between two looks at a table that is being made. */
const CREATION_PAUSE = 500

const REFUSED = new Set([
  'AccessDeniedException', 'UnrecognizedClientException', 'InvalidSignatureException', 'MissingAuthenticationTokenException',
  'IncompleteSignatureException', 'InvalidClientTokenId'
])

/** Creates the table and finds out whether it is the right one. Sessions themselves are the repository's. */
export class Table {
  readonly #client: DynamoDBClient
  readonly #settings: Settings
  readonly #repository: DynamoRepository
  readonly #log: Log
  /** Whether the engine is one that tells what was consumed, so that an answer without it comes from something in between. */
  #hasToldCapacity = false

  constructor (client: DynamoDBClient, settings: Settings, repository: DynamoRepository, log: Log) {
    this.#client = client
    this.#settings = settings
    this.#repository = repository
    this.#log = log
  }

  /** One read of a key that nobody has: it proves the table, its key, the permission to read and the proof of absence. */
  async verify (): Promise<void> {
    const { layout } = this.#settings
    await this.#assertRegion()
    const answer = await this.#ask('dynamodb:GetItem', async signal =>
      await this.#client.send(new GetItemCommand(readCommand(makeProbeKey(), false, layout)), { abortSignal: signal }))
    const tellsCapacity = (answer as GetItemCommandOutput | undefined)?.ConsumedCapacity !== undefined
    this.#hasToldCapacity ||= tellsCapacity
    if (tellsCapacity) {
      this.#repository.expectsCapacity = true
      return
    }
    if (this.#hasToldCapacity) throw new errors.Unavailable({ cause: new Error('An answer without consumed capacity.') })
    this.#repository.expectsCapacity = false
    this.#log.warn({}, 'This DynamoDB engine tells no consumed capacity, so an empty answer cannot be told from a missing session')
  }

  /** Without a region no request is ever sent, which would look like a service out of reach. */
  async #assertRegion (): Promise<void> {
    const { config } = this.#client as Partial<Pick<DynamoDBClient, 'config'>>
    try {
      await config?.region()
    } catch (cause) {
      throw Object.assign(new errors.BadOption('client', 'has no region: set AWS_REGION, or give { region }'), { cause })
    }
  }

  /** Creates the table where it is missing, waits until it is active, and enables TTL. */
  async create (): Promise<void> {
    const input = creationInput(this.#settings)
    await this.#assertRegion()
    const refusal = await this.#ask('dynamodb:CreateTable', async signal =>
      await this.#client.send(new CreateTableCommand(input), { abortSignal: signal })
        .then(nothing, errorNamed('ResourceInUseException', 'ValidationException')))
    if (refusal?.name === 'ValidationException') throw refusedParts(refusal)
    await this.#untilActive()
    await this.#enableTtl()
  }

  /** Not by the SDK's waiter, which takes every failure, a refused permission too, for a table that is not ready yet. */
  async #untilActive (): Promise<void> {
    const { layout: { table: TableName }, now } = this.#settings
    const deadline = now() + LONGEST_CREATION * 1000
    // Counted as well, because the clock that was handed in may stand still.
    for (let look = 0; look < LONGEST_CREATION * 1000 / CREATION_PAUSE; look++) {
      const answer = await this.#ask('dynamodb:DescribeTable', async signal =>
        await this.#client.send(new DescribeTableCommand({ TableName }), { abortSignal: signal })
          .catch(errorNamed('ResourceNotFoundException')))
      if ('Table' in answer && answer.Table?.TableStatus === 'ACTIVE') return
      if (now() >= deadline) break
      await sleep(CREATION_PAUSE)
    }
    throw new errors.Unavailable({ cause: new Error(`The table is not active after ${LONGEST_CREATION} s.`) })
  }

  async #enableTtl (): Promise<void> {
    const { table: TableName, ttlAttribute: AttributeName } = this.#settings.layout
    if (await this.#hasTtl()) return
    const TimeToLiveSpecification = { Enabled: true, AttributeName }
    const refusal = await this.#ask('dynamodb:UpdateTimeToLive', async signal =>
      await this.#client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }), { abortSignal: signal })
        .then(nothing, errorNamed('UnknownOperationException', 'ValidationException')))
    if (refusal === undefined) return
    if (refusal.name === 'UnknownOperationException') this.#log.warn({}, 'This DynamoDB engine has no TTL, so expired sessions stay in the table')
    // Refused also where another process, which started at the same time, has enabled it just now.
    else if (!await this.#hasTtl()) this.#log.warn({ err: safeCause(refusal) }, 'TTL cannot be enabled at the moment, so expired sessions stay in the table')
  }

  /** Whether TTL is enabled, be it on another attribute, which is told to the log and left. */
  async #hasTtl (): Promise<boolean> {
    const { table: TableName, ttlAttribute } = this.#settings.layout
    const answer = await this.#ask('dynamodb:DescribeTimeToLive', async signal =>
      await this.#client.send(new DescribeTimeToLiveCommand({ TableName }), { abortSignal: signal })
        .catch(errorNamed('UnknownOperationException')))
    const ttl = 'TimeToLiveDescription' in answer ? answer.TimeToLiveDescription : undefined
    if (ttl?.TimeToLiveStatus !== 'ENABLED' && ttl?.TimeToLiveStatus !== 'ENABLING') return false
    if (ttl.AttributeName !== ttlAttribute) this.#log.warn({}, 'TTL is enabled on another attribute than "ttlAttribute", so expired sessions stay in the table')
    return true
  }

  async #ask<T> (permission: string, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await this.#translated(permission, async () => await new Deadline(this.#settings.timeout).run(async stop => await send(stop.signal)))
  }

  async #translated<T> (permission: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      throw explained(error, permission, this.#settings.layout)
    }
  }
}

/** What an operator can do something about has an error of its own; everything else is a service out of reach. */
export function explained (error: unknown, permission: string, { table, partitionKey }: Pick<Layout, 'table' | 'partitionKey'>): Error {
  const cause = safeCause(error)
  if (cause.name === 'ResourceNotFoundException') return new errors.TableMissing(tableName(table), { cause })
  if (cause.name === 'ValidationException') return new errors.TableMismatch(tableName(table), partitionKey.name, partitionKey.type, { cause })
  if (REFUSED.has(cause.name)) return new errors.PermissionMissing(cause.name === 'AccessDeniedException' ? permission : 'any call, because AWS does not accept them', { cause })
  return new errors.Unavailable({ cause })
}

function nothing (): undefined {}

/** Takes errors of these names for answers. */
function errorNamed (...names: readonly string[]): (error: unknown) => Error {
  return error => {
    if (error instanceof Error && names.includes(error.name)) return error
    throw error
  }
}

/** DynamoDB checks the parts of the table's definition that are not the plugin's, and says what is wrong with them. */
function refusedParts (refusal: Error): Error {
  const cause = safeCause(refusal)
  return Object.assign(new errors.BadOption('createTable', `is refused by DynamoDB: ${cause.message}`), { cause })
}

function creationInput ({ layout, createTable }: Settings): CreateTableCommandInput {
  const parts = createTable === false ? {} : createTable
  const { name: AttributeName, type: AttributeType } = layout.partitionKey
  return {
    BillingMode: parts.ProvisionedThroughput === undefined ? 'PAY_PER_REQUEST' : 'PROVISIONED',
    ...parts,
    TableName: layout.table,
    KeySchema: [{ AttributeName, KeyType: 'HASH' }],
    AttributeDefinitions: [{ AttributeName, AttributeType }, ...parts.AttributeDefinitions ?? []]
  }
}
