import { once } from 'node:events'
import { createServer, request as send, Agent, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** One DynamoDB call as it went over the wire. */
export interface Call {
  /** Such as `GetItem`. */
  readonly action: string
  readonly input: Readonly<Record<string, any>>
  readonly output: Readonly<Record<string, any>>
  readonly status: number
  /** Capacity units, 0 where the answer tells none. */
  readonly capacity: number
  readonly requestBytes: number
}

/** What a test answers in the engine's place: status and body, or nothing to let the call pass. */
export type Interception = (action: string, input: Readonly<Record<string, any>>) =>
  { status: number, body: unknown } | undefined | Promise<{ status: number, body: unknown } | undefined>

/** A proxy in front of an engine that lists every call with its capacity. */
export class Recorder {
  readonly calls: Call[] = []
  /** Answers eventually consistent reads with the state before the last write of the item, as a lagging replica may. */
  staleReads = false
  /** Answers calls in the engine's place. */
  intercept: Interception = () => undefined
  readonly #target: URL
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true })
  /** For each item, what it was before its last write. */
  readonly #previous = new Map<string, unknown>()

  private constructor (target: string) {
    this.#target = new URL(target)
    this.#server = createServer((request, response) => {
      this.#relay(request, response).catch(error => response.destroy(error as Error))
    })
  }

  static async start (engine: { readonly endpoint: string }): Promise<Recorder> {
    const recorder = new Recorder(engine.endpoint)
    recorder.#server.listen(0, '127.0.0.1')
    await once(recorder.#server, 'listening')
    return recorder
  }

  get endpoint (): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close (): Promise<void> {
    this.#agent.destroy()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** The actions since the last look, and forgets them. */
  take (): string[] {
    return this.takeCalls().map(call => call.action)
  }

  takeCalls (): Call[] {
    return this.calls.splice(0)
  }

  async #relay (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request)
    const action = String(request.headers['x-amz-target']).split('.')[1] ?? ''
    const input = JSON.parse(body.toString()) as Record<string, any>
    const own = await this.intercept(action, input)
    const answer = own === undefined
      ? await this.#answer(action, input, body, request)
      : { status: own.status, text: typeof own.body === 'string' ? own.body : JSON.stringify(own.body) }
    const output = parse(answer.text)
    this.calls.push({
      action, input, output, status: answer.status, capacity: output['ConsumedCapacity']?.CapacityUnits ?? 0, requestBytes: body.length
    })
    response.writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.0', 'content-length': Buffer.byteLength(answer.text) })
    response.end(answer.text)
  }

  async #answer (action: string, input: Record<string, any>, body: Buffer, request: IncomingMessage): Promise<{ status: number, text: string }> {
    const Key = input['Key'] ?? { id: input['Item']?.id }
    const item = JSON.stringify([input['TableName'], Key])
    if (this.staleReads && ['PutItem', 'UpdateItem', 'DeleteItem'].includes(action)) {
      const read = Buffer.from(JSON.stringify({ TableName: input['TableName'], Key, ConsistentRead: true }))
      this.#previous.set(item, parse((await this.#forward(read, request, 'GetItem')).text)['Item'])
    }
    const answer = await this.#forward(body, request)
    const isStale = action === 'GetItem' && this.staleReads && input['ConsistentRead'] !== true && this.#previous.has(item)
    return isStale ? { ...answer, text: JSON.stringify({ ...parse(answer.text), Item: this.#previous.get(item) }) } : answer
  }

  async #forward (body: Buffer, { headers }: IncomingMessage, action?: string): Promise<{ status: number, text: string }> {
    const target = action === undefined ? headers['x-amz-target'] : `DynamoDB_20120810.${action}`
    const outgoing = send({
      hostname: this.#target.hostname,
      port: this.#target.port,
      method: 'POST',
      agent: this.#agent,
      headers: { ...headers, host: this.#target.host, 'x-amz-target': target, 'content-length': body.length }
    })
    outgoing.end(body)
    const [response] = await once(outgoing, 'response') as [IncomingMessage]
    return { status: response.statusCode ?? 0, text: (await buffer(response)).toString() }
  }
}

function parse (text: string): Record<string, any> {
  try {
    return JSON.parse(text) as Record<string, any>
  } catch {
    return {}
  }
}
