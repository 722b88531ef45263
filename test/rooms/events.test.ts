import { AsyncLocalStorage } from 'node:async_hooks'
import { channel, subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { isTraced, OPERATIONS, tellConflict, tellGone, tellOpen, traced, type CallReport, type Operation } from '../../lib/events.js'

/** Listens to an operation while a test runs. Copies what it gets, because a report is filled while the call runs. */
function listen (t: Test, operation: Operation): Array<readonly [string, Record<string, unknown>]> {
  const events: Array<readonly [string, Record<string, unknown>]> = []
  const note = (name: string) => (report: object): void => { events.push([name, { ...report }]) }
  const listeners = { start: note('start'), end: note('end'), asyncStart: note('asyncStart'), asyncEnd: note('asyncEnd'), error: note('error') }
  const trace = tracingChannel<string, CallReport>(`fastify-dynamodb-session:${operation}`)
  trace.subscribe(listeners)
  t.teardown(() => trace.unsubscribe(listeners))
  return events
}

function listenTo (t: Test, name: string): unknown[] {
  const messages: unknown[] = []
  const note = (message: unknown): void => { messages.push(message) }
  subscribe(name, note)
  t.teardown(() => unsubscribe(name, note))
  return messages
}

t.test('without listeners nothing is measured', async t => {
  const clock = t.capture(performance, 'now', () => 0)
  for (const operation of OPERATIONS) {
    t.equal(isTraced(operation), false)
    const report: CallReport = { action: 'GetItem', table: 'sessions', consistent: false }
    t.equal(await traced(operation, report, async () => 'answer'), 'answer')
    t.strictSame(report, { action: 'GetItem', table: 'sessions', consistent: false })
  }
  t.same(clock(), [])
})

t.test('without listeners a failure passes as it is', async t => {
  const failure = new Error('refused')
  await t.rejects(traced('load', { action: 'GetItem', table: 'sessions', consistent: false }, async () => { throw failure }), failure)
})

for (const operation of OPERATIONS) {
  t.test(`a listener of ${operation} is told of the call before it and after it`, async t => {
    const events = listen(t, operation)
    t.equal(isTraced(operation), true)
    t.same(OPERATIONS.filter(isTraced), [operation], 'and the others cost nothing')
    const report: CallReport = { action: 'GetItem', table: 'sessions', consistent: true }
    const answer = await traced(operation, report, async () => {
      report.capacity = 0.5
      report.itemBytes = 120
      return 'an answer with an id'
    })
    t.equal(answer, 'an answer with an id')
    t.same(events.map(([name]) => name), ['start', 'end', 'asyncStart', 'asyncEnd'])
    t.strictSame(events[0]?.[1], { action: 'GetItem', table: 'sessions', consistent: true })
    const { duration, ...last } = events[3]?.[1] ?? {}
    t.type(duration, 'number')
    t.ok(Number(duration) >= 0)
    t.match(last, { action: 'GetItem', consistent: true, capacity: 0.5, itemBytes: 120 })
  })
}

t.test('a report has facts of the call only: no id, no key, no value', async t => {
  const events = listen(t, 'load')
  const answer = { Item: { id: { S: 'KEY' }, data: { M: { userId: { S: 'u-42' } } } } }
  t.equal(await traced('load', { action: 'GetItem', table: 'sessions', consistent: false }, async () => answer), answer)
  t.equal(events.length, 4)
  for (const [name, seen] of events) {
    const filled = Object.keys(seen).filter(member => seen[member] !== undefined)
    t.same(filled.filter(member => !['action', 'table', 'consistent', 'duration'].includes(member)), [], name)
    t.notMatch(JSON.stringify(seen), /KEY|u-42|userId/)
  }
})

t.test('a listener is told of a failure, with its duration, and the failure passes as it is', async t => {
  const events = listen(t, 'load')
  const failure = new Error('refused')
  await t.rejects(traced('load', { action: 'GetItem', table: 'sessions', consistent: false }, async () => { throw failure }), failure)
  t.same(events.map(([name]) => name), ['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  t.equal(events[2]?.[1]['error'], failure)
  t.type(events[2]?.[1]['duration'], 'number')
  t.equal(events[2]?.[1]['outcome'], 'failed')
})

t.test('what a request found is told with the way of its token, and with a loggable id where it names a session', async t => {
  tellOpen('found', 'cookie', 'early')
  const messages = listenTo(t, 'fastify-dynamodb-session:open')
  tellOpen('found', 'cookie', 'KEY')
  tellOpen('forged', 'header', undefined)
  t.strictSame(messages, [{ outcome: 'found', way: 'cookie', loggableId: 'KEY' }, { outcome: 'forged', way: 'header' }])
})

t.test('an end of a session is told with its loggable id and the reason', async t => {
  tellGone('early', 'missing')
  const messages = listenTo(t, 'fastify-dynamodb-session:gone')
  tellGone('KEY', 'replaced')
  t.strictSame(messages, [{ loggableId: 'KEY', reason: 'replaced' }])
})

t.test('a conflict is told with its loggable id', async t => {
  tellConflict('early')
  const messages = listenTo(t, 'fastify-dynamodb-session:conflict')
  tellConflict('KEY')
  t.strictSame(messages, [{ loggableId: 'KEY' }])
})

t.test('a call runs with what is bound to its start, and its end is told in the context of who made it', async t => {
  const [purpose, request] = [new AsyncLocalStorage<string>(), new AsyncLocalStorage<string>()]
  const start = channel('tracing:fastify-dynamodb-session:save:start')
  start.bindStore(purpose, () => 'save')
  t.teardown(() => start.unbindStore(purpose))
  const ended: unknown[] = []
  const hear = (): void => { ended.push(request.getStore()) }
  subscribe('tracing:fastify-dynamodb-session:save:asyncEnd', hear)
  t.teardown(() => unsubscribe('tracing:fastify-dynamodb-session:save:asyncEnd', hear))
  const call = async (): Promise<string | undefined> => {
    await null
    return purpose.getStore()
  }
  const report = { action: 'UpdateItem', table: 'sessions', consistent: true }
  const answers = await Promise.all(['one', 'two'].map(async name => await request.run(name, async () => await traced('save', { ...report }, call))))
  t.same([answers, ended, purpose.getStore()], [['save', 'save'], ['one', 'two'], undefined])
})
