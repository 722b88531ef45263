import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { answer } from '../../store/callbacks.js'

t.test('a callback hears of what was asked for, once and later', async t => {
  const heard: unknown[][] = []
  t.equal(answer(Promise.resolve('it'), (...told: unknown[]) => { heard.push(told) }), undefined)
  t.same(heard, [], 'not before the caller goes on')
  await nextTurn()
  t.same(heard, [[null, 'it']])
})

t.test('a callback hears of a failure, once', async t => {
  const heard: unknown[][] = []
  const failure = new Error('no')
  answer(Promise.reject(failure), (...told: unknown[]) => { heard.push(told) })
  await nextTurn()
  t.same(heard, [[failure]])
  t.equal(heard[0]?.[0], failure)
})

t.test('a callback that throws is not called again, and what it throws is not swallowed', async t => {
  for (const begin of [async () => 'it', async () => { throw new Error('no') }]) {
    const uncaught: unknown[] = []
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', error => { uncaught.push(error) })
    let calls = 0
    answer<unknown>(begin(), () => {
      calls += 1
      throw new Error('of the callback')
    })
    await nextTurn()
    await nextTurn()
    for (const listener of others) process.on('uncaughtException', listener)
    t.equal(calls, 1)
    t.match(uncaught, [{ message: 'of the callback' }])
  }
})

t.test('without a callback the promise is the answer, and one that nobody awaits does not end the process', async t => {
  t.equal(await answer(Promise.resolve('it'), undefined), 'it')
  await t.rejects(Promise.resolve(answer(Promise.reject(new Error('no')), undefined)), { message: 'no' })
  const unhandled: unknown[] = []
  const note = (error: unknown): void => { unhandled.push(error) }
  process.on('unhandledRejection', note)
  answer(Promise.reject(new Error('no')), null)
  await nextTurn()
  process.off('unhandledRejection', note)
  t.same(unhandled, [])
})
