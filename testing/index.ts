export { repositoryContract, type TestContext } from './contract.js'
export { memoryRepository } from './memory.js'
