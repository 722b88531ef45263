import t from 'tap'
import { Expression } from '../../lib/expression.js'

t.test('a name has one placeholder, however often it is used', async t => {
  const expression = new Expression()
  t.equal(expression.name('size'), '#n0')
  t.equal(expression.name('a.b'), '#n1')
  t.equal(expression.name('size'), '#n0')
  t.same(expression.condition().ExpressionAttributeNames, { '#n0': 'size', '#n1': 'a.b' })
})

t.test('a path goes through placeholders, so that dots and brackets in a name mean nothing', async t => {
  const expression = new Expression()
  t.equal(expression.path('data', 'cart[0].price'), '#n0.#n1')
  t.equal(expression.path('data', '#n0'), '#n0.#n2')
  t.same(expression.condition().ExpressionAttributeNames, { '#n0': 'data', '#n1': 'cart[0].price', '#n2': '#n0' })
})

t.test('a member named __proto__ is written under the name it is stored by', async t => {
  const expression = new Expression()
  expression.path('data', '__proto__')
  t.same(expression.condition().ExpressionAttributeNames, { '#n0': 'data', '#n1': '___proto__' })
})

t.test('every value has a placeholder of its own', async t => {
  const expression = new Expression()
  t.equal(expression.value({ N: '1' }), ':v0')
  t.equal(expression.value({ N: '1' }), ':v1')
  t.same(expression.update().ExpressionAttributeValues, { ':v0': { N: '1' }, ':v1': { N: '1' } })
})

t.test('an update has its clauses in one order, and its conditions all', async t => {
  const expression = new Expression()
  expression.remove(expression.path('data', 'b'))
  expression.add('ver', { N: '1' })
  expression.set(expression.path('data', 'a'), expression.value({ S: 'x' }))
  expression.set(expression.name('seen'), expression.value({ N: '5' }))
  expression.remove(expression.path('data', 'c'))
  expression.require(`attribute_exists(${expression.name('id')})`)
  expression.require(`${expression.name('ver')}=${expression.value({ N: '7' })}`)
  t.same(expression.update(), {
    UpdateExpression: 'SET #n0.#n3=:v1,#n4=:v2 REMOVE #n0.#n1,#n0.#n5 ADD #n2 :v0',
    ConditionExpression: 'attribute_exists(#n6) AND #n2=:v3',
    ExpressionAttributeNames: { '#n0': 'data', '#n1': 'b', '#n2': 'ver', '#n3': 'a', '#n4': 'seen', '#n5': 'c', '#n6': 'id' },
    ExpressionAttributeValues: { ':v0': { N: '1' }, ':v1': { S: 'x' }, ':v2': { N: '5' }, ':v3': { N: '7' } }
  })
})

t.test('a clause without terms is left out', async t => {
  const expression = new Expression()
  expression.set(expression.name('a'), expression.value({ N: '1' }))
  t.equal(expression.update().UpdateExpression, 'SET #n0=:v0')
})

t.test('a command that only has a condition carries no values', async t => {
  const expression = new Expression()
  expression.require(`attribute_not_exists(${expression.name('id')})`)
  t.same(expression.condition(), { ConditionExpression: 'attribute_not_exists(#n0)', ExpressionAttributeNames: { '#n0': 'id' } })
})
