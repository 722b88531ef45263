import { createHash } from 'node:crypto'
import t from 'tap'
import fastifyCookie from '@fastify/cookie'
import { setTimeout as sleep } from 'node:timers/promises'
import { addRoutes, setStage } from '../support/app.js'
import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb'
import { SessionManager } from '../../index.js'
import { clientConfig, createTable, onDynamoDBLocal, onEachEngine } from '../support/engines.js'
import { setCookieNames, setCookies } from '../support/visitor.js'

const SECRET = 'a secret that is long enough to sign with'

onEachEngine(t, async (t, engine) => {
  await t.test('a visitor logs in, reads and changes typed data, and logs out', async t => {
    const { visitor, items, item } = await setStage(t, engine, { session: { secrets: SECRET } })
    const ann = visitor()
    await ann.post('/set', { cart: ['apple'] })
    const before = ann.cookie('__Host-id')
    await ann.post('/login')
    t.not(ann.cookie('__Host-id'), before, 'a planted token is worthless')
    t.same((await ann.get('/me')).json().data, { userId: 'u-42' }, 'and so is what was stored under it')
    await ann.post('/set', { cart: ['apple'], profile: { name: 'Ann', tags: [] } })
    await ann.post('/push')
    const { data, id, version } = (await ann.get('/me')).json()
    t.same(data, { userId: 'u-42', cart: ['apple', 'pear'], profile: { name: 'Ann', tags: [] } })
    t.equal(version, 3)
    const old = (await items()).find(stored => stored['next'] !== undefined)
    t.match(await item(old?.['next']?.S ?? ''), { data: { M: { userId: { S: '"u-42"' }, cart: { S: '["apple","pear"]' } } } })
    t.notOk(JSON.stringify(await items()).includes(id), 'no id is stored')
    await ann.post('/logout')
    t.same((await ann.get('/me')).json(), { data: {} })
  })

  await t.test('a record holds what design.md says and nothing else', async t => {
    const { visitor, items, clock } = await setStage(t, engine)
    const ann = visitor()
    const { id } = (await ann.post('/set', { count: 1 })).json()
    const [stored] = await items()
    t.same(Object.keys(stored ?? {}).sort(), ['created', 'data', 'expires', 'id', 'seen', 'ver', 'w'])
    const now = String(clock.seconds)
    t.match(stored, { ver: { N: '1' }, created: { N: now }, seen: { N: now }, expires: { N: String(clock.seconds + 7200) }, data: { M: { count: { S: '1' } } } })
    t.match(stored?.['id']?.S, /^[\w-]{43}$/)
    t.not(stored?.['id']?.S, id)
    t.equal(Object.values(stored?.['w']?.M ?? {}).length, 1)
    clock.forward(120)
    await ann.post('/set', { count: 2 })
    const [later] = await items()
    t.equal(Object.values(later?.['w']?.M ?? {}).length, 1, 'write tokens of the last minute only')
    t.match(later, { ver: { N: '2' }, created: { N: now }, seen: { N: String(clock.seconds) }, expires: { N: String(clock.seconds + 7200) } })
  })

  await t.test('a session is dead at its expiry and alive one second before, whichever timeout it is', async t => {
    for (const session of [{ idleTimeout: 100, reissueTime: 99 }, { absoluteTimeout: 100, idleTimeout: 90, reissueTime: 50 }]) {
      const { visitor, clock, items } = await setStage(t, engine, { session })
      const ann = visitor()
      await ann.post('/set', { count: 1 })
      if (session.absoluteTimeout !== undefined) {
        clock.forward(60)
        t.same((await ann.get('/me')).json().data, { count: 1 })
        clock.forward(39)
      } else {
        clock.forward(98)
      }
      t.same((await ann.get('/me')).json().data, { count: 1 })
      clock.forward(session.absoluteTimeout !== undefined ? 1 : 100)
      t.same((await ann.get('/me')).json(), { data: {} })
      t.equal((await items()).length, 1, 'although the record is still there')
    }
  })

  await t.test('constant use prolongs a session up to its absolute timeout and no further', async t => {
    const { visitor, clock, items } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    const end = clock.seconds + 43_200
    for (let hour = 1; hour < 12; hour++) {
      clock.forward(3600)
      t.same((await ann.get('/me')).json().data, { count: 1 }, `hour ${hour}`)
      t.ok(Number((await items())[0]?.['expires']?.N) <= end)
    }
    clock.forward(3599)
    t.same((await ann.get('/me')).json().data, { count: 1 })
    clock.forward(1)
    t.same((await ann.get('/me')).json(), { data: {} })
  })

  await t.test('a session has timeouts of its own where it sets them', async t => {
    const { visitor, clock, items } = await setStage(t, engine, {
      routes: app => {
        addRoutes(app)
        app.post('/short', async request => {
          request.session.set('count', 1)
          request.session.idleTimeout = 60
          request.session.absoluteTimeout = false
          return { idle: request.session.idleTimeout }
        })
      }
    })
    const ann = visitor()
    await ann.post('/short')
    t.match((await items())[0], { idle: { N: '60' }, absolute: { N: '0' }, expires: { N: String(clock.seconds + 60) } })
    for (let use = 0; use < 5; use++) {
      clock.forward(50)
      t.same((await ann.get('/me')).json().data, { count: 1 }, 'a session in use lives, though its timeout is shorter than the reissue time')
    }
    clock.forward(59)
    t.same((await ann.get('/me')).json().data, { count: 1 })
    clock.forward(60)
    t.same((await ann.get('/me')).json(), { data: {} })
  })

  await t.test('a visitor who just wrote sees what they wrote, though reads lag behind', async t => {
    const { visitor, proxy, clock } = await setStage(t, engine)
    proxy.staleReads = true
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    proxy.take()
    t.same((await ann.get('/me')).json().data, { count: 1 })
    t.same(proxy.takeCalls().map(call => call.input['ConsistentRead']), [false, true], 'one more read, because the first was stale')
    await ann.post('/set', { count: 2 })
    proxy.take()
    t.same((await ann.get('/me')).json().data, { count: 2 })
    t.same(proxy.take().length, 2)
    proxy.staleReads = false
    t.same((await ann.get('/me')).json().data, { count: 2 })
    t.same(proxy.take().length, 1, 'and none more where it was not')
    t.same(ann.cookieNames(), ['__Host-id', '__Host-id-v'])
    clock.forward(10)
    t.same(ann.cookieNames(), ['__Host-id'], 'ten seconds later no companion is left')
  })

  await t.test('a forged companion costs one more read and nothing else; another session\'s is ignored', async t => {
    const { visitor, proxy, app } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    const token = `__Host-id=${ann.cookie('__Host-id')}`
    const naming = ann.cookie('__Host-id-v')?.slice(0, 8)
    for (const [companion, reads] of [
      [`${naming}.999999999999999`, 2], [`${naming}.1`, 1], ['AAAAAAAA.99', 1], [`${naming}.0`, 1], [`${naming}.1e9`, 1], [`${naming}.`, 1], ['%', 1], [`${naming}.${'9'.repeat(5000)}`, 1]
    ] as const) {
      proxy.take()
      const response = await app.inject({ url: '/me', headers: { cookie: `${token}; __Host-id-v=${companion}` } })
      t.same(response.json().data, { count: 1 })
      t.equal(proxy.take().length, reads, companion.slice(0, 30))
    }
  })

  await t.test('with consistentRead every read is strong, and there is no companion', async t => {
    const { visitor, proxy } = await setStage(t, engine, { session: { consistentRead: true } })
    const ann = visitor()
    t.same(setCookieNames(await ann.post('/set', { count: 1 })), ['__Host-id'])
    proxy.take()
    await ann.get('/me')
    t.same(proxy.takeCalls().map(call => [call.input['ConsistentRead'], call.capacity]), [[true, 1]])
  })

  await t.test('secrets are rotated without logging anybody out', async t => {
    const before = await setStage(t, engine, { session: { secrets: 'the old secret, long enough as well' } })
    const ann = before.visitor()
    const { id } = (await ann.post('/login')).json()
    const oldToken = ann.cookie('__Host-id') ?? ''

    const during = await setStage(t, engine, { session: { table: before.table, secrets: [SECRET, 'the old secret, long enough as well'] } })
    const response = await during.app.inject({ url: '/me', headers: { cookie: `__Host-id=${encodeURIComponent(oldToken)}` } })
    t.equal(response.json().id, id)
    t.same(setCookieNames(response), ['__Host-id'], 'signed anew')
    const newToken = decodeURIComponent(setCookies(response)[0]?.split(/[=;]/)[1] ?? '')
    t.not(newToken, oldToken)
    const again = await during.app.inject({ url: '/me', headers: { cookie: `__Host-id=${encodeURIComponent(newToken)}` } })
    t.same(setCookieNames(again), [], 'once')

    const after = await setStage(t, engine, { session: { table: before.table, secrets: SECRET } })
    for (const [token, expected] of [[oldToken, undefined], [newToken, id]]) {
      const answer = await after.app.inject({ url: '/me', headers: { cookie: `__Host-id=${encodeURIComponent(token ?? '')}` } })
      t.equal(answer.json().id, expected)
    }
    const unsigned = await setStage(t, engine, { session: { table: before.table } })
    t.equal((await unsigned.app.inject({ url: '/me', headers: { cookie: `__Host-id=${encodeURIComponent(newToken)}` } })).json().id, undefined,
      'switching signing off admits no signed token')
  })

  await t.test('malformed tokens cost no call and make an anonymous visitor', async t => {
    const { app, proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    const token = ann.cookie('__Host-id') ?? ''
    proxy.take()
    const twin = token.slice(0, -1) + String.fromCharCode(token.charCodeAt(42) + 1)
    const corpus = [
      '', 'x', token.slice(1), `${token}A`, 'A'.repeat(5000), 'ä'.repeat(43), '%', '%E0%A4%A', '%00'.repeat(43), '"' + token + '"', `${token}.`, token.slice(0, 42) + '=',
      token.slice(0, 42) + '+', '../../../../etc/passwd', '__proto__', 'null', 'undefined', '{"id":1}', ' '.repeat(43), twin === token ? 'x' : twin, '\uD800'.repeat(7)
    ]
    for (const value of corpus) {
      const response = await app.inject({ url: '/me', headers: { cookie: `__Host-id=${value}` } })
      t.equal(response.statusCode, 200, value.slice(0, 20))
      t.same(response.json(), { data: {} })
      t.same(setCookies(response), [])
    }
    for (const header of ['__Host-id', `=${token}`, `=__Host-id=${token}`, `$Version=1; $__Host-id=${token}`, `__host-id=${token}`, `__%48ost-id=${token}`, `\u00a0__Host-id=${token}`, `__Host-id =; a=${token}`]) {
      t.same((await app.inject({ url: '/me', headers: { cookie: header } })).json(), { data: {} }, header.slice(0, 20))
    }
    t.same(proxy.take(), [])
  })

  await t.test('an id is taken from nowhere but the way that is configured', async t => {
    const { app, proxy, visitor } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    const token = ann.cookie('__Host-id') ?? ''
    proxy.take()
    for (const request of [
      { url: `/me?id=${token}&__Host-id=${token}` }, { url: '/me', headers: { authorization: `Bearer ${token}`, 'x-session': token, 'session-id': token } },
      { url: '/me', headers: { cookie: `id=${token}; __Secure-id=${token}` } }
    ]) t.same((await app.inject(request)).json(), { data: {} })
    t.same(proxy.take(), [])
  })

  await t.test('two different tokens in one request mean that one was planted: no session, and nothing is cleared', async t => {
    const { app, proxy, visitor } = await setStage(t, engine)
    const [ann, eve] = [visitor(), visitor()]
    await ann.post('/set', { count: 1 })
    await eve.post('/set', { count: 2 })
    proxy.take()
    const [hers, evil] = [ann.cookie('__Host-id'), eve.cookie('__Host-id')]
    for (const cookie of [`__Host-id=${hers}; __Host-id=${evil}`, `__Host-id=${evil}; a=b; __Host-id=${hers}`]) {
      const response = await app.inject({ url: '/me', headers: { cookie, 'sec-fetch-mode': 'navigate' } })
      t.same(response.json(), { data: {} })
      t.same(setCookies(response), [])
      // What was cleared would be the genuine one, and the planted one would be left.
      t.same(setCookies(await app.inject({ method: 'POST', url: '/logout', headers: { cookie, 'sec-fetch-mode': 'navigate' } })), [], 'nor at a log-out')
    }
    t.same(proxy.take(), [])
    const same = await app.inject({ url: '/me', headers: { cookie: `__Host-id=${hers}; __Host-id=${hers}; __Host-id=garbage` } })
    t.same(same.json().data, { count: 1 }, 'one good token among rubbish counts')
  })

  await t.test('a record that lacks what a session needs is no session, and the log says so', async t => {
    const { visitor, items, put, log } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    const [{ data: _data, ...ghost } = {}] = await items()
    await put(ghost)
    t.same((await ann.get('/me')).json(), { data: {} })
    t.ok(log.warnings().includes('A record lacks what a session needs and counts as absent'))
  })

  await t.test('an unknown id is never adopted', async t => {
    const { visitor, items, log } = await setStage(t, engine)
    const eve = visitor()
    const planted = Buffer.alloc(32, 9).toString('base64url')
    eve.plant('__Host-id', planted)
    const { id } = (await eve.post('/set', { count: 1 })).json()
    t.not(id, planted)
    t.equal((await items()).length, 1)
    t.not(eve.cookie('__Host-id'), planted)
    const [warning] = log.lines.filter(line => line['msg'] === 'Tokens came in for which there is no session')
    t.match(warning, { loggableId: /^[\w-]{43}$/, count: 1 })
    t.notOk(JSON.stringify(log.lines).includes(planted))
  })

  await t.test('a leftover token is cleared by a navigation only', async t => {
    const { visitor, app } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/login')
    const cookie = `__Host-id=${ann.cookie('__Host-id')}`
    const attributes = setCookies(await ann.post('/logout'))[0]
    for (const mode of ['cors', 'no-cors', 'same-origin', undefined]) {
      const response = await app.inject({ url: '/me', headers: { cookie, ...mode !== undefined && { 'sec-fetch-mode': mode } } })
      t.same(setCookies(response), [], mode ?? 'none')
    }
    const navigation = await app.inject({ url: '/me', headers: { cookie, 'sec-fetch-mode': 'navigate' } })
    t.same(setCookies(navigation), [attributes], 'with the attributes of a log-out')
    t.equal(navigation.headers['cache-control'], 'no-store')
  })

  await t.test('the token of a replaced session is never cleared', async t => {
    const { visitor, app } = await setStage(t, engine)
    const ann = visitor()
    await ann.post('/set', { count: 1 })
    const cookie = `__Host-id=${ann.cookie('__Host-id')}`
    await ann.post('/login')
    const response = await app.inject({ url: '/me', headers: { cookie, 'sec-fetch-mode': 'navigate' } })
    t.same(response.json(), { data: {} })
    t.same(setCookies(response), [])
  })

  await t.test('@fastify/cookie may be registered before, after, with any hook, or not at all', async t => {
    for (const hook of ['onRequest', 'preParsing', 'preHandler', false] as const) {
      for (const place of ['before', 'after'] as const) {
        const addCookies = async (app: import('fastify').FastifyInstance) => { await app.register(fastifyCookie, { hook }) }
        const { visitor } = await setStage(t, engine, {
          ...place === 'before' && { before: addCookies },
          routes: async app => {
            if (place === 'after') await addCookies(app)
            app.post('/both', async (request, reply) => {
              request.session.set('count', 1)
              reply.setCookie('theme', 'dark', { path: '/' })
              return {}
            })
            addRoutes(app)
          }
        })
        const ann = visitor()
        const response = await ann.post('/both')
        t.same(setCookieNames(response).sort(), ['__Host-id', '__Host-id-v', 'theme'], `${String(hook)} ${place}`)
        t.same((await ann.get('/me')).json().data, { count: 1 })
      }
    }
  })

  await t.test('by header: the token travels in a header both ways, with its companion, and no cookie', async t => {
    const { app, proxy } = await setStage(t, engine, { session: { header: 'X-Session', secrets: SECRET } })
    const created = await app.inject({ method: 'POST', url: '/set', payload: { count: 1 } })
    const { 'x-session': token, 'x-session-v': companion } = created.headers as Record<string, string>
    t.match(companion, /^[\w-]{8}\.1$/)
    t.same(setCookies(created), [])
    t.same([created.headers['vary'], created.headers['cache-control']], ['x-session', 'no-store'])
    proxy.take()
    const read = await app.inject({ url: '/me', headers: { 'x-session': token, 'x-session-v': companion } })
    t.same(read.json().data, { count: 1 })
    t.same(proxy.take(), ['GetItem'])
    t.equal(read.headers['x-session'], undefined)
    t.same((await app.inject({ url: '/me', headers: { cookie: `__Host-id=${encodeURIComponent(token ?? '')}` } })).json(), { data: {} }, 'a cookie is not configured')
    const login = await app.inject({ method: 'POST', url: '/login', headers: { 'x-session': token } })
    t.not(login.headers['x-session'], token)
    const logout = await app.inject({ method: 'POST', url: '/logout', headers: { 'x-session': String(login.headers['x-session']) } })
    t.equal(logout.headers['x-session'], '', 'an empty header clears')
    const gone = await app.inject({ url: '/me', headers: { 'x-session': String(login.headers['x-session']), 'sec-fetch-mode': 'navigate' } })
    t.same([gone.json(), gone.headers['x-session']], [{ data: {} }, undefined])
  })

  await t.test('by header or cookie: the answer goes the way the request came, and two different tokens mean none', async t => {
    const { app, visitor } = await setStage(t, engine, { session: { header: 'x-session', cookie: {} } })
    const ann = visitor()
    const created = await ann.post('/set', { count: 1 })
    t.same([setCookieNames(created), created.headers['x-session'], created.headers['vary']], [['__Host-id', '__Host-id-v'], undefined, 'Cookie, x-session'])
    const token = ann.cookie('__Host-id') ?? ''
    const byHeader = await app.inject({ method: 'POST', url: '/login', headers: { 'x-session': token } })
    t.same([setCookies(byHeader), typeof byHeader.headers['x-session']], [[], 'string'])
    const other = String(byHeader.headers['x-session'])
    const cookie = `__Host-id=${other}`
    t.same((await app.inject({ url: '/me', headers: { cookie, 'x-session': other } })).json().data, { userId: 'u-42' }, 'the same twice is one')
    for (const header of [token, 'garbage']) {
      t.same((await app.inject({ url: '/me', headers: { cookie, 'x-session': header } })).json(), { data: {} })
    }
  })

  await t.test('native values survive: bytes, sets, big integers, and are queryable', async t => {
    const values = { bytes: Uint8Array.of(1, 2, 3), tags: new Set(['a', 'b']), big: 12345678901234567890n, n: 1.5, nested: { list: [null, true, { x: '' }] } }
    const { visitor, items } = await setStage(t, engine, {
      session: { format: 'native' },
      routes: app => {
        app.post('/set', async request => { for (const [key, value] of Object.entries(values)) request.session.set(`any:${key}`, value) })
        app.get('/get', async request => {
          const data = request.session.data()
          return { same: Object.entries(values).every(([key, value]) => t.same(data[`any:${key}`], value, key)), changed: request.session.isChanged }
        })
      }
    })
    const ann = visitor()
    await ann.post('/set')
    t.same((await ann.get('/get')).json(), { same: true, changed: false })
    t.match((await items())[0], { fmt: { S: 'native' }, data: { M: { 'any:tags': { SS: ['a', 'b'] }, 'any:n': { N: '1.5' } } } })
  })

  await t.test('an own codec writes and reads, and other formats stay readable', async t => {
    const codec = {
      name: 'reversed',
      encode: (value: unknown) => [...JSON.stringify(value)].reverse().join(''),
      decode: (stored: string | Uint8Array) => JSON.parse([...String(stored)].reverse().join('')) as unknown
    }
    const plain = await setStage(t, engine)
    const ann = plain.visitor()
    await ann.post('/set', { count: 12 })
    const own = await setStage(t, engine, { session: { table: plain.table, format: codec } })
    const headers = { cookie: ann.cookieHeader() }
    t.same((await own.app.inject({ url: '/me', headers })).json().data, { count: 12 })
    await own.app.inject({ method: 'POST', url: '/set', headers, payload: { userId: 'u' } })
    t.match((await plain.items())[0], { fmt: undefined, data: { M: { userId: { S: '"u"' } } } }, 'a save keeps the format of its record')
    const bob = own.visitor()
    await bob.post('/set', { count: 34 })
    t.same((await bob.get('/me')).json().data, { count: 34 })
    t.ok((await plain.items()).some(item => item['fmt']?.S === 'reversed' && item['data']?.M?.['count']?.S === '43'))
    const unreadable = await plain.app.inject({ url: '/me', headers: { cookie: bob.cookieHeader() } })
    t.match(unreadable.json(), { statusCode: 500, code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
    t.same(setCookies(unreadable), [])
  })

  await t.test('a table with a binary key and names of its own serves the whole visit', async t => {
    const table = `binary-${engine.name === 'dynalite' ? 1 : 2}-${process.pid}`
    const { app, visitor, proxy } = await setStage(t, engine, {
      session: { table, partitionKey: { name: 'sid', type: 'B' }, ttlAttribute: 'ttl', createTable: true, verify: true }
    })
    const ann = visitor()
    const { id } = (await ann.post('/set', { count: 1 })).json()
    await ann.post('/set', { count: 2 })
    t.same((await ann.get('/me')).json().data, { count: 2 })
    await ann.post('/login')
    t.equal((await app.sessions.load(id)), null)
    t.same((await ann.get('/me')).json().data, { userId: 'u-42' })
    await ann.post('/logout')
    t.same((await ann.get('/me')).json(), { data: {} })
    const [{ input: { Item: item } = { Item: {} } } = {}] = proxy.takeCalls().filter(call => call.action === 'PutItem')
    t.equal(item.sid.B, createHash('sha256').update(id).digest('base64'), 'the hash itself')
    t.match(item, { ttl: { N: /^\d+$/ }, expires: undefined, id: undefined })
  })

  await t.test('a prefix keeps two applications on one table apart', async t => {
    const first = await setStage(t, engine, { session: { keyPrefix: 'shop#' } })
    const ann = first.visitor()
    await ann.post('/set', { count: 1 })
    t.match((await first.items())[0]?.['id']?.S, /^shop#[\w-]{43}$/)
    const second = await setStage(t, engine, { session: { table: first.table, keyPrefix: 'admin#' } })
    t.same((await second.app.inject({ url: '/me', headers: { cookie: ann.cookieHeader() } })).json(), { data: {} }, 'an id of one is none in the other')
    await ann.post('/login')
    const old = (await first.items()).find(item => item['next'] !== undefined)
    t.match(old?.['next']?.S, /^shop#[\w-]{43}$/, 'the successor is named as it is stored')
  })
})

onDynamoDBLocal(t, async (t, engine) => {
  await t.test('a table may be named by its ARN', async t => {
    const table = `arn:aws:dynamodb:eu-central-1:000000000000:table/${await createTable(engine)}`
    const manager = new SessionManager({ table, client: clientConfig(engine.endpoint) })
    t.teardown(() => { manager.close() })
    await manager.verifyTable()
    const session = await manager.create({ count: 1 })
    session.set('count', 2)
    await session.save()
    t.same((await manager.load(session.id ?? ''))?.data(), { count: 2 })
    await manager.destroy(session.id ?? '')
    t.equal(await manager.load(session.id ?? ''), null)
  })

  await t.test('what has expired is swept by TTL', async t => {
    let now = Date.now() - 3600_000
    const manager = new SessionManager({ table: 'swept', client: clientConfig(engine.endpoint), idleTimeout: 60, now: () => now })
    await manager.createTable()
    const dead = await manager.create({ count: 1 })
    now = Date.now()
    const alive = await manager.create({ count: 2 })

    const client = new DynamoDBClient(clientConfig(engine.endpoint))
    const keys = async () => ((await client.send(new ScanCommand({ TableName: 'swept' }))).Items ?? []).map(item => item['id']?.S)
    // The engine sweeps in its own time: this waits for it, and fails where it never does.
    const deadline = Date.now() + 30_000
    while ((await keys()).includes(dead.loggableId) && Date.now() < deadline) await sleep(250)
    t.same(await keys(), [alive.loggableId])
    client.destroy()
    manager.close()
  })
}, { alone: true })
