/**
 * A store for express-session and @fastify/session, which keep their own cookies and secrets.
 *
 * @module fastify-dynamodb-session/store
 */
export { DynamoStore } from './store.js'
export type { DynamoStoreOptions, StoredCookie, StoredSession } from '../types/store.js'
