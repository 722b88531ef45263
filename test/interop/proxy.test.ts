import { once } from 'node:events'
import { request as sendPlain, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { connect } from 'node:http2'
import { request as sendSecure } from 'node:https'
import { text } from 'node:stream/consumers'
import websocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { CookieJar } from 'tough-cookie'
import { WebSocket } from 'ws'
import dynamoSession, { type DynamoSessionOptions } from '../../index.js'
import { addRoutes, setStage, type Stage } from '../support/app.js'
import { clientConfig, freePort, startDynalite, type Engine } from '../support/engines.js'
import { CACHE, findNginx, FORWARD, startNginx, unlessNginx, type Nginx } from '../support/nginx.js'
import { testVisit } from '../support/relied.js'
import '../support/session-data.js'

const binary = findNginx()
const behind = unlessNginx(binary)

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

t.test('without nginx the tests behind it are left out, which a build server does not pass over', async t => {
  const nowhere = '/nowhere/nginx'
  t.equal(findNginx({}, nowhere), undefined)
  t.equal(findNginx({}, process.execPath), process.execPath)
  t.throws(() => findNginx({ CI: 'true' }, nowhere), { message: '/nowhere/nginx is missing: apt-get install -y nginx-light' })
  t.match(unlessNginx(undefined).skip, 'NGINX IS MISSING')
  t.equal(unlessNginx(nowhere).skip, false)
})

interface Seen {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface Visit {
  readonly method?: 'GET' | 'POST'
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
}

/** A browser at shop.example, which it finds on this machine: keeps its cookies as RFC 6265bis says, and Secure ones only from HTTPS. */
class Browser {
  readonly #jar = new CookieJar(undefined, { prefixSecurity: 'strict', enforceSecureOriginOnStorage: true })
  readonly #origin: string
  readonly #ca: string

  constructor (origin: string, { cert }: Nginx) {
    this.#origin = origin
    this.#ca = cert
  }

  async visit (path: string, { method = 'GET', body, headers = {} }: Visit = {}): Promise<Seen> {
    const cookie = this.cookies()
    const text = body === undefined ? undefined : JSON.stringify(body)
    const options = {
      method,
      agent: false as const,
      ca: this.#ca,
      // The certificate is for the address.
      servername: '',
      headers: { host: 'shop.example', ...text !== undefined && { 'content-type': 'application/json' }, ...cookie !== '' && { cookie }, ...headers }
    }
    const request = this.#origin.startsWith('https') ? sendSecure(this.#origin + path, options) : sendPlain(this.#origin + path, options)
    request.end(text)
    const [response] = await once(request, 'response') as [IncomingMessage]
    for (const text of response.headers['set-cookie'] ?? []) {
      // As browsers do with what they do not accept: nothing.
      await this.#jar.setCookie(text, this.#site).catch(() => {})
    }
    return await seenIn(response)
  }

  cookies (): string { return this.#jar.getCookieStringSync(this.#site) }

  names (): string[] { return this.#jar.getCookiesSync(this.#site).map(({ key }) => key).sort() }

  get #site (): string { return this.#origin.replace('127.0.0.1', 'shop.example') }
}

async function seenIn (response: IncomingMessage): Promise<Seen> {
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
}

interface Parts {
  readonly trustProxy?: FastifyServerOptions['trustProxy']
  readonly session?: Partial<DynamoSessionOptions>
  readonly directives?: readonly string[]
  /** Adds hooks and routes after the plugin. */
  readonly hooks?: (app: FastifyInstance) => void
  /** Adds plugins before it. */
  readonly before?: (app: FastifyInstance) => Promise<void>
  /** Those of other places than `/` and `/kept/`. */
  readonly locations?: Readonly<Record<string, readonly string[]>>
}

interface ProxyStage extends Stage {
  readonly nginx: Nginx
  readonly port: number
  browser (scheme?: 'http' | 'https'): Browser
}

const TRUSTED = '127.0.0.1'

const UPGRADE = ['proxy_http_version 1.1', 'proxy_set_header Upgrade $http_upgrade', 'proxy_set_header Connection "upgrade"']

async function setProxy (t: Test, { trustProxy = TRUSTED, session = {}, directives = FORWARD, hooks, before, locations }: Parts = {}): Promise<ProxyStage> {
  const stage = await setStage(t, engine, {
    session,
    fastify: { trustProxy },
    ...before !== undefined && { before },
    routes: app => {
      hooks?.(app)
      app.get('/seen', async ({ protocol, host, ip }) => ({ protocol, host, ip }))
      app.get('/hello', async ({ session }) => `hello ${session.get('userId') ?? 'stranger'}`)
      app.get('/begin', async ({ session }) => {
        session.set('count', 1)
        return 'begun'
      })
      app.get('/own', async ({ session }, reply) => await reply.header('cache-control', 'private').send(`hello ${session.get('userId') ?? 'stranger'}`))
      addRoutes(app)
    }
  })
  const { port } = new URL(await stage.app.listen({ port: 0, host: '127.0.0.1' }))
  const nginx = await startNginx(t, binary ?? '', [Number(port)], {
    '/': directives,
    // As some are told to do who wonder why nothing is kept: nginx itself keeps no answer that sets a cookie.
    '/kept/': [...directives, ...CACHE, 'proxy_ignore_headers Set-Cookie'],
    ...locations
  })
  return Object.assign(stage, { nginx, port: Number(port), browser: (scheme: 'http' | 'https' = 'https') => new Browser(nginx[scheme], nginx) })
}

function hints ({ log }: Stage): boolean[] {
  return log.warnings().map(text => text.includes('trustProxy') && text.includes('plain HTTP'))
}

t.test('a proxy that ends TLS', behind, async t => {
  await t.test('a session under a __Host- name, the protocol, the host and the address of the visitor', async t => {
    const visit = async (t: Test, without: Parts = {}): Promise<unknown> => {
      const stage = await setProxy(t, without)
      const browser = stage.browser()
      const answers = [await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } }), await browser.visit('/set', { method: 'POST', body: { userId: 'bob' } })]
      const { body } = await browser.visit('/hello')
      const seen = JSON.parse((await browser.visit('/seen')).body)
      return { statuses: answers.map(({ status }) => status), names: browser.names(), body, seen, hints: hints(stage) }
    }
    const seen = { protocol: 'https', host: 'shop.example', ip: '127.0.0.1' }
    const well = { statuses: [200, 200], names: ['__Host-id', '__Host-id-v'], body: 'hello bob', seen, hints: [] }
    await testVisit(t, visit, well, {
      // The session works all the same, and the log says once what to do.
      trustProxy: [{ trustProxy: false }, { ...well, seen: { ...seen, protocol: 'http' }, hints: [true] }],
      'X-Forwarded-Proto': [{ directives: FORWARD.filter(line => !line.includes('-Proto')) }, { ...well, seen: { ...seen, protocol: 'http' }, hints: [true] }],
      'the name of its host': [{ directives: FORWARD.filter(line => !line.includes('Host')) }, { ...well, seen: { ...seen, host: 'application' } }]
    })
  })

  await t.test('secure "auto" follows what it tells', async t => {
    const visit = async (t: Test, trustProxy: Parts['trustProxy'] = TRUSTED): Promise<unknown> => {
      const stage = await setProxy(t, { trustProxy, session: { cookie: { secure: 'auto' } } })
      const found: unknown[] = []
      for (const scheme of ['https', 'http'] as const) {
        const browser = stage.browser(scheme)
        const { headers } = await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } })
        found.push([headers['set-cookie']?.every(text => text.includes('; Secure;')), browser.names(), (await browser.visit('/hello')).body])
      }
      return [...found, hints(stage)]
    }
    const http = [false, ['id', 'id-v'], 'hello ann']
    await testVisit(t, visit, [[true, ['id', 'id-v'], 'hello ann'], http, []], { trustProxy: [false, [http, http, []]] })
  })

  await t.test('over its plain HTTP a browser drops the Secure cookie, and the log says so, also with trustProxy', async t => {
    const visit = async (t: Test, scheme: 'http' | 'https' = 'http'): Promise<unknown> => {
      const stage = await setProxy(t)
      const browser = stage.browser(scheme)
      await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } })
      return [browser.names(), (await browser.visit('/hello')).body, hints(stage)]
    }
    await testVisit(t, visit, [[], 'hello stranger', [true]], { 'plain HTTP': ['https', [['__Host-id', '__Host-id-v'], 'hello ann', []]] })
  })

  await t.test('what a visitor says of the protocol counts neither through it nor past it', async t => {
    const visit = async (t: Test, trustProxy: Parts['trustProxy'] = TRUSTED): Promise<unknown> => {
      const stage = await setProxy(t, { trustProxy })
      const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example' }
      const through = await stage.browser('http').visit('/seen', { headers })
      const request = sendPlain(`http://127.0.0.1:${stage.port}/seen`, { headers, localAddress: '127.0.0.2', agent: false }).end()
      const past = await seenIn((await once(request, 'response') as [IncomingMessage])[0])
      return [through, past].map(({ body }) => {
        const { protocol, host } = JSON.parse(body)
        return [protocol, host === 'evil.example']
      })
    }
    await testVisit(t, visit, [['http', false], ['http', false]], { 'the address of the proxy': [true, [['http', false], ['https', true]]] })
  })

  await t.test('over HTTP/2, as browsers come, with the cookies in a field each', async t => {
    const stage = await setProxy(t)
    const browser = stage.browser()
    await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } })
    const client = connect(stage.nginx.https, { ca: stage.nginx.cert })
    t.teardown(() => { client.destroy() })
    const ask = async (cookie: string[]): Promise<string> => await text(client.request({ ':path': '/hello', cookie }))
    const pairs = browser.cookies().split('; ')
    t.same([await ask(['theme=dark', ...pairs]), await ask(['theme=dark', ...pairs.filter(pair => !pair.startsWith('__Host-id='))])], ['hello ann', 'hello stranger'])
  })

  await t.test('a web socket through it has the session, and saves', async t => {
    const visit = async (t: Test, upgrade: readonly string[] = UPGRADE): Promise<unknown> => {
      const stage = await setProxy(t, {
        before: async app => { await app.register(websocket) },
        directives: [...FORWARD, ...upgrade],
        hooks: app => {
          app.register(async app => {
            app.get('/socket', { websocket: true }, (socket, { session }) => {
              session.update('count', count => (count ?? 0) + 1).then(count => { socket.send(`${session.get('userId')} ${count}`) }, () => { socket.terminate() })
            })
          })
        }
      })
      const browser = stage.browser()
      await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } })
      const url = `${stage.nginx.https.replace('https', 'wss')}/socket`
      const socket = new WebSocket(url, { ca: stage.nginx.cert, headers: { cookie: browser.cookies() } })
      t.teardown(() => { socket.terminate() })
      socket.on('error', () => {})
      return await Promise.race([
        once(socket, 'message').then(([message]) => String(message)),
        once(socket, 'unexpected-response').then(([, { statusCode }]) => statusCode as number)
      ])
    }
    await testVisit(t, visit, 'ann 1', { 'its headers of an upgrade': [[], 404] })
  })

  await t.test('that asks the application first (auth_request): a session is read and renewed, and what that answer sets is dropped', async t => {
    const visit = async (t: Test, idleTracking: 'cookie' | 'table' = 'table'): Promise<unknown> => {
      const session = { idleTracking, secrets: 'a secret of more than thirty-two characters', idleTimeout: 1000 } as const
      const stage = await setProxy(t, {
        session,
        hooks: app => {
          app.get('/asked', async ({ session }, reply) => await reply.code(session.has('userId') ? 204 : 401).send())
        },
        locations: { '/guarded/': ['auth_request /asked'] }
      })
      const [ann, stranger] = [stage.browser(), stage.browser()]
      await ann.visit('/set', { method: 'POST', body: { userId: 'ann' } })
      const statuses = [(await stranger.visit('/guarded/off')).status]
      for (let visit = 0; visit < 3; visit++) {
        stage.clock.forward(600)
        statuses.push((await ann.visit('/guarded/off')).status)
      }
      // The process that answered remembers what it has told.
      const other = Fastify()
      t.teardown(async () => { await other.close() })
      await other.register(dynamoSession, { ...session, table: stage.table, client: clientConfig(stage.proxy.endpoint), now: stage.clock.now, verify: false })
      other.get('/hello', async ({ session }) => `hello ${session.get('userId') ?? 'stranger'}`)
      return [...statuses, (await other.inject({ url: '/hello', headers: { cookie: ann.cookies() } })).body]
    }
    await testVisit(t, visit, [401, 200, 200, 200, 'hello ann'], { "idleTracking: 'table'": ['cookie', [401, 200, 200, 200, 'hello stranger']] })
  })

  await t.test('what the plugin adds to a request and an answer is small beside its limits', async t => {
    const stage = await setProxy(t, {
      session: { secrets: 'a secret of more than thirty-two characters', idleTracking: 'cookie' },
      // The head of an answer fits into a quarter of what it has by default.
      directives: [...FORWARD, 'proxy_buffer_size 1k', 'proxy_buffers 4 1k', 'proxy_busy_buffers_size 2k']
    })
    const browser = stage.browser()
    t.equal((await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } })).status, 200)
    const own = browser.cookies()
    t.ok(own.length < 300, `${own.length} bytes`)
    // The cookies of a shop with much tracking: by default a line may have 8 KB.
    const others = Array.from({ length: 40 }, (_, index) => `tracker${index}=${'x'.repeat(170)}`).join('; ')
    t.equal((await browser.visit('/hello', { headers: { cookie: `${others}; ${own}` } })).body, 'hello ann')
    const exceeding = await browser.visit('/hello', { headers: { cookie: `${others}; ${others}; ${own}` } })
    t.same([exceeding.status, exceeding.headers['set-cookie']], [400, undefined], 'the proxy refuses, and the session is as it was')
    t.equal((await browser.visit('/hello')).body, 'hello ann')
  })
})

/** Takes a header from the answers, as a hook of an application may. */
function withoutHeader (name: string): (app: FastifyInstance) => void {
  return app => {
    app.addHook('onSend', async (_request, reply, payload) => {
      reply.removeHeader(name)
      return payload
    })
  }
}

t.test('a proxy that keeps answers', behind, async t => {
  await t.test('never keeps one with a token, also where it ignores that it sets cookies', async t => {
    const visit = async (t: Test, hooks?: Parts['hooks']): Promise<unknown> => {
      const stage = await setProxy(t, hooks === undefined ? {} : { hooks })
      const browsers = [stage.browser(), stage.browser(), stage.browser()]
      const answers = []
      for (const browser of browsers) answers.push(await browser.visit('/kept/begin'))
      return { cache: answers.map(({ headers }) => headers['x-cache']), tokens: new Set(browsers.map(browser => browser.cookies())).size, sessions: (await stage.items()).length }
    }
    await testVisit(t, visit, { cache: ['MISS', 'MISS', 'MISS'], tokens: 3, sessions: 3 }, {
      // One session, and three visitors who are in it.
      'Cache-Control': [withoutHeader('cache-control'), { cache: ['MISS', 'HIT', 'HIT'], tokens: 1, sessions: 1 }]
    })
  })

  await t.test('does not share what was made of a session, and shares what was not', async t => {
    const visit = async (t: Test, hooks?: Parts['hooks']): Promise<unknown> => {
      const stage = await setProxy(t, hooks === undefined ? {} : { hooks })
      const [ann, bob, stranger, other] = [stage.browser(), stage.browser(), stage.browser(), stage.browser()]
      await ann.visit('/set', { method: 'POST', body: { userId: 'ann' } })
      await bob.visit('/set', { method: 'POST', body: { userId: 'bob' } })
      const pages: string[] = []
      for (const browser of [ann, bob, ann, stranger, other]) {
        const { body, headers } = await browser.visit('/kept/hello')
        pages.push(`${body}: ${headers['x-cache']}`)
      }
      return pages
    }
    await testVisit(t, visit, ['hello ann: MISS', 'hello bob: MISS', 'hello ann: HIT', 'hello stranger: MISS', 'hello stranger: HIT'], {
      Vary: [withoutHeader('vary'), ['hello ann: MISS', 'hello ann: HIT', 'hello ann: HIT', 'hello ann: HIT', 'hello ann: HIT']]
    })
  })

  await t.test('shares a page without a session among all, and keeps none that says that it is private', async t => {
    const stage = await setProxy(t)
    const browsers = [stage.browser(), stage.browser(), stage.browser()]
    for (const [index, browser] of browsers.entries()) await browser.visit('/set', { method: 'POST', body: { userId: `u-${index}` } })
    stage.proxy.take()
    const cache = async (path: string): Promise<unknown[]> => {
      const found = []
      for (const browser of browsers) found.push((await browser.visit(path)).headers['x-cache'])
      return [...found, stage.proxy.take().length]
    }
    t.same(await cache('/kept/off'), ['MISS', 'HIT', 'HIT', 0], 'with session: false')
    t.same(await cache('/kept/nothing'), ['MISS', 'MISS', 'MISS', 3], 'a token came, though nobody looked at it')
    t.same([await cache('/kept/own'), await cache('/kept/own')], [['MISS', 'MISS', 'MISS', 3], ['MISS', 'MISS', 'MISS', 3]])
  })

  await t.test('after a log-out shows its visitor nothing that was kept', async t => {
    const stage = await setProxy(t)
    const ann = stage.browser()
    await ann.visit('/set', { method: 'POST', body: { userId: 'ann' } })
    t.equal((await ann.visit('/kept/hello')).body, 'hello ann')
    await ann.visit('/logout', { method: 'POST' })
    t.same([(await ann.visit('/kept/hello')).body, ann.cookies().includes('__Host-id=')], ['hello stranger', false])
  })
})

t.test('an application that fails behind it', behind, async t => {
  await t.test('a visitor is served by the next one, and keeps the session where none answers', async t => {
    const stage = await setProxy(t)
    const dead = await freePort()
    const visit = async (t: Test, ports: readonly number[] = [dead, stage.port]): Promise<unknown> => {
      const nginx = await startNginx(t, binary ?? '', ports, { '/': FORWARD })
      const browser = new Browser(nginx.https, nginx)
      // Its cookies are those of the host, by whichever proxy it comes.
      const login = await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } })
      return [login.status, (await browser.visit('/hello')).body.slice(0, 9), browser.names()]
    }
    await testVisit(t, visit, [200, 'hello ann', ['__Host-id', '__Host-id-v']], { 'one that answers': [[dead], [502, '<html>\r\n<', []]] })
  })

  await t.test('a restart and an outage of the table take nothing from the browser', async t => {
    const stage = await setProxy(t)
    const browser = stage.browser()
    await browser.visit('/set', { method: 'POST', body: { userId: 'ann' } })
    const before = browser.cookies()
    stage.proxy.intercept = () => ({ status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException' } })
    const outage = await browser.visit('/hello', { headers: { 'sec-fetch-mode': 'navigate' } })
    t.same([outage.status, outage.headers['retry-after'], outage.headers['set-cookie'], browser.cookies() === before], [503, '1', undefined, true])
    stage.proxy.intercept = () => undefined
    t.equal((await browser.visit('/hello')).body, 'hello ann')
    await stage.app.close()
    const down = await browser.visit('/hello')
    t.same([down.status, down.headers['set-cookie'], browser.cookies() === before], [502, undefined, true])
  })
})
