import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface BytesServer {
  readonly endpoint: string
  /** Every connection so far, in the order of coming. */
  readonly sockets: Socket[]
  /** Those that are open. */
  readonly open: Set<Socket>
}

/** A server that speaks bytes: what happens on each of its connections is the test's to say. */
export async function startBytes (t: Test, onSocket: (socket: Socket, count: number) => void): Promise<BytesServer> {
  const sockets: Socket[] = []
  const open = new Set<Socket>()
  const server = createServer(socket => {
    sockets.push(socket)
    open.add(socket.on('error', () => {}).on('close', () => { open.delete(socket) }))
    onSocket(socket, sockets.length)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, open }
}

/** One that takes connections and bytes, and never says anything. */
export async function startSilence (t: Test): Promise<BytesServer> {
  return await startBytes(t, socket => { socket.resume() })
}
