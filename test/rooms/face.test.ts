import t from 'tap'
import { inspect } from 'node:util'
import { createSession, stateOf, type Acts } from '../../lib/face.js'
import { SessionState } from '../../lib/session.js'
import type { SessionRecord } from '../../types/repository.js'
import { SETTINGS as settings } from '../support/forms.js'
import '../support/session-data.js'

function aSession (data: Record<string, unknown> = {}) {
  const acts: string[] = []
  const hands: Acts = {
    save: async () => { acts.push('save') },
    update: async (key, fn) => {
      acts.push(`update ${key}`)
      return fn('before')
    },
    regenerate: async keep => { acts.push(`regenerate ${String(keep)}`) },
    destroy: async () => { acts.push('destroy') },
    reload: async () => { acts.push('reload') },
    options: attributes => { acts.push(`options ${Object.keys(attributes).join()}`) }
  }
  const id = settings.tokens.makeId()
  const record: SessionRecord = {
    key: settings.tokens.keyOf(id) ?? '',
    data: new Map(Object.entries(data).map(([key, value]) => [key, { S: JSON.stringify(value) }])),
    version: 3,
    createdAt: 100,
    lastSeenAt: 200,
    expiresAt: 300
  }
  const state = new SessionState(settings, { id, record })
  // Any key, as an application that declared none would have it.
  const session = createSession(state, hands) as unknown as Record<string, unknown> & {
    get (key: string): unknown,
    set (key: string, value: unknown): void,
    data (): Record<string, unknown>,
    keys (): string[]
    take (key: string): unknown,
    has (key: string): boolean,
    delete (key: string): boolean,
    clear (): void
  }
  return { session, state, acts, id }
}

t.test('data is read and written as properties and by get and set alike', async t => {
  const { session } = aSession({ userId: 'u-1' })
  t.equal(session['userId'], 'u-1')
  t.equal(session.get('userId'), 'u-1')
  session['cart'] = ['apple']
  t.same(session.get('cart'), ['apple'])
  t.ok('cart' in session)
  t.notOk('absent' in session)
  t.equal(session['absent'], undefined)
  t.ok(delete session['cart'])
  t.notOk(session.has('cart'))
  session['userId'] = undefined
  t.notOk(session.has('userId'), 'undefined deletes')
})

t.test('own enumerable keys are the data keys and nothing else', async t => {
  const { session } = aSession({ userId: 'u-1', cart: [] })
  t.same(Object.keys(session), ['userId', 'cart'])
  t.same({ ...session }, { userId: 'u-1', cart: [] })
  t.same(Object.entries(session), [['userId', 'u-1'], ['cart', []]])
  t.equal(Object.getOwnPropertyDescriptor(session, 'get'), undefined)
  t.equal(Object.getOwnPropertyDescriptor(session, Symbol.iterator), undefined)
})

t.test('a member cannot be shadowed, and data under its name is reached by get and set', async t => {
  const { session, acts } = aSession({ save: 'stored long ago' })
  t.throws(() => { session['destroy'] = 'x' }, { code: 'FST_DYNAMODB_SESSION_BAD_KEY' })
  t.throws(() => { delete session['save'] }, { code: 'FST_DYNAMODB_SESSION_BAD_KEY' })
  t.throws(() => Object.defineProperty(session, 'touch', { value: 1 }), { code: 'FST_DYNAMODB_SESSION_BAD_KEY' })
  t.equal(session.get('save'), 'stored long ago')
  session.set('toJSON', 'x')
  await (session['save'] as () => Promise<void>)()
  t.same(acts, ['save'])
  t.same(session.keys(), ['save', 'toJSON'])
})

t.test('names that objects have are data like any other', async t => {
  for (const key of ['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'then', 'toString']) {
    const { session, state } = aSession()
    session[key] = { evil: true }
    t.same(session.get(key), { evil: true }, key)
    t.same(session[key], { evil: true }, key)
    t.same(Object.keys(session), [key])
    t.ok(Object.hasOwn(session.data(), key))
    t.equal(Object.getPrototypeOf(session.data()), Object.prototype, 'the copy has the prototype of any object')
    t.ok(state.values.has(key))
    t.equal(session.take(key) !== undefined, true)
    t.notOk(session.has(key))
  }
  const { session } = aSession()
  t.equal(typeof session['toString'], 'function', 'until they are data')
  t.equal(await Promise.resolve(session), session, 'a session is no thenable')
})

t.test('the object itself cannot be tampered with', async t => {
  const { session } = aSession()
  t.throws(() => Object.setPrototypeOf(session, {}), TypeError)
  t.throws(() => Object.freeze(session), TypeError)
  t.throws(() => { Reflect.set(session, Symbol('x'), 1) || (() => { throw new TypeError('refused') })() }, TypeError)
  t.equal(Reflect.deleteProperty(session, Symbol('x')), false)
  t.equal(Reflect.defineProperty(session, Symbol('x'), { value: 1 }), false)
  t.notOk(Symbol('x') in session)
  Object.defineProperty(session, 'count', { value: 4 })
  t.equal(session.get('count'), 4)
  t.throws(() => { session['id'] = 'x' }, { code: 'FST_DYNAMODB_SESSION_BAD_KEY' }, 'facts are read only')
})

t.test('take gives a value once', async t => {
  const { session } = aSession({ flash: { ok: ['saved'] } })
  t.same(session.take('flash'), { ok: ['saved'] })
  t.equal(session.take('flash'), undefined)
})

t.test('data is a deep copy: changing it changes nothing', async t => {
  const { session, state } = aSession({ profile: { tags: ['a'] } })
  const copy = session.data() as { profile: { tags: string[] } }
  copy.profile.tags.push('b')
  t.same(session.get('profile'), { tags: ['a'] })
  t.equal(state.isChanged(), false)
})

t.test('clear deletes what this request knows', async t => {
  const { session, state } = aSession({ a: 1, b: 2 })
  session.set('c', 3)
  session.clear()
  t.same(session.keys(), [])
  t.same(state.plan(200, false), { ...state.plan(200, false), kind: 'save' })
})

t.test('serialised or inspected, a session shows names and a hash, never a value or its id', async t => {
  const { session, id, state } = aSession({ password: 'canary-value' })
  for (const text of [JSON.stringify(session), inspect(session), inspect({ nested: { session } }), `${String(session)}`]) {
    t.notMatch(text, 'canary-value')
    t.notOk(text.includes(id))
  }
  t.same(JSON.parse(JSON.stringify(session)), { loggableId: state.key, keys: ['password'] })
  t.match(inspect(session), 'password')
  for (const options of [{ customInspect: false, depth: 9, showHidden: true }, { showProxy: true, depth: 9 }]) {
    t.notMatch(inspect(session, options), /canary|tokens|settings/, 'nor do the state and what it holds show')
  }
})

t.test('the facts of a stored session', async t => {
  const { session, id, state } = aSession()
  const { id: sameId, loggableId, token, isNew, isChanged, createdAt, lastSeenAt, expiresAt, version } = session
  t.same({ sameId, loggableId, token, isNew, isChanged, createdAt, lastSeenAt, expiresAt, version }, {
    sameId: id, loggableId: state.key, token: id, isNew: false, isChanged: false, createdAt: 100, lastSeenAt: 200, expiresAt: 300, version: 3
  })
})

t.test('a blank session has no id, no token and no instants', async t => {
  const session = createSession(new SessionState(settings), {} as Acts)
  const { id, loggableId, token, isNew, isChanged, createdAt, lastSeenAt, expiresAt, version } = session
  t.same([id, loggableId, token, createdAt, lastSeenAt, expiresAt, version], Array(7).fill(undefined))
  t.same([isNew, isChanged], [true, false])
  session.set('count', 1)
  t.ok(session.id, 'with data to come it has an id')
  t.equal(session.isChanged, true)
})

t.test('timeouts are the registration\'s until the session has its own', async t => {
  const { session, state } = aSession()
  t.same([session['idleTimeout'], session['absoluteTimeout']], [7200, 43_200])
  session['idleTimeout'] = 60
  session['absoluteTimeout'] = false
  t.same([session['idleTimeout'], session['absoluteTimeout']], [60, false])
  t.equal(state.isChanged(), true)
  session['idleTimeout'] = undefined
  t.equal(session['idleTimeout'], 7200)
  for (const wrong of [0, 0.5, -1, Number.NaN, Infinity, 1e300, '60', null, true]) {
    t.throws(() => { session['idleTimeout'] = wrong }, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, String(wrong))
  }
})

t.test('acts are handed on', async t => {
  const { session, acts, state } = aSession({ keep: 1, drop: 2 })
  const members = session as unknown as import('../../index.js').Session
  for (const wrong of [null, undefined, 5, 'x']) t.throws(() => { members.options(wrong as never) }, { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' })
  await members.reload()
  await members.destroy()
  members.options({ maxAge: 5, userInfo: 'x' })
  members.touch()
  await members.regenerate(['userId'])
  await members.regenerate(true)
  await members.regenerate()
  t.same(acts, ['reload', 'destroy', 'options maxAge,userInfo', 'regenerate userId', 'regenerate true', 'regenerate false'])
  t.equal(state.plan(1000, false).kind, 'touch')
  for (const wrong of ['userId', ['userId', 1], 1, null, {}]) {
    await t.rejects(members.regenerate(wrong as never), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, String(wrong))
  }
  t.equal(acts.length, 6)
})

t.test('update hands on a key and a function, and gives what comes of it', async t => {
  const { session, acts } = aSession()
  const members = session as unknown as import('../../index.js').Session
  t.equal(await members.update('userId', value => `${value} and after`), 'before and after')
  t.equal(await members.update('count', async () => 7), 7)
  t.equal(await members.update('count', () => undefined), undefined)
  t.same(acts, ['update userId', 'update count', 'update count'])
  for (const wrong of [undefined, null, 5, 'text', {}, Promise.resolve(1)]) {
    await t.rejects(members.update('count', wrong as never), {
      code: 'FST_DYNAMODB_SESSION_BAD_OPTION', message: 'Option "update(key, fn)" needs a function that returns the new value.'
    })
  }
  t.equal(acts.length, 3)
  t.throws(() => { session['update'] = 1 }, { code: 'FST_DYNAMODB_SESSION_BAD_KEY' }, 'and its name is a member\'s')
})

t.test('a session that could not be read seems blank, and refuses whatever may change something', async t => {
  const acts: string[] = []
  const note = (name: string) => async (): Promise<void> => { acts.push(name) }
  const state = new SessionState(settings)
  const cause = new Error('cut off')
  state.unread = cause
  const session = createSession(state, {
    save: note('save'), update: note('update'), regenerate: note('regenerate'), destroy: note('destroy'), reload: note('reload'), options: () => { acts.push('options') }
  })
  const { id, token, isNew, isChanged, version, expiresAt, idleTimeout } = session
  t.same([id, token, isNew, isChanged, version, expiresAt, idleTimeout], [undefined, undefined, true, false, undefined, undefined, 7200])
  t.same([session.get('userId'), session.has('userId'), session.keys(), session.data(), session.cart], [undefined, false, [], {}, undefined])
  session.touch()
  session.set('flash', {})
  t.equal(session.has('flash'), false, 'that there are no messages is no change')
  const refusal = { code: 'FST_DYNAMODB_SESSION_UNAVAILABLE', statusCode: 503, cause }
  const changing: Record<string, () => unknown> = {
    set: () => { session.set('count', 1) },
    'set of a message': () => { session.set('flash', { info: ['saved'] }) },
    'set of another empty object': () => { session.set('any:list', {}) },
    'set of an empty list': () => { session.set('flash', [] as never) },
    'set to undefined': () => { session.set('count', undefined) },
    delete: () => session.delete('count'),
    take: () => session.take('count'),
    clear: () => { session.clear() },
    options: () => { session.options({ maxAge: 5 }) },
    bind: () => { session.bind('ann') },
    'idle timeout': () => { session.idleTimeout = 60 },
    'absolute timeout': () => { session.absoluteTimeout = undefined },
    property: () => { session.count = 1 },
    'deleted property': () => { delete session.count },
    'defined property': () => { Object.defineProperty(session, 'count', { value: 1 }) }
  }
  for (const [name, change] of Object.entries(changing)) t.throws(change, refusal, name)
  const asking: Record<string, () => Promise<unknown>> = {
    save: async () => { await session.save() },
    update: async () => await session.update('count', () => 1),
    regenerate: async () => { await session.regenerate() },
    destroy: async () => { await session.destroy() },
    reload: async () => { await session.reload() }
  }
  for (const [name, ask] of Object.entries(asking)) await t.rejects(ask, refusal, name)
  t.same(acts, [])
  t.same([state.status, state.changeCount, state.plan(1000, false).kind, session.keys()], ['blank', 0, 'nothing', []])
  const members = Object.getOwnPropertyNames(Object.getPrototypeOf(session)).filter(name => !['constructor', 'toJSON'].includes(name))
  const reading = ['get', 'has', 'keys', 'data', 'touch', 'id', 'loggableId', 'token', 'isNew', 'isChanged', 'createdAt', 'lastSeenAt', 'expiresAt', 'version']
  const refusing = ['set', 'delete', 'take', 'clear', 'options', 'bind', 'idleTimeout', 'absoluteTimeout', ...Object.keys(asking)]
  t.same(members.sort(), [...reading, ...refusing].sort(), 'no member is left out here')
})

t.test('a member called on something else says so', async t => {
  const { session } = aSession()
  for (const other of [{}, undefined, null]) t.throws(() => session.get.call(other as never, 'x'), { name: 'TypeError', message: 'A member of a session was called on something else.' })
})

t.test('stateOf knows sessions of ours from anything else', async t => {
  const { session, state } = aSession()
  t.equal(stateOf(session), state)
  for (const other of [undefined, null, 'text', {}, 7]) t.equal(stateOf(other), undefined)
})
