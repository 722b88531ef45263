import t from 'tap'
import { inherited, lifetimeOf } from '../../lib/inheritance.js'
import type { ForeignSession } from '../../index.js'

const DEFAULTS = { idleTimeout: 100, absoluteTimeout: 1000 }
const NOW = 5000.5
const foreign = (parts: Partial<ForeignSession>): ForeignSession => ({ data: new Map(), expiresAt: 5060, idleTimeout: 100, ...parts })

/** The end of a record with this life. */
function endOf (parts: Partial<ForeignSession>, defaults: Parameters<typeof lifetimeOf>[1] = DEFAULTS): number {
  const life = lifetimeOf(foreign(parts), defaults, NOW)
  const { idleTimeout, absoluteTimeout } = life
  const record = { key: 'k', data: new Map(), version: 1, createdAt: 1, lastSeenAt: 1, expiresAt: 1, idleTimeout, absoluteTimeout }
  const { expiresAt, createdAt, lastSeenAt, ...rest } = inherited(record, life, defaults)
  t.same([createdAt, lastSeenAt], [life.createdAt, life.lastSeenAt])
  t.equal(rest.key, 'k')
  return expiresAt
}

t.test('a session that is moved was last active so long ago that it ends as before', async t => {
  t.same(lifetimeOf(foreign({}), DEFAULTS, NOW), { createdAt: 5000, lastSeenAt: 4960, idleTimeout: undefined, absoluteTimeout: undefined })
  for (const parts of [{}, { idleTimeout: 61 }, { idleTimeout: 5000 }, { expiresAt: 5060.9 }, { createdAt: 4900, absoluteTimeout: 160 }]) t.equal(endOf(parts), 5060, JSON.stringify(parts))
  t.equal(endOf({ expiresAt: 5001.2 }), 5001)
  t.equal(lifetimeOf(foreign({ idleTimeout: 100_000 }), DEFAULTS, NOW).lastSeenAt, 0, 'not before time began')
})

t.test('an idle time with a fraction costs less than a second', async t => {
  t.equal(endOf({ idleTimeout: 60.7 }), 5059)
})

t.test('timeouts are its own where they differ from those of the registration', async t => {
  t.match(lifetimeOf(foreign({ idleTimeout: 300 }), DEFAULTS, NOW), { idleTimeout: 300, absoluteTimeout: undefined })
  t.match(lifetimeOf(foreign({ absoluteTimeout: 1000, createdAt: 4500 }), DEFAULTS, NOW), { createdAt: 4500, absoluteTimeout: undefined })
  t.match(lifetimeOf(foreign({ absoluteTimeout: 900, createdAt: 4500 }), DEFAULTS, NOW), { createdAt: 4500, absoluteTimeout: 900 })
  t.match(lifetimeOf(foreign({ expiresAt: 9000, idleTimeout: 5000 }), DEFAULTS, NOW), { absoluteTimeout: 4000 }, 'ours does not cut off what remained')
  t.equal(endOf({ expiresAt: 9000, idleTimeout: 5000 }), 9000)
  t.match(lifetimeOf(foreign({ expiresAt: 9000, idleTimeout: 5000 }), { idleTimeout: false, absoluteTimeout: false }, NOW), { idleTimeout: 5000, absoluteTimeout: undefined })
  t.equal(endOf({ expiresAt: 9000, idleTimeout: 5000 }, { idleTimeout: false, absoluteTimeout: false }), 9000)
})

t.test('a clock that was ahead there makes no session from the future', async t => {
  t.match(lifetimeOf(foreign({ createdAt: 6000 }), DEFAULTS, NOW), { createdAt: 5000 })
  t.match(lifetimeOf(foreign({ expiresAt: 6000 }), DEFAULTS, NOW), { lastSeenAt: 5000 })
})
