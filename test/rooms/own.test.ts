import t from 'tap'
import { Own } from '../../lib/own.js'
import type { SessionRecord } from '../../types/repository.js'

const record: SessionRecord = { key: 'k', data: new Map(), version: 1, createdAt: 0, lastSeenAt: 0, expiresAt: 9 }

t.test('what was assigned stands over what is stored, and only that is a change', async t => {
  const own = new Own({ ...record, idleTimeout: 60, cookieMaxAge: 5 })
  t.same(own.get(), { idleTimeout: 60, cookieMaxAge: 5 })
  t.same(own.changes(), {})
  own.assign({ idleTimeout: 60 })
  t.same(own.changes(), {}, 'the same again is none')
  own.assign({ idleTimeout: undefined, absoluteTimeout: false })
  t.same(own.changes(), { idleTimeout: null, absoluteTimeout: false }, 'undefined removes')
  t.same(own.get(), { idleTimeout: undefined, absoluteTimeout: false, cookieMaxAge: 5 })
})

t.test('what others have stored counts, save where the application has assigned since', async t => {
  const own = new Own({ idleTimeout: 60 })
  own.assign({ cookieMaxAge: 5 })
  own.settle({ ...record, idleTimeout: 9000, cookieMaxAge: 5 })
  t.same(own.changes(), {}, 'what was written is no change any more')
  t.same(own.get(), { idleTimeout: 9000, cookieMaxAge: 5 }, 'and another request is not undone')
  own.assign({ absoluteTimeout: 7 })
  own.settle({ ...record, idleTimeout: 1, absoluteTimeout: 8 })
  t.same(own.changes(), { absoluteTimeout: 7 }, 'assigned while the write was under way')
})

t.test('a session that replaces this one may take all of them', async t => {
  const own = new Own({ idleTimeout: 60, cookieMaxAge: 5 })
  own.assign({ absoluteTimeout: 3 })
  t.same(own.moved(true).get(), { idleTimeout: 60, absoluteTimeout: 3, cookieMaxAge: 5 })
  t.same(own.moved(true).changes(), { idleTimeout: 60, absoluteTimeout: 3, cookieMaxAge: 5 })
})

t.test('settings of which it is not known whether they are stored are written again, as they are by then', async t => {
  const own = new Own({ idleTimeout: 60 })
  own.assign({ idleTimeout: 30, cookieMaxAge: 5 })
  own.doubt(own.changes())
  own.assign({ idleTimeout: 60, cookieMaxAge: undefined })
  t.same(own.changes(), { idleTimeout: 60, cookieMaxAge: null })
  own.settle({ ...record, idleTimeout: 60 })
  t.same(own.changes(), {})
})

t.test('what others have changed meanwhile is taken, save where it was changed here', async t => {
  const before = { ...record, idleTimeout: 60, absoluteTimeout: 100 }
  const own = new Own(before).moved(true)
  own.assign({ idleTimeout: 30 })
  own.takeAnew(before, { ...before, idleTimeout: 45, absoluteTimeout: 60 }, true)
  t.same(own.get(), { idleTimeout: 30, absoluteTimeout: 60 })
})

t.test('a write that did not carry a setting leaves it unknown whether that is stored', async t => {
  const own = new Own({ idleTimeout: 60 })
  own.assign({ idleTimeout: 30 })
  own.doubt(own.changes())
  own.assign({ idleTimeout: 60 })
  own.settle({ ...record, idleTimeout: 60 }, {})
  t.same(own.changes(), { idleTimeout: 60 })
  own.settle({ ...record, idleTimeout: 60 }, { idleTimeout: 60 })
  t.same(own.changes(), {})
})

t.test('of a session that begins anew, whose it is stays, and follows what others have changed', async t => {
  const before = { ...record, idleTimeout: 60, user: 'ann' }
  const own = new Own(before).moved(false)
  t.same(own.get(), { user: 'ann' })
  own.takeAnew(before, { ...before, idleTimeout: 45, user: 'ben' }, false)
  t.same(own.get(), { user: 'ben' })
})
