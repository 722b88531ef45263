import t from 'tap'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Calls, measure, unavailable } from '../../lib/calls.js'
import { Deadline } from '../../lib/deadline.js'
import type { CallReport } from '../../lib/events.js'
import { makeGate } from '../support/gate.js'

const UNAVAILABLE = { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503 }
const deadline = (): Deadline => new Deadline(60)
const makeReport = () => ({ action: 'GetItem', consistent: false })
const refusal = Object.assign(new Error('no'), { name: 'ConditionalCheckFailedException' })

t.test('an answer with its capacity is the answer, be it told for one table or for several', async t => {
  const calls = new Calls('sessions')
  for (const answer of [{ ConsumedCapacity: { CapacityUnits: 1 } }, { ConsumedCapacity: {} }, { ConsumedCapacity: [{ CapacityUnits: 1 }] }]) {
    t.equal(await calls.prove(deadline(), async () => answer), answer)
    t.equal(await calls.send('load', makeReport(), deadline(), async () => answer), answer)
  }
})

t.test('an answer without it proves nothing, unless none is expected', async t => {
  const calls = new Calls('sessions')
  for (const answer of [{}, { ConsumedCapacity: undefined }, { ConsumedCapacity: [] }, undefined as never]) {
    await t.rejects(calls.prove(deadline(), async () => answer), new Error('An answer without consumed capacity.'))
    await t.rejects(calls.send('load', makeReport(), deadline(), async () => answer), { ...UNAVAILABLE, cause: { message: 'An answer without consumed capacity.' } })
  }
  calls.expectsCapacity = false
  const answer = {}
  t.equal(await calls.prove(deadline(), async () => answer), answer)
  await t.rejects(calls.prove(deadline(), async () => undefined as never), new Error('An answer without consumed capacity.'))
})

t.test('a condition that failed is an answer, and every other failure is an unknown outcome with its cause', async t => {
  const calls = new Calls('sessions')
  t.equal(await calls.send('save', makeReport(), deadline(), async () => { throw refusal }), undefined)
  await t.rejects(calls.prove(deadline(), async () => { throw refusal }), refusal)
  const cause = new Error('arn:aws:iam::123456789012:role/x may not')
  await t.rejects(calls.send('save', makeReport(), deadline(), async () => { throw cause }), { ...UNAVAILABLE, cause: { message: 'arn:[redacted] may not' } })
  t.throws(() => unavailable(cause), { ...UNAVAILABLE, cause: { message: 'arn:[redacted] may not' } })
})

t.test('a call that takes too long ends at its deadline', async t => {
  const calls = new Calls('sessions')
  await t.rejects(calls.send('load', makeReport(), new Deadline(0.02), async () => await new Promise<never>(() => {})), { ...UNAVAILABLE, cause: { name: 'TimeoutError' } })
})

t.test('what a call cost, and how it ended, is told to those who listen, and to nobody else', async t => {
  const calls = new Calls('arn:aws:dynamodb:eu-central-1:111122223333:table/sessions')
  let looks = 0
  const item = { id: { S: 'four' } }
  const ask = async (action: string, found?: typeof item) => await calls.send('touch', { action, consistent: true }, deadline(),
    async () => ({ ConsumedCapacity: { CapacityUnits: 1.5 } }), () => {
      looks += 1
      return found
    })
  await ask('PutItem', item)
  t.equal(looks, 0)
  const reports: CallReport[] = []
  const listener = (report: unknown): void => { reports.push({ ...report as CallReport }) }
  subscribe('tracing:fastify-dynamodb-session:touch:asyncEnd', listener)
  t.teardown(() => unsubscribe('tracing:fastify-dynamodb-session:touch:asyncEnd', listener))
  await ask('PutItem', item)
  await ask('GetItem', item)
  await ask('GetItem')
  await calls.send('touch', { action: 'UpdateItem', consistent: true }, deadline(), async () => { throw refusal }, () => { throw new Error('there is no item') })
  await t.rejects(calls.send('touch', { action: 'UpdateItem', consistent: true }, deadline(), async () => { throw new Error('cut off') }), UNAVAILABLE)
  const known = { table: 'sessions', consistent: true, duration: Number }
  t.match(reports, [
    { ...known, action: 'PutItem', outcome: 'done', capacity: 1.5, itemBytes: 6 },
    { ...known, action: 'GetItem', outcome: 'found', capacity: 1.5, itemBytes: 6 },
    { ...known, action: 'GetItem', outcome: 'missing', capacity: 1.5 },
    { ...known, action: 'UpdateItem', outcome: 'refused' },
    { ...known, action: 'UpdateItem', outcome: 'failed', error: UNAVAILABLE }
  ])
  t.same(reports.map(({ itemBytes }) => itemBytes), [6, 6, undefined, undefined, undefined])
  t.same(reports.slice(3).map(({ capacity }) => capacity), [undefined, undefined], 'an error tells none')
  const bare = calls.report(makeReport())
  measure(bare, undefined, undefined)
  t.same(bare, { table: 'sessions', ...makeReport() }, 'of a table that is named by its ARN, the name')
})

t.test('a repository is idle when what it has begun has ended, well or not, and what that began too', async t => {
  const calls = new Calls('sessions')
  await calls.idle(deadline())
  const gates = [makeGate(), makeGate(), makeGate()] as const
  const order: string[] = []
  const first = calls.note(gates[0].passed.then(async () => { await calls.note(gates[2].passed) }))
  const second = calls.note(gates[1].passed.then(() => { throw new Error('cut off') }))
  const idle = calls.idle(deadline()).then(() => order.push('idle'))
  gates[1].open()
  await t.rejects(second, new Error('cut off'))
  gates[0].open()
  await Promise.resolve()
  order.push('not yet')
  gates[2].open()
  await first
  await idle
  t.same(order, ['not yet', 'idle'])
})

t.test('and waits no longer than its deadline', async t => {
  const calls = new Calls('sessions')
  calls.note(new Promise(() => {})).catch(() => {})
  await calls.idle(new Deadline(0.02))
  t.pass('it went on')
})
