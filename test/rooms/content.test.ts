import t from 'tap'
import { createFormats } from '../../lib/codec.js'
import { createEnvelope } from '../../lib/envelope.js'
import { NEVER } from '../../lib/expiry.js'
import { Form } from '../../lib/form.js'
import { cookieIn, hasEnded, timeoutsBy, toSession, valuesIn } from '../../store/content.js'

const envelope = createEnvelope({ sealer: undefined, compress: false, acceptPlainUntil: -Infinity, now: Date.now })
const formOf = (format: 'json' | 'native'): Form => Form.unstored({ formats: createFormats(format), envelope })
const json = formOf('json')

t.test('data is copied by JSON, as hosts compare it: dates become texts, and what JSON leaves out is not there', async t => {
  class Money { toJSON (): string { return '3 EUR' } }
  const session = { cookie: {}, at: new Date(0), price: new Money(), none: null, gone: undefined, act: () => {}, list: [1, undefined], wrong: Number.NaN }
  t.strictSame([...valuesIn(session, json)], [['at', '1970-01-01T00:00:00.000Z'], ['price', '3 EUR'], ['none', null], ['list', [1, null]], ['wrong', null]])
})

t.test('it is a copy: what the host changes afterwards it has not handed in', async t => {
  for (const form of [json, formOf('native')]) {
    const session = { cart: ['apple'] }
    const values = valuesIn(session, form)
    session.cart.push('pear')
    t.same(values.get('cart'), ['apple'])
  }
})

t.test('in other formats, what they carry survives, and what they do not carry is named', async t => {
  const form = formOf('native')
  t.strictSame(valuesIn({ tags: new Set(['a']), gone: undefined }, form), new Map([['tags', new Set(['a'])]]))
  t.throws(() => valuesIn({ at: new Date(0) }, form), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE', message: /"at"/ })
})

t.test('what JSON cannot carry is named, without the value', async t => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  for (const value of [cycle, 10n]) {
    t.throws(() => valuesIn({ thing: value }, json), { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE', message: /"thing"/, cause: Error })
  }
})

t.test('a name by which a host would change what a session is comes neither in nor out', async t => {
  const session = JSON.parse('{"__proto__": {"isAdmin": true}, "a": 1}') as object
  t.same([...valuesIn(session, json).keys()], ['a'])
  const given = toSession([['__proto__', { isAdmin: true }], ['a', 1]], 0)
  t.same([Object.keys(given).sort(), Object.getPrototypeOf(given)], [['a', 'cookie'], Object.prototype])
})

t.test('of a cookie its attributes and its age are kept, whole seconds, since hosts lose a millisecond now and then', async t => {
  const cookie = { originalMaxAge: 3_599_999, expires: new Date(), path: '/', domain: null, secure: false, sameSite: 'lax', priority: undefined, encode () {} }
  t.strictSame(cookieIn({ cookie }), { path: '/', secure: false, sameSite: 'lax', originalMaxAge: 3_600_000 })
  t.strictSame(cookieIn({ cookie: { toJSON: () => cookie } }), cookieIn({ cookie }), 'whatever a host keeps it in')
  t.strictSame(cookieIn({ cookie: { maxAge: 3_600_000 } }), { originalMaxAge: 3_600_000 })
  t.strictSame([cookieIn({}), cookieIn({ cookie: null }), cookieIn({ cookie: 'x' })], [{}, {}, {}])
})

t.test('an age that is no number is none, a short one is a second, and one without end is the longest', async t => {
  const ageOf = (originalMaxAge: unknown): unknown => cookieIn({ cookie: { originalMaxAge, expires: null } }).originalMaxAge
  t.strictSame([null, undefined, Number.NaN, Infinity, false, '60000'].map(ageOf), Array(6).fill(undefined))
  t.strictSame([1, 499, 1499, 1500, 1e20, 0, -5].map(ageOf), [1000, 1000, 1000, 2000, NEVER * 1000, 0, 0])
})

t.test('an end without an age does not move', async t => {
  const end = new Date(1_800_000_000_500)
  t.strictSame(cookieIn({ cookie: { originalMaxAge: null, expires: end } }), { expires: end.toISOString() })
  t.strictSame(cookieIn({ cookie: { expires: end.toISOString() } }), { expires: end.toISOString() })
  for (const expires of [null, false, new Date(Number.NaN), 'soon']) t.strictSame(cookieIn({ cookie: { expires } }), {})
})

t.test('a cookie has ended with an age of none, or at its end', async t => {
  t.same([{ originalMaxAge: 0 }, { originalMaxAge: 1000 }, {}].map(cookie => hasEnded(cookie, 5)), [true, false, false])
  const expires = new Date(5000).toISOString()
  t.same([4.999, 5, 6].map(now => hasEnded({ expires }, now)), [false, true, true])
})

t.test('an age is the idle time; the absolute one holds beside it where the application gave it', async t => {
  const cookie = { originalMaxAge: 60_000 }
  t.same(timeoutsBy(cookie, 100, undefined), { idleTimeout: 60, absoluteTimeout: false })
  for (const given of [600, false] as const) t.same(timeoutsBy(cookie, 100, given), { idleTimeout: 60, absoluteTimeout: undefined })
  t.same(timeoutsBy({}, 100, undefined), { idleTimeout: undefined, absoluteTimeout: undefined })
})

t.test('an end is an absolute time, unless that which the application gave is shorter', async t => {
  const cookie = { expires: new Date(160_900).toISOString() }
  t.same(timeoutsBy(cookie, 100, undefined), { idleTimeout: false, absoluteTimeout: 60 })
  t.same(timeoutsBy(cookie, 100, false), { idleTimeout: false, absoluteTimeout: 60 })
  t.same(timeoutsBy(cookie, 100, 30), { idleTimeout: false, absoluteTimeout: 30 })
  t.same(timeoutsBy(cookie, 500, undefined), { idleTimeout: false, absoluteTimeout: 1 }, 'at least a second, which every timeout is')
})

t.test('a host gets the end of the record with an age, the end that does not move without, and none else', async t => {
  const cookieOf = (cookie: unknown) => toSession([['cookie', cookie]], 1000).cookie
  t.strictSame(cookieOf({ originalMaxAge: 60_000, path: '/x', strange: 1 }), { path: '/x', originalMaxAge: 60_000, expires: new Date(1_000_000) })
  t.strictSame(cookieOf({ expires: '1970-01-01T01:00:00.000Z' }), { originalMaxAge: null, expires: new Date(3_600_000) })
  for (const cookie of [{}, null, 'x', { expires: 'soon' }]) t.strictSame(cookieOf(cookie), { originalMaxAge: null, expires: null })
  t.strictSame(toSession([], 0), { cookie: { originalMaxAge: null, expires: null } })
})
