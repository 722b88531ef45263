import t from 'tap'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamodbSessionWeb } from '../../import/index.js'
import { CHECKS } from '../../lib/checks.js'
import { resolveOptions, type Settings } from '../../lib/options.js'
import { jsonFormat } from '../../lib/json.js'
import { nativeFormat } from '../../lib/native.js'

const table = 'sessions'
const SECRET = 'a secret that is long enough to sign with'
const codec = { name: 'text', encode: String, decode: String }
const KEY = Uint8Array.from({ length: 32 }, (_, index) => index)
const OLD_KEY = Uint8Array.from({ length: 32 }, (_, index) => 255 - index)
const PLACE = { key: 'a record', name: 'a key' }
const LONG = { S: 'x'.repeat(5000) }

const BAD = 'FST_DYNAMODB_SESSION_BAD_OPTION'
const UNKNOWN = 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION'

function resolveWith (name: string, value: unknown) {
  return resolveOptions({ table, [name]: value })
}

/** Settings that can be compared. */
function withoutTools ({ tokens, formats, envelope, client, ...plain }: Settings) {
  return plain
}

t.test('the list of known options in a message is the whole list', async t => {
  t.throws(() => resolveWith('somethingElseAltogether', 1), { code: UNKNOWN, message: `Known are ${Object.keys(CHECKS).join(', ')}.` })
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
  for (const name of ['ttl', 'prefix', 'lifetime', 'rolling']) {
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
    importFrom: [],
    userIndex: false,
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
  const reader = dynamodbSessionWeb()
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
    importFrom: [reader],
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
    importFrom: [reader],
    userIndex: false,
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
  const importFrom = [dynamodbSessionWeb()]
  const readers = resolveOptions({ table, importFrom }).importFrom
  importFrom.pop()
  t.equal(readers.length, 1)
  t.ok(Object.isFrozen(readers))
})

t.test('index keys are session keys, each once, and none of the names that records have', async t => {
  t.same(resolveOptions({ table, indexKeys: ['userId', { key: 'tenant', plain: true }] }).layout.index?.names, ['userId', 'tenant'])
  t.equal(resolveOptions({ table, indexKeys: [] }).layout.index, undefined)
  const taken = ['id', 'data', 'ver', 'created', 'seen', 'expires', 'idle', 'absolute', 'user', 'next', 'fmt', 'w', 'cookie', 'sessions', 'revoking']
  for (const name of taken) {
    t.throws(() => resolveWith('indexKeys', [name]), { code: BAD, message: `cannot name "${name}", an attribute that records have` })
    t.throws(() => resolveWith('indexKeys', [{ key: name, plain: true }]), { code: BAD })
  }
  t.throws(() => resolveOptions({ table, partitionKey: 'pk', indexKeys: ['pk'] }), { code: BAD, message: '"pk"' })
  t.throws(() => resolveOptions({ table, ttlAttribute: 'ttl', indexKeys: ['ttl'] }), { code: BAD, message: '"ttl"' })
  t.throws(() => resolveWith('indexKeys', ['a', { key: 'a', plain: true }]), { code: BAD, message: 'names "a" twice' })
})

t.test('with sealed values, an index key says that its value is to stand there plain', async t => {
  const sealing = { table, encryptionKeys: KEY }
  t.throws(() => resolveOptions({ ...sealing, indexKeys: [{ key: 'a', plain: true }, 'userId'] }),
    { code: BAD, message: 'Option "indexKeys" would store the value of "userId" unsealed: say { key: "userId", plain: true } where that is meant.' })
  t.same(resolveOptions({ ...sealing, indexKeys: [{ key: 'userId', plain: true }] }).layout.index?.names, ['userId'])
})

t.test('index keys are copied: what the caller does with them later has no effect', async t => {
  const key = { key: 'userId', plain: true }
  const indexKeys = [key, 'tenant']
  const { layout } = resolveWith('indexKeys', indexKeys)
  key.key = 'data'
  indexKeys.push('more')
  t.same(layout.index?.names, ['userId', 'tenant'])
})
