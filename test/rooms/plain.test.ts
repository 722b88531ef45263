import { runInNewContext } from 'node:vm'
import t from 'tap'
import { classOf, isEmptyContainer, isMutable, isPlainObject, refuse } from '../../lib/plain.js'

t.test('object literals and objects without prototype are plain, of any realm', async t => {
  t.ok(isPlainObject({}))
  t.ok(isPlainObject(Object.create(null) as object))
  t.ok(isPlainObject(runInNewContext('({ a: 1 })') as object))
  t.ok(isPlainObject(JSON.parse('{"__proto__": 1, "constructor": 2}') as object))
  t.ok(isPlainObject(Object.create(Object.create(null) as object) as object), 'as some parsers of queries make them')
})

t.test('instances are not plain', async t => {
  class Cart {}
  const instances = [new Cart(), new Date(0), new Map(), new Set(), [], new Error('x'), /x/, new Uint8Array(1), Object.create({}) as object, Object(1) as object]
  for (const instance of instances) t.notOk(isPlainObject(instance), classOf(instance))
})

t.test('a class is named, where it has a name', async t => {
  t.equal(classOf(new Date(0)), 'Date')
  t.equal(classOf(new (class Cart {})()), 'Cart')
  t.equal(classOf(new (class {})()), 'an unnamed class')
  t.equal(classOf(Object.create(null) as object), 'an unnamed class')
  t.equal(classOf(Object.create({ constructor: 'Cart' }) as object), 'an unnamed class', 'only a class has a name to tell')
})

t.test('a refusal tells what a value holds and what to do', async t => {
  t.throws(() => refuse('a function', 'store plain data'), new TypeError('it holds a function; store plain data'))
})

t.test('empty are objects and arrays without a member, and nothing else', async t => {
  for (const value of [{}, [], Object.create(null)]) t.ok(isEmptyContainer(value))
  for (const value of [{ a: undefined }, [undefined], new Map(), new Date(0), '', 0, false, null, undefined]) t.notOk(isEmptyContainer(value))
})

t.test('what can change in place is an object', async t => {
  for (const value of [{}, [], new Date(0)]) t.ok(isMutable(value))
  for (const value of ['a', 1, true, null, undefined, 1n]) t.notOk(isMutable(value))
})
