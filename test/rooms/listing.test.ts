import t from 'tap'
import { fromKey, isKey, toUserKey } from '../../lib/item.js'
import { amendCommand, fromUserItem, staysLongEnough, toUserItem } from '../../lib/listing.js'
import { aRecord, NOW } from '../../testing/records.js'

const layout = { table: 'sessions', partitionKey: { name: 'id', type: 'S' as const }, keyPrefix: 'shop#', ttlAttribute: 'expires' }
const binary = { ...layout, partitionKey: { name: 'id', type: 'B' as const }, keyPrefix: '' }
const { key } = aRecord()
const entry = { createdAt: NOW, lastSeenAt: NOW + 1, expiresAt: NOW + 2, label: { S: 'desk' } }

t.test('the key of a list is none that a session can have', async t => {
  t.same(toUserKey(key, layout), { id: { S: `shop#user#${key}` } })
  t.equal(toUserKey(key, binary)['id']?.B?.length, 37, 'five bytes more than a session\'s')
  for (const one of [layout, binary]) t.equal(fromKey(toUserKey(key, one), one), undefined)
  t.same([isKey(key), isKey(`user#${key}`), isKey(`user#${key.slice(5)}`)], [true, false, false])
  const bytes = Buffer.concat([Buffer.from('user#'), Buffer.alloc(27)])
  t.equal(fromKey({ id: { B: bytes } }, binary), bytes.toString('base64url'), 'a session\'s may begin so')
})

t.test('a list is read as it was written', async t => {
  const record = { sessions: new Map([[key, entry]]), revoking: new Map([[aRecord().key, { ...entry, label: undefined }]]), version: 7 }
  t.same(fromUserItem(toUserItem(key, record, layout)), record)
  t.same(toUserItem(key, record, layout)['data'], undefined, 'it has not what a session needs')
})

t.test('what is no list is none, and what is spoiled in one still names a session', async t => {
  t.equal(fromUserItem(undefined), null)
  for (const item of [{}, { sessions: { M: {} } }, { sessions: { M: {} }, revoking: { M: {} } }, { sessions: { L: [] }, revoking: { M: {} }, ver: { N: '1' } }]) {
    t.equal(fromUserItem(item), null)
  }
  const spoiled = fromUserItem({ sessions: { M: { a: { S: 'x' }, b: { M: { e: { N: '-5' } } } } }, revoking: { M: {} }, ver: { N: '1' } })
  t.same([...spoiled?.sessions ?? []].map(([key, { expiresAt, label }]) => [key, expiresAt, label]), [['a', 0, undefined], ['b', 0, undefined]])
})

t.test('an item without an end does not stay long enough', async t => {
  t.notOk(staysLongEnough({ sessions: { M: {} } }, layout))
  t.ok(staysLongEnough({ expires: { N: String(15 * 86_400) } }, layout))
})

t.test('a hundred sessions are taken off by an expression that DynamoDB takes', async t => {
  const remove = Array.from({ length: 100 }, () => aRecord().key)
  t.ok(Buffer.byteLength(amendCommand(key, { remove }, layout).UpdateExpression ?? '') < 4096)
})
