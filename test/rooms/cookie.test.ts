import t from 'tap'
import { COOKIE_OPTIONS, overrideCookie, readCookie, resolveCookie, writeCookie } from '../../lib/cookie.js'
import type { CookieOptions } from '../../types/cookie.js'

const BAD = 'FST_DYNAMODB_SESSION_BAD_OPTION'
const TOKEN_LENGTH = 43
const DAY = 24 * 60 * 60

function resolve (given: Record<string, unknown> = {}, suffix = '') {
  return resolveCookie(given as CookieOptions, suffix, TOKEN_LENGTH)
}

t.test('the default name has the strictest prefix whose rules hold', async t => {
  t.equal(resolve().name, '__Host-id')
  t.equal(resolve({ path: '/' }).name, '__Host-id')
  t.equal(resolve({ path: '/shop' }).name, '__Secure-id')
  t.equal(resolve({ domain: 'shop.example' }).name, '__Secure-id')
  t.equal(resolve({ secure: false }).name, 'id')
  t.equal(resolve({ secure: 'auto' }).name, 'id')
})

t.test('a suffix keeps the default names of two registrations apart, and leaves a given name alone', async t => {
  t.equal(resolve({}, '-admin').name, '__Host-id-admin')
  t.equal(resolve({ path: '/shop' }, '-admin').name, '__Secure-id-admin')
  t.equal(resolve({ secure: 'auto' }, '-admin').name, 'id-admin')
  t.equal(resolve({ name: 'sid' }, '-admin').name, 'sid')
})

t.test('every attribute refuses a wrong type and a wrong value, and is named', async t => {
  const wrong: Record<string, readonly unknown[]> = {
    name: [null, 1, '', 'a b', 'a;b', 'a=b', 'a,b', 'é', 'a\n', 'x'.repeat(1025)],
    path: [null, 1, '', 'shop', '/a;b', '/a\n', '/é', '/\x7f', `/${'x'.repeat(1024)}`],
    domain: [null, 1, '', '.shop.example', 'shop..example', 'shop.example.', '-shop.example', 'shop.example;', 'é.example', `${'x'.repeat(64)}.example`, 'a.'.repeat(512) + 'a'],
    secure: [null, 0, 'true', 'AUTO'],
    httpOnly: [null, 0, 'true'],
    sameSite: [null, true, false, 'Lax', ''],
    partitioned: [null, 0, 'true'],
    priority: [null, 0, 'High', ''],
    maxAge: [null, '60', 0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 400 * DAY + 1]
  }
  t.same(Object.keys(wrong), COOKIE_OPTIONS, 'no attribute is left out')
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      t.throws(() => resolve({ [name]: value }), { code: BAD, message: `Option "cookie.${name}" must be` }, `${name}: ${String(JSON.stringify(value)).slice(0, 60)}`)
    }
  }
})

t.test('every attribute takes the values at its borders', async t => {
  const right: Record<string, readonly unknown[]> = {
    name: ['sid', 'x'.repeat(1024), '!#$%&\'*+-.^_`|~09AZaz'],
    path: ['/', '/shop', '/~a b?', `/${'x'.repeat(1023)}`],
    domain: ['localhost', 'shop.example', 'SHOP.example', 'a-1.example', '127.0.0.1', `${'x'.repeat(63)}.example`],
    secure: [true, false, 'auto'],
    httpOnly: [true, false],
    sameSite: ['lax', 'strict', 'none'],
    partitioned: [true, false],
    priority: ['low', 'medium', 'high'],
    maxAge: [1, 1.5, 400 * DAY]
  }
  t.same(Object.keys(right), COOKIE_OPTIONS, 'no attribute is left out')
  for (const [name, values] of Object.entries(right)) {
    for (const value of values) t.match(resolve({ [name]: value }), { [name]: value }, `${name}: ${String(value).slice(0, 60)}`)
    t.doesNotThrow(() => resolve({ [name]: undefined }), `${name} left out`)
  }
})

t.test('a prefix is held to its rules, without regard to case', async t => {
  for (const prefix of ['__Host-', '__host-', '__HOST-', '__Host-Http-', '__hOST-hTTP-']) {
    const name = `${prefix}sid`
    t.equal(resolve({ name }).name, name)
    t.throws(() => resolve({ name, path: '/shop' }), { code: BAD, message: 'Option "cookie.path"' }, name)
    t.throws(() => resolve({ name, domain: 'shop.example' }), { code: BAD, message: 'Option "cookie.domain"' }, name)
  }
  for (const prefix of ['__Host-', '__Secure-', '__secURE-', '__Http-', '__http-', '__Host-Http-']) {
    const name = `${prefix}sid`
    for (const secure of [false, 'auto']) t.throws(() => resolve({ name, secure }), { code: BAD, message: 'Option "cookie.secure" must be true' }, name)
  }
  for (const prefix of ['__Http-', '__HTTP-', '__Host-Http-']) {
    t.throws(() => resolve({ name: `${prefix}sid`, httpOnly: false }), { code: BAD, message: 'Option "cookie.httpOnly"' }, prefix)
  }
  for (const prefix of ['__Secure-', '__Http-']) t.equal(resolve({ name: `${prefix}sid`, path: '/shop', domain: 'shop.example' }).path, '/shop')
  t.equal(resolve({ name: '__Host-sid', httpOnly: false }).httpOnly, false)
  t.equal(resolve({ name: 'x__Host-sid', secure: false }).secure, false, 'only at the beginning')
  t.equal(resolve({ name: '__Hostsid', secure: false }).secure, false)
})

t.test('what browsers take from a Secure cookie only is refused without it', async t => {
  for (const secure of [false, 'auto']) {
    t.throws(() => resolve({ secure, sameSite: 'none' }), { code: BAD, message: 'Option "cookie.sameSite"' })
    t.throws(() => resolve({ secure, partitioned: true }), { code: BAD, message: 'Option "cookie.partitioned"' })
    t.equal(resolve({ secure, partitioned: false, sameSite: 'strict' }).secure, secure)
  }
  t.match(resolve({ sameSite: 'none', partitioned: true }), { sameSite: 'none', partitioned: true, name: '__Host-id' })
})

t.test('a name and a token that browsers would ignore for their length are refused', async t => {
  // Name, the companion's suffix, token, and 86 bytes for what encoding adds to a signature.
  const longest = 4096 - '__Host-id'.length - 2 - 86
  t.equal(resolveCookie({}, '', longest).name, '__Host-id')
  t.throws(() => resolveCookie({}, '', longest + 1), { code: BAD, message: 'Option "cookie.name" is too long beside the token' })
  t.ok(writeCookie(resolve(), '__Host-id-v', 'x'.repeat(longest - 43) + '+'.repeat(43), true, undefined).split(';')[0]!.length <= 4096 + 1)
})

t.test('the settings of a cookie are a frozen copy', async t => {
  const given = Object.freeze({ name: 'sid', path: '/shop' })
  const cookie = resolveCookie(given, '', TOKEN_LENGTH)
  t.ok(Object.isFrozen(cookie))
  t.strictSame(given, { name: 'sid', path: '/shop' })
  t.strictSame(cookie, { name: 'sid', path: '/shop', secure: true, httpOnly: true, sameSite: 'lax' })
})

t.test('a session may have other attributes, but no other name', async t => {
  const cookie = resolve({ name: 'sid', maxAge: 60 })
  const own = overrideCookie(cookie, { name: 'other', maxAge: 400 * DAY, sameSite: 'strict', signed: true, expires: new Date(0), cookie: {} })
  t.strictSame(own, { name: 'sid', path: '/', secure: true, httpOnly: true, sameSite: 'strict', maxAge: 400 * DAY })
  t.ok(Object.isFrozen(own))
  t.equal(cookie.maxAge, 60, 'the registration keeps its own')
  t.throws(() => overrideCookie(cookie, { sameSite: 'Strict' }), { code: BAD, message: 'Option "cookie.sameSite"' })
  t.throws(() => overrideCookie(cookie, { secure: false, sameSite: 'none' }), { code: BAD })
  t.throws(() => overrideCookie(resolve(), { path: '/shop' }), { code: BAD, message: 'Option "cookie.path" must be "/"' })
  t.strictSame(overrideCookie(cookie, Object.create({ secure: false })), cookie, 'inherited members are no attributes')
})

t.test('a cookie is set and cleared with the same attributes', async t => {
  const full = resolve({ name: 'sid', path: '/shop', domain: 'shop.example', sameSite: 'none', partitioned: true, priority: 'high' })
  const attributes = 'HttpOnly; Secure; Partitioned; Priority=High; SameSite=None'
  t.equal(writeCookie(full, 'sid', 'abc', true, undefined), `sid=abc; Domain=shop.example; Path=/shop; ${attributes}`)
  t.equal(writeCookie(full, 'sid', 'abc', true, 60), `sid=abc; Max-Age=60; Domain=shop.example; Path=/shop; ${attributes}`)
  t.equal(writeCookie(full, 'sid', '', true, 0), `sid=; Max-Age=0; Domain=shop.example; Path=/shop; Expires=Thu, 01 Jan 1970 00:00:00 GMT; ${attributes}`)
  const bare = resolve({ httpOnly: false, secure: false })
  t.equal(writeCookie(bare, 'id', 'abc', true, undefined), 'id=abc; Path=/; SameSite=Lax')
  t.equal(writeCookie(bare, 'id', '', true, 0), 'id=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; SameSite=Lax')
  t.equal(writeCookie(resolve(), '__Host-id', 'a.b+c/d', true, undefined), '__Host-id=a.b%2Bc%2Fd; Path=/; HttpOnly; Secure; SameSite=Lax')
})

t.test('a cookie is Secure as it is set, and with "auto" where the request came by HTTPS', async t => {
  for (const [secure, https, expected] of [[true, true, true], [true, false, true], [false, true, false], [false, false, false], ['auto', true, true], ['auto', false, false]] as const) {
    t.equal(/; Secure/.test(writeCookie(resolve({ secure }), 'id', 'abc', https, undefined)), expected, `${secure}, ${https}`)
  }
})

t.test('every cookie of a name is read, the first one first', async t => {
  t.same(readCookie('id=one', 'id'), ['one'])
  t.same(readCookie('a=1; id=one; b=2;id=two; id=one', 'id'), ['one', 'two', 'one'])
  t.same(readCookie('', 'id'), [])
  t.same(readCookie('a=1; b', 'id'), [])
  t.same(readCookie('id', 'id'), [], 'a name without a value is no cookie of this name')
  t.same(readCookie('id=', 'id'), [''])
  t.same(readCookie('id=a=b', 'id'), ['a=b'])
  t.same(readCookie(' \tid \t=\tone ; id\t= two', 'id'), [], 'browsers put no blank before "="')
  t.same(readCookie(' \tid=\tone ', 'id'), ['one'])
})

t.test('values are decoded, and left as they are where they cannot be', async t => {
  t.same(readCookie('id=a%2Bb', 'id'), ['a+b'])
  for (const broken of ['%', '%4', '%zz', '%ff', 'abc%E0%A4%A']) t.same(readCookie(`id=${broken}`, 'id'), [broken], broken)
})

t.test('names are compared exactly: other case, encodings, prefixes and endings are other cookies', async t => {
  const name = '__Host-id'
  for (const header of ['__host-id=x', '__HOST-ID=x', '__%48ost-id=x', '%5F%5FHost-id=x', 'x__Host-id=x', '__Host-idx=x', '__Host-id-v=x', 'a=__Host-id=x', '"__Host-id=x"']) {
    t.same(readCookie(header, name), [], header)
  }
})

t.test('Unicode white space around a name does not make it another name', async t => {
  // Headers come as Latin-1: a script may set a cookie whose name begins with U+2000 (E2 80 80), U+00A0 or U+0085.
  for (const blank of ['\u2000', '\u00e2\u0080\u0080', '\u00a0', '\u00c2\u00a0', '\u0085', '\ufeff', '\u000b', '\u000c', '\u3000']) {
    t.same(readCookie(`${blank}__Host-id=planted`, '__Host-id'), [], escape(blank))
    t.same(readCookie(`__Host-id${blank}=planted`, '__Host-id'), [], escape(blank))
    t.same(readCookie(`__Host-id=real; ${blank}__Host-id=planted`, '__Host-id'), ['real'], escape(blank))
  }
})

t.test('the $Version of RFC 2109 changes nothing in how a header is read', async t => {
  // Parsers that go over to the old syntax then take "a" to be quoted, and the cookie in it to be part of its value.
  t.same(readCookie('$Version=1; a="b; id=planted; c"; $Path=/', 'id'), ['planted'], 'as without $Version')
  t.same(readCookie('a="b; id=planted; c"', 'id'), ['planted'])
  t.same(readCookie('$Version=1; id=one; $Path=/; $Domain=shop.example', 'id'), ['one'])
})

t.test('names of the prototype are no cookies', async t => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    t.same(readCookie('a=1', name), [])
    t.same(readCookie(`${name}=one`, name), ['one'], name)
  }
})
