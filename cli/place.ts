import type { DynamoDBClient, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { makeClient } from '../lib/client.js'
import type { DynamoSessionOptions } from '../types/options.js'
import type { Given } from './arguments.js'
import { CommandFault, FAILED, misuse } from './fault.js'

/** What the arguments say of the table, as options of the plugin. */
export function layoutOptions (given: Given): DynamoSessionOptions {
  const type = given.oneOf('key-type', ['S', 'B']) ?? 'S'
  const ttlAttribute = given.text('ttl-attribute')
  return {
    table: given.required('table'),
    partitionKey: { name: given.text('partition-key') ?? 'id', type },
    keyPrefix: given.text('prefix') ?? '',
    ...ttlAttribute !== undefined && { ttlAttribute }
  }
}

/** Addresses of this machine. */
export const HERE = /^https?:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?\/?$/

export function endpointOf (given: Given): string | undefined {
  const endpoint = given.text('endpoint')
  if (endpoint === undefined || (/^https?:\/\/[^\s/@]+\/?$/.test(endpoint) && URL.canParse(endpoint))) return endpoint
  throw misuse('Option "--endpoint" must be a URL such as http://127.0.0.1:8000, without a path or a user.')
}

/** An engine on this machine takes any region and credentials: where there are none, those with which the README tries it. */
export async function lackOf (config: DynamoDBClientConfig, timeout: number): Promise<DynamoDBClientConfig> {
  const client = makeClient(config, timeout)
  const [lacksRegion, lacksCredentials] = (await Promise.allSettled([client.config.region(), client.config.credentials()])).map(({ status }) => status === 'rejected')
  client.destroy()
  return { ...lacksRegion && { region: 'local' }, ...lacksCredentials && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } } }
}

/** Without a region no request is ever sent, which would look like a service out of reach. */
export async function assertRegion ({ config }: DynamoDBClient): Promise<void> {
  try {
    await config.region()
  } catch (cause) {
    throw new CommandFault('FST_DYNAMODB_SESSION_NO_REGION', 'There is no region. Give --region, or set AWS_REGION; another engine takes any.', { cause, exitCode: FAILED })
  }
}
