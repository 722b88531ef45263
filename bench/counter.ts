import { once } from 'node:events'
import { Agent, request as send, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { Tally } from './tally.js'

/**
 * Stands before an engine and counts what is asked of it, and what the engine says that this costs. Most applications do not
 * ask for the capacity, so it asks for them.
 */
export class Counter extends Tally {
  readonly #target: URL
  readonly #agent = new Agent({ keepAlive: true })
  /** Resolves when calls may go on. */
  readonly #pass: () => Promise<void>

  private constructor (target: string, pass: () => Promise<void>) {
    super()
    this.#pass = pass
    this.#target = new URL(target)
  }

  static async start (target: string, pass: () => Promise<void> = async () => {}): Promise<Counter> {
    return await new Counter(target, pass).listen()
  }

  override async close (): Promise<void> {
    this.#agent.destroy()
    await super.close()
  }

  protected override respond (request: IncomingMessage, response: ServerResponse): void {
    this.#relay(request, response).catch(error => response.destroy(error as Error))
  }

  async #relay (incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(incoming)
    await this.#pass()
    const action = String(incoming.headers['x-amz-target']).split('.')[1] ?? ''
    const asking = /Item$/.test(action) ? JSON.stringify({ ...JSON.parse(body.toString()) as object, ReturnConsumedCapacity: 'TOTAL' }) : body
    const { 'content-length': _, host: __, connection: ___, ...headers } = incoming.headers
    const { hostname, port } = this.#target
    const outgoing = send({ hostname, port, method: 'POST', agent: this.#agent, headers: { ...headers, 'content-length': Buffer.byteLength(asking) } })
    outgoing.end(asking)
    const [answer] = await once(outgoing, 'response') as [IncomingMessage]
    const answered = await buffer(answer)
    const units = unitsIn(answered)
    const isRead = /Get/.test(action)
    this.note(action, { calls: 1, read: isRead ? units : 0, write: isRead ? 0 : units, sent: body.length })
    response.writeHead(Number(answer.statusCode), { 'content-type': answer.headers['content-type'], 'content-length': answered.length })
    response.end(answered)
  }
}

interface Capacity { readonly CapacityUnits?: number }

function unitsIn (body: Buffer): number {
  const { ConsumedCapacity: told } = JSON.parse(body.toString()) as { ConsumedCapacity?: Capacity | Capacity[] }
  return (Array.isArray(told) ? told : [told]).reduce((sum, capacity) => sum + (capacity?.CapacityUnits ?? 0), 0)
}
