import type { DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import type { Flags, Given } from './arguments.js'
import type { Output, Sink } from './output.js'

/** What a command may touch of the world. */
export interface Io {
  readonly out: Sink
  readonly err: Sink
  readonly env: Readonly<Record<string, string | undefined>>
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly sleep: (milliseconds: number) => Promise<void>
  /** What the client is made with, beside what the arguments say. */
  readonly aws: DynamoDBClientConfig
  /** For long work: a signal that is aborted when somebody wants it to stop. It ends what it has begun, and says how to go on. */
  readonly stop: () => AbortSignal
}

export interface Context {
  readonly given: Given
  readonly output: Output
  readonly io: Io
}

export interface Command {
  readonly name: string
  /** One line. */
  readonly summary: string
  /** What it does, what it costs, what it needs: lines of the help. */
  readonly about: readonly string[]
  /** Names of what is given without an option's name, all of them required. */
  readonly positionals: readonly string[]
  readonly flags: Flags
  /** Resolves to the exit code. */
  readonly run: (context: Context) => Promise<number>
}

/** Of every command. */
export const OUTPUT_FLAGS: Flags = {
  json: { type: 'boolean', help: 'Print one JSON document instead of text.' },
  'no-color': { type: 'boolean', help: 'No colours on a terminal either. NO_COLOR does the same.' },
  help: { type: 'boolean', help: 'Print this help.' }
}

/** How the table is laid out, as the options of the plugin say it. */
export const LAYOUT_FLAGS: Flags = {
  table: { type: 'string', value: 'name', help: 'Name or ARN of the table. Required.' },
  prefix: { type: 'string', value: 'text', help: 'The plugin\'s "keyPrefix".', otherwise: 'none' },
  'partition-key': { type: 'string', value: 'name', help: 'Name of the partition key.', otherwise: 'id' },
  'key-type': { type: 'string', value: 'S|B', help: 'Type of the partition key.', otherwise: 'S' },
  'ttl-attribute': { type: 'string', value: 'name', help: 'The plugin\'s "ttlAttribute".', otherwise: 'expires' }
}

/** Of every command that speaks to DynamoDB. Credentials come from where every AWS client looks for them, never from here. */
export const TABLE_FLAGS: Flags = {
  ...LAYOUT_FLAGS,
  region: { type: 'string', value: 'name', help: 'AWS region.', otherwise: 'AWS_REGION, or the profile\'s' },
  profile: { type: 'string', value: 'name', help: 'Profile of the AWS configuration files.', otherwise: 'AWS_PROFILE' },
  endpoint: { type: 'string', value: 'url', help: 'Of another engine; one on this machine needs no credentials.', otherwise: 'AWS\'s, or AWS_ENDPOINT_URL_DYNAMODB' },
  timeout: { type: 'string', value: 'seconds', help: 'Most that one call may take, its repetitions included.', otherwise: '10' }
}
