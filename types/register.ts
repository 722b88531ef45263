import type { FastifyBaseLogger, FastifyPluginAsync, FastifyTypeProvider, RawServerBase, RawServerDefault } from 'fastify'
import type { DynamoSessionOptions } from './options.js'

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
