import t from 'tap'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoRepository } from '../lib/repository.js'
import { memoryRepository, repositoryContract } from '../testing/index.js'
import { clientConfig, createTable, onEachEngine, type Engine } from './support/engines.js'

t.test('in memory', async t => {
  repositoryContract(t, async () => memoryRepository())
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
