import { once } from 'node:events'
import {
  createServer, request as send, Agent, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { jsonAnswer, Rules, sendAnswer, type Answer, type Exchange, type Fault, type Gate, type Match, type Rule } from './wire-faults.js'

export { faults, type Action, type Fault, type Gate, type Match, type Rule } from './wire-faults.js'

/** One DynamoDB call as it went over the wire. */
export interface Call {
  /** Such as `GetItem`. */
  readonly action: string
  readonly input: Readonly<Record<string, any>>
  /** What the engine answered, or who stood in its place, whether or not the client came to see it. Empty where nobody answered. */
  readonly output: Readonly<Record<string, any>>
  /** Of that same answer, 0 where there was none. */
  readonly status: number
  /** Capacity units, 0 where the answer tells none. */
  readonly capacity: number
  readonly requestBytes: number
  /** The name of the fault that the call met. */
  readonly fault: string | undefined
}

/** What a test answers in the engine's place: status and body, or nothing to let the call pass. */
export type Interception = (action: string, input: Readonly<Record<string, any>>) =>
  { status: number, body: unknown } | undefined | Promise<{ status: number, body: unknown } | undefined>

interface Request {
  readonly action: string
  readonly input: Record<string, any>
  readonly body: Buffer
  readonly headers: IncomingHttpHeaders
}

/** A proxy in front of an engine that lists every call with its capacity, and deals faults. */
export class FaultProxy {
  /** The calls, each listed when its answer is known, or when it is known that there will be none. */
  readonly calls: Call[] = []
  /** Answers eventually consistent reads with the state before the last write of the item, as a lagging replica may. */
  staleReads = false
  /** How rules and tests see what a call puts into the table. The engine gets it as it came. */
  view: (input: Record<string, any>) => Record<string, any> = input => input
  /** Answers calls in the engine's place. Faults and gates stand before it. */
  intercept: Interception = () => undefined
  readonly #target: URL
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true })
  readonly #sockets = new Set<Socket>()
  readonly #rules = new Rules()
  readonly #closed = new AbortController()
  /** What a test must not pass over, for the close to tell. */
  readonly #problems: string[] = []
  /** For each item, what it was before its last write. */
  readonly #previous = new Map<string, unknown>()
  #port = 0

  private constructor (target: string) {
    this.#target = new URL(target)
    this.#server = createServer((request, response) => {
      this.#relay(request, response).catch(error => response.destroy(error as Error))
    })
    this.#server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  static async start (engine: { readonly endpoint: string }): Promise<FaultProxy> {
    const proxy = new FaultProxy(engine.endpoint)
    await proxy.restart()
    return proxy
  }

  get endpoint (): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** The actions since the last look, and forgets them. */
  take (): string[] {
    return this.takeCalls().map(call => call.action)
  }

  takeCalls (): Call[] {
    return this.calls.splice(0)
  }

  /** The next calls that match meet this fault. */
  meet (match: Match, fault: Fault): Rule {
    return this.#rules.meet(match, fault)
  }

  /** The next call that matches stops: before it reaches the engine, or after the engine applied it and before its answer leaves. */
  gate (match: Match, where: 'before' | 'after' = 'before'): Gate {
    return this.#rules.gate(match, where)
  }

  /** Resets every connection and refuses new ones, as an engine that is down. */
  async stop (): Promise<void> {
    await this.#shut(() => { for (const socket of this.#sockets) socket.resetAndDestroy() })
  }

  /** Answers again, on the same port. */
  async restart (): Promise<void> {
    if (this.#server.listening) return
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /**
   * Cuts every connection. Throws where a gate still holds a call, where a write came by without a condition, also one that never
   * reached the engine, or where a fault found nothing to damage.
   */
  async close (): Promise<void> {
    this.#closed.abort()
    this.#agent.destroy()
    await this.#shut(() => this.#server.closeAllConnections())
    const problems = [...this.#problems.splice(0), ...this.#rules.takeHeld().map(held => `a gate still holds ${held}`)]
    if (problems.length > 0) throw new Error(`The proxy saw what must not be: ${problems.join('; ')}`)
  }

  async #shut (cut: () => void): Promise<void> {
    if (!this.#server.listening) return
    this.#server.close()
    cut()
    await once(this.#server, 'close')
  }

  async #relay (incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(incoming)
    const action = String(incoming.headers['x-amz-target']).split('.')[1] ?? ''
    const request = { action, input: this.view(parse(body)), body, headers: incoming.headers }
    this.#problems.push(...unconditionalWrites(action, request.input).map(kind => `${kind} without a ConditionExpression`))
    const taken = this.#rules.find(action, request.input)
    const exchange = this.#exchange(request, response, incoming.socket, taken?.fault?.name)
    if (taken?.fault !== undefined) return await taken.fault.deal(exchange)
    await taken?.before?.()
    const answer = await exchange.reach()
    await taken?.after?.()
    sendAnswer(response, answer)
  }

  #exchange (request: Request, response: ServerResponse, socket: Socket, fault: string | undefined): Exchange {
    const list = (answer?: Answer): void => {
      const { action, input, body } = request
      const output = answer === undefined ? {} : parse(answer.body)
      const capacity = capacityIn(output)
      this.calls.push({ action, input, output, status: answer?.status ?? 0, capacity, requestBytes: body.length, fault })
    }
    return {
      socket,
      response,
      withhold: list,
      reach: async () => {
        const own = await this.intercept(request.action, request.input)
        const answer = own === undefined ? await this.#answer(request) : jsonAnswer(own.status, own.body)
        list(answer)
        return answer
      },
      wait: async ms => { await sleep(ms, undefined, { signal: this.#closed.signal }) },
      complain: problem => { this.#problems.push(`${request.action}: ${problem}`) }
    }
  }

  async #answer (request: Request): Promise<Answer> {
    const { action, input } = request
    const Key = input['Key'] ?? { id: input['Item']?.id }
    const item = JSON.stringify([input['TableName'], Key])
    if (this.staleReads && ['PutItem', 'UpdateItem', 'DeleteItem'].includes(action)) {
      const read = Buffer.from(JSON.stringify({ TableName: input['TableName'], Key, ConsistentRead: true }))
      this.#previous.set(item, parse((await this.#forward({ ...request, action: 'GetItem', body: read })).body)['Item'])
    }
    const answer = await this.#forward(request)
    if (!this.staleReads || answer.status !== 200) return answer
    if (action === 'BatchGetItem') return jsonAnswer(answer.status, this.#staleBatch(input, parse(answer.body)))
    const isStale = action === 'GetItem' && input['ConsistentRead'] !== true && this.#previous.has(item)
    return isStale ? jsonAnswer(answer.status, { ...parse(answer.body), Item: this.#previous.get(item) }) : answer
  }

  /** The answer to a batch with each item as it was before its last write, and without those that were not there. */
  #staleBatch (input: Record<string, any>, output: Record<string, any>): Record<string, any> {
    const tables = Object.entries<Record<string, any>>(input['RequestItems']).map(([table, { Keys, ConsistentRead }]) => {
      const present: Array<Record<string, any>> = output['Responses']?.[table] ?? []
      if (ConsistentRead === true) return [table, present]
      const items = (Keys as Array<Record<string, any>>).map(key => {
        const item = JSON.stringify([table, key])
        const found = present.find(candidate => Object.entries(key).every(([name, value]) => JSON.stringify(candidate[name]) === JSON.stringify(value)))
        return this.#previous.has(item) ? this.#previous.get(item) : found
      })
      return [table, items.filter(item => item !== undefined)]
    })
    return { ...output, Responses: Object.fromEntries(tables) }
  }

  async #forward ({ action, body, headers }: Request): Promise<Answer> {
    // What belongs to the client's own connection stays behind.
    const { connection: _, 'transfer-encoding': __, 'accept-encoding': ___, ...kept } = headers
    const outgoing = send({
      hostname: this.#target.hostname,
      port: this.#target.port,
      method: 'POST',
      agent: this.#agent,
      headers: {
        ...kept,
        host: this.#target.host,
        ...headers['x-amz-target'] !== undefined && { 'x-amz-target': `DynamoDB_20120810.${action}` },
        'content-length': body.length
      }
    })
    // A connection that breaks in mid-answer is told by the request too, to which nobody listens any more by then.
    outgoing.on('error', () => {})
    outgoing.end(body)
    const [response] = await once(outgoing, 'response') as [IncomingMessage]
    return { status: response.statusCode ?? 0, headers: relayed(response.headers), body: await buffer(response) }
  }
}

function relayed (headers: IncomingHttpHeaders): Record<string, string> {
  const { 'content-type': type, 'x-amz-crc32': sum } = headers
  return { ...type !== undefined && { 'content-type': type }, ...sum !== undefined && { 'x-amz-crc32': String(sum) } }
}

/** Capacity units, which a batch tells for each table. */
function capacityIn ({ ConsumedCapacity: told }: Record<string, any>): number {
  return [told ?? []].flat().reduce((sum: number, { CapacityUnits = 0 }: { CapacityUnits?: number }) => sum + CapacityUnits, 0)
}

/** What a request writes without a condition. A delete needs none, nor does a tombstone, which may replace anything. */
function unconditionalWrites (action: string, input: Record<string, any>): string[] {
  const writes: Array<[string, Record<string, any>]> = action === 'TransactWriteItems'
    ? (input['TransactItems'] ?? []).flatMap((part: object) => Object.entries(part).map(([kind, write]) => [`${kind}Item`, write]))
    : [[action, input]]
  return writes
    .filter(([kind, write]) => ['PutItem', 'UpdateItem'].includes(kind) && write['ConditionExpression'] === undefined)
    .filter(([kind, write]) => kind !== 'PutItem' || write['Item']?.next?.S !== '-')
    .map(([kind]) => kind)
}

function parse (body: Buffer): Record<string, any> {
  try {
    return JSON.parse(body.toString()) as Record<string, any>
  } catch {
    return {}
  }
}
