import type { SessionManager as DynamoSessionManager } from '../lib/manager.js'
import type { CookieAttributes } from './cookie.js'
import type { Session as DynamoSession } from './session.js'

// Names of our own: inside this block the names that any package has put into 'fastify' go before imports, and
// @fastify/session puts a `Session` there.
declare module 'fastify' {
  interface FastifyRequest {
    /** The visitor's session. Reading it costs no call: it was read before the handler began. */
    session: DynamoSession
  }

  interface FastifyInstance {
    /** Sessions by id, outside a request. */
    sessions: DynamoSessionManager
  }

  interface FastifyContextConfig {
    /** `false`: no session is read or written on this route. */
    session?: boolean
  }

  /**
   * What @fastify/secure-session, whose types come with @fastify/passport and @fastify/flash, finds when it says what
   * `request.session` is: ours. Two packages that gave it two types would not compile together.
   */
  namespace fastifySecureSession {
    type Session = DynamoSession
  }

  /** The same for @fastify/session, with the other names that it looks up there. */
  namespace fastifySession {
    type FastifySessionObject = DynamoSession

    interface CookieOptions extends Omit<CookieAttributes, 'secure' | 'sameSite' | 'maxAge'> {
      secure?: boolean | 'auto'
      sameSite?: boolean | 'lax' | 'strict' | 'none'
      expires?: Date
      /** Milliseconds. */
      maxAge?: number
    }

    interface SessionStore {
      get (sessionId: string, callback: (error: unknown, session?: object | null) => void): void
      set (sessionId: string, session: object, callback: (error?: unknown) => void): void
      destroy (sessionId: string, callback: (error?: unknown) => void): void
    }
  }
}
