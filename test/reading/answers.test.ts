import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type LightMyRequestResponse } from 'fastify'
import { CookieJar } from 'tough-cookie'
import dynamoSession, { errors, type CookieAttributes, type DynamoSessionOptions } from '../../index.js'
import { hash } from '../../lib/token.js'
import { memoryRepository } from '../../testing/index.js'
import type { Repository } from '../../types/repository.js'
import { Clock } from '../support/app.js'
import { setCookies } from '../support/visitor.js'
import '../support/session-data.js'

const OLD = 'the secret of last year, long enough to sign'
const NEW = 'the secret of this year, long enough to sign'
const EPOCH = 'Expires=Thu, 01 Jan 1970 00:00:00 GMT'

interface Parts {
  readonly session?: Partial<DynamoSessionOptions>
  readonly repository?: Repository
  readonly clock?: Clock
  /** What the session says with `options()`, wherever it is used. */
  readonly own?: CookieAttributes
}

/** What handlers do with a session: everything that can make an answer tell something of a token. */
const ACTS: Readonly<Record<string, (request: FastifyRequest) => unknown>> = {
  nothing: () => 'nothing',
  read: ({ session }) => `hello ${session.get('userId') ?? 'stranger'}`,
  create: ({ session, headers }) => {
    session.set('userId', String(headers['x-who'] ?? 'ann'))
    return `welcome ${session.get('userId')}`
  },
  save: ({ session }) => { session.set('count', Number(session.get('count') ?? 0) + 1) },
  renew: async ({ session }) => { await session.regenerate(true) },
  clear: async ({ session }) => { await session.destroy() },
  fail: async ({ session }) => {
    session.set('count', 1)
    await session.save()
    throw new Error('the handler failed')
  }
}

async function setApp (t: Test, parts: Parts): Promise<FastifyInstance> {
  const { session = {}, repository = memoryRepository(), clock = new Clock(), own } = parts
  const app = Fastify({ trustProxy: true })
  t.teardown(async () => { await app.close() })
  await app.register(dynamoSession, { table: 'sessions', client: repository, now: clock.now, ...session })
  for (const [name, act] of Object.entries(ACTS)) {
    app.get(`/shop/${name}`, async (request, reply) => {
      const { says, varies } = request.query as { says?: string, varies?: string }
      if (says !== undefined) reply.header('cache-control', says)
      if (varies !== undefined) reply.header('vary', varies)
      if (own !== undefined && name !== 'nothing') request.session.options(own)
      return await act(request) ?? 'done'
    })
  }
  return app
}

/** One setting of the cookie: what its Set-Cookie headers are, by the attributes before and after where a life or an end goes. */
interface Row {
  readonly name: string
  readonly session: Partial<DynamoSessionOptions>
  readonly own?: CookieAttributes
  readonly http?: boolean
  readonly cookie: string
  /** Before `Max-Age`'s place and after it, and after the place of `Expires`. */
  readonly where: string
  readonly how: string
  /** Seconds of life at the creation. */
  readonly life?: number
}

const ROWS: readonly Row[] = [
  { name: 'as by default', session: {}, cookie: '__Host-id', where: 'Path=/', how: 'HttpOnly; Secure; SameSite=Lax' },
  {
    name: 'with a domain and a path',
    session: { cookie: { domain: 'shop.example', path: '/shop' } },
    cookie: '__Secure-id',
    where: 'Domain=shop.example; Path=/shop',
    how: 'HttpOnly; Secure; SameSite=Lax'
  },
  {
    name: 'partitioned',
    session: { cookie: { partitioned: true, sameSite: 'none' } },
    cookie: '__Host-id',
    where: 'Path=/',
    how: 'HttpOnly; Secure; Partitioned; SameSite=None'
  },
  {
    name: 'with a priority',
    session: { cookie: { priority: 'high' } },
    cookie: '__Host-id',
    where: 'Path=/',
    how: 'HttpOnly; Secure; Priority=High; SameSite=Lax'
  },
  {
    name: 'with a life',
    session: { cookie: { maxAge: 3600 } },
    cookie: '__Host-id',
    where: 'Path=/',
    how: 'HttpOnly; Secure; SameSite=Lax',
    life: 3600
  },
  {
    name: 'strict, with a name of its own, for scripts',
    session: { cookie: { name: 'sid', sameSite: 'strict', httpOnly: false } },
    cookie: 'sid',
    where: 'Path=/',
    how: 'Secure; SameSite=Strict'
  },
  {
    name: 'secure "auto" on HTTP',
    session: { cookie: { secure: 'auto' } },
    http: true,
    cookie: 'id',
    where: 'Path=/',
    how: 'HttpOnly; SameSite=Lax'
  },
  {
    name: 'secure "auto" on HTTPS',
    session: { cookie: { secure: 'auto' } },
    cookie: 'id',
    where: 'Path=/',
    how: 'HttpOnly; Secure; SameSite=Lax'
  },
  {
    name: 'with attributes of the session\'s own',
    session: { cookie: { name: '__Secure-sid' } },
    own: { maxAge: 600, sameSite: 'strict', priority: 'low', path: '/shop', domain: 'shop.example' },
    cookie: '__Secure-sid',
    where: 'Domain=shop.example; Path=/shop',
    how: 'HttpOnly; Secure; Priority=Low; SameSite=Strict',
    life: 600
  },
  {
    name: 'with the prefix of cookies that no script has set',
    session: { cookie: { name: '__Host-Http-sid' } },
    cookie: '__Host-Http-sid',
    where: 'Path=/',
    how: 'HttpOnly; Secure; SameSite=Lax'
  }
]

for (const { name, session, own, http = false, cookie, where, how, life } of ROWS) {
  t.test(`every Set-Cookie to the letter, and a clear that clears: ${name}`, async t => {
    const repository = memoryRepository()
    const clock = new Clock()
    const parts = { repository, clock, ...own !== undefined && { own } }
    const before = await setApp(t, { ...parts, session: { ...session, secrets: OLD } })
    const after = await setApp(t, { ...parts, session: { ...session, secrets: [NEW, OLD] } })
    const origin = `${http ? 'http' : 'https'}://shop.example/shop/`
    const jar = new CookieJar(undefined, { prefixSecurity: 'strict' })

    const names = async (): Promise<string[]> => (await jar.getCookies(origin)).map(({ key }) => key).sort()
    /** Asks as a browser does, and resolves to the Set-Cookie headers of the answer, each of which the jar has taken. */
    const ask = async (app: FastifyInstance, act: string): Promise<string[]> => {
      const headers = { cookie: await jar.getCookieString(origin), 'x-forwarded-proto': http ? 'http' : 'https' }
      const response = await app.inject({ url: `/shop/${act}`, headers })
      t.equal(response.statusCode, 200, act)
      for (const text of setCookies(response)) await jar.setCookie(text, origin)
      return setCookies(response)
    }
    const lasting = (elapsed: number): string => life === undefined ? '' : `Max-Age=${life - elapsed}; `
    const token = (elapsed: number): RegExp =>
      new RegExp(`^${cookie}=[\\w-]{43}\\.[\\w%]{43,129}; ${lasting(elapsed)}${where}; ${how}$`)
    const companion = (version: number): RegExp => new RegExp(`^${cookie}-v=[\\w-]{8}\\.${version}; Max-Age=10; ${where}; ${how}$`)
    const exactly = (actual: readonly string[], expected: readonly RegExp[], act: string): void => {
      t.equal(actual.length, expected.length, `${act}: ${actual.length} cookies`)
      for (const [index, pattern] of expected.entries()) t.match(actual[index], pattern, act)
    }

    exactly(await ask(before, 'create'), [token(0), companion(1)], 'a new session')
    t.same(await names(), [cookie, `${cookie}-v`], 'the jar has taken both')
    exactly(await ask(before, 'save'), [companion(2)], 'a change')
    exactly(await ask(before, 'read'), [], 'a read')
    clock.forward(100)
    exactly(await ask(after, 'read'), [token(100)], 'signed anew')
    exactly(await ask(after, 'read'), [], 'once')
    const [old] = (await jar.getCookies(origin)).filter(({ key }) => key === cookie)
    exactly(await ask(after, 'renew'), [token(100), companion(1)], 'a new id')
    const [fresh] = (await jar.getCookies(origin)).filter(({ key }) => key === cookie)
    t.not(fresh?.value, old?.value)
    t.equal((await jar.getCookies(origin)).filter(({ key }) => key === cookie).length, 1, 'in the place of the old one')

    t.strictSame(await ask(after, 'clear'), [`${cookie}=; Max-Age=0; ${where}; ${EPOCH}; ${how}`])
    t.same(await names(), [`${cookie}-v`], 'and it is gone; the companion goes by itself')
    t.notOk((await jar.getCookieString(origin)).includes(`${cookie}=`))
  })
}

t.test('without one of the attributes of its setting, a clear would not clear: the jar is strict', async t => {
  for (const [set, clear] of [
    ['__Host-id=x; Path=/; Secure', `__Host-id=; Max-Age=0; Path=/; ${EPOCH}`],
    ['sid=x; Path=/shop', `sid=; Max-Age=0; Path=/; ${EPOCH}`],
    ['sid=x; Domain=shop.example; Path=/shop', `sid=; Max-Age=0; Domain=shop.example; Path=/; ${EPOCH}`]
  ] as const) {
    const jar = new CookieJar(undefined, { prefixSecurity: 'strict' })
    await jar.setCookie(set, 'https://shop.example/shop/')
    await jar.setCookie(clear, 'https://shop.example/shop/', { ignoreError: true })
    t.match(await jar.getCookieString('https://shop.example/shop/'), '=x', set)
  }
})

/** What a handler says itself, and what stands beside a token then. */
const SAID: ReadonlyArray<readonly [said: string | undefined, beside: string]> = [
  [undefined, 'no-store'], ['public', 'no-store'], ['public, max-age=600', 'no-store'], ['s-maxage=600', 'no-store'],
  ['private', 'private'], ['no-store', 'no-store'],
  ['private, s-maxage=600', 'private, s-maxage=600'], ['no-cache', 'no-store'], ['must-revalidate, public, immutable', 'no-store']
]

type By = 'cookie' | 'header'

/** The ways of a token: options, how a request brings one, where an answer has it, and the Vary. */
const WAYS: Readonly<Record<string, { readonly options: Partial<DynamoSessionOptions>, readonly by: By, readonly vary: string }>> = {
  cookie: { options: {}, by: 'cookie', vary: 'Cookie' },
  header: { options: { header: 'X-Session' }, by: 'header', vary: 'x-session' },
  'both, by cookie': { options: { header: 'X-Session', cookie: {} }, by: 'cookie', vary: 'Cookie, x-session' },
  'both, by header': { options: { header: 'X-Session', cookie: {} }, by: 'header', vary: 'Cookie, x-session' }
}

/** The headers by which a request brings a token. */
function bring (by: By, token: string): Record<string, string> {
  return by === 'header' ? { 'x-session': token } : { cookie: `__Host-id=${encodeURIComponent(token)}` }
}

/** The names under which an answer has a token, a companion, or the end of one. */
function carried (response: LightMyRequestResponse): string[] {
  const names = Object.keys(response.headers).filter(name => name.startsWith('x-session'))
  return [...setCookies(response).map(text => text.slice(0, text.indexOf('='))), ...names]
}

for (const [name, { options, by, vary }] of Object.entries(WAYS)) {
  t.test(`what an answer says to caches, and where it has a token: ${name}`, async t => {
    const repository = memoryRepository()
    const old = await setApp(t, { repository, session: { ...options, secrets: OLD } })
    const app = await setApp(t, { repository, session: { ...options, secrets: [NEW, OLD] } })
    const both = by === 'cookie' ? ['__Host-id', '__Host-id-v'] : ['x-session', 'x-session-v']
    const [tokenName = '', companionName = ''] = both
    const makeToken = async (from = app): Promise<string> => {
      const session = await from.sessions.create({ userId: 'ann' })
      return session.token ?? ''
    }
    const steps: ReadonlyArray<readonly [act: string, from: FastifyInstance, told: readonly string[]]> = [
      ['save', app, [companionName]], ['read', old, [tokenName]], ['save', old, both], ['renew', app, both],
      ['clear', app, [tokenName]], ['read', app, []], ['nothing', app, []]
    ]
    for (const [said, beside] of SAID) {
      const query = { ...said !== undefined && { says: said }, varies: 'Accept-Encoding' }
      for (const [act, from, told] of steps) {
        const response = await app.inject({ url: `/shop/${act}`, query, headers: bring(by, await makeToken(from)) })
        const title = `${act} where the handler says ${said}`
        t.same([response.statusCode, carried(response)], [200, told], title)
        t.equal(response.headers['cache-control'], told.length > 0 ? beside : said, title)
        t.equal(response.headers['vary'], `Accept-Encoding, ${vary}`, title)
      }
      const stranger = await app.inject({ url: '/shop/create', query, headers: by === 'header' ? { 'x-session': 'garbage' } : {} })
      t.same(
        [carried(stranger), stranger.headers['cache-control'], stranger.headers['vary']],
        [both, beside, `Accept-Encoding, ${vary}`]
      )
      const nobody = await app.inject({ url: '/shop/nothing', query })
      t.same(
        [carried(nobody), nobody.headers['cache-control'], nobody.headers['vary']], [[], said, 'Accept-Encoding'],
        'a page for all stays one'
      )
    }
  })
}

t.test('a token is in its header and nowhere else: in no other header, in no body, in no failure', async t => {
  for (const [name, { options, by }] of Object.entries(WAYS)) {
    const app = await setApp(t, { session: { ...options, secrets: NEW } })
    for (const act of [...Object.keys(ACTS), 'no-such-page']) {
      const session = await app.sessions.create({ userId: 'ann' })
      const { id = '', token = '' } = session
      const response = await app.inject({ url: `/shop/${act}`, headers: bring(by, token) })
      const ours = by === 'cookie' ? ['set-cookie'] : ['x-session', 'x-session-v']
      const sent = ours.map(header => decodeURIComponent(String(response.headers[header] ?? ''))).join(' ')
      const ids = [id, ...sent.match(/[\w-]{43}(?=\.)/g) ?? []]
      const others = Object.entries(response.headers).filter(([header]) => !ours.includes(header))
      const rest = JSON.stringify([response.statusMessage, others, response.body])
      for (const secret of [...ids, ...ids.map(hash), token]) t.notOk(rest.includes(secret), `${name}: ${act}`)
      t.notOk(sent.includes(hash(id)), 'the whole key is not told either')
    }
  }
})

t.test('both ways at once: a token that came by both goes back by the header, and two mean none', async t => {
  const app = await setApp(t, { session: { header: 'x-session', cookie: {}, secrets: NEW } })
  const make = async (): Promise<string> => (await app.sessions.create({ userId: 'ann' })).token ?? ''
  const ask = async (act: string, header: string, cookie: string) =>
    await app.inject({ url: `/shop/${act}`, headers: { ...bring('header', header), ...bring('cookie', cookie) } })
  const token = await make()
  t.same(carried(await ask('save', token, token)), ['x-session-v'])
  t.same(carried(await ask('renew', token, token)), ['x-session', 'x-session-v'])
  const other = await make()
  const cleared = await ask('clear', other, other)
  t.same([carried(cleared), cleared.headers['x-session']], [['x-session'], ''], 'the cookie is not ours to clear then')
  const [one, two] = [await make(), await make()]
  const planted = await ask('read', one, two)
  t.same([planted.body, carried(planted), planted.headers['vary']], ['hello stranger', [], 'Cookie, x-session'])
})

/** A response as a cache keeps it, with the values of the request's headers that it varies by. */
interface Kept { readonly response: LightMyRequestResponse, readonly fields: ReadonlyMap<string, string> }

/** What a cache looks at; a test of the simulation takes some of it away. */
type Look = (response: LightMyRequestResponse) => { readonly control: string, readonly vary: string }

const asSent: Look = ({ headers }) => ({ control: String(headers['cache-control'] ?? ''), vary: String(headers['vary'] ?? '') })

/**
 * A shared cache that keeps all that RFC 9111 lets it keep (section 3; heuristic freshness for what says nothing, 4.2.2), and
 * serves it to whoever asks with the same values of the headers that Vary names (4.1). Nothing in it becomes stale.
 */
class SharedCache {
  hits = 0
  readonly #app: FastifyInstance
  readonly #look: Look
  readonly #kept = new Map<string, Kept[]>()

  constructor (app: FastifyInstance, look: Look = asSent) {
    this.#app = app
    this.#look = look
  }

  async get (url: string, headers: Readonly<Record<string, string>>): Promise<LightMyRequestResponse> {
    const kept = (this.#kept.get(url) ?? []).find(({ fields }) => [...fields].every(([name, value]) => (headers[name] ?? '') === value))
    if (kept !== undefined) {
      this.hits += 1
      return kept.response
    }
    const response = await this.#app.inject({ url, headers: { ...headers } })
    this.#keep(url, headers, response)
    return response
  }

  #keep (url: string, headers: Readonly<Record<string, string>>, response: LightMyRequestResponse): void {
    const { control, vary } = this.#look(response)
    const directives = control.toLowerCase().split(',').map(part => part.trim())
    if (directives.some(it => it === 'no-store' || it === 'private' || it === 'no-cache')) return
    const isFresh = directives.some(it => it === 'public' || /^(s-maxage|max-age)=/.test(it))
    // Statuses that may be kept though they say nothing (RFC 9110, 15.1), and others that say so.
    if (![200, 204, 300, 301, 308, 404, 405, 410, 414, 501].includes(response.statusCode) && !isFresh) return
    const names = vary.toLowerCase().split(',').map(part => part.trim()).filter(part => part !== '')
    if (names.includes('*')) return
    const fields = new Map(names.map(name => [name, headers[name] ?? '']))
    this.#kept.set(url, [...this.#kept.get(url) ?? [], { response, fields }])
  }
}

type Who = 'ann' | 'bob'

/** Two visitors behind one cache, by turns on the same pages. Tells what of the one came to the other. */
async function walk (t: Test, by: By, options: Partial<DynamoSessionOptions>, look?: Look) {
  const repository = memoryRepository()
  const old = await setApp(t, { repository, session: { ...options, secrets: OLD } })
  const app = await setApp(t, { repository, session: { ...options, secrets: [NEW, OLD] } })
  const leaks: string[] = []
  let hits = 0

  /** The visitors ask for the pages, each of them first by the one and then by the other. */
  const visit = async (pages: readonly string[], said: string | undefined, tokens: Map<Who, string>): Promise<void> => {
    const cache = new SharedCache(app, look)
    for (const page of pages) {
      const url = `/shop/${page}?${said === undefined ? '' : `says=${encodeURIComponent(said)}`}`
      for (const who of ['ann', 'bob', 'ann'] as const) {
        const token = tokens.get(who)
        // A stranger who is answered by header is one whose header is no token.
        const stranger = by === 'header' ? { 'x-session': 'none' } : {}
        const response = await cache.get(url, { 'x-who': who, ...token === undefined ? stranger : bring(by, token) })
        const other = who === 'ann' ? 'bob' : 'ann'
        if (response.body.includes(other)) leaks.push(`${who} saw the page of ${other}: ${url}`)
        const sent = by === 'cookie' ? /__Host-id=([^;]+)/.exec(setCookies(response).join())?.[1] : response.headers['x-session']
        if (sent === undefined || sent === '') continue
        const received = decodeURIComponent(String(sent))
        if (received === tokens.get(other)) leaks.push(`${who} got the token of ${other}: ${url}`)
        tokens.set(who, received)
      }
    }
    hits += cache.hits
  }

  for (const [said] of SAID) {
    const known = async (from: FastifyInstance) => new Map(await Promise.all((['ann', 'bob'] as const).map(async userId =>
      [userId, (await from.sessions.create({ userId })).token ?? ''] as const)))
    await visit(['nothing', 'read', 'create', 'read', 'clear'], said, new Map())
    await visit(['read', 'save', 'renew', 'read', 'fail', 'clear', 'read'], said, await known(app))
    await visit(['read', 'nothing', 'clear'], said, await known(old))
  }
  return { leaks, hits }
}

for (const [name, { options, by }] of Object.entries(WAYS)) {
  t.test(`behind a shared cache that keeps all it may, nobody gets the token or the page of another: ${name}`, async t => {
    const { leaks, hits } = await walk(t, by, options)
    t.same(leaks, [])
    t.ok(hits > 0, `the cache answered ${hits} times`)
    const blind = await walk(t, by, options, response => ({ ...asSent(response), vary: '' }))
    t.not(blind.leaks.length, 0, 'without Vary, pages would get to others')
    const careless = await walk(t, by, options, response => ({ ...asSent(response), control: 'public' }))
    t.not(careless.leaks.length, 0, 'without Cache-Control, tokens would')
    t.match(careless.leaks.join('\n'), /got the token/)
  })
}

t.test('a reply that is changed after us keeps nothing of ours from caches but what it takes out itself', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(dynamoSession, { table: 'sessions', client: memoryRepository() })
  app.addHook('onSend', async (_request: FastifyRequest, reply: FastifyReply) => {
    reply.header('vary', `${String(reply.getHeader('vary'))}, Origin`)
  })
  app.get('/', async request => {
    request.session.set('count', 1)
    return 'x'
  })
  const response = await app.inject('/')
  t.same([response.headers['vary'], response.headers['cache-control']], ['Cookie, Origin', 'no-store'])
})

/** An application whose every error page is meant for everybody, and a repository that may fail. */
async function setErrorPages (t: Test): Promise<{ app: FastifyInstance, repository: Repository }> {
  const repository = memoryRepository()
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  app.setErrorHandler<Error & { statusCode?: number }>(async (error, _request, reply) => {
    return await reply.code(error.statusCode ?? 500).header('cache-control', 'public, max-age=60').header('vary', 'Accept').send('an error page')
  })
  await app.register(dynamoSession, { table: 'sessions', client: repository })
  return { app, repository }
}

t.test('a page of an error handler that is meant for everybody is kept from caches where it carries a token after all', async t => {
  const { app, repository } = await setErrorPages(t)
  app.get('/unsupported', async ({ session }) => {
    session.set('any:list', [])
    await session.save()
    ;(session.get('any:list') as unknown[]).push(() => {})
    return 'done'
  })
  app.get('/unavailable', async ({ session }) => {
    session.set('userId', 'ann')
    await session.save()
    session.set('count', 1)
    repository.save = async () => { throw new errors.Unavailable() }
    return 'done'
  })
  app.get('/thrown-after', {
    onSend: async (_request, reply) => { if (reply.statusCode === 200) throw new Error('a hook that comes later') }
  }, async ({ session }) => {
    session.set('userId', 'ann')
    return 'done'
  })
  app.get('/stranger', async () => { throw new Error('no session in it') })
  for (const [url, status] of [['/unsupported', 500], ['/unavailable', 503], ['/thrown-after', 500]] as const) {
    const { statusCode, headers, body } = await app.inject(url)
    t.same([statusCode, body], [status, 'an error page'], url)
    t.match(String(headers['set-cookie']), /^__Host-id=[\w-]{43};/, 'the session is alive, and so is its token')
    t.equal(headers['cache-control'], 'no-store', url)
    t.equal(headers.vary, 'Accept, Cookie', url)
  }
  const { headers } = await app.inject('/stranger')
  t.same([headers['cache-control'], headers.vary], ['public, max-age=60', 'Accept'], 'what carries none is the application\'s')
})

t.test('a failure that carries a token is kept from caches, though the handler said so only of the answer that is not sent', async t => {
  const app = await setApp(t, {})
  app.get('/shop/fail-late', async ({ session }, reply) => {
    reply.header('cache-control', 'private')
    session.set('any:list', [])
    await session.save()
    ;(session.get('any:list') as unknown[]).push(() => {})
    return 'done'
  })
  const { statusCode, headers } = await app.inject('/shop/fail-late')
  t.equal(statusCode, 500)
  t.match(String(headers['set-cookie']), /^__Host-id=/)
  t.equal(headers['cache-control'], 'no-store')
})
