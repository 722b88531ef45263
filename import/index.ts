/**
 * Readers of other stores' sessions, for the option `importFrom`: each makes, from what an old table holds, a session of ours.
 *
 * @module fastify-dynamodb-session/import
 */
export { connectDynamodb, dynamodbSessionStore } from './express.js'
export { pyramidSession } from './pyramid.js'
export { dynamodbSessionWeb } from './web.js'
export type {
  ExpressReaderOptions, ForeignSession, PyramidReaderOptions, ReaderOptions, SessionReader, WebReaderOptions
} from '../types/import.js'
