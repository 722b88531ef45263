/**
 * For tests of applications: sessions in memory, a visitor who is signed in, and the rules for a repository of one's own.
 *
 * @module fastify-dynamodb-session/testing
 */
export { repositoryContract, type TestContext } from './contract.js'
export { memoryRepository } from './memory.js'
export { signIn, type Application, type SignInOptions } from './sign-in.js'
