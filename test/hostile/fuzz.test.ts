import { deepEqual as same, ok } from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { inspect } from 'node:util'
import { deflateRawSync } from 'node:zlib'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import fc from 'fast-check'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import type { DynamoSessionOptions, Session } from '../../index.js'
import { resolveOptions } from '../../lib/options.js'
import type { Place } from '../../lib/seal.js'
import { hash } from '../../lib/token.js'
import { Clock, setStage } from '../support/app.js'
import { startDynalite, type Engine } from '../support/engines.js'
import { setCookies } from '../support/visitor.js'

type Item = Record<string, AttributeValue>

const NAME = '__Host-id'
const SECRET = 'a secret that is long enough to sign with'
const KEY = Buffer.alloc(32, 5)
/** Twice the attempts of an update (20) and a few: more calls than that no request makes. */
const MOST_CALLS = 45
/** What only the second visitor has. */
const CANARY = 'nobody-else-sees-this'
const CODE = /^FST_DYNAMODB_SESSION_(UNREADABLE|UNAVAILABLE|CONFLICT|GONE|TOO_LARGE|UNSUPPORTED_VALUE|BAD_KEY)$/

/** The id of the visitor whose record is damaged, and the key under which it stands. */
const ID = Buffer.alloc(32, 7).toString('base64url')
const RECORD_KEY = hash(ID)

const unhandled: unknown[] = []
process.on('unhandledRejection', reason => { unhandled.push(reason) })
process.on('uncaughtException', error => { unhandled.push(error) })

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

/** Epoch seconds at which every test stands. */
const NOW = new Clock().seconds

// What a table can hold.

const anyNumber = fc.oneof(
  fc.integer({ min: -5, max: 100 }), fc.maxSafeNat(), fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }),
  fc.constantFrom(NOW - 1, NOW, NOW + 1, NOW + 0.5, NOW * 1000)
).map(String).filter(text => Math.abs(Number(text)) > 1e-100 || Number(text) === 0)

const hugeNumber = fc.constantFrom(
  '1e125', '-1e125', '9.9999999999999999999999999999999999999e125', '1e-130', '12345678901234567890123456789012345678',
  '9007199254740993', '0.12345678901234567890123456789012345678'
)
const anyText = fc.oneof(
  fc.string(), fc.string({ unit: 'binary' }).map(text => text.toWellFormed()),
  fc.constantFrom('', '-', '\0', '__proto__', 'null', RECORD_KEY, ID)
)
const anyBytes = fc.uint8Array({ maxLength: 60 })
const N = fc.oneof({ weight: 3, arbitrary: anyNumber }, hugeNumber).map((text): AttributeValue => ({ N: text }))
const aSet = <T>(
  member: fc.Arbitrary<T>, selector: (value: T) => unknown
) => fc.uniqueArray(member, { minLength: 1, maxLength: 4, selector })

/** Attribute names that a deserialiser keeps. */
const anyName = fc.oneof(
  anyText, fc.constantFrom('count', 'userId', 'any:a', 'constructor', 'save', 'then', '___proto__', 'k'.repeat(255))
).filter(name => name !== '' && name !== '__proto__')

const { anyAttribute } = fc.letrec<{ anyAttribute: AttributeValue }>(tie => ({
  anyAttribute: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    anyText.map(S => ({ S })), N, anyBytes.map(B => ({ B })), fc.boolean().map(BOOL => ({ BOOL })),
    fc.constant({ NULL: true as const }),
    aSet(anyText, it => it).map(SS => ({ SS })), aSet(fc.integer(), it => it).map(list => ({ NS: list.map(String) })),
    aSet(anyBytes, String).map(BS => ({ BS })),
    fc.array(tie('anyAttribute'), { maxLength: 3 }).map(L => ({ L })), fc.dictionary(
      anyName, tie('anyAttribute'), { maxKeys: 3 }
    ).map(M => ({ M: { ...M } }))
  )
}))

const MAGIC = Buffer.from([0xfd, 0x53, 0x56, 0x01])
const NATIVE_TEXTS = [
  '{}', '[]', '5', '{"S":5}', '{"BS":5}', '{"L":null}', '{"M":[1]}', '{"N":"x"}', '{"M":{"__proto__":{"S":"x"}}}', '{"B":{}}',
  '{"SS":1}', '['.repeat(5000), '{"L":['.repeat(900)
]

/** Bytes that begin as an envelope does, with any marks, and what is anything but what they promise. */
const anyEnvelope = fc.tuple(fc.nat(255), fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.constantFrom(...NATIVE_TEXTS).map(text => Buffer.from(text)),
  fc.constantFrom(...NATIVE_TEXTS, '"text"', 'x'.repeat(5000)).map(text => deflateRawSync(Buffer.from(text))),
  // What expands to more than any session holds.
  fc.constant(deflateRawSync(Buffer.alloc(8 * 1024 * 1024)))
)).map(([marks, content]): AttributeValue => ({ B: Buffer.concat([MAGIC, Buffer.from([marks]), content]) }))

const PLACE: Place = { key: RECORD_KEY, name: 'count', format: undefined }

/** What another visitor has, well sealed for a place. */
const sealedBy = (options: object, place: Place, value = CANARY): AttributeValue =>
  resolveOptions({ table: 'sessions', ...options }).envelope.wrap({ S: JSON.stringify(value) }, place)

/** Sealed for another record, session key, format or application, or with another encryption key; and the last for here. */
const misplaced = fc.constantFrom(
  sealedBy({ encryptionKeys: KEY }, { ...PLACE, key: hash('other') }),
  sealedBy({ encryptionKeys: KEY }, { ...PLACE, name: 'other' }),
  sealedBy({ encryptionKeys: KEY }, { ...PLACE, format: 'other' }),
  sealedBy({ encryptionKeys: KEY, keyPrefix: 'other' }, PLACE),
  sealedBy({ encryptionKeys: Buffer.alloc(32, 6) }, PLACE),
  sealedBy({ encryptionKeys: KEY }, PLACE, 'right')
)

const anyValue = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue().map((value): AttributeValue => ({ S: JSON.stringify(value) })) },
  { weight: 2, arbitrary: anyAttribute }, { weight: 2, arbitrary: anyEnvelope }, misplaced,
  fc.constantFrom('', '{', 'undefined', '[1,]', '['.repeat(3000), '{"__proto__":{"admin":true}}', '"\\ud800"').map(S => ({ S }))
)

/** An attribute that may be what it should be, or anything, or missing. */
const often = (
  right: fc.Arbitrary<AttributeValue>, anything: fc.Arbitrary<AttributeValue> = anyAttribute
): fc.Arbitrary<AttributeValue | undefined> =>
  fc.oneof({ weight: 50, arbitrary: right }, anything, fc.constant(undefined))
const seldom = (right: fc.Arbitrary<AttributeValue>): fc.Arbitrary<AttributeValue | undefined> =>
  fc.oneof({ weight: 14, arbitrary: fc.constant(undefined) }, { weight: 2, arbitrary: right }, anyAttribute)

const near = fc.integer({ min: -3600, max: 0 }).map(seconds => ({ N: String(NOW + seconds) }))
const later = fc.integer({ min: 1, max: 7000 }).map(seconds => ({ N: String(NOW + seconds) }))
const successor = fc.oneof(anyText, fc.constantFrom(RECORD_KEY, '-', hash('nobody'), `x${RECORD_KEY}`)).map(S => ({ S }))

/** The record of a session with every attribute of the layout as it should be, as it should not, or not there. */
const anyRecord = fc.record({
  data: often(fc.dictionary(anyName, anyValue, { maxKeys: 5 }).map(M => ({ M: { ...M } }))),
  ver: often(fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 9 }).map(it => ({ N: String(it) })) }, N)),
  created: often(fc.oneof({ weight: 15, arbitrary: near }, N)),
  seen: often(fc.oneof({ weight: 15, arbitrary: near }, N)),
  expires: often(fc.oneof({ weight: 20, arbitrary: later }, N)),
  idle: seldom(N),
  absolute: seldom(N),
  cookie: seldom(N),
  user: seldom(anyText.map(S => ({ S }))),
  next: fc.oneof({ weight: 14, arbitrary: fc.constant(undefined) }, successor, anyAttribute),
  fmt: fc.oneof(
    { weight: 5, arbitrary: fc.constant(undefined) },
    fc.constantFrom('native', 'json', '', 'other', '__proto__', 'constructor').map(S => ({ S })), anyAttribute
  ),
  w: often(fc.dictionary(anyName, fc.oneof(near, N, anyAttribute), { maxKeys: 4 }).map(M => ({ M: { ...M } }))),
  surplus: seldom(anyAttribute)
}).map((attributes): Item => {
  const present = Object.entries(attributes).filter((entry): entry is [string, AttributeValue] => entry[1] !== undefined)
  return { id: { S: RECORD_KEY }, ...Object.fromEntries(present) }
})

/** What the visitor of the damaged record does. Each answers with what it saw. */
const ACTS: Readonly<Record<string, (session: Session) => unknown>> = {
  read: session => inspect(session.data(), { depth: 9 }),
  'read-one': session => inspect([
    session.keys(), session.get('count'), session['any:a'], JSON.stringify(session), session.expiresAt, session.version
  ]),
  change: session => { session.set('count', 2) },
  'change-all': session => { for (const key of session.keys()) session.set(key as 'any:a', 'changed') },
  grow: session => { for (const key of session.keys()) Object.assign(Object(session.get(key as 'any:a')), { more: 1 }) },
  take: session => inspect(session.take('count')),
  clear: session => { session.clear() },
  update: async session => inspect(await session.update('any:a', value => [value ?? null, 'updated'])),
  touch: session => { session.touch() },
  prolong: session => { session.idleTimeout = 6000 },
  'save-and-reload': async session => {
    session.set('count', 3)
    await session.save()
    await session.reload()
    return inspect(session.data())
  },
  'log-in': async session => {
    await session.regenerate()
    session.set('userId', 'u')
  },
  'new-id': async session => { await session.regenerate(true) },
  remember: async session => {
    session.options({ maxAge: 600 })
    await session.regenerate(['count'])
    session.set('userId', 'u')
  },
  'log-out': async session => { await session.destroy() }
}

function addActs (app: FastifyInstance): void {
  for (const [name, act] of Object.entries(ACTS)) {
    app.post(`/${name}`, async ({ session }) => ({ saw: await act(session), id: session.id }))
  }
}

/** A second visitor, and how to see that nobody came near to their session. */
async function setWitness (t: Test, options: Partial<DynamoSessionOptions>) {
  const stage = await setStage(
    t, engine, { session: { secrets: SECRET, ...options }, fastify: { disableRequestLogging: true }, routes: addActs }
  )
  const session = await stage.app.sessions.create({ userId: CANARY, 'any:a': [CANARY] })
  const headersOf = (token: string): { cookie: string } => ({ cookie: `${NAME}=${encodeURIComponent(token)}` })
  const bob = headersOf(session.token ?? '')
  const key = session.loggableId ?? ''
  const before = await stage.item(key)
  // An act is cut off before it costs hundreds of calls, as a log-out does where a record is its own successor.
  let calls = 0
  const refusal = { status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'enough' } }
  stage.proxy.intercept = () => ++calls > MOST_CALLS ? refusal : undefined
  return {
    ...stage,
    key,
    calls: () => calls,
    allow: (): void => { calls = 0 },
    eve: headersOf(resolveOptions({ table: 'sessions', secrets: SECRET }).tokens.sign(ID)),
    assertUntouched: async (): Promise<void> => {
      same(await stage.item(key), before)
      calls = 0
      const { saw } = (await stage.app.inject({ method: 'POST', url: '/read', headers: bob })).json()
      ok(String(saw).includes(CANARY))
    }
  }
}

/** What no answer may be: a failure without a name of ours, or a word of another visitor's. */
function assertDecent (response: LightMyRequestResponse): void {
  const { statusCode, body } = response
  if (statusCode >= 400) ok(CODE.test(response.json().code), body)
  ok(!body.includes(CANARY) && !JSON.stringify(response.headers).includes(CANARY), body)
  for (const text of setCookies(response)) ok(/^__Host-id(-v)?=[\w%.-]*; [ -~]*$/.test(text), text)
}

/** One of each kind, so that no run goes without: sound, gone, and of a format that is not known here. */
const SOUND = { id: { S: RECORD_KEY }, data: { M: {} }, ver: { N: '1' }, created: { N: String(NOW) }, seen: { N: String(NOW) }, expires: { N: String(NOW + 60) } }
const EXAMPLES: Array<[Item, string[]]> = [SOUND, { ...SOUND, next: { S: '-' } }, { ...SOUND, fmt: { S: 'other' }, data: { M: { count: { S: '1' } } } }].map(item => [item, ['read', 'read']])

const STAGES: Readonly<Record<string, Partial<DynamoSessionOptions>>> = {
  plain: {},
  native: { format: 'native', conflict: 'reject' },
  sealed: { encryptionKeys: KEY, compress: true }
}

for (const [name, options] of Object.entries(STAGES)) {
  t.test(`whatever stands under the key of a token, its visitor gets an answer and nobody else is touched: ${name}`, async t => {
    const { app, put, eve, log, allow, assertUntouched } = await setWitness(t, options)
    const seen = new Map<string, number>()
    let runs = 0
    const someActs = fc.array(fc.constantFrom(...Object.keys(ACTS)), { minLength: 1, maxLength: 2 })
    await fc.assert(fc.asyncProperty(anyRecord, someActs, async (item, acts) => {
      await put(item)
      for (const act of acts) {
        allow()
        const response = await app.inject({ method: 'POST', url: `/${act}`, headers: eve })
        assertDecent(response)
        const outcome = response.statusCode === 200 ? (response.json().id === ID ? 'alive' : 'blank') : response.json().code
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
      }
      // What was changed stays changed, so it is enough to look now and then, and at the end.
      if (++runs % 20 === 0) await assertUntouched()
    }), { numRuns: 60, examples: EXAMPLES })
    await assertUntouched()
    t.comment(`${name}: ${inspect(Object.fromEntries(seen))}`)
    for (const outcome of ['alive', 'blank', 'FST_DYNAMODB_SESSION_UNREADABLE']) {
      t.ok((seen.get(outcome) ?? 0) > 1, `${outcome}: ${seen.get(outcome)} times`)
    }
    t.notOk(JSON.stringify(log.lines).includes(CANARY), 'nothing of it is in the log')
    t.notOk(JSON.stringify(log.lines).includes(ID), 'nor the id')
  })
}

/** The record of a living session, with something beside what it should have. */
function recordWith (attributes: Item): Item {
  const at = (instant: number): AttributeValue => ({ N: String(instant) })
  const instants = { created: at(NOW - 2000), seen: at(NOW - 1000), expires: at(NOW + 60) }
  return { id: { S: RECORD_KEY }, data: { M: { count: { S: '1' } } }, ver: { N: '1' }, ...instants, ...attributes }
}

t.test('a record that names another visitor\'s as its successor is dead, and leads nobody there', async t => {
  const { app, put, eve, allow, assertUntouched, key } = await setWitness(t, {})
  for (const act of Object.keys(ACTS).filter(act => act !== 'log-out')) {
    await put(recordWith({ next: { S: key } }))
    allow()
    const response = await app.inject({ method: 'POST', url: `/${act}`, headers: eve })
    assertDecent(response)
    t.not(response.json().id, ID, act)
    await assertUntouched()
  }
})

t.test('a sealed value of another place stays closed, and is left as it is', async t => {
  const { app, put, eve, allow, item } = await setWitness(t, STAGES['sealed'] ?? {})
  const moved = fc.sample(misplaced, 60)
  for (const value of new Set(moved)) {
    await put(recordWith({ data: { M: { count: value } } }))
    allow()
    const response = await app.inject({ method: 'POST', url: '/read', headers: eve })
    assertDecent(response)
    if (response.statusCode === 200) t.match(response.json().saw, /count: 'right'/)
    else t.equal(response.json().code, 'FST_DYNAMODB_SESSION_UNREADABLE')
    t.same((await item(RECORD_KEY))?.['data']?.M?.['count']?.B, new Uint8Array(value.B ?? []))
  }
})

t.test('a timeout of its own that cannot be read does not turn one request into hundreds of calls', async t => {
  const { app, put, eve, allow, calls } = await setWitness(t, {})
  for (const idle of [{ S: '60' }, { N: '-5' }, { N: '12345678901234567890' }]) {
    for (const act of ['update', 'change', 'touch']) {
      await put(recordWith({ idle }))
      allow()
      assertDecent(await app.inject({ method: 'POST', url: `/${act}`, headers: eve }))
      t.ok(calls() <= MOST_CALLS, `${act} beside ${JSON.stringify(idle)}: ${calls()} calls`)
    }
  }
})

t.test('a cookie is never told to live longer than browsers let it, whatever its record says', async t => {
  const { app, put, eve, allow } = await setWitness(t, {})
  for (const seconds of ['600', '1e9', '1e125', '0.5', '-1', '0']) {
    await put(recordWith({ cookie: { N: seconds } }))
    allow()
    const response = await app.inject({ method: 'POST', url: '/new-id', headers: eve })
    assertDecent(response)
    const [, life = '1'] = /; Max-Age=([^;]*)/.exec(setCookies(response)[0] ?? '') ?? []
    t.match(life, /^[1-9][0-9]*$/, `${seconds} becomes ${life}`)
    t.ok(Number(life) <= 400 * 24 * 60 * 60, `${seconds} becomes ${life}`)
  }
})

/** One change of a text, as an attacker tries them. */
type Change = readonly [kind: 'insert' | 'delete' | 'replace' | 'duplicate', at: number, length: number, text: string]

const anyChange: fc.Arbitrary<Change> = fc.tuple(
  fc.constantFrom('insert', 'delete', 'replace', 'duplicate'), fc.integer({ min: 0, max: 999 }).map(part => part / 1000), fc.nat(60),
  fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.constantFrom(';', '; ', '=', '%', '%00', '"', ',', '$', ' ', '\t', `${NAME}=`, `; ${NAME}=`, '-v', 'A')
  )
)

function changed (text: string, [kind, part, length, inserted]: Change): string {
  const at = Math.floor(part * text.length)
  const [before, after] = [text.slice(0, at), text.slice(at)]
  switch (kind) {
    case 'insert': return before + inserted + after
    case 'delete': return before + after.slice(1 + length % 5)
    case 'replace': return before + inserted + after.slice(inserted.length)
    case 'duplicate': return before + after.slice(0, length) + after
  }
}

/** A text with its escapes undone, broken ones left as they are. */
const unescaped = (text: string): string => text.replaceAll(
  /%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))
)

for (const secrets of [SECRET, undefined]) {
  const signing = secrets === undefined ? 'not signed' : 'signed'
  t.test(`a Cookie header leads to the session whose token it holds, or to none: ${signing}`, async t => {
    const { app, proxy } = await setStage(
      t, engine, { session: secrets === undefined ? {} : { secrets }, fastify: { disableRequestLogging: true }, routes: addActs }
    )
    const make = async (userId: string) => await app.sessions.create({ userId })
    const [ann, bob] = [await make('ann'), await make(CANARY)]
    const [annToken, bobToken] = [ann.token ?? '', bob.token ?? '']
    const read = async (cookie: string): Promise<string | undefined> => {
      proxy.take()
      const response = await app.inject({ method: 'POST', url: '/read', headers: { cookie } })
      assertDecent(response)
      same([response.statusCode, setCookies(response)], [200, []])
      ok(proxy.take().length <= 2, 'a read, and one more where a companion asks for it')
      return response.json().id
    }

    await t.test('random headers', async t => {
      const anyHeader = fc.oneof(
        fc.string({ unit: 'binary', maxLength: 200 }), fc.string({ maxLength: 200 }),
        fc.array(fc.tuple(
          fc.oneof(fc.constantFrom(NAME, `${NAME}-v`, '__proto__', ''), fc.string()),
          fc.oneof(fc.string(), fc.base64String(), fc.constant(bob.loggableId))
        ))
          .map(pairs => pairs.map(([name, value]) => `${name}=${value}`).join('; '))
      )
      await fc.assert(fc.asyncProperty(anyHeader, async header => { same(await read(header), undefined) }), { numRuns: 150 })
      t.pass()
    })

    await t.test('a good header with some changes', async t => {
      const good = `theme=dark; ${NAME}=${encodeURIComponent(annToken)}; ${NAME}-v=${ann.loggableId?.slice(0, 8)}.1`
      let found = 0
      await fc.assert(fc.asyncProperty(fc.array(anyChange, { minLength: 1, maxLength: 4 }), async changes => {
        const header = changes.reduce(changed, good)
        const id = await read(header)
        ok(id === undefined || id === ann.id)
        if (id === undefined) return
        found += 1
        ok(unescaped(header).includes(annToken), 'its whole token is there')
      }), { numRuns: 150 })
      t.ok(found > 10 && found < 140, `${found} still led to the session`)
    })

    await t.test('two tokens, shuffled and spliced, never make a third, nor lead to the one that is not whole', async t => {
      const cut = fc.nat(annToken.length)
      await fc.assert(fc.asyncProperty(cut, cut, fc.boolean(), async (a, b, isFirst) => {
        const spliced = annToken.slice(0, a) + bobToken.slice(b)
        const whole = spliced === annToken ? ann.id : spliced === bobToken ? bob.id : undefined
        const parts = [`${NAME}=${encodeURIComponent(spliced)}`, 'a=1']
        const response = await app.inject({
          method: 'POST', url: '/read', headers: { cookie: (isFirst ? parts : parts.reverse()).join('; ') }
        })
        same([response.statusCode, response.json().id], [200, whole])
      }), { numRuns: 100 })
      t.pass()
    })
  })
}

t.test('nothing was thrown past everybody', async t => {
  await nextTurn()
  t.same(unhandled, [])
})
