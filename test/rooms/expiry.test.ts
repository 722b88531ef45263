import { channel } from 'node:diagnostics_channel'
import t from 'tap'
import { assertAlive, endOf, gone, goneReason, isExpired, NEVER, timeoutsOf } from '../../lib/expiry.js'
import type { SessionRecord } from '../../types/repository.js'

const DEFAULTS = { idleTimeout: 100, absoluteTimeout: 1000 }
const RECORD: SessionRecord = { key: 'k', data: new Map(), version: 1, createdAt: 5000, lastSeenAt: 5000, expiresAt: 5100 }

t.test('a session ends by inactivity or by age, whichever comes first', async t => {
  t.equal(endOf(5000, 5000, DEFAULTS), 5100)
  t.equal(endOf(5000, 5899, DEFAULTS), 5999)
  t.equal(endOf(5000, 5900, DEFAULTS), 6000)
  t.equal(endOf(5000, 5950, DEFAULTS), 6000, 'activity does not prolong the age')
})

t.test('a timeout that is switched off does not end it', async t => {
  t.equal(endOf(5000, 5000, { idleTimeout: false, absoluteTimeout: 1000 }), 6000)
  t.equal(endOf(5000, 5950, { idleTimeout: 100, absoluteTimeout: false }), 6050)
  t.equal(endOf(5000, 5000, { idleTimeout: false, absoluteTimeout: false }), NEVER)
})

t.test('the end of a session without timeouts is the last second of the year 9999', async t => {
  t.equal(new Date(NEVER * 1000).toISOString(), '9999-12-31T23:59:59.000Z')
})

t.test('the end is rounded down to a whole second', async t => {
  t.equal(endOf(5000, 5000, { idleTimeout: 1.9, absoluteTimeout: false }), 5001)
  t.equal(endOf(5000.7, 5000.2, { idleTimeout: 10.5, absoluteTimeout: 10 }), 5010)
})

t.test('a session is alive to the last moment before its end, and dead at it', async t => {
  t.equal(isExpired(RECORD, DEFAULTS, 5099), false)
  t.equal(isExpired(RECORD, DEFAULTS, 5099.999), false)
  t.equal(isExpired(RECORD, DEFAULTS, 5100), true)
  t.equal(isExpired(RECORD, DEFAULTS, 5101), true)
  t.equal(isExpired(RECORD, DEFAULTS, NaN), true, 'where the clock tells no time')
})

t.test('the stored end counts where the settings of now are more generous', async t => {
  t.equal(isExpired(RECORD, { idleTimeout: 500, absoluteTimeout: false }, 5100), true)
})

t.test('the settings of now count where they are tighter than the stored end', async t => {
  t.equal(isExpired(RECORD, { idleTimeout: 10, absoluteTimeout: false }, 5009), false)
  t.equal(isExpired(RECORD, { idleTimeout: 10, absoluteTimeout: false }, 5010), true)
  t.equal(isExpired(RECORD, { idleTimeout: false, absoluteTimeout: 50 }, 5050), true)
})

t.test('timeouts of a session\'s own stand in for the defaults, each for itself', async t => {
  t.same(timeoutsOf({}, DEFAULTS), DEFAULTS)
  t.same(timeoutsOf({ idleTimeout: 5 }, DEFAULTS), { idleTimeout: 5, absoluteTimeout: 1000 })
  t.same(timeoutsOf({ absoluteTimeout: false }, DEFAULTS), { idleTimeout: 100, absoluteTimeout: false })
  t.same(timeoutsOf({ idleTimeout: undefined, absoluteTimeout: undefined }, DEFAULTS), DEFAULTS)
  t.equal(isExpired({ ...RECORD, idleTimeout: 20 }, DEFAULTS, 5020), true)
  t.equal(isExpired({ ...RECORD, idleTimeout: false }, { idleTimeout: 1, absoluteTimeout: 1000 }, 5050), false)
})

t.test('a record is dead for one reason, and where it was replaced that is the one', async t => {
  t.equal(goneReason(RECORD, DEFAULTS, 5099), undefined)
  t.equal(goneReason(null, DEFAULTS, 5000), 'missing')
  t.equal(goneReason(RECORD, DEFAULTS, 5100), 'expired')
  t.equal(goneReason({ ...RECORD, next: 'other' }, DEFAULTS, 5000), 'replaced')
  t.equal(goneReason({ ...RECORD, next: 'other' }, DEFAULTS, 5100), 'replaced')
})

t.test('a living record passes as it is, and a dead one is refused and told of', async t => {
  const told: unknown[] = []
  const listener = (message: unknown): void => { told.push(message) }
  channel('fastify-dynamodb-session:gone').subscribe(listener)
  t.teardown(() => { channel('fastify-dynamodb-session:gone').unsubscribe(listener) })
  t.equal(assertAlive(RECORD, 'k', DEFAULTS, 5099), RECORD)
  t.same(told, [])
  for (const [record, now] of [[null, 5000], [{ ...RECORD, next: 'other' }, 5000], [RECORD, 5100]] as const) {
    t.throws(() => assertAlive(record, 'k', DEFAULTS, now), { code: 'FST_DYNAMODB_SESSION_GONE', statusCode: 409 })
  }
  t.match(gone('other'), { code: 'FST_DYNAMODB_SESSION_GONE' })
  t.match(gone('last', 'replaced'), { code: 'FST_DYNAMODB_SESSION_GONE' })
  t.same(told, [
    { loggableId: 'k', reason: 'missing' }, { loggableId: 'k', reason: 'replaced' }, { loggableId: 'k', reason: 'expired' },
    { loggableId: 'other', reason: 'missing' }, { loggableId: 'last', reason: 'replaced' }
  ])
})
