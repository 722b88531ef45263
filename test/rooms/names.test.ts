import t from 'tap'
import { fromAttributeName, toAttributeName } from '../../lib/names.js'

/** Names around the one that is moved: with 0 to 12 underscores before it, and with other parts after and between. */
const NEAR = Array.from({ length: 13 }, (_, count) => '_'.repeat(count)).flatMap(line =>
  ['proto__', 'proto_', 'proto', 'proto___', 'Proto__', ' proto__', 'proto__\n', 'xproto__', ''].map(rest => line + rest))
const OTHERS = ['constructor', 'prototype', 'toString', 'hasOwnProperty', 'a', '', '__proto__.x', 'é__proto__', '\n__proto__', '__proto__\n']
const NAMES = [...new Set([...NEAR, ...OTHERS])]

t.test('every name comes back as it was', async t => {
  for (const name of NAMES) t.equal(fromAttributeName(toAttributeName(name)), name, JSON.stringify(name))
})

t.test('no two names meet', async t => {
  t.equal(new Set(NAMES.map(toAttributeName)).size, NAMES.length)
})

t.test('no name is stored as __proto__', async t => {
  t.notOk(NAMES.some(name => toAttributeName(name) === '__proto__'))
})

t.test('only __proto__ and its longer kin move, by one underscore', async t => {
  const moved = NAMES.filter(name => toAttributeName(name) !== name)
  t.same(moved, Array.from({ length: 11 }, (_, index) => `${'_'.repeat(index + 2)}proto__`))
  for (const name of moved) t.equal(toAttributeName(name), `_${name}`)
})

t.test('a name that somebody else stored is read as it is', async t => {
  t.equal(fromAttributeName('__proto__'), '__proto__')
  t.equal(fromAttributeName('userId'), 'userId')
})
