import t from 'tap'
import { findStops, handStop, Stop, stopOf, stoppable } from '../../lib/stop.js'

const REASON = new Error('enough')

t.test('who listens is told once, with the first reason', async t => {
  const stop = new Stop()
  const told: Error[] = []
  stop.onStop = reason => { told.push(reason) }
  t.equal(stop.reason, undefined)
  stop.stop(REASON)
  stop.stop(new Error('again'))
  t.same([told, stop.reason], [[REASON], REASON])
  t.equal(told[0], REASON)
})

t.test('nobody has to listen', async t => {
  const stop = new Stop()
  stop.stop(REASON)
  t.equal(stop.reason, REASON)
})

t.test('its signal is a real one, the same for all who ask, and tells as much', async t => {
  const stop = new Stop()
  const { signal } = stop
  t.ok(signal instanceof AbortSignal)
  t.equal(stop.signal, signal)
  t.equal(signal.aborted, false)
  stop.stop(REASON)
  t.same([signal.aborted, signal.reason], [true, REASON])
})

t.test('a signal that is asked for too late is aborted already', async t => {
  const stop = new Stop()
  stop.stop(REASON)
  t.same([stop.signal.aborted, stop.signal.reason], [true, REASON])
})

t.test('a client that was handed in gets a signal as an option of the call', async t => {
  const stop = new Stop()
  t.same(stoppable({}, {}, stop), { abortSignal: stop.signal })
})

t.test('a client that finds stops itself gets no option, and finds each by its input and then by its request', async t => {
  const client = {}
  findStops(client)
  const calls = [1, 2].map(() => ({ input: {}, request: {}, stop: new Stop() }))
  for (const { input, stop } of calls) t.equal(stoppable(client, input, stop), undefined)
  for (const { input, request } of calls) handStop(input, request)
  for (const { request, stop } of calls) t.equal(stopOf(request), stop)
})

t.test('a call that nobody stops has none', async t => {
  const request = {}
  handStop({}, request)
  t.equal(stopOf(request), undefined)
})
