export { connectDynamodb, dynamodbSessionStore } from './express.js'
export { pyramidSession } from './pyramid.js'
export { dynamodbSessionWeb } from './web.js'
export type {
  ExpressReaderOptions, ForeignSession, PyramidReaderOptions, ReaderOptions, SessionReader, WebReaderOptions
} from '../types/import.js'
