import t from 'tap'
import { membersOfJson, membersOfMap, numberIn } from '../../lib/members.js'

const NOT_IMPORTABLE = { code: 'FST_DYNAMODB_SESSION_NOT_IMPORTABLE' }

t.test('the members of an object are read from JSON text, and what is no object has none', async t => {
  t.same([...membersOfJson('{"a":1,"list":[{"b":null}]}') ?? []], [['a', 1], ['list', [{ b: null }]]])
  for (const text of ['', '{', '[1]', '"x"', '1', 'null', 'NaN']) t.equal(membersOfJson(text), undefined, text)
})

t.test('no member is named __proto__, at any depth, and none becomes a prototype', async t => {
  const json = membersOfJson('{"__proto__":{"admin":true},"a":{"__proto__":{"admin":true},"b":[{"__proto__":1}]}}')
  const map = membersOfMap({ ['__proto__']: { M: {} }, a: { M: { ['__proto__']: { M: { admin: { BOOL: true } } }, b: { L: [{ M: { ['__proto__']: { N: '1' } } }] } } } })
  for (const members of [json, map]) {
    t.strictSame([...members?.keys() ?? []], ['a'])
    const inner = members?.get('a') as { admin?: boolean }
    t.equal(inner.admin, undefined)
    t.equal(JSON.stringify(inner), '{"b":[{}]}')
  }
})

t.test('what is too deep is refused by name instead of being taken for broken', async t => {
  const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
  t.throws(() => membersOfJson(deep), { ...NOT_IMPORTABLE, message: /nested too deeply/ })
})

t.test('a map keeps what DynamoDB has more than JSON, and refuses a number that JavaScript has not', async t => {
  const members = membersOfMap({ tags: { SS: ['x'] }, bytes: { B: new Uint8Array([1]) }, big: { N: '9007199254740993' } })
  t.strictSame(members?.get('tags'), new Set(['x']))
  t.same(members?.get('bytes'), new Uint8Array([1]))
  t.equal(members?.get('big'), 9007199254740993n)
  t.throws(() => membersOfMap({ odd: { N: '1.5E+20' } }), { ...NOT_IMPORTABLE, message: /a number that JavaScript has not/ })
})

t.test('a number is stored as such, or as text', async t => {
  t.same([{ S: '' }, { S: ' ' }, { S: 'x' }, { S: '1.5' }, { N: '7' }, undefined].map(numberIn), [undefined, undefined, undefined, 1.5, 7, undefined])
})
