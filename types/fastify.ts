import type { SessionManager } from '../lib/manager.js'
import type { Session } from './session.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The visitor's session. Reading it costs no call: it was read before the handler began. */
    session: Session
  }

  interface FastifyInstance {
    /** Sessions by id, outside a request. */
    sessions: SessionManager
  }

  interface FastifyContextConfig {
    /** `false`: no session is read or written on this route. */
    session?: boolean
  }
}
