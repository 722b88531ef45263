import { inspect } from 'node:util'
import { serialize } from 'node:v8'
import t from 'tap'
import { createBeside } from '../../lib/beside.js'

t.test('what is kept beside an object is found by the object, and by no other', async t => {
  const notes = createBeside<string>()
  const owner = {}
  t.equal(notes.get(owner), undefined)
  notes.set(owner, 'first')
  t.equal(notes.get(owner), 'first')
  notes.set(owner, 'second')
  t.equal(notes.get(owner), 'second')
  t.equal(notes.get({}), undefined)
})

t.test('two keepers know nothing of each other', async t => {
  const [one, other] = [createBeside<string>(), createBeside<string>()]
  const owner = {}
  one.set(owner, 'of one')
  t.equal(other.get(owner), undefined)
  other.set(owner, 'of the other')
  t.equal(one.get(owner), 'of one')
})

t.test('a frozen object and a proxy have something beside them too, and the proxy\'s handler sees nothing of it', async t => {
  const notes = createBeside<string>()
  const seen: unknown[] = []
  const note = (_target: object, name: unknown): undefined => { seen.push(name) }
  const target = {}
  const proxy = new Proxy(target, { get: note, has: () => true, defineProperty: () => false, getOwnPropertyDescriptor: note })
  for (const owner of [Object.freeze({}), proxy]) {
    notes.set(owner, 'kept')
    t.equal(notes.get(owner), 'kept')
  }
  t.equal(notes.get(target), undefined)
  t.same(seen, [])
})

t.test('whatever prints, lists, copies or serialises the object finds nothing of it', async t => {
  const notes = createBeside<string>()
  const owner = { name: 'Ann' }
  notes.set(owner, 'secret')
  t.same(Reflect.ownKeys(owner), ['name'])
  t.same(Reflect.ownKeys(Object.getPrototypeOf(owner) as object), Reflect.ownKeys(Object.prototype))
  t.notMatch(inspect(owner, { showHidden: true, depth: Infinity, getters: true }), 'secret')
  t.equal(JSON.stringify(owner), '{"name":"Ann"}')
  t.equal(serialize(owner).includes('secret'), false)
  t.equal(notes.get({ ...owner }), undefined)
  t.equal(notes.get(structuredClone(owner)), undefined)
})
