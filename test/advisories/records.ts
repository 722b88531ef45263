import { createHash } from 'node:crypto'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { FastifyInstance, LightMyRequestResponse as Answer } from 'fastify'
import type { Test } from 'tap'
import { hash } from '../../lib/token.js'
import { addRoutes, Clock, LogLines, setStage, type Stage } from '../support/app.js'
import { faults, type Call } from '../support/proxy.js'
import { setCookies } from '../support/visitor.js'
import { begin, cookieOf, findBy, ID, isNobody, isSilent, SECRET, UNREADABLE, type AdvisoryTest, type Item } from './advisory.js'

/** Ids, and what is stored under them: what may be told, found, read and believed. */

const READS = ['GetItem', 'BatchGetItem']

/** The keys that a call is to read. */
function keysOf ({ action, input }: Call): unknown[] {
  return action === 'BatchGetItem' ? Object.values<any>(input['RequestItems']).flatMap(({ Keys }) => Keys as unknown[]) : [input['Key']]
}

const KEY = Buffer.alloc(32, 1)
const GHOST = /^A record lacks what a session needs and counts as absent$/
const UNREAD = /^The stored session cannot be read: /

function addActs (app: FastifyInstance): void {
  addRoutes(app)
  app.get('/value', async request => ({ value: request.session.get('any:value') }))
  app.post('/grow/:bytes', async request => {
    request.session.set('any:value', 'x'.repeat(Number((request.params as { bytes: string }).bytes)))
    return {}
  })
  app.post('/update', async request => ({ count: await request.session.update('count', (count = 0) => count + 1) }))
  app.post('/rotate', async request => {
    await request.session.regenerate(true)
    return {}
  })
  app.post('/own', async ({ session }) => {
    session.set('count', 1)
    session.idleTimeout = 90.5
    session.absoluteTimeout = 1000.25
    return {}
  })
  app.post('/endless', async ({ session }) => {
    session.set('count', 2)
    session.idleTimeout = false
    session.absoluteTimeout = false
    return {}
  })
  app.post('/log', async request => {
    request.log.info({ session: request.session }, 'a session')
    request.log.info('%o', request.session)
    return {}
  })
}

/** The item with another value under `any:value`. */
function withValue (item: Item | undefined, value: AttributeValue): Item {
  return { ...item, data: { M: { ...item?.['data']?.M, 'any:value': value } } }
}

function valueOf (item: Item | undefined, name = 'any:value'): AttributeValue {
  return item?.['data']?.M?.[name] as AttributeValue
}

/** Bytes with one bit of one byte turned; a negative index counts from the end. */
function turned (bytes: Uint8Array, index: number, bit = 1): AttributeValue {
  const copy = Buffer.from(bytes)
  const at = index < 0 ? copy.length + index : index
  copy[at] = Number(copy[at]) ^ bit
  return { B: copy }
}

function isUnreadable (t: Test, name: string, answer: Answer): void {
  t.strictSame([answer.statusCode, answer.json<{ code: string }>().code], [500, UNREADABLE], name)
  t.notMatch(answer.body, /admin|editor/, `${name}: nothing of it is told`)
  t.strictSame(setCookies(answer), [], `${name}: the cookie is left alone`)
}

/** What may stand in the place of a sealed value. None of it is one that was sealed there. */
function forgeries (sealed: Uint8Array, others: Readonly<Record<string, AttributeValue>>): Record<string, AttributeValue> {
  const magic = sealed.slice(0, 4)
  return {
    'plain text': { S: '"admin"' },
    'plain text as bytes': { B: Buffer.from('"admin"') },
    'an envelope that is not sealed': { B: Buffer.concat([magic, Buffer.from([0]), Buffer.from('"admin"')]) },
    'an envelope of an attribute that is not sealed': { B: Buffer.concat([magic, Buffer.from([2]), Buffer.from('{"S":"admin"}')]) },
    'a plain text after the mark of sealed ones': { B: Buffer.concat([magic, Buffer.from([8]), Buffer.from('"admin"'.padEnd(60))]) },
    'its magic turned': turned(sealed, 0),
    'its version turned': turned(sealed, 3),
    'its mark of content turned': turned(sealed, 4),
    'its mark of compression turned': turned(sealed, 4, 4),
    'its mark of sealing turned': turned(sealed, 4, 8),
    'its key name turned': turned(sealed, 5),
    'its nonce turned': turned(sealed, 9),
    'its content turned': turned(sealed, 21),
    'its tag turned': turned(sealed, -1),
    'cut off at the end': { B: sealed.slice(0, -1) },
    'cut off in the nonce': { B: sealed.slice(0, 12) },
    'its header only': { B: sealed.slice(0, 5) },
    'one byte more': { B: Buffer.concat([sealed, Buffer.from([0])]) },
    nothing: { B: new Uint8Array() },
    'a number': { N: '1' },
    'a boolean': { BOOL: true },
    null: { NULL: true },
    'a map': { M: { S: { S: '"admin"' } } },
    ...others
  }
}

/** A whole visit with everything that is logged or told on its way, and every secret that it knew. */
async function visitAll (stage: Stage): Promise<{ texts: string[], secrets: Set<string>, keys: Set<string> }> {
  const texts: string[] = []
  const secrets = new Set<string>()
  const keys = new Set<string>()
  const visitor = stage.visitor()
  const act = async (url: string, payload = {}): Promise<Answer> => {
    const answer = url === '/me' ? await visitor.get('/value') : await visitor.post(url, payload)
    if (answer.statusCode >= 400) texts.push(answer.body)
    const token = visitor.cookie(ID)
    if (token !== undefined) for (const secret of [token, ...token.split('.')]) secrets.add(secret)
    if (token !== undefined) keys.add(hash(token.split('.')[0] ?? ''))
    return answer
  }
  const broken = async (url: string): Promise<void> => {
    const rule = stage.proxy.meet({ action: '*', times: Infinity }, faults.error('AccessDeniedException', { message: 'arn:aws:dynamodb:eu-central-1:123456789012:table/sessions' }))
    await act(url, { count: 3 })
    rule.remove()
  }
  await act('/set', { userId: 'canary-user', 'any:value': 'canary-value' })
  for (const url of ['/me', '/set', '/update', '/log', '/login', '/set', '/rotate']) await act(url, { count: 2, 'any:value': 'canary-value' })
  for (const url of ['/me', '/set', '/update', '/login', '/logout', '/grow/500000']) await broken(url)
  await act('/grow/500000')
  stage.proxy.meet('UpdateItem', faults.error('AccessDeniedException'))
  for (const url of ['/set', '/login', '/update']) await act(url, { count: 7 })
  stage.proxy.meet('DeleteItem', faults.error('AccessDeniedException'))
  await act('/logout')
  // Its session ends while it is under way.
  const gate = stage.proxy.gate('UpdateItem')
  const late = visitor.send({ method: 'POST', url: '/set', payload: { count: 8 } })
  await gate.reached
  const captured = visitor.cookieHeader()
  await act('/logout')
  gate.release()
  visitor.receive(await late)
  for (const cookie of [captured, `${captured}x`, `${captured}; ${ID}=${'A'.repeat(43)}`]) {
    stage.clock.forward(61)
    texts.push((await stage.app.inject({ url: '/value', headers: { cookie } })).body)
  }
  secrets.add('canary-value').add('canary-user').add('123456789012')
  return { texts, secrets, keys }
}

/** Texts that are paths, members of objects or code for somebody. */
const TEMPTING = [
  '../../../../etc/passwd', '..\\..\\windows\\win.ini', '/etc/passwd', 'file:///etc/passwd', '%2e%2e%2fetc%2fpasswd', '....//....//', 'C:\\x', '~root', '.', '..',
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '\u0000', '$' + '{jndi:ldap://x}', '`id`', '$(id)', '; ls', '*', '%', 'null', 'undefined', '{}', '[]',
  'rO0ABXNyAA==', 'O:8:"stdClass":0:{}', '_$$ND_FUNC$$_function(){}()'
]

/** What other decoders would run, build or follow. */
const CODE: Readonly<Record<string, string>> = {
  'node-serialize': '{"rce":"_$$ND_FUNC$$_function(){globalThis.isTaken=true}()"}',
  'serialize-to-js': '{"rce":"(function(){globalThis.isTaken=true})()"}',
  funcster: '{"__js_function":"function(){globalThis.isTaken=true}()"}',
  bson: '{"_bsontype":"Code","code":"globalThis.isTaken=true"}',
  typed: '{"$type":"System.Diagnostics.Process","py/object":"os.system","@class":"java.lang.Runtime"}',
  superjson: '{"json":{"a":"1"},"meta":{"values":{"a":["Date"]}}}',
  then: '{"then":"function(resolve){globalThis.isTaken=true}"}',
  buffer: '{"type":"Buffer","data":[1,2]}',
  toJSON: '{"toJSON":"globalThis.isTaken=true"}'
}

/** Bytes that say to other systems what to build, and texts that are no JSON. */
const NO_JSON: Readonly<Record<string, AttributeValue>> = {
  'Ruby Marshal': { B: Buffer.from([4, 8, 0x6f, 0x3a, 0x0b, 0x4f, 0x62, 0x6a, 0x65, 0x63, 0x74, 0]) },
  'Java serialisation': { B: Buffer.from([0xac, 0xed, 0, 5, 0x73, 0x72]) },
  pickle: { B: Buffer.from([0x80, 4, 0x63, 0x6f, 0x73, 0x0a]) },
  PHP: { S: 'O:8:"stdClass":1:{s:1:"a";i:1;}' },
  YAML: { S: '!!js/function "function(){}"' },
  JavaScript: { S: '(globalThis.isTaken=true)' },
  'nothing at all': { S: '' },
  'half a text': { S: '{"cookie":{"expires":"garb' },
  NUL: { S: '\u0000' },
  undefined: { S: 'undefined' },
  NaN: { S: 'NaN' },
  'a number': { N: '1' },
  'a truth': { BOOL: true },
  null: { NULL: true },
  'a list': { L: [{ S: '1' }] },
  'a map': { M: { a: { S: '1' } } },
  'random bytes': { B: createHash('sha256').update('garbage').digest() },
  'an envelope without content': { B: Buffer.from([0xfd, 0x53, 0x56, 1, 0]) },
  'an envelope with unknown marks': { B: Buffer.from([0xfd, 0x53, 0x56, 1, 0xff, 0x31]) },
  'an envelope that does not inflate': { B: Buffer.from([0xfd, 0x53, 0x56, 1, 4, 0x31, 0x32]) }
}

/** Attributes without which an item is no session. */
const GHOSTS: ReadonlyArray<Record<string, AttributeValue | undefined>> = [
  ...[undefined, { S: '{}' }, { L: [] }, { B: Buffer.from('x') }, { NULL: true }].map(data => ({ data }) as Record<string, AttributeValue | undefined>),
  ...['ver', 'created', 'seen', 'expires'].flatMap(name => [undefined, { S: 'garbage' }, { S: '2026-01-02' }, { N: '-1' }, { BOOL: true }].map(value =>
    ({ [name]: value }) as Record<string, AttributeValue | undefined>)),
  { ver: { N: '1.5' } }, { w: { S: 'garbage' } }, { w: { L: [] } }
]

/** Names of members and of what objects inherit. */
const NAMES = ['__proto__', '___proto__', 'constructor', 'prototype', 'save', 'destroy', 'toJSON', 'get', 'set', 'then', 'id', 'hasOwnProperty', 'valueOf', '__defineGetter__']

function addPoisonable (app: FastifyInstance): void {
  app.post('/pairs', async request => {
    for (const [key, value] of request.body as Array<[string, unknown]>) request.session.set(key as 'any:key', value)
    return {}
  })
  app.get('/state', async ({ session }) => {
    const keys: string[] = session.keys()
    const data = session.data() as Record<string, unknown>
    return {
      pairs: keys.map(key => [key, session.get(key as 'any:key')]),
      copied: Object.keys(data),
      members: [session.save, session.destroy, session.toJSON, session.get].map(member => typeof member),
      plain: Object.getPrototypeOf(data) === Object.prototype,
      poisoned: ['isAdmin' in {}, 'isAdmin' in session, Reflect.get(data, 'isAdmin') as unknown]
    }
  })
  app.get('/nested', async ({ session }) => {
    const value = session.get('any:value') as Record<string, unknown>
    const copy = session.data()['any:value'] as Record<string, unknown>
    return { isAdmin: [value['isAdmin'], copy['isAdmin'], Reflect.get({}, 'isAdmin')], own: [value, copy].map(each => Object.hasOwn(each, '__proto__')) }
  })
}

const SOUND = { members: ['function', 'function', 'function', 'function'], plain: true, poisoned: [false, false] }

export const RECORDS: readonly AdvisoryTest[] = [
  {
    advisory: 'CVE-2026-39324 rack-session',
    promise: 'with encryption on, what was not sealed there is refused, and never read in another way',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { session: { encryptionKeys: KEY }, routes: addActs })
      const { id: foreign } = await begin(stage, { 'any:value': 'admin' })
      const { id } = await begin(stage, { 'any:value': 'visitor', 'any:other': 'editor' })
      const item = await stage.item(hash(id))
      t.strictSame((await stage.app.inject({ url: '/value', headers: cookieOf(id) })).json(), { value: 'visitor' }, 'as it is')
      const sealed = valueOf(item).B as Uint8Array
      const all = forgeries(sealed, {
        'what was sealed under another key of this session': valueOf(item, 'any:other'),
        'what was sealed in another session': valueOf(await stage.item(hash(foreign)))
      })
      for (const [name, value] of Object.entries(all)) {
        const forged = withValue(item, value)
        await stage.put(forged)
        isUnreadable(t, name, await stage.app.inject({ url: '/value', headers: cookieOf(id) }))
        t.strictSame(valueOf(await stage.item(hash(id))), value.B === undefined ? value : { B: new Uint8Array(value.B) }, `${name}: left as it is`)
      }
      await stage.put(withValue(item, { B: sealed }))
      t.strictSame((await stage.app.inject({ url: '/value', headers: cookieOf(id) })).json(), { value: 'visitor' }, 'put back')
      const strange = await setStage(t, engine, { session: { table: stage.table, encryptionKeys: Buffer.alloc(32, 2) }, routes: addActs })
      isUnreadable(t, 'another encryption key', await strange.app.inject({ url: '/value', headers: cookieOf(id) }))
      const plain = await setStage(t, engine, { session: { table: stage.table }, routes: addActs })
      isUnreadable(t, 'no encryption key', await plain.app.inject({ url: '/value', headers: cookieOf(id) }))

      const acceptPlainUntil = new Date(new Clock().ms + 60_000)
      const moving = await setStage(t, engine, { session: { table: stage.table, encryptionKeys: KEY, acceptPlainUntil }, routes: addActs })
      await stage.put(withValue(item, turned(sealed, -1)))
      isUnreadable(t, 'turned, while plain values are accepted', await moving.app.inject({ url: '/value', headers: cookieOf(id) }))
      await stage.put(withValue(item, { S: '"admin"' }))
      t.strictSame((await moving.app.inject({ url: '/value', headers: cookieOf(id) })).json(), { value: 'admin' }, 'a plain one, before the end')
      moving.clock.forward(60)
      isUnreadable(t, 'a plain one, at the end', await moving.app.inject({ url: '/value', headers: cookieOf(id) }))
    }
  },
  {
    advisory: 'CVE-2019-16782 rack/Rails',
    promise: 'what is stored is not what the browser holds, and presented as a cookie or an id it opens and ends nothing',
    run: async (t, engine) => {
      for (const secrets of [undefined, SECRET]) {
        const stage = await setStage(t, engine, { session: { secrets } })
        const { visitor, id } = await begin(stage)
        const token = visitor.cookie(ID) ?? ''
        const [item] = await stage.items()
        const key = item?.['id']?.S ?? ''
        t.equal(key, createHash('sha256').update(id).digest('base64url'))
        t.notMatch(JSON.stringify(item), id, 'the id does not stand in the table')
        t.notMatch(JSON.stringify(item), token)
        const calls = secrets === undefined ? ['GetItem'] : []
        await isNobody(t, stage, cookieOf(key), calls, 'the stored key')
        await isNobody(t, stage, cookieOf(token.replace(id, key)), calls, 'the stored key with the signature of the id')
        t.equal(await stage.app.sessions.load(key), null)
        await stage.app.sessions.destroy(key)
        t.strictSame(await stage.items(), [item], 'nor is it destroyed by it')
        t.strictSame((await findBy(stage, cookieOf(token))).data, { userId: 'ann' })
      }
    }
  },
  {
    advisory: 'rack Pool allow_fallback',
    promise: 'after a miss nothing else is looked up: every call is for the hash of what came, and with a prefix or another length no key is an id',
    run: async (t, engine) => {
      for (const session of [{}, { keyPrefix: 'shop#' }, { idBytes: 16 }]) {
        const stage = await setStage(t, engine, { session })
        const { id } = await begin(stage)
        const [item] = await stage.items()
        const key = item?.['id']?.S ?? ''
        const bare = hash(id)
        const prefix = key.slice(0, -bare.length)
        for (const value of [key, bare, id.toLowerCase(), `${id}=`, Buffer.from(id, 'base64url').toString('hex'), 'A'.repeat(id.length)]) {
          for (const companion of ['', `; ${ID}-v=${bare.slice(0, 8)}.9; ${ID}-v=${hash(value).slice(0, 8)}.9`]) {
            stage.proxy.take()
            const answer = await stage.app.inject({ url: '/me', headers: { cookie: cookieOf(value).cookie + companion } })
            t.strictSame(answer.json(), { data: {} })
            for (const { action, input } of stage.proxy.takeCalls()) t.strictSame([action, input['Key']], ['GetItem', { id: { S: prefix + hash(value) } }])
          }
        }
        if ('keyPrefix' in session || 'idBytes' in session) await isNobody(t, stage, cookieOf(key), [], 'the stored key is no id by its form')
      }
    }
  },
  {
    advisory: 'CVE-2015-5143, CVE-2015-5963, CVE-2015-5964 Django',
    promise: 'a thousand requests of strangers, with unknown ids and log-outs among them, write nothing and set nothing',
    run: async (t, engine) => {
      for (const secrets of [undefined, SECRET]) {
        const stage = await setStage(t, engine, { session: { secrets } })
        const unknown = (index: number): string => createHash('sha256').update(String(index)).digest('base64url') + (secrets === undefined ? '' : `.${'A'.repeat(43)}`)
        const kinds = [
          () => ({ url: '/me' }), () => ({ url: '/nothing' }), () => ({ url: '/nowhere' }), () => ({ method: 'POST' as const, url: '/logout' }),
          (index: number) => ({ url: '/me', headers: cookieOf(unknown(index)) })
        ]
        const answers = await Promise.all(Array.from({ length: 500 }, async (_, index) => await stage.app.inject(kinds[index % 5]?.(index) ?? '/')))
        t.strictSame(answers.flatMap(setCookies), [], 'no cookie')
        const calls = stage.proxy.takeCalls()
        t.strictSame(calls.filter(({ action }) => !READS.includes(action)), [], 'no write')
        // Those of a moment are read by one call.
        t.equal(calls.reduce((sum, call) => sum + keysOf(call).length, 0), secrets === undefined ? 100 : 0, 'one read for each id that may be one')
        const leaving = await Promise.all(Array.from({ length: 50 }, async (_, index) =>
          await stage.app.inject({ method: 'POST', url: '/logout', headers: cookieOf(unknown(index)) })))
        for (const text of leaving.flatMap(setCookies)) t.match(text, /^__Host-id=; Max-Age=0;/, 'who logs out has their cookie cleared, and no other sent')
        t.strictSame(stage.proxy.take().filter(action => !READS.includes(action)), [], 'nor a write')
        t.strictSame(await stage.items(), [])
      }
    }
  },
  {
    advisory: 'CVE-2011-4136 Django',
    promise: 'no cookie reaches an item of the table that is not a session of this application',
    run: async (t, engine) => {
      for (const keyPrefix of ['', 'shop#']) {
        const stage = await setStage(t, engine, { session: { keyPrefix } })
        const { visitor, id } = await begin(stage)
        const [item] = await stage.items()
        const cached = 'A'.repeat(43)
        const others = [...new Set(['cache', 'user#ann', cached, `other#${hash(cached)}`, `${keyPrefix}config`, keyPrefix + cached, ...keyPrefix === '' ? [] : [hash(cached)]])]
        for (const key of others) await stage.put({ ...item, id: { S: key } })
        for (const key of [...others, ...others.map(key => key.replace(keyPrefix, ''))]) {
          const { data, answer } = await findBy(stage, cookieOf(key))
          t.strictSame([data, answer.statusCode], [{}, 200], `${keyPrefix} ${key}`)
          t.equal(await stage.app.sessions.load(key), null)
          await stage.app.sessions.destroy(key)
        }
        t.equal((await stage.items()).length, others.length + 1, 'nor is any destroyed')
        t.equal((await visitor.get('/me')).json<{ id: string }>().id, id)
      }
    }
  },
  {
    advisory: 'CVE-2016-4423 Symfony',
    promise: 'a session that grows beyond its limit is refused before anything is sent, by default and by maxSize',
    run: async (t, engine) => {
      for (const [maxSize, small, large] of [[undefined, 300_000, 409_600], [2000, 1000, 2000]] as const) {
        const stage = await setStage(t, engine, { session: { maxSize }, routes: addActs })
        const stranger = stage.visitor()
        const refused = await stranger.post(`/grow/${large}`)
        t.strictSame([refused.statusCode, refused.json<{ code: string }>().code], [413, 'FST_DYNAMODB_SESSION_TOO_LARGE'])
        t.strictSame([stage.proxy.take(), setCookies(refused)], [[], []], 'nothing was sent either way')
        const { visitor, id } = await begin(stage)
        t.equal((await visitor.post(`/grow/${small}`)).statusCode, 200, 'below the limit')
        const before = await stage.item(hash(id))
        stage.proxy.take()
        t.equal((await visitor.post(`/grow/${large}`)).statusCode, 413)
        t.strictSame(stage.proxy.take(), ['GetItem'])
        t.strictSame(await stage.item(hash(id)), before, 'the session is as it was')
      }
    }
  },
  {
    advisory: 'CVE-2023-20866 Spring Session',
    promise: 'at trace level the log of a whole visit, its failures too, tells no id, no token and no value',
    run: async (t, engine) => {
      for (const secrets of [undefined, SECRET]) {
        const log = new LogLines()
        const stage = await setStage(t, engine, { fastify: { logger: { level: 'trace', stream: log } }, session: { secrets, timeout: 5 }, routes: addActs })
        const { texts, secrets: known, keys } = await visitAll(stage)
        const lines = log.lines.map(line => JSON.stringify(line))
        t.ok(lines.length > 50 && known.size > 5 && texts.length > 10)
        t.ok([...keys].some(key => lines.some(line => line.includes(key))), 'what is fit for the log is in it')
        isSilent(t, [...lines, ...texts], known)
      }
    }
  },
  {
    advisory: 'CVE-2021-21339 TYPO3',
    promise: 'no id stands in the table or goes over the wire to it, whatever a visitor does',
    run: async (t, engine) => {
      for (const session of [{}, { secrets: SECRET }, { encryptionKeys: KEY }]) {
        const stage = await setStage(t, engine, { session, routes: addActs })
        const visitor = stage.visitor()
        const ids = new Set<string>()
        const sent: string[] = []
        for (const url of ['/set', '/login', '/set', '/rotate', '/update', '/own', '/logout', '/set', '/rotate']) {
          await visitor.post(url, { count: ids.size })
          const id = visitor.cookie(ID)?.split('.')[0]
          if (id !== undefined) ids.add(id)
          sent.push(JSON.stringify(await stage.items()), ...stage.proxy.takeCalls().map(({ input }) => JSON.stringify(input)))
        }
        t.equal(ids.size, 5, 'so many ids were given out')
        isSilent(t, sent, ids)
        for (const id of ids) t.ok(sent.some(text => text.includes(createHash('sha256').update(id).digest('base64url'))), 'only its hash')
      }
    }
  },
  {
    advisory: 'CVE-2020-9484 Tomcat FileStore, CVE-2024-3400 PAN-OS',
    promise: 'an id that is a path, a member of objects or code is stopped at the gate: no call, no error, as no cookie at all',
    run: async (t, engine) => {
      const stage = await setStage(t, engine)
      for (const text of TEMPTING) {
        for (const value of [text, text.padEnd(43, 'A').slice(0, 43), text.padStart(43, '/').slice(0, 43), text.repeat(43).slice(0, 43)]) {
          // What is well-formed after all is an id that nobody has.
          const calls = /^[\w-]{43}$/.test(value) && Buffer.from(value, 'base64url').toString('base64url') === value ? ['GetItem'] : []
          await isNobody(t, stage, cookieOf(value), calls, JSON.stringify(value))
          stage.proxy.take()
          t.equal(await stage.app.sessions.load(value), null)
          t.strictSame(stage.proxy.take(), calls)
        }
      }
      t.strictSame(await stage.items(), [])
    }
  },
  {
    advisory: 'node-serialize; Marshal in rack and the AWS Ruby store',
    promise: 'what is stored is data and never code: it is read as it stands, or refused, and functions are not stored',
    run: async (t, engine) => {
      for (const format of ['json', 'native'] as const) {
        const stage = await setStage(t, engine, { session: { format }, routes: addActs })
        const { visitor, id } = await begin(stage, { 'any:value': 'a' })
        const item = await stage.item(hash(id))
        for (const [name, text] of Object.entries(CODE)) {
          await stage.put(withValue(item, { S: text }))
          const { value } = (await visitor.get('/value')).json<{ value: unknown }>()
          t.strictSame(value, format === 'json' ? JSON.parse(text) as unknown : text, `${format}: ${name}`)
          if (format === 'json') continue
          await stage.put(item ?? {})
          await visitor.post('/set', { 'any:value': JSON.parse(text) as unknown })
          t.strictSame((await visitor.get('/value')).json(), { value: JSON.parse(text) as unknown }, `${format}: ${name}, by a visitor`)
        }
        if (format === 'json') {
          for (const [name, value] of Object.entries(NO_JSON).filter(([, value]) => value.S !== undefined || value.B !== undefined)) {
            await stage.put(withValue(item, value))
            isUnreadable(t, name, await visitor.get('/value'))
          }
        }
        const session = await stage.app.sessions.create()
        for (const value of [() => 1, class {}, Symbol('s'), { f () {} }, [() => 1], new Error('x'), /x/, Promise.resolve()]) {
          t.throws(() => { session.set('any:value', value) }, { code: 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE' })
        }
      }
      t.equal(Reflect.get(globalThis, 'isTaken'), undefined, 'nothing was run')
    }
  },
  {
    advisory: 'prototype poisoning of the session object',
    promise: 'keys that are names of members or prototypes are data like others, from a visitor or from the table',
    run: async (t, engine) => {
      for (const format of ['json', 'native'] as const) {
        const stage = await setStage(t, engine, { session: { format }, routes: addPoisonable })
        const visitor = stage.visitor()
        const pairs = NAMES.map(name => [name, { isAdmin: true, name }])
        t.equal((await visitor.post('/pairs', pairs)).statusCode, 200)
        for (const url of ['/state', '/state']) {
          const state = (await visitor.get(url)).json<{ pairs: Array<[string, unknown]>, copied: string[] }>()
          t.match(state, SOUND, format)
          t.strictSame(new Map(state.pairs), new Map(pairs as Array<[string, unknown]>))
          t.strictSame(state.copied.sort(), [...NAMES].sort())
        }
        t.equal((await visitor.post('/pairs', [['count', 1]])).statusCode, 200, 'and it is saved again')

        const id = visitor.cookie(ID) ?? ''
        const item = await stage.item(hash(id))
        if (format === 'json') {
          await stage.put(withValue(item, { S: '{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}}' }))
          t.strictSame((await visitor.get('/nested')).json(), { isAdmin: [null, null, null], own: [true, true] })
        }
        // A name that no engine hands out as it is, so the proxy says it.
        const { data: _, ...rest } = item ?? {}
        const poison = JSON.stringify(format === 'json' ? { S: '{"isAdmin":true}' } : { M: { isAdmin: { BOOL: true } } })
        const text = JSON.stringify({ ...rest, data: { M: { evil: { S: '1' } } } }).replace('"evil":{"S":"1"}', `"__proto__":${poison},"constructor":${poison}`)
        stage.proxy.intercept = action => action === 'GetItem' ? { status: 200, body: `{"ConsumedCapacity":{"CapacityUnits":0.5},"Item":${text}}` } : undefined
        const answer = await visitor.get('/state')
        t.equal(answer.statusCode, 200)
        t.match(answer.json(), SOUND)
      }
      t.equal(Reflect.get({}, 'isAdmin'), undefined)
    }
  },
  {
    advisory: 'bad stored record',
    promise: 'whatever stands in an item, no request brings the server down: no session or a typed error, one event, and the item is left',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { routes: addActs })
      const { visitor, id } = await begin(stage, { 'any:value': 'a', 'any:other': 'b' })
      const item = await stage.item(hash(id)) as Item
      const tryItem = async (name: string, bad: Item, told: RegExp, status: number): Promise<void> => {
        stage.clock.forward(61)
        await stage.put(bad)
        stage.log.lines.length = 0
        const answer = await stage.app.inject({ url: '/me', headers: cookieOf(id) })
        t.strictSame([answer.statusCode, setCookies(answer)], [status, []], name)
        const [event = '', ...more] = stage.log.warnings().filter(text => !text.startsWith('Tokens'))
        t.match(event, told, `${name}: one event`)
        t.strictSame(more, [], `${name}: and no other`)
        if (status === 200) t.strictSame(answer.json(), { data: {} }, name)
        else isUnreadable(t, name, answer)
        t.strictSame(JSON.stringify(await stage.item(hash(id))), JSON.stringify(await storedForm(stage, bad)), `${name}: left as it is`)
      }
      for (const ghost of GHOSTS) {
        const bad = Object.fromEntries(Object.entries({ ...item, ...ghost }).filter((entry): entry is [string, AttributeValue] => entry[1] !== undefined))
        await tryItem(JSON.stringify(ghost), bad, GHOST, 200)
      }
      for (const [name, value] of Object.entries(NO_JSON)) await tryItem(name, withValue(item, value), UNREAD, 500)
      await tryItem('an unknown format', { ...item, fmt: { S: 'marshal' } }, UNREAD, 500)
      await stage.put(withValue(item, { S: '{"cookie":{"expires":"garbage"}}' }))
      t.strictSame((await visitor.get('/value')).json(), { value: { cookie: { expires: 'garbage' } } }, 'a cookie in the data is data')
    }
  },
  {
    advisory: 'connect-dynamodb #39, #43',
    promise: 'the attribute that DynamoDB sweeps by is whole seconds, whatever the timeouts are and whatever was written last',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { session: { idleTimeout: 100.7, absoluteTimeout: 5000.3, reissueTime: 0, now: undefined }, routes: addActs })
      for (const name of ['/set', '/update', '/own', '/rotate', '/login', '/endless', '/me']) {
        const visitor = stage.visitor()
        await visitor.post('/set', { count: 1 })
        await (name === '/me' ? visitor.get(name) : visitor.post(name, { count: 2 }))
        for (const item of await stage.items()) {
          const { expires } = item
          t.strictSame(Object.keys(expires ?? {}), ['N'], `${name}: a number`)
          t.match(expires?.N, /^\d+$/, `${name}: whole`)
          const seconds = Number(expires?.N)
          t.ok(seconds > Date.now() / 1000 && (name === '/endless' || seconds < Date.now() / 1000 + 5001 || seconds === 253_402_300_799), `${name}: seconds from now`)
        }
        await visitor.post('/logout')
      }
    }
  },
  {
    advisory: 'AWS PHP handler',
    promise: 'a write or delete that fails tells the log the cause and the loggable id at most, and the visitor nothing',
    run: async (t, engine) => {
      const stage = await setStage(t, engine, { session: { timeout: 5 }, routes: addActs })
      const message = `User: arn:aws:sts::123456789012:assumed-role/shop may not do this on arn:aws:dynamodb:eu-central-1:123456789012:table/${stage.table}`
      for (const fault of [faults.error('AccessDeniedException', { message }), faults.error('ValidationException', { message }), faults.truncateClean, faults.empty200]) {
        for (const url of ['/set', '/update', '/login', '/rotate', '/logout', '/new']) {
          const { visitor, id } = await begin(stage, { 'any:value': 'canary-value' })
          const who = url === '/new' ? stage.visitor() : visitor
          stage.log.lines.length = 0
          const rules = (['PutItem', 'UpdateItem', 'DeleteItem'] as const).map(action => stage.proxy.meet({ action, times: Infinity }, fault))
          const answer = await who.post(url === '/new' ? '/set' : url, { count: 2, 'any:value': 'canary-value' })
          for (const rule of rules) rule.remove()
          t.equal(answer.statusCode, 503, `${url}, ${fault.name}`)
          const lines = stage.log.lines.map(line => JSON.stringify(line))
          t.ok(stage.log.lines.some(line => line['level'] >= 40), 'the log is told')
          const known = new Set([id, visitor.cookieHeader(), 'canary-value', '123456789012', 'arn:aws'])
          isSilent(t, [...lines, answer.body, JSON.stringify(answer.headers)], known)
        }
      }
    }
  }
]

/** An item as the engine hands it out, so that it can be compared. */
async function storedForm (stage: Stage, item: Item): Promise<Item | undefined> {
  await stage.put(item)
  return await stage.item(item['id']?.S ?? '')
}
