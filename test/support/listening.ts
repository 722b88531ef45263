import { once } from 'node:events'
import type { Server } from 'node:http'

/** Ends a server with all its connections. */
export async function closeServer (server: Server): Promise<void> {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}
