export { repositoryContract, type TestContext } from './contract.js'
export { memoryRepository } from './memory.js'
export { signIn, type Application, type SignInOptions } from './sign-in.js'
