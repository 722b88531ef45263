import t from 'tap'
import { createFormats } from '../../lib/codec.js'
import { createEnvelope } from '../../lib/envelope.js'
import { Form } from '../../lib/form.js'
import { changedRecord, contentOf, isChange, knownRecord, moved, narrower, newRecord, NOTHING, rebase, reissueTimeOf, renewalOf, takeAnew } from '../../lib/plan.js'
import { Sealer } from '../../lib/seal.js'
import { Values } from '../../lib/values.js'
import type { RecordChange, Renewal, SessionRecord } from '../../types/repository.js'

const NOW = 1_800_000_000
const defaults = { idleTimeout: 7200, absoluteTimeout: 43_200 }
const text = (value: unknown) => ({ S: JSON.stringify(value) })

const record: SessionRecord = {
  key: 'k', data: new Map([['a', text(1)], ['list', text([1])]]), version: 4, createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 7200, writes: new Map([['w', 1]])
}

function aChange (parts: Partial<RecordChange> = {}): RecordChange {
  return { set: new Map([['a', text(2)]]), delete: [], settings: {}, renewal: undefined, base: record, now: NOW + 10, ...parts }
}

t.test('a renewal prolongs, or there is none', async t => {
  t.same(renewalOf(record, {}, defaults, NOW + 10.7), {
    lastSeenAt: NOW + 10, expiresAt: NOW + 7210, idleTimeout: undefined, absoluteTimeout: undefined, mayShorten: false
  })
  t.equal(renewalOf(record, {}, defaults, NOW + 0.9), undefined, 'within the same second')
  t.equal(renewalOf(record, {}, defaults, NOW - 100), undefined, 'by a clock that runs behind')
  t.equal(renewalOf({ ...record, createdAt: NOW - 43_000, expiresAt: NOW + 200 }, {}, defaults, NOW + 10), undefined, 'past the absolute end')
})

t.test('where the idle timeout was lowered, a session in use is renewed by the new one, and its stored end is not brought forward', async t => {
  const lowered = { ...defaults, idleTimeout: 600 }
  t.match(renewalOf(record, {}, lowered, NOW + 60), { lastSeenAt: NOW + 60, expiresAt: NOW + 7200, mayShorten: false })
  t.match(renewalOf({ ...record, lastSeenAt: NOW + 6900 }, {}, lowered, NOW + 6960), { lastSeenAt: NOW + 6960, expiresAt: NOW + 7560 })
})

t.test('a renewal goes by the timeouts of the session, and by those it is being given', async t => {
  const own = { ...record, idleTimeout: 60, absoluteTimeout: false, expiresAt: NOW + 60 } as const
  t.match(renewalOf(own, {}, defaults, NOW + 10), { expiresAt: NOW + 70, idleTimeout: 60, absoluteTimeout: false, mayShorten: false })
  t.match(renewalOf(own, { idleTimeout: 20 }, defaults, NOW + 10), { expiresAt: NOW + 30, idleTimeout: 60, mayShorten: true })
  t.match(renewalOf(own, { idleTimeout: null }, defaults, NOW + 10), { expiresAt: NOW + 7210, mayShorten: true })
  t.match(renewalOf(own, { idleTimeout: false, absoluteTimeout: null }, defaults, NOW + 10), { expiresAt: NOW + 43_200 })
  t.match(renewalOf(own, { absoluteTimeout: 30 }, defaults, NOW + 10), { expiresAt: NOW + 30, mayShorten: true })
})

t.test('a change on another record than it was made on is computed anew', async t => {
  const longer = { ...record, version: 8, lastSeenAt: NOW + 90, expiresAt: NOW + 7290, idleTimeout: 7200 }
  const change = aChange()
  t.same(rebase(change, longer, defaults), { ...change, base: longer, renewal: undefined })
  const own = { ...record, idleTimeout: 9000, expiresAt: NOW + 100 }
  t.match(rebase(change, own, defaults).renewal, { idleTimeout: 9000, expiresAt: NOW + 9010 })
})

t.test('a record after a change is known without another read', async t => {
  const renewal = renewalOf(record, {}, defaults, NOW + 10)
  const after = changedRecord(aChange({ set: new Map([['b', text(1)]]), delete: ['a', 'absent'], renewal, settings: { idleTimeout: 9, absoluteTimeout: null, cookieMaxAge: 5 } }), 5)
  t.same([...after.data.keys()], ['list', 'b'])
  t.match(after, { key: 'k', version: 5, createdAt: NOW, lastSeenAt: NOW + 10, expiresAt: NOW + 7210, idleTimeout: 9, absoluteTimeout: undefined, cookieMaxAge: 5 })
  t.equal(after.writes, record.writes)
  t.match(changedRecord(aChange(), 5), { lastSeenAt: NOW, expiresAt: NOW + 7200 })
  t.same(changedRecord(aChange({ base: { ...record, writes: undefined } }), 5).writes, new Map(), 'whatever was written has the map of write tokens')
})

t.test('a change is a value set, a key deleted or a setting, and nothing else', async t => {
  const none = { set: new Map(), delete: [] }
  t.equal(isChange(none, {}), false)
  t.equal(isChange({ ...none, set: new Map([['a', text(1)]]) }, {}), true)
  t.equal(isChange({ ...none, delete: ['a'] }, {}), true)
  t.equal(isChange(none, { cookieMaxAge: null }), true)
})

t.test('of two that keep, the lesser counts', async t => {
  for (const [first, second, expected] of [
    [true, true, true], [true, ['a'], ['a']], [['a'], true, ['a']], [['a', 'b'], ['b', 'c'], ['b']], [false, true, false], [['a'], false, false], [false, ['a'], false]
  ] as const) t.same(narrower(first, second), expected)
})

t.test('a shorter idle timeout of its own is renewed within a tenth of it, so that a session in use lives', async t => {
  t.equal(reissueTimeOf(record, 720), 720)
  t.equal(reissueTimeOf({ ...record, idleTimeout: 300 }, 720), 30)
  t.equal(reissueTimeOf({ ...record, idleTimeout: 86_400 }, 720), 720)
  t.equal(reissueTimeOf({ ...record, idleTimeout: false }, 720), 720)
  t.equal(reissueTimeOf({ ...record, idleTimeout: 300 }, 0), 0)
})

t.test('a new record has its instants in whole seconds, the first version and its end', async t => {
  const parts = { key: 'k', data: new Map([['a', text(1)]]) }
  t.strictSame(newRecord(parts, defaults, NOW + 0.9, undefined), {
    ...parts, version: 1, createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + 7200, writes: new Map()
  })
  t.match(newRecord({ ...parts, idleTimeout: 60, cookieMaxAge: 5 }, defaults, NOW, undefined), { idleTimeout: 60, cookieMaxAge: 5, expiresAt: NOW + 60 }, 'by timeouts of its own')
  const past = { ...record, createdAt: NOW - 43_000, lastSeenAt: NOW - 5 }
  t.match(newRecord(parts, defaults, NOW, past), { createdAt: NOW - 43_000, lastSeenAt: NOW, expiresAt: NOW + 200 }, 'an age that runs on ends it')
  t.match(newRecord(parts, defaults, NOW - 9, past), { lastSeenAt: NOW - 5, expiresAt: NOW + 200 }, 'and no clock that is behind sets it back')
})

t.test('a record after a change that nobody came before is known whole', async t => {
  const change = aChange({ delete: ['list'] })
  t.strictSame(knownRecord(record, change, 5), changedRecord(change, 5))
})

t.test('where others wrote before the change, what is known of the data is old, and so is the version that says so', async t => {
  const change = aChange({ delete: ['list'] })
  const known = knownRecord(record, change, 7)
  t.equal(known.version, 4)
  t.strictSame(known.data, new Map([['a', text(2)]]))
})

t.test('where the change was made on what others had written, their settings and instants are known and not all of their data', async t => {
  const theirs = {
    ...record, data: new Map([['a', text(9)], ['theirs', text(1)], ['list', text([1])]]), version: 6, idleTimeout: 60, lastSeenAt: NOW + 5, expiresAt: NOW + 65
  }
  const known = knownRecord(record, aChange({ base: theirs }), 7)
  t.match(known, { version: 4, idleTimeout: 60, lastSeenAt: NOW + 5, expiresAt: NOW + 65 })
  t.strictSame(known.data, new Map([['a', text(2)], ['list', text([1])]]))
})

t.test('a change that was made on less than is known by now adds to that, and its version stays behind', async t => {
  const newer = { ...record, version: 5, data: new Map([...record.data, ['mine', text(1)]]) }
  const known = knownRecord(newer, aChange(), 6)
  t.equal(known.version, 5)
  t.strictSame(known.data, new Map([['a', text(2)], ['list', text([1])], ['mine', text(1)]]))
})

const sealed = {
  formats: createFormats('json'),
  envelope: createEnvelope({ sealer: new Sealer([new Uint8Array(32).fill(1)], ''), compress: false, acceptPlainUntil: 0, now: Date.now })
}

/** A record as it is stored sealed. */
function seal (parts: Partial<SessionRecord> = {}): SessionRecord {
  const plain = { ...record, ...parts }
  return { ...plain, data: Form.of(plain, sealed).wrapAll(new Map(plain.data)) }
}

function valuesOf (stored: SessionRecord): Array<[string, unknown]> {
  return [...stored.data].map(([name, value]) => [name, Form.of(stored, sealed).read(name, value)])
}

t.test('a record under another key has its values bound to that', async t => {
  const before = seal()
  const after = moved(before, 'other', sealed)
  t.strictSame({ ...after, key: 'k', data: null }, { ...before, data: null })
  t.same([after.key, valuesOf(after), valuesOf(before)], ['other', valuesOf(before), [['a', 1], ['list', [1]]]])
  t.throws(() => valuesOf({ ...before, key: 'other' }), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
})

t.test('plans are told apart by their content and not by how it is sealed', async t => {
  const content = [new Map([['a', text(2)]])]
  t.equal(contentOf({ kind: 'save', change: aChange(), content }), content)
  t.equal(contentOf({ kind: 'create', record, now: NOW, content }), content)
  t.equal(contentOf({ kind: 'regenerate', record, old: record, keep: true, now: NOW, content }), content)
  t.equal(contentOf({ kind: 'discard', old: record }), 'discard')
  t.equal(contentOf(NOTHING), undefined)
  t.equal(contentOf({ kind: 'touch', base: record, renewal: renewalOf(record, {}, defaults, NOW + 10) as Renewal, now: NOW, explicit: false, reissueTime: 0 }), undefined)
})

t.test('what is kept of a sealed record is taken anew, save what this request has changed', async t => {
  const before = seal({ data: new Map([['a', text(1)], ['mine', text(1)], ['gone', text(1)], ['list', text([1])]]) })
  const present = seal({ data: new Map([['a', text(2)], ['mine', text(2)], ['list', text([1])], ['added', text(9)]]) })
  const values = new Values(Form.of(before, sealed), before.data).moved(Form.unstored(sealed), true)
  values.set('mine', 7)
  takeAnew(values, true, before, present, sealed)
  t.same([...values.copy()].sort(), [['a', 2], ['added', 9], ['list', [1]], ['mine', 7]])
})

t.test('that there were no messages does not stand in the way of those that have come since', async t => {
  const messages = { info: ['saved'] }
  const [none, some] = [seal({ data: new Map() }), seal({ data: new Map([['flash', text(messages)]]) })]
  for (const [before, present, expected] of [[none, some, messages], [some, some, {}], [some, none, {}], [none, none, {}]] as const) {
    const values = new Values(Form.of(before, sealed), before.data).moved(Form.unstored(sealed), true)
    values.set('flash', {})
    takeAnew(values, true, before, present, sealed)
    t.same(values.get('flash'), expected)
  }
})
