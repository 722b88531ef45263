import { inspect } from 'node:util'
import t from 'tap'
import { Links } from '../../store/links.js'

t.test('a session that was handed out is known again, and so is one that has copied its cookie', async t => {
  const links = new Links<{ name: string }>()
  const read = { cookie: { path: '/' }, userId: 'u-42' }
  const link = { name: 'this one' }
  links.mark(read, link)
  t.equal(links.get(read), link)

  const host = { [Symbol('options')]: { ...{ secure: true }, ...read.cookie }, [Symbol('other')]: null, [Symbol('id')]: 'x', userId: 'u-42' }
  t.equal(links.get(host), link)
  t.equal(links.get({ ...read, userId: 'u-7' }), link, 'or that has kept it')
})

t.test('a host\'s own session is known by itself', async t => {
  const links = new Links<object>()
  const [session, link] = [{}, {}]
  t.equal(links.get(session), undefined)
  links.set(session, link)
  t.equal(links.get(session), link)
})

t.test('the mark of another store is none, and neither is one that somebody made', async t => {
  const [mine, theirs] = [new Links<object>(), new Links<object>()]
  const read = { cookie: {} }
  theirs.mark(read, {})
  t.equal(mine.get({ [Symbol('options')]: { ...read.cookie } }), undefined)
  const [mark] = Object.getOwnPropertySymbols(read.cookie)
  t.equal(mine.get({ [Symbol('options')]: { [mark as symbol]: 'forged' } }), undefined)
})

t.test('the mark is in no JSON and among no keys, and tells nothing to who prints it', async t => {
  const links = new Links<object>()
  const read = { cookie: { path: '/' } }
  links.mark(read, { secret: 'the data' })
  t.equal(JSON.stringify(read), '{"cookie":{"path":"/"}}')
  t.same(Object.keys(read.cookie), ['path'])
  t.notMatch(inspect(read, { depth: 9, showHidden: true }), 'the data')
})
