import t from 'tap'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { resolveOptions, type Settings } from '../lib/options.js'
import { jsonFormat } from '../lib/json.js'
import { nativeFormat } from '../lib/native.js'

const table = 'sessions'
const SECRET = 'a secret that is long enough to sign with'
const codec = { name: 'text', encode: String, decode: String }
const KEY = Uint8Array.from({ length: 32 }, (_, index) => index)
const OLD_KEY = Uint8Array.from({ length: 32 }, (_, index) => 255 - index)
const NO_KEYS = [null, 0, true, '', {}, [], 'x'.repeat(32), '00'.repeat(32), new Uint8Array(), new Uint8Array(31), new Uint8Array(33), new Uint16Array(32),
  new ArrayBuffer(32), [...KEY]]
const PLACE = { key: 'a record', name: 'a key' }
const LONG = { S: 'x'.repeat(5000) }

const BAD = 'FST_DYNAMODB_SESSION_BAD_OPTION'
const UNKNOWN = 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION'

/** What is wrong for an option that is a text, a number and so on. */
const NOT_TEXT = [null, 0, true, [], {}, Symbol('text'), () => {}]
const NOT_BOOLEAN = [null, 0, 1, 'true', '', {}, []]
const NOT_SECONDS = [null, true, '60', [], {}, Number.NaN, Number.POSITIVE_INFINITY, -1]

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
  sessionName: ['admin', 'A', 'admin_2', 'x'.repeat(64)],
  now: [Date.now, () => 0]
}

/** Options that go with another only. */
const NEEDS: Readonly<Record<string, object>> = { acceptPlainUntil: { encryptionKeys: KEY } }

function resolveWith (name: string, value: unknown) {
  return resolveOptions({ table, [name]: value })
}

/** Settings that can be compared. */
function withoutTools ({ tokens, formats, envelope, client, ...plain }: Settings) {
  return plain
}

t.test('every option refuses a wrong type and a wrong value, and is named', async t => {
  for (const [name, values] of Object.entries(WRONG)) {
    for (const value of values) {
      t.throws(() => resolveWith(name, value), { code: BAD, message: `Option "${name}" ` }, `${name}: ${String(JSON.stringify(value)).slice(0, 60)}`)
    }
  }
})

t.test('every option takes the values at its borders, and undefined for its default', async t => {
  t.same(Object.keys(RIGHT), Object.keys(WRONG), 'both lists have every option')
  for (const [name, values] of Object.entries(RIGHT)) {
    for (const value of [...values, ...name === 'table' ? [] : [undefined]]) {
      t.doesNotThrow(() => resolveOptions({ table, ...NEEDS[name], [name]: value }), `${name}: ${String(JSON.stringify(value)).slice(0, 60)}`)
    }
  }
})

t.test('the list of known options in a message is the whole list', async t => {
  t.throws(() => resolveWith('somethingElseAltogether', 1), { code: UNKNOWN, message: `Known are ${Object.keys(WRONG).join(', ')}.` })
})

t.test('the table is required, and so is an object or a name', async t => {
  for (const given of [undefined, null, 1, true, [], () => {}]) {
    t.throws(() => resolveOptions(given), { code: BAD, message: 'Option "table" is required' }, String(given))
  }
  for (const given of [{}, { table: undefined }]) t.throws(() => resolveOptions(given), { code: BAD, message: 'Option "table" is required.' })
  t.throws(() => resolveOptions(''), { code: BAD, message: 'Option "table" must be' })
})

t.test('a text is short for the table', async t => {
  const { layout } = resolveOptions('sessions')
  t.same(layout, resolveOptions({ table: 'sessions' }).layout)
  t.equal(layout.table, 'sessions')
})

t.test('an option that nobody knows is refused with the nearest known name', async t => {
  const typos = { tabel: 'table', Table: 'table', secret: 'secrets', idleTimeOut: 'idleTimeout', absolutTimeout: 'absoluteTimeout', cookies: 'cookie', ttlAtribute: 'ttlAttribute' }
  for (const [typo, nearest] of Object.entries(typos)) {
    t.throws(() => resolveWith(typo, undefined), { code: UNKNOWN, message: `Unknown option "${typo}". Did you mean "${nearest}"?` })
  }
  const inCookie = { samesite: 'sameSite', httponly: 'httpOnly', maxage: 'maxAge', secured: 'secure' }
  for (const [typo, nearest] of Object.entries(inCookie)) {
    t.throws(() => resolveWith('cookie', { [typo]: 1 }), { code: UNKNOWN, message: `Unknown option "cookie.${typo}". Did you mean "cookie.${nearest}"?` })
  }
  t.throws(() => resolveWith('cookie', { expires: 1 }), {
    code: UNKNOWN,
    message: 'Unknown option "cookie.expires". Known are name, path, domain, secure, httpOnly, sameSite, partitioned, priority, maxAge.'
  })
})

t.test('options that the product does not have are unknown, and none is taken for another', async t => {
  for (const name of ['indexKeys', 'userIndex', 'importFrom', 'ttl', 'prefix']) {
    t.throws(() => resolveWith(name, true), { code: UNKNOWN, message: `Unknown option "${name}". Known are table, ` })
  }
})

t.test('options without a prototype are options, and names of the prototype are unknown ones', async t => {
  const bare = Object.assign(Object.create(null), { table, cookie: Object.assign(Object.create(null), { name: 'sid' }), client: Object.create(null) })
  t.equal(resolveOptions(bare).cookie.name, 'sid')
  for (const text of ['{ "table": "sessions", "__proto__": { "verify": false } }', '{ "table": "sessions", "constructor": {} }',
    '{ "table": "sessions", "cookie": { "__proto__": { "secure": false } } }', '{ "table": "sessions", "cookie": { "constructor": {} } }']) {
    t.throws(() => resolveOptions(JSON.parse(text)), { code: UNKNOWN }, text)
  }
  const inherited = Object.create({ verify: false, cookie: { secure: false } })
  inherited.table = table
  t.equal(resolveOptions(inherited).verify, true, 'inherited members are no options')
  t.equal(resolveOptions({ table, cookie: Object.create({ secure: false }) }).cookie.secure, true)
  t.equal(({} as Record<string, unknown>)['verify'], undefined)
})

t.test('the last activity is kept in a cookie only where it is signed and the session ends without it', async t => {
  const secrets = 'a secret that is long enough to sign with'
  t.equal(resolveOptions({ table, secrets, idleTracking: 'cookie' }).idleTracking, 'cookie')
  const refused = (options: object) => t.throws(() => resolveOptions({ table, idleTracking: 'cookie', ...options }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: /idleTracking/ })
  refused({})
  refused({ secrets, absoluteTimeout: false })
  t.ok(resolveOptions({ table, idleTracking: 'table', absoluteTimeout: false }))
})

t.test('what is left out has its default', async t => {
  const settings = resolveOptions({ table })
  const { tokens, formats, envelope, ...plain } = settings
  t.strictSame(plain, {
    layout: { table, partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires' },
    client: {},
    idleTimeout: 7200,
    absoluteTimeout: 43_200,
    idleTracking: 'table',
    reissueTime: 720,
    cookie: { name: '__Host-id', path: '/', secure: true, httpOnly: true, sameSite: 'lax' },
    usesCookie: true,
    header: undefined,
    consistentRead: false,
    conflict: 'merge',
    maxSize: 409_600,
    timeout: 3,
    readFailure: 'error',
    saveOnServerError: false,
    batchReads: true,
    cache: false,
    verify: true,
    createTable: false,
    sessionName: 'session',
    now: Date.now
  })
  t.equal(tokens.length, 43, '32 bytes, not signed')
  t.equal(formats.preferred, jsonFormat)
  t.equal(envelope.wrap(LONG, PLACE), LONG, 'neither sealed nor compressed')
})

t.test('what is given counts', async t => {
  const client = new DynamoDBClient({})
  t.teardown(() => client.destroy())
  const now = () => 0
  const settings = resolveOptions({
    table,
    client,
    partitionKey: { name: 'pk', type: 'B' },
    ttlAttribute: 'ttl',
    idleTimeout: 60.5,
    absoluteTimeout: false,
    cookie: { name: 'sid', maxAge: 60 },
    header: 'X-Session',
    secrets: SECRET,
    idBytes: 16,
    consistentRead: true,
    conflict: 'reject',
    format: 'native',
    maxSize: 1000,
    timeout: 0.5,
    readFailure: 'anonymous',
    saveOnServerError: true,
    batchReads: false,
    verify: false,
    createTable: true,
    sessionName: 'admin',
    now
  })
  const { tokens, formats, envelope, ...plain } = settings
  t.strictSame(plain, {
    layout: { table, partitionKey: { name: 'pk', type: 'B' }, keyPrefix: '', ttlAttribute: 'ttl' },
    client,
    idleTimeout: 60.5,
    absoluteTimeout: false,
    idleTracking: 'table',
    reissueTime: 6.05,
    cookie: { name: 'sid', path: '/', secure: true, httpOnly: true, sameSite: 'lax', maxAge: 60 },
    usesCookie: true,
    header: 'x-session',
    consistentRead: true,
    conflict: 'reject',
    maxSize: 1000,
    timeout: 0.5,
    readFailure: 'anonymous',
    saveOnServerError: true,
    batchReads: false,
    cache: false,
    verify: false,
    createTable: {},
    sessionName: 'admin',
    now
  })
  t.equal(settings.client, client, 'a client is used as it is')
  t.equal(tokens.length, 22 + 44, '16 bytes, signed')
  t.equal(formats.preferred, nativeFormat)
  t.equal(resolveOptions({ table, format: codec }).formats.preferred.name, 'text')
  t.equal(envelope.wrap(LONG, PLACE), LONG)
})

t.test('a cache has a time of ten seconds at most and room for one session at least, both named, and nothing else', async t => {
  const cache = { ttl: 1, max: 10 }
  const settings = resolveOptions({ table, cache })
  t.strictSame(settings.cache, cache)
  t.ok(Object.isFrozen(settings.cache))
  cache.ttl = 99
  t.strictSame(settings.cache, { ttl: 1, max: 10 }, 'it is copied')
  for (const ttl of [undefined, null, '1', true, 0, -1, 10.001, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => resolveOptions({ table, cache: { max: 10, ttl } }), { code: BAD, message: 'Option "cache.ttl" must be seconds, more than 0 and at most 10.' }, String(ttl))
  }
  for (const max of [undefined, null, '1', true, 0, -1, 1.5, 1_000_001, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => resolveOptions({ table, cache: { ttl: 1, max } }), { code: BAD, message: 'Option "cache.max" must be a whole number of sessions from 1 to 1000000.' }, String(max))
  }
  t.throws(() => resolveOptions({ table, cache: { ttl: 1, max: 1, maxx: 1 } }), { code: UNKNOWN, message: 'Unknown option "cache.maxx". Did you mean "cache.max"?' })
  t.throws(() => resolveOptions({ table, cache: { ttl: 1, max: 1, allowStale: true } }), { code: UNKNOWN, message: 'Unknown option "cache.allowStale". Known are ttl, max.' })
  t.throws(() => resolveOptions({ table, cache: { ttl: 1, max: 1 }, consistentRead: true }), { code: BAD, message: 'Option "cache" goes without "consistentRead"' })
  t.doesNotThrow(() => resolveOptions({ table, cache: false, consistentRead: true }))
})

t.test('keys and compression make the envelope of values', async t => {
  const sizeOf = (options: object) => resolveOptions({ table, ...options }).envelope.wrap(LONG, PLACE).B?.length
  t.equal(sizeOf({}), undefined)
  t.equal(sizeOf({ encryptionKeys: KEY }), 5037)
  for (const options of [{ compress: true }, { compress: true, encryptionKeys: [KEY] }]) t.ok(Number(sizeOf(options)) < 300)
})

t.test('values are sealed with the newest key, opened with any, and for one key prefix', async t => {
  const envelopeOf = (options: object) => resolveOptions({ table, ...options }).envelope
  const rotated = envelopeOf({ encryptionKeys: [KEY, OLD_KEY] })
  t.strictSame(envelopeOf({ encryptionKeys: [KEY] }).unwrap(rotated.wrap(LONG, PLACE), PLACE), LONG)
  t.strictSame(rotated.unwrap(envelopeOf({ encryptionKeys: OLD_KEY }).wrap(LONG, PLACE), PLACE), LONG)
  const other = envelopeOf({ encryptionKeys: [KEY, OLD_KEY], keyPrefix: 'shop#' })
  t.throws(() => other.unwrap(rotated.wrap(LONG, PLACE), PLACE), { code: 'FST_DYNAMODB_SESSION_UNREADABLE' })
})

t.test('values that are not sealed are refused where keys are set, or taken until a date by the clock that was given', async t => {
  const until = Date.UTC(2026, 0, 2)
  let ms = until - 1
  const options = { table, encryptionKeys: KEY, now: () => ms }
  t.throws(() => resolveOptions(options).envelope.unwrap(LONG, PLACE), { code: 'FST_DYNAMODB_SESSION_UNREADABLE', message: /is not sealed/ })
  const date = new Date(until)
  const { envelope } = resolveOptions({ ...options, acceptPlainUntil: date })
  date.setTime(0)
  t.equal(envelope.unwrap(LONG, PLACE), LONG, 'the caller\'s date was copied')
  ms = until
  t.throws(() => envelope.unwrap(LONG, PLACE), { code: 'FST_DYNAMODB_SESSION_UNREADABLE', message: /is not sealed/ })
  for (const given of [{}, { compress: true }]) {
    t.throws(() => resolveOptions({ table, ...given, acceptPlainUntil: new Date() }), { code: BAD, message: 'Option "acceptPlainUntil" goes with "encryptionKeys" only' })
  }
})

t.test('the caller\'s bytes and list of keys may change later, to no effect', async t => {
  const bytes = Uint8Array.from(KEY)
  const keys = [bytes, OLD_KEY]
  const { envelope } = resolveOptions({ table, encryptionKeys: keys })
  const single = Uint8Array.from(KEY)
  const alone = resolveOptions({ table, encryptionKeys: single }).envelope
  bytes.fill(0)
  single.fill(0)
  keys.reverse()
  keys.length = 0
  const { envelope: reader } = resolveOptions({ table, encryptionKeys: KEY })
  for (const kept of [envelope, alone]) t.strictSame(reader.unwrap(kept.wrap(LONG, PLACE), PLACE), LONG)
})

t.test('no key is quoted where one is refused', async t => {
  const key = 'a secret that was given as a text'
  for (const given of [key, [KEY, key], Buffer.from(key)]) {
    t.throws(() => resolveWith('encryptionKeys', given), { message: 'Option "encryptionKeys" must be 32 random bytes (Uint8Array), or an array of such keys, newest first.' })
  }
})

t.test('a header stands in place of the cookie, unless a cookie is asked for as well', async t => {
  t.equal(resolveOptions({ table, header: 'x-session' }).usesCookie, false)
  t.equal(resolveOptions({ table, header: 'x-session', cookie: {} }).usesCookie, true)
  t.equal(resolveOptions({ table, cookie: {} }).usesCookie, true)
})

t.test('the reissue time follows the idle timeout and stays below it', async t => {
  t.equal(resolveOptions({ table, idleTimeout: 100 }).reissueTime, 10)
  t.equal(resolveOptions({ table, idleTimeout: 100, reissueTime: 0 }).reissueTime, 0)
  t.equal(resolveOptions({ table, idleTimeout: false }).reissueTime, Infinity, 'there is nothing to renew')
  t.equal(resolveOptions({ table, idleTimeout: false, reissueTime: 60 }).reissueTime, 60)
  for (const reissueTime of [100, 101]) {
    t.throws(() => resolveOptions({ table, idleTimeout: 100, reissueTime }), { code: BAD, message: 'Option "reissueTime" must be less than "idleTimeout"' })
  }
})

t.test('parts of a table to be created name neither the table nor its key', async t => {
  for (const part of [{ TableName: 'other' }, { KeySchema: [] }]) {
    t.throws(() => resolveWith('createTable', part), { code: BAD, message: 'Option "createTable" takes neither TableName nor KeySchema' })
  }
})

t.test('attributes do not get in one another\'s way', async t => {
  for (const name of ['data', 'ver', 'created', 'seen', 'idle', 'absolute', 'user', 'next', 'fmt', 'w', 'cookie']) {
    t.throws(() => resolveWith('partitionKey', name), { code: BAD, message: 'Option "partitionKey" is the name' }, name)
    t.throws(() => resolveWith('ttlAttribute', name), { code: BAD, message: 'Option "ttlAttribute" is the name' }, name)
  }
  t.throws(() => resolveWith('ttlAttribute', 'id'), { code: BAD, message: 'Option "ttlAttribute" cannot be the partition key' })
  t.throws(() => resolveOptions({ table, keyPrefix: 'shop#', partitionKey: { name: 'id', type: 'B' } }), { code: BAD, message: 'Option "keyPrefix" goes with' })
})

t.test('a registration with another name has another cookie', async t => {
  t.equal(resolveOptions({ table, sessionName: 'admin' }).cookie.name, '__Host-id-admin')
  t.equal(resolveOptions({ table, sessionName: 'admin', cookie: { secure: 'auto' } }).cookie.name, 'id-admin')
  t.equal(resolveOptions({ table, sessionName: 'admin', cookie: { name: 'sid' } }).cookie.name, 'sid')
})

t.test('the caller\'s objects may be frozen, and are neither changed nor kept', async t => {
  const options = () => ({
    table,
    partitionKey: { name: 'pk', type: 'S' as 'S' | 'B' },
    cookie: { name: 'sid', path: '/shop' },
    secrets: [SECRET, 'an older secret'],
    createTable: { Tags: [{ Key: 'team', Value: 'shop' }] }
  })
  const frozen = options()
  for (const part of [frozen, frozen.partitionKey, frozen.cookie, frozen.secrets, frozen.createTable, frozen.createTable.Tags]) Object.freeze(part)
  const settings = resolveOptions(frozen)

  const given = options()
  const kept = resolveOptions(given)
  t.same(given, options(), 'not changed')
  const token = kept.tokens.sign(kept.tokens.makeId())
  given.table = 'other'
  given.partitionKey.name = 'other'
  given.partitionKey.type = 'B'
  given.cookie.path = '/other'
  given.secrets.reverse()
  given.secrets.length = 1
  given.createTable.Tags[0] = { Key: 'team', Value: 'other' }
  t.strictSame(withoutTools(kept), withoutTools(settings), 'not kept')
  t.match(settings.tokens.check(token), { outdated: false }, 'the first secret is the first one still')
  t.match(settings.tokens.check(kept.tokens.sign(kept.tokens.makeId())), { outdated: false })
})

t.test('settings are frozen', async t => {
  const settings = resolveOptions({ table, createTable: { Tags: [] } })
  for (const part of [settings, settings.layout, settings.layout.partitionKey, settings.cookie, settings.createTable]) t.ok(Object.isFrozen(part))
  t.ok(Object.isFrozen(resolveOptions({ table, createTable: true }).createTable))
})
