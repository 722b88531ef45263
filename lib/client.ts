import { buffer } from 'node:stream/consumers'
import { crc32 } from 'node:zlib'
import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'

/** Attempts within the time limit of an operation, the first included. */
const ATTEMPTS = 3

/** What a connection may take of the time limit without a sign of life: one that died in silence leaves time for the others. */
const SILENCE_SHARE = 0.3

/**
 * Connections at most. The SDK's 50 are few, and it counts the wait for a free one as connecting; so many are more than a
 * process of Node can keep busy with records of a usual size.
 */
const MOST_SOCKETS = 256

/**
 * A client whose calls end: without `throwOnRequestTimeout` the SDK only logs a slow request and waits for ever. What the
 * configuration says itself is left as it says.
 */
export function makeClient (config: DynamoDBClientConfig, timeout: number): DynamoDBClient {
  const silence = Math.floor(timeout * SILENCE_SHARE * 1000)
  const agent = { maxSockets: MOST_SOCKETS }
  const client = new DynamoDBClient({
    ...config,
    maxAttempts: config.maxAttempts ?? ATTEMPTS,
    requestHandler: config.requestHandler ?? {
      connectionTimeout: silence,
      socketTimeout: silence,
      requestTimeout: timeout * 1000,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent
    }
  })
  // Inside of what repeats and of what parses, so that a damaged answer is repeated and never parsed.
  client.middlewareStack.add(next => async args => {
    const result = await next(args)
    await checkAnswer(result.response)
    return result
  }, { step: 'deserialize', priority: 'low', name: 'checkAnswer' })
  return client
}

/** DynamoDB tells the checksum of every answer, and the SDK does not look at it. */
async function checkAnswer (response: unknown): Promise<void> {
  const { headers, body } = response as { headers?: Record<string, string>, body: unknown }
  const checksum = headers?.['x-amz-crc32']
  if (checksum === undefined || !isReadable(body)) return
  const bytes = body instanceof Uint8Array ? body : await buffer(body)
  if (crc32(bytes) !== Number(checksum)) {
    throw Object.assign(new Error('An answer was damaged on its way: its checksum does not fit.'), { name: 'ChecksumError', $retryable: {} })
  }
  Object.assign(response as object, { body: bytes })
}

/** What comes from a transport that was handed in may be anything that the SDK takes. */
function isReadable (body: unknown): body is Uint8Array | AsyncIterable<Buffer> {
  return body instanceof Uint8Array || (typeof body === 'object' && body !== null && Symbol.asyncIterator in body)
}
