import { deepEqual as same } from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import dynamoSession, { type Session } from '../../index.js'
import { memoryRepository } from '../../testing/index.js'
import { setCookies, Visitor } from '../support/visitor.js'

/** What a session should hold, kept beside it in the plainest way. */
interface Model { data: Map<string, unknown>, idleTimeout: number | undefined, isStored: boolean, mayDiscard: boolean }

/** One thing that a handler does, to the session and to the model of it. */
type Step = readonly [name: string, act: (session: LooseSession, model: Model) => Promise<unknown> | void]

type LooseSession = Omit<Session, 'get' | 'set' | 'delete' | 'take'> & {
  get (key: string): unknown, set (key: string, value: unknown): void, delete (key: string): boolean, take (key: string): unknown
}

interface Program { readonly steps: readonly Step[], readonly status: number }

const anyKey = fc.constantFrom('a', 'b', 'cart', 'save', '__proto__', 'constructor')
const anyValue = fc.constantFrom<unknown>(0, 1, '', 'x', null, true, [], {}, ['p'], { n: [1] })
const anyKeep = fc.constantFrom<boolean | string[]>(true, false, ['a', 'cart'], ['b', '__proto__'], [])

const isEmpty = (value: unknown): boolean => typeof value === 'object' && value !== null && Object.keys(value).length === 0
const hasSubstance = ({ data }: Model): boolean => [...data.values()].some(value => !isEmpty(value))

/** Changes an array or an object where it is; the same for the session's and for the model's. */
function grow (value: unknown): void {
  if (Array.isArray(value)) value.push('more')
  else if (typeof value === 'object' && value !== null) Reflect.set(value, 'more', 1)
}

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(anyKey, anyValue).map(([key, value]): Step => [`set ${key} ${JSON.stringify(value)}`, (session, { data }) => {
    session.set(key, structuredClone(value))
    data.set(key, structuredClone(value))
  }]),
  anyKey.map((key): Step => [`grow ${key}`, (session, { data }) => { grow(session.get(key)); grow(data.get(key)) }]),
  anyKey.map((key): Step => [`delete ${key}`, (session, { data }) => { session.delete(key); data.delete(key) }]),
  anyKey.map((key): Step => [`take ${key}`, (session, { data }) => { session.take(key); data.delete(key) }]),
  fc.constant<Step>(['clear', (session, { data }) => { session.clear(); data.clear() }]),
  fc.constant<Step>(['touch', session => { session.touch() }]),
  fc.constantFrom(5000, 6000, undefined).map((seconds): Step => [`idleTimeout ${seconds}`, (session, model) => {
    session.idleTimeout = seconds as number
    model.idleTimeout = seconds
  }]),
  anyKeep.map((keep): Step => [`regenerate ${JSON.stringify(keep)}`, async (session, model) => {
    await session.regenerate(keep as boolean)
    if (keep !== true) model.idleTimeout = undefined
    if (keep !== true) for (const key of model.data.keys()) if (keep === false || !keep.includes(key)) model.data.delete(key)
    model.mayDiscard ||= model.isStored
  }]),
  fc.constant<Step>(['save', async (session, model) => {
    await session.save()
    model.isStored = true
    model.mayDiscard = false
  }]),
  fc.constant<Step>(['destroy', async (session, model) => {
    await session.destroy()
    Object.assign(model, { data: new Map(), idleTimeout: undefined, isStored: false, mayDiscard: false })
  }])
)

const anyProgram: fc.Arbitrary<Program> = fc.record({ steps: fc.array(anyStep, { maxLength: 7 }), status: fc.constantFrom(200, 200, 200, 404, 500) })

t.test('whatever handlers do, one visitor sees what they left, request after request', async t => {
  await fc.assert(fc.asyncProperty(fc.array(anyProgram, { minLength: 1, maxLength: 5 }), async programs => {
    const { app, run, look } = await setStage()
    let known = blankModel()
    for (const program of programs) {
      const model = structuredClone(known)
      const kept = await run(program, model)
      // A handler that failed leaves what it saved or destroyed itself, and nothing else.
      known = program.status >= 500 ? kept : settled(model)
      await look(known)
    }
    await app.close()
  }), { numRuns: 600 })
  t.pass('1000 random histories')
})

function blankModel (): Model {
  return { data: new Map(), idleTimeout: undefined, isStored: false, mayDiscard: false }
}

/** What is there after the end of a request. */
function settled (model: Model): Model {
  if (model.mayDiscard ? hasSubstance(model) : model.isStored || hasSubstance(model)) return { ...model, isStored: true, mayDiscard: false }
  return blankModel()
}

async function setStage () {
  const app: FastifyInstance = Fastify()
  let program: Program
  let model: Model
  let stored: Model
  await app.register(dynamoSession, { table: 'sessions', client: memoryRepository() })
  app.get('/run', async (request, reply) => {
    const session = request.session as unknown as LooseSession
    for (const [name, act] of program.steps) {
      await act(session, model)
      if (name === 'save' || name === 'destroy') stored = structuredClone(model)
      same(new Map(Object.entries(session.data())), model.data, `after ${name}`)
    }
    return await reply.code(program.status).send({})
  })
  app.get('/look', async ({ session }) => ({ isNew: session.isNew, data: Object.entries(session.data()), idleTimeout: session.idleTimeout }))
  await app.ready()
  const visitor = new Visitor(app)
  return {
    app,
    run: async (next: Program, onto: Model): Promise<Model> => {
      [program, model, stored] = [next, onto, structuredClone(onto)]
      const response = await visitor.get('/run')
      same(response.statusCode, next.status, response.body)
      await sentTokensLoad(app, response)
      return stored
    },
    look: async (expected: Model): Promise<void> => {
      const seen = (await visitor.get('/look')).json() as { isNew: boolean, data: Array<[string, unknown]>, idleTimeout: number }
      same(seen.isNew, !expected.isStored, 'whether there is a session')
      same(new Map(seen.data), expected.data, 'its data')
      same(seen.idleTimeout, expected.idleTimeout ?? 7200, 'its timeout')
    }
  }
}

async function sentTokensLoad (app: FastifyInstance, response: LightMyRequestResponse): Promise<void> {
  for (const text of setCookies(response)) {
    const [, id] = /^__Host-id=([^;]+);/.exec(text) ?? []
    if (id !== undefined) same(await app.sessions.load(id) !== null, true, 'a token that was sent loads')
  }
}
