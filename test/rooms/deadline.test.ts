import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import t from 'tap'
import { Deadline } from '../../lib/deadline.js'
import { makeGate } from '../support/gate.js'
import { startLimit } from '../support/limit.js'

/** Seconds. The one room where time is real: what it does is to wait. */
const SHORT = 0.02
const LONG = 60

const TIMEOUT = { name: 'TimeoutError', message: 'No answer within 0.02 s.' }

t.test('an answer in time is the answer', async t => {
  t.equal(await new Deadline(LONG).run(async () => 'answer'), 'answer')
})

t.test('a failure in time is the failure', async t => {
  const failure = new Error('refused')
  await t.rejects(new Deadline(LONG).run(async () => { throw failure }), failure)
})

t.test('a call that throws before it waits is a failure like any other', async t => {
  await t.rejects(new Deadline(LONG).run(() => { throw new Error('no client') }), new Error('no client'))
})

t.test('a call that never answers and ignores its signal ends at the deadline', async t => {
  const start = performance.now()
  await t.rejects(new Deadline(SHORT).run(async () => await new Promise(() => {})), TIMEOUT)
  const took = performance.now() - start
  t.ok(took >= 15 && took < 2000, `${took} ms`)
})

t.test('a call that listens to its signal is told to stop, with the reason', async t => {
  let reason: unknown
  await t.rejects(new Deadline(SHORT).run(async ({ signal }) => await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      reason = signal.reason
      reject(new Error('aborted'))
    })
  })), TIMEOUT, 'and the deadline is what the caller hears of')
  t.match(reason, TIMEOUT)
})

t.test('a call that answers in time is not told to stop', async t => {
  let seen: AbortSignal | undefined
  await new Deadline(SHORT).run(async ({ signal }) => { seen = signal })
  await sleep(40)
  t.equal(seen?.aborted, false)
})

t.test('an answer that came while the process was busy is in time, and its call is not told to stop', async t => {
  const { port1, port2 } = new MessageChannel()
  let seen: AbortSignal | undefined
  const answer = new Deadline(SHORT).run(async ({ signal }) => {
    seen = signal
    return await new Promise(resolve => { port1.once('message', resolve) })
  })
  // From here on timers have their turn before messages.
  await nextTurn()
  port2.postMessage('answer')
  const end = performance.now() + 60
  while (performance.now() < end);
  t.equal(await answer, 'answer')
  port1.close()
  await sleep(40)
  t.equal(seen?.aborted, false)
})

t.test('what comes of a call after its deadline disturbs nobody', async t => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => { unhandled.push(error) }
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const gate = makeGate()
  await t.rejects(new Deadline(SHORT).run(async () => {
    await gate.passed
    throw new Error('too late')
  }), TIMEOUT)
  gate.open()
  await t.rejects(new Deadline(LONG).run(async () => { throw new Error('at once') }), { message: 'at once' })
  await sleep(40)
  t.same(unhandled, [])
})

t.test('no timer is left behind, so that a process can end', async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  await new Deadline(LONG).run(async () => 'answer')
  await new Deadline(LONG).run(async () => { throw new Error('refused') }).catch(() => {})
  await new Deadline(LONG).run(() => { throw new Error('no client') }).catch(() => {})
  t.equal(timers(), before)
})

t.test('two calls of one operation share its limit: the second has what the first left', async t => {
  const start = performance.now()
  const deadline = new Deadline(0.2)
  await deadline.run(async () => { await sleep(150) })
  const limit = startLimit(200)
  await t.rejects(deadline.run(async () => await new Promise(() => {})), { name: 'TimeoutError', message: 'No answer within 0.2 s.' }, 'the limit is told, not the rest of it')
  t.notOk(limit.stop(), 'it had not the whole limit again')
  t.ok(performance.now() - start >= 195)
})

t.test('a call is not begun when the limit is over', async t => {
  const deadline = new Deadline(SHORT)
  let begun = 0
  await t.rejects(deadline.run(async () => await new Promise(() => {})), TIMEOUT)
  await t.rejects(deadline.run(async () => { begun += 1 }), TIMEOUT)
  t.equal(begun, 0)
})
