import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import dynalite from 'dynalite'
import type { DatabaseSwitch } from './database.js'

const HOST = '127.0.0.1'

/** A DynamoDB in this process, in memory, behind a door that can be shut. */
export interface DemoEngine {
  readonly client: DynamoDBClientConfig
  readonly database: DatabaseSwitch
  close (): Promise<void>
}

export async function startEngine (): Promise<DemoEngine> {
  const engine = dynalite({ createTableMs: 0 })
  engine.listen(0, HOST)
  await once(engine, 'listening')
  const door = new Door((engine.address() as AddressInfo).port)
  const port = await door.open()
  return {
    client: {
      endpoint: `http://${HOST}:${port}`,
      region: 'local',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' }
    },
    database: door,
    close: async () => {
      await door.close()
      engine.closeAllConnections()
      engine.close()
      await once(engine, 'close')
    }
  }
}

/**
 * Connections pass while it is open. Shut, it ends them at once; what is stored stays. It keeps its port meanwhile, which somebody
 * else could take.
 */
class Door implements DatabaseSwitch {
  readonly #target: number
  readonly #server = createServer(socket => { this.#pass(socket) })
  readonly #sockets = new Set<Socket>()
  isOn = true

  constructor (target: number) {
    this.#target = target
  }

  async open (): Promise<number> {
    this.#server.listen(0, HOST)
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  async turnOn (): Promise<void> {
    this.isOn = true
  }

  async turnOff (): Promise<void> {
    this.isOn = false
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async close (): Promise<void> {
    await this.turnOff()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #pass (socket: Socket): void {
    if (!this.isOn) {
      socket.resetAndDestroy()
      return
    }
    const other = connect(this.#target, HOST)
    for (const [one, end] of [[socket, other], [other, socket]] as const) {
      this.#sockets.add(one)
      one.on('error', () => {})
      one.once('close', () => {
        this.#sockets.delete(one)
        end.destroy()
      })
    }
    socket.pipe(other).pipe(socket)
  }
}
