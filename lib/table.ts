import {
  CreateTableCommand, DescribeTimeToLiveCommand, GetItemCommand, UpdateTimeToLiveCommand, waitUntilTableExists,
  type CreateTableCommandInput, type DynamoDBClient
} from '@aws-sdk/client-dynamodb'
import { withDeadline } from './deadline.js'
import { errors, safeCause } from './errors.js'
import { readCommand } from './commands.js'
import type { Settings } from './options.js'
import type { Log } from './report.js'
import type { DynamoRepository } from './repository.js'
import { makeProbeKey } from './token.js'

/** Seconds to wait for a new table. AWS takes 5 to 20. */
const LONGEST_CREATION = 60

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

  constructor (client: DynamoDBClient, settings: Settings, repository: DynamoRepository, log: Log) {
    this.#client = client
    this.#settings = settings
    this.#repository = repository
    this.#log = log
  }

  /** One read of a key that nobody has: it proves the table, its key, the permission to read and the proof of absence. */
  async verify (): Promise<void> {
    const { layout } = this.#settings
    const answer = await this.#ask('dynamodb:GetItem', async signal =>
      await this.#client.send(new GetItemCommand(readCommand(makeProbeKey(), false, layout)), { abortSignal: signal }))
    this.#repository.expectsCapacity = answer.ConsumedCapacity !== undefined
    if (this.#repository.expectsCapacity) return
    this.#log.warn({}, 'This DynamoDB engine tells no consumed capacity, so an empty answer cannot be told from a missing session')
  }

  /** Creates the table where it is missing, waits until it is active, and enables TTL. */
  async create (): Promise<void> {
    const input = creationInput(this.#settings)
    await this.#ask('dynamodb:CreateTable', async signal => {
      await this.#client.send(new CreateTableCommand(input), { abortSignal: signal }).catch(unlessNamed('ResourceInUseException'))
    })
    const waiting = { client: this.#client, maxWaitTime: LONGEST_CREATION, minDelay: 1, maxDelay: 3 }
    await this.#translated('dynamodb:DescribeTable', async () => await waitUntilTableExists(waiting, { TableName: input.TableName }))
    await this.#enableTtl()
  }

  async #enableTtl (): Promise<void> {
    const { table: TableName, ttlAttribute: AttributeName } = this.#settings.layout
    const described = await this.#ask('dynamodb:DescribeTimeToLive', async signal =>
      await this.#client.send(new DescribeTimeToLiveCommand({ TableName }), { abortSignal: signal }))
    const ttl = described.TimeToLiveDescription
    if (ttl?.TimeToLiveStatus === 'ENABLED' || ttl?.TimeToLiveStatus === 'ENABLING') {
      if (ttl.AttributeName !== AttributeName) this.#log.warn({}, 'TTL is enabled on another attribute than "ttlAttribute", so expired sessions stay in the table')
      return
    }
    const TimeToLiveSpecification = { Enabled: true, AttributeName }
    const answer = await this.#ask('dynamodb:UpdateTimeToLive', async signal =>
      await this.#client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }), { abortSignal: signal })
        .catch(unlessNamed('UnknownOperationException')))
    if (answer === undefined) this.#log.warn({}, 'This DynamoDB engine has no TTL, so expired sessions stay in the table')
  }

  async #ask<T> (permission: string, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await this.#translated(permission, async () => await withDeadline(this.#settings.timeout, send))
  }

  /** What an operator can do something about has an error of its own; everything else is a service out of reach. */
  async #translated<T> (permission: string, act: () => Promise<T>): Promise<T> {
    const { layout } = this.#settings
    try {
      return await act()
    } catch (error) {
      const cause = safeCause(error)
      if (cause.name === 'ResourceNotFoundException') throw new errors.TableMissing(tableName(layout.table), { cause })
      if (cause.name === 'ValidationException') throw new errors.TableMismatch(tableName(layout.table), layout.partitionKey.name, layout.partitionKey.type, { cause })
      if (REFUSED.has(cause.name)) throw new errors.PermissionMissing(permission, { cause })
      throw new errors.Unavailable({ cause })
    }
  }
}

/** A table's name without the account that its ARN tells. */
function tableName (table: string): string {
  return table.slice(table.lastIndexOf('/') + 1)
}

function unlessNamed (name: string): (error: unknown) => undefined {
  return error => {
    if (error instanceof Error && error.name === name) return undefined
    throw error
  }
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
