import t from 'tap'
import { Renewals } from '../../lib/renewals.js'

t.test('a renewal is remembered for a reissue time, and no longer', async t => {
  const renewals = new Renewals()
  t.notOk(renewals.has('a', 100, 10))
  renewals.note('a', 100)
  t.ok(renewals.has('a', 100, 10))
  t.ok(renewals.has('a', 109.9, 10))
  t.notOk(renewals.has('a', 110, 10))
  t.notOk(renewals.has('b', 100, 10), 'of this session only')
  t.ok(renewals.has('a', 90, 10), 'a clock that was set back makes no more renewals')
})

t.test('where each request is to renew, each does', async t => {
  const renewals = new Renewals()
  renewals.note('a', 100)
  t.notOk(renewals.has('a', 100, 0))
  t.notOk(renewals.has('a', 90, 0))
})

t.test('a renewal that failed is forgotten', async t => {
  const renewals = new Renewals()
  renewals.note('a', 100)
  renewals.forget('a')
  t.notOk(renewals.has('a', 100, 10))
})

t.test('ten thousand sessions are remembered, those renewed last', async t => {
  const renewals = new Renewals()
  for (let index = 0; index < 10_000; index++) renewals.note(`session ${index}`, 100)
  renewals.note('session 0', 101)
  renewals.note('one more', 101)
  t.ok(renewals.has('session 0', 101, 10))
  t.ok(renewals.has('one more', 101, 10))
  t.notOk(renewals.has('session 1', 101, 10))
  t.ok(renewals.has('session 2', 101, 10))
})
