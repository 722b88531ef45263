import t from 'tap'
import { Losses, UNWRITABLE } from '../../lib/losses.js'
import { contentOf } from '../../lib/plan.js'
import { SessionState } from '../../lib/session.js'
import { SETTINGS as settings } from '../support/forms.js'

const NOW = 1_800_000_000

/** A stored session and the account of its changes. */
function setUp () {
  const id = settings.tokens.makeId()
  const data = new Map([['count', { S: '1' }], ['cart', { S: '["a"]' }]])
  const record = { key: settings.tokens.keyOf(id) ?? '', data, version: 1, createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 7200, writes: new Map() }
  const state = new SessionState(settings, { id, record })
  const losses = new Losses()
  return {
    state,
    losses,
    set (key: string, value: unknown): void {
      state.values.set(key, value)
      state.change()
    },
    content: () => contentOf(state.plan(NOW, false)),
    /** What is assigned, and what is changed in place too. */
    unsaved: () => [losses.isUnsaved(state, NOW, false), losses.isUnsaved(state, NOW, true)]
  }
}

t.test('a session that was only looked at has nothing to lose, nor has one that is due to be renewed', async t => {
  const { state, losses, unsaved } = setUp()
  state.values.get('cart')
  t.same(unsaved(), [false, false])
  t.equal(losses.isUnsaved(state, NOW + 1000, true), false)
})

t.test('what was assigned since the last plan is unsaved, and what was taken back is not', async t => {
  const { losses, state, set, unsaved } = setUp()
  set('count', 2)
  t.same(unsaved(), [true, true])
  set('count', 1)
  t.same(unsaved(), [false, false], 'it is as it is stored')
  set('count', 2)
  losses.plan(state)
  t.same(unsaved(), [false, true], 'the plan that was taken is somebody\'s to carry out')
  set('count', 3)
  t.same(unsaved(), [true, true])
})

t.test('what was changed in place is seen where it is looked for', async t => {
  const { state, unsaved } = setUp()
  ;(state.values.get('cart') as string[]).push('b')
  t.same(unsaved(), [false, true])
})

t.test('what somebody was told of is no loss, until it is something else', async t => {
  const { state, losses, set, content, unsaved } = setUp()
  set('count', 2)
  losses.tell(content())
  t.same(unsaved(), [false, false])
  set('count', 3)
  t.same(unsaved(), [true, true])
  set('count', 2)
  t.same(unsaved(), [false, false])
  ;(state.values.get('cart') as string[]).push('b')
  t.same(unsaved(), [true, true])
})

t.test('what the application itself was told of is abandoned, as long as it is the same', async t => {
  const { losses, set, content, unsaved } = setUp()
  set('count', 2)
  losses.tell(content())
  t.equal(losses.isAbandoned(content()), false, 'the log was told, not the application')
  losses.abandon(content())
  t.equal(losses.isAbandoned(content()), true)
  t.same(unsaved(), [false, false])
  set('count', 3)
  t.equal(losses.isAbandoned(content()), false)
})

t.test('nothing is never abandoned, so that a session without changes is renewed', async t => {
  const { losses } = setUp()
  t.equal(losses.isAbandoned(undefined), false)
  losses.abandon(undefined)
  t.equal(losses.isAbandoned(undefined), false)
})

t.test('what no format can carry is a loss, unless somebody knows of it', async t => {
  const { state, losses, unsaved } = setUp()
  ;(state.values.get('cart') as unknown[]).push(() => {})
  t.same(unsaved(), [false, true])
  losses.tell(UNWRITABLE)
  t.same(unsaved(), [false, false])
  t.equal(losses.isAbandoned(UNWRITABLE), false)
  losses.abandon(UNWRITABLE)
  t.equal(losses.isAbandoned(UNWRITABLE), true)
})
