export { DynamoStore } from './store.js'
export type { DynamoStoreOptions, StoredCookie, StoredSession } from '../types/store.js'
