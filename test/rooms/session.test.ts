import t from 'tap'
import { createEnvelope } from '../../lib/envelope.js'
import { Form } from '../../lib/form.js'
import { changedRecord, contentOf, type Plan } from '../../lib/plan.js'
import { Sealer } from '../../lib/seal.js'
import { SessionState } from '../../lib/session.js'
import type { SessionRecord } from '../../types/repository.js'
import { SETTINGS as settings } from '../support/forms.js'

const NOW = 1_800_000_000

const text = (value: unknown) => ({ S: JSON.stringify(value) })

function stored (parts: Partial<SessionRecord> = {}, given = settings) {
  const id = given.tokens.makeId()
  const record: SessionRecord = {
    key: given.tokens.keyOf(id) ?? '',
    data: new Map([['a', text(1)], ['list', text([1])]]),
    version: 4,
    createdAt: NOW,
    lastSeenAt: NOW,
    expiresAt: NOW + 7200,
    writes: new Map(),
    ...parts
  }
  return { state: new SessionState(given, { id, record }), record, id }
}

function assign (state: SessionState, key: string, value: unknown): void {
  state.values.set(key, value)
  state.change()
}

function planned<Kind extends Plan['kind']> (plan: Plan, kind: Kind): Extract<Plan, { kind: Kind }> {
  if (plan.kind !== kind) throw new Error(`The plan is ${plan.kind}, not ${kind}.`)
  return plan as Extract<Plan, { kind: Kind }>
}

t.test('one word says what a session is', async t => {
  const state = new SessionState(settings)
  t.equal(state.status, 'blank')
  assign(state, 'a', 1)
  t.equal(state.status, 'started')
  const { state: known } = stored()
  t.equal(known.status, 'loaded')
  assign(known, 'a', 2)
  t.equal(known.status, 'changed')
  known.regenerate(false)
  t.equal(known.status, 'started')
  known.forget()
  t.equal(known.status, 'destroyed')
  assign(known, 'a', 2)
  t.equal(known.status, 'started', 'usable again')
  known.takeLastPlan(NOW)
  t.equal(known.status, 'settled')
})

t.test('a session that was only looked at plans nothing', async t => {
  const { state } = stored()
  state.values.get('a')
  state.values.get('list')
  t.same(state.plan(NOW + 719, false), { kind: 'nothing' })
})

t.test('the plan is taken once', async t => {
  const { state } = stored()
  assign(state, 'a', 2)
  t.equal(state.takeLastPlan(NOW).kind, 'save')
  t.equal(state.takeLastPlan(NOW).kind, 'nothing')
})

t.test('empty objects and arrays alone make no session', async t => {
  const state = new SessionState(settings)
  assign(state, 'flash', {})
  assign(state, 'list', [])
  t.equal(state.plan(NOW, false).kind, 'nothing')
  t.equal(state.isChanged(), false)
  t.equal(state.plan(NOW, true).kind, 'create', 'unless the application asks')
  assign(state, 'a', 0)
  const { record } = planned(state.plan(NOW, false), 'create')
  t.same([...record.data.keys()], ['flash', 'list', 'a'], 'beside data they are stored')
})

t.test('a new record has its instants, its version and its end', async t => {
  const state = new SessionState(settings)
  assign(state, 'a', 1)
  const { record } = planned(state.plan(NOW + 0.9, false), 'create')
  t.match(record, { key: state.key, version: 1, createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 7200, format: undefined })
})

t.test('a change names its keys only and carries the renewal for nothing', async t => {
  const { state } = stored()
  assign(state, 'b', true)
  state.values.delete('a')
  state.change()
  const { change } = planned(state.plan(NOW + 10, false), 'save')
  t.same([...change.set], [['b', text(true)]])
  t.same(change.delete, ['a'])
  t.same(change.renewal, { lastSeenAt: NOW + 10, expiresAt: NOW + 7210, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false })
})

t.test('a change in place is seen', async t => {
  const { state } = stored()
  ;(state.values.get('list') as number[]).push(2)
  t.equal(state.isChanged(), true)
  t.same([...planned(state.plan(NOW, false), 'save').change.set], [['list', text([1, 2])]])
})

t.test('a touch is due at the reissue time, or when asked for, and only where it prolongs', async t => {
  const { state } = stored()
  t.equal(state.plan(NOW + 719, false).kind, 'nothing')
  t.match(state.plan(NOW + 720, false), { kind: 'touch', renewal: { lastSeenAt: NOW + 720, expiresAt: NOW + 7920 } })
  state.touch()
  t.equal(state.plan(NOW + 1, false).kind, 'touch')
  t.match(state.plan(NOW + 1, true), { kind: 'touch', explicit: true })
  t.equal(stored().state.plan(NOW + 720, true).kind, 'nothing', 'a save that is asked for does not renew unless that is')
  t.equal(state.plan(NOW, false).kind, 'nothing', 'within the same second there is nothing to gain')
  t.equal(state.plan(NOW - 50, false).kind, 'nothing', 'a clock that runs behind shortens nothing')
  const { state: old } = stored({ createdAt: NOW - 43_100, expiresAt: NOW + 100 })
  t.equal(old.plan(NOW + 50, false).kind, 'nothing', 'the absolute timeout is not to be moved')
})

t.test('reissue time 0 renews on every request of another second', async t => {
  const { state } = stored({}, { ...settings, reissueTime: 0 })
  t.equal(state.plan(NOW, false).kind, 'nothing')
  t.equal(state.plan(NOW + 1, false).kind, 'touch')
})

t.test('timeouts of its own are stored, may shorten, and give way again', async t => {
  const { state, record } = stored()
  state.own.assign({ idleTimeout: 60 })
  state.change()
  const { change } = planned(state.plan(NOW + 5, false), 'save')
  t.same(change.settings, { idleTimeout: 60 })
  t.match(change.renewal, { expiresAt: NOW + 65, mayShorten: true, idleTimeout: undefined })
  const shortened = changedRecord(change, 5)
  t.match(shortened, { idleTimeout: 60, expiresAt: NOW + 65, version: 5, createdAt: record.createdAt })
  state.stored(shortened, change, 5)
  state.own.assign({ idleTimeout: undefined })
  t.same(planned(state.plan(NOW + 6, false), 'save').change.settings, { idleTimeout: null })
})

t.test('a session without timeouts ends with the calendar', async t => {
  const state = new SessionState({ ...settings, idleTimeout: false, absoluteTimeout: false, reissueTime: 0 })
  assign(state, 'a', 1)
  t.equal(planned(state.plan(NOW, false), 'create').record.expiresAt, 253_402_300_799)
})

t.test('regenerate gives a new id at once and drops the data, or keeps what is named, or all', async t => {
  for (const [keep, keys] of [[false, []], [['list', 'absent'], ['list']], [true, ['a', 'list']]] as const) {
    const { state, record, id } = stored()
    state.regenerate(keep)
    t.not(state.id, id)
    t.same(state.values.keys(), keys)
    t.equal(state.replaced?.record, record)
  }
})

t.test('a regenerated session replaces its record, and begins its age anew unless all is kept', async t => {
  const login = stored({ createdAt: NOW - 1000, idleTimeout: 60, cookieMaxAge: 99 })
  login.state.regenerate(['a'])
  const plan = planned(login.state.plan(NOW, false), 'regenerate')
  t.match(plan, { old: login.record, keep: ['a'], record: { createdAt: NOW, expiresAt: NOW + 7200 } })
  t.same([plan.record.idleTimeout, plan.record.cookieMaxAge], [undefined, undefined])

  const routine = stored({ createdAt: NOW - 43_000, idleTimeout: 600, cookieMaxAge: 99 })
  routine.state.regenerate(true)
  const { record } = planned(routine.state.plan(NOW, false), 'regenerate')
  t.match(record, { createdAt: NOW - 43_000, idleTimeout: 600, cookieMaxAge: 99, expiresAt: NOW + 200 })
})

t.test('regenerating twice replaces one record once, with the lesser of what was kept', async t => {
  for (const [first, second, expected] of [
    [true, ['a'], ['a']], [['a', 'list'], true, ['a', 'list']], [['a'], ['list'], []], [['a'], false, false], [true, true, true]
  ] as const) {
    const { state, record } = stored()
    state.regenerate(first)
    const id = state.id
    state.regenerate(second)
    t.not(state.id, id)
    t.same(state.replaced, { record, keep: expected })
  }
  const blank = new SessionState(settings)
  blank.regenerate(false)
  blank.regenerate(false)
  t.equal(blank.replaced, undefined)
})

t.test('a regenerated session without data discards its record', async t => {
  const { state, record } = stored()
  state.regenerate(false)
  t.same(state.plan(NOW, false), { kind: 'discard', old: record })
  t.equal(state.isChanged(), true)
  t.equal(state.plan(NOW, true).kind, 'regenerate', 'unless the application asks to store it')
})

t.test('what is kept is taken anew where it has changed meanwhile, save what this request changed itself', async t => {
  const { state, record } = stored({ data: new Map(Object.entries({ mine: text(1), theirs: text(1), both: text(1), gone: text(1), other: text(1) })) })
  state.regenerate(['mine', 'theirs', 'both', 'gone', 'added'])
  assign(state, 'mine', 2)
  assign(state, 'both', 2)
  const present = { ...record, version: 9, data: new Map(Object.entries({ mine: text(1), theirs: text(3), both: text(3), added: text(3), other: text(3) })) }
  state.carryOver(present)
  t.same(Object.fromEntries(state.values.copy()), { mine: 2, theirs: 3, both: 2, added: 3 })
  t.equal(state.replaced?.record.version, 9)
  const all = stored()
  all.state.regenerate(true)
  all.state.carryOver({ ...all.record, data: new Map([['a', text(7)]]) })
  t.same(Object.fromEntries(all.state.values.copy()), { a: 7 })
  const blank = new SessionState(settings)
  blank.carryOver(present)
  t.same(blank.values.keys(), [])
})

t.test('forgetting asks for the token to be cleared and leaves nothing', async t => {
  const { state } = stored({ idleTimeout: 60 })
  state.forget()
  t.same([state.id, state.key, state.record, state.version, state.own.get(), state.values.keys()], [undefined, undefined, undefined, undefined, {}, []])
  t.same(state.delivery, { token: 'clear' })
  t.equal(state.plan(NOW, false).kind, 'nothing')
})

t.test('a session keeps the format of its record until it is regenerated', async t => {
  const { state } = stored({ format: 'native', data: new Map([['n', { N: '12' }]]) })
  t.equal(state.values.get('n'), 12)
  assign(state, 'n', 13)
  t.same([...planned(state.plan(NOW, false), 'save').change.set], [['n', { N: '13' }]])
  state.regenerate(true)
  const { record } = planned(state.plan(NOW, false), 'regenerate')
  t.same([record.format, [...record.data]], [undefined, [['n', text(13)]]])
})

t.test('the end that a session tells is the earlier one of what is stored and what holds now', async t => {
  t.equal(stored().state.expiresAt, NOW + 7200)
  t.equal(stored({}, { ...settings, idleTimeout: 600 }).state.expiresAt, NOW + 600)
  t.equal(new SessionState(settings).expiresAt, undefined)
})

t.test('assigning counts, reading does not', async t => {
  const { state } = stored()
  state.values.get('list')
  t.equal(state.changeCount, 0)
  assign(state, 'a', 1)
  state.regenerate(true)
  t.equal(state.changeCount, 2)
})

t.test('with conflict "reject" a save is planned on the version that was read, and else on any', async t => {
  for (const conflict of ['merge', 'reject'] as const) {
    const { state, record } = stored({}, { ...settings, conflict })
    assign(state, 'b', 1)
    const { change } = planned(state.plan(NOW, false), 'save')
    t.same([change.sameVersion, change.base], [conflict === 'reject', record])
    t.equal(planned(state.plan(NOW, true), 'save').change.sameVersion, conflict === 'reject')
    t.equal(change.expected, undefined)
    const touched = stored({}, { ...settings, conflict })
    t.equal(touched.state.plan(NOW + 720, false).kind, 'touch', 'renewing changes no data')
  }
})

t.test('what could not be read is not to be changed, and says why', async t => {
  const state = new SessionState(settings)
  t.doesNotThrow(() => { state.assertReadable() })
  state.unread = new Error('cut off')
  t.throws(() => { state.assertReadable() }, { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503, cause: state.unread })
})

t.test('who asks is told of every change, and of nothing else', async t => {
  const { state } = stored()
  let changes = 0
  assign(state, 'a', 2)
  state.onChange = () => { changes += 1 }
  state.values.get('list')
  state.plan(NOW, false)
  state.touch()
  t.equal(changes, 0)
  assign(state, 'a', 3)
  state.chooseMaxAge(60)
  state.regenerate(true)
  t.equal(changes, 3)
  state.onChange = undefined
  assign(state, 'a', 4)
  t.equal(changes, 3)
})

t.test('saying how long the cookie is to live is a change, which outlives the record that it was said for', async t => {
  const { state } = stored()
  state.chooseMaxAge(60)
  t.same(planned(state.plan(NOW, false), 'save').change.settings, { cookieMaxAge: 60 })
  state.forget()
  assign(state, 'a', 1)
  t.equal(planned(state.plan(NOW, false), 'create').record.cookieMaxAge, 60)
})

t.test('a plan for a session whose id was taken away gives it another', async t => {
  const state = new SessionState(settings)
  const { record } = planned(state.plan(NOW, true), 'create')
  t.match(record.key, /^[\w-]{43}$/)
  t.same([record.key, state.status], [state.key, 'blank'])
})

t.test('plans hold sealed values, bound to their record, and what they are about is the same each time', async t => {
  const envelope = createEnvelope({ sealer: new Sealer([new Uint8Array(32).fill(1)], ''), compress: false, acceptPlainUntil: 0, now: Date.now })
  const sealed = { ...settings, envelope }
  const blank = new SessionState(sealed)
  assign(blank, 'cart', ['apple'])
  const [create, again] = [planned(blank.plan(NOW, false), 'create'), planned(blank.plan(NOW, false), 'create')]
  t.notSame(create.record.data, again.record.data)
  t.strictSame(contentOf(create), contentOf(again))
  t.strictSame(Form.of(create.record, sealed).read('cart', create.record.data.get('cart') ?? {} as never), ['apple'])
  blank.stored(create.record, { set: create.record.data, delete: [] }, 1)
  t.equal(blank.plan(NOW, true).kind, 'nothing')
  ;(blank.values.get('cart') as string[]).push('pear')
  const [save, other] = [planned(blank.plan(NOW, false), 'save'), planned(blank.plan(NOW, false), 'save')]
  t.notSame(save.change.set, other.change.set)
  t.strictSame(contentOf(save), contentOf(other))
  t.strictSame(Form.of(create.record, sealed).read('cart', save.change.set.get('cart') ?? {} as never), ['apple', 'pear'])
  blank.regenerate(true)
  const regenerate = planned(blank.plan(NOW, false), 'regenerate')
  t.throws(() => Form.of(create.record, sealed).read('cart', regenerate.record.data.get('cart') ?? {} as never), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  t.strictSame(Form.of(regenerate.record, sealed).read('cart', regenerate.record.data.get('cart') ?? {} as never), ['apple', 'pear'])
})

t.test('settings of which it is not known whether they are stored are written again, also after a write of data alone', async t => {
  const { state, record } = stored({ idleTimeout: 60 })
  state.own.assign({ idleTimeout: 30 })
  state.change()
  state.doubt(planned(state.plan(NOW, true), 'save').change)
  state.own.assign({ idleTimeout: 60 })
  state.stored({ ...record, version: 5 }, { set: new Map([['a', text(2)]]), delete: [] }, 5)
  const { change } = planned(state.plan(NOW, true), 'save')
  t.same(change.settings, { idleTimeout: 60 })
  state.stored(changedRecord(change, 6), change, 6)
  t.equal(state.plan(NOW, true).kind, 'nothing')
})
