import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { resolveOptions } from '../../lib/options.js'
import { hash } from '../../lib/token.js'
import { hasLeft, Transport } from '../../lib/transport.js'
import { LogLines } from '../support/app.js'
import { setCookies } from '../support/visitor.js'

const SECRET = 'a secret that is long enough to sign with'
const BOTH = { header: 'X-Session', cookie: {} }
const COOKIE_NAME = '__Host-id'

function setUp (options: object = {}) {
  const settings = resolveOptions({ table: 'sessions', ...options })
  const { cookie, tokens } = settings
  return { transport: new Transport(settings), cookie, tokens, makeToken: () => tokens.sign(tokens.makeId()) }
}

const cookieOf = (...values: string[]): { cookie: string } =>
  ({ cookie: values.map(value => `${COOKIE_NAME}=${encodeURIComponent(value)}`).join('; ') })

/** An application whose one route does to its answer what the test says. */
function answering (t: Test, act: (request: FastifyRequest, reply: FastifyReply) => void, options: object = {}) {
  const log = new LogLines()
  const app: FastifyInstance = Fastify({ logger: { stream: log }, ...options })
  t.teardown(async () => await app.close())
  app.get('/', async (request, reply) => {
    act(request, reply)
    return 'done'
  })
  return { app, log }
}

t.test('a token comes by cookie, and by nothing else, unless a header is configured', async t => {
  const { transport, makeToken } = setUp()
  const token = makeToken()
  t.match(transport.read(cookieOf(token)), { way: 'cookie', came: true, token: { id: token } })
  t.match(transport.read({ 'x-session': token, authorization: token }), { way: 'cookie', came: false, token: undefined })
  t.match(transport.read({}), { way: 'cookie', came: false, token: undefined })
  t.match(transport.read({ cookie: '' }), { way: 'cookie', came: false, token: undefined })
  t.match(transport.read({ cookie: 'other=1' }), { way: 'cookie', came: false, token: undefined })
})

t.test('with a header configured, a token comes by header only, and a cookie is ignored', async t => {
  const { transport, makeToken } = setUp({ header: 'X-Session' })
  const token = makeToken()
  t.match(transport.read({ 'x-session': token }), { way: 'header', came: true, token: { id: token } })
  t.match(transport.read(cookieOf(token)), { way: 'header', came: false, token: undefined })
  t.match(transport.read({ 'x-session': token, ...cookieOf(makeToken()) }), { way: 'header', came: true, token: { id: token } })
  t.match(transport.read({ 'x-session': '' }), { way: 'header', came: false, token: undefined })
})

t.test('with both configured, the answer goes the way the request came', async t => {
  const { transport, makeToken } = setUp(BOTH)
  const token = makeToken()
  t.match(transport.read({ 'x-session': token }), { way: 'header', came: true, token: { id: token } })
  t.match(transport.read(cookieOf(token)), { way: 'cookie', came: true, token: { id: token } })
  t.match(transport.read({ 'x-session': '', ...cookieOf(token) }), { way: 'cookie', came: true, token: { id: token } })
  t.match(transport.read({}), { way: 'cookie', came: false, token: undefined }, 'by cookie where it brought neither')
  t.match(transport.read({ 'x-session': token, ...cookieOf(token) }), { way: 'header', token: { id: token } }, 'the header wins')
})

t.test('two different tokens mean no session, whichever way they came', async t => {
  const { transport, makeToken } = setUp(BOTH)
  const [one, two] = [makeToken(), makeToken()]
  t.match(transport.read(cookieOf(one, two)), { came: true, token: undefined })
  t.match(transport.read({ 'x-session': one, ...cookieOf(two) }), { way: 'header', came: true, token: undefined })
  t.match(transport.read(cookieOf(one, one)), { token: { id: one } }, 'the same twice is one')
})

t.test('good tokens of several ids are told from one that came twice, or beside a bad one', async t => {
  const { transport, tokens, makeToken } = setUp({ ...BOTH, secrets: [SECRET, 'an older secret'] })
  const { tokens: older } = setUp({ ...BOTH, secrets: ['an older secret'] })
  const [one, other] = [makeToken(), makeToken()]
  const id = tokens.check(one)?.id ?? ''
  for (const headers of [cookieOf(one, other), cookieOf(other, one), cookieOf(one, 'bad', other), { 'x-session': one, ...cookieOf(other) }]) {
    t.match(transport.read(headers), { came: true, token: undefined, isAmbiguous: true })
  }
  for (const headers of [cookieOf(one), cookieOf(one, one), cookieOf('bad', one), cookieOf(one, older.sign(id)), { 'x-session': one, ...cookieOf(one, 'bad') }]) {
    t.match(transport.read(headers), { came: true, token: { id, outdated: false }, isAmbiguous: false })
  }
  for (const headers of [{}, cookieOf('bad', 'worse'), { 'x-session': 'bad', ...cookieOf(one, other) }]) t.match(transport.read(headers), { token: undefined, isAmbiguous: false })
})

t.test('a bad token beside a good one is passed over in cookies, but a bad header is not made up for', async t => {
  const { transport, makeToken } = setUp(BOTH)
  const token = makeToken()
  t.match(transport.read(cookieOf('garbage', token)), { came: true, token: { id: token } })
  t.match(transport.read({ 'x-session': token, ...cookieOf('garbage') }), { way: 'header', token: { id: token } })
  t.match(transport.read({ 'x-session': 'garbage', ...cookieOf(token) }), { way: 'header', came: true, token: undefined })
  t.match(transport.read({ 'x-session': `${token}, ${token}` }), { came: true, token: undefined }, 'a header that was sent twice')
})

t.test('what is no token counts as one that came, and as no session', async t => {
  for (const secrets of [undefined, SECRET]) {
    const { transport, makeToken } = setUp({ secrets })
    const token = makeToken()
    const bad = ['', ' ', 'x', token.slice(1), `${token}x`, 'x'.repeat(100_000), 'é'.repeat(token.length), '\u0000'.repeat(token.length), '+'.repeat(token.length), '.'.repeat(token.length)]
    for (const value of bad) t.match(transport.read(cookieOf(value)), { came: true, token: undefined }, JSON.stringify(value.slice(0, 50)))
    t.match(transport.read({ cookie: `${COOKIE_NAME}=${token.slice(0, -1)}%` }), { came: true, token: undefined }, 'percent-broken')
    t.match(transport.read({ cookie: `__%48ost-id=${token}` }), { came: false, token: undefined }, 'an encoded name')
  }
})

t.test('a token under an older secret is known as outdated', async t => {
  const old = setUp({ secrets: 'older' })
  const { transport, makeToken } = setUp({ secrets: [SECRET, 'older'] })
  t.match(transport.read(cookieOf(makeToken())), { token: { outdated: false } })
  t.match(transport.read(cookieOf(old.makeToken())), { token: { outdated: true } })
})

t.test('a companion names the written version of its own session, and of another that something was written, and no more', async t => {
  const { transport, makeToken } = setUp()
  const token = makeToken()
  const key = hash(token)
  const naming = key.slice(0, 8)
  const versionOf = (value: string): number | undefined =>
    transport.traces(transport.read({ cookie: `${COOKIE_NAME}=${token}; ${COOKIE_NAME}-v=${value}` }), key).version
  t.equal(versionOf(`${naming}.1`), 1)
  t.equal(versionOf(`${naming}.999999999999999`), 999_999_999_999_999)
  const other = hash(makeToken()).slice(0, 8)
  for (const value of ['', '.', '1', `${naming}`, `${naming}.`, `${naming}.0`, `${naming}.01`, `${naming}.-1`, `${naming}.1.5`, `${naming}.1e3`, `${naming}.1 2`,
    `${naming}.1000000000000000`, `${naming}.${'9'.repeat(400)}`, `${naming}.NaN`, `${naming}.Infinity`, `${naming}.1%0A`, `${naming.slice(1)}.1`, `x${naming}.1`,
    `${key}.1`, '%', 'x'.repeat(100_000)]) {
    t.equal(versionOf(value), undefined, value.slice(0, 50))
  }
  t.equal(versionOf(`${other}.7`), 0, 'its answer may have come after that of a log-in')
  t.equal(versionOf(`${other}.7; ${COOKIE_NAME}-v=${naming}.3`), 3)
  t.equal(transport.traces(transport.read(cookieOf(token)), key).version, undefined, 'no companion')
  t.equal(transport.traces(transport.read({}), key).version, undefined, 'no cookie')
})

t.test('the companion comes the way the token came', async t => {
  const { transport, makeToken } = setUp(BOTH)
  const token = makeToken()
  const key = hash(token)
  const [fromHeader, fromCookie] = [`${key.slice(0, 8)}.7`, `${key.slice(0, 8)}.5`]
  const companions = { 'x-session-v': fromHeader, cookie: `${COOKIE_NAME}=${token}; ${COOKIE_NAME}-v=${fromCookie}` }
  t.equal(transport.traces(transport.read({ ...companions, 'x-session': token }), key).version, 7)
  t.equal(transport.traces(transport.read(companions), key).version, 5)
  t.equal(transport.traces(transport.read({ 'x-session': token }), key).version, undefined)
})

t.test('a token is sent and cleared by cookie, its companion for ten seconds', async t => {
  const { transport, cookie } = setUp({ cookie: { secure: 'auto' } })
  const key = 'abcdefgh-and-more'
  const { app } = answering(t, (request, reply) => {
    transport.sendToken(request, reply, 'cookie', cookie, 'token', undefined)
    transport.sendToken(request, reply, 'cookie', cookie, 'token', 60)
    transport.sendToken(request, reply, 'cookie', cookie, '', 0)
    transport.sendCompanion(request, reply, 'cookie', cookie, key, 3)
  })
  const response = await app.inject('/')
  t.same(setCookies(response), [
    'id=token; Path=/; HttpOnly; SameSite=Lax',
    'id=token; Max-Age=60; Path=/; HttpOnly; SameSite=Lax',
    'id=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax',
    'id-v=abcdefgh.3; Max-Age=10; Path=/; HttpOnly; SameSite=Lax'
  ])
  t.equal(response.headers['cache-control'], 'no-store')
})

t.test('a token is sent and cleared by header, with its companion', async t => {
  const { transport, cookie } = setUp(BOTH)
  const { app } = answering(t, (request, reply) => {
    transport.sendToken(request, reply, 'header', cookie, 'token', undefined)
    transport.sendCompanion(request, reply, 'header', cookie, 'abcdefgh-and-more', 3)
  })
  const response = await app.inject('/')
  t.match(response.headers, { 'x-session': 'token', 'x-session-v': 'abcdefgh.3', 'cache-control': 'no-store' })
  t.same(setCookies(response), [])
  const clearing = answering(t, (request, reply) => transport.sendToken(request, reply, 'header', cookie, '', 0))
  t.equal((await clearing.app.inject('/')).headers['x-session'], '')
})

t.test('cookies of the application are kept beside the session\'s', async t => {
  const { transport, cookie } = setUp()
  const { app } = answering(t, (request, reply) => {
    reply.header('set-cookie', 'theme=dark')
    transport.sendToken(request, reply, 'cookie', cookie, 'token', undefined)
  })
  t.match(setCookies(await app.inject('/')), ['theme=dark', /^__Host-id=token;/])
})

t.test('a Cache-Control of the handler stands only where it keeps the answer from shared caches', async t => {
  const kept = ['no-store', 'private', 'NO-STORE', 'Private', 'private, max-age=60', 'max-age=60, private', 'max-age=60,private', 'no-cache, no-store, must-revalidate', 'private,no-cache']
  const replaced = ['public', 'public, max-age=60', 'max-age=60', 'no-cache', '', 'no-storex', 'xno-store', 'no-store-x', 'x-private', 'privately', 'private="set-cookie"', 'no-cache="private"', 'ext=no-store']
  const { transport, cookie } = setUp()
  const { app } = answering(t, (request, reply) => {
    const own = request.headers['x-own']
    if (own !== undefined) reply.header('cache-control', own)
    if (request.headers['x-companion'] === undefined) transport.sendToken(request, reply, 'cookie', cookie, 'token', undefined)
    else transport.sendCompanion(request, reply, 'cookie', cookie, 'abcdefgh', 1)
  })
  for (const own of kept) t.equal((await app.inject({ url: '/', headers: { 'x-own': own } })).headers['cache-control'], own, own)
  for (const own of replaced) t.equal((await app.inject({ url: '/', headers: { 'x-own': own } })).headers['cache-control'], 'no-store', own)
  t.equal((await app.inject('/')).headers['cache-control'], 'no-store')
  t.equal((await app.inject({ url: '/', headers: { 'x-own': 'public', 'x-companion': '1' } })).headers['cache-control'], 'no-store', 'the companion is no less')
})

t.test('Vary names every way that a token may come, beside what is there', async t => {
  const cases = [
    [{}, undefined, 'Cookie'],
    [{}, '', 'Cookie'],
    [{}, 'Origin', 'Origin, Cookie'],
    [{}, 'Origin, Accept-Encoding', 'Origin, Accept-Encoding, Cookie'],
    [{}, ['Origin', 'Accept'], 'Origin, Accept, Cookie'],
    [{}, 'cookie', 'cookie'],
    [{}, 'Origin,COOKIE', 'Origin,COOKIE'],
    [{}, '*', '*'],
    [{}, 'Origin, *', '*'],
    [{ header: 'X-Session' }, 'Cookies', 'Cookies, x-session'],
    [BOTH, undefined, 'Cookie, x-session'],
    [BOTH, 'X-Session', 'X-Session, Cookie']
  ] as const
  for (const [options, own, expected] of cases) {
    const { transport } = setUp(options)
    const { app } = answering(t, (_request, reply) => {
      if (own !== undefined) reply.header('vary', own)
      transport.vary(reply)
      transport.vary(reply)
    })
    t.equal((await app.inject('/')).headers['vary'], expected, `${JSON.stringify(own)} becomes ${expected}`)
  }
})

t.test('a Secure cookie over plain HTTP is sent all the same, and warned of once', async t => {
  const { transport, cookie } = setUp()
  const { app, log } = answering(t, (request, reply) => transport.sendToken(request, reply, 'cookie', cookie, 'token', undefined), { trustProxy: true })
  t.match(setCookies(await app.inject({ url: '/', headers: { 'x-forwarded-proto': 'https' } })), [/; Secure/])
  t.same(log.warnings(), [], 'over HTTPS there is nothing to warn of')
  for (let visits = 0; visits < 3; visits++) t.match(setCookies(await app.inject('/')), [/; Secure/])
  t.equal(log.warnings().length, 1)
  t.match(log.warnings()[0], /Secure session cookie.*plain HTTP.*trustProxy/)
})

t.test('a client that has left is known by its connection, over HTTP/2 by its stream, and of its protocol nothing is said', async t => {
  for (const [raw, left] of [[{ destroyed: false }, false], [{ destroyed: true }, true], [{ stream: { destroyed: false } }, false], [{ stream: { destroyed: true } }, true]] as const) {
    const { transport, cookie } = setUp()
    t.equal(hasLeft({ raw } as unknown as FastifyReply), left)
    const { app, log } = answering(t, (request, reply) => {
      const gone = Object.create(reply, { raw: { value: raw } }) as FastifyReply
      transport.sendToken(request, gone, 'cookie', cookie, 'token', undefined)
    })
    await app.inject('/')
    t.equal(log.warnings().filter(text => text.includes('plain HTTP')).length, left ? 0 : 1)
  }
})

t.test('with secure "auto" the cookie follows the protocol of the request, and nothing is warned of', async t => {
  const { transport, cookie } = setUp({ cookie: { secure: 'auto' } })
  const { app, log } = answering(t, (request, reply) => transport.sendToken(request, reply, 'cookie', cookie, 'token', undefined), { trustProxy: true })
  t.notMatch(setCookies(await app.inject('/'))[0], /Secure/)
  t.match(setCookies(await app.inject({ url: '/', headers: { 'x-forwarded-proto': 'https' } }))[0], /; Secure/)
  t.same(log.warnings(), [])
})
