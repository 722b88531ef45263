/**
 * The plugin, which gives each request a {@link Session} as `request.session` and the application a {@link SessionManager} as
 * `app.sessions`; the {@link errors}; and the types of the options and of a repository of one's own.
 *
 * @module fastify-dynamodb-session
 */
export * from './lib/plugin.js'
export { dynamoSession as default } from './lib/plugin.js'
export type {} from './types/fastify.js'
