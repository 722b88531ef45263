import t from 'tap'
import { candidates, isDead, isTellable, seemsOver, shelve, shown, surplus } from '../../lib/roster.js'
import { aRecord } from '../../testing/records.js'
import type { UserEntry, UserRecord } from '../../types/repository.js'

const NOW = 1_800_000_000

function entry (createdAt: number, expiresAt = NOW + 100): UserEntry {
  return { createdAt, lastSeenAt: createdAt, expiresAt }
}

function listOf (sessions: Record<string, UserEntry>, revoking: Record<string, UserEntry> = {}): UserRecord {
  return { sessions: new Map(Object.entries(sessions)), revoking: new Map(Object.entries(revoking)), version: 3 }
}

t.test('a session seems over from the second at which it expires', async t => {
  t.same([seemsOver(entry(1, NOW + 1), NOW), seemsOver(entry(1, NOW), NOW)], [false, true])
})

t.test('what is shelved joins what is left of earlier attempts, and nothing is dropped', async t => {
  const { lists, ending } = shelve(listOf({ a: entry(1), b: entry(2) }, { c: entry(3) }), key => key === 'a')
  t.same([[...lists.sessions.keys()], [...lists.revoking.keys()], ending], [['b'], ['c', 'a'], ['c', 'a']])
  t.same(shelve(listOf({ a: entry(1) }), () => false).ending, [])
})

t.test('the surplus is what seems over, then the oldest, and never the session itself', async t => {
  const list = listOf({ old: entry(1), mine: entry(0), new: entry(5), over: entry(9, NOW) })
  const of = (most: number): string[] => [...surplus([{ user: 'ann', list }], 'mine', most, NOW)]
  t.same([of(4), of(3), of(2), of(1)], [[], ['over'], ['over', 'old'], ['over', 'old', 'new']])
})

t.test('lists under several names count together, and a session in two of them once', async t => {
  const lists = [{ user: 'new', list: listOf({ a: entry(3), b: entry(2) }) }, { user: 'old', list: listOf({ b: entry(2), c: entry(1) }) }]
  t.same([...surplus(lists, 'a', 3, NOW)], [])
  t.same([...surplus(lists, 'a', 2, NOW)], ['c'])
  t.same(shown(lists, NOW).map(({ user, key }) => [user, key]), [['new', 'a'], ['old', 'b'], ['old', 'c']])
})

t.test('what seems over is not shown, and may be taken off when no clock says otherwise', async t => {
  const list = listOf({ a: entry(1), b: entry(2, NOW - 1), c: entry(3, NOW - 600) })
  t.same(shown([{ user: 'ann', list }], NOW).map(({ key }) => key), ['a'])
  t.same(candidates(list, NOW), ['c'])
})

t.test('a session is dead for all when it is gone, replaced or long over', async t => {
  const record = aRecord({ expiresAt: NOW - 599 })
  t.same([isDead(null, NOW), isDead({ ...record, next: '-' }, NOW), isDead({ ...record, expiresAt: NOW - 600 }, NOW)], [true, true, true])
  t.notOk(isDead(record, NOW))
})

t.test('of renewals one in a reissue time is told, each where there is none, and none where nothing renews', async t => {
  const told = Array.from({ length: 100 }, (_, second) => isTellable(NOW + second, NOW + second + 1, 10)).filter(Boolean)
  t.equal(told.length, 10)
  t.same([isTellable(NOW, NOW + 1, 0), isTellable(NOW, NOW + 1000, Infinity), isTellable(NOW, NOW + 10, 10)], [true, false, true])
})
