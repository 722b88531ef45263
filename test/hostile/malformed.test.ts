import { setImmediate as nextTurn } from 'node:timers/promises'
import { inspect, isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import Fastify, { type FastifyRequest, type LightMyRequestResponse } from 'fastify'
import dynamoSession, { SessionManager, type DynamoSessionOptions } from '../../index.js'
import { resolveOptions } from '../../lib/options.js'
import { hash } from '../../lib/token.js'
import { Transport } from '../../lib/transport.js'
import { memoryRepository } from '../../testing/index.js'
import { addRoutes, setStage, type Stage, type StageOptions } from '../support/app.js'
import { startDynalite, type Engine } from '../support/engines.js'
import { setCookieNames, setCookies } from '../support/visitor.js'
import { RawConnection } from '../support/wire-client.js'

const NAME = '__Host-id'
const HEADER = 'x-session'
const SECRET = 'a secret that is long enough to sign with'
const AMBIGUOUS = /^Requests came in with tokens of several sessions/

const unhandled: unknown[] = []
process.on('unhandledRejection', reason => { unhandled.push(reason) })
process.on('uncaughtException', error => { unhandled.push(error) })

/** What every object of the process has. Whoever adds to it has changed the behaviour of all of them. */
const prototypes = (): unknown[] => [Object.prototype, Array.prototype, Function.prototype].map(it => Object.getOwnPropertyNames(it))
const untouched = prototypes()

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

/** A token of a living session, and others that only look so. */
interface Tokens {
  readonly good: string
  /** Of another living session. */
  readonly second: string
  /** Under a secret that is not ours; the same as the id where nothing is signed. */
  readonly foreign: string
}

/** Texts in place of a token, by the kinds of the corpus. No one of them is the good token. */
function malformedTokens ({ good, foreign }: Tokens): Readonly<Record<string, readonly string[]>> {
  const id = good.slice(0, 43)
  const signature = good.slice(43)
  const bytes = Buffer.from(id, 'base64url')
  const with_ = (at: number, character: string): string => good.slice(0, at) + character + good.slice(at + 1)
  const swapped = [...id].map(it => it === it.toLowerCase() ? it.toUpperCase() : it.toLowerCase()).join('')
  const inserted = (text: string): string[] => [
    text + good, good + text, good.slice(0, 20) + text + good.slice(20), with_(0, text), with_(42, text)
  ]
  return {
    'K1 absent': [''],
    'K2 of another length': [
      'A', good.slice(1), good.slice(0, -1), `${good}A`, `A${good}`, good + good, 'A'.repeat(4096), good.repeat(80),
      '.'.repeat(15_000)
    ],
    'K3 of another alphabet': [
      ...['+', '/', '=', '!', '~', '|', '*'].map(it => with_(7, it)), `${id}=${signature}`, bytes.toString('hex') + signature,
      `${bytes.toString('base64')}${signature}`,
      bytes.toString('latin1'), swapped + signature, id.toLowerCase() + signature, [...id].reverse().join('') + signature,
      id.slice(0, 42) + String.fromCharCode(id.charCodeAt(42) + 1) + signature
    ],
    'K4 percent-encoded': [
      '%00'.repeat(43), `${good}%00`, `%00${good}`, `${good}%3B`, `${good}%0D%0ASet-Cookie:%20a=b`, `${good}%20`,
      '%2e%2e%2f'.repeat(5), `${good}%`, `${good}%4`, `${good}%zz`, '%'.repeat(43),
      `${good}%E0%A4%A`, `%25${good.charCodeAt(0).toString(16)}${good.slice(1)}`, `%u0041${good.slice(1)}`, `%C1%81${good.slice(1)}`
    ],
    'K5 with control bytes': [
      ...['\0', '\r', '\n', '\x1b', '\x7f', '\r\n\r\n', '\x85'].flatMap(inserted),
      good.slice(0, 20) + '\t' + good.slice(21), '\0'.repeat(43), '\0'.repeat(good.length)
    ],
    'K6 of Unicode': [
      '\ud800', '\udfff', '\udfff\ud800', '\u00c0\u0080', '\u00c1\u0081', '😀', '\u202e', '\u00e9', 'e\u0301', '\u0430', '\uff21',
      '\u017f', '\u212a', '\u200b', '\ufeff', '\ufffd'
    ].flatMap(inserted).concat('\ud800'.repeat(43), 'é'.repeat(good.length)),
    'K7 a path or a member': [
      '../../../../etc/passwd', '..\\..\\windows\\win.ini', '/', '.', '..', '__proto__', 'constructor', 'prototype', 'toString',
      'hasOwnProperty', '__defineGetter__', 'valueOf',
      '__proto__'.padEnd(43, '_'), 'constructor'.padEnd(43, '_') + signature, '-', '#', `user#${id}`, `${id}/..`
    ],
    'K8 a literal': [
      'null', 'undefined', 'true', 'false', '0', '-1', '1e309', 'NaN', 'Infinity', '{}', '[]', '{"id":"x"}', '[object Object]',
      '""', '\'\'', 'j:{"id":1}', 's:abc.def', '{{7*7}}', '\' OR 1=1 --'
    ],
    'K9 a decorated one': [
      `"${good}"`, `'${good}'`, `${good},${good}`, `${good}, ${good}`, `${good}.`, `${good}.x`, `.${good}`, `${good} x`,
      `${good}=`, `s:${good}`, `Bearer ${good}`, `${id}.`, `${id}.${'A'.repeat(43)}x`,
      hash(id).slice(1), hash(id), foreign === good ? `${id}.${'A'.repeat(43)}` : foreign,
      ...signature === '' ? [] : [id, hash(id) + signature, with_(44, signature[1] === 'A' ? 'B' : 'A')]
    ]
  }
}

/** Cookie headers that hold a good token under what is not its name. */
function confusedNames ({ good }: Tokens): readonly string[] {
  const blanks = ['\u00a0', '\u2000', '\u0085', '\u00c2\u00a0', '\u00e2\u0080\u0080', '\u3000', '\ufeff', '\v', '\f']
  return [
    NAME, `${NAME};`, `=${good}`, `=${NAME}=${good}`, good, `; ; ;${NAME}`, `$Version=1; $${NAME}=${good}`,
    `$Version="1"; "${NAME}"=${good}`, ...blanks.flatMap(it => [`${it}${NAME}=${good}`, `${NAME}${it}=${good}`]),
    `__host-id=${good}`, `__HOST-ID=${good}`, `%5F%5FHost-id=${good}`, `__%48ost-id=${good}`, `__Host-id%20=${good}`,
    `Host__-id=${good}`, `..Host-id=${good}`, `  Host-id=${good}`, `__Host.id=${good}`, `__Host id=${good}`,
    `__Host-id =${good}`, `x${NAME}=${good}`, `${NAME}x=${good}`, `${NAME}-v=${good}`, `${NAME}[0]=${good}`, `id=${good}`,
    `a=${NAME}=${good}`, `__proto__=${good}`, `${NAME}:${good}`, `${NAME},${good}`, `a=1,${NAME}=${good}`
  ]
}

/** Two living sessions, and what a request is like that brings one of them. */
async function setTwo (t: Test, options: StageOptions & { session?: Partial<DynamoSessionOptions> } = {}) {
  const stage = await setStage(t, engine, options)
  const make = async (count: number): Promise<string> => (await stage.app.sessions.create({ count })).token ?? ''
  const good = await make(1)
  const second = await make(2)
  const other = new SessionManager({ table: stage.table, client: memoryRepository(), secrets: 'a secret of somebody else' })
  const foreign = (await other.create({ count: 3 })).token ?? ''
  stage.proxy.take()
  return Object.assign(stage, { tokens: { good, second, foreign: options.session?.secrets === undefined ? good : foreign } })
}

/** What a request without any token gets. */
async function anonymous ({ app }: Stage): Promise<readonly [number, string]> {
  const { statusCode, body } = await app.inject('/me')
  return [statusCode, body]
}

/** What an answer tells the browser of a token: nothing, where nobody has written. */
function toldOf ({ headers }: LightMyRequestResponse): unknown[] {
  return ['set-cookie', HEADER, `${HEADER}-v`].map(name => headers[name]).filter(value => value !== undefined)
}

/** Whether a text has the form of an id, so that only the table knows. */
const isIdLike = (text: string): boolean => /^[\w-]{43}$/.test(text) && Buffer.from(text, 'base64url').toString('base64url') === text

const short = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)

for (const secrets of [SECRET, undefined]) {
  for (const way of ['cookie', 'header'] as const) {
    t.test(`what is no token makes an anonymous visitor: by ${way}, ${secrets === undefined ? 'not ' : ''}signed`, async t => {
      const session = { ...secrets !== undefined && { secrets }, ...way === 'header' && { header: HEADER } }
      const stage = await setTwo(t, { session })
      const expected = [...await anonymous(stage), []]
      let reads = 0
      for (const [kind, values] of Object.entries(malformedTokens(stage.tokens))) {
        const wrong: unknown[] = []
        for (const value of values) {
          // Not even a navigation clears what never was a token of ours; what has the form of an id may be one that has ended.
          const mode = isIdLike(value) ? 'cors' : 'navigate'
          const headers = { 'sec-fetch-mode': mode, ...way === 'header' ? { [HEADER]: value } : { cookie: `${NAME}=${value}` } }
          const response = await stage.app.inject({ url: '/me', headers })
          const seen = [response.statusCode, response.body, toldOf(response)]
          const calls = stage.proxy.takeCalls()
          reads += calls.length
          const isCheap = calls.length <= (secrets === undefined && isIdLike(value) ? 1 : 0) &&
            calls.every(({ action, input }) => action === 'GetItem' && input['ConsistentRead'] === false)
          if (!isCheap || !isDeepStrictEqual(seen, expected)) wrong.push([short(value), seen, calls.map(({ action }) => action)])
        }
        t.same(wrong, [], `${values.length} of ${kind}`)
      }
      t.equal(reads > 0, secrets === undefined, 'without signatures, what has the form of an id can only be asked for')
      t.same(stage.log.lines.filter(line => line['level'] >= 50), [], 'nothing failed')
      t.notOk(JSON.stringify(stage.log.lines).includes(stage.tokens.good.slice(0, 43)), 'nothing of it is in the log')
    })
  }
}

t.test('a good token under what is not its name is none: K10', async t => {
  for (const secrets of [SECRET, undefined]) {
    const stage = await setTwo(t, { session: secrets === undefined ? {} : { secrets } })
    const expected = [...await anonymous(stage), []]
    for (const cookie of confusedNames(stage.tokens)) {
      const response = await stage.app.inject({ url: '/me', headers: { cookie, 'sec-fetch-mode': 'navigate' } })
      t.same([response.statusCode, response.body, toldOf(response)], expected, short(cookie))
    }
    t.same(stage.proxy.take(), [])
  }
})

t.test('whatever came, a handler that writes makes a session with an id of our own, as for any stranger', async t => {
  for (const secrets of [SECRET, undefined]) {
    const stage = await setTwo(t, { session: secrets === undefined ? {} : { secrets } })
    const ids = new Set<string>()
    const firsts = Object.values(malformedTokens(stage.tokens)).flatMap(values => [values[0] ?? '', values.at(-1) ?? ''])
    for (const value of firsts) {
      const response = await stage.app.inject({
        method: 'POST', url: '/set', payload: { count: 9 }, headers: { cookie: `${NAME}=${value}` }
      })
      t.same([response.statusCode, setCookieNames(response)], [200, [NAME, `${NAME}-v`]], short(value))
      t.same(stage.proxy.take().filter(action => action !== 'GetItem'), ['PutItem'])
      ids.add(response.json().id)
      t.notOk(value.includes(response.json().id))
    }
    t.equal(ids.size, firsts.length, 'another one each time')
    t.equal((await stage.items()).length, 2 + firsts.length)
    t.same((await stage.app.sessions.load(stage.tokens.good.slice(0, 43)))?.data(), { count: 1 }, 'and nobody else\'s was touched')
  }
})

/** Every way in which two values of one name come in one header. */
const pairs = (a: string, b: string): string[] => [
  `${NAME}=${a}; ${NAME}=${b}`, `${NAME}=${b}; ${NAME}=${a}`, `${NAME}=${a};${NAME}=${b}`,
  `theme=dark; ${NAME}=${a}; lang=de; ${NAME}=${b}; x`, `${NAME}=${a}; ${NAME}=${b}; ${NAME}=${a}`
]

t.test('one good token among rubbish counts, in whatever order: K11', async t => {
  for (const secrets of [SECRET, undefined]) {
    const { app, tokens, proxy, log } = await setTwo(t, { session: secrets === undefined ? {} : { secrets } })
    const good = encodeURIComponent(tokens.good)
    for (const [kind, values] of Object.entries(malformedTokens(tokens))) {
      const wrong: unknown[] = []
      // A semicolon ends a cookie, and what has the form of an id is one where nothing is signed.
      const rubbish = values.filter((value, index) => !value.includes(';') && (secrets !== undefined || (index % 4 === 0 && !isIdLike(value))))
      for (const [index, value] of rubbish.entries()) {
        const response = await app.inject({ url: '/me', headers: { cookie: pairs(good, value)[index % 5] } })
        const seen = [response.statusCode, response.json().data, toldOf(response)]
        if (!isDeepStrictEqual(seen, [200, { count: 1 }, []])) wrong.push([short(value), seen])
      }
      t.same(wrong, [], `${rubbish.length} of ${kind}`)
    }
    t.ok(proxy.takeCalls().every(({ action }) => action === 'GetItem'))
    t.same(log.warnings(), [])
  }
})

t.test('two good tokens mean that one was planted: no session, nothing is cleared, and it is told once a minute', async t => {
  for (const secrets of [SECRET, undefined]) {
    const stage = await setTwo(t, { session: secrets === undefined ? {} : { secrets } })
    const expected = [...await anonymous(stage), []]
    const { app, tokens, proxy, log, clock } = stage
    const headers = pairs(encodeURIComponent(tokens.good), encodeURIComponent(tokens.second))
    for (let minute = 0; minute < 3; minute++) {
      for (const cookie of headers) {
        const response = await app.inject({ url: '/me', headers: { cookie, 'sec-fetch-mode': 'navigate' } })
        t.same([response.statusCode, response.body, toldOf(response)], expected, cookie.slice(0, 30))
        t.equal(response.headers['vary'], 'Cookie')
      }
      clock.forward(60)
    }
    t.same(proxy.take(), [], 'nothing is read')
    const told = log.lines.filter(line => AMBIGUOUS.test(String(line['msg'])))
    t.same(told.map(line => line['count']), [1, headers.length, headers.length], 'with how many there were since')
    for (const token of [tokens.good, tokens.second]) t.notOk(JSON.stringify(told).includes(token.slice(0, 43)))
    t.same(
      (await app.inject({ url: '/me', headers: { cookie: `${NAME}=${encodeURIComponent(tokens.second)}` } })).json().data,
      { count: 2 }, 'either is good alone'
    )
  }
})

t.test('on a real socket', async t => {
  for (const secrets of [SECRET, undefined]) {
    const stage = await setTwo(t, { session: { ...secrets !== undefined && { secrets }, header: HEADER, cookie: {} } })
    const { app, tokens: { good, second }, proxy } = stage
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    const [one, two] = [encodeURIComponent(good), encodeURIComponent(second)]
    const signing = secrets === undefined ? 'not signed' : 'signed'

    /** Sends headers as they are, byte by byte, and resolves to the whole answer. */
    const send = async (...lines: string[]): Promise<{ status: number, text: string }> => {
      const connection = new RawConnection(origin)
      t.teardown(() => { connection.close() })
      connection.socket.write(Buffer.from(
        `GET /me HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`, 'latin1'
      ))
      // A refusal of Node's own has no body.
      const text = await connection.until(received => /^HTTP\/1\.1 (200[^]*\r\n\r\n[^]*\}|4\d\d[^]*\r\n\r\n)/.test(received))
      connection.close()
      return { status: Number(text.slice(9, 12)), text }
    }
    const dataOf = ({ text }: { text: string }): unknown => JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)).data

    await t.test(`bytes that no header may hold are refused before they reach us, and others are no token: ${signing}`, async t => {
      for (const byte of ['\0', '\x01', '\x0b', '\x1f', '\x7f']) {
        const { status, text } = await send(`Cookie: ${NAME}=${good.slice(0, 20)}${byte}${good.slice(21)}`)
        t.equal(status, 400, inspect(byte))
        t.notMatch(text, /set-cookie/i)
      }
      const bad = [
        '\x80'.repeat(43), '\xff'.repeat(good.length), '\xc0\x80', `${good}\xa0`, `\xa0${good}`, `${good.slice(0, 42)}\xe9`,
        '\xed\xa0\x80'.repeat(14), `${good.slice(0, 20)}\t${good.slice(21)}`
      ]
      for (const bytes of bad) {
        for (const line of [`Cookie: ${NAME}=${bytes}`, `X-Session: ${bytes}`]) {
          const answer = await send(line)
          t.same([answer.status, dataOf(answer)], [200, {}], inspect(line))
          t.notMatch(answer.text, /set-cookie|x-session:/i)
        }
      }
      t.same(proxy.take(), [])
    })

    await t.test(`15 KB of header are read, 17 KB are refused with 431, and the next request is served: ${signing}`, async t => {
      for (const name of ['Cookie', 'X-Session']) {
        const answer = await send(`${name}: ${name === 'Cookie' ? `${NAME}=` : ''}${'A'.repeat(15_000)}`)
        t.same([answer.status, dataOf(answer)], [200, {}], name)
        t.equal((await send(`${name}: ${NAME}=${'A'.repeat(17_000)}`)).status, 431, name)
      }
      t.same(proxy.take(), [])
      t.same(
        dataOf(await send(`Cookie: filler=${'x'.repeat(14_000)}; ${NAME}=${one}`)), { count: 1 },
        'a good one behind much else counts'
      )
      t.same(proxy.take(), ['GetItem'])
    })

    await t.test(`thousands of cookies are read, in one line or many: ${signing}`, async t => {
      t.same(dataOf(await send(`Cookie: ${'a=1; '.repeat(2800)}${NAME}=${one}`)), { count: 1 })
      t.same(dataOf(await send(`Cookie: ${`${NAME}=x; `.repeat(1100)}${NAME}=${one}`)), { count: 1 })
      t.same(
        dataOf(await send(...Array.from({ length: 900 }, (_, index) => `Cookie: c${index}=1`), `Cookie: ${NAME}=${one}`)),
        { count: 1 }
      )
      t.same(proxy.take(), ['GetItem', 'GetItem', 'GetItem'], 'one read each')
    })

    await t.test(`several header lines are one header: ${signing}`, async t => {
      for (const [lines, data, calls] of [
        [[`Cookie: ${NAME}=${one}`, `Cookie: ${NAME}=garbage`], { count: 1 }, 1],
        [[`Cookie: ${NAME}=garbage`, `cookie: ${NAME}=${one}`], { count: 1 }, 1],
        [[`Cookie: ${NAME}=${one}`, `Cookie: ${NAME}=${one}`], { count: 1 }, 1],
        [[`Cookie: ${NAME}=${one}`, `Cookie: ${NAME}=${two}`], {}, 0],
        [[`Cookie: ${NAME}=${two}`, 'Cookie: a=1', `COOKIE: ${NAME}=${one}`], {}, 0],
        [[`X-Session: ${good}`, `X-Session: ${second}`], {}, 0],
        [[`X-Session: ${good}`, `x-session: ${good}`], {}, 0],
        [[`X-Session: ${good}`, `Cookie: ${NAME}=${two}`], {}, 0],
        [['X-Session: garbage', `Cookie: ${NAME}=${one}`], {}, 0],
        [[`X-Session: \t ${good} \t`, `Cookie: ${NAME}=garbage`], { count: 1 }, 1]
      ] as const) {
        const answer = await send(...lines)
        t.same([answer.status, dataOf(answer)], [200, data], inspect(lines.map(line => line.slice(0, 20))))
        t.equal(proxy.take().length, calls)
        t.notMatch(answer.text, /set-cookie|\r\nx-session/i)
      }
    })
  }
})

t.test('16 KB of whatever shape are read in a few milliseconds', async t => {
  const unsigned = resolveOptions({ table: 'sessions' })
  const signed = resolveOptions({ table: 'sessions', secrets: Array.from({ length: 3 }, (_, index) => `secret number ${index}`) })
  const { tokens } = resolveOptions({ table: 'sessions', secrets: 'the secret of somebody else' })
  const token = (): string => encodeURIComponent(tokens.sign(tokens.makeId()))
  const full = (part: () => string): string => {
    let text = ''
    while (text.length < 16_000) text += part()
    return text
  }
  const shapes = {
    'one value': `${NAME}=${'A'.repeat(16_000)}`,
    semicolons: ';'.repeat(16_000),
    'equal signs': `${NAME}${'='.repeat(16_000)}`,
    percents: `${NAME}=${'%'.repeat(16_000)}`,
    'broken escapes': `${NAME}=${'%E0%A4'.repeat(2600)}`,
    blanks: `${' '.repeat(8000)}${NAME}=${' '.repeat(8000)}`,
    quotes: `${NAME}=${'"'.repeat(16_000)}`,
    'empty ones of our name': full(() => `${NAME}=;`),
    'companions of our name': full(() => `${NAME}-v=AAAAAAAA.1;`),
    'well-formed forged tokens': full(() => `${NAME}=${token()};`)
  }
  for (const [name, cookie] of Object.entries(shapes)) {
    for (const settings of [unsigned, signed]) {
      const transport = new Transport(settings)
      // The best of some: what the machine does beside is not what is measured.
      const times = Array.from({ length: 8 }, () => {
        const begin = performance.now()
        transport.traces(transport.read({ cookie }), 'A'.repeat(43))
        return performance.now() - begin
      })
      t.ok(Math.min(...times) < 10, `${name}: ${Math.min(...times).toFixed(2)} ms`)
    }
  }
})

/** A stage on which a test runs what it likes in a handler, with the session of a visitor of its own. */
async function setPlay (t: Test, session: Partial<DynamoSessionOptions>) {
  let act: (request: FastifyRequest) => unknown = () => {}
  const stage = await setStage(t, engine, {
    session,
    fastify: { onProtoPoisoning: 'ignore', onConstructorPoisoning: 'ignore' },
    routes: app => {
      addRoutes(app)
      app.post('/play', async request => await act(request) ?? {})
    }
  })
  const ann = stage.visitor()
  return {
    ...stage,
    ann,
    play: async (run: (session: Loose) => unknown): Promise<LightMyRequestResponse> => {
      act = async request => await run(request.session as unknown as Loose)
      return await ann.post('/play')
    }
  }
}

/** A session as code without types sees it. */
interface Loose {
  [key: string]: unknown
  get (key: unknown): unknown
  set (key: unknown, value: unknown): void
  has (key: unknown): boolean
  take (key: unknown): unknown
  keys (): string[]
  data (): Record<string, unknown>
  update (key: unknown, fn: (value: unknown) => unknown): Promise<unknown>
  options (attributes: unknown): void
}

const FORMS: Readonly<Record<string, Partial<DynamoSessionOptions>>> = {
  json: {},
  native: { format: 'native' },
  'sealed json': { encryptionKeys: Buffer.alloc(32, 1), compress: true },
  'sealed native': { format: 'native', encryptionKeys: Buffer.alloc(32, 1) }
}

const MEMBERS = [
  'get', 'set', 'has', 'delete', 'take', 'keys', 'data', 'clear', 'update', 'regenerate', 'destroy', 'save', 'reload', 'touch',
  'bind', 'options', 'id', 'loggableId', 'token', 'isNew', 'isChanged', 'createdAt',
  'lastSeenAt', 'expiresAt', 'version', 'idleTimeout', 'absoluteTimeout', 'toJSON'
]

/** Keys that are weapons elsewhere, and are data here. */
const KEYS = [
  ...Object.getOwnPropertyNames(Object.prototype), ...MEMBERS, 'then', 'catch', 'prototype', 'length', 'name', '___proto__',
  '____proto__', '\0', ' ', '.', 'a.b', '#a', ':a', 'a[0]', '$ne', 'ver', 'data', 'next', 'expires', 'w', 'é', '😀',
  '\u202e', 'k'.repeat(255), '0', '-1', 'S', 'M', 'null', 'undefined'
]

/** Keys that no record can have. */
const NO_KEYS: readonly unknown[] = [
  '', 'k'.repeat(256), 'é'.repeat(128), 'k'.repeat(65_536), 'half\ud800', undefined, null, 0, 1n, {}, [], Symbol('key')
]

const UNSUPPORTED = 'FST_DYNAMODB_SESSION_UNSUPPORTED_VALUE'

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code

/** The code of what a function throws, or undefined. */
async function refusal (run: () => unknown): Promise<unknown> {
  try {
    await run()
    return undefined
  } catch (error) {
    return codeOf(error) ?? error
  }
}

for (const [form, options] of Object.entries(FORMS)) {
  t.test(`keys of any name are data, or refused by name of the fault: ${form}`, async t => {
    const { play, proxy, items } = await setPlay(t, options)
    const keys = [...new Set(KEYS)]
    const written = await play(session => { for (const key of keys) session.set(key, { evil: key }) })
    t.equal(written.statusCode, 200)
    await play(session => {
      t.same(session.keys().sort(), [...keys].sort())
      const data = session.data()
      t.equal(Object.getPrototypeOf(data), Object.prototype)
      const isRight = (key: string): boolean => {
        const isThere = session.has(key) && Object.hasOwn(data, key) && Object.hasOwn(session, key) &&
          isDeepStrictEqual(session.get(key), { evil: key })
        // A member's name is the member; every other is the data.
        return isThere && isDeepStrictEqual(session[key], { evil: key }) === !MEMBERS.includes(key)
      }
      t.same(keys.filter(key => !isRight(key)), [])
      t.same([session['evil'], Reflect.get({}, 'evil')], [undefined, undefined])
    })
    t.same((await items()).length, 1)

    await play(async session => {
      for (const key of keys) {
        const assigned = await refusal(() => { session[key] = { evil: 'property' } })
        if (key === 'idleTimeout' || key === 'absoluteTimeout') t.equal(assigned, 'FST_DYNAMODB_SESSION_BAD_OPTION')
        else t.equal(assigned, MEMBERS.includes(key) ? 'FST_DYNAMODB_SESSION_BAD_KEY' : undefined, key)
      }
    })
    await play(async session => {
      for (const key of ['__proto__', 'constructor', 'toString', 'save', 'then', 'ver']) {
        t.same(
          await session.update(key, value => ({ ...value as object, updated: 1 })),
          { evil: key === 'save' ? 'save' : 'property', updated: 1 }, key
        )
      }
    })
    await play(session => {
      for (const key of ['__proto__', 'constructor', 'toString', 'save', 'then', 'ver']) t.match(session.take(key), { updated: 1 }, key)
      for (const key of keys.slice(20)) session.take(key)
    })
    await play(session => { t.same(session.keys().filter(key => keys.indexOf(key) >= 20 || key === '__proto__'), []) })

    proxy.take()
    await play(async session => {
      for (const key of NO_KEYS) {
        const name = inspect(key).slice(0, 20)
        t.equal(await refusal(() => { session.set(key, 1) }), 'FST_DYNAMODB_SESSION_BAD_KEY', name)
        t.equal(await refusal(async () => await session.update(key, () => 1)), 'FST_DYNAMODB_SESSION_BAD_KEY', name)
        t.same([session.get(key), session.has(key), session.take(key)], [undefined, false, undefined], name)
      }
    })
    t.same(proxy.take(), ['GetItem'], 'nothing is written for them')
    t.same(prototypes(), untouched)
  })
}

class Cart { items = 1 }
const ring: Record<string, unknown> = {}
ring['self'] = ring
const revoked = Proxy.revocable({}, {})
revoked.revoke()
const hostile = new Proxy({}, { ownKeys () { throw new Error('a trap') }, getPrototypeOf () { throw new Error('a trap') } })
const deep = (levels: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = [value]
  return value
}

/** Values that code may assign by mistake or by malice. Each of them comes back as it was, or is refused. */
const VALUES: Readonly<Record<string, unknown>> = {
  NaN: Number.NaN,
  Infinity,
  'minus zero': -0,
  'a great number': Number.MAX_VALUE,
  'a small number': Number.MIN_VALUE,
  'a small bigint': 1n,
  'a bigint': 2n ** 64n,
  'a huge bigint': 10n ** 40n,
  'a Date': new Date(0),
  'a bad Date': new Date(Number.NaN),
  'a Map': new Map([['a', 1]]),
  'a Set': new Set([1, 2]),
  'a WeakMap': new WeakMap(),
  'a ring': ring,
  'a getter that throws': { get a () { throw new Error('a getter') } },
  'a getter that throws null': { get a () { throw null } }, // eslint-disable-line no-throw-literal
  'a toJSON that throws': { toJSON () { throw new Error('no') } },
  'an inherited toJSON': Object.create({ toJSON: () => 'other' }),
  'a Proxy': new Proxy({ a: 1 }, {}),
  'a hostile Proxy': hostile,
  'a revoked Proxy': revoked.proxy,
  'thirty levels': deep(30),
  'very many levels': deep(100_000),
  'half a pair': 'a\ud800b',
  'all code units': String.fromCharCode(...Array.from({ length: 256 }, (_, unit) => unit)),
  'a Buffer': Buffer.from('bytes'),
  bytes: Uint8Array.of(0, 255),
  floats: new Float64Array(2),
  'an ArrayBuffer': new ArrayBuffer(4),
  'an instance': new Cart(),
  'an Error': new Error('x'),
  'a RegExp': /x/,
  'a function': () => 1,
  'a class': Cart,
  'a symbol': Symbol('s'),
  'a promise': Promise.resolve(1),
  'a sparse array': [1, , 2], // eslint-disable-line no-sparse-arrays
  'an array with undefined': [undefined],
  'no prototype': Object.assign(Object.create(null), { a: 1 }),
  'own __proto__': JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'),
  'envelope bytes': Uint8Array.of(0xfd, 0x53, 0x56, 0x01, 0x08, 1, 2, 3),
  boxed: Object(1),
  null: null,
  empty: ''
}

/** Values whose awaiting does something of its own, which is what a function that resolves to them asks for. */
const AWAITED = ['a promise', 'a revoked Proxy']

/** What two values are compared by: bytes are bytes, whoever made them, and JSON and DynamoDB know one zero only. */
function plain (value: unknown): unknown {
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null || value instanceof Set) return value === 0 ? 0 : value
  const copy = {}
  for (const [name, member] of Object.entries(value)) Object.defineProperty(copy, name, { value: plain(member), enumerable: true })
  return copy
}

// That sealing holds native values is seen by their keys, above.
for (const [form, options] of Object.entries(FORMS).slice(0, 3)) {
  t.test(`values of any kind come back as they were, or are refused by name of the fault: ${form}`, async t => {
    const { play, proxy } = await setPlay(t, options)
    await play(session => { session.set('kept', 'kept') })
    let carried = 0
    for (const [name, value] of Object.entries(VALUES)) {
      const wrapped = { list: [{ value }] }
      const codes: unknown[] = []
      const response = await play(async session => {
        codes.push(await refusal(() => { session.set('a', value) }), await refusal(() => { session['b'] = value }))
        codes.push(await refusal(() => { session.set('d', wrapped) }))
        if (!AWAITED.includes(name)) codes.push(await refusal(async () => { await session.update('c', () => value) }))
      })
      t.equal(response.statusCode, 200, name)
      t.same(codes, codes.map((_, index) => index === 2 ? codes[2] : codes[0]), `${name} by each way alike`)
      t.ok(codes.every(code => code === undefined || code === UNSUPPORTED), `${name}: ${inspect(codes)}`)
      carried += codes[0] === undefined ? 1 : 0
      await play(session => {
        const found = ['a', 'b', 'd', 'c'].map(key => session.take(key))
        const expected = codes.map((code, index) => code === undefined ? plain(index === 2 ? wrapped : value) : undefined)
        t.ok(isDeepStrictEqual(found.map(plain), [...expected, undefined].slice(0, 4)), `${name} comes back: ${inspect(found)}`)
        t.equal(session.get('kept'), 'kept')
      })
    }
    t.ok(carried > 8 && carried < Object.keys(VALUES).length - 8, `${carried} kinds are carried`)
    t.ok(proxy.takeCalls().every(({ status }) => status === 200), 'the engine had nothing to refuse')
    t.same(prototypes(), untouched)
  })
}

t.test('undefined deletes, by whatever way it comes', async t => {
  const { play } = await setPlay(t, {})
  await play(session => { for (const key of ['a', 'b', 'c']) session.set(key, 1) })
  await play(async session => {
    session.set('a', undefined)
    session['b'] = undefined
    t.equal(await session.update('c', () => undefined), undefined)
  })
  await play(session => { t.same(session.keys(), []) })
})

t.test('a JSON body with the names of the prototype is refused by Fastify, or is data where the application lets it in', async t => {
  const body = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"save":"x","toJSON":"y",' +
    '"any:deep":{"__proto__":{"admin":true},"list":[{"__proto__":null}]}}'
  const headers = { 'content-type': 'application/json' }
  const closed = await setStage(t, engine)
  const refused = await closed.app.inject({ method: 'POST', url: '/set', payload: body, headers })
  t.same([refused.statusCode, setCookies(refused), closed.proxy.take()], [400, [], []])

  for (const [form, options] of Object.entries(FORMS)) {
    const { ann, play } = await setPlay(t, options)
    t.equal((await ann.request({ method: 'POST', url: '/set', payload: body, headers })).statusCode, 200, form)
    await play(session => {
      t.equal(JSON.stringify(session.data()), body, form)
      t.same(
        [Reflect.get(session.data(), 'admin'), Reflect.get(session.get('any:deep') as object, 'admin'), Reflect.get({}, 'admin')],
        [undefined, undefined, undefined]
      )
    })
    t.match((await ann.get('/me')).body, '"__proto__":{"admin":true}')
  }
  t.same(prototypes(), untouched)
})

t.test('bodies that are broken, in parallel with good ones, get an answer with nobody else\'s token', async t => {
  const { app } = await setStage(t, engine)
  const headers = { 'content-type': 'application/json' }
  const answers = await Promise.all(Array.from({ length: 40 }, async (_, index) => await app.inject({
    method: 'POST', url: '/set', headers, payload: index % 2 === 0 ? `{"count":${index}}` : `{"count":${index}`
  })))
  for (const [index, answer] of answers.entries()) {
    t.same([answer.statusCode, setCookieNames(answer).length], index % 2 === 0 ? [200, 2] : [400, 0])
  }
  const tokens = answers.flatMap(setCookies).filter(text => text.startsWith(`${NAME}=`))
  t.equal(new Set(tokens).size, 20)
})

t.test('options are read whatever prototype they have, and names of the prototype are no options', async t => {
  const bare = (value: object): any => Object.assign(Object.create(null), value)
  const poisoned = (value: object, name: string): any => Object.defineProperty(
    { ...value }, name, { value: { path: '/evil', secure: false }, enumerable: true }
  )
  const base = { table: 'sessions', client: memoryRepository(), verify: false }
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(
    dynamoSession,
    bare({ ...base, now: () => 0, cookie: bare({ name: 'sid', path: '/shop' }), partitionKey: bare({ name: 'key', type: 'S' }) })
  )
  app.get('/shop', async request => {
    request.session.set('count', 1)
    const own = [
      bare({ maxAge: 60 }), poisoned({ maxAge: 60 }, '__proto__'), poisoned({ maxAge: 60 }, 'constructor'),
      poisoned(bare({}), '__proto__'), Object.create({ secure: false })
    ]
    for (const attributes of own) {
      request.session.options(attributes)
    }
    t.throws(() => { request.session.options(null as never) }, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
  })
  const [cookie] = setCookies(await app.inject('/shop'))
  t.match(cookie, /^sid=[\w-]{43}; Max-Age=60; Path=\/shop; HttpOnly; Secure; SameSite=Lax$/)

  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype']) {
    t.throws(() => new SessionManager(poisoned(base, name)), { code: 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION' }, name)
    t.throws(
      () => new SessionManager({ ...base, cookie: poisoned({}, name) }), { code: 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION' },
      `cookie.${name}`
    )
    t.throws(
      () => new SessionManager({ ...base, partitionKey: poisoned({ name: 'id' }, name) }),
      { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, `partitionKey.${name}`
    )
  }
  t.throws(
    () => new SessionManager(Object.create(base)), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: /table/ },
    'what is inherited was not said'
  )
  for (const name of ['partitionKey', 'ttlAttribute'] as const) {
    t.throws(() => new SessionManager({ ...base, [name]: '__proto__' }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, name)
  }
  t.throws(() => new SessionManager({ ...base, header: '__proto__' }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
  t.same(prototypes(), untouched)
})

t.test('nothing was thrown past everybody', async t => {
  await nextTurn()
  t.same(unhandled, [])
})
