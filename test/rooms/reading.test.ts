import t from 'tap'
import { Reading, recordOfFormer } from '../../store/reading.js'
import { resolveStoreOptions } from '../../store/store-options.js'

const NOW = 1_767_323_045.5
const options = resolveStoreOptions('sessions')
const dataOf = (reading: Reading): object => Object.fromEntries(reading.state.values.copy())

t.test('what a host hands in counts by what differs from what was read', async t => {
  const fresh = new Reading('sid', 'key', {}, options)
  fresh.assign({ values: new Map([['a', 1], ['b', 2]]), cookie: {} }, NOW)
  const record = fresh.newRecord(NOW)
  const reading = new Reading('sid', 'key', {}, options, record)
  reading.assign({ values: new Map([['a', 1], ['b', 2]]), cookie: {} }, NOW)
  t.equal(reading.state.plan(NOW, false).kind, 'nothing')
  reading.assign({ values: new Map([['a', 3]]), cookie: {} }, NOW)
  const plan = reading.state.plan(NOW, false)
  t.match(plan, { kind: 'save', change: { set: new Map([['a', { S: '3' }]]), delete: ['b'], settings: {} } })
  reading.assign({ values: undefined, cookie: { originalMaxAge: 60_000 } }, NOW)
  t.match(reading.state.plan(NOW, false), { change: { settings: { idleTimeout: 60, absoluteTimeout: false } } })
})

t.test('a new record has its key, its instants, and the timeouts of its cookie', async t => {
  const reading = new Reading('sid', 'key', { originalMaxAge: 60_000 }, options)
  reading.assign({ values: new Map([['a', 1]]), cookie: { originalMaxAge: 60_000 } }, NOW)
  t.match(reading.newRecord(NOW), {
    key: 'key', version: 1, createdAt: 1_767_323_045, lastSeenAt: 1_767_323_045, expiresAt: 1_767_323_105, idleTimeout: 60, absoluteTimeout: false
  })
})

t.test('what a plan was to change is put on what another request has written, and nothing else', async t => {
  const first = new Reading('sid', 'key', {}, options)
  first.assign({ values: new Map([['a', 1], ['b', 1], ['c', 1]]), cookie: { path: '/' } }, NOW)
  const record = first.newRecord(NOW)
  const other = new Reading('sid', 'key', {}, options)
  other.assign({ values: new Map([['a', 9], ['b', 9], ['d', 9]]), cookie: { path: '/theirs' } }, NOW)
  const present = { ...other.newRecord(NOW), version: 2 }

  const reading = new Reading('sid', 'key', {}, options, record)
  const content = { values: new Map([['a', 2], ['c', 1]]), cookie: { path: '/' } }
  reading.assign(content, NOW)
  const rebased = reading.rebase(present, reading.state.plan(NOW, false), content)
  t.strictSame(rebased, { values: new Map([['a', 2], ['d', 9]]), cookie: { path: '/theirs' } })
  reading.assign(rebased, NOW)
  t.same(dataOf(reading), { a: 2, d: 9, cookie: { path: '/theirs' } })
})

t.test('a session of another store was last seen as its end and its idle time tell, and not later than now', async t => {
  const found = { key: 'sess:sid', members: new Map<string, unknown>([['cookie', { originalMaxAge: 600_000 }], ['a', 1]]), expiresAt: NOW + 100, maxAge: 600 }
  t.match(recordOfFormer('key', found, options, NOW), { version: 0, idleTimeout: 600, lastSeenAt: 1_767_322_545, expiresAt: 1_767_323_145 })
  t.match(recordOfFormer('key', { ...found, expiresAt: NOW + 9000 }, options, NOW), { lastSeenAt: 1_767_323_045, expiresAt: 1_767_332_045 })
  t.match(recordOfFormer('key', { ...found, expiresAt: undefined }, options, NOW), { lastSeenAt: 1_767_323_045, expiresAt: 1_767_323_645 })
})

t.test('what the format cannot carry of another store\'s session is refused by name, and not made into something else', async t => {
  const found = (value: unknown) => ({ key: 'session#sid', members: new Map([['a', value]]), expiresAt: undefined, maxAge: undefined })
  for (const value of [new Set(['x']), Uint8Array.of(1), 9_007_199_254_740_993n]) {
    t.throws(() => recordOfFormer('key', found(value), options, NOW), { code: 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE', message: 'session key "a"' })
    const native = resolveStoreOptions({ table: 'sessions', format: 'native' })
    t.ok(recordOfFormer('key', found(value), native, NOW).data.get('a'))
  }
})
