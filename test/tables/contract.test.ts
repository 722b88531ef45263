import t from 'tap'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoRepository } from '../../lib/repository.js'
import { memoryRepository, repositoryContract } from '../../testing/index.js'
import { clientConfig, createTable, onEachEngine, type Engine } from '../support/engines.js'

t.test('in memory', async t => {
  repositoryContract(t, async () => memoryRepository())
})

t.test('one that keeps no lists, revokes nothing, and tells of a successor alone', async t => {
  repositoryContract(t, async () => {
    const inner = memoryRepository()
    return {
      load: async (...args) => await inner.load(...args),
      create: async (...args) => await inner.create(...args),
      save: async (...args) => await inner.save(...args),
      touch: async (...args) => await inner.touch(...args),
      replace: async (...args) => await inner.replace(...args),
      destroy: async key => {
        const told = await inner.destroy(key)
        return typeof told === 'object' ? told.next : told
      }
    }
  })
})

onEachEngine(t, async (t, engine) => {
  await t.test('with text keys', async t => {
    const repository = await onTable(engine, 'S')
    t.teardown(repository.close)
    repositoryContract(t, async () => repository)
  })
  await t.test('with binary keys', async t => {
    const repository = await onTable(engine, 'B')
    t.teardown(repository.close)
    repositoryContract(t, async () => repository)
  })
})

async function onTable (engine: Engine, type: 'S' | 'B') {
  const table = await createTable(engine, { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: type }] })
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  const layout = { table, partitionKey: { name: 'id', type }, keyPrefix: type === 'S' ? 'shop#' : '', ttlAttribute: 'expires' }
  const repository = new DynamoRepository(client, { layout, timeout: 3, maxSize: 409_600, onGhost: () => {} })
  return Object.assign(repository, { close: () => { client.destroy() } })
}
