import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { start } from './lib/start.js'
import type { DynamoSessionOptions } from './types/options.js'

/**
 * Keeps the sessions of a Fastify application in a DynamoDB table: `app.register(dynamoSession, { table })`, or for short
 * `app.register(dynamoSession, 'sessions')`. Decorates requests with `session` and the application with `sessions`.
 */
export const dynamoSession: FastifyPluginAsync<DynamoSessionOptions> = fp(
  async (app: FastifyInstance, options: DynamoSessionOptions) => { await start(app, options) },
  { fastify: '5.x', name: 'fastify-dynamodb-session' }
)

export default dynamoSession

export { SessionManager } from './lib/manager.js'
export { errors } from './lib/errors.js'
export type { CallReport, GoneReason } from './lib/events.js'
export type { ForeignSession, SessionReader } from './types/import.js'
export type { CookieAttributes, CookieOptions } from './types/cookie.js'
export type { CacheOptions, Codec, DynamoSessionOptions, UserIndexOptions } from './types/options.js'
export type {
  RecordChange, Renewal, Replacement, Repository, Revoked, SessionRecord, SettingsChange, StoredValue, UserChange, UserEntry, UserLists,
  UserRecord, WriteAnswer
} from './types/repository.js'
export type { BindOptions, ListedSession, Session, SessionData, SessionKey, SessionMembers, SessionValue, SessionValues } from './types/session.js'
export type {} from './types/fastify.js'
