import t from 'tap'
import {
  ATTRIBUTES, fromItem, fromVersion, NO_SUCCESSOR, toDataMap, toItem, toKey, toSuccessor, toTimeout, type Item, type Layout
} from '../../lib/item.js'
import { hash } from '../../lib/token.js'
import type { SessionRecord, StoredValue } from '../../types/repository.js'

const LAYOUT: Layout = { table: 'sessions', partitionKey: { name: 'id', type: 'S' }, keyPrefix: '', ttlAttribute: 'expires' }
const PREFIXED: Layout = { ...LAYOUT, partitionKey: { name: 'pk', type: 'S' }, keyPrefix: 'shop#', ttlAttribute: 'ttl' }
const BINARY: Layout = { ...LAYOUT, partitionKey: { name: 'id', type: 'B' } }

const KEY = hash('an id')
const NEXT = hash('another id')

const PLAIN: SessionRecord = {
  key: KEY, data: new Map([['userId', { S: '"u-42"' }]]), version: 3, createdAt: 1000, lastSeenAt: 1500, expiresAt: 8700
}

const FULL: SessionRecord = {
  ...PLAIN,
  idleTimeout: 60.5,
  absoluteTimeout: false,
  cookieMaxAge: 86_400,
  user: KEY,
  next: NEXT,
  format: 'native',
  writes: new Map([['AbCd-_01', 1490], ['zzzzzzzz', 1500]])
}

const OPTIONAL = { idleTimeout: undefined, absoluteTimeout: undefined, cookieMaxAge: undefined, user: undefined, next: undefined, format: undefined, writes: undefined }

t.test('a record is stored under the names of the design', async t => {
  t.same(toItem(FULL, LAYOUT), {
    id: { S: KEY },
    data: { M: { userId: { S: '"u-42"' } } },
    ver: { N: '3' },
    created: { N: '1000' },
    seen: { N: '1500' },
    expires: { N: '8700' },
    idle: { N: '60.5' },
    absolute: { N: '0' },
    cookie: { N: '86400' },
    user: { S: KEY },
    next: { S: NEXT },
    fmt: { S: 'native' },
    w: { M: { 'AbCd-_01': { N: '1490' }, zzzzzzzz: { N: '1500' } } }
  })
})

t.test('what a record does not have takes no attribute', async t => {
  t.same(Object.keys(toItem(PLAIN, LAYOUT)), ['id', 'data', 'ver', 'created', 'seen', 'expires'])
})

t.test('a record comes back from its item as it was, in every layout', async t => {
  for (const layout of [LAYOUT, PREFIXED, BINARY]) {
    t.strictSame(fromItem(toItem(FULL, layout), KEY, layout), FULL)
    t.strictSame(fromItem(toItem(PLAIN, layout), KEY, layout), { ...PLAIN, ...OPTIONAL })
  }
})

t.test('keys of any name come back, __proto__ too', async t => {
  const names = ['__proto__', '___proto__', 'constructor', 'toString', 'a.b', '#n', ':v', 'ver', ' ', 'é']
  const data = new Map<string, StoredValue>(names.map((name, index) => [name, { N: String(index) }]))
  const item = toItem({ ...PLAIN, data }, LAYOUT)
  t.notOk(Object.keys(item['data']?.M ?? {}).includes('__proto__'))
  t.strictSame(fromItem(item, KEY, LAYOUT)?.data, data)
})

t.test('a key is text after the prefix, or the 32 bytes of the hash', async t => {
  t.same(toKey(KEY, LAYOUT), { id: { S: KEY } })
  t.same(toKey(KEY, PREFIXED), { pk: { S: `shop#${KEY}` } })
  const { id } = toKey(KEY, BINARY)
  t.equal(id?.B?.length, 32)
  t.equal(Buffer.from(id?.B ?? []).toString('base64url'), KEY)
})

t.test('a successor is stored with the prefix, and told without', async t => {
  for (const layout of [LAYOUT, PREFIXED, BINARY]) {
    t.equal(fromItem({ ...toItem(PLAIN, layout), next: toSuccessor(NEXT, layout) }, KEY, layout)?.next, NEXT)
    t.same(toSuccessor(NO_SUCCESSOR, layout), { S: '-' }, 'a revoked record has none, in any layout')
    t.equal(fromItem({ ...toItem(PLAIN, layout), next: { S: '-' } }, KEY, layout)?.next, NO_SUCCESSOR)
    t.equal(fromItem(toItem(PLAIN, layout), KEY, layout)?.next, undefined)
  }
  t.same(toSuccessor(NEXT, PREFIXED), { S: `shop#${NEXT}` })
  t.same(toSuccessor(NEXT, BINARY), { S: NEXT })
})

t.test('a successor of the wrong type still means that the record is dead', async t => {
  t.equal(fromItem({ ...toItem(PLAIN, LAYOUT), next: { N: '1' } }, KEY, LAYOUT)?.next, NO_SUCCESSOR)
  t.equal(fromItem({ ...toItem(PLAIN, LAYOUT), next: { NULL: true } }, KEY, LAYOUT)?.next, NO_SUCCESSOR)
})

t.test('no timeout is stored as zero, which no timeout can be', async t => {
  t.same(toTimeout(false), { N: '0' })
  t.same(toTimeout(1.5), { N: '1.5' })
})

t.test('an item that lacks what a session needs is a ghost', async t => {
  for (const layout of [LAYOUT, PREFIXED]) {
    for (const name of ['data', 'ver', 'created', 'seen', layout.ttlAttribute]) {
      const item = toItem(FULL, layout)
      delete item[name]
      t.equal(fromItem(item, KEY, layout), null, `without ${name}`)
    }
  }
  t.equal(fromItem(toKey(KEY, LAYOUT), KEY, LAYOUT), null, 'with its key alone')
})

t.test('an item in which what a session needs has another type or sense is a ghost', async t => {
  const wrong: Readonly<Record<string, readonly StoredValue[]>> = {
    data: [{ S: '{}' }, { L: [] }, { NULL: true }],
    ver: [{ S: '3' }, { N: '-1' }, { N: '1e999' }, { N: 'x' }, { NULL: true }],
    created: [{ S: '1000' }, { N: '-1000' }, { N: 'NaN' }, { M: {} }],
    seen: [{ BOOL: true }, { N: '-0.5' }, { N: 'Infinity' }],
    expires: [{ S: '9999999999' }, { N: '-1' }, { NS: ['1'] }]
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) t.equal(fromItem({ ...toItem(FULL, LAYOUT), [name]: value }, KEY, LAYOUT), null, `${name}: ${JSON.stringify(value)}`)
  }
})

t.test('a version that is no whole number, and write tokens that are no map, make a ghost', async t => {
  t.equal(fromItem({ ...toItem(PLAIN, LAYOUT), ver: { N: '1.5' } }, KEY, LAYOUT), null)
  t.equal(fromItem({ ...toItem(PLAIN, LAYOUT), w: { S: 'x' } }, KEY, LAYOUT), null)
})

t.test('a successor that is no key of ours is not followed', async t => {
  for (const next of ['', 'x', 'other#'.padEnd(49, 'A'), KEY + 'A']) {
    t.equal(fromItem({ ...toItem(PLAIN, PREFIXED), next: { S: next } }, KEY, PREFIXED)?.next, NO_SUCCESSOR, next)
  }
})

t.test('what a session can do without is left out where it has another type or sense', async t => {
  const item: Item = {
    ...toItem(PLAIN, LAYOUT), cookie: { N: '1e999' }, fmt: { N: '1' }
  }
  t.strictSame(fromItem(item, KEY, LAYOUT), { ...PLAIN, ...OPTIONAL })
})

t.test('a timeout of its own that is none, or that a double cannot hold, makes a ghost: no write could name it', async t => {
  for (const name of ['idle', 'absolute']) {
    for (const wrong of [{ S: '60' }, { N: '-5' }, { N: '0.5' }, { N: '1e999' }, { N: '7200.00000000000000000001' }, { N: '253402300800' }, { NULL: true }]) {
      t.equal(fromItem({ ...toItem(PLAIN, LAYOUT), [name]: wrong as Item[string] }, KEY, LAYOUT), null, `${name} ${JSON.stringify(wrong)}`)
    }
    for (const right of ['60', '60.5', '1', '0']) t.not(fromItem({ ...toItem(PLAIN, LAYOUT), [name]: { N: right } }, KEY, LAYOUT), null)
  }
})

t.test('a write token without an instant counts as outdated', async t => {
  const item: Item = { ...toItem(PLAIN, LAYOUT), w: { M: { a: { S: 'x' }, b: { N: '7' } } } }
  t.strictSame(fromItem(item, KEY, LAYOUT)?.writes, new Map([['a', 0], ['b', 7]]))
})

t.test('the key of a record is the one that was asked for, whatever the item says', async t => {
  t.equal(fromItem({ ...toItem(PLAIN, LAYOUT), id: { S: 'other' } }, KEY, LAYOUT)?.key, KEY)
})

t.test('what others keep beside a session is not read', async t => {
  t.strictSame(fromItem({ ...toItem(PLAIN, LAYOUT), note: { S: 'x' }, user: { S: 'u' } }, KEY, LAYOUT), { ...PLAIN, ...OPTIONAL })
})

t.test('the version of an update is read, where there is one', async t => {
  t.equal(fromVersion({ [ATTRIBUTES.version]: { N: '4' } }), 4)
  t.equal(fromVersion({ [ATTRIBUTES.version]: { S: '4' } }), undefined)
  t.equal(fromVersion({}), undefined)
  t.equal(fromVersion(undefined), undefined)
})

t.test('no data is an empty map', async t => {
  t.same(toDataMap(new Map()), { M: {} })
})
