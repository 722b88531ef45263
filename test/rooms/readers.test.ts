import t from 'tap'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { connectDynamodb, dynamodbSessionStore, dynamodbSessionWeb, pyramidSession } from '../../import/index.js'
import { fromPythonJson } from '../../import/payload.js'
import { digestOf, isSignedByItsdangerous, unsignCookie } from '../../import/signatures.js'

/** The vectors, most of them measured on the other systems' own code, at 2026-01-02T03:04:05.678Z. */
const NOW = 1767323045.678
const SID = 'WaHnSSou4d5Rq0k11vFGafe4sjMrkwiV'
const LONG = 'WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc'
const CAT = 'keyboard cat'
const SIGNED = `${SID}.IZyGCynKha6LH7IXv2XaXwkSWC1gWwNsZSSFjD0nhUc`

type Item = Record<string, AttributeValue>

const con = connectDynamodb({ secret: CAT })
const pwr = dynamodbSessionStore({ secret: CAT })
const pyr = pyramidSession({ table: 'pyramid' })
const web = dynamodbSessionWeb()

const expressCookie = (maxAge: number | null, expires: string | null): string =>
  `{"originalMaxAge":${maxAge},"expires":${expires === null ? null : `"${expires}"`},"httpOnly":true,"path":"/"}`
const textOf = (maxAge: number | null, members: string): AttributeValue => ({ S: `{"cookie":${expressCookie(maxAge, null)},${members}}` })

/** What is read, with its data as an object. */
function readBy (reader: typeof con, item: Item, now = NOW): Record<string, unknown> | null {
  const session = reader.read(item, now)
  return session === null ? null : { ...session, data: Object.fromEntries(session.data) }
}

t.test('a cookie of express-session is good under any of its secrets, and no other is', async t => {
  const signed = `${SID}./aVXwfhxiwgeEHg7zWlUyMprfX+2RS8CIdfIjiFu3pk`
  t.equal(unsignCookie(SIGNED, [CAT]), SID)
  t.equal(unsignCookie(signed, ['new secret']), SID)
  t.equal(unsignCookie(SIGNED, ['new secret', CAT]), SID, 'an older secret counts')
  t.equal(unsignCookie(SIGNED, ['new secret']), undefined)
  t.equal(unsignCookie(SIGNED.slice(0, -1) + 'd', [CAT]), undefined, 'another text of the same signature')
  for (const bad of [`${SID}.`, SID, '', '.', SIGNED.slice(SID.length)]) t.equal(unsignCookie(bad, [CAT]), undefined)
  t.equal(con.idOf(`s:${SIGNED}`), SID)
  t.equal(con.idOf(SIGNED), SID, 'as @fastify/session writes it')
  t.equal(con.idOf(`s:${SID}`), undefined)
  t.equal(con.idOf(`j:${SIGNED}`), undefined)
})

t.test('an id that no table could have as a key is not looked for', async t => {
  const { Signer } = await import('@fastify/cookie')
  const sign = (id: string): string => `s:${new Signer(CAT).sign(id)}`
  t.equal(con.idOf(sign('x'.repeat(2043))), 'x'.repeat(2043))
  t.equal(con.idOf(sign('x'.repeat(2044))), undefined)
  t.equal(con.idOf(sign('')), undefined, 'nor is an empty one')
  t.equal(con.idOf(sign('a.b.c')), 'a.b.c', 'dots may stand in an id')
})

t.test('an id signed by itsdangerous is good under any of the keys, and no other is', async t => {
  const V1 = `${LONG}.Brxxp6JK2kWlAJSdnfQYVa2sigo`
  const V2 = `${LONG}.YhF34i9Z7ilM06MlWzNTVZCq0Uk`
  const V3 = `${LONG}.4gxNo35E5oT8KF1Vgre8INmzE-Y`
  t.ok(isSignedByItsdangerous(V1, ['foo']))
  t.ok(isSignedByItsdangerous(V2, ['old', 'new']))
  t.ok(isSignedByItsdangerous(V3, ['old', 'new']))
  t.notOk(isSignedByItsdangerous(V3, ['new']))
  t.notOk(isSignedByItsdangerous(V1, ['old', 'new']))
  t.ok(isSignedByItsdangerous('my string.wh6tMHxLgJqB6oY1uT73iMlyrOA', ['secret-key']))
  t.notOk(isSignedByItsdangerous('my string.wh6tMHxLgJqB6oY1uT73iMlyrOA', ['foo']))
  // The key is the whole text, so another text of the same signature finds nothing there. Here it is not even looked for.
  for (const last of 'pqsn') t.notOk(isSignedByItsdangerous(V1.slice(0, -1) + last, ['foo']), last)
  for (const bad of [LONG, '.Brxxp6JK2kWlAJSdnfQYVa2sigo', '']) t.notOk(isSignedByItsdangerous(bad, ['foo']))

  const signed = dynamodbSessionWeb({ secret: ['old', 'new'] })
  t.equal(signed.idOf(V2), V2, 'the id is the whole text')
  t.equal(signed.idOf(V3), V3)
  t.equal(signed.idOf(V1), undefined)
  t.equal(signed.idOf(LONG), undefined, 'an unsigned id where ids are signed')
  t.equal(web.idOf(LONG), LONG)
  t.equal(web.idOf(V1), undefined, 'a signed id where ids are not: nobody would check it')
  for (const bad of ['', LONG.slice(1), `${LONG}x`, `${LONG.slice(1)}=`, `${LONG}\n`]) t.equal(web.idOf(bad), undefined)
  t.equal(dynamodbSessionWeb({ idBytes: 16 }).idOf(LONG.slice(0, 22)), LONG.slice(0, 22))
})

t.test('a cookie of Pyramid leads to the hash of its id, whatever its version says', async t => {
  t.equal(Buffer.from(digestOf(LONG)).toString('hex'), '260023f87f547b58874625df646528fbfccfd652b6e9c491b28ce6a54873e9b3')
  t.same(pyr.keyOf(LONG), { sid: { B: Buffer.from('JgAj+H9Ue1iHRiXfZGUo+/zP1lK26cSRsozmpUhz6bM=', 'base64') } })
  t.same(pyr.keyOf('a'), { sid: { B: Buffer.from('ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=', 'base64') } })
  for (const token of ['a/1', 'a/1/extra', 'a/999999', 'a/xyz', 'a/', 'a/1e3', 'a/Infinity']) t.equal(pyr.idOf(token), 'a', token)
  t.equal(pyr.idOf(`${LONG}/1`), LONG)
  for (const bad of ['', 'abc', '/1', 'ä/1', `${'a'.repeat(129)}/1`]) t.equal(pyr.idOf(bad), undefined, bad)
})

t.test('records of connect-dynamodb are read as each of its eras wrote them', async t => {
  const full = {
    id: { S: `sess:${SID}` },
    expires: { N: '1767326645' },
    type: { S: 'connect-session' },
    sess: { S: `{"cookie":${expressCookie(3_600_000, '2026-01-02T04:04:05.678Z')},"user":"ann","n":1,"at":"1970-01-01T00:00:00.000Z"}` }
  }
  const hour = { data: { user: 'ann' }, expiresAt: 1767326645, idleTimeout: 3600, cookieMaxAge: 3600 }
  t.same(con.keyOf(SID), { id: full.id })
  t.same(readBy(con, full), { ...hour, data: { user: 'ann', n: 1, at: '1970-01-01T00:00:00.000Z' } })
  const ends = [
    ['1767326645678', 'from 0.0 to 1.0.11, in milliseconds', 1767326645.678],
    ['1767326645', 'from 1.0.12 to 3.0.1', 1767326645],
    ['1770923045', 'of 3.0.2, which took milliseconds for seconds', 1767326645],
    ['1767326645.123', 'from 3.0.3, with a fraction', 1767326645.123]
  ] as const
  for (const [N, era, expiresAt] of ends) t.same(readBy(con, { expires: { N }, sess: textOf(3_600_000, '"user":"ann"') }), { ...hour, expiresAt }, era)
  t.same(readBy(con, { expires: { S: '1767326645678' }, sess: textOf(3_600_000, '"user":"ann"') }), { ...hour, expiresAt: 1767326645.678 }, 'of 0.1, as text')
  t.same(readBy(con, { expires: { N: '1767326645.123' }, sess: textOf(3_600_123, '"user":"ann"') }),
    { data: { user: 'ann' }, expiresAt: 1767326645.123, idleTimeout: 3600.123, cookieMaxAge: 3600.123 }, 'V2')
  const day = { data: { user: 'ann' }, expiresAt: 1767409445, idleTimeout: 86_400, cookieMaxAge: undefined }
  t.same(readBy(con, { expires: { N: '1767409445' }, sess: textOf(null, '"user":"ann"') }), day, 'V3')
  t.same(readBy(con, { expires: { N: String(1767323045678 + 86_400) }, sess: textOf(null, '"user":"ann"') }),
    { ...day, expiresAt: 1767323132.078 }, 'without a maximal age up to 0.1.2: 86.4 seconds')
  t.same(readBy(con, { expires: { N: '1767326645' }, sess: textOf(3_600_000, '"userId":"u1","age":42'), userId: { S: 'u1' }, age: { N: '42' } }),
    { ...hour, data: { userId: 'u1', age: 42 } }, 'V4, with special keys')
  t.same(readBy(con, { id: { S: '123' }, sess: textOf(null, '"name":"paul"'), expires: { N: '1621968000' } }, 1621967000),
    { ...day, data: { name: 'paul' }, expiresAt: 1621968000 }, 'V6')
})

t.test('records of dynamodb-session-store are read, and those of connect-dynamodb in its table', async t => {
  const V1 = {
    id: { S: `session#${SID}` },
    expires: { N: '1767326645' },
    sess: {
      M: {
        cookie: { M: { originalMaxAge: { N: '3600000' }, expires: { S: '2026-01-02T04:04:05.678Z' }, httpOnly: { BOOL: true }, path: { S: '/' } } },
        user: { S: 'ann' },
        n: { N: '1' },
        f: { N: '1.5' },
        ok: { BOOL: true },
        none: { NULL: true },
        list: { L: [{ N: '1' }, { S: 'a' }] },
        at: { S: '1970-01-01T00:00:00.000Z' },
        lastModified: { S: '2026-01-02T03:04:05.678Z' }
      }
    }
  } as const
  t.same(pwr.keyOf(SID), { id: V1.id })
  t.same(readBy(pwr, V1 as unknown as Item), {
    data: { user: 'ann', n: 1, f: 1.5, ok: true, none: null, list: [1, 'a'], at: '1970-01-01T00:00:00.000Z' },
    expiresAt: 1767326645,
    idleTimeout: 3600,
    cookieMaxAge: 3600
  })
  const cookie = { M: { originalMaxAge: { NULL: true }, expires: { NULL: true }, httpOnly: { BOOL: true }, path: { S: '/' } } } as AttributeValue
  const sess = { M: { cookie, user: { S: 'ann' }, lastModified: { S: '2026-01-02T03:04:05.678Z' } } }
  const day = { data: { user: 'ann' }, expiresAt: 1767409445, idleTimeout: 86_400, cookieMaxAge: undefined }
  t.same(readBy(pwr, { expires: { N: '1767409445' }, sess }), day, 'V2')
  t.same(readBy(pwr, { sess }), { ...day, expiresAt: NOW + 86_400 }, 'without an end it gets one')
  t.same(readBy(pwr, { expires: { N: '0' }, sess }), { ...day, expiresAt: NOW + 86_400 }, 'and so with zero, which is none there')
  t.same(readBy(pwr, { expires: { N: '1621968000' }, sess: { M: { cookie, name: { S: 'paul' } } } }, 1621967000),
    { ...day, data: { name: 'paul' }, expiresAt: 1621968000 }, 'V4')
  t.same(readBy(pwr, { expires: { N: '1767326645' }, sess: { M: { cookie, lastModified: { N: '7' } } } })?.['data'], { lastModified: 7 }, 'what only has the name is the application\'s')
  t.same(readBy(pwr, { expires: { N: '1767326645' }, sess: { S: '{"user":"test","cookie":{"maxAge":3600000}}' } }),
    { data: { user: 'test' }, expiresAt: 1767326645, idleTimeout: 3600, cookieMaxAge: 3600 }, 'V6')
  t.same(dynamodbSessionStore({ secret: CAT, prefix: 'sess:', hashKey: 'sid' }).keyOf('124'), { sid: { S: 'sess:124' } })
})

t.test('odd cookies of express-session are given a life within bounds', async t => {
  const life = (maxAge: string, expires?: string) => {
    const { idleTimeout, expiresAt, cookieMaxAge } = readBy(con, { ...expires !== undefined && { expires: { N: expires } }, sess: { S: `{"cookie":${maxAge},"a":1}` } }) ?? {}
    return [idleTimeout, expiresAt, cookieMaxAge]
  }
  t.same(life('{"originalMaxAge":1}'), [1, NOW + 1, 1], 'at least a second')
  t.same(life('{"originalMaxAge":1e300}'), [253_402_300_799, NOW + 253_402_300_799, 34_560_000], 'and what browsers and tables have')
  for (const none of ['null', '7', '{"originalMaxAge":"x"}', '{}']) t.same(life(none), [86_400, NOW + 86_400, undefined], none)
  const late = { expires: { N: '1767400000' }, sess: { M: { cookie: { M: { originalMaxAge: { N: '3600000' } } } } } }
  t.equal(readBy(pwr, late)?.['expiresAt'], NOW + 3600, 'no end is later than the idle time from now')
})

t.test('records of Pyramid are read with what it keeps beside the data', async t => {
  const item = {
    sid: { B: Buffer.from('JgAj+H9Ue1iHRiXfZGUo+/zP1lK26cSRsozmpUhz6bM=', 'base64') },
    dat: { S: '{"user": "zo\\u00eb", "n": 1, "list": [1, "a"], "_f_": ["hi"], "_f_err": ["no"]}' },
    ver: { N: '1' },
    iss: { N: '1767323045' },
    exp: { N: '1767324245' }
  }
  t.same(readBy(pyr, item), { data: { user: 'zoë', n: 1, list: [1, 'a'], _f_: ['hi'], _f_err: ['no'] }, expiresAt: 1767324245, idleTimeout: 1200 })
  t.same(readBy(pyr, { ...item, dat: { S: '{"a": "b"}' }, ver: { N: '2' } })?.['data'], { a: 'b' }, 'V5')
  t.equal(readBy(pyr, { ...item, exp: { N: '1767323045' } }), null, 'expired')
  t.equal(readBy(pyr, { ...item, iss: { N: '1767324245' } }), null, 'an idle timeout of nothing')
  for (const missing of ['dat', 'ver', 'iss', 'exp']) t.equal(readBy(pyr, { ...item, [missing]: { NULL: true } }), null, `a ghost, without ${missing}`)
  for (const S of ['{', '[1]', '"x"', 'null', '7']) t.equal(readBy(pyr, { ...item, dat: { S } }), null, `broken: ${S}`)
})

t.test('what JavaScript would make something else of is refused, not changed and not logged out', async t => {
  const item = { ver: { N: '1' }, iss: { N: '1767323045' }, exp: { N: '1767324245' } }
  const read = (dat: string) => readBy(pyr, { ...item, dat: { S: dat } })?.['data']
  const refused = { code: 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE' }
  for (const value of ['NaN', 'Infinity', '-Infinity', '9007199254740993', '-9007199254740993', '[1, {"a": NaN}]']) {
    t.throws(() => read(`{"user": "ann", "x": ${value}}`), refused, value)
  }
  t.same(read('{"x": "NaN and \\" Infinity 9007199254740993"}'), { x: 'NaN and " Infinity 9007199254740993' }, 'in a text it is text')
  t.same(read('{"x": [9007199254740991, -1.5e+20, 0.1, 1e400]}'), { x: [9007199254740991, -1.5e20, 0.1, Infinity] })
  t.equal(read('{"x": NaN'), undefined, 'what is broken besides is broken')
  t.throws(() => readBy(pwr, { expires: { N: '1767326645' }, sess: { M: { x: { N: '1.5E+20' } } } }), refused)
  t.same(readBy(pwr, { expires: { N: '1767326645' }, sess: { M: { x: { N: '9007199254740993' }, y: { SS: ['a'] } } } })?.['data'],
    { x: 9007199254740993n, y: new Set(['a']) }, 'what the format "native" carries is left to it')
  t.same(fromPythonJson(`{"x": "${'\\"'.repeat(100_000)}"}`)?.get('x'), '"'.repeat(100_000), 'however long')
  const before = process.cpuUsage().user
  t.equal(fromPythonJson(`{"x": "${'\\"'.repeat(190_000)}`), undefined)
  t.ok(process.cpuUsage(undefined).user - before < 1_000_000, 'a text that does not end is read once, not once from each of its quotes')
})

t.test('records of dynamodb-session-web and dynamodb-session-flask are read', async t => {
  const item = {
    id: { S: LONG },
    data: { S: '{"user": "zo\\u00eb", "n": 1}' },
    created: { S: '2026-01-02T03:04:05.678901+00:00' },
    accessed: { S: '2026-01-02T03:04:05.678901+00:00' },
    expires: { N: '1767330245' },
    idle_timeout: { N: '7200' },
    absolute_timeout: { N: '43200' }
  }
  const session = { data: { user: 'zoë', n: 1 }, createdAt: 1767323045.678, expiresAt: 1767330245, idleTimeout: 7200, absoluteTimeout: 43_200 }
  t.same(web.keyOf(LONG), { id: item.id })
  t.same(readBy(web, item), session)
  t.same(readBy(web, { ...item, data: { S: '{"_permanent": true, "user": "ann"}' }, absolute_timeout: { N: '2678400' } }),
    { ...session, data: { user: 'ann' }, absoluteTimeout: 2678400 }, 'without the flag of Flask')
  t.equal(readBy(web, { ...item, created: { S: '1977-12-28T12:40:00+00:00' } })?.['createdAt'], 252160800, 'V10: without microseconds')
  t.equal(readBy(web, item, 1767330245), null, 'expired')
  t.ok(readBy(web, item, 1767330244.999), 'and not a moment before')
  t.equal(readBy(web, { id: item.id, accessed: item.accessed, expires: item.expires, created: item.created }), null, 'a ghost')
  const { expires, ...early } = item
  t.equal(readBy(web, { ...early, ttl: expires }), null, 'of the proof of concept')
  for (const odd of [{ created: { S: 'noon' } }, { created: { N: '1' } }, { idle_timeout: { N: '0' } }, { absolute_timeout: { S: '' } }, { data: { S: '!' } }, { expires: { S: 'never' } }]) {
    t.equal(readBy(web, { ...item, ...odd } as Item), null, JSON.stringify(odd))
  }
})

t.test('an expired record, a ghost and a broken one of express-session are no sessions', async t => {
  const sess = textOf(3_600_000, '"user":"ann"')
  for (const reader of [con, pwr]) {
    t.equal(readBy(reader, { expires: { N: '1767323045' }, sess }), null, 'expired')
    t.equal(readBy(reader, { expires: { N: '1767323045' }, sess: { M: { x: { N: '1.5E+20' } } } }), null, 'expired, with a value that could not be moved')
    t.equal(readBy(reader, { expires: { N: '1767326645' } }), null, 'a ghost of a touch after a log-out')
    t.equal(readBy(reader, {}), null)
    for (const S of ['', '{', '[]', 'null', '"x"']) t.equal(readBy(reader, { expires: { N: '1767326645' }, sess: { S } }), null, `broken: ${S}`)
    t.equal(readBy(reader, { expires: { N: '1767326645' }, sess: { BOOL: true } }), null)
  }
  t.ok(readBy(con, { expires: { N: '1767323046' }, sess }), 'alive to the end')
  t.equal(readBy(con, { expires: { N: '0' }, sess }), null, 'zero is an end there')
  t.equal(readBy(con, { expires: { N: '1767324045' }, sess: textOf(600_000, '"user":"ann"') }), null, 'of 3.0.2, expired when its end is mended')
  t.ok(readBy(con, { expires: { S: 'soon' }, sess }), 'what is no number is no end')
})

t.test('no name in a record reaches a prototype', async t => {
  const text = '{"__proto__": {"admin": true}, "constructor": {"prototype": {"admin": true}}, "user": {"__proto__": {"admin": true}, "list": [{"__proto__": 1, "a": 1}]}}'
  const map = (members: Item): AttributeValue => ({ M: members })
  const evil = (value: Item): Item => Object.defineProperty(value, '__proto__', { value: map({ admin: { BOOL: true } }), enumerable: true })
  const native = map(evil({ constructor: map({ prototype: map({ admin: { BOOL: true } }) }), user: map(evil({ list: { L: [map(evil({ a: { N: '1' } }))] } })) }))
  const records = [
    con.read({ expires: { N: '1767326645' }, sess: { S: text } }, NOW),
    pwr.read({ expires: { N: '1767326645' }, sess: native }, NOW),
    pyr.read({ dat: { S: text }, ver: { N: '1' }, iss: { N: '1767323045' }, exp: { N: '1767324245' } }, NOW)
  ]
  for (const session of records) {
    const data = session?.data
    t.same([...data?.keys() ?? []], ['constructor', 'user'])
    const user = data?.get('user') as { admin?: true, list: object[] }
    t.same(Object.getOwnPropertyNames(user), ['list'])
    t.same(Object.getOwnPropertyNames(user.list[0]), ['a'])
    t.equal(user.admin, undefined)
  }
  t.notOk('admin' in {})
})

t.test('options of a reader are checked by name and value, copied and frozen', async t => {
  const bad = (code: string, option: string) => ({ code: `FST_DYNAMODB_SESSION_${code}`, message: `"${option}"` })
  t.throws(() => connectDynamodb({ secret: CAT, tabel: 'x' } as never), { code: 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION', message: 'Did you mean "connectDynamodb.table"?' })
  t.throws(() => connectDynamodb({} as never), bad('BAD_OPTION', 'connectDynamodb.secret'))
  t.throws(() => dynamodbSessionStore({ secret: '' }), bad('BAD_OPTION', 'dynamodbSessionStore.secret'))
  t.throws(() => pyramidSession({} as never), bad('BAD_OPTION', 'pyramidSession.table'))
  t.throws(() => pyramidSession({ table: 'pyramid', secret: CAT } as never), bad('UNKNOWN_OPTION', 'pyramidSession.secret'))
  t.throws(() => dynamodbSessionWeb({ idBytes: 8 }), bad('BAD_OPTION', 'dynamodbSessionWeb.idBytes'))
  t.throws(() => dynamodbSessionWeb({ keep: 1 } as never), bad('BAD_OPTION', 'dynamodbSessionWeb.keep'))
  t.throws(() => dynamodbSessionWeb({ cookieName: 7 } as never), bad('BAD_OPTION', 'dynamodbSessionWeb.cookieName'))
  for (const odd of [{ cookieName: 'a b' }, { cookiePath: 'x' }, { cookieDomain: '.x' }, { cookieName: '__Host-x', cookiePath: '/x' }]) {
    t.throws(() => dynamodbSessionWeb(odd), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, JSON.stringify(odd))
  }
  const secret = ['old']
  const reader = dynamodbSessionWeb({ secret, table: undefined, header: 'X-Id', cookieDomain: 'shop.example', cookiePath: '/shop', hashKey: 'key' })
  secret[0] = 'foo'
  t.equal(reader.idOf(`${LONG}.Brxxp6JK2kWlAJSdnfQYVa2sigo`), undefined)
  t.match(reader, { table: 'app_session', header: 'x-id', cookieName: 'id', cookieDomain: 'shop.example', cookiePath: '/shop', keep: false })
  t.same(reader.keyOf('x'), { key: { S: 'x' } })
  t.ok(Object.isFrozen(reader))
  t.match(con, { table: 'sessions', cookieName: 'connect.sid', cookiePath: '/', header: undefined })
  t.match(pyr, { table: 'pyramid', cookieName: 'session_id' })
})
