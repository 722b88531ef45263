import t from 'tap'
import { createFormats, type Format } from '../../lib/codec.js'
import { jsonFormat } from '../../lib/json.js'
import { nativeFormat } from '../../lib/native.js'
import { createEnvelope } from '../../lib/envelope.js'
import { Form, isSameEncoded } from '../../lib/form.js'
import { Sealer } from '../../lib/seal.js'
import { Values } from '../../lib/values.js'
import type { StoredValue } from '../../types/repository.js'
import { formOf } from '../support/forms.js'

const NOTHING = { set: new Map(), delete: [] }
const JSON_FORM = formOf(jsonFormat)
const NATIVE_FORM = formOf(nativeFormat)

/** JSON that counts its calls, by session value. */
function createCounting (): Format & { readonly encoded: unknown[], readonly decoded: unknown[], take (): { encoded: unknown[], decoded: unknown[] } } {
  const encoded: unknown[] = []
  const decoded: unknown[] = []
  return {
    name: 'counting',
    encoded,
    decoded,
    encode (value) {
      encoded.push(structuredClone(value))
      return jsonFormat.encode(value)
    },
    decode (stored) {
      decoded.push(stored.S)
      return jsonFormat.decode(stored)
    },
    take: () => ({ encoded: encoded.splice(0), decoded: decoded.splice(0) })
  }
}

function json (data: Record<string, unknown>): Map<string, StoredValue> {
  return new Map(Object.entries(data).map(([key, value]) => [key, jsonFormat.encode(value)]))
}

function open (data: Record<string, unknown> = {}): Values {
  return new Values(JSON_FORM, json(data))
}

/** Changes in their decoded form. */
function changesOf (values: Values): { set: Record<string, unknown>, delete: readonly string[] } {
  const { set, delete: deleted } = values.changes()
  return { set: Object.fromEntries([...set].map(([key, stored]) => [key, values.form.decode(stored)])), delete: deleted }
}

const cart = (values: Values): string[] => values.get('cart') as string[]

t.test('a value is decoded when it is first asked for, and once', async t => {
  const format = createCounting()
  const values = new Values(formOf(format), json({ a: 1, b: { c: [2] } }))
  t.same(values.keys(), ['a', 'b'])
  t.equal(values.has('a'), true)
  t.strictSame(values.changes(), NOTHING)
  t.same(format.take(), { encoded: [], decoded: [] }, 'for keys and changes nothing is decoded')
  t.equal(values.get('b'), values.get('b'), 'the same object each time')
  t.same(format.take(), { encoded: [], decoded: ['{"c":[2]}'] }, 'and never the untouched key')
})

t.test('a text, number or truth that was only read is not encoded', async t => {
  const format = createCounting()
  const values = new Values(formOf(format), json({ text: 'x', number: 1, truth: true, nothing: null, object: { a: 1 }, untouched: [1] }))
  for (const key of ['text', 'number', 'truth', 'nothing', 'object']) values.get(key)
  format.take()
  t.strictSame(values.changes(), NOTHING)
  t.same(format.take(), { encoded: [{ a: 1 }], decoded: [] }, 'an object may have changed in place, so it is; equal text spares the comparison')
})

t.test('only what changed is written, and what is untouched is neither decoded nor encoded', async t => {
  const format = createCounting()
  const values = new Values(formOf(format), json(Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`key ${index}`, { index }]))))
  values.set('key 3', 'new')
  t.same([...values.changes().set], [['key 3', { S: '"new"' }]])
  t.notOk([...format.encoded, ...format.decoded].some(value => JSON.stringify(value).includes('index') && !JSON.stringify(value).includes('3')))
})

t.test('a change inside a value that was read is seen', async t => {
  const values = open({ cart: ['apple'], profile: { tags: { a: [1] } }, other: [1] })
  cart(values).push('pear')
  t.same(changesOf(values), { set: { cart: ['apple', 'pear'] }, delete: [] })
  ;(values.get('profile') as { tags: { a: number[] } }).tags.a[0] = 2
  t.same(changesOf(values), { set: { cart: ['apple', 'pear'], profile: { tags: { a: [2] } } }, delete: [] })
  cart(values).pop()
  t.same(Object.keys(changesOf(values).set), ['profile'], 'and one that was taken back is none')
})

t.test('a change inside a value that was assigned is seen', async t => {
  const values = open({ cart: [] })
  const mine = ['apple']
  values.set('cart', mine)
  mine.push('pear')
  t.equal(values.get('cart'), mine)
  t.same(changesOf(values).set, { cart: ['apple', 'pear'] })
})

t.test('bytes that were changed in place are seen, in every format that holds bytes', async t => {
  const native = new Values(NATIVE_FORM, new Map<string, StoredValue>([['b', { B: new Uint8Array([1]) }], ['s', { BS: [new Uint8Array([1])] }]]))
  ;(native.get('b') as Uint8Array)[0] = 2
  for (const member of native.get('s') as Set<Uint8Array>) member[0] = 3
  t.strictSame(native.changes().set, new Map<string, StoredValue>([['b', { B: new Uint8Array([2]) }], ['s', { BS: [new Uint8Array([3])] }]]))
  const { preferred } = createFormats({ name: 'raw', encode: value => value as Uint8Array, decode: stored => stored })
  const raw = new Values(formOf(preferred), new Map([['b', { B: new Uint8Array([1]) }]]))
  ;(raw.get('b') as Uint8Array)[0] = 2
  t.strictSame(raw.changes().set, new Map([['b', { B: new Uint8Array([2]) }]]))
})

t.test('an equal value is no change, in whatever order its members stand', async t => {
  const values = open({ a: { x: 1, y: { p: [1, 2], q: null } }, n: 1, text: 'x' })
  values.set('a', { y: { q: null, p: [1, 2] }, x: 1 })
  values.set('n', 1)
  values.set('text', 'x')
  t.strictSame(values.changes(), NOTHING)
  values.set('a', { y: { q: null, p: [2, 1] }, x: 1 })
  t.same(Object.keys(changesOf(values).set), ['a'], 'the order of a list is part of it')
})

t.test('a member that is undefined makes no difference, as it is not stored', async t => {
  const values = open({ a: { x: 1 } })
  values.set('a', { x: 1, y: undefined })
  t.strictSame(values.changes(), NOTHING)
})

t.test('a number that DynamoDB writes in another way, and a set in another order, are no change', async t => {
  const values = new Values(NATIVE_FORM, new Map<string, StoredValue>([['n', { N: '0.00000010' }], ['s', { SS: ['b', 'a'] }], ['m', { M: { y: { N: '2' }, x: { N: '1.0' } } }]]))
  values.set('n', 1e-7)
  values.set('s', new Set(['a', 'b']))
  values.set('m', { x: 1, y: 2 })
  t.strictSame(values.changes(), NOTHING)
})

t.test('null is a value, and another than none', async t => {
  const values = open({ a: null })
  t.equal(values.get('a'), null)
  t.equal(values.has('a'), true)
  t.equal(values.has('b'), false)
  t.equal(values.get('b'), undefined)
})

t.test('a value that the format cannot carry is refused when it is assigned, and changes nothing', async t => {
  const values = open({ a: 1 })
  t.throws(() => values.set('a', new Map()), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
  t.throws(() => values.set('b', () => 1), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
  t.equal(values.get('a'), 1)
  t.equal(values.has('b'), false)
  t.strictSame(values.changes(), NOTHING)
})

t.test('a value that became impossible in place is refused by its key when changes are taken', async t => {
  const values = open({ cart: [] })
  ;(values.get('cart') as unknown[]).push(1n)
  t.throws(() => values.changes(), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE', message: /"cart"/ })
})

t.test('a stored value that cannot be read fails where it is asked for, and not the others', async t => {
  const values = new Values(JSON_FORM, new Map<string, StoredValue>([['bad', { S: '{' }], ['good', { S: '1' }]]))
  t.equal(values.get('good'), 1)
  t.equal(values.has('bad'), true)
  t.throws(() => values.get('bad'), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  values.delete('bad')
  t.same(changesOf(values), { set: {}, delete: ['bad'] })
})

t.test('keys of any name are data', async t => {
  const values = open()
  const names = ['__proto__', 'constructor', 'toString', 'get', 'hasOwnProperty', ' ', 'é', 'a.b']
  for (const name of names) {
    t.equal(values.has(name), false)
    t.equal(values.get(name), undefined)
    values.set(name, { of: name })
  }
  t.same(values.keys(), names)
  for (const name of names) t.same(values.get(name), { of: name })
  t.same([...values.changes().set.keys()], names)
  t.equal(({} as Record<string, unknown>)['of'], undefined)
})

t.test('a key is a text of 1 to 255 bytes, as it is stored', async t => {
  const values = open()
  for (const good of ['k', 'k'.repeat(255), 'é'.repeat(127), `${'_'.repeat(247)}proto__`]) t.doesNotThrow(() => values.set(good, 1))
  for (const bad of ['', 'k'.repeat(256), 'é'.repeat(128), `${'_'.repeat(248)}proto__`, 'a\udc00', 1 as unknown as string, undefined as unknown as string, Symbol('s') as unknown as string]) {
    t.throws(() => values.set(bad, 1), { code: 'FST_DYNAMODB_SESSION_BAD_KEY' })
  }
  t.equal(values.keys().length, 4)
  t.throws(() => values.set('', 1), { message: 'A session key must be a text that is not empty.' })
  t.throws(() => values.set('k'.repeat(256), 1), { message: 'A session key may take 255 bytes, DynamoDB\'s limit for names.' })
  t.throws(() => values.set('\ud800', 1), { message: 'A session key must not hold half a surrogate pair, which no table can store.' })
})

t.test('delete tells whether there was a value, and is written only for what is stored', async t => {
  const values = open({ a: 1 })
  t.equal(values.delete('a'), true)
  t.equal(values.delete('a'), false)
  t.equal(values.delete('b'), false)
  values.set('c', 1)
  t.equal(values.delete('c'), true)
  t.equal(values.has('a'), false)
  t.equal(values.get('a'), undefined)
  t.same(values.keys(), [])
  t.same(changesOf(values), { set: {}, delete: ['a'] })
})

t.test('a value that was deleted and set again is set, or no change where it is equal', async t => {
  const values = open({ a: [1], b: 2 })
  values.delete('a')
  values.set('a', [1])
  t.strictSame(values.changes(), NOTHING)
  values.delete('b')
  values.set('b', 3)
  t.same(changesOf(values), { set: { b: 3 }, delete: [] })
  values.delete('b')
  t.same(changesOf(values), { set: {}, delete: ['b'] })
})

t.test('an object that was read, then deleted, is not written by a change in place', async t => {
  const values = open({ cart: ['apple'] })
  const held = cart(values)
  values.delete('cart')
  held.push('pear')
  t.same(changesOf(values), { set: {}, delete: ['cart'] })
})

t.test('after every key is deleted, new keys are set and the others stay deleted', async t => {
  const values = open({ a: 1, b: 2, c: 3 })
  values.set('d', 4)
  for (const key of values.keys()) values.delete(key)
  t.same(values.keys(), [])
  values.set('b', 2)
  values.set('e', 5)
  t.same(values.keys(), ['b', 'e'])
  t.same(changesOf(values), { set: { e: 5 }, delete: ['a', 'c'] })
})

t.test('keys stand in the order in which they were stored, then set', async t => {
  const values = open({ b: 1, a: 2 })
  values.set('z', 1)
  values.set('c', 1)
  values.set('a', 3)
  t.same(values.keys(), ['b', 'a', 'z', 'c'])
})

t.test('a copy is deep and whole: what is changed in it changes nothing', async t => {
  const values = open({ cart: ['apple'], untouched: { a: [1] }, gone: 1 })
  cart(values).push('pear')
  values.set('new', { b: 2 })
  values.delete('gone')
  const copy = values.copy()
  t.same([...copy], [['cart', ['apple', 'pear']], ['untouched', { a: [1] }], ['new', { b: 2 }]])
  for (const value of copy.values()) (value as Record<string, unknown>)['x'] = 'changed'
  t.same([...values.copy()], [['cart', ['apple', 'pear']], ['untouched', { a: [1] }], ['new', { b: 2 }]])
  t.same(Object.keys(changesOf(values).set), ['cart', 'new'])
})

t.test('a copy shares no bytes either', async t => {
  const values = new Values(NATIVE_FORM, new Map([['b', { B: new Uint8Array([1]) }]]))
  ;(values.copy().get('b') as Uint8Array)[0] = 2
  t.strictSame(values.copy().get('b'), new Uint8Array([1]))
})

t.test('every value has a stored form, and an untouched one is the very one that was stored', async t => {
  const format = createCounting()
  const stored = json({ a: { x: 1 }, b: 2 })
  const values = new Values(formOf(format), stored)
  values.set('b', 3)
  values.set('c', 4)
  format.take()
  const all = values.all()
  t.strictSame(all, new Map([['a', { S: '{"x":1}' }], ['b', { S: '3' }], ['c', { S: '4' }]]))
  t.equal(all.get('a'), stored.get('a'))
  t.notOk(format.encoded.some(value => typeof value === 'object'))
})

t.test('empty objects and arrays are no substance, and anything else is', async t => {
  t.equal(open().hasSubstance(), false)
  const values = open()
  const bare = Object.create(null) as object
  for (const [key, value] of Object.entries({ flash: {}, list: [], bare })) values.set(key, value)
  t.equal(values.hasSubstance(), false)
  for (const value of [0, '', false, null, [[]], { a: {} }]) {
    const holder = open({ empty: {} })
    holder.set('value', value)
    t.equal(holder.hasSubstance(), true, JSON.stringify(value))
  }
  ;(values.get('list') as unknown[]).push('x')
  t.equal(values.hasSubstance(), true, 'filled in place')
  const codec = createFormats({ name: 'dates', encode: String, decode: text => new Date(String(text)) }).preferred
  const dates = new Values(formOf(codec))
  dates.set('when', new Date(0))
  t.equal(dates.hasSubstance(), true, 'an instance of a class, which a codec may carry')
})

t.test('no messages where there are none is no change, and one wherever it says something', async t => {
  const look = (values: Values): string[] => {
    values.set('flash', {}, true)
    return [...values.changes().set.keys()]
  }
  t.same(look(open({ a: 1 })), [])
  t.same(look(open({ flash: { info: ['saved'] } })), ['flash'], 'they were shown')
  t.same(look(open({ flash: {} })), [])
  const beside = open({ a: 1 })
  beside.set('b', 2)
  t.same(look(beside), ['b'], 'nor beside a change')
  t.same([...beside.all().keys()], ['a', 'b', 'flash'], 'a new record takes what there is')
  const other = open()
  other.set('none', {})
  t.same([...other.changes().set.keys()], ['none'], 'under another key it is as good as any value')
  const doubted = open()
  doubted.doubt(['flash'])
  t.same(look(doubted), ['flash'], 'what is stored is not known')
  const unsure = open()
  unsure.unsure('flash')
  t.same(look(unsure), ['flash'])
  const filled = open({ a: 1 })
  look(filled)
  ;(filled.get('flash') as Record<string, unknown>)['info'] = ['saved']
  t.same([...filled.changes().set.keys()], ['flash'], 'filled in place')
  const tried = open({ a: 1 })
  look(tried)
  t.equal(tried.pending('flash'), undefined, 'an update goes by what is stored')
  tried.unsure('flash')
  t.same([...tried.changes().set.keys()], [], 'and where its outcome is not known, nothing is written over it')
  t.same(tried.copy().get('flash'), {}, 'the application sees what it has put there')
})

t.test('after a write there is nothing left to write, and values in hand stay in hand', async t => {
  const values = open({ a: 1, cart: ['apple'], gone: 1 })
  const held = cart(values)
  held.push('pear')
  values.set('b', { c: 1 })
  values.delete('gone')
  values.settle(values.changes(), JSON_FORM)
  t.strictSame(values.changes(), NOTHING)
  t.equal(cart(values), held)
  t.same(values.keys(), ['a', 'cart', 'b'])
  held.push('plum')
  t.same(changesOf(values), { set: { cart: ['apple', 'pear', 'plum'] }, delete: [] }, 'a later change is a change')
})

t.test('what changes while a write is under way is left for the next', async t => {
  const values = open({ a: 1, b: 1, c: 1, cart: ['apple'] })
  values.set('a', 2)
  values.set('b', 2)
  values.set('n', 1)
  values.delete('c')
  cart(values).push('pear')
  const written = values.changes()
  values.set('a', 3)
  values.delete('b')
  values.delete('n')
  values.set('c', 9)
  values.set('fresh', 1)
  cart(values).push('plum')
  values.settle(written, JSON_FORM)
  t.same(changesOf(values), { set: { a: 3, c: 9, fresh: 1, cart: ['apple', 'pear', 'plum'] }, delete: ['b', 'n'] })
  values.settle(values.changes(), JSON_FORM)
  t.strictSame(values.changes(), NOTHING)
  t.same(values.keys(), ['a', 'cart', 'c', 'fresh'])
})

t.test('what was deleted while another write was under way stays deleted', async t => {
  const values = open({ a: 1, b: 1 })
  values.set('b', 2)
  const written = values.changes()
  values.delete('a')
  values.settle(written, JSON_FORM)
  t.same(changesOf(values), { set: {}, delete: ['a'] })
})

t.test('what was deleted in the write, then set and deleted again meanwhile, is gone', async t => {
  const values = open({ a: 1 })
  values.delete('a')
  const written = values.changes()
  values.set('a', 2)
  values.delete('a')
  values.settle(written, JSON_FORM)
  t.same(values.keys(), [])
  t.strictSame(values.changes(), NOTHING)
})

t.test('a value that goes back to what was stored while another is being written is written again', async t => {
  const values = open({ a: 1 })
  values.set('a', 2)
  const written = values.changes()
  values.set('a', 1)
  t.strictSame(values.changes(), NOTHING, 'compared with what is still stored')
  values.settle(written, JSON_FORM)
  t.same(changesOf(values), { set: { a: 1 }, delete: [] })
})

t.test('values that move are all, none, or the named ones that there are, and count as assigned', async t => {
  const values = open({ a: 1, cart: ['apple'], gone: 1 })
  values.set('b', 2)
  values.delete('gone')
  cart(values).push('pear')
  t.same(changesOf(values.moved(JSON_FORM, true)), { set: { a: 1, cart: ['apple', 'pear'], b: 2 }, delete: [] })
  t.same(changesOf(values.moved(JSON_FORM, false)), { set: {}, delete: [] })
  t.same(changesOf(values.moved(JSON_FORM, ['cart', 'gone', 'unknown', '__proto__'])), { set: { cart: ['apple', 'pear'] }, delete: [] })
  t.same(values.keys(), ['a', 'cart', 'b'], 'and stay where they were')
})

t.test('values that move take the format of the new place, or are refused by it', async t => {
  const values = new Values(NATIVE_FORM, new Map<string, StoredValue>([['n', { N: '1' }], ['tags', { SS: ['a'] }]]))
  const moved = values.moved(JSON_FORM, ['n'])
  t.equal(moved.form, JSON_FORM)
  t.strictSame(moved.changes().set, new Map([['n', { S: '1' }]]))
  t.throws(() => values.moved(JSON_FORM, true), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE', message: /"tags".*instance of Set/ })
})

t.test('an object in hand goes on being seen after it moved', async t => {
  const values = open({ cart: ['apple'] })
  const held = cart(values)
  const moved = values.moved(JSON_FORM, true)
  held.push('pear')
  t.same(changesOf(moved).set, { cart: ['apple', 'pear'] })
})

t.test('values too deep to be compared count as changed, and no request fails for it', async t => {
  const nest = (leaf: string): unknown => {
    let value: unknown = leaf
    for (let level = 0; level < 20_000; level++) value = [value]
    return value
  }
  const deep: Format = { name: 'deep', encode: value => ({ S: String(value) }), decode: stored => nest(String(stored.S)) }
  const values = new Values(formOf(deep), new Map([['k', { S: 'a' }]]))
  values.set('k', 'b')
  t.strictSame(values.changes(), { set: new Map([['k', { S: 'b' }]]), delete: [] })
})

t.test('a stored value that cannot be read is replaced by one that is set', async t => {
  const values = new Values(JSON_FORM, new Map([['k', { S: 'not JSON' }]]))
  t.throws(() => values.get('k'), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
  values.set('k', 1)
  t.strictSame(values.changes(), { set: new Map([['k', { S: '1' }]]), delete: [] })
})

t.test('keys of which it is not known whether they are stored are written again, as they are by then', async t => {
  const values = open({ a: 1, cart: ['apple'] })
  values.set('a', 2)
  values.set('new', 1)
  values.doubt(['a', 'new', 'cart'])
  values.set('a', 1)
  values.delete('new')
  values.get('cart')
  t.same(changesOf(values), { set: { a: 1, cart: ['apple'] }, delete: ['new'] })
  t.ok(values.isDoubted('a') && values.moved(JSON_FORM, true).isDoubted('new'))
  values.settle(values.changes(), JSON_FORM)
  t.strictSame(values.changes(), NOTHING)
})

t.test('what is to be written under one key is known without the others', async t => {
  const format = createCounting()
  const values = new Values(formOf(format), json({ read: [1], set: 1, same: 1, deleted: 1, untouched: [1] }))
  values.get('read')
  values.set('set', 2)
  values.set('same', 1)
  values.delete('deleted')
  values.set('new', [])
  t.strictSame(['set', 'deleted', 'new'].map(key => values.pending(key)), [{ encoded: { S: '2' } }, { encoded: undefined }, { encoded: { S: '[]' } }])
  t.strictSame(['read', 'same', 'untouched', 'absent'].map(key => values.pending(key)), [undefined, undefined, undefined, undefined])
  ;(values.get('read') as number[]).push(2)
  t.strictSame(values.pending('read'), { encoded: { S: '[1,2]' } })
  format.take()
  values.pending('set')
  t.same(format.take().encoded, [], 'what cannot change in place was encoded when it was set')
})

t.test('under a key in doubt something is to be written, whatever it is', async t => {
  const values = open({ a: 1 })
  values.doubt(['a', 'absent'])
  t.strictSame([values.pending('a'), values.pending('absent')], [undefined, { encoded: undefined }], 'save where it is stored and was never asked for')
  t.equal(values.get('a'), 1)
  t.strictSame(values.pending('a'), { encoded: { S: '1' } })
})

t.test('a copy of one value is its own', async t => {
  const values = open({ cart: ['apple'], other: [1] })
  const copy = values.copyOf('cart') as string[]
  copy.push('pear')
  t.same(cart(values), ['apple'])
  const mine = ['plum']
  values.set('cart', mine)
  t.strictSame(values.copyOf('cart'), ['plum'])
  t.not(values.copyOf('cart'), mine)
  values.delete('cart')
  t.equal(values.copyOf('cart'), undefined)
  t.equal(values.copyOf('absent'), undefined)
})

t.test('what an update has written takes the place of what there was, and goes on being seen', async t => {
  for (const data of [{ cart: ['apple'] }, {}]) {
    const values = open(data)
    const before = values.get('cart') as string[] | undefined
    const written = ['pear']
    values.hold('cart', written, values.mark('cart'))
    values.settle({ set: json({ cart: written }), delete: [] }, JSON_FORM)
    t.equal(values.get('cart'), written)
    t.strictSame(values.changes(), NOTHING)
    before?.push('lost')
    t.strictSame(values.changes(), NOTHING, 'what was in hand before is the session\'s no more')
    written.push('plum')
    t.same(changesOf(values).set, { cart: ['pear', 'plum'] })
  }
})

t.test('an update that deleted a key leaves none', async t => {
  const values = open({ cart: ['apple'] })
  values.get('cart')
  values.hold('cart', undefined, values.mark('cart'))
  values.settle({ set: new Map(), delete: ['cart'] }, JSON_FORM)
  t.same([values.has('cart'), values.keys()], [false, []])
  t.strictSame(values.changes(), NOTHING)
})

t.test('what the application has assigned or deleted since the mark stands', async t => {
  for (const [act, after] of [
    [(values: Values) => { values.set('a', 7) }, 7],
    [(values: Values) => { values.set('a', 1) }, 1],
    [(values: Values) => { values.delete('a') }, undefined]
  ] as const) {
    const values = open({ a: 1 })
    const mark = values.mark('a')
    act(values)
    values.hold('a', 2, mark)
    t.equal(values.get('a'), after)
  }
  const values = open({ a: 1 })
  values.delete('a')
  const mark = values.mark('a')
  values.set('a', 1)
  values.delete('a')
  values.hold('a', 2, mark)
  t.equal(values.get('a'), 2, 'where it is as it was, the update is the later one')
})

t.test('two encoded forms are the same where they stand for the same value, or both for none', async t => {
  t.equal(isSameEncoded(JSON_FORM, undefined, undefined), true)
  t.equal(isSameEncoded(JSON_FORM, { S: '1' }, undefined), false)
  t.equal(isSameEncoded(JSON_FORM, undefined, { S: 'null' }), false)
  t.equal(isSameEncoded(JSON_FORM, { S: '{"a":1,"b":2}' }, { S: '{"b":2,"a":1}' }), true)
  t.equal(isSameEncoded(JSON_FORM, { S: '[1,2]' }, { S: '[2,1]' }), false)
  t.equal(isSameEncoded(JSON_FORM, { S: 'not JSON' }, { S: 'not JSON' }), true, 'the same text needs no reading')
  t.equal(isSameEncoded(JSON_FORM, { S: 'not JSON' }, { S: '1' }), false)
  t.equal(isSameEncoded(NATIVE_FORM, { N: '1.0' }, { N: '1' }), true)
  t.equal(isSameEncoded(NATIVE_FORM, { SS: ['a', 'b'] }, { SS: ['b', 'a'] }), true)
  t.equal(isSameEncoded(NATIVE_FORM, { B: new Uint8Array([1]) }, { B: new Uint8Array([2]) }), false)
})

/** A form that seals for some record, and counts what it opens. */
function createSealing (key = 'a record') {
  const sealer = new Sealer([new Uint8Array(32).fill(1)], '')
  const envelope = createEnvelope({ sealer, compress: false, acceptPlainUntil: 0, now: Date.now })
  const opened: string[] = []
  const form = new Form(jsonFormat, {
    wrap: envelope.wrap,
    unwrap: (stored, place) => {
      opened.push(place.name)
      return envelope.unwrap(stored, place)
    }
  }, key)
  return { form, opened }
}

t.test('what is stored sealed is opened when it is first asked for, once, and encoded when it is compared', async t => {
  const { form, opened } = createSealing()
  const values = new Values(form, form.wrapAll(json({ cart: ['apple'], text: 'x', untouched: [1] })))
  t.strictSame([values.keys(), values.has('cart'), values.changes()], [['cart', 'text', 'untouched'], true, NOTHING])
  t.same(opened, [])
  t.strictSame([cart(values), values.get('text')], [['apple'], 'x'])
  values.set('text', 'x')
  values.set('cart', ['apple'])
  t.strictSame(values.changes(), NOTHING)
  t.same(opened, ['cart', 'text'])
  cart(values).push('pear')
  t.strictSame(values.changes(), { set: json({ cart: ['apple', 'pear'] }), delete: [] }, 'not sealed yet')
  t.strictSame(values.all(), json({ cart: ['apple', 'pear'], text: 'x', untouched: [1] }))
  t.strictSame([...values.copy()], [['cart', ['apple', 'pear']], ['text', 'x'], ['untouched', [1]]])
  t.same(opened, ['cart', 'text', 'untouched'])
})

t.test('a value that was deleted is not opened', async t => {
  const { form, opened } = createSealing()
  const values = new Values(form, form.wrapAll(json({ a: 1 })))
  values.delete('a')
  t.strictSame([values.get('a'), values.changes(), opened], [undefined, { set: new Map(), delete: ['a'] }, []])
})

t.test('after a write it is the sealed form that is stored, under the form of the record it went to', async t => {
  const unstored = createSealing('')
  const record = createSealing('the new record')
  const values = new Values(unstored.form)
  values.set('cart', ['apple'])
  values.set('gone', 1)
  values.delete('gone')
  const { set } = values.changes()
  values.settle({ set: record.form.wrapAll(set), delete: [] }, record.form)
  t.equal(values.form, record.form)
  t.strictSame(values.changes(), NOTHING)
  t.same([unstored.opened, record.opened], [[], ['cart']])
})

t.test('a value that does not open fails where it is asked for, and is replaced by what is set', async t => {
  const { form } = createSealing()
  const stored = form.wrapAll(json({ good: 1, bad: 2 }))
  stored.set('bad', { ...stored.get('good') } as StoredValue)
  const unreadable = { code: 'FST_DYNAMODB_SESSION_UNREADABLE' }
  const values = new Values(form, stored)
  t.equal(values.get('good'), 1)
  for (const act of [() => values.get('bad'), () => values.all(), () => values.copy(), () => values.copyOf('bad'), () => values.moved(form, true)]) t.throws(act, unreadable)
  t.strictSame(values.changes(), NOTHING)
  t.same(values.moved(form, ['good']).keys(), ['good'])
  values.set('bad', 2)
  t.strictSame(values.changes(), { set: json({ bad: 2 }), delete: [] })
  t.strictSame(values.all(), json({ good: 1, bad: 2 }))
})

t.test('under a key whose update has an unknown outcome, what is assigned or deleted from then on is written, whatever it is', async t => {
  for (const data of [{ a: 1 }, {}]) {
    for (const [act, changes] of [
      [() => {}, { set: {}, delete: [] }],
      [(values: Values) => { values.get('a') }, { set: {}, delete: [] }],
      [(values: Values) => { values.set('a', 1) }, { set: { a: 1 }, delete: [] }],
      [(values: Values) => { values.delete('a') }, { set: {}, delete: ['a'] }]
    ] as const) {
      const values = open(data)
      values.unsure('a')
      act(values)
      t.same(changesOf(values), changes)
      values.settle(values.changes(), JSON_FORM)
      t.strictSame(values.changes(), NOTHING, 'once')
    }
  }
})

t.test('what is stored as it was assigned before such an update is not written by itself, and what is not, is', async t => {
  const values = open({ a: 1, cart: ['apple'] })
  values.set('a', 1)
  values.get('cart')
  values.unsure('a')
  values.unsure('cart')
  t.strictSame(values.changes(), NOTHING)
  t.equal(values.get('a'), 1)
  values.set('a', 2)
  values.unsure('a')
  t.same(changesOf(values).set, { a: 2 })
})

t.test('after a write of such a key, the same value again is no change', async t => {
  const values = open({ a: 1 })
  values.unsure('a')
  values.settle({ set: json({ a: 2 }), delete: [] }, JSON_FORM)
  values.set('a', 2)
  t.strictSame(values.changes(), NOTHING)
})
