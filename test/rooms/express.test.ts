import t from 'tap'
import { load } from '../../bench/applications/stores.js'
import { ExpressSessions, type Generate } from '../../store/express.js'

interface Host { (options: object): unknown, Session: new () => object, Cookie: new () => object, Store: new () => { createSession (request: object, data: object): object } }
const host = load('express-session') as Host

/** What express-session gives to a store that it is given. */
function generateOf (options: object = {}): Generate {
  const store = { on () {}, generate: (): void => {} }
  host({ secret: 'a secret', resave: false, saveUninitialized: false, store, ...options })
  return store.generate
}

const request = () => ({ sessionID: 'an id', sessionStore: {}, headers: {} })
const age = { originalMaxAge: 60_000, expires: new Date(Date.now() + 30_000), path: '/shop', httpOnly: false, sameSite: 'lax' }

t.test('a session is what express-session itself would make of it', async t => {
  const data = { cookie: age, userId: 'u-42', touch: 'a name that is taken' }
  const [ours, theirs] = [request(), request()]
  const session = new ExpressSessions().make(generateOf(), ours, data) as { cookie: object }
  const expected = new host.Store().createSession(theirs, { ...data }) as { cookie: object }
  t.equal((ours as { session?: object }).session, session)
  t.ok(session instanceof host.Session)
  t.ok(session.cookie instanceof host.Cookie)
  t.strictSame(JSON.parse(JSON.stringify(session)), JSON.parse(JSON.stringify(expected)))
  t.same(Object.getOwnPropertyNames(session).sort(), Object.getOwnPropertyNames(expected).sort())
  t.equal(data.cookie, age, 'what was read stays as it is')
})

t.test('its cookie has the end and the age that were read, which a host may hold as text', async t => {
  const text = age.expires.toISOString()
  const { cookie } = new ExpressSessions().make(generateOf(), request(), { cookie: { ...age, expires: text, data: 'x' } }) as { cookie: typeof age }
  t.same([cookie.expires, cookie.originalMaxAge], [age.expires, 60_000])
  const without = new ExpressSessions().make(generateOf(), request(), { cookie: { originalMaxAge: null, expires: null } }) as { cookie: typeof age & { maxAge: unknown } }
  t.same([without.cookie.expires, without.cookie.originalMaxAge, without.cookie.maxAge], [null, null, null])
})

t.test('the classes are looked up once, and nothing of that stays on the request', async t => {
  let ids = 0
  const generate = generateOf({ genid: () => `id ${++ids}` })
  const sessions = new ExpressSessions()
  const one = request()
  sessions.make(generate, one, { cookie: age })
  sessions.make(generate, request(), { cookie: age })
  t.equal(ids, 1)
  t.equal(one.sessionID, 'an id')
})

t.test('who is not express-session hears that it is', async t => {
  t.throws(() => new ExpressSessions().make(undefined, request(), { cookie: age }), { message: /express-session/ })
})
