import t from 'tap'
import { memoryRepository } from '../../testing/index.js'
import { resolveStoreOptions } from '../../store/store-options.js'

t.test('defaults are the plugin\'s, save that reads are strong', async t => {
  for (const given of ['sessions', { table: 'sessions' }, { table: 'sessions', consistentRead: undefined, formerPrefixes: undefined }]) {
    const { settings, agedSettings, absoluteTimeout, formerPrefixes, readsFormerUntil } = resolveStoreOptions(given)
    t.same([settings.idleTimeout, settings.absoluteTimeout, settings.reissueTime, settings.consistentRead], [7200, 43_200, 720, true])
    t.same([agedSettings.reissueTime, absoluteTimeout, formerPrefixes, readsFormerUntil], [3600, undefined, [], Infinity])
  }
  t.equal(resolveStoreOptions({ table: 'sessions', consistentRead: false }).settings.consistentRead, false)
})

t.test('a reissue time that was given counts for every session', async t => {
  const { settings, agedSettings } = resolveStoreOptions({ table: 'sessions', reissueTime: 60, absoluteTimeout: 900 })
  t.same([settings.reissueTime, agedSettings.reissueTime], [60, 60])
})

t.test('what is the host\'s, and what is mistyped, is refused with the nearest name', async t => {
  for (const name of ['cookie', 'secrets', 'header', 'idBytes', 'idleTracking', 'readFailure', 'saveOnServerError', 'cache', 'verify', 'userIndex', 'importFrom', 'sessionName']) {
    t.throws(() => resolveStoreOptions({ table: 'sessions', [name]: undefined }), { code: 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION' }, name)
  }
  t.throws(() => resolveStoreOptions({ tabel: 'sessions' }), { message: /Did you mean "table"/ })
  t.throws(() => resolveStoreOptions({ table: 'sessions', prefix: 'sess:' }), { code: 'FST_DYNAMODB_SESSION_UNKNOWN_OPTION' })
  for (const given of [undefined, null, 42, {}]) t.throws(() => resolveStoreOptions(given), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
  t.throws(() => resolveStoreOptions({ table: 'sessions', idleTimeout: '2h' }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
})

t.test('keys for an index are checked as the plugin checks them', async t => {
  t.same(resolveStoreOptions({ table: 'sessions', indexKeys: ['userId'] }).settings.layout.index?.names, ['userId'])
  const encryptionKeys = new Uint8Array(32)
  for (const [indexKeys, others] of [['userId', {}], [['cookie'], {}], [['userId', 'userId'], {}], [['userId'], { encryptionKeys }]] as const) {
    t.throws(() => resolveStoreOptions({ table: 'sessions', indexKeys, ...others }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: /indexKeys/ })
  }
  t.ok(resolveStoreOptions({ table: 'sessions', indexKeys: [{ key: 'userId', plain: true }], encryptionKeys }).settings.layout.index)
})

t.test('prefixes of other stores are texts, each once, and are copied', async t => {
  const prefixes = ['sess:', '']
  const { formerPrefixes } = resolveStoreOptions({ table: 'sessions', formerPrefixes: prefixes })
  prefixes.push('session#')
  t.same(formerPrefixes, ['sess:', ''])
  for (const wrong of ['sess:', [42], [null], ['\ud800'], ['a', 'a'], {}, Array(1), null]) {
    t.throws(() => resolveStoreOptions({ table: 'sessions', formerPrefixes: wrong }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: /formerPrefixes/ })
  }
})

t.test('they need a table whose key other stores can have, and with keys a day on which plain records end', async t => {
  const formerPrefixes = ['sess:']
  const encryptionKeys = new Uint8Array(32)
  for (const others of [{ client: memoryRepository() }, { partitionKey: { name: 'id', type: 'B' } }, { encryptionKeys }]) {
    t.throws(() => resolveStoreOptions({ table: 'sessions', formerPrefixes, ...others }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: /formerPrefixes/ })
    t.same(resolveStoreOptions({ table: 'sessions', formerPrefixes: [], ...others }).formerPrefixes, [])
  }
  const acceptPlainUntil = new Date(5000)
  t.equal(resolveStoreOptions({ table: 'sessions', formerPrefixes, encryptionKeys, acceptPlainUntil }).readsFormerUntil, 5000)
  t.equal(resolveStoreOptions({ table: 'sessions', encryptionKeys }).readsFormerUntil, -Infinity)
})
