import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { connectDynamodb, pyramidSession } from '../../import/index.js'
import { Source } from '../../lib/source.js'
import type { SessionReader } from '../../types/import.js'
import { clientConfig, createTable, onOneEngine, type Engine } from '../support/engines.js'
import { Remarks } from '../support/memory.js'
import { FaultProxy } from '../support/proxy.js'

async function setSource (t: Test, engine: Engine, make: (table: string) => SessionReader, isOwn = false): Promise<{ source: Source, proxy: FaultProxy, client: DynamoDBClient, table: string }> {
  const proxy = await FaultProxy.start(engine)
  const table = await createTable(engine)
  const client = new DynamoDBClient(clientConfig(proxy.endpoint))
  t.teardown(async () => {
    client.destroy()
    await proxy.close()
  })
  return { source: new Source(make(table), client, 3, isOwn), proxy, client, table }
}

const byConnect = (table: string): SessionReader => connectDynamodb({ table, secret: 'a secret' })

onOneEngine(t, async (t, engine) => {
  await t.test('a record is read and deleted under the key of its reader', async t => {
    const { source, proxy, table } = await setSource(t, engine, byConnect)
    const direct = new DynamoDBClient(clientConfig(engine.endpoint))
    t.teardown(() => direct.destroy())
    await direct.send(new PutItemCommand({ TableName: table, Item: { id: { S: 'sess:x' }, sess: { S: '{}' } } }))
    t.match(await source.load('x'), { sess: { S: '{}' } })
    t.same([await source.remove('x'), await source.remove('x')], [true, false])
    t.equal(await source.load('x'), undefined)
    t.same(proxy.take(), ['GetItem', 'DeleteItem', 'DeleteItem', 'GetItem'])
  })

  await t.test('a table with another key, and one that is not there, are told of by name', async t => {
    const { source: other } = await setSource(t, engine, table => pyramidSession({ table }))
    await t.rejects(other.verify(new Remarks()), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: /partition key is not "sid" of type B: name another "hashKey"/ })
    const { source: missing } = await setSource(t, engine, () => byConnect('not-there'))
    await t.rejects(missing.verify(new Remarks()), { code: 'FST_DYNAMODB_SESSION_TABLE_MISSING' })
  })

  await t.test('an engine that tells no capacity is told to the log, and then believed', async t => {
    const { source, proxy } = await setSource(t, engine, byConnect)
    const log = new Remarks()
    await source.verify(log)
    t.same(log.messages, [])
    proxy.intercept = action => action === 'GetItem' ? { status: 200, body: {} } : undefined
    await source.verify(log)
    t.match(log.messages, [/tells no consumed capacity/])
    t.equal(await source.load('x'), undefined)
  })

  await t.test('a client that was made for it is destroyed with it, and another is left', async t => {
    for (const isOwn of [true, false]) {
      const { source, client } = await setSource(t, engine, byConnect, isOwn)
      let destroyed = 0
      const { destroy } = client
      client.destroy = () => {
        destroyed += 1
        destroy.call(client)
      }
      await source.close()
      t.equal(destroyed, isOwn ? 1 : 0)
    }
  })
})
