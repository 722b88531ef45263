import { buffer } from 'node:stream/consumers'
import { crc32 } from 'node:zlib'
import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { findStops, handStop } from './stop.js'
import { Wire } from './wire.js'

/** Attempts within the time limit of an operation, the first included, where neither the configuration nor `AWS_MAX_ATTEMPTS` says. */
const ATTEMPTS = 3

/** What a connection may take of the time limit without a sign of life: one that died in silence leaves time for the others. */
const SILENCE_SHARE = 0.3

/**
 * A client whose calls end, and which spends no time on what is the same for every call. What the configuration says itself
 * is left as it says; each saving, and what it must not break: docs/decisions/0023-the-client.md.
 */
export function makeClient (config: DynamoDBClientConfig, timeout: number): DynamoDBClient {
  const { requestHandler, maxAttempts, cacheMiddleware, retryStrategy, signer, logger } = config
  const isOwnWire = requestHandler === undefined
  const client = new DynamoDBClient({
    ...config,
    ...(process.env['AWS_MAX_ATTEMPTS'] ?? '') === '' && { maxAttempts: ATTEMPTS },
    ...maxAttempts !== undefined && { maxAttempts },
    requestHandler: requestHandler ?? new Wire(Math.floor(timeout * SILENCE_SHARE * 1000)),
    cacheMiddleware: cacheMiddleware ?? (isOwnWire && !isOldStrategy(retryStrategy))
  })
  if (signer === undefined) keepSigners(client)
  makeQuickToCopy(client)
  const stack = client.middlewareStack
  keepUserAgent(stack)
  // It makes a copy of every input and answer before it finds that nobody listens.
  if (logger === undefined) stack.remove('loggerMiddleware')
  if (process.env['AWS_LAMBDA_FUNCTION_NAME'] === undefined) stack.remove('recursionDetectionMiddleware')
  // Inside of what repeats and of what parses, so that a damaged answer is repeated and never parsed.
  stack.add(next => async args => {
    handStop(args.input, args.request as object)
    const result = await next(args)
    await checkAnswer(result.response)
    return result
  }, { step: 'deserialize', priority: 'low', name: 'fastifyDynamodbSession' })
  if (isOwnWire) findStops(client)
  return client
}

/** A retry strategy of the SDK's first kind adds to a list in the stack with every call, which must not be kept then. */
function isOldStrategy (strategy: DynamoDBClientConfig['retryStrategy']): boolean {
  return strategy !== undefined && !('acquireInitialRetryToken' in strategy)
}

/** One signer for each scheme instead of one for each call. It asks for the credentials with every request all the same. */
export function keepSigners ({ config }: Pick<DynamoDBClient, 'config'>): void {
  const make = config.signer as typeof config.signer | undefined
  if (make === undefined) return
  const kept = new WeakMap<object, Awaited<ReturnType<typeof make>>>()
  const ofRegion = {}
  config.signer = async scheme => {
    const key = scheme ?? ofRegion
    const signer = kept.get(key) ?? await make(scheme)
    kept.set(key, signer)
    return signer
  }
}

/** What the SDK knows of a call beside the configuration. */
const OF_A_CALL = [
  'clientName', 'commandName', 'inputFilterSensitiveLog', 'outputFilterSensitiveLog', 'dynamoDbDocumentClientOptions', 'endpointV2', 'authSchemes',
  'signing_region', 'signing_service', 'userAgent', '__smithy_context', '__aws_sdk_context'
]

/**
 * The SDK copies the configuration three times for each call, twice together with what it knows of the call. V8 keeps it as a
 * table, since it was made by adding and replacing, and copies it in 8 us: in 1 us what it keeps as it keeps other objects.
 * That it does with whatever is a prototype and is read from. The configuration has the same members as before, and as many
 * empty ones as the copies have more, because an object that grows by as much becomes a table. Where V8 thinks otherwise, or
 * the SDK has other members, calls take longer, and that is all.
 */
function makeQuickToCopy ({ config }: DynamoDBClient): void {
  // An accessor, which was for who replaces them, and what has one is copied slowly.
  Object.defineProperty(config, 'credentials', { value: config.credentials, configurable: true, enumerable: true, writable: true })
  for (const name of OF_A_CALL) if (!(name in config)) Reflect.set(config, name, undefined)
  Object.create(config)
  for (let times = 0; times < 20; times++) readFrom(config)
}

function readFrom (config: DynamoDBClient['config']): unknown {
  return config.region
}

type Stack = DynamoDBClient['middlewareStack']

/** What is needed here of the SDK's middleware that fills in headers. */
interface Call { readonly request: { readonly headers: Record<string, string> } }
type Send = (call: Call) => Promise<{ response: unknown, output: object }>
type Middleware = (next: Send, context: object) => Send

const USER_AGENT = 'getUserAgentMiddleware'
const USER_AGENT_HEADERS = ['user-agent', 'x-amz-user-agent']

/** What the SDK says of itself, and of the application where that is configured, is put together once. */
function keepUserAgent (stack: Stack): void {
  for (const [sayIt, place] of middlewareNamed(stack, USER_AGENT)) {
    stack.add(sayingOnce(sayIt) as never, { ...place, name: USER_AGENT, override: true } as never)
  }
}

function sayingOnce (sayIt: Middleware): Middleware {
  let said: Record<string, string> | undefined
  return (next, context) => {
    const first = sayIt(async call => {
      said = Object.fromEntries(Object.entries(call.request.headers).filter(([name]) => USER_AGENT_HEADERS.includes(name)))
      return await next(call)
    }, context)
    return async call => {
      if (said === undefined) return await first(call)
      Object.assign(call.request.headers, said)
      return await next(call)
    }
  }
}

/** Where in the stack something is. A later version of the SDK may have it elsewhere. */
interface Place { readonly step: string, readonly priority: string }

/** A stack shows what it holds only to another one. */
function middlewareNamed (stack: Stack, name: string): Array<[Middleware, Place]> {
  const found: Array<[Middleware, Place]> = []
  const onlooker = {
    add: (middleware: Middleware, options: Place & { readonly name?: string }) => {
      const { step, priority } = options
      if (options.name === name) found.push([middleware, { step, priority }])
    },
    addRelativeTo: () => {}
  }
  stack.applyToStack(onlooker as never)
  return found
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
