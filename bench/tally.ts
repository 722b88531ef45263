import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { addCounts, type Count, type Counts } from './counts.js'

/** A server on a port of its own that keeps account of the calls for which it is asked. */
export abstract class Tally {
  readonly #server = createServer((request, response) => { this.respond(request, response) })
  #counts: Counts = {}

  constructor () {
    this.#server.keepAliveTimeout = 60_000
  }

  protected abstract respond (request: IncomingMessage, response: ServerResponse): void

  get endpoint (): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The calls since the last look. */
  take (): Counts {
    const counts = this.#counts
    this.#counts = {}
    return counts
  }

  async listen (): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  async close (): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  protected note (action: string, count: Count): void {
    addCounts(this.#counts, action, count)
  }
}
