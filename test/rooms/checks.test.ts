import t from 'tap'
import { dynamodbSessionWeb } from '../../import/index.js'
import { CACHE_CHECKS, CHECKS } from '../../lib/checks.js'
import { resolveOptions } from '../../lib/options.js'

const table = 'sessions'
const SECRET = 'a secret that is long enough to sign with'
const codec = { name: 'text', encode: String, decode: String }
const KEY = Uint8Array.from({ length: 32 }, (_, index) => index)
const OLD_KEY = Uint8Array.from({ length: 32 }, (_, index) => 255 - index)
const NO_KEYS = [null, 0, true, '', {}, [], 'x'.repeat(32), '00'.repeat(32), new Uint8Array(), new Uint8Array(31), new Uint8Array(33), new Uint16Array(32),
  new ArrayBuffer(32), [...KEY]]

const READER = dynamodbSessionWeb()

const BAD = 'FST_DYNAMODB_SESSION_BAD_OPTION'

/** What is wrong for an option that is a text, a number and so on. */
const NOT_TEXT = [null, 0, true, [], {}, Symbol('text'), () => {}]
const NOT_BOOLEAN = [null, 0, 1, 'true', '', {}, []]
const NOT_SECONDS = [null, true, '60', [], {}, Number.NaN, Number.POSITIVE_INFINITY, -1]

/** One more session key than can be indexed. */
const MANY = Array.from({ length: 21 }, (_, index) => `key${index}`)

const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  table: [...NOT_TEXT, '', 'ab', 'x'.repeat(256), 'a table', 'sessions\n', 'arn:aws:s3:::bucket', 'arn:aws:dynamodb:eu-central-1:1:table/sessions'],
  client: [null, 'http://127.0.0.1', 1, true, [], () => {}],
  partitionKey: [null, 0, true, [], {}, '', ' ', 'x'.repeat(256), 'clé', { type: 'S' }, { name: '' }, { name: 1 }, { name: 'id', type: 'N' },
    { name: 'id', type: null }, { name: 'id', kind: 'S' }, JSON.parse('{ "name": "id", "__proto__": {} }')],
  keyPrefix: [null, 0, true, [], {}, 'x'.repeat(2006), 'é'.repeat(1003), '\ud800'],
  ttlAttribute: [...NOT_TEXT, '__proto__', '', ' ', 'x'.repeat(256)],
  idleTimeout: [...NOT_SECONDS, 0, 0.999],
  absoluteTimeout: [...NOT_SECONDS, 0, 0.999],
  reissueTime: [...NOT_SECONDS, false],
  idleTracking: ['', 'Cookie', null, true, {}],
  cookie: [null, true, 'name', 1, [], () => {}],
  header: [...NOT_TEXT, '', 'x session', 'x-session:', 'x\r\nsession', 'é', 'Cookie', 'set-cookie', '__proto__', 'Content-Type', 'constructor', 'ETag', 'Location'],
  secrets: [null, 0, true, {}, '', [], [''], [SECRET, ''], [SECRET, 1], [[SECRET]], new Array(1), Buffer.from(SECRET)],
  idBytes: [null, true, '32', 15, 1025, 16.5, Number.NaN, Number.POSITIVE_INFINITY],
  consistentRead: NOT_BOOLEAN,
  conflict: ['last', '', null, true, {}],
  format: [null, true, 1, '', 'JSON', 'msgpack', [], {}, { ...codec, name: '' }, { ...codec, name: 'json' }, { ...codec, name: 'native' }, { ...codec, name: '\ud800' },
    { ...codec, name: 'x'.repeat(65) }, { ...codec, name: 1 }, { ...codec, encode: 'String' }, { name: 'text', encode: String }],
  encryptionKeys: [...NO_KEYS, ...NO_KEYS.map(bad => [bad]), ...NO_KEYS.map(bad => [KEY, bad]), new Array(1)],
  acceptPlainUntil: [null, 0, true, '2026-01-01', {}, [], 1_800_000_000_000, new Date(Number.NaN)],
  compress: NOT_BOOLEAN,
  maxSize: [null, true, '1000', 0, -1, 1.5, 409_601, Number.NaN],
  timeout: [...NOT_SECONDS, false, 0, 901],
  readFailure: ['blank', '', null, true, {}],
  saveOnServerError: NOT_BOOLEAN,
  batchReads: NOT_BOOLEAN,
  cache: [null, true, 1, 'ttl', [], () => {}],
  verify: NOT_BOOLEAN,
  createTable: [null, 0, 'true', [], { Tags: [() => {}] }],
  userIndex: [null, 'yes', 1, []],
  indexKeys: ['userId', {}, null, true, [1], [null], [undefined], new Array(1), [''], ['__proto__'], ['a key'], ['x'.repeat(256)], [['a']], [{ key: 'a' }],
    [{ plain: true }], [{ key: 'a', plain: false }], [{ key: 'a', plain: true, sparse: true }], [{ key: '', plain: true }], MANY],
  importFrom: [null, {}, 'x', [null], [{}], [{ ...READER, idOf: 'x' }], [{ ...READER, cookieName: undefined }], [{ ...READER, table: 'x' }], Object.assign([], { 1: READER })],
  sessionName: [...NOT_TEXT, '', '1st', '_session', 'my session', 'my-session', 'x'.repeat(65), '__proto__', 'v'],
  now: [null, 0, 'now', {}, true, new Date(0)]
}

/** What is right beside the defaults: the borders above all. */
const RIGHT: Readonly<Record<string, readonly unknown[]>> = {
  table: ['abc', 'x'.repeat(255), 'my_table-1.0', 'arn:aws:dynamodb:eu-central-1:123456789012:table/sessions', 'arn:aws-us-gov:dynamodb:us-gov-west-1:123456789012:table/sessions'],
  client: [{}, { region: 'eu-central-1' }],
  partitionKey: ['pk', 'x'.repeat(255), 'a.b', { name: 'pk' }, { name: 'pk', type: 'S' }, { name: 'pk', type: 'B' }, { name: 'pk', type: undefined }],
  keyPrefix: ['', 'shop#', 'x'.repeat(2005), '🛒'],
  ttlAttribute: ['ttl', 'x'.repeat(255)],
  idleTimeout: [1, 1.5, false],
  absoluteTimeout: [1, 1.5, false, 31_536_000],
  reissueTime: [0, 0.5, 7199],
  idleTracking: ['table'], // 'cookie' has conditions of its own
  cookie: [{}, { name: 'sid' }],
  header: ['x-session', 'Authorization'],
  secrets: [SECRET, [SECRET], [SECRET, 'older']],
  idBytes: [16, 1024],
  consistentRead: [true, false],
  conflict: ['merge', 'reject'],
  format: ['json', 'native', codec, { ...codec, name: 'x'.repeat(64) }],
  encryptionKeys: [KEY, Buffer.from(KEY), [KEY], [KEY, OLD_KEY], [Buffer.from(KEY), OLD_KEY]],
  acceptPlainUntil: [new Date(0), new Date(8.64e15)],
  compress: [true, false],
  maxSize: [1, 409_600],
  timeout: [0.001, 0.5, 900],
  readFailure: ['error', 'anonymous'],
  saveOnServerError: [true, false],
  batchReads: [true, false],
  cache: [false, { ttl: 0.001, max: 1 }, { ttl: 10, max: 1_000_000 }, { ttl: 1.5, max: 100 }],
  verify: [true, false],
  createTable: [true, false, {}, { ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 } }],
  userIndex: [true, false, {}, { maxSessions: 1 }, { maxSessions: 1000 }, { maxSessions: undefined }],
  indexKeys: [[], ['userId'], [{ key: 'userId', plain: true }, 'constructor'], ['a.b', 'x'.repeat(255)], MANY.slice(1)],
  importFrom: [[], [READER], [READER, dynamodbSessionWeb()]],
  sessionName: ['admin', 'A', 'admin_2', 'x'.repeat(64)],
  now: [Date.now, () => 0]
}

/** Options that go with another only. */
const NEEDS: Readonly<Record<string, object>> = { acceptPlainUntil: { encryptionKeys: KEY } }

function textOf (name: string, value: unknown): string {
  return `${name}: ${String(JSON.stringify(value)).slice(0, 60)}`
}

t.test('each option has a check, and what to say where it fails', async t => {
  t.same(Object.keys(CHECKS), Object.keys(WRONG))
  t.same(Object.keys(CHECKS), Object.keys(RIGHT))
  for (const [name, [, remark]] of Object.entries(CHECKS)) t.match(remark, /^must be /, name)
})

t.test('every option refuses a wrong type and a wrong value, and is named', async t => {
  for (const [name, values] of Object.entries(WRONG)) {
    for (const value of values) {
      t.throws(() => resolveOptions({ table, [name]: value }), { code: BAD, message: `Option "${name}" ` }, textOf(name, value))
    }
  }
})

t.test('every option takes the values at its borders, and undefined for its default', async t => {
  for (const [name, values] of Object.entries(RIGHT)) {
    const [check] = CHECKS[name as keyof typeof CHECKS]
    for (const value of values) t.equal(check(value), true, textOf(name, value))
    for (const value of [...values, ...name === 'table' ? [] : [undefined]]) {
      t.doesNotThrow(() => resolveOptions({ table, ...NEEDS[name], [name]: value }), textOf(name, value))
    }
  }
})

t.test('a cache has seconds up to ten, and a whole number of sessions', async t => {
  const { ttl: [isTtl], max: [isMax] } = CACHE_CHECKS
  for (const seconds of [0.001, 1.5, 10]) t.equal(isTtl(seconds), true)
  for (const seconds of [0, -1, 10.001, '1', true, null, Number.NaN]) t.equal(isTtl(seconds), false)
  for (const sessions of [1, 1_000_000]) t.equal(isMax(sessions), true)
  for (const sessions of [0, 1.5, 1_000_001, '1', true, null]) t.equal(isMax(sessions), false)
})
