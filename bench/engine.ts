import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { startDynamoDBLocal } from '../test/support/engines.js'
import { compiled } from './build.js'
import { ask, start, stop } from './child.js'
import type { Counts } from './counts.js'
import type { Filling } from './stub.js'

/** The stub in its own process, by remote control. */
export class StubEngine {
  readonly endpoint: string
  readonly #child: ChildProcess

  private constructor (child: ChildProcess, endpoint: string) {
    this.#child = child
    this.endpoint = endpoint
  }

  static async start (): Promise<StubEngine> {
    const { child, ready } = await start<string>(compiled('stub-process'))
    return new StubEngine(child, ready)
  }

  /** The calls since the last look. */
  async take (): Promise<Counts> {
    return await ask(this.#child, 'take')
  }

  /** Holds each answer back for so many milliseconds from now on. */
  async delay (milliseconds: number): Promise<void> {
    await ask(this.#child, 'delay', milliseconds)
  }

  async fill (filling: Filling): Promise<void> {
    await ask(this.#child, 'fill', filling)
  }

  async keys (table: string): Promise<string[]> {
    return await ask(this.#child, 'keys', table)
  }

  async clear (): Promise<void> {
    await ask(this.#child, 'clear')
  }

  /** Microseconds of the processor that it has used. */
  async cpu (): Promise<number> {
    return await ask(this.#child, 'cpu')
  }

  async close (): Promise<void> {
    await stop(this.#child)
  }
}

/** A DynamoDB Local of our own, on a port that is free: not the one that tests share. */
export async function startLocal (): ReturnType<typeof startDynamoDBLocal> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return await startDynamoDBLocal({ port })
}
