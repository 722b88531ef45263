import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { ForeignItems, nameIn } from '../../lib/foreign-items.js'
import { clientConfig, createTable, onOneEngine, type Engine } from '../support/engines.js'
import { faults, FaultProxy } from '../support/proxy.js'

const KEY = { id: { S: 'sess:x' } }

async function setItems (t: Test, engine: Engine): Promise<{ items: ForeignItems, proxy: FaultProxy, put: () => Promise<void> }> {
  const proxy = await FaultProxy.start(engine)
  const table = await createTable(engine)
  const client = new DynamoDBClient(clientConfig(proxy.endpoint))
  const direct = new DynamoDBClient(clientConfig(engine.endpoint))
  t.teardown(async () => {
    client.destroy()
    direct.destroy()
    await proxy.close()
  })
  const put = async (): Promise<void> => { await direct.send(new PutItemCommand({ TableName: table, Item: { ...KEY, sess: { S: '{}' } } })) }
  return { items: new ForeignItems(client, table, 3), proxy, put }
}

onOneEngine(t, async (t, engine) => {
  await t.test('an item is read strongly, by one call', async t => {
    const { items, proxy, put } = await setItems(t, engine)
    t.equal(await items.load(KEY), undefined)
    await put()
    t.same(await items.load(KEY), { ...KEY, sess: { S: '{}' } })
    t.same(proxy.takeCalls().map(({ action, input, capacity }) => [action, input['ConsistentRead'], capacity]), [['GetItem', true, 1], ['GetItem', true, 1]])
  })

  await t.test('who takes an item is told whether it was there, and nothing where the call was repeated', async t => {
    const { items, proxy, put } = await setItems(t, engine)
    await put()
    t.same([await items.take(KEY), await items.take(KEY)], [true, false])
    await put()
    proxy.meet('DeleteItem', faults.resetAfter)
    t.equal(await items.take(KEY), undefined, 'the first attempt may have been the one')
    t.equal(await items.load(KEY), undefined)
  })

  await t.test('what is removed may not be there', async t => {
    const { items, proxy, put } = await setItems(t, engine)
    await put()
    await items.remove(KEY)
    await items.remove(KEY)
    t.same(proxy.takeCalls().map(({ action, input }) => [action, input['ConditionExpression']]), [['DeleteItem', undefined], ['DeleteItem', undefined]])
    t.equal(await items.load(KEY), undefined)
  })

  await t.test('an answer without proof is a failure, unless the probe has found an engine that gives none', async t => {
    const { items, proxy } = await setItems(t, engine)
    proxy.intercept = action => action === 'GetItem' ? { status: 200, body: {} } : undefined
    await t.rejects(items.load(KEY), { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE' })
    await items.probe(KEY)
    t.notOk(items.expectsCapacity)
    t.equal(await items.load(KEY), undefined)
    proxy.intercept = () => undefined
    await items.probe(KEY)
    t.ok(items.expectsCapacity)
  })

  await t.test('it is idle when the last call has ended', async t => {
    const { items, proxy, put } = await setItems(t, engine)
    await put()
    const gate = proxy.gate('GetItem')
    const read = items.load(KEY)
    await gate.reached
    let isIdle = false
    const idle = items.idle().then(() => { isIdle = true })
    await new Promise(resolve => { setImmediate(resolve) })
    t.notOk(isIdle)
    gate.release()
    await Promise.all([read, idle])
  })
})

t.test('a key has one attribute', async t => {
  t.equal(nameIn(KEY), 'id')
})
