// What users write: the same visit, store and mistakes for every kind of module.

/** The entries that package.json offers for import. */
export const ENTRIES = ['fastify-dynamodb-session', 'fastify-dynamodb-session/bare', 'fastify-dynamodb-session/import', 'fastify-dynamodb-session/store', 'fastify-dynamodb-session/testing']

/** `dynamoSession`, `signIn` and `Fastify` are in scope. The engine is a real one, so that the client is loaded and sends. */
const VISIT = `
  const client = {
    endpoint: process.env['DYNAMODB_ENDPOINT'] ?? '', region: 'eu-central-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' }
  }
  const app = Fastify()
  await app.register(dynamoSession, { table: 'sessions-' + process.pid, createTable: true, client, secrets: 'a secret of some length for the signature' })
  app.post('/login', async request => {
    await request.session.regenerate()
    request.session.set('userId', 'u-42')
    return {}
  })
  app.get('/me', async request => ({ userId: request.session.get('userId') ?? null }))
  app.post('/logout', async request => {
    await request.session.destroy()
    return {}
  })
  const headers = await signIn(app, { userId: 'u-7' })
  const signedIn = await app.inject({ url: '/me', headers })
  if (signedIn.body !== '{"userId":"u-7"}') throw new Error('unexpected visitor: ' + signedIn.body)
  const login = await app.inject({ method: 'POST', url: '/login' })
  const cookie = [login.headers['set-cookie'] ?? []].flat().map(text => text.split(';')[0]).join('; ')
  const before = await app.inject({ url: '/me', headers: { cookie } })
  const logout = await app.inject({ method: 'POST', url: '/logout', headers: { cookie } })
  const after = await app.inject({ url: '/me', headers: { cookie } })
  const seen = [login.statusCode, before.body, logout.statusCode, after.body].join(' ')
  if (seen !== '200 {"userId":"u-42"} 200 {"userId":null}') throw new Error('unexpected visit: ' + seen)
  await app.close()
`

/** A session of another host's; `DynamoStore` and `memoryRepository` are in scope. */
const STORE = `
  const store = new DynamoStore({ table: 'sessions', client: memoryRepository() })
  await store.set('an id', { cookie: { originalMaxAge: 60000, expires: null }, userId: 'u-42' })
  const read = await store.get('an id')
  if (read?.userId !== 'u-42') throw new Error('unexpected session')
  await new Promise((resolve, reject) => { store.destroy('an id', error => { if (error) reject(error); else resolve(undefined) }) })
  if (await store.get('an id') !== null) throw new Error('the session is still there')
  await store.close()
`

/** Lines that must not compile: an expectation that is not met is an error of the compiler. */
const TYPES = `
  const session = await new SessionManager({ table: 'sessions', client: memoryRepository() }).create({ userId: 'u-1', cart: ['apple'] })
  const userId: string | undefined = session.get('userId')
  const cart: string[] | undefined = session.cart
  // @ts-expect-error a typo in a key
  session.get('userld')
  // @ts-expect-error a value of another type
  session.set('userId', 42)
  // @ts-expect-error a value of another type, as a property
  session.cart = 'apple'
  // @ts-expect-error a typo in an option
  const mistyped: DynamoSessionOptions = { tabel: 'sessions' }
  // @ts-expect-error a typo in the data of a visitor
  const stranger = () => signIn(Fastify(), { userld: 'u-1' })
  // @ts-expect-error an option that a store does not have
  const foreign: DynamoStoreOptions = { table: 'sessions', secrets: 'those are the host\\'s' }
  // @ts-expect-error an option of another type
  const misvalued: DynamoSessionOptions = { table: 'sessions', idleTimeout: '2h' }
  const short = () => Fastify().register(dynamoSession, 'sessions')
  // @ts-expect-error neither a name nor options
  const neither = () => Fastify().register(dynamoSession, 42)
  if (userId !== 'u-1' || cart?.[0] !== 'apple') throw new Error('unexpected data')
  const readers: SessionReader[] = [connectDynamodb({ secret: 'x' }), dynamodbSessionStore({ secret: ['x'] }), pyramidSession({ table: 'pyramid' }), dynamodbSessionWeb()]
  // @ts-expect-error signatures cannot be checked without a secret
  const unsigned = () => connectDynamodb({})
  if (readers.some(({ keep }) => keep)) throw new Error('unexpected reader')
  const gone = new errors.Gone()
  const code: string = gone.code
  // @ts-expect-error an error has a code, of type string: it is not "any"
  const wrong: number = gone.code
  if (code !== 'FST_DYNAMODB_SESSION_GONE' || gone.statusCode !== 409) throw new Error('unexpected error')
`

export const TYPESCRIPT = `
import Fastify from 'fastify'
import dynamoSession, { errors, SessionManager, type DynamoSessionOptions } from 'fastify-dynamodb-session'
import { connectDynamodb, dynamodbSessionStore, dynamodbSessionWeb, pyramidSession, type SessionReader } from 'fastify-dynamodb-session/import'
import { memoryRepository, repositoryContract, signIn } from 'fastify-dynamodb-session/testing'
import { DynamoStore, type DynamoStoreOptions } from 'fastify-dynamodb-session/store'

declare module 'fastify-dynamodb-session' {
  interface SessionData { userId: string, cart: string[] }
}

async function main (): Promise<void> {${VISIT}${TYPES}${STORE}
  const promises: Array<Promise<void>> = []
  repositoryContract({ test: (title, run) => promises.push(run()) }, async () => memoryRepository())
  await Promise.all(promises)
  console.log('visited')
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
`

export const ESM = `
import Fastify from 'fastify'
import dynamoSession, { dynamoSession as named } from 'fastify-dynamodb-session'
import bare from 'fastify-dynamodb-session/bare'
import { pyramidSession } from 'fastify-dynamodb-session/import'
import { memoryRepository, signIn } from 'fastify-dynamodb-session/testing'
import { DynamoStore } from 'fastify-dynamodb-session/store'
if (pyramidSession({ table: 'pyramid' }).cookieName !== 'session_id') throw new Error('unexpected reader')
if (named !== dynamoSession) throw new Error('the named export is another one')
if (bare !== dynamoSession) throw new Error('the plugin without types is another one')
${VISIT}
${STORE}
console.log('visited')
`

export const COMMONJS = `
const Fastify = require('fastify')
const { default: dynamoSession } = require('fastify-dynamodb-session')
const { memoryRepository, signIn } = require('fastify-dynamodb-session/testing')
const { DynamoStore } = require('fastify-dynamodb-session/store')
const { dynamodbSessionWeb } = require('fastify-dynamodb-session/import')
if (require('fastify-dynamodb-session/bare').default !== dynamoSession) throw new Error('the plugin without types is another one')
if (dynamodbSessionWeb().cookieName !== 'id') throw new Error('unexpected reader')
const { version } = require('fastify-dynamodb-session/package.json')
async function main () {
  if (typeof version !== 'string') throw new Error('no version')
  {${VISIT}}
  {${STORE}}
  {
    const dynamoSession = require('fastify-dynamodb-session')
    ${VISIT}
  }
  console.log('visited')
}
main().catch(error => { console.error(error); process.exitCode = 1 })
`
