import assert from 'node:assert/strict'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import type { Session } from '../../index.js'
import { setStage, type Stage, type StageOptions } from './app.js'
import type { Engine } from './engines.js'

const whole = new WeakMap<FastifyRequest, Session>()

/**
 * Takes a member of the session away from whatever comes after the plugin, as if we had never had it: a method, a property, or
 * `Object.keys`. What another package relies on is proved by its test failing then.
 */
export function takeAway (app: FastifyInstance, member: string): void {
  app.addHook('onRequest', async request => {
    const session = request.session
    const value = new Proxy(session, {
      get: (target, key) => {
        if (key === member) return undefined
        const found: unknown = Reflect.get(target, key)
        return typeof found === 'function' ? found.bind(target) : found
      },
      has: (target, key) => key !== member && Reflect.has(target, key),
      ownKeys: target => member === 'Object.keys' ? [] : Reflect.ownKeys(target)
    })
    whole.set(request, session)
    Object.defineProperty(request, 'session', { value, configurable: true })
  })
}

/** The session of a request with all its members, for the test's own routes: what fails is then the package and not the test. */
export function wholeSession (request: FastifyRequest): Session {
  return whole.get(request) ?? request.session
}

/** What somebody does with an application, in assertions that throw. */
export interface Reliance extends StageOptions {
  readonly visit: (stage: Stage) => Promise<void>
  /** The members of the session without which the visit fails. */
  readonly members: readonly string[]
}

/** Runs a visit as it is, and once without each member that it relies on. */
export function testReliance (t: Test, engine: Engine, title: string, { visit, members, routes, ...options }: Reliance): void {
  const stageWithout = async (t: Test, member?: string): Promise<Stage> => await setStage(t, engine, {
    ...options,
    routes: async app => {
      if (member !== undefined) takeAway(app, member)
      await routes?.(app)
    }
  })
  t.test(title, async t => {
    await visit(await stageWithout(t))
    t.pass('the visit went as told')
  })
  for (const member of members) {
    t.test(`${title}: not without ${member}`, async t => {
      const stage = await stageWithout(t, member)
      await t.rejects(visit(stage), assert.AssertionError)
    })
  }
}
