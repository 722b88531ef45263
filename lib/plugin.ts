/**
 * The plugin without the types of `request.session` and `app.sessions`, for applications in which another package says what
 * `request.session` is: with a `sessionName` of its own, and the types that the application gives to it.
 *
 * @module fastify-dynamodb-session/bare
 */
import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { DynamoSessionOptions } from '../types/options.js'
import { start } from './start.js'

/**
 * Keeps the sessions of a Fastify application in a DynamoDB table: `app.register(dynamoSession, { table })`, or for short
 * `app.register(dynamoSession, 'sessions')`. Decorates requests with `session` and the application with `sessions`.
 */
export const dynamoSession: FastifyPluginAsync<DynamoSessionOptions> = fp(
  async (app: FastifyInstance, options: DynamoSessionOptions) => { await start(app, options) },
  { fastify: '5.x', name: 'fastify-dynamodb-session' }
)

export default dynamoSession

export { SessionManager } from './manager.js'
export { errors } from './errors.js'
export { OPERATIONS } from './events.js'
export type { CallOutcome, CallReport, ConflictReport, GoneReason, GoneReport, OpenOutcome, OpenReport, Operation } from '../types/events.js'
export type { ForeignSession, SessionReader } from '../types/import.js'
export type { CookieAttributes, CookieOptions } from '../types/cookie.js'
export type { CacheOptions, Codec, DynamoSessionOptions, UserIndexOptions } from '../types/options.js'
export type {
  RecordChange, Renewal, Replacement, Repository, Revoked, SessionRecord, SettingsChange, StoredValue, UserChange, UserEntry, UserLists,
  UserRecord, WriteAnswer
} from '../types/repository.js'
export type { BindOptions, ListedSession, Session, SessionData, SessionKey, SessionMembers, SessionValue, SessionValues } from '../types/session.js'
export type {} from '../types/register.js'
