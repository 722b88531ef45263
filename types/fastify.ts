import type { FastifyBaseLogger, FastifyPluginAsync, FastifyTypeProvider, RawServerBase, RawServerDefault } from 'fastify'
import type { SessionManager } from '../lib/manager.js'
import type { DynamoSessionOptions } from './options.js'
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

// The parameters repeat Fastify's own, as merging demands: only so can the short form be typed beside the options.
declare module 'fastify/types/register.js' {
  interface FastifyRegister<
    T = void,
    RawServer extends RawServerBase = RawServerDefault,
    TypeProviderDefault extends FastifyTypeProvider = FastifyTypeProvider,
    LoggerDefault extends FastifyBaseLogger = FastifyBaseLogger
  > {
    /** `app.register(dynamoSession, 'sessions')` is short for `{ table: 'sessions' }`. */
    (plugin: FastifyPluginAsync<DynamoSessionOptions, RawServer, TypeProviderDefault, LoggerDefault>, table: string): T
  }
}
