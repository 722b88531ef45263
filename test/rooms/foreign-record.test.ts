import t from 'tap'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { canBeKey, foreignRecordIn, isForeignRecord, unlessNotImportable } from '../../lib/foreign-record.js'

/** Two in the morning of the second of January 2026, and what the two stores write then for an hour. */
const NOW = 1_767_323_045
const COOKIE = '{"originalMaxAge":3600000,"expires":"2026-01-02T04:04:05.678Z","httpOnly":true,"path":"/"}'

const text = (expires: AttributeValue | undefined, sess = `{"cookie":${COOKIE},"user":"ann","n":1}`) => ({
  id: { S: 'sess:x' }, type: { S: 'connect-session' }, sess: { S: sess }, ...expires !== undefined && { expires }
})
const map = (expires: AttributeValue | undefined, members: Record<string, AttributeValue> = {}) => ({
  id: { S: 'session#x' },
  sess: { M: { cookie: { M: { originalMaxAge: { N: '3600000' }, expires: { S: '2026-01-02T04:04:05.678Z' }, httpOnly: { BOOL: true }, path: { S: '/' } } }, ...members } },
  ...expires !== undefined && { expires }
})

/** What is read, with its members as an object. */
function read (item: Record<string, AttributeValue>, now = NOW): { readonly data: Record<string, unknown>, readonly expiresAt: number | undefined } | undefined {
  const record = foreignRecordIn(item, now)
  return record && { data: Object.fromEntries(record.members), expiresAt: record.expiresAt }
}

const endsOf = (items: ReadonlyArray<Record<string, AttributeValue>>): unknown[] => items.map(item => read(item)?.expiresAt)

t.test('a session of connect-dynamodb is read', async t => {
  t.strictSame(read(text({ N: '1767326645' })), {
    data: { cookie: JSON.parse(COOKIE) as object, user: 'ann', n: 1 }, expiresAt: 1_767_326_645
  })
})

t.test('a session of dynamodb-session-store is read, without its note of the last renewal', async t => {
  const members = {
    user: { S: 'ann' },
    f: { N: '1.5' },
    ok: { BOOL: true },
    none: { NULL: true },
    list: { L: [{ N: '1' }, { S: 'a' }] },
    lastModified: { S: '2026-01-02T03:04:05.678Z' }
  }
  const session = read(map({ N: '1767326645' }, members))
  t.strictSame(session?.data, { cookie: JSON.parse(COOKIE) as object, user: 'ann', f: 1.5, ok: true, none: null, list: [1, 'a'] })
  t.strictSame(read(map(undefined, { lastModified: { N: '7' } }))?.data['lastModified'], 7, 'an application\'s own member of that name stays')
})

t.test('ends of every age of connect-dynamodb are understood: milliseconds, text, fractions', async t => {
  t.same(endsOf([text({ N: '1767326645678' }), text({ S: '1767326645678' }), text({ N: '1767326645' }), text({ N: '1767326645.123' })]),
    [1_767_326_645.678, 1_767_326_645.678, 1_767_326_645, 1_767_326_645.123])
})

t.test('an end that version 3.0.2 put too late is put right, and one that is only long is left', async t => {
  t.same(endsOf([text({ N: '1770923045' })]), [1_767_326_645])
  t.equal(read(text({ N: '1770923045' }), NOW + 3600), undefined, 'it has expired an hour later')
  t.same(endsOf([text({ N: '1767409445' }, '{"cookie":{"originalMaxAge":null},"user":"ann"}'), text({ N: '1767409445' }, '{"user":"ann"}')]),
    [1_767_409_445, 1_767_409_445])
  t.same(endsOf([map({ N: '1770923045' })]), [1_770_923_045], 'the other store never did that')
})

t.test('without an end it has none, and zero is none for dynamodb-session-store', async t => {
  for (const item of [text(undefined), map(undefined), text({ S: 'soon' }), map({ N: '0' })]) {
    const session = read(item)
    t.ok(session)
    t.equal(session?.expiresAt, undefined)
  }
})

t.test('what has expired, a ghost, and what cannot be read is no session', async t => {
  const dead = [text({ N: String(NOW) }), text({ N: String(NOW - 1) }), map({ N: String(NOW) }), text({ N: '0' })]
  const ghosts = [{ id: { S: 'sess:x' }, expires: { N: '1767326645' } }, { id: { S: 'x' }, sess: { N: '1' } }]
  const broken = ['', '{', 'null', '[]', '1', '"text"'].map(sess => text(undefined, sess))
  for (const item of [...dead, ...ghosts, ...broken]) t.equal(read(item), undefined)
  t.same([text(undefined), map(undefined), dead[0] ?? {}, ...ghosts].map(isForeignRecord), [true, true, true, false, false])
})

t.test('a number beyond what JavaScript counts exactly is not rounded in silence', async t => {
  t.equal(read(map(undefined, { big: { N: '9007199254740993' } }))?.data['big'], 9_007_199_254_740_993n)
})

t.test('a number that JavaScript has not is refused by name in a living session, and not looked at in a dead one', async t => {
  const odd = { x: { N: '1.5E+20' } }
  t.throws(() => read(map({ N: '1767326645' }, odd)), { code: 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE', message: 'a number that JavaScript has not' })
  t.equal(read(map({ N: String(NOW) }, odd)), undefined)
})

t.test('no member is named __proto__, on any level', async t => {
  const nested = Object.defineProperty({ a: { N: '1' } }, '__proto__', { value: { S: 'evil' }, enumerable: true }) as unknown as Record<string, AttributeValue>
  for (const item of [text(undefined, '{"__proto__":{"admin":true},"user":{"__proto__":{"admin":true},"a":1}}'), map(undefined, { user: { M: nested } })]) {
    const { data } = read(item) ?? {}
    t.notOk(Object.keys(data ?? {}).includes('__proto__'))
    t.same(Object.getOwnPropertyNames(data?.['user']), ['a'])
  }
})

t.test('an age of less than nothing, or one under the name of other hosts, mends no end to a later one', async t => {
  const late = { N: '1770923045' }
  t.same(endsOf([text(late, '{"cookie":{"maxAge":3600000}}')]), [1_767_326_645])
  t.ok(Number(endsOf([text({ N: String(NOW + 100) }, '{"cookie":{"originalMaxAge":-5000}}')])[0] ?? 0) <= NOW + 100)
  t.same(endsOf([text(late, '{"cookie":{"originalMaxAge":1e400}}')]), [1_770_923_045], 'an endless age mends nothing')
  t.same([null, '7', {}, { originalMaxAge: 'x' }, { originalMaxAge: 1 }].map(cookie => foreignRecordIn(text(undefined, JSON.stringify({ cookie })), NOW)?.maxAge),
    [undefined, undefined, undefined, undefined, 1])
})

t.test('a key has 2048 bytes at most', async t => {
  t.same(['x'.repeat(2048), 'x'.repeat(2049), 'ä'.repeat(1025)].map(canBeKey), [true, false, false])
})

t.test('a refusal keeps its reason and its cause', async t => {
  const cause = new TypeError('The value of session key "a" cannot be stored.')
  t.throws(() => unlessNotImportable(() => { throw cause }), { code: 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE', message: 'cannot be moved: the value of session key "a" cannot be stored. Its', cause })
  t.equal(unlessNotImportable(() => 7), 7)
})
