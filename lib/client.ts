import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'

/** Seconds in which a connection is made or is given up; a healthy region needs milliseconds. */
const CONNECTION_TIMEOUT = 1

/** Attempts within the time limit of an operation, the first included. */
const ATTEMPTS = 3

/**
 * A client whose calls end: without `throwOnRequestTimeout` the SDK only logs a slow request and waits for ever. What the
 * configuration says itself is left as it says.
 */
export function makeClient (config: DynamoDBClientConfig, timeout: number): DynamoDBClient {
  return new DynamoDBClient({
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: Math.min(timeout, CONNECTION_TIMEOUT) * 1000,
      requestTimeout: timeout * 1000,
      throwOnRequestTimeout: true
    },
    ...config
  })
}
