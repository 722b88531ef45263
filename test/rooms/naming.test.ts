import t from 'tap'
import { resolveOptions } from '../../lib/options.js'
import type { UserIndex } from '../../lib/naming.js'

const BAD = { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }
const table = 'sessions'
const [one, two] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]

function indexOf (options: object): UserIndex {
  const { userIndex } = resolveOptions({ table, userIndex: true, ...options })
  if (userIndex === false) throw new Error('There is no index.')
  return userIndex
}

t.test('a user has one name of 43 characters, which tells nothing of the id', async t => {
  const [name, ...others] = indexOf({}).namesOf('ann@example.org')
  t.match(name, /^[A-Za-z0-9_-]{43}$/)
  t.same(others, [])
  t.not(name, indexOf({}).namesOf('ben')[0])
})

t.test('with keys the name depends on the key and on the application, newest key first', async t => {
  const [name] = indexOf({ encryptionKeys: one }).namesOf('ann')
  t.not(name, indexOf({}).namesOf('ann')[0], 'nobody without the key finds it out by trial')
  t.not(name, indexOf({ encryptionKeys: one, keyPrefix: 'shop#' }).namesOf('ann')[0])
  t.same(indexOf({ encryptionKeys: [two, one] }).namesOf('ann'), [...indexOf({ encryptionKeys: two }).namesOf('ann'), name])
})

t.test('while plain values are accepted, so are lists from before there were keys', async t => {
  let now = 1000
  const acceptPlainUntil = new Date(2000)
  const index = indexOf({ encryptionKeys: one, acceptPlainUntil, now: () => now })
  acceptPlainUntil.setTime(0)
  t.same(index.namesOf('ann')[1], indexOf({}).namesOf('ann')[0])
  now = 2000
  t.equal(index.namesOf('ann').length, 1)
})

t.test('a user id is a text of 1 to 1024 bytes: 42 and "42" would be one user or two', async t => {
  const index = indexOf({})
  for (const wrong of ['', 42, null, undefined, {}, 'é'.repeat(513), '\ud800']) t.throws(() => index.namesOf(wrong as string), BAD, String(wrong))
  t.equal(index.namesOf('é'.repeat(512)).length, 1)
})

t.test('the option is true, false or { maxSessions }', async t => {
  t.equal(resolveOptions({ table }).userIndex, false)
  t.equal(resolveOptions({ table, userIndex: false }).userIndex, false)
  t.same([indexOf({}).maxSessions, indexOf({ userIndex: {} }).maxSessions, indexOf({ userIndex: { maxSessions: 3 } }).maxSessions], [undefined, undefined, 3])
  for (const maxSessions of [0, -1, 1.5, 1001, '3', null, true]) {
    t.throws(() => indexOf({ userIndex: { maxSessions } }), { ...BAD, message: 'Option "userIndex.maxSessions" must be a whole number from 1 to 1000.' }, String(maxSessions))
  }
  for (const userIndex of [null, 'yes', 1, []]) t.throws(() => indexOf({ userIndex }), BAD)
  t.throws(() => indexOf({ userIndex: { maxSesions: 3 } }), { code: 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION', message: /userIndex.maxSessions/ })
})

t.test('a table whose key or attributes leave no room for lists is refused', async t => {
  for (const options of [{ partitionKey: 'sessions' }, { partitionKey: 'revoking' }, { ttlAttribute: 'sessions' }, { keyPrefix: 'x'.repeat(2001) }]) {
    t.throws(() => indexOf(options), BAD)
    t.ok(resolveOptions({ table, ...options }), 'which matters to lists only')
  }
  t.ok(indexOf({ keyPrefix: 'x'.repeat(2000) }))
})
