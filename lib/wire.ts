import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { Dispatcher } from 'undici'
import { Connections, type Call, type Connection, type Undici } from './connections.js'
import { stopOf, type Stop } from './stop.js'

type Handler = DynamoDBClient['config']['requestHandler']
export type WireRequest = Parameters<Handler['handle']>[0]
/** What the SDK says to a transport of the options of a call. */
interface WireOptions { readonly abortSignal?: unknown }

/** An answer as the SDK takes it, read to its end. */
interface WireAnswer { readonly response: { readonly statusCode: number, readonly headers: Record<string, string>, readonly body: Uint8Array } }

/**
 * Connections at most. The SDK's 50 are few, for records of a usual size; so many are more than a process of Node can keep
 * busy with them. Who finds none free waits: a service that is busy is not silent, and its limit is that of the operation.
 */
const MOST_SOCKETS = 256

/** Milliseconds for which a connection without requests is kept: less than any gateway takes to forget it. */
const LONGEST_IDLE = 30_000

/** By so many milliseconds undici's own limits are early or late, at most. */
const UNDICI_TICKS = 1000

/**
 * The SDK's transport, on undici. Each attempt is given up when it shows no sign of life for some time: while its connection is
 * made, before the answer, and within it. `silence` is in milliseconds.
 */
export class Wire {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #silence: number
  readonly #most: number
  // Begun when a client is made, and not before: it takes some 100 ms, which who hands a client in need not spend.
  readonly #loading = import('undici')
  readonly #hosts = new Map<string, Connections>()

  constructor (silence: number, most = MOST_SOCKETS) {
    this.#silence = silence
    this.#most = most
    // Whoever sends is told.
    this.#loading.catch(() => {})
  }

  async handle (request: WireRequest, options: WireOptions = {}): Promise<WireAnswer> {
    const origin = originOf(request)
    const connections = this.#hosts.get(origin) ?? this.#connectionsTo(origin, await this.#loading)
    return await new Promise((resolve, reject) => {
      new Attempt(request, connections, this.#silence, resolve, reject).begin(stopOf(request), options.abortSignal as AbortSignal | undefined)
    })
  }

  /** Cuts the connections. What is sent afterwards makes new ones, as with the SDK's own transport. */
  destroy (): void {
    for (const connections of this.#hosts.values()) connections.destroy()
    this.#hosts.clear()
  }

  /** What the SDK would set concerns its own transport. */
  updateHttpClientConfig (): void {}

  httpHandlerConfigs (): { silence: number, connections: number } {
    return { silence: this.#silence, connections: this.#most }
  }

  #connectionsTo (origin: string, undici: Undici): Connections {
    const connections = this.#hosts.get(origin) ??
      new Connections(origin, undici, { most: this.#most, idle: LONGEST_IDLE, making: this.#silence + UNDICI_TICKS })
    this.#hosts.set(origin, connections)
    return connections
  }
}

/** undici's names for a connection that was closed by the other side, and by us. */
const CLOSED = 'UND_ERR_SOCKET'
const DESTROYED = 'UND_ERR_DESTROYED'

/** One request and what comes of it. */
class Attempt implements Call {
  readonly request: Dispatcher.DispatchOptions
  readonly #connections: Connections
  readonly #silence: number
  readonly #resolve: (answer: WireAnswer) => void
  readonly #reject: (error: Error) => void
  readonly #chunks: Buffer[] = []
  #timer: NodeJS.Timeout | undefined
  /** Its own, until it is sent. */
  #connection: Connection | undefined
  #controller: Dispatcher.DispatchController | undefined
  #failure: Error | undefined
  /** Of life. */
  #signs = 0
  #status = 0
  #headers: Record<string, string> = {}
  #release = (): void => {}

  constructor (request: WireRequest, connections: Connections, silence: number, resolve: (answer: WireAnswer) => void, reject: (error: Error) => void) {
    const { method, headers, body } = request
    this.request = { path: pathOf(request), method: method as Dispatcher.HttpMethod, headers, body }
    this.#connections = connections
    this.#silence = silence
    this.#resolve = resolve
    this.#reject = reject
  }

  begin (stop: Stop | undefined, signal: AbortSignal | undefined): void {
    this.#listen(stop, signal)
    if (this.#failure === undefined) this.#connections.send(this)
  }

  get isOver (): boolean { return this.#failure !== undefined }

  onConnection (connection: Connection): void {
    this.#connection = connection
    this.#timer = setTimeout(() => { this.#afterOneLook(silent(this.#silence)) }, this.#silence)
  }

  onRequestStart (controller: Dispatcher.DispatchController): void {
    // Given up in the turn in which undici looks at a connection: it is not sent. Thrown, because an abort would cut the connection.
    if (this.#failure !== undefined) throw this.#failure
    this.#connection = undefined
    this.#controller = controller
    this.#live()
  }

  onResponseStart (_controller: unknown, status: number, headers: Record<string, string | string[] | undefined>): void {
    this.#status = status
    this.#headers = joined(headers)
    this.#live()
  }

  onResponseData (_controller: unknown, chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#live()
  }

  onResponseEnd (): void {
    this.#signs += 1
    this.#end()
    const [first = Buffer.alloc(0), ...others] = this.#chunks
    const body = others.length === 0 ? first : Buffer.concat(this.#chunks)
    this.#resolve({ response: { statusCode: this.#status, headers: this.#headers, body } })
  }

  /** Another attempt may mend what was closed, and an answer that has begun and cannot be read to its end. */
  onResponseError (_controller: unknown, error: Error & { code?: string }): void {
    const isCut = error.code === CLOSED || (this.#status > 0 && error.code !== DESTROYED)
    this.fail(isCut ? Object.assign(error, { $retryable: {} }) : error)
  }

  fail (error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#end()
    this.#reject(error)
    this.#connections.forget(this)
    this.#controller?.abort(error)
    this.#connection?.abandon(error)
  }

  #listen (stop: Stop | undefined, signal: AbortSignal | undefined): void {
    const halt = (reason: unknown): void => { this.fail(stopped(reason)) }
    if (stop !== undefined) {
      stop.onStop = halt
      if (stop.reason !== undefined) halt(stop.reason)
    }
    if (signal === undefined) return
    const onAbort = (): void => { halt(signal.reason) }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#release = () => { signal.removeEventListener('abort', onAbort) }
    if (signal.aborted) onAbort()
  }

  #live (): void {
    this.#signs += 1
    this.#timer?.refresh()
  }

  /** Where the process itself was busy for so long, a sign may have arrived that nobody has looked at yet. */
  #afterOneLook (error: Error): void {
    const signs = this.#signs
    setImmediate(() => { if (this.#signs === signs) this.fail(error) })
  }

  #end (): void {
    clearTimeout(this.#timer)
    this.#release()
  }
}

function originOf ({ protocol, hostname, port }: WireRequest): string {
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`
}

/** DynamoDB's calls have no query; an endpoint that was configured may. */
function pathOf ({ path, query }: WireRequest): string {
  const pairs = Object.entries<string | string[] | null>(query ?? {})
    .flatMap(([name, values]) => [values ?? ''].flat().map(value => `${escape(name)}=${escape(value)}`))
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

/** As the signature has it. */
function escape (text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, sign => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
}

function joined (headers: Record<string, string | string[] | undefined>): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) if (Array.isArray(value)) headers[name] = value.join(', ')
  return headers as Record<string, string>
}

function silent (milliseconds: number): Error {
  return Object.assign(new Error(`No sign of life for ${milliseconds} ms.`), { name: 'TimeoutError' })
}

/** By this name the SDK knows not to try again. */
function stopped (reason: unknown): Error {
  return Object.assign(new Error('The call was told to stop.', { cause: reason }), { name: 'AbortError' })
}
