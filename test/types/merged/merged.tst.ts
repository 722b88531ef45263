import Fastify, { type FastifyPluginAsync } from 'fastify'
import { expect, test } from 'tstyche'
import { signIn } from '../../../testing/index.js'
import dynamoSession, { SessionManager, type CookieAttributes, type DynamoSessionOptions, type Session, type SessionKey } from '../../../index.js'

declare module '../../../index.js' {
  interface SessionData {
    userId: string
    cart: Array<{ name: string, quantity: number }>
    /** A key that a member has too. */
    save: boolean
  }
}

declare const session: Session
declare const otherPlugin: FastifyPluginAsync<{ required: string }>
declare const secrets: string | undefined
declare const attributes: CookieAttributes
const app = Fastify()

test('a value has the type that the application declared', () => {
  expect(session.get('userId')).type.toBe<string | undefined>()
  expect(session.take('cart')).type.toBe<Array<{ name: string, quantity: number }> | undefined>()
  expect(session.userId).type.toBe<string | undefined>()
  expect(session.cart).type.toBe<Array<{ name: string, quantity: number }> | undefined>()
  expect(session.get('save')).type.toBe<boolean | undefined>()
})

test('a typo in a key and a wrong value are errors', () => {
  expect(session.get).type.not.toBeCallableWith('userID')
  expect(session.has).type.not.toBeCallableWith('userID')
  expect(session.set).type.not.toBeCallableWith('userId', 42)
  expect(session.set).type.not.toBeCallableWith('cart', [{ name: 'apple' }])
  expect(session).type.not.toHaveProperty('userID')
})

test('undefined deletes, by set and by assignment', () => {
  expect(session.set).type.toBeCallableWith('userId', undefined)
  session.userId = undefined
})

test('update goes by the type of its key', () => {
  expect(session.update('userId', value => {
    expect(value).type.toBe<string | undefined>()
    return `${value}!`
  })).type.toBe<Promise<string | undefined>>()
  expect(session.update('cart', async (value = []) => [...value, { name: 'apple', quantity: 1 }]))
    .type.toBe<Promise<Array<{ name: string, quantity: number }> | undefined>>()
  expect(session.update).type.toBeCallableWith('cart', () => undefined)
  expect(session.update).type.toBeCallableWith('cart', async () => undefined)
  expect(session.update).type.toBeCallableWith('save', (value?: boolean) => value !== true)
  expect(session.update).type.not.toBeCallableWith('userID', () => 'u')
  expect(session.update).type.not.toBeCallableWith('userId', () => 42)
  expect(session.update).type.not.toBeCallableWith('userId', async () => 42)
  expect(session.update).type.not.toBeCallableWith('userId', (value: number) => String(value))
  expect(session.update).type.not.toBeCallableWith('userId', (value: string) => value)
  expect(session.update).type.not.toBeCallableWith('userId', 'a value')
  expect(session.update).type.not.toBeCallableWith('userId')
  expect(session).type.toHaveProperty('update')
})

test('members keep their types beside the data', () => {
  expect(session.save()).type.toBe<Promise<void>>()
  expect(session.regenerate(['cart'])).type.toBe<Promise<void>>()
  expect(session.regenerate).type.not.toBeCallableWith(['kart'])
  expect(session.options).type.toBeCallableWith(attributes)
  expect(session.options).type.toBeCallableWith({ maxAge: 5, userInfo: 'x' })
  expect(session.options).type.not.toBeCallableWith({ maxAge: '5' })
  expect(session.keys()).type.toBe<SessionKey[]>()
  expect<SessionKey>().type.toBe<'userId' | 'cart' | 'save'>()
  expect(session.data().cart).type.toBe<Array<{ name: string, quantity: number }> | undefined>()
  expect(session.idleTimeout).type.toBe<number | false>()
  session.idleTimeout = undefined
  expect(session.id).type.toBe<string | undefined>()
})

test('requests and the application are decorated', () => {
  app.get('/', async request => {
    expect(request.session).type.toBe<Session>()
  })
  expect(app.sessions).type.toBe<SessionManager>()
  app.get('/off', { config: { session: false } }, async () => {})
})

test('the plugin takes its options, and the name of a table for short', () => {
  expect(app.register).type.toBeCallableWith(dynamoSession, { table: 'sessions', idleTimeout: false as const })
  expect(app.register).type.toBeCallableWith(dynamoSession, 'sessions')
  expect(app.register).type.toBeCallableWith(dynamoSession, { table: 'sessions', secrets })
  expect(app.register).type.not.toBeCallableWith(dynamoSession, { table: 'sessions', tabel: 'x' })
  expect(app.register).type.not.toBeCallableWith(dynamoSession, { table: 5 })
  expect(app.register).type.not.toBeCallableWith(dynamoSession, {})
  expect(app.register).type.not.toBeCallableWith(otherPlugin, 'sessions')
  expect<{ table: string, conflict: 'reject', readFailure: 'anonymous' }>().type.toBeAssignableTo<DynamoSessionOptions>()
  expect<{ table: string, conflict: 'overwrite' }>().type.not.toBeAssignableTo<DynamoSessionOptions>()
  expect<{ table: string, readFailure: 'blank' }>().type.not.toBeAssignableTo<DynamoSessionOptions>()
})

test('the manager gives sessions of the same type', async () => {
  const manager = new SessionManager('sessions')
  expect(manager.create).type.toBeCallableWith({ userId: 'u' })
  expect(manager.create).type.not.toBeCallableWith({ userID: 'u' })
  expect(manager.load('id')).type.toBe<Promise<Session | null>>()
  expect(manager.load('id', { required: true })).type.toBe<Promise<Session>>()
})

test('index keys are session keys', () => {
  expect<{ table: string, indexKeys: Array<'userId' | { key: 'cart', plain: true }> }>().type.toBeAssignableTo<DynamoSessionOptions>()
  expect<{ table: string, indexKeys: ['userID'] }>().type.not.toBeAssignableTo<DynamoSessionOptions>()
  expect<{ table: string, indexKeys: [{ key: 'userId' }] }>().type.not.toBeAssignableTo<DynamoSessionOptions>()
  expect<{ table: string, indexKeys: [{ key: 'userId', plain: false }] }>().type.not.toBeAssignableTo<DynamoSessionOptions>()
})

test('a visitor is signed in to any application, with the data that it declared', () => {
  expect(signIn(app, { userId: 'u' }, { sessionName: 'admin', way: 'header' })).type.toBe<Promise<Record<string, string>>>()
  expect(signIn).type.toBeCallableWith(Fastify({ http2: true }), { userId: 'u' })
  expect(signIn).type.toBeCallableWith(app.withTypeProvider<{ schema: unknown, validator: string, serializer: string }>())
  expect(signIn).type.not.toBeCallableWith(app, { userID: 'u' })
  expect(signIn).type.not.toBeCallableWith(app, { userId: 42 })
  expect(signIn).type.not.toBeCallableWith(app, {}, { name: 'admin' })
  expect(signIn).type.not.toBeCallableWith({})
})
